//! Who is connected, here and at the other ends of links, who listens to which channels, and how the server's plugins are:
//! one table with headings.
//!
//! A global server tells of thousands, so that the answers are kept as they came: a line is made when it's shown.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::app::{App, Screen};
use super::ask::{Failed, Job, Purpose};
use super::draw::{paint, put};
use super::keys::Action;
use super::list::List;
use super::look::{Role, cut};
use super::poll::Poll;
use super::table::{GAP, count, fit, width};
use crate::api::route::Route;
use crate::path::Key;
use crate::value::{Object, Value};
use crate::words;
use crate::words::links::{self, span};

/// The least time between two looks, in milliseconds.
const EVERY: u64 = 2_000;

/// The widest column of names.
const MAX_NAME: usize = 24;

/// What a part of the table is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Sessions of this server.
    Here,
    /// Links.
    Links,
    /// Sessions at the other ends of links.
    There,
    Channels,
    Plugins,
}

/// Of a plugin's cells those that are shown, in their order.
const OF_PLUGIN: [usize; 8] = [0, 1, 2, 3, 4, 8, 9, 11];

impl Part {
    /// In the order in which they are shown.
    const ALL: [Part; 5] = [Part::Here, Part::Plugins, Part::Links, Part::There, Part::Channels];

    fn title(self) -> &'static str {
        match self {
            Part::Here => "Sessions here",
            Part::Links => "Links",
            Part::There => "Sessions behind links",
            Part::Channels => "Channels",
            Part::Plugins => "Plugins",
        }
    }

    /// What stands above its cells, and how wide they are; 0: as wide as the longest name.
    fn columns(self) -> &'static [(&'static str, usize)] {
        match self {
            Part::Here => &[
                ("ID", 0),
                ("SINCE", 6),
                ("FROM", 21),
                ("CHANNELS", 8),
                ("WAITING", 7),
                ("CALLS", 5),
                ("SCOPE", 6),
                ("DIALECT", 7),
                ("SESSION", 7),
            ],
            Part::Links => &[("ID", 0), ("STATE", 6), ("SINCE", 6), ("ADDRESS", 21), ("SESSIONS", 8)],
            Part::There => &[("ID", 0), ("BEHIND", 0)],
            Part::Channels => &[("CHANNEL", 0), ("HEARD BY", 200)],
            Part::Plugins => &[
                ("NAME", 0),
                ("STATE", 7),
                ("CALLS", 6),
                ("NOTIFIED", 8),
                ("FAILED", 6),
                ("MEAN", 7),
                ("MAX", 7),
                ("WHAT", 200),
            ],
        }
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Empty,
    Title(Part),
    Heading(Part),
    Item(Part, usize),
}

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// The answers.
    sessions: Option<Value>,
    channels: Option<Value>,
    plugins: Option<Value>,
    failed: Option<String>,
    /// Which of the sessions belong to the first three parts.
    of: [Vec<usize>; 3],
    /// The longest name of each part.
    names: [usize; 5],
    pub(super) poll: Poll,
    list: List,
}

impl Sessions {
    fn all(&self) -> &[Value] {
        self.sessions.as_ref().and_then(Value::as_list).map_or(&[][..], |list| list.items())
    }

    fn heard(&self) -> &[(Key, Value)] {
        self.channels.as_ref().and_then(Value::as_object).map_or(&[][..], Object::members)
    }

    fn plugins(&self) -> &[(Key, Value)] {
        self.plugins.as_ref().and_then(Value::as_object).map_or(&[][..], Object::members)
    }

    fn len(&self, part: Part) -> usize {
        match part {
            Part::Channels => self.heard().len(),
            Part::Plugins => self.plugins().len(),
            part => self.of.get(part as usize).map_or(0, Vec::len),
        }
    }

