//! A stream that counts what was read of a message that isn't whole yet, and what that and the answers that wait take of
//! the memory that all share.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::io::{AsyncRead, AsyncWrite};

use crate::message::MAX_MESSAGE;
use crate::system::Budget;

/// So many bytes of each session aren't counted.
const FREE: usize = 16 << 10;

/// A stream under a WebSocket. It reads the heads of frames as they pass, since the WebSocket above makes room for a
/// frame as soon as it has its head, however little follows.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    frames: Frames,
    share: Share,
    /// A frame was announced for which there is no memory: nothing more is read.
    pub(super) crowded: bool,
}

impl<S> Counted<S> {
    /// A stream on which nothing was read yet but `leftover`, which the WebSocket gets by another way. What messages
    /// take is taken from the budget.
    pub fn new(stream: S, leftover: &[u8], budget: Budget) -> Counted<S> {
        let mut counted =
            Counted { stream, frames: Frames::default(), share: Share::new(budget), crowded: false };
        counted.pass(leftover);
        counted
    }

    /// A whole message was taken.
    pub(super) fn taken(&mut self) {
        // Of the next one nothing but its beginning can be here, for which there was room.
        self.share.hold(self.frames.message);
    }

    fn pass(&mut self, bytes: &[u8]) {
        let most = self.frames.pass(bytes);
        // What is too long is refused by the WebSocket, before it makes room for it.
        let counts = most > self.share.taken.saturating_add(FREE) && most <= MAX_MESSAGE;
        self.crowded |= counts && !self.share.hold(most);
    }
}

/// Where the frames of a stream of bytes begin and end.
#[derive(Debug, Default)]
struct Frames {
    /// The head of a frame so far; of 14 bytes at most.
    head: Vec<u8>,
    /// What is to come of a frame's payload.
    payload: u64,
    /// The frame that is coming ends its message.
    last: bool,
    /// Bytes announced of the message that isn't whole.
    message: usize,
}

impl Frames {
    /// Takes what came, and gives the most that a message in it was announced to have.
    fn pass(&mut self, mut bytes: &[u8]) -> usize {
        let mut most = 0;
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= skipped as u64;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.payload == 0 && std::mem::take(&mut self.last) {
                self.message = 0;
            }
            let Some((byte, rest)) = bytes.split_first() else { return most };
            self.head.push(*byte);
            bytes = rest;
            let Some((last, control, length)) = head(&self.head) else { continue };
            self.head.clear();
            self.payload = length;
            // A control frame may stand between those of a message, and is short.
            if !control {
                self.last = last;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.message = self.message.saturating_add(length);
                most = most.max(self.message);
            }
        }
    }
}

/// What the head of a frame says, once it's whole: whether its message ends with it, whether it's a control frame, and
/// the length of its payload.
fn head(bytes: &[u8]) -> Option<(bool, bool, u64)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let length = bytes.get(2..2 + extended)?;
    bytes.get(..2 + extended + mask)?;
    let length = match extended {
        0 => u64::from(second & 0x7f),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    Some((first & 0x80 != 0, first & 0x08 != 0, length))
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.crowded {
            let read = Pin::new(&mut this.stream).poll_read(cx, buf);
            let Poll::Ready(Ok(bytes)) = &read else { return read };
            this.pass(buf.get(..*bytes).unwrap_or_default());
            if !this.crowded {
                return read;
            }
        }
        Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// What a session has of the shared memory; given back with it.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    taken: usize,
}

impl Share {
    pub(super) fn new(budget: Budget) -> Share {
        Share { budget, taken: 0 }
    }

    /// Holds so many bytes from now on, whatever it held before. False: there aren't so many.
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(FREE);
        match wanted.checked_sub(self.taken) {
            Some(0) => return true,
            Some(more) if !self.budget.take(more) => return false,
            Some(_) => {}
            None => self.budget.give(self.taken - wanted),
        }
        self.taken = wanted;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame, with its payload.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.resize(bytes.len() + length, 0xff);
        bytes
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        // A message of one frame, one of two with a ping in between, and the beginning of a third.
        let mut bytes = [frame(0x81, 70_000), frame(0x01, 300), frame(0x89, 5), frame(0x80, 100)].concat();
        bytes.extend_from_slice(&frame(0x81, 900_000)[..20]);
        for step in [1, 7, 4096, bytes.len()] {
            let mut frames = Frames::default();
            let most: Vec<usize> = bytes.chunks(step).map(|chunk| frames.pass(chunk)).collect();
            assert_eq!(most.iter().max(), Some(&900_000), "{step}");
            assert_eq!(frames.message, 900_000, "{step}");
            if step == 1 {
                let told: Vec<usize> = most.into_iter().filter(|most| *most > 0).collect();
                assert_eq!(told, [70_000, 300, 400, 900_000]);
            }
        }
        let mut frames = Frames::default();
        assert_eq!((frames.pass(&frame(0x81, 70_000)), frames.message), (70_000, 0));
    }

    #[test]
    fn a_share_takes_what_is_over_the_free_part_and_gives_it_back() {
        let budget = Budget::new(100);
        let mut one = Share::new(budget.clone());
        let mut two = Share::new(budget.clone());
        assert!(one.hold(FREE) && one.hold(FREE + 60));
        assert!(!two.hold(FREE + 41) && two.hold(FREE + 40));
        assert!(one.hold(FREE + 10) && two.hold(FREE + 90));
        drop((one, two));
        assert!(budget.take(100));
    }
}
