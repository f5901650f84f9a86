//! A global server and its locals: every root has one home, everybody shows it, and a cut link is told as what it is.

use std::sync::atomic::{AtomicU32, Ordering};

use tega::value::Value;

use crate::proxy::{Proxy, Side};
use crate::server::{Scratch, Server, eventually, run, serve_args, tega, tega_command};
use crate::wire::{Answer, Frame, Http, Ws, http, http_unix};

/// A global server, and a local one behind a proxy.
struct Fleet {
    // Dropped in this order: nobody looks for a server that is gone.
    local: Server,
    proxy: Proxy,
    global: Server,
}

/// A local with the roots `config-ID` and `op-ID`.
fn local(id: &str, url: &str, more: &[&str]) -> Server {
    let (config, operational) = (format!("config-{id}"), format!("op-{id}"));
    let mut args = vec!["--id", id, "--global", url, "--config", &config, "--operational", &operational];
    args.extend(more);
    Server::with(&args)
}

fn url_of(proxy: &Proxy) -> String {
    format!("ws://{}", proxy.address())
}

/// Whether `/_status` shows a link that is up.
fn is_linked(server: &Server) -> bool {
    let status = http_unix(server, "GET /_status", &[], "").json();
    let links = status.get("links").and_then(Value::as_list).map(|list| list.items().to_vec());
    links.unwrap_or_default().iter().any(|link| link.get("up").and_then(Value::as_bool) == Some(true))
}

impl Fleet {
    fn start(more: &[&str]) -> Fleet {
        let mut args = vec!["--id", "global"];
        args.extend(more);
        let global = Server::with(&args);
        let proxy = Proxy::start(Some(global.address()));
        let local = local("r1", &url_of(&proxy), more);
        let fleet = Fleet { local, proxy, global };
        fleet.linked();
        fleet
    }

    /// Waits until both ends say so.
    fn linked(&self) {
        eventually("the link is up", || is_linked(&self.local) && is_linked(&self.global));
    }

    fn cut(&self) {
        self.proxy.down(true);
        eventually("the link is down", || !is_linked(&self.local) && !is_linked(&self.global));
    }

    fn lay(&self) {
        self.proxy.aim(self.global.address());
        self.proxy.down(false);
        self.linked();
    }
}

/// What is at a path, as text; `None`: nothing.
fn get(server: &Server, path: &str) -> Option<String> {
    let answer = http_unix(server, &format!("GET {path}"), &[], "");
    (answer.status == 200).then(|| answer.text().to_string())
}

