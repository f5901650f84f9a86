//! Who is connected, and who listens to which channels.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Screen};
use super::ask::{Failed, Purpose};
use super::keys::Action;
use crate::value::Value;

/// What is shown.
#[derive(Debug, Default)]
pub struct Sessions {}

impl App {
    /// The screen is shown.
    pub(super) fn sessions_shown(&mut self) {}

    pub(super) fn sessions_tick(&mut self) {}

    pub(super) fn sessions_act(&mut self, action: Action) {
        if action == Action::Close {
            self.show(Screen::Tree);
        }
    }

    pub(super) fn sessions_reply(&mut self, _purpose: Purpose, _outcome: Result<Value, Failed>) {}

    pub(super) fn sessions_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
