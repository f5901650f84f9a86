//! The socket of a link, the same at both ends: what is read when, what is sent when, and when it's over.
//!
//! Frames are read even while others wait to be sent: if both ends waited for each other to read, neither would ever
//! go on. What is read costs little memory, since everything that answers it is bounded elsewhere.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use async_tungstenite::tungstenite::{Bytes, Error, Message};
use futures_util::{Sink, Stream};
use smol::Timer;
use smol::io::{AsyncRead, AsyncWrite};

use super::Input;
use super::mailbox::End;
use super::work::Work;
use crate::message::MAX_MESSAGE;

/// Frames that one link takes before the others on its thread have a turn.
const SHARE: usize = 64;

/// Frames that may wait to be sent, beyond which a peer that goes on to send and takes nothing is lagging: each of its own
/// may have called for one.
const MAX_QUEUED: usize = 16_384;

/// A longer frame is sent in fragments of this size, so that a long one doesn't leave long buffers behind.
const FRAGMENT: usize = 4 << 10;

/// How often a silent peer is pinged.
const PING: Duration = Duration::from_secs(30);

/// Pings that may stay unanswered.
const MISSED_PINGS: u8 = 3;

/// How long a peer that is asked whether it lives has for its answer.
const PROBE: Duration = Duration::from_secs(5);

/// How long a peer may take to close after it was told to.
const CLOSING: Duration = Duration::from_secs(5);

/// How often requests that wait are looked at for their time.
const CHECK: Duration = Duration::from_secs(1);

/// The longest reason of a close frame, in bytes, by the WebSocket's own rules.
const MAX_REASON: usize = 123;

/// How the stream of a link must be made: buffers so small that ten thousand idle links fit in a small server.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2 << 10)
        .write_buffer_size(2 << 10)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// How a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The close code of whoever ended it; `None`: the connection broke.
    pub(super) code: Option<u16>,
    /// For people.
    pub(super) reason: String,
}

/// Runs a link to its end. Dropping the future ends it as well. Whether its handshake was done, and how it ended.
pub(super) async fn run<S>(ws: WebSocketStream<S>, work: Work) -> (bool, Ended)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let now = Instant::now();
    let mut socket = Socket {
        ws,
        work,
        partial: None,
        ended: None,
        closing: false,
        heard: false,
        silent: 0,
        ping_at: now + PING,
        check_at: None,
        dead_at: None,
        timer: Timer::at(now + PING),
        timer_at: Some(now + PING),
    };
    let ended = poll_fn(|cx| socket.poll(cx)).await;
    (socket.work.is_linked(), ended)
}

struct Socket<S> {
    ws: WebSocketStream<S>,
    work: Work,
    /// A frame that is being sent in fragments: what is left of it.
    partial: Option<Bytes>,
    /// How it ended, as soon as that is known.
    ended: Option<Ended>,
    /// A close frame was sent, and the peer's is waited for.
    closing: bool,
    /// Something came since the last ping.
    heard: bool,
    /// Pings since something came.
    silent: u8,
    ping_at: Instant,
    /// When the time of waiting requests is looked at.
    check_at: Option<Instant>,
    /// The end, unless something comes before: the peer was probed, or was told to close.
    dead_at: Option<Instant>,
    timer: Timer,
    /// What `timer` is set to; `None`: it fired.
    timer_at: Option<Instant>,
}

/// The stream is of no more use.
struct Over;

