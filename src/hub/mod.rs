//! # Who is connected
//!
//! The hub knows the live sessions, the channels that they listen to and the remote calls (RPC) that wait for an
//! answer. It stands between the store and what speaks to clients: a session joins it, REST asks it.
//!
//! - **Messages.** A PUBLISH goes to every session that subscribed to exactly that channel, or whose regex matches it,
//!   but never to the sender. It's encoded once for all of them.
//! - **Calls.** An RPC is a leaf of the form `%OWNER.FUNC` or `%OWNER.FUNC(args…)`. A call of its path goes as a REQUEST
//!   to the newest session of OWNER, by tega ID and never by channel, and the RESPONSE with its seq ends it. The Go
//!   driver answers `{"result": X}` where others answer `X`: exactly that form is unwrapped.
//!   A [`Resident`] serves calls within this process, and nobody takes its tega ID's calls from it.
//! - **Ephemeral nodes** belong to a session; the store keeps them, and the hub tells it when a session begins and ends.
//!
//! - **Links.** What belongs to another server goes there by a [`Remote`]: a write to the home of its roots
//!   ([`Hub::submit`]), the question whether a replica has everything ([`Hub::fresh`]), a call to where its owner is,
//!   a message up to the global server and from there to the links that listen. A local has one link, the global one to
//!   each local; nothing goes back over the link that it came by, so nothing goes round. Where there's no link, it's
//!   said at once, with whose it is and since when; nothing is queued.
//!
//! **How it's built.** [`Hub`] is the handle; `state` is plain data behind one mutex, without a clock, a socket or the
//! store; callbacks run when the lock is free. Time comes from [`Hub::tick`] only, so that tests don't sleep. What is to
//! be sent to a session goes to its [`Outbox`], which its own task empties.
//!
//! **How it fails.** Everything is bounded ([`Limits`]). A session that doesn't take what it's sent is ended as
//! `lagging`. A call ends by its answer, after 30 s, or at once when the owner's session ends. A number that belongs to
//! no open call of that session is passed over: the answer came too late.
//!
//! As what both sessions and REST share, it also holds the one pool for answers that take long ([`Hub::heavy`]).
//!
//! What it isn't: notifications of changes, which are the store's watches; and the WebSocket, which is `session`'s.

mod calls;
mod fanout;
mod legacy;
mod links;
mod open;
mod outbox;
mod remote;
mod resident;
#[cfg(test)]
mod route_tests;
mod routes;
mod state;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::error::Refusal;
pub use crate::api::rpc::RpcError;
use crate::commit::TegaId;
use crate::message;
use crate::path::Path;
use crate::read::Heavy;
use crate::store::{Channel, SessionId, Store};
use crate::token::Access;
use crate::value::Value;

pub use crate::message::{Dialect, Scope};
pub use calls::Caller;
pub(crate) use fanout::Fanout;
use links::Links;
pub use links::{GlobalInfo, Moment};
use open::{Done, Mouth};
pub use outbox::{End, Frame, Outbox, Taken};
pub use remote::{Done as RemoteDone, LinkInfo, LinkedRoot, Remote};
pub use resident::{Asked, Resident};
use state::{Entry, State, Sub};

/// Who is connected: a handle, cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    own_id: TegaId,
    store: Store,
    /// How long a call waits.
    call_time: Duration,
    state: Mutex<State>,
    /// Never held together with `state`.
    links: Mutex<Links>,
    /// The channels that the global server was told to send: texts, and whether they are regexes. Held while it's told,
    /// so that the last word is the right one.
    told: Mutex<BTreeSet<(String, bool)>>,
    /// Makes a local's link begin anew.
    sync: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// The last notifications as they were encoded, for the other subscribers of the same channels.
    fanout: Mutex<Fanout>,
    /// Where large reads are encoded, whoever asks.
    heavy: Heavy,
}

/// What one hub holds at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions.
    pub sessions: usize,
    /// Channels of one session.
    pub channels: usize,
    /// Calls that wait, of all owners.
    pub calls: usize,
    /// Calls that wait for one session.
    pub calls_of_one: usize,
    /// How long a call waits.
    pub call_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions: 10_000,
            channels: 1_000,
            calls: 4_096,
            calls_of_one: 1_024,
            call_time: Duration::from_secs(30),
        }
    }
}

