//! How many changes a second there were, for the sparkline.

use std::collections::VecDeque;

/// Seconds that are shown.
pub(super) const SECONDS: usize = 20;

/// Changes in each of the last seconds, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    seconds: VecDeque<usize>,
    now: usize,
    second: u64,
}

impl Rate {
    /// So many changes came.
    pub(super) fn add(&mut self, count: usize) {
        self.now += count;
    }

    /// The time is this, in milliseconds.
    pub(super) fn tick(&mut self, now: u64) {
        let second = now / 1_000;
        // After a long sleep nothing of before is shown.
        if second.saturating_sub(self.second) > SECONDS as u64 {
            self.seconds.clear();
            self.second = second;
        }
        while self.second < second {
            self.second += 1;
            self.seconds.push_back(std::mem::take(&mut self.now));
            if self.seconds.len() > SECONDS {
                self.seconds.pop_front();
            }
        }
    }

    /// Changes in the last whole second.
    pub(super) fn last(&self) -> usize {
        self.seconds.back().copied().unwrap_or(0)
    }

    /// Whether there's something to be seen that moves.
    pub(super) fn is_moving(&self) -> bool {
        self.now > 0 || self.seconds.iter().any(|count| *count > 0)
    }

    /// A bar for each second, from the lowest to the highest; a space for none.
    pub(super) fn bars(&self, bars: [char; 8]) -> String {
        let most = self.seconds.iter().copied().max().unwrap_or(0).max(1);
        let empty = SECONDS - self.seconds.len().min(SECONDS);
        let bar = |count: &usize| match count {
            0 => ' ',
            count => bars[(count * 7 / most).min(7)],
        };
        std::iter::repeat_n(' ', empty).chain(self.seconds.iter().map(bar)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_is_a_bar() {
        let mut rate = Rate::default();
        for (at, count) in [(0, 1), (1_000, 8), (2_500, 0), (3_000, 0)] {
            rate.tick(at);
            rate.add(count);
        }
        rate.tick(4_000);
        assert_eq!(rate.bars(['1', '2', '3', '4', '5', '6', '7', '8']).trim(), "18");
        assert_eq!(rate.last(), 0);
        rate.tick(10_000_000);
        assert!(!rate.is_moving());
    }
}
