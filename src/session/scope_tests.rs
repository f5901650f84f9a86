//! Every frame and every kind of REQUEST with every kind of token; and that no notification shows too much.

use std::collections::HashSet;
use std::mem::discriminant;

use super::tests::{Talk, World, id, path, value};
use crate::message::{FromClient, Kind};
use crate::token::{Access, Grant};

fn of(grant: Grant) -> Access {
    Access::of(Grant { name: "t".into(), ..grant }.into())
}

fn reader(paths: &[&str]) -> Access {
    of(Grant { read: paths.iter().map(|text| path(text)).collect(), ..Grant::default() })
}

fn columns() -> [(&'static str, Access); 8] {
    let a = || vec![path("a")];
    [
        ("nothing", of(Grant::default())),
        ("read elsewhere", reader(&["z"])),
        ("read a part", reader(&["a.b.c"])),
        ("read", reader(&["a"])),
        ("write", of(Grant { write: a(), ..Grant::default() })),
        ("call", of(Grant { call: a(), ..Grant::default() })),
        ("channels", of(Grant { channels: a(), ..Grant::default() })),
        ("admin", of(Grant { admin: true, ..Grant::default() })),
    ]
}

/// What to ask, which columns may, `x` each, and the code of the answer that those get; empty: no refusal. A kind that isn't here
/// doesn't compile.
fn requests(kind: Kind) -> Vec<(&'static str, &'static str, &'static str)> {
    match kind {
        Kind::Get => vec![
            ("a", "--xx---x", ""),
            ("a\n{\"internal\":true}", "--xx---x", ""),
            ("a\n{\"version\":0}", "--xx---x", ""),
            ("a\n{\"regex\":true}", "-xxx---x", ""),
            ("-", "-xxx---x", ""),
        ],
        Kind::Put => vec![
            ("a.b.c\n{\"value\":5}", "----x--x", ""),
            ("a.b.c\n{\"value\":5,\"version\":77}", "----x--x", "conflict"),
            ("a.g\n{\"value\":5,\"ephemeral\":true}", "----x--x", ""),
        ],
        Kind::Delete => vec![("a.b.c\n{}", "----x--x", "")],
        Kind::Commit => vec![
            ("-\n{\"ops\":[{\"put\":\"a.x\",\"value\":1},{\"delete\":\"a.b.d\"}]}", "----x--x", ""),
            ("-\n{\"ops\":[{\"put\":\"a.x\",\"value\":1},{\"put\":\"y.x\",\"value\":1}]}", "-------x", ""),
        ],
        Kind::Rollback => vec![("a\n{\"backto\":0}", "----x--x", "")],
        Kind::Clear => vec![("-\n{}", "-------x", "")],
        Kind::Subscribe => vec![
            ("a\n{}", "--xx--xx", ""),
            ("a\n{\"state\":true,\"since\":0}", "--xx--xx", ""),
            ("a.*\n{\"regex\":true}", "-xxx--xx", ""),
        ],
        Kind::Rpc => vec![("a.f\n{}", "-----x-x", "no_owner")],
        // This server takes no links by a session, from nobody.
        Kind::Sync | Kind::Refer => vec![("a\n{}", "xxxxxxxx", "bad_request")],
    }
}

fn answer(talk: &mut Talk, frame: &str) -> String {
    talk.ask(frame).split_once('\n').unwrap().1.to_string()
}

fn code(body: &str) -> String {
    let error = value(body).get("error").cloned();
    error.and_then(|e| e.get("code")?.as_str().map(str::to_owned)).unwrap_or_default()
}

fn world() -> World {
    let world = World::new();
    world.put("a", r#"{"b":{"c":1,"d":2},"f":"%nobody.f"}"#);
    world.put("a.b.d", "3");
    world
}

#[test]
fn every_request_with_every_kind_of_token_has_the_answer_of_the_table() {
    let mut faults = Vec::new();
    for kind in Kind::ALL {
        for (rest, may, allowed) in requests(kind) {
            for ((name, access), may) in columns().into_iter().zip(may.bytes()) {
                let world = world();
                let mut talk = world.session_with("SESSION s local 2", access);
                let frame = match rest.split_once('\n') {
                    Some((path, body)) => format!("REQUEST 1 {} s {path}\n{body}", kind.as_str()),
                    None => format!("REQUEST 1 {} s {rest}", kind.as_str()),
                };
                let code = code(&answer(&mut talk, &frame));
                let wanted = if may == b'x' { allowed } else { "forbidden" };
                if code != wanted {
                    faults.push(format!("{frame:?} with {name}: {code:?}, not {wanted:?}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Which columns may send a frame. One that isn't here doesn't compile.
fn frame_row(frame: &FromClient<'_>) -> &'static str {
    match frame {
        FromClient::Session { .. } | FromClient::Unsubscribe { .. } => "xxxxxxxx",
        FromClient::Subscribe { channel, .. } if channel.regex => "-xxx--xx",
        FromClient::Subscribe { .. } => "--xx--xx",
        FromClient::Publish { .. } => "------xx",
        // Only of what it was asked by a REQUEST.
        FromClient::Response { .. } => "xxxxxxxx",
        // Refused to all of these as bad, whatever the token: none is the link of an original server.
        FromClient::Notify { .. } | FromClient::Message { .. } => "xxxxxxxx",
        // The table above has these.
        FromClient::Request { .. } => "--xx---x",
    }
}

#[test]
fn every_frame_with_every_kind_of_token_has_the_outcome_of_the_table() {
    let frames = [
        "SESSION s local 2",
        "SUBSCRIBE a local",
        "SUBSCRIBE a.* local True",
        "UNSUBSCRIBE a",
        "PUBLISH a\n1",
        "RESPONSE 1 RPC s\n1",
        "NOTIFY\n[]",
        "MESSAGE a x\n1",
        "REQUEST 1 GET s a",
    ];
    let read = |frame: &'static str| FromClient::read(frame).unwrap();
    let kinds: HashSet<_> = frames.iter().map(|frame| discriminant(&read(frame))).collect();
    assert_eq!(kinds.len(), 8, "a frame isn't tried");
    for frame in frames {
        for ((name, access), may) in columns().into_iter().zip(frame_row(&read(frame)).bytes()) {
            let world = world();
            let mut talk = world.connect_with(access);
            if !frame.starts_with("SESSION") {
                assert_eq!(talk.say("SESSION s local 2"), ["SESSIONACK global"]);
            }
            let refused = talk.say(frame).iter().any(|answer| answer.contains(r#""code":"forbidden""#));
            assert_eq!(refused, may != b'x', "{frame:?} with {name}");
        }
    }
}

#[test]
fn a_session_under_a_tega_id_that_its_token_may_not_have_is_closed() {
    let world = world();
    let access = || of(Grant { tega_id: Some(id("r1")), ..Grant::default() });
    let end = world.connect_with(access()).ends("SESSION r2 local");
    assert_eq!((end.code, end.reason.as_str()), (4001, "token \"t\" may not act as r2"));
    assert!(world.hub.ids().is_empty());
    assert_eq!(world.connect_with(access()).say("SESSION r1 local"), ["SESSIONACK global"]);
}

#[test]
fn an_original_session_is_closed_by_what_it_may_not_listen_to() {
    let world = world();
    let mut talk = world.session_with("SESSION s local", reader(&["z"]));
    let end = talk.ends("SUBSCRIBE a local");
    assert_eq!((end.code, end.reason.as_str()), (4000, "token \"t\" may not listen to a"));
}

#[test]
fn of_one_channel_each_is_given_what_it_may_have() {
    let world = world();
    let mut readers: Vec<Talk> = [reader(&["a"]), reader(&["a.b.c"]), reader(&["a.b"]), reader(&["a.b.c"])]
        .into_iter()
        .map(|access| world.session_with("SESSION s local", access))
        .collect();
    let channels = of(Grant { channels: vec![path("a")], ..Grant::default() });
    let mut hearer = world.session_with("SESSION h local", channels);
    for talk in readers.iter_mut().chain([&mut hearer]) {
        assert_eq!(talk.say("SUBSCRIBE a local"), Vec::<String>::new());
    }
    let mut sender = world.session_with("SESSION x local", Access::all());
    sender.say("PUBLISH a\n\"hello\"");
    world.put("a.b", r#"{"c":7,"d":"secret"}"#);
    let entry = |instance: &str| {
        vec![format!(
            "NOTIFY\n[{{\"ope\":\"PUT\",\"path\":\"a.b\",\"tega_id\":\"writer\",\"instance\":{instance}}}]"
        )]
    };
    assert_eq!(readers[0].pending(), entry(r#"{"c":7,"d":"secret"}"#));
    assert_eq!(readers[1].pending(), entry(r#"{"c":7}"#));
    assert_eq!(readers[2].pending(), entry(r#"{"c":7,"d":"secret"}"#));
    assert_eq!(readers[3].pending(), entry(r#"{"c":7}"#));
    // It may hear, not read.
    let heard = hearer.pending();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("MESSAGE a x\n"), "{heard:?}");
}

#[test]
fn what_was_missed_and_the_roots_to_resume_from_are_cut_too() {
    let world = world();
    world.put("hidden", r#"{"x":"secret"}"#);
    let mut talk = world.session_with("SESSION s local 2", reader(&["a.b.c"]));
    let begun = value(&answer(&mut talk, "REQUEST 1 SUBSCRIBE s a\n{}"));
    let roots = begun.get("roots").unwrap();
    assert_eq!(roots.as_object().unwrap().members().len(), 1, "{roots}");
    world.put("a.b.d", "\"secret\"");
    world.put("a.b", r#"{"c":8,"d":"secret"}"#);
    world.put("hidden.x", "\"secret\"");
    let mut talk = world.session_with("SESSION s local 2", reader(&["a.b.c"]));
    for channel in ["a\n{\"since\":ROOTS}", "a.*\n{\"regex\":true,\"since\":ROOTS}"] {
        let frame = format!("REQUEST 1 SUBSCRIBE s {}", channel.replace("ROOTS", &roots.to_string()));
        let resumed = answer(&mut talk, &frame);
        assert!(resumed.contains(r#""instance":{"c":8}"#), "{resumed}");
        assert!(!resumed.contains("secret") && !resumed.contains("hidden"), "{resumed}");
        let missed = value(&resumed).get("missed").unwrap().as_list().unwrap().items().len();
        assert_eq!(missed, 1, "{resumed}");
    }
}

#[test]
fn who_listens_is_told_of_channels_that_may_be_known() {
    let world = world();
    let mut talk = world.session_with("SESSION s local", Access::all());
    for channel in ["SUBSCRIBE a.b global", "SUBSCRIBE z global", "SUBSCRIBE a.(b|z) global True"] {
        talk.say(channel);
    }
    let names = |access: &Access| world.hub.channels(access).into_iter().map(|c| c.0).collect::<Vec<_>>();
    assert_eq!(names(&Access::all()), ["a.(b|z)", "a.b", "z"]);
    let access = reader(&["a.b.c"]);
    assert_eq!(names(&access), ["a.b"]);
    assert_eq!(world.hub.subscribers(&access), [(id("s"), vec!["a.b".to_string()])]);
    assert_eq!(world.hub.global_channels(&access).len(), 1);
    assert!(world.hub.subscribers(&reader(&["y"])).is_empty());
}
