//! The door with an echo behind it, over real sockets with ports that the system chose.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http::events::Flow;
use crate::value::Value;

mod deadlines;
mod streams;
mod tokens;

/// Answers what it was asked; `/later` is answered by the next `/now`.
#[derive(Default)]
struct Echo {
    later: Mutex<Vec<Answer>>,
    wakes: Mutex<Vec<(Wake, Arc<AtomicUsize>)>>,
}

impl Services for Echo {
    fn request(&self, request: &Request<'_>, answer: Answer) {
        let body = String::from_utf8_lossy(request.body);
        match request.path {
            "/later" => return self.later.lock().unwrap().push(answer),
            "/now" => {
                let later: Vec<Answer> = self.later.lock().unwrap().drain(..).collect();
                later.into_iter().for_each(|answer| answer.send(Reply::json("late".into())));
            }
            "/big" => return answer.send(Reply::json("x".repeat(request.query.parse().unwrap()))),
            "/who" => {
                let name = request.access.grant().map_or("all", |grant| grant.name.as_str());
                return answer.send(Reply::json(name.into()));
            }
            "/length" => return answer.send(Reply::json(request.body.len().to_string())),
            _ => {}
        }
        let text = format!("{} {}?{} {body}", request.method.as_str(), request.path, request.query);
        answer.send(Reply::json(text));
    }

    fn events(&self, request: &Request<'_>, wake: Wake) -> Result<Box<dyn EventSource>, Reply> {
        if request.path != "/events" {
            return Err(Reply::empty(404));
        }
        let allowed = Arc::new(AtomicUsize::new(0));
        self.wakes.lock().unwrap().push((wake, allowed.clone()));
        Ok(Box::new(streams::Counting::new(allowed)))
    }

    fn websocket(&self, mut upgraded: Upgraded) -> Serving {
        Box::pin(async move {
            let mut chunk = upgraded.leftover;
            loop {
                let echoed = upgraded.stream.write_all(&chunk).await;
                chunk.resize(100, 0);
                match upgraded.stream.read(&mut chunk).await {
                    Ok(read) if read > 0 && echoed.is_ok() => chunk.truncate(read),
                    _ => return,
                }
            }
        })
    }
}

fn limits() -> Limits {
    Limits { connections: 100, streams: 50, ..Limits::of(1024, 64 << 20) }
}

/// A running door; stops when it's dropped.
struct Running {
    door: Door,
    echo: Arc<Echo>,
    address: SocketAddr,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn with(limits: Limits) -> Running {
        Running::of(Door::new(limits))
    }

