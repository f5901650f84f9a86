//! The promise to the original's local servers: a fleet moves router by router. Byte by byte, as the Python server sends
//! and expects it; its JSON has a space after each `:` and `,`.

use crate::server::{Scratch, Server, eventually, ok, run, tega, tega_command};
use crate::wire::{Frame, Ws, http, json, tcp};

/// `SESSION … global`, and a SUBSCRIBE for each config root: what the original sends when it has connected.
fn hello(server: &Server, id: &str, config: &[&str]) -> Ws {
    let mut local = Ws::connect(server);
    local.send(&format!("SESSION {id} global"));
    for root in config {
        local.send(&format!("SUBSCRIBE {root} global False"));
    }
    assert_eq!(local.next(), "SESSIONACK top");
    local
}

fn top() -> Server {
    Server::with(&["--id", "top"])
}

const SYNCED: &str = "RESPONSE 1 SYNC None\nnull";

/// A local that has everything of its config roots, none of which is there yet.
fn linked(server: &Server, id: &str, config: &[&str]) -> Ws {
    let mut local = hello(server, id, config);
    let versions: Vec<String> = config.iter().map(|root| format!("\"{root}\": -1")).collect();
    local.send(&format!(
        "REQUEST 1 SYNC None None\n{{\"args\": null, \"kwargs\": {{{}}}}}",
        versions.join(", ")
    ));
    assert_eq!(local.next(), SYNCED);
    local
}

/// It asks to be home of its operational root.
fn refers(local: &mut Ws, root: &str) {
    local.send(&format!("REQUEST 2 REFER None None\n{{\"args\": [\"{root}\"], \"kwargs\": null}}"));
    assert_eq!(local.next(), format!("SUBSCRIBE {root} global False"));
    assert_eq!(local.next(), "RESPONSE 2 REFER None\nnull");
}

#[track_caller]
fn put(server: &Server, path: &str, value: &str) {
    let line = format!("PUT /{}?tega_id=admin", path.replace('.', "/"));
    assert_eq!(http(server, &line, &[], value).status, 200);
}

fn get(server: &Server, path: &str) -> String {
    http(server, &format!("GET /{}", path.replace('.', "/")), &[], "").text().to_string()
}

/// Somebody at the global who sees when a change has come.
fn watcher(server: &Server, channel: &str) -> Ws {
    let mut watcher = Ws::session(server, "watcher", "local");
    watcher.send(&format!("SUBSCRIBE {channel} local False"));
    watcher
}

