//! The versions of a root: who changed what when, what differs between them, and the way back to one of them.
//!
//! A version is compared with the one before it, or with one that was marked. The way back goes by a preview: what it
//! would change is shown first, and the rollback carries the version that this was made on, so that a commit in between
//! makes the server refuse it.

mod diff;
mod rollback;
mod view;

use self::diff::Diff;
use self::rollback::Preview;
use super::app::{App, Screen};
use super::ask::{Failed, Job, Purpose};
use super::detail::when;
use super::keys::Action;
use super::list::List;
use super::pane::Pane;
use crate::api::route::Route;
use crate::path::{Key, Path};
use crate::value::Value;
use crate::words;

/// Milliseconds that the cursor stands still before differences are asked for.
const PAUSE: u64 = 120;

/// Milliseconds between two questions for the history of a root that goes on changing.
const EVERY: u64 = 500;

/// Versions that are listed: the newest ones.
const MAX_LISTED: usize = 10_000;

/// The history that is shown.
#[derive(Debug, Default)]
pub(super) struct History {
    root: Key,
    /// The newest first; behind them what snapshots replaced.
    entries: Vec<Past>,
    /// Why there's none.
    failed: Option<String>,
    list: List,
    /// The version that others are compared with.
    marked: Option<i64>,
    ask_at: Option<u64>,
    asked_at: u64,
    asked: bool,
    /// The versions that are, or are to be, compared.
    pair: Option<(i64, i64)>,
    diff_at: Option<u64>,
    diff_asked: bool,
    diff: Option<Result<Diff, String>>,
    preview: Option<Preview>,
    /// The differences have the whole screen.
    whole: bool,
    pane: Pane,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Past {
    version: i64,
    /// The root was deleted by it.
    deleted: bool,
    incarnation: String,
    /// The name of a state that a snapshot replaced.
    replaced: Option<String>,
    when: String,
    who: String,
    what: String,
}

impl Past {
    fn read(entry: &Value) -> Option<Past> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(String::from);
        Some(Past {
            version: entry.get("version").and_then(Value::as_int)?,
            deleted: entry.get("deleted").and_then(Value::as_bool) == Some(true),
            incarnation: text("incarnation").unwrap_or_default(),
            replaced: text("replaced"),
            when: entry.get("time").and_then(Value::as_int).map_or("-".into(), when),
            who: text("tega_id").unwrap_or("-".into()),
            what: words::what(entry),
        })
    }

    fn is_same(&self, other: &Past) -> bool {
        (self.version, &self.replaced) == (other.version, &other.replaced)
    }
}

impl History {
    /// Whose.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    fn at_cursor(&self) -> Option<&Past> {
        self.entries.get(self.list.cursor())
    }

    /// The present version, were it that of a deleted root.
    fn present(&self) -> Option<&Past> {
        self.entries.first().filter(|past| past.replaced.is_none())
    }

    /// The versions to be compared: one that is kept with the cursor's.
    fn compared(&self) -> Option<(i64, i64)> {
        let past = self.at_cursor().filter(|past| past.replaced.is_none())?;
        let marked = self.marked.filter(|marked| *marked != past.version);
        let before = || {
            let before = self.entries.get(self.list.cursor() + 1)?;
            before.replaced.is_none().then_some(before.version)
        };
        marked.or_else(before).map(|from| (from, past.version))
    }

    /// Takes the list, the oldest first as it's answered; the cursor stays on its version.
    fn take(&mut self, answer: &Value) {
        let all = answer.as_list().map_or(&[][..], |list| list.items());
        let (kept, replaced): (Vec<Past>, Vec<Past>) =
            all.iter().rev().filter_map(Past::read).partition(|past| past.replaced.is_none());
        let was = self.at_cursor().cloned();
        let line = |past: &Past| past.incarnation.clone();
        let is_other = self.present().map(line) != kept.first().map(line);
        self.entries = kept.into_iter().chain(replaced).take(MAX_LISTED).collect();
        let here = was.and_then(|was| self.entries.iter().position(|past| past.is_same(&was)));
        let last = self.entries.len().saturating_sub(1);
        self.list.moved_to(here.unwrap_or(self.list.cursor().min(last)));
        self.failed = None;
        let is_marked = |past: &Past| past.replaced.is_none() && Some(past.version) == self.marked;
        if is_other || !self.entries.iter().any(is_marked) {
            self.marked = None;
        }
        if is_other {
            // The same numbers mean other states now.
            (self.pair, self.diff) = (None, None);
        }
    }
}

