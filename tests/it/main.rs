//! The promises of the program, one file each.

#![expect(clippy::unwrap_used, reason = "a test may panic; clippy knows #[test] functions only")]

mod cli;
mod cli_live;
mod clock;
mod concurrency;
mod consistency;
mod crash;
mod crowd;
mod data;
mod demo;
mod door;
mod drivers;
mod fleet;
mod homes;
mod layers;
mod ledger;
mod legacy;
mod list;
mod migrate;
mod namespaces;
mod proxy;
mod readme;
mod recovery;
mod refusals;
mod routers;
mod server;
mod sessions;
mod small;
mod tokens;
#[cfg(feature = "tui")]
mod tui;
mod weight;
mod wire;
