//! What the tests of this module share: short names, and a small generator of random trees and edits.

use super::{Kind, Node, Stamp, Tree, Version, Walk};
use crate::path::{Key, Path};
use crate::value::Value;

pub(super) fn key(text: &str) -> Key {
    text.into()
}

/// `a.b` as keys after the root's name; the empty text is the root node.
pub(super) fn keys(text: &str) -> Vec<Key> {
    if text.is_empty() { Vec::new() } else { Path::parse(text).unwrap().keys().to_vec() }
}

pub(super) fn v(json: &str) -> Value {
    Value::parse(json).unwrap()
}

pub(super) fn number(n: usize) -> Value {
    Value::from(n as u64)
}

/// The tree of a JSON object, all of it of version 1.
pub(super) fn tree(json: &str) -> Tree {
    let stamp = Stamp::version(Version(1));
    let node = Node::build(&v(json), stamp, 0).unwrap();
    Tree::new(stamp).put(&[], node, stamp).unwrap().tree
}

/// Every node with its stamp, `a.b:3=1`; an empty container shows as `{}`.
pub(super) fn stamps(tree: &Tree) -> String {
    let mut lines = vec![format!(":{:?}", tree.stamp)];
    let mut walk = Walk::new(tree.root());
    while let Some((keys, node)) = walk.step() {
        let value = match node.kind {
            Kind::Leaf(value) => format!("={value}"),
            Kind::Container(container) if container.is_empty() => "={}".into(),
            Kind::Container(_) => String::new(),
        };
        lines.push(format!("{}:{:?}{value}", keys.join("."), node.stamp));
    }
    lines.join(" ")
}

/// A generator of numbers that look random, the same ones for the same seed (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit.max(1) as u64) as usize
    }
}

/// A path of one to four keys out of few, so that edits meet; now and then out of many, so that containers grow wide.
pub(super) fn random_keys(random: &mut Random) -> Vec<Key> {
    let wide = random.below(3) == 0;
    let len = 1 + random.below(4);
    (0..len).map(|_| format!("k{}", random.below(if wide { 60 } else { 4 })).into()).collect()
}

pub(super) fn random_value(random: &mut Random) -> Value {
    match random.below(6) {
        0 => v("{}"),
        1 => v(r#"{"k1":{"k2":7},"k3":{}}"#),
        2 => v("[1,[2]]"),
        _ => number(random.below(5)),
    }
}

/// The tree after a random put or delete; as it was, where the edit was refused.
pub(super) fn random_edit(random: &mut Random, tree: &Tree, version: Version) -> Tree {
    let keys = random_keys(random);
    let stamp = Stamp::version(version);
    let edit = if random.below(3) == 0 {
        tree.delete(&keys, stamp, 0)
    } else {
        let node = Node::build(&random_value(random), stamp, keys.len()).unwrap();
        tree.put(&keys, node, stamp)
    };
    edit.map_or_else(|_| tree.clone(), |edit| edit.tree)
}

pub(super) fn random_tree(random: &mut Random, edits: u64) -> Tree {
    (1..=edits).fold(Tree::new(Stamp::version(Version(0))), |tree, version| {
        random_edit(random, &tree, Version(version))
    })
}
