//! tega: a tree-structured, versioned, replicated database for small data.
pub mod api;
pub mod cli;
pub mod client;
pub mod commit;
pub mod daemon;
pub mod door;
pub mod http;
pub mod hub;
pub mod log;
pub mod message;
pub mod migrate;
pub mod path;
pub mod session;
pub mod store;
pub mod tree;
pub mod value;
pub mod yaml;
