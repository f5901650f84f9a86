//! The trial as a machine without disk, network, processes or clock: what happened comes in, what is to be done goes out.
//!
//! ```text
//!            wanted            installed        reloaded                 proved, probed, watched
//! idle ─→ planning ─→ installing ─→ reloading ─→ proving ──────────────────────────→ sealing ─→ confirmed
//!             │            │            └───────────┴── failed, too late, revert ─→ restoring ─→ undoing ─→ closing ─→ reverted
//!             └─→ failed ←─┘
//! ```
//!
//! **Versions.** One trial is under way at a time. What the tree says meanwhile is remembered, the newest alone, and looked at
//! when the trial has ended: so of many versions that come at once only the last is applied. Two versions that say the
//! same of the files are one here: what was reverted isn't tried again because something else in the root changed.
//!
//! **Time** is the boot clock's, in milliseconds, and only [`Trial::take`] is told it; [`Trial::wakes_at`] says when it
//! wants to be. The limit runs from the moment when the files are in place, across restarts of this program.
//!
//! **Once sealing was tried there's no way back**: the disk may know the version as confirmed already.

use super::files::Sum;
use super::record::{Mark, Phase, Record, Reverted};
use super::said::{Effect, Input, Planned, Report, Settings, State, Wanted};

/// How long after a proof or probe that failed it's tried again, in milliseconds.
pub const RETRY: u64 = 1_000;

/// How long after a disk that refused to go back, or to be told of the end, it's tried again, in milliseconds.
pub const DISK_RETRY: u64 = 5_000;

/// How often services are told to reload in one trial: once more where a restart cut it off.
pub const MAX_RELOADS: u64 = 2;

/// How often they are told to go back, before it's taken as done.
pub const MAX_UNDO: u32 = 3;

