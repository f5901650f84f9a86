//! A log is replaced while it is in use, and the power may go at any step.

use super::*;
use crate::log::fake::Choices;

fn compact(log: &mut Log, base: &[&str], meanwhile: &[&str]) -> Result<Compacted, CompactionError> {
    let mut compaction = log.compaction()?;
    for (n, record) in base.iter().enumerate() {
        compaction.record(|buf| buf.extend_from_slice(record.as_bytes()))?;
        if n == 0 {
            compaction.sync()?;
        }
    }
    for record in meanwhile {
        // Refused or not, the log itself says in the end.
        let _ = append(log, &[record]).and_then(|()| log.sync());
    }
    log.finish(compaction)
}

#[test]
fn a_compacted_log_holds_the_new_records_and_what_came_meanwhile() {
    let disk = written(&[&["a=1"], &["a=2", "a=3"]]);
    let (mut log, ..) = open(&disk).unwrap();
    let before = log.end().0;
    let compacted = compact(&mut log, &["a=3"], &["b=1", "b=2"]).unwrap();
    let meanwhile = (line("@95 b=1").len() + line("@111 b=2").len()) as u64;
    assert_eq!(compacted, Compacted { before: before + meanwhile, after: log.end().0 });
    assert_eq!((log.durable(), log.status().records), (log.end(), 3));
    append(&mut log, &["c=1"]).unwrap();
    log.sync().unwrap();
    let (_, recovery, records) = open(&disk).unwrap();
    assert_eq!(records, ["a=3", "b=1", "b=2", "c=1"]);
    assert_eq!(recovery.cut_bytes, 0);
    assert_eq!(disk.names(), [LOG, RESERVE, SPARE]);
}

#[test]
fn a_compaction_of_many_records_reads_back_whole() {
    let disk = Disk::new();
    let (mut log, ..) = open(&disk).unwrap();
    let records: Vec<String> = (0..3000).map(|n| format!("{n} {}", "x".repeat(n % 200))).collect();
    append(&mut log, &records[2000..]).unwrap();
    let mut compaction = log.compaction().unwrap();
    assert!(compaction.is_empty());
    for record in &records[..2000] {
        compaction.record(|buf| buf.extend_from_slice(record.as_bytes())).unwrap();
    }
    append(&mut log, &records[2000..]).unwrap();
    log.finish(compaction).unwrap();
    assert!(open(&disk).unwrap().2 == records);
}

#[test]
fn only_one_compaction_runs_and_a_dropped_one_leaves_nothing() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    let first = log.compaction().unwrap();
    assert!(log.status().compacting);
    assert!(matches!(log.compaction(), Err(CompactionError::Busy)));
    drop(first);
    assert!(!disk.names().contains(&NEW.to_owned()));
    let second = log.compaction().unwrap();
    let (mut other, ..) = open(&written(&[])).unwrap();
    assert!(matches!(other.finish(second), Err(CompactionError::Abandoned(_))));
    compact(&mut log, &["a"], &[]).unwrap();
}

#[test]
fn damage_below_the_end_of_a_compacted_log_is_refused_too() {
    let disk = written(&[&["a"]]);
    compact(&mut open(&disk).unwrap().0, &["base"], &["tail"]).unwrap();
    let mut bytes = log_of(&disk);
    let at = bytes.windows(4).position(|w| w == b"tail").unwrap();
    bytes[at] ^= 1;
    disk.put(LOG, &bytes);
    assert!(matches!(open(&disk), Err(LogError::Corrupt { .. })));
}

