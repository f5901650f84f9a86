//! From the log's records back to the state: at a start, and the other end of what `compact` writes.
//!
//! | record | says |
//! | --- | --- |
//! | `{"store":ID,"position":P,"forgotten":F,"floor":P}` | the first one, and where counters jump: which store this is, and where they stand |
//! | `{"base":ROOT,"incarnation":…,"version":…,"position":…,"time":…,"by":…}` | the oldest kept version of a root; `"deleted":true` for one that was gone |
//! | `[[depth,key,version,value], …]` | nodes of the last base |
//! | `{"requests":[[ID,CRC,POSITION,{ROOT:VERSION}], …]}` | outcomes that retries may ask for |
//! | `{"compacted":true}` | what follows came after the compaction |
//! | `{"position":…,"ops":[…],…}` | a commit, see `commit` |
//!
//! Everything is checked: a record that doesn't follow from those before it is refused, and so is the log.

use std::sync::Arc;

use super::event::{Change, Event};
use super::options::Options;
use super::requests::{Outcome, Requests};
use super::state::{Kept, Past, Root, State, Tomb, with_kept};
use crate::commit::{Commit, Edit, Incarnation, Position, TegaId, Touched};
use crate::log::Offset;
use crate::path::{Key, Path};
use crate::tree::{Node, Stamp, StateReader, Tree, Version};
use crate::value::{Limits, Value};

pub(super) struct Replay {
    pub(super) state: State,
    pub(super) requests: Requests,
    pub(super) store: Option<Incarnation>,
    /// How long the log was after the last compaction.
    pub(super) compacted: Offset,
    history: usize,
    request_limit: usize,
    base: Option<Base>,
}

