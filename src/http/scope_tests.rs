//! Every call with every kind of token; and that no answer shows what its reader may not see.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::events::{EventSource, Flow};
use super::*;
use crate::api::route::{Read, Write};
use crate::commit::TegaId;
use crate::path::Path;
use crate::store::{Op, Options, Transaction};
use crate::token::Grant;

struct Server(Context);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.store.close();
    }
}

impl Server {
    fn new() -> Server {
        let store = Store::in_memory(Options::default());
        Server(Context::new(store.clone(), Hub::new(TegaId::new("own").unwrap(), store)))
    }

    fn ask_as(&self, access: &Access, method: Method, target: &str, body: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method,
            path,
            query,
            headers: Headers::default(),
            body: body.as_bytes(),
            peer: Peer::Local,
            access: access.clone(),
        };
        let (sender, receiver) = channel();
        handle(&self.0, &request, move |reply| sender.send(reply).unwrap());
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn put(&self, at: &str, value: &str) {
        let transaction = Transaction::new(None).put(path(at), Value::parse(value).unwrap());
        self.0.store.commit(transaction).unwrap();
    }

    fn watch(&self, access: &Access, target: &str) -> Result<Box<dyn EventSource>, Reply> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: Method::Get,
            path,
            query,
            headers: Headers::default(),
            body: b"",
            peer: Peer::Local,
            access: access.clone(),
        };
        Ok(Box::new(events::open(&self.0, &request, || {})?))
    }
}

fn path(text: &str) -> Path {
    if text.is_empty() { Path::TOP } else { Path::parse(text).unwrap() }
}

fn reader(paths: &[&str]) -> Access {
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
        Route::Get { .. } => ("--xx---x", 200),
        Route::Select { .. } => ("-xxx---x", 200),
        Route::Put { .. } | Route::Delete { .. } => ("----x--x", 200),
        Route::Begin { .. } => ("----x--x", 200),
        Route::Candidate { .. } | Route::Cancel { .. } | Route::Commit { .. } => ("----x--x", 200),
        Route::Rollback { .. } => ("----x--x", 200),
        Route::Clear { .. } | Route::Snapshot | Route::Reload | Route::Home { .. } => ("-------x", 200),
        Route::Sync => ("-------x", 404),
        Route::Rpc { .. } => ("-----x-x", 503),
        Route::Roots | Route::Old => ("-xxx---x", 200),
        Route::Edges { .. } | Route::History { .. } | Route::Diff { .. } => ("--xx---x", 200),
        Route::Ids | Route::Channels | Route::Subscribers | Route::Global | Route::Homes | Route::Status => {
            ("xxxxxxxx", 200)
        }
        Route::Sessions | Route::Forwarders | Route::Plugins | Route::Metrics => ("-------x", 200),
        Route::PubSub => ("xxxxxxxx", 426),
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
        Route::Snapshot,
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
        Route::History { root: root() },
        Route::Diff { root: root(), from: 0, to: None },
        Route::PubSub,
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

/// Numbers that look random, the same ones for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit.max(1) as u64) as usize
    }

    /// A path of `least` to four keys out of few.
    fn path(&mut self, least: usize) -> Path {
        let len = least + self.below(5 - least);
        let key = |random: &mut Random, first: bool| match random.below(4) {
            0 if !first => "_k".into(),
            1 if !first => "x.y".into(),
            n => format!("k{}", n % 3),
        };
        let keys: Vec<String> = (0..len).map(|at| key(self, at == 0)).collect();
        Path::new(keys).unwrap()
    }

    /// A value of which each leaf is a text that says where it stands.
    fn value(&mut self, at: &Path, number: usize) -> Value {
        if at.len() >= 2 && (at.len() >= 5 || self.below(3) == 0) {
            return Value::from(format!("<leaf {at} {number}>"));
        }
        let keys: BTreeSet<&str> =
            (0..self.below(4)).map(|_| ["k0", "k1", "_k", "x.y"][self.below(4)]).collect();
        let members = keys.into_iter().map(|key| {
            let below = at.join(key).unwrap();
            (key.into(), self.value(&below, number))
        });
        Value::object(members.collect()).unwrap()
    }

    fn access(&mut self) -> Access {
        let read = (0..1 + self.below(3)).map(|_| self.path(1)).collect();
        Access::of(Grant { read, ..Grant::default() }.into())
    }
}

