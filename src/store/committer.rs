//! The one thread that commits: it takes all that waits, judges it in order, writes it with one append and one sync,
//! and only then lets anybody see it or answers anybody.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::compact::{Text, write_store};
use super::footprint::Footprint;
use super::open::Opened;
use super::shared::locked;
use super::state::State;
use super::{Done, Error, Health, Receipt, Shared, Submission};
use crate::commit::{Incarnation, Position, TegaId};
use crate::log::{AppendError, Group, Log, Offset};

pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
    pub(super) store: Incarnation,
    pub(super) log: Option<Log>,
    /// Everything up to here is on the disk.
    pub(super) synced: Position,
    pub(super) group: Group,
    pub(super) footprint: Footprint,
    pub(super) health: Health,
    /// The log must say first which store this is and where its counters stand: there was no room for that.
    pub(super) owed: bool,
    /// Taken from the queue and not judged yet.
    pub(super) waiting: VecDeque<Submission>,
    /// When commits of roots with `interval` must be synced.
    pub(super) sync_by: Option<Instant>,
    /// When a full disk is tried again.
    pub(super) retry_at: Option<Instant>,
    pub(super) compacting: Compacting,
    pub(super) compactions: u32,
}

/// Whether a compaction runs, and who waits for it.
pub(super) struct Compacting {
    pub(super) running: bool,
    pub(super) waiting: Vec<Done<()>>,
    /// What is to be cleared after it.
    pub(super) clears: Vec<(Option<TegaId>, Done<Receipt>)>,
    /// Those that are to keep less history than the one that runs.
    pub(super) later: Vec<(Option<usize>, Done<()>)>,
    /// The length of the log after the last one.
    pub(super) base: u64,
    /// When the next may be tried to make room on a full disk, and how long it is then to the one after it: each writes
    /// all there is, and on a disk that stays full the flash would wear out by that.
    pub(super) rescue: Option<Instant>,
    pub(super) pause: Duration,
}

