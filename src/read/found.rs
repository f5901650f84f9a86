//! What was found, and its text: plain, or `internal` with versions and owners.

use super::{SELECT, Source, max_answer, too_long};
use crate::api::error::Refusal;
use crate::path::{Key, Path};
use crate::store::{Ephemeral, Store};
use crate::token::Access;
use crate::tree::{self, Kind, Lease, Match, NodeRef, Pattern, Tree, Walk};
use crate::value::{Value, write_string};

// Writing to a String can't fail, so the results of `write_string` are dropped here.

/// The form of an answer.
enum Form {
    /// The value.
    Plain,
    /// With versions, and the owners of these ephemeral nodes, which are in the order of their paths.
    Internal(Vec<Ephemeral>),
}

impl Form {
    fn of(internal: bool, source: &Source, store: &Store, path: &Path) -> Form {
        if !internal {
            return Form::Plain;
        }
        Form::internal(source.ephemeral(store, path))
    }

    fn internal(mut owners: Vec<Ephemeral>) -> Form {
        owners.sort_unstable_by(|a, b| a.path.keys().cmp(b.path.keys()));
        Form::Internal(owners)
    }

    /// Appends a node. False: it has more nodes than `budget`, and what was appended is to be thrown away.
    fn node(&self, keys: &[Key], node: NodeRef<'_>, out: &mut String, budget: &mut usize) -> bool {
        let Form::Internal(owners) = self else { return tree::write_json(node, out, budget).is_ok() };
        // An ephemeral subtree is owned at its top.
        let lease = |keys: &[Key]| {
            let mut above = (0..=keys.len()).rev().filter_map(|len| keys.get(..len));
            let at = above.find_map(|keys| owners.binary_search_by(|e| e.path.keys().cmp(keys)).ok())?;
            let owner = owners.get(at)?;
            Some(Lease { owner: owner.tega_id.to_string(), age_s: owner.age.as_secs() })
        };
        tree::write_internal(node, keys, &lease, out, budget).is_ok()
    }

    /// Appends an object of whole roots, with the same meaning of the result; null for a root without a tree.
    fn roots<'a>(
        &self,
        roots: impl Iterator<Item = (&'a Key, Option<&'a Tree>)>,
        out: &mut String,
        budget: &mut usize,
    ) -> bool {
        out.push('{');
        for (i, (name, tree)) in roots.enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            let _ = write_string(name, out);
            out.push(':');
            match tree {
                None => out.push_str("null"),
                Some(tree) if self.node(std::slice::from_ref(name), tree.root(), out, budget) => {}
                Some(_) => return false,
            }
        }
        out.push('}');
        true
    }
}

/// About how long the text of a node and of those below it is, no more than it is; `None`: longer than `most`.
fn length(node: NodeRef<'_>, most: usize) -> Option<usize> {
    let own = |node: &NodeRef<'_>| match node.kind {
        Kind::Leaf(value) => text(value),
        Kind::Container(_) => 2,
    };
    let mut sum = own(&node);
    let mut walk = Walk::new(node);
    while let Some((keys, node)) = walk.step() {
        sum = sum.saturating_add(keys.last().map_or(0, |key| key.len() + 3)).saturating_add(own(&node));
        if sum > most {
            return None;
        }
    }
    (sum <= most).then_some(sum)
}

/// The same of a value.
fn text(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 2,
        Value::List(list) => list.items().iter().map(|item| 1 + text(item)).sum(),
        _ => 1,
    }
}

/// The same of whole roots together.
fn whole_length<'a>(roots: impl Iterator<Item = &'a Tree>) -> Option<usize> {
    let mut sum: usize = 0;
    for tree in roots {
        sum += length(tree.root(), max_answer().saturating_sub(sum))?;
    }
    Some(sum)
}

/// Appends what `write` does, within all limits.
fn whole(out: &mut String, write: impl FnOnce(&mut String, &mut usize) -> bool) -> Result<(), Refusal> {
    let start = out.len();
    // Each node costs two bytes at least.
    let mut budget = max_answer() / 2;
    if write(out, &mut budget) && out.len() - start <= max_answer() {
        return Ok(());
    }
    out.truncate(start);
    Err(too_long())
}

/// A node, or all roots, before it's written.
pub struct Found {
    source: Source,
    form: Form,
    path: Path,
}

impl Found {
    /// Looks up the node at `path`, or, at the top, all roots. `store` is the one that `source` is of.
    pub fn new(store: &Store, source: Source, path: Path, internal: bool) -> Result<Found, Refusal> {
        if !path.is_empty() && source.node(&path).is_none() {
            return Err(Refusal::not_found(&path));
        }
        let form = Form::of(internal, &source, store, &path);
        Ok(Found { source, form, path })
    }

