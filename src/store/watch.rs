//! Watches: each subscriber's bounded queue of events, filled as commits become visible.
//!
//! The committer looks subscribers up by the root that changed, compares paths, and pushes a shared pointer: nothing
//! is formatted and no regex is run in its thread. A queue that overflows is dropped whole and the watch is `Lagging`
//! for good: its owner starts again from a position or version that it knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::event::{Channel, Event, Notice, notices};
use super::feed::FeedQueue;
use super::footprint::put_by;
use super::options::Durability;
use super::state::{Past, State, View};
use super::within::{changes_within, meets, node_within};
use super::{Error, Shared};
use crate::commit::{Incarnation, Position, TegaId};
use crate::path::{Key, Path};
use crate::tree::{Node, Version};

/// The most channels of one watch.
pub const MAX_CHANNELS: usize = 1_000;

/// Where a subscriber left off.
#[derive(Clone, Debug)]
pub enum Since {
    /// The version that it knows of each root. Roots that it doesn't name are new to it.
    Versions(Vec<(Key, Incarnation, Version)>),
    /// The last position that it saw.
    Position(Position),
}

/// What a subscription starts with.
#[derive(Debug)]
pub struct Subscribed {
    /// The state when it began: every later event is queued, no earlier one is.
    pub view: View,
    /// What was missed since, oldest first; `None`: the history doesn't reach back that far, so start from `view`.
    pub missed: Option<Vec<Arc<Event>>>,
}

/// The queue overflowed: subscribe anew from what you know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagging;

/// A subscriber's queue of events. Dropping it ends it.
pub struct Watch {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

pub(super) struct Queue {
    id: u64,
    /// Whose own changes aren't queued.
    except: Option<TegaId>,
    /// The subtrees of which its owner is told; `None`: everything.
    within: Option<Box<[Path]>>,
    limit: usize,
    most_bytes: u64,
    wake: Box<dyn Fn() + Send + Sync>,
    inner: Mutex<Inner>,
    ready: Condvar,
}

struct Inner {
    /// `wake` is going to be called.
    waking: bool,
    /// Shared, so that telling an event needs no lock.
    channels: Arc<[Channel]>,
    /// With what each puts, about.
    events: VecDeque<(Arc<Event>, u64)>,
    /// The sum of that.
    bytes: u64,
    lagging: bool,
}

impl Inner {
    fn pop(&mut self) -> Option<Arc<Event>> {
        let (event, weight) = self.events.pop_front()?;
        self.bytes = self.bytes.saturating_sub(weight);
        Some(event)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event that concerns a channel; true: `wake` is to be called.
    fn push(&self, event: &Arc<Event>, weight: u64) -> bool {
        let mut inner = self.lock();
        let within = self.within.as_deref();
        let concerned = |channel: &Channel| {
            event
                .changes
                .iter()
                .any(|change| channel.may_concern(&change.path) && meets(&change.path, within))
        };
        // A rollback to an equal state changes nothing and is told all the same.
        let rolled_back = event.rollback_to.is_some();
        if inner.lagging || !(rolled_back || inner.channels.iter().any(concerned)) {
            return false;
        }
        // One always fits, or a long one could never be told.
        let heavy = !inner.events.is_empty() && inner.bytes.saturating_add(weight) > self.most_bytes;
        if inner.events.len() == self.limit || heavy {
            inner.lagging = true;
            inner.events = VecDeque::new();
        } else {
            inner.bytes = inner.bytes.saturating_add(weight);
            inner.events.push_back((event.clone(), weight));
        }
        !std::mem::replace(&mut inner.waking, true)
    }

    /// Tells the owner of what was queued. It is foreign code: a panic of it mustn't take the committer down.
    pub(super) fn wake(&self) {
        self.lock().waking = false;
        self.ready.notify_all();
        if catch_unwind(AssertUnwindSafe(|| (self.wake)())).is_err() {
            ::log::error!("a watcher panicked when it was woken");
        }
    }
}

/// All watches, found by the root that they watch.
#[derive(Default)]
pub(super) struct Watches {
    by_root: HashMap<Key, Vec<Arc<Queue>>>,
    /// Those with a regex or the top among their channels.
    any_root: Vec<Arc<Queue>>,
    count: usize,
    next: u64,
    feeds: HashMap<Key, Vec<Arc<FeedQueue>>>,
    /// The feeds that got a commit which isn't durable yet, by their ids.
    held: BTreeMap<u64, Arc<FeedQueue>>,
}

impl Watches {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many roots have feeds.
    #[cfg(test)]
    pub(super) fn feeds(&self) -> usize {
        self.feeds.len() + self.held.len()
    }

