//! How a call of another program's function fails. It stands here, below the hub that routes calls, so that
//! [`error`](super::error) can be the one table of refusals.

use super::error::Refusal;
use crate::path::Path;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq)]
pub enum RpcError {
    /// No leaf at the path, or not one of the form `%OWNER.FUNC`: 404.
    NotRpc {
        /// What was called.
        path: Path,
    },
    /// The owner has no session: 503, it didn't happen.
    NoOwner {
        /// What was called.
        path: Path,
        /// Who would serve it.
        owner: String,
    },
    /// No answer within the time limit: 504.
    Timeout {
        /// What was called.
        path: Path,
        /// Who was asked.
        owner: String,
    },
    /// The owner's session ended in mid-call: 504, the outcome is unknown.
    Gone {
        /// What was called.
        path: Path,
        /// Who was asked.
        owner: String,
    },
    /// Too many calls wait: 429, it didn't happen.
    TooMany,
    /// The owner answered with an error.
    Failed {
        /// What was called.
        path: Path,
        /// What the owner said.
        message: String,
    },
    /// What the server that the owner is connected to said, or the link to it, or a plugin of this server.
    Remote(Box<Refusal>),
}
