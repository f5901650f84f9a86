//! # A local's connection to its global
//!
//! Every root has one home, the only server that commits to it. A **link** is how the others come by its commits, and
//! how they ask the home to make one. A local opens it, since it may be behind NAT; on it both are equal: each is the
//! *source* of the roots that it is home of and a *follower* of the other's.
//!
//! **How it's built.** [`Replication`] is the handshake and the replication, as a machine without a socket, a clock or a
//! store: a frame, a commit, an outcome, the time come in ([`Input`]); what to send, apply, install, record comes out
//! ([`Effect`]). What it has to know of the store it asks by [`Books`]. Both ends are the same type. The frames are in
//! [`message::link`](crate::message::link).
//!
//! 1. *Handshake* (`handshake`). The local says what it follows and serves, and how far it has each; the global
//!    judges the claims against its record of homes, makes the record durable, and answers. So two servers never commit
//!    to one root, whatever they were started with.
//! 2. *Source* (`source`). Per link one feed of the store, opened from what the other end has: the commits that it lacks,
//!    or a snapshot of all roots where they can't be told. Lines and commits are *pulled* ([`Replication::wants`]) as the
//!    socket takes them, and no more than [`WINDOW`] bytes of commits are ahead of what was acknowledged.
//! 3. *Follower* (`follower`). Takes commits whose positions make a chain; what comes while the store still applies is
//!    collected, up to [`MAX_BATCH`] bytes, and applied as one.
//!
//! Around the machine stands what has a socket and a store, the same at both ends:
//!
//! - `socket` is the one file with the stream: fragments, pings, timers, the close. `work` carries out effects, pulls
//!   from the feed, and gives each frame (`incoming`) to whom it's for. One task a link, and no thread; other threads
//!   leave what they have in its `mailbox`. An idle link costs a global about 12 KiB.
//! - `remote` is the link as the hub sees it. `requests` knows who waits for what: what wasn't sent did not happen, what
//!   was sent and isn't answered is unknown, and a write is told once this replica shows it. `serving` does what the
//!   other end asks for.
//! - `presence` keeps ephemeral nodes in step, `listening` tells of changes in roots that the link doesn't carry.
//! - `register` has one link for each tega ID, sends away who comes in a crowd, and keeps the ephemeral nodes of a link
//!   that died for the grace period. `accept` serves links, `dial` opens the local's own, again and again.
//!
//! **How it fails.** A duplicate is passed over. A gap, a record that doesn't follow from what is here, a bad snapshot:
//! RESYNC with what is here, and the source begins anew; a second one within [`RESYNC_EVERY`] ms closes the link. A
//! disk that is full or failed at the follower: the link stays, the problem is shown, it resyncs after [`DISK_RETRY`] ms.
//! A frame that makes no sense closes the link with 4000. All state of a link is gone with it: the next one begins from
//! the standings of both stores, which alone say what was applied.
//!
//! **What it isn't.** The machine doesn't decide who may follow what: tokens and the register of live links are asked by
//! [`Effect::Admit`]. It knows nothing of requests, messages and presence, which share the socket. There's no TLS: a
//! token goes over a network only with `--insecure-link`.

mod accept;
mod back_off;
mod dial;
mod follower;
mod handshake;
mod incoming;
mod listening;
mod mailbox;
mod options;
mod presence;
mod register;
mod remote;
mod replication;
mod requests;
mod serving;
mod socket;
#[cfg(test)]
mod socket_tests;
mod source;
#[cfg(test)]
mod tests;
mod work;

use std::time::Duration;

use crate::commit::{Incarnation, Position, TegaId};
use crate::message::link::{Frame, Refused};
use crate::path::Key;
use crate::store::{Away, Error, Home, Sent, Snapshot, Standing, Start, Store};

pub use accept::Links;
pub use back_off::BackOff;
pub use options::{Options, PRESENCE_GRACE, global};
pub use replication::{Followed, Replication};

/// Bytes of commits that may be sent beyond what was acknowledged. One commit may always be.
pub const WINDOW: usize = 256 << 10;

/// Bytes of commits that wait while the store applies others; beyond it nothing more is read.
pub const MAX_BATCH: usize = 1 << 20;

/// Bytes of the lines of one snapshot.
pub const MAX_SNAPSHOT: usize = 256 << 20;

/// Milliseconds in which at most one RESYNC is sent.
pub const RESYNC_EVERY: u64 = 1_000;

/// Milliseconds after which a follower whose disk refused tries again.
pub const DISK_RETRY: u64 = 10_000;

/// Milliseconds in which BEGIN or SNAPSHOT must come after the handshake or a RESYNC; then RESYNC is sent again.
pub const BEGIN_TIME: u64 = 30_000;

/// Milliseconds without a line after which a follower gives a snapshot up; a long line takes a while.
pub const LINES_TIME: u64 = 600_000;

/// Milliseconds without an ACK after which a source gives a follower up that owes one.
pub const ACK_TIME: u64 = 120_000;

/// Milliseconds in which LINK must come.
pub const LINK_TIME: u64 = 10_000;

/// Milliseconds in which LINKED must come: the global waits for its disk.
pub const LINKED_TIME: u64 = 30_000;

/// How long a local gives the look-up of the name, one connection and the WebSocket's handshake, each.
pub const CONNECT_STEP: Duration = Duration::from_secs(10);

