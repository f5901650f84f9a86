//! A disk that forgets: what was not synced is gone after a crash, or half gone, or out of order.
//!
//! Every handle that is cloned or shared from a [`Disk`] is the same disk. [`Disk::crash`] gives another disk that
//! holds what a power cut could leave of it. Where it could leave several things, a [`Choices`] decides.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Medium, Room};

/// What reaches the disk together, or not at all.
pub(crate) const BLOCK: usize = 512;

#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By inode number; a file without a name stays until nothing can bring its name back.
    files: BTreeMap<u32, File>,
    /// The names as the system sees them, and as the disk does.
    names: BTreeMap<String, u32>,
    durable_names: BTreeMap<String, u32>,
    /// What led from the latter to the former, in order.
    name_changes: Vec<NameChange>,
    next_inode: u32,
    calls: BTreeMap<Op, u32>,
    faults: Vec<(Op, u32, Fault)>,
    capacity: Option<usize>,
}

/// Every content since the last sync, which the first one is. A crash leaves each block as one of them had it.
struct File {
    contents: Vec<Vec<u8>>,
    /// A sync failed: the system has dropped what it couldn't write, and lies about it from now on.
    lost: bool,
}

#[derive(Clone)]
enum NameChange {
    Set(String, u32),
    Rename(String, String),
    Remove(String),
}

/// The calls that can be counted and made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Append,
    Cut,
    Sync,
    Rename,
    Remove,
    SyncDir,
    Reserve,
    /// Any of the above.
    Any,
}

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: io::ErrorKind,
    /// The bytes that an append writes before it fails.
    pub(crate) wrote: usize,
    /// All later calls fail too, as if the machine was off.
    pub(crate) for_good: bool,
}

impl Fault {
    pub(crate) const IO: Fault = Fault { kind: io::ErrorKind::Other, wrote: 0, for_good: false };
    pub(crate) const FULL: Fault = Fault { kind: io::ErrorKind::StorageFull, wrote: 0, for_good: false };
    pub(crate) const OFF: Fault = Fault { kind: io::ErrorKind::Other, wrote: 0, for_good: true };

    pub(crate) fn after(self, wrote: usize) -> Fault {
        Fault { wrote, ..self }
    }
}

impl Disk {
    /// An empty disk without a limit.
    pub(crate) fn new() -> Disk {
        Disk::default()
    }

    pub(crate) fn medium(&self) -> Box<dyn Medium> {
        Box::new(self.clone())
    }

    /// The `nth` call of this kind from now on (1: the next) fails.
    pub(crate) fn fail(&self, op: Op, nth: u32, fault: Fault) {
        let mut state = self.state();
        let at = state.calls.get(&op).copied().unwrap_or(0) + nth;
        state.faults.push((op, at, fault));
    }

    /// Forgets every fault: a process was killed, say, but the system that holds its writes runs on.
    pub(crate) fn restart(&self) {
        self.state().faults.clear();
    }

    /// How many calls of this kind there were.
    pub(crate) fn calls(&self, op: Op) -> u32 {
        self.state().calls.get(&op).copied().unwrap_or(0)
    }

    /// The disk takes this many bytes and no more.
    pub(crate) fn limit(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// The bytes that all files take.
    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// What is in a file, durable or not.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.files.get(state.names.get(name)?)?.now().clone())
    }

    /// Makes a file be this, durably.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.create(name);
        state.files.insert(inode, File::durable(bytes.to_vec()));
        state.sync_names();
    }

    /// The disk that a power cut could leave: of each file any length and any blocks that it had since its last
    /// sync, and of the changes of names since the last sync of the directory the first few, or none, or all.
    pub(crate) fn crash(&self, choices: &mut Choices) -> Disk {
        let state = self.state();
        let mut names = state.durable_names.clone();
        let kept = choices.next(state.name_changes.len() + 1);
        for change in &state.name_changes[..kept] {
            change.apply(&mut names);
        }
        let mut after = State { next_inode: state.next_inode, capacity: state.capacity, ..State::default() };
        for inode in names.values() {
            if let Some(file) = state.files.get(inode) {
                after.files.insert(*inode, File::durable(file.remains(choices)));
            }
        }
        after.durable_names = names.clone();
        after.names = names;
        Disk(Arc::new(Mutex::new(after)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        op: Op,
        call: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let fault = state.count(op);
        match (op, fault) {
            (Op::Append | Op::Sync, _) | (_, None) => call(&mut state, fault),
            (_, Some(fault)) => Err(fault.kind.into()),
        }
    }
}

impl State {
    fn count(&mut self, op: Op) -> Option<Fault> {
        let mut due = None;
        for op in [op, Op::Any] {
            let calls = self.calls.entry(op).or_default();
            *calls += 1;
            let fits = |&&(o, at, fault): &&(Op, u32, Fault)| {
                o == op && (at == *calls || fault.for_good && at < *calls)
            };
            // What comes after the end of the machine writes nothing at all.
            let late = |&(_, at, fault): &(Op, u32, Fault)| if at < *calls { fault.after(0) } else { fault };
            due = due.or_else(|| self.faults.iter().find(fits).map(late));
        }
        due
    }

    fn used(&self) -> usize {
        self.names.values().filter_map(|inode| self.files.get(inode)).map(|file| file.now().len()).sum()
    }

    fn find(&mut self, name: &str) -> io::Result<&mut File> {
        let inode = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.files.get_mut(inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str) -> u32 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.files.insert(inode, File::durable(Vec::new()));
        self.rename_by(NameChange::Set(name.to_owned(), inode));
        inode
    }

    fn rename_by(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn sync_names(&mut self) {
        self.durable_names = self.names.clone();
        self.name_changes.clear();
        let names = &self.names;
        self.files.retain(|inode, _| names.values().any(|named| named == inode));
    }

    fn append(&mut self, name: &str, bytes: &[u8], fault: Option<Fault>) -> io::Result<()> {
        if !self.names.contains_key(name) {
            self.create(name);
        }
        let room = self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used()));
        let (take, result) = match fault {
            Some(fault) => (fault.wrote.min(bytes.len()), Err(fault.kind.into())),
            None if bytes.len() > room => (room, Err(io::ErrorKind::StorageFull.into())),
            None => (bytes.len(), Ok(())),
        };
        self.find(name)?.edit(|content| content.extend_from_slice(&bytes[..take]));
        result
    }
}

