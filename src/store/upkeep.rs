//! The committer's upkeep of the log: when it is compacted, and how the store is emptied.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::committer::{Committer, MAX_PAUSE, answer};
use super::compact::Contents;
use super::event::{Change, Event};
use super::install::ephemeral_only;
use super::options::Durability;
use super::requests::Requests;
use super::state::{State, with_kept};
use super::{Done, Error, Health, Receipt, Shared, Submission};
use crate::commit::{Incarnation, Position, TegaId};
use crate::log::{Compaction, CompactionError};
use crate::path::Path;
use crate::system::now_ms;
use crate::tree::Node;

/// How much longer than after the last compaction the log becomes before the next.
const COMPACT_FACTOR: u64 = 4;

/// How many may wait for a compaction, or to clear after it.
const MAX_WAITING: usize = 1_000;

impl Committer {
    /// Empties the store: a log that begins anew.
    pub(super) fn clear(&mut self, by: Option<TegaId>, done: Done<Receipt>) {
        if self.compacting.running {
            if self.compacting.clears.len() >= MAX_WAITING {
                return answer(done, Err(Error::Busy));
            }
            // It would put back what is cleared now; its end is on its way.
            return self.compacting.clears.push((by, done));
        }
        // A full disk is no reason to refuse: this gives room.
        if let Health::ReadOnly(reason) = &self.health {
            return answer(done, Err(Error::ReadOnly { reason: reason.clone() }));
        }
        let mut state = State::new(Position(self.state.position.0 + 1));
        state.floor = state.position;
        state.homes = self.state.homes.clone();
        let store = Incarnation::draw();
        let requests = Requests::forgotten_up_to(state.position);
        if let Some(log) = &mut self.log {
            let contents = Contents::new(store, &state, requests.clone(), |_| false);
            let replaced = log.compaction().and_then(|mut compaction| {
                contents.write(&mut compaction, |_| false)?;
                log.finish(compaction)
            });
            match replaced {
                Ok(compacted) => self.replaced(compacted.after),
                Err(error) => return answer(done, Err(self.compaction_failed(&error))),
            }
        }
        let mut changes = Vec::new();
        {
            let overlay = self.shared.overlay();
            for (name, root) in self.state.live.iter() {
                let path = Path::from_checked(vec![name.clone()]);
                if let Some(present) = overlay.merge(&path, None) {
                    state.live = state.live.insert(name.clone(), Arc::new(ephemeral_only(present))).0;
                }
                if !root.ephemeral_only {
                    let before = Some(Node::Container(root.tree.top.clone()));
                    changes.push(Change { path, before, after: None, ephemeral: false });
                }
            }
        }
        *self.shared.requests() = requests;
        self.store = store;
        let mut event = Event {
            position: Some(state.position),
            time_ms: now_ms(),
            by,
            roots: Vec::new(),
            changes,
            rollback_to: None,
            durable: self.log.is_some(),
            created: Vec::new(),
            request: None,
            origin: None,
            breaks: Vec::new(),
        };
        let receipt =
            Receipt { position: state.position, versions: Vec::new(), durable: event.durable, applied: true };
        let dead = self.state.dead.iter().map(|(name, _)| name);
        event.breaks = self.state.live.iter().map(|(name, _)| name).chain(dead).cloned().collect();
        self.state = state;
        self.footprint.ease();
        self.synced_all();
        self.show(&[Arc::new(event)]);
        self.report();
        answer(done, Ok(receipt));
    }

    /// A compaction that somebody asked for, perhaps with less history.
    pub(super) fn compact(&mut self, history: Option<usize>, done: Done<()>) {
        if history.is_some() && self.compacting.running {
            if self.compacting.later.len() >= MAX_WAITING {
                return answer(done, Err(Error::Busy));
            }
            // It writes down what is to be forgotten; its end is on its way.
            return self.compacting.later.push((history, done));
        }
        if let Some(history) = history {
            self.forget(history);
        }
        if self.log.is_none() {
            return answer(done, Ok(()));
        }
        if let Health::ReadOnly(reason) = &self.health {
            return answer(done, Err(Error::ReadOnly { reason: reason.clone() }));
        }
        if self.compacting.waiting.len() >= MAX_WAITING {
            return answer(done, Err(Error::Busy));
        }
        self.compacting.waiting.push(done);
        self.start_compaction();
    }

    /// Forgets all but so many versions of each root beside the present one.
    fn forget(&mut self, history: usize) {
        self.footprint.ease();
        let live = self.state.live.iter().map(|(_, root)| &root.kept);
        let dead = self.state.dead.iter().map(|(_, tomb)| &tomb.kept);
        for kept in live.chain(dead) {
            with_kept(kept, |kept| {
                let most = history.saturating_add(1);
                kept.drain(..kept.len().saturating_sub(most));
            });
        }
    }

