//! A program on a pseudo-terminal, seen from its other side.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Pty {
    child: Child,
    input: File,
    output: Receiver<Vec<u8>>,
    received: usize,
}

impl Pty {
    pub(crate) fn start(command: &[&str], (columns, rows): (u16, u16)) -> Pty {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs =
            || -> OwnedFd { open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap() };
        let child = Command::new(command[0])
            .args(&command[1..])
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::from(theirs()))
            .stdout(Stdio::from(theirs()))
            .stderr(Stdio::from(theirs()))
            .spawn()
            .unwrap();
        let input = File::from(ours);
        let mut reader = input.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buf = [0; 65_536];
            while let Ok(count) = reader.read(&mut buf) {
                if count == 0 || sender.send(buf[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Pty { child, input, output, received: 0 }
    }

    pub(crate) fn keys(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until this text was sent.
    pub(crate) fn until(&mut self, text: &str) {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while !seen.windows(text.len()).any(|window| window == text.as_bytes()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.output.recv_timeout(left).unwrap_or_else(|_| {
                panic!("no {text:?} in {:?}", String::from_utf8_lossy(&seen));
            });
            self.received += bytes.len();
            seen.extend(bytes);
        }
    }

    /// Reads what comes in this time.
    pub(crate) fn settle_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(bytes) = self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.received += bytes.len();
        }
    }

    /// Reads until nothing came for half a second.
    pub(crate) fn settle(&mut self) {
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(500)) {
            self.received += bytes.len();
        }
    }

    /// Bytes that came so far.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// Resident memory in KiB.
    pub(crate) fn rss(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it was.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
