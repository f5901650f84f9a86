//! tega: a tree-structured, versioned, replicated database for small data.
pub mod commit;
pub mod log;
pub mod migrate;
pub mod path;
pub mod store;
pub mod tree;
pub mod value;
pub mod yaml;
