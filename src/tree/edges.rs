//! Parents and children as pairs, for drawing: `GET /_edges`.

use super::text::BudgetSpent;
use super::{Kind, NodeRef, Stamp, Tree};
use crate::path::{Key, write_keys};

/// Appends, for each node but the root, the pair (parent, child) and then (child, the parent that it points to), in the
/// order of paths. A node is written `PATH(VERSION)`, the path in the dotted form, such as `r.a(0)`; an ephemeral one
/// `PATH(~)`. In a persistent tree a child has no pointer up: its parent is the one that it was reached from, so for an
/// old root the caller gets the pairs as they were. Each node takes one from `budget`.
pub fn edges(
    root: &Key,
    tree: &Tree,
    out: &mut Vec<[String; 2]>,
    budget: &mut usize,
) -> Result<(), BudgetSpent> {
    let mut path = vec![root.clone()];
    below(&mut path, tree.root(), out, budget)
}

fn name(path: &[Key], stamp: Stamp) -> String {
    let mut name = String::new();
    // Writing to a String can't fail.
    let _ = write_keys(path, &mut name);
    match stamp.as_version() {
        Some(version) => name + &format!("({version})"),
        None => name + "(~)",
    }
}

/// Recurses once a level of the tree.
fn below(
    path: &mut Vec<Key>,
    node: NodeRef<'_>,
    out: &mut Vec<[String; 2]>,
    budget: &mut usize,
) -> Result<(), BudgetSpent> {
    *budget = budget.checked_sub(1).ok_or(BudgetSpent)?;
    let Kind::Container(container) = node.kind else { return Ok(()) };
    let parent = name(path, node.stamp);
    for (key, child) in container {
        path.push(key.clone());
        let child_name = name(path, child.stamp);
        out.push([parent.clone(), child_name.clone()]);
        out.push([child_name, parent.clone()]);
        let done = below(path, child.into(), out, budget);
        path.pop();
        done?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{key, keys, tree, v};
    use super::*;
    use crate::tree::{Node, Version};

    #[test]
    fn every_child_gives_a_pair_down_and_a_pair_up() {
        let tree = tree(r#"{"a":{"b c":1}}"#);
        let tree = tree.put(&keys("d"), Node::Leaf(v("1")), Stamp::version(Version(2))).unwrap().tree;
        let mut out = Vec::new();
        edges(&key("r"), &tree, &mut out, &mut 4).unwrap();
        let lines: Vec<String> = out.iter().map(|[a, b]| format!("{a} {b}")).collect();
        assert_eq!(
            lines,
            [
                "r(2) r.a(1)",
                "r.a(1) r(2)",
                "r.a(1) r.a[\"b c\"](1)",
                "r.a[\"b c\"](1) r.a(1)",
                "r(2) r.d(2)",
                "r.d(2) r(2)"
            ]
        );
        assert_eq!(edges(&key("r"), &tree, &mut Vec::new(), &mut 3), Err(BudgetSpent));
    }
}
