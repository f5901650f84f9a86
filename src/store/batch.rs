//! One batch: from what waits to a group in the log, and from there to everybody who waits for it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::committer::{Committer, answer, refusal};
use super::compact::Text;
use super::event::Event;
use super::follow::{follow, read};
use super::footprint::Footprint;
use super::judge::{Applied, Tip, end_session, judge};
use super::options::Durability;
use super::shared::{Followed, locked};
use super::state::{State, with_kept};
use super::transaction::Op;
use super::{Done, Error, Health, Receipt, SessionId, Shared, Submission, Transaction};
use crate::commit::{Position, TegaId};
use crate::log::{AppendError, Group, MAX_RECORD};
use crate::path::Key;
use crate::system::now_ms;

/// A batch ends with the commit that makes it this long, so that nobody waits for a disk that writes megabytes.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// What a replica's record of a commit may have beside the home's own.
const FOLLOWED: usize = 1_024;

/// A batch ends with this many submissions, so that the first of them needn't wait for all the others.
const MAX_BATCH: usize = 4_096;

/// A submission that was judged.
struct Judged {
    submission: Submission,
    outcome: Result<Receipt, Error>,
    /// It is in the group.
    logged: bool,
    /// All that it touched is in the log, and durable with its position.
    lasting: bool,
}

/// What a batch did, until it is published.
#[derive(Default)]
struct Batch {
    judged: Vec<Judged>,
    /// With whether all that it touched is in the log.
    applied: Vec<(Applied, bool)>,
    /// Sessions that ended.
    ended: Vec<(SessionId, TegaId)>,
    /// The group must be synced before anybody sees it.
    sync: bool,
    /// The group must be synced within this time.
    sync_within: Option<Duration>,
    /// Something in the group is more than that something is gone.
    adds: bool,
    /// What it puts, as the footprint counts it.
    weight: u64,
}

impl Committer {
    /// Judges, writes, publishes and answers one batch.
    pub(super) fn batch(&mut self) {
        match self.waiting.pop_front() {
            Some(Submission::Clear(by, done)) => return self.clear(by, done),
            Some(Submission::Compact(history, done)) => return self.compact(history, done),
            Some(Submission::Install(snapshot, done)) => return self.install(snapshot, done),
            Some(Submission::Homes(homes, done)) => return self.set_homes(homes, done),
            Some(Submission::Flush(done)) => return self.flush(done),
            Some(Submission::Compacted(result)) => return self.compacted(result),
            Some(judged) => self.waiting.push_front(judged),
            None => return,
        }
        let mut batch = Batch::default();
        let state = self.judge(&mut batch);
        self.write(batch, state);
    }

    /// Judges what waits, up to what must have a batch of its own, and returns the state that it leads to.
    fn judge(&mut self, batch: &mut Batch) -> State {
        let shared = self.shared.clone();
        let mut overlay = shared.overlay();
        let mut requests = shared.requests();
        let mut tip = Tip {
            state: self.state.clone(),
            overlay: &mut overlay,
            requests: &mut requests,
            role: Some(&shared.options.role),
        };
        let now = now_ms();
        // What is kept now, without what this batch does.
        let kept = self.state.clone();
        while let Some(submission) = self.waiting.pop_front() {
            let mut judging = Judging {
                shared: &shared,
                health: &self.health,
                group: &mut self.group,
                footprint: &mut self.footprint,
                kept: &kept,
                batch,
                synced: self.synced,
                now,
            };
            match submission {
                // A rollback looks at the history, where what this batch did isn't yet.
                Submission::Commit(transaction, done)
                    if judging.batch.applied.is_empty() || !is_rollback(&transaction) =>
                {
                    judging.commit(&mut tip, transaction, done);
                }
                Submission::Follow(followed, done) => judging.follow(&mut tip, followed, done),
                Submission::EndSession(session, by) => {
                    if let Some(event) = end_session(&mut tip, session, by.clone(), now) {
                        let position = tip.state.position;
                        let receipt =
                            Receipt { position, versions: Vec::new(), durable: false, applied: true };
                        let applied =
                            Applied { receipt, event: Some(event), kept: Vec::new(), record: String::new() };
                        batch.applied.push((applied, false));
                    }
                    // Even where it left nothing: if the disk refuses this batch, what took its nodes away didn't
                    // happen.
                    batch.ended.push((session, by));
                }
                other => {
                    self.waiting.push_front(other);
                    break;
                }
            }
            if self.group.len() >= MAX_BATCH_BYTES || batch.judged.len() >= MAX_BATCH {
                break;
            }
        }
        tip.state
    }

