//! A node in full, beside the tree: its value, its version, who wrote that and when.
//!
//! It goes with the cursor, but asks only once that stands still, and one question at a time: what the node is, then the
//! value of a leaf that is too long for that answer, or the first leaves below a container, which is never asked for
//! whole. Who wrote a version is in the history of its root, which is asked for when a version turns up that isn't in
//! what was answered before.

mod view;
mod writers;

use ratatui::Frame;
use ratatui::layout::Rect;

pub(super) use self::view::when;
use self::writers::Writers;
use super::app::{App, Screen};
use super::ask::{Failed, Job, Purpose};
use super::draw;
use super::keys::Action;
use super::model::{Kind, Shown};
use super::pane::{Pane, Spans, inside};
use crate::api::route::{Page, Read, Route, Search};
use crate::path::Path;
use crate::value::Value;

/// Milliseconds that the cursor stands still before its node is asked for.
const PAUSE: u64 = 120;

/// Milliseconds between two questions for a node that goes on changing.
const EVERY: u64 = 500;

/// Lines of what is below a container.
const BELOW: usize = 200;

/// The longest value that is fetched to be copied, in bytes: a terminal takes no more.
const MAX_COPY: u64 = 64 << 10;

/// The node that is shown.
#[derive(Debug, Default)]
pub(super) struct Detail {
    open: bool,
    path: Path,
    /// When it's to be asked for.
    ask_at: Option<u64>,
    /// When it was.
    asked_at: u64,
    /// What is waited for.
    asked: Option<(Path, Step)>,
    head: Option<Head>,
    /// Its value, line by line.
    body: Vec<Spans>,
    /// Why there's none.
    failed: Option<String>,
    writers: Writers,
    pane: Pane,
}

/// One question after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What it is.
    Head,
    /// The value of a leaf.
    Whole,
    /// What is below a container.
    Below,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
struct Head {
    shown: Shown,
    /// `None`: ephemeral.
    version: Option<u64>,
    /// Whose ephemeral node it is.
    owner: Option<String>,
    /// Why it couldn't be written.
    refusal: Option<String>,
}

impl Head {
    fn read(page: &Value) -> Option<Head> {
        let row = page.get("row").unwrap_or(page);
        let refusal = page.get("refusal").and_then(|refusal| refusal.get("message"));
        Some(Head {
            shown: Shown::read(row)?,
            version: row.get("version").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()),
            owner: row.get("owner").and_then(Value::as_str).map(String::from),
            refusal: refusal.and_then(Value::as_str).map(String::from),
        })
    }
}

impl Detail {
    /// Whether it's shown.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }
}

impl App {
    pub(super) fn detail_toggle(&mut self) {
        self.detail.open = !self.detail.open;
        // It may have changed while nobody looked.
        self.detail.ask_at = Some(self.now);
        self.detail.path = self.detail_path();
        self.detail_forget();
    }

    /// Has it read again at once.
    pub(super) fn detail_renew(&mut self) {
        self.detail.ask_at = Some(self.now);
        self.detail_forget();
    }

    /// Closes it. False: it wasn't open.
    pub(super) fn detail_close(&mut self) -> bool {
        std::mem::take(&mut self.detail.open)
    }

    /// The node to be shown: that of the cursor, be it in the tree or in the list of matches.
    fn detail_path(&self) -> Path {
        match self.find.list {
            Some(list) => self.find.found().get(list.cursor()).map_or(Path::TOP, |found| found.path.clone()),
            None => self.tree.cursor.clone(),
        }
    }

    fn detail_forget(&mut self) {
        let detail = &mut self.detail;
        (detail.head, detail.failed, detail.pane) = (None, None, Pane::default());
        detail.body.clear();
    }

    /// The cursor moved, perhaps.
    pub(super) fn detail_moved(&mut self) {
        if !self.detail.open {
            return;
        }
        let path = self.detail_path();
        if path != self.detail.path {
            self.detail.path = path;
            self.detail.ask_at = Some(self.now + PAUSE);
            self.detail_forget();
        }
    }

    /// Something changed at a path.
    pub(super) fn detail_changed(&mut self, path: &Path) {
        let shown = &self.detail.path;
        if self.detail.open && (path.contains(shown) || shown.contains(path)) {
            self.detail_ask_soon();
        }
    }

    /// Anything may have changed.
    pub(super) fn detail_stale(&mut self) {
        self.detail.writers.forget();
        self.detail_ask_soon();
    }

