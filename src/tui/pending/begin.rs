//! Before something is typed: whether the node may be changed, and what it is now.

use super::super::app::App;
use super::super::ask::{Failed, Job, Purpose, Why};
use super::super::model::Kind;
use super::enter;
use super::{Change, MAX_VALUE, Was, part};
use crate::api::route::{Page, Read, Route};
use crate::path::Path;
use crate::value::Value;

/// What is being changed.
#[derive(Clone, Debug)]
pub(super) struct Doing {
    pub(super) why: Why,
    pub(super) path: Path,
    /// What the server has there.
    pub(super) base: Was,
    pub(super) version: i64,
    /// What it will be so far, with what is staged.
    pub(super) value: Option<Value>,
    /// Where something is to be put.
    pub(super) target: Path,
    /// What the editor was given last, or left.
    pub(super) text: String,
    /// The node that was asked for last.
    pub(super) asked: Path,
}

impl Doing {
    pub(super) fn new(why: Why, path: Path) -> Doing {
        Doing {
            why,
            base: Was::Nothing,
            version: -1,
            value: None,
            target: path.clone(),
            text: String::new(),
            asked: path.clone(),
            path,
        }
    }

    /// Something else than the node itself gets the value.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.why, Why::Add | Why::Duplicate | Why::Rename)
    }
}

/// A node as `_list` tells of it.
pub(super) struct Seen {
    pub(super) version: i64,
    pub(super) root_version: Option<i64>,
    /// A short leaf's.
    pub(super) value: Option<Value>,
    is_leaf: bool,
}

impl Seen {
    /// `None`: it's ephemeral, and has no version.
    pub(super) fn read(page: &Value) -> Option<Seen> {
        Some(Seen {
            version: page.get("version").and_then(Value::as_int)?,
            root_version: page.get("root_version").and_then(Value::as_int),
            value: page.get("row").and_then(|row| row.get("value")).cloned(),
            is_leaf: page.get("kind").and_then(Value::as_str) == Some("leaf"),
        })
    }

    /// Reads a node that may be changed; an error is why it may not.
    pub(super) fn changeable(path: &Path, page: &Value) -> Result<Seen, String> {
        if let Some(refusal) = page.get("refusal") {
            let message = refusal.get("message").and_then(Value::as_str);
            return Err(message.unwrap_or("the server takes no change of it").into());
        }
        Seen::read(page).ok_or_else(|| match page.get("owner").and_then(Value::as_str) {
            Some(owner) => format!("{path} is ephemeral: it's {owner}'s and ends with that session"),
            None => format!("{path} is there only for ephemeral nodes below it, and ends with them"),
        })
    }
}

/// The question for a node, without what is below it.
pub(super) fn look(path: Path) -> Job {
    Job::Read(Route::List { path, page: Page { limit: 1, ..Page::default() } })
}

/// The question for a node's value as its root was in this version, which has nothing ephemeral.
pub(super) fn whole(path: Path, version: Option<i64>) -> Job {
    Job::Short(Route::Get { path, read: Read { version, ..Read::default() } }, MAX_VALUE)
}

pub(super) fn has_code(failed: &Failed, code: &str) -> bool {
    matches!(failed, Failed::Refused(refusal) if refusal.code == code)
}

impl App {
    /// Begins a change of the cursor's node: first it's asked whether it may be changed.
    pub(in crate::tui) fn change(&mut self, why: Why) {
        let mut path = self.tree.cursor.clone();
        let is_container = self.tree.row().is_some_and(|row| row.shown.kind == Kind::Container);
        if why == Why::Add && !is_container {
            path = path.parent().unwrap_or(Path::TOP);
        }
        self.pending.doing = None;
        if let Err(refused) = self.may_begin(why, &path) {
            return self.complain(refused);
        }
        let doing = Doing::new(why, path.clone());
        if path.is_empty() {
            // What a new root may be refused for is known only of its name.
            return self.ready(doing);
        }
        self.pending.doing = Some(doing);
        self.ask(Purpose::MayEdit(path.clone(), why), look(path));
    }

    fn may_begin(&self, why: Why, path: &Path) -> Result<(), String> {
        if self.pending.committing {
            return Err("a commit is under way".into());
        }
        if path.is_empty() && why != Why::Add {
            return Err("no node is here".into());
        }
        if path.len() == 1 && why == Why::Rename {
            return Err("a root keeps its name: D puts a copy under another, d deletes this one".into());
        }
        self.pending.in_the_way(path)
    }

    /// What is being changed, where this answer is the one that it waits for, and nothing else was opened meanwhile.
    fn awaited(&mut self, path: &Path) -> Option<Doing> {
        if self.prompt.is_some() || self.form.is_some() {
            return None;
        }
        self.pending.doing.take_if(|doing| doing.asked == *path)
    }

    pub(super) fn looked(&mut self, path: &Path, outcome: Result<Value, Failed>) {
        let Some(mut doing) = self.awaited(path) else { return };
        let seen = match outcome {
            Ok(page) => Seen::changeable(path, &page),
            Err(failed) => Err(failed.to_string()),
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => return self.complain(why),
        };
        doing.version = seen.version;
        if let Some(value) = seen.value {
            doing.base = Was::Value(value);
        } else if doing.why != Why::Add {
            self.pending.doing = Some(doing);
            return self.ask(Purpose::Value(path.clone()), whole(path.clone(), seen.root_version));
        }
        self.ready(doing);
    }

