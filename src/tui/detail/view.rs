//! What the detail says of a node, line by line.

use std::borrow::Cow;

use ratatui::layout::Rect;
use ratatui::text::Span;

use super::writers::Writer;
use super::{App, Head};
use crate::openwrt::secret::HIDDEN;
use crate::path::Path;
use crate::tui::draw::{leaf_spans, role};
use crate::tui::look::{Look, Role};
use crate::tui::model::{Kind, RootInfo, Shown};
use crate::tui::pane::{Spans, flow};
use crate::value::Value;
use crate::words;

/// As much of a value is shown, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// Spaces for a tab.
const TAB: &str = "    ";

/// From this height on a line is left empty between what a node is and its value.
const ROOMY: u16 = 8;

impl App {
    /// What stands above the value.
    pub(super) fn detail_lines(&self, inside: Rect) -> Vec<Spans> {
        let (detail, look) = (&self.detail, &self.look);
        if detail.path.is_empty() {
            return Vec::new();
        }
        if let Some(why) = &detail.failed {
            return vec![vec![Span::styled(look.clean(why), look.style(Role::Warning))]];
        }
        let Some(head) = &detail.head else { return self.not_yet() };
        let mut lines = flow(self.pieces(head), inside.width.into());
        if let Some(why) = &head.refusal {
            let text = format!("can't be changed: {}", look.clean(why));
            lines.push(vec![Span::styled(text, look.style(Role::Hint))]);
        }
        if inside.height >= ROOMY {
            lines.push(Spans::new());
        }
        lines
    }

    /// Until the answer is here, what the tree's line says.
    fn not_yet(&self) -> Vec<Spans> {
        match self.tree.model.row(&self.detail.path) {
            Some(row) if row.shown.kind != Kind::Container => {
                vec![leaf_spans(&self.look, self.detail.path.keys(), &row.shown)]
            }
            _ => note(&self.look, &format!("reading{}", self.look.glyphs.loading)),
        }
    }

    fn pieces(&self, head: &Head) -> Vec<Span<'static>> {
        let look = &self.look;
        let piece = |text: String, role: Role| Span::styled(look.clean(&text), look.style(role));
        let mut pieces = vec![piece(kind(&head.shown), Role::Plain)];
        if let Some(version) = head.version {
            pieces.push(piece(format!("version {version}"), Role::Plain));
            let root = self.detail.path.root();
            match root.map_or(Writer::Awaited, |root| self.detail.writers.of(root, version)) {
                Writer::Known(who, ms) => {
                    pieces.push(piece(who, Role::Title));
                    pieces.push(piece(when(ms), Role::Plain));
                }
                Writer::Unknown => pieces.push(piece("kept without who and when".into(), Role::Dim)),
                Writer::Before => pieces.push(piece("from before the kept history".into(), Role::Dim)),
                Writer::Awaited => pieces.push(piece("who and when: reading".into(), Role::Dim)),
                Writer::Failed(why) => pieces.push(piece(format!("who and when: {why}"), Role::Warning)),
            }
        } else {
            let text = match &head.owner {
                Some(owner) => format!("ephemeral, ends with {owner}"),
                None => "ephemeral, ends with what is below".into(),
            };
            pieces.push(piece(text, Role::Marker));
        }
        let root = self.tree.model.row(&self.detail.path).and_then(|row| row.root());
        pieces.extend(root.into_iter().flat_map(home).map(|(text, role)| piece(text, role)));
        pieces
    }
}

/// Milliseconds as `2026-11-22 17:30:00`, UTC as everywhere.
pub(in crate::tui) fn when(ms: i64) -> String {
    words::time(ms).replace('T', " ").trim_end_matches('Z').to_string()
}

fn kind(shown: &Shown) -> String {
    let of = |what: &str| match shown.is_cut() {
        true => format!("{what}, {} bytes", shown.count),
        false => what.to_string(),
    };
    match shown.kind {
        Kind::Container if shown.count == 1 => "container of 1".into(),
        Kind::Container => format!("container of {}", shown.count),
        Kind::Null => "null".into(),
        Kind::Bool => "true or false".into(),
        Kind::Number => "number".into(),
        Kind::Text => of("text"),
        Kind::Function => of("function; x calls it"),
        Kind::List => of("list"),
    }
}

