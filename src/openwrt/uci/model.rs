//! What a file says: sections and their options, without the text.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{MAX_FILE, MAX_SECTIONS, MAX_STATEMENTS};

/// The content of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// In the order of the file.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name; `None`: it's anonymous.
    pub name: Option<String>,
    /// Its type.
    pub kind: String,
    /// In the order of the file.
    pub options: Vec<Opt>,
}

/// An option of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: Content,
}

/// What an option holds. No value has a NUL byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `option`: one value, never empty, since a file can't say that.
    One(Vec<u8>),
    /// `list`: at least one value, and each may be empty.
    Many(Vec<Vec<u8>>),
}

impl Content {
    /// The values, one or many.
    pub fn values(&self) -> &[Vec<u8>] {
        match self {
            Content::One(value) => std::slice::from_ref(value),
            Content::Many(values) => values,
        }
    }
}

impl Section {
    /// The options by their names: for who asks for many.
    pub(in crate::openwrt) fn by_name(&self) -> HashMap<&str, &Content> {
        self.options.iter().map(|option| (option.name.as_str(), &option.content)).collect()
    }

    /// The option of this name.
    pub fn option(&self, name: &str) -> Option<&Content> {
        self.options.iter().find(|option| option.name == name).map(|option| &option.content)
    }
}

impl Package {
    /// For each section its name, or `@TYPE[N]`, the tool's name for one that has none: N counts the sections of this type
    /// from 0, those with a name too.
    pub fn keys(&self) -> Vec<String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let key = |section: &Section, n: usize| match &section.name {
            Some(name) => name.clone(),
            None => format!("@{}[{n}]", section.kind),
        };
        let mut keys = Vec::with_capacity(self.sections.len());
        for section in &self.sections {
            let count = counts.entry(&section.kind).or_default();
            keys.push(key(section, *count));
            *count += 1;
        }
        keys
    }

    /// For each section its name, or the one that the tool makes up (`cfg0192bd`): of its place among all sections and a
    /// hash of its type. It means another section as soon as one is put before it, so it's never kept anywhere.
    pub fn generated_names(&self) -> Vec<String> {
        let name = |(at, section): (usize, &Section)| match &section.name {
            Some(name) => name.clone(),
            None => generated_name(at + 1, &section.kind),
        };
        self.sections.iter().enumerate().map(name).collect()
    }

    /// Whether a file can say this: names, types and values that are ones, no name twice, and the limits of a file.
    pub fn check(&self) -> Result<(), Unfit> {
        if self.sections.len() > MAX_SECTIONS {
            return Err(Unfit::Sections);
        }
        let mut names: HashSet<String> = HashSet::new();
        let (mut statements, mut bytes) = (0usize, "\n".len());
        for (at, section) in self.sections.iter().enumerate() {
            if !is_type(&section.kind) {
                return Err(Unfit::Type(at));
            }
            match &section.name {
                Some(name) if !is_name(name) => return Err(Unfit::Name(at)),
                Some(name) if !names.insert(name.clone()) => return Err(Unfit::Twice(at)),
                Some(_) => {}
                // To the tool a later section of this name is this one.
                None => _ = names.insert(generated_name(at + 1, &section.kind)),
            }
            let mut options: HashSet<&str> = HashSet::new();
            statements += 1;
            let name = section.name.as_ref().map_or(0, String::len);
            bytes += quoted_len(section.kind.as_bytes()) + name + "\nconfig  ''\n".len();
            for option in &section.options {
                let values = option.content.values();
                let empty = matches!(&option.content, Content::One(value) if value.is_empty());
                if !is_name(&option.name) || !options.insert(&option.name) {
                    return Err(Unfit::Option(at, option.name.clone()));
                }
                if empty || values.is_empty() || values.iter().any(|value| value.contains(&0)) {
                    return Err(Unfit::Value(at, option.name.clone()));
                }
                statements += values.len();
                let each = option.name.len() + "\toption  \n".len();
                bytes += values.iter().map(|value| each + quoted_len(value)).sum::<usize>();
            }
        }
        match () {
            _ if statements > MAX_STATEMENTS => Err(Unfit::Statements),
            _ if bytes > MAX_FILE => Err(Unfit::Size),
            _ => Ok(()),
        }
    }
}

/// Why no file can say this. A number is the place of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The type of a section isn't one.
    Type(usize),
    /// The name of a section isn't one.
    Name(usize),
    /// The section has the name of one before, or the name that the tool makes up for one before.
    Twice(usize),
    /// The name of an option isn't one, or occurs twice in its section.
    Option(usize, String),
    /// An empty value, an empty list, or a NUL byte.
    Value(usize, String),
    /// More than [`MAX_SECTIONS`].
    Sections,
    /// More than [`MAX_STATEMENTS`].
    Statements,
    /// Longer than [`MAX_FILE`].
    Size,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Type(at) => write!(f, "section {at}: the type isn't printable ASCII without space"),
            Unfit::Name(at) => write!(f, "section {at}: a name is letters, digits and _"),
            Unfit::Twice(at) => write!(f, "section {at}: the name occurs twice"),
            Unfit::Option(at, name) => {
                write!(f, "section {at}: {name:?} is no name of an option, or is there twice")
            }
            Unfit::Value(at, name) => write!(f, "section {at}, option {name}: empty, or with a NUL byte"),
            Unfit::Sections => write!(f, "more than {MAX_SECTIONS} sections"),
            Unfit::Statements => write!(f, "more than {MAX_STATEMENTS} options and values"),
            Unfit::Size => write!(f, "a file of more than {MAX_FILE} bytes"),
        }
    }
}

impl std::error::Error for Unfit {}

/// How long a value is in quotes, where a quote needs four bytes.
fn quoted_len(value: &[u8]) -> usize {
    2 + value.len() + 3 * value.iter().filter(|b| **b == b'\'').count()
}

/// Whether this names a section or an option: letters, digits and `_`, at least one.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether this names a package: as a section, and `-`.
pub fn is_package_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether this is the type of a section: printable ASCII without space, at least one.
pub fn is_type(kind: &str) -> bool {
    !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_graphic())
}

/// The name that the tool gives to an anonymous section: its ordinal, from 1, and the hash of its type.
pub(super) fn generated_name(ordinal: usize, kind: &str) -> String {
    let step = |hash: u32, byte: u8| hash.wrapping_mul(33).wrapping_add(byte.into());
    let hash = kind.bytes().fold(5381, step) & 0xffff;
    format!("cfg{ordinal:02x}{hash:04x}")
}
