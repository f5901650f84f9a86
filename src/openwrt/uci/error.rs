//! Why a file is refused.

use std::fmt;

use super::{MAX_FILE, MAX_SECTIONS, MAX_STATEMENTS};

/// Why a file is refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line where reading ended, from 1.
    pub line: usize,
    /// The byte where the router's tool points: counted from 0, from the beginning of the statement's first line.
    pub byte: usize,
    /// What is wrong.
    pub reason: Reason,
    /// The line where the statement begins; quotes may carry it over several.
    pub begun: usize,
}

/// What is wrong with a file. The first ones are the tool's own, in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A word that is none of `package`, `config`, `option`, `list`, or one of them without anything behind it.
    Command,
    /// `package`, `config` or `option` at the very end of a file.
    Bare(&'static str),
    /// A statement without its first word.
    Insufficient,
    /// A statement with a word too many.
    TooMany,
    /// The name of a section or option has a character that isn't a letter, a digit or `_`.
    Name,
    /// The type of a section has a character that isn't printable ASCII.
    Type,
    /// An option before the first section.
    NoSection,
    /// A section that was there before, with another type.
    OtherType,
    /// A quote that doesn't end.
    Unterminated(char),
    /// Lines that end in NUL bytes, more of them than the tool finds memory for.
    Memory,
    /// More than [`MAX_FILE`] bytes.
    FileSize,
    /// More than [`MAX_STATEMENTS`] statements.
    Statements,
    /// More than [`MAX_SECTIONS`] sections.
    Sections,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Command => f.write_str("invalid command"),
            Reason::Bare(keyword) => write!(f, "{keyword} without name"),
            Reason::Insufficient => f.write_str("insufficient arguments"),
            Reason::TooMany => f.write_str("too many arguments"),
            Reason::Name => f.write_str("invalid character in name field"),
            Reason::Type => f.write_str("invalid character in type field"),
            Reason::NoSection => f.write_str("option/list command found before the first section"),
            Reason::OtherType => {
                f.write_str("section of different type overwrites prior section with same name")
            }
            Reason::Unterminated(quote) => write!(f, "EOF with unterminated {quote}"),
            Reason::Memory => f.write_str("too many lines that end in a NUL byte"),
            Reason::FileSize => write!(f, "longer than {MAX_FILE} bytes"),
            Reason::Statements => write!(f, "more than {MAX_STATEMENTS} statements"),
            Reason::Sections => write!(f, "more than {MAX_SECTIONS} sections"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, byte {}: {}", self.line, self.byte, self.reason)?;
        if self.begun != self.line {
            write!(f, "; the statement begins in line {}", self.begun)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
