//! The text of a pattern: split into levels, refused where the syntax lacks something, compiled.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 256;

/// The most levels of a pattern.
pub const MAX_PATTERN_LEVELS: usize = 32;

/// What one compiled expression may take, in bytes: `(a{1000}){1000}` is short and would be huge.
const MAX_COMPILED: usize = 64 * 1024;

/// Splits a pattern at each `\.` outside of `[...]`, and refuses what the syntax lacks by name.
pub(super) fn split(text: &str) -> Result<Vec<&str>, PatternError> {
    if text.len() > MAX_PATTERN {
        return Err(PatternError::TooLong);
    }
    let mut levels = Vec::new();
    let (mut start, mut at, mut class) = (0, 0, false);
    // Every step ends at an ASCII character or after a whole one, so all slices are at borders.
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(escaped) = rest.strip_prefix('\\') {
            let next = escaped.chars().next();
            if next == Some('.') && !class {
                levels.push(&text[start..at]);
                start = at + 2;
            } else if let Some(construct) = unsupported_escape(next, class) {
                return Err(PatternError::Unsupported(construct));
            }
            at += 1 + next.map_or(0, char::len_utf8);
            continue;
        }
        if class {
            class = c != ']';
            let posix = rest.strip_prefix("[:").and_then(|name| name.find(":]"));
            at += posix.map_or(c.len_utf8(), |len| len + 4);
        } else if c == '[' {
            class = true;
            at += 1;
            at += usize::from(text[at..].starts_with('^'));
            // The first `]` is a member.
            at += usize::from(text[at..].starts_with(']'));
        } else {
            if let Some(construct) = rest.strip_prefix("(?").and_then(unsupported_group) {
                return Err(PatternError::Unsupported(construct));
            }
            at += c.len_utf8();
        }
    }
    levels.push(&text[start..]);
    if levels.len() > MAX_PATTERN_LEVELS { Err(PatternError::TooManyLevels) } else { Ok(levels) }
}

fn unsupported_escape(escaped: Option<char>, class: bool) -> Option<&'static str> {
    match escaped? {
        '1'..='9' if !class => Some("a back-reference, \\1"),
        'Z' if !class => Some("\\Z (write $)"),
        'p' | 'P' => Some("a Unicode class, \\p"),
        _ => None,
    }
}

/// `rest`: what follows `(?`.
fn unsupported_group(rest: &str) -> Option<&'static str> {
    const CONSTRUCTS: [(&str, &str); 9] = [
        ("=", "a look-ahead, (?=...)"),
        ("!", "a look-ahead, (?!...)"),
        ("<=", "a look-behind, (?<=...)"),
        ("<!", "a look-behind, (?<!...)"),
        ("P=", "a back-reference, (?P=...)"),
        ("P>", "a recursion, (?P>...)"),
        (">", "an atomic group, (?>...)"),
        ("#", "a comment, (?#...)"),
        ("(", "a condition, (?(...)...)"),
    ];
    CONSTRUCTS.iter().find(|(begin, _)| rest.starts_with(begin)).map(|(_, name)| *name)
}

pub(super) fn compile(text: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(text)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| PatternError::Syntax { level: text.to_owned(), why: error.to_string() })
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Longer than [`MAX_PATTERN`].
    TooLong,
    /// More than [`MAX_PATTERN_LEVELS`].
    TooManyLevels,
    /// It holds this construct.
    Unsupported(&'static str),
    /// One of its expressions can't be read, or takes too much memory.
    Syntax {
        /// The expression.
        level: String,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::TooLong => write!(f, "the pattern is longer than {MAX_PATTERN} bytes"),
            PatternError::TooManyLevels => {
                write!(f, "the pattern has more than {MAX_PATTERN_LEVELS} levels, which are separated by \\.")
            }
            PatternError::Unsupported(construct) => {
                write!(f, "the pattern holds {construct}, which isn't supported")
            }
            PatternError::Syntax { level, why } => {
                write!(
                    f,
                    "\"{level}\" isn't a regular expression: {why}; each level, between two \\., is one"
                )
            }
        }
    }
}

impl std::error::Error for PatternError {}
