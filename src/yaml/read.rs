//! The reader's frame: one document, its block maps and lists, and the step from one line to the next.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::scalar::Atom;
use super::{MAX_DEPTH, MAX_TEXT, Value, YamlError};
use crate::path::Key;

/// A fault at a byte of the text.
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: Cow<'static, str>,
}

pub(super) type Read<T> = Result<T, Fault>;

pub(super) fn fault<T>(at: usize, message: impl Into<Cow<'static, str>>) -> Read<T> {
    Err(Fault { at, message: message.into() })
}

pub(super) fn read(text: &str) -> Result<Value, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_TEXT {
        return Err(YamlError::at(text, 0, format!("the text is longer than {MAX_TEXT} bytes")));
    }
    // YAML's three line ends become one here. No line moves, and no column but that of a bare CR.
    let text = match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    };
    let text = &*text;
    Reader { text, at: 0 }
        .document()
        .map_err(|fault| YamlError::at(text, fault.at, fault.message.into_owned()))
}

/// A place in the text. It holds no control character but tab and line feed, so a zero byte means the end.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// What stands before a node: it decides whether a block map or list may begin on the same line.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Nothing,
    Dash,
    Key,
    Marker,
}

/// What was skipped before a node.
struct Gap {
    line_end: bool,
    tab: bool,
}

