//! # The HTTP contract
//!
//! What may be asked and what may be refused, each with both ends in one file: [`route`] reads a request's method and
//! target into a typed [`route::Route`] for the server, and writes the target of a route for the client; [`error`]
//! is the one table of refusals, with the JSON body that says them and its reader.
//!
//! Nothing here does anything: there's no socket, no store and no answer. A target that can't be understood is a
//! [`error::Refusal`] with what was wrong and what to write instead, never a guess.
//!
//! [`allow`] says what each call needs of a token, since that belongs to the contract as well.
//!
//! It isn't the WebSocket's grammar; that is `message`.

pub mod allow;
pub mod error;
pub mod query;
pub mod route;
pub mod rpc;
