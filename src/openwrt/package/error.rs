//! Why a package can't become a value, or a value a package.

use std::fmt;

use crate::openwrt::uci::Unfit;
use crate::path::{Key, PathError, write_keys};

/// What can't be, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Nothing for the package as a whole, else the key of a section, and that of an option.
    pub path: Vec<Key>,
    /// The line of the file, where one was read.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a package or its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A package or section that isn't an object, but what is named here.
    NotObject(&'static str),
    /// An object without a member as a package.
    Empty,
    /// `.delete` beside something else.
    DeleteAndMore,
    /// `.delete` or `.package` that isn't `true`.
    NotTrue,
    /// A member with a leading dot that isn't known.
    Mark,
    /// A section without `.type`.
    NoType,
    /// A type that isn't one, or no text.
    Type,
    /// A section's key that is neither a name nor `@TYPE[N]`.
    SectionName,
    /// A key `@TYPE[N]` with another type in `.type`.
    OtherType,
    /// `.anonymous` that contradicts the key.
    Anonymous,
    /// `.name` that contradicts the key.
    Name,
    /// An `.index` that isn't an integer from 0.
    Index,
    /// Two sections that are the same one to the router.
    Twice,
    /// An option's key that isn't a name.
    OptionName,
    /// A value of a kind that UCI doesn't have.
    Kind(&'static str),
    /// A list without an item.
    EmptyList,
    /// A character that the router's tool refuses to set.
    Control(char),
    /// A value that isn't UTF-8, and the byte from which on it isn't.
    NotUtf8(usize),
    /// A name that the tree can't have as a key.
    Key(PathError),
    /// What no file can hold.
    Unfit(Unfit),
}

impl Error {
    pub(super) fn new(path: &[&str], reason: Reason) -> Error {
        Error { path: path.iter().map(Key::new).collect(), line: None, reason }
    }

    /// The same, with the path from further up: of the package, say.
    pub fn below(mut self, key: &str) -> Error {
        self.path.insert(0, Key::new(key));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write_keys(&self.path, f)?;
            f.write_str(": ")?;
        }
        write!(f, "{}", self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotObject(kind) => write!(f, "{kind}, where an object is wanted"),
            Reason::Empty => f.write_str(
                "an empty object says nothing: {\".package\":true} is an empty package, \
                 {\".delete\":true} removes its file",
            ),
            Reason::DeleteAndMore => {
                f.write_str(".delete stands beside sections; put {\".delete\":true} as the whole package")
            }
            Reason::NotTrue => f.write_str("can only be true; delete it instead"),
            Reason::Mark => f.write_str(
                "unknown; with a leading dot a package has .package or .delete, \
                 a section .type, .anonymous, .index or .name",
            ),
            Reason::NoType => f.write_str("a section needs its .type"),
            Reason::Type => f.write_str("a type is text of printable ASCII characters without space"),
            Reason::SectionName => {
                f.write_str("a section's name is letters, digits and _; one without a name is @TYPE[N]")
            }
            Reason::OtherType => f.write_str(".type is another than the key says"),
            Reason::Anonymous => {
                f.write_str(".anonymous contradicts the key: a section without a name is @TYPE[N]")
            }
            Reason::Name => f.write_str(".name is another than the key"),
            Reason::Index => f.write_str("an index is an integer from 0"),
            Reason::Twice => f.write_str("to the router this is the same section as one before"),
            Reason::OptionName => f.write_str("an option's name is letters, digits and _"),
            Reason::Kind(kind) => {
                write!(f, "UCI can't hold {kind}, only text, numbers, booleans and lists of them")
            }
            Reason::EmptyList => f.write_str("UCI can't hold an empty list; delete the option instead"),
            Reason::Control(c) => write!(f, "the control character {c:?} can't be set"),
            Reason::NotUtf8(at) => {
                write!(f, "the value isn't UTF-8 (byte {at}), which the tree can't hold")
            }
            Reason::Key(error) => write!(f, "the tree can't have this: {error}"),
            Reason::Unfit(unfit) => write!(f, "{unfit}"),
        }
    }
}

impl std::error::Error for Error {}
