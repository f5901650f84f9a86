//! What a start does with the journal that it finds, and with what a crash left behind.

use std::fs;
use std::io;
use std::path::Path;

use super::files::Sum;
use super::journal::Journal;
use super::record::{Phase, Record};

impl Journal {
    /// Undoes at a start what this boot can't go on with. `None`: there was nothing to undo; else whether the version
    /// counts as reverted, and why.
    pub fn recover(&mut self) -> io::Result<Option<String>> {
        let Some(record) = self.record.clone() else { return Ok(None) };
        if record.phase == Phase::Trial && self.is_of_this_boot() && self.is_in_place(&record)? {
            return Ok(None);
        }
        if record.phase == Phase::Installing {
            self.put_back()?;
            self.drop_journal()?;
            return Ok(Some(format!("{} wasn't in place yet", record.mark.version)));
        }
        let reason = match record.phase {
            Phase::Reverting => record.reason,
            _ if self.is_of_this_boot() => "it was being undone when tega ended".to_string(),
            _ => "the router was restarted before it was confirmed".to_string(),
        };
        self.restore(&reason)?;
        self.close(&reason)?;
        Ok(Some(reason))
    }

    /// Whether no file of the trial is the old one: then none was put back.
    fn is_in_place(&self, record: &Record) -> io::Result<bool> {
        for file in record.files.iter().filter(|file| file.old != file.new) {
            let now = self.config.read(&file.name)?.map(|content| Sum::of(&content.bytes));
            if now == file.old {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes what no journal needs. What stays is swept at the next time.
    pub(super) fn sweep(&self) {
        let ours = |dir: &Path, fits: &dyn Fn(&str) -> bool| {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_name().to_str().is_some_and(fits) {
                    let _ = self.disk.remove(&entry.path());
                }
            }
        };
        let beside = |name: &str| {
            name.starts_with('.') && (name.ends_with(".tega-new") || name.ends_with(".tega-old"))
        };
        let mut dirs = vec![self.config.path().to_path_buf()];
        for name in self.config.packages().unwrap_or_default() {
            // Files that links lead to have theirs beside them.
            if let Some(dir) = self.config.target(&name).ok().as_deref().and_then(Path::parent)
                && !dirs.iter().any(|known| known == dir)
            {
                dirs.push(dir.to_path_buf());
            }
        }
        dirs.iter().for_each(|dir| ours(dir, &beside));
        ours(&self.dir.join("saved"), &|_| true);
        ours(&self.dir, &|name| matches!(name, "journal.new" | "state.new" | "state.reverted"));
    }
}
