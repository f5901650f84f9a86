//! Plugins: shell scripts in a directory serve calls and hear of changes, within their limits, and the server doesn't suffer
//! from any of them.
//!
//! The scripts are for dash and busybox ash alike; `TEGA_SH` names another shell than /bin/sh (`/bin/busybox ash`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tega::value::Value;

use crate::server::{Scratch, Server, eventually, ok};
use crate::wire::{Answer, Frame, Http, Ws, http, json};

/// A directory of plugins.
pub(crate) struct Plugins(Scratch);

impl Plugins {
    pub(crate) fn new() -> Plugins {
        let dir = Scratch::new();
        fs::create_dir(dir.path().join("p")).unwrap();
        chmod(&dir.path().join("p"), 0o755);
        Plugins(dir)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.0.path().join("p")
    }

    /// A file beside the plugins, for them to leave traces in.
    pub(crate) fn trace(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn traced(&self, name: &str) -> String {
        fs::read_to_string(self.trace(name)).unwrap_or_default()
    }

    /// Puts a plugin in place, as an installer does: by a rename. `DIR` in the script is where traces go.
    pub(crate) fn put(&self, name: &str, script: &str) {
        let shell = std::env::var("TEGA_SH").unwrap_or("/bin/sh".into());
        let script = script.replace("DIR", &self.0.path().display().to_string());
        let new = self.0.file("new", format!("#!{shell}\n{script}"));
        chmod(&new, 0o755);
        fs::rename(new, self.dir().join(name)).unwrap();
    }

    /// A server with them, and with `more` options, once these plugins are loaded.
    pub(crate) fn serve(&self, loaded: &[&str], more: &[&str]) -> Server {
        let dir = self.dir().display().to_string();
        let mut args = vec!["--id", "r1", "--plugins", &dir];
        args.extend(more);
        let server = Server::with(&args);
        self.wait(&server, loaded);
        server
    }

    pub(crate) fn wait(&self, server: &Server, loaded: &[&str]) {
        for name in loaded {
            eventually(&format!("{name} is loaded"), || {
                let now = state(server, name);
                assert_ne!(now.as_deref(), Some("refused"), "{}", told(server));
                now.as_deref() == Some("loaded")
            });
        }
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn told(server: &Server) -> Value {
    http(server, "GET /_plugins", &[], "").json()
}

pub(crate) fn member(server: &Server, name: &str, member: &str) -> Option<Value> {
    told(server).get(name)?.get(member).cloned()
}

pub(crate) fn number(server: &Server, name: &str, of: &str) -> i64 {
    member(server, name, of).and_then(|number| number.as_int()).unwrap_or(-1)
}

pub(crate) fn state(server: &Server, name: &str) -> Option<String> {
    member(server, name, "state")?.as_str().map(String::from)
}

pub(crate) fn call(server: &Server, path: &str, body: &str) -> Answer {
    http(server, &format!("POST /_rpc?tega_id=me&path={path}"), &[], body)
}

/// What a call was refused with: its code and message.
#[track_caller]
fn refused(answer: &Answer) -> (String, String) {
    let error = answer.json();
    let error = error.get("error").unwrap_or_else(|| panic!("no refusal: {:.200}", answer.text()));
    let text = |name| error.get(name).and_then(Value::as_str).unwrap().to_string();
    (text("code"), text("message"))
}

/// How many processes of a group live.
fn alive(group: &str) -> usize {
    let of_group = |stat: String| {
        let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let state = fields.next().unwrap().to_string();
        fields.nth(1) == Some(group.trim()) && state != "Z" && state != "X"
    };
    let entries = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| of_group(stat.clone())).count()
}

pub(crate) const SYS: &str = r#"
# As one written for rpcd: it knows nothing of tega.
case "$1" in
list) echo '{ "status": {}, "echo": { "text": "str", "n": 32, "on": true }, "size": {}, "env": {}, "quiet": {} }' ;;
call)
    case "$2" in
    status) echo '{ "up": true, "result": 7 }' ;;
    echo) cat ;;
    size) wc -c ;;
    env) printf '"%s %s"\n' "$(pwd)" "$(env | grep -v '^PWD=\|^OLDPWD=\|^SHLVL=\|^_=' | sort | tr '\n' ' ')" ;;
    quiet) ;;
    esac
    ;;