/// The longest that a full disk isn't tried to be freed by a compaction.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(3_600);

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: State,
        store: Incarnation,
        opened: Option<Opened>,
    ) -> Committer {
        let (log, compacted, full) = match opened {
            Some(Opened { log, compacted, full, .. }) => (Some(log), compacted, full),
            None => (None, Offset(0), None),
        };
        let owed = full.is_some();
        let footprint = Footprint::new(shared.options.data, &state);
        let mut committer = Committer {
            shared,
            footprint,
            synced: state.position,
            state,
            store,
            log,
            group: Group::new(),
            health: full.map_or(Health::Ok, Health::NoSpace),
            owed,
            waiting: VecDeque::new(),
            sync_by: None,
            retry_at: owed.then(Instant::now),
            compacting: Compacting {
                running: false,
                waiting: Vec::new(),
                clears: Vec::new(),
                later: Vec::new(),
                base: compacted.0,
                rescue: None,
                pause: Duration::ZERO,
            },
            compactions: 0,
        };
        committer.drop_tombs();
        committer.shared.publish(committer.state.clone());
        committer.report();
        committer
    }

    /// Commits until the store is closed and everything submitted is answered.
    pub(super) fn run(mut self) {
        while self.take() {
            self.on_time();
            while !self.waiting.is_empty() {
                self.batch();
            }
            self.maybe_compact();
            self.report();
        }
        self.stop();
    }

    /// Waits for something to do; false: the store is closed and nothing is left.
    fn take(&mut self) -> bool {
        let mut queue = self.shared.queue();
        loop {
            if !queue.items.is_empty() {
                self.waiting.append(&mut queue.items);
                queue.weight = 0;
                return true;
            }
            let due = [self.sync_by, self.retry_at].into_iter().flatten().min();
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return true;
            }
            // A compaction under way reports to the queue; its file must be put in place or removed first.
            if queue.closed && !self.compacting.running {
                return false;
            }
            queue.idle = true;
            queue = match left {
                Some(left) => {
                    let waited = self.shared.work.wait_timeout(queue, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
            queue.idle = false;
        }
    }

    /// Writes down the newest position where commits that aren't in the log may have taken it: none is used twice.
    fn note_position(&mut self) {
        if !self.shared.options.any_in_memory() || self.health != Health::Ok {
            return;
        }
        let forgotten = self.shared.requests().forgotten;
        let Some(log) = &mut self.log else { return };
        if let Err(error) = log_store(log, self.store, &self.state, forgotten) {
            self.fail(&error);
        }
    }

    /// What is due by the clock.
    fn on_time(&mut self) {
        let now = Instant::now();
        if self.sync_by.is_some_and(|due| due <= now) {
            self.sync_by = None;
            match self.log.as_mut().map(Log::sync) {
                Some(Err(error)) => drop(self.fail(&error)),
                _ => {
                    self.synced_all();
                    self.wake_held();
                }
            }
        }
        if self.retry_at.is_some_and(|due| due <= now) {
            self.retry_at = Some(now + self.shared.options.no_space_retry);
            match self.recover() {
                Ok(true) => {
                    ::log::info!("there is room for the log again: writes go on");
                    self.retry_at = None;
                    self.health = Health::Ok;
                    self.synced_all();
                    self.wake_held();
                }
                Ok(false) => self.make_room(),
                Err(error) => drop(self.fail(&error)),
            }
        }
    }

    /// Whether a disk that was full has room again.
    fn recover(&mut self) -> Result<bool, AppendError> {
        let forgotten = self.shared.requests().forgotten;
        let Some(log) = &mut self.log else { return Ok(true) };
        if !log.recover()? {
            return Ok(false);
        }
        if self.owed {
            log_store(log, self.store, &self.state, forgotten)?;
            log.sync()?;
            self.owed = false;
        }
        Ok(true)
    }

    /// Takes note that the state is on the disk.
    pub(super) fn synced_all(&mut self) {
        self.synced = self.state.position;
        *locked(&self.shared.synced) = self.synced;
    }

    /// Tells the feeds that waited for the disk.
    pub(super) fn wake_held(&self) {
        let held = self.shared.watches().take_held();
        held.iter().for_each(|feed| feed.wake());
    }

    /// Makes durable what is visible.
    pub(super) fn flush(&mut self, done: Done<()>) {
        if self.synced < self.state.position {
            if let Some(Err(error)) = self.log.as_mut().map(Log::sync) {
                let told = self.fail(&error);
                return answer(done, Err(told));
            }
            self.sync_by = None;
            self.synced_all();
            self.wake_held();
            self.report();
        }
        answer(done, Ok(()));
    }

    /// Takes note of what the disk said; returns what the writers of the failed group are told.
    pub(super) fn fail(&mut self, error: &AppendError) -> Error {
        let told = match error {
            AppendError::NoSpace(io) => {
                let reason = io.to_string();
                if self.health == Health::Ok {
                    ::log::warn!("{error}: writes are refused until there is room");
                    self.make_room();
                }
                self.retry_at = Some(Instant::now() + self.shared.options.no_space_retry);
                self.health = Health::NoSpace(reason.clone());
                Error::NoSpace { reason }
            }
            AppendError::Failed(io) => {
                let reason = io.to_string();
                ::log::error!("{error}; restart to see what was kept");
                self.health = Health::ReadOnly(reason.clone());
                self.retry_at = None;
                Error::OutcomeUnknown { reason }
            }
            AppendError::Closed(why) => {
                self.health = Health::ReadOnly(why.clone());
                self.retry_at = None;
                Error::ReadOnly { reason: why.clone() }
            }
        };
        self.report();
        told
    }

    /// Shows how things stand to `status`: before the answers that follow from it.
    pub(super) fn report(&self) {
        let log = self.log.as_ref().map(|log| super::LogStatus {
            bytes: log.end().0,
            durable: log.durable().0,
            compactions: self.compactions,
            written: log.written(),
        });
        self.shared.report(self.health.clone(), log);
    }

    fn stop(mut self) {
        self.note_position();
        if let Some(log) = &mut self.log
            && !matches!(self.health, Health::ReadOnly(_))
            && let Err(error) = log.seal()
        {
            ::log::error!("at the stop: {error}");
            self.health = Health::ReadOnly(error.to_string());
        }
        self.report();
    }
}

/// Appends which store this is and where its counters stand.
pub(super) fn log_store(
    log: &mut Log,
    store: Incarnation,
    state: &State,
    forgotten: Position,
) -> Result<(), AppendError> {
    let mut group = Group::new();
    let mut record = Vec::new();
    // Memory can't refuse what is written to it.
    let _ = write_store(store, state.position, forgotten, state.floor, &mut Text(&mut record));
    // A line of numbers can't be refused as a record.
    let _ = group.record(|out| out.extend_from_slice(&record));
    log.append_spare(&mut group)
}

/// Answers a submitter. One that panics must not take the committer, and with it everybody, down.
pub(super) fn answer<T>(done: Done<T>, outcome: Result<T, Error>) {
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(outcome)));
    if told.is_err() {
        ::log::error!("a submitter panicked over its answer");
    }
}

/// Why nothing can be logged now.
pub(super) fn refusal(health: &Health) -> Option<Error> {
    match health {
        Health::Ok => None,
        Health::NoSpace(reason) => Some(Error::NoSpace { reason: reason.clone() }),
        Health::ReadOnly(reason) => Some(Error::ReadOnly { reason: reason.clone() }),
    }
}
