//! The screen against a real server in this process, without a terminal and without waiting: a key goes in, its questions are
//! answered one by one, and the screen is a text. `TEGA_UPDATE=1 cargo test` writes the screens anew, to be read before they
//! are committed.

mod detail;
mod find;
mod fleet;
mod form;
mod history;
mod journal;
mod manners;
mod model;
mod pending;
mod secrets;
mod sessions;
mod status;
mod tree;

use std::path::PathBuf;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Effect, Input};
use super::ask::{Ask, Job, Purpose, Reply};
use super::draw;
use super::feed::{Feed, Link};
use super::look::Look;
use super::net::{Who, Worker};
use crate::commit::{Incarnation, Position, TegaId};
use crate::daemon::{Listen, Options, Server};
use crate::message::entry::{Entry, Origin};
use crate::path::Path;
use crate::store::{self, Ope, Store, Transaction};
use crate::token::Tokens;
use crate::value::{Limits, Value};

/// 12:00:00 on a day.
const WALL: i64 = 1_764_590_400_000;

/// A screen, and the server that it shows.
pub(super) struct Stage {
    pub(super) app: App,
    server: Option<Server>,
    worker: Worker,
    feed: Feed,
    pub(super) now: u64,
    /// What was asked for beside questions, as text.
    pub(super) effects: Vec<String>,
    /// The text that the editor was given.
    pub(super) editor: Option<String>,
    /// Answers are made when they're asked for, and come when they're released.
    pub(super) hold: bool,
    held: Vec<Reply>,
}

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

impl Stage {
    /// A screen of this size on a server with these roots.
    pub(super) fn new(size: (u16, u16), roots: &[(&str, &str)]) -> Stage {
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), optional: false };
        let server = Server::start(Options {
            data: None,
            id: id("server"),
            listen: vec![listen],
            socket: None,
            store: store::Options::default(),
            global: None,
            presence_grace: Duration::from_secs(1),
            insecure: false,
            tokens: Tokens::none(),
            uci: None,
            plugins: None,
            supervised: false,
            threads: 1,
        })
        .unwrap();
        for (path, json) in roots {
            let put =
                Transaction::new(Some(id("setup"))).put(path.parse().unwrap(), Value::parse(json).unwrap());
            server.store().commit(put).unwrap();
        }
        let target: crate::client::Target = format!("http://{}", server.addresses()[0]).parse().unwrap();
        let who = Who { server: target.into(), by: id("alice"), watcher: id("tui-test") };
        let app = App::new(Look::new(true, true), size, "http://router:8739", id("alice"));
        let (worker, feed) = (Worker::alone(who), Feed::default());
        let mut stage = Stage {
            app,
            server: Some(server),
            worker,
            feed,
            now: 1_000,
            effects: Vec::new(),
            editor: None,
            hold: false,
            held: Vec::new(),
        };
        stage.feed.link(Link::Up);
        stage.pass(400);
        stage
    }

    /// The server's store.
    pub(super) fn store(&self) -> Store {
        self.server.as_ref().unwrap().store().clone()
    }

    /// The server ends.
    pub(super) fn stop_server(&mut self) {
        self.server.take().unwrap().stop();
        self.feed.link(Link::Cut("the server is silent".into()));
        self.pass(100);
    }

    /// Takes an input, and answers the questions that come of it until there are no more.
    pub(super) fn take(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.app.take(input, self.now, WALL + i64::try_from(self.now).unwrap()) {
                match effect {
                    // This program here is the tests.
                    Effect::Ask(Ask { job: Job::Run(words), .. }) => {
                        self.effects.push(format!("Run {words:?}"))
                    }
                    Effect::Ask(ask) => {
                        let outcome = self.worker.answer(ask.job);
                        let reply = Reply { purpose: ask.purpose, outcome };
                        if self.hold {
                            self.held.push(reply);
                        } else {
                            inputs.push_back(Input::Reply(reply));
                        }
                    }
                    Effect::Editor(text, extension) => {
                        self.effects.push(format!("Editor .{extension}"));
                        self.editor = Some(text);
                    }
                    effect => self.effects.push(format!("{effect:?}")),
                }
            }
        }
    }

    /// The answers that were held come.
    pub(super) fn release(&mut self) {
        for reply in std::mem::take(&mut self.held) {
            self.take(Input::Reply(reply));
        }
    }

    /// So many milliseconds pass, with what came meanwhile.
    pub(super) fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(100) {
            self.now += 100;
            let batch = self.feed.take();
            self.take(Input::Changes(batch));
        }
    }

    /// Types: characters, and names of keys in angle brackets, as in `jj<enter>lan.ip<esc><ctrl-r>`.
    pub(super) fn keys(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (key, after) = match rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
                Some((name, after)) => (named(name), after),
                None => (KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE), &rest[c.len_utf8()..]),
            };
            rest = after;
            self.take(Input::Key(key));
        }
        // What waits for a pause in typing.
        self.pass(400);
    }

    /// Somebody else puts a value, and the session tells of it.
    pub(super) fn put(&mut self, path: &str, json: &str) {
        let path: Path = path.parse().unwrap();
        let value = Value::parse(json).unwrap();
        self.try_put(path, value).unwrap();
    }

    /// As [`Stage::put`], where it may be refused.
    pub(super) fn try_put(&mut self, path: Path, value: Value) -> Result<(), store::Error> {
        let put = Transaction::new(Some(id("bob"))).put(path.clone(), value.clone());
        let receipt = self.store().commit(put)?;
        self.tell(Ope::Put, path, Some(value), &receipt);
        Ok(())
    }

    /// Somebody else deletes a node, and the session tells of it.
    pub(super) fn delete(&mut self, path: &str) {
        let path: Path = path.parse().unwrap();
        let receipt = self.store().commit(Transaction::new(Some(id("bob"))).delete(path.clone())).unwrap();
        self.tell(Ope::Delete, path, None, &receipt);
    }

    fn tell(&mut self, ope: Ope, path: Path, instance: Option<Value>, receipt: &store::Receipt) {
        let (root, version) = receipt.versions[0].clone();
        let origin =
            Origin { root, incarnation: Incarnation(1), version, position: Position(receipt.position.0) };
        let entry = Entry { ope, path, tega_id: "bob".into(), instance, back_to: None, origin: Some(origin) };
        self.feed.changed(vec![entry], WALL);
        self.pass(100);
    }

    /// An answer comes that this server wouldn't give, and no other one about the same after it.
    pub(super) fn answer(&mut self, purpose: Purpose, json: &str) {
        let outcome = Ok(Value::parse_with(json, Limits::wrapped()).unwrap());
        self.take(Input::Reply(Reply { purpose, outcome }));
        // What is asked for already isn't asked for again.
        self.app.status.poll.is_due(u64::MAX);
        self.app.sessions.poll.is_due(u64::MAX);
    }

    /// The screen as text, without trailing spaces.
    pub(super) fn screen(&self) -> String {
        let (width, height) = self.app.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw::draw(frame, &self.app)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| {
            let mut line = String::new();
            let mut skip = 0;
            for x in 0..width {
                let symbol = buffer[(x, y)].symbol();
                if skip == 0 {
                    line.push_str(symbol);
                    skip = ratatui::text::Span::raw(symbol).width().saturating_sub(1);
                } else {
                    skip -= 1;
                }
            }
            line.trim_end().to_string() + "\n"
        };
        (0..height).map(line).collect()
    }

    /// Compares the screen with the file of this name in `screens`.
    #[track_caller]
    pub(super) fn shows(&self, name: &str) {
        let file =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/tui/tests/screens/{name}.txt"));
        let screen = with_fixed_times(&self.screen());
        if std::env::var_os("TEGA_UPDATE").is_some() {
            std::fs::write(&file, screen).unwrap();
        } else {
            let pinned = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(screen, pinned, "{name}.txt differs; TEGA_UPDATE=1 takes what it is now:\n{screen}");
        }
    }

    /// Whether the screen has a line with this text.
    #[track_caller]
    pub(super) fn has(&self, text: &str) {
        let screen = self.screen();
        assert!(screen.contains(text), "no {text:?} in\n{screen}");
    }

    /// Whether it has none.
    #[track_caller]
    pub(super) fn lacks(&self, text: &str) {
        let screen = self.screen();
        assert!(!screen.contains(text), "{text:?} in\n{screen}");
    }
}

