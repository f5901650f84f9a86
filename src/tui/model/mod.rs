//! As much of the tree as is unfolded: rows, in order, each with what is below it where that is open.
//!
//! A container is read page by page when it's unfolded. From then on notifications keep it up to date: each has the position
//! of its commit and each page the position that it was read at, so what came while a page was on its way is applied to
//! it again where it's newer. Where a notification can't say enough (a whole subtree was put, too much changed), the container is
//! read again, in place.
//!
//! **Invariants**, which `Model::check` looks at in tests: rows are in the order of their keys, each once; the height of what is
//! open is its rows and the heights of what is open below; rows are counted, and at most [`MAX_ROWS`] and one page.

mod change;
mod open;
mod row;

use std::collections::VecDeque;

pub(super) use open::Open;
pub(super) use row::{Kind, RootInfo, Row, Shown};

use crate::path::{Key, Path};
use crate::value::Value;

/// Rows that are held. About 80 bytes each, and what text is longer than 23.
pub(super) const MAX_ROWS: usize = 100_000;

/// Rows of the first page of a container: a screen full.
pub(super) const FIRST_PAGE: usize = 100;

/// Rows of each further page.
pub(super) const PAGE: usize = 1_000;

/// Pages that are asked for at once.
const AT_ONCE: usize = 2;

/// Containers that wait to be read.
const MAX_WANTED: usize = 10_000;

/// Folded containers whose count is to be asked for.
const MAX_STALE: usize = 64;

/// Milliseconds that a container waits which couldn't be read.
const AFTER_FAILURE: u64 = 2_000;

/// Milliseconds between two readings of the same container.
const READ_EVERY: u64 = 300;

/// A page to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of which container.
    pub path: Path,
    /// Behind this key.
    pub after: Option<Key>,
    /// At most so many rows.
    pub limit: usize,
}

/// The tree as it's unfolded.
#[derive(Debug)]
pub(super) struct Model {
    top: Open,
    rows: usize,
    wanted: VecDeque<Path>,
    asked: usize,
    /// Folded containers whose number of children may have changed.
    stale: Vec<Path>,
    /// All below this path is unfolded down to this depth as it comes.
    unfold: Option<(Path, usize)>,
    /// Something is to be said: the limit was met.
    full: bool,
}

impl Default for Model {
    fn default() -> Model {
        let mut model = Model {
            top: Open::default(),
            rows: 0,
            wanted: VecDeque::new(),
            asked: 0,
            stale: Vec::new(),
            unfold: None,
            full: false,
        };
        model.want(Path::TOP);
        model
    }
}

impl Model {
    /// Lines of the tree.
    pub(super) fn height(&self) -> usize {
        self.top.height
    }

    /// Rows that are held.
    #[cfg(test)]
    pub(in crate::tui) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the roots are known.
    pub(super) fn is_loaded(&self) -> bool {
        self.top.complete || !self.top.rows.is_empty()
    }

    /// Whether the limit of rows was met since this was asked.
    pub(super) fn take_full(&mut self) -> bool {
        std::mem::take(&mut self.full)
    }

    /// What is open at a path.
    pub(super) fn open_at(&self, path: &Path) -> Option<&Open> {
        path.keys().iter().try_fold(&self.top, |open, key| open.row(key)?.open())
    }

    fn open_mut(&mut self, path: &Path) -> Option<&mut Open> {
        path.keys().iter().try_fold(&mut self.top, |open, key| open.row_mut(key)?.open_mut())
    }

    /// The row of a node.
    pub(super) fn row(&self, path: &Path) -> Option<&Row> {
        let (name, above) = path.keys().split_last()?;
        above.iter().try_fold(&self.top, |open, key| open.row(key)?.open())?.row(name)
    }

    /// The line of a node.
    pub(super) fn line_of(&self, path: &Path) -> Option<usize> {
        let mut line = 0;
        let mut open = &self.top;
        for (at, key) in path.keys().iter().enumerate() {
            let index = open.find(key).ok()?;
            line += open.rows.iter().take(index).map(Row::height).sum::<usize>();
            if at + 1 < path.len() {
                line += 1;
                open = open.rows.get(index)?.open()?;
            }
        }
        (!path.is_empty()).then_some(line)
    }

