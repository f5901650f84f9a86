//! Programs of the router that the bridge runs: none may hang, flood, or outlive what it was run for.
//!
//! Each is the head of a process group of its own, which is killed as a whole when the time is over, when whoever
//! waits for it wants no more, and when it has ended by itself with children left behind.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The most that is read of what a program says.
pub(super) const MAX_OUTPUT: u64 = 1 << 20;

/// How often it's looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long what a program said is waited for after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Set to have a program killed.
pub(super) type Cancel = Arc<AtomicBool>;

/// Runs a program to its end and returns what it printed. An exit code other than 0 is an error.
pub(super) fn run(command: &mut Command, time: Duration, cancel: &Cancel) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = wait(&mut child, time, cancel);
    if let Some(group) = group {
        // It may be empty by now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = match ended {
        Ok(status) => status,
        Err(why) => {
            // It's dead, and so this doesn't take long.
            let _ = child.wait();
            return Err(format!("{name}: {why}"));
        }
    };
    let said = |from: Option<Receiver<Vec<u8>>>| {
        from.and_then(|from| from.recv_timeout(LAST_WORDS).ok()).unwrap_or_default()
    };
    let (printed, complained) = (said(stdout), said(stderr));
    if status.success() {
        return Ok(String::from_utf8_lossy(&printed).into_owned());
    }
    let words = if complained.is_empty() { &printed } else { &complained };
    let words: String = String::from_utf8_lossy(words).trim().chars().take(200).collect();
    let words = if words.is_empty() { words } else { format!(": {words}") };
    Err(format!("{name}: {status}{words}"))
}

fn wait(child: &mut Child, time: Duration, cancel: &Cancel) -> Result<std::process::ExitStatus, String> {
    let until = Instant::now() + time;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if cancel.load(Ordering::SeqCst) => return Err("isn't wanted any more".into()),
            Ok(None) if Instant::now() >= until => {
                return Err(format!("still runs after {} s", time.as_secs()));
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Reads from a pipe to its end, or to the most that is wanted; what comes after is thrown away.
fn read(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    let work = move || {
        let mut bytes = Vec::new();
        // What was read before an error counts.
        let _ = from.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    };
    if let Err(error) = std::thread::Builder::new().name("uci-read".into()).spawn(work) {
        log::warn!("what a program says can't be read: {error}");
    }
    receiver
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
    fn a_program_that_hangs_is_killed_with_its_children() {
        let scratch = crate::daemon::testing::Scratch::new();
        let file = scratch.path().join("alive");
        let script = format!("(sleep 2; echo x > {}) & sleep 60", file.display());
        let error = shell(&script, 300).unwrap_err();
        assert!(error.contains("still runs"), "{error}");
        std::thread::sleep(Duration::from_millis(2_500));
        assert!(!file.exists());
        // One that ends by itself leaves nobody behind either, and nobody waits for its children.
        let begun = Instant::now();
        assert_eq!(shell("sleep 50 & echo a", 10_000).unwrap(), "a\n");
        assert!(begun.elapsed() < Duration::from_secs(9));
    }

    #[test]
    fn a_program_that_floods_is_read_to_the_limit_and_ends() {
        let printed = shell("head -c 3000000 /dev/zero | tr '\\0' x", 20_000).unwrap();
        assert_eq!(printed.len() as u64, MAX_OUTPUT);
    }

    #[test]
    fn a_program_that_is_not_wanted_any_more_is_killed() {
        let cancel = Cancel::default();
        cancel.store(true, Ordering::SeqCst);
        let error = run(Command::new("sh").args(["-c", "sleep 60"]), Duration::from_secs(60), &cancel);
        assert!(error.unwrap_err().contains("wanted"));
    }
}
