//! A server that runs until a signal ends it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::{Options, Server, StartError};

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal asked for it.
    Stopped,
    /// The disk failed, and a supervisor is to start it again.
    DiskFailed,
}

/// Starts a server, calls `serving` once it serves, reloads it at SIGHUP, and stops it at SIGTERM or SIGINT.
pub fn run(options: Options, serving: impl FnOnce(&Server)) -> Result<Ended, StartError> {
    let signals = |error: io::Error| StartError::new(format!("can't wait for signals: {error}"));
    let (mut wakes, waker) = UnixStream::pair().map_err(signals)?;
    let stop = Arc::new(AtomicBool::new(false));
    let reload = Arc::new(AtomicBool::new(false));
    for (signal, flag) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGHUP, &reload)] {
        // The flag before the byte: whoever reads the byte sees the flag.
        signal_hook::flag::register(signal, flag.clone()).map_err(signals)?;
        signal_hook::low_level::pipe::register(signal, waker.try_clone().map_err(signals)?)
            .map_err(signals)?;
    }
    // Whoever started this may have left SIGCHLD ignored, which programs inherit. Then the kernel reaps children itself, and
    // nobody can tell how one ended. Any handler is an end to that, also for what is run from here.
    signal_hook::flag::register(SIGCHLD, Arc::default()).map_err(signals)?;
    let supervised = options.supervised;
    let server = Server::start_with(options, move || {
        if supervised {
            // That nobody reads it any more means that the server stops already.
            let _ = (&waker).write_all(b"x");
        }
    })?;
    serving(&server);
    let ended = wait(&mut wakes, &stop, (&reload, || server.reload()), || supervised && server.disk_failed());
    log::info!("stopping");
    server.stop();
    Ok(ended)
}

fn wait(
    wakes: &mut impl Read,
    stop: &AtomicBool,
    (asked, reload): (&AtomicBool, impl Fn()),
    failed: impl Fn() -> bool,
) -> Ended {
    let mut byte = [0];
    loop {
        match wakes.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The writing ends live as long as the handlers: this can't happen, and must not spin if it does.
            Err(_) | Ok(0) => return Ended::Stopped,
            Ok(_) => {}
        }
        if stop.load(Ordering::SeqCst) {
            return Ended::Stopped;
        }
        if failed() {
            return Ended::DiskFailed;
        }
        if asked.swap(false, Ordering::SeqCst) {
            reload();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_told_apart_by_its_flag() {
        let (stop, reload) = (AtomicBool::new(false), AtomicBool::new(true));
        let reloads = std::cell::Cell::new(0);
        let reloading = || reloads.set(reloads.get() + 1);
        // The first wake is a SIGHUP, the second the disk.
        let wakes = std::cell::Cell::new(0);
        let failed = || {
            wakes.set(wakes.get() + 1);
            wakes.get() == 2
        };
        assert_eq!(wait(&mut &b"xxx"[..], &stop, (&reload, reloading), failed), Ended::DiskFailed);
        assert_eq!(reloads.get(), 1);
        stop.store(true, Ordering::SeqCst);
        assert_eq!(wait(&mut &b"x"[..], &stop, (&reload, || ()), || true), Ended::Stopped);
    }
}
