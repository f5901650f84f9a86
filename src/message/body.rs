//! The bodies of our REQUESTs and RESPONSEs: what a session may ask of the store, read and written.

use std::fmt::Write;

use super::ops::{back_to, expect, flag, integer, only, read_list, rollback_root, write_list};
use super::{ChannelName, Kind};
use crate::api::error::Refusal;
use crate::commit::{Incarnation, Position};
use crate::path::{Key, Path};
use crate::store::{Op, Receipt, Since};
use crate::tree::Version;
use crate::value::{Limits, Object, Value, write_string};

/// What a session asks of the store.
pub enum Ask {
    /// `{"version":N,"internal":true,"regex":true,"fresh":true}`, all optional.
    Get(Get),
    /// PUT, DELETE, COMMIT and ROLLBACK: all are one transaction.
    Write(Writes),
    /// `{}`
    Clear,
    /// `{"since":{ROOT:[INCARNATION,VERSION]} | POSITION,"regex":false,"state":false}`
    Subscribe(Subscribe),
}

/// What to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Get {
    /// The path, or the regexes, as they stand in the command line; `None`: the top.
    pub path: Option<String>,
    /// A kept version: at least 0 absolute, below 0 relative to the present one.
    pub version: Option<i64>,
    /// In the internal form.
    pub internal: bool,
    /// The path is a list of regexes.
    pub regex: bool,
    /// Ask the home. It makes no difference at the home itself.
    pub fresh: bool,
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Writes {
    /// In order.
    pub ops: Vec<Op>,
    /// The same ID again answers the first outcome.
    pub request_id: Option<String>,
    /// Wait for the disk whatever the root's durability says.
    pub durable: bool,
}

/// What to be told of from now on.
pub struct Subscribe {
    /// Still as it stands in the command line.
    pub channel: String,
    /// Whether it's a regex over whole paths.
    pub regex: bool,
    /// What the subscriber has already.
    pub since: Option<Since>,
    /// The present state is wanted in the answer.
    pub state: bool,
}

impl Subscribe {
    /// The channel, ready to be decoded.
    pub fn name(&self) -> ChannelName<'_> {
        ChannelName { word: &self.channel, regex: self.regex }
    }
}

/// Reads a JSON text that stands in a message, which has been measured already.
pub fn json(text: &str) -> Result<Value, Refusal> {
    Ok(Value::parse_with(text, Limits::wrapped())?)
}

fn object(kind: Kind, body: Option<&str>) -> Result<Object, Refusal> {
    // The common case costs no parse.
    match body.filter(|text| *text != "{}").map_or_else(|| Ok(Value::empty_object()), json)? {
        Value::Object(object) => Ok(object),
        other => Err(Refusal::bad(format!(
            "the body of {} must be an object, not {}",
            kind.as_str(),
            other.kind()
        ))),
    }
}

/// Reads path and body of a REQUEST. The types of a link and RPC aren't asked of the store and are refused.
pub fn read(kind: Kind, path: Option<&str>, body: Option<&str>) -> Result<Ask, Refusal> {
    let object = object(kind, body)?;
    let node = || match path {
        Some(word) => Ok(Path::from_wire(word)?),
        None => Err(Refusal::bad(format!("{} needs a path", kind.as_str()))),
    };
    let write = |op| {
        Ok(Ask::Write(Writes {
            ops: vec![op],
            request_id: request_id(&object)?,
            durable: flag(&object, "durable")?,
        }))
    };
    match kind {
        Kind::Get => read_get(path, &object).map(Ask::Get),
        Kind::Put => {
            only(&object, &["value", "version", "ephemeral", "request_id", "durable"])?;
            let value =
                object.get("value").ok_or_else(|| Refusal::bad("a PUT needs a \"value\"; null is one"))?;
            let (value, ephemeral) = (value.clone(), flag(&object, "ephemeral")?);
            write(Op::Put { path: node()?, value, expect: expect(&object)?, ephemeral })
        }
        Kind::Delete => {
            only(&object, &["version", "request_id", "durable"])?;
            write(Op::Delete { path: node()?, expect: expect(&object)? })
        }
        Kind::Rollback => {
            only(&object, &["backto", "version", "request_id", "durable"])?;
            let (root, expect) = (rollback_root(&node()?)?, expect(&object)?);
            write(Op::Rollback { root, back_to: back_to(&object)?, expect })
        }
        Kind::Commit => {
            only(&object, &["ops", "request_id", "durable"])?;
            let ops = object.get("ops").ok_or_else(|| Refusal::bad("a COMMIT needs \"ops\""))?;
            let (ops, request_id) = (read_list(ops)?, request_id(&object)?);
            Ok(Ask::Write(Writes { ops, request_id, durable: flag(&object, "durable")? }))
        }
        Kind::Clear => only(&object, &[]).map(|()| Ask::Clear),
        Kind::Subscribe => {
            only(&object, &["since", "regex", "state"])?;
            let channel = path.ok_or_else(|| Refusal::bad("SUBSCRIBE needs a channel"))?.to_owned();
            let (regex, state) = (flag(&object, "regex")?, flag(&object, "state")?);
            Ok(Ask::Subscribe(Subscribe { channel, regex, since: since(&object)?, state }))
        }
        Kind::Rpc | Kind::Sync | Kind::Refer => {
            Err(Refusal::bad(format!("{} isn't asked of the store", kind.as_str())))
        }
    }
}