    /// The node of a line.
    pub(super) fn path_at(&self, line: usize) -> Option<Path> {
        let mut found = None;
        self.visit(line, 1, |keys, _| found = Some(Path::from_checked(keys.to_vec())));
        found
    }

    /// Shows so many lines from one on: the keys down to each row, and the row.
    pub(super) fn visit(&self, from: usize, lines: usize, mut show: impl FnMut(&[Key], &Row)) {
        let (mut skip, mut left) = (from, lines);
        self.top.visit(&mut Vec::new(), &mut skip, &mut left, &mut show);
    }

    /// Unfolds a container. False: it's none, or too much is open.
    pub(super) fn unfold(&mut self, path: &Path) -> bool {
        if self.rows >= MAX_ROWS {
            self.full = true;
            return false;
        }
        let Some((name, above)) = path.keys().split_last() else { return false };
        let above = Path::from_checked(above.to_vec());
        let row = self.open_mut(&above).and_then(|open| open.row_mut(name));
        let Some(row) = row.filter(|row| row.shown.kind == Kind::Container) else { return false };
        if row.open().is_none() {
            row.set_open(Some(Open::default()));
            self.want(path.clone());
        }
        true
    }

    /// Unfolds everything below a path, so many levels deep, as it comes.
    pub(super) fn unfold_to(&mut self, path: &Path, levels: usize) {
        self.unfold = Some((path.clone(), path.len() + levels));
        if !path.is_empty() && !self.unfold(path) {
            return;
        }
        self.unfold_below(path);
    }

    /// Goes on with what is to be unfolded, in a container that is here.
    fn unfold_below(&mut self, path: &Path) {
        let Some((below, depth)) = self.unfold.clone() else { return };
        if !below.contains(path) || path.len() >= depth {
            return;
        }
        let Some(open) = self.open_at(path) else { return };
        let folded = |row: &&Row| row.shown.kind == Kind::Container && row.open().is_none();
        let keys: Vec<Key> = open.rows.iter().filter(folded).map(|row| row.key.clone()).collect();
        let opened: Vec<Key> =
            open.rows.iter().filter(|row| row.open().is_some()).map(|row| row.key.clone()).collect();
        let child = |key: Key| Path::from_checked([path.keys(), &[key]].concat());
        for key in keys {
            if self.wanted.len() >= MAX_WANTED || !self.unfold(&child(key)) {
                self.full = true;
                self.unfold = None;
                return;
            }
        }
        for key in opened {
            self.unfold_below(&child(key));
        }
    }

    /// Folds a container.
    pub(super) fn fold(&mut self, path: &Path) {
        if self.unfold.as_ref().is_some_and(|(below, _)| below.contains(path) || path.contains(below)) {
            self.unfold = None;
        }
        let Some((name, above)) = path.keys().split_last() else { return };
        let above = Path::from_checked(above.to_vec());
        let row = self.open_mut(&above).and_then(|open| open.row_mut(name));
        let Some(open) = row.and_then(|row| row.set_open(None)) else { return };
        self.rows -= open.count();
        self.grow(&above, open.height, 0);
        self.wanted.retain(|wanted| !path.contains(wanted));
    }

    /// Folds everything.
    pub(super) fn fold_all(&mut self) {
        let open = |row: &&Row| row.open().is_some();
        let keys: Vec<Key> = self.top.rows.iter().filter(open).map(|row| row.key.clone()).collect();
        keys.into_iter().for_each(|key| self.fold(&Path::from_checked(vec![key])));
        self.unfold = None;
    }

    /// Heights along a path: so many lines less, so many more.
    fn grow(&mut self, path: &Path, less: usize, more: usize) {
        let mut open = &mut self.top;
        open.height = open.height + more - less;
        for key in path.keys() {
            let Some(below) = open.row_mut(key).and_then(Row::open_mut) else { return };
            open = below;
            open.height = open.height + more - less;
        }
    }

    fn want(&mut self, path: Path) {
        let Some(open) = self.open_mut(&path) else { return };
        if open.is_queued() {
            open.dirty = true;
        } else {
            open.queue();
            self.wanted.push_back(path);
        }
    }