type Round = Result<(), Over>;

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let round = if self.closing { self.close_round(cx) } else { self.round(cx) };
        match round.and_then(|()| self.timers(cx)) {
            Ok(()) => Poll::Pending,
            Err(Over) => {
                let broke = || Ended { code: None, reason: "the connection broke".into() };
                let ended = self.ended.take().unwrap_or_else(broke);
                self.work.end(&ended.reason);
                Poll::Ready(ended)
            }
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Round {
        let has_room = self.send(cx)?;
        let mailbox = self.work.mailbox.clone();
        let mut found = mailbox.take(has_room, cx.waker());
        self.work.queue.append(&mut found.frames);
        if found.feed {
            self.work.feed_woken();
        }
        if found.sessions {
            self.work.sessions_woken();
        }
        if found.presence {
            self.work.presence_woken();
        }
        if found.probe && self.dead_at.is_none() {
            self.dead_at = Some(Instant::now() + PROBE);
            self.ping(cx);
        }
        let mut outcome = Ok(());
        for store in found.outcomes {
            outcome = outcome.and_then(|()| self.work.outcome(store));
        }
        if found.listening {
            outcome = outcome.and_then(|()| self.work.notify());
        }
        if let Some(end) = found.end {
            outcome = Err(end);
        }
        if let Err(end) = outcome {
            return self.close(cx, end);
        }
        let more_to_read = self.read(cx)?;
        if self.closing {
            return Ok(());
        }
        let mut more = more_to_read;
        loop {
            let pumped = match self.work.pump() {
                Ok(all) => all,
                Err(end) => return self.close(cx, end),
            };
            more |= !pumped;
            if self.work.queue.is_empty() {
                break;
            }
            if !self.send(cx)? {
                // The socket wakes the task when it takes more.
                break;
            }
        }
        if let Poll::Ready(Err(_)) = Pin::new(&mut self.ws).poll_flush(cx) {
            return Err(Over);
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Takes what the peer sent. True: there may be more, but the share is used up.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        for _ in 0..SHARE {
            // An outcome of the store changes this, and wakes the task.
            if !self.work.reads() {
                return Ok(false);
            }
            if self.work.queue.len() > MAX_QUEUED {
                let end = End { code: 4008, reason: "lagging".into() };
                return self.close(cx, end).map(|()| false);
            }
            let message = match Pin::new(&mut self.ws).poll_next(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => return Err(Over),
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => return self.bad(cx, error).map(|()| false),
            };
            self.heard = true;
            self.dead_at = None;
            let text = match message {
                Message::Text(text) => text,
                Message::Close(frame) => {
                    self.closed(frame);
                    continue;
                }
                Message::Binary(_) => {
                    let end = End { code: 4000, reason: "a binary frame; text is wanted".into() };
                    return self.close(cx, end).map(|()| false);
                }
                // The stream answers a ping by itself.
                _ => continue,
            };
            if let Err(end) = self.work.frame(&text) {
                return self.close(cx, end).map(|()| false);
            }
        }
        Ok(true)
    }

    /// The peer's close frame; the stream answers it.
    fn closed(&mut self, frame: Option<CloseFrame>) {
        let ended = match frame {
            Some(frame) => Ended { code: Some(frame.code.into()), reason: frame.reason.to_string() },
            None => Ended { code: None, reason: "closed by the other end".into() },
        };
        self.ended.get_or_insert(ended);
    }

    /// What came can't be read.
    fn bad(&mut self, cx: &mut Context<'_>, error: Error) -> Round {
        let (code, reason) = match error {
            Error::Capacity(_) => (1009, format!("a message has at most {MAX_MESSAGE} bytes")),
            Error::Protocol(error) => (1002, error.to_string()),
            Error::Utf8(_) => (1007, "text that isn't UTF-8".into()),
            Error::Io(error) => {
                let reason = format!("the connection broke: {error}");
                self.ended.get_or_insert(Ended { code: None, reason });
                return Err(Over);
            }
            _ => return Err(Over),
        };
        self.close(cx, End { code, reason })
    }

    /// Gives the stream what it takes. True: nothing waits any more.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        loop {
            if self.work.queue.is_empty() && self.partial.is_none() {
                return Ok(true);
            }
            match Pin::new(&mut self.ws).poll_ready(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(Over),
                Poll::Ready(Ok(())) => {}
            }
            let Some(message) = self.next_message() else { return Ok(true) };
            Pin::new(&mut self.ws).start_send(message).map_err(|_| Over)?;
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
        let out = loop {
            let out = self.work.queue.pop_front()?;
            if out.seq.is_none_or(|seq| self.work.sends(seq)) {
                break out;
            }
        };
        if self.work.queue.is_empty() {
            // A burst isn't to leave its memory behind.
            self.work.queue.shrink_to(4);
        }
        if out.text.len() <= FRAGMENT {
            return Some(Message::Text(out.text.into()));
        }
        let mut bytes = Bytes::from(out.text);
        let piece = bytes.split_to(FRAGMENT);
        self.partial = Some(bytes);
        Some(Message::Frame(RawFrame::message(piece, OpCode::Data(Data::Text), false)))
    }

    /// Sends a close frame, and gives the peer a while to answer it.
    fn close(&mut self, cx: &mut Context<'_>, end: End) -> Round {
        if self.closing {
            return Ok(());
        }
        self.closing = true;
        log::debug!("the link with {} is closed: {} {}", self.work.who(), end.code, end.reason);
        self.work.end(&end.reason);
        let mut reason = end.reason.clone();
        let cut = (0..=MAX_REASON.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(cut.unwrap_or(0));
        self.ended.get_or_insert(Ended { code: Some(end.code), reason: end.reason });
        let frame = CloseFrame { code: end.code.into(), reason: reason.into() };
        self.dead_at = Some(Instant::now() + CLOSING);
        if Pin::new(&mut self.ws).start_send(Message::Close(Some(frame))).is_err() {
            return Err(Over);
        }
        self.close_round(cx)
    }

    /// Waits for the peer's close. What it still sends is thrown away: closing a socket with unread bytes would make
    /// the system reset it, and the peer might never see the reason.
    fn close_round(&mut self, cx: &mut Context<'_>) -> Round {
        if let Poll::Ready(Err(_)) = Pin::new(&mut self.ws).poll_flush(cx) {
            return Err(Over);
        }
        for _ in 0..SHARE {
            match Pin::new(&mut self.ws).poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None | Some(Err(_))) => return Err(Over),
                Poll::Ready(Some(Ok(_))) => {}
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Does what it's time for, and sets the timer to what comes next.
    fn timers(&mut self, cx: &mut Context<'_>) -> Round {
        loop {
            let now = Instant::now();
            if self.dead_at.is_some_and(|at| at <= now) {
                let reason = "the other end doesn't answer".to_string();
                self.ended.get_or_insert(Ended { code: None, reason });
                return Err(Over);
            }
            if !self.closing {
                self.due(cx, now)?;
            }
            let next = self.next();
            if self.timer_at != Some(next) {
                self.timer_at = Some(next);
                self.timer.set_at(next);
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Ok(());
            }
            self.timer_at = None;
        }
    }

    fn due(&mut self, cx: &mut Context<'_>, now: Instant) -> Round {
        if self.ping_at <= now {
            self.ping_at = now + PING;
            self.work.is_slow();
            if std::mem::take(&mut self.heard) {
                self.silent = 0;
            } else {
                self.silent += 1;
                if self.silent > MISSED_PINGS {
                    let reason = format!("silent for {} s", PING.as_secs() * u64::from(self.silent));
                    self.ended.get_or_insert(Ended { code: None, reason });
                    return Err(Over);
                }
                self.ping(cx);
            }
        }
        if self.check_at.is_some_and(|at| at <= now) {
            self.check_at = None;
            self.work.overdue();
        }
        if self.check_at.is_none() && self.work.has_requests() {
            self.check_at = Some(now + CHECK);
        }
        if self.work.wakes_at().is_some_and(|at| self.work.clock.instant(at) <= now) {
            if let Err(end) = self.work.input(Input::Tick) {
                return self.close(cx, end);
            }
            // What it wants to be sent is sent by the next round.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn next(&self) -> Instant {
        if self.closing {
            return self.dead_at.unwrap_or(self.ping_at);
        }
        let wakes = self.work.wakes_at().map(|at| self.work.clock.instant(at));
        let others = [self.check_at, self.dead_at, wakes];
        others.into_iter().flatten().fold(self.ping_at, Instant::min)
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
