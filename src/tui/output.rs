//! The command line, and what commands printed.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Screen};
use super::ask::Failed;
use super::keys::Action;
use super::prompt::For;
use crate::value::Value;

/// What commands printed, and what was typed before.
#[derive(Debug, Default)]
pub struct Output {
    earlier: VecDeque<String>,
}

impl Output {
    /// Command lines of before, the newest last.
    pub(super) fn earlier(&self) -> VecDeque<String> {
        self.earlier.clone()
    }
}

impl App {
    /// Opens the command line.
    pub(super) fn command(&mut self) {
        self.prompt(For::Command, ":", "");
    }

    /// Runs a command line.
    pub(super) fn command_entered(&mut self, _text: &str) {}

    pub(super) fn output_act(&mut self, action: Action) {
        if action == Action::Close {
            self.show(Screen::Tree);
        }
    }

    pub(super) fn output_reply(&mut self, _outcome: Result<Value, Failed>) {}

    pub(super) fn output_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
