//! The line at the bottom where something is typed: a path, a search, a command, a value.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Effect};
use super::ask::{Failed, Job, Purpose};
use super::keys;
use super::line::Line;
use crate::api::route::{Page, Route};
use crate::path::Path;
use crate::value::Value;

/// Names that are offered at once.
const MAX_OFFERED: usize = 64;

/// What a line is typed for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum For {
    /// A path to go to.
    GoTo,
    /// What to find; as a regex or not.
    Find(bool),
    /// A command.
    Command,
    /// A router of the fleet.
    FleetFind,
    /// What lines of the journal must hold.
    JournalFilter,
    /// Something about a change that is being made.
    Change(super::pending::Typing),
    /// Yes or no.
    Question(Question),
}

/// What a yes does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    /// End, although changes aren't committed.
    Quit,
    /// Commit what was staged.
    Commit,
    /// Make this version of the root the present one.
    Rollback(crate::path::Key, i64),
    /// Throw what was staged away.
    Discard,
    /// Open the editor once more, with a text that isn't right yet.
    EditAgain,
}

/// The line and what it's for.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) what: For,
    pub(super) label: String,
    pub(super) line: Line,
    /// Names that the path may go on with.
    pub(super) offered: Vec<String>,
    /// What is wrong with what stands there, or what it would mean.
    pub(super) note: String,
    /// The completion that is waited for: what is typed on isn't what was asked about.
    number: Option<u32>,
    /// Which of the earlier lines is shown, from the newest.
    earlier: Option<usize>,
}

impl Prompt {
    /// An empty line for this, or one with something to begin with.
    pub(super) fn new(what: For, label: impl Into<String>, text: &str) -> Prompt {
        Prompt {
            what,
            label: label.into(),
            line: Line::new(text),
            offered: Vec::new(),
            note: String::new(),
            number: None,
            earlier: None,
        }
    }
}

impl Prompt {
    /// Whether it's a yes or no that is asked for.
    pub(super) fn is_question(&self) -> bool {
        matches!(self.what, For::Question(_))
    }

    /// Its completion isn't waited for any more.
    pub(super) fn forget_question(&mut self) {
        self.number = None;
    }
}

impl App {
    /// Opens a line to type into.
    pub(super) fn prompt(&mut self, what: For, label: impl Into<String>, text: &str) {
        self.prompt = Some(Prompt::new(what, label, text));
        self.message = None;
    }

    pub(super) fn confirm_quit(&mut self) {
        let label = format!("{} changes aren't committed. End without them? y/n ", self.pending.len());
        self.prompt(For::Question(Question::Quit), label, "");
    }

    pub(super) fn prompt_key(&mut self, key: KeyEvent) {
        let Some(prompt) = &mut self.prompt else { return };
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        if let For::Question(question) = &prompt.what {
            let question = question.clone();
            // What is asked about can be looked through first.
            if let (Question::Rollback(..), Some(action)) = (&question, keys::action(self.screen, None, key))
                && self.history_look(action)
            {
                return;
            }
            self.prompt = None;
            if key.code == KeyCode::Char('y') && key.modifiers.is_empty() {
                self.yes(question);
            } else {
                self.say("nothing done");
            }
            return;
        }
        match key.code {
            KeyCode::Esc => self.prompt_left(),
            KeyCode::Char('c' | 'g') if ctrl => self.prompt_left(),
            KeyCode::Char('z') if ctrl => self.effect(Effect::Suspend),
            KeyCode::Enter => {
                // What won't do stays there, with the reason beside it.
                if matches!(prompt.what, For::Change(_)) && !self.pending_fits() {
                    return;
                }
                if let Some(prompt) = self.prompt.take() {
                    self.submit(prompt);
                }
            }
            KeyCode::Tab => self.complete(),
            KeyCode::Up if matches!(prompt.what, For::Command) => self.earlier(1),
            KeyCode::Down if matches!(prompt.what, For::Command) => self.earlier(-1),
            KeyCode::Char('r') if ctrl && matches!(prompt.what, For::Find(_)) => self.find_regex(),
            KeyCode::Char('t') if ctrl && matches!(prompt.what, For::Change(_)) => self.pending_turn(),
            _ => {
                if prompt.line.key(key) {
                    self.prompt_typed();
                }
            }
        }
    }

