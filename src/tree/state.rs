//! A tree with its stamps as lines of text, and back: what a base state of the log and a snapshot hold.
//!
//! A line is a JSON list of entries, one for each node but the root, parents before children, children in the order of
//! their keys: `[depth,"key",version]` for a container, `[depth,"key",version,value]` for a leaf. The depth of the
//! root's children is 1. The root's name and version travel elsewhere.
//!
//! ```text
//! [[1,"lan",3],[2,"mtu",1,1500],[2,"dns",3,["9.9.9.9"]]]
//! [[1,"wan",2]]
//! ```

use std::fmt::Write;

use super::node::{check_depth, check_name};
use super::{Child, Container, Kind, MAX_CHILDREN, Map, Node, Stamp, Tree, Version, Walk};
use crate::path::Key;
use crate::value::{Value, write_string};

/// Calls `emit` with each line of a tree; none for a root without children. A line is at most `max_line_bytes` long,
/// unless a single entry is longer: then it has a line to itself, of a value, a key and 40 bytes at the most.
///
/// Only persistent trees have a state. An ephemeral node, which those don't hold, is left out with all below it.
pub fn write_states(tree: &Tree, max_line_bytes: usize, emit: &mut dyn FnMut(String)) {
    let mut walk = Walk::new(tree.root());
    let mut line = String::new();
    let mut entry = String::new();
    while let Some((keys, node)) = walk.step() {
        let Some(version) = node.stamp.as_version() else {
            walk.skip_below();
            continue;
        };
        entry.clear();
        // Writing to a String can't fail.
        let _ = write!(entry, "[{},", keys.len());
        let _ = write_string(keys.last().map_or("", |key| key), &mut entry);
        let _ = write!(entry, ",{version}");
        if let Kind::Leaf(value) = node.kind {
            entry.push(',');
            let _ = value.write(&mut entry);
        }
        entry.push(']');
        // The comma or bracket before the entry, and the bracket at the end.
        if !line.is_empty() && line.len() + entry.len() + 2 > max_line_bytes {
            line.push(']');
            emit(std::mem::take(&mut line));
        }
        line.push(if line.is_empty() { '[' } else { ',' });
        line.push_str(&entry);
    }
    if !line.is_empty() {
        line.push(']');
        emit(line);
    }
}

/// Builds a tree of the lines of [`write_states`], in the same order.
///
/// The lines come from a disk or a network, so nothing in them is taken on trust: depth, order, names, versions and
/// limits are checked, and the first error ends it. After one the reader is of no more use.
#[derive(Debug)]
pub struct StateReader {
    /// The containers that aren't complete: the root, its child, that one's child …
    open: Vec<Open>,
    /// Entries read, for messages.
    count: u64,
}

#[derive(Debug)]
struct Open {
    key: Key,
    stamp: Stamp,
    children: Vec<(Key, Child)>,
}

impl Open {
    fn new(key: Key, stamp: Stamp) -> Open {
        Open { key, stamp, children: Vec::new() }
    }

    fn close(self) -> (Key, Child) {
        let children = Container(Map::from_sorted(self.children));
        (self.key, Child { stamp: self.stamp, node: Node::Container(children) })
    }
}

impl StateReader {
    /// A reader for the tree of a root of this version.
    pub fn new(root: Version) -> StateReader {
        StateReader { open: vec![Open::new(Key::default(), Stamp::version(root))], count: 0 }
    }

    /// Takes the next line. The error says which entry is wrong, counted over all lines from 1, and why.
    pub fn feed(&mut self, line: &Value) -> Result<(), String> {
        let entries =
            line.as_list().ok_or_else(|| format!("a list of nodes expected, not {}", line.kind()))?;
        for entry in entries.items() {
            self.count += 1;
            self.entry(entry).map_err(|why| format!("node {} of the state: {why}", self.count))?;
        }
        Ok(())
    }

    /// The tree, after the last line.
    pub fn finish(mut self) -> Result<Tree, String> {
        self.close_to(1);
        let root = self.open.pop().ok_or("no root")?;
        let stamp = root.stamp;
        Ok(Tree { stamp, top: Container(Map::from_sorted(root.children)) })
    }

