//! The stream of a session: what is read when, what is sent when, and when it's over.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use async_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use futures_util::{Sink, Stream};
use smol::Timer;
use smol::io::{AsyncRead, AsyncWrite};

use super::Limits;
use super::ask::Large;
use super::counted::{Counted, Share};
use super::machine::{Machine, Step, end_when_revoked};
use crate::hub::{End, Frame, Hub, Outbox};
use crate::store::Store;
use crate::token::Access;

/// Frames that one session takes before the others on its thread have a turn.
const SHARE: usize = 64;

/// A longer frame is sent in fragments of this size where the peer can put them together, so that one long answer
/// doesn't leave a long buffer behind.
const FRAGMENT: usize = 16 << 10;

/// Pings that may stay unanswered.
const MISSED_PINGS: u8 = 3;

/// The longest reason of a close frame, in bytes, by the WebSocket's own rules.
const MAX_REASON: usize = 123;

/// Serves one session to its end. The handshake is done; the stream was made with [`config`](super::config). `peer` is
/// the address that people are shown, `access` what they may do; it's closed with 4001 when that ends. Dropping the
/// future ends the session as well.
pub async fn serve<S>(
    ws: WebSocketStream<Counted<S>>,
    hub: &Hub,
    store: &Store,
    peer: String,
    access: Access,
    limits: Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outbox = Arc::new(Outbox::new(limits.outbox));
    let _alarm = end_when_revoked(&access, &outbox);
    let first_frame = limits.first_frame;
    let mut socket = Socket {
        answers: Share::new(limits.memory.clone()),
        ws,
        machine: Machine::new(hub.clone(), store.clone(), peer, access.clone(), outbox.clone()),
        outbox,
        limits,
        queue: VecDeque::new(),
        unasked: 0,
        own: 0,
        fresh: Vec::new(),
        partial: None,
        large: None,
        poked: false,
        closing: false,
        ended: false,
        heard: false,
        silent: 0,
        timer: Timer::after(first_frame),
    };
    poll_fn(|cx| socket.poll(cx)).await;
}

/// An answer that is encoded elsewhere. `None`: that panicked; in it the frame with its memory, or that there was none.
type Encoding = Pin<Box<dyn Future<Output = Option<Option<(String, Share)>>> + Send>>;

struct Socket<S> {
    ws: WebSocketStream<Counted<S>>,
    /// The memory of answers that wait.
    answers: Share,
    machine: Machine,
    outbox: Arc<Outbox>,
    limits: Limits,
    /// To be sent, in order. While there's anything, the peer doesn't take what it's sent and nothing more is read.
    queue: VecDeque<Frame>,
    /// Bytes in `queue` of notifications and messages, which the peer didn't ask for one by one.
    unasked: usize,
    /// Bytes of answers that came into `queue` since it was empty.
    own: usize,
    /// Where frames are collected before they are queued; kept for its memory.
    fresh: Vec<Frame>,
    /// A frame that is being sent in fragments: what is left of it.
    partial: Option<Bytes>,
    /// The read that runs elsewhere; nothing more is read from the peer until it's done.
    large: Option<Encoding>,
    /// The watch may have events.
    poked: bool,
    /// A close frame was sent.
    closing: bool,
    /// The stream can't be read any more.
    ended: bool,
    /// Something came since the timer last fired.
    heard: bool,
    /// Pings since something came.
    silent: u8,
    timer: Timer,
}