    /// Lines of a part: its title, and where there's anything in it a heading and that, and an empty line.
    fn height(&self, part: Part) -> usize {
        match (self.len(part), part) {
            // On a server without links or plugins nothing is to be said of them.
            (0, Part::Links | Part::There | Part::Plugins) => 0,
            (0, _) => 2,
            (len, _) => len + 3,
        }
    }

    fn count(&self) -> usize {
        Part::ALL.iter().map(|part| self.height(*part)).sum::<usize>().saturating_sub(1)
    }

    fn row(&self, mut at: usize) -> Option<Row> {
        for part in Part::ALL {
            let height = self.height(part);
            if at < height {
                return Some(match at {
                    0 => Row::Title(part),
                    _ if at + 1 == height => Row::Empty,
                    1 => Row::Heading(part),
                    _ => Row::Item(part, at - 2),
                });
            }
            at -= height;
        }
        None
    }

    fn session(&self, part: Part, at: usize) -> Option<&Value> {
        self.all().get(*self.of.get(part as usize)?.get(at)?)
    }

    /// The cells of an item.
    fn cells(&self, part: Part, at: usize) -> Vec<String> {
        if part == Part::Channels {
            let Some((channel, ids)) = self.heard().get(at) else { return Vec::new() };
            let ids = ids.as_list().map_or(&[][..], |list| list.items());
            let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
            return vec![channel.to_string(), ids.join(" ")];
        }
        if part == Part::Plugins {
            let Some((name, plugin)) = self.plugins().get(at) else { return Vec::new() };
            let cells = words::plugins::cells(name, plugin);
            return OF_PLUGIN.iter().filter_map(|at| cells.get(*at).cloned()).collect();
        }
        let Some(session) = self.session(part, at) else { return Vec::new() };
        let field = |name| session.get(name).map_or("-".into(), words::short);
        let since = |name| session.get(name).and_then(Value::as_int).map_or("-".into(), span);
        match part {
            Part::Here => {
                let rest = ["channels", "waiting", "rpcs", "scope", "dialect", "session"].map(field);
                let mut cells = vec![field("tega_id"), since("connected_s"), field("from")];
                cells.extend(rest);
                cells
            }
            Part::There => vec![field("tega_id"), field("via")],
            _ => {
                let sessions = session.get("sessions").and_then(Value::as_list);
                vec![
                    links::id(session).into(),
                    format!("{} {}", if links::is_up(session) { "+" } else { "!" }, links::state(session)),
                    since("since_s"),
                    field("address"),
                    sessions.map_or(0, |list| list.items().len()).to_string(),
                ]
            }
        }
    }

    /// Sorts what came into the parts.
    fn sort(&mut self) {
        let mut of: [Vec<usize>; 3] = Default::default();
        for (at, session) in self.all().iter().enumerate() {
            let part = match (session.get("via"), session.get("link")) {
                (Some(_), _) => Part::There,
                (_, Some(_)) => Part::Links,
                _ => Part::Here,
            };
            if let Some(list) = of.get_mut(part as usize) {
                list.push(at);
            }
        }
        let name = |at: &usize| self.all().get(*at).map_or("-", links::id);
        let longest = |list: &Vec<usize>| list.iter().map(|at| name(at).len()).max().unwrap_or(0);
        let [here, links, there] = &of;
        let channel = self.heard().iter().map(|(channel, _)| width(channel)).max().unwrap_or(0);
        let plugin = self.plugins().iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let names = [longest(here), longest(links), longest(there), channel, plugin];
        for list in &mut of {
            list.sort_by_key(|at| name(at));
        }
        self.names = names.map(|longest| longest.clamp(8, MAX_NAME));
        self.of = of;
        self.list.keep(self.count());
    }

    /// Which columns there's room for, and how wide they are.
    fn widths(&self, part: Part, room: usize) -> Vec<usize> {
        let mut left = room;
        let mut widths = Vec::new();
        for (_, wanted) in part.columns() {
            let names = self.names.get(part as usize).copied().unwrap_or(0);
            let wide = if *wanted == 0 { names } else { *wanted };
            // A cell that is cut to a few letters says nothing.
            if left < wide.min(9) {
                break;
            }
            widths.push(wide.min(left));
            left = left.saturating_sub(wide + GAP);
        }
        widths
    }
}

