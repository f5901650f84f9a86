//! The README's first screen is run, so that it can't lie.

use std::fs;
use std::path::Path;

use crate::server::{Scratch, Server, binary, eventually, run, tega};

/// The first console block behind this text: each command line, and what stands below it as its output.
fn screen(behind: &str) -> Vec<(String, String)> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once(behind).unwrap();
    let (_, block) = rest.split_once("```console\n").unwrap();
    let block = block.split("```").next().unwrap();
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_string(), String::new())),
            // A command goes on behind a backslash.
            (None, Some((command, _))) if command.ends_with('\\') => {
                command.pop();
                command.push_str(line.trim_start());
            }
            (None, Some((_, output))) => output.extend([line, "\n"]),
            (None, None) => panic!("output without a command: {line}"),
        }
    }
    commands
}

/// Times are each day's own, and the columns beside them are as wide as the heading makes them.
fn timeless(text: &str) -> String {
    let is_time = |word: &&str| word.len() == 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    let line = |line: &str| match line.split_whitespace().find(is_time) {
        Some(time) => {
            let words: Vec<&str> =
                line.split_whitespace().map(|word| if word == time { "TIME" } else { word }).collect();
            words.join(" ")
        }
        None => line.to_string(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

/// A directory with a command `tega`, and the `PATH` that finds it.
fn path_with_tega() -> (Scratch, String) {
    let bin = Scratch::new();
    let runner = std::env::var("TEGA_RUNNER").unwrap_or_default();
    let program = binary();
    let script = format!("#!/bin/sh\nexec {runner} '{}' \"$@\"\n", program.display());
    let file = bin.file("tega", script);
    run(std::process::Command::new("chmod").arg("+x").arg(file), "");
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    (bin, path)
}

#[test]
fn the_first_screen_of_the_readme_is_what_happens() {
    let server = Server::start();
    let (_bin, path) = path_with_tega();
    let commands = screen("");
    assert!(commands.len() > 8, "{commands:?}");
    let (serve, rest) = commands.split_first().unwrap();
    assert_eq!(serve.0, "tega serve &");
    // The port is the harness's own, the form of the line is the README's.
    assert!(serve.1.starts_with("listening on http://127.0.0.1:"), "{}", serve.1);
    for (command, promised) in rest {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command]).current_dir(server.dir());
        let (code, out, err) = run(shell.env("PATH", &path).env("TEGA_URL", server.url()), "");
        assert_eq!((code, err.as_str()), (0, ""), "{command}");
        // A heading is for a terminal, and this isn't one.
        let promised: Vec<&str> = promised.lines().filter(|line| !line.starts_with("VERSION ")).collect();
        let promised: String = promised.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(timeless(&out), timeless(&promised), "{command}");
    }
}

#[test]
fn the_fleet_of_the_readme_is_what_happens() {
    let commands = screen("## A fleet");
    assert!(commands.len() > 5, "{commands:?}");
    // Directories and ports are the harness's own.
    let served = |command: &str, global: Option<&Server>| -> Server {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let (begin, end) = (words.iter().position(|word| word == "serve").unwrap() + 1, words.len() - 1);
        let mut args: Vec<String> = Vec::new();
        for pair in words[begin..end].chunks(2) {
            match pair[0].as_str() {
                "--data" | "--listen" => {}
                _ => args.extend(pair.iter().map(|word| match global {
                    Some(global) => word.replace("127.0.0.1:8739", &global.address().to_string()),
                    None => word.clone(),
                })),
            }
        }
        Server::with(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let global = served(&commands[0].0, None);
    let local = served(&commands[1].0, Some(&global));
    let (_bin, path) = path_with_tega();
    for (command, promised) in &commands[2..] {
        let command = command
            .replace("127.0.0.1:8739", &global.address().to_string())
            .replace("127.0.0.1:8740", &local.address().to_string());
        let mut told = String::new();
        eventually(&format!("{command} says {promised}"), || {
            let mut shell = std::process::Command::new("sh");
            let (code, out, err) = run(shell.args(["-c", &command]).env("PATH", &path), "");
            // A write is right at once; a read at the other end may come too early.
            assert!(code == 0 || (command.contains(" get ") && code == 3), "{command}: {err}");
            told = out;
            match command.contains(" fleet ") {
                true => settled(&told) == settled(promised),
                false => told == *promised,
            }
        });
    }
}

/// A line of `tega fleet` without times and addresses, which are each run's own.
fn settled(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let shown = |at: &usize| !(2..=3).contains(at) && *at != 5;
    words.iter().enumerate().filter(|(at, _)| shown(at)).map(|(_, word)| *word).collect()
}

/// The lines of the README that change the channel of these routers' Wi-Fi, from the adoption of their files on.
fn channel_of(routers: &[String]) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, block) = readme.split_once("tega uci adopt ").unwrap();
    let loop_of = &block[block.find("for r in r1 r2 r3; do").unwrap()..];
    let (loop_of, _) = loop_of.split_once("done\n").unwrap();
    assert!(loop_of.contains("channel 36"), "{loop_of}");
    loop_of.replace("r1 r2 r3", &routers.join(" ")) + "done\n"
}

/// Makes the token of a router as the README says, and gives the file that it's in.
fn token_of(router: &str, dir: &Path, path: &str) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, story) = readme.split_once("### Remote configuration").unwrap();
    let line = story.lines().find(|line| line.contains("tega token new r1 ")).unwrap();
    let line = line.replace(" > ", " --data . > ").replace("r1", router);
    let (code, _, err) =
        run(std::process::Command::new("sh").args(["-c", &line]).env("PATH", path).current_dir(dir), "");
    assert_eq!(code, 0, "{line}: {err}");
    dir.join(format!("{router}.token")).display().to_string()
}

