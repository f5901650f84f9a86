//! What differs between two versions, as lines: `- PATH = VALUE` for what was, `+ PATH = VALUE` for what is.

use ratatui::text::Span;

use crate::openwrt::secret::HIDDEN;
use crate::path::{Path, write_keys};
use crate::tui::look::{Look, Role, cut};
use crate::tui::pane::Spans;
use crate::value::Value;
use crate::words;

/// Lines that are shown.
const MAX_LINES: usize = 5_000;

/// Characters of a line that are shown.
const MAX_LINE: usize = 1_000;

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// As they are shown.
    pub lines: Vec<Spans>,
    /// How many values come, go, or change.
    pub values: usize,
    hidden: usize,
}

impl Diff {
    /// Reads an answer of `/_diff`.
    pub(super) fn read(look: &Look, answer: &Value) -> Diff {
        let mut diff = Diff::default();
        for entry in answer.as_list().map_or(&[][..], |list| list.items()) {
            let Some(path) = entry.get("path").and_then(Value::as_str) else { continue };
            let Ok(path) = Path::parse(path) else { continue };
            let before = diff.side(look, &path, entry.get("before"), ('-', Role::Removed));
            let after = diff.side(look, &path, entry.get("after"), ('+', Role::Added));
            diff.values += before.max(after);
        }
        if diff.hidden > 0 {
            let more = format!("and {} more lines", diff.hidden);
            diff.lines.push(vec![Span::styled(more, look.style(Role::Hint))]);
        }
        diff
    }

    /// One side of a difference: how many values it has.
    fn side(&mut self, look: &Look, path: &Path, value: Option<&Value>, (sign, role): (char, Role)) -> usize {
        let Some(value) = value else { return 0 };
        let mut count = 0;
        words::each_leaf(path, value, &mut |keys, leaf| {
            count += 1;
            if self.lines.len() >= MAX_LINES {
                self.hidden += 1;
                return;
            }
            let mut text = format!("{sign} ");
            // Writing to a String can't fail.
            let _ = write_keys(keys, &mut text);
            text.push_str(" = ");
            if look.hides(keys) {
                text.push_str(HIDDEN);
            } else {
                text.push_str(&words::short(leaf));
            }
            let text = cut(&look.clean(&text), MAX_LINE, look.glyphs.more);
            self.lines.push(vec![Span::styled(text, look.style(role))]);
        });
        count
    }
}

/// So many values, in words.
pub(super) fn values(count: usize) -> String {
    if count == 1 { "1 value".into() } else { format!("{count} values") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Diff {
        Diff::read(&Look::new(true, true), &Value::parse(json).unwrap())
    }

    fn text(diff: &Diff) -> Vec<&str> {
        diff.lines.iter().map(|line| line[0].content.as_ref()).collect()
    }

    #[test]
    fn each_value_is_a_line_with_a_sign() {
        let diff = read(
            r#"[{"path":"a.b","before":1,"after":"1"},{"path":"a.c","after":{"x":true,"y":{}}},
                {"path":"a[\"d e\"]","before":"x\n","after":{"k":1,"l":2}}]"#,
        );
        assert_eq!(
            text(&diff),
            [
                "- a.b = 1",
                "+ a.b = \"1\"",
                "+ a.c.x = true",
                "+ a.c.y = {}",
                "- a[\"d e\"] = \"x\\n\"",
                "+ a[\"d e\"].k = 1",
                "+ a[\"d e\"].l = 2"
            ]
        );
        assert_eq!(diff.values, 5);
        assert_eq!(read("[]"), Diff::default());
    }

    #[test]
    fn a_large_difference_is_cut_and_says_so() {
        let members: Vec<String> = (0..MAX_LINES + 7).map(|n| format!("\"k{n}\":0")).collect();
        let diff = read(&format!(r#"[{{"path":"a","after":{{{}}}}}]"#, members.join(",")));
        assert_eq!((diff.lines.len(), diff.values), (MAX_LINES + 1, MAX_LINES + 7));
        assert_eq!(text(&diff).last(), Some(&"and 7 more lines"));
        let long = read(&format!(r#"[{{"path":"a.b","after":"{}"}}]"#, "x".repeat(5_000)));
        assert_eq!(text(&long)[0].chars().count(), MAX_LINE);
    }
}
