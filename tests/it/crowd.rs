//! The promise of room: many slow, idle and broken clients cost little and keep nobody out; and all of them are let go
//! at the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::server::{Running, Scratch, Server, binary, serve_args};
use crate::wire::{Frame, Http, Ws, http, json, tcp, try_tcp, unix};

/// What the system tells of the process.
struct Vitals {
    peak_kb: u64,
    threads: u64,
    /// In clock ticks of 10 ms, of user and system.
    cpu: u64,
}

/// `None`: the program runs in an emulator, whose own vitals tell nothing.
fn vitals(pid: u32) -> Option<Vitals> {
    if std::env::var_os("TEGA_RUNNER").is_some() {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let cpu = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Some(Vitals { peak_kb: number("VmHWM:"), threads: number("Threads:"), cpu })
}

fn dripping(server: &Server) -> TcpStream {
    let mut stream = tcp(server);
    stream.write_all(b"GET /a/leaf HTTP/1.1\r\nHost: localhost\r\nX: ").unwrap();
    stream
}

fn kept_alive(server: &Server) -> Http {
    let mut connection = Http::tcp(server);
    assert_eq!(connection.call("GET /a/leaf", &[], b"").unwrap().status, 200);
    connection
}

const HANDSHAKE: &str = "GET /_pubsub HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// What a normal client does, with a session, on a new and on a kept connection.
fn normal(server: &Server, kept: &mut Http, session: &mut Ws, n: u32) {
    assert_eq!(kept.call("PUT /a/n", &[], n.to_string().as_bytes()).unwrap().status, 200);
    assert_eq!(http(server, "GET /a/n", &[], "").text(), n.to_string());
    assert_eq!(Http::unix(server).call("GET /a/n", &[], b"").unwrap().text(), n.to_string());
    assert_eq!(session.ask(n, "GET", "a.n", "").get("value").unwrap().to_string(), n.to_string());
}

#[test]
fn idle_dripping_and_half_open_clients_leave_others_served_and_cost_little() {
    let mut server = Server::start();
    assert_eq!(http(&server, "PUT /a/leaf", &[], "1").status, 200);
    let mut kept = Http::tcp(&server);
    let mut session = Ws::session(&server, "normal", "local 2");
    normal(&server, &mut kept, &mut session, 0);
    let idle: Vec<TcpStream> = (0..500).map(|_| tcp(&server)).collect();
    let mut drips: Vec<TcpStream> = (0..500).map(|_| dripping(&server)).collect();
    let mut kept_idle: Vec<Http> = (0..300).map(|_| kept_alive(&server)).collect();
    // WebSockets that never finish their handshake, and those that never say SESSION.
    let half: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut stream = tcp(&server);
            stream.write_all(HANDSHAKE.as_bytes()).unwrap();
            if n % 2 == 0 {
                stream.write_all(b"\r\n").unwrap();
            }
            stream
        })
        .collect();
    for n in 1..=20 {
        for stream in &mut drips {
            stream.write_all(b"x").unwrap();
        }
        normal(&server, &mut kept, &mut session, n);
    }
    // They all are still there, and count.
    let status = http(&server, "GET /_status", &[], "").json();
    let connections = status.get("door").and_then(|door| door.get("connections")).and_then(|n| n.as_int());
    assert!(connections.unwrap() >= 1_400, "{status}");
    // While nothing comes, nothing is done. The pause is what is measured, not what is waited for.
    let pid = server.process().pid();
    if let Some(before) = vitals(pid) {
        idle[0].set_read_timeout(Some(Duration::from_millis(1_500))).unwrap();
        assert!((&idle[0]).read(&mut [0]).is_err());
        let after = vitals(pid).unwrap();
        assert!(after.cpu - before.cpu < 40, "{} ticks of CPU for nothing", after.cpu - before.cpu);
        // About 11 MB on a PC; 10 kB more for each connection would break it.
        assert!(after.peak_kb < 24 << 10, "{} kB", after.peak_kb);
        assert!(after.threads < 32, "{} threads", after.threads);
    }
    // Those that waited are served as if nothing had been.
    for stream in &mut drips {
        stream.write_all(b"\r\n\r\n").unwrap();
    }
    for stream in drips {
        assert_eq!(Http::over(stream).answer().unwrap().text(), "1");
    }
    for connection in &mut kept_idle {
        assert_eq!(connection.call("GET /a/leaf", &[], b"").unwrap().text(), "1");
    }
    drop((idle, half));
    normal(&server, &mut kept, &mut session, 21);
}

