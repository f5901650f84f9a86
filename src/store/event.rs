//! What a commit did, as watchers and the history see it, and what a subscriber of a channel is told of it.

use std::fmt::{self, Write};

use crate::commit::{Incarnation, Position, Record, Request, TegaId, Touched};
use crate::path::{Key, Path};
use crate::tree::{ChannelPattern, Node, Version};
use crate::value::Value;

/// How many nodes of a changed subtree are looked at for a regex channel that may match below the change.
const MAX_LOOKED_AT: usize = 10_000;

/// A commit, or a change of ephemeral nodes, as watchers see it.
#[derive(Debug)]
pub struct Event {
    /// The commit's place in the order of all commits. `None`: only ephemeral nodes changed.
    pub position: Option<Position>,
    /// Milliseconds since 1970 by this server's clock; information only.
    pub time_ms: u64,
    /// Who did it.
    pub by: Option<TegaId>,
    /// The roots whose versions changed, with their versions now.
    pub roots: Vec<(Key, Incarnation, Version)>,
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// For a rollback: which root, and the version whose state it has now.
    pub rollback_to: Option<(Key, Version)>,
    /// Whether it would survive a power cut.
    pub durable: bool,
    /// The roots that it created.
    pub created: Vec<Key>,
    /// Set where the client named its request.
    pub request: Option<Request>,
    /// On a replica: whose commit it is, and its position there.
    pub origin: Option<(TegaId, Position)>,
    /// The roots whose history ends here: they were cleared, or replaced by a snapshot.
    pub(super) breaks: Vec<Key>,
}

/// What changed at one path.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where.
    pub path: Path,
    /// What stood there.
    pub before: Option<Node>,
    /// What stands there now; `None`: it was deleted.
    pub after: Option<Node>,
    /// An ephemeral node came or went: no version changed by it.
    pub ephemeral: bool,
}

impl Event {
    /// What the log keeps of the roots that `skip` doesn't name: their versions and what became of them.
    fn touched(&self, skip: impl Fn(&str) -> bool) -> Vec<Touched> {
        let touched = |(root, incarnation, version): &(Key, Incarnation, Version)| Touched {
            root: root.clone(),
            version: version.0,
            incarnation: self.created.contains(root).then_some(*incarnation),
            rollback_to: self.rollback_to.as_ref().filter(|(r, _)| r == root).map(|(_, v)| v.0),
        };
        self.roots.iter().filter(|(root, ..)| !skip(root)).map(touched).collect()
    }

    /// Whether the log keeps anything of it.
    pub(super) fn is_logged(&self, skip: impl Fn(&str) -> bool) -> bool {
        self.position.is_some() && self.roots.iter().any(|(root, ..)| !skip(root))
    }

    /// Whether its record says no more than that something is gone.
    pub(super) fn only_takes_away(&self, skip: impl Fn(&str) -> bool) -> bool {
        let logged =
            |change: &&Change| !change.ephemeral && change.path.root().is_some_and(|root| !skip(root));
        self.changes.iter().filter(logged).all(|change| change.after.is_none())
    }

    /// Appends its record in the log: without the roots that `skip` names and without ephemeral nodes.
    pub(super) fn encode(
        &self,
        skip: impl Fn(&str) -> bool,
        request: Option<&Request>,
        out: &mut impl Write,
    ) -> fmt::Result {
        let Some((home, _)) = &self.origin else { return self.record(skip, request, out) };
        let position = self.position.unwrap_or_default();
        write!(out, "{{\"follow\":\"{home}\",\"as\":{position},\"record\":")?;
        self.record(skip, request, out)?;
        out.write_char('}')
    }

