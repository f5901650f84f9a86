//! What goes over links, but for calls: writes to their home, reads that must be fresh, messages, and who is linked.
//!
//! A local server has one link, which leads to the global; the global has one to each local. Nothing goes back over the
//! link that it came by, and a local passes nothing on: so nothing goes round.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::links::{GlobalInfo, Links};
use super::state::Globals;
use super::{Frame, Hub, LinkInfo, LinkedRoot, Remote, Scope};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::message;
use crate::path::{Key, Path};
use crate::store::{Away, Channel, Error, Expect, Home, Op, Receipt, SessionId, Transaction, View};
use crate::system::now_ms;
use crate::value::Value;

/// The most roots of other homes that one fresh read may wait for.
const MAX_FRESH: usize = 64;

/// Who is linked.
impl Hub {
    pub(super) fn links(&self) -> MutexGuard<'_, Links> {
        // As for the state: nothing that runs under this lock panics.
        self.shared.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This server is a local one, whose global server has this address. To be called once, before the first link.
    pub fn follow_global(&self, address: impl Into<String>) {
        self.links().follow(address.into(), now_ms());
    }

    /// Why this local isn't linked, and what is being done about it: "connection refused; trying again in 4 s".
    pub fn set_link_state(&self, problem: &str) {
        self.links().set_problem(problem);
    }

    /// What [`Hub::sync`] is to do; it must be quick and mustn't use the hub.
    pub fn on_sync(&self, sync: impl Fn() + Send + Sync + 'static) {
        let mut known = self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Box::new(sync));
    }

    /// Makes a local connect to its global server at once, anew where it's linked. False: this isn't a local.
    pub fn sync(&self) -> bool {
        if !self.links().is_local() {
            return false;
        }
        let known = self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sync) = &*known {
            sync();
        }
        true
    }

    /// A local begins to connect to its global server: by a new look at the name and a new connection. Which time that is.
    pub fn begin_attempt(&self) -> u64 {
        let mut links = self.links();
        links.attempts += 1;
        links.attempts
    }

    /// How often a local began to connect to its global server. A link of a later attempt ([`Remote::attempt`]) is one
    /// over a connection that was opened after this was asked.
    pub fn attempts(&self) -> u64 {
        self.links().attempts
    }

    /// A link came up. Returns the one to the same server that it replaces, which is the caller's to end.
    pub fn link_up(&self, remote: Arc<dyn Remote>) -> Option<Arc<dyn Remote>> {
        let replaced = self.links().up(remote.clone(), now_ms());
        if self.links().is_local() {
            let mut told = self.told();
            let wanted = self.state().all_globals();
            for (text, regex) in &wanted {
                let channel = self.state().global_channel(text, *regex);
                if let Some(channel) = channel {
                    remote.listen(&channel, true);
                }
            }
            *told = wanted.into_iter().collect();
        }
        replaced
    }

    /// A link ended; `reason` is for people. Does nothing for one that was replaced, or that ended before.
    pub fn link_down(&self, remote: &dyn Remote, reason: &str) {
        let info = remote.info();
        self.links().down(remote, info, reason, now_ms());
    }

    /// These have sessions behind a link, instead of those before. Each link says so of its other end, once it's up.
    pub fn link_sessions(&self, remote: &dyn Remote, sessions: Arc<BTreeSet<TegaId>>) {
        self.links().sessions(remote, sessions);
    }

    /// The link to a server.
    pub fn link(&self, tega_id: &TegaId) -> Option<Arc<dyn Remote>> {
        self.links().get(tega_id)
    }

    /// Every link, those that are down as far as they are remembered, and the homes of roots that were never seen; in
    /// the order of the tega IDs.
    pub fn link_infos(&self) -> Vec<LinkInfo> {
        let (live, mut infos) = {
            let links = self.links();
            (links.live(), links.lost())
        };
        infos.extend(live.iter().map(|remote| remote.info()));
        let local = self.links().is_local();
        let known: BTreeSet<TegaId> = infos.iter().map(|info| info.tega_id.clone()).collect();
        let homes = self.shared.store.homes();
        for (name, Away { home, .. }) in
            homes.iter().filter(|(_, away)| !local && !known.contains(&away.home))
        {
            let root = self.never_linked(name, home);
            match infos.iter_mut().rev().find(|info| info.tega_id == *home) {
                Some(info) => info.roots.push(root),
                None => infos.push(LinkInfo {
                    tega_id: home.clone(),
                    address: String::new(),
                    up: false,
                    since_s: 0,
                    problem: Some("not linked since this server started".into()),
                    silent_ms: 0,
                    sessions: Vec::new(),
                    roots: vec![root],
                }),
            }
        }
        infos.sort_by(|a, b| a.tega_id.cmp(&b.tega_id));
        infos
    }

    fn never_linked(&self, name: &Key, home: &TegaId) -> LinkedRoot {
        let view = self.shared.store.view();
        let here = view.root(name).map(|root| (root.incarnation, root.version));
        LinkedRoot {
            name: name.clone(),
            home: home.clone(),
            here,
            there: None,
            stale_ms: None,
            refused: None,
        }
    }

    /// The link to a server: as it is, or as it was while it's remembered.
    pub fn link_info(&self, tega_id: &TegaId) -> Option<LinkInfo> {
        let (live, lost) = {
            let links = self.links();
            (links.get(tega_id), links.lost_one(tega_id))
        };
        // Outside of the lock: it's foreign code.
        live.map(|remote| remote.info()).or(lost)
    }

    /// How many links are up.
    pub fn links_up(&self) -> usize {
        self.links().count()
    }

    /// For a local: how it stands towards its global server. `None`: this is a global server.
    pub fn global(&self) -> Option<GlobalInfo> {
        self.links().global()
    }

    /// For a local: the link to its global server, where it's up.
    pub fn uplink(&self) -> Option<Arc<dyn Remote>> {
        self.links().uplink()
    }

    /// The link that leads to the home of a root, or the refusal that says why there's none.
    pub(super) fn link_to(&self, root: &Key, home: Option<&TegaId>) -> Result<Arc<dyn Remote>, Refusal> {
        let links = self.links();
        let found = match (links.is_local(), home) {
            (true, _) => links.uplink(),
            (false, Some(home)) => links.get(home),
            (false, None) => None,
        };
        found.ok_or_else(|| no_link(&links, root, home))
    }
}

