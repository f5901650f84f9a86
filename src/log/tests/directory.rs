//! The same on a real directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tega-log-{}-{n}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open_dir(dir: &Path) -> Result<(Log, Recovery, Vec<String>), LogError> {
    let mut records = Vec::new();
    let (log, recovery) = Log::open(Box::new(Directory::open(dir)?), &mut |_, record| {
        records.push(record.to_owned());
        Ok(())
    })?;
    Ok((log, recovery, records))
}

fn dumped(dir: &Path) -> (Vec<String>, Dumped) {
    let mut records = Vec::new();
    let end = dump(dir, &mut |_, record| {
        records.push(record.to_owned());
        ControlFlow::Continue(())
    });
    (records, end.unwrap())
}

#[test]
fn a_directory_is_created_for_its_owner_and_opened_once() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("a/b");
    let (log, ..) = open_dir(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(dir.join(LOG)).unwrap().permissions().mode() & 0o777, 0o600);
    let Err(error) = open_dir(&dir) else { panic!("it was opened twice") };
    assert!(matches!(error, LogError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(error.to_string().contains("a/b is in use by process"), "{error}");
    drop(log);
    open_dir(&dir).unwrap();
}

#[test]
fn a_compaction_on_another_thread_holds_the_lock() {
    let scratch = Scratch::new();
    let (mut log, ..) = open_dir(&scratch.0).unwrap();
    let compaction = log.compaction().unwrap();
    drop(log);
    assert!(matches!(open_dir(&scratch.0), Err(LogError::Locked { .. })));
    drop(compaction);
    open_dir(&scratch.0).unwrap();
}

#[test]
fn records_survive_compaction_and_restart_on_a_real_disk() {
    let scratch = Scratch::new();
    let (mut log, ..) = open_dir(&scratch.0).unwrap();
    append(&mut log, &["a=1", "a=2"]).unwrap();
    log.sync().unwrap();
    let mut compaction = log.compaction().unwrap();
    let worker = std::thread::spawn(move || {
        compaction.record(|buf| buf.extend_from_slice(b"a=2")).unwrap();
        compaction.sync().unwrap();
        compaction
    });
    append(&mut log, &["b=1"]).unwrap();
    log.finish(worker.join().unwrap()).unwrap();
    append(&mut log, &["c=1"]).unwrap();
    log.seal().unwrap();
    assert_eq!(fs::metadata(scratch.0.join(LOG)).unwrap().len(), log.end().0);
    assert_eq!(fs::metadata(scratch.0.join(RESERVE)).unwrap().len(), 64 << 10);
    drop(log);
    let (_, recovery, records) = open_dir(&scratch.0).unwrap();
    assert_eq!(records, ["a=2", "b=1", "c=1"]);
    assert!(recovery.sealed && !recovery.created);
}

#[test]
fn a_log_that_ends_in_its_first_line_is_begun_again() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join(LOG), &scan::first_line()[..10]).unwrap();
    let (mut log, recovery, _) = open_dir(&scratch.0).unwrap();
    assert!(recovery.created && recovery.cut_bytes == 10);
    append(&mut log, &["a"]).unwrap();
    drop(log);
    assert_eq!(open_dir(&scratch.0).unwrap().2, ["a"]);
}

#[test]
fn a_dump_needs_no_lock_and_ends_before_a_record_that_is_being_written() {
    let scratch = Scratch::new();
    assert!(matches!(dump(&scratch.0, &mut |_, _| ControlFlow::Continue(())), Err(LogError::Missing { .. })));
    let (mut log, ..) = open_dir(&scratch.0).unwrap();
    append(&mut log, &["a", "b"]).unwrap();
    let end = log.end();
    assert_eq!(dumped(&scratch.0), (vec!["a".into(), "b".into()], Dumped { records: 2, end, tail: 0 }));
    let path = scratch.0.join(LOG);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"12345678 half"].concat()).unwrap();
    assert_eq!(dumped(&scratch.0).1, Dumped { records: 2, end, tail: 13 });
    let mut seen = 0;
    let stopped = dump(&scratch.0, &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((seen, stopped.unwrap().tail), (1, 0));
}

#[test]
fn a_dump_of_a_damaged_log_ends_with_the_offset_of_the_damage() {
    let scratch = Scratch::new();
    let (mut log, ..) = open_dir(&scratch.0).unwrap();
    append(&mut log, &["a", "bad"]).unwrap();
    log.seal().unwrap();
    let path = scratch.0.join(LOG);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("bad", "bat")).unwrap();
    let mut records = Vec::new();
    let result = dump(&scratch.0, &mut |_, record| {
        records.push(record.to_owned());
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(LogError::Corrupt { .. })), "{result:?}");
    assert_eq!(records, ["a"]);
    drop(log);
    let done = repair(Box::new(Directory::open(&scratch.0).unwrap()), &mut |_, _| Ok(())).unwrap();
    assert!(fs::read_to_string(&done.kept_as).unwrap().contains("bat"));
    assert_eq!(open_dir(&scratch.0).unwrap().2, ["a"]);
}

#[test]
fn a_real_reserve_takes_the_room_that_it_claims() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new();
    let mut directory = Directory::open(&scratch.0).unwrap();
    directory.reserve(RESERVE, 100_000).unwrap();
    let metadata = fs::metadata(scratch.0.join(RESERVE)).unwrap();
    assert_eq!(metadata.len(), 100_000);
    assert!(metadata.blocks() * 512 >= 100_000, "{} blocks", metadata.blocks());
}
