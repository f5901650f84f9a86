//! The ends of a program's pipes that the server holds: non-blocking, and bounded.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use super::set_nonblocking;

/// What is read or written at once.
const PIECE: usize = 16 << 10;

/// The most pieces that are read at once: who writes without end doesn't keep the others waiting.
const TURN: usize = 16;

/// What is to be written to a program.
#[derive(Debug)]
pub(super) struct Input {
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
    written: usize,
}

impl Input {
    pub(super) fn new(pipe: Option<OwnedFd>, bytes: Vec<u8>) -> Input {
        Input { pipe, bytes, written: 0 }
    }

    pub(super) fn prepare(&self) -> io::Result<()> {
        self.pipe.as_ref().map_or(Ok(()), set_nonblocking)
    }

    pub(super) fn fd(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Writes what fits. The pipe is closed after the last byte, and where the program reads no more: that is its right.
    pub(super) fn write(&mut self) {
        while let Some(pipe) = &self.pipe {
            let rest = self.bytes.get(self.written..).unwrap_or_default();
            match rustix::io::write(pipe, rest.get(..PIECE).unwrap_or(rest)) {
                Ok(count @ 1..) if self.written + count < self.bytes.len() => self.written += count,
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                _ => {
                    self.pipe = None;
                    self.bytes = Vec::new();
                }
            }
        }
    }
}

/// What is read from a program.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    /// The most that is read.
    most: usize,
    /// The most that is kept, of the end.
    keep: usize,
    kept: VecDeque<u8>,
    count: usize,
    /// What comes after the most is read and thrown away.
    discard: bool,
}

impl Output {
    pub(super) fn new(pipe: Option<OwnedFd>, most: usize, keep: usize) -> Output {
        Output { pipe, most, keep, kept: VecDeque::new(), count: 0, discard: false }
    }

    pub(super) fn prepare(&mut self, discard: bool) -> io::Result<()> {
        self.discard = discard;
        self.pipe.as_ref().map_or(Ok(()), set_nonblocking)
    }

    pub(super) fn fd(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Reads what is there; true: more came than is read at most.
    pub(super) fn read(&mut self) -> bool {
        let mut buf = [0; PIECE];
        for _ in 0..TURN {
            let Some(pipe) = &self.pipe else { break };
            match rustix::io::read(pipe, &mut buf) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let room = self.most.saturating_sub(self.count).min(count);
                    self.kept.extend(buf.get(..room).unwrap_or_default());
                    let over = self.kept.len().saturating_sub(self.keep);
                    self.kept.drain(..over);
                    self.count = self.count.saturating_add(count);
                    if self.count > self.most && !self.discard {
                        self.pipe = None;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                // What was read before an error counts.
                Err(_) => self.pipe = None,
            }
        }
        self.count > self.most
    }

    /// What was kept.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept).into()
    }
}