/// A server that may have so many descriptors, and its directory.
fn poor(descriptors: u32) -> (Running, std::net::SocketAddr, Scratch) {
    let dir = Scratch::new();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$@\"")).arg("sh");
    command.args(std::env::var_os("TEGA_RUNNER")).arg(binary()).args(serve_args(dir.path(), &[]));
    let mut running = Running::start(command.stdin(Stdio::null()));
    let line = running.line().unwrap_or_else(|| panic!("{}", running.said()));
    let address = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
    running.line().unwrap();
    (running, address, dir)
}

#[test]
fn running_out_of_descriptors_keeps_nobody_out_for_ever() {
    let plenty = 64;
    let (running, _, dir) = poor(plenty);
    let held = std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap().count();
    drop((running, dir));
    // With plenty the door counts before the system does; with so few the system refuses first.
    for descriptors in [plenty, u32::try_from(held).unwrap() + 5] {
        let (mut running, address, _dir) = poor(descriptors);
        let get = |line: &str, body: &[u8]| Http::try_tcp(address).and_then(|mut c| c.call(line, &[], body));
        assert_eq!(get("PUT /a/leaf", b"1").unwrap().status, 200);
        // Idle ones make room, so that new ones are served however many there are.
        let idle: Vec<TcpStream> = (0..40).map(|_| try_tcp(address).unwrap()).collect();
        for _ in 0..5 {
            assert_eq!(get("GET /a/leaf", b"").unwrap().text(), "1", "{descriptors}");
        }
        drop(idle);
        // Busy ones don't. A new one hears so, or waits until one of them has gone; it never gets anything wrong.
        let busy: Vec<TcpStream> = (0..40)
            .map(|_| {
                let mut stream = try_tcp(address).unwrap();
                // One that was turned away already can't be written to.
                let _ = stream
                    .write_all(b"PUT /a/leaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1");
                stream
            })
            .collect();
        let mut waiting = Http::try_tcp(address).unwrap();
        let _ = waiting.send(b"GET /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n");
        drop(busy);
        // It was turned away before they went, or was served after.
        if let Ok(answer) = waiting.answer() {
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        }
        // They all are gone, which the server sees in its own time: till then it may say that it's full.
        let served = std::iter::repeat_with(|| get("GET /a/leaf", b"")).take(10_000);
        let answer = served.flatten().find(|answer| answer.status == 200).unwrap();
        assert_eq!(answer.text(), "1");
        for _ in 0..5 {
            assert_eq!(get("PUT /a/leaf", b"1").unwrap().status, 200, "{descriptors}: {}", running.said());
        }
        if let Some(vitals) = vitals(running.pid()) {
            assert!(vitals.threads < 32 && vitals.peak_kb < 48 << 10);
        }
        let ran_out = running.said().contains("can't accept connections");
        assert!(
            ran_out || descriptors == plenty,
            "it never ran out of {descriptors}, {held} of them its own"
        );
        running.kill();
    }
}

/// An event as it came, its lines joined by `|`; comments are passed over.
fn event(stream: &mut Http) -> String {
    let mut lines = Vec::new();
    loop {
        match stream.line().unwrap().as_str() {
            "" if lines.is_empty() => {}
            "" => return lines.join("|"),
            comment if comment.starts_with(':') => {}
            line => lines.push(line.to_string()),
        }
    }
}

/// Opens a stream as `curl -N -H 'Accept: text/event-stream'` does.
fn stream(server: &Server, target: &str, last_event_id: Option<&str>) -> Http {
    let mut stream = Http::tcp(server);
    let resume = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: text/event-stream\r\n{resume}\r\n"
    );
    stream.send(request.as_bytes()).unwrap();
    let (status, headers) = stream.head().unwrap();
    assert_eq!(status, 200);
    assert!(headers.contains(&("Content-Type".into(), "text/event-stream".into())), "{headers:?}");
    stream
}

fn part(event: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let found = event.split('|').find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no {name} in {event}")).to_string()
}

/// What a change says: where, and what is there now.
fn change(event: &str) -> (String, String) {
    assert_eq!(part(event, "event"), "change", "{event}");
    let data = json(&part(event, "data"));
    let text = |name: &str| data.get(name).map(ToString::to_string).unwrap_or_default();
    (text("path").trim_matches('"').to_string(), text("instance"))
}

