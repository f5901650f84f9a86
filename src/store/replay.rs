//! From the log's records back to the state: at a start, and the other end of what `compact` writes.
//!
//! | record | says |
//! | --- | --- |
//! | `{"store":ID,"position":P,"forgotten":F,"floor":P}` | the first one, and where counters jump: which store this is, and where they stand |
//! | `{"base":ROOT,"incarnation":…,"version":…,"position":…,"time":…,"by":…}` | the oldest kept version of a root; `"deleted":true` for one that was gone |
//! | `[[depth,key,version,value], …]` | nodes of the last base |
//! | `{"requests":[[ID,CRC,POSITION,{ROOT:VERSION}], …]}` | outcomes that retries may ask for; a last `true`: of a followed commit |
//! | `{"homes":{ROOT:[TEGA_ID,HANDOVER]}}` | whose commits roots take; `null`: this server's |
//! | `{"replaced":ROOT,…}` | as a base: a state that a snapshot replaced |
//! | `{"install":TEGA_ID,"as":P,"roots":[…]}` | a snapshot of its home replaces these roots: bases, nodes and outcomes of requests follow, a root without a base is gone |
//! | `{"installed":true}` | it is whole; without this it didn't happen |
//! | `{"follow":TEGA_ID,"as":P,"record":{…}}` | a home's commit as it stands there, and the position that it took here |
//! | `{"compacted":true}` | what follows came after the compaction |
//! | `{"position":…,"ops":[…],…}` | a commit, see `commit` |
//!
//! Everything is checked: a record that doesn't follow from those before it is refused, and so is the log.

use std::sync::Arc;

use super::base::{Reading, number};
use super::event::Change;
use super::follow::{add_root, event_of};
use super::homes::read_homes;
use super::install::replace;
use super::options::Options;
use super::requests::{self, Outcome, Outcomes, Requests};
use super::state::{Kept, Past, State, with_kept};
use crate::commit::{Commit, Digest, Edit, Incarnation, Position, TegaId, Touched};
use crate::log::Offset;
use crate::path::Key;
use crate::tree::{Node, Stamp, Tree, Version};
use crate::value::{Limits, Value};

pub(super) struct Replay {
    pub(super) state: State,
    pub(super) requests: Requests,
    pub(super) store: Option<Incarnation>,
    /// How long the log was after the last compaction.
    pub(super) compacted: Offset,
    history: usize,
    request_limit: usize,
    reading: Option<(Kind, Reading)>,
    install: Option<Install>,
}

/// What a state is that is being read.
enum Kind {
    /// The oldest kept version of a root.
    Base,
    /// One that a snapshot replaced.
    Replaced,
    /// One of a snapshot.
    Installed,
}

/// A snapshot whose end mark may or may not come.
struct Install {
    position: Position,
    roots: Vec<(Key, Option<Past>)>,
    outcomes: Outcomes,
}

impl Replay {
    pub(super) fn new(options: &Options) -> Replay {
        Replay {
            state: State::new(Position(0)),
            requests: Requests::default(),
            store: None,
            compacted: Offset(0),
            history: options.history,
            request_limit: options.requests,
            reading: None,
            install: None,
        }
    }

