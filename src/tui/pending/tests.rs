//! The list by itself.

use super::*;

fn value(json: &str) -> Value {
    Value::parse(json).unwrap()
}

/// A change: path, base, version, mine. An empty text is nothing.
fn change(path: &str, base: &str, version: i64, mine: &str) -> Change {
    let of = |json: &str| (!json.is_empty()).then(|| value(json));
    Change::new(path.parse().unwrap(), Was::of(of(base)), version, of(mine))
}

fn staged(changes: &[(&str, &str, i64, &str)]) -> Pending {
    let mut pending = Pending::default();
    for (path, base, version, mine) in changes {
        pending.stage(vec![change(path, base, *version, mine)]).unwrap();
        pending.check();
    }
    pending
}

/// The operations as they are sent.
fn ops(pending: &Pending) -> String {
    let ops: Vec<Op> = pending.changes.iter().map(|change| change.op()).collect();
    let mut out = String::new();
    crate::message::ops::write_list(&ops, &mut out);
    out
}

#[test]
fn changes_of_one_place_become_one() {
    for (what, changes, sent) in [
        (
            "the first base stays",
            &[("a.b", "1", 3, "2"), ("a.b", "1", 3, "4")][..],
            r#"[{"put":"a.b","value":4,"version":3}]"#,
        ),
        ("back to the base is nothing", &[("a.b", "1", 3, "2"), ("a.b", "1", 3, "1")], "[]"),
        ("an addition deleted is nothing", &[("a.b", "", -1, "2"), ("a.b", "", -1, "")], "[]"),
        (
            "a deletion put again changes",
            &[("a.b", "1", 3, ""), ("a.b", "", -1, "2")],
            r#"[{"put":"a.b","value":2,"version":3}]"#,
        ),
        (
            "below a subtree it's a part of that",
            &[("a.b", "{\"x\":1}", 3, "{\"x\":2}"), ("a.b.y", "", -1, "5")],
            r#"[{"put":"a.b","value":{"x":2,"y":5},"version":3}]"#,
        ),
        (
            "a subtree takes in what is below",
            &[("a.b.x", "1", 2, "7"), ("a.b", "{\"x\":1}", 3, "{\"x\":8}")],
            r#"[{"put":"a.b","value":{"x":8},"version":3}]"#,
        ),
        (
            "what is deleted is deleted with all below",
            &[("a.b.x", "1", 2, "7"), ("a.b", "{\"x\":1}", 3, "")],
            r#"[{"delete":"a.b","version":3}]"#,
        ),
    ] {
        assert_eq!(ops(&staged(changes)), sent, "{what}");
    }
}

#[test]
fn nothing_goes_below_what_will_be_gone_or_is_a_leaf() {
    let mut pending = staged(&[("a.b", "{}", 3, ""), ("a.c", "1", 2, "2")]);
    for path in ["a.b.x", "a.c.x"] {
        assert!(pending.stage(vec![change(path, "", -1, "1")]).is_err(), "{path}");
    }
    assert_eq!(pending.len(), 2);
}

#[test]
fn a_node_is_seen_with_what_is_staged() {
    let pending =
        staged(&[("a.b.x", "1", 2, "7"), ("a.c", "{\"k\":1}", 2, "{\"k\":2}"), ("a.b.y", "1", 2, "")]);
    let see = |path: &str, now: &str| {
        let seen = pending.effective(&path.parse().unwrap(), Some(value(now))).unwrap();
        seen.map_or("nothing".into(), |value| value.to_string())
    };
    assert_eq!(see("a", r#"{"b":{"x":1,"y":1},"c":{"k":1}}"#), r#"{"b":{"x":7},"c":{"k":2}}"#);
    assert_eq!(see("a.c.k", "1"), "2");
    assert_eq!(see("a.c.gone", "1"), "nothing");
    assert_eq!(see("a.d", "1"), "1");
}

#[test]
fn steps_are_taken_back_one_by_one_with_what_they_took_in() {
    let mut pending = staged(&[("a.b.x", "1", 2, "7"), ("a.b", "{\"x\":1}", 3, "{}"), ("a.c", "1", 1, "2")]);
    let mut lens = Vec::new();
    while pending.undo() {
        lens.push(ops(&pending));
    }
    let first = r#"{"put":"a.b.x","value":7,"version":2}"#;
    assert_eq!(lens, [r#"[{"put":"a.b","value":{},"version":3}]"#, &format!("[{first}]"), "[]"]);
}

#[test]
fn the_list_is_bounded_in_number_and_bytes() {
    let mut pending = Pending::default();
    for n in 0..MAX_CHANGES {
        pending.stage(vec![change(&format!("a.k{n}"), "", -1, "1")]).unwrap();
    }
    assert!(pending.stage(vec![change("a.more", "", -1, "1")]).unwrap_err().contains("commit some first"));
    let mut pending = Pending::default();
    let long = format!("\"{}\"", "x".repeat(MAX_VALUE));
    let taken = (0..9).filter(|n| pending.stage(vec![change(&format!("a.k{n}"), "", -1, &long)]).is_ok());
    assert_eq!(taken.count(), 3);
    assert_eq!(pending.len(), 3);
}

#[test]
fn a_conflict_is_decided_for_mine_by_what_is_there_now() {
    let mut pending = staged(&[("a.b", "1", 3, "2"), ("a.c", "1", 3, "2")]);
    for (at, theirs) in [
        (0, Theirs { was: Was::Value(value("9")), version: 5 }),
        (1, Theirs { was: Was::Nothing, version: -1 }),
    ] {
        Arc::make_mut(&mut pending.changes[at]).theirs = Some(theirs);
    }
    assert_eq!(pending.conflicts(), 2);
    for at in 0..2 {
        let mine = pending.changes[at].over_theirs().unwrap();
        pending.stage(vec![mine]).unwrap();
    }
    assert_eq!(pending.conflicts(), 0);
    assert_eq!(
        ops(&pending),
        r#"[{"put":"a.b","value":2,"version":5},{"put":"a.c","value":2,"version":-1}]"#
    );
}

#[test]
fn why_nothing_can_be_written_is_read_from_what_a_node_is_listed_with() {
    let path: Path = "a.b".parse().unwrap();
    for (page, why) in [
        (r#"{"version":3,"writable":true}"#, "3"),
        (
            r#"{"version":3,"writable":false,"refusal":{"code":"forbidden","message":"not with this token"}}"#,
            "not with this token",
        ),
        (r#"{"owner":"r1","writable":true}"#, "a.b is ephemeral: it's r1's and ends with that session"),
        (
            r#"{"owner":null,"writable":true}"#,
            "a.b is there only for ephemeral nodes below it, and ends with them",
        ),
    ] {
        let seen = begin::Seen::changeable(&path, &value(page));
        assert_eq!(seen.map(|seen| seen.version.to_string()).unwrap_or_else(|why| why), why);
    }
}
