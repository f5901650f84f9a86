//! All tokens of a running server, and reading them again while it runs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::Access;
use super::file::{self, TokenError};
use super::line::{Line, Proof};
use super::secret::{self, Salted};
use crate::commit::TegaId;

/// The tokens that a server knows. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: Option<PathBuf>,
    book: RwLock<Arc<Book>>,
    /// One reads again at a time.
    reading: Mutex<()>,
}

/// What one reading of the file came to.
#[derive(Debug)]
struct Book {
    /// By name; `None`: no tokens are asked for.
    entries: Option<HashMap<String, Entry>>,
    /// What everybody may do where no tokens are asked for.
    open: Access,
}

#[derive(Clone, Debug)]
struct Entry {
    line: Arc<Line>,
    access: Access,
}

/// Why somebody isn't let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// They showed no token.
    Missing,
    /// They showed one that isn't known.
    Wrong,
}

/// What a reload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Tokens now; `None`: none are asked for.
    pub tokens: Option<usize>,
    /// How many of before are gone or say something else now.
    pub revoked: usize,
}

impl Tokens {
    /// None are asked for, now and for good.
    pub fn none() -> Tokens {
        Tokens::with(None, Book { entries: None, open: Access::all() })
    }

    /// Those of a file. Without one, none are asked for until it's there and [`Tokens::reload`] is called; with `must`
    /// that is an error instead.
    pub fn open(path: PathBuf, must: bool) -> Result<Tokens, TokenError> {
        let entries = match file::read(&path) {
            Err(TokenError::Missing(_)) if !must => None,
            lines => Some(entries(lines?, None)),
        };
        Ok(Tokens::with(Some(path), Book { entries, open: Access::open() }))
    }

    fn with(path: Option<PathBuf>, book: Book) -> Tokens {
        let shared = Shared { path, book: RwLock::new(Arc::new(book)), reading: Mutex::default() };
        Tokens { shared: Arc::new(shared) }
    }

    fn book(&self) -> Arc<Book> {
        self.shared.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many there are; `None`: none are asked for.
    pub fn count(&self) -> Option<usize> {
        self.book().entries.as_ref().map(HashMap::len)
    }

    /// Whether somebody who isn't on the local socket must show one.
    pub fn required(&self) -> bool {
        self.count().is_some()
    }

    /// What the bearer of this token may do.
    pub fn identify(&self, token: Option<&str>) -> Result<Access, Denied> {
        let book = self.book();
        let Some(entries) = &book.entries else { return Ok(book.open.clone()) };
        let (name, digits) = secret::split(token.ok_or(Denied::Missing)?).ok_or(Denied::Wrong)?;
        let nobody = Salted::nobody();
        let entry = entries.get(name);
        let salted = match entry.map(|entry| &entry.line.proof) {
            Some(Proof::Secret(salted)) => salted,
            _ => &nobody,
        };
        // Looked at even for a name that isn't known, so that the time doesn't tell which ones are.
        let matches = salted.matches(digits);
        entry.filter(|_| matches).map(|entry| entry.access.clone()).ok_or(Denied::Wrong)
    }

    /// What an original server of this tega ID may do that comes from this address without a token.
    pub fn legacy(&self, id: &TegaId, from: IpAddr) -> Option<Access> {
        let book = self.book();
        let entry = book.entries.as_ref()?.get(&super::line::legacy_name(id))?;
        entry.line.from().iter().any(|range| range.contains(from)).then(|| entry.access.clone())
    }

    /// For somebody without a token: where an original server may come from this address, what is to be changed by
    /// [`Access::claim`] once it says who it is.
    pub fn knock(&self, from: IpAddr) -> Option<Access> {
        let book = self.book();
        let mut lines = book.entries.as_ref()?.values().map(|entry| &entry.line);
        let awaited = lines.any(|line| line.from().iter().any(|range| range.contains(from)));
        awaited.then(|| Access::pending(self.clone(), from))
    }

    /// Reads the file again and tells those whose token is gone or changed. After an error all is as before; a file
    /// that is gone is one, since a server that asked for tokens mustn't open itself by a slip.
    pub fn reload(&self) -> Result<Reloaded, TokenError> {
        let _alone = self.shared.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.book();
        let Some(path) = &self.shared.path else { return Ok(Reloaded { tokens: None, revoked: 0 }) };
        let lines = match file::read(path) {
            Err(TokenError::Missing(_)) if before.entries.is_none() => {
                return Ok(Reloaded { tokens: None, revoked: 0 });
            }
            lines => lines?,
        };
        let now = entries(lines, before.entries.as_ref());
        let tokens = Some(now.len());
        let kept = |name: &str| {
            let same = |now: &Entry, old: &Entry| now.line.means_the_same(&old.line);
            let old = before.entries.as_ref().and_then(|old| old.get(name));
            old.zip(now.get(name)).is_some_and(|(old, now)| same(now, old))
        };
        let gone: Vec<Access> = match &before.entries {
            Some(old) => {
                old.iter().filter(|(name, _)| !kept(name)).map(|(_, old)| old.access.clone()).collect()
            }
            None => vec![before.open.clone()],
        };
        let revoked = if before.entries.is_some() { gone.len() } else { 0 };
        let book = Book { entries: Some(now), open: Access::open() };
        *self.shared.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        // Only now, so that whoever comes back at once isn't let in by what was.
        gone.iter().for_each(Access::revoke);
        Ok(Reloaded { tokens, revoked })
    }
}

/// Lines by name; one that means what it meant before stays the same access, so that its sessions go on.
fn entries(lines: Vec<Line>, before: Option<&HashMap<String, Entry>>) -> HashMap<String, Entry> {
    let entry = |line: Line| {
        let name = line.grant.name.clone();
        let old = before.and_then(|before| before.get(&name)).filter(|old| old.line.means_the_same(&line));
        let fresh = || Entry { access: Access::of(Arc::new(line.grant.clone())), line: Arc::new(line) };
        (name, old.cloned().unwrap_or_else(fresh))
    };
    lines.into_iter().map(entry).collect()
}
