//! Outcomes of requests: what a snapshot carries of them, and what it doesn't.

use super::*;
use crate::commit::{Position, Request};
use crate::log::fake::Choices;

fn key(name: &str) -> Key {
    name.into()
}

fn named(name: &str, at: &str, value: &str) -> Transaction {
    Transaction { request_id: Some(name.into()), ..put_of(at, value) }
}

fn set_home(store: &Store, root: &str, home: Option<&str>) {
    let away = home.map(|home| Away { home: id(home), handover: false });
    wait(|done| store.set_homes(vec![(root.into(), away)], done)).unwrap();
}

/// A feed that begins with a snapshot, whatever is there.
fn feed(home: &Store, roots: &[&str]) -> Feed {
    let nothing = Standing { incarnation: Incarnation(0), version: Version(9), digest: 0 };
    let known: Vec<_> = roots.iter().map(|root| (key(root), Some(nothing))).collect();
    home.feed(roots.iter().map(|root| key(root)).collect(), &known, || ()).0
}

fn incoming(roots: &[&str], lines: impl Iterator<Item = String>) -> Result<Snapshot, String> {
    let mut incoming = Incoming::new(id("g"), roots.iter().map(|root| key(root)).collect());
    lines.map(|line| incoming.line(&line)).collect::<Result<Vec<()>, _>>()?;
    incoming.finish()
}

fn install(home: &Store, replica: &Store, roots: &[&str]) {
    let snapshot = incoming(roots, feed(home, roots).snapshot(true)).unwrap();
    wait(|done| replica.install(snapshot, done)).unwrap();
}

fn knows(store: &Store, transaction: &Transaction) -> bool {
    let position = store.view().position();
    matches!(
        store
            .shared()
            .requests()
            .seen(&transaction.request().unwrap(), position, |root| transaction.is_of(root)),
        Ok(Some(_))
    )
}

#[test]
fn what_a_snapshot_carries_comes_in_pieces_the_newest_of_it_and_no_more_than_its_share() {
    let home = Store::in_memory(Options { requests: 100_000, ..Options::default() });
    let long = "a".repeat(300);
    let request = |n: usize| named(&format!("{n:064}"), &format!("{long}.x"), &n.to_string());
    let count = 16_000;
    for n in 0..count {
        home.commit(request(n)).unwrap();
    }
    put(&home, "b.x", "1").unwrap();
    let lines: Vec<String> = feed(&home, &[&long]).snapshot(true).collect();
    assert!(lines.iter().all(|line| line.len() < 34 << 10), "pieces");
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes > 4_000_000 && bytes < 4_300_000, "{bytes}");
    let replica = Store::in_memory(Options { requests: 100_000, ..Options::default() });
    set_home(&replica, &long, Some("g"));
    install(&home, &replica, &[&long]);
    let is_known = |n: usize| knows(&replica, &request(n));
    let first = (0..count).find(|n| is_known(*n)).unwrap();
    assert!(first > 1_000 && (first..count).all(is_known), "{first}");
    // Who can't read them isn't sent them.
    assert_eq!(feed(&home, &[&long]).snapshot(false).count(), 3);
    assert_eq!(feed(&home, &["b"]).snapshot(true).count(), 3);
}

