//! # One WebSocket session
//!
//! What a client that connected to `/_pubsub` may do, from its SESSION to its end. The door makes the handshake and
//! gives [`serve`] the stream.
//!
//! **How it's built.** `machine` takes one text frame at a time and does what it asks: `ask` answers a
//! REQUEST, reads from the store and submits to it; `live` listens and publishes. Frames to be sent are pushed to a
//! list; they know no socket and no clock. `socket` is the one file with the stream, the timers and the order of
//! things:
//!
//! - One task a session, one round at a time: take every frame that is there, up to a share; send what came of them
//!   and what others left in the outbox; flush once. No task, no channel and no thread for a request.
//! - A GET is answered at once. A write is submitted, and the committer's thread puts the answer into the outbox and
//!   wakes the task only if it was asleep. So answers may overtake each other, but writes are submitted in the order in
//!   which they came, and a GET sees every write that was answered before it was sent.
//! - A read of more than [`INLINE_NODES`](crate::read::INLINE_NODES) nodes or of a regex is encoded by the server's pool
//!   for such work, and this session reads on when it's done.
//! - Notifications are fetched from the store's watch, and one encoding serves all sessions
//!   that listen to the same channels.
//!
//! **What it may.** A session has the access of its token from the handshake to its end: it acts under a tega ID that this
//! allows (else 4001), each request and frame is asked about first, reads and notifications are cut to what may be read,
//! and messages come from channels that may be heard. A channel may be listened to for either; each kind comes only to who
//! may have it. Sessions share an encoded notification where they listen to the same and may read the same.
//!
//! **Bounds.** While [`Limits::open`] requests wait, or the socket doesn't take what is to be sent, nothing more is
//! read: the client feels it as a full socket, not as an error. What isn't asked for (notifications, messages, calls) has
//! a bounded queue, and a session that lets it overflow is closed with 4008 `lagging`, and may come back and resume. A
//! Long answers that wait and long messages that come in pieces take of a memory that all connections share; a session
//! for which there is none left is closed with 1013. A peer that is silent for three pings is dead. The first frame is a SESSION, within 10 s.
//!
//! **How it fails.** A request that can't be done is answered with `{"error":…}` under its seq, in both dialects. A
//! frame that can't be read has no seq: the original's dialect has nothing to say it with, so the session is closed with
//! 4000 and the reason; in the second dialect `ERROR⏎{"error":…}` comes, and the session goes on. A binary frame, a frame
//! before SESSION and a second SESSION close it in both. When it ends, the hub and the store forget it: its calls
//! fail, its ephemeral nodes go.
//!
//! What it isn't: a link of this version's servers, which is `link`'s. An original local server is served by a session
//! that `legacy` knows.

mod ask;
mod counted;
mod legacy;
mod live;
mod machine;
mod socket;

use std::time::Duration;

use async_tungstenite::tungstenite::protocol::WebSocketConfig;

pub use counted::Counted;
pub use socket::serve;

use crate::system::Budget;

/// What one session may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests that wait for their answer; beyond it, reading stops.
    pub open: usize,
    /// Bytes of what it didn't ask for, waiting to be sent; beyond it, it's closed as lagging.
    pub outbox: usize,
    /// For answers that wait and messages that come in pieces, shared with whoever else holds such.
    pub memory: Budget,
    /// How long the first frame may take.
    pub first_frame: Duration,
    /// How often a silent peer is pinged; after three unanswered ones it's dead.
    pub ping: Duration,
    /// How long a peer may take to close after it was told to.
    pub closing: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            open: 1_024,
            outbox: 256 << 10,
            memory: Budget::new(usize::MAX),
            first_frame: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            closing: Duration::from_secs(5),
        }
    }
}

/// How the door must make the stream: small buffers, and a limit for a message. A TCP socket must have `TCP_NODELAY`,
/// since a round of small frames is flushed as one and mustn't wait for the acknowledgement of the round before.
///
/// The write buffer has no limit of its own, because one frame may be longer than any: what is waiting is bounded by
/// the session, which gives it one frame more than the socket takes.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(4 << 10)
        .max_message_size(Some(crate::message::MAX_MESSAGE))
        .max_frame_size(Some(crate::message::MAX_MESSAGE))
}

#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;
