//! The promise of tokens: whoever has one gets in, whoever hasn't doesn't, and nobody ever sees its secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::server::{Scratch, Server, eventually, run, tega_command};
use crate::wire::{Answer, Frame, Http, Ws, http, http_unix, tcp};

/// Runs `tega token ARGS` on the tokens of a test's directory, and gives its standard output.
#[track_caller]
fn token(dir: &Path, args: &[&str]) -> String {
    let data = dir.join("data");
    let (code, out, err) =
        run(tega_command().arg("token").args(args).args(["--data", data.to_str().unwrap()]), "");
    assert_eq!(code, 0, "tega token {args:?}: {err}");
    assert!(args[0] == "list" || err.contains("kill -HUP"), "{err}");
    out.trim_end().to_string()
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

fn get(server: &Server, secret: &str) -> Answer {
    http(server, "GET /", &[("Authorization", &bearer(secret))], "")
}

fn session(server: &Server, secret: &str) -> Ws {
    let header = format!("Authorization: {}\r\n", bearer(secret));
    let mut ws = Ws::over_with(tcp(server), &header).unwrap();
    ws.send("SESSION r1 local 2");
    assert!(ws.next().starts_with("SESSIONACK "));
    ws
}

fn hang_up(server: &mut Server) {
    server.process().signal(Signal::HUP);
}

/// What the session says as it's closed.
fn end(ws: &mut Ws) -> (u16, String) {
    loop {
        if let Frame::Closed(code, reason) = ws.try_next().unwrap() {
            return (code, reason);
        }
    }
}

#[test]
fn at_sighup_the_sessions_of_a_removed_token_end_and_others_go_on() {
    let dir = Scratch::new();
    let gone = token(dir.path(), &["new", "gone", "--admin"]);
    let stays = token(dir.path(), &["new", "stays", "--admin"]);
    let mut server = Server::within(dir, &[]);
    assert_eq!(http(&server, "GET /", &[], "").code(), "unauthorized");
    assert_eq!(http_unix(&server, "GET /", &[], "").status, 200, "the local socket needs none");
    assert!(Ws::over(tcp(&server)).is_err());
    assert_eq!((get(&server, &gone).status, get(&server, &stays).status), (200, 200));
    let mut sessions = (session(&server, &gone), session(&server, &stays));
    let mut events = Http::tcp(&server);
    let asks = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: ";
    events.send(format!("{asks}{}\r\n\r\n", bearer(&gone)).as_bytes()).unwrap();
    assert_eq!(events.head().unwrap().0, 200);

    token(server.dir(), &["remove", "gone"]);
    assert_eq!(get(&server, &gone).status, 200, "until the server reads the file again");
    hang_up(&mut server);
    let (code, reason) = end(&mut sessions.0);
    assert!(code == 4001 && reason.contains("token"), "{code} {reason}");
    events.rest();
    assert_eq!(get(&server, &gone).code(), "unauthorized");
    assert_eq!(get(&server, &stays).status, 200);
    let answer = sessions.1.ask(1, "PUT", "a.b", "{\"value\":1}");
    assert!(answer.get("error").is_none(), "{answer}");
}

#[test]
fn a_file_that_became_bad_changes_nothing_but_the_log() {
    let dir = Scratch::new();
    let secret = token(dir.path(), &["new", "r1", "--admin"]);
    let mut server = Server::within(dir, &[]);
    let mut ws = session(&server, &secret);
    let file = server.data().join("tokens");
    fs::write(&file, "# fine\n{\"name\":\"r1\",\"pass\":1}\n").unwrap();
    hang_up(&mut server);
    eventually("the log tells the line", || {
        http_unix(&server, "GET /", &[], "");
        server.said().contains("tokens:2: unknown field \"pass\"")
    });
    fs::remove_file(&file).unwrap();
    hang_up(&mut server);
    eventually("the log tells that the file is gone", || {
        http_unix(&server, "GET /", &[], "");
        server.said().contains("there is no token file")
    });
    assert_eq!(get(&server, &secret).status, 200);
    assert_eq!(http(&server, "GET /", &[], "").status, 401);
    ws.ask(1, "GET", "", "");
}

#[test]
fn the_first_token_of_a_running_server_closes_the_door_to_others() {
    let mut server = Server::start();
    let mut ws = Ws::session(&server, "r1", "local 2");
    let secret = token(server.dir(), &["new", "r1", "--admin"]);
    hang_up(&mut server);
    assert_eq!(end(&mut ws).0, 4001);
    assert_eq!(http(&server, "GET /", &[], "").status, 401);
    assert_eq!(get(&server, &secret).status, 200);
}

#[test]
fn the_secret_is_seen_once_and_never_again() {
    let dir = Scratch::new();
    let secret = token(dir.path(), &["new", "r1", "--admin"]);
    let digits = secret.rsplit_once('_').unwrap().1.to_string();
    let mut said = token(dir.path(), &["list"]) + &token(dir.path(), &["list", "--json"]);
    let server = Server::within(dir, &["--log-level", "trace"]);
    let wrong = format!("tega_r2_{digits}");
    for value in [bearer(&secret), bearer(&wrong), bearer(&digits), format!("Basic {secret}"), secret.clone()]
    {
        let answer = http(&server, "GET /_status", &[("Authorization", &value)], "");
        said.push_str(&format!("{:?} {}", answer.headers, answer.text()));
    }
    for line in [format!("GET /?token={secret}"), format!("GET /a?access_token={secret}")] {
        let answer = http(&server, &line, &[("Authorization", &bearer(&secret))], "");
        assert_eq!(answer.status, 400);
        said.push_str(answer.text());
    }
    let mut ws = session(&server, &secret);
    ws.send("SESSION again local");
    said.push_str(&format!("{:?}", end(&mut ws)));
    said.push_str(http_unix(&server, "GET /_status", &[], "").text());
    said.push_str(http_unix(&server, "GET /_sessions", &[], "").text());
    for args in [
        &["get", "x"][..],
        &["get", "--url", &format!("http://{secret}@h")],
        &["watch", "a", "--timeout", "0.1"],
    ] {
        for text in [&secret, &wrong, &format!("{secret} {secret}")] {
            let mut command = tega_command();
            command.env("TEGA_URL", server.url()).env("TEGA_TOKEN", text).args(args);
            let (_, out, err) = run(&mut command, "");
            said.push_str(&(out + &err));
        }
    }
    said.push_str(&server.said());
    assert!(said.contains("r1") && said.contains("a wrong token"), "{said}");
    assert!(!said.contains(&digits), "{said}");
    assert!(!fs::read_to_string(server.data().join("tokens")).unwrap().contains(&digits));
}

#[test]
fn the_command_line_shows_its_token_from_a_file_or_the_environment() {
    let dir = Scratch::new();
    let secret = token(dir.path(), &["new", "r1", "--read", "*", "--write", "*"]);
    let server = Server::within(dir, &[]);
    let file = server.dir().join("secret");
    fs::write(&file, format!("{secret}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.to_str().unwrap();
    let with = |env: &str, args: &[&str]| {
        let mut command = tega_command();
        run(command.env("TEGA_URL", server.url()).env("TEGA_TOKEN", env).args(args), "")
    };
    assert_eq!(with(&secret, &["put", "a.b", "1"]), (0, String::new(), String::new()));
    assert_eq!(with("", &["get", "a.b", "--token-file", file]), (0, "1\n".into(), String::new()));
    assert_eq!(
        with("wrong", &["get", "a.b", "--token-file", file]).0,
        0,
        "the option comes before the environment"
    );
    let (code, _, err) = with(&secret, &["watch", "a", "--timeout", "0.01"]);
    assert!(err.is_empty() || !err.contains("token"), "{code} {err}");
    let (code, _, err) = with("", &["get", "a.b"]);
    assert!(code == 1 && err.contains("a token is needed") && err.contains("TEGA_TOKEN"), "{err}");
    let (code, _, err) = with("tega_x", &["get", "a.b"]);
    assert!(code == 1 && err.contains("isn't known"), "{err}");
    let (code, _, err) = with("", &["watch", "a", "--timeout", "0.01"]);
    assert!(code != 0 && err.contains("a token is needed"), "{err}");
    let (code, _, err) = with("two words", &["get", "a.b"]);
    assert!(code == 2 && err.contains("TEGA_TOKEN: that's no token") && !err.contains("two words"), "{err}");
}

#[test]
fn a_token_goes_over_no_clear_network_unless_that_is_meant() {
    // 192.0.2.1 is nobody's (RFC 5737); nothing is sent there unless the test fails.
    let ask = |more: &[&str]| {
        let url = ["get", "a", "--url", "http://192.0.2.1:1"];
        run(tega_command().env("TEGA_TOKEN", "tega_x").args(url).args(more), "")
    };
    let (code, _, err) = ask(&[]);
    assert!(
        code == 2 && ["WireGuard", "TLS proxy", "ssh -L", "--insecure-link"].iter().all(|w| err.contains(w)),
        "{err}"
    );
    assert!(!err.contains("tega_x"), "{err}");
}

#[test]
fn a_server_with_tokens_listens_beyond_loopback_and_one_without_does_not() {
    let dir = Scratch::new();
    token(dir.path(), &["new", "r1", "--admin"]);
    let mut server = Server::within(dir, &["--listen", "0.0.0.0:0"]);
    let at = format!("127.0.0.1:{}", server.address().port()).parse().unwrap();
    let answer = Http::try_tcp(at).unwrap().call("GET /", &[], b"").unwrap();
    assert_eq!(answer.status, 401);
    fs::remove_file(server.data().join("tokens")).unwrap();
    let said = server.try_restart().unwrap_err();
    assert!(said.contains("tega token new"), "{said}");
}

#[test]
fn a_token_file_that_was_named_must_be_there_and_safe() {
    let dir = Scratch::new();
    let data = dir.path().join("data");
    let serve = |file: &Path| {
        let mut command = tega_command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data).arg("--tokens").arg(file);
        let (code, _, err) = run(&mut command, "");
        assert_eq!(code, 1, "{err}");
        err
    };
    assert!(serve(&dir.path().join("none")).contains("there is no token file"));
    let open = dir.file("open", "");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(serve(&open).contains("chmod 600"));
}

#[test]
fn the_list_shows_what_each_may_do() {
    let dir = Scratch::new();
    token(dir.path(), &["new", "r1", "--read", "config-r1,a.b", "--write", "op-r1", "--as", "r1"]);
    token(dir.path(), &["legacy", "r2", "--from", "10.8.0.0/24,fd00::/8", "--read", "*", "--channels", "x"]);
    let list = token(dir.path(), &["list"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..8], ["r1", "r1", "-", "config-r1,a.b", "op-r1", "-", "-", "-"]);
    assert_eq!(rows[1][..8], ["legacy:r2", "r2", "-", "*", "-", "-", "x", "10.8.0.0/24,fd00::/8"]);
    let json = crate::wire::json(&token(dir.path(), &["list", "--json"]));
    assert_eq!(json.as_list().unwrap().items()[0].get("as").and_then(|id| id.as_str()), Some("r1"));
    let refused = |args: &[&str], code: i32, why: &str| {
        let data = dir.path().join("data");
        let mut command = tega_command();
        let (got, out, err) = run(command.arg("token").args(args).arg("--data").arg(&data), "");
        assert!(got == code && out.is_empty() && err.contains(why), "{args:?}: {got} {err}");
    };
    refused(&["new", "r1", "--admin"], 4, "tega token remove r1");
    refused(&["new", "r 1", "--admin"], 4, "letters");
    refused(&["new", "r3"], 2, "allow nothing");
    refused(&["remove", "r3"], 3, "no token \"r3\"");
    refused(&["remove"], 2, "usage");
    refused(&["frobnicate"], 2, "usage");
    refused(&["list", "--admin"], 2, "--admin");
    refused(&["legacy", "r3", "--read", "*"], 2, "--from");
    token(dir.path(), &["remove", "legacy:r2"]);
    assert_eq!(token(dir.path(), &["list"]).lines().count(), 1);
}
