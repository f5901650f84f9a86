//! The grammar of a link: what is written reads back, and what can't be read says what was wanted.

use super::body::{
    MAX_ROOTS, MAX_SESSIONS, read_call, read_done, read_presence, read_sessions, read_versions, read_write,
};
use super::*;
use crate::api::error::Refusal;
use crate::store::{Op, Standing, Transaction};
use crate::tree::Version;
use crate::value::Value;

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn standing(version: u64) -> Option<Standing> {
    Some(Standing { incarnation: Incarnation(0xabc), version: Version(version), digest: u64::MAX - 1 })
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

#[test]
fn every_frame_reads_back_from_what_it_is_written_as() {
    let (p, q) = (Position(u64::MAX), Position(0));
    let hello = Hello {
        protocol: 1,
        follow: vec![("config-r1".into(), standing(7)), ("new".into(), None)],
        serve: vec![("ope r\"1".into(), standing(0))],
    };
    let welcome = Welcome {
        protocol: 1,
        known: vec![("a".into(), None)],
        refused: vec![
            Refused { root: "b".into(), reason: "no \"b\"\nhere".into(), home: None },
            Refused { root: "c".into(), reason: "moved".into(), home: Some(id("r2")) },
        ],
        handover: keys(&["d"]),
    };
    let (node, other) = (path(r#"a["b c"].d%"#), path("x"));
    let regex = Channel::regex("a b\\..*%").unwrap();
    let name = |word, regex| ChannelName { word, regex };
    for (text, frame) in [
        (
            link(&id("r1"), Incarnation(5), &hello),
            Frame::Link { tega_id: id("r1"), instance: Incarnation(5), hello: hello.clone() },
        ),
        (linked(&id("g"), &welcome), Frame::Linked { tega_id: id("g"), welcome: welcome.clone() }),
        (begin(p, &keys(&["a", "b c"])), Frame::Begin { position: p, roots: keys(&["a", "b c"]) }),
        (snapshot(q, &[]), Frame::Snapshot { position: q, roots: vec![] }),
        (lines("{}\n[1]\n"), Frame::Lines { lines: "{}\n[1]\n" }),
        (snapped(p, 0xfe), Frame::Snapped { position: p, crc: 0xfe }),
        (commit(p, q, "{\"x\":\r\n1}"), Frame::Commit { position: p, after: q, record: "{\"x\":\r\n1}" }),
        (part(" x "), Frame::Part { text: " x " }),
        (at(p, q), Frame::At { position: p, after: q }),
        (ack(p), Frame::Ack { position: p }),
        (resync(&hello.follow), Frame::Resync { known: hello.follow.clone() }),
        (write(u32::MAX, None, "{}"), Frame::Write { seq: u32::MAX, tega_id: None, body: "{}" }),
        (write(1, Some(&id("me")), "{}"), Frame::Write { seq: 1, tega_id: Some(id("me")), body: "{}" }),
        (fresh(2, &"a b%".into()), Frame::Fresh { seq: 2, root: "a b%".into() }),
        (
            prove(5, &"a b%".into(), u64::MAX - 1),
            Frame::Prove { seq: 5, root: "a b%".into(), nonce: u64::MAX - 1 },
        ),
        (
            call(3, Some(&id("me")), &node, "{}"),
            Frame::Call { seq: 3, tega_id: Some(id("me")), path: node.clone(), body: "{}" },
        ),
        (call(3, None, &other, "{}"), Frame::Call { seq: 3, tega_id: None, path: other.clone(), body: "{}" }),
        (done(4, "{\"a\":1}"), Frame::Done { seq: 4, body: "{\"a\":1}" }),
        (
            publish("a.b%c d", &id("me"), "{}"),
            Frame::Publish { channel: name("a.b%25c%20d", false), tega_id: id("me"), body: "{}" },
        ),
        (listen(&Channel::Path(other.clone()), true), Frame::Listen { channel: name("x", false), on: true }),
        (listen(&regex, false), Frame::Listen { channel: name("a%20b\\..*%25", true), on: false }),
        (notify(&regex, "[]"), Frame::Notify { channel: name("a%20b\\..*%25", true), entries: "[]" }),
        (notify(&Channel::Path(other), "[1]"), Frame::Notify { channel: name("x", false), entries: "[1]" }),
    ] {
        assert_eq!(Frame::read(&text), Ok(frame), "{text}");
    }
}

#[test]
fn whose_sessions_there_are_reads_back_and_is_bounded() {
    let body = |text: &str| text.strip_prefix("SESSIONS\n").map(str::to_string).unwrap();
    for ids in [vec![], vec![id("a"), id("b-1")]] {
        let text = sessions(&ids);
        assert!(matches!(Frame::read(&text), Ok(Frame::Sessions { .. })));
        assert_eq!(read_sessions(&body(&text)), Ok(ids));
    }
    let many: Vec<TegaId> = (0..MAX_SESSIONS + 5).map(|n| id(&format!("s{n}"))).collect();
    assert_eq!(read_sessions(&body(&sessions(&many))).unwrap(), many[..MAX_SESSIONS]);
    let too_many = format!("[{}]", vec!["\"x\""; MAX_SESSIONS + 1].join(","));
    for text in ["{}", "[1]", "[\"a b\"]", "[", &too_many] {
        assert!(read_sessions(text).is_err(), "{text:.40}");
    }
}

#[test]
fn a_refusal_crosses_with_its_status() {
    for status in [409, 503, 504] {
        let refusal = Refusal { status, ..Refusal::new("outcome_unknown", "who \"knows\"") };
        assert_eq!(read_done(&body::refused(&refusal)), Err(refusal));
    }
    let conflict = Refusal { expected: Some(1), actual: Some(2), ..Refusal::new("conflict", "no") };
    assert_eq!(read_done(&body::refused(&conflict.clone().at(&path("a.b")))), Err(conflict.at(&path("a.b"))));
    // What only another version could mean is passed over.
    let strange = r#"{"error":{"code":"outcome_unknown","message":"x"},"status":200}"#;
    assert_eq!(read_done(strange).unwrap_err().status, 504);
}

#[test]
fn a_proof_reads_back_and_nothing_else_is_one() {
    let proof = body::proof(u64::MAX, (Incarnation(0xab), Version(7)));
    assert_eq!(body::read_proof(&proof), Some((u64::MAX, Incarnation(0xab), Version(7))));
    for json in ["null", "{}", r#"{"nonce":"1","inc":"00000000000000ab","version":7}"#] {
        assert_eq!(body::read_proof(&Value::parse(json).unwrap()), None, "{json}");
    }
}

#[test]
fn a_channel_means_the_same_at_the_other_end() {
    let regex = Channel::regex("a b\\..*%").unwrap();
    for channel in [regex, Channel::Path(path(r#"a["b c%"]"#))] {
        let text = listen(&channel, true);
        match Frame::read(&text).unwrap() {
            Frame::Listen { channel: name, .. } if name.regex => assert_eq!(name.regex(), channel.text()),
            Frame::Listen { channel: name, .. } => {
                assert_eq!(name.path().unwrap().to_string(), channel.text());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_frame_that_cant_be_read_says_what_was_wanted() {
    let hello = r#"{"protocol":1,"follow":{},"serve":{}}"#;
    let many: Vec<String> = (0..=MAX_ROOTS).map(|n| format!("\"r{n}\":null")).collect();
    let many = format!(r#"{{"protocol":1,"follow":{{{}}},"serve":{{}}}}"#, many.join(","));
    let linked = |body: &str| format!("LINKED g\n{body}");
    let linking = |body: &str| format!("LINK r1 00000000000000ab\n{body}");
    for (text, why) in [
        (String::new(), "isn't of a link's grammar"),
        ("SESSION r1 local".into(), "\"SESSION\""),
        ("LINK r1".into(), "LINK: an instance is missing"),
        (format!("LINK r.1 00000000000000ab\n{hello}"), "tega ID \"r.1\""),
        (format!("LINK r1 ab\n{hello}"), "16 hex digits"),
        (format!("LINK r1 00000000000000ab more\n{hello}"), "\"more\" is too much"),
        ("LINK r1 00000000000000ab".into(), "second line"),
        (linking("[]"), "must be an object"),
        (linking("{"), "line 1"),
        (linking(r#"{"follow":{},"serve":{}}"#), "\"protocol\""),
        (linking(r#"{"protocol":0,"follow":{},"serve":{}}"#), "\"protocol\""),
        (linking(r#"{"protocol":1,"serve":{}}"#), "\"follow\""),
        (linking(r#"{"protocol":1,"follow":{"a":1},"serve":{}}"#), "a: ["),
        (
            linking(r#"{"protocol":1,"follow":{"a":["00000000000000ab",-1,"00000000000000ab"]},"serve":{}}"#),
            "a: [",
        ),
        (linking(r#"{"protocol":1,"follow":{"a":["ab",1,"00000000000000ab"]},"serve":{}}"#), "a: ["),
        (linking(r#"{"protocol":1,"follow":{"_a":null},"serve":{}}"#), "begins with"),
        (linking(r#"{"protocol":1,"follow":{"a":null},"serve":{"a":null}}"#), "both followed and served"),
        (linking(&many), "more than 1000 roots"),
        (linked(r#"{"protocol":1,"known":{},"handover":[]}"#), "\"refused\""),
        (linked(r#"{"protocol":1,"known":{},"refused":{"a":"no"},"handover":[]}"#), "a: [REASON"),
        (linked(r#"{"protocol":1,"known":{},"refused":{"a":["no","."]},"handover":[]}"#), "a: [REASON"),
        (linked(r#"{"protocol":1,"known":{},"refused":{},"handover":[1]}"#), "\"handover\""),
        ("BEGIN\n{\"roots\":[]}".into(), "a position is missing"),
        ("BEGIN x\n{\"roots\":[]}".into(), "a position wanted"),
        ("BEGIN +1\n{\"roots\":[]}".into(), "a position wanted"),
        ("BEGIN 1\n{}".into(), "\"roots\""),
        ("SNAPSHOT 1\n{\"roots\":[\"\"]}".into(), "empty"),
        ("LINES".into(), "second line"),
        ("SNAPPED 1".into(), "a checksum is missing"),
        ("SNAPPED 1 +000000f".into(), "8 hex digits"),
        ("COMMIT 1\n{}".into(), "a position is missing"),
        ("COMMIT 18446744073709551616 0\n{}".into(), "a position wanted"),
        ("AT 1".into(), "a position is missing"),
        ("ACK 1 2".into(), "\"2\" is too much"),
        ("ACK -1".into(), "a position wanted"),
        ("RESYNC\n{\"known\":[]}".into(), "\"known\""),
        ("WRITE x -\n{}".into(), "a number from 0"),
        ("WRITE 1\n{}".into(), "a tega ID is missing"),
        ("FRESH 1 a.b".into(), "the name of a root wanted"),
        ("FRESH 1 _a".into(), "the name of a root wanted"),
        ("PROVE 1 a".into(), "a nonce is missing"),
        ("PROVE 1 a ab".into(), "16 hex digits"),
        ("CALL 1 - a..b\n{}".into(), "empty key"),
        ("LISTEN a maybe".into(), "True or False wanted"),
        ("NOTIFY a".into(), "second line"),
    ] {
        let error = Frame::read(&text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(why), "{text:?}: {error}");
    }
}

/// Any cut and any changed byte of a frame reads as something or is refused; it never panics.
#[test]
fn no_text_makes_the_reader_panic() {
    let hello = Hello { protocol: 1, follow: vec![("a".into(), standing(3))], serve: vec![] };
    let presence = Presence { full: true, gone: vec![path("a.b")], ..Presence::default() };
    let texts = [
        link(&id("r1"), Incarnation(5), &hello),
        linked(&id("g"), &Welcome { protocol: 1, handover: keys(&["ä"]), ..Welcome::default() }),
        snapped(Position(7), 9),
        commit(Position(7), Position(5), "{}"),
        call(3, None, &path("a.ö"), "{}"),
        super::presence(&presence),
    ];
    let mut read = 0;
    for text in &texts {
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (before, after) = text.split_at(at);
            let rest = after.chars().next().map_or("", |c| &after[c.len_utf8()..]);
            for text in [before.to_owned(), format!("{before}\u{0}{rest}"), format!("{before}\n{rest}")] {
                if let Ok(Frame::Presence { body }) = Frame::read(&text) {
                    read += usize::from(read_presence(body).is_ok());
                }
            }
        }
    }
    assert!(read > 0, "some cuts are still good");
}

#[test]
fn a_long_body_goes_in_pieces_that_make_the_whole() {
    for (len, parts) in [(1, 0), (MAX_PIECE, 0), (MAX_PIECE + 1, 1), (2 * MAX_PIECE + 1, 2)] {
        // Two bytes a character, at odd places.
        let body = format!("x{}", "ä".repeat(len / 2));
        let (ahead, rest) = pieces(&body);
        assert!(
            ahead.len() >= parts && !rest.is_empty() && ahead.iter().all(|piece| piece.len() <= MAX_PIECE)
        );
        assert_eq!(ahead.concat() + rest, body);
    }
    assert_eq!(pieces("").1, "");
}

#[test]
fn a_write_and_its_answer_read_back() {
    let mut transaction = Transaction::new(Some(id("me"))).put(path("a.b"), Value::from(1));
    let writes = read_write(&body::write(&transaction)).unwrap();
    assert_eq!((writes.ops, writes.request_id, writes.durable), (transaction.ops.clone(), None, false));
    (transaction.request_id, transaction.durable) = (Some("r-1".into()), true);
    transaction.ops.push(Op::Delete { path: path("a.c"), expect: None });
    let writes = read_write(&body::write(&transaction)).unwrap();
    assert_eq!((writes.ops, writes.request_id, writes.durable), (transaction.ops, Some("r-1".into()), true));
    assert!(read_write("{\"ops\":1}").is_err());

    let refusal = crate::api::error::Refusal::not_found(&path("a.b"));
    assert_eq!(read_done(&refusal.to_json()), Err(refusal));
    let result = body::result(&Value::parse(r#"{"error":{"code":"x"}}"#).unwrap());
    assert!(read_done(&result).is_ok(), "what a call returned isn't a refusal, whatever it looks like");
}

#[test]
fn a_call_and_a_fresh_read_back() {
    let arguments = Value::parse(r#"{"args":[1,{"a":null}],"kwargs":null}"#).unwrap();
    assert_eq!(read_call(&body::call(&arguments, 30_000)), Ok((arguments, 30_000)));
    assert!(read_call("{}").is_err());
    let root = Key::from("a b");
    for (stands, wanted) in [
        (Some((Incarnation(7), Version(3))), r#"{"versions":{"a b":["0000000000000007",3]},"position":9}"#),
        (None, r#"{"versions":{"a b":null},"position":9}"#),
    ] {
        let text = body::versions(&root, stands, Position(9));
        assert_eq!(text, wanted);
        let value = Value::parse(&text).unwrap();
        assert_eq!(read_versions(&value).unwrap(), [(root.clone(), stands)]);
        assert_eq!(body::read_position(&value), Some(Position(9)));
    }
    for bad in [r#"{"versions":{"a":[3]}}"#, r#"{"versions":{"a":["0000000000000007",-1]}}"#, "{}"] {
        let bad = Value::parse(bad).unwrap();
        assert_eq!((read_versions(&bad), body::read_position(&bad)), (None, None), "{bad}");
    }
}

#[test]
fn presence_reads_back_and_says_what_is_wrong() {
    let leased = |at: &str, value: &str| Leased {
        path: path(at),
        value: Value::parse(value).unwrap(),
        owner: id("wifi"),
        age_s: 17,
    };
    for presence in [
        Presence::default(),
        Presence { full: true, more: true, put: vec![leased("a.b", "{\"c\":1}")], gone: vec![] },
        Presence {
            put: vec![leased("a[\"b c\"]", "null"), leased("b", "1")],
            gone: vec![path("c.d")],
            ..Presence::default()
        },
    ] {
        let text = super::presence(&presence);
        let Ok(Frame::Presence { body }) = Frame::read(&text) else { panic!("{text}") };
        assert_eq!(read_presence(body), Ok(presence));
    }
    for (body, why) in [
        ("[]", "must be an object"),
        (r#"{"put":1}"#, "\"put\": a list"),
        (r#"{"put":[["a"]]}"#, "[path,value,owner,age_s]"),
        (r#"{"put":[["a..b",1,"me",0]]}"#, "empty key"),
        (r#"{"put":[["a",1,"m e",0]]}"#, "tega ID"),
        (r#"{"gone":[1]}"#, "paths"),
        (r#"{"gone":["_a"]}"#, "begins with"),
        (r#"{"full":1}"#, "true or false"),
    ] {
        let error = read_presence(body).unwrap_err().to_string();
        assert!(error.contains(why), "{body}: {error}");
    }
}
