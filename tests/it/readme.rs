//! The README's first screen is run, so that it can't lie.

use std::fs;
use std::path::Path;

use crate::server::{Server, binary, run};

/// The first code block: each command line, and what stands below it as its output.
fn first_screen() -> Vec<(String, String)> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme.split("```").nth(1).unwrap();
    let mut commands: Vec<(String, String)> = Vec::new();
    // The first line is the block's language.
    for line in block.lines().skip(1) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_string(), String::new())),
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

#[test]
fn the_first_screen_of_the_readme_is_what_happens() {
    let server = Server::start();
    let bin = server.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    let runner = std::env::var("TEGA_RUNNER").unwrap_or_default();
    let program = binary();
    let script = format!("#!/bin/sh\nexec {runner} '{}' \"$@\"\n", program.display());
    fs::write(bin.join("tega"), script).unwrap();
    run(std::process::Command::new("chmod").arg("+x").arg(bin.join("tega")), "");

    let commands = first_screen();
    assert!(commands.len() > 8, "{commands:?}");
    let (serve, rest) = commands.split_first().unwrap();
    assert_eq!(serve.0, "tega serve &");
    // The port is the harness's own, the form of the line is the README's.
    assert!(serve.1.starts_with("listening on http://127.0.0.1:"), "{}", serve.1);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
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
