//! # The WebSocket grammar
//!
//! Every message is one text frame: a command line, then, for most, a line end and one line of JSON. This folder is
//! that grammar, both directions and both ends of each, and nothing that acts on it.
//!
//! | client to server | server to client |
//! | --- | --- |
//! | `SESSION tega_id scope [2]` | `SESSIONACK tega_id` |
//! | `SUBSCRIBE channel [scope] [regex]` | `NOTIFY⏎[{"ope":…,"path":…,"tega_id":…,"instance":…}, …]` |
//! | `UNSUBSCRIBE [channel [regex]]` | |
//! | `PUBLISH channel⏎{"message":…}` | `MESSAGE channel tega_id⏎{"message":…}` |
//! | `REQUEST seq type tega_id path⏎BODY` | the same, for an RPC that the session serves |
//! | `RESPONSE seq type tega_id⏎BODY` | the same |
//! | | `ERROR⏎{"error":…}`, second dialect only |
//!
//! The types of a REQUEST are the original's `RPC`, `SYNC`, `REFER`, and ours: `GET PUT DELETE COMMIT ROLLBACK CLEAR
//! SUBSCRIBE`, whose bodies are in [`body`]; the operations of a COMMIT are in [`ops`], the entries of a NOTIFY in
//! [`entry`]. What an original local server says beyond this, its NOTIFY and MESSAGE among it, is in [`original`].
//!
//! **Words.** They are divided by one space. An absent field is the literal `None` (or `-`). A path or channel has its
//! spaces, line ends and `%` percent-encoded; the last words of a SUBSCRIBE are scope and flag and everything between
//! is the channel, so an unencoded space there is harmless. The original re-sends channels in escaped form, so in a
//! channel that is no regex `\.` means `.`.
//!
//! **Errors.** A frame that can't be read is a [`BadFrame`] that says what was wanted. A REQUEST whose line can be read
//! but whose body can't is a [`Refusal`](crate::api::error::Refusal), because it can be answered by its seq.
//!
//! What this isn't: the session's rules (who may send what when), which are `session`'s.

pub mod body;
pub mod entry;
pub mod link;
pub mod ops;
pub mod original;

mod frame;

pub use frame::{
    BadFrame, ChannelName, Dialect, FromClient, FromServer, Kind, Scope, channel_word, message, publish,
    request, request_word, response_head, session, session_ack, subscribe, unsubscribe,
};

/// Bytes that a message may have beside a body of [`MAX_TEXT`](crate::value::MAX_TEXT) bytes: its command line, with a
/// path as long as can be written, and what the body wraps a value in.
pub const SLACK: usize = 112 << 10;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = crate::value::MAX_TEXT + SLACK;

#[cfg(test)]
mod tests;
