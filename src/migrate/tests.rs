use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory with logs, removed when dropped.
struct Logs(PathBuf);

impl Logs {
    fn new() -> Logs {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tega-migrate-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Logs(dir)
    }

    fn with(name: &str, text: impl AsRef<[u8]>) -> Logs {
        Logs::new().and(name, text)
    }

    fn and(self, name: &str, text: impl AsRef<[u8]>) -> Logs {
        std::fs::write(self.0.join(name), text).unwrap();
        self
    }

    fn read(&self, as_restarted: bool) -> Import {
        read(&self.0, None, as_restarted).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The commits as short lines: `versions: operations`.
fn show(import: &Import) -> Vec<String> {
    let one = |commit: &ImportedCommit| {
        let versions: Vec<_> =
            commit.versions.iter().map(|(root, version)| format!("{root}={version}")).collect();
        let ops: Vec<_> = commit
            .ops
            .iter()
            .map(|op| match op {
                ImportedOp::Put { path, value } => format!("{path}:{value}"),
                ImportedOp::Delete { path } => format!("-{path}"),
            })
            .collect();
        let back =
            commit.rollback.as_ref().map_or(String::new(), |back| format!(" <{}@{}", back.root, back.to));
        format!("{}{back} {}", versions.join(","), ops.join(" ")).trim_end().to_owned()
    };
    import.commits.iter().map(one).collect()
}

/// One commit of operations written short: `a.b 1` puts, `-a.b` deletes.
fn commit(ops: &[&str]) -> String {
    let line = |op: &&str| match op.strip_prefix('-') {
        Some(path) => format!("{{'ope': 'DELETE', 'path': '{path}', 'tega_id': 'me', 'instance': None}}\n"),
        None => {
            let (path, value) = op.split_once(' ').unwrap();
            format!("{{'ope': 'PUT', 'path': '{path}', 'tega_id': 'me', 'instance': {value}}}\n")
        }
    };
    format!("?\n{}@1448171543.1239\n", ops.iter().map(line).collect::<String>())
}

fn commits(list: &[&[&str]]) -> String {
    list.iter().map(|ops| commit(ops)).collect()
}

#[track_caller]
fn fails(text: impl AsRef<[u8]>, line: usize, word: &str) {
    let logs = Logs::with("log.x.0", text);
    let error = read(&logs.0, None, false).expect_err(word);
    let shown = error.to_string();
    assert!(matches!(error, MigrateError::Line { line: at, .. } if at == line), "{shown}");
    assert!(shown.contains(word) && shown.contains(&format!("log.x.0:{line}: ")), "{shown}");
}

#[test]
fn commits_come_with_who_when_and_the_versions_that_ours_will_have() {
    let text = "?\n{'ope': 'PUT', 'path': 'r', 'tega_id': None, 'instance': {'a': (1, 'x'), 'b.c': {}}}\n\
                {'ope': 'PUT', 'path': 's.t', 'tega_id': 'cli', 'instance': 2}\n@1448171543.1239\n\
                *\n?\n@5\n\n?\n{'ope': 'PUT', 'path': 'r.a', 'tega_id': 'cli', 'instance': False}\n@x\r\n\
                ?\n{'instance': {'n': {'m': 1}}, 'ope': 'PUT', 'path': None, 'tega_id': None}\n@7\n";
    let import = Logs::with("log.global.0", text).read(false);
    assert_eq!(import.tega_id, "global");
    assert_eq!(
        show(&import),
        [r#"r=0,s=0 r:{"a":[1,"x"],"b.c":{}} s.t:2"#, "r=1 r.a:false", r#"n=0 n:{"m":1}"#]
    );
    let first = &import.commits[0];
    assert_eq!((first.time_ms, first.tega_id.as_deref()), (Some(1_448_171_543_124), Some("cli")));
    assert_eq!(import.commits[1].time_ms, None);
    assert_eq!(import.warnings.len(), 1);
    assert!(import.warnings[0].contains("log.global.0:11: the commit's time"), "{:?}", import.warnings);
    assert_eq!(import.differences, [""; 0]);
}

#[test]
fn the_newest_log_of_the_chosen_id_is_read() {
    let logs =
        Logs::with("log.a.2", commit(&["r.x 2"])).and("log.a.10", commit(&["r.x 10"])).and("log.b.0", "");
    let logs =
        logs.and("log.a.x", "").and("log.a.+11", "").and("log.a.1.2", "").and("log..1", "").and("other", "");
    let text = read(&logs.0, None, false).unwrap_err().to_string();
    assert_eq!(text, "logs of several tega IDs; choose one with --id: a b");
    let text = read(&logs.0, Some("c"), false).unwrap_err().to_string();
    assert_eq!(text, "no log of c; there are logs of: a b");
    let import = read(&logs.0, Some("a"), false).unwrap();
    assert_eq!(show(&import), ["r=0 r.x:10"]);
    assert!(import.file.ends_with("log.a.10"));
    let empty = Logs::new();
    assert!(matches!(read(&empty.0, None, false), Err(MigrateError::NoLog(_))));
    assert!(matches!(read(&empty.0, Some("a"), false), Err(MigrateError::NoLog(_))));
    assert!(matches!(read(&empty.0.join("none"), None, false), Err(MigrateError::Io(..))));
}

#[test]
fn a_snapshot_gives_the_value_and_the_version_of_each_node() {
    let node = |oid: &str, version: i32, rest: &str| {
        format!(
            "'{oid}': {{'_oid': '{oid}', '_parent': 'x', '_version': {version}, '_ephemeral': False, {rest}}}"
        )
    };
    let inner = [
        node("a", 3, "'_value': (1, 2)"),
        node("b", 9, &node("c", 7, "'_value': None")),
        node("d", 2, ""),
        "'_other': 1".to_owned(),
    ];
    let root = format!("{{{}}}", node("r", 7, &inner.join(", ")));
    let root = root.strip_prefix("{'r': ").unwrap().strip_suffix('}').unwrap();
    let text = format!("?\n{{'ope': 'SS', 'path': 'r', 'tega_id': None, 'instance': {root}}}\n@1\n");
    let import = Logs::with("log.x.1", text + &commit(&["r.d.e 1"])).read(false);
    let [base] = &import.bases[..] else { panic!("{:?}", import.bases) };
    assert_eq!((base.root.as_str(), base.version), ("r", 7));
    assert_eq!(base.value.to_string(), r#"{"a":[1,2],"b":{"c":null},"d":{}}"#);
    let versions: Vec<_> = base.versions.iter().map(|(path, version)| format!("{path} {version}")).collect();
    // No node is newer than its parent: `b` is set right.
    assert_eq!(versions, ["r 7", "r.a 3", "r.b 7", "r.b.c 7", "r.d 2"]);
    assert_eq!(show(&import), ["r=8 r.d.e:1"]);
}

#[test]
fn a_bad_snapshot_is_refused() {
    let ss = |instance: &str| {
        format!("?\n{{'ope': 'SS', 'path': 'r', 'tega_id': None, 'instance': {instance}}}\n@1\n")
    };
    fails(ss("1"), 2, "isn't a dict");
    fails(ss("{'a': {}}"), 2, "_oid");
    fails(ss("{'_oid': 'r', '_version': 'x'}"), 2, "version of r");
    fails(ss("{'_oid': 'r', '_version': -1}"), 2, "version of r");
    fails(ss("{'_oid': 'r', '_version': 1, 'a': 1}"), 2, "node r.a isn't a dict");
    fails(ss("{'_oid': 'r', '_version': 1, '_value': 1}"), 2, "a root is a dict");
    fails(ss("{'_oid': 'r', '_version': 1, 'a': {'_value': {}}}"), 2, "leaf r.a");
    fails(ss("{'_oid': '_r'}"), 2, "begins with");
    fails(ss("{'_oid': 'r'}") + &ss("{'_oid': 'r'}"), 5, "second snapshot");
    fails(commit(&["r.a 1"]) + &ss("{'_oid': 'r'}"), 5, "after its commits");
}

#[test]
fn deletes_are_applied_and_listed_unless_read_as_restarted() {
    let text =
        commits(&[&["r.a 1", "r.b.c 2"], &["-r.b.c"], &["-r.b"], &["r.d 3", "-r.a"], &["-r"], &["r.e 4"]]);
    let logs = Logs::with("log.x.0", text);
    let import = logs.read(false);
    assert_eq!(show(&import), ["r=0 r.a:1 r.b.c:2", "r=1 -r.b.c", "r=2 r.d:3 -r.a", "r=3 -r", "r=4 r.e:4"]);
    let file = logs.0.join("log.x.0");
    let expected: Vec<_> = [(6, "r.b.c"), (13, "r.a"), (16, "r")]
        .map(|(line, path)| {
            format!(
                "{}:{line}: DELETE {path}: applied; the original ignored it when it restarted",
                file.display()
            )
        })
        .into();
    assert_eq!(import.differences, expected);
    // `r.b` went with its last child.
    assert_eq!(import.warnings, [format!("{}:9: DELETE r.b: nothing is there; passed over", file.display())]);

    let import = logs.read(true);
    assert_eq!(show(&import), ["r=0 r.a:1 r.b.c:2", "r=1 r.d:3", "r=2 r.e:4"]);
    assert_eq!(import.differences.len(), 3);
    assert!(import.differences[0].ends_with("DELETE r.b.c: ignored, as the original did when it restarted"));
    assert_eq!(import.warnings, [""; 0]);
}

#[test]
fn a_rollback_drops_the_versions_between_as_the_original_does() {
    let text = commits(&[&["r.a 0"], &["r.a 1"], &["r.a 2"], &["r.a 3"]])
        + "-1 me r\n-1 None r\n"
        + &commit(&["r.b 4"])
        + "-2 me r\n";
    let import = Logs::with("log.x.0", text).read(false);
    // -1 leads to version 2, and again -1 to version 1; what -2 counts is the version of the commit's past and 0.
    assert_eq!(show(&import)[4..], ["r=4 <r@2 r.a:2", "r=5 <r@1 r.a:1", "r=6 r.b:4", "r=7 <r@0 r.a:0 -r.b"]);
    assert_eq!(import.commits[4].tega_id.as_deref(), Some("me"));
    assert_eq!(import.commits[5].tega_id, None);
    assert_eq!(import.commits[4].time_ms, None);
    assert_eq!(import.differences, [""; 0]);
}

#[test]
fn a_rollback_leads_exactly_to_the_old_state() {
    let old = "{'keep': {'x': 1, 'y': 2}, 'empty': {}, 'leaf': 1, 'cont': {'c': 1}, 'gone': {'g': {'h': 1}}}";
    let new = "{'keep': {'x': 1, 'z': 3}, 'empty': {'e': 1}, 'leaf': {'l': 1}, 'cont': 2, 'more': {'m': 1}}";
    let text = commits(&[&[&format!("r {old}")], &[&format!("r {new}")]]) + "-1 me r\n";
    let import = Logs::with("log.x.0", text).read(false);
    assert_eq!(
        show(&import)[2],
        r#"r=2 <r@0 r.cont:{"c":1} r.empty:{} r.gone:{"g":{"h":1}} r.keep.y:2 r.leaf:1 -r.more -r.keep.z"#
    );
}

#[test]
fn a_rollback_to_an_equal_state_is_a_commit_without_operations() {
    let import = Logs::with("log.x.0", commits(&[&["r.a 1"], &["r.a 1"]]) + "-1 me r\n").read(false);
    assert_eq!(show(&import)[2], "r=2 <r@0");
}

#[test]
fn the_original_keeps_ten_versions_and_a_positive_rollback_is_an_index_into_them() {
    let puts: Vec<String> = (0..14).map(|n| format!("r.a {n}")).collect();
    let text: String = puts.iter().map(|put| commit(&[put])).collect();
    let import = Logs::with("log.x.0", text.clone() + "-10 me r\n").read(false);
    assert_eq!(show(&import)[14], "r=14 <r@3 r.a:3");
    fails(text.clone() + "-11 me r\n", 43, "holds 10 versions");
    let import = Logs::with("log.x.0", text.clone() + "1 me r\n").read(false);
    assert_eq!(show(&import)[14], "r=14 <r@4 r.a:4");
    assert!(import.differences[0].ends_with("x.0:43: the original failed to restart at this record"));
    fails(text.clone() + "10 me r\n", 43, "holds 10 versions");
    fails(text.clone() + "0 me r\n", 43, "holds 10 versions");
    fails(text + "-1 me s\n", 43, "s, which doesn't exist");
}

#[test]
fn a_rollback_that_the_readings_understand_differently_is_listed() {
    let text = commits(&[&["r.a 1", "r.b 1"], &["-r.b"], &["r.a 2"]]) + "-1 me r\n";
    let logs = Logs::with("log.x.0", text);
    let import = logs.read(false);
    assert_eq!(show(&import)[3], "r=3 <r@1 r.a:1");
    assert_eq!(import.differences.len(), 2);
    assert!(
        import.differences[1].ends_with("x.0:11: this rollback leads to another state in the other reading")
    );
    assert_eq!(show(&logs.read(true))[2], "r=2 <r@0 r.a:1");

    // The only version to go back to is made by a DELETE: the original can't restart.
    let logs = Logs::with("log.x.0", commits(&[&["r.a 1", "r.b 1"], &["-r.b"]]) + "-1 me r\n");
    let import = logs.read(false);
    assert_eq!(show(&import)[2], "r=2 <r@0 r.b:1");
    assert!(import.differences[1].contains("x.0:8: the other reading ends here"), "{:?}", import.differences);
    assert!(read(&logs.0, None, true).is_err());
}

#[test]
fn a_put_through_a_leaf_replaces_the_leaf_with_a_warning() {
    let import = Logs::with("log.x.0", commits(&[&["r.a.b 1"], &["r.a.b.c.d 2"]])).read(false);
    assert_eq!(show(&import)[1], "r=1 -r.a.b r.a.b.c.d:2");
    assert!(import.warnings[0].contains("goes through the leaf r.a.b"));
}

#[test]
fn a_log_cut_at_any_byte_gives_its_whole_commits() {
    let text = commits(&[&["r.a 1"], &["r.a 2", "s.é '\\u00e9'"]]) + "-1 me r\n" + &commit(&["r.a 3"]);
    let whole = show(&Logs::with("log.x.0", &text).read(false));
    let logs = Logs::new();
    let mut counts = BTreeMap::new();
    for end in 0..=text.len() {
        std::fs::write(logs.0.join("log.x.0"), &text.as_bytes()[..end]).unwrap();
        let import = logs.read(false);
        assert_eq!(show(&import), whole[..import.commits.len()], "{end}");
        let at_line_end = end == 0 || text.as_bytes()[end - 1] == b'\n';
        assert!(at_line_end || !import.warnings.is_empty(), "{end}");
        *counts.entry(import.commits.len()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 5);
}

#[test]
fn an_unfinished_commit_in_mid_log_is_dropped_and_listed() {
    let cut = "?\n{'ope': 'PUT', 'path': 'r.x', 'tega_id': 'me', 'instance': 1}\n";
    let logs = Logs::with("log.x.0", commit(&["r.a 1"]) + cut + &commit(&["r.a 2"]));
    let import = logs.read(false);
    assert_eq!(show(&import), ["r=0 r.a:1", "r=1 r.a:2"]);
    assert!(import.warnings[0].contains("x.0:4: an unfinished commit"), "{:?}", import.warnings);
    assert!(
        import.differences[0].contains("x.0:5: r.x: of an unfinished commit, dropped"),
        "{:?}",
        import.differences
    );
    assert_eq!(show(&logs.read(true)), ["r=0 r.a:1", "r=1 r.x:1 r.a:2"]);
}

#[test]
fn a_snapshot_that_was_cut_short_falls_back_to_the_log_before() {
    let ss = "?\n{'ope': 'SS', 'path': 'r', 'tega_id': None, 'instance': {'_oid': 'r', '_version': 5}}\n";
    for newest in ["", "?\n", ss] {
        let import = Logs::with("log.x.1", commit(&["r.a 1"])).and("log.x.2", newest).read(false);
        assert_eq!(show(&import), ["r=0 r.a:1"], "{newest:?}");
        assert!(import.file.ends_with("log.x.1"));
        assert!(import.differences[0].ends_with("log.x.2: the original would start empty with it"));
    }
    // Once something was committed after it, the original has gone on from what was there of it.
    let import = Logs::with("log.x.1", "").and("log.x.2", ss.to_owned() + &commit(&["r.a 1"])).read(false);
    assert_eq!((import.bases.len(), show(&import)), (1, vec!["r=6 r.a:1".to_owned()]));
    assert!(import.warnings[0].contains("x.2:1: an unfinished snapshot"), "{:?}", import.warnings);
    assert!(Logs::with("log.x.0", "").read(false).commits.is_empty());
}

#[test]
fn a_line_that_cannot_be_understood_is_an_error_with_file_and_line() {
    let record = |ope: &str, path: &str, instance: &str| {
        format!("?\n{{'ope': {ope}, 'path': {path}, 'tega_id': None, 'instance': {instance}}}\n@1\n")
    };
    fails(commit(&["r.a 1"]) + "garbage\n", 4, "not a line");
    fails(b"?\n\xff\xfe\n@1\n", 2, "UTF-8");
    fails(b"?\n\0\0\0\n@1\n", 2, "not a line");
    fails("?\n{'ope': 'PUT', 'path': 'r.a', 'tega_id'?\n@1\n", 2, "column 40");
    fails("?\n{'ope': 'PUT', 'path': 'r.a', 'instance': open('x')}\n@1\n", 2, "column 43: the name \"open\"");
    fails("?\n{'ope': 'PUT', 'path': 'r.a', 'instance': 1}\n@1\n", 2, "lacks \"tega_id\"");
    fails(
        "?\n{'ope': 'PUT', 'path': 'r.a', 'tega_id': 1, 'instance': 1}\n@1\n",
        2,
        "\"tega_id\" is an integer",
    );
    fails(record("'POST'", "'r.a'", "1"), 2, "none of PUT");
    fails(record("'PUT'", "'r..a'", "1"), 2, "empty key");
    fails(record("'PUT'", "'_r.a'", "1"), 2, "begins with");
    fails(record("'PUT'", "'r'", "1"), 2, "a root is a dict");
    fails(record("'PUT'", "None", "{'a': {}, 'b': {}}"), 2, "one root");
    fails(record("'PUT'", "'r.a'", "{'': 1}"), 2, "empty key");
    fails(record("'PUT'", "'r.a'", "{'b': {'_value': 1}}"), 2, "_value");
    fails(record("'PUT'", "'r.a'", "18446744073709551616"), 2, "2^64");
    fails(record("'DELETE'", "None", "None"), 2, "without a path");
    fails("-1 me\n", 1, "BACKTO TEGA_ID ROOT");
    fails("-x me r\n", 1, "number expected");
    fails("-1 me r.a\n", 1, "isn't a root");
    fails("-99999999999999999999 me r\n", 1, "number expected");
    fails(commit(&["r.a 1"]) + "-9223372036854775808 me r\n", 4, "holds 0 versions");
}

#[test]
fn hostile_nesting_and_paths_are_refused() {
    let deep = |n: usize| {
        format!("?\n{{'ope': 'PUT', 'path': 'r.a', 'tega_id': None, 'instance': {}}}\n@1\n", "[".repeat(n))
    };
    fails(deep(100_000), 2, "deeper");
    let nested = |n: usize| commit(&[&format!("r.a {}{}", "[".repeat(n), "]".repeat(n))]);
    assert_eq!(Logs::with("log.x.0", nested(62)).read(false).commits.len(), 1);
    fails(nested(63), 2, "deeper");
    fails(commit(&[&format!("r{} 1", ".a".repeat(64))]), 2, "64 keys");
}

#[test]
fn lists_hold_any_data_and_text_stays_text() {
    let import = Logs::with("log.x.0", commit(&["r.a ({'_value': 1, '': 2}, u'1', b'x')"])).read(false);
    assert_eq!(show(&import), [r#"r=0 r.a:[{"":2,"_value":1},"1","x"]"#]);
}
