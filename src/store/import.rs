//! A fresh data directory from what another program kept: base states and the commits after them.
//!
//! Everything is written down as the log says it and read by the code that replays a log, before the directory is
//! touched: what would not open is not written.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path as FilePath;

use super::OpenError;
use super::compact::{base_lines, record, write_store};
use super::options::Options;
use super::replay::Replay;
use super::state::Past;
use crate::commit::{Commit, Incarnation, Position};
use crate::log::{CompactionError, Directory, Log, LogError, Medium, Offset};
use crate::path::{Key, Path};
use crate::tree::{StateReader, Tree, Version};
use crate::value::Value;

/// A root to start from.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its name.
    pub root: Key,
    /// Its version.
    pub version: u64,
    /// When it was taken, in milliseconds since 1970; information only.
    pub time_ms: u64,
    /// Its content, an object.
    pub value: Value,
    /// Versions of nodes, none above its parent's. A node that isn't named has its parent's.
    pub versions: Vec<(Path, u64)>,
}

/// Why nothing was imported.
#[derive(Debug)]
pub enum ImportError {
    /// The directory can't be opened or written.
    Open(OpenError),
    /// The directory has a log with records already; import into an empty one.
    NotEmpty,
    /// What is to be imported doesn't fit together.
    Bad(String),
    /// The disk refused the new log.
    Write(CompactionError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Open(error) => error.fmt(f),
            ImportError::NotEmpty => {
                f.write_str("the data directory holds data already; import into an empty one")
            }
            ImportError::Bad(why) => write!(f, "can't be imported: {why}"),
            ImportError::Write(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ImportError::Open(error) => Some(error),
            ImportError::Write(error) => Some(error),
            ImportError::NotEmpty | ImportError::Bad(_) => None,
        }
    }
}

impl From<LogError> for ImportError {
    fn from(error: LogError) -> ImportError {
        ImportError::Open(error.into())
    }
}

/// Writes a data directory that holds these roots and commits and no others.
///
/// Of the commits time, author, versions, edits and `rollback_to` are taken; their positions and the incarnations of
/// the roots are made here. Each commit gives a root the version after the one before, 0 to a root that is new.
///
/// The directory must be empty, new, or one whose log holds nothing. After an error it is as it was.
///
/// ```
/// use tega::{store::{Base, Options, Store, import}, value::Value};
/// let dir = std::env::temp_dir().join(format!("tega-import-doc-{}", std::process::id()));
/// let value = Value::parse(r#"{"mtu":1500}"#)?;
/// let base = Base { root: "lan".into(), version: 7, time_ms: 0, value, versions: vec![] };
/// import(&dir, &Options::default(), &[base], &[])?;
/// let store = Store::open(&dir, Options::default())?;
/// assert_eq!(store.view().root("lan").map(|root| root.version.0), Some(7));
/// # store.close();
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn import(
    dir: impl AsRef<FilePath>,
    options: &Options,
    bases: &[Base],
    commits: &[Commit],
) -> Result<(), ImportError> {
    let lines = lines(options, bases, commits)?;
    let dir = dir.as_ref();
    let before = names(dir);
    let imported = Directory::open(dir)
        .map_err(ImportError::from)
        .and_then(|directory| write(Box::new(directory), &lines));
    if imported.is_err() {
        // What can't be removed does no harm: it is an empty log at most.
        match before {
            None => drop(fs::remove_dir_all(dir)),
            Some(before) => {
                let made = names(dir).unwrap_or_default().into_iter().filter(|name| !before.contains(name));
                made.for_each(|name| drop(fs::remove_file(dir.join(name))));
            }
        }
    }
    imported
}

/// What stands in a directory; `None`: there is none.
fn names(dir: &FilePath) -> Option<Vec<std::ffi::OsString>> {
    Some(fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.file_name())).collect())
}

/// Makes the lines the log of a medium whose log is empty, in one step.
pub(super) fn write(medium: Box<dyn Medium>, lines: &[String]) -> Result<(), ImportError> {
    let mut empty = true;
    let (mut log, _) = Log::open(medium, &mut |_, _| {
        empty = false;
        Ok(())
    })?;
    if !empty {
        return Err(ImportError::NotEmpty);
    }
    let mut new = log.compaction().map_err(ImportError::Write)?;
    for line in lines {
        record(&mut new, |out| fmt::Write::write_str(out, line)).map_err(ImportError::Write)?;
    }
    log.finish(new).map_err(ImportError::Write)?;
    Ok(())
}

