//! The roots at one moment: what a reader holds, and what the committer builds the next one from.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Event;
use crate::commit::{Incarnation, Position, TegaId};
use crate::path::{Key, Path};
use crate::tree::{Map, NodeRef, Tree, Version};
use crate::value::Value;

/// The kept versions of one root, oldest first; the newest is the present one.
pub(super) type Kept = Arc<Mutex<VecDeque<Past>>>;

/// Runs `f` on the kept versions. A panic while they were locked can't leave them half changed: every change is one
/// push or pop.
pub(super) fn with_kept<T>(kept: &Kept, f: impl FnOnce(&mut VecDeque<Past>) -> T) -> T {
    f(&mut kept.lock().unwrap_or_else(PoisonError::into_inner))
}

/// One root at one moment.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its version. 0 for a root that only ephemeral nodes hold up.
    pub version: Version,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its persistent nodes.
    pub tree: Tree,
    /// Those and the ephemeral ones: what reads of the present see.
    pub present: Tree,
    /// Only ephemeral nodes hold it up: it isn't in the log and goes with them.
    pub ephemeral_only: bool,
    pub(super) kept: Kept,
}

/// What is left of a deleted root: its history, so that a rollback can undo the deletion.
#[derive(Clone, Debug)]
pub(super) struct Tomb {
    pub(super) version: Version,
    pub(super) incarnation: Incarnation,
    pub(super) position: Position,
    pub(super) kept: Kept,
}

/// A kept version of a root.
#[derive(Clone, Debug)]
pub struct Past {
    /// Which.
    pub version: Version,
    /// Of which incarnation.
    pub incarnation: Incarnation,
    /// The commit that made it.
    pub position: Position,
    /// When, in milliseconds since 1970 by the clock of the server that committed; information only.
    pub time_ms: u64,
    /// By whom.
    pub by: Option<TegaId>,
    /// The state; `None`: the root was deleted.
    pub tree: Option<Tree>,
    /// What the commit did. `None` for the oldest kept version after a compaction.
    pub event: Option<Arc<Event>>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) position: Position,
    /// Up to here something happened that no history tells any more: a clear, or a deletion whose tombstone is gone.
    pub(super) floor: Position,
    pub(super) live: Map<Arc<Root>>,
    pub(super) dead: Map<Arc<Tomb>>,
}

impl State {
    pub(super) fn new(position: Position) -> State {
        State { position, floor: Position(0), live: Map::new(), dead: Map::new() }
    }

    pub(super) fn kept(&self, root: &str) -> Option<&Kept> {
        self.live
            .get(root)
            .filter(|r| !r.ephemeral_only)
            .map(|r| &r.kept)
            .or_else(|| self.dead.get(root).map(|t| &t.kept))
    }

    /// The version of a root, alive or deleted.
    pub(super) fn version(&self, root: &str) -> Option<Version> {
        let live = self.live.get(root).filter(|r| !r.ephemeral_only).map(|r| r.version);
        live.or_else(|| self.dead.get(root).map(|t| t.version))
    }
}

/// Everything at one moment. Cheap to take and to clone; what it shows never changes.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) state: State,
}

impl View {
    /// The newest commit that this view shows.
    pub fn position(&self) -> Position {
        self.state.position
    }

    /// The roots that exist, in the order of their names.
    pub fn roots(&self) -> impl Iterator<Item = (&Key, &Root)> {
        self.state.live.iter().map(|(name, root)| (name, &**root))
    }

    /// One root.
    pub fn root(&self, name: &str) -> Option<&Root> {
        self.state.live.get(name).map(|root| &**root)
    }

    /// The node at a path, ephemeral ones included. The top isn't a node: `None`.
    pub fn node(&self, path: &Path) -> Option<NodeRef<'_>> {
        let (root, keys) = path.keys().split_first()?;
        self.state.live.get(root)?.present.get(keys)
    }

    /// The value at a path; at the top an object of all roots.
    pub fn get(&self, path: &Path) -> Option<Value> {
        if path.is_empty() {
            let roots = self.roots().map(|(name, root)| (name.clone(), root.present.root().to_value()));
            // Names of roots are distinct, and no tree is deeper than a value may be.
            return Value::object(roots.collect()).ok();
        }
        self.node(path).map(|node| node.to_value())
    }
}
