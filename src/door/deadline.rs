//! A deadline that is moved with every request and hardly ever reached: the timer behind it is only touched when the
//! deadline comes closer, or when it fires and finds that there's time left.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use smol::Timer;

/// A point in time that a task waits for beside other things.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    armed: Option<(Timer, Instant)>,
}

impl Deadline {
    /// So far from now.
    pub(super) fn after(time: Duration) -> Deadline {
        Deadline { at: Instant::now() + time, armed: None }
    }

    /// Moves it to so far from now.
    pub(super) fn set(&mut self, time: Duration) {
        self.at = Instant::now() + time;
    }

    /// Moves it to a point in time.
    pub(super) fn set_at(&mut self, at: Instant) {
        self.at = at;
    }

    /// Ready once it has passed; else the task is woken when it has.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (timer, armed) = self.armed.get_or_insert_with(|| (Timer::at(self.at), self.at));
        if self.at < *armed {
            timer.set_at(self.at);
            *armed = self.at;
        }
        while Pin::new(&mut *timer).poll(context).is_ready() {
            if Instant::now() >= self.at {
                // A timer that has fired never does so again.
                self.armed = None;
                return Poll::Ready(());
            }
            timer.set_at(self.at);
            *armed = self.at;
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn a_deadline_can_be_moved_both_ways_before_it_passes() {
        smol::block_on(async {
            let mut deadline = Deadline::after(Duration::from_secs(3600));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                assert!(polls > 1 || deadline.poll(cx).is_pending());
                deadline.set(Duration::from_millis(if polls == 1 { 5 } else { 0 }));
                deadline.poll(cx)
            })
            .await;
            let mut later = Deadline::after(Duration::from_millis(1));
            poll_fn(|cx| {
                let first = later.poll(cx);
                later.set_at(Instant::now());
                first
            })
            .await;
            assert!(polls > 1);
            // One that has passed can be set again.
            later.set(Duration::from_millis(1));
            poll_fn(|cx| later.poll(cx)).await;
        });
    }
}
