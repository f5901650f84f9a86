//! # The address of a node
//!
//! A path is the list of keys from the top of the store down to a node. The first key names the
//! **root**; the empty path is the top itself, which holds the roots and nothing else.
//!
//! People write paths as text, in one of two forms:
//!
//! | form | example | a dot is | used |
//! | --- | --- | --- | --- |
//! | dotted | `lan.hosts["192.168.1.1"].mac` | a separator | everywhere; what [`Path`] prints |
//! | slashed | `/lan/hosts/192.168.1.1/mac` | part of the key | on the command line, and percent-decoded in URLs |
//!
//! A *plain* key is one or more characters other than `. [ ] " = /`, space and control characters;
//! `@name[3]`, OpenWrt's name for an anonymous section, counts as plain too. Every other key is written
//! `["…"]` with the escapes of a JSON string.
//!
//! A key is never empty, is at most [`MAX_KEY_LEN`] bytes of UTF-8, and is none of the five names that
//! the `internal` form of a node uses ([`INTERNAL_KEYS`]). A path has at most [`MAX_DEPTH`] keys. The rule
//! that a *root* doesn't begin with `_` is here too ([`Path::check_root`]), because URLs that begin with
//! `/_` are the server's own.

mod text;

pub use text::percent_decode;
pub(crate) use text::{write_escaped, write_json_string};

use std::fmt;

use smol_str::SmolStr;

/// One step of a path: short ones are stored inline and cost no allocation.
pub type Key = SmolStr;

/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_LEN: usize = 512;

/// The deepest node, counted in keys; nested lists count too. It bounds every recursion in this crate.
pub const MAX_DEPTH: usize = 64;

/// The names of the `internal` form of a node, which are therefore refused as keys.
pub const INTERNAL_KEYS: [&str; 5] = ["_value", "_version", "_oid", "_parent", "_ephemeral"];

/// The address of a node. Ordered key by key, so a node sorts just before everything below it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    keys: Vec<Key>,
}

impl Path {
    /// The top of the store: no keys.
    pub const TOP: Path = Path { keys: Vec::new() };

    /// A path of these keys, each of which is checked.
    pub fn new<K: Into<Key>>(keys: impl IntoIterator<Item = K>) -> Result<Path, PathError> {
        let mut path = Path::TOP;
        for key in keys {
            path.push(key.into())?;
        }
        Ok(path)
    }

    /// A path of keys that were checked before, such as those of a walk over a tree.
    pub fn from_checked(keys: Vec<Key>) -> Path {
        Path { keys }
    }

