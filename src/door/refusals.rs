//! What the door itself tells a client that it can't serve now.

use crate::api::error::Refusal;
use crate::http::Reply;

/// A part of a request that took too long.
pub(super) fn late(what: &str) -> Reply {
    let message = format!("{what} of the request didn't come in time; nothing happened");
    Reply::refusal(&Refusal { status: 408, ..Refusal::bad(message) })
}

/// There is no room, for now.
pub(super) fn crowded() -> Refusal {
    let message = "too many requests are under way; nothing happened, try again";
    Refusal { status: 503, ..Refusal::new("too_many", message) }
}
