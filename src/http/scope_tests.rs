//! Every call with every kind of token.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::events::{EventSource, Flow};
use super::*;
use crate::api::route::{Page, Read, Search, Write};
use crate::commit::TegaId;
use crate::path::Path;
use crate::store::{Incoming, Op, Options, Transaction};
use crate::token::Grant;

pub(super) struct Server(pub(super) Context);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.store.close();
    }
}

impl Server {
    pub(super) fn new() -> Server {
        let store = Store::in_memory(Options::default());
        Server(Context::new(store.clone(), Hub::new(TegaId::new("own").unwrap(), store)))
    }

    pub(super) fn ask_as(&self, access: &Access, method: Method, target: &str, body: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method,
            path,
            query,
            headers: Headers::default(),
            body: body.as_bytes(),
            peer: Peer::Local,
            access: access.clone(),
            opened: 0,
        };
        let (sender, receiver) = channel();
        handle(&self.0, &request, move |reply| sender.send(reply).unwrap());
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    pub(super) fn put(&self, at: &str, value: &str) {
        let transaction = Transaction::new(None).put(path(at), Value::parse(value).unwrap());
        self.0.store.commit(transaction).unwrap();
    }

    pub(super) fn watch(&self, access: &Access, target: &str) -> Result<Box<dyn EventSource>, Reply> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: Method::Get,
            path,
            query,
            headers: Headers::default(),
            body: b"",
            peer: Peer::Local,
            access: access.clone(),
            opened: 0,
        };
        Ok(Box::new(events::open(&self.0, &request, || {})?))
    }
}

pub(super) fn path(text: &str) -> Path {
    if text.is_empty() { Path::TOP } else { Path::parse(text).unwrap() }
}

pub(super) fn reader(paths: &[&str]) -> Access {
    Access::of(
        Grant { name: "t".into(), read: paths.iter().map(|p| path(p)).collect(), ..Grant::default() }.into(),
    )
}

