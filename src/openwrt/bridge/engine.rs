//! The thread that drives the machine: it carries out effects, and everything that happens comes to it as a message.
//!
//! What takes long (programs, probes, the home's answers) happens elsewhere and comes back as a message with the number
//! of the job that it belongs to; what comes too late is passed over. The queue of messages has no limit of its own:
//! each kind is sent once for each job that is under way, for each request that the door lets in, or, for a change of the
//! tree, only while none waits.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::command::Cancel;
use super::drift::Drift;
use super::ear::Ear;
use super::guard::Guard;
use super::journal::Journal;
use super::plan::{self, Prepared, Said};
use super::publish::Publisher;
use super::record::Mark;
use super::said::{Effect, Input, Planned, Settings, State, Wanted};
use super::services::{self, Services, Watch as ServiceWatch};
use super::trial::{Nonces, Trial};
use super::{Ask, Options, Verb, answer};
use crate::api::error::Refusal;
use crate::commit::{Incarnation, TegaId};
use crate::hub::Hub;
use crate::path::Key;
use crate::store::Store;
use crate::system::boot_ms;
use crate::value::Value;

/// How often services are looked at in a trial, in milliseconds.
const WATCH_EVERY: u64 = 1_000;

/// How often files are looked at, in milliseconds.
const DRIFT_EVERY: u64 = 2_000;

/// How often what a disk refused at the start is tried again.
const BLOCKED_RETRY: Duration = Duration::from_secs(10);

/// The longest that the thread sleeps.
const NAP: Duration = Duration::from_secs(60);

/// What comes to the thread.
pub(super) enum Message {
    /// The tree may have changed.
    Poke,
    /// Somebody asks.
    Ask(Ask, super::Done),
    /// A job of this number came to this.
    Came(u64, Input),
    /// The home was asked for the newest, by this job.
    Fresh(u64, Result<(), Refusal>),
    /// What procd tells, for this job.
    Looked(u64, Option<Value>),
    /// The tree took in a hand edit, or didn't.
    Adopted(String, Result<(), String>),
    /// The end.
    Stop,
}

#[derive(Debug)]
struct Random;

impl Nonces for Random {
    fn draw(&mut self) -> u64 {
        Incarnation::draw().0
    }
}

/// All that the thread has.
pub(super) struct Engine {
    pub(super) id: TegaId,
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) journal: Journal,
    pub(super) trial: Trial,
    pub(super) services: Services,
    publisher: Publisher,
    pub(super) drift: Drift,
    pub(super) sender: Sender<Message>,
    ear: Ear,
    /// The config root.
    pub(super) root: Key,
    /// What is being applied.
    pub(super) prepared: Option<Prepared>,
    pub(super) limit_ms: u64,
    /// Who goes back where the trial leaves no server.
    pub(super) guard: Option<Guard>,
    /// The last job of each kind, in the order of [`Job`].
    pub(super) jobs: [u64; 5],
    pub(super) last_job: u64,
    pub(super) cancel: Cancel,
    pub(super) watch: Option<ServiceWatch>,
    pub(super) watch_at: u64,
    pub(super) drift_at: u64,
    /// Attempts to connect that had begun when the services were told to reload.
    pub(super) attempts: u64,
    pub(super) synced_at: u64,
}

/// What takes long.
#[derive(Clone, Copy)]
pub(super) enum Job {
    Plan,
    Reload,
    Prove,
    Probe,
    Look,
}

/// Stands in for an engine that can't be: tells why, and touches nothing.
pub(super) fn refuse(mut publisher: Publisher, reason: &str, receiver: &Receiver<Message>) {
    publisher.blocked(reason);
    loop {
        match receiver.recv_timeout(NAP) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Message::Ask(_, done)) => done(Err(Refusal::bad(reason))),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => publisher.tick(boot_ms()),
        }
    }
}

