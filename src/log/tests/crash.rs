//! Power cuts, and disks that fail.

use super::*;
use crate::log::fake::{Choices, every};

/// What a workload was told.
#[derive(Clone, Default)]
struct Told {
    /// Every record that may be in the log, in order.
    written: Vec<String>,
    /// How many of them were said to be durable.
    durable: usize,
}

impl Told {
    /// Says whether a group was taken.
    fn append(&mut self, log: &mut Log, records: &[String]) -> bool {
        let result = append(log, records);
        match result {
            Ok(()) | Err(AppendError::Failed(_)) => self.written.extend_from_slice(records),
            Err(AppendError::NoSpace(_) | AppendError::Closed(_)) => {}
        }
        result.is_ok()
    }

    fn sync(&mut self, log: &mut Log) -> bool {
        let synced = log.sync().is_ok();
        if synced {
            self.durable = self.written.len();
        }
        synced
    }

    /// What was promised is there, and nothing that wasn't written, and nothing out of order.
    fn check(&self, found: &[String], when: &str) {
        assert!(self.written.starts_with(found), "{when}: {found:?} of {:?}", self.written);
        assert!(found.len() >= self.durable, "{when}: {} of {} durable records", found.len(), self.durable);
    }
}

fn recover(disk: &Disk, when: &str) -> (Log, Vec<String>) {
    match open(disk) {
        Ok((log, _, records)) => (log, records),
        Err(error) => panic!("{when}: {error}"),
    }
}

#[test]
fn a_power_cut_that_keeps_any_blocks_of_small_groups_loses_nothing_that_was_synced() {
    // The pads move the unsynced groups over the end of a block.
    for pad in [1, 330, 360, 380] {
        let disk = written(&[&["p".repeat(pad).as_str()]]);
        let (mut log, records) = recover(&disk, "before");
        let mut told = Told { durable: records.len(), written: records };
        told.append(&mut log, &["second".into(), "third".into()]);
        told.append(&mut log, &["fourth".into()]);
        let cases = every(|choices| {
            let after = disk.crash(choices);
            let (mut log, found) = recover(&after, "after the cut");
            told.check(&found, "after the cut");
            append(&mut log, &["next"]).unwrap();
            log.sync().unwrap();
            assert_eq!(open(&after).unwrap().2, [&found[..], &["next".to_owned()]].concat());
        });
        assert!(cases > 50, "{cases} cases");
    }
}

#[test]
fn power_cuts_one_after_the_other_lose_nothing_that_was_synced() {
    for seed in 0..150 {
        let mut choices = Choices::random(seed);
        let mut disk = Disk::new();
        let mut told = Told::default();
        for generation in 0..4 {
            let when = format!("seed {seed}, generation {generation}");
            let (mut log, found) = recover(&disk, &when);
            told.check(&found, &when);
            told = Told { durable: found.len(), written: found };
            for step in 0..1 + choices.next(6) {
                let record = |n: usize| format!("{generation}.{step}.{n} {}", "x".repeat(n * 97 % 700));
                let records: Vec<String> = (0..1 + choices.next(4)).map(record).collect();
                assert!(told.append(&mut log, &records));
                if choices.next(3) == 0 {
                    assert!(told.sync(&mut log));
                }
            }
            if choices.next(4) == 0 {
                log.seal().unwrap();
                told.durable = told.written.len();
            }
            disk = disk.crash(&mut choices);
        }
    }
}

/// Opens, writes some groups and seals, as far as the disk lets it.
fn workload(disk: &Disk, told: &mut Told) {
    let Ok((mut log, ..)) = open(disk) else { return };
    for n in 0..4 {
        let records = [format!("{n} {}", "x".repeat(n * 300)), format!("{n} again")];
        told.append(&mut log, &records);
        if n != 1 {
            told.sync(&mut log);
        }
    }
    if log.seal().is_ok() {
        told.durable = told.written.len();
    }
}

#[test]
fn each_call_of_the_disk_may_fail_in_turn_and_no_promise_is_broken() {
    let counting = Disk::new();
    workload(&counting, &mut Told::default());
    let calls = counting.calls(Op::Any);
    assert!(calls > 12, "{calls}");
    for nth in 1..=calls {
        for fault in [Fault::IO, Fault::FULL, Fault::OFF] {
            for wrote in [0, 1, 30, 200, 10_000] {
                let disk = Disk::new();
                disk.fail(Op::Any, nth, fault.after(wrote));
                let mut told = Told::default();
                workload(&disk, &mut told);
                for seed in 0..8 {
                    let when = format!("call {nth} fails with {fault:?} after {wrote} bytes, seed {seed}");
                    let after = disk.crash(&mut Choices::random(seed));
                    told.check(&recover(&after, &when).1, &when);
                }
            }
        }
    }
}

#[test]
fn a_failed_sync_closes_the_log_for_good() {
    let disk = Disk::new();
    let (mut log, ..) = open(&disk).unwrap();
    append(&mut log, &["a"]).unwrap();
    disk.fail(Op::Sync, 1, Fault::IO);
    assert!(matches!(log.sync(), Err(AppendError::Failed(_))));
    let (syncs, appends) = (disk.calls(Op::Sync), disk.calls(Op::Append));
    assert!(matches!(log.sync(), Err(AppendError::Closed(_))));
    assert!(matches!(log.seal(), Err(AppendError::Closed(_))));
    assert!(matches!(append(&mut log, &["b"]), Err(AppendError::Closed(_))));
    assert!(matches!(log.compaction(), Err(CompactionError::Closed(_))));
    assert_eq!((disk.calls(Op::Sync), disk.calls(Op::Append)), (syncs, appends), "nothing was tried");
    assert!(log.status().closed.is_some() && log.durable() < log.end());
}

#[test]
fn a_group_that_finds_the_disk_full_never_comes_back() {
    for wrote in 0..40 {
        let disk = written(&[&["kept"]]);
        let (mut log, ..) = open(&disk).unwrap();
        let before = log.status();
        disk.fail(Op::Append, 1, Fault::FULL.after(wrote));
        assert!(matches!(append(&mut log, &["no", "room"]), Err(AppendError::NoSpace(_))));
        assert_eq!(log.status(), before);
        for seed in 0..20 {
            assert_eq!(open(&disk.crash(&mut Choices::random(seed))).unwrap().2, ["kept"]);
        }
        append(&mut log, &["later"]).unwrap();
        log.sync().unwrap();
        assert_eq!(open(&disk).unwrap().2, ["kept", "later"]);
    }
}

#[test]
fn a_full_disk_that_can_not_be_cut_closes_the_log() {
    for op in [Op::Cut, Op::Sync] {
        let disk = written(&[&["kept"]]);
        let (mut log, ..) = open(&disk).unwrap();
        disk.fail(Op::Append, 1, Fault::FULL.after(3));
        disk.fail(op, 1, Fault::IO);
        assert!(matches!(append(&mut log, &["a"]), Err(AppendError::Failed(_))));
        assert!(matches!(append(&mut log, &["b"]), Err(AppendError::Closed(_))));
    }
}

#[test]
fn a_group_is_one_write_and_a_sync_of_nothing_is_none() {
    let disk = Disk::new();
    let (mut log, ..) = open(&disk).unwrap();
    let (appends, syncs) = (disk.calls(Op::Append), disk.calls(Op::Sync));
    append(&mut log, &["a", "b", "c"]).unwrap();
    log.append(&mut Group::new()).unwrap();
    log.sync().unwrap();
    log.sync().unwrap();
    assert_eq!((disk.calls(Op::Append), disk.calls(Op::Sync)), (appends + 1, syncs + 1));
}