#[track_caller]
fn put(server: &Server, path: &str, body: &str) -> Answer {
    let answer = http_unix(server, &format!("PUT {path}"), &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

#[track_caller]
fn shows(server: &Server, path: &str, body: &str) {
    eventually(&format!("{path} is {body}"), || get(server, path).as_deref() == Some(body));
}

#[test]
fn each_end_shows_what_the_other_is_home_of_with_its_versions() {
    let global = Server::with(&["--id", "global"]);
    for value in 0..3 {
        put(&global, "/config-r1/a/b", &value.to_string());
    }
    let local = local("r1", &global.url().replace("http", "ws"), &[]);
    put(&local, "/op-r1/state", "\"up\"");
    shows(&local, "/config-r1/a/b", "2");
    shows(&global, "/op-r1/state", "\"up\"");
    put(&global, "/config-r1/a/c", "{\"d\":[1]}");
    shows(&local, "/config-r1/a/c/d", "[1]");
    for path in ["/config-r1", "/op-r1"] {
        let etags = [&local, &global].map(|server| {
            http_unix(server, &format!("GET {path}"), &[], "").header("etag").map(str::to_string)
        });
        assert!(etags[0].is_some() && etags[0] == etags[1], "{path}: {etags:?}");
    }
}

#[test]
fn a_write_at_a_replica_is_there_when_it_is_answered() {
    let fleet = Fleet::start(&[]);
    for (writer, home, root) in
        [(&fleet.local, &fleet.global, "config-r1"), (&fleet.global, &fleet.local, "op-r1")]
    {
        for value in 0..5 {
            let path = format!("/{root}/n");
            let answer = put(writer, &path, &value.to_string());
            assert_eq!(answer.header("tega-applied"), None);
            for server in [writer, home] {
                assert_eq!(get(server, &path), Some(value.to_string()));
            }
            let seen = http_unix(home, &format!("GET {path}"), &[], "");
            assert_eq!(answer.header("etag"), seen.header("etag"));
        }
        let gone = http_unix(writer, &format!("DELETE /{root}/n"), &[], "");
        assert_eq!((gone.status, get(writer, &format!("/{root}/n"))), (200, None));
        let back = http_unix(writer, &format!("POST /_rollback?root_oid={root}&backto=-1"), &[], "");
        assert_eq!(back.status, 200, "{}", back.text());
        assert_eq!(get(writer, &format!("/{root}/n")).as_deref(), Some("4"));
    }
    let mut ws = Ws::session(&fleet.local, "x", "local 2");
    let said = ws.ask(1, "PUT", "config-r1.ws", "{\"value\":7}");
    assert!(said.get("versions").is_some(), "{said}");
    assert_eq!(ws.ask(2, "GET", "config-r1.ws", "").get("value"), Some(&Value::from(7)));
    // What the home refuses, the replica's client is told.
    let refused = http_unix(&fleet.local, "PUT /config-r1/ws?version=99", &[], "1");
    assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"));
}

#[test]
fn a_retry_of_a_forwarded_write_happens_once() {
    let fleet = Fleet::start(&[]);
    let write = || http_unix(&fleet.local, "PUT /config-r1/n", &[("Idempotency-Key", "k1")], "1");
    let (first, again) = (write(), write());
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.header("tega-version"), again.header("tega-version"));
    let direct = http_unix(&fleet.global, "PUT /config-r1/n", &[("Idempotency-Key", "k1")], "1");
    assert_eq!(direct.header("tega-version"), first.header("tega-version"));
}

/// What ends a link while a write's answer is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dies {
    Link,
    Local,
    Global,
}

impl Fleet {
    fn server(&mut self, id: Dies) -> &mut Server {
        if id == Dies::Local { &mut self.local } else { &mut self.global }
    }

    fn ends(&mut self, dies: Dies) {
        match dies {
            Dies::Link => self.proxy.down(true),
            server => self.server(server).kill(),
        }
    }

    fn mends(&mut self, dies: Dies) {
        self.proxy.lose(None);
        if dies != Dies::Link {
            self.server(dies).restart();
        }
        self.lay();
    }
}

#[test]
fn a_write_whose_answer_is_lost_is_unknown_and_its_retry_gives_the_first_version_everywhere() {
    let mut fleet = Fleet::start(&[]);
    for (path, writer, home, side) in [
        ("/config-r1/n", Dies::Local, Dies::Global, Side::Server),
        ("/op-r1/n", Dies::Global, Dies::Local, Side::Client),
    ] {
        for (round, dies) in [Dies::Link, Dies::Local, Dies::Global].into_iter().enumerate() {
            let root = path.split('/').nth(1).unwrap();
            let (key, value) = (format!("{root}-{round}"), round.to_string());
            let (line, headers) = (format!("PUT {path}"), [("Idempotency-Key", key.as_str())]);
            let mut client = Http::unix(fleet.server(writer));
            fleet.proxy.lose(Some(side));
            let first = std::thread::scope(|scope| {
                let asked = scope.spawn(|| client.call(&line, &headers, value.as_bytes()));
                shows(fleet.server(home), path, &value);
                fleet.ends(dies);
                asked.join().unwrap()
            });
            match first {
                Ok(answer) => {
                    assert_eq!((answer.status, answer.code().as_str()), (504, "outcome_unknown"), "{dies:?}");
                }
                Err(_) => assert_eq!(dies, writer, "the connection breaks with its server only"),
            }
            fleet.mends(dies);
            let version = |server: &mut Server| {
                let node = http_unix(server, &format!("GET {path}"), &[], "");
                node.header("tega-version").map(str::to_string)
            };
            let once = version(fleet.server(home));
            let told = once.as_ref().map(|version| format!("{root}={version}"));
            assert!(told.is_some());
            for server in [writer, home] {
                let again = http_unix(fleet.server(server), &line, &headers, &value);
                assert_eq!(again.status, 200, "{dies:?}: {}", again.text());
                assert_eq!(again.header("tega-version").map(str::to_string), told, "{path} {dies:?}");
                assert_eq!(version(fleet.server(server)), once, "{path} {dies:?}");
            }
        }
    }
}

