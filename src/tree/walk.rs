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

    /// As [`Walk::new`], without what comes up to `keys`, which needn't be there: the first node is the next one in the
    /// order of paths. It costs a look-up a level.
    pub fn after(node: NodeRef<'a>, keys: &[Key]) -> Walk<'a> {
        let mut walk = Walk::new(node);
        for key in keys {
            let Some(Kind::Container(container)) = walk.last.take().map(|node| node.kind) else { break };
            let mut rest = container.iter_from(key);
            let child = container.get(key);
            if child.is_some() {
                rest.next();
            }
            walk.open.push(rest);
            // Where there's no such child, it stands for one that was there.
            walk.keys.push(key.clone());
            walk.last = child.map(NodeRef::from).filter(|child| child.container().is_some());
        }
        walk
    }

    /// The keys of the node that was given last, counted from where the walk began.
    pub fn keys(&self) -> &[Key] {
        &self.keys
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

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, random_keys, random_tree};
    use super::*;

    #[test]
    fn a_walk_begun_behind_any_keys_gives_what_a_whole_one_gives_behind_them() {
        let mut random = Random::new(5);
        let (mut there, mut gone) = (0, 0);
        for _ in 0..100 {
            let tree = random_tree(&mut random, 40);
            let mut all = Vec::new();
            let mut walk = Walk::new(tree.root());
            while let Some((keys, node)) = walk.step() {
                all.push((keys.to_vec(), node.stamp));
            }
            let mut starts: Vec<Vec<Key>> = all.iter().map(|(keys, _)| keys.clone()).collect();
            starts.extend((0..20).map(|_| random_keys(&mut random)));
            starts.push(Vec::new());
            for start in starts {
                *(if tree.get(&start).is_some() { &mut there } else { &mut gone }) += 1;
                let mut walk = Walk::after(tree.root(), &start);
                let mut rest = Vec::new();
                while let Some(node) = walk.step().map(|(_, node)| node) {
                    rest.push((walk.keys().to_vec(), node.stamp));
                }
                let wanted: Vec<_> = all.iter().filter(|(keys, _)| *keys > start).cloned().collect();
                assert_eq!(rest, wanted, "{start:?}");
            }
        }
        assert!(there > 500 && gone > 500, "{there} {gone}");
    }
}
