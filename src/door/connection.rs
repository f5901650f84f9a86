//! One connection: requests are read, answered in order, one by one, until it ends or becomes a stream.

mod leave;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use smol::future::yield_now;
use smol::io::{AsyncRead, AsyncWrite};

use super::chunked::{Chunks, too_large};
use super::deadline::Deadline;
use super::events;
use super::gate::{Gate, Shown, TurnedAway};
use super::guests::{Loan, StreamTicket, Ticket};
use super::head::{Body, Finder, Head, Texts};
use super::limits::Limits;
use super::origin::{Asked, Via, check};
use super::refusals::{crowded, late};
use super::stream::Stream;
use super::{Purpose, Services, Upgraded, upgrade};
use crate::api::route::{self, Method};
use crate::http::events::EventSource;
use crate::http::reply::Framing;
use crate::http::{Peer, Reply, Request, Waiting, answer};
use crate::token::{Access, Alarm};

/// Bytes that one read takes.
const READ: usize = 8 * 1024;

/// Answers to pipelined requests are collected up to so many bytes before they are written.
const COLLECT: usize = 64 * 1024;

/// Requests in a row after which other connections have a turn.
const SHARE: usize = 32;

/// Empty lines before a request.
const MAX_BLANK: usize = 4;

/// Buffers above this size aren't kept for the next request.
const KEEP: usize = 16 * 1024;

/// A connection and what it holds.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) ticket: Ticket,
    pub(super) limits: Arc<Limits>,
    pub(super) deadline: Deadline,
    pub(super) loan: Loan,
    /// Bytes to be written.
    pub(super) out: Vec<u8>,
    /// Bytes that were read; those before `at` are done with.
    buffer: Vec<u8>,
    at: usize,
    peer: Peer,
    via: Via,
    gate: Arc<Gate>,
    /// When it was opened, by the boot clock.
    opened: u64,
    /// An event stream's: cuts it when its token is gone.
    alarm: Option<Alarm>,
}

/// How a read ended.
#[derive(PartialEq)]
enum Fill {
    Some,
    /// The client ended its side, or the connection broke, or it's to leave.
    End,
    Late,
}

/// What a connection does next.
enum Next {
    Request(Head),
    /// Answer and close; more may be coming that nobody will read.
    Refuse(Reply),
    End,
}

/// What a request is to become.
enum Turn {
    Answer(Waiting),
    Refuse(Reply),
    Events(Box<dyn EventSource>, StreamTicket),
    WebSocket(Purpose, Access, StreamTicket),
}

/// The client is gone, or doesn't take what it's sent.
pub(super) struct Gone;

impl Connection {
    pub(super) fn new(
        stream: Stream,
        ticket: Ticket,
        (peer, via): (Peer, Via),
        limits: Arc<Limits>,
        gate: Arc<Gate>,
    ) -> Connection {
        let deadline = Deadline::after(limits.idle_time);
        let loan = ticket.guests().loan();
        let (out, buffer) = (Vec::new(), Vec::new());
        let (at, alarm, opened) = (0, None, crate::system::boot_ms());
        Connection { stream, ticket, limits, deadline, loan, out, buffer, at, peer, via, gate, opened, alarm }
    }

    /// Serves the connection to its end.
    pub(super) async fn serve<S: Services>(self, services: Arc<S>) {
        let guest = self.ticket.guest.clone();
        let mut work = std::pin::pin!(self.run(services));
        poll_fn(|cx| {
            // Here once for all that is below: orders and event sources wake this task.
            guest.register(cx);
            if guest.leaving_now() { Poll::Ready(()) } else { work.as_mut().poll(cx) }
        })
        .await;
    }

