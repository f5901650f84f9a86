//! What is unfolded is what the server has, whatever came in between.

use std::collections::BTreeMap;

use super::Stage;
use crate::path::Path;
use crate::tui::model::{Kind, Model, Open};
use crate::value::Value;

/// Numbers that differ from seed to seed and are the same for one.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn path(&mut self) -> String {
        let keys = ["a", "b", "c", "d", "e"];
        let len = 1 + self.below(4);
        let keys: Vec<&str> = (0..len).map(|_| keys[self.below(5) as usize]).collect();
        format!("r.{}", keys.join("."))
    }
}

/// What is open, against what is there.
fn compare(open: &Open, value: &Value, path: &str) {
    let members: BTreeMap<String, &Value> =
        value.as_object().unwrap().members().iter().map(|(key, value)| (key.to_string(), value)).collect();
    let rows: Vec<String> = open.rows().iter().map(|row| row.key.to_string()).collect();
    assert_eq!(rows, members.keys().cloned().collect::<Vec<_>>(), "below {path}");
    for row in open.rows() {
        let below = members[row.key.as_str()];
        let path = format!("{path}.{}", row.key);
        match below.as_object() {
            Some(object) => {
                assert_eq!(row.shown.kind, Kind::Container, "{path}");
                assert_eq!(row.shown.count as usize, object.members().len(), "{path}");
                if let Some(open) = row.open() {
                    compare(open, below, &path);
                }
            }
            None => assert_eq!(row.shown.text(), crate::words::short(below), "{path}"),
        }
    }
}

fn check(stage: &Stage) {
    let model: &Model = &stage.app.tree.model;
    model.check();
    let everything: Vec<Path> = (0..model.height()).map(|line| model.path_at(line).unwrap()).collect();
    for (line, path) in everything.iter().enumerate() {
        assert_eq!(model.line_of(path), Some(line), "{path}");
    }
}

#[test]
fn rows_follow_whatever_changes_while_pages_are_on_their_way() {
    let seeds = std::env::var("TEGA_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        let mut random = Random(seed);
        let mut stage = Stage::new((80, 24), &[("r", r#"{"a":{"b":{"c":1}}}"#)]);
        for _ in 0..120 {
            let path: Path = random.path().parse().unwrap();
            match random.below(10) {
                // Below a leaf nothing can be put.
                0..=2 => drop(stage.try_put(path, Value::from(random.below(100)))),
                3 => drop(stage.try_put(path, Value::parse(r#"{"a":{"b":1,"c":{"d":2}},"e":{}}"#).unwrap())),
                4 | 5 if stage.store().get(&path).is_some() => stage.delete(&path.to_string()),
                6 | 7 => drop(stage.app.tree.model.unfold(&path)),
                8 => stage.app.tree.model.fold(&path),
                9 => {
                    stage.hold = !stage.hold;
                    if !stage.hold {
                        stage.release();
                    }
                }
                _ => stage.pass(100),
            }
            check(&stage);
        }
        stage.hold = false;
        stage.release();
        // What is folded is asked for its count once a second.
        stage.pass(5_000);
        check(&stage);
        let root: Path = "r".parse().unwrap();
        if let (Some(open), Some(value)) = (stage.app.tree.model.open_at(&root), stage.store().get(&root)) {
            compare(open, &value, "r");
        }
    }
}

#[test]
fn a_container_of_many_pages_is_read_whole() {
    let members: Vec<String> = (0..3_000).map(|n| format!("\"k{n:04}\":{n}")).collect();
    let json = format!("{{{}}}", members.join(","));
    let mut stage = Stage::new((80, 24), &[("r", &json)]);
    stage.keys("lG");
    stage.pass(2_000);
    stage.keys("G");
    assert_eq!(stage.app.tree.cursor.to_string(), "r.k2999");
    assert_eq!(stage.app.tree.model.rows(), 3_001);
    stage.has("k2999 = 2999");
}

#[test]
fn what_is_unfolded_is_bounded_and_says_so() {
    let leaves: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
    let leaves = format!("{{{}}}", leaves.join(","));
    let middle: Vec<String> = (0..60).map(|n| format!("\"c{n}\":{leaves}")).collect();
    let middle = format!("{{{}}}", middle.join(","));
    let roots: Vec<(String, &str)> = (0..20).map(|n| (format!("r{n:02}"), middle.as_str())).collect();
    let roots: Vec<(&str, &str)> = roots.iter().map(|(name, json)| (name.as_str(), *json)).collect();
    let mut stage = Stage::new((80, 24), &roots);
    for _ in 0..20 {
        stage.keys("z9J");
        stage.pass(3_000);
    }
    assert!(stage.app.tree.model.rows() <= crate::tui::model::MAX_ROWS + crate::tui::model::PAGE);
    stage.has("100000 rows are unfolded");
    stage.keys("z0");
    assert_eq!(stage.app.tree.model.rows(), 20);
}

#[test]
fn a_container_that_is_folded_and_unfolded_while_it_is_read_has_all_its_rows() {
    let members: Vec<String> = (0..1_500).map(|n| format!("\"k{n:04}\":{n}")).collect();
    let mut stage = Stage::new((80, 24), &[("r", &format!("{{{}}}", members.join(",")))]);
    let root: Path = "r".parse().unwrap();
    stage.keys("l");
    // The first page is here, and the next one on its way.
    stage.app.tree.model.fold(&root);
    stage.app.tree.model.unfold(&root);
    stage.hold = true;
    stage.pass(400);
    stage.app.tree.model.fold(&root);
    stage.app.tree.model.unfold(&root);
    stage.release();
    stage.hold = false;
    stage.pass(3_000);
    stage.release();
    stage.pass(3_000);
    assert_eq!(stage.app.tree.model.open_at(&root).unwrap().rows().len(), 1_500);
    check(&stage);
    // The same for a page in the middle, which comes to a container that has begun anew.
    stage.app.tree.model.fold(&root);
    stage.app.tree.model.unfold(&root);
    let after = "k0500".into();
    stage.app.tree.model.page(&root, Some(&after), &Value::parse(r#"{"rows":[],"more":false}"#).unwrap(), 0);
    assert!(stage.app.tree.model.open_at(&root).unwrap().is_loading());
}
