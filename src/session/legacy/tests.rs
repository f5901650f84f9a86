//! What a test over a socket can't place: the moment between a local's SUBSCRIBE and its SYNC, and a flood.

use std::sync::Arc;

use super::super::machine::{Machine, Step};
use crate::commit::TegaId;
use crate::hub::{Hub, Outbox};
use crate::path::Path;
use crate::store::{Options, Store, Transaction};
use crate::token::Access;
use crate::value::Value;

struct Local {
    machine: Machine,
    store: Store,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.machine.end();
        self.store.close();
    }
}

impl Local {
    fn new(options: Options) -> Local {
        let store = Store::in_memory(options);
        let hub = Hub::new(TegaId::new("top").unwrap(), store.clone());
        let outbox = Arc::new(Outbox::new(1 << 20));
        let machine = Machine::new(hub, store.clone(), "test".into(), Access::all(), outbox);
        let mut local = Local { machine, store };
        local.say("SESSION local1 global");
        local.say("SUBSCRIBE cfg global False");
        local
    }

    fn say(&mut self, frame: &str) -> Vec<String> {
        let mut out = Vec::new();
        assert!(matches!(self.machine.take(frame, &mut out), Step::Go), "{frame}");
        out.iter().map(|frame| frame.as_str().to_owned()).collect()
    }

    fn sync(&mut self, version: i64) -> Vec<String> {
        self.say(&format!("REQUEST 1 SYNC None None\n{{\"args\": null, \"kwargs\": {{\"cfg\": {version}}}}}"))
    }

    fn put(&self, path: &str, value: i64) {
        let transaction = Transaction::new(None).put(Path::parse(path).unwrap(), Value::from(value));
        self.store.commit(transaction).unwrap();
    }

    fn told(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = self.machine.next_notify().unwrap() {
            frames.push(frame.as_str().to_owned());
        }
        frames
    }
}

#[test]
fn a_change_between_subscribe_and_sync_is_told_once() {
    let mut local = Local::new(Options::default());
    local.put("cfg.a", 1);
    local.put("cfg.a", 2);
    let frames = local.sync(-1);
    // Both were waiting for it; then everything came at once. What it's told last is what is there.
    assert!(frames.iter().rev().nth(1).unwrap().contains(r#""instance":{"a":2}"#), "{frames:?}");
    assert_eq!(local.told(), [""; 0]);
    local.put("cfg.b", 3);
    let told = local.told();
    assert!(told.len() == 1 && told[0].contains(r#""path":"cfg.b""#), "{told:?}");
}

#[test]
fn a_whole_root_makes_the_changes_before_it_obsolete() {
    let mut local = Local::new(Options::default());
    local.sync(-1);
    local.put("cfg.a", 1);
    // Three wait; the second can't be said in the original's words.
    let quoted = Transaction::new(None).put(Path::new(["cfg", "1.2"]).unwrap(), Value::from(2));
    local.store.commit(quoted).unwrap();
    local.put("cfg.c", 3);
    let told = local.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains(r#""path":"cfg.a""#));
    assert!(told[1].contains(r#""instance":{"1.2":2,"a":1,"c":3}"#), "{told:?}");
}

#[test]
fn a_local_that_lags_is_ended_and_syncs_anew() {
    let mut local = Local::new(Options { watch_queue: 2, ..Options::default() });
    local.sync(-1);
    (0..4).for_each(|n| local.put("cfg.a", n));
    assert_eq!(local.machine.next_notify().unwrap_err().code, 4008);
}
