//! The whole state of the screen, and what comes of a key, an answer, a change.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent};

use super::ask::{Ask, Job, Purpose, Reply};
use super::detail::Detail;
use super::feed::{Batch, Link};
use super::find::Find;
use super::fleet::Fleet;
use super::form::Form;
use super::history::History;
use super::journal::Journal;
use super::keys::{self, Action};
use super::look::Look;
use super::output::{Output, Verb};
use super::pending::Pending;
use super::prompt::Prompt;
use super::rate::Rate;
use super::sessions::Sessions;
use super::status::Status;
use super::tree::Tree;
use crate::commit::TegaId;

/// Milliseconds that a message stays.
const MESSAGE_TIME: u64 = 8_000;

/// Milliseconds that keys wait for a prompt which the server has to be asked about.
const AHEAD_TIME: u64 = 3_000;

/// Keys that wait for it.
const MAX_AHEAD: usize = 256;

/// The smallest screen that something can be shown on: columns and lines.
pub(super) const SMALLEST: (u16, u16) = (40, 10);

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The tree, and beside it a node in full.
    Tree,
    /// Every link and the server behind it.
    Fleet,
    /// Who is connected, and who listens to what.
    Sessions,
    /// Notifications and messages as they come.
    Journal,
    /// How the server is.
    Status,
    /// What was changed here and isn't committed.
    Pending,
    /// The versions of a root.
    History,
    /// What a command printed.
    Output,
}

impl Screen {
    /// Those that Tab goes through.
    const ROUND: [Screen; 6] =
        [Screen::Tree, Screen::Fleet, Screen::Sessions, Screen::Journal, Screen::Status, Screen::Pending];

    /// What it's called.
    pub fn title(self) -> &'static str {
        match self {
            Screen::Tree => "Tree",
            Screen::Fleet => "Fleet",
            Screen::Sessions => "Sessions",
            Screen::Journal => "Log",
            Screen::Status => "Status",
            Screen::Pending => "Changes",
            Screen::History => "History",
            Screen::Output => "Output",
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// A click or a wheel.
    Mouse(MouseEvent),
    /// Text that was pasted.
    Paste(String),
    /// Columns and lines of the terminal.
    Resize(u16, u16),
    /// What changed at the server.
    Changes(Batch),
    /// An answer.
    Reply(Reply),
    /// What the editor left, or why it didn't.
    Edited(Result<String, String>),
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Ask the server.
    Ask(Ask),
    /// Put this into the terminal's clipboard.
    Copy(String),
    /// Let the user edit this text; the extension says what it is. [`Input::Edited`] is the answer.
    Editor(String, &'static str),
    /// Give the terminal back until the shell brings us to the front again.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// The end.
    Quit,
}

/// A line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What.
    pub text: String,
    /// It's a refusal or a failure.
    pub bad: bool,
    /// A key was pressed since: it covers nothing any more.
    pub seen: bool,
    until: u64,
}

/// How the session with the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// Not yet up.
    Connecting,
    /// Up.
    Up,
    /// Cut off since this time of the wall clock, in milliseconds, for this reason.
    Cut(i64, String),
}

/// All of it.
pub struct App {
    pub(super) look: Look,
    pub(super) size: (u16, u16),
    /// Milliseconds since the start.
    pub(super) now: u64,
    /// Milliseconds of the wall clock.
    pub(super) wall: i64,
    pub(super) server: String,
    pub(super) by: TegaId,
    pub(super) session: Session,
    pub(super) screen: Screen,
    /// The first line of the help, where it's shown.
    pub(super) help: Option<usize>,
    pub(super) prompt: Option<Prompt>,
    pub(super) message: Option<Message>,
    pub(super) hint: String,
    pub(super) rate: Rate,
    pub(super) tree: Tree,
    pub(super) find: Find,
    pub(super) detail: Detail,
    pub(super) history: History,
    pub(super) pending: Pending,
    pub(super) fleet: Fleet,
    pub(super) sessions: Sessions,
    pub(super) journal: Journal,
    pub(super) status: Status,
    pub(super) output: Output,
    pub(super) form: Option<Form>,
    pub(super) verbs: Vec<Verb>,
    first: Option<char>,
    ahead: Ahead,
    /// Completions that were asked for.
    pub(super) completions: u32,
    effects: Vec<Effect>,
}

