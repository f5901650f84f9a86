//! Every link of the server, and the server behind it.
//!
//! The links are those of the newest `/_status`, kept as they came: a line is made when it's shown, so that ten thousand routers
//! cost a frame what fits on it. They stand in the order of their IDs, where they can be found again, until `s` puts those
//! first that something is wrong with. The cursor stays on its router, whatever comes and goes.

use std::cmp::Reverse;

use super::app::{App, Screen};
use super::draw::lines_of_router;
use super::find::marks;
use super::form::Then;
use super::keys::Action;
use super::list::List;
use super::prompt::For;
use crate::path::Path;
use crate::value::{Object, Value};
use crate::words::links;

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// The links in the order in which they're shown.
    pub(super) order: Vec<usize>,
    /// What something is wrong with comes first.
    pub(super) by_trouble: bool,
    /// Whose link the cursor is on.
    chosen: String,
    pub(super) up: usize,
    /// What was looked for, and where the cursor was before.
    text: String,
    before: String,
    /// The longest ID.
    pub(super) longest: usize,
    pub(super) list: List,
}

#[cfg(test)]
impl Fleet {
    pub(super) fn chosen(&self) -> &str {
        &self.chosen
    }
}

impl App {
    /// The screen is shown.
    pub(super) fn fleet_shown(&mut self) {
        self.status.poll.soon();
        self.fleet_told();
    }

    pub(super) fn fleet_tick(&mut self) {
        self.status_tick();
    }

    /// Lines of links.
    pub(super) fn fleet_height(&self) -> usize {
        let body = super::draw::areas(self).body.height;
        usize::from(body.saturating_sub(2 + lines_of_router(body)))
    }

    pub(super) fn fleet_link(&self, at: usize) -> Option<&Value> {
        self.status.links().get(*self.fleet.order.get(at)?)
    }

    /// The router of the cursor.
    pub(super) fn fleet_chosen(&self) -> Option<&Value> {
        self.fleet_link(self.fleet.list.cursor())
    }

    /// A status came, or another order is wanted.
    pub(super) fn fleet_told(&mut self) {
        let links = self.status.links();
        let id = |at: &usize| links.get(*at).map_or("", links::id);
        let mut order: Vec<usize> = (0..links.len()).collect();
        if self.fleet.by_trouble {
            order.sort_by_cached_key(|at| (links.get(*at).map(trouble), id(at)));
        } else {
            order.sort_by_key(id);
        }
        let cursor = order.iter().position(|at| id(at) == self.fleet.chosen);
        self.fleet.up = links.iter().filter(|link| links::is_up(link)).count();
        self.fleet.longest = links.iter().map(|link| links::id(link).len()).max().unwrap_or(0);
        self.fleet.order = order;
        let (count, height) = (self.fleet.order.len(), self.fleet_height());
        self.fleet.list.to(cursor.unwrap_or(self.fleet.list.cursor()), count, height);
        self.fleet_moved();
    }

    fn fleet_moved(&mut self) {
        self.fleet.chosen = self.fleet_chosen().map_or(String::new(), |link| links::id(link).into());
    }

    pub(super) fn fleet_act(&mut self, action: Action) {
        let (height, count) = (self.fleet_height(), self.fleet.order.len());
        match action {
            Action::Close => self.show(Screen::Tree),
            Action::Refresh => self.status.poll.soon(),
            Action::Sort => {
                self.fleet.by_trouble = !self.fleet.by_trouble;
                // The order is asked for to see what comes first in it.
                (self.fleet.list, self.fleet.chosen) = (List::default(), String::new());
                self.fleet_told();
            }
            Action::Pick => self.fleet_open(),
            Action::Find => {
                self.fleet.before = self.fleet.chosen.clone();
                self.prompt(For::FleetFind, "find ", "");
            }
            Action::FindNext => self.fleet_find(1),
            Action::FindPrevious => self.fleet_find(-1),
            Action::Call => self.fleet_call(),
            action => {
                if self.fleet.list.act(action, count, height) {
                    self.fleet_moved();
                }
            }
        }
    }

