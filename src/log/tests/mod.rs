//! The promises of the log, as sentences.

mod compaction;
mod crash;
mod directory;
mod frame;
mod recovery;
mod repair;

use super::fake::{Disk, Fault, Op};
use super::*;

/// Opens the log of a disk, and gives what was in it.
fn open(disk: &Disk) -> Result<(Log, Recovery, Vec<String>), LogError> {
    let mut records = Vec::new();
    let (log, recovery) = Log::open(disk.medium(), &mut |_, record| {
        records.push(record.to_owned());
        Ok(())
    })?;
    assert_eq!(recovery.records, records.len() as u64);
    assert_eq!((log.status().records, log.durable()), (recovery.records, log.end()));
    Ok((log, recovery, records))
}

fn group<S: AsRef<str>>(records: &[S]) -> Group {
    let mut group = Group::new();
    for record in records {
        group.record(|buf| buf.extend_from_slice(record.as_ref().as_bytes())).unwrap();
    }
    group
}

fn append<S: AsRef<str>>(log: &mut Log, records: &[S]) -> Result<(), AppendError> {
    log.append(&mut group(records))
}

/// A disk with these groups, each synced, and no seal at the end.
fn written(groups: &[&[&str]]) -> Disk {
    let disk = Disk::new();
    let (mut log, ..) = open(&disk).unwrap();
    for records in groups {
        append(&mut log, records).unwrap();
        log.sync().unwrap();
    }
    disk
}

/// A line with a good checksum over `body`.
fn line(body: &str) -> Vec<u8> {
    format!("{:08x}{body}\n", crc32fast::hash(body.as_bytes())).into_bytes()
}

fn log_of(disk: &Disk) -> Vec<u8> {
    disk.content(LOG).unwrap()
}

const GROUPS: &[&[&str]] =
    &[&["one"], &["two", "three, which is longer", "four"], &["fünf"], &["six", "seven"]];
