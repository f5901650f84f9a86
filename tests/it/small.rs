//! The promise of small machines: with 64 MiB of memory a server stays within them whatever comes at once, and refuses
//! what it has no room for; a full file system leaves it reachable, takes what makes room and goes on by itself; and it
//! stops within a second from under full load, with nothing lost.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{Running, Scratch, Server, binary, eventually, ok, serve_args};
use crate::wire::{Frame, Http, Ws, http, json, try_tcp};

/// Documents to fill a store with: the routers' of `TEGA_SHARED`, or as many of our own.
pub(crate) fn documents() -> Vec<(String, String)> {
    let shared = std::env::var_os("TEGA_SHARED").map(|shared| Path::new(&shared).join("data/routers"));
    let Some(dir) = shared.filter(|dir| dir.is_dir()) else {
        eprintln!("TEGA_SHARED has no routers' documents: made-up ones take their place");
        let section = |n: usize| format!(r#""s{n}":{{"proto":"static","ipaddr":"192.0.2.{n}","mtu":1500}}"#);
        let all: Vec<String> = (0..200).map(section).collect();
        return (0..101).map(|n| (format!("r{n}"), format!("{{{}}}", all.join(",")))).collect();
    };
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files
        .map(|p| (p.file_stem().unwrap().to_str().unwrap().into(), std::fs::read_to_string(p).unwrap()))
        .collect()
}

/// A number of `/proc/PID/status`, in KiB.
fn vital(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A server whose address space ends after so many KiB, and its directory.
fn within(kib: u64) -> (Running, std::net::SocketAddr, Scratch) {
    let dir = Scratch::new();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {kib}; exec \"$@\"")).arg("sh").arg(binary());
    // glibc takes 64 MiB of address space for each thread that allocates, unless it's told not to; musl doesn't.
    command.args(serve_args(dir.path(), &[])).env("MALLOC_ARENA_MAX", "1");
    let mut running = Running::start(command.stdin(Stdio::null()));
    let line = running.line().unwrap_or_else(|| panic!("{}", running.said()));
    let address = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
    running.line().unwrap();
    (running, address, dir)
}

