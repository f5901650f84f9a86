//! What goes over links, with a link that only remembers what it was told.

mod reach;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use super::*;
use crate::commit::Position;
use crate::message::ops;
use crate::path::{Key, Path};
use crate::store::{Away, Op, Options, Private, Receipt, Role, Transaction};
use crate::token::Access;
use crate::tree::Version;

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// A link that writes down what it's told, and answers as it was told to, or not yet.
struct Fake {
    id: TegaId,
    said: Mutex<Vec<String>>,
    /// What a write, a fresh read and a call are answered with.
    refuses: Mutex<Option<Refusal>>,
    holds: Mutex<bool>,
    held: Mutex<Vec<RemoteDone<()>>>,
    owns: Mutex<Vec<SessionId>>,
    serves: Mutex<Vec<TegaId>>,
    /// How often that was asked.
    asked: Mutex<usize>,
    told_sessions: Mutex<usize>,
}

impl Fake {
    fn new(name: &str) -> Arc<Fake> {
        Arc::new(Fake {
            id: id(name),
            said: Mutex::default(),
            refuses: Mutex::default(),
            holds: Mutex::default(),
            held: Mutex::default(),
            owns: Mutex::default(),
            serves: Mutex::default(),
            asked: Mutex::default(),
            told_sessions: Mutex::default(),
        })
    }

    fn say(&self, line: String) {
        self.said.lock().unwrap().push(line);
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    fn outcome<T>(&self, good: T) -> Result<T, Refusal> {
        self.refuses.lock().unwrap().clone().map_or(Ok(good), Err)
    }
}

impl Remote for Fake {
    fn tega_id(&self) -> &TegaId {
        &self.id
    }

    fn write(&self, transaction: Transaction, done: RemoteDone<Receipt>) {
        assert_eq!(transaction.session, None, "a session of here means nothing there");
        let mut text = String::new();
        ops::write_list(&transaction.ops, &mut text);
        for op in &transaction.ops {
            if let Op::Rollback { root, back_to, expect } = op {
                let expect = expect.map(|e| (e.version, e.incarnation.is_some()));
                text = format!("rollback {root} {back_to} {expect:?}");
            }
        }
        let by = transaction.by.map_or("-".into(), |by| by.to_string());
        self.say(format!("write {by} {} {text}", transaction.request_id.unwrap_or("-".into())));
        let versions = vec![("conf".into(), Version(9))];
        done(self.outcome(Receipt { position: Position(9), versions, durable: true, applied: false }));
    }

    fn fresh(&self, root: &Key, done: RemoteDone<()>) {
        self.say(format!("fresh {root}"));
        if *self.holds.lock().unwrap() {
            self.held.lock().unwrap().push(done);
        } else {
            done(self.outcome(()));
        }
    }

    fn call(&self, caller: &TegaId, path: &Path, arguments: &Value, _: Duration, done: RemoteDone<Value>) {
        self.say(format!("call {caller} {path} {arguments}"));
        done(self.outcome(Value::from(7)));
    }

    fn publish(&self, from: &TegaId, channel: &str, body: &Value) {
        self.say(format!("publish {from} {channel} {body}"));
    }

    fn listen(&self, channel: &Channel, on: bool) {
        let regex = matches!(channel, Channel::Regex { .. });
        self.say(format!("listen {} {regex} {on}", channel.text()));
    }

    fn owns(&self, session: SessionId) -> bool {
        self.owns.lock().unwrap().contains(&session)
    }

    fn carries(&self) -> Vec<Key> {
        vec!["conf".into(), "oper1".into(), format!("conf-{}", self.id).into()]
    }

    fn serves(&self, owner: &TegaId, _: &Path) -> bool {
        *self.asked.lock().unwrap() += 1;
        self.serves.lock().unwrap().contains(owner)
    }

    fn sessions_changed(&self) {
        *self.told_sessions.lock().unwrap() += 1;
    }

    fn end(&self, reason: &str) {
        self.say(format!("end {reason}"));
    }

