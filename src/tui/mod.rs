//! # The live tree, on a terminal
//!
//! `tega tui` shows what a server has, as it changes: unfold it, find something, see who changed it and when, change it and
//! roll it back. It runs on the machine that the administrator is logged into, often over SSH, and asks any tega through
//! [`client`](crate::client); it never touches a store.
//!
//! **How it's built.** [`App`] is the whole state. It takes an [`Input`] (a key, an answer, what changed meanwhile, the
//! time) and returns what is to be done ([`Effect`]: ask the server, copy, open an editor, end); it does no I/O. Drawing is a
//! function of that state (`draw`). So every screen and every action is tested without a terminal or a server.
//!
//! ```text
//! terminal keys ─┐                    ┌→ Effect::Ask → net (a thread a lane) ─→ HTTP ─┐
//!                ├→ Input → App ──────┼→ Effect::Copy, Editor, Suspend, Quit          │ Reply
//! feed, replies ─┘   (one thread)     └→ draw → the cells that differ → terminal      │
//!    ↑──────────────────────────────────────── WebSocket, one session ←───────────────┘
//! ```
//!
//! - `model` is as much of the tree as is unfolded: rows, at most `MAX_ROWS`. It's read page by page,
//!   and kept up to date by notifications, which carry the position that they happened at.
//! - `feed` stands between the session and the screen: it keeps the newest change of each path until the next frame takes them,
//!   so that ten thousand changes a second cost a frame what fits on it.
//! - `keys` is the one table of keys: it makes the footer, the help, and the README's section.
//! - Each view has a file or a folder: `tree`, `detail`, `history`, `pending` (changes, from the first key to the commit),
//!   `fleet`, `sessions`, `journal`, `status`, `output` (what commands printed). `find` serves the tree, `form` calls functions.
//! - What views share: `prompt` (the line at the bottom) on `line`, `list` (a cursor on lines), `pane` (text that is scrolled),
//!   `table` (cells), `poll` (how often to ask again), `look` (colours, and text that can't steer the terminal).
//! - What touches the machine: `run` (the loop), `terminal`, `editor`, `net`, `run_command`.
//!
//! **How it fails.** Nothing waits for the server but the answer that was asked for. When the session breaks, a banner says
//! since when; everything stays readable, and what's open is read again when the server is back. What the server refuses is
//! shown in its words. The terminal is restored whatever happens: a panic, a signal, a lost connection.
//!
//! What it isn't: a second client library, a cache that may be trusted for writing (each edit carries the version that
//! it was made on), or a way around tokens: it sees what its token may see.

mod app;
mod ask;
mod detail;
mod draw;
mod editor;
mod feed;
mod find;
mod fleet;
mod form;
mod history;
mod journal;
mod keys;
mod line;
mod list;
mod look;
mod model;
mod net;
mod output;
mod pane;
mod pending;
mod poll;
mod prompt;
mod rate;
mod run;
mod run_command;
mod sessions;
mod status;
mod table;
mod terminal;
mod tree;

pub use app::{App, Effect, Input, Screen};
pub use keys::readme_section;
pub use look::Look;
pub use output::Verb;
pub use run::{Options, run};

#[cfg(test)]
mod tests;
