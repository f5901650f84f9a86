//! A home and its replica: whatever fails or restarts, the replica stands where the home once stood, and in the end
//! where it stands now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::log::fake::{Choices, Fault, Op as DiskOp};

const ROOTS: [&str; 3] = ["r0", "r1", "r2"];

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| (*name).into()).collect()
}

fn local(config: &[&str]) -> Options {
    let role = Role::Follows { config: keys(config), operational: keys(&["o"]), private: Private::default() };
    Options { role, history: 3, compact_from: 4_000, ..Options::default() }
}

fn follow(store: &Store, records: Vec<String>) -> Result<(), Error> {
    wait(|done| store.follow(&id("g"), &keys(&["r0", "r1", "r2", "a", "b", "c", "m", "o"]), records, done))
}

fn install(store: &Store, roots: &[&str], feed: &Feed) -> Result<(), Error> {
    let mut incoming = Incoming::new(id("g"), keys(roots));
    feed.snapshot(true).for_each(|line| incoming.line(&line).unwrap());
    let snapshot = incoming.finish().unwrap();
    wait(|done| store.install(snapshot, done))
}

fn begin(home: &Store, replica: &Store, roots: &[&str]) -> (Feed, Start) {
    let known: Vec<_> = roots.iter().map(|root| (Key::from(*root), replica.standing(root))).collect();
    home.feed(keys(roots), &known, || ())
}

/// One root as it is: where it stands, and every node with its version.
fn root(store: &Store, name: &str) -> String {
    let tree = store.view().root(name).filter(|root| !root.ephemeral_only).map(|root| stamps(&root.tree));
    format!("{name} {:?} {tree:?}", store.standing(name))
}

fn roots(store: &Store) -> String {
    ROOTS.map(|name| root(store, name)).join("\n")
}

/// Takes in everything that the home has.
fn catch_up(home: &Store, replica: &Store, roots: &[&str]) -> Result<Start, Error> {
    let (mut feed, start) = begin(home, replica, roots);
    if start == Start::Snapshot {
        install(replica, roots, &feed)?;
    }
    let mut records = Vec::new();
    let mut last = feed.position();
    while let Some(sent) = feed.try_next().unwrap() {
        assert_eq!(sent.after, last);
        last = sent.position;
        records.push(sent.record);
    }
    follow(replica, records).map(|()| start)
}

struct Random(Choices);

