//! Ephemeral nodes: whose they are and since when.
//!
//! They aren't versioned state. The nodes themselves stand in each root's `present` tree; this table knows their
//! owners, and is what `present` is made anew from when a persistent change makes that the simplest way.
//!
//! Changes are journalled until the batch that made them is published, so that a batch which the disk refused leaves
//! nothing behind.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::{Error, SessionId};
use crate::commit::TegaId;
use crate::path::Path;
use crate::tree::{Node, Stamp, Tree};

/// The most ephemeral nodes of one session.
pub const MAX_EPHEMERAL_OF_SESSION: usize = 1_000;

/// The most ephemeral nodes of one store.
pub const MAX_EPHEMERAL: usize = 100_000;

/// An ephemeral node: whose it is and since when.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// Where it stands.
    pub path: Path,
    /// Whose it is.
    pub tega_id: TegaId,
    /// Which session's.
    pub session: SessionId,
    /// For how long it has stood unchanged.
    pub age: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) node: Node,
    pub(super) stamp: Stamp,
    pub(super) session: SessionId,
    pub(super) by: TegaId,
    pub(super) since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Overlay {
    leases: BTreeMap<Path, Lease>,
    counts: HashMap<SessionId, usize>,
    /// The change counter: never goes back, not even with the journal.
    counter: u64,
    /// What stood there before each change since the last `keep`.
    journal: Vec<(Path, Option<Lease>)>,
}

impl Overlay {
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// A new stamp for a node that is about to be put.
    pub(super) fn stamp(&mut self) -> Stamp {
        self.counter += 1;
        Stamp::ephemeral(self.counter)
    }

    /// Whether an ephemeral node stands strictly above the path.
    pub(super) fn above(&self, path: &Path) -> bool {
        !self.leases.is_empty() && (1..path.len()).any(|len| self.leases.contains_key(&path.prefix(len)))
    }

    /// Refuses what is persistent below an ephemeral node.
    pub(super) fn check_above(&self, path: &Path) -> Result<(), Error> {
        if !self.above(path) {
            return Ok(());
        }
        let message = "an ephemeral node stands above, and nothing persistent can be put below it".into();
        Err(Error::Ephemeral { path: path.clone(), message })
    }

    /// Whose ephemeral node stands at or above the path.
    pub(super) fn owner(&self, path: &Path) -> Option<&TegaId> {
        if self.leases.is_empty() {
            return None;
        }
        (1..=path.len()).find_map(|len| self.leases.get(&path.prefix(len))).map(|lease| &lease.by)
    }

    /// The ephemeral nodes at or below the path, in order.
    pub(super) fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Lease)> {
        // A path sorts just before everything below it.
        self.leases.range(path..).take_while(move |(at, _)| path.contains(at))
    }

    pub(super) fn any_below(&self, path: &Path) -> bool {
        !self.leases.is_empty() && self.below(path).next().is_some()
    }

    pub(super) fn of_session(&self, session: SessionId) -> Vec<Path> {
        if !self.counts.contains_key(&session) {
            return Vec::new();
        }
        self.leases.iter().filter(|(_, l)| l.session == session).map(|(path, _)| path.clone()).collect()
    }

    /// Refuses one node too many.
    pub(super) fn check_room(&self, path: &Path, session: SessionId) -> Result<(), Error> {
        let full = |what, limit| Error::TooLarge {
            path: Some(path.clone()),
            message: format!("{what} has {limit} ephemeral nodes, which is the most; delete some first"),
        };
        if self.leases.contains_key(path) {
            return Ok(());
        }
        if self.counts.get(&session).is_some_and(|count| *count >= MAX_EPHEMERAL_OF_SESSION) {
            return Err(full("the session", MAX_EPHEMERAL_OF_SESSION));
        }
        if self.leases.len() >= MAX_EPHEMERAL {
            return Err(full("the server", MAX_EPHEMERAL));
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, path: Path, lease: Lease) {
        let before = self.set(&path, Some(lease));
        self.journal.push((path, before));
    }

    /// Removes what stands at or below the path.
    pub(super) fn remove_below(&mut self, path: &Path) {
        let paths: Vec<Path> = self.below(path).map(|(at, _)| at.clone()).collect();
        for path in paths {
            let before = self.set(&path, None);
            self.journal.push((path, before));
        }
    }

    /// Removes what stands strictly above the path.
    pub(super) fn remove_above(&mut self, path: &Path) {
        for above in (1..path.len()).map(|len| path.prefix(len)) {
            if self.leases.contains_key(&above) {
                let before = self.set(&above, None);
                self.journal.push((above, before));
            }
        }
    }

    fn set(&mut self, path: &Path, lease: Option<Lease>) -> Option<Lease> {
        if let Some(lease) = &lease {
            *self.counts.entry(lease.session).or_default() += 1;
        }
        let before = match lease {
            Some(lease) => self.leases.insert(path.clone(), lease),
            None => self.leases.remove(path),
        };
        if let Some(before) = &before
            && let Some(count) = self.counts.get_mut(&before.session)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&before.session);
            }
        }
        before
    }

    /// Where the journal stands, for `undo_to`.
    pub(super) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes back what was changed since the mark.
    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.journal.len() > mark {
            if let Some((path, before)) = self.journal.pop() {
                self.set(&path, before);
            }
        }
    }

    /// What was changed is published: it can't be undone any more.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
    }

    /// A root's `present` tree: the persistent one with every ephemeral node of the root put in. `None` where there is
    /// neither.
    pub(super) fn merge(&self, root: &Path, tree: Option<&Tree>) -> Option<Tree> {
        let mut present = tree.cloned();
        for (path, lease) in self.below(root) {
            let (_, keys) = path.keys().split_first()?;
            let base = present.unwrap_or_else(|| Tree::new(lease.stamp));
            // It was put there once, and whatever came in its way since has removed it from this table.
            present = Some(match base.put_overlay(keys, lease.node.clone(), lease.stamp) {
                Ok(edit) => edit.tree,
                Err(_) => base,
            });
        }
        present
    }
}