esac
"#;

#[test]
fn a_plugin_that_was_written_for_rpcd_is_called_by_its_leaves() {
    let plugins = Plugins::new();
    plugins.put("sys", SYS);
    let server = plugins.serve(&["sys"], &[]);
    let leaf = http(&server, "GET /operational-r1/rpc/sys", &[], "").json();
    assert_eq!(leaf.get("echo").and_then(Value::as_str), Some("%sys.echo"));
    let path = |method| format!("operational-r1.rpc.sys.{method}");
    // What it prints is the result, also where it looks like ours.
    assert_eq!(call(&server, &path("status"), "").text(), r#"{"result":{"result":7,"up":true}}"#);
    assert_eq!(ok(&server, &["rpc", &path("echo"), "text=a b", "n=3"], ""), "{\"n\":3,\"text\":\"a b\"}\n");
    assert_eq!(call(&server, &path("echo"), r#"{"args":[{"x":[1]}]}"#).text(), r#"{"result":{"x":[1]}}"#);
    assert_eq!(call(&server, &path("echo"), "").text(), r#"{"result":{}}"#);
    assert_eq!(call(&server, &path("quiet"), "").text(), r#"{"result":null}"#);
    let (code, message) = refused(&call(&server, &path("echo"), r#"{"args":[1]}"#));
    assert!(code == "bad_request" && message.contains("by name"), "{message}");
    let long = "x".repeat(1_000_000);
    let answer = call(&server, &path("size"), &format!("{{\"kwargs\":{{\"a\":\"{long}\"}}}}"));
    assert_eq!(answer.text(), r#"{"result":1000008}"#);
    assert_eq!(
        call(&server, &path("env"), "").json().get("result").and_then(Value::as_str).map(str::trim),
        Some(&*format!(
            "/ HOME=/ PATH=/usr/sbin:/usr/bin:/sbin:/bin TEGA_CALLER=me TEGA_ID=r1 TEGA_PLUGIN=sys TEGA_SOCKET={}",
            server.socket().display()
        ))
    );
    // No caller, none told.
    let answer = http(&server, &format!("POST /_rpc?path={}", path("env")), &[], "");
    assert!(!answer.text().contains("TEGA_CALLER"), "{}", answer.text());
    assert_eq!(call(&server, &path("nothing"), "").code(), "not_found");
    // Who may write elsewhere makes no other way in.
    ok(&server, &["put", "mine.status", "%sys.status"], "");
    assert!(refused(&call(&server, "mine.status", "")).1.contains("serves nothing at mine.status"));
}

#[test]
fn a_client_with_the_tega_id_of_a_plugin_takes_no_calls_from_it() {
    let plugins = Plugins::new();
    plugins.put("sys", SYS);
    let server = plugins.serve(&["sys"], &[]);
    let mut client = Ws::session(&server, "sys", "local 2");
    for n in 0..3 {
        let answer = call(&server, "operational-r1.rpc.sys.echo", &format!("{{\"kwargs\":{{\"n\":{n}}}}}"));
        assert_eq!(answer.text(), format!("{{\"result\":{{\"n\":{n}}}}}"));
    }
    client.send("REQUEST 1 GET - nothing.here\n{}");
    assert!(client.next().starts_with("RESPONSE 1 GET"), "it was asked to answer a call");
}

#[test]
fn what_a_plugin_says_of_itself_is_listed_and_so_is_what_is_not_used() {
    let plugins = Plugins::new();
    plugins.put("sys", SYS);
    plugins.put("open", SYS);
    chmod(&plugins.dir().join("open"), 0o777);
    plugins.put("garbage", "echo '{ hello'");
    plugins.put("fails", "echo no such device >&2; exit 3");
    plugins.put("moved", r#"[ "$1" = call ] || echo '{".path":"fn.{id}.x",".timeout":7,"f":{}}'; echo 1"#);
    fs::write(plugins.dir().join("old.py"), "print('no')\n").unwrap();
    let nowhere = plugins.trace("nowhere").display().to_string();
    let server = plugins.serve(&["sys"], &["--plugins", &nowhere]);
    let why = |name: &str| {
        eventually(&format!("{name} is refused"), || state(&server, name).as_deref() == Some("refused"));
        member(&server, name, "refused").unwrap().to_string()
    };
    assert!(why("open").contains("may write"));
    assert!(why("garbage").contains("no JSON"));
    let fails = why("fails");
    assert!(fails.contains("exit status: 3") && fails.contains("no such device"), "{fails}");
    assert!(why(&nowhere).contains("No such file"));
    eventually("moved prints two values", || state(&server, "moved").as_deref() == Some("refused"));
    assert!(server.said().contains("old.py") && server.said().contains("is no plugin"), "{}", server.said());
    let sys = told(&server).get("sys").cloned().unwrap();
    assert_eq!(sys.get("path").and_then(Value::as_str), Some("operational-r1.rpc.sys"));
    assert_eq!(
        sys.get("methods").and_then(|m| m.get("echo")).map(ToString::to_string).as_deref(),
        Some(r#"{"n":32,"on":true,"text":"str"}"#)
    );
    // Mended.
    plugins.put(
        "moved",
        r#"case $1 in list) echo '{".path":"fn.{id}.x",".timeout":7,"f":{}}' ;; *) echo 1 ;; esac"#,
    );
    let table = ok(&server, &["plugins", "--reload"], "");
    assert!(
        table.lines().any(|line| line.starts_with("sys ") && line.contains("operational-r1.rpc.sys")),
        "{table}"
    );
    assert!(table.contains("fn.r1.x") && table.contains("no such device"), "{table}");
    assert_eq!(call(&server, "fn.r1.x.f", "").text(), r#"{"result":1}"#);
    call(&server, "operational-r1.rpc.sys.status", "");
    assert_eq!((number(&server, "sys", "calls"), number(&server, "sys", "failures")), (1, 0));
    let metrics = http(&server, "GET /_metrics", &[], "");
    assert!(metrics.text().contains("tega_plugin_calls_total{plugin=\"sys\"} 1\n"));
}

const BAD: &str = r#"
case "$1" in
list) echo '{"floods":{},"forks":{},"leaves":{},"three":{},"killed":{},"garbage":{},"grows":{},"deaf":{},"complains":{}}' ;;
call)
    case "$2" in
    floods) line=0123456789012345678901234567890123456789012345678901234567890123
        line=$line$line$line$line$line$line$line$line
        i=0; while [ $i -lt 200000 ]; do echo $line; i=$((i+1)); done ;;
    forks) echo $$ > DIR/forks; i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done
        echo all > DIR/forked; exec head -c 100000000 /dev/zero ;;
    leaves) echo $$ > DIR/leaves; i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done; echo '"left"' ;;
    three) echo first >&2; echo no such device >&2; exit 3 ;;
    killed) kill -9 $$ ;;
    garbage) echo hello; echo you ;;
    grows) x=0123456789012345678901234567890123456789; while :; do x=$x$x; done ;;
    deaf) echo '"done"' ;;
    complains) i=0; while [ $i -lt 5000 ]; do echo "complaint number $i, of many" >&2; i=$((i+1)); done ;;
    esac
    ;;