impl Random {
    fn transaction(&mut self) -> Transaction {
        let mut tx = Transaction::new(None);
        for _ in 0..1 + self.0.next(3) {
            let root = ROOTS[self.0.next(ROOTS.len())];
            let at = path(&format!("{root}.k{}.k{}", self.0.next(3), self.0.next(3)));
            tx = match self.0.next(16) {
                0 => tx.delete(path(root)),
                1..=3 => tx.delete(at),
                4 => tx.put(path(root), json(r#"{"a b":{"\"":[1.5,-0.0,1e300]},"e":{}}"#)),
                n => tx.put(at, Value::from(n as u64)),
            };
        }
        if self.0.next(8) == 0 {
            let back_to = -(self.0.next(3) as i64);
            tx = Transaction::new(None).rollback(ROOTS[self.0.next(ROOTS.len())].into(), back_to);
        }
        if self.0.next(4) == 0 {
            tx.request_id = Some(format!("r{}", self.0.next(1_000_000)));
        }
        tx
    }
}

/// A disk and the store on it.
struct Server {
    disk: Disk,
    options: Options,
    store: Store,
}

impl Server {
    fn new(options: Options) -> Server {
        let disk = Disk::new();
        let store = Store::open_on(disk.medium(), options.clone()).unwrap();
        Server { disk, options, store }
    }

    fn restart(&mut self) {
        self.store.close();
        self.store = Store::open_on(self.disk.medium(), self.options.clone()).unwrap();
    }

    fn disturb(&mut self, random: &mut Random) {
        match random.0.next(40) {
            0 => self.store.compact_and_wait().unwrap(),
            n @ 1..=2 => {
                let before = everything(&self.store);
                if n == 1 {
                    let seed = random.0.next(1_000) as u64;
                    self.disk = self.disk.crash(&mut Choices::random(seed));
                }
                self.restart();
                assert_eq!(everything(&self.store), before);
            }
            _ => {}
        }
        check(&self.store);
    }
}

#[test]
fn through_restarts_compactions_clears_and_deletions_a_replica_ends_where_its_home_is() {
    let (mut resumed, mut snapshots) = (0, 0);
    for seed in 0..30 {
        let mut random = Random(Choices::random(seed));
        let options = Options { history: 3, compact_from: 4_000, tombstones: 2, ..Options::default() };
        let (mut home, mut replica) = (Server::new(options), Server::new(local(&ROOTS)));
        for _ in 0..120 {
            let _ = home.store.commit(random.transaction());
            home.disturb(&mut random);
            replica.disturb(&mut random);
            if random.0.next(60) == 0 {
                home.store.clear_and_wait(None).unwrap();
            }
            if random.0.next(5) == 0 {
                match catch_up(&home.store, &replica.store, &ROOTS).unwrap() {
                    Start::Resume => resumed += 1,
                    Start::Snapshot => snapshots += 1,
                }
                assert_eq!(roots(&replica.store), roots(&home.store), "seed {seed}");
            }
        }
    }
    assert!(resumed > 100 && snapshots > 30, "{resumed} {snapshots}");
}

#[test]
fn a_feed_that_goes_on_for_long_misses_nothing() {
    for seed in 0..10 {
        let mut random = Random(Choices::random(seed));
        let (home, replica) = (Store::in_memory(Options::default()), Server::new(local(&ROOTS[..2])));
        let (mut feed, _) = begin(&home, &replica.store, &ROOTS[..2]);
        let mut last = feed.position();
        for _ in 0..100 {
            let _ = home.commit(random.transaction());
            while let Some(sent) = feed.try_next().unwrap() {
                assert!(!sent.record.contains("\"r2\"") && !sent.record.contains("\"r2."), "{}", sent.record);
                assert_eq!(sent.after, last);
                last = sent.position;
                follow(&replica.store, vec![sent.record]).unwrap();
            }
            assert_eq!(feed.position(), home.view().position());
            assert_eq!(root(&replica.store, "r0"), root(&home, "r0"));
            assert_eq!(root(&replica.store, "r1"), root(&home, "r1"));
        }
    }
}

#[test]
fn a_home_that_lost_commits_or_has_others_sends_a_snapshot() {
    let (home, replica) = (Server::new(Options::default()), Server::new(local(&ROOTS)));
    put(&home.store, "r0.x", "1").unwrap();
    let backup = home.disk.crash(&mut Choices::random(1));
    put(&home.store, "r0.x", "2").unwrap();
    catch_up(&home.store, &replica.store, &ROOTS).unwrap();
    // Set back to a backup: the replica is ahead.
    let home = open(&backup);
    assert_eq!(begin(&home, &replica.store, &ROOTS).1, Start::Snapshot);
    // And then the same version is another one.
    put(&home, "r0.x", "3").unwrap();
    assert_eq!(home.standing("r0").unwrap().version, replica.store.standing("r0").unwrap().version);
    assert_eq!(catch_up(&home, &replica.store, &ROOTS), Ok(Start::Snapshot));
    assert_eq!(roots(&replica.store), roots(&home));
    assert_eq!(replica.store.replaced("r0").len(), 1);
    assert_eq!(catch_up(&home, &replica.store, &ROOTS), Ok(Start::Resume));
}

#[test]
fn each_disk_call_fails_in_turn_and_the_replica_stands_where_the_home_once_stood() {
    for (op, fault) in [
        (DiskOp::Append, Fault::IO.after(30)),
        (DiskOp::Append, Fault::FULL.after(3)),
        (DiskOp::Sync, Fault::IO),
        (DiskOp::Any, Fault::OFF.after(200)),
    ] {
        for nth in 1..=8 {
            for snapshot in [false, true] {
                fail_and_recover(op, nth, fault, snapshot);
            }
        }
    }
}

fn fail_and_recover(op: DiskOp, nth: u32, fault: Fault, snapshot: bool) {
    let mut random = Random(Choices::random(u64::from(nth)));
    let home = Store::in_memory(Options { history: 1_000, ..Options::default() });
    let replica = Disk::new();
    let store = Store::open_on(replica.medium(), local(&ROOTS)).unwrap();
    let mut stood = vec![roots(&home)];
    let advance = |stood: &mut Vec<String>, random: &mut Random| {
        let _ = home.commit(random.transaction());
        stood.push(roots(&home));
    };
    (0..3).for_each(|_| advance(&mut stood, &mut random));
    catch_up(&home, &store, &ROOTS).unwrap();
    if snapshot {
        home.clear_and_wait(None).unwrap();
        let long = format!("\"{}\"", "x".repeat(100_000));
        for n in 0..8 {
            put(&home, &format!("r{}.long{n}", n % 3), &long).unwrap();
        }
        stood.push(roots(&home));
    }
    replica.fail(op, nth, fault);
    let mut failed = false;
    for _ in 0..8 {
        failed |= catch_up(&home, &store, &ROOTS).is_err();
        assert!(stood.contains(&roots(&store)), "what was never so at home");
        check(&store);
        advance(&mut stood, &mut random);
    }
    let before = roots(&store);
    let cut = replica.crash(&mut Choices::random(u64::from(nth)));
    store.close();
    replica.restart();
    for disk in [cut, replica] {
        let store = Store::open_on(disk.medium(), local(&ROOTS)).unwrap();
        assert!(stood.contains(&roots(&store)), "what was never so at home");
        assert!(failed || roots(&store) == before);
        catch_up(&home, &store, &ROOTS).unwrap();
        assert_eq!(roots(&store), roots(&home));
        store.close();
    }
}

#[test]
fn a_torn_tail_of_the_log_leaves_no_half_of_a_snapshot() {
    // A compacted log is in place as a whole or not at all, so it can't be torn.
    let options = || Options { compact_from: u64::MAX, ..local(&ROOTS) };
    let home = Store::in_memory(Options::default());
    let long = format!("\"{}\"", "x".repeat(30_000));
    for n in 0..6 {
        put(&home, &format!("r{}.long{n}", n % 3), &long).unwrap();
    }
    let disk = Disk::new();
    let store = Store::open_on(disk.medium(), options()).unwrap();
    let nothing = roots(&store);
    let (mut feed, _) = begin(&home, &store, &ROOTS[..1]);
    assert_eq!(feed.try_next().map(|sent| sent.is_some()), Ok(true));
    drop(feed);
    let (feed, _) = home.feed(
        keys(&ROOTS),
        &[("r0".into(), Some(Standing { incarnation: Incarnation(1), version: Version(0), digest: 0 }))],
        || (),
    );
    install(&store, &ROOTS, &feed).unwrap();
    put(&home, "r0.after", "1").unwrap();
    catch_up(&home, &store, &ROOTS).unwrap();
    assert_eq!(roots(&store), roots(&home));
    let log = disk.content("log").unwrap();
    store.close();
    let mut seen = std::collections::BTreeSet::new();
    for len in (400..log.len()).rev().step_by(997).chain(log.len() - 700..=log.len()) {
        let torn = Disk::new();
        torn.put("log", &log[..len]);
        let store = Store::open_on(torn.medium(), options()).unwrap();
        let stands = roots(&store);
        let whole = ROOTS.iter().all(|name| store.standing(name).is_some());
        assert!(whole || stands == nothing, "half a snapshot at {len} of {}", log.len());
        seen.insert(stands);
        // And what is written after a torn snapshot counts.
        catch_up(&home, &store, &ROOTS).unwrap();
        let now = roots(&store);
        store.close();
        let store = Store::open_on(torn.medium(), options()).unwrap();
        assert_eq!(now.replace("xxx", ""), roots(&home).replace("xxx", ""), "at {len}");
        assert_eq!(roots(&store).replace("xxx", ""), now.replace("xxx", ""), "at {len}");
        store.close();
    }
    assert_eq!(seen.len(), 3, "nothing, the snapshot, the commit after it");
}

#[test]
fn only_what_is_durable_leaves_a_feed() {
    let memory = ("m".into(), Durability::Memory);
    let options = Options {
        durability: Durability::None,
        durability_of: vec![memory],
        history: 2,
        ..Options::default()
    };
    let home = Server::new(options);
    let woken = Arc::new(AtomicU32::new(0));
    let wake = woken.clone();
    let (mut feed, start) = home.store.feed(keys(&["a"]), &[], move || {
        wake.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(start, Start::Resume);
    assert!(!put(&home.store, "a.x", "1").unwrap().durable);
    assert_eq!(feed.try_next(), Ok(None));
    assert!(feed.waits_for_disk());
    assert_eq!(feed.position(), Position(0));
    let before = woken.load(Ordering::Relaxed);
    wait(|done| home.store.flush(done)).unwrap();
    assert!(woken.load(Ordering::Relaxed) > before);
    assert!(!feed.waits_for_disk());
    assert_eq!(feed.try_next().unwrap().unwrap().position, Position(1));
    // What lives in memory leaves at once.
    let (mut memory, _) = home.store.feed(keys(&["m"]), &[], || ());
    put(&home.store, "m.x", "1").unwrap();
    assert!(memory.try_next().unwrap().is_some());
    // A snapshot holds nothing that a power cut undoes: it waits for the disk.
    (0..5).for_each(|n| drop(put(&home.store, "a.x", &n.to_string()).unwrap()));
    let replica = Store::in_memory(local(&["a"]));
    assert_eq!(catch_up(&home.store, &replica, &["a"]), Ok(Start::Snapshot));
    let home = Store::open_on(home.disk.crash(&mut Choices::random(1)).medium(), Options::default()).unwrap();
    assert_eq!(root(&replica, "a"), root(&home, "a"));
}

#[test]
fn a_feed_that_is_not_read_lags_and_one_that_is_dropped_leaves_nothing() {
    let home = Store::in_memory(Options { watch_queue: 4, ..Options::default() });
    let (mut feed, _) = home.feed(keys(&["a", "b"]), &[], || ());
    (0..5).for_each(|n| drop(put(&home, "a.x", &n.to_string()).unwrap()));
    assert_eq!(feed.try_next(), Err(Lagging));
    drop(feed);
    let (mut feed, _) = home.feed(keys(&["a"]), &[], || ());
    home.clear_and_wait(None).unwrap();
    assert_eq!(feed.try_next(), Err(Lagging));
    drop(feed);
    assert_eq!(home.shared().watches().feeds(), 0);
}

#[test]
fn a_request_that_the_home_answered_is_known_here_once_the_root_is_ours() {
    let home = Store::in_memory(Options::default());
    let request = || Transaction { request_id: Some("q".into()), ..put_of("r0.x", "1") };
    home.commit(request()).unwrap();
    let replica = Server::new(Options::default());
    let away = Away { home: id("g"), handover: false };
    wait(|done| replica.store.set_homes(vec![("r0".into(), Some(away))], done)).unwrap();
    catch_up(&home, &replica.store, &["r0"]).unwrap();
    wait(|done| replica.store.set_homes(vec![("r0".into(), None)], done)).unwrap();
    assert_eq!(replica.store.commit(request()).unwrap().versions, [("r0".into(), Version(0))]);
    assert_eq!(replica.store.standing("r0"), home.standing("r0"));
    // And it goes on from there: its replicas can't tell the difference.
    put(&replica.store, "r0.x", "2").unwrap();
    let back = Store::in_memory(Options::default());
    let away = Away { home: id("g"), handover: true };
    wait(|done| back.set_homes(vec![("r0".into(), Some(away))], done)).unwrap();
    assert_eq!(catch_up(&replica.store, &back, &["r0"]), Ok(Start::Resume));
    assert_eq!(root(&back, "r0"), root(&replica.store, "r0"));
}

#[test]
fn what_others_were_told_neither_pushes_out_nor_replaces_what_own_clients_were() {
    let home = Store::in_memory(Options::default());
    let named = |name: &str, at: &str, value: &str| Transaction {
        request_id: Some(name.into()),
        ..put_of(at, value)
    };
    let mut replica = Server::new(Options { requests: 3, ..Options::default() });
    let away = Away { home: id("g"), handover: false };
    wait(|done| replica.store.set_homes(vec![("r0".into(), Some(away))], done)).unwrap();
    let own = replica.store.commit(named("n2", "own.x", "1")).unwrap().versions;
    for n in 0..8 {
        home.commit(named(&format!("n{n}"), "r0.x", &n.to_string())).unwrap();
    }
    catch_up(&home, &replica.store, &["r0"]).unwrap();
    for round in 0..3 {
        assert_eq!(replica.store.commit(named("n2", "own.x", "1")).unwrap().versions, own, "{round}");
        match round {
            0 => replica.store.compact_and_wait().unwrap(),
            _ => replica.restart(),
        }
    }
}

#[test]
fn a_rollback_that_was_resolved_elsewhere_needs_the_version_it_was_resolved_against() {
    let store = Store::in_memory(Options::default());
    put(&store, "a.x", "1").unwrap();
    put(&store, "a.x", "2").unwrap();
    let rollback = |version| {
        let expect = Some(Expect::version(version));
        let ops = vec![Op::Rollback { root: "a".into(), back_to: 0, expect }];
        store.commit(Transaction { ops, request_id: Some("q".into()), ..Transaction::default() })
    };
    assert!(matches!(rollback(0), Err(Error::Conflict { actual: Some(1), .. })));
    let receipt = rollback(1).unwrap();
    assert_eq!(text(&store, "a.x"), "1");
    // A retry is resolved anew, and is the same request.
    assert_eq!(rollback(2).unwrap().versions, receipt.versions);
}

#[test]
fn no_text_that_comes_over_a_link_does_harm() {
    let home = Store::in_memory(Options::default());
    put(&home, "r0.x", "1").unwrap();
    let request_id = Some("q".into());
    home.commit(Transaction { request_id, ..put_of("r0.x", r#"{"y":[1,2]}"#) }).unwrap();
    let (mut feed, _) = home.feed(keys(&["r0"]), &[], || ());
    let mut records = Vec::new();
    while let Some(sent) = feed.try_next().unwrap() {
        records.push(sent.record);
    }
    let nothing = Standing { incarnation: Incarnation(0), version: Version(9), digest: 0 };
    let (feed, _) = home.feed(keys(&["r0", "r1"]), &[("r0".into(), Some(nothing))], || ());
    let snapshot: Vec<String> = feed.snapshot(true).collect();
    assert_eq!(snapshot.len(), 4);
    let mut choices = Choices::random(5);
    let mut damage = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..choices.next(3) {
            let at = choices.next(bytes.len());
            bytes[at] = b"0123456789ar[]{},:\"-"[choices.next(20)];
        }
        String::from_utf8(bytes).unwrap()
    };
    let (mut followed, mut installed) = (0, 0);
    for _ in 0..1_500 {
        let replica = Store::in_memory(local(&ROOTS));
        let damaged = records.iter().map(|record| damage(record)).collect();
        followed += u32::from(follow(&replica, damaged).is_ok());
        check(&replica);
        let mut incoming = Incoming::new(id("g"), keys(&["r0", "r1"]));
        let taken = snapshot.iter().try_for_each(|line| incoming.line(&damage(line)));
        if let Ok(snapshot) = taken.and_then(|()| incoming.finish()) {
            installed += 1;
            wait(|done| replica.install(snapshot, done)).unwrap();
            check(&replica);
        }
        replica.close();
    }
    assert!(followed < 1_500 && installed > 0 && installed < 1_500, "{followed} {installed}");
}

#[test]
fn a_log_without_digests_opens_and_its_replicas_agree() {
    let old = [
        r#"{"store":"0000000000000001","position":9,"forgotten":0,"floor":0}"#,
        r#"{"base":"r0","incarnation":"0000000000000002","version":3,"position":5,"time":0}"#,
        r#"[[1,"x",3,1]]"#,
        r#"{"position":9,"time":0,"roots":{"r0":4},"ops":[{"put":"r0.x","value":2}]}"#,
        r#"{"compacted":true}"#,
    ];
    let disk = Disk::new();
    super::super::import::write(disk.medium(), &old.map(String::from)).unwrap();
    let home = open(&disk);
    assert_eq!(home.at("r0", 3).unwrap().digest, 0);
    let replica = Server::new(local(&ROOTS));
    assert_eq!(catch_up(&home, &replica.store, &ROOTS), Ok(Start::Snapshot));
    put(&home, "r0.x", "3").unwrap();
    assert_eq!(catch_up(&home, &replica.store, &ROOTS), Ok(Start::Resume));
    assert_eq!(roots(&replica.store), roots(&home));
    home.compact_and_wait().unwrap();
    home.close();
    assert_eq!(roots(&replica.store), roots(&open(&disk)));
}

#[test]
fn watchers_see_a_snapshot_as_puts_of_whole_roots() {
    let home = Store::in_memory(Options::default());
    put(&home, "r0.x", "1").unwrap();
    let replica = Server::new(local(&ROOTS));
    catch_up(&home, &replica.store, &ROOTS).unwrap();
    let watch = replica.store.watch(None, || ());
    ROOTS.iter().for_each(|root| drop(watch.subscribe(Channel::Path(path(root)), None).unwrap()));
    home.clear_and_wait(None).unwrap();
    put(&home, "r1.y", "2").unwrap();
    catch_up(&home, &replica.store, &ROOTS).unwrap();
    let event = watch.wait(Duration::from_secs(60)).unwrap().unwrap();
    let told: Vec<String> = watch
        .notices(&event)
        .iter()
        .map(|notice| format!("{} {} {}", notice.ope.name(), notice.path, notice.value()))
        .collect();
    assert_eq!(told, ["DELETE r0 {\"x\":1}", "PUT r1 {\"y\":2}"]);
    assert!(event.durable && event.position == Some(replica.store.view().position()));
}

fn set_home(store: &Store, root: &str, away: Option<(&str, bool)>) -> Result<(), Error> {
    let away = away.map(|(home, handover)| Away { home: id(home), handover });
    wait(|done| store.set_homes(vec![(root.into(), away)], done))
}

#[test]
fn of_two_that_claim_a_root_at_once_one_gets_it() {
    let global = Store::in_memory(Options::default());
    let (sender, answers) = mpsc::channel();
    for home in ["a", "b"] {
        let (sender, away) = (sender.clone(), Some(Away { home: id(home), handover: false }));
        global.set_homes(vec![("r0".into(), away)], move |outcome| sender.send(outcome.is_ok()).unwrap());
    }
    let mut got = [answers.recv().unwrap(), answers.recv().unwrap()];
    got.sort_unstable();
    assert_eq!((got, global.away("r0").unwrap().home), ([false, true], id("a")));
    // Whom it is handed over to may complete that, and nobody else.
    set_home(&global, "r0", Some(("b", true))).unwrap();
    assert!(set_home(&global, "r0", Some(("a", false))).is_err());
    set_home(&global, "r0", Some(("b", false))).unwrap();
}

#[test]
fn claims_are_bounded() {
    let global = Store::in_memory(Options::default());
    let claim = |n: usize| (Key::from(format!("r{n}")), Some(Away { home: id("a"), handover: false }));
    let claims = |range: std::ops::Range<usize>| {
        let homes = range.map(claim).collect();
        wait(|done| global.set_homes(homes, done))
    };
    let most = super::super::homes::MAX_HOMES;
    claims(0..most).unwrap();
    assert!(matches!(claims(most..most + 1), Err(Error::TooLarge { .. })));
    claims(0..1).unwrap();
    set_home(&global, "r7", None).unwrap();
    claims(most..most + 1).unwrap();
}

#[test]
fn a_snapshot_that_comes_after_its_root_was_moved_is_refused() {
    let home = Store::in_memory(Options::default());
    put(&home, "r0.x", "1").unwrap();
    let global = Store::in_memory(Options::default());
    set_home(&global, "r0", Some(("g", false))).unwrap();
    let nothing = Standing { incarnation: Incarnation(0), version: Version(9), digest: 0 };
    let (feed, start) = home.feed(keys(&["r0"]), &[("r0".into(), Some(nothing))], || ());
    assert_eq!(start, Start::Snapshot);
    set_home(&global, "r0", None).unwrap();
    put(&global, "r0.x", "2").unwrap();
    assert!(matches!(install(&global, &["r0"], &feed), Err(Error::Diverged { .. })));
    assert_eq!(global.get(&path("r0.x")), Some(Value::from(2)));
    assert!(global.replaced("r0").is_empty());
}

#[test]
fn a_home_has_nothing_to_say_of_roots_that_are_not_followed() {
    let home = Store::in_memory(Options::default());
    put(&home, "r0.x", "1").unwrap();
    let replica = Server::new(local(&ROOTS));
    let (mut feed, _) = home.feed(keys(&["r0"]), &[], || ());
    let record = feed.try_next().unwrap().unwrap().record;
    let follow = |roots: &[&str]| {
        wait(|done| replica.store.follow(&id("g"), &keys(roots), vec![record.clone()], done))
    };
    assert!(matches!(follow(&["r1"]), Err(Error::Diverged { .. })));
    assert_eq!(replica.store.standing("r0"), None);
    assert_eq!(follow(&["r0", "r1"]), Ok(()));
}

#[test]
fn what_was_moved_to_another_server_is_given_out_no_more() {
    let global = Store::in_memory(Options::default());
    let (mut feed, _) = global.feed(keys(&["r0"]), &[], || ());
    set_home(&global, "r0", Some(("g", false))).unwrap();
    let home = Store::in_memory(Options::default());
    put(&home, "r0.x", "1").unwrap();
    let (mut from, _) = home.feed(keys(&["r0"]), &[], || ());
    follow(&global, vec![from.try_next().unwrap().unwrap().record]).unwrap();
    assert_eq!(feed.try_next(), Err(Lagging));
    // Moved back, its history is the global's own.
    set_home(&global, "r0", None).unwrap();
    let (mut feed, _) = global.feed(keys(&["r0"]), &[], || ());
    assert!(feed.try_next().unwrap().is_some());
}

#[test]
fn numbers_and_ids_that_nobody_gives_out_are_not_taken_from_another_server() {
    let home = Store::in_memory(Options::default());
    let replica = Store::in_memory(local(&["a"]));
    let asked = Transaction { request_id: Some("once".into()), ..Transaction::new(None) };
    home.commit(asked.put("a.x".parse().unwrap(), Value::from(1))).unwrap();
    let (mut feed, _) = begin(&home, &replica, &["a"]);
    let record = feed.try_next().unwrap().unwrap().record;
    let huge = (crate::commit::MAX_COUNTER + 1).to_string();
    for (from, to) in
        [("\"position\":1", format!("\"position\":{huge}")), ("\"once\"", format!("\"{}\"", "x".repeat(65)))]
    {
        let lie = record.replacen(from, &to, 1);
        assert_ne!(lie, record);
        assert!(matches!(follow(&replica, vec![lie]), Err(Error::Diverged { .. })), "{from}");
    }
    assert!(follow(&replica, vec![record]).is_ok());
    // The same in a snapshot.
    let take = |lines: &[String]| {
        let mut incoming = Incoming::new(id("g"), keys(&["a"]));
        lines.iter().try_for_each(|line| incoming.line(line)).and_then(|()| incoming.finish().map(drop))
    };
    let other = Standing { incarnation: crate::commit::Incarnation(1), version: Version(0), digest: 0 };
    let (feed, start) = home.feed(keys(&["a"]), &[("a".into(), Some(other))], || ());
    assert_eq!(start, Start::Snapshot);
    let lines: Vec<String> = feed.snapshot(true).collect();
    assert_eq!(take(&lines), Ok(()));
    for (from, to) in [
        ("\"position\":1".to_string(), format!("\"position\":{huge}")),
        ("\"version\":0".to_string(), format!("\"version\":{huge}")),
        ("\"once\"".to_string(), format!("\"{}\"", "x".repeat(65))),
    ] {
        let lies: Vec<String> = lines.iter().map(|line| line.replace(&from, &to)).collect();
        assert_ne!(lies, lines, "{from}");
        assert!(take(&lies).is_err(), "{from}");
    }
}
