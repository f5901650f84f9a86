//! Ephemeral nodes over a link: those of sessions at the other end stand here too, and those of sessions here there.
//!
//! [`Sending`] compares what stands here with what the other end was told, and says the difference: the whole set on a
//! new link, then what came and went. [`Received`] holds each node by a session of its own in the store, so that
//! ending the session removes exactly that node, and only if it still stands. It outlives its link for the grace
//! period: a link that comes back in time finds its nodes in place, and nothing flickers.
//!
//! Presence is a lease and not a commit. It may overtake the commits of its own roots: a node that something stands in
//! the way of is tried again whenever commits were applied. Where there's no room it is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::remote::locked;
use crate::commit::TegaId;
use crate::message::link::body::{Leased, Presence};
use crate::path::{Key, Path};
use crate::store::{Error, SessionId, Store, Transaction};
use crate::tree::Stamp;
use crate::value::Value;

/// About how many bytes of nodes stand in one frame.
const FRAME: usize = 64 << 10;

/// The most nodes that one link may keep at the other end.
pub(super) const MAX_NODES: usize = 10_000;

/// The most of them that are kept to be tried again, since something is in their way.
const MAX_MISSED: usize = 1_000;

/// What the other end has been told.
#[derive(Default)]
pub(super) struct Sending {
    told: BTreeMap<Path, (SessionId, Stamp)>,
    /// The beginning of the whole set was sent, or all of it.
    begun: bool,
    /// All of it was.
    whole: bool,
}

impl Sending {
    /// Nothing was told that could have changed.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What is to be said next of the ephemeral nodes in these roots, without those of the sessions that `theirs`
    /// names; `None`: nothing. To be asked again until it says so.
    pub(super) fn next(
        &mut self,
        store: &Store,
        roots: &[Key],
        theirs: impl Fn(SessionId) -> bool,
    ) -> Option<Presence> {
        let mut said = Presence { full: !self.begun, ..Presence::default() };
        let mut there = BTreeSet::new();
        let mut room = FRAME;
        let mut more = false;
        let view = store.view();
        for root in roots {
            for lease in store.ephemeral(&Path::from_checked(vec![root.clone()])) {
                // The table of owners may be a step ahead of what is published; then the next change says it.
                let Some(node) = view.node(&lease.path).filter(|node| node.stamp.is_ephemeral()) else {
                    continue;
                };
                if theirs(lease.session) || there.len() >= MAX_NODES {
                    continue;
                }
                there.insert(lease.path.clone());
                let now = (lease.session, node.stamp);
                if self.told.get(&lease.path) == Some(&now) {
                    continue;
                }
                if room == 0 {
                    more = true;
                    continue;
                }
                let value = node.to_value();
                room = room.saturating_sub(64 + weight(&value));
                self.told.insert(lease.path.clone(), now);
                said.put.push(Leased {
                    path: lease.path,
                    value,
                    owner: lease.tega_id,
                    age_s: lease.age.as_secs(),
                });
            }
        }
        // Outside of the whole set, what went is said by name.
        said.gone = self.told.keys().filter(|path| !there.contains(*path)).cloned().collect();
        for path in &said.gone {
            self.told.remove(path);
        }
        said.more = more && !self.whole;
        let anything = !self.whole || !said.put.is_empty() || !said.gone.is_empty();
        self.begun = true;
        self.whole = self.whole || !more;
        anything.then_some(said)
    }
}

/// About how long a value is as text.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items().iter().map(weight).sum(),
        Value::Object(object) => object.members().iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 8,
    }
}

/// A node of one of the other end's sessions.
struct Stood {
    owner: TegaId,
    /// The one that stands for that session here.
    session: SessionId,
    /// Which put was the last one.
    put: u64,
}

/// Whether what refused a node may be gone when more commits are applied.
fn may_pass(error: &Error) -> bool {
    !matches!(error, Error::TooLarge { .. } | Error::NoSession { .. } | Error::NoHome { .. } | Error::Closed)
}

/// The nodes of the other end's sessions.
#[derive(Default)]
pub(super) struct Received {
    nodes: BTreeMap<Path, Stood>,
    sessions: BTreeSet<SessionId>,
    /// The last put of all.
    last: u64,
    /// Nodes that something was in the way of, with their puts.
    missed: Arc<Mutex<BTreeMap<Path, (u64, Value)>>>,
    /// While the whole set comes: the nodes of the old one that weren't in it yet.
    unconfirmed: Option<BTreeSet<Path>>,
}

impl Received {
    /// Takes what the other end says of nodes in these roots.
    pub(super) fn take(&mut self, store: &Store, roots: &[Key], said: Presence) {
        if said.full {
            self.unconfirmed = Some(self.nodes.keys().cloned().collect());
        }
        for path in &said.gone {
            self.remove(store, path);
        }
        let carried = |path: &Path| path.root().is_some_and(|root| roots.contains(root));
        for leased in said.put.into_iter().filter(|leased| carried(&leased.path)) {
            self.put(store, leased);
        }
        if !said.more {
            for path in self.unconfirmed.take().unwrap_or_default() {
                self.remove(store, &path);
            }
        }
    }

