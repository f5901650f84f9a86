//! The command line against a real server: what it prints, and the exit codes that scripts go by.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use tega::cli::verbs::VERBS;

use crate::server::{Scratch, Server, ok, run, tega, tega_command};
use crate::wire::{Ws, http, json};

/// Runs each line of words against the server and checks exit code and standard output.
#[track_caller]
fn table(server: &Server, rows: &[(&[&str], &str, i32, &str)]) {
    for (args, stdin, code, out) in rows {
        let (got, printed, said) = tega(server, args, stdin);
        assert_eq!((got, printed.as_str()), (*code, *out), "tega {args:?} said {said}");
        // Standard error says something exactly where it failed, in one line that says who speaks.
        assert_eq!(said.is_empty(), *code == 0, "tega {args:?}: {said}");
        assert!(said.lines().all(|line| line.starts_with("tega: ")) && said.lines().count() <= 1, "{said}");
    }
}

#[test]
fn words_become_values_and_values_are_printed_raw() {
    let server = Server::start();
    for (word, value) in [
        ("192.168.1.1", "\"192.168.1.1\""),
        ("1500", "1500"),
        ("-5", "-5"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("null", "null"),
        ("007", "\"007\""),
        ("two words", "\"two words\""),
        ("", "\"\""),
        ("\"1\"", "\"1\""),
        ("[1,[2]]", "[1,[2]]"),
        ("{\"k\":{}}", "{\"k\":{}}"),
        ("18446744073709551615", "18446744073709551615"),
    ] {
        ok(&server, &["put", "a.b", word], "");
        assert_eq!(http(&server, "GET /a/b", &[], "").text(), value);
        let raw = json(value).as_str().map_or(value.to_string(), String::from);
        assert_eq!(ok(&server, &["get", "a.b"], ""), format!("{raw}\n"));
        assert_eq!(ok(&server, &["get", "/a/b", "--json"], ""), format!("{value}\n"));
    }
    table(
        &server,
        &[
            (&["put", "a.b", "1500", "--string"], "", 0, ""),
            (&["get", "a.b", "--json"], "", 0, "\"1500\"\n"),
            (&["put", "a.b", "-"], "{\"x\":\n 1}\n", 0, ""),
            (&["get", "a.b"], "", 0, "{\"x\":1}\n"),
            (&["put", "a.b", "-", "--yaml"], "x: [1, two]\n", 0, ""),
            (&["get", "a.b"], "", 0, "{\"x\":[1,\"two\"]}\n"),
            (&["put", "a.b", "-", "--string"], "as it\nis\n", 0, ""),
            (&["get", "a.b"], "", 0, "as it\nis\n"),
            (&["put", "a.b", "{x"], "", 1, ""),
            (&["put", "a.b", "18446744073709551616"], "", 1, ""),
            (&["put", "a.b", "-"], "no JSON", 1, ""),
            (&["get", "a.b"], "", 0, "as it\nis\n"),
        ],
    );
}

#[test]
fn a_tree_is_printed_in_each_form_and_the_flat_one_can_be_fed_back() {
    let server = Server::start();
    let tree = r#"{"e":{},"h":{"10.0.0.1":{"a b":null}},"l":[1,{"k":2}],"t":"x"}"#;
    let flat = "r.e={}\nr.h[\"10.0.0.1\"][\"a b\"]=null\nr.l=[1,{\"k\":2}]\nr.t=\"x\"\n";
    ok(&server, &["put", "r", tree], "");
    let json = format!("{tree}\n");
    table(
        &server,
        &[
            (&["get", "r"], "", 0, &json),
            (&["get", "r", "--json"], "", 0, &json),
            (&["get", "r", "--flat"], "", 0, flat),
            (
                &["get", "r", "--yaml"],
                "",
                0,
                "e: {}\nh:\n  10.0.0.1:\n    a b: null\nl:\n  - 1\n  - k: 2\nt: x\n",
            ),
            (&["get", "r.t", "--version", "0"], "", 0, "x\n"),
            (&["get", "--flat"], "", 0, flat),
            (&["get", "r", "--json", "--flat"], "", 2, ""),
        ],
    );
    ok(&server, &["clear", "--yes"], "");
    ok(&server, &["tx"], flat);
    assert_eq!(ok(&server, &["get", "r"], ""), json);
    let internal = ok(&server, &["get", "r.t", "--internal"], "");
    for part in ["\"_value\":\"x\"", "\"_version\":0", "\"_oid\":\"t\""] {
        assert!(internal.contains(part), "{internal}");
    }
    assert_eq!(
        ok(&server, &["get", r"(r)\.(t|l)", "--regex"], ""),
        r#"{"r.l":{"groups":[["r"],["l"]],"instance":[1,{"k":2}]},"r.t":{"groups":[["r"],["t"]],"instance":"x"}}"#
            .to_string()
            + "\n"
    );
}

#[test]
fn exit_codes_say_what_to_do_next() {
    let server = Server::start();
    ok(&server, &["put", "a.b", "1"], "");
    table(
        &server,
        &[
            // 1: an error without a code of its own.
            (&["put", "a", "1"], "", 1, ""),
            (&["put", "a..b", "1"], "", 1, ""),
            (&["put", "_x.y", "1"], "", 1, ""),
            (&["import", "/nonexistent.json"], "", 1, ""),
            // 2: no such command line.
            (&["gett", "a"], "", 2, ""),
            (&["get", "a", "--nope"], "", 2, ""),
            (&["get", "a", "b"], "", 2, ""),
            (&["put", "a.b"], "", 2, ""),
            (&["get", "a", "--version", "x"], "", 2, ""),
            (&["get", "a", "--if-version", "1"], "", 2, ""),
            (&["get", "a", "--url", "ftp://x"], "", 2, ""),
            (&["get", "a", "--id", "no good"], "", 2, ""),
            (&["clear"], "", 2, ""),
            (&[], "", 2, ""),
            // 3: nothing there.
            (&["get", "a.c"], "", 3, ""),
            (&["get", "a.b", "--version", "99"], "", 3, ""),
            (&["del", "a.c"], "", 3, ""),
            (&["rollback", "a", "-5"], "", 3, ""),
            (&["history", "nothing"], "", 3, ""),
            (&["rpc", "a.nothing"], "", 3, ""),
            // 4: somebody was faster.
            (&["put", "a.b", "2", "--if-version", "7"], "", 4, ""),
            (&["put", "a.b", "2", "--if-version", "-1"], "", 4, ""),
            (&["del", "a.b", "--if-version", "7"], "", 4, ""),
            (&["tx"], "put a.c 1\nif-version 7 put a.b 2\n", 4, ""),
            // All that changed nothing.
            (&["get", "--flat"], "", 0, "a.b=1\n"),
            (&["put", "a.b", "2", "--if-version", "0"], "", 0, ""),
            (&["put", "a.c", "2", "--if-version", "-1"], "", 0, ""),
        ],
    );
}

#[test]
fn a_server_that_is_not_there_is_5_and_named() {
    let dir = Scratch::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [format!("unix:{}/none", dir.path().display()), format!("http://127.0.0.1:{port}")] {
        for args in [&["get", "a"][..], &["put", "a.b", "1"], &["del", "a.b"], &["tx"], &["watch", "a"]] {
            let (code, out, err) = run(tega_command().args(args).args(["--url", &url]), "put a.b 1\n");
            assert_eq!((code, out.as_str()), (5, ""), "{args:?} {err}");
            assert!(err.contains(&url), "{err}");
        }
        let (code, _, err) = run(tega_command().arg("roots").env("TEGA_URL", &url), "");
        assert!(code == 5 && err.contains(&url), "{code} {err}");
    }
}

/// A server that takes whatever it's asked and hangs up without an answer, as one that dies then would.
struct HangsUp {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HangsUp {
    fn start() -> HangsUp {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let over = Arc::new(AtomicBool::new(false));
        let flag = over.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // Several at once: the verbs are tried side by side. A thread ends with its client.
                std::thread::spawn(move || stream.and_then(HangsUp::meet));
            }
        });
        HangsUp { port, over, thread: Some(thread) }
    }

    fn meet(mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(crate::server::PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut line, mut key, mut length) = (String::new(), None, 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if lower.starts_with("sec-websocket-key:") {
                key = line.split_once(':').map(|(_, key)| key.trim().to_string());
            }
            if let Some(given) = lower.strip_prefix("content-length:") {
                length = given.trim().parse().unwrap();
            }
        }
        let Some(key) = key else {
            let mut body = vec![0; length];
            return reader.read_exact(&mut body);
        };
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        // SESSION comes, is acknowledged, and the request after it is taken.
        let mut frame = [0; 4096];
        let _session = reader.read(&mut frame)?;
        let ack = b"SESSIONACK fake";
        stream.write_all(&[&[0x81, ack.len() as u8], &ack[..]].concat())?;
        let _request = reader.read(&mut frame)?;
        Ok(())
    }
}

