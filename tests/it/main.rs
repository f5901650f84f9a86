//! The promises of the program, one file each.

#![expect(clippy::unwrap_used, reason = "a test may panic; clippy knows #[test] functions only")]

mod crowd;
mod door;
mod layers;
mod refusals;
mod server;
mod sessions;
mod wire;
