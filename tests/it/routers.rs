//! A fleet of real routers' configurations: each reaches its own local server, to the byte, and no other.

use std::fs;
use std::path::Path;

use crate::server::{Server, eventually, ok};
use crate::wire::{Http, json};

/// Each board's name and its configuration in the canonical encoding; none where `TEGA_SHARED` isn't set.
fn boards() -> Vec<(String, String)> {
    let Some(shared) = std::env::var_os("TEGA_SHARED") else {
        eprintln!("TEGA_SHARED is unset: the fleet of real configurations passed over");
        return Vec::new();
    };
    let mut boards = Vec::new();
    for entry in fs::read_dir(Path::new(&shared).join("data/routers")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let board = path.file_stem().unwrap().to_str().unwrap().to_string();
            boards.push((board, json(&fs::read_to_string(&path).unwrap()).to_string()));
        }
    }
    boards.sort();
    assert_eq!(boards.len(), 101);
    boards
}

/// A board's name as a tega ID.
fn id(board: &str) -> String {
    board.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).take(64).collect()
}

#[test]
fn every_router_gets_its_own_configuration_and_no_other() {
    let boards = boards();
    if boards.is_empty() {
        return;
    }
    let global = Server::with(&["--id", "global"]);
    let mut http = Http::tcp(&global);
    // Half of them exist before their router comes, the others are made while it is linked.
    let put = |http: &mut Http, (board, config): &(String, String)| {
        let answer = http.call(&format!("PUT /config-{board}"), &[], config.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{board}: {}", answer.text());
    };
    let (before, after) = boards.split_at(boards.len() / 2);
    before.iter().for_each(|board| put(&mut http, board));
    let url = format!("ws://{}", global.address());
    let local = |(board, _): &(String, String)| {
        Server::with(&["--id", &id(board), "--global", &url, "--config", &format!("config-{board}")])
    };
    let locals: Vec<Server> = boards.iter().map(local).collect();
    after.iter().for_each(|board| put(&mut http, board));
    for ((board, config), local) in boards.iter().zip(&locals) {
        let mut http = Http::tcp(local);
        eventually(&format!("{board} has its configuration"), || {
            let answer = http.call(&format!("GET /config-{board}"), &[], b"").unwrap();
            answer.status == 200 && answer.text() == config
        });
        let roots = http.call("GET /_roots", &[], b"").unwrap();
        assert_eq!(roots.text(), format!("{{\"config-{board}\":0}}"));
    }
    let fleet = ok(&global, &["fleet"], "");
    assert_eq!(boards.iter().filter(|(board, _)| fleet.contains(&id(board))).count(), 101, "{fleet}");
}
