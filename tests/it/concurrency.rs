//! Many at once: no increment is lost, and nobody sees half a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tega::value::Value;

use crate::server::{Server, ok};
use crate::wire::{Http, Ws, http};

const WRITERS: usize = 32;
const EACH: i64 = 15;

fn int(value: Option<&Value>) -> i64 {
    value.unwrap().to_string().parse().unwrap()
}

/// Adds one [`EACH`] times over HTTP, and again whenever somebody was faster.
fn increment_over_http(server: &Server) {
    let mut http = Http::tcp(server);
    let mut left = EACH;
    while left > 0 {
        let now = http.call("GET /count/n?internal=True", &[], b"").unwrap().json();
        let line = format!("PUT /count/n?version={}", int(now.get("_version")));
        let answer = http.call(&line, &[], (int(now.get("_value")) + 1).to_string().as_bytes()).unwrap();
        match answer.status {
            200 => left -= 1,
            409 => assert_eq!(answer.code(), "conflict"),
            status => panic!("{status}: {}", answer.text()),
        }
    }
}

/// The same over a session.
fn increment_over_websocket(server: &Server, name: &str) {
    let mut ws = Ws::session(server, name, "local 2");
    let (mut left, mut seq) = (EACH, 0);
    while left > 0 {
        seq += 2;
        let now = ws.ask(seq, "GET", "count.n", "{\"internal\":true}");
        let now = now.get("value").unwrap();
        let (value, version) = (int(now.get("_value")) + 1, int(now.get("_version")));
        let answer =
            ws.ask(seq + 1, "PUT", "count.n", &format!("{{\"value\":{value},\"version\":{version}}}"));
        match answer.get("error") {
            None => left -= 1,
            Some(error) => assert_eq!(error.get("code").and_then(Value::as_str), Some("conflict")),
        }
    }
}

#[test]
fn thirty_two_writers_on_one_counter_lose_no_increment() {
    let server = Server::start();
    ok(&server, &["put", "count.n", "0"], "");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let server = &server;
            scope.spawn(move || match writer % 2 {
                0 => increment_over_http(server),
                _ => increment_over_websocket(server, &format!("w{writer}")),
            });
        }
    });
    let total = WRITERS as i64 * EACH;
    assert_eq!(ok(&server, &["get", "count.n"], ""), format!("{total}\n"));
    // Each acknowledged increment is a version of its own, and nothing else is.
    assert_eq!(http(&server, "GET /_roots", &[], "").text(), format!("{{\"count\":{total}}}"));
}

#[test]
fn of_thirty_two_creators_one_succeeds() {
    let server = Server::start();
    ok(&server, &["put", "seat.free", "true"], "");
    let won: Vec<bool> = std::thread::scope(|scope| {
        let all = (0..WRITERS).map(|writer| {
            let server = &server;
            scope.spawn(move || {
                let body = writer.to_string();
                match http(server, "PUT /seat/taken", &[("If-None-Match", "*")], body) {
                    answer if answer.status == 200 => true,
                    answer => {
                        assert!(matches!(answer.status, 409 | 412), "{} {}", answer.status, answer.text());
                        false
                    }
                }
            })
        });
        all.collect::<Vec<_>>().into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(http(&server, "GET /seat/taken", &[], "").text(), winner.to_string());
}

#[test]
fn readers_never_see_half_a_transaction_and_never_go_back() {
    const COMMITS: i64 = 400;
    let server = Server::start();
    ok(&server, &["tx"], "put a.n 0\nput a.copy 0\nput b.n 0\n");
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let (server, done) = (&server, done.clone());
            scope.spawn(move || {
                let (mut http, mut last) = (Http::tcp(server), 0);
                let mut ws = Ws::session(server, &format!("r{reader}"), "local 2");
                let mut seq = 0;
                loop {
                    // Asked before the read: the last round then sees the last commit.
                    let end = done.load(Ordering::SeqCst);
                    seq += 1;
                    let all = match reader % 2 {
                        0 => http.call("GET /", &[], b"").unwrap().json(),
                        _ => ws.ask(seq, "GET", "-", "{}").get("value").unwrap().clone(),
                    };
                    let of = |root, name| int(all.get(root).and_then(|root| root.get(name)));
                    let (n, copy, other) = (of("a", "n"), of("a", "copy"), of("b", "n"));
                    assert!(n == copy && n == other, "half a transaction: {n} {copy} {other}");
                    assert!(n >= last, "from {last} back to {n}");
                    last = n;
                    if end {
                        assert_eq!(n, COMMITS);
                        return;
                    }
                }
            });
        }
        // Whatever happens here, the readers must end.
        let _end = SetAtEnd(&done);
        let mut ws = Ws::session(&server, "w", "local 2");
        for n in 1..=COMMITS {
            let body = format!(
                "{{\"ops\":[{{\"put\":\"a.n\",\"value\":{n}}},{{\"put\":\"b.n\",\"value\":{n}}},\
                 {{\"put\":\"a.copy\",\"value\":{n}}}]}}"
            );
            let answer = ws.ask(n as u32, "COMMIT", "-", &body);
            assert!(answer.get("error").is_none(), "{answer}");
        }
    });
}

struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
