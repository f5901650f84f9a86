//! What a compacted log says: the oldest kept version of each root with the versions of its nodes, the kept commits
//! after it, and the outcomes of requests that no kept commit holds. `replay` reads it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::event::Event;
use super::requests::Requests;
use super::state::{Kept, Past, State, with_kept};
use crate::commit::{Incarnation, Position, TegaId};
use crate::log::{Compaction, CompactionError};
use crate::path::Key;
use crate::tree::write_states;
use crate::value::write_string;

/// About how long the lines of a base are.
const LINE: usize = 32 << 10;

/// How many request outcomes stand in one line.
const REQUESTS: usize = 100;

/// Everything that a compaction writes, taken at one moment; it costs pointers only.
pub(super) struct Contents {
    store: Incarnation,
    position: Position,
    roots: Vec<(Key, Vec<Past>)>,
    requests: Requests,
}

impl Contents {
    /// `skip` tells the roots that don't go to the log.
    pub(super) fn new(
        store: Incarnation,
        state: &State,
        requests: &Requests,
        skip: impl Fn(&str) -> bool,
    ) -> Contents {
        let live =
            state.live.iter().filter(|(_, root)| !root.ephemeral_only).map(|(name, root)| (name, &root.kept));
        let dead = state.dead.iter().map(|(name, tomb)| (name, &tomb.kept));
        let pasts = |kept: &Kept| with_kept(kept, |kept| kept.iter().cloned().collect());
        let roots = live.chain(dead).filter(|(name, _)| !skip(name));
        Contents {
            store,
            position: state.position,
            roots: roots.map(|(name, kept)| (name.clone(), pasts(kept))).collect(),
            requests: requests.clone(),
        }
    }

    /// Writes it all to the new log.
    pub(super) fn write(
        &self,
        compaction: &mut Compaction,
        skip: impl Fn(&str) -> bool,
    ) -> Result<(), CompactionError> {
        let (store, position, forgotten) = (self.store, self.position, self.requests.forgotten);
        record(compaction, |out| {
            write!(out, "{{\"store\":\"{store}\",\"position\":{position},\"forgotten\":{forgotten}}}")
        })?;
        let mut commits: BTreeMap<Position, &Arc<Event>> = BTreeMap::new();
        for (name, pasts) in &self.roots {
            let Some((base, later)) = pasts.split_first() else { continue };
            write_base(compaction, name, base)?;
            commits.extend(later.iter().filter_map(|past| Some((past.position, past.event.as_ref()?))));
        }
        self.write_requests(compaction, &commits)?;
        for event in commits.values() {
            if let Some(commit) = event.to_commit(&skip) {
                record(compaction, |out| commit.encode(out))?;
            }
        }
        record(compaction, |out| out.write_str("{\"compacted\":true}"))?;
        compaction.sync()
    }

    fn write_requests(
        &self,
        compaction: &mut Compaction,
        commits: &BTreeMap<Position, &Arc<Event>>,
    ) -> Result<(), CompactionError> {
        let lost: Vec<_> = self.requests.iter().filter(|(_, o)| !commits.contains_key(&o.position)).collect();
        for chunk in lost.chunks(REQUESTS) {
            record(compaction, |out| {
                out.write_str("{\"requests\":")?;
                for (i, (id, outcome)) in chunk.iter().enumerate() {
                    out.write_str(if i > 0 { ",[" } else { "[[" })?;
                    write_string(id, out)?;
                    write!(out, ",{},{},{{", outcome.crc, outcome.position)?;
                    for (i, (root, version)) in outcome.versions.iter().enumerate() {
                        out.write_str(if i > 0 { "," } else { "" })?;
                        write_string(root, out)?;
                        write!(out, ":{version}")?;
                    }
                    out.write_str("}]")?;
                }
                out.write_str("]}")
            })?;
        }
        Ok(())
    }
}

fn write_base(compaction: &mut Compaction, name: &Key, base: &Past) -> Result<(), CompactionError> {
    record(compaction, |out| {
        out.write_str("{\"base\":")?;
        write_string(name, out)?;
        let Past { version, incarnation, position, time_ms, .. } = base;
        write!(
            out,
            ",\"incarnation\":\"{incarnation}\",\"version\":{version},\"position\":{position},\"time\":{time_ms}"
        )?;
        if let Some(by) = base.by.as_ref().map(TegaId::as_str) {
            write!(out, ",\"by\":\"{by}\"")?;
        }
        out.write_str(if base.tree.is_none() { ",\"deleted\":true}" } else { "}" })
    })?;
    let mut result = Ok(());
    if let Some(tree) = &base.tree {
        write_states(tree, LINE, &mut |line| {
            if result.is_ok() {
                result = record(compaction, |out| out.write_str(&line));
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
