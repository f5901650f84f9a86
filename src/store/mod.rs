//! # The database
//!
//! A [`Store`] holds **roots**: trees of JSON, each with a version that every commit to it raises by one. It keeps the
//! newest versions of each, writes what happened to a log before anybody sees it, and tells watchers. It is a library:
//! no server, no sockets, one thread of its own.
//!
//! ```
//! use tega::{path::Path, store::{Options, Store, Transaction}, value::Value};
//!
//! let dir = std::env::temp_dir().join(format!("tega-doc-{}", std::process::id()));
//! let store = Store::open(&dir, Options::default())?;
//! let path = Path::parse("lan.ip")?;
//! let receipt = store.commit(Transaction::new(None).put(path.clone(), Value::from("192.168.1.1")))?;
//! assert!(receipt.durable);
//! assert_eq!(store.get(&path), Some(Value::from("192.168.1.1")));
//! store.close();
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## How a commit happens
//!
//! 1. Any thread builds a [`Transaction`] and submits it. Nothing waits but a bounded queue.
//! 2. The committer takes all that waits and judges it in order against the **tip**, the newest state, durable or not
//!    (`judge`). What passes becomes the next tip and a record.
//! 3. The records go to the log with one append and one sync.
//! 4. Only then, in order: the history grows, the new roots are published, watchers get the events, submitters their
//!    answers. A reader takes what is published and walks; it waits for nobody, and sees no commit half or early.
//!
//! An answer that depends on the tip, refusals included, is given after that too. If the disk refuses, the tip goes
//! back to what is published, the writers of the failed group learn what the disk said, and everything else in the
//! batch is judged again.
//!
//! ## How it fails
//!
//! | the disk says | writers are told | and then |
//! | --- | --- | --- |
//! | full | [`Error::NoSpace`]: it did not happen | reads and deletions go on; tried again every 10 s and by compaction into a reserve |
//! | anything else, on append or sync | [`Error::OutcomeUnknown`], later ones [`Error::ReadOnly`] | reads go on; a restart tells what was kept |
//!
//! ## Ephemeral nodes
//!
//! They belong to a session and end with it (`overlay`). They aren't versioned state: reads of the present see them,
//! but they alter no version, no history and no log.
//!
//! ## Homes and replicas
//!
//! Each root has one home, the server where its commits are made (`homes`); the store refuses writes to the others. A
//! home gives its durable commits out by a [`Feed`], which costs little while nothing happens. A replica takes them in
//! with [`Store::follow`], each with its versions as they are, under a position of its own. The **digest**, chained over
//! each root's records, tells whether a replica can go on from what it has; else [`Store::install`] puts a snapshot in
//! place in one step, and what stood there is kept as one of the last three [`Store::replaced`] states. A snapshot is
//! in the log as a whole, or doesn't count. What clients were told of requests to a root comes with its commits and its
//! snapshots, so that a retry gets the first answer also where the root has another home by then (`requests`).
//!
//! ## What it is not
//!
//! It opens no links: who is connected, tokens and sockets are the business of others. It holds all of its data in memory. A transaction doesn't
//! span stores. Durability [`Interval`](Durability::Interval), [`None`](Durability::None) and
//! [`Memory`](Durability::Memory) say plainly that an acknowledgement isn't a promise: where not every root is
//! `always`, positions jump after a crash, so that none is taken twice, but versions that a power cut undid are. They jump as well
//! where a root is taken over from another home, see `requests`.

mod base;
mod batch;
mod check;
mod committer;
mod compact;
mod error;
mod event;
mod feed;
mod follow;
mod footprint;
mod homes;
mod import;
mod install;
mod judge;
mod open;
mod options;
mod overlay;
mod peek;
mod pending;
mod replay;
mod replica;
mod requests;
mod shared;
mod snapshot;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod transaction;
mod upkeep;
mod watch;
mod within;

use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::system::now_ms;
use crate::tree::{Difference, Tree};
use crate::value::Value;

use shared::{Done, Shared, Submission, locked};

pub use crate::log::{Amount, Room, Written};
pub use check::Check;
pub use error::{Error, OpenError};
pub use event::{Change, Channel, Event, Notice, Ope};
pub use feed::Feed;
pub use homes::{Away, Home, Private, Role};
pub use import::{Base, ImportError, import};
pub use options::{Durability, Options};
pub use overlay::{Ephemeral, MAX_EPHEMERAL, MAX_EPHEMERAL_OF_SESSION};
pub use pending::{MAX_TRANSACTIONS, TRANSACTION_LIFE};
pub use replica::{Sent, Standing, Start};
pub use snapshot::{Incoming, Snapshot};
pub use state::{Past, Root, View};
pub use status::{Health, LogStatus, Status};
pub use transaction::{Expect, MAX_OPS, MAX_REQUEST_ID, Op, Receipt, Transaction};
pub use watch::{Lagging, MAX_CHANNELS, Since, Subscribed, Watch, notices_of};
pub use within::changes_within;

