//! Scalars: plain, quoted, literal and folded, how lines fold, and what a plain one means.

use super::Value;
use super::read::{Read, Reader, fault};
use crate::path::Key;
use crate::value::Finite;

/// What stands before a `:`, or is a value by itself: which of the two is known only afterwards.
pub(super) enum Atom {
    Tree(Value),
    Plain(String),
    Quoted(String),
}

impl Atom {
    pub(super) fn value(self, place: usize) -> Read<Value> {
        match self {
            Atom::Tree(value) => Ok(value),
            Atom::Quoted(text) => Ok(text.into()),
            Atom::Plain(text) => resolve(&text).or_else(|why| fault(place, why)),
        }
    }

    pub(super) fn key(self, place: usize) -> Read<Key> {
        match self {
            Atom::Tree(_) => fault(place, "a complex key (a list or map); keys are text"),
            Atom::Quoted(text) => Ok(text.into()),
            Atom::Plain(text) if text == "<<" => fault(place, "a merge key (<<); write the members out"),
            Atom::Plain(text) if is_null(&text) => {
                fault(place, "a null key; quote it where it is meant as text")
            }
            Atom::Plain(text) => Ok(text.into()),
        }
    }
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What a plain scalar means in the 1.2 core schema, or why it can't be a value.
pub(super) fn resolve(text: &str) -> Result<Value, &'static str> {
    const BIG: &str = "an integer outside -2^63 ... 2^64-1; quote it or write it as a float";
    match text {
        _ if is_null(text) => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("a float that isn't finite; quote it where it is meant as text");
    }
    for (prefix, base) in [("0o", 8), ("0x", 16)] {
        let digits =
            text.strip_prefix(prefix).filter(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(base)));
        if let Some(digits) = digits {
            return u64::from_str_radix(digits, base).map(Value::from).map_err(|_| BIG);
        }
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let int = match text.starts_with('-') {
            true => text.parse().map(|int: i64| Value::from(int)),
            false => text.parse().map(|int: u64| Value::from(int)),
        };
        return int.map_err(|_| BIG);
    }
    if is_float(unsigned) {
        let float = text.parse().ok().and_then(Finite::new);
        return float.map(Value::Float).ok_or("a number beyond the range of a 64-bit float");
    }
    Ok(text.into())
}

/// `[0-9]+(\.[0-9]*)?` or `\.[0-9]+`, then perhaps an exponent.
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let exponent = exponent.map(|e| e.strip_prefix(['-', '+']).unwrap_or(e));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

impl<'a> Reader<'a> {
    /// Reads a plain scalar and the lines on which it goes on; `parent` is none inside a flow map or list.
    pub(super) fn plain(&mut self, parent: Option<isize>) -> Read<String> {
        self.check_plain_start(parent.is_none())?;
        let mut text = self.plain_line(parent.is_none()).to_owned();
        loop {
            let end = self.at;
            let breaks = self.next_plain_line(parent)?;
            if breaks == 0 {
                self.at = end;
                return Ok(text);
            }
            let place = self.at;
            let line = self.plain_line(parent.is_none());
            fold(&mut text, breaks);
            text.push_str(line);
            self.skip_blanks();
            if parent.is_some() && self.peek() == b':' && self.blank_ahead(1) {
                return fault(
                    place,
                    "a key here would stand inside the text that began above; check the indentation",
                );
            }
        }
    }

    fn check_plain_start(&self, flow: bool) -> Read<()> {
        let why = match self.peek() {
            b'&' => "an anchor (&); write the value out, or quote the text",
            b'*' => "an alias (*); write the value out, or quote the text",
            b'!' => "a tag (!); values have the types of JSON; quote the text where it is one",
            b'|' | b'>' => "a block text can't stand here",
            b'%' => "a directive, or a text that begins with \"%\"; quote the text",
            b'@' | b'`' => "\"@\" and \"`\" are reserved; quote the text",
            b',' | b'[' | b']' | b'{' | b'}' | b'#' => "a value expected",
            b'?' if self.blank_ahead(1) => "a complex key (?); keys are text",
            b':' if self.blank_ahead(1) || (flow && self.flow_indicator(1)) => {
                "a null key; quote the key where it is meant as text"
            }
            b'-' if self.blank_ahead(1) || (flow && self.flow_indicator(1)) => {
                "\"-\" makes a list only at the start of a line; quote it where it is text"
            }
            _ => return Ok(()),
        };
        fault(self.at, why)
    }

