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
#[cfg(feature = "tools")]
mod demo;
mod door;
mod drivers;
mod elsewhere;
mod fleet;
mod homes;
mod layers;
mod ledger;
mod legacy;
mod list;
#[cfg(feature = "tools")]
mod migrate;
mod namespaces;
mod plugin_examples;
mod plugin_hooks;
mod plugin_machine;
mod plugins;
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
mod uci;
mod uci_bridge;
mod uci_crash;
mod uci_fuzz;
mod weight;
mod wire;
