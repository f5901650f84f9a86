//! Checks a JSON text: the whole grammar, the limits, duplicate keys and the range of integers, with the place
//! of the first fault. It builds nothing, and keeps one entry for each key of an open object; those of the outermost
//! object it hands on, so that `de` needn't look for them again.

use std::borrow::Cow;
use std::fmt;

use super::{MAX_DEPTH, MAX_NESTING, MAX_TEXT};

/// What a text may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub text: usize,
    /// Nested lists and objects.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { text: MAX_TEXT, depth: MAX_DEPTH }
    }
}

impl Limits {
    /// For a message or request that wraps a value in its own lists and objects. The text's length has been
    /// bounded by whoever read it.
    pub fn wrapped() -> Limits {
        Limits { text: usize::MAX, depth: MAX_NESTING }
    }
}

/// Why a text isn't a value, and where: the first fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What can be wrong with a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// Longer than the limit, given in bytes.
    TooLong(usize),
    /// Nested deeper than the limit, given in levels.
    TooDeep(usize),
    /// A key that an object has already.
    DuplicateKey(String),
    /// An integer that doesn't fit 64 bits.
    BigInteger,
    /// A float beyond ±1.8·10³⁰⁸.
    BigFloat,
    /// Bytes that aren't UTF-8.
    NotUtf8,
    /// Not JSON: what was wanted there.
    Syntax(&'static str),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        match &self.kind {
            ParseErrorKind::TooLong(limit) => write!(f, "the text is longer than {limit} bytes"),
            ParseErrorKind::TooDeep(limit) => write!(f, "nested deeper than {limit} levels"),
            ParseErrorKind::DuplicateKey(key) => write!(f, "key {key:?} occurs twice in one object"),
            ParseErrorKind::BigInteger => {
                f.write_str("an integer outside -2^63 ... 2^64-1; write it as a string or a float")
            }
            ParseErrorKind::BigFloat => f.write_str("a number beyond the range of a 64-bit float"),
            ParseErrorKind::NotUtf8 => f.write_str("the text isn't UTF-8"),
            ParseErrorKind::Syntax(wanted) => write!(f, "not JSON: {wanted}"),
        }
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    fn at(text: &str, offset: usize, kind: ParseErrorKind) -> ParseError {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ParseError {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            kind,
        }
    }

    pub(super) fn not_utf8(bytes: &[u8], valid: usize) -> ParseError {
        let text = String::from_utf8_lossy(&bytes[..valid]);
        ParseError::at(&text, valid, ParseErrorKind::NotUtf8)
    }

    /// For a text that passed the scan and that miniserde refused all the same.
    pub(super) fn unread(text: &str) -> ParseError {
        ParseError::at(text, 0, ParseErrorKind::Syntax("a JSON value expected"))
    }
}

struct Open<'a> {
    /// The keys so far with their places; `None` for a list.
    keys: Option<Vec<(Cow<'a, str>, usize)>>,
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    members: Vec<Member<'a>>,
}

/// A member of the outermost object: its key, decoded, and the text of its value.
pub(super) struct Member<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) value: &'a str,
    start: usize,
}

type Scan<T> = Result<T, (usize, ParseErrorKind)>;

