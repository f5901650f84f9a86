//! Ephemeral nodes over a link: those of sessions at the other end stand here too, and those of sessions here there.
//!
//! [`Sending`] compares what stands here with what the other end was told, and says the difference: the whole set on a
//! new link, then what came and went. [`Received`] holds each node by a session of its own in the store, so that
//! ending the session removes exactly that node, and only if it still stands. It outlives its link for the grace
//! period: a link that comes back in time finds its nodes in place, and nothing flickers.
//!
//! Presence is a lease and not a commit: a node that the store refuses is passed over. Where it's refused for now
//! (something stands in its way, too much waits), it's put again every second ([`Received::retry`]) until it stands or
//! is gone at the other end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use super::remote::locked;
use crate::commit::TegaId;
use crate::message::link::body::{Leased, Presence};
use crate::path::{Key, Path};
use crate::store::{Error, SessionId, Store, Transaction};
use crate::tree::Stamp;
use crate::value::{MAX_TEXT, Value};

/// About how many bytes of nodes stand in one frame.
const FRAME: usize = 64 << 10;

/// The longest node that is told, in bytes of its text: beside others it must fit into a message.
const LONGEST: usize = MAX_TEXT - FRAME;

/// The most nodes that one link may keep at the other end.
pub(super) const MAX_NODES: usize = 10_000;

/// How many nodes that were refused are put again at once.
const RETRIES: usize = 256;

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
                let weight = 64 + path_len(&lease.path) + value.text_len();
                let before = self.told.insert(lease.path.clone(), now);
                if weight > LONGEST {
                    // Seen here alone: with it the other end would end the link. What it saw there before is old.
                    log::warn!("{} is too long to be seen over a link: {weight} bytes", lease.path);
                    if before.is_some() {
                        room = room.saturating_sub(path_len(&lease.path));
                        said.gone.push(lease.path);
                    }
                    continue;
                }
                room = room.saturating_sub(weight);
                said.put.push(Leased {
                    path: lease.path,
                    value,
                    owner: lease.tega_id,
                    age_s: lease.age.as_secs(),
                });
            }
        }
        // Outside of the whole set, what went is said by name; what there's no room for, in the next frame.
        let gone: Vec<Path> = self.told.keys().filter(|path| !there.contains(*path)).cloned().collect();
        for path in gone {
            if room == 0 {
                break;
            }
            room = room.saturating_sub(path_len(&path));
            self.told.remove(&path);
            said.gone.push(path);
        }
        said.more = more && !self.whole;
        let anything = !self.whole || !said.put.is_empty() || !said.gone.is_empty();
        self.begun = true;
        self.whole = self.whole || !more;
        anything.then_some(said)
    }
}

/// How many bytes a path takes as a JSON text.
fn path_len(path: &Path) -> usize {
    Value::from(path.to_string()).text_len()
}

/// A node of a session at the other end.
struct Standing {
    owner: TegaId,
    session: SessionId,
    /// Of its last put: an older one isn't tried again.
    number: u64,
}

/// A node that is to be put again.
struct Put {
    path: Path,
    value: Value,
    number: u64,
}

/// Whether what was refused so may be taken later.
fn is_for_now(error: &Error) -> bool {
    use Error::*;
    matches!(
        error,
        Busy | Ephemeral { .. } | Conflict { .. } | TooLarge { .. } | ReadOnly { .. } | NoSpace { .. }
    )
}