#[test]
fn an_event_stream_tells_each_change_once_also_over_a_crash() {
    let mut server = Server::start();
    assert_eq!(http(&server, "PUT /a/x", &[], "0").status, 200);
    let mut watching = stream(&server, "/a", None);
    let first = event(&mut watching);
    assert_eq!(part(&first, "event"), "state");
    assert_eq!(json(&part(&first, "data")).get("instance").unwrap().to_string(), "{\"x\":0}");
    for n in 1..=3 {
        assert_eq!(http(&server, "PUT /a/x", &[], n.to_string()).status, 200);
        assert_eq!(http(&server, "PUT /b/x", &[], n.to_string()).status, 200);
    }
    let mut last = String::new();
    for n in 1..=3 {
        let seen = event(&mut watching);
        assert_eq!(change(&seen), ("a.x".into(), n.to_string()));
        last = part(&seen, "id");
    }
    server.kill();
    watching.rest();
    server.restart();
    for n in 4..=5 {
        assert_eq!(http(&server, "PUT /a/x", &[], n.to_string()).status, 200);
    }
    // What was missed, once, and then what comes.
    let mut resumed = stream(&server, "/a", Some(&last));
    assert_eq!(http(&server, "DELETE /a/x", &[], "").status, 200);
    assert_eq!(change(&event(&mut resumed)), ("a.x".into(), "4".into()));
    assert_eq!(change(&event(&mut resumed)), ("a.x".into(), "5".into()));
    let deleted = event(&mut resumed);
    assert!(deleted.contains("\"ope\":\"DELETE\""), "{deleted}");
    // A position that isn't of this store, or that the history has no more: that is said, with the state.
    let mut lost = stream(&server, "/a", Some("999999"));
    assert_eq!(part(&event(&mut lost), "event"), "gone");
    assert_eq!(part(&event(&mut lost), "event"), "state");
    for n in 0..30 {
        assert_eq!(http(&server, "PUT /a/x", &[], n.to_string()).status, 200);
    }
    let mut old = stream(&server, "/a", Some(&last));
    assert_eq!(part(&event(&mut old), "event"), "gone");
    assert_eq!(part(&event(&mut old), "event"), "state");
    let bad = http(&server, "GET /a", &[("Accept", "text/event-stream"), ("Last-Event-ID", "x")], "");
    assert_eq!((bad.status, bad.code().as_str()), (400, "bad_request"));
}

#[test]
fn a_regex_stream_and_one_on_the_local_socket_tell_the_same() {
    let server = Server::start();
    let mut regex = stream(&server, "/a/x.*?regex_flag=True", None);
    assert_eq!(part(&event(&mut regex), "event"), "state");
    let mut local = Http::over(unix(&server));
    local.send(b"GET /a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n").unwrap();
    assert_eq!(local.head().unwrap().0, 200);
    assert_eq!(part(&event(&mut local), "event"), "state");
    for path in ["a/y", "a/x1", "b/x1"] {
        assert_eq!(http(&server, &format!("PUT /{path}"), &[], "1").status, 200);
    }
    assert_eq!(change(&event(&mut regex)), ("a.x1".into(), "1".into()));
    assert_eq!(change(&event(&mut local)), ("a.y".into(), "1".into()));
    assert_eq!(change(&event(&mut local)), ("a.x1".into(), "1".into()));
}

#[test]
fn a_stop_lets_go_of_everybody_and_tells_those_who_can_hear() {
    let mut server = Server::start();
    assert_eq!(http(&server, "PUT /a/leaf", &[], "1").status, 200);
    let mut idle: Vec<Http> = (0..20).map(|_| kept_alive(&server)).collect();
    let drips: Vec<TcpStream> = (0..20).map(|_| dripping(&server)).collect();
    let mut half_body = tcp(&server);
    half_body.write_all(b"PUT /a/leaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[").unwrap();
    let mut events = stream(&server, "/a", None);
    assert_eq!(part(&event(&mut events), "event"), "state");
    let mut sessions = [Ws::session(&server, "one", "local"), Ws::session(&server, "two", "local 2")];
    sessions[1].send("SUBSCRIBE a");
    let silent = Ws::connect(&server);
    // One that never reads and never answers the close.
    let deaf = Ws::session(&server, "deaf", "local 2");
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "{}", server.said());
    for session in &mut sessions {
        let Frame::Closed(code, reason) = session.try_next().unwrap() else { panic!("not closed") };
        assert_eq!((code, reason.is_empty()), (1001, false));
    }
    assert!(events.rest().is_empty());
    assert!(idle.iter_mut().all(|connection| connection.rest().is_empty()));
    assert!(try_tcp(server.address()).is_err());
    assert!(!server.socket().exists());
    drop((drips, half_body, silent, deaf));
    // Nothing was half done.
    server.restart();
    assert_eq!(http(&server, "GET /a", &[], "").text(), "{\"leaf\":1}");
}
