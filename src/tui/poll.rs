//! When a view that isn't told of changes asks again.
//!
//! An answer about thousands of links costs the server, so the pause grows with the time that an answer takes: nobody is busy
//! with a screen for more than a twentieth of their time.

/// The longest pause while the server doesn't answer, in milliseconds.
const MAX_PAUSE: u64 = 10_000;

/// Times in milliseconds of the screen's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Poll {
    /// When the question was asked that has no answer yet.
    asked: Option<u64>,
    due: u64,
    pause: u64,
}

impl Poll {
    /// Whether it's time to ask; if so, it counts as asked.
    pub(super) fn is_due(&mut self, now: u64) -> bool {
        let is_due = self.asked.is_none() && now >= self.due;
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// The answer came, or the reason why there's none. `every`: the least pause until the next question.
    pub(super) fn answered(&mut self, now: u64, every: u64, is_good: bool) {
        let took = now.saturating_sub(self.asked.take().unwrap_or(now));
        self.pause = if is_good { every.max(took * 20) } else { (self.pause.max(every) * 2).min(MAX_PAUSE) };
        self.due = now + self.pause;
    }

    /// It's to be asked again as soon as nothing is awaited.
    pub(super) fn soon(&mut self) {
        self.due = 0;
    }

    /// The pause that it makes at present.
    pub(super) fn pause(&self) -> u64 {
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_time_that_an_answer_takes() {
        let mut poll = Poll::default();
        assert!(poll.is_due(0) && !poll.is_due(5_000), "one question at a time");
        poll.answered(10, 1_000, true);
        assert!(!poll.is_due(1_009) && poll.is_due(1_010));
        poll.answered(1_110, 1_000, true);
        assert!(!poll.is_due(3_109) && poll.is_due(3_110));
        for pause in [4_000, 8_000, 10_000, 10_000] {
            poll.answered(5_000, 1_000, false);
            assert_eq!(poll.pause(), pause);
            poll.soon();
            assert!(poll.is_due(5_000));
        }
    }
}
