//! What the screen asks the server for, and what came of it.

use crate::api::error::Refusal;
use crate::api::route::Route;
use crate::path::{Key, Path};
use crate::store::Op;
use crate::value::Value;

/// What an answer is for: it finds its way back by it.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// A page of children, behind this key.
    Page(Path, Option<Key>),
    /// A folded container's row: how many children it has now.
    Row(Path),
    /// The next part of a search, by its number.
    Search(u32),
    /// Names that a path may go on with; the number of the prompt that wants them.
    Complete(u32),
    /// The node that the detail shows: its value.
    Detail(Path),
    /// The node that the detail shows: who changed its root when.
    Changes(Path),
    /// How much is below a node whose value is to be copied.
    Measure(Path),
    /// A value to be copied.
    Copy(Path),
    /// The versions of a root.
    History(Key),
    /// What differs between two versions of a root.
    Diff(Key, i64, Option<i64>),
    /// Whether a root may be rolled back to this version.
    MayRollBack(Key, i64),
    /// What a rollback to this version would change.
    Preview(Key, i64),
    /// A rollback to this version.
    Rollback(Key, i64),
    /// How the server is, its links among it.
    Status,
    /// Who is connected.
    Sessions,
    /// The channels, and who listens.
    Channels,
    /// The server's plugins.
    Plugins,
    /// Whether a node may be changed, and its value: before it's edited.
    MayEdit(Path, Why),
    /// The whole value of a node that is about to be changed.
    Value(Path),
    /// What was staged is committed.
    Commit,
    /// What is at the path of a staged change now.
    Now(Path),
    /// The whole value there, which had this version.
    NowValue(Path, i64),
    /// A call of the function at this path, made at this time of the screen's clock.
    Call(Path, u64),
    /// The text of the function at this path, which is too long for a line.
    Signature(Path),
    /// The functions of a router.
    Functions(Path),
    /// A command line.
    Command,
}

/// What a node is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its value is changed in place.
    Edit,
    /// In the editor.
    EditText,
    /// A child is added.
    Add,
    /// It goes.
    Delete,
    /// A copy of it is put elsewhere.
    Duplicate,
    /// It moves.
    Rename,
    /// Something is to be put there, where nothing may be yet.
    Target,
}

/// How it's asked.
#[derive(Clone, Debug)]
pub enum Job {
    /// A call over HTTP that changes nothing.
    Read(Route),
    /// The same, with an answer of so many bytes at most; a longer one is refused as `too_large`.
    Short(Route, usize),
    /// A call over HTTP that is sent once.
    Once(Route, Option<Value>),
    /// A write over HTTP that is repeated under one request ID while its outcome is unknown.
    Write(Route, Option<Value>),
    /// A transaction. It's repeated under its request ID while its outcome is unknown.
    Commit(Vec<Op>),
    /// The words of a command line, run by this program.
    Run(Vec<String>),
}

/// One question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What for.
    pub purpose: Purpose,
    /// How.
    pub job: Job,
}

/// Why there's no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failed {
    /// The server refused.
    Refused(Refusal),
    /// It wasn't reached: nothing happened.
    NotReached(String),
    /// It may or may not have happened.
    Unknown(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Refused(refusal) => f.write_str(&refusal.message),
            Failed::NotReached(why) => write!(f, "{why}; nothing happened"),
            Failed::Unknown(why) => write!(f, "{why}; it may or may not have happened"),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What was asked for.
    pub purpose: Purpose,
    /// The answer's body.
    pub outcome: Result<Value, Failed>,
}

/// Who works on a question: those of one lane wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Pages of the tree, and what goes with the cursor.
    Tree,
    /// Searches, which are many questions one after the other.
    Search,
    /// What other views show.
    Views,
    /// Changes.
    Writes,
    /// Calls of functions and commands, which may take long.
    Calls,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Lane; 5] = [Lane::Tree, Lane::Search, Lane::Views, Lane::Writes, Lane::Calls];
}

impl Purpose {
    /// Whether a prompt waits for the answer: what is typed meanwhile is meant for it.
    pub(super) fn opens_prompt(&self) -> bool {
        matches!(self, Purpose::MayEdit(..) | Purpose::Value(_) | Purpose::Complete(_))
    }

    /// The lane of a question.
    pub fn lane(&self) -> Lane {
        match self {
            Purpose::Page(..)
            | Purpose::Row(_)
            | Purpose::MayEdit(..)
            | Purpose::Value(_)
            | Purpose::Complete(_) => Lane::Tree,
            Purpose::Search(_) => Lane::Search,
            Purpose::Call(..) | Purpose::Command => Lane::Calls,
            Purpose::Rollback(..) | Purpose::Commit | Purpose::Now(_) | Purpose::NowValue(..) => Lane::Writes,
            _ => Lane::Views,
        }
    }
}