    /// Takes the next record; the error says what is wrong with it.
    pub(super) fn record(&mut self, offset: Offset, text: &str) -> Result<(), String> {
        let record = Value::parse_with(text, Limits::wrapped()).map_err(|e| e.to_string())?;
        if record.as_list().is_some() {
            let (_, reading) = self.reading.as_mut().ok_or("nodes without a base")?;
            return reading.nodes(&record);
        }
        self.end_state()?;
        if let (Some(root), true) = (record.get("base"), self.install.is_some()) {
            self.reading = Some((Kind::Installed, Reading::begin(root, &record)?));
            return Ok(());
        }
        if let (Some(requests), Some(install)) = (record.get("requests"), &mut self.install) {
            install.outcomes.extend(requests::read(requests)?);
            return Ok(());
        }
        // Without its end mark, a snapshot wasn't installed.
        let install = self.install.take();
        if record.get("installed").is_some() {
            return self.installed(install.ok_or("the end of a snapshot that didn't begin")?);
        }
        if record.get("install").is_some() {
            return self.begin_install(&record);
        }
        if let Some(home) = record.get("follow") {
            let home = TegaId::new(home.as_str().unwrap_or("")).map_err(|e| e.to_string())?;
            let commit = Commit::from_value(record.get("record").unwrap_or(&Value::Null))?;
            return self.commit(commit, Position(number(&record, "as")?), Some(home));
        }
        if let Some(homes) = record.get("homes") {
            read_homes(homes)?.into_iter().for_each(|(root, away)| self.state.set_home(&root, away));
            return Ok(());
        }
        if record.get("ops").is_some() {
            let commit = Commit::from_value(&record)?;
            let position = commit.position;
            return self.commit(commit, position, None);
        }
        if let Some(root) = record.get("base") {
            let reading = Reading::begin(root, &record)?;
            if self.state.kept(reading.root()).is_some() {
                return Err(format!("a second base of {}", reading.root()));
            }
            self.reading = Some((Kind::Base, reading));
            return Ok(());
        }
        if let Some(root) = record.get("replaced") {
            self.reading = Some((Kind::Replaced, Reading::begin(root, &record)?));
            return Ok(());
        }
        if let Some(requests) = record.get("requests") {
            return self.add_requests(requests);
        }
        if let Some(id) = record.get("store") {
            let id = id.as_str().unwrap_or("").parse().map_err(|_| "bad store ID")?;
            self.store = Some(id);
            self.state.position = Position(number(&record, "position")?);
            self.state.floor = Position(record.get("floor").map_or(Ok(0), |_| number(&record, "floor"))?);
            self.requests.forgotten = Position(number(&record, "forgotten")?);
            return Ok(());
        }
        if record.get("compacted").is_some() {
            self.compacted = offset;
            return Ok(());
        }
        Err("a record of no known kind; was it written by a newer version?".into())
    }

    /// After the last record.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        if self.install.take().is_some() {
            // Torn: it wasn't installed.
            self.reading = None;
        }
        self.end_state()
    }

    fn end_state(&mut self) -> Result<(), String> {
        let Some((kind, reading)) = self.reading.take() else { return Ok(()) };
        let (root, past) = reading.finish()?;
        match kind {
            Kind::Base => self.place(root, Kept::default(), past),
            Kind::Replaced => self.state.keep_replaced(&root, past),
            Kind::Installed => {
                let roots = self.install.iter_mut().flat_map(|install| &mut install.roots);
                let slot = roots.into_iter().find(|(name, _)| *name == root);
                slot.ok_or_else(|| format!("a snapshot of {root}, which it doesn't name"))?.1 = Some(past);
            }
        }
        Ok(())
    }

    fn begin_install(&mut self, record: &Value) -> Result<(), String> {
        let roots = record.get("roots").and_then(Value::as_list).ok_or("\"roots\" must be a list")?;
        let name = |name: &Value| Ok((name.as_str().ok_or("a root's name must be text")?.into(), None));
        let roots = roots.items().iter().map(name).collect::<Result<_, String>>()?;
        let position = Position(number(record, "as")?);
        self.install = Some(Install { position, roots, outcomes: Vec::new() });
        Ok(())
    }

    fn installed(&mut self, install: Install) -> Result<(), String> {
        self.state.position = self.state.position.max(install.position);
        self.requests.install(&self.state, &install.roots, install.outcomes, self.request_limit);
        for (name, past) in install.roots {
            let present = past.as_ref().and_then(|past| past.tree.clone());
            replace(&mut self.state, install.position, &name, past, present);
        }
        Ok(())
    }

    /// Makes a version the newest of its root.
    fn place(&mut self, name: Key, kept: Kept, past: Past) {
        self.state.place(&name, &past, past.tree.clone(), &kept);
        let keep = self.history + 1;
        with_kept(&kept, |kept| {
            kept.push_back(past);
            while kept.len() > keep {
                kept.pop_front();
            }
        });
    }

    fn add_requests(&mut self, requests: &Value) -> Result<(), String> {
        for (id, outcome) in requests::read(requests)? {
            self.requests.insert(id, outcome, self.request_limit);
        }
        Ok(())
    }

    /// A commit with its position here, which is another one than in its record where that is from a home.
    fn commit(&mut self, commit: Commit, position: Position, home: Option<TegaId>) -> Result<(), String> {
        // The commits that a compaction keeps lie before the position in its first record.
        self.state.position = self.state.position.max(position);
        let origin = home.as_ref().map(|_| commit.position);
        let mut event = event_of(&commit, position, home.map(|home| (home, commit.position)));
        let stray = |edit: &&Edit| {
            let (Edit::Put(path, _) | Edit::Delete(path)) = edit;
            path.root().is_none_or(|root| !commit.roots.iter().any(|touched| touched.root == *root))
        };
        if let Some(edit) = commit.edits.iter().find(stray) {
            return Err(format!("an edit of a root without a version: {edit:?}"));
        }
        let followed = origin.is_some();
        let mut places: Vec<(Key, Kept, Past)> = Vec::with_capacity(commit.roots.len());
        for touched in &commit.roots {
            let Some(Follows { kept, incarnation, digest, tree }) = self.follows(touched)? else { continue };
            let version = Version(touched.version);
            let tree = edit_root(touched, &commit.edits, tree, &mut event.changes)?;
            add_root(&mut event, touched, incarnation);
            let digest = commit.digest(&touched.root, digest).0;
            let (time_ms, by) = (commit.time_ms, commit.by.clone());
            let past =
                Past { version, incarnation, position, origin, digest, time_ms, by, tree, event: None };
            places.push((touched.root.clone(), kept, past));
        }
        let event = Arc::new(event);
        for (root, kept, past) in places {
            self.place(root, kept, Past { event: Some(event.clone()), ..past });
        }
        if let Some(request) = commit.request {
            let versions = commit.roots.iter().map(|t| (t.root.clone(), Version(t.version))).collect();
            let outcome = Outcome { crc: request.crc, position, versions, followed };
            self.requests.insert(request.id, outcome, self.request_limit);
        }
        Ok(())
    }

    /// What a commit's version of a root must follow; `None`: the base of the root has it already.
    fn follows(&self, touched: &Touched) -> Result<Option<Follows>, String> {
        let Touched { root, version, incarnation, .. } = touched;
        let standing = self.state.standing(root);
        let live = self.state.live.get(root);
        match (incarnation, standing) {
            // Its creation, and the base is that or a later version.
            (Some(incarnation), Some(here)) if here.incarnation == *incarnation => Ok(None),
            // New, or created again after its tombstone was dropped to make room.
            (Some(incarnation), _) if *version == 0 && live.is_none() => Ok(Some(Follows {
                kept: Kept::default(),
                incarnation: *incarnation,
                digest: Digest::default(),
                tree: None,
            })),
            (None, Some(here)) if here.version.0 >= *version => Ok(None),
            (None, Some(here)) if here.version.0 + 1 == *version => Ok(Some(Follows {
                kept: self.state.kept(root).cloned().unwrap_or_default(),
                incarnation: here.incarnation,
                digest: Digest(here.digest),
                tree: live.map(|root| root.tree.clone()),
            })),
            (_, Some(here)) => Err(format!("version {version} of {root} follows {}", here.version)),
            (_, None) => Err(format!("version {version} of {root}, which was never created")),
        }
    }
}