fn read_get(path: Option<&str>, object: &Object) -> Result<Get, Refusal> {
    only(object, &["version", "internal", "regex", "fresh"])?;
    Ok(Get {
        path: path.map(str::to_owned),
        version: integer(object, "version")?,
        internal: flag(object, "internal")?,
        regex: flag(object, "regex")?,
        fresh: flag(object, "fresh")?,
    })
}

fn request_id(object: &Object) -> Result<Option<String>, Refusal> {
    match object.get("request_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(id)) => Ok(Some(id.to_string())),
        Some(other) => Err(Refusal::bad(format!("\"request_id\" must be a string, not {}", other.kind()))),
    }
}

fn since(object: &Object) -> Result<Option<Since>, Refusal> {
    let wrong = || Refusal::bad("\"since\" must be a position or {ROOT:[\"INCARNATION\",VERSION]}");
    let pair = |(root, entry): &(Key, Value)| match entry.as_list()?.items() {
        [Value::Text(incarnation), Value::Int(version)] => {
            Some((root.clone(), incarnation.parse().ok()?, Version(u64::try_from(*version).ok()?)))
        }
        _ => None,
    };
    match object.get("since") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(position)) => match u64::try_from(*position) {
            Ok(position) => Ok(Some(Since::Position(Position(position)))),
            Err(_) => Err(wrong()),
        },
        Some(Value::Object(roots)) => {
            let versions: Option<Vec<_>> = roots.members().iter().map(pair).collect();
            versions.map(|v| Some(Since::Versions(v))).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

// Writing to a String can't fail, so the results of `write!` are dropped here.

/// The body of a PUT.
pub fn put(value: &Value, version: Option<i64>, ephemeral: bool) -> String {
    let mut out = format!("{{\"value\":{value}");
    if let Some(version) = version {
        let _ = write!(out, ",\"version\":{version}");
    }
    out.push_str(if ephemeral { ",\"ephemeral\":true}" } else { "}" });
    out
}

/// The body of a COMMIT.
pub fn commit(ops: &[Op], request_id: Option<&str>) -> String {
    let mut out = String::from("{\"ops\":");
    write_list(ops, &mut out);
    if let Some(id) = request_id {
        out.push_str(",\"request_id\":");
        let _ = write_string(id, &mut out);
    }
    out.push('}');
    out
}

/// The body of a SUBSCRIBE request.
pub fn subscribe(regex: bool, since: Option<&Since>, state: bool) -> String {
    let mut out = format!("{{\"regex\":{regex}");
    match since {
        None => {}
        Some(Since::Position(position)) => drop(write!(out, ",\"since\":{}", position.0)),
        Some(Since::Versions(versions)) => {
            out.push_str(",\"since\":");
            write_roots(
                versions.iter().map(|(root, incarnation, version)| (root, *incarnation, *version)),
                &mut out,
            );
        }
    }
    out.push_str(if state { ",\"state\":true}" } else { "}" });
    out
}

/// Appends `{ROOT:["INCARNATION",VERSION], …}`: where a reader of these roots stands.
pub fn write_roots<'a>(roots: impl Iterator<Item = (&'a Key, Incarnation, Version)>, out: &mut String) {
    let mut before = '{';
    for (root, incarnation, version) in roots {
        out.push(before);
        before = ',';
        let _ = write_string(root, out);
        let _ = write!(out, ":[\"{incarnation}\",{version}]");
    }
    out.push_str(if before == '{' { "{}" } else { "}" });
}

/// Reads what [`write_roots`] wrote.
pub fn read_roots(value: &Value) -> Option<Vec<(Key, Incarnation, Version)>> {
    let object = Object::new(vec![("since".into(), value.clone())]).ok()?;
    match since(&object) {
        Ok(Some(Since::Versions(versions))) => Some(versions),
        _ => None,
    }
}

/// Appends the answer to a write: `{"versions":{"a":5},"position":7,"durable":true}`.
pub fn write_receipt(receipt: &Receipt, out: &mut String) {
    out.push_str("{\"versions\":");
    let mut before = '{';
    for (root, version) in &receipt.versions {
        out.push(before);
        before = ',';
        let _ = write_string(root, out);
        let _ = write!(out, ":{version}");
    }
    out.push_str(if before == '{' { "{}" } else { "}" });
    let _ = write!(out, ",\"position\":{},\"durable\":{}", receipt.position.0, receipt.durable);
    out.push_str(if receipt.applied { "}" } else { ",\"applied\":false}" });
}

/// Reads what [`write_receipt`] wrote.
pub fn read_receipt(value: &Value) -> Option<Receipt> {
    let number = |v: &Value| v.as_int().and_then(|v| u64::try_from(v).ok());
    let versions = value.get("versions")?.as_object()?.members().iter();
    Some(Receipt {
        position: Position(number(value.get("position")?)?),
        versions: versions
            .map(|(root, v)| Some((root.clone(), Version(number(v)?))))
            .collect::<Option<_>>()?,
        durable: value.get("durable")?.as_bool()?,
        applied: value.get("applied").and_then(Value::as_bool).unwrap_or(true),
    })
}