    pub(super) fn read_whole(&mut self, path: &Path, outcome: Result<Value, Failed>) {
        let Some(mut doing) = self.awaited(path) else { return };
        doing.base = match outcome {
            Ok(value) => Was::Value(value),
            Err(failed) if has_code(&failed, "too_large") && doing.why == Why::Delete => Was::Large,
            Err(failed) if has_code(&failed, "too_large") => {
                let most = MAX_VALUE >> 10;
                return self.complain(format!(
                    "{path} has more than {most} KiB: change parts of it, or use tega get and tega import"
                ));
            }
            Err(failed) if has_code(&failed, "not_found") => {
                return self.complain(format!("{path} was changed just now: try again"));
            }
            Err(failed) => return self.complain(failed.to_string()),
        };
        self.ready(doing);
    }

    /// All is known that has to be, before something is typed.
    fn ready(&mut self, mut doing: Doing) {
        match self.pending.effective(&doing.path, doing.base.value().cloned()) {
            Ok(value) => doing.value = value,
            Err(why) => return self.complain(why),
        }
        if let Some(path) = self.pending.changed_below(&doing) {
            return self
                .complain(format!("{path} is staged, and was changed by others meanwhile: 6 shows both"));
        }
        let covering = self.pending.covering(&doing.path);
        if let Some(change) = covering.filter(|_| doing.value.is_none() && doing.why != Why::Add) {
            let text = format!("{} will be gone by the change of {}", doing.path, change.path);
            return self.complain(text);
        }
        match doing.why {
            Why::Edit => self.edit(doing),
            Why::EditText => self.edit_text(doing),
            Why::Add | Why::Duplicate | Why::Rename => self.ask_place(doing),
            Why::Delete => {
                let Doing { path, base, version, .. } = doing;
                self.stage(&path.clone(), vec![Change::new(path, base, version, None)]);
            }
            Why::Target => {}
        }
    }

    /// A place was typed: whether nothing is there, and something may be put.
    pub(super) fn look_at_target(&mut self, mut doing: Doing) {
        let target = doing.target.clone();
        if self.pending.covering(&target).is_some() {
            // What is staged says it all.
            return self.placed(doing);
        }
        doing.asked = target.clone();
        self.pending.doing = Some(doing);
        self.ask(Purpose::MayEdit(target.clone(), Why::Target), look(target));
    }

    /// Where nothing is, the nearest node above says whether something may be put.
    pub(super) fn target_looked(&mut self, path: &Path, outcome: Result<Value, Failed>) {
        let Some(mut doing) = self.awaited(path) else { return };
        match outcome {
            Ok(_) if *path == doing.target => {
                let why = doing.why;
                let typed = enter::relative(&doing);
                self.open_place(doing, why, &typed);
                self.note("something is there already");
            }
            Ok(page) => match Seen::changeable(path, &page) {
                Ok(seen) if seen.is_leaf => {
                    self.complain(format!("{path} is a value, and nothing can be below it"));
                }
                Ok(_) => self.placed(doing),
                Err(why) => self.complain(why),
            },
            Err(failed) if has_code(&failed, "not_found") => match path.parent() {
                Some(above) if !above.is_empty() => {
                    doing.asked = above.clone();
                    self.pending.doing = Some(doing);
                    self.ask(Purpose::MayEdit(above.clone(), Why::Target), look(above));
                }
                _ => self.placed(doing),
            },
            Err(failed) => self.complain(failed.to_string()),
        }
    }

    fn placed(&mut self, doing: Doing) {
        let target = doing.target.clone();
        if doing.why == Why::Add {
            return self.ask_value(doing);
        }
        let Some(value) = doing.value.clone() else { return };
        if let Err(why) = enter::fits_root(&target, &value) {
            return self.complain(why);
        }
        let mut changes = vec![Change::new(target.clone(), Was::Nothing, -1, Some(value))];
        if doing.why == Why::Rename {
            changes.push(Change::new(doing.path, doing.base, doing.version, None));
        }
        self.stage(&target, changes);
    }

    /// Whether nothing is at a place that was typed, as far as what is staged can tell.
    pub(super) fn is_free(&self, target: &Path) -> Result<(), String> {
        let there = || format!("{target} is staged already");
        if let Some(change) = self.pending.covering(target) {
            let keys = target.keys().get(change.path.len()..).unwrap_or_default();
            if change.mine.as_ref().is_some_and(|mine| part::at(mine, keys).is_some()) {
                return Err(there());
            }
            // What was deleted may come again; below it nothing can.
            return if change.path == *target { Ok(()) } else { self.pending.in_the_way(target) };
        }
        let below = |path: &Path| target.contains(path);
        let is_there = self.pending.changes.iter().any(|change| below(&change.path) && change.mine.is_some());
        if is_there { Err(there()) } else { self.pending.in_the_way(target) }
    }
}
