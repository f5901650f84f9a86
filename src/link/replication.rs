//! The machine: what comes in goes to handshake, source or follower.

use super::follower::Follower;
use super::handshake::{self, Judged};
use super::source::Source;
use super::{Books, Closing, Code, Effect, Input, LINK_TIME, LINKED_TIME, Want};
use crate::commit::{Incarnation, Position, TegaId};
use crate::message::link::body::Standings;
use crate::message::link::{self, Frame, Hello, Refused, WITH_OUTCOMES, WITH_PROOF, Welcome};
use crate::path::Key;
use crate::store::Error;
use crate::tree::Version;

/// Handshake and replication of one link, on one side.
pub struct Replication {
    own: TegaId,
    peer: Option<TegaId>,
    /// The version of the grammar that both speak; 0 before the handshake is done.
    protocol: u32,
    phase: Phase,
    source: Source,
    follower: Follower,
    refused: Box<[Refused]>,
    /// Roots that the global hands over to this local.
    handover: Box<[Key]>,
}

enum Phase {
    /// LINK must come by this time.
    Called(u64),
    /// This server is a local of this global itself.
    Local(Box<str>),
    /// LINKED must come by this time, to this.
    Dialled(u64, Box<Wanted>),
    /// Whether it may link is being asked.
    Asked(Box<Asked>),
    /// The homes that came of it are being recorded.
    Recording(Box<Judged>),
    /// Both are source and follower now.
    Linked,
    Closed,
}

/// What a local wants of its global.
struct Wanted {
    follow: Box<[Key]>,
    serve: Box<[Key]>,
}

/// A local that wants to link.
struct Asked {
    peer: TegaId,
    hello: Hello,
}

/// How this side is doing as a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The home's position up to which everything is applied here.
    pub applied: Position,
    /// The last position of the home that was heard of.
    pub heard: Position,
    /// Milliseconds since this side was last known to have everything; 0: it has, as far as it was told.
    pub stale_ms: u64,
}

impl Replication {
    fn new(own: TegaId, phase: Phase) -> Replication {
        Replication {
            own,
            peer: None,
            protocol: 0,
            phase,
            source: Source::default(),
            follower: Follower::default(),
            refused: Box::default(),
            handover: Box::default(),
        }
    }

