use super::body::{Ask, Get};
use super::*;
use crate::api::error::Refusal;
use crate::commit::{Incarnation, Position, TegaId};
use crate::path::Path;
use crate::store::{Expect, Op, Receipt, Since};
use crate::tree::Version;
use crate::value::Value;

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn refusal<T>(result: Result<T, Refusal>) -> String {
    match result {
        Ok(_) => panic!("not refused"),
        Err(refusal) => {
            assert_eq!(refusal.code, "bad_request");
            refusal.message
        }
    }
}

/// What the original's Go driver sends, byte by byte.
#[test]
fn the_go_drivers_frames_are_read() {
    let read = |frame| FromClient::read(frame).unwrap();
    assert_eq!(
        read("SESSION anonymous local"),
        FromClient::Session { tega_id: id("anonymous"), scope: Scope::Local, dialect: Dialect::Original }
    );
    assert_eq!(
        read("SUBSCRIBE anonymous local False"),
        FromClient::Subscribe {
            channel: ChannelName { word: "anonymous", regex: false },
            scope: Scope::Local
        }
    );
    assert_eq!(
        read("SUBSCRIBE r.* global True"),
        FromClient::Subscribe { channel: ChannelName { word: "r.*", regex: true }, scope: Scope::Global }
    );
    assert_eq!(
        read("UNSUBSCRIBE a.b False"),
        FromClient::Unsubscribe { channel: Some(ChannelName { word: "a.b", regex: false }) }
    );
    assert_eq!(
        read("PUBLISH a.b\n{\"message\":{\"message\":\"hi\"}}"),
        FromClient::Publish { channel: "a.b", body: "{\"message\":{\"message\":\"hi\"}}" }
    );
    assert_eq!(
        read("RESPONSE 7 RPC anonymous\n{\"result\":3}"),
        FromClient::Response { seq: 7, body: "{\"result\":3}" }
    );
}

#[test]
fn what_is_sent_to_the_go_driver_has_the_words_that_it_looks_for() {
    let mut out = String::new();
    message::session_ack(&mut out, &id("global"));
    assert_eq!(out, "SESSIONACK global");
    out.clear();
    message::message(&mut out, &path("a.b"), &id("x"), "{\"message\":1}");
    assert_eq!(out, "MESSAGE a.b x\n{\"message\":1}");
    out.clear();
    message::request(
        &mut out,
        65_535,
        Kind::Rpc,
        Some(&id("x")),
        Some(&path("r.f")),
        "{\"args\":[],\"kwargs\":{}}",
    );
    assert_eq!(out, "REQUEST 65535 RPC x r.f\n{\"args\":[],\"kwargs\":{}}");
    // The driver splits at every line end and takes the second line: a body must have none.
    assert_eq!(out.lines().count(), 2);
}

use super as message;

