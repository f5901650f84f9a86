//! What `tega tui` costs on a tree of a million leaves, measured from outside: `cargo bench --bench tui`.
//!
//! A server and the browser are processes of their own; the browser runs on a pseudo-terminal of 80 × 24, whose other side is
//! here. So the figures are those that a user meets: from the start to the first rows on the screen, from a key to the
//! frame that shows it, bytes that a slow line has to carry, and the memory of the process.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its table, and has nobody to report an error to"
)]

mod pty;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pty::Pty;
use tega::api::route::{Route, Write};
use tega::client::http::{Client, Request};
use tega::client::live::Session;
use tega::client::{Server, Target};
use tega::commit::TegaId;
use tega::message::{Kind, Scope};
use tega::path::Path;

/// 100 × 100 × 100.
const SIDE: usize = 100;

/// Changes a second, while keys are typed.
const CHANGES: u32 = 10_000;

/// Keys that are timed.
const KEYS: usize = 200;

/// A process that ends with the benchmark.
struct Own(Child);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let dir = std::env::temp_dir().join(format!("tega-bench-tui-{}", std::process::id()));
    let (server, target) = serve(&dir);
    let loaded = Instant::now();
    load(&target);
    println!("{} leaves loaded in {:.1} s", SIDE * SIDE * SIDE, loaded.elapsed().as_secs_f32());

    let mut starts: Vec<Duration> = (0..7).map(|_| start(&target).1).collect();
    starts.sort();
    println!("first screen: {:.0} ms (median of {})", ms(starts[starts.len() / 2]), starts.len());

    let (mut pty, _) = start(&target);
    pty.settle();
    println!("memory after the first screen: {} KiB", pty.rss());
    pty.keys("l");
    pty.until("k00");
    pty.settle();
    frames(&mut pty, "without changes");

    pty.keys("jl");
    pty.settle();
    pty.keys("jl");
    pty.settle();
    bytes(&mut pty, &target);

    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU32::new(0));
    let writers: Vec<_> = (0..2).map(|n| write(&target, n, stop.clone(), done.clone())).collect();
    std::thread::sleep(Duration::from_secs(1));
    let (before, begun) = (done.load(Ordering::Relaxed), Instant::now());
    let sent = pty.received();
    frames(&mut pty, "with changes");
    let seconds = begun.elapsed().as_secs_f64();
    let rate = f64::from(done.load(Ordering::Relaxed) - before) / seconds;
    println!(
        "changes meanwhile: {rate:.0} a second; to the terminal: {:.0} bytes a second",
        (pty.received() - sent) as f64 / seconds
    );
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());

    pty.keys("^z2");
    std::thread::sleep(Duration::from_secs(3));
    pty.settle();
    println!(
        "memory with {} rows unfolded: {} KiB, at most {} KiB",
        1 + SIDE + SIDE * SIDE,
        pty.rss(),
        pty.peak()
    );
    drop((pty, server));
    let _ = std::fs::remove_dir_all(dir);
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn serve(dir: &PathBuf) -> (Own, Target) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_tega"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--socket",
            "none",
            "--log-level",
            "warn",
            "--durability",
            "none",
            "--data",
        ])
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Own(process), line.trim().strip_prefix("listening on ").unwrap().parse().unwrap())
}

/// `big.k00.k00.k00` to `big.k99.k99.k99`.
fn load(target: &Target) {
    let mut client = Client::new(target.clone());
    let leaves: Vec<String> = (0..SIDE).map(|n| format!("\"k{n:02}\":\"value-{n:08}\"")).collect();
    let leaves = format!("{{{}}}", leaves.join(","));
    let middle: Vec<String> = (0..SIDE).map(|n| format!("\"k{n:02}\":{leaves}")).collect();
    let middle = format!("{{{}}}", middle.join(","));
    for n in 0..SIDE {
        let path: Path = format!("big.k{n:02}").parse().unwrap();
        let route = Route::Put { path, write: Write::default(), ephemeral: false };
        let answer = client.call(&Request::of(&route).body(middle.clone())).unwrap();
        assert_eq!(answer.status, 200);
    }
}

/// The browser, and how long it took until the first row was there.
fn start(target: &Target) -> (Pty, Duration) {
    let begun = Instant::now();
    let url = target.to_string();
    let mut pty = Pty::start(&[env!("CARGO_BIN_EXE_tega"), "tui", "--no-mouse", "--url", &url], (80, 24));
    pty.until("{100}");
    (pty, begun.elapsed())
}

/// From a key to what shows it: letters that are nowhere in the tree, typed into the command line.
fn frames(pty: &mut Pty, what: &str) {
    let mut times = Vec::new();
    pty.keys(":");
    pty.settle_for(Duration::from_millis(150));
    for n in 0..KEYS {
        let letter = ["Q", "W", "X", "Y", "Z"][n % 5];
        let begun = Instant::now();
        pty.keys(letter);
        pty.until(letter);
        times.push(begun.elapsed());
        // Not in step with anything.
        std::thread::sleep(Duration::from_millis(13 + (n as u64 * 7) % 11));
        pty.keys("\x7f");
        pty.settle_for(Duration::from_millis(20));
    }
    pty.keys("\x1b");
    pty.settle_for(Duration::from_millis(150));
    times.sort();
    let at = |part: f64| ms(times[((times.len() - 1) as f64 * part) as usize]);
    println!("key to frame {what}: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", at(0.5), at(0.99), at(1.0));
}

/// Bytes for each changed value that is on the screen: it glows, and then no more. What the rate in the second line costs is
/// counted too.
fn bytes(pty: &mut Pty, target: &Target) {
    let mut session = session(target, "bytes");
    for (what, rounds, pause) in [("one in 2 s", 10, 2_000), ("10 a second", 100, 100)] {
        // The rate of before is shown for 20 s.
        pty.settle_for(Duration::from_secs(22));
        let before = pty.received();
        for n in 0..rounds {
            put(&mut session, &format!("big.k00.k00.k{:02}", n % 10), n);
            pty.settle_for(Duration::from_millis(pause));
        }
        pty.settle_for(Duration::from_millis(2_000));
        println!(
            "to the terminal for each changed value, {what}: {} bytes",
            (pty.received() - before) / rounds
        );
    }
}

fn session(target: &Target, id: &str) -> Session {
    Session::open(&Server::from(target.clone()), TegaId::new(id).unwrap(), Scope::Local).unwrap()
}

fn put(session: &mut Session, path: &str, n: usize) {
    session.request(Kind::Put, path, &format!("{{\"value\":\"value-{n:08}\"}}")).unwrap().unwrap();
}

/// Half of the changes, everywhere in the tree, and each tenth where the screen is.
fn write(
    target: &Target,
    seed: usize,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
) -> std::thread::JoinHandle<()> {
    let mut session = session(target, &format!("writer-{seed}"));
    std::thread::spawn(move || {
        let (begun, mut n) = (Instant::now(), 0_u32);
        while !stop.load(Ordering::Relaxed) {
            let random = (n as usize).wrapping_mul(7_919).wrapping_add(seed * 31);
            let path = if n.is_multiple_of(10) {
                format!("big.k00.k00.k{:02}", random % 15)
            } else {
                format!("big.k{:02}.k{:02}.k{:02}", random % 100, random / 100 % 100, random / 7 % 100)
            };
            put(&mut session, &path, n as usize);
            done.fetch_add(1, Ordering::Relaxed);
            n += 1;
            let due = begun + Duration::from_secs(1) * n / (CHANGES / 2);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    })
}
