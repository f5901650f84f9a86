//! From nodes to the text of an answer: plain or `internal`, within a budget of nodes.

use std::collections::BTreeMap;

use crate::api::route::Read;
use crate::http::Context;
use crate::path::{Key, Path};
use crate::store::{Ephemeral, Error, View};
use crate::tree::{self, Lease, NodeRef, Tree};
use crate::value::write_string;

/// The roots as a read sees them: the present, a kept version of one, or what a transaction would leave.
pub(super) enum Source {
    /// What is published.
    Present(View),
    /// These roots, in order.
    Trees(Vec<(Key, Tree)>),
}

/// Finds what a read is to see. `root` is the one that it looks into, where it's only one.
pub(super) fn source(context: &Context, read: &Read, root: Option<&Key>) -> Result<Source, Error> {
    let bad = |message: &str| Error::Bad { path: None, message: message.into() };
    match (&read.txid, read.version) {
        (Some(_), Some(_)) => Err(bad("version= and txid= exclude each other")),
        (None, None) => Ok(Source::Present(context.store.view())),
        (None, Some(version)) => {
            let root = root.ok_or_else(|| bad("a read with version= needs the path of one root"))?;
            let past = context.store.at(root, version)?;
            Ok(Source::Trees(past.tree.map(|tree| (root.clone(), tree)).into_iter().collect()))
        }
        (Some(txid), None) => {
            let transaction = context.store.queued(txid)?;
            let view = context.store.view();
            let mut trees: BTreeMap<Key, Tree> =
                view.roots().map(|(name, root)| (name.clone(), root.present.clone())).collect();
            for (name, tree) in context.store.preview(&transaction)? {
                match tree {
                    Some(tree) => trees.insert(name, tree),
                    None => trees.remove(&name),
                };
            }
            Ok(Source::Trees(trees.into_iter().collect()))
        }
    }
}

impl Source {
    /// The roots in order.
    pub(super) fn trees(&self) -> Box<dyn Iterator<Item = (&Key, &Tree)> + '_> {
        match self {
            Source::Present(view) => Box::new(view.roots().map(|(name, root)| (name, &root.present))),
            Source::Trees(trees) => Box::new(trees.iter().map(|(name, tree)| (name, tree))),
        }
    }

    /// The node at a path, which isn't the top.
    pub(super) fn node(&self, path: &Path) -> Option<NodeRef<'_>> {
        match self {
            Source::Present(view) => view.node(path),
            Source::Trees(trees) => {
                let (root, keys) = path.keys().split_first()?;
                let (_, tree) = trees.iter().find(|(name, _)| name == root)?;
                tree.get(keys)
            }
        }
    }
}

/// The form of an answer.
pub(super) enum Form {
    /// The value.
    Plain,
    /// With versions, and owners of these ephemeral nodes.
    Internal(Vec<Ephemeral>),
}

/// Appends a node. False: it has more nodes than `budget`; what was appended is to be thrown away.
pub(super) fn write_node(
    form: &Form,
    path: &Path,
    node: NodeRef<'_>,
    out: &mut String,
    budget: &mut usize,
) -> bool {
    match form {
        Form::Plain => tree::write_json(node, out, budget).is_ok(),
        Form::Internal(ephemeral) => {
            let owners: BTreeMap<&[Key], &Ephemeral> = ephemeral.iter().map(|e| (e.path.keys(), e)).collect();
            let lease = |keys: &[Key]| {
                let above = (0..=keys.len()).rev().filter_map(|len| keys.get(..len));
                let found = above.filter_map(|keys| owners.get(keys)).next()?;
                Some(Lease { owner: found.tega_id.to_string(), age_s: found.age.as_secs() })
            };
            tree::write_internal(node, path.keys(), &lease, out, budget).is_ok()
        }
    }
}

/// Appends an object of whole roots, with the same meaning of the result.
pub(super) fn write_roots<'a>(
    form: &Form,
    roots: impl Iterator<Item = (&'a Key, &'a Tree)>,
    out: &mut String,
    budget: &mut usize,
) -> bool {
    out.push('{');
    for (i, (name, tree)) in roots.enumerate() {
        if i > 0 {
            out.push(',');
        }
        // Writing to a String can't fail.
        let _ = write_string(name, out);
        out.push(':');
        if !write_node(form, &Path::from_checked(vec![name.clone()]), tree.root(), out, budget) {
            return false;
        }
    }
    out.push('}');
    true
}