impl App {
    /// Shows the history of a node's root.
    pub(super) fn history_of(&mut self, path: &Path) {
        let Some(root) = path.root() else { return };
        self.history = History { root: root.clone(), ask_at: Some(self.now), ..History::default() };
        self.show(Screen::History);
    }

    /// Something changed at a path.
    pub(super) fn history_changed(&mut self, path: &Path) {
        if path.root() == Some(&self.history.root) {
            self.history_ask_soon();
        }
    }

    fn history_ask_soon(&mut self) {
        let at = self.now.max(self.history.asked_at + EVERY);
        self.history.ask_at = Some(self.history.ask_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Anything may have changed.
    pub(super) fn history_stale(&mut self) {
        self.history_ask_soon();
        if matches!(self.history.diff, Some(Err(_))) {
            self.history.pair = None;
        }
    }

    pub(super) fn history_tick(&mut self) {
        if self.history.ask_at.is_some_and(|at| at <= self.now) && !self.history.asked {
            let root = self.history.root.clone();
            (self.history.ask_at, self.history.asked_at, self.history.asked) = (None, self.now, true);
            self.ask(Purpose::History(root.clone()), Job::Read(Route::History { root }));
        }
        let pair = self.history.compared();
        if pair != self.history.pair {
            // What is shown first isn't waited for.
            let pause = if self.history.pair.is_none() { 0 } else { PAUSE };
            self.history.diff_at = pair.map(|_| self.now + pause);
            (self.history.pair, self.history.diff) = (pair, None);
            self.history.pane = Pane::default();
        }
        if let (Some((from, to)), Some(at)) = (pair, self.history.diff_at)
            && at <= self.now
            && !self.history.diff_asked
        {
            let root = self.history.root.clone();
            (self.history.diff_at, self.history.diff_asked) = (None, true);
            self.ask(
                Purpose::Diff(root.clone(), from, Some(to)),
                Job::Read(Route::Diff { root, from, to: Some(to) }),
            );
        }
        self.rollback_tick();
    }

    pub(super) fn history_act(&mut self, action: Action) {
        if self.history_look(action) {
            return;
        }
        let (height, count) = (self.history_height(), self.history.entries.len());
        if self.history.list.act(action, count, height) {
            return;
        }
        match action {
            Action::Close => self.history_close(),
            Action::Pick => {
                self.history.whole = !self.history.whole;
                self.history.diff_at = self.history.diff_at.map(|_| self.now);
            }
            Action::Mark => self.history_mark(),
            Action::Rollback => self.rollback_begin(),
            _ => {}
        }
    }

    /// Closes what is open: a preview, the differences alone, the history.
    fn history_close(&mut self) {
        if self.history.preview.take().is_none() && !std::mem::take(&mut self.history.whole) {
            self.show(Screen::Tree);
        }
    }

    fn history_mark(&mut self) {
        let Some(past) = self.history.at_cursor() else { return };
        if past.replaced.is_some() {
            return self.complain("this state was set aside; only kept versions can be compared");
        }
        let version = past.version;
        if self.history.marked == Some(version) {
            self.history.marked = None;
            self.say("each version is compared with the one before it");
        } else {
            self.history.marked = Some(version);
            self.say(format!("the others are compared with version {version}; m again ends that"));
        }
    }

    pub(super) fn history_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        match purpose {
            Purpose::History(root) if root == self.history.root => {
                self.history.asked = false;
                match outcome {
                    Ok(answer) => self.history.take(&answer),
                    // What was read stays readable.
                    Err(Failed::NotReached(_)) if !self.history.entries.is_empty() => {}
                    Err(failed) => {
                        self.history.entries.clear();
                        self.history.failed = Some(failed.to_string());
                    }
                }
            }
            Purpose::Diff(root, from, to) if root == self.history.root => {
                self.history.diff_asked = false;
                if self.history.pair == to.map(|to| (from, to)) {
                    let read = |answer: Value| Diff::read(&self.look, &answer);
                    self.history.diff = Some(outcome.map(read).map_err(|failed| failed.to_string()));
                }
            }
            Purpose::MayRollBack(root, version) => self.rollback_may(&root, version, outcome),
            Purpose::Preview(root, version) => self.rollback_preview(&root, version, outcome),
            Purpose::Rollback(root, version) => self.rollback_done(&root, version, outcome),
            _ => {}
        }
    }
}