fn no_link(links: &Links, root: &Key, home: Option<&TegaId>) -> Refusal {
    let message = match (links.global(), home) {
        (Some(global), _) => {
            let home = home.or(global.tega_id.as_ref()).map_or("the global server", TegaId::as_str);
            let problem = global.problem.unwrap_or_default();
            format!("the home of {root} is {home}; no link to {} {}: {problem}", global.address, global.since)
        }
        (None, Some(home)) => match links.when_lost(home) {
            Some((moment, reason)) => {
                format!("the home of {root} is {home}; no link from it {moment}: {reason}")
            }
            None => format!("the home of {root} is {home}; it wasn't linked since this server started"),
        },
        (None, None) => format!("the home of {root} is a global server, and this one has no --global"),
    };
    Refusal::new("no_link", format!("{message}; nothing happened"))
        .at(&Path::from_checked(vec![root.clone()]))
}

/// Where a transaction is committed.
enum Place {
    Here,
    There { root: Key, home: Option<TegaId> },
}

/// Writes and reads.
impl Hub {
    /// Commits a transaction at the home of its roots: here, or over a link. `done` is called once, from any thread.
    ///
    /// What is refused did not happen, but for the code `outcome_unknown`. `no_link` comes at once; nothing is queued.
    pub fn submit(
        &self,
        transaction: Transaction,
        done: impl FnOnce(Result<Receipt, Refusal>) + Send + 'static,
    ) {
        match self.place(&transaction) {
            Ok(Place::Here) => {
                self.shared.store.submit(transaction, move |outcome| done(outcome.map_err(Refusal::from)));
            }
            Ok(Place::There { root, home }) => match self.forwarded(transaction, &root, home.as_ref()) {
                Ok((remote, transaction)) => remote.write(transaction, Box::new(done)),
                Err(refusal) => done(Err(refusal)),
            },
            Err(refusal) => done(Err(refusal)),
        }
    }

    /// How a put at a path would be refused now, unless for its value or for what it expects. What another server that
    /// is home of it and linked would say isn't asked.
    pub fn may_put(&self, path: &Path) -> Result<(), Refusal> {
        match self.place(&Transaction::new(None).put(path.clone(), Value::Null))? {
            Place::Here => Ok(self.shared.store.may_put(path)?),
            Place::There { root, home } => self.link_to(&root, home.as_ref()).map(drop),
        }
    }

