//! The one directory of a demo: all that it writes is in there, and goes with it.
//!
//! A process that is killed can't clean up after itself, so the next demo does it. What belongs to a living one is told by
//! a lock on a file in it, which the system takes away with the process. A directory whose lock nobody holds, and which
//! is named and owned as ours are, is removed; anything else isn't touched.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::geteuid;

use crate::cli::fault::Fault;
use crate::client::http::request_id;

const PREFIX: &str = "tega-demo-";
/// Random hex digits behind the prefix.
const DIGITS: usize = 12;
const LOCK: &str = "lock";

/// A directory that nobody else may look into. Dropping it removes it with all that is in it.
pub(super) struct Dir {
    path: PathBuf,
    /// Held as long as the directory is in use.
    _lock: OwnedFd,
}

impl Dir {
    /// Makes one below this directory, after it has removed what demos that were killed left there.
    pub(super) fn new(below: &Path) -> Result<Dir, Fault> {
        sweep(below);
        let fail = |error: io::Error| {
            Fault::error(format!(
                "can't make a directory in {}: {error}; choose another with TMPDIR",
                below.display()
            ))
        };
        let name = request_id().map_err(fail)?;
        let path = below.join(format!("{PREFIX}{}", name.get(..DIGITS).unwrap_or(&name)));
        DirBuilder::new().mode(0o700).create(&path).map_err(fail)?;
        match locked(&path) {
            Ok(lock) => {
                remove_at_abort(&path);
                Ok(Dir { path, _lock: lock })
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&path);
                Err(fail(error))
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and says so where that failed.
    pub(super) fn remove(self) -> Result<(), Fault> {
        self.clear().map_err(|error| Fault::error(format!("can't remove {}: {error}", self.path.display())))
    }

    fn clear(&self) -> io::Result<()> {
        const PAUSES: [u64; 3] = [10, 100, 500];
        let mut outcome = remove(&self.path);
        // A thread of a server that had to be left behind may still write a last file.
        for pause in PAUSES {
            if outcome.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(pause));
            outcome = remove(&self.path);
        }
        outcome
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the lock file and locks it. It gets its name when it's locked: whoever finds it can't take it for a dead one's.
fn locked(dir: &Path) -> io::Result<OwnedFd> {
    let unnamed = dir.join("lock.new");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&unnamed, flags, Mode::RUSR | Mode::WUSR)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(&unnamed, dir.join(LOCK))?;
    Ok(file)
}

/// Removes what demos of this user left that were killed.
fn sweep(below: &Path) {
    let Ok(entries) = fs::read_dir(below) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_ours = entry.file_name().to_str().is_some_and(is_name);
        if let Some(_lock) = is_ours.then(|| abandoned(&entry.path())).flatten() {
            // Another demo may do the same at the same time; whichever ends it is right.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_name(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The lock of a directory of this user's that nobody held; `None`: it's in use, or none of ours.
fn abandoned(dir: &Path) -> Option<OwnedFd> {
    let meta = fs::symlink_metadata(dir).ok()?;
    if !meta.is_dir() || meta.uid() != geteuid().as_raw() {
        return None;
    }
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(dir.join(LOCK), flags, Mode::empty()).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// Where a panic ends the process at once, nothing is dropped: then it's removed before.
fn remove_at_abort(path: &Path) {
    if cfg!(panic = "abort") {
        let (path, told) = (path.to_path_buf(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            told(panic);
            let _ = fs::remove_dir_all(&path);
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::daemon::testing::Scratch;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_its_owners_alone_and_goes_when_it_is_dropped() {
        let below = Scratch::new();
        let dir = Dir::new(below.path()).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/log"), "x").unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
        assert!(is_name(&names(below.path())[0]));
        drop(dir);
        assert!(names(below.path()).is_empty());
        let dir = Dir::new(below.path()).unwrap();
        dir.remove().unwrap();
        assert!(names(below.path()).is_empty());
    }

    #[test]
    fn what_a_killed_demo_left_is_removed_and_a_living_one_stays() {
        let below = Scratch::new();
        let living = Dir::new(below.path()).unwrap();
        let dead = below.path().join("tega-demo-0123456789ab");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let another = Dir::new(below.path()).unwrap();
        assert!(!dead.exists() && living.path().exists() && another.path().exists());
    }

    #[test]
    fn what_is_no_demos_is_left_alone() {
        let below = Scratch::new();
        let at = |name: &str| below.path().join(name);
        let (elsewhere, linked) = (at("elsewhere"), at("tega-demo-00000000000a"));
        for dir in
            [&elsewhere, &at("tega-demo-mine"), &at("tega-demo-00000000000b"), &at("tega-demo-00000000000c")]
        {
            fs::create_dir(dir).unwrap();
        }
        fs::write(elsewhere.join(LOCK), "").unwrap();
        fs::write(at("tega-demo-mine").join(LOCK), "").unwrap();
        symlink(&elsewhere, &linked).unwrap();
        // One whose lock isn't there yet, and one whose lock leads elsewhere.
        symlink(elsewhere.join(LOCK), at("tega-demo-00000000000c").join(LOCK)).unwrap();
        fs::write(at("tega-demo-00000000000d"), "a file").unwrap();
        let before = names(below.path());
        sweep(below.path());
        assert_eq!(names(below.path()), before);
    }
}
