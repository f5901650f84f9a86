//! `history`, `diff`, `rollback`: the versions of a root.

use super::data;
use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out};
use crate::api::route::Route;
use crate::openwrt::secret;
use crate::path::{Key, Path};
use crate::value::Value;
use crate::words;

/// An argument that must be a root.
pub(super) fn root(text: &str) -> Result<Key, Fault> {
    let path = data::node(text)?;
    match path.keys() {
        [root] => Ok(root.clone()),
        _ => Err(Fault::error(format!(
            "{path} is no root; versions belong to roots, such as {}",
            path.prefix(1)
        ))),
    }
}

fn version(text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| Fault::usage(format!("{text:?}: a version is a number, such as 3 or -1")))
}

/// `tega rollback`
pub(super) fn rollback(typed: &Typed) -> Result<(), Fault> {
    let (root, back_to) = (root(typed.arg(0))?, version(typed.arg(1))?);
    let mut remote = Remote::new(typed)?;
    let route = Route::Rollback { by: remote.by.clone(), root, back_to, durable: false };
    remote.change(&route, None).map(drop)
}

/// `tega history`
pub(super) fn history(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let root = root(typed.arg(0))?;
    let list = Remote::new(typed)?.ask_json(&Route::History { root })?;
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &list);
    }
    let mut rows = vec![["VERSION", "WHEN", "WHO", "WHAT"].map(String::from).to_vec()];
    for entry in list.as_list().map_or(&[][..], |list| list.items()) {
        let field = |name| entry.get(name).map_or(String::new(), words::short);
        let when = match entry.get("time").and_then(Value::as_int) {
            Some(ms) => words::time(ms),
            None => field("time"),
        };
        rows.push(vec![field("version"), when, field("tega_id"), words::what(entry)]);
    }
    out.table(&rows)
}

/// `tega diff`
pub(super) fn diff(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let (root, from) = (root(typed.arg(0))?, version(typed.arg(1))?);
    let to = typed.args.get(2).map(|text| version(text)).transpose()?;
    let list = Remote::new(typed)?.ask_json(&Route::Diff { root, from, to })?;
    let list = if typed.has(Flag::Secrets) { list } else { hide(&list)? };
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &list);
    }
    for entry in list.as_list().map_or(&[][..], |list| list.items()) {
        let path = path_of(entry)?;
        side(out, &path, entry.get("before"), '-', "31")?;
        side(out, &path, entry.get("after"), '+', "32")?;
    }
    Ok(())
}

fn path_of(entry: &Value) -> Result<Path, Fault> {
    let text = entry.get("path").and_then(Value::as_str).unwrap_or("");
    Path::parse(text).map_err(|_| Fault::error(format!("the answer holds a path that isn't one: {text:?}")))
}

/// The differences without the keys and passwords of routers.
fn hide(list: &Value) -> Result<Value, Fault> {
    let said = |error: crate::value::ValueError| Fault::error(error.to_string());
    let mut shown = Vec::new();
    for entry in list.as_list().map_or(&[][..], |list| list.items()) {
        let path = path_of(entry)?;
        let member = |(key, value): &(Key, Value)| {
            let is_side = key == "before" || key == "after";
            (key.clone(), if is_side { secret::hide(&path, value).0 } else { value.clone() })
        };
        let members = entry.as_object().map_or(&[][..], |entry| entry.members()).iter().map(member);
        shown.push(Value::object(members.collect()).map_err(said)?);
    }
    Value::list(shown).map_err(said)
}

/// One side of a difference as flat lines, red or green where a person reads them.
fn side(out: &mut Out, path: &Path, value: Option<&Value>, sign: char, colour: &str) -> Result<(), Fault> {
    let Some(value) = value else { return Ok(()) };
    let mut lines = String::new();
    words::flat(path, value, &mut lines);
    for line in lines.lines() {
        if out.terminal {
            out.line(&format!("\x1b[{colour}m{sign} {line}\x1b[0m"))?;
        } else {
            out.line(&format!("{sign} {line}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_root_has_versions() {
        assert_eq!(root("a").unwrap(), "a");
        assert!(root("a.b").unwrap_err().message.contains("such as a"));
        assert!(root("").is_err() && root("_x").is_err());
    }
}
