//! # A local server of the original
//!
//! The original's local server speaks to its global one by a session, as a driver does: SESSION, SUBSCRIBE for each
//! config root and for whatever its own clients listen to, then SYNC and REFER. So that a fleet can move to this program
//! router by router, a session in the original's dialect that sends SYNC or REFER becomes a *legacy link*: for the hub
//! one of the servers that are linked, with what the original can do.
//!
//! - **Config roots** (SYNC) are this server's. The local says its version of each: where it's another, it's sent the
//!   whole root as one PUT. Later commits come as PUT and DELETE entries, each once and in order. What can't be said so
//!   (a rollback, whose meaning is another there; a key with a dot; a change of the whole root) is said by the whole root
//!   as well. A version there only counts what it was sent, so equal numbers are all that the original can offer as a
//!   proof of equal content.
//! - **Operational roots** (REFER) are recorded as the local's own, which nobody but its session writes: what it
//!   notifies is committed here in its place and under its tega ID (see `link`). The original sends no state to begin
//!   with: a root fills with what changes there.
//! - **What it changes in a config root itself** isn't taken. Where this server hears of it, the local is sent the root
//!   as it is here.
//! - **Messages and calls** go both ways, once.
//!
//! **How it fails.** A root that can't be followed or referred to is refused in the RESPONSE, which the original doesn't
//! look at, in the log, and in the status. It doesn't close the session: the original would come back at once, and for
//! ever. One that is lagging is closed with 4008; it comes back and syncs anew. A NOTIFY that can't be read closes it
//! with 4000, and nothing of it is applied.
//!
//! What it isn't: consistent as a link of our own is. The original has no positions and acknowledges nothing: what it
//! notified while it wasn't connected is lost here, and it knows no null (such leaves are left out).

mod link;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::ask::Asking;
use super::live::{Live, channel_of};
use crate::api::error::Refusal;
use crate::commit::{Position, TegaId};
use crate::hub::{Dialect, End, Frame, Remote, Scope};
use crate::message::{ChannelName, Kind, original};
use crate::path::{Key, Path};
use crate::store::{Change, Event, Home, Notice, Ope, Store, Watch};
use crate::value::Value;

pub(super) use link::LegacyLink;

/// What a session has that is a legacy link.
pub(super) struct Legacy {
    pub(super) link: Arc<LegacyLink>,
    own_id: TegaId,
    /// The roots that it follows, and the position up to which it has been told all of each.
    follows: BTreeMap<Key, Position>,
    /// The last position that the watch gave which it had as a plain session.
    seen: Position,
    /// What comes of the last event, still to be sent.
    frames: VecDeque<Frame>,
}

/// Answers a SYNC: what the local lacks comes before the RESPONSE.
pub(super) fn sync(
    asking: &Asking<'_>,
    live: &mut Live,
    body: Option<&str>,
    out: &mut Vec<Frame>,
) -> Result<(), Refusal> {
    let roots = original::read_roots(body)?;
    begin(asking, live, out)?;
    let mut refused = None;
    for (root, version) in roots {
        if let Err(refusal) = follow(asking, live, &root, version) {
            log::warn!(
                "{}, an original local server, can't follow {root}: {}",
                live.tega_id,
                refusal.message
            );
            if let Some(legacy) = &live.legacy {
                legacy.link.refuse(root, refusal.message.clone());
            }
            refused.get_or_insert(refusal);
        }
    }
    if let Some(legacy) = &mut live.legacy {
        out.extend(legacy.frames.drain(..));
    }
    let mut frame = String::new();
    original::response_head(&mut frame, asking.seq, Kind::Sync.as_str());
    match refused {
        None => frame.push_str("null"),
        Some(refusal) => refusal.write(&mut frame),
    }
    out.push(Frame::Own(frame));
    Ok(())
}

/// Answers a REFER: once the roots are recorded as the local's, it's asked for their changes.
pub(super) fn refer(
    asking: &Asking<'_>,
    live: &mut Live,
    body: Option<&str>,
    out: &mut Vec<Frame>,
) -> Result<(), Refusal> {
    let roots = original::read_roots(body)?;
    begin(asking, live, out)?;
    let Some(legacy) = &live.legacy else { return Ok(()) };
    let (mut claimed, mut homes, mut refused) = (Vec::new(), Vec::new(), None);
    for (root, _) in roots {
        let follows = legacy.follows.contains_key(&root);
        match legacy.link.claim(&root, follows, asking.access) {
            Ok(home) => {
                homes.extend(home.map(|home| (root.clone(), Some(home))));
                claimed.push(root);
            }
            Err(refusal) => {
                let id = &live.tega_id;
                log::warn!("{id}, an original local server, can't have {root}: {}", refusal.message);
                legacy.link.refuse(root, refusal.message.clone());
                refused.get_or_insert(refusal);
            }
        }
    }
    asking.store.stand_in(live.session);
    let mut frame = String::new();
    original::response_head(&mut frame, asking.seq, Kind::Refer.as_str());
    let (link, outbox, answer) = (legacy.link.clone(), Arc::downgrade(asking.outbox), asking.later_whole());
    let done = move |outcome: Result<(), Refusal>| {
        if let Err(refusal) = outcome {
            return answer(Err(refusal));
        }
        for root in claimed {
            let subscribe = link.serve(root);
            if let (Some(subscribe), Some(outbox)) = (subscribe, outbox.upgrade()) {
                outbox.answer(subscribe);
            }
        }
        match refused {
            None => frame.push_str("null"),
            Some(refusal) => refusal.write(&mut frame),
        }
        answer(Ok(frame));
    };
    if homes.is_empty() {
        done(Ok(()));
    } else {
        asking.store.set_homes(homes, move |outcome| done(outcome.map_err(Refusal::from)));
    }
    Ok(())
}

