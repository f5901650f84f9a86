//! # A persistent ordered map
//!
//! Keys in byte order, each with a value. A [`Map`] never changes: an edit gives a new one that shares all but
//! the path to the place of the edit with the old. Containers are such maps, and so is the store's map of roots.
//!
//! It's a B-tree whose leaves hold all entries and whose branches hold, for each chunk below, a lower bound of its
//! keys. A chunk is one allocation of exactly the size that its entries need, so a container of three leaves costs
//! three entries and a header, and an empty one nothing. No chunk has more than [`FANOUT`] entries, so an insert into
//! a container of 10,000 copies a few dozen entries, never the container.
//!
//! A chunk that overflows is split in halves, except at the end of the map, where the full chunk stays and the new key
//! begins the next one: keys that come in order (numbered lists, loading a base state) leave full chunks.
//!
//! Two maps that share chunks are compared without entering these ([`Map::pairs`]). Nothing here fails. It isn't a
//! general collection: no ranges, no mutation in place, no iteration backwards.

mod check;
mod edit;
mod pairs;
#[cfg(test)]
mod tests;

use std::slice;
use std::sync::Arc;

use crate::path::Key;

pub use pairs::{Pair, Pairs};

/// The most entries of a chunk. Measured: with 8, gets and puts in a big tree are slower and it takes more memory; with
/// 24 and 32 puts are slower, and memory is the same.
pub const FANOUT: usize = 16;

/// The fewest entries of a chunk, other than the last one of its level.
const MIN: usize = FANOUT / 4;

/// A persistent ordered map from keys to values; a clone costs one counter.
///
/// Invariants, which [`Map::check`] tests: keys ascend strictly; all leaves are equally deep; a chunk has at least one
/// and at most [`FANOUT`] entries, and at least a quarter of these unless it's the last of its level; a branch at the
/// top has two limbs or more; a limb's bound is at most the least key below it and above all keys before it.
pub struct Map<V>(Chunk<V>);

/// 16 bytes, with which a node of the tree stays as small as the value in it.
enum Chunk<V> {
    Leaf(Arc<[(Key, V)]>),
    Branch(Arc<Branch<V>>),
}

struct Branch<V> {
    /// All entries below.
    len: usize,
    limbs: Box<[Limb<V>]>,
}

struct Limb<V> {
    /// A lower bound of the keys in `chunk`. It stays when the least key goes.
    first: Key,
    chunk: Chunk<V>,
}

impl<V> Clone for Map<V> {
    fn clone(&self) -> Map<V> {
        Map(self.0.clone())
    }
}

impl<V> Clone for Chunk<V> {
    fn clone(&self) -> Chunk<V> {
        match self {
            Chunk::Leaf(leaf) => Chunk::Leaf(leaf.clone()),
            Chunk::Branch(branch) => Chunk::Branch(branch.clone()),
        }
    }
}

impl<V> Clone for Limb<V> {
    fn clone(&self) -> Limb<V> {
        Limb { first: self.first.clone(), chunk: self.chunk.clone() }
    }
}

impl<V> Default for Map<V> {
    fn default() -> Map<V> {
        Map::new()
    }
}

impl<V> Map<V> {
    /// The empty map; allocates nothing.
    pub fn new() -> Map<V> {
        Map(Chunk::Leaf(Arc::default()))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&V> {
        let mut chunk = &self.0;
        loop {
            match chunk {
                Chunk::Leaf(leaf) => return search(leaf, key).ok().and_then(|i| leaf.get(i)).map(|(_, v)| v),
                Chunk::Branch(branch) => chunk = &branch.limbs.get(branch.find(key))?.chunk,
            }
        }
    }

    /// The entry with the least key.
    pub fn first(&self) -> Option<(&Key, &V)> {
        self.iter().next()
    }

    /// The entry with the greatest key.
    pub fn last(&self) -> Option<(&Key, &V)> {
        let mut chunk = &self.0;
        loop {
            match chunk {
                Chunk::Leaf(leaf) => return leaf.last().map(|(k, v)| (k, v)),
                Chunk::Branch(branch) => chunk = &branch.limbs.last()?.chunk,
            }
        }
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> Iter<'_, V> {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter() };
        iter.open(&self.0);
        iter
    }

    /// The entries whose key is `key` or comes after it.
    pub fn iter_from(&self, key: &str) -> Iter<'_, V> {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter() };
        let mut chunk = &self.0;
        while let Chunk::Branch(branch) = chunk {
            let mut limbs = branch.limbs.get(branch.find(key)..).unwrap_or_default().iter();
            let Some(limb) = limbs.next() else { return iter };
            iter.above.push(limbs);
            chunk = &limb.chunk;
        }
        if let Chunk::Leaf(leaf) = chunk {
            let at = search(leaf, key).unwrap_or_else(|at| at);
            iter.leaf = leaf.get(at..).unwrap_or_default().iter();
        }
        iter
    }

    /// Whether both are one and the same in memory; then they're equal, and it costs nothing to know.
    pub fn same(&self, other: &Map<V>) -> bool {
        self.0.same(&other.0)
    }

    /// The entries in which the two maps may differ: chunks that both share are passed over.
    pub fn pairs<'a>(&'a self, other: &'a Map<V>) -> Pairs<'a, V> {
        Pairs::new(&self.0, &other.0)
    }