    fn place(&self, transaction: &Transaction) -> Result<Place, Refusal> {
        let store = &self.shared.store;
        let mut judged: Option<(&Key, Home)> = None;
        let mut ephemeral = None;
        let view = store.view();
        for op in &transaction.ops {
            let (root, path) = match op {
                Op::Put { path, .. } | Op::Delete { path, .. } => (path.root(), Some(path)),
                Op::Rollback { root, .. } => (Some(root), None),
            };
            // One without a root is the store's to refuse.
            let Some(root) = root else { return Ok(Place::Here) };
            let is_ephemeral = match op {
                Op::Put { ephemeral, .. } => *ephemeral,
                // What isn't versioned has no home.
                Op::Delete { path, .. } => only_ephemeral(&view, path),
                Op::Rollback { .. } => false,
            };
            if is_ephemeral {
                ephemeral = ephemeral.or(path);
                continue;
            }
            match &judged {
                Some((other, _)) if *other == root => {}
                Some((other, home)) => {
                    let this = store.home(root)?;
                    if this != *home {
                        return Err(self.two_homes((other, home), (root, &this)));
                    }
                }
                None => judged = Some((root, store.home(root)?)),
            }
        }
        match (judged, ephemeral) {
            (Some((root, home @ Home::Away(_))), Some(path)) => {
                let at = self.named(&home);
                let message = format!(
                    "{path} is ephemeral and belongs to this server, and the home of {root} is {at}: write them one \
                     after the other"
                );
                Err(Refusal::bad(message).at(path))
            }
            (Some((root, Home::Away(home))), None) => Ok(Place::There { root: root.clone(), home }),
            _ => Ok(Place::Here),
        }
    }

    fn two_homes(&self, a: (&Key, &Home), b: (&Key, &Home)) -> Refusal {
        Refusal::bad(format!(
            "one transaction touches roots of one home only: the home of {} is {}, that of {} is {}",
            a.0,
            self.named(a.1),
            b.0,
            self.named(b.1)
        ))
        .at(&Path::from_checked(vec![b.0.clone()]))
    }

    fn named(&self, home: &Home) -> String {
        match home {
            Home::Here => self.own_id().to_string(),
            Home::Away(Some(home)) => home.to_string(),
            Home::Away(None) => self
                .global()
                .and_then(|global| global.tega_id)
                .map_or("the global server".into(), |id| id.to_string()),
        }
    }

    /// The link, and the transaction as it goes over it: a relative rollback is meant relative to what is seen here.
    fn forwarded(
        &self,
        mut transaction: Transaction,
        root: &Key,
        home: Option<&TegaId>,
    ) -> Result<(Arc<dyn Remote>, Transaction), Refusal> {
        let remote = self.link_to(root, home)?;
        transaction.session = None;
        if let [Op::Rollback { root, back_to, expect }] = transaction.ops.as_mut_slice()
            && *back_to < 0
        {
            (*back_to, *expect) = self.absolute(root, *back_to)?;
        }
        Ok((remote, transaction))
    }

    /// The version that is meant by so many before the present one, and the present one.
    fn absolute(&self, root: &Key, back_to: i64) -> Result<(i64, Option<Expect>), Refusal> {
        let history = self.shared.store.history(root)?;
        let none = || Refusal::from(Error::NoVersion { root: root.clone(), version: back_to });
        let last = history.last().ok_or_else(none)?;
        let version = i64::try_from(last.version.0).map_err(|_| none())?;
        // The home may have a longer history than this replica, and judges.
        let meant = version.checked_add(back_to).filter(|meant| *meant >= 0).ok_or_else(none)?;
        Ok((meant, Some(Expect { version, incarnation: Some(last.incarnation) })))
    }

    /// Waits until a read of these roots here sees everything that their homes had acknowledged when it was asked.
    /// Roots whose home is here, and those that have none, cost nothing.
    pub fn fresh(&self, roots: Vec<Key>, done: impl FnOnce(Result<(), Refusal>) + Send + 'static) {
        let mut asked = Vec::new();
        for root in roots {
            match self.shared.store.home(&root) {
                Ok(Home::Away(home)) => match self.link_to(&root, home.as_ref()) {
                    Ok(remote) => asked.push((remote, root)),
                    Err(refusal) => return done(Err(refusal)),
                },
                Ok(Home::Here) | Err(Error::NoHome { .. }) => {}
                Err(error) => return done(Err(error.into())),
            }
        }
        if asked.len() > MAX_FRESH {
            let message = format!(
                "a fresh read waits for {MAX_FRESH} roots of other servers at most, and this is of {}; name one root",
                asked.len()
            );
            return done(Err(Refusal::bad(message)));
        }
        if asked.is_empty() {
            return done(Ok(()));
        }
        let all = Arc::new(All::new(asked.len(), Box::new(done)));
        for (remote, root) in asked {
            let all = all.clone();
            remote.fresh(&root, Box::new(move |outcome| all.one(outcome)));
        }
    }