/// Makes a session a link, once.
fn begin(asking: &Asking<'_>, live: &mut Live, out: &mut Vec<Frame>) -> Result<(), Refusal> {
    if live.legacy.is_some() {
        return Ok(());
    }
    if live.dialect != Dialect::Original {
        return Err(Refusal::bad(
            "SYNC and REFER are of the original's dialect; this version links at /_link",
        ));
    }
    if let Some(global) = asking.hub.global() {
        let message =
            format!("this is a local server itself; links lead to its global one, {}", global.address);
        return Err(Refusal::new("forbidden", message));
    }
    let known = asking.hub.link(&live.tega_id);
    if known.is_some_and(|known| !known.is_legacy()) {
        let message = format!("{} is linked already, by a server of this version", live.tega_id);
        return Err(Refusal::new("conflict", message));
    }
    let link = LegacyLink::new(asking, live);
    let mut legacy = Legacy {
        link: link.clone(),
        own_id: asking.hub.own_id().clone(),
        follows: BTreeMap::new(),
        seen: Position(0),
        frames: VecDeque::new(),
    };
    legacy.replace_watch(asking, live)?;
    out.extend(legacy.frames.drain(..));
    live.legacy = Some(legacy);
    if let Some(replaced) = asking.hub.link_up(link.clone()) {
        replaced.end("another connection of the same tega ID came");
    }
    let wanted = asking.hub.channels_beyond(live.session);
    out.extend(wanted.iter().filter_map(|channel| link.tell(channel)).map(Frame::Own));
    log::info!("{} is linked: an original local server", live.tega_id);
    Ok(())
}

/// The local begins to follow a root of this server, of which it has this version.
fn follow(asking: &Asking<'_>, live: &mut Live, root: &Key, version: Option<i64>) -> Result<(), Refusal> {
    let path = Path::from_checked(vec![root.clone()]);
    if !asking.access.may_read(&path) {
        return Err(Refusal::new("forbidden", format!("its token may not read all of {path}")).at(&path));
    }
    if let Ok(Home::Away(Some(home))) = asking.store.home(root)
        && home == live.tega_id
    {
        return Err(Refusal::new("conflict", format!("{root} is its own root, to be referred to")).at(&path));
    }
    let name = ChannelName { word: &path.to_wire(), regex: false };
    live.subscribe(asking.hub, asking.store, asking.access, asking.outbox, name, Scope::Global, None)?;
    let Some(legacy) = &mut live.legacy else { return Ok(()) };
    legacy.link.follow(root);
    let view = asking.store.view();
    let here = view.root(root).filter(|root| !root.ephemeral_only).map(|root| root.version.0);
    let there = version.and_then(|version| u64::try_from(version).ok());
    // What never was here may well be there, as long as nobody has brought it: only what was deleted here is deleted.
    if here != there && (here.is_some() || there.is_some() && was_deleted(asking.store, root)) {
        legacy.send_whole(asking.store, root);
    } else {
        legacy.follows.insert(root.clone(), view.position());
    }
    Ok(())
}

fn was_deleted(store: &Store, root: &Key) -> bool {
    store.history(root).is_ok_and(|history| history.last().is_some_and(|past| past.tree.is_none()))
}

/// What can be said of one change by an entry: operation, path and instance.
fn plain(change: &Change) -> Option<(&'static str, String, Value)> {
    let word = original::word(&change.path).filter(|_| change.path.len() > 1)?;
    match (&change.before, &change.after) {
        (_, Some(after)) => {
            Some(("PUT", word, after.to_value())).filter(|(_, _, value)| *value != Value::Null)
        }
        (Some(before), None) => Some(("DELETE", word, before.to_value())),
        (None, None) => None,
    }
}

fn frame_of(entries: &str) -> Frame {
    Frame::Shared(format!("NOTIFY\n[{entries}]").into())
}

impl Legacy {
    /// A plain session isn't told what is done under its own tega ID. A local must be, where it's done here.
    fn replace_watch(&mut self, asking: &Asking<'_>, live: &mut Live) -> Result<(), Refusal> {
        let outbox = Arc::downgrade(asking.outbox);
        let watch = asking.store.watch_within(None, asking.access.readable(), move || {
            if let Some(outbox) = outbox.upgrade() {
                outbox.poke();
            }
        });
        for line in live.channels.lines() {
            let regex = line.starts_with('~');
            watch.subscribe(channel_of(line.get(1..).unwrap_or_default(), regex)?, None)?;
        }
        // What the old one still has comes first, and then isn't told again. Had it overflowed, the SYNC mends it.
        if let Some(old) = live.watch.replace(watch) {
            while let Ok(Some(event)) = old.try_next() {
                self.seen = self.seen.max(event.position.unwrap_or_default());
                self.tell(asking.store, &old, &event);
            }
        }
        Ok(())
    }