/// One line of `/_sessions`.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Who it is.
    pub tega_id: TegaId,
    /// Its number at this server, in order of connection.
    pub session: SessionId,
    /// As it said in its SESSION.
    pub scope: Scope,
    /// 1 the original's, 2 ours.
    pub dialect: u8,
    /// The peer's address.
    pub from: String,
    /// Seconds since it connected.
    pub connected_s: u64,
    /// Channels that it listens to.
    pub channels: usize,
    /// Calls that wait for its answer.
    pub waiting: usize,
    /// Calls that were sent to it since it connected.
    pub rpcs: usize,
}

/// Counts for `/_status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubStatus {
    /// Live sessions.
    pub sessions: usize,
    /// Channels of all of them, each session's counted.
    pub channels: usize,
    /// Calls that wait.
    pub rpcs_waiting: usize,
}

/// Who joins.
#[derive(Clone, Debug)]
pub struct Joining {
    /// As it said in its SESSION.
    pub tega_id: TegaId,
    /// As it said in its SESSION.
    pub scope: Scope,
    /// What it speaks.
    pub dialect: Dialect,
    /// The peer's address, for people.
    pub from: String,
    /// What it may do: it's given the messages only that it may have.
    pub access: Access,
}

impl Hub {
    /// A hub of the server with this tega ID.
    pub fn new(own_id: TegaId, store: Store) -> Hub {
        Hub::with_limits(own_id, store, Limits::default())
    }