#[test]
fn a_command_whose_answer_is_lost_says_that_the_outcome_is_unknown_and_how_to_repeat_it() {
    let fleet = Fleet::start(&[]);
    put(&fleet.local, "/config-r1/n", "0");
    fleet.proxy.lose(Some(Side::Server));
    let put = ["put", "config-r1.n", "1", "--request-id", "again"];
    let (code, _, said) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| tega(&fleet.local, &put, ""));
        shows(&fleet.global, "/config-r1/n", "1");
        fleet.proxy.down(true);
        asked.join().unwrap()
    });
    assert!(code == 6 && said.contains("--request-id again"), "{code} {said}");
    fleet.proxy.lose(None);
    fleet.lay();
    for server in [&fleet.local, &fleet.global] {
        assert_eq!(tega(server, &put, "").0, 0);
        let root = http_unix(server, "GET /config-r1", &[], "");
        assert_eq!(root.header("tega-version"), Some("1"), "nothing happened twice");
    }
}

#[test]
fn without_a_link_a_write_says_that_it_did_not_happen_and_since_when_there_is_none() {
    let fleet = Fleet::start(&[]);
    put(&fleet.local, "/config-r1/n", "1");
    put(&fleet.local, "/op-r1/n", "1");
    shows(&fleet.global, "/op-r1/n", "1");
    fleet.cut();
    for (server, path, home) in [(&fleet.local, "/config-r1/n", "global"), (&fleet.global, "/op-r1/n", "r1")]
    {
        let refused = http_unix(server, &format!("PUT {path}"), &[], "2");
        assert_eq!((refused.status, refused.code().as_str()), (503, "no_link"));
        let said = refused.text();
        assert!(said.contains(&format!("is {home};")) && said.contains("since "), "{said}");
        assert_eq!(get(server, path).as_deref(), Some("1"), "reads go on");
        let fresh = http_unix(server, &format!("GET {path}?fresh=true"), &[], "");
        assert_eq!((fresh.status, fresh.code().as_str()), (503, "no_link"));
    }
    // At its home a root is written as before, and the other end catches up.
    put(&fleet.global, "/config-r1/n", "3");
    put(&fleet.local, "/op-r1/n", "3");
    fleet.lay();
    shows(&fleet.local, "/config-r1/n", "3");
    shows(&fleet.global, "/op-r1/n", "3");
    put(&fleet.local, "/config-r1/n", "4");
}

#[test]
fn a_fresh_read_sees_what_the_home_acknowledged() {
    let fleet = Fleet::start(&[]);
    for value in 0..20 {
        put(&fleet.global, "/config-r1/n", &value.to_string());
        let fresh = http_unix(&fleet.local, "GET /config-r1/n?fresh=true", &[], "");
        assert_eq!((fresh.status, fresh.text()), (200, value.to_string().as_str()));
        put(&fleet.local, "/op-r1/n", &value.to_string());
        assert_eq!(http_unix(&fleet.global, "GET /op-r1/n?fresh=true", &[], "").text(), value.to_string());
    }
}

