//! # A router's configuration that can't lock its administrator out

pub mod disk;
pub mod files;
pub mod journal;
pub mod record;
