//! # Measuring a server from outside
//!
//! `tega bench` asks one question a row: how many durable puts or gets a second do so many clients get, over HTTP or
//! over WebSocket, and how long does one take; and how long after a put have so many subscribers heard of it.
//!
//! The generator must not be what is measured. Its clients are futures on one thread, each with a socket, a buffer and
//! requests that are encoded once or in place; answers are counted, not parsed. It still shares the machine's cores
//! with the server, so figures compare with those of another generator on the same machine only.
//!
//! Latency is taken at the client, from the write of a request to the read of its answer; with a depth of 16 it
//! includes waiting behind 15 others. Percentiles are exact: every latency is kept, up to a bound.
//!
//! It isn't a load test: it stops after seconds and holds nothing against the server.

mod fleet;
mod http;
mod local;
mod notify;
mod stats;
mod stream;
mod ws;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::remote;
use super::show::{Form, Out, note};
use crate::api::route::Route;
use crate::client::http::{Client, Request, request_id};
use crate::client::{Server, Target};
use crate::path::{Key, Path};
use crate::system::{descriptors, resident_kib};
use crate::value::Value;
use stats::{Row, Samples};

/// Keys of each client: puts and gets go round them.
const KEYS: usize = 100;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Durable puts of a short text.
    Put,
    /// Gets of such a leaf.
    Get,
}

/// One row's work, for the clients.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) target: Server,
    pub(super) what: What,
    pub(super) clients: usize,
    pub(super) depth: usize,
    pub(super) end: Instant,
}

struct Plan {
    seconds: Duration,
    clients: Vec<usize>,
    depths: Vec<usize>,
    subscribers: Vec<usize>,
    only: Vec<String>,
    transports: Vec<String>,
}

impl Plan {
    fn of(typed: &Typed) -> Result<Plan, Fault> {
        let seconds: f64 = typed.number(Flag::Seconds)?.unwrap_or(3.0);
        let seconds = Duration::try_from_secs_f64(seconds).ok().filter(|s| !s.is_zero());
        Ok(Plan {
            seconds: seconds.ok_or_else(|| Fault::usage("--seconds: a positive number wanted"))?,
            clients: typed.numbers(Flag::Clients, &[1, 16, 64])?,
            depths: typed.numbers(Flag::Depth, &[1, 16])?,
            subscribers: typed.numbers(Flag::Subscribers, &[1, 100, 1000])?,
            only: choice(typed, Flag::Only, "only", &["put", "get", "notify"])?,
            transports: choice(typed, Flag::Transport, "transport", &["http", "ws"])?,
        })
    }
}

fn choice(typed: &Typed, flag: Flag, name: &str, all: &[&str]) -> Result<Vec<String>, Fault> {
    let Some(text) = typed.last(flag) else { return Ok(all.iter().map(ToString::to_string).collect()) };
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_string()).collect();
    match words.iter().find(|word| !all.contains(&word.as_str())) {
        Some(word) => Err(Fault::usage(format!("--{name} {word}: of {} wanted", all.join(", ")))),
        None => Ok(words),
    }
}

/// `tega bench`
pub(super) fn bench(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let plan = Plan::of(typed)?;
    let own = typed.has(Flag::Own).then(|| Own::start(typed)).transpose()?;
    let target = match &own {
        Some(own) => own.target.clone().into(),
        None => remote::server(typed)?,
    };
    let pid = server_pid(&target)?;
    if typed.args.first().is_some() {
        return of_fleet(typed, out, &target, pid);
    }
    let mut rows = Vec::new();
    let mut run = |row: &mut dyn FnMut() -> Result<(Samples, Duration), String>, name: [String; 4]| {
        let measured = row().map_err(|why| Fault::error(format!("{target}: {}: {why}", name.join(" "))))?;
        let rss = pid.and_then(|pid| resident_kib(Some(u64::try_from(pid).ok()?)));
        rows.push(Row::new(name, &measured.0, measured.1, rss));
        Ok::<(), Fault>(())
    };
    let wants = |words: &[String], word: &str| words.iter().any(|w| w == word);
    for (what, name) in [(What::Put, "put"), (What::Get, "get")] {
        if !wants(&plan.only, name) {
            continue;
        }
        for transport in &plan.transports {
            let depths = if transport == "ws" { plan.depths.as_slice() } else { &[1] };
            for (&clients, &depth) in plan.clients.iter().flat_map(|c| depths.iter().map(move |d| (c, d))) {
                let label = [name.to_string(), transport.clone(), clients.to_string(), depth.to_string()];
                let work = |job: Job| if transport == "ws" { ws::run(&job) } else { http::run(&job) };
                let job = |what, seconds| Job {
                    target: target.clone(),
                    what,
                    clients,
                    depth,
                    end: Instant::now() + seconds,
                };
                if what == What::Get {
                    // There must be something to get.
                    work(job(What::Put, Duration::from_millis(200))).map_err(Fault::error)?;
                }
                run(
                    &mut || {
                        let begin = Instant::now();
                        let samples = work(job(what, plan.seconds))?;
                        Ok((samples, begin.elapsed()))
                    },
                    label,
                )?;
            }
        }
    }
    if wants(&plan.only, "notify") {
        for &subscribers in &plan.subscribers {
            let label = ["notify".to_string(), "ws".into(), subscribers.to_string(), "1".into()];
            run(
                &mut || {
                    let begin = Instant::now();
                    let samples = notify::run(&target, subscribers, begin + plan.seconds)?;
                    Ok((samples, begin.elapsed()))
                },
                label,
            )?;
        }
    }
    show(typed, out, &rows)
}

