//! One answer, from whoever finishes it to the task that waits for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Reply;
use crate::api::error::Refusal;
use crate::system::Budget;

#[derive(Debug)]
struct Slot {
    reply: Option<Reply>,
    waker: Option<Waker>,
    /// What the reply takes of `memory` until it's fetched.
    lent: usize,
    memory: Budget,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.memory.give(self.lent);
    }
}

/// Bytes of a reply that aren't counted.
const FREE: usize = 16 << 10;

/// The side that answers. One that is dropped unanswered answers 500, so that nobody waits for ever.
#[derive(Debug)]
pub struct Answer(Option<Arc<Mutex<Slot>>>);

/// The side that waits: a future of the reply.
#[derive(Debug)]
pub struct Waiting(Arc<Mutex<Slot>>);

/// A place for one answer, which takes of the memory that all answers share until it's fetched. Where there is none left
/// a refusal takes its place: answers may be finished faster than they are fetched.
pub fn answer(memory: Budget) -> (Answer, Waiting) {
    let slot = Arc::new(Mutex::new(Slot { reply: None, waker: None, lent: 0, memory }));
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
        let counted = reply.body.len().saturating_sub(FREE);
        slot.reply = if slot.memory.take(counted) {
            slot.lent = counted;
            Some(reply)
        } else {
            let message = "too many answers wait to be taken; try again";
            Some(Reply::refusal(&Refusal { status: 503, ..Refusal::new("too_many", message) }))
        };
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

/// Takes the reply, and gives back what it took of the memory.
fn fetch(slot: &mut Slot) -> Option<Reply> {
    let reply = slot.reply.take()?;
    slot.memory.give(std::mem::take(&mut slot.lent));
    Some(reply)
}

impl Waiting {
    /// The reply, where it's there already.
    pub fn take(&mut self) -> Option<Reply> {
        fetch(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Future for Waiting {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match fetch(&mut slot) {
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
        let (sender, waiting) = answer(Budget::new(0));
        let thread = std::thread::spawn(move || sender.send(Reply::empty(204)));
        assert_eq!(smol::block_on(waiting).status, 204);
        assert!(thread.join().is_ok());
        let (sender, mut waiting) = answer(Budget::new(0));
        assert!(waiting.take().is_none());
        drop(sender);
        assert_eq!(waiting.take().map(|r| r.status), Some(500));
    }

    #[test]
    fn answers_that_nobody_fetches_take_no_more_memory_than_there_is() {
        let memory = Budget::new(100_000);
        let long = || Reply { body: "x".repeat(FREE + 60_000), ..Reply::empty(200) };
        let mut waiting: Vec<Waiting> = (0..3)
            .map(|_| {
                let (sender, waiting) = answer(memory.clone());
                sender.send(long());
                waiting
            })
            .collect();
        let statuses: Vec<u16> = waiting[..2].iter_mut().map(|w| w.take().unwrap().status).collect();
        assert_eq!(statuses, [200, 503]);
        // What is dropped unfetched is given back too.
        let (sender, unfetched) = answer(memory.clone());
        sender.send(long());
        drop((unfetched, waiting));
        assert!(memory.take(100_000));
    }
}
