//! The tree's screen: where the cursor stands, what is unfolded, what is followed.

use std::collections::VecDeque;

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::app::{App, Effect, Screen};
use super::ask::{Failed, Job, Purpose, Why};
use super::draw;
use super::keys::Action;
use super::model::{Kind, MAX_ROWS, Model, Row, Wanted};
use super::prompt::For;
use crate::api::route::{Page, Route};
use crate::path::Path;
use crate::value::Value;

/// Milliseconds that a change glows.
pub(super) const GLOW: u64 = 1_200;

/// Milliseconds between two looks at the counts of folded containers.
const STALE_EVERY: u64 = 1_000;

/// Milliseconds between two looks at the roots: how stale replicas are isn't told by notifications.
const ROOTS_EVERY: u64 = 5_000;

/// The tree's own state.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// As much of the tree as is unfolded.
    pub model: Model,
    /// The node that the cursor is on; the top: none yet.
    pub(super) cursor: Path,
    /// The line of the cursor when it was last looked at: where it goes when its node is gone.
    line: usize,
    /// The line of the screen that the cursor is on.
    pub(super) on_screen: usize,
    /// Versions are shown.
    pub(super) versions: bool,
    /// A path that is kept in view.
    pub(super) follow: Option<Path>,
    /// It isn't there now.
    lost: bool,
    /// A path to go to, as soon as what is above it is here.
    going: Option<Path>,
    /// When what changed stops to glow, the oldest first.
    glows: VecDeque<u64>,
    stale_at: u64,
    roots_at: u64,
}

impl Tree {
    /// When the next change stops to glow.
    pub(super) fn wakes_at(&self, now: u64) -> Option<u64> {
        self.glows.iter().copied().find(|until| *until > now)
    }

    /// The row of the cursor.
    pub(super) fn row(&self) -> Option<&Row> {
        self.model.row(&self.cursor)
    }

    /// The first line that is shown.
    pub(super) fn first_line(&self) -> usize {
        self.line.saturating_sub(self.on_screen)
    }

    /// Puts the cursor on a line.
    fn set_line(&mut self, line: usize, height: usize) {
        let last = self.model.height().saturating_sub(1);
        let (old, line) = (self.line, line.min(last));
        if let Some(path) = self.model.path_at(line) {
            let moved = self.on_screen as isize + line as isize - old as isize;
            self.on_screen = moved.clamp(0, height.saturating_sub(1) as isize) as usize;
            (self.cursor, self.line) = (path, line);
        }
    }

    /// The tree changed: the cursor stays on its node where that is still there, and on its line of the screen.
    fn settle(&mut self, height: usize) {
        if let Some(line) = self.model.line_of(&self.cursor) {
            self.line = line;
        } else {
            let line = self.line.min(self.model.height().saturating_sub(1));
            if let Some(path) = self.model.path_at(line) {
                (self.cursor, self.line) = (path, line);
            } else {
                (self.cursor, self.line) = (Path::TOP, 0);
            }
        }
        // No empty lines above the first, or below the last where there are enough.
        let most = self.line.min(height.saturating_sub(1));
        let below = self.model.height().saturating_sub(self.line);
        let least = height.saturating_sub(below).min(most);
        self.on_screen = self.on_screen.clamp(least, most);
    }
}

impl App {
    pub(super) fn tree_height(&self) -> usize {
        draw::areas(self).tree.height.into()
    }

    pub(super) fn tree_tick(&mut self) {
        if self.now >= self.tree.stale_at {
            self.tree.stale_at = self.now + STALE_EVERY;
            for path in self.tree.model.stale_rows() {
                let page = Page { limit: 1, ..Page::default() };
                self.ask(Purpose::Row(path.clone()), Job::Read(Route::List { path, page }));
            }
        }
        if self.now >= self.tree.roots_at {
            self.tree.roots_at = self.now + ROOTS_EVERY;
            self.tree.model.roots_again();
        }
        for Wanted { path, after, limit } in self.tree.model.next_pages(self.now) {
            let page = Page {
                after: after.as_ref().map_or(String::new(), |key| key.to_string()),
                limit,
                ..Page::default()
            };
            self.ask(Purpose::Page(path.clone(), after), Job::Read(Route::List { path, page }));
        }
        if self.tree.model.take_full() {
            self.complain(format!(
                "{MAX_ROWS} rows are unfolded, and no more can be: fold something (z0: everything)"
            ));
        }
        let height = self.tree_height();
        self.tree.settle(height);
    }

