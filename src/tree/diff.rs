//! What differs between two trees, and the edits that lead from one to the other.

use super::{Child, Container, Kind, MAX_CHILDREN, Node, Pair, Tree};
use crate::path::Key;

/// One place where two trees differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The keys of the place, after the root's name.
    pub keys: Vec<Key>,
    /// What the first tree has there.
    pub before: Option<Node>,
    /// What the second tree has there.
    pub after: Option<Node>,
}

/// An edit of a tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// [`Tree::put`]. The node carries the stamps of the tree that it comes from; see [`Node::restamped`].
    Put(Vec<Key>, Node),
    /// [`Tree::delete`], with `keep` 0.
    Delete(Vec<Key>),
}

/// The differences in the order of their paths, each as high as possible: a subtree that was added or removed is one
/// difference, and so is a leaf that became a container. Of a container on both sides only what differs below it is
/// listed. Stamps don't count: equal values are no difference.
///
/// What both trees share isn't looked at, so the cost is that of the change, not of the trees.
pub fn diff(from: &Tree, to: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    differ(&from.top, &to.top, &mut Vec::new(), &mut |keys, before, after| {
        found.push(Difference { keys: keys.to_vec(), before: before.cloned(), after: after.cloned() });
    });
    found
}

/// Takes the keys of a place, and what both trees have there.
type Report<'a> = dyn FnMut(&[Key], Option<&Node>, Option<&Node>) + 'a;

/// Calls `report` for each difference; returns how many entries and chunks were looked at. Recurses once a level.
fn differ(from: &Container, to: &Container, keys: &mut Vec<Key>, report: &mut Report<'_>) -> usize {
    let mut visited = 0;
    let mut pairs = from.0.pairs(&to.0);
    for pair in pairs.by_ref() {
        let (key, before, after) = sides(pair);
        keys.push(key.clone());
        match (before.map(Node::kind), after.map(Node::kind)) {
            (Some(Kind::Container(from)), Some(Kind::Container(to))) => {
                if !from.same(to) {
                    visited += differ(from, to, keys, report);
                }
            }
            (Some(Kind::Leaf(a)), Some(Kind::Leaf(b))) if a == b => {}
            _ => report(keys, before, after),
        }
        keys.pop();
    }
    visited + pairs.visited()
}

fn sides<'a>(pair: Pair<'a, Child>) -> (&'a Key, Option<&'a Node>, Option<&'a Node>) {
    match pair {
        Pair::Left(key, child) => (key, Some(&child.node), None),
        Pair::Right(key, child) => (key, None, Some(&child.node)),
        Pair::Both(key, before, after) => (key, Some(&before.node), Some(&after.node)),
    }
}

/// The edits that, made in order, lead from the values of one tree to those of the other. None: they're equal.
///
/// They're the differences in an order that suits put and delete. In each container puts come before deletes, because
/// a delete takes an emptied parent along, and a container that ends up empty is put as a whole. So is one that
/// couldn't hold old and new children at the same time ([`MAX_CHILDREN`]).
pub fn steps(from: &Tree, to: &Tree) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut keys = Vec::new();
    if to.top.is_empty() {
        // A delete never takes the root along.
        steps.extend(from.top.iter().map(|(key, _)| Step::Delete(vec![key.clone()])));
    } else {
        lead(&from.top, &to.top, &mut keys, &mut steps);
    }
    steps
}

