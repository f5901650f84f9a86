//! Nodes of values, and back.

use super::{Child, Container, Kind, MAX_CHILDREN, Map, Node, NodeRef, Stamp, TreeError};
use crate::path::{Key, MAX_DEPTH, PathError, check_key};
use crate::value::{Object, Value};

/// Refuses a node that lies `depth` keys below its root's node, where the value in it is nested `nested` deep.
pub(super) fn check_depth(depth: usize, nested: usize) -> Result<(), TreeError> {
    // One more is the root's own name.
    if 1 + depth + nested > MAX_DEPTH { Err(TreeError::TooDeep) } else { Ok(()) }
}

pub(super) fn check_name(key: &Key) -> Result<(), TreeError> {
    check_key(key).map_err(|kind| TreeError::BadKey(PathError::new(key, 0, kind)))
}

impl Node {
    /// The node that a value describes, all of it with this stamp: objects become containers. `depth` is the number of
    /// keys, after the root's name, at which it will be put. Keys, depth and the number of children are checked.
    pub fn build(value: &Value, stamp: Stamp, depth: usize) -> Result<Node, TreeError> {
        let Value::Object(object) = value else {
            check_depth(depth, value.depth())?;
            return Ok(Node::Leaf(value.clone()));
        };
        check_depth(depth, 0)?;
        let members = object.members();
        if members.len() > MAX_CHILDREN {
            return Err(TreeError::TooManyChildren { depth });
        }
        let mut children = Vec::with_capacity(members.len());
        for (key, value) in members {
            check_name(key)?;
            let node = Node::build(value, stamp, depth + 1)?;
            children.push((key.clone(), Child { stamp, node }));
        }
        Ok(Node::Container(Container(Map::from_sorted(children))))
    }

    /// The node and everything below it as one value.
    pub fn to_value(&self) -> Value {
        match self {
            Node::Leaf(value) => value.clone(),
            Node::Container(container) => {
                let members = container.iter().map(|(key, child)| (key.clone(), child.node.to_value()));
                match Object::new(members.collect()) {
                    Ok(object) => Value::Object(object),
                    // A map has no key twice, and no edit makes a node deeper than MAX_DEPTH.
                    Err(error) => unreachable!("a tree is a value: {error}"),
                }
            }
        }
    }

    /// The same node with this stamp on everything below it, as a put needs it that takes nodes from another version.
    pub fn restamped(&self, stamp: Stamp) -> Node {
        match self {
            Node::Leaf(value) => Node::Leaf(value.clone()),
            Node::Container(container) => {
                let children = container
                    .iter()
                    .map(|(key, child)| (key.clone(), Child { stamp, node: child.node.restamped(stamp) }));
                Node::Container(Container(Map::from_sorted(children.collect())))
            }
        }
    }

    /// Leaf or container, by reference.
    pub fn kind(&self) -> Kind<'_> {
        match self {
            Node::Leaf(value) => Kind::Leaf(value),
            Node::Container(container) => Kind::Container(container),
        }
    }

    /// This node with a stamp, for what reads nodes where they stand.
    pub fn with_stamp(&self, stamp: Stamp) -> NodeRef<'_> {
        NodeRef { stamp, kind: self.kind() }
    }

    /// Refuses a node that can't stand `depth` keys below the root. Nodes come out of other trees and other places as
    /// well as out of [`Node::build`], so an edit doesn't take their depth on trust.
    pub(super) fn check_at(&self, depth: usize) -> Result<(), TreeError> {
        match self {
            Node::Leaf(Value::Object(_)) => Err(TreeError::ObjectLeaf),
            Node::Leaf(value) => check_depth(depth, value.depth()),
            Node::Container(container) => {
                check_depth(depth, 0)?;
                container.iter().try_for_each(|(_, child)| child.node.check_at(depth + 1))
            }
        }
    }
}
