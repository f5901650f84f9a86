//! `log` and `import --from-tega`: a data directory without a server.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path as FilePath, PathBuf};

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::serve::data_dir;
use super::show::{Out, note};
use crate::commit::{Commit, Edit, Position, TegaId, Touched};
use crate::log;
use crate::migrate::{self, Import, ImportedBase, ImportedOp};
use crate::store::{self, Base, Check, Options};

/// `tega log`
pub(super) fn log(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let dir = data_dir(typed);
    if typed.has(Flag::Repair) {
        return repair(&dir);
    }
    let json = typed.has(Flag::Json);
    let mut broken = Ok(());
    let mut each = |offset: log::Offset, record: &str| {
        let line = if json { record.to_string() } else { format!("{:>10}  {record}", offset.0) };
        broken = out.line(&line);
        if broken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let dumped = log::dump(&dir, &mut each).map_err(|error| Fault::error(error.to_string()))?;
    broken?;
    if dumped.tail > 0 {
        note(&format!("{} bytes at the end are no whole record yet, or a torn tail", dumped.tail));
    }
    Ok(())
}

/// `tega log --repair`: refused while a server has the directory, which the lock tells.
fn repair(dir: &FilePath) -> Result<(), Fault> {
    let said = |error: log::LogError| Fault::error(error.to_string());
    let medium = log::Directory::open(dir).map_err(said)?;
    // A good checksum over a record that doesn't follow from those before it is damage too.
    let mut check = Check::new();
    let done =
        log::repair(Box::new(medium), &mut |offset, record| check.record(offset, record)).map_err(said)?;
    note(&format!(
        "damage at offset {}: {}; {} records kept, {} behind the damage dropped; the log as it was is {}",
        done.offset.0, done.reason, done.records, done.dropped, done.kept_as
    ));
    Ok(())
}

/// `tega import --from-tega DIR`
pub(super) fn import_original(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    if !typed.args.is_empty() {
        return Err(Fault::usage("--from-tega DIR takes no files beside the directory"));
    }
    let from = PathBuf::from(typed.last(Flag::FromTega).unwrap_or_default());
    let import = migrate::read(&from, typed.last(Flag::Id), typed.has(Flag::AsRestarted))
        .map_err(|error| Fault::error(error.to_string()))?;
    for line in import.warnings.iter().chain(&import.differences) {
        note(line);
    }
    for id in strangers(&import) {
        note(&format!("{id:?} is no tega ID here; its commits are shown as anonymous"));
    }
    let (bases, commits) = (bases(&import), commits(&import));
    let dir = data_dir(typed);
    store::import(&dir, &Options::default(), &bases, &commits)
        .map_err(|error| Fault::error(format!("{}: {error}", dir.display())))?;
    out.line(&format!(
        "{} roots and {} commits of {} from {} to {}",
        bases.len(),
        commits.len(),
        import.tega_id,
        import.file.display(),
        dir.display()
    ))
}

/// The roots to start from. The original doesn't say when its snapshot was taken: at the first commit after it at the
/// latest.
fn bases(import: &Import) -> Vec<Base> {
    let time_ms = import.commits.iter().find_map(|commit| commit.time_ms).unwrap_or(0);
    let base = |base: &ImportedBase| Base {
        root: base.root.clone(),
        version: base.version,
        time_ms,
        value: base.value.clone(),
        versions: base.versions.clone(),
    };
    import.bases.iter().map(base).collect()
}

/// The commits after them. One without a time, which is a rollback, has that of the one before.
fn commits(import: &Import) -> Vec<Commit> {
    let mut time_ms = import.commits.iter().find_map(|commit| commit.time_ms).unwrap_or(0);
    let mut commits = Vec::with_capacity(import.commits.len());
    for commit in &import.commits {
        time_ms = commit.time_ms.unwrap_or(time_ms);
        let touched = commit.versions.iter().map(|(root, version)| {
            let rollback = commit.rollback.as_ref().filter(|rollback| rollback.root == *root);
            let rollback_to = rollback.map(|rollback| rollback.to);
            Touched { root: root.clone(), version: *version, incarnation: None, rollback_to }
        });
        commits.push(Commit {
            position: Position(0),
            time_ms,
            by: commit.tega_id.as_deref().and_then(|id| TegaId::new(id).ok()),
            roots: touched.collect(),
            edits: commit.ops.iter().map(edit).collect(),
            request: None,
        });
    }
    commits
}

/// Authors that are no tega IDs here: the original takes any text.
fn strangers(import: &Import) -> BTreeSet<&str> {
    let authors = import.commits.iter().filter_map(|commit| commit.tega_id.as_deref());
    authors.filter(|id| TegaId::new(id).is_err()).collect()
}

fn edit(op: &ImportedOp) -> Edit {
    match op {
        ImportedOp::Put { path, value } => Edit::Put(path.clone(), value.clone()),
        ImportedOp::Delete { path } => Edit::Delete(path.clone()),
    }
}
