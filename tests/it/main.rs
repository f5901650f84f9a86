//! The promises of the program, one file each.

#![expect(clippy::unwrap_used, reason = "a test may panic; clippy knows #[test] functions only")]

mod cli;
mod cli_live;
mod concurrency;
mod crash;
mod crowd;
mod data;
mod door;
mod drivers;
mod fleet;
mod layers;
mod migrate;
mod proxy;
mod readme;
mod recovery;
mod refusals;
mod server;
mod sessions;
mod weight;
mod wire;
