//! How the server is: what all its layers say of themselves, as lines.
//!
//! The answer is asked for once for this view and for the fleet, which shows the links in it. Here long lists are one line.

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
use super::table::{fit, thousands, width};
use crate::api::route::Route;
use crate::path::Key;
use crate::value::{Object, Value};
use crate::words;
use crate::words::links::{self, span};

/// The least time between two looks, in milliseconds.
const EVERY: u64 = 2_000;

/// As much for the fleet.
const FLEET_EVERY: u64 = 1_000;

/// More members than this are one line.
const FEW: usize = 32;

/// The order in which the parts are shown; others follow.
const ORDER: [&str; 10] =
    ["tega_id", "version", "pid", "uptime_s", "rss_kb", "store", "hub", "door", "global", "links"];

/// What comes first within a part.
const FIRST: [&str; 6] = ["state", "reason", "up", "problem", "address", "version"];

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) answer: Option<Value>,
    /// Why the newest question has no answer.
    pub(super) failed: Option<String>,
    pub(super) poll: Poll,
    lines: Vec<Line>,
    list: List,
}

/// A label and what is said under it; nothing where others stand below it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    depth: usize,
    label: String,
    text: String,
    /// It's nothing that should be.
    bad: bool,
}

impl Status {
    /// The links of the newest answer.
    pub(super) fn links(&self) -> &[Value] {
        self.answer.as_ref().map_or(&[][..], links::list)
    }
}

impl App {
    /// The screen is shown.
    pub(super) fn status_shown(&mut self) {
        self.status.poll.soon();
    }

    pub(super) fn status_tick(&mut self) {
        if self.status.poll.is_due(self.now) {
            self.ask(Purpose::Status, Job::Read(Route::Status));
        }
    }

    pub(super) fn status_act(&mut self, action: Action) {
        let height = self.view_height(1);
        let count = self.status.lines.len();
        match action {
            Action::Close => self.show(Screen::Tree),
            Action::Refresh => self.status.poll.soon(),
            action => drop(self.status.list.act(action, count, height)),
        }
    }

    pub(super) fn status_reply(&mut self, outcome: Result<Value, Failed>) {
        let every = if self.screen == Screen::Fleet { FLEET_EVERY } else { EVERY };
        self.status.poll.answered(self.now, every, outcome.is_ok());
        match outcome {
            Ok(answer) => {
                self.status.lines = lines(&answer);
                (self.status.answer, self.status.failed) = (Some(answer), None);
                self.status.list.keep(self.status.lines.len());
            }
            Err(failed) => self.status.failed = Some(failed.to_string()),
        }
    }

    /// Lines of the body that a list has below so many others.
    pub(super) fn view_height(&self, above: usize) -> usize {
        usize::from(super::draw::areas(self).body.height).saturating_sub(above)
    }

    /// What is to be said above all of a view that is asked for: that there's no answer, or none any more.
    pub(super) fn said_of(&self, failed: Option<&str>, is_known: bool, said: String) -> Span<'static> {
        let (text, role) = match (failed, is_known) {
            (Some(why), true) => (format!("! as it was; now there's no answer: {why}"), Role::Warning),
            (Some(why), false) => (format!("! {why}"), Role::Warning),
            (None, false) => (format!("reading{}", self.look.glyphs.more), Role::Dim),
            (None, true) => (said, Role::Title),
        };
        let text = cut(&self.look.clean(&text), self.size.0.into(), self.look.glyphs.more);
        Span::styled(text, self.look.style(role))
    }

    pub(super) fn status_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let status = &self.status;
        let said = self.status_said();
        put(frame, area, 0, vec![self.said_of(status.failed.as_deref(), status.answer.is_some(), said)]);
        let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let height = usize::from(area.height);
        let top = status.list.top(status.lines.len(), height);
        let more = self.look.glyphs.more;
        // Labels of one depth stand in one column where there's room for it.
        let column = status.lines.iter().map(|line| 2 * line.depth + width(&line.label)).max().unwrap_or(0);
        let column = column.min(usize::from(area.width) / 2);
        for (at, line) in (0..area.height).zip(top..) {
            let Some(shown) = status.lines.get(line) else { break };
            let sign = if shown.bad { "! " } else { "  " };
            let label = format!("{sign}{}{}", "  ".repeat(shown.depth), self.look.clean(&shown.label));
            let role = if shown.text.is_empty() { Role::Title } else { Role::Key };
            let room = usize::from(area.width).saturating_sub(column + 4);
            let text = cut(&self.look.clean(&shown.text), room, more);
            let text_role = if shown.bad { Role::Warning } else { Role::Plain };
            let label = Span::styled(fit(&label, column + 2, more), self.look.style(role));
            put(
                frame,
                area,
                at,
                vec![label, Span::raw("  "), Span::styled(text, self.look.style(text_role))],
            );
            if line == status.list.cursor() {
                paint(frame, area, at, self.look.style(Role::Cursor));
            }
        }
    }

    /// The most important thing in one line.
    fn status_said(&self) -> String {
        let store = self.status.answer.as_ref().and_then(|answer| answer.get("store"));
        let text = |name| store.and_then(|store| store.get(name)).and_then(Value::as_str).unwrap_or_default();
        match (text("state"), text("reason")) {
            ("ok", _) => "the server is well and takes writes".into(),
            ("", _) => "the server doesn't say how it is".into(),
            (state, "") => format!("! {state}: it takes no writes"),
            (state, reason) => format!("! {state}: it takes no writes: {}", reason),
        }
    }
}

