//! A search in a subtree, a bounded piece at a time.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::row::write_row;
use super::{MAX_PAGE, MAX_VALUES, Source};
use crate::api::error::Refusal;
use crate::api::route::{Search, Within};
use crate::path::{Key, Path};
use crate::store::{Store, View};
use crate::token::Access;
use crate::tree::{Needle, NodeRef, Tree, Walk};
use crate::value::write_string;

/// How many nodes one call looks at.
pub const MAX_LOOKED: usize = 20_000;

/// How long a call with an expression goes on: some take a thousand times as long as others, for the same nodes.
const MAX_TIME: Duration = Duration::from_millis(250);

/// A search that is to be made, at one moment.
pub struct Finding {
    store: Store,
    view: View,
    source: Source,
    path: Path,
    search: Search,
    /// `None`: every leaf is meant.
    needle: Option<Needle>,
}

// Writing to a String can't fail, so the results of writes are dropped below.

impl Finding {
    /// Reads what is looked for, and looks for nothing yet. Where there's nothing to search it's refused as a GET would be.
    pub fn new(store: &Store, access: &Access, path: Path, search: Search) -> Result<Finding, Refusal> {
        let view = store.view();
        let source = Source::present(view.clone(), access, &path)?;
        if !path.is_empty() && source.node(&path).is_none() {
            return Err(Refusal::not_found(&path));
        }
        let needle = match (search.text.as_str(), search.regex) {
            ("", _) => None,
            (text, false) => Some(Needle::text(text)),
            (text, true) => Some(Needle::regex(text).map_err(|error| Refusal::bad(error.to_string()))?),
        };
        Ok(Finding { store: store.clone(), view, source, path, search, needle })
    }

    /// Appends `{"path":…,"root_versions":{ROOT:N,…},"found":[{"path":…,…},…],"looked":N,"next":PATH|null}`.
    pub fn write(&self, out: &mut String) {
        self.write_within(MAX_TIME, out);
    }

    fn write_within(&self, time: Duration, out: &mut String) {
        let begun = Instant::now();
        let mut visits = Visits::new(&self.source, &self.path, self.search.after.as_ref());
        let mut piece = Piece::new(self);
        let mut next = None;
        while let Some(node) = visits.step() {
            piece.look(&visits, node);
            if piece.is_full() || self.search.regex && begun.elapsed() >= time {
                let last = visits.path();
                // It's the end where nothing follows.
                next = visits.step().map(|_| last);
                break;
            }
        }
        out.push_str("{\"path\":");
        let _ = write_string(&self.path.to_string(), out);
        let _ = write!(
            out,
            ",\"root_versions\":{{{}}},\"found\":[{}],\"looked\":{},\"next\":",
            piece.versions, piece.found, piece.looked
        );
        match next {
            Some(path) => drop(write_string(&path.to_string(), out)),
            None => out.push_str("null"),
        }
        out.push('}');
    }
}

/// What one call comes to.
struct Piece<'a> {
    finding: &'a Finding,
    /// The root whose version was written last.
    root: Option<Key>,
    versions: String,
    found: String,
    count: usize,
    looked: usize,
    /// Of keys and values, gone through.
    bytes: usize,
}

impl<'a> Piece<'a> {
    fn new(finding: &'a Finding) -> Piece<'a> {
        let (versions, found) = (String::new(), String::new());
        let mut piece = Piece { finding, root: None, versions, found, count: 0, looked: 0, bytes: 0 };
        if let Some(root) = finding.path.root() {
            piece.version(root);
        }
        piece
    }

    fn version(&mut self, root: &Key) {
        if self.root.as_ref() == Some(root) {
            return;
        }
        self.versions.push_str(if self.root.is_some() { "," } else { "" });
        let _ = write_string(root, &mut self.versions);
        let version = self.finding.view.root(root).map(|root| root.version).unwrap_or_default();
        let _ = write!(self.versions, ":{version}");
        self.root = Some(root.clone());
    }

    fn look(&mut self, visits: &Visits<'_>, node: NodeRef<'_>) {
        self.looked += 1;
        if let Some(root) = visits.above.first() {
            self.version(root);
        }
        if !self.matches(visits.name(), node) {
            return;
        }
        let path = visits.path();
        self.found.push_str(if self.count > 0 { ",{\"path\":" } else { "{\"path\":" });
        let _ = write_string(&path.to_string(), &mut self.found);
        self.bytes += write_row(&self.finding.store, path.keys(), node, &mut self.found);
        self.found.push('}');
        self.count += 1;
    }

    /// Whether this node is one of those that are looked for.
    fn matches(&mut self, name: &str, node: NodeRef<'_>) -> bool {
        let Some(needle) = &self.finding.needle else {
            return node.container().is_none_or(|container| container.is_empty());
        };
        let within = self.finding.search.within;
        if within != Within::Values {
            self.bytes += name.len();
            if needle.is_in(name) {
                return true;
            }
        }
        let Some(leaf) = node.leaf().filter(|_| within != Within::Keys) else { return false };
        let text = leaf.as_str().map_or_else(|| Cow::Owned(leaf.to_string()), Cow::Borrowed);
        self.bytes += text.len();
        needle.is_in(&text)
    }

    fn is_full(&self) -> bool {
        self.count >= self.finding.search.limit
            || self.looked >= MAX_LOOKED
            || self.bytes >= MAX_VALUES
            || self.found.len() + self.versions.len() >= MAX_PAGE
    }
}

/// The nodes below a path in their order, or that at it where it has nothing below. At the top, all roots and what is
/// below them.
struct Visits<'a> {
    roots: Box<dyn Iterator<Item = (&'a Key, &'a Tree)> + 'a>,
    /// The keys of the node that is gone through.
    above: Vec<Key>,
    /// That node, where it's one of those.
    itself: Option<NodeRef<'a>>,
    walk: Option<Walk<'a>>,
}

