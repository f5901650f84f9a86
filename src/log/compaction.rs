//! A new log beside the old one: written in peace, made durable, and put in its place in one step.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::error::{CompactionError, is_full};
use super::frame::{self, Group};
use super::medium::Medium;
use super::scan::{Scanner, first_line};
use super::{LOG, NEW, Offset, RESERVE};

/// Records gather to this many bytes before they are written.
const GATHER: usize = 64 << 10;

/// A log under construction, in the file `log.new`. Dropped unfinished, it leaves nothing.
pub(super) struct Draft {
    pub(super) medium: Box<dyn Medium>,
    group: Group,
    pub(super) end: u64,
    durable: u64,
    pub(super) records: u64,
    /// The bytes of the reserve, if they had to be spent.
    spent: Option<u64>,
    /// The file has another name now, or is to stay.
    keep: bool,
}

impl Draft {
    pub(super) fn begin(mut medium: Box<dyn Medium>) -> io::Result<Draft> {
        medium.remove(NEW)?;
        let mut draft =
            Draft { medium, group: Group::new(), end: 0, durable: 0, records: 0, spent: None, keep: false };
        draft.write(&first_line())?;
        Ok(draft)
    }

    pub(super) fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), CompactionError> {
        self.group.record(write)?;
        if self.group.len() >= GATHER {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds the records of a log between two offsets.
    pub(super) fn copy(&mut self, log: &mut dyn Medium, from: u64, till: u64) -> Result<(), CompactionError> {
        let mut read = |at, buf: &mut [u8]| log.read(LOG, at, buf);
        let mut scanner = Scanner::new(&mut read, from, till);
        while let Some(found) = scanner.next()? {
            let line = found.parse().map_err(|reason| {
                io::Error::new(io::ErrorKind::InvalidData, format!("at byte {}: {reason}", found.at))
            })?;
            if !line.payload.is_empty() {
                self.record(|buf| buf.extend_from_slice(line.payload.as_bytes()))?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut group = std::mem::take(&mut self.group);
        let written = self.write(group.framed(self.durable));
        if written.is_ok() {
            self.records += group.records();
            group.clear();
        }
        self.group = group;
        written
    }

    /// Writes, if need be into the room that the reserve gives up.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.medium.append(NEW, bytes) {
            Err(error) if is_full(&error) && self.spent.is_none() => {
                self.spent = Some(self.medium.size(RESERVE)?.ok_or(error)?);
                self.medium.cut(NEW, self.end)?;
                self.medium.remove(RESERVE)?;
                self.medium.append(NEW, bytes)?;
            }
            result => result?,
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.medium.sync(NEW)?;
        self.durable = self.end;
        Ok(())
    }

    /// Ends the log with a seal and makes it durable.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.flush()?;
        // The file gets its place only after the sync below, so the seal may say already what that proves.
        self.write(&frame::seal(self.end))?;
        self.medium.sync(NEW)?;
        self.durable = self.end;
        Ok(())
    }

    /// Takes the sealed log into use. After [`CompactionError::Failed`] either log may be the one that a crash
    /// leaves; after another error nothing was changed.
    pub(super) fn install(&mut self) -> Result<(), CompactionError> {
        if let Err(error) = self.medium.rename(NEW, LOG) {
            // Some filesystems need room even for a rename, and it must be safe to try that again later.
            if matches!(self.medium.size(NEW), Ok(Some(_))) {
                return Err(error.into());
            }
            self.keep = true;
            return Err(CompactionError::Failed(error));
        }
        self.keep = true;
        self.medium.sync_dir().map_err(CompactionError::Failed)
    }

    /// Leaves the file where it is, whatever happens from now on. Its name is durable then.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        self.medium.sync_dir()?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // If either fails, the next start does the same.
        let _ = self.medium.remove(NEW);
        if let Some(len) = self.spent {
            let _ = self.medium.reserve(RESERVE, len);
        }
    }
}

/// A compaction under way: takes the records of the new log, on any thread, while the old log takes commits.
///
/// [`Log::finish`](super::Log::finish) puts it in place; dropped instead, it leaves the old log as it is.
pub struct Compaction {
    pub(super) draft: Draft,
    pub(super) start: u64,
    /// Tells the log that it is still running.
    pub(super) token: Arc<()>,
}

impl Compaction {
    /// Adds a record; the rules are those of [`Group::record`].
    pub fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), CompactionError> {
        self.draft.record(write)
    }

    /// Writes out and syncs what was added so far, so that `finish`, which holds up the writers, has less to do.
    pub fn sync(&mut self) -> Result<(), CompactionError> {
        Ok(self.draft.sync()?)
    }

    /// The end of the old log when this began: the records added must say all that was in the log up to here.
    pub fn start(&self) -> Offset {
        Offset(self.start)
    }

    /// The bytes of the new log so far.
    pub fn len(&self) -> u64 {
        self.draft.end + self.draft.group.len() as u64
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.draft.records == 0 && self.draft.group.is_empty()
    }
}

impl fmt::Debug for Compaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compaction")
            .field("start", &self.start)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// What a compaction achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The length of the old log in bytes.
    pub before: u64,
    /// The length of the new one.
    pub after: u64,
}
