//! `log` and `import --from-tega`: a data directory without a server.

use std::ops::ControlFlow;
use std::path::{Path as FilePath, PathBuf};

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::serve::data_dir;
use super::show::{Out, note};
use crate::commit::TegaId;
use crate::log;
use crate::migrate::{self, Import, ImportedBase, ImportedOp};
use crate::path::Path;
use crate::store::{Op, Options, Store, Transaction};

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
    let done = log::repair(Box::new(medium), &mut |_, _| Ok(())).map_err(said)?;
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
    let dir = data_dir(typed);
    let options = Options { history: import.commits.len().clamp(10, 1000), ..Options::default() };
    let store = Store::open(&dir, options).map_err(|error| Fault::error(error.to_string()))?;
    let loaded = load(&store, &import);
    store.close();
    let count = loaded?;
    out.line(&format!(
        "{count} commits of {} from {} to {}",
        import.tega_id,
        import.file.display(),
        dir.display()
    ))
}

/// Commits what the log holds, in its order. A root that is there already is refused before anything is done: an
/// import mixed into other data could not be told from it.
fn load(store: &Store, import: &Import) -> Result<usize, Fault> {
    let roots = import.bases.iter().map(|base| &base.root);
    let touched = import.commits.iter().flat_map(|commit| commit.versions.iter().map(|(root, _)| root));
    let view = store.view();
    if let Some(root) = roots.chain(touched).find(|root| view.root(root).is_some()) {
        return Err(Fault::error(format!(
            "the data directory has a root {root} already; import into a new one"
        )));
    }
    let said = |error: crate::store::Error| Fault::error(crate::api::error::Refusal::from(error).message);
    for base in &import.bases {
        store.commit(transaction(Some(&import.tega_id), vec![put_base(base)])).map_err(said)?;
    }
    for commit in &import.commits {
        let ops: Vec<Op> = commit.ops.iter().map(op).collect();
        if ops.is_empty() {
            continue;
        }
        store.commit(transaction(commit.tega_id.as_deref(), ops)).map_err(said)?;
    }
    Ok(import.bases.len() + import.commits.len())
}

fn transaction(by: Option<&str>, ops: Vec<Op>) -> Transaction {
    let by = by.and_then(|id| TegaId::new(id).ok());
    Transaction { ops, ..Transaction::new(by) }
}

fn put_base(base: &ImportedBase) -> Op {
    let path = Path::from_checked(vec![base.root.clone()]);
    Op::Put { path, value: base.value.clone(), expect: None, ephemeral: false }
}

fn op(op: &ImportedOp) -> Op {
    match op {
        ImportedOp::Put { path, value } => {
            Op::Put { path: path.clone(), value: value.clone(), expect: None, ephemeral: false }
        }
        ImportedOp::Delete { path } => Op::Delete { path: path.clone(), expect: None },
    }
}
