//! What a client asks for, and what it came to.

use std::fmt::{self, Write};

use super::{Error, SessionId};
use crate::commit::{Incarnation, Position, Request, TegaId};
use crate::path::{Key, Path};
use crate::tree::Version;
use crate::value::Value;

/// The most operations of one transaction.
pub const MAX_OPS: usize = 10_000;

/// The longest request ID, in bytes.
pub const MAX_REQUEST_ID: usize = 64;

/// Operations that take effect together or not at all.
///
/// Every [`Expect`] is judged against the state *before* the transaction; the operations then apply in order.
///
/// ```
/// use tega::{path::Path, store::{Options, Store, Transaction}, value::Value};
/// let store = Store::in_memory(Options::default());
/// let counter = Path::parse("demo.counter")?;
/// store.commit(Transaction::new(None).put(counter.clone(), Value::from(1)))?;
/// // Only if nobody changed it since version 0:
/// let next = Transaction::new(None).put_if(counter.clone(), Value::from(2), 0);
/// assert_eq!(store.commit(next)?.versions[0].1.0, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Who acts. `None` is shown as `anonymous` and never matched to a session.
    pub by: Option<TegaId>,
    /// The session that will own the nodes of ephemeral puts; without one they are refused.
    pub session: Option<SessionId>,
    /// What to do, in order: puts and deletes, or one rollback alone.
    pub ops: Vec<Op>,
    /// A name for this request, of at most [`MAX_REQUEST_ID`] bytes: sent again, it answers the first outcome instead
    /// of taking effect twice. Of the form `@POSITION:ANYTHING`, with a position that the client was told by the root's
    /// home (the one of a receipt of a write to this root is), it is refused once it can't be judged any more; any other
    /// form can't be told from a new request then.
    pub request_id: Option<String>,
    /// Wait for the disk, whatever the durability of the roots.
    pub durable: bool,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Replaces the subtree at the path, and makes the parents that are missing.
    Put {
        /// Where.
        path: Path,
        /// What; an object becomes a container. A root must be one.
        value: Value,
        /// What must be so before.
        expect: Option<Expect>,
        /// The node belongs to the session, isn't versioned, and ends with the session.
        ephemeral: bool,
    },
    /// Removes the node, then each parent that it left empty, but never the root. At a root: removes the root.
    Delete {
        /// Where.
        path: Path,
        /// What must be so before.
        expect: Option<Expect>,
    },
    /// Makes an old state of a root the present one, as a new version. Stands alone in its transaction.
    Rollback {
        /// Which root.
        root: Key,
        /// A version, or, where negative, how many versions before the present one.
        back_to: i64,
        /// The root's version that a `back_to` below 0 was resolved against, or that the caller looked at before; a
        /// deleted root has one too.
        expect: Option<Expect>,
    },
}

/// What must be so for an operation to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The node's version; -1: there must be no node. For an ephemeral node its change counter.
    pub version: i64,
    /// The root's incarnation, where the caller has it from an ETag.
    pub incarnation: Option<Incarnation>,
}

impl Expect {
    /// The node must have this version, or for -1 not exist.
    pub fn version(version: i64) -> Expect {
        Expect { version, incarnation: None }
    }
}

/// What a commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The commit's place in the order of all commits. A transaction that changed ephemeral nodes only takes no place
    /// and gets the present one.
    pub position: Position,
    /// Each root that it touched, with the version that it gave it.
    pub versions: Vec<(Key, Version)>,
    /// Whether it would survive a power cut now.
    pub durable: bool,
    /// Whether the server that was asked shows it: false where its home has committed it and this replica couldn't
    /// apply it in time.
    pub applied: bool,
}

impl Transaction {
    /// An empty transaction.
    pub fn new(by: Option<TegaId>) -> Transaction {
        Transaction { by, ..Transaction::default() }
    }

    /// Adds a put.
    pub fn put(mut self, path: Path, value: Value) -> Transaction {
        self.ops.push(Op::Put { path, value, expect: None, ephemeral: false });
        self
    }

    /// Adds a put that needs the node to have this version, or for -1 not to exist.
    pub fn put_if(mut self, path: Path, value: Value, version: i64) -> Transaction {
        self.ops.push(Op::Put { path, value, expect: Some(Expect::version(version)), ephemeral: false });
        self
    }