/// The state of a root that a commit follows.
struct Follows {
    kept: Kept,
    incarnation: Incarnation,
    digest: Digest,
    tree: Option<Tree>,
}

/// Applies the edits of one root.
pub(super) fn edit_root(
    touched: &Touched,
    edits: &[Edit],
    mut tree: Option<Tree>,
    changes: &mut Vec<Change>,
) -> Result<Option<Tree>, String> {
    let stamp = Stamp::version(Version(touched.version));
    for edit in edits {
        let (Edit::Put(path, _) | Edit::Delete(path)) = edit;
        let Some((root, keys)) = path.keys().split_first() else { return Err("an edit of the top".into()) };
        path.check_root().map_err(|e| e.to_string())?;
        if *root != touched.root {
            continue;
        }
        let refused = |error| format!("{path}: {error}");
        let (before, after) = match edit {
            Edit::Put(_, value) => {
                let node = Node::build(value, stamp, keys.len()).map_err(refused)?;
                let existed = tree.is_some();
                let base = tree.take().unwrap_or_else(|| Tree::new(stamp));
                let edit = base.put(keys, node.clone(), stamp).map_err(refused)?;
                tree = Some(edit.tree);
                (edit.before.filter(|_| existed || !keys.is_empty()), Some(node))
            }
            Edit::Delete(_) if keys.is_empty() => {
                let gone = tree.take().ok_or_else(|| format!("{path}: nothing there to delete"))?;
                (Some(Node::Container(gone.top)), None)
            }
            Edit::Delete(_) => {
                let base = tree.take().ok_or_else(|| format!("{path}: nothing there to delete"))?;
                let edit = base.delete(keys, stamp, 0).map_err(refused)?;
                tree = Some(edit.tree);
                (edit.before, None)
            }
        };
        changes.push(Change { path: path.clone(), before, after, ephemeral: false });
    }
    // A rollback to an equal state has no edits and is a version all the same.
    if let Some(tree) = &mut tree {
        tree.stamp = stamp;
    }
    Ok(tree)
}
