//! WebSockets and event streams: what the door does around them.

use std::sync::atomic::Ordering;

use super::*;
use crate::http::events::Heavily;

/// Says numbers up to the one that the test allows, after a first part that is long work; ends after three.
pub(super) struct Counting {
    begun: bool,
    said: usize,
    allowed: Arc<AtomicUsize>,
}

impl Counting {
    pub(super) fn new(allowed: Arc<AtomicUsize>) -> Counting {
        Counting { begun: false, said: 0, allowed }
    }
}

impl EventSource for Counting {
    fn next(&mut self, out: &mut String) -> Flow {
        if !self.begun {
            return Flow::Heavy;
        }
        if self.said == 3 {
            return Flow::End;
        }
        if self.said == self.allowed.load(Ordering::Acquire) {
            return Flow::Idle;
        }
        self.said += 1;
        out.push_str(&format!("data: {}\n\n", self.said));
        Flow::More
    }

    fn heavy(mut self: Box<Self>, mut out: String) -> Heavily {
        Box::pin(async move {
            self.begun = true;
            out.push_str(&format!("data: {}\n\n", "s".repeat(500_000)));
            Some((self as Box<dyn EventSource>, out))
        })
    }
}

const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";

fn line(client: &mut Client) -> String {
    let mut line = String::new();
    assert!(client.0.read_line(&mut line).unwrap() > 0, "the stream ended");
    line
}

#[test]
fn an_event_stream_says_what_is_new_when_it_is_woken() {
    let door = Running::new();
    let mut client = door.connect();
    client.ask(get("/a"));
    let (status, head, _) = client.send(EVENTS).answer();
    assert_eq!(status, 200);
    assert!(head.contains("text/event-stream") && head.contains("Cache-Control: no-store"), "{head}");
    assert_eq!(line(&mut client).len(), 500_007);
    assert_eq!(line(&mut client), "\n");
    let (wake, allowed) = door.echo.wakes.lock().unwrap().pop().unwrap();
    assert_eq!(door.door.counts().streams, 1);
    for n in 1..=3 {
        allowed.store(n, Ordering::Release);
        wake();
        assert_eq!((line(&mut client), line(&mut client)), (format!("data: {n}\n"), "\n".into()));
    }
    assert_eq!(client.rest(), "");
    door.wait_for(|counts| counts.streams == 0 && counts.connections == 0);
}

#[test]
fn a_silent_event_stream_shows_that_it_lives_and_ends_with_its_client() {
    let door = Running::with(Limits { keep_alive: Duration::from_millis(5), ..limits() });
    let mut client = door.connect();
    client.send(EVENTS).answer();
    let mut comments = 0;
    while comments < 3 {
        comments += usize::from(line(&mut client) == ":\n");
    }
    drop(client);
    door.wait_for(|counts| counts.streams == 0 && counts.connections == 0);
}

#[test]
fn a_refused_event_stream_is_an_ordinary_answer() {
    let door = Running::new();
    let rest = door.connect().send(EVENTS.replace("/events", "/none")).rest();
    assert!(rest.starts_with("HTTP/1.1 404 "), "{rest}");
}

const WEBSOCKET: &str = "GET /_pubsub HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost/\r\n\
                         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_websocket_may_be_opened_by_any_request_of_a_connection() {
    let door = Running::new();
    let mut client = door.connect();
    client.send(get("/1") + &put("2") + WEBSOCKET + "early");
    assert_eq!((client.answer().2, client.answer().2), ("GET /1? ".into(), "PUT /a? 2".into()));
    let (status, head, _) = client.answer();
    assert_eq!(status, 101);
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    let mut echo = [0; 9];
    client.send("late");
    client.0.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"earlylate");
    assert_eq!(door.door.counts().streams, 1);
    drop(client);
    door.wait_for(|counts| counts.streams == 0 && counts.connections == 0);
}

#[test]
fn websockets_of_foreign_pages_and_those_too_many_are_refused() {
    let door = Running::with(Limits { streams: 1, ..limits() });
    let foreign = WEBSOCKET.replace("http://localhost/", "http://evil.example");
    assert!(door.connect().send(foreign).rest().starts_with("HTTP/1.1 403 "));
    let mut first = door.connect();
    assert_eq!(first.send(WEBSOCKET).answer().0, 101);
    assert!(door.connect().send(WEBSOCKET).rest().starts_with("HTTP/1.1 503 "));
    assert!(door.connect().send(EVENTS).rest().starts_with("HTTP/1.1 503 "));
    assert_eq!(door.connect().ask(get("/a")).0, 200);
}
