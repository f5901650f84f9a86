//! Changes that were made here and aren't committed.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Screen};
use super::ask::{Failed, Purpose, Why};
use super::keys::Action;
use crate::path::Path;
use crate::value::Value;

/// What is being typed about a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Typing {}

/// What was staged.
#[derive(Debug, Default)]
pub struct Pending {}

impl Pending {
    /// Whether nothing was staged.
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    /// Changes that were staged.
    pub(super) fn len(&self) -> usize {
        0
    }

    /// What will become of a node, in a few words; `None`: nothing was staged for it.
    pub(super) fn staged(&self, _path: &Path) -> Option<String> {
        None
    }
}

impl App {
    /// Begins a change of the cursor's node: first it's asked whether it may be changed.
    pub(super) fn change(&mut self, _why: Why) {}

    /// Takes the newest change back.
    pub(super) fn pending_undo(&mut self) {}

    /// Shows what was staged, and asks whether it's to be committed.
    pub(super) fn pending_look(&mut self) {}

    /// Commits: the user said yes.
    pub(super) fn pending_commit(&mut self) {}

    /// Throws all away: the user said yes.
    pub(super) fn pending_discard(&mut self) {}

    /// Something was typed about a change.
    pub(super) fn pending_typed(&mut self) {}

    /// The type of the value that is typed: the next one.
    pub(super) fn pending_turn(&mut self) {}

    /// Enter, with this text.
    pub(super) fn pending_entered(&mut self, _typing: Typing, _text: &str) {}

    /// The editor ended.
    pub(super) fn pending_edited(&mut self, _outcome: Result<String, String>) {}

    pub(super) fn pending_act(&mut self, action: Action) {
        if action == Action::Close {
            self.show(Screen::Tree);
        }
    }

    pub(super) fn pending_reply(&mut self, _purpose: Purpose, _outcome: Result<Value, Failed>) {}

    pub(super) fn pending_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
