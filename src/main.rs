//! The `tega` binary.

fn main() {}
