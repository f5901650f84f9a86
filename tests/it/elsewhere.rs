//! A data directory moves from one kind of machine to another: what a program of one architecture wrote, one of another
//! reads. With `TEGA_BIN` and `TEGA_RUNNER` the other is that one; without, there is one architecture only.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::server::{Running, Scratch, run, tega_command};

/// The program that was built for this machine.
fn native() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tega"));
    command.env_remove("TEGA_URL").env_remove("TEGA_TOKEN").env_remove("XDG_RUNTIME_DIR");
    command
}

/// Serves a data directory with `program` while `clients` do what they do at its URL.
fn served(mut program: Command, dir: &Path, clients: impl FnOnce(&str)) {
    let socket = dir.join("s");
    let serve = ["serve", "--id", "r1", "--listen", "none", "--history", "5", "--durability", "m=memory"];
    program.args(serve).arg("--data").arg(dir.join("data")).arg("--socket").arg(&socket);
    let mut server = Running::start(&mut program);
    assert!(server.line().is_some_and(|line| line.contains("listening")), "it serves");
    clients(&format!("unix:{}", socket.display()));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[track_caller]
fn tega(url: &str, args: &[&str]) -> String {
    let (code, out, err) = run(native().arg(args[0]).args(["--url", url]).args(&args[1..]), "");
    assert_eq!(code, 0, "{args:?}: {err}");
    out
}

/// Writes what a log can hold: kinds of values, versions, a rollback, a deletion, a snapshot in the middle.
fn write(url: &str) {
    tega(url, &["put", "a.n", r#"{"int":-9223372036854775808,"big":18446744073709551615,"float":0.1}"#]);
    tega(url, &["put", "a.s", r#"["é\n\u0000","",null,true]"#]);
    tega(url, &["put", r#"b["192.168.1.1"]"#, "1"]);
    for n in 0..20 {
        tega(url, &["put", "c.n", &n.to_string()]);
        if n == 15 {
            tega(url, &["snapshot"]);
        }
    }
    tega(url, &["rollback", "c", "18"]);
    tega(url, &["del", "b"]);
}

/// All that can be read: the roots, their history, and an old version.
fn read(url: &str) -> String {
    let roots = tega(url, &["export", "--json"]);
    let history = tega(url, &["history", "c", "--json"]);
    roots
        + &history
        + &tega(url, &["get", "c", "--version", "17", "--internal"])
        + &tega(url, &["roots", "--json"])
}

#[test]
fn a_log_written_on_one_architecture_opens_on_another() {
    if std::env::var_os("TEGA_RUNNER").is_none() {
        eprintln!("TEGA_RUNNER is not set: passed over, since there is one architecture only");
        return;
    }
    for (writer, reader) in
        [(native as fn() -> Command, tega_command as fn() -> Command), (tega_command, native)]
    {
        let dir = Scratch::new();
        let mut written = String::new();
        served(writer(), dir.path(), |url| {
            write(url);
            written = read(url);
        });
        let log = |program: fn() -> Command| {
            let data = dir.path().join("data");
            run(program().arg("log").arg("--data").arg(data), "")
        };
        assert_eq!(log(writer), log(reader), "the log says the same to both");
        served(reader(), dir.path(), |url| {
            assert_eq!(read(url), written);
            tega(url, &["put", "c.n", "more"]);
            written = read(url);
        });
        served(writer(), dir.path(), |url| assert_eq!(read(url), written, "and back"));
    }
}
