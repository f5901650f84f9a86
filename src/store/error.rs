//! Why the store refused, and whether anything happened.

use std::fmt;

use crate::commit::TegaId;
use crate::log::LogError;
use crate::path::{Key, MAX_KEY_LEN, Path, PathError, PathErrorKind};
use crate::tree::{MAX_CHILDREN, TreeError};

/// Why the store refused. All but [`Error::OutcomeUnknown`] and [`Error::RequestTooOld`] mean: it did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A path, key, value or operation that can't be.
    Bad {
        /// Where, if it is about a node.
        path: Option<Path>,
        /// What is wrong and what to do.
        message: String,
    },
    /// Nothing stands at the path.
    NotFound {
        /// Where.
        path: Path,
    },
    /// The kept history has no such version.
    NoVersion {
        /// Of which root.
        root: Key,
        /// As it was asked for.
        version: i64,
    },
    /// No such interactive transaction, or it expired.
    NoTransaction {
        /// As it was given.
        txid: String,
    },
    /// The node hasn't the expected version.
    Conflict {
        /// Where.
        path: Path,
        /// The version that was expected; -1: no node.
        expected: i64,
        /// The version that it has; `None`: there is no node.
        actual: Option<i64>,
    },
    /// Ephemeral and persistent nodes, or two owners, in each other's way.
    Ephemeral {
        /// Where.
        path: Path,
        /// What is in the way.
        message: String,
    },
    /// An ephemeral put whose tega ID has no live session.
    NoSession {
        /// Whose.
        tega_id: Option<TegaId>,
    },
    /// A request ID that was used for something else.
    RequestReused {
        /// The ID.
        id: String,
    },
    /// A request ID that is older than those that are kept or names a position that isn't this server's: whether it took
    /// effect can't be told, and it doesn't now.
    RequestTooOld {
        /// The ID.
        id: String,
    },
    /// A limit on sizes or counts.
    TooLarge {
        /// Where, if it is about a node.
        path: Option<Path>,
        /// Which limit.
        message: String,
    },
    /// Too much waits to be committed; try again.
    Busy,
    /// The disk failed and the store takes no more writes.
    ReadOnly {
        /// What the disk said.
        reason: String,
    },
    /// The disk failed while this was being written: after a restart it may be there or not.
    OutcomeUnknown {
        /// What the disk said.
        reason: String,
    },
    /// The disk is full. It is tried again every 10 s.
    NoSpace {
        /// What the disk said.
        reason: String,
    },
    /// The root's home is another server: the write belongs there.
    NotHome {
        /// Which root.
        root: Key,
        /// Its home; `None`: the global server, whose tega ID isn't known yet.
        home: Option<TegaId>,
    },
    /// No server is home of this root: on a local server only declared roots can be made.
    NoHome {
        /// Which root.
        root: Key,
        /// The roots that are declared.
        known: Vec<Key>,
    },
    /// What a home sent doesn't follow from what is here.
    Diverged {
        /// Of which root.
        root: Key,
        /// How.
        reason: String,
    },
    /// The store is closed or closing.
    Closed,
}

impl Error {
    /// Gives a tree's refusal its path. `full` is the path of the operation, with the root.
    pub(super) fn from_tree(error: TreeError, full: &Path) -> Error {
        let path = Some(full.clone());
        match error {
            TreeError::NotFound => Error::NotFound { path: full.clone() },
            TreeError::ThroughLeaf { depth } => Error::Bad {
                message: format!(
                    "{} is a leaf and can't have children; delete or replace it first",
                    full.prefix(depth + 1)
                ),
                path,
            },
            TreeError::TooManyChildren { depth } => Error::TooLarge {
                message: format!("{} would have more than {MAX_CHILDREN} children", full.prefix(depth + 1)),
                path,
            },
            TreeError::BadKey(PathError { kind: PathErrorKind::LongKey, .. }) => {
                Error::TooLarge { path, message: format!("a key is longer than {MAX_KEY_LEN} bytes") }
            }
            other => Error::Bad { path, message: other.to_string() },
        }
    }
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Error {
        Error::Bad { path: None, message: error.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Bad { message, .. } | Error::TooLarge { message, .. } => f.write_str(message),
            Error::NotFound { path } => write!(f, "nothing stands at {path}"),
            Error::NoVersion { root, version } => {
                write!(f, "version {version} of {root} isn't kept; see the history for those that are")
            }
            Error::NoTransaction { txid } => {
                write!(f, "no transaction {txid:?}: unknown, ended, or unused for 600 s")
            }
            Error::Conflict { path, expected: -1, actual: Some(actual) } => {
                write!(f, "{path} exists with version {actual}, and was expected not to")
            }
            Error::Conflict { path, expected, actual: Some(actual) } => {
                write!(f, "{path} has version {actual}, not {expected}; read it again and decide")
            }
            Error::Conflict { path, expected, actual: None } => {
                write!(f, "{path} doesn't exist, and was expected with version {expected}")
            }
            Error::Ephemeral { path, message } => write!(f, "{path}: {message}"),
            Error::NoSession { tega_id: Some(id) } => {
                write!(f, "an ephemeral node needs an open WebSocket session of {id}, and there is none")
            }
            Error::NoSession { tega_id: None } => {
                f.write_str("an ephemeral node needs the tega ID of an open WebSocket session")
            }
            Error::RequestReused { id } => {
                write!(f, "request ID {id:?} was used for another request; use a new one")
            }
            Error::RequestTooOld { id } => {
                write!(
                    f,
                    "request ID {id:?} is too old, or of another server, to tell whether it took effect; read the state and decide"
                )
            }
            Error::Busy => f.write_str("too many commits wait for the disk; try again"),
            Error::ReadOnly { reason } => {
                write!(f, "the store is read-only since the disk failed ({reason}); restart it")
            }
            Error::OutcomeUnknown { reason } => {
                write!(
                    f,
                    "the disk failed in mid-commit ({reason}): whether it took effect shows after a restart"
                )
            }
            Error::NoSpace { reason } => {
                write!(
                    f,
                    "no space left for the log ({reason}); nothing was changed; free some and try again"
                )
            }
            Error::NotHome { root, home: Some(home) } => write!(f, "the home of {root} is {home}"),
            Error::NotHome { root, home: None } => write!(f, "the home of {root} is the global server"),
            Error::NoHome { root, known } => {
                let known: Vec<&str> = known.iter().map(|root| root.as_str()).collect();
                write!(f, "{root} has no home; the roots that are declared here: {}", known.join(" "))
            }
            Error::Diverged { root, reason } => write!(f, "{root}: {reason}"),
            Error::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a store can't be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The log refuses: locked, damaged, foreign, or an I/O error. It says what to do.
    Log(LogError),
    /// A thread couldn't be started.
    Thread(std::io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Log(error) => error.fmt(f),
            OpenError::Thread(error) => write!(f, "can't start the committer's thread: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Log(error) => Some(error),
            OpenError::Thread(error) => Some(error),
        }
    }
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> OpenError {
        OpenError::Log(error)
    }
}
