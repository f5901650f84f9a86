//! What other threads have for the task of a link: outcomes of the store, frames to be sent, wake-ups, the end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::store::Error;

/// Bytes of frames that nobody on the other end asked for, waiting to be sent; beyond it the link is lagging.
const MAX_UNASKED: usize = 256 << 10;

/// Bytes of answers waiting to be sent, beyond which the other end's requests are refused.
const MAX_ANSWERS: usize = 4 << 20;

/// Bytes of answers at which the link ends: refusals, and what was under way when the others were too many.
const ANSWERS_END: usize = 2 * MAX_ANSWERS;

/// Requests of the other end that may be under way at once.
const MAX_SERVED: usize = super::requests::MAX_OPEN;

/// What a frame costs beside its text.
const FRAME_COST: usize = 64;

/// A frame to be sent.
pub(super) struct Out {
    /// Of a request, which is sent only as long as somebody waits for its answer.
    pub(super) seq: Option<u32>,
    pub(super) text: String,
}

/// The outcome of something that the machine asked of the store.
pub(super) enum Outcome {
    Recorded(Result<(), Error>),
    Flushed(Result<(), Error>),
    Applied(Result<(), Error>),
    /// What is visible is durable; of the driver itself, which waits for it to open a feed.
    Durable(Result<(), Error>),
}

/// Why a link ends: the WebSocket's close code, and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: u16,
    pub(super) reason: String,
}

/// What the task finds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) frames: VecDeque<Out>,
    pub(super) end: Option<End>,
    /// The feed may have something.
    pub(super) feed: bool,
    /// Ephemeral nodes may have changed.
    pub(super) presence: bool,
    /// Sessions of this server came or went.
    pub(super) sessions: bool,
    /// Something that the other end listens to may have changed.
    pub(super) listening: bool,
    /// The other end is to show that it lives.
    pub(super) probe: bool,
}

#[derive(Default)]
struct Inner {
    found: Found,
    unasked: usize,
    answers: usize,
    /// Requests of the other end that aren't answered yet.
    serving: usize,
    ended: bool,
    waker: Option<Waker>,
}

