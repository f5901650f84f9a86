//! What an original local server and its global one say to each other beyond a session's frames: the bodies of SYNC and
//! REFER, and a NOTIFY that is to be applied. Both ends.
//!
//! The original's paths are bare keys joined by dots, without quotes; it has no null, and no key with a dot can be
//! named. It applies a NOTIFY as one transaction, in which a PUT of a whole root takes effect only as the first word on
//! that root: so one is sent alone.

use std::fmt::Write;

use super::frame::BadFrame;
use super::{Scope, body};
use crate::api::error::Refusal;
use crate::path::{Key, Path};
use crate::value::{Object, Value, write_string};

/// One entry of a NOTIFY from an original server.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The subtree at the path is this now.
    Put(Path, Value),
    /// The node at the path went.
    Delete(Path),
    /// An old state of a root came back.
    Rollback {
        /// The root, as a path.
        root: Path,
        /// Below 0: so many states before the present one. From 0 up an index into a list that only it knows.
        back_to: Option<i64>,
        /// The state; the original sends none.
        instance: Option<Value>,
    },
}

impl Told {
    /// Where.
    pub fn path(&self) -> &Path {
        match self {
            Told::Put(path, _) | Told::Delete(path) | Told::Rollback { root: path, .. } => path,
        }
    }
}

fn bad<T>(message: impl Into<String>) -> Result<T, BadFrame> {
    Err(BadFrame::new(message))
}

/// A path as the original writes it.
fn path(text: &str) -> Result<Path, BadFrame> {
    let path = Path::new(text.replace("\\.", ".").split('.')).map_err(|e| BadFrame::new(e.to_string()))?;
    path.check_root().map_err(|e| BadFrame::new(e.to_string()))?;
    Ok(path)
}

/// Reads the list of a NOTIFY. An entry that can't be read spoils the whole list: it's one transaction.
pub fn read_entries(text: &str) -> Result<Vec<Told>, BadFrame> {
    let list = body::json(text).map_err(|refusal| BadFrame::new(refusal.message))?;
    match &list {
        Value::List(list) => list.items().iter().map(read_entry).collect(),
        other => bad(format!("NOTIFY needs a list of entries, not {}", other.kind())),
    }
}

fn read_entry(entry: &Value) -> Result<Told, BadFrame> {
    let text = |name| entry.get(name).and_then(Value::as_str);
    let Some(at) = text("path") else { return bad("an entry needs a \"path\"") };
    let at = path(at)?;
    match (text("ope"), entry.get("instance")) {
        (Some("PUT"), Some(instance)) if at.len() > 1 || instance.as_object().is_some() => {
            Ok(Told::Put(at, instance.clone()))
        }
        (Some("PUT"), Some(instance)) => {
            bad(format!("the root {at} must be an object, not {}", instance.kind()))
        }
        (Some("PUT"), None) => bad(format!("a PUT of {at} needs an \"instance\"")),
        (Some("DELETE"), _) => Ok(Told::Delete(at)),
        (Some("ROLLBACK"), instance) => Ok(Told::Rollback {
            root: at.prefix(1),
            back_to: entry.get("backto").and_then(Value::as_int),
            instance: instance.filter(|instance| instance.as_object().is_some()).cloned(),
        }),
        _ => bad(format!("an entry of {at}: \"ope\" must be PUT, DELETE or ROLLBACK")),
    }
}

fn members(request: Option<&str>) -> Result<Object, Refusal> {
    match body::json(request.unwrap_or("{}"))? {
        Value::Object(object) => Ok(object),
        other => Err(Refusal::bad(format!("the body must be an object, not {}", other.kind()))),
    }
}

fn root(name: &str) -> Result<Key, Refusal> {
    let path = Path::new([name]).map_err(|e| Refusal::bad(e.to_string()))?;
    if name.contains('.') {
        return Err(Refusal::bad(format!("the root {path}: the original can't name a key with a dot")));
    }
    Ok(path.check_root().map_err(|e| Refusal::bad(e.to_string()))?.clone())
}

fn item(item: &Value) -> Result<(Key, Option<i64>), Refusal> {
    match item {
        Value::Text(name) => Ok((root(name)?, None)),
        Value::List(pair) => match pair.items() {
            [Value::Text(name), version] => Ok((root(name)?, version.as_int())),
            _ => Err(Refusal::bad("a root and its version wanted")),
        },
        other => Err(Refusal::bad(format!("the name of a root wanted, not {}", other.kind()))),
    }
}

/// The roots of a SYNC or REFER, each with the asker's version where it says one:
/// `{"args":[ROOT,…]|null,"kwargs":{ROOT:VERSION,…}|null}`. The original syncs by `kwargs`, with -1 for a root that it
/// hasn't, and refers by `args`.
pub fn read_roots(request: Option<&str>) -> Result<Vec<(Key, Option<i64>)>, Refusal> {
    let object = members(request)?;
    let mut roots = match object.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(list)) => list.items().iter().map(item).collect::<Result<Vec<_>, _>>()?,
        Some(other) => return Err(Refusal::bad(format!("\"args\" must be a list, not {}", other.kind()))),
    };
    match object.get("kwargs") {
        None | Some(Value::Null) => {}
        Some(Value::Object(named)) => {
            for (name, version) in named.members() {
                roots.push((root(name)?, version.as_int()));
            }
        }
        Some(other) => {
            return Err(Refusal::bad(format!("\"kwargs\" must be an object, not {}", other.kind())));
        }
    }
    Ok(roots)
}

