//! From what a client asks for to what happens: one transaction judged against the tip.
//!
//! The tip is the newest state, durable or not. A transaction is either refused, and then the tip is as it was, or it
//! becomes the next tip with an event that says what it did.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::event::{Change, Event};
use super::homes::{Role, check_homes};
use super::overlay::{Lease, Overlay};
use super::requests::{Outcome, Requests};
use super::state::{Kept, Past, Root, State, with_kept};
use super::transaction::{Expect, Op, Receipt, Transaction};
use super::{Error, SessionId};
use crate::commit::{Digest, Incarnation, Position, Request, TegaId};
use crate::path::{Key, Path};
use crate::tree::{Node, Stamp, Step, Tree, Version, steps};
use crate::value::Value;

/// The newest state, durable or not, and what belongs to it.
pub(super) struct Tip<'a> {
    pub(super) state: State,
    pub(super) overlay: &'a mut Overlay,
    pub(super) requests: &'a mut Requests,
    /// Which roots may be written here; `None`: all, since it is only to see what would be.
    pub(super) role: Option<&'a Role>,
}

/// What a transaction came to.
pub(super) struct Applied {
    pub(super) receipt: Receipt,
    /// `None`: a retry of a request that took effect before.
    pub(super) event: Option<Event>,
    /// The history's new entries.
    pub(super) kept: Vec<(Kept, Past)>,
    /// The event's record, of all its roots and without the request; empty where no version changed.
    pub(super) record: String,
}

impl Applied {
    /// What a retry of the request will be told.
    pub(super) fn outcome(&self) -> Option<(&Request, Outcome)> {
        let event = self.event.as_ref().filter(|event| event.position.is_some())?;
        let request = event.request.as_ref()?;
        let Receipt { position, versions, .. } = self.receipt.clone();
        let followed = event.origin.is_some();
        Some((request, Outcome { crc: request.crc, position, versions, followed }))
    }
}

/// One root in the making.
struct Draft {
    name: Key,
    before: Option<Arc<Root>>,
    kept: Kept,
    tree: Option<Tree>,
    present: Option<Tree>,
    /// The version that a persistent change gives it.
    version: Version,
    incarnation: Incarnation,
    created: bool,
    /// What the commit's record is chained to.
    digest: Digest,
    /// A persistent change was made.
    touched: bool,
}

struct Judge<'a, 'b> {
    tip: &'a mut Tip<'b>,
    drafts: Vec<Draft>,
    index: HashMap<Key, usize>,
    changes: Vec<Change>,
    by: Option<&'a TegaId>,
    session: Option<(SessionId, TegaId)>,
    rollback_to: Option<(Key, Version)>,
    now: Instant,
}

/// Judges a transaction; on success `tip` is the state after it.
///
/// `session` is the live session that may own ephemeral nodes, with its tega ID; `stands_for` the server in whose place
/// it commits.
pub(super) fn judge(
    tip: &mut Tip<'_>,
    transaction: &Transaction,
    session: Option<(SessionId, TegaId)>,
    stands_for: Option<&TegaId>,
    time_ms: u64,
) -> Result<Applied, Error> {
    if let Some(role) = tip.role {
        check_homes(&tip.state, role, &transaction.ops, stands_for, |path| tip.overlay.any_below(path))?;
    }
    let request = transaction.request();
    if let Some(request) = &request
        && let Some(receipt) =
            tip.requests.seen(request, tip.state.position, |root| transaction.is_of(root))?
    {
        return Ok(Applied { receipt, event: None, kept: Vec::new(), record: String::new() });
    }
    let mark = tip.overlay.mark();
    let mut judge = Judge {
        tip,
        drafts: Vec::with_capacity(1),
        index: HashMap::new(),
        changes: Vec::with_capacity(transaction.ops.len()),
        by: transaction.by.as_ref(),
        session,
        rollback_to: None,
        now: Instant::now(),
    };
    if let Err(refusal) = transaction.ops.iter().try_for_each(|op| judge.op(op)) {
        judge.tip.overlay.undo_to(mark);
        return Err(refusal);
    }
    let Judge { tip, drafts, changes, rollback_to, .. } = judge;
    let event = Event {
        position: None,
        time_ms,
        by: transaction.by.clone(),
        roots: Vec::new(),
        changes,
        rollback_to,
        durable: false,
        created: Vec::new(),
        request,
        origin: None,
        breaks: Vec::new(),
    };
    Ok(finish(tip, drafts, event))
}