    /// The next frame of what changed; `None`: no more for now.
    pub(super) fn next(&mut self, store: &Store, watch: &Watch) -> Result<Option<Frame>, End> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(Some(frame));
            }
            match watch.try_next().map_err(|_| End::lagging())? {
                None => return Ok(None),
                Some(event) if event.position.is_some_and(|position| position <= self.seen) => {}
                Some(event) => self.tell(store, watch, &event),
            }
        }
    }

    fn tell(&mut self, store: &Store, watch: &Watch, event: &Event) {
        let mut roots: Vec<&Key> = event.changes.iter().filter_map(|change| change.path.root()).collect();
        roots.extend(event.rollback_to.iter().map(|(root, _)| root));
        roots.sort_unstable();
        roots.dedup();
        for root in roots {
            if self.follows.contains_key(root) {
                self.tell_followed(store, event, root);
            }
        }
        if event.by.as_ref() != Some(self.link.tega_id()) {
            self.tell_others(event, &watch.notices(event));
        }
    }

    /// What became of a root that it follows: never twice, and nothing ephemeral, which it would keep.
    fn tell_followed(&mut self, store: &Store, event: &Event, root: &Key) {
        let told = self.follows.get(root).copied().unwrap_or_default();
        let Some(position) = event.position.filter(|position| *position > told) else { return };
        let mine = |change: &&Change| !change.ephemeral && change.path.root() == Some(root);
        let changes: Vec<Option<_>> = event.changes.iter().filter(mine).map(plain).collect();
        let rolled_back = event.rollback_to.as_ref().is_some_and(|(name, _)| name == root);
        let Some(changes) = changes.into_iter().collect::<Option<Vec<_>>>().filter(|_| !rolled_back) else {
            return self.send_whole(store, root);
        };
        self.follows.insert(root.clone(), position);
        if changes.is_empty() {
            return;
        }
        let mut entries = String::new();
        for (ope, word, instance) in &changes {
            if !entries.is_empty() {
                entries.push(',');
            }
            original::write_entry(ope, word, event.by_name(), instance, &mut entries);
        }
        self.frames.push_back(frame_of(&entries));
    }

    /// What its own clients listen to in other roots: as well as the original can be told.
    fn tell_others(&mut self, event: &Event, notices: &[Notice]) {
        let mut entries = String::new();
        for notice in notices {
            let Some(root) = notice.path.root() else { continue };
            if self.follows.contains_key(root) || self.link.serves(root) {
                continue;
            }
            let ope = if notice.ope == Ope::Delete { "DELETE" } else { "PUT" };
            let instance = notice.value();
            let Some(word) = original::word(&notice.path).filter(|_| instance != Value::Null) else {
                log::debug!("{}: {} can't be told to an original", self.link.tega_id(), notice.path);
                continue;
            };
            let mut entry = String::new();
            original::write_entry(ope, &word, event.by_name(), &instance, &mut entry);
            if notice.path.len() == 1 {
                self.frames.push_back(frame_of(&entry));
                continue;
            }
            if !entries.is_empty() {
                entries.push(',');
            }
            entries.push_str(&entry);
        }
        if !entries.is_empty() {
            self.frames.push_back(frame_of(&entries));
        }
    }

    /// Sends a root as it is now, in a frame of its own.
    fn send_whole(&mut self, store: &Store, root: &Key) {
        let view = store.view();
        self.follows.insert(root.clone(), view.position());
        let Some(word) = original::word(&Path::from_checked(vec![root.clone()])) else { return };
        let mut entry = String::new();
        match view.root(root).filter(|root| !root.ephemeral_only) {
            Some(root) => {
                let value = root.tree.root().to_value();
                original::write_entry("PUT", &word, self.own_id.as_str(), &value, &mut entry);
            }
            None => {
                let nothing = Value::empty_object();
                original::write_entry("DELETE", &word, self.own_id.as_str(), &nothing, &mut entry);
            }
        }
        self.frames.push_back(frame_of(&entry));
    }

    /// Takes a NOTIFY. The error says what is wrong with it; nothing of it happens then.
    pub(super) fn notify(&mut self, store: &Store, text: &str) -> Result<(), Refusal> {
        let entries = original::read_entries(text).map_err(|error| {
            log::warn!("{} sent a NOTIFY that can't be read: {error}", self.link.tega_id());
            Refusal::bad(error.to_string())
        })?;
        let others = self.link.take(entries, text.len());
        for root in others {
            if self.follows.contains_key(&root) {
                log::warn!("{} changed {root} itself; it's sent the root as it is here", self.link.tega_id());
                self.send_whole(store, &root);
                self.link.poke();
            } else {
                log::debug!("{}: a change of {root}, which isn't its to send", self.link.tega_id());
            }
        }
        Ok(())
    }
}
