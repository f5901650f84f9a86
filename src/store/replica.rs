//! Both ends of replication: what a home gives out of some roots ([`Feed`]), and what a replica takes in
//! ([`Store::follow`], [`Store::install`]).

use crate::commit::{Incarnation, Position, TegaId};
use crate::path::Key;
use crate::tree::Version;

use super::feed::{self, Feed};
use super::homes::{self, Away, Home};
use super::shared::{Done, Followed, Submission};
use super::snapshot::Snapshot;
use super::state::Past;
use super::{Error, Store, wait};

/// How far a server has a root: two servers with equal ones have equal trees and histories up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which life of the root.
    pub incarnation: Incarnation,
    /// Its version.
    pub version: Version,
    /// A hash chained over the records of all its commits, see [`Digest`](crate::commit::Digest). 0 for a state of
    /// which an older version kept none.
    pub digest: u64,
}

/// How a [`Feed`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the commits that the replica lacks.
    Resume,
    /// With a snapshot of all roots ([`Feed::snapshot`]): the history doesn't reach back, or incarnation or digest of
    /// a root differ.
    Snapshot,
}

/// A commit as it goes over a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its position at the home.
    pub position: Position,
    /// Of the one that was given out before it, or where the feed began: who has that lacks none between.
    pub after: Position,
    /// Its record, projected to the roots of the feed.
    pub record: String,
}

impl Store {
    /// How far this server has a root, a deleted one too.
    pub fn standing(&self, root: &str) -> Option<Standing> {
        self.shared().published().standing(root)
    }

    /// Begins to give out the commits to these roots, from what a replica has of each (`None`: nothing). `wake` is
    /// called after commits became visible or durable, by the committer's thread.
    ///
    /// Where a root's durability isn't `always`, it may wait for the disk once: not to be called by a `done` or `wake`.
    /// If the disk refuses, the feed lags from the beginning.
    pub fn feed(
        &self,
        roots: Vec<Key>,
        known: &[(Key, Option<Standing>)],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> (Feed, Start) {
        let flush = || wait(|done| self.flush(done));
        Feed::begin(self.shared(), &roots, known, Box::new(wake), flush)
    }

    /// As [`Store::feed`], without ever waiting for the disk. `None`: something isn't durable yet, and the history
    /// doesn't reach back to what is: try again after a [`Store::flush`].
    pub fn feed_now(
        &self,
        roots: &[Key],
        known: &[(Key, Option<Standing>)],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<(Feed, Start)> {
        Feed::try_begin(self.shared(), roots, known, Box::new(wake)).ok()
    }

    /// Applies records of a home in order, each with its version as it is; `roots` are those that may be in them. `done` is called once they are visible and,
    /// where their roots' durability is `always`, durable. [`Error::Diverged`]: a record doesn't follow from what is
    /// here, and neither it nor those after it were applied. Other errors: none were, or as the disk says.
    pub fn follow(
        &self,
        home: &TegaId,
        roots: &[Key],
        records: Vec<String>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let weight = records.iter().map(|record| record.len() + 128).sum();
        let followed = Followed { home: home.clone(), roots: roots.into(), records };
        self.ask(weight, Box::new(done), |done| Submission::Follow(followed, done));
    }

    /// Replaces the snapshot's roots in one step, whatever they were. What they were is kept as one of the last three
    /// replaced states of each.
    pub fn install(&self, snapshot: Snapshot, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.ask(0, Box::new(done), |done| Submission::Install(snapshot, done));
    }

    /// The states of a root that snapshots of its home replaced here, oldest first, three at the most.
    pub fn replaced(&self, root: &str) -> Vec<Past> {
        self.shared().published().replaced.get(root).map_or_else(Vec::new, |pasts| pasts.to_vec())
    }

    /// Whether nothing that is visible of a root waits for the disk: a [`Feed`] holds nothing of it back.
    pub fn is_on_disk(&self, root: &str) -> bool {
        let shared = self.shared();
        let position = shared.published().position_of(root);
        feed::is_memory(shared, root) || position.is_none_or(|position| position <= shared.synced())
    }

    /// Makes durable what is visible, whatever the durability of its roots.
    pub fn flush(&self, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.ask(0, Box::new(done), Submission::Flush);
    }

    /// Where this root's commits are made, or would be if it doesn't exist; [`Error::NoHome`]: nowhere.
    pub fn home(&self, root: &str) -> Result<Home, Error> {
        homes::home(&self.shared().published(), &self.shared().options.role, root)
    }

    /// The roots that are recorded as another server's, in order.
    pub fn homes(&self) -> Vec<(Key, Away)> {
        let state = self.shared().published();
        state.homes.iter().map(|(root, away)| (root.clone(), (**away).clone())).collect()
    }

    /// What is recorded of one root, if it is another server's.
    pub fn away(&self, root: &str) -> Option<Away> {
        self.shared().published().homes.get(root).map(|away| (**away).clone())
    }

    /// Records the homes of roots, `None`: here. Durable when `done` is called.
    pub fn set_homes(
        &self,
        homes: Vec<(Key, Option<Away>)>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        self.ask(0, Box::new(done), |done| Submission::Homes(homes, done));
    }

    fn ask(&self, weight: usize, done: Done<()>, make: impl FnOnce(Done<()>) -> Submission) {
        if let Err((error, done)) = self.shared().submit(weight, done, make) {
            done(Err(error));
        }
    }
}
