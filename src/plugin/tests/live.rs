//! Plugins with a hub and a store, in this process.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::Waker;
use std::time::Duration;

use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::daemon::testing::Scratch;
use crate::hub::{Asked, Dialect, Hub, Joining, Outbox, RpcError, Scope};
use crate::path::Path;
use crate::plugin::{MAX_WAITING, Options, Plugins};
use crate::store::{self, Store};
use crate::token::Access;
use crate::value::Value;

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    plugins: Plugins,
    hub: Hub,
    store: Store,
    dir: Scratch,
}

fn world(scripts: &[(&str, &str)]) -> World {
    let dir = Scratch::new();
    let chmod = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    chmod(dir.path());
    for (name, script) in scripts {
        let file = dir.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
        chmod(&file);
    }
    let id = TegaId::new("r1").unwrap();
    let store = Store::in_memory(store::Options::default());
    let hub = Hub::new(id.clone(), store.clone());
    let options = Options { dirs: vec![dir.path().to_path_buf()], memory_mib: 128 };
    let plugins = Plugins::start(&id, options, None, store.clone(), hub.clone()).unwrap();
    let (done, loaded) = channel();
    plugins.asker().reload(move || done.send(()).unwrap());
    loaded.recv_timeout(PATIENCE).unwrap();
    World { plugins, hub, store, dir }
}

impl World {
    fn call(&self, path: &str, arguments: &str) -> Receiver<Result<Value, RpcError>> {
        let (done, answer) = channel();
        let path = Path::parse(path).unwrap();
        // A test that is over asks no more.
        self.hub
            .call(None, &path, &Value::parse(arguments).unwrap(), move |outcome| drop(done.send(outcome)));
        answer
    }

    /// How it was refused at once; `None`: it wasn't.
    fn refused(&self, path: &str, arguments: &str) -> Option<Refusal> {
        self.call(path, arguments).try_recv().ok()?.err().map(Refusal::from)
    }
}