    /// Reads the dotted form, or the slashed one where the text begins with `/`.
    ///
    /// ```
    /// use tega::path::Path;
    /// let path = Path::parse(r#"lan.hosts["192.168.1.1"].mac"#)?;
    /// assert_eq!(path.keys()[2], "192.168.1.1");
    /// assert_eq!(path, Path::parse("/lan/hosts/192.168.1.1/mac")?);
    /// # Ok::<(), tega::path::PathError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Path, PathError> {
        text::parse(text)
    }

    /// Reads the path of a URL: `/`-separated, percent-decoded, with or without a trailing `/`.
    pub fn from_url(url_path: &str) -> Result<Path, PathError> {
        text::from_url(url_path)
    }

    /// Reads a path as it stands in a WebSocket command line: the dotted form, percent-decoded.
    pub fn from_wire(word: &str) -> Result<Path, PathError> {
        text::from_wire(word)
    }

    /// The dotted form with space, `%` and line ends percent-encoded, for a WebSocket command line.
    pub fn to_wire(&self) -> String {
        text::to_wire(self)
    }

    /// The path of a URL that [`Path::from_url`] reads back.
    pub fn to_url(&self) -> String {
        text::to_url(self)
    }

    /// The keys, from the root down.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether this is the top.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first key: the name of the root that the node belongs to.
    pub fn root(&self) -> Option<&Key> {
        self.keys.first()
    }

    /// The last key.
    pub fn name(&self) -> Option<&Key> {
        self.keys.last()
    }

    /// The node above; `None` for the top.
    pub fn parent(&self) -> Option<Path> {
        let (_, above) = self.keys.split_last()?;
        Some(Path { keys: above.to_vec() })
    }

    /// The first `len` keys of the path, or all of them.
    pub fn prefix(&self, len: usize) -> Path {
        Path { keys: self.keys[..len.min(self.keys.len())].to_vec() }
    }

    /// This path with one more key.
    pub fn join(&self, key: impl Into<Key>) -> Result<Path, PathError> {
        let mut path = self.clone();
        path.push(key.into())?;
        Ok(path)
    }

    /// Appends a key after checking it.
    pub fn push(&mut self, key: Key) -> Result<(), PathError> {
        check_key(&key).map_err(|why| PathError::new(&key, 0, why))?;
        if self.keys.len() == MAX_DEPTH {
            return Err(PathError::new(&key, 0, PathErrorKind::TooDeep));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Path) -> bool {
        other.keys.starts_with(&self.keys)
    }

    /// Refuses the top and roots that begin with `_`: nothing can be written there.
    pub fn check_root(&self) -> Result<&Key, PathError> {
        match self.keys.first() {
            None => Err(PathError::new("", 0, PathErrorKind::NoRoot)),
            Some(root) if root.starts_with('_') => Err(PathError::new(root, 0, PathErrorKind::ReservedRoot)),
            Some(root) => Ok(root),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(&self.keys, f)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Path, PathError> {
        Path::parse(text)
    }
}

/// Writes keys in the dotted form to `out`, without building a [`Path`].
pub fn write_keys(keys: &[Key], out: &mut impl fmt::Write) -> fmt::Result {
    text::write(keys, out)
}

/// Whether a key may stand in a tree, and if not, why.
pub fn check_key(key: &str) -> Result<(), PathErrorKind> {
    if key.is_empty() {
        Err(PathErrorKind::EmptyKey)
    } else if key.len() > MAX_KEY_LEN {
        Err(PathErrorKind::LongKey)
    } else if key.starts_with('_') && INTERNAL_KEYS.contains(&key) {
        Err(PathErrorKind::InternalKey)
    } else {
        Ok(())
    }
}

/// Why a path was refused: the text, where in it (a byte), and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The text, cut to a length that fits a message.
    pub text: String,
    /// The byte where the trouble begins.
    pub at: usize,
    /// What is wrong.
    pub kind: PathErrorKind,
}

impl PathError {
    pub(crate) fn new(text: &str, at: usize, kind: PathErrorKind) -> PathError {
        const SHOWN: usize = 80;
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        PathError { text: shown, at, kind }
    }
}

/// What can be wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathErrorKind {
    /// `a..b`, `a.`, or a key of length 0.
    EmptyKey,
    /// A key longer than [`MAX_KEY_LEN`].
    LongKey,
    /// One of [`INTERNAL_KEYS`].
    InternalKey,
    /// More than [`MAX_DEPTH`] keys.
    TooDeep,
    /// A character that needs the form `["…"]`.
    NotPlain(char),
    /// A `["…"]` that doesn't end, or holds a bad escape.
    BadBracket,
    /// Percent-decoding gave something that isn't UTF-8.
    NotUtf8,
    /// The path of a root was needed, and this is the top.
    NoRoot,
    /// A root that begins with `_`.
    ReservedRoot,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PathError { text, at, kind } = self;
        match kind {
            PathErrorKind::EmptyKey => {
                write!(f, "path \"{text}\": an empty key at byte {at}; a key has at least one character")
            }
            PathErrorKind::LongKey => write!(f, "key \"{text}\" is longer than {MAX_KEY_LEN} bytes"),
            PathErrorKind::InternalKey => {
                write!(
                    f,
                    "key \"{text}\" is a name of the internal form ({}); use another",
                    INTERNAL_KEYS.join(" ")
                )
            }
            PathErrorKind::TooDeep => write!(f, "path at \"{text}\" has more than {MAX_DEPTH} keys"),
            PathErrorKind::NotPlain(c) => {
                write!(
                    f,
                    "path \"{text}\": {c:?} at byte {at} can't stand in a plain key; write the key as [\"…\"]"
                )
            }
            PathErrorKind::BadBracket => {
                write!(f, "path \"{text}\": the [\"…\"] at byte {at} doesn't end or holds a bad escape")
            }
            PathErrorKind::NotUtf8 => write!(f, "path \"{text}\" isn't UTF-8 after percent-decoding"),
            PathErrorKind::NoRoot => write!(f, "the path is empty; name a root, such as config-r1"),
            PathErrorKind::ReservedRoot => {
                write!(
                    f,
                    "root \"{text}\" begins with \"_\", which is kept for the server's own calls; use another name"
                )
            }
        }
    }
}

impl std::error::Error for PathError {}