esac
"#;

const SLEEPER: &str = r#"
case "$1" in
list) echo '{".timeout":1,"sleeps":{}}' ;;
call) echo $$ > DIR/sleeps; sleep 60 & sleep 60 ;;
esac
"#;

/// A misbehaviour, and what becomes of it: the code, and a part of the message.
type Fate = (&'static str, &'static str, &'static str);

/// Those that can be shown here.
fn fates() -> Vec<Fate> {
    let emulated = std::env::var_os("TEGA_RUNNER").is_some();
    if emulated {
        eprintln!("qemu passes no limit of memory on to the kernel: a plugin that grows is passed over");
    }
    FATES.into_iter().filter(|fate| !(emulated && fate.0 == "bad.grows")).collect()
}

const FATES: [Fate; 8] = [
    ("sleeper.sleeps", "timeout", "sleeper call sleeps: killed: still runs after 1 s"),
    ("bad.floods", "rpc_failed", "killed: printed more than 1048576 bytes"),
    ("bad.forks", "rpc_failed", "killed: printed more than 1048576 bytes"),
    ("bad.three", "rpc_failed", "bad call three: exit status: 3: first\nno such device"),
    ("bad.killed", "rpc_failed", "signal: 9"),
    ("bad.garbage", "rpc_failed", "it printed no JSON: line 1"),
    // dash dies of it, ash says so.
    ("bad.grows", "rpc_failed", "bad call grows: "),
    ("bad.complains", "rpc_failed", "killed: wrote more than 65536 bytes to standard error"),
];

#[test]
fn each_limit_ends_a_run_tells_its_caller_and_nobody_else_suffers() {
    let plugins = Plugins::new();
    plugins.put("bad", BAD);
    plugins.put("sleeper", SLEEPER);
    plugins.put("sys", SYS);
    let server = plugins.serve(&["bad", "sleeper", "sys"], &["--plugin-memory", "32"]);
    let fates = fates();
    std::thread::scope(|scope| {
        let run = |fate: &Fate| {
            let (server, path) = (&server, format!("operational-r1.rpc.{}", fate.0));
            (*fate, scope.spawn(move || call(server, &path, "")))
        };
        let calls: Vec<_> = fates.iter().map(run).collect();
        // Meanwhile the server answers others, and other plugins run.
        let mut others = 0;
        while calls.iter().any(|(_, call)| !call.is_finished()) {
            others += 1;
            assert_eq!(http(&server, &format!("PUT /a/n{}", others % 10), &[], "1").status, 200);
            assert_eq!(http(&server, "GET /a/n1", &[], "").status, 200);
            let answer = call(&server, "operational-r1.rpc.sys.status", "");
            assert_eq!(answer.text(), r#"{"result":{"result":7,"up":true}}"#);
        }
        assert!(others > 1);
        for ((method, code, part), call) in calls {
            let (told, message) = refused(&call.join().unwrap());
            assert!(told == code && message.contains(part), "{method}: {told} {message}");
        }
    });
    let failures = (number(&server, "bad", "failures"), number(&server, "sleeper", "failures"));
    assert_eq!(failures, (i64::try_from(fates.len()).unwrap() - 1, 1));
    assert!(member(&server, "bad", "error").unwrap().get("message").is_some());
    assert!(server.said().contains("plugin bad: no such device"), "stderr goes to the log");
    assert_eq!(plugins.traced("forked"), "all\n");
    for group in ["sleeps", "forks"] {
        eventually(&format!("nobody is left of {group}"), || alive(&plugins.traced(group)) == 0);
    }
    // One that ends well leaves nobody behind either.
    assert_eq!(call(&server, "operational-r1.rpc.bad.leaves", "").text(), r#"{"result":"left"}"#);
    eventually("nobody is left of leaves", || alive(&plugins.traced("leaves")) == 0);
    // What isn't read isn't waited for.
    let long = format!("{{\"kwargs\":{{\"a\":\"{}\"}}}}", "x".repeat(1_000_000));
    assert_eq!(call(&server, "operational-r1.rpc.bad.deaf", &long).text(), r#"{"result":"done"}"#);
    // One that goes away between the list and the call.
    fs::remove_file(plugins.dir().join("bad")).unwrap();
    let (code, message) = refused(&call(&server, "operational-r1.rpc.bad.deaf", ""));
    assert!(code == "rpc_failed" && message.contains("No such file"), "{code} {message}");
}

#[test]
fn four_run_at_a_time_of_one_plugin_and_sixteen_in_all_and_who_comes_too_much_is_told_at_once() {
    let plugins = Plugins::new();
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        plugins
            .put(name, r#"case $1 in list) echo '{"wait":{}}' ;; *) echo $$ >> DIR/pids; sleep 60 ;; esac"#);
    }
    let mut server = plugins.serve(&names, &[]);
    let mut ws = Ws::session(&server, "caller", "local 2");
    for seq in 1..=80 {
        ws.send(&format!("REQUEST {seq} RPC - operational-r1.rpc.a.wait\n{{}}"));
    }
    let mut busy: Vec<String> = Vec::new();
    while busy.len() < 12 {
        busy.extend(Some(ws.next()).filter(|frame| frame.starts_with("RESPONSE")));
    }
    assert!(busy.iter().all(|frame| frame.contains("too_many") && frame.contains("busy")), "{busy:?}");
    let of = |member: &str| number(&server, "a", member);
    assert_eq!((of("running"), of("waiting"), of("busy")), (4, 64, 12));
    for (seq, name) in (100..).zip(names[1..].iter().flat_map(|name| [name; 6])) {
        ws.send(&format!("REQUEST {seq} RPC - operational-r1.rpc.{name}.wait\n{{}}"));
    }
    let all = |member: &str| names.iter().map(|name| number(&server, name, member)).sum::<i64>();
    eventually("all have come", || all("waiting") + all("running") == 68 + 24);
    assert_eq!(all("running"), 16);
    assert_eq!(http(&server, "GET /operational-r1/rpc/a", &[], "").status, 200);
    eventually("all have begun", || plugins.traced("pids").lines().count() == 16);

    // The stop ends them all, tells their callers, and doesn't wait for anybody.
    let begun = Instant::now();
    server.process().signal(Signal::TERM);
    let mut ends = Vec::new();
    while let Ok(Frame::Text(text)) = ws.try_next() {
        ends.extend(Some(text).filter(|text| text.starts_with("RESPONSE")));
    }
    assert!(server.process().wait().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let with = |code: &str| ends.iter().filter(|end| end.contains(code)).count();
    assert_eq!((with("closing"), with("outcome_unknown")), (68 + 24 - 16, 16), "{ends:?}");
    let groups = plugins.traced("pids");
    eventually("nobody is left", || groups.lines().all(|group| alive(group) == 0));
}

#[test]
fn a_thousand_calls_of_fifty_clients_at_once_get_their_own_answers() {
    let plugins = Plugins::new();
    plugins.put("sys", SYS);
    let server = plugins.serve(&["sys"], &[]);
    std::thread::scope(|scope| {
        for client in 0..50_u32 {
            let server = &server;
            scope.spawn(move || {
                let mut ws = Ws::session(server, &format!("c{client}"), "local 2");
                // All at once; who is told that the plugin is busy asks again.
                let mut open: Vec<u32> = (1..=20).collect();
                let deadline = Instant::now() + crate::server::PATIENCE;
                while !open.is_empty() {
                    assert!(Instant::now() < deadline, "{} calls of {client} have no answer", open.len());
                    for seq in &open {
                        let body = format!("{{\"kwargs\":{{\"text\":\"{client}/{seq}\"}}}}");
                        ws.send(&format!("REQUEST {seq} RPC - operational-r1.rpc.sys.echo\n{body}"));
                    }
                    for _ in 0..std::mem::take(&mut open).len() {
                        let frame = ws.next();
                        let (line, body) = frame.split_once('\n').unwrap();
                        let seq: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
                        let answer = json(body);
                        match answer.get("result") {
                            Some(result) => {
                                let text = result.get("text").and_then(Value::as_str).unwrap();
                                assert_eq!(text, format!("{client}/{seq}"));
                            }
                            None => {
                                assert!(body.contains("too_many"), "{body}");
                                open.push(seq);
                            }
                        }
                    }
                    if !open.is_empty() {
                        std::thread::sleep(Duration::from_millis(30));
                    }
                }
            });
        }
    });
    assert_eq!((number(&server, "sys", "calls"), number(&server, "sys", "failures")), (1_000, 0));
}

#[test]
fn a_plugin_of_a_router_is_called_through_the_global() {
    let plugins = Plugins::new();
    plugins.put("sys", SYS);
    // It has a plugin of that name too, and each call goes where its leaf is from.
    let global = Server::with(&["--id", "global", "--plugins", &plugins.dir().display().to_string()]);
    let url = format!("ws://{}", global.address());
    let router = plugins
        .serve(&["sys"], &["--global", &url, "--config", "config-r1", "--operational", "operational-r1"]);
    let path = "operational-r1.rpc.sys.echo";
    eventually("the leaf is at the global", || {
        http(&global, "GET /operational-r1/rpc/sys/echo", &[], "").status == 200
    });
    let answer = call(&global, path, r#"{"kwargs":{"n":1}}"#);
    assert_eq!(answer.text(), r#"{"result":{"n":1}}"#);
    assert_eq!(ok(&global, &["rpc", path, "n=2"], ""), "{\"n\":2}\n");
    for (from, id) in [(&global, "r1"), (&global, "global"), (&router, "r1"), (&router, "global")] {
        let path = format!("operational-{id}.rpc.sys.env");
        eventually("its leaf is seen", || call(from, &path, "").status == 200);
        assert!(call(from, &path, "").text().contains(&format!("TEGA_ID={id} ")));
    }
    // What is wrong is told all the way.
    let (code, message) = refused(&call(&global, path, r#"{"args":[1]}"#));
    assert!(code == "bad_request" && message.contains("by name"), "{code} {message}");
    assert!(number(&router, "sys", "calls") >= 2);
    // A plugin that is gone is gone there too.
    fs::remove_file(plugins.dir().join("sys")).unwrap();
    ok(&router, &["plugins", "--reload"], "");
    eventually("the leaf goes", || http(&global, "GET /operational-r1/rpc/sys/echo", &[], "").status == 404);
}

/// What others feel while plugins behave badly: `cargo test --release --test it plugins::latency -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement: cargo test --release --test it plugins::latency -- --ignored --nocapture"]
fn latency_for_others_while_plugins_behave_badly() {
    let plugins = Plugins::new();
    plugins.put("bad", BAD);
    plugins.put("sleeper", SLEEPER);
    let server = plugins.serve(&["bad", "sleeper"], &[]);
    let measure = |what: &str| {
        let mut rest = Http::tcp(&server);
        let mut times: Vec<Duration> = Vec::new();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let begun = Instant::now();
            rest.call("PUT /a/b", &[], b"1").unwrap();
            rest.call("GET /a/b", &[], b"").unwrap();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!(
            "{what}: {} pairs of PUT and GET, p50 {:?}, p99 {:?}, max {:?}",
            times.len(),
            at(50),
            at(99),
            at(100)
        );
    };
    measure("alone");
    let worst = ["sleeper.sleeps", "bad.floods", "bad.forks", "bad.grows"];
    for fate in FATES.iter().filter(|fate| worst.contains(&fate.0)) {
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                        call(&server, &format!("operational-r1.rpc.{}", fate.0), "");
                    }
                });
            }
            measure(fate.0);
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
        });
    }
}
