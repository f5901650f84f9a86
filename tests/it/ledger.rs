//! What clients of a fleet did and were told, and whether one consistent system can have told them that.
//!
//! Each root holds one number at `ROOT.x`, and every write is a number of its own. As every commit to a root raises its
//! version by one, the answers themselves say in which order the writes took effect, so that no order needs to be
//! searched for, as a checker of histories without versions must. What a history must fulfil:
//!
//! 1. A version of a root has one value, whoever says so, and a value is at one version at most.
//! 2. Real time: a write that began after another write or fresh read had ended has a larger version; a fresh read that
//!    began after it has at least that one. With 1 this is linearizability of writes and fresh reads, root by root.
//! 3. A server never goes back: a plain read has at least the version of everything that ended before at this server.
//! 4. A write that was refused never happened; one whose outcome is unknown happened once at most.
//! 5. A write that expected a version has the one after it.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Put this number, if the version is this one.
    Write { value: i64, expected: Option<i64> },
    /// Read what this server has.
    Read,
    /// Read what the home has.
    Fresh,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The version that was written or read, -1: nothing is there; and the value.
    Done { version: i64, value: i64 },
    /// It didn't happen.
    Refused,
    /// It may have happened.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) root: usize,
    /// Which server was asked (last).
    pub(crate) server: usize,
    pub(crate) asked: Asked,
    pub(crate) told: Told,
    /// Since the beginning.
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    /// The server shows it: false for a write that its replica hadn't applied when it was answered.
    pub(crate) applied: bool,
}

/// What is wrong with a history; the first few faults.
pub(crate) fn check(ops: &[Op]) -> Result<(), String> {
    let mut faults = Vec::new();
    let roots = ops.iter().map(|op| op.root).max().map_or(0, |last| last + 1);
    for root in 0..roots {
        let ops: Vec<&Op> = ops.iter().filter(|op| op.root == root).collect();
        values(&ops, &mut faults);
        order(&ops, is_fresh, &mut faults);
        let servers = ops.iter().map(|op| op.server).max().map_or(0, |last| last + 1);
        for server in 0..servers {
            let here: Vec<&Op> = ops.iter().filter(|op| op.server == server).copied().collect();
            order(&here, |op| op.applied, &mut faults);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.into_iter().take(8).collect::<Vec<_>>().join("\n")) }
}

fn is_fresh(op: &Op) -> bool {
    op.asked != Asked::Read
}

/// Rules 1, 4 and 5.
fn values(ops: &[&Op], faults: &mut Vec<String>) {
    let mut by_version: BTreeMap<i64, &Op> = BTreeMap::new();
    let mut by_value: BTreeMap<i64, i64> = BTreeMap::new();
    for op in ops {
        let Told::Done { version, value } = op.told else { continue };
        if version < 0 {
            continue;
        }
        let first = by_version.entry(version).or_insert(op);
        if let Told::Done { value: other, .. } = first.told
            && other != value
        {
            faults.push(format!("version {version} has two values: {first:?} and {op:?}"));
        }
        if *by_value.entry(value).or_insert(version) != version {
            faults.push(format!("value {value} is at versions {} and {version}: {op:?}", by_value[&value]));
        }
        if let Asked::Write { expected: Some(expected), .. } = op.asked
            && version != expected + 1
        {
            faults.push(format!("expected {expected} and is {version}: {op:?}"));
        }
    }
    for op in ops.iter().filter(|op| op.told == Told::Refused) {
        if let Asked::Write { value, .. } = op.asked
            && let Some(version) = by_value.get(&value)
        {
            faults.push(format!("refused, but it is version {version}: {op:?}"));
        }
    }
}

/// Rules 2 and 3: nothing that began after `counts` ended is older than it; a write is newer.
fn order(ops: &[&Op], counts: impl Fn(&Op) -> bool, faults: &mut Vec<String>) {
    let version = |op: &Op| if let Told::Done { version, .. } = op.told { Some(version) } else { None };
    let mut begun: Vec<(&Op, i64)> = ops.iter().filter_map(|op| Some((*op, version(op)?))).collect();
    begun.retain(|(op, _)| counts(op));
    let mut ended = begun.clone();
    begun.sort_by_key(|(op, _)| op.start);
    ended.sort_by_key(|(op, _)| op.end);
    let mut ended = ended.into_iter().peekable();
    let mut newest: Option<(&Op, i64)> = None;
    for (op, now) in begun {
        while let Some(before) = ended.next_if(|(before, _)| before.end < op.start) {
            newest = newest.filter(|(_, version)| *version >= before.1).or(Some(before));
        }
        let Some((before, version)) = newest else { continue };
        let write = matches!(op.asked, Asked::Write { .. });
        if now < version || (write && now == version) {
            faults.push(format!("{before:?} had ended when {op:?} began"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(server: usize, asked: Asked, told: Told, start: u64, end: u64) -> Op {
        let time = Duration::from_millis;
        Op { root: 0, server, asked, told, start: time(start), end: time(end), applied: true }
    }

    fn write(server: usize, value: i64, version: i64, start: u64, end: u64) -> Op {
        op(server, Asked::Write { value, expected: None }, Told::Done { version, value }, start, end)
    }

    fn read(server: usize, asked: Asked, value: i64, version: i64, start: u64, end: u64) -> Op {
        op(server, asked, Told::Done { version, value }, start, end)
    }

    #[test]
    fn histories_that_one_system_can_have_told_pass() {
        let good = [
            write(0, 7, 0, 0, 10),
            write(1, 8, 1, 5, 20),
            // Stale, at another server than the one that wrote.
            read(2, Asked::Read, 7, 0, 30, 31),
            read(2, Asked::Read, 8, 1, 32, 33),
            read(3, Asked::Fresh, 8, 1, 21, 22),
            op(1, Asked::Write { value: 9, expected: None }, Told::Unknown, 40, 50),
            read(1, Asked::Read, 9, 2, 60, 61),
            op(1, Asked::Write { value: 10, expected: Some(1) }, Told::Refused, 62, 63),
        ];
        assert_eq!(check(&good), Ok(()));
    }

    #[test]
    fn each_rule_is_seen_to_be_broken() {
        let refused = op(0, Asked::Write { value: 8, expected: None }, Told::Refused, 0, 1);
        let expecting =
            op(0, Asked::Write { value: 8, expected: Some(3) }, Told::Done { version: 5, value: 8 }, 0, 1);
        let cases: [(&str, Vec<Op>); 8] = [
            ("two values", vec![write(0, 7, 3, 0, 1), write(1, 8, 3, 0, 1)]),
            ("is at versions", vec![write(0, 7, 3, 0, 1), read(1, Asked::Read, 7, 4, 0, 1)]),
            ("refused, but", vec![refused, read(1, Asked::Read, 8, 1, 5, 6)]),
            ("expected 3", vec![expecting]),
            ("had ended", vec![write(0, 7, 5, 0, 1), write(1, 8, 4, 2, 3)]),
            ("had ended", vec![write(0, 7, 5, 0, 1), read(1, Asked::Fresh, 6, 4, 2, 3)]),
            ("had ended", vec![read(1, Asked::Read, 7, 5, 0, 1), read(1, Asked::Read, 6, 4, 2, 3)]),
            ("had ended", vec![write(1, 7, 5, 0, 1), read(1, Asked::Read, 6, 4, 2, 3)]),
        ];
        for (fault, ops) in cases {
            let told = check(&ops).unwrap_err();
            assert!(told.contains(fault), "{fault}: {told}");
        }
    }
}
