//! The verbs that stay: watching, messages, calls and ephemeral nodes; the commands of the original; its names.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use rustix::process::Signal;

use crate::server::{Running, Scratch, Server, binary, eventually, ok, program, run, tega, tega_command};
use crate::wire::{Ws, http, http_unix, json};

/// Starts a verb that stays.
fn staying(server: &Server, args: &[&str]) -> Running {
    let mut command = tega_command();
    command.args(args).env("TEGA_URL", server.unix_url()).current_dir(server.dir());
    Running::start(command.stdin(Stdio::null()))
}

/// Waits until somebody has subscribed to this channel.
fn subscribed(server: &Server, channel: &str) {
    eventually(&format!("a subscriber of {channel}"), || {
        http_unix(server, "GET /_channels", &[], "").json().get(channel).is_some()
    });
}

fn lines(running: &mut Running, count: usize) -> Vec<String> {
    (0..count).map(|_| running.line().unwrap_or_else(|| panic!("it ended: {}", running.said()))).collect()
}

#[test]
fn watch_prints_changes_and_goes_on_over_a_restart_of_the_server() {
    let mut server = Server::start();
    ok(&server, &["put", "a.b", "0"], "");
    let mut watch = staying(&server, &["watch", "a", "-n", "5"]);
    subscribed(&server, "a");
    ok(&server, &["put", "a.b", "10.0.0.1"], "");
    ok(&server, &["tx"], "put a[\"x y\"] {\"k\":[1]}\ndel a.b\n");
    assert_eq!(lines(&mut watch, 3), ["put a.b 10.0.0.1", "put a[\"x y\"] {\"k\":[1]}", "del a.b"]);

    server.kill();
    server.restart();
    // Whether it is back by now or not: nothing is missed, and nothing told twice.
    ok(&server, &["put", "a.c", "1"], "");
    assert_eq!(lines(&mut watch, 1), ["put a.c 1"]);
    assert!(server.stop().success());
    server.restart();
    ok(&server, &["put", "a.c", "2"], "");
    assert_eq!(lines(&mut watch, 1), ["put a.c 2"]);
    assert!(watch.wait().success(), "{}", watch.said());
    assert_eq!(watch.line(), None);
}

#[test]
fn a_command_is_run_with_what_is_there_and_after_each_change_and_loses_none() {
    let mut server = Server::start();
    let file = |name: &str| server.dir().join(name);
    let (log, go) = (file("log"), file("go"));
    let read = |log: &std::path::Path| std::fs::read_to_string(log).unwrap_or_default();
    // It says what it read, and then waits until it may end.
    let command = "cat >> log; echo run >> runs; n=0; \
                   while [ ! -e go ] && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.05; done; rm -f go";
    let _watch = staying(&server, &["watch", "a", "--exec", command]);
    eventually("it ran though nothing is there", || {
        read(&log) == "{\"nodes\":[{\"path\":\"a\"}],\"reason\":\"start\"}\n"
    });
    // Many changes while it runs are one more run, with the last of them.
    for n in 0..20 {
        ok(&server, &["put", "a.b", &n.to_string()], "");
    }
    std::fs::write(&go, "").unwrap();
    let second = "{\"nodes\":[{\"path\":\"a\",\"value\":{\"b\":19},\"version\":19}],\"reason\":\"change\"}\n";
    eventually("it ran again", || read(&log).ends_with(second));
    std::fs::write(&go, "").unwrap();
    eventually("that was all", || !go.exists());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(read(&file("runs")), "run\nrun\n");
    server.kill();
    server.restart();
    ok(&server, &["put", "a.b", "x"], "");
    eventually("it ran after the restart", || {
        // Once more before, where the connection was there again before the change.
        std::fs::write(&go, "").unwrap();
        read(&log).contains("\"b\":\"x\"")
    });
    std::fs::write(&go, "").unwrap();
}

