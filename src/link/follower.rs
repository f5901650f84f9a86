//! The side that takes a home's commits.

use super::{BEGIN_TIME, Books, Closing, Code, DISK_RETRY, Effect};
use super::{LINES_TIME, MAX_BATCH, MAX_SNAPSHOT, RESYNC_EVERY};
use crate::commit::{Position, TegaId};
use crate::message::link::{self, MAX_BODY};
use crate::path::Key;
use crate::store::{Error, Incoming};

/// The roots that the other end is home of, on their way into this store.
#[derive(Default)]
pub(super) struct Follower {
    /// In the order of their names.
    pub(super) roots: Box<[Key]>,
    phase: Phase,
    /// The last commit that came, or where the feed began: the next one must be after it.
    last: Position,
    /// All up to here is sent, or was when we last heard.
    pub(super) heard: Position,
    /// All up to here is applied.
    pub(super) applied: Position,
    /// The last ACK.
    acked: Position,
    /// AT came after the last commit.
    complete: bool,
    /// What is here is something that the home once had: a version here and the same version there are one.
    pub(super) in_step: bool,
    /// Commits that wait for the store.
    batch: Vec<String>,
    /// Their bytes.
    waiting: usize,
    /// What the store is applying.
    under_way: Option<UnderWay>,
    /// The beginning of the next LINES or COMMIT.
    part: String,
    /// Since when it isn't known that everything is here; `None`: it's known.
    behind_since: Option<u64>,
    /// When the last RESYNC was sent.
    resynced_at: Option<u64>,
    /// What is wrong; shown.
    pub(super) problem: Option<Box<str>>,
}

#[derive(Default)]
enum Phase {
    /// Nothing is followed.
    #[default]
    Nothing,
    /// BEGIN or SNAPSHOT must be next, by this time: no feed was begun yet.
    First(u64),
    /// A RESYNC was sent: until BEGIN or SNAPSHOT comes, by this time, all is of the old feed.
    Anew(u64),
    /// A RESYNC is to be sent once the store has done what it does.
    Settling,
    /// A RESYNC is to be sent at this time, since the disk refused.
    Stopped(u64),
    /// A snapshot is coming.
    Loading(Box<Loading>),
    /// Commits are coming.
    Following,
}

struct Loading {
    incoming: Incoming,
    position: Position,
    crc: crc32fast::Hasher,
    bytes: usize,
    /// It must go on by this time.
    until: u64,
}

struct UnderWay {
    up_to: Position,
    /// A RESYNC has overtaken it.
    stale: bool,
}

type Outcome = Result<(), Closing>;

impl Follower {
    pub(super) fn begin(&mut self, mut roots: Vec<Key>, now: u64) {
        roots.sort_unstable();
        self.roots = roots.into();
        self.in_step = self.roots.is_empty();
        self.behind_since = (!self.roots.is_empty()).then_some(now);
        self.phase = if self.roots.is_empty() { Phase::Nothing } else { Phase::First(now + BEGIN_TIME) };
    }

    /// Whether there is room for what may come.
    pub(super) fn reads(&self) -> bool {
        self.waiting < MAX_BATCH
    }

