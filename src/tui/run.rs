//! The loop: keys, answers and changes go in, effects are carried out, and what changed is drawn.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event};

use super::app::{App, Effect, Input};
use super::ask::Purpose;
use super::draw;
use super::editor;
use super::feed::Feed;
use super::look::Look;
use super::net::{Net, Who, now_ms};
use super::output::Verb;
use super::terminal::{self, Screen};
use crate::client::Server;
use crate::commit::TegaId;

/// Between two frames that nobody typed for: a change more or less a tenth of a second is nothing to a person, but
/// each frame is bytes on a slow line.
const FRAME: Duration = Duration::from_millis(100);

/// How long the loop waits for a key while answers are awaited.
const ATTENTIVE: Duration = Duration::from_millis(5);

/// How long while nothing is.
const IDLE: Duration = Duration::from_millis(50);

/// How the screen is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tega ID that changes are made under.
    pub by: TegaId,
    /// What to try first; shown below the tree. Empty: nothing.
    pub hint: String,
    /// Verbs of the command line that `:` takes.
    pub verbs: Vec<Verb>,
    /// Clicks and the wheel come here, and not to the terminal.
    pub mouse: bool,
}

/// Shows a server until the user ends it. An error is why it couldn't be shown.
pub fn run(server: &Server, options: Options) -> Result<(), String> {
    let watcher = watcher().map_err(|error| error.to_string())?;
    let who = Who { server: server.clone(), by: options.by.clone(), watcher };
    let feed = Feed::default();
    let said = |error: io::Error| format!("the terminal can't be used: {error}");
    let look = Look::from_env(|name| std::env::var(name).ok());
    let (stop, interrupted) = signals().map_err(said)?;
    let net = Net::start(&who, feed.clone()).map_err(|error| format!("no thread can be started: {error}"))?;
    let screen = Screen::take(options.mouse).map_err(said)?;
    let size = screen.terminal.size().map_err(said)?;
    let app = App::new(look, (size.width, size.height), &server.to_string(), options.by)
        .with(options.verbs, &options.hint);
    Loop { app, screen, net, feed, begun: Instant::now(), stop, interrupted, ended: false }
        .run()
        .map_err(said)
}

/// A tega ID that nobody else has.
fn watcher() -> io::Result<TegaId> {
    let random = crate::client::http::request_id()?;
    let short: String = random.chars().take(8).collect();
    TegaId::new(&format!("tui-{short}")).map_err(|error| io::Error::other(error.to_string()))
}

/// Set when the process is told to end; and when it's interrupted, which may be meant for an editor that has the terminal.
fn signals() -> io::Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    let (stop, interrupted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGQUIT] {
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    Ok((stop, interrupted))
}

struct Loop {
    app: App,
    screen: Screen,
    net: Net,
    feed: Feed,
    begun: Instant,
    stop: Arc<AtomicBool>,
    interrupted: Arc<AtomicBool>,
    ended: bool,
}

impl Loop {
    fn run(mut self) -> io::Result<()> {
        let mut drawn = Instant::now();
        // What is shown first is asked for at once.
        self.take(Input::Tick)?;
        self.draw()?;
        let (mut is_due, mut wakes_at) = (true, None);
        while !self.ended && ![&self.stop, &self.interrupted].iter().any(|told| told.load(Ordering::Relaxed))
        {
            let mut typed = self.keys()?;
            while let Some(reply) = self.net.reply() {
                // An answer was asked for by a key, but for counts that are looked at from time to time.
                let is_count = matches!(reply.purpose, Purpose::Row(_));
                (typed, is_due) = (typed || !is_count, true);
                self.take(Input::Reply(reply))?;
            }
            let is_time = drawn.elapsed() >= FRAME;
            if is_time || typed {
                let batch = self.feed.take();
                if batch.is_empty() {
                    self.take(Input::Tick)?;
                } else {
                    is_due = true;
                    self.take(Input::Changes(batch))?;
                }
            }
            let now = self.now();
            is_due |= wakes_at.is_some_and(|at| at <= now);
            if typed || (is_due && is_time) {
                (drawn, is_due) = (Instant::now(), false);
                self.draw()?;
                wakes_at = self.app.wakes_at();
            }
        }
        Ok(())
    }

    /// Takes keys, or waits a moment for one. Whether there was any.
    fn keys(&mut self) -> io::Result<bool> {
        terminal::wait(if self.net.waits() { ATTENTIVE } else { IDLE })?;
        let mut any = false;
        while event::poll(Duration::ZERO)? {
            any = true;
            let input = match event::read()? {
                Event::Key(key) => Input::Key(key),
                Event::Mouse(mouse) => Input::Mouse(mouse),
                Event::Paste(text) => Input::Paste(text),
                Event::Resize(columns, lines) => Input::Resize(columns, lines),
                Event::FocusGained | Event::FocusLost => continue,
            };
            self.take(input)?;
            if self.ended {
                break;
            }
            terminal::wait(Duration::ZERO)?;
        }
        Ok(any)
    }

    fn take(&mut self, input: Input) -> io::Result<()> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = self.now();
            for effect in self.app.take(input, now, now_ms()) {
                match effect {
                    Effect::Ask(ask) => inputs.extend(self.net.ask(ask).map(Input::Reply)),
                    Effect::Copy(text) => self.screen.copy(&text)?,
                    Effect::Editor(text, extension) => {
                        let outcome = self.screen.lend(|| editor::edit(&text, extension))?;
                        self.interrupted.store(false, Ordering::Relaxed);
                        inputs.push(Input::Edited(outcome));
                        inputs.push(self.resized()?);
                    }
                    Effect::Suspend => {
                        self.screen.lend(suspend)?;
                        inputs.push(self.resized()?);
                    }
                    Effect::Redraw => self.screen.terminal.clear()?,
                    Effect::Quit => self.ended = true,
                }
            }
        }
        Ok(())
    }

    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The terminal may have another size after somebody else had it.
    fn resized(&self) -> io::Result<Input> {
        let size = self.screen.terminal.size()?;
        Ok(Input::Resize(size.width, size.height))
    }

    fn draw(&mut self) -> io::Result<()> {
        let app = &self.app;
        self.screen.terminal.draw(|frame| draw::draw(frame, app)).map(drop)
    }
}

/// Stops as Ctrl-Z does where the terminal isn't raw; returns when the shell lets it go on.
fn suspend() {
    // That it can't stop itself leaves it running, which is no harm.
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTSTP);
}
