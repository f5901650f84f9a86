//! What is written to the disk, counted where it is written, because flash wears out by it.
//!
//! [`Metered`] stands before every [`Medium`] and counts what passes: bytes, the blocks of 4 KiB that they lie in, and
//! the syncs. A block that is written again after a sync counts again, as a file system that writes whole blocks does
//! it; between two syncs it counts once. What a file system adds of its own (inodes, its journal, the collection of
//! garbage) can't be seen from here and isn't in the numbers, nor is what a process left that was killed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::medium::{Medium, Room};
use super::{LOG, RESERVE, SPARE};

/// The block that most file systems of flash write as a whole.
pub const BLOCK: u64 = 4096;

/// What was written for one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes of content.
    pub bytes: u64,
    /// Blocks of [`BLOCK`] bytes that they lie in, each once for every sync that had to write it.
    pub blocks: u64,
    /// Syncs that had something to write.
    pub syncs: u64,
}

/// What was written to a data directory since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Commits, and what the log says of itself.
    pub commits: Amount,
    /// New logs in the place of the old.
    pub compactions: Amount,
    /// Room set apart, where the file system makes that cost writes.
    pub reserves: Amount,
    /// Syncs of the directory.
    pub directory_syncs: u64,
}

impl Written {
    /// All of it but the directory's syncs.
    pub fn total(&self) -> Amount {
        let all = [self.commits, self.compactions, self.reserves];
        let sum = |of: fn(&Amount) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
        Amount { bytes: sum(|a| a.bytes), blocks: sum(|a| a.blocks), syncs: sum(|a| a.syncs) }
    }

    fn of(&mut self, name: &str) -> &mut Amount {
        match name {
            LOG => &mut self.commits,
            RESERVE | SPARE => &mut self.reserves,
            _ => &mut self.compactions,
        }
    }
}

/// The sums of all handles of one directory.
pub(super) type Tally = Arc<Mutex<Written>>;