/// A text that many send.
struct SharedText(Arc<str>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn crowded() -> End {
    End { code: 1013, reason: "the server has no memory for this now; try again later".into() }
}

/// The session is over: the stream is of no more use.
struct Over;

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// One round. Ready: the session is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let round = if self.closing { self.close_round(cx) } else { self.round(cx) };
        match round.and_then(|()| self.timers(cx)) {
            Ok(()) => Poll::Pending,
            Err(Over) => Poll::Ready(()),
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        let has_room = self.send(cx)?;
        let taken = self.outbox.take(has_room.then_some(&mut self.fresh), cx.waker());
        self.poked |= taken.poked;
        self.machine.adapt(&mut self.fresh);
        self.enqueue(cx)?;
        if let Some(end) = taken.end {
            return self.close(cx, end);
        }
        self.poll_large(cx)?;
        let share_left = self.read(cx)?;
        if self.closing {
            return Ok(());
        }
        self.notify(cx)?;
        if let Poll::Ready(Err(_)) = Pin::new(&mut self.ws).poll_flush(cx) {
            return Err(Over);
        }
        if !share_left {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Takes what the peer sent. False: there may be more, but the share is used up.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        for _ in 0..SHARE {
            let blocked = !self.queue.is_empty() || self.partial.is_some();
            if blocked
                || self.large.is_some()
                || self.machine.open() >= self.limits.open
                || self.machine.is_behind()
            {
                // Whatever changes one of these wakes the task.
                return Ok(true);
            }
            let message = match Pin::new(&mut self.ws).poll_next(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Err(_))) if self.ws.get_ref().crowded => {
                    self.ended = true;
                    return self.close(cx, crowded()).map(|()| true);
                }
                Poll::Ready(None) => return Err(Over),
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    return self.close(cx, end_of(error).ok_or(Over)?).map(|()| true);
                }
            };
            self.heard = true;
            self.ws.get_mut().taken();
            let text = match message {
                Message::Text(text) => text,
                Message::Binary(_) => {
                    let end = End { code: 4000, reason: "a binary frame; text is wanted".into() };
                    return self.close(cx, end).map(|()| true);
                }
                // The stream answers a ping and a close by itself.
                _ => continue,
            };
            let was_live = self.machine.is_live();
            let step = self.machine.take(&text, &mut self.fresh);
            self.enqueue(cx)?;
            match step {
                Step::Go => {}
                Step::Large(large) => {
                    self.run(*large);
                    self.poll_large(cx)?;
                }
                Step::End(end) => return self.close(cx, end).map(|()| true),
            }
            if !was_live && self.machine.is_live() {
                self.timer.set_after(self.limits.ping);
            }
        }
        Ok(false)
    }

    fn run(&mut self, large: Large) {
        let mut share = Share::new(self.limits.memory.clone());
        self.large = Some(Box::pin(self.machine.heavy().call(move || {
            let frame = large.run();
            share.hold(frame.len()).then_some((frame, share))
        })));
    }

    fn poll_large(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        let Some(large) = &mut self.large else { return Ok(()) };
        if let Poll::Ready(frame) = large.as_mut().poll(cx) {
            self.large = None;
            let frame = match frame {
                Some(Some((frame, _))) => frame,
                Some(None) => return self.close(cx, crowded()),
                None => return self.close(cx, End { code: 1011, reason: "a read failed".into() }),
            };
            self.fresh.push(Frame::Own(frame));
            self.enqueue(cx)?;
        }
        Ok(())
    }

    /// Fetches notifications, even where the socket is full: as events they would hold old values in memory, which
    /// nobody measures. One always fits, or a long one could never be sent.
    fn notify(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        for _ in 0..SHARE {
            if !self.poked {
                return Ok(());
            }
            match self.machine.next_notify() {
                Ok(Some(frame))
                    if self.unasked > 0 && self.unasked + frame.as_str().len() > self.limits.outbox =>
                {
                    return self.close(cx, End::lagging());
                }
                Ok(Some(frame)) => {
                    self.fresh.push(frame);
                    self.enqueue(cx)?;
                }
                Ok(None) => self.poked = false,
                Err(end) => return self.close(cx, end),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn enqueue(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        for frame in self.fresh.drain(..) {
            match &frame {
                Frame::Shared(text) => self.unasked += text.len(),
                Frame::Own(text) => self.own += text.len(),
            }
            self.queue.push_back(frame);
        }
        self.send(cx)?;
        if self.answers.hold(self.own) {
            return Ok(());
        }
        // They are what there is no memory for.
        self.queue.clear();
        self.close(cx, crowded())
    }

    /// Gives the stream what it takes. True: the queue is empty.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        loop {
            if self.queue.is_empty() && self.partial.is_none() {
                // What the stream holds of them counts, until it's written.
                if self.own > 0 && Pin::new(&mut self.ws).poll_ready(cx).is_ready() {
                    self.own = 0;
                    self.answers.hold(0);
                }
                return Ok(true);
            }
            match Pin::new(&mut self.ws).poll_ready(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(Over),
                Poll::Ready(Ok(())) => {}
            }
            let Some(message) = self.next_message() else { return Ok(true) };
            Pin::new(&mut self.ws).start_send(message).map_err(|_| Over)?;
            // The peer takes what it's sent: it isn't dead, even if what it says can't be read now.
            self.heard = true;
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        if let Some(mut rest) = self.partial.take() {
            let piece = rest.split_to(FRAGMENT.min(rest.len()));
            let last = rest.is_empty();
            if !last {
                self.partial = Some(rest);
            }
            return Some(Message::Frame(RawFrame::message(piece, OpCode::Data(Data::Continue), last)));
        }
        let frame = self.queue.pop_front()?;
        if let Frame::Shared(text) = &frame {
            self.unasked = self.unasked.saturating_sub(text.len());
        }
        if frame.as_str().len() <= FRAGMENT || !self.machine.takes_fragments() {
            return Some(Message::Text(match frame {
                Frame::Own(text) => Utf8Bytes::from(text),
                Frame::Shared(text) => Utf8Bytes::from(&*text),
            }));
        }
        let mut bytes = match frame {
            Frame::Own(text) => Bytes::from(text),
            // Not a copy: a long notification that many are slow to take is in memory once.
            Frame::Shared(text) => Bytes::from_owner(SharedText(text)),
        };
        let piece = bytes.split_to(FRAGMENT);
        self.partial = Some(bytes);
        Some(Message::Frame(RawFrame::message(piece, OpCode::Data(Data::Text), false)))
    }

    /// Sends a close frame, and gives the peer a while to answer it.
    fn close(&mut self, cx: &mut Context<'_>, end: End) -> Result<(), Over> {
        if self.closing {
            return Ok(());
        }
        self.closing = true;
        log::debug!("session of {} ends: {} {}", self.machine.who(), end.code, end.reason);
        self.machine.end();
        self.large = None;
        let mut reason = end.reason;
        let cut = (0..=MAX_REASON.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(cut.unwrap_or(0));
        let frame = CloseFrame { code: end.code.into(), reason: reason.into() };
        self.timer.set_after(self.limits.closing);
        if Pin::new(&mut self.ws).start_send(Message::Close(Some(frame))).is_err() {
            return Err(Over);
        }
        self.close_round(cx)
    }

    /// Waits for the peer's close. What it still sends is thrown away: closing a socket with unread bytes would make
    /// the system reset it, and the peer might never see the reason.
    fn close_round(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        if let Poll::Ready(Err(_)) = Pin::new(&mut self.ws).poll_flush(cx) {
            return Err(Over);
        }
        while !self.ended {
            match Pin::new(&mut self.ws).poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return Err(Over),
                Poll::Ready(Some(Err(_))) => self.ended = true,
                Poll::Ready(Some(Ok(_))) => {}
            }
        }
        let mut waste = [0; 4096];
        for _ in 0..SHARE {
            match Pin::new(self.ws.get_mut()).poll_read(cx, &mut waste) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0) | Err(_)) => return Err(Over),
                Poll::Ready(Ok(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn timers(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        while Pin::new(&mut self.timer).poll(cx).is_ready() {
            if self.closing {
                return Err(Over);
            }
            if !self.machine.is_live() {
                let end = End { code: 4000, reason: "SESSION didn't come in time".into() };
                self.close(cx, end)?;
                continue;
            }
            self.timer.set_after(self.limits.ping);
            if std::mem::take(&mut self.heard) {
                self.silent = 0;
            } else {
                self.silent += 1;
                if self.silent > MISSED_PINGS {
                    return Err(Over);
                }
                self.ping(cx);
            }
        }
        Ok(())
    }

    fn ping(&mut self, cx: &mut Context<'_>) {
        // Where the peer takes nothing, the ping would only make the buffer longer; that it's silent counts anyway.
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.ws).poll_ready(cx)
            && Pin::new(&mut self.ws).start_send(Message::Ping(Bytes::new())).is_ok()
        {
            // A failure shows at the next read or write.
            let _ = Pin::new(&mut self.ws).poll_flush(cx);
        }
    }
}

/// What to say to a peer whose frame couldn't be read; `None`: there's nobody to say it to.
fn end_of(error: Error) -> Option<End> {
    let (code, reason) = match error {
        Error::Capacity(_) => (1009, format!("a message has at most {} bytes", crate::message::MAX_MESSAGE)),
        Error::Protocol(error) => (1002, error.to_string()),
        Error::Utf8(_) => (1007, "text that isn't UTF-8".into()),
        _ => return None,
    };
    Some(End { code, reason })
}