    /// Queues an event with everybody whom it may concern; `wake` gets those that are to be woken after it.
    pub(super) fn publish(&self, event: &Arc<Event>, wake: &mut Vec<Arc<Queue>>) {
        if self.count == 0 {
            return;
        }
        let weight = put_by(event);
        let mut roots: Vec<&Key> = Vec::with_capacity(1);
        let changed = event.changes.iter().filter_map(|c| c.path.root());
        for root in changed.chain(event.rollback_to.iter().map(|(root, _)| root)) {
            if roots.last() != Some(&root) && !roots.contains(&root) {
                roots.push(root);
            }
        }
        let mine = |queue: &Queue| queue.except.is_some() && queue.except == event.by;
        // One root is the rule, and then nobody can be met twice.
        let mut met: Vec<u64> = Vec::new();
        for root in &roots {
            for queue in self.by_root.get(*root).into_iter().flatten() {
                if mine(queue) || met.contains(&queue.id) {
                    continue;
                }
                if roots.len() > 1 {
                    met.push(queue.id);
                }
                if queue.push(event, weight) {
                    wake.push(queue.clone());
                }
            }
        }
        for queue in self.any_root.iter().filter(|queue| !mine(queue)) {
            if queue.push(event, weight) {
                wake.push(queue.clone());
            }
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Queues a commit with the feeds of its roots, and ends those whose roots' history it ends; `wake` gets those that
    /// are to be woken after it.
    pub(super) fn feed(&mut self, event: &Arc<Event>, wake: &mut Vec<Arc<FeedQueue>>) {
        if self.feeds.is_empty() {
            return;
        }
        if !event.breaks.is_empty() {
            let ended = event.breaks.iter().filter_map(|root| self.feeds.get(root)).flatten();
            return wake.extend(ended.filter(|feed| feed.end()).cloned());
        }
        // One root is the rule, and then nobody can be met twice.
        let mut met: BTreeSet<u64> = BTreeSet::new();
        for (root, ..) in &event.roots {
            for feed in self.feeds.get(root).into_iter().flatten() {
                if event.roots.len() > 1 && !met.insert(feed.id) {
                    continue;
                }
                if !event.durable {
                    self.held.insert(feed.id, feed.clone());
                }
                if feed.push(event) {
                    wake.push(feed.clone());
                }
            }
        }
    }

    /// The feeds that may go on, now that everything is durable.
    pub(super) fn take_held(&mut self) -> Vec<Arc<FeedQueue>> {
        std::mem::take(&mut self.held).into_values().collect()
    }

    pub(super) fn file_feed(&mut self, feed: &Arc<FeedQueue>) {
        for root in feed.roots() {
            self.feeds.entry(root.clone()).or_default().push(feed.clone());
        }
    }

    pub(super) fn drop_feed(&mut self, feed: &FeedQueue) {
        self.held.remove(&feed.id);
        for root in feed.roots() {
            if let Some(feeds) = self.feeds.get_mut(root) {
                feeds.retain(|other| other.id != feed.id);
                if feeds.is_empty() {
                    self.feeds.remove(root);
                }
            }
        }
    }

    /// Files a queue under the roots of its channels, which were `before` until now, and under nothing else.
    fn file(&mut self, queue: &Arc<Queue>, before: &[Channel], now: &[Channel]) {
        let (before, now) = (places(before), places(now));
        for place in before.difference(&now) {
            match place {
                None => self.any_root.retain(|other| other.id != queue.id),
                Some(root) => {
                    if let Some(queues) = self.by_root.get_mut(*root) {
                        queues.retain(|other| other.id != queue.id);
                        if queues.is_empty() {
                            self.by_root.remove(*root);
                        }
                    }
                }
            }
        }
        for place in now.difference(&before) {
            match place {
                None => self.any_root.push(queue.clone()),
                Some(root) => self.by_root.entry((*root).clone()).or_default().push(queue.clone()),
            }
        }
    }
}

/// The roots that channels watch; `None` for those that may watch any.
fn places(channels: &[Channel]) -> BTreeSet<Option<&Key>> {
    let places: BTreeSet<Option<&Key>> = channels.iter().map(root_of).collect();
    // In `any_root` a queue meets every event, so it needs no place under single roots.
    if places.contains(&None) { BTreeSet::from([None]) } else { places }
}

fn root_of(channel: &Channel) -> Option<&Key> {
    if let Channel::Path(path) = channel { path.root() } else { None }
}

impl Watch {
    pub(super) fn new(
        shared: Arc<Shared>,
        except: Option<TegaId>,
        within: Option<Box<[Path]>>,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Watch {
        let mut watches = shared.watches();
        watches.next += 1;
        watches.count += 1;
        let queue = Queue {
            id: watches.next,
            except,
            within,
            limit: shared.options.watch_queue,
            most_bytes: shared.options.watch_bytes,
            wake,
            inner: Mutex::new(Inner {
                waking: false,
                channels: Arc::from([]),
                events: VecDeque::new(),
                bytes: 0,
                lagging: false,
            }),
            ready: Condvar::new(),
        };
        drop(watches);
        Watch { shared, queue: Arc::new(queue) }
    }

    /// Adds a channel. Atomic with the commits: every event after the answer's `view` is queued, and none before it.
    ///
    /// Refused beyond [`MAX_CHANNELS`]. A channel that is there already is subscribed once.
    pub fn subscribe(&self, channel: Channel, since: Option<Since>) -> Result<Subscribed, Error> {
        // Publishing takes this lock too, for the swap of the state and the queueing together.
        let mut watches = self.shared.watches();
        let before = self.queue.lock().channels.clone();
        if !before.iter().any(|c| same(c, &channel)) {
            if before.len() == MAX_CHANNELS {
                let message = format!("{MAX_CHANNELS} channels are subscribed, which is the most");
                return Err(Error::TooLarge { path: None, message });
            }
            let mut channels = before.to_vec();
            channels.push(channel.clone());
            watches.file(&self.queue, &before, &channels);
            self.queue.lock().channels = channels.into();
        }
        let view = View { state: self.shared.published() };
        let missed = match since {
            Some(since) => missed(&self.shared, &view.state, &channel, self.queue.within.as_deref(), &since),
            None => Some(Vec::new()),
        };
        drop(watches);
        Ok(Subscribed { view, missed })
    }

    /// Removes a channel, named as it was subscribed; false: it wasn't there.
    pub fn unsubscribe(&self, channel: &str, regex: bool) -> bool {
        self.retain(|c| !(matches!(c, Channel::Regex { .. }) == regex && c.text() == channel))
    }

    /// Removes all channels.
    pub fn unsubscribe_all(&self) {
        self.retain(|_| false);
    }

    fn retain(&self, keep: impl FnMut(&Channel) -> bool) -> bool {
        let mut watches = self.shared.watches();
        let before = self.queue.lock().channels.clone();
        let mut channels = before.to_vec();
        channels.retain(keep);
        let changed = channels.len() < before.len();
        if changed {
            watches.file(&self.queue, &before, &channels);
            self.queue.lock().channels = channels.into();
        }
        changed
    }

    /// The next event, if there is one; or that the queue overflowed, from then on for good.
    pub fn try_next(&self) -> Result<Option<Arc<Event>>, Lagging> {
        let mut inner = self.queue.lock();
        if inner.lagging { Err(Lagging) } else { Ok(inner.pop()) }
    }

    /// Waits for the next event, at most this long.
    pub fn wait(&self, timeout: Duration) -> Result<Option<Arc<Event>>, Lagging> {
        let until = Instant::now() + timeout;
        let mut inner = self.queue.lock();
        loop {
            if inner.lagging {
                return Err(Lagging);
            }
            let left = until.saturating_duration_since(Instant::now());
            match inner.pop() {
                Some(event) => return Ok(Some(event)),
                None if left.is_zero() => return Ok(None),
                None => {
                    let waited = self.queue.ready.wait_timeout(inner, left);
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// What this watch's channels are told of an event: each change once, in order. Empty: it doesn't concern them.
    pub fn notices(&self, event: &Event) -> Vec<Notice> {
        let channels = self.queue.lock().channels.clone();
        told(channels.iter(), event, &self.shared.published(), self.queue.within.as_deref())
    }

    /// What this watch's owner is told of an event, such as one that was missed, by one channel alone.
    pub fn notices_of(&self, channel: &Channel, event: &Event, view: &View) -> Vec<Notice> {
        told(std::iter::once(channel), event, &view.state, self.queue.within.as_deref())
    }
}

/// What the subscriber of one channel is told of an event, such as one that was missed, where it may see everything.
pub fn notices_of(channel: &Channel, event: &Event, view: &View) -> Vec<Notice> {
    told(std::iter::once(channel), event, &view.state, None)
}

fn told<'a>(
    channels: impl Iterator<Item = &'a Channel> + Clone,
    event: &Event,
    state: &State,
    within: Option<&[Path]>,
) -> Vec<Notice> {
    let changes = changes_within(&event.changes, within);
    // Of a rollback that changed nothing that may be seen, nothing is told; of one that changed nothing at all, that it
    // happened.
    let rollback = event.rollback_to.as_ref().filter(|(root, _)| {
        let at_root = |path: &Path| path.root() == Some(root);
        within.is_none_or(|within| {
            !changes.is_empty()
                || (event.changes.is_empty() && within.iter().any(|path| path.is_empty() || at_root(path)))
        })
    });
    notices(channels, &changes, rollback, |path| {
        let node = state_after(path, event, state)?;
        within.map_or_else(|| Some(node.clone()), |within| node_within(&node, path, within))
    })
}

/// The node at a path after an event.
fn state_after(path: &Path, event: &Event, state: &State) -> Option<Node> {
    let (root, keys) = path.keys().split_first()?;
    // The state of the event itself, as long as it is kept; else the present one, which is newer.
    let version = event.roots.iter().find(|(name, ..)| name == root).map(|(_, _, version)| *version);
    let past = state.kept(root).and_then(|kept| {
        super::state::with_kept(kept, |kept| kept.iter().find(|past| Some(past.version) == version).cloned())
    });
    match past {
        Some(past) => past.tree?.get(keys).map(|node| node.to_node()),
        None => state.live.get(root)?.present.get(keys).map(|node| node.to_node()),
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = self.shared.watches();
        let channels = self.queue.lock().channels.clone();
        watches.file(&self.queue, &channels, &[]);
        watches.count -= 1;
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(&self.queue.id).finish()
    }
}

fn same(a: &Channel, b: &Channel) -> bool {
    match (a, b) {
        (Channel::Path(a), Channel::Path(b)) => a == b,
        (Channel::Regex { text: a, .. }, Channel::Regex { text: b, .. }) => a == b,
        _ => false,
    }
}

/// The commits that a subscriber of this channel hasn't seen, or `None` where the history doesn't reach back. Roots of
/// which `within` has nothing don't matter.
fn missed(
    shared: &Shared,
    state: &State,
    channel: &Channel,
    within: Option<&[Path]>,
    since: &Since,
) -> Option<Vec<Arc<Event>>> {
    if !may_be_told(shared, state, root_of(channel), since) {
        return None;
    }
    let names: Vec<Key> = match root_of(channel) {
        Some(root) => vec![root.clone()],
        None => state
            .live
            .iter()
            .map(|(name, _)| name)
            .chain(state.dead.iter().map(|(name, _)| name))
            .filter(|name| meets(&Path::from_checked(vec![(*name).clone()]), within))
            .cloned()
            .collect(),
    };
    let mut events: Vec<Arc<Event>> = Vec::new();
    for name in &names {
        let Some(kept) = state.kept(name) else { continue };
        super::state::with_kept(kept, |kept| {
            let known = match since {
                Since::Position(position) => kept.iter().rposition(|past| past.position <= *position),
                Since::Versions(known) => match known.iter().find(|(root, ..)| root == name) {
                    Some((_, incarnation, version)) => kept
                        .iter()
                        .rposition(|past| past.version <= *version && past.incarnation == *incarnation)
                        .filter(|at| kept[*at].version == *version),
                    None => None,
                },
            };
            // Unknown to the subscriber: complete only if its creation is still kept.
            let from = match known {
                Some(at) => at + 1,
                None if is_new_to(since, name) && begins_with_creation(kept, name) => 0,
                None => return None,
            };
            // Published ones only: the history is a step ahead while a batch is being published.
            let fresh = kept.iter().skip(from).filter(|past| past.position <= state.position);
            events.extend(fresh.filter_map(|past| past.event.clone()));
            Some(())
        })?;
    }
    events.sort_by_key(|event| event.position);
    events.dedup_by_key(|event| event.position);
    Some(events)
}

/// Whether what happened since isn't partly forgotten already, by a clear, a dropped tombstone or, for roots in
/// memory, a restart. `root`: the only one that matters.
fn may_be_told(shared: &Shared, state: &State, root: Option<&Key>, since: &Since) -> bool {
    match since {
        Since::Position(position) => {
            let in_memory = match root {
                Some(root) => shared.options.durability_of(root) == Durability::Memory,
                None => shared.options.any_in_memory(),
            };
            // A history that reaches back to where the subscriber left off tells all of its root.
            let reaches_back = |root: &Key| {
                state.kept(root).is_some_and(|kept| {
                    super::state::with_kept(kept, |kept| kept.iter().any(|past| past.position <= *position))
                })
            };
            let forgotten = (*position < state.floor && !root.is_some_and(reaches_back))
                || (in_memory && *position < shared.started_at);
            // A position from the future is one of another store, or of a commit that a crash undid.
            !forgotten && *position <= state.position
        }
        Since::Versions(known) => {
            let gone = |name: &Key| state.kept(name).is_none() && root.is_none_or(|root| root == name);
            !known.iter().any(|(name, ..)| gone(name))
        }
    }
}

fn begins_with_creation(kept: &VecDeque<Past>, root: &Key) -> bool {
    let first = kept.front().and_then(|past| past.event.as_ref());
    first.is_some_and(|event| event.created.contains(root))
}

/// Whether the subscriber can't have seen any version of this root: it was created after where it left off.
fn is_new_to(since: &Since, root: &Key) -> bool {
    match since {
        Since::Position(_) => true,
        Since::Versions(known) => !known.iter().any(|(name, ..)| name == root),
    }
}
