//! tega: a tree-structured, versioned, replicated database for small data.
pub mod log;
pub mod path;
pub mod tree;
pub mod value;
