//! The rows of one container that is unfolded.

#[cfg(test)]
use super::row::Kind;
use super::row::Row;
use crate::path::Key;
use crate::tui::feed::Change;

/// Changes that are kept while a page is on its way. Where there are more, the container is read again.
const MAX_BUFFERED: usize = 1_000;

/// The rows of one container.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(super) rows: Vec<Row>,
    /// All rows were read once.
    pub complete: bool,
    /// Its rows, and what is open below them.
    pub(super) height: usize,
    /// It's to be read once more when it has been read.
    pub(super) dirty: bool,
    state: State,
    /// How far the present reading has come.
    after: Option<Key>,
    /// When the last reading began.
    begun: Option<u64>,
    /// What came while a page was on its way.
    buffered: Vec<Change>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Queued,
    Asked,
}

/// What a page made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// Rows that came and went, with those below.
    pub(super) come: usize,
    pub(super) gone: usize,
    /// Lines.
    pub(super) higher: usize,
    pub(super) lower: usize,
}

impl Open {
    /// Where a key is, or would be.
    pub(super) fn find(&self, key: &str) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.key.as_str().cmp(key))
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &str) -> Option<&Row> {
        self.rows.get(self.find(key).ok()?)
    }

    pub(super) fn row_mut(&mut self, key: &str) -> Option<&mut Row> {
        let at = self.find(key).ok()?;
        self.rows.get_mut(at)
    }

    /// Its rows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether it's being read for the first time.
    pub(crate) fn is_loading(&self) -> bool {
        !self.complete
    }

    /// Rows of it and of all that is open below.
    pub(super) fn count(&self) -> usize {
        self.rows.len() + self.rows.iter().filter_map(Row::open).map(Open::count).sum::<usize>()
    }

    pub(super) fn is_queued(&self) -> bool {
        self.state != State::Idle
    }

    pub(super) fn queue(&mut self) {
        self.state = State::Queued;
    }

    /// Whether enough time passed since the last reading began.
    pub(super) fn due(&self, now: u64, every: u64) -> bool {
        self.after.is_some() || self.begun.is_none_or(|begun| now >= begun + every)
    }

    /// It's being asked for now; from where on.
    pub(super) fn ask(&mut self, now: u64) -> Option<Key> {
        self.state = State::Asked;
        if self.after.is_none() {
            self.begun = Some(now);
        }
        self.buffered.clear();
        self.after.clone()
    }

    /// A change that concerns it came.
    pub(super) fn buffer(&mut self, change: &Change) {
        if self.state != State::Asked {
            return;
        }
        if self.buffered.len() < MAX_BUFFERED {
            self.buffered.push(change.clone());
        } else {
            self.dirty = true;
        }
    }

    /// A page came, and there's more behind this key. Whether it's queued again, and what came meanwhile.
    pub(super) fn paged(&mut self, last: Option<Key>) -> (bool, Vec<Change>) {
        self.after = last;
        self.complete |= self.after.is_none();
        let again = self.after.is_some() || std::mem::take(&mut self.dirty);
        self.state = if again { State::Queued } else { State::Idle };
        (again, std::mem::take(&mut self.buffered))
    }

    /// Whether this is the page that it waits for: it may have been folded and unfolded since another was asked for.
    pub(super) fn awaits(&self, after: Option<&Key>) -> bool {
        self.state == State::Asked && self.after.as_ref() == after
    }

    /// The page that was asked for doesn't come; nor is it asked for again before this time.
    pub(super) fn failed(&mut self, not_before: u64) {
        (self.state, self.after, self.begun) = (State::Idle, None, Some(not_before));
        self.buffered.clear();
    }

    /// The rows of a page take the place of those between `after` and `last` (`None`: the end).
    pub(super) fn merge(&mut self, after: Option<&Key>, page: Vec<Row>, last: Option<&Key>) -> Merged {
        let from = match after.map(|key| self.find(key)) {
            None => 0,
            Some(Ok(at)) => at + 1,
            Some(Err(at)) => at,
        };
        let to = match last.map(|key| self.find(key)) {
            None => self.rows.len(),
            Some(Ok(at)) => at + 1,
            Some(Err(at)) => at,
        };
        let to = to.max(from);
        let count = |rows: &[Row]| rows.iter().map(|row| 1 + row.open().map_or(0, Open::count)).sum();
        let lines = |rows: &[Row]| rows.iter().map(Row::height).sum();
        let old = self.rows.get(from..to).unwrap_or_default();
        let mut merged = Merged { gone: count(old), lower: lines(old), ..Merged::default() };
        let tail = self.rows.split_off(to);
        let mut old = self.rows.split_off(from).into_iter().peekable();
        let is_sorted = page.is_sorted_by(|a, b| a.key < b.key);
        for row in page.into_iter().filter(|_| is_sorted) {
            while old.next_if(|old| old.key < row.key).is_some() {}
            match old.next_if(|old| old.key == row.key) {
                Some(mut kept) => {
                    kept.renew(row);
                    self.rows.push(kept);
                }
                None => self.rows.push(row),
            }
        }
        let new = self.rows.get(from..).unwrap_or_default();
        (merged.come, merged.higher) = (count(new), lines(new));
        self.rows.extend(tail);
        merged
    }

    /// Whether a row with this key can be told to be there or not: it's in what has been read.
    pub(super) fn covers(&self, key: &str) -> bool {
        self.complete || self.after.as_ref().is_some_and(|after| key <= after.as_str())
    }

    /// Shows its lines.
    pub(super) fn visit(
        &self,
        keys: &mut Vec<Key>,
        skip: &mut usize,
        left: &mut usize,
        show: &mut impl FnMut(&[Key], &Row),
    ) {
        for row in &self.rows {
            if *left == 0 {
                return;
            }
            let height = row.height();
            if *skip >= height {
                *skip -= height;
                continue;
            }
            keys.push(row.key.clone());
            if *skip > 0 {
                *skip -= 1;
            } else {
                show(keys, row);
                *left -= 1;
            }
            if let Some(open) = row.open() {
                open.visit(keys, skip, left, show);
            }
            keys.pop();
        }
    }

    /// Names what is open, itself first.
    pub(super) fn each_open(&self, keys: &mut Vec<Key>, tell: &mut impl FnMut(&[Key])) {
        tell(keys);
        for row in &self.rows {
            if let Some(open) = row.open() {
                keys.push(row.key.clone());
                open.each_open(keys, tell);
                keys.pop();
            }
        }
    }

    /// Height and rows, counted anew.
    #[cfg(test)]
    pub(super) fn check(&self) -> (usize, usize) {
        assert!(self.rows.is_sorted_by(|a, b| a.key < b.key));
        let (mut height, mut count) = (self.rows.len(), self.rows.len());
        for row in &self.rows {
            if let Some(open) = row.open() {
                assert_eq!(row.shown.kind, Kind::Container);
                let below = open.check();
                assert_eq!(below.0, open.height);
                (height, count) = (height + below.0, count + below.1);
            }
        }
        assert_eq!(height, self.height);
        (height, count)
    }
}
