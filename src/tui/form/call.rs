//! A call: its fields, and what came of it.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::Form;
use super::signature::{Signature, words};
use crate::api::error::exit_code;
use crate::api::route::Route;
use crate::path::{Key, Path};
use crate::tui::app::App;
use crate::tui::ask::{Failed, Job, Purpose};
use crate::tui::draw::{boxed, put};
use crate::tui::line::Line;
use crate::tui::look::{Role, cut};
use crate::tui::table::{count, fit, width};
use crate::value::Value;
use crate::words::{call_body, identifier, value};

/// The exit code of what may have happened or not: the one table of refusals says which those are.
const UNKNOWN: u8 = 6;

/// Lines of a result that are kept.
const MAX_LINES: usize = 10_000;

/// The widest label.
const MAX_LABEL: usize = 20;

/// A field.
#[derive(Debug)]
struct Field {
    label: String,
    /// By which it goes where it doesn't go by its place.
    name: Option<String>,
    /// It has a default, and goes by name.
    optional: bool,
    line: Line,
}

/// What came of a call.
#[derive(Debug)]
struct Outcome {
    said: String,
    bad: bool,
    /// As it's shown.
    lines: Vec<String>,
    /// As it's copied.
    text: String,
}

/// A call that is being filled in, under way, or answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) path: Path,
    signature: Signature,
    /// One for each argument, and the line for more.
    fields: Vec<Field>,
    /// The field that is typed into; behind the last one, what came of the call.
    focus: usize,
    /// What is wrong with what was typed.
    note: String,
    /// When it was called, while the answer is awaited.
    since: Option<u64>,
    outcome: Option<Outcome>,
    /// The first line of what came of it that is shown.
    top: usize,
}

impl Call {
    pub(super) fn new(path: Path, signature: Signature) -> Call {
        let mut fields: Vec<Field> = signature
            .parameters
            .iter()
            .map(|parameter| Field {
                label: parameter.label.clone(),
                name: parameter.name.clone(),
                optional: parameter.default.is_some(),
                line: Line::new(parameter.default.as_deref().unwrap_or_default()),
            })
            .collect();
        let label = if fields.is_empty() { "arguments" } else { "more" };
        fields.push(Field { label: label.into(), name: None, optional: true, line: Line::default() });
        Call { path, signature, fields, focus: 0, note: String::new(), since: None, outcome: None, top: 0 }
    }

    /// Whether an answer is awaited.
    pub(super) fn is_under_way(&self) -> bool {
        self.since.is_some()
    }

    /// Whether an answer to the call of this time is.
    pub(super) fn is_of(&self, number: u64) -> bool {
        self.since == Some(number)
    }

    pub(super) fn paste(&mut self, text: &str) {
        if let Some(field) = self.fields.get_mut(self.focus) {
            field.line.insert(text);
            self.note.clear();
        }
    }

    /// The arguments; or the field that is wrong, and why.
    fn body(&self) -> Result<Value, (usize, String)> {
        let mut args = Vec::new();
        let mut kwargs: Vec<(Key, Value)> = Vec::new();
        // The first field without a value: what comes behind it can't go by its place.
        let mut gap = None;
        let more = self.fields.len().saturating_sub(1);
        for (at, field) in self.fields.iter().enumerate().take(more) {
            let text = field.line.text();
            let text = text.trim();
            let wrong = |why| (at, format!("{}: {why}", field.label));
            if text.is_empty() {
                gap = gap.or(Some(at).filter(|_| !field.optional));
                continue;
            }
            let given = value(text).map_err(wrong)?;
            match (&field.name, field.optional || gap.is_some()) {
                (Some(name), true) => kwargs.push((name.as_str().into(), given)),
                (None, true) => return Err((gap.unwrap_or(at), "this one must be filled in first".into())),
                (_, false) => args.push(given),
            }
        }
        for word in self.fields.last().map(|field| words(&field.line.text())).unwrap_or_default() {
            let wrong = |why| (more, format!("{word}: {why}"));
            match word.split_once('=') {
                Some((name, text)) if identifier(name) => {
                    kwargs.push((name.into(), value(text).map_err(wrong)?));
                }
                _ => {
                    if let Some(at) = gap {
                        return Err((at, format!("{word} has no place while this one is empty")));
                    }
                    args.push(value(&word).map_err(wrong)?);
                }
            }
        }
        call_body(args, kwargs).map_err(|why| (more, why))
    }

