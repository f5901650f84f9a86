//! The other end of a link, as everybody here sees it. `link` implements it; sessions and REST reach it by the hub.

use std::time::Duration;

use crate::api::error::Refusal;
use crate::commit::{Incarnation, TegaId};
use crate::path::{Key, Path};
use crate::store::{Channel, Receipt, SessionId, Transaction};
use crate::tree::Version;
use crate::value::Value;

/// What is called once with the outcome, from any thread.
pub type Done<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// A server that a link leads to. Nothing here waits; every `done` is called once, at the latest when the link is gone.
pub trait Remote: Send + Sync {
    /// Whose server it is.
    fn tega_id(&self) -> &TegaId;

    /// Commits there, and answers when this server has applied it (see [`Receipt::applied`]).
    fn write(&self, transaction: Transaction, done: Done<Receipt>);

    /// Answers once this server has applied everything that the home had acknowledged for this root when it was asked.
    fn fresh(&self, root: &Key, done: Done<()>);

    /// Calls an RPC that is served there, or beyond.
    fn call(&self, caller: &TegaId, path: &Path, arguments: &Value, time: Duration, done: Done<Value>);

    /// Has the home of a root send back this nonce and its version of the root, within this time: then it was reached
    /// over this very connection.
    fn prove(&self, root: &Key, nonce: u64, time: Duration, done: Done<Value>) {
        let _ = (nonce, time);
        let message = format!("{} can't prove that it's there", self.tega_id());
        done(Err(Refusal::new("forbidden", message).at(&Path::from_checked(vec![root.clone()]))));
    }

    /// Which of this server's attempts to connect it came of ([`Hub::attempts`](super::Hub::attempts)); 0: of none.
    fn attempt(&self) -> u64 {
        0
    }

    /// Passes on a message.
    fn publish(&self, from: &TegaId, channel: &str, body: &Value);

    /// Begins or ends to listen there, for the sessions here that subscribed with the scope `global`.
    fn listen(&self, channel: &Channel, on: bool);

    /// Whether this session stands for one at the other end: its ephemeral nodes are from there.
    fn owns(&self, session: SessionId) -> bool;

    /// The roots that it carries, which stay the same as long as it's up.
    fn carries(&self) -> Vec<Key> {
        Vec::new()
    }

    /// Whether somebody with this tega ID has a session there who may serve the leaf at this path.
    fn serves(&self, _owner: &TegaId, _path: &Path) -> bool {
        false
    }

    /// Sessions here came or went: the other end is told whose there are ([`Hub::ids`](super::Hub::ids)).
    fn sessions_changed(&self) {}

    /// Ends the link; a local opens it again.
    fn end(&self, reason: &str);

    /// Whether it's a server of the original, which a session stands for.
    fn is_legacy(&self) -> bool {
        false
    }

    /// Whether an original server follows this root of here.
    fn follows(&self, _root: &Key) -> bool {
        false
    }

    /// How it is doing.
    fn info(&self) -> LinkInfo;
}

/// A link, for `/_status`, `/_sessions` and `tega fleet`.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// Who is at the other end.
    pub tega_id: TegaId,
    /// The other end's address; for a local that isn't linked now, its last one.
    pub address: String,
    /// It's linked now.
    pub up: bool,
    /// Seconds since it was linked, or, where it isn't, since it was last heard of.
    pub since_s: u64,
    /// Why it isn't linked, or what was refused when it was.
    pub problem: Option<String>,
    /// Milliseconds since something came from the other end.
    pub silent_ms: u64,
    /// The tega IDs of the sessions there, as far as they are known: all, or those that own ephemeral nodes here.
    pub sessions: Vec<TegaId>,
    /// The roots that it carries.
    pub roots: Vec<LinkedRoot>,
}

/// A root that a link carries, or was to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedRoot {
    /// Its name.
    pub name: Key,
    /// Its home.
    pub home: TegaId,
    /// This server's incarnation and version of it; `None`: it doesn't exist here.
    pub here: Option<(Incarnation, Version)>,
    /// The other end's version as far as this server knows.
    pub there: Option<Version>,
    /// For a replica here: milliseconds since it was last known to have everything; 0: it has. `None`: this is the home.
    pub stale_ms: Option<u64>,
    /// Why the link doesn't carry it.
    pub refused: Option<String>,
}

impl LinkedRoot {
    /// How many versions the replica lacks, whichever end that is; `None`: not known, or the root was created anew.
    pub fn lag(&self) -> Option<u64> {
        let (here, there) = (self.here?.1.0, self.there?.0);
        Some(if self.stale_ms.is_some() { there.saturating_sub(here) } else { here.saturating_sub(there) })
    }
}