    async fn run<S: Services>(mut self, services: Arc<S>) {
        for count in 1_usize.. {
            let head = match self.head().await {
                Next::Request(head) => head,
                Next::Refuse(reply) => return self.refuse(reply).await,
                Next::End => return,
            };
            // Before the body is read: there may be much of it.
            if let Some(reply) = self.foreign(&head) {
                return self.refuse(reply).await;
            }
            let access = match self.admit(&head) {
                Ok(access) => access,
                Err(TurnedAway { reply, delay }) => {
                    self.hesitate(delay).await;
                    return self.refuse(reply).await;
                }
            };
            let chunks = match self.body(&head).await {
                Ok(chunks) => chunks,
                Err(Next::Refuse(reply)) => return self.refuse(reply).await,
                Err(_) => return,
            };
            let turn = self.dispatch(&head, chunks.as_deref(), access, services.as_ref());
            // With chunks the body isn't in the buffer any more.
            self.at += head.len + if chunks.is_some() { 0 } else { length(&head) };
            self.loan.clear();
            match turn {
                Turn::Answer(waiting) => match self.answer(&head, waiting).await {
                    Ok(true) => {}
                    Ok(false) => return self.linger().await,
                    Err(Gone) => return,
                },
                Turn::Refuse(reply) => return self.refuse(reply).await,
                Turn::Events(source, ticket) => {
                    return Box::pin(events::pump(self, source, ticket)).await;
                }
                Turn::WebSocket(purpose, access, ticket) => {
                    return Box::pin(self.websocket(services, (purpose, access), ticket)).await;
                }
            }
            if count % SHARE == 0 {
                yield_now().await;
            }
        }
    }

    /// The bytes that aren't done with.
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Reads up to the end of the next head.
    async fn head(&mut self) -> Next {
        let mut finder = Finder::default();
        let mut begun: Option<Instant> = None;
        let mut blank = 0;
        loop {
            // An empty line before a request is ignored (RFC 9112, 2.2): some clients send one behind a body.
            while begun.is_none() && blank < MAX_BLANK && self.rest().starts_with(b"\r\n") {
                self.at += 2;
                blank += 1;
            }
            match finder.find(self.rest()) {
                Ok(Some(len)) => {
                    self.ticket.idle(false);
                    return match Head::parse(self.rest().get(..len).unwrap_or_default()) {
                        Ok(head) => Next::Request(head),
                        Err(refusal) => Next::Refuse(Reply::refusal(&refusal)),
                    };
                }
                Ok(None) => {}
                Err(refusal) => return Next::Refuse(Reply::refusal(&refusal)),
            }
            if self.flush().await.is_err() {
                return Next::End;
            }
            // A lone CR may be the first half of an empty line.
            let idle = self.rest().is_empty() || (begun.is_none() && self.rest() == b"\r");
            if idle {
                self.deadline.set(self.limits.idle_time);
                finder = Finder::default();
            } else if begun.is_none() {
                let now = Instant::now();
                begun = Some(now);
                self.deadline.set_at(now + self.limits.head_time);
            }
            self.ticket.idle(idle);
            match self.fill(idle).await {
                Fill::Some => {}
                Fill::End => return Next::End,
                Fill::Late if idle => return Next::End,
                Fill::Late => return Next::Refuse(late("the head")),
            }
        }
    }

    /// Reads the body. One in chunks is returned; any other stays in the buffer behind its head.
    async fn body(&mut self, head: &Head) -> Result<Option<Vec<u8>>, Next> {
        if head.body == Body::None {
            return Ok(None);
        }
        if let Body::Length(length) = head.body
            && length > self.limits.body as u64
        {
            return Err(Next::Refuse(Reply::refusal(&too_large(self.limits.body))));
        }
        if head.expects_continue && self.rest().len() == head.len {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.flush().await.map_err(|Gone| Next::End)?;
        }
        let begun = Instant::now();
        if head.body == Body::Chunked {
            return self.chunks(head, begun).await.map(Some);
        }
        while self.rest().len() < head.len + length(head) {
            self.more(self.rest().len(), begun).await?;
        }
        Ok(None)
    }

