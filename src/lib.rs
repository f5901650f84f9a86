//! # tega
//!
//! A database for the configuration of routers and small PCs: a few roots, each a tree of JSON values, each with numbered
//! versions and the history of the last ones. One static binary is the server and its command line; as a library
//! the same database can be embedded.
//!
//! ```
//! use tega::{path::Path, store::{Options, Store, Transaction}, value::Value};
//!
//! let store = Store::in_memory(Options::default());
//! let mtu = Path::parse("lan.eth0.mtu")?;
//! store.commit(Transaction::new(None).put(mtu.clone(), Value::from(1500)))?;
//! assert_eq!(store.get(&mtu), Some(Value::from(1500)));
//! # store.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **How it holds together.** A version of a root is an immutable tree that shares with the next one whatever didn't
//! change, so that reading takes a pointer and waits for nobody. Writes go to one thread, the committer: it judges
//! what waits in its order, appends it to the log as one group, waits once for the disk, publishes the new trees and tells
//! who watches. So everything below [`store`] is about one of two things: what a tree is ([`path`], [`value`], [`tree`]),
//! and how it survives ([`commit`], [`log`]). Everything above it is a way to ask: HTTP, WebSockets, the command line.
//!
//! ```text
//! cli ─┬→ tui ──→ client ──────→ api, message
//!      └→ daemon → door → http, session → hub, read → store ─┬→ tree ─────────→ path, value
//!                                                            └→ log, commit ──↗
//! ```
//!
//! Arrows point down only; `tests/it/layers.rs` holds the whole table and reads the sources. Each folder opens with a
//! chapter: what it is, why so, how it fails, and what it isn't.
//!
//! **Where to begin reading.** To use it: [`store`], then `examples/embed.rs`. To change what is kept: [`tree`], then
//! [`log`]. To follow a request: [`door`], [`http`], [`read`] for what comes out and [`store`] for what goes in.
//!
//! | data | |
//! | --- | --- |
//! | [`path`], [`value`] | where a node stands, and what |
//! | [`yaml`] | values as people write them |
//! | [`words`] | values, lines and operations as people type them |
//! | [`openwrt`] | OpenWrt's configuration files, and their form in the tree |
//! | [`commit`] | one atomic change, and its line in the log |
//! | [`tree`] | the persistent tree: get, edit, select, compare |
//!
//! | database | |
//! | --- | --- |
//! | [`log`] | records that survive a power cut |
//! | [`store`] | roots, versions, transactions, ephemeral nodes, watches |
//! | [`migrate`] | what the original's logs hold |
//! | [`system`] | clock and memory of this machine, programs on it |
//!
//! | server | |
//! | --- | --- |
//! | [`api`], [`message`] | the contracts of HTTP and of the WebSocket, both ends of each |
//! | [`read`] | what a GET finds, and its text |
//! | [`token`] | who may do what |
//! | [`hub`] | who is connected, channels, calls between them |
//! | [`http`], [`session`] | answers to one request; one WebSocket session |
//! | [`door`] | sockets, framing, limits, deadlines |
//! | [`plugin`] | programs that serve calls and hear of changes |
//! | [`openwrt`] | a router's `/etc/config`: its files, and changes on trial |
//! | [`daemon`] | assembly, ordered stop |
//!
//! | outside | |
//! | --- | --- |
//! | [`client`] | a server seen from outside |
//! | `tui` | a server's tree, live, on a terminal |
//! | [`cli`] | the verbs of `tega` |

// What is kept.
pub mod commit;
pub mod openwrt;
pub mod path;
pub mod tree;
pub mod value;
pub mod words;
pub mod yaml;

// The database.
pub mod log;
#[cfg(feature = "tools")]
pub mod migrate;
pub mod store;
pub mod system;

// The server.
pub mod api;
pub mod daemon;
pub mod door;
pub mod http;
pub mod hub;
pub mod link;
pub mod message;
pub mod plugin;
pub mod read;
pub mod session;
pub mod token;

// The program outside of it.
pub mod cli;
pub mod client;
#[cfg(feature = "tui")]
pub mod tui;
