//! What the original kept in its commit log is all there afterwards: versions, history, authors, times, rollbacks.

use crate::server::{Scratch, Server, ok, run, tega_command};
use crate::wire::http_unix;

/// A snapshot at version 7, three commits and a rollback two versions back, as the original writes them.
const LOG: &str = "?
{'ope': 'SS', 'path': 'r', 'tega_id': None, 'instance': {'_oid': 'r', '_parent': None, '_version': 7, \
 'a': {'_oid': 'a', '_parent': 'r', '_version': 3, '_value': 1}}}
@1448171540.0
?
{'ope': 'PUT', 'path': 'r.b', 'tega_id': 'alice', 'instance': {'x': 'one', 'y': [1, None]}}
@1448171543.125
?
{'ope': 'DELETE', 'path': 'r.b.y', 'tega_id': 'bob', 'instance': None}
{'ope': 'PUT', 'path': 's.t', 'tega_id': 'bob', 'instance': True}
@1448171544.0
?
{'ope': 'PUT', 'path': 'r.b.x', 'tega_id': 'not one of ours', 'instance': 'two'}
@1448171545.0
-2 alice r
";

fn import(from: &Scratch, into: &Scratch) -> (i32, String, String) {
    let data = into.path().join("data");
    let args = ["import", "--from-tega", from.path().to_str().unwrap(), "--data", data.to_str().unwrap()];
    run(tega_command().args(args), "")
}

#[test]
fn an_import_keeps_versions_history_authors_times_and_rollbacks() {
    let (from, into) = (Scratch::new(), Scratch::new());
    from.file("log.global.3", LOG);
    let (code, out, err) = import(&from, &into);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("1 roots and 4 commits of global from ") && out.lines().count() == 1, "{out}");
    assert!(err.contains("not one of ours") && err.contains("DELETE"), "{err}");

    let server = Server::within(into, &["--listen", "none"]);
    assert_eq!(ok(&server, &["get", "--json", "r"], ""), "{\"a\":1,\"b\":{\"x\":\"one\",\"y\":[1,null]}}\n");
    assert_eq!(ok(&server, &["get", "--json", "s"], ""), "{\"t\":true}\n");
    for (target, version) in [("/r", "11"), ("/r/a", "3"), ("/r/b", "11"), ("/s", "0")] {
        let answer = http_unix(&server, &format!("GET {target}"), &[], "");
        assert_eq!(answer.header("Tega-Version"), Some(version), "{target}");
    }
    assert_eq!(http_unix(&server, "GET /r/b?version=9", &[], "").text(), "{\"x\":\"one\"}");
    assert_eq!(http_unix(&server, "GET /r?version=7", &[], "").text(), "{\"a\":1}");
    let history = ok(&server, &["history", "--json", "r"], "");
    for part in ["\"alice\"", "\"bob\"", "1448171543125", "1448171544000", "\"rollback_to\":8"] {
        assert!(history.contains(part), "no {part} in {history}");
    }
    // And it goes on counting.
    assert_eq!(http_unix(&server, "PUT /r/a", &[], "2").header("Tega-Version"), Some("r=12"));
}

#[test]
fn an_import_into_a_directory_that_holds_data_changes_nothing() {
    let (from, into) = (Scratch::new(), Scratch::new());
    from.file("log.global.0", LOG);
    let mut server = Server::within(into, &["--listen", "none"]);
    assert_eq!(http_unix(&server, "PUT /mine/x", &[], "1").status, 200);
    assert!(server.stop().success());
    let before = std::fs::read(server.data().join("log")).unwrap();
    let data = server.data();
    let args = ["import", "--from-tega", from.path().to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (code, out, err) = run(tega_command().args(args), "");
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains(data.to_str().unwrap()) && err.contains("holds data already"), "{err}");
    assert_eq!(std::fs::read(data.join("log")).unwrap(), before);
}

#[test]
fn a_log_that_cannot_be_read_is_named_by_file_and_line_and_nothing_is_made() {
    let (from, into) = (Scratch::new(), Scratch::new());
    from.file("log.global.0", "?\nexec('rm')\n@1\n");
    let (code, out, err) = import(&from, &into);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("log.global.0:2: "), "{err}");
    assert!(!into.path().join("data").exists());
}
