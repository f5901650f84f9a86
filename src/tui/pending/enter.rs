//! What is typed: a place, a value in a line, a value in the editor; and what is said of it while it's typed.

use super::super::app::{App, Effect, Screen};
use super::super::ask::Why;
use super::super::line::{Line, MAX_LINE};
use super::super::look::cut;
use super::super::prompt::{For, Question};
use super::begin::Doing;
use super::typing::{Type, Typing};
use super::{Change, MAX_VALUE, short};
use crate::path::{Path, write_keys};
use crate::value::Value;

/// A root can't be a leaf.
pub(super) fn fits_root(path: &Path, value: &Value) -> Result<(), String> {
    if path.len() == 1 && value.as_object().is_none() {
        return Err("a root must be a container, such as {}".into());
    }
    Ok(())
}

/// The container that a place is typed below.
fn above(doing: &Doing) -> Path {
    match doing.why {
        Why::Add => doing.path.clone(),
        _ => doing.path.parent().unwrap_or(Path::TOP),
    }
}

/// A place as it's typed: below a container, or from the top with a `/` before it.
fn place(above: &Path, text: &str) -> Result<Path, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a name; / before it: from the top".into());
    }
    let typed = Path::parse(text).map_err(|error| error.to_string())?;
    let path = if text.starts_with('/') {
        typed
    } else {
        Path::new(above.keys().iter().chain(typed.keys()).cloned()).map_err(|error| error.to_string())?
    };
    path.check_root().map_err(|error| error.to_string())?;
    Ok(path)
}

/// The place that was typed, as it's typed.
pub(super) fn relative(doing: &Doing) -> String {
    let above = above(doing);
    if !above.contains(&doing.target) {
        return doing.target.to_url();
    }
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write_keys(doing.target.keys().get(above.len()..).unwrap_or_default(), &mut text);
    text
}

/// Whether a value is edited in a line: text on several of them, or more than a line takes, is for an editor.
fn is_line(value: &Value) -> bool {
    match value {
        Value::Text(text) => !text.chars().any(char::is_control) && text.chars().count() < MAX_LINE,
        Value::List(_) | Value::Object(_) => false,
        _ => true,
    }
}

impl App {
    /// A path in a prompt: the last key where there's no room for all.
    fn named(&self, path: &Path) -> String {
        let text = path.to_string();
        if text.chars().count() * 3 <= usize::from(self.size.0) {
            return text;
        }
        let name = path.name().map_or("", |name| name.as_str());
        cut(name, usize::from(self.size.0 / 3), self.look.glyphs.more)
    }

