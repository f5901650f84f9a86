//! Watches beyond what the scripts show: limits, overflow, and resuming by version.

use super::*;

fn watch(store: &Store, channels: &[&str]) -> Watch {
    let watch = store.watch(None, || ());
    channels.iter().for_each(|at| drop(watch.subscribe(Channel::Path(path(at)), None).unwrap()));
    watch
}

#[test]
fn a_queue_that_overflows_is_lagging_for_good_and_holds_up_nobody() {
    let store = Store::in_memory(Options { watch_queue: 3, ..Options::default() });
    let (slow, other) = (watch(&store, &["a"]), watch(&store, &["b"]));
    (0..3).for_each(|n| drop(put(&store, "a.x", &n.to_string()).unwrap()));
    assert!(slow.try_next().unwrap().is_some());
    (0..2).for_each(|n| drop(put(&store, "a.x", &n.to_string()).unwrap()));
    assert_eq!(slow.try_next().unwrap_err(), Lagging);
    assert_eq!(slow.wait(std::time::Duration::ZERO).unwrap_err(), Lagging);
    assert!(other.try_next().unwrap().is_none());
}

#[test]
fn a_watch_has_so_many_channels_and_is_told_each_event_once() {
    let store = Store::in_memory(Options::default());
    let watch = store.watch(None, || ());
    for n in 0..MAX_CHANNELS {
        watch.subscribe(Channel::Path(path(&format!("a.k{n}"))), None).unwrap();
    }
    watch.subscribe(Channel::Path(path("a.k0")), None).unwrap();
    let more = watch.subscribe(Channel::Path(path("b")), None);
    assert!(matches!(more, Err(Error::TooLarge { .. })));
    put(&store, "a", r#"{"k0":1,"k1":2}"#).unwrap();
    assert_eq!(watch.notices(&watch.try_next().unwrap().unwrap()).len(), 2);
    assert!(watch.try_next().unwrap().is_none());
}

#[test]
fn what_was_unsubscribed_is_told_no_more_and_a_dropped_watch_leaves_nothing() {
    let store = Store::in_memory(Options::default());
    let watch = watch(&store, &["a.x", "a.y", "b"]);
    watch.subscribe(Channel::regex("c.*").unwrap(), None).unwrap();
    assert!(watch.unsubscribe("c.*", true));
    assert!(!watch.unsubscribe("c.*", true) && !watch.unsubscribe("b", true));
    assert!(watch.unsubscribe("a.x", false));
    put(&store, "a.x", "1").unwrap();
    put(&store, "c.x", "1").unwrap();
    assert!(watch.try_next().unwrap().is_none());
    put(&store, "a.y", "1").unwrap();
    assert!(watch.try_next().unwrap().is_some());
    watch.unsubscribe_all();
    put(&store, "a.y", "2").unwrap();
    put(&store, "b.y", "2").unwrap();
    assert!(watch.try_next().unwrap().is_none());
    watch.subscribe(Channel::Path(path("b")), None).unwrap();
    drop(watch);
    assert_eq!(store.status().watches, 0);
    put(&store, "b.y", "3").unwrap();
}

#[test]
fn resuming_by_version_knows_incarnations() {
    let store = Store::in_memory(Options { history: 3, ..Options::default() });
    (0..3).for_each(|n| drop(put(&store, "a.x", &n.to_string()).unwrap()));
    put(&store, "b.x", "1").unwrap();
    let inc = store.view().root("a").unwrap().incarnation;
    let watch = store.watch(None, || ());
    let missed = |since: &[(&str, Incarnation, u64)], channel: Channel| {
        let since = since.iter().map(|(root, i, v)| ((*root).into(), *i, Version(*v))).collect();
        let missed = watch.subscribe(channel, Some(Since::Versions(since))).unwrap().missed;
        missed.map(|events| events.iter().map(|e| e.position.unwrap().0).collect::<Vec<_>>())
    };
    let a = || Channel::Path(path("a"));
    assert_eq!(missed(&[("a", inc, 1)], a()), Some(vec![3]));
    assert_eq!(missed(&[("a", inc, 2)], a()), Some(vec![]));
    assert_eq!(missed(&[], a()), Some(vec![1, 2, 3]));
    assert_eq!(missed(&[("a", Incarnation(1), 1)], a()), None);
    assert_eq!(missed(&[("a", inc, 9)], a()), None);
    assert_eq!(missed(&[("gone", inc, 1)], Channel::Path(path("gone"))), None);
    assert_eq!(missed(&[("a", inc, 1)], Channel::regex(".*").unwrap()), Some(vec![3, 4]));
    (0..3).for_each(|n| drop(put(&store, "a.x", &n.to_string()).unwrap()));
    assert_eq!(missed(&[("a", inc, 1)], a()), None);
    assert_eq!(missed(&[], a()), None);
}
