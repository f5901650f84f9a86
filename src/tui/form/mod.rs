//! # The form over the screen
//!
//! A function is a leaf whose text is `%OWNER.FUNC(a, b=3)`. To call it, its arguments are typed into fields that the text
//! names; what isn't named goes into one more line, as on the command line. Where it isn't said which function is meant, or
//! which root of a router, a choice stands there first.
//!
//! While a form is open it takes every key, so that it says itself what keys do.
//!
//! **How it fails.** A call is sent once: it isn't known what a function does, so nothing repeats it but the user. What came of
//! it is said in one of four ways: answered, failed (the owner said so), did not happen, or unknown. A form that is closed
//! while a call is under way leaves the answer to the message line.
//!
//! What it isn't: a check of arguments. Only the owner of a function knows what it takes.

mod call;
mod choose;
mod signature;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

use self::call::Call;
pub(super) use self::choose::Then;
use self::choose::{Choose, Searching};
use self::signature::Signature;
use super::app::App;
use super::ask::{Failed, Job, Purpose};
use super::model::Kind;
use crate::api::route::{Read, Route};
use crate::path::Path;
use crate::value::Value;
use crate::words;

/// The form that is open.
#[derive(Debug)]
pub(super) enum Form {
    /// One of several things is chosen first.
    Choose(Choose),
    /// The text of this function is on its way.
    Reading(Path),
    /// A call.
    Call(Box<Call>),
}

impl App {
    /// Opens the form of the function at a path of the tree.
    pub(super) fn form_for(&mut self, path: &Path) {
        let shown = self.tree.model.row(path).map(|row| &row.shown);
        match shown.filter(|shown| shown.kind == Kind::Function) {
            Some(shown) if shown.is_cut() => self.form_read(path.clone()),
            Some(shown) => {
                let text = shown.text().to_string();
                self.form_call(path.clone(), &text);
            }
            None => self.complain(format!("{path} is no function; that is a leaf of the form %OWNER.FUNC")),
        }
    }

    /// Opens the form of a function with this text.
    fn form_call(&mut self, path: Path, text: &str) {
        match Signature::parse(text) {
            Some(signature) => self.form = Some(Form::Call(Box::new(Call::new(path, signature)))),
            None => {
                self.form = None;
                self.complain(format!("{path} is {text:?}, which isn't of the form %OWNER.FUNC"));
            }
        }
    }

    /// Opens the form of a function whose text isn't known in full.
    fn form_read(&mut self, path: Path) {
        self.form = Some(Form::Reading(path.clone()));
        let route = Route::Get { path: path.clone(), read: Read::default() };
        self.ask(Purpose::Signature(path), Job::Read(route));
    }

    /// Lets the user choose one of several paths, each with a few words about it.
    pub(super) fn form_choose(&mut self, title: String, items: Vec<(Path, String)>, then: Then) {
        self.form = Some(Form::Choose(Choose::new(title, items, then)));
    }

    /// Looks for the functions of a router in its roots, and calls the one that is chosen.
    pub(super) fn form_functions(&mut self, id: &str, roots: Vec<Path>) {
        let mut choose = Choose::new(format!("functions of {id}"), Vec::new(), Then::Call);
        choose.searching = Some(Searching { id: id.into(), roots, looked: 0 });
        self.form = Some(Form::Choose(choose));
        self.form_look(None);
    }

    pub(super) fn form_key(&mut self, key: KeyEvent) {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('l') if ctrl => return self.effect(super::app::Effect::Redraw),
            KeyCode::Char('z') if ctrl => return self.effect(super::app::Effect::Suspend),
            KeyCode::Esc => return self.form_close(),
            KeyCode::Char('c' | 'g') if ctrl => return self.form_close(),
            _ => {}
        }
        match &self.form {
            Some(Form::Choose(_)) => self.choose_key(key),
            Some(Form::Call(_)) => self.call_key(key),
            Some(Form::Reading(_)) | None => {}
        }
    }

    fn form_close(&mut self) {
        if let Some(Form::Call(call)) = self.form.take()
            && call.is_under_way()
        {
            self.say(format!("the call of {} goes on; what comes of it is told here", call.path));
        }
    }

    pub(super) fn form_paste(&mut self, text: &str) {
        if let Some(Form::Call(call)) = &mut self.form {
            call.paste(text);
        }
    }

    pub(super) fn form_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        match purpose {
            Purpose::Functions(root) => self.choose_found(&root, outcome),
            Purpose::Signature(path) => {
                if !matches!(&self.form, Some(Form::Reading(wanted)) if *wanted == path) {
                    return;
                }
                match outcome {
                    Ok(value) => self.form_call(path, value.as_str().unwrap_or_default()),
                    Err(failed) => {
                        self.form = None;
                        self.complain(failed.to_string());
                    }
                }
            }
            Purpose::Call(path, number) => {
                let width = self.form_width();
                match &mut self.form {
                    Some(Form::Call(call)) if call.is_of(number) => call.came_of_it(outcome, self.now, width),
                    _ => self.form_told(&path, outcome),
                }
            }
            _ => {}
        }
    }

    /// What came of a call whose form was closed.
    fn form_told(&mut self, path: &Path, outcome: Result<Value, Failed>) {
        match outcome {
            Ok(answer) => {
                let result = answer.get("result").map_or(String::new(), words::short);
                self.say(format!("{path} answered: {result}"));
            }
            Err(failed) => {
                let (said, why) = call::failure(&failed);
                self.complain(format!("{path}: {said}: {why}"));
            }
        }
    }

    pub(super) fn form_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        match &self.form {
            Some(Form::Choose(choose)) => choose.draw(frame, self, area),
            Some(Form::Reading(path)) => {
                let title =
                    format!("call {}: reading{}", self.look.clean(&path.to_string()), self.look.glyphs.more);
                super::draw::boxed(frame, self, area, (self.form_width() + 2, 3), &title);
            }
            Some(Form::Call(call)) => call.draw(frame, self, area),
            None => {}
        }
    }

    /// Columns inside of the box.
    fn form_width(&self) -> u16 {
        self.size.0.min(92).saturating_sub(2)
    }
}