    fn info(&self) -> LinkInfo {
        LinkInfo {
            tega_id: self.id.clone(),
            address: "there".into(),
            up: true,
            since_s: 0,
            problem: None,
            silent_ms: 0,
            sessions: vec![id("remote")],
            roots: Vec::new(),
        }
    }
}

/// A hub over a store in memory.
struct World {
    hub: Hub,
    store: Store,
}

impl Drop for World {
    fn drop(&mut self) {
        self.store.close();
    }
}

impl World {
    fn new(role: Role) -> World {
        let store = Store::in_memory(Options { role, ..Options::default() });
        World { hub: Hub::new(id("here"), store.clone()), store }
    }

    /// A local of `g`: `conf`, `conf2` are the global's, `oper` and `mine` its own.
    fn local() -> World {
        let world = World::new(Role::Follows {
            config: vec!["conf".into(), "conf2".into()],
            operational: vec!["oper".into()],
            private: Private::Roots(vec!["mine".into()]),
        });
        world.hub.follow_global("ws://g:8739");
        world
    }

    /// A global server; `conf` is its own, `oper1` is r1's and `oper2` r2's.
    fn global() -> World {
        let world = World::new(Role::Leads);
        for root in ["conf", "oper1", "oper2"] {
            world.put(&format!("{root}.x"), "1").unwrap();
        }
        world.set_home("oper1", "r1");
        world.set_home("oper2", "r2");
        world
    }

    fn set_home(&self, root: &str, home: &str) {
        let (sender, receiver) = channel();
        // What exists is given away with a handover only.
        let away = Away { home: id(home), handover: true };
        self.store.set_homes(vec![(root.into(), Some(away))], move |done| sender.send(done).unwrap());
        receiver.recv().unwrap().unwrap();
    }

    fn put(&self, at: &str, json: &str) -> Result<Receipt, Refusal> {
        self.submit(Transaction::new(Some(id("me"))).put(path(at), Value::parse(json).unwrap()))
    }

    fn submit(&self, transaction: Transaction) -> Result<Receipt, Refusal> {
        let (sender, receiver) = channel();
        self.hub.submit(transaction, move |outcome| sender.send(outcome).unwrap());
        receiver.recv().unwrap()
    }

    fn link(&self, name: &str) -> Arc<Fake> {
        let fake = Fake::new(name);
        self.hub.link_up(fake.clone());
        self.hub.links().check();
        fake
    }

    fn sessions(&self, link: &Arc<Fake>, ids: &[&str]) {
        self.hub.link_sessions(&**link, Arc::new(ids.iter().map(|name| id(name)).collect()));
    }

    fn fresh(&self, roots: &[&str]) -> Result<(), Refusal> {
        let (sender, receiver) = channel();
        let roots = roots.iter().map(|root| Key::from(*root)).collect();
        self.hub.fresh(roots, move |outcome| sender.send(outcome).unwrap());
        receiver.recv().unwrap()
    }

    fn join(&self, name: &str) -> (SessionId, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(10_000));
        let who = Joining {
            tega_id: id(name),
            scope: Scope::Local,
            dialect: Dialect::Second,
            from: "test".into(),
            access: Access::all(),
        };
        (self.hub.join(who, outbox.clone()).unwrap(), outbox)
    }

    fn subscribe(&self, session: SessionId, channel: &str, scope: Scope) {
        self.hub.subscribe(session, &Channel::Path(path(channel)), scope).unwrap();
        self.hub.state().check();
    }

    /// Which way a call goes: its result, or the code of its refusal.
    fn call(&self, origin: Option<&str>, at: &str) -> Result<String, &'static str> {
        let (sender, receiver) = channel();
        let origin = origin.map(id);
        let time = Some(Duration::from_secs(5));
        let from = Caller { origin: origin.as_ref(), tega_id: Some(&id("caller")), time };
        self.hub.call_by(from, &path(at), &Value::Null, move |outcome| {
            sender.send(outcome).unwrap();
        });
        match receiver.recv_timeout(Duration::ZERO) {
            Ok(Ok(value)) => Ok(value.to_string()),
            Ok(Err(error)) => Err(Refusal::from(error).code),
            // A session was asked and hasn't answered.
            Err(_) => Ok("asked".into()),
        }
    }

    fn ephemeral(&self, session: SessionId, by: &str, at: &str, value: &str) {
        let transaction = Transaction::new(Some(id(by))).put_ephemeral(path(at), Value::from(value));
        self.store.commit(Transaction { session: Some(session), ..transaction }).unwrap();
    }
}

