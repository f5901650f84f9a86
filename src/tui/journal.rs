//! Notifications and messages as they come.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Screen};
use super::feed::Note;
use super::keys::Action;

/// Lines that are kept.
#[derive(Debug, Default)]
pub struct Journal {}

impl App {
    /// New lines came, and so many were left out before them.
    pub(super) fn journal_take(&mut self, _notes: VecDeque<Note>, _dropped: usize) {}

    /// Only lines with this text.
    pub(super) fn journal_filter(&mut self, _text: &str) {}

    pub(super) fn journal_act(&mut self, action: Action) {
        if action == Action::Close {
            self.show(Screen::Tree);
        }
    }

    pub(super) fn journal_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
