//! # A router's configuration that can't lock its administrator out
//!
//! `config-ID.uci` in the tree is the router's `/etc/config`. The bridge brings each new version there **on trial**: it is
//! confirmed only by proof that the router can still be reached with it, and undone by itself otherwise, across a crash
//! and a power cut too.
//!
//! ```text
//! store: a new version ─→ plan ─→ journal ─→ files ─→ reload ─→ new connection: nonce, version ─→ confirmed
//!                          │ refused   │ no room          │ crash loop, no proof, probe failed, time over
//!                          └→ failed ←─┘                  └→ old files, reload ─→ reverted: why
//! ```
//!
//! - `plan`: which files a version changes, pure. `files`: reading and locking them as `uci` does.
//! - `journal`: the change of several files as one, and what is remembered (`record`), and undone at a start (`recover`); `disk` is each of its steps.
//! - `ear`: hears of new versions. `trial`: the machine, without any I/O; `said` is what it's told and tells, `stands` how it stands. `engine`: the thread
//!   that drives it; `act`: what that does for the machine.
//! - `services`, `probe`, `command`: procd, what else must work, and the programs that are run for both.
//! - `guard`: goes back where a version leaves no server to do it.
//! - `drift`: edits by others. `publish`, `answer`: what is told, in the tree and to who asks.
//!
//! **What is proof.** Telling services to reload is over long before they have: procd waits a second, netifd takes
//! several. So they get `settle` seconds, in which they're watched. Then the bridge ends the link of before and waits for
//! one of an attempt that began since: name, connection and handshake are new. Over it the global sends back a random
//! nonce, and its version of the root.
//! A router without a global is confirmed by a person, over a connection that was opened after that.
//!
//! **What counts as a version.** What it says of the files: two versions of the root whose `uci` is equal are one. So
//! a version that was reverted isn't tried again because something else changed; `tega uci retry` does.
//!
//! **Which version.** Only one that the home says is the newest, asked over the link. Without the link nothing is applied,
//! since nothing could be proved. What comes during a trial waits for its end, at most for the time limit.
//!
//! **Absence.** Only packages that are in the tree are managed. A root that is empty, deleted or never was applies
//! nothing; a file goes only for `{".delete":true}`.
//!
//! **Two writers.** Edits of managed files are told as drift, with what differs; the [`Policy`] says what becomes of
//! them. A new version is applied over an edit: the tree's word counts, and the edited file is kept in `DATA/uci/kept` once
//! that version is confirmed. An edit of a file on trial goes there too when the trial is undone; when it's confirmed it's
//! drift. `status` lists what is kept.
//!
//! **How it fails.** A disk that is full before the files are in place changes nothing: `failed`, and why. One that
//! refuses to go back is asked every five seconds. A journal that can't be read stops the bridge, which says so, and
//! touches nothing. The bridge's thread waits for its messages, the disk, a lock that `uci`
//! holds (3 s), and procd (5 s; after a crash, 60 s at most until it has taken the reload). So it's ended after the
//! store is closed.
//!
//! **What it isn't.** It doesn't watch a version once it's confirmed. It can't see that services reload: procd is told, and
//! those that crash are seen for the seconds that a trial lasts at least. Two programs that write a package's file where
//! none was can't exclude each other, since there's nothing to lock.

mod act;
mod answer;
mod command;
pub mod disk;
mod drift;
mod ear;
mod engine;
pub mod files;
mod guard;
pub mod journal;
mod plan;
mod probe;
mod publish;
pub mod record;
mod recover;
pub mod said;
mod services;
mod stands;
#[cfg(test)]
mod tests;
pub mod trial;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::Hub;
use crate::openwrt::secret::Secrets;
use crate::store::Store;
use crate::value::Value;

use disk::Disk;
use engine::{Engine, Message};
use files::ConfigDir;
use journal::Journal;

pub use crate::api::route::UciVerb as Verb;
pub use guard::recover_after;
pub use probe::Probe;

/// The seconds that a trial may last, where nobody says otherwise.
pub const CONFIRM_SECONDS: u64 = 90;

/// The seconds in which services take the files into use, and are watched.
pub const SETTLE_SECONDS: u64 = 5;

/// The least and the most seconds of a trial.
pub const CONFIRM_RANGE: std::ops::RangeInclusive<u64> = 1..=3_600;

/// What becomes of edits by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// They are told.
    #[default]
    Report,
    /// They are proposed to the tree, which takes them unless the package changed there.
    Adopt,
    /// What the tree says is applied again, on trial.
    Enforce,
}