/// The nodes of the other end's sessions.
#[derive(Default)]
pub(super) struct Received {
    nodes: BTreeMap<Path, Standing>,
    sessions: BTreeSet<SessionId>,
    /// The number of the last put.
    last: u64,
    /// Nodes that were refused for now; the store's thread adds to them. At most one for each put of a node.
    refused: Arc<Mutex<VecDeque<Put>>>,
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
        let number = self.last;
        self.nodes.insert(path.clone(), Standing { owner, session, number });
        self.submit(store, Put { path, value, number }, true);
    }

    /// Puts a node, if that is still its last word; `told`: that it's refused is worth a line of the log.
    fn submit(&self, store: &Store, put: Put, told: bool) {
        let Some(node) = self.nodes.get(&put.path).filter(|node| node.number == put.number) else { return };
        let transaction =
            Transaction { session: Some(node.session), ..Transaction::new(Some(node.owner.clone())) };
        let refused = self.refused.clone();
        store.submit(transaction.put_ephemeral(put.path.clone(), put.value.clone()), move |outcome| {
            let Err(error) = outcome else { return };
            if told {
                log::info!("an ephemeral node of the other end can't stand at {}: {error}", put.path);
            }
            if is_for_now(&error) {
                locked(&refused).push_back(put);
            }
        });
    }

    /// Puts those again that were refused for now, some of them at a time. To be called about once a second.
    pub(super) fn retry(&self, store: &Store) {
        // Taken out first: those that are refused at once come back.
        let again: Vec<Put> = {
            let mut refused = locked(&self.refused);
            let count = refused.len().min(RETRIES);
            refused.drain(..count).collect()
        };
        for put in again {
            self.submit(store, put, false);
        }
    }

    fn remove(&mut self, store: &Store, path: &Path) {
        if let Some(node) = self.nodes.remove(path) {
            self.sessions.remove(&node.session);
            store.end_session(node.session);
        }
    }

    /// The other end won't come back: its nodes go.
    pub(super) fn clear(&mut self, store: &Store) {
        for session in std::mem::take(&mut self.sessions) {
            store.end_session(session);
        }
        self.nodes.clear();
        locked(&self.refused).clear();
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
        let owners: BTreeSet<&TegaId> = self.nodes.values().map(|node| &node.owner).collect();
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
    use crate::message::{MAX_MESSAGE, link};
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
            assert!(link::presence(&said).len() <= MAX_MESSAGE);
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
    fn many_long_names_come_and_go_in_frames_that_the_other_end_takes() {
        let (mut r1, mut g) = (End::new(), End::new());
        let x = r1.session("x");
        let long = |at: usize| format!("a{}.n{at}", format!(".{}", "k".repeat(500)).repeat(10));
        for at in 0..300 {
            r1.put(x, &long(at), Value::from(1));
        }
        assert!(carry(&mut r1, &mut g) > 20);
        g.settle();
        assert_eq!(g.store.ephemeral(&Path::TOP).len(), 300);
        r1.store.end_session(x);
        assert!(carry(&mut r1, &mut g) > 20);
        assert_eq!(g.shown(), "");
    }

    #[test]
    fn a_node_that_became_too_long_is_seen_no_more() {
        let (mut r1, mut g) = (End::new(), End::new());
        let x = r1.session("x");
        r1.put(x, "a.p", Value::from(1));
        carry(&mut r1, &mut g);
        assert_eq!(g.shown(), "a.p=1 of x");
        r1.put(x, "a.p", Value::from("x".repeat(LONGEST)));
        carry(&mut r1, &mut g);
        assert_eq!((g.shown().as_str(), carry(&mut r1, &mut g)), ("", 0));
        r1.put(x, "a.p", Value::from(2));
        carry(&mut r1, &mut g);
        assert_eq!(g.shown(), "a.p=2 of x");
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
    fn a_node_that_is_refused_for_now_is_put_again_with_its_last_value_until_it_stands_or_is_gone() {
        let (mut r1, mut g) = (End::new(), End::new());
        let (x, y) = (r1.session("x"), g.session("y"));
        r1.put(x, "a.p.q", Value::from(1));
        r1.put(x, "a.r.q", Value::from(1));
        g.put(y, "a.p", Value::from(0));
        g.put(y, "a.r", Value::from(0));
        carry(&mut r1, &mut g);
        g.received.retry(&g.store);
        assert_eq!(g.shown(), "a.p=0 of y, a.r=0 of y");
        r1.put(x, "a.p.q", Value::from(2));
        carry(&mut r1, &mut g);
        g.store.commit(Transaction::new(None).delete("a.p".parse().unwrap())).unwrap();
        g.settle();
        g.received.retry(&g.store);
        assert_eq!(g.shown(), "a.p.q=2 of x, a.r=0 of y");
        r1.store.end_session(x);
        carry(&mut r1, &mut g);
        g.store.end_session(y);
        g.settle();
        g.received.retry(&g.store);
        assert_eq!(g.shown(), "");
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
