//! What a replica takes in: its home's commits, one after the other, each judged against the tip.
//!
//! A commit must follow from what is here. One that is here already is passed over, so that a link may begin a little
//! too early; and anything else means that the replica and its home have different histories, which only a snapshot
//! mends.

use super::Error;
use super::event::Event;
use super::homes::{Home, Role, home};
use super::judge::{Applied, Tip};
use super::replay::edit_root;
use super::state::{Kept, Past, State, with_kept};
use super::transaction::{MAX_REQUEST_ID, Receipt};
use crate::commit::{Commit, Digest, Edit, Incarnation, MAX_COUNTER, Position, TegaId, Touched};
use crate::path::{Key, Path};
use crate::tree::{Tree, Version};

/// The state of a root that a commit follows.
struct Before {
    kept: Kept,
    incarnation: Incarnation,
    digest: Digest,
    tree: Option<Tree>,
}

fn diverged(root: &str, reason: impl Into<String>) -> Error {
    Error::Diverged { root: root.into(), reason: reason.into() }
}

/// Reads a home's record.
pub(super) fn read(record: &str) -> Result<Commit, Error> {
    Commit::decode(record).map_err(|why| diverged("?", format!("not a record of a commit: {why}")))
}

/// Refuses numbers that nobody reaches by counting, and IDs that nobody may choose.
fn check_bounds(commit: &Commit) -> Result<(), Error> {
    let beyond = |number: u64| number > MAX_COUNTER;
    if beyond(commit.position.0) || commit.roots.iter().any(|touched| beyond(touched.version)) {
        return Err(diverged("?", "a position or version beyond all that are given out"));
    }
    if commit.request.as_ref().is_some_and(|request| request.id.len() > MAX_REQUEST_ID) {
        return Err(diverged("?", "the ID of a request that is longer than one may be"));
    }
    Ok(())
}

/// Makes a home's commit the next of this tip; `None`: it is here already. After an error the tip must be restored.
///
/// `roots`: those that are followed, beyond which its home has nothing to say. `pending` are history entries that aren't in the histories yet.
pub(super) fn follow<'p>(
    tip: &mut Tip<'_>,
    (from, roots): (&TegaId, &[Key]),
    mut commit: Commit,
    pending: impl Iterator<Item = &'p (Kept, Past)> + Clone,
) -> Result<Option<Applied>, Error> {
    let is_of = |roots: &[Touched], edit: &Edit| {
        roots.iter().any(|touched| Some(&touched.root) == edit.path().root())
    };
    if let Some(edit) = commit.edits.iter().find(|edit| !is_of(&commit.roots, edit)) {
        return Err(diverged(&edit.path().to_string(), "an edit of a root without a version"));
    }
    // Not at a start: what the log holds was taken once.
    if tip.role.is_some() {
        check_bounds(&commit)?;
    }
    let mut fresh = Vec::with_capacity(commit.roots.len());
    for touched in &commit.roots {
        if !roots.contains(&touched.root) {
            return Err(diverged(&touched.root, format!("{from} isn't followed for it")));
        }
        if let Some(role) = tip.role {
            check_home(&tip.state, role, from, &touched.root)?;
        }
        if let Some(before) = before(tip, &commit, touched, pending.clone())? {
            fresh.push((touched.clone(), before));
        }
    }
    if fresh.is_empty() {
        return Ok(None);
    }
    if fresh.len() < commit.roots.len() {
        commit.roots = fresh.iter().map(|(touched, _)| touched.clone()).collect();
        let Commit { roots, edits, .. } = &mut commit;
        edits.retain(|edit| is_of(roots, edit));
    }
    tip.state.position.0 += 1;
    let mut event = event_of(&commit, tip.state.position, Some((from.clone(), commit.position)));
    let mut kept = Vec::with_capacity(fresh.len());
    for (touched, before) in fresh {
        let tree = edit_root(&touched, &commit.edits, before.tree, &mut event.changes)
            .map_err(|why| diverged(&touched.root, why))?;
        add_root(&mut event, &touched, before.incarnation);
        let past = Past {
            version: Version(touched.version),
            incarnation: before.incarnation,
            position: tip.state.position,
            origin: Some(commit.position),
            digest: commit.digest(&touched.root, before.digest).0,
            time_ms: commit.time_ms,
            by: commit.by.clone(),
            tree,
            event: None,
        };
        let present = present(tip, &touched.root, &event, past.tree.as_ref());
        tip.state.place(&touched.root, &past, present, &before.kept);
        kept.push((before.kept, past));
    }
    let versions = commit.roots.iter().map(|t| (t.root.clone(), Version(t.version))).collect();
    let receipt = Receipt { position: tip.state.position, versions, durable: false, applied: true };
    Ok(Some(Applied { receipt, event: Some(event), kept, record: String::new() }))
}

