//! # The append-only log
//!
//! Records in, records out, in order: what was synced is there after a power cut, and nothing half-written is
//! ever seen. What a record means is the store's business; to the log it is a piece of text.
//!
//! ## The file
//!
//! A log is text, one record a line, so that `tail` shows it:
//!
//! ```text
//! 45ac8f68@0 {"tega":"log","format":1}
//! 37145c14@37
//! d27e373b@50 a
//! 77e13629 b
//! 90b25c77@75 c
//! a5c29e7b@89
//! ```
//!
//! A line is `CRC PAYLOAD`, or `CRC@OFFSET PAYLOAD` if it begins a group. `CRC` is the CRC-32 of everything behind
//! it, the newline excepted, in lower-case hex. `OFFSET` is the length of the log, in bytes, that was **known to be
//! durable** when the group was written. A line without a payload is a **seal**: it adds no record, but says that
//! everything before is durable. A new log begins with one, and a clean stop writes one.
//!
//! So the log above was begun, took the records `a` and `b` as one group and then `c`, and was stopped.
//!
//! A payload is 1 to [`MAX_RECORD`] bytes of UTF-8 without a newline. The first line of a file names the format,
//! so a stranger's file and a later format are refused instead of being taken for damage.
//!
//! ## How it fails
//!
//! Blocks of a file reach the disk in any order, so a crash leaves anything behind the last sync: half lines,
//! NULs, good lines after bad ones. Damage to what *was* durable looks the same. The offsets tell the two apart.
//! Let the first bad line begin at *B*:
//!
//! - A later group with a good checksum says that more than *B* bytes were durable: the disk lost something.
//!   [`Log::open`] refuses, names file and offset, and changes nothing; [`repair()`] is for that.
//! - No group says so: from *B* on the log is a **torn tail**, which was never promised to anybody. It is cut, and
//!   [`Recovery`] says how much. Good records in it go too: they depend on what is missing.
//!
//! (Damage to the very last group before a crash can't be told from a tear. A seal leaves no such group.)
//!
//! A cut is synced before anything is written again, so what it removed never comes back. An append that finds the
//! disk full is cut back in the same way and has not happened. Any other failure of an append, and any of a sync,
//! closes the log for good: after a failed sync the system may drop what it couldn't write and answer the next
//! sync with success, so only reading it all again tells what is there.
//!
//! ## Compaction
//!
//! A log only grows. [`Log::compaction`] starts a second file, `log.new`, which another thread fills with records
//! that say the same in fewer bytes, while the log takes commits. [`Log::finish`] adds those, seals and syncs the
//! file and renames it over `log`. Whenever the power goes, one of the two is there, whole.
//!
//! Compacting needs room, which is what a full disk hasn't got. So a file `reserve` holds some from the start, as
//! much as the last compacted log and a quarter more (64 KiB at least, 16 MiB at most), and gives it up only to
//! `log.new`. It is made anew only where it doesn't fit any more: where a file system can't set room apart without
//! writing, each time wears out the flash.
//!
//! A second file, `spare`, holds 16 KiB for records that say that something is gone ([`Log::append_spare`]): whoever
//! wants to make room on a full disk must be able to say so.
//!
//! ## What it isn't
//!
//! It has no index, no encryption and no reader that follows it, and it knows neither trees nor versions. One
//! thread appends; a lock on the directory keeps every other process out.

mod compaction;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod frame;
mod medium;
mod meter;
mod repair;
mod scan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

pub use compaction::{Compacted, Compaction};
pub use error::{AppendError, CompactionError, LogError, RecordError};
pub use frame::{Group, Mark};
pub use medium::{Directory, Medium, Room};
pub use meter::{Amount, BLOCK, Written};
pub use repair::{Dumped, Repair, dump, repair};

use compaction::Draft;
use error::is_full;
use meter::{Metered, Tally};
use repair::survey_file;
use scan::{Survey, Verdict};

/// The longest payload of a record in bytes: 16 MiB.
///
/// Recovery and compaction hold a whole record in memory, on routers that have 64 MB of it; and a rollback that brings
/// a whole root back is one record, so this is also how big a deleted root can be and still be brought back.
pub const MAX_RECORD: usize = 16 << 20;

const LOG: &str = "log";
const NEW: &str = "log.new";
const RESERVE: &str = "reserve";
const SPARE: &str = "spare";