    fn put(&mut self, store: &Store, leased: Leased) {
        let Leased { path, value, owner, .. } = leased;
        if let Some(unconfirmed) = &mut self.unconfirmed {
            unconfirmed.remove(&path);
        }
        let session = match self.nodes.get(&path) {
            Some(known) if known.owner == owner => known.session,
            known => {
                if known.is_none() && self.nodes.len() >= MAX_NODES {
                    return;
                }
                self.remove(store, &path);
                let session = store.begin_session(owner.clone());
                self.sessions.insert(session);
                session
            }
        };
        self.last += 1;
        self.nodes.insert(path.clone(), Stood { owner, session, put: self.last });
        self.stand(store, path, value);
    }

    /// Has the store put a node.
    fn stand(&self, store: &Store, path: Path, value: Value) {
        let Some(Stood { owner, session, put }) = self.nodes.get(&path) else { return };
        let (put, missed, again) = (*put, self.missed.clone(), value.clone());
        let transaction = Transaction { session: Some(*session), ..Transaction::new(Some(owner.clone())) };
        store.submit(transaction.put_ephemeral(path.clone(), value), move |outcome| {
            let Err(error) = outcome else { return };
            log::info!("an ephemeral node of the other end can't stand at {path}: {error}");
            let mut missed = locked(&missed);
            if may_pass(&error) && missed.len() < MAX_MISSED {
                missed.insert(path, (put, again));
            }
        });
    }

    /// Tries again what something was in the way of: a commit was applied, and may have taken it away.
    pub(super) fn retry(&mut self, store: &Store) {
        let missed = std::mem::take(&mut *locked(&self.missed));
        for (path, (put, value)) in missed {
            if self.nodes.get(&path).is_some_and(|stood| stood.put == put) {
                self.stand(store, path, value);
            }
        }
    }

    fn remove(&mut self, store: &Store, path: &Path) {
        if let Some(stood) = self.nodes.remove(path) {
            self.sessions.remove(&stood.session);
            store.end_session(stood.session);
        }
    }

    /// The other end won't come back: its nodes go.
    pub(super) fn clear(&mut self, store: &Store) {
        for session in std::mem::take(&mut self.sessions) {
            store.end_session(session);
        }
        self.nodes.clear();
        locked(&self.missed).clear();
    }

    /// The sessions that stand for some at the other end.
    pub(super) fn sessions(&self) -> BTreeSet<SessionId> {
        self.sessions.clone()
    }

    /// Whether this session stands for one at the other end.
    pub(super) fn owns(&self, session: SessionId) -> bool {
        self.sessions.contains(&session)
    }