    /// Everything that the home had when it was last heard is here.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Following) && self.complete && self.under_way.is_none()
    }

    /// BEGIN, or SNAPSHOT where `home` is given.
    pub(super) fn feed_begins(
        &mut self,
        position: Position,
        mut roots: Vec<Key>,
        home: Option<&TegaId>,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        roots.sort_unstable();
        if roots != *self.roots || roots.is_empty() {
            return Err(Closing::new(Code::Refused, "a feed of other roots than this link follows"));
        }
        match self.phase {
            Phase::First(_) | Phase::Anew(_) => {}
            // Of a feed that is about to be given up.
            Phase::Nothing | Phase::Settling | Phase::Stopped(_) => return Ok(()),
            Phase::Loading(_) | Phase::Following => {
                return self.resync("the home began anew without being asked to", now, books, out);
            }
        }
        self.clear();
        (self.last, self.heard, self.complete) = (position, position, false);
        self.behind_since.get_or_insert(now);
        self.in_step = home.is_none();
        self.phase = match home {
            None => {
                (self.applied, self.acked) = (position, position);
                Phase::Following
            }
            Some(home) => {
                // Its positions may be of another store than those before.
                (self.applied, self.acked) = (Position(0), Position(0));
                let (incoming, crc) = (Incoming::new(home.clone(), roots), crc32fast::Hasher::new());
                Phase::Loading(Box::new(Loading {
                    incoming,
                    position,
                    crc,
                    bytes: 0,
                    until: now + LINES_TIME,
                }))
            }
        };
        Ok(())
    }

    fn clear(&mut self) {
        (self.batch, self.waiting, self.part) = (Vec::new(), 0, String::new());
    }

    /// Whether what came is of a feed that was given up, or of none.
    fn is_old(&self) -> bool {
        matches!(self.phase, Phase::Nothing | Phase::Anew(_) | Phase::Settling | Phase::Stopped(_))
    }

    pub(super) fn part(&mut self, text: &str) -> Outcome {
        if self.is_old() {
            return Ok(());
        }
        if self.part.len() + text.len() > MAX_BODY {
            return Err(Closing::new(Code::Refused, format!("a record of more than {MAX_BODY} bytes")));
        }
        self.part.push_str(text);
        Ok(())
    }

    /// A body with the parts that went ahead.
    fn whole(&mut self, body: &str) -> String {
        let mut whole = std::mem::take(&mut self.part);
        whole.push_str(body);
        whole
    }

    pub(super) fn lines(
        &mut self,
        lines: &str,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        if self.is_old() {
            return Ok(());
        }
        let lines = self.whole(lines);
        let Phase::Loading(loading) = &mut self.phase else {
            return self.resync("lines of a snapshot that didn't begin", now, books, out);
        };
        loading.bytes += lines.len();
        loading.until = now + LINES_TIME;
        if loading.bytes > MAX_SNAPSHOT {
            return Err(Closing::new(Code::Refused, format!("a snapshot of more than {MAX_SNAPSHOT} bytes")));
        }
        loading.crc.update(lines.as_bytes());
        let fault = lines.split('\n').try_for_each(|line| loading.incoming.line(line));
        fault
            .or_else(|fault| self.resync(&format!("a snapshot that can't be read: {fault}"), now, books, out))
    }

    pub(super) fn snapped(
        &mut self,
        position: Position,
        crc: u32,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        if self.is_old() {
            return Ok(());
        }
        match std::mem::replace(&mut self.phase, Phase::Following) {
            Phase::Loading(loading)
                if loading.position == position && loading.crc.clone().finalize() == crc =>
            {
                match loading.incoming.finish() {
                    Ok(snapshot) => {
                        self.under_way = Some(UnderWay { up_to: position, stale: false });
                        out.push(Effect::Install(snapshot));
                        Ok(())
                    }
                    Err(fault) => {
                        self.resync(&format!("a snapshot that can't be read: {fault}"), now, books, out)
                    }
                }
            }
            Phase::Following if position <= self.last => Ok(()),
            _ => self.resync("a snapshot that isn't whole", now, books, out),
        }
    }

    pub(super) fn commit(
        &mut self,
        (position, after): (Position, Position),
        record: &str,
        peer: &TegaId,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        if self.is_old() {
            return Ok(());
        }
        let record = self.whole(record);
        let following = matches!(self.phase, Phase::Following);
        if following && position <= self.last {
            return Ok(());
        }
        if !following || after != self.last {
            let last = self.last;
            return self.resync(&format!("commit {position} follows {after}, not {last}"), now, books, out);
        }
        (self.last, self.heard, self.complete) = (position, self.heard.max(position), false);
        self.behind_since.get_or_insert(now);
        self.waiting += record.len();
        self.batch.push(record);
        self.apply(peer, out);
        Ok(())
    }

    /// Gives the store what waits, where it has nothing to do.
    fn apply(&mut self, peer: &TegaId, out: &mut Vec<Effect>) {
        if self.under_way.is_some() || self.batch.is_empty() {
            return;
        }
        self.under_way = Some(UnderWay { up_to: self.last, stale: false });
        self.waiting = 0;
        out.push(Effect::Follow { home: peer.clone(), records: std::mem::take(&mut self.batch) });
    }

    pub(super) fn at(
        &mut self,
        (position, after): (Position, Position),
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        if self.is_old() {
            return Ok(());
        }
        let following = matches!(self.phase, Phase::Following);
        if following && after < self.last {
            return Ok(());
        }
        if !following || after != self.last {
            let last = self.last;
            return self.resync(&format!("all up to {after} was sent, and {last} came"), now, books, out);
        }
        (self.heard, self.complete) = (self.heard.max(position), true);
        self.settle(out);
        Ok(())
    }

    /// Acknowledges what is applied.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        if self.is_complete() {
            self.applied = self.heard;
            (self.behind_since, self.problem) = (None, None);
        }
        if self.applied > self.acked {
            self.acked = self.applied;
            out.push(Effect::Send(link::ack(self.applied)));
        }
    }

    /// The outcome of a follow or an install.
    pub(super) fn applied(
        &mut self,
        outcome: Result<(), Error>,
        peer: &TegaId,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        let Some(done) = self.under_way.take() else { return Ok(()) };
        if done.stale {
            return match self.phase {
                Phase::Settling => self.send_resync(now, books, out),
                _ => Ok(()),
            };
        }
        match outcome {
            Ok(()) => {
                self.in_step = true;
                self.applied = done.up_to;
                self.apply(peer, out);
                self.settle(out);
                Ok(())
            }
            Err(Error::Closed) => Err(Closing::busy("the server is stopping", 5)),
            Err(
                error @ (Error::NoSpace { .. }
                | Error::ReadOnly { .. }
                | Error::OutcomeUnknown { .. }
                | Error::Busy),
            ) => {
                self.clear();
                self.problem = Some(error.to_string().into());
                self.phase = Phase::Stopped(now + DISK_RETRY);
                Ok(())
            }
            Err(error) => self.resync(&error.to_string(), now, books, out),
        }
    }

    /// Gives up this feed and asks for another.
    fn resync(&mut self, why: &str, now: u64, books: &dyn Books, out: &mut Vec<Effect>) -> Outcome {
        self.clear();
        (self.complete, self.in_step) = (false, false);
        self.behind_since.get_or_insert(now);
        self.problem = Some(why.into());
        match &mut self.under_way {
            // What it comes to belongs to what is known.
            Some(under_way) => {
                under_way.stale = true;
                self.phase = Phase::Settling;
                Ok(())
            }
            None => self.send_resync(now, books, out),
        }
    }

    fn send_resync(&mut self, now: u64, books: &dyn Books, out: &mut Vec<Effect>) -> Outcome {
        if self.resynced_at.is_some_and(|at| now < at + RESYNC_EVERY) {
            let why = self.problem.as_deref().unwrap_or_default();
            return Err(Closing::new(Code::Refused, format!("out of step again: {why}")));
        }
        self.resynced_at = Some(now);
        self.phase = Phase::Anew(now + BEGIN_TIME);
        let known = self.roots.iter().map(|root| (root.clone(), books.standing(root))).collect();
        out.push(Effect::Send(link::resync(&known)));
        Ok(())
    }

    pub(super) fn tick(&mut self, now: u64, books: &dyn Books, out: &mut Vec<Effect>) -> Outcome {
        match self.phase {
            Phase::Stopped(at) if now >= at => self.send_resync(now, books, out),
            Phase::First(at) | Phase::Anew(at) if now >= at => {
                self.resync("the home didn't begin to send", now, books, out)
            }
            Phase::Loading(ref loading) if now >= loading.until => {
                self.resync("a snapshot that doesn't go on", now, books, out)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wakes_at(&self) -> Option<u64> {
        match &self.phase {
            Phase::Stopped(at) | Phase::First(at) | Phase::Anew(at) => Some(*at),
            Phase::Loading(loading) => Some(loading.until),
            Phase::Nothing | Phase::Settling | Phase::Following => None,
        }
    }

    pub(super) fn stale_ms(&self, now: u64) -> u64 {
        self.behind_since.map_or(0, |since| now.saturating_sub(since))
    }
}