/// The room that [`Log::append_spare`] has on a full disk: hundreds of records that say that something is gone.
pub const SPARE_LEN: u64 = 16 << 10;

/// The payload of a log's first line, and how that of every format begins.
const FORMAT: &str = r#"{"tega":"log","format":1}"#;
const FORMAT_FAMILY: &str = r#"{"tega":"log","#;

/// A place in the log, in bytes from its beginning. Compaction moves everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The log of a data directory, open for appending.
///
/// Invariants: `durable ≤ end`; `log` is exactly `end` bytes of whole lines unless the log is closed; nothing is
/// written to a closed log.
pub struct Log {
    medium: Box<dyn Medium>,
    end: u64,
    durable: u64,
    records: u64,
    /// Whether the last line is a seal.
    sealed: bool,
    /// Why the log takes no more writes.
    closed: Option<String>,
    /// Alive as long as a compaction is.
    compaction: Weak<()>,
    tally: Tally,
}

/// What [`Log::open`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The records that were read.
    pub records: u64,
    /// Whether there was no log, and one was created.
    pub created: bool,
    /// Whether the log ends with a seal: it was stopped cleanly, or is new.
    pub sealed: bool,
    /// Where a torn tail was cut off; the end of the log if there was none.
    pub cut_at: Offset,
    /// The length of that tail in bytes.
    pub cut_bytes: u64,
}

/// The state of a log, for `tega status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The length of the log in bytes.
    pub len: u64,
    /// How much of that is known to be on the disk.
    pub durable: u64,
    /// The records in it.
    pub records: u64,
    /// Whether a compaction is running.
    pub compacting: bool,
    /// Why the log takes no more writes, if it doesn't.
    pub closed: Option<String>,
}

impl Log {
    /// Opens the log, or creates it, and hands every record to `each` in order, one at a time.
    ///
    /// A torn tail is cut. Damage to what was durable is refused, and so is a record that `each` refuses; then
    /// the log stays as it is. When this returns, all that `each` was given is durable.
    pub fn open(
        medium: Box<dyn Medium>,
        each: &mut dyn FnMut(Offset, &str) -> Result<(), String>,
    ) -> Result<(Log, Recovery), LogError> {
        let (medium, tally) = Metered::new(medium);
        let mut medium: Box<dyn Medium> = Box::new(medium);
        let file = medium.show(LOG);
        let failed = |source| LogError::Io { doing: format!("opening {file}"), source };
        let mut created = false;
        let mut size = match find(&mut *medium)? {
            Some(size) => size,
            None => {
                created = true;
                create(&mut *medium).map_err(failed)?
            }
        };
        let mut checked = |offset, record: &str| match each(offset, record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => ControlFlow::Break(Some(reason)),
        };
        let found = survey_file(&mut *medium, LOG, 0, size, &mut checked)?.accept(file.clone())?;
        let Survey { mut good, records, mut sealed, .. } = found;
        let (cut_at, cut_bytes) = (Offset(good), size.saturating_sub(good));
        if matches!(found.verdict, Verdict::Unborn) {
            medium.remove(LOG).map_err(failed)?;
            size = create(&mut *medium).map_err(failed)?;
            (good, created, sealed) = (size, true, true);
        }
        settle(&mut *medium, good, size).map_err(failed)?;
        let closed = None;
        let compaction = Weak::new();
        let log = Log { medium, end: good, durable: good, records, sealed, closed, compaction, tally };
        Ok((log, Recovery { records, created, sealed: sealed && cut_bytes == 0, cut_at, cut_bytes }))
    }

    /// Writes a group at the end, with one write. It is durable after the next [`Log::sync`].
    ///
    /// The group stays as it is, to be written again after [`AppendError::NoSpace`] or to be cleared.
    pub fn append(&mut self, group: &mut Group) -> Result<(), AppendError> {
        self.check_open()?;
        if group.is_empty() {
            return Ok(());
        }
        self.write(group.framed(self.durable))?;
        self.records += group.records();
        self.sealed = false;
        Ok(())
    }

