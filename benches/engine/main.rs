//! What the engine costs in process, without disk or network: `cargo bench --bench engine`.
//!
//! Each row is measured in a process of its own, so that memory freed by one doesn't hide what the next one takes.
//! A group of rows is a [`Group`]; a new one is a new file and a line in [`GROUPS`].

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its table, and has nobody to report an error to"
)]

mod store;
mod table;
mod tree;

use std::process::Command;

/// A table: what its columns are called, its rows, and what is measured for one of them.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    /// What each row is about; for most the number of leaves.
    pub(crate) rows: &'static [usize],
    /// One figure a column.
    pub(crate) measure: fn(usize) -> Vec<table::Figure>,
}

const GROUPS: [&Group; 4] = [&tree::SPEED, &tree::MEMORY, &store::COMMIT, &store::REPLAY];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.as_slice() {
        [verb, name, row] if verb == "--row" => {
            let group = GROUPS.iter().find(|group| group.name == name).unwrap();
            println!("{}", table::encode(&(group.measure)(row.parse().unwrap())));
        }
        names => {
            for group in
                GROUPS.iter().filter(|group| names.is_empty() || names.iter().any(|n| n == group.name))
            {
                let rows = group.rows.iter().map(|row| (*row, table::decode(&in_own_process(group, *row))));
                table::print(group, rows);
            }
        }
    }
}

fn in_own_process(group: &Group, row: usize) -> String {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me).args(["--row", group.name, &row.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
