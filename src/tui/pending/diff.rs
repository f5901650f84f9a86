//! What differs between two values, line by line, for people.

use std::fmt::Write;
use std::sync::Arc;

use super::{Was, part};
use crate::openwrt::secret::{HIDDEN, is_secret};
use crate::path::{Key, Path, write_keys};
use crate::value::Value;
use crate::words;

/// Lines that are kept; the others are counted.
const MAX_LINES: usize = 200;

/// The longest of them, in bytes.
const MAX_LINE: usize = 400;

/// The lines: a sign, `-` or `+`, and what is meant by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Diff {
    pub(super) lines: Arc<Vec<(char, String)>>,
    /// Lines that were left out.
    pub(super) more: usize,
}

impl Diff {
    /// From what was there to what is to be there. Keys and passwords of routers aren't told.
    pub(super) fn of(path: &Path, was: &Was, now: Option<&Value>) -> Diff {
        let mut out = Lines { above: path.keys().to_vec(), ..Lines::default() };
        if *was == Was::Large {
            out.line('-', &[], "what is there, too much to be shown");
        }
        out.differ(&mut Vec::new(), was.value(), now);
        Diff { lines: Arc::new(out.lines), more: out.more }
    }
}

#[derive(Default)]
struct Lines {
    /// The keys of the node whose difference it is.
    above: Vec<Key>,
    lines: Vec<(char, String)>,
    more: usize,
}

impl Lines {
    fn line(&mut self, sign: char, keys: &[Key], text: &str) {
        if self.lines.len() >= MAX_LINES {
            self.more += 1;
            return;
        }
        let mut line = String::new();
        if !keys.is_empty() {
            // Writing to a String can't fail.
            let _ = write_keys(keys, &mut line);
            let _ = write!(line, " = ");
        }
        line.push_str(part::start(text, MAX_LINE));
        if text.len() > MAX_LINE {
            line.push('…');
        }
        self.lines.push((sign, line));
    }

    /// Recurses once a level of a value, which has few.
    fn differ(&mut self, keys: &mut Vec<Key>, was: Option<&Value>, now: Option<&Value>) {
        match (was, now) {
            (Some(was), Some(now)) if was == now => {}
            (Some(Value::Object(was)), Some(Value::Object(now))) => {
                let mut names: Vec<&Key> =
                    was.members().iter().chain(now.members()).map(|(key, _)| key).collect();
                names.sort_unstable();
                names.dedup();
                for key in names {
                    keys.push(key.clone());
                    self.differ(keys, was.get(key), now.get(key));
                    keys.pop();
                }
            }
            (was, now) => {
                self.all('-', keys, was);
                self.all('+', keys, now);
            }
        }
    }

    fn all(&mut self, sign: char, keys: &mut Vec<Key>, value: Option<&Value>) {
        match value {
            None => {}
            Some(Value::Object(object)) if !object.members().is_empty() => {
                for (key, below) in object.members() {
                    keys.push(key.clone());
                    self.all(sign, keys, Some(below));
                    keys.pop();
                }
            }
            Some(value) => {
                let whole: Vec<Key> = self.above.iter().chain(keys.iter()).cloned().collect();
                let text = if is_secret(&whole) { HIDDEN.into() } else { words::short(value) };
                self.line(sign, keys, &text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_leaf_by_leaf() {
        for (was, now, lines) in [
            (Some("1"), Some(r#""1""#), "- 1|+ \"1\""),
            (None, Some(r#"{"a":{"b.c":1},"d":{}}"#), "+ a[\"b.c\"] = 1|+ d = {}"),
            (Some(r#"{"a":1,"b":{"c":2}}"#), Some(r#"{"a":1,"b":{"d":2}}"#), "- b.c = 2|+ b.d = 2"),
            (Some(r#"{"a":1}"#), Some("2"), "- a = 1|+ 2"),
            (Some("2"), None, "- 2"),
            (Some("2"), Some("2"), ""),
        ] {
            let parse = |text: &str| Value::parse(text).unwrap();
            let diff = Diff::of(&Path::TOP, &Was::of(was.map(parse)), now.map(parse).as_ref());
            let told: Vec<String> = diff.lines.iter().map(|(sign, text)| format!("{sign} {text}")).collect();
            assert_eq!(told.join("|"), lines);
        }
    }

    #[test]
    fn a_long_difference_is_counted() {
        let items: String = (0..300).map(|n| format!(",\"k{n}\":{n}")).collect();
        let value = Value::parse(&format!("{{{}}}", &items[1..])).unwrap();
        let diff = Diff::of(&Path::TOP, &Was::Nothing, Some(&value));
        assert_eq!((diff.lines.len(), diff.more), (MAX_LINES, 100));
    }
}