    /// Puts a judged batch on the disk, then publishes and answers it.
    fn write(&mut self, batch: Batch, state: State) {
        let written = match &mut self.log {
            Some(log) => match self.group.is_empty() {
                true => Ok(()),
                false if batch.adds => log.append(&mut self.group),
                false => log.append_spare(&mut self.group),
            }
            .and_then(|()| if batch.sync { log.sync() } else { Ok(()) }),
            None => Ok(()),
        };
        self.group.clear();
        match written {
            Ok(()) => {
                if batch.sync {
                    self.synced = state.position;
                    *locked(&self.shared.synced) = self.synced;
                    self.sync_by = None;
                } else {
                    let due = batch.sync_within.map(|time| Instant::now() + time);
                    self.sync_by = [self.sync_by, due].into_iter().flatten().min();
                }
                self.publish(batch, state);
            }
            Err(error) => self.refuse(batch, &error),
        }
    }

    /// Everybody may see it now: the history, the roots, the watchers, then the submitters.
    fn publish(&mut self, batch: Batch, state: State) {
        self.shared.requests().keep_pending(self.shared.options.requests);
        self.shared.overlay().keep();
        self.state = state;
        if batch.judged.iter().any(|judged| judged.logged) {
            self.room_may_be_made();
        }
        self.drop_tombs();
        let keep = self.shared.options.history + 1;
        let mut events: Vec<Arc<Event>> = Vec::with_capacity(batch.applied.len());
        for (applied, lasting) in batch.applied {
            let Some(mut event) = applied.event else { continue };
            event.durable = lasting && event.position.is_some_and(|position| position <= self.synced);
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
            self.show(&events);
        }
        if batch.sync {
            self.wake_held();
        }
        self.report();
        for Judged { submission, mut outcome, lasting, .. } in batch.judged {
            if let Ok(receipt) = &mut outcome {
                receipt.durable = lasting && receipt.position <= self.synced;
            }
            tell(submission, outcome);
        }
    }

    /// Shows the state to readers and what led to it to watchers.
    pub(super) fn show(&mut self, events: &[Arc<Event>]) {
        let mut wake = Vec::new();
        let mut feeds = Vec::new();
        {
            // One lock for the swap and the queueing: a subscription sees either both or neither.
            let mut watches = self.shared.watches();
            self.shared.publish(self.state.clone());
            for event in events {
                watches.publish(event, &mut wake);
                watches.feed(event, &mut feeds);
            }
        }
        // Without the lock, so that whoever is woken may call the store.
        wake.iter().for_each(|queue| queue.wake());
        feeds.iter().for_each(|feed| feed.wake());
    }

    /// The disk refused: the tip goes back to what is published. What was in the group gets the disk's answer, and
    /// everything else is judged again, since what it was judged against didn't happen.
    fn refuse(&mut self, batch: Batch, error: &AppendError) {
        self.shared.overlay().undo_to(0);
        self.shared.requests().forget_pending();
        let told = self.fail(error);
        let mut again = Vec::new();
        for Judged { submission, logged, .. } in batch.judged {
            match logged {
                true => tell(submission, Err(told.clone())),
                false => again.push(submission),
            }
        }
        again.extend(batch.ended.into_iter().map(|(session, by)| Submission::EndSession(session, by)));
        for submission in again.into_iter().rev() {
            self.waiting.push_front(submission);
        }
    }