/// The records of the log to be, which are known to replay.
pub(super) fn lines(
    options: &Options,
    bases: &[Base],
    commits: &[Commit],
) -> Result<Vec<String>, ImportError> {
    let mut position = Position(u64::from(!bases.is_empty()));
    let mut lines = vec![String::new()];
    // Writing to a String can't fail, here and below.
    let _ = write_store(Incarnation::draw(), position, Position(0), Position(0), &mut lines[0]);
    let mut versions: BTreeMap<Key, u64> = BTreeMap::new();
    for base in bases {
        versions.insert(base.root.clone(), base.version);
        let past = Past {
            version: Version(base.version),
            incarnation: Incarnation::draw(),
            position,
            origin: None,
            digest: 0,
            time_ms: base.time_ms,
            by: None,
            tree: Some(tree(base)?),
            event: None,
        };
        let mut emit = |line| {
            lines.push(line);
            Ok::<(), ImportError>(())
        };
        base_lines("base", &base.root, &past, &mut emit)?;
    }
    for commit in commits {
        position.0 += 1;
        let mut line = String::new();
        let _ = numbered(commit, position, &mut versions)?.encode(&mut line);
        lines.push(line);
    }
    lines.push("{\"compacted\":true}".into());
    let mut replay = Replay::new(options);
    for (number, line) in lines.iter().enumerate() {
        let bad = |why| ImportError::Bad(format!("record {}: {why}", number + 1));
        replay.record(Offset(0), line).map_err(bad)?;
    }
    replay.finish().map_err(ImportError::Bad)?;
    Ok(lines)
}

/// The commit with its position, and an incarnation for each root that it creates.
fn numbered(
    commit: &Commit,
    position: Position,
    versions: &mut BTreeMap<Key, u64>,
) -> Result<Commit, ImportError> {
    let mut commit = Commit { position, request: None, ..commit.clone() };
    commit.roots.sort_by(|a, b| a.root.cmp(&b.root));
    for touched in &mut commit.roots {
        let before = versions.insert(touched.root.clone(), touched.version);
        let next = before.map_or(0, |before| before + 1);
        let (root, version) = (&touched.root, touched.version);
        if version != next {
            return Err(ImportError::Bad(format!("version {version} of {root}, where {next} is the next")));
        }
        touched.incarnation = before.is_none().then(Incarnation::draw);
        let edits = commit.edits.iter().any(|edit| {
            let (crate::commit::Edit::Put(path, _) | crate::commit::Edit::Delete(path)) = edit;
            path.root() == Some(root)
        });
        if !edits && touched.rollback_to.is_none() {
            return Err(ImportError::Bad(format!("version {version} of {root} without an edit")));
        }
    }
    if commit.roots.is_empty() {
        return Err(ImportError::Bad("a commit without roots".into()));
    }
    Ok(commit)
}

/// The tree of a base, each node with its version.
fn tree(base: &Base) -> Result<Tree, ImportError> {
    let bad = |why: String| ImportError::Bad(format!("{}: {why}", base.root));
    if base.value.as_object().is_none() {
        return Err(bad("a root can only be an object".into()));
    }
    let versions: BTreeMap<&[Key], u64> = base.versions.iter().map(|(path, v)| (path.keys(), *v)).collect();
    let mut reader = StateReader::new(Version(base.version));
    let mut keys = vec![base.root.clone()];
    nodes(&base.value, base.version, &versions, &mut keys, &mut |entry| reader.feed(&entry)).map_err(bad)?;
    reader.finish().map_err(bad)
}

/// Gives every node below an object as a line of a state. Recurses once a level, and values have few.
fn nodes(
    value: &Value,
    above: u64,
    versions: &BTreeMap<&[Key], u64>,
    keys: &mut Vec<Key>,
    emit: &mut dyn FnMut(Value) -> Result<(), String>,
) -> Result<(), String> {
    for (key, value) in value.as_object().map_or(&[][..], |object| object.members()) {
        let depth = keys.len();
        keys.push(key.clone());
        let version = versions.get(keys.as_slice()).copied().unwrap_or(above);
        let mut entry = vec![Value::from(depth as u64), Value::Text(key.clone()), Value::from(version)];
        if value.as_object().is_none() {
            entry.push(value.clone());
        }
        let entry =
            Value::list(entry).and_then(|entry| Value::list(vec![entry])).map_err(|e| e.to_string())?;
        emit(entry)?;
        nodes(value, version, versions, keys, emit)?;
        keys.pop();
    }
    Ok(())
}
