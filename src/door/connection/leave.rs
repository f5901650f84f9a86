//! How a connection ends so that the client sees the last answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use smol::io::AsyncRead;

use super::{Connection, READ, SHARE};
use crate::http::Reply;
use crate::http::reply::Framing;

/// Bytes that are read and thrown away after a refusal.
const MAX_LINGER: usize = 64 << 20;

impl Connection {
    /// Answers, and ends the connection so that the client sees the answer.
    pub(super) async fn refuse(mut self, reply: Reply) {
        reply.encode(Framing { head_only: false, http10: false, close: true }, &mut self.out);
        if self.flush().await.is_ok() {
            self.linger().await;
        }
    }

    /// Ends this side and reads on for a while: a socket closed over unread bytes is reset, and the reset may take the
    /// answer with it.
    pub(super) async fn linger(mut self) {
        self.stream.end_output();
        self.buffer = Vec::new();
        self.out = Vec::new();
        self.ticket.idle(true);
        self.deadline.set(self.limits.linger_time);
        let mut left = MAX_LINGER;
        poll_fn(|cx| {
            // A turn ends after so many reads, so that a fast sender doesn't hold the others up.
            for _ in 0..SHARE {
                let mut chunk = [0; READ];
                match Pin::new(&mut self.stream).poll_read(cx, &mut chunk) {
                    Poll::Ready(Ok(read)) if read > 0 && left > read => left -= read,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if self.ticket.guest.leaving() => return Poll::Ready(()),
                    Poll::Pending => return self.deadline.poll(cx),
                }
            }
            cx.waker().wake_by_ref();
            self.deadline.poll(cx)
        })
        .await;
    }
}