/// The event of a commit, without its roots and changes.
pub(super) fn event_of(commit: &Commit, position: Position, origin: Option<(TegaId, Position)>) -> Event {
    Event {
        position: Some(position),
        time_ms: commit.time_ms,
        by: commit.by.clone(),
        roots: Vec::with_capacity(commit.roots.len()),
        changes: Vec::with_capacity(commit.edits.len()),
        rollback_to: None,
        durable: true,
        created: Vec::new(),
        request: commit.request.clone(),
        origin,
        breaks: Vec::new(),
    }
}

/// Adds what became of a root to the event.
pub(super) fn add_root(event: &mut Event, touched: &Touched, incarnation: Incarnation) {
    event.roots.push((touched.root.clone(), incarnation, Version(touched.version)));
    if touched.incarnation.is_some() {
        event.created.push(touched.root.clone());
    }
    if let Some(to) = touched.rollback_to {
        event.rollback_to = Some((touched.root.clone(), Version(to)));
    }
}

/// Only a root's home may say what it is.
pub(super) fn check_home(state: &State, role: &Role, from: &TegaId, root: &Key) -> Result<(), Error> {
    Path::new([root.clone()])
        .and_then(|path| path.check_root().cloned())
        .map_err(|e| diverged(root, e.to_string()))?;
    match home(state, role, root) {
        Ok(Home::Away(at)) if at.as_ref().is_none_or(|at| at == from) => Ok(()),
        Ok(at) => Err(diverged(root, format!("{from} sends it, and its home is {at}"))),
        Err(error) => Err(diverged(root, error.to_string())),
    }
}

/// What a commit's version of a root follows; `None`: it is here already.
fn before<'p>(
    tip: &Tip<'_>,
    commit: &Commit,
    touched: &Touched,
    pending: impl Iterator<Item = &'p (Kept, Past)> + Clone,
) -> Result<Option<Before>, Error> {
    let Touched { root, version, incarnation, .. } = touched;
    let standing = tip.state.standing(root);
    let live = tip.state.live.get(root).filter(|live| !live.ephemeral_only);
    match (incarnation, standing) {
        (Some(incarnation), Some(here)) if here.incarnation == *incarnation => {}
        (Some(incarnation), _) if live.is_none() && *version == 0 => {
            let incarnation = *incarnation;
            return Ok(Some(Before {
                kept: Kept::default(),
                incarnation,
                digest: Digest::default(),
                tree: None,
            }));
        }
        (Some(_), Some(here)) => {
            let reason = format!("it is created anew, and stands here with version {}", here.version);
            return Err(diverged(root, reason));
        }
        (_, None) => return Err(diverged(root, format!("version {version} of a root that isn't here"))),
        (None, Some(_)) => {}
    }
    let (Some(here), Some(kept)) = (standing, tip.state.kept(root)) else {
        return Err(diverged(root, "a root that isn't here"));
    };
    if *version == here.version.0 + 1 {
        let tree = live.map(|live| live.tree.clone());
        let (kept, digest) = (kept.clone(), Digest(here.digest));
        return Ok(Some(Before { kept, incarnation: here.incarnation, digest, tree }));
    }
    if *version > here.version.0 {
        return Err(diverged(root, format!("version {version} after version {}", here.version)));
    }
    // It is here. What it is chained to may have been forgotten, and then nothing can be compared.
    let digest_at = |version: u64| {
        let new = pending.clone().filter(|(of, _)| std::sync::Arc::ptr_eq(of, kept));
        let new = new.map(|(_, past)| past).find(|past| past.version.0 == version).map(|past| past.digest);
        new.or_else(|| {
            with_kept(kept, |kept| kept.iter().find(|past| past.version.0 == version).map(|past| past.digest))
        })
    };
    let chained_to = match version.checked_sub(1) {
        Some(previous) => digest_at(previous).map(Digest),
        None => Some(Digest::default()),
    };
    match chained_to.zip(digest_at(*version)) {
        Some((before, digest)) if commit.digest(root, before).0 != digest => {
            Err(diverged(root, format!("version {version} is another one here")))
        }
        _ => Ok(None),
    }
}

/// The tree with what is ephemeral and not in the way of the changes.
fn present(tip: &mut Tip<'_>, root: &Key, event: &Event, tree: Option<&Tree>) -> Option<Tree> {
    let at = Path::from_checked(vec![root.clone()]);
    if !tip.overlay.any_below(&at) {
        return tree.cloned();
    }
    for change in event.changes.iter().filter(|change| change.path.root() == Some(root)) {
        tip.overlay.remove_above(&change.path);
        tip.overlay.remove_below(&change.path);
    }
    tip.overlay.merge(&at, tree)
}
