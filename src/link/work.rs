//! What a link does, but for its socket: it carries out what the machine wants, serves the other end's requests, passes
//! messages on, and tells of ephemeral nodes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::listening::Listening;
use super::mailbox::{End, Mailbox, Out, Outcome};
use super::presence::Sending;
use super::register::{Place, Register, UnderWay};
use super::remote::{Clock, Link, State, locked, tell};
use super::requests::Requests;
use super::{Books, Closing, Code, Effect, Input, Replication, Want};
use crate::commit::{Incarnation, TegaId};
use crate::hub::Hub;
use crate::message::link::body::Standings;
use crate::message::link::{self, Refused};
use crate::path::{Key, Path};
use crate::store::{Channel, Error, Feed, Home, Store, Watch};
use crate::token::Access;

/// Pieces of a feed that are sent before something else has a turn.
const SHARE: usize = 32;

/// How often a feed is opened while commits that aren't durable keep coming.
const MAX_TRIES: u32 = 10;

/// What all links of a server work on.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) own: TegaId,
    pub(super) hub: Hub,
    pub(super) store: Store,
    pub(super) register: Register,
}

/// A feed and, while it's sent, its snapshot.
struct Feeding {
    feed: Feed,
    lines: Option<Box<dyn Iterator<Item = String> + Send>>,
    /// It may have something.
    ready: bool,
}

/// A feed that couldn't be opened yet.
struct Opening {
    roots: Vec<Key>,
    known: Standings,
    tries: u32,
}

/// A link without its socket.
pub(super) struct Work {
    pub(super) context: Context,
    pub(super) clock: Clock,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) state: Arc<Mutex<State>>,
    /// Frames to be sent, in order.
    pub(super) queue: VecDeque<Out>,
    /// What the other end may do here.
    pub(super) access: Access,
    address: String,
    /// Which attempt of this server's it came of; 0: the other end's.
    attempt: u64,
    pub(super) link: Option<Arc<Link>>,
    place: Option<Place>,
    under_way: Option<UnderWay>,
    feeding: Option<Box<Feeding>>,
    /// What waits for the disk to become `feeding`.
    opening: Option<Box<Opening>>,
    /// The roots that the link carries.
    pub(super) roots: Vec<Key>,
    sending: Sending,
    /// Says when ephemeral nodes of `roots` may have changed.
    watch: Option<Watch>,
    /// There may be ephemeral nodes to tell of.
    dirty: bool,
    /// There may be sessions to tell of: a local's, to its global.
    sessions: bool,
    pub(super) listening: Option<Box<Listening>>,
    ended: Option<String>,
}

/// Nothing more is to be done: the link ends so.
pub(super) type Go = Result<(), End>;

impl From<Closing> for End {
    fn from(closing: Closing) -> End {
        End { code: closing.code.number(), reason: closing.reason }
    }
}

impl Work {
    /// The side that was called. `global`: where this server is a local one, its global's address.
    pub(super) fn accept(
        context: &Context,
        global: Option<&str>,
        address: String,
        access: Access,
        under_way: UnderWay,
    ) -> Work {
        let clock = Clock::start();
        let machine = Replication::accept(context.own.clone(), global, clock.ms());
        let mut work = Work::new(context, clock, machine, address, access);
        work.under_way = Some(under_way);
        work
    }

    /// The local's side.
    pub(super) fn dial(
        context: &Context,
        follow: &[Key],
        serve: &[Key],
        address: String,
        attempt: u64,
    ) -> Result<Work, End> {
        let clock = Clock::start();
        let (own, instance) = (context.own.clone(), context.register.instance());
        let mut effects = Vec::new();
        let books: &dyn Books = &context.store;
        let machine = Replication::dial(own, instance, follow, serve, clock.ms(), books, &mut effects);
        let mut work = Work::new(context, clock, machine, address, Access::all());
        work.attempt = attempt;
        work.carry_out(effects)?;
        Ok(work)
    }

    fn new(context: &Context, clock: Clock, machine: Replication, address: String, access: Access) -> Work {
        Work {
            context: context.clone(),
            clock,
            mailbox: Arc::default(),
            state: Arc::new(Mutex::new(State { machine, heard: clock.ms() })),
            queue: VecDeque::new(),
            access,
            address,
            attempt: 0,
            link: None,
            place: None,
            under_way: None,
            feeding: None,
            opening: None,
            roots: Vec::new(),
            sending: Sending::default(),
            watch: None,
            dirty: false,
            sessions: false,
            listening: None,
            ended: None,
        }
    }

