//! A disk that refuses, fails or forgets: what was acknowledged as durable is there, and nothing is there by half.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::*;
use crate::log::fake::{Choices, Fault, Op as DiskOp};

/// The longest that a test waits for anything.
const LONG: Duration = Duration::from_secs(30);

fn quick() -> Options {
    Options { no_space_retry: Duration::from_millis(1), compact_from: 2_000, ..Options::default() }
}

/// Writers of a root each, all at once: both of two leaves get the number of the commit. Returns how far each got an
/// acknowledgement.
fn work(store: &Store, writers: u64, commits: u64) -> Vec<u64> {
    let mut acknowledged = vec![0; writers as usize];
    std::thread::scope(|scope| {
        for (writer, acknowledged) in acknowledged.iter_mut().enumerate() {
            scope.spawn(move || {
                for n in 1..=commits {
                    let tx = put_of(&format!("w{writer}.a"), &n.to_string());
                    let tx = tx.put(path(&format!("w{writer}.b")), Value::from(n));
                    match store.commit(tx) {
                        Ok(receipt) => {
                            assert!(receipt.durable);
                            *acknowledged = n;
                        }
                        Err(
                            Error::OutcomeUnknown { .. } | Error::ReadOnly { .. } | Error::NoSpace { .. },
                        ) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    acknowledged
}

/// No half transaction, nothing acknowledged lost, and versions go on.
fn verify(store: &Store, acknowledged: &[u64], writers: u64) {
    check(store);
    for writer in 0..writers {
        let (a, b) = (text(store, &format!("w{writer}.a")), text(store, &format!("w{writer}.b")));
        assert_eq!(a, b);
        let got = a.parse().unwrap_or(0);
        assert!(got >= acknowledged[writer as usize], "{got} {acknowledged:?}");
    }
    assert!(put(store, "w0.c", "1").unwrap().durable);
}

#[test]
fn each_call_fails_in_turn_under_load_and_a_restart_or_power_cut_loses_nothing() {
    for (op, fault) in [
        (DiskOp::Append, Fault::IO.after(10)),
        (DiskOp::Sync, Fault::IO),
        (DiskOp::Rename, Fault::IO),
        (DiskOp::SyncDir, Fault::IO),
        (DiskOp::Any, Fault::OFF.after(7)),
        (DiskOp::Append, Fault::FULL.after(3)),
    ] {
        for nth in 1..=12 {
            let disk = Disk::new();
            let store = Store::open_on(disk.medium(), quick()).unwrap();
            disk.fail(op, nth, fault);
            let acknowledged = work(&store, 3, 12);
            let before = everything(&store);
            let cut = disk.crash(&mut Choices::random(u64::from(nth)));
            // Reads go on whatever the disk does.
            assert_eq!(everything(&store), before);
            store.close();
            verify(&Store::open_on(cut.medium(), quick()).unwrap(), &acknowledged, 3);
            disk.restart();
            verify(&Store::open_on(disk.medium(), quick()).unwrap(), &acknowledged, 3);
        }
    }
}

#[test]
fn a_power_cut_at_any_moment_keeps_what_was_acknowledged() {
    for seed in 0..20 {
        let disk = Disk::new();
        let store = Store::open_on(disk.medium(), quick()).unwrap();
        let known = Mutex::new([0_u64; 3]);
        let (cut, acknowledged) = std::thread::scope(|scope| {
            for writer in 0..3_usize {
                let (store, known) = (&store, &known);
                scope.spawn(move || {
                    for n in 1..=20_u64 {
                        let tx = put_of(&format!("w{writer}.a"), &n.to_string());
                        store.commit(tx.put(path(&format!("w{writer}.b")), Value::from(n))).unwrap();
                        locked(known)[writer] = n;
                    }
                });
            }
            while locked(&known).iter().sum::<u64>() < seed * 3 {
                std::thread::yield_now();
            }
            let acknowledged = *locked(&known);
            (disk.crash(&mut Choices::random(seed)), acknowledged)
        });
        verify(&Store::open_on(cut.medium(), quick()).unwrap(), &acknowledged, 3);
    }
}

#[test]
fn a_failed_sync_leaves_the_outcome_unknown_and_the_store_read_only() {
    let disk = Disk::new();
    let store = open(&disk);
    put(&store, "a.x", "1").unwrap();
    disk.fail(DiskOp::Sync, 1, Fault::IO);
    assert!(matches!(put(&store, "a.x", "2"), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(store.status().health, Health::ReadOnly(_)));
    assert!(matches!(put(&store, "a.x", "3"), Err(Error::ReadOnly { .. })));
    assert!(matches!(store.compact_and_wait(), Err(Error::ReadOnly { .. })));
    assert!(matches!(store.clear_and_wait(None), Err(Error::ReadOnly { .. })));
    assert_eq!(text(&store, "a"), r#"{"x":1}"#);
    // What needs no log goes on, even where it asks for durability that there is none of.
    let session = store.begin_session(id("r1"));
    let mut lease = Transaction::new(None).put_ephemeral(path("a.e"), Value::from(1));
    (lease.session, lease.durable) = (Some(session), true);
    assert!(!store.commit(lease).unwrap().durable);
    store.end_session(session);
    assert!(!store.commit(Transaction { durable: true, ..Transaction::default() }).unwrap().durable);
    assert!(store.ephemeral(&Path::TOP).is_empty());
}

#[test]
fn a_retry_that_wants_durability_which_the_disk_denies_is_told_so() {
    let disk = Disk::new();
    let options = Options { durability: Durability::None, ..Options::default() };
    let store = Store::open_on(disk.medium(), options).unwrap();
    let request = |durable| {
        let request_id = Some("r".into());
        store.commit(Transaction { request_id, durable, ..put_of("a.x", "1") })
    };
    assert!(!request(false).unwrap().durable);
    disk.fail(DiskOp::Sync, 1, Fault::IO);
    assert!(matches!(request(true), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(request(true), Err(Error::OutcomeUnknown { .. })));
    assert!(!request(false).unwrap().durable);
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room_without_a_restart() {
    let disk = Disk::new();
    let store = Store::open_on(disk.medium(), Options { compact_from: u64::MAX, ..quick() }).unwrap();
    put(&store, "a.x", "1").unwrap();
    let long = format!("\"{}\"", "x".repeat(200_000));
    disk.limit(Some(disk.used() + 100));
    assert!(matches!(put(&store, "a.y", &long), Err(Error::NoSpace { .. })));
    assert_eq!(text(&store, "a"), r#"{"x":1}"#);
    assert_eq!(store.view().root("a").unwrap().version, Version(0));
    disk.limit(None);
    // It is tried again by the clock; each answer in between says that nothing happened.
    let receipt = loop {
        match put(&store, "a.y", "2") {
            Ok(receipt) => break receipt,
            Err(Error::NoSpace { .. }) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(receipt.versions, [("a".into(), Version(1))]);
    assert_eq!(store.status().health, Health::Ok);
    store.close();
    assert_eq!(text(&open(&disk), "a"), r#"{"x":1,"y":2}"#);
}

#[test]
fn a_full_disk_takes_deletions_and_forgetting_the_history_gives_room() {
    let disk = Disk::new();
    let options = || Options { compact_from: u64::MAX, durability: Durability::Interval(LONG), ..quick() };
    let store = Store::open_on(disk.medium(), options()).unwrap();
    let long = |n: usize| format!("\"{}\"", "x".repeat(10_000 + n));
    for n in 0..5 {
        put(&store, "a.big", &long(n)).unwrap();
        put(&store, "b.big", &long(n)).unwrap();
    }
    disk.limit(Some(disk.used()));
    while put(&store, "a.y", "1").is_ok() {}
    let delete = |path_: &str| store.commit(Transaction::new(None).delete(path(path_)));
    // A deletion is taken, with others and by a rollback; what puts anything as well isn't.
    delete("a.big").unwrap();
    let both = Transaction::new(None).delete(path("b.big")).put(path("b.small"), Value::from(1));
    assert!(matches!(store.commit(both), Err(Error::NoSpace { .. })));
    let receipt = delete("b").unwrap();
    assert_eq!(receipt.versions, [("b".into(), Version(5))]);
    assert_eq!(text(&store, "b"), "-");
    assert!(matches!(store.status().health, Health::NoSpace(_)));
    // The history still holds all of it.
    assert!(matches!(put(&store, "a.y", "2"), Err(Error::NoSpace { .. })));
    wait(|done| store.compact(Some(0), done)).unwrap();
    let deadline = Instant::now() + LONG;
    while put(&store, "a.y", "3").is_err() {
        assert!(Instant::now() < deadline, "{:?}", store.status());
        std::thread::yield_now();
    }
    assert_eq!(store.history("a").unwrap().len(), 2, "the present and the one before");
    check(&store);
    let before = everything(&store);
    store.close();
    assert_eq!(everything(&Store::open_on(disk.medium(), options()).unwrap()), before);
}

#[test]
fn a_store_whose_disk_is_full_opens_and_serves_what_it_has() {
    let disk = Disk::new();
    let options = || Options { durability: Durability::None, compact_from: u64::MAX, ..quick() };
    let store = Store::open_on(disk.medium(), options()).unwrap();
    store.commit(Transaction { durable: true, ..put_of("a.x", "1") }).unwrap();
    let crashed = disk.crash(&mut Choices::random(1));
    // No room for even the line that the log must begin with after a crash, and no spare for it.
    crashed.medium().remove("spare").unwrap();
    crashed.limit(Some(crashed.used()));
    let store = Store::open_on(crashed.medium(), options()).unwrap();
    assert_eq!(text(&store, "a"), r#"{"x":1}"#);
    assert!(matches!(put(&store, "a.x", "2"), Err(Error::NoSpace { .. })));
    crashed.limit(None);
    let deadline = Instant::now() + LONG;
    let receipt = loop {
        match put(&store, "a.x", "2") {
            Ok(receipt) => break receipt,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    // Positions that the crash may have taken back aren't taken again.
    assert!(receipt.position.0 > 1 << 20, "{receipt:?}");
    store.close();
    let again = Store::open_on(crashed.medium(), options()).unwrap();
    assert_eq!(again.view().position(), receipt.position);
}

#[test]
fn a_disk_that_stays_full_is_not_worn_out_by_compactions() {
    let disk = Disk::new();
    let store = Store::open_on(disk.medium(), Options { compact_from: u64::MAX, ..quick() }).unwrap();
    put(&store, "a.x", &format!("\"{}\"", "x".repeat(60_000))).unwrap();
    disk.limit(Some(disk.used()));
    assert!(put(&store, "a.y", &format!("\"{}\"", "x".repeat(60_000))).is_err());
    // With 1 ms between tries it doubles to 512 ms in the first second: some ten compactions, not a thousand.
    std::thread::sleep(Duration::from_secs(1));
    let renames = disk.calls(DiskOp::Rename);
    assert!((2..=14).contains(&renames), "{renames}");
}

/// Keeps the committer busy until the sender goes, so that what is submitted meanwhile is one batch.
fn hold(store: &Store) -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = channel::<()>();
    let (at, here) = channel();
    store.submit(Transaction::new(None), move |_| {
        let _ = at.send(());
        let _ = receiver.recv();
    });
    here.recv().unwrap();
    sender
}

#[test]
fn a_refusal_judged_against_a_commit_that_failed_is_judged_again() {
    let disk = Disk::new();
    let memory = ("m".into(), Durability::Memory);
    let store =
        Store::open_on(disk.medium(), Options { durability_of: vec![memory], ..Options::default() }).unwrap();
    put(&store, "a.x", "1").unwrap();
    let held = hold(&store);
    let (sender, receiver) = channel();
    let submit = |name: &'static str, tx| {
        let sender = sender.clone();
        store.submit(tx, move |outcome| drop(sender.send((name, outcome))));
    };
    submit("fails", put_of("a.y", "1"));
    submit("refused", Transaction::new(None).put_if(path("a.y"), Value::from(2), -1));
    submit("in memory", put_of("m.x", "1"));
    let lone = Transaction::new(None).put_if(path("m.y"), Value::from(2), 7);
    submit("truly refused", lone);
    disk.fail(DiskOp::Append, 1, Fault::FULL);
    drop(held);
    let answers: HashMap<_, _> = (0..4).map(|_| receiver.recv().unwrap()).collect();
    assert!(matches!(answers["fails"], Err(Error::NoSpace { .. })));
    // Not "a.y exists": it doesn't. Had there been room, it would have been put.
    assert!(matches!(answers["refused"], Err(Error::NoSpace { .. })));
    assert_eq!(answers["in memory"].as_ref().unwrap().versions, [("m".into(), Version(0))]);
    assert!(matches!(answers["truly refused"], Err(Error::Conflict { actual: None, .. })));
}

#[test]
fn a_session_that_ended_in_a_batch_that_failed_has_ended() {
    let disk = Disk::new();
    let store = open(&disk);
    let session = store.begin_session(id("r1"));
    let mut lease = Transaction::new(None).put_ephemeral(path("a.e.f"), Value::from(1));
    lease.session = Some(session);
    store.commit(lease).unwrap();
    let held = hold(&store);
    // The put takes the node away, so that the session's end finds nothing; then the put fails.
    store.submit(put_of("a.e", "1"), |_| ());
    store.end_session(session);
    disk.fail(DiskOp::Append, 1, Fault::IO);
    drop(held);
    let _ = store.commit(Transaction::new(None));
    assert!(store.ephemeral(&Path::TOP).is_empty());
    assert_eq!(text(&store, "a"), "-");
    check(&store);
}

#[test]
fn a_compaction_that_fails_at_any_step_loses_nothing_and_answers() {
    let mut finished = 0;
    for nth in 1..40 {
        for (fault, seed) in [(Fault::IO, 1), (Fault::FULL, 2), (Fault::OFF, 3)] {
            let disk = Disk::new();
            let store = open(&disk);
            for n in 0..20 {
                put(&store, "a.x", &n.to_string()).unwrap();
            }
            store.commit(Transaction { request_id: Some("r".into()), ..put_of("b.y", "1") }).unwrap();
            let before = everything(&store);
            disk.fail(DiskOp::Any, nth, fault);
            finished += u32::from(store.compact_and_wait().is_ok());
            assert_eq!(everything(&store), before);
            let cut = disk.crash(&mut Choices::random(seed));
            store.close();
            disk.restart();
            for disk in [cut, disk] {
                let store = open(&disk);
                assert_eq!(everything(&store), before);
                let retry = Transaction { request_id: Some("r".into()), ..put_of("b.y", "1") };
                assert_eq!(store.commit(retry).unwrap().versions, [("b".into(), Version(0))]);
                assert_eq!(everything(&store), before);
            }
        }
    }
    assert!(finished > 0 && finished < 100, "{finished}");
}

#[test]
fn writers_go_on_while_it_compacts_and_all_is_kept() {
    let disk = Disk::new();
    let store = open(&disk);
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                for n in 0..100 {
                    let request_id = Some(format!("{writer}-{n}"));
                    let tx =
                        put_of(&format!("w{writer}.x"), &n.to_string()).put(path("all.x"), Value::from(n));
                    store.commit(Transaction { request_id, ..tx }).unwrap();
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        while done.load(Ordering::Relaxed) < 4 {
            store.compact_and_wait().unwrap();
        }
    });
    check(&store);
    let before = everything(&store);
    store.close();
    let store = open(&disk);
    assert_eq!(everything(&store), before);
    for writer in 0..4 {
        let request_id = Some(format!("{writer}-7"));
        let tx = put_of(&format!("w{writer}.x"), "7").put(path("all.x"), Value::from(7));
        let retried = store.commit(Transaction { request_id, ..tx }).unwrap();
        assert!(retried.versions.contains(&(format!("w{writer}").into(), Version(7))));
    }
    assert_eq!(everything(&store), before);
}