#[test]
fn either_end_that_is_killed_goes_on_where_it_was() {
    let mut fleet = Fleet::start(&[]);
    put(&fleet.global, "/config-r1/n", "1");
    put(&fleet.local, "/op-r1/n", "1");
    shows(&fleet.local, "/config-r1/n", "1");
    fleet.local.kill();
    put(&fleet.global, "/config-r1/n", "2");
    fleet.local.restart();
    shows(&fleet.local, "/config-r1/n", "2");
    fleet.linked();

    fleet.global.kill();
    assert_eq!(get(&fleet.local, "/config-r1/n").as_deref(), Some("2"));
    put(&fleet.local, "/op-r1/n", "2");
    fleet.global.restart();
    fleet.lay();
    shows(&fleet.global, "/op-r1/n", "2");
    put(&fleet.local, "/config-r1/n", "3");
    put(&fleet.global, "/op-r1/n", "3");
    assert_eq!(get(&fleet.local, "/op-r1/n").as_deref(), Some("3"));
    // Nothing came twice: each write is one version.
    let version =
        http_unix(&fleet.global, "GET /config-r1", &[], "").header("tega-version").map(str::to_string);
    assert_eq!(version.as_deref(), Some("2"));
}

#[test]
fn a_call_finds_its_owner_behind_two_links() {
    let global = Server::with(&["--id", "global"]);
    let url = global.url().replace("http", "ws");
    let (r1, r2) = (local("r1", &url, &[]), local("r2", &url, &["--config", "config-r1"]));
    eventually("both are linked", || is_linked(&r1) && is_linked(&r2));
    let mut owner = Ws::session(&r1, "worker", "local 2");
    let put = owner.ask(1, "PUT", "config-r1.add", "{\"value\":\"%worker.add(a,b)\",\"ephemeral\":true}");
    assert!(put.get("error").is_none(), "{put}");
    shows(&global, "/config-r1/add", "\"%worker.add(a,b)\"");
    shows(&r2, "/config-r1/add", "\"%worker.add(a,b)\"");
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let asked = owner.next();
            let words: Vec<&str> = asked.lines().next().unwrap().split(' ').collect();
            assert_eq!((words[0], words[2], words[4]), ("REQUEST", "RPC", "config-r1.add"), "{asked}");
            let caller = words[3].to_string();
            owner.send(&format!("RESPONSE {} RPC worker\n{{\"result\":\"for {caller}\"}}", words[1]));
        }
        owner
    });
    for from in [&r2, &global, &r1] {
        let answer = http(from, "POST /_rpc?path=config-r1.add&tega_id=me", &[], "{\"args\":[1,2]}");
        let answer = if answer.status == 404 {
            http(from, "POST /config-r1/add?tega_id=me", &[], "{\"args\":[1,2]}")
        } else {
            answer
        };
        assert_eq!((answer.status, answer.text().contains("for me")), (200, true), "{}", answer.text());
    }
    let owner = server.join().unwrap();
    drop(owner);
    eventually("the function is gone everywhere", || get(&r2, "/config-r1/add").is_none());
}

#[test]
fn a_function_that_stays_is_called_where_its_owner_is_connected() {
    let fleet = Fleet::start(&[]);
    let other = local("r2", &url_of(&fleet.proxy), &["--config", "config-r1"]);
    eventually("the other is linked", || is_linked(&other));
    put(&fleet.global, "/config-r1/add", "\"%worker.add\"");
    for server in [&fleet.local, &other] {
        shows(server, "/config-r1/add", "\"%worker.add\"");
    }
    let call = |server| http(server, "POST /_rpc?path=config-r1.add&tega_id=me", &[], "{}");
    let code = |server| call(server).code();
    assert_eq!((code(&other), code(&fleet.global)), ("no_owner".into(), "no_owner".into()));
    let mut owner = Ws::session(&fleet.local, "worker", "local 2");
    let sessions = || http_unix(&fleet.global, "GET /_sessions", &[], "").text().contains("worker");
    eventually("the global knows where the owner is", sessions);
    let serving = std::thread::spawn(move || {
        for _ in 0..3 {
            let asked = owner.next();
            let words: Vec<&str> = asked.lines().next().unwrap().split(' ').collect();
            assert_eq!((words[0], words[2], words[4]), ("REQUEST", "RPC", "config-r1.add"), "{asked}");
            owner.send(&format!("RESPONSE {} RPC worker\n{{\"result\":7}}", words[1]));
        }
    });
    for server in [&other, &fleet.global, &fleet.local] {
        let answer = call(server);
        assert_eq!((answer.status, answer.text()), (200, "{\"result\":7}"));
    }
    // The owner's session ended with its thread.
    serving.join().unwrap();
    eventually("the owner is gone", || !sessions());
    assert_eq!((code(&other), code(&fleet.global)), ("no_owner".into(), "no_owner".into()));
}

