//! The tree alone: one root with containers of 1,000 leaves each.

use std::collections::VecDeque;

use tega::path::Key;
use tega::tree::{Node, Stamp, Tree, Version, Walk, diff};
use tega::value::Value;

use crate::Group;
use crate::table::{Figure, nanoseconds, resident};

const LEAVES: &[usize] = &[100, 1_000, 10_000, 100_000, 1_000_000];

pub(crate) const SPEED: Group = Group {
    name: "tree-speed",
    columns: &["get ns", "put ns", "put+delete ns", "walk ns/node", "diff of one ns"],
    rows: LEAVES,
    measure: speed,
};

pub(crate) const MEMORY: Group = Group {
    name: "tree-memory",
    columns: &["ordered B/leaf", "mixed B/leaf", "small B/leaf", "insert ns"],
    rows: LEAVES,
    measure: memory,
};

/// Two keys for each number, with a third between where containers are small, lest the root have too many of them.
fn keys(n: usize, per_container: usize) -> Vec<Key> {
    let leaf = format!("leaf{}", n % per_container).into();
    let container = n / per_container;
    if per_container >= 1000 {
        vec![format!("container{container}").into(), leaf]
    } else {
        vec![format!("group{}", container / 1000).into(), format!("section{}", container % 1000).into(), leaf]
    }
}

/// A number from 0 to `count` − 1 for each `n`, every one once, in an order that looks random.
fn mixed(n: usize, count: usize) -> usize {
    ((n % count) as u64 * 7_368_787 % count as u64) as usize
}

fn put(tree: &Tree, keys: &[Key], n: usize) -> Tree {
    let stamp = Stamp::version(Version(n as u64 + 1));
    tree.put(keys, Node::Leaf(Value::from(n as u64)), stamp).unwrap().tree
}

fn filled(order: impl Iterator<Item = usize>, per_container: usize) -> Tree {
    let empty = Tree::new(Stamp::version(Version(0)));
    order.fold(empty, |tree, n| put(&tree, &keys(n, per_container), n))
}

fn speed(leaves: usize) -> Vec<Figure> {
    let tree = filled(0..leaves, 1000);
    // Made beforehand: text isn't what is measured.
    let paths: Vec<Vec<Key>> = (0..leaves.min(100_000)).map(|n| keys(mixed(n, leaves), 1000)).collect();
    let path = |n: usize| &paths[n % paths.len()];

    let get = nanoseconds(|n| tree.get(path(n)).map(|node| node.stamp));

    // As a store would, with ten old versions kept.
    let mut history: VecDeque<Tree> = vec![tree.clone(); 10].into();
    let puts = nanoseconds(|n| {
        let next = put(&history[9], path(n), n);
        history.push_back(next);
        history.pop_front()
    });

    let mut present = tree.clone();
    let deletes = nanoseconds(|n| {
        let keys = path(n);
        let gone = present.delete(keys, present.stamp, 0).unwrap().tree;
        present = put(&gone, keys, n);
    });

    let mut walk = Walk::new(tree.root());
    let walks = nanoseconds(|_| match walk.step() {
        Some((keys, _)) => keys.len(),
        None => {
            walk = Walk::new(tree.root());
            0
        }
    });

    let changed = put(&tree, path(leaves / 2), usize::MAX >> 1);
    let diffs = nanoseconds(|_| diff(&tree, &changed).len());
    vec![get, puts, deletes, walks, diffs]
}

fn memory(leaves: usize) -> Vec<Figure> {
    // Less than this drowns in what the allocator takes at a time.
    let enough = leaves >= 10_000;
    let mut figures = Vec::new();
    let mut kept = Vec::new();
    let mut insert = None;
    for kind in 0..3 {
        let before = resident();
        let start = std::time::Instant::now();
        kept.push(match kind {
            0 => filled(0..leaves, 1000),
            1 => filled((0..leaves).map(|n| mixed(n, leaves)), 1000),
            // Sections of a configuration: containers of eight.
            _ => filled(0..leaves, 8),
        });
        insert.get_or_insert(start.elapsed().as_nanos() as f64 / leaves as f64);
        figures.push(enough.then(|| (resident() - before) / leaves as f64));
    }
    figures.push(insert);
    figures
}
