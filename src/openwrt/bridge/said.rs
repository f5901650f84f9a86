//! What the trial is told and what it tells: inputs, effects, and how it stands.

use super::files::Sum;
use super::record::{Mark, Record, Reverted};

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