    fn of(door: Door) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = stop();
        let echo = Arc::new(Echo::default());
        let (served, services) = (door.clone(), echo.clone());
        let thread = std::thread::spawn(move || {
            let executor = Arc::new(smol::Executor::new());
            let listeners = vec![Listener::tcp(listener).unwrap()];
            smol::block_on(executor.run(served.serve(executor.clone(), listeners, services, stop)));
        });
        Running { door, echo, address, stopper: Some(stopper), thread: Some(thread) }
    }

    fn new() -> Running {
        Running::with(limits())
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        // Only so that a test that fails ends; nothing is decided by it.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(BufReader::new(stream))
    }

    /// Waits until the door's numbers are so.
    fn wait_for(&self, so: impl Fn(guests::Counts) -> bool) {
        while !so(self.door.counts()) {
            std::thread::yield_now();
        }
    }

    fn stop(&mut self) {
        drop(self.stopper.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// The next answer: its status, its head and its body.
    fn answer(&mut self) -> (u16, String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "the connection ended: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    fn ask(&mut self, bytes: impl AsRef<[u8]>) -> (u16, String) {
        let (status, _, body) = self.send(bytes).answer();
        (status, body)
    }

    /// All that comes until the server closes.
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        String::from_utf8(rest).unwrap()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn put(body: &str) -> String {
    format!("PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_connection_answers_one_request_after_the_other() {
    let door = Running::new();
    let mut client = door.connect();
    assert_eq!(client.ask(get("/a?b=c")), (200, "GET /a?b=c ".into()));
    assert_eq!(client.ask(put("hello")), (200, "PUT /a? hello".into()));
    let chunked = "PUT /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(client.ask(chunked), (200, "PUT /c? abcde".into()));
    assert_eq!(client.ask(format!("\r\n{}", get("http://127.0.0.1?x"))), (200, "GET /?x ".into()));
    let (status, head, body) = client.send("HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n").head_only();
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("Content-Length: 9\r\n"), "{head}");
    assert_eq!(client.ask("GET /z HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), (200, "GET /z? ".into()));
    let last = client.send("GET /y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").rest();
    assert!(last.contains("\r\nConnection: close\r\n") && last.ends_with("GET /y? "), "{last}");
}

impl Client {
    /// As [`Client::answer`], of an answer that tells a length and has no body.
    fn head_only(&mut self) -> (u16, String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0);
        }
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head, String::new())
    }
}

#[test]
fn requests_that_arrive_in_any_pieces_are_understood() {
    let door = Running::new();
    let all = format!(
        "{}{}PUT /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n{}",
        get("/1"),
        put("two"),
        get("/3")
    );
    for size in [1, 2, 7, 50, 10_000] {
        let mut client = door.connect();
        for piece in all.as_bytes().chunks(size) {
            client.send(piece);
        }
        for wanted in ["GET /1? ", "PUT /a? two", "PUT /c? ab", "GET /3? "] {
            assert_eq!(client.answer().2, wanted, "{size}");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_even_when_one_takes_its_time() {
    let door = Running::new();
    let (mut one, mut two) = (door.connect(), door.connect());
    one.send(get("/1") + &get("/later") + &get("/3"));
    assert_eq!(one.answer().2, "GET /1? ", "an answer isn't held back by the next request");
    while door.echo.later.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(two.ask(get("/now")).1, "GET /now? ");
    assert_eq!((one.answer().2, one.answer().2), ("late".into(), "GET /3? ".into()));
}

#[test]
fn thousands_of_pipelined_requests_are_all_answered() {
    let door = Running::new();
    let mut client = door.connect();
    let mut writer = client.0.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(get("/p").repeat(5000).as_bytes()).unwrap());
    for _ in 0..5000 {
        assert_eq!(client.answer().2, "GET /p? ");
    }
    sender.join().unwrap();
}

#[test]
fn a_request_that_is_refused_ends_the_connection_and_nothing_behind_it_is_served() {
    let door = Running::new();
    let hidden = get("/hidden");
    for (first, status) in [
        (
            "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", 403),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
        ("GET /_reload HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: localhost\n\n", 400),
        ("\r\n\r\n\r\n\r\n\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\n", 400),
        ("GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
    ] {
        let rest = door.connect().send(format!("{first}{hidden}")).rest();
        assert!(rest.starts_with(&format!("HTTP/1.1 {status} ")), "{first:?}: {rest}");
        assert!(
            rest.contains("\r\nConnection: close\r\n") && rest.contains("{\"error\":{\"code\":"),
            "{rest}"
        );
        assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{first:?}: {rest}");
    }
}

#[test]
fn a_body_ends_where_it_says_and_can_hold_what_looks_like_a_request() {
    let door = Running::new();
    let mut client = door.connect();
    let hidden = get("/hidden");
    assert_eq!(client.ask(put(&hidden)).1, format!("PUT /a? {hidden}"));
    let get_with_body =
        format!("GET /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nGET{}", get("/c"));
    assert_eq!(client.ask(get_with_body).1, "GET /b? GET");
    assert_eq!(client.answer().2, "GET /c? ");
}

#[test]
fn a_body_may_have_a_mebibyte_and_no_byte_more() {
    let door = Running::new();
    let head = |length: usize| {
        format!("PUT /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut client = door.connect();
    for _ in 0..3 {
        let body = "x".repeat(limits::MAX_BODY);
        assert_eq!(client.ask(head(body.len()) + &body), (200, "1048576".into()));
    }
    // The client sends all of it and sees the answer nevertheless.
    client.send(head(limits::MAX_BODY + 1)).send("x".repeat(limits::MAX_BODY + 1));
    let rest = client.rest();
    assert!(rest.starts_with("HTTP/1.1 413 ") && rest.contains("too_large"), "{rest}");
    let mut client = door.connect();
    client.send("PUT /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n");
    assert!(client.rest().starts_with("HTTP/1.1 413 "));
}

#[test]
fn a_head_without_end_is_refused() {
    let door = Running::new();
    let mut client = door.connect();
    let mut writer = client.0.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let _ = writer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
        // Ends early where the door has had enough.
        (0..256).try_for_each(|_| writer.write_all(&[b'x'; 1 << 16])).is_ok()
    });
    let (status, _, body) = client.answer();
    assert_eq!(status, 431, "{body}");
    drop(client);
    sender.join().unwrap();
}

#[test]
fn expect_is_answered_before_the_body_and_a_refusal_comes_instead() {
    let door = Running::new();
    let mut client = door.connect();
    let head = "PUT /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ";
    assert_eq!(client.send(format!("{head}2\r\n\r\n")).answer().0, 100);
    assert_eq!(client.ask("ok"), (200, "PUT /a? ok".into()));
    assert_eq!(client.ask(format!("{head}2\r\n\r\nok")), (200, "PUT /a? ok".into()));
    assert_eq!(client.ask(format!("{head}2000000\r\n\r\n")).0, 413);
}

#[test]
fn big_answers_come_whole_even_to_a_slow_reader() {
    let door = Running::new();
    let mut client = door.connect();
    client.send(get("/big?3000000") + &get("/big?3000000") + &get("/a"));
    assert_eq!((client.answer().2.len(), client.answer().2.len()), (3_000_000, 3_000_000));
    assert_eq!(client.answer().2, "GET /a? ");
}

#[test]
fn an_answer_that_memory_has_no_room_for_is_refused() {
    let door = Running::with(Limits { memory: 100_000, ..limits() });
    let mut client = door.connect();
    assert_eq!(client.ask(get("/big?200000")).0, 503);
    assert_eq!(client.ask(get("/big?50000")).1.len(), 50_000);
    let body = "x".repeat(200_000);
    assert!(client.send(put(&body)).rest().starts_with("HTTP/1.1 503 "));
    assert_eq!(door.connect().ask(get("/a")).0, 200);
}

#[test]
fn the_local_socket_is_served_like_a_port() {
    let dir = std::env::temp_dir().join(format!("tega-door-{}", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&dir).unwrap();
    let (stopper, stop) = stop();
    let executor = Arc::new(smol::Executor::new());
    let door = Door::new(limits());
    let thread = std::thread::spawn(move || {
        let listeners = vec![Listener::unix(listener).unwrap()];
        let served = door.serve(executor.clone(), listeners, Arc::new(Echo::default()), stop);
        smol::block_on(executor.run(served));
    });
    let mut client = UnixStream::connect(&dir).unwrap();
    client.write_all(b"GET /a HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    drop(stopper);
    thread.join().unwrap();
    std::fs::remove_file(&dir).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("GET /a? "), "{answer}");
}