    fn yes(&mut self, question: Question) {
        match question {
            Question::Quit => self.effect(Effect::Quit),
            Question::Commit => self.pending_commit(),
            Question::Rollback(root, version) => self.history_roll_back(root, version),
            Question::Discard => self.pending_discard(),
            Question::EditAgain => self.pending_edit_again(),
        }
    }

    fn prompt_left(&mut self) {
        let Some(prompt) = self.prompt.take() else { return };
        match prompt.what {
            For::Find(_) => self.find_left(),
            For::FleetFind => self.fleet_left(),
            For::JournalFilter => self.journal_filter_left(),
            _ => {}
        }
    }

    fn submit(&mut self, prompt: Prompt) {
        let text = prompt.line.text();
        match prompt.what {
            For::GoTo => self.go_to_text(&text),
            For::Find(_) => self.find_entered(),
            For::Command => self.command_entered(&text),
            For::JournalFilter => self.journal_filter_entered(&text),
            For::Change(typing) => self.pending_entered(typing, &text),
            For::FleetFind | For::Question(_) => {}
        }
    }

    /// Something was typed.
    pub(super) fn prompt_typed(&mut self) {
        let Some(prompt) = &mut self.prompt else { return };
        prompt.offered.clear();
        prompt.note.clear();
        prompt.number = None;
        match &prompt.what {
            For::Find(regex) => {
                let (text, regex) = (prompt.line.text(), *regex);
                self.find_typed(&text, regex);
            }
            For::FleetFind => {
                let text = prompt.line.text();
                self.fleet_typed(&text);
            }
            For::JournalFilter => {
                let text = prompt.line.text();
                self.journal_filter(&text);
            }
            For::Change(_) => self.pending_typed(),
            _ => {}
        }
    }

    /// Tab: asks for names that the path may go on with, or offers verbs.
    fn complete(&mut self) {
        let Some(prompt) = &mut self.prompt else { return };
        let before = prompt.line.before();
        let word = match prompt.what {
            For::GoTo => before.as_str(),
            For::Command => match before.rsplit_once(' ') {
                Some((_, word)) if !word.starts_with('-') => word,
                _ => return self.complete_verb(),
            },
            _ => return,
        };
        let Some((above, begun)) = split(word) else { return };
        self.completions = self.completions.wrapping_add(1);
        prompt.number = Some(self.completions);
        let page = Page { prefix: begun, limit: MAX_OFFERED, ..Page::default() };
        let purpose = Purpose::Complete(self.completions);
        self.ask(purpose, Job::Read(Route::List { path: above, page }));
    }

    /// Offers verbs, and the options of one.
    fn complete_verb(&mut self) {
        let Some(prompt) = &mut self.prompt else { return };
        let before = prompt.line.before();
        let (names, word): (Vec<String>, &str) = match before.split_once(' ') {
            None => (self.verbs.iter().map(|verb| verb.name.to_string()).collect(), &before),
            Some((name, rest)) => {
                let options =
                    self.verbs.iter().filter(|verb| verb.name == name).flat_map(|verb| &verb.options);
                let word = rest.rsplit(' ').next().unwrap_or("");
                (options.map(|option| format!("--{option}")).collect(), word)
            }
        };
        let names: Vec<String> = names.into_iter().filter(|name| name.starts_with(word)).collect();
        let word = word.to_string();
        finish(prompt, &word, names, " ");
    }

