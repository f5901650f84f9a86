//! Whole conversations with the rules alone, byte by byte.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::machine::{Machine, Step};
use super::*;
use crate::commit::TegaId;
use crate::hub::{End, Hub, Outbox};
use crate::path::Path;
use crate::read::INLINE_NODES;
use crate::store::{Ope, Options, Store, Transaction};
use crate::token::Access;
use crate::value::Value;

pub(super) fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

pub(super) fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

pub(super) fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

pub(super) struct World {
    pub(super) store: Store,
    pub(super) hub: Hub,
}

impl World {
    pub(super) fn new() -> World {
        let store = Store::in_memory(Options::default());
        World { hub: Hub::new(id("global"), store.clone()), store }
    }

    fn connect(&self) -> Talk {
        self.connect_with(Access::all())
    }

    pub(super) fn connect_with(&self, access: Access) -> Talk {
        let outbox = Arc::new(Outbox::new(Limits::default().outbox));
        let (hub, store) = (self.hub.clone(), self.store.clone());
        let machine = Machine::new(hub, store, "test".into(), access, outbox.clone());
        Talk { machine, outbox }
    }

    /// A session that has begun.
    fn session(&self, hello: &str) -> Talk {
        self.session_with(hello, Access::all())
    }

    pub(super) fn session_with(&self, hello: &str, access: Access) -> Talk {
        let mut talk = self.connect_with(access);
        assert_eq!(talk.say(hello), ["SESSIONACK global"]);
        talk
    }

    pub(super) fn put(&self, path_: &str, text: &str) {
        let transaction = Transaction::new(Some(id("writer"))).put(path(path_), value(text));
        self.store.commit(transaction).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.store.close();
    }
}

pub(super) struct Talk {
    machine: Machine,
    outbox: Arc<Outbox>,
}

impl Talk {
    fn step(&mut self, frame: &str) -> (Step, Vec<String>) {
        let mut out = Vec::new();
        let step = self.machine.take(frame, &mut out);
        (step, out.iter().map(|frame| frame.as_str().to_owned()).collect())
    }

    /// What is answered at once.
    pub(super) fn say(&mut self, frame: &str) -> Vec<String> {
        match self.step(frame) {
            (Step::Go, frames) => frames,
            (Step::Large(large), mut frames) => {
                frames.push(large.run());
                frames
            }
            (Step::End(end), _) => panic!("{frame}: ended with {end:?}"),
        }
    }

    pub(super) fn ends(&mut self, frame: &str) -> End {
        match self.step(frame) {
            (Step::End(end), _) => end,
            (_, frames) => panic!("{frame}: {frames:?}"),
        }
    }

    /// Waits for the next frames that others left here.
    fn hear(&mut self) -> Vec<String> {
        let frames = smol::block_on(poll_fn(|cx| {
            let mut frames = Vec::new();
            self.outbox.take(Some(&mut frames), cx.waker());
            if frames.is_empty() { Poll::Pending } else { Poll::Ready(frames) }
        }));
        frames.iter().map(|frame| frame.as_str().to_owned()).collect()
    }

    /// What is there to be sent, without waiting: frames that others left here, then notifications.
    pub(super) fn pending(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        self.outbox.take(Some(&mut frames), std::task::Waker::noop());
        while let Some(frame) = self.machine.next_notify().unwrap() {
            frames.push(frame);
        }
        frames.iter().map(|frame| frame.as_str().to_owned()).collect()
    }

