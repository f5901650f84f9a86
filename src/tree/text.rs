//! JSON straight from the tree, without a value in between: plain, and in the `internal` form.

use std::fmt::Write;

use super::{Kind, NodeRef, Stamp};
use crate::path::Key;
use crate::value::{Value, write_string};

/// More nodes than the budget allowed. What was written is no JSON; throw it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSpent;

fn spend(budget: &mut usize, node: &NodeRef<'_>) -> Result<(), BudgetSpent> {
    let cost = match node.kind {
        Kind::Leaf(leaf) => 1 + long(leaf),
        Kind::Container(_) => 1,
    };
    *budget = budget.checked_sub(cost).ok_or(BudgetSpent)?;
    Ok(())
}

/// What a value costs beside its place: texts of more than 256 bytes one for each 64 of them, and one for eight items.
fn long(value: &Value) -> usize {
    match value {
        Value::Text(text) if text.len() > 256 => text.len() / 64,
        Value::List(list) => list.items().len() / 8 + list.items().iter().map(long).sum::<usize>(),
        _ => 0,
    }
}

// Writing to a String can't fail, so results of `write!` are dropped here.

fn quote(text: &str, out: &mut String) {
    let _ = write_string(text, out);
}

fn value(value: &Value, out: &mut String) {
    let _ = value.write(out);
}

/// Appends the canonical JSON of a node and everything below it, as [`Value::write`] would. Each node takes one from
/// `budget`, and long values take more, so that a thread that serves many isn't held by one big tree.
pub fn write_json(node: NodeRef<'_>, out: &mut String, budget: &mut usize) -> Result<(), BudgetSpent> {
    spend(budget, &node)?;
    match node.kind {
        Kind::Leaf(leaf) => value(leaf, out),
        Kind::Container(container) => {
            let mut before = '{';
            for (key, child) in container {
                out.push(before);
                before = ',';
                quote(key, out);
                out.push(':');
                write_json(child.into(), out, budget)?;
            }
            out.push_str(if container.is_empty() { "{}" } else { "}" });
        }
    }
    Ok(())
}

/// To whom an ephemeral node belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The tega ID of the session that put it.
    pub owner: String,
    /// Seconds since it was put.
    pub age_s: u64,
}

/// Appends a node in the `internal` form. `keys` is its path, the root's name first; `lease` says, for the path of an
/// ephemeral node, to whom it belongs.
///
/// A leaf is `{"_ephemeral","_oid","_parent","_value","_version"}`, a container the same without `_value` and with its
/// children, in the same form. `_oid` is the node's key, `_parent` that of its parent (null for a root), as in the
/// original. An ephemeral node has the `_version` 0, and `_owner` and `_age` (seconds) where `lease` knows them. A
/// user's key that begins with `_` is written with one more. Members are in the order of the names as written, so this
/// text is canonical too.
pub fn write_internal(
    node: NodeRef<'_>,
    keys: &[Key],
    lease: &dyn Fn(&[Key]) -> Option<Lease>,
    out: &mut String,
    budget: &mut usize,
) -> Result<(), BudgetSpent> {
    Internal { keys: keys.to_vec(), lease, out, budget }.node(node)
}

struct Internal<'a> {
    keys: Vec<Key>,
    lease: &'a dyn Fn(&[Key]) -> Option<Lease>,
    out: &'a mut String,
    budget: &'a mut usize,
}