/// Makes the drafts the next state.
fn finish(tip: &mut Tip<'_>, mut drafts: Vec<Draft>, mut event: Event) -> Applied {
    let touched = drafts.iter().any(|draft| draft.touched);
    let position = Position(tip.state.position.0 + u64::from(touched));
    tip.state.position = position;
    event.position = touched.then_some(position);
    for draft in drafts.iter().filter(|draft| draft.touched) {
        event.roots.push((draft.name.clone(), draft.incarnation, draft.version));
        if draft.created {
            event.created.push(draft.name.clone());
        }
    }
    event.roots.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let record = digests(&event, &mut drafts);
    let mut kept = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if !draft.touched {
            place(&mut tip.state, draft);
            continue;
        }
        let past = Past {
            version: draft.version,
            incarnation: draft.incarnation,
            position,
            origin: None,
            digest: draft.digest.0,
            time_ms: event.time_ms,
            by: event.by.clone(),
            tree: draft.tree,
            event: None,
        };
        tip.state.place(&draft.name, &past, draft.present, &draft.kept);
        kept.push((draft.kept, past));
    }
    let versions: Vec<(Key, Version)> = event.roots.iter().map(|(root, _, v)| (root.clone(), *v)).collect();
    Applied {
        receipt: Receipt { position, versions, durable: false, applied: true },
        event: Some(event),
        kept,
        record,
    }
}

/// Chains the event to the digests of its roots, and returns its record.
fn digests(event: &Event, drafts: &mut [Draft]) -> String {
    let mut record = String::new();
    if event.roots.is_empty() {
        return record;
    }
    // Neither memory nor a hash can refuse what is written to it.
    let _ = event.record(|_| false, None, &mut record);
    for draft in drafts.iter_mut().filter(|draft| draft.touched) {
        // One root is the rule, and then the record is its projection.
        if event.roots.len() == 1 {
            draft.digest = draft.digest.chain(record.as_bytes());
        } else {
            let _ = event.record(|root| *root != *draft.name, None, &mut draft.digest);
        }
    }
    record
}

/// Shows what is ephemeral in a root whose version didn't change.
fn place(state: &mut State, draft: Draft) {
    let Draft { name, before, kept, tree, present, incarnation, .. } = draft;
    let Some(present) = present else {
        if let Some((live, _)) = state.live.remove(&name) {
            state.live = live;
        }
        return;
    };
    let root = match before {
        Some(before) => Root { present, ..(*before).clone() },
        None => Root {
            version: Version(0),
            incarnation,
            digest: 0,
            position: Position(0),
            origin: None,
            tree: tree.unwrap_or_else(|| Tree::new(Stamp::version(Version(0)))),
            present,
            ephemeral_only: true,
            kept,
        },
    };
    state.live = state.live.insert(name, Arc::new(root)).0;
}

