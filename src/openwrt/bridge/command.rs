//! Programs of the router that the bridge runs: none may hang, flood, or outlive what it was run for.

use std::process::Command;
use std::time::Duration;

pub(super) use crate::system::program::Cancel;
use crate::system::program::{self, Flood, Limits};

/// The most that is read of what a program says.
const MAX_OUTPUT: usize = 1 << 20;

/// Runs a program to its end and returns what it printed. An exit code other than 0 is an error.
pub(super) fn run(command: &mut Command, time: Duration, cancel: &Cancel) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    // What a service says when it's told to reload is nothing to kill it for.
    let (output, errors, flood) = (MAX_OUTPUT, MAX_OUTPUT, Flood::Discard);
    let limits = Limits { time, output, errors, flood, guest: None };
    let ended = program::run(command, Vec::new(), limits, Some(cancel));
    let ended = ended.map_err(|error| format!("{name}: {error}"))?;
    let status = match &ended.status {
        Ok(status) if status.success() => return Ok(String::from_utf8_lossy(&ended.printed).into_owned()),
        Ok(status) => status.to_string(),
        Err(killed) => return Err(format!("{name}: {killed}")),
    };
    let words = match ended.words() {
        words if words.is_empty() => String::from_utf8_lossy(&ended.printed).trim().to_string(),
        words => words,
    };
    let words: String = words.chars().take(200).collect();
    let words = if words.is_empty() { words } else { format!(": {words}") };
    Err(format!("{name}: {status}{words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, ms: u64) -> Result<String, String> {
        let mut command = Command::new("sh");
        run(command.args(["-c", script]), Duration::from_millis(ms), &Cancel::default())
    }

    #[test]
    fn what_a_program_prints_is_returned_and_a_failure_told_in_its_words() {
        assert_eq!(shell("echo a; echo b >&2", 10_000).unwrap(), "a\n");
        let error = shell("echo no room >&2; exit 3", 10_000).unwrap_err();
        assert!(error.contains("no room") && error.contains('3'), "{error}");
        let error = run(&mut Command::new("/nowhere"), Duration::from_secs(1), &Cancel::default());
        assert!(error.unwrap_err().contains("/nowhere"));
    }

    #[test]
    fn a_program_that_hangs_or_is_not_wanted_any_more_is_killed() {
        let error = shell("sleep 60", 300).unwrap_err();
        assert!(error.contains("still runs"), "{error}");
        let cancel = Cancel::default();
        cancel.store(true, std::sync::atomic::Ordering::SeqCst);
        let error = run(Command::new("sh").args(["-c", "sleep 60"]), Duration::from_secs(60), &cancel);
        assert!(error.unwrap_err().contains("wanted"));
    }

    #[test]
    fn a_program_that_floods_is_read_to_the_limit_and_ends() {
        let printed = shell("head -c 3000000 /dev/zero | tr '\\0' x", 20_000).unwrap();
        assert_eq!(printed.len(), MAX_OUTPUT);
    }
}
