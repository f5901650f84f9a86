//! A home's side of a link: each follower's bounded queue of commits, which leave it once they are durable.
//!
//! It is filled as watches are, under the same lock and found by root, but with whole commits and without channels.
//! Whatever ends a root's history, such as a clear, ends its feeds as if they lagged.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::Event;
use super::options::Durability;
use super::replica::{Sent, Standing, Start};
use super::shared::locked;
use super::snapshot::Taken;
use super::state::{Past, State, with_kept};
use super::watch::Lagging;
use super::{Error, Shared};
use crate::commit::Position;
use crate::path::Key;

/// How often a feed that begins with a snapshot tries to find everything durable.
const TRIES: usize = 10;

/// A queue that was longer than this gives its room back when it is empty.
const SPARED: usize = 16;

pub(super) struct FeedQueue {
    pub(super) id: u64,
    roots: Box<[Key]>,
    /// How many commits it holds back before it lags.
    limit: usize,
    wake: Wake,
    inner: Mutex<Inner>,
}

/// Tells the owner of a feed that it may have something.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

struct Inner {
    /// `wake` is going to be called.
    waking: bool,
    lagging: bool,
    events: VecDeque<Arc<Event>>,
    /// The last commit that was given out, or where the feed began.
    given: Position,
    /// Where it began was told.
    begun: bool,
}

impl FeedQueue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, root: &str) -> bool {
        self.roots.iter().any(|name| name == root)
    }

    pub(super) fn roots(&self) -> &[Key] {
        &self.roots
    }

    /// Queues a commit; true: `wake` is to be called.
    pub(super) fn push(&self, event: &Arc<Event>) -> bool {
        let mut inner = self.lock();
        if inner.lagging {
            return false;
        }
        if inner.events.len() >= self.limit {
            inner.lagging = true;
            inner.events = VecDeque::new();
        } else {
            inner.events.push_back(event.clone());
        }
        !std::mem::replace(&mut inner.waking, true)
    }

    /// Ends it: its follower must begin anew. True: `wake` is to be called.
    pub(super) fn end(&self) -> bool {
        let mut inner = self.lock();
        inner.lagging = true;
        inner.events = VecDeque::new();
        !std::mem::replace(&mut inner.waking, true)
    }

    /// Tells the owner. It is foreign code: a panic of it mustn't take the committer down.
    pub(super) fn wake(&self) {
        self.lock().waking = false;
        if catch_unwind(AssertUnwindSafe(|| (self.wake)())).is_err() {
            ::log::error!("a feed's owner panicked when it was woken");
        }
    }
}

/// The durable commits to some roots, in order, each once. Dropping it ends it.
pub struct Feed {
    shared: Arc<Shared>,
    queue: Arc<FeedQueue>,
    /// Where it begins with a snapshot, until commits follow.
    taken: Option<Taken>,
}

impl Feed {
    /// See [`Store::feed_now`](super::Store::feed_now). Where it can't begin, `wake` comes back.
    pub(super) fn try_begin(
        shared: &Arc<Shared>,
        roots: &[Key],
        known: &[(Key, Option<Standing>)],
        wake: Wake,
    ) -> Result<(Feed, Start), Wake> {
        // Publishing takes this lock too: the queue gets what comes after the state, and nothing else.
        let mut watches = shared.watches();
        let state = shared.published();
        let backlog = backlog(&state, roots, known);
        let start = if backlog.is_some() { Start::Resume } else { Start::Snapshot };
        let begun = match backlog {
            Some(events) => {
                let first = events.front().and_then(|event| event.position);
                let given = first.map_or(state.position, |first| Position(first.0.saturating_sub(1)));
                Some((None, events, given))
            }
            None => take(shared, &state, roots).and_then(|taken| {
                let position = taken.position;
                let later = later(&state, roots, position);
                later.map(|events| (Some(taken), events, position))
            }),
        };
        let Some((taken, events, given)) = begun else { return Err(wake) };
        let queue = queue(shared, watches.next_id(), roots, events, given, wake);
        watches.file_feed(&queue);
        Ok((Feed { shared: shared.clone(), queue, taken }, start))
    }

