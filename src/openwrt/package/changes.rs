//! What differs between two packages, for people to read.

use std::fmt;

use super::error::Error;
use super::{Wanted, write};
use crate::openwrt::one_line;
use crate::openwrt::secret::{HIDDEN, Secrets};
use crate::openwrt::uci::{Content, Matching, Package, Section, quoted};
use crate::value::Value;

/// How much of an option is shown in a line, in characters.
const SHOWN: usize = 300;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key of the section: the new one, where there is one.
    pub section: String,
    /// What happened.
    pub what: What,
}

/// What happened to a section, or to an option of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A new section of this type; its options follow.
    Section(String),
    /// The section of this type is gone, with all its options.
    Gone(String),
    /// It has another type now: before, after.
    Type(String, String),
    /// It stands elsewhere among the sections.
    Moved,
    /// An option; `None`: it isn't there.
    Option {
        /// Its name.
        name: String,
        /// What it was.
        before: Option<Content>,
        /// What it is.
        after: Option<Content>,
    },
}

/// What differs between two values of a package, in the order of the new one, with what is gone at the end. `None`: there is
/// no file. Anonymous sections are matched by content; one that only has another number didn't change.
pub fn changes(before: Option<&Value>, after: Option<&Value>) -> Result<Vec<Change>, Error> {
    let package = |value: Option<&Value>| match value.map(write::lenient).transpose()? {
        Some(Wanted::Package(package)) => Ok(package),
        Some(Wanted::Removed) | None => Ok(Package::default()),
    };
    Ok(between(&package(before)?, &package(after)?))
}

/// What differs between two packages.
fn between(before: &Package, after: &Package) -> Vec<Change> {
    let Matching { found, stays } = Matching::of(before, after);
    let mut changes = Vec::new();
    let mut gone = vec![true; before.sections.len()];
    for (at, (section, key)) in after.sections.iter().zip(after.keys()).enumerate() {
        let old = found[at].and_then(|old| {
            gone[old] = false;
            before.sections.get(old)
        });
        let mut push = |what: What| changes.push(Change { section: key.clone(), what });
        match old {
            None => push(What::Section(section.kind.clone())),
            Some(old) => {
                if !stays[at] {
                    push(What::Moved);
                }
                if old.kind != section.kind {
                    push(What::Type(old.kind.clone(), section.kind.clone()));
                }
            }
        }
        options(old, section).into_iter().for_each(push);
    }
    let keys = before.keys();
    for (at, section) in before.sections.iter().enumerate().filter(|(at, _)| gone[*at]) {
        changes.push(Change { section: keys[at].clone(), what: What::Gone(section.kind.clone()) });
    }
    changes
}

fn options(before: Option<&Section>, after: &Section) -> Vec<What> {
    let (old, new) = (before.map(Section::by_name).unwrap_or_default(), after.by_name());
    let mut changes = Vec::new();
    for option in &after.options {
        let before = old.get(option.name.as_str()).copied();
        if before != Some(&option.content) {
            let (name, after) = (option.name.clone(), Some(option.content.clone()));
            changes.push(What::Option { name, before: before.cloned(), after });
        }
    }
    for option in before.map_or(&[][..], |section| &section.options) {
        if !new.contains_key(option.name.as_str()) {
            let (name, before) = (option.name.clone(), Some(option.content.clone()));
            changes.push(What::Option { name, before, after: None });
        }
    }
    changes
}

impl Change {
    /// One line, without its end, as `uci changes` might say it; values of secret options are left out, and long ones
    /// cut.
    ///
    /// ```
    /// use tega::openwrt::{package::changes, secret::Secrets};
    /// use tega::value::Value;
    ///
    /// let before = Value::parse(r#"{"w":{".type":"wifi-iface","key":"old","ssid":"a","mode":"ap"}}"#)?;
    /// let after = Value::parse(r#"{"w":{".type":"wifi-iface","key":"new","ssid":"b"}}"#)?;
    /// let lines: Vec<String> = changes(Some(&before), Some(&after))?
    ///     .iter()
    ///     .map(|change| change.line("wireless", &Secrets::default()))
    ///     .collect();
    /// assert_eq!(
    ///     lines,
    ///     ["wireless.w.key: *** → ***", "wireless.w.ssid: 'a' → 'b'", "- wireless.w.mode='ap'"]
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn line(&self, package: &str, secrets: &Secrets) -> String {
        let place = format!("{package}.{}", self.section);
        match &self.what {
            What::Section(kind) => format!("+ {place}={kind}"),
            What::Gone(kind) => format!("- {place}={kind}"),
            What::Type(before, after) => format!("{place}: type {before} → {after}"),
            What::Moved => format!("{place}: moved"),
            What::Option { name, before, after } => {
                let hidden = secrets.hides(name);
                let text = |content: &Content| Shown { content, hidden }.to_string();
                match (before, after) {
                    (Some(before), Some(after)) => {
                        format!("{place}.{name}: {} → {}", text(before), text(after))
                    }
                    (None, Some(after)) => format!("+ {place}.{name}={}", text(after)),
                    (Some(before), None) => format!("- {place}.{name}={}", text(before)),
                    (None, None) => format!("{place}.{name}"),
                }
            }
        }
    }
}

/// A content as `uci show` prints it, on one line.
struct Shown<'a> {
    content: &'a Content,
    hidden: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hidden {
            return f.write_str(HIDDEN);
        }
        let mut text = String::new();
        for value in self.content.values() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&String::from_utf8_lossy(&quoted(value)));
            if text.len() > SHOWN {
                break;
            }
        }
        one_line(&text, SHOWN, f)
    }
}
