//! A list of lines with a cursor: what views that aren't trees have in common.

use super::keys::Action;

/// Where a list stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    cursor: usize,
    top: usize,
}

impl List {
    /// With the cursor on this line.
    pub(super) fn at(cursor: usize) -> List {
        List { cursor, top: cursor.saturating_sub(3) }
    }

    /// The line of the cursor.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// Lines came or went above the cursor, which is on this one now: it stays where it is on the screen, unless the
    /// first line was to be seen.
    pub(super) fn moved_to(&mut self, cursor: usize) {
        if self.top > 0 {
            self.top = (self.top + cursor).saturating_sub(self.cursor);
        }
        self.cursor = cursor;
    }

    /// The first line that is shown, of so many on so many lines of the screen.
    pub(super) fn top(&self, count: usize, height: usize) -> usize {
        let height = height.max(1);
        let cursor = self.cursor.min(count.saturating_sub(1));
        let top = self.top.min(count.saturating_sub(height));
        top.clamp((cursor + 1).saturating_sub(height), cursor)
    }

    /// Puts the cursor on a line; the screen moves only where it must.
    pub(super) fn to(&mut self, cursor: usize, count: usize, height: usize) {
        self.cursor = cursor.min(count.saturating_sub(1));
        self.top = self.top(count, height);
    }

    /// There are so many lines now.
    pub(super) fn keep(&mut self, count: usize) {
        self.cursor = self.cursor.min(count.saturating_sub(1));
    }

    /// So many lines went at the beginning: the cursor stays on its line as long as that is there.
    pub(super) fn shift(&mut self, gone: usize) {
        (self.cursor, self.top) = (self.cursor.saturating_sub(gone), self.top.saturating_sub(gone));
    }

    /// Moves. False: the action isn't a move.
    pub(super) fn act(&mut self, action: Action, count: usize, height: usize) -> bool {
        let last = count.saturating_sub(1);
        let page = height.saturating_sub(1).max(1);
        self.cursor = match action {
            Action::Up => self.cursor.saturating_sub(1),
            Action::Down => self.cursor + 1,
            Action::PageUp => self.cursor.saturating_sub(page),
            Action::PageDown => self.cursor + page,
            Action::First => 0,
            Action::Last => last,
            _ => return false,
        }
        .min(last);
        self.top = self.top(count, height);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_on_the_list_and_in_view() {
        let mut list = List::default();
        for (action, cursor, top) in [
            (Action::Down, 1, 0),
            (Action::PageDown, 5, 1),
            (Action::Last, 9, 5),
            (Action::Down, 9, 5),
            (Action::PageUp, 5, 5),
            (Action::Up, 4, 4),
            (Action::First, 0, 0),
            (Action::Up, 0, 0),
        ] {
            assert!(list.act(action, 10, 5));
            assert_eq!((list.cursor(), list.top(10, 5)), (cursor, top), "{action:?}");
        }
        assert!(!list.act(Action::Quit, 10, 5));
        assert_eq!(List::at(9).top(2, 5), 0);
        let mut list = List::at(9);
        list.to(7, 10, 5);
        assert_eq!((list.cursor(), list.top(10, 5)), (7, 5));
        list.shift(3);
        assert_eq!((list.cursor(), list.top(7, 5)), (4, 2), "the same lines as before");
        list.keep(3);
        assert_eq!(list.cursor(), 2);
        assert_eq!(List::at(9).top(10, 0), 9, "where there's no room at all");
    }

    #[test]
    fn the_cursor_stays_where_it_is_on_the_screen_while_lines_come_above_it() {
        let mut list = List::default();
        list.act(Action::Down, 10, 5);
        list.moved_to(2);
        assert_eq!((list.cursor(), list.top(11, 5)), (2, 0), "the first line is still to be seen");
        (0..5).for_each(|_| assert!(list.act(Action::Down, 11, 5)));
        list.moved_to(9);
        assert_eq!((list.cursor(), list.top(13, 5)), (9, 5));
    }
}