impl Reader<'_> {
    pub(super) fn peek(&self) -> u8 {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, by: usize) -> u8 {
        self.text.as_bytes().get(self.at + by).copied().unwrap_or(0)
    }

    pub(super) fn blank_ahead(&self, by: usize) -> bool {
        matches!(self.ahead(by), b' ' | b'\t' | b'\n' | 0)
    }

    pub(super) fn behind(&self) -> u8 {
        self.at.checked_sub(1).map_or(b'\n', |at| self.text.as_bytes()[at])
    }

    /// How far the place is from the start of its line. Before block content there are only spaces and dashes, so
    /// bytes are characters there.
    pub(super) fn column(&self) -> isize {
        let start = self.text[..self.at].rfind('\n').map_or(0, |at| at + 1);
        (self.at - start) as isize
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t') {
            self.at += 1;
        }
    }

    pub(super) fn skip_comment(&mut self) {
        if self.peek() == b'#' && matches!(self.behind(), b' ' | b'\t' | b'\n') {
            self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |by| self.at + by);
        }
    }

    /// Whether `---` or `...` stands here, at the start of a line.
    pub(super) fn marker(&self) -> bool {
        matches!(self.text.as_bytes().get(self.at..self.at + 3), Some(b"---" | b"..."))
            && self.behind() == b'\n'
            && self.blank_ahead(3)
    }

    fn over(&self) -> bool {
        self.at == self.text.len() || self.marker()
    }

    fn dash(&self) -> bool {
        self.peek() == b'-' && self.blank_ahead(1)
    }

    /// Goes on to the next content, over blanks, comments and line ends.
    fn skip(&mut self) -> Read<Gap> {
        let mut gap = Gap { line_end: false, tab: false };
        loop {
            let start = self.at;
            self.skip_blanks();
            gap.tab = self.text[start..self.at].contains('\t');
            let fresh = start == 0 || self.text.as_bytes()[start - 1] == b'\n';
            if gap.tab && fresh && !matches!(self.peek(), b'\n' | b'#' | 0 | b'[' | b'{' | b']' | b'}') {
                let tab = self.text[start..].find('\t').unwrap_or(0);
                return fault(start + tab, "a tab can't indent; use spaces");
            }
            self.skip_comment();
            if self.peek() != b'\n' {
                return Ok(gap);
            }
            self.at += 1;
            gap.line_end = true;
        }
    }

    /// After a node, only a comment may share its line.
    fn line_end(&mut self) -> Read<()> {
        self.skip_blanks();
        let place = self.at;
        self.skip_comment();
        match self.peek() {
            b'\n' | 0 => Ok(()),
            b':' if self.blank_ahead(1) => {
                fault(place, "\":\" makes a key of what stands before it, and none fits here")
            }
            _ => fault(place, "the line goes on after its value; quote a text that holds such characters"),
        }
    }

    fn document(&mut self) -> Read<Value> {
        if let Some((at, c)) = self.text.char_indices().find(|(_, c)| *c < ' ' && !matches!(c, '\t' | '\n')) {
            return fault(at, format!("the control character {c:?}; write it as an escape in double quotes"));
        }
        let marked = self.directives()?;
        if !marked && self.over() {
            return fault(self.at, "the text holds no value; write null where that is meant");
        }
        let value = self.node(-1, if marked { After::Marker } else { After::Nothing }, 0)?;
        self.skip()?;
        self.end_of_document()?;
        Ok(value)
    }

    /// Reads directives and `---`; whether that was there.
    fn directives(&mut self) -> Read<bool> {
        self.skip()?;
        let mut directive = false;
        while self.peek() == b'%' && self.behind() == b'\n' {
            let line = self.text[self.at..].lines().next().unwrap_or_default();
            let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
            if directive
                || words.next() != Some("%YAML")
                || words.next() != Some("1.2")
                || words.next().is_some()
            {
                let name = line.split_whitespace().next().unwrap_or_default();
                return fault(self.at, format!("the directive {name}; only one, %YAML 1.2, is read"));
            }
            directive = true;
            self.at += line.len();
            self.skip()?;
        }
        let marked = self.marker() && self.peek() == b'-';
        if marked {
            self.at += 3;
        } else if directive {
            return fault(self.at, "--- expected after a directive");
        }
        Ok(marked)
    }

    fn end_of_document(&mut self) -> Read<()> {
        let marked = self.marker();
        while self.marker() {
            self.at += 3;
            self.skip()?;
        }
        match self.at == self.text.len() {
            true => Ok(()),
            false if marked => fault(self.at, "a second document; one at a time is read"),
            false => fault(self.at, "the value ended above; this line belongs to nothing"),
        }
    }

    /// Reads the node of something that is indented by `parent`; where nothing is there, null.
    fn node(&mut self, parent: isize, after: After, depth: usize) -> Read<Value> {
        let gap = self.skip()?;
        if self.over() {
            return Ok(Value::Null);
        }
        let (place, column) = (self.at, self.column());
        if gap.line_end && column <= parent {
            // A list may stand at the indentation of the key that it belongs to.
            let list = after == After::Key && column == parent && self.dash();
            if !list {
                return Ok(Value::Null);
            }
        }
        let block = gap.line_end || after == After::Nothing || (after == After::Dash && !gap.tab);
        if self.dash() {
            if !block {
                return fault(place, "a list can't begin here; put it on a line of its own");
            }
            return self.list(column, depth);
        }
        if matches!(self.peek(), b'|' | b'>') {
            return self.block_scalar(parent);
        }
        let atom = self.atom(parent, depth)?;
        let atom_end = self.at;
        self.skip_blanks();
        if self.peek() != b':' || !self.blank_ahead(1) {
            self.at = atom_end;
            self.line_end()?;
            return atom.value(place);
        }
        if !block {
            return fault(
                place,
                "a map can't begin here; put it on a line of its own, or quote a text with \": \"",
            );
        }
        let key = self.block_key(atom, place)?;
        self.map(column, (key, place), depth)
    }

    fn block_key(&self, atom: Atom, place: usize) -> Read<Key> {
        if self.text[place..self.at].contains('\n') {
            return fault(place, "a key must stand on one line");
        }
        atom.key(place)
    }

    fn list(&mut self, column: isize, depth: usize) -> Read<Value> {
        let place = self.at;
        Self::check_depth(depth, place)?;
        let mut items = Vec::new();
        while self.column() == column && self.dash() && !self.over() {
            self.at += 1;
            items.push(self.node(column, After::Dash, depth + 1)?);
            self.next_entry(column)?;
        }
        Value::list(items).or_else(|error| fault(place, error.to_string()))
    }

    /// Reads a map whose first key is read; the place is at its `:`.
    fn map(&mut self, column: isize, first: (Key, usize), depth: usize) -> Read<Value> {
        let (mut key, mut place) = first;
        Self::check_depth(depth, place)?;
        let mut members = Members::default();
        loop {
            self.at += 1;
            members.check(&key, place)?;
            let value = self.node(column, After::Key, depth + 1)?;
            members.insert(key, value);
            self.next_entry(column)?;
            if self.over() || self.column() != column {
                return members.finish(place);
            }
            place = self.at;
            if self.dash() {
                return fault(
                    place,
                    "a key expected, as in the lines above; a list belongs to a key or to a list",
                );
            }
            let atom = self.atom(column, depth)?;
            self.skip_blanks();
            if self.peek() != b':' || !self.blank_ahead(1) {
                return fault(place, "a key and \":\" expected, as in the lines above");
            }
            key = self.block_key(atom, place)?;
        }
    }

    /// Goes on to the next entry of the map or list at `column`, or of one around it.
    fn next_entry(&mut self, column: isize) -> Read<()> {
        self.skip()?;
        if !self.over() && self.column() > column {
            return fault(
                self.at,
                "indented further than the entries above, under nothing that it could belong to",
            );
        }
        Ok(())
    }

    pub(super) fn check_depth(depth: usize, place: usize) -> Read<()> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        fault(place, format!("nested deeper than {MAX_DEPTH} levels"))
    }
}

/// The members of a map so far.
#[derive(Default)]
pub(super) struct Members(BTreeMap<Key, Value>);

impl Members {
    pub(super) fn check(&self, key: &Key, place: usize) -> Read<()> {
        match self.0.contains_key(key) {
            true => fault(place, format!("key {:?} occurs twice in one map", key.as_str())),
            false => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    pub(super) fn finish(self, place: usize) -> Read<Value> {
        Value::object(self.0.into_iter().collect()).or_else(|error| fault(place, error.to_string()))
    }
}