#[test]
fn what_waits_is_bounded_in_bytes_too_and_the_stop_refuses_it_all() {
    let world = world(&[("w", r#"case $1 in list) echo '{"wait":{}}' ;; *) sleep 60 ;; esac"#)]);
    let path = "operational-r1.rpc.w.wait";
    let long = format!("{{\"kwargs\":{{\"a\":\"{}\"}}}}", "x".repeat(1_000_000));
    let running: Vec<_> = (0..4).map(|_| world.call(path, "{}")).collect();
    // What runs has taken its arguments; how soon is the thread's affair.
    let count = MAX_WAITING / 1_000_008;
    let waiting: Vec<_> = (0..count).map(|_| world.call(path, &long)).collect();
    let refusal = world.refused(path, &long).unwrap();
    assert_eq!((refusal.code, refusal.path.map(|p| p.to_string()).as_deref()), ("too_many", Some(path)));
    // Short ones have room.
    let short = world.call(path, "{}");
    assert!(short.try_recv().is_err());
    world.plugins.desk.lock().check();
    let World { plugins, hub, store, dir: _dir } = world;
    let desk = plugins.desk.clone();
    drop(plugins);
    for answer in waiting.into_iter().chain([short]) {
        assert_eq!(Refusal::from(answer.recv_timeout(PATIENCE).unwrap().unwrap_err()).code, "closing");
    }
    for answer in running {
        assert_eq!(
            Refusal::from(answer.recv_timeout(PATIENCE).unwrap().unwrap_err()).code,
            "outcome_unknown"
        );
    }
    desk.lock().check();
    assert_eq!(hub.status().sessions, 0, "its session is gone");
    // As are its leaves, once the store has got to it.
    let before = store::Transaction::new(None).put(Path::parse("a.b").unwrap(), Value::from(1));
    store.commit(before).unwrap();
    assert!(store.view().node(&Path::parse(path).unwrap()).is_none());
    store.close();
}

#[test]
fn a_session_with_the_tega_id_of_a_plugin_is_not_asked() {
    let world = world(&[("p", r#"case $1 in list) echo '{"f":{}}' ;; *) echo 7 ;; esac"#)]);
    let outbox = Arc::new(Outbox::new(1_000));
    let who = Joining {
        tega_id: TegaId::new("p").unwrap(),
        scope: Scope::Local,
        dialect: Dialect::Second,
        from: "test".into(),
        access: Access::all(),
    };
    world.hub.join(who, outbox.clone()).unwrap();
    let answer = world.call("operational-r1.rpc.p.f", "{}").recv_timeout(PATIENCE).unwrap();
    assert_eq!(answer, Ok(Value::from(7)));
    let mut frames = Vec::new();
    outbox.take(Some(&mut frames), Waker::noop());
    assert!(frames.is_empty(), "{frames:?}");
    // Without the plugin the calls are the session's.
    drop(world.plugins);
    world
        .store
        .commit(store::Transaction::new(None).put(Path::parse("a.f").unwrap(), Value::from("%p.f")))
        .unwrap();
    let (done, _answer) = channel();
    world.hub.call(None, &Path::parse("a.f").unwrap(), &Value::empty_object(), move |o| drop(done.send(o)));
    outbox.take(Some(&mut frames), Waker::noop());
    assert_eq!(frames.len(), 1);
    world.store.close();
}

#[test]
fn a_call_to_a_session_that_the_plugin_had_before_is_refused() {
    let world = world(&[("p", r#"case $1 in list) echo '{"f":{}}' ;; *) sleep 60 ;; esac"#)]);
    let path = Path::parse("operational-r1.rpc.p.f").unwrap();
    let (arguments, time) = (Value::empty_object(), PATIENCE);
    let asked = Asked { seq: 1, caller: None, path: &path, arguments: &arguments, time };
    let desk = &world.plugins.desk;
    let now = desk.lock().loaded.get("p").unwrap().seat.session;
    let before = world.store.begin_session(TegaId::new("p").unwrap());
    assert_eq!(desk.call(&"p".into(), before, asked).unwrap_err().code, "no_owner");
    assert!(desk.call(&"p".into(), now, asked).is_ok());
    drop(world.plugins);
    world.store.close();
}

#[test]
fn a_leaf_that_is_taken_back_leaves_what_somebody_put_in_its_place_just_before() {
    let world = world(&[("p", r#"case $1 in list) echo '{"f":{},"g":{}}' ;; *) echo 7 ;; esac"#)]);
    let desk = &world.plugins.desk;
    let seat = desk.lock().loaded.get("p").unwrap().seat.clone();
    let taken_back = |leaf: &str, meanwhile: Option<store::Transaction>| {
        let leaf = Path::parse(leaf).unwrap();
        let withdrawal = desk.withdrawal(&seat, leaf.clone()).unwrap();
        meanwhile.map(|meanwhile| world.store.commit(meanwhile).unwrap());
        let taken = world.store.commit(withdrawal).is_ok();
        (taken, world.store.view().node(&leaf).map(|node| node.to_value()))
    };
    let f = "operational-r1.rpc.p.f";
    let put = store::Transaction::new(None).put(Path::parse(f).unwrap(), Value::from("mine"));
    // A persistent value's version isn't to be the leaf's number by chance.
    let stamp = world.store.view().node(&Path::parse(f).unwrap()).unwrap().stamp;
    assert!(stamp.number() > 0);
    assert_eq!(taken_back(f, Some(put)), (false, Some(Value::from("mine"))));
    assert!(desk.withdrawal(&seat, Path::parse(f).unwrap()).is_none());
    assert_eq!(taken_back("operational-r1.rpc.p.g", None), (true, None));
    drop(seat);
    drop(world.plugins);
    world.store.close();
}

#[test]
fn a_reload_does_not_list_once_more_what_is_being_listed() {
    // The world reloads while this one lists itself.
    let world = world(&[("p", r#"[ $1 != list ] || { echo x >> "$0.lists"; sleep 1; echo '{"f":{}}'; }"#)]);
    let lists = std::fs::read_to_string(world.dir.path().join("p.lists")).unwrap();
    assert_eq!(lists, "x\n");
    assert_eq!(
        world.plugins.asker().told().get("p").unwrap().get("state").and_then(Value::as_str),
        Some("loaded")
    );
    drop(world.plugins);
    world.store.close();
}

#[test]
fn two_plugins_do_not_serve_one_leaf() {
    let script = r#"echo '{".path":"fn","f":{}}'"#;
    let world = world(&[("a", script), ("b", script)]);
    let told = world.plugins.asker().told();
    let states: Vec<&str> =
        ["a", "b"].iter().filter_map(|name| told.get(name)?.get("state")?.as_str()).collect();
    assert!(states.contains(&"loaded") && states.contains(&"refused"), "{told}");
    assert!(told.to_string().contains("fn.f is served by the plugin"), "{told}");
    world.store.close();
}
