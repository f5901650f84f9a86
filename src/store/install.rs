//! A home's snapshot in place of what stood here: in one step for the log, for readers and for watchers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::base::Lines;
use super::committer::{Committer, answer, refusal};
use super::event::{Change, Event};
use super::follow::check_home;
use super::options::Durability;
use super::overlay::Overlay;
use super::requests::{self, Outcome, Outcomes};
use super::snapshot::{INSTALLED, Snapshot};
use super::state::{Kept, Past, Root, State, with_kept};
use super::{Done, Error};
use crate::commit::{Incarnation, Position};
use crate::log::{AppendError, Group};
use crate::path::{Key, Path};
use crate::system::now_ms;
use crate::tree::{Kind, Node, Stamp, Tree, Version};

/// The lines of a snapshot go to the log in groups of about this many bytes.
const GROUP: usize = 256 << 10;

impl Committer {
    /// Replaces the snapshot's roots, whatever they were.
    pub(super) fn install(&mut self, snapshot: Snapshot, done: Done<()>) {
        // The home may have been moved while the snapshot was on its way; what the new one did must stay.
        let role = &self.shared.options.role;
        let mut names = snapshot.taken.roots.iter().map(|(name, _)| name);
        if let Err(error) = names.try_for_each(|name| check_home(&self.state, role, &snapshot.home, name)) {
            return answer(done, Err(error));
        }
        let position = Position(self.state.position.0 + 1);
        let here = |(id, outcome)| (id, Outcome { position, followed: true, ..outcome });
        let outcomes: Outcomes = snapshot.outcomes.iter().cloned().map(here).collect();
        let synced = match self.log_install(&snapshot, &outcomes, position) {
            Ok(synced) => synced,
            Err(error) => return answer(done, Err(error)),
        };
        let Snapshot { home, taken, .. } = snapshot;
        let limit = self.shared.options.requests;
        self.shared.requests().install(&self.state, &taken.roots, outcomes, limit);
        let mut state = self.state.clone();
        state.position = position;
        let mut event = Event {
            position: Some(position),
            time_ms: now_ms(),
            by: None,
            roots: Vec::new(),
            changes: Vec::new(),
            rollback_to: None,
            durable: synced,
            created: Vec::new(),
            request: None,
            origin: Some((home, taken.position)),
            breaks: taken.roots.iter().map(|(name, _)| name.clone()).collect(),
        };
        {
            let mut overlay = self.shared.overlay();
            for (name, past) in taken.roots {
                let tree = past.as_ref().and_then(|past| past.tree.clone());
                event.changes.extend(change(&state, &name, tree.as_ref()));
                if let Some(past) = &past {
                    event.roots.push((name.clone(), past.incarnation, past.version));
                }
                let present = present(&mut overlay, &name, tree.as_ref());
                replace(&mut state, position, &name, past, present);
            }
            overlay.keep();
        }
        event.roots.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.state = state;
        self.drop_tombs();
        if synced {
            self.synced_all();
        }
        self.show(&[Arc::new(event)]);
        if synced {
            self.wake_held();
        }
        self.report();
        answer(done, Ok(()));
    }

    /// Writes the snapshot down, with the end mark last, and waits for the disk. False: there is nothing for it.
    fn log_install(
        &mut self,
        snapshot: &Snapshot,
        outcomes: &Outcomes,
        position: Position,
    ) -> Result<bool, Error> {
        let shared = self.shared.clone();
        let skip = |root: &str| shared.options.durability_of(root) == Durability::Memory;
        if self.log.is_none() || snapshot.taken.roots.iter().all(|(name, _)| skip(name)) {
            return Ok(false);
        }
        if let Some(error) = refusal(&self.health) {
            return Err(error);
        }
        let states = snapshot.taken.roots.iter().filter(|(name, _)| !skip(name));
        let states = states.filter_map(|(name, past)| Some(Lines::new(name, past.as_ref()?))).flatten();
        let outcomes =
            requests::lines(outcomes.iter().filter_map(|(id, outcome)| requests::item(id, outcome, skip)));
        let lines = std::iter::once(snapshot.begin_line(position, skip)).chain(states).chain(outcomes);
        let mut group = Group::new();
        for line in lines.chain(std::iter::once(INSTALLED.to_string())) {
            group.record(|out| out.extend_from_slice(line.as_bytes())).map_err(|error| Error::TooLarge {
                path: None,
                message: format!("the snapshot can't be logged: {error}"),
            })?;
            if group.len() >= GROUP {
                self.append(&mut group).map_err(|error| self.fail(&error))?;
            }
        }
        let written =
            self.append(&mut group).and_then(|()| self.log.as_mut().map_or(Ok(()), |log| log.sync()));
        written.map(|()| true).map_err(|error| self.fail(&error))
    }