    /// Goes to the first router that the text is of, while it's typed.
    pub(super) fn fleet_typed(&mut self, text: &str) {
        self.fleet.text = text.into();
        self.fleet_go(&self.fleet.before.clone());
        self.fleet_find(0);
    }

    /// The text was given up: the cursor goes back.
    pub(super) fn fleet_left(&mut self) {
        let before = std::mem::take(&mut self.fleet.before);
        self.fleet_go(&before);
        self.message = None;
    }

    fn fleet_go(&mut self, id: &str) {
        self.fleet.chosen = id.into();
        self.fleet_told();
    }

    /// Goes to a router that was looked for: the next one from the cursor on (0: itself, if it's one), and around.
    fn fleet_find(&mut self, by: isize) {
        let text = self.fleet.text.clone();
        let Some(needle) = marks(&text, false) else { return };
        let (count, height) = (self.fleet.order.len(), self.fleet_height());
        let from = self.fleet.list.cursor() as isize + by;
        let step = if by < 0 { -1 } else { 1 };
        let is_match = |at: &usize| {
            let part = |name| self.fleet_link(*at).and_then(|link| link.get(name)).and_then(Value::as_str);
            ["tega_id", "address"].iter().any(|name| part(name).is_some_and(|text| needle.is_match(text)))
        };
        let places = (0..count as isize).map(|n| (from + step * n).rem_euclid(count as isize) as usize);
        match (places.clone().find(is_match), &mut self.prompt) {
            (Some(at), _) => {
                self.fleet.list.to(at, count, height);
                self.fleet_moved();
            }
            (None, Some(prompt)) => prompt.note = "no router has that".into(),
            (None, None) => self.complain(format!("no router has {text:?} in its ID or address")),
        }
    }

    /// Goes to a root of the router, after a choice where there are several.
    fn fleet_open(&mut self) {
        let Some(link) = self.fleet_chosen() else { return };
        let id = links::id(link).to_string();
        let items: Vec<(Path, String)> =
            roots(link, false).into_iter().map(|(path, home)| (path, format!("home: {home}"))).collect();
        match items.as_slice() {
            [] => self.complain(format!("{id} has no root that is here")),
            [(path, _)] => self.go(path.clone()),
            _ => self.form_choose(format!("roots of {id}"), items, Then::Go),
        }
    }

    /// Looks for functions of the router, to call one.
    fn fleet_call(&mut self) {
        let Some(link) = self.fleet_chosen() else { return };
        let id = links::id(link).to_string();
        let roots: Vec<Path> = roots(link, true).into_iter().map(|(path, _)| path).collect();
        if roots.is_empty() {
            return self
                .complain(format!("{id} has no root that is here, so none of its functions is known"));
        }
        self.form_functions(&id, roots);
    }
}

/// What makes a link come first: that it's down, that it's refused something or its router is in trouble, how far it's behind.
fn trouble(link: &Value) -> (bool, bool, Reverse<i64>, Reverse<i64>) {
    // A replica that is as new as it can be tells of some milliseconds all the same.
    let stale = links::stale(link).unwrap_or(0) / 10_000;
    let is_well = !links::has_problem(link) && !links::has_uci_trouble(link);
    (links::is_up(link), is_well, Reverse(links::lag(link)), Reverse(stale))
}

/// The roots of a link that are here, with their homes: first those that its router is at home of, or last.
fn roots(link: &Value, own_first: bool) -> Vec<(Path, String)> {
    let members = link.get("roots").and_then(Value::as_object).map_or(&[][..], Object::members);
    let here = members.iter().filter(|(_, root)| root.get("here").and_then(Value::as_int).is_some());
    let mut roots: Vec<(Path, String)> = here
        .map(|(name, root)| {
            let home = root.get("home").and_then(Value::as_str).unwrap_or("-");
            (Path::from_checked(vec![name.clone()]), home.to_string())
        })
        .collect();
    roots.sort_by_key(|(_, home)| (home == links::id(link)) != own_first);
    roots
}