#[test]
fn a_message_reaches_every_listener_once() {
    let global = Server::with(&["--id", "global"]);
    let url = global.url().replace("http", "ws");
    let (r1, r2) = (local("r1", &url, &[]), local("r2", &url, &[]));
    eventually("both are linked", || is_linked(&r1) && is_linked(&r2));
    let servers = [&global, &r1, &r2];
    let mut listeners: Vec<Ws> = Vec::new();
    for (at, server) in servers.iter().enumerate() {
        let mut ws = Ws::session(server, &format!("listener{at}"), "global 2");
        ws.send("SUBSCRIBE news global");
        // Its answer comes after the subscription.
        ws.ask(1, "GET", "no.such", "");
        listeners.push(ws);
    }
    let forwarders = || http(&global, "GET /_forwarders", &[], "").text().to_string();
    eventually("the locals listen at the global", || {
        forwarders().contains("r1") && forwarders().contains("r2")
    });
    let count = AtomicU32::new(0);
    for server in servers {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let mut speaker = Ws::session(server, "speaker", "local 2");
        speaker.send(&format!("PUBLISH news\n{{\"message\":{number}}}"));
        for listener in &mut listeners {
            assert_eq!(listener.next(), format!("MESSAGE news speaker\n{{\"message\":{number}}}"));
        }
    }
    // The next that anybody gets is the next that was said: nothing came twice.
    let mut speaker = Ws::session(&global, "speaker", "local 2");
    speaker.send("PUBLISH news\n{\"message\":\"last\"}");
    for listener in &mut listeners {
        assert!(matches!(listener.try_next(), Ok(Frame::Text(text)) if text.contains("last")));
    }
}

#[test]
fn a_session_that_listens_globally_is_told_of_roots_that_its_server_does_not_have() {
    let fleet = Fleet::start(&[]);
    let mut ws = Ws::session(&fleet.local, "x", "global 2");
    ws.send("SUBSCRIBE elsewhere.a global");
    eventually("the local listens", || {
        http(&fleet.global, "GET /_forwarders", &[], "").text().contains("r1")
    });
    put(&fleet.global, "/elsewhere/a/b", "5");
    let told = ws.next();
    assert!(
        told.starts_with("NOTIFY\n") && told.contains("\"path\":\"elsewhere.a") && told.contains('5'),
        "{told}"
    );
}

