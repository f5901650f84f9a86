//! The versions as a list, and what one of them changed beside or below it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::diff::values;
use super::{App, Past};
use crate::tui::draw::{self, WIDE, paint, put};
use crate::tui::keys::Action;
use crate::tui::look::{Role, cut};
use crate::tui::pane::{Spans, inside};

/// From this many lines on the list has a line with titles.
const ROOMY: u16 = 8;

/// A preview has the whole of a screen with fewer lines.
const SMALL: u16 = 12;

/// Columns of a time.
const TIME: usize = 19;

/// Columns of a tega ID, at most.
const WHO: usize = 16;

/// Where the list and the differences stand.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    titles: Rect,
    list: Rect,
    diff: Rect,
}

impl App {
    fn history_places(&self, body: Rect) -> Places {
        let is_preview = self.history.preview.is_some();
        if self.history.whole || (is_preview && body.height < SMALL) {
            return Places { diff: body, ..Places::default() };
        }
        let (mut list, mut diff) = (body, body);
        if body.width >= WIDE {
            list.width = body.width / 2;
            (diff.x, diff.width) = (body.x + list.width, body.width - list.width);
        } else {
            list.height = body.height * 9 / 20;
            (diff.y, diff.height) = (body.y + list.height, body.height - list.height);
        }
        let titles = Rect { height: u16::from(list.height >= ROOMY), ..list };
        list.y += titles.height;
        list.height -= titles.height;
        Places { titles, list, diff }
    }

    /// Lines of the list.
    pub(super) fn history_height(&self) -> usize {
        self.history_places(draw::areas(self).body).list.height.into()
    }

    /// Looks through what is shown of differences. False: that isn't what the action is for.
    pub(in crate::tui) fn history_look(&mut self, action: Action) -> bool {
        let scrolls = matches!(action, Action::ScrollUp | Action::ScrollDown);
        if !scrolls && !self.history.whole && self.history.preview.is_none() {
            return false;
        }
        let inside = inside(self.history_places(draw::areas(self).body).diff);
        let (_, lines) = self.history_shown();
        let mut pane = self.history.pane;
        let moved = pane.act(action, lines.iter(), (inside.width, inside.height));
        self.history.pane = pane;
        moved
    }

    /// What stands where the differences do: its title, and its lines.
    fn history_shown(&self) -> (String, std::borrow::Cow<'_, [Spans]>) {
        use std::borrow::Cow;
        let (history, look) = (&self.history, &self.look);
        let note =
            |text: &str, role| Cow::Owned(vec![vec![Span::styled(look.clean(text), look.style(role))]]);
        let reading = || Cow::Owned(vec![vec![Span::styled("reading", look.style(Role::Dim))]]);
        if let Some(preview) = &history.preview {
            let (from, to) = (preview.from, preview.to);
            let title = match history.present() {
                // The server will refuse it; whoever looks at it should know before.
                Some(past) if past.version > from => format!("out of date: version {} came", past.version),
                _ => format!("rolling back to version {to} would change, as of version {from}:"),
            };
            return (
                title,
                preview.diff.as_ref().map_or_else(reading, |diff| Cow::Borrowed(&diff.lines[..])),
            );
        }
        let Some(past) = history.at_cursor() else { return (String::new(), Cow::Borrowed(&[])) };
        let version = past.version;
        if let Some(name) = &past.replaced {
            let text = format!(
                "A snapshot of its home replaced this state. tega get --replaced {name} {} prints it, to be put again.",
                history.root
            );
            return (format!("version {version}, set aside"), note(&text, Role::Plain));
        }
        let Some((from, _)) = history.pair else {
            let text = "the oldest version that is kept: what it changed isn't known";
            return (format!("version {version}"), note(text, Role::Dim));
        };
        let title = match history.marked {
            Some(marked) if marked == from => format!("from version {from}, marked, to {version}"),
            _ => format!("what version {version} changed"),
        };
        match &history.diff {
            None => (title, reading()),
            Some(Err(why)) => (title, note(why, Role::Warning)),
            Some(Ok(diff)) if diff.values == 0 => (title, note("nothing differs", Role::Dim)),
            Some(Ok(diff)) => (format!("{title}: {}", values(diff.values)), Cow::Borrowed(&diff.lines[..])),
        }
    }

    pub(in crate::tui) fn history_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let places = self.history_places(area);
        self.history_list(frame, places.titles, places.list);
        let (title, lines) = self.history_shown();
        self.history.pane.draw(frame, &self.look, (places.diff, &title), lines.iter());
    }

    fn history_list(&self, frame: &mut Frame<'_>, titles: Rect, area: Rect) {
        let (history, look) = (&self.history, &self.look);
        if history.entries.is_empty() {
            let (text, role) = match (&history.failed, history.asked) {
                (Some(why), _) => (why.as_str(), Role::Warning),
                (None, true) => ("reading", Role::Dim),
                (None, false) => ("no version is kept", Role::Dim),
            };
            return put(frame, area, 0, vec![Span::styled(look.clean(text), look.style(role))]);
        }
        let height = usize::from(area.height);
        let top = history.list.top(history.entries.len(), height);
        // As wide as what is seen needs; the rest is for what was changed.
        let seen = || history.entries.iter().skip(top).take(height);
        let digits = seen().map(|past| past.version.to_string().len()).max().unwrap_or(0);
        let who = seen().map(|past| past.who.chars().count()).max().unwrap_or(0).clamp(3, WHO);
        let columns = (digits.max(if titles.height > 0 { 7 } else { 0 }), who);
        let line = format!("{:>1$}  {2:TIME$}  {3:who$}  WHAT", "VERSION", columns.0, "WHEN (UTC)", "WHO");
        put(frame, titles, 0, vec![Span::styled(line, look.style(Role::Dim))]);
        for (line, (at, past)) in (0..area.height).zip(history.entries.iter().enumerate().skip(top)) {
            put(frame, area, line, self.history_line(past, at == 0, columns));
            if at == history.list.cursor() {
                paint(frame, area, line, look.style(Role::Cursor));
            }
        }
    }

    fn history_line(&self, past: &Past, first: bool, (digits, who): (usize, usize)) -> Spans {
        let look = &self.look;
        let is_kept = past.replaced.is_none();
        let mut signs = Vec::new();
        if is_kept && Some(past.version) == self.history.marked {
            signs.push("marked");
        }
        if is_kept && first {
            signs.push("present");
        }
        if past.deleted {
            signs.push("deleted");
        }
        let signs = if signs.is_empty() { String::new() } else { format!("[{}] ", signs.join(", ")) };
        let name = cut(&look.clean(&past.who), who, look.glyphs.more);
        vec![
            Span::styled(format!("{:>digits$}  ", past.version), look.style(Role::Number)),
            Span::styled(format!("{:TIME$}  ", past.when), look.style(Role::Plain)),
            Span::styled(format!("{name:who$}  "), look.style(Role::Key)),
            Span::styled(signs, look.style(Role::Marker)),
            Span::styled(look.clean(&past.what), look.style(Role::Plain)),
        ]
    }
}
