//! Put and delete, with the stamps of commits or, for the overlay, without touching these.

use super::node::{check_depth, check_name};
use super::{Child, Container, MAX_CHILDREN, Node, Stamp, Tree, TreeError};
use crate::path::Key;

/// What an edit gave.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The tree after it.
    pub tree: Tree,
    /// What stood at the path before.
    pub before: Option<Node>,
    /// The number of keys of the topmost node that is new or gone. Less than the path's own where a put made parents
    /// or a delete took emptied parents along.
    pub top: usize,
}

/// What happens to the stamps of the nodes that an edit passes on its way down.
#[derive(Clone, Copy)]
enum Ancestors {
    /// They get this one.
    Stamp(Stamp),
    /// They keep theirs.
    Keep,
}

impl Ancestors {
    fn of(self, old: Stamp) -> Stamp {
        match self {
            Ancestors::Stamp(new) => new,
            Ancestors::Keep => old,
        }
    }
}

impl Tree {
    /// Replaces what stands at `keys` by `node`, which [`Node::build`] made with the same stamp; missing parents are
    /// made, and all ancestors get the stamp. No keys: replaces the root's content, by a container only.
    ///
    /// The stamp should be above all in the tree: that versions only grow is the store's promise, not tested here.
    ///
    /// ```
    /// use tega::path::Key;
    /// use tega::tree::{Node, Stamp, Tree, Version};
    /// use tega::value::Value;
    ///
    /// let stamp = Stamp::version(Version(1));
    /// let keys: [Key; 2] = ["lan".into(), "mtu".into()];
    /// let old = Tree::new(Stamp::version(Version(0)));
    /// let node = Node::build(&Value::from(1500_i64), stamp, keys.len())?;
    /// let new = old.put(&keys, node, stamp)?.tree;
    ///
    /// assert_eq!(new.root().to_value().to_string(), r#"{"lan":{"mtu":1500}}"#);
    /// assert_eq!(new.stamp, stamp);
    /// assert!(old.top.is_empty());
    /// # Ok::<(), tega::tree::TreeError>(())
    /// ```
    pub fn put(&self, keys: &[Key], node: Node, stamp: Stamp) -> Result<Edit, TreeError> {
        self.put_as(keys, node, stamp, Ancestors::Stamp(stamp))
    }

    /// As [`Tree::put`], but nodes that are there already keep their stamps: an ephemeral node in the overlay doesn't
    /// make a persistent one newer. Parents that it makes get the (ephemeral) stamp.
    pub fn put_overlay(&self, keys: &[Key], node: Node, stamp: Stamp) -> Result<Edit, TreeError> {
        self.put_as(keys, node, stamp, Ancestors::Keep)
    }

    /// Removes what stands at `keys`, then each parent that this left empty, but none of the nodes of the first `keep`
    /// keys and never the root. The ancestors that survive get the stamp.
    pub fn delete(&self, keys: &[Key], stamp: Stamp, keep: usize) -> Result<Edit, TreeError> {
        self.delete_as(keys, Ancestors::Stamp(stamp), keep)
    }

    /// As [`Tree::delete`], but the survivors keep their stamps.
    pub fn delete_overlay(&self, keys: &[Key], keep: usize) -> Result<Edit, TreeError> {
        self.delete_as(keys, Ancestors::Keep, keep)
    }

    fn put_as(&self, keys: &[Key], node: Node, stamp: Stamp, above: Ancestors) -> Result<Edit, TreeError> {
        check_depth(keys.len(), 0)?;
        node.check_at(keys.len())?;
        let (top, before, depth) = match keys.split_first() {
            None => match node {
                Node::Container(top) => (top, Some(Node::Container(self.top.clone())), 0),
                Node::Leaf(_) => return Err(TreeError::RootNotContainer),
            },
            Some((key, rest)) => put_below(&self.top, key, rest, 0, Child { stamp, node }, above)?,
        };
        let stamp = if keys.is_empty() { stamp } else { above.of(self.stamp) };
        Ok(Edit { tree: Tree { stamp, top }, before, top: depth })
    }

    fn delete_as(&self, keys: &[Key], above: Ancestors, keep: usize) -> Result<Edit, TreeError> {
        let (key, rest) = keys.split_first().ok_or(TreeError::RootDelete)?;
        let (top, before, depth) = delete_below(&self.top, key, rest, 0, above, keep)?;
        Ok(Edit { tree: Tree { stamp: above.of(self.stamp), top }, before: Some(before), top: depth })
    }
}

/// Puts `new` below a container that lies `depth` keys down. Recurses once a key, and those are bounded by MAX_DEPTH.
fn put_below(
    container: &Container,
    key: &Key,
    rest: &[Key],
    depth: usize,
    new: Child,
    above: Ancestors,
) -> Result<(Container, Option<Node>, usize), TreeError> {
    let old = container.get(key);
    let is_new = old.is_none();
    if is_new {
        check_name(key)?;
        if container.len() == MAX_CHILDREN {
            return Err(TreeError::TooManyChildren { depth });
        }
    }
    let depth = depth + 1;
    let (child, before, top) = match rest.split_first() {
        None => (new, old.map(|child| child.node.clone()), depth),
        Some((next, rest)) => {
            let none = Container::new();
            let below = match old.map(|child| &child.node) {
                Some(Node::Container(below)) => below,
                Some(Node::Leaf(_)) => return Err(TreeError::ThroughLeaf { depth }),
                None => &none,
            };
            let stamp = old.map_or(new.stamp, |child| above.of(child.stamp));
            let (below, before, top) = put_below(below, next, rest, depth, new, above)?;
            (Child { stamp, node: Node::Container(below) }, before, if is_new { depth } else { top })
        }
    };
    let (map, _) = container.0.insert(key.clone(), child);
    Ok((Container(map), before, top))
}

/// What is left of a container `depth` keys down without the node at `key` and `rest`; recurses as [`put_below`].
fn delete_below(
    container: &Container,
    key: &Key,
    rest: &[Key],
    depth: usize,
    above: Ancestors,
    keep: usize,
) -> Result<(Container, Node, usize), TreeError> {
    let child = container.get(key).ok_or(TreeError::NotFound)?;
    let depth = depth + 1;
    let (before, top) = match (rest.split_first(), &child.node) {
        (None, node) => (node.clone(), depth),
        (Some(_), Node::Leaf(_)) => return Err(TreeError::NotFound),
        (Some((next, rest)), Node::Container(below)) => {
            let (below, before, top) = delete_below(below, next, rest, depth, above, keep)?;
            if !below.is_empty() || depth <= keep {
                let child = Child { stamp: above.of(child.stamp), node: Node::Container(below) };
                return Ok((Container(container.0.insert(key.clone(), child).0), before, top));
            }
            (before, depth)
        }
    };
    let (map, _) = container.0.remove(key).ok_or(TreeError::NotFound)?;
    Ok((Container(map), before, top))
}
