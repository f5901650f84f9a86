//! # One UCI file
//!
//! [`File::parse`] reads a file as the router's own tool does: the same files are refused, for the same reason, and
//! [`File::export`] and [`File::show`] print what `uci export` and `uci show` print. Beyond what the tool keeps, a
//! [`File`] keeps the text itself: it is cut into [`Piece`]s, statements and what stands between them, and put together
//! they are the file again, byte for byte. [`File::changed_to`] makes of it the text that holds another
//! [`Package`], and changes the bytes of what differs and no others; the tool's `uci commit` drops every comment.
//!
//! **Bytes.** Names and types are ASCII; a value is any bytes but NUL, in whatever encoding its writer had. So values
//! are bytes here, and what needs text (a tree of JSON) asks for it.
//!
//! **Why it is read so oddly.** The tool reads lines into a buffer of C strings, and what it makes of a `;` behind an
//! unquoted word, of a NUL, or of a backslash at a line's end follows from that buffer rather than from a
//! grammar. `words.rs` does the same steps over the same buffer, so that the verdict is the same there too.
//!
//! **How it fails.** [`Error`] has the line, the byte where the tool would point, and the reason in the tool's words.
//! One bad line refuses the whole file, as in the tool's strict mode. Size and counts are bounded ([`MAX_FILE`],
//! [`MAX_STATEMENTS`], [`MAX_SECTIONS`]), which the tool doesn't do; there's nothing that nests.
//!
//! **What it isn't.** It opens no file, and knows nothing of the deltas in `/tmp/.uci`, of several packages in one
//! stream (a `package` line is passed over, as in a file), or of the tool's lenient mode.

mod edit;
mod error;
mod model;
mod order;
mod parse;
mod text;
mod words;

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
pub(super) mod tests;

pub use error::{Error, Reason};
pub use model::{Content, Opt, Package, Section, Unfit, is_name, is_package_name, is_type};
pub use order::Matching;
pub use text::quoted;

use words::Word;

/// The longest file that is read, in bytes: 1 MiB, as much as a value of the tree.
pub const MAX_FILE: usize = 1 << 20;

/// The most statements in a file.
pub const MAX_STATEMENTS: usize = 100_000;

/// The most sections in a file.
pub const MAX_SECTIONS: usize = 10_000;

/// A file that was read: its text, its statements, and what they say.
#[derive(Clone, Debug)]
pub struct File {
    source: Vec<u8>,
    /// In the order of the text, none overlapping another.
    statements: Vec<Statement>,
    package: Package,
}

/// The place of something in the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A keyword and its words.
#[derive(Clone, Debug)]
struct Statement {
    kind: Kind,
    /// From the keyword to the end of the last word.
    span: Span,
    /// The lines that it stands on, with the last one's end.
    lines: Span,
    /// The type of a section, the name of an option or package.
    first: Word,
    /// The name of a section, the value of an option.
    second: Option<Word>,
    /// Which section it opens or belongs to; of a `package`, nothing.
    section: u32,
    /// Whether no other statement stands on these lines.
    alone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Package,
    Config,
    Option,
    List,
}

/// A part of a file's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Space, line ends, comments and whatever else says nothing.
    Between(&'a [u8]),
    /// A keyword and its words, with their quotes.
    Statement(&'a [u8]),
}

impl File {
    /// Reads a file's text.
    ///
    /// ```
    /// use tega::openwrt::uci::File;
    /// let file = File::parse(b"config interface 'lan'\n\toption proto 'static'\n")?;
    /// assert_eq!(file.show("network"), b"network.lan=interface\nnetwork.lan.proto='static'\n");
    ///
    /// let error = File::parse(b"config interface lan\n\toption proto it's\n").unwrap_err();
    /// assert_eq!(error.to_string(), "line 2, byte 19: EOF with unterminated '");
    /// # Ok::<(), tega::openwrt::uci::Error>(())
    /// ```
    pub fn parse(source: &[u8]) -> Result<File, Error> {
        parse::parse(source)
    }

    /// A file without a byte: what a new one is changed from.
    pub fn empty() -> File {
        File { source: Vec::new(), statements: Vec::new(), package: Package::default() }
    }

    /// The text, as it was read.
    pub fn bytes(&self) -> &[u8] {
        &self.source
    }

    /// What the file says.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// The text in parts, in order; together they are [`File::bytes`].
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut at = 0;
        let mut statements = self.statements.iter().peekable();
        std::iter::from_fn(move || {
            let next = statements.peek().map_or(self.source.len(), |s| s.span.range().start);
            if at < next {
                let piece = &self.source[at..next];
                at = next;
                return Some(Piece::Between(piece));
            }
            let range = statements.next()?.span.range();
            at = range.end;
            Some(Piece::Statement(&self.source[range]))
        })
    }

    /// The line, from 1, where a section, or an option of it, is said last. The path is the section's key as
    /// [`Package::keys`] has it, and the option's name.
    pub fn line_of<K: AsRef<str>>(&self, path: &[K]) -> Option<usize> {
        let keys = self.package.keys();
        let section = path.first().and_then(|key| keys.iter().position(|k| k == key.as_ref()))?;
        let said = |statement: &&Statement| {
            statement.section as usize == section
                && match path.get(1) {
                    None => statement.kind == Kind::Config,
                    Some(option) => {
                        matches!(statement.kind, Kind::Option | Kind::List)
                            && *statement.first.text == *option.as_ref().as_bytes()
                    }
                }
        };
        let statement = self.statements.iter().rev().find(said)?;
        let before = self.source.get(..statement.span.range().start)?;
        Some(1 + before.iter().filter(|b| **b == b'\n').count())
    }

    /// What `uci export NAME` prints.
    pub fn export(&self, name: &str) -> Vec<u8> {
        self.package.export(name)
    }

    /// What `uci show NAME` prints.
    pub fn show(&self, name: &str) -> Vec<u8> {
        self.package.show(name)
    }

    /// The text that says `wanted`, made from this one: what is the same keeps its bytes, comments and place.
    ///
    /// Sections are matched by name, those without one by content. The order of sections is that of `wanted`; the
    /// order of options within a section means nothing to anybody, and stays the file's. Where the text is written so
    /// that no part of it can be changed alone (several statements on a line that is to change, NUL bytes), it is
    /// written anew as `uci commit` writes it.
    ///
    /// The caller has checked `wanted` ([`Package::check`]): a name that isn't one would be another statement.
    pub fn changed_to(&self, wanted: &Package) -> Vec<u8> {
        edit::changed(self, wanted).unwrap_or_else(|| wanted.text())
    }
}
