//! SIGINT, SIGTERM and SIGHUP end a demo in good order.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::told::Teller;
use crate::cli::fault::Fault;

/// Tells of each of these signals from now on, instead of letting it end the process.
pub(super) fn watch(teller: &Teller) -> Result<(), Fault> {
    let fail = |error: io::Error| Fault::error(format!("can't wait for signals: {error}"));
    let (mut wakes, waker) = UnixStream::pair().map_err(fail)?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let waker = waker.try_clone().map_err(fail)?;
        signal_hook::low_level::pipe::register(signal, waker).map_err(fail)?;
    }
    let teller = teller.clone();
    let thread = std::thread::Builder::new().name("signals".into());
    // It ends with the process: the handlers keep the other end open.
    let thread = thread.spawn(move || {
        let mut byte = [0];
        loop {
            match wakes.read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) | Ok(0) => return,
                Ok(_) => teller.signal(),
            }
        }
    });
    thread.map(drop).map_err(fail)
}
