//! # A package as a value of the tree
//!
//! | in the file | in the tree |
//! | --- | --- |
//! | `config interface 'lan'` | a member `lan` with `".type":"interface"` and `".index"`, its place among the sections from 0 |
//! | `config rule` | a member `@rule[N]`, N counting the sections of this type, with `".anonymous":true` too |
//! | `option mtu '1500'` | `"mtu":"1500"` |
//! | `list dns 'A'` | `"dns":["A"]` |
//! | nothing at all | `{".package":true}` |
//!
//! That is what ubus answers, but for `.name`, which would say the key again, and the made-up names of anonymous
//! sections, which change when another is put before them. Both are understood when they are written.
//!
//! [`read()`] makes the value, [`render`] the file. What render makes of a value that read made is the same file; and what
//! read makes of a file that render made is [`normal`] of its value: numbers and booleans are text then (36 is `'36'`,
//! true is `'1'`, as ubus takes them), sections are counted anew, and an option with the text `""` is gone, since to UCI that
//! is an option which isn't there.
//!
//! **Order.** Sections stand in the order of `.index`, and those without one behind all others in the order of their
//! keys, where `@rule[10]` comes after `@rule[9]`. So a section that is put without an index is the last one, and
//! gaps that a deleted one leaves do no harm. The order of options means nothing in UCI.
//!
//! **Removing.** `{".delete":true}` as the whole package removes the file. An empty object is refused: whether it was to
//! be emptied, removed or filled only its author knows.
//!
//! **How it fails.** [`Error`] names section and option. Refused are what UCI can't hold (null, a float, an object, an
//! empty list, a list in a list), names and types that aren't ones, a section without `.type`, control characters but tab
//! and line end, which the tool refuses to set, and bytes that aren't UTF-8 on the way into the tree. A control
//! character that the old file has already may stay: taking a router in must not change it.
//!
//! **What it isn't.** It doesn't ask whether an option means anything, and it writes no file.

mod changes;
mod error;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use changes::{Change, What, changes};
pub use error::{Error, Reason};

use crate::openwrt::uci::{File, Package};
use crate::value::Value;

/// The member of a package or section that says what it is.
pub(super) const TYPE: &str = ".type";
/// That a section has no name.
pub(super) const ANONYMOUS: &str = ".anonymous";
/// The place of a section.
pub(super) const INDEX: &str = ".index";
/// The name of a section, in ubus's answers.
pub(super) const NAME: &str = ".name";
/// That there is a package, though it has no section.
pub(super) const PACKAGE: &str = ".package";
/// That the file is to be removed.
pub(super) const DELETE: &str = ".delete";

/// What a value wants of a package's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A file that says this.
    Package(Package),
    /// No file.
    Removed,
}

/// What is to be done with a package's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// Nothing: it says what is wanted, or is as absent as wanted.
    Same,
    /// Replace or create it with these bytes.
    Write(Vec<u8>),
    /// Remove it.
    Remove,
}

/// The value of a file.
pub fn read(file: &File) -> Result<Value, Error> {
    read::value(file.package()).map_err(|mut error| {
        error.line = file.line_of(&error.path);
        error
    })
}

/// The value of a package's content.
pub fn value(package: &Package) -> Result<Value, Error> {
    read::value(package)
}

/// What a value wants, without regard to what there is.
pub fn wanted(value: &Value) -> Result<Wanted, Error> {
    write::wanted(value, None)
}

/// The same, with whatever control characters: the router's programs read a file that has some.
pub(super) fn lenient(value: &Value) -> Result<Wanted, Error> {
    write::lenient(value)
}

/// The file that the value wants, made from the one that there is.
pub fn render(old: Option<&File>, value: &Value) -> Result<Rendered, Error> {
    let package = match write::wanted(value, old.map(File::package))? {
        Wanted::Package(package) => package,
        Wanted::Removed if old.is_some() => return Ok(Rendered::Remove),
        Wanted::Removed => return Ok(Rendered::Same),
    };
    let Some(old) = old else { return Ok(Rendered::Write(package.text())) };
    let bytes = old.changed_to(&package);
    Ok(if bytes == old.bytes() { Rendered::Same } else { Rendered::Write(bytes) })
}

/// The value that [`read()`] will make of the file that [`render`] makes of this one. The normal form of the value that
/// removes a package is that value.
pub fn normal(value: &Value) -> Result<Value, Error> {
    match write::lenient(value)? {
        Wanted::Package(package) => read::value(&package),
        Wanted::Removed => Ok(value.clone()),
    }
}