    /// Gives the machine what happened, and does what it wants.
    pub(super) fn input(&mut self, input: Input<'_>) -> Go {
        let effects = self.take(input);
        self.carry_out(effects)
    }

    fn take(&mut self, input: Input<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let now = self.clock.ms();
        locked(&self.state).machine.take(input, now, &self.context.store, &mut effects);
        effects
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Go {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let store = &self.context.store;
            let mailbox = self.mailbox.clone();
            match effect {
                Effect::Send(text) => self.queue.push_back(Out { seq: None, text }),
                Effect::Admit { tega_id, instance, follow, serve } => {
                    let admitted = self.admit(&tega_id, instance, &follow, &serve);
                    effects.extend(self.take(Input::Admitted(admitted)));
                }
                Effect::SetHomes(homes) => {
                    store.set_homes(homes, move |outcome| mailbox.outcome(Outcome::Recorded(outcome)));
                }
                Effect::Linked => self.linked()?,
                Effect::Open { roots, known } => {
                    effects.extend(self.open(Opening { roots, known, tries: 0 }))
                }
                Effect::Flush => store.flush(move |outcome| mailbox.outcome(Outcome::Flushed(outcome))),
                Effect::Follow { home, records } => {
                    let roots = locked(&self.state).machine.follows().to_vec();
                    store.follow(&home, &roots, records, move |outcome| {
                        mailbox.outcome(Outcome::Applied(outcome))
                    });
                }
                Effect::Install(snapshot) => {
                    store.install(snapshot, move |outcome| mailbox.outcome(Outcome::Applied(outcome)));
                }
                Effect::Close(closing) => return Err(closing.into()),
            }
        }
        Ok(())
    }

    /// Opens a feed. Where the disk must be waited for, its outcome tries again: nothing holds up the other links.
    fn open(&mut self, mut opening: Opening) -> Vec<Effect> {
        // The old one first: two would be fed for a moment.
        self.feeding = None;
        let weak = Arc::downgrade(&self.mailbox);
        let wake = move || {
            if let Some(mailbox) = weak.upgrade() {
                mailbox.feed();
            }
        };
        let store = &self.context.store;
        match store.feed_now(&opening.roots, &opening.known, wake) {
            Some((feed, start)) => {
                let position = feed.position();
                self.feeding = Some(Box::new(Feeding { feed, lines: None, ready: true }));
                self.opening = None;
                self.take(Input::Opened(start, position))
            }
            None if opening.tries < MAX_TRIES => {
                opening.tries += 1;
                self.opening = Some(Box::new(opening));
                let mailbox = self.mailbox.clone();
                store.flush(move |outcome| mailbox.outcome(Outcome::Durable(outcome)));
                Vec::new()
            }
            None => self.take(Input::Lagging),
        }
    }

    /// What is visible is durable, or the disk refused: on with the feed that waited for it.
    fn durable(&mut self, outcome: Result<(), Error>) -> Go {
        let Some(opening) = self.opening.take() else { return Ok(()) };
        let effects = match outcome {
            Ok(()) => self.open(*opening),
            Err(_) => self.take(Input::Lagging),
        };
        self.carry_out(effects)
    }

    fn admit(
        &mut self,
        tega_id: &TegaId,
        instance: Incarnation,
        follow: &[Key],
        serve: &[Key],
    ) -> Result<Vec<Refused>, Closing> {
        if !self.access.may_act_as(tega_id) {
            return Err(Closing::new(Code::Token, format!("the token isn't for {tega_id}")));
        }
        let root = |root: &Key| Path::from_checked(vec![root.clone()]);
        let unreadable =
            follow.iter().filter(|name| !self.access.may_read(&root(name))).map(|name| (name, "read"));
        let unwritable =
            serve.iter().filter(|name| !self.access.may_write(&root(name))).map(|name| (name, "write"));
        let refused = |(root, what): (&Key, &str)| Refused {
            root: root.clone(),
            reason: format!("the token doesn't let {tega_id} {what} it"),
            home: None,
        };
        let refused = unreadable.chain(unwritable).map(refused).collect();
        self.place = Some(self.context.register.enter(tega_id, instance, &self.mailbox)?);
        Ok(refused)
    }

