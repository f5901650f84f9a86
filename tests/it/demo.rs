//! The promise of the demo: one command, everything that it says happens, and nothing of it is left.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::server::{Running, Scratch, run, tega_command};

/// A demo whose directory is made in this one.
fn demo(below: &Path, args: &[&str]) -> Command {
    let mut command = tega_command();
    command.arg("demo").args(args).env("TMPDIR", below).stdin(Stdio::null());
    command
}

fn headless(below: &Path) -> Command {
    demo(below, &["--headless", "--seconds", "0"])
}

/// Nothing is in the directory, and no process works there.
#[track_caller]
fn nothing_is_left(below: &Path) {
    let left: Vec<_> = fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let variable = format!("TMPDIR={}", below.display());
    // Where there's no /proc, there's nobody to ask.
    for process in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let works_there = environment.split(|byte| *byte == 0).any(|word| word == variable.as_bytes());
        assert!(!works_there, "process {} is left", process.path().display());
    }
}

/// Each word with a digit is a number, a time or an address, and another's the next time.
fn numberless(line: &str) -> String {
    let words = line.split_whitespace();
    words
        .map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_headless_demo_does_everything_and_leaves_nothing() {
    let below = Scratch::new();
    let (code, out, err) = run(&mut headless(below.path()), "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in [
        "global  serves http://127.0.0.1:",
        "attic   is linked to the global\n",
        "attic   applied config-attic version 0, ",
        "attic   counts: up ",
        "alice   put config-attic.uci.network.lan.ipaddr 192.168.77.1 at the global\n",
        "attic   applied version 1, ",
        "alice   called operational-cellar.rpc.ping(192.0.2.1, count=2) in ",
        "cellar  answered {\"host\":\"192.0.2.1\",",
        "office  says on alarm: rebooted\n",
        "  Wi-Fi client ",
        "bob     put cellar-2 and was refused: ",
        "attic   applied version 2: 192.168.10.1 again\n",
        "office  is switched off\n",
        "global  refused a put of operational-office.note: ",
        "office  is linked again and caught up: applied version 1\n",
        "demo    all 8 steps happened\n",
    ] {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    let last = out.lines().last().unwrap();
    assert!(last.contains("demo    is over; nothing is left of "), "{last}");
    nothing_is_left(below.path());
}

#[test]
fn the_demo_of_the_readme_is_what_happens() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("$ tega demo --headless\n").unwrap();
    let promised: Vec<&str> = rest.split("```").next().unwrap().lines().collect();
    assert!(promised.len() > 5, "{promised:?}");
    let below = Scratch::new();
    let (code, out, err) = run(&mut headless(below.path()), "");
    assert_eq!(code, 0, "{err}");
    let told: Vec<String> = out.lines().map(numberless).collect();
    for line in promised.into_iter().filter(|line| *line != "…") {
        assert!(told.contains(&numberless(line)), "no {line:?} in\n{out}");
    }
}

#[test]
fn a_signal_in_the_middle_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        for wait_for in ["serves", "is linked", "is switched off"] {
            let below = Scratch::new();
            let mut demo = Running::start(&mut headless(below.path()));
            while !demo.line().unwrap().contains(wait_for) {}
            demo.signal(signal);
            let code = demo.wait().code();
            // It may have been through before.
            assert!(matches!(code, Some(0 | 1)), "{signal:?} {wait_for}: {code:?} {}", demo.said());
            nothing_is_left(below.path());
        }
    }
}

#[test]
fn a_demo_that_goes_on_ends_well_at_a_signal() {
    let below = Scratch::new();
    let mut demo = Running::start(&mut demo(below.path(), &[]));
    // There's no terminal for a screen here.
    while !demo.line().unwrap().contains("steps happened") {}
    let said = demo.said();
    assert!(
        said.contains("a terminal is wanted") && said.contains("tega rpc operational-cellar.rpc.ping"),
        "{said}"
    );
    demo.signal(Signal::INT);
    assert_eq!(demo.wait().code(), Some(0), "{}", demo.said());
    nothing_is_left(below.path());
}

#[test]
fn demos_run_side_by_side_and_clear_away_what_a_killed_one_left() {
    let below = Scratch::new();
    let directories = || fs::read_dir(below.path()).unwrap().count();
    let mut killed = Running::start(&mut headless(below.path()));
    assert!(killed.line().unwrap().contains("serves"));
    killed.kill();
    assert_eq!(directories(), 1);
    let mut both = [0, 1].map(|_| Running::start(&mut headless(below.path())));
    for demo in &mut both {
        assert!(demo.line().unwrap().contains("serves"));
    }
    assert_eq!(directories(), 2);
    for demo in &mut both {
        assert!(demo.wait().success(), "{}", demo.said());
    }
    nothing_is_left(below.path());
}

#[test]
fn a_reader_that_goes_away_ends_it_and_a_long_path_has_no_local_socket() {
    let below = Scratch::new();
    let long = below.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let mut shell = Command::new("sh");
    let program = headless(&long);
    let line = "{ \"$@\"; echo \"code $?\" >&2; } | head -n 1";
    shell.args(["-c", line, "sh"]).arg(program.get_program()).args(program.get_args()).env("TMPDIR", &long);
    let (_, out, err) = run(&mut shell, "");
    assert!(out.contains("serves http://127.0.0.1:") && !out.contains("unix:"), "{out}");
    assert_eq!(err, "code 0\n");
    nothing_is_left(&long);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let below = Scratch::new();
    let (code, _, err) = run(&mut demo(below.path(), &["--seconds", "3"]), "");
    assert!(code == 2 && err.contains("--headless"), "{code} {err}");
    let nowhere = below.path().join("nowhere");
    let (code, _, err) = run(&mut headless(&nowhere), "");
    assert!(code == 1 && err.contains("TMPDIR"), "{code} {err}");
    nothing_is_left(below.path());
}