    /// See [`Store::feed`](super::Store::feed). `flush` makes durable what is visible.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        roots: &[Key],
        known: &[(Key, Option<Standing>)],
        mut wake: Wake,
        flush: impl Fn() -> Result<(), Error>,
    ) -> (Feed, Start) {
        for _ in 0..TRIES {
            wake = match Feed::try_begin(shared, roots, known, wake) {
                Ok(begun) => return begun,
                Err(wake) => wake,
            };
            // Something isn't durable yet, and its history doesn't reach back to what is.
            if flush().is_err() {
                break;
            }
        }
        let queue = queue(shared, 0, roots, VecDeque::new(), Position(0), wake);
        queue.lock().lagging = true;
        (Feed { shared: shared.clone(), queue, taken: None }, Start::Snapshot)
    }

    /// The next commit that is durable, if there is one. [`Lagging`]: begin a new feed.
    pub fn try_next(&mut self) -> Result<Option<Sent>, Lagging> {
        let synced = self.shared.synced();
        let mut inner = self.queue.lock();
        if inner.lagging {
            return Err(Lagging);
        }
        if !inner.events.front().is_some_and(|event| is_durable(&self.shared, event, synced)) {
            return Ok(None);
        }
        let Some(event) = inner.events.pop_front() else { return Ok(None) };
        if event.origin.is_some() && moved_away(&self.shared, &event) {
            // Another server is the home by now, and only the home gives out what it does.
            (inner.lagging, inner.events) = (true, VecDeque::new());
            return Err(Lagging);
        }
        if inner.events.is_empty() && inner.events.capacity() > SPARED {
            inner.events = VecDeque::new();
        }
        let position = event.position.unwrap_or_default();
        let after = std::mem::replace(&mut inner.given, position);
        inner.begun = true;
        drop(inner);
        self.taken = None;
        let mut record = String::new();
        // Writing to a String can't fail.
        let _ = event.record(|root| !self.queue.has(root), event.request.as_ref(), &mut record);
        Ok(Some(Sent { position, after, record }))
    }

    /// The position up to which a replica that has all that was given out has everything. What the first call returns
    /// is the first commit's [`Sent::after`].
    pub fn position(&self) -> Position {
        // As long as this is held nothing is published, and an empty queue means that nothing is missing.
        let _watches = self.shared.watches();
        let mut inner = self.queue.lock();
        let first = !std::mem::replace(&mut inner.begun, true);
        if inner.lagging || !inner.events.is_empty() || (first && self.taken.is_some()) {
            return inner.given;
        }
        let mut position = self.shared.published().position;
        if !self.queue.roots.iter().all(|root| is_memory(&self.shared, root)) {
            position = position.min(self.shared.synced());
        }
        let position = position.max(inner.given);
        if first {
            inner.given = position;
        }
        position
    }

    /// Whether something is held back because it isn't durable yet: [`Store::flush`](super::Store::flush) helps.
    pub fn waits_for_disk(&self) -> bool {
        let synced = self.shared.synced();
        self.queue.lock().events.front().is_some_and(|event| !is_durable(&self.shared, event, synced))
    }

    /// All roots of the feed at the [`Feed::position`] where it began, as lines for [`Incoming::line`], in pieces of
    /// about 32 KiB; made as they are asked for, so that a large root isn't in memory twice. To be taken before the
    /// first commit; empty after it, and where the feed began with [`Start::Resume`].
    ///
    /// `outcomes`: with those of requests, which who never becomes the home needn't have.
    ///
    /// [`Incoming::line`]: super::Incoming::line
    pub fn snapshot(&self, outcomes: bool) -> Box<dyn Iterator<Item = String> + Send> {
        match self.taken.clone() {
            Some(taken) => {
                // Every outcome of what is published is there; those of later commits come with them. They're looked up
                // when the states have gone out: thousands of slow followers aren't to have a copy each all that time.
                let (shared, queue, position) = (self.shared.clone(), self.queue.clone(), taken.position);
                let of = move || shared.requests().of(&queue.roots, position);
                Box::new(taken.lines(move || if outcomes { of() } else { Vec::new() }))
            }
            None => Box::new(std::iter::empty()),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.watches().drop_feed(&self.queue);
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Feed").field(&self.queue.id).finish()
    }
}

