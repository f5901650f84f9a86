use std::collections::BTreeMap;

use super::testing::*;
use super::*;

fn stamp(version: u64) -> Stamp {
    Stamp::version(Version(version))
}

/// The tree after `put PATH JSON`, `del PATH [keep]`, `eput PATH JSON` and `edel PATH [keep]` in turn, one a line, with
/// versions from 2 on and the overlay's count from 1; a refusal is shown in place of a tree.
fn script(start: &str, lines: &[&str]) -> String {
    let mut tree = tree(start);
    for (n, line) in lines.iter().enumerate() {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or("");
        let (verb, path, rest) = (word(), word(), word());
        let keys = keys(path.trim_matches('-'));
        let (version, count) = (stamp(n as u64 + 2), Stamp::ephemeral(n as u64 + 1));
        let node = |stamp| Node::build(&v(rest), stamp, keys.len());
        let edit = match verb {
            "put" => node(version).and_then(|node| tree.put(&keys, node, version)),
            "eput" => node(count).and_then(|node| tree.put_overlay(&keys, node, count)),
            "del" => tree.delete(&keys, version, rest.parse().unwrap_or(0)),
            "edel" => tree.delete_overlay(&keys, rest.parse().unwrap_or(0)),
            _ => panic!("{line}"),
        };
        match edit {
            Ok(edit) => tree = edit.tree,
            Err(error) => return format!("{error:?}"),
        }
        tree.check().unwrap();
    }
    stamps(&tree)
}

