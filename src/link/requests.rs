//! Requests that were sent over a link and wait for their answer, without a socket and without a clock.
//!
//! What a caller is told depends on how far its request came. One that never left this server did not happen. One that
//! was sent and isn't answered has an unknown outcome. A write that its home has committed is told as done even if this
//! replica couldn't apply it in time: then its receipt says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::api::error::Refusal;
use crate::commit::{Incarnation, TegaId};
use crate::hub::RemoteDone as Done;
use crate::message::body::{read_receipt, read_roots};
use crate::message::link::body::{Stands, read_versions};
use crate::path::Key;
use crate::store::Receipt;
use crate::tree::Version;
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
    /// The home has these; this replica is to show them. With the receipt of a write.
    Applying { needs: Stands, receipt: Option<Receipt> },
}

struct Open {
    waits: Waits,
    stage: Stage,
    deadline: Instant,
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
    /// Where the root stands.
    Stands(Stands),
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
            (Waits::Fresh(_), Ok(body)) => read_versions(&body).map_or(Said::Strange, Said::Stands),
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
                Stage::Applying { needs, receipt: Some(receipt) }
            }
            (Waits::Fresh(_), Said::Stands(needs)) => Stage::Applying { needs, receipt: None },
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

    /// Those that this replica shows by now; `shows` says whether it has a root as far as that, or doesn't have it.
    pub(super) fn applied(
        &mut self,
        shows: impl Fn(&Key, Option<(Incarnation, Version)>) -> bool,
    ) -> Vec<Tell> {
        if self.applying == 0 {
            return Vec::new();
        }
        self.take(|open| match &open.stage {
            Stage::Applying { needs, .. } => needs.iter().all(|(root, wanted)| shows(root, *wanted)),
            Stage::Asked { .. } => false,
        })
        .into_iter()
        .map(|open| settle(open, true))
        .collect()
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
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::commit::Position;

    struct Table {
        requests: Requests,
        now: Instant,
        heard: Arc<Mutex<Vec<String>>>,
    }

    impl Table {
        fn new() -> Table {
            let requests = Requests::new(TegaId::new("g").unwrap());
            Table { requests, now: Instant::now(), heard: Arc::default() }
        }

        fn hear<T: 'static>(&self, shown: impl Fn(T) -> String + Send + 'static) -> Done<T> {
            let heard = self.heard.clone();
            Box::new(move |outcome| {
                heard.lock().unwrap().push(match outcome {
                    Ok(done) => shown(done),
                    Err(refusal) => format!("{} {}", refusal.status, refusal.code),
                });
            })
        }

        fn begin(&mut self, what: &str) -> u32 {
            let waits = match what {
                "write" => Waits::Write(self.hear(|receipt: Receipt| format!("applied {}", receipt.applied))),
                "fresh" => Waits::Fresh(self.hear(|()| "fresh".into())),
                _ => Waits::Call(Duration::from_secs(5), self.hear(|value: Value| value.to_string())),
            };
            self.requests.begin(waits, self.now).unwrap_or_else(|_| panic!("refused"))
        }

        fn said(&mut self, tells: impl IntoIterator<Item = Tell>) -> Vec<String> {
            tells.into_iter().for_each(|tell| tell());
            std::mem::take(&mut *self.heard.lock().unwrap())
        }

        fn end(&mut self) -> Vec<String> {
            let tells = self.requests.end();
            self.said(tells)
        }

        fn later(&mut self, seconds: u64) -> Vec<String> {
            let tells = self.requests.overdue(self.now + Duration::from_secs(seconds));
            self.said(tells)
        }
    }

    fn committed(version: u64) -> Said {
        let receipt = Receipt { position: Position(7), versions: Vec::new(), durable: true, applied: true };
        Said::Committed(receipt, vec![("a".into(), Some((Incarnation(1), Version(version))))])
    }

    /// A replica that has this of every root.
    fn has(inc: u64, at: u64) -> impl Fn(&Key, Option<(Incarnation, Version)>) -> bool {
        move |_, wanted| wanted.is_some_and(|(wanted, version)| wanted == Incarnation(inc) && version.0 <= at)
    }

    #[test]
    fn a_write_is_told_once_this_replica_shows_it() {
        let mut table = Table::new();
        let seq = table.begin("write");
        assert!(table.requests.send(seq));
        assert!(table.requests.answer(seq, committed(3)).is_none());
        for (inc, version, wanted) in [(1, 2, 0), (2, 9, 0), (1, 3, 1)] {
            let tells = table.requests.applied(has(inc, version));
            assert_eq!(tells.len(), wanted, "{inc} {version}");
            if wanted > 0 {
                assert_eq!(table.said(tells), ["applied true"]);
            }
        }
        assert_eq!(table.requests.len(), 0);
        assert!(table.later(99).is_empty());
    }

    #[test]
    fn a_committed_write_that_is_not_applied_in_time_or_before_the_link_ends_says_so() {
        let mut table = Table::new();
        for _ in 0..2 {
            let seq = table.begin("write");
            table.requests.send(seq);
            table.requests.answer(seq, committed(3));
        }
        assert_eq!(table.later(31), ["applied false", "applied false"]);
        let seq = table.begin("write");
        table.requests.answer(seq, committed(3));
        assert_eq!(table.end(), ["applied false"]);
    }

    #[test]
    fn what_was_not_sent_did_not_happen_and_what_was_sent_is_unknown() {
        for (what, sent, at_end, when_late) in [
            ("write", false, "503 no_link", "503 no_link"),
            ("write", true, "504 outcome_unknown", "504 outcome_unknown"),
            ("fresh", false, "503 no_link", "503 no_link"),
            ("fresh", true, "503 no_link", "504 timeout"),
            ("call", false, "503 no_link", "503 no_link"),
            ("call", true, "504 outcome_unknown", "504 timeout"),
        ] {
            for late in [false, true] {
                let mut table = Table::new();
                let seq = table.begin(what);
                if sent {
                    table.requests.send(seq);
                }
                assert!(table.later(4).is_empty(), "{what}");
                let (said, wanted) = if late { (table.later(31), when_late) } else { (table.end(), at_end) };
                assert_eq!(said, [wanted], "{what} {sent} {late}");
                assert!(!table.requests.send(seq), "what was told isn't sent any more");
            }
        }
    }

    #[test]
    fn a_fresh_read_waits_for_what_the_home_has() {
        let mut table = Table::new();
        let seq = table.begin("fresh");
        table.requests.answer(seq, Said::Stands(vec![("a".into(), Some((Incarnation(1), Version(3))))]));
        assert!(table.requests.applied(|_, _| false).is_empty());
        let tells = table.requests.applied(has(1, 4));
        assert_eq!(table.said(tells), ["fresh"]);
    }

    #[test]
    fn a_fresh_read_of_what_its_home_does_not_have_waits_until_it_is_gone_here() {
        let mut table = Table::new();
        let seq = table.begin("fresh");
        let body = Value::parse(&crate::message::link::body::versions(&"a".into(), None)).unwrap();
        assert!(table.requests.done(seq, Ok(body)).is_none());
        assert!(table.requests.applied(has(1, 4)).is_empty());
        let tells = table.requests.applied(|_, wanted| wanted.is_none());
        assert_eq!(table.said(tells), ["fresh"]);
    }

    #[test]
    fn a_call_is_answered_or_refused_as_the_other_end_says() {
        let mut table = Table::new();
        let (one, two, three) = (table.begin("call"), table.begin("call"), table.begin("call"));
        let tells = [
            table.requests.answer(two, Said::Result(Value::from(2))),
            table.requests.answer(one, Said::Refused(Refusal::new("no_owner", "nobody"))),
            table.requests.answer(three, committed(1)),
            table.requests.answer(99, Said::Result(Value::Null)),
        ];
        assert_eq!(table.said(tells.into_iter().flatten()), ["2", "503 no_owner", "504 outcome_unknown"]);
    }

    #[test]
    fn requests_are_bounded_and_none_is_taken_after_the_end() {
        let mut table = Table::new();
        for _ in 0..MAX_OPEN {
            table.begin("write");
        }
        let waits = Waits::Fresh(table.hear(|()| String::new()));
        let tell = table.requests.begin(waits, table.now).err();
        assert_eq!(table.said(tell), ["429 too_many"]);
        assert_eq!(table.end().len(), MAX_OPEN);
        let waits = Waits::Fresh(table.hear(|()| String::new()));
        let tell = table.requests.begin(waits, table.now).err();
        assert_eq!(table.said(tell), ["503 no_link"]);
    }
}