    fn flow_indicator(&self, by: usize) -> bool {
        matches!(self.ahead(by), b',' | b'[' | b']' | b'{' | b'}')
    }

    /// Reads one line of a plain scalar, without the blanks at its end.
    fn plain_line(&mut self, flow: bool) -> &'a str {
        let start = self.at;
        loop {
            match self.peek() {
                b'\n' | 0 => break,
                b':' if self.blank_ahead(1) || (flow && self.flow_indicator(1)) => break,
                b'#' if self.at > start && matches!(self.behind(), b' ' | b'\t') => break,
                _ if flow && self.flow_indicator(0) => break,
                _ => self.at += 1,
            }
        }
        let line = self.text[start..self.at].trim_end_matches([' ', '\t']);
        self.at = start + line.len();
        line
    }

    /// Goes to the next line of a plain scalar, and gives the number of line ends before it: none, it has ended.
    fn next_plain_line(&mut self, parent: Option<isize>) -> Read<usize> {
        let mut breaks = 0;
        self.skip_blanks();
        while self.peek() == b'\n' {
            breaks += 1;
            self.at += 1;
            if self.marker() {
                return Ok(0);
            }
            self.skip_blanks();
        }
        let ended = match (self.peek(), parent) {
            (0 | b'#', _) => true,
            (_, Some(parent)) => self.column() <= parent,
            (b':', None) => self.blank_ahead(1) || self.flow_indicator(1),
            (_, None) => self.flow_indicator(0),
        };
        Ok(if ended { 0 } else { breaks })
    }

    pub(super) fn single_quoted(&mut self, parent: isize) -> Read<String> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), b'\'' | b'\n' | 0) {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                b'\'' if self.ahead(1) == b'\'' => {
                    text.push('\'');
                    self.at += 2;
                }
                b'\'' => {
                    self.at += 1;
                    return Ok(text);
                }
                _ => self.quoted_line_end(&mut text, 0, open, parent)?,
            }
        }
    }

    pub(super) fn double_quoted(&mut self, parent: isize) -> Read<String> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        // What was escaped up to here isn't trimmed at a line end.
        let mut escaped = 0;
        loop {
            let start = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | b'\n' | 0) {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' if self.ahead(1) == b'\n' => {
                    self.at += 1;
                    let breaks = self.quoted_breaks(open, parent)?;
                    text.extend(std::iter::repeat_n('\n', breaks - 1));
                    escaped = text.len();
                }
                b'\\' => {
                    text.push(self.escape()?);
                    escaped = text.len();
                }
                _ => self.quoted_line_end(&mut text, escaped, open, parent)?,
            }
        }
    }

    fn quoted_line_end(&mut self, text: &mut String, kept: usize, open: usize, parent: isize) -> Read<()> {
        // Only the tail is looked at: escaped blanks that pile up over many lines would cost their square.
        let tail = text[kept..].trim_end_matches([' ', '\t']).len();
        text.truncate(kept + tail);
        let breaks = self.quoted_breaks(open, parent)?;
        fold(text, breaks);
        Ok(())
    }

    /// Goes over line ends and the blanks that begin the next line of a quoted scalar; how many there were, 1 or more.
    fn quoted_breaks(&mut self, open: usize, parent: isize) -> Read<usize> {
        let mut breaks = 0;
        while self.peek() == b'\n' {
            breaks += 1;
            self.at += 1;
            if self.marker() {
                return fault(open, "this quoted text doesn't end before the document does");
            }
            self.skip_blanks();
        }
        if self.at == self.text.len() {
            return fault(open, "this quoted text doesn't end");
        }
        if self.column() <= parent {
            return fault(
                self.at,
                "a quoted text that goes on must be indented further than its key or list",
            );
        }
        Ok(breaks)
    }

    fn escape(&mut self) -> Read<char> {
        let place = self.at;
        let byte = self.ahead(1);
        self.at += 2;
        Ok(match byte {
            b'0' => '\0',
            b'a' => '\u{7}',
            b'b' => '\u{8}',
            b't' | b'\t' => '\t',
            b'n' => '\n',
            b'v' => '\u{b}',
            b'f' => '\u{c}',
            b'r' => '\r',
            b'e' => '\u{1b}',
            b' ' | b'"' | b'/' | b'\\' => byte as char,
            b'N' => '\u{85}',
            b'_' => '\u{a0}',
            b'L' => '\u{2028}',
            b'P' => '\u{2029}',
            b'x' => return self.code(2, place),
            b'u' => return self.code(4, place),
            b'U' => return self.code(8, place),
            _ => return fault(place, "an unknown escape; a backslash itself is written \\\\"),
        })
    }

    fn code(&mut self, digits: usize, place: usize) -> Read<char> {
        let mut code = self.hex(digits, place)?;
        // JSON writes what is beyond 16 bits as two escapes.
        if (0xd800..0xdc00).contains(&code) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let low = self.hex(4, place)?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        char::from_u32(code).map_or_else(|| fault(place, "this escape isn't a character"), Ok)
    }

    fn hex(&mut self, digits: usize, place: usize) -> Read<u32> {
        let text = self.text.get(self.at..self.at + digits);
        let text = text.filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = text.and_then(|t| u32::from_str_radix(t, 16).ok());
        self.at += digits;
        code.map_or_else(|| fault(place, format!("{digits} hex digits expected in this escape")), Ok)
    }

    /// Reads a literal or folded text that belongs to something indented by `parent`.
    pub(super) fn block_scalar(&mut self, parent: isize) -> Read<Value> {
        let folded = self.peek() == b'>';
        let (indicated, chomp) = self.block_header()?;
        let indent = match indicated {
            Some(more) => parent.max(0) as usize + more,
            None => self.block_indent(parent)?,
        };
        let mut text = String::new();
        let (mut breaks, mut more_before, mut ended) = (0, false, true);
        while let Some(line) = self.block_line(indent)? {
            // A line without a line end is the last of the document, and adds none to the text.
            let has_end = self.behind() == b'\n';
            if line.is_empty() {
                breaks += usize::from(has_end);
                continue;
            }
            let more = line.starts_with([' ', '\t']);
            if folded && !text.is_empty() && !more && !more_before {
                fold(&mut text, breaks);
            } else {
                text.extend(std::iter::repeat_n('\n', breaks));
            }
            text.push_str(line);
            (breaks, more_before, ended) = (1, more, has_end);
        }
        let after = match chomp {
            b'-' => 0,
            b'+' => breaks - usize::from(!ended),
            _ => usize::from(!text.is_empty() && ended),
        };
        text.extend(std::iter::repeat_n('\n', after));
        Ok(text.into())
    }

    /// Reads the indicators after `|` or `>`, and the rest of their line.
    fn block_header(&mut self) -> Read<(Option<usize>, u8)> {
        self.at += 1;
        let (mut indent, mut chomp) = (None, 0);
        loop {
            match self.peek() {
                digit @ b'1'..=b'9' if indent.is_none() => indent = Some(usize::from(digit - b'0')),
                sign @ (b'-' | b'+') if chomp == 0 => chomp = sign,
                _ => break,
            }
            self.at += 1;
        }
        let place = self.at;
        self.skip_blanks();
        self.skip_comment();
        match self.peek() {
            b'\n' => self.at += 1,
            0 => {}
            _ => {
                return fault(
                    place,
                    "after \"|\" or \">\" only 1 to 9, \"+\" or \"-\" and a comment may stand",
                );
            }
        }
        Ok((indent, chomp))
    }

    /// Finds the indentation of a block text: that of its first line that isn't empty.
    fn block_indent(&self, parent: isize) -> Read<usize> {
        let (mut widest, mut widest_at, mut at) = (0, self.at, self.at);
        for line in self.text[self.at..].split('\n') {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            if spaces < line.len() {
                if (spaces as isize) <= parent {
                    break;
                }
                if widest > spaces {
                    return fault(widest_at, "an empty line with more spaces than the text's first line");
                }
                return Ok(spaces);
            }
            if spaces > widest {
                (widest, widest_at) = (spaces, at);
            }
            at += line.len() + 1;
        }
        Ok(widest.max((parent + 1) as usize))
    }

    /// Takes the next line of a block text; `None`: it belongs to what follows.
    fn block_line(&mut self, indent: usize) -> Read<Option<&'a str>> {
        if self.at == self.text.len() || self.marker() {
            return Ok(None);
        }
        let line = self.text[self.at..].split('\n').next().unwrap_or_default();
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if spaces < indent && spaces < line.len() {
            return Ok(None);
        }
        self.at = (self.at + line.len() + 1).min(self.text.len());
        Ok(Some(line.get(indent..).unwrap_or_default()))
    }
}

/// One line end becomes a space, and n + 1 become n.
fn fold(text: &mut String, breaks: usize) {
    match breaks {
        1 => text.push(' '),
        _ => text.extend(std::iter::repeat_n('\n', breaks - 1)),
    }
}
