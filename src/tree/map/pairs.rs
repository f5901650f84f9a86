//! Two maps side by side: what one has and the other hasn't, or has as another entry.

use std::cmp::Ordering;

use super::{Chunk, Map};
use crate::path::Key;

/// An entry of one map, of the other, or of both.
#[derive(Debug, PartialEq)]
pub enum Pair<'a, V> {
    /// Only the first map has the key.
    Left(&'a Key, &'a V),
    /// Only the second map has the key.
    Right(&'a Key, &'a V),
    /// Both have it; whether the values differ isn't known yet.
    Both(&'a Key, &'a V, &'a V),
}

/// The entries in which two maps may differ, in the order of their keys.
///
/// Both maps are opened from the top, chunk by chunk, and only as far as they aren't the same in memory: two versions
/// that differ in one entry cost a few chunks, whatever their size.
pub struct Pairs<'a, V> {
    left: Side<'a, V>,
    right: Side<'a, V>,
    visited: usize,
}

struct Side<'a, V> {
    entries: &'a [(Key, V)],
    /// Chunks not opened yet, the next one at the end, each with a lower bound of its keys.
    ahead: Vec<(Option<&'a Key>, &'a Chunk<V>)>,
}

impl<'a, V> Side<'a, V> {
    fn open(&mut self) {
        match self.ahead.pop() {
            Some((_, Chunk::Leaf(leaf))) => self.entries = leaf,
            Some((_, Chunk::Branch(branch))) => {
                self.ahead.extend(branch.limbs.iter().rev().map(|limb| (Some(&limb.first), &limb.chunk)))
            }
            None => {}
        }
    }

    fn take(&mut self) -> Option<&'a (Key, V)> {
        let (first, rest) = self.entries.split_first()?;
        self.entries = rest;
        Some(first)
    }

    /// Where no leaf is open: whether `key` may be in what lies ahead.
    fn may_hold(&self, key: &Key) -> bool {
        self.ahead.last().is_some_and(|(first, _)| *first <= Some(key))
    }
}

impl<'a, V> Pairs<'a, V> {
    pub(super) fn new(left: &'a Chunk<V>, right: &'a Chunk<V>) -> Pairs<'a, V> {
        let side = |chunk| Side { entries: &[], ahead: vec![(None, chunk)] };
        Pairs { left: side(left), right: side(right), visited: 0 }
    }

    /// How many chunks and entries were looked at so far.
    pub fn visited(&self) -> usize {
        self.visited
    }

    /// No leaf is open on either side. False: both sides are at their end.
    fn advance(&mut self) -> bool {
        match (self.left.ahead.last(), self.right.ahead.last()) {
            (None, None) => return false,
            (Some(_), None) => self.left.open(),
            (None, Some(_)) => self.right.open(),
            (Some((_, a)), Some((_, b))) if a.same(b) => {
                self.left.ahead.pop();
                self.right.ahead.pop();
            }
            (Some((low_a, a)), Some((low_b, b))) => {
                // Opening the side that begins earlier, or is higher, is what lets shared chunks meet.
                let order = low_b.cmp(low_a).then_with(|| a.height().cmp(&b.height()));
                if order != Ordering::Less {
                    self.left.open();
                }
                if order != Ordering::Greater {
                    self.right.open();
                }
            }
        }
        true
    }
}

impl<'a, V> Iterator for Pairs<'a, V> {
    type Item = Pair<'a, V>;

    fn next(&mut self) -> Option<Pair<'a, V>> {
        loop {
            self.visited += 1;
            let order = match (self.left.entries.first(), self.right.entries.first()) {
                (None, None) if self.advance() => continue,
                (None, None) => return None,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some((a, _)), None) if self.right.may_hold(a) => {
                    self.right.open();
                    continue;
                }
                (Some(_), None) => Ordering::Less,
                (None, Some((b, _))) if self.left.may_hold(b) => {
                    self.left.open();
                    continue;
                }
                (None, Some(_)) => Ordering::Greater,
            };
            return match order {
                Ordering::Less => self.left.take().map(|(k, v)| Pair::Left(k, v)),
                Ordering::Greater => self.right.take().map(|(k, v)| Pair::Right(k, v)),
                Ordering::Equal => {
                    let ((key, a), (_, b)) = self.left.take().zip(self.right.take())?;
                    Some(Pair::Both(key, a, b))
                }
            };
        }
    }
}

impl<V: PartialEq> PartialEq for Map<V> {
    fn eq(&self, other: &Map<V>) -> bool {
        self.len() == other.len()
            && self.pairs(other).all(|pair| matches!(pair, Pair::Both(_, a, b) if a == b))
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Map<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
