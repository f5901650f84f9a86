//! What waits to be sent to one session: filled by any thread, emptied by the session's own task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A text frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// For this session alone.
    Own(String),
    /// The same for many, encoded once.
    Shared(Arc<str>),
}

impl Frame {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Frame::Own(text) => text,
            Frame::Shared(text) => text,
        }
    }
}

/// Why a session is being ended by the server: the WebSocket's close code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// 1001 going away, 1009 too big, 1013 try again later, 4000 can't be served, 4008 lagging.
    pub code: u16,
    /// For people; at most 123 bytes go out.
    pub reason: String,
}

impl End {
    /// 4008: the session takes what it's sent too slowly. It may come back and resume.
    pub fn lagging() -> End {
        End { code: 4008, reason: "lagging".into() }
    }
}

/// The queue of one session. Bounded: a session that doesn't take its frames is ended, and nobody waits for it.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    frames: Vec<Frame>,
    /// Of `frames`, with [`FRAME_COST`] for each.
    bytes: usize,
    end: Option<End>,
    /// Something is to be looked at that isn't a frame.
    poked: bool,
    /// The task to wake by the first thing that comes; taken by it, so that the others cost no wake.
    waker: Option<Waker>,
}

/// What a frame costs beside its text.
const FRAME_COST: usize = 32;

/// What [`Outbox::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The session must end, once the frames are sent.
    pub end: Option<End>,
    /// [`Outbox::poke`] was called.
    pub poked: bool,
}

impl Outbox {
    /// An outbox that holds at most `limit` bytes.
    pub fn new(limit: usize) -> Outbox {
        Outbox { inner: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame that the session didn't ask for. False: it's full, and the session will end as lagging.
    pub fn push(&self, frame: Frame) -> bool {
        let mut inner = self.lock();
        let cost = frame.as_str().len() + FRAME_COST;
        // One frame always fits, or a long message could never be sent at all.
        let fits = inner.frames.is_empty() || inner.bytes + cost <= self.limit;
        if inner.end.is_some() {
            return false;
        } else if fits {
            inner.bytes += cost;
            inner.frames.push(frame);
        } else {
            inner.end = Some(End::lagging());
        }
        wake(inner);
        fits
    }

    /// Queues the answer to a request. The session bounds how many of them can be open, so this is never refused.
    pub fn answer(&self, frame: String) {
        let mut inner = self.lock();
        inner.bytes += frame.len() + FRAME_COST;
        inner.frames.push(Frame::Own(frame));
        wake(inner);
    }

    /// Wakes the session without a frame: there's something to fetch elsewhere.
    pub fn poke(&self) {
        let mut inner = self.lock();
        inner.poked = true;
        wake(inner);
    }

    /// Ends the session; the first reason counts.
    pub fn end(&self, end: End) {
        let mut inner = self.lock();
        inner.end.get_or_insert(end);
        wake(inner);
    }

    /// Moves all frames to `into`, where there's room for them, and leaves `waker` to be woken by whatever comes next.
    pub fn take(&self, into: Option<&mut Vec<Frame>>, waker: &Waker) -> Taken {
        let mut inner = self.lock();
        if let Some(into) = into {
            into.append(&mut inner.frames);
            inner.bytes = 0;
        }
        match &mut inner.waker {
            Some(present) => present.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Taken { end: inner.end.clone(), poked: std::mem::take(&mut inner.poked) }
    }
}

fn wake(mut inner: MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    // Outside of the lock: the task may run at once, on another thread, and take it.
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}
