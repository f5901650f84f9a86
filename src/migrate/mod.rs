//! # From the original's commit logs to ours
//!
//! The original tega writes what it commits as text: files `log.TEGA_ID.N`, of which it reads only the one with the
//! highest N when it starts. [`read`] does the same and gives an [`Import`]: what to start from, then the commits in
//! their order, ready to be put into a store. It changes nothing and asks no store.
//!
//! | line | means |
//! | --- | --- |
//! | `?` | a commit begins |
//! | `{'ope': 'PUT', 'path': 'a.b', 'tega_id': None, 'instance': 1}` | one operation of it; or `'DELETE'` |
//! | `{'ope': 'SS', 'path': 'a', …, 'instance': {'_oid': 'a', '_version': 7, …}}` | a snapshot of a root, in the `internal` form |
//! | `@1448171543.12` | the commit is finished; seconds since 1970 |
//! | `-2 TEGA_ID ROOT` | a rollback, two versions back; a positive number is an index into the kept versions |
//! | `*` | nothing: a mark of a feature that the original dropped |
//!
//! **Versions.** Each root gets the version numbers that our store will give it: 0 at creation or the snapshot's, and
//! one more for each commit that touches it ([`ImportedCommit::versions`]). A root that was deleted and put again
//! goes on counting, where the original began anew.
//!
//! **Rollbacks** are resolved here, because they mean something else there: the original drops the versions between
//! and keeps ten, so `-1` twice goes two back. A small model of the original's roots follows the log, finds the state
//! that a rollback led to, and gives the edit that leads there, with that state's version in our numbering.
//!
//! **Two readings.** By a bug the original ignores DELETE records when it restarts, and adds the records of a commit
//! that a crash cut short to the next one. The log says what was committed; `as_restarted` says what the original
//! would show after a restart. Each record where the two differ is listed in [`Import::differences`].
//!
//! **Not kept**: older files, which the original doesn't read either (the snapshot at a file's head holds what they
//! led to, but not their history); ephemeral nodes, which it doesn't log; the time of a rollback, which it doesn't
//! write. One older file is read where the newest holds nothing whole, because a crash cut its snapshot short.
//!
//! **How it fails.** A line that can't be understood, a key or number that our tree can't hold, and a rollback beyond
//! what the log holds are errors with file and line: an import that guesses is worse than none. An unfinished commit
//! at the end, a DELETE of nothing, and a PUT through a leaf (which replaces it) are warnings. Nothing in a log is
//! evaluated ([`python`]), and files, lines and nesting are bounded.

mod model;
pub mod python;
mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use crate::path::{Key, Path};
use crate::value::Value;

/// The longest log file that is read, in bytes: 256 MiB.
pub const MAX_LOG: u64 = 256 << 20;

/// What one of the original's logs holds.
#[derive(Debug)]
pub struct Import {
    /// Whose log it was.
    pub tega_id: String,
    /// The file that was read.
    pub file: PathBuf,
    /// The roots to start from, at most one for each name: the snapshot at the head of the file.
    pub bases: Vec<ImportedBase>,
    /// The commits after it, in their order.
    pub commits: Vec<ImportedCommit>,
    /// Records that the original would read otherwise after a restart, in the order of the log, one line each.
    pub differences: Vec<String>,
    /// What was passed over or mended, one line each.
    pub warnings: Vec<String>,
}

/// A root as a snapshot holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedBase {
    /// Its name.
    pub root: Key,
    /// Its version.
    pub version: u64,
    /// Its content, an object.
    pub value: Value,
    /// The version of each node, the root's included, ordered by path; none is above its parent's.
    pub versions: Vec<(Path, u64)>,
}

/// One commit.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedCommit {
    /// When, in milliseconds since 1970; unknown for a rollback.
    pub time_ms: Option<u64>,
    /// Who: the first operation's tega ID.
    pub tega_id: Option<String>,
    /// What it does, in order. Empty only for a rollback to an equal state.
    pub ops: Vec<ImportedOp>,
    /// Set where the operations are the edit that a rollback led to.
    pub rollback: Option<ImportedRollback>,
    /// The version that each root it touches has after it, ordered by name.
    pub versions: Vec<(Key, u64)>,
}