    /// Adds an ephemeral put; the transaction needs a `session`.
    pub fn put_ephemeral(mut self, path: Path, value: Value) -> Transaction {
        self.ops.push(Op::Put { path, value, expect: None, ephemeral: true });
        self
    }

    /// Adds a delete.
    pub fn delete(mut self, path: Path) -> Transaction {
        self.ops.push(Op::Delete { path, expect: None });
        self
    }

    /// Adds a rollback.
    pub fn rollback(mut self, root: Key, back_to: i64) -> Transaction {
        self.ops.push(Op::Rollback { root, back_to, expect: None });
        self
    }

    /// Refuses what can be seen without looking at the tree.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.ops.len() > MAX_OPS {
            let message = format!("{} operations, and a transaction takes {MAX_OPS} at most", self.ops.len());
            return Err(Error::TooLarge { path: None, message });
        }
        if self.ops.len() > 1 && self.ops.iter().any(|op| matches!(op, Op::Rollback { .. })) {
            let message = "a rollback must be the only operation of its transaction".into();
            return Err(Error::Bad { path: None, message });
        }
        match &self.request_id {
            Some(id) if id.is_empty() || id.len() > MAX_REQUEST_ID || id.chars().any(char::is_control) => {
                let message = format!(
                    "request ID {id:?}: 1 to {MAX_REQUEST_ID} bytes without control characters wanted"
                );
                Err(Error::Bad { path: None, message })
            }
            _ => Ok(()),
        }
    }

    /// Whether it's about this root.
    pub(super) fn is_of(&self, root: &str) -> bool {
        self.ops.iter().any(|op| match op {
            Op::Put { path, .. } | Op::Delete { path, .. } => path.root().is_some_and(|of| of == root),
            Op::Rollback { root: of, .. } => of == root,
        })
    }

    /// The request's name and the checksum of what it asks for.
    pub(super) fn request(&self) -> Option<Request> {
        let id = self.request_id.as_deref()?.into();
        let mut crc = Crc(crc32fast::Hasher::new());
        for op in &self.ops {
            // A checksum can't fail to be written to.
            let _ = write_op(op, &mut crc);
        }
        Some(Request { id, crc: crc.0.finalize() })
    }

    /// About how many bytes it holds, for the limits on queues.
    pub(super) fn weight(&self) -> usize {
        let keys = |path: &Path| path.keys().iter().map(|key| key.len()).sum::<usize>();
        let op_weight = |op: &Op| match op {
            Op::Put { path, value, .. } => weight(value) + keys(path),
            Op::Delete { path, .. } => keys(path),
            Op::Rollback { .. } => 0,
        };
        self.ops.iter().map(|op| 128 + op_weight(op)).sum::<usize>() + 128
    }
}

/// An operation as the checksum of a request sees it. The log keeps that checksum, so this must stay as it is.
fn write_op(op: &Op, out: &mut impl Write) -> fmt::Result {
    let expect = match op {
        Op::Put { path, value, expect, ephemeral } => {
            write!(out, "{} {path} ", if *ephemeral { "lease" } else { "put" })?;
            value.write(out)?;
            expect
        }
        Op::Delete { path, expect } => {
            write!(out, "delete {path}")?;
            expect
        }
        Op::Rollback { root, back_to, expect: None } => return writeln!(out, "rollback {back_to} {root}"),
        // Resolved anew for each try, so a retry differs in both numbers.
        Op::Rollback { root, .. } => return writeln!(out, "rollback {root}"),
    };
    match expect {
        Some(Expect { version, incarnation: Some(i) }) => writeln!(out, " if {version} {i}"),
        Some(Expect { version, incarnation: None }) => writeln!(out, " if {version}"),
        None => writeln!(out),
    }
}

struct Crc(crc32fast::Hasher);

impl Write for Crc {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// About how many bytes a value takes as text.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => 2 + text.len(),
        Value::List(list) => list.items().iter().map(|item| 1 + weight(item)).sum::<usize>() + 2,
        Value::Object(object) => {
            object.members().iter().map(|(k, v)| 4 + k.len() + weight(v)).sum::<usize>() + 2
        }
        _ => 8,
    }
}