/// So many routers whose files are in the tree are given another channel as the README says, and all confirm it.
fn change_the_channel(count: usize) {
    const WIRELESS: &str = "config wifi-device 'radio0'\n\toption type 'mac80211'\n\toption channel '1'\n";
    let ids: Vec<String> = (1..=count).map(|n| format!("r{n}")).collect();
    let (tokens, (_bin, path)) = (Scratch::new(), path_with_tega());
    let token_files: Vec<String> = ids.iter().map(|id| token_of(id, tokens.path(), &path)).collect();
    let asked_for = tokens.path().join("tokens").display().to_string();
    let global = Server::with(&["--id", "global", "--tokens", &asked_for]);
    let url = format!("ws://{}", global.address());
    let routers: Vec<(Scratch, Server)> = ids
        .iter()
        .zip(&token_files)
        .map(|(id, token)| {
            let root = Scratch::new();
            crate::uci_bridge::furnish(root.path());
            fs::write(root.path().join("etc/config/wireless"), WIRELESS).unwrap();
            let (config, operational) = (format!("config-{id}"), format!("operational-{id}"));
            let dir = root.path().display().to_string();
            let args = ["--id", id, "--global", &url, "--config", &config, "--operational", &operational];
            let uci = ["--token-file", token, "--uci", "--uci-root", &dir, "--uci-settle", "1"];
            let server = Server::with(&[&args[..], &uci].concat());
            eventually("its files are the tree's", || tega(&server, &["uci", "adopt"], "").0 == 0);
            (root, server)
        })
        .collect();
    let begun = std::time::Instant::now();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &channel_of(&ids)]).env("PATH", &path).env("TEGA_URL", global.unix_url());
    let (code, _, err) = run(&mut shell, "");
    assert_eq!((code, err.as_str()), (0, ""));
    eventually("every router has confirmed it", || {
        let mut fleet = std::process::Command::new("tega");
        fleet.arg("fleet").env("PATH", &path).env("TEGA_URL", global.unix_url());
        let fleet = run(&mut fleet, "").1;
        fleet.lines().filter(|line| line.ends_with("confirmed 1")).count() == count
    });
    eprintln!("{count} routers have another channel, and say so, {:?} after the first put", begun.elapsed());
    for (root, _) in &routers {
        let file = fs::read_to_string(root.path().join("etc/config/wireless")).unwrap();
        assert_eq!(file, WIRELESS.replace("'1'", "'36'"));
    }
}

#[test]
fn the_routers_of_the_readme_get_their_channel_and_confirm_it() {
    change_the_channel(3);
}

#[test]
#[ignore = "a hundred servers at once: cargo test --test it readme:: -- --ignored --nocapture"]
fn a_hundred_routers_get_their_channel_and_confirm_it() {
    change_the_channel(100);
}