    /// Whose nodes they are, each ID once, in order.
    pub(super) fn owners(&self) -> Vec<TegaId> {
        let owners: BTreeSet<&TegaId> = self.nodes.values().map(|stood| &stood.owner).collect();
        owners.into_iter().cloned().collect()
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    struct End {
        store: Store,
        sending: Sending,
        received: Received,
    }

    impl End {
        fn new() -> End {
            End {
                store: Store::in_memory(Options::default()),
                sending: Sending::default(),
                received: Received::default(),
            }
        }

        fn session(&self, id: &str) -> SessionId {
            self.store.begin_session(TegaId::new(id).unwrap())
        }

        fn put(&self, session: SessionId, path: &str, value: Value) {
            let put = Transaction { session: Some(session), ..Transaction::new(None) };
            self.store.commit(put.put_ephemeral(path.parse().unwrap(), value)).unwrap();
        }

        /// All that was submitted so far is visible: a refused commit waits for what was before it.
        fn settle(&self) {
            self.store.commit(Transaction::new(None).delete("no.such".parse().unwrap())).unwrap_err();
        }

        fn shown(&self) -> String {
            self.settle();
            let shown = |lease: crate::store::Ephemeral| {
                let value = self.store.get(&lease.path).map(|value| value.to_string());
                format!("{}={} of {}", lease.path, value.unwrap_or_default(), lease.tega_id)
            };
            self.store.ephemeral(&Path::TOP).into_iter().map(shown).collect::<Vec<_>>().join(", ")
        }
    }

    fn roots() -> Vec<Key> {
        vec!["a".into(), "b".into()]
    }

    /// Carries what one end has to say to the other; how many frames it took.
    fn carry(from: &mut End, to: &mut End) -> usize {
        from.settle();
        let mut frames = 0;
        loop {
            let theirs = |session| from.received.owns(session);
            let Some(said) = from.sending.next(&from.store, &roots(), theirs) else { return frames };
            frames += 1;
            to.received.take(&to.store, &roots(), said);
        }
    }

    #[test]
    fn nodes_come_change_and_go_with_their_sessions() {
        let (mut r1, mut g) = (End::new(), End::new());
        let (one, two) = (r1.session("x"), r1.session("y"));
        r1.put(one, "a.p", Value::from(1));
        r1.put(two, "b.q", Value::from("t"));
        r1.put(two, "c.r", Value::from(0));
        assert_eq!(carry(&mut r1, &mut g), 1);
        assert_eq!(g.shown(), "a.p=1 of x, b.q=\"t\" of y");
        assert_eq!(carry(&mut r1, &mut g), 0);
        r1.put(one, "a.p", Value::from(2));
        r1.store.end_session(two);
        assert_eq!(carry(&mut r1, &mut g), 1);
        assert_eq!(g.shown(), "a.p=2 of x");
        assert_eq!(g.received.owners(), [TegaId::new("x").unwrap()]);
    }

    #[test]
    fn what_came_over_the_link_does_not_go_back() {
        let (mut r1, mut g) = (End::new(), End::new());
        let (x, y) = (r1.session("x"), g.session("y"));
        r1.put(x, "a.p", Value::from(1));
        g.put(y, "a.q", Value::from(2));
        carry(&mut r1, &mut g);
        carry(&mut g, &mut r1);
        assert_eq!(carry(&mut r1, &mut g) + carry(&mut g, &mut r1), 0);
        assert_eq!(r1.shown(), "a.p=1 of x, a.q=2 of y");
        assert_eq!(r1.shown(), g.shown());
    }

    #[test]
    fn a_link_that_comes_back_finds_its_nodes_in_place_and_ends_the_missing_ones() {
        let (mut r1, mut g) = (End::new(), End::new());
        let (x, y) = (r1.session("x"), r1.session("y"));
        r1.put(x, "a.p", Value::from(1));
        r1.put(y, "a.q", Value::from(2));
        carry(&mut r1, &mut g);
        g.settle();
        let before = g.store.ephemeral(&"a.p".parse().unwrap());
        r1.store.end_session(y);
        r1.sending = Sending::default();
        carry(&mut r1, &mut g);
        assert_eq!(g.shown(), "a.p=1 of x");
        assert_eq!(g.store.ephemeral(&"a.p".parse().unwrap())[0].session, before[0].session);
        g.received.clear(&g.store);
        assert_eq!(g.shown(), "");
        assert!(g.received.is_empty() && g.received.owners().is_empty());
    }

    #[test]
    fn a_large_set_comes_in_several_frames_and_only_the_last_ends_the_old_one() {
        let (mut r1, mut g) = (End::new(), End::new());
        let x = r1.session("x");
        for at in 0..10 {
            r1.put(x, &format!("a.n{at}"), Value::from("v".repeat(20 << 10)));
        }
        assert!(carry(&mut r1, &mut g) > 2);
        g.settle();
        assert_eq!(g.store.ephemeral(&Path::TOP).len(), 10);
        r1.sending = Sending::default();
        r1.settle();
        let first = r1.sending.next(&r1.store, &roots(), |_| false).unwrap();
        assert!(first.full && first.more);
        g.received.take(&g.store, &roots(), first);
        g.settle();
        assert_eq!(g.store.ephemeral(&Path::TOP).len(), 10);
        r1.store.end_session(x);
        carry(&mut r1, &mut g);
        assert_eq!(g.shown(), "");
    }

    #[test]
    fn a_node_that_was_replaced_for_good_is_not_removed_by_its_end() {
        let (mut r1, mut g) = (End::new(), End::new());
        let x = r1.session("x");
        r1.put(x, "a.p", Value::from(1));
        carry(&mut r1, &mut g);
        g.settle();
        g.store.commit(Transaction::new(None).put("a.p".parse().unwrap(), Value::from(9))).unwrap();
        r1.store.end_session(x);
        carry(&mut r1, &mut g);
        g.settle();
        assert_eq!(g.store.get(&"a.p".parse().unwrap()), Some(Value::from(9)));
    }

    #[test]
    fn a_node_that_overtook_the_commit_that_makes_room_for_it_stands_after_it() {
        let (mut r1, mut g) = (End::new(), End::new());
        g.store.commit(Transaction::new(None).put("a.p".parse().unwrap(), Value::from(9))).unwrap();
        let x = r1.session("x");
        r1.put(x, "a.p", Value::from(1));
        carry(&mut r1, &mut g);
        r1.put(x, "a.p", Value::from(2));
        carry(&mut r1, &mut g);
        assert_eq!(g.shown(), "");
        g.received.retry(&g.store);
        assert_eq!(g.shown(), "", "it's still in the way");
        g.store.commit(Transaction::new(None).delete("a.p".parse().unwrap())).unwrap();
        g.received.retry(&g.store);
        assert_eq!(g.shown(), "a.p=2 of x");
        // Nothing is left to be tried, and what ended isn't.
        assert!(locked(&g.received.missed).is_empty());
    }

    #[test]
    fn nodes_in_roots_that_the_link_does_not_carry_are_passed_over() {
        let mut g = End::new();
        let leased = Leased {
            path: "z.p".parse().unwrap(),
            value: Value::Null,
            owner: TegaId::new("x").unwrap(),
            age_s: 0,
        };
        let said = Presence { full: true, put: vec![leased], ..Presence::default() };
        g.received.take(&g.store, &roots(), said);
        assert_eq!(g.shown(), "");
    }
}
