//! One answer, from whoever finishes it to the task that waits for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Reply;
use crate::api::error::Refusal;

#[derive(Debug, Default)]
struct Slot {
    reply: Option<Reply>,
    waker: Option<Waker>,
}

/// The side that answers. One that is dropped unanswered answers 500, so that nobody waits for ever.
#[derive(Debug)]
pub struct Answer(Option<Arc<Mutex<Slot>>>);

/// The side that waits: a future of the reply.
#[derive(Debug)]
pub struct Waiting(Arc<Mutex<Slot>>);

/// A place for one answer.
pub fn answer() -> (Answer, Waiting) {
    let slot = Arc::new(Mutex::new(Slot::default()));
    (Answer(Some(slot.clone())), Waiting(slot))
}

impl Answer {
    /// Gives the answer and wakes who waits.
    pub fn send(mut self, reply: Reply) {
        self.fill(reply);
    }

    fn fill(&mut self, reply: Reply) {
        let Some(slot) = self.0.take() else { return };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.reply = Some(reply);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.0.is_some() {
            let message = "the request was given up unanswered; whether it happened is unknown";
            self.fill(Reply::refusal(&Refusal::new("internal", message)));
        }
    }
}

impl Waiting {
    /// The reply, where it's there already.
    pub fn take(&mut self) -> Option<Reply> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reply.take()
    }
}

impl Future for Waiting {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_who_waits_and_a_dropped_one_is_500() {
        let (sender, waiting) = answer();
        let thread = std::thread::spawn(move || sender.send(Reply::empty(204)));
        assert_eq!(smol::block_on(waiting).status, 204);
        assert!(thread.join().is_ok());
        let (sender, mut waiting) = answer();
        assert!(waiting.take().is_none());
        drop(sender);
        assert_eq!(waiting.take().map(|r| r.status), Some(500));
    }
}