#[test]
fn a_first_sync_is_one_put_of_each_root_and_then_every_change_in_order() {
    let server = top();
    put(&server, "cfg.a", r#"{"b":1,"gone":null}"#);
    put(&server, "cfg.list", "[1,null]");
    put(&server, "other", "{}");
    let mut local = hello(&server, "local1", &["cfg"]);
    local.send("REQUEST 1 SYNC None None\n{\"args\": null, \"kwargs\": {\"cfg\": -1}}");
    let whole = r#"{"ope":"PUT","path":"cfg","tega_id":"top","instance":{"a":{"b":1},"list":[1,null]}}"#;
    assert_eq!(local.next(), format!("NOTIFY\n[{whole}]"));
    assert_eq!(local.next(), SYNCED);

    put(&server, "other.x", "1");
    put(&server, "cfg.a.b", "2");
    assert_eq!(
        local.next(),
        "NOTIFY\n[{\"ope\":\"PUT\",\"path\":\"cfg.a.b\",\"tega_id\":\"admin\",\"instance\":2}]"
    );
    assert_eq!(http(&server, "DELETE /cfg/list?tega_id=admin", &[], "").status, 200);
    let gone = r#"{"ope":"DELETE","path":"cfg.list","tega_id":"admin","instance":[1,null]}"#;
    assert_eq!(local.next(), format!("NOTIFY\n[{gone}]"));
    // Under its own tega ID, but not by it.
    assert_eq!(http(&server, "PUT /cfg/c?tega_id=local1", &[], "3").status, 200);
    assert_eq!(
        local.next(),
        "NOTIFY\n[{\"ope\":\"PUT\",\"path\":\"cfg.c\",\"tega_id\":\"local1\",\"instance\":3}]"
    );
    // One commit, one NOTIFY.
    let mut driver = Ws::session(&server, "driver", "local 2");
    driver.ask(
        1,
        "COMMIT",
        "-",
        r#"{"ops":[{"put":"cfg.d","value":1},{"delete":"cfg.c"},{"put":"other.y","value":1}]}"#,
    );
    let both = r#"{"ope":"PUT","path":"cfg.d","tega_id":"driver","instance":1},{"ope":"DELETE","path":"cfg.c","tega_id":"driver","instance":3}"#;
    assert_eq!(local.next(), format!("NOTIFY\n[{both}]"));
    // What ends with a session isn't for a server that would keep it.
    driver.ask(2, "PUT", "cfg.here", r#"{"value":1,"ephemeral":true}"#);
    put(&server, "cfg.e", "1");
    assert!(local.next().contains("cfg.e"));
}

#[test]
fn what_the_original_would_misread_comes_as_the_whole_root() {
    let server = top();
    let mut local = linked(&server, "local1", &["cfg"]);
    let whole = |instance: &str| {
        format!("NOTIFY\n[{{\"ope\":\"PUT\",\"path\":\"cfg\",\"tega_id\":\"top\",\"instance\":{instance}}}]")
    };
    put(&server, "cfg", r#"{"a":1}"#);
    assert_eq!(local.next(), whole(r#"{"a":1}"#));
    put(&server, "cfg.a", "2");
    assert!(local.next().contains("cfg.a"));
    // Its own rollback would take the version away.
    assert_eq!(http(&server, "POST /_rollback?tega_id=admin&root_oid=cfg&backto=-1", &[], "").status, 200);
    assert_eq!(local.next(), whole(r#"{"a":1}"#));
    // A key that it would take for two, and a value that it doesn't know.
    ok(&server, &["put", r#"cfg["1.2"].x"#, "1"], "");
    assert_eq!(local.next(), whole(r#"{"1.2":{"x":1},"a":1}"#));
    put(&server, "cfg.a", "null");
    assert_eq!(local.next(), whole(r#"{"1.2":{"x":1}}"#));
    assert_eq!(http(&server, "DELETE /cfg?tega_id=admin", &[], "").status, 200);
    assert_eq!(
        local.next(),
        "NOTIFY\n[{\"ope\":\"DELETE\",\"path\":\"cfg\",\"tega_id\":\"top\",\"instance\":{}}]"
    );
}

#[test]
fn a_local_that_comes_back_is_sent_what_it_lacks_and_nothing_else() {
    let server = top();
    put(&server, "cfg.a", "1");
    put(&server, "cfg.a", "2");
    put(&server, "gone.a", "1");
    assert_eq!(http(&server, "DELETE /gone", &[], "").status, 200);
    let answers = |versions: &str| {
        let mut local = hello(&server, "local1", &["cfg", "gone", "never"]);
        local.send(&format!("REQUEST 1 SYNC None None\n{{\"args\": null, \"kwargs\": {{{versions}}}}}"));
        let mut answers = Vec::new();
        loop {
            match local.next() {
                end if end == SYNCED => return answers,
                frame => answers.push(frame),
            }
        }
    };
    let cfg =
        r#"NOTIFY\n[{"ope":"PUT","path":"cfg","tega_id":"top","instance":{"a":2}}]"#.replace("\\n", "\n");
    let gone = "NOTIFY\n[{\"ope\":\"DELETE\",\"path\":\"gone\",\"tega_id\":\"top\",\"instance\":{}}]";
    assert_eq!(answers(r#""cfg": 1"#), [""; 0]);
    for version in ["0", "7", "null"] {
        assert_eq!(answers(&format!("\"cfg\": {version}")), [cfg.as_str()]);
    }
    // What was deleted here goes; what never was here may yet be brought.
    assert_eq!(answers(r#""gone": 5"#), [gone]);
    assert_eq!(answers(r#""gone": -1, "never": 3"#), [""; 0]);
}

#[test]
fn its_operational_root_is_written_by_it_alone() {
    let mut server = top();
    put(&server, "mine.a", "1");
    let mut local = linked(&server, "local1", &["cfg"]);
    refers(&mut local, "op");
    let mut watcher = watcher(&server, "op");
    local.send(
        "NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"op.a.b\", \"tega_id\": null, \"instance\": {\"x\": [1]}}]",
    );
    let seen = r#"{"ope":"PUT","path":"op.a.b","tega_id":"local1","instance":{"x":[1]}}"#;
    assert_eq!(watcher.next(), format!("NOTIFY\n[{seen}]"));
    // It may tell of what was before it referred, and of one change twice; neither stops what comes after.
    local.send(
        "NOTIFY\n[{\"ope\": \"DELETE\", \"path\": \"op.old\", \"tega_id\": \"p\", \"instance\": 1}, \
         {\"ope\": \"DELETE\", \"path\": \"op.a.b.x\", \"tega_id\": \"p\", \"instance\": [1]}, \
         {\"ope\": \"DELETE\", \"path\": \"op.a.b.x\", \"tega_id\": \"p\", \"instance\": [1]}, \
         {\"ope\": \"PUT\", \"path\": \"op.c\", \"tega_id\": \"p\", \"instance\": 2}]",
    );
    let frame = watcher.next();
    assert_eq!((frame.matches("DELETE").count(), frame.matches("PUT").count()), (1, 1), "{frame}");
    assert_eq!(get(&server, "op"), r#"{"c":2}"#);

    let refused = http(&server, "PUT /op/c?tega_id=local1", &[], "3");
    assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"));
    assert!(
        refused.text().contains("local1") && refused.text().contains("tega home op top"),
        "{}",
        refused.text()
    );
    // A root that is this server's own, or that it follows, isn't given away.
    for root in ["mine", "cfg"] {
        local.send(&format!("REQUEST 3 REFER None None\n{{\"args\": [\"{root}\"], \"kwargs\": null}}"));
        let frame = local.next();
        assert!(frame.starts_with("RESPONSE 3 REFER None\n{\"error\":{\"code\":\"conflict\""), "{frame}");
    }
    assert_eq!(http(&server, "GET /_forwarders", &[], "").text(), r#"["local1"]"#);
    assert!(http(&server, "GET /_sessions", &[], "").text().contains("legacy"));
    // What it notified was committed here: nobody has newer content.
    let fresh = http(&server, "GET /op?fresh=true", &[], "");
    assert_eq!((fresh.status, fresh.text()), (200, get(&server, "op").as_str()));

    // Another local can't have it, and who left comes back to it, even after a restart.
    drop(local);
    eventually("the link is gone", || http(&server, "GET /_forwarders", &[], "").text() == "[]");
    assert_eq!(http(&server, "PUT /op/c", &[], "3").code(), "no_link");
    server.kill();
    server.restart();
    assert_eq!(http(&server, "PUT /op/c", &[], "3").code(), "no_link");
    let mut thief = linked(&server, "local2", &["cfg"]);
    thief.send("REQUEST 2 REFER None None\n{\"args\": [\"op\"], \"kwargs\": null}");
    assert!(thief.next().contains("the home of op is local1"));
    thief
        .send("NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"op.c\", \"tega_id\": \"local1\", \"instance\": 666}]");
    let mut local = linked(&server, "local1", &["cfg"]);
    refers(&mut local, "op");
    local.send("NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"op.d\", \"tega_id\": \"p\", \"instance\": 4}]");
    eventually("it's written again", || get(&server, "op") == r#"{"c":2,"d":4}"#);

    // An administrator takes it over. The local is told to begin anew, and is refused.
    let (code, _, said) = tega(&server, &["home", "op", "top"], "");
    assert!(code != 0 && said.contains("--force"), "{said}");
    let (code, _, said) = tega(&server, &["home", "op", "top", "--force"], "");
    assert_eq!(code, 0, "{said}");
    assert!(matches!(local.try_next(), Ok(Frame::Closed(4010, _))));
    assert_eq!(http(&server, "PUT /op/c", &[], "3").status, 200);
    let mut local = linked(&server, "local1", &["cfg"]);
    local.send("REQUEST 2 REFER None None\n{\"args\": [\"op\"], \"kwargs\": null}");
    assert!(local.next().contains("this server's own root"));
}

#[test]
fn its_rollbacks_lead_where_they_led_there() {
    let server = top();
    let mut local = linked(&server, "local1", &["cfg"]);
    refers(&mut local, "op");
    let mut watcher = watcher(&server, "op");
    for n in 1..5 {
        local.send(&format!(
            "NOTIFY\n[{{\"ope\": \"PUT\", \"path\": \"op.n\", \"tega_id\": null, \"instance\": {n}}}]"
        ));
    }
    let back = |n: i64| {
        format!(
            "NOTIFY\n[{{\"ope\": \"ROLLBACK\", \"path\": \"op\", \"tega_id\": \"c\", \"instance\": null, \"backto\": -{n}}}]"
        )
    };
    // The original pops: from 4 to 2, from there to 1.
    local.send(&back(2));
    local.send(&back(1));
    let mut seen = || json(watcher.next().split_once('\n').unwrap().1).to_string();
    let all: Vec<String> = (0..6).map(|_| seen()).collect();
    assert!(all[4].contains("ROLLBACK") && all[4].contains(r#""instance":{"n":2}"#), "{all:?}");
    assert!(all[5].contains("ROLLBACK") && all[5].contains(r#""instance":{"n":1}"#), "{all:?}");
    // What was before it referred nobody here knows; what comes after is taken all the same. An index is its own affair.
    local.send(&back(5));
    local.send(&back(1).replace("-1", "1"));
    local.send("NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"op.n\", \"tega_id\": null, \"instance\": 9}]");
    assert!(seen().contains(r#""instance":9"#));
    let state = r#"[{"ope": "ROLLBACK", "path": "op", "tega_id": "c", "instance": {"m": 1}, "backto": 3}]"#;
    local.send(&format!("NOTIFY\n{state}"));
    assert!(seen().contains(r#""instance":{"m":1}"#));
    assert!(http(&server, "GET /_sessions", &[], "").text().contains("a change was lost"));
}

#[test]
fn calls_go_both_ways_by_the_path_alone() {
    let server = top();
    let mut local = linked(&server, "local1", &["cfg"]);
    refers(&mut local, "op");
    let mut watcher = watcher(&server, "op");
    local.send("NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"op.f\", \"tega_id\": \"PlugIn\", \"instance\": \"%PlugIn.f\"}]");
    watcher.next();
    let mut caller = Ws::session(&server, "caller", "local 2");
    caller.send("REQUEST 7 RPC caller op.f\n{\"args\":[1],\"kwargs\":{\"a\":2}}");
    assert_eq!(local.next(), "REQUEST 1 RPC caller op.f\n{\"args\":[1],\"kwargs\":{\"a\":2}}");
    local.send("RESPONSE 1 RPC caller\n\"done\"");
    assert_eq!(caller.next(), "RESPONSE 7 RPC top\n{\"result\":\"done\"}");

    caller.ask(1, "PUT", "fn.g", r#"{"value":"%caller.g","ephemeral":true}"#);
    // It names the server that it calls, as it knows it from SESSIONACK, or whoever calls at it.
    for by in ["top", "somebody"] {
        local.send(&format!("REQUEST 3 RPC {by} fn.g\n{{\"args\": [\"x\"], \"kwargs\": null}}"));
        let frame = caller.next();
        let (line, body) = frame.split_once('\n').unwrap();
        assert_eq!(body, "{\"args\":[\"x\"],\"kwargs\":null}");
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words[2], words[4]), ("REQUEST", "RPC", "fn.g"));
        assert_eq!(words[3], if by == "top" { "local1" } else { by });
        caller.send(&format!("RESPONSE {} RPC caller\n{{\"result\":5}}", words[1]));
        assert_eq!(local.next(), "RESPONSE 3 RPC top\n5");
    }
    // What came from there doesn't go back there.
    local.send("REQUEST 4 RPC top op.f\n{\"args\": null, \"kwargs\": null}");
    assert!(local.next().contains("\"no_owner\""));
    // It leaves in the middle of a call.
    caller.send("REQUEST 8 RPC caller op.f\n{}");
    assert!(local.next().contains(" RPC caller op.f\n"));
    drop(local);
    assert!(caller.next().contains("outcome_unknown"));
}

#[test]
fn messages_go_both_ways_once() {
    let server = top();
    let mut early = Ws::session(&server, "early", "local");
    early.send("SUBSCRIBE news global False");
    early.send("SUBSCRIBE here local False");
    early.send("REQUEST 1 GET None nothing\n{}");
    assert!(early.next().starts_with("RESPONSE 1 "));
    let mut local = hello(&server, "local1", &["cfg"]);
    // What its own clients listen to, in the form in which it re-sends it.
    local.send("SUBSCRIBE talk\\.loud global False");
    local.send("REQUEST 1 SYNC None None\n{\"args\": null, \"kwargs\": {\"cfg\": -1}}");
    assert_eq!(local.next(), "SUBSCRIBE news global False");
    assert_eq!(local.next(), SYNCED);
    let mut late = Ws::session(&server, "late", "global");
    late.send("SUBSCRIBE late.too global False");
    late.send("SUBSCRIBE news global False");
    late.send("SUBSCRIBE r.* global True");
    assert_eq!(local.next(), "SUBSCRIBE late.too global False");

    local.send("MESSAGE news someone\n{\"message\": \"hi\"}");
    for session in [&mut early, &mut late] {
        assert_eq!(session.next(), "MESSAGE news someone\n{\"message\":\"hi\"}");
    }
    early.send("PUBLISH talk.loud\n{\"message\":\"a.b\"}");
    assert_eq!(local.next(), "MESSAGE talk\\.loud early\n{\"message\":\"a.b\"}");
    // Nothing comes twice: what is next for each is the next thing that happens.
    put(&server, "cfg.a", "1");
    assert!(local.next().contains("cfg.a"));
    for session in [&mut early, &mut late] {
        session.send("REQUEST 9 GET None nothing\n{}");
        assert!(session.next().starts_with("RESPONSE 9 "));
    }
}

#[test]
fn what_it_changes_in_a_config_root_is_set_right() {
    let server = top();
    put(&server, "cfg.a", "1");
    let mut watcher = Ws::session(&server, "watcher", "local");
    watcher.send("SUBSCRIBE cfg.a global False");
    watcher.send("REQUEST 1 GET None nothing\n{}");
    watcher.next();
    let mut local = hello(&server, "local1", &["cfg"]);
    local.send("REQUEST 1 SYNC None None\n{\"args\": null, \"kwargs\": {\"cfg\": 0}}");
    assert_eq!(local.next(), "SUBSCRIBE cfg.a global False");
    assert_eq!(local.next(), SYNCED);
    local.send("NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"cfg.a\", \"tega_id\": \"user\", \"instance\": 2}]");
    let right = "NOTIFY\n[{\"ope\":\"PUT\",\"path\":\"cfg\",\"tega_id\":\"top\",\"instance\":{\"a\":1}}]";
    assert_eq!(local.next(), right);
    assert_eq!(get(&server, "cfg.a"), "1");
    // A root that is nobody's business here is passed over.
    local.send(
        "NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"private.a\", \"tega_id\": \"user\", \"instance\": 2}]",
    );
    put(&server, "cfg.b", "1");
    assert!(local.next().contains("cfg.b"));
    assert_eq!(http(&server, "GET /private", &[], "").status, 404);
}

#[test]
fn only_a_session_that_syncs_is_a_link_and_nonsense_ends_it() {
    let server = top();
    let mut plain = Ws::session(&server, "plain", "global");
    let mut listener = Ws::session(&server, "listener", "global");
    listener.send("SUBSCRIBE news global False");
    listener.send("REQUEST 1 GET None nothing\n{}");
    listener.next();
    plain.send("REQUEST 1 GET None nothing\n{}");
    assert!(plain.next().starts_with("RESPONSE 1 "), "a plain session isn't sent a SUBSCRIBE");
    assert_eq!(http(&server, "GET /_forwarders", &[], "").text(), "[]");
    plain.send("NOTIFY\n[]");
    assert!(matches!(plain.try_next(), Ok(Frame::Closed(4000, _))));
    let mut ours = Ws::session(&server, "ours", "global 2");
    assert!(ours.ask(1, "SYNC", "-", "{}").get("error").is_some());
    // A body that can't be read is answered, and costs nothing more.
    let mut local = hello(&server, "local1", &["cfg"]);
    local.send("REQUEST 5 SYNC None None\n{\"args\": 1}");
    assert!(local.next().starts_with("RESPONSE 5 SYNC "));
    local.send("REQUEST 6 SYNC None None\n{\"args\": [\"cfg\"]}");
    assert_eq!(local.next(), "SUBSCRIBE news global False");
    assert_eq!(local.next(), "RESPONSE 6 SYNC None\nnull");
}

#[test]
fn half_of_a_bad_notify_isnt_applied() {
    let server = top();
    let mut local = linked(&server, "local1", &["cfg"]);
    refers(&mut local, "op");
    local.send(
        "NOTIFY\n[{\"ope\": \"PUT\", \"path\": \"op.a\", \"tega_id\": null, \"instance\": 1}, \
         {\"ope\": \"PUT\", \"path\": \"op\", \"tega_id\": null, \"instance\": 1}]",
    );
    assert!(matches!(local.try_next(), Ok(Frame::Closed(4000, _))));
    assert_eq!(http(&server, "GET /op", &[], "").status, 404);
    // A newer connection takes the place of the old one.
    let mut first = linked(&server, "local1", &["cfg"]);
    let _second = linked(&server, "local1", &["cfg"]);
    assert!(matches!(first.try_next(), Ok(Frame::Closed(4010, _))));
    assert_eq!(http(&server, "GET /_forwarders", &[], "").text(), r#"["local1"]"#);
}

#[test]
fn a_local_server_is_no_place_to_link_to() {
    let server = Server::within(
        Scratch::new(),
        &["--id", "top", "--global", "ws://127.0.0.1:1", "--config", "cfg", "--operational", "op"],
    );
    let mut local = hello(&server, "local1", &["cfg"]);
    local.send("REQUEST 1 SYNC None None\n{\"args\": null, \"kwargs\": {\"cfg\": -1}}");
    assert!(local.next().contains("this is a local server itself"));
}

#[test]
fn where_tokens_are_asked_for_only_who_is_expected_comes_in_without_one() {
    let expected = |from: &str| {
        let dir = Scratch::new();
        let data = dir.path().join("data").display().to_string();
        let args =
            ["token", "legacy", "local1", "--from", from, "--read", "cfg", "--write", "op", "--data", &data];
        let (code, _, said) = run(tega_command().args(args), "");
        assert_eq!(code, 0, "{said}");
        Server::within(dir, &["--id", "top"])
    };
    let server = expected("127.0.0.0/8");
    assert_eq!(http(&server, "GET /cfg", &[], "").status, 401);
    for other in ["SESSION local2 global", "SESSION local1 global 2"] {
        let mut ws = Ws::connect(&server);
        ws.send(other);
        assert!(matches!(ws.try_next(), Ok(Frame::Closed(4001, _))), "{other}");
    }
    let mut local = linked(&server, "local1", &["cfg"]);
    refers(&mut local, "op");
    local.send("REQUEST 4 SYNC None None\n{\"args\": null, \"kwargs\": {\"op2\": -1}}");
    assert!(local.next().starts_with("RESPONSE 4 SYNC None\n{\"error\":{\"code\":\"forbidden\""));
    local.send("REQUEST 5 REFER None None\n{\"args\": [\"op2\"], \"kwargs\": null}");
    assert!(local.next().starts_with("RESPONSE 5 REFER None\n{\"error\":{\"code\":\"forbidden\""));
    let elsewhere = expected("10.0.0.0/8");
    assert!(Ws::over(tcp(&elsewhere)).is_err());
}