fn taken(outbox: &Outbox) -> Vec<String> {
    let mut frames = Vec::new();
    outbox.take(Some(&mut frames), Waker::noop());
    frames.iter().map(|frame| frame.as_str().to_owned()).collect()
}

#[test]
fn a_write_goes_to_the_home_of_its_roots() {
    let world = World::local();
    let link = world.link("g");
    let session = world.join("me").0;
    world.put("oper.x", "1").unwrap();
    let one = || Value::from(1);
    let new = || Transaction { session: Some(session), ..Transaction::new(Some(id("me"))) };
    world.ephemeral(session, "me", "conf.eph", "1");
    for (what, transaction, there) in [
        ("its own root", new().put(path("oper.x"), one()), None),
        ("a private root", new().put(path("mine.x"), one()), None),
        ("both", new().put(path("oper.x"), one()).put(path("mine.x"), one()), None),
        (
            "the global's",
            new().put(path("conf.x"), one()).put(path("conf2.y"), one()),
            Some(r#"write me - [{"put":"conf.x","value":1},{"put":"conf2.y","value":1}]"#),
        ),
        ("a delete", new().delete(path("conf.x")), Some(r#"write me - [{"delete":"conf.x"}]"#)),
        ("an ephemeral node of the global's root", new().put_ephemeral(path("conf.e"), one()), None),
        ("with its own", new().put_ephemeral(path("conf.e"), one()).put(path("oper.x"), one()), None),
        ("deleting an ephemeral node", new().delete(path("conf.eph")), None),
    ] {
        let receipt = world.submit(transaction).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        assert_eq!(receipt.applied, there.is_none(), "{what}: as the link said");
        assert_eq!(link.said(), there.into_iter().collect::<Vec<_>>(), "{what}");
    }
    for (transaction, code, words) in [
        (new().put(path("typo.x"), one()), "no_home", vec!["typo", "conf", "oper", "mine"]),
        (
            new().put(path("oper.x"), one()).put(path("conf.x"), one()),
            "bad_request",
            vec!["the home of oper is here", "that of conf is g"],
        ),
        (
            new().put_ephemeral(path("oper.e"), one()).put(path("conf.x"), one()),
            "bad_request",
            vec!["oper.e is ephemeral", "conf is g"],
        ),
    ] {
        let refusal = world.submit(transaction).unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(words.iter().all(|word| refusal.message.contains(word)), "{refusal}");
    }
    assert_eq!(link.said(), Vec::<String>::new());
}

#[test]
fn what_the_home_or_the_link_says_is_what_the_writer_is_told() {
    let world = World::local();
    let link = world.link("g");
    for code in ["conflict", "no_link", "outcome_unknown", "no_space"] {
        *link.refuses.lock().unwrap() = Some(Refusal::new(code, "so it is"));
        let refusal = world.put("conf.x", "1").unwrap_err();
        assert_eq!((refusal.code, refusal.message.as_str()), (code, "so it is"));
    }
    *link.refuses.lock().unwrap() = None;
    link.said();
    // A retry is the same request, by its ID.
    for _ in 0..2 {
        let transaction = Transaction::new(None).put(path("conf.x"), Value::Null);
        world.submit(Transaction { request_id: Some("id-1".into()), ..transaction }).unwrap();
    }
    let line = r#"write - id-1 [{"put":"conf.x","value":null}]"#;
    assert_eq!(link.said(), [line, line]);
}

#[test]
fn without_a_link_a_write_is_refused_at_once_with_the_home_and_since_when() {
    let world = World::local();
    let refused = |at: &str, words: &[&str]| {
        let refusal = world.put(at, "1").unwrap_err();
        assert_eq!((refusal.code, refusal.status), ("no_link", 503));
        assert!(words.iter().all(|word| refusal.message.contains(word)), "{refusal}");
    };
    refused("conf.x", &["the home of conf is the global server", "ws://g:8739", "since ", "not linked yet"]);
    world.hub.set_link_state("connection refused; trying again");
    refused("conf.x", &["connection refused; trying again", "nothing happened"]);
    let link = world.link("g");
    world.put("conf.x", "1").unwrap();
    world.hub.link_down(&*link, "no answer to three pings");
    world.hub.links().check();
    world.hub.tick(Duration::from_secs(61));
    refused("conf.x", &["the home of conf is g", "(61 s ago)", "no answer to three pings"]);
    assert!(world.put("oper.x", "1").unwrap().applied, "its own roots don't need it");
    assert_eq!(world.store.get(&path("conf")), None);

    let world = World::global();
    let refusal = world.put("oper1.x", "1").unwrap_err();
    assert_eq!(refusal.code, "no_link");
    assert!(refusal.message.contains("the home of oper1 is r1; it wasn't linked since"), "{refusal}");
    let (r1, r2) = (world.link("r1"), world.link("r2"));
    world.put("oper1.x", "1").unwrap();
    assert_eq!((r1.said().len(), r2.said().len()), (1, 0));
    world.hub.link_down(&*r1, "it closed");
    let refusal = world.put("oper1.x", "1").unwrap_err();
    assert!(refusal.message.contains("is r1; no link from it since"), "{refusal}");
    assert!(refusal.message.contains("it closed"), "{refusal}");
    world.put("oper2.x", "1").unwrap();
}

#[test]
fn a_relative_rollback_goes_home_as_the_version_that_is_meant_here() {
    let world = World::global();
    for n in 0..3 {
        world.put("root.x", &n.to_string()).unwrap();
    }
    world.set_home("root", "r1");
    let link = world.link("r1");
    let rollback = |back_to| world.submit(Transaction::new(None).rollback("root".into(), back_to));
    rollback(-1).unwrap();
    rollback(0).unwrap();
    assert_eq!(link.said(), ["write - - rollback root 1 Some((2, true))", "write - - rollback root 0 None"]);
    assert_eq!(rollback(-3).unwrap_err().code, "not_found");
    assert_eq!(link.said(), Vec::<String>::new());
}

#[test]
fn a_fresh_read_waits_for_every_home_but_its_own() {
    let world = World::local();
    assert_eq!(world.fresh(&["oper", "mine", "typo"]), Ok(()), "nothing to wait for");
    assert_eq!(world.fresh(&["conf"]).unwrap_err().code, "no_link");
    let link = world.link("g");
    assert_eq!(world.fresh(&["conf", "oper", "conf2"]), Ok(()));
    assert_eq!(link.said(), ["fresh conf", "fresh conf2"]);
    *link.holds.lock().unwrap() = true;
    let (sender, receiver) = channel();
    world.hub.fresh(vec!["conf".into(), "conf2".into()], move |outcome| sender.send(outcome).unwrap());
    let mut held = std::mem::take(&mut *link.held.lock().unwrap());
    held.pop().unwrap()(Ok(()));
    assert!(receiver.try_recv().is_err(), "the other is still awaited");
    held.pop().unwrap()(Ok(()));
    assert_eq!(receiver.try_recv(), Ok(Ok(())));
    *link.holds.lock().unwrap() = false;
    *link.refuses.lock().unwrap() = Some(Refusal::new("timeout", "late"));
    assert_eq!(world.fresh(&["conf", "conf2"]).unwrap_err().code, "timeout", "once, by the first");
}

#[test]
fn a_fresh_read_of_too_many_homes_is_refused() {
    let world = World::new(Role::Leads);
    let link = world.link("r1");
    let roots: Vec<String> = (0..100).map(|n| format!("r{n}")).collect();
    for root in &roots {
        world.set_home(root, "r1");
    }
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    assert_eq!(world.fresh(&roots).unwrap_err().code, "bad_request");
    assert_eq!(link.said(), Vec::<String>::new());
    assert_eq!(world.fresh(&roots[..10]), Ok(()));
    assert_eq!(world.hub.all_roots().len(), 100);
}

#[test]
fn who_is_linked_and_who_was_is_known() {
    let world = World::global();
    let names = |world: &World| -> Vec<(String, bool, Option<String>)> {
        let shown = |info: LinkInfo| (info.tega_id.to_string(), info.up, info.problem);
        world.hub.link_infos().into_iter().map(shown).collect()
    };
    let never = || Some("not linked since this server started".to_string());
    assert_eq!(names(&world), [("r1".into(), false, never()), ("r2".into(), false, never())]);
    let first = world.link("r1");
    assert!(world.hub.link(&id("r1")).is_some());
    let second = Fake::new("r1");
    let replaced = world.hub.link_up(second.clone()).unwrap();
    assert!(std::ptr::addr_eq(Arc::as_ptr(&replaced), Arc::as_ptr(&first)));
    world.hub.link_down(&*first, "replaced");
    assert_eq!(
        names(&world),
        [("r1".into(), true, None), ("r2".into(), false, never())],
        "a late word of the old"
    );
    world.hub.link_down(&*second, "gone");
    world.hub.tick(Duration::from_secs(5));
    let r1 = world.hub.link_infos().remove(0);
    assert_eq!((r1.up, r1.since_s, r1.problem.as_deref(), r1.sessions.len()), (false, 5, Some("gone"), 0));
    assert_eq!(world.hub.links_up(), 0);
    world.link("r1");
    assert_eq!(names(&world).len(), 2, "known once");
    assert_eq!(world.hub.global(), None);

    let world = World::local();
    assert!(world.hub.link_infos().is_empty());
    let global = world.hub.global().unwrap();
    assert_eq!((global.up, global.tega_id), (false, None));
    world.link("g");
    let global = world.hub.global().unwrap();
    assert_eq!((global.up, global.tega_id, global.problem), (true, Some(id("g")), None));
}

#[test]
fn a_call_at_the_global_finds_its_owner_wherever_that_is_and_never_goes_back() {
    let world = World::new(Role::Leads);
    for (at, leaf) in
        [("conf.here", "%svc.f"), ("conf.none", "%other.f"), ("oper1.far", "%other.f"), ("conf.leaf", "x")]
    {
        world.put(at, &format!("{leaf:?}")).unwrap();
    }
    world.set_home("oper1", "r1");
    let (_, outbox) = world.join("svc");
    assert_eq!(world.call(None, "conf.here"), Ok("asked".into()));
    assert!(taken(&outbox)[0].starts_with("REQUEST 1 RPC caller conf.here"));
    assert_eq!(world.call(Some("r1"), "conf.here"), Ok("asked".into()), "for a local too");
    assert_eq!(world.call(None, "conf.leaf"), Err("not_found"));
    assert_eq!(world.call(None, "conf.nothing"), Err("not_found"));
    assert_eq!(world.call(None, "conf.none"), Err("no_owner"));
    assert_eq!(world.call(None, "oper1.far"), Err("no_link"), "its home isn't linked");
    let (r1, r2) = (world.link("r1"), world.link("r2"));
    assert_eq!(world.call(None, "oper1.far"), Ok("7".into()));
    assert_eq!(r1.said(), ["call caller oper1.far null"]);
    assert_eq!(world.call(Some("r2"), "oper1.far"), Ok("7".into()), "from one local to another");
    assert_eq!(world.call(Some("r1"), "oper1.far"), Err("no_owner"), "never back");
    r1.said();

    // An ephemeral leaf is called where its session is, even where someone here has the same name.
    let there = world.store.begin_session(id("svc"));
    r2.owns.lock().unwrap().push(there);
    world.ephemeral(there, "svc", "conf.e.f", "%svc.f");
    assert_eq!(world.call(None, "conf.e.f"), Ok("7".into()));
    assert_eq!((r1.said().len(), r2.said().len()), (0, 1));
    assert_eq!(world.call(Some("r2"), "conf.e.f"), Err("no_owner"));
    *r2.refuses.lock().unwrap() = Some(Refusal::new("outcome_unknown", "it broke"));
    assert_eq!(world.call(None, "conf.e.f"), Err("outcome_unknown"));
}

#[test]
fn a_leaf_of_no_session_is_called_where_its_owner_is_connected() {
    let world = World::new(Role::Leads);
    world.put("conf.f", "\"%svc.f\"").unwrap();
    world.put("oper1.f", "\"%svc.f\"").unwrap();
    world.set_home("oper1", "r1");
    let (r1, r2) = (world.link("r1"), world.link("r2"));
    assert_eq!(world.call(None, "conf.f"), Err("no_owner"));
    r2.serves.lock().unwrap().push(id("svc"));
    assert_eq!(world.call(None, "conf.f"), Err("no_owner"), "it hasn't said so");
    world.sessions(&r2, &["other", "svc"]);
    for at in ["conf.f", "oper1.f"] {
        for origin in [None, Some("r1")] {
            assert_eq!(world.call(origin, at), Ok("7".into()), "{at} {origin:?}");
            assert_eq!((r1.said().len(), r2.said().len()), (0, 1));
        }
    }
    assert_eq!(world.call(Some("r2"), "conf.f"), Err("no_owner"), "never back");
    let _svc = world.join("svc");
    assert_eq!(world.call(None, "conf.f"), Ok("asked".into()), "who is here comes first");
}

#[test]
fn a_local_tells_when_its_sessions_come_and_go() {
    let world = World::local();
    let link = world.link("g");
    let (session, _outbox) = world.join("a");
    world.hub.leave(session);
    assert_eq!(*link.told_sessions.lock().unwrap(), 2);
    let world = World::global();
    let link = world.link("r1");
    let _session = world.join("a");
    assert_eq!(*link.told_sessions.lock().unwrap(), 0, "nobody asks a global");
}

#[test]
fn a_call_at_a_local_is_served_here_or_goes_up_but_not_one_that_came_from_there() {
    let world = World::local();
    world.put("oper.here", "\"%svc.f\"").unwrap();
    world.put("oper.gone", "\"%away.f\"").unwrap();
    let _svc = world.join("svc");
    assert_eq!(world.call(None, "oper.here"), Ok("asked".into()));
    assert_eq!(world.call(None, "conf.unseen"), Err("no_link"));
    let link = world.link("g");
    for (origin, at, way) in [
        (None, "oper.here", Ok("asked")),
        (Some("g"), "oper.here", Ok("asked")),
        (None, "oper.gone", Ok("7")),
        (Some("g"), "oper.gone", Err("no_owner")),
        (None, "conf.unseen", Ok("7")),
        (Some("g"), "conf.unseen", Err("not_found")),
        (None, "oper.nothing", Err("not_found")),
        (None, "elsewhere.f", Ok("7")),
        (Some("g"), "elsewhere.f", Err("not_found")),
    ] {
        let up = usize::from(way == Ok("7"));
        assert_eq!(world.call(origin, at), way.map(String::from), "{origin:?} {at}");
        assert_eq!(link.said().len(), up, "{at}");
    }
}

#[test]
fn the_global_hears_what_the_sessions_here_want_from_it_once() {
    let world = World::local();
    let (a, _outbox) = world.join("a");
    let (b, _outbox) = world.join("b");
    world.subscribe(a, "one", Scope::Global);
    let link = world.link("g");
    assert_eq!(link.said(), ["listen one false true"], "what was wanted before the link came");
    world.subscribe(b, "one", Scope::Global);
    world.subscribe(b, "local", Scope::Local);
    assert_eq!(link.said(), Vec::<String>::new());
    world.hub.subscribe(b, &Channel::regex("x.*").unwrap(), Scope::Global).unwrap();
    world.subscribe(b, "local", Scope::Global);
    assert_eq!(link.said(), ["listen x.* true true", "listen local false true"]);
    world.subscribe(b, "local", Scope::Local);
    assert_eq!(link.said(), ["listen local false false"]);
    assert!(world.hub.unsubscribe(a, "one", false));
    assert_eq!(link.said(), Vec::<String>::new(), "the other still listens");
    world.hub.leave(b);
    world.hub.state().check();
    assert_eq!(link.said(), ["listen one false false", "listen x.* true false"]);
    world.hub.link_down(&*link, "gone");
    world.subscribe(a, "two", Scope::Global);
    assert_eq!(link.said(), Vec::<String>::new());
    assert_eq!(world.link("g").said(), ["listen two false true"]);
}

#[test]
fn a_message_reaches_everybody_who_listens_once_and_never_goes_back() {
    let body = Value::parse(r#"{"message":1}"#).unwrap();
    // At the global: all its sessions, and the links that listen.
    let world = World::global();
    let (here, outbox) = world.join("x");
    world.subscribe(here, "a.b", Scope::Local);
    let (r1, r2, r3) = (world.link("r1"), world.link("r2"), world.link("r3"));
    world.hub.listen(&id("r1"), &Channel::Path(path("a.b")), true).unwrap();
    world.hub.listen(&id("r2"), &Channel::regex("a\\..*").unwrap(), true).unwrap();
    world.hub.listen(&id("r2"), &Channel::Path(path("a.b")), true).unwrap();
    world.hub.links().check();
    let said = || [&r1, &r2, &r3].map(|link| link.said().len());
    assert_eq!(world.hub.publish_by(&id("r1"), &id("svc"), "a.b", &body), 1);
    assert_eq!((said(), taken(&outbox).len()), ([0, 1, 0], 1));
    assert_eq!(world.hub.publish(&id("x"), Some(here), "a.b", &body), 0, "not to its sender");
    assert_eq!((said(), taken(&outbox).len()), ([1, 1, 0], 0));
    world.hub.publish(&id("x"), Some(here), "a.c", &body);
    assert_eq!(said(), [0, 1, 0], "by the regex");
    assert_eq!(world.hub.forwarders(), [id("r1"), id("r2")]);
    world.hub.listen(&id("r1"), &Channel::Path(path("a.b")), false).unwrap();
    world.hub.link_down(&*r2, "gone");
    world.hub.links().check();
    assert!(world.hub.forwarders().is_empty());
    world.hub.listen(&id("r2"), &Channel::Path(path("a.b")), true).unwrap();
    world.hub.links().check();

    // At a local: up, always; and from there to those that listen with the scope `global`.
    let world = World::local();
    let link = world.link("g");
    let (near, near_box) = world.join("near");
    let (far, far_box) = world.join("far");
    world.subscribe(near, "a", Scope::Local);
    world.subscribe(far, "a", Scope::Global);
    link.said();
    assert_eq!(world.hub.publish(&id("near"), Some(near), "a", &body), 1);
    assert_eq!(link.said(), [r#"publish near a {"message":1}"#]);
    assert_eq!((taken(&near_box).len(), taken(&far_box).len()), (0, 1));
    assert_eq!(world.hub.publish_by(&id("g"), &id("other"), "a", &body), 1);
    assert_eq!((taken(&near_box).len(), taken(&far_box).len(), link.said().len()), (0, 1, 0));
}

#[test]
fn a_change_told_by_the_global_reaches_those_that_want_it_in_their_own_dialect() {
    let world = World::local();
    let join = |name: &str, dialect| {
        let outbox = Arc::new(Outbox::new(10_000));
        let who = Joining {
            tega_id: id(name),
            scope: Scope::Global,
            dialect,
            from: "test".into(),
            access: Access::all(),
        };
        let session = world.hub.join(who, outbox.clone()).unwrap();
        world.subscribe(session, "x", Scope::Global);
        outbox
    };
    let (ours, old, own) =
        (join("a", Dialect::Second), join("b", Dialect::Original), join("w", Dialect::Second));
    let (local, local_box) = world.join("c");
    world.subscribe(local, "x", Scope::Local);
    let entry = r#"[{"ope":"PUT","path":"x.y","tega_id":"w","instance":1,"root":"x","inc":"00000000000000ab","version":2,"position":3}]"#;
    assert_eq!(world.hub.notify("x", false, &Value::parse(entry).unwrap()), 2);
    let body = |outbox: &Outbox| {
        let frame = taken(outbox).remove(0);
        Value::parse(frame.strip_prefix("NOTIFY\n").unwrap()).unwrap()
    };
    assert_eq!(body(&ours), Value::parse(entry).unwrap());
    let plain = r#"[{"ope":"PUT","path":"x.y","tega_id":"w","instance":1}]"#;
    assert_eq!(body(&old), Value::parse(plain).unwrap());
    assert!(taken(&own).is_empty(), "nobody is told what was done under the own ID");
    assert!(taken(&local_box).is_empty());
    assert_eq!(world.hub.notify("y", false, &Value::parse(entry).unwrap()), 0);
    assert_eq!(world.hub.notify("x", true, &Value::parse(entry).unwrap()), 0, "a regex is another channel");
}