/// What a bridge is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that has `etc/config`.
    pub root: PathBuf,
    /// The directory of the journal.
    pub dir: PathBuf,
    /// Seconds that a trial may last.
    pub confirm_seconds: u64,
    /// Seconds in which services take the files into use, and are watched; half of the limit at most.
    pub settle_seconds: u64,
    /// What must work on trial.
    pub probes: Vec<Probe>,
    /// What becomes of edits by others.
    pub drift: Policy,
    /// What nobody is shown.
    pub secrets: Secrets,
    /// A command that makes services reload, instead of procd's event.
    pub reload: Option<String>,
}

impl Options {
    fn limit_ms(&self) -> u64 {
        self.limit_of(None)
    }

    /// The limit where the tree says so, or says nothing.
    fn limit_of(&self, said: Option<u64>) -> u64 {
        let (least, most) = CONFIRM_RANGE.into_inner();
        said.unwrap_or(self.confirm_seconds).clamp(least, most) * 1_000
    }

    fn settle_ms(&self) -> u64 {
        self.settle_seconds.min(60) * 1_000
    }
}

/// What is called once with an answer, from any thread.
pub type Done = Box<dyn FnOnce(Result<Value, Refusal>) + Send>;

/// What somebody asks.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is to be done.
    pub verb: Verb,
    /// The packages that it's about; none: all.
    pub packages: Vec<String>,
    /// Keys and passwords are shown.
    pub secrets: bool,
    /// Who asks.
    pub by: Option<TegaId>,
    /// When the connection was opened by which it came, in milliseconds of the boot clock.
    pub opened: u64,
}

/// A bridge that works. Dropping it ends it; a trial under way goes on with the next one.
pub struct Bridge {
    sender: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// Who asks a bridge, from any thread.
#[derive(Clone)]
pub struct Asker(Sender<Message>);

impl Asker {
    /// Asks; `done` is called once.
    pub fn ask(&self, ask: Ask, done: Done) {
        if let Err(unsent) = self.0.send(Message::Ask(ask, done))
            && let Message::Ask(_, done) = unsent.0
        {
            done(Err(Refusal::new("closed", "the bridge to /etc/config has ended")));
        }
    }
}

impl Bridge {
    /// Starts one for the server of this tega ID. The error is one line that says what to do.
    pub fn start(id: &TegaId, options: Options, store: Store, hub: Hub) -> Result<Bridge, String> {
        let config = ConfigDir::below(&options.root);
        if !config.path().is_dir() {
            return Err(format!(
                "--uci: {} is no directory; name another --uci-root",
                config.path().display()
            ));
        }
        let journal = match Journal::open(&options.dir, config, Disk::detect(), disk::boot()) {
            Ok(journal) => Ok(journal),
            // Another server works on these files.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(format!("--uci: {error}"));
            }
            // Whatever else it is, the rest of the server may be the only way to this router.
            Err(error) => Err(error.to_string()),
        };
        let (sender, receiver) = channel();
        let ear = ear::Ear::new(id, &store, sender.clone()).map_err(|error| format!("--uci: {error}"))?;
        let thread = std::thread::Builder::new().name("uci".into());
        let thread = match journal {
            Ok(journal) => {
                let engine = Engine::new((id.clone(), options), (store, hub), journal, ear);
                thread.spawn(move || engine.run(&receiver))
            }
            Err(reason) => {
                log::error!("nothing is applied to /etc/config: {reason}");
                let publisher = publish::Publisher::new(id, store, hub);
                thread.spawn(move || engine::refuse(publisher, &reason, &receiver))
            }
        };
        let thread = thread.map_err(|error| format!("--uci: no thread: {error}"))?;
        Ok(Bridge { sender, thread: Some(thread) })
    }

    /// Who may ask it.
    pub fn asker(&self) -> Asker {
        Asker(self.sender.clone())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the bridge to /etc/config ended by a panic");
        }
    }
}

/// Undoes at the boot, before the network starts, what an earlier boot had on trial: `tega uci recover`. What was done,
/// for people.
pub fn recover(root: &Path, dir: &Path) -> Result<String, String> {
    if !dir.join("journal").exists() {
        return Ok("nothing was on trial".into());
    }
    let journal = Journal::open(dir, ConfigDir::below(root), Disk::detect(), disk::boot());
    let mut journal = journal.map_err(|error| error.to_string())?;
    if journal.record().is_none() {
        return Ok("what was on trial is confirmed".into());
    }
    match journal.recover().map_err(|error| error.to_string())? {
        Some(reason) => Ok(format!("the old files are back: {reason}")),
        None => Ok("the trial is of this boot: tega serve goes on with it".into()),
    }
}
