//! What a session weighs: a measurement, not a promise, so it only runs when it's asked for.
//!
//! `cargo test --release --test it weight -- --ignored --nocapture` prints the server's RSS per idle session, with
//! 0, 1 and 10 subscriptions each, as a table. On a PC; the system's socket buffers aren't in it.

use tega::value::Value;

use crate::server::Server;
use crate::wire::{Ws, http};

const SESSIONS: usize = 1_000;

fn rss_kb(server: &Server) -> i64 {
    let status = http(server, "GET /_status", &[], "").json();
    status.get("rss_kb").and_then(Value::as_int).unwrap()
}

#[test]
#[ignore = "a measurement; see the chapter"]
fn the_weight_of_a_session() {
    println!("subscriptions   baseline kB   with {SESSIONS} kB   bytes a session");
    for subscriptions in [0, 1, 10] {
        let server = Server::start();
        assert_eq!(http(&server, "PUT /a/leaf", &[], "1").status, 200);
        drop(Ws::session(&server, "warm", "local 2"));
        let before = rss_kb(&server);
        let sessions: Vec<Ws> = (0..SESSIONS)
            .map(|n| {
                let mut ws = Ws::session(&server, &format!("s{n}"), "local 2");
                for channel in 0..subscriptions {
                    let answer =
                        ws.ask(channel, "SUBSCRIBE", &format!("config.router{n}.part{channel}"), "{}");
                    assert!(answer.get("error").is_none(), "{answer}");
                }
                ws
            })
            .collect();
        let after = rss_kb(&server);
        let each = (after - before) * 1024 / i64::try_from(SESSIONS).unwrap();
        println!("{subscriptions:>13}   {before:>11}   {after:>12}   {each:>15}");
        drop(sessions);
    }
}