#[test]
fn a_put_stamps_its_subtree_and_its_ancestors() {
    for (start, lines, expected) in [
        ("{}", &["put a 1"][..], ":2 a:2=1"),
        ("{}", &["put a.b.c 1"], ":2 a:2 a.b:2 a.b.c:2=1"),
        (r#"{"a":{"b":1,"c":2}}"#, &["put a.b 5"], ":2 a:2 a.b:2=5 a.c:1=2"),
        (r#"{"a":{"b":1}}"#, &["put a.b 1"], ":2 a:2 a.b:2=1"),
        (r#"{"a":{"b":1}}"#, &[r#"put a {"c":{"d":1},"e":{}}"#], ":2 a:2 a.c:2 a.c.d:2=1 a.e:2={}"),
        (r#"{"a":1,"b":2}"#, &[r#"put - {"a":1}"#], ":2 a:2=1"),
        (r#"{"a":1}"#, &["put - {}"], ":2"),
        (r#"{"a":{"b":1}}"#, &["put a [1,2]", "put a {}"], ":3 a:3={}"),
        (r#"{"a":[{"b":1}]}"#, &["put a.b 1"], "ThroughLeaf { depth: 1 }"),
        (r#"{"a":{"b":1}}"#, &["put a.b.c.d 1"], "ThroughLeaf { depth: 2 }"),
        ("{}", &["put - 1"], "RootNotContainer"),
    ] {
        assert_eq!(script(start, lines), expected, "{start} {lines:?}");
    }
}

#[test]
fn a_delete_takes_emptied_parents_along_and_stamps_the_rest() {
    for (start, lines, expected) in [
        (r#"{"a":{"b":{"c":1}}}"#, &["del a.b.c"][..], ":2"),
        (r#"{"a":{"b":{"c":1}}}"#, &["del a.b.c 1"], ":2 a:2={}"),
        (r#"{"a":{"b":{"c":1}}}"#, &["del a.b.c 2"], ":2 a:2 a.b:2={}"),
        (r#"{"a":{"b":{"c":1},"d":{}}}"#, &["del a.b.c"], ":2 a:2 a.d:1={}"),
        (r#"{"a":{"b":1},"c":1}"#, &["del a"], ":2 c:1=1"),
        (r#"{"a":{"b":{}}}"#, &["del a.b"], ":2"),
        (r#"{"a":{"b":1}}"#, &["del a.c"], "NotFound"),
        (r#"{"a":{"b":1}}"#, &["del c.a"], "NotFound"),
        (r#"{"a":1}"#, &["del a.b"], "NotFound"),
        (r#"{"a":1}"#, &["del -"], "RootDelete"),
    ] {
        assert_eq!(script(start, lines), expected, "{start} {lines:?}");
    }
}

#[test]
fn the_overlay_never_stamps_what_is_persistent() {
    for (start, lines, expected) in [
        (r#"{"a":{"b":1}}"#, &["eput a.c 7"][..], ":1 a:1 a.b:1=1 a.c:~1=7"),
        ("{}", &["eput a.b.c 7"], ":1 a:~1 a.b:~1 a.b.c:~1=7"),
        ("{}", &["eput a.b 7", "eput a.c 8"], ":1 a:~1 a.b:~1=7 a.c:~2=8"),
        ("{}", &["eput a.b 7", "edel a.b"], ":1"),
        (r#"{"a":{}}"#, &["eput a.b 7", "edel a.b 1"], ":1 a:1={}"),
        (r#"{"a":{"x":1}}"#, &["eput a.b.c 7", "edel a.b.c 1"], ":1 a:1 a.x:1=1"),
        ("{}", &["eput a.b 7", "put a.c 1", "edel a.b 1"], ":3 a:3 a.c:3=1"),
    ] {
        assert_eq!(script(start, lines), expected, "{start} {lines:?}");
    }
}

#[test]
fn an_edit_tells_what_stood_there_and_where_the_tree_changed() {
    let tree = tree(r#"{"a":{"b":{"c":1}}}"#);
    let show = |edit: Edit| (edit.top, edit.before.map(|node| node.to_value().to_string()));
    let put = |path: &str| show(tree.put(&keys(path), Node::Leaf(v("1")), stamp(2)).unwrap());
    assert_eq!(put("a.b"), (2, Some(r#"{"c":1}"#.into())));
    assert_eq!(put("x.y.z"), (1, None));
    assert_eq!(put("a.b.d"), (3, None));
    let delete = |path: &str, keep| show(tree.delete(&keys(path), stamp(2), keep).unwrap());
    assert_eq!(delete("a.b.c", 0), (1, Some("1".into())));
    assert_eq!(delete("a.b.c", 1), (2, Some("1".into())));
    assert_eq!(delete("a.b", 9), (2, Some(r#"{"c":1}"#.into())));
}

#[test]
fn an_old_tree_stays_readable() {
    let old = tree(r#"{"a":{"b":1}}"#);
    let new = old.put(&keys("a.b"), Node::Leaf(v("2")), stamp(2)).unwrap().tree;
    assert_eq!(stamps(&old), ":1 a:1 a.b:1=1");
    assert_eq!(stamps(&new), ":2 a:2 a.b:2=2");
}

#[test]
fn random_edits_do_what_they_do_to_a_map_of_paths() {
    let mut random = Random::new(1);
    for _ in 0..60 {
        // Leaves and empty containers by path: all that a tree's value consists of.
        let mut model: BTreeMap<Vec<Key>, Value> = BTreeMap::new();
        let mut tree = Tree::new(stamp(0));
        for version in 1..=60 {
            let keys = random_keys(&mut random);
            let through = (1..keys.len()).any(|n| model.get(&keys[..n]).is_some_and(|v| *v != v_empty()));
            if random.below(3) > 0 {
                let value = random_value(&mut random);
                let node = Node::build(&value, stamp(version), keys.len()).unwrap();
                match tree.put(&keys, node, stamp(version)) {
                    Err(error) => {
                        assert!(through && matches!(error, TreeError::ThroughLeaf { .. }), "{error:?}")
                    }
                    Ok(edit) => {
                        assert!(!through);
                        tree = edit.tree;
                        model.retain(|k, _| !k.starts_with(&keys) && !keys.starts_with(k));
                        flatten(&mut keys.clone(), &value, &mut model);
                    }
                }
            } else {
                let there = model.keys().any(|k| k.starts_with(&keys));
                let edit = tree.delete(&keys, stamp(version), 0);
                assert_eq!(edit.is_ok(), there, "{edit:?}");
                if let Ok(edit) = edit {
                    tree = edit.tree;
                    model.retain(|k, _| !k.starts_with(&keys));
                }
            }
            tree.check().unwrap();
            assert_eq!(flat(&tree), model);
        }
    }
}

fn v_empty() -> Value {
    Value::empty_object()
}

fn flatten(at: &mut Vec<Key>, value: &Value, out: &mut BTreeMap<Vec<Key>, Value>) {
    match value.as_object() {
        Some(object) if !object.members().is_empty() => {
            for (key, value) in object.members() {
                at.push(key.clone());
                flatten(at, value, out);
                at.pop();
            }
        }
        _ => drop(out.insert(at.clone(), value.clone())),
    }
}

fn flat(tree: &Tree) -> BTreeMap<Vec<Key>, Value> {
    let mut out = BTreeMap::new();
    let mut walk = Walk::new(tree.root());
    while let Some((keys, node)) = walk.step() {
        match node.kind {
            Kind::Leaf(value) => drop(out.insert(keys.to_vec(), value.clone())),
            Kind::Container(c) if c.is_empty() => drop(out.insert(keys.to_vec(), v_empty())),
            Kind::Container(_) => {}
        }
    }
    out
}

#[test]
fn a_walk_goes_depth_first_and_may_leave_out_a_subtree() {
    let tree = tree(r#"{"a":{"b":{"c":1},"d":{}},"e":2,"f":{}}"#);
    let paths = |skip: &str| {
        let mut walk = Walk::new(tree.root());
        let mut seen = Vec::new();
        while let Some(path) = walk.step().map(|(keys, _)| keys.join(".")) {
            if path == skip {
                walk.skip_below();
            }
            seen.push(path);
        }
        assert!(walk.step().is_none());
        seen.join(" ")
    };
    assert_eq!(paths(""), "a a.b a.b.c a.d e f");
    assert_eq!(paths("a.b"), "a a.b a.d e f");
    assert_eq!(paths("a"), "a e f");
    assert_eq!(paths("e"), "a a.b a.b.c a.d e f");
    assert!(Walk::new(tree.get(&keys("e")).unwrap()).step().is_none());
}

/// `{"k":{"k":…inner…}}`, `levels` objects deep.
fn nested(levels: usize, inner: &str) -> String {
    "{\"k\":".repeat(levels) + inner + &"}".repeat(levels)
}

#[test]
fn a_tree_is_as_deep_as_a_path_may_be_and_no_deeper() {
    // The root's name is one key, so 63 remain.
    let most = MAX_DEPTH - 1;
    let build = |json: &str, depth| Node::build(&v(json), stamp(1), depth).map(drop);
    assert_eq!(build(&nested(most, "1"), 0), Ok(()));
    assert_eq!(build(&nested(most, "[]"), 0), Err(TreeError::TooDeep));
    assert_eq!(build(&nested(most - 1, "[]"), 0), Ok(()));
    assert_eq!(build(&nested(most, "{}"), 0), Ok(()));
    assert_eq!(build(&nested(most - 1, "1"), 1), Ok(()));
    assert_eq!(build(&nested(most, "1"), 1), Err(TreeError::TooDeep));

    // A node that was built for another depth is caught where it's put.
    let tree = tree("{}");
    let node = Node::build(&v(&nested(most - 1, "1")), stamp(1), 0).unwrap();
    assert!(tree.put(&keys("a"), node.clone(), stamp(2)).is_ok());
    assert_eq!(tree.put(&keys("a.b"), node.clone(), stamp(2)).unwrap_err(), TreeError::TooDeep);
    assert_eq!(tree.put_overlay(&keys("a.b"), node, stamp(2)).unwrap_err(), TreeError::TooDeep);
    let deep = vec![key("k"); most];
    assert!(tree.put(&deep, Node::Leaf(v("1")), stamp(2)).is_ok());
    assert_eq!(tree.put(&deep, Node::Leaf(v("[]")), stamp(2)).unwrap_err(), TreeError::TooDeep);
    let deeper = vec![key("k"); most + 1];
    assert_eq!(tree.put(&deeper, Node::Leaf(v("1")), stamp(2)).unwrap_err(), TreeError::TooDeep);
}

#[test]
fn a_container_has_as_many_children_as_allowed_and_no_more() {
    let object =
        |n: usize| Value::object((0..n).map(|i| (format!("{i}").into(), number(i))).collect()).unwrap();
    let full = Node::build(&object(MAX_CHILDREN), stamp(1), 1).unwrap();
    assert_eq!(
        Node::build(&object(MAX_CHILDREN + 1), stamp(1), 1).map(drop),
        Err(TreeError::TooManyChildren { depth: 1 })
    );
    let tree = tree("{}").put(&keys("a"), full, stamp(1)).unwrap().tree;
    let put = |path: &str| tree.put(&keys(path), Node::Leaf(v("1")), stamp(2)).map(drop);
    assert_eq!(put("a.new"), Err(TreeError::TooManyChildren { depth: 1 }));
    assert_eq!(put("a.7"), Ok(()));
    assert_eq!(put("b"), Ok(()));
}

#[test]
fn bad_keys_and_objects_as_leaves_are_refused() {
    let build = |json: &str| Node::build(&v(json), stamp(1), 0);
    assert!(matches!(build(r#"{"a":{"":1}}"#), Err(TreeError::BadKey(_))));
    assert!(matches!(build(r#"{"_version":1}"#), Err(TreeError::BadKey(_))));
    assert!(build(r#"{"_lan":1,"a":[{"":1}]}"#).is_ok());
    let tree = tree("{}");
    assert!(matches!(tree.put(&[key("")], Node::Leaf(v("1")), stamp(2)), Err(TreeError::BadKey(_))));
    let object = Node::Leaf(v("{}"));
    assert_eq!(tree.put(&keys("a"), object, stamp(2)).unwrap_err(), TreeError::ObjectLeaf);
}

#[test]
fn a_stamp_is_a_version_or_a_count() {
    let version = Stamp::version(Version(7));
    assert_eq!(
        (version.as_version(), version.is_ephemeral(), version.number()),
        (Some(Version(7)), false, 7)
    );
    let count = Stamp::ephemeral(7);
    assert_eq!((count.as_version(), count.is_ephemeral(), count.number()), (None, true, 7));
    assert_eq!(format!("{version:?} {count:?} {}", Version(7)), "7 ~7 7");
}

#[test]
fn a_refusal_says_what_to_do() {
    for (error, text) in [
        (TreeError::ThroughLeaf { depth: 1 }, "key 2 of the path is a leaf"),
        (TreeError::TooDeep, "flatten it"),
        (TreeError::TooManyChildren { depth: 0 }, "spread them"),
        (TreeError::RootNotContainer, "a root can only be an object"),
    ] {
        assert!(error.to_string().contains(text), "{error}");
    }
}
