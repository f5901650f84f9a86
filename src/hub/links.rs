//! The registry of links: who is linked now, who was, which of them listen to what, and whose sessions are behind them.
//! Plain data, without a clock or a socket.
//!
//! A call of a leaf goes to where its owner is, and among thousands of links that one is found by two ordered indexes,
//! which links carry a root and which have somebody's sessions: both are walked together, and each step passes over all
//! that only one of them has.
//!
//! Invariants: nobody is in `live` and in `lost` at once; who listens is live; the indexes have what `reach` has, which
//! is of live links and no more for each than a link carries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::{LinkInfo, Remote};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::store::Channel;
use crate::tree::ChannelPattern;

/// The most servers that are remembered after their link ended.
const MAX_LOST: usize = 100_000;

/// The most channels that one link may listen to: the sessions of a whole server stand behind it.
const MAX_LISTENING: usize = 10_000;

/// How a local server stands towards its global one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalInfo {
    /// Where the global server is, as the local was told.
    pub address: String,
    /// Its tega ID, once it was linked.
    pub tega_id: Option<TegaId>,
    /// It's linked now.
    pub up: bool,
    /// Since when that is so.
    pub since: Moment,
    /// Why it isn't linked, and what is being done.
    pub problem: Option<String>,
}

/// When something was, for people. The clock may be wrong: a router boots in 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Seconds since then.
    pub ago_s: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.at_ms / 1000 % 86_400;
        write!(f, "since {:02}:{:02}:{:02} UTC ({} s ago)", s / 3600, s / 60 % 60, s % 60, self.ago_s)
    }
}

/// A moment by both clocks: the hub's own, which only counts, and the machine's.
#[derive(Clone, Copy, Default)]
struct Stamp {
    clock: Duration,
    at_ms: u64,
}

struct Lost {
    info: LinkInfo,
    at: Stamp,
    /// Its place in `order`.
    number: u64,
}

struct Global {
    address: String,
    tega_id: Option<TegaId>,
    since: Stamp,
    problem: String,
}

#[derive(Default)]
pub(super) struct Links {
    live: BTreeMap<TegaId, Arc<dyn Remote>>,
    /// Those of `live` that are original servers.
    legacy: BTreeMap<TegaId, Arc<dyn Remote>>,
    lost: BTreeMap<TegaId, Lost>,
    /// Those of `lost`, oldest first.
    order: BTreeMap<u64, TegaId>,
    last: u64,
    /// Set on a local server.
    global: Option<Global>,
    by_channel: HashMap<Arc<str>, Vec<TegaId>>,
    by_link: BTreeMap<TegaId, Vec<Listening>>,
    reach: BTreeMap<TegaId, Reach>,
    /// The roots of `reach`, each with the link.
    by_root: Index<Key>,
    /// The sessions of `reach`, each with the link.
    by_session: Index<TegaId>,
    clock: Duration,
    /// How often a local began to connect to its global server.
    pub(super) attempts: u64,
}

/// What a link leads to.
#[derive(Default)]
struct Reach {
    /// The roots that it carries.
    roots: Vec<Key>,
    /// Who has a session there, as it said last.
    sessions: Arc<BTreeSet<TegaId>>,
}

/// Names, each with a link. `None` is before every link, and only there to be asked for.
type Index<T> = BTreeSet<(T, Option<TegaId>)>;

/// A channel that a link listens to.
struct Listening {
    text: Arc<str>,
    regex: Option<ChannelPattern>,
}

impl Links {
    pub(super) fn tick(&mut self, elapsed: Duration) {
        self.clock += elapsed;
    }

    fn stamp(&self, now_ms: u64) -> Stamp {
        Stamp { clock: self.clock, at_ms: now_ms }
    }

    fn moment(&self, stamp: Stamp) -> Moment {
        Moment { at_ms: stamp.at_ms, ago_s: self.clock.saturating_sub(stamp.clock).as_secs() }
    }

    /// This server is a local one.
    pub(super) fn follow(&mut self, address: String, now_ms: u64) {
        let problem = "not linked yet".into();
        self.global = Some(Global { address, tega_id: None, since: self.stamp(now_ms), problem });
    }

    pub(super) fn is_local(&self) -> bool {
        self.global.is_some()
    }

    pub(super) fn set_problem(&mut self, problem: &str) {
        if let Some(global) = &mut self.global {
            global.problem = problem.into();
        }
    }

    pub(super) fn up(&mut self, remote: Arc<dyn Remote>, now_ms: u64) -> Option<Arc<dyn Remote>> {
        let id = remote.tega_id().clone();
        let stamp = self.stamp(now_ms);
        if let Some(global) = &mut self.global {
            global.tega_id = Some(id.clone());
            global.since = stamp;
        }
        self.forget_lost(&id);
        self.end_listening(&id);
        self.end_reach(&id);
        self.legacy.remove(&id);
        if remote.is_legacy() {
            self.legacy.insert(id.clone(), remote.clone());
        }
        let roots = remote.carries();
        self.by_root.extend(roots.iter().map(|root| (root.clone(), Some(id.clone()))));
        self.reach.insert(id.clone(), Reach { roots, ..Reach::default() });
        self.live.insert(id, remote)
    }

