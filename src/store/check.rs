//! Judges a log's records without opening a store: what a repair keeps must be what a start takes.

use super::options::Options;
use super::replay::Replay;
use crate::log::Offset;

/// The records of one log, judged in their order as [`Store::open`](super::Store::open) would. It holds the state that
/// they lead to.
pub struct Check(Replay);

impl Check {
    /// Before the first record.
    pub fn new() -> Check {
        // Limits of an option only say how much is kept, never what is taken.
        Check(Replay::new(&Options::default()))
    }

    /// Judges the next record, which ends at `offset`. The error says what is wrong with it; none may follow it.
    pub fn record(&mut self, offset: Offset, text: &str) -> Result<(), String> {
        self.0.record(offset, text)
    }
}

impl Default for Check {
    fn default() -> Check {
        Check::new()
    }
}