    /// Closes containers until `depth` are open.
    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            let closed = self.open.pop().map(Open::close);
            if let Some((closed, parent)) = closed.zip(self.open.last_mut()) {
                parent.children.push(closed);
            }
        }
    }

    fn entry(&mut self, entry: &Value) -> Result<(), String> {
        let (depth, key, version, value) = match entry.as_list().map(|list| list.items()) {
            Some([depth, key, version]) => (depth, key, version, None),
            Some([depth, key, version, value]) => (depth, key, version, Some(value)),
            _ => return Err("[depth,\"key\",version] or [depth,\"key\",version,value] expected".into()),
        };
        let depth = depth.as_int().and_then(|depth| usize::try_from(depth).ok()).unwrap_or(0);
        if depth == 0 || depth > self.open.len() {
            return Err(format!("its depth isn't one of 1 to {}", self.open.len()));
        }
        let Value::Text(key) = key else { return Err(format!("its key is {}", key.kind())) };
        check_name(key).map_err(|error| error.to_string())?;
        let version = version.as_int().and_then(|version| u64::try_from(version).ok());
        let stamp = Stamp::version(Version(version.ok_or("its version isn't a number from 0")?));
        check_depth(depth, value.map_or(0, Value::depth)).map_err(|error| error.to_string())?;

        self.close_to(depth);
        let parent = self.open.last_mut().ok_or("no root")?;
        if parent.children.len() == MAX_CHILDREN {
            return Err(format!("more than {MAX_CHILDREN} children in one container"));
        }
        if parent.children.last().is_some_and(|(before, _)| before >= key) {
            return Err(format!("key {key:?} is out of order or occurs twice"));
        }
        if stamp.number() > parent.stamp.number() {
            return Err(format!(
                "its version {} is above its parent's {}",
                stamp.number(),
                parent.stamp.number()
            ));
        }
        match value {
            None => self.open.push(Open::new(key.clone(), stamp)),
            Some(Value::Object(_)) => return Err("an object can't be a leaf".into()),
            Some(value) => {
                parent.children.push((key.clone(), Child { stamp, node: Node::Leaf(value.clone()) }))
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, keys, random_tree, stamps, tree, v};
    use super::*;
    use crate::path::MAX_DEPTH;

    fn lines(tree: &Tree, max: usize) -> Vec<String> {
        let mut lines = Vec::new();
        write_states(tree, max, &mut |line| lines.push(line));
        lines
    }

    fn read(version: u64, lines: &[String]) -> Result<Tree, String> {
        let mut reader = StateReader::new(Version(version));
        lines.iter().try_for_each(|line| reader.feed(&Value::parse(line).unwrap()))?;
        reader.finish()
    }

    #[test]
    fn a_state_is_a_line_of_entries_in_path_order() {
        let tree = tree(r#"{"b":[{}],"a":{"x":{},"y":1}}"#);
        let tree = tree.put(&keys("a.x"), Node::Leaf(v("null")), Stamp::version(Version(2))).unwrap().tree;
        let whole = r#"[[1,"a",2],[2,"x",2,null],[2,"y",1,1],[1,"b",1,[{}]]]"#;
        assert_eq!(lines(&tree, 1000), [whole]);
        assert_eq!(lines(&tree, whole.len()), [whole]);
        assert_eq!(lines(&tree, whole.len() - 1).len(), 2);
        assert_eq!(
            lines(&tree, 0),
            [r#"[[1,"a",2]]"#, r#"[[2,"x",2,null]]"#, r#"[[2,"y",1,1]]"#, r#"[[1,"b",1,[{}]]]"#]
        );
        assert!(lines(&Tree::new(tree.stamp), 1000).is_empty());
    }

    #[test]
    fn every_tree_reads_back_with_every_stamp() {
        let mut random = Random::new(11);
        for _ in 0..200 {
            let tree = random_tree(&mut random, 40);
            let lines = lines(&tree, 1 + random.below(200));
            let back = read(tree.stamp.number(), &lines).unwrap();
            assert_eq!(stamps(&back), stamps(&tree));
            back.check().unwrap();
        }
    }

    #[test]
    fn a_bad_state_is_refused_with_the_entry_and_the_reason() {
        for (line, why) in [
            ("1", "a list of nodes expected, not an integer"),
            (r#"[["a"]]"#, "[depth,\"key\",version] or"),
            (r#"[[0,"a",1]]"#, "node 1 of the state: its depth isn't one of 1 to 1"),
            (r#"[[1,"a",1],[3,"b",1]]"#, "node 2 of the state: its depth isn't one of 1 to 2"),
            (r#"[[1,"a",1,5],[2,"b",1]]"#, "node 2 of the state: its depth isn't one of 1 to 1"),
            (r#"[[-1,"a",1]]"#, "its depth"),
            (r#"[["x","a",1]]"#, "its depth"),
            (r#"[[1,5,1]]"#, "its key is an integer"),
            (r#"[[1,"",1]]"#, "empty key"),
            (r#"[[1,"_oid",1]]"#, "internal form"),
            (r#"[[1,"a",-1]]"#, "its version"),
            (r#"[[1,"a",9223372036854775808]]"#, "its version"),
            (r#"[[1,"a",10]]"#, "its version 10 is above its parent's 9"),
            (r#"[[1,"a",3],[2,"b",4]]"#, "node 2 of the state: its version 4 is above"),
            (r#"[[1,"b",1],[1,"a",1]]"#, "\"a\" is out of order"),
            (r#"[[1,"a",1],[2,"x",1,1],[1,"a",1]]"#, "\"a\" is out of order or occurs twice"),
            (r#"[[1,"a",1,{}]]"#, "an object can't be a leaf"),
        ] {
            let error = read(9, &[line.into()]).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_damaged_state_is_refused_or_makes_a_sound_tree() {
        let mut random = Random::new(4);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..3000 {
            let tree = random_tree(&mut random, 8);
            let mut bytes = lines(&tree, usize::MAX).concat().into_bytes();
            for _ in 0..=random.below(2) {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = b"0123456789k\"[]{},-"[random.below(18)];
                }
            }
            let Ok(value) = Value::parse_bytes(&bytes) else { continue };
            let mut reader = StateReader::new(Version(8));
            match reader.feed(&value).and_then(|()| reader.finish()) {
                Ok(tree) => {
                    good += 1;
                    tree.check().unwrap();
                }
                Err(_) => bad += 1,
            }
        }
        assert!(good > 100 && bad > 100, "{good} {bad}");
    }

    #[test]
    fn a_state_is_as_deep_as_a_tree_may_be_and_no_deeper() {
        let chain = |n: usize, last: &str| {
            let mut entries: Vec<String> = (1..n).map(|d| format!("[{d},\"k\",1]")).collect();
            entries.push(format!("[{n},\"k\",1,{last}]"));
            [format!("[{}]", entries.join(","))]
        };
        let deepest = read(1, &chain(MAX_DEPTH - 1, "1")).unwrap();
        deepest.check().unwrap();
        assert_eq!(lines(&deepest, usize::MAX), chain(MAX_DEPTH - 1, "1"));
        assert!(read(1, &chain(MAX_DEPTH, "1")).is_err());
        assert!(read(1, &chain(MAX_DEPTH - 1, "[]")).is_err());
        let lists = chain(MAX_DEPTH - 3, "[[]]");
        assert_eq!(lines(&read(1, &lists).unwrap(), usize::MAX), lists);
    }

    #[test]
    fn a_container_with_too_many_children_is_refused() {
        let list = |n: usize| {
            let entries: Vec<String> = (0..n).map(|i| format!("[1,\"{i:08}\",1,0]")).collect();
            let limits = crate::value::Limits { text: usize::MAX, ..Default::default() };
            Value::parse_with(&format!("[{}]", entries.join(",")), limits).unwrap()
        };
        assert!(StateReader::new(Version(1)).feed(&list(MAX_CHILDREN)).is_ok());
        assert!(StateReader::new(Version(1)).feed(&list(MAX_CHILDREN + 1)).is_err());
    }
}