    /// The handshake is done: from here on others may use the link.
    fn linked(&mut self) -> Go {
        let (peer, served, sends) = {
            let machine = &locked(&self.state).machine;
            (machine.peer().cloned(), machine.follows().to_vec(), machine.sends().to_vec())
        };
        let Some(peer) = peer else {
            return Err(Closing::new(Code::Refused, "nobody at the other end").into());
        };
        let place = match self.place.take() {
            Some(place) => place,
            // A local has one link, and which run of the global it leads to makes no difference.
            None => self.context.register.enter(&peer, Incarnation(0), &self.mailbox)?,
        };
        if sends.is_empty() {
            self.under_way = None;
        }
        log::info!("linked to {peer} at {}", self.address);
        let link = Arc::new(Link {
            own: self.context.own.clone(),
            peer: peer.clone(),
            address: self.address.clone(),
            attempt: self.attempt,
            access: self.access.clone(),
            store: self.context.store.clone(),
            clock: self.clock,
            since: self.clock.ms(),
            state: self.state.clone(),
            mailbox: self.mailbox.clone(),
            requests: Mutex::new(Requests::new(peer.clone())),
            received: place.received.clone(),
            sessions: Mutex::default(),
        });
        self.sessions = self.context.hub.global().is_some();
        self.place = Some(place);
        self.roots = served.iter().cloned().chain(sends).collect();
        self.watch_presence();
        self.link = Some(link.clone());
        // One that it replaces has been told by the register.
        drop(self.context.hub.link_up(link));
        self.check_homes(&peer, &served)
    }

    /// Whoever moves a root records it and then ends the links that it finds. This one may have come up in between, with
    /// the old homes: then it ends here.
    fn check_homes(&self, peer: &TegaId, served: &[Key]) -> Go {
        if self.context.hub.global().is_some() {
            return Ok(());
        }
        let is_peers =
            |root: &Key| matches!(self.context.store.home(root), Ok(Home::Away(Some(home))) if home == *peer);
        match served.iter().find(|root| !is_peers(root)) {
            None => Ok(()),
            Some(root) => {
                let reason = format!("the home of {root} was moved; connect again");
                Err(Closing::new(Code::HomesChanged, reason).into())
            }
        }
    }

    fn watch_presence(&mut self) {
        let weak = Arc::downgrade(&self.mailbox);
        let watch = self.context.store.watch(None, move || {
            if let Some(mailbox) = weak.upgrade() {
                mailbox.presence();
            }
        });
        for root in &self.roots {
            let channel = Channel::Path(Path::from_checked(vec![root.clone()]));
            if let Err(error) = watch.subscribe(channel, None) {
                log::warn!("ephemeral nodes of {root} aren't told over the link: {error}");
            }
        }
        self.watch = Some(watch);
        self.dirty = true;
    }

    /// An outcome of the store.
    pub(super) fn outcome(&mut self, outcome: Outcome) -> Go {
        let applied = matches!(outcome, Outcome::Applied(Ok(())));
        self.input(match outcome {
            Outcome::Durable(outcome) => return self.durable(outcome),
            Outcome::Recorded(outcome) => Input::Recorded(outcome),
            Outcome::Flushed(outcome) => Input::Flushed(outcome),
            Outcome::Applied(outcome) => Input::Applied(outcome),
        })?;
        if applied && let Some(link) = &self.link {
            link.applied();
            locked(&link.received).retry(&self.context.store);
        }
        Ok(())
    }

    /// The feed may have something.
    pub(super) fn feed_woken(&mut self) {
        if let Some(feeding) = &mut self.feeding {
            feeding.ready = true;
        }
    }

    /// Ephemeral nodes may have changed.
    pub(super) fn presence_woken(&mut self) {
        let Some(watch) = &self.watch else { return };
        loop {
            match watch.try_next() {
                Ok(Some(event)) if event.is_clear() => {
                    // What was followed is gone too, and only a new link fetches it again.
                    let reason = "the store was cleared; connect again".into();
                    self.mailbox.end(End { code: Code::HomesChanged.number(), reason });
                }
                // What is there no more may have gone by a persistent change.
                Ok(Some(event)) => {
                    self.dirty |=
                        !self.sending.is_empty() || event.changes.iter().any(|change| change.ephemeral);
                }
                Ok(None) => return,
                Err(_) => return self.watch_presence(),
            }
        }
    }

