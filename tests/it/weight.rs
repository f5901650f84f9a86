//! What the server and a session weigh: measurements, not promises, so they only run when they are asked for.
//!
//! `cargo test --test it weight:: -- --ignored --nocapture --test-threads 1` prints them as tables, of the program that
//! `TEGA_BIN` names, on the emulator that `TEGA_RUNNER` names:
//!
//! - RSS of an idle server and of one with the routers' documents of `TEGA_SHARED`, and the time from its start to its
//!   listening. What is `anon` is the server's own; `file` are pages of the program and its libraries that the system
//!   shares and can take back. Under an emulator it's what lies where the program's memory is, without the emulator's.
//! - What a small commit writes to the disk by durability: as the server counts it (`/_status`), and as the system does
//!   (`/proc/PID/io`, in pages; 0 on a file system in memory).
//! - The server's RSS per idle session, with 0, 1 and 10 subscriptions each. The system's socket buffers aren't in it.

use std::time::{Duration, Instant};

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

/// KiB in RAM that are a process's own and that are pages of files; of what runs on an emulator, as far as can be told.
fn rss(pid: u32) -> (u64, u64) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let binary = crate::server::binary();
    let emulated = std::env::var_os("TEGA_RUNNER").is_some();
    let range = |line: &str| {
        let (from, till) = line.split_once(' ')?.0.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(till, 16).ok()?))
    };
    let name = binary.file_name().unwrap().to_str().unwrap();
    // The emulator lays the program's whole address space, 4 GiB at most, where it finds room for it.
    let first =
        maps.lines().filter(|line| line.ends_with(name)).filter_map(range).map(|(from, _)| from).min();
    let window = first.unwrap_or(0) & !0xfff_ffff;
    let inside = |from: u64| !emulated || (window..window + (1 << 32)).contains(&from);
    let (mut anon, mut all, mut counts) = (0, 0, false);
    for line in maps.lines() {
        let kib = |field: &str| {
            line.strip_prefix(field).map(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
        };
        match (range(line), kib("Rss:"), kib("Anonymous:")) {
            (Some((from, _)), ..) => counts = inside(from),
            (_, Some(kib), _) if counts => all += kib,
            (_, _, Some(kib)) if counts => anon += kib,
            _ => {}
        }
    }
    (anon, all - anon)
}

#[test]
#[ignore = "a measurement; see the chapter"]
fn the_weight_of_a_server() {
    println!("                    start ms   RSS kB = anon + file");
    let show = |what: &str, start: Duration, server: &mut Server| {
        // What the start needed and the server doesn't is given back by then.
        std::thread::sleep(Duration::from_secs(2));
        let (anon, file) = rss(server.process().pid());
        println!("{what:20}{:8.1}   {} = {anon} + {file}", start.as_secs_f64() * 1e3, anon + file);
    };
    let begun = Instant::now();
    let mut server = Server::start();
    show("idle", begun.elapsed(), &mut server);
    let documents = crate::small::documents();
    let mut bytes = 0;
    for (name, text) in &documents {
        bytes += text.len();
        assert_eq!(http(&server, &format!("PUT /config-{name}"), &[], text).status, 200);
    }
    show("after the puts", Duration::ZERO, &mut server);
    assert!(server.stop().success());
    let begun = Instant::now();
    server.restart();
    let what = format!("{} documents", documents.len());
    show(&what, begun.elapsed(), &mut server);
    println!("the documents have {} KiB of JSON", bytes / 1024);
}

#[test]
#[ignore = "a measurement; see the chapter"]
fn what_a_small_commit_writes() {
    const COMMITS: u64 = 200;
    println!("of {COMMITS} commits of one word, 50 a second, for each:");
    println!("durability        bytes   blocks of 4 KiB   syncs   written bytes by the system");
    for mode in ["always", "interval:1000", "none", "memory"] {
        let mut server = Server::with(&["--durability", mode]);
        let mut client = crate::wire::Http::tcp(&server);
        client.call("PUT /lan/name", &[], b"\"router-0\"").unwrap();
        let pid = server.process().pid();
        let system = || {
            let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
            line.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
        };
        let counted = |server: &Server| {
            let status = http(server, "GET /_status", &[], "").json();
            let commits = ["store", "log", "written", "commits"]
                .iter()
                .try_fold(&status, |value, name| value.get(name))
                .unwrap();
            ["bytes", "blocks", "syncs"].map(|name| commits.get(name).and_then(Value::as_int).unwrap())
        };
        let (before, before_system) = (counted(&server), system());
        for n in 1..=COMMITS {
            let next = Instant::now() + Duration::from_millis(20);
            let answer = client.call("PUT /lan/name", &[], format!("\"router-{n}\"").as_bytes()).unwrap();
            assert_eq!(answer.status, 200);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        // The last interval ends.
        std::thread::sleep(Duration::from_millis(1_200));
        let (after, after_system) = (counted(&server), system());
        let each = |at: usize| (after[at] - before[at]) as f64 / COMMITS as f64;
        let by_system = (after_system - before_system) as f64 / COMMITS as f64;
        println!("{mode:14}{:9.1}{:18.2}{:8.2}{by_system:18.0}", each(0), each(1), each(2));
    }
}
