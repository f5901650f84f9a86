//! The hub's data and its rules, without a clock, a socket or the store.
//!
//! Invariants, which `State::check` tests: every ID of `by_id` and `by_channel` names a live session; the calls that
//! a session counts as waiting are those of `calls` that name it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::open::{Call, Done, Mouth};
use super::{Dialect, HubStatus, Joining, Limits, Outbox, Resident, RpcError, Scope, SessionInfo};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::Path;
use crate::store::{Channel, SessionId};
use crate::token::Access;
use crate::tree::ChannelPattern;

/// Channels of the scope `global` whose first subscriber may have come, or whose last may have gone.
pub(super) type Globals = Vec<(String, bool)>;

/// The original's seq wraps here, and its drivers may rely on it.
const MAX_SEQ: u32 = 65_535;

pub(super) struct State {
    limits: Limits,
    sessions: BTreeMap<SessionId, Entry>,
    /// The sessions of a tega ID, oldest first.
    by_id: BTreeMap<TegaId, Vec<SessionId>>,
    /// Who listens to exactly this path; regexes are looked for in the sessions of `with_regex`.
    by_channel: HashMap<Arc<str>, Vec<SessionId>>,
    with_regex: Vec<SessionId>,
    /// How many subscriptions of the scope `global` there are to a channel; the flag says that it's a regex.
    globals: BTreeMap<(Arc<str>, bool), (usize, Channel)>,
    calls: BTreeMap<u32, Call>,
    last_seq: u32,
    /// Time that has passed since the hub began.
    clock: Duration,
}

/// A live session.
pub(super) struct Entry {
    who: Joining,
    outbox: Arc<Outbox>,
    since: Duration,
    subs: Vec<Sub>,
    waiting: usize,
    rpcs: usize,
    /// Who serves its calls, where that is no client.
    resident: Option<Arc<dyn Resident>>,
}

impl Entry {
    pub(super) fn new(who: Joining, outbox: Arc<Outbox>) -> Entry {
        Entry { who, outbox, since: Duration::ZERO, subs: Vec::new(), waiting: 0, rpcs: 0, resident: None }
    }

    pub(super) fn resident(mut self, resident: Arc<dyn Resident>) -> Entry {
        self.resident = Some(resident);
        self
    }

    pub(super) fn tega_id(&self) -> &TegaId {
        &self.who.tega_id
    }

    fn may_be_server(&self) -> bool {
        self.who.dialect == Dialect::Original && self.who.scope == Scope::Global
    }
}

/// A channel that a session listens to.
pub(super) struct Sub {
    text: Arc<str>,
    regex: Option<ChannelPattern>,
    scope: Scope,
}

fn shown(channel: &Channel, access: &Access) -> bool {
    match channel {
        _ if access.is_admin() => true,
        Channel::Path(path) => access.may_read_some(path) || access.may_message(path),
        Channel::Regex { .. } => false,
    }
}

fn key_of(sub: &Sub) -> (Arc<str>, bool) {
    (sub.text.clone(), sub.regex.is_some())
}

impl Sub {
    pub(super) fn new(channel: &Channel, scope: Scope) -> Sub {
        let pattern = match channel {
            Channel::Path(_) => None,
            Channel::Regex { pattern, .. } => Some(pattern.clone()),
        };
        Sub { text: channel.text().into(), regex: pattern, scope }
    }

    fn channel(&self) -> Channel {
        match &self.regex {
            Some(pattern) => Channel::Regex { text: self.text.to_string(), pattern: pattern.clone() },
            // It was the text of one.
            None => Channel::Path(Path::parse(&self.text).unwrap_or(Path::TOP)),
        }
    }

    /// Whether somebody may know of it.
    fn is_for(&self, access: &Access) -> bool {
        shown(&self.channel(), access)
    }

    fn is(&self, text: &str, regex: bool) -> bool {
        self.regex.is_some() == regex && *self.text == *text
    }
}

