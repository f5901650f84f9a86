//! The threads that drive the door, and the clock that ticks for the hub.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use smol::Executor;
use smol::channel::{Receiver, bounded};

use super::StartError;
use crate::door::{self, Door, Limits, Listener, Purpose, Serving, Stop, Tega, Upgraded};
use crate::http::{self, Context, UciAsk, UciDone};
use crate::hub::{End, Hub};
use crate::link::{self, Links};
use crate::openwrt::bridge::{Ask, Asker};
use crate::plugin;
use crate::session::{self, Counted};
use crate::store::{Health, Store};
use crate::system::Budget;
use crate::token::Tokens;

/// What the network serves, and on what.
pub(super) struct Service {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) local: Option<UnixListener>,
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) tokens: Tokens,
    pub(super) links: Links,
    /// On a local: the link to open.
    pub(super) global: Option<link::Options>,
    /// Asks the bridge to `/etc/config`.
    pub(super) uci: Option<Asker>,
    /// Asks about the plugins.
    pub(super) plugins: Option<plugin::Asker>,
    pub(super) on_disk_failure: Box<dyn Fn() + Send>,
}

/// The threads of a server.
pub(super) struct Net {
    /// Dropped to stop them.
    pub(super) stopper: door::Stopper,
    pub(super) threads: Vec<JoinHandle<()>>,
    /// Closed when the last of them has ended.
    pub(super) ended: Receiver<()>,
}

/// How often waiting calls are looked at for their time limit.
const TICK: Duration = Duration::from_secs(1);

/// How long connections may take to end at a stop, before they are dropped.
const STOP_TIME: Duration = Duration::from_millis(250);

/// Starts the threads: the first drives the door, all run connections.
pub(super) fn start(service: Service, threads: usize) -> Result<Net, StartError> {
    let Service { tcp, local, store, hub, tokens, links, global, uci, plugins, on_disk_failure } = service;
    let lost = |error: std::io::Error| StartError::new(format!("can't watch a listener: {error}"));
    let tcp = tcp.into_iter().map(Listener::tcp);
    let local = local.into_iter().map(Listener::unix);
    let listeners: Vec<Listener> = tcp.chain(local).collect::<Result<_, _>>().map_err(lost)?;
    let executor = Arc::new(Executor::new());
    let (stopper, stop) = door::stop();
    let (alive, ended) = bounded::<()>(1);
    executor.spawn(tick(store.clone(), hub.clone(), links.clone(), on_disk_failure)).detach();
    let others = if plugins.is_some() { plugin::DESCRIPTORS } else { 0 };
    let door = Door::new(Limits { stop_time: STOP_TIME, ..Limits::detect(others) }).with_tokens(tokens);
    let mut context = Context::new(store.clone(), hub.clone());
    context.uci =
        uci.map(|asker| -> crate::http::Uci { Arc::new(move |ask, done| bridge(&asker, ask, done)) });
    context.plugins = plugins.map(|asker| {
        let asked = asker.clone();
        http::Plugins {
            told: Arc::new(move || asked.told()),
            reload: Arc::new(move |done| asker.reload(done)),
        }
    });
    let main = serve(executor.clone(), (door, listeners), context, (links, global), stop.clone());
    let mut handles = Vec::new();
    let first = (executor.clone(), alive.clone());
    handles.push(spawn(0, move || {
        let (executor, alive) = first;
        smol::block_on(executor.run(main));
        drop(alive);
    })?);
    for number in 1..threads {
        let (executor, stop, alive) = (executor.clone(), stop.clone(), alive.clone());
        handles.push(spawn(number, move || {
            smol::block_on(executor.run(stop.wait()));
            drop(alive);
        })?);
    }
    Ok(Net { stopper, threads: handles, ended })
}

/// The stack of a network thread: nothing recurses deeper than a tree may be.
const STACK: usize = 1 << 20;

fn spawn(number: usize, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(format!("net-{number}"))
        .stack_size(STACK)
        .spawn(work)
        .map_err(|error| StartError::new(format!("can't start a network thread: {error}")))
}

/// Serves until the stop, and ends in order: no new clients, the sessions told, the rest dropped.
async fn serve(
    executor: Arc<Executor<'static>>,
    (door, listeners): (Door, Vec<Listener>),
    mut context: Context,
    (links, global): (Links, Option<link::Options>),
    stop: Stop,
) {
    let probe = door.clone();
    let (store, hub) = (context.store.clone(), context.hub.clone());
    context.door = Some(Arc::new(move || probe.status()));
    let (sessions, called, memory) = (hub.clone(), links.clone(), door.memory());
    let tega = Tega::new(context, move |upgraded| {
        websocket(upgraded, sessions.clone(), store.clone(), called.clone(), memory.clone())
    });
    let uplink = {
        let (links, stop) = (links.clone(), stop.clone());
        async move {
            let Some(options) = global else { return };
            let stopped = async {
                stop.wait().await;
                // Time to say goodbye: a global that knows that this server stops doesn't wait for its pings.
                smol::Timer::after(STOP_TIME).await;
            };
            smol::future::or(links.dial(options), stopped).await;
        }
    };
    executor.spawn(uplink).detach();
    let ending = async {
        stop.wait().await;
        links.end_all();
        hub.end_all(&End { code: 1001, reason: "the server is stopping".into() });
    };
    let serving = door.serve(executor, listeners, Arc::new(tega), stop.clone());
    smol::future::zip(serving, ending).await;
}

fn bridge(asker: &Asker, ask: UciAsk, done: UciDone) {
    let UciAsk { verb, packages, secrets, by, opened } = ask;
    asker.ask(Ask { verb, packages, secrets, by, opened }, done);
}

fn websocket(upgraded: Upgraded, hub: Hub, store: Store, links: Links, memory: Budget) -> Serving {
    Box::pin(async move {
        let Upgraded { purpose, stream, leftover, peer, access } = upgraded;
        if purpose == Purpose::Link {
            return links.serve(stream, leftover, peer.to_string(), access).await;
        }
        let config = Some(session::config());
        let stream = Counted::new(stream, &leftover, memory.clone());
        let socket = WebSocketStream::from_partially_read(stream, leftover, Role::Server, config).await;
        let limits = session::Limits { memory, ..session::Limits::default() };
        session::serve(socket, &hub, &store, peer.to_string(), access, limits).await;
    })
}

async fn tick(store: Store, hub: Hub, links: Links, on_disk_failure: Box<dyn Fn() + Send>) {
    let mut failed = false;
    loop {
        smol::Timer::after(TICK).await;
        hub.tick(TICK);
        links.tick();
        if !failed && matches!(store.status().health, Health::ReadOnly(_)) {
            failed = true;
            on_disk_failure();
        }
    }
}
