//! Both ends of replication: what a home gives out of some roots ([`Feed`]), and what a replica takes in
//! ([`Store::follow`], [`Store::install`]).

use crate::commit::{Incarnation, Position, TegaId};
use crate::path::Key;
use crate::tree::Version;

use super::homes::Away;
use super::watch::Lagging;
use super::{Error, Store};

/// How far a server has a root: two servers with equal ones have equal trees and histories up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which life of the root.
    pub incarnation: Incarnation,
    /// Its version.
    pub version: Version,
    /// A hash chained over the records of all its commits.
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
    /// Of the one that was given out before it: who has that one lacks none between.
    pub after: Position,
    /// Its record, projected to the roots of the feed.
    pub record: String,
}

/// The durable commits to some roots, in order, each once.
pub struct Feed {
    _todo: (),
}

impl Feed {
    /// The next commit that is durable, if there is one. [`Lagging`]: begin a new feed.
    pub fn next(&mut self) -> Result<Option<Sent>, Lagging> {
        Ok(None)
    }

    /// The position up to which a replica that has all that was given out has everything.
    pub fn position(&self) -> Position {
        Position(0)
    }

    /// Whether something was held back because it isn't durable yet: [`Store::flush`] helps.
    pub fn waits_for_disk(&self) -> bool {
        false
    }

    /// All roots of the feed at [`Feed::position`], as lines for [`Incoming::line`], in pieces of about 32 KiB; made as
    /// they are asked for, so that a large root isn't in memory twice.
    pub fn snapshot(&self) -> Box<dyn Iterator<Item = String> + Send> {
        Box::new(std::iter::empty())
    }
}

/// A snapshot on its way in.
pub struct Incoming {
    _todo: (),
}

impl Incoming {
    /// A snapshot of these roots, as their home has them.
    pub fn new(_home: TegaId, _roots: Vec<Key>) -> Incoming {
        Incoming { _todo: () }
    }

    /// Takes a line; the error says what is wrong with it.
    pub fn line(&mut self, _line: &str) -> Result<(), String> {
        Err("not there yet".into())
    }

    /// Everything has come.
    pub fn finish(self) -> Result<Snapshot, String> {
        Err("not there yet".into())
    }
}

/// A whole snapshot, to be installed.
pub struct Snapshot {
    _todo: (),
}

impl Store {
    /// How far this server has a root, a deleted one too.
    pub fn standing(&self, _root: &str) -> Option<Standing> {
        None
    }

    /// Begins to give out the commits to these roots, from what a replica has of each (`None`: nothing). `wake` is
    /// called after commits became visible or durable, by the committer's thread.
    pub fn feed(
        &self,
        _roots: Vec<Key>,
        _known: &[(Key, Option<Standing>)],
        _wake: impl Fn() + Send + Sync + 'static,
    ) -> (Feed, Start) {
        (Feed { _todo: () }, Start::Resume)
    }

    /// Applies records of a home in order, each with its version as it is. `done` is called once they are visible and,
    /// where their roots' durability is `always`, durable. [`Error::Diverged`]: a record doesn't follow from what is
    /// here, and neither it nor those after it were applied.
    pub fn follow(
        &self,
        _home: &TegaId,
        _records: Vec<String>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        done(Err(Error::Closed));
    }

    /// Replaces the snapshot's roots in one step, whatever they were. What they were is kept as one of the last three
    /// replaced states of each.
    pub fn install(&self, _snapshot: Snapshot, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        done(Err(Error::Closed));
    }

    /// Makes durable what is visible, whatever the durability of its roots.
    pub fn flush(&self, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        done(Ok(()));
    }

    /// Where this root's commits are made, or would be if it doesn't exist; [`Error::NoHome`]: nowhere.
    pub fn home(&self, _root: &str) -> Result<super::Home, Error> {
        Ok(super::Home::Here)
    }

    /// The roots that are recorded as another server's, in order.
    pub fn homes(&self) -> Vec<(Key, Away)> {
        Vec::new()
    }

    /// Records the homes of roots, `None`: here. Durable when `done` is called.
    pub fn set_homes(
        &self,
        _homes: Vec<(Key, Option<Away>)>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        done(Ok(()));
    }
}