impl State {
    pub(super) fn new(limits: Limits) -> State {
        State {
            limits,
            sessions: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_channel: HashMap::new(),
            with_regex: Vec::new(),
            globals: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_seq: 0,
            clock: Duration::ZERO,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.sessions.len() >= self.limits.sessions
    }

    pub(super) fn join(&mut self, session: SessionId, mut entry: Entry) {
        entry.since = self.clock;
        let of_id = self.by_id.entry(entry.who.tega_id.clone()).or_default();
        // Two may join at the same time and get here in the other order.
        let at = of_id.partition_point(|other| *other < session);
        of_id.insert(at, session);
        self.sessions.insert(session, entry);
    }

    /// Takes a session out, and returns the calls that it owes an answer.
    pub(super) fn leave(&mut self, session: SessionId) -> (Vec<Call>, Globals) {
        let globals = self.unsubscribe_all(session);
        if let Some(entry) = self.sessions.remove(&session)
            && let Some(of_id) = self.by_id.get_mut(&entry.who.tega_id)
        {
            of_id.retain(|other| *other != session);
            if of_id.is_empty() {
                self.by_id.remove(&entry.who.tega_id);
            }
        }
        let seqs: Vec<u32> =
            self.calls.iter().filter(|(_, c)| c.owner == session).map(|(seq, _)| *seq).collect();
        (seqs.iter().filter_map(|seq| self.calls.remove(seq)).collect(), globals)
    }

    pub(super) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.sessions.values().map(|entry| entry.outbox.clone()).collect()
    }

    pub(super) fn subscribe(&mut self, session: SessionId, sub: Sub) -> Result<Globals, Refusal> {
        let Some(entry) = self.sessions.get_mut(&session) else { return Ok(Vec::new()) };
        let key = key_of(&sub);
        if let Some(known) = entry.subs.iter_mut().find(|known| known.is(&sub.text, sub.regex.is_some())) {
            let before = std::mem::replace(&mut known.scope, sub.scope);
            return Ok(match (before, sub.scope) {
                (Scope::Local, Scope::Global) => self.begin_global(key, sub.channel()),
                (Scope::Global, Scope::Local) => self.end_global(key),
                _ => Vec::new(),
            });
        }
        if entry.subs.len() >= self.limits.channels {
            let limit = self.limits.channels;
            return Err(Refusal::new("too_many", format!("a session listens to at most {limit} channels")));
        }
        match &sub.regex {
            None => self.by_channel.entry(sub.text.clone()).or_default().push(session),
            Some(_) if !self.with_regex.contains(&session) => self.with_regex.push(session),
            Some(_) => {}
        }
        let global = (sub.scope == Scope::Global).then(|| sub.channel());
        entry.subs.push(sub);
        Ok(global.map_or_else(Vec::new, |channel| self.begin_global(key, channel)))
    }

    /// The first: the session listened to it.
    pub(super) fn unsubscribe(&mut self, session: SessionId, text: &str, regex: bool) -> (bool, Globals) {
        let none = (false, Vec::new());
        let Some(entry) = self.sessions.get_mut(&session) else { return none };
        let Some(at) = entry.subs.iter().position(|sub| sub.is(text, regex)) else { return none };
        let sub = entry.subs.remove(at);
        let has_regex = entry.subs.iter().any(|sub| sub.regex.is_some());
        if !regex {
            self.forget(session, text);
        } else if !has_regex {
            self.with_regex.retain(|other| *other != session);
        }
        let global = sub.scope == Scope::Global;
        (true, if global { self.end_global(key_of(&sub)) } else { Vec::new() })
    }

    pub(super) fn unsubscribe_all(&mut self, session: SessionId) -> Globals {
        let Some(entry) = self.sessions.get_mut(&session) else { return Vec::new() };
        let mut globals = Vec::new();
        for sub in std::mem::take(&mut entry.subs) {
            if sub.regex.is_none() {
                self.forget(session, &sub.text);
            }
            if sub.scope == Scope::Global {
                globals.extend(self.end_global(key_of(&sub)));
            }
        }
        self.with_regex.retain(|other| *other != session);
        globals
    }