#[test]
fn an_outcome_of_what_was_not_asked_for_or_of_too_many_is_a_bad_snapshot() {
    let home = Store::in_memory(Options::default());
    home.commit(named("one", "a.x", "1")).unwrap();
    let lines: Vec<String> = feed(&home, &["a"]).snapshot(true).collect();
    assert!(incoming(&["a"], lines.iter().cloned()).is_ok());
    let stray = r#"{"requests":[["z",1,1,{"z":0}]]}"#.to_string();
    let why = incoming(&["a"], lines.iter().cloned().chain([stray])).err().unwrap();
    assert!(why.contains("wasn't asked for"), "{why}");
    let broken = r#"{"requests":[["z",-1,1,{"a":0}]]}"#.to_string();
    assert!(incoming(&["a"], lines.iter().cloned().chain([broken])).is_err());
    let long = format!(r#"{{"requests":[["{}",1,1,{{"a":0}}]]}}"#, "z".repeat(1 << 20));
    assert!(incoming(&["a"], lines.iter().cloned().chain(std::iter::repeat_n(long, 9))).is_err());
}

#[test]
fn outcomes_count_with_their_snapshot_or_not_at_all() {
    let home = Store::in_memory(Options::default());
    let one = || named("one", "a.x", "1");
    home.commit(one()).unwrap();
    let options = || Options { compact_from: u64::MAX, ..Options::default() };
    let disk = Disk::new();
    let store = Store::open_on(disk.medium(), options()).unwrap();
    set_home(&store, "a", Some("g"));
    let before = disk.content("log").unwrap().len();
    install(&home, &store, &["a"]);
    assert!(knows(&store, &one()));
    let log = disk.content("log").unwrap();
    store.close();
    let mut seen = [false; 2];
    for len in before..=log.len() {
        let torn = Disk::new();
        torn.put("log", &log[..len]);
        let store = Store::open_on(torn.medium(), options()).unwrap();
        let is_installed = store.standing("a").is_some();
        assert_eq!(knows(&store, &one()), is_installed, "{len}");
        seen[usize::from(is_installed)] = true;
        store.close();
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn an_outcome_that_comes_in_parts_is_whole_again() {
    let home = Store::in_memory(Options::default());
    let both = || put_of("a.x", "1").put(path("b.x"), Value::from(1));
    let both = || Transaction { request_id: Some("both".into()), ..both() };
    let versions = home.commit(both()).unwrap().versions;
    let replica = open(&Disk::new());
    for root in ["a", "b"] {
        set_home(&replica, root, Some("g"));
        install(&home, &replica, &[root]);
    }
    for root in ["a", "b"] {
        set_home(&replica, root, None);
    }
    assert_eq!(replica.commit(both()).unwrap().versions, versions);
}

#[test]
fn what_comes_again_is_one_and_the_oldest_go_first() {
    let home = Store::in_memory(Options::default());
    for n in 0..6 {
        home.commit(named(&n.to_string(), "a.x", "1")).unwrap();
    }
    let replica = Store::in_memory(Options { requests: 4, ..Options::default() });
    set_home(&replica, "a", Some("g"));
    let known = || (0..8).map(|n| knows(&replica, &named(&n.to_string(), "a.x", "1"))).collect::<Vec<_>>();
    for _ in 0..2 {
        install(&home, &replica, &["a"]);
        assert_eq!(known(), [false, false, true, true, true, true, false, false]);
    }
    home.commit(named("6", "a.x", "1")).unwrap();
    install(&home, &replica, &["a"]);
    assert_eq!(known(), [false, false, false, true, true, true, true, false]);
    // What came of it goes on in the same order.
    set_home(&replica, "a", None);
    let other = Store::in_memory(Options { requests: 2, ..Options::default() });
    set_home(&other, "a", Some("g"));
    install(&replica, &other, &["a"]);
    let known = |n: usize| knows(&other, &named(&n.to_string(), "a.x", "1"));
    assert!((0..5).all(|n| !known(n)) && known(5) && known(6));
}

#[test]
fn a_position_that_was_never_reached_is_refused_also_after_the_store_was_set_back() {
    let disk = Disk::new();
    let store = open(&disk);
    put(&store, "a.x", "1").unwrap();
    let backup = disk.crash(&mut Choices::random(1));
    put(&store, "a.x", "2").unwrap();
    let request = || named("@2:x", "a.x", "3");
    assert!(store.shared().requests().seen(&request().request().unwrap(), Position(2), |_| true).is_ok());
    let store = open(&backup);
    assert!(matches!(store.commit(request()), Err(Error::RequestTooOld { .. })));
    put(&store, "a.x", "2").unwrap();
    assert!(store.commit(request()).is_ok());
    let plain = Request { id: "plain".into(), crc: 1 };
    assert_eq!(store.shared().requests().seen(&plain, Position(0), |_| true), Ok(None));
}

#[test]
fn what_another_home_answered_counts_for_its_own_roots_only() {
    let home = Store::in_memory(Options::default());
    home.commit(named("boot", "theirs.x", "1")).unwrap();
    home.commit(named("other", "theirs.x", "2")).unwrap();
    let store = Store::in_memory(Options::default());
    set_home(&store, "theirs", Some("g"));
    install(&home, &store, &["theirs"]);
    // The same ID and another's root: a request of its own, whatever its content.
    assert!(knows(&store, &named("boot", "theirs.x", "1")));
    assert!(!knows(&store, &named("boot", "own.x", "1")));
    store.commit(named("boot", "own.x", "7")).unwrap();
    assert_eq!(store.get(&"own.x".parse().unwrap()), Some(Value::from(7)));
    // And from then on its own outcome is what is remembered of it.
    assert!(matches!(store.commit(named("boot", "own.x", "8")), Err(Error::RequestReused { .. })));
}
