//! The screen of changes: each with what it was and what it will be, and of a conflict all three sides.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::super::app::App;
use super::super::draw::{paint, put, put_right};
use super::super::look::{Role, cut};
use super::diff::Diff;
use super::{Change, Theirs, Was, short};
use crate::path::Path;

/// Lines of a change that the cursor isn't on.
const FEW: usize = 4;

/// A line below a change's name.
struct Line {
    role: Role,
    text: String,
}

fn line(role: Role, text: impl Into<String>) -> Line {
    Line { role, text: text.into() }
}

/// The first lines of a difference; the others are counted.
fn diff_lines(diff: &Diff, most: usize, out: &mut Vec<Line>) {
    let room = if diff.lines.len() + diff.more > most { most.saturating_sub(1) } else { most };
    for (sign, text) in diff.lines.iter().take(room) {
        let role = if *sign == '+' { Role::Added } else { Role::Removed };
        out.push(line(role, format!("{sign} {text}")));
    }
    let rest = diff.more + diff.lines.len().saturating_sub(room);
    if rest > 0 {
        out.push(line(Role::Dim, format!("and {rest} more lines")));
    }
}

/// A side of a conflict on one line.
fn side(path: &Path, was: &Was) -> String {
    match was {
        Was::Nothing => "nothing".into(),
        Was::Value(value) => short(path, value),
        Was::Large => "too much to be shown".into(),
    }
}

/// Base, theirs and mine: values as they are, containers by what differs.
fn conflict_lines(change: &Change, theirs: &Theirs, most: usize) -> Vec<Line> {
    let mine = change.mine.as_ref();
    let is_container = |was: &Was| was.value().is_some_and(|value| value.as_object().is_some());
    let is_short = !is_container(&change.base)
        && !is_container(&theirs.was)
        && mine.is_none_or(|value| value.as_object().is_none());
    if is_short {
        return vec![
            line(Role::Dim, format!("base    {}", side(&change.path, &change.base))),
            line(Role::Removed, format!("theirs  {}", side(&change.path, &theirs.was))),
            line(Role::Added, format!("mine    {}", side(&change.path, &Was::of(mine.cloned())))),
        ];
    }
    let mut out = Vec::new();
    let half = most.saturating_sub(2) / 2;
    out.push(line(Role::Title, "theirs, compared with the base:"));
    match &theirs.was {
        Was::Value(value) => {
            diff_lines(&Diff::of(&change.path, &change.base, Some(value)), half.max(1), &mut out)
        }
        Was::Nothing => out.push(line(Role::Removed, "- all of it")),
        Was::Large => out.push(line(Role::Dim, "too much to be shown")),
    }
    out.push(line(Role::Title, "mine, compared with the base:"));
    diff_lines(&change.diff, half.max(1), &mut out);
    out
}

/// What stands below a change's name.
fn lines(change: &Change, most: usize, is_cursor: bool) -> Vec<Line> {
    match &change.theirs {
        Some(theirs) if is_cursor => conflict_lines(change, theirs, most),
        Some(_) => Vec::new(),
        None => {
            let mut out = Vec::new();
            diff_lines(&change.diff, if is_cursor { most } else { most.min(FEW) }, &mut out);
            out
        }
    }
}

impl App {
    pub(in crate::tui) fn pending_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        if self.pending.is_empty() {
            let text = "nothing was changed here; e E a d D r in the tree do that, c commits";
            return put(frame, area, 0, vec![Span::styled(text, self.look.style(Role::Dim))]);
        }
        let summary = format!(" {}", self.pending.summary(area.width < 60));
        put(frame, area, 0, vec![Span::styled(summary, self.look.style(Role::Title))]);
        let area = Rect::new(area.x, area.y + 1, area.width, area.height.saturating_sub(1));
        let cursor = self.pending.list.cursor().min(self.pending.len() - 1);
        let mut y = 0;
        for (at, change) in
            self.pending.changes.iter().enumerate().skip(self.pending_top(area.height, cursor))
        {
            if y >= area.height {
                return;
            }
            self.draw_change(frame, area, y, change, at == cursor);
            y += 1;
            for line in lines(change, usize::from(area.height) - 1, at == cursor) {
                let style = self.look.style(line.role);
                let text = cut(&self.look.clean(&line.text), room(area), self.look.glyphs.more);
                put(frame, area, y, vec![Span::raw("     "), Span::styled(text, style)]);
                y += 1;
            }
        }
    }

    /// The first change that is shown: as many as fit above the cursor's.
    fn pending_top(&self, height: u16, cursor: usize) -> usize {
        let most = usize::from(height).saturating_sub(1);
        let mut used = 0;
        let mut top = cursor;
        for (at, change) in self.pending.changes.iter().enumerate().take(cursor + 1).rev() {
            used += 1 + lines(change, most, at == cursor).len();
            if used > usize::from(height) {
                break;
            }
            top = at;
        }
        top
    }

    fn draw_change(&self, frame: &mut Frame<'_>, area: Rect, y: u16, change: &Change, is_cursor: bool) {
        let role = if change.theirs.is_some() { Role::Warning } else { Role::Marker };
        let right = match &change.theirs {
            Some(_) if is_cursor && area.width >= 70 => {
                " changed meanwhile: t theirs, m mine, e edit theirs "
            }
            Some(_) if is_cursor => " t theirs, m mine, e ",
            Some(_) => " changed meanwhile ",
            None => "",
        };
        let room = usize::from(area.width).saturating_sub(4 + right.len());
        let path = cut(&self.look.clean(&change.path.to_string()), room, self.look.glyphs.more);
        let spans = vec![
            Span::styled(format!(" {} ", change.sign()), self.look.style(role)),
            Span::styled(path, self.look.style(Role::Key)),
        ];
        put(frame, area, y, spans);
        put_right(frame, area, y, vec![Span::styled(right, self.look.style(role))]);
        if is_cursor {
            paint(frame, area, y, self.look.style(Role::Cursor));
        }
    }
}

fn room(area: Rect) -> usize {
    usize::from(area.width).saturating_sub(5)
}
