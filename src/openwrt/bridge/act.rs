//! What the engine does for the machine: one effect after the other.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::command::Cancel;
use super::engine::{Engine, Job, Message};
use super::guard::{Guard, OWN};
use super::record::Mark;
use super::said::{Effect, Input};
use super::services::{self, Watch};
use crate::api::error::Refusal;
use crate::commit::Incarnation;
use crate::message::link::body::read_proof;
use crate::store::Home;
use crate::system::boot_ms;
use crate::value::Value;

/// How long the global's answer to a nonce may take.
const PROOF_TIME: Duration = Duration::from_secs(10);

/// How often a connection to the global is begun anew while none comes up, in milliseconds.
const SYNC_EVERY: u64 = 15_000;

impl Engine {
    /// Does one thing; what came of it, where that is known at once.
    pub(super) fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Plan(_) => {
                let job = self.begin_job(Job::Plan);
                match self.store.home(&self.root) {
                    // Only the newest is applied: what the home has by now comes first.
                    Ok(Home::Away(_)) => {
                        let sender = self.sender.clone();
                        self.hub.fresh(vec![self.root.clone()], move |outcome| {
                            let _ = sender.send(Message::Fresh(job, outcome));
                        });
                        None
                    }
                    _ => Some(Input::Planned(self.planned())),
                }
            }
            Effect::Install(deadline) => {
                self.begin_watch();
                let begun = match &self.prepared {
                    Some(prepared) => self.journal.begin(&prepared.plan, Incarnation::draw().0, deadline),
                    None => Err(std::io::Error::other("nothing was planned")),
                };
                let touched = self.journal.record().is_some();
                Some(match begun {
                    Ok(()) => Input::Installed(Ok(())),
                    // Somebody else was faster, or has the lock.
                    Err(error)
                        if !touched
                            && matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut) =>
                    {
                        Input::Again(error.to_string())
                    }
                    Err(error) => Input::Installed(Err((error.to_string(), touched))),
                })
            }
            Effect::Reload => {
                if let Err(error) = self.journal.reloading() {
                    return Some(Input::Reloaded(Err(format!("the journal: {error}"))));
                }
                if let Err(error) = self.guard_itself() {
                    let why = format!("{OWN} isn't changed without a process that would undo it: {error}");
                    return Some(Input::Reloaded(Err(why)));
                }
                self.reload();
                None
            }
            Effect::Undo => {
                self.reload();
                None
            }
            Effect::Prove(nonce) => self.prove(nonce),
            Effect::Probe => {
                let job = self.begin_job(Job::Probe);
                let (probes, cancel) = (self.options.probes.clone(), self.cancel.clone());
                self.work("uci-probe", move || {
                    let probed = probes.iter().try_for_each(|probe| probe.run(&cancel));
                    Message::Came(job, Input::Probed(probed))
                });
                None
            }
            Effect::Seal => {
                let base = self.base();
                let sealed = self.journal.confirm(base);
                if sealed.is_ok() {
                    self.after_trial();
                }
                Some(Input::Written(sealed.map_err(|error| error.to_string())))
            }
            Effect::Restore(reason) => {
                self.cancel.store(true, Ordering::SeqCst);
                self.cancel = Cancel::default();
                let restored = self.journal.restore(&reason);
                Some(Input::Restored(restored.map(drop).map_err(|error| error.to_string())))
            }
            Effect::Close(reason) => {
                let closed = self.journal.close(&reason);
                if closed.is_ok() {
                    self.after_trial();
                    // The way back is the old one: the global hears of it as soon as that works.
                    self.hub.sync();
                }
                Some(Input::Written(closed.map_err(|error| error.to_string())))
            }
            Effect::Note(mark, sum) => {
                let base = self.prepared.take().map(|prepared| prepared.base).unwrap_or_default();
                if let Err(error) = self.journal.note_confirmed(mark, sum, base) {
                    log::warn!("what is confirmed isn't remembered: {error}");
                }
                self.after_trial();
                None
            }
            Effect::Forget => {
                if let Err(error) = self.journal.forget_reverted() {
                    log::warn!("what was reverted is still remembered: {error}");
                }
                None
            }
            Effect::Report(report) => {
                log::info!(
                    "/etc/config: {}{}{}",
                    report.state.word(),
                    report.version.map_or(String::new(), |mark| format!(" {}", mark.version)),
                    if report.reason.is_empty() { String::new() } else { format!(": {}", report.reason) }
                );
                self.tell();
                None
            }
        }
    }

    /// Has the trial undone by another process, where this one may not survive it.
    fn guard_itself(&mut self) -> std::io::Result<()> {
        let record = self.journal.record();
        let own = record.filter(|record| record.files.iter().any(|file| file.name == OWN));
        if let Some(record) = own.filter(|_| self.guard.is_none()) {
            self.guard = Some(Guard::start(&self.options, record.deadline)?);
        }
        Ok(())
    }

    fn reload(&mut self) {
        let packages: Vec<String> =
            self.journal.record().iter().flat_map(|it| &it.files).map(|file| file.name.clone()).collect();
        let job = self.begin_job(Job::Reload);
        let (services, cancel) = (self.services.clone(), self.cancel.clone());
        let time = Duration::from_millis(self.limit_ms);
        let sender = self.sender.clone();
        let begun = std::thread::Builder::new().name("uci-reload".into()).spawn(move || {
            let reloaded = services.reload(&packages, time, &cancel);
            let _ = sender.send(Message::Came(job, Input::Reloaded(reloaded)));
        });
        if let Err(error) = begun {
            let failed = Input::Reloaded(Err(format!("no thread for it: {error}")));
            let _ = self.sender.send(Message::Came(job, failed));
        }
        // Until the reload is done.
        self.attempts = u64::MAX;
    }

    fn prove(&mut self, nonce: u64) -> Option<Input> {
        let now = boot_ms();
        if self.attempts == u64::MAX {
            // The reload is done: the link of before ends, and the next is of a new connection.
            self.attempts = self.hub.attempts();
            self.sync(now);
        }
        let newer = self.hub.uplink().filter(|link| link.attempt() > self.attempts);
        let Some(link) = newer else {
            if now.saturating_sub(self.synced_at) >= SYNC_EVERY {
                self.sync(now);
            }
            let problem = self.hub.global().and_then(|global| global.problem).unwrap_or_default();
            return Some(Input::Proved(Err(format!("no new link yet {problem}").trim().into())));
        };
        let job = self.begin_job(Job::Prove);
        let sender = self.sender.clone();
        let proved = move |outcome: Result<Value, Refusal>| {
            let proof = match outcome {
                Err(refusal) => Err(refusal.message),
                Ok(value) => match read_proof(&value) {
                    Some((nonce, incarnation, version)) => Ok((nonce, Mark { incarnation, version })),
                    None => Err("the global's answer can't be read".into()),
                },
            };
            let _ = sender.send(Message::Came(job, Input::Proved(proof)));
        };
        link.prove(&self.root, nonce, PROOF_TIME, Box::new(proved));
        None
    }

    fn sync(&mut self, now: u64) {
        self.synced_at = now;
        self.hub.sync();
    }

    pub(super) fn begin_watch(&mut self) {
        self.watch = self.services.list(false).map(|list| Watch::new(services::instances(&list)));
        self.watch_at = 0;
    }

    /// Does elsewhere what takes long.
    pub(super) fn work(&self, name: &str, work: impl FnOnce() -> Message + Send + 'static) {
        let sender = self.sender.clone();
        let begun = std::thread::Builder::new().name(name.into()).spawn(move || {
            let _ = sender.send(work());
        });
        if let Err(error) = begun {
            // The trial's time limit is what ends it then.
            log::error!("no thread for {name}: {error}");
        }
    }
}