/// `tega bench fleet`
fn of_fleet(typed: &Typed, out: &mut Out, target: &Server, pid: Option<i64>) -> Result<(), Fault> {
    if let Some(word) = typed.args.iter().find(|word| *word != "fleet") {
        return Err(Fault::usage(format!("bench {word}: fleet or nothing wanted")));
    }
    let locals = match typed.number(Flag::Locals)?.unwrap_or(1_000) {
        locals @ 1..=100_000 => locals,
        _ => return Err(Fault::usage("--locals: 1 to 100000 wanted")),
    };
    // As the door does: a link each.
    descriptors();
    let rss = || pid.and_then(|pid| resident_kib(Some(u64::try_from(pid).ok()?)));
    let figures = fleet::run(target, locals, rss).map_err(|why| Fault::error(format!("{target}: {why}")))?;
    show(typed, out, &figures.rows)?;
    if let Some((before, after)) = figures.memory {
        let each = after.saturating_sub(before) as f64 / locals as f64;
        note(&format!(
            "memory of the server: {before} KiB without links, {after} KiB with {locals} idle: {each:.1} KiB each"
        ));
    }
    note(&format!("in the storm {} attempts were turned away or broke", figures.turned_away));
    Ok(())
}

fn show(typed: &Typed, out: &mut Out, rows: &[Row]) -> Result<(), Fault> {
    if typed.has(Flag::Json) {
        let list: Result<Vec<Value>, _> = rows.iter().map(Row::to_value).collect();
        let list = list.and_then(Value::list).map_err(|error| Fault::error(error.to_string()))?;
        return out.value(Form::Json, &Path::TOP, &list);
    }
    let mut table = vec![Row::HEAD.map(String::from).to_vec()];
    table.extend(rows.iter().map(Row::cells));
    out.text(&super::show::table(&table))
}

/// The process of the server, where it is on this machine.
fn server_pid(target: &Server) -> Result<Option<i64>, Fault> {
    let answer = Client::new(target.clone()).call(&Request::of(&Route::Status));
    let answer = answer.map_err(|failure| super::live::lost(target, &failure))?;
    let status = answer.json().map_err(|why| Fault::error(format!("{target}: {why}")))?;
    Ok(find(&status, "pid").and_then(Value::as_int))
}

/// A member of this name, in the value or one level below.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members = value.as_object()?.members();
    value.get(name).or_else(|| members.iter().find_map(|(_, below)| below.get(name)))
}

/// A server of our own: a process, so that its memory is told from the generator's, in a temporary directory.
struct Own {
    target: Target,
    process: Child,
    dir: PathBuf,
}

impl Own {
    fn start(typed: &Typed) -> Result<Own, Fault> {
        let fail = |error: std::io::Error| Fault::error(format!("can't start a server of our own: {error}"));
        let name = request_id().map_err(fail)?;
        let dir = typed.last(Flag::Data).map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = dir.join(format!("tega-bench-{}", name.get(..12).unwrap_or(&name)));
        let durability = typed.last(Flag::Durability).unwrap_or("always");
        let mut process = Command::new(std::env::current_exe().map_err(fail)?)
            .args(["serve", "--listen", "127.0.0.1:0", "--socket", "none", "--log-level", "warn"])
            .args(["--durability", durability, "--data"])
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let stdout = process.stdout.take();
        // From here on it is ended whatever happens.
        let mut own = Own { target: Target::Unix(PathBuf::new()), process, dir };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line).map_err(fail)?;
        }
        match line.trim().strip_prefix("listening on ").and_then(|url| url.parse().ok()) {
            Some(target) => own.target = target,
            None => return Err(Fault::error("the server of our own didn't start; its message is above")),
        }
        Ok(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        // One that ended already needs no signal.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The path that a client's nth request is about.
pub(super) fn key(client: usize, n: usize) -> Path {
    let keys = ["bench".to_string(), format!("c{client}"), format!("k{}", n % KEYS)];
    Path::from_checked(keys.map(Key::from).into())
}

/// What is put: a short text that changes.
pub(super) fn value(n: usize) -> String {
    format!("\"value-{n:08}\"")
}
