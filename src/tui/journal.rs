//! Notifications and messages as they come: the newest lines, until they're held or filtered.
//!
//! Lines are kept as they came and made into text when they're shown, so that thousands a second cost no more than a screen
//! full of them. What the filter keeps is known by number: a line is looked at once when it comes.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;
use regex_lite::Regex;

use super::app::{App, Screen};
use super::draw::{clock, paint, put};
use super::feed::Note;
use super::find::marks;
use super::keys::Action;
use super::list::List;
use super::look::{Role, cut};
use super::prompt::For;
use super::table::{count, fit, thousands};
use crate::path::Path;

/// Lines that are kept.
const MAX_LINES: usize = 2_000;

/// From this width on the columns of a line stand below each other.
const WIDE: u16 = 60;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Note(Note),
    /// So many were left out here.
    Gap(usize),
}

/// What came, bounded.
#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Line>,
    /// The number of the first of them.
    first: u64,
    /// Lines that were left out, all in all.
    dropped: usize,
}

impl Lines {
    /// Adds a line. How many went at the other end.
    fn push(&mut self, line: Line) -> usize {
        if let Line::Gap(more) = line {
            self.dropped += more;
            if let Some(Line::Gap(count)) = self.lines.back_mut() {
                *count += more;
                return 0;
            }
        }
        self.lines.push_back(line);
        let gone = self.lines.len().saturating_sub(MAX_LINES);
        self.lines.drain(..gone);
        self.first += gone as u64;
        gone
    }

    fn at(&self, number: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

/// What must be in a line.
#[derive(Debug, Default)]
struct Filter {
    text: String,
    /// `None`: everything is shown.
    needle: Option<Regex>,
    /// The numbers of the lines that have it.
    kept: VecDeque<u64>,
    /// What it was when it began to be typed anew.
    before: Option<String>,
}

impl Filter {
    fn keeps(&self, line: &Line) -> bool {
        let (Some(needle), Line::Note(note)) = (&self.needle, line) else { return false };
        [note.place.as_str(), &note.text, &note.who, note.what].iter().any(|part| needle.is_match(part))
    }
}

/// Lines that are kept.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: Lines,
    filter: Filter,
    list: List,
    /// The cursor was moved up from the last line.
    is_left: bool,
    /// What came since it's paused, and how much.
    held: Option<(Lines, usize)>,
}

impl Journal {
    /// Lines that the filter leaves.
    fn count(&self) -> usize {
        if self.filter.needle.is_some() { self.filter.kept.len() } else { self.lines.lines.len() }
    }

    /// Of them, the line at this place.
    fn line(&self, at: usize) -> Option<&Line> {
        match &self.filter.needle {
            Some(_) => self.lines.at(*self.filter.kept.get(at)?),
            None => self.lines.lines.get(at),
        }
    }

    /// Adds a line to those that are shown.
    fn add(&mut self, line: Line) {
        let keeps = self.filter.keeps(&line);
        let mut gone = self.lines.push(line);
        if keeps {
            self.filter.kept.push_back(self.lines.first + self.lines.lines.len() as u64 - 1);
        }
        if self.filter.needle.is_some() {
            let before = self.filter.kept.len();
            while self.filter.kept.front().is_some_and(|number| *number < self.lines.first) {
                self.filter.kept.pop_front();
            }
            gone = before - self.filter.kept.len();
        }
        if self.is_left {
            self.list.shift(gone);
        }
    }

    /// Stands on the last line, unless it was moved away from there.
    fn follow(&mut self, height: usize) {
        if !self.is_left {
            let count = self.count();
            self.list.to(count.saturating_sub(1), count, height);
        }
    }

    fn set_filter(&mut self, text: &str) {
        self.filter.text = text.into();
        self.filter.needle = marks(text, false);
        self.filter.kept.clear();
        if self.filter.needle.is_some() {
            let kept = self.lines.lines.iter().zip(self.lines.first..);
            self.filter.kept = kept.filter(|(line, _)| self.filter.keeps(line)).map(|(_, n)| n).collect();
        }
        (self.list, self.is_left) = (List::default(), false);
    }

    /// What is above the lines.
    fn said(&self) -> String {
        let all = self.lines.lines.iter().filter(|line| matches!(line, Line::Note(_))).count();
        let mut parts = Vec::new();
        if self.filter.needle.is_some() {
            parts.push(format!(
                "filter: {}, {} of {}",
                self.filter.text,
                thousands(self.filter.kept.len()),
                thousands(all)
            ));
        } else {
            parts.push(count(all, "line"));
        }
        match &self.held {
            Some((_, new)) => parts.push(format!("paused, {} new", thousands(*new))),
            None if self.is_left => parts.push("not following; G does".into()),
            None => {}
        }
        if self.lines.dropped > 0 {
            parts.push(format!("{} not shown", thousands(self.lines.dropped)));
        }
        parts.join("; ")
    }
}

impl App {
    fn journal_height(&self) -> usize {
        self.view_height(1)
    }

    /// New lines came, and so many were left out before them.
    pub(super) fn journal_take(&mut self, notes: VecDeque<Note>, dropped: usize) {
        let gap = (dropped > 0).then_some(Line::Gap(dropped));
        let lines = gap.into_iter().chain(notes.into_iter().map(Line::Note));
        if let Some((held, new)) = &mut self.journal.held {
            for line in lines {
                *new += if let Line::Gap(count) = line { count } else { 1 };
                held.push(line);
            }
            return;
        }
        lines.for_each(|line| self.journal.add(line));
        let height = self.journal_height();
        self.journal.follow(height);
    }

