//! The one thread that commits: it takes all that waits, judges it in order, writes it with one append and one sync,
//! and only then lets anybody see it or answers anybody.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::compact::{Contents, Text};
use super::event::{Change, Event};
use super::judge::{Applied, Tip, end_session, judge};
use super::options::Durability;
use super::requests::Requests;
use super::state::{State, with_kept};
use super::transaction::Op;
use super::{Done, Error, Health, Receipt, SessionId, Shared, Submission, Transaction, now_ms};
use crate::commit::{Incarnation, TegaId};
use crate::log::{AppendError, Compaction, CompactionError, Group, Log, Offset};
use crate::path::{Key, Path};
use crate::tree::Node;

/// How long a full disk is left alone before it is tried again.
const NO_SPACE_RETRY: Duration = Duration::from_secs(10);

/// A batch ends with the commit that makes it this long, so that nobody waits for a disk that writes megabytes.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// A batch ends with this many submissions, so that the first of them needn't wait for all the others.
const MAX_BATCH: usize = 4_096;

/// How much longer than after the last compaction the log becomes before the next.
const COMPACT_FACTOR: u64 = 4;

pub(super) struct Committer {
    shared: Arc<Shared>,
    state: State,
    requests: Requests,
    store: Incarnation,
    log: Option<Log>,
    group: Group,
    health: Health,
    /// Taken from the queue and not judged yet.
    waiting: VecDeque<Submission>,
    /// When commits of roots with `interval` must be synced.
    sync_by: Option<Instant>,
    /// When a full disk is tried again.
    retry_at: Option<Instant>,
    compacting: Compacting,
    compactions: u32,
}

/// Whether a compaction runs, and who waits for it.
struct Compacting {
    running: bool,
    waiting: Vec<Done<()>>,
    /// What is to be cleared after it.
    clears: Vec<(Option<TegaId>, Done<Receipt>)>,
    /// The length of the log after the last one.
    base: u64,
}

/// A submission that was judged.
struct Judged {
    submission: (Transaction, Done<Receipt>),
    outcome: Result<Receipt, Error>,
    /// It is in the group.
    logged: bool,
}