    /// A map of these entries, whose keys should ascend. Where they don't, they're sorted, and of entries with equal
    /// keys the last one counts.
    pub fn from_sorted(mut entries: Vec<(Key, V)>) -> Map<V> {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| b.0.cmp(&a.0));
            entries.reverse();
            // Each run of equal keys is now in reverse order: its first entry came last.
            entries.dedup_by(|later, kept| later.0 == kept.0);
        }
        if entries.is_empty() {
            return Map::new();
        }
        let mut level: Vec<Limb<V>> = chunked(entries)
            .filter_map(|leaf: Arc<[(Key, V)]>| {
                Some(Limb { first: leaf.first()?.0.clone(), chunk: Chunk::Leaf(leaf) })
            })
            .collect();
        while level.len() > 1 {
            level = chunked(level)
                .filter_map(|limbs: Box<[Limb<V>]>| {
                    Some(Limb { first: limbs.first()?.first.clone(), chunk: Chunk::branch(limbs) })
                })
                .collect();
        }
        level.pop().map_or_else(Map::new, |limb| Map(limb.chunk))
    }
}

impl<V> Branch<V> {
    /// Which limb `key` belongs to: the last one whose bound isn't above it, or the first.
    fn find(&self, key: &str) -> usize {
        warm(self.limbs.iter().map(|limb| &limb.first));
        self.limbs.partition_point(|limb| limb.first.as_str() <= key).saturating_sub(1)
    }

    /// Brings the counters of all limbs into the cache, because a copy of the branch raises each of them. Plain loads
    /// wait for memory side by side, locked additions one after the other.
    fn warm_counters(&self) {
        let counts = self.limbs.iter().map(|limb| match &limb.chunk {
            Chunk::Leaf(leaf) => Arc::strong_count(leaf),
            Chunk::Branch(branch) => Arc::strong_count(branch),
        });
        std::hint::black_box(counts.fold(0, usize::wrapping_add));
    }
}

impl<V> Chunk<V> {
    fn branch(limbs: Box<[Limb<V>]>) -> Chunk<V> {
        let len = limbs.iter().map(|limb| limb.chunk.len()).sum();
        Chunk::Branch(Arc::new(Branch { len, limbs }))
    }

    fn len(&self) -> usize {
        match self {
            Chunk::Leaf(leaf) => leaf.len(),
            Chunk::Branch(branch) => branch.len,
        }
    }

    /// How many entries or limbs the chunk itself has.
    fn fill(&self) -> usize {
        match self {
            Chunk::Leaf(leaf) => leaf.len(),
            Chunk::Branch(branch) => branch.limbs.len(),
        }
    }

    fn height(&self) -> usize {
        let (mut height, mut chunk) = (0, self);
        while let Chunk::Branch(branch) = chunk {
            let Some(limb) = branch.limbs.first() else { break };
            (height, chunk) = (height + 1, &limb.chunk);
        }
        height
    }

    fn first(&self) -> Option<Key> {
        match self {
            Chunk::Leaf(leaf) => leaf.first().map(|(key, _)| key.clone()),
            Chunk::Branch(branch) => branch.limbs.first().map(|limb| limb.first.clone()),
        }
    }

    fn same(&self, other: &Chunk<V>) -> bool {
        match (self, other) {
            (Chunk::Leaf(a), Chunk::Leaf(b)) => Arc::ptr_eq(a, b),
            (Chunk::Branch(a), Chunk::Branch(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn only_limb(&self) -> Option<Chunk<V>> {
        match self {
            Chunk::Branch(branch) => match &*branch.limbs {
                [only] => Some(only.chunk.clone()),
                _ => None,
            },
            Chunk::Leaf(_) => None,
        }
    }
}

/// Brings keys into the cache side by side that a binary search would wait for one after the other: at a million leaves
/// it saves a third of a get, and at a hundred it costs a twentieth.
fn warm<'a>(keys: impl Iterator<Item = &'a Key>) {
    std::hint::black_box(keys.fold(0, |sum: usize, key| sum.wrapping_add(key.len())));
}

fn search<V>(leaf: &[(Key, V)], key: &str) -> Result<usize, usize> {
    warm(leaf.iter().map(|(key, _)| key));
    leaf.binary_search_by(|(k, _)| k.as_str().cmp(key))
}

fn chunked<T, C: FromIterator<T>>(items: Vec<T>) -> impl Iterator<Item = C> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || (items.len() > 0).then(|| items.by_ref().take(FANOUT).collect()))
}

/// The entries of a [`Map`] in the order of their keys.
pub struct Iter<'a, V> {
    /// What is left of the branches on the way down to `leaf`.
    above: Vec<slice::Iter<'a, Limb<V>>>,
    leaf: slice::Iter<'a, (Key, V)>,
}

impl<'a, V> Iter<'a, V> {
    fn open(&mut self, mut chunk: &'a Chunk<V>) {
        while let Chunk::Branch(branch) = chunk {
            let mut limbs = branch.limbs.iter();
            let Some(limb) = limbs.next() else { return };
            self.above.push(limbs);
            chunk = &limb.chunk;
        }
        if let Chunk::Leaf(leaf) = chunk {
            self.leaf = leaf.iter();
        }
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a Key, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.above.last_mut()?.next() {
                Some(limb) => self.open(&limb.chunk),
                None => drop(self.above.pop()),
            }
        }
    }
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Iter { above: self.above.clone(), leaf: self.leaf.clone() }
    }
}
