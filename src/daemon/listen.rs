//! Binding what the server listens on, and the rules of the local socket.

use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fd::AsFd;
use rustix::fs::Mode;

use super::{Listen, StartError};

/// The longest path of a Unix socket that every Linux takes, in bytes.
pub const MAX_SOCKET_PATH: usize = 107;

/// Connections that the system may hold until they are accepted; it takes less where `net.core.somaxconn` says so. Rust
/// asks for 128, and a connection beyond that is dropped without a word: its end tries again after 1, 3, 7, 15, 31 s. When
/// 10,000 routers come back at once, the last of them were kept out for minutes by that alone.
const BACKLOG: i32 = 16_384;

/// Binds a TCP address; beyond loopback only if it's `guarded` by tokens, or meant to be open. `None`: it was optional,
/// and this machine doesn't have it.
pub fn tcp(listen: &Listen, guarded: bool) -> Result<Option<TcpListener>, StartError> {
    let address = listen.address;
    if !address.ip().is_loopback() && !guarded {
        return Err(StartError::usage(format!(
            "--listen {address}: anyone who reaches it could change everything; make tokens with `tega token new`, or \
             listen on 127.0.0.1 and let a tunnel (WireGuard, SSH) reach it, or accept that with --insecure"
        )));
    }
    match TcpListener::bind(address) {
        Ok(listener) => {
            lengthen(&listener);
            Ok(Some(listener))
        }
        Err(error) if listen.optional && missing(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(StartError::new(format!(
            "{address} is in use, perhaps by another tega; stop that, or choose with --listen ADDR:PORT"
        ))),
        Err(error) => Err(StartError::new(format!("can't listen on {address}: {error}"))),
    }
}

/// Has the system queue more connections: listening once more does no more than that.
fn lengthen(listener: impl AsFd) {
    if let Err(error) = rustix::net::listen(listener, BACKLOG) {
        log::debug!("the queue of a listener stays as it is: {error}");
    }
}

/// Whether an address isn't this machine's: `::1` where there is no IPv6.
fn missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || Errno::from_io_error(error).is_some_and(|e| e == Errno::AFNOSUPPORT)
}

/// A bound local socket. Dropping it removes the file, if it is still the one that was bound.
#[derive(Debug)]
pub struct LocalSocket {
    path: PathBuf,
    file: (u64, u64),
}

impl LocalSocket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Binds the local socket with mode 0600. One that a dead server left is replaced; a live one, or a file that is no
/// socket, is refused.
pub fn local(path: &Path) -> Result<(UnixListener, LocalSocket), StartError> {
    let shown = path.display();
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_SOCKET_PATH {
        return Err(StartError::usage(format!(
            "the local socket {shown} has a path of {length} bytes, and {MAX_SOCKET_PATH} is the limit; choose a \
             shorter one with --socket PATH, or --socket none"
        )));
    }
    clear_the_way(path)?;
    let fail = |error: io::Error| {
        StartError::new(format!(
            "can't make the local socket {shown}: {error}; choose another with --socket PATH, or --socket none"
        ))
    };
    // The mask keeps others out between the bind and the chmod.
    let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
    let bound = UnixListener::bind(path);
    rustix::process::umask(mask);
    let listener = bound.map_err(fail)?;
    lengthen(&listener);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    let file = identity(path).map_err(fail)?;
    Ok((listener, LocalSocket { path: path.into(), file }))
}

fn clear_the_way(path: &Path) -> Result<(), StartError> {
    let shown = path.display();
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(|error| StartError::new(format!("local socket {shown}: {error}")))?,
    };
    if !meta.file_type().is_socket() {
        return Err(StartError::new(format!(
            "{shown} is no socket and stays; choose another place with --socket PATH"
        )));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(StartError::new(format!(
            "a server listens on {shown} already; stop it, or choose another place with --socket PATH"
        ))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|error| StartError::new(format!("can't replace the stale socket {shown}: {error}"))),
        Err(error) => {
            Err(StartError::new(format!("local socket {shown}: {error}; choose another with --socket PATH")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scratch;
    use super::*;

    #[test]
    fn the_local_socket_is_for_its_owner_only_and_goes_with_the_server() {
        let dir = Scratch::new();
        let path = dir.path().join("s");
        let (listener, socket) = local(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop((listener, socket));
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_refused() {
        let dir = Scratch::new();
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, socket) = local(&path).unwrap();
        let error = local(&path).unwrap_err();
        assert!(error.message.contains("already") && error.message.contains("--socket"), "{}", error.message);
        drop((listener, socket));
    }

    #[test]
    fn a_file_in_the_way_stays() {
        let dir = Scratch::new();
        let path = dir.path().join("s");
        std::fs::write(&path, "mine").unwrap();
        assert!(local(&path).unwrap_err().message.contains("no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_socket_of_a_later_server_is_left_alone() {
        let dir = Scratch::new();
        let path = dir.path().join("s");
        let (listener, socket) = local(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let later = UnixListener::bind(&path).unwrap();
        drop((listener, socket));
        assert!(path.exists());
        drop(later);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_the_remedy() {
        let path = PathBuf::from(format!("/{}", "x".repeat(107)));
        let error = local(&path).unwrap_err();
        assert!(error.usage && error.message.contains("--socket"), "{}", error.message);
    }

    #[test]
    fn the_queue_of_a_listener_is_as_long_as_the_system_allows() {
        let loopback = Listen { address: "127.0.0.1:0".parse().unwrap(), optional: false };
        let listener = tcp(&loopback, false).unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        let Some(allowed) = allowed.trim().parse::<usize>().ok().filter(|allowed| *allowed > 256) else {
            return eprintln!("this system's queues are short: nothing to show");
        };
        // Nobody accepts: each that is connected at once waits in the queue.
        let waiting = allowed.min(300);
        let time = std::time::Duration::from_millis(900);
        let all: Vec<_> =
            (0..waiting).map(|_| std::net::TcpStream::connect_timeout(&address, time)).collect();
        assert!(all.iter().all(Result::is_ok));
    }

    #[test]
    fn beyond_loopback_needs_insecure() {
        let open = Listen { address: "0.0.0.0:0".parse().unwrap(), optional: false };
        assert!(tcp(&open, false).unwrap_err().message.contains("--insecure"));
        assert!(tcp(&open, true).unwrap().is_some());
        let loopback = Listen { address: "127.0.0.1:0".parse().unwrap(), optional: false };
        let taken = tcp(&loopback, false).unwrap().unwrap();
        let again = Listen { address: taken.local_addr().unwrap(), optional: true };
        assert!(tcp(&again, false).unwrap_err().message.contains("in use"));
    }
}
