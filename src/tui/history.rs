//! The versions of a root: who changed what when, what differs between them, and the way back to one of them.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Screen};
use super::ask::{Failed, Purpose};
use super::keys::Action;
use crate::path::{Key, Path};
use crate::value::Value;

/// The history that is shown.
#[derive(Debug, Default)]
pub struct History {
    root: Key,
}

impl History {
    /// Whose.
    pub(super) fn root(&self) -> &str {
        &self.root
    }
}

impl App {
    /// Shows the history of a node's root.
    pub(super) fn history_of(&mut self, path: &Path) {
        let Some(root) = path.root() else { return };
        self.history.root = root.clone();
        self.show(Screen::History);
    }

    pub(super) fn history_act(&mut self, action: Action) {
        if action == Action::Close {
            self.show(Screen::Tree);
        }
    }

    /// Makes this version the present one: the user said yes.
    pub(super) fn history_roll_back(&mut self, _root: Key, _version: i64) {}

    pub(super) fn history_reply(&mut self, _purpose: Purpose, _outcome: Result<Value, Failed>) {}

    pub(super) fn history_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