impl File {
    fn durable(content: Vec<u8>) -> File {
        File { contents: vec![content], lost: false }
    }

    fn now(&self) -> &Vec<u8> {
        &self.contents[self.contents.len() - 1]
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.now().clone();
        edit(&mut content);
        if content != *self.now() {
            self.contents.push(content);
        }
    }

    fn sync(&mut self, fault: Option<Fault>) -> io::Result<()> {
        if let Some(fault) = fault {
            self.lost = true;
            return Err(fault.kind.into());
        }
        if !self.lost {
            self.contents.drain(..self.contents.len() - 1);
        }
        Ok(())
    }

    fn remains(&self, choices: &mut Choices) -> Vec<u8> {
        let lens = self.contents.iter().map(Vec::len);
        let (shortest, longest) = (lens.clone().min().unwrap_or(0), lens.max().unwrap_or(0));
        let len = shortest + choices.next(longest - shortest + 1);
        let mut left = Vec::with_capacity(len);
        while left.len() < len {
            let at = left.len();
            let mut kinds: Vec<Vec<u8>> = Vec::new();
            for content in &self.contents {
                // Where a content had ended, the disk has zeros.
                let there = content.get(at..content.len().min(at + BLOCK)).unwrap_or_default();
                let mut block = there.to_vec();
                block.resize(BLOCK.min(len - at), 0);
                if !kinds.contains(&block) {
                    kinds.push(block);
                }
            }
            left.extend_from_slice(&kinds[choices.next(kinds.len())]);
        }
        left
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u32>) {
        match self {
            NameChange::Set(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Medium for Disk {
    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.state().find(name).ok().map(|file| file.now().len() as u64))
    }

    fn read(&mut self, name: &str, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let content = state.find(name)?.now();
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let len = buf.len().min(content.len() - at);
        buf[..len].copy_from_slice(&content[at..at + len]);
        Ok(len)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(Op::Append, |state, fault| state.append(name, bytes, fault))
    }

    fn cut(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.change(Op::Cut, |state, _| {
            state.find(name)?.edit(|content| content.truncate(len as usize));
            Ok(())
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.change(Op::Sync, |state, fault| state.find(name)?.sync(fault))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(Op::Rename, |state, _| {
            state.find(from)?;
            state.rename_by(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.change(Op::Remove, |state, _| {
            if state.names.contains_key(name) {
                state.rename_by(NameChange::Remove(name.to_owned()));
            }
            Ok(())
        })
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.change(Op::SyncDir, |state, _| {
            state.sync_names();
            Ok(())
        })
    }

    fn reserve(&mut self, name: &str, len: u64) -> io::Result<u64> {
        self.remove(name)?;
        self.change(Op::Reserve, |state, _| {
            let len = len as usize;
            if state.capacity.is_some_and(|capacity| state.used() + len > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inode = state.create(name);
            state.files.insert(inode, File::durable(vec![0; len]));
            Ok(())
        })?;
        Ok(0)
    }

    fn room(&self) -> Option<Room> {
        let state = self.state();
        let (total, used) = (state.capacity?, state.used());
        Some(Room { total: total as u64, free: total.saturating_sub(used) as u64 })
    }

    fn share(&self) -> Box<dyn Medium> {
        self.medium()
    }

    fn show(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// Decides what a crash leaves: every possibility in turn ([`every`]), or some at random ([`Choices::random`]).
pub(crate) struct Choices {
    /// Each choice taken, and out of how many.
    taken: Vec<(usize, usize)>,
    at: usize,
    /// The state of the generator; `None` to go through all.
    random: Option<u64>,
}

impl Choices {
    /// Choices that look random, and are always the same for one seed.
    pub(crate) fn random(seed: u64) -> Choices {
        let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Choices { taken: Vec::new(), at: 0, random: Some(mixed) }
    }

    /// A number below `of`, which is at least 1.
    pub(crate) fn next(&mut self, of: usize) -> usize {
        if let Some(state) = &mut self.random {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            return ((*state >> 11) % of as u64) as usize;
        }
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }
}

/// Runs `case` with every sequence of choices that it can make, and gives their number.
pub(crate) fn every(mut case: impl FnMut(&mut Choices)) -> usize {
    let mut choices = Choices { taken: Vec::new(), at: 0, random: None };
    let mut cases = 0;
    loop {
        choices.at = 0;
        case(&mut choices);
        cases += 1;
        while choices.taken.last().is_some_and(|(choice, of)| choice + 1 == *of) {
            choices.taken.pop();
        }
        match choices.taken.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return cases,
        }
    }
}
