//! Each limit, at it and one beyond.

use super::*;
use crate::path::MAX_DEPTH;
use crate::tree::MAX_CHILDREN;

fn too_large<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
}

#[test]
fn a_transaction_has_so_many_operations() {
    let store = Store::in_memory(Options::default());
    let of = |n: usize| (0..n).fold(Transaction::new(None), |tx, _| tx.put(path("a.x"), Value::from(1)));
    store.commit(of(MAX_OPS)).unwrap();
    too_large(store.commit(of(MAX_OPS + 1)));
    let txid = store.begin(None).unwrap();
    for _ in 0..MAX_OPS {
        store.queue(&txid, Op::Delete { path: path("a"), expect: None }).unwrap();
    }
    too_large(store.queue(&txid, Op::Delete { path: path("a"), expect: None }));
    assert_eq!(store.queued(&txid).unwrap().ops.len(), MAX_OPS);
    assert_eq!(store.take(&txid).unwrap().ops.len(), MAX_OPS);
    assert!(matches!(store.take(&txid), Err(Error::NoTransaction { .. })));
}

#[test]
fn a_request_id_has_so_many_bytes_and_no_control_characters() {
    let store = Store::in_memory(Options::default());
    let of = |id: &str| store.commit(Transaction { request_id: Some(id.into()), ..put_of("a.x", "1") });
    of(&"x".repeat(MAX_REQUEST_ID)).unwrap();
    for bad in ["", "a\nb", &"x".repeat(MAX_REQUEST_ID + 1)] {
        assert!(matches!(of(bad), Err(Error::Bad { .. })), "{bad:?}");
    }
}

#[test]
fn a_full_queue_is_busy_and_a_single_commit_is_always_taken() {
    let store = Store::in_memory(Options { queue: 3, queue_bytes: 10_000, ..Options::default() });
    let (hold, held) = mpsc::channel::<()>();
    let (at, here) = mpsc::channel();
    store.submit(Transaction::new(None), move |_| {
        let _ = at.send(());
        let _ = held.recv();
    });
    here.recv().unwrap();
    let (sender, receiver) = mpsc::channel();
    let submit = |value: &str| {
        let sender = sender.clone();
        store.submit(put_of("a.x", value), move |outcome| drop(sender.send(outcome)));
    };
    (0..4).for_each(|n| submit(&n.to_string()));
    assert_eq!(receiver.recv().unwrap(), Err(Error::Busy));
    assert_eq!(store.status().queue, 3);
    drop(hold);
    assert!((0..3).all(|_| receiver.recv().unwrap().is_ok()));
    put(&store, "a.x", &format!("\"{}\"", "x".repeat(20_000))).unwrap();
}

#[test]
fn a_session_has_so_many_ephemeral_nodes() {
    let store = Store::in_memory(Options::default());
    let session = store.begin_session(id("r1"));
    let lease = |n: usize| {
        let tx = Transaction::new(None).put_ephemeral(path(&format!("a.k{n}")), Value::from(1));
        store.commit(Transaction { session: Some(session), ..tx })
    };
    (0..MAX_EPHEMERAL_OF_SESSION).for_each(|n| drop(lease(n).unwrap()));
    too_large(lease(MAX_EPHEMERAL_OF_SESSION));
    lease(0).unwrap();
    store.commit(Transaction::new(None).delete(path("a.k0"))).unwrap();
    lease(MAX_EPHEMERAL_OF_SESSION).unwrap();
    store.end_session(session);
    store.commit(Transaction::new(None)).unwrap();
    assert_eq!(store.view().roots().count(), 0);
}

