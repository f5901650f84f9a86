//! What a GET finds, as JSON.

use crate::api::error::Refusal;
use crate::message::body::Get;
use crate::path::{Key, Path};
use crate::store::{Store, View};
use crate::tree::{Lease, NodeRef, Pattern, SelectLimits, Stamp, write_internal, write_json};
use crate::value::{Value, write_string};

use super::{INLINE_NODES, MAX_ANSWER};

/// What one regex may find and look at.
const SELECT: SelectLimits = SelectLimits { matches: 10_000, visits: 1_000_000 };

/// A GET, answered or too large to be answered here.
pub(super) enum Outcome {
    /// The body was appended.
    Done,
    /// Nothing was appended; ask [`large`], on another thread.
    Large,
}

/// Appends the body of the answer to a small GET: `{"value":…,"version":N}`.
pub(super) fn small(store: &Store, get: &Get, out: &mut String) -> Result<Outcome, Refusal> {
    if get.regex || get.internal {
        return Ok(Outcome::Large);
    }
    let start = out.len();
    let mut budget = INLINE_NODES;
    if plain(store, get, out, &mut budget)? {
        Ok(Outcome::Done)
    } else {
        out.truncate(start);
        Ok(Outcome::Large)
    }
}

/// Appends the body of the answer to any GET, however long it takes.
pub(super) fn large(store: &Store, get: &Get, out: &mut String) -> Result<(), Refusal> {
    let start = out.len();
    // A node costs at least two bytes, so no answer that fits has more.
    let mut budget = MAX_ANSWER / 2;
    let whole = match (get.regex, get.internal) {
        (true, _) => select(store, get, out, &mut budget)?,
        (false, true) => internal(store, get, out, &mut budget)?,
        (false, false) => plain(store, get, out, &mut budget)?,
    };
    if !whole || out.len() - start > MAX_ANSWER {
        out.truncate(start);
        let message = format!("the answer is longer than {} MiB; read it in parts", MAX_ANSWER >> 20);
        return Err(Refusal::new("too_large", message));
    }
    Ok(())
}

fn path(get: &Get) -> Result<Path, Refusal> {
    match &get.path {
        Some(word) => Ok(Path::from_wire(word)?),
        None => Ok(Path::TOP),
    }
}

/// Runs `use_node` on the node of the present or of the version that was asked for.
fn with_node<T>(
    store: &Store,
    get: &Get,
    path: &Path,
    use_node: impl FnOnce(NodeRef<'_>) -> T,
) -> Result<T, Refusal> {
    let missing = || Refusal::not_found(path);
    let Some(version) = get.version else {
        let view = store.view();
        return view.node(path).map(use_node).ok_or_else(missing);
    };
    let [root, below @ ..] = path.keys() else {
        return Err(Refusal::bad("a version is a root's; name a path below the top"));
    };
    let past = store.at(root, version)?;
    let node = past.tree.as_ref().and_then(|tree| tree.get(below));
    node.map(use_node).ok_or_else(missing)
}

fn plain(store: &Store, get: &Get, out: &mut String, budget: &mut usize) -> Result<bool, Refusal> {
    let path = path(get)?;
    if path.is_empty() {
        if get.version.is_some() {
            return Err(Refusal::bad("a version is a root's; name a path below the top"));
        }
        out.push_str("{\"value\":");
        let whole = top(&store.view(), out, budget);
        out.push('}');
        return Ok(whole);
    }
    with_node(store, get, &path, |node| {
        out.push_str("{\"value\":");
        let whole = write_json(node, out, budget).is_ok();
        version(node.stamp, out);
        out.push('}');
        whole
    })
}

/// All roots as one object.
pub(super) fn top(view: &View, out: &mut String, budget: &mut usize) -> bool {
    let mut before = '{';
    for (name, root) in view.roots() {
        out.push(before);
        before = ',';
        key(name, out);
        if write_json(root.present.root(), out, budget).is_err() {
            return false;
        }
    }
    out.push_str(if before == '{' { "{}" } else { "}" });
    true
}

fn key(name: &str, out: &mut String) {
    // Writing to a String can't fail.
    let _ = write_string(name, out);
    out.push(':');
}

/// An ephemeral node has no version.
fn version(stamp: Stamp, out: &mut String) {
    match stamp.as_version() {
        Some(version) => out.push_str(&format!(",\"version\":{version}")),
        None => out.push_str(",\"ephemeral\":true"),
    }
}

fn internal(store: &Store, get: &Get, out: &mut String, budget: &mut usize) -> Result<bool, Refusal> {
    let path = path(get)?;
    let leases = if get.version.is_none() { store.ephemeral(&path) } else { Vec::new() };
    let owner = |keys: &[Key]| {
        let lease = leases.iter().find(|lease| lease.path.keys() == keys)?;
        Some(Lease { owner: lease.tega_id.to_string(), age_s: lease.age.as_secs() })
    };
    out.push_str("{\"value\":");
    let write = |node: NodeRef<'_>| write_internal(node, path.keys(), &owner, out, budget).is_ok();
    let whole = with_node(store, get, &path, write)?;
    out.push('}');
    Ok(whole)
}

/// `{"value":{PATH:{"groups":[[…],…],"instance":…},…}}`
fn select(store: &Store, get: &Get, out: &mut String, budget: &mut usize) -> Result<bool, Refusal> {
    if get.version.is_some() {
        return Err(Refusal::bad("a regex is matched against the present; leave \"version\" out"));
    }
    let word = get.path.as_deref().ok_or_else(|| Refusal::bad("a regex needs a path"))?;
    let text = crate::message::ChannelName { word, regex: true }.regex();
    let pattern = Pattern::parse(&text).map_err(|e| Refusal::bad(e.to_string()))?;
    let view = store.view();
    let roots = view.roots().map(|(name, root)| (name, &root.present));
    let matches = pattern.select(roots, SELECT).map_err(|e| Refusal::bad(e.to_string()))?;
    let mut before = '{';
    out.push_str("{\"value\":");
    for found in &matches {
        out.push(before);
        before = ',';
        key(&Path::from_checked(found.keys.clone()).to_string(), out);
        out.push_str("{\"groups\":");
        groups(&found.groups, out);
        out.push_str(",\"instance\":");
        if write_json(found.node, out, budget).is_err() || out.len() > MAX_ANSWER {
            return Ok(false);
        }
        out.push('}');
    }
    out.push_str(if before == '{' { "{}}" } else { "}}" });
    Ok(true)
}

fn groups(levels: &[Vec<Option<String>>], out: &mut String) {
    let value = |group: &Option<String>| group.as_deref().map_or(Value::Null, Value::from);
    let level = |groups: &Vec<Option<String>>| Value::list(groups.iter().map(value).collect::<Vec<_>>());
    // Two levels of nesting are never too deep, and writing to a String can't fail.
    let lists: Vec<Value> = levels.iter().filter_map(|groups| level(groups).ok()).collect();
    let _ = Value::list(lists).map(|lists| lists.write(out));
}
