//! The way back to a version: may it be gone, what would it change, does the user want that; and then what came of it.

use super::diff::{Diff, values};
use super::{App, Failed, Screen};
use crate::api::route::{Page, Route};
use crate::path::{Key, Path};
use crate::store::{Expect, Op};
use crate::tui::ask::{Job, Purpose};
use crate::tui::pane::Pane;
use crate::tui::prompt::{For, Question};
use crate::value::Value;

/// What a rollback would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Preview {
    /// The version that was the present one.
    pub from: i64,
    /// The one that it goes back to.
    pub to: i64,
    /// `None`: not here yet.
    pub diff: Option<Diff>,
}

impl App {
    /// The user wants back to the cursor's version.
    pub(super) fn rollback_begin(&mut self) {
        let (Some(past), Some(present)) = (self.history.at_cursor(), self.history.present()) else {
            return self.say("there's no version to go back to");
        };
        let (from, to) = (present.version, past.version);
        if let Some(name) = &past.replaced {
            let root = Path::from_checked(vec![self.history.root.clone()]);
            let text =
                format!("set aside, not kept: tega get --replaced {name} {root} prints it, to be put again");
            return self.complain(text);
        }
        if from == to {
            return self.say(format!("version {to} is the present one"));
        }
        self.history.preview = Some(Preview { from, to, diff: None });
        self.history.pane = Pane::default();
        let root = self.history.root.clone();
        let path = Path::from_checked(vec![root.clone()]);
        let route = Route::List { path, page: Page { limit: 1, ..Page::default() } };
        self.ask(Purpose::MayRollBack(root, to), Job::Read(route));
    }

    /// The preview that an answer is for; `None`: nobody wants it any more.
    fn wanted(&mut self, root: &Key, version: i64) -> Option<&mut Preview> {
        let is_here = self.screen == Screen::History && *root == self.history.root;
        self.history.preview.as_mut().filter(|preview| is_here && preview.to == version)
    }

    /// Whether it may be: what stands against it is said before anything else.
    pub(super) fn rollback_may(&mut self, root: &Key, to: i64, outcome: Result<Value, Failed>) {
        let Some(preview) = self.wanted(root, to) else { return };
        let why = match &outcome {
            Ok(page) => {
                // It may be newer than the list.
                preview.from = page.get("root_version").and_then(Value::as_int).unwrap_or(preview.from);
                page.get("refusal").map(|refusal| {
                    refusal.get("message").and_then(Value::as_str).unwrap_or("it's refused").to_string()
                })
            }
            // A deleted root has nothing that could be listed, and can be brought back.
            Err(Failed::Refused(refusal)) if refusal.code == "not_found" => None,
            Err(failed) => Some(failed.to_string()),
        };
        let from = preview.from;
        if let Some(why) = why {
            self.history.preview = None;
            return self.complain(why);
        }
        let route = Route::Diff { root: root.clone(), from, to: Some(to) };
        self.ask(Purpose::Preview(root.clone(), to), Job::Read(route));
    }

    /// What it would change: now it's asked whether that's wanted.
    pub(super) fn rollback_preview(&mut self, root: &Key, to: i64, outcome: Result<Value, Failed>) {
        let is_free = self.prompt.is_none() && self.form.is_none() && self.help.is_none();
        let look = self.look;
        let Some(preview) = self.wanted(root, to) else { return };
        match outcome {
            Ok(answer) => {
                let (diff, from) = (Diff::read(&look, &answer), preview.from);
                let count = diff.values;
                if count == 0 {
                    self.history.preview = None;
                    return self.say(format!("version {to} is as version {from}, the present one"));
                }
                preview.diff = Some(diff);
                // Who began to do something else meanwhile is to ask again.
                if is_free {
                    let label = format!("back to version {to} ({})? y/n ", values(count));
                    self.prompt(For::Question(Question::Rollback(root.clone(), to)), label, "");
                }
            }
            Err(failed) => {
                self.history.preview = None;
                self.complain(failed.to_string());
            }
        }
    }

    /// A preview that was answered, or left, goes.
    pub(super) fn rollback_tick(&mut self) {
        let is_shown = self.history.preview.as_ref().is_some_and(|preview| preview.diff.is_some());
        if is_shown && self.prompt.is_none() {
            self.history.preview = None;
            self.history.pane = Pane::default();
        }
    }

    /// Makes this version the present one: the user said yes. A commit since the preview makes the server refuse.
    pub(in crate::tui) fn history_roll_back(&mut self, root: Key, version: i64) {
        let Some(preview) = self.wanted(&root, version) else { return };
        let expect = Some(Expect::version(preview.from));
        self.say(format!("going back to version {version}{}", self.look.glyphs.loading));
        let op = Op::Rollback { root: root.clone(), back_to: version, expect };
        self.ask(Purpose::Rollback(root, version), Job::Commit(vec![op]));
    }

    /// What came of it.
    pub(super) fn rollback_done(&mut self, root: &Key, to: i64, outcome: Result<Value, Failed>) {
        match outcome {
            Ok(receipt) => {
                let version = receipt.get("versions").and_then(|all| all.get(root)).and_then(Value::as_int);
                let version = version.map_or("a new version".into(), |version| format!("version {version}"));
                let is_here = receipt.get("applied").and_then(Value::as_bool) != Some(false);
                let late = if is_here { "" } else { "; this server will show it once it has heard of it" };
                self.say(format!("{root} is at {version}, which is as version {to} was{late}"));
                self.all_stale();
            }
            Err(Failed::Refused(refusal)) if refusal.code == "conflict" => {
                self.complain(format!(
                    "somebody changed {root} since the preview; nothing was done, b looks again"
                ));
            }
            Err(failed) => self.complain(failed.to_string()),
        }
        if *root == self.history.root {
            self.history.ask_at = Some(self.now);
        }
    }
}