#[test]
fn memory_stays_within_64_mib_whatever_comes_at_once() {
    if std::env::var_os("TEGA_RUNNER").is_some() {
        return eprintln!("an emulator has no such limit: passed over");
    }
    // Unlike a router's build, one for tests has many megabytes of code, which are no memory that anybody could fill.
    let code = vital(Server::start().process().pid(), "VmExe:").saturating_sub(4 << 10);
    let most = (64 << 10) + code;
    let (mut running, address, _dir) = within(most);
    let mut kept = Http::try_tcp(address).unwrap();
    let documents = documents();
    for (name, text) in &documents {
        let answer = kept.call(&format!("PUT /config-{name}"), &[], text.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    let loaded = vital(running.pid(), "VmRSS:");
    let big = format!("\"{}\"", "x".repeat(1_000_000));
    // What can't be had is refused, and whoever asked is told so; nothing else may happen.
    let told = |status: u16| assert!([200, 503, 507].contains(&status), "{status}");
    // A thousand clients: idle ones, ones that drip, ones that subscribe and never read, ones that ask and never read.
    let mut drips: Vec<TcpStream> = (0..300).filter_map(|_| try_tcp(address).ok()).collect();
    drips.iter_mut().for_each(|drip| drop(drip.write_all(b"GET / HTTP/1.1\r\nX: ")));
    let idle: Vec<TcpStream> = (0..300).filter_map(|_| try_tcp(address).ok()).collect();
    let mut deaf: Vec<Ws> =
        (0..200).filter_map(|n| Ws::try_session(address, &format!("deaf{n}"), "local 2").ok()).collect();
    deaf.iter_mut().for_each(|ws| drop(ws.try_send("SUBSCRIBE big")));
    let mut asking: Vec<Ws> =
        (0..100).filter_map(|n| Ws::try_session(address, &format!("ask{n}"), "local 2").ok()).collect();
    for ws in &mut asking {
        for seq in 0..20 {
            let _ = ws.try_send(&format!("REQUEST {seq} GET - None\n{{}}"));
        }
    }
    let mut readers: Vec<Http> = (0..100).filter_map(|_| Http::try_tcp(address).ok()).collect();
    for reader in &mut readers {
        let _ = reader.send(&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20));
    }
    let mut streams: Vec<Http> = (0..50).filter_map(|_| Http::try_tcp(address).ok()).collect();
    for stream in &mut streams {
        let _ = stream.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    }
    // Messages and bodies of a mebibyte that stop short of their end.
    let mut halves: Vec<TcpStream> = (0..50).filter_map(|_| try_tcp(address).ok()).collect();
    for half in &mut halves {
        let head = format!("PUT /half HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", big.len());
        let _ = half.write_all(head.as_bytes()).and_then(|()| half.write_all(&big.as_bytes()[..700_000]));
    }
    let mut torn: Vec<Ws> =
        (0..50).filter_map(|n| Ws::try_session(address, &format!("torn{n}"), "local 2").ok()).collect();
    for ws in &mut torn {
        let mut frame = vec![0x81, 0xff];
        frame.extend_from_slice(&1_000_000_u64.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&big.as_bytes()[..700_000]);
        let _ = ws.send_raw(&frame);
    }
    // Large values all over, as many as there is room for and more: writers see it, and go on being answered.
    let mut refusals = 0;
    for n in 0..100 {
        let place = if n % 2 == 0 { "big/x".to_string() } else { format!("more/k{n}") };
        let mut client = Http::try_tcp(address).unwrap();
        let answer = client.call(&format!("PUT /{place}"), &[], big.as_bytes()).unwrap();
        told(answer.status);
        refusals += u32::from(answer.status != 200);
        let answer = Http::try_tcp(address).unwrap().call("GET /config-none", &[], b"");
        assert_eq!(answer.unwrap().status, 404);
    }
    assert!(refusals > 0, "a hundred megabytes fit into 64 MiB?");
    // Those that were deaf hear what became of them: the last of it, or that they were too slow.
    told(Http::try_tcp(address).unwrap().call("PUT /big/last", &[], b"1").unwrap().status);
    for ws in deaf.iter_mut().take(50) {
        let end = loop {
            match ws.try_next() {
                Ok(Frame::Text(text)) if text.contains("big.last") => break None,
                Ok(Frame::Text(_)) => {}
                Ok(Frame::Closed(code, _)) => break Some(code),
                Err(error) => {
                    let broken = ![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
                    assert!(broken, "a session that hears nothing: {error}");
                    break None;
                }
            }
        };
        assert!(end.is_none_or(|code| [1013, 4008].contains(&code)), "{end:?}");
    }
    let (rss, space) = (vital(running.pid(), "VmHWM:"), vital(running.pid(), "VmPeak:"));
    eprintln!("{loaded} kB with the documents, at most {rss} kB in RAM and {space} kB of address space");
    assert!(space <= most);
    // All that was promised is still there.
    drop((drips, idle, deaf, asking, readers, streams, halves, torn));
    let mut kept = Http::try_tcp(address).unwrap();
    for (name, text) in &documents {
        let answer = kept.call(&format!("GET /config-{name}"), &[], b"").unwrap();
        assert_eq!(answer.text(), json(text).to_string(), "{name}");
    }
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait().success(), "{}", running.said());
}

/// A file system of so many KiB in a directory, for as long as the test runs; `None`: this user can't mount one.
struct Mount(Scratch);

impl Mount {
    fn new(kib: u32) -> Option<Mount> {
        let dir = Scratch::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(dir.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Mount(dir))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_file_system_leaves_the_server_reachable_and_it_goes_on_by_itself() {
    let Some(mount) = Mount::new(600) else {
        return eprintln!(
            "no file system can be mounted here: that a full one is survived is left to the fake disk"
        );
    };
    let data = mount.0.path().join("data");
    let mut server = Server::with(&["--data", data.to_str().unwrap()]);
    let text = |len: usize| format!("\"{}\"", "x".repeat(len));
    let put = |server: &Server, path: &str, len: usize| http(server, &format!("PUT {path}"), &[], text(len));
    assert_eq!(put(&server, "/a/small", 10).status, 200);
    // Somebody else fills it.
    let ballast = mount.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 300_000]).unwrap();
    let mut n = 0;
    let refused = loop {
        let answer = put(&server, &format!("/a/k{n}"), 20_000);
        if answer.status != 200 {
            break answer;
        }
        n += 1;
        assert!(n < 30);
    };
    assert_eq!((refused.status, refused.code().as_str()), (507, "no_space"));
    let status = http(&server, "GET /_status", &[], "").json();
    let state = status.get("store").and_then(|store| store.get("state")).map(ToString::to_string);
    assert_eq!(state.as_deref(), Some("\"no_space\""), "{status}");
    assert!(status.get("disk").and_then(|disk| disk.get("free")).is_some(), "{status}");
    // Nothing of it happened; what was acknowledged is there, and reads, sessions and streams go on.
    assert_eq!(http(&server, &format!("GET /a/k{n}"), &[], "").status, 404);
    let mut ws = Ws::session(&server, "r1", "local 2");
    assert!(ws.ask(1, "GET", "a.small", "").get("value").is_some());
    // Also through a restart on the full file system.
    server.restart();
    assert_eq!(http(&server, "GET /a/small", &[], "").status, 200);
    // What makes room is taken: a deletion, and then its history.
    for gone in 0..n {
        assert_eq!(http(&server, &format!("DELETE /a/k{gone}"), &[], "").status, 200, "{gone} of {n}");
    }
    ok(&server, &["snapshot", "--history", "0"], "");
    eventually("it takes writes again without a restart", || put(&server, "/a/k0", 20_000).status == 200);
    // And once more, by room that somebody else gives.
    while put(&server, "/b/x", 20_000).status == 200 {}
    std::fs::remove_file(&ballast).unwrap();
    eventually("there is room", || put(&server, "/b/y", 10).status == 200);
    let before = http(&server, "GET /", &[], "").text().to_string();
    server.restart();
    assert_eq!(http(&server, "GET /", &[], "").text(), before);
    drop((server, ws));
}

#[test]
fn a_stop_under_full_load_takes_less_than_a_second_and_loses_nothing() {
    let global = Server::with(&["--id", "global"]);
    let url = format!("ws://{}", global.address());
    let operational = ["--id", "r1", "--global", &url, "--operational", "o", "--private", "a"];
    let mut server = Server::with(&operational);
    assert_eq!(http(&server, "PUT /o/x", &[], "1").status, 200);
    eventually("the link is up", || http(&global, "GET /o/x", &[], "").status == 200);
    // An event stream and a session that never read, and a link that is busy.
    let mut stream = Http::tcp(&server);
    stream.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n").unwrap();
    let mut deaf = Ws::session(&server, "deaf", "local 2");
    deaf.send("SUBSCRIBE a");
    let big = format!("\"{}\"", "x".repeat(500_000));
    assert_eq!(http(&server, "PUT /a/big", &[], &big).status, 200);
    let address = server.address();
    let clients: Vec<_> = (0..100)
        .map(|client| {
            std::thread::spawn(move || {
                let root = if client % 10 == 0 { "o" } else { "a" };
                let mut ws = Ws::try_session(address, &format!("c{client}"), "local 2").unwrap();
                let mut acknowledged: u32 = 0;
                let put = |ws: &mut Ws, n: u32| {
                    ws.try_send(&format!("REQUEST {n} PUT - {root}.c{client}\n{{\"value\":{n}}}"))
                };
                let mut sent = 0;
                // 16 on their way all the time.
                loop {
                    while sent < acknowledged + 16 && put(&mut ws, sent + 1).is_ok() {
                        sent += 1;
                    }
                    match ws.try_next() {
                        Ok(Frame::Text(text)) if text.contains("\"durable\":true") => acknowledged += 1,
                        Ok(Frame::Text(text)) => assert!(text.contains("\"error\""), "{text}"),
                        _ => return (format!("/{root}/c{client}"), acknowledged, sent),
                    }
                }
            })
        })
        .collect();
    eventually("everybody writes", || {
        let all = http(&server, "GET /a", &[], "").json();
        (1..100).filter(|n| n % 10 > 0).all(|n| all.get(&format!("c{n}")).is_some())
    });
    let begun = Instant::now();
    let status = server.stop();
    let took = begun.elapsed();
    assert!(status.success(), "{}", server.said());
    // An emulator is slower than any machine.
    let most = if std::env::var_os("TEGA_RUNNER").is_some() { 5 } else { 1 };
    assert!(took < Duration::from_secs(most), "{took:?}");
    server.restart();
    for client in clients {
        let (path, acknowledged, sent) = client.join().unwrap();
        let kept: u32 = http(&server, &format!("GET {path}"), &[], "").text().parse().unwrap_or(0);
        assert!((acknowledged..=sent).contains(&kept), "{path}: {acknowledged} {kept} {sent}");
    }
    drop((stream, deaf));
}