#[test]
fn a_power_cut_at_any_step_of_a_compaction_leaves_one_log_whole() {
    let run = |disk: &Disk| {
        let (mut log, ..) = open(disk).unwrap();
        let before = disk.calls(Op::Any);
        let result = compact(&mut log, &["a", "b"], &["c", "d"]);
        (before, result.is_ok(), log)
    };
    let counting = written(&[&["a"], &["b"]]);
    let (before, finished, _) = run(&counting);
    assert!(finished);
    let steps = counting.calls(Op::Any) - before;
    assert!(steps > 12, "{steps}");
    let opening = before - written(&[&["a"], &["b"]]).calls(Op::Any);
    for step in 1..=steps {
        for seed in 0..40 {
            let disk = written(&[&["a"], &["b"]]);
            disk.fail(Op::Any, opening + step, Fault::OFF.after(seed as usize % 30));
            let (_, finished, log) = run(&disk);
            let after = disk.crash(&mut Choices::random(seed));
            let (mut reopened, _, found) = open(&after).unwrap_or_else(|e| panic!("step {step}: {e}"));
            assert!(["a", "b", "c", "d"].map(String::from).starts_with(&found), "step {step}: {found:?}");
            let promised = if finished { 4 } else { (log.status().records as usize).min(2) };
            assert!(found.len() >= promised, "step {step}: {found:?}");
            assert!(!after.names().contains(&NEW.to_owned()));
            append(&mut reopened, &["next"]).unwrap();
            reopened.sync().unwrap();
            assert_eq!(open(&after).unwrap().2.last().map(String::as_str), Some("next"));
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_compaction_and_a_power_cut_after_the_restart_lose_nothing() {
    for step in 1..30 {
        let disk = written(&[&["a"], &["b"]]);
        let (mut log, ..) = open(&disk).unwrap();
        disk.fail(Op::Any, step, Fault::OFF);
        let _ = compact(&mut log, &["a", "b"], &[]);
        drop(log);
        disk.restart();
        let (mut log, ..) = open(&disk).unwrap();
        append(&mut log, &["c"]).unwrap();
        log.sync().unwrap();
        for seed in 0..10 {
            let found = open(&disk.crash(&mut Choices::random(seed))).unwrap().2;
            assert_eq!(found, ["a", "b", "c"], "step {step}");
        }
    }
}

#[test]
fn a_rename_that_finds_no_room_leaves_the_old_log_in_use() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    disk.fail(Op::Rename, 1, Fault::FULL);
    assert!(matches!(compact(&mut log, &["a"], &["b"]), Err(CompactionError::NoSpace(_))));
    assert_eq!(disk.names(), [LOG, RESERVE, SPARE]);
    compact(&mut log, &["a", "b"], &["c"]).unwrap();
    assert_eq!(open(&disk).unwrap().2, ["a", "b", "c"]);
}

#[test]
fn a_new_log_whose_name_may_not_be_durable_takes_no_writes() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    disk.fail(Op::SyncDir, 1, Fault::IO);
    assert!(matches!(compact(&mut log, &["a"], &[]), Err(CompactionError::Failed(_))));
    assert!(matches!(append(&mut log, &["b"]), Err(AppendError::Closed(_))));
}

#[test]
fn a_call_that_fails_once_in_a_compaction_leaves_a_log_that_keeps_its_promises() {
    let base = || {
        let disk = written(&[&["a"], &["b"]]);
        let log = open(&disk).unwrap().0;
        (disk, log)
    };
    let (counting, mut log) = base();
    let before = counting.calls(Op::Any);
    compact(&mut log, &["a", "b"], &[]).unwrap();
    for step in 1..=counting.calls(Op::Any) - before {
        for fault in [Fault::IO, Fault::FULL.after(5)] {
            let (disk, mut log) = base();
            disk.fail(Op::Any, step, fault);
            let result = compact(&mut log, &["a", "b"], &[]);
            if let Err(CompactionError::Failed(_)) = result {
                assert!(matches!(append(&mut log, &["c"]), Err(AppendError::Closed(_))));
                continue;
            }
            append(&mut log, &["c"]).unwrap();
            log.sync().unwrap();
            for seed in 0..10 {
                let found = open(&disk.crash(&mut Choices::random(seed))).unwrap().2;
                assert_eq!(found, ["a", "b", "c"], "step {step}, {fault:?}, {result:?}");
            }
        }
    }
}

#[test]
fn a_full_disk_is_freed_by_a_compaction_into_the_reserve() {
    let disk = Disk::new();
    let (mut log, ..) = open(&disk).unwrap();
    disk.limit(Some(disk.used() + 20_000));
    let mut taken = 0;
    while append(&mut log, &["x".repeat(999)]).is_ok() {
        taken += 1;
    }
    disk.limit(Some(disk.used()));
    assert_eq!(open(&disk).unwrap().2.len(), taken);
    assert!(matches!(append(&mut log, &["y"]), Err(AppendError::NoSpace(_))));
    let compacted = compact(&mut log, &["x", "of all", "of them"], &[]).unwrap();
    assert!(compacted.after < compacted.before / 10);
    assert!(disk.names().contains(&RESERVE.to_owned()), "the reserve is there for the next time");
    append(&mut log, &["y"]).unwrap();
    log.sync().unwrap();
    assert_eq!(open(&disk).unwrap().2, ["x", "of all", "of them", "y"]);
}

#[test]
fn a_compaction_that_does_not_fit_into_the_reserve_leaves_log_and_reserve() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    disk.limit(Some(disk.used()));
    let long = "x".repeat(70_000);
    assert!(matches!(compact(&mut log, &[&long], &[]), Err(CompactionError::NoSpace(_))));
    assert_eq!(disk.names(), [LOG, RESERVE, SPARE]);
    disk.limit(None);
    append(&mut log, &["b"]).unwrap();
    assert_eq!(open(&disk).unwrap().2, ["a", "b"]);
}

