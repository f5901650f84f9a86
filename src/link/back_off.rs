//! How long a local waits before it opens its link again: at random, up to a bound that doubles with each failure
//! (full jitter), since routers that lost their global together mustn't come back together.

use std::time::Duration;

use super::register::random;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(500);

/// The bound of every wait.
const CAP: Duration = Duration::from_secs(30);

/// The longest that the global may ask to wait, in seconds.
const MAX_ASKED_S: u64 = 600;

/// Counts the failures in a row.
#[derive(Clone, Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// How long to wait now that a link ended or didn't come up. `held`: it was up for a while, which is no failure.
    /// `asked`: the global asked for so many seconds.
    pub fn wait(&mut self, held: bool, asked_s: Option<u64>) -> Duration {
        self.failures = if held { 0 } else { self.failures.saturating_add(1) };
        match asked_s {
            Some(seconds) => asked(seconds, random()),
            None => delay(self.failures.saturating_sub(1), random()),
        }
    }
}

/// How long to wait after so many failures in a row.
fn delay(failures: u32, random: u64) -> Duration {
    let bound = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(CAP);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random % nanos.max(1))
}

/// How long to wait where the global asked for so many seconds: not less, and not all at the same moment.
fn asked(seconds: u64, random: u64) -> Duration {
    Duration::from_secs(seconds.min(MAX_ASKED_S)) + Duration::from_millis(random % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_random_below_a_bound_that_doubles_up_to_half_a_minute() {
        for (failures, bound_ms) in
            [(0, 500), (1, 1_000), (2, 2_000), (5, 16_000), (6, 30_000), (u32::MAX, 30_000)]
        {
            let bound = Duration::from_millis(bound_ms);
            assert_eq!(delay(failures, 0), Duration::ZERO);
            assert_eq!(delay(failures, bound.as_nanos() as u64 - 1), bound - Duration::from_nanos(1));
            assert!(delay(failures, u64::MAX) < bound);
        }
        // It's spread over all of it.
        let step = u64::MAX / 1_000;
        let waits: Vec<Duration> = (0..1_000).map(|at| delay(6, at * step)).collect();
        for tenth in 0..10 {
            let from = CAP / 10 * tenth;
            let count = waits.iter().filter(|wait| (from..from + CAP / 10).contains(wait)).count();
            assert!((50..=150).contains(&count), "{tenth}: {count}");
        }
    }

    #[test]
    fn what_the_global_asks_for_is_honoured_within_reason() {
        assert_eq!(asked(5, 0), Duration::from_secs(5));
        assert_eq!(asked(5, 1_999), Duration::from_millis(5_999));
        assert_eq!(asked(u64::MAX, 0), Duration::from_secs(MAX_ASKED_S));
    }
}
