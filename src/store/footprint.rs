//! How much memory the data take, kept below a limit: on a router of 64 MB nothing else would stop a client that writes
//! and writes.
//!
//! The number is kept as an upper bound, which costs next to nothing: each commit adds what it puts. What the history
//! lets go of meanwhile is noticed by a count of everything, and that is made only when the bound has reached the limit,
//! and not again before something may have changed about it. What a version shares with the one before is counted once:
//! a root's oldest kept version whole, and of each later one what its commit put.

use super::event::Event;
use super::state::{Past, State, with_kept};
use crate::tree::{Kind, NodeRef, Walk};
use crate::value::Value;

/// What a node takes beside its key and value, about: measured on configurations of real routers.
const NODE: u64 = 96;

/// Texts up to so many bytes are kept inline.
const INLINE: usize = 23;

/// The data's part of the limits.
#[derive(Debug)]
pub(super) struct Footprint {
    limit: u64,
    /// No less than there is.
    bound: u64,
    /// The last count.
    counted: u64,
    /// Something was taken away since.
    eased: bool,
}

impl Footprint {
    pub(super) fn new(limit: u64, state: &State) -> Footprint {
        let counted = count(state);
        Footprint { limit, bound: counted, counted, eased: false }
    }

    /// Whether there is room for what an event puts; if so, it's taken. `waiting`: what isn't in the state yet.
    pub(super) fn take(&mut self, event: &Event, state: &State, waiting: u64) -> Result<u64, Full> {
        let more = put_by(event);
        if more == 0 {
            self.eased = true;
            return Ok(0);
        }
        let worth_it = self.eased || self.bound.saturating_sub(self.counted) >= self.limit / 32;
        if self.bound.saturating_add(more) > self.limit && worth_it {
            self.counted = count(state).saturating_add(waiting);
            self.bound = self.counted;
            self.eased = false;
        }
        if self.bound.saturating_add(more) > self.limit {
            return Err(Full { bytes: self.bound, limit: self.limit });
        }
        self.bound = self.bound.saturating_add(more);
        Ok(more)
    }

    /// The history is shorter now.
    pub(super) fn ease(&mut self) {
        self.eased = true;
    }
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    bytes: u64,
    limit: u64,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kib = |bytes: u64| bytes / 1024;
        write!(
            f,
            "the data and their history take {} KiB of the {} KiB that this machine's memory allows; delete something, \
             or forget old versions with `tega snapshot --history 0`",
            kib(self.bytes),
            kib(self.limit)
        )
    }
}

/// Everything that is kept.
fn count(state: &State) -> u64 {
    let dead = state.dead.iter().map(|(_, tomb)| with_kept(&tomb.kept, |kept| history(kept.iter())));
    let live = state.live.iter().map(|(_, root)| {
        // A root that only ephemeral nodes hold up has no history.
        let kept = with_kept(&root.kept, |kept| history(kept.iter()));
        kept.saturating_add(below(root.present.root(), |node| node.stamp.as_version().is_none()))
    });
    let replaced = state.replaced.iter().flat_map(|(_, pasts)| pasts.iter());
    let replaced = replaced.filter_map(|past| past.tree.as_ref()).map(|tree| below(tree.root(), |_| true));
    dead.chain(live).chain(replaced).fold(0, u64::saturating_add)
}

fn history<'a>(mut kept: impl Iterator<Item = &'a Past>) -> u64 {
    let whole = |past: &Past| past.tree.as_ref().map_or(0, |tree| below(tree.root(), |_| true));
    let base = kept.next().map_or(0, whole);
    // One that came with a snapshot has no event, and shares nothing.
    let later = kept.map(|past| past.event.as_deref().map_or_else(|| whole(past), put_by));
    later.fold(base, u64::saturating_add)
}

/// What an event puts.
pub(super) fn put_by(event: &Event) -> u64 {
    let puts = event.changes.iter().filter_map(|change| Some((&change.path, change.after.as_ref()?)));
    let weights = puts.map(|(path, node)| {
        let node = node.with_stamp(crate::tree::Stamp::version(crate::tree::Version(0)));
        let key = path.keys().last().map_or(0, |key| key.len());
        own(key, node).saturating_add(below(node, |_| true))
    });
    weights.fold(0, u64::saturating_add)
}

/// What the nodes below one take, those that count.
fn below(node: NodeRef<'_>, counts: impl Fn(&NodeRef<'_>) -> bool) -> u64 {
    let mut sum: u64 = 0;
    let mut walk = Walk::new(node);
    while let Some((keys, node)) = walk.step() {
        if counts(&node) {
            sum = sum.saturating_add(own(keys.last().map_or(0, |key| key.len()), node));
        }
    }
    sum
}

/// What a node takes without those below it.
fn own(key: usize, node: NodeRef<'_>) -> u64 {
    let key = if key > INLINE { key } else { 0 };
    let value = match node.kind {
        Kind::Leaf(value) => text(value),
        Kind::Container(_) => 0,
    };
    NODE.saturating_add(key as u64).saturating_add(value)
}

/// What a value takes beside its place.
fn text(value: &Value) -> u64 {
    match value {
        Value::Text(text) if text.len() > INLINE => text.len() as u64,
        Value::List(list) => list.items().iter().map(|item| 32 + text(item)).fold(32, u64::saturating_add),
        Value::Object(object) => {
            let members = object.members().iter();
            members.map(|(key, value)| 64 + key.len() as u64 + text(value)).fold(32, u64::saturating_add)
        }
        _ => 0,
    }
}