    /// Keeps the newest tombstones only.
    pub(super) fn drop_tombs(&mut self) {
        while self.state.dead.len() > self.shared.options.tombstones {
            let oldest = self.state.dead.iter().min_by_key(|(_, tomb)| tomb.position);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            let Some((dead, tomb)) = self.state.dead.remove(&name) else { return };
            self.state.floor = self.state.floor.max(tomb.position);
            self.state.dead = dead;
        }
    }
}

/// What judging one transaction of a batch needs.
struct Judging<'a> {
    shared: &'a Shared,
    health: &'a Health,
    group: &'a mut Group,
    footprint: &'a mut Footprint,
    /// What is kept without what this batch does.
    kept: &'a State,
    batch: &'a mut Batch,
    /// Everything up to here is on the disk.
    synced: Position,
    now: u64,
}

impl Judging<'_> {
    fn commit(&mut self, tip: &mut Tip<'_>, transaction: Transaction, done: Done<Receipt>) {
        let before = tip.state.clone();
        let mark = tip.overlay.mark();
        let session = transaction.session.and_then(|id| Some((id, self.shared.session(id)?)));
        let stands_for = transaction.session.and_then(|id| self.shared.stands_for(id));
        let judged = judge(tip, &transaction, session, stands_for.as_ref(), self.now)
            .and_then(|applied| Ok((self.take(&applied, transaction.durable)?, applied)));
        let (outcome, logged, lasting) = match judged {
            Ok(((logged, lasting), applied)) => {
                let receipt = applied.receipt.clone();
                if let Some((request, outcome)) = applied.outcome() {
                    tip.requests.add_pending(request.id.clone(), outcome);
                }
                self.batch.applied.push((applied, lasting));
                (Ok(receipt), logged, lasting)
            }
            Err(error) => {
                tip.state = before;
                tip.overlay.undo_to(mark);
                (Err(error), false, false)
            }
        };
        let submission = Submission::Commit(transaction, done);
        self.batch.judged.push(Judged { submission, outcome, logged, lasting });
    }

    /// A home's commits: those before the first that doesn't follow are applied.
    fn follow(&mut self, tip: &mut Tip<'_>, followed: Followed, done: Done<()>) {
        let mut any_logged = false;
        let mut outcome = Ok(());
        let from = (&followed.home, &*followed.roots);
        for record in &followed.records {
            let before = tip.state.clone();
            let mark = tip.overlay.mark();
            let pending = self.batch.applied.iter().flat_map(|(applied, _)| &applied.kept);
            let judged = read(record).and_then(|commit| follow(tip, from, commit, pending));
            let logged = judged.and_then(|applied| {
                let Some(applied) = applied else { return Ok(None) };
                let logged = self.take(&applied, false).map_err(|error| cant_be_logged(&applied, error))?;
                Ok(Some((logged, applied)))
            });
            match logged {
                Ok(None) => {}
                Ok(Some(((logged, lasting), applied))) => {
                    any_logged |= logged;
                    if let Some((request, outcome)) = applied.outcome() {
                        tip.requests.add_pending(request.id.clone(), outcome);
                    }
                    self.batch.applied.push((applied, lasting));
                }
                Err(error) => {
                    tip.state = before;
                    tip.overlay.undo_to(mark);
                    outcome = Err(error);
                    break;
                }
            }
        }
        let position = tip.state.position;
        let outcome =
            outcome.map(|()| Receipt { position, versions: Vec::new(), durable: false, applied: true });
        let submission = Submission::Follow(followed, done);
        self.batch.judged.push(Judged { submission, outcome, logged: any_logged, lasting: false });
    }

    fn durability(&self, root: &str) -> Durability {
        durability(self.shared, root)
    }

    /// Takes what was applied, where there is room for it in memory: see [`Judging::log`].
    fn take(&mut self, applied: &Applied, durable: bool) -> Result<(bool, bool), Error> {
        let weight = match &applied.event {
            Some(event) => self
                .footprint
                .take(event, self.kept, self.batch.weight)
                .map_err(|full| Error::NoSpace { reason: full.to_string() })?,
            None => 0,
        };
        let logged = self.log(applied, durable)?;
        self.batch.weight = self.batch.weight.saturating_add(weight);
        Ok(logged)
    }

    /// Adds what was applied to the group. Returns whether it did, and whether all that it touched is in the log.
    fn log(&mut self, applied: &Applied, durable: bool) -> Result<(bool, bool), Error> {
        let versions = &applied.receipt.versions;
        let lasting = !versions.is_empty()
            && versions.iter().all(|(root, _)| self.durability(root) != Durability::Memory);
        let shared = self.shared;
        let skip = |root: &str| durability(shared, root) == Durability::Memory;
        let Some(event) = applied.event.as_ref().filter(|event| event.is_logged(skip)) else {
            return self.wait_for_the_first(applied, durable, lasting);
        };
        let adds = !event.only_takes_away(skip);
        if let Some(error) =
            refusal(self.health).filter(|error| adds || !matches!(error, Error::NoSpace { .. }))
        {
            return Err(error);
        }
        if event.origin.is_none() && applied.record.len() > MAX_RECORD - FOLLOWED {
            let message = format!(
                "a commit of {} bytes; the longest is {}",
                applied.record.len(),
                MAX_RECORD - FOLLOWED
            );
            return Err(Error::TooLarge { path: None, message });
        }
        let whole = event.origin.is_none() && !event.roots.iter().any(|(root, ..)| skip(root));
        let encode = |out: &mut Vec<u8>| {
            let record = &applied.record;
            // Memory can't refuse what is written to it.
            let _ = match &event.request {
                None if whole => Text(out).write_str(record),
                request => event.encode(skip, request.as_ref(), &mut Text(out)),
            };
        };
        self.group.record(encode).map_err(|error| Error::TooLarge {
            path: None,
            message: format!("the commit can't be logged: {error}"),
        })?;
        self.batch.adds |= adds;
        self.batch.sync |= durable;
        for (root, _) in versions {
            match self.durability(root) {
                Durability::Always => self.batch.sync = true,
                Durability::Interval(time) => {
                    self.batch.sync_within = Some(self.batch.sync_within.map_or(time, |t| t.min(time)));
                }
                Durability::None | Durability::Memory => {}
            }
        }
        Ok((true, lasting))
    }

    /// Nothing is to be logged, but a retry may want to wait for what was logged at the first try.
    fn wait_for_the_first(
        &mut self,
        applied: &Applied,
        durable: bool,
        lasting: bool,
    ) -> Result<(bool, bool), Error> {
        if durable && lasting && applied.receipt.position > self.synced {
            if let Health::ReadOnly(reason) = self.health {
                return Err(Error::OutcomeUnknown { reason: reason.clone() });
            }
            self.batch.sync = true;
        }
        Ok((false, lasting))
    }
}

/// Answers whoever submitted what was judged.
fn tell(submission: Submission, outcome: Result<Receipt, Error>) {
    match submission {
        Submission::Commit(_, done) => answer(done, outcome),
        Submission::Follow(_, done) => answer(done, outcome.map(drop)),
        // Nothing else is judged in a batch.
        _ => {}
    }
}

/// A home's commit that is too long for the log here can only come with a snapshot.
fn cant_be_logged(applied: &Applied, error: Error) -> Error {
    match error {
        Error::TooLarge { message, .. } => {
            let root = applied.receipt.versions.first().map_or_else(Key::default, |(root, _)| root.clone());
            Error::Diverged { root, reason: message }
        }
        error => error,
    }
}

fn is_rollback(transaction: &Transaction) -> bool {
    matches!(transaction.ops.as_slice(), [Op::Rollback { .. }])
}

fn durability(shared: &Shared, root: &str) -> Durability {
    match shared.durable {
        true => shared.options.durability_of(root),
        false => Durability::Memory,
    }
}
