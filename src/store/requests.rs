//! What came of the newest requests that had an ID, so that a retry gets the first answer.
//!
//! Those of commits that were followed are kept too, since the root's home may become this server; but apart, so that a
//! busy fleet neither pushes out nor replaces what this server's own clients may ask for.

use std::collections::{HashMap, VecDeque};

use smol_str::SmolStr;

use super::{Error, Receipt};
use crate::commit::{Position, Request};
use crate::path::Key;
use crate::tree::Version;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) crc: u32,
    pub(super) position: Position,
    pub(super) versions: Vec<(Key, Version)>,
    /// The commit was followed: its home was another server.
    pub(super) followed: bool,
}

/// Outcomes by their IDs.
#[derive(Clone, Debug, Default)]
struct Table {
    outcomes: HashMap<SmolStr, Outcome>,
    /// Oldest first.
    order: VecDeque<(Position, SmolStr)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    own: Table,
    followed: Table,
    /// Those of the batch that is being written; `keep` or `forget` decides.
    pending: HashMap<SmolStr, Outcome>,
    /// The newest position whose outcome was dropped to make room.
    pub(super) forgotten: Position,
}

impl Requests {
    /// Nothing is remembered, and whatever was made before this position is too old.
    pub(super) fn forgotten_up_to(forgotten: Position) -> Requests {
        Requests { forgotten, ..Requests::default() }
    }

    /// The outcome of the same request before, if there was one.
    pub(super) fn seen(&self, request: &Request) -> Result<Option<Receipt>, Error> {
        let id = || request.id.to_string();
        let known = |table: &'_ Table| table.outcomes.get(&request.id).cloned();
        let pending = self.pending.get(&request.id).cloned();
        match pending.or_else(|| known(&self.own)).or_else(|| known(&self.followed)) {
            Some(outcome) if outcome.crc == request.crc => {
                let Outcome { position, versions, .. } = outcome;
                Ok(Some(Receipt { position, versions, durable: false, applied: true }))
            }
            Some(_) => Err(Error::RequestReused { id: id() }),
            // Its maker had seen a position, and everything after that position is remembered: it is new.
            None if made_at(&request.id).is_none_or(|made| made >= self.forgotten) => Ok(None),
            None => Err(Error::RequestTooOld { id: id() }),
        }
    }

    pub(super) fn add_pending(&mut self, id: SmolStr, outcome: Outcome) {
        // Of two with one ID in a batch, what this server's own client was told counts.
        if !(outcome.followed && self.pending.contains_key(&id)) {
            self.pending.insert(id, outcome);
        }
    }

    /// The batch failed.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// The batch is on its way to everybody.
    pub(super) fn keep_pending(&mut self, limit: usize) {
        if self.pending.is_empty() {
            return;
        }
        let mut pending: Vec<_> = self.pending.drain().collect();
        pending.sort_by_key(|(_, outcome)| outcome.position);
        for (id, outcome) in pending {
            self.insert(id, outcome, limit);
        }
    }

    pub(super) fn insert(&mut self, id: SmolStr, outcome: Outcome, limit: usize) {
        let followed = outcome.followed;
        let table = if followed { &mut self.followed } else { &mut self.own };
        let dropped = table.insert(id, outcome, limit);
        if !followed {
            self.forgotten = self.forgotten.max(dropped);
        }
    }

    /// All that is remembered, oldest first, what was followed last.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Outcome)> {
        self.own.iter().chain(self.followed.iter())
    }
}

impl Table {
    /// Returns the newest position of those that were dropped to make room.
    fn insert(&mut self, id: SmolStr, outcome: Outcome, limit: usize) -> Position {
        let position = outcome.position;
        if self.outcomes.insert(id.clone(), outcome).is_some() {
            self.order.retain(|(_, other)| *other != id);
        }
        // At the end, except for what a compacted log says in another order.
        let at = match self.order.back() {
            Some((last, _)) if *last > position => self.order.partition_point(|(p, _)| *p <= position),
            _ => self.order.len(),
        };
        self.order.insert(at, (position, id));
        let mut dropped = Position(0);
        while self.order.len() > limit {
            if let Some(old) = self.order.pop_front().and_then(|(_, id)| self.outcomes.remove(&id)) {
                dropped = dropped.max(old.position);
            }
        }
        dropped
    }

    fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Outcome)> {
        self.order.iter().filter_map(|(_, id)| Some((id, self.outcomes.get(id)?)))
    }
}

/// The position in an ID of the form `@POSITION:ANYTHING`.
fn made_at(id: &str) -> Option<Position> {
    let (position, _) = id.strip_prefix('@')?.split_once(':')?;
    position.parse().ok().map(Position)
}
