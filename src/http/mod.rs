//! # REST on the store
//!
//! A request becomes a typed [`Route`], a handler looks into the store or submits to it, and one [`Reply`] comes back:
//!
//! ```text
//! door: bytes → Request ─→ handle ─→ api::route ─→ node | call | info | browse ─→ Reply → bytes: door
//!                                                       └→ store, hub
//! ```
//!
//! No handler waits. A read takes the published state and encodes it at once; one of more than
//! [`INLINE_NODES`](crate::read::INLINE_NODES) nodes goes to a small pool of threads ([`Heavy`]). A write is submitted with a completion that answers when the commit
//! is what its durability asks for, refusals included. So a handler can be called from an event loop.
//!
//! Every refusal is JSON, from the one table in `api::error`. A success of a write has an empty body, since the
//! original's drivers want it so; what there is to say stands in headers:
//!
//! | header | of | says |
//! | --- | --- | --- |
//! | `ETag: "INCARNATION-VERSION"` | GET, HEAD, PUT | the node's version, for `If-Match` and `If-None-Match` |
//! | `Tega-Version: ROOT=N, …` | writes | each root touched, percent-encoded, and its version now |
//! | `Tega-Version: N` | GET, HEAD | the node's version |
//! | `Tega-Position: N` | writes | the commit's position |
//! | `Tega-Durable: 0` | writes | it isn't on disk yet |
//! | `Tega-Applied: 0` | writes | the home has committed it, and this replica doesn't show it yet |
//!
//! A failed `If-Match` or `If-None-Match` is 412 and a failed `version=` 409, both with the code `conflict`.
//! `POST /_commit` that meets a collision is 406, as in the original. An ETag names the versioned state. A container
//! that holds ephemeral nodes is sent with `no-store` and never answered 304, since its versions don't tell of them.
//!
//! What a request may do is asked first ([`allow::route`]), what it's shown is cut where it's read (`read`), and nothing
//! behind that knows of tokens. An answer that is cut has no ETag: what is left out would change it as well.
//!
//! It isn't the door: there's no socket here, no framing and no limit on who comes in. tiny_http is used in [`reply`]
//! only, and only as the encoder of answers.

mod answer;
mod browse;
mod call;
mod condition;
pub mod events;
mod homes;
mod info;
mod links;
mod metrics;
mod node;
pub mod reply;
mod status;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

pub use answer::{Answer, Waiting, answer};
pub use reply::Reply;

use crate::api::allow;
use crate::api::error::Refusal;
use crate::api::route::{self, Method, Route, UciVerb};
use crate::commit::TegaId;
use crate::hub::Hub;
use crate::read::Heavy;
use crate::store::Store;
use crate::token::Access;
use crate::value::Value;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine, through the local socket.
    Local,
    /// An address.
    Address(SocketAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Local => f.write_str("local socket"),
            Peer::Address(address) => address.fmt(f),
        }
    }
}

/// A request, whole and checked, as the door read it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The target before the `?`: begins with `/`, not decoded.
    pub path: &'a str,
    /// The target behind the `?`, or empty.
    pub query: &'a str,
    /// The headers that handlers look at.
    pub headers: Headers<'a>,
    /// The body, without any transfer coding.
    pub body: &'a [u8],
    /// Who asks.
    pub peer: Peer,
    /// What they may do.
    pub access: Access,
    /// When the connection was opened, in milliseconds of the boot clock.
    pub opened: u64,
}

/// The headers that handlers look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `If-Match`
    pub if_match: Option<&'a str>,
    /// `If-None-Match`
    pub if_none_match: Option<&'a str>,
    /// `Idempotency-Key`
    pub idempotency_key: Option<&'a str>,
    /// `Accept`
    pub accept: Option<&'a str>,
    /// `Last-Event-ID`
    pub last_event_id: Option<&'a str>,
}

/// Tells the state of a layer above, such as the door's, for `/_status`.
pub type Probe = Arc<dyn Fn() -> Value + Send + Sync>;

