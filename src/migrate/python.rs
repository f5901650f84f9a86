//! Reads a Python literal, as `repr` writes it, into a value. Nothing is evaluated: a name, a call, an operator or
//! an f-string is refused where it stands.
//!
//! Dicts become objects, lists and tuples become lists, `None` null. A key is a string; an integer as key becomes
//! its text. `b'…'` becomes a string where its bytes are UTF-8. Integers beyond 64 bits, floats that aren't finite
//! (`inf`, `nan`), complex numbers, sets, keys that occur twice and lone surrogates have no place in a value and
//! are refused.

use std::collections::BTreeMap;
use std::fmt;

use crate::path::Key;
use crate::value::{Finite, MAX_DEPTH, Value};

/// The longest literal, in bytes: 64 MiB, for the snapshot of a whole root.
pub const MAX_LITERAL: usize = 64 << 20;

/// Why a text isn't a literal that can become a value, and where: the first fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for PythonError {}

/// Reads one literal of at most [`MAX_LITERAL`] bytes.
///
/// ```
/// use tega::migrate::python;
/// let value = python::read("{'ope': 'PUT', 'tega_id': None, 'instance': (1, 2.5, True)}")?;
/// assert_eq!(value.to_string(), r#"{"instance":[1,2.5,true],"ope":"PUT","tega_id":null}"#);
///
/// let error = python::read("{'a': open('x')}").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 7: the name \"open\"; only literals are read");
/// # Ok::<(), tega::migrate::python::PythonError>(())
/// ```
pub fn read(text: &str) -> Result<Value, PythonError> {
    let mut reader = Reader { text, at: 0 };
    reader.literal().map_err(|(at, message)| {
        let before = text.get(..at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        PythonError { line, column: before[start..].chars().count() + 1, message }
    })
}

type Read<T> = Result<T, (usize, String)>;

fn fault<T>(at: usize, message: impl Into<String>) -> Read<T> {
    Err((at, message.into()))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A string literal's parts before they are known to be text.
struct Quoted {
    bytes: Vec<u8>,
    raw: bool,
    binary: bool,
}

impl<'a> Reader<'a> {
    fn literal(&mut self) -> Read<Value> {
        if self.text.len() > MAX_LITERAL {
            return fault(0, format!("the literal is longer than {MAX_LITERAL} bytes"));
        }
        let value = self.value(0)?;
        match self.space() {
            None => Ok(value),
            Some(_) => fault(self.at, "the end expected; only one literal is read"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.peek()
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        let first = self.space();
        let place = self.at;
        match first {
            Some(b'{' | b'[' | b'(') if depth == MAX_DEPTH => {
                fault(place, format!("nested deeper than {MAX_DEPTH} levels"))
            }
            Some(b'{') => self.dict(depth),
            Some(b'[') => self.items(b']', depth).map(|(items, _)| items).and_then(|i| list(i, place)),
            Some(b'(') => {
                let (mut items, comma) = self.items(b')', depth)?;
                match (items.len(), comma) {
                    // Parentheses without a comma only group.
                    (1, false) => Ok(items.swap_remove(0)),
                    _ => list(items, place),
                }
            }
            Some(b'\'' | b'"') => self.string("").map(Value::from),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => self.word(),
            Some(_) => fault(place, "a literal expected"),
            None => fault(place, "the text ends where a literal is expected"),
        }
    }

    /// Reads items up to the bracket that closes them; and whether a comma stood among them.
    fn items(&mut self, close: u8, depth: usize) -> Read<(Vec<Value>, bool)> {
        let open = self.at;
        self.at += 1;
        let (mut items, mut comma) = (Vec::new(), false);
        while self.space() != Some(close) {
            items.push(self.value(depth + 1)?);
            comma |= self.comma(open, close)?;
        }
        self.at += 1;
        Ok((items, comma))
    }

    fn comma(&mut self, open: usize, close: u8) -> Read<bool> {
        match self.space() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(c) if c == close => Ok(false),
            Some(_) => fault(self.at, format!("\",\" or {:?} expected", char::from(close))),
            None => fault(open, "this bracket isn't closed"),
        }
    }

    fn dict(&mut self, depth: usize) -> Read<Value> {
        let open = self.at;
        self.at += 1;
        let mut members: BTreeMap<Key, Value> = BTreeMap::new();
        while let Some(next) = self.space() {
            if next == b'}' {
                self.at += 1;
                return Value::object(members.into_iter().collect()).or_else(|e| fault(open, e.to_string()));
            }
            let place = self.at;
            let key: Key = match self.value(depth + 1)? {
                Value::Text(text) => text,
                int @ (Value::Int(_) | Value::UInt(_)) => int.to_string().into(),
                other => return fault(place, format!("{} as a key; keys are strings", other.kind())),
            };
            match self.space() {
                Some(b':') => self.at += 1,
                Some(b',' | b'}') => return fault(open, "a set; values have the types of JSON"),
                _ => return fault(self.at, "\":\" expected"),
            }
            if members.contains_key(&key) {
                return fault(place, format!("key {:?} occurs twice in one dict", key.as_str()));
            }
            let value = self.value(depth + 1)?;
            members.insert(key, value);
            self.comma(open, b'}')?;
        }
        fault(open, "this bracket isn't closed")
    }

    fn name(&mut self) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn word(&mut self) -> Read<Value> {
        let place = self.at;
        let name = self.name();
        if matches!(self.peek(), Some(b'\'' | b'"')) {
            return match name.to_ascii_lowercase().as_str() {
                prefix @ ("u" | "r" | "b" | "br" | "rb" | "ur") => self.string(prefix).map(Value::from),
                prefix if prefix.contains('f') => fault(place, "an f-string; only literals are read"),
                _ => fault(place, format!("the string prefix {name:?} is unknown")),
            };
        }
        match name {
            "None" => Ok(Value::Null),
            "True" => Ok(Value::Bool(true)),
            "False" => Ok(Value::Bool(false)),
            "inf" | "nan" => fault(place, format!("the float {name}; values are finite")),
            _ => fault(place, format!("the name {name:?}; only literals are read")),
        }
    }

    fn number(&mut self) -> Read<Value> {
        let place = self.at;
        let negative = self.peek() == Some(b'-');
        if matches!(self.peek(), Some(b'-' | b'+')) {
            self.at += 1;
        }
        let start = self.at;
        let based = self.peek() == Some(b'0')
            && matches!(self.text.as_bytes().get(start + 1), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B'));
        while let Some(byte) = self.peek() {
            let exponent_sign = !based
                && matches!(byte, b'-' | b'+')
                && matches!(self.text.as_bytes()[self.at - 1], b'e' | b'E');
            if !(byte.is_ascii_alphanumeric()
                || matches!(byte, b'.' | b'_')
                || (exponent_sign && self.at > start))
            {
                break;
            }
            self.at += 1;
        }
        let written = &self.text[start..self.at];
        if written == "inf" {
            return fault(place, "the float inf; values are finite");
        }
        if written.ends_with(['j', 'J']) && !based {
            return fault(place, "a complex number; values have the types of JSON");
        }
        let Some(digits) = without_underscores(written) else { return fault(place, "a number expected") };
        // Python 2 wrote long integers with an L.
        let digits = digits.strip_suffix(['l', 'L']).unwrap_or(&digits);
        if based {
            let base = match digits.as_bytes()[1] {
                b'x' | b'X' => 16,
                b'o' | b'O' => 8,
                _ => 2,
            };
            return integer(&digits[2..], base, negative, place);
        }
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
                return fault(place, "an integer has no leading zeros");
            }
            return integer(digits, 10, negative, place);
        }
        let plain =
            digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
        let float = if plain { digits.parse::<f64>().ok() } else { None };
        let Some(float) = float else { return fault(place, "a number expected") };
        let float = Finite::new(if negative { -float } else { float });
        float.map(Value::Float).map_or_else(|| fault(place, "a float beyond the range of 64 bits"), Ok)
    }

    fn string(&mut self, prefix: &str) -> Read<String> {
        let open = self.at;
        let quote = self.text.as_bytes()[open];
        let triple = self.text.as_bytes().get(open..open + 3) == Some(&[quote; 3]);
        self.at += if triple { 3 } else { 1 };
        let mut quoted =
            Quoted { bytes: Vec::new(), raw: prefix.contains('r'), binary: prefix.contains('b') };
        loop {
            let byte = match self.peek() {
                None => return fault(open, "this string doesn't end"),
                Some(b'\n') if !triple => return fault(open, "this string doesn't end on its line"),
                Some(byte) => byte,
            };
            let closes = byte == quote
                && (!triple || self.text.as_bytes().get(self.at..self.at + 3) == Some(&[quote; 3]));
            if closes {
                self.at += if triple { 3 } else { 1 };
                return String::from_utf8(quoted.bytes)
                    .or_else(|_| fault(open, "bytes that aren't UTF-8; a value has no place for them"));
            }
            match byte {
                b'\\' => self.escape(&mut quoted)?,
                _ if quoted.binary && !byte.is_ascii() => return fault(self.at, "b'…' holds only ASCII"),
                _ => {
                    quoted.bytes.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// Reads what stands at a backslash.
    fn escape(&mut self, quoted: &mut Quoted) -> Read<()> {
        let place = self.at;
        let Some(byte) = self.text.as_bytes().get(place + 1).copied() else {
            return fault(place, "the text ends within an escape");
        };
        if quoted.raw {
            // The character after it stands for itself, and a quote there doesn't end the string.
            quoted.bytes.push(b'\\');
            self.at += 1;
            if matches!(byte, b'\'' | b'"' | b'\\') {
                quoted.bytes.push(byte);
                self.at += 1;
            }
            return Ok(());
        }
        self.at += 2;
        let code = match byte {
            b'\n' => return Ok(()),
            b'\\' | b'\'' | b'"' => byte.into(),
            b'a' => 7,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'v' => 11,
            b'f' => 12,
            b'r' => 13,
            b'0'..=b'7' => self.octal(),
            b'x' => self.hex(2, place)?,
            b'u' if !quoted.binary => self.hex(4, place)?,
            b'U' if !quoted.binary => self.hex(8, place)?,
            b'N' if !quoted.binary => {
                return fault(place, "an escape by character name (\\N{…}); write it as \\u…");
            }
            _ => {
                // An unknown escape keeps its backslash; what follows is read as it stands.
                quoted.bytes.push(b'\\');
                self.at -= 1;
                return Ok(());
            }
        };
        if quoted.binary {
            quoted.bytes.push(code as u8);
            return Ok(());
        }
        let Some(c) = char::from_u32(code) else {
            return fault(place, "a lone surrogate, or beyond Unicode; this isn't a character");
        };
        quoted.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Reads one to three octal digits, the first of which was just passed.
    fn octal(&mut self) -> u32 {
        self.at -= 1;
        let mut code = 0;
        for _ in 0..3 {
            let Some(digit @ b'0'..=b'7') = self.peek() else { break };
            code = code * 8 + u32::from(digit - b'0');
            self.at += 1;
        }
        code
    }

    fn hex(&mut self, digits: usize, place: usize) -> Read<u32> {
        let text =
            self.text.get(self.at..self.at + digits).filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
        self.at += digits;
        let code = text.and_then(|t| u32::from_str_radix(t, 16).ok());
        code.map_or_else(|| fault(place, format!("{digits} hex digits expected in this escape")), Ok)
    }
}

fn list(items: Vec<Value>, place: usize) -> Read<Value> {
    Value::list(items).or_else(|error| fault(place, error.to_string()))
}

/// A number without the single underscores between its digits; `None` where they stand elsewhere.
fn without_underscores(written: &str) -> Option<String> {
    let bad = written.starts_with('_') || written.ends_with('_') || written.contains("__");
    (!bad && !written.is_empty()).then(|| written.replace('_', ""))
}

fn integer(digits: &str, base: u32, negative: bool, place: usize) -> Read<Value> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return fault(place, "a number expected");
    }
    let value = u64::from_str_radix(digits, base).ok().and_then(|int| match negative {
        true => 0i64.checked_sub_unsigned(int).map(Value::from),
        false => Some(Value::from(int)),
    });
    value.map_or_else(|| fault(place, "an integer outside -2^63 ... 2^64-1"), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(python: &str, json: &str) {
        let value = read(python).unwrap_or_else(|e| panic!("{python:?}: {e}"));
        assert_eq!(value, Value::parse(json).unwrap(), "{python:?}");
    }

    #[track_caller]
    fn refuses(python: &str, line: usize, column: usize, word: &str) {
        let error = read(python).expect_err(python);
        assert!(error.message.contains(word), "{error}");
        assert_eq!((error.line, error.column), (line, column), "{error}");
    }

    #[test]
    fn containers_and_constants_become_json() {
        reads(
            "{'a': [1, (2,), ()], \"b\": {}, 'c': None, 'd': (True, False), 3: [],}",
            r#"{"a":[1,[2],[]],"b":{},"c":null,"d":[true,false],"3":[]}"#,
        );
        reads(" ( 1 ) ", "1");
        reads("(1, )", "[1]");
        reads("[\n 1,\n]", "[1]");
    }

    #[test]
    fn numbers_are_read_exactly_or_refused() {
        reads("[0, -0, +7, 00, 1_000, 0xFf, 0o17, 0B101, -0x10, 12L]", "[0,0,7,0,1000,255,15,5,-16,12]");
        reads("[18446744073709551615, -9223372036854775808]", "[18446744073709551615,-9223372036854775808]");
        reads("[1.0, -2.5e-3, 1e+16, .5, 5., 1E2, -0.0]", "[1.0,-0.0025,1e16,0.5,5.0,100.0,0.0]");
        refuses("[1, 18446744073709551616]", 1, 5, "2^64");
        refuses("-9223372036854775809", 1, 1, "2^63");
        refuses(&"9".repeat(100_000), 1, 1, "2^64");
        refuses("1e999", 1, 1, "range");
        refuses("[inf]", 1, 2, "finite");
        refuses("-inf", 1, 1, "finite");
        refuses("nan", 1, 1, "finite");
        refuses("2j", 1, 1, "complex");
        refuses("010", 1, 1, "leading zeros");
        for bad in ["1__0", "_", "1_", "0x", "0xg", "0b2", "1.2.3", "1e", "-", "+-1", "1a", "."] {
            assert!(read(bad).is_err(), "{bad}");
        }
        refuses("1 + 1", 1, 3, "one literal");
        refuses("1+1", 1, 2, "one literal");
    }

    #[test]
    fn strings_are_read_with_every_prefix_and_escape() {
        reads(
            r#"['it\'s', "a\"b'", '\\\a\b\f\n\r\t\v\0\x41\101\u00e9\U0001f600\q', '']"#,
            r#"["it's","a\"b'","\\\u0007\b\f\n\r\t\u000b\u0000AAé😀\\q",""]"#,
        );
        reads(
            r#"[u'é', U"x", r'\n\'', R"\\", b'a\xc3\xa9', Rb'\x', '''a'b''', """x
y\
z"""]"#,
            r#"["é","x","\\n\\'","\\\\","aé","\\x","a'b","x\nyz"]"#,
        );
        refuses(r"'\ud800'", 1, 2, "surrogate");
        refuses(r"b'\xff'", 1, 2, "UTF-8");
        refuses("b'é'", 1, 3, "ASCII");
        refuses(r"'\x4'", 1, 2, "hex digits");
        refuses(r"'\N{DASH}'", 1, 2, "name");
        refuses("f'{x}'", 1, 1, "f-string");
        refuses("x''", 1, 1, "prefix");
        refuses("'a\nb'", 1, 1, "doesn't end");
        refuses("'a", 1, 1, "doesn't end");
        refuses("'a\\", 1, 3, "within an escape");
        refuses("'a\\é", 1, 1, "doesn't end");
        refuses("'a' 'b'", 1, 5, "one literal");
    }

    #[test]
    fn nothing_is_evaluated() {
        refuses("{'a': __import__('os').system('x')}", 1, 7, "__import__");
        refuses("[\n open('x')]", 2, 2, "open");
        refuses("lambda: 1", 1, 1, "lambda");
        refuses("{1, 2}", 1, 1, "set");
        refuses("[x for x in y]", 1, 2, "name");
        refuses("{'a': 1, 'a': 2}", 1, 10, "twice");
        refuses("{(): 1}", 1, 2, "keys are strings");
        refuses("{None: 1}", 1, 2, "keys are strings");
        for bad in [
            "", "{", "[1", "(1", "{'a'}", "{'a': }", "{'a' 1}", "[1 2]", "[,]", "[1}", "é", "@", "{'a': 1",
            "{'a'",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_nesting_is_refused() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(read(&nested(MAX_DEPTH)).unwrap().depth(), MAX_DEPTH);
        refuses(&nested(MAX_DEPTH + 1), 1, MAX_DEPTH + 1, "deeper");
        for open in ["[", "(", "{'a':", "{"] {
            assert!(read(&open.repeat(100_000)).is_err());
        }
    }
}