    /// A hub with limits of one's own.
    pub fn with_limits(own_id: TegaId, store: Store, limits: Limits) -> Hub {
        let shared = Shared {
            own_id,
            store,
            call_time: limits.call_time,
            state: Mutex::new(State::new(limits)),
            links: Mutex::default(),
            told: Mutex::default(),
            sync: Mutex::default(),
            fanout: Mutex::default(),
            heavy: Heavy::new(),
        };
        Hub { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock panics, and a poisoned hub would take every session down.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fanout(&self) -> MutexGuard<'_, Fanout> {
        self.shared.fanout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one pool for answers that take long, of sessions and of REST.
    pub fn heavy(&self) -> &Heavy {
        &self.shared.heavy
    }

    /// The server's own tega ID.
    pub fn own_id(&self) -> &TegaId {
        &self.shared.own_id
    }

    /// A session begins. The number that it gets is larger than every earlier one's.
    pub fn join(&self, who: Joining, outbox: Arc<Outbox>) -> Result<SessionId, Refusal> {
        self.enter(Entry::new(who, outbox))
    }

    fn enter(&self, entry: Entry) -> Result<SessionId, Refusal> {
        if self.state().is_full() {
            return Err(Refusal::new(
                "too_many",
                "the server has as many sessions as it takes; try again later",
            ));
        }
        let session = self.shared.store.begin_session(entry.tega_id().clone());
        self.state().join(session, entry);
        self.tell_sessions();
        Ok(session)
    }

    /// A session ended: its channels and ephemeral nodes go, and the calls that it owed an answer fail at once.
    pub fn leave(&self, session: SessionId) {
        let (orphans, globals) = self.state().leave(session);
        self.shared.store.end_session(session);
        self.tell_sessions();
        self.tell_global(&globals);
        for call in orphans {
            call.gone();
        }
    }

    /// Tells every session to end, as the server stops.
    pub fn end_all(&self, end: &End) {
        let outboxes = self.state().outboxes();
        outboxes.iter().for_each(|outbox| outbox.end(end.clone()));
    }

    /// A session listens to a channel. Once more is no error.
    pub fn subscribe(&self, session: SessionId, channel: &Channel, scope: Scope) -> Result<(), Refusal> {
        let changed = self.state().subscribe(session, Sub::new(channel, scope))?;
        self.tell_global(&changed);
        self.subscribed(session, channel, scope);
        Ok(())
    }

    /// A session no longer listens. False: it didn't.
    pub fn unsubscribe(&self, session: SessionId, channel: &str, regex: bool) -> bool {
        let (known, changed) = self.state().unsubscribe(session, channel, regex);
        self.tell_global(&changed);
        known
    }

    /// A session listens to nothing any more.
    pub fn unsubscribe_all(&self, session: SessionId) {
        let changed = self.state().unsubscribe_all(session);
        self.tell_global(&changed);
    }

    /// The newest live session of this tega ID: the one that owns its ephemeral puts and serves its RPCs.
    pub fn newest(&self, tega_id: &TegaId) -> Option<SessionId> {
        self.state().newest(tega_id)
    }

    /// Tells the global server that sessions here came or went.
    fn tell_sessions(&self) {
        if let Some(remote) = self.uplink() {
            remote.sessions_changed();
        }
    }

    /// Sends the call to the newest session of its owner, or hands it to the resident of this tega ID.
    fn call_owner(
        &self,
        owner: &TegaId,
        caller: Option<&TegaId>,
        path: &Path,
        arguments: &Value,
        time: Duration,
        done: Done,
    ) {
        let begun = self.state().begin_call(owner, path, time, done);
        match begun {
            Ok((seq, mouth)) => self.hand(mouth, Asked { seq, caller, path, arguments, time }),
            Err((error, done)) => done(Err(error)),
        }
    }

    /// Gives a call to whom it's for.
    fn hand(&self, mouth: Mouth, call: Asked<'_>) {
        match mouth {
            Mouth::Resident(session, resident) => {
                if let Err(refusal) = resident.call(session, call) {
                    self.settle(session, call.seq, Err(refusal));
                }
            }
            Mouth::Outbox(outbox) => {
                let mut frame = String::new();
                let caller = call.caller.unwrap_or(self.own_id());
                let (kind, body) = (message::Kind::Rpc, call.arguments.to_string());
                message::request(&mut frame, call.seq, kind, Some(caller), Some(call.path), &body);
                // A refusal means that the owner is being ended as lagging; leaving, it answers for this call too.
                outbox.push(Frame::Own(frame));
            }
        }
    }

    /// The RESPONSE of a session to a REQUEST that it was sent. One for no open call of this session is passed over.
    pub fn answer(&self, session: SessionId, seq: u32, body: Value) {
        let call = self.state().end_call(session, seq);
        if let Some(call) = call {
            call.answered(body);
        }
    }

    /// The tega IDs that have a session, in order (`/_ids`).
    pub fn ids(&self) -> Vec<TegaId> {
        self.state().ids()
    }

    /// Each channel as it was subscribed, with who listens (`/_channels`). Of channels that somebody may neither read of
    /// nor hear, and of regexes, which say too much, only an admin is told; in the two lists below as well.
    pub fn channels(&self, access: &Access) -> Vec<(String, Vec<TegaId>)> {
        self.state().channels(access)
    }

    /// Each tega ID with its channels (`/_subscribers`).
    pub fn subscribers(&self, access: &Access) -> Vec<(TegaId, Vec<String>)> {
        self.state().subscribers(access)
    }

    /// The channels that reach beyond this server (`/_global`).
    pub fn global_channels(&self, access: &Access) -> Vec<(String, Scope)> {
        self.state().global_channels(access)
    }

    /// The linked servers that listen to anything here, and the original ones (`/_forwarders`).
    pub fn forwarders(&self) -> Vec<TegaId> {
        self.links().forwarders()
    }

    /// Every session, in order of connection (`/_sessions`).
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.state().sessions()
    }

    /// Counts for `/_status`.
    pub fn status(&self) -> HubStatus {
        self.state().status()
    }

    /// Lets this much time pass: ends the calls that are overdue. The daemon's timer calls it about once a second.
    pub fn tick(&self, elapsed: Duration) {
        self.fanout().clear();
        self.links().tick(elapsed);
        let overdue = self.state().tick(elapsed);
        for call in overdue {
            call.overdue();
        }
    }
}

/// OWNER of a leaf `%OWNER.FUNC` or `%OWNER.FUNC(args…)`.
fn owner_of(leaf: &str) -> Option<TegaId> {
    let (owner, function) = leaf.strip_prefix('%')?.split_once('.')?;
    let name = function.split_once('(').map_or(function, |(name, _)| name);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    TegaId::new(owner).ok()
}

/// Whether a value is the text of an RPC leaf.
pub fn is_rpc_leaf(value: &Value) -> bool {
    value.as_str().and_then(owner_of).is_some()
}

/// `X` of `{"result": X}`, or the value itself.
fn unwrapped(body: Value) -> Value {
    match body.as_object().map(|object| object.members()) {
        Some([(key, value)]) if key == "result" => value.clone(),
        _ => body,
    }
}