    /// Appends its record as its home made it: without the roots that `skip` names and without ephemeral nodes.
    pub(super) fn record(
        &self,
        skip: impl Fn(&str) -> bool,
        request: Option<&Request>,
        out: &mut impl Write,
    ) -> fmt::Result {
        let position = self.origin.as_ref().map(|(_, position)| *position).or(self.position);
        let position = position.unwrap_or_default();
        let mut record = Record::begin(out, position, self.time_ms, self.by.as_ref(), &self.touched(&skip))?;
        let kept = |change: &&Change| !change.ephemeral && change.path.root().is_some_and(|root| !skip(root));
        for change in self.changes.iter().filter(kept) {
            match &change.after {
                Some(Node::Leaf(value)) => value.write(record.put(&change.path)?)?,
                Some(node) => node.to_value().write(record.put(&change.path)?)?,
                None => record.delete(&change.path)?,
            }
        }
        record.end(request)
    }

    /// Whether it emptied the store.
    pub fn is_clear(&self) -> bool {
        self.origin.is_none() && !self.breaks.is_empty()
    }

    /// Who did it, as it is shown.
    pub fn by_name(&self) -> &str {
        self.by.as_ref().map_or(TegaId::ANONYMOUS, TegaId::as_str)
    }
}

/// What a subscriber asks for.
#[derive(Clone, Debug)]
pub enum Channel {
    /// The node at a path, everything below it, and everything above it as far as it concerns the node.
    Path(Path),
    /// The nodes whose whole path matches, and everything below them.
    Regex {
        /// As it was subscribed.
        text: String,
        /// What it means.
        pattern: ChannelPattern,
    },
}

impl Channel {
    /// The channel of a regex; see [`ChannelPattern`] for what it may hold.
    pub fn regex(text: &str) -> Result<Channel, super::Error> {
        match crate::tree::Pattern::subscribe(text) {
            Ok(pattern) => Ok(Channel::Regex { text: text.into(), pattern }),
            Err(error) => Err(super::Error::Bad { path: None, message: error.to_string() }),
        }
    }

    /// The channel as it was subscribed.
    pub fn text(&self) -> String {
        match self {
            Channel::Path(path) => path.to_string(),
            Channel::Regex { text, .. } => text.clone(),
        }
    }

    /// Whether a change at this path may concern the channel; for a regex always.
    pub(super) fn may_concern(&self, changed: &Path) -> bool {
        match self {
            Channel::Path(path) => path.contains(changed) || changed.contains(path),
            Channel::Regex { .. } => true,
        }
    }

    /// Appends what a subscriber of this channel is told of one change.
    fn tell(&self, change: &Change, notices: &mut Vec<Notice>) {
        match self {
            // At the channel's node or below it: the change itself.
            Channel::Path(path) if path.contains(&change.path) => notices.extend(Notice::of(change)),
            // Above it: what it did to the channel's node.
            Channel::Path(path) if change.path.contains(path) => {
                let below = &path.keys()[change.path.len()..];
                let rebased = Change {
                    path: path.clone(),
                    before: descend(change.before.as_ref(), below),
                    after: descend(change.after.as_ref(), below),
                    ephemeral: change.ephemeral,
                };
                notices.extend(Notice::of(&rebased));
            }
            Channel::Path(_) => {}
            Channel::Regex { pattern, .. } if pattern.matches(&joined(&change.path)) => {
                notices.extend(Notice::of(change));
            }
            Channel::Regex { pattern, .. } => {
                let mut left = MAX_LOOKED_AT;
                tell_below(pattern, change.clone(), &mut left, notices);
            }
        }
    }
}

/// Looks below a change for the topmost nodes that the pattern matches. As deep as a tree can be.
fn tell_below(pattern: &ChannelPattern, change: Change, left: &mut usize, notices: &mut Vec<Notice>) {
    fn children(node: Option<&Node>) -> impl Iterator<Item = &Key> {
        let container = if let Some(Node::Container(container)) = node { Some(container) } else { None };
        container.into_iter().flat_map(|c| c.iter().map(|(key, _)| key))
    }
    let mut keys: Vec<Key> =
        children(change.before.as_ref()).chain(children(change.after.as_ref())).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let mut path = change.path.keys().to_vec();
        path.push(key.clone());
        let child = Change {
            path: Path::from_checked(path),
            before: descend(change.before.as_ref(), std::slice::from_ref(&key)),
            after: descend(change.after.as_ref(), std::slice::from_ref(&key)),
            ephemeral: change.ephemeral,
        };
        if pattern.matches(&joined(&child.path)) {
            notices.extend(Notice::of(&child));
        } else {
            tell_below(pattern, child, left, notices);
        }
    }
}