/// Filled by any thread, emptied by the link's own task. It survives the task, and then takes nothing.
#[derive(Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An outcome of the store.
    pub(super) fn outcome(&self, outcome: Outcome) {
        let mut inner = self.lock();
        inner.found.outcomes.push(outcome);
        wake(inner);
    }

    /// A request. False: too much waits already.
    pub(super) fn request(&self, seq: u32, text: String) -> bool {
        self.push(Out { seq: Some(seq), text })
    }

    /// A frame that the other end didn't ask for. Where too much waits already, the link ends as lagging.
    pub(super) fn tell(&self, text: String) {
        if !self.push(Out { seq: None, text }) {
            self.end(End { code: 4008, reason: "lagging".into() });
        }
    }

    fn push(&self, out: Out) -> bool {
        let mut inner = self.lock();
        let cost = out.text.len() + FRAME_COST;
        // One always fits, or a long one could never be sent at all.
        if inner.ended || (inner.unasked > 0 && inner.unasked + cost > MAX_UNASKED) {
            return false;
        }
        inner.unasked += cost;
        inner.found.frames.push_back(out);
        wake(inner);
        true
    }

    /// A request of the other end begins, and will be answered once. False: there are too many.
    pub(super) fn serve(&self) -> bool {
        let mut inner = self.lock();
        inner.serving += 1;
        inner.serving <= MAX_SERVED && inner.answers < MAX_ANSWERS
    }

    /// The answer to a request of the other end.
    pub(super) fn answer(&self, text: String) {
        let mut inner = self.lock();
        inner.serving = inner.serving.saturating_sub(1);
        if !inner.ended {
            inner.answers += text.len() + FRAME_COST;
            if inner.answers > ANSWERS_END {
                inner.found.end.get_or_insert(End { code: 4008, reason: "lagging".into() });
            } else {
                inner.found.frames.push_back(Out { seq: None, text });
            }
            wake(inner);
        }
    }

    /// Ends the link; the first reason counts.
    pub(super) fn end(&self, end: End) {
        let mut inner = self.lock();
        inner.found.end.get_or_insert(end);
        wake(inner);
    }

    /// The task is over.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        *inner = Inner { ended: true, ..Inner::default() };
    }

    /// The feed may have something.
    pub(super) fn feed(&self) {
        self.flag(|found| &mut found.feed);
    }

    /// Ephemeral nodes may have changed.
    pub(super) fn presence(&self) {
        self.flag(|found| &mut found.presence);
    }

    /// Sessions of this server came or went.
    pub(super) fn sessions(&self) {
        self.flag(|found| &mut found.sessions);
    }

    /// Something that the other end listens to may have changed.
    pub(super) fn listening(&self) {
        self.flag(|found| &mut found.listening);
    }

    /// The other end is to show that it lives, or the link ends.
    pub(super) fn probe(&self) {
        self.flag(|found| &mut found.probe);
    }

    fn flag(&self, of: impl Fn(&mut Found) -> &mut bool) {
        let mut inner = self.lock();
        if !std::mem::replace(of(&mut inner.found), true) {
            wake(inner);
        }
    }

    /// Empties it, frames only where there's room for them, and leaves `waker` to be woken by whatever comes next.
    pub(super) fn take(&self, room: bool, waker: &Waker) -> Found {
        let mut inner = self.lock();
        let mut found = std::mem::take(&mut inner.found);
        if room {
            (inner.unasked, inner.answers) = (0, 0);
        } else {
            std::mem::swap(&mut inner.found.frames, &mut found.frames);
        }
        match &mut inner.waker {
            Some(present) => present.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        found
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

#[cfg(test)]
mod tests {
    use super::*;

    fn take(mailbox: &Mailbox, room: bool) -> Found {
        mailbox.take(room, Waker::noop())
    }

    #[test]
    fn frames_stay_while_there_is_no_room_and_everything_else_comes() {
        let mailbox = Mailbox::default();
        mailbox.tell("a".into());
        mailbox.feed();
        mailbox.outcome(Outcome::Flushed(Ok(())));
        let found = take(&mailbox, false);
        assert!(found.frames.is_empty() && found.feed && !found.presence && found.outcomes.len() == 1);
        let found = take(&mailbox, true);
        assert!(found.frames.len() == 1 && !found.feed && found.outcomes.is_empty());
    }

    #[test]
    fn what_nobody_takes_ends_the_link_and_a_request_is_only_refused() {
        let mailbox = Mailbox::default();
        // One always fits.
        mailbox.tell("x".repeat(MAX_UNASKED));
        assert!(!mailbox.request(1, "y".into()));
        assert_eq!(take(&mailbox, false).end, None);
        mailbox.tell("y".into());
        assert_eq!(take(&mailbox, false).end.unwrap().code, 4008);
        assert_eq!(take(&mailbox, true).frames.len(), 1);
        assert!(mailbox.request(1, "y".into()));
    }

    #[test]
    fn answers_are_taken_always_and_requests_as_long_as_there_is_room() {
        let mailbox = Mailbox::default();
        assert!(mailbox.serve());
        mailbox.answer("x".repeat(MAX_ANSWERS));
        assert!(!mailbox.serve());
        mailbox.answer("refused".into());
        assert_eq!(take(&mailbox, true).frames.len(), 2);
        for _ in 0..MAX_SERVED {
            assert!(mailbox.serve());
        }
        assert!(!mailbox.serve());
        mailbox.answer(String::new());
        mailbox.answer(String::new());
        assert!(mailbox.serve());
    }

    #[test]
    fn who_asks_on_and_on_and_takes_no_answer_is_ended() {
        let mailbox = Mailbox::default();
        let refusal = "x".repeat(1 << 10);
        for _ in 0..2 * ANSWERS_END / refusal.len() {
            mailbox.serve();
            mailbox.answer(refusal.clone());
        }
        assert_eq!(take(&mailbox, false).end.unwrap().code, 4008);
        let held: usize = take(&mailbox, true).frames.iter().map(|out| out.text.len()).sum();
        assert!(held <= ANSWERS_END, "{held}");
    }

    #[test]
    fn after_the_end_it_takes_nothing() {
        let mailbox = Mailbox::default();
        mailbox.close();
        assert!(!mailbox.request(1, "y".into()));
        mailbox.answer("z".into());
        assert!(take(&mailbox, true).frames.is_empty());
    }
}