/// Keys that were typed while the server was asked for what opens a prompt: they're meant for that, and not for the tree.
#[derive(Debug, Default)]
struct Ahead {
    /// Until when they wait; `None`: nothing is asked that would open one.
    until: Option<u64>,
    keys: Vec<KeyEvent>,
}

impl App {
    /// Before anything is known. `server`: its address, as it's shown; `by`: who changes things.
    pub fn new(look: Look, size: (u16, u16), server: &str, by: TegaId) -> App {
        App {
            look,
            size,
            now: 0,
            wall: 0,
            server: server.into(),
            by,
            session: Session::Connecting,
            screen: Screen::Tree,
            help: None,
            prompt: None,
            message: None,
            hint: String::new(),
            rate: Rate::default(),
            tree: Tree::default(),
            find: Find::default(),
            detail: Detail::default(),
            history: History::default(),
            pending: Pending::default(),
            fleet: Fleet::default(),
            sessions: Sessions::default(),
            journal: Journal::default(),
            status: Status::default(),
            output: Output::default(),
            form: None,
            verbs: Vec::new(),
            first: None,
            ahead: Ahead::default(),
            completions: 0,
            effects: Vec::new(),
        }
    }

    /// The verbs that a command line takes here, and what to try first.
    #[must_use]
    pub fn with(mut self, verbs: Vec<Verb>, hint: &str) -> App {
        self.verbs = verbs;
        self.hint = hint.into();
        self
    }

