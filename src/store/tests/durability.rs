//! An acknowledgement says what is true.

use std::time::Duration;

use super::*;
use crate::log::fake::Choices;

fn store(disk: &Disk, durability: Durability) -> Store {
    Store::open_on(disk.medium(), Options { durability, ..Options::default() }).unwrap()
}

#[test]
fn an_interval_syncs_by_itself() {
    let disk = Disk::new();
    let store = store(&disk, Durability::Interval(Duration::from_millis(1)));
    let receipt = put(&store, "a.x", "1").unwrap();
    assert!(!receipt.durable);
    // No commit follows: the clock alone does it.
    while !text(
        &Store::open_on(disk.crash(&mut Choices::random(1)).medium(), Options::default()).unwrap(),
        "a.x",
    )
    .eq("1")
    {
        std::thread::yield_now();
    }
}

#[test]
fn one_that_waits_for_the_disk_makes_all_before_it_durable() {
    let disk = Disk::new();
    let store = store(&disk, Durability::None);
    let request = |durable| {
        let request_id = Some("r".into());
        store.commit(Transaction { request_id, durable, ..put_of("a.x", "1") })
    };
    assert!(!request(false).unwrap().durable);
    assert!(request(true).unwrap().durable);
    for seed in 0..10 {
        let cut = disk.crash(&mut Choices::random(seed));
        assert_eq!(text(&open(&cut), "a.x"), "1");
    }
    assert!(request(false).unwrap().durable, "it is, by now");
}

#[test]
fn a_clean_stop_makes_everything_durable() {
    let disk = Disk::new();
    let store = store(&disk, Durability::None);
    put(&store, "a.x", "1").unwrap();
    store.close();
    for seed in 0..10 {
        assert_eq!(text(&open(&disk.crash(&mut Choices::random(seed))), "a.x"), "1");
    }
}

#[test]
fn positions_that_a_crash_undid_are_not_taken_again() {
    let disk = Disk::new();
    let first = store(&disk, Durability::None);
    put(&first, "a.x", "1").unwrap();
    let lost = put(&first, "a.x", "2").unwrap().position;
    for seed in 0..10 {
        let after = disk.crash(&mut Choices::random(seed));
        let second = store(&after, Durability::None);
        assert!(put(&second, "b.x", "3").unwrap().position > lost);
    }
}

#[test]
fn a_default_of_memory_leaves_nothing_in_the_log_and_takes_nothing_from_it() {
    let disk = Disk::new();
    put(&open(&disk), "a.x", "1").unwrap();
    let memory = store(&disk, Durability::Memory);
    assert_eq!(text(&memory, "a"), "-");
    assert!(!put(&memory, "b.x", "1").unwrap().durable);
    memory.close();
    assert_eq!(text(&store(&disk, Durability::Memory), "b"), "-");
}