/// What a trial needs before it's confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proving {
    pub(super) proved: bool,
    pub(super) probed: bool,
    /// The nonce that is out, if one is.
    pub(super) asked: Option<u64>,
    /// Probes run.
    pub(super) probing: bool,
    /// When it's tried first, or again after a failure.
    pub(super) prove_at: u64,
    pub(super) probe_at: u64,
    /// When the services have had their time to take the files into use, since telling them to is over before they have.
    /// What was proved earlier would be proof of the old files: a connection that confirms must be younger.
    pub(super) settled_at: u64,
    /// Why it isn't confirmed yet.
    pub(super) why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is under way; the state says how the last ended.
    Idle(State),
    Planning,
    Installing,
    Reloading {
        deadline: u64,
    },
    Proving {
        deadline: u64,
        proving: Proving,
    },
    Sealing {
        retry_at: Option<u64>,
    },
    Restoring {
        reason: String,
        undo: bool,
        retry_at: Option<u64>,
    },
    Undoing {
        reason: String,
        tries: u32,
    },
    Closing {
        reason: String,
        retry_at: Option<u64>,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Trial {
    pub(super) stage: Stage,
    pub(super) settings: Settings,
    /// The newest that the tree said.
    pub(super) wanted: Option<Wanted>,
    /// What the stage is about.
    pub(super) current: Option<(Mark, Sum)>,
    pub(super) confirmed: Option<(Mark, Sum)>,
    pub(super) reverted: Option<Reverted>,
    /// What was refused, and isn't tried again.
    pub(super) failed: Option<(Sum, String)>,
    /// Why the last wasn't planned, and when that is tried again.
    pub(super) not_now: Option<(String, u64)>,
    pub(super) reloads: u64,
    pub(super) nonces: Box<dyn Nonces>,
    pub(super) last: Option<Report>,
}

/// Where nonces come from.
pub trait Nonces: Send + std::fmt::Debug {
    /// A number that nobody can know before.
    fn draw(&mut self) -> u64;
}

impl Trial {
    /// One that knows nothing yet.
    pub fn new(nonces: Box<dyn Nonces>) -> Trial {
        Trial {
            stage: Stage::Idle(State::Unmanaged),
            settings: Settings { limit: 90_000, settle: 0, by_global: false, probes: false },
            wanted: None,
            current: None,
            confirmed: None,
            reverted: None,
            failed: None,
            not_now: None,
            reloads: 0,
            nonces,
            last: None,
        }
    }

    /// Takes what happened at this time of the boot clock, and appends what is to be done.
    pub fn take(&mut self, input: Input, now: u64, effects: &mut Vec<Effect>) {
        self.step(input, now, effects);
        self.look(now, effects);
        self.report(effects);
    }

    fn step(&mut self, input: Input, now: u64, effects: &mut Vec<Effect>) {
        match (input, &mut self.stage) {
            (Input::Confirmed(mark, sum), Stage::Idle(_)) => self.confirmed = Some((mark, sum)),
            (Input::Reverted(reverted), Stage::Idle(_)) => self.reverted = Some(reverted),
            (Input::Resumed(settings, record), Stage::Idle(_)) => self.resume(settings, record, now, effects),
            (Input::Wanted(wanted), _) => {
                if self.wanted.as_ref().and_then(|known| known.sum.as_ref()) != wanted.sum.as_ref() {
                    self.not_now = None;
                }
                self.wanted = Some(wanted);
            }
            (Input::Planned(planned), Stage::Planning) => self.planned(planned, now, effects),
            (Input::Installed(Ok(())), Stage::Installing) => {
                let deadline = now.saturating_add(self.settings.limit);
                self.reloads = 1;
                self.stage = Stage::Reloading { deadline };
                effects.push(Effect::Reload);
            }
            (Input::Installed(Err((reason, touched))), Stage::Installing) => {
                if touched {
                    self.restore(format!("it couldn't be put in place: {reason}"), false, effects);
                } else {
                    self.fail(reason);
                }
            }
            (Input::Again(reason), Stage::Installing) => {
                self.current = None;
                self.not_now = Some((reason, now.saturating_add(RETRY)));
                self.stage = Stage::Idle(State::Behind);
            }
            (Input::Reloaded(outcome), Stage::Reloading { deadline }) => {
                let deadline = *deadline;
                match outcome {
                    Ok(()) => self.prove_from(deadline, now),
                    Err(reason) => {
                        self.restore(format!("the services didn't reload: {reason}"), true, effects)
                    }
                }
            }
            (Input::Reloaded(outcome), Stage::Undoing { reason, tries }) => {
                *tries += 1;
                match outcome {
                    Err(why) if *tries < MAX_UNDO => {
                        log::warn!("services aren't told that the old files are back: {why}");
                        effects.push(Effect::Undo);
                    }
                    outcome => {
                        let mut reason = std::mem::take(reason);
                        if let Err(why) = outcome {
                            reason = format!(
                                "{reason}; the old files are back, but services didn't reload: {why}"
                            );
                        }
                        effects.push(Effect::Close(reason.clone()));
                        self.stage = Stage::Closing { reason, retry_at: None };
                    }
                }
            }
            (Input::Proved(outcome), Stage::Proving { proving, .. }) => {
                let asked = proving.asked.take();
                let current = self.current.as_ref().map(|(mark, _)| *mark);
                match outcome {
                    Ok((nonce, _)) if asked != Some(nonce) => proving.asked = asked,
                    Ok((_, mark))
                        if current.is_some_and(|current| {
                            mark.incarnation == current.incarnation && mark.version >= current.version
                        }) =>
                    {
                        proving.proved = true;
                    }
                    Ok((_, mark)) => {
                        proving.why = format!("the home has {}, not what is on trial", mark.version);
                        proving.prove_at = now.saturating_add(RETRY);
                    }
                    Err(why) => {
                        proving.why = why;
                        proving.prove_at = now.saturating_add(RETRY);
                    }
                }
            }
            (Input::Probed(outcome), Stage::Proving { proving, .. }) => {
                proving.probing = false;
                match outcome {
                    Ok(()) => proving.probed = true,
                    Err(why) => {
                        proving.why = why;
                        proving.probe_at = now.saturating_add(RETRY);
                    }
                }
            }
            (Input::Crashed(why), Stage::Proving { .. }) => self.restore(why, true, effects),
            (Input::Confirm { opened }, Stage::Proving { proving, .. })
                if opened > proving.settled_at && !self.settings.by_global =>
            {
                proving.proved = true;
            }
            (Input::Revert(who), Stage::Reloading { .. } | Stage::Proving { .. }) => {
                self.restore(who, true, effects);
            }
            (Input::Retry, Stage::Idle(_)) => {
                if self.reverted.take().is_some() {
                    effects.push(Effect::Forget);
                }
                (self.failed, self.not_now) = (None, None);
                if matches!(self.stage, Stage::Idle(State::Reverted | State::Failed)) {
                    self.stage = Stage::Idle(State::Behind);
                }
            }
            (Input::Enforce, Stage::Idle(State::Confirmed)) => {
                self.stage = Stage::Idle(State::Behind);
                self.plan(effects);
            }
            (Input::Restored(outcome), Stage::Restoring { reason, undo, retry_at }) => match outcome {
                Err(why) => {
                    log::error!("the old files can't be put back yet: {why}");
                    *retry_at = Some(now.saturating_add(DISK_RETRY));
                }
                Ok(()) if *undo => {
                    effects.push(Effect::Undo);
                    self.stage = Stage::Undoing { reason: std::mem::take(reason), tries: 0 };
                }
                Ok(()) => {
                    effects.push(Effect::Close(reason.clone()));
                    self.stage = Stage::Closing { reason: std::mem::take(reason), retry_at: None };
                }
            },
            (Input::Written(outcome), Stage::Sealing { retry_at }) => match outcome {
                Err(why) => {
                    log::error!("that the version is confirmed can't be written yet: {why}");
                    *retry_at = Some(now.saturating_add(DISK_RETRY));
                }
                Ok(()) => {
                    self.confirmed = self.current.take();
                    self.reverted = None;
                    self.stage = Stage::Idle(State::Confirmed);
                }
            },
            (Input::Written(outcome), Stage::Closing { reason, retry_at }) => match outcome {
                Err(why) => {
                    log::error!("that the version was reverted can't be written yet: {why}");
                    *retry_at = Some(now.saturating_add(DISK_RETRY));
                }
                Ok(()) => {
                    let reason = std::mem::take(reason);
                    self.reverted = self.current.take().map(|(mark, sum)| Reverted { mark, sum, reason });
                    self.stage = Stage::Idle(State::Reverted);
                }
            },
            // What belongs to a stage that is over.
            _ => {}
        }
    }

    /// Does what it's time for.
    fn look(&mut self, now: u64, effects: &mut Vec<Effect>) {
        let settings = self.settings;
        match &mut self.stage {
            Stage::Idle(_) => self.next(now, effects),
            Stage::Reloading { deadline } if *deadline <= now => {
                self.restore(
                    "the services took longer to reload than the trial may last".into(),
                    true,
                    effects,
                );
            }
            Stage::Proving { deadline, proving } => {
                let probed = proving.probed || !settings.probes;
                if proving.proved && probed {
                    effects.push(Effect::Seal);
                    self.stage = Stage::Sealing { retry_at: None };
                } else if *deadline <= now {
                    let missing = match (proving.proved, probed) {
                        (false, _) if settings.by_global => {
                            "the global server didn't answer over a new connection"
                        }
                        (false, _) => "nobody confirmed it",
                        (true, _) => "a probe failed",
                    };
                    let why =
                        if proving.why.is_empty() { String::new() } else { format!(": {}", proving.why) };
                    let reason = format!("{missing} in {} s{why}", settings.limit / 1_000);
                    self.restore(reason, true, effects);
                } else {
                    if settings.by_global
                        && !proving.proved
                        && proving.asked.is_none()
                        && proving.prove_at <= now
                    {
                        let nonce = self.nonces.draw();
                        proving.asked = Some(nonce);
                        effects.push(Effect::Prove(nonce));
                    }
                    if settings.probes && !proving.probed && !proving.probing && proving.probe_at <= now {
                        proving.probing = true;
                        effects.push(Effect::Probe);
                    }
                }
            }
            Stage::Sealing { retry_at } if retry_at.is_some_and(|at| at <= now) => {
                *retry_at = None;
                effects.push(Effect::Seal);
            }
            Stage::Restoring { reason, retry_at, .. } if retry_at.is_some_and(|at| at <= now) => {
                *retry_at = None;
                effects.push(Effect::Restore(reason.clone()));
            }
            Stage::Closing { reason, retry_at } if retry_at.is_some_and(|at| at <= now) => {
                *retry_at = None;
                effects.push(Effect::Close(reason.clone()));
            }
            _ => {}
        }
    }

    /// Nothing is under way: is there something to do?
    fn next(&mut self, now: u64, effects: &mut Vec<Effect>) {
        let Some(wanted) = self.wanted.clone() else { return };
        let Some(sum) = wanted.sum else {
            self.stage = Stage::Idle(State::Unmanaged);
            return;
        };
        if let Some(confirmed) = self.confirmed.as_mut().filter(|(_, confirmed)| *confirmed == sum)
            && self.stage != Stage::Idle(State::Behind)
        {
            // Another version that says the same of the files.
            confirmed.0 = wanted.mark;
            self.stage = Stage::Idle(State::Confirmed);
            return;
        }
        if self.reverted.as_ref().is_some_and(|reverted| reverted.sum == sum) {
            self.stage = Stage::Idle(State::Reverted);
            return;
        }
        if self.failed.as_ref().is_some_and(|(failed, _)| *failed == sum) {
            self.stage = Stage::Idle(State::Failed);
            return;
        }
        if self.not_now.as_ref().is_some_and(|(_, at)| *at > now) {
            self.stage = Stage::Idle(State::Behind);
            return;
        }
        self.plan(effects);
    }

    fn plan(&mut self, effects: &mut Vec<Effect>) {
        if let Some(Wanted { mark, sum: Some(sum) }) = self.wanted.clone() {
            self.current = Some((mark, sum));
            self.stage = Stage::Planning;
            effects.push(Effect::Plan(mark));
        }
    }

    fn planned(&mut self, planned: Planned, now: u64, effects: &mut Vec<Effect>) {
        // Something newer came while this was planned, and nothing is in place yet.
        let outdated = match (&self.wanted, &self.current) {
            (Some(wanted), Some((_, sum))) => wanted.sum.as_ref() != Some(sum),
            _ => true,
        };
        if outdated {
            self.current = None;
            self.stage = Stage::Idle(State::Behind);
            return;
        }
        match planned {
            Planned::Change(settings) => {
                (self.settings, self.not_now, self.failed) = (settings, None, None);
                self.stage = Stage::Installing;
                effects.push(Effect::Install(now.saturating_add(settings.limit)));
            }
            Planned::Same => {
                if let Some((mark, sum)) = self.current.take() {
                    effects.push(Effect::Note(mark, sum.clone()));
                    self.confirmed = Some((mark, sum));
                }
                (self.reverted, self.failed, self.not_now) = (None, None, None);
                self.stage = Stage::Idle(State::Confirmed);
            }
            Planned::Refused(reason) => self.fail(reason),
            Planned::NotNow(reason) => {
                self.current = None;
                self.not_now = Some((reason, now.saturating_add(RETRY)));
                self.stage = Stage::Idle(State::Behind);
            }
        }
    }

    fn resume(&mut self, settings: Settings, record: Record, now: u64, effects: &mut Vec<Effect>) {
        self.settings = settings;
        self.current = Some((record.mark, record.sum));
        self.reloads = record.reloads;
        // The clock can't have gone back; a limit that is far off would be from somewhere else.
        let deadline = record.deadline.min(now.saturating_add(settings.limit));
        match record.phase {
            Phase::Trial if self.reloads < MAX_RELOADS => {
                self.reloads += 1;
                self.stage = Stage::Reloading { deadline };
                effects.push(Effect::Reload);
            }
            Phase::Trial => self.prove_from(deadline, now),
            Phase::Installing => self.restore("it wasn't in place yet".into(), false, effects),
            Phase::Reverting => self.restore(record.reason, true, effects),
        }
    }

    fn prove_from(&mut self, deadline: u64, now: u64) {
        let settled_at = now.saturating_add(self.settings.settle);
        let proving = Proving {
            proved: false,
            probed: false,
            asked: None,
            probing: false,
            prove_at: settled_at,
            probe_at: settled_at,
            settled_at,
            why: String::new(),
        };
        self.stage = Stage::Proving { deadline, proving };
    }

    fn restore(&mut self, reason: String, undo: bool, effects: &mut Vec<Effect>) {
        effects.push(Effect::Restore(reason.clone()));
        self.stage = Stage::Restoring { reason, undo, retry_at: None };
    }

    fn fail(&mut self, reason: String) {
        self.failed = self.current.take().map(|(_, sum)| (sum, reason));
        self.stage = Stage::Idle(State::Failed);
    }

    fn report(&mut self, effects: &mut Vec<Effect>) {
        if self.wanted.is_none() && self.is_idle() {
            // What the tree says isn't known yet.
            return;
        }
        let now = self.told();
        if self.last.as_ref() != Some(&now) {
            self.last = Some(now.clone());
            effects.push(Effect::Report(now));
        }
    }
}