    pub(super) fn tree_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        match (purpose, outcome) {
            (Purpose::Page(path, after), Ok(page)) => {
                self.tree.model.page(&path, after.as_ref(), &page, self.now);
                self.go_on();
            }
            (Purpose::Page(path, after), Err(failed)) => {
                let gone = matches!(&failed, Failed::Refused(refusal) if refusal.code == "not_found");
                self.tree.model.no_page(&path, after.as_ref(), gone, self.now);
                if !gone && !matches!(failed, Failed::NotReached(_)) {
                    self.complain(failed.to_string());
                }
            }
            (Purpose::Row(path), Ok(page)) => self.tree.model.own_row(&path, &page),
            _ => {}
        }
    }

    /// Notifications were applied.
    pub(super) fn tree_changed(&mut self) {
        while self.tree.glows.front().is_some_and(|until| *until <= self.now) {
            self.tree.glows.pop_front();
        }
        self.tree.glows.push_back(self.now + GLOW);
        let Some(path) = self.tree.follow.clone() else { return };
        // It went, with what's above it, or by itself: the cursor goes back as soon as it's there again.
        if self.tree.model.row(&path).is_none() {
            self.tree.lost = true;
        } else if std::mem::take(&mut self.tree.lost) && self.tree.going.is_none() {
            self.tree.going = Some(path);
            self.go_on();
        }
    }

    pub(super) fn tree_act(&mut self, action: Action) {
        let (height, line) = (self.tree_height(), self.tree.line);
        let cursor = self.tree.cursor.clone();
        self.tree.going = None;
        if self.find.is_shown() && self.find_list_act(action) {
            return;
        }
        match action {
            Action::Up => self.tree.set_line(line.saturating_sub(1), height),
            Action::Down => self.tree.set_line(line + 1, height),
            Action::PageUp => self.tree.set_line(line.saturating_sub(height.saturating_sub(1)), height),
            Action::PageDown => self.tree.set_line(line + height.saturating_sub(1), height),
            Action::First => self.tree.set_line(0, height),
            Action::Last => self.tree.set_line(usize::MAX, height),
            Action::Unfold => self.unfold(),
            Action::Fold => self.fold(),
            Action::Toggle if self.tree.row().is_some_and(|row| row.open().is_some()) => {
                self.tree.model.fold(&cursor);
            }
            Action::Toggle => drop(self.tree.model.unfold(&cursor)),
            Action::UnfoldTo(levels) => self.tree.model.unfold_to(&cursor, levels.into()),
            Action::FoldAll => self.tree.model.fold_all(),
            Action::NextSibling => self.sibling(1),
            Action::PreviousSibling => self.sibling(-1),
            Action::Parent => self.go(cursor.prefix(cursor.len().saturating_sub(1).max(1))),
            Action::Root => self.go(cursor.prefix(1)),
            Action::Secrets => {
                self.look.secrets = !self.look.secrets;
                self.detail_renew();
                self.say(if self.look.secrets {
                    "keys and passwords are shown"
                } else {
                    "keys and passwords are hidden"
                });
            }
            Action::Versions => self.tree.versions = !self.tree.versions,
            Action::Follow => self.follow(),
            Action::GoTo => self.prompt(For::GoTo, "go to ", ""),
            Action::Detail => self.detail_toggle(),
            Action::ScrollUp | Action::ScrollDown => self.detail_scroll(action),
            Action::History => self.history_of(&cursor),
            Action::Find => self.find_begin(),
            Action::FindNext => self.find_step(1),
            Action::FindPrevious => self.find_step(-1),
            Action::Filter => self.find_filter(),
            Action::Close => self.tree_close(),
            Action::CopyPath => self.copy(cursor.to_string(), "the path"),
            Action::CopyValue => self.copy_value(),
            Action::Call => self.form_for(&cursor),
            Action::Edit => self.change(Why::Edit),
            Action::EditText => self.change(Why::EditText),
            Action::Add => self.change(Why::Add),
            Action::Delete => self.change(Why::Delete),
            Action::Duplicate => self.change(Why::Duplicate),
            Action::Rename => self.change(Why::Rename),
            Action::Undo => self.pending_undo(),
            Action::Commit => self.pending_look(),
            _ => {}
        }
        let height = self.tree_height();
        self.tree.settle(height);
        self.detail_moved();
    }

    fn tree_close(&mut self) {
        if !self.find_close() && !self.detail_close() {
            self.tree.follow = None;
        }
    }

    fn unfold(&mut self) {
        let cursor = self.tree.cursor.clone();
        let open = self.tree.row().and_then(Row::open).map(|open| open.rows().is_empty());
        match open {
            Some(false) => {
                let (height, line) = (self.tree_height(), self.tree.line);
                self.tree.set_line(line + 1, height);
            }
            Some(true) => {}
            None => {
                let is_leaf = self.tree.row().is_some_and(|row| row.shown.kind != Kind::Container);
                if !is_leaf {
                    self.tree.model.unfold(&cursor);
                }
            }
        }
    }

    fn fold(&mut self) {
        let cursor = self.tree.cursor.clone();
        if self.tree.row().is_some_and(|row| row.open().is_some()) {
            self.tree.model.fold(&cursor);
        } else if cursor.len() > 1 {
            self.go(cursor.prefix(cursor.len() - 1));
        }
    }

    fn sibling(&mut self, by: isize) {
        let cursor = self.tree.cursor.clone();
        let (Some(name), Some(above)) = (cursor.name(), cursor.parent()) else { return };
        let Some(open) = self.tree.model.open_at(&above) else { return };
        let at = open.rows().iter().position(|row| row.key == *name).unwrap_or(0);
        let next = at.checked_add_signed(by).and_then(|at| open.rows().get(at)).map(|row| row.key.clone());
        if let Some(path) = next.and_then(|key| above.join(key).ok()) {
            self.go(path);
        }
    }

    fn follow(&mut self) {
        let cursor = self.tree.cursor.clone();
        if self.tree.follow.take().as_ref() == Some(&cursor) || cursor.is_empty() {
            self.say("following nothing");
        } else {
            self.say(format!("{cursor} is kept in view; F again, or Esc, ends that"));
            self.tree.follow = Some(cursor);
        }
    }

    /// Goes to what was typed.
    pub(super) fn go_to_text(&mut self, text: &str) {
        let text = text.trim().trim_end_matches('.');
        match Path::parse(text) {
            Ok(path) if path.is_empty() => {}
            Ok(path) => self.go(path),
            Err(error) => self.complain(format!("{text:?} is no path: {error}")),
        }
    }

    /// Puts the cursor on a node; unfolds what is above it as needed.
    pub(super) fn go(&mut self, path: Path) {
        self.screen = Screen::Tree;
        self.find_show_tree();
        self.tree.going = Some(path);
        self.go_on();
    }

    /// One step towards where it's going, as far as that is here.
    fn go_on(&mut self) {
        let Some(path) = self.tree.going.clone() else { return };
        let height = self.tree_height();
        for len in 1..=path.len() {
            let part = path.prefix(len);
            let Some(row) = self.tree.model.row(&part) else {
                let above = self.tree.model.open_at(&path.prefix(len - 1));
                if above.is_none_or(|open| open.is_loading()) {
                    // It's on its way.
                    return;
                }
                self.complain(format!("nothing at {part}"));
                self.tree.going = None;
                return;
            };
            let is_open = row.open().is_some();
            if len < path.len() && !is_open && !self.tree.model.unfold(&part) {
                self.complain(format!("{part} has nothing below it"));
                self.tree.going = None;
                return;
            }
            if let Some(line) = self.tree.model.line_of(&part) {
                self.tree.settle(height);
                self.tree.set_line(line, height);
            }
        }
        self.tree.going = None;
        self.detail_moved();
    }

    /// Puts a text into the terminal's clipboard.
    pub(super) fn copy(&mut self, text: String, what: &str) {
        // Terminals drop what is too long, without a word.
        const MOST: usize = 64 << 10;
        if text.len() > MOST {
            return self
                .complain(format!("{what} has {} bytes, too many for a terminal's clipboard", text.len()));
        }
        self.say(format!("{what} is copied: {}", self.look.clean(&text)));
        self.effect(Effect::Copy(text));
    }

    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        let area = draw::areas(self).tree;
        let action = match mouse.kind {
            MouseEventKind::ScrollUp => Action::Up,
            MouseEventKind::ScrollDown => Action::Down,
            MouseEventKind::Down(MouseButton::Left) => return self.click(mouse.column, mouse.row, area),
            _ => return,
        };
        if self.prompt.is_none() && self.form.is_none() && self.help.is_none() {
            (0..3).for_each(|_| self.act(action));
        }
    }

    fn click(&mut self, column: u16, row: u16, area: ratatui::layout::Rect) {
        if self.prompt.is_some() || self.form.is_some() || self.help.is_some() {
            return;
        }
        if let Some(screen) = draw::tab_at(self, column, row) {
            return self.show(screen);
        }
        if self.screen != Screen::Tree || !area.contains((column, row).into()) || self.find.is_shown() {
            return;
        }
        let line = self.tree.first_line() + usize::from(row - area.y);
        if line >= self.tree.model.height() {
            return;
        }
        // A second click on the same line folds or unfolds it.
        if line == self.tree.line {
            return self.act(Action::Toggle);
        }
        let height = self.tree_height();
        self.tree.set_line(line, height);
        self.detail_moved();
    }
}