#[test]
fn ephemeral_nodes_go_with_their_session_or_their_link() {
    let fleet = Fleet::start(&["--presence-grace", "1"]);
    let mut here = Ws::session(&fleet.local, "here", "local 2");
    let mut there = Ws::session(&fleet.global, "there", "local 2");
    here.ask(1, "PUT", "config-r1.here", "{\"value\":1,\"ephemeral\":true}");
    here.ask(2, "PUT", "op-r1.here", "{\"value\":2,\"ephemeral\":true}");
    there.ask(1, "PUT", "op-r1.there", "{\"value\":3,\"ephemeral\":true}");
    shows(&fleet.global, "/config-r1/here", "1");
    shows(&fleet.global, "/op-r1/here", "2");
    shows(&fleet.local, "/op-r1/there", "3");
    let sessions = http(&fleet.global, "GET /_sessions", &[], "");
    assert!(sessions.text().contains("here"), "{}", sessions.text());
    // A link that comes back within the grace period: nothing flickers, and what ended meanwhile is gone.
    fleet.cut();
    fleet.lay();
    shows(&fleet.global, "/config-r1/here", "1");
    drop(there);
    eventually("the session there is over", || get(&fleet.local, "/op-r1/there").is_none());
    assert_eq!(get(&fleet.global, "/op-r1/here").as_deref(), Some("2"));
    fleet.cut();
    eventually("the link is gone for long", || get(&fleet.global, "/op-r1/here").is_none());
    assert_eq!(get(&fleet.local, "/op-r1/here").as_deref(), Some("2"));
    fleet.lay();
    shows(&fleet.global, "/op-r1/here", "2");
    drop(here);
    eventually("the session here is over", || get(&fleet.global, "/op-r1/here").is_none());
}

#[test]
fn a_root_that_nobody_declared_has_no_home() {
    let fleet = Fleet::start(&[]);
    let refused = http_unix(&fleet.local, "PUT /confg-r1/n", &[], "1");
    assert_eq!((refused.status, refused.code().as_str()), (403, "no_home"));
    assert!(refused.text().contains("config-r1"), "{}", refused.text());
    let private = local("r2", &url_of(&fleet.proxy), &["--private", "mine"]);
    put(&private, "/mine/n", "1");
    assert_eq!(http_unix(&private, "PUT /other/n", &[], "1").status, 403);
    assert_eq!(get(&fleet.global, "/mine/n"), None);
}

#[test]
fn a_second_server_with_the_same_id_is_refused_and_a_restarted_one_is_not() {
    let mut fleet = Fleet::start(&[]);
    let twin = local("r1", &url_of(&fleet.proxy), &[]);
    let problem = || http_unix(&twin, "GET /_status", &[], "").text().to_string();
    eventually("the twin is told why", || problem().contains("linked already"));
    assert!(is_linked(&fleet.local));
    drop(twin);
    fleet.local.kill();
    fleet.local.restart();
    fleet.linked();
}

#[test]
fn a_server_that_is_a_local_takes_no_links() {
    let fleet = Fleet::start(&[]);
    let url = fleet.local.url().replace("http", "ws");
    let below = local("r2", &url, &[]);
    eventually("it's told why", || http_unix(&below, "GET /_status", &[], "").text().contains("is a local"));
}

#[test]
fn options_that_cannot_be_are_refused_with_the_remedy() {
    let server = Server::start();
    for (args, why) in [
        ("--id localhost --global ws://127.0.0.1:1", "--id"),
        ("--id OpenWrt --global ws://127.0.0.1:1", "--id"),
        ("--id r1 --global wss://127.0.0.1:1", "TLS"),
        ("--id r1 --global ws://127.0.0.1:1 --config a --operational b a", "one home"),
        ("--id r1 --config a", "--global"),
    ] {
        let args: Vec<String> = args.split(' ').map(String::from).collect();
        let args = serve_args(&server.dir().join("other"), &args);
        let (code, _, said) = run(tega_command().args(args), "");
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why), "{said}");
    }
    let args = ["--id", "r1", "--global", "ws://192.0.2.1:1"].map(String::from);
    let args = serve_args(&server.dir().join("other"), &args);
    let (code, _, said) = run(tega_command().env("TEGA_TOKEN", "s3cret").args(args), "");
    assert!(code == 2 && said.contains("WireGuard") && said.contains("--insecure-link"), "{said}");
    assert!(!said.contains("s3cret"));
}