struct Base {
    root: Key,
    past: Past,
    reader: Option<StateReader>,
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
            base: None,
        }
    }

    /// Takes the next record; the error says what is wrong with it.
    pub(super) fn record(&mut self, offset: Offset, text: &str) -> Result<(), String> {
        let record = Value::parse_with(text, Limits::wrapped()).map_err(|e| e.to_string())?;
        if record.as_list().is_some() {
            let reader = self.base.as_mut().and_then(|base| base.reader.as_mut());
            return reader.ok_or("nodes without a base")?.feed(&record);
        }
        self.end_base()?;
        if record.get("ops").is_some() {
            return self.commit(Commit::from_value(&record)?);
        }
        if let Some(root) = record.get("base") {
            return self.begin_base(root.as_str().unwrap_or(""), &record);
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
        self.end_base()
    }

    fn begin_base(&mut self, root: &str, record: &Value) -> Result<(), String> {
        let by = record.get("by").and_then(Value::as_str).map(TegaId::new).transpose();
        let version = Version(number(record, "version")?);
        let incarnation =
            record.get("incarnation").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let deleted = record.get("deleted").is_some();
        Path::new([root]).and_then(|path| path.check_root().cloned()).map_err(|e| e.to_string())?;
        if self.state.kept(root).is_some() {
            return Err(format!("a second base of {root}"));
        }
        self.base = Some(Base {
            root: root.into(),
            past: Past {
                version,
                incarnation: incarnation.ok_or("bad incarnation")?,
                position: Position(number(record, "position")?),
                time_ms: number(record, "time")?,
                by: by.map_err(|e| e.to_string())?,
                tree: None,
                event: None,
            },
            reader: (!deleted).then(|| StateReader::new(version)),
        });
        Ok(())
    }

    fn end_base(&mut self) -> Result<(), String> {
        let Some(Base { root, mut past, reader }) = self.base.take() else { return Ok(()) };
        past.tree = reader.map(StateReader::finish).transpose()?;
        self.place(root, Kept::default(), past);
        Ok(())
    }

    /// Makes a version the newest of its root.
    fn place(&mut self, name: Key, kept: Kept, past: Past) {
        let Past { version, incarnation, position, .. } = past;
        match past.tree.clone() {
            Some(tree) => {
                let kept = kept.clone();
                let root =
                    Root { version, incarnation, present: tree.clone(), tree, ephemeral_only: false, kept };
                self.state.live = self.state.live.insert(name.clone(), Arc::new(root)).0;
                if let Some((dead, _)) = self.state.dead.remove(&name) {
                    self.state.dead = dead;
                }
            }
            None => {
                let tomb = Tomb { version, incarnation, position, kept: kept.clone() };
                self.state.dead = self.state.dead.insert(name.clone(), Arc::new(tomb)).0;
                if let Some((live, _)) = self.state.live.remove(&name) {
                    self.state.live = live;
                }
            }
        }
        let keep = self.history + 1;
        with_kept(&kept, |kept| {
            kept.push_back(past);
            while kept.len() > keep {
                kept.pop_front();
            }
        });
    }

    fn add_requests(&mut self, requests: &Value) -> Result<(), String> {
        let bad = || "bad request outcome".to_string();
        for request in requests.as_list().ok_or_else(bad)?.items() {
            let [Value::Text(id), Value::Int(crc), Value::Int(position), Value::Object(versions)] =
                request.as_list().ok_or_else(bad)?.items()
            else {
                return Err(bad());
            };
            let version = |(root, version): &(Key, Value)| {
                let version = version.as_int().and_then(|v| u64::try_from(v).ok());
                Some((root.clone(), Version(version?)))
            };
            let outcome = Outcome {
                crc: u32::try_from(*crc).map_err(|_| bad())?,
                position: Position(u64::try_from(*position).map_err(|_| bad())?),
                versions: versions.members().iter().map(version).collect::<Option<_>>().ok_or_else(bad)?,
            };
            self.requests.insert(id.clone(), outcome, self.request_limit);
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), String> {
        // The commits that a compaction keeps lie before the position in its first record.
        self.state.position = self.state.position.max(commit.position);
        let mut event = Event {
            position: Some(commit.position),
            time_ms: commit.time_ms,
            by: commit.by.clone(),
            roots: Vec::with_capacity(commit.roots.len()),
            changes: Vec::with_capacity(commit.edits.len()),
            rollback_to: None,
            durable: true,
            created: Vec::new(),
            request: commit.request.clone(),
        };
        let stray = |edit: &&Edit| {
            let (Edit::Put(path, _) | Edit::Delete(path)) = edit;
            path.root().is_none_or(|root| !commit.roots.iter().any(|touched| touched.root == *root))
        };
        if let Some(edit) = commit.edits.iter().find(stray) {
            return Err(format!("an edit of a root without a version: {edit:?}"));
        }
        let mut places: Vec<(Key, Kept, Past)> = Vec::with_capacity(commit.roots.len());
        for touched in &commit.roots {
            let Some((kept, incarnation, tree)) = self.follows(touched)? else { continue };
            let version = Version(touched.version);
            let tree = edit_root(touched, &commit.edits, tree, &mut event.changes)?;
            event.roots.push((touched.root.clone(), incarnation, version));
            if touched.incarnation.is_some() {
                event.created.push(touched.root.clone());
            }
            if let Some(to) = touched.rollback_to {
                event.rollback_to = Some((touched.root.clone(), Version(to)));
            }
            let (time_ms, by) = (commit.time_ms, commit.by.clone());
            let past =
                Past { version, incarnation, position: commit.position, time_ms, by, tree, event: None };
            places.push((touched.root.clone(), kept, past));
        }
        let event = Arc::new(event);
        for (root, kept, past) in places {
            self.place(root, kept, Past { event: Some(event.clone()), ..past });
        }
        if let Some(request) = commit.request {
            let versions = commit.roots.iter().map(|t| (t.root.clone(), Version(t.version))).collect();
            let outcome = Outcome { crc: request.crc, position: commit.position, versions };
            self.requests.insert(request.id, outcome, self.request_limit);
        }
        Ok(())
    }

    /// What a commit's version of a root must follow; `None`: the base of the root has it already.
    fn follows(&self, touched: &Touched) -> Result<Option<(Kept, Incarnation, Option<Tree>)>, String> {
        let Touched { root, version, incarnation, .. } = touched;
        let present = self.state.version(root);
        let live = self.state.live.get(root);
        let dead = self.state.dead.get(root);
        let known = live.map(|root| root.incarnation).or_else(|| dead.map(|tomb| tomb.incarnation));
        match (incarnation, present) {
            // Its creation, and the base is that or a later version.
            (Some(incarnation), Some(_)) if known == Some(*incarnation) => Ok(None),
            // New, or created again after its tombstone was dropped to make room.
            (Some(incarnation), _) if *version == 0 && live.is_none() => {
                Ok(Some((Kept::default(), *incarnation, None)))
            }
            (None, Some(present)) if present.0 >= *version => Ok(None),
            (None, Some(present)) if present.0 + 1 == *version => Ok(live
                .map(|root| (root.kept.clone(), root.incarnation, Some(root.tree.clone())))
                .or_else(|| dead.map(|tomb| (tomb.kept.clone(), tomb.incarnation, None)))),
            (_, Some(present)) => Err(format!("version {version} of {root} follows {present}")),
            (_, None) => Err(format!("version {version} of {root}, which was never created")),
        }
    }
}

/// Applies the edits of one root.
fn edit_root(
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

fn number(record: &Value, name: &str) -> Result<u64, String> {
    let number = record.get(name).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
    number.ok_or_else(|| format!("\"{name}\" must be a number from 0 to 2^63-1"))
}
