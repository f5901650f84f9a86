//! The `tega` program: see `tega help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tega::cli::run(std::env::args_os()))
}