/// Where a root is at home, and how its replica here stands.
fn home(root: &RootInfo) -> Vec<(String, Role)> {
    let mut said = Vec::new();
    if root.here {
        said.push(("at home here".into(), Role::Plain));
    } else {
        let home = if root.home.is_empty() { "nobody" } else { &root.home };
        said.push((format!("replica of {home}"), Role::Marker));
    }
    if let Some(ms) = root.stale_ms {
        said.push((format!("{}.{} s behind at most", ms / 1_000, ms / 100 % 10), Role::Plain));
    }
    if let Some(problem) = &root.problem {
        said.push((format!("! {problem}"), Role::Warning));
    }
    said
}

/// A line that isn't part of a value.
pub(super) fn note(look: &Look, text: &str) -> Vec<Spans> {
    vec![vec![Span::styled(look.clean(text), look.style(Role::Dim))]]
}

/// A leaf in full: text as it is, with its line breaks; a list as JSON, an item a line.
pub(super) fn leaf(look: &Look, path: &Path, value: &Value) -> Vec<Spans> {
    if look.hides(path.keys()) {
        return note(look, &format!("{HIDDEN} (S shows keys and passwords)"));
    }
    let text = match value {
        Value::Text(text) if text.is_empty() => return note(look, "the empty text"),
        Value::Text(text) => Cow::Borrowed(text.as_str()),
        Value::Object(_) | Value::List(_) => Cow::Owned(value.to_pretty()),
        _ => Cow::Owned(words::short(value)),
    };
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let shown = text.get(..end).unwrap_or_default();
    let style = look.style(role(Shown::of(value).kind));
    let line = |line: &str| {
        let line = line.trim_end_matches('\r').replace('\t', TAB);
        vec![Span::styled(look.clean(&line), style)]
    };
    let mut lines: Vec<Spans> = shown.split('\n').map(line).collect();
    if shown.len() < text.len() {
        lines.extend(note(look, &format!("and {} more bytes", text.len() - shown.len())));
    }
    lines
}

/// The first leaves below a container, each with its path from there on.
pub(super) fn below(look: &Look, path: &Path, answer: &Value) -> Vec<Spans> {
    let rows = answer.get("found").and_then(Value::as_list).map_or(&[][..], |rows| rows.items());
    let line = |row: &Value| {
        let at = Path::parse(row.get("path")?.as_str()?).ok()?;
        let keys = at.keys().strip_prefix(path.keys())?;
        let name = look.clean(&Path::from_checked(keys.to_vec()).to_string());
        let mut spans = vec![Span::styled(name, look.style(Role::Key))];
        spans.push(Span::styled(" = ", look.style(Role::Dim)));
        spans.extend(leaf_spans(look, at.keys(), &Shown::read(row)?));
        Some(spans)
    };
    let mut lines: Vec<Spans> = rows.iter().filter_map(line).collect();
    if answer.get("next").is_some_and(|next| *next != Value::Null) {
        lines.extend(note(look, "and more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[Spans]) -> Vec<String> {
        lines.iter().map(|line| line.iter().map(|span| span.content.as_ref()).collect()).collect()
    }

    #[test]
    fn a_leaf_is_shown_with_its_line_breaks_and_cant_steer_the_terminal() {
        let look = Look::new(true, true);
        let shown = |json: &str| text(&leaf(&look, &Path::TOP, &Value::parse(json).unwrap()));
        assert_eq!(shown(r#""a\n\tb\r\n\u001b[31m""#), ["a", "    b", "\u{fffd}[31m"]);
        assert_eq!(shown(r#"[1,{"a":true}]"#), ["[", "  1,", "  {", "    \"a\": true", "  }", "]"]);
        assert_eq!(shown("1e3"), ["1000.0"]);
        assert_eq!(shown(r#""""#), ["the empty text"]);
    }

    #[test]
    fn a_long_leaf_is_cut_and_says_so() {
        let look = Look::new(true, true);
        let lines = text(&leaf(&look, &Path::TOP, &Value::from("é".repeat(MAX_TEXT))));
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].len(), lines[1].as_str()), (MAX_TEXT, "and 65536 more bytes"));
    }

    #[test]
    fn times_are_told_without_letters() {
        assert_eq!(when(1_795_368_600_999), "2026-11-22 17:30:00");
    }
}