/// What is left of a value at a path: written anew, to compare with.
fn left(at: &Path, value: &Value, access: &Access, internal: bool) -> Option<Value> {
    if access.may_read(at) {
        return Some(value.clone());
    }
    let members = value.as_object()?.members();
    let mut found = false;
    let mut kept = Vec::new();
    for (key, value) in members {
        let attribute = internal && key.starts_with('_') && !key.starts_with("__");
        if attribute {
            kept.push((key.clone(), value.clone()));
            continue;
        }
        let name = if internal { key.strip_prefix('_').unwrap_or(key) } else { key };
        if let Some(value) = left(&at.join(name).unwrap(), value, access, internal) {
            found = true;
            kept.push((key.clone(), value));
        }
    }
    found.then(|| Value::object(kept).unwrap())
}

/// That each leaf's text in an answer may be read.
fn check_texts(answer: &str, access: &Access, what: &str) {
    for part in answer.split("<leaf ").skip(1) {
        // A path with quotes in it is escaped in JSON.
        let text = part
            .split('>')
            .next()
            .unwrap()
            .rsplit_once(' ')
            .unwrap()
            .0
            .replace("\\\\\\\"", "\"")
            .replace("\\\"", "\"");
        assert!(access.may_read(&path(&text)), "{what}: {text} with {:?}: {answer}", access.readable());
    }
}

#[test]
fn a_reader_of_parts_sees_what_an_admin_sees_without_the_rest() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut cut, mut gone, mut whole) = (0, 0, 0);
    for round in 0..30 {
        let server = Server::new();
        for number in 0..20 {
            let at = random.path(1);
            let transaction = match random.below(5) {
                0 => Transaction::new(None).delete(at),
                _ => Transaction::new(None).put(at.clone(), random.value(&at, number)),
            };
            // One that doesn't fit changes nothing.
            let _ = server.0.store.commit(transaction);
        }
        let admin = |target: &str| server.ask_as(&Access::all(), Method::Get, target, "");
        for _ in 0..10 {
            let access = random.access();
            let as_reader = |target: &str| server.ask_as(&access, Method::Get, target, "");
            for _ in 0..6 {
                let at = random.path(0);
                let internal = random.below(2) == 0;
                let version = ["", "&version=-1"][if at.is_empty() { 0 } else { random.below(2) }];
                let target =
                    format!("{}?internal={}{version}", at.to_url(), if internal { "True" } else { "" });
                let (all, seen) = (admin(&target), as_reader(&target));
                check_texts(&seen.body, &access, &target);
                if !access.may_read_some(&at) {
                    assert_eq!(seen.status, 403, "{target}");
                    continue;
                }
                let value = (all.status == 200).then(|| Value::parse(&all.body).unwrap());
                let wanted = value.as_ref().and_then(|value| left(&at, value, &access, internal));
                match wanted {
                    None if at.is_empty() => assert_eq!((seen.status, seen.body.as_str()), (200, "{}")),
                    None => {
                        gone += 1;
                        assert_eq!(seen.status, 404, "{target}: {}", seen.body);
                    }
                    Some(wanted) => {
                        assert_eq!(seen.status, 200, "{target}: {}", seen.body);
                        assert_eq!(Value::parse(&seen.body).unwrap(), wanted, "{round} {target}");
                        *(if Some(&wanted) == value.as_ref() { &mut whole } else { &mut cut }) += 1;
                    }
                }
            }
            for pattern in [".*", r"k1\..*", r"(k.)\.(.*)\.x"] {
                let target = Route::Select { pattern: pattern.into(), read: Read::default() }.target().1;
                let (all, seen) = (admin(&target), as_reader(&target));
                check_texts(&seen.body, &access, &target);
                let all = Value::parse(&all.body).unwrap();
                let mut wanted = Vec::new();
                for (at, found) in all.as_object().unwrap().members() {
                    let instance = found.get("instance").unwrap();
                    if let Some(instance) = left(&path(at), instance, &access, false) {
                        let members = vec![
                            ("groups".into(), found.get("groups").unwrap().clone()),
                            ("instance".into(), instance),
                        ];
                        wanted.push((at.clone(), Value::object(members).unwrap()));
                    }
                }
                assert_eq!(Value::parse(&seen.body).unwrap(), Value::object(wanted).unwrap(), "{target}");
            }
            for call in ["_roots", "_old", "_status", "_edges", "_edges?old_roots=True"] {
                let reply = as_reader(&format!("/{call}"));
                assert_eq!(reply.status, 200, "{call}");
                check_texts(&reply.body, &access, call);
            }
            for root in ["k0", "k1", "k2"] {
                for call in ["_history?", "_diff?from=-2&", "_edges?old_roots=True&"] {
                    let target = format!("/{call}root_oid={root}");
                    let reply = as_reader(&target);
                    assert_eq!(reply.status == 403, !access.may_read_some(&path(root)), "{target}");
                    check_texts(&reply.body, &access, &target);
                    check_paths(&reply, &access, &target);
                }
            }
        }
    }
    assert!(cut > 100 && gone > 50 && whole > 100, "{cut} {gone} {whole}");
}

