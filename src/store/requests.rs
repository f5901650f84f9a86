//! What came of the newest requests that had an ID, so that a retry gets the first answer.
//!
//! Those of commits that were followed are kept too, since the root's home may become this server; but apart, so that a
//! busy fleet neither pushes out nor replaces what this server's own clients may ask for. What came before a snapshot
//! isn't followed, and so a snapshot carries the outcomes of its roots: the newest, up to [`CARRIED`] bytes.
//!
//! **Which IDs can be judged.** One that is remembered is answered, at the home and, once the root is moved, at the new
//! one. Of one that isn't, only the form `@POSITION:ANYTHING` tells whether it may have been forgotten. The position must
//! be one of the root's home, as the receipt of a write to that root has it, wherever it was sent. It is refused as too
//! old
//!
//! - below the newest outcome that was dropped to make room;
//! - beyond what this server has reached: it is another server's, or of a store that was set back;
//! - where it is from before a root was taken over: of what the old home answered, not everything may have come along.
//!   Positions jump then, beyond all that the old home can have given out, so that its clients' old IDs are refused
//!   and new ones aren't taken for old.
//!
//! What isn't noticed is a position of another server's that happens to lie between; and an ID of any other form that was
//! forgotten is a new one.
//!
//! The record of outcomes is the same in a log and on a link, where the position is the home's and says nothing:
//!
//! ```json
//! {"requests":[["4f…",3735928559,17,{"lan":5}],["@12:x",48879,18,{"wan":0},true]]}
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write;

use smol_str::SmolStr;

use super::base::LINE;
use super::state::{Past, State};
use super::{Error, Receipt};
use crate::commit::{Position, Request};
use crate::path::Key;
use crate::tree::Version;
use crate::value::{Value, write_string};

/// Bytes of the outcomes that one snapshot carries: a small part of what a snapshot may have, and more than those of
/// two full tables with IDs and names of the usual length.
pub(super) const CARRIED: usize = 4 << 20;

/// Some outcomes with their IDs.
pub(super) type Outcomes = Vec<(SmolStr, Outcome)>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) crc: u32,
    pub(super) position: Position,
    pub(super) versions: Vec<(Key, Version)>,
    /// The commit was followed: its home was another server.
    pub(super) followed: bool,
}

impl Outcome {
    /// One that touched several roots may come in parts, with the snapshots of each.
    fn join(&mut self, other: &Outcome) {
        if self.crc != other.crc {
            return;
        }
        let is_new = |(root, _): &&(Key, Version)| self.versions.iter().all(|(known, _)| known != root);
        let others: Vec<_> = other.versions.iter().filter(is_new).cloned().collect();
        self.versions.extend(others);
        self.versions.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
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
    /// The newest position up to which outcomes may be missing: they were dropped to make room, or another server's.
    pub(super) forgotten: Position,
}

impl Requests {
    /// Nothing is remembered, and whatever was made before this position is too old.
    pub(super) fn forgotten_up_to(forgotten: Position) -> Requests {
        Requests { forgotten, ..Requests::default() }
    }

