//! How the server is.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Screen};
use super::ask::Failed;
use super::keys::Action;
use crate::value::Value;

/// What is shown.
#[derive(Debug, Default)]
pub struct Status {}

impl App {
    /// The screen is shown.
    pub(super) fn status_shown(&mut self) {}

    pub(super) fn status_tick(&mut self) {}

    pub(super) fn status_act(&mut self, action: Action) {
        if action == Action::Close {
            self.show(Screen::Tree);
        }
    }

    pub(super) fn status_reply(&mut self, _outcome: Result<Value, Failed>) {}

    pub(super) fn status_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
