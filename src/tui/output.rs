//! The command line, and what the last command printed.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::app::{App, Screen};
use super::ask::{Failed, Job, Purpose};
use super::draw::{areas, paint, put};
use super::keys::Action;
use super::list::List;
use super::look::{Role, cut};
use super::prompt::For;
use crate::value::Value;
use crate::words;

/// Command lines that are remembered.
const MAX_EARLIER: usize = 200;

/// Lines of output that are shown.
const MAX_LINES: usize = 20_000;

/// A verb of the command line.
#[derive(Clone, Debug)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub args: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its options, without the dashes.
    pub options: Vec<&'static str>,
}

/// What the last command printed, and what was typed before.
#[derive(Debug, Default)]
pub(super) struct Output {
    earlier: VecDeque<String>,
    /// The command that was run last.
    command: String,
    running: bool,
    /// Its lines, and whether each went to standard error.
    lines: Vec<(String, bool)>,
    exit: Option<i64>,
    list: List,
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
    pub(super) fn command_entered(&mut self, text: &str) {
        let text = text.trim();
        let mut words = match words::split(text) {
            Ok(words) => words,
            Err(why) => return self.complain(format!("{text}: {why}")),
        };
        // As they would be typed in a shell.
        if words.first().is_some_and(|word| word == "tega") {
            words.remove(0);
        }
        let Some(name) = words.first().cloned() else { return };
        self.output.earlier.retain(|line| line != text);
        if self.output.earlier.len() >= MAX_EARLIER {
            self.output.earlier.pop_front();
        }
        self.output.earlier.push_back(text.into());
        match name.as_str() {
            "q" | "quit" | "exit" => return self.act(Action::Quit),
            "h" => return self.act(Action::Help),
            _ => {}
        }
        let Some(verb) = self.verbs.iter().find(|verb| verb.name == name) else {
            let names: Vec<&str> = self.verbs.iter().map(|verb| verb.name).collect();
            return self.complain(format!("no verb {name} here: {}", names.join(" ")));
        };
        if self.output.running {
            return self.complain(format!("{} is still running", self.output.command));
        }
        if verb.options.contains(&"id")
            && !words.iter().any(|word| word == "--id" || word.starts_with("--id="))
        {
            words.insert(1, format!("--id={}", self.by));
        }
        (self.output.command, self.output.running) = (text.into(), true);
        self.say(format!("{text}: running"));
        self.ask(Purpose::Command, Job::Run(words));
    }

    pub(super) fn output_reply(&mut self, outcome: Result<Value, Failed>) {
        self.output.running = false;
        self.message = None;
        self.all_stale();
        let told = match outcome {
            Ok(told) => told,
            Err(failed) => return self.complain(format!("{}: {failed}", self.output.command)),
        };
        let text = |name| told.get(name).and_then(Value::as_str).unwrap_or_default();
        let lines = |name, is_error: bool| text(name).lines().map(move |line| (line.to_string(), is_error));
        let all: Vec<(String, bool)> =
            lines("err", true).chain(lines("out", false)).take(MAX_LINES).collect();
        let exit = told.get("exit").and_then(Value::as_int);
        // A short answer doesn't need a screen of its own.
        match (all.as_slice(), exit) {
            ([], Some(0)) => self.say(format!("{}: done", self.output.command)),
            ([(line, _)], Some(0)) => self.say(format!("{}: {line}", self.output.command)),
            ([(line, _)], _) => self.complain(line.clone()),
            _ => {
                self.output =
                    Output { lines: all, exit, list: List::default(), ..std::mem::take(&mut self.output) };
                self.show(Screen::Output);
            }
        }
    }

    pub(super) fn output_act(&mut self, action: Action) {
        let height = usize::from(areas(self).body.height).saturating_sub(1);
        let count = self.output.lines.len();
        if !self.output.list.act(action, count, height) {
            match action {
                Action::Close => self.show(Screen::Tree),
                Action::CopyValue => {
                    let lines = self.output.lines.iter().filter(|(_, is_error)| !is_error);
                    let text: Vec<&str> = lines.map(|(line, _)| line.as_str()).collect();
                    self.copy(text.join("\n"), "the output");
                }
                _ => {}
            }
        }
    }

    pub(super) fn output_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let output = &self.output;
        let exit = match output.exit {
            Some(0) => String::new(),
            Some(code) => format!("  (exit code {code})"),
            None => "  (ended by a signal)".into(),
        };
        let title = format!(": {}{exit}", self.look.clean(&output.command));
        put(frame, area, 0, vec![Span::styled(title, self.look.style(Role::Title))]);
        let below = Rect::new(area.x, area.y + 1, area.width, area.height.saturating_sub(1));
        let top = output.list.top(output.lines.len(), below.height.into());
        for (line, (at, (text, is_error))) in (0..below.height).zip(output.lines.iter().enumerate().skip(top))
        {
            let role = if *is_error { Role::Warning } else { Role::Plain };
            // Tables are aligned by spaces; tabs would be control characters here.
            let text =
                cut(&self.look.clean(&text.replace('\t', "    ")), below.width.into(), self.look.glyphs.more);
            put(frame, below, line, vec![Span::styled(text, self.look.style(role))]);
            if at == output.list.cursor() {
                paint(frame, below, line, self.look.style(Role::Cursor));
            }
        }
    }
}
