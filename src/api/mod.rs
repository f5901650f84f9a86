//! # The contract with clients
//!
//! What a caller sees of tega, each piece with both ends in one file, so that server and client can't drift apart.
//! [`error`] is the one table from "what went wrong" to the code, HTTP status and exit code that say so.

pub mod error;
