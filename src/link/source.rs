//! The side that gives commits out of its feed.

use std::collections::VecDeque;

use super::{ACK_TIME, Books, Closing, Code, DISK_RETRY, Effect, FLUSH_EVERY, RESYNC_EVERY, WINDOW, Want};
use crate::commit::Position;
use crate::message::link::{self, body::Standings};
use crate::path::Key;
use crate::store::{Sent, Start};
use crate::tree::Version;

/// How many RESYNCs are taken in so many times [`RESYNC_EVERY`]: each of them makes a feed and its first frame.
pub(super) const MAX_RESYNCS: u32 = 16;

/// The roots that this side is home of, on their way to the other end.
#[derive(Default)]
pub(super) struct Source {
    /// In the order of their names.
    pub(super) roots: Box<[Key]>,
    /// The other end's versions of them, when they were last known.
    there: Box<[Option<Version>]>,
    phase: Phase,
    /// The last commit that was sent, or where the feed began.
    last: Position,
    /// All up to here was sent.
    pub(super) sent: Position,
    /// All up to here is applied at the other end.
    pub(super) acked: Position,
    /// AT was sent after the last commit.
    told: bool,
    /// Commits that aren't acknowledged: position and bytes. Empty most of the time, and then without memory.
    unacked: VecDeque<(Position, usize)>,
    /// Their bytes.
    ahead: usize,
    /// When the oldest of what must be acknowledged was sent, or the last ACK came; `None`: nothing is owed.
    owed_since: Option<u64>,
    flush: Flush,
    /// When the first of the last RESYNCs came, and how many they are.
    resyncs: (u64, u32),
}

#[derive(Default)]
enum Phase {
    /// No feed yet, or none at all.
    #[default]
    Closed,
    /// A snapshot is being sent; the checksum so far.
    Lines(Box<crc32fast::Hasher>),
    /// Commits are sent as they come.
    Commits,
}

/// Making durable what waits for it.
#[derive(Default)]
enum Flush {
    #[default]
    Unneeded,
    /// Wanted, but not before this time.
    At(u64),
    UnderWay,
    /// Done, and not again before this time.
    Done(u64),
}

impl Source {
    /// The roots to send, once the handshake is done; and what the other end has of them.
    pub(super) fn begin(&mut self, mut known: Standings, out: &mut Vec<Effect>) {
        known.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.roots = known.iter().map(|(root, _)| root.clone()).collect();
        if !self.roots.is_empty() {
            self.open(known, out);
        }
    }

    fn open(&mut self, known: Standings, out: &mut Vec<Effect>) {
        let version = |root: &Key| {
            known.iter().find(|(name, _)| name == root).and_then(|(_, standing)| Some((*standing)?.version))
        };
        self.there = self.roots.iter().map(version).collect();
        self.phase = Phase::Closed;
        self.forget_unacked();
        out.push(Effect::Open { roots: self.roots.to_vec(), known });
    }

    fn forget_unacked(&mut self) {
        self.unacked = VecDeque::new();
        self.ahead = 0;
        self.owed_since = None;
    }

    pub(super) fn opened(&mut self, start: Start, position: Position, now: u64, out: &mut Vec<Effect>) {
        (self.last, self.sent, self.told) = (position, position, false);
        match start {
            Start::Resume => {
                self.acked = position;
                self.phase = Phase::Commits;
                out.push(Effect::Send(link::begin(position, &self.roots)));
            }
            Start::Snapshot => {
                self.acked = Position(0);
                self.owed_since = Some(now);
                self.phase = Phase::Lines(Box::default());
                out.push(Effect::Send(link::snapshot(position, &self.roots)));
            }
        }
    }

    pub(super) fn wants(&self) -> Option<Want> {
        match self.phase {
            Phase::Closed => None,
            Phase::Lines(_) => Some(Want::Line),
            Phase::Commits => (self.ahead < WINDOW).then_some(Want::Commit),
        }
    }

    /// The next piece of the snapshot.
    pub(super) fn line(&mut self, line: Option<&str>, now: u64, out: &mut Vec<Effect>) {
        let Phase::Lines(crc) = &mut self.phase else { return };
        // A long snapshot may take as long as it does: it's what comes after it that is owed.
        self.owed_since = Some(now);
        match line {
            Some(line) => {
                crc.update(line.as_bytes());
                let rest = send_parts(line, out);
                out.push(Effect::Send(link::lines(rest)));
            }
            None => {
                let crc = crc.clone().finalize();
                self.phase = Phase::Commits;
                out.push(Effect::Send(link::snapped(self.last, crc)));
            }
        }
    }