/// What a batch did, until it is published.
#[derive(Default)]
struct Batch {
    judged: Vec<Judged>,
    /// With whether it is durable once the group is.
    applied: Vec<(Applied, bool)>,
    /// Sessions that ended.
    ended: Vec<(SessionId, TegaId)>,
    /// The group must be synced before anybody sees it.
    sync: bool,
    /// The group must be synced within this time.
    sync_within: Option<Duration>,
}

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: State,
        requests: Requests,
        store: Incarnation,
        log: Option<Log>,
        compacted: Offset,
    ) -> Committer {
        let committer = Committer {
            shared,
            state,
            requests,
            store,
            log,
            group: Group::new(),
            health: Health::Ok,
            waiting: VecDeque::new(),
            sync_by: None,
            retry_at: None,
            compacting: Compacting {
                running: false,
                waiting: Vec::new(),
                clears: Vec::new(),
                base: compacted.0,
            },
            compactions: 0,
        };
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

    /// What is due by the clock.
    fn on_time(&mut self) {
        let now = Instant::now();
        if self.sync_by.is_some_and(|due| due <= now) {
            self.sync_by = None;
            if let Some(Err(error)) = self.log.as_mut().map(Log::sync) {
                self.fail(&error);
            }
        }
        if self.retry_at.is_some_and(|due| due <= now) {
            self.retry_at = Some(now + NO_SPACE_RETRY);
            if let Some(Ok(())) = self.log.as_mut().map(Log::seal) {
                ::log::info!("there is room for the log again: writes go on");
                self.retry_at = None;
                self.health = Health::Ok;
            } else {
                self.start_compaction();
            }
        }
    }

    /// Judges, writes, publishes and answers one batch.
    fn batch(&mut self) {
        let mut batch = Batch::default();
        let mut next = None;
        let shared = self.shared.clone();
        let mut overlay = shared.overlay();
        let mut tip = Tip { state: self.state.clone(), overlay: &mut overlay, requests: &mut self.requests };
        while let Some(submission) = self.waiting.pop_front() {
            match submission {
                Submission::Commit(transaction, done) => {
                    // A rollback looks at the history, where what this batch did isn't yet.
                    if is_rollback(&transaction) && !batch.applied.is_empty() {
                        next = Some(Submission::Commit(transaction, done));
                        break;
                    }
                    let mut judging = Judging {
                        shared: &shared,
                        health: &self.health,
                        group: &mut self.group,
                        batch: &mut batch,
                    };
                    judging.commit(&mut tip, transaction, done);
                }
                Submission::EndSession(session, by) => {
                    if let Some(event) = end_session(&mut tip, session, by.clone(), now_ms()) {
                        let position = tip.state.position;
                        let receipt = Receipt { position, versions: Vec::new(), durable: false };
                        batch
                            .applied
                            .push((Applied { receipt, event: Some(event), kept: Vec::new() }, false));
                        batch.ended.push((session, by));
                    }
                }
                other => {
                    next = Some(other);
                    break;
                }
            }
            if self.group.len() >= MAX_BATCH_BYTES || batch.judged.len() >= MAX_BATCH {
                break;
            }
        }
        let state = tip.state;
        drop(overlay);
        self.write(batch, state);
        match next {
            Some(commit @ Submission::Commit(..)) => self.waiting.push_front(commit),
            Some(Submission::Clear(by, done)) => self.clear(by, done),
            Some(Submission::Compact(done)) => self.compact(done),
            Some(Submission::Compacted(result)) => self.compacted(result),
            Some(Submission::EndSession(..)) | None => {}
        }
    }

    /// Puts a judged batch on the disk, then publishes and answers it.
    fn write(&mut self, batch: Batch, state: State) {
        let written = match &mut self.log {
            Some(log) => match self.group.is_empty() {
                true => Ok(()),
                false => log.append(&mut self.group),
            }
            .and_then(|()| if batch.sync { log.sync() } else { Ok(()) }),
            None => Ok(()),
        };
        self.group.clear();
        match written {
            Ok(()) => {
                let due = batch.sync_within.map(|time| Instant::now() + time);
                self.sync_by = match batch.sync {
                    true => None,
                    false => [self.sync_by, due].into_iter().flatten().min(),
                };
                self.publish(batch, state);
            }
            Err(error) => self.refuse(batch, &error),
        }
    }

    /// Everybody may see it now: the history, the roots, the watchers, then the submitters.
    fn publish(&mut self, batch: Batch, state: State) {
        self.requests.keep_pending(self.shared.options.requests);
        self.shared.overlay().keep();
        self.state = state;
        self.drop_tombs();
        let keep = self.shared.options.history + 1;
        let mut events: Vec<Arc<Event>> = Vec::with_capacity(batch.applied.len());
        for (applied, durable) in batch.applied {
            let Some(mut event) = applied.event else { continue };
            event.durable = durable;
            let event = Arc::new(event);
            for (kept, mut past) in applied.kept {
                past.event = Some(event.clone());
                with_kept(&kept, |kept| {
                    kept.push_back(past);
                    while kept.len() > keep {
                        kept.pop_front();
                    }
                });
            }
            events.push(event);
        }
        if !events.is_empty() {
            // One lock for the swap and the queueing: a subscription sees either both or neither.
            let watches = self.shared.watches();
            self.shared.publish(self.state.clone());
            events.iter().for_each(|event| watches.publish(event));
        }
        for Judged { submission: (_, done), outcome, .. } in batch.judged {
            answer(done, outcome);
        }
    }

    /// The disk refused: the tip goes back to what is published. What was in the group gets the disk's answer, and
    /// everything else is judged again, since what it was judged against didn't happen.
    fn refuse(&mut self, batch: Batch, error: &AppendError) {
        self.shared.overlay().undo_to(0);
        self.requests.forget_pending();
        let told = self.fail(error);
        let mut again = Vec::new();
        for Judged { submission: (transaction, done), logged, .. } in batch.judged {
            match logged {
                true => answer(done, Err(told.clone())),
                false => again.push(Submission::Commit(transaction, done)),
            }
        }
        again.extend(batch.ended.into_iter().map(|(session, by)| Submission::EndSession(session, by)));
        for submission in again.into_iter().rev() {
            self.waiting.push_front(submission);
        }
    }

    /// Takes note of what the disk said; returns what the writers of the failed group are told.
    fn fail(&mut self, error: &AppendError) -> Error {
        match error {
            AppendError::NoSpace(io) => {
                let reason = io.to_string();
                if self.health == Health::Ok {
                    ::log::warn!("{error}: writes are refused, and it is tried again every 10 s");
                    self.start_compaction();
                }
                self.retry_at = Some(Instant::now() + NO_SPACE_RETRY);
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
        }
    }

    /// Keeps the newest tombstones only.
    fn drop_tombs(&mut self) {
        while self.state.dead.len() > self.shared.options.tombstones {
            let oldest =
                self.state.dead.iter().min_by_key(|(_, tomb)| tomb.position).map(|(name, _)| name.clone());
            let Some((dead, _)) = oldest.and_then(|name| self.state.dead.remove(&name)) else { return };
            self.state.dead = dead;
        }
    }

    /// Empties the store: a log that begins anew.
    fn clear(&mut self, by: Option<TegaId>, done: Done<Receipt>) {
        if self.compacting.running {
            // It would put back what is cleared now; its end is on its way.
            return self.compacting.clears.push((by, done));
        }
        let mut state = State::new(self.state.position);
        state.position.0 += 1;
        let store = Incarnation::draw();
        let requests = Requests::forgotten_up_to(state.position);
        if let Some(error) = self.refusal() {
            return answer(done, Err(error));
        }
        if let Some(log) = &mut self.log {
            let contents = Contents::new(store, &state, &requests, |_| false);
            let replaced = log.compaction().and_then(|mut compaction| {
                contents.write(&mut compaction, |_| false)?;
                log.finish(compaction)
            });
            match replaced {
                Ok(compacted) => self.compacting.base = compacted.after,
                Err(error) => return answer(done, Err(self.compaction_failed(&error))),
            }
        }
        let mut changes = Vec::new();
        {
            let overlay = self.shared.overlay();
            for (name, root) in self.state.live.iter() {
                let path = Path::from_checked(vec![name.clone()]);
                if let Some(present) = overlay.merge(&path, None) {
                    let version = crate::tree::Version(0);
                    let tree = crate::tree::Tree::new(crate::tree::Stamp::version(version));
                    let kept = super::state::Kept::default();
                    let incarnation = Incarnation::draw();
                    let root =
                        super::Root { version, incarnation, tree, present, ephemeral_only: true, kept };
                    state.live = state.live.insert(name.clone(), Arc::new(root)).0;
                }
                if !root.ephemeral_only {
                    let before = Some(Node::Container(root.tree.top.clone()));
                    changes.push(Change { path, before, after: None, ephemeral: false });
                }
            }
        }
        self.requests = requests;
        self.store = store;
        let event = Event {
            position: Some(state.position),
            time_ms: now_ms(),
            by,
            roots: Vec::new(),
            changes,
            rollback_to: None,
            durable: self.log.is_some(),
            created: Vec::new(),
            request: None,
        };
        let receipt = Receipt { position: state.position, versions: Vec::new(), durable: event.durable };
        self.state = state;
        {
            let watches = self.shared.watches();
            self.shared.publish(self.state.clone());
            watches.publish(&Arc::new(event));
        }
        answer(done, Ok(receipt));
    }

    /// Why nothing can be logged now.
    fn refusal(&self) -> Option<Error> {
        refusal(&self.health)
    }

    /// A compaction that somebody asked for.
    fn compact(&mut self, done: Done<()>) {
        if self.log.is_none() {
            return answer(done, Ok(()));
        }
        if let Health::ReadOnly(reason) = &self.health {
            return answer(done, Err(Error::ReadOnly { reason: reason.clone() }));
        }
        self.compacting.waiting.push(done);
        self.start_compaction();
    }

    fn maybe_compact(&mut self) {
        let Some(log) = &self.log else { return };
        let limit = self.shared.options.compact_from.max(self.compacting.base.saturating_mul(COMPACT_FACTOR));
        if log.end().0 >= limit && self.health == Health::Ok {
            self.start_compaction();
        }
    }

    /// Starts a compaction in a thread of its own, which reports to the queue.
    fn start_compaction(&mut self) {
        if self.compacting.running {
            return;
        }
        let Some(log) = &mut self.log else { return };
        let compaction = match log.compaction() {
            Ok(compaction) => compaction,
            Err(error) => return self.compacted(Err(error)),
        };
        let shared = self.shared.clone();
        let skip = |shared: &Shared, root: &str| shared.options.durability_of(root) == Durability::Memory;
        let contents = Contents::new(self.store, &self.state, &self.requests, |root| skip(&shared, root));
        self.compacting.running = true;
        let work = move || {
            let mut compaction = compaction;
            let written = contents.write(&mut compaction, |root| skip(&shared, root));
            shared.requeue(Submission::Compacted(written.map(|()| compaction)));
        };
        if let Err(error) = std::thread::Builder::new().name("tega-compact".into()).spawn(work) {
            self.compacted(Err(CompactionError::Abandoned(error)));
        }
    }

    /// A compaction's file is written: put it in place.
    fn compacted(&mut self, written: Result<Compaction, CompactionError>) {
        self.compacting.running = false;
        let Some(log) = &mut self.log else { return };
        let finished = written.and_then(|compaction| log.finish(compaction));
        let outcome = match finished {
            Ok(compacted) => {
                ::log::info!("log compacted from {} to {} bytes", compacted.before, compacted.after);
                self.compactions = self.compactions.wrapping_add(1);
                self.compacting.base = compacted.after;
                self.sync_by = None;
                if matches!(self.health, Health::NoSpace(_)) {
                    self.retry_at = Some(Instant::now());
                }
                Ok(())
            }
            Err(error) => {
                // Not again at once: the next try comes when the log has grown by the factor.
                self.compacting.base = self.compacting.base.max(log.end().0);
                Err(self.compaction_failed(&error))
            }
        };
        for done in std::mem::take(&mut self.compacting.waiting) {
            answer(done, outcome.clone());
        }
        for (by, done) in std::mem::take(&mut self.compacting.clears) {
            self.clear(by, done);
        }
        self.report();
    }

    fn compaction_failed(&mut self, error: &CompactionError) -> Error {
        let reason = error.to_string();
        match error {
            CompactionError::NoSpace(_) => Error::NoSpace { reason },
            CompactionError::Failed(_) | CompactionError::Closed(_) => {
                ::log::error!("{reason}; restart to see what was kept");
                self.health = Health::ReadOnly(reason.clone());
                Error::OutcomeUnknown { reason }
            }
            _ => {
                ::log::warn!("{reason}");
                Error::Bad { path: None, message: reason }
            }
        }
    }

    /// Shows how things stand to `status`.
    fn report(&self) {
        let log = self.log.as_ref().map(|log| super::LogStatus {
            bytes: log.end().0,
            durable: log.durable().0,
            compactions: self.compactions,
        });
        self.shared.report(self.health.clone(), log);
    }

    fn stop(mut self) {
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

/// What judging one transaction of a batch needs.
struct Judging<'a> {
    shared: &'a Shared,
    health: &'a Health,
    group: &'a mut Group,
    batch: &'a mut Batch,
}

impl Judging<'_> {
    fn commit(&mut self, tip: &mut Tip<'_>, transaction: Transaction, done: Done<Receipt>) {
        let before = tip.state.clone();
        let mark = tip.overlay.mark();
        let session = transaction.session.and_then(|id| Some((id, self.shared.session(id)?)));
        let judged =
            judge(tip, &transaction, session, now_ms()).and_then(|applied| self.log(applied, &transaction));
        let (outcome, logged) = match judged {
            Ok((applied, logged, durable)) => {
                let receipt = Receipt { durable, ..applied.receipt.clone() };
                if let Some((request, outcome)) = applied.outcome() {
                    tip.requests.add_pending(request.id.clone(), outcome);
                }
                self.batch.applied.push((applied, durable));
                (Ok(receipt), logged)
            }
            Err(error) => {
                tip.state = before;
                tip.overlay.undo_to(mark);
                (Err(error), false)
            }
        };
        self.batch.judged.push(Judged { submission: (transaction, done), outcome, logged });
    }

    /// Adds what was applied to the group. Returns whether it did, and whether it is durable once the group is.
    fn log(&mut self, applied: Applied, transaction: &Transaction) -> Result<(Applied, bool, bool), Error> {
        let durability = |root: &Key| match self.shared.durable {
            true => self.shared.options.durability_of(root),
            false => Durability::Memory,
        };
        let roots = || applied.receipt.versions.iter().map(|(root, _)| durability(root));
        let synced = transaction.durable || roots().any(|d| d == Durability::Always);
        let durable =
            synced && roots().all(|d| d != Durability::Memory) && !applied.receipt.versions.is_empty();
        let commit = applied
            .event
            .as_ref()
            .and_then(|e| e.to_commit(|root| durability(&root.into()) == Durability::Memory));
        if let Some(commit) = &commit {
            if let Some(error) = refusal(self.health) {
                return Err(error);
            }
            let encode = |out: &mut Vec<u8>| {
                // Memory can't refuse what is written to it.
                let _ = commit.encode(&mut Text(out));
            };
            self.group.record(encode).map_err(|error| Error::TooLarge {
                path: None,
                message: format!("the commit can't be logged: {error}"),
            })?;
            let interval = |d| if let Durability::Interval(time) = d { Some(time) } else { None };
            self.batch.sync_within = roots().filter_map(interval).chain(self.batch.sync_within).min();
        }
        self.batch.sync |= synced && (commit.is_some() || transaction.durable);
        Ok((applied, commit.is_some(), durable))
    }
}

/// Answers a submitter. One that panics must not take the committer, and with it everybody, down.
fn answer<T>(done: Done<T>, outcome: Result<T, Error>) {
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(outcome)));
    if told.is_err() {
        ::log::error!("a submitter panicked over its answer");
    }
}

fn refusal(health: &Health) -> Option<Error> {
    match health {
        Health::Ok => None,
        Health::NoSpace(reason) => Some(Error::NoSpace { reason: reason.clone() }),
        Health::ReadOnly(reason) => Some(Error::ReadOnly { reason: reason.clone() }),
    }
}

fn is_rollback(transaction: &Transaction) -> bool {
    matches!(transaction.ops.as_slice(), [Op::Rollback { .. }])
}
