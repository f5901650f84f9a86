//! What is found, byte by byte.

use super::*;
use crate::path::Path;
use crate::store::{Options, Store, Transaction};
use crate::token::Access;
use crate::value::Value;

struct World(Store);

impl Drop for World {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn path(text: &str) -> Path {
    if text.is_empty() { Path::TOP } else { Path::parse(text).unwrap() }
}

fn world(puts: &[(&str, &str)]) -> World {
    let world = World(Store::in_memory(Options::default()));
    for (at, value) in puts {
        world.0.commit(Transaction::new(None).put(path(at), Value::parse(value).unwrap())).unwrap();
    }
    world
}

fn found(world: &World, at: &str, version: Option<i64>) -> Result<Found, Refusal> {
    let path = path(at);
    let source = Source::of(&world.0, &Access::all(), &path, version, None)?;
    Found::new(&world.0, source, path, false)
}

fn text(found: &Found) -> String {
    let mut out = String::new();
    found.write(&mut out).unwrap();
    out
}

#[test]
fn the_top_is_all_roots_and_anything_else_one_node() {
    let world = world(&[("b.x", "1"), ("a", r#"{"y":[2]}"#)]);
    assert_eq!(text(&found(&world, "", None).unwrap()), r#"{"a":{"y":[2]},"b":{"x":1}}"#);
    assert_eq!(text(&found(&world, "a.y", None).unwrap()), "[2]");
    assert_eq!(found(&world, "a.z", None).err().map(|r| r.status), Some(404));
    assert_eq!(found(&world, "", Some(0)).err().map(|r| r.status), Some(400));
}

#[test]
fn what_was_found_stays_as_it_was() {
    let world = world(&[("a.x", "1")]);
    let before = found(&world, "a", None).unwrap();
    world.0.commit(Transaction::new(None).put(path("a.x"), Value::from(2))).unwrap();
    assert_eq!(text(&before), r#"{"x":1}"#);
    assert_eq!(text(&found(&world, "a", None).unwrap()), r#"{"x":2}"#);
    assert_eq!(text(&found(&world, "a", Some(0)).unwrap()), r#"{"x":1}"#);
    assert_eq!(text(&found(&world, "a", Some(-1)).unwrap()), r#"{"x":1}"#);
}

#[test]
fn more_nodes_than_allowed_leave_nothing_behind() {
    let world = world(&[("a", r#"{"x":1,"y":2}"#)]);
    let found = found(&world, "a", None).unwrap();
    let mut out = String::from(">");
    assert!(!found.write_small(2, &mut out));
    assert_eq!(out, ">");
    assert!(found.write_small(3, &mut out));
    assert_eq!(out, r#">{"x":1,"y":2}"#);
}

#[test]
fn an_answer_over_the_limit_is_refused() {
    let half = format!("\"{}\"", "x".repeat(900_000));
    let names: Vec<String> = (0..80).map(|n| format!("a.k{n:02}")).collect();
    let world = world(&names.iter().map(|name| (name.as_str(), half.as_str())).collect::<Vec<_>>());
    let mut out = String::from(">");
    assert_eq!(found(&world, "a", None).unwrap().write(&mut out).map_err(|r| r.status), Err(413));
    let source = Source::of(&world.0, &Access::all(), &Path::TOP, None, None).unwrap();
    let all = Selection::new(&world.0, source, r"a\.k.*", false).unwrap();
    assert_eq!(all.write(&mut out).map_err(|r| r.status), Err(413));
    assert_eq!(out, ">");
}

#[test]
fn a_selection_shows_groups_and_instances() {
    let world = world(&[("a.b", "1"), ("a.c", "2"), ("z.b", "3")]);
    let source = Source::of(&world.0, &Access::all(), &Path::TOP, None, None).unwrap();
    let some = Selection::new(&world.0, source, r"(a)\.(b)?(c)?", false).unwrap();
    let mut out = String::new();
    some.write(&mut out).unwrap();
    assert_eq!(
        out,
        r#"{"a.b":{"groups":[["a"],["b",null]],"instance":1},"a.c":{"groups":[["a"],[null,"c"]],"instance":2}}"#
    );
    out.clear();
    some.write_instances(&mut out).unwrap();
    assert_eq!(out, r#"{"a.b":1,"a.c":2}"#);
}

#[test]
fn the_longest_answer_follows_from_the_memory() {
    for (mib, answer) in
        [(0, 4 << 20), (64, 4 << 20), (128, 8 << 20), (1_024, 64 << 20), (u64::MAX >> 20, 64 << 20)]
    {
        assert_eq!(longest(mib << 20), answer, "{mib} MiB");
    }
}
