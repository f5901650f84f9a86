//! The files of one data directory: the little that the log asks of them, and the real ones.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use super::error::LogError;

/// The files of one directory, as little as the log needs of them.
///
/// Names are plain file names. A file is written at its end only, and is durable after [`Medium::sync`]; its
/// name, a rename and a removal are durable after [`Medium::sync_dir`]. The real one is [`Directory`].
pub trait Medium: Send {
    /// The length of a file in bytes, `None` if there is none of that name.
    fn size(&mut self, name: &str) -> io::Result<Option<u64>>;
    /// Reads what there is from `at` on, up to the length of `buf`; 0 at the end.
    fn read(&mut self, name: &str, at: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes at the end of a file, which is created if need be. After an error some of it may be there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes a file `len` bytes long; it is never shorter.
    fn cut(&mut self, name: &str, len: u64) -> io::Result<()>;
    /// Returns once the bytes and the length of a file are on the disk.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name, whose former file is gone.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. That there is none isn't an error.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Returns once every name is on the disk.
    fn sync_dir(&mut self) -> io::Result<()>;
    /// Makes a file that takes `len` bytes of the disk for good, or none at all; gives how many of them had to be written
    /// for it.
    fn reserve(&mut self, name: &str, len: u64) -> io::Result<u64>;
    /// The room on the disk, where that can be told.
    fn room(&self) -> Option<Room>;
    /// Another handle on the same files, for another thread.
    fn share(&self) -> Box<dyn Medium>;
    /// A file's name as messages show it.
    fn show(&self, name: &str) -> String;
}

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub total: u64,
    /// What this process may still write.
    pub free: u64,
}

impl Room {
    /// The room where this path is.
    pub fn at(path: &Path) -> Option<Room> {
        Some(Room::of(&rustix::fs::statvfs(path).ok()?))
    }

    fn of(found: &rustix::fs::StatVfs) -> Room {
        // Some file systems keep a part for root.
        let free = if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail };
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Room { total: bytes(found.f_blocks), free: bytes(free) }
    }
}

const LOCK: &str = "lock";

/// A data directory, locked: while this or one [shared](Medium::share) from it lives, no other can be opened.
#[derive(Debug)]
pub struct Directory {
    held: Arc<Held>,
    /// The files in use; at most a few, so a list will do. Open ones save an open and a close per append.
    open: Vec<(String, File)>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    dir: File,
    /// Closing it gives up the lock.
    _lock: File,
}

impl Directory {
    /// Opens a data directory and locks it. If there is none, it is created, for its owner only (0700).
    pub fn open(path: &Path) -> Result<Directory, LogError> {
        let shown = path.display();
        create(path).map_err(LogError::io(format!("creating {shown}")))?;
        // Absolute, so that a later change of the working directory changes nothing.
        let path = fs::canonicalize(path).map_err(LogError::io(format!("opening {shown}")))?;
        let dir = File::open(&path).map_err(LogError::io(format!("opening {shown}")))?;
        let lock = lock(&path)?;
        Ok(Directory { held: Arc::new(Held { path, dir, _lock: lock }), open: Vec::new() })
    }

    /// The directory's absolute path.
    pub fn path(&self) -> &Path {
        &self.held.path
    }

    fn file(&mut self, name: &str, create: bool) -> io::Result<&mut File> {
        let at = match self.open.iter().position(|(open, _)| open == name) {
            Some(at) => at,
            None => {
                let path = self.held.path.join(name);
                let file =
                    OpenOptions::new().read(true).append(true).create(create).mode(0o600).open(path)?;
                self.open.push((name.to_owned(), file));
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at].1)
    }

    fn forget(&mut self, name: &str) {
        self.open.retain(|(open, _)| open != name);
    }
}

impl Medium for Directory {
    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.held.path.join(name)) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, name: &str, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_at(self.file(name, false)?, at, buf)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name, true)?.write_all(bytes)
    }

    fn cut(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.file(name, false)?.set_len(len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name, false)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.held.path.join(from), self.held.path.join(to))?;
        self.forget(to);
        if let Some((name, _)) = self.open.iter_mut().find(|(open, _)| open == from) {
            *name = to.to_owned();
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        match fs::remove_file(self.held.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        sync_dir(&self.held.dir)
    }

    fn reserve(&mut self, name: &str, len: u64) -> io::Result<u64> {
        self.remove(name)?;
        let result = self.file(name, true).and_then(|file| occupy(file, len));
        self.forget(name);
        if result.is_err() {
            self.remove(name)?;
        }
        result
    }

    fn room(&self) -> Option<Room> {
        Some(Room::of(&rustix::fs::fstatvfs(&self.held.dir).ok()?))
    }

    fn share(&self) -> Box<dyn Medium> {
        Box::new(Directory { held: Arc::clone(&self.held), open: Vec::new() })
    }

    fn show(&self, name: &str) -> String {
        self.held.path.join(name).display().to_string()
    }
}

pub(super) fn read_at(file: &File, at: u64, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read_at(buf, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Creates a directory and those above it, and makes their names durable.
fn create(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|dir| !at_hand(dir).exists()).collect();
    while let Some(dir) = missing.pop() {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(above) = dir.parent() {
            sync_dir(&File::open(at_hand(above))?)?;
        }
    }
    Ok(())
}

/// The directory above `data` is the empty path, which means the working directory.
fn at_hand(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

fn sync_dir(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        // A filesystem that has no such thing (some FUSE ones) leaves nothing to be done.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

fn lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join(LOCK);
    let doing = format!("locking {}", path.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(LogError::io(doing.as_str()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // The process that holds it may be about to write; a message without the number will do.
            let _ = (&file).take(16).read_to_string(&mut text);
            return Err(LogError::Locked { dir: dir.display().to_string(), pid: text.trim().parse().ok() });
        }
        Err(error) => return Err(LogError::Io { doing, source: error.into() }),
    }
    // Only for the message above: with a full disk a server must start all the same.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Makes an empty file take `len` bytes of the disk, and gives how many had to be written for it.
fn occupy(file: &mut File, len: u64) -> io::Result<u64> {
    match fallocate(&*file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        result => return result.map(|()| 0).map_err(io::Error::from),
    }
    // The flash filesystems of routers compress, and zeros would take no room there: write noise.
    let mut block = [0; 4096];
    let mut noise: u32 = 0x9e37_79b9;
    let mut left = len;
    while left > 0 {
        for byte in &mut block {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            *byte = noise as u8;
        }
        let now = usize::try_from(left).unwrap_or(block.len()).min(block.len());
        file.write_all(&block[..now])?;
        left -= now as u64;
    }
    // A write may be answered before it has its place on the disk.
    file.sync_data()?;
    Ok(len)
}
