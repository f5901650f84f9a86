//! From what is on the disk to a store that runs.

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use super::committer::{Committer, log_store};
use super::replay::Replay;
use super::requests::Requests;
use super::shared::{Guard, Shared};
use super::state::State;
use super::{Durability, Handle, Health, LOST_POSITIONS, OpenError, Options, Store};
use crate::commit::{Incarnation, Position};
use crate::log::{AppendError, Directory, Log, LogError, Medium, Offset};
use crate::path::Key;
use crate::tree::Map;

/// What was found on the disk, for the committer.
pub(super) struct Opened {
    pub(super) log: Log,
    /// Its length after the last compaction.
    pub(super) compacted: Offset,
    dir: Option<PathBuf>,
    /// The disk has no room to begin it.
    pub(super) full: Option<String>,
}

/// The stack of a thread of the store: nothing recurses deeper than a tree may be.
pub(super) const STACK: usize = 1 << 20;

impl Store {
    /// Opens the store in a directory, which is created where it is missing and locked against everybody else.
    ///
    /// All that was acknowledged as durable is there. A torn tail of the log is cut and reported to the `log` facade; a
    /// log that lost what was durable is refused with file and offset, and `tega log --repair` mends it.
    pub fn open(dir: impl AsRef<FilePath>, options: Options) -> Result<Store, OpenError> {
        let directory = Directory::open(dir.as_ref())?;
        let dir = directory.path().to_path_buf();
        Store::open_with(Box::new(directory), Some(dir), options)
    }

    /// As [`Store::open`], on any medium.
    pub fn open_on(medium: Box<dyn Medium>, options: Options) -> Result<Store, OpenError> {
        Store::open_with(medium, None, options)
    }

    fn open_with(
        medium: Box<dyn Medium>,
        dir: Option<PathBuf>,
        options: Options,
    ) -> Result<Store, OpenError> {
        let mut replay = Replay::new(&options);
        let (mut log, recovery) = Log::open(medium, &mut |offset, text| replay.record(offset, text))?;
        if recovery.cut_bytes > 0 {
            ::log::warn!(
                "the log was torn: {} bytes cut at offset {}",
                recovery.cut_bytes,
                recovery.cut_at.0
            );
        }
        let unfinished = |reason| {
            let file = "log".to_string();
            LogError::Corrupt { file, offset: log.end(), reason }
        };
        replay.finish().map_err(unfinished)?;
        let mut state = replay.state;
        let store = replay.store.unwrap_or_else(Incarnation::draw);
        let crashed = !recovery.sealed && !options.all_durable();
        if crashed {
            // What wasn't durable took positions that must not be taken again.
            state.position.0 += LOST_POSITIONS;
        }
        let mut full = None;
        if crashed || replay.store.is_none() {
            let written = log_store(&mut log, store, &state, replay.requests.forgotten);
            match written.and_then(|()| log.sync()) {
                Ok(()) => {}
                // It serves reads all the same, and begins the log when there is room.
                Err(AppendError::NoSpace(error)) => full = Some(error.to_string()),
                Err(error) => {
                    let doing = "beginning the log".to_string();
                    let source = std::io::Error::other(error.to_string());
                    return Err(LogError::Io { doing, source }.into());
                }
            }
        }
        // What the log has of roots that live in memory now is from another time.
        let in_log = |root: &Key| options.durability_of(root) != Durability::Memory;
        if options.any_in_memory() {
            let live = state.live.iter().filter(|(root, _)| in_log(root));
            state.live = Map::from_sorted(live.map(|(root, it)| (root.clone(), it.clone())).collect());
            let dead = state.dead.iter().filter(|(root, _)| in_log(root));
            state.dead = Map::from_sorted(dead.map(|(root, it)| (root.clone(), it.clone())).collect());
            let replaced = state.replaced.iter().filter(|(root, _)| in_log(root));
            state.replaced =
                Map::from_sorted(replaced.map(|(root, it)| (root.clone(), it.clone())).collect());
        }
        let opened = Opened { log, compacted: replay.compacted, dir, full };
        Store::start(options, state, replay.requests, store, Some(opened))
    }

    /// A store that nothing of is kept.
    pub fn in_memory(options: Options) -> Store {
        let state = State::new(Position(0));
        let started = Store::start(options, state, Requests::default(), Incarnation::draw(), None);
        match started {
            Ok(store) => store,
            // The same that `std::thread::spawn` does where the system has no thread left.
            Err(error) => panic!("{error}"),
        }
    }

    fn start(
        options: Options,
        state: State,
        requests: Requests,
        store: Incarnation,
        mut opened: Option<Opened>,
    ) -> Result<Store, OpenError> {
        let shared = Arc::new(Shared {
            options,
            durable: opened.is_some(),
            dir: opened.as_mut().and_then(|opened| opened.dir.take()),
            started_at: state.position,
            queue: Mutex::default(),
            work: Condvar::new(),
            published: Mutex::new(state.clone()),
            synced: Mutex::new(state.position),
            watches: Mutex::default(),
            overlay: Mutex::default(),
            sessions: Mutex::default(),
            pending: Mutex::default(),
            requests: Mutex::new(requests),
            report: Mutex::new((Health::Ok, None)),
        });
        let committer = Committer::new(shared.clone(), state, store, opened);
        let thread = std::thread::Builder::new().name("tega-commit".into()).stack_size(STACK).spawn({
            let guard = Guard(shared.clone());
            move || {
                committer.run();
                drop(guard);
            }
        });
        let thread = Mutex::new(Some(thread.map_err(OpenError::Thread)?));
        Ok(Store { handle: Arc::new(Handle { shared, thread }) })
    }
}
