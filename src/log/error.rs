//! What can go wrong with a log, each kind by what the caller should do about it.

use std::fmt;
use std::io;

use super::{MAX_RECORD, Offset};

/// Why a log can't be opened, read or repaired.
#[derive(Debug)]
pub enum LogError {
    /// Another process (or this one) has the directory open.
    Locked {
        /// The directory.
        dir: String,
        /// The process that holds it, as far as it said.
        pid: Option<u32>,
    },
    /// The system refused.
    Io {
        /// What was being done to which file.
        doing: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A record that was durable, or has a good checksum, can't be read. Nothing was changed.
    Corrupt {
        /// The file.
        file: String,
        /// Where the bad record begins, in bytes.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// The file isn't a log, or one of a later format.
    Foreign {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no log to read.
    Missing {
        /// The file that was looked for.
        file: String,
    },
    /// A repair was asked for, and every record is good.
    NotDamaged {
        /// The file.
        file: String,
    },
}

impl LogError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> LogError {
        let doing = doing.into();
        move |source| LogError::Io { doing, source }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Locked { dir, pid: Some(pid) } => {
                write!(f, "{dir} is in use by process {pid}; stop it, or use another --data")
            }
            LogError::Locked { dir, pid: None } => {
                write!(f, "{dir} is in use by another process; stop it, or use another --data")
            }
            LogError::Io { doing, source } => write!(f, "{doing}: {source}"),
            LogError::Corrupt { file, offset, reason } => {
                write!(
                    f,
                    "{file} is damaged at byte {offset}: {reason}; \
                     `tega log --repair` keeps the file and makes a log of every record before that"
                )
            }
            LogError::Foreign { file, reason } => write!(f, "{file} {reason}"),
            LogError::Missing { file } => write!(f, "{file} doesn't exist"),
            LogError::NotDamaged { file } => write!(f, "{file} isn't damaged: there is nothing to repair"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let LogError::Io { source, .. } = self { Some(source) } else { None }
    }
}

/// Why a payload can't be a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It has no byte.
    Empty,
    /// It is longer than [`MAX_RECORD`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It holds a newline, which would end the record.
    Newline,
    /// It isn't text.
    NotUtf8,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Empty => f.write_str("a record can't be empty"),
            RecordError::TooLong { len } => {
                write!(f, "a record of {len} bytes; the longest is {MAX_RECORD}")
            }
            RecordError::Newline => f.write_str("a record can't hold a newline"),
            RecordError::NotUtf8 => f.write_str("a record must be UTF-8"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Why a group wasn't written, or isn't known to be durable.
#[derive(Debug)]
pub enum AppendError {
    /// The disk is full. Nothing of the group is in the log, nor will be after a crash; trying again is safe.
    NoSpace(io::Error),
    /// The disk failed: whether the group is in the log, recovery will find out. The log is closed for good.
    Failed(io::Error),
    /// The log was closed by an earlier failure. Nothing was written.
    Closed(String),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::NoSpace(error) => write!(f, "no space for the log: {error}"),
            AppendError::Failed(error) => write!(f, "the log failed and takes no more writes: {error}"),
            AppendError::Closed(why) => write!(f, "the log takes no more writes since it failed: {why}"),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AppendError::NoSpace(error) | AppendError::Failed(error) => Some(error),
            AppendError::Closed(_) => None,
        }
    }
}

/// Why a compaction came to nothing.
#[derive(Debug)]
pub enum CompactionError {
    /// Another one is running.
    Busy,
    /// This payload can't be a record.
    Record(RecordError),
    /// The disk is full, even without the reserve. The old log stays in use.
    NoSpace(io::Error),
    /// The system refused. The old log stays in use.
    Abandoned(io::Error),
    /// Which of the two logs a crash would leave isn't known: the log is closed for good.
    Failed(io::Error),
    /// The log was closed by an earlier failure, which a compaction doesn't undo.
    Closed(String),
}

impl CompactionError {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            CompactionError::NoSpace(error)
            | CompactionError::Abandoned(error)
            | CompactionError::Failed(error) => error,
            other => io::Error::other(other.to_string()),
        }
    }
}

impl From<io::Error> for CompactionError {
    fn from(error: io::Error) -> CompactionError {
        if is_full(&error) { CompactionError::NoSpace(error) } else { CompactionError::Abandoned(error) }
    }
}

impl From<RecordError> for CompactionError {
    fn from(error: RecordError) -> CompactionError {
        CompactionError::Record(error)
    }
}

impl fmt::Display for CompactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompactionError::Busy => f.write_str("a compaction is running already"),
            CompactionError::Record(error) => write!(f, "the log can't be compacted: {error}"),
            CompactionError::NoSpace(error) => write!(f, "no space to compact the log: {error}"),
            CompactionError::Abandoned(error) => {
                write!(f, "the log wasn't compacted and stays as it is: {error}")
            }
            CompactionError::Failed(error) => {
                write!(f, "replacing the log failed, and it takes no more writes: {error}")
            }
            CompactionError::Closed(why) => write!(f, "the log takes no more writes since it failed: {why}"),
        }
    }
}

impl std::error::Error for CompactionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CompactionError::NoSpace(error)
            | CompactionError::Abandoned(error)
            | CompactionError::Failed(error) => Some(error),
            CompactionError::Record(error) => Some(error),
            CompactionError::Busy | CompactionError::Closed(_) => None,
        }
    }
}

/// Whether the system had no room for a write, which more room would cure.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
