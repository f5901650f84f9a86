//! `tega uci` on files: the answers of the router's own tool, without a server.

use std::path::{Path, PathBuf};

use crate::server::{Scratch, run, tega_command};

/// Runs `tega uci` in a directory.
fn uci(dir: &Path, args: &[&str]) -> (i32, String, String) {
    run(tega_command().current_dir(dir).arg("uci").args(args), "")
}

const NETWORK: &str = "# mine\nconfig interface lan\n\toption proto static\n\tlist dns '1.1.1.1'\n\tlist dns 'it'\\''s'\nconfig rule\n";

#[test]
fn a_file_is_exported_and_shown_as_the_router_would() {
    let dir = Scratch::new();
    dir.file("network", NETWORK);
    dir.file("raw.bak", b"config a n\n\toption x 'caf\xe9'\n");
    let export = "package network\n\nconfig interface 'lan'\n\toption proto 'static'\n\tlist dns '1.1.1.1'\n\tlist dns 'it'\\''s'\n\nconfig rule\n\n";
    assert_eq!(uci(dir.path(), &["export", "network"]), (0, export.into(), String::new()));
    let show = "network.lan=interface\nnetwork.lan.proto='static'\nnetwork.lan.dns='1.1.1.1' 'it'\\''s'\nnetwork.@rule[0]=rule\n";
    let path = dir.path().join("network");
    assert_eq!(uci(dir.path(), &["show", path.to_str().unwrap()]), (0, show.into(), String::new()));
    // Bytes go through as they are.
    let output = tega_command().current_dir(dir.path()).args(["uci", "export", "raw.bak"]).output().unwrap();
    assert_eq!(output.stdout, b"package raw_bak\n\nconfig a 'n'\n\toption x 'caf\xe9'\n\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("raw.bak: no name of a package"), "{said}");
}

#[test]
fn what_the_router_refuses_is_refused_with_file_line_and_reason() {
    let dir = Scratch::new();
    dir.file("good", "config a n\n");
    dir.file("bad", "config a n\n\toption x it's\n");
    let said = "tega: bad: line 2, byte 15: EOF with unterminated '\n".to_string();
    assert_eq!(uci(dir.path(), &["check", "bad"]), (1, String::new(), said.clone()));
    assert_eq!(uci(dir.path(), &["check", "good"]), (0, String::new(), String::new()));
    // One bad file doesn't hide the others.
    let export = "package good\n\nconfig a 'n'\n\n".to_string();
    assert_eq!(uci(dir.path(), &["export", "bad", "good"]), (1, export, said));
    let (code, out, said) = uci(dir.path(), &["show", "gone", "."]);
    assert_eq!((code, out.as_str(), said.lines().count()), (1, "", 2), "{said}");
    assert!(said.starts_with("tega: gone: "), "{said}");
    dir.file("long", vec![b'#'; (1 << 20) + 1]);
    let (code, _, said) = uci(dir.path(), &["check", "long"]);
    assert!(code == 1 && said.contains("longer than 1048576 bytes"), "{said}");
}

#[test]
fn what_breaks_between_files_is_told() {
    let dir = Scratch::new();
    dir.file("network", NETWORK);
    dir.file("firewall", "config zone\n\toption name lan\n\toption network 'lan wan6'\nconfig forwarding\n\toption src lan\n\toption dest wan\n");
    let error = "error: firewall.@forwarding[0].dest: there's no zone wan\n";
    let warning = "warning: firewall.@zone[0].network: there's no interface wan6\n";
    assert_eq!(
        uci(dir.path(), &["check", "network", "firewall"]),
        (1, format!("{error}{warning}"), String::new())
    );
    let json = r#"[{"path":"firewall.@forwarding[0].dest","severity":"error","text":"there's no zone wan"}]"#;
    assert_eq!(uci(dir.path(), &["check", "--json", "firewall"]), (1, format!("{json}\n"), String::new()));
    // A warning is no failure; nor is what a file may hold and the tree can't.
    dir.file(
        "firewall",
        "config zone\n\toption name lan\n\toption network 'lan wan6'\n\toption x '\u{e9}'\n",
    );
    assert_eq!(uci(dir.path(), &["check", "network", "firewall"]), (0, warning.into(), String::new()));
    dir.file("raw", b"config a n\n\toption x '\xe9'\n");
    let (code, out, said) = uci(dir.path(), &["check", "raw"]);
    assert!(
        code == 0 && out.is_empty() && said.contains("raw: can't be in the tree: line 2: n.x: "),
        "{said}"
    );
}

#[test]
fn words_that_make_no_sense_are_usage_errors() {
    let dir = Scratch::new();
    for args in [&["check"][..], &["import", "x"], &["show", "x", "--json"]] {
        let (code, out, said) = uci(dir.path(), args);
        assert!(code == 2 && out.is_empty() && said.starts_with("tega: "), "{args:?}: {said}");
    }
}

/// Files below `TEGA_SHARED/data/uci`, and whether the tool refuses them; none where it isn't there.
fn real() -> Vec<(PathBuf, bool)> {
    let Some(shared) = std::env::var_os("TEGA_SHARED") else {
        eprintln!("TEGA_SHARED is unset: real UCI files passed over");
        return Vec::new();
    };
    let mut files = Vec::new();
    for dir in std::fs::read_dir(Path::new(&shared).join("data/uci")).unwrap() {
        for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.to_str().unwrap();
            if ![".export", ".show", ".invalid"].iter().any(|end| name.ends_with(end)) {
                let refused = Path::new(&format!("{name}.invalid")).exists();
                files.push((path, refused));
            }
        }
    }
    files
}

#[test]
fn real_files_get_the_verdict_of_the_tool() {
    let (bad, good): (Vec<_>, Vec<_>) = real().into_iter().partition(|(_, refused)| *refused);
    for (path, _) in &bad {
        let (code, out, said) = uci(Path::new("/"), &["check", path.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(said.contains(path.to_str().unwrap()) && said.contains(": line 1, byte "), "{said}");
    }
    // Each alone: they are of many routers.
    for (path, _) in &good {
        let (code, out, said) = uci(Path::new("/"), &["check", path.to_str().unwrap()]);
        assert!(code == 0 && said.is_empty(), "{}: {out}{said}", path.display());
    }
    if !good.is_empty() {
        assert_eq!((good.len(), bad.len()), (247, 3));
    }
}
