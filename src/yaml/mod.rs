//! # YAML in and out
//!
//! People type and read YAML: the body of a `put` in the line-by-line client, and what `--yaml` shows. This is the
//! part of YAML 1.2 that says the same as JSON does, read strictly and written plainly.
//!
//! **Read**: block and flow maps and lists; plain, single-quoted and double-quoted scalars; literal `|` and folded
//! `>` with indentation and chomping indicators; comments; `---` before the document and `---` or `...` after it;
//! `%YAML 1.2`. Plain scalars mean what the 1.2 core schema says: `null ~ true false`, decimal, `0o` and `0x`
//! integers, floats; all else is text, `yes`, `on` and `12:30` too. JSON is read as the YAML that it is.
//!
//! **Refused**, by name, with line and column: a second document, anchors, aliases, tags, merge keys, complex keys
//! (`?`, or a list or map as key), other directives, a key twice in one map, a null key, `.inf` and `.nan` (values
//! are finite), integers beyond 64 bits, tabs that indent, control characters. A text without a document is refused
//! too, because a producer that failed must not put a null; `---` alone is null. What would need a reader's guess
//! isn't guessed.
//!
//! A key is text, whatever it looks like: `1: x` has the key `1`, `true: x` the key `true`. Only a plain `null`, `~`
//! or nothing is refused as a key, since it is more often a slip than meant; in quotes it is text.
//!
//! **Written**: block style, two spaces a level, keys in the order of the value. A text of several lines becomes a
//! literal where that is exact. Quotes stand only where a reader would take something else without them; a reader
//! of YAML 1.1 counts (`yes`, `on`, `010`, `12:30:45`, `2024-01-01`), since scripts pipe this into one. What is
//! written reads back equal.
//!
//! Everything is bounded: a text by [`MAX_TEXT`], nesting by [`MAX_DEPTH`], and with it the recursion. There is no
//! way to write a small text that becomes a large value, because there are no aliases.

mod flow;
mod read;
mod scalar;
mod write;

use std::fmt;

use crate::value::{MAX_DEPTH, MAX_TEXT, Value};

/// Reads a YAML text of at most [`MAX_TEXT`] bytes, which holds one document.
///
/// ```
/// let value = tega::yaml::read("lan:\n  mtu: 1500\n  dns: [1.1.1.1, 9.9.9.9]\n")?;
/// assert_eq!(value.to_string(), r#"{"lan":{"dns":["1.1.1.1","9.9.9.9"],"mtu":1500}}"#);
///
/// let error = tega::yaml::read("a: 1\na: 2\n").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 1: key \"a\" occurs twice in one map");
/// # Ok::<(), tega::yaml::YamlError>(())
/// ```
pub fn read(text: &str) -> Result<Value, YamlError> {
    read::read(text)
}

/// Writes a value as one YAML document that [`read()`] reads back equal, with a line end at its end.
///
/// ```
/// let value = tega::value::Value::parse(r#"{"b":["on",1],"a":{}}"#)?;
/// assert_eq!(tega::yaml::write(&value), "a: {}\nb:\n  - \"on\"\n  - 1\n");
/// # Ok::<(), tega::value::ParseError>(())
/// ```
pub fn write(value: &Value) -> String {
    write::write(value)
}

/// Why a text was refused, and where: the first fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there, and what to write instead where that is known.
    pub message: String,
}

impl YamlError {
    /// The fault at a byte of the text.
    fn at(text: &str, offset: usize, message: String) -> YamlError {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        YamlError { line, column: before[line_start..].chars().count() + 1, message }
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for YamlError {}

#[cfg(test)]
mod tests;
