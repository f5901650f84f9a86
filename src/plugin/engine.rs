//! The thread that runs plugins: it does what the schedule wants, and polls all programs that run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::desk::{Desk, Loaded, Pending, refusal};
use super::ear::{Ear, Heard};
use super::manifest::Manifest;
use super::run::{self, Surroundings};
use super::scan::{Found, scan};
use super::schedule::{Effect, Input, Name, Reason, Terms, What};
use super::standing::Plugin;
use crate::api::error::Refusal;
use crate::system::boot_ms;
use crate::system::program::{Ended, Running, wait};
use crate::value::Value;

/// How often leaves are looked for that others removed, in milliseconds.
const TEND: u64 = 10_000;

/// How long programs that were killed at a stop are waited for.
const STOP_TIME: Duration = Duration::from_millis(200);

/// The most files that are remembered as told of.
const MAX_TOLD: usize = 1_000;

/// How many are told one by one of a look through the directories.
const MAX_LINES: usize = 10;

pub(super) struct Engine {
    desk: Arc<Desk>,
    dirs: Vec<PathBuf>,
    surroundings: Surroundings,
    /// The files that are plugins, as they were found last.
    files: BTreeMap<Name, Found>,
    runs: BTreeMap<u32, Run>,
    ears: BTreeMap<Name, Ear>,
    tend_at: u64,
    told: BTreeSet<(PathBuf, &'static str)>,
}

/// A program that runs, and for what.
struct Run {
    name: Name,
    program: Running,
    task: Task,
}

enum Task {
    List,
    Call(Box<Pending>),
    Notify,
}

/// A plugin that was taken in, and what it was before.
struct New {
    terms: Terms,
    before: Option<Arc<Loaded>>,
    loaded: Arc<Loaded>,
}

impl Engine {
    pub(super) fn new(desk: Arc<Desk>, dirs: Vec<PathBuf>, surroundings: Surroundings) -> Engine {
        Engine {
            desk,
            dirs,
            surroundings,
            files: BTreeMap::new(),
            runs: BTreeMap::new(),
            ears: BTreeMap::new(),
            tend_at: 0,
            told: BTreeSet::new(),
        }
    }

    /// Works until the stop.
    pub(super) fn run(mut self) {
        self.rescan();
        loop {
            self.carry_out();
            self.answer_reloads();
            let (reload, stop) = {
                let mut inner = self.desk.lock();
                (std::mem::take(&mut inner.reload), inner.stop)
            };
            if stop {
                return self.stop();
            }
            if reload {
                self.rescan();
                continue;
            }
            if let Err(error) = self.poll() {
                log::error!("plugins: {error}");
                std::thread::sleep(Duration::from_millis(100));
            }
            self.desk.bell.hear();
            self.listen();
            self.advance();
            self.tend();
            self.take(Input::Tick);
        }
    }

    fn take(&mut self, input: Input) {
        let mut inner = self.desk.lock();
        let inner = &mut *inner;
        inner.schedule.take(input, boot_ms(), &mut inner.effects);
    }

