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

/// How long after a proof or probe that failed it's tried again, in milliseconds.
pub const RETRY: u64 = 1_000;

/// How long after a disk that refused to go back, or to be told of the end, it's tried again, in milliseconds.
pub const DISK_RETRY: u64 = 5_000;

/// How often services are told to reload in one trial: once more where a restart cut it off.
pub const MAX_RELOADS: u64 = 2;

/// How often they are told to go back, before it's taken as done.
pub const MAX_UNDO: u32 = 3;

/// What the config root says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which version of it.
    pub mark: Mark,
    /// What that says of the files; `None`: nothing, so that none of them is managed.
    pub sum: Option<Sum>,
}

/// How a trial is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time limit, in milliseconds.
    pub limit: u64,
    /// How long services are watched at least, in milliseconds.
    pub settle: u64,
    /// A global server has to prove it; else a person has to say so.
    pub by_global: bool,
    /// There are probes.
    pub probes: bool,
}

/// What came of planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// There's something to change.
    Change(Settings),
    /// The files are so already.
    Same,
    /// It must not be applied: why.
    Refused(String),
    /// It can't be told now: why. Tried again.
    NotNow(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A trial of before, which goes on.
    Resumed(Settings, Record),
    /// A version that was reverted before.
    Reverted(Reverted),
    /// What was confirmed before.
    Confirmed(Mark, Sum),
    /// What the tree says.
    Wanted(Wanted),
    /// What came of [`Effect::Plan`].
    Planned(Planned),
    /// What came of [`Effect::Install`]. `true`: files may have been touched, and must go back.
    Installed(Result<(), (String, bool)>),
    /// Nothing was put in place, and it's to be planned anew: why.
    Again(String),
    /// What came of [`Effect::Reload`].
    Reloaded(Result<(), String>),
    /// The answer over a new connection: the nonce, and the version that the home has.
    Proved(Result<(u64, Mark), String>),
    /// What came of [`Effect::Probe`].
    Probed(Result<(), String>),
    /// A service fails again and again since the reload.
    Crashed(String),
    /// Somebody confirms, over a connection that was opened then.
    Confirm {
        /// By the boot clock.
        opened: u64,
    },
    /// Somebody wants the trial undone.
    Revert(String),
    /// Somebody wants what was reverted or failed to be tried again.
    Retry,
    /// The files aren't as confirmed any more, and are to be so again.
    Enforce,
    /// What came of [`Effect::Restore`].
    Restored(Result<(), String>),
    /// What came of [`Effect::Seal`] or [`Effect::Close`].
    Written(Result<(), String>),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find out what is to be changed; say [`Input::Planned`].
    Plan(Mark),
    /// Put the files in place, on trial until this time; say [`Input::Installed`].
    Install(u64),
    /// Tell the services to reload, on the way there; say [`Input::Reloaded`].
    Reload,
    /// Tell the services to reload what was restored; say [`Input::Reloaded`].
    Undo,
    /// Connect anew and have the global prove it with this nonce; say [`Input::Proved`].
    Prove(u64),
    /// Run the probes; say [`Input::Probed`].
    Probe,
    /// The version is confirmed: end the journal; say [`Input::Written`].
    Seal,
    /// Put the old files back, for this reason; say [`Input::Restored`].
    Restore(String),
    /// It's undone: remember so and end the journal; say [`Input::Written`].
    Close(String),
    /// The files are so already: remember the version as confirmed.
    Note(Mark, Sum),
    /// What was reverted may be tried again: forget it.
    Forget,
    /// Tell everybody how it stands.
    Report(Report),
}

/// How it stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The tree says nothing of the files.
    Unmanaged,
    /// A version waits to be applied.
    Behind,
    /// It's being put in place.
    Applying,
    /// It's in place and not confirmed.
    Trial,
    /// The files are what the tree says.
    Confirmed,
    /// They are what they were before the newest version, which didn't do.
    Reverted,
    /// The newest version was refused, and nothing was changed.
    Failed,
}

impl State {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            State::Unmanaged => "unmanaged",
            State::Behind => "behind",
            State::Applying => "applying",
            State::Trial => "trial",
            State::Confirmed => "confirmed",
            State::Reverted => "reverted",
            State::Failed => "failed",
        }
    }
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In a word.
    pub state: State,
    /// The version that the word is about; `None`: none was seen yet.
    pub version: Option<Mark>,
    /// The version that was confirmed last.
    pub confirmed: Option<Mark>,
    /// The version whose files are in place, as far as this knows.
    pub observed: Option<Mark>,
    /// Why, for people; empty: there's nothing to say.
    pub reason: String,
    /// When the trial's time is over, by the boot clock.
    pub deadline: Option<u64>,
}

