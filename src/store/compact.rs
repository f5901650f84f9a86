//! What a compacted log says: the oldest kept version of each root with the versions of its nodes, the kept commits
//! after it, and the outcomes of requests that no kept commit holds. `replay` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::sync::Arc;

use super::base::{LINE, header};
use super::event::Event;
use super::homes::{Away, homes_lines};
use super::requests::{self, Requests};
use super::state::{Kept, Past, State, with_kept};
use crate::commit::{Incarnation, Position};
use crate::log::{Compaction, CompactionError};
use crate::path::Key;
use crate::tree::write_states;

/// Everything that a compaction writes, taken at one moment; it costs pointers only.
pub(super) struct Contents {
    store: Incarnation,
    position: Position,
    floor: Position,
    homes: Vec<(Key, Option<Away>)>,
    replaced: Vec<(Key, Arc<Vec<Past>>)>,
    roots: Vec<(Key, Vec<Past>)>,
    requests: Requests,
}

impl Contents {
    /// `skip` tells the roots that don't go to the log.
    pub(super) fn new(
        store: Incarnation,
        state: &State,
        requests: Requests,
        skip: impl Fn(&str) -> bool,
    ) -> Contents {
        let live =
            state.live.iter().filter(|(_, root)| !root.ephemeral_only).map(|(name, root)| (name, &root.kept));
        let dead = state.dead.iter().map(|(name, tomb)| (name, &tomb.kept));
        let pasts = |kept: &Kept| with_kept(kept, |kept| kept.iter().cloned().collect());
        let roots = live.chain(dead).filter(|(name, _)| !skip(name));
        let replaced = state.replaced.iter().filter(|(name, _)| !skip(name));
        Contents {
            store,
            position: state.position,
            floor: state.floor,
            homes: state.homes.iter().map(|(root, away)| (root.clone(), Some((**away).clone()))).collect(),
            replaced: replaced.map(|(root, pasts)| (root.clone(), pasts.clone())).collect(),
            roots: roots.map(|(name, kept)| (name.clone(), pasts(kept))).collect(),
            requests,
        }
    }

    /// Writes it all to the new log.
    pub(super) fn write(
        &self,
        compaction: &mut Compaction,
        skip: impl Fn(&str) -> bool,
    ) -> Result<(), CompactionError> {
        record(compaction, |out| {
            write_store(self.store, self.position, self.requests.forgotten, self.floor, out)
        })?;
        for line in homes_lines(&self.homes) {
            record(compaction, |out| out.write_str(&line))?;
        }
        for (name, pasts) in &self.replaced {
            for past in pasts.iter() {
                base_lines("replaced", name, past, &mut |line| {
                    record(compaction, |out| out.write_str(&line))
                })?;
            }
        }
        // The commits after the bases, and the roots whose history each of them is still a part of: of others even
        // the name may be taken by another root now.
        let mut commits: BTreeMap<Position, (&Arc<Event>, BTreeSet<&str>)> = BTreeMap::new();
        for (name, pasts) in &self.roots {
            let Some((base, later)) = pasts.split_first() else { continue };
            base_lines("base", name, base, &mut |line| record(compaction, |out| out.write_str(&line)))?;
            for past in later {
                let Some(event) = &past.event else { continue };
                let (_, roots) = commits.entry(past.position).or_insert_with(|| (event, BTreeSet::new()));
                roots.insert(name);
            }
        }
        let mut requests: BTreeSet<Position> = BTreeSet::new();
        let whole = |event: &Event, roots: &BTreeSet<&str>| {
            event.roots.iter().all(|(root, ..)| skip(root) || roots.contains(&**root))
        };
        for (position, (event, roots)) in &commits {
            if event.request.is_some() && whole(event, roots) {
                requests.insert(*position);
            }
        }
        self.write_requests(compaction, &requests, &skip)?;
        for (position, (event, roots)) in &commits {
            let skip = |root: &str| !roots.contains(root);
            if event.is_logged(skip) {
                let request = event.request.as_ref().filter(|_| requests.contains(position));
                record(compaction, |out| event.encode(skip, request, out))?;
            }
        }
        record(compaction, |out| out.write_str("{\"compacted\":true}"))?;
        compaction.sync()
    }

    fn write_requests(
        &self,
        compaction: &mut Compaction,
        in_commits: &BTreeSet<Position>,
        skip: impl Fn(&str) -> bool,
    ) -> Result<(), CompactionError> {
        let others = self.requests.iter().filter(|(_, outcome)| !in_commits.contains(&outcome.position));
        for line in requests::lines(others.filter_map(|(id, outcome)| requests::item(id, outcome, &skip))) {
            record(compaction, |out| out.write_str(&line))?;
        }
        Ok(())
    }
}

/// The record that says which store this is and where its counters stand.
pub(super) fn write_store(
    store: Incarnation,
    position: Position,
    forgotten: Position,
    floor: Position,
    out: &mut impl Write,
) -> fmt::Result {
    write!(
        out,
        "{{\"store\":\"{store}\",\"position\":{position},\"forgotten\":{forgotten},\"floor\":{floor}}}"
    )
}

/// Gives the lines that say what a version of a root is, ended by the first error. `kind` is the first one's first
/// member.
pub(super) fn base_lines<E>(
    kind: &str,
    name: &Key,
    base: &Past,
    emit: &mut impl FnMut(String) -> Result<(), E>,
) -> Result<(), E> {
    emit(header(kind, name, base))?;
    let mut result = Ok(());
    if let Some(tree) = &base.tree {
        write_states(tree, LINE, &mut |line| {
            if result.is_ok() {
                result = emit(line);
            }
        });
    }
    result
}

/// Adds a record that is written as text.
pub(super) fn record(
    compaction: &mut Compaction,
    write: impl FnOnce(&mut Text<'_>) -> fmt::Result,
) -> Result<(), CompactionError> {
    compaction.record(|out| {
        // Memory can't refuse what is written to it.
        let _ = write(&mut Text(out));
    })
}

/// Text into a buffer of bytes.
pub(super) struct Text<'a>(pub(super) &'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
