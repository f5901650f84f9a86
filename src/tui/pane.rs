//! Text in a part of the screen, with a title: wrapped at its right end, so that all of it can be read, and scrolled.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::draw::{put, put_right};
use super::keys::Action;
use super::look::{Look, Role, cut};

/// A line: pieces of text, each with its style.
pub(super) type Spans = Vec<Span<'static>>;

/// How far the rest of a line that was wrapped is set in.
const INDENT: usize = 2;

/// Where a text stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pane {
    top: usize,
}

impl Pane {
    /// Moves. `size`: of what is inside of it. False: the action doesn't move.
    pub(super) fn act<'a>(
        &mut self,
        action: Action,
        lines: impl Iterator<Item = &'a Spans>,
        (width, height): (u16, u16),
    ) -> bool {
        let page = usize::from(height.saturating_sub(1).max(1));
        let wanted = match action {
            Action::Up | Action::ScrollUp => self.top.saturating_sub(1),
            Action::Down | Action::ScrollDown => self.top + 1,
            Action::PageUp => self.top.saturating_sub(page),
            Action::PageDown => self.top + page,
            Action::First => 0,
            Action::Last => usize::MAX,
            _ => return false,
        };
        let count = rows(lines, width, wanted.saturating_add(height.into())).len();
        self.top = wanted.min(count.saturating_sub(height.into()));
        true
    }

    /// Draws the title, and as much as there's room for; the title's line says where there's more.
    pub(super) fn draw<'a>(
        &self,
        frame: &mut Frame<'_>,
        look: &Look,
        (area, title): (Rect, &str),
        lines: impl Iterator<Item = &'a Spans>,
    ) {
        frame_it(frame, look, area, title);
        let inside = inside(area);
        let height = usize::from(inside.height);
        let rows = rows(lines, inside.width, self.top + height);
        // What is shown may have become shorter.
        let top = self.top.min(rows.len().saturating_sub(height));
        let more = rows.len() > top + height;
        for (line, row) in (0..inside.height).zip(rows.into_iter().skip(top)) {
            put(frame, inside, line, row);
        }
        if more {
            put_right(frame, area, 0, vec![Span::styled(" ] more", look.style(Role::Hint))]);
        }
    }
}

/// The lines of the screen that lines of text take: those up to `most`, and some more where there are more.
fn rows<'a>(lines: impl Iterator<Item = &'a Spans>, width: u16, most: usize) -> Vec<Spans> {
    let mut rows = Vec::new();
    for line in lines {
        wrap(line, width.into(), &mut rows);
        if rows.len() > most {
            break;
        }
    }
    rows
}

/// Breaks a line where the screen ends.
fn wrap(line: &[Span<'static>], width: usize, out: &mut Vec<Spans>) {
    let indent = if width > 4 * INDENT { INDENT } else { 0 };
    let (mut row, mut used, mut begun) = (Spans::new(), 0, 0);
    for span in line {
        let mut text = String::new();
        for c in span.content.chars() {
            let columns = if c.is_ascii() { 1 } else { Span::raw(c.to_string()).width() };
            if used + columns > width && used > begun {
                row.push(Span::styled(std::mem::take(&mut text), span.style));
                out.push(std::mem::replace(&mut row, vec![Span::raw(" ".repeat(indent))]));
                (used, begun) = (indent, indent);
            }
            text.push(c);
            used += columns;
        }
        row.push(Span::styled(text, span.style));
    }
    out.push(row);
}

/// Sets pieces side by side, as many as there's room for on each line.
pub(super) fn flow(pieces: Vec<Span<'static>>, width: usize) -> Vec<Spans> {
    let mut lines = vec![Spans::new()];
    let mut used = 0;
    for piece in pieces {
        let columns = piece.width();
        if used > 0 && used + 2 + columns > width {
            lines.push(Spans::new());
            used = 0;
        }
        let Some(line) = lines.last_mut() else { break };
        if used > 0 {
            line.push(Span::raw("  "));
            used += 2;
        }
        used += columns;
        line.push(piece);
    }
    lines
}

/// What is inside of a pane: its first line is the title's, and where it stands to the right of something, there's a rule.
pub(super) fn inside(area: Rect) -> Rect {
    let left = if area.x > 0 { 2.min(area.width) } else { 0 };
    let title = 1.min(area.height);
    Rect::new(area.x + left, area.y + title, area.width - left, area.height - title)
}

/// Draws the title and the rule.
fn frame_it(frame: &mut Frame<'_>, look: &Look, area: Rect, title: &str) {
    let (dim, more) = (look.style(Role::Dim), look.glyphs.more);
    let mut spans = Spans::new();
    if area.x > 0 {
        for line in 0..area.height {
            put(frame, area, line, vec![Span::styled(look.glyphs.vertical, dim)]);
        }
        spans.push(Span::styled(format!("{} ", look.glyphs.vertical), dim));
    } else {
        spans.push(Span::styled(format!("{} ", look.glyphs.horizontal), dim));
    }
    let room = usize::from(area.width).saturating_sub(2);
    spans.push(Span::styled(cut(title, room, more), look.style(Role::Title)));
    if area.x == 0 {
        let used: usize = spans.iter().map(Span::width).sum();
        let rest = usize::from(area.width).saturating_sub(used + 1);
        spans.push(Span::styled(format!(" {}", look.glyphs.horizontal.repeat(rest)), dim));
    }
    put(frame, area, 0, spans);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: &[Spans]) -> Vec<String> {
        rows.iter().map(|row| row.iter().map(|span| span.content.as_ref()).collect()).collect()
    }

    #[test]
    fn a_line_goes_on_below_where_the_screen_ends() {
        let wrapped = |line: &[&'static str], width| {
            let mut out = Vec::new();
            wrap(&line.iter().map(|text| Span::raw(*text)).collect::<Spans>(), width, &mut out);
            text(&out)
        };
        assert_eq!(wrapped(&["abcdefghijkl"], 9), ["abcdefghi", "  jkl"]);
        assert_eq!(wrapped(&["abcdefgh", "ijkl"], 9), ["abcdefghi", "  jkl"]);
        assert_eq!(wrapped(&["abcd"], 3), ["abc", "d"]);
        assert_eq!(wrapped(&["日本語"], 4), ["日本", "語"]);
        assert_eq!(wrapped(&["日本"], 1), ["日", "本"]);
        assert_eq!(wrapped(&[], 9), [""]);
    }

    #[test]
    fn pieces_stand_side_by_side_while_there_is_room() {
        let pieces = || ["text", "version 4", "bob"].map(Span::raw).to_vec();
        assert_eq!(text(&flow(pieces(), 40)), ["text  version 4  bob"]);
        assert_eq!(text(&flow(pieces(), 15)), ["text  version 4", "bob"]);
        assert_eq!(text(&flow(pieces(), 3)), ["text", "version 4", "bob"]);
    }

    #[test]
    fn a_pane_stops_at_both_ends_of_its_text() {
        let lines: Vec<Spans> = (0..10).map(|n| vec![Span::raw(n.to_string())]).collect();
        let mut pane = Pane::default();
        for (action, top) in [
            (Action::ScrollUp, 0),
            (Action::ScrollDown, 1),
            (Action::PageDown, 3),
            (Action::PageDown, 5),
            (Action::Last, 7),
            (Action::ScrollDown, 7),
            (Action::PageUp, 5),
            (Action::First, 0),
        ] {
            assert!(pane.act(action, lines.iter(), (10, 3)));
            assert_eq!(pane.top, top, "{action:?}");
        }
        assert!(!pane.act(Action::Quit, lines.iter(), (10, 3)));
    }
}