/// What a trial needs before it's confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proving {
    proved: bool,
    probed: bool,
    /// The nonce that is out, if one is.
    asked: Option<u64>,
    /// Probes run.
    probing: bool,
    /// When what failed is tried again.
    prove_at: u64,
    probe_at: u64,
    /// When the services were watched long enough.
    settled_at: u64,
    /// When the reload was done: a connection that confirms must be younger.
    reloaded_at: u64,
    /// Why it isn't confirmed yet.
    why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
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
    stage: Stage,
    settings: Settings,
    /// The newest that the tree said.
    wanted: Option<Wanted>,
    /// What the stage is about.
    current: Option<(Mark, Sum)>,
    confirmed: Option<(Mark, Sum)>,
    reverted: Option<Reverted>,
    /// What was refused, and isn't tried again.
    failed: Option<(Sum, String)>,
    /// Why the last wasn't planned, and when that is tried again.
    not_now: Option<(String, u64)>,
    reloads: u64,
    nonces: Box<dyn Nonces>,
    last: Option<Report>,
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

    /// Whether a trial is under way, so that files aren't what they seem.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle(_) | Stage::Planning)
    }

    /// Whether services are to be watched now.
    pub fn watches(&self) -> bool {
        matches!(self.stage, Stage::Proving { .. })
    }

    /// Since when somebody may confirm, by the boot clock. `None`: there's nothing to confirm; `Some(None)`: a person can't.
    pub fn awaits_confirm(&self) -> Option<Option<u64>> {
        match &self.stage {
            Stage::Proving { proving, .. } => Some((!self.settings.by_global).then_some(proving.reloaded_at)),
            _ => None,
        }
    }

    /// Whether there's a trial that can be undone.
    pub fn is_revertible(&self) -> bool {
        matches!(self.stage, Stage::Reloading { .. } | Stage::Proving { .. })
    }

    /// How it stands.
    pub fn state(&self) -> State {
        match &self.stage {
            Stage::Idle(state) => *state,
            Stage::Planning => State::Behind,
            Stage::Installing => State::Applying,
            // Until the old files are back, the new ones may be in use.
            _ => State::Trial,
        }
    }

    /// When it wants to be told the time.
    pub fn wakes_at(&self) -> Option<u64> {
        match &self.stage {
            Stage::Idle(_) => self.not_now.as_ref().map(|(_, at)| *at),
            Stage::Planning | Stage::Installing | Stage::Undoing { .. } => None,
            Stage::Reloading { deadline } => Some(*deadline),
            Stage::Proving { deadline, proving } => {
                let mut at = *deadline;
                if self.settings.by_global && !proving.proved && proving.asked.is_none() {
                    at = at.min(proving.prove_at);
                }
                if self.settings.probes && !proving.probed && !proving.probing {
                    at = at.min(proving.probe_at);
                }
                let rest = proving.proved && (proving.probed || !self.settings.probes);
                Some(if rest { at.min(proving.settled_at) } else { at })
            }
            Stage::Sealing { retry_at }
            | Stage::Restoring { retry_at, .. }
            | Stage::Closing { retry_at, .. } => *retry_at,
        }
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
            (Input::Confirm { opened }, Stage::Proving { proving, .. }) => {
                if opened > proving.reloaded_at && !self.settings.by_global {
                    proving.proved = true;
                }
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
                if proving.proved && probed && proving.settled_at <= now {
                    effects.push(Effect::Seal);
                    self.stage = Stage::Sealing { retry_at: None };
                } else if *deadline <= now {
                    let missing = match (proving.proved, probed) {
                        (false, _) if settings.by_global => {
                            "the global server didn't answer over a new connection"
                        }
                        (false, _) => "nobody confirmed it",
                        (true, false) => "a probe failed",
                        (true, true) => "its services weren't watched long enough",
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
        let proving = Proving {
            proved: false,
            probed: false,
            asked: None,
            probing: false,
            prove_at: now,
            probe_at: now,
            settled_at: now.saturating_add(self.settings.settle),
            reloaded_at: now,
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

    /// How it stands.
    pub fn told(&self) -> Report {
        let confirmed = self.confirmed.as_ref().map(|(mark, _)| *mark);
        let wanted = self.wanted.as_ref().map(|wanted| wanted.mark);
        let current = self.current.as_ref().map(|(mark, _)| *mark);
        let (version, observed, reason, deadline) = match &self.stage {
            Stage::Idle(State::Reverted) => {
                let reason = self.reverted.as_ref().map_or(String::new(), |it| it.reason.clone());
                (wanted, confirmed, reason, None)
            }
            Stage::Idle(State::Failed) => {
                let reason = self.failed.as_ref().map_or(String::new(), |(_, why)| why.clone());
                (wanted, confirmed, reason, None)
            }
            Stage::Idle(State::Behind) => {
                let reason = self.not_now.as_ref().map_or(String::new(), |(why, _)| why.clone());
                (wanted, confirmed, reason, None)
            }
            Stage::Idle(State::Unmanaged) => {
                (wanted, None, "the tree has nothing for /etc/config".into(), None)
            }
            Stage::Idle(_) => (wanted, confirmed, String::new(), None),
            Stage::Planning => {
                // What is asked for again and again isn't told anew each time.
                let reason = self.not_now.as_ref().map_or(String::new(), |(why, _)| why.clone());
                (current, confirmed, reason, None)
            }
            Stage::Installing => (current, confirmed, String::new(), None),
            Stage::Reloading { deadline } => (current, current, "services reload".into(), Some(*deadline)),
            Stage::Proving { deadline, proving } => {
                let what = match (proving.proved, self.settings.by_global) {
                    (true, _) => "proved; watched a moment longer",
                    (false, true) => "waits for the global server's answer over a new connection",
                    (false, false) => "waits for `tega uci confirm` over a new connection",
                };
                (current, current, what.into(), Some(*deadline))
            }
            Stage::Sealing { .. } => (current, current, "is being confirmed".into(), None),
            Stage::Restoring { reason, .. }
            | Stage::Undoing { reason, .. }
            | Stage::Closing { reason, .. } => {
                (current, confirmed, format!("is being reverted: {reason}"), None)
            }
        };
        Report { state: self.state(), version, confirmed, observed, reason, deadline }
    }
}