#[test]
fn a_tree_is_so_deep_and_a_container_so_wide() {
    let store = Store::in_memory(Options::default());
    let deep = |n: usize| path(&vec!["k"; n].join("."));
    store.commit(Transaction::new(None).put(deep(MAX_DEPTH), Value::from(1))).unwrap();
    let deeper = [deep(MAX_DEPTH - 1)].map(|at| Transaction::new(None).put(at, json(r#"{"x":{"y":1}}"#)));
    assert!(deeper.into_iter().all(|tx| store.commit(tx).is_err()));
    let wide: String = (0..MAX_CHILDREN).map(|n| format!("\"{n}\":0,")).collect();
    put(&store, "w.c", &format!("{{{}}}", wide.trim_end_matches(','))).unwrap();
    too_large(put(&store, "w.c.more", "1"));
    put(&store, "w.c[\"0\"]", "1").unwrap();
}

#[test]
fn so_many_interactive_transactions_are_open() {
    let store = Store::in_memory(Options::default());
    let open: Vec<String> = (0..MAX_TRANSACTIONS).map(|_| store.begin(None).unwrap()).collect();
    too_large(store.begin(None));
    store.take(&open[0]).unwrap();
    store.begin(None).unwrap();
}

#[test]
fn what_the_log_cannot_hold_in_one_record_is_refused_whole() {
    let disk = Disk::new();
    let store = open(&disk);
    let megabyte = format!("\"{}\"", "x".repeat(900_000));
    let of = |n: usize| {
        (0..n).fold(Transaction::new(None), |tx, i| tx.put(path(&format!("a.k{i}")), json(&megabyte)))
    };
    let fit = crate::log::MAX_RECORD / megabyte.len();
    too_large(store.commit(of(fit + 1)));
    assert_eq!(text(&store, "a"), "-");
    store.commit(of(fit)).unwrap();
    check(&store);
}

#[test]
fn the_data_take_no_more_memory_than_they_may() {
    let options = |history| Options { data: 1 << 20, history, ..Options::default() };
    let store = Store::in_memory(options(3));
    let long = |len: usize| format!("\"{}\"", "x".repeat(len));
    let refused = |outcome: Result<Receipt, Error>| match outcome {
        Err(Error::NoSpace { reason }) => assert!(reason.contains("tega snapshot --history"), "{reason}"),
        other => panic!("{other:?}"),
    };
    // The present and three old versions fill it; what the history lets go of makes room for the next.
    for _ in 0..50 {
        put(&store, "a.x", &long(200_000)).unwrap();
    }
    for n in 0..1_000 {
        put(&store, "b.x", &n.to_string()).unwrap();
    }
    refused(put(&store, "b.y", &long(300_000)));
    // Nothing of it happened, and small ones fit.
    assert_eq!(store.view().root("b").unwrap().version, Version(999));
    put(&store, "b.z", "1").unwrap();
    // Deleting is always possible, and gives room once the history has forgotten it.
    store.commit(Transaction::new(None).delete(path("a.x"))).unwrap();
    refused(put(&store, "b.y", &long(500_000)));
    let (sender, receiver) = std::sync::mpsc::channel();
    store.compact(Some(0), move |outcome| drop(sender.send(outcome)));
    receiver.recv().unwrap().unwrap();
    put(&store, "b.y", &long(900_000)).unwrap();
    // Ephemeral nodes count as well, and are gone with their session.
    let session = store.begin_session(id("r1"));
    let lease = |at: &str, len: usize| {
        let mut lease = Transaction::new(None).put_ephemeral(path(at), json(&long(len)));
        lease.session = Some(session);
        store.commit(lease)
    };
    lease("c.e", 50_000).unwrap();
    refused(lease("c.f", 100_000));
    store.end_session(session);
    store.commit(Transaction::new(None)).unwrap();
    put(&store, "c.g", &long(50_000)).unwrap();
    check(&store);
}

#[test]
fn a_watch_that_is_not_read_holds_no_more_bytes_than_it_may() {
    let store = Store::in_memory(Options { watch_bytes: 100_000, ..Options::default() });
    let watch = store.watch(None, || ());
    watch.subscribe(Channel::Path(path("a")), None).unwrap();
    let long = format!("\"{}\"", "x".repeat(60_000));
    let longer = format!("\"{}\"", "x".repeat(200_000));
    // One of any length is told.
    put(&store, "a.x", &longer).unwrap();
    assert!(watch.try_next().unwrap().is_some());
    put(&store, "a.x", &long).unwrap();
    assert!(watch.try_next().unwrap().is_some());
    put(&store, "a.x", &long).unwrap();
    put(&store, "a.x", &long).unwrap();
    assert!(matches!(watch.try_next(), Err(Lagging)));
}
