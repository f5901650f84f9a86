//! What a notification makes of the rows.

use super::row::{Kind, Row};
use super::{MAX_STALE, Model};
use crate::path::Path;
use crate::store::Ope;
use crate::tui::feed::Change;

impl Model {
    /// Applies a change. `now`: milliseconds of the screen's clock.
    pub(crate) fn apply(&mut self, change: &Change, now: u64) {
        let keys = change.path.keys();
        let Some((name, above)) = keys.split_last() else { return self.read_again() };
        let stamp = u32::try_from(now.max(1)).unwrap_or(u32::MAX);
        // Down to the container that it's in: all on the way have the commit's version, and the deepest one that is folded
        // shows that something changed in it.
        let mut open = &mut self.top;
        for (at, key) in above.iter().enumerate() {
            open.buffer(change);
            let Some(row) = open.row_mut(key) else { return };
            if let Some((version, _)) = change.origin {
                row.version = row.version.max(Some(version));
            }
            if row.open().is_none() {
                row.changed = stamp;
                if at + 1 == above.len() {
                    self.is_stale(Path::from_checked(above.to_vec()));
                }
                return;
            }
            let Some(below) = row.open_mut() else { return };
            open = below;
        }
        open.buffer(change);
        let parent = Path::from_checked(above.to_vec());
        match (change.ope, &change.shown) {
            (Ope::Put, Some(shown)) => {
                let version = change.origin.map(|(version, _)| version);
                let mut row = Row::new(name.clone(), shown.clone(), version, change.owner.clone());
                row.changed = stamp;
                self.put(&parent, row);
            }
            (Ope::Delete, _) => self.remove(&parent, name),
            _ => self.want_all(&change.path, parent),
        }
    }

    fn put(&mut self, parent: &Path, row: Row) {
        let Some(open) = self.open_mut(parent) else { return };
        let key = row.key.clone();
        let is_container = row.shown.kind == Kind::Container;
        match open.find(&key) {
            Ok(at) => {
                let Some(old) = open.rows.get_mut(at) else { return };
                let changed = row.changed;
                let folded = old.renew(row);
                old.changed = changed;
                let is_open = old.open().is_some();
                if let Some(folded) = folded {
                    self.rows -= folded.count();
                    self.grow(parent, folded.height, 0);
                } else if is_container && is_open {
                    let path = Path::from_checked([parent.keys(), &[key]].concat());
                    self.want_all(&path, parent.clone());
                }
            }
            Err(at) if open.covers(&key) => {
                open.rows.insert(at, row);
                self.rows += 1;
                self.grow(parent, 0, 1);
                self.counted(parent, 1);
            }
            // The page that it belongs to is still to come.
            Err(_) => {}
        }
    }

    fn remove(&mut self, parent: &Path, name: &str) {
        let Some(open) = self.open_mut(parent) else { return };
        let Ok(at) = open.find(name) else { return };
        let row = open.rows.remove(at);
        let is_empty = open.rows.is_empty() && open.complete;
        self.rows -= 1 + row.open().map_or(0, super::Open::count);
        self.grow(parent, row.height(), 0);
        self.counted(parent, -1);
        // What a delete leaves empty goes with it, but for the root; whether it did, its own container says.
        if is_empty
            && parent.len() > 1
            && let Some(above) = parent.parent()
        {
            self.want(above);
        }
    }

    /// The number of children in the row of a container that is open.
    fn counted(&mut self, path: &Path, by: i32) {
        let Some((name, above)) = path.keys().split_last() else { return };
        let above = Path::from_checked(above.to_vec());
        if let Some(row) = self.open_mut(&above).and_then(|open| open.row_mut(name)) {
            row.shown.count = row.shown.count.saturating_add_signed(by);
        }
    }

    fn is_stale(&mut self, path: Path) {
        if self.stale.len() < MAX_STALE && !self.stale.contains(&path) {
            self.stale.push(path);
        }
    }

    /// Something was changed at a path, and no notification tells it: it's read again, as far as it's shown.
    pub(crate) fn touched(&mut self, path: &Path) {
        let Some(mut parent) = path.parent() else { return };
        while self.open_at(&parent).is_none() {
            let Some(above) = parent.parent() else { return };
            parent = above;
        }
        self.want_all(path, parent);
    }

    /// A subtree was replaced: all that is open in it is read again, and its own row.
    fn want_all(&mut self, path: &Path, parent: Path) {
        let mut all = vec![parent];
        if let Some(open) = self.open_at(path) {
            let mut keys = path.keys().to_vec();
            open.each_open(&mut keys, &mut |keys| all.push(Path::from_checked(keys.to_vec())));
        }
        all.into_iter().for_each(|path| self.want(path));
    }
}
