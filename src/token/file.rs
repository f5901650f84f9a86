//! The token file: reading it with suspicion, and changing it so that nobody ever sees half of it.
//!
//! One line, one token, in JSON; empty lines and lines that begin with `#` are the administrator's own and stay. Only its
//! owner may read it: whoever could write it could let anybody in, and whoever could read it would learn who may do
//! what. A change is written beside the file, synced and renamed over it, with the directory locked (`flock`) against
//! others that do the same.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::line::{Line, Proof, legacy_name};
use super::{Cidr, Grant, secret};
use crate::commit::TegaId;

/// The largest token file, in bytes: a line each for tens of thousands of routers.
const MAX_FILE: u64 = 16 << 20;

/// How often, and how far apart, a directory that another `tega token` holds is tried.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Why a token file can't be used. No variant holds a secret or a hash.
#[derive(Debug)]
pub enum TokenError {
    /// There is none.
    Missing(PathBuf),
    /// It can't be read or written.
    Io(PathBuf, &'static str, io::Error),
    /// Others could read or change it.
    Unsafe(PathBuf, String),
    /// A line that can't be read, counted from 1.
    Line(PathBuf, usize, String),
    /// A new token's name that can't be one, or is there already.
    Name(String),
    /// Nothing of this name is there.
    Unknown(PathBuf, String),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Missing(path) => {
                write!(f, "there is no token file {}; `tega token new` makes one", path.display())
            }
            TokenError::Io(path, doing, error) => write!(f, "can't {doing} {}: {error}", path.display()),
            TokenError::Unsafe(path, why) => write!(f, "the token file {} {why}", path.display()),
            TokenError::Line(path, line, why) => write!(f, "{}:{line}: {why}", path.display()),
            TokenError::Name(why) => f.write_str(why),
            TokenError::Unknown(path, name) => write!(f, "no token {name:?} in {}", path.display()),
        }
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TokenError::Io(_, _, error) => Some(error),
            _ => None,
        }
    }
}

/// All tokens of a file.
pub fn read(path: &FilePath) -> Result<Vec<Line>, TokenError> {
    parse(path, &load(path)?)
}

/// Adds a token and returns its secret, which nobody can find out later. `grant.name` is its name; `created` is shown to
/// people.
pub fn add(path: &FilePath, grant: Grant, created: &str) -> Result<String, TokenError> {
    let name = TegaId::new(&grant.name).map_err(|_| {
        TokenError::Name(format!("token {:?}: 1 to 64 letters, digits, \"-\" or \"_\" wanted", grant.name))
    })?;
    let drawn = secret::draw(name.as_str());
    let (secret, salted) = drawn.map_err(|error| TokenError::Io(path.into(), "draw a secret for", error))?;
    append(path, &Line { grant, proof: Proof::Secret(salted), created: created.into() })?;
    Ok(secret)
}

/// Admits an original server, which knows no tokens, under this tega ID from these addresses. The name and tega ID of
/// `grant` are set here.
pub fn add_legacy(
    path: &FilePath,
    id: &TegaId,
    from: Vec<Cidr>,
    grant: Grant,
    created: &str,
) -> Result<(), TokenError> {
    let grant = Grant { name: legacy_name(id), tega_id: Some(id.clone()), ..grant };
    append(path, &Line { grant, proof: Proof::From(from), created: created.into() })
}

/// Takes the token of this name out.
pub fn remove(path: &FilePath, name: &str) -> Result<(), TokenError> {
    change(path, |path, text| {
        let at =
            parse_numbered(path, &text)?.iter().find(|(_, line)| line.grant.name == name).map(|(n, _)| *n);
        let at = at.ok_or_else(|| TokenError::Unknown(path.into(), name.into()))?;
        let kept = text.lines().enumerate().filter(|(i, _)| i + 1 != at);
        Ok(kept.flat_map(|(_, line)| [line, "\n"]).collect())
    })
}