    /// What came of it, on lines of this width.
    pub(super) fn came_of_it(&mut self, outcome: Result<Value, Failed>, now: u64, columns: u16) {
        let took = now.saturating_sub(self.since.take().unwrap_or(now));
        let (said, bad, text) = match outcome {
            Ok(answer) => {
                let result = answer.get("result").cloned().unwrap_or(Value::Null);
                let said = format!("answered after {}.{} s", took / 1_000, took % 1_000 / 100);
                (said, false, result.to_pretty())
            }
            Err(failed) => {
                let (said, why) = failure(&failed);
                (said.to_string(), true, why)
            }
        };
        let lines = text.lines().flat_map(|line| wrapped(line, columns.into())).take(MAX_LINES).collect();
        self.outcome = Some(Outcome { said, bad, lines, text });
        self.top = 0;
    }

    fn move_by(&mut self, by: isize) {
        let count = self.fields.len() + usize::from(self.outcome.is_some());
        let at = self.focus as isize + by + count as isize;
        self.focus = at as usize % count.max(1);
    }

    fn scroll(&mut self, by: isize) {
        let last = self.outcome.as_ref().map_or(0, |outcome| outcome.lines.len().saturating_sub(1));
        self.top = self.top.saturating_add_signed(by).min(last);
    }

    /// Lines of what came of it.
    fn lines(&self) -> &[String] {
        self.outcome.as_ref().map_or(&[][..], |outcome| &outcome.lines)
    }
}

/// A line in pieces of at most so many characters.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    if chars.is_empty() {
        return vec![String::new()];
    }
    chars.chunks(columns.max(1)).map(|piece| piece.iter().collect()).collect()
}

/// What became of a call that has no result, and why.
pub(super) fn failure(failed: &Failed) -> (&'static str, String) {
    match failed {
        Failed::Refused(refusal) => {
            let said = match refusal.code {
                "rpc_failed" => "it failed",
                "internal" => "it's unknown whether it happened",
                code if exit_code(code) == UNKNOWN => "it's unknown whether it happened",
                _ => "it did not happen",
            };
            (said, refusal.message.clone())
        }
        Failed::NotReached(why) => ("it did not happen", why.clone()),
        Failed::Unknown(why) => ("it's unknown whether it happened", why.clone()),
    }
}

impl App {
    pub(super) fn call_key(&mut self, key: KeyEvent) {
        let Some(Form::Call(call)) = &mut self.form else { return };
        let is_field = call.focus < call.fields.len();
        match key.code {
            KeyCode::Enter => self.call_now(),
            KeyCode::Tab => call.move_by(1),
            KeyCode::BackTab => call.move_by(-1),
            KeyCode::PageDown => call.scroll(10),
            KeyCode::PageUp => call.scroll(-10),
            KeyCode::Down if is_field => call.move_by(1),
            KeyCode::Up if is_field || call.top == 0 => call.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') if !is_field => call.scroll(1),
            KeyCode::Up | KeyCode::Char('k') => {
                if is_field {
                    self.call_typed(key);
                } else {
                    call.scroll(-1);
                }
            }
            KeyCode::Char('y') if !is_field => {
                let text = call.outcome.as_ref().map_or(String::new(), |outcome| outcome.text.clone());
                self.copy(text, "the result");
            }
            _ => self.call_typed(key),
        }
    }

    fn call_typed(&mut self, key: KeyEvent) {
        let Some(Form::Call(call)) = &mut self.form else { return };
        if let Some(field) = call.fields.get_mut(call.focus)
            && field.line.key(key)
        {
            call.note.clear();
        }
    }

    fn call_now(&mut self) {
        let Some(Form::Call(call)) = &mut self.form else { return };
        if call.is_under_way() {
            return;
        }
        match call.body() {
            Ok(body) => {
                (call.since, call.outcome, call.top) = (Some(self.now), None, 0);
                call.focus = call.focus.min(call.fields.len().saturating_sub(1));
                let path = call.path.clone();
                let route = Route::Rpc { by: Some(self.by.clone()), path: path.clone() };
                // Nobody knows what the function does: it's called once.
                self.ask(Purpose::Call(path, self.now), Job::Once(route, Some(body)));
            }
            Err((at, why)) => (call.focus, call.note) = (at, why),
        }
    }
}

impl Call {
    pub(super) fn draw(&self, frame: &mut Frame<'_>, app: &App, area: Rect) {
        let look = &app.look;
        let wanted = 1 + self.fields.len() + self.lines().len() + usize::from(self.outcome.is_some());
        let height = u16::try_from(wanted).unwrap_or(u16::MAX).saturating_add(3);
        let title = format!("call {}", look.clean(&self.path.to_string()));
        let inside = boxed(frame, app, area, (app.form_width() + 2, height), &title);
        let all = usize::from(inside.height).saturating_sub(1);
        // What came of it has some lines even where the fields would fill the box.
        let below = self.lines().len().min((all / 2).max(1));
        let above = (self.fields.len() + 1).min(all.saturating_sub(below));
        let part = |from: usize, lines: usize| Rect {
            y: inside.y + u16::try_from(from).unwrap_or(0),
            height: u16::try_from(lines).unwrap_or(0),
            ..inside
        };
        self.draw_fields(frame, app, part(0, above));
        self.draw_lines(frame, app, part(above, all - above));
        let (said, role) = self.said(app);
        let said = cut(&look.clean(&said), inside.width.into(), look.glyphs.more);
        put(frame, inside, inside.height.saturating_sub(1), vec![Span::styled(said, look.style(role))]);
    }

