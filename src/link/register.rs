//! Who is linked: one link for each tega ID, and the ephemeral nodes of those whose link died a moment ago.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::mailbox::{End, Mailbox};
use super::presence::Received;
use super::remote::locked;
use super::{Closing, Code};
use crate::commit::{Incarnation, TegaId};
use crate::store::Store;

/// Handshakes and first syncs at once. Beyond it who comes is sent away for some seconds, so that a fleet that comes
/// back at once is served in turns.
const MAX_UNDER_WAY: usize = 256;

/// The longest that somebody is sent away for, in seconds.
const MAX_AWAY_S: u64 = 16;

/// How many are asked to come again in one second.
const COME_AGAIN: usize = 512;

struct Live {
    number: u64,
    instance: Incarnation,
    mailbox: Arc<Mailbox>,
    received: Arc<Mutex<Received>>,
}

struct Lingering {
    received: Arc<Mutex<Received>>,
    until: Instant,
}

#[derive(Default)]
struct Inner {
    live: BTreeMap<TegaId, Live>,
    lingering: BTreeMap<TegaId, Lingering>,
    last: u64,
    stopped: bool,
}

struct Shared {
    store: Store,
    grace: Duration,
    /// Which run of this program it is.
    instance: Incarnation,
    under_way: AtomicUsize,
    /// About how many were sent away and aren't back yet.
    away: AtomicUsize,
    inner: Mutex<Inner>,
}

/// Who is linked: a handle, cheap to clone.
#[derive(Clone)]
pub(super) struct Register {
    shared: Arc<Shared>,
}

/// A place in the register.
pub(super) struct Place {
    tega_id: TegaId,
    number: u64,
    pub(super) received: Arc<Mutex<Received>>,
}