/// The columns of the table, in its order.
fn columns() -> [(&'static str, Access); 8] {
    let a = || vec![path("a")];
    let of = |grant: Grant| Access::of(grant.into());
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

/// Which columns may make a call, `x` each, and the status that those get; everybody else gets 403. A call that isn't
/// here doesn't compile.
fn row(route: &Route) -> (&'static str, u16) {
    match route {
        Route::Get { .. } | Route::List { .. } | Route::Find { .. } => ("--xx---x", 200),
        Route::Select { .. } => ("-xxx---x", 200),
        Route::Put { .. } | Route::Delete { .. } => ("----x--x", 200),
        Route::Begin { .. } => ("----x--x", 200),
        Route::Candidate { .. } | Route::Cancel { .. } | Route::Commit { .. } => ("----x--x", 200),
        Route::Rollback { .. } => ("----x--x", 200),
        Route::Clear { .. } | Route::Snapshot { .. } | Route::Reload | Route::Home { .. } => {
            ("-------x", 200)
        }
        Route::Sync => ("-------x", 404),
        Route::Rpc { .. } => ("-----x-x", 503),
        Route::Roots | Route::Old => ("-xxx---x", 200),
        Route::Edges { .. } | Route::History { .. } | Route::Diff { .. } => ("--xx---x", 200),
        Route::Ids | Route::Channels | Route::Subscribers | Route::Global | Route::Homes | Route::Status => {
            ("xxxxxxxx", 200)
        }
        Route::Uci { .. } | Route::UciDo { .. } => ("-------x", 404),
        Route::Sessions | Route::Forwarders | Route::Plugins | Route::Metrics => ("-------x", 200),
        Route::PubSub | Route::Link => ("xxxxxxxx", 426),
    }
}

fn samples(txid: &str) -> Vec<Route> {
    let (txid, root, by) = (txid.to_string(), || "a".into(), None);
    vec![
        Route::Get { path: path("a"), read: Read::default() },
        Route::Select { pattern: "a".into(), read: Read::default() },
        Route::Put { path: path("a.b.c"), write: Write::default(), ephemeral: false },
        Route::Delete { path: path("a.b.c"), write: Write::default() },
        Route::Begin { by: by.clone() },
        Route::Candidate { txid: txid.clone(), internal: false },
        Route::Cancel { txid: txid.clone() },
        Route::Commit { txid, durable: false },
        Route::Rollback { by: by.clone(), root: root(), back_to: 0, durable: false },
        Route::Clear { by: by.clone() },
        Route::Snapshot { history: None },
        Route::Sync,
        Route::Rpc { by, path: path("a.f") },
        Route::Roots,
        Route::Old,
        Route::Ids,
        Route::Channels,
        Route::Subscribers,
        Route::Global,
        Route::Forwarders,
        Route::Plugins,
        Route::Edges { root: Some(root()), old: true },
        Route::Reload,
        Route::Status,
        Route::Metrics,
        Route::Homes,
        // Where it is already.
        Route::Home { root: root(), home: TegaId::new("own").unwrap(), force: false },
        Route::Sessions,
        Route::Uci { diff: false, secrets: false },
        Route::UciDo { by: None, verb: UciVerb::Retry, packages: Vec::new() },
        Route::History { root: root() },
        Route::Diff { root: root(), from: 0, to: None },
        Route::List { path: path("a"), page: Page::default() },
        Route::Find { path: path("a"), search: Search::default() },
        Route::PubSub,
        Route::Link,
    ]
}

#[test]
fn every_call_with_every_kind_of_token_has_the_status_of_the_table() {
    let mut faults = Vec::new();
    for at in 0..samples("").len() {
        for (column, (name, access)) in columns().iter().enumerate() {
            let server = Server::new();
            server.put("a", r#"{"b":{"c":1,"d":2},"f":"%nobody.f"}"#);
            server.put("a.b.d", "3");
            let store = &server.0.store;
            let txid = store.begin(None).unwrap();
            let (path, value) = (path("a.x"), Value::from(1));
            store.queue(&txid, Op::Put { path, value, expect: None, ephemeral: false }).unwrap();
            let route = &samples(&txid)[at];
            let (method, target) = route.target();
            let body = if method == Method::Put { "7" } else { "" };
            let status = server.ask_as(access, method, &target, body).status;
            let (may, allowed) = row(route);
            let wanted = if may.as_bytes()[column] == b'x' { allowed } else { 403 };
            if status != wanted {
                faults.push(format!("{} {target} with {name}: {status}, not {wanted}", method.as_str()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_every_call_that_there_is() {
    let refusal = Route::parse(Method::Get, "/_no_such_call", "").unwrap_err();
    let (_, names) = refusal.message.split_once("the calls are ").unwrap();
    let targets: Vec<String> = samples("x").iter().map(|route| route.target().1).collect();
    for name in names.split(' ') {
        let there = targets.iter().any(|target| target[1..].split('?').next() == Some(name));
        assert!(there, "{name} isn't in the table");
    }
}

#[test]
fn what_may_not_be_read_is_refused_alike_whether_it_is_there_or_not() {
    let server = Server::new();
    server.put("a", r#"{"b":1,"c":{"d":2}}"#);
    let access = reader(&["a.b", "a.e.f"]);
    let get = |target: &str| {
        let reply = server.ask_as(&access, Method::Get, target, "");
        (reply.status, reply.body)
    };
    for (there, not_there) in [("/a/c", "/a/x"), ("/a/c/d", "/y/c/d"), ("/a/c?version=0", "/a/x?version=77")]
    {
        let ((status, there_body), other) = (get(there), get(not_there));
        assert_eq!((status, other.0), (403, 403), "{there} {not_there}");
        let name = |target: &str| path(target.split('?').next().unwrap()).to_string();
        assert_eq!(there_body.replace(&name(there), "P"), other.1.replace(&name(not_there), "P"));
    }
    // On the way to something that isn't there, it doesn't show whether the way is.
    assert_eq!(get("/a/e").0, 404);
    server.put("a.e", r#"{"g":1}"#);
    assert_eq!(get("/a/e").0, 404);
    assert_eq!(get("/a"), (200, r#"{"b":1}"#.into()));
    assert_eq!(get("/"), (200, r#"{"a":{"b":1}}"#.into()));
    assert_eq!(get("/_roots").1, r#"{"a":1}"#);
}

#[test]
fn an_answer_that_is_cut_has_no_tag_and_is_never_unchanged() {
    let server = Server::new();
    server.put("a", r#"{"b":1,"c":2}"#);
    let tag = server.ask_as(&Access::all(), Method::Get, "/a", "").header("ETag").unwrap().to_string();
    let headers = Headers { if_none_match: Some(&tag), ..Headers::default() };
    for (access, status, tagged) in [(reader(&["a.b"]), 200, false), (reader(&["a"]), 304, true)] {
        let request = Request {
            method: Method::Get,
            path: "/a",
            query: "",
            headers,
            body: b"",
            peer: Peer::Local,
            access,
            opened: 0,
        };
        let (sender, receiver) = channel();
        handle(&server.0, &request, move |reply| sender.send(reply).unwrap());
        let reply = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!((reply.status, reply.header("ETag").is_some()), (status, tagged));
    }
}

#[test]
fn a_version_is_told_by_a_conflict_only_to_who_may_read_it() {
    let server = Server::new();
    server.put("a.b", "1");
    let writes = |read: &[&str]| {
        let read = read.iter().map(|p| path(p)).collect();
        Access::of(Grant { read, write: vec![path("a")], ..Grant::default() }.into())
    };
    let put = |access: &Access, target: &str| server.ask_as(access, Method::Put, target, "2");
    let blind = put(&writes(&[]), "/a/b?version=41");
    assert_eq!(blind.status, 409);
    assert!(!blind.body.contains("actual"), "{}", blind.body);
    assert!(put(&writes(&["a"]), "/a/b?version=41").body.contains(r#""actual":0"#));
    // Where it may not be written, nothing is judged at all.
    assert_eq!(put(&writes(&[]), "/z?version=0").status, 403);
    assert_eq!(put(&reader(&["a"]), "/a/b?version=41").status, 403);
}

#[test]
fn a_transaction_is_only_for_who_may_do_all_of_it() {
    let server = Server::new();
    let writer = |at: &str| Access::of(Grant { write: vec![path(at)], ..Grant::default() }.into());
    let begun = server.ask_as(&writer("a"), Method::Post, "/_begin", "").body;
    let txid = Value::parse(&begun).unwrap().get("txid").unwrap().as_str().unwrap().to_string();
    let queue = |access: &Access, at: &str| {
        server.ask_as(access, Method::Put, &format!("/{at}?txid={txid}"), "1").status
    };
    assert_eq!((queue(&writer("a"), "a/b"), queue(&writer("a"), "c/b")), (200, 403));
    assert_eq!(queue(&writer("c"), "c/b"), 200);
    // Now nobody but who may write both can look at it, drop it or commit it.
    for call in ["_cand", "_commit", "_cancel"] {
        let status = server.ask_as(&writer("a"), Method::Post, &format!("/{call}?txid={txid}"), "").status;
        assert_eq!(status, 403, "{call}");
    }
    let both = Grant { write: vec![path("a"), path("c")], read: vec![path("c")], ..Grant::default() };
    let both = Access::of(both.into());
    let shown = server.ask_as(&both, Method::Post, &format!("/_cand?txid={txid}"), "");
    assert_eq!((shown.status, shown.body.as_str()), (200, r#"{"c":{"b":1}}"#));
    assert_eq!(server.ask_as(&both, Method::Post, &format!("/_commit?txid={txid}"), "").status, 200);
}

#[test]
fn a_replaced_state_is_listed_and_read_as_far_as_it_may_be() {
    let (home, server) = (Server::new(), Server::new());
    home.put("a", r#"{"b":"new","c":"new"}"#);
    server.put("a", r#"{"b":"old","c":"secret"}"#);
    // Of another incarnation, so that a snapshot comes.
    let (feed, _) = home.0.store.feed(vec!["a".into()], &[("a".into(), server.0.store.standing("a"))], || {});
    let mut incoming = Incoming::new(TegaId::new("home").unwrap(), vec!["a".into()]);
    feed.snapshot(true).for_each(|line| incoming.line(&line).unwrap());
    let (sender, receiver) = channel();
    let moved = crate::store::Away { home: TegaId::new("home").unwrap(), handover: true };
    server.0.store.set_homes(vec![("a".into(), Some(moved))], |_| {});
    server.0.store.install(incoming.finish().unwrap(), move |done| sender.send(done).unwrap());
    receiver.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();

    let get = |access: &Access, target: &str| server.ask_as(access, Method::Get, target, "");
    let listed = Value::parse(&get(&Access::all(), "/_history?root_oid=a").body).unwrap();
    let names = listed.as_list().unwrap().items().iter().filter_map(|state| state.get("replaced"));
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    let [name] = names[..] else { panic!("{listed}") };
    for (access, status, body) in [
        (Access::all(), 200, r#"{"b":"old","c":"secret"}"#),
        (reader(&["a.b"]), 200, r#"{"b":"old"}"#),
        (reader(&["a.x"]), 404, ""),
        (reader(&["z"]), 403, ""),
    ] {
        let reply = get(&access, &format!("/a?replaced={name}"));
        assert_eq!((reply.status, reply.header("ETag")), (status, None));
        assert!(status != 200 || reply.body == body, "{}", reply.body);
        let history = get(&access, "/_history?root_oid=a");
        assert_eq!((history.status, history.body.contains(name)), (status, status == 200));
    }
    assert_eq!(get(&Access::all(), "/a").body, r#"{"b":"new","c":"new"}"#);
    let unknown = get(&Access::all(), "/a?replaced=00000000000000ab-7");
    assert_eq!(unknown.status, 404);
}

#[test]
fn a_token_acts_under_its_own_tega_id_only() {
    let server = Server::new();
    let grant = Grant {
        write: vec![path("a")],
        read: vec![path("a")],
        tega_id: TegaId::new("r1").ok(),
        ..Grant::default()
    };
    let access = Access::of(grant.into());
    assert_eq!(server.ask_as(&access, Method::Put, "/a/b?tega_id=r2", "1").status, 403);
    assert_eq!(server.ask_as(&access, Method::Put, "/a/b", "1").status, 200);
    assert!(
        server.ask_as(&access, Method::Get, "/_history?root_oid=a", "").body.contains(r#""tega_id":"r1""#)
    );
}

#[test]
fn a_stream_ends_when_its_token_is_gone() {
    let server = Server::new();
    server.put("a.b", "1");
    let access = reader(&["a"]);
    let mut stream = server.watch(&access, "/a").unwrap_or_else(|reply| panic!("{}", reply.body));
    let mut out = String::new();
    while stream.next(&mut out) == Flow::More {}
    assert!(out.starts_with("event: state"), "{out}");
    access.revoke();
    server.put("a.b", "\"secret\"");
    out.clear();
    while stream.next(&mut out) == Flow::More {}
    assert_eq!(out, "event: revoked\ndata: {}\n\n");
    assert_eq!(stream.next(&mut out), Flow::End);
}
