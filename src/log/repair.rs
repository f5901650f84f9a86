//! A log read without a server, and a damaged one made readable again.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::compaction::Draft;
use super::error::{CompactionError, LogError};
use super::medium::{Medium, read_at};
use super::scan::{Each, Survey, Verdict, first_line, survey};
use super::{LOG, Offset};

/// What [`dump`] went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// The records that were shown.
    pub records: u64,
    /// Where the last of them ends.
    pub end: Offset,
    /// The bytes behind that: a write under way, or the torn tail that the next start will cut. 0 if the caller
    /// stopped.
    pub tail: u64,
}

/// Reads the log of a data directory, record by record, until `each` breaks.
///
/// It writes nothing and needs no lock: while a server writes, it shows what is there up to the first record
/// that isn't whole.
pub fn dump(dir: &Path, each: &mut dyn FnMut(Offset, &str) -> ControlFlow<()>) -> Result<Dumped, LogError> {
    let path = dir.join(LOG);
    let file_name = path.display().to_string();
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (size, file) = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::Missing { file: file_name });
        }
        result => result.map_err(LogError::io(format!("reading {file_name}")))?,
    };
    let mut read = |at, buf: &mut [u8]| read_at(&file, at, buf);
    let mut shown = |offset, record: &str| match each(offset, record) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(()) => ControlFlow::Break(None),
    };
    let found =
        survey(&mut read, 0, size, &mut shown).map_err(LogError::io(format!("reading {file_name}")))?;
    let tail = match found.verdict {
        Verdict::Stopped => 0,
        _ => size.saturating_sub(found.good),
    };
    let end = Offset(found.good);
    let records = found.records;
    found.accept(file_name)?;
    Ok(Dumped { records, end, tail })
}

impl Survey {
    /// Refuses what can't be read; a torn tail isn't among that.
    pub(super) fn accept(self, file: String) -> Result<Survey, LogError> {
        match self.verdict {
            Verdict::Whole | Verdict::Stopped | Verdict::Unborn | Verdict::Torn => Ok(self),
            Verdict::Foreign(reason) => Err(LogError::Foreign { file, reason }),
            Verdict::Damaged { reason, .. } => {
                Err(LogError::Corrupt { file, offset: Offset(self.good), reason })
            }
        }
    }
}

/// Reads a log, or `log.new`, through a medium.
pub(super) fn survey_file(
    medium: &mut dyn Medium,
    name: &str,
    from: u64,
    size: u64,
    each: Each<'_>,
) -> Result<Survey, LogError> {
    let doing = format!("reading {}", medium.show(name));
    survey(&mut |at, buf| medium.read(name, at, buf), from, size, each).map_err(LogError::io(doing))
}

/// What [`repair`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The file that holds the log as it was.
    pub kept_as: String,
    /// Where the damage begins in it.
    pub offset: Offset,
    /// What is wrong there.
    pub reason: String,
    /// The records of the new log: all before the damage.
    pub records: u64,
    /// The records behind the damage with a good checksum, which the new log hasn't.
    pub dropped: u64,
}

/// The number of damaged logs that are kept before a repair asks to have some removed.
const KEPT: u32 = 100;

/// Makes a damaged log usable: the file stays as `log.damaged-N`, and a new one holds every record before the
/// first that is bad, or that `each` refuses. A log that [`Log::open`](super::Log::open) would take is left alone.
pub fn repair(
    mut medium: Box<dyn Medium>,
    each: &mut dyn FnMut(Offset, &str) -> Result<(), String>,
) -> Result<Repair, LogError> {
    let file = medium.show(LOG);
    let reading = LogError::io(format!("reading {file}"));
    let Some(size) = medium.size(LOG).map_err(reading)? else { return Err(LogError::Missing { file }) };
    let first = first_line().len() as u64;
    let mut checked = |offset, record: &str| match each(offset, record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(reason) => ControlFlow::Break(Some(reason)),
    };
    let mut found = survey_file(&mut *medium, LOG, 0, size, &mut checked)?;
    let (offset, reason) = match &found.verdict {
        Verdict::Whole | Verdict::Stopped | Verdict::Unborn | Verdict::Torn => {
            return Err(LogError::NotDamaged { file });
        }
        Verdict::Foreign(reason) => return Err(LogError::Foreign { file, reason }),
        Verdict::Damaged { reason, .. } => (Offset(found.good), reason.clone()),
    };
    if offset == Offset(0) {
        // The first line is known by heart: what follows it isn't lost with it.
        found = survey_file(&mut *medium, LOG, first, size, &mut checked)?;
    }
    let dropped = match found.verdict {
        Verdict::Damaged { lost, .. } => lost,
        _ => 0,
    };
    let kept_as =
        replace(&mut *medium, first, found.good).map_err(LogError::io(format!("repairing {file}")))?;
    Ok(Repair { kept_as: medium.show(&kept_as), offset, reason, records: found.records, dropped })
}

fn replace(medium: &mut dyn Medium, from: u64, till: u64) -> io::Result<String> {
    let mut kept_as = None;
    for n in 1..=KEPT {
        let name = format!("{LOG}.damaged-{n}");
        if medium.size(&name)?.is_none() {
            kept_as = Some(name);
            break;
        }
    }
    let kept_as = kept_as
        .ok_or_else(|| io::Error::other(format!("{KEPT} damaged logs are kept already; remove some")))?;
    let mut draft = Draft::begin(medium.share())?;
    draft.copy(medium, from, till).map_err(CompactionError::into_io)?;
    draft.seal()?;
    // From here on a crash leaves no `log`, but a sealed `log.new`, which the next start takes for it.
    draft.keep()?;
    medium.rename(LOG, &kept_as)?;
    draft.install().map_err(CompactionError::into_io)?;
    Ok(kept_as)
}
