//! # Plugins: programs that extend a server, in any language
//!
//! A plugin is an executable file in a directory of `--plugins`, by the convention of OpenWrt's rpcd: `NAME list`
//! prints its methods, `NAME call METHOD` reads arguments as JSON and prints a result. Each method is an ephemeral leaf
//! `%NAME.METHOD` that the whole fleet can call. One that names `.subscribe` paths is a **hook** too: `NAME notify` is
//! run with the state of these paths, at the start and after changes.
//!
//! ```text
//! hub ── call ──→ desk ──→ schedule ──→ engine: start, poll, kill ──→ desk ── settle ──→ hub
//! store ─ watch ───────────────↗                 └ system::program
//! ```
//!
//! - `scan`: which files are plugins. `manifest`: what one says of itself. `run`: what one gets, and what came of it.
//! - `schedule`: whose turn it is, pure; `standing`: how one plugin stands there. `desk`: what is shared: calls come in
//!   here, from any thread, and are refused here when too many wait. `engine`: the one thread. `ear`: hears of changes.
//!   `told`: `/_plugins`.
//!
//! **One thread** runs all of them: it polls the pipes of the programs and never waits for one. Only the start of a
//! program may hold it up, until its file is read from the disk. A plugin has a session in the hub
//! ([`Resident`](crate::hub::Resident)), which owns its leaves; clients under the same tega ID don't get its calls, and
//! only its own leaves lead to it.
//!
//! **A hook** gets a state and not a list of changes, so nothing can be missing from it: changes while it runs make one
//! more run with the state of then, a failure is tried again, and after a restart it begins with what is there. It may
//! be run without need: twice for one change. One that writes what it subscribed is notified of that too, and must
//! write only what differs, or it goes round: at most once a second, after three runs on end.
//!
//! **Reload** looks at the directories again. A file that is new or another than before is listed; until that has
//! ended, the plugin is what it was. What runs goes on as the program that it was started as, also of a plugin that is
//! gone. A list that fails takes the plugin out until one succeeds: it's tried again, since a busy machine may be the
//! reason.
//!
//! **How it fails.** Each run has limits ([`program`](crate::system::program)): its time, what it prints and says, its
//! address space. A run that meets one is killed with its process group, and its caller told which it was. What is
//! killed for time is `timeout`: nobody knows how far it came. Queues are bounded: so many runs and waiting calls, so
//! many bytes of arguments. Leaves that others remove are put again within ten seconds.
//!
//! **Stop.** Plugins go first, before the network and the store: their callers are still there to be told, and the
//! leaves are taken back while there's a link to tell it over. Nothing is lost by it: a hook that was killed is run at
//! the next start anyway, and the store, which closes last, takes all that a program wrote before it died. Programs are
//! killed at once; what the kernel hasn't let go of in 200 ms is left behind.
//!
//! **What it isn't.** No jail: a plugin may do what the server's user may, and whoever may write its file or its
//! directory is trusted with that; so both are refused where others may. Files with other names, and the original's
//! Python plugins, are passed over. And no supervisor: programs of a server that was itself killed go on
//! until they end, have had the processors for their time, or write to a pipe that nobody reads any more; a hook of before
//! may then run beside the one of now.

mod desk;
mod ear;
mod engine;
mod manifest;
mod run;
mod scan;
mod schedule;
mod standing;
#[cfg(test)]
mod tests;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::commit::TegaId;
use crate::hub::Hub;
use crate::store::Store;
use crate::system::boot_ms;
use crate::value::Value;

use desk::{Desk, stopping};
use engine::Engine;
use run::Surroundings;

pub use desk::MAX_WAITING;
pub use manifest::{MAX_METHODS, MAX_SUBSCRIBE};
pub use run::{MAX_ERRORS, MAX_NOTICE, MAX_OUTPUT};
pub use scan::MAX_PLUGINS;

/// The address space of a plugin's process where nobody says otherwise, in MiB.
pub const MEMORY_MIB: u64 = 128;

/// The least and the most of it.
pub const MEMORY_RANGE: std::ops::RangeInclusive<u64> = 4..=1_048_576;

/// Descriptors that they need at most: 16 runs with three pipes and the process each, the other ends of the one that is
/// being started, a directory, the bell, and a few to spare.
pub const DESCRIPTORS: u64 = 96;

/// How long the end of the thread is waited for.
const STOP_TIME: Duration = Duration::from_millis(300);

/// The stack of the thread.
const STACK: usize = 512 << 10;

/// What plugins are started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directories, in the order in which names count.
    pub dirs: Vec<PathBuf>,
    /// The address space of each process, in MiB.
    pub memory_mib: u64,
}

/// The plugins of a server. Dropping it ends them.
pub struct Plugins {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

/// Who asks about plugins, from any thread.
#[derive(Clone)]
pub struct Asker(Arc<Desk>);

impl Asker {
    /// How they are: an object by name.
    pub fn told(&self) -> Value {
        told::told(&self.0.lock(), boot_ms())
    }

    /// Looks at the directories again. `done` is called once, when what was found has listed itself.
    pub fn reload(&self, done: impl FnOnce() + Send + 'static) {
        {
            let mut inner = self.0.lock();
            if !inner.stop {
                inner.reload = true;
                inner.reloads.push(Box::new(done));
                self.0.bell.ring();
                return;
            }
        }
        log::info!("plugins: {}", stopping().message);
        done();
    }
}

impl Plugins {
    /// Starts them: each lists itself as soon as the thread gets to it. The error is one line for people.
    pub fn start(
        id: &TegaId,
        options: Options,
        socket: Option<&Path>,
        store: Store,
        hub: Hub,
    ) -> Result<Plugins, String> {
        let failed = |error: std::io::Error| format!("--plugins: {error}");
        let absolute = |path: &Path| std::path::absolute(path).map_err(failed);
        let dirs = options.dirs.iter().map(|dir| absolute(dir)).collect::<Result<_, _>>()?;
        let surroundings = Surroundings {
            id: id.clone(),
            socket: socket.map(absolute).transpose()?,
            memory: options.memory_mib.saturating_mul(1 << 20),
        };
        let desk = Arc::new(Desk::new(store, hub).map_err(failed)?);
        let engine = Engine::new(desk.clone(), dirs, surroundings);
        let (alive, ended) = channel();
        let thread = std::thread::Builder::new().name("plugins".into()).stack_size(STACK);
        let thread = thread.spawn(move || {
            engine.run();
            drop(alive);
        });
        Ok(Plugins { desk, thread: Some(thread.map_err(failed)?), ended })
    }

    /// Who may ask about them.
    pub fn asker(&self) -> Asker {
        Asker(self.desk.clone())
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        self.desk.lock().stop = true;
        self.desk.bell.ring();
        // A thread that hangs in a dead disk is left behind rather than waited for.
        let hangs = self.ended.recv_timeout(STOP_TIME) == Err(RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take().filter(|_| !hangs)
            && thread.join().is_err()
        {
            log::error!("the plugins ended by a panic");
        }
    }
}