    async fn chunks(&mut self, head: &Head, begun: Instant) -> Result<Vec<u8>, Next> {
        let mut chunks = Chunks::new(self.limits.body);
        let mut body = Vec::new();
        loop {
            let start = self.at + head.len;
            let bytes = self.buffer.get(start..).unwrap_or_default();
            let taken =
                chunks.feed(bytes, &mut body).map_err(|refusal| Next::Refuse(Reply::refusal(&refusal)))?;
            // The head stays where it is; what was taken goes, so that only the body grows.
            self.buffer.drain(start..start + taken);
            if chunks.done() {
                return Ok(body);
            }
            self.more(body.len(), begun).await?;
        }
    }

    /// Reads more of a body that began then and of which there are so many bytes.
    async fn more(&mut self, so_far: usize, begun: Instant) -> Result<(), Next> {
        if !self.loan.grow(so_far.saturating_sub(self.limits.free)) {
            return Err(Next::Refuse(Reply::refusal(&crowded())));
        }
        self.deadline.set_at(begun + self.transfer_time(so_far));
        // In steps, where a buffer that grows by itself would double: what is counted is what is taken.
        if self.buffer.capacity() - self.buffer.len() < READ {
            self.buffer.reserve_exact((self.buffer.len() / 4).max(2 * READ));
        }
        match self.fill(false).await {
            Fill::Some => Ok(()),
            Fill::End => Err(Next::End),
            Fill::Late => Err(Next::Refuse(late("the body"))),
        }
    }

    fn transfer_time(&self, bytes: usize) -> Duration {
        self.limits.transfer_time + Duration::from_secs((bytes / self.limits.rate.max(1)) as u64)
    }

    /// A refusal where a page of another site may be behind the request.
    fn foreign(&self, head: &Head) -> Option<Reply> {
        let texts = head.texts(self.rest());
        let reads = matches!(head.method, Some(Method::Get | Method::Head));
        let asked = Asked {
            host: texts.host,
            origin: texts.origin,
            fetch_site: texts.fetch_site,
            effect: reads && route::get_has_effect(texts.path),
        };
        check(self.via, asked).err().map(|refusal| Reply::refusal(&refusal))
    }

    /// What the sender may do.
    fn admit(&self, head: &Head) -> Result<Access, TurnedAway> {
        let texts = head.texts(self.rest());
        let Texts { authorization, query, .. } = texts;
        if authorization.is_none()
            && self.via != Via::Socket
            && upgrade::wanted(head, &texts) == Some(Purpose::Session)
            && let Some(pending) = self.gate.knock(self.peer)
        {
            return Ok(pending);
        }
        let access = self.gate.admit(self.via, self.peer, Shown { authorization, query })?;
        if self.via == Via::Network && access.grant().is_some() {
            self.ticket.prove();
        }
        Ok(access)
    }

    /// Waits before an answer that is to come late. The place is given to whoever needs it.
    async fn hesitate(&mut self, delay: Duration) {
        // Whatever was answered before isn't held back.
        if delay.is_zero() || self.flush().await.is_err() {
            return;
        }
        self.ticket.idle(true);
        self.deadline.set(delay);
        poll_fn(|cx| if self.ticket.guest.leaving() { Poll::Ready(()) } else { self.deadline.poll(cx) })
            .await;
    }

    /// Hands a whole request to whom it's for.
    fn dispatch<S: Services>(
        &mut self,
        head: &Head,
        chunks: Option<&[u8]>,
        access: Access,
        services: &S,
    ) -> Turn {
        let texts = head.texts(self.rest());
        if let Some(purpose) = upgrade::wanted(head, &texts) {
            return match upgrade::accept(head, &texts) {
                Err(reply) => Turn::Refuse(reply),
                Ok(opening) => match self.ticket.guests().stream() {
                    Some(ticket) => {
                        self.out.extend_from_slice(opening.as_bytes());
                        Turn::WebSocket(purpose, access, ticket)
                    }
                    None => Turn::Refuse(Reply::refusal(&crowded())),
                },
            };
        }
        let in_buffer = || self.rest().get(head.len..head.len + length(head)).unwrap_or_default();
        let request = Request {
            method: head.method.unwrap_or(Method::Other),
            path: texts.path_or_root(),
            query: texts.query,
            headers: texts.headers,
            body: chunks.unwrap_or_else(in_buffer),
            peer: self.peer,
            access,
            opened: self.opened,
        };
        if crate::http::events::wanted(&request) {
            let Some(ticket) = self.ticket.guests().stream() else {
                return Turn::Refuse(Reply::refusal(&crowded()));
            };
            let guest = self.ticket.guest.clone();
            return match services.events(&request, Arc::new(move || guest.wake())) {
                Ok(source) => {
                    let guest = self.ticket.guest.clone();
                    self.alarm = request.access.on_revoked(move || guest.cut());
                    Turn::Events(source, ticket)
                }
                Err(reply) => Turn::Refuse(reply),
            };
        }
        let (sender, waiting) = answer(self.ticket.guests().memory());
        services.request(&request, sender);
        Turn::Answer(waiting)
    }

