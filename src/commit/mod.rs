//! # One atomic change
//!
//! A [`Commit`] is what the log keeps, what history shows and what links will carry: who changed what, when, and
//! which versions came of it. It is *what happened*, not what was asked for: expectations are gone, and a rollback
//! stands as the puts and deletes that led to the old state.
//!
//! Beside it live the small types that name things across the whole program: [`TegaId`], [`Position`],
//! [`Incarnation`].
//!
//! `record` holds both ends of the text that a commit has in the log, `digest` the hash that is chained over it.

mod digest;
mod record;

pub use digest::Digest;
pub use record::Record;

use std::fmt;

use smol_str::SmolStr;

use crate::path::{Key, Path};
use crate::value::Value;

/// The ID of whoever acts: 1 to [`MAX_TEGA_ID`] of letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TegaId(SmolStr);

/// The longest tega ID, in characters.
pub const MAX_TEGA_ID: usize = 64;

impl TegaId {
    /// How a caller without a tega ID is shown.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// Checks and takes a tega ID.
    pub fn new(text: &str) -> Result<TegaId, BadId> {
        let fits = (1..=MAX_TEGA_ID).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            Ok(TegaId(text.into()))
        } else {
            Err(BadId(text.chars().take(80).collect()))
        }
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TegaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that isn't a tega ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadId(String);

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tega ID {:?}: 1 to {MAX_TEGA_ID} letters, digits, \"-\" or \"_\" wanted", self.0)
    }
}

impl std::error::Error for BadId {}

/// The number of a commit in its store, from 1: one counter for all roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Beyond this no version or position is taken from another server. Whoever counts honestly never comes near it; and what
/// is added to it here still fits the numbers of a log, which could otherwise not be opened again.
pub const MAX_COUNTER: u64 = 1 << 62;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 64 random bits drawn when a root is created; written as 16 hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// A new one, from the operating system's randomness.
    pub fn draw() -> Incarnation {
        // Without randomness two stores might agree by chance on a number that says "the same root": the clock and
        // the address of a local keep them apart well enough on a system that is that broken.
        let fallback = || {
            let here = 0u8;
            let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos() as u64);
            now.rotate_left(20) ^ (&raw const here as usize as u64)
        };
        Incarnation(getrandom::u64().unwrap_or_else(|_| fallback()))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for Incarnation {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Incarnation, Self::Err> {
        u64::from_str_radix(text, 16).map(Incarnation)
    }
}

/// What a commit did at one path.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// The subtree at the path became this value.
    Put(Path, Value),
    /// The node went, and each parent that it left empty.
    Delete(Path),
}

impl Edit {
    /// Where.
    pub fn path(&self) -> &Path {
        let (Edit::Put(path, _) | Edit::Delete(path)) = self;
        path
    }
}

/// What a commit did to one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The root's name.
    pub root: Key,
    /// The version that the commit gave it.
    pub version: u64,
    /// Set where the commit created the root.
    pub incarnation: Option<Incarnation>,
    /// For a rollback: the version whose state this is.
    pub rollback_to: Option<u64>,
}

/// A request ID and the checksum of what was asked under it, so that a retry can be told from a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As the client chose it.
    pub id: SmolStr,
    /// CRC-32 of the operations as they were asked for.
    pub crc: u32,
}

/// One atomic change, as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Its place in the order of all commits.
    pub position: Position,
    /// Milliseconds since 1970 by the clock of the home: information only, never an order.
    pub time_ms: u64,
    /// Who did it; `None` is shown as `anonymous`.
    pub by: Option<TegaId>,
    /// The roots it touched, each once, in the order of their names.
    pub roots: Vec<Touched>,
    /// What it did, in order.
    pub edits: Vec<Edit>,
    /// Set where the client named its request.
    pub request: Option<Request>,
}
