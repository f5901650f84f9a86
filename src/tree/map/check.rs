//! The invariants of a [`Map`], tested.

use super::{Chunk, FANOUT, MIN, Map};
use crate::path::Key;

impl<V> Map<V> {
    /// Tests the invariants; says which one doesn't hold.
    pub fn check(&self) -> Result<(), String> {
        if self.is_empty() {
            return if matches!(self.0, Chunk::Leaf(_)) { Ok(()) } else { Err("an empty branch".into()) };
        }
        if self.0.only_limb().is_some() {
            return Err("a top with one limb".into());
        }
        self.0.check(None, None, true, true, self.0.height())?;
        let keys = self.iter().map(|(key, _)| key);
        if keys.clone().count() != self.len() {
            return Err(format!("{} keys, and len says {}", keys.count(), self.len()));
        }
        if keys.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err("keys don't ascend".into()) }
    }
}

impl<V> Chunk<V> {
    /// `low` and `high` bound the keys: `low` ≤ key < `high`.
    fn check(
        &self,
        low: Option<&Key>,
        high: Option<&Key>,
        top: bool,
        last: bool,
        height: usize,
    ) -> Result<(), String> {
        let fill = self.fill();
        if fill == 0 || fill > FANOUT || (fill < MIN && !top && !last) {
            return Err(format!("a chunk of {fill}"));
        }
        let within = |key: &Key| low.is_none_or(|low| low <= key) && high.is_none_or(|high| key < high);
        match self {
            Chunk::Leaf(_) if height > 0 => Err(format!("a leaf {height} levels too high")),
            Chunk::Leaf(leaf) => match leaf.iter().find(|(key, _)| !within(key)) {
                Some((key, _)) => Err(format!("{key:?} is outside its bounds")),
                None => Ok(()),
            },
            Chunk::Branch(_) if height == 0 => Err("a branch where leaves are".into()),
            Chunk::Branch(branch) => {
                for (i, limb) in branch.limbs.iter().enumerate() {
                    let next = branch.limbs.get(i + 1).map(|limb| &limb.first);
                    limb.chunk.check(
                        Some(&limb.first),
                        next.or(high),
                        false,
                        last && next.is_none(),
                        height - 1,
                    )?;
                }
                Ok(())
            }
        }
    }
}
