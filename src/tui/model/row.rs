//! A row: a node's name, and as much of it as a line shows.

use smol_str::SmolStr;

use super::open::Open;
use crate::path::Key;
use crate::value::Value;
use crate::words;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Container,
    Null,
    Bool,
    Number,
    Text,
    /// `%OWNER.FUNC`: a function that can be called.
    Function,
    List,
}

/// The longest text that a row holds, in bytes: more than a line shows.
const MAX_TEXT: usize = 256;

/// As much of a value as a line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it is.
    pub kind: Kind,
    /// A leaf's text.
    text: SmolStr,
    /// A container's children; of a text that was cut, its bytes.
    pub count: u32,
}

impl Shown {
    /// Of a value.
    pub fn of(value: &Value) -> Shown {
        let kind = match value {
            Value::Object(object) => {
                let count = u32::try_from(object.members().len()).unwrap_or(u32::MAX);
                return Shown { kind: Kind::Container, text: SmolStr::default(), count };
            }
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Text(text) if text.starts_with('%') => Kind::Function,
            Value::Text(_) => Kind::Text,
            Value::List(_) => Kind::List,
            _ => Kind::Number,
        };
        let mut text = words::short(value);
        let mut count = 0;
        if text.len() > MAX_TEXT {
            count = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        Shown { kind, text: text.into(), count }
    }

    /// Of a row as the server lists it.
    pub fn read(row: &Value) -> Option<Shown> {
        let number = |name| row.get(name).and_then(Value::as_int).and_then(|n| u32::try_from(n).ok());
        if let Some(value) = row.get("value") {
            return Some(Shown::of(value));
        }
        if let Some(count) = number("count") {
            return Some(Shown { kind: Kind::Container, text: SmolStr::default(), count });
        }
        let start = row.get("start").and_then(Value::as_str)?;
        let kind = match row.get("kind").and_then(Value::as_str) {
            Some("list") => Kind::List,
            _ if start.starts_with('%') => Kind::Function,
            _ => Kind::Text,
        };
        Some(Shown { kind, text: start.into(), count: number("bytes").unwrap_or(0).max(1) })
    }

    /// A leaf's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text is only the beginning.
    pub fn is_cut(&self) -> bool {
        self.kind != Kind::Container && self.count > 0
    }
}

/// What is known of a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RootInfo {
    /// The tega ID of its home; empty: unknown.
    pub home: Box<str>,
    /// This server is its home.
    pub here: bool,
    /// How long it may be behind, in milliseconds.
    pub stale_ms: Option<u64>,
    /// What is wrong.
    pub problem: Option<Box<str>>,
}

/// What few rows have.
#[derive(Debug, Default)]
struct Extra {
    owner: Option<Box<str>>,
    root: Option<RootInfo>,
    open: Option<Open>,
}

/// A row.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub key: Key,
    /// What it is.
    pub shown: Shown,
    /// Its version; `None`: ephemeral, or unknown.
    pub version: Option<u64>,
    /// When it changed here last, in milliseconds of the screen's clock; 0: it didn't.
    pub changed: u32,
    extra: Option<Box<Extra>>,
}

impl Row {
    /// A row without anything below.
    pub(crate) fn new(key: Key, shown: Shown, version: Option<u64>, owner: Option<Box<str>>) -> Row {
        let extra = owner.map(|owner| Box::new(Extra { owner: Some(owner), ..Extra::default() }));
        Row { key, shown, version, changed: 0, extra }
    }

    /// A row as the server lists it.
    pub(crate) fn read(row: &Value) -> Option<Row> {
        let text = |name| row.get(name).and_then(Value::as_str);
        let number = |name| row.get(name).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
        let mut read =
            Row::new(text("key")?.into(), Shown::read(row)?, number("version"), text("owner").map(Box::from));
        if let Some(here) = row.get("here").and_then(Value::as_bool) {
            let root = RootInfo {
                home: text("home").unwrap_or_default().into(),
                here,
                stale_ms: number("stale_ms"),
                problem: text("problem").map(Box::from),
            };
            read.extra.get_or_insert_default().root = Some(root);
        }
        Some(read)
    }

    /// Lines that it takes with all that is open below it.
    pub(crate) fn height(&self) -> usize {
        1 + self.open().map_or(0, |open| open.height)
    }

    /// Whose ephemeral node it is.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.extra.as_ref()?.owner.as_deref()
    }

    /// What is known of it as a root.
    pub(crate) fn root(&self) -> Option<&RootInfo> {
        self.extra.as_ref()?.root.as_ref()
    }

    /// What is open below it.
    pub(crate) fn open(&self) -> Option<&Open> {
        self.extra.as_ref()?.open.as_ref()
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Open> {
        self.extra.as_mut()?.open.as_mut()
    }

    /// Opens or folds it; what was open.
    pub(super) fn set_open(&mut self, open: Option<Open>) -> Option<Open> {
        if open.is_none() && self.extra.is_none() {
            return None;
        }
        let extra = self.extra.get_or_insert_default();
        let old = std::mem::replace(&mut extra.open, open);
        if extra.open.is_none() && extra.owner.is_none() && extra.root.is_none() {
            self.extra = None;
        }
        old
    }

    /// Becomes what a newer row says; what is open below stays open, if it's still a container. What was folded by it.
    pub(super) fn renew(&mut self, newer: Row) -> Option<Open> {
        let folded = if newer.shown.kind == Kind::Container { None } else { self.set_open(None) };
        let open = self.set_open(None);
        let root = self.root().cloned();
        *self = Row { changed: self.changed, ..newer };
        if let Some(root) = root.filter(|_| self.root().is_none()) {
            self.extra.get_or_insert_default().root = Some(root);
        }
        if open.is_some() {
            self.set_open(open);
        }
        folded
    }
}
