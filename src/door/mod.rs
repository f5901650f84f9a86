//! # One port for everything
//!
//! The door owns every listener, TCP and the local Unix socket alike. It reads each request whole, checks it, and hands
//! it to whom it's for:
//!
//! ```text
//! listener → Guests: is there room? → Connection: head → origin → token → body ─┬→ Services::request → Reply → bytes
//!                                                                                ├→ Services::events → a stream of text
//!                                                                                └→ Services::websocket, with the socket
//! ```
//!
//! Everything is a future on one executor: a connection is a task of about two kilobytes, and one that idles holds no
//! buffers. Requests of a connection are answered in order, one by one; what a client sends ahead stays in its buffer.
//! Nobody upstream ever sees half a request, and no header but those named in [`http::Headers`](crate::http::Headers)
//! goes any further: nothing that a client claims about itself is believed.
//!
//! **How it defends itself.** All that a client can make grow has a limit ([`Limits`]), and all that it can delay has a
//! deadline: the head, the body, the idling, the taking of answers. Framing that two readers could read in two ways is
//! refused and the connection closed ([`head`], [`chunked`]). At the limit of connections the one that idles longest
//! makes place for a new one; where none idles the new one gets 503. When descriptors run out, the door does the same,
//! waits for a moment and goes on accepting. Foreign pages in a browser are kept out by the rules in [`origin`]. Who may
//! do what is told by the token that each request shows, before its body is read; a wrong one is answered late. An event
//! stream ends when its token does; a WebSocket is told, and closes as it knows best.
//!
//! **How it ends.** At the stop signal nobody comes in any more, idle connections close, requests under way are
//! answered with `Connection: close`, and after [`Limits::stop_time`] the rest is dropped. WebSockets are ended by the
//! hub, which knows how to say it.
//!
//! It isn't TLS; that belongs here once it exists.

pub mod chunked;
mod connection;
mod deadline;
mod events;
mod gate;
pub mod guests;
pub mod head;
pub mod limits;
pub mod origin;
mod refusals;
mod serve;
mod services;
mod stream;
mod upgrade;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use gate::GateCounts;
pub use limits::Limits;
pub use serve::{Door, Stop, Stopper, stop};
pub use services::Tega;
pub use stream::{Listener, Stream, is_loopback};

use crate::http::events::EventSource;
use crate::http::{Answer, Peer, Reply, Request};
use crate::token::Access;

/// What a WebSocket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client's session.
    Session,
    /// The link of another server.
    Link,
}

/// A connection whose WebSocket handshake is done.
#[derive(Debug)]
pub struct Upgraded {
    /// What it's for.
    pub purpose: Purpose,
    /// The socket.
    pub stream: Stream,
    /// What the client sent behind its handshake.
    pub leftover: Vec<u8>,
    /// Who it is.
    pub peer: Peer,
    /// What they may do.
    pub access: Access,
}

/// A future that is done when the WebSocket has ended.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Called from any thread when an event source has something new; quick, and never blocks.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Those behind the door.
pub trait Services: Send + Sync + 'static {
    /// Answers a request, at once or later. It must not block.
    fn request(&self, request: &Request<'_>, answer: Answer);

    /// Begins an event stream.
    fn events(&self, request: &Request<'_>, wake: Wake) -> Result<Box<dyn EventSource>, Reply>;

    /// Serves a WebSocket to its end.
    fn websocket(&self, upgraded: Upgraded) -> Serving;
}

#[cfg(test)]
mod tests;