#[test]
fn a_token_lets_a_local_in_for_its_roots_and_takes_it_out_again() {
    let dir = Scratch::new();
    let data = dir.path().join("data");
    let token = |args: &str| {
        let args = format!("token {args} --data {}", data.display());
        let (code, out, err) = run(tega_command().args(args.split(' ')), "");
        assert_eq!(code, 0, "{err}");
        out.trim().to_string()
    };
    let secret = token("new r1 --read config-r1 --write op-r1 --as r1");
    let mut global = Server::within(dir, &["--id", "global"]);
    put(&global, "/config-r1/n", "1");
    put(&global, "/config-r2/n", "1");
    let mine = Scratch::new();
    let file = mine.file("token", &secret);
    let url = global.url().replace("http", "ws");
    let more = ["--token-file", file.to_str().unwrap()];
    let r1 = local("r1", &url, &[&more[..], &["--config", "config-r2"]].concat());
    shows(&r1, "/config-r1/n", "1");
    let status = http_unix(&r1, "GET /_status", &[], "").text().to_string();
    assert!(status.contains("the token doesn't let r1 read it") && !status.contains(&secret), "{status}");
    assert_eq!(get(&r1, "/config-r2/n"), None);
    let without = local("r2", &url, &[]);
    let said = || http_unix(&without, "GET /_status", &[], "").text().to_string();
    eventually("it's told that it needs a token", || said().contains("401"));
    token("remove r1");
    global.process().signal(rustix::process::Signal::HUP);
    eventually("the link ended", || !is_linked(&r1));
}

/// A number whose canonical text is four times as long as the one that it's sent by.
fn long_numbers() -> String {
    format!("[{}1]", "1e15,".repeat(190_000))
}

/// When this link began, as a moment that another one wouldn't have.
fn link_of(server: &Server) -> String {
    let status = http_unix(server, "GET /_status", &[], "").json();
    let link = status.get("links").and_then(Value::as_list).and_then(|list| list.items().first().cloned());
    link.and_then(|link| link.get("address").map(Value::to_string)).unwrap_or_default()
}

#[test]
fn what_becomes_too_long_for_a_link_is_refused_and_the_link_stays() {
    let fleet = Fleet::start(&[]);
    let link = link_of(&fleet.global);
    // A write that is forwarded.
    let answer = http_unix(&fleet.local, "PUT /config-r1/long", &[], long_numbers());
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"), "{:.300}", answer.text());
    assert!(answer.text().contains("the link to global takes"), "{:.300}", answer.text());
    // A call, and an answer.
    put(&fleet.local, "/op-r1/f", "\"%owner.f\"");
    let mut owner = Ws::session(&fleet.local, "owner", "local 2");
    eventually("the function is seen", || get(&fleet.global, "/op-r1/f").is_some());
    let arguments = format!("{{\"args\":[{}]}}", long_numbers());
    let call = |arguments: &str| http_unix(&fleet.global, "POST /_rpc?path=op-r1.f", &[], arguments);
    eventually("its owner is known, and the call refused", || call(&arguments).status == 413);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| call("{\"args\":[1]}"));
        let asked = loop {
            let frame = owner.next();
            if frame.starts_with("REQUEST") {
                break frame;
            }
        };
        let seq = asked.split_whitespace().nth(1).unwrap();
        owner.send(&format!("RESPONSE {seq} RPC owner\n{}", long_numbers()));
        let answer = answer.join().unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"), "{:.300}", answer.text());
    });
    // An ephemeral node, and a message.
    let value = format!("{{\"value\":{},\"ephemeral\":true}}", long_numbers());
    owner.ask(1, "PUT", "op-r1.long", &value);
    owner.send(&format!("PUBLISH op-r1.news global\n{{\"message\":{}}}", long_numbers()));
    owner.ask(2, "PUT", "op-r1.short", "{\"value\":1,\"ephemeral\":true}");
    eventually("what is short is seen", || get(&fleet.global, "/op-r1/short").is_some());
    assert_eq!(get(&fleet.global, "/op-r1/long"), None);
    put(&fleet.local, "/config-r1/short", "1");
    assert_eq!(link_of(&fleet.global), link, "it's the same link");
}