/// Checks a text. If it is an object, the answer holds its members in the order of the text.
pub(super) fn scan(text: &str, limits: Limits) -> Result<Vec<Member<'_>>, ParseError> {
    if text.len() > limits.text {
        return Err(ParseError::at(text, limits.text, ParseErrorKind::TooLong(limits.text)));
    }
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, limits, members: Vec::new() };
    scanner.document().map_err(|(offset, kind)| ParseError::at(text, offset, kind))?;
    Ok(scanner.members)
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> u8 {
        // No valid text holds a NUL outside a string, so it can stand for the end.
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.peek()
    }

    fn fail<T>(&self, wanted: &'static str) -> Scan<T> {
        Err((self.at, ParseErrorKind::Syntax(wanted)))
    }

    fn document(&mut self) -> Scan<()> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let opened = self.value(&mut open)?;
            if !opened && !self.after_value(&mut open)? {
                break;
            }
        }
        self.space();
        if self.at < self.bytes.len() { self.fail("nothing may follow the value") } else { Ok(()) }
    }

    /// Reads a scalar whole, or the beginning of a list or object up to its first value; true: the latter.
    fn value(&mut self, open: &mut Vec<Open<'a>>) -> Scan<bool> {
        match self.space() {
            b'"' => self.string().map(|_| false),
            b'-' | b'0'..=b'9' => self.number().map(|()| false),
            b't' => self.word("true").map(|()| false),
            b'f' => self.word("false").map(|()| false),
            b'n' => self.word("null").map(|()| false),
            first @ (b'[' | b'{') => {
                if open.len() == self.limits.depth {
                    return Err((self.at, ParseErrorKind::TooDeep(self.limits.depth)));
                }
                self.at += 1;
                let object = first == b'{';
                if self.space() == if object { b'}' } else { b']' } {
                    self.at += 1;
                    return Ok(false);
                }
                open.push(Open { keys: object.then(Vec::new) });
                if object {
                    self.key(open)?;
                }
                Ok(true)
            }
            _ => self.fail("a value expected"),
        }
    }

    /// Reads what stands between two values: closing brackets and a comma. False: the document is over.
    fn after_value(&mut self, open: &mut Vec<Open<'a>>) -> Scan<bool> {
        while let Some(depth) = open.len().checked_sub(1) {
            let Open { keys } = &mut open[depth];
            let object = keys.is_some();
            let next = self.space();
            if depth == 0
                && let Some(member) = self.members.last_mut()
            {
                member.value = &self.text[member.start..self.at];
            }
            match next {
                b',' => {
                    self.at += 1;
                    if object {
                        self.key(open)?;
                    }
                    return Ok(true);
                }
                b'}' if object => unique(keys.take())?,
                b']' if !object => {}
                _ if object => return self.fail("\",\" or \"}\" expected"),
                _ => return self.fail("\",\" or \"]\" expected"),
            }
            self.at += 1;
            open.pop();
        }
        Ok(false)
    }

    fn key(&mut self, open: &mut [Open<'a>]) -> Scan<()> {
        if self.space() != b'"' {
            return self.fail("a key in double quotes expected");
        }
        let start = self.at;
        let key = self.string()?;
        if self.space() != b':' {
            return self.fail("\":\" expected");
        }
        self.at += 1;
        if open.len() == 1 {
            self.members.push(Member { key: key.clone(), value: "", start: self.at });
        }
        if let Some(keys) = open.last_mut().and_then(|o| o.keys.as_mut()) {
            keys.push((key, start));
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Scan<()> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value expected");
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        if !self.peek().is_ascii_digit() {
            return self.fail("a digit expected");
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Scan<()> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return self.fail("a number has no leading zeros");
            }
        } else {
            self.digits()?;
        }
        let mut float = false;
        if self.peek() == b'.' {
            float = true;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            float = true;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if float {
            let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
            return if finite { Ok(()) } else { Err((start, ParseErrorKind::BigFloat)) };
        }
        // Up to 18 digits always fit; only longer ones are worth a parse.
        let fits = text.len() <= 18
            || if negative { text.parse::<i64>().is_ok() } else { text.parse::<u64>().is_ok() };
        if fits { Ok(()) } else { Err((start, ParseErrorKind::BigInteger)) }
    }

    /// Reads a string and returns it decoded; the common case borrows.
    fn string(&mut self) -> Scan<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let mut decoded: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    let decoded = decoded.get_or_insert_default();
                    decoded.push_str(&self.text[copied..self.at]);
                    self.at += 1;
                    decoded.push(self.escape()?);
                    copied = self.at;
                }
                0..0x20 if self.at == self.bytes.len() => return self.fail("the string doesn't end"),
                0..0x20 => return self.fail("a control character in a string must be escaped"),
                _ => self.at += 1,
            }
        }
        let tail = &self.text[copied..self.at];
        self.at += 1;
        Ok(match decoded {
            None => Cow::Borrowed(tail),
            Some(mut text) => {
                text.push_str(tail);
                Cow::Owned(text)
            }
        })
    }

    fn escape(&mut self) -> Scan<char> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => {
                self.at -= 1;
                return self.fail("one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX expected");
            }
        })
    }

    fn hex4(&mut self) -> Scan<u32> {
        let hex = self.bytes.get(self.at..self.at + 4).filter(|h| h.iter().all(u8::is_ascii_hexdigit));
        let Some(hex) = hex else { return self.fail("four hex digits expected after \\u") };
        self.at += 4;
        Ok(hex.iter().fold(0, |n, h| n * 16 + (*h as char).to_digit(16).unwrap_or(0)))
    }

    fn unicode(&mut self) -> Scan<char> {
        let start = self.at;
        let lone = (start, ParseErrorKind::Syntax("a lone surrogate isn't a character"));
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) {
            if !self.bytes[self.at..].starts_with(b"\\u") {
                return Err(lone);
            }
            self.at += 2;
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(lone);
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        char::from_u32(code).ok_or(lone)
    }
}

fn unique(keys: Option<Vec<(Cow<'_, str>, usize)>>) -> Scan<()> {
    let mut keys = keys.unwrap_or_default();
    keys.sort_unstable();
    // Equal keys stand side by side, the earlier place first: the fault is at the later one.
    match keys.windows(2).filter(|pair| pair[0].0 == pair[1].0).min_by_key(|pair| pair[1].1) {
        Some(pair) => Err((pair[1].1, ParseErrorKind::DuplicateKey(pair[1].0.to_string()))),
        None => Ok(()),
    }
}