    pub(super) fn prompt_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        let Some(prompt) = &mut self.prompt else { return };
        if prompt.number.take_if(|number| purpose == Purpose::Complete(*number)).is_none() {
            return;
        }
        let before = prompt.line.before();
        let word =
            if prompt.what == For::Command { before.rsplit(' ').next().unwrap_or("") } else { &before };
        let Some((above, _)) = split(word) else { return };
        let rows = outcome.as_ref().ok().and_then(|page| page.get("rows")).and_then(Value::as_list);
        let name = |row: &Value| {
            let path = above.join(row.get("key")?.as_str()?).ok()?;
            Some(path.to_string() + if row.get("count").is_some() { "." } else { "" })
        };
        let names: Vec<String> = rows.map_or(&[][..], |rows| rows.items()).iter().filter_map(name).collect();
        if names.is_empty() {
            prompt.note = match outcome {
                Err(failed) => failed.to_string(),
                Ok(_) => "nothing begins like that".into(),
            };
            return;
        }
        let word = word.to_string();
        finish(prompt, &word, names, "");
    }

    /// An earlier command line: `by` further back.
    fn earlier(&mut self, by: isize) {
        let lines = self.output.earlier();
        let Some(prompt) = &mut self.prompt else { return };
        let at = prompt.earlier.map_or(-1, |at| isize::try_from(at).unwrap_or(0)) + by;
        prompt.earlier =
            usize::try_from(at).ok().filter(|at| *at < lines.len()).or(prompt.earlier.filter(|_| at >= 0));
        let line = prompt.earlier.and_then(|at| lines.iter().rev().nth(at));
        prompt.line = Line::new(line.map_or("", String::as_str));
    }
}

/// Puts what all names begin with in place of the word before the cursor, and offers them where there are several.
fn finish(prompt: &mut Prompt, word: &str, names: Vec<String>, end: &str) {
    let Some(first) = names.first() else { return };
    let common = names.iter().skip(1).fold(first.as_str(), |common, name| {
        let same = common.char_indices().zip(name.chars()).find(|((_, a), b)| a != b);
        let most = common.len().min(name.len());
        common.get(..same.map_or(most, |((at, _), _)| at)).unwrap_or("")
    });
    let whole = if names.len() == 1 { format!("{common}{end}") } else { common.to_string() };
    // Where a name has to be quoted, what was typed isn't a part of it.
    if whole.len() >= word.len() || names.len() == 1 {
        let (before, text) = (prompt.line.before(), prompt.line.text());
        let after = text.get(before.len()..).unwrap_or_default().to_string();
        let kept = before.get(..before.len() - word.len()).unwrap_or_default().to_string();
        prompt.line = Line::new(&format!("{kept}{whole}"));
        prompt.line.insert_behind(&after);
    }
    prompt.offered = if names.len() > 1 { names } else { Vec::new() };
}

/// A path that is being typed: what stands above its last key, and how that begins.
fn split(text: &str) -> Option<(Path, String)> {
    let (mut quoted, mut escaped, mut last) = (false, false, None);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '.' if !quoted && !text.starts_with('/') => last = Some(at),
            '[' if !quoted => last = Some(at),
            '/' if text.starts_with('/') => last = Some(at),
            _ => {}
        }
    }
    let Some(at) = last else { return Some((Path::TOP, text.to_string())) };
    let (above, begun) = (text.get(..at)?, text.get(at + 1..)?);
    let above = if above.is_empty() { Path::TOP } else { Path::parse(above).ok()? };
    Some((above, begun.trim_start_matches('"').to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_being_typed_has_a_part_above_and_a_beginning() {
        for (text, above, begun) in [
            ("", "", ""),
            ("la", "", "la"),
            ("lan.", "lan", ""),
            ("lan.ip", "lan", "ip"),
            ("lan.hosts[\"192.168", "lan.hosts", "192.168"),
            ("lan.hosts[\"a.b\"].ma", "lan.hosts[\"a.b\"]", "ma"),
            ("/lan/hosts/192.168.1", "lan.hosts", "192.168.1"),
            ("/la", "", "la"),
        ] {
            let (path, rest) = split(text).unwrap();
            assert_eq!((path.to_string().as_str(), rest.as_str()), (above, begun), "{text}");
        }
        assert_eq!(split("a..b"), None);
    }

    #[test]
    fn what_all_names_begin_with_is_filled_in() {
        for (typed, names, line, offered) in [
            ("la", &["lan."][..], "lan.", 0),
            ("lan.i", &["lan.ip", "lan.ipv6"], "lan.ip", 2),
            ("get la", &["lan.", "lab."], "get la", 2),
            ("h[\"a", &["h[\"a.b\"]."], "h[\"a.b\"].", 0),
        ] {
            let mut prompt = Prompt::new(For::GoTo, "", typed);
            let word = typed.rsplit(' ').next().unwrap();
            finish(&mut prompt, word, names.iter().map(|name| name.to_string()).collect(), "");
            assert_eq!((prompt.line.text().as_str(), prompt.offered.len()), (line, offered));
        }
    }
}