    fn begin_global(&mut self, key: (Arc<str>, bool), channel: Channel) -> Globals {
        let (text, regex) = (key.0.to_string(), key.1);
        let count = &mut self.globals.entry(key).or_insert((0, channel)).0;
        *count += 1;
        if *count == 1 { vec![(text, regex)] } else { Vec::new() }
    }

    fn end_global(&mut self, key: (Arc<str>, bool)) -> Globals {
        let changed = (key.0.to_string(), key.1);
        match self.globals.get_mut(&key) {
            Some((count, _)) if *count > 1 => {
                *count -= 1;
                Vec::new()
            }
            _ => {
                self.globals.remove(&key);
                vec![changed]
            }
        }
    }

    /// The channel, where anybody listens to it with the scope `global`.
    pub(super) fn global_channel(&self, text: &str, regex: bool) -> Option<Channel> {
        self.globals.get(&(text.into(), regex)).map(|(_, channel)| channel.clone())
    }

    /// Whether this session is one that an original server would begin.
    pub(super) fn may_be_server(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|entry| entry.may_be_server())
    }

    /// The channels that sessions of other tega IDs listen to with the scope `global`; the flag says that [`State::may_be_server`].
    pub(super) fn globals_of_others(&self, session: SessionId) -> Vec<(bool, Channel)> {
        let own = self.sessions.get(&session).map(|entry| &entry.who.tega_id);
        let others = self.sessions.values().filter(|entry| Some(&entry.who.tega_id) != own);
        let globals = others.flat_map(|entry| {
            let global = entry.subs.iter().filter(|sub| sub.scope == Scope::Global);
            global.map(|sub| (entry.may_be_server(), sub.channel()))
        });
        globals.collect()
    }

    /// All channels that anybody listens to with the scope `global`.
    pub(super) fn all_globals(&self) -> Globals {
        self.globals.keys().map(|(text, regex)| (text.to_string(), *regex)).collect()
    }

    fn forget(&mut self, session: SessionId, text: &str) {
        if let Some(listeners) = self.by_channel.get_mut(text) {
            listeners.retain(|other| *other != session);
            if listeners.is_empty() {
                self.by_channel.remove(text);
            }
        }
    }

    /// The outboxes of those who listen to this channel and may have its messages, each once; `only`: with this scope.
    pub(super) fn listeners(
        &self,
        channel: &Path,
        except: Option<SessionId>,
        only: Option<Scope>,
    ) -> Vec<Arc<Outbox>> {
        // A regex is matched against the bare keys, as it is for changes.
        let bare = channel.keys().join(".");
        let text = channel.to_string();
        let exact = self.by_channel.get(&*text).map_or(&[][..], Vec::as_slice);
        let wanted = |sub: &Sub| only.is_none_or(|scope| sub.scope == scope);
        let by_name = |sub: &Sub| wanted(sub) && sub.is(&text, false);
        let by_regex = |sub: &Sub| wanted(sub) && sub.regex.as_ref().is_some_and(|r| r.matches(&bare));
        let entry = |session: &SessionId| {
            self.sessions.get(session).filter(|entry| entry.who.access.may_message(channel))
        };
        let named = exact.iter().filter(|s| entry(s).is_some_and(|e| e.subs.iter().any(by_name)));
        let matching = self
            .with_regex
            .iter()
            .filter(|s| entry(s).is_some_and(|e| !e.subs.iter().any(by_name) && e.subs.iter().any(by_regex)));
        let all = named.chain(matching).filter(|session| except != Some(**session));
        all.filter_map(|session| entry(session).map(|entry| entry.outbox.clone())).collect()
    }

    /// Those who listen to exactly this channel with the scope `global`: who they are and where they are told.
    pub(super) fn global_listeners(&self, text: &str, regex: bool) -> Vec<(Joining, Arc<Outbox>)> {
        let sessions = match regex {
            false => self.by_channel.get(text).map_or(&[][..], Vec::as_slice),
            true => &self.with_regex,
        };
        let listens = |sub: &Sub| sub.scope == Scope::Global && sub.is(text, regex);
        sessions
            .iter()
            .filter_map(|session| self.sessions.get(session))
            .filter(|entry| entry.subs.iter().any(listens))
            .map(|entry| (entry.who.clone(), entry.outbox.clone()))
            .collect()
    }

    pub(super) fn newest(&self, tega_id: &TegaId) -> Option<SessionId> {
        self.by_id.get(tega_id)?.last().copied()
    }

    /// The session that calls to a tega ID go to: its newest resident, else its newest session.
    fn serving(&self, tega_id: &TegaId) -> Option<SessionId> {
        let sessions = self.by_id.get(tega_id)?;
        let is_resident = |id: &&SessionId| self.sessions.get(*id).is_some_and(|e| e.resident.is_some());
        sessions.iter().rev().find(is_resident).or(sessions.last()).copied()
    }

    /// Gives the call a seq and returns where its REQUEST goes; or gives `done` back, for it runs without the lock.
    pub(super) fn begin_call(
        &mut self,
        owner_id: &TegaId,
        path: &Path,
        time: Duration,
        done: Done,
    ) -> Result<(u32, Mouth), (RpcError, Done)> {
        match self.serving(owner_id) {
            Some(owner) => self.begin_call_at(owner, path, time, done),
            None => Err((RpcError::NoOwner { path: path.clone(), owner: owner_id.to_string() }, done)),
        }
    }

    /// As [`State::begin_call`], for this very session. `time`: how long it may take, the limit's at most.
    pub(super) fn begin_call_at(
        &mut self,
        owner: SessionId,
        path: &Path,
        time: Duration,
        done: Done,
    ) -> Result<(u32, Mouth), (RpcError, Done)> {
        let Some(entry) = self.sessions.get_mut(&owner) else {
            return Err((RpcError::NoOwner { path: path.clone(), owner: "nobody".into() }, done));
        };
        let owner_id = entry.who.tega_id.clone();
        let most = self.limits.calls.min(MAX_SEQ as usize);
        if self.calls.len() >= most || entry.waiting >= self.limits.calls_of_one {
            return Err((RpcError::TooMany, done));
        }
        // There's a free one, for fewer calls than numbers are open.
        let mut seq = self.last_seq;
        loop {
            seq = seq % MAX_SEQ + 1;
            if !self.calls.contains_key(&seq) {
                break;
            }
        }
        self.last_seq = seq;
        entry.waiting += 1;
        entry.rpcs += 1;
        let mouth = match &entry.resident {
            Some(resident) => Mouth::Resident(owner, resident.clone()),
            None => Mouth::Outbox(entry.outbox.clone()),
        };
        let deadline = self.clock + time.min(self.limits.call_time);
        let call = Call { owner, owner_id, path: path.clone(), deadline, done };
        self.calls.insert(seq, call);
        Ok((seq, mouth))
    }

    /// Takes out the call that this session was asked to answer under this seq.
    pub(super) fn end_call(&mut self, session: SessionId, seq: u32) -> Option<Call> {
        if self.calls.get(&seq)?.owner != session {
            return None;
        }
        let call = self.calls.remove(&seq)?;
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.waiting = entry.waiting.saturating_sub(1);
        }
        Some(call)
    }

    /// Lets time pass, and takes out the calls that are overdue.
    pub(super) fn tick(&mut self, elapsed: Duration) -> Vec<Call> {
        self.clock += elapsed;
        let now = self.clock;
        let overdue = self.calls.iter().filter(|(_, call)| call.deadline <= now);
        let overdue: Vec<(SessionId, u32)> = overdue.map(|(seq, call)| (call.owner, *seq)).collect();
        overdue.into_iter().filter_map(|(owner, seq)| self.end_call(owner, seq)).collect()
    }

    pub(super) fn ids(&self) -> Vec<TegaId> {
        self.by_id.keys().cloned().collect()
    }

    fn subs_for(&self, access: &Access) -> impl Iterator<Item = (&TegaId, &Sub)> {
        self.subs().filter(|(_, sub)| sub.is_for(access))
    }

    fn subs(&self) -> impl Iterator<Item = (&TegaId, &Sub)> {
        self.sessions.values().flat_map(|entry| entry.subs.iter().map(move |sub| (&entry.who.tega_id, sub)))
    }

    pub(super) fn channels(&self, access: &Access) -> Vec<(String, Vec<TegaId>)> {
        let mut channels: BTreeMap<String, Vec<TegaId>> = BTreeMap::new();
        for (id, sub) in self.subs_for(access) {
            let ids = channels.entry(sub.text.to_string()).or_default();
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        channels.into_iter().collect()
    }

    pub(super) fn subscribers(&self, access: &Access) -> Vec<(TegaId, Vec<String>)> {
        let mut subscribers: BTreeMap<TegaId, Vec<String>> = BTreeMap::new();
        for (id, sub) in self.subs_for(access) {
            let channels = subscribers.entry(id.clone()).or_default();
            if !channels.iter().any(|known| **known == *sub.text) {
                channels.push(sub.text.to_string());
            }
        }
        subscribers.into_iter().collect()
    }

    pub(super) fn global_channels(&self, access: &Access) -> Vec<(String, Scope)> {
        let known = self.globals.iter().filter(|(_, (_, channel))| shown(channel, access));
        let mut texts: Vec<String> = known.map(|((text, _), _)| text.to_string()).collect();
        texts.dedup();
        texts.into_iter().map(|text| (text, Scope::Global)).collect()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        let info = |(session, entry): (&SessionId, &Entry)| SessionInfo {
            tega_id: entry.who.tega_id.clone(),
            session: *session,
            scope: entry.who.scope,
            dialect: entry.who.dialect.number(),
            from: entry.who.from.clone(),
            connected_s: self.clock.saturating_sub(entry.since).as_secs(),
            channels: entry.subs.len(),
            waiting: entry.waiting,
            rpcs: entry.rpcs,
        };
        self.sessions.iter().map(info).collect()
    }

    pub(super) fn status(&self) -> HubStatus {
        let channels = self.sessions.values().map(|entry| entry.subs.len()).sum();
        HubStatus { sessions: self.sessions.len(), channels, rpcs_waiting: self.calls.len() }
    }

    /// The invariants of the chapter.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let of_ids: usize = self.by_id.values().map(Vec::len).sum();
        assert_eq!(of_ids, self.sessions.len());
        for session in
            self.by_channel.values().flatten().chain(&self.with_regex).chain(self.by_id.values().flatten())
        {
            assert!(self.sessions.contains_key(session), "{session:?} is listed and isn't live");
        }
        for (session, entry) in &self.sessions {
            let waiting = self.calls.values().filter(|call| call.owner == *session).count();
            assert_eq!(entry.waiting, waiting);
        }
        assert!(self.by_channel.values().all(|listeners| !listeners.is_empty()));
        for (key, (count, _)) in &self.globals {
            let of_key = |(_, sub): &(&TegaId, &Sub)| sub.scope == Scope::Global && key_of(sub) == *key;
            assert_eq!(*count, self.subs().filter(of_key).count(), "{key:?}");
        }
        let global = self.subs().filter(|(_, sub)| sub.scope == Scope::Global).count();
        assert_eq!(global, self.globals.values().map(|(count, _)| count).sum::<usize>());
    }
}