    /// Sessions of this server came or went.
    pub(super) fn sessions_woken(&mut self) {
        self.sessions = self.link.is_some();
    }

    /// Queues what is to be sent, as long as nothing waits. False: there's more.
    pub(super) fn pump(&mut self) -> Result<bool, End> {
        for _ in 0..SHARE {
            if !self.queue.is_empty() {
                return Ok(true);
            }
            if !self.pump_feed()? && !self.pump_sessions() && !self.pump_presence() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True: something was done.
    fn pump_feed(&mut self) -> Result<bool, End> {
        let Some(feeding) = self.feeding.as_mut().filter(|feeding| feeding.ready) else { return Ok(false) };
        let (wants, outcomes) = {
            let machine = &locked(&self.state).machine;
            (machine.wants(), machine.sends_outcomes())
        };
        let input = match wants {
            None => return Ok(false),
            Some(Want::Line) => {
                let line = feeding.lines.get_or_insert_with(|| feeding.feed.snapshot(outcomes)).next();
                if line.is_none() {
                    feeding.lines = None;
                }
                Input::Line(line)
            }
            Some(Want::Commit) => match feeding.feed.try_next() {
                Ok(Some(sent)) => Input::Commit(sent),
                Ok(None) => {
                    feeding.ready = false;
                    self.under_way = None;
                    Input::Idle(feeding.feed.position(), feeding.feed.waits_for_disk())
                }
                Err(_) => Input::Lagging,
            },
        };
        self.input(input).map(|()| true)
    }

    fn pump_sessions(&mut self) -> bool {
        let told = std::mem::take(&mut self.sessions);
        if told {
            let text = link::sessions(&self.context.hub.ids());
            self.queue.push_back(Out { seq: None, text });
        }
        told
    }

    fn pump_presence(&mut self) -> bool {
        if !self.dirty {
            return false;
        }
        let Some(link) = &self.link else { return false };
        let theirs = {
            // Not over the look at the store: sessions come and go under this lock.
            let received = locked(&link.received);
            received.sessions()
        };
        match self.sending.next(&self.context.store, &self.roots, |session| theirs.contains(&session)) {
            Some(said) => self.queue.push_back(Out { seq: None, text: link::presence(&said) }),
            None => self.dirty = false,
        }
        self.dirty
    }

    /// The request leaves now. False: nobody waits for it any more.
    pub(super) fn sends(&self, seq: u32) -> bool {
        self.link.as_ref().is_some_and(|link| locked(&link.requests).send(seq))
    }

    /// Whether the machine takes frames now.
    pub(super) fn reads(&self) -> bool {
        locked(&self.state).machine.reads()
    }

    /// When the machine wants to be told the time, by the link's clock.
    pub(super) fn wakes_at(&self) -> Option<u64> {
        locked(&self.state).machine.wakes_at()
    }

    /// Whether requests wait, whose time must be looked at.
    pub(super) fn has_requests(&self) -> bool {
        self.link.as_ref().is_some_and(|link| locked(&link.requests).len() > 0)
    }

    /// Tells those whose time is over.
    pub(super) fn overdue(&self) {
        if let Some(link) = &self.link {
            let told = locked(&link.requests).overdue(self.clock.instant(self.clock.ms()));
            tell(told);
        }
    }

    /// A first sync that takes longer gives its turn to others.
    pub(super) fn is_slow(&mut self) {
        self.under_way = None;
    }

    /// Whether the handshake was done.
    pub(super) fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    /// Who is at the other end, for the log.
    pub(super) fn who(&self) -> String {
        match &self.link {
            Some(link) => format!("{} at {}", link.peer, self.address),
            None => self.address.clone(),
        }
    }

    /// The link is over, for this reason: everybody is told. The first reason counts.
    pub(super) fn end(&mut self, reason: &str) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(reason.to_string());
        self.mailbox.close();
        (self.feeding, self.watch, self.listening) = (None, None, None);
        if let Some(link) = &self.link {
            log::info!("the link to {} ended: {reason}", self.who());
            // First, so that who is told now and tries again finds no link.
            self.context.hub.link_down(&**link, reason);
            let told = locked(&link.requests).end();
            tell(told);
        }
        if let Some(place) = self.place.take() {
            self.context.register.leave(&place);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end("it was ended here");
    }
}