/// Times that the server stamped differ from run to run: those that can be true become one and the same, as wide as they are,
/// and all others stay, so that a wrong one is seen.
fn with_fixed_times(screen: &str) -> String {
    let now = super::net::now_ms();
    let (from, to) = (super::detail::when(now - 600_000), super::detail::when(now + 1_000));
    let times = regex_lite::Regex::new("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}").unwrap();
    let fixed = |found: &regex_lite::Captures<'_>| {
        let time = found[0].to_string();
        if (from.as_str()..=to.as_str()).contains(&time.as_str()) {
            "2026-11-22 18:20:11".into()
        } else {
            time
        }
    };
    times.replace_all(screen, fixed).into_owned()
}

fn named(name: &str) -> KeyEvent {
    let (code, modifiers) = match name.strip_prefix("ctrl-") {
        Some(c) => (KeyCode::Char(c.chars().next().unwrap()), KeyModifiers::CONTROL),
        None => (
            match name {
                "enter" => KeyCode::Enter,
                "esc" => KeyCode::Esc,
                "tab" => KeyCode::Tab,
                "backtab" => KeyCode::BackTab,
                "space" => KeyCode::Char(' '),
                "lt" => KeyCode::Char('<'),
                "up" => KeyCode::Up,
                "down" => KeyCode::Down,
                "left" => KeyCode::Left,
                "right" => KeyCode::Right,
                "backspace" => KeyCode::Backspace,
                "delete" => KeyCode::Delete,
                "home" => KeyCode::Home,
                "end" => KeyCode::End,
                "pageup" => KeyCode::PageUp,
                "pagedown" => KeyCode::PageDown,
                _ => panic!("no key {name}"),
            },
            KeyModifiers::NONE,
        ),
    };
    KeyEvent::new(code, modifiers)
}
