//! Find: what was typed is looked for at the server, part by part, and the cursor goes to the first match while more come.

use regex_lite::Regex;

use super::app::App;
use super::ask::{Failed, Job, Purpose};
use super::keys::Action;
use super::list::List;
use super::model::Shown;
use super::prompt::For;
use crate::api::route::{Route, Search};
use crate::path::Path;
use crate::value::Value;

/// Matches that are held.
pub(super) const MAX_FOUND: usize = 10_000;

/// Matches that one part brings.
const PART: usize = 200;

/// Milliseconds without a key before the cursor goes to the first match: what is unfolded on the way stays so.
const PAUSE: u64 = 250;

/// A node that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Where.
    pub path: Path,
    /// What.
    pub shown: Shown,
}

/// The search.
#[derive(Debug, Default)]
pub(super) struct Find {
    number: u32,
    text: String,
    regex: bool,
    /// What marks the matches.
    marks: Option<Regex>,
    found: Vec<Found>,
    /// The search is under way.
    running: bool,
    looked: usize,
    /// The match that the cursor went to.
    at: Option<usize>,
    /// Where the cursor was when the search began.
    from: Path,
    jump_at: Option<u64>,
    /// Only matches are shown, as a list.
    pub(super) list: Option<List>,
    /// Why it didn't work.
    failed: Option<String>,
}

impl Find {
    /// Whether the list of matches stands where the tree does.
    pub(super) fn is_shown(&self) -> bool {
        self.list.is_some()
    }

    /// The matches so far.
    pub(super) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Where a text matches, in bytes.
    pub(super) fn marks(&self, text: &str) -> Option<(usize, usize)> {
        let found = self.marks.as_ref()?.find(text)?;
        (!found.is_empty()).then(|| (found.start(), found.end()))
    }

    /// How it's going, in a few words; empty: nothing is looked for.
    pub(super) fn said(&self) -> String {
        if self.text.is_empty() {
            return String::new();
        }
        if let Some(why) = &self.failed {
            return why.clone();
        }
        let count = self.found.len();
        let at = self.at.map_or(String::new(), |at| format!("{} of ", at + 1));
        let more = match (self.running, count >= MAX_FOUND) {
            (true, _) => format!(", {} nodes looked at", self.looked),
            (_, true) => " and more".into(),
            _ => String::new(),
        };
        format!("{at}{count} found{more}")
    }
}

impl App {
    pub(super) fn find_begin(&mut self) {
        self.find.from = self.tree.cursor.clone();
        let regex = self.find.regex;
        self.prompt(For::Find(regex), label(regex), "");
    }

    /// Turns between text and regex.
    pub(super) fn find_regex(&mut self) {
        let Some(prompt) = &mut self.prompt else { return };
        let For::Find(regex) = &mut prompt.what else { return };
        *regex = !*regex;
        let (regex, text) = (*regex, prompt.line.text());
        prompt.label = label(regex).into();
        self.find_typed(&text, regex);
    }

    pub(super) fn find_typed(&mut self, text: &str, regex: bool) {
        let find = &mut self.find;
        (find.text, find.regex) = (text.into(), regex);
        find.number = find.number.wrapping_add(1);
        (find.found, find.at, find.looked, find.failed) = (Vec::new(), None, 0, None);
        find.list = find.list.take().map(|_| List::default());
        find.marks = marks(text, regex);
        find.running = !text.is_empty();
        find.jump_at = find.running.then_some(self.now + PAUSE);
        if find.running {
            self.find_more(None);
        }
    }

    fn find_more(&mut self, after: Option<Path>) {
        let Find { number, text, regex, .. } = &self.find;
        let search = Search { text: text.clone(), regex: *regex, after, limit: PART, ..Search::default() };
        let purpose = Purpose::Search(*number);
        self.ask(purpose, Job::Read(Route::Find { path: Path::TOP, search }));
    }