pub(super) fn read(tally: &Tally) -> Written {
    // Each change is one assignment: a panic in between leaves none half done.
    *tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file as far as this handle wrote it.
struct Span {
    name: String,
    /// Its length; `None`: to be asked for.
    end: Option<u64>,
    /// Where what isn't synced yet begins.
    dirty: Option<u64>,
}

/// A medium whose writes are counted.
pub(super) struct Metered {
    inner: Box<dyn Medium>,
    tally: Tally,
    /// The files that this handle writes: two at most.
    spans: Vec<Span>,
}

impl Metered {
    pub(super) fn new(inner: Box<dyn Medium>) -> (Metered, Tally) {
        let tally = Tally::default();
        (Metered { inner, tally: tally.clone(), spans: Vec::new() }, tally)
    }

    fn span(&mut self, name: &str) -> &mut Span {
        let at = self.spans.iter().position(|span| span.name == name).unwrap_or_else(|| {
            self.spans.push(Span { name: name.to_owned(), end: None, dirty: None });
            self.spans.len() - 1
        });
        &mut self.spans[at]
    }

    fn forget(&mut self, name: &str) {
        self.spans.retain(|span| span.name != name);
    }

    fn count(&self, name: &str, count: impl FnOnce(&mut Amount)) {
        count(self.tally.lock().unwrap_or_else(PoisonError::into_inner).of(name));
    }
}

/// The blocks that the bytes from `from` to before `till` lie in.
fn blocks(from: u64, till: u64) -> u64 {
    if from >= till { 0 } else { (till - 1) / BLOCK - from / BLOCK + 1 }
}

impl Medium for Metered {
    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        self.inner.size(name)
    }

    fn read(&mut self, name: &str, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(name, at, buf)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let start = match self.span(name).end {
            Some(end) => end,
            // Where that can't be told, the append will say so itself.
            None => self.inner.size(name).ok().flatten().unwrap_or(0),
        };
        let written = self.inner.append(name, bytes);
        let span = self.span(name);
        if written.is_err() {
            // Some of it may be there.
            span.end = None;
            return written;
        }
        let end = start.saturating_add(bytes.len() as u64);
        let new = match span.dirty {
            Some(dirty) => blocks(dirty, end).saturating_sub(blocks(dirty, start)),
            None => blocks(start, end),
        };
        span.end = Some(end);
        span.dirty.get_or_insert(start);
        self.count(name, |amount| {
            amount.bytes = amount.bytes.saturating_add(bytes.len() as u64);
            amount.blocks = amount.blocks.saturating_add(new);
        });
        Ok(())
    }

    fn cut(&mut self, name: &str, len: u64) -> io::Result<()> {
        let span = self.span(name);
        span.end = None;
        span.dirty = Some(span.dirty.map_or(len, |dirty| dirty.min(len)));
        self.inner.cut(name, len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        if self.span(name).dirty.take().is_some() {
            self.count(name, |amount| amount.syncs = amount.syncs.saturating_add(1));
        }
        self.inner.sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)?;
        self.forget(to);
        self.span(from).name = to.to_owned();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        self.inner.remove(name)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.directory_syncs = tally.directory_syncs.saturating_add(1);
        drop(tally);
        self.inner.sync_dir()
    }

    fn reserve(&mut self, name: &str, len: u64) -> io::Result<u64> {
        let bytes = self.inner.reserve(name, len)?;
        self.count(name, |amount| {
            amount.bytes = amount.bytes.saturating_add(bytes);
            amount.blocks = amount.blocks.saturating_add(blocks(0, bytes));
            amount.syncs = amount.syncs.saturating_add(u64::from(bytes > 0));
        });
        Ok(bytes)
    }

    fn room(&self) -> Option<Room> {
        self.inner.room()
    }

    fn share(&self) -> Box<dyn Medium> {
        Box::new(Metered { inner: self.inner.share(), tally: self.tally.clone(), spans: Vec::new() })
    }

    fn show(&self, name: &str) -> String {
        self.inner.show(name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Disk;
    use super::*;

    fn amount(bytes: u64, blocks: u64, syncs: u64) -> Amount {
        Amount { bytes, blocks, syncs }
    }

    #[test]
    fn a_block_counts_once_for_each_sync_that_must_write_it() {
        let (mut medium, tally) = Metered::new(Disk::new().medium());
        for (bytes, sync, wanted) in [
            (100, true, amount(100, 1, 1)),
            // The same block again.
            (100, true, amount(200, 2, 2)),
            (100, false, amount(300, 3, 2)),
            // Not synced in between: only the blocks that are new.
            (100, false, amount(400, 3, 2)),
            (BLOCK as usize, true, amount(400 + BLOCK, 4, 3)),
            (0, true, amount(400 + BLOCK, 4, 4)),
            (2 * BLOCK as usize - 400, true, amount(3 * BLOCK, 6, 5)),
        ] {
            medium.append(LOG, &vec![b'x'; bytes]).unwrap();
            if sync {
                medium.sync(LOG).unwrap();
            }
            assert_eq!(read(&tally).commits, wanted, "{bytes} {sync}");
        }
        // Nothing is there to be written.
        medium.sync(LOG).unwrap();
        assert_eq!(read(&tally).commits.syncs, 5);
    }

    #[test]
    fn what_is_written_is_counted_by_its_purpose_on_all_handles() {
        let disk = Disk::new();
        disk.put(LOG, &[b'x'; 5000]);
        let (mut medium, tally) = Metered::new(disk.medium());
        medium.append(LOG, b"12345").unwrap();
        let mut draft = medium.share();
        draft.append(super::super::NEW, &[b'x'; 10]).unwrap();
        draft.sync(super::super::NEW).unwrap();
        draft.rename(super::super::NEW, LOG).unwrap();
        draft.sync_dir().unwrap();
        draft.append(LOG, b"1").unwrap();
        let counted = read(&tally);
        assert_eq!(counted.commits, amount(6, 2, 0));
        assert_eq!((counted.compactions, counted.directory_syncs), (amount(10, 1, 1), 1));
        assert_eq!(counted.total(), amount(16, 3, 1));
    }

    #[test]
    fn a_write_that_failed_isnt_counted_and_the_cut_after_it_is_a_sync() {
        let disk = Disk::new();
        let (mut medium, tally) = Metered::new(disk.medium());
        medium.append(LOG, b"12345").unwrap();
        medium.sync(LOG).unwrap();
        disk.limit(Some(7));
        assert!(medium.append(LOG, b"12345").is_err());
        medium.cut(LOG, 5).unwrap();
        medium.sync(LOG).unwrap();
        assert_eq!(read(&tally).commits, amount(5, 1, 2));
        medium.append(LOG, b"12").unwrap();
        assert_eq!(read(&tally).commits, amount(7, 2, 2));
    }
}