/// One operation of a commit. Each can be applied to the state that the operations before it left.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportedOp {
    /// Replaces the subtree.
    Put {
        /// Where; a root only with an object.
        path: Path,
        /// What.
        value: Value,
    },
    /// Removes the node, which exists, and the parents that it leaves empty.
    Delete {
        /// Where.
        path: Path,
    },
}

/// Where a rollback led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedRollback {
    /// The root that it is about.
    pub root: Key,
    /// The version, in our numbering, whose state it made the present one.
    pub to: u64,
}

/// Why a log can't be imported.
#[derive(Debug)]
pub enum MigrateError {
    /// A file or the directory can't be read.
    Io(PathBuf, io::Error),
    /// The directory holds no log at all.
    NoLog(PathBuf),
    /// Logs of several tega IDs, these, and none was asked for.
    WhichId(Vec<String>),
    /// No log of the one that was asked for, the first, but of these.
    UnknownId(String, Vec<String>),
    /// A file beyond [`MAX_LOG`].
    TooLong(PathBuf),
    /// A line that can't be imported.
    Line {
        /// The log file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrateError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            MigrateError::NoLog(dir) => {
                write!(f, "{}: no log of the original here; one is named log.TEGA_ID.NUMBER", dir.display())
            }
            MigrateError::WhichId(ids) => {
                write!(f, "logs of several tega IDs; choose one with --id: {}", ids.join(" "))
            }
            MigrateError::UnknownId(id, ids) => {
                write!(f, "no log of {id}; there are logs of: {}", ids.join(" "))
            }
            MigrateError::TooLong(file) => write!(
                f,
                "{}: longer than {MAX_LOG} bytes; take a snapshot with the original (ss) and import what it wrote",
                file.display()
            ),
            MigrateError::Line { file, line, message } => write!(f, "{}:{line}: {message}", file.display()),
        }
    }
}

impl std::error::Error for MigrateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let MigrateError::Io(_, error) = self { Some(error) } else { None }
    }
}

/// Reads the newest log of tega ID `id` in `dir`; without an `id`, of the only one there is. With `as_restarted` it is
/// read as the original reads it when it restarts, bugs included.
pub fn read(dir: &FilePath, id: Option<&str>, as_restarted: bool) -> Result<Import, MigrateError> {
    let mut logs = find(dir)?;
    let tega_id = match id {
        Some(id) if logs.contains_key(id) => id.to_owned(),
        _ if logs.is_empty() => return Err(MigrateError::NoLog(dir.to_owned())),
        Some(id) => return Err(MigrateError::UnknownId(id.to_owned(), logs.into_keys().collect())),
        None if logs.len() > 1 => return Err(MigrateError::WhichId(logs.into_keys().collect())),
        None => logs.keys().next().cloned().unwrap_or_default(),
    };
    let files: Vec<PathBuf> = logs.remove(&tega_id).unwrap_or_default().into_values().rev().collect();
    let mut import = Import {
        tega_id,
        file: dir.to_owned(),
        bases: vec![],
        commits: vec![],
        differences: vec![],
        warnings: vec![],
    };
    for (i, file) in files.iter().enumerate() {
        let log = records::read(file)?;
        import.file = file.clone();
        import.warnings.extend(log.warnings);
        if log.steps.is_empty() && i + 1 < files.len() {
            let name = file.display();
            import.warnings.push(format!("{name}: holds nothing whole; the file before it is read instead"));
            import.differences.push(format!("{name}: the original would start empty with it"));
            continue;
        }
        model::follow(&log.steps, as_restarted, &mut import)?;
        break;
    }
    Ok(import)
}

/// The logs in a directory: by tega ID, then by number.
fn find(dir: &FilePath) -> Result<BTreeMap<String, BTreeMap<u64, PathBuf>>, MigrateError> {
    let failed = |error| MigrateError::Io(dir.to_owned(), error);
    let mut logs: BTreeMap<String, BTreeMap<u64, PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let parts =
            name.to_str().and_then(|name| name.strip_prefix("log.")).and_then(|name| name.split_once('.'));
        // A tega ID holds no dot, and `+7` is no number of the original's.
        let Some((id, number)) =
            parts.filter(|(id, n)| !id.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        if let Ok(number) = number.parse() {
            logs.entry(id.to_owned()).or_default().insert(number, entry.path());
        }
    }
    Ok(logs)
}

#[cfg(test)]
mod tests;
