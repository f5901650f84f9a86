//! What another program kept becomes a data directory, or nothing does.

use super::super::import::{Base, ImportError, lines, write};
use super::*;
use crate::commit::{Commit, Edit, Touched};

fn touched(root: &str, version: u64, rollback_to: Option<u64>) -> Touched {
    Touched { root: root.into(), version, incarnation: None, rollback_to }
}

fn commit(time_ms: u64, roots: &[Touched], edits: &[Edit]) -> Commit {
    let (roots, edits) = (roots.to_vec(), edits.to_vec());
    Commit { position: Position(0), time_ms, by: TegaId::new("r1").ok(), roots, edits, request: None }
}

fn put(at: &str, value: &str) -> Edit {
    Edit::Put(path(at), json(value))
}

fn base() -> Base {
    let versions = vec![(path("a"), 7), (path("a.x"), 5), (path("a.x.y"), 3)];
    Base {
        root: "a".into(),
        version: 7,
        time_ms: 9,
        value: json(r#"{"x":{"y":1,"z":2},"l":[{}],"e":{}}"#),
        versions,
    }
}

#[test]
fn tree_history_and_versions_are_as_the_import_says() {
    let commits = [
        commit(10, &[touched("b", 0, None), touched("a", 8, None)], &[put("a.x.y", "2"), put("b", "{}")]),
        commit(11, &[touched("a", 9, Some(7))], &[put("a.x.y", "1")]),
        commit(12, &[touched("a", 10, Some(9))], &[]),
        commit(13, &[touched("b", 1, None)], &[Edit::Delete(path("b"))]),
        commit(14, &[touched("b", 2, None)], &[put("b.k", "1")]),
    ];
    let disk = Disk::new();
    let lines = lines(&Options::default(), &[base()], &commits).unwrap();
    write(disk.medium(), &lines).unwrap();
    let store = open(&disk);
    check(&store);
    let seen = |root| -> Vec<String> {
        let line =
            |p: &Past| format!("{} {} {}", p.version, p.time_ms, p.tree.as_ref().map_or("-".into(), stamps));
        store.history(root).unwrap().iter().map(line).collect()
    };
    assert_eq!(
        seen("a"),
        [
            "7 9 :7 e:7={} l:7=[{}] x:5 x.y:3=1 x.z:5=2",
            "8 10 :8 e:7={} l:7=[{}] x:8 x.y:8=2 x.z:5=2",
            "9 11 :9 e:7={} l:7=[{}] x:9 x.y:9=1 x.z:5=2",
            "10 12 :10 e:7={} l:7=[{}] x:9 x.y:9=1 x.z:5=2",
        ]
    );
    assert_eq!(seen("b"), ["0 10 :0", "1 13 -", "2 14 :2 k:2=1"]);
    assert_eq!(
        store.history("a").unwrap()[2].event.as_ref().unwrap().rollback_to,
        Some(("a".into(), Version(7)))
    );
    let before = everything(&store);
    store.compact_and_wait().unwrap();
    store.close();
    assert_eq!(everything(&open(&disk)), before);
}

#[test]
fn what_does_not_fit_together_is_refused_and_leaves_nothing_behind() {
    let dir = std::env::temp_dir().join(format!("tega-import-{}", std::process::id()));
    let bases = |change: fn(&mut Base)| {
        let mut base = base();
        change(&mut base);
        vec![base]
    };
    let cases: Vec<(Vec<Base>, Commit, &str)> = vec![
        (vec![], commit(1, &[touched("b", 1, None)], &[put("b.x", "1")]), "version 1 of b, where 0"),
        (bases(|_| ()), commit(1, &[touched("a", 9, None)], &[put("a.x", "1")]), "where 8 is"),
        (bases(|_| ()), commit(1, &[touched("a", 7, None)], &[put("a.x", "1")]), "where 8 is"),
        (vec![], commit(1, &[touched("b", 0, None)], &[]), "without an edit"),
        (vec![], commit(1, &[touched("b", 0, None)], &[put("b", "1")]), "only be an object"),
        (
            vec![],
            commit(1, &[touched("b", 0, None)], &[put("b.x", "1"), put("c.x", "1")]),
            "without a version",
        ),
        (vec![], commit(1, &[touched("b", 0, None)], &[Edit::Delete(path("b"))]), "nothing there"),
        (vec![], commit(1, &[], &[]), "without roots"),
        (bases(|b| b.versions.push((path("a.x.z"), 6))), commit(1, &[], &[]), "above its parent's"),
        (bases(|b| b.value = json("1")), commit(1, &[], &[]), "only be an object"),
        (bases(|b| b.root = "_a".into()), commit(1, &[touched("b", 0, None)], &[put("b.x", "1")]), "_a"),
    ];
    for (bases, commit, why) in cases {
        let error = import(&dir, &Options::default(), &bases, &[commit]).unwrap_err().to_string();
        assert!(error.contains(why), "{error} / {why}");
        assert!(!dir.exists());
    }
    import(&dir, &Options::default(), &[base()], &[]).unwrap();
    let again = import(&dir, &Options::default(), &[base()], &[]);
    assert!(matches!(again, Err(ImportError::NotEmpty)));
    let store = Store::open(&dir, Options::default()).unwrap();
    assert_eq!(store.view().root("a").unwrap().version, Version(7));
    store.close();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_disk_that_fails_in_mid_import_has_an_empty_log_or_all_of_it() {
    use crate::log::fake::{Choices, Fault, Op};
    let lines = lines(&Options::default(), &[base()], &[]).unwrap();
    let calls = {
        let disk = Disk::new();
        write(disk.medium(), &lines).unwrap();
        disk.calls(Op::Any)
    };
    assert!(calls > 5);
    for nth in 1..=calls {
        for seed in 0..4 {
            let disk = Disk::new();
            disk.fail(Op::Any, nth, Fault::OFF);
            let done = write(disk.medium(), &lines).is_ok();
            let store = open(&disk.crash(&mut Choices::random(seed)));
            let there = store.view().root("a").is_some();
            assert!(there || !done, "call {nth}");
        }
    }
}
