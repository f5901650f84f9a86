//! Many at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn thirty_two_writers_on_one_counter_lose_no_increment() {
    let store = Store::in_memory(Options::default());
    put(&store, "a.n", "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..20 {
                    loop {
                        let view = store.view();
                        let node = view.node(&path("a.n")).unwrap();
                        let (n, version) =
                            (node.leaf().unwrap().as_int().unwrap(), node.stamp.number() as i64);
                        let next = Transaction::new(None).put_if(path("a.n"), Value::from(n + 1), version);
                        match store.commit(next) {
                            Ok(_) => break,
                            Err(Error::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(text(&store, "a.n"), "640");
    assert_eq!(store.view().root("a").unwrap().version, Version(640));
}

#[test]
fn readers_never_see_half_a_transaction_and_watchers_each_commit_once() {
    let store = Store::in_memory(Options { watch_queue: 10_000, ..Options::default() });
    let watch = store.watch(None, || ());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = Position(0);
                while !stop.load(Ordering::Relaxed) {
                    let view = store.view();
                    assert_eq!(view.get(&path("a.n")), view.get(&path("b.n")));
                    assert!(view.position() >= last);
                    last = view.position();
                }
            });
        }
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..200_u64 {
                        let value = || Value::from(writer * 1000 + n);
                        let tx = Transaction::new(None).put(path("a.n"), value()).put(path("b.n"), value());
                        store.commit(tx).unwrap();
                    }
                })
            })
            .collect();
        // In the middle of it all: what comes is what follows the view, without a gap.
        let subscribed = watch.subscribe(Channel::Path(path("a")), Some(Since::Position(Position(0))));
        let mut position = subscribed.unwrap().view.position();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        while let Some(event) = watch.try_next().unwrap() {
            position.0 += 1;
            assert_eq!(event.position, Some(position));
        }
        assert_eq!(position, Position(800));
    });
}

#[test]
fn whoever_is_answered_or_woken_may_call_the_store() {
    let store = Store::in_memory(Options::default());
    let (sender, receiver) = mpsc::channel();
    let inner = store.clone();
    let woken = sender.clone();
    let watch = store.watch(None, move || {
        // Everything that takes a lock.
        inner.status();
        let spare = inner.watch(None, || ());
        spare.subscribe(Channel::Path(path("a")), None).unwrap();
        inner.ephemeral(&Path::TOP);
        let session = inner.begin_session(id("x"));
        inner.end_session(session);
        let _ = woken.send("woken");
    });
    watch.subscribe(Channel::Path(path("a")), None).unwrap();
    let inner = store.clone();
    store.submit(put_of("a.x", "1"), move |_| {
        inner.status();
        inner.submit(put_of("b.x", "2"), move |_| {
            let _ = sender.send("answered");
        });
    });
    let mut got = [receiver.recv().unwrap(), receiver.recv().unwrap()];
    got.sort_unstable();
    assert_eq!(got, ["answered", "woken"]);
    assert_eq!(text(&store, "b.x"), "2");
}

#[test]
fn a_panic_of_a_submitter_or_watcher_takes_nobody_else_down() {
    let store = Store::in_memory(Options::default());
    let watch = store.watch(None, || panic!("a watcher's own"));
    watch.subscribe(Channel::Path(path("a")), None).unwrap();
    store.submit(put_of("a.x", "1"), |_| panic!("a submitter's own"));
    put(&store, "a.x", "2").unwrap();
    assert_eq!(text(&store, "a.x"), "2");
}

#[test]
fn closing_answers_everybody_and_twice_does_nothing() {
    let store = Store::in_memory(Options::default());
    let (sender, receiver) = mpsc::channel();
    for n in 0..100 {
        let sender = sender.clone();
        store.submit(put_of("a.x", &n.to_string()), move |outcome| {
            let _ = sender.send(outcome.is_ok());
        });
    }
    store.close();
    store.close();
    drop(sender);
    assert_eq!(receiver.iter().filter(|ok| *ok).count(), 100);
    assert_eq!(put(&store, "a.x", "1"), Err(Error::Closed));
    assert_eq!(text(&store, "a.x"), "99");
}

#[test]
fn the_last_handle_may_go_in_an_answer() {
    let disk = Disk::new();
    let store = open(&disk);
    let (sender, receiver) = mpsc::channel();
    let last = store.clone();
    store.submit(put_of("a.x", "1"), move |_| {
        drop(last);
        let _ = sender.send(());
    });
    drop(store);
    receiver.recv().unwrap();
}
