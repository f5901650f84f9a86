//! From a package to its value.

use super::error::{Error, Reason};
use super::{ANONYMOUS, INDEX, PACKAGE, TYPE};
use crate::openwrt::uci::{Content, Opt, Package, Section};
use crate::path::{Key, PathError, check_key};
use crate::value::{Value, ValueError};

pub(super) fn value(package: &Package) -> Result<Value, Error> {
    if package.sections.is_empty() {
        return object(vec![(Key::new_static(PACKAGE), Value::Bool(true))], &[]);
    }
    let mut sections = Vec::with_capacity(package.sections.len());
    for (at, (section, key)) in package.sections.iter().zip(package.keys()).enumerate() {
        key_of_the_tree(&key).map_err(|reason| Error::new(&[&key], reason))?;
        sections.push((Key::from(&*key), section_value(section, at, &key)?));
    }
    object(sections, &[])
}

fn section_value(section: &Section, at: usize, key: &str) -> Result<Value, Error> {
    let mut members = Vec::with_capacity(section.options.len() + 3);
    members.push((Key::new_static(TYPE), Value::from(section.kind.as_str())));
    // `MAX_SECTIONS` fits.
    members.push((Key::new_static(INDEX), Value::from(at as i64)));
    if section.name.is_none() {
        members.push((Key::new_static(ANONYMOUS), Value::Bool(true)));
    }
    for option in &section.options {
        members.push((Key::from(&*option.name), content(option, key)?));
    }
    object(members, &[key])
}

fn content(option: &Opt, section: &str) -> Result<Value, Error> {
    let at = |reason: Reason| Error::new(&[section, &option.name], reason);
    key_of_the_tree(&option.name).map_err(at)?;
    let text = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Value::from(text)),
        Err(error) => Err(at(Reason::NotUtf8(error.valid_up_to()))),
    };
    match &option.content {
        Content::One(bytes) => text(bytes),
        Content::Many(items) => {
            let items: Vec<Value> = items.iter().map(text).collect::<Result<_, _>>()?;
            Value::list(items).map_err(|_| at(Reason::Kind("a list so deep")))
        }
    }
}

fn key_of_the_tree(key: &str) -> Result<(), Reason> {
    check_key(key).map_err(|kind| Reason::Key(PathError::new(key, 0, kind)))
}

/// An object of these members. A package that a file can't say may have a section or option twice.
fn object(members: Vec<(Key, Value)>, path: &[&str]) -> Result<Value, Error> {
    Value::object(members).map_err(|error| match error {
        ValueError::DuplicateKey(key) => Error::new(&[path, &[&key]].concat(), Reason::Twice),
        ValueError::TooDeep => Error::new(path, Reason::Kind("an object so deep")),
    })
}
