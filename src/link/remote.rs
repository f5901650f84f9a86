//! A link as the hub sees it: requests go in from any thread, and how it is doing can be asked at any time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Replication;
use super::mailbox::{End, Mailbox};
use super::presence::Received;
use super::requests::{Requests, Shown, Tell, Waits};
use crate::api::error::Refusal;
use crate::commit::{Incarnation, Position, TegaId};
use crate::hub::{LinkInfo, LinkedRoot, Remote, RemoteDone as Done};
use crate::message::link::body::Stands;
use crate::message::{MAX_MESSAGE, link};
use crate::path::{Key, Path};
use crate::store::{Channel, Receipt, SessionId, Store, Transaction};
use crate::token::Access;
use crate::tree::Version;
use crate::value::Value;

/// Milliseconds by a clock that never goes back.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn instant(self, ms: u64) -> Instant {
        const DAY: Duration = Duration::from_secs(86_400);
        // What is beyond the clock's end may as well be looked at in a day.
        self.0.checked_add(Duration::from_millis(ms)).unwrap_or_else(|| Instant::now() + DAY)
    }
}

/// The machine of a link, and when something was last heard: its task works on it, others look.
pub(super) struct State {
    pub(super) machine: Replication,
    pub(super) heard: u64,
}

/// A link whose handshake is done.
pub(super) struct Link {
    pub(super) own: TegaId,
    pub(super) peer: TegaId,
    pub(super) address: String,
    /// Which attempt of this server's it came of; 0: the other end's.
    pub(super) attempt: u64,
    /// What the other end may do here.
    pub(super) access: Access,
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// By `clock`.
    pub(super) since: u64,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) requests: Mutex<Requests>,
    pub(super) received: Arc<Mutex<Received>>,
    /// Who has a session at the other end, as it said last.
    pub(super) sessions: Mutex<Arc<BTreeSet<TegaId>>>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under a lock of a link panics, and a stale value beats a dead server.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    fn ask(&self, waits: Waits, frame: impl FnOnce(u32) -> String) {
        // The lock is held over the push, so that requests are sent in the order of their numbers.
        let mut requests = locked(&self.requests);
        let refused = match requests.begin(waits, Instant::now()) {
            Err(tell) => Some(tell),
            Ok(seq) => {
                let frame = frame(seq);
                if frame.len() > MAX_MESSAGE {
                    let message =
                        "the request, as text, is too long for it; nothing happened, send less at once";
                    requests.refuse(seq, too_long(message, &self.peer))
                } else if self.mailbox.request(seq, frame) {
                    None
                } else {
                    let message =
                        format!("too much waits for the link to {}; nothing happened, try again", self.peer);
                    requests.refuse(seq, Refusal::new("too_many", message))
                }
            }
        };
        drop(requests);
        tell(refused);
    }

    /// Tells those whose commits this server shows by now, or never will.
    pub(super) fn applied(&self) {
        if !locked(&self.requests).any_applying() {
            return;
        }
        let (in_step, follows, applied) = {
            let machine = &locked(&self.state).machine;
            (machine.is_in_step(), machine.follows().to_vec(), machine.followed(0).applied)
        };
        let shows = |root: &Key, wanted: Option<(Incarnation, Version)>| match wanted {
            Some((incarnation, version)) => self
                .store
                .standing(root)
                .is_some_and(|s| s.incarnation == incarnation && s.version >= version),
            None => self.store.view().root(root).is_none_or(|root| root.ephemeral_only),
        };
        let shown = |needs: &Stands, position: Option<Position>| {
            let carries = |root: &Key| follows.contains(root);
            let reached = position.is_some_and(|position| position <= applied);
            let is_shown = |(root, wanted): &(Key, _)| shows(root, *wanted) || (reached && carries(root));
            // A diverged replica may have a version of that number, and another one.
            if in_step && needs.iter().all(is_shown) {
                Shown::Yes
            } else if needs.iter().all(|(root, _)| carries(root)) {
                Shown::NotYet
            } else {
                Shown::Never
            }
        };
        let told = locked(&self.requests).applied(shown);
        tell(told);
    }
}

/// What is too long for a frame: the text of a value may be longer than the one that it came by, and the other end would
/// end the link.
pub(super) fn too_long(what: &str, peer: &TegaId) -> Refusal {
    Refusal::new("too_large", format!("the link to {peer} takes {MAX_MESSAGE} bytes in a message: {what}"))
}

/// Runs what is to be told, where no lock is held.
pub(super) fn tell(tells: impl IntoIterator<Item = Tell>) {
    tells.into_iter().for_each(|tell| tell());
}

impl Remote for Link {
    fn tega_id(&self) -> &TegaId {
        &self.peer
    }