    /// The node; `None` at the top.
    pub fn node(&self) -> Option<NodeRef<'_>> {
        self.source.node(&self.path)
    }

    /// What it was found in.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&self, out: &mut String, budget: &mut usize) -> bool {
        match self.node() {
            Some(node) => self.form.node(self.path.keys(), node, out, budget),
            None => self.form.roots(self.source.roots().map(|(name, tree)| (name, Some(tree))), out, budget),
        }
    }

    /// Appends it if it has at most `nodes` nodes; else nothing, and returns false.
    pub fn write_small(&self, mut nodes: usize, out: &mut String) -> bool {
        let start = out.len();
        let done = self.append(out, &mut nodes);
        if !done {
            out.truncate(start);
        }
        done
    }

    /// Appends it, however long that takes; nothing where it's refused.
    pub fn write(&self, out: &mut String) -> Result<(), Refusal> {
        let length = match self.node() {
            Some(node) => length(node, max_answer()),
            None => whole_length(self.source.roots().map(|(_, tree)| tree)),
        };
        // Known before it's written, so that no more memory is taken for it than it has.
        out.reserve(length.ok_or_else(too_long)?);
        whole(out, |out, budget| self.append(out, budget))
    }
}

/// Appends `{ROOT:…}` for the roots that a transaction touches, as it would leave them; null for one that it deletes. Of
/// each there is only what may be read; a root of which that's nothing isn't there.
pub fn write_candidate(
    store: &Store,
    access: &Access,
    mut roots: Vec<(Key, Option<Tree>)>,
    internal: bool,
    out: &mut String,
) -> Result<(), Refusal> {
    if let Some(keep) = access.readable() {
        roots.retain_mut(|(name, tree)| match tree {
            None => keep.iter().any(|path| path.root() == Some(name)),
            Some(whole) => {
                *tree = whole.within(name, keep);
                tree.is_some()
            }
        });
    }
    whole_length(roots.iter().filter_map(|(_, tree)| tree.as_ref())).ok_or_else(too_long)?;
    let form = if internal { Form::internal(store.ephemeral(&Path::TOP)) } else { Form::Plain };
    whole(out, |out, budget| form.roots(roots.iter().map(|(name, tree)| (name, tree.as_ref())), out, budget))
}

/// What a regex selects, before it's looked for.
pub struct Selection {
    source: Source,
    form: Form,
    pattern: Pattern,
}

impl Selection {
    /// Reads the regex, and looks for nothing yet. `store` is the one that `source` is of.
    pub fn new(store: &Store, source: Source, pattern: &str, internal: bool) -> Result<Selection, Refusal> {
        let pattern = Pattern::parse(pattern).map_err(|e| Refusal::bad(e.to_string()))?;
        let form = Form::of(internal, &source, store, &Path::TOP);
        Ok(Selection { source, form, pattern })
    }

    fn matches(&self) -> Result<Vec<Match<'_>>, Refusal> {
        let found = self.pattern.select(self.source.roots(), SELECT);
        found.map_err(|error| Refusal::new("too_large", error.to_string()))
    }

    /// Appends `{"PATH":{"groups":[["r",null],…],"instance":…},…}`.
    pub fn write(&self, out: &mut String) -> Result<(), Refusal> {
        self.each(
            out,
            |found, out| {
                out.push_str("{\"groups\":");
                groups(&found.groups, out);
                out.push_str(",\"instance\":");
            },
            "}",
        )
    }

    /// Appends `{"PATH":VALUE,…}`.
    pub fn write_instances(&self, out: &mut String) -> Result<(), Refusal> {
        self.each(out, |_, _| {}, "")
    }

    /// Appends an object with each match by its path: what `before` writes, the node, then `after`.
    fn each(
        &self,
        out: &mut String,
        before: impl Fn(&Match<'_>, &mut String),
        after: &str,
    ) -> Result<(), Refusal> {
        let matches = self.matches()?;
        whole(out, |out, budget| {
            let start = out.len();
            out.push('{');
            for (i, found) in matches.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                let _ = write_string(&Path::from_checked(found.keys.clone()).to_string(), out);
                out.push(':');
                before(found, out);
                // Matches may contain each other, so that together they are more than the tree.
                let left = max_answer().saturating_sub(out.len() - start);
                if length(found.node, left).is_none()
                    || !self.form.node(&found.keys, found.node, out, budget)
                    || out.len() - start > max_answer()
                {
                    return false;
                }
                out.push_str(after);
            }
            out.push('}');
            true
        })
    }
}

/// Appends the groups of each level that has any.
fn groups(levels: &[Vec<Option<String>>], out: &mut String) {
    out.push('[');
    for (i, level) in levels.iter().enumerate() {
        out.push_str(if i > 0 { ",[" } else { "[" });
        for (j, group) in level.iter().enumerate() {
            out.push_str(if j > 0 { "," } else { "" });
            match group {
                Some(text) => drop(write_string(text, out)),
                None => out.push_str("null"),
            }
        }
        out.push(']');
    }
    out.push(']');
}
