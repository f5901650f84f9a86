//! What a page says of writing at its node, and of how a root stands towards its home.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::browse_tests::{id, inc, list, text};
use super::scope_tests::{Server, path};
use super::*;
use crate::api::route::Page;
use crate::commit::{Incarnation, TegaId};
use crate::hub::{LinkInfo, LinkedRoot, Remote, RemoteDone};
use crate::log::fake::{Disk, Fault, Op as DiskOp};
use crate::path::{Key, Path};
use crate::store::{
    Away, Channel, Durability, Incoming, Options, Private, Receipt, Role, SessionId, Standing, Transaction,
};
use crate::token::Grant;
use crate::tree::Version;

fn over(store: Store) -> Server {
    Server(Context::new(store.clone(), Hub::new(id("own"), store)))
}

/// What `/_list` says of writing at a path is what a PUT there is told.
#[track_caller]
fn same_as_a_put(server: &Server, access: &Access, at: &str, code: Option<&str>) {
    let listed = list(server, access, &path(at), Page::default());
    assert_eq!(listed.get("writable"), Some(&Value::Bool(code.is_none())), "{listed}");
    let put = server.ask_as(access, Method::Put, &path(at).to_url(), r#"{"x":1}"#);
    assert_eq!(put.status == 200, code.is_none(), "{}", put.body);
    if let Some(code) = code {
        let refusal = listed.get("refusal").unwrap();
        assert_eq!(text(refusal, "code"), code);
        assert_eq!(Value::parse(&put.body).unwrap().get("error"), Some(refusal));
    }
}

#[test]
fn whether_a_node_could_be_written_is_what_a_put_would_be_told() {
    let server = Server::new();
    server.put("a", r#"{"b":{"c":1},"d":2}"#);
    let grant =
        Grant { name: "t".into(), read: vec![path("a")], write: vec![path("a.b")], ..Grant::default() };
    let access = Access::of(grant.into());
    same_as_a_put(&server, &access, "a", Some("forbidden"));
    same_as_a_put(&server, &access, "a.d", Some("forbidden"));
    same_as_a_put(&server, &access, "a.b", None);
    // Below what is ephemeral.
    let session = server.0.store.begin_session(id("r1"));
    let mut transaction =
        Transaction::new(Some(id("r1"))).put_ephemeral(path("a.b.e"), Value::empty_object());
    transaction.session = Some(session);
    server.put("a.b", "{}");
    server.0.store.commit(transaction.put_ephemeral(path("a.b.f.g"), Value::empty_object())).unwrap();
    let put_below = Transaction::new(None).put(path("a.b.e.x"), Value::from(1));
    let refusal = Refusal::from(server.0.store.commit(put_below).unwrap_err());
    assert_eq!(server.0.hub.may_put(&path("a.b.e.x")), Err(refusal));
    same_as_a_put(&server, &access, "a.b.e", None);
    // At home elsewhere.
    let (done, recorded) = channel();
    let away = Away { home: id("r1"), handover: true };
    server.0.store.set_homes(vec![("a".into(), Some(away))], move |outcome| done.send(outcome).unwrap());
    recorded.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    same_as_a_put(&server, &access, "a.b", Some("no_link"));
    same_as_a_put(&server, &access, "a", Some("forbidden"));
    server.0.store.close();
    let closed = Server::new();
    closed.put("a", "{}");
    closed.0.store.close();
    same_as_a_put(&closed, &Access::all(), "a", Some("closing"));
}

#[test]
fn a_disk_that_is_full_or_failed_makes_nothing_writable_but_what_is_in_memory() {
    for (fault, code) in [(Fault::FULL, "no_space"), (Fault::IO, "read_only")] {
        let disk = Disk::new();
        let durability_of = vec![("mem".into(), Durability::Memory)];
        let options = Options { durability_of, ..Options::default() };
        let server = over(Store::open_on(disk.medium(), options).unwrap());
        server.put("a", "{}");
        server.put("mem", "{}");
        same_as_a_put(&server, &Access::all(), "a", None);
        disk.fail(DiskOp::Append, 1, fault);
        // Nor does a compaction make room, which may begin at any moment.
        disk.limit(Some(0));
        server.0.store.commit(Transaction::new(None).put(path("a.x"), Value::from(1))).unwrap_err();
        same_as_a_put(&server, &Access::all(), "a", Some(code));
        same_as_a_put(&server, &Access::all(), "mem", None);
    }
}

#[test]
fn a_local_says_that_a_root_has_no_home_or_no_link() {
    let server = Server::new();
    server.put("config", r#"{"a":1}"#);
    // Of another incarnation, so that a snapshot comes.
    let other = Standing { incarnation: Incarnation(1), version: Version(0), digest: 0 };
    let (feed, _) = server.0.store.feed(vec!["config".into()], &[("config".into(), Some(other))], || {});
    let mut incoming = Incoming::new(id("g"), vec!["config".into()]);
    feed.snapshot(true).for_each(|line| incoming.line(&line).unwrap());
    let role = Role::Follows {
        config: vec!["config".into()],
        operational: vec!["oper".into()],
        private: Private::Roots(vec!["mine".into()]),
    };
    let local = over(Store::in_memory(Options { role, ..Options::default() }));
    local.0.hub.follow_global("ws://g:8739");
    local.0.hub.set_link_state("connection refused; trying again in 4 s");
    let (done, installed) = channel();
    local.0.store.install(incoming.finish().unwrap(), move |outcome| done.send(outcome).unwrap());
    installed.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    local.put("oper", "{}");
    let all = Access::all();
    same_as_a_put(&local, &all, "config.a", Some("no_link"));
    same_as_a_put(&local, &all, "oper", None);
    let rows =
        |local: &Server| list(local, &all, &Path::TOP, Page::default()).get("rows").unwrap().to_string();
    let row = |root: &str, shown: &str| {
        format!(
            r#"{{"count":1,{shown},"inc":"{}","key":"{root}","stale_ms":null,"version":"#,
            inc(&local, root)
        )
    };
    let config = row("config", r#""here":false,"home":null"#)
        .replace("\"stale_ms\"", r#""problem":"connection refused; trying again in 4 s","stale_ms""#);
    assert_eq!(rows(&local), format!(r#"[{config}0}},{}1}}]"#, row("oper", r#""here":true,"home":"own""#)));

    let link: Arc<dyn Remote> = Arc::new(Link(id("g"), Some("not served here")));
    local.0.hub.link_up(link.clone());
    let shown = rows(&local);
    assert!(shown.contains(r#""here":false,"home":"g""#) && shown.contains(r#""stale_ms":40,"#), "{shown}");
    assert!(
        shown.contains(r#""problem":"not served here","stale_ms":null"#),
        "of a root of its own: {shown}"
    );
    let listed = list(&local, &all, &path("config.a"), Page::default());
    assert_eq!(listed.get("writable"), Some(&Value::Bool(true)));
    local.0.hub.link_down(&*link, "no answer to three pings");
    local.0.hub.tick(Duration::from_secs(5));
    let shown = rows(&local);
    assert!(shown.contains(r#""problem":"no answer to three pings","stale_ms":5040,"#), "{shown}");
}

/// A link that carries `config` from there, and refuses `oper` for this reason.
struct Link(TegaId, Option<&'static str>);

impl Remote for Link {
    fn tega_id(&self) -> &TegaId {
        &self.0
    }

    fn write(&self, _: Transaction, _: RemoteDone<Receipt>) {}

    fn fresh(&self, _: &Key, _: RemoteDone<()>) {}

    fn call(&self, _: &TegaId, _: &Path, _: &Value, _: Duration, _: RemoteDone<Value>) {}

    fn publish(&self, _: &TegaId, _: &str, _: &Value) {}

    fn listen(&self, _: &Channel, _: bool) {}

    fn owns(&self, _: SessionId) -> bool {
        false
    }

    fn end(&self, _: &str) {}

    fn info(&self) -> LinkInfo {
        let root = |name: &str, stale_ms: Option<u64>, refused: Option<&str>| LinkedRoot {
            name: name.into(),
            home: self.0.clone(),
            here: None,
            there: None,
            stale_ms,
            refused: refused.map(str::to_string),
        };
        LinkInfo {
            tega_id: self.0.clone(),
            address: "there".into(),
            up: true,
            since_s: 0,
            problem: None,
            silent_ms: 0,
            sessions: Vec::new(),
            roots: vec![root("config", Some(40), None), root("oper", None, self.1)],
        }
    }
}
