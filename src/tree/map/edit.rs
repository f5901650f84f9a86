//! Insert and remove: a copy of the chunks on the way, split or joined where they grow or shrink too far.

use std::iter::{empty, once};
use std::ops::Range;
use std::sync::Arc;

use super::{Branch, Chunk, FANOUT, Limb, MIN, Map, search};
use crate::path::Key;

/// What became of a chunk that took an entry.
enum Grown<V> {
    One(Chunk<V>),
    Two(Chunk<V>, Limb<V>),
}

impl<V: Clone> Map<V> {
    /// This map with `value` at `key`, and the value that stood there.
    pub fn insert(&self, key: Key, value: V) -> (Map<V>, Option<V>) {
        let (grown, before) = self.0.insert(key, value, true);
        let top = match grown {
            Grown::One(chunk) => chunk,
            Grown::Two(left, right) => match left.first() {
                Some(first) => Chunk::branch(Box::new([Limb { first, chunk: left }, right])),
                None => right.chunk,
            },
        };
        (Map(top), before)
    }

    /// This map without `key`, and the value that stood there; `None` where there is no such key.
    pub fn remove(&self, key: &str) -> Option<(Map<V>, V)> {
        let (rest, before) = self.0.remove(key, true)?;
        let Some(mut top) = rest else { return Some((Map::new(), before)) };
        while let Some(only) = top.only_limb() {
            top = only;
        }
        Some((Map(top), before))
    }
}

impl<V: Clone> Chunk<V> {
    /// `last`: this is the last chunk of its level.
    fn insert(&self, key: Key, value: V, last: bool) -> (Grown<V>, Option<V>) {
        match self {
            Chunk::Leaf(leaf) => self.insert_entry(leaf, key, value, last),
            Chunk::Branch(branch) => {
                let limbs = &branch.limbs;
                let at = branch.find(&key);
                let Some(limb) = limbs.get(at) else { return (Grown::One(self.clone()), None) };
                let last = last && at + 1 == limbs.len();
                branch.warm_counters();
                let first = if key < limb.first { key.clone() } else { limb.first.clone() };
                let (grown, before) = limb.chunk.insert(key, value, last);
                let grown = match grown {
                    Grown::One(chunk) => {
                        let limbs = splice(limbs, at..at + 1, once(Limb { first, chunk }));
                        let len = branch.len + usize::from(before.is_none());
                        Grown::One(Chunk::Branch(Arc::new(Branch { len, limbs })))
                    }
                    Grown::Two(chunk, right) => {
                        let two = [Limb { first, chunk }, right].into_iter();
                        grown_branch(splice(limbs, at..at + 1, two), last)
                    }
                };
                (grown, before)
            }
        }
    }

    fn insert_entry(&self, leaf: &[(Key, V)], key: Key, value: V, last: bool) -> (Grown<V>, Option<V>) {
        let at = match search(leaf, &key) {
            Ok(at) => {
                let before = leaf.get(at).map(|(_, v)| v.clone());
                return (Grown::One(Chunk::Leaf(splice(leaf, at..at + 1, once((key, value))))), before);
            }
            Err(at) => at,
        };
        let grown = if leaf.len() < FANOUT {
            Grown::One(Chunk::Leaf(splice(leaf, at..at, once((key, value)))))
        } else if last && at == leaf.len() {
            let first = key.clone();
            Grown::Two(self.clone(), Limb { first, chunk: Chunk::Leaf(Arc::new([(key, value)])) })
        } else {
            let (left, right) = leaf.split_at(FANOUT / 2);
            let (left, right): (Arc<[_]>, Arc<[_]>) = if at <= left.len() {
                (splice(left, at..at, once((key, value))), right.into())
            } else {
                let at = at - left.len();
                (left.into(), splice(right, at..at, once((key, value))))
            };
            // Both halves hold entries: FANOUT / 2 at least.
            match right.first().map(|(key, _)| key.clone()) {
                Some(first) => Grown::Two(Chunk::Leaf(left), Limb { first, chunk: Chunk::Leaf(right) }),
                None => Grown::One(Chunk::Leaf(left)),
            }
        };
        (grown, None)
    }