    /// Encodes the answer once it's there. False: the connection ends with it.
    async fn answer(&mut self, head: &Head, mut waiting: Waiting) -> Result<bool, Gone> {
        let reply = match waiting.take() {
            Some(reply) => reply,
            None => {
                self.shrink();
                // Whatever was answered before isn't held back by a request that takes its time.
                self.flush().await?;
                waiting.await
            }
        };
        let counted = reply.body.len().saturating_sub(self.limits.free);
        let reply = if self.loan.grow(counted) { reply } else { Reply::refusal(&crowded()) };
        let close = head.close || self.ticket.guest.leaving();
        let framing = Framing { head_only: head.method == Some(Method::Head), http10: head.http10, close };
        reply.encode(framing, &mut self.out);
        drop(reply);
        if close || self.out.len() >= COLLECT {
            self.flush().await?;
        }
        Ok(!close)
    }

    async fn websocket<S: Services>(
        mut self,
        services: Arc<S>,
        (purpose, access): (Purpose, Access),
        _counted: StreamTicket,
    ) {
        if self.flush().await.is_err() {
            return;
        }
        let leftover = self.rest().to_vec();
        let Connection { stream, peer, ticket, .. } = self;
        services.websocket(Upgraded { purpose, stream, leftover, peer, access }).await;
        drop(ticket);
    }

    /// Reads what there is, at least one byte. While it waits an idle connection holds no buffers.
    async fn fill(&mut self, idle: bool) -> Fill {
        self.buffer.drain(..self.at);
        self.at = 0;
        poll_fn(|cx| {
            let mut chunk = [0; READ];
            match Pin::new(&mut self.stream).poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => Poll::Ready(Fill::End),
                Poll::Ready(Ok(read)) => {
                    self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
                    Poll::Ready(Fill::Some)
                }
                Poll::Pending if idle && self.ticket.guest.leaving() => Poll::Ready(Fill::End),
                Poll::Pending => {
                    if idle {
                        self.buffer.shrink_to_fit();
                        self.out = Vec::new();
                    }
                    self.deadline.poll(cx).map(|()| Fill::Late)
                }
            }
        })
        .await
    }

    /// Writes all that is to be written.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let mut written = 0;
        let outcome = poll_fn(|cx| {
            while let Some(rest) = self.out.get(written..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut self.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => written += n,
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Gone)),
                    Poll::Pending => {
                        self.deadline.set_at(begun + self.transfer_time(written));
                        return self.deadline.poll(cx).map(|()| Err(Gone));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await;
        self.out.clear();
        self.shrink();
        self.loan.clear();
        outcome
    }

    /// Gives big buffers back.
    fn shrink(&mut self) {
        if self.out.is_empty() && self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        if self.buffer.capacity() > KEEP {
            self.buffer.drain(..self.at);
            self.at = 0;
            self.buffer.shrink_to_fit();
        }
    }
}

/// The length of a body that isn't in chunks; it was checked against the limit, so it fits.
fn length(head: &Head) -> usize {
    match head.body {
        Body::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Body::None | Body::Chunked => 0,
    }
}
