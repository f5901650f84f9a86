//! From a value to the package that it wants.

use std::collections::HashSet;

use super::error::{Error, Reason};
use super::{ANONYMOUS, DELETE, INDEX, NAME, PACKAGE, TYPE, Wanted};
use crate::openwrt::uci::{Content, Opt, Package, Section, Unfit, is_name, is_type};
use crate::value::{Object, Value};

/// What the value wants. A control character is taken where `old` has the same value in an option of that name.
pub(super) fn wanted(value: &Value, old: Option<&Package>) -> Result<Wanted, Error> {
    let sections = old.into_iter().flat_map(|package| &package.sections);
    let options = sections.flat_map(|section| &section.options);
    let values =
        options.flat_map(|option| option.content.values().iter().map(|v| (option.name.as_str(), &**v)));
    let known: HashSet<(&str, &[u8])> = values.filter(|(_, value)| control(value).is_some()).collect();
    read(value, &|name, value| known.contains(&(name, value)))
}

/// What the value wants, with whatever control characters.
pub(super) fn lenient(value: &Value) -> Result<Wanted, Error> {
    read(value, &|_, _| true)
}

/// Whether a value with control characters may stand in the option of this name.
type Allowed<'a> = &'a dyn Fn(&str, &[u8]) -> bool;