    pub(super) fn maybe_compact(&mut self) {
        let Some(log) = &self.log else { return };
        let limit = self.shared.options.compact_from.max(self.compacting.base.saturating_mul(COMPACT_FACTOR));
        if log.end().0 >= limit && self.health == Health::Ok {
            self.start_compaction();
        }
    }

    /// Compacts so that a full disk has room, not too often; see [`Compacting::rescue`](super::committer::Compacting).
    pub(super) fn make_room(&mut self) {
        let now = Instant::now();
        if self.compacting.rescue.is_some_and(|at| now < at) {
            return;
        }
        let first = self.shared.options.no_space_retry;
        self.compacting.pause = (self.compacting.pause * 2).clamp(first, first.max(MAX_PAUSE));
        self.compacting.rescue = Some(now + self.compacting.pause);
        self.start_compaction();
    }

    /// Something changed by which a compaction may make room.
    pub(super) fn room_may_be_made(&mut self) {
        if matches!(self.health, Health::NoSpace(_)) {
            (self.compacting.rescue, self.compacting.pause) = (None, Duration::ZERO);
        }
    }

    /// Starts a compaction in a thread of its own, which reports to the queue.
    pub(super) fn start_compaction(&mut self) {
        if self.compacting.running {
            return;
        }
        let Some(log) = &mut self.log else { return };
        let compaction = match log.compaction() {
            Ok(compaction) => compaction,
            Err(error) => return self.compacted(Err(error)),
        };
        let shared = self.shared.clone();
        let skip = |shared: &Shared, root: &str| shared.options.durability_of(root) == Durability::Memory;
        let requests = self.shared.requests().clone();
        let contents = Contents::new(self.store, &self.state, requests, |root| skip(&shared, root));
        self.compacting.running = true;
        let work = move || {
            let write = || {
                let mut compaction = compaction;
                contents.write(&mut compaction, |root| skip(&shared, root)).map(|()| compaction)
            };
            // The committer waits for this report, when it is to stop too.
            let written = catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|_| {
                Err(CompactionError::Abandoned(std::io::Error::other("the thread that wrote it panicked")))
            });
            shared.requeue(Submission::Compacted(written));
        };
        if let Err(error) =
            std::thread::Builder::new().name("tega-compact".into()).stack_size(super::open::STACK).spawn(work)
        {
            self.compacted(Err(CompactionError::Abandoned(error)));
        }
    }

    /// A compaction's file is written: put it in place.
    pub(super) fn compacted(&mut self, written: Result<Compaction, CompactionError>) {
        self.compacting.running = false;
        let Some(log) = &mut self.log else { return };
        let finished = written.and_then(|compaction| log.finish(compaction));
        let outcome = match finished {
            Ok(compacted) => {
                ::log::info!("log compacted from {} to {} bytes", compacted.before, compacted.after);
                if compacted.before.saturating_sub(compacted.after) > compacted.before / 8 {
                    (self.compacting.rescue, self.compacting.pause) = (None, Duration::ZERO);
                }
                self.replaced(compacted.after);
                self.synced_all();
                self.wake_held();
                Ok(())
            }
            Err(error) => {
                // Not again at once: the next try comes when the log has grown by the factor.
                self.compacting.base = self.compacting.base.max(log.end().0);
                Err(self.compaction_failed(&error))
            }
        };
        self.report();
        for done in std::mem::take(&mut self.compacting.waiting) {
            answer(done, outcome.clone());
        }
        for (by, done) in std::mem::take(&mut self.compacting.clears) {
            self.clear(by, done);
        }
        for (history, done) in std::mem::take(&mut self.compacting.later) {
            self.compact(history, done);
        }
    }

    /// A new log is in place, and all of it durable.
    fn replaced(&mut self, len: u64) {
        self.compactions = self.compactions.wrapping_add(1);
        self.compacting.base = len;
        self.sync_by = None;
        if matches!(self.health, Health::NoSpace(_)) {
            self.retry_at = Some(Instant::now());
        }
    }

    fn compaction_failed(&mut self, error: &CompactionError) -> Error {
        let reason = error.to_string();
        match error {
            CompactionError::NoSpace(_) => Error::NoSpace { reason },
            CompactionError::Failed(_) | CompactionError::Closed(_) => {
                ::log::error!("{reason}; restart to see what was kept");
                self.health = Health::ReadOnly(reason.clone());
                self.retry_at = None;
                Error::OutcomeUnknown { reason }
            }
            _ => {
                ::log::warn!("{reason}");
                Error::Bad { path: None, message: reason }
            }
        }
    }
}
