//! # The server as a whole
//!
//! Assembly and ordered stop: a data directory, a store, a hub, links, a door on its listeners, and the threads that
//! drive them. A [`Server`] is started with [`Options`] and stopped by [`Server::stop`]; tests and programs that embed a
//! server use it as it is. [`run`] is the same with signals around it: what `tega serve` does.
//!
//! **Start.** Everything that can fail fails before the first client is served, with one line that says what to do
//! ([`StartError`]): the socket, the addresses, the data directory, the log. Nothing is left behind by a failed start.
//!
//! **Stop.** SIGTERM and SIGINT end the plugins, stop accepting, end the sessions, then close the store, which makes
//! durable all that was acknowledged. Clients that don't let go are cut off: the whole takes less than a second, plus one fsync.
//!
//! **Reload.** SIGHUP reads the token file again ([`Server::reload`]): sessions and streams whose token is gone or changed
//! end. A file that can't be used changes nothing, and the log says why. It looks for plugins again, too.
//!
//! **Failure while it runs.** A disk that failed makes the store read-only for good (see `store`). Reads go on; with
//! [`Options::supervised`] the process ends with its own code instead, so that a supervisor starts it again and
//! recovery judges what is on the disk.
//!
//! It isn't a supervisor: it doesn't fork, write PID files, change its user, or watch itself.

pub mod listen;
pub mod logger;
mod net;
mod signals;

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::commit::TegaId;
use crate::door;
use crate::hub::Hub;
use crate::link;
use crate::openwrt::bridge::{self, Bridge};
use crate::plugin::{self, Plugins};
use crate::store::{self, Store};
use crate::token::{Reloaded, Tokens};
use listen::LocalSocket;
pub use signals::{Ended, run};

/// How long clients may take to let go at a stop.
const GRACE: Duration = Duration::from_millis(600);

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port 0: any that is free.
    pub address: SocketAddr,
    /// Passed over where the machine doesn't have the address, such as `::1` without IPv6.
    pub optional: bool,
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory, created where it doesn't exist; `None`: nothing is kept on disk.
    pub data: Option<PathBuf>,
    /// The server's own tega ID.
    pub id: TegaId,
    /// TCP addresses.
    pub listen: Vec<Listen>,
    /// The local socket.
    pub socket: Option<PathBuf>,
    /// How the store keeps things; its role must be that of `global`.
    pub store: store::Options,
    /// The link to a global server; `None`: this is one, or stands alone.
    pub global: Option<link::Options>,
    /// How long the ephemeral nodes of a link that died stay.
    pub presence_grace: Duration,
    /// Listen beyond loopback without tokens, although anyone there may change everything.
    pub insecure: bool,
    /// The tokens that are asked for.
    pub tokens: Tokens,
    /// The bridge to `/etc/config`.
    pub uci: Option<bridge::Options>,
    /// Programs that serve calls and hear of changes.
    pub plugins: Option<plugin::Options>,
    /// End when the disk failed, instead of serving reads.
    pub supervised: bool,
    /// Threads for the network, from 1.
    pub threads: usize,
}

/// Why a server didn't start: one line that says what to do.
#[derive(Debug)]
pub struct StartError {
    /// The options are to blame, not the machine.
    pub usage: bool,
    /// For people.
    pub message: String,
}

impl StartError {
    fn new(message: impl Into<String>) -> StartError {
        StartError { usage: false, message: message.into() }
    }

    fn usage(message: impl Into<String>) -> StartError {
        StartError { usage: true, message: message.into() }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}

/// A server that serves. Dropping it stops it as [`Server::stop`] does.
pub struct Server {
    addresses: Vec<SocketAddr>,
    socket: Option<LocalSocket>,
    store: Store,
    hub: Hub,
    tokens: Tokens,
    /// Dropped to stop.
    running: Option<door::Stopper>,
    /// Yields an error when the last thread has ended.
    ended: smol::channel::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
    /// The bridge to `/etc/config`.
    uci: Option<Bridge>,
    plugins: Option<Plugins>,
    disk_failed: Arc<AtomicBool>,
}

impl Server {
    /// Binds, opens and serves. When this returns, clients are answered.
    pub fn start(options: Options) -> Result<Server, StartError> {
        Server::start_with(options, || {})
    }

