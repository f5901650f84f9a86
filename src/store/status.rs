//! How the store is doing.

use super::Durability;
use crate::commit::{Incarnation, Position};
use crate::log::Written;
use crate::path::Key;
use crate::tree::Version;

/// How the store is doing, for `/_status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// The roots with their versions.
    pub roots: Vec<(Key, Version, Incarnation)>,
    /// The newest commit.
    pub position: Position,
    /// How many submissions wait for the committer.
    pub queue: usize,
    /// Whether writes are taken.
    pub health: Health,
    /// Open interactive transactions.
    pub transactions: usize,
    /// Watches.
    pub watches: usize,
    /// Ephemeral nodes.
    pub ephemeral: usize,
    /// The log; `None` for a store in memory.
    pub log: Option<LogStatus>,
    /// The durability of roots that aren't named.
    pub durability: Durability,
    /// The durability of single roots.
    pub durability_of: Vec<(Key, Durability)>,
}

/// How the log is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// Its length in bytes.
    pub bytes: u64,
    /// Up to where it is known to be on the disk.
    pub durable: u64,
    /// How often it was compacted since the start.
    pub compactions: u32,
    /// What was written to the disk since the start.
    pub written: Written,
}

/// Whether writes are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They are.
    Ok,
    /// Not until there is room on the disk again; it is tried every 10 s.
    NoSpace(String),
    /// Not before a restart: the disk failed.
    ReadOnly(String),
}
