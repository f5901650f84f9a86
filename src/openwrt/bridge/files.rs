//! The files of `/etc/config`: which there are, what is in them, and how several are replaced at once.
//!
//! `uci commit` takes an exclusive lock on the file, writes a new one beside it and renames it over. So whoever replaces a
//! file here takes that lock first, looks again whether the file that it locked is still the one in place, and holds it
//! no longer than it takes to compare and to rename: every `uci get` waits for it.
//!
//! A symbolic link is followed and stays; the file that it leads to is replaced, with its mode and owner. New files
//! are written beside their targets under names that begin with a dot, which `uci` passes over.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::disk::Mode;

/// The largest file that is read, in bytes: a router's largest are some tens of KiB.
pub const MAX_FILE: u64 = 1 << 20;

/// The most packages of one directory.
pub const MAX_PACKAGES: usize = 1_000;

/// How long the lock of a file is waited for.
const LOCK_TIME: Duration = Duration::from_secs(3);

/// How often it's tried.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The directory of the packages: `ROOT/etc/config`.
#[derive(Clone, Debug)]
pub struct ConfigDir(PathBuf);

/// What is in a file, as far as it matters whether two are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum(pub String);

impl Sum {
    /// Of these bytes: half of their SHA-256, in hex.
    pub fn of(bytes: &[u8]) -> Sum {
        use std::fmt::Write;
        let mut text = String::with_capacity(32);
        for byte in Sha256::digest(bytes).iter().take(16) {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        Sum(text)
    }
}

/// A package's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whose it is.
    pub mode: Mode,
}

/// What tells at a glance that a file isn't the same any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Whether a file of this name is a package: others are leftovers of package managers and editors.
pub fn is_package(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits) && !name.ends_with("-opkg")
}