/// A session of somebody who may own ephemeral nodes; never used twice in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The database: a handle, cheap to clone and usable from any thread. It closes with the last one.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// What ends the committer's thread when the last handle goes.
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// At least as many positions as commits that weren't durable may have taken before a crash, and as the old home of a
/// root has given out since the newest of that root's commits that is here.
const LOST_POSITIONS: u64 = 1 << 24;

impl Store {
    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Closes the store after what was submitted; later submissions get [`Error::Closed`]. Everything that is published
    /// is durable then, unless the disk refuses or a root's durability is `memory`. Closing twice does nothing.
    pub fn close(&self) {
        self.handle.close();
    }

    /// Everything at this moment.
    pub fn view(&self) -> View {
        View { state: self.shared().published() }
    }

    /// The value at a path now; at the top an object of all roots.
    pub fn get(&self, path: &Path) -> Option<Value> {
        self.view().get(path)
    }

    /// A kept version of a root: from 0 up the version itself, below 0 relative to the present one, which counts as
    /// kept too. [`Error::NoVersion`] where there is none.
    pub fn at(&self, root: &str, version: i64) -> Result<Past, Error> {
        judge::find(&self.shared().published(), root, version)
    }

    /// The kept versions of a root, deleted ones included, oldest first; the last is the present one.
    pub fn history(&self, root: &str) -> Result<Vec<Past>, Error> {
        let state = self.shared().published();
        let none = || Error::NotFound { path: Path::from_checked(vec![root.into()]) };
        let (kept, version) = state.kept(root).zip(state.version(root)).ok_or_else(none)?;
        let pasts =
            state::with_kept(kept, |kept| kept.iter().filter(|p| p.version <= version).cloned().collect());
        Ok(pasts)
    }

    /// What differs between two kept versions of a root, in the order of the paths; the keys are without the root's
    /// name. A version in which the root was deleted counts as empty.
    pub fn diff(&self, root: &str, from: i64, to: i64) -> Result<Vec<Difference>, Error> {
        let state = self.shared().published();
        let tree = |version| -> Result<Tree, Error> {
            let past = judge::find(&state, root, version)?;
            Ok(past.tree.unwrap_or_else(|| Tree::new(crate::tree::Stamp::version(past.version))))
        };
        Ok(crate::tree::diff(&tree(from)?, &tree(to)?))
    }

    /// Submits a transaction and waits for its outcome. Not to be called by a `done` of [`Store::submit`].
    pub fn commit(&self, transaction: Transaction) -> Result<Receipt, Error> {
        wait(|done| self.submit(transaction, done))
    }

    /// Submits a transaction. `done` is called once: by this call where it is refused at once, else by the committer's
    /// thread, which it must not hold up.
    pub fn submit(
        &self,
        transaction: Transaction,
        done: impl FnOnce(Result<Receipt, Error>) + Send + 'static,
    ) {
        if let Err(error) = transaction.check() {
            return done(Err(error));
        }
        let weight = transaction.weight();
        let submitted =
            self.shared().submit(weight, Box::new(done), |done| Submission::Commit(transaction, done));
        if let Err((error, done)) = submitted {
            done(Err(error));
        }
    }