    /// What is left of the chunk, if anything is, and the value that went.
    fn remove(&self, key: &str, last: bool) -> Option<(Option<Chunk<V>>, V)> {
        match self {
            Chunk::Leaf(leaf) => {
                let at = search(leaf, key).ok()?;
                let before = leaf.get(at)?.1.clone();
                let rest = (leaf.len() > 1).then(|| Chunk::Leaf(splice(leaf, at..at + 1, empty())));
                Some((rest, before))
            }
            Chunk::Branch(branch) => {
                let limbs = &branch.limbs;
                let at = branch.find(key);
                let limb = limbs.get(at)?;
                let last = last && at + 1 == limbs.len();
                branch.warm_counters();
                let (rest, before) = limb.chunk.remove(key, last)?;
                let limbs: Box<[Limb<V>]> = match rest {
                    None => splice(limbs, at..at + 1, empty()),
                    Some(chunk) => {
                        let thin = !last && chunk.fill() < MIN;
                        let limb = Limb { first: limb.first.clone(), chunk };
                        match (limbs.get(at + 1), at.checked_sub(1).and_then(|i| limbs.get(i))) {
                            (Some(right), _) if thin => splice(limbs, at..at + 2, join(limb, right.clone())),
                            (None, Some(left)) if thin => {
                                splice(limbs, at - 1..at + 1, join(left.clone(), limb))
                            }
                            _ => splice(limbs, at..at + 1, once(limb)),
                        }
                    }
                };
                Some(((!limbs.is_empty()).then(|| Chunk::branch(limbs)), before))
            }
        }
    }
}

/// A branch of these limbs, or two where they're one too many.
fn grown_branch<V>(mut limbs: Vec<Limb<V>>, last: bool) -> Grown<V> {
    if limbs.len() <= FANOUT {
        return Grown::One(Chunk::branch(limbs.into()));
    }
    let right = limbs.split_off(if last { FANOUT } else { FANOUT / 2 });
    let left = Chunk::branch(limbs.into());
    match right.first().map(|limb| limb.first.clone()) {
        Some(first) => Grown::Two(left, Limb { first, chunk: Chunk::branch(right.into()) }),
        None => Grown::One(left),
    }
}

/// Two neighbours as one chunk where they fit, else as two of equal size.
fn join<V: Clone>(left: Limb<V>, right: Limb<V>) -> std::vec::IntoIter<Limb<V>> {
    fn share<T: Clone>(left: &[T], right: &[T]) -> (Vec<T>, Vec<T>) {
        let mut all = [left, right].concat();
        let tail = if all.len() > FANOUT { all.split_off(all.len() / 2) } else { Vec::new() };
        (all, tail)
    }
    match (&left.chunk, &right.chunk) {
        (Chunk::Leaf(a), Chunk::Leaf(b)) => {
            let (head, tail) = share(a, b);
            let second = tail.first().map(|(key, _)| key.clone());
            let head = Limb { first: left.first, chunk: Chunk::Leaf(head.into()) };
            let tail = second.map(|first| Limb { first, chunk: Chunk::Leaf(tail.into()) });
            once(head).chain(tail).collect::<Vec<_>>().into_iter()
        }
        (Chunk::Branch(a), Chunk::Branch(b)) => {
            let (head, tail) = share(&a.limbs, &b.limbs);
            let second = tail.first().map(|limb| limb.first.clone());
            let head = Limb { first: left.first, chunk: Chunk::branch(head.into()) };
            let tail = second.map(|first| Limb { first, chunk: Chunk::branch(tail.into()) });
            once(head).chain(tail).collect::<Vec<_>>().into_iter()
        }
        // Limbs of one branch are equally high.
        _ => vec![left, right].into_iter(),
    }
}

/// A copy of `items` with `new` in place of `range`. Filling a `Vec` and moving it over is faster than to collect a
/// chain of iterators at its place, which asks at each entry which link it's in.
fn splice<T: Clone, C: From<Vec<T>>>(
    items: &[T],
    range: Range<usize>,
    new: impl ExactSizeIterator<Item = T>,
) -> C {
    let head = items.get(..range.start).unwrap_or_default();
    let tail = items.get(range.end..).unwrap_or_default();
    let mut all = Vec::with_capacity(head.len() + new.len() + tail.len());
    all.extend_from_slice(head);
    all.extend(new);
    all.extend_from_slice(tail);
    C::from(all)
}