impl ConfigDir {
    /// That of the system below this directory.
    pub fn below(root: &Path) -> ConfigDir {
        ConfigDir(root.join("etc/config"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The names of the packages, in order.
    pub fn packages(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Through a link, as `uci` does.
            if is_package(&name) && fs::metadata(entry.path()).is_ok_and(|data| data.is_file()) {
                names.push(name);
            }
            if names.len() > MAX_PACKAGES {
                let message = format!("{}: more than {MAX_PACKAGES} packages", self.0.display());
                return Err(io::Error::other(message));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The file that stands for a package, or would: where a symbolic link leads to.
    pub fn target(&self, name: &str) -> io::Result<PathBuf> {
        const LINKS: usize = 8;
        let mut path = self.0.join(name);
        for _ in 0..LINKS {
            match fs::read_link(&path) {
                Ok(to) => path = path.parent().unwrap_or(&self.0).join(to),
                // No link, or nothing.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{}: too many symbolic links", self.0.join(name).display())))
    }

    /// A file beside the target of a package, under a name that nobody takes for a package.
    pub fn beside(&self, name: &str, what: &str) -> io::Result<PathBuf> {
        Ok(self.target(name)?.with_file_name(format!(".{name}.tega-{what}")))
    }

    /// A package's file; `None`: there's none.
    pub fn read(&self, name: &str) -> io::Result<Option<Content>> {
        match File::open(self.target(name)?) {
            Ok(mut file) => content(&mut file, name).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What tells whether a package's file changed; `None`: there's none.
    pub fn look(&self, name: &str) -> Option<Look> {
        let data = fs::metadata(self.0.join(name)).ok()?;
        Some(Look { inode: data.ino(), size: data.size(), changed: (data.ctime(), data.ctime_nsec()) })
    }

    /// Locks the files of these packages as `uci` does, all of them or none.
    pub fn lock<'a>(&self, names: impl Iterator<Item = &'a str>) -> io::Result<Locked> {
        let until = Instant::now() + LOCK_TIME;
        let mut files = Vec::new();
        // In the order of their names, so that two who lock several never wait for each other.
        for name in names {
            files.push((name.to_string(), lock_one(&self.target(name)?, name, until)?));
        }
        Ok(Locked { files })
    }
}

/// Files that nobody else replaces while this lives.
pub struct Locked {
    files: Vec<(String, Option<File>)>,
}

impl Locked {
    /// What is in a package's file; `None`: there's none.
    pub fn content(&mut self, name: &str) -> io::Result<Option<Content>> {
        match self.files.iter_mut().find(|(locked, _)| locked == name) {
            Some((name, Some(file))) => content(file, name).map(Some),
            _ => Ok(None),
        }
    }
}

fn content(file: &mut File, name: &str) -> io::Result<Content> {
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::other(format!("{name} is no file")));
    }
    let mut bytes = Vec::new();
    io::Seek::rewind(file)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("{name} is larger than {MAX_FILE} bytes")));
    }
    Ok(Content { bytes, mode: mode_of(&data) })
}

fn mode_of(data: &Metadata) -> Mode {
    Mode { bits: data.mode() & 0o7777, owner: Some((data.uid(), data.gid())) }
}

fn lock_one(target: &Path, name: &str, until: Instant) -> io::Result<Option<File>> {
    loop {
        let file = match File::open(target) {
            Ok(file) => file,
            // Nobody can hold a lock on what isn't there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let locked = file.metadata()?;
                // Whoever held the lock may have put another file in its place.
                match fs::metadata(target) {
                    Ok(now) if (now.dev(), now.ino()) == (locked.dev(), locked.ino()) => {
                        return Ok(Some(file));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= until {
            let message = format!("{name} is locked by another program for {} s", LOCK_TIME.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::testing::Scratch;

    fn dir(scratch: &Scratch) -> ConfigDir {
        fs::create_dir_all(scratch.path().join("etc/config")).unwrap();
        ConfigDir::below(scratch.path())
    }

    #[test]
    fn leftovers_of_editors_and_package_managers_are_no_packages() {
        let scratch = Scratch::new();
        let dir = dir(&scratch);
        for name in ["network", "my-app_2", "a.apk-new", "b-opkg", "c~", ".d", "e f"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("network", dir.path().join("linked")).unwrap();
        assert_eq!(dir.packages().unwrap(), ["linked", "my-app_2", "network"]);
        assert!(!is_package("") && !is_package(&"x".repeat(65)));
    }

    #[test]
    fn a_link_leads_to_its_file_even_where_that_is_gone() {
        let scratch = Scratch::new();
        let dir = dir(&scratch);
        std::os::unix::fs::symlink("../real", dir.path().join("network")).unwrap();
        let target = dir.path().join("../real");
        assert_eq!(dir.target("network").unwrap(), target);
        assert_eq!(dir.read("network").unwrap(), None);
        fs::write(&target, "x").unwrap();
        assert_eq!(dir.read("network").unwrap().unwrap().bytes, b"x");
        assert_eq!(dir.beside("network", "new").unwrap(), dir.path().join("../.network.tega-new"));
        std::os::unix::fs::symlink("round", dir.path().join("round")).unwrap();
        assert!(dir.read("round").is_err());
    }

    #[test]
    fn a_lock_is_taken_on_the_file_that_is_in_place_then() {
        let scratch = Scratch::new();
        let dir = dir(&scratch);
        let path = dir.path().join("network");
        fs::write(&path, "old").unwrap();
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        let committed = std::thread::spawn({
            let path = path.clone();
            move || {
                // As `uci commit` does: another file in its place, then the lock goes.
                fs::write(path.with_file_name(".new"), "new").unwrap();
                fs::rename(path.with_file_name(".new"), &path).unwrap();
                drop(held);
            }
        });
        let mut locked = dir.lock(["network", "none"].into_iter()).unwrap();
        let now = locked.content("network").unwrap().unwrap();
        assert!(flock(File::open(&path).unwrap(), FlockOperation::NonBlockingLockExclusive).is_err());
        assert_eq!(now.bytes, fs::read(&path).unwrap());
        assert_eq!(locked.content("none").unwrap(), None);
        committed.join().unwrap();
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let scratch = Scratch::new();
        let dir = dir(&scratch);
        let bytes = vec![b'x'; MAX_FILE as usize];
        fs::write(dir.path().join("a"), &bytes).unwrap();
        assert_eq!(dir.read("a").unwrap().unwrap().bytes.len(), bytes.len());
        fs::write(dir.path().join("a"), [&bytes[..], b"y"].concat()).unwrap();
        assert!(dir.read("a").unwrap_err().to_string().contains("larger"));
    }
}
