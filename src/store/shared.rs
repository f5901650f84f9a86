//! What all handles, watches and the committer share: the queue to the committer, and what it has published.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::homes::Away;
use super::requests::Requests;
use super::snapshot::Snapshot;
use super::status::{Health, LogStatus};
use super::{Error, Options, Receipt, SessionId, Transaction, overlay, pending, state, watch};
use crate::commit::{Position, TegaId};
use crate::log::{Compaction, CompactionError};
use crate::path::Key;

pub(super) type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

pub(super) enum Submission {
    Commit(Transaction, Done<Receipt>),
    Clear(Option<TegaId>, Done<Receipt>),
    /// Keeping so many versions of each root beside the present one; `None`: all that are kept.
    Compact(Option<usize>, Done<()>),
    Compacted(Result<Compaction, CompactionError>),
    EndSession(SessionId, TegaId),
    Follow(Followed, Done<()>),
    Install(Snapshot, Done<()>),
    Homes(Vec<(Key, Option<Away>)>, Done<()>),
    Flush(Done<()>),
}

/// Commits of a home, in order.
pub(super) struct Followed {
    pub(super) home: TegaId,
    /// What is followed: it has nothing to say of others.
    pub(super) roots: Box<[Key]>,
    pub(super) records: Vec<String>,
}

/// What waits for the committer.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) items: VecDeque<Submission>,
    /// About how many bytes of values they hold.
    pub(super) weight: usize,
    pub(super) closed: bool,
    /// The committer waits for work: only then is it worth waking.
    pub(super) idle: bool,
}

/// What all handles, watches and the committer share. Each lock guards its own data and is held for moments; where two
/// are needed: watches before published and a queue of theirs, overlay before sessions and requests.
pub(super) struct Shared {
    pub(super) options: Options,
    /// There is a log.
    pub(super) durable: bool,
    /// Where the log is.
    pub(super) dir: Option<PathBuf>,
    /// The newest commit when it was opened.
    pub(super) started_at: Position,
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    pub(super) published: Mutex<state::State>,
    /// Everything up to here is on the disk.
    pub(super) synced: Mutex<Position>,
    pub(super) watches: Mutex<watch::Watches>,
    pub(super) overlay: Mutex<overlay::Overlay>,
    pub(super) sessions: Mutex<Sessions>,
    pub(super) pending: Mutex<pending::Pending>,
    /// The committer's; feeds look at it for what their snapshots carry.
    pub(super) requests: Mutex<Requests>,
    pub(super) report: Mutex<(Health, Option<LogStatus>)>,
}

#[derive(Default)]
pub(super) struct Sessions {
    pub(super) live: HashMap<SessionId, TegaId>,
    /// Those that commit in the place of their tega ID's server.
    pub(super) stand_ins: HashSet<SessionId>,
    pub(super) last: u64,
}

/// Closes the queue when the committer ends, were it by a panic: nobody must wait for an answer for ever.
pub(super) struct Guard(pub(super) Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.queue();
            queue.closed = true;
            std::mem::take(&mut queue.items)
        };
        for submission in left {
            match submission {
                Submission::Commit(_, done) | Submission::Clear(_, done) => done(Err(Error::Closed)),
                Submission::Compact(_, done)
                | Submission::Follow(_, done)
                | Submission::Install(_, done)
                | Submission::Homes(_, done)
                | Submission::Flush(done) => done(Err(Error::Closed)),
                Submission::Compacted(_) | Submission::EndSession(..) => {}
            }
        }
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked in mid-change would have left a half-changed value. Nothing that runs under these locks
    // panics, and if it did, answering from a stale value beats answering nobody.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    pub(super) fn watches(&self) -> MutexGuard<'_, watch::Watches> {
        locked(&self.watches)
    }

    pub(super) fn overlay(&self) -> MutexGuard<'_, overlay::Overlay> {
        locked(&self.overlay)
    }

    pub(super) fn requests(&self) -> MutexGuard<'_, Requests> {
        locked(&self.requests)
    }

    pub(super) fn published(&self) -> state::State {
        locked(&self.published).clone()
    }

    pub(super) fn publish(&self, state: state::State) {
        let before = std::mem::replace(&mut *locked(&self.published), state);
        // What only the old state held is freed after the lock.
        drop(before);
    }

    pub(super) fn session(&self, session: SessionId) -> Option<TegaId> {
        locked(&self.sessions).live.get(&session).cloned()
    }

    /// The server in whose place this session commits.
    pub(super) fn stands_for(&self, session: SessionId) -> Option<TegaId> {
        let sessions = locked(&self.sessions);
        sessions.live.get(&session).filter(|_| sessions.stand_ins.contains(&session)).cloned()
    }

    pub(super) fn report(&self, health: Health, log: Option<LogStatus>) {
        *locked(&self.report) = (health, log);
    }

    /// Queues what the store itself has to say, whatever the limits.
    pub(super) fn requeue(&self, submission: Submission) {
        let mut queue = self.queue();
        queue.items.push_back(submission);
        if std::mem::take(&mut queue.idle) {
            self.work.notify_one();
        }
    }

    /// Whether a client's submission is within the limits.
    pub(super) fn takes(&self, queue: &Queue, weight: usize) -> Result<(), Error> {
        if queue.closed {
            return Err(Error::Closed);
        }
        let full =
            queue.items.len() >= self.options.queue || queue.weight + weight > self.options.queue_bytes;
        // A single transaction is always taken, however big: its own limits bound it.
        if full && !queue.items.is_empty() { Err(Error::Busy) } else { Ok(()) }
    }

    /// Queues a client's submission within the limits, or gives its answer back.
    pub(super) fn submit<T>(
        &self,
        weight: usize,
        done: Done<T>,
        make: impl FnOnce(Done<T>) -> Submission,
    ) -> Result<(), (Error, Done<T>)> {
        let mut queue = self.queue();
        if let Err(error) = self.takes(&queue, weight) {
            return Err((error, done));
        }
        queue.weight += weight;
        queue.items.push_back(make(done));
        if std::mem::take(&mut queue.idle) {
            self.work.notify_one();
        }
        Ok(())
    }
}
