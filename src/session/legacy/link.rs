//! The link as the hub sees it, and the way of the local's changes into the store.
//!
//! Its changes are committed one after the other, in the order in which they came: what a DELETE meets, and which version
//! a rollback means, depend on what was before. Nobody else writes these roots, so what is published when a commit is
//! made is what it's judged against. A DELETE of what isn't here is passed over, since the local has more than it ever
//! sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::super::ask::Asking;
use super::super::live::Live;
use crate::api::allow;
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::{End, Frame, Hub, LinkInfo, LinkedRoot, Outbox, Remote, RemoteDone};
use crate::message::original::Told;
use crate::message::{self, original};
use crate::path::{Key, Path};
use crate::store::{Away, Channel, Error, Home, Op, Receipt, SessionId, Store, Transaction};
use crate::token::Access;
use crate::value::Value;

/// Bytes of changes that may wait to be committed; beyond it nothing more is read.
const MAX_WAITING: usize = 256 << 10;

/// The most channels that it's asked for.
const MAX_TOLD: usize = 10_000;

/// How many states back a rollback may lead; the original keeps ten.
const MAX_LINEAGE: usize = 64;

/// An original local server that is connected.
pub(in crate::session) struct LegacyLink {
    tega_id: TegaId,
    session: SessionId,
    address: String,
    hub: Hub,
    store: Store,
    /// Not the outbox itself: it holds the waker of the task that holds the link.
    outbox: Weak<Outbox>,
    since: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The channels that it was asked for.
    told: BTreeSet<String>,
    follows: BTreeSet<Key>,
    serves: BTreeMap<Key, Served>,
    refused: BTreeMap<Key, String>,
    queue: VecDeque<Step>,
    /// Bytes of the frames of `queue`, and of the commit under way.
    waiting: usize,
    /// A commit is under way.
    busy: bool,
    /// Somebody is in [`LegacyLink::pump`].
    pumping: bool,
    /// The session ended.
    over: bool,
    heard: Option<Instant>,
}

/// One of its own roots.
#[derive(Default)]
struct Served {
    /// This server's version of each state that the local can go back to, the present one last; `None`: there was no
    /// such root. The original's rollback drops the states after its target.
    lineage: Vec<Option<u64>>,
    /// What of its changes didn't get here.
    problem: Option<String>,
}

/// What is one commit.
struct Step {
    what: What,
    bytes: usize,
}

enum What {
    Changes(Vec<Told>),
    Rollback { root: Key, back_to: Option<i64> },
}

/// What a commit means for the lineage of the roots that it touches.
enum Mark {
    Next(BTreeSet<Key>),
    Back(Key, usize),
}

