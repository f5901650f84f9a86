//! Accepting connections, and the door's beginning and end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use smol::future::{or, yield_now};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Executor, Timer};

use super::Services;
use super::connection::Connection;
use super::gate::{Gate, GateCounts};
use super::guests::{Counts, Full, Guests};
use super::limits::Limits;
use super::origin::Via;
use super::stream::{Listener, Stream};
use crate::api::error::Refusal;
use crate::http::reply::Framing;
use crate::http::{Peer, Reply};
use crate::path::Key;
use crate::system::Budget;
use crate::token::Tokens;
use crate::value::Value;

/// Connections accepted in a row before others have a turn.
const SHARE: usize = 16;

/// Connections that are being told that the door is full.
const MAX_TURNED_AWAY: usize = 16;

/// How long one that was turned away may take to hear it.
const TURN_AWAY: Duration = Duration::from_secs(1);

/// Tells that it's time to stop. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Stop(smol::channel::Receiver<Infallible>);

/// Stops when it's dropped.
#[derive(Debug)]
pub struct Stopper(smol::channel::Sender<Infallible>);

/// A stop signal and who gives it.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = smol::channel::bounded(1);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Stops now.
    pub fn stop(&self) {
        self.0.close();
    }
}

impl Stop {
    /// Waits until it's time.
    pub async fn wait(&self) {
        // Nothing can be sent, so this ends when the channel is closed.
        let _ = self.0.recv().await;
    }
}

/// The door. Clones are the same door.
#[derive(Clone, Debug)]
pub struct Door {
    guests: Arc<Guests>,
    limits: Arc<Limits>,
    gate: Arc<Gate>,
}

impl Door {
    /// A door with these limits, not yet open. It asks for no tokens.
    pub fn new(limits: Limits) -> Door {
        let gate = Arc::new(Gate::new(Tokens::none(), limits.wrong_token));
        Door { guests: Guests::new(&limits), limits: Arc::new(limits), gate }
    }

    /// The same door, which asks for these tokens.
    #[must_use]
    pub fn with_tokens(self, tokens: Tokens) -> Door {
        let gate = Arc::new(Gate::new(tokens, self.limits.wrong_token));
        Door { gate, ..self }
    }

    /// The memory for what waits, which WebSockets share.
    pub fn memory(&self) -> Budget {
        self.guests.memory()
    }

    /// Who showed no token, or a wrong one.
    pub fn gate_counts(&self) -> GateCounts {
        self.gate.counts()
    }

    /// The numbers now.
    pub fn counts(&self) -> Counts {
        self.guests.counts()
    }

    /// The numbers and limits, as `/_status` shows them.
    pub fn status(&self) -> Value {
        let (counts, gate) = (self.counts(), self.gate_counts());
        let number = |n: usize| Value::from(n as u64);
        let members = vec![
            (Key::new_static("connections"), number(counts.connections)),
            (Key::new_static("connections_max"), number(self.limits.connections)),
            (Key::new_static("per_address_max"), number(self.limits.per_address)),
            (Key::new_static("streams"), number(counts.streams)),
            (Key::new_static("streams_max"), number(self.limits.streams)),
            (Key::new_static("memory_max"), number(self.limits.memory)),
            (Key::new_static("accepted"), Value::from(i64::from(counts.accepted))),
            (Key::new_static("refused"), Value::from(i64::from(counts.refused))),
            (Key::new_static("evicted"), Value::from(i64::from(counts.evicted))),
            (Key::new_static("tokens"), gate.tokens.map_or(Value::Null, number)),
            (Key::new_static("tokens_missing"), Value::from(i64::from(gate.missing))),
            (Key::new_static("tokens_wrong"), Value::from(i64::from(gate.wrong))),
        ];
        // Members with names of ours, each once: this is always an object.
        Value::object(members).unwrap_or(Value::Null)
    }

