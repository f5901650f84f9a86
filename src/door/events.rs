//! Writes an event stream: as fast as the client takes it, and never more ahead than a small buffer.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::guests::StreamTicket;
use crate::http::events::{EventSource, Flow};

/// Bytes that wait to be written before the source is asked for no more.
const AHEAD: usize = 64 * 1024;

/// Parts of the stream that are written before other connections have a turn.
const SHARE: usize = 16;

/// The stream ends with the connection, so it needs no length and no chunks, and HTTP/1.0 can read it too.
const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: tega\r\nContent-Type: text/event-stream\r\n\
                    Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n\
                    Connection: close\r\n\r\n";

/// What the stream waits for.
enum Step {
    Heavy,
    End,
}

struct Pump {
    connection: Connection,
    source: Box<dyn EventSource>,
    text: String,
    written: usize,
    ended: bool,
}

/// Serves an event stream to its end.
pub(super) async fn pump(connection: Connection, source: Box<dyn EventSource>, _counted: StreamTicket) {
    let mut pump = Pump { connection, source, text: HEAD.to_string(), written: 0, ended: false };
    pump.connection.ticket.idle(false);
    pump.connection.deadline.set(pump.connection.limits.keep_alive);
    loop {
        match poll_fn(|cx| pump.poll(cx)).await {
            Step::End => return,
            Step::Heavy => {
                let Pump { connection, source, text, written, ended } = pump;
                let Some((source, text)) = source.heavy(text).await else { return };
                pump = Pump { connection, source, text, written, ended };
                // A first state that doesn't fit into memory beside the others is not sent at all.
                if !pump.connection.loan.grow(pump.text.len()) {
                    return;
                }
            }
        }
    }
}

impl Pump {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.client_gone(cx) {
            return Poll::Ready(Step::End);
        }
        for _ in 0..SHARE {
            let mut idle = self.ended;
            while !idle && self.text.len() - self.written < AHEAD {
                match self.source.next(&mut self.text) {
                    Flow::More => {}
                    Flow::Idle => idle = true,
                    Flow::Heavy => return Poll::Ready(Step::Heavy),
                    Flow::End => (self.ended, idle) = (true, true),
                }
            }
            match self.write(cx) {
                Poll::Ready(true) if self.ended || self.connection.ticket.guest.leaving() => {
                    self.connection.stream.end_output();
                    return Poll::Ready(Step::End);
                }
                Poll::Ready(true) if idle => {
                    // Written to the end, and nothing new: a comment now and then shows that both sides live.
                    if self.connection.deadline.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.text.push_str(":\n\n");
                }
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Step::End),
                // The client doesn't take it: there's a deadline for that as well.
                Poll::Pending => return self.connection.deadline.poll(cx).map(|()| Step::End),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what there is. False: the connection broke.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut progress = false;
        while let Some(rest) = self.text.as_bytes().get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.connection.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n;
                    progress = true;
                }
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {
                    if progress {
                        self.connection.deadline.set(self.connection.limits.transfer_time);
                    }
                    return Poll::Pending;
                }
            }
        }
        if progress {
            self.text.clear();
            self.text.shrink_to(AHEAD);
            self.written = 0;
            self.connection.loan.clear();
            self.connection.deadline.set(self.connection.limits.keep_alive);
        }
        Poll::Ready(true)
    }

    /// Reads, and throws away, what the client sends; it ends the stream by closing.
    fn client_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let mut chunk = [0; 1024];
        for _ in 0..SHARE {
            match Pin::new(&mut self.connection.stream).poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        // It sends without end and will never be answered.
        true
    }
}