    /// The roots that a transaction would touch, as it would leave them now; `None`: deleted. Nothing changes.
    pub fn preview(&self, transaction: &Transaction) -> Result<Vec<(Key, Option<Tree>)>, Error> {
        transaction.check()?;
        let shared = self.shared();
        let session = transaction.session.and_then(|id| Some((id, shared.session(id)?)));
        let mut overlay = shared.overlay();
        let mark = overlay.mark();
        let mut requests = requests::Requests::default();
        let mut tip = judge::Tip {
            state: shared.published(),
            overlay: &mut overlay,
            requests: &mut requests,
            role: None,
        };
        let judged = judge::judge(&mut tip, transaction, session, None, now_ms());
        let state = tip.state;
        overlay.undo_to(mark);
        drop(overlay);
        let event = judged?.event;
        let mut names: Vec<Key> =
            event.iter().flat_map(|e| &e.changes).filter_map(|c| c.path.root().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        let tree = |name: &Key| state.live.get(name).map(|root| root.present.clone());
        Ok(names.into_iter().map(|name| (name.clone(), tree(&name))).collect())
    }

    /// Empties the store: no roots, no history, new incarnations. Ephemeral nodes stay, as their sessions do.
    pub fn clear(&self, by: Option<TegaId>, done: impl FnOnce(Result<Receipt, Error>) + Send + 'static) {
        let submitted = self.shared().submit(0, Box::new(done), |done| Submission::Clear(by, done));
        if let Err((error, done)) = submitted {
            done(Err(error));
        }
    }

    /// Compacts the log: `done` is called when the new one is in place. With `history` all but so many versions of each
    /// root beside the present one are forgotten before, for good: what makes room on a full disk.
    pub fn compact(&self, history: Option<usize>, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        let submitted = self.shared().submit(0, Box::new(done), |done| Submission::Compact(history, done));
        if let Err((error, done)) = submitted {
            done(Err(error));
        }
    }

    /// Begins a session, which may own ephemeral nodes.
    pub fn begin_session(&self, tega_id: TegaId) -> SessionId {
        let mut sessions = locked(&self.shared().sessions);
        sessions.last += 1;
        let session = SessionId(sessions.last);
        sessions.live.insert(session, tega_id);
        session
    }

    /// From now on this session commits in the place of the server of its tega ID, to the roots that are recorded as
    /// that one's: it stands for a server of the original, which can't commit to them by itself.
    pub fn stand_in(&self, session: SessionId) {
        locked(&self.shared().sessions).stand_ins.insert(session);
    }

    /// Ends a session: its ephemeral nodes go, and watchers are told. Ending one twice does nothing.
    pub fn end_session(&self, session: SessionId) {
        let ended = {
            let mut sessions = locked(&self.shared().sessions);
            sessions.stand_ins.remove(&session);
            sessions.live.remove(&session)
        };
        if let Some(by) = ended {
            self.shared().requeue(Submission::EndSession(session, by));
        }
    }

    /// The ephemeral nodes at or below a path; at the top all of them.
    pub fn ephemeral(&self, path: &Path) -> Vec<Ephemeral> {
        let overlay = self.shared().overlay();
        let ephemeral = |(path, lease): (&Path, &overlay::Lease)| Ephemeral {
            path: path.clone(),
            tega_id: lease.by.clone(),
            session: lease.session,
            age: lease.since.elapsed(),
        };
        overlay.below(path).map(ephemeral).collect()
    }

    /// Begins an interactive transaction and returns its txid. [`MAX_TRANSACTIONS`] may be open; one that isn't used for
    /// [`TRANSACTION_LIFE`] is dropped.
    pub fn begin(&self, by: Option<TegaId>) -> Result<String, Error> {
        locked(&self.shared().pending).begin(by, Instant::now())
    }

    /// Adds an operation to an interactive transaction; it is judged at the commit.
    pub fn queue(&self, txid: &str, op: Op) -> Result<(), Error> {
        let limit = self.shared().options.queue_bytes;
        locked(&self.shared().pending).queue(txid, op, limit, Instant::now())
    }

    /// What an interactive transaction holds so far.
    pub fn queued(&self, txid: &str) -> Result<Transaction, Error> {
        locked(&self.shared().pending).get(txid, Instant::now())
    }

    /// Takes an interactive transaction out: to submit it, or to drop it.
    pub fn take(&self, txid: &str) -> Result<Transaction, Error> {
        locked(&self.shared().pending).take(txid, Instant::now())
    }

    /// A watch without channels yet. Events of `except` aren't queued. `wake` is called by the committer's
    /// thread after it queued one or more events: it must be quick, and mustn't wait for the store.
    pub fn watch(&self, except: Option<TegaId>, wake: impl Fn() + Send + Sync + 'static) -> Watch {
        self.watch_within(except, None, wake)
    }

    /// As [`Store::watch`], for somebody who may see these subtrees only: of anything else nothing is queued and
    /// nothing told, and of a change above them only what is left of it in them. `None`: everything.
    pub fn watch_within(
        &self,
        except: Option<TegaId>,
        within: Option<&[Path]>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Watch {
        Watch::new(self.shared().clone(), except, within.map(Box::from), Box::new(wake))
    }

    /// The room on the disk that the data is on; `None` for a store in memory, and where the system doesn't tell.
    pub fn room(&self) -> Option<Room> {
        Room::at(self.shared().dir.as_deref()?)
    }

    /// How the store is doing.
    pub fn status(&self) -> Status {
        let shared = self.shared();
        let view = self.view();
        // One lock after the other: in the expression below all would be held to its end.
        let (health, log) = locked(&shared.report).clone();
        let queue = shared.queue().items.len();
        let transactions = locked(&shared.pending).len();
        let watches = shared.watches().len();
        let ephemeral = shared.overlay().len();
        Status {
            roots: view.roots().map(|(name, root)| (name.clone(), root.version, root.incarnation)).collect(),
            position: view.position(),
            queue,
            health,
            transactions,
            watches,
            ephemeral,
            log,
            durability: shared.options.durability,
            durability_of: shared.options.durability_of.clone(),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("position", &self.view().position()).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) {
        {
            let mut queue = self.shared.queue();
            queue.closed = true;
            queue.idle = false;
        }
        self.shared.work.notify_one();
        let thread = locked(&self.thread).take();
        // The last handle may go inside an answer, in the committer's own thread, which can't wait for itself.
        if let Some(thread) = thread.filter(|t| t.thread().id() != std::thread::current().id()) {
            // It ends by itself; a panic of its has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Turns a submission into a call that waits.
fn wait<T: Send + 'static>(submit: impl FnOnce(Done<T>)) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    submit(Box::new(move |outcome| drop(sender.send(outcome))));
    // The sender only goes unused if the committer died.
    receiver.recv().unwrap_or(Err(Error::Closed))
}

impl Store {
    /// [`Store::clear`], waiting.
    pub fn clear_and_wait(&self, by: Option<TegaId>) -> Result<Receipt, Error> {
        wait(|done| self.clear(by, done))
    }

    /// [`Store::compact`], waiting.
    pub fn compact_and_wait(&self) -> Result<(), Error> {
        wait(|done| self.compact(None, done))
    }
}