    /// Does what the schedule wants, until it wants nothing.
    fn carry_out(&mut self) {
        loop {
            let effects = std::mem::take(&mut self.desk.lock().effects);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Refuse(call, why) => {
                        let pending = self.desk.lock().take(call);
                        if let Some(pending) = pending {
                            let name = pending.seat.tega_id.to_string();
                            self.answer(&pending, Err(refusal(&name, why)));
                        }
                    }
                    Effect::Start { run, name, what, time } => self.start(run, name, what, time),
                }
            }
        }
    }

    fn answer(&self, pending: &Pending, outcome: Result<Value, Refusal>) {
        let outcome = outcome.map_err(|refusal| refusal.at(&pending.path));
        self.desk.hub.settle(pending.seat.session, pending.seq, outcome);
    }

    fn start(&mut self, run: u32, name: Name, what: What, time: u64) {
        let (pending, loaded) = {
            let mut inner = self.desk.lock();
            let pending = if let What::Call(call) = what { inner.take(call) } else { None };
            (pending, inner.loaded.get(&name).cloned())
        };
        let file = match (what, &loaded) {
            (What::List, _) | (_, None) => self.files.get(&name).map(|found| found.file.clone()),
            (_, Some(loaded)) => Some(loaded.file.clone()),
        };
        let file = file.unwrap_or_default();
        let (task, word, input) = match (what, pending) {
            (What::List, _) => (Task::List, "list", Ok(Vec::new())),
            (What::Call(_), Some(mut pending)) => {
                let input = std::mem::take(&mut pending.input);
                (Task::Call(Box::new(pending)), "call", Ok(input))
            }
            // Its caller was told already.
            (What::Call(_), None) => return self.take(ended(run, Ok(()), 0)),
            (What::Notify(reason), _) => {
                let input = match &loaded {
                    Some(loaded) => run::notice(&loaded.manifest, reason, &self.desk.store),
                    None => Err("it isn't loaded any more".into()),
                };
                (Task::Notify, "notify", input)
            }
        };
        let mut command = self.surroundings.command(&name, &file, word);
        match (&task, what) {
            (Task::Call(pending), _) => {
                command.arg(pending.method.as_str());
                if let Some(caller) = &pending.caller {
                    command.env("TEGA_CALLER", caller.as_str());
                }
            }
            (_, What::Notify(reason)) => drop(command.env("TEGA_REASON", Reason::word(reason))),
            _ => {}
        }
        let started = input.and_then(|input| {
            let limits = self.surroundings.limits(time);
            Running::start(&mut command, input, limits)
                .map_err(|error| format!("{}: {}", file.display(), run::no_start(&file, &error)))
        });
        match started {
            Ok(program) => drop(self.runs.insert(run, Run { name, program, task })),
            Err(why) => {
                let refusal = Refusal::new("rpc_failed", format!("{}: {why}", titled(&name, &task)));
                self.end(run, &name, task, Err(refusal), 0);
            }
        }
    }

    /// Looks after the programs that run.
    fn advance(&mut self) {
        let mut over = Vec::new();
        for (run, it) in &mut self.runs {
            match it.program.advance() {
                Ok(None) => {}
                Ok(Some(ended)) => over.push((*run, Ok(ended))),
                // It can't be waited for: dropped, it's killed.
                Err(error) => over.push((*run, Err(error))),
            }
        }
        for (run, outcome) in over {
            let Some(Run { name, task, .. }) = self.runs.remove(&run) else { continue };
            let (outcome, took) = match outcome {
                Ok(ended) => {
                    run::log(&name, &ended);
                    let took = u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX);
                    (Ok(ended), took)
                }
                Err(error) => {
                    let message = format!("{}: {error}", titled(&name, &task));
                    (Err(Refusal::new("outcome_unknown", message)), 0)
                }
            };
            self.end(run, &name, task, outcome, took);
        }
    }

    /// A run is over: its caller is told, then the schedule.
    fn end(&mut self, run: u32, name: &Name, task: Task, outcome: Result<Ended, Refusal>, took: u64) {
        let title = titled(name, &task);
        match task {
            // Of a file that isn't there any more: it's listed again, or gone.
            Task::List if !self.desk.lock().schedule.is_current(run) => {
                self.take(Input::Listed(run, Err("its file is another one now".into())));
            }
            Task::List => {
                let listed = outcome.and_then(|ended| {
                    run::finished(&title, &ended)?;
                    let manifest = Manifest::parse(name, &self.surroundings.id, &ended.printed);
                    manifest.map_err(|why| Refusal::new("rpc_failed", format!("{title}: {why}")))
                });
                match listed.map_err(|refusal| refusal.message).and_then(|m| self.load(name, m)) {
                    Ok(New { terms, before, loaded }) => {
                        self.take(Input::Listed(run, Ok(terms)));
                        // From here on calls are taken: now the leaves.
                        if let Some(before) = before {
                            self.desk.withdraw(&before, Some(&loaded.manifest));
                        }
                        self.desk.publish(&loaded);
                    }
                    Err(why) => {
                        // It's listed again by and by: the same is said once.
                        let known =
                            self.desk.lock().schedule.plugins.get(name).and_then(|p| p.refused.clone());
                        let again = known.as_ref() == Some(&why);
                        let level = if again { log::Level::Debug } else { log::Level::Error };
                        log::log!(level, "plugin {name} isn't used: {why}");
                        self.unload(name);
                        self.take(Input::Listed(run, Err(why)));
                    }
                }
            }
            Task::Call(pending) => {
                let outcome = outcome.and_then(|ended| run::result(&title, &ended));
                let told = outcome.as_ref().map(drop).map_err(|refusal| refusal.message.clone());
                if let Err(why) = &told {
                    log::warn!("plugin {}", beginning(why));
                }
                // First the schedule, so that who has the answer finds the call counted.
                self.take(ended(run, told, took));
                self.answer(&pending, outcome);
            }
            Task::Notify => {
                let outcome = outcome.and_then(|ended| run::finished(&title, &ended));
                let told = outcome.map_err(|refusal| refusal.message);
                if let Err(why) = &told {
                    log::warn!("plugin {}; it's run again", beginning(why));
                }
                self.take(ended(run, told, took));
            }
        }
    }

    /// Takes in what a plugin said of itself.
    fn load(&mut self, name: &Name, manifest: Manifest) -> Result<New, String> {
        let Some(found) = self.files.get(name) else { return Err("its file is gone".into()) };
        let known = {
            let inner = self.desk.lock();
            for (other, loaded) in inner.loaded.iter().filter(|(other, _)| *other != name) {
                let is_there =
                    |(method, _): &&(_, _)| loaded.manifest.methods.iter().any(|(m, _)| m == method);
                if let Some((method, _)) = manifest.methods.iter().find(is_there)
                    && loaded.manifest.path == manifest.path
                {
                    return Err(format!("{}.{method} is served by the plugin {other}", manifest.path));
                }
            }
            inner.loaded.get(name).cloned()
        };
        let seat = match &known {
            Some(known) => known.seat.clone(),
            None => self.desk.seat(name)?,
        };
        // It hears before it's run for the first time: so nothing is missed in between.
        self.ears.remove(name);
        if !manifest.subscribe.is_empty() {
            let ear = Ear::new(&self.desk, &manifest).map_err(|error| error.to_string())?;
            self.ears.insert(name.clone(), ear);
        }
        let time = u64::try_from(manifest.time.as_millis()).unwrap_or(u64::MAX);
        let terms = Terms { time, hook: !manifest.subscribe.is_empty() };
        let (methods, path) = (manifest.methods.len(), manifest.path.to_string());
        let loaded = Arc::new(Loaded { file: found.file.clone(), manifest, seat });
        self.desk.lock().loaded.insert(name.clone(), loaded.clone());
        log::info!(
            "plugin {name}: {methods} {} below {path}{}",
            if methods == 1 { "method" } else { "methods" },
            if terms.hook { ", a hook" } else { "" }
        );
        Ok(New { terms, before: known, loaded })
    }

    /// A plugin is none any more: its leaves go at once, its session with its last run.
    fn unload(&mut self, name: &Name) {
        self.ears.remove(name);
        // Taken out under the lock and dropped outside of it.
        let loaded = self.desk.lock().loaded.remove(name);
        if let Some(loaded) = loaded {
            self.desk.withdraw(&loaded, None);
        }
    }

    /// Looks which plugins there are, and takes in what is new, changed or gone. What runs goes on.
    fn rescan(&mut self) {
        let scanned = scan(&self.dirs);
        for (name, why) in &scanned.refused {
            log::error!("plugin {name} isn't used: {why}");
        }
        for (dir, why) in &scanned.closed {
            log::error!("the plugin directory {dir} isn't used: {why}");
        }
        self.tell_of(scanned.passed);
        let found: BTreeMap<Name, Found> = scanned.found.into_iter().map(|f| (f.name.clone(), f)).collect();
        let gone: Vec<Name> = self.files.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
        let is_known = |name: &Name| {
            let inner = self.desk.lock();
            let is_listing = || inner.schedule.plugins.get(name).is_some_and(Plugin::is_listing);
            inner.loaded.contains_key(name) || is_listing()
        };
        let is_same = |name: &Name, now: &Found| {
            self.files.get(name).is_some_and(|before| before.stamp == now.stamp && before.file == now.file)
        };
        // What couldn't be loaded may be by now; what is being listed needn't be once more.
        let new: Vec<Name> = found
            .iter()
            .filter(|(name, now)| !is_same(name, now) || !is_known(name))
            .map(|f| f.0.clone())
            .collect();
        self.files = found;
        self.desk.lock().refused = scanned.refused.into_iter().chain(scanned.closed).collect();
        for name in gone {
            log::info!("plugin {name} is gone");
            self.unload(&name);
            self.take(Input::Gone(name));
        }
        for name in new {
            self.take(Input::Found(name));
        }
    }

    /// Tells once of files in a plugin directory that are none, and of so many: it may be a directory of something else.
    fn tell_of(&mut self, passed: Vec<(PathBuf, &'static str)>) {
        let room = MAX_TOLD.saturating_sub(self.told.len());
        let new: Vec<_> = passed.into_iter().filter(|it| !self.told.contains(it)).take(room).collect();
        let mut left = 0;
        for (at, passed) in new.into_iter().enumerate() {
            if at < MAX_LINES {
                let (file, why) = &passed;
                let is_python = file.extension().is_some_and(|extension| extension == "py");
                let python = if is_python { "; a plugin of the original's can't run here" } else { "" };
                log::warn!("{} is no plugin: {why}{python}", file.display());
            } else {
                left += 1;
            }
            self.told.insert(passed);
        }
        if left > 0 {
            log::warn!("and {left} other files of the plugin directories are none");
        }
    }

    /// Tells those who asked for a reload that it's done.
    fn answer_reloads(&self) {
        let done = {
            let mut inner = self.desk.lock();
            // One that was asked for just now isn't begun yet.
            if inner.reload || inner.writes > 0 || inner.schedule.is_listing() {
                Vec::new()
            } else {
                std::mem::take(&mut inner.reloads)
            }
        };
        done.into_iter().for_each(|done| done());
    }

    fn poll(&mut self) -> std::io::Result<()> {
        let now = boot_ms();
        let mut time = Duration::from_millis(self.tend_at.saturating_sub(now).min(TEND));
        if let Some(at) = self.desk.lock().schedule.wakes_at() {
            time = time.min(Duration::from_millis(at.saturating_sub(now)));
        }
        let mut fds = vec![PollFd::new(self.desk.bell.ear(), PollFlags::IN)];
        for run in self.runs.values() {
            time = time.min(run.program.patience());
            run.program.fds(&mut fds);
        }
        wait(&mut fds, time)
    }

    /// Whose subscribed paths changed?
    fn listen(&mut self) {
        let mut changed = Vec::new();
        for (name, ear) in &mut self.ears {
            match ear.listen() {
                Heard::Nothing => continue,
                Heard::Changes => {}
                // More than the queue holds.
                Heard::Lost => {
                    let loaded = self.desk.lock().loaded.get(name).cloned();
                    let again = loaded.map(|l| Ear::new(&self.desk, &l.manifest));
                    match again {
                        Some(Ok(again)) => *ear = again,
                        Some(Err(error)) => {
                            log::error!("plugin {name} hears of no changes any more: {error}")
                        }
                        None => {}
                    }
                }
            }
            changed.push(name.clone());
        }
        for name in changed {
            self.take(Input::Changed(name));
        }
    }

    /// Puts leaves again that others removed, or that couldn't be put.
    fn tend(&mut self) {
        if boot_ms() < self.tend_at {
            return;
        }
        self.tend_at = boot_ms().saturating_add(TEND);
        let loaded: Vec<Arc<Loaded>> = self.desk.lock().loaded.values().cloned().collect();
        loaded.iter().for_each(|loaded| self.desk.publish(loaded));
    }

    /// Kills what runs, tells who waits, and lets go of everything.
    fn stop(mut self) {
        self.take(Input::Stop);
        self.carry_out();
        self.runs.values_mut().for_each(|run| run.program.kill());
        let until = Instant::now() + STOP_TIME;
        while !self.runs.is_empty() && Instant::now() < until {
            self.advance();
            let mut fds = Vec::new();
            self.runs.values().for_each(|run| run.program.fds(&mut fds));
            if !self.runs.is_empty() && wait(&mut fds, Duration::from_millis(10)).is_err() {
                break;
            }
        }
        for run in std::mem::take(&mut self.runs).into_values() {
            // The kernel doesn't let go of it; nor can it be waited for.
            log::error!("plugin {}: process {} can't be killed", run.name, run.program.pid());
            std::mem::forget(run.program);
        }
        self.ears.clear();
        let (loaded, reloads) = {
            let mut inner = self.desk.lock();
            (std::mem::take(&mut inner.loaded), std::mem::take(&mut inner.reloads))
        };
        drop(loaded);
        reloads.into_iter().for_each(|done| done());
    }
}

fn ended(run: u32, outcome: Result<(), String>, took: u64) -> Input {
    Input::Ended { run, outcome, took }
}

/// The first line: what the program said stands in the log already.
fn beginning(why: &str) -> &str {
    why.lines().next().unwrap_or_default()
}

/// What a run is called where something is said of it.
fn titled(name: &Name, task: &Task) -> String {
    match task {
        Task::List => format!("{name} list"),
        Task::Call(pending) => format!("{name} call {}", pending.method),
        Task::Notify => format!("{name} notify"),
    }
}