    /// The next commit.
    pub(super) fn commit(&mut self, sent: &Sent, now: u64, out: &mut Vec<Effect>) -> Result<(), Closing> {
        if !matches!(self.phase, Phase::Commits) {
            return Ok(());
        }
        if sent.after != self.last || sent.position <= self.last {
            // Can't be, but a follower must never take a gap for none.
            let (last, after) = (self.last, sent.after);
            return Err(Closing::new(
                Code::Lagging,
                format!("the feed went on after {after} instead of {last}; connect again"),
            ));
        }
        let rest = send_parts(&sent.record, out);
        out.push(Effect::Send(link::commit(sent.position, sent.after, rest)));
        (self.last, self.sent, self.told) = (sent.position, sent.position, false);
        self.ahead += sent.record.len();
        self.unacked.push_back((sent.position, sent.record.len()));
        self.owed_since.get_or_insert(now);
        Ok(())
    }

    /// The feed has nothing more.
    pub(super) fn idle(&mut self, position: Position, waits: bool, now: u64, out: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Commits) {
            return;
        }
        if !self.told {
            self.told = true;
            self.sent = self.sent.max(position);
            out.push(Effect::Send(link::at(self.sent, self.last)));
        }
        if waits {
            if let Flush::Unneeded = self.flush {
                self.flush = Flush::At(now);
            } else if let Flush::Done(again) = self.flush {
                self.flush = Flush::At(again);
            }
            self.tick_flush(now, out);
        }
    }

    pub(super) fn flushed(&mut self, fine: bool, now: u64) {
        self.flush = Flush::Done(now + if fine { FLUSH_EVERY } else { DISK_RETRY });
    }

    fn tick_flush(&mut self, now: u64, out: &mut Vec<Effect>) {
        match self.flush {
            Flush::At(at) if at <= now => {
                self.flush = Flush::UnderWay;
                out.push(Effect::Flush);
            }
            Flush::Done(at) if at <= now => self.flush = Flush::Unneeded,
            _ => {}
        }
    }

    pub(super) fn ack(&mut self, position: Position, now: u64, books: &dyn Books) -> Result<(), Closing> {
        if position > self.sent {
            let reason = format!("ACK {position}: nothing beyond {} was sent", self.sent);
            return Err(Closing::new(Code::Refused, reason));
        }
        if position <= self.acked {
            return Ok(());
        }
        self.acked = position;
        while let Some((_, bytes)) = self.unacked.front().copied().filter(|(sent, _)| *sent <= position) {
            self.unacked.pop_front();
            self.ahead -= bytes;
        }
        if self.unacked.is_empty() {
            self.forget_unacked();
            if self.told {
                self.there = self.roots.iter().map(|root| Some(books.standing(root)?.version)).collect();
            }
        } else {
            self.owed_since = Some(now);
        }
        Ok(())
    }

    /// The follower wants to begin anew, from this.
    pub(super) fn resync(
        &mut self,
        known: Standings,
        now: u64,
        out: &mut Vec<Effect>,
    ) -> Result<(), Closing> {
        // A follower asks once in RESYNC_EVERY; some of them may have been held up on the way.
        if now >= self.resyncs.0 + RESYNC_EVERY * u64::from(MAX_RESYNCS) {
            self.resyncs = (now, 0);
        }
        self.resyncs.1 += 1;
        if self.resyncs.1 > MAX_RESYNCS {
            return Err(Closing::new(Code::Refused, "RESYNC again and again"));
        }
        let mut named: Vec<&Key> = known.iter().map(|(root, _)| root).collect();
        named.sort_unstable();
        if !named.iter().copied().eq(&*self.roots) {
            return Err(Closing::new(Code::Refused, "RESYNC of other roots than this link carries"));
        }
        if !self.roots.is_empty() {
            self.open(known, out);
        }
        Ok(())
    }

    pub(super) fn tick(&mut self, now: u64, out: &mut Vec<Effect>) -> Result<(), Closing> {
        self.tick_flush(now, out);
        match self.owed_since {
            Some(since) if now >= since + ACK_TIME => {
                let reason = format!("nothing acknowledged for {} s; connect again", ACK_TIME / 1_000);
                Err(Closing::new(Code::Lagging, reason))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wakes_at(&self) -> Option<u64> {
        let flush = match self.flush {
            Flush::At(at) => Some(at),
            Flush::Unneeded | Flush::UnderWay | Flush::Done(_) => None,
        };
        let owed = self.owed_since.map(|since| since + ACK_TIME);
        flush.into_iter().chain(owed).min()
    }

    pub(super) fn version_there(&self, root: &str) -> Option<Version> {
        let at = self.roots.iter().position(|name| name == root)?;
        self.there.get(at).copied().flatten()
    }
}

/// Sends ahead what of a long body doesn't fit into one frame, and gives back the rest.
fn send_parts<'a>(body: &'a str, out: &mut Vec<Effect>) -> &'a str {
    let (parts, rest) = link::pieces(body);
    out.extend(parts.into_iter().map(|part| Effect::Send(link::part(part))));
    rest
}