/// That each path that a history, a comparison or a drawing names is one of which something may be read.
fn check_paths(reply: &Reply, access: &Access, what: &str) {
    fn texts(value: &Value, out: &mut Vec<String>) {
        if let Some(list) = value.as_list() {
            list.items().iter().for_each(|item| texts(item, out));
        } else if let Some(at) = value.get("path").and_then(Value::as_str) {
            out.push(at.into());
        } else if let Some(changes) = value.get("changes") {
            texts(changes, out);
        } else if let Some((at, _)) = value.as_str().and_then(|text| text.rsplit_once('(')) {
            out.push(at.into());
        }
    }
    let mut paths = Vec::new();
    texts(&Value::parse(&reply.body).unwrap(), &mut paths);
    for at in paths {
        assert!(access.may_read_some(&path(&at)), "{what}: {at} with {:?}", access.readable());
    }
}

/// Sets a value in a mirror, or takes it away with the parents that are left empty.
fn set(mirror: &mut Option<Value>, keys: &[crate::path::Key], value: Option<Value>) {
    let Some((key, below)) = keys.split_first() else {
        *mirror = value;
        return;
    };
    let mut members: Vec<(crate::path::Key, Value)> =
        mirror.as_ref().and_then(Value::as_object).map_or(Vec::new(), |object| object.members().to_vec());
    let mut child = members.iter().position(|(k, _)| k == key).map(|at| members.remove(at).1);
    set(&mut child, below, value);
    members.extend(child.map(|child| (key.clone(), child)));
    *mirror = (!members.is_empty()).then(|| Value::object(members).unwrap());
}

#[test]
fn a_mirror_kept_by_the_changes_alone_is_what_its_reader_sees() {
    let mut random = Random(77);
    let mut told = 0;
    for round in 0..60 {
        let server = Server::new();
        server.put("k0", "{}");
        let accesses: Vec<Access> = (0..8).map(|_| random.access()).collect();
        let mut watchers: Vec<_> = accesses
            .iter()
            .filter_map(|access| Some((access, server.watch(access, "/k0").ok()?, None::<Value>)))
            .collect();
        for number in 0..25 {
            let mut at = vec!["k0".to_string()];
            at.extend(random.path(0).keys().iter().map(|key| key.to_string()));
            let at = Path::new(at).unwrap();
            let transaction = match random.below(8) {
                0 | 1 => Transaction::new(None).delete(at),
                2 => {
                    let mut transaction = Transaction::new(None);
                    let back_to = -(random.below(4) as i64);
                    transaction.ops.push(Op::Rollback { root: "k0".into(), back_to });
                    transaction
                }
                _ => Transaction::new(None).put(at.clone(), random.value(&at, number)),
            };
            let _ = server.0.store.commit(transaction);
            for (access, stream, mirror) in &mut watchers {
                let mut out = String::new();
                while stream.next(&mut out) == Flow::More {}
                check_texts(&out, access, "a stream");
                for event in out.split("\n\n").filter(|event| !event.is_empty()) {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    let data = Value::parse(data).unwrap();
                    let at = path(data.get("path").unwrap().as_str().unwrap());
                    let instance = data.get("instance").cloned();
                    let ope = data.get("ope").and_then(Value::as_str);
                    told += usize::from(ope.is_some());
                    let value = if ope == Some("DELETE") { None } else { instance };
                    set(mirror, &at.keys()[1..], value);
                }
                let all = server.ask_as(&Access::all(), Method::Get, "/k0", "");
                let all = (all.status == 200).then(|| Value::parse(&all.body).unwrap());
                let wanted = all.and_then(|all| left(&path("k0"), &all, access, false));
                // Whether the root itself is empty or gone isn't what this is about.
                let empty = |value: &Value| *value == Value::empty_object();
                let (mirror, wanted) = (mirror.clone().filter(|v| !empty(v)), wanted.filter(|v| !empty(v)));
                assert_eq!(
                    mirror,
                    wanted,
                    "round {round}, commit {number}, with {:?}: {out}",
                    access.readable()
                );
            }
        }
    }
    assert!(told > 1000, "{told}");
}
