//! What somebody who may see only some subtrees sees of changes.

use std::borrow::Cow;

use super::event::Change;
use crate::path::Path;
use crate::tree::{self, Node, Stamp, Version};

/// The changes as a reader of these subtrees sees them: one outside isn't there, and one above shows, before and after,
/// only what is left by [`tree::within`]. So a put that takes all that the reader sees away is a delete to it, and
/// one that touches nothing of it is nothing.
///
/// `keep` is `None` for a reader of everything.
pub fn changes_within<'a>(changes: &'a [Change], keep: Option<&[Path]>) -> Cow<'a, [Change]> {
    let Some(keep) = keep else { return Cow::Borrowed(changes) };
    let cut = |change: &Change| {
        let side = |node: &Option<Node>| node_within(node.as_ref()?, &change.path, keep);
        let (before, after) = (side(&change.before), side(&change.after));
        let seen = before.is_some() || after.is_some();
        seen.then(|| Change { path: change.path.clone(), before, after, ephemeral: change.ephemeral })
    };
    Cow::Owned(changes.iter().filter_map(cut).collect())
}

/// What is left of the node at a path.
pub(super) fn node_within(node: &Node, at: &Path, keep: &[Path]) -> Option<Node> {
    // The stamp of the node itself means nothing here, and isn't kept.
    tree::within(node.with_stamp(Stamp::version(Version(0))), at.keys(), keep)
}

/// Whether the node at a path, something above it or something below it is kept.
pub(super) fn meets(at: &Path, keep: Option<&[Path]>) -> bool {
    keep.is_none_or(|keep| keep.iter().any(|path| path.contains(at) || at.contains(path)))
}