    /// Only lines with this text, while it's typed.
    pub(super) fn journal_filter(&mut self, text: &str) {
        self.journal.set_filter(text);
        let height = self.journal_height();
        self.journal.follow(height);
    }

    /// The text was typed.
    pub(super) fn journal_filter_entered(&mut self, text: &str) {
        self.journal.filter.before = None;
        self.journal_filter(text);
    }

    /// The text was given up: what it was before counts again.
    pub(super) fn journal_filter_left(&mut self) {
        if let Some(before) = self.journal.filter.before.take() {
            self.journal_filter(&before);
        }
    }

    fn journal_pause(&mut self) {
        let Some((held, _)) = self.journal.held.take() else {
            self.journal.held = Some(Default::default());
            return;
        };
        // What was held is less than what came where that was too much.
        let lost = held.first;
        if lost > 0 {
            self.journal.add(Line::Gap(usize::try_from(lost).unwrap_or(usize::MAX)));
        }
        held.lines.into_iter().for_each(|line| self.journal.add(line));
        let height = self.journal_height();
        self.journal.follow(height);
    }

    fn journal_open(&mut self) {
        match self.journal.line(self.journal.list.cursor()).cloned() {
            Some(Line::Note(note)) if note.what == "message" => {
                self.say(format!("a message of the channel {} has no place in the tree", note.place));
            }
            Some(Line::Note(note)) => match Path::parse(&note.place) {
                Ok(path) => self.go(path),
                Err(error) => self.complain(format!("{} can't be gone to: {error}", note.place)),
            },
            Some(Line::Gap(_)) => self.say("more came at once than could be shown here"),
            None => {}
        }
    }

    pub(super) fn journal_act(&mut self, action: Action) {
        let (height, count) = (self.journal_height(), self.journal.count());
        match action {
            Action::Close if self.journal.filter.needle.is_some() => self.journal_filter(""),
            Action::Close => self.show(Screen::Tree),
            Action::Pause => self.journal_pause(),
            Action::Pick => self.journal_open(),
            Action::Find => {
                let text = self.journal.filter.text.clone();
                self.prompt(For::JournalFilter, "filter ", &text);
                self.journal.filter.before = Some(text);
            }
            action => {
                if self.journal.list.act(action, count, height) {
                    self.journal.is_left = self.journal.list.cursor() + 1 < count;
                }
            }
        }
    }

    pub(super) fn journal_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let journal = &self.journal;
        let title = self.look.style(Role::Title);
        put(frame, area, 0, vec![Span::styled(self.look.clean(&journal.said()), title)]);
        let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        if journal.count() == 0 {
            let text = if journal.filter.needle.is_some() {
                "no line has that; / changes the filter, Esc ends it"
            } else {
                "nothing yet: changes and messages of others stand here as they come"
            };
            return put(frame, area, 0, vec![Span::styled(text, self.look.style(Role::Dim))]);
        }
        // Those that came since the last move may have made the screen another one.
        let top = journal.list.top(journal.count(), usize::from(area.height));
        for (line, at) in (0..area.height).zip(top..) {
            let Some(shown) = journal.line(at) else { break };
            self.journal_line(frame, area, line, shown);
            if at == journal.list.cursor() {
                paint(frame, area, line, self.look.style(Role::Cursor));
            }
        }
    }

    fn journal_line(&self, frame: &mut Frame<'_>, area: Rect, line: u16, shown: &Line) {
        let (look, more) = (&self.look, self.look.glyphs.more);
        let note = match shown {
            Line::Note(note) => note,
            Line::Gap(count) => {
                let text = format!("{more} {} not shown", thousands(*count));
                return put(frame, area, line, vec![Span::styled(text, look.style(Role::Warning))]);
            }
        };
        let is_wide = area.width >= WIDE;
        let column = |text: &str, wide| if is_wide { fit(text, wide, more) } else { cut(text, wide, more) };
        let role = match note.what {
            "put" => Role::Added,
            "del" | "rollback" => Role::Removed,
            _ => Role::Marker,
        };
        let mut spans = vec![
            Span::styled(clock(note.time_ms), look.style(Role::Dim)),
            Span::raw(" "),
            Span::styled(column(note.what, 8), look.style(role)),
            Span::raw(" "),
            Span::styled(column(&look.clean(&note.who), 12), look.style(Role::Dim)),
            Span::raw(" "),
        ];
        spans.extend(self.journal_marked(&note.place, Role::Key));
        if !note.text.is_empty() {
            let sign = match note.what {
                "put" => " = ",
                "message" => ": ",
                _ => " ",
            };
            spans.push(Span::styled(sign, look.style(Role::Dim)));
            spans.extend(self.journal_marked(&note.text, Role::Plain));
        }
        put(frame, area, line, spans);
    }

    /// A text with what the filter looks for marked in it.
    fn journal_marked(&self, text: &str, role: Role) -> Vec<Span<'static>> {
        let text = self.look.clean(text);
        let style = self.look.style(role);
        let found = self.journal.filter.needle.as_ref().and_then(|needle| needle.find(&text));
        let parts = found
            .and_then(|found| Some((text.get(..found.start())?, found.as_str(), text.get(found.end()..)?)));
        match parts {
            Some((before, found, after)) => vec![
                Span::styled(before.to_string(), style),
                Span::styled(found.to_string(), style.patch(self.look.style(Role::Match))),
                Span::styled(after.to_string(), style),
            ],
            None => vec![Span::styled(text, style)],
        }
    }
}