    /// As [`Log::append`], for records that say that something is gone: on a full disk the spare makes room for them, as
    /// long as there is one and they fit into it.
    pub fn append_spare(&mut self, group: &mut Group) -> Result<(), AppendError> {
        let full = match self.append(group) {
            Err(AppendError::NoSpace(error)) => error,
            result => return result,
        };
        let fits = group.len() as u64 <= SPARE_LEN;
        if !fits || !matches!(self.medium.size(SPARE), Ok(Some(_))) || self.medium.remove(SPARE).is_err() {
            return Err(AppendError::NoSpace(full));
        }
        self.append(group)
    }

    /// Whether there is room again on a disk that was full: beyond what is set apart, which is complete again then. If so
    /// the log is sealed.
    pub fn recover(&mut self) -> Result<bool, AppendError> {
        self.check_open()?;
        // One that has room for a few bytes would be full again with the next commit.
        let full = |medium: &dyn Medium| medium.room().is_some_and(|room| room.free < SPARE_LEN);
        if full(&*self.medium) || !set_apart(&mut *self.medium, None, self.end) || full(&*self.medium) {
            return Ok(false);
        }
        match self.seal() {
            Err(AppendError::NoSpace(_)) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// What was written to the directory since it was opened.
    pub fn written(&self) -> Written {
        meter::read(&self.tally)
    }

    /// Returns once everything that was appended is on the disk.
    pub fn sync(&mut self) -> Result<(), AppendError> {
        self.check_open()?;
        if self.durable < self.end {
            if let Err(error) = self.medium.sync(LOG) {
                return Err(self.close("syncing", error));
            }
            self.durable = self.end;
        }
        Ok(())
    }

    /// Syncs, and writes down that everything up to here is durable, so that any later damage to it is noticed.
    /// For a clean stop, or when there is nothing to do. Does nothing if nothing came since the last seal.
    pub fn seal(&mut self) -> Result<(), AppendError> {
        self.sync()?;
        if self.sealed {
            return Ok(());
        }
        self.write(&frame::seal(self.durable))?;
        self.sealed = true;
        self.sync()
    }

    /// Where the log ends.
    pub fn end(&self) -> Offset {
        Offset(self.end)
    }

    /// Up to where it is on the disk.
    pub fn durable(&self) -> Offset {
        Offset(self.durable)
    }

    /// How it is.
    pub fn status(&self) -> Status {
        Status {
            len: self.end,
            durable: self.durable,
            records: self.records,
            compacting: self.compaction.strong_count() > 0,
            closed: self.closed.clone(),
        }
    }

    /// Starts a compaction. Its records must say all that the log says up to [`Log::end`] as it is now; what is
    /// appended from now on [`Log::finish`] adds.
    pub fn compaction(&mut self) -> Result<Compaction, CompactionError> {
        if let Some(why) = &self.closed {
            return Err(CompactionError::Closed(why.clone()));
        }
        if self.compaction.strong_count() > 0 {
            return Err(CompactionError::Busy);
        }
        let draft = Draft::begin(self.medium.share())?;
        let token = Arc::new(());
        self.compaction = Arc::downgrade(&token);
        Ok(Compaction { draft, start: self.end, token })
    }

    /// Puts a compaction of this log in its place, with what was appended since it began. Everything is durable
    /// then. It takes a sync; see [`Compaction::sync`].
    ///
    /// After an error the old log is in use and as good as before, unless that is [`CompactionError::Failed`].
    pub fn finish(&mut self, compaction: Compaction) -> Result<Compacted, CompactionError> {
        let Compaction { mut draft, start, token } = compaction;
        if let Some(why) = &self.closed {
            return Err(CompactionError::Closed(why.clone()));
        }
        if !Weak::ptr_eq(&self.compaction, &Arc::downgrade(&token)) {
            return Err(CompactionError::Abandoned(io::Error::other(
                "this is the compaction of another log",
            )));
        }
        draft.copy(&mut *self.medium, start, self.end)?;
        draft.seal()?;
        if let Err(error) = draft.install() {
            if let CompactionError::Failed(error) = &error {
                self.closed = Some(format!("replacing {}: {error}", self.medium.show(LOG)));
            }
            return Err(error);
        }
        let compacted = Compacted { before: self.end, after: draft.end };
        // The draft's handle is the one that wrote and synced the file. The other, whose file is gone by name,
        // closes it as it is dropped with the draft, and so frees its room.
        std::mem::swap(&mut self.medium, &mut draft.medium);
        self.end = draft.end;
        self.durable = draft.end;
        self.records = draft.records;
        self.sealed = true;
        drop(draft);
        // Without what is set apart the log works as well, until the disk is full.
        set_apart(&mut *self.medium, Some(reserve_for(self.end)), self.end);
        Ok(compacted)
    }

    fn check_open(&self) -> Result<(), AppendError> {
        match &self.closed {
            Some(why) => Err(AppendError::Closed(why.clone())),
            None => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        match self.medium.append(LOG, bytes) {
            Ok(()) => {
                self.end += bytes.len() as u64;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                // The caller will say that it didn't happen: what was written must not come back after a crash.
                match self.medium.cut(LOG, self.end).and_then(|()| self.medium.sync(LOG)) {
                    Ok(()) => {
                        self.durable = self.end;
                        Err(AppendError::NoSpace(error))
                    }
                    Err(error) => Err(self.close("cutting", error)),
                }
            }
            Err(error) => Err(self.close("writing", error)),
        }
    }

    fn close(&mut self, doing: &str, error: io::Error) -> AppendError {
        self.closed = Some(format!("{doing} {}: {error}", self.medium.show(LOG)));
        AppendError::Failed(error)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The size of the log, if there is one; what a crash left of another is removed or, after a repair, taken.
fn find(medium: &mut dyn Medium) -> Result<Option<u64>, LogError> {
    let doing = format!("opening {}", medium.show(LOG));
    let failed = |source| LogError::Io { doing: doing.clone(), source };
    if let Some(size) = medium.size(LOG).map_err(failed)? {
        medium.remove(NEW).map_err(failed)?;
        return Ok(Some(size));
    }
    let Some(size) = medium.size(NEW).map_err(failed)? else { return Ok(None) };
    let found = survey_file(medium, NEW, 0, size, &mut |_, _| ControlFlow::Continue(()))?;
    if !(found.sealed && matches!(found.verdict, Verdict::Whole)) {
        medium.remove(NEW).map_err(failed)?;
        return Ok(None);
    }
    medium.rename(NEW, LOG).map_err(failed)?;
    Ok(Some(size))
}

/// Makes a log without records, and gives its size. Its name comes last, so there never is half a log.
fn create(medium: &mut dyn Medium) -> io::Result<u64> {
    let mut draft = Draft::begin(medium.share())?;
    draft.seal()?;
    draft.install().map_err(CompactionError::into_io)?;
    Ok(draft.end)
}

/// Cuts the tail off a log of `size` bytes, and makes durable what was read: a process that was killed leaves
/// bytes and names that the system has, and the disk may not.
fn settle(medium: &mut dyn Medium, good: u64, size: u64) -> io::Result<()> {
    if good < size {
        medium.cut(LOG, good)?;
    }
    medium.sync(LOG)?;
    medium.sync_dir()?;
    // Without what is set apart the log works as well, until the disk is full.
    set_apart(medium, None, good);
    Ok(())
}

/// Sets room apart for the next compaction, so many bytes where there is none or too little or far too much, and the
/// spare. False: there isn't enough for both.
fn set_apart(medium: &mut dyn Medium, wanted: Option<u64>, len: u64) -> bool {
    let mut hold = |name, wanted: Option<u64>, make: u64| {
        let size = medium.size(name).ok().flatten();
        let fits = |size| wanted.is_none_or(|wanted| size >= wanted && size / 4 <= wanted);
        if size.is_some_and(fits) {
            return true;
        }
        // Where there is no room to begin with, trying might write all the same.
        let more = make.saturating_sub(size.unwrap_or(0));
        if medium.room().is_some_and(|room| room.free < more) {
            return false;
        }
        if medium.reserve(name, make).is_ok() {
            return true;
        }
        // Less is better than nothing.
        if let Some(size) = size {
            let _ = medium.reserve(name, size);
        }
        false
    };
    // What says that something is gone first: a log that is rid of it needs less of the other.
    let spare = hold(SPARE, Some(SPARE_LEN), SPARE_LEN);
    hold(RESERVE, wanted, wanted.unwrap_or_else(|| reserve_for(len))) && spare
}

/// The room that the next compaction will need if the data grow a little.
fn reserve_for(compacted: u64) -> u64 {
    (compacted + compacted / 4).clamp(64 << 10, 16 << 20)
}
