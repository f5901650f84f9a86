//! A damaged log is made usable, and what was there is kept.

use super::*;
use crate::log::fake::Choices;

fn mend(disk: &Disk) -> Result<Repair, LogError> {
    repair(disk.medium(), &mut |_, _| Ok(()))
}

/// A log of all groups, with a bit flipped in `victim`.
fn damaged(victim: &str) -> (Disk, Vec<u8>) {
    let disk = written(GROUPS);
    open(&disk).unwrap().0.seal().unwrap();
    let mut bytes = log_of(&disk);
    let at = bytes.windows(victim.len()).position(|w| w == victim.as_bytes()).unwrap();
    bytes[at] ^= 1;
    disk.put(LOG, &bytes);
    (disk, bytes)
}

#[test]
fn a_damaged_log_is_repaired_up_to_any_line_and_the_original_stays() {
    let all = GROUPS.concat();
    for (n, victim) in all.iter().enumerate() {
        let (disk, original) = damaged(victim);
        let Err(LogError::Corrupt { offset, .. }) = open(&disk) else { panic!("{victim} isn't missed") };
        let done = mend(&disk).unwrap();
        assert_eq!((done.kept_as.as_str(), done.offset), ("log.damaged-1", offset));
        assert_eq!((done.records, done.dropped), (n as u64, (all.len() - n - 1) as u64));
        assert_eq!(disk.content("log.damaged-1"), Some(original));
        let (mut log, recovery, records) = open(&disk).unwrap();
        assert_eq!(records, all[..n]);
        assert!(recovery.sealed);
        append(&mut log, &["next"]).unwrap();
        log.sync().unwrap();
        assert_eq!(open(&disk).unwrap().2.len(), n + 1);
    }
}

#[test]
fn damage_to_the_first_line_costs_no_record() {
    let (disk, _) = damaged("tega");
    assert!(matches!(open(&disk), Err(LogError::Corrupt { offset: Offset(0), .. })));
    let done = mend(&disk).unwrap();
    assert_eq!((done.offset, done.records, done.dropped), (Offset(0), 7, 0));
    assert_eq!(open(&disk).unwrap().2, GROUPS.concat());
}

#[test]
fn each_repair_keeps_its_own_original() {
    let (disk, first) = damaged("seven");
    mend(&disk).unwrap();
    let (_, second) = damaged("two");
    disk.put(LOG, &second);
    assert_eq!(mend(&disk).unwrap().kept_as, "log.damaged-2");
    assert_eq!(disk.content("log.damaged-1"), Some(first));
    assert_eq!(disk.content("log.damaged-2"), Some(second));
}

#[test]
fn a_record_with_bad_content_is_repaired_too() {
    let disk = written(&[&["good"], &["bad"], &["good"]]);
    let taste = &mut |_, record: &str| if record == "bad" { Err("bad".to_owned()) } else { Ok(()) };
    let done = repair(disk.medium(), taste).unwrap();
    assert_eq!((done.records, done.dropped, done.reason.as_str()), (1, 1, "bad"));
    assert_eq!(open(&disk).unwrap().2, ["good"]);
}

#[test]
fn what_is_not_damaged_is_not_repaired() {
    let disk = written(GROUPS);
    assert!(matches!(mend(&disk), Err(LogError::NotDamaged { .. })));
    let torn = [&log_of(&disk)[..], b"half a li"].concat();
    disk.put(LOG, &torn);
    assert!(matches!(mend(&disk), Err(LogError::NotDamaged { .. })));
    assert_eq!(log_of(&disk), torn);
    disk.put(LOG, b"something else\n");
    assert!(matches!(mend(&disk), Err(LogError::Foreign { .. })));
    assert!(matches!(mend(&Disk::new()), Err(LogError::Missing { .. })));
}

#[test]
fn a_power_cut_or_a_failure_at_any_step_of_a_repair_loses_neither_the_original_nor_the_records() {
    let (counting, _) = damaged("four");
    let before = counting.calls(Op::Any);
    mend(&counting).unwrap();
    for step in 1..=counting.calls(Op::Any) - before {
        for (seed, fault) in (0..60).map(|n| (n / 2, if n % 2 == 0 { Fault::OFF } else { Fault::IO })) {
            let (disk, original) = damaged("four");
            disk.fail(Op::Any, step, fault);
            assert!(mend(&disk).is_err());
            let after = disk.crash(&mut Choices::random(seed));
            for disk in [after, disk] {
                disk.restart();
                match open(&disk) {
                    Ok((_, recovery, records)) => {
                        assert_eq!(records, ["one", "two", "three, which is longer"], "step {step}");
                        assert!(!recovery.created);
                        assert_eq!(disk.content("log.damaged-1"), Some(original.clone()));
                    }
                    Err(LogError::Corrupt { .. }) => assert_eq!(log_of(&disk), original),
                    Err(error) => panic!("step {step}: {error}"),
                }
            }
        }
    }
}