#[test]
fn what_says_that_something_is_gone_is_taken_by_a_full_disk_once() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    disk.limit(Some(disk.used()));
    let gone = |log: &mut Log, len: usize| log.append_spare(&mut group(&["x".repeat(len)]));
    // What doesn't fit leaves the spare to what does.
    assert!(matches!(gone(&mut log, SPARE_LEN as usize), Err(AppendError::NoSpace(_))));
    assert!(disk.names().contains(&SPARE.to_owned()));
    gone(&mut log, 100).unwrap();
    assert!(!disk.names().contains(&SPARE.to_owned()));
    log.sync().unwrap();
    gone(&mut log, 10_000).unwrap();
    assert!(matches!(gone(&mut log, 10_000), Err(AppendError::NoSpace(_))));
    assert!(disk.names().contains(&RESERVE.to_owned()), "that is for the compaction");
    assert_eq!(open(&disk).unwrap().2.len(), 3);
}

#[test]
fn a_full_disk_has_room_again_when_all_is_set_apart_again() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    let used = disk.used();
    disk.limit(Some(used));
    assert!(!log.recover().unwrap());
    log.append_spare(&mut group(&["gone"])).unwrap();
    // The rest of the spare isn't room for anything.
    assert!(!log.recover().unwrap());
    for more in [100, SPARE_LEN as usize] {
        disk.limit(Some(used + more));
        assert!(!log.recover().unwrap(), "{more}");
    }
    disk.limit(Some(used + 3 * SPARE_LEN as usize));
    assert!(log.recover().unwrap());
    assert!(disk.names().contains(&SPARE.to_owned()));
    assert_eq!(open(&disk).unwrap().2, ["a", "gone"]);
}

#[test]
fn room_that_is_set_apart_and_fits_is_not_set_apart_again() {
    let disk = written(&[&["a"]]);
    let (mut log, ..) = open(&disk).unwrap();
    let reserves = disk.calls(Op::Reserve);
    compact(&mut log, &["b"], &[]).unwrap();
    assert_eq!(disk.calls(Op::Reserve), reserves);
    compact(&mut log, &["x".repeat(100_000).as_str()], &[]).unwrap();
    assert_eq!(disk.calls(Op::Reserve), reserves + 1);
    compact(&mut log, &["b"], &[]).unwrap();
    assert_eq!(disk.calls(Op::Reserve), reserves + 1, "twice as much isn't far too much");
    drop(log);
    open(&disk).unwrap();
    assert_eq!(disk.calls(Op::Reserve), reserves + 1);
}
