//! `watch PATH --exec COMMAND`: a shell command that is run with what is there now, and again after each change.
//!
//! Changes aren't queued: while the command runs they make one more run, which gets the state of then. So no change is
//! lost, however long a run takes, and a command that fails is run again until it succeeds.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::data;
use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::live::{Following, Left, Step, deadline};
use super::parse::Typed;
use super::remote::Remote;
use super::show::note;
use crate::api::route::{Read, Route};
use crate::path::{Key, Path};
use crate::value::Value;
use crate::words;

/// The first pause after a run that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What the thread that follows tells the one that runs the command.
#[derive(Default)]
struct News {
    shared: Mutex<Told>,
    came: Condvar,
}

#[derive(Default)]
struct Told {
    /// Something changed since the last run began.
    changed: bool,
    /// Why it can't be followed any more.
    ended: Option<Fault>,
}

impl News {
    fn lock(&self) -> MutexGuard<'_, Told> {
        // What is in it is right after each line that changes it.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: impl FnOnce(&mut Told)) {
        what(&mut self.lock());
        self.came.notify_all();
    }

    /// Waits for a change, an end, or until a time.
    fn wait(&self, until: Option<Instant>) -> MutexGuard<'_, Told> {
        let mut told = self.lock();
        while !told.changed && told.ended.is_none() {
            let Some(until) = until else {
                told = self.came.wait(told).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            told = self.came.wait_timeout(told, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        told
    }
}

/// `tega watch --exec`
pub(super) fn watch(typed: &Typed, command: &str) -> Result<(), Fault> {
    for (flag, name) in [(Flag::Regex, "--regex"), (Flag::Since, "--since")] {
        if typed.has(flag) {
            return Err(Fault::usage(format!(
                "{name} doesn't go with --exec, which is about the state of one path"
            )));
        }
    }
    let (path, mut left, deadline) = (data::node(typed.arg(0))?, Left::of(typed)?, deadline(typed)?);
    let mut following = Following::new(typed)?;
    let mut remote = Remote::new(typed)?;
    // Before the state is read, so that what comes after that is told.
    following.connect()?;
    let news = Arc::new(News::default());
    follow(following, news.clone())?;
    let (mut reason, mut pause) = ("start", FIRST_PAUSE);
    loop {
        news.lock().changed = false;
        let ran =
            state(typed, &mut remote, &path, reason).and_then(|state| run(command, &path, reason, &state));
        let failed = ran.is_err();
        let mut until = deadline;
        match ran {
            Ok(()) => {
                (reason, pause) = ("change", FIRST_PAUSE);
                if left.one() {
                    return Ok(());
                }
            }
            Err(fault) if matches!(fault.exit, Exit::Error | Exit::Unreachable) => {
                note(&format!("{}; again in {} s", fault.message, pause.as_secs()));
                let at = Instant::now() + pause;
                until = Some(deadline.map_or(at, |deadline| deadline.min(at)));
                (reason, pause) = ("retry", (pause * 2).min(MAX_PAUSE));
            }
            Err(fault) => return Err(fault),
        }
        let mut told = news.wait(until);
        if let Some(fault) = told.ended.take() {
            return Err(fault);
        }
        let changed = told.changed;
        drop(told);
        if failed && changed {
            // What fails is run again once a second at most, however fast things change.
            std::thread::sleep(FIRST_PAUSE.min(left_until(deadline)));
            (reason, pause) = ("change", FIRST_PAUSE);
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return if failed {
                Err(Fault::error("time is over, and the last run failed"))
            } else {
                left.late()
            };
        }
    }
}

fn left_until(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Follows in another thread, which ends with the process.
fn follow(mut following: Following, news: Arc<News>) -> Result<(), Fault> {
    let work = move || {
        loop {
            match following.step(None) {
                // Ephemeral nodes come and go without a version, and so without a trace while there's no connection.
                Ok(Step::Changes(_) | Step::Gap(_) | Step::Back) => news.tell(|told| told.changed = true),
                Ok(Step::Message(_) | Step::Late) => {}
                Err(fault) => return news.tell(|told| told.ended = Some(fault)),
            }
        }
    };
    let begun = std::thread::Builder::new().name("watch".into()).spawn(work);
    begun.map(drop).map_err(|error| Fault::error(format!("no thread: {error}")))
}

/// What the command reads: as a plugin's notify, `{"reason":…,"nodes":[{"path":…,"version":…,"value":…}]}`, or with
/// `--flat` a line `PATH=JSON` for each leaf.
fn state(typed: &Typed, remote: &mut Remote, path: &Path, reason: &str) -> Result<String, Fault> {
    let answer = match remote.ask(&Route::Get { path: path.clone(), read: Read::default() }) {
        Ok(answer) => Some(answer),
        Err(fault) if fault.exit == Exit::NotFound => None,
        Err(fault) => return Err(fault),
    };
    let value = answer.as_ref().map(|answer| remote.json(answer)).transpose()?;
    if typed.has(Flag::Flat) {
        let mut lines = String::new();
        if let Some(value) = &value {
            words::flat(path, value, &mut lines);
        }
        return Ok(lines);
    }
    let tag = answer.as_ref().and_then(|answer| answer.header("etag"));
    let version = tag.and_then(|tag| tag.trim_matches('"').split('-').nth(1)?.parse::<i64>().ok());
    let mut node = vec![(Key::from("path"), Value::from(path.to_string()))];
    node.extend(version.map(|version| (Key::from("version"), Value::from(version))));
    node.extend(value.map(|value| (Key::from("value"), value)));
    let said = |error: crate::value::ValueError| Fault::error(error.to_string());
    let nodes = Value::list(vec![Value::object(node).map_err(said)?]).map_err(said)?;
    let state = vec![(Key::from("reason"), Value::from(reason)), (Key::from("nodes"), nodes)];
    Ok(Value::object(state).map_err(said)?.to_string() + "\n")
}

fn run(command: &str, path: &Path, reason: &str, state: &str) -> Result<(), Fault> {
    let failed = |what: &dyn std::fmt::Display| Fault::error(format!("{command:.60}: {what}"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("TEGA_PATH", path.to_string()).env("TEGA_REASON", reason);
    let mut child = shell.stdin(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command needn't read what is there to be read.
        let _ = stdin.write_all(state.as_bytes());
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    if status.success() { Ok(()) } else { Err(failed(&status)) }
}
