//! Requests that were sent over a link and wait for their answer, without a socket and without a clock.
//!
//! What a caller is told depends on how far its request came. One that never left this server did not happen. One that
//! was sent and isn't answered has an unknown outcome. A write that its home has committed is told as done even if this
//! replica couldn't apply it in time: then its receipt says so.
//!
//! A replica shows a commit when its root stands at that version or a later one. If the root was made anew meanwhile, it
//! never does; but the positions that come over one link are of one store, and who has everything up to the commit's
//! shows what came of it. Where the link doesn't carry the root, there's nothing to wait for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::api::error::Refusal;
use crate::commit::{Position, TegaId};
use crate::hub::RemoteDone as Done;
use crate::message::body::{read_receipt, read_roots};
use crate::message::link::body::{Stands, read_position, read_versions};
use crate::store::Receipt;
use crate::value::Value;

/// How many requests may wait for one link.
pub(super) const MAX_OPEN: usize = 1_024;

/// How long a write or a fresh read may take, applying included.
pub(super) const TIME: Duration = Duration::from_secs(30);

/// What a caller of an RPC may wait longer than its owner has: the way there and back.
const WAY: Duration = Duration::from_secs(1);

/// A caller that is to be told, once no lock is held.
pub(super) type Tell = Box<dyn FnOnce() + Send>;

/// Who waits, and for what.
pub(super) enum Waits {
    /// A commit at the home.
    Write(Done<Receipt>),
    /// Everything that the home has of this root.
    Fresh(Done<()>),
    /// The result of a call that has so much time.
    Call(Duration, Done<Value>),
}

enum Stage {
    /// The answer hasn't come.
    Asked { sent: bool },
    /// The home has these, up to this position where it said so; this replica is to show them. With the receipt of a
    /// write.
    Applying { needs: Stands, position: Option<Position>, receipt: Option<Receipt> },
}

struct Open {
    waits: Waits,
    stage: Stage,
    deadline: Instant,
}

/// Whether this replica shows what the home has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    NotYet,
    /// Not over this link.
    Never,
}

/// The requests of one link that wait.
pub(super) struct Requests {
    peer: TegaId,
    open: BTreeMap<u32, Open>,
    last: u32,
    /// Some of them have their answer and wait for this replica.
    applying: usize,
    ended: bool,
}

/// What the other end says of a request.
enum Said {
    /// A write was committed: its receipt, and where its roots stand.
    Committed(Receipt, Stands),
    /// Where the root stands, and the position of that.
    Stands(Stands, Option<Position>),
    /// The result of a call.
    Result(Value),
    /// It was refused.
    Refused(Refusal),
    /// Something else.
    Strange,
}

impl Requests {
    pub(super) fn new(peer: TegaId) -> Requests {
        Requests { peer, open: BTreeMap::new(), last: 0, applying: 0, ended: false }
    }

    /// Opens a request under a number of its own; where it can't be, the caller is to be told why.
    pub(super) fn begin(&mut self, waits: Waits, now: Instant) -> Result<u32, Tell> {
        if self.ended {
            return Err(refuse(waits, self.gone()));
        }
        if self.open.len() >= MAX_OPEN {
            let message =
                format!("{MAX_OPEN} requests wait for {} already; nothing happened, try again", self.peer);
            return Err(refuse(waits, Refusal::new("too_many", message)));
        }
        loop {
            // A number that still waits is passed over, however seldom that is.
            self.last = self.last.wrapping_add(1);
            if !self.open.contains_key(&self.last) {
                break;
            }
        }
        let time = match waits {
            Waits::Call(time, _) => time.saturating_add(WAY),
            Waits::Write(_) | Waits::Fresh(_) => TIME,
        };
        let stage = Stage::Asked { sent: false };
        self.open.insert(self.last, Open { waits, stage, deadline: now + time });
        Ok(self.last)
    }

    /// The request leaves now: from here on it may happen. False: nobody waits for it any more, and it isn't to be sent.
    pub(super) fn send(&mut self, seq: u32) -> bool {
        match self.open.get_mut(&seq) {
            Some(open) => {
                if let Stage::Asked { sent } = &mut open.stage {
                    *sent = true;
                }
                true
            }
            None => false,
        }
    }

    /// It couldn't be queued: nothing happened.
    pub(super) fn refuse(&mut self, seq: u32, refusal: Refusal) -> Option<Tell> {
        let open = self.open.remove(&seq)?;
        Some(refuse(open.waits, refusal))
    }

    /// The body of a DONE. `None`: nobody has to be told yet, or any more.
    pub(super) fn done(&mut self, seq: u32, body: Result<Value, Refusal>) -> Option<Tell> {
        let said = match (&self.open.get(&seq)?.waits, body) {
            (_, Err(refusal)) => Said::Refused(refusal),
            (Waits::Write(_), Ok(body)) => {
                match (read_receipt(&body), body.get("roots").and_then(read_roots)) {
                    (Some(receipt), Some(roots)) => {
                        let roots =
                            roots.into_iter().map(|(root, inc, version)| (root, Some((inc, version))));
                        Said::Committed(receipt, roots.collect())
                    }
                    _ => Said::Strange,
                }
            }
            (Waits::Fresh(_), Ok(body)) => match read_versions(&body) {
                Some(stands) => Said::Stands(stands, read_position(&body)),
                None => Said::Strange,
            },
            (Waits::Call(..), Ok(body)) => body.get("result").cloned().map_or(Said::Strange, Said::Result),
        };
        self.answer(seq, said)
    }