impl Judge<'_, '_> {
    fn op(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Put { path, value, expect, ephemeral } => {
                path.check_root()?;
                self.expect(path, expect.as_ref())?;
                if *ephemeral { self.put_ephemeral(path, value) } else { self.put(path, value) }
            }
            Op::Delete { path, expect } => {
                path.check_root()?;
                self.expect(path, expect.as_ref())?;
                self.delete(path)
            }
            Op::Rollback { root, back_to, expect } => {
                self.expect_root(root, expect.as_ref())?;
                self.rollback(root, *back_to)
            }
        }
    }

    /// The draft of a root, begun when it is first asked for.
    fn draft(&mut self, name: &Key) -> usize {
        const LINEAR: usize = 8;
        let linear = self.drafts.len() <= LINEAR;
        let found = match linear {
            true => self.drafts.iter().position(|draft| draft.name == *name),
            false => self.index.get(name).copied(),
        };
        if let Some(at) = found {
            return at;
        }
        let state = &self.tip.state;
        let before = state.live.get(name).cloned();
        let tomb = state.dead.get(name);
        let lives = before.as_ref().filter(|root| !root.ephemeral_only);
        let (version, incarnation, kept) = match (lives, tomb) {
            (Some(root), _) => (Version(root.version.0 + 1), root.incarnation, root.kept.clone()),
            (None, Some(tomb)) => (Version(tomb.version.0 + 1), tomb.incarnation, tomb.kept.clone()),
            (None, None) => (Version(0), Incarnation::draw(), Kept::default()),
        };
        self.drafts.push(Draft {
            name: name.clone(),
            tree: lives.map(|root| root.tree.clone()),
            present: before.as_ref().map(|root| root.present.clone()),
            created: lives.is_none() && tomb.is_none(),
            digest: lives
                .map(|root| root.digest)
                .or(tomb.map(|t| t.digest))
                .map_or_else(Digest::default, Digest),
            before,
            kept,
            version,
            incarnation,
            touched: false,
        });
        let at = self.drafts.len() - 1;
        if at == LINEAR {
            self.index = self.drafts.iter().enumerate().map(|(i, draft)| (draft.name.clone(), i)).collect();
        } else if at > LINEAR {
            self.index.insert(name.clone(), at);
        }
        at
    }

    /// Judges an expectation against the state before the transaction.
    fn expect(&self, path: &Path, expect: Option<&Expect>) -> Result<(), Error> {
        let Some(expect) = expect else { return Ok(()) };
        let Some((name, keys)) = path.keys().split_first() else { return Ok(()) };
        let root = self.tip.state.live.get(name);
        let node = root.and_then(|root| root.present.get(keys));
        let actual = match (root, node) {
            (Some(root), Some(_)) if keys.is_empty() => i64::try_from(root.version.0).ok(),
            (_, Some(node)) => i64::try_from(node.stamp.number()).ok(),
            _ => None,
        };
        let same = expect.incarnation.is_none_or(|i| root.is_some_and(|root| root.incarnation == i));
        if actual.unwrap_or(-1) == expect.version && same {
            return Ok(());
        }
        Err(Error::Conflict { path: path.clone(), expected: expect.version, actual })
    }

    /// Judges what a rollback expects of its root, which may be deleted.
    fn expect_root(&self, root: &Key, expect: Option<&Expect>) -> Result<(), Error> {
        let Some(expect) = expect else { return Ok(()) };
        let standing = self.tip.state.standing(root);
        let actual = standing.and_then(|standing| i64::try_from(standing.version.0).ok());
        let same = expect.incarnation.is_none_or(|i| standing.is_some_and(|s| s.incarnation == i));
        if actual.unwrap_or(-1) == expect.version && same {
            return Ok(());
        }
        Err(Error::Conflict { path: Path::new([root.clone()])?, expected: expect.version, actual })
    }

    fn put(&mut self, path: &Path, value: &Value) -> Result<(), Error> {
        let at = self.draft(&path.keys()[0]);
        self.tip.overlay.check_above(path)?;
        let stamp = Stamp::version(self.drafts[at].version);
        let refused = |error| Error::from_tree(error, path);
        let node = Node::build(value, stamp, path.len() - 1).map_err(refused)?;
        self.put_node(at, path, node, stamp)
    }

    /// Puts a persistent node. What is ephemeral at or below it goes.
    fn put_node(&mut self, at: usize, path: &Path, node: Node, stamp: Stamp) -> Result<(), Error> {
        let refused = |error| Error::from_tree(error, path);
        let keys = &path.keys()[1..];
        let draft = &mut self.drafts[at];
        let base = draft.tree.clone().unwrap_or_else(|| Tree::new(stamp));
        let edit = base.put(keys, node.clone(), stamp).map_err(refused)?;
        let overlay = &mut self.tip.overlay;
        let root = path.prefix(1);
        let before = if overlay.any_below(&root) {
            let before = draft.present.as_ref().and_then(|p| p.get(keys)).map(|n| n.to_node());
            overlay.remove_below(path);
            let present = draft.present.take().unwrap_or_else(|| Tree::new(stamp));
            draft.present = Some(present.put(keys, node.clone(), stamp).map_err(refused)?.tree);
            before
        } else {
            draft.present = Some(edit.tree.clone());
            // A root that this put creates had no node before.
            edit.before.filter(|_| draft.tree.is_some() || !keys.is_empty())
        };
        draft.tree = Some(edit.tree);
        draft.touched = true;
        self.changes.push(Change { path: path.clone(), before, after: Some(node), ephemeral: false });
        Ok(())
    }

    fn put_ephemeral(&mut self, path: &Path, value: &Value) -> Result<(), Error> {
        let Some((session, by)) = self.session.clone() else {
            return Err(Error::NoSession { tega_id: self.by.cloned() });
        };
        let in_the_way = |message: &str| Error::Ephemeral { path: path.clone(), message: message.into() };
        let at = self.draft(&path.keys()[0]);
        let keys = &path.keys()[1..];
        let draft = &mut self.drafts[at];
        let overlay = &mut self.tip.overlay;
        if keys.is_empty() {
            return Err(in_the_way("a root can't be ephemeral; put a node below it"));
        }
        if draft.tree.as_ref().is_some_and(|tree| tree.get(keys).is_some()) {
            return Err(in_the_way(
                "a persistent node stands here and can't become ephemeral; delete it first",
            ));
        }
        if overlay.above(path) || overlay.below(path).any(|(other, _)| other != path) {
            return Err(in_the_way("another ephemeral node stands above or below it; delete that first"));
        }
        overlay.check_room(path, session)?;
        let stamp = overlay.stamp();
        let refused = |error| Error::from_tree(error, path);
        let node = Node::build(value, stamp, keys.len()).map_err(refused)?;
        let base = draft.present.clone().unwrap_or_else(|| Tree::new(stamp));
        let edit = base.put_overlay(keys, node.clone(), stamp).map_err(refused)?;
        draft.present = Some(edit.tree);
        overlay.insert(path.clone(), Lease { node: node.clone(), stamp, session, by, since: self.now });
        self.changes.push(Change {
            path: path.clone(),
            before: edit.before,
            after: Some(node),
            ephemeral: true,
        });
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> Result<(), Error> {
        let at = self.draft(&path.keys()[0]);
        let keys = &path.keys()[1..];
        let root = path.prefix(1);
        let draft = &mut self.drafts[at];
        let overlay = &mut self.tip.overlay;
        let here = draft.present.as_ref().and_then(|present| present.get(keys));
        let Some(before) = here.map(|node| node.to_node()) else {
            return Err(Error::NotFound { path: path.clone() });
        };
        if overlay.above(path) {
            let message = "an ephemeral node stands above, and goes or stays as a whole".into();
            return Err(Error::Ephemeral { path: path.clone(), message });
        }
        let persistent = draft.tree.as_ref().is_some_and(|tree| tree.get(keys).is_some());
        let stamp = Stamp::version(draft.version);
        if persistent {
            draft.touched = true;
            draft.tree = match draft.tree.take() {
                Some(tree) if !keys.is_empty() => {
                    Some(tree.delete(keys, stamp, 0).map_err(|e| Error::from_tree(e, path))?.tree)
                }
                _ => None,
            };
        }
        if !overlay.any_below(&root) {
            draft.present.clone_from(&draft.tree);
        } else if persistent {
            overlay.remove_below(path);
            draft.present = overlay.merge(&root, draft.tree.as_ref());
        } else {
            // Sessions end with many of these, and merging anew for each would take long.
            overlay.remove_below(path);
            let tree = draft.tree.as_ref();
            let stands = |len: &usize| tree.is_some_and(|tree| tree.get(&keys[..*len]).is_some());
            let keep = (0..keys.len()).rev().find(stands).unwrap_or(0);
            draft.present = match draft.present.take() {
                Some(present) if !keys.is_empty() => {
                    let edit = present.delete_overlay(keys, keep).map_err(|e| Error::from_tree(e, path))?;
                    Some(edit.tree).filter(|present| tree.is_some() || !present.top.is_empty())
                }
                _ => None,
            };
        }
        self.changes.push(Change {
            path: path.clone(),
            before: Some(before),
            after: None,
            ephemeral: !persistent,
        });
        Ok(())
    }

    fn rollback(&mut self, root: &Key, back_to: i64) -> Result<(), Error> {
        let path = Path::new([root.clone()])?;
        path.check_root()?;
        let past = find(&self.tip.state, root, back_to)?;
        let at = self.draft(root);
        let stamp = Stamp::version(self.drafts[at].version);
        match (past.tree, self.drafts[at].tree.clone()) {
            (Some(target), Some(tree)) => self.roll(at, &tree, &target, stamp)?,
            (Some(target), None) => {
                self.put_node(at, &path, Node::Container(target.top).restamped(stamp), stamp)?;
            }
            (None, Some(_)) => self.delete(&path)?,
            (None, None) => self.drafts[at].touched = true,
        }
        self.rollback_to = Some((root.clone(), past.version));
        Ok(())
    }

    /// Applies the edits that lead from `tree` to `target`. What is ephemeral and in their way goes.
    fn roll(&mut self, at: usize, tree: &Tree, target: &Tree, stamp: Stamp) -> Result<(), Error> {
        let root = self.drafts[at].name.clone();
        let mut rolled = tree.clone();
        for step in steps(tree, target) {
            let (keys, after) = match step {
                Step::Put(keys, node) => (keys, Some(node.restamped(stamp))),
                Step::Delete(keys) => (keys, None),
            };
            let path = Path::from_checked([std::slice::from_ref(&root), &keys[..]].concat());
            let edit = match &after {
                Some(node) => rolled.put(&keys, node.clone(), stamp),
                None => rolled.delete(&keys, stamp, 0),
            };
            let edit = edit.map_err(|error| Error::from_tree(error, &path))?;
            rolled = edit.tree;
            self.tip.overlay.remove_above(&path);
            self.tip.overlay.remove_below(&path);
            self.changes.push(Change { path, before: edit.before, after, ephemeral: false });
        }
        // An equal state is a version all the same.
        rolled.stamp = stamp;
        let draft = &mut self.drafts[at];
        draft.present = self.tip.overlay.merge(&Path::from_checked(vec![root]), Some(&rolled));
        draft.tree = Some(rolled);
        draft.touched = true;
        Ok(())
    }

    /// Ends a session's ephemeral nodes.
    fn end(&mut self, session: SessionId) -> Result<(), Error> {
        self.tip.overlay.of_session(session).iter().try_for_each(|path| self.delete(path))
    }
}

