//! Who undoes a trial that the server itself doesn't survive.
//!
//! A version of the package `tega` may say that no server is to run, or one without a bridge, or with options that it
//! refuses. Nobody would be left to go back then. So before such a version is taken into use another process is started,
//! which waits for the end of the trial and a moment more. Where the journal is still there by then, and no server has
//! it, it puts the old files back, and procd starts the old server with them.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Options;
use super::command::Cancel;
use super::disk::{self, Disk};
use super::files::ConfigDir;
use super::journal::Journal;
use super::services::Services;
use crate::system::boot_ms;

/// The package that says how the server itself is started.
pub(super) const OWN: &str = "tega";

/// How long after the end of a trial a server has to undo it by itself, in milliseconds.
const GRACE: u64 = 3_000;

/// How often it's looked whether the trial is over.
const LOOK: Duration = Duration::from_millis(500);

/// How long after that it's tried, while somebody has the journal or the disk refuses.
const PATIENCE: u64 = 600_000;

/// A guard that this process started. It outlives this process, for the next server's trial is the same one.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// Starts one for the trial that ends at `deadline`, by the boot clock.
    pub(super) fn start(options: &Options, deadline: u64) -> std::io::Result<Guard> {
        let seconds = deadline.saturating_sub(boot_ms()).div_ceil(1_000);
        // Not by its path, where another version may have been installed since.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("tega").args(["uci", "recover", "--after", &seconds.to_string(), "--data"]);
        command.arg(options.dir.parent().unwrap_or(&options.dir)).arg("--uci-root").arg(&options.root);
        if let Some(reload) = &options.reload {
            command.arg("--uci-reload").arg(reload);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Guard)
    }

    /// The trial is over: nothing is to be guarded.
    pub(super) fn end(mut self) {
        let _ = self.0.kill();
        // It was killed, and so this doesn't take long.
        let _ = self.0.wait();
    }
}

/// `tega uci recover --after SECONDS`: waits so long, and undoes a trial of this boot too that ended without anybody who
/// did. What was done, for people.
pub fn recover_after(
    root: &Path,
    dir: &Path,
    reload: Option<String>,
    seconds: u64,
) -> Result<String, String> {
    leave();
    let at = boot_ms().saturating_add(seconds.saturating_mul(1_000)).saturating_add(GRACE);
    let until = at.saturating_add(PATIENCE);
    let mut why = String::new();
    while boot_ms() < until {
        if !dir.join("journal").exists() {
            return Ok("the trial is over".into());
        }
        if boot_ms() >= at {
            match undo(root, dir, reload.clone()) {
                Ok(done) => return Ok(done),
                Err(error) => why = error,
            }
        }
        std::thread::sleep(LOOK);
    }
    Err(format!("the trial isn't undone: {why}"))
}

/// Out of the session, and where there are control groups out of the service's, so that whoever stops the service doesn't
/// stop this too. Neither is needed where it can't be done.
fn leave() {
    let _ = rustix::process::setsid();
    let group = std::fs::OpenOptions::new().write(true).open("/sys/fs/cgroup/cgroup.procs");
    let _ = group.and_then(|mut group| group.write_all(std::process::id().to_string().as_bytes()));
}

fn undo(root: &Path, dir: &Path, reload: Option<String>) -> Result<String, String> {
    let journal = Journal::open(dir, ConfigDir::below(root), Disk::detect(), disk::boot());
    let mut journal = journal.map_err(|error| error.to_string())?;
    let Some(record) = journal.record().cloned() else { return Ok("the trial is over".into()) };
    // Another one, of a server that runs again and is just being restarted.
    if journal.is_of_this_boot() && record.deadline > boot_ms() {
        return Ok("a newer trial is under way".into());
    }
    let reason = "no server was left to prove it: what it says of the package tega doesn't start one";
    journal.restore(reason).map_err(|error| error.to_string())?;
    journal.close(reason).map_err(|error| error.to_string())?;
    // The server that the old files start wants the journal.
    drop(journal);
    let packages: Vec<String> = record.files.iter().map(|file| file.name.clone()).collect();
    let told = Services::new(root, reload).reload(&packages, Duration::from_secs(60), &Cancel::default());
    match told {
        Ok(()) => Ok(format!("the old files are back: {reason}")),
        Err(error) => Ok(format!("the old files are back: {reason}; services aren't told: {error}")),
    }
}
