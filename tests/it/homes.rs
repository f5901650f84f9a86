//! A root moves from one home to another with its data, and what a replica had instead stays to be read.

use std::time::{Duration, Instant};

use tega::value::Value;

use crate::proxy::Proxy;
use crate::server::{Scratch, Server, eventually, run, tega_command};
use crate::wire::{Answer, http, http_unix};

fn get(server: &Server, path: &str) -> Answer {
    http_unix(server, &format!("GET {path}"), &[], "")
}

#[track_caller]
fn put(server: &Server, path: &str, body: &str) -> Answer {
    let answer = http_unix(server, &format!("PUT {path}"), &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

#[track_caller]
fn shows(server: &Server, path: &str, body: &str) {
    eventually(&format!("{path} is {body}"), || get(server, path).text() == body);
}

/// Whose a server says that a root is.
fn home_of(server: &Server, root: &str) -> Option<(String, bool)> {
    let homes = get(server, "/_homes").json();
    let home = homes.get(root)?;
    let handover = home.get("handover").and_then(Value::as_bool) == Some(true);
    Some((home.get("home").and_then(Value::as_str)?.to_string(), handover))
}

#[track_caller]
fn moves(servers: [&Server; 2], root: &str, home: &str) {
    let line = format!("POST /_home?root_oid={root}&home={home}");
    let answer = http_unix(servers[0], &line, &[], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    for server in servers {
        eventually(&format!("{root} is at home at {home}"), || {
            home_of(server, root) == Some((home.into(), false))
        });
    }
}

#[test]
fn a_root_moves_to_a_local_and_back_with_its_data_and_versions() {
    let global = Server::with(&["--id", "global"]);
    put(&global, "/shared/a", "1");
    put(&global, "/other/a", "1");
    let url = global.url().replace("http", "ws");
    let args = ["--id", "r1", "--global", &url, "--operational", "op-r1", "shared"];
    let local = Server::with(&args);
    put(&local, "/op-r1/a", "1");
    shows(&global, "/op-r1/a", "1");
    // It asks for a root that is the global's, which isn't given by asking. The record of homes comes down by
    // itself, so that it may come after the other root went up.
    eventually("the local knows whose it is", || home_of(&local, "shared").is_some());
    assert_eq!(home_of(&local, "shared"), Some(("global".into(), false)));

    moves([&global, &local], "shared", "r1");
    assert_eq!(get(&local, "/shared/a").text(), "1", "it has the data");
    put(&local, "/shared/a", "2");
    shows(&global, "/shared/a", "2");
    assert_eq!(put(&global, "/shared/a", "3").header("tega-version"), Some("shared=2"));
    assert_eq!(get(&local, "/shared/a").text(), "3");
    assert_eq!(get(&global, "/shared").header("etag"), get(&local, "/shared").header("etag"));

    moves([&global, &local], "shared", "global");
    put(&global, "/shared/a", "4");
    let versions = get(&global, "/shared").header("tega-version").map(str::to_string);
    assert_eq!(versions.as_deref(), Some("3"), "the versions go on");
    // Others weren't touched, and where it went has it still, as what it was.
    put(&local, "/op-r1/a", "2");
    shows(&global, "/op-r1/a", "2");
    assert_eq!(get(&local, "/shared?version=2").text(), "{\"a\":3}");
    assert_eq!(http_unix(&local, "POST /_home?root_oid=op-r1&home=global", &[], "").status, 403);
}

/// Puts under a request ID.
fn put_as(server: &Server, request: &str, path: &str, body: &str) -> Answer {
    http_unix(server, &format!("PUT {path}"), &[("Idempotency-Key", request)], body)
}

#[test]
fn a_write_that_the_old_home_answered_happens_once_at_the_new_one_too() {
    let global = Server::with(&["--id", "global"]);
    let first = put_as(&global, "mine", "/shared/n", "1");
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(put_as(&global, "both", "/shared/m", "1").status, 200);
    // More than the history holds, so that only a snapshot brings it to where nothing of it is.
    for n in 0..15 {
        put(&global, "/shared/n", &format!("{n}"));
    }
    assert_eq!(http_unix(&global, "POST /_ss", &[], "").status, 200);
    let url = global.url().replace("http", "ws");
    let mut local = Server::with(&["--id", "r1", "--global", &url, "--operational", "op-r1", "shared"]);
    put(&local, "/op-r1/a", "1");
    shows(&global, "/op-r1/a", "1");
    assert_eq!(get(&local, "/shared").status, 404, "it has nothing of it");
    moves([&global, &local], "shared", "r1");
    let known = |server: &Server| {
        let again = put_as(server, "mine", "/shared/n", "1");
        assert_eq!((again.status, again.header("tega-version")), (200, Some("shared=0")), "{}", again.text());
        assert_eq!(put_as(server, "mine", "/shared/n", "2").status, 400, "another request");
        assert_eq!(get(server, "/shared/n").text(), "14", "applied once");
    };
    known(&local);
    local.restart();
    eventually("the link is up", || get(&global, "/shared/n?fresh=true").status == 200);
    known(&local);
    known(&global);
    // A position of the old home says nothing at the new one.
    let old = put_as(&local, "@3:x", "/shared/n", "3");
    assert_eq!((old.status, get(&local, "/shared/n").text()), (409, "14"), "{}", old.text());
    let position = put(&local, "/shared/o", "1").header("tega-position").unwrap().to_string();
    assert_eq!(put_as(&local, &format!("@{position}:x"), "/shared/n", "3").status, 200);
    assert_eq!(http_unix(&local, "POST /_ss", &[], "").status, 200);
    local.restart();
    let again = put_as(&local, "both", "/shared/m", "1");
    assert_eq!((again.status, again.header("tega-version")), (200, Some("shared=1")), "{}", again.text());
    assert_eq!(get(&local, "/shared/n").text(), "3");
}

#[test]
fn what_a_replica_had_of_a_root_that_was_made_anew_stays_as_replaced() {
    let mut global = Server::with(&["--id", "global"]);
    put(&global, "/conf/a", "\"old\"");
    let url = global.url().replace("http", "ws");
    let proxy = Proxy::start(Some(global.address()));
    let through = format!("ws://{}", proxy.address());
    let local = Server::with(&["--id", "r1", "--global", &through, "--config", "conf"]);
    assert_ne!(url, through);
    shows(&local, "/conf/a", "\"old\"");
    let old = get(&local, "/conf").header("etag").unwrap().trim_matches('"').to_string();
    proxy.down(true);
    assert_eq!(http_unix(&global, "POST /_clear", &[], "").status, 200);
    put(&global, "/conf/a", "\"new\"");
    global.restart();
    proxy.aim(global.address());
    proxy.down(false);
    shows(&local, "/conf/a", "\"new\"");
    assert_ne!(get(&local, "/conf").header("etag").unwrap().trim_matches('"'), old);
    let replaced = get(&local, &format!("/conf/a?replaced={old}"));
    assert_eq!((replaced.status, replaced.text()), (200, "\"old\""));
    assert_eq!(get(&local, "/conf/a?replaced=0000000000000001-0").status, 404);
    assert_eq!(get(&local, "/conf/a?replaced=x").status, 400);
}

#[test]
fn a_write_that_its_replica_cannot_apply_is_done_and_says_so() {
    let dir = Scratch::new();
    let data = dir.path().join("data");
    let args = format!("token new r1 --read config-r1 --write config-r2 --as r1 --data {}", data.display());
    let (code, secret, said) = run(tega_command().args(args.split(' ')), "");
    assert_eq!(code, 0, "{said}");
    let global = Server::within(dir, &["--id", "global"]);
    put(&global, "/config-r1/n", "1");
    let mine = Scratch::new();
    let file = mine.file("token", secret.trim());
    let url = global.url().replace("http", "ws");
    // It may write to config-r2, but not read it, so that its replica never has the commit.
    let local = Server::with(&[
        "--id",
        "r1",
        "--global",
        &url,
        "--config",
        "config-r1",
        "config-r2",
        "--token-file",
        file.to_str().unwrap(),
    ]);
    shows(&local, "/config-r1/n", "1");
    // It's told at once: there's nothing to wait for.
    let begun = Instant::now();
    let answer = put(&local, "/config-r2/n", "7");
    assert_eq!(answer.header("tega-applied"), Some("0"), "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(get(&global, "/config-r2/n").text(), "7");
    assert_eq!(http(&local, "GET /config-r2/n", &[], "").status, 404);
}