impl Internal<'_> {
    /// Recurses once a level of the tree.
    fn node(&mut self, node: NodeRef<'_>) -> Result<(), BudgetSpent> {
        spend(self.budget, &node)?;
        self.out.push('{');
        match node.kind {
            Kind::Leaf(leaf) => self.attributes(node.stamp, Some(leaf)),
            Kind::Container(container) => {
                let mut pending = true;
                let mut first = true;
                for (key, child) in container {
                    // `__x` sorts before the attributes, and so does what begins with a byte below `_`.
                    if pending && key.as_bytes().first() > Some(&b'_') {
                        self.comma(&mut first);
                        self.attributes(node.stamp, None);
                        pending = false;
                    }
                    self.comma(&mut first);
                    if key.starts_with('_') {
                        quote(&format!("_{key}"), self.out);
                    } else {
                        quote(key, self.out);
                    }
                    self.out.push(':');
                    self.keys.push(key.clone());
                    let done = self.node(child.into());
                    self.keys.pop();
                    done?;
                }
                if pending {
                    self.comma(&mut first);
                    self.attributes(node.stamp, None);
                }
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn comma(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(',');
        }
    }

    /// The members that aren't children, in their order.
    fn attributes(&mut self, stamp: Stamp, leaf: Option<&Value>) {
        let out = &mut *self.out;
        let lease = if stamp.is_ephemeral() { (self.lease)(&self.keys) } else { None };
        if let Some(lease) = &lease {
            let _ = write!(out, "\"_age\":{},", lease.age_s);
        }
        let _ = write!(out, "\"_ephemeral\":{},\"_oid\":", stamp.is_ephemeral());
        let mut names = self.keys.iter().rev();
        let mut name = |out: &mut String| match names.next() {
            Some(key) => quote(key, out),
            None => out.push_str("null"),
        };
        name(out);
        if let Some(lease) = &lease {
            out.push_str(",\"_owner\":");
            quote(&lease.owner, out);
        }
        out.push_str(",\"_parent\":");
        name(out);
        if let Some(leaf) = leaf {
            out.push_str(",\"_value\":");
            value(leaf, out);
        }
        let _ = write!(out, ",\"_version\":{}", stamp.as_version().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, key, keys, random_tree, tree, v};
    use super::*;
    use crate::tree::{Node, Tree, Version};

    fn internal(tree: &Tree) -> String {
        let mut out = String::new();
        let lease = |keys: &[Key]| Some(Lease { owner: keys.join("/"), age_s: 7 });
        write_internal(tree.root(), &[key("r")], &lease, &mut out, &mut 1000).unwrap();
        out
    }

    #[test]
    fn the_internal_form_shows_every_attribute_of_every_node() {
        let tree = tree(r#"{"A":1,"_lan":{"x":[]},"b":null}"#);
        let tree = tree.put(&keys("b"), Node::Leaf(v("true")), Stamp::version(Version(3))).unwrap().tree;
        assert_eq!(
            internal(&tree),
            concat!(
                r#"{"A":{"_ephemeral":false,"_oid":"A","_parent":"r","_value":1,"_version":1},"#,
                r#""__lan":{"_ephemeral":false,"_oid":"_lan","_parent":"r","_version":1,"#,
                r#""x":{"_ephemeral":false,"_oid":"x","_parent":"_lan","_value":[],"_version":1}},"#,
                r#""_ephemeral":false,"_oid":"r","_parent":null,"_version":3,"#,
                r#""b":{"_ephemeral":false,"_oid":"b","_parent":"r","_value":true,"_version":3}}"#
            )
        );
    }

    #[test]
    fn the_internal_form_shows_owner_and_age_of_an_ephemeral_node() {
        let tree = tree("{}").put_overlay(&keys("e"), Node::Leaf(v("1")), Stamp::ephemeral(9)).unwrap().tree;
        assert_eq!(
            internal(&tree),
            concat!(
                r#"{"_ephemeral":false,"_oid":"r","_parent":null,"_version":1,"#,
                r#""e":{"_age":7,"_ephemeral":true,"_oid":"e","_owner":"r/e","_parent":"r","#,
                r#""_value":1,"_version":0}}"#
            )
        );
    }

    #[test]
    fn both_forms_are_canonical() {
        let mut random = Random::new(3);
        for _ in 0..100 {
            let tree = random_tree(&mut random, 20);
            let mut out = String::new();
            write_json(tree.root(), &mut out, &mut 1_000_000).unwrap();
            assert_eq!(out, tree.root().to_value().to_string());
            let text = internal(&tree);
            assert_eq!(v(&text).to_string(), text);
        }
    }

    #[test]
    fn a_budget_of_as_many_nodes_is_enough_and_of_one_less_is_not() {
        let tree = tree(r#"{"a":{"b":1},"c":[1,2,3]}"#);
        let lease = |_: &[Key]| None;
        for (budget, expected) in [(4, Ok(())), (3, Err(BudgetSpent))] {
            assert_eq!(write_json(tree.root(), &mut String::new(), &mut { budget }), expected);
            let keys = [key("r")];
            let got = write_internal(tree.root(), &keys, &lease, &mut String::new(), &mut { budget });
            assert_eq!(got, expected);
        }
    }
}