impl Engine {
    pub(super) fn new(
        (id, options): (TegaId, Options),
        (store, hub): (Store, Hub),
        journal: Journal,
        ear: Ear,
    ) -> Engine {
        let services = Services::new(&options.root, options.reload.clone());
        let publisher = Publisher::new(&id, store.clone(), hub.clone());
        let root = Key::from(format!("config-{id}"));
        let limit_ms = options.limit_ms();
        Engine {
            id,
            options,
            store,
            hub,
            journal,
            trial: Trial::new(Box::new(Random)),
            services,
            publisher,
            drift: Drift::default(),
            sender: ear.sender.clone(),
            ear,
            root,
            prepared: None,
            limit_ms,
            guard: None,
            jobs: [0; 5],
            last_job: 0,
            cancel: Cancel::default(),
            watch: None,
            watch_at: 0,
            drift_at: 0,
            attempts: 0,
            synced_at: 0,
        }
    }

    /// Works until it's told to stop.
    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        if !self.start(receiver) {
            return;
        }
        self.tree();
        loop {
            match receiver.recv_timeout(self.nap()) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.message(message),
                Err(RecvTimeoutError::Timeout) => self.feed(Input::Tick),
            }
            self.look();
        }
        self.cancel.store(true, Ordering::SeqCst);
    }

    /// Undoes what a crash left half done. False: it was told to stop meanwhile.
    fn start(&mut self, receiver: &Receiver<Message>) -> bool {
        let undone = self.journal.record().cloned();
        loop {
            match self.journal.recover() {
                Ok(None) => break,
                Ok(Some(reason)) => {
                    log::warn!("the old files of /etc/config are back: {reason}");
                    // Services may have seen the new ones.
                    let packages: Vec<String> =
                        undone.iter().flat_map(|it| &it.files).map(|file| file.name.clone()).collect();
                    let told = self.services.reload(&packages, Duration::from_secs(60), &self.cancel);
                    if let Err(error) = told {
                        log::warn!("services aren't told that the old files are back: {error}");
                    }
                    break;
                }
                Err(error) => {
                    log::error!("the old files of /etc/config can't be put back yet: {error}");
                    let reason = format!("the old files can't be put back: {error}");
                    self.publisher.blocked(&reason);
                    match receiver.recv_timeout(BLOCKED_RETRY) {
                        Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                        Ok(Message::Ask(_, done)) => done(Err(Refusal::new("no_space", reason))),
                        _ => {}
                    }
                }
            }
        }
        let memory = self.journal.memory().clone();
        if let Some(confirmed) = memory.confirmed {
            self.feed(Input::Confirmed(confirmed.mark, confirmed.sum));
        }
        if let Some(reverted) = memory.reverted.filter(|_| self.journal.record().is_none()) {
            self.feed(Input::Reverted(reverted));
        }
        if let Some(record) = self.journal.record().cloned() {
            log::info!("the trial of version {} goes on", record.mark.version);
            self.begin_watch();
            // As when it began: what the tree says of the time counts.
            let said = plan::said(&self.store.view(), &self.root);
            self.limit_ms = self.options.limit_of(said.and_then(|said| said.confirm_seconds));
            self.feed(Input::Resumed(self.settings(), record));
        }
        true
    }

    fn nap(&self) -> Duration {
        let now = boot_ms();
        let mut at = now.saturating_add(u64::try_from(NAP.as_millis()).unwrap_or(60_000)).min(self.drift_at);
        if let Some(wakes) = self.trial.wakes_at() {
            at = at.min(wakes);
        }
        if self.trial.watches() && self.watch.is_some() {
            at = at.min(self.watch_at);
        }
        if let Some(wakes) = self.publisher.wakes_at() {
            at = at.min(wakes);
        }
        Duration::from_millis(at.saturating_sub(now).max(1))
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Poke => {
                self.ear.listen(&self.store);
                self.tree();
            }
            Message::Ask(ask, done) => self.ask(ask, done),
            Message::Came(job, input) if self.jobs.contains(&job) => self.feed(input),
            Message::Fresh(job, outcome) if job == self.job_of(Job::Plan) => {
                let planned = match outcome {
                    Ok(()) => self.planned(),
                    Err(refusal) if refusal.code == "no_link" => self.no_link(),
                    Err(refusal) => Planned::NotNow(format!("the home doesn't answer: {}", refusal.code)),
                };
                self.feed(Input::Planned(planned));
            }
            Message::Looked(job, list) if job == self.job_of(Job::Look) => {
                let crashed = list.and_then(|list| self.watch.as_mut()?.look(services::instances(&list)));
                if let Some(why) = crashed {
                    self.feed(Input::Crashed(why));
                }
            }
            Message::Adopted(package, outcome) => self.drift.adopted(&package, outcome),
            _ => {}
        }
    }

    fn job_of(&self, kind: Job) -> u64 {
        self.jobs.get(kind as usize).copied().unwrap_or_default()
    }

    pub(super) fn begin_job(&mut self, kind: Job) -> u64 {
        self.last_job += 1;
        if let Some(job) = self.jobs.get_mut(kind as usize) {
            *job = self.last_job;
        }
        self.last_job
    }

    /// What the tree says goes to the machine.
    fn tree(&mut self) {
        let wanted = match plan::said(&self.store.view(), &self.root) {
            Some(Said { mark, sum, .. }) => Wanted { mark, sum },
            None => match self.store.standing(&self.root) {
                Some(gone) => {
                    let mark = Mark { incarnation: gone.incarnation, version: gone.version };
                    Wanted { mark, sum: None }
                }
                None => return self.feed(Input::Tick),
            },
        };
        self.feed(Input::Wanted(wanted));
    }

    /// Gives the machine what happened, and does what it wants.
    pub(super) fn feed(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.trial.take(input, boot_ms(), &mut effects);
            for effect in effects {
                inputs.extend(self.carry_out(effect));
            }
        }
    }

    pub(super) fn after_trial(&mut self) {
        (self.prepared, self.watch) = (None, None);
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
        self.drift.forget();
        self.drift_at = 0;
    }

    /// Publishes how it stands.
    pub(super) fn tell(&mut self) {
        let told = self.told();
        self.publisher.publish(told);
    }

    /// How it stands, for everybody.
    pub(super) fn told(&self) -> Value {
        let changes = self.prepared.as_ref().map(|prepared| {
            let packages: Vec<String> = prepared.lines.iter().map(|(name, _)| name.clone()).collect();
            (prepared.lines.clone(), packages)
        });
        let reloads = match (&changes, self.trial.state()) {
            (Some((_, packages)), State::Applying) => {
                self.services.list(true).map(|list| services::reloaded_by(&list, packages))
            }
            _ => None,
        };
        let lines = changes.map(|(lines, _)| lines).unwrap_or_default();
        answer::report(&self.trial.told(), &lines, reloads.as_deref(), &self.drift, self.journal.memory())
    }

    /// What the tree wants of the files, once it's known to be the newest.
    pub(super) fn planned(&mut self) -> Planned {
        let Some(said) = plan::said(&self.store.view(), &self.root) else {
            return Planned::NotNow("the tree has nothing for /etc/config".into());
        };
        if let Some(sum) = &said.sum {
            // What came meanwhile; the machine plans anew where it says something else.
            let wanted = Wanted { mark: said.mark, sum: Some(sum.clone()) };
            let mut effects = Vec::new();
            self.trial.take(Input::Wanted(wanted), boot_ms(), &mut effects);
            for effect in effects {
                if matches!(effect, Effect::Report(_)) {
                    self.tell();
                }
            }
        }
        let (config, memory) = (self.journal.config(), self.journal.memory());
        match plan::prepare(config, &said, memory, &self.options.secrets) {
            Err(reason) => Planned::Refused(reason),
            Ok(prepared) if prepared.plan.changes.is_empty() => {
                self.prepared = Some(prepared);
                Planned::Same
            }
            Ok(prepared) => {
                self.limit_ms = self.options.limit_of(said.confirm_seconds);
                self.prepared = Some(prepared);
                Planned::Change(self.settings())
            }
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            limit: self.limit_ms,
            // Whatever the tree sets the limit to, there is time to prove it in.
            settle: self.options.settle_ms().min(self.limit_ms / 2),
            by_global: self.hub.global().is_some(),
            probes: !self.options.probes.is_empty(),
        }
    }

    fn no_link(&self) -> Planned {
        Planned::NotNow("waits for the link to the global server".into())
    }

    /// The managed files as they are to count.
    pub(super) fn base(&self) -> BTreeMap<String, super::files::Sum> {
        if let Some(prepared) = &self.prepared {
            return prepared.base.iter().cloned().collect();
        }
        let mut base = self.journal.memory().base.clone();
        for file in self.journal.record().iter().flat_map(|record| &record.files) {
            match &file.new {
                Some(sum) => drop(base.insert(file.name.clone(), sum.clone())),
                None => drop(base.remove(&file.name)),
            }
        }
        base
    }

    /// What is to be looked at again and again.
    fn look(&mut self) {
        let now = boot_ms();
        if self.trial.watches() && self.watch.is_some() && self.watch_at <= now {
            self.watch_at = now.saturating_add(WATCH_EVERY);
            let job = self.begin_job(Job::Look);
            let services = self.services.clone();
            self.work("uci-watch", move || Message::Looked(job, services.list(false)));
        }
        if self.drift_at <= now {
            self.drift_at = now.saturating_add(DRIFT_EVERY);
            if self.trial.is_idle() {
                self.look_for_drift();
            }
        }
        self.publisher.tick(now);
    }

    fn look_for_drift(&mut self) {
        let state = self.trial.state();
        // Not what the tree says now: a newer version may be refused, reverted, or not even looked at.
        let confirmed = || {
            let mark = self.trial.told().confirmed?;
            plan::said_by(&self.store, &self.root, mark)
        };
        let (config, base) = (self.journal.config(), &self.journal.memory().base);
        if self.drift.look(config, base, confirmed, &self.options.secrets) {
            self.tell();
        }
        if state == State::Confirmed {
            self.act_on_drift();
        }
    }

    fn act_on_drift(&mut self) {
        match self.options.drift {
            super::Policy::Report => {}
            super::Policy::Adopt => {
                let (sender, view) = (self.sender.clone(), self.store.view());
                let proposed = self.drift.proposals(self.journal.config(), &view, &self.root, &self.id);
                for (package, transaction) in proposed {
                    log::info!("{package} was edited here: proposed to the tree");
                    let sender = sender.clone();
                    self.hub.submit(transaction, move |outcome| {
                        let outcome = outcome.map(drop).map_err(|refusal| refusal.message);
                        let _ = sender.send(Message::Adopted(package, outcome));
                    });
                }
            }
            super::Policy::Enforce => {
                let memory = self.journal.memory();
                // A version that didn't do when it was enforced isn't tried on and on.
                let didnt_do =
                    memory.reverted.as_ref().map(|it| &it.sum) == memory.confirmed.as_ref().map(|it| &it.sum);
                if !(didnt_do && memory.reverted.is_some()) && self.drift.enforces(boot_ms()) {
                    log::info!("/etc/config was edited here: the tree is enforced");
                    self.feed(Input::Enforce);
                }
            }
        }
    }

    fn ask(&mut self, ask: Ask, done: super::Done) {
        match ask.verb {
            Verb::Status => done(Ok(self.with_settings(self.told()))),
            Verb::Diff => done(answer::diff(self, ask.secrets)),
            Verb::Adopt => answer::adopt(self, &ask, done),
            Verb::Confirm => {
                let outcome = match self.trial.may_confirm(ask.opened) {
                    Ok(()) => {
                        self.feed(Input::Confirm { opened: ask.opened });
                        Ok(self.told())
                    }
                    Err(why) => Err(Refusal::bad(why)),
                };
                done(outcome);
            }
            Verb::Revert => {
                let outcome = match self.trial.may_revert() {
                    Ok(()) => {
                        let who = ask.by.map_or("somebody".into(), |by| by.to_string());
                        self.feed(Input::Revert(format!("{who} reverted it")));
                        Ok(self.told())
                    }
                    Err(why) => Err(Refusal::bad(why)),
                };
                done(outcome);
            }
            Verb::Retry => {
                self.feed(Input::Retry);
                done(Ok(self.told()));
            }
        }
    }

    fn with_settings(&self, told: Value) -> Value {
        let mut members = told.as_object().map(|object| object.members().to_vec()).unwrap_or_default();
        members.push((Key::from("root"), Value::from(self.root.as_str())));
        let dir = self.journal.config().path().display().to_string();
        members.push((Key::from("directory"), Value::from(dir.as_str())));
        members.push((Key::from("confirm_seconds"), Value::from(self.limit_ms / 1_000)));
        Value::object(members).unwrap_or(told)
    }
}
