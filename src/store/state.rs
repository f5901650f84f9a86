//! The roots at one moment: what a reader holds, and what the committer builds the next one from.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Event;
use super::homes::Away;
use super::replica::Standing;
use crate::commit::{Incarnation, Position, TegaId};
use crate::path::{Key, Path};
use crate::tree::{Map, NodeRef, Stamp, Tree, Version};
use crate::value::Value;

/// How many replaced states of a root are kept.
const REPLACED: usize = 3;

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
    /// See [`Standing::digest`](super::Standing::digest).
    pub digest: u64,
    /// The commit that gave it its version, here.
    pub position: Position,
    /// On a replica: that commit's position at the home.
    pub origin: Option<Position>,
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
    pub(super) digest: u64,
    pub(super) position: Position,
    pub(super) origin: Option<Position>,
    pub(super) kept: Kept,
}

/// A kept version of a root.
#[derive(Clone, Debug)]
pub struct Past {
    /// Which.
    pub version: Version,
    /// Of which incarnation.
    pub incarnation: Incarnation,
    /// The commit that made it; for one that came with a snapshot, the position at which that was installed.
    pub position: Position,
    /// On a replica: the commit's position at the home.
    pub origin: Option<Position>,
    /// See [`Standing::digest`](super::Standing::digest).
    pub digest: u64,
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
    /// The roots whose home is recorded as another server.
    pub(super) homes: Map<Arc<Away>>,
    /// The states that a home's snapshots replaced, oldest first.
    pub(super) replaced: Map<Arc<Vec<Past>>>,
}

impl State {
    pub(super) fn new(position: Position) -> State {
        State {
            position,
            floor: Position(0),
            live: Map::new(),
            dead: Map::new(),
            homes: Map::new(),
            replaced: Map::new(),
        }
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

    /// How far a root is, alive or deleted.
    pub(super) fn standing(&self, root: &str) -> Option<Standing> {
        let live = self.live.get(root).filter(|r| !r.ephemeral_only);
        let live =
            live.map(|r| Standing { incarnation: r.incarnation, version: r.version, digest: r.digest });
        live.or_else(|| {
            let tomb = self.dead.get(root)?;
            Some(Standing { incarnation: tomb.incarnation, version: tomb.version, digest: tomb.digest })
        })
    }

    /// The commit that made the newest version of a root, alive or deleted.
    pub(super) fn position_of(&self, root: &str) -> Option<Position> {
        let live = self.live.get(root).filter(|r| !r.ephemeral_only).map(|r| r.position);
        live.or_else(|| self.dead.get(root).map(|tomb| tomb.position))
    }

    /// On a replica: the position at the home of the newest commit to a root that is here.
    pub(super) fn origin(&self, root: &str) -> Option<Position> {
        let live = self.live.get(root).filter(|r| !r.ephemeral_only).map(|r| r.origin);
        live.or_else(|| self.dead.get(root).map(|tomb| tomb.origin)).flatten()
    }

    /// Makes a version the present one of its root. `present`: the tree with what is ephemeral.
    pub(super) fn place(&mut self, name: &Key, past: &Past, present: Option<Tree>, kept: &Kept) {
        let Past { version, incarnation, digest, position, origin, .. } = *past;
        match &past.tree {
            Some(_) => {
                if let Some((dead, _)) = self.dead.remove(name) {
                    self.dead = dead;
                }
            }
            None => {
                let kept = kept.clone();
                let tomb = Tomb { version, incarnation, digest, position, origin, kept };
                self.dead = self.dead.insert(name.clone(), Arc::new(tomb)).0;
            }
        }
        let Some(present) = present else {
            if let Some((live, _)) = self.live.remove(name) {
                self.live = live;
            }
            return;
        };
        let ephemeral_only = past.tree.is_none();
        let tree = past.tree.clone().unwrap_or_else(|| Tree::new(Stamp::version(version)));
        let kept = kept.clone();
        let root =
            Root { version, incarnation, digest, position, origin, tree, present, ephemeral_only, kept };
        self.live = self.live.insert(name.clone(), Arc::new(root)).0;
    }

    /// Forgets a root and its history.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some((live, _)) = self.live.remove(name) {
            self.live = live;
        }
        if let Some((dead, _)) = self.dead.remove(name) {
            self.dead = dead;
        }
    }

    /// Takes a root's new home into the records.
    pub(super) fn set_home(&mut self, root: &Key, away: Option<Away>) {
        match away {
            Some(away) => self.homes = self.homes.insert(root.clone(), Arc::new(away)).0,
            None => {
                if let Some((homes, _)) = self.homes.remove(root) {
                    self.homes = homes;
                }
            }
        }
    }

    /// Keeps the present state of a root as the newest of its replaced ones.
    pub(super) fn keep_replaced(&mut self, root: &Key, past: Past) {
        let mut pasts = self.replaced.get(root).map_or_else(Vec::new, |pasts| pasts.to_vec());
        pasts.push(Past { event: None, ..past });
        pasts.drain(..pasts.len().saturating_sub(REPLACED));
        self.replaced = self.replaced.insert(root.clone(), Arc::new(pasts)).0;
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

    /// The roots named `name` or after it.
    pub fn roots_from<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a Key, &'a Root)> + use<'a> {
        self.state.live.iter_from(name).map(|(name, root)| (name, &**root))
    }

    /// How many roots exist.
    pub fn root_count(&self) -> usize {
        self.state.live.len()
    }

    /// One root.
    pub fn root(&self, name: &str) -> Option<&Root> {
        self.state.live.get(name).map(|root| &**root)
    }

    /// How far this server has a root, a deleted one too.
    pub fn standing(&self, root: &str) -> Option<Standing> {
        self.state.standing(root)
    }

    /// On a replica: the position at the home of the newest commit to this root that is here.
    pub fn origin(&self, root: &str) -> Option<Position> {
        self.state.origin(root)
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