impl LegacyLink {
    pub(super) fn new(asking: &Asking<'_>, live: &Live) -> Arc<LegacyLink> {
        Arc::new(LegacyLink {
            tega_id: live.tega_id.clone(),
            session: live.session,
            address: live.peer.clone(),
            hub: asking.hub.clone(),
            store: asking.store.clone(),
            outbox: Arc::downgrade(asking.outbox),
            since: Instant::now(),
            inner: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came from it.
    pub(in crate::session) fn hear(&self) {
        self.lock().heard = Some(Instant::now());
    }

    /// So much waits to be committed that nothing more is to be read. It's poked when that is over.
    pub(in crate::session) fn is_behind(&self) -> bool {
        self.lock().waiting > MAX_WAITING
    }

    /// The session ended: what still waits is dropped.
    pub(in crate::session) fn over(&self) {
        let mut inner = self.lock();
        inner.over = true;
        inner.queue.clear();
    }

    pub(super) fn poke(&self) {
        if let Some(outbox) = self.outbox.upgrade() {
            outbox.poke();
        }
    }

    pub(super) fn follow(&self, root: &Key) {
        let mut inner = self.lock();
        inner.refused.remove(root);
        inner.follows.insert(root.clone());
    }

    pub(super) fn refuse(&self, root: Key, reason: String) {
        self.lock().refused.insert(root, reason);
    }

    pub(super) fn serves(&self, root: &Key) -> bool {
        self.lock().serves.contains_key(root)
    }

    /// Whether a root may be its own, and what is to be recorded of it.
    pub(super) fn claim(&self, root: &Key, follows: bool, access: &Access) -> Result<Option<Away>, Refusal> {
        let (id, path) = (&self.tega_id, Path::from_checked(vec![root.clone()]));
        allow::write(access, &path)?;
        let conflict = |message: String| Err(Refusal::new("conflict", message).at(&path));
        if follows {
            return conflict(format!("{root} is a config root that it follows"));
        }
        let away = Away { home: id.clone(), handover: false };
        match self.store.home(root)? {
            Home::Away(Some(home)) if home == *id => {
                let recorded =
                    self.store.homes().into_iter().any(|(name, known)| name == *root && known == away);
                Ok((!recorded).then_some(away))
            }
            Home::Away(Some(home)) => {
                conflict(format!("the home of {root} is {home}; `tega home {root} {id}` would move it"))
            }
            Home::Away(None) => conflict(format!("the home of {root} isn't known")),
            Home::Here if self.store.view().root(root).is_some_and(|root| !root.ephemeral_only) => conflict(
                format!("{root} is this server's own root; `tega home {root} {id}` gives it to {id}"),
            ),
            Home::Here => Ok(Some(away)),
        }
    }

    /// A root is recorded as its own; returns what it's to be sent, the first time.
    pub(super) fn serve(&self, root: Key) -> Option<String> {
        {
            let mut inner = self.lock();
            inner.refused.remove(&root);
            inner.serves.entry(root.clone()).or_default();
        }
        self.tell(&Channel::Path(Path::from_checked(vec![root])))
    }

    /// The SUBSCRIBE for a channel; `None`: it was asked for it before, or can't be.
    pub(super) fn tell(&self, channel: &Channel) -> Option<String> {
        let Channel::Path(path) = channel else { return None };
        let word = original::word(path)?;
        let mut inner = self.lock();
        if inner.told.len() >= MAX_TOLD || !inner.told.insert(word.clone()) {
            return None;
        }
        let mut frame = String::new();
        original::subscribe(&mut frame, &word);
        Some(frame)
    }

    /// Takes a NOTIFY of this length: what is of its own roots will be committed. Returns the other roots in it.
    pub(super) fn take(self: &Arc<Self>, entries: Vec<Told>, bytes: usize) -> BTreeSet<Key> {
        let mut others = BTreeSet::new();
        {
            let mut inner = self.lock();
            let mut changes = Vec::new();
            let mut steps = Vec::new();
            for entry in entries {
                let Some(root) = entry.path().root().cloned() else { continue };
                if !inner.serves.contains_key(&root) {
                    others.insert(root);
                    continue;
                }
                match entry {
                    Told::Rollback { root, instance: Some(instance), .. } => {
                        changes.push(Told::Put(root, instance))
                    }
                    Told::Rollback { back_to, .. } => {
                        if !changes.is_empty() {
                            steps.push(What::Changes(std::mem::take(&mut changes)));
                        }
                        steps.push(What::Rollback { root, back_to });
                    }
                    change => changes.push(change),
                }
            }
            if !changes.is_empty() {
                steps.push(What::Changes(changes));
            }
            let mut bytes = bytes;
            for what in steps {
                let step = Step { what, bytes: std::mem::take(&mut bytes) };
                inner.waiting += step.bytes;
                inner.queue.push_back(step);
            }
        }
        self.pump();
        others
    }

    /// Commits what waits, one after the other. A loop, for a commit may be refused at once.
    fn pump(self: &Arc<Self>) {
        if std::mem::replace(&mut self.lock().pumping, true) {
            return;
        }
        loop {
            let step = {
                let mut inner = self.lock();
                let next = if inner.busy { None } else { inner.queue.pop_front() };
                inner.busy |= next.is_some();
                let Some(step) = next else {
                    inner.pumping = false;
                    return;
                };
                step
            };
            let bytes = step.bytes;
            match self.build(step.what) {
                Ok((transaction, mark)) if transaction.ops.is_empty() => self.done(mark, bytes, None),
                Ok((transaction, mark)) => {
                    let link = self.clone();
                    self.store.submit(transaction, move |outcome| link.done(mark, bytes, Some(outcome)));
                }
                Err((root, problem)) => {
                    self.lost(&root, problem);
                    self.done(Mark::Next(BTreeSet::new()), bytes, None);
                }
            }
        }
    }

    /// What a step comes to; the error names a root and says why nothing does.
    fn build(&self, what: What) -> Result<(Transaction, Mark), (Key, String)> {
        let mut transaction = Transaction::new(Some(self.tega_id.clone()));
        transaction.session = Some(self.session);
        let mark = match what {
            What::Changes(changes) => {
                let mut touched = BTreeSet::new();
                for change in changes {
                    let Some(root) = change.path().root().cloned() else { continue };
                    if touched.insert(root.clone()) {
                        self.check_home(&root)?;
                        self.begin_lineage(&root);
                    }
                    match change {
                        Told::Put(path, value) => {
                            transaction.ops.push(Op::Put { path, value, expect: None, ephemeral: false });
                        }
                        Told::Delete(path) if self.is_there(&path, &transaction.ops) => {
                            transaction.ops.push(Op::Delete { path, expect: None });
                        }
                        _ => {}
                    }
                }
                Mark::Next(touched)
            }
            What::Rollback { root, back_to } => {
                self.check_home(&root)?;
                let Some((at, version)) = self.target(&root, back_to) else {
                    let problem = "a rollback led to a state that was never sent here".to_string();
                    return Err((root, problem));
                };
                let path = Path::from_checked(vec![root.clone()]);
                match version.map(i64::try_from) {
                    Some(Ok(back_to)) => {
                        transaction.ops.push(Op::Rollback { root: root.clone(), back_to, expect: None });
                    }
                    _ if self.is_there(&path, &[]) => transaction.ops.push(Op::Delete { path, expect: None }),
                    _ => {}
                }
                Mark::Back(root, at)
            }
        };
        Ok((transaction, mark))
    }

    /// An administrator may have given the root to another server.
    fn check_home(&self, root: &Key) -> Result<(), (Key, String)> {
        match self.store.home(root) {
            Ok(Home::Away(Some(home))) if home == self.tega_id => Ok(()),
            _ => Err((root.clone(), "it isn't its home any more".into())),
        }
    }

    /// Whether there's a node, once these operations are done. The parents that they leave empty aren't seen to.
    fn is_there(&self, path: &Path, ops: &[Op]) -> bool {
        for op in ops.iter().rev() {
            match op {
                Op::Put { path: put, value, .. } if put.contains(path) => {
                    let below = path.keys().get(put.len()..).unwrap_or_default();
                    let mut value = Some(value);
                    for key in below {
                        value = value.and_then(|value| value.get(key));
                    }
                    return value.is_some();
                }
                Op::Put { path: put, .. } if path.contains(put) => return true,
                Op::Delete { path: gone, .. } if gone.contains(path) => return false,
                _ => {}
            }
        }
        self.store.view().node(path).is_some()
    }

    fn version(&self, root: &Key) -> Option<u64> {
        self.store.view().root(root).filter(|root| !root.ephemeral_only).map(|root| root.version.0)
    }

    fn begin_lineage(&self, root: &Key) {
        let version = self.version(root);
        if let Some(served) = self.lock().serves.get_mut(root)
            && served.lineage.is_empty()
        {
            served.lineage.push(version);
        }
    }

    /// The state that a rollback leads to: its place in the lineage, and its version here.
    fn target(&self, root: &Key, back_to: Option<i64>) -> Option<(usize, Option<u64>)> {
        let back = back_to.filter(|back| *back < 0)?.unsigned_abs();
        let inner = self.lock();
        let lineage = &inner.serves.get(root)?.lineage;
        let at = lineage.len().checked_sub(1)?.checked_sub(usize::try_from(back).ok()?)?;
        Some((at, *lineage.get(at)?))
    }

    /// A step is over; `None`: there was nothing to commit.
    fn done(self: &Arc<Self>, mark: Mark, bytes: usize, outcome: Option<Result<Receipt, Error>>) {
        let failed = outcome.and_then(Result::err).map(|error| error.to_string());
        let roots = match &mark {
            Mark::Next(roots) => roots.clone(),
            Mark::Back(root, _) => BTreeSet::from([root.clone()]),
        };
        let behind = {
            let versions: Vec<Option<u64>> = roots.iter().map(|root| self.version(root)).collect();
            let back = if let Mark::Back(_, at) = mark { Some(at) } else { None };
            let mut inner = self.lock();
            for (root, version) in roots.iter().zip(versions).filter(|_| failed.is_none()) {
                if let Some(served) = inner.serves.get_mut(root) {
                    served.step(version, back);
                }
            }
            let behind = inner.waiting > MAX_WAITING;
            inner.waiting = inner.waiting.saturating_sub(bytes);
            inner.busy = false;
            behind
        };
        if let Some(problem) = failed {
            roots.iter().for_each(|root| self.lost(root, problem.clone()));
        }
        if behind {
            self.poke();
        }
        self.pump();
    }

    fn lost(&self, root: &Key, problem: String) {
        if self.lock().over {
            return;
        }
        log::warn!(
            "a change of {root} by {}, an original local server, is lost here: {problem}",
            self.tega_id
        );
        if let Some(served) = self.lock().serves.get_mut(root) {
            served.problem = Some(format!("a change was lost: {problem}"));
        }
    }
}

impl Served {
    /// The root has this version now; `back`: it went back to this place of the lineage.
    fn step(&mut self, version: Option<u64>, back: Option<usize>) {
        if let Some(at) = back {
            self.lineage.truncate(at);
        }
        self.lineage.push(version);
        if self.lineage.len() > MAX_LINEAGE {
            self.lineage.remove(0);
        }
    }
}

impl Remote for LegacyLink {
    fn tega_id(&self) -> &TegaId {
        &self.tega_id
    }

    fn write(&self, transaction: Transaction, done: RemoteDone<Receipt>) {
        let path = transaction.ops.first().and_then(|op| match op {
            Op::Put { path, .. } | Op::Delete { path, .. } => path.root().cloned(),
            Op::Rollback { root, .. } => Some(root.clone()),
        });
        let root = Path::from_checked(path.into_iter().collect());
        let (id, own) = (&self.tega_id, self.hub.own_id());
        let message = format!(
            "{root} is written by {id} alone, an original local server (legacy), which takes no writes from here: write \
             there, or `tega home {root} {own} --force` takes the root over; nothing happened"
        );
        done(Err(Refusal::new("forbidden", message).at(&root)));
    }

    /// What such a server notifies is committed here, and acknowledged nowhere else: a read here shows all that there is.
    fn fresh(&self, _root: &Key, done: RemoteDone<()>) {
        done(Ok(()));
    }

    fn call(
        &self,
        caller: &TegaId,
        path: &Path,
        arguments: &Value,
        time: std::time::Duration,
        done: RemoteDone<Value>,
    ) {
        self.hub.call_session(self.session, caller, path, arguments, time, done);
    }

    fn publish(&self, from: &TegaId, channel: &str, body: &Value) {
        let (Ok(path), Some(outbox)) = (Path::parse(channel), self.outbox.upgrade()) else { return };
        let mut frame = String::new();
        message::message(&mut frame, &path, from, &body.to_string());
        outbox.push(Frame::Own(frame));
    }

    fn listen(&self, channel: &Channel, on: bool) {
        if !on {
            return;
        }
        if let (Some(frame), Some(outbox)) = (self.tell(channel), self.outbox.upgrade()) {
            outbox.push(Frame::Own(frame));
        }
    }

    fn owns(&self, session: SessionId) -> bool {
        session == self.session
    }

    fn end(&self, reason: &str) {
        if let Some(outbox) = self.outbox.upgrade() {
            outbox.end(End { code: 4010, reason: reason.into() });
        }
    }

    fn follows(&self, root: &Key) -> bool {
        self.lock().follows.contains(root)
    }

    fn is_legacy(&self) -> bool {
        true
    }

    fn info(&self) -> LinkInfo {
        let view = self.store.view();
        let root = |name: &Key, home: &TegaId, refused: Option<String>| LinkedRoot {
            name: name.clone(),
            home: home.clone(),
            here: view.root(name).map(|root| (root.incarnation, root.version)),
            there: None,
            stale_ms: None,
            refused,
        };
        let inner = self.lock();
        let own = self.hub.own_id();
        let mut roots: Vec<LinkedRoot> = inner.follows.iter().map(|name| root(name, own, None)).collect();
        roots.extend(inner.serves.iter().map(|(name, it)| root(name, &self.tega_id, it.problem.clone())));
        roots.extend(inner.refused.iter().map(|(name, reason)| root(name, own, Some(reason.clone()))));
        let silent = inner.heard.unwrap_or(self.since).elapsed();
        LinkInfo {
            tega_id: self.tega_id.clone(),
            address: self.address.clone(),
            up: !inner.over,
            since_s: self.since.elapsed().as_secs(),
            problem: Some("legacy: an original local server".into()),
            silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
            sessions: Vec::new(),
            roots,
        }
    }
}