impl App {
    /// The screen is shown.
    pub(super) fn sessions_shown(&mut self) {
        self.sessions.poll.soon();
    }

    pub(super) fn sessions_tick(&mut self) {
        if self.sessions.poll.is_due(self.now) {
            self.ask(Purpose::Sessions, Job::Read(Route::Sessions));
            self.ask(Purpose::Plugins, Job::Read(Route::Plugins));
            self.ask(Purpose::Channels, Job::Read(Route::Channels));
        }
    }

    pub(super) fn sessions_act(&mut self, action: Action) {
        let (height, count) = (self.view_height(1), self.sessions.count());
        match action {
            Action::Close => self.show(Screen::Tree),
            Action::Refresh => self.sessions.poll.soon(),
            action => drop(self.sessions.list.act(action, count, height)),
        }
    }

    pub(super) fn sessions_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        let sessions = &mut self.sessions;
        // The channels are the last of the questions.
        if purpose == Purpose::Channels {
            sessions.poll.answered(self.now, EVERY, outcome.is_ok());
        }
        match outcome {
            Ok(answer) if purpose == Purpose::Channels => sessions.channels = Some(answer),
            Ok(answer) if purpose == Purpose::Plugins => sessions.plugins = Some(answer),
            Ok(answer) => (sessions.sessions, sessions.failed) = (Some(answer), None),
            Err(failed) => sessions.failed = Some(failed.to_string()),
        }
        sessions.sort();
    }

    pub(super) fn sessions_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let sessions = &self.sessions;
        let mut said = vec![count(sessions.len(Part::Here), "session")];
        if sessions.len(Part::Links) > 0 {
            said.push(count(sessions.len(Part::Links), "link"));
            said.push(format!("{} behind", count(sessions.len(Part::There), "session")));
        }
        if sessions.len(Part::Plugins) > 0 {
            said.push(count(sessions.len(Part::Plugins), "plugin"));
        }
        said.push(count(sessions.len(Part::Channels), "channel"));
        let is_known = sessions.sessions.is_some();
        put(frame, area, 0, vec![self.said_of(sessions.failed.as_deref(), is_known, said.join(", "))]);
        if !is_known {
            return;
        }
        let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let top = sessions.list.top(sessions.count(), usize::from(area.height));
        for (line, at) in (0..area.height).zip(top..sessions.count()) {
            let Some(row) = sessions.row(at) else { break };
            put(frame, area, line, self.sessions_row(row, area.width.into()));
            if at == sessions.list.cursor() {
                paint(frame, area, line, self.look.style(Role::Cursor));
            }
        }
    }

    fn sessions_row(&self, row: Row, room: usize) -> Vec<Span<'static>> {
        let (sessions, look) = (&self.sessions, &self.look);
        let (part, cells, role) = match row {
            Row::Empty => return Vec::new(),
            Row::Title(part) => {
                let none = if sessions.len(part) == 0 { ": none" } else { "" };
                return vec![Span::styled(format!("{}{none}", part.title()), look.style(Role::Title))];
            }
            Row::Heading(part) => {
                (part, part.columns().iter().map(|(name, _)| name.to_string()).collect(), Role::Dim)
            }
            Row::Item(part, at) => (part, sessions.cells(part, at), Role::Plain),
        };
        let mut text = String::from("  ");
        for (cell, wide) in cells.iter().zip(sessions.widths(part, room.saturating_sub(2))) {
            text.push_str(&fit(&look.clean(cell), wide, look.glyphs.more));
            text.push_str("  ");
        }
        vec![Span::styled(cut(text.trim_end(), room, look.glyphs.more), look.style(role))]
    }
}