/// Answers what is asked of the bridge to `/etc/config`; it calls back once, from any thread.
pub type Uci = Arc<dyn Fn(UciAsk, UciDone) + Send + Sync>;

/// What is called with the bridge's answer.
pub type UciDone = Box<dyn FnOnce(Result<Value, Refusal>) + Send>;

/// The plugins of a server.
#[derive(Clone)]
pub struct Plugins {
    /// How they are, by name.
    pub told: Probe,
    /// Looks for them again, and calls back once that is done.
    pub reload: Reload,
}

/// Does something that takes a while, and calls back once, from any thread.
pub type Reload = Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// What is asked of the bridge.
#[derive(Clone, Debug)]
pub struct UciAsk {
    /// What it's to do.
    pub verb: UciVerb,
    /// The packages that it's about; none: all.
    pub packages: Vec<String>,
    /// Keys and passwords are shown.
    pub secrets: bool,
    /// Who asks.
    pub by: Option<TegaId>,
    /// When the connection was opened by which it came, in milliseconds of the boot clock.
    pub opened: u64,
}

/// What the handlers work with. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// Who is connected.
    pub hub: Hub,
    /// Where big answers are encoded.
    pub heavy: Heavy,
    /// The part `door` of `/_status`.
    pub door: Option<Probe>,
    /// The bridge to `/etc/config`, where there's one.
    pub uci: Option<Uci>,
    /// The plugins, where there are directories for them.
    pub plugins: Option<Plugins>,
    /// When the server started, for the uptime.
    pub started: Instant,
    /// Answers so far, by the first digit of their status. They may wrap, which a reader takes for a restart.
    answered: Arc<[AtomicU32; 6]>,
}

impl Context {
    /// A context over these, started now.
    pub fn new(store: Store, hub: Hub) -> Context {
        let heavy = hub.heavy().clone();
        Context {
            store,
            hub,
            heavy,
            door: None,
            uci: None,
            plugins: None,
            started: Instant::now(),
            answered: Arc::default(),
        }
    }
}

/// Answers one request. `done` is called once, perhaps before this returns, perhaps from another thread.
pub fn handle(context: &Context, request: &Request<'_>, done: impl FnOnce(Reply) + Send + 'static) {
    let answered = context.answered.clone();
    let done = move |reply: Reply| {
        if let Some(count) = answered.get(usize::from(reply.status / 100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        done(reply);
    };
    if request.method == Method::Options {
        return done(options(request.path));
    }
    let route = Route::parse(request.method, request.path, request.query)
        .and_then(|mut route| allow::route(&request.access, &mut route).map(|()| route));
    let route = match route {
        Ok(route) => route,
        Err(refusal) => return done(refuse(request.path, refusal)),
    };
    match route {
        Route::Get { path, read } => node::get(context, request, path, read, done),
        Route::Select { pattern, read } => node::select(context, &request.access, pattern, read, done),
        Route::Put { path, write, ephemeral } => node::put(context, request, path, write, ephemeral, done),
        Route::Delete { path, write } => node::delete(context, request, path, write, done),
        route => call::handle(context, request, route, done),
    }
}

/// A refusal, with `Allow` where the method was wrong.
fn refuse(path: &str, refusal: Refusal) -> Reply {
    let reply = Reply::refusal(&refusal);
    match route::allowed(path) {
        Some(methods) if refusal.status == 405 => reply.with("Allow", methods),
        _ => reply,
    }
}

fn options(path: &str) -> Reply {
    let methods =
        if path == "*" { Some("GET, HEAD, PUT, DELETE, POST, OPTIONS") } else { route::allowed(path) };
    match methods {
        Some(methods) => Reply::empty(204).with("Allow", methods),
        None => Reply::refusal(&Refusal::new("not_found", format!("no call {path:?}"))),
    }
}

#[cfg(test)]
mod browse_tests;
#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod rights_tests;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod tests;
