//! What the store promises, a file a promise; `scripts/` tells in plain text how it behaves.

mod disk;
mod durability;
mod import;
mod limits;
mod random;
mod replica;
mod requests;
mod script;
mod threads;
mod watches;

use std::collections::HashMap;

use super::*;
use crate::commit::{Incarnation, Position};
use crate::log::fake::Disk;
use crate::tree::Version;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn json(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn put_of(at: &str, value: &str) -> Transaction {
    Transaction::new(None).put(path(at), json(value))
}

fn put(store: &Store, at: &str, value: &str) -> Result<Receipt, Error> {
    store.commit(put_of(at, value))
}

fn text(store: &Store, at: &str) -> String {
    store.get(&path(at)).map_or("-".into(), |v| v.to_string())
}

fn open(disk: &Disk) -> Store {
    Store::open_on(disk.medium(), Options::default()).unwrap()
}

/// Every node with its stamp, `a.b:3=1`; `~` stands for the stamp of an ephemeral node.
fn stamps(tree: &Tree) -> String {
    let stamp =
        |stamp: crate::tree::Stamp| stamp.as_version().map_or("~".into(), |version| version.to_string());
    let mut lines = vec![format!(":{}", stamp(tree.stamp))];
    let mut walk = crate::tree::Walk::new(tree.root());
    while let Some((keys, node)) = walk.step() {
        let stamp = stamp(node.stamp);
        let value = match node.kind {
            crate::tree::Kind::Leaf(value) => format!("={value}"),
            crate::tree::Kind::Container(container) if container.is_empty() => "={}".into(),
            crate::tree::Kind::Container(_) => String::new(),
        };
        lines.push(format!("{}:{stamp}{value}", keys.join(".")));
    }
    lines.join(" ")
}

/// Everything that a restart must keep: every kept version of every root with the stamps of its nodes.
fn everything(store: &Store) -> String {
    let state = store.shared().published();
    let mut names: Vec<&Key> = state.live.iter().filter(|(_, r)| !r.ephemeral_only).map(|(n, _)| n).collect();
    names.extend(state.dead.iter().map(|(name, _)| name));
    names.sort_unstable();
    names.dedup();
    let mut lines = Vec::new();
    for name in names {
        for past in store.history(name).unwrap() {
            let tree = past.tree.as_ref().map_or("deleted".into(), stamps);
            let by = past.by.as_ref().map_or("-", TegaId::as_str);
            let Past { version, incarnation, position, origin, digest, .. } = &past;
            lines.push(format!(
                "{name} {incarnation} {version} #{position} {origin:?} {digest:x} {by} {tree}"
            ));
        }
    }
    for (name, pasts) in state.replaced.iter() {
        for past in pasts.iter() {
            let tree = past.tree.as_ref().map_or("deleted".into(), stamps);
            let Past { version, incarnation, position, origin, digest, .. } = past;
            lines.push(format!(
                "replaced {name} {incarnation} {version} #{position} {origin:?} {digest:x} {tree}"
            ));
        }
    }
    lines.join("\n")
}

/// What is true of every state.
fn check(store: &Store) {
    let overlay = store.shared().overlay();
    let state = store.shared().published();
    for (name, root) in state.live.iter() {
        root.tree.check().unwrap();
        root.present.check().unwrap();
        let merged = overlay
            .merge(&Path::from_checked(vec![name.clone()]), (!root.ephemeral_only).then_some(&root.tree));
        assert_eq!(merged.as_ref().map(stamps), Some(stamps(&root.present)), "{name}");
        assert!(root.ephemeral_only || root.tree.stamp.number() == root.version.0, "{name}");
        assert!(root.ephemeral_only || state.dead.get(name).is_none(), "{name} lives and is dead");
    }
}