#[test]
fn a_command_that_fails_is_run_again_until_it_succeeds() {
    let server = Server::start();
    ok(&server, &["put", "a", r#"{"b c":1,"d":["x"]}"#], "");
    let command = "echo $TEGA_PATH $TEGA_REASON >> log; cat >> log; [ -e ok ] || { touch ok; exit 3; }";
    let args = ["watch", "a", "--flat", "-n", "1", "--exec", command];
    let (code, out, err) = tega(&server, &args, "");
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("exit status: 3") && err.contains("again in 1 s"), "{err}");
    let leaves = "a[\"b c\"]=1\na.d=[\"x\"]\n";
    let log = std::fs::read_to_string(server.dir().join("log")).unwrap();
    assert_eq!(log, format!("a start\n{leaves}a retry\n{leaves}"));
    for (args, why) in [
        (&["watch", "a", "--exec", "true", "--regex"][..], "--regex doesn't go with --exec"),
        (&["watch", "a", "--exec", "true", "--since", "1"], "--since doesn't go with --exec"),
        (&["watch", "a", "--flat"], "--exec"),
    ] {
        let (code, _, err) = tega(&server, args, "");
        assert!(code == 2 && err.contains(why), "{code} {err}");
    }
    let (code, _, err) = tega(&server, &["watch", "a", "--exec", "exit 1", "--timeout", "0.3"], "");
    assert!(code == 1 && err.contains("the last run failed"), "{code} {err}");
}

#[test]
fn watch_tells_what_was_missed_and_takes_json_and_regexes() {
    let server = Server::start();
    for n in 0..4 {
        ok(&server, &["put", "a.b", &n.to_string(), "--id", "alice"], "");
    }
    assert_eq!(ok(&server, &["watch", "a.b", "--since", "1", "-n", "2"], ""), "put a.b 2\nput a.b 3\n");
    let told = json(&ok(&server, &["watch", "a.b", "--since", "2", "-n", "1", "--json"], ""));
    for (name, value) in [("path", "\"a.b\""), ("instance", "3"), ("tega_id", "\"alice\""), ("version", "3")]
    {
        assert_eq!(told.get(name).map(ToString::to_string).as_deref(), Some(value), "{told}");
    }
    let mut watch = staying(&server, &["watch", "r.*", "--regex", "-n", "1"]);
    subscribed(&server, "r.*");
    ok(&server, &["put", "a.b", "9"], "");
    ok(&server, &["put", "r-1.x", "true"], "");
    assert_eq!(lines(&mut watch, 1), ["put r-1.x true"]);
    assert!(watch.wait().success());
    let (code, out, err) = run(
        tega_command().args(["watch", "a", "--timeout", "0.01", "-n", "1", "--url", &server.unix_url()]),
        "",
    );
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
}

#[test]
fn what_is_published_is_printed_by_its_subscribers() {
    let server = Server::start();
    let mut sub = staying(&server, &["sub", "alarm", "-n", "3"]);
    subscribed(&server, "alarm");
    ok(&server, &["pub", "alarm", "it burns"], "");
    ok(&server, &["pub", "other", "not for us"], "");
    ok(&server, &["pub", "alarm", "{\"where\":[1,2]}"], "");
    ok(&server, &["pub", "alarm", "-"], "\"from a pipe\"");
    assert_eq!(lines(&mut sub, 3), ["it burns", "{\"where\":[1,2]}", "from a pipe"]);
    assert!(sub.wait().success(), "{}", sub.said());
}

/// A session that serves `fn.hello`: it answers each call with its arguments.
fn echo(server: &Server, calls: usize) -> std::thread::JoinHandle<()> {
    let mut ws = Ws::session(server, "r1", "local 2");
    let answer = ws.ask(1, "PUT", "fn.hello", "{\"value\":\"%r1.hello\",\"ephemeral\":true}");
    assert!(answer.get("error").is_none(), "{answer}");
    std::thread::spawn(move || {
        for _ in 0..calls {
            let request = ws.next();
            let (line, body) = request.split_once('\n').unwrap();
            let seq = line.strip_prefix("REQUEST ").unwrap().split(' ').next().unwrap();
            ws.send(&format!("RESPONSE {seq} RPC r1\n{body}"));
        }
    })
}

#[test]
fn a_function_of_a_session_is_called_with_words_of_the_command_line() {
    let server = Server::start();
    let session = echo(&server, 2);
    let out = ok(&server, &["rpc", "fn.hello", "you", "2", "[3]", "name=Alice", "n=4"], "");
    assert_eq!(out, "{\"args\":[\"you\",2,[3]],\"kwargs\":{\"n\":4,\"name\":\"Alice\"}}\n");
    assert_eq!(ok(&server, &["rpc", "fn.hello", "--yaml"], ""), "args: []\nkwargs: {}\n");
    session.join().unwrap();
    // Its session is over: nobody is there to answer.
    eventually("the function goes with its session", || {
        http(&server, "GET /fn/hello", &[], "").status == 404
    });
}

#[test]
fn an_ephemeral_node_lives_as_long_as_its_command() {
    let server = Server::start();
    ok(&server, &["put", "a.b", "1"], "");
    let mut put = staying(&server, &["put", "--ephemeral", "a.here", "{\"since\":1}", "--id", "me"]);
    eventually("the node", || http(&server, "GET /a/here", &[], "").status == 200);
    assert_eq!(ok(&server, &["get", "a"], ""), "{\"b\":1,\"here\":{\"since\":1}}\n");
    assert_eq!(ok(&server, &["roots"], ""), "a  0\n");
    put.signal(Signal::INT);
    put.wait();
    assert!(put.said().contains("until this command ends"), "{}", put.said());
    eventually("the node goes", || http(&server, "GET /a/here", &[], "").status == 404);
}

#[test]
fn the_commands_of_the_original_work_from_a_pipe() {
    let server = Server::start();
    let session = echo(&server, 1);
    let script = "put a.b\nx: 1\nlist: [1, two]\n\nget a\ngeta a.b.x\nget a.b.x\n\
                  begin\nput a.c 2\ncand\ncommit\nbegin\nput a.c 3\ncancel\nget a.c\n\
                  getr (a)\\.c\nold\nroots\nids\nfn.hello(1, name='Alice')\nid\n\
                  rollback a -1\ndel a.b.x\nget a\npute e.f 1\nget e.f\nss\n\
                  sub x\nunsub x\nsubr y.*\nunsubr y.*\nunsub\npub x hello\n\
                  channels\nsubscribers\nglobal\nforwarders\nplugins\nh\nq\nget never.reached\n";
    let (code, out, err) =
        run(tega_command().args(["cli", "--id", "me", "--url", &server.unix_url()]), script);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    session.join().unwrap();
    let begun = out.lines().position(|line| line.starts_with("txid: ")).unwrap();
    let before: Vec<&str> = out.lines().take(begun).collect();
    let first = before.join("\n");
    assert!(first.starts_with("b:\n  list:\n    - 1\n    - two\n  x: 1\n"), "{out}");
    assert!(first.contains("_value: 1\n") && first.contains("_version: 0\n"), "{out}");
    assert!(first.ends_with("\n1"), "{out}");
    for part in [
        // cand, and the get after the commit and the cancelled transaction.
        "a:\n  b:\n    list:\n      - 1\n      - two\n    x: 1\n  c: 2\n",
        "\n2\na.c:\n  groups:\n    - - a\n  instance: 2\n",
        "args:\n  - 1\nkwargs:\n  name: Alice\n",
        "\nme\n",
        "b:\n  list:\n    - 1\n    - two\n",
        "getr REGEX",
    ] {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    assert_eq!(http(&server, "GET /a", &[], "").text(), "{\"b\":{\"list\":[1,\"two\"]}}");
    eventually("the ephemeral node goes", || http(&server, "GET /e/f", &[], "").status == 404);
}

#[test]
fn a_script_of_the_original_goes_on_after_a_failure_and_ends_with_its_code() {
    let server = Server::start();
    let script = "get a.nothing\nnonsense\nsync\nput a.b 1\nclear\nput a.c 2\n";
    let (code, out, err) = run(tega_command().args(["cli", "--url", &server.unix_url()]), script);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert_eq!(err.lines().count(), 3, "{err}");
    assert_eq!(ok(&server, &["get", "--flat"], ""), "a.c=2\n");
}

#[test]
fn what_a_script_publishes_is_through_when_it_ends() {
    let server = Server::start();
    let mut sub = staying(&server, &["sub", "alarm", "-n", "1"]);
    subscribed(&server, "alarm");
    run(tega_command().args(["cli", "--url", &server.unix_url()]), "pub alarm fire\n");
    assert_eq!(lines(&mut sub, 1), ["fire"]);
}

#[test]
fn the_names_and_options_of_the_original_work_through_symbolic_links() {
    let dir = Scratch::new();
    let link = |name: &str| {
        let link = dir.path().join(name);
        symlink(binary(), &link).unwrap();
        link
    };
    let (server, cli) = (link("tega-server"), link("tega-cli"));
    std::fs::create_dir(dir.path().join("plugins")).unwrap();
    std::fs::write(dir.path().join("plugins/old.py"), "print('no')\n").unwrap();
    let mut command = program(&server);
    command.args(["-d", "data", "-t", "global", "-p", "0", "-l", "3", "-L", "DEBUG", "-e", "plugins"]);
    let mut running = Running::start(command.current_dir(dir.path()).stdin(Stdio::null()));
    let mut port = None;
    loop {
        let line = running.line().unwrap_or_else(|| panic!("it ended: {}", running.said()));
        if let Some(at) = line.strip_prefix("listening on http://127.0.0.1:") {
            port = Some(at.to_string());
        }
        if line.starts_with("listening on unix:") {
            break;
        }
    }
    let port = port.unwrap();
    let script = "put a.b 1\nput a.b 2\nput a.b 3\nput a.b 4\nold\nid\n";
    let (code, out, err) = run(program(&cli).args(["-a", "127.0.0.1", "-p", &port, "-t", "me"]), script);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("me\n"), "{out}");
    // -l 3 keeps three.
    let kept = out.lines().filter(|line| line.trim_start_matches([' ', '-']).parse::<u32>().is_ok()).count();
    assert_eq!(kept, 3, "{out}");
    let said = running.said();
    assert!(said.contains("loopback only") && said.contains("plugins"), "{said}");
    running.signal(Signal::TERM);
    assert!(running.wait().success());

    let (code, _, err) = run(program(&cli).args(["-s"]), "");
    assert!(code == 2 && err.contains("-s"), "{code} {err}");
}

#[test]
fn the_originals_options_of_a_local_server_link_it_to_its_global() {
    let global = Server::with(&["--id", "global"]);
    assert_eq!(http(&global, "PUT /config-1/a", &[], "1").status, 200);
    let dir = Scratch::new();
    let link = dir.path().join("tega-server");
    symlink(binary(), &link).unwrap();
    let mut command = program(&link);
    command.args(["-t", "local1", "-d", "d", "-p", "0", "-H", "127.0.0.1"]);
    command.args(["-P", &global.address().port().to_string(), "-C", "config-1", "also", "-O", "op-1"]);
    let mut running = Running::start(command.current_dir(dir.path()).stdin(Stdio::null()));
    let url = loop {
        let line = running.line().unwrap_or_else(|| panic!("it ended: {}", running.said()));
        if let Some(url) = line.strip_prefix("listening on http://127.0.0.1:") {
            break format!("http://127.0.0.1:{url}");
        }
    };
    let local = |args: &[&str]| run(tega_command().args(args).args(["--url", &url]), "");
    eventually("the configuration comes", || local(&["get", "config-1.a"]).1 == "1\n");
    assert_eq!(local(&["put", "op-1.b", "2"]).0, 0);
    eventually("what it is home of goes", || http(&global, "GET /op-1/b", &[], "").text() == "2");
    // As in the original, any other root is its own.
    assert_eq!(local(&["put", "own.c", "3"]).0, 0);
    assert_eq!(http(&global, "GET /own/c", &[], "").status, 404);
}
