//! A node in full, beside the tree: its value, its version, who wrote that and when.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::App;
use super::ask::{Failed, Purpose};
use crate::path::Path;
use crate::value::Value;

/// The node that is shown.
#[derive(Debug, Default)]
pub struct Detail {
    open: bool,
}

impl Detail {
    /// Whether it's shown.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }
}

impl App {
    pub(super) fn detail_toggle(&mut self) {
        self.detail.open = !self.detail.open;
    }

    /// Closes it. False: it wasn't open.
    pub(super) fn detail_close(&mut self) -> bool {
        std::mem::take(&mut self.detail.open)
    }

    /// The cursor moved.
    pub(super) fn detail_moved(&mut self) {}

    /// Something changed at a path.
    pub(super) fn detail_changed(&mut self, _path: &Path) {}

    /// Anything may have changed.
    pub(super) fn detail_stale(&mut self) {}

    pub(super) fn detail_tick(&mut self) {}

    /// Copies the cursor's value, in full.
    pub(super) fn copy_value(&mut self) {}

    pub(super) fn detail_reply(&mut self, _purpose: Purpose, _outcome: Result<Value, Failed>) {}

    pub(super) fn detail_draw(&self, _frame: &mut Frame<'_>, _area: Rect) {}
}