    fn detail_ask_soon(&mut self) {
        let at = self.now.max(self.detail.asked_at + EVERY);
        self.detail.ask_at = Some(self.detail.ask_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn detail_tick(&mut self) {
        if self.screen != Screen::Tree || !self.detail.open {
            return;
        }
        self.detail_moved();
        let path = self.detail.path.clone();
        if path.is_empty() {
            return;
        }
        let is_due = self.detail.ask_at.is_some_and(|at| at <= self.now);
        if is_due && self.detail.asked.is_none() {
            self.detail.ask_at = None;
            self.detail.asked_at = self.now;
            self.detail_ask(Step::Head);
        }
        let version = self.detail.head.as_ref().and_then(|head| head.version);
        if let (Some(root), Some(version)) = (path.root(), version)
            && self.detail.writers.wants(root, version, self.now)
        {
            let route = Route::History { root: root.clone() };
            self.ask(Purpose::Changes(path.prefix(1)), Job::Read(route));
        }
    }

    fn detail_ask(&mut self, step: Step) {
        let path = self.detail.path.clone();
        self.detail.asked = Some((path.clone(), step));
        let purpose = Purpose::Detail(path.clone());
        let route = match step {
            Step::Head => Route::List { path, page: Page { limit: 1, ..Page::default() } },
            Step::Whole => Route::Get { path, read: Read::default() },
            Step::Below => Route::Find { path, search: Search { limit: BELOW, ..Search::default() } },
        };
        self.ask(purpose, Job::Read(route));
    }

    pub(super) fn detail_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        match purpose {
            Purpose::Detail(_) => self.detail_answer(outcome),
            Purpose::Changes(path) => {
                if let Some(root) = path.root() {
                    self.detail.writers.answer(root, outcome.map_err(|failed| failed.to_string()), self.now);
                }
            }
            Purpose::Measure(path) => self.copy_measured(path, outcome),
            Purpose::Copy(path) => match outcome {
                Ok(value) => self.copy_it(&path, &value),
                Err(failed) => self.complain(failed.to_string()),
            },
            _ => {}
        }
    }

    fn detail_answer(&mut self, outcome: Result<Value, Failed>) {
        let Some((path, step)) = self.detail.asked.take() else { return };
        if path != self.detail.path {
            // The cursor moved on meanwhile, and its node is asked for when that is due.
            return;
        }
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failed) => return self.detail_failed(failed),
        };
        match step {
            Step::Head => self.detail_head(&answer),
            Step::Whole => self.detail.body = view::leaf(&self.look, &path, &answer),
            Step::Below => self.detail.body = view::below(&self.look, &path, &answer),
        }
    }

    fn detail_failed(&mut self, failed: Failed) {
        let is_gone = matches!(&failed, Failed::Refused(refusal) if refusal.code == "not_found");
        if matches!(failed, Failed::NotReached(_)) && self.detail.head.is_some() {
            // What was read stays readable; the banner says that the server is away.
            return;
        }
        self.detail_forget();
        self.detail.failed =
            Some(if is_gone { "nothing is here any more".into() } else { failed.to_string() });
    }

    fn detail_head(&mut self, page: &Value) {
        let Some(head) = Head::read(page) else { return };
        let value = page.get("row").and_then(|row| row.get("value"));
        match (head.shown.kind, value) {
            (Kind::Container, _) if head.shown.count == 0 => {
                self.detail.body = view::note(&self.look, "nothing is below it");
            }
            (Kind::Container, _) => self.detail_ask(Step::Below),
            (_, Some(value)) => self.detail.body = view::leaf(&self.look, &self.detail.path, value),
            _ => self.detail_ask(Step::Whole),
        }
        (self.detail.head, self.detail.failed) = (Some(head), None);
    }

    /// Scrolls it.
    pub(super) fn detail_scroll(&mut self, action: Action) {
        let inside = inside(draw::areas(self).detail);
        let head = self.detail_lines(inside);
        let mut pane = self.detail.pane;
        pane.act(action, head.iter().chain(&self.detail.body), (inside.width, inside.height));
        self.detail.pane = pane;
    }

    pub(super) fn detail_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let title = self.look.clean(&self.detail.path.to_string());
        let room = usize::from(area.width).saturating_sub(4);
        let title = draw::tail(&title, room, self.look.glyphs.more);
        let head = self.detail_lines(inside(area));
        self.detail.pane.draw(frame, &self.look, (area, &title), head.iter().chain(&self.detail.body));
    }

    /// Copies the cursor's value, in full: it's asked for anew, once it's known to be small enough.
    pub(super) fn copy_value(&mut self) {
        let path = self.detail_path();
        if !path.is_empty() {
            let search = Search { limit: crate::api::route::MAX_ROWS, ..Search::default() };
            self.ask(Purpose::Measure(path.clone()), Job::Read(Route::Find { path, search }));
        }
    }

    fn copy_measured(&mut self, path: Path, outcome: Result<Value, Failed>) {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failed) => return self.complain(failed.to_string()),
        };
        let rows = answer.get("found").and_then(Value::as_list).map_or(&[][..], |rows| rows.items());
        let bytes = |row: &Value| match row.get("bytes").and_then(Value::as_int) {
            Some(bytes) => u64::try_from(bytes).unwrap_or(u64::MAX),
            None => 0,
        };
        let all = rows.iter().map(bytes).fold(0, u64::saturating_add);
        let is_all = answer.get("next").is_none_or(|next| *next == Value::Null);
        if is_all && all <= MAX_COPY {
            let read = Read::default();
            self.ask(Purpose::Copy(path.clone()), Job::Read(Route::Get { path, read }));
        } else {
            let path = path.to_string();
            self.complain(format!("{path} is too large to be copied; tega get {path} prints it"));
        }
    }

    fn copy_it(&mut self, path: &Path, value: &Value) {
        let text = value.as_str().map_or_else(|| value.to_string(), String::from);
        self.copy(text, &path.to_string());
    }
}