#[test]
fn a_frame_that_a_client_wrote_reads_back() {
    let mut out = String::new();
    for (scope, dialect) in [(Scope::Local, Dialect::Original), (Scope::Global, Dialect::Second)] {
        out.clear();
        session(&mut out, &id("a-1_B"), scope, dialect);
        assert_eq!(FromClient::read(&out), Ok(FromClient::Session { tega_id: id("a-1_B"), scope, dialect }));
    }
    for text in
        ["a.b", r#"a["x y"].c"#, r#"r["100%"]"#, r#"r["%20"]"#, r#"a["\r\n"]"#, "a.local", "local", "True"]
    {
        out.clear();
        subscribe(&mut out, text, Scope::Global, false);
        match FromClient::read(&out) {
            Ok(FromClient::Subscribe { channel, scope: Scope::Global }) => {
                assert_eq!(channel.path().unwrap().to_string(), path(text).to_string());
            }
            other => panic!("{out:?}: {other:?}"),
        }
    }
    for regex in [r"(r)-(.*)\.(.*)", "a b", "100%", "%20", "%41", r"a\nb", "%%25%2"] {
        out.clear();
        unsubscribe(&mut out, Some((regex, true)));
        match FromClient::read(&out) {
            Ok(FromClient::Unsubscribe { channel: Some(channel) }) => {
                assert!(channel.regex);
                assert_eq!(channel.regex(), regex, "{out:?}");
            }
            other => panic!("{out:?}: {other:?}"),
        }
    }
    out.clear();
    unsubscribe(&mut out, None);
    assert_eq!(FromClient::read(&out), Ok(FromClient::Unsubscribe { channel: None }));
    out.clear();
    request(&mut out, u32::MAX, Kind::Get, Some(&id("x")), Some(&path(r#"a["b c"]"#)), "{}");
    assert_eq!(
        FromClient::read(&out),
        Ok(FromClient::Request {
            seq: u32::MAX,
            kind: "GET",
            tega_id: Some("x"),
            path: Some(r#"a["b%20c"]"#),
            body: Some("{}")
        })
    );
}

#[test]
fn an_absent_field_is_the_literal_none() {
    for frame in ["REQUEST 1 SYNC None None", "REQUEST 1 SYNC", "REQUEST 1 SYNC None -\n"] {
        let absent = FromClient::Request { seq: 1, kind: "SYNC", tega_id: None, path: None, body: None };
        assert_eq!(FromClient::read(frame), Ok(absent), "{frame:?}");
    }
}

#[test]
fn the_last_words_of_a_subscribe_are_scope_and_flag_and_everything_between_is_the_channel() {
    for (line, word, regex, scope) in [
        ("a", "a", false, Scope::Local),
        ("a True", "a", true, Scope::Local),
        ("a global", "a", false, Scope::Global),
        ("a b local True", "a b", true, Scope::Local),
        ("local", "local", false, Scope::Local),
        ("local local False", "local", false, Scope::Local),
        ("a local global true", "a local", true, Scope::Global),
        ("True", "True", false, Scope::Local),
    ] {
        let frame = format!("SUBSCRIBE {line}");
        let channel = ChannelName { word, regex };
        assert_eq!(FromClient::read(&frame), Ok(FromClient::Subscribe { channel, scope }), "{line}");
    }
}

#[test]
fn an_escaped_dot_in_a_channel_that_is_no_regex_is_a_dot() {
    let name = |word, regex| ChannelName { word, regex };
    assert_eq!(name(r"a\.b\.c", false).path(), Ok(path("a.b.c")));
    assert_eq!(name(r"a\.b", true).regex(), r"a\.b");
    assert!(name("a..b", false).path().unwrap_err().to_string().contains("empty key"));
}

#[test]
fn a_frame_that_cant_be_read_is_refused_with_what_was_wanted() {
    for (frame, why) in [
        ("", "command \"\""),
        ("HELLO x", "\"HELLO\""),
        ("session a local", "\"session\""),
        ("SESSION", "tega ID \"\""),
        ("SESSION a.b local", "tega ID \"a.b\""),
        ("SESSION a sync", "local or global"),
        ("SESSION a local 3", "speaks 1 and 2"),
        ("SESSION a local 2 x", "too many"),
        ("SUBSCRIBE", "missing"),
        ("SUBSCRIBE  ", "missing"),
        ("PUBLISH a", "second line"),
        ("PUBLISH a\n", "second line"),
        ("PUBLISH\n{}", "missing"),
        ("REQUEST", "seq"),
        ("REQUEST x GET", "seq \"x\""),
        ("REQUEST -1 GET", "seq"),
        ("REQUEST +1 GET", "seq"),
        ("REQUEST 4294967296 GET", "seq"),
        ("REQUEST 1", "type is missing"),
        ("RESPONSE 1 RPC x", "second line"),
        ("RESPONSE x RPC x\n1", "seq"),
    ] {
        let error = FromClient::read(frame).expect_err(frame).to_string();
        assert!(error.contains(why), "{frame:?}: {error}");
    }
    for frame in ["NOTIFY", "MESSAGE a\n1", "SESSIONACK", "RESPONSE 1 GET x", "HELLO"] {
        assert!(FromServer::read(frame).is_err(), "{frame}");
    }
    // Arbitrary text never panics, whatever it's cut at.
    let text = "SUBSCRIBE é%2 %é local True\n{\"ä\":1}";
    for (at, _) in text.char_indices() {
        let _ = FromClient::read(&text[..at]).map(|frame| match frame {
            FromClient::Subscribe { channel, .. } => (channel.regex().len(), channel.path().is_ok()),
            _ => (0, false),
        });
    }
}

#[test]
fn a_frame_that_a_server_wrote_reads_back() {
    let mut out = String::new();
    response_head(&mut out, 3, "GET", "global");
    out.push_str("{\"value\":1}");
    let read = FromServer::read(&out).unwrap();
    assert_eq!(read, FromServer::Response { seq: 3, kind: "GET", body: "{\"value\":1}" });
    out.clear();
    super::message(&mut out, &path(r#"a["b c"]"#), &id("x"), "{}");
    let read = FromServer::read(&out).unwrap();
    assert_eq!(read, FromServer::Message { channel: r#"a["b%20c"]"#, tega_id: "x", body: "{}" });
    assert_eq!(FromServer::read("SESSIONACK g"), Ok(FromServer::SessionAck { tega_id: "g" }));
    assert_eq!(FromServer::read("NOTIFY\n[]"), Ok(FromServer::Notify { entries: "[]" }));
    assert_eq!(FromServer::read("ERROR\n{}"), Ok(FromServer::Error { body: "{}" }));
}

fn ops_of(kind: Kind, path: Option<&str>, body: &str) -> Result<Vec<Op>, Refusal> {
    match body::read(kind, path, Some(body))? {
        Ask::Write(writes) => Ok(writes.ops),
        _ => panic!("no write"),
    }
}

#[test]
fn each_write_is_one_transaction() {
    let expect = |version| Some(Expect { version, incarnation: None });
    let put = |expect, ephemeral| Op::Put { path: path("a.b"), value: value("{\"x\":1}"), expect, ephemeral };
    let one = |kind, body| ops_of(kind, Some("a.b"), body).unwrap();
    assert_eq!(one(Kind::Put, r#"{"value":{"x":1}}"#), [put(None, false)]);
    assert_eq!(one(Kind::Put, r#"{"value":{"x":1},"version":-1,"ephemeral":true}"#), [put(expect(-1), true)]);
    assert_eq!(one(Kind::Put, r#"{"value":{"x":1},"version":null}"#), [put(None, false)]);
    let delete = |expect| Op::Delete { path: path("a.b"), expect };
    assert_eq!(one(Kind::Delete, "{}"), [delete(None)]);
    assert_eq!(one(Kind::Delete, r#"{"version":0}"#), [delete(expect(0))]);
    let back = ops_of(Kind::Rollback, Some("a"), r#"{"backto":-1}"#).unwrap();
    assert_eq!(back, [Op::Rollback { root: "a".into(), back_to: -1, expect: None }]);
    let back = ops_of(Kind::Rollback, Some("a"), r#"{"backto":3,"version":7}"#).unwrap();
    assert_eq!(back, [Op::Rollback { root: "a".into(), back_to: 3, expect: expect(7) }]);
    let commit = body::commit(&[put(None, false), delete(expect(2))], Some("r-1"));
    match body::read(Kind::Commit, None, Some(&commit)).unwrap() {
        Ask::Write(writes) => {
            assert_eq!(writes.ops, [put(None, false), delete(expect(2))]);
            assert_eq!((writes.request_id.as_deref(), writes.durable), (Some("r-1"), false));
        }
        _ => panic!(),
    }
    let text = body::put(&value("null"), Some(3), true);
    assert_eq!(text, r#"{"value":null,"version":3,"ephemeral":true}"#);
}

#[test]
fn every_operation_reads_back_from_what_it_is_written_as() {
    for text in [
        r#"{"put":"a[\"b c\"]","value":{"x":[1,null]}}"#,
        r#"{"put":"a","value":{},"version":-1}"#,
        r#"{"put":"a.b","value":1,"version":7,"ephemeral":true}"#,
        r#"{"delete":"a.b"}"#,
        r#"{"delete":"a.b","version":0}"#,
        r#"{"rollback":"a","backto":-2}"#,
        r#"{"rollback":"[\"a.b\"]","backto":4}"#,
        r#"{"rollback":"a","backto":4,"version":7}"#,
    ] {
        let op = ops::read(&value(text)).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut out = String::new();
        ops::write(&op, &mut out);
        assert_eq!(out, text);
    }
}

#[test]
fn an_operation_that_cant_be_is_refused_with_its_place_and_the_reason() {
    for (text, why) in [
        (r#"{"put":"a.b","value":1}"#, "must be a list"),
        (r#"[{"delete":"a"},1]"#, "operation 1: an operation is an object"),
        (r#"[{}]"#, "one of \"put\""),
        (r#"[{"put":"a.b"}]"#, "needs a \"value\""),
        (r#"[{"put":1,"value":1}]"#, "as a string"),
        (r#"[{"put":"a..b","value":1}]"#, "empty key"),
        (r#"[{"put":"a.b","value":1,"versoin":3}]"#, "\"versoin\" isn't known"),
        (r#"[{"put":"a.b","value":1,"version":-2}]"#, "must not exist"),
        (r#"[{"put":"a.b","value":1,"version":"3"}]"#, "an integer"),
        (r#"[{"put":"a.b","value":1,"ephemeral":1}]"#, "true or false"),
        (r#"[{"delete":"a","put":"b","value":1}]"#, "\"delete\" isn't known"),
        (r#"[{"rollback":"a.b","backto":1}]"#, "whole root"),
        (r#"[{"rollback":"a"}]"#, "backto"),
    ] {
        let message = refusal(ops::read_list(&value(text)));
        assert!(message.contains(why), "{text}: {message}");
    }
    let many = Value::list(vec![value(r#"{"delete":"a"}"#); ops::MAX_OPS + 1]).unwrap();
    assert_eq!(ops::read_list(&many).unwrap_err().code, "too_large");
}

#[test]
fn a_body_that_cant_be_is_refused_with_the_reason() {
    for (kind, path, body, why) in [
        (Kind::Put, Some("a.b"), "{}", "needs a \"value\""),
        (Kind::Put, Some("a.b"), "[1]", "must be an object"),
        (Kind::Put, Some("a.b"), "{\"value\":1", "line 1"),
        (Kind::Put, Some("a.b"), "{\"value\":1,\"value\":2}", "occurs twice"),
        (Kind::Put, Some("a b"), "{\"value\":1}", "plain key"),
        (Kind::Put, None, "{\"value\":1}", "needs a path"),
        (Kind::Put, Some("a"), "{\"value\":1,\"request_id\":2}", "a string"),
        (Kind::Get, Some("a"), "{\"verison\":1}", "isn't known"),
        (Kind::Get, Some("a"), "{\"internal\":\"yes\"}", "true or false"),
        (Kind::Delete, None, "{}", "needs a path"),
        (Kind::Commit, None, "{}", "needs \"ops\""),
        (Kind::Rollback, Some("a"), "{}", "backto"),
        (Kind::Clear, None, "{\"x\":1}", "isn't known"),
        (Kind::Subscribe, None, "{}", "needs a channel"),
        (Kind::Subscribe, Some("a"), "{\"since\":-1}", "\"since\""),
        (Kind::Subscribe, Some("a"), "{\"since\":{\"a\":[\"x\",1]}}", "\"since\""),
        (Kind::Subscribe, Some("a"), "{\"since\":{\"a\":1}}", "\"since\""),
        (Kind::Rpc, Some("a"), "{}", "store"),
    ] {
        let message = refusal(body::read(kind, path, Some(body)).map(|_| ()));
        assert!(message.contains(why), "{kind:?} {body}: {message}");
    }
}

#[test]
fn a_get_says_what_to_read() {
    let get = |path, body| match body::read(Kind::Get, path, body) {
        Ok(Ask::Get(get)) => get,
        _ => panic!("{body:?}"),
    };
    assert_eq!(get(None, None), Get::default());
    let all = get(Some("a.b"), Some(r#"{"version":-1,"internal":true,"regex":true,"fresh":true}"#));
    let wanted =
        Get { path: Some("a.b".into()), version: Some(-1), internal: true, regex: true, fresh: true };
    assert_eq!(all, wanted);
}

#[test]
fn where_a_subscriber_stands_reads_back() {
    let versions =
        vec![("a".into(), Incarnation(0xfe), Version(3)), ("b c".into(), Incarnation(1), Version(0))];
    let text = body::subscribe(true, Some(&Since::Versions(versions.clone())), true);
    assert_eq!(
        text,
        r#"{"regex":true,"since":{"a":["00000000000000fe",3],"b c":["0000000000000001",0]},"state":true}"#
    );
    match body::read(Kind::Subscribe, Some("r.*"), Some(&text)) {
        Ok(Ask::Subscribe(ask)) => {
            assert!(ask.regex && ask.state);
            assert!(matches!(ask.since, Some(Since::Versions(read)) if read == versions));
        }
        _ => panic!(),
    }
    let text = body::subscribe(false, Some(&Since::Position(Position(9))), false);
    match body::read(Kind::Subscribe, Some("a"), Some(&text)) {
        Ok(Ask::Subscribe(ask)) => assert!(matches!(ask.since, Some(Since::Position(Position(9))))),
        _ => panic!(),
    }
    assert_eq!(body::read_roots(&value("{}")), Some(vec![]));
}

#[test]
fn a_receipt_reads_back() {
    for versions in [vec![], vec![("a".into(), Version(5)), ("b.c".into(), Version(1))]] {
        let receipt = Receipt { position: Position(8), versions, durable: true, applied: true };
        let mut out = String::new();
        body::write_receipt(&receipt, &mut out);
        assert_eq!(body::read_receipt(&value(&out)), Some(receipt), "{out}");
    }
}

#[test]
fn an_entry_reads_back_in_both_dialects() {
    use crate::store::{Channel, Ope, Options, Store, Transaction};
    let store = Store::in_memory(Options::default());
    let watch = store.watch(None, || {});
    let view = watch.subscribe(Channel::Path(path("a")), None).unwrap().view;
    assert_eq!(view.position(), Position(0));
    let text = |transaction, dialect| {
        store.commit(transaction).unwrap();
        let event = watch.wait(std::time::Duration::from_secs(60)).unwrap().unwrap();
        let mut out = String::new();
        entry::write_list(&event, &watch.notices(&event), dialect, &mut out);
        out
    };
    let put = Transaction::new(None).put(path("a.b"), value("{\"c\":null}"));
    let original = r#"[{"ope":"PUT","path":"a.b","tega_id":"anonymous","instance":{"c":null}}]"#;
    assert_eq!(text(put, Dialect::Original), original);
    let delete = Transaction::new(Some(id("me"))).delete(path("a.b.c"));
    let read = entry::read_list(&value(&text(delete, Dialect::Second))).unwrap();
    let (one, origin) = (&read[0], read[0].origin.as_ref().unwrap());
    assert_eq!((one.ope, one.path.clone(), one.tega_id.as_str()), (Ope::Delete, path("a.b.c"), "me"));
    assert_eq!(one.instance, Some(Value::Null), "what was removed");
    let root = store.view().root("a").map(|root| root.incarnation).unwrap();
    assert_eq!((&*origin.root, origin.incarnation, origin.version), ("a", root, Version(1)));
    assert_eq!(origin.position, Position(2));
    let back = Transaction::new(None).rollback("a".into(), 0);
    let back = text(back, Dialect::Original);
    assert!(back.contains("\"ope\":\"ROLLBACK\"") && back.contains("\"backto\":0"), "{back}");
    // One that is too long is left out, and says so.
    let long = Value::from("x".repeat(entry::MAX_INSTANCE));
    let long = text(Transaction::new(None).put(path("a.b.d"), long), Dialect::Second);
    assert!(long.len() < 1_000 && long.contains(",\"truncated\":true,\"root\":\"a\""));
    assert_eq!(entry::read_list(&value(&long)).unwrap()[0].instance, None);
    assert_eq!(entry::read_list(&value("[1]")), None);
    store.close();
}