    /// The local's side. The first effect is the LINK frame. `instance` is drawn once per run of the program.
    pub fn dial(
        own: TegaId,
        instance: Incarnation,
        follow: &[Key],
        serve: &[Key],
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Replication {
        out.push(Effect::Send(link::link(&own, instance, &handshake::hello(follow, serve, books))));
        let wanted = Wanted { follow: follow.into(), serve: serve.into() };
        Replication::new(own, Phase::Dialled(now + LINKED_TIME, Box::new(wanted)))
    }

    /// The side that was called. `global`: where this server is a local itself, which takes no links, its global.
    pub fn accept(own: TegaId, global: Option<&str>, now: u64) -> Replication {
        let phase = match global {
            Some(global) => Phase::Local(global.into()),
            None => Phase::Called(now + LINK_TIME),
        };
        Replication::new(own, phase)
    }

    /// Takes an input and appends what is to be done. `now`: milliseconds of any clock that doesn't go back.
    pub fn take(&mut self, input: Input<'_>, now: u64, books: &dyn Books, out: &mut Vec<Effect>) {
        if let Phase::Closed = self.phase {
            return;
        }
        if let Err(closing) = self.step(input, now, books, out) {
            self.phase = Phase::Closed;
            out.push(Effect::Close(closing));
        }
    }

    fn step(
        &mut self,
        input: Input<'_>,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Result<(), Closing> {
        match input {
            Input::Frame(frame) => self.frame(frame, now, books, out)?,
            Input::Admitted(denied) => self.admitted(denied?, now, books, out),
            Input::Recorded(outcome) => self.recorded(outcome, now, out)?,
            Input::Opened(start, position) => self.source.opened(start, position, now, out),
            Input::Line(line) => self.source.line(line.as_deref(), now, out),
            Input::Commit(sent) => self.source.commit(&sent, now, out)?,
            Input::Idle(position, waits) => self.source.idle(position, waits, now, out),
            Input::Lagging => {
                return Err(Closing::new(Code::Lagging, "too far behind; connect again"));
            }
            Input::Flushed(outcome) => self.source.flushed(outcome.is_ok(), now),
            Input::Applied(outcome) => {
                if let Some(peer) = &self.peer {
                    self.follower.applied(outcome, peer, now, books, out)?;
                }
                self.handed_over()?;
            }
            Input::Tick => self.tick(now, books, out)?,
        }
        Ok(())
    }

    fn tick(&mut self, now: u64, books: &dyn Books, out: &mut Vec<Effect>) -> Result<(), Closing> {
        match self.phase {
            Phase::Called(by) | Phase::Dialled(by, _) if now >= by => {
                Err(Closing::new(Code::Refused, "the handshake took too long"))
            }
            Phase::Linked => {
                self.source.tick(now, out)?;
                self.follower.tick(now, books, out)
            }
            _ => Ok(()),
        }
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Result<(), Closing> {
        match (&self.phase, frame) {
            (Phase::Linked, frame) => self.replicate(frame, now, books, out),
            (Phase::Called(_), Frame::Link { tega_id, instance, hello }) => {
                self.called(tega_id, instance, hello, out)
            }
            (Phase::Local(global), Frame::Link { .. }) => {
                let own = &self.own;
                Err(Closing::new(
                    Code::Refused,
                    format!("{own} is a local server of {global} itself; link to the global server"),
                ))
            }
            (Phase::Dialled(_, wanted), Frame::Linked { tega_id, welcome }) => {
                let wanted = (&*wanted.follow, &*wanted.serve);
                self.protocol = welcome.protocol;
                let handover = welcome.handover.clone();
                let agreed = handshake::agree(&self.own, &tega_id, wanted, welcome, books)?;
                if !agreed.homes.is_empty() {
                    out.push(Effect::SetHomes(agreed.homes));
                }
                self.refused = agreed.refused.into();
                self.handover = handover.into();
                self.up(tega_id, agreed.sends, agreed.follows, now, out);
                Ok(())
            }
            (Phase::Dialled(..), _) => Err(Closing::new(Code::Refused, "LINKED must be the first frame")),
            _ => Err(Closing::new(Code::Refused, "LINK must be the first frame, and nothing before LINKED")),
        }
    }

    fn called(
        &mut self,
        peer: TegaId,
        instance: Incarnation,
        hello: Hello,
        out: &mut Vec<Effect>,
    ) -> Result<(), Closing> {
        if peer == self.own {
            let reason = format!("{peer} is the tega ID of this server; start the other with another --id");
            return Err(Closing::new(Code::InUse, reason));
        }
        let names = |standings: &Standings| standings.iter().map(|(root, _)| root.clone()).collect();
        let (follow, serve) = (names(&hello.follow), names(&hello.serve));
        out.push(Effect::Admit { tega_id: peer.clone(), instance, follow, serve });
        self.phase = Phase::Asked(Box::new(Asked { peer, hello }));
        Ok(())
    }

    fn admitted(&mut self, denied: Vec<Refused>, now: u64, books: &dyn Books, out: &mut Vec<Effect>) {
        let Phase::Asked(asked) = std::mem::replace(&mut self.phase, Phase::Closed) else { return };
        let Asked { peer, hello } = *asked;
        let mut judged = handshake::judge(&self.own, &peer, hello, denied, books);
        self.peer = Some(peer);
        let homes = std::mem::take(&mut judged.homes);
        if homes.is_empty() {
            self.welcome(judged, now, out);
        } else {
            out.push(Effect::SetHomes(homes));
            self.phase = Phase::Recording(Box::new(judged));
        }
    }

    fn recorded(
        &mut self,
        outcome: Result<(), Error>,
        now: u64,
        out: &mut Vec<Effect>,
    ) -> Result<(), Closing> {
        if let Err(error) = outcome {
            return Err(Closing::busy(&format!("the homes can't be recorded: {error}"), 10));
        }
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Recording(judged) => self.welcome(*judged, now, out),
            other => self.phase = other,
        }
        Ok(())
    }

    fn welcome(&mut self, judged: Judged, now: u64, out: &mut Vec<Effect>) {
        let Some(peer) = self.peer.clone() else { return };
        out.push(Effect::Send(link::linked(&self.own, &judged.welcome)));
        let Welcome { protocol, refused, handover, .. } = judged.welcome;
        self.protocol = protocol;
        self.refused = refused.into();
        // Only the local ends the link when it has what is handed over.
        drop(handover);
        self.up(peer, judged.sends, judged.follows, now, out);
    }

    fn up(&mut self, peer: TegaId, sends: Standings, follows: Vec<Key>, now: u64, out: &mut Vec<Effect>) {
        self.peer = Some(peer);
        self.phase = Phase::Linked;
        out.push(Effect::Linked);
        self.follower.begin(follows, now);
        self.source.begin(sends, out);
    }

    fn replicate(
        &mut self,
        frame: Frame<'_>,
        now: u64,
        books: &dyn Books,
        out: &mut Vec<Effect>,
    ) -> Result<(), Closing> {
        let Some(peer) = &self.peer else { return Ok(()) };
        let follower = &mut self.follower;
        match frame {
            Frame::Begin { position, roots } => {
                follower.feed_begins(position, roots, None, now, books, out)?;
            }
            Frame::Snapshot { position, roots } => {
                follower.feed_begins(position, roots, Some(peer), now, books, out)?;
            }
            Frame::Lines { lines } => follower.lines(lines, now, books, out)?,
            Frame::Snapped { position, crc } => follower.snapped(position, crc, now, books, out)?,
            Frame::Part { text } => follower.part(text)?,
            Frame::Commit { position, after, record } => {
                follower.commit((position, after), record, peer, now, books, out)?;
            }
            Frame::At { position, after } => follower.at((position, after), now, books, out)?,
            Frame::Ack { position } => self.source.ack(position, now, books)?,
            Frame::Resync { known } => self.source.resync(known, now, out)?,
            Frame::Link { .. } | Frame::Linked { .. } => {
                return Err(Closing::new(Code::Refused, "a second handshake; connect again"));
            }
            // The driver has them.
            Frame::Write { .. }
            | Frame::Fresh { .. }
            | Frame::Prove { .. }
            | Frame::Call { .. }
            | Frame::Done { .. } => {}
            Frame::Publish { .. }
            | Frame::Listen { .. }
            | Frame::Notify { .. }
            | Frame::Presence { .. }
            | Frame::Sessions { .. } => {}
        }
        self.handed_over()
    }

    /// When this local has what was handed over to it, it connects again, to claim it.
    fn handed_over(&self) -> Result<(), Closing> {
        match &*self.handover {
            [] => Ok(()),
            _ if !self.follower.is_complete() => Ok(()),
            roots => {
                let names: Vec<&str> = roots.iter().map(|root| root.as_str()).collect();
                let reason = format!("{} has {} now; connect again", self.own, names.join(" "));
                Err(Closing::new(Code::HomesChanged, reason))
            }
        }
    }

    /// Whether the next frame may be given to it. It may become false with each frame, and true with an outcome.
    pub fn reads(&self) -> bool {
        match self.phase {
            Phase::Asked(_) | Phase::Recording(_) | Phase::Closed => false,
            Phase::Called(_) | Phase::Local(_) | Phase::Dialled(..) => true,
            Phase::Linked => self.follower.reads(),
        }
    }

    /// What it would have of the feed, if the socket has room. After [`Input::Idle`], ask again when the feed woke.
    pub fn wants(&self) -> Option<Want> {
        if let Phase::Linked = self.phase { self.source.wants() } else { None }
    }

    /// Whether the other end understands a PROVE.
    pub fn understands_proof(&self) -> bool {
        self.protocol >= WITH_PROOF
    }

    /// Whether the other end takes outcomes of requests in a snapshot ([`Feed::snapshot`](crate::store::Feed::snapshot)).
    pub fn sends_outcomes(&self) -> bool {
        self.protocol >= WITH_OUTCOMES
    }

    /// When it wants a [`Input::Tick`], by the clock of `now`; `None`: nothing to wait for.
    pub fn wakes_at(&self) -> Option<u64> {
        match self.phase {
            Phase::Called(by) | Phase::Dialled(by, _) => Some(by),
            Phase::Linked => self.source.wakes_at().into_iter().chain(self.follower.wakes_at()).min(),
            Phase::Local(_) | Phase::Asked(_) | Phase::Recording(_) | Phase::Closed => None,
        }
    }

    /// Whether the handshake is done and the link not closed.
    pub fn is_linked(&self) -> bool {
        matches!(self.phase, Phase::Linked)
    }

    /// Who is at the other end, when the handshake is done.
    pub fn peer(&self) -> Option<&TegaId> {
        self.peer.as_ref()
    }

    /// The roots that this side is the source of, in order; for a while those that it hands over are among them.
    pub fn sends(&self) -> &[Key] {
        &self.source.roots
    }

    /// The roots that this side follows, in order.
    pub fn follows(&self) -> &[Key] {
        &self.follower.roots
    }

    /// The roots that the link was to carry and doesn't.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Whether this side has a state that the other end once had, so that their versions can be compared; false until a
    /// feed began and its snapshot was installed.
    pub fn is_in_step(&self) -> bool {
        self.follower.in_step
    }

    /// What is wrong though the link is up.
    pub fn problem(&self) -> Option<&str> {
        self.follower.problem.as_deref()
    }

    /// As a follower.
    pub fn followed(&self, now: u64) -> Followed {
        let Follower { applied, heard, .. } = self.follower;
        Followed { applied, heard, stale_ms: self.follower.stale_ms(now) }
    }

    /// As a source: the position that the other end acknowledged, and the last one sent. Equal: it has everything.
    pub fn acknowledged(&self) -> (Position, Position) {
        (self.source.acked, self.source.sent)
    }

    /// The other end's version of a root that this side is the source of, when it was last known.
    pub fn version_there(&self, root: &str) -> Option<Version> {
        self.source.version_there(root)
    }
}
