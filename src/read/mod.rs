//! # What a GET finds, and its text
//!
//! REST and the WebSocket sessions read the same way: a node or all roots, of the present, of a kept version or as a
//! transaction would leave them, plain or in the `internal` form, or every node that a regex selects. This is that
//! reading, once, with one set of limits:
//!
//! ```text
//! Source::of ─→ Found      one node, or all roots      ─┐
//!           ├─→ Selection  what a regex matches        ─┤
//!           ├─→ Listing    a page of a node's children ─┼→ write → text
//!           └─→ Finding    a piece of a search         ─┘
//! ```
//!
//! The last two are for looking around in a tree that is too large to be sent. Their answers are cut to
//! [`MAX_PAGE`] bytes and go on where they were told that the last one ended, so each costs what it shows, wherever in
//! the tree that is.
//!
//! A [`Source`] holds the trees that it was made with, so an answer is of one moment, however late it is encoded.
//!
//! **Who reads.** A source is made for somebody ([`Access`](crate::token::Access)) and has nothing that they may not
//! see, so whatever is read from it can't show it either: containers on the way to what may be read stay, with those
//! children only. That costs as much as looking up what may be read, not as much as the tree. Where nothing at or below
//! a path may be read, the refusal is `forbidden`, whether there's a node or not.
//!
//! **Time.** Looking something up is quick, writing it may not be. An event loop writes with a budget of
//! [`INLINE_NODES`] nodes; where that doesn't do, it throws the text away and lets a thread of [`Heavy`] write it all.
//! A regex may visit every node, whatever it finds, and is never run on an event loop; nor is a search, which ends after
//! [`MAX_LOOKED`] nodes, with an expression after a quarter of a second, and says where to go on.
//!
//! **Memory.** An answer has at most [`max_answer`] bytes, which is found out before it is written, and of those that are encoded off the loop only a few are
//! made at a time.
//!
//! **How it fails.** A [`Refusal`]: there's no such node, version or transaction, what was asked for together excludes each
//! other, or it's too much and is to be read in parts.
//!
//! What it isn't: the heads of answers (ETags, versions, a RESPONSE's line), which belong to `http` and `session`.

mod finding;
mod found;
mod heavy;
mod listing;
mod row;
mod source;

pub use finding::{Finding, MAX_LOOKED};
pub use found::{Found, Selection, write_candidate};
pub use heavy::Heavy;
pub use listing::Listing;
pub use source::Source;

use crate::api::error::Refusal;
use crate::tree::SelectLimits;

/// A read of at most so many nodes, none of them long, is encoded where it was asked for; a bigger one on another
/// thread.
pub const INLINE_NODES: usize = 4_096;

/// The longest answer, in bytes, where there is memory for it; see [`max_answer`].
pub const MAX_ANSWER: usize = 64 << 20;

/// The longest answer that there must be memory for: the longest value fits into it however it's written.
const LEAST_ANSWER: usize = 4 << 20;

/// The longest answer of this machine, in bytes: a 16th of its memory. A larger part of the tree is read in pieces.
pub fn max_answer() -> usize {
    static MOST: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *MOST.get_or_init(|| longest(crate::system::memory()))
}

fn longest(memory: u64) -> usize {
    usize::try_from(memory / 16).unwrap_or(MAX_ANSWER).clamp(LEAST_ANSWER, MAX_ANSWER)
}

/// About where a page of rows ends, in bytes.
pub const MAX_PAGE: usize = 256 << 10;

/// About how many bytes of values are gone through for one page, so that a few rows of long ones don't take long.
const MAX_VALUES: usize = 4 << 20;

/// What one regex may find and look at.
pub const SELECT: SelectLimits = SelectLimits { matches: 100_000, visits: 5_000_000 };

fn too_long() -> Refusal {
    Refusal::new(
        "too_large",
        format!("the answer is longer than {} MiB; read it in parts", max_answer() >> 20),
    )
}

#[cfg(test)]
mod tests;
