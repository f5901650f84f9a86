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
    /// How many bytes the data and their history may take in memory, about: no limit.
    pub data: u64,
    /// How many events a watch holds back before it is `Lagging`: 1,024.
    pub watch_queue: usize,
    /// How many bytes of values these may hold: 8 MiB.
    pub watch_bytes: u64,
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
            data: u64::MAX,
            watch_queue: 1_024,
            watch_bytes: 8 << 20,
            compact_from: 1 << 20,
            no_space_retry: Duration::from_secs(10),
            tombstones: 1_000,
            requests: 10_000,
            role: super::Role::Leads,
        }
    }
}

impl Options {
    /// These on a machine with so many bytes of memory: what grows with use gets its part of it.
    #[must_use]
    pub fn within(self, memory: u64) -> Options {
        // On 64 MB of RAM 16 MiB of data, 2 MiB of waiting commits, 2 MiB of each watch, 2,500 request IDs.
        let part = |of: u64, most: usize| usize::try_from(memory / of).unwrap_or(usize::MAX).min(most);
        Options {
            data: memory / 4,
            queue_bytes: part(32, self.queue_bytes).max(1 << 20),
            queue: part(16 << 10, self.queue).max(256),
            watch_bytes: (memory / 32).clamp(1 << 20, self.watch_bytes.max(1 << 20)),
            requests: part(26_843, self.requests).max(100),
            ..self
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_with_use_gets_its_part_of_the_memory() {
        for (mib, data, queue_bytes, queue, watch_bytes, requests) in [
            (16, 4 << 20, 1 << 20, 1_024, 1 << 20, 625),
            (64, 16 << 20, 2 << 20, 4_096, 2 << 20, 2_500),
            (128, 32 << 20, 4 << 20, 8_192, 4 << 20, 5_000),
            (256, 64 << 20, 8 << 20, 16_384, 8 << 20, 10_000),
            (16 << 10, 4 << 30, 8 << 20, 16_384, 8 << 20, 10_000),
        ] {
            let options = Options::default().within(mib << 20);
            let bounds =
                (options.data, options.queue_bytes, options.queue, options.watch_bytes, options.requests);
            assert_eq!(bounds, (data, queue_bytes, queue, watch_bytes, requests), "{mib} MiB");
        }
        assert!(Options::default().within(0).queue > 0);
    }
}