    fn answer(&mut self, seq: u32, said: Said) -> Option<Tell> {
        let open = self.open.get_mut(&seq)?;
        if !matches!(open.stage, Stage::Asked { .. }) {
            return None;
        }
        let stage = match (&open.waits, said) {
            (Waits::Write(_), Said::Committed(receipt, needs)) => {
                Stage::Applying { needs, position: Some(receipt.position), receipt: Some(receipt) }
            }
            (Waits::Fresh(_), Said::Stands(needs, position)) => {
                Stage::Applying { needs, position, receipt: None }
            }
            (Waits::Call(..), Said::Result(value)) => {
                let open = self.open.remove(&seq)?;
                return Some(result(open.waits, value));
            }
            (_, Said::Refused(refusal)) => {
                let open = self.open.remove(&seq)?;
                return Some(refuse(open.waits, refusal));
            }
            // An answer of another form than was asked for: what happened there can't be told from it.
            (_, _) => {
                let open = self.open.remove(&seq)?;
                let refusal = unknown(format!("{} gave an answer that can't be read", self.peer));
                return Some(refuse(open.waits, refusal));
            }
        };
        open.stage = stage;
        self.applying += 1;
        None
    }

    /// Whether any have their answer and wait for this replica.
    pub(super) fn any_applying(&self) -> bool {
        self.applying > 0
    }

    /// Those that this replica shows by now, and the writes that it never will; `shown` says so of what the home has.
    pub(super) fn applied(&mut self, shown: impl Fn(&Stands, Option<Position>) -> Shown) -> Vec<Tell> {
        let look = |open: &Open| match &open.stage {
            Stage::Applying { needs, position, .. } => shown(needs, *position),
            Stage::Asked { .. } => Shown::NotYet,
        };
        let shows = self.take(|open| look(open) == Shown::Yes);
        let never = self.take(|open| matches!(open.waits, Waits::Write(_)) && look(open) == Shown::Never);
        let told = shows.into_iter().map(|open| settle(open, true));
        told.chain(never.into_iter().map(|open| settle(open, false))).collect()
    }

    /// Those whose time is over.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Tell> {
        let peer = self.peer.clone();
        let late = |open: Open| match open.stage {
            Stage::Applying { receipt: Some(_), .. } => settle(open, false),
            Stage::Applying { receipt: None, .. } => {
                let message = format!("what {peer} has didn't get here in {} s", TIME.as_secs());
                refuse(open.waits, Refusal::new("timeout", message))
            }
            Stage::Asked { sent: false } => {
                let message = format!("the link to {peer} takes nothing; nothing happened, try again");
                refuse(open.waits, Refusal::new("no_link", message))
            }
            Stage::Asked { sent: true } => {
                let refusal = match &open.waits {
                    Waits::Write(_) => unknown(format!("{peer} didn't answer in {} s", TIME.as_secs())),
                    Waits::Fresh(_) => {
                        Refusal::new("timeout", format!("{peer} didn't answer in {} s", TIME.as_secs()))
                    }
                    Waits::Call(time, _) => {
                        Refusal::new("timeout", format!("no answer through {peer} in {} s", time.as_secs()))
                    }
                };
                refuse(open.waits, refusal)
            }
        };
        self.take(|open| open.deadline <= now).into_iter().map(late).collect()
    }

    /// The link is gone: everybody is told what is known.
    pub(super) fn end(&mut self) -> Vec<Tell> {
        self.ended = true;
        let gone = self.gone();
        let peer = self.peer.clone();
        let end = |open: Open| match (&open.stage, &open.waits) {
            (Stage::Applying { receipt: Some(_), .. }, _) => settle(open, false),
            (Stage::Asked { sent: true }, Waits::Write(_) | Waits::Call(..)) => {
                refuse(open.waits, unknown(format!("the link to {peer} broke before the answer came")))
            }
            _ => refuse(open.waits, gone.clone()),
        };
        self.take(|_| true).into_iter().map(end).collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn gone(&self) -> Refusal {
        let message = format!("the link to {} is gone; nothing happened, try again", self.peer);
        Refusal::new("no_link", message)
    }

    fn take(&mut self, wanted: impl Fn(&Open) -> bool) -> Vec<Open> {
        let seqs: Vec<u32> = self.open.iter().filter(|(_, open)| wanted(open)).map(|(seq, _)| *seq).collect();
        let taken: Vec<Open> = seqs.iter().filter_map(|seq| self.open.remove(seq)).collect();
        self.applying -= taken.iter().filter(|open| matches!(open.stage, Stage::Applying { .. })).count();
        taken
    }
}

/// 504, whether it happened can't be told.
fn unknown(why: String) -> Refusal {
    Refusal::new(
        "outcome_unknown",
        format!("it may or may not have happened: {why}; retry with the same request ID"),
    )
}

fn refuse(waits: Waits, refusal: Refusal) -> Tell {
    match waits {
        Waits::Write(done) => Box::new(move || done(Err(refusal))),
        Waits::Fresh(done) => Box::new(move || done(Err(refusal))),
        Waits::Call(_, done) => Box::new(move || done(Err(refusal))),
    }
}

fn result(waits: Waits, value: Value) -> Tell {
    match waits {
        Waits::Call(_, done) => Box::new(move || done(Ok(value))),
        // `answer` has told them apart.
        Waits::Write(_) | Waits::Fresh(_) => refuse(waits, Refusal::new("internal", "a strange answer")),
    }
}

/// Tells a write or a fresh read that its home has done it.
fn settle(open: Open, applied: bool) -> Tell {
    match (open.waits, open.stage) {
        (Waits::Write(done), Stage::Applying { receipt: Some(receipt), .. }) => {
            Box::new(move || done(Ok(Receipt { applied, ..receipt })))
        }
        (Waits::Fresh(done), _) => Box::new(move || done(Ok(()))),
        // Only these two are ever applied.
        (waits, _) => refuse(waits, Refusal::new("internal", "a strange answer")),
    }
}

#[cfg(test)]
mod tests;
