//! # A JSON value
//!
//! What a put carries and a get returns. A [`Value`] is immutable and cheap to clone: short strings are
//! inline, lists and objects are shared.
//!
//! Three rules make it fit for a tree that many parties must agree on:
//!
//! - **One encoding.** Objects are ordered by the bytes of their keys, numbers have one spelling, and the
//!   writer adds no space. That text is what "equal", ETags and digests mean.
//! - **Nothing is lost in reading.** A number is a signed or unsigned 64-bit integer or a finite 64-bit float;
//!   an integer outside −2⁶³ … 2⁶⁴−1 is refused rather than rounded, and so is a key that occurs twice.
//! - **Depth is bounded by construction.** A list or an object knows how deep it is, and one deeper than
//!   [`MAX_NESTING`] can't be made. So every recursion over a value, dropping it included, is bounded.
//!
//! Text is read in two steps: `scan` checks all of the grammar (RFC 8259) and the limits, and says what is wrong
//! where; then miniserde, whose errors say nothing, builds the value from text that is known to be good.

mod de;
mod scan;
mod write;

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::path::Key;
pub use crate::path::MAX_DEPTH;
pub use scan::{Limits, ParseError};
pub use write::{Escaped, beginning, write_float, write_int, write_string};

/// The deepest value that can be made: room for the lists and objects that messages and records wrap around a
/// value. What goes into a tree is held to [`MAX_DEPTH`] by the tree.
pub const MAX_NESTING: usize = MAX_DEPTH + 8;

/// The longest JSON text that is read, in bytes: 1 MiB.
pub const MAX_TEXT: usize = 1 << 20;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer from −2⁶³ to 2⁶³−1.
    Int(i64),
    /// An integer from 2⁶³ to 2⁶⁴−1. Smaller ones are always [`Value::Int`]; see [`Value::from`].
    UInt(Big),
    /// A finite float. `1.0` is a float and isn't equal to the integer `1`.
    Float(Finite),
    /// A string.
    Text(SmolStr),
    /// A list; in a tree one immutable leaf, with all that is nested in it.
    List(List),
    /// An object; in a tree a container.
    Object(Object),
}

/// An integer from 2⁶³ to 2⁶⁴−1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Big(u64);

impl Big {
    /// The integer.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A float that is neither infinite nor NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finite(f64);

impl Finite {
    /// The float, or `None` where it isn't finite. Minus zero becomes zero.
    pub fn new(float: f64) -> Option<Finite> {
        float.is_finite().then_some(Finite(float + 0.0))
    }

    /// The float.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The items of a list, and how deep they go.
#[derive(Clone, Debug, PartialEq)]
pub struct List(Arc<Nested<Value>>);

/// The members of an object in key order, and how deep they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Arc<Nested<(Key, Value)>>);

/// One pointer in the [`Value`], so that a scalar, the common case, stays small.
#[derive(Debug, PartialEq)]
struct Nested<T> {
    depth: u8,
    items: Box<[T]>,
}

const _: () = assert!(MAX_NESTING < u8::MAX as usize);

fn depth_of<'a>(values: impl Iterator<Item = &'a Value>) -> Result<u8, ValueError> {
    let depth = 1 + values.map(Value::depth).max().unwrap_or(0);
    if depth > MAX_NESTING { Err(ValueError::TooDeep) } else { Ok(depth as u8) }
}

impl List {
    /// A list of these items.
    pub fn new(items: impl Into<Box<[Value]>>) -> Result<List, ValueError> {
        let items = items.into();
        let depth = depth_of(items.iter())?;
        Ok(List(Arc::new(Nested { depth, items })))
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.0.items
    }
}

impl Object {
    /// An object of these members, in any order; no key may occur twice. Which keys may *name a node* is the
    /// tree's question, not asked here.
    pub fn new(mut members: Vec<(Key, Value)>) -> Result<Object, ValueError> {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(ValueError::DuplicateKey(pair[0].0.clone()));
        }
        let depth = depth_of(members.iter().map(|(_, v)| v))?;
        Ok(Object(Arc::new(Nested { depth, items: members.into() })))
    }

    /// The members, ordered by key.
    pub fn members(&self) -> &[(Key, Value)] {
        &self.0.items
    }

    /// The member named `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.members().binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.members()[at].1)
    }
}

impl Value {
    /// Reads a JSON text of at most [`MAX_TEXT`] bytes.
    ///
    /// ```
    /// use tega::value::Value;
    /// let value = Value::parse(r#"{"b": [1, 2.50], "a": null}"#)?;
    /// assert_eq!(value.to_string(), r#"{"a":null,"b":[1,2.5]}"#);
    ///
    /// let error = Value::parse(r#"{"a": 1, "a": 2}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "line 1, column 10: key \"a\" occurs twice in one object");
    /// # Ok::<(), tega::value::ParseError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Value, ParseError> {
        Value::parse_with(text, Limits::default())
    }

    /// Reads a JSON text within these limits.
    pub fn parse_with(text: &str, limits: Limits) -> Result<Value, ParseError> {
        let members = scan::scan(text, limits)?;
        de::read(text, members).ok_or_else(|| ParseError::unread(text))
    }

    /// As [`Value::parse`], from bytes that may not be UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Value, ParseError> {
        let text = std::str::from_utf8(bytes).map_err(|e| ParseError::not_utf8(bytes, e.valid_up_to()))?;
        Value::parse(text)
    }

    /// A list of these items.
    pub fn list(items: impl Into<Box<[Value]>>) -> Result<Value, ValueError> {
        List::new(items).map(Value::List)
    }

    /// An object of these members, in any order.
    pub fn object(members: Vec<(Key, Value)>) -> Result<Value, ValueError> {
        Object::new(members).map(Value::Object)
    }

    /// The object without members.
    pub fn empty_object() -> Value {
        Value::Object(Object(Arc::new(Nested { depth: 1, items: Box::from([]) })))
    }

    /// How deep lists and objects are nested: 0 for a scalar, 1 for a flat list.
    pub fn depth(&self) -> usize {
        match self {
            Value::List(list) => list.0.depth.into(),
            Value::Object(object) => object.0.depth.into(),
            _ => 0,
        }
    }

    /// The string, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The integer, where it is one that fits.
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(int) = self { Some(*int) } else { None }
    }

    /// The boolean, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(bool) = self { Some(*bool) } else { None }
    }

    /// The object, where it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// The list, where it is one.
    pub fn as_list(&self) -> Option<&List> {
        if let Value::List(list) = self { Some(list) } else { None }
    }

    /// The member named `key`, where this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// What kind of value this is, for messages: `null`, `a boolean`, `an integer` …
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::UInt(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Value {
        Value::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Value {
        Value::Int(int)
    }
}

impl From<i32> for Value {
    fn from(int: i32) -> Value {
        Value::Int(int.into())
    }
}

impl From<u64> for Value {
    fn from(int: u64) -> Value {
        i64::try_from(int).map_or(Value::UInt(Big(int)), Value::Int)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text.into())
    }
}

impl From<SmolStr> for Value {
    fn from(text: SmolStr) -> Value {
        Value::Text(text)
    }
}

/// Why a value can't be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Nested deeper than [`MAX_NESTING`].
    TooDeep,
    /// An object with this key twice.
    DuplicateKey(Key),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::TooDeep => write!(f, "nested deeper than {MAX_NESTING} levels"),
            ValueError::DuplicateKey(key) => write!(f, "key {:?} occurs twice in one object", key.as_str()),
        }
    }
}

impl std::error::Error for ValueError {}

#[cfg(test)]
mod tests;