    pub(super) fn append(&mut self, group: &mut Group) -> Result<(), AppendError> {
        let appended = match &mut self.log {
            Some(log) if !group.is_empty() => log.append(group),
            _ => Ok(()),
        };
        group.clear();
        appended
    }
}

/// What watchers see of a root that is replaced.
fn change(state: &State, name: &Key, tree: Option<&Tree>) -> Option<Change> {
    let live = state.live.get(name).filter(|root| !root.ephemeral_only);
    let before = live.map(|root| Node::Container(root.present.top.clone()));
    let after = tree.map(|tree| Node::Container(tree.top.clone()));
    let path = Path::from_checked(vec![name.clone()]);
    (before.is_some() || after.is_some()).then_some(Change { path, before, after, ephemeral: false })
}

/// The tree with what is ephemeral; what is in its way goes.
fn present(overlay: &mut Overlay, name: &Key, tree: Option<&Tree>) -> Option<Tree> {
    let at = Path::from_checked(vec![name.clone()]);
    let in_the_way = |path: &&Path| {
        let keys = path.keys().get(1..).unwrap_or_default();
        let stands = |len: usize| tree.and_then(|tree| tree.get(keys.get(..len)?));
        let is_leaf = |len| stands(len).is_some_and(|node| matches!(node.kind, Kind::Leaf(_)));
        stands(keys.len()).is_some() || (1..keys.len()).any(is_leaf)
    };
    let gone: Vec<Path> = overlay.below(&at).map(|(path, _)| path).filter(in_the_way).cloned().collect();
    gone.iter().for_each(|path| overlay.remove_below(path));
    overlay.merge(&at, tree)
}

/// Makes a snapshot's state of a root the present one, at this position, and forgets how it came about. What
/// stood there is kept among the replaced states, unless it is the same.
pub(super) fn replace(
    state: &mut State,
    position: Position,
    name: &Key,
    past: Option<Past>,
    present: Option<Tree>,
) {
    let stood = state.standing(name);
    let same = past.as_ref().zip(stood).is_some_and(|(past, stood)| {
        (past.incarnation, past.version, past.digest) == (stood.incarnation, stood.version, stood.digest)
    });
    if let (Some(stood), Some(kept), false) = (stood, state.kept(name), same) {
        let newest = with_kept(kept, |kept| kept.iter().rev().find(|p| p.version == stood.version).cloned());
        if let Some(newest) = newest.filter(|past| past.tree.is_some()) {
            state.keep_replaced(name, newest);
        }
    }
    state.forget(name);
    if let Some(past) = past {
        let past = Past { origin: Some(past.position), position, event: None, ..past };
        let kept: Kept = Arc::new(Mutex::new(VecDeque::from([past.clone()])));
        return state.place(name, &past, present, &kept);
    }
    if stood.is_some() {
        // No tombstone tells that it was here.
        state.floor = position;
    }
    if let Some(present) = present {
        state.live = state.live.insert(name.clone(), Arc::new(ephemeral_only(present))).0;
    }
}

/// A root that only ephemeral nodes hold up.
pub(super) fn ephemeral_only(present: Tree) -> Root {
    Root {
        version: Version(0),
        incarnation: Incarnation::draw(),
        digest: 0,
        position: Position(0),
        origin: None,
        tree: Tree::new(Stamp::version(Version(0))),
        present,
        ephemeral_only: true,
        kept: Kept::default(),
    }
}