    fn write(&self, transaction: Transaction, done: Done<Receipt>) {
        let body = link::body::write(&transaction);
        self.ask(Waits::Write(done), |seq| link::write(seq, transaction.by.as_ref(), &body));
    }

    fn fresh(&self, root: &Key, done: Done<()>) {
        self.ask(Waits::Fresh(done), |seq| link::fresh(seq, root));
    }

    fn call(&self, caller: &TegaId, path: &Path, arguments: &Value, time: Duration, done: Done<Value>) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let body = link::body::call(arguments, ms);
        self.ask(Waits::Call(time, done), |seq| link::call(seq, Some(caller), path, &body));
    }

    fn prove(&self, root: &Key, nonce: u64, time: Duration, done: Done<Value>) {
        if !locked(&self.state).machine.understands_proof() {
            let message =
                format!("{} is of a version that can't prove that it's there; update it", self.peer);
            return done(Err(Refusal::new("forbidden", message)));
        }
        self.ask(Waits::Call(time, done), |seq| link::prove(seq, root, nonce));
    }

    fn attempt(&self) -> u64 {
        self.attempt
    }

    fn publish(&self, from: &TegaId, channel: &str, body: &Value) {
        // The hub looks at what the other end listens to, not at what it may hear.
        let may_hear =
            self.access.is_admin() || Path::parse(channel).is_ok_and(|path| self.access.may_message(&path));
        if may_hear {
            let frame = link::publish(channel, from, &body.to_string());
            match frame.len() > MAX_MESSAGE {
                true => log::warn!(
                    "{}",
                    too_long(&format!("one of {from} is longer and isn't passed on"), &self.peer).message
                ),
                false => self.mailbox.tell(frame),
            }
        }
    }

    fn listen(&self, channel: &Channel, on: bool) {
        self.mailbox.tell(link::listen(channel, on));
    }

    fn owns(&self, session: SessionId) -> bool {
        locked(&self.received).owns(session)
    }

    fn carries(&self) -> Vec<Key> {
        let machine = &locked(&self.state).machine;
        machine.follows().iter().chain(machine.sends()).cloned().collect()
    }

    /// Who could have put the leaf from there may serve it there, and so may whom its token lets act as the owner.
    fn serves(&self, owner: &TegaId, path: &Path) -> bool {
        let is_there = locked(&self.sessions).contains(owner);
        let may_serve = || self.access.may_write(path) || self.access.may_act_as(owner);
        let is_carried = || {
            let machine = &locked(&self.state).machine;
            path.root().is_some_and(|root| machine.follows().contains(root) || machine.sends().contains(root))
        };
        is_there && may_serve() && is_carried()
    }

    fn sessions_changed(&self) {
        self.mailbox.sessions();
    }

    fn end(&self, reason: &str) {
        let code = super::Code::HomesChanged.number();
        self.mailbox.end(End { code, reason: reason.into() });
    }

    fn info(&self) -> LinkInfo {
        let mut sessions = BTreeSet::clone(&locked(&self.sessions));
        sessions.extend(locked(&self.received).owners());
        let sessions = sessions.into_iter().collect();
        let now = self.clock.ms();
        let state = locked(&self.state);
        let machine = &state.machine;
        let here = |root: &Key| self.store.standing(root).map(|s| (s.incarnation, s.version));
        let followed = machine.followed(now);
        let mut roots: Vec<LinkedRoot> = Vec::new();
        for root in machine.follows() {
            let here = here(root);
            let caught_up = followed.stale_ms == 0;
            roots.push(LinkedRoot {
                name: root.clone(),
                home: self.peer.clone(),
                here,
                there: here.filter(|_| caught_up).map(|(_, version)| version),
                stale_ms: Some(followed.stale_ms),
                refused: None,
            });
        }
        for root in machine.sends() {
            roots.push(LinkedRoot {
                name: root.clone(),
                home: self.own.clone(),
                here: here(root),
                there: machine.version_there(root),
                stale_ms: None,
                refused: None,
            });
        }
        for refused in machine.refused() {
            roots.push(LinkedRoot {
                name: refused.root.clone(),
                home: refused.home.clone().unwrap_or_else(|| self.peer.clone()),
                here: here(&refused.root),
                there: None,
                stale_ms: None,
                refused: Some(refused.reason.clone()),
            });
        }
        roots.sort_by(|a, b| a.name.cmp(&b.name));
        LinkInfo {
            tega_id: self.peer.clone(),
            address: self.address.clone(),
            up: true,
            since_s: now.saturating_sub(self.since) / 1000,
            problem: machine.problem().map(str::to_string),
            silent_ms: now.saturating_sub(state.heard),
            sessions,
            roots,
        }
    }
}