    /// Takes what happened, at this time: milliseconds since the start, and of the wall clock.
    pub fn take(&mut self, input: Input, now: u64, wall: i64) -> Vec<Effect> {
        (self.now, self.wall) = (now, wall);
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Input::Key(_) => {}
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Paste(text) => self.paste(&text),
            Input::Resize(columns, lines) => self.size = (columns, lines),
            Input::Changes(batch) => self.changes(batch),
            Input::Reply(reply) => self.reply(reply),
            Input::Edited(outcome) => self.pending_edited(outcome),
            Input::Tick => {}
        }
        self.tick();
        std::mem::take(&mut self.effects)
    }

    /// When something on the screen changes by the passing of time alone; `None`: nothing does. Each frame costs bytes on a
    /// line that may be slow, even one that shows nothing new.
    pub(super) fn wakes_at(&self) -> Option<u64> {
        let second = (self.now / 1_000 + 1) * 1_000;
        let counts = self.rate.is_moving() || matches!(self.session, Session::Cut(..)) || self.form.is_some();
        let counts = counts || !matches!(self.screen, Screen::Tree | Screen::History | Screen::Output);
        let message = self.message.as_ref().map(|message| message.until);
        counts.then_some(second).into_iter().chain(message).chain(self.tree.wakes_at(self.now)).min()
    }

    pub(super) fn ask(&mut self, purpose: Purpose, job: Job) {
        if purpose.opens_prompt() {
            self.ahead.until = Some(self.now + AHEAD_TIME);
        }
        self.effects.push(Effect::Ask(Ask { purpose, job }));
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Tells the user.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.message =
            Some(Message { text: text.into(), bad: false, seen: false, until: self.now + MESSAGE_TIME });
    }

    /// Tells the user what went wrong.
    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.message =
            Some(Message { text: text.into(), bad: true, seen: false, until: self.now + 2 * MESSAGE_TIME });
    }

    /// Shows another screen.
    pub(super) fn show(&mut self, screen: Screen) {
        self.screen = screen;
        match screen {
            Screen::Fleet => self.fleet_shown(),
            Screen::Sessions => self.sessions_shown(),
            Screen::Status => self.status_shown(),
            _ => {}
        }
    }

    fn tick(&mut self) {
        if self.ahead.until.is_some_and(|until| until <= self.now) {
            // Nobody remembers what was meant.
            self.ahead_over();
            self.complain("the server doesn't answer in time: nothing was begun");
        }
        if self.message.as_ref().is_some_and(|message| message.until <= self.now) {
            self.message = None;
        }
        self.rate.tick(self.now);
        self.tree_tick();
        self.find_tick();
        self.detail_tick();
        self.pending_tick();
        match self.screen {
            Screen::Fleet => self.fleet_tick(),
            Screen::Sessions => self.sessions_tick(),
            Screen::Status => self.status_tick(),
            Screen::History => self.history_tick(),
            _ => {}
        }
    }

    fn key(&mut self, key: KeyEvent) {
        if let Some(message) = &mut self.message {
            message.seen = true;
        }
        if self.ahead.until.is_some() {
            if key.code == KeyCode::Esc {
                self.ahead_over();
            } else if self.ahead.keys.len() < MAX_AHEAD {
                self.ahead.keys.push(key);
            }
            return;
        }
        if self.form.is_some() {
            return self.form_key(key);
        }
        if self.prompt.is_some() {
            return self.prompt_key(key);
        }
        if let Some(top) = self.help {
            return self.help_key(key, top);
        }
        let first = self.first.take();
        if first.is_none() {
            self.first = keys::begins(self.screen, key);
            if self.first.is_some() {
                return;
            }
        }
        match keys::action(self.screen, first, key) {
            Some(action) => self.act(action),
            None => self.say("no such key here; ? lists them"),
        }
    }

    /// No prompt is waited for any more: an answer that comes late opens none.
    fn ahead_over(&mut self) {
        self.ahead = Ahead::default();
        match &mut self.prompt {
            Some(prompt) => prompt.forget_question(),
            None => self.pending.forget_doing(),
        }
    }

    fn help_key(&mut self, key: KeyEvent, top: usize) {
        self.help = match (key.code, keys::action(self.screen, None, key)) {
            (_, Some(Action::Down)) => Some(top + 1),
            (_, Some(Action::Up)) => Some(top.saturating_sub(1)),
            (_, Some(Action::PageDown)) | (KeyCode::Char(' '), _) => Some(top + 10),
            (_, Some(Action::PageUp)) => Some(top.saturating_sub(10)),
            _ => None,
        };
        let last = keys::help(self.screen).len().saturating_sub(1);
        self.help = self.help.map(|top| top.min(last));
    }

    /// Does what was asked for.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Quit => self.quit(),
            Action::Help => self.help = Some(0),
            Action::Command => self.command(),
            Action::Redraw => self.effect(Effect::Redraw),
            Action::Suspend => self.effect(Effect::Suspend),
            Action::Show(screen) => self.show(screen),
            Action::NextScreen => self.turn(1),
            Action::PreviousScreen => self.turn(Screen::ROUND.len() - 1),
            action => match self.screen {
                Screen::Tree => self.tree_act(action),
                Screen::Fleet => self.fleet_act(action),
                Screen::Sessions => self.sessions_act(action),
                Screen::Journal => self.journal_act(action),
                Screen::Status => self.status_act(action),
                Screen::Pending => self.pending_act(action),
                Screen::History => self.history_act(action),
                Screen::Output => self.output_act(action),
            },
        }
    }

    fn turn(&mut self, by: usize) {
        let at = Screen::ROUND.iter().position(|screen| *screen == self.screen);
        let next = at.map_or(0, |at| (at + by) % Screen::ROUND.len());
        self.show(Screen::ROUND.get(next).copied().unwrap_or(Screen::Tree));
    }

    fn quit(&mut self) {
        if self.pending.is_empty() {
            self.effect(Effect::Quit);
        } else {
            self.confirm_quit();
        }
    }

    /// Anything may have changed without a word: under one's own tega ID nobody is told of what they did themselves.
    pub(super) fn all_stale(&mut self) {
        self.tree.model.read_again();
        self.detail_stale();
        self.history_stale();
        self.pending_stale();
    }

    fn changes(&mut self, batch: Batch) {
        self.rate.add(batch.count);
        match batch.link {
            Some(Link::Up) => {
                let again = !matches!(self.session, Session::Connecting);
                self.session = Session::Up;
                // Between the first page and this moment something may have changed.
                self.all_stale();
                if again {
                    self.say(format!("{} is there again", self.server));
                }
            }
            Some(Link::Cut(why)) => {
                let since = if let Session::Cut(since, _) = self.session { since } else { self.wall };
                self.session = Session::Cut(since, why);
            }
            None => {}
        }
        if batch.missed {
            self.all_stale();
        }
        for change in &batch.changes {
            self.tree.model.apply(change, self.now);
            self.detail_changed(&change.path);
            self.history_changed(&change.path);
            self.pending_changed(change);
        }
        if !batch.changes.is_empty() {
            self.tree_changed();
        }
        self.journal_take(batch.notes, batch.dropped);
    }

    fn reply(&mut self, reply: Reply) {
        if !reply.purpose.opens_prompt() {
            return self.answered(reply);
        }
        self.ahead.until = None;
        self.answered(reply);
        // Where another question is open now, they go on waiting.
        if self.ahead.until.is_none() {
            for key in std::mem::take(&mut self.ahead.keys) {
                // Where no prompt was opened, or it's closed by now, what was typed for it isn't meant for the tree; and a
                // question is answered by who has seen it.
                if self.prompt.as_ref().is_some_and(|prompt| !prompt.is_question()) {
                    self.key(key);
                }
            }
        }
    }

    fn answered(&mut self, reply: Reply) {
        let Reply { purpose, outcome } = reply;
        match purpose {
            Purpose::Page(..) | Purpose::Row(_) => self.tree_reply(purpose, outcome),
            Purpose::Search(_) => self.find_reply(purpose, outcome),
            Purpose::Complete(_) => self.prompt_reply(purpose, outcome),
            Purpose::Detail(_) | Purpose::Changes(_) | Purpose::Measure(_) | Purpose::Copy(_) => {
                self.detail_reply(purpose, outcome);
            }
            Purpose::History(_)
            | Purpose::Diff(..)
            | Purpose::MayRollBack(..)
            | Purpose::Preview(..)
            | Purpose::Rollback(..) => self.history_reply(purpose, outcome),
            Purpose::Status => {
                self.status_reply(outcome);
                self.fleet_told();
            }
            Purpose::Sessions | Purpose::Channels | Purpose::Plugins => self.sessions_reply(purpose, outcome),
            Purpose::Call(..) | Purpose::Functions(_) | Purpose::Signature(_) => {
                self.form_reply(purpose, outcome)
            }
            Purpose::MayEdit(..)
            | Purpose::Value(_)
            | Purpose::Commit
            | Purpose::Now(_)
            | Purpose::NowValue(..) => self.pending_reply(purpose, outcome),
            Purpose::Command => self.output_reply(outcome),
        }
    }

    fn paste(&mut self, text: &str) {
        if self.ahead.until.is_some() {
            let keys = text.chars().filter(|c| !c.is_control());
            let room = MAX_AHEAD.saturating_sub(self.ahead.keys.len());
            let keys = keys.map(|c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
            return self.ahead.keys.extend(keys.take(room));
        }
        if self.form.is_some() {
            self.form_paste(text);
        } else if let Some(prompt) = &mut self.prompt {
            prompt.line.insert(text);
            self.prompt_typed();
        }
    }
}
