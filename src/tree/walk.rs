//! Every node below one, depth first, in the order of paths.

use super::{Child, Iter, Kind, NodeRef};
use crate::path::Key;

/// A walk over all nodes below one: parents before children, children in the order of their keys. It holds one
/// iterator a level and never more of the tree, so it may be left and resumed at will.
///
/// It lends the keys of each node, so it isn't an [`Iterator`]:
///
/// ```
/// # use tega::tree::{Stamp, Tree, Version, Walk};
/// # let tree = Tree::new(Stamp::version(Version(0)));
/// let mut walk = Walk::new(tree.root());
/// while let Some((keys, node)) = walk.step() {
///     println!("{keys:?} {:?}", node.stamp);
/// }
/// ```
pub struct Walk<'a> {
    open: Vec<Iter<'a, Child>>,
    keys: Vec<Key>,
    /// The last node, where it is a container that may be entered.
    last: Option<NodeRef<'a>>,
}

impl<'a> Walk<'a> {
    /// A walk over everything below `node`, not the node itself.
    pub fn new(node: NodeRef<'a>) -> Walk<'a> {
        Walk { open: Vec::new(), keys: Vec::new(), last: Some(node) }
    }

    /// The next node, with its keys counted from where the walk began.
    pub fn step(&mut self) -> Option<(&[Key], NodeRef<'a>)> {
        match self.last.take().map(|node| node.kind) {
            Some(Kind::Container(container)) => self.open.push(container.iter()),
            _ => drop(self.keys.pop()),
        }
        let (key, child) = loop {
            match self.open.last_mut()?.next() {
                Some(next) => break next,
                None => {
                    self.open.pop();
                    self.keys.pop();
                }
            }
        };
        self.keys.push(key.clone());
        let node = NodeRef::from(child);
        self.last = node.container().map(|_| node);
        Some((&self.keys, node))
    }

    /// Leaves out what is below the node that was given last.
    pub fn skip_below(&mut self) {
        self.last = None;
    }
}
