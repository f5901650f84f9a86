//! One of several paths: a root to go to, or a function to call, which is looked for first.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::Form;
use crate::api::route::{Route, Search, Within};
use crate::path::Path;
use crate::tui::app::{App, Screen};
use crate::tui::ask::{Failed, Job, Purpose};
use crate::tui::draw::{boxed, paint, put};
use crate::tui::keys;
use crate::tui::list::List;
use crate::tui::look::{Role, cut};
use crate::tui::model::Shown;
use crate::tui::table::{fit, thousands, width};
use crate::value::Value;

/// Functions that are offered.
const MAX_FOUND: usize = 500;

/// Nodes that one part of the search brings.
const PART: usize = 200;

/// What is done with the one that is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It's gone to.
    Go,
    /// It's called.
    Call,
}

/// A choice.
#[derive(Debug)]
pub(crate) struct Choose {
    title: String,
    /// Paths, and what is said of each: of a function, its text.
    items: Vec<(Path, String)>,
    then: Then,
    list: List,
    /// More may come.
    pub(super) searching: Option<Searching>,
}

/// Where functions are looked for.
#[derive(Debug)]
pub(super) struct Searching {
    /// Whose.
    pub(super) id: String,
    /// Below these roots; the first one is being gone through.
    pub(super) roots: Vec<Path>,
    /// Nodes that were looked at.
    pub(super) looked: usize,
}

impl Choose {
    pub(super) fn new(title: String, items: Vec<(Path, String)>, then: Then) -> Choose {
        Choose { title, items, then, list: List::default(), searching: None }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, app: &App, area: Rect) {
        let (look, more) = (&app.look, app.look.glyphs.more);
        let lines = u16::try_from(self.items.len()).unwrap_or(u16::MAX).saturating_add(3).max(5);
        let inside = boxed(frame, app, area, (app.form_width() + 2, lines), &look.clean(&self.title));
        let height = usize::from(inside.height).saturating_sub(1);
        let room = usize::from(inside.width);
        let column =
            self.items.iter().map(|(path, _)| width(&path.to_string())).max().unwrap_or(0).min(room / 2);
        let top = self.list.top(self.items.len(), height);
        for (line, (at, (path, text))) in (0..).zip(self.items.iter().enumerate().skip(top).take(height)) {
            let path = fit(&look.clean(&path.to_string()), column, more);
            let text = cut(&look.clean(text), room.saturating_sub(column + 3), more);
            let path = Span::styled(format!(" {path}  "), look.style(Role::Key));
            put(frame, inside, line, vec![path, Span::styled(text, look.style(Role::Dim))]);
            if at == self.list.cursor() {
                paint(frame, inside, line, look.style(Role::Cursor));
            }
        }
        let said = match &self.searching {
            Some(searching) => {
                let root = searching.roots.first().map_or(String::new(), Path::to_string);
                format!("looking in {}{more} {} nodes", look.clean(&root), thousands(searching.looked))
            }
            None => "Enter chooses  Esc closes".into(),
        };
        let last = inside.height.saturating_sub(1);
        put(frame, inside, last, vec![Span::styled(said, look.style(Role::Hint))]);
    }
}

impl App {
    /// Looks for functions behind this node, in the first of the roots that are left.
    pub(super) fn form_look(&mut self, after: Option<Path>) {
        let Some(Form::Choose(Choose { searching: Some(searching), .. })) = &self.form else { return };
        let Some(root) = searching.roots.first().cloned() else { return };
        // A plain text is found faster than a regex that would be anchored.
        let search =
            Search { text: "%".into(), within: Within::Values, after, limit: PART, ..Search::default() };
        self.ask(Purpose::Functions(root.clone()), Job::Read(Route::Find { path: root, search }));
    }

    /// What a part of the search found.
    pub(super) fn choose_found(&mut self, root: &Path, outcome: Result<Value, Failed>) {
        let Some(Form::Choose(choose)) = &mut self.form else { return };
        let Some(searching) = choose.searching.as_mut().filter(|s| s.roots.first() == Some(root)) else {
            return;
        };
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failed) => {
                self.form = None;
                return self.complain(failed.to_string());
            }
        };
        let looked = answer.get("looked").and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
        searching.looked += looked.unwrap_or(0);
        let is_seen = !choose.items.is_empty();
        let rows = answer.get("found").and_then(Value::as_list).map_or(&[][..], |rows| rows.items());
        for (path, text) in rows.iter().filter_map(function) {
            if choose.items.len() < MAX_FOUND && choose.items.iter().all(|(known, _)| *known != path) {
                choose.items.push((path, text));
            }
        }
        let next = answer.get("next").and_then(Value::as_str).and_then(|text| Path::parse(text).ok());
        let next = next.filter(|_| choose.items.len() < MAX_FOUND);
        if next.is_none() {
            searching.roots.remove(0);
        }
        if searching.roots.is_empty() {
            self.choose_all_found(is_seen);
        } else {
            self.form_look(next);
        }
    }

    /// Everything was looked at: a choice of one is none, unless it was to be seen before. Then Enter may be on its way,
    /// which is meant to choose and would call.
    fn choose_all_found(&mut self, is_seen: bool) {
        let Some(Form::Choose(choose)) = &mut self.form else { return };
        let id = choose.searching.take().map_or(String::new(), |searching| searching.id);
        match choose.items.as_slice() {
            [] => {
                self.form = None;
                self.complain(format!(
                    "{id} has no functions: below its roots no leaf is of the form %OWNER.FUNC"
                ));
            }
            [_] if !is_seen => self.choose_enter(),
            _ => {}
        }
    }

    pub(super) fn choose_key(&mut self, key: KeyEvent) {
        let height = usize::from(crate::tui::draw::areas(self).body.height).saturating_sub(3);
        let Some(Form::Choose(choose)) = &mut self.form else { return };
        match key.code {
            KeyCode::Enter => self.choose_enter(),
            KeyCode::Char('q') => self.form = None,
            _ => {
                let action = keys::action(Screen::Fleet, None, key);
                if let Some(action) = action {
                    choose.list.act(action, choose.items.len(), height);
                }
            }
        }
    }

    fn choose_enter(&mut self) {
        let Some(Form::Choose(choose)) = &self.form else { return };
        let Some((path, text)) = choose.items.get(choose.list.cursor()).cloned() else { return };
        match choose.then {
            Then::Go => {
                self.form = None;
                self.go(path);
            }
            // The text of one that is too long for a line isn't known.
            Then::Call if text.is_empty() => self.form_read(path),
            Then::Call => self.form_call(path, &text),
        }
    }
}

/// A row of the search, where it's a function: its path, and its text if it's here in full.
fn function(row: &Value) -> Option<(Path, String)> {
    let path = Path::parse(row.get("path")?.as_str()?).ok()?;
    if let Some(text) = row.get("value") {
        let text = text.as_str()?;
        return super::Signature::parse(text).map(|_| (path, text.to_string()));
    }
    Shown::read(row)?.text().starts_with('%').then_some((path, String::new()))
}
