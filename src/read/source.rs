//! Which trees a read sees.

use std::collections::BTreeMap;

use crate::api::error::Refusal;
use crate::path::{Key, Path};
use crate::store::{Ephemeral, Past, Store, View};
use crate::tree::{Kind, NodeRef, Tree};

/// The roots as a read sees them. They don't change while it's held.
pub enum Source {
    /// What is published.
    Present(View),
    /// A kept version of this root.
    Past(Key, Past),
    /// What a transaction would leave: these roots, in order.
    Candidate(Vec<(Key, Tree)>),
}

impl Source {
    /// Finds what a read is to see: the present, `version` of `root` (at least 0 absolute, below 0 relative to the
    /// present one), or the roots as the transaction `txid` would leave them.
    pub fn of(
        store: &Store,
        root: Option<&Key>,
        version: Option<i64>,
        txid: Option<&str>,
    ) -> Result<Source, Refusal> {
        match (txid, version) {
            (Some(_), Some(_)) => Err(Refusal::bad("a version and a transaction exclude each other")),
            (None, None) => Ok(Source::Present(store.view())),
            (None, Some(version)) => {
                let root = root.ok_or_else(|| {
                    Refusal::bad(
                        "each root has versions of its own; a read with one needs a path below one root",
                    )
                })?;
                Ok(Source::Past(root.clone(), store.at(root, version)?))
            }
            (Some(txid), None) => {
                let transaction = store.queued(txid)?;
                let view = store.view();
                let mut trees: BTreeMap<Key, Tree> =
                    view.roots().map(|(name, root)| (name.clone(), root.present.clone())).collect();
                for (name, tree) in store.preview(&transaction)? {
                    match tree {
                        Some(tree) => trees.insert(name, tree),
                        None => trees.remove(&name),
                    };
                }
                Ok(Source::Candidate(trees.into_iter().collect()))
            }
        }
    }

    /// The roots in order.
    pub fn roots(&self) -> Box<dyn Iterator<Item = (&Key, &Tree)> + '_> {
        match self {
            Source::Present(view) => Box::new(view.roots().map(|(name, root)| (name, &root.present))),
            Source::Past(name, past) => Box::new(past.tree.iter().map(move |tree| (name, tree))),
            Source::Candidate(trees) => Box::new(trees.iter().map(|(name, tree)| (name, tree))),
        }
    }

    /// The node at a path. There's none at the top, which is all roots.
    pub fn node(&self, path: &Path) -> Option<NodeRef<'_>> {
        if let Source::Present(view) = self {
            return view.node(path);
        }
        let (root, keys) = path.keys().split_first()?;
        self.roots().find(|(name, _)| *name == root)?.1.get(keys)
    }

    /// The ephemeral nodes at or below a path, or of all roots at the top. A kept version has none.
    pub fn ephemeral(&self, store: &Store, path: &Path) -> Vec<Ephemeral> {
        let may_have = match (self, self.node(path)) {
            (Source::Past(..), _) => false,
            (_, None) => path.is_empty(),
            // Below a leaf of the versioned state there's nothing ephemeral.
            (_, Some(node)) => node.stamp.is_ephemeral() || matches!(node.kind, Kind::Container(_)),
        };
        if may_have { store.ephemeral(path) } else { Vec::new() }
    }
}
