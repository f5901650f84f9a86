//! What was acknowledged is there, whole, whenever the process ends: kills under load. What is left of a log after a
//! crash or a bad disk is in `recovery`.
//!
//! The short form runs always. The campaign, of 300 kills or as many as are asked for:
//!
//! ```sh
//! TEGA_CRASH_KILLS=300 TEGA_CRASH_SEED=7 cargo test --test it crash::campaign -- --ignored --nocapture
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tega::value::Value;

use crate::server::{PATIENCE, Running, Server, ok, serve_args, tega_command};
use crate::wire::{Frame, Http, Ws, json};

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 to `below`, that excepted.
    fn roll(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as u32) % below
    }
}

/// Counts acknowledgements, so that a kill can wait for a number of them.
#[derive(Default)]
struct Acks {
    count: Mutex<u32>,
    more: Condvar,
}

impl Acks {
    fn one(&self) {
        *self.count.lock().unwrap() += 1;
        self.more.notify_all();
    }

    fn reach(&self, wanted: u32) {
        let (count, _) = self
            .more
            .wait_timeout_while(self.count.lock().unwrap(), PATIENCE, |count| *count < wanted)
            .unwrap();
        assert!(*count >= wanted, "{} of {wanted} acknowledgements in {PATIENCE:?}", *count);
    }
}

/// What one writer of growing numbers knows: the last number that it sent, and the last that was acknowledged.
#[derive(Clone, Copy, Default)]
struct Known {
    sent: i64,
    acked: i64,
}

/// How a writer writes its numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// PUT over HTTP.
    Http,
    /// PUT over WebSocket, eight on their way at once.
    Pipelined,
    /// COMMIT over WebSocket of two paths of one root and one of another: always the same number.
    Commit,
    /// PUT in a transaction of several HTTP calls over the same three paths.
    Calls,
}

const WRITERS: [How; 8] = {
    use How::*;
    [Http, Http, Pipelined, Pipelined, Commit, Commit, Calls, Calls]
};
const COUNTERS: usize = 3;

/// An increment that wasn't answered; it's repeated after the restart.
type Unanswered = Option<(String, String, String)>;

/// All that is known of what the server promised, over all its lives.
struct Ledger {
    known: [Known; WRITERS.len()],
    /// Increments that were acknowledged.
    increments: i64,
    /// Versions that were acknowledged, as `ROOT VERSION`.
    versions: BTreeSet<(String, i64)>,
    /// The newest version of each root that a reader saw.
    seen: Vec<(String, i64)>,
    acknowledged: u64,
}

fn int(value: Option<&Value>) -> i64 {
    value.and_then(|value| value.to_string().parse().ok()).unwrap_or(-1)
}

fn broken(why: impl ToString) -> io::Error {
    io::Error::other(why.to_string())
}

/// Writes numbers until the server is gone. Returns what it knows then, and the versions that were acknowledged.
fn write(address: SocketAddr, at: usize, mut known: Known, acks: &Acks) -> (Known, Vec<(String, i64)>) {
    let mut versions = Vec::new();
    let how = WRITERS[at];
    // The end is always an error: the server was killed.
    let _ = match how {
        How::Http => put_numbers(address, at, &mut known, acks),
        How::Calls => put_by_calls(address, at, &mut known, acks),
        How::Pipelined | How::Commit => send_numbers(address, at, how, &mut known, &mut versions, acks),
    };
    (known, versions)
}

fn put_numbers(address: SocketAddr, at: usize, known: &mut Known, acks: &Acks) -> io::Result<()> {
    let mut http = Http::try_tcp(address)?;
    loop {
        known.sent += 1;
        let answer = http.call(&format!("PUT /load/w{at}"), &[], known.sent.to_string().as_bytes())?;
        assert_eq!((answer.status, answer.header("tega-durable")), (200, None), "{}", answer.text());
        known.acked = known.sent;
        acks.one();
    }
}

