//! What is read back from a log that was cut, damaged, or is none.

use super::*;

#[test]
fn a_log_cut_at_any_byte_keeps_the_records_before_the_cut_and_takes_new_ones() {
    let whole = log_of(&written(GROUPS));
    let text = String::from_utf8(whole.clone()).unwrap();
    for cut in 0..=whole.len() {
        let before = text[..text.floor_char_boundary(cut)].matches('\n').count();
        // The first two lines are the format and a seal.
        let expected: Vec<&str> = GROUPS.concat().into_iter().take(before.saturating_sub(2)).collect();
        let disk = Disk::new();
        disk.put(LOG, &whole[..cut]);
        let (mut log, recovery, records) = open(&disk).unwrap();
        assert_eq!(records, expected, "cut at {cut}");
        let tail = cut - whole[..cut].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        assert_eq!(recovery.cut_bytes, tail as u64, "cut at {cut}");
        append(&mut log, &["new"]).unwrap();
        log.sync().unwrap();
        let (_, recovery, records) = open(&disk).unwrap();
        assert_eq!(records, [&expected[..], &["new"]].concat(), "cut at {cut}");
        assert_eq!(recovery.cut_bytes, 0);
    }
}

#[test]
fn a_flipped_bit_below_the_durable_mark_is_refused_with_the_offset_of_its_line() {
    let disk = written(GROUPS);
    open(&disk).unwrap().0.seal().unwrap();
    let whole = log_of(&disk);
    let last = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
    for at in 0..last {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            disk.put(LOG, &damaged);
            let line = whole[..at].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
            match open(&disk).map(|opened| opened.1) {
                Err(LogError::Corrupt { file, offset, .. }) => {
                    assert_eq!((file.as_str(), offset), (LOG, Offset(line as u64)), "byte {at}, bit {bit}");
                }
                other => panic!("byte {at}, bit {bit}: {other:?}"),
            }
            assert_eq!(log_of(&disk), damaged, "a refused log stays as it is");
        }
    }
}

#[test]
fn what_follows_a_torn_record_is_dropped_even_if_it_is_good() {
    let disk = written(&[&["kept"]]);
    let good = log_of(&disk);
    for tail in [
        [&b"00000000 torn\n"[..], &line(" good")].concat(),
        [&[0; 600][..], &line(" good")].concat(),
        [&b"\0\0\n"[..], &line(&format!("@{} a group", good.len()))].concat(),
        [&line(" unsynced")[..2], &line(" good")].concat(),
        b"half a lin".to_vec(),
        vec![0; 5000],
        vec![b'\n'; 20],
        vec![b'x'; MAX_RECORD + 100_000],
        line("@99999 a claim about the future"),
    ] {
        disk.put(LOG, &[&good[..], &tail].concat());
        let (mut log, recovery, records) = open(&disk).unwrap();
        assert_eq!(records, ["kept"]);
        assert_eq!((recovery.cut_at, recovery.cut_bytes), (Offset(good.len() as u64), tail.len() as u64));
        assert_eq!(log_of(&disk), good);
        append(&mut log, &["next"]).unwrap();
        log.sync().unwrap();
        assert_eq!(open(&disk).unwrap().2, ["kept", "next"]);
    }
}

#[test]
fn a_later_group_that_proves_no_more_than_the_good_part_leaves_a_torn_tail() {
    let disk = written(&[&["kept"]]);
    let good = log_of(&disk);
    let with = |durable: usize| [&good[..], b"bad\n", &line(&format!("@{durable} later"))].concat();
    disk.put(LOG, &with(good.len()));
    assert_eq!(open(&disk).unwrap().2, ["kept"]);
    disk.put(LOG, &with(good.len() + 1));
    assert!(matches!(open(&disk), Err(LogError::Corrupt { offset, .. }) if offset.0 == good.len() as u64));
}

#[test]
fn a_record_that_the_reader_refuses_is_named_with_its_offset() {
    let disk = written(&[&["good"], &["bad"], &["good"]]);
    let at = log_of(&disk).windows(4).position(|w| w == b" bad").unwrap();
    let mut seen = 0;
    let refused = Log::open(disk.medium(), &mut |_, record| {
        seen += 1;
        if record == "bad" { Err("not to my taste".into()) } else { Ok(()) }
    });
    let Err(LogError::Corrupt { offset, reason, .. }) = refused else { panic!("it was taken") };
    assert!(offset.0 < at as u64 && at as u64 - offset.0 < 20, "{offset}");
    assert_eq!((seen, reason.as_str()), (2, "not to my taste"));
}

#[test]
fn offsets_lead_to_the_records() {
    let disk = written(GROUPS);
    let bytes = log_of(&disk);
    Log::open(disk.medium(), &mut |offset, record| {
        let rest = String::from_utf8_lossy(&bytes[offset.0 as usize..]);
        assert!(rest.lines().next().is_some_and(|line| line.ends_with(record)));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_file_that_is_no_log_is_refused_and_left_alone() {
    for (content, word) in [
        (&b"hello\n"[..], "isn't a log"),
        (b"hello", "isn't a log"),
        (&[0; 200], "isn't a log"),
        (&line("@0 {\"tega\":\"log\",\"format\":2}"), "later tega"),
        (&line("@0 some record"), "isn't a log"),
        (&line(" some record"), "isn't a log"),
    ] {
        let disk = Disk::new();
        disk.put(LOG, content);
        let Err(error) = open(&disk) else { panic!("{content:?} was taken") };
        assert!(matches!(error, LogError::Foreign { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(log_of(&disk), content);
    }
}

#[test]
fn a_new_log_says_so_and_a_clean_stop_is_seen_at_the_next_start() {
    let disk = Disk::new();
    let (mut log, recovery, _) = open(&disk).unwrap();
    assert!(recovery.created);
    append(&mut log, &["a"]).unwrap();
    drop(log);
    let (mut log, recovery, _) = open(&disk).unwrap();
    assert!(!recovery.created && !recovery.sealed);
    log.seal().unwrap();
    let len = log.end();
    log.seal().unwrap();
    assert_eq!(log.end(), len, "a second seal would add nothing");
    drop(log);
    assert!(open(&disk).unwrap().1.sealed);
}

#[test]
fn the_longest_record_is_read_back() {
    let disk = Disk::new();
    let long = "x".repeat(MAX_RECORD);
    append(&mut open(&disk).unwrap().0, &["short", &long, &long, "short"]).unwrap();
    assert!(open(&disk).unwrap().2 == ["short", &long, &long, "short"]);
}

#[test]
fn a_left_over_compaction_is_removed_at_the_start() {
    let disk = written(&[&["a"]]);
    let whole = log_of(&disk);
    for left in [&whole[..20], &whole, b"", b"rubbish"] {
        disk.put(NEW, left);
        assert_eq!(open(&disk).unwrap().2, ["a"]);
        assert!(!disk.names().contains(&NEW.to_owned()));
    }
}