    /// The outcome of the same request before, if there was one. `reached`: the newest position. `is_of`: whether it's about
    /// this root. What another home answered counts for its own roots only: its clients choose IDs as they like, and it may
    /// say what it likes.
    pub(super) fn seen(
        &self,
        request: &Request,
        reached: Position,
        is_of: impl Fn(&Key) -> bool,
    ) -> Result<Option<Receipt>, Error> {
        let id = || request.id.to_string();
        let concerns =
            |outcome: &&Outcome| !outcome.followed || outcome.versions.iter().any(|(root, _)| is_of(root));
        let known = |table: &'_ Table| table.outcomes.get(&request.id).filter(concerns).cloned();
        let pending = self.pending.get(&request.id).filter(concerns).cloned();
        match pending.or_else(|| known(&self.own)).or_else(|| known(&self.followed)) {
            Some(outcome) if outcome.crc == request.crc => {
                let Outcome { position, versions, .. } = outcome;
                Ok(Some(Receipt { position, versions, durable: false, applied: true }))
            }
            Some(_) => Err(Error::RequestReused { id: id() }),
            // Its maker had seen a position, and everything after that position is remembered: it is new.
            None if made_at(&request.id).is_none_or(|made| (self.forgotten..=reached).contains(&made)) => {
                Ok(None)
            }
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

    /// A snapshot takes the place of these roots, in the state before it. Outcomes of versions that it doesn't have are
    /// void, as the versions are; its own count beside what was known.
    pub(super) fn install(
        &mut self,
        state: &State,
        roots: &[(Key, Option<Past>)],
        outcomes: Outcomes,
        limit: usize,
    ) {
        let taken: BTreeMap<&Key, &Option<Past>> = roots.iter().map(|(name, past)| (name, past)).collect();
        let is_void = |root: &Key, version: Version| {
            match (taken.get(root), state.standing(root)) {
                (Some(Some(past)), Some(stood)) => {
                    stood.incarnation != past.incarnation || version > past.version
                }
                (Some(None), _) => true,
                // Nothing tells which life of the root it was.
                (Some(Some(_)), None) | (None, _) => false,
            }
        };
        self.own.retain(is_void);
        self.followed.retain(is_void);
        let mut incoming: Outcomes = Vec::with_capacity(outcomes.len());
        let mut index: HashMap<SmolStr, usize> = HashMap::with_capacity(outcomes.len());
        for (id, mut outcome) in outcomes {
            let at = *index.entry(id.clone()).or_insert(incoming.len());
            let before = incoming.get(at).map(|(_, outcome)| outcome);
            if let Some(before) = before.or_else(|| self.followed.outcomes.get(&id)) {
                outcome.join(before);
            }
            match incoming.get_mut(at) {
                Some(same) => same.1 = outcome,
                None => incoming.push((id, outcome)),
            }
        }
        // At once: most of them may be known, and a table is long.
        self.followed.forget(|id| index.contains_key(id));
        for (id, outcome) in incoming {
            self.insert(id, outcome, limit);
        }
    }

    /// The outcomes up to a position that concern these roots, as far as they do, oldest first.
    pub(super) fn of(&self, roots: &[Key], up_to: Position) -> Outcomes {
        let roots: BTreeSet<&Key> = roots.iter().collect();
        let part = |(id, outcome): (&SmolStr, &Outcome)| {
            let concerns = |(root, _): &&(Key, Version)| roots.contains(root);
            // Most concern others, and cost no more than this look.
            outcome.versions.iter().find(concerns)?;
            let versions = outcome.versions.iter().filter(concerns).cloned().collect();
            Some((id.clone(), Outcome { versions, ..outcome.clone() }))
        };
        // What own clients were told comes last, so that it counts where an ID is in both.
        let all = self.followed.iter().chain(self.own.iter());
        let mut outcomes: Outcomes =
            all.filter(|(_, outcome)| outcome.position <= up_to).filter_map(part).collect();
        // Those that came with one snapshot have one position, and keep their order.
        outcomes.sort_by_key(|(_, outcome)| outcome.position);
        outcomes
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

    fn forget(&mut self, of: impl Fn(&SmolStr) -> bool) {
        let before = self.outcomes.len();
        self.outcomes.retain(|id, _| !of(id));
        if self.outcomes.len() < before {
            self.order.retain(|(_, id)| !of(id));
        }
    }

    /// Drops the versions that are void, and the outcomes that had no others.
    fn retain(&mut self, is_void: impl Fn(&Key, Version) -> bool) {
        let before = self.outcomes.len();
        self.outcomes.retain(|_, outcome| {
            if outcome.versions.iter().any(|(root, version)| is_void(root, *version)) {
                outcome.versions.retain(|(root, version)| !is_void(root, *version));
            }
            !outcome.versions.is_empty()
        });
        if self.outcomes.len() < before {
            let Table { outcomes, order } = self;
            order.retain(|(_, id)| outcomes.contains_key(id));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Outcome)> {
        self.order.iter().filter_map(|(_, id)| Some((id, self.outcomes.get(id)?)))
    }
}

/// An outcome as it stands in a record, without the roots that `skip` names; `None`: nothing of it is left.
pub(super) fn item(id: &str, outcome: &Outcome, skip: impl Fn(&str) -> bool) -> Option<String> {
    let mut versions = outcome.versions.iter().filter(|(root, _)| !skip(root)).peekable();
    versions.peek()?;
    let mut item = String::from("[");
    // Writing to a String can't fail.
    let _ = write_string(id, &mut item);
    let _ = write!(item, ",{},{},{{", outcome.crc, outcome.position);
    for (i, (root, version)) in versions.enumerate() {
        item.push_str(if i > 0 { "," } else { "" });
        let _ = write_string(root, &mut item);
        let _ = write!(item, ":{version}");
    }
    item.push_str(if outcome.followed { "},true]" } else { "}]" });
    Some(item)
}

/// The records of these items, none of them longer than [`LINE`] or than one item.
pub(super) fn lines(items: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut items = items.fuse();
    let mut line = String::new();
    std::iter::from_fn(move || {
        for item in items.by_ref() {
            if line.is_empty() {
                line = format!("{{\"requests\":[{item}");
            } else if line.len() + item.len() < LINE {
                line.push(',');
                line.push_str(&item);
            } else {
                let full = std::mem::replace(&mut line, format!("{{\"requests\":[{item}"));
                return Some(full + "]}");
            }
        }
        (!line.is_empty()).then(|| std::mem::take(&mut line) + "]}")
    })
}

/// The items that a snapshot carries: the newest, oldest first.
pub(super) fn carried(outcomes: &Outcomes) -> Vec<String> {
    let mut bytes = 0;
    let fits = |item: &String| {
        bytes += item.len() + 1;
        bytes <= CARRIED
    };
    let newest = outcomes.iter().rev().filter_map(|(id, outcome)| item(id, outcome, |_| false));
    let mut items: Vec<String> = newest.take_while(fits).collect();
    items.reverse();
    items
}

/// Reads the list of a record.
pub(super) fn read(requests: &Value) -> Result<Outcomes, String> {
    let bad = || "bad request outcome".to_string();
    let one = |request: &Value| {
        let members = request.as_list()?.items();
        let (members, followed) = match members {
            [members @ .., Value::Bool(followed)] => (members, *followed),
            members => (members, false),
        };
        let [Value::Text(id), Value::Int(crc), Value::Int(position), Value::Object(versions)] = members
        else {
            return None;
        };
        let version = |(root, version): &(Key, Value)| {
            let version = version.as_int().and_then(|v| u64::try_from(v).ok());
            Some((root.clone(), Version(version?)))
        };
        let outcome = Outcome {
            crc: u32::try_from(*crc).ok()?,
            position: Position(u64::try_from(*position).ok()?),
            versions: versions.members().iter().map(version).collect::<Option<_>>()?,
            followed,
        };
        Some((id.clone(), outcome))
    };
    let list = requests.as_list().ok_or_else(bad)?.items();
    list.iter().map(|request| one(request).ok_or_else(bad)).collect()
}

/// The position in an ID of the form `@POSITION:ANYTHING`.
fn made_at(id: &str) -> Option<Position> {
    let (position, _) = id.strip_prefix('@')?.split_once(':')?;
    position.parse().ok().map(Position)
}