fn put_by_calls(address: SocketAddr, at: usize, known: &mut Known, acks: &Acks) -> io::Result<()> {
    let mut http = Http::try_tcp(address)?;
    loop {
        let begun = http.call("POST /_begin?tega_id=calls", &[], b"")?;
        let txid = begun.json().get("txid").and_then(Value::as_str).unwrap_or("").to_string();
        known.sent += 1;
        for path in [format!("load/w{at}"), format!("load/copy{at}"), format!("twin/w{at}")] {
            let line = format!("PUT /{path}?tega_id=calls&txid={txid}");
            let answer = http.call(&line, &[], known.sent.to_string().as_bytes())?;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let answer = http.call(&format!("POST /_commit?txid={txid}"), &[], b"")?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        known.acked = known.sent;
        acks.one();
    }
}

fn send_numbers(
    address: SocketAddr,
    at: usize,
    how: How,
    known: &mut Known,
    versions: &mut Vec<(String, i64)>,
    acks: &Acks,
) -> io::Result<()> {
    let depth = if how == How::Pipelined { 8 } else { 1 };
    let mut ws = Ws::try_session(address, &format!("w{at}"), "local 2")?;
    let mut open = 0;
    loop {
        while open < depth {
            known.sent += 1;
            let n = known.sent;
            ws.try_send(&match how {
                How::Pipelined => format!("REQUEST {n} PUT - load.w{at}\n{{\"value\":{n}}}"),
                _ => format!(
                    "REQUEST {n} COMMIT - -\n{{\"ops\":[{{\"put\":\"load.w{at}\",\"value\":{n}}},\
                     {{\"put\":\"twin.w{at}\",\"value\":{n}}},{{\"put\":\"load.copy{at}\",\"value\":{n}}}]}}"
                ),
            })?;
            open += 1;
        }
        let text = match ws.try_next()? {
            Frame::Text(text) => text,
            Frame::Closed(code, why) => return Err(broken(format!("{code} {why}"))),
        };
        let (line, body) = text.split_once('\n').ok_or_else(|| broken(&text))?;
        let body = json(body);
        // A server that is killed doesn't refuse: an answer is an acknowledgement.
        assert_eq!(body.get("durable").and_then(Value::as_bool), Some(true), "{text}");
        let seq = line.split(' ').nth(1).and_then(|seq| seq.parse().ok()).ok_or_else(|| broken(line))?;
        known.acked = known.acked.max(seq);
        for (root, version) in body.get("versions").and_then(Value::as_object).unwrap().members() {
            versions.push((root.to_string(), int(Some(version))));
        }
        open -= 1;
        acks.one();
    }
}

/// Adds one to the counter until the server is gone; how often that was acknowledged, and what wasn't answered.
fn increment(address: SocketAddr, names: &AtomicU32, acks: &Acks) -> (i64, Unanswered) {
    let mut done = 0;
    let mut unanswered = None;
    // The end is always an error: the server was killed.
    let _: io::Result<()> = (|| {
        let mut http = Http::try_tcp(address)?;
        loop {
            let now = http.call("GET /count/n?internal=True", &[], b"")?.json();
            let (value, version) = (int(now.get("_value")), int(now.get("_version")));
            let key = format!("increment-{}", names.fetch_add(1, Ordering::Relaxed));
            let (line, body) = (format!("PUT /count/n?version={version}"), (value + 1).to_string());
            unanswered = Some((line.clone(), key.clone(), body.clone()));
            let answer = http.call(&line, &[("Idempotency-Key", &key)], body.as_bytes())?;
            unanswered = None;
            match answer.status {
                200 => done += 1,
                409 => {}
                status => panic!("{status} {}", answer.text()),
            }
            acks.one();
        }
    })();
    (done, unanswered)
}

/// Reads everything at once until the server is gone: never half a transaction, never back.
fn read(address: SocketAddr, stop: &AtomicBool) -> (Vec<i64>, Vec<(String, i64)>) {
    let (mut last, mut roots) = (vec![0; WRITERS.len()], Vec::new());
    let _: io::Result<()> = (|| {
        let mut http = Http::try_tcp(address)?;
        while !stop.load(Ordering::Relaxed) {
            let all = http.call("GET /", &[], b"")?.json();
            for (at, now) in numbers(&all).into_iter().enumerate() {
                assert!(now >= last[at], "w{at} went back from {} to {now}", last[at]);
                last[at] = now;
            }
            let now = versions(&http.call("GET /_roots", &[], b"")?.json());
            for (root, version) in &roots {
                assert!(now.iter().any(|(name, now)| name == root && now >= version), "{root} went back");
            }
            roots = now;
        }
        Ok(())
    })();
    (last, roots)
}

fn versions(roots: &Value) -> Vec<(String, i64)> {
    let members = roots.as_object().map_or(&[][..], |roots| roots.members());
    members.iter().map(|(root, version)| (root.to_string(), int(Some(version)))).collect()
}

/// The writers' numbers in a read of the top; the parts of a transaction must agree.
fn numbers(all: &Value) -> Vec<i64> {
    let of = |root, name: String| int(all.get(root).and_then(|root| root.get(&name)));
    let number = |(at, how): (usize, &How)| {
        let number = of("load", format!("w{at}"));
        if matches!(how, How::Commit | How::Calls) {
            let (copy, twin) = (of("load", format!("copy{at}")), of("twin", format!("w{at}")));
            assert!(copy == number && twin == number, "half a transaction of w{at}: {number} {copy} {twin}");
        }
        number
    };
    WRITERS.iter().enumerate().map(number).collect()
}

/// Everything that is written, once, so that all numbers begin at 0.
fn begin(server: &Server) {
    let mut lines = String::from("put count.n 0\n");
    for (at, how) in WRITERS.iter().enumerate() {
        lines.push_str(&format!("put load.w{at} 0\n"));
        if matches!(how, How::Commit | How::Calls) {
            lines.push_str(&format!("put load.copy{at} 0\nput twin.w{at} 0\n"));
        }
    }
    ok(server, &["tx"], &lines);
}

/// One life of the server: load, and a kill in the midst of it.
fn life(
    server: &mut Server,
    ledger: &mut Ledger,
    dice: &mut Dice,
    names: &Arc<AtomicU32>,
) -> Vec<Unanswered> {
    let address = server.address();
    let (acks, stop) = (Arc::new(Acks::default()), Arc::new(AtomicBool::new(false)));
    let writers = ledger.known.iter().copied().enumerate().map(|(at, known)| {
        let acks = acks.clone();
        std::thread::spawn(move || write(address, at, known, &acks))
    });
    let writers: Vec<_> = writers.collect();
    let counters = (0..COUNTERS).map(|_| {
        let (acks, names) = (acks.clone(), names.clone());
        std::thread::spawn(move || increment(address, &names, &acks))
    });
    let counters: Vec<_> = counters.collect();
    let reader = {
        let stop = stop.clone();
        std::thread::spawn(move || read(address, &stop))
    };
    acks.reach(dice.roll(150));
    // In some lives it's killed while it compacts.
    let compaction = (dice.roll(3) == 0).then(|| {
        std::thread::spawn(move || {
            Http::try_tcp(address).and_then(|mut http| http.call("POST /_ss", &[], b""))
        })
    });
    // A moment that nothing marks: any will do, and that's what it's for.
    std::thread::sleep(Duration::from_micros(dice.roll(8000).into()));
    server.kill();
    stop.store(true, Ordering::Relaxed);

    for (at, writer) in writers.into_iter().enumerate() {
        let (known, versions) = writer.join().unwrap();
        ledger.known[at] = known;
        for version in versions {
            ledger.acknowledged += 1;
            // Commits by several sessions are several commits.
            assert!(ledger.versions.insert(version.clone()), "{version:?} was given twice");
        }
    }
    let mut unanswered = Vec::new();
    for counter in counters {
        let (done, open) = counter.join().unwrap();
        ledger.increments += done;
        unanswered.push(open);
    }
    let (seen, roots) = reader.join().unwrap();
    for (known, seen) in ledger.known.iter_mut().zip(seen) {
        // What a reader saw is as good as acknowledged.
        known.acked = known.acked.max(seen);
    }
    ledger.seen = if roots.is_empty() { std::mem::take(&mut ledger.seen) } else { roots };
    if let Some(compaction) = compaction {
        let _ = compaction.join().unwrap();
    }
    unanswered
}

/// After a restart: all that was promised is there.
fn check(server: &Server, ledger: &mut Ledger, unanswered: Vec<Unanswered>) {
    let mut http = Http::tcp(server);
    let all = http.call("GET /", &[], b"").unwrap().json();
    for (at, (now, known)) in numbers(&all).into_iter().zip(&mut ledger.known).enumerate() {
        assert!(
            (known.acked..=known.sent).contains(&now),
            "w{at}: {now} is there, {} was acknowledged, {} sent",
            known.acked,
            known.sent
        );
        // From here on it's a fact, acknowledged or not.
        known.acked = now;
    }
    let roots = versions(&http.call("GET /_roots", &[], b"").unwrap().json());
    for (root, version) in ledger.versions.iter().chain(&ledger.seen) {
        let now = roots.iter().find(|(name, _)| name == root).map_or(-1, |(_, now)| *now);
        assert!(now >= *version, "{root} was at {version} and is at {now}");
    }
    // A repeated increment answers its first outcome, so that each is made once or not at all.
    for (line, key, body) in unanswered.into_iter().flatten() {
        let answer = http.call(&line, &[("Idempotency-Key", &key)], body.as_bytes()).unwrap();
        assert!(matches!(answer.status, 200 | 409), "{} {}", answer.status, answer.text());
        ledger.increments += i64::from(answer.status == 200);
    }
    let count = http.call("GET /count/n", &[], b"").unwrap();
    assert_eq!(count.text(), ledger.increments.to_string(), "increments lost or made twice");
}

/// Starts the server and kills it at some moment of its start.
fn killed_at_its_start(server: &Server, dice: &mut Dice) {
    let args = serve_args(server.dir(), &[]);
    let mut running = Running::start(tega_command().args(&args).stdin(Stdio::null()));
    std::thread::sleep(Duration::from_micros(dice.roll(30_000).into()));
    running.kill();
}

fn kills(count: u32, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut server = Server::start();
    begin(&server);
    let mut ledger = Ledger {
        known: [Known::default(); WRITERS.len()],
        increments: 0,
        versions: BTreeSet::new(),
        seen: Vec::new(),
        acknowledged: 0,
    };
    let names = Arc::new(AtomicU32::new(0));
    let mut done = 0;
    while done < count {
        let unanswered = life(&mut server, &mut ledger, &mut dice, &names);
        done += 1;
        if dice.roll(4) == 0 {
            killed_at_its_start(&server, &mut dice);
            done += 1;
        }
        server.restart();
        check(&server, &mut ledger, unanswered);
    }
    let sent: i64 = ledger.known.iter().map(|known| known.sent).sum();
    eprintln!(
        "{done} kills, seed {seed}: {sent} writes sent, {} versions acknowledged to sessions, {} increments",
        ledger.acknowledged, ledger.increments
    );
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn ten_kills_under_load_lose_nothing_that_was_acknowledged() {
    kills(10, number("TEGA_CRASH_SEED", 1));
}

#[test]
#[ignore = "minutes of load: the chapter of this file has the command"]
fn campaign() {
    let count = number("TEGA_CRASH_KILLS", 300).try_into().unwrap();
    kills(count, number("TEGA_CRASH_SEED", 1));
}