fn queue(
    shared: &Shared,
    id: u64,
    roots: &[Key],
    events: VecDeque<Arc<Event>>,
    given: Position,
    wake: Wake,
) -> Arc<FeedQueue> {
    let limit = shared.options.watch_queue + events.len();
    let inner = Inner { waking: false, lagging: false, events, given, begun: false };
    Arc::new(FeedQueue { id, roots: roots.into(), limit, wake, inner: Mutex::new(inner) })
}

/// Whether it touches a root whose home is another server, which has begun to commit.
fn moved_away(shared: &Shared, event: &Event) -> bool {
    let state = shared.published();
    event.roots.iter().any(|(root, ..)| state.homes.get(root).is_some_and(|away| !away.handover))
}

fn is_durable(shared: &Shared, event: &Event, synced: Position) -> bool {
    event.position.is_none_or(|position| position <= synced)
        || event.roots.iter().all(|(root, ..)| is_memory(shared, root))
}

/// Its commits leave at once: a restart begins a new incarnation.
pub(super) fn is_memory(shared: &Shared, root: &str) -> bool {
    !shared.durable || shared.options.durability_of(root) == Durability::Memory
}

/// The commits that the replica lacks; `None`: it needs a snapshot.
fn backlog(state: &State, roots: &[Key], known: &[(Key, Option<Standing>)]) -> Option<VecDeque<Arc<Event>>> {
    let mut events: Vec<Arc<Event>> = Vec::new();
    for root in roots {
        let known = known.iter().find(|(name, _)| name == root).and_then(|(_, standing)| *standing);
        let Some(kept) = state.kept(root) else {
            if known.is_some() {
                return None;
            }
            continue;
        };
        with_kept(kept, |kept| {
            let from = match known {
                Some(known) => {
                    kept.iter().position(|past| {
                        let Past { version, incarnation, digest, .. } = *past;
                        Standing { incarnation, version, digest } == known && past.position <= state.position
                    })? + 1
                }
                None => {
                    let first = kept.front().and_then(|past| past.event.as_ref());
                    first.filter(|event| event.created.contains(root))?;
                    0
                }
            };
            for past in kept.iter().skip(from).filter(|past| past.position <= state.position) {
                events.push(past.event.clone()?);
            }
            Some(())
        })?;
    }
    events.sort_by_key(|event| event.position);
    events.dedup_by_key(|event| event.position);
    Some(events.into())
}

/// The newest state of the roots that is durable; `None`: the history doesn't reach back to it.
fn take(shared: &Shared, state: &State, roots: &[Key]) -> Option<Taken> {
    let synced = shared.synced().min(state.position);
    // A root in memory has no durable state, and needs none.
    let position = if roots.iter().all(|root| is_memory(shared, root)) { state.position } else { synced };
    let newest = |root: &Key| -> Option<(Key, Option<Past>)> {
        let Some(kept) = state.kept(root) else { return Some((root.clone(), None)) };
        let past = with_kept(kept, |kept| kept.iter().rev().find(|past| past.position <= position).cloned());
        let past = match past {
            Some(past) => past,
            // Created since.
            None if with_kept(kept, |kept| begins(kept.front(), root)) => return Some((root.clone(), None)),
            None => return None,
        };
        Some((root.clone(), Some(Past { event: None, ..past })))
    };
    Some(Taken { position, roots: roots.iter().map(newest).collect::<Option<_>>()? })
}

fn begins(first: Option<&Past>, root: &Key) -> bool {
    first.and_then(|past| past.event.as_ref()).is_some_and(|event| event.created.contains(root))
}

/// The published commits to the roots after a position.
fn later(state: &State, roots: &[Key], position: Position) -> Option<VecDeque<Arc<Event>>> {
    let mut events: Vec<Arc<Event>> = Vec::new();
    for kept in roots.iter().filter_map(|root| state.kept(root)) {
        with_kept(kept, |kept| {
            let later =
                kept.iter().filter(|past| past.position > position && past.position <= state.position);
            later.map(|past| past.event.clone()).try_for_each(|event| {
                events.push(event?);
                Some(())
            })
        })?;
    }
    events.sort_by_key(|event| event.position);
    events.dedup_by_key(|event| event.position);
    Some(events.into())
}

impl Shared {
    /// Everything up to here is on the disk.
    pub(super) fn synced(&self) -> Position {
        *locked(&self.synced)
    }
}
