//! A small pool for answers that would hold an event loop: two jobs at a time at most, the others wait in order.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Jobs that run at the same time: enough that one big answer doesn't hold up another. Each may take as much memory as
/// its answer, so that a machine with little of that does one.
const AT_ONCE: usize = 2;

/// Memory, in bytes, from which on there is enough for that.
const ENOUGH: u64 = 256 << 20;

fn at_once() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| if crate::system::memory() < ENOUGH { 1 } else { AT_ONCE })
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    running: usize,
    /// As many as there are requests under way at most, and those the door bounds.
    waiting: VecDeque<Job>,
}

/// The pool. Clones are the same pool; its threads are lent by `smol` and given back when there's nothing to do.
#[derive(Clone, Default)]
pub struct Heavy(Arc<Mutex<Queue>>);

impl Heavy {
    /// A pool without jobs.
    pub fn new() -> Heavy {
        Heavy::default()
    }

    /// Runs a job on another thread, soon.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back(Box::new(job));
        if queue.running < at_once() {
            queue.running += 1;
            let pool = self.clone();
            smol::unblock(move || pool.work()).detach();
        }
    }

    /// Runs a job on another thread; the future is what it returns, or `None` where it panicked. Where the future is
    /// dropped before the job's turn, it isn't run.
    pub fn call<T, F>(&self, job: F) -> impl Future<Output = Option<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = smol::channel::bounded(1);
        self.run(move || {
            if !sender.is_closed() {
                // Nobody waits any more where it fails.
                let _ = sender.try_send(job());
            }
        });
        async move { receiver.recv().await.ok() }
    }

    fn work(&self) {
        loop {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(job) = queue.waiting.pop_front() else {
                queue.running -= 1;
                return;
            };
            drop(queue);
            // A job that panics drops its answer, which tells the client; the pool goes on.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("encoding a big answer failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn every_job_runs_even_after_one_that_panics() {
        let pool = Heavy::new();
        let (sender, receiver) = channel();
        for n in 0..20 {
            let sender = sender.clone();
            pool.run(move || {
                assert!(n % 7 != 3, "on purpose");
                let _ = sender.send(n);
            });
        }
        drop(sender);
        let mut done: Vec<i32> = receiver.iter().collect();
        done.sort_unstable();
        assert_eq!(done, (0..20).filter(|n| n % 7 != 3).collect::<Vec<_>>());
    }

    #[test]
    fn a_call_gives_what_its_job_returned_and_nothing_when_it_panicked() {
        let pool = Heavy::new();
        assert_eq!(smol::block_on(pool.call(|| 7)), Some(7));
        assert_eq!(smol::block_on(pool.call(|| -> u8 { panic!("on purpose") })), None);
    }
}