    fn is_live(&self, remote: &dyn Remote) -> bool {
        let known = self.live.get(remote.tega_id());
        known.is_some_and(|known| std::ptr::addr_eq(Arc::as_ptr(known), remote))
    }

    fn end_reach(&mut self, id: &TegaId) {
        let Reach { roots, sessions } = self.reach.remove(id).unwrap_or_default();
        for root in roots {
            self.by_root.remove(&(root, Some(id.clone())));
        }
        for session in &*sessions {
            self.by_session.remove(&(session.clone(), Some(id.clone())));
        }
    }

    /// These have sessions behind a link, instead of those that it named before.
    pub(super) fn sessions(&mut self, remote: &dyn Remote, sessions: Arc<BTreeSet<TegaId>>) {
        if !self.is_live(remote) {
            return;
        }
        let id = remote.tega_id();
        let reach = self.reach.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut reach.sessions, sessions);
        for gone in before.difference(&reach.sessions) {
            self.by_session.remove(&(gone.clone(), Some(id.clone())));
        }
        let new = reach.sessions.difference(&before);
        self.by_session.extend(new.map(|new| (new.clone(), Some(id.clone()))));
    }

    /// The first link in the order of the tega IDs, after this one, that carries a root and has somebody's session
    /// behind it.
    pub(super) fn reaching(
        &self,
        owner: &TegaId,
        root: &Key,
        after: Option<&TegaId>,
    ) -> Option<Arc<dyn Remote>> {
        let mut from = after.map_or(Bound::Unbounded, Bound::Excluded);
        loop {
            let has = next_link(&self.by_session, owner, from)?;
            let carries = next_link(&self.by_root, root, from)?;
            if has == carries {
                return self.get(has);
            }
            from = Bound::Included(has.max(carries));
        }
    }

    /// False: it was replaced before.
    pub(super) fn down(&mut self, remote: &dyn Remote, info: LinkInfo, reason: &str, now_ms: u64) -> bool {
        let id = remote.tega_id();
        if !self.is_live(remote) {
            return false;
        }
        self.live.remove(id);
        self.legacy.remove(id);
        self.end_reach(id);
        self.end_listening(id);
        let at = self.stamp(now_ms);
        if let Some(global) = &mut self.global {
            global.since = at;
            global.problem = reason.into();
        }
        let problem = Some(reason.to_string());
        let info = LinkInfo { up: false, problem, sessions: Vec::new(), ..info };
        self.last += 1;
        self.order.insert(self.last, id.clone());
        self.lost.insert(id.clone(), Lost { info, at, number: self.last });
        while self.lost.len() > MAX_LOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.lost.remove(&oldest);
        }
        true
    }

    fn forget_lost(&mut self, id: &TegaId) {
        if let Some(lost) = self.lost.remove(id) {
            self.order.remove(&lost.number);
        }
    }

    pub(super) fn get(&self, id: &TegaId) -> Option<Arc<dyn Remote>> {
        self.live.get(id).cloned()
    }

    pub(super) fn live(&self) -> Vec<Arc<dyn Remote>> {
        self.live.values().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// A local's link to the global server.
    pub(super) fn uplink(&self) -> Option<Arc<dyn Remote>> {
        self.global.as_ref().and_then(|_| self.live.values().next().cloned())
    }

    pub(super) fn global(&self) -> Option<GlobalInfo> {
        let global = self.global.as_ref()?;
        let up = !self.live.is_empty();
        Some(GlobalInfo {
            address: global.address.clone(),
            tega_id: global.tega_id.clone(),
            up,
            since: self.moment(global.since),
            problem: (!up).then(|| global.problem.clone()),
        })
    }

    /// Those that were linked and aren't now.
    pub(super) fn lost(&self) -> Vec<LinkInfo> {
        self.lost.values().map(|lost| self.told(lost)).collect()
    }

    /// This one, if it was linked and isn't now.
    pub(super) fn lost_one(&self, id: &TegaId) -> Option<LinkInfo> {
        self.lost.get(id).map(|lost| self.told(lost))
    }

    /// A local knows better than the broken link did what is wrong by now.
    fn told(&self, lost: &Lost) -> LinkInfo {
        let now = self.global.as_ref().map(|global| &global.problem);
        LinkInfo {
            since_s: self.moment(lost.at).ago_s,
            problem: now.or(lost.info.problem.as_ref()).cloned(),
            ..lost.info.clone()
        }
    }

    /// When this one was lost, and why; `None`: it wasn't linked since this server began.
    pub(super) fn when_lost(&self, id: &TegaId) -> Option<(Moment, String)> {
        let lost = self.lost.get(id)?;
        Some((self.moment(lost.at), lost.info.problem.clone().unwrap_or_default()))
    }

    pub(super) fn listen(&mut self, id: &TegaId, channel: &Channel, on: bool) -> Result<(), Refusal> {
        if !self.live.contains_key(id) {
            return Ok(());
        }
        let text: Arc<str> = channel.text().into();
        let regex = match channel {
            Channel::Path(_) => None,
            Channel::Regex { pattern, .. } => Some(pattern.clone()),
        };
        let of_link = self.by_link.entry(id.clone()).or_default();
        let known = of_link.iter().position(|l| l.text == text && l.regex.is_some() == regex.is_some());
        match (known, on) {
            (Some(_), true) | (None, false) => {}
            (None, true) if of_link.len() >= MAX_LISTENING => {
                let message = format!("a link listens to at most {MAX_LISTENING} channels");
                return Err(Refusal::new("too_many", message));
            }
            (None, true) => {
                if regex.is_none() {
                    self.by_channel.entry(text.clone()).or_default().push(id.clone());
                }
                of_link.push(Listening { text, regex });
            }
            (Some(at), false) => {
                of_link.swap_remove(at);
                if regex.is_none() {
                    forget(&mut self.by_channel, id, &text);
                }
            }
        }
        if self.by_link.get(id).is_some_and(Vec::is_empty) {
            self.by_link.remove(id);
        }
        Ok(())
    }

    fn end_listening(&mut self, id: &TegaId) {
        for listening in self.by_link.remove(id).unwrap_or_default() {
            if listening.regex.is_none() {
                forget(&mut self.by_channel, id, &listening.text);
            }
        }
    }

    /// The links that listen to this channel, each once, but not `except`.
    pub(super) fn listeners(&self, channel: &Path, except: Option<&TegaId>) -> Vec<Arc<dyn Remote>> {
        if self.by_link.is_empty() {
            return Vec::new();
        }
        // A regex is matched against the bare keys, as it is for sessions.
        let bare = channel.keys().join(".");
        let exact = self.by_channel.get(&*channel.to_string()).map_or(&[][..], Vec::as_slice);
        let matches = |of_link: &[Listening]| {
            of_link.iter().any(|l| l.regex.as_ref().is_some_and(|pattern| pattern.matches(&bare)))
        };
        let by_regex = self.by_link.iter().filter(|(id, of_link)| !exact.contains(id) && matches(of_link));
        exact
            .iter()
            .chain(by_regex.map(|(id, _)| id))
            .filter(|id| except != Some(*id))
            .filter_map(|id| self.get(id))
            .collect()
    }

    /// The links that listen to anything, and those of original servers, each once.
    pub(super) fn forwarders(&self) -> Vec<TegaId> {
        let ids: BTreeSet<&TegaId> = self.by_link.keys().chain(self.legacy.keys()).collect();
        ids.into_iter().cloned().collect()
    }

    pub(super) fn legacy(&self) -> Vec<Arc<dyn Remote>> {
        self.legacy.values().cloned().collect()
    }

    /// The paths that any link listens to.
    pub(super) fn listening(&self) -> Vec<Channel> {
        self.by_channel.keys().filter_map(|text| Path::parse(text).ok().map(Channel::Path)).collect()
    }

    /// The invariants of the chapter.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.live.keys().all(|id| !self.lost.contains_key(id)));
        assert_eq!(self.lost.len(), self.order.len());
        assert!(self.by_link.keys().chain(self.legacy.keys()).all(|id| self.live.contains_key(id)));
        assert!(self.by_link.values().all(|of_link| !of_link.is_empty()));
        let exact = self.by_link.values().flatten().filter(|l| l.regex.is_none()).count();
        assert_eq!(exact, self.by_channel.values().map(Vec::len).sum::<usize>());
        assert!(self.reach.keys().eq(self.live.keys()));
        let with = |of: fn(&Reach) -> usize| self.reach.values().map(of).sum::<usize>();
        assert_eq!(self.by_root.len(), with(|reach| reach.roots.len()));
        assert_eq!(self.by_session.len(), with(|reach| reach.sessions.len()));
        let of = |id: &Option<TegaId>| &self.reach[id.as_ref().unwrap()];
        assert!(self.by_session.iter().all(|(name, id)| of(id).sessions.contains(name)));
        assert!(self.by_root.iter().all(|(root, id)| of(id).roots.contains(root)));
    }
}

/// The first link from here on that an index has for this.
fn next_link<'a, T: Ord + Clone>(index: &'a Index<T>, of: &T, from: Bound<&TegaId>) -> Option<&'a TegaId> {
    let from = match from {
        Bound::Unbounded => Bound::Included((of.clone(), None)),
        from => from.map(|id| (of.clone(), Some(id.clone()))),
    };
    let (name, id) = index.range((from, Bound::Unbounded)).next()?;
    id.as_ref().filter(|_| name == of)
}

fn forget(by_channel: &mut HashMap<Arc<str>, Vec<TegaId>>, id: &TegaId, text: &str) {
    if let Some(listeners) = by_channel.get_mut(text) {
        listeners.retain(|other| other != id);
        if listeners.is_empty() {
            by_channel.remove(text);
        }
    }
}