fn read(value: &Value, allowed: Allowed<'_>) -> Result<Wanted, Error> {
    let here = |reason: Reason| Error::new(&[], reason);
    let object = value.as_object().ok_or_else(|| here(Reason::NotObject(value.kind())))?;
    let members = object.members();
    if members.is_empty() {
        return Err(here(Reason::Empty));
    }
    let mut sections: Vec<(Place<'_>, &str, Section)> = Vec::new();
    let mut removed = false;
    for (key, value) in members {
        match key.as_str() {
            PACKAGE | DELETE if *value != Value::Bool(true) => {
                return Err(Error::new(&[key], Reason::NotTrue));
            }
            PACKAGE => {}
            DELETE => removed = true,
            mark if mark.starts_with('.') => return Err(Error::new(&[key], Reason::Mark)),
            _ => {
                let object =
                    value.as_object().ok_or_else(|| Error::new(&[key], Reason::NotObject(value.kind())))?;
                let (index, section) = section(key, object, allowed)?;
                sections.push((Place { index, key: parts(key) }, key, section));
            }
        }
    }
    if removed {
        return if members.len() == 1 { Ok(Wanted::Removed) } else { Err(here(Reason::DeleteAndMore)) };
    }
    sections.sort_by(|a, b| a.0.cmp(&b.0));
    let keys: Vec<&str> = sections.iter().map(|(_, key, _)| *key).collect();
    let package = Package { sections: sections.into_iter().map(|(_, _, section)| section).collect() };
    match package.check() {
        Ok(()) => Ok(Wanted::Package(package)),
        // All else of one section was judged above.
        Err(Unfit::Twice(at)) => Err(Error::new(keys.get(at..=at).unwrap_or_default(), Reason::Twice)),
        Err(unfit) => Err(here(Reason::Unfit(unfit))),
    }
}

/// Where a section stands: by its index, else behind those that have one, in the order of the keys.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    index: u64,
    key: (&'a str, u64),
}

/// A key in two parts, so that `@rule[10]` comes after `@rule[9]`.
fn parts(key: &str) -> (&str, u64) {
    let number = anonymous(key).map(|(kind, n)| (key.get(..=kind.len()).unwrap_or(key), n));
    number.unwrap_or((key, 0))
}

/// Type and number of a key `@TYPE[N]`.
fn anonymous(key: &str) -> Option<(&str, u64)> {
    let (kind, n) = key.strip_prefix('@')?.strip_suffix(']')?.rsplit_once('[')?;
    let digits = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    let n = digits.then(|| n.parse().ok()).flatten()?;
    Some((kind, n))
}

/// Whether ubus would name an anonymous section so.
fn is_made_up(key: &str) -> bool {
    key.strip_prefix("cfg").is_some_and(|rest| rest.len() >= 6 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A section, and its index; the greatest for none.
fn section(key: &str, object: &Object, allowed: Allowed<'_>) -> Result<(u64, Section), Error> {
    let here = |reason: Reason| Error::new(&[key], reason);
    let mark = |mark: &str, reason: Reason| Error::new(&[key, mark], reason);
    let kind = object.get(TYPE).ok_or_else(|| here(Reason::NoType))?;
    let kind = kind.as_str().filter(|kind| is_type(kind)).ok_or_else(|| mark(TYPE, Reason::Type))?;
    let said = match object.get(ANONYMOUS) {
        None => None,
        Some(Value::Bool(said)) => Some(*said),
        Some(_) => return Err(mark(ANONYMOUS, Reason::Anonymous)),
    };
    let name = match anonymous(key) {
        Some(_) if said == Some(false) => return Err(here(Reason::Anonymous)),
        Some((other, _)) if other != kind => return Err(here(Reason::OtherType)),
        Some(_) => None,
        None if !is_name(key) => return Err(here(Reason::SectionName)),
        None if said == Some(true) && is_made_up(key) => None,
        None if said == Some(true) => return Err(here(Reason::Anonymous)),
        None => Some(key.to_string()),
    };
    let mut index = u64::MAX;
    let mut options = Vec::with_capacity(object.members().len());
    for (option, value) in object.members() {
        match option.as_str() {
            TYPE | ANONYMOUS => {}
            INDEX => {
                let number = value.as_int().and_then(|n| u64::try_from(n).ok());
                index = number.ok_or_else(|| mark(INDEX, Reason::Index))?;
            }
            // Of an anonymous section it's the name that ubus made up.
            NAME if name.is_none() || value.as_str() == name.as_deref() => {}
            NAME => return Err(mark(NAME, Reason::Name)),
            dot if dot.starts_with('.') => return Err(mark(option, Reason::Mark)),
            _ => {
                let at = |reason: Reason| Error::new(&[key, option], reason);
                if !is_name(option) {
                    return Err(at(Reason::OptionName));
                }
                if let Some(content) = content(option, value, allowed).map_err(at)? {
                    options.push(Opt { name: option.to_string(), content });
                }
            }
        }
    }
    Ok((index, Section { name, kind: kind.to_string(), options }))
}

/// What an option holds; `None`: the text `""`, which is no option.
fn content(name: &str, value: &Value, allowed: Allowed<'_>) -> Result<Option<Content>, Reason> {
    let content = match value {
        Value::List(list) if list.items().is_empty() => return Err(Reason::EmptyList),
        Value::List(list) => {
            let items = list.items().iter().map(|item| scalar(name, item, allowed));
            Content::Many(items.collect::<Result<_, _>>()?)
        }
        Value::Text(text) if text.is_empty() => return Ok(None),
        value => Content::One(scalar(name, value, allowed)?),
    };
    Ok(Some(content))
}

/// A scalar as ubus takes it, but for a negative integer, of which rpcd makes the unsigned one of the same bits.
fn scalar(name: &str, value: &Value, allowed: Allowed<'_>) -> Result<Vec<u8>, Reason> {
    match value {
        Value::Text(text) => match control(text.as_bytes()) {
            Some(c) if c == '\0' || !allowed(name, text.as_bytes()) => Err(Reason::Control(c)),
            _ => Ok(text.as_bytes().to_vec()),
        },
        Value::Bool(truth) => Ok(vec![if *truth { b'1' } else { b'0' }]),
        Value::Int(int) => Ok(int.to_string().into_bytes()),
        Value::UInt(int) => Ok(int.get().to_string().into_bytes()),
        Value::Null | Value::Float(_) | Value::List(_) | Value::Object(_) => Err(Reason::Kind(value.kind())),
    }
}

/// A character that `uci set` refuses; NUL before all others, since nothing can hold it.
fn control(value: &[u8]) -> Option<char> {
    let refused = |b: &&u8| **b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r');
    let first = value.iter().find(|b| **b == 0).or_else(|| value.iter().find(refused));
    first.map(|b| char::from(*b))
}