    /// Asks, and waits for the one answer.
    pub(super) fn ask(&mut self, frame: &str) -> String {
        let mut frames = self.say(frame);
        if frames.is_empty() {
            frames = self.hear();
        }
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    /// Waits for the next notification.
    fn notified(&mut self) -> String {
        smol::block_on(poll_fn(|cx| {
            self.outbox.take(None, cx.waker());
            match self.machine.next_notify().unwrap() {
                Some(frame) => Poll::Ready(frame.as_str().to_owned()),
                None => Poll::Pending,
            }
        }))
    }
}

#[test]
fn a_session_of_the_go_driver_subscribes_is_notified_and_gets_messages() {
    let world = World::new();
    let mut go = world.session("SESSION anonymous local");
    assert!(go.say("SUBSCRIBE anonymous local False").is_empty());
    assert!(go.say("SUBSCRIBE a.b local False").is_empty());
    world.put("a.b", r#"{"x":1,"y":[2]}"#);
    assert_eq!(
        go.notified(),
        "NOTIFY\n[{\"ope\":\"PUT\",\"path\":\"a.b\",\"tega_id\":\"writer\",\"instance\":{\"x\":1,\"y\":[2]}}]"
    );
    let mut other = world.session("SESSION other local");
    assert!(other.say("SUBSCRIBE a.b local").is_empty());
    assert!(other.say("PUBLISH a.b\n{\"message\":{\"message\":\"hi\"}}").is_empty());
    assert_eq!(go.hear(), ["MESSAGE a.b other\n{\"message\":{\"message\":\"hi\"}}"]);
    world.store.commit(Transaction::new(Some(id("writer"))).delete(path("a.b.x"))).unwrap();
    let text = "NOTIFY\n[{\"ope\":\"DELETE\",\"path\":\"a.b.x\",\"tega_id\":\"writer\",\"instance\":1}]";
    assert_eq!(go.notified(), text);
    // UNSUBSCRIBE is never echoed, and ends it.
    assert!(go.say("UNSUBSCRIBE a.b False").is_empty());
    assert!(go.say("UNSUBSCRIBE").is_empty());
    assert_eq!(world.hub.channels(&Access::all()), [("a.b".to_string(), vec![id("other")])]);
}

#[test]
fn a_call_goes_to_the_owner_and_the_go_drivers_result_is_unwrapped() {
    let world = World::new();
    let mut owner = world.session("SESSION anonymous local");
    let put = owner.ask("REQUEST 1 PUT None r.f\n{\"value\":\"%anonymous.Add\",\"ephemeral\":true}");
    assert!(put.starts_with("RESPONSE 1 PUT global\n{\"versions\":"), "{put}");
    let mut caller = world.session("SESSION cli local");
    assert!(caller.say("REQUEST 9 RPC cli r.f\n{\"args\":[1,2],\"kwargs\":{}}").is_empty());
    assert_eq!(owner.hear(), ["REQUEST 1 RPC cli r.f\n{\"args\":[1,2],\"kwargs\":{}}"]);
    assert!(owner.say("RESPONSE 1 RPC cli\n{\"result\":3}").is_empty());
    assert_eq!(caller.hear(), ["RESPONSE 9 RPC global\n3"]);
    // In our own dialect a result can't be taken for an error.
    let mut ours = world.session("SESSION ours local 2");
    assert!(ours.say("REQUEST 1 RPC None r.f\n{\"args\":[],\"kwargs\":{}}").is_empty());
    assert_eq!(owner.hear(), ["REQUEST 2 RPC ours r.f\n{\"args\":[],\"kwargs\":{}}"]);
    assert!(owner.say("RESPONSE 2 RPC ours\n4").is_empty());
    assert_eq!(ours.hear(), ["RESPONSE 1 RPC global\n{\"result\":4}"]);
    // The owner's end ends what it owes, and takes its leaf with it.
    assert!(ours.say("REQUEST 2 RPC None r.f\n{}").is_empty());
    drop(owner);
    let gone = ours.hear().remove(0);
    assert!(gone.starts_with("RESPONSE 2 RPC global\n{\"error\":{\"code\":\"outcome_unknown\""), "{gone}");
    // A commit that comes after the end sees what the end did.
    world.store.commit(Transaction::new(None)).unwrap();
    let answer = ours.ask("REQUEST 3 RPC None r.f\n{}");
    assert!(answer.contains("\"code\":\"not_found\""), "{answer}");
}

#[test]
fn writes_and_reads_are_answered_under_their_seq() {
    let world = World::new();
    let mut talk = world.session("SESSION me local 2");
    let put = talk.ask("REQUEST 4294967295 PUT me a.b\n{\"value\":{\"c\":1},\"version\":-1}");
    let versions = "RESPONSE 4294967295 PUT global\n{\"versions\":{\"a\":0},\"position\":1,\"durable\":";
    assert!(put.starts_with(versions), "{put}");
    assert_eq!(talk.ask("REQUEST 0 GET me a.b.c\n{}"), "RESPONSE 0 GET global\n{\"value\":1,\"version\":0}");
    assert_eq!(
        talk.ask("REQUEST 0 GET None -"),
        "RESPONSE 0 GET global\n{\"value\":{\"a\":{\"b\":{\"c\":1}}}}"
    );
    let conflict = talk.ask("REQUEST 2 PUT me a.b\n{\"value\":2,\"version\":7}");
    assert!(conflict.contains("\"code\":\"conflict\""), "{conflict}");
    assert!(conflict.contains("\"path\":\"a.b\",\"expected\":7,\"actual\":0"), "{conflict}");
    let commit = "REQUEST 3 COMMIT me -\n{\"ops\":[{\"put\":\"a.d\",\"value\":2},{\"delete\":\"a.b\"},{\"put\":\"z.y\",\"value\":0}]}";
    let answer = talk.ask(commit);
    assert!(answer.contains("{\"versions\":{\"a\":1,\"z\":0},\"position\":2"), "{answer}");
    let past = talk.ask("REQUEST 4 GET me a.b.c\n{\"version\":-1}");
    assert_eq!(past, "RESPONSE 4 GET global\n{\"value\":1,\"version\":0}");
    let missing = talk.ask("REQUEST 5 GET me a.b.c");
    assert!(missing.contains("\"code\":\"not_found\""), "{missing}");
    let back = talk.ask("REQUEST 6 ROLLBACK me a\n{\"backto\":0}");
    assert!(back.contains("{\"versions\":{\"a\":2}"), "{back}");
    assert!(talk.ask("REQUEST 7 GET me a.b.c").contains("\"value\":1"));
    let regex = talk.ask("REQUEST 8 GET me (z)\\.(.*)\n{\"regex\":true}");
    assert_eq!(
        regex,
        "RESPONSE 8 GET global\n{\"value\":{\"z.y\":{\"groups\":[[\"z\"],[\"y\"]],\"instance\":0}}}"
    );
    assert!(talk.ask("REQUEST 9 GET me z.y\n{\"internal\":true}").contains("\"_value\":0"));
    talk.ask("REQUEST 10 CLEAR me -\n{}");
    assert_eq!(talk.ask("REQUEST 11 GET me -"), "RESPONSE 11 GET global\n{\"value\":{}}");
}

#[test]
fn writes_take_effect_in_the_order_in_which_they_were_sent() {
    let world = World::new();
    let mut talk = world.session("SESSION me local");
    for n in 0..200 {
        assert!(talk.say(&format!("REQUEST {n} PUT me a.n\n{{\"value\":{n}}}")).is_empty());
    }
    let mut heard = Vec::new();
    while heard.len() < 200 {
        heard.extend(talk.hear());
    }
    assert_eq!(talk.machine.open(), 0);
    assert!(talk.ask("REQUEST 1 GET me a.n").contains("{\"value\":199,\"version\":199}"));
}

#[test]
fn a_request_that_cant_be_is_answered_and_changes_nothing() {
    let world = World::new();
    for hello in ["SESSION me local", "SESSION me local 2"] {
        let mut talk = world.session(hello);
        for (frame, why) in [
            ("REQUEST 1 PUT me a.b\n{\"value\":", "line 1"),
            ("REQUEST 1 PUT me a.b", "needs a \\\"value\\\""),
            ("REQUEST 1 FLY me a.b", "request type"),
            ("REQUEST 1 SYNC me None\n{\"args\":1}", "bad_request"),
            ("REQUEST 1 PUT other a.b\n{\"value\":1}", "acts as me"),
            ("REQUEST 1 PUT me a._value\n{\"value\":1}", "internal form"),
            ("REQUEST 1 GET me (\n{\"regex\":true}", "bad_request"),
            ("REQUEST 1 GET me a\n{\"version\":7}", "not_found"),
            ("REQUEST 1 RPC me a.b\n{}", "nobody serves a function"),
            ("REQUEST 1 SUBSCRIBE me (\n{\"regex\":true}", "bad_request"),
        ] {
            let answer = talk.ask(frame);
            assert!(answer.starts_with("RESPONSE 1 "), "{answer}");
            assert!(answer.contains("{\"error\":{\"code\":") && answer.contains(why), "{frame}: {answer}");
        }
    }
    assert!(world.hub.channels(&Access::all()).is_empty(), "a refused subscription leaves nothing behind");
    assert_eq!(world.store.view().roots().count(), 0);
}

#[test]
fn a_seq_that_still_waits_cant_be_used_again() {
    let world = World::new();
    let mut owner = world.session("SESSION o local");
    owner.ask("REQUEST 1 PUT o r.f\n{\"value\":\"%o.f\"}");
    let mut caller = world.session("SESSION c local");
    assert!(caller.say("REQUEST 1 RPC c r.f\n{}").is_empty());
    assert!(caller.ask("REQUEST 1 GET c r").contains("still waits"));
    assert_eq!(caller.machine.open(), 1);
    owner.hear();
    owner.say("RESPONSE 1 RPC c\n1");
    caller.hear();
    assert!(caller.ask("REQUEST 1 GET c r.f").contains("%o.f"));
}

#[test]
fn the_originals_dialect_is_closed_where_it_cant_be_served_and_ours_is_told() {
    let world = World::new();
    let mut talk = world.connect();
    assert_eq!(talk.ends("SUBSCRIBE a local False").code, 4000);
    for frame in
        ["HELLO", "SUBSCRIBE a..b local False", "SUBSCRIBE ( local True", "PUBLISH a", "RESPONSE 1 RPC x\n{"]
    {
        let end = world.session("SESSION me local").ends(frame);
        assert_eq!(end.code, 4000, "{frame}");
        assert!(!end.reason.is_empty());
        let mut ours = world.session("SESSION me local 2");
        let told = ours.say(frame).remove(0);
        assert!(told.starts_with("ERROR\n{\"error\":{\"code\":\"bad_request\""), "{frame}: {told}");
    }
    assert_eq!(world.session("SESSION me local 2").ends("SESSION me local 2").code, 4000);
    assert!(world.hub.ids().is_empty(), "each session was forgotten");
}

#[test]
fn no_session_is_notified_of_what_its_own_id_did() {
    let world = World::new();
    let mut talk = world.session("SESSION writer local");
    talk.say("SUBSCRIBE a local False");
    world.put("a.b", "1");
    world.store.commit(Transaction::new(Some(id("x"))).put(path("a.c"), value("2"))).unwrap();
    assert!(talk.notified().contains("\"a.c\""));
}

#[test]
fn a_deleted_root_with_ephemeral_nodes_is_resumed_from_after_its_deletion() {
    let world = World::new();
    world.put("a.b", "1");
    world.store.commit(Transaction::new(None).delete(path("a"))).unwrap();
    let mut owner = world.session("SESSION o local 2");
    owner.ask("REQUEST 1 PUT o a.e\n{\"value\":1,\"ephemeral\":true}");
    let mut talk = world.session("SESSION me local 2");
    let answer = talk.ask("REQUEST 1 SUBSCRIBE me a");
    let roots = value(answer.split_once('\n').unwrap().1).get("roots").unwrap().clone();
    let answer = talk.ask(&format!("REQUEST 2 SUBSCRIBE me a.x\n{{\"since\":{roots}}}"));
    assert!(answer.contains("\"missed\":[]"), "{answer}");
    let again = talk.ask(&format!("REQUEST 3 SUBSCRIBE me a\n{{\"since\":{roots}}}"));
    assert!(!again.contains("DELETE"), "{again}");
}

#[test]
fn the_second_dialect_resumes_from_where_it_was() {
    let world = World::new();
    world.put("a.b", "1");
    let mut talk = world.session("SESSION me local 2");
    let first = talk.ask("REQUEST 1 SUBSCRIBE me a\n{\"state\":true}");
    let (_, json) = first.split_once('\n').unwrap();
    let answer = value(json);
    assert_eq!(answer.get("value"), Some(&value(r#"{"b":1}"#)));
    assert_eq!(answer.get("missed"), None);
    let roots = answer.get("roots").unwrap().clone();
    world.put("a.b", "2");
    let notify = talk.notified();
    for member in ["\"root\":\"a\"", "\"version\":1", "\"position\":2", "\"inc\":\""] {
        assert!(notify.contains(member), "{notify}");
    }
    drop(talk);
    world.put("a.c", "3");
    world.put("z.z", "4");
    let mut again = world.session("SESSION me local 2");
    let answer = again.ask(&format!("REQUEST 1 SUBSCRIBE me a\n{{\"since\":{roots}}}"));
    let answer = value(answer.split_once('\n').unwrap().1);
    let missed = crate::message::entry::read_list(answer.get("missed").unwrap()).unwrap();
    let seen: Vec<_> = missed.iter().map(|entry| (entry.path.to_string(), entry.ope)).collect();
    assert_eq!(seen, [("a.b".to_string(), Ope::Put), ("a.c".to_string(), Ope::Put)]);
    // Another incarnation: what it knew is gone.
    let gone = again.ask("REQUEST 2 SUBSCRIBE me a\n{\"since\":{\"a\":[\"00000000000000ff\",1]}}");
    assert!(gone.contains("\"gone\":true") && gone.contains("\"value\":{\"b\":2,\"c\":3}"), "{gone}");
}

#[test]
fn ephemeral_nodes_end_with_their_session() {
    let world = World::new();
    let mut talk = world.session("SESSION me local");
    talk.ask("REQUEST 1 PUT me a.e\n{\"value\":1,\"ephemeral\":true}");
    assert!(talk.ask("REQUEST 2 GET me a.e").contains("{\"value\":1,\"ephemeral\":true}"));
    let mut other = world.session("SESSION you local");
    other.say("SUBSCRIBE a local False");
    drop(talk);
    assert!(other.notified().contains("\"ope\":\"DELETE\",\"path\":\"a.e\""));
    assert!(other.ask("REQUEST 2 GET you a.e").contains("not_found"));
}

#[test]
fn a_large_read_is_done_elsewhere_and_is_the_same() {
    let world = World::new();
    let members: Vec<String> = (0..INLINE_NODES + 1).map(|n| format!("\"k{n:05}\":{n}")).collect();
    let text = format!("{{{}}}", members.join(","));
    world.put("a.b", &text);
    let mut talk = world.session("SESSION me local");
    assert!(matches!(talk.step("REQUEST 1 GET me a.b").0, Step::Large(_)));
    assert_eq!(
        talk.say("REQUEST 1 GET me a.b"),
        [format!("RESPONSE 1 GET global\n{{\"value\":{text},\"version\":0}}")]
    );
}