impl Drop for HangsUp {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn a_server_that_hangs_up_is_6_for_a_write_and_5_for_a_question() {
    let server = HangsUp::start();
    let url = format!("http://127.0.0.1:{}", server.port);
    std::thread::scope(|scope| {
        for (args, code) in [
            (&["put", "a.b", "1"][..], 6),
            (&["del", "a.b"], 6),
            (&["rollback", "a", "-1"], 6),
            (&["tx"], 6),
            (&["rpc", "a.f"], 6),
            (&["clear", "--yes-all-replicas"], 6),
            (&["get", "a.b"], 5),
            (&["status"], 5),
        ] {
            let url = &url;
            scope.spawn(move || {
                let (got, out, err) = run(tega_command().args(args).args(["--url", url]), "put a.b 1\n");
                assert_eq!((got, out.as_str()), (code, ""), "{args:?} {err}");
                assert!(err.contains(url), "{err}");
                // What can be repeated without doing it twice says how.
                let repeats = matches!(args[0], "put" | "del" | "rollback" | "tx");
                assert_eq!(err.contains("--request-id"), repeats, "{args:?} {err}");
            });
        }
    });
}

#[test]
fn the_same_request_id_does_it_once() {
    let server = Server::start();
    ok(&server, &["put", "a.b", "1", "--request-id", "x1"], "");
    ok(&server, &["put", "a.b", "2"], "");
    ok(&server, &["put", "a.b", "1", "--request-id", "x1"], "");
    assert_eq!(ok(&server, &["get", "a.b"], ""), "2\n");
    ok(&server, &["tx", "--request-id", "x2"], "put a.c 1\n");
    ok(&server, &["tx", "--request-id", "x2"], "put a.c 1\n");
    assert_eq!(ok(&server, &["roots"], ""), "a  2\n");
    let (code, _, err) = tega(&server, &["put", "a.b", "9", "--request-id", "x1"], "");
    assert_eq!(code, 1, "{err}");
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let server = Server::start();
    let lines = "# a comment\n\nput a.b 10.0.0.1\nput a[\"x y\"] {\"k\": 1}\na.c=\"flat\"\n\
                 {\"put\":\"b.d\",\"value\":[1]}\nif-version -1 put b.e 1\n";
    ok(&server, &["tx"], lines);
    let all = "a.b=\"10.0.0.1\"\na.c=\"flat\"\na[\"x y\"].k=1\nb.d=[1]\nb.e=1\n";
    assert_eq!(ok(&server, &["get", "--flat"], ""), all);
    // One commit: one version of each root.
    assert_eq!(ok(&server, &["roots"], ""), "a  0\nb  0\n");
    table(
        &server,
        &[
            (&["tx"], "put a.b 1\nput\n", 1, ""),
            (&["tx"], "put a.b 1\nnonsense a\n", 1, ""),
            (&["tx"], "put a.b 1\ndel a.nothing\n", 3, ""),
            (&["tx"], "put a.b 1\nput b 1\n", 1, ""),
            (&["tx"], "del a.b\nif-version 9 del b.d\n", 4, ""),
            (&["tx"], "", 0, ""),
            (&["get", "--flat"], "", 0, all),
            (&["tx"], "del a.b\ndel a.c\nput b.d 2\n", 0, ""),
            (&["get", "--flat"], "", 0, "a[\"x y\"].k=1\nb.d=2\nb.e=1\n"),
        ],
    );
    let many: String = (0..10_001).map(|n| format!("a.n{n}=1\n")).collect();
    let (code, _, err) = tega(&server, &["tx"], &many);
    assert!(code == 1 && err.contains("nothing done") && err.contains("10000"), "{code} {err}");
}

#[test]
fn an_export_is_imported_again_also_one_that_is_larger_than_a_transaction() {
    let server = Server::start();
    // Two roots of which each fits into a request, and both into none.
    let value = "x".repeat(400);
    let tree: String = (0..1500).map(|n| format!("\"k{n}\":\"{value}\",")).collect();
    let tree = format!("{{{}}}", tree.trim_end_matches(','));
    let file = |name: &str| server.dir().join(name).display().to_string();
    for name in ["one.json", "two.json"] {
        std::fs::write(file(name), &tree).unwrap();
    }
    ok(&server, &["import", &file("one.json"), &file("two.json")], "");
    let all = ok(&server, &["get"], "");
    assert!(all.len() > 1 << 20);
    for form in ["--flat", "--json"] {
        std::fs::write(file("all"), ok(&server, &["export", form], "")).unwrap();
        ok(&server, &["clear", "--yes"], "");
        let args: &[&str] = if form == "--flat" { &["import", "--flat"] } else { &["import", "--json", "/"] };
        let (code, out, err) = tega(&server, &[args, &[file("all").as_str()]].concat(), "");
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert_eq!(err.contains("one after the other"), form == "--flat", "{err}");
        assert!(ok(&server, &["get"], "") == all, "{form} came back different");
    }
    ok(&server, &["import", "three.four", &file("one.json")], "");
    assert_eq!(ok(&server, &["get", "three.four.k7"], ""), format!("{value}\n"));
    let (code, _, err) = tega(&server, &["import", "five", "-"], "{\"a\":");
    assert!(code == 1 && err.contains("line 1"), "{code} {err}");
}

#[test]
fn keys_of_routers_are_exported_and_compared_only_when_asked_for_and_never_imported_as_stars() {
    let server = Server::start();
    ok(
        &server,
        &["put", "r.uci.wireless.w", r#"{".type":"wifi-iface","key":"correct horse","ssid":"home"}"#],
        "",
    );
    ok(&server, &["put", "r.uci.wireless.w.key", "battery staple"], "");
    for form in ["--flat", "--json", "--yaml"] {
        let (code, out, err) = tega(&server, &["export", "r", form], "");
        assert!(code == 0 && out.contains("***") && !out.contains("staple"), "{out}");
        assert!(err.contains("1 key or password is hidden") && err.contains("--secrets"), "{err}");
        let args: &[&str] =
            if form == "--flat" { &["import", form, "-"] } else { &["import", form, "r", "-"] };
        let (code, _, err) = tega(&server, args, &out);
        assert!(code == 1 && err.contains("r.uci.wireless.w.key is ***"), "{code} {err}");
    }
    let stars = tega(&server, &["export", "r.uci", "--json"], "").1;
    for (args, stdin) in
        [(&["tx"][..], "r.uci.wireless.w.key=\"***\"\n"), (&["put", "r.uci", "-"], stars.as_str())]
    {
        let (code, _, err) = tega(&server, args, stdin);
        assert!(code == 1 && err.contains("r.uci.wireless.w.key is ***"), "{code} {err}");
    }
    let all = ok(&server, &["export", "--flat", "--secrets"], "");
    assert!(all.contains("battery staple"), "{all}");
    ok(&server, &["import", "--flat", "-"], &all);
    assert_eq!(ok(&server, &["get", "r.uci.wireless.w.key"], ""), "battery staple\n");
    let hidden = "- r.uci.wireless.w.key=\"***\"\n+ r.uci.wireless.w.key=\"***\"\n";
    assert_eq!(ok(&server, &["diff", "r", "0", "1"], ""), hidden);
    assert!(!ok(&server, &["diff", "r", "0", "1", "--json"], "").contains("horse"));
    let shown = "- r.uci.wireless.w.key=\"correct horse\"\n+ r.uci.wireless.w.key=\"battery staple\"\n";
    assert_eq!(ok(&server, &["diff", "r", "0", "1", "--secrets"], ""), shown);
}

#[test]
fn a_reader_that_goes_away_is_success() {
    let server = Server::start();
    let value = format!("\"{}\"", "x".repeat(900_000));
    assert_eq!(http(&server, "PUT /a/b", &[], value).status, 200);
    for args in [&["export"][..], &["get", "a.b"], &["get", "--flat"], &["log", "--data", "data"]] {
        let mut command = tega_command();
        command.args(args).env("TEGA_URL", server.unix_url()).current_dir(server.dir());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn the_past_is_told_compared_and_brought_back() {
    let server = Server::start();
    ok(&server, &["put", "a.b", "1", "--id", "alice"], "");
    ok(&server, &["put", "a.c", "{\"x y\":2}", "--id", "bob"], "");
    ok(&server, &["del", "a.b"], "");
    table(
        &server,
        &[
            (&["get", "a", "--version", "-1"], "", 0, "{\"b\":1,\"c\":{\"x y\":2}}\n"),
            (&["get", "a", "--version", "0"], "", 0, "{\"b\":1}\n"),
            (&["diff", "a", "0"], "", 0, "- a.b=1\n+ a.c[\"x y\"]=2\n"),
            (&["diff", "a", "1", "0"], "", 0, "- a.c[\"x y\"]=2\n"),
            (&["diff", "a", "1", "1"], "", 0, ""),
            (&["rollback", "a", "0"], "", 0, ""),
            (&["get", "a"], "", 0, "{\"b\":1}\n"),
            (&["rollback", "a", "-1"], "", 0, ""),
            (&["get", "a"], "", 0, "{\"c\":{\"x y\":2}}\n"),
            (&["roots"], "", 0, "a  4\n"),
            (&["roots", "--json"], "", 0, "{\"a\":4}\n"),
        ],
    );
    let history = ok(&server, &["history", "a"], "");
    let lines: Vec<Vec<&str>> = history.lines().map(|line| line.split_whitespace().collect()).collect();
    let told: Vec<String> =
        lines.iter().map(|words| format!("{} {}", words[0], words[2..].join(" "))).collect();
    assert_eq!(told[..3], ["0 alice put a.b", "1 bob put a.c", "2 anonymous delete a.b"]);
    assert!(told[3].starts_with("3 anonymous rollback to 0"), "{history}");
    assert!(told[4].starts_with("4 anonymous rollback to 2"), "{history}");
    let json = json(&ok(&server, &["history", "a", "--json"], ""));
    assert_eq!(json.as_list().unwrap().items().len(), 5);
}

#[test]
fn status_sessions_snapshot_and_log_answer() {
    let server = Server::start();
    ok(&server, &["put", "a.b", "1"], "");
    // Beside a server that has the directory.
    let data = server.data().display().to_string();
    let log = ok(&server, &["log", "--data", &data], "");
    assert!(log.contains("{\"put\":\"a.b\",\"value\":1}"), "{log}");
    ok(&server, &["snapshot"], "");
    let status = ok(&server, &["status"], "");
    for part in ["store:\n", "  durability: always\n", "door:\n"] {
        assert!(status.contains(part), "no {part:?} in {status}");
    }
    let status = json(&ok(&server, &["status", "--json"], ""));
    assert!(status.get("store").is_some(), "{status}");
    let _session = Ws::session(&server, "r1", "local 2");
    assert!(ok(&server, &["sessions"], "").starts_with("r1 "));
    let (code, _, err) = tega(&server, &["log", "--data", "nowhere"], "");
    assert!(code == 1 && err.contains("nowhere"), "{code} {err}");
}

#[test]
fn every_verb_has_help() {
    let server = Server::start();
    let overview = ok(&server, &["help"], "");
    for row in VERBS {
        assert!(overview.contains(&format!("\n  {}", row.name)), "{} isn't in {overview}", row.name);
        let help = ok(&server, &["help", row.name], "");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.starts_with(&format!("usage: tega {}", row.name)), "{help}");
        assert!(words(&help).contains(&words(row.help)), "{help}");
        assert_eq!(ok(&server, &[row.name, "--help"], ""), help);
    }
    let (code, _, err) = tega(&server, &["help", "serv"], "");
    assert!(code == 2 && err.contains("serve"), "{err}");
    assert_eq!(ok(&server, &["version"], ""), format!("tega {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(ok(&server, &["--version"], ""), format!("tega {}\n", env!("CARGO_PKG_VERSION")));
}
