//! The operations of a transaction as JSON: `{"put":PATH,"value":…}`, `{"delete":PATH}`, `{"rollback":ROOT,"backto":N}`,
//! each with what it may expect. The same text stands in a COMMIT, on the command line's `tx` and in documents.

use std::fmt::Write;

use crate::api::error::Refusal;
use crate::path::{Key, Path};
use crate::store::{Expect, Op};
use crate::value::{Object, Value, write_string};

/// The most operations of one transaction.
pub const MAX_OPS: usize = 10_000;

/// Reads a list of operations. The refusal names the operation by its place, from 0.
pub fn read_list(value: &Value) -> Result<Vec<Op>, Refusal> {
    let Some(list) = value.as_list() else {
        return Err(Refusal::bad(format!("\"ops\" must be a list of operations, not {}", value.kind())));
    };
    if list.items().len() > MAX_OPS {
        return Err(Refusal::new("too_large", format!("more than {MAX_OPS} operations in one transaction")));
    }
    let read_at = |(at, op)| {
        read(op)
            .map_err(|refusal| Refusal { message: format!("operation {at}: {}", refusal.message), ..refusal })
    };
    list.items().iter().enumerate().map(read_at).collect()
}

/// Reads one operation. Members that it doesn't know are refused: a misspelled `version` must not be passed over.
///
/// ```
/// use tega::{message::ops, value::Value};
/// let op = ops::read(&Value::parse(r#"{"put":"a.b","value":1,"version":-1}"#)?)?;
/// let mut text = String::new();
/// ops::write(&op, &mut text);
/// assert_eq!(text, r#"{"put":"a.b","value":1,"version":-1}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(value: &Value) -> Result<Op, Refusal> {
    let Some(object) = value.as_object() else {
        return Err(Refusal::bad(format!("an operation is an object, not {}", value.kind())));
    };
    if let Some(put) = object.get("put") {
        only(object, &["put", "value", "version", "ephemeral"])?;
        let value =
            object.get("value").ok_or_else(|| Refusal::bad("a put needs a \"value\"; null is one"))?.clone();
        let ephemeral = flag(object, "ephemeral")?;
        Ok(Op::Put { path: path("put", put)?, value, expect: expect(object)?, ephemeral })
    } else if let Some(delete) = object.get("delete") {
        only(object, &["delete", "version"])?;
        Ok(Op::Delete { path: path("delete", delete)?, expect: expect(object)? })
    } else if let Some(rollback) = object.get("rollback") {
        only(object, &["rollback", "backto", "version"])?;
        let root = rollback_root(&path("rollback", rollback)?)?;
        Ok(Op::Rollback { root, back_to: back_to(object)?, expect: expect(object)? })
    } else {
        Err(Refusal::bad("an operation has one of \"put\", \"delete\", \"rollback\""))
    }
}

/// Appends the text that [`read`] reads.
pub fn write(op: &Op, out: &mut String) {
    // Writing to a String can't fail.
    let _ = (|| match op {
        Op::Put { path, value, expect, ephemeral } => {
            out.push_str("{\"put\":");
            write_string(&path.to_string(), out)?;
            out.push_str(",\"value\":");
            value.write(out)?;
            write_expect(*expect, out)?;
            out.write_str(if *ephemeral { ",\"ephemeral\":true}" } else { "}" })
        }
        Op::Delete { path, expect } => {
            out.push_str("{\"delete\":");
            write_string(&path.to_string(), out)?;
            write_expect(*expect, out)?;
            out.write_char('}')
        }
        Op::Rollback { root, back_to, expect } => {
            out.push_str("{\"rollback\":");
            write_string(&Path::from_checked(vec![root.clone()]).to_string(), out)?;
            write!(out, ",\"backto\":{back_to}")?;
            write_expect(*expect, out)?;
            out.write_char('}')
        }
    })();
}

/// Appends a list of operations.
pub fn write_list(ops: &[Op], out: &mut String) {
    out.push('[');
    for (at, op) in ops.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(op, out);
    }
    out.push(']');
}

fn write_expect(expect: Option<Expect>, out: &mut String) -> std::fmt::Result {
    match expect {
        Some(Expect { version, .. }) => write!(out, ",\"version\":{version}"),
        None => Ok(()),
    }
}

fn path(name: &str, value: &Value) -> Result<Path, Refusal> {
    let text = value
        .as_str()
        .ok_or_else(|| Refusal::bad(format!("{name:?} must be a path as a string, not {}", value.kind())))?;
    Ok(Path::parse(text)?)
}

pub(super) fn only(object: &Object, known: &[&str]) -> Result<(), Refusal> {
    match object.members().iter().find(|(key, _)| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, _)) => Err(Refusal::bad(format!("{key:?} isn't known here; {} are", known.join(", ")))),
    }
}

pub(super) fn flag(object: &Object, name: &str) -> Result<bool, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(Refusal::bad(format!("{name:?} must be true or false, not {}", other.kind()))),
    }
}

pub(super) fn integer(object: &Object, name: &str) -> Result<Option<i64>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(int)) => Ok(Some(*int)),
        Some(other) => Err(Refusal::bad(format!("{name:?} must be an integer, not {}", other.kind()))),
    }
}

pub(super) fn expect(object: &Object) -> Result<Option<Expect>, Refusal> {
    let version = integer(object, "version")?;
    if version.is_some_and(|v| v < -1) {
        return Err(Refusal::bad("\"version\" must be a version, or -1 for \"must not exist\""));
    }
    Ok(version.map(|version| Expect { version, incarnation: None }))
}

pub(super) fn back_to(object: &Object) -> Result<i64, Refusal> {
    integer(object, "backto")?
        .ok_or_else(|| Refusal::bad("a rollback needs \"backto\": a version, or -N for N commits back"))
}

pub(super) fn rollback_root(path: &Path) -> Result<Key, Refusal> {
    match path.keys() {
        [root] => Ok(root.clone()),
        _ => Err(Refusal::bad("a rollback is of a whole root, named by one key").at(path)),
    }
}