/// A path as the original can read it; `None`: it can't be named there.
pub fn word(path: &Path) -> Option<String> {
    let plain = |key: &Key| !key.contains(['.', ' ', '\n', '\r']);
    (!path.is_empty() && path.keys().iter().all(plain)).then(|| path.keys().join("."))
}

// Writing to a String can't fail, so the results of `write!` are dropped here.

/// Appends an entry; `word` is from [`word`]. Nulls are left out: the original takes none.
pub fn write_entry(ope: &str, word: &str, by: &str, instance: &Value, out: &mut String) {
    let _ = write!(out, "{{\"ope\":\"{ope}\",\"path\":");
    let _ = write_string(word, out);
    let _ = write!(out, ",\"tega_id\":\"{by}\",\"instance\":");
    write_value(instance, out);
    out.push('}');
}

/// As deep as a value can be. What is in a list is one leaf, and may be null.
fn write_value(value: &Value, out: &mut String) {
    let Some(object) = value.as_object() else {
        let _ = value.write(out);
        return;
    };
    let mut before = '{';
    for (key, value) in object.members().iter().filter(|(_, value)| *value != Value::Null) {
        out.push(before);
        before = ',';
        let _ = write_string(key, out);
        out.push(':');
        write_value(value, out);
    }
    out.push_str(if before == '{' { "{}" } else { "}" });
}

/// Appends `SUBSCRIBE path global False`: the original escapes the dots itself.
pub fn subscribe(out: &mut String, word: &str) {
    let _ = write!(out, "SUBSCRIBE {word} {} False", Scope::Global.as_str());
}

/// Appends `RESPONSE seq type None⏎`; the body is the caller's to append.
pub fn response_head(out: &mut String, seq: u32, kind: &str) {
    super::response_head(out, seq, kind, "None");
}

/// A MESSAGE as an original local server takes it: it knows a channel by its escaped form, and breaks its connection
/// over one that it doesn't know. `None`: it's right as it is.
pub fn message(frame: &str) -> Option<String> {
    let rest = frame.strip_prefix("MESSAGE ")?;
    let (channel, rest) = rest.split_once(' ')?;
    channel.contains('.').then(|| format!("MESSAGE {} {rest}", channel.replace('.', "\\.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn the_originals_entries_are_read() {
        let text = r#"[{"ope": "PUT", "path": "op.a.b", "tega_id": null, "instance": [1, null]},
            {"ope": "DELETE", "path": "op.@lan[0]", "tega_id": "x", "instance": 1},
            {"ope": "ROLLBACK", "path": "op", "tega_id": "x", "instance": null, "backto": -2}]"#;
        let rollback = Told::Rollback { root: at("op"), back_to: Some(-2), instance: None };
        let put = Told::Put(at("op.a.b"), Value::parse("[1,null]").unwrap());
        assert_eq!(read_entries(text).unwrap(), [put, Told::Delete(at("op.@lan[0]")), rollback]);
    }

    #[test]
    fn one_bad_entry_spoils_the_list() {
        let good = r#"{"ope":"DELETE","path":"op.a"}"#;
        for bad in [
            "1",
            r#"{"ope":"DELETE"}"#,
            r#"{"ope":"PATCH","path":"op.a"}"#,
            r#"{"ope":"PUT","path":"op.a"}"#,
            r#"{"ope":"PUT","path":"op","instance":1}"#,
            r#"{"ope":"DELETE","path":"op..a"}"#,
            r#"{"ope":"DELETE","path":"_op.a"}"#,
            r#"{"ope":"PUT","path":"op.a","instance":NaN}"#,
        ] {
            assert!(read_entries(&format!("[{good},{bad}]")).is_err(), "{bad}");
        }
        assert!(read_entries(good).is_err());
    }

    #[test]
    fn roots_come_as_names_or_with_versions() {
        let read = |text| read_roots(Some(text)).map_err(|refusal| refusal.message);
        let wanted = vec![("a".into(), Some(-1)), ("b".into(), None)];
        assert_eq!(read(r#"{"args":null,"kwargs":{"a":-1,"b":null}}"#), Ok(wanted.clone()));
        assert_eq!(read(r#"{"args":[["a",-1],"b"]}"#), Ok(wanted));
        assert_eq!(read_roots(None).unwrap(), []);
        for bad in ["[]", r#"{"args":1}"#, r#"{"args":[1]}"#, r#"{"kwargs":{"a.b":1}}"#, r#"{"args":["_a"]}"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_original_cant_take_is_left_out() {
        let mut out = String::new();
        let value = Value::parse(r#"{"a":null,"b":{"c":null},"d":[null]}"#).unwrap();
        write_entry("PUT", "r", "x", &value, &mut out);
        assert_eq!(out, r#"{"ope":"PUT","path":"r","tega_id":"x","instance":{"b":{},"d":[null]}}"#);
        assert_eq!(word(&at("a.@lan[0].b_c")).as_deref(), Some("a.@lan[0].b_c"));
        assert_eq!(
            [word(&at(r#"a["1.2"]"#)), word(&at(r#"a["b c"]"#)), word(&Path::TOP)],
            [None, None, None]
        );
    }

    #[test]
    fn a_message_names_its_channel_in_escaped_form() {
        assert_eq!(
            message("MESSAGE a.b x\n{\"message\":\"1.5 . \"}").unwrap(),
            "MESSAGE a\\.b x\n{\"message\":\"1.5 . \"}"
        );
        assert_eq!(message("MESSAGE a x\n{\"message\":1.5}"), None);
        assert_eq!(message("NOTIFY\n[]"), None);
    }
}
