//! Listeners and connections, over TCP and over the local socket, as one type each.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

use super::origin::Via;
use crate::http::Peer;

/// Where connections come from: bound already, so that whoever made it knows its address.
#[derive(Debug)]
pub enum Listener {
    /// An address.
    Tcp(Async<TcpListener>),
    /// The local socket.
    Unix(Async<UnixListener>),
}

impl Listener {
    /// A listener of this address.
    pub fn tcp(listener: TcpListener) -> io::Result<Listener> {
        Async::new(listener).map(Listener::Tcp)
    }

    /// A listener of this socket.
    pub fn unix(listener: UnixListener) -> io::Result<Listener> {
        Async::new(listener).map(Listener::Unix)
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer, Via)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written whole; waiting for more to send would only delay them.
                let _ = stream.get_ref().set_nodelay(true);
                let loopback = stream.get_ref().local_addr().is_ok_and(is_loopback);
                let via = if loopback { Via::Loopback } else { Via::Network };
                Ok((Stream::Tcp(stream), Peer::Address(address), via))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Local, Via::Socket))
            }
        }
    }
}

/// Whether only processes of this machine reach an address. An IPv4 address in IPv6 clothes counts as what it is.
pub fn is_loopback(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(v6.is_loopback(), |v4| v4.is_loopback()),
        IpAddr::V4(v4) => v4.is_loopback(),
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over the network, or loopback.
    Tcp(Async<TcpStream>),
    /// Over the local socket.
    Unix(Async<UnixStream>),
}

impl Stream {
    /// Tells the other side that nothing more comes; what it sends can still be read.
    pub(super) fn end_output(&self) {
        // A connection that's gone already needs no end.
        let _ = match self {
            Stream::Tcp(stream) => stream.get_ref().shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.get_ref().shutdown(Shutdown::Write),
        };
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_close(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_network() {
        for (address, loopback) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.1:1", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), loopback, "{address}");
        }
    }
}
