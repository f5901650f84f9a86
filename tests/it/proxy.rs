//! A bad network: a TCP proxy on loopback that delays, stalls, loses and cuts what goes through it, and whose target may
//! move.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A proxy; it ends when it's dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// An end of what goes through a proxy.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    /// Who connected.
    Client,
    /// The target.
    Server,
}

struct Shared {
    ended: AtomicBool,
    state: Mutex<State>,
    /// Woken when a stall ends.
    moved: Condvar,
}

struct State {
    target: Option<SocketAddr>,
    open: Vec<TcpStream>,
    /// Nothing passes before then.
    stalled_until: Instant,
    delay: Duration,
    /// What this side says is lost.
    lost: Option<Side>,
    /// New connections are refused.
    down: bool,
}

impl Proxy {
    /// A proxy to this address; `None`: to nowhere yet.
    pub(crate) fn start(target: Option<SocketAddr>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            target,
            open: Vec::new(),
            stalled_until: Instant::now(),
            delay: Duration::ZERO,
            lost: None,
            down: false,
        };
        let shared = Arc::new(Shared {
            ended: AtomicBool::new(false),
            state: Mutex::new(state),
            moved: Condvar::new(),
        });
        let acceptor = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Proxy { address, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go there.
    pub(crate) fn aim(&self, target: SocketAddr) {
        self.shared.state.lock().unwrap().target = Some(target);
    }

    /// Breaks all connections; new ones are taken.
    pub(crate) fn cut(&self) {
        let open = std::mem::take(&mut self.shared.state.lock().unwrap().open);
        open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Breaks all connections, and takes no new ones until it's called with `false`.
    pub(crate) fn down(&self, down: bool) {
        self.shared.state.lock().unwrap().down = down;
        if down {
            self.cut();
        }
    }

    /// Holds back everything for so long, without breaking anything.
    pub(crate) fn stall(&self, time: Duration) {
        self.shared.state.lock().unwrap().stalled_until = Instant::now() + time;
        self.shared.moved.notify_all();
    }

    /// Loses whatever this side says from now on, until it's told otherwise; the connection stands.
    pub(crate) fn lose(&self, side: Option<Side>) {
        self.shared.state.lock().unwrap().lost = side;
    }

    /// Delays every piece that passes by so much.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.state.lock().unwrap().delay = delay;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.stall(Duration::ZERO);
        self.down(true);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut pumps: Vec<JoinHandle<()>> = Vec::new();
    while let Ok((client, _)) = listener.accept() {
        if shared.ended.load(Ordering::SeqCst) {
            break;
        }
        pumps.retain(|pump| !pump.is_finished());
        let target = {
            let state = shared.state.lock().unwrap();
            state.target.filter(|_| !state.down)
        };
        let Some(server) = target.and_then(|target| TcpStream::connect(target).ok()) else { continue };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let both = [(&client, &server, Side::Client), (&server, &client, Side::Server)]
            .map(|(a, b, side)| (a.try_clone().unwrap(), b.try_clone().unwrap(), side));
        shared.state.lock().unwrap().open.extend([client, server]);
        for (from, to, side) in both {
            let shared = shared.clone();
            pumps.push(std::thread::spawn(move || pump(from, to, side, &shared)));
        }
    }
    for pump in pumps {
        let _ = pump.join();
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, side: Side, shared: &Shared) {
    let mut buffer = [0; 16 << 10];
    while let Ok(got @ 1..) = from.read(&mut buffer) {
        if shared.state.lock().unwrap().lost == Some(side) {
            continue;
        }
        if !pass(shared) || to.write_all(&buffer[..got]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Waits as long as the network says. False: the proxy ended.
fn pass(shared: &Shared) -> bool {
    let mut state = shared.state.lock().unwrap();
    let mut until = Instant::now() + state.delay;
    loop {
        until = until.max(state.stalled_until);
        let left = until.saturating_duration_since(Instant::now());
        if shared.ended.load(Ordering::SeqCst) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        state = shared.moved.wait_timeout(state, left).unwrap().0;
    }
}