/// A handshake or first sync that is under way, until it's dropped.
pub(super) struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn less_away(&self, count: usize) {
        let less = |away: usize| Some(away.saturating_sub(count));
        // The closure never refuses.
        let _ = self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Register {
    /// An empty one. `grace`: how long ephemeral nodes stay when their link died.
    pub(super) fn new(store: Store, grace: Duration) -> Register {
        let shared = Shared {
            store,
            grace,
            instance: Incarnation::draw(),
            under_way: AtomicUsize::new(0),
            away: AtomicUsize::new(0),
            inner: Mutex::default(),
        };
        Register { shared: Arc::new(shared) }
    }

    /// Which run of this program it is.
    pub(super) fn instance(&self) -> Incarnation {
        self.shared.instance
    }

    /// Takes part in the handshakes that are under way; where there are too many, when to come again.
    pub(super) fn begin(&self) -> Result<UnderWay, Closing> {
        let before = self.shared.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self.shared.clone());
        if before < MAX_UNDER_WAY {
            self.shared.less_away(1);
            return Ok(under_way);
        }
        // The more there are, the longer it takes until all had their turn.
        let away = self.shared.away.fetch_add(1, Ordering::Relaxed);
        let span = u64::try_from(1 + away / COME_AGAIN).unwrap_or(MAX_AWAY_S).min(MAX_AWAY_S);
        Err(Closing::busy("many link at once", 1 + random() % span))
    }

    /// Enters a link. The same run of a server replaces its older link; another one is refused as long as the older one
    /// may live, which is looked into.
    pub(super) fn enter(
        &self,
        tega_id: &TegaId,
        instance: Incarnation,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Place, Closing> {
        let mut inner = locked(&self.shared.inner);
        if inner.stopped {
            return Err(Closing::busy("the server is stopping", 1));
        }
        let received = match inner.live.get(tega_id) {
            Some(live) if live.instance != instance => {
                live.mailbox.probe();
                return Err(Closing::new(
                    Code::InUse,
                    format!(
                        "{tega_id} is linked already, from another run or machine; it's asked whether it lives"
                    ),
                ));
            }
            Some(live) => {
                let reason = "replaced by a newer link".to_string();
                live.mailbox.end(End { code: Code::InUse.number(), reason });
                live.received.clone()
            }
            None => inner.lingering.remove(tega_id).map(|it| it.received).unwrap_or_default(),
        };
        inner.last += 1;
        let number = inner.last;
        let live = Live { number, instance, mailbox: mailbox.clone(), received: received.clone() };
        inner.live.insert(tega_id.clone(), live);
        Ok(Place { tega_id: tega_id.clone(), number, received })
    }

    /// A link ended. Its ephemeral nodes stay for the grace period, unless another link of the same server has them.
    pub(super) fn leave(&self, place: &Place) {
        let mut inner = locked(&self.shared.inner);
        if inner.live.get(&place.tega_id).is_none_or(|live| live.number != place.number) {
            return;
        }
        inner.live.remove(&place.tega_id);
        if locked(&place.received).is_empty() {
            return;
        }
        let received = place.received.clone();
        if self.shared.grace.is_zero() {
            drop(inner);
            locked(&received).clear(&self.shared.store);
            return;
        }
        let until = Instant::now() + self.shared.grace;
        inner.lingering.insert(place.tega_id.clone(), Lingering { received, until });
    }

    /// Ends what has lingered long enough. To be called about once a second.
    pub(super) fn tick(&self) {
        // Some never come back.
        self.shared.less_away(self.shared.away.load(Ordering::Relaxed) / 16);
        let now = Instant::now();
        let mut inner = locked(&self.shared.inner);
        let all: Vec<_> = inner.live.values().map(|live| live.received.clone()).collect();
        drop(inner);
        for received in all {
            locked(&received).retry(&self.shared.store);
        }
        inner = locked(&self.shared.inner);
        if inner.lingering.is_empty() {
            return;
        }
        let over: Vec<TegaId> =
            inner.lingering.iter().filter(|(_, it)| it.until <= now).map(|(id, _)| id.clone()).collect();
        let over: Vec<Lingering> = over.iter().filter_map(|id| inner.lingering.remove(id)).collect();
        drop(inner);
        for lingering in over {
            locked(&lingering.received).clear(&self.shared.store);
        }
    }

    /// Ends all links, as the server stops.
    pub(super) fn end_all(&self) {
        let mailboxes: Vec<Arc<Mailbox>> = {
            let mut inner = locked(&self.shared.inner);
            inner.stopped = true;
            inner.live.values().map(|live| live.mailbox.clone()).collect()
        };
        for mailbox in mailboxes {
            mailbox.end(End { code: 1001, reason: "the server is stopping".into() });
        }
    }
}

/// Random bits; without the system's randomness ones that differ from call to call at least.
pub(super) fn random() -> u64 {
    Incarnation::draw().0
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::store::Options;

    fn register(grace: u64) -> Register {
        Register::new(Store::in_memory(Options::default()), Duration::from_secs(grace))
    }

    fn id(text: &str) -> TegaId {
        TegaId::new(text).unwrap()
    }

    #[test]
    fn the_same_run_replaces_its_link_and_another_one_has_the_old_one_probed() {
        let register = register(10);
        let (old, new) = (Arc::<Mailbox>::default(), Arc::<Mailbox>::default());
        let place = register.enter(&id("r1"), Incarnation(1), &old).unwrap();
        let refused = register.enter(&id("r1"), Incarnation(2), &new).err().unwrap();
        assert_eq!(refused.code, Code::InUse);
        let found = old.take(true, Waker::noop());
        assert!(found.probe && found.end.is_none());
        let newer = register.enter(&id("r1"), Incarnation(1), &new).unwrap();
        assert_eq!(old.take(true, Waker::noop()).end.unwrap().code, 4009);
        // The old one's end is nobody's business any more.
        register.leave(&place);
        assert!(register.enter(&id("r1"), Incarnation(2), &old).is_err());
        register.leave(&newer);
        assert!(register.enter(&id("r1"), Incarnation(2), &old).is_ok());
    }

    #[test]
    fn too_many_at_once_are_sent_away_for_some_seconds() {
        let register = register(10);
        let all: Vec<_> = (0..MAX_UNDER_WAY).map(|_| register.begin().unwrap()).collect();
        let away = || Closing::retry_after(&register.begin().err().unwrap().reason).unwrap();
        assert_eq!(away(), 1, "a few come back at once");
        let longest = (0..50 * COME_AGAIN).map(|_| away()).max().unwrap();
        assert_eq!(longest, MAX_AWAY_S, "many take turns");
        drop(all);
        assert!(register.begin().is_ok());
    }

    #[test]
    fn nodes_of_a_link_that_comes_back_are_its_own_again() {
        let register = register(3_600);
        let place = register.enter(&id("r1"), Incarnation(1), &Arc::default()).unwrap();
        let leased = crate::message::link::Leased {
            path: "a.b".parse().unwrap(),
            value: crate::value::Value::Null,
            owner: id("x"),
            age_s: 0,
        };
        let said = crate::message::link::Presence { put: vec![leased], ..Default::default() };
        locked(&place.received).take(&register.shared.store, &["a".into()], said);
        register.leave(&place);
        register.tick();
        let again = register.enter(&id("r1"), Incarnation(2), &Arc::default()).unwrap();
        assert!(Arc::ptr_eq(&place.received, &again.received));
        assert!(!locked(&again.received).is_empty());
    }
}
