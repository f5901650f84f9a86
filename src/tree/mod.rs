//! # The persistent tree
//!
//! One state of one root: containers and leaves that never change. An edit gives a new [`Tree`] that shares with the
//! old all but the way from the root to the place of the edit, so a reader keeps what it has for as long as it likes,
//! the history costs what has changed, and two versions are compared without entering what they share.
//!
//! - **Nodes.** A JSON object is a container, anything else (a list, with all that is nested in it; null) a leaf.
//!   An empty container is a node in its own right.
//! - **Stamps.** Each node carries when it was last changed, itself or anything below it: the version of a commit, or,
//!   for an ephemeral node, the count of its overlay. A put stamps the whole put subtree, equal or not, and all its
//!   ancestors; a delete the ancestors that survive. So a node is never newer than its parent.
//! - **Overlay.** The present, as readers see it, is the persistent tree with the ephemeral nodes put on top by
//!   [`Tree::put_overlay`], which leaves the stamps of what is persistent alone. History, digests and the log are made
//!   from the tree without them.
//! - **Depth** is bounded by construction: no edit makes a node deeper than [`MAX_DEPTH`] keys, its root's name and the
//!   nesting of a list in it included. Therefore every recursion here, dropping a tree included, is bounded as well; it
//!   is plain recursion for that reason. A container has at most [`MAX_CHILDREN`] children.
//!
//! A tree doesn't know its own name. Keys given to it come *after* the root's name, and no keys mean the root node.
//!
//! An edit fails with a [`TreeError`] and changes nothing; nothing else fails. There's no I/O, no lock and no clock
//! here. What isn't here either: who may write, what a root's next version is, and several roots at once, which is the
//! store's business.
//!
//! | file | job |
//! | --- | --- |
//! | `map` | the persistent ordered map that containers are |
//! | `node` | building nodes of values and back |
//! | `edit` | put and delete |
//! | `diff` | what differs between two trees, and the steps from one to the other |
//! | `walk` | every node, depth first |
//! | `within` | a node cut to some of its subtrees |
//! | `select`, `pattern` | nodes by regular expression, and channels; how such a text is read |
//! | `needle` | what a search compares keys and values with |
//! | `text` | JSON straight from the tree, plain and in the `internal` form |
//! | `edges` | parents and children as pairs, for drawing |
//! | `state` | a tree with its stamps as lines of text, and back |

mod diff;
mod edges;
mod edit;
mod map;
mod needle;
mod node;
mod pattern;
mod select;
mod state;
mod text;
mod walk;
mod within;

#[cfg(test)]
mod testing;

use std::fmt;

use crate::path::{Key, MAX_DEPTH, PathError};
use crate::value::Value;

pub use diff::{Difference, Step, diff, steps};
pub use edges::edges;
pub use edit::Edit;
pub use map::{FANOUT, Iter, Map, Pair, Pairs};
pub use needle::Needle;
pub use pattern::{MAX_PATTERN, MAX_PATTERN_LEVELS, PatternError};
pub use select::{ChannelPattern, Match, Pattern, SelectError, SelectLimits};
pub use state::{StateReader, write_states};
pub use text::{BudgetSpent, Lease, write_internal, write_json};
pub use walk::Walk;
pub use within::within;

/// The most children of a container.
pub const MAX_CHILDREN: usize = 65_536;

/// The version of a root: 0 at creation, one more with each commit that touches it; below 2⁶³.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a node was last changed: the version of a commit, or the overlay's change counter where the node is ephemeral.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(u64);

impl Stamp {
    const EPHEMERAL: u64 = 1 << 63;

    /// The stamp of a commit.
    pub fn version(version: Version) -> Stamp {
        Stamp(version.0 & !Stamp::EPHEMERAL)
    }

    /// The stamp of an ephemeral node, with the overlay's change counter (below 2⁶³).
    pub fn ephemeral(count: u64) -> Stamp {
        Stamp(count | Stamp::EPHEMERAL)
    }

    /// The version, unless the node is ephemeral.
    pub fn as_version(self) -> Option<Version> {
        (!self.is_ephemeral()).then_some(Version(self.0))
    }

    /// Whether the node is ephemeral.
    pub fn is_ephemeral(self) -> bool {
        self.0 & Stamp::EPHEMERAL != 0
    }

    /// The version or the change counter, whichever it is.
    pub fn number(self) -> u64 {
        self.0 & !Stamp::EPHEMERAL
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_ephemeral() { "~" } else { "" }, self.number())
    }
}

/// A node without its stamp. Equality is that of the values; stamps of nodes below aren't compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A value that isn't an object.
    Leaf(Value),
    /// A node with children, or without any.
    Container(Container),
}

/// A node with its stamp, as it stands in a container. Equality is that of the nodes.
#[derive(Clone, Debug)]
pub struct Child {
    /// When it was last changed.
    pub stamp: Stamp,
    /// What it is.
    pub node: Node,
}

impl PartialEq for Child {
    fn eq(&self, other: &Child) -> bool {
        self.node == other.node
    }
}

// What a million leaves cost hangs on these; see the module `map`.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Node>() == 24 && size_of::<(Key, Child)>() == 56);

/// The children of a node, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container(Map<Child>);

impl Container {
    /// The container without children; allocates nothing.
    pub fn new() -> Container {
        Container::default()
    }

    /// The number of children.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no children.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The child named `key`.
    pub fn get(&self, key: &str) -> Option<&Child> {
        self.0.get(key)
    }

