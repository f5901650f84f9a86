//! A node cut to some of its subtrees, for a reader who may see no more.

use super::{Child, Container, Map, Node, NodeRef, Tree};
use crate::path::{Key, Path};

impl Tree {
    /// What is left of the root of this name where only these subtrees are kept; `None`: nothing. See [`within`].
    pub fn within(&self, name: &Key, keep: &[Path]) -> Option<Tree> {
        match within(self.root(), std::slice::from_ref(name), keep)? {
            Node::Container(top) => Some(Tree { stamp: self.stamp, top }),
            // The root of a tree is a container, and what is left of one is one.
            Node::Leaf(_) => None,
        }
    }
}

/// What is left of a node, which stands at the keys `at`, where only these subtrees are kept; `None`: nothing.
///
/// A container on the way to a kept node stays, with its stamp, and has those children only that lead to one. What is
/// kept is shared with the tree that it's from: the cost is that of looking each of the subtrees up, however large they
/// and the rest are. A way that leads to nothing isn't shown, so that what is left doesn't tell where something else is.
pub fn within(node: NodeRef<'_>, at: &[Key], keep: &[Path]) -> Option<Node> {
    if keep.iter().any(|path| at.starts_with(path.keys())) {
        return Some(node.to_node());
    }
    let mut below: Vec<&[Key]> = keep.iter().filter_map(|path| path.keys().strip_prefix(at)).collect();
    below.sort_unstable();
    cut(node, &below)
}

/// `keep` is in order. Recurses once a level of the tree.
fn cut(node: NodeRef<'_>, keep: &[&[Key]]) -> Option<Node> {
    if keep.first().is_some_and(|keys| keys.is_empty()) {
        return Some(node.to_node());
    }
    let container = node.container()?;
    let mut children = Vec::new();
    for group in keep.chunk_by(|a, b| a.first() == b.first()) {
        let Some(key) = group.first().and_then(|keys| keys.first()) else { continue };
        let Some(child) = container.get(key) else { continue };
        let tails: Vec<&[Key]> =
            group.iter().filter_map(|keys| keys.split_first()).map(|(_, tail)| tail).collect();
        if let Some(node) = cut(child.into(), &tails) {
            children.push((key.clone(), Child { stamp: child.stamp, node }));
        }
    }
    if children.is_empty() { None } else { Some(Node::Container(Container(Map::from_sorted(children)))) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, key, keys, random_keys, random_tree, tree};
    use super::*;
    use crate::tree::Walk;

    fn paths(texts: &[&str]) -> Vec<Path> {
        texts.iter().map(|text| Path::parse(text).unwrap()).collect()
    }

    fn cut_to(json: &str, keep: &[&str]) -> String {
        let left = tree(json).within(&key("r"), &paths(keep));
        left.map_or("nothing".into(), |tree| tree.root().to_value().to_string())
    }

    #[test]
    fn only_what_leads_to_a_kept_subtree_is_left() {
        let json = r#"{"a":{"b":{"c":1,"d":2},"e":3},"f":{},"g":4}"#;
        for (keep, left) in [
            (&["r"][..], json),
            (&["r.a.b"], r#"{"a":{"b":{"c":1,"d":2}}}"#),
            (&["r.g", "r.a.b.d", "r.a.b.c"], r#"{"a":{"b":{"c":1,"d":2}},"g":4}"#),
            (&["r.a.b.c", "r.a"], r#"{"a":{"b":{"c":1,"d":2},"e":3}}"#),
            (&["r.f"], r#"{"f":{}}"#),
            (&["r.f.x", "r.a.b.x", "r.g.x", "q.a", "r-1"], "nothing"),
            (&[], "nothing"),
        ] {
            assert_eq!(cut_to(json, keep), left, "{keep:?}");
        }
    }

    #[test]
    fn a_node_below_a_kept_one_is_whole() {
        let tree = tree(r#"{"a":{"b":1}}"#);
        let node = tree.get(&keys("a")).unwrap();
        let at = [key("r"), key("a")];
        assert_eq!(within(node, &at, &paths(&["r"])).unwrap().to_value().to_string(), r#"{"b":1}"#);
        assert_eq!(within(node, &at, &paths(&["r.a"])).unwrap().to_value().to_string(), r#"{"b":1}"#);
        assert_eq!(within(node, &at, &paths(&["r.ab", "r.a.c"])), None);
    }

    #[test]
    fn of_random_trees_exactly_the_kept_nodes_are_left_with_their_stamps() {
        let mut random = Random::new(11);
        for _ in 0..300 {
            let tree = random_tree(&mut random, 30);
            let keep: Vec<Path> = (0..random.below(5))
                .map(|_| {
                    let mut path = vec![key("r")];
                    path.extend(random_keys(&mut random));
                    Path::from_checked(path)
                })
                .collect();
            let cut = tree.within(&key("r"), &keep);
            if let Some(cut) = &cut {
                cut.check().unwrap();
            }
            let mut walk = Walk::new(tree.root());
            let mut kept = 0;
            while let Some((keys, node)) = walk.step() {
                let mut at = vec![key("r")];
                at.extend(keys.iter().cloned());
                let at = Path::from_checked(at);
                let left = cut.as_ref().and_then(|cut| cut.get(keys));
                if keep.iter().any(|path| path.contains(&at)) {
                    kept += 1;
                    let left = left.unwrap();
                    assert_eq!((left.stamp, left.to_value()), (node.stamp, node.to_value()));
                } else if let Some(left) = left {
                    // On the way to a kept one.
                    assert_eq!(left.stamp, node.stamp);
                    assert!(left.container().is_some_and(|c| !c.is_empty()), "{at}");
                    assert!(keep.iter().any(|path| at.contains(path)));
                }
            }
            assert_eq!(cut.is_some(), kept > 0);
        }
    }
}
