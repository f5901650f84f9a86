//! `log`: a data directory without a server.

use std::ops::ControlFlow;
use std::path::Path as FilePath;

use super::fault::Fault;
use super::flags::Flag;
use super::hidden::Hider;
use super::parse::Typed;
use super::serve::data_dir;
use super::show::{Out, note};
use crate::log;
use crate::store::Check;

/// `tega log`
pub(super) fn log(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let dir = data_dir(typed);
    if typed.has(Flag::Repair) {
        return repair(&dir);
    }
    let json = typed.has(Flag::Json);
    let mut hider = (!typed.has(Flag::Secrets)).then(Hider::default);
    let mut broken = Ok(());
    let mut each = |offset: log::Offset, record: &str| {
        let record = hider.as_mut().map_or_else(|| record.to_string(), |hider| hider.show(record));
        let line = if json { record } else { format!("{:>10}  {record}", offset.0) };
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
