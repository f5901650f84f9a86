//! How a store behaves.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::path::Key;

/// When a commit is safe from a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged or seen by anybody.
    Always,
    /// At most this long after; until then it is acknowledged as not durable.
    Interval(Duration),
    /// When the operating system likes, and at a clean stop.
    None,
    /// Never: the root isn't in the log and begins anew with each start.
    Memory,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Always => f.write_str("always"),
            Durability::Interval(time) => write!(f, "interval:{}", time.as_millis()),
            Durability::None => f.write_str("none"),
            Durability::Memory => f.write_str("memory"),
        }
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Durability, String> {
        match text {
            "always" => Ok(Durability::Always),
            "none" => Ok(Durability::None),
            "memory" => Ok(Durability::Memory),
            _ => {
                let ms = text.strip_prefix("interval:").and_then(|ms| ms.parse().ok()).filter(|ms| *ms > 0);
                let ms = ms.ok_or_else(|| {
                    format!("durability {text:?}: always, interval:MS, none or memory wanted")
                })?;
                Ok(Durability::Interval(Duration::from_millis(ms)))
            }
        }
    }
}

/// How a store behaves; the defaults suit a router.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many versions of a root are kept beside the present one: 10.
    pub history: usize,
    /// The durability of every root not named in `durability_of`: always.
    pub durability: Durability,
    /// The durability of single roots.
    pub durability_of: Vec<(Key, Durability)>,
    /// How many commits may wait for the disk: 16,384. Beyond it [`Error::Busy`](super::Error::Busy).
    pub queue: usize,
    /// How many bytes of values may wait for the disk, or be queued in interactive transactions: 8 MiB.
    pub queue_bytes: usize,
    /// How many events a watch holds back before it is `Lagging`: 1,024.
    pub watch_queue: usize,
    /// The log is compacted when it is four times as long as after the last compaction, and at least this long: 1 MiB.
    pub compact_from: u64,
    /// How long a full disk is left alone before it is tried again: 10 s.
    pub no_space_retry: Duration,
    /// How many deleted roots are remembered: 1,000.
    pub tombstones: usize,
    /// How many request IDs are remembered: 10,000.
    pub requests: usize,
    /// Which roots this server is home of: all that aren't recorded as another's.
    pub role: super::Role,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            history: 10,
            durability: Durability::Always,
            durability_of: Vec::new(),
            queue: 16_384,
            queue_bytes: 8 << 20,
            watch_queue: 1_024,
            compact_from: 1 << 20,
            no_space_retry: Duration::from_secs(10),
            tombstones: 1_000,
            requests: 10_000,
            role: super::Role::Leads,
        }
    }
}

impl Options {
    /// Whether nothing is seen before it is durable.
    pub(super) fn all_durable(&self) -> bool {
        let durable = |durability: &Durability| *durability == Durability::Always;
        durable(&self.durability) && self.durability_of.iter().all(|(_, d)| durable(d))
    }

    /// Whether a root may be in memory only.
    pub(super) fn any_in_memory(&self) -> bool {
        self.durability == Durability::Memory
            || self.durability_of.iter().any(|(_, durability)| *durability == Durability::Memory)
    }

    /// The durability of this root.
    pub fn durability_of(&self, root: &str) -> Durability {
        self.durability_of.iter().find(|(name, _)| name == root).map_or(self.durability, |(_, d)| *d)
    }
}