    /// Says something beside what is typed.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        if let Some(prompt) = &mut self.prompt {
            prompt.note = text.into();
        }
    }

    /// A value is changed in place, where a line can show it.
    pub(super) fn edit(&mut self, doing: Doing) {
        let (kind, text) = match &doing.value {
            // There's one other.
            Some(Value::Bool(now)) => (Type::Bool, (!now).to_string()),
            Some(value) if is_line(value) => {
                (Type::of(value), value.as_str().map_or_else(|| value.to_string(), str::to_string))
            }
            _ => return self.edit_text(doing),
        };
        self.open_value(doing, kind, &text);
    }

    pub(super) fn edit_text(&mut self, mut doing: Doing) {
        // A text that wasn't right and was left is where it goes on.
        let left = self.pending.left.take_if(|(path, _)| *path == doing.path);
        doing.text = left.map_or_else(
            || doing.value.as_ref().map_or(String::new(), Value::to_pretty) + "\n",
            |(_, text)| text,
        );
        if doing.text.len() > 2 * MAX_VALUE {
            let text = format!("{} is too long for an editor: change parts of it", doing.path);
            return self.complain(text);
        }
        self.effect(Effect::Editor(doing.text.clone(), "json"));
        self.pending.doing = Some(doing);
    }

    pub(super) fn ask_place(&mut self, doing: Doing) {
        let mut text = String::new();
        let name = doing.path.name().cloned().unwrap_or_default();
        let offered = match doing.why {
            Why::Add => None,
            Why::Duplicate => Some(format!("{name}-copy")),
            _ => Some(name.to_string()),
        };
        if let Some(name) = offered {
            // Writing to a String can't fail.
            let _ = write_keys(&[name.into()], &mut text);
        }
        let why = doing.why;
        self.open_place(doing, why, &text);
    }

    pub(super) fn open_place(&mut self, doing: Doing, why: Why, text: &str) {
        let name = self.named(&doing.path);
        let label = match why {
            Why::Add if doing.path.is_empty() => "add a root: ".to_string(),
            Why::Add => format!("add to {name}: "),
            Why::Duplicate => format!("copy {name} to: "),
            _ => format!("rename {name} to: "),
        };
        self.pending.doing = Some(doing);
        self.prompt(For::Change(Typing::Place(why)), label, text);
        self.pending_typed();
    }

    /// A new node's value.
    pub(super) fn ask_value(&mut self, doing: Doing) {
        let text = if doing.target.len() == 1 { "{}" } else { "" };
        self.open_value(doing, Type::Any, text);
    }

    fn open_value(&mut self, doing: Doing, kind: Type, text: &str) {
        let label = format!("{} = ", self.named(&doing.target));
        self.pending.doing = Some(doing);
        let typing = Typing::Value { kind, had: kind, kept: text.to_string() };
        self.prompt(For::Change(typing), label, text);
        self.pending_typed();
    }

    /// What is typed about a change, and what about.
    fn typed(&self) -> Option<(Typing, String, &Doing)> {
        let prompt = self.prompt.as_ref()?;
        let For::Change(typing) = &prompt.what else { return None };
        Some((typing.clone(), prompt.line.text(), self.pending.doing.as_ref()?))
    }

    /// Whether what stands there will do, and what is said of it.
    fn judge(&self) -> (bool, String) {
        let Some((typing, text, doing)) = self.typed() else { return (true, String::new()) };
        match typing {
            Typing::Value { kind, had, .. } => {
                let value = kind.read(&text);
                let fits = value.as_ref().map(|value| fits_root(&doing.target, value));
                match fits {
                    Ok(Err(why)) => (false, why),
                    Ok(Ok(())) => (true, kind.note(had, &text)),
                    Err(_) => (false, kind.note(had, &text)),
                }
            }
            Typing::Place(_) => match self.judge_place(doing, &text) {
                Ok(target) => {
                    let deep = target.len().saturating_sub(above(doing).len());
                    let note = if deep > 1 && !text.trim().starts_with('/') {
                        format!("{deep} levels; one with dots: [\"a.b\"]")
                    } else {
                        String::new()
                    };
                    (true, note)
                }
                Err(why) => (false, why),
            },
        }
    }

    fn judge_place(&self, doing: &Doing, text: &str) -> Result<Path, String> {
        let target = place(&above(doing), text)?;
        match doing.why {
            Why::Duplicate | Why::Rename if target == doing.path => return Err("another name".into()),
            Why::Rename if target.root() != doing.path.root() => {
                return Err("not into another root: D puts a copy there".into());
            }
            Why::Rename if doing.path.contains(&target) => return Err("not below itself".into()),
            _ => {}
        }
        self.is_free(&target)?;
        Ok(target)
    }

    /// Something was typed about a change.
    pub(in crate::tui) fn pending_typed(&mut self) {
        let (_, note) = self.judge();
        self.note(note);
    }

    /// Whether Enter will do; what it won't do for is said.
    pub(in crate::tui) fn pending_fits(&mut self) -> bool {
        let (fits, note) = self.judge();
        self.note(note);
        fits
    }

    /// The type of the value that is typed: the next one.
    pub(in crate::tui) fn pending_turn(&mut self) {
        let Some(prompt) = &mut self.prompt else { return };
        let For::Change(Typing::Value { kind, had, kept }) = &mut prompt.what else { return };
        if !matches!(kind, Type::Bool | Type::Null) {
            *kept = prompt.line.text();
        }
        *kind = kind.next(*had == Type::Any);
        prompt.line = Line::new(&kind.offer(kept));
        self.pending_typed();
    }

    /// Enter, with this text.
    pub(in crate::tui) fn pending_entered(&mut self, typing: Typing, text: &str) {
        let Some(mut doing) = self.pending.doing.take() else { return };
        match typing {
            Typing::Place(_) => match self.judge_place(&doing, text) {
                Ok(target) => {
                    doing.target = target;
                    self.look_at_target(doing);
                }
                Err(why) => self.complain(why),
            },
            Typing::Value { kind, .. } => match kind.read(text) {
                Ok(value) => {
                    if let Err(why) = self.accept(&doing, value) {
                        self.complain(why);
                    }
                }
                Err(why) => self.complain(why),
            },
        }
    }

    /// The editor ended.
    pub(in crate::tui) fn pending_edited(&mut self, outcome: Result<String, String>) {
        let Some(mut doing) = self.pending.doing.take() else { return };
        let text = match outcome {
            Ok(text) => text,
            Err(why) => return self.complain(why),
        };
        let value = Value::parse(text.trim_end()).map_err(|error| error.to_string());
        let Err(why) = value.and_then(|value| self.accept(&doing, value)) else {
            self.pending.left = None;
            return;
        };
        // Whoever typed it doesn't lose it, not even by a key that means no.
        self.pending.left = Some((doing.path.clone(), text.clone()));
        doing.text = text;
        self.pending.doing = Some(doing);
        self.prompt(For::Question(Question::EditAgain), format!("Edit again? y/n: {why} "), "");
    }

    /// The editor once more: the user said yes.
    pub(in crate::tui) fn pending_edit_again(&mut self) {
        // What is left stays until it's accepted: the editor may fail.
        if let Some(doing) = &self.pending.doing {
            let text = doing.text.clone();
            self.effect(Effect::Editor(text, "json"));
        }
    }

    /// A value is staged.
    fn accept(&mut self, doing: &Doing, value: Value) -> Result<(), String> {
        let path = doing.target.clone();
        fits_root(&path, &value)?;
        let change = match doing.is_elsewhere() {
            true => Change::new(path.clone(), super::Was::Nothing, -1, Some(value)),
            false => Change::new(path.clone(), doing.base.clone(), doing.version, Some(value)),
        };
        self.try_stage(&path, vec![change])
    }

    pub(super) fn stage(&mut self, path: &Path, changes: Vec<Change>) {
        if let Err(why) = self.try_stage(path, changes) {
            self.complain(why);
        }
    }

    fn try_stage(&mut self, path: &Path, changes: Vec<Change>) -> Result<(), String> {
        let is_new = self.pending.stage(changes)?;
        let how = match self.pending.covering(path) {
            _ if !is_new => "nothing changed".into(),
            None => format!("{path} stays as it was"),
            Some(change) => match &change.mine {
                Some(value) if change.path == *path => format!("{path} will be {}", short(path, value)),
                Some(_) => format!("{path} is a part of the change of {}", change.path),
                None => format!("{path} will be deleted"),
            },
        };
        let is_in_tree = self.screen == Screen::Tree && is_new;
        self.say(how + if is_in_tree { "; u takes that back, c commits" } else { "" });
        Ok(())
    }
}
