//! `import --from-tega`: the original's logs into a data directory that no server uses.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::serve::data_dir;
use super::show::{Out, note};
use crate::commit::{Commit, Edit, Position, TegaId, Touched};
use crate::migrate::{self, Import, ImportedBase, ImportedOp};
use crate::store::{self, Base, Options};

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