fn append(path: &FilePath, line: &Line) -> Result<(), TokenError> {
    change(path, |path, mut text| {
        let name = &line.grant.name;
        if parse(path, &text)?.iter().any(|there| there.grant.name == *name) {
            return Err(TokenError::Name(format!(
                "{name} is there already; `tega token remove {name}` first"
            )));
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line.encode());
        text.push('\n');
        Ok(text)
    })
}

/// The text of a file that is what a token file must be.
fn load(path: &FilePath) -> Result<String, TokenError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TokenError::Missing(path.into()));
        }
        Err(error) => return Err(TokenError::Io(path.into(), "read", error)),
    };
    let cant_read = |error| TokenError::Io(path.into(), "read", error);
    let meta = file.metadata().map_err(cant_read)?;
    let wrong = |why: &str| Err(TokenError::Unsafe(path.into(), why.into()));
    if !meta.is_file() {
        return wrong("isn't a file");
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        let shown = path.display();
        return wrong(&format!("has mode {mode:04o}, so that others may use it; chmod 600 {shown}"));
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 && me != 0 {
        return wrong(&format!("belongs to user {}; chown it to the user that tega runs as", meta.uid()));
    }
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(cant_read)?;
    if read as u64 > MAX_FILE {
        return wrong(&format!("has more than {MAX_FILE} bytes"));
    }
    Ok(text)
}

fn parse(path: &FilePath, text: &str) -> Result<Vec<Line>, TokenError> {
    Ok(parse_numbered(path, text)?.into_iter().map(|(_, line)| line).collect())
}

fn parse_numbered(path: &FilePath, text: &str) -> Result<Vec<(usize, Line)>, TokenError> {
    let mut lines = Vec::new();
    let mut names = HashSet::new();
    for (number, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let fault = |why: String| TokenError::Line(path.into(), number, why);
        let line = Line::decode(text).map_err(fault)?;
        if !names.insert(line.grant.name.clone()) {
            return Err(fault(format!("a second {}", line.grant.name)));
        }
        lines.push((number, line));
    }
    Ok(lines)
}

type Change<'a> = dyn FnOnce(&FilePath, String) -> Result<String, TokenError> + 'a;

/// Replaces the file by what `change` makes of its text; one that isn't there is empty.
fn change(
    path: &FilePath,
    change: impl FnOnce(&FilePath, String) -> Result<String, TokenError>,
) -> Result<(), TokenError> {
    let change: Box<Change<'_>> = Box::new(change);
    // What a symbolic link points to is changed, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => FilePath::new("."),
    };
    let io = |doing: &'static str| move |error| TokenError::Io(path.into(), doing, error);
    let directory = File::open(folder).map_err(io("open the directory of"))?;
    lock(&directory).map_err(io("lock the directory of"))?;
    let (text, fresh) = match load(path) {
        Ok(text) => (text, false),
        Err(TokenError::Missing(_)) => (String::new(), true),
        Err(error) => return Err(error),
    };
    let text = change(path, text)?;
    // Root must not take the file away from the user that the server runs as.
    let owner = if fresh { directory.metadata() } else { fs::metadata(path) }.map_err(io("read"))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = folder.join(name);
    let written = write(&beside, &text, (owner.uid(), owner.gid()));
    let renamed = written.and_then(|()| fs::rename(&beside, path)).and_then(|()| directory.sync_all());
    renamed.map_err(|error| {
        let _ = fs::remove_file(&beside);
        TokenError::Io(path.into(), "write", error)
    })
}

/// Locks a directory until the handle is closed.
fn lock(directory: &File) -> io::Result<()> {
    for _ in 0..TRIES {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            result => return result.map_err(io::Error::from),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another program holds the lock; is a `tega token` stuck?"))
}

fn write(path: &FilePath, text: &str, (user, group): (u32, u32)) -> io::Result<()> {
    // Left by one that was killed: the lock is ours.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