    /// As [`Server::start`]; `on_disk_failure` is called once, from a thread of the server.
    pub(crate) fn start_with(
        options: Options,
        on_disk_failure: impl Fn() + Send + 'static,
    ) -> Result<Server, StartError> {
        if let Some(dir) = &options.data {
            make_directory(dir)?;
        }
        let mut tcp = Vec::new();
        for listen in &options.listen {
            tcp.extend(listen::tcp(listen, options.insecure || options.tokens.required())?);
        }
        let local = options.socket.as_deref().map(listen::local).transpose()?;
        if tcp.is_empty() && local.is_none() {
            return Err(StartError::usage("nothing to listen on; give --listen ADDR:PORT or --socket PATH"));
        }
        let addresses: Result<Vec<SocketAddr>, _> =
            tcp.iter().map(|listener| listener.local_addr()).collect();
        let addresses =
            addresses.map_err(|error| StartError::new(format!("a listener lost its address: {error}")))?;
        let store = open_store(&options)?;
        let hub = Hub::new(options.id.clone(), store.clone());
        let global = options.global;
        let grace = options.presence_grace;
        let uci = match options.uci {
            Some(uci) => Some(Bridge::start(&options.id, uci, store.clone(), hub.clone())),
            None => None,
        };
        let uci = uci.transpose().map_err(StartError::new)?;
        let socket = options.socket.as_deref();
        let plugins = options
            .plugins
            .map(|plugins| Plugins::start(&options.id, plugins, socket, store.clone(), hub.clone()));
        let plugins = plugins.transpose().map_err(StartError::new)?;
        let links = link::Links::new(options.id, hub.clone(), store.clone(), global.as_ref(), grace);
        let (listener, socket) = local.unzip();
        let disk_failed = Arc::new(AtomicBool::new(false));
        let flag = disk_failed.clone();
        let service = net::Service {
            tcp,
            local: listener,
            store: store.clone(),
            hub: hub.clone(),
            links,
            global,
            uci: uci.as_ref().map(Bridge::asker),
            plugins: plugins.as_ref().map(Plugins::asker),
            tokens: options.tokens.clone(),
            on_disk_failure: Box::new(move || {
                flag.store(true, Ordering::SeqCst);
                on_disk_failure();
            }),
        };
        let net::Net { stopper, threads, ended } = net::start(service, options.threads.max(1))?;
        let (running, tokens) = (Some(stopper), options.tokens);
        Ok(Server {
            addresses,
            socket,
            store,
            hub,
            tokens,
            running,
            ended,
            threads,
            uci,
            plugins,
            disk_failed,
        })
    }

    /// The TCP addresses that it listens on, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The local socket.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(LocalSocket::path)
    }

    /// The database that it serves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who is connected to it.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Reads the token file again, and looks for plugins again.
    pub fn reload(&self) {
        if let Some(plugins) = &self.plugins {
            plugins.asker().reload(|| log::info!("plugins are looked for again"));
        }
        match self.tokens.reload() {
            Ok(Reloaded { tokens: Some(tokens), revoked }) => {
                log::info!("{tokens} tokens read again; {revoked} of before are gone or changed");
            }
            Ok(Reloaded { tokens: None, .. }) => {
                log::info!("there is no token file; no tokens are asked for")
            }
            Err(error) => log::error!("the tokens stay as they were: {error}"),
        }
    }

    /// Whether the disk failed, so that nothing can be written any more.
    pub fn disk_failed(&self) -> bool {
        self.disk_failed.load(Ordering::SeqCst)
    }

    /// Stops accepting, ends the sessions, and closes the store once all that was acknowledged is durable.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        // First of all, while their callers are there to be told.
        self.plugins = None;
        if self.running.take().is_none() {
            return;
        }
        let ended = self.ended.clone();
        let in_time = smol::block_on(smol::future::or(async move { ended.recv().await.is_err() }, async {
            smol::Timer::after(GRACE).await;
            false
        }));
        // A thread that hangs is left behind rather than waited for: the store's close below is what counts.
        for thread in self.threads.drain(..) {
            if in_time && thread.join().is_err() {
                log::error!("a network thread ended by a panic");
            }
        }
        self.store.close();
        // Only now: it may wait for procd. A trial under way goes on at the next start.
        self.uci = None;
        self.socket = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut();
    }
}

fn open_store(options: &Options) -> Result<Store, StartError> {
    let Some(dir) = &options.data else { return Ok(Store::in_memory(options.store.clone())) };
    Store::open(dir, options.store.clone()).map_err(|error| StartError::new(error.to_string()))
}

fn make_directory(dir: &Path) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| {
        StartError::new(format!(
            "can't create the data directory {}: {error}; choose another with --data",
            dir.display()
        ))
    })
}

#[cfg(test)]
pub(crate) mod testing {
    //! A directory of its own for a test.

    use std::path::{Path, PathBuf};

    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Scratch {
            let name = crate::client::http::request_id().unwrap();
            let dir = std::env::temp_dir().join(format!("tega-{}", &name[..12]));
            std::fs::create_dir(&dir).unwrap();
            Scratch(dir)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