    /// The roots that a read of everything sees, for [`Hub::fresh`].
    pub fn all_roots(&self) -> Vec<Key> {
        let view = self.shared.store.view();
        let mut roots: BTreeSet<Key> = view.roots().map(|(name, _)| name.clone()).collect();
        roots.extend(self.shared.store.homes().into_iter().map(|(name, _)| name));
        roots.into_iter().collect()
    }
}

/// Whether there's nothing but ephemeral nodes at a path and below it.
fn only_ephemeral(view: &View, path: &Path) -> bool {
    let persistent = || {
        let (root, keys) = path.keys().split_first()?;
        view.root(root).filter(|root| !root.ephemeral_only)?.tree.get(keys)
    };
    view.node(path).is_some() && persistent().is_none()
}

type DoneOnce = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// Waits for so many outcomes, and passes on the first refusal or that all went well.
struct All(Mutex<(usize, Option<DoneOnce>)>);

impl All {
    fn new(count: usize, done: DoneOnce) -> All {
        All(Mutex::new((count, Some(done))))
    }

    fn one(&self, outcome: Result<(), Refusal>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 = inner.0.saturating_sub(1);
        let over = outcome.is_err() || inner.0 == 0;
        let done = if over { inner.1.take() } else { None };
        // Outside of the lock: it's foreign code.
        drop(inner);
        if let Some(done) = done {
            done(outcome);
        }
    }
}

/// Messages, and changes that are told over links.
impl Hub {
    fn told(&self) -> MutexGuard<'_, BTreeSet<(String, bool)>> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the global server what sessions here listen to, as far as it changed.
    pub(super) fn tell_global(&self, changed: &Globals) {
        if changed.is_empty() {
            return;
        }
        let mut told = self.told();
        let Some(remote) = self.uplink() else { return };
        for (text, regex) in changed {
            let key = (text.clone(), *regex);
            let wanted = self.state().global_channel(text, *regex);
            match wanted {
                Some(channel) if told.insert(key.clone()) => remote.listen(&channel, true),
                None if told.remove(&key) => {
                    // It was a channel when it was subscribed.
                    let channel = if *regex {
                        Channel::regex(text).ok()
                    } else {
                        Path::parse(text).ok().map(Channel::Path)
                    };
                    if let Some(channel) = channel {
                        remote.listen(&channel, false);
                    }
                }
                _ => {}
            }
        }
    }

    /// Gives a message to the subscribers of a channel but not to `session`, its sender, and to the servers that are to
    /// have it. Returns how many sessions here got it; 0 for a channel that is no path, since nobody can listen to it.
    pub fn publish(&self, from: &TegaId, session: Option<SessionId>, channel: &str, body: &Value) -> usize {
        let Ok(path) = Path::parse(channel) else { return 0 };
        let remotes = {
            let links = self.links();
            if links.is_local() { links.uplink().into_iter().collect() } else { links.listeners(&path, None) }
        };
        for remote in remotes {
            remote.publish(from, channel, body);
        }
        self.give(from, session, &path, body, None)
    }

    /// As [`Hub::publish`], for a message that came over the link to `origin` and never goes back there. On a local
    /// only those get it who listen with the scope `global`.
    pub fn publish_by(&self, origin: &TegaId, from: &TegaId, channel: &str, body: &Value) -> usize {
        let Ok(path) = Path::parse(channel) else { return 0 };
        let (local, remotes) = {
            let links = self.links();
            let local = links.is_local();
            (local, if local { Vec::new() } else { links.listeners(&path, Some(origin)) })
        };
        for remote in remotes {
            remote.publish(from, channel, body);
        }
        self.give(from, None, &path, body, local.then_some(Scope::Global))
    }

    fn give(
        &self,
        from: &TegaId,
        session: Option<SessionId>,
        path: &Path,
        body: &Value,
        only: Option<Scope>,
    ) -> usize {
        let outboxes = self.state().listeners(path, session, only);
        if outboxes.is_empty() {
            return 0;
        }
        let mut frame = String::new();
        message::message(&mut frame, path, from, &body.to_string());
        let frame: Arc<str> = frame.into();
        outboxes.iter().filter(|outbox| outbox.push(Frame::Shared(frame.clone()))).count()
    }

    /// A linked server begins or ends to listen to a channel, until its link ends.
    pub fn listen(&self, link: &TegaId, channel: &Channel, on: bool) -> Result<(), Refusal> {
        self.links().listen(link, channel, on)?;
        if on {
            self.tell_legacy(None, channel);
        }
        Ok(())
    }
}