    /// Everything that is open is read again.
    pub(super) fn read_again(&mut self) {
        let mut all = Vec::new();
        self.top.each_open(&mut Vec::new(), &mut |keys| all.push(Path::from_checked(keys.to_vec())));
        all.into_iter().for_each(|path| self.want(path));
    }

    /// The roots are read again: what replicas lack isn't told by notifications.
    pub(super) fn roots_again(&mut self) {
        if self.top.complete {
            self.want(Path::TOP);
        }
    }

    /// The pages to be asked for now.
    pub(super) fn next_pages(&mut self, now: u64) -> Vec<Wanted> {
        let mut out = Vec::new();
        let mut later = VecDeque::new();
        while self.asked < AT_ONCE {
            let Some(path) = self.wanted.pop_front() else { break };
            let Some(open) = self.open_mut(&path) else { continue };
            if !open.due(now, READ_EVERY) {
                later.push_back(path);
                continue;
            }
            let after = open.ask(now);
            let limit = if after.is_none() && !open.complete { FIRST_PAGE } else { PAGE };
            self.asked += 1;
            out.push(Wanted { path, after, limit });
        }
        self.wanted.append(&mut later);
        out
    }

    /// Folded containers whose rows are to be asked for.
    pub(super) fn stale_rows(&mut self) -> Vec<Path> {
        std::mem::take(&mut self.stale)
    }

    /// A page came.
    pub(super) fn page(&mut self, path: &Path, after: Option<&Key>, page: &Value, now: u64) {
        self.asked = self.asked.saturating_sub(1);
        let position = page.get("position").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
        let more = page.get("more").and_then(Value::as_bool) == Some(true);
        let rows: Vec<Row> = page
            .get("rows")
            .and_then(Value::as_list)
            .map_or(&[][..], |rows| rows.items())
            .iter()
            .filter_map(Row::read)
            .collect();
        let Some(open) = self.open_mut(path).filter(|open| open.awaits(after)) else { return };
        let last = rows.last().map(|row| row.key.clone()).filter(|_| more);
        let merged = open.merge(after, rows, last.as_ref());
        let (again, buffered) = open.paged(last);
        if again {
            self.wanted.push_back(path.clone());
        }
        self.rows = self.rows + merged.come - merged.gone;
        self.grow(path, merged.lower, merged.higher);
        for change in
            buffered.into_iter().filter(|change| change.origin.is_none_or(|(_, at)| Some(at) > position))
        {
            self.apply(&change, now);
        }
        if self.rows > MAX_ROWS && !path.is_empty() {
            return self.too_much(path);
        }
        self.unfold_below(path);
    }

    /// The limit of rows was met by this container: it's folded again, and so is what waits to be read for the first time.
    fn too_much(&mut self, path: &Path) {
        self.full = true;
        self.unfold = None;
        self.fold(path);
        for path in self.wanted.clone() {
            if !path.is_empty() && self.open_at(&path).is_some_and(Open::is_loading) {
                self.fold(&path);
            }
        }
    }

    /// A container's own row came.
    pub(super) fn own_row(&mut self, path: &Path, page: &Value) {
        let number = |name| page.get(name).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
        let Some((name, above)) = path.keys().split_last() else { return };
        let above = Path::from_checked(above.to_vec());
        let Some(row) = self.open_mut(&above).and_then(|open| open.row_mut(name)) else { return };
        if let (Kind::Container, Some(count)) = (row.shown.kind, number("count")) {
            row.shown.count = u32::try_from(count).unwrap_or(u32::MAX);
        }
        row.version = number("version").or(row.version);
    }

    /// A page didn't come. `gone`: there's no such container any more.
    pub(super) fn no_page(&mut self, path: &Path, after: Option<&Key>, gone: bool, now: u64) {
        self.asked = self.asked.saturating_sub(1);
        let Some(open) = self.open_mut(path).filter(|open| open.awaits(after)) else { return };
        open.failed(now + AFTER_FAILURE);
        if gone {
            self.fold(path);
            if let Some(above) = path.parent() {
                self.want(above);
            }
        } else {
            self.want(path.clone());
        }
    }

    /// Whether the invariants hold, for tests.
    #[cfg(test)]
    pub(in crate::tui) fn check(&self) {
        let (height, count) = self.top.check();
        assert_eq!((height, count), (self.top.height, self.rows));
    }
}
