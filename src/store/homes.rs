//! Whose commits a root takes: each root has exactly one home, and every other server that has it is a replica.

use crate::commit::TegaId;
use crate::path::Key;

/// Where a root's commits are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// Here.
    Here,
    /// At another server. `None`: at the global one, whose tega ID isn't known yet.
    Away(Option<TegaId>),
}

/// Which roots this server is home of, beside what the log records.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// A global server or one that stands alone: home of every root that isn't recorded as another's.
    #[default]
    Leads,
    /// A local server. Writes to roots that it doesn't name are refused with [`Error::NoHome`](super::Error::NoHome).
    Follows {
        /// Their home is the global server.
        config: Vec<Key>,
        /// Their home is here.
        operational: Vec<Key>,
        /// Their home is here, and no link carries them.
        private: Private,
    },
}

/// The roots of a local server that stay with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Private {
    /// These.
    Roots(Vec<Key>),
    /// Every root that isn't named otherwise.
    Any,
}

impl Default for Private {
    fn default() -> Private {
        Private::Roots(Vec::new())
    }
}

/// A root whose home is another server, as the log records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// Its home.
    pub home: TegaId,
    /// The home was moved there and hasn't fetched the present state yet: this server still has the newest one.
    pub handover: bool,
}