    /// What the function says of itself, and the fields: as many as there's room for, the one that is typed into among them.
    fn draw_fields(&self, frame: &mut Frame<'_>, app: &App, area: Rect) {
        let (look, more) = (&app.look, app.look.glyphs.more);
        let skip = (self.focus.min(self.fields.len() - 1) + 2).saturating_sub(area.height.into());
        let labels = self.fields.iter().map(|field| width(&look.clean(&field.label))).max().unwrap_or(0);
        let labels = labels.min(MAX_LABEL);
        for (line, at) in (0..area.height).zip(skip..) {
            let Some(at) = at.checked_sub(1) else {
                let text = format!("{} serves {}", self.signature.owner, self.signature.function);
                let text = cut(&look.clean(&text), area.width.into(), more);
                put(frame, area, line, vec![Span::styled(text, look.style(Role::Dim))]);
                continue;
            };
            let Some(field) = self.fields.get(at) else { break };
            let is_here = at == self.focus;
            let sign = if is_here { look.glyphs.folded } else { " " };
            let label = format!("{sign} {}  ", fit(&look.clean(&field.label), labels, more));
            let role = if is_here { Role::Title } else { Role::Key };
            let room = usize::from(area.width).saturating_sub(width(&label) + 1);
            let (text, before) = field.line.window(room.max(1));
            let cursor = width(&look.clean(&before));
            let column = u16::try_from(width(&label) + cursor).unwrap_or(u16::MAX);
            let is_last = at + 1 == self.fields.len();
            let hint = if is_last && field.line.is_empty() {
                "VALUE or NAME=VALUE, several with spaces between"
            } else {
                ""
            };
            let hint = Span::styled(cut(hint, room, more), look.style(Role::Hint));
            put(
                frame,
                area,
                line,
                vec![Span::styled(label, look.style(role)), Span::raw(look.clean(&text)), hint],
            );
            if is_here {
                frame.set_cursor_position((area.x + column.min(area.width.saturating_sub(1)), area.y + line));
            }
        }
    }

    fn draw_lines(&self, frame: &mut Frame<'_>, app: &App, area: Rect) {
        let Some(outcome) = &self.outcome else { return };
        let (look, more) = (&app.look, app.look.glyphs.more);
        let is_here = self.focus >= self.fields.len();
        let height = usize::from(area.height);
        // An empty line above it, where there's one to spare.
        let (from, room) = if height > outcome.lines.len() { (1, height - 1) } else { (0, height) };
        let top = self.top.min(outcome.lines.len().saturating_sub(room));
        for (line, text) in (from..area.height).zip(outcome.lines.iter().skip(top)) {
            let sign = if is_here { app.look.glyphs.vertical } else { "" };
            let text =
                cut(&look.clean(text), usize::from(area.width).saturating_sub(sign.len().min(1)), more);
            let role = if outcome.bad { Role::Warning } else { Role::Plain };
            put(
                frame,
                area,
                line,
                vec![Span::styled(sign, look.style(Role::Title)), Span::styled(text, look.style(role))],
            );
        }
        let rest = outcome.lines.len().saturating_sub(top + room);
        if rest > 0 {
            let text = format!(" {} ", count(rest, "more line"));
            let last = area.height.saturating_sub(1);
            crate::tui::draw::put_right(frame, area, last, vec![Span::styled(text, look.style(Role::Hint))]);
        }
    }

    /// The last line: what is wrong, what is awaited, what came of it, what keys do.
    fn said(&self, app: &App) -> (String, Role) {
        if !self.note.is_empty() {
            return (format!("! {}", self.note), Role::Warning);
        }
        if let Some(since) = self.since {
            let seconds = app.now.saturating_sub(since) / 1_000;
            return (format!("calling{} {seconds} s  Esc leaves it", app.look.glyphs.more), Role::Marker);
        }
        match &self.outcome {
            Some(outcome) if outcome.bad => (format!("! {}  Enter calls again", outcome.said), Role::Warning),
            Some(outcome) if self.focus < self.fields.len() => {
                (format!("{}  Enter calls again", outcome.said), Role::Title)
            }
            Some(_) => ("j k scroll  y copies  Enter calls again".into(), Role::Hint),
            None => ("Enter calls  Tab next  Esc closes".into(), Role::Hint),
        }
    }
}