/// The change that a session's end makes; `None` where it left nothing.
pub(super) fn end_session(tip: &mut Tip<'_>, session: SessionId, by: TegaId, time_ms: u64) -> Option<Event> {
    let mut judge = Judge {
        tip,
        drafts: Vec::new(),
        index: HashMap::new(),
        changes: Vec::new(),
        by: None,
        session: None,
        rollback_to: None,
        now: Instant::now(),
    };
    // Its nodes are ephemeral and exist, so nothing can refuse.
    let _ = judge.end(session);
    let Judge { tip, drafts, changes, .. } = judge;
    if changes.is_empty() {
        return None;
    }
    let event = Event {
        position: None,
        time_ms,
        by: Some(by),
        roots: Vec::new(),
        changes,
        rollback_to: None,
        durable: false,
        created: Vec::new(),
        request: None,
        origin: None,
        breaks: Vec::new(),
    };
    finish(tip, drafts, event).event
}

/// A kept version: at least 0 absolute, below 0 relative to the present one.
pub(super) fn find(state: &State, root: &str, version: i64) -> Result<Past, Error> {
    let none = || Error::NoVersion { root: root.into(), version };
    let kept = state.kept(root).ok_or_else(none)?;
    let present = state.version(root).ok_or_else(none)?;
    let wanted = match u64::try_from(version) {
        Ok(absolute) => absolute,
        Err(_) => present.0.checked_sub(version.unsigned_abs()).ok_or_else(none)?,
    };
    // The history is a step ahead of the state while a batch is being published.
    if wanted > present.0 {
        return Err(none());
    }
    with_kept(kept, |kept| kept.iter().find(|past| past.version.0 == wanted).cloned()).ok_or_else(none)
}
