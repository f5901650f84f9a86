//! A form for the arguments of a function, and what the call came to.

use ratatui::Frame;
use ratatui::crossterm::event::KeyEvent;
use ratatui::layout::Rect;

use super::app::App;
use super::ask::{Failed, Purpose};
use crate::path::Path;
use crate::value::Value;

/// The form that is open.
#[derive(Debug, Default)]
pub struct Form {}

impl App {
    /// Opens the form of the function at a path.
    pub(super) fn form_for(&mut self, _path: &Path) {}

    pub(super) fn form_key(&mut self, _key: KeyEvent) {
        self.form = None;
    }

    pub(super) fn form_paste(&mut self, _text: &str) {}

    pub(super) fn form_reply(&mut self, _purpose: Purpose, _outcome: Result<Value, Failed>) {}

    pub(super) fn form_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
