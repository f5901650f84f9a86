//! Every change that the bridge makes to a file system, one at a time, so that a test can end the world before each.
//!
//! A write is made whole and synced before anything refers to it; a rename or a removal is in doubt until its directory
//! was synced. [`Fault`] makes the n-th of these steps the last one, or the one that fails. The environment sets it in
//! builds with debug assertions only; a release build knows nothing of it.

use std::cell::Cell;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What goes wrong, and at which step, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The process is killed before this step.
    Die(u32),
    /// As if it were: this step is left half done, and nothing works from then on.
    Cut(u32),
    /// The disk is full: this write of content and each after it fails. Writes alone are counted.
    Full(u32),
    /// This step fails, and no other.
    Fail(u32),
}

/// The file system, as the bridge changes it.
#[derive(Debug, Default)]
pub struct Disk {
    fault: Fault,
    steps: Cell<u32>,
    writes: Cell<u32>,
}

/// Who owns a file and who may what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The permission bits.
    pub bits: u32,
    /// Its owner and group; `None`: this process's.
    pub owner: Option<(u32, u32)>,
}

impl Mode {
    /// As `uci` makes a new file.
    pub const NEW: Mode = Mode { bits: 0o600, owner: None };
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
}

impl Disk {
    /// One with a fault.
    pub fn with(fault: Fault) -> Disk {
        Disk { fault, ..Disk::default() }
    }

    /// What the environment says of faults: `TEGA_UCI_FAULT=die:N`, `full:N` or `fail:N`.
    pub fn detect() -> Disk {
        Disk::with(if cfg!(debug_assertions) { fault_of_environment() } else { Fault::None })
    }

    /// How many steps were done.
    pub fn steps(&self) -> u32 {
        self.steps.get()
    }

    fn step(&self) -> io::Result<()> {
        let step = self.steps.get().saturating_add(1);
        self.steps.set(step);
        match self.fault {
            Fault::Die(at) if step == at => {
                // The process is gone before this returns.
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                Err(io::Error::other("killed"))
            }
            Fault::Cut(at) if step >= at => Err(io::Error::other("the power is gone")),
            Fault::Fail(at) if step == at => {
                Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()))
            }
            _ => Ok(()),
        }
    }

    /// A new file with this content, synced; one that is there goes first. Where it can't be written whole, it's gone.
    pub fn write(&self, path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let before = self.steps.get();
        if let Err(error) = self.step() {
            if self.fault == Fault::Cut(before + 1) {
                // What a power cut leaves of it.
                let _ = fs::write(path, bytes.get(..bytes.len() / 2).unwrap_or_default());
            }
            return Err(error);
        }
        self.writes.set(self.writes.get().saturating_add(1));
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let full = matches!(self.fault, Fault::Full(at) if self.writes.get() >= at);
        let written = if full { Err(no_space()) } else { write_new(path, bytes, mode) };
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        written
    }

    /// Puts one file in the place of another, in one step.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    /// Removes a file; one that isn't there is no error.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
        self.step()?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes a directory of one's own; one that is there is no error.
    pub fn make_dir(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.step()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Waits until what was renamed and removed in a directory is on the disk.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::File::open(path)?.sync_all()
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if let Some((uid, gid)) = mode.owner {
        match std::os::unix::fs::fchown(&file, Some(uid), Some(gid)) {
            // Who isn't root can't give files away, and has none of others' to keep.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    file.set_permissions(Permissions::from_mode(mode.bits & 0o7777))?;
    file.sync_all()
}

fn fault_of_environment() -> Fault {
    let said = std::env::var("TEGA_UCI_FAULT").unwrap_or_default();
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0);
    match said.split_once(':').map(|(kind, at)| (kind, number(at))) {
        Some(("die", Some(at))) => Fault::Die(at),
        Some(("full", Some(at))) => Fault::Full(at),
        Some(("fail", Some(at))) => Fault::Fail(at),
        _ => Fault::None,
    }
}

/// Which boot this is: as the system says, or in a build with debug assertions as a test says.
pub fn boot() -> String {
    let told = if cfg!(debug_assertions) { std::env::var("TEGA_UCI_BOOT").ok() } else { None };
    told.or_else(crate::system::boot_id).unwrap_or_default()
}