    pub(super) fn find_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        if purpose != Purpose::Search(self.find.number) {
            return;
        }
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failed) => {
                (self.find.running, self.find.failed) = (false, Some(failed.to_string()));
                return;
            }
        };
        let rows = answer.get("found").and_then(Value::as_list).map_or(&[][..], |rows| rows.items());
        let read = |row: &Value| {
            let path = Path::parse(row.get("path")?.as_str()?).ok()?;
            Some(Found { path, shown: Shown::read(row)? })
        };
        let room = MAX_FOUND.saturating_sub(self.find.found.len());
        self.find.found.extend(rows.iter().filter_map(read).take(room));
        let looked = answer.get("looked").and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
        self.find.looked += looked.unwrap_or(0);
        let next = answer.get("next").and_then(Value::as_str).and_then(|text| Path::parse(text).ok());
        match next.filter(|_| self.find.found.len() < MAX_FOUND) {
            Some(after) => self.find_more(Some(after)),
            None => self.find.running = false,
        }
    }

    pub(super) fn find_tick(&mut self) {
        let due = self.find.jump_at.is_some_and(|at| at <= self.now);
        // The next one from where the search began; while the server still looks, it may be yet to come.
        let here = self.find.found.iter().position(|found| found.path >= self.find.from);
        let found = here.or_else(|| (!self.find.running && !self.find.found.is_empty()).then_some(0));
        if due
            && !self.find.is_shown()
            && let Some(at) = found
        {
            self.find.jump_at = None;
            self.find_go(at);
        } else if due && !self.find.running {
            self.find.jump_at = None;
        }
    }

    fn find_go(&mut self, at: usize) {
        let Some(path) = self.find.found.get(at).map(|found| found.path.clone()) else { return };
        self.find.at = Some(at);
        self.go(path);
    }

    /// Enter in the prompt.
    pub(super) fn find_entered(&mut self) {
        if self.find.jump_at.is_some() {
            self.find.jump_at = Some(self.now);
        }
        if !self.find.running && self.find.found.is_empty() && !self.find.text.is_empty() {
            let said =
                self.find.failed.clone().unwrap_or_else(|| format!("{:?} isn't found", self.find.text));
            self.complain(said);
        }
    }

    /// Esc in the prompt: back to where it began.
    pub(super) fn find_left(&mut self) {
        let from = self.find.from.clone();
        self.find_forget();
        if !from.is_empty() {
            self.go(from);
        }
    }

    fn find_forget(&mut self) {
        let (number, regex) = (self.find.number.wrapping_add(1), self.find.regex);
        self.find = Find { number, regex, ..Find::default() };
    }

    /// Leaves the search. False: there's none.
    pub(super) fn find_close(&mut self) -> bool {
        let is_any = !self.find.text.is_empty();
        if self.find.list.take().is_none() && is_any {
            self.find_forget();
        }
        is_any
    }

    /// The tree is to be seen again.
    pub(super) fn find_show_tree(&mut self) {
        self.find.list = None;
    }

    /// The next match, or the one before.
    pub(super) fn find_step(&mut self, by: isize) {
        let count = self.find.found.len();
        if count == 0 {
            return self.say(if self.find.text.is_empty() {
                "nothing is looked for; / finds"
            } else {
                "no match"
            });
        }
        let cursor = &self.tree.cursor;
        let behind = self.find.found.partition_point(|found| found.path <= *cursor);
        let before = self.find.found.partition_point(|found| found.path < *cursor);
        let at = if by > 0 { behind % count } else { (before + count - 1) % count };
        self.find_go(at);
    }

    /// Only matches, or the tree again.
    pub(super) fn find_filter(&mut self) {
        if self.find.list.take().is_some() {
            return;
        }
        if self.find.text.is_empty() {
            return self.find_begin();
        }
        self.find.list = Some(List::at(self.find.at.unwrap_or(0)));
    }

    /// An action where the list of matches is shown. False: it isn't for the list.
    pub(super) fn find_list_act(&mut self, action: Action) -> bool {
        let (height, count) = (self.tree_height(), self.find.found.len());
        let Some(list) = &mut self.find.list else { return false };
        if list.act(action, count, height) {
            self.find.at = Some(list.cursor());
            return true;
        }
        match action {
            Action::Close | Action::Filter => self.find.list = None,
            Action::Find => self.find_begin(),
            Action::Quit | Action::Help => return false,
            // Whatever else is to be done with a match is done in the tree.
            _ => {
                let at = list.cursor();
                self.find_go(at);
            }
        }
        true
    }
}

fn label(regex: bool) -> &'static str {
    if regex { "find regex " } else { "find " }
}

/// What marks matches on the screen: as the server finds them, in any case unless there's an upper-case letter.
pub(super) fn marks(text: &str, regex: bool) -> Option<Regex> {
    if text.is_empty() {
        return None;
    }
    let pattern = if regex { text.to_string() } else { regex_lite::escape(text) };
    let any_case = !regex && !text.chars().any(char::is_uppercase);
    Regex::new(&if any_case { format!("(?i){pattern}") } else { pattern }).ok()
}
