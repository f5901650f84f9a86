//! The handlers over a store in memory.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::events::{EventSource, Flow};
use super::*;
use crate::commit::TegaId;
use crate::log::fake::Disk;
use crate::store::{Durability, Options};

/// A tega without a door.
struct Server(Context);

impl Server {
    fn new() -> Server {
        Server::over(Store::in_memory(Options { durability: Durability::Memory, ..Options::default() }))
    }

    fn on_disk() -> Server {
        Server::over(Store::open_on(Disk::new().medium(), Options::default()).unwrap())
    }

    fn over(store: Store) -> Server {
        let own = TegaId::new("own").unwrap();
        Server(Context::new(store.clone(), Hub::new(own, store)))
    }

    fn with(&self, line: &str, body: &str, headers: Headers<'_>) -> Reply {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = Method::parse(method);
        let request = Request {
            method,
            path,
            query,
            headers,
            body: body.as_bytes(),
            peer: Peer::Local,
            access: Access::all(),
            opened: 0,
        };
        let (sender, receiver) = channel();
        handle(&self.0, &request, move |reply| sender.send(reply).unwrap());
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Status and body.
    fn ask(&self, line: &str, body: &str) -> (u16, String) {
        let reply = self.with(line, body, Headers::default());
        (reply.status, reply.body)
    }

    fn get(&self, target: &str) -> String {
        let (status, body) = self.ask(&format!("GET {target}"), "");
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    fn put(&self, target: &str, body: &str) {
        assert_eq!(self.ask(&format!("PUT {target}"), body), (200, String::new()), "{target}");
    }

    fn value(&self, target: &str) -> Value {
        Value::parse(&self.get(target)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.store.close();
    }
}

fn code(reply: &(u16, String)) -> (u16, String) {
    let body = Value::parse(&reply.1).unwrap();
    let code = body.get("error").and_then(|e| e.get("code")).and_then(Value::as_str);
    (reply.0, code.unwrap_or_default().to_string())
}

#[test]
fn what_was_put_is_got_and_what_was_deleted_is_gone() {
    let server = Server::new();
    server.put("/a/b?tega_id=x", r#"{"c":1,"d":[1,2],"e":{}}"#);
    assert_eq!(server.get("/a"), r#"{"b":{"c":1,"d":[1,2],"e":{}}}"#);
    assert_eq!(server.get("/a/b/c/"), "1");
    server.put("/f", "{}");
    assert_eq!(server.get("/"), r#"{"a":{"b":{"c":1,"d":[1,2],"e":{}}},"f":{}}"#);
    assert_eq!(server.get("/_roots"), r#"{"a":0,"f":0}"#);
    assert_eq!(server.ask("DELETE /a/b?tega_id=x", ""), (200, String::new()));
    for (line, body, status, word) in [
        ("GET /a/b", "", 404, "not_found"),
        ("DELETE /a/b", "", 404, "not_found"),
        ("PUT /a/x", "{", 400, "bad_request"),
        ("PUT /a", "1", 400, "bad_request"),
        ("PUT /a/x", r#"{"_version":1}"#, 400, "bad_request"),
        ("GET /?version=1", "", 400, "bad_request"),
        ("GET /a?version=77", "", 404, "not_found"),
        ("GET /a?txid=nope", "", 404, "not_found"),
        ("POST /_sync", "", 404, "not_found"),
        ("GET /_diff?root_oid=none&from=1", "", 404, "not_found"),
        ("GET /_edges?root_oid=none", "", 404, "not_found"),
        ("PUT /a/x?ephemeral=True&tega_id=nobody", "1", 400, "bad_request"),
        ("GET /_pubsub", "", 426, "upgrade_required"),
        ("GET /_link", "", 426, "upgrade_required"),
        ("PATCH /a", "", 405, "method_not_allowed"),
    ] {
        assert_eq!(code(&server.ask(line, body)), (status, word.into()), "{line}");
    }
    assert_eq!(
        server.with("PATCH /a", "", Headers::default()).header("Allow"),
        Some("GET, HEAD, PUT, DELETE, OPTIONS")
    );
    assert_eq!(server.with("OPTIONS /_ss", "", Headers::default()).header("Allow"), Some("POST, OPTIONS"));
}

#[test]
fn an_etag_guards_a_write_and_saves_a_read() {
    let server = Server::new();
    let put = server.with("PUT /a/b", "1", Headers::default());
    assert_eq!((put.header("Tega-Version"), put.header("Tega-Durable")), (Some("a=0"), Some("0")));
    let tag = put.header("ETag").unwrap().to_string();
    let get = server.with("GET /a/b", "", Headers::default());
    assert_eq!((get.header("ETag"), get.header("Tega-Version")), (Some(tag.as_str()), Some("0")));
    let same = Headers { if_none_match: Some(&tag), ..Headers::default() };
    let saved = server.with("GET /a/b", "", same);
    assert_eq!((saved.status, saved.body.as_str()), (304, ""));
    let guarded = Headers { if_match: Some(&tag), ..Headers::default() };
    assert_eq!(server.with("PUT /a/b", "2", guarded).status, 200);
    let late = server.with("PUT /a/b", "3", guarded);
    assert_eq!(code(&(late.status, late.body)), (412, "conflict".into()));
    assert_eq!(server.with("DELETE /a/b", "", guarded).status, 412);
    assert_eq!(server.with("GET /a/b", "", same).body, "2");
    let absent = Headers { if_none_match: Some("*"), ..Headers::default() };
    assert_eq!(server.with("PUT /a/b", "4", absent).status, 412);
    assert_eq!(server.with("PUT /a/c", "4", absent).status, 200);
    assert_eq!(code(&server.ask("PUT /a/b?version=0", "5")), (409, "conflict".into()));
    assert_eq!(server.ask("PUT /a/b?version=1", "5").0, 200);
}

#[test]
fn the_same_request_id_answers_the_first_outcome() {
    let server = Server::new();
    let headers = Headers { idempotency_key: Some("\"k-1\""), ..Headers::default() };
    let first = server.with("PUT /a/b", "1", headers);
    let again = server.with("PUT /a/b", "1", Headers { idempotency_key: Some("k-1"), ..headers });
    assert_eq!((first.header("Tega-Version"), again.header("Tega-Version")), (Some("a=0"), Some("a=0")));
    assert_eq!(server.with("PUT /a/b", "2", headers).status, 400);
    let long = "k".repeat(65);
    assert_eq!(server.with("PUT /a/b", "2", Headers { idempotency_key: Some(&long), ..headers }).status, 400);
    assert_eq!(server.get("/_roots"), r#"{"a":0}"#);
}

#[test]
fn a_transaction_takes_effect_at_its_commit_or_not_at_all() {
    let server = Server::new();
    server.put("/a/b", "1");
    let begin = || {
        let (_, body) = server.ask("POST /_begin?tega_id=x", "");
        Value::parse(&body).unwrap().get("txid").and_then(Value::as_str).unwrap().to_string()
    };
    let txid = begin();
    server.put(&format!("/a/c?txid={txid}"), "2");
    server.put(&format!("/d?txid={txid}"), "{}");
    assert_eq!(server.get("/"), r#"{"a":{"b":1}}"#);
    assert_eq!(server.get(&format!("/a?txid={txid}")), r#"{"b":1,"c":2}"#);
    let (_, candidate) = server.ask(&format!("POST /_cand?txid={txid}"), "");
    assert_eq!(candidate, r#"{"a":{"b":1,"c":2},"d":{}}"#);
    assert_eq!(server.ask(&format!("POST /_commit?txid={txid}"), ""), (200, String::new()));
    assert_eq!(server.get("/"), r#"{"a":{"b":1,"c":2},"d":{}}"#);
    assert_eq!(code(&server.ask(&format!("POST /_commit?txid={txid}"), "")), (404, "not_found".into()));
    let collides = begin();
    server.put(&format!("/a/e?txid={collides}"), "3");
    server.put(&format!("/a/b?txid={collides}&version=0"), "3");
    server.put("/a/b", "2");
    assert_eq!(code(&server.ask(&format!("POST /_commit?txid={collides}"), "")), (406, "conflict".into()));
    let cancelled = begin();
    assert_eq!(server.ask(&format!("POST /_cancel?txid={cancelled}"), "").0, 200);
    assert_eq!(server.ask(&format!("POST /_cancel?txid={cancelled}"), "").0, 404);
    assert_eq!(server.get("/a"), r#"{"b":2,"c":2}"#);
}

#[test]
fn old_versions_can_be_read_compared_and_brought_back() {
    let server = Server::new();
    for n in 1..=3 {
        server.put("/a/b?tega_id=x", &n.to_string());
    }
    assert_eq!(server.get("/_old"), r#"[{"a":[0,1]}]"#);
    assert_eq!((server.get("/a/b?version=0"), server.get("/a/b?version=-1")), ("1".into(), "2".into()));
    assert_eq!(server.get("/_diff?root_oid=a&from=0"), r#"[{"path":"a.b","before":1,"after":3}]"#);
    assert_eq!(server.ask("POST /_rollback?tega_id=x&root_oid=a&backto=-2", ""), (200, String::new()));
    assert_eq!((server.get("/a/b"), server.get("/_roots")), ("1".into(), r#"{"a":3}"#.into()));
    let history = server.value("/_history?root_oid=a");
    let last = history.as_list().and_then(|l| l.items().last()).unwrap();
    assert_eq!(last.get("version").and_then(Value::as_int), Some(3));
    assert_eq!(last.get("rollback_to").and_then(Value::as_int), Some(0));
    assert_eq!(last.get("tega_id").and_then(Value::as_str), Some("x"));
    let first =
        history.as_list().and_then(|l| l.items().iter().find(|p| p.get("version") == Some(&Value::Int(0))));
    let changes = first.and_then(|p| p.get("changes")).map(Value::to_string);
    assert_eq!(changes.as_deref(), Some(r#"[{"ope":"PUT","path":"a.b"}]"#));
    assert_eq!(server.ask("POST /_clear?tega_id=x", "").0, 200);
    assert_eq!(server.get("/"), "{}");
}

#[test]
fn a_regex_finds_nodes_with_their_groups() {
    let server = Server::new();
    server.put("/r-a/a", "1");
    server.put("/r-b/b", r#"{"x":2}"#);
    assert_eq!(
        server.get(r"/(r)-(/*)\/(/*)/?regex_flag=True&tega_id=x"),
        r#"{"r-a.a":{"groups":[["r","a"],["a"]],"instance":1},"r-b.b":{"groups":[["r","b"],["b"]],"instance":{"x":2}}}"#
    );
    assert_eq!(server.get("/none?regex_flag=True"), "{}");
    assert_eq!(server.ask("GET /(%3F=a)b?regex_flag=True", "").0, 400);
}

#[test]
fn a_big_answer_is_the_same_as_a_small_one() {
    let server = Server::new();
    let members: Vec<String> = (10_000..16_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let text = format!("{{{}}}", members.join(","));
    server.put("/a/b", &text);
    assert_eq!(server.get("/a/b"), text);
    let internal = server.value("/a/b?internal=True");
    let leaf = internal.get("k10000").unwrap();
    assert_eq!(leaf.get("_value"), Some(&Value::Int(10_000)));
    assert_eq!(leaf.get("_version"), Some(&Value::Int(0)));
}

#[test]
fn ephemeral_nodes_are_shown_and_never_cached() {
    let server = Server::new();
    server.put("/a/b", "1");
    let tag = server.with("GET /a", "", Headers::default()).header("ETag").unwrap().to_string();
    let session = server.0.store.begin_session(TegaId::new("x").unwrap());
    let mut transaction = crate::store::Transaction::new(TegaId::new("x").ok());
    transaction.session = Some(session);
    let (path, value) = ("a.e".parse().unwrap(), Value::Int(2));
    transaction.ops.push(crate::store::Op::Put { path, value, expect: None, ephemeral: true });
    server.0.store.commit(transaction).unwrap();
    let reply = server.with("GET /a", "", Headers { if_none_match: Some(&tag), ..Headers::default() });
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"b":1,"e":2}"#));
    assert_eq!((reply.header("ETag"), reply.header("Cache-Control")), (Some(tag.as_str()), Some("no-store")));
    let internal = server.value("/a?internal=True");
    assert_eq!(internal.get("e").and_then(|e| e.get("_ephemeral")), Some(&Value::Bool(true)));
    assert_eq!(internal.get("e").and_then(|e| e.get("_owner")), Some(&Value::from("x")));
    server.0.store.end_session(session);
    // Commits are made in order, so this one comes behind the end of the session.
    server.put("/z", "{}");
    let saved = server.with("GET /a", "", Headers { if_none_match: Some(&tag), ..Headers::default() });
    assert_eq!(saved.status, 304);
}

#[test]
fn calls_that_only_tell_have_the_shapes_of_the_original() {
    let server = Server::new();
    server.put("/a/b", "1");
    for (target, body) in [
        ("/_ids", "[]"),
        ("/_channels", "{}"),
        ("/_subscribers", "{}"),
        ("/_global", "[]"),
        ("/_forwarders", "[]"),
        ("/_plugins", "{}"),
        ("/_sessions", "[]"),
        ("/_old", r#"[{"a":[]}]"#),
        ("/_edges?root_oid=a", r#"[["a(0)","a.b(0)"],["a.b(0)","a(0)"]]"#),
        ("/_reload", ""),
    ] {
        assert_eq!(server.get(target), body, "{target}");
    }
    assert_eq!(server.ask("POST /_ss?tega_id=x", "").0, 200);
    let status = server.value("/_status");
    assert_eq!(status.get("tega_id").and_then(Value::as_str), Some("own"));
    let roots = status.get("store").and_then(|s| s.get("roots")).and_then(|r| r.get("a"));
    assert_eq!(roots.and_then(|a| a.get("version")).and_then(Value::as_int), Some(0));
}

#[test]
fn a_call_is_looked_up_by_both_ways_that_drivers_have() {
    let server = Server::new();
    server.put("/a/x", r#""%nobody.f""#);
    server.put("/a/y", "1");
    let call = r#"{"args":[],"kwargs":{}}"#;
    assert_eq!(code(&server.ask("POST /_rpc?tega_id=t&path=a.x", "")), (503, "no_owner".into()));
    assert_eq!(code(&server.ask("PUT /a/x?tega_id=t", call)), (503, "no_owner".into()));
    assert_eq!(code(&server.ask("POST /_rpc?tega_id=t&path=a.y", call)), (404, "not_found".into()));
    assert_eq!(server.get("/a/x"), r#""%nobody.f""#);
    // Onto any other leaf it's a value like any other.
    server.put("/a/y", call);
    assert_eq!(server.get("/a/y"), call);
}

fn watch(server: &Server, target: &str, last: Option<&str>) -> Box<dyn EventSource> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = Headers { last_event_id: last, ..Headers::default() };
    let request = Request {
        method: Method::Get,
        path,
        query,
        headers,
        body: b"",
        peer: Peer::Local,
        access: Access::all(),
        opened: 0,
    };
    Box::new(events::open(&server.0, &request, || {}).map_err(|reply| reply.body).unwrap())
}

/// All that there is for now.
fn said(events: &mut Box<dyn EventSource>) -> String {
    let mut out = String::new();
    loop {
        match events.next(&mut out) {
            Flow::More => {}
            Flow::Heavy => {
                let idle = std::mem::replace(events, Box::new(Nothing));
                (*events, out) = smol::block_on(idle.heavy(out)).unwrap();
            }
            Flow::Idle | Flow::End => return out,
        }
    }
}

/// Stands in for a source that is at work elsewhere.
struct Nothing;

impl EventSource for Nothing {
    fn next(&mut self, _: &mut String) -> Flow {
        Flow::End
    }

    fn heavy(self: Box<Self>, _: String) -> events::Heavily {
        Box::pin(async { None })
    }
}

#[test]
fn what_a_power_cut_takes_back_is_no_place_to_resume_an_event_stream_from() {
    let server = Server::new();
    let mut events = watch(&server, "/a", None);
    said(&mut events);
    server.put("/a/b", "1");
    let told = said(&mut events);
    assert!(told.starts_with("event: change\ndata: {") && told.contains("\"position\":1"), "{told}");
}

#[test]
fn an_event_stream_begins_with_the_state_and_tells_each_change() {
    let server = Server::on_disk();
    server.put("/a/b", "1");
    let mut events = watch(&server, "/a/b", None);
    let start = said(&mut events);
    assert_eq!(start, "event: state\nid: 1\ndata: {\"position\":1,\"path\":\"a.b\",\"instance\":1}\n\n");
    server.put("/a/b?tega_id=x", "2");
    server.put("/a/c", "3");
    let told = said(&mut events);
    assert!(
        told.starts_with(
            "event: change\nid: 2\ndata: {\"ope\":\"PUT\",\"path\":\"a.b\",\"tega_id\":\"x\",\"instance\":2,"
        ),
        "{told}"
    );
    assert_eq!(told.matches("event: ").count(), 1, "{told}");
    let resumed = said(&mut watch(&server, "/a/b", Some("1")));
    assert_eq!(resumed, told);
    let gone = said(&mut watch(&server, "/a/b", Some("99")));
    assert!(gone.starts_with("event: gone\n") && gone.contains("event: state\nid: 3\n"), "{gone}");
    let regex = said(&mut watch(&server, r"/a\/b?regex_flag=True", None));
    assert!(regex.contains(r#""instances":{"a.b":2}"#), "{regex}");
}

#[test]
fn a_change_of_more_than_a_mebibyte_is_told_without_its_value() {
    let server = Server::new();
    let half = format!("\"{}\"", "x".repeat(600_000));
    server.put("/a/b/c", &half);
    server.put("/a/b/d", &half);
    let mut events = watch(&server, "/a/b", None);
    said(&mut events);
    server.ask("DELETE /a/b/c", "");
    assert!(said(&mut events).contains(r#""instance":"xxx"#));
    server.put("/a/b/c", &half);
    said(&mut events);
    server.ask("DELETE /a/b", "");
    let told = said(&mut events);
    assert!(told.len() < 1000 && told.contains(r#""ope":"DELETE""#) && told.contains(r#""truncated":true"#));
}
