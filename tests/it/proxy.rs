//! A connection between two servers that a test can cut and lay anew, wherever the called one listens by then.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A TCP proxy on a port of its own, which stays the same. Ended when it's dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// `None`: whoever connects is turned away.
    target: Option<SocketAddr>,
    /// Both ends of each connection.
    streams: Vec<TcpStream>,
    over: bool,
}

impl Proxy {
    /// To this address.
    pub(crate) fn to(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared { target: Some(target), ..Shared::default() }));
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let target = {
                    let shared = of_thread.lock().unwrap();
                    if shared.over {
                        return;
                    }
                    shared.target
                };
                if let Some(server) = target.and_then(|target| TcpStream::connect(target).ok()) {
                    join(&of_thread, client, server);
                }
            }
        });
        Proxy { address, shared, thread: Some(thread) }
    }

    /// `ws://ADDR:PORT`
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Cuts every connection, and turns away who connects.
    pub(crate) fn cut(&self) {
        let mut shared = self.shared.lock().unwrap();
        shared.target = None;
        end(&mut shared);
    }

    /// From now on it leads there.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.shared.lock().unwrap().target = Some(target);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut shared = self.shared.lock().unwrap();
            shared.over = true;
            end(&mut shared);
        }
        // The thread waits for somebody to come.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn end(shared: &mut Shared) {
    for stream in shared.streams.drain(..) {
        // One that ended by itself is fine.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn join(shared: &Arc<Mutex<Shared>>, client: TcpStream, server: TcpStream) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut known = shared.lock().unwrap();
    if known.target.is_none() || known.over {
        return;
    }
    known.streams.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    drop(known);
    for (mut from, mut to) in
        [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
    {
        std::thread::spawn(move || {
            let mut buf = [0; 16 << 10];
            while let Ok(got @ 1..) = from.read(&mut buf) {
                if to.write_all(&buf[..got]).is_err() {
                    break;
                }
            }
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
}
