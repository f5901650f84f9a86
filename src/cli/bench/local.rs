//! A local server as the global one sees it: the link's own machine, and instead of a store how far it has its root.

use std::collections::VecDeque;
use std::time::Instant;

use smol::Timer;

use super::ws::Peer;
use crate::api::route::LINK;
use crate::client::Server;
use crate::commit::{Commit, Digest, Incarnation, Position, TegaId};
use crate::link::{Books, CONNECT_STEP, Effect, Input, Replication, Want};
use crate::message::link::Frame;
use crate::path::Key;
use crate::store::{Away, Home, Standing, Start};
use crate::tree::Version;

/// A simulated local with one config root.
pub(super) struct Local {
    id: TegaId,
    instance: Incarnation,
    root: Key,
    standing: Option<Standing>,
    /// The clock of the machine begins here.
    epoch: Instant,
}

/// What came of a round of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// Commits that were applied and acknowledged.
    pub(super) applied: usize,
    /// It has everything that the global has.
    pub(super) synced: bool,
}

impl Books for Local {
    fn standing(&self, root: &str) -> Option<Standing> {
        self.standing.filter(|_| self.root == root)
    }

    fn exists(&self, root: &str) -> bool {
        self.standing(root).is_some()
    }

    fn home(&self, root: &str) -> Option<Home> {
        (self.root == root).then_some(Home::Away(None))
    }

    fn away(&self, _root: &str) -> Option<Away> {
        None
    }
}

impl Local {
    pub(super) fn new(id: TegaId, root: Key) -> Local {
        Local { id, instance: Incarnation::draw(), root, standing: None, epoch: Instant::now() }
    }

    /// Applies a record as a store would: only what follows, with the home's version and digest.
    fn apply(&mut self, record: &str) -> Result<(), String> {
        let commit = Commit::decode(record)?;
        let touched = commit.roots.iter().find(|touched| touched.root == self.root);
        let touched = touched.ok_or("a commit to a root that this local doesn't follow")?;
        let (incarnation, before, next) = match (self.standing, touched.incarnation) {
            (None, Some(incarnation)) => (incarnation, Digest(0), 0),
            (Some(s), None) => (s.incarnation, Digest(s.digest), s.version.0 + 1),
            _ => return Err(format!("{touched:?} doesn't follow from {:?}", self.standing)),
        };
        if touched.version != next {
            return Err(format!("version {} instead of {next}", touched.version));
        }
        let digest = commit.digest(&self.root, before).0;
        self.standing = Some(Standing { incarnation, version: Version(next), digest });
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Opens a link and keeps it until it breaks; the reason is the error. `told` hears of every round.
    pub(super) async fn link(&mut self, target: &Server, mut told: impl FnMut(Round)) -> Result<(), String> {
        let late = async {
            Timer::after(CONNECT_STEP).await;
            Err(format!("no answer in {} s", CONNECT_STEP.as_secs()))
        };
        let mut peer = smol::future::or(Peer::connect(target, LINK, SMALL), late).await?;
        let mut effects = Vec::new();
        let follow = [self.root.clone()];
        let (id, instance) = (self.id.clone(), self.instance);
        let mut machine = Replication::dial(id, instance, &follow, &[], self.now(), self, &mut effects);
        loop {
            let mut round = Round::default();
            self.settle(&mut machine, &mut effects, &mut peer, &mut round)?;
            while let Some(text) = peer.ready()? {
                match Frame::read(&text) {
                    Ok(frame) if frame.is_replication() => {
                        machine.take(Input::Frame(frame), self.now(), self, &mut effects);
                        self.settle(&mut machine, &mut effects, &mut peer, &mut round)?;
                    }
                    // Presence and messages: a simulated local has nobody to tell.
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            peer.flush().await?;
            round.synced = machine.is_linked() && machine.followed(self.now()).stale_ms == 0;
            told(round);
            peer.fill().await?;
        }
    }

    /// Does what the machine asks for until it asks for nothing more.
    fn settle(
        &mut self,
        machine: &mut Replication,
        effects: &mut Vec<Effect>,
        peer: &mut Peer,
        round: &mut Round,
    ) -> Result<(), String> {
        loop {
            let mut outcomes = VecDeque::new();
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send(text) => peer.say(&text),
                    Effect::SetHomes(_) => outcomes.push_back(Input::Recorded(Ok(()))),
                    Effect::Open { .. } => outcomes.push_back(Input::Opened(Start::Resume, Position(0))),
                    Effect::Flush => outcomes.push_back(Input::Flushed(Ok(()))),
                    Effect::Follow { records, .. } => {
                        records.iter().try_for_each(|record| self.apply(record))?;
                        round.applied += records.len();
                        outcomes.push_back(Input::Applied(Ok(())));
                    }
                    Effect::Install(snapshot) => {
                        self.standing = snapshot.standing(&self.root);
                        outcomes.push_back(Input::Applied(Ok(())));
                    }
                    Effect::Close(closing) => return Err(closing.reason),
                    Effect::Linked | Effect::Admit { .. } => {}
                }
            }
            // It serves no root: its own feed is always empty.
            if outcomes.is_empty() && machine.wants() == Some(Want::Commit) {
                outcomes.push_back(Input::Idle(Position(0), false));
            }
            if outcomes.is_empty() {
                return Ok(());
            }
            for outcome in outcomes {
                machine.take(outcome, self.now(), self, effects);
            }
        }
    }
}

/// Bytes that one read takes: there are thousands of these.
const SMALL: usize = 4 << 10;