/// All lines of a status.
fn lines(status: &Value) -> Vec<Line> {
    let mut out = Vec::new();
    let members = status.as_object().map_or(&[][..], Object::members);
    for (key, value) in ordered(members, &ORDER) {
        if key == "links" {
            out.push(summed_up(value));
        } else {
            add(0, key, value, &mut out);
        }
    }
    out
}

/// Members in this order, and then the others.
fn ordered<'a>(members: &'a [(Key, Value)], order: &'a [&str]) -> impl Iterator<Item = &'a (Key, Value)> {
    let first = order.iter().filter_map(|name| members.iter().find(|(key, _)| key == name));
    first.chain(members.iter().filter(|(key, _)| !order.contains(&key.as_str())))
}

fn summed_up(value: &Value) -> Line {
    let all = value.as_list().map_or(&[][..], |list| list.items());
    let up = all.iter().filter(|link| links::is_up(link)).count();
    let text = match all.len() {
        0 => "none".into(),
        count => format!("{} of {} up; 2 shows them", thousands(up), thousands(count)),
    };
    Line { depth: 0, label: "links".into(), text, bad: up < all.len() }
}

/// A member and what is below it. How deep values are is bounded by the answer's limits.
fn add(depth: usize, key: &str, value: &Value, out: &mut Vec<Line>) {
    let label = label(key);
    let Some(object) = value.as_object() else {
        let bad = key == "state" && value.as_str() != Some("ok") || is_fault(key, value);
        return out.push(Line { depth, label, text: said(key, value), bad });
    };
    let members = object.members();
    let is_flat = members.iter().all(|(_, value)| value.as_object().is_none());
    let text = match members.len() {
        0 => "none".into(),
        count if count > FEW => format!("{} of them", thousands(count)),
        count if depth > 1 && is_flat && count <= 3 => {
            let each =
                members.iter().map(|(key, value)| format!("{} {}", self::label(key), said(key, value)));
            each.collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    };
    let is_open = text.is_empty();
    out.push(Line { depth, label, text, bad: false });
    if is_open {
        // That nothing is wrong needs no line.
        let is_told =
            |key: &str, value: &Value| !matches!(key, "reason" | "problem") || *value != Value::Null;
        for (key, value) in ordered(members, &FIRST).filter(|(key, value)| is_told(key, value)) {
            add(depth + 1, key, value, out);
        }
    }
}

/// Why something doesn't work.
fn is_fault(key: &str, value: &Value) -> bool {
    matches!(key, "problem" | "reason") && *value != Value::Null
        || key == "up" && value.as_bool() == Some(false)
}

/// A name without its unit, which stands with the number.
fn label(key: &str) -> String {
    match key {
        "tega_id" => "tega ID".into(),
        "rss_kb" => "memory".into(),
        "uptime_s" => "up for".into(),
        "since_s" => "for".into(),
        key => key.replace('_', " "),
    }
}

/// A value with its unit.
fn said(key: &str, value: &Value) -> String {
    let number = value.as_int();
    match (key, number) {
        ("rss_kb", Some(kib)) => bytes(kib.saturating_mul(1024)),
        ("bytes" | "durable" | "memory_max", Some(count)) => bytes(count),
        ("uptime_s" | "since_s", Some(seconds)) => span(seconds),
        ("since", Some(ms)) => format!("{} UTC", super::draw::clock(ms)),
        ("pid", Some(pid)) => pid.to_string(),
        (_, Some(number)) => usize::try_from(number).map_or(number.to_string(), thousands),
        _ if *value == Value::Null => "-".into(),
        _ => words::short(value),
    }
}

/// Bytes in the largest unit that they fill.
fn bytes(count: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let (mut tenths, mut unit) = (count.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1024, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_units() {
        for (key, json, text) in [
            ("rss_kb", "12800", "12.5 MiB"),
            ("bytes", "1023", "1023 bytes"),
            ("bytes", "1536", "1.5 KiB"),
            ("bytes", "5000000000000000", "4547.4 TiB"),
            ("uptime_s", "3725", "1h2m"),
            ("position", "1234567", "1,234,567"),
            ("pid", "12345", "12345"),
            ("tokens", "null", "-"),
            ("x", "-5", "-5"),
            ("x", "\"y\"", "y"),
        ] {
            assert_eq!(said(key, &Value::parse(json).unwrap()), text, "{key} {json}");
        }
    }

    #[test]
    fn long_lists_are_one_line() {
        let roots: Vec<String> = (0..100).map(|n| format!("\"r{n}\":{{\"version\":1}}")).collect();
        let links = vec![r#"{"up":true}"#; 9_999].join(",");
        let json = format!(
            r#"{{"store":{{"roots":{{{}}}}},"links":[{links},{{"up":false}}],"zzz":1}}"#,
            roots.join(",")
        );
        let shown: Vec<String> = lines(&Value::parse(&json).unwrap())
            .iter()
            .map(|line| format!("{}{} {}", " ".repeat(line.depth), line.label, line.text))
            .collect();
        assert_eq!(
            shown,
            ["store ", " roots 100 of them", "links 9,999 of 10,000 up; 2 shows them", "zzz 1"]
        );
    }
}