/// Milliseconds between two flushes of what isn't durable yet and therefore isn't sent.
pub const FLUSH_EVERY: u64 = 1_000;

/// Why a link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 4000: this can't be served.
    Refused,
    /// 4001: the token.
    Token,
    /// 4008: the follower is too far behind what the source keeps for it; connect again.
    Lagging,
    /// 4009: another run of a server with this tega ID is linked.
    InUse,
    /// 4010: the homes of roots changed; connect again.
    HomesChanged,
    /// 1013: not now; the reason may end in `retry after N s`.
    Busy,
}

impl Code {
    /// The WebSocket's close code.
    pub fn number(self) -> u16 {
        match self {
            Code::Refused => 4000,
            Code::Token => 4001,
            Code::Lagging => 4008,
            Code::InUse => 4009,
            Code::HomesChanged => 4010,
            Code::Busy => 1013,
        }
    }
}

/// The end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Why, for programs.
    pub code: Code,
    /// Why, for people.
    pub reason: String,
}

impl Closing {
    /// With this reason.
    pub fn new(code: Code, reason: impl Into<String>) -> Closing {
        Closing { code, reason: reason.into() }
    }

    /// Not now, but after so many seconds.
    pub fn busy(why: &str, seconds: u64) -> Closing {
        Closing::new(Code::Busy, format!("{why}; retry after {seconds} s"))
    }

    /// The seconds that the reason of a close frame asks to wait.
    pub fn retry_after(reason: &str) -> Option<u64> {
        let (_, after) = reason.rsplit_once("retry after ")?;
        after.strip_suffix(" s")?.parse().ok()
    }
}

/// What the machine asks of the store, at once.
pub trait Books {
    /// How far this server has a root.
    fn standing(&self, root: &str) -> Option<Standing>;
    /// Whether the root exists now.
    fn exists(&self, root: &str) -> bool;
    /// Its home by the record and by how this server was started; `None`: it isn't declared.
    fn home(&self, root: &str) -> Option<Home>;
    /// What the record says of it.
    fn away(&self, root: &str) -> Option<Away>;
}

impl Books for Store {
    fn standing(&self, root: &str) -> Option<Standing> {
        Store::standing(self, root)
    }

    fn exists(&self, root: &str) -> bool {
        self.view().root(root).is_some()
    }

    fn home(&self, root: &str) -> Option<Home> {
        Store::home(self, root).ok()
    }

    fn away(&self, root: &str) -> Option<Away> {
        Store::away(self, root)
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A frame of the handshake or of replication came ([`Frame::is_replication`]), while [`Replication::reads`].
    Frame(Frame<'a>),
    /// The answer to [`Effect::Admit`].
    Admitted(Result<Vec<Refused>, Closing>),
    /// The outcome of [`Effect::SetHomes`].
    Recorded(Result<(), Error>),
    /// The feed of [`Effect::Open`], and its position.
    Opened(Start, Position),
    /// A piece of the snapshot, where that is wanted; `None`: that was all.
    Line(Option<String>),
    /// A commit of the feed, where that is wanted.
    Commit(Sent),
    /// The feed has nothing more now. Its position, and whether it waits for the disk.
    Idle(Position, bool),
    /// The feed is lagging.
    Lagging,
    /// The outcome of [`Effect::Flush`].
    Flushed(Result<(), Error>),
    /// The outcome of [`Effect::Follow`] or [`Effect::Install`].
    Applied(Result<(), Error>),
    /// [`Replication::wakes_at`] has come. It does no harm at any other time.
    Tick,
}

/// What is to be done, in order.
pub enum Effect {
    /// Send this text frame.
    Send(String),
    /// May this server link, now? It has shown its tega ID and which run of it this is, and wants these roots. Say
    /// [`Input::Admitted`], with the roots that its token doesn't allow. (Global only.)
    Admit {
        /// Who.
        tega_id: TegaId,
        /// Which run.
        instance: Incarnation,
        /// The roots that it wants to follow.
        follow: Vec<Key>,
        /// The roots that it wants to serve.
        serve: Vec<Key>,
    },
    /// Record these homes ([`Store::set_homes`]); say [`Input::Recorded`].
    SetHomes(Vec<(Key, Option<Away>)>),
    /// The handshake is done: requests may cross, [`Replication::peer`] is known.
    Linked,
    /// Drop the feed and open one of these roots ([`Store::feed`]); say [`Input::Opened`].
    Open {
        /// The roots.
        roots: Vec<Key>,
        /// What the other end has of them.
        known: Vec<(Key, Option<Standing>)>,
    },
    /// Make durable what the feed waits for ([`Store::flush`]); say [`Input::Flushed`].
    Flush,
    /// Apply these records of this home ([`Store::follow`]); say [`Input::Applied`].
    Follow {
        /// Whose.
        home: TegaId,
        /// In order.
        records: Vec<String>,
    },
    /// Install this ([`Store::install`]); say [`Input::Applied`].
    Install(Snapshot),
    /// Close the link; nothing else comes.
    Close(Closing),
}

/// What [`Replication::wants`] of the driver, when the socket has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The next piece of the feed's snapshot: [`Input::Line`].
    Line,
    /// What the feed has next: [`Input::Commit`], [`Input::Idle`] or [`Input::Lagging`].
    Commit,
}