/// The steps for a container that isn't empty in the end. Recurses once a level.
fn lead(from: &Container, to: &Container, keys: &mut Vec<Key>, steps: &mut Vec<Step>) {
    let start = steps.len();
    let mut deletes = Vec::new();
    let mut most = from.len();
    for pair in from.0.pairs(&to.0) {
        let (key, before, after) = sides(pair);
        keys.push(key.clone());
        match (before, after) {
            (Some(Node::Leaf(a)), Some(Node::Leaf(b))) if a == b => {}
            (Some(Node::Container(from)), Some(Node::Container(to))) if from.same(to) => {}
            (Some(Node::Container(from)), Some(Node::Container(to))) if from.is_empty() && to.is_empty() => {}
            (Some(Node::Container(from)), Some(Node::Container(to))) if !to.is_empty() => {
                lead(from, to, keys, steps);
            }
            (before, Some(node)) => {
                most += usize::from(before.is_none());
                steps.push(Step::Put(keys.clone(), node.clone()));
            }
            (_, None) => deletes.push(Step::Delete(keys.clone())),
        }
        keys.pop();
    }
    if most > MAX_CHILDREN {
        steps.truncate(start);
        steps.push(Step::Put(keys.clone(), Node::Container(to.clone())));
    } else {
        steps.append(&mut deletes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, key, keys, number, random_tree, tree, v};
    use super::*;
    use crate::tree::{Stamp, Version};

    fn show(from: &str, to: &str) -> String {
        let text = |node: &Option<Node>| node.as_ref().map_or("-".into(), |n| n.to_value().to_string());
        let list = diff(&tree(from), &tree(to));
        let lines: Vec<String> = list
            .iter()
            .map(|d| format!("{}: {} -> {}", d.keys.join("."), text(&d.before), text(&d.after)))
            .collect();
        lines.join("; ")
    }

    fn show_steps(from: &str, to: &str) -> String {
        let list = steps(&tree(from), &tree(to));
        let lines: Vec<String> = list
            .iter()
            .map(|step| match step {
                Step::Put(keys, node) => format!("put {}={}", keys.join("."), node.to_value()),
                Step::Delete(keys) => format!("del {}", keys.join(".")),
            })
            .collect();
        lines.join("; ")
    }

    #[test]
    fn differences_are_the_topmost_ones_in_path_order() {
        for (from, to, expected) in [
            ("{}", "{}", ""),
            (r#"{"a":1}"#, r#"{"a":1}"#, ""),
            (r#"{"a":1}"#, r#"{"a":1.0}"#, "a: 1 -> 1.0"),
            (r#"{"b":1}"#, r#"{"a":{"x":{}},"b":1}"#, r#"a: - -> {"x":{}}"#),
            (r#"{"a":{"b":{"c":1}}}"#, "{}", r#"a: {"b":{"c":1}} -> -"#),
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":2,"d":2}}"#, "a.b: 1 -> 2; a.c: 2 -> -; a.d: - -> 2"),
            (r#"{"a":{"b":1}}"#, r#"{"a":{}}"#, "a.b: 1 -> -"),
            (r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#, r#"a: {"b":1} -> [1]"#),
            (r#"{"a":null}"#, r#"{"a":{}}"#, "a: null -> {}"),
        ] {
            assert_eq!(show(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn steps_put_before_they_delete_and_put_what_ends_up_empty() {
        for (from, to, expected) in [
            ("{}", "{}", ""),
            (r#"{"a":{}}"#, r#"{"a":{}}"#, ""),
            (r#"{"a":1,"b":2}"#, "{}", "del a; del b"),
            (r#"{"a":{"b":1}}"#, r#"{"a":{"c":1}}"#, "put a.c=1; del a.b"),
            (r#"{"a":{"b":1}}"#, r#"{"a":{}}"#, "put a={}"),
            (r#"{"a":{"b":{"c":1}},"d":1}"#, r#"{"a":{"b":{}},"e":{}}"#, "put a.b={}; put e={}; del d"),
        ] {
            assert_eq!(show_steps(from, to), expected, "{from} {to}");
        }
    }

    fn follow(from: &Tree, steps: &[Step]) -> Tree {
        let stamp = Stamp::version(Version(99));
        steps.iter().fold(from.clone(), |tree, step| match step {
            Step::Put(keys, node) => tree.put(keys, node.restamped(stamp), stamp).unwrap().tree,
            Step::Delete(keys) => tree.delete(keys, stamp, 0).unwrap().tree,
        })
    }

    #[test]
    fn steps_lead_from_any_tree_to_any_other() {
        let mut random = Random::new(7);
        for round in 0..400 {
            let from = random_tree(&mut random, 30);
            let mut to = if round % 2 == 0 { random_tree(&mut random, 30) } else { from.clone() };
            for _ in 0..random.below(6) {
                to = super::super::testing::random_edit(&mut random, &to, Version(5));
            }
            let there = follow(&from, &steps(&from, &to));
            assert_eq!(there.root().to_value(), to.root().to_value());
            there.check().unwrap();
            assert_eq!(steps(&there, &to), []);
            assert_eq!(diff(&there, &to), []);
            assert_eq!(diff(&from, &to).is_empty(), from == to);
        }
    }

    #[test]
    fn a_container_that_could_not_hold_old_and_new_children_is_put_as_a_whole() {
        let wide = |prefix: &str| {
            let entries = (0..MAX_CHILDREN).map(|i| (format!("{prefix}{i}").into(), v("1"))).collect();
            let node =
                Node::build(&crate::value::Value::object(entries).unwrap(), Stamp::version(Version(1)), 1);
            tree("{}").put(&keys("a"), node.unwrap(), Stamp::version(Version(1))).unwrap().tree
        };
        let (from, to) = (wide("x"), wide("y"));
        let steps = steps(&from, &to);
        assert_eq!(steps.len(), 1);
        assert_eq!(follow(&from, &steps), to);
    }

    #[test]
    fn what_two_versions_share_is_not_looked_at() {
        let mut from = Tree::new(Stamp::version(Version(0)));
        let stamp = Stamp::version(Version(1));
        for i in 0..100 {
            let members = (0..1000).map(|k| (format!("leaf{k}").into(), number(k))).collect();
            let node = Node::build(&crate::value::Value::object(members).unwrap(), stamp, 1).unwrap();
            from = from.put(&[key(&format!("c{i}"))], node, stamp).unwrap().tree;
        }
        let to =
            from.put(&keys("c50.leaf500"), Node::Leaf(v("-1")), Stamp::version(Version(2))).unwrap().tree;
        let mut found = 0;
        let visited = differ(&from.top, &to.top, &mut Vec::new(), &mut |_, _, _| found += 1);
        assert_eq!(found, 1);
        assert!(visited < 200, "{visited} of 100,000 leaves looked at");

        // A new key shifts the borders of chunks; still only its neighbours are looked at.
        let to = from.put(&keys("c50.leaf500x"), Node::Leaf(v("1")), stamp).unwrap().tree;
        let visited = differ(&from.top, &to.top, &mut Vec::new(), &mut |_, _, _| {});
        assert!(visited < 200, "{visited}");
        let gone = from.delete(&keys("c50.leaf1"), stamp, 0).unwrap().tree;
        let visited = differ(&to.top, &gone.top, &mut Vec::new(), &mut |_, _, _| {});
        assert!(visited < 300, "{visited}");
    }
}
