//! Which trees a read sees, and how much of them.

use std::collections::BTreeMap;

use crate::api::allow::{self, Reach};
use crate::api::error::Refusal;
use crate::commit::Incarnation;
use crate::path::{Key, Path};
use crate::store::{Ephemeral, Past, Store, View};
use crate::token::Access;
use crate::tree::{Kind, NodeRef, Tree};

/// The roots as a read sees them: those parts only that its reader may see. They don't change while it's held.
pub struct Source {
    trees: Trees,
    /// A kept version, which has nothing ephemeral.
    is_past: bool,
    /// Something may be missing that the reader may not see.
    is_cut: bool,
}

enum Trees {
    /// What is published.
    Present(View),
    /// A kept version of this root.
    Past(Key, Past),
    /// These roots, in order.
    Some(Vec<(Key, Tree)>),
}

impl Source {
    /// Finds what a read at `path` is to see: the present, `version` of its root (at least 0 absolute, below 0 relative
    /// to the present one), or the roots as the transaction `txid` would leave them.
    ///
    /// Who may read nothing there is refused before anything is looked up. Where only parts may be read, the
    /// source has nothing else.
    pub fn of(
        store: &Store,
        access: &Access,
        path: &Path,
        version: Option<i64>,
        txid: Option<&str>,
    ) -> Result<Source, Refusal> {
        let reach = allow::read(access, path)?;
        let trees = match (txid, version) {
            (Some(_), Some(_)) => return Err(Refusal::bad("a version and a transaction exclude each other")),
            (None, None) => Trees::Present(store.view()),
            (None, Some(version)) => {
                let root = path.root().ok_or_else(|| {
                    Refusal::bad(
                        "each root has versions of its own; a read with one needs a path below one root",
                    )
                })?;
                Trees::Past(root.clone(), store.at(root, version)?)
            }
            (Some(txid), None) => Trees::Some(candidate(store, access, txid)?),
        };
        Ok(Source::cut(trees, reach, access))
    }

    /// What a read at `path` sees of a state of its root that a snapshot of the root's home replaced here: the one with
    /// this incarnation and version. Refused as by [`Source::of`].
    pub fn replaced(
        store: &Store,
        access: &Access,
        path: &Path,
        (incarnation, version): (Incarnation, u64),
    ) -> Result<Source, Refusal> {
        let reach = allow::read(access, path)?;
        let root =
            path.root().ok_or_else(|| Refusal::bad("a replaced state is of one root; name a path in it"))?;
        let is_it = |past: &Past| past.incarnation == incarnation && past.version.0 == version;
        let past = store.replaced(root).into_iter().find(is_it).ok_or_else(|| {
            let message = format!("no replaced state {incarnation}-{version} of {root} is kept");
            Refusal::new("not_found", message)
        })?;
        // As a version it could be taken for another of that number, so it has none of its own.
        let trees = past.tree.map(|tree| (root.clone(), tree)).into_iter().collect();
        let source = Source::cut(Trees::Some(trees), reach, access);
        Ok(Source { is_past: true, ..source })
    }

    /// What a read at `path` sees of the present, as this view shows it; refused as by [`Source::of`].
    pub fn present(view: View, access: &Access, path: &Path) -> Result<Source, Refusal> {
        let reach = allow::read(access, path)?;
        Ok(Source::cut(Trees::Present(view), reach, access))
    }

    fn cut(trees: Trees, reach: Reach, access: &Access) -> Source {
        let whole = Source { is_past: matches!(trees, Trees::Past(..)), is_cut: false, trees };
        match access.readable() {
            Some(keep) if reach == Reach::Part => {
                let left = |(name, tree): (&Key, &Tree)| Some((name.clone(), tree.within(name, keep)?));
                // Looked up by their names: there may be many more roots than the reader may see of.
                let mut names: Vec<&Key> = keep.iter().filter_map(Path::root).collect();
                names.sort_unstable();
                names.dedup();
                let trees = names.into_iter().filter_map(|name| left((name, whole.root(name)?))).collect();
                Source { trees: Trees::Some(trees), is_cut: true, ..whole }
            }
            _ => whole,
        }
    }

    /// The roots in order.
    pub fn roots(&self) -> Box<dyn Iterator<Item = (&Key, &Tree)> + '_> {
        match &self.trees {
            Trees::Present(view) => Box::new(view.roots().map(|(name, root)| (name, &root.present))),
            Trees::Past(name, past) => Box::new(past.tree.iter().map(move |tree| (name, tree))),
            Trees::Some(trees) => Box::new(trees.iter().map(|(name, tree)| (name, tree))),
        }
    }

    /// The roots named `name` or after it, in order.
    pub fn roots_from(&self, name: &str) -> Box<dyn Iterator<Item = (&Key, &Tree)> + '_> {
        match &self.trees {
            Trees::Present(view) => Box::new(view.roots_from(name).map(|(name, root)| (name, &root.present))),
            _ => {
                let name = Key::new(name);
                Box::new(self.roots().skip_while(move |(root, _)| **root < name))
            }
        }
    }

    /// How many roots there are.
    pub fn root_count(&self) -> usize {
        match &self.trees {
            Trees::Present(view) => view.root_count(),
            Trees::Past(_, past) => usize::from(past.tree.is_some()),
            Trees::Some(trees) => trees.len(),
        }
    }

    fn root(&self, name: &Key) -> Option<&Tree> {
        match &self.trees {
            Trees::Present(view) => view.root(name).map(|root| &root.present),
            Trees::Past(of, past) => past.tree.as_ref().filter(|_| of == name),
            Trees::Some(trees) => {
                let at = trees.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
                trees.get(at).map(|(_, tree)| tree)
            }
        }
    }

    /// The node at a path. There's none at the top, which is all roots.
    pub fn node(&self, path: &Path) -> Option<NodeRef<'_>> {
        let (root, keys) = path.keys().split_first()?;
        self.root(root)?.get(keys)
    }

    /// Whether something may be missing that the reader may not see.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The incarnation of a root, where what is seen of it is a version of its own: neither a part nor a candidate.
    pub fn incarnation(&self, root: &Key) -> Option<Incarnation> {
        match &self.trees {
            Trees::Present(view) => Some(view.root(root)?.incarnation),
            Trees::Past(_, past) => Some(past.incarnation),
            Trees::Some(_) => None,
        }
    }

    /// The ephemeral nodes at or below a path, or of all roots at the top. A kept version has none.
    pub fn ephemeral(&self, store: &Store, path: &Path) -> Vec<Ephemeral> {
        let may_have = match self.node(path) {
            _ if self.is_past => false,
            None => path.is_empty(),
            // Below a leaf of the versioned state there's nothing ephemeral.
            Some(node) => node.stamp.is_ephemeral() || matches!(node.kind, Kind::Container(_)),
        };
        if may_have { store.ephemeral(path) } else { Vec::new() }
    }
}

/// All roots as a transaction would leave them. Who couldn't have made it isn't shown what it would do, nor why it
/// couldn't be done.
fn candidate(store: &Store, access: &Access, txid: &str) -> Result<Vec<(Key, Tree)>, Refusal> {
    let transaction = store.queued(txid)?;
    allow::transaction(access, &transaction)?;
    let view = store.view();
    let mut trees: BTreeMap<Key, Tree> =
        view.roots().map(|(name, root)| (name.clone(), root.present.clone())).collect();
    for (name, tree) in store.preview(&transaction).map_err(|error| allow::told(access, error.into()))? {
        match tree {
            Some(tree) => trees.insert(name, tree),
            None => trees.remove(&name),
        };
    }
    Ok(trees.into_iter().collect())
}