impl<'a> Visits<'a> {
    /// Those behind `after`.
    fn new(source: &'a Source, path: &Path, after: Option<&Path>) -> Visits<'a> {
        if !path.is_empty() {
            let node = source.node(path);
            let has_none = |node: &NodeRef<'_>| node.container().is_none_or(|below| below.is_empty());
            let behind = after.and_then(|after| after.keys().strip_prefix(path.keys()));
            return Visits {
                roots: Box::new(std::iter::empty()),
                above: path.keys().to_vec(),
                itself: node.filter(|node| after.is_none() && has_none(node)),
                walk: node.map(|node| Walk::after(node, behind.unwrap_or_default())),
            };
        }
        let Some((root, keys)) = after.and_then(|after| after.keys().split_first()) else {
            return Visits { roots: source.roots(), above: Vec::new(), itself: None, walk: None };
        };
        let mut roots = source.roots_from(root).peekable();
        let begun = roots.next_if(|(name, _)| *name == root);
        Visits {
            roots: Box::new(roots),
            above: vec![root.clone()],
            itself: None,
            walk: begun.map(|(_, tree)| Walk::after(tree.root(), keys)),
        }
    }

    fn step(&mut self) -> Option<NodeRef<'a>> {
        loop {
            if let Some(node) = self.itself.take() {
                return Some(node);
            }
            if let Some((_, node)) = self.walk.as_mut().and_then(Walk::step) {
                return Some(node);
            }
            let (name, tree) = self.roots.next()?;
            self.above = vec![name.clone()];
            self.itself = Some(tree.root());
            self.walk = Some(Walk::new(tree.root()));
        }
    }

    fn keys(&self) -> &[Key] {
        self.walk.as_ref().map_or(&[], |walk| walk.keys())
    }

    /// The last key of the node that was given last.
    fn name(&self) -> &str {
        self.keys().last().or(self.above.last()).map_or("", |key| key)
    }

    /// Its path.
    fn path(&self) -> Path {
        Path::from_checked([&self.above, self.keys()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Transaction};
    use crate::value::Value;

    #[test]
    fn an_expression_that_takes_its_time_is_tried_on_a_node_a_call_and_leaves_nothing_out() {
        let store = Store::in_memory(Options::default());
        let value = Value::parse(r#"{"b":{"x1":1,"x2":2},"c":{},"x3":3}"#).unwrap();
        store.commit(Transaction::new(None).put(Path::parse("a").unwrap(), value)).unwrap();
        let (mut after, mut found, mut calls) = (None, Vec::new(), 0);
        loop {
            calls += 1;
            let search = Search { text: "^x".into(), regex: true, after, ..Search::default() };
            let finding = Finding::new(&store, &Access::all(), Path::TOP, search).unwrap();
            let mut out = String::new();
            finding.write_within(Duration::ZERO, &mut out);
            let answer = Value::parse(&out).unwrap();
            assert_eq!(answer.get("looked"), Some(&Value::Int(1)), "{out}");
            let items = answer.get("found").and_then(Value::as_list).unwrap().items();
            found
                .extend(items.iter().map(|row| row.get("path").and_then(Value::as_str).unwrap().to_string()));
            match answer.get("next").and_then(Value::as_str) {
                Some(next) => after = Path::parse(next).ok(),
                None => break,
            }
        }
        assert_eq!(calls, 6);
        assert_eq!(found, ["a.b.x1", "a.b.x2", "a.x3"]);
        store.close();
    }
}
