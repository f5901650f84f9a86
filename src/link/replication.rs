//! The machine: what comes in goes to handshake, source or follower.

use super::{Books, Effect, Input, Want};
use crate::commit::{Incarnation, Position, TegaId};
use crate::message::link::Refused;
use crate::path::Key;
use crate::tree::Version;

/// Handshake and replication of one link, on one side.
pub struct Replication {
    own: TegaId,
}

/// How this side is doing as a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The home's position up to which everything is applied here.
    pub applied: Position,
    /// The last position of the home that was heard of.
    pub heard: Position,
    /// Milliseconds since this side was last known to have everything; 0: it has.
    pub stale_ms: u64,
}

impl Replication {
    /// The local's side. The first effect is the LINK frame. `instance` is drawn once per run of the program.
    pub fn dial(
        own: TegaId,
        _instance: Incarnation,
        _follow: &[Key],
        _serve: &[Key],
        _now: u64,
        _books: &dyn Books,
        _out: &mut Vec<Effect>,
    ) -> Replication {
        Replication { own }
    }

    /// The side that was called. `global`: where this server is a local itself, which takes no links, its global.
    pub fn accept(own: TegaId, _global: Option<&str>, _now: u64) -> Replication {
        Replication { own }
    }

    /// Takes an input and appends what is to be done. `now`: milliseconds of any clock that doesn't go back.
    pub fn take(&mut self, _input: Input<'_>, _now: u64, _books: &dyn Books, _out: &mut Vec<Effect>) {}

    /// Whether the next frame may be given to it. It may become false with each frame, and true with an outcome.
    pub fn reads(&self) -> bool {
        true
    }

    /// What it would have of the feed, if the socket has room.
    pub fn wants(&self) -> Option<Want> {
        None
    }

    /// When it wants a [`Input::Tick`], by the clock of `now`; `None`: nothing to wait for.
    pub fn wakes_at(&self) -> Option<u64> {
        None
    }

    /// Whether the handshake is done.
    pub fn is_linked(&self) -> bool {
        false
    }

    /// Who is at the other end, when the handshake is done.
    pub fn peer(&self) -> Option<&TegaId> {
        Some(&self.own)
    }

    /// The roots that this side is the source of.
    pub fn sends(&self) -> &[Key] {
        &[]
    }

    /// The roots that this side follows.
    pub fn follows(&self) -> &[Key] {
        &[]
    }

    /// The roots that the link was to carry and doesn't.
    pub fn refused(&self) -> &[Refused] {
        &[]
    }

    /// What is wrong though the link is up.
    pub fn problem(&self) -> Option<&str> {
        None
    }

    /// As a follower.
    pub fn followed(&self, _now: u64) -> Followed {
        Followed { applied: Position(0), heard: Position(0), stale_ms: 0 }
    }

    /// As a source: the position that the other end acknowledged, and the last one sent.
    pub fn acknowledged(&self) -> (Position, Position) {
        (Position(0), Position(0))
    }

    /// The other end's version of a root that this side is the source of, when it was last known.
    pub fn version_there(&self, _root: &str) -> Option<Version> {
        None
    }
}
