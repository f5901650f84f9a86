//! Parts of a value: what is at a place in it, and the value with something else there.

use crate::path::Key;
use crate::value::Value;

/// What is at a place: keys of objects lead there.
pub(super) fn at<'a>(value: &'a Value, keys: &[Key]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.as_object()?.get(key))
}

/// The value with something else at a place; `None`: nothing. As at the server, what is missing above a new part is made, and
/// what a part leaves empty goes with it, but for the value itself. Recurses once a key.
pub(super) fn with(value: Option<&Value>, keys: &[Key], new: Option<Value>) -> Result<Option<Value>, String> {
    let Some((key, rest)) = keys.split_first() else { return Ok(new) };
    let mut members = match value {
        None if new.is_none() => return Ok(None),
        None => Vec::new(),
        Some(Value::Object(object)) => object.members().to_vec(),
        Some(other) => return Err(format!("{key} can't be below {}", other.kind())),
    };
    let place = members.iter().position(|(name, _)| name == key);
    let is_gone = new.is_none();
    let below = with(place.and_then(|at| members.get(at)).map(|(_, below)| below), rest, new)?;
    let is_left_empty = |value: &Value| is_gone && !rest.is_empty() && *value == Value::empty_object();
    match (place, below.filter(|below| !is_left_empty(below))) {
        (Some(at), Some(below)) => {
            if let Some(member) = members.get_mut(at) {
                member.1 = below;
            }
        }
        (Some(at), None) => drop(members.remove(at)),
        (None, Some(below)) => members.push((key.clone(), below)),
        (None, None) => {}
    }
    Value::object(members).map(Some).map_err(|error| error.to_string())
}

/// The first bytes of a text, up to a whole character.
pub(super) fn start(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;

    #[test]
    fn a_part_is_put_taken_and_what_it_leaves_empty_goes() {
        for (value, path, new, after) in [
            (r#"{"a":1}"#, "a", Some("2"), r#"{"a":2}"#),
            (r#"{"a":1}"#, "b.c", Some("2"), r#"{"a":1,"b":{"c":2}}"#),
            (r#"{"a":{"b":1},"c":1}"#, "a.b", None, r#"{"c":1}"#),
            (r#"{"a":{"b":1}}"#, "a", None, "{}"),
            (r#"{"a":1}"#, "x.y", None, r#"{"a":1}"#),
            (r#"{"a":1}"#, "a.b", Some("2"), "b can't be below an integer"),
        ] {
            let parse = |text: &str| Value::parse(text).unwrap();
            let path: Path = path.parse().unwrap();
            let outcome = with(Some(&parse(value)), path.keys(), new.map(parse));
            let said = outcome.map(|value| value.unwrap().to_string()).unwrap_or_else(|error| error);
            assert_eq!(said, after, "{value} {path}");
        }
    }
}
