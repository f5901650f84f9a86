//! A change of several files that is either whole or not there, across a power cut at any step.
//!
//! Everything that the change will need is on the disk before the first file is touched: the old files as copies in
//! `DATA/uci/saved`, the new ones beside their targets, and beside each target a second copy of the old one, so that
//! going back takes no space. Then the journal is written, and from its rename on a start knows what to undo.
//!
//! | there is | at a start in the same boot | after a reboot |
//! | --- | --- | --- |
//! | no journal | nothing was changed, or all is confirmed or undone | the same |
//! | `installing` | the old files go back | the old files go back |
//! | `trial` | if no file was put back, the trial goes on with the time that is left | the old files go back |
//! | `reverting` | the old files go back | the old files go back |
//! | any, and the memory says that this very trial was confirmed | it's confirmed | it's confirmed |
//!
//! Once a confirmation was tried there's no way back, only forward: it's tried again until it's done. It is the memory's
//! rename, or, where the disk has no room for that, the journal's removal. A memory of
//! the version as reverted is written before the trial, so that there's one even if the disk is full later.
//!
//! Somebody else's edit of a file on trial isn't lost: going back sets it aside as `DATA/uci/kept/PACKAGE`, and says so.
//! Where a hand-edited file was replaced, the confirmation keeps that one. The newest of each package is kept.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::disk::{Disk, Mode};
use super::files::{ConfigDir, Content, Sum};
use super::record::{self, Confirmed, FileRecord, Mark, Memory, Phase, Record, Reverted};
use crate::value::Value;

/// How long the lock is waited for.
const LOCK_TIME: Duration = Duration::from_secs(1);

/// A package's file as it is to be.
#[derive(Clone, Debug)]
pub struct Change {
    /// The package.
    pub name: String,
    /// What is there, as the change was planned from it; `None`: nothing.
    pub old: Option<Content>,
    /// What is to be there; `None`: nothing.
    pub new: Option<Vec<u8>>,
    /// Somebody edited the old one since it was confirmed.
    pub drifted: bool,
}

/// What a trial is of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version.
    pub mark: Mark,
    /// What it says of all files.
    pub sum: Sum,
    /// What it changes.
    pub changes: Vec<Change>,
}

/// The journal, the memory and the files that they are about. One process has it at a time.
#[derive(Debug)]
pub struct Journal {
    pub(super) dir: PathBuf,
    pub(super) config: ConfigDir,
    pub(super) disk: Disk,
    boot: String,
    /// The trial under way.
    pub(super) record: Option<Record>,
    memory: Memory,
    /// Held as long as this lives.
    _lock: File,
}

/// What became of earlier trials. Where that can't be read it's set aside, and forgotten: a version that was reverted may
/// be tried once more then, on trial as ever.
fn memory(dir: &Path, disk: &Disk) -> io::Result<Memory> {
    let path = dir.join("state");
    let loaded = match record::load(&path) {
        Ok(None) => return Ok(Memory::default()),
        Ok(Some(value)) => Memory::read(&value).ok_or("it's of another version of tega".to_string()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    match loaded {
        Ok(mut memory) => {
            // Whoever has looked at a file that was set aside removes it.
            memory.kept.retain(|name, _| dir.join("kept").join(name).exists());
            Ok(memory)
        }
        Err(why) => {
            log::error!("{}: {why}; it's set aside as state.damaged, and begun anew", path.display());
            disk.rename(&path, &dir.join("state.damaged")).map_err(doing(path.display()))?;
            Ok(Memory::default())
        }
    }
}

/// Takes the lock, soon: a guard may be about to give it back, and a program that is just being started elsewhere in this
/// process has a copy of it until it runs.
fn take(lock: &File) -> rustix::io::Result<()> {
    let until = Instant::now() + LOCK_TIME;
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(_) if Instant::now() < until => std::thread::sleep(LOCK_TIME / 100),
            outcome => return outcome,
        }
    }
}

