//! Who is let in with which token.

use std::path::PathBuf;

use super::*;
use crate::door::gate::{Gate, Shown};
use crate::door::origin::Via;
use crate::path::Path;
use crate::token::{Grant, Tokens, file};

/// A token file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(test: &str) -> File {
        let path = std::env::temp_dir().join(format!("tega-door-{}-{test}", std::process::id()));
        File(path)
    }

    fn add(&self, name: &str) -> String {
        let grant = Grant { name: name.into(), read: vec![Path::TOP], ..Grant::default() };
        file::add(&self.0, grant, "").unwrap()
    }

    fn tokens(&self) -> Tokens {
        Tokens::open(self.0.clone(), true).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn fast() -> Limits {
    Limits { wrong_token: Duration::from_millis(1), ..limits() }
}

fn with(path: &str, header: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n")
}

#[test]
fn every_way_in_has_its_outcome() {
    let file = File::new("table");
    let secret = file.add("r1");
    let (right, wrong) = (format!("Bearer {secret}"), format!("Bearer {}0", &secret[..secret.len() - 1]));
    let wrong = if wrong == right { format!("Bearer {}1", &secret[..secret.len() - 1]) } else { wrong };
    let basic = format!("Basic {secret}");
    let from = Peer::Address("10.0.0.1:1".parse().unwrap());
    let outcome = |gate: &Gate, via: Via, authorization: Option<&str>| {
        let peer = if via == Via::Socket { Peer::Local } else { from };
        match gate.admit(via, peer, Shown { authorization, query: "" }) {
            Ok(access) => access.grant().map_or("all".to_string(), |grant| grant.name.clone()),
            Err(away) => format!("{}{}", away.reply.status, if away.delay.is_zero() { "" } else { " late" }),
        }
    };
    let open = Gate::new(Tokens::none(), Duration::from_millis(1));
    let asking = Gate::new(file.tokens(), Duration::from_millis(1));
    for (via, shown, without, with) in [
        (Via::Socket, None, "all", "all"),
        (Via::Socket, Some(&right), "all", "r1"),
        (Via::Socket, Some(&wrong), "all", "401 late"),
        (Via::Loopback, None, "all", "401"),
        (Via::Loopback, Some(&right), "all", "r1"),
        (Via::Loopback, Some(&wrong), "all", "401 late"),
        (Via::Loopback, Some(&basic), "all", "401 late"),
        (Via::Network, None, "all", "401"),
        (Via::Network, Some(&right), "all", "r1"),
        (Via::Network, Some(&wrong), "all", "401 late"),
    ] {
        let shown = shown.map(String::as_str);
        assert_eq!(outcome(&open, via, shown), without, "{via:?}, no tokens");
        assert_eq!(outcome(&asking, via, shown), with, "{via:?}, tokens");
    }
    let counts = asking.counts();
    assert_eq!((counts.tokens, counts.missing, counts.wrong), (Some(1), 2, 4));
}

#[test]
fn requests_streams_and_websockets_need_a_token_where_tokens_are_asked_for() {
    let file = File::new("all");
    let bearer = format!("Authorization: Bearer {}", file.add("r1"));
    let door = Running::of(Door::new(fast()).with_tokens(file.tokens()));
    let mut client = door.connect();
    assert_eq!(client.ask(with("/who", &bearer)), (200, "r1".into()));
    assert_eq!(client.ask(with("/who", &bearer.to_lowercase())), (200, "r1".into()));
    let events = "Accept: text/event-stream";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (path, header, status) in
        [("/who", "X: y", 200), ("/events", events, 200), ("/_pubsub", upgrade, 101)]
    {
        let good = with(path, &format!("{header}\r\n{bearer}"));
        assert!(first_line(&door, &good).contains(&format!(" {status} ")), "{path}");
        for bad in ["X: y", "Authorization: Bearer x", "Authorization: Basic x"] {
            let rest =
                door.connect().send(with(path, &format!("{header}\r\n{bad}")) + &get("/hidden")).rest();
            assert!(
                rest.starts_with("HTTP/1.1 401 ") && rest.contains("\r\nWWW-Authenticate: Bearer\r\n"),
                "{rest}"
            );
            assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest}");
        }
    }
    let twice = door.connect().send(with("/who", &format!("{bearer}\r\n{bearer}"))).rest();
    assert!(twice.starts_with("HTTP/1.1 400 "), "{twice}");
    let status = door.door.status();
    assert_eq!(status.get("tokens_missing").and_then(Value::as_int), Some(3));
    assert_eq!(status.get("tokens_wrong").and_then(Value::as_int), Some(6));
}

fn first_line(door: &Running, request: &str) -> String {
    let mut line = String::new();
    door.connect().send(request).0.read_line(&mut line).unwrap();
    line
}

#[test]
fn a_token_in_the_url_is_refused_and_not_repeated() {
    let file = File::new("url");
    let secret = file.add("r1");
    let door = Running::of(Door::new(fast()).with_tokens(file.tokens()));
    for query in [format!("token={secret}"), format!("a=b&access_token={secret}")] {
        let rest = door.connect().send(with(&format!("/who?{query}"), "X: y")).rest();
        assert!(rest.starts_with("HTTP/1.1 400 ") && !rest.contains(&secret), "{rest}");
    }
}

#[test]
fn a_body_is_not_read_before_its_sender_is_known() {
    let file = File::new("body");
    file.add("r1");
    let door = Running::of(Door::new(fast()).with_tokens(file.tokens()));
    let head = "PUT /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert!(door.connect().send(head).rest().starts_with("HTTP/1.1 401 "));
}

#[test]
fn an_event_stream_ends_with_its_token_and_a_request_learns_it_at_once() {
    let file = File::new("end");
    let (gone, stays) = (file.add("gone"), file.add("stays"));
    let tokens = file.tokens();
    let door = Running::of(Door::new(fast()).with_tokens(tokens.clone()));
    let bearer = |secret: &str| format!("Authorization: Bearer {secret}");
    let stream = |secret: &str| {
        let mut client = door.connect();
        client.send(with("/events", &format!("Accept: text/event-stream\r\n{}", bearer(secret))));
        assert_eq!(client.head_only().0, 200);
        client
    };
    let mut streams = (stream(&gone), stream(&stays));
    let mut client = door.connect();
    assert_eq!(client.ask(with("/who", &bearer(&gone))).0, 200);
    file::remove(&file.0, "gone").unwrap();
    assert_eq!(client.ask(with("/who", &bearer(&gone))).0, 200, "until the file is read again");
    tokens.reload().unwrap();
    streams.0.rest();
    door.wait_for(|counts| counts.streams == 1);
    assert_eq!(client.ask(with("/who", &bearer(&gone))).0, 401);
    assert_eq!(door.connect().ask(with("/who", &bearer(&stays))).1, "stays");
    drop(streams.1);
}

#[test]
fn a_late_answer_makes_place_for_others() {
    let file = File::new("late");
    let secret = file.add("r1");
    // Nobody could wait for this answer: it comes when the place is needed.
    let late = Limits { connections: 1, streams: 1, wrong_token: Duration::from_secs(600), ..limits() };
    let door = Running::of(Door::new(late).with_tokens(file.tokens()));
    let mut wrong = door.connect();
    wrong.send(with("/who", "Authorization: Bearer x"));
    while door.door.gate_counts().wrong == 0 {
        std::thread::yield_now();
    }
    let right = with("/who", &format!("Authorization: Bearer {secret}\r\nConnection: close"));
    // The first may come before the late one idles.
    while !door.connect().send(&right).rest().ends_with("r1") {}
    assert_eq!(wrong.answer().0, 401);
}