    /// Serves these listeners until the stop signal, and then until the last connection ended or the time for that is
    /// over. Connections are tasks of `executor`, which somebody else runs.
    pub async fn serve<S: Services>(
        &self,
        executor: Arc<Executor<'static>>,
        listeners: Vec<Listener>,
        services: Arc<S>,
        stop: Stop,
    ) {
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                let (door, services, tasks) = (self.clone(), services.clone(), executor.clone());
                executor.spawn(async move { door.accept(listener, services, tasks).await })
            })
            .collect();
        stop.wait().await;
        // Closes the listeners: new clients are refused by the system at once.
        for task in accepting {
            task.cancel().await;
        }
        self.guests.dismiss(false);
        if !self.emptied(self.limits.stop_time).await {
            self.guests.dismiss(true);
            // Dropping is quick; but should a task hang, the door doesn't hang with it.
            self.emptied(self.limits.stop_time).await;
        }
    }

    /// Waits until nobody is in. False: not within this time.
    async fn emptied(&self, time: Duration) -> bool {
        let empty = poll_fn(|cx| if self.guests.is_empty(cx) { Poll::Ready(true) } else { Poll::Pending });
        or(empty, async {
            Timer::after(time).await;
            false
        })
        .await
    }

    async fn accept<S: Services>(
        &self,
        listener: Listener,
        services: Arc<S>,
        executor: Arc<Executor<'static>>,
    ) {
        let turned_away = Arc::new(AtomicUsize::new(0));
        let mut short = false;
        for count in 1_usize.. {
            match listener.accept().await {
                Ok((stream, peer, via)) => {
                    short = false;
                    self.admit(stream, peer, via, &services, &executor, &turned_away);
                }
                Err(error) if passes(&error) => {}
                Err(error) => {
                    // Said once, not ten times a second.
                    if !std::mem::replace(&mut short, true) {
                        log::warn!(
                            "can't accept connections for now: {error}; closing an idle one and trying on"
                        );
                    }
                    self.guests.make_room();
                    Timer::after(self.limits.back_off).await;
                }
            }
            if count % SHARE == 0 {
                yield_now().await;
            }
        }
    }

    fn admit<S: Services>(
        &self,
        stream: Stream,
        peer: Peer,
        via: Via,
        services: &Arc<S>,
        executor: &Arc<Executor<'static>>,
        turned_away: &Arc<AtomicUsize>,
    ) {
        let counted = match peer {
            Peer::Address(address) if via == Via::Network => Some(address.ip()),
            _ => None,
        };
        match self.guests.enter(counted) {
            Ok(ticket) => {
                let (limits, gate) = (self.limits.clone(), self.gate.clone());
                let connection = Connection::new(stream, ticket, (peer, via), limits, gate);
                executor.spawn(connection.serve(services.clone())).detach();
            }
            Err(full) => {
                if turned_away.fetch_add(1, Ordering::AcqRel) < MAX_TURNED_AWAY {
                    let count = turned_away.clone();
                    executor.spawn(turn_away(stream, full, count)).detach();
                } else {
                    turned_away.fetch_sub(1, Ordering::AcqRel);
                }
            }
        }
    }
}

/// Whether an error of `accept` is about that one connection only.
fn passes(error: &io::Error) -> bool {
    let Some(errno) = error.raw_os_error() else { return false };
    let errno = Errno::from_raw_os_error(errno);
    [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::CONNRESET, Errno::PERM].contains(&errno)
}

/// Tells a client that there's no place for it.
async fn turn_away(mut stream: Stream, full: Full, count: Arc<AtomicUsize>) {
    let message = match full {
        Full::Overall => "the server has as many connections as it can; nothing happened, try again",
        Full::Address => "your address has as many connections as it may; nothing happened, close some",
        Full::Closing => "the server is stopping; nothing happened",
    };
    let reply = Reply::refusal(&Refusal { status: 503, ..Refusal::new("too_many", message) });
    let mut out = Vec::new();
    reply.encode(Framing { head_only: false, http10: false, close: true }, &mut out);
    let tell = async {
        if stream.write_all(&out).await.is_ok() {
            stream.end_output();
            let mut ignored = [0; 1024];
            while stream.read(&mut ignored).await.is_ok_and(|n| n > 0) {}
        }
    };
    limited(tell, TURN_AWAY).await;
    count.fetch_sub(1, Ordering::AcqRel);
}

async fn limited(work: impl Future<Output = ()>, time: Duration) {
    or(work, async {
        Timer::after(time).await;
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_one_connection_are_passed_over_at_once() {
        for (errno, one) in [
            (Errno::CONNABORTED, true),
            (Errno::INTR, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::BADF, false),
        ] {
            assert_eq!(passes(&io::Error::from_raw_os_error(errno.raw_os_error())), one, "{errno}");
        }
        assert!(!passes(&io::Error::other("x")));
    }
}