    /// The children in the order of their keys.
    pub fn iter(&self) -> Iter<'_, Child> {
        self.0.iter()
    }

    /// The children whose key is `key` or comes after it.
    pub fn iter_from(&self, key: &str) -> Iter<'_, Child> {
        self.0.iter_from(key)
    }

    /// Whether both are one and the same in memory, stamps and all.
    pub fn same(&self, other: &Container) -> bool {
        self.0.same(&other.0)
    }

    /// Tests the invariants of this container and all below; says which one doesn't hold.
    pub fn check(&self) -> Result<(), String> {
        self.0.check()?;
        if self.len() > MAX_CHILDREN {
            return Err(format!("{} children", self.len()));
        }
        self.iter().try_for_each(|(key, child)| match &child.node {
            Node::Leaf(Value::Object(_)) => Err(format!("{key}: a leaf that holds an object")),
            Node::Leaf(_) => Ok(()),
            Node::Container(container) => container.check(),
        })
    }
}

impl<'a> IntoIterator for &'a Container {
    type Item = (&'a Key, &'a Child);
    type IntoIter = Iter<'a, Child>;

    fn into_iter(self) -> Iter<'a, Child> {
        self.iter()
    }
}

/// One state of one root; a clone costs one counter. Equality is that of the values, not of the stamps.
#[derive(Clone, Debug)]
pub struct Tree {
    /// When anything in it was last changed: the root's version.
    pub stamp: Stamp,
    /// The root node.
    pub top: Container,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        self.top == other.top
    }
}

impl Tree {
    /// A root without children.
    pub fn new(stamp: Stamp) -> Tree {
        Tree { stamp, top: Container::new() }
    }

    /// The root node.
    pub fn root(&self) -> NodeRef<'_> {
        NodeRef { stamp: self.stamp, kind: Kind::Container(&self.top) }
    }

    /// The node at these keys, or `None` where there's none.
    pub fn get(&self, keys: &[Key]) -> Option<NodeRef<'_>> {
        keys.iter().try_fold(self.root(), |node, key| node.child(key))
    }

    /// Tests the invariants: those of all maps, and that no persistent node is newer than its parent.
    pub fn check(&self) -> Result<(), String> {
        self.top.check()?;
        let mut walk = Walk::new(self.root());
        let mut above = vec![self.stamp];
        while let Some((keys, node)) = walk.step() {
            if keys.len() >= MAX_DEPTH {
                return Err(format!("{keys:?} is too deep"));
            }
            above.truncate(keys.len());
            let parent = above.last().copied().unwrap_or(self.stamp);
            if !node.stamp.is_ephemeral() && !parent.is_ephemeral() && node.stamp.0 > parent.0 {
                return Err(format!("{keys:?} is newer than its parent"));
            }
            above.push(node.stamp);
        }
        Ok(())
    }
}

/// A node where it stands: the root, or a child of a container.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    /// When it was last changed.
    pub stamp: Stamp,
    /// What it is.
    pub kind: Kind<'a>,
}

/// Leaf or container.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A value that isn't an object.
    Leaf(&'a Value),
    /// A node with children, or without any.
    Container(&'a Container),
}

impl<'a> NodeRef<'a> {
    /// The child named `key`; `None` for a leaf.
    pub fn child(self, key: &str) -> Option<NodeRef<'a>> {
        self.container()?.get(key).map(NodeRef::from)
    }

    /// The container, where it is one.
    pub fn container(self) -> Option<&'a Container> {
        if let Kind::Container(container) = self.kind { Some(container) } else { None }
    }

    /// The value of the leaf, where it is one.
    pub fn leaf(self) -> Option<&'a Value> {
        if let Kind::Leaf(value) = self.kind { Some(value) } else { None }
    }

    /// The node itself; costs one counter.
    pub fn to_node(self) -> Node {
        match self.kind {
            Kind::Leaf(value) => Node::Leaf(value.clone()),
            Kind::Container(container) => Node::Container(container.clone()),
        }
    }

    /// The node and everything below it as one value.
    pub fn to_value(self) -> Value {
        self.to_node().to_value()
    }
}

impl<'a> From<&'a Child> for NodeRef<'a> {
    fn from(child: &'a Child) -> NodeRef<'a> {
        NodeRef { stamp: child.stamp, kind: child.node.kind() }
    }
}

/// Why an edit was refused. Depths count keys after the root's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// Nothing is at the path.
    NotFound,
    /// The node `depth` keys down is a leaf, and the path leads through it.
    ThroughLeaf {
        /// Keys of the leaf in the way.
        depth: usize,
    },
    /// A node would lie deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A container `depth` keys down would have more than [`MAX_CHILDREN`] children.
    TooManyChildren {
        /// Keys of the container.
        depth: usize,
    },
    /// A key that no node may have.
    BadKey(PathError),
    /// A root that isn't a container.
    RootNotContainer,
    /// A delete without keys: deleting a root isn't an edit of its tree.
    RootDelete,
    /// A leaf that holds an object: such a node wasn't made by [`Node::build`].
    ObjectLeaf,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::NotFound => write!(f, "nothing is there"),
            TreeError::ThroughLeaf { depth } => {
                write!(
                    f,
                    "key {} of the path is a leaf, which has nothing below it; delete it first or put an object there",
                    depth + 1
                )
            }
            TreeError::TooDeep => {
                write!(f, "deeper than {MAX_DEPTH} levels, keys and nested lists together; flatten it")
            }
            TreeError::TooManyChildren { depth } => write!(
                f,
                "the node at key {} of the path would have more than {MAX_CHILDREN} children; \
                 spread them over several nodes",
                depth + 1
            ),
            TreeError::BadKey(error) => error.fmt(f),
            TreeError::RootNotContainer => write!(f, "a root can only be an object"),
            TreeError::RootDelete => write!(f, "a root can't be deleted as a part of itself"),
            TreeError::ObjectLeaf => write!(f, "an object can't be a leaf"),
        }
    }
}

impl std::error::Error for TreeError {}

#[cfg(test)]
mod tests;
