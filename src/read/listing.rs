//! A page of a node's children.

use std::fmt::Write;

use super::row::{write_row, write_stamp};
use super::{MAX_PAGE, MAX_VALUES, Source};
use crate::api::error::Refusal;
use crate::api::route::Page;
use crate::path::{Key, Path};
use crate::store::{Store, View};
use crate::token::Access;
use crate::tree::{Kind, NodeRef};
use crate::value::write_string;

/// A node whose children are to be shown, or the top with the roots, at one moment.
pub struct Listing {
    store: Store,
    view: View,
    source: Source,
    path: Path,
    page: Page,
}

// Writing to a String can't fail, so the results of writes are dropped below.

impl Listing {
    /// Looks the node up; refused as a GET of it would be.
    pub fn new(store: &Store, access: &Access, path: Path, page: Page) -> Result<Listing, Refusal> {
        let view = store.view();
        let source = Source::present(view.clone(), access, &path)?;
        if !path.is_empty() && source.node(&path).is_none() {
            return Err(Refusal::not_found(&path));
        }
        Ok(Listing { store: store.clone(), view, source, path, page })
    }

    /// What is listed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `{"path":…,"kind":"container"|"leaf","version":N,"count":N,"root":…,"inc":…,"root_version":N,
    /// "position":N,…,"rows":[…],"more":…}`; at the top `version`, `root`, `inc` and `root_version` are null. A leaf has no
    /// `count` and no rows, but `"row":{…}`, its own.
    ///
    /// `rights` writes the members in the middle, each with a comma before it, and `of_root` more of those of a root's
    /// row, which has its `inc` too.
    pub fn write(
        &self,
        out: &mut String,
        rights: impl FnOnce(&mut String),
        mut of_root: impl FnMut(&Key, &mut String),
    ) {
        let node = self.source.node(&self.path);
        self.write_head(node, out);
        rights(out);
        match node.map(|node| (node, node.kind)) {
            None => {
                let roots = self.source.roots_from(self.begin());
                let of_root = |name: &Key, out: &mut String| {
                    let incarnation = self.view.root(name).map(|root| root.incarnation).unwrap_or_default();
                    let _ = write!(out, ",\"inc\":\"{incarnation}\"");
                    of_root(name, out);
                };
                self.write_rows(roots.map(|(name, tree)| (name, tree.root())), out, of_root);
            }
            Some((_, Kind::Container(container))) => {
                let children = container.iter_from(self.begin());
                self.write_rows(children.map(|(key, child)| (key, child.into())), out, |_, _| {});
            }
            Some((node, Kind::Leaf(_))) => {
                out.push_str(",\"row\":{\"key\":");
                let _ = write_string(self.path.name().map_or("", |key| key), out);
                write_row(&self.store, self.path.keys(), node, out);
                out.push_str("},\"rows\":[],\"more\":false");
            }
        }
        out.push('}');
    }

    fn write_head(&self, node: Option<NodeRef<'_>>, out: &mut String) {
        out.push_str("{\"path\":");
        let _ = write_string(&self.path.to_string(), out);
        let kind = if node.is_some_and(|node| node.leaf().is_some()) { "leaf" } else { "container" };
        let _ = write!(out, ",\"kind\":\"{kind}\"");
        match node {
            Some(node) => write_stamp(&self.store, self.path.keys(), node, out),
            None => out.push_str(",\"version\":null"),
        }
        let count = match node {
            Some(node) => node.container().map(|container| container.len()),
            None => Some(self.source.root_count()),
        };
        if let Some(count) = count {
            let _ = write!(out, ",\"count\":{count}");
        }
        match self.path.root().and_then(|name| Some((name, self.view.root(name)?))) {
            Some((name, root)) => {
                out.push_str(",\"root\":");
                let _ = write_string(name, out);
                let _ = write!(out, ",\"inc\":\"{}\",\"root_version\":{}", root.incarnation, root.version);
            }
            None => out.push_str(",\"root\":null,\"inc\":null,\"root_version\":null"),
        }
        let _ = write!(out, ",\"position\":{}", self.view.position().0);
    }

    /// From where keys are looked at.
    fn begin(&self) -> &str {
        self.page.after.as_str().max(&self.page.prefix)
    }

    /// Appends `,"rows":[…],"more":…`. There's one row at least where there's one to show.
    fn write_rows<'a>(
        &self,
        nodes: impl Iterator<Item = (&'a Key, NodeRef<'a>)>,
        out: &mut String,
        mut more_of: impl FnMut(&Key, &mut String),
    ) {
        let Page { after, prefix, limit } = &self.page;
        // Those that begin alike stand side by side.
        let mut nodes = nodes
            .skip_while(|(key, _)| key.as_str() == after)
            .take_while(|(key, _)| key.starts_with(prefix.as_str()));
        let (start, mut gone_through) = (out.len(), 0);
        let mut keys = self.path.keys().to_vec();
        out.push_str(",\"rows\":[");
        for (at, (key, node)) in nodes.by_ref().take(*limit).enumerate() {
            out.push_str(if at > 0 { ",{\"key\":" } else { "{\"key\":" });
            let _ = write_string(key, out);
            keys.push(key.clone());
            gone_through += write_row(&self.store, &keys, node, out);
            keys.pop();
            more_of(key, out);
            out.push('}');
            if out.len() - start >= MAX_PAGE || gone_through >= MAX_VALUES {
                break;
            }
        }
        let _ = write!(out, "],\"more\":{}", nodes.next().is_some());
    }
}