fn descend(node: Option<&Node>, keys: &[Key]) -> Option<Node> {
    let mut node = node?;
    for key in keys {
        match node {
            Node::Container(container) => node = &container.get(key)?.node,
            Node::Leaf(_) => return None,
        }
    }
    Some(node.clone())
}

/// The keys joined by dots, without quotes: what a regex channel is matched with.
fn joined(path: &Path) -> String {
    path.keys().join(".")
}

/// What one notification says.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What happened.
    pub ope: Ope,
    /// Where: the changed node, or the channel's own where the change was above it.
    pub path: Path,
    /// Put and rollback: what stands there now. Delete: what was removed.
    pub instance: Option<Node>,
    /// Rollback: the version whose state it has now.
    pub back_to: Option<Version>,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ope {
    /// It became `instance`.
    Put,
    /// It went.
    Delete,
    /// An old state came back.
    Rollback,
}

impl Ope {
    /// As it stands in a notification.
    pub fn name(self) -> &'static str {
        match self {
            Ope::Put => "PUT",
            Ope::Delete => "DELETE",
            Ope::Rollback => "ROLLBACK",
        }
    }
}

impl Notice {
    /// The change as a notice; `None` where the node was and is absent.
    pub fn of(change: &Change) -> Option<Notice> {
        let (ope, instance) = match (&change.before, &change.after) {
            (_, Some(after)) => (Ope::Put, after.clone()),
            (Some(before), None) => (Ope::Delete, before.clone()),
            (None, None) => return None,
        };
        Some(Notice { ope, path: change.path.clone(), instance: Some(instance), back_to: None })
    }

    /// The instance as a value; null where there is none.
    pub fn value(&self) -> Value {
        self.instance.as_ref().map_or(Value::Null, Node::to_value)
    }
}

/// What subscribers of these channels are told of an event's changes: each once, in order. `state` gives the node at a
/// path after the event, for rollbacks.
pub(super) fn notices<'a>(
    channels: impl Iterator<Item = &'a Channel> + Clone,
    changes: &[Change],
    rollback_to: Option<&(Key, Version)>,
    state: impl Fn(&Path) -> Option<Node>,
) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    for change in changes {
        let from = notices.len();
        for channel in channels.clone() {
            let start = notices.len();
            channel.tell(change, &mut notices);
            // Two channels may see the same: the path tells.
            let mut at = start;
            while at < notices.len() {
                if notices[from..start].iter().any(|n| n.path == notices[at].path) {
                    notices.remove(at);
                } else {
                    at += 1;
                }
            }
        }
    }
    let Some((root, version)) = rollback_to else { return notices };
    // A rollback is one notice for each node that a channel names, whatever the edits that led there.
    let root = Path::from_checked(vec![root.clone()]);
    let mut told: Vec<Notice> = Vec::new();
    for channel in channels {
        let path = match channel {
            Channel::Path(path) if path.len() > 1 => {
                if !changes.iter().any(|c| path.contains(&c.path) || c.path.contains(path)) {
                    continue;
                }
                path.clone()
            }
            Channel::Regex { pattern, .. } if !pattern.matches(&joined(&root)) => {
                // Below the root a regex is told the edits themselves.
                let mut edits = Vec::new();
                changes.iter().for_each(|change| channel.tell(change, &mut edits));
                told.extend(edits);
                continue;
            }
            Channel::Path(path) if !path.contains(&root) => continue,
            _ => root.clone(),
        };
        if told.iter().any(|n| n.path == path) {
            continue;
        }
        match state(&path) {
            Some(node) => {
                told.push(Notice { ope: Ope::Rollback, path, instance: Some(node), back_to: Some(*version) });
            }
            // It went, or it wasn't there before either. To a reader of some parts of it, when the last of these went.
            None => {
                let gone = |n: &&Notice| n.ope == Ope::Delete && path.contains(&n.path);
                told.extend(notices.iter().filter(gone).cloned());
            }
        }
    }
    told
}