/// An error with what was being done.
fn doing(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

impl Journal {
    /// Opens it in `DATA/uci`, which is made where it's missing.
    pub fn open(dir: &Path, config: ConfigDir, disk: Disk, boot: String) -> io::Result<Journal> {
        disk.make_dir(dir).map_err(doing(dir.display()))?;
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(doing(path.display()))?;
        take(&lock).map_err(|_| {
            let message = format!("{}: another tega has it; stop that one first", path.display());
            io::Error::new(io::ErrorKind::WouldBlock, message)
        })?;
        let bad = |path: &Path| {
            let message = format!("{} is of another version of tega; remove it", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let path = dir.join("journal");
        let record = match record::load(&path)? {
            Some(value) => Some(Record::read(&value).ok_or_else(|| bad(&path))?),
            None => None,
        };
        let memory = memory(dir, &disk)?;
        let mut journal = Journal { dir: dir.to_path_buf(), config, disk, boot, record, memory, _lock: lock };
        journal.settle()?;
        Ok(journal)
    }

    /// Finishes what needs no decision: a confirmation that was under way, and what a crash left behind.
    fn settle(&mut self) -> io::Result<()> {
        if let (Some(record), Some(confirmed)) = (&self.record, &self.memory.confirmed)
            && record.trial == confirmed.trial
        {
            self.drop_journal()?;
        }
        if self.record.is_none() {
            self.sweep();
        }
        Ok(())
    }

    /// The trial under way.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether the trial under way began in this boot.
    pub fn is_of_this_boot(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.boot == self.boot && !self.boot.is_empty())
    }

    /// What became of earlier trials.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The directory of the packages.
    pub fn config(&self) -> &ConfigDir {
        &self.config
    }

    /// How many steps the disk has done.
    pub fn steps(&self) -> u32 {
        self.disk.steps()
    }

    /// Puts the files of a plan in place, on trial until `deadline`. Where that fails, nothing was changed.
    pub fn begin(&mut self, plan: &Plan, trial: u64, deadline: u64) -> io::Result<()> {
        if self.record.is_some() {
            return Err(io::Error::other("a trial is under way"));
        }
        let file = |change: &Change| {
            let mode = change.old.as_ref().map_or(Mode::NEW, |old| old.mode);
            FileRecord {
                name: change.name.clone(),
                old: change.old.as_ref().map(|old| Sum::of(&old.bytes)),
                new: change.new.as_deref().map(Sum::of),
                bits: mode.bits,
                owner: mode.owner,
                drifted: change.drifted,
            }
        };
        let mut files: Vec<FileRecord> = plan.changes.iter().map(file).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let record = Record {
            trial,
            boot: self.boot.clone(),
            mark: plan.mark,
            sum: plan.sum.clone(),
            phase: Phase::Installing,
            deadline,
            reloads: 0,
            reason: String::new(),
            files,
        };
        if let Err(error) = self.prepare(plan, &record) {
            self.abandon();
            return Err(error);
        }
        self.record = Some(record);
        let mut touched = false;
        let installed = self
            .install(&mut touched)
            .and_then(|()| self.update(|record| record.phase = Phase::Trial).map_err(doing("the journal")));
        if let Err(error) = installed {
            // As if it hadn't begun; where even that fails, the journal stays, and says so at the next try.
            if touched {
                self.put_back()?;
            }
            self.drop_journal()?;
            return Err(error);
        }
        Ok(())
    }

    /// Writes all that the change needs, the journal last.
    fn prepare(&mut self, plan: &Plan, record: &Record) -> io::Result<()> {
        self.sweep();
        let saved = self.dir.join("saved");
        self.disk.make_dir(&saved).map_err(doing(saved.display()))?;
        let mut dirs = vec![saved.clone()];
        for change in &plan.changes {
            let name = &change.name;
            let mode = change.old.as_ref().map_or(Mode::NEW, |old| old.mode);
            if let Some(old) = &change.old {
                let copy = saved.join(name);
                self.disk.write(&copy, &old.bytes, Mode::NEW).map_err(doing(copy.display()))?;
                let copy = self.config.beside(name, "old")?;
                self.disk.write(&copy, &old.bytes, mode).map_err(doing(copy.display()))?;
            }
            if let Some(new) = &change.new {
                let path = self.config.beside(name, "new")?;
                self.disk.write(&path, new, mode).map_err(doing(path.display()))?;
            }
            let target = self.config.target(name)?;
            let dir = target.parent().unwrap_or(self.config.path()).to_path_buf();
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        let reverted =
            Reverted { mark: plan.mark, sum: plan.sum.clone(), reason: "it wasn't confirmed".into() };
        let memory = Memory { reverted: Some(reverted), ..self.memory.clone() };
        let path = self.dir.join("state.reverted");
        self.write(&path, &memory.to_value())?;
        for dir in &dirs {
            self.disk.sync_dir(dir).map_err(doing(dir.display()))?;
        }
        self.place(&record.to_value(), "journal")
    }

    fn write(&self, path: &Path, value: &Value) -> io::Result<()> {
        self.disk.write(path, &record::encode(value), Mode::NEW).map_err(doing(path.display()))
    }

    /// Writes a file of this directory whole, or leaves it as it was.
    fn place(&self, value: &Value, name: &str) -> io::Result<()> {
        let (temporary, path) = (self.dir.join(format!("{name}.new")), self.dir.join(name));
        self.write(&temporary, value)?;
        self.disk.rename(&temporary, &path).map_err(doing(path.display()))?;
        self.disk.sync_dir(&self.dir).map_err(doing(self.dir.display()))
    }

    /// It failed before the journal was there, or its rename may or may not be on the disk: then it goes.
    fn abandon(&mut self) {
        let path = self.dir.join("journal");
        let gone = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = gone {
            // Nothing was installed, so that going back by it would change nothing.
            log::warn!("{}: {error}", path.display());
        }
        self.sweep();
    }

    fn update(&mut self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let Some(mut record) = self.record.clone() else { return Ok(()) };
        change(&mut record);
        self.place(&record.to_value(), "journal")?;
        self.record = Some(record);
        Ok(())
    }

    /// `touched` tells whether a file may have been replaced.
    fn install(&self, touched: &mut bool) -> io::Result<()> {
        let Some(record) = &self.record else { return Ok(()) };
        let names = || record.files.iter().map(|file| file.name.as_str());
        let mut locked = self.config.lock(names())?;
        for file in &record.files {
            let now = locked.content(&file.name)?.map(|content| Sum::of(&content.bytes));
            if now != file.old {
                let message = format!("{} was edited just now", file.name);
                return Err(io::Error::new(io::ErrorKind::Interrupted, message));
            }
        }
        *touched = true;
        for file in &record.files {
            let target = self.config.target(&file.name)?;
            let done = match &file.new {
                Some(_) => self.disk.rename(&self.config.beside(&file.name, "new")?, &target),
                None => self.disk.remove(&target),
            };
            done.map_err(doing(target.display()))?;
        }
        drop(locked);
        self.sync_targets(record)
    }

    fn sync_targets(&self, record: &Record) -> io::Result<()> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for file in &record.files {
            let target = self.config.target(&file.name)?;
            let dir = target.parent().unwrap_or(self.config.path()).to_path_buf();
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs.iter().try_for_each(|dir| self.disk.sync_dir(dir).map_err(doing(dir.display())))
    }

    /// Services are about to be told to reload.
    pub fn reloading(&mut self) -> io::Result<()> {
        self.update(|record| record.reloads = record.reloads.saturating_add(1))
    }

    /// The files of the trial are those that count now, and the managed files are so.
    pub fn confirm(&mut self, base: impl IntoIterator<Item = (String, Sum)>) -> io::Result<()> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        for file in record.files.iter().filter(|file| file.drifted && file.old.is_some()) {
            let why = format!(
                "it had been edited, or never was the tree's, before version {} replaced it",
                record.mark.version
            );
            self.keep(&file.name, None, why);
        }
        let confirmed = Confirmed { mark: record.mark, sum: record.sum, trial: record.trial };
        self.memory.confirmed = Some(confirmed);
        self.memory.reverted = None;
        self.memory.base = base.into_iter().collect();
        if let Err(error) = self.place(&self.memory.to_value(), "state") {
            // The journal's removal counts as well: a start then finds the files as this version wants them.
            log::warn!("the memory of what is confirmed: {error}");
        }
        self.drop_journal()
    }

    /// The files are those of this version, without a trial.
    pub fn note_confirmed(
        &mut self,
        mark: Mark,
        sum: Sum,
        base: impl IntoIterator<Item = (String, Sum)>,
    ) -> io::Result<()> {
        let before = self.memory.clone();
        let trial = self.memory.confirmed.as_ref().map_or(0, |confirmed| confirmed.trial);
        self.memory.confirmed = Some(Confirmed { mark, sum, trial });
        self.memory.reverted = None;
        self.memory.base = base.into_iter().collect();
        if self.memory == before { Ok(()) } else { self.place(&self.memory.to_value(), "state") }
    }

    /// What was reverted may be tried again.
    pub fn forget_reverted(&mut self) -> io::Result<()> {
        if self.memory.reverted.take().is_none() {
            return Ok(());
        }
        self.place(&self.memory.to_value(), "state")
    }

    /// Puts the old files back. The journal stays, so that a crash before [`Journal::close`] does it again. Returns the
    /// packages of which an edit was set aside.
    pub fn restore(&mut self, reason: &str) -> io::Result<Vec<String>> {
        // Only so that the reason survives: without it the same is done.
        let said = self.update(|record| {
            record.phase = Phase::Reverting;
            record.reason = reason.into();
        });
        if let Err(error) = said {
            log::warn!("the journal: {error}");
        }
        self.put_back()
    }

    pub(super) fn put_back(&mut self) -> io::Result<Vec<String>> {
        let Some(record) = self.record.clone() else { return Ok(Vec::new()) };
        let mut aside = Vec::new();
        let mut locked = self.config.lock(record.files.iter().map(|file| file.name.as_str()))?;
        for file in &record.files {
            let content = locked.content(&file.name)?;
            let now = content.as_ref().map(|content| Sum::of(&content.bytes));
            if now == file.old {
                continue;
            }
            if let Some(content) = content.filter(|_| now != file.new) {
                let why = format!("it was edited while {} was on trial", record.mark.version);
                self.keep(&file.name, Some(&content.bytes), why);
                aside.push(file.name.clone());
            }
            let target = self.config.target(&file.name)?;
            let done = match &file.old {
                Some(old) => {
                    let copy = self.copy_beside(file, old)?;
                    self.disk.rename(&copy, &target)
                }
                None => self.disk.remove(&target),
            };
            done.map_err(doing(target.display()))?;
        }
        drop(locked);
        self.sync_targets(&record)?;
        Ok(aside)
    }

    /// The old file beside its target: the copy that was written there, or one of the saved.
    fn copy_beside(&self, file: &FileRecord, old: &Sum) -> io::Result<PathBuf> {
        let path = self.config.beside(&file.name, "old")?;
        if fs::read(&path).is_ok_and(|bytes| Sum::of(&bytes) == *old) {
            return Ok(path);
        }
        let saved = self.dir.join("saved").join(&file.name);
        let bytes = fs::read(&saved).map_err(doing(saved.display()))?;
        if Sum::of(&bytes) != *old {
            let message = format!("{} isn't what was saved", saved.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.disk.write(&path, &bytes, Mode { bits: file.bits, owner: file.owner })?;
        Ok(path)
    }

    /// Keeps a file that would be lost: what is given, or else the saved one. It's only tried: there may be no room.
    fn keep(&mut self, name: &str, bytes: Option<&[u8]>, why: String) {
        let (dir, saved) = (self.dir.join("kept"), self.dir.join("saved").join(name));
        let kept = self.disk.make_dir(&dir).and_then(|()| match bytes {
            Some(bytes) => self.disk.write(&dir.join(name), bytes, Mode::NEW),
            None => fs::read(&saved).and_then(|old| self.disk.write(&dir.join(name), &old, Mode::NEW)),
        });
        match kept {
            Ok(()) => {
                log::warn!("{} is what {name} was: {why}", dir.join(name).display());
                self.memory.kept.insert(name.into(), why);
            }
            Err(error) => log::error!("what {name} was is lost ({why}): {error}"),
        }
    }

    /// The old files are back and the services know it: the version counts as reverted.
    pub fn close(&mut self, reason: &str) -> io::Result<()> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let reverted = Reverted { mark: record.mark, sum: record.sum, reason: reason.into() };
        self.memory.reverted = Some(reverted);
        if let Err(error) = self.place(&self.memory.to_value(), "state") {
            log::warn!("the memory of what was reverted: {error}; what was written before the trial stands");
            let before = self.dir.join("state.reverted");
            let placed = self.disk.rename(&before, &self.dir.join("state"));
            placed.and_then(|()| self.disk.sync_dir(&self.dir)).map_err(doing(before.display()))?;
        }
        self.drop_journal()
    }

    /// The old files are back, and nothing is to be remembered of the trial.
    pub fn drop_journal(&mut self) -> io::Result<()> {
        let path = self.dir.join("journal");
        self.disk.remove(&path).map_err(doing(path.display()))?;
        self.disk.sync_dir(&self.dir).map_err(doing(self.dir.display()))?;
        self.record = None;
        self.sweep();
        Ok(())
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
