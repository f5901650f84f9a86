//! The entries of a NOTIFY: one operation each, as a subscriber sees it. Both ends.

use std::fmt::Write;

use crate::commit::{Incarnation, Position};
use crate::path::{Key, Path};
use crate::store::{Event, Notice, Ope};
use crate::tree::{Node, NodeRef, Stamp, Version, write_json};
use crate::value::{Value, write_string};

use super::Dialect;

/// An `instance` of more bytes than this is left out and marked `"truncated":true`.
pub const MAX_INSTANCE: usize = 1 << 20;

/// The most nodes of an `instance`: as many as fit in [`MAX_INSTANCE`] bytes of `"a":1,` and a bit.
const MAX_NODES: usize = MAX_INSTANCE / 8;

/// Appends `[{"ope":…,"path":…,"tega_id":…,"instance":…[,"backto":…]}, …]`: what `notices` say of `event`. The second
/// dialect adds `root`, `inc`, `version` and `position`, or for ephemeral nodes, which have none, `"ephemeral":true`.
pub fn write_list(event: &Event, notices: &[Notice], dialect: Dialect, out: &mut String) {
    out.push('[');
    for (at, notice) in notices.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(event, notice, dialect, out);
    }
    out.push(']');
}

/// Appends one entry.
pub fn write(event: &Event, notice: &Notice, dialect: Dialect, out: &mut String) {
    // Writing to a String can't fail, so the results of `write!` are dropped here.
    let ope = match notice.ope {
        Ope::Put => "PUT",
        Ope::Delete => "DELETE",
        Ope::Rollback => "ROLLBACK",
    };
    let _ = write!(out, "{{\"ope\":\"{ope}\",\"path\":");
    let _ = write_string(&notice.path.to_string(), out);
    let by = event.by.as_ref().map_or("anonymous", |id| id.as_str());
    let _ = write!(out, ",\"tega_id\":\"{by}\"");
    write_instance(notice, out);
    if let Some(back_to) = notice.back_to {
        let _ = write!(out, ",\"backto\":{back_to}");
    }
    if dialect == Dialect::Second {
        write_origin(event, notice, out);
    }
    out.push('}');
}

/// A node that stands alone, for its value; the stamp means nothing.
fn node_ref(node: &Node) -> NodeRef<'_> {
    node.with_stamp(Stamp::version(Version(0)))
}

fn write_instance(notice: &Notice, out: &mut String) {
    let start = out.len();
    out.push_str(",\"instance\":");
    let begin = out.len();
    let mut budget = MAX_NODES;
    let whole = match &notice.instance {
        None => {
            out.push_str("null");
            true
        }
        Some(node) => write_json(node_ref(node), out, &mut budget).is_ok(),
    };
    if !whole || out.len() - begin > MAX_INSTANCE {
        out.truncate(start);
        out.push_str(",\"truncated\":true");
    }
}

fn write_origin(event: &Event, notice: &Notice, out: &mut String) {
    let root = notice.path.root();
    let origin = root.and_then(|root| event.roots.iter().find(|(name, ..)| name == root));
    match (origin, event.position) {
        (Some((root, incarnation, version)), Some(position)) => {
            out.push_str(",\"root\":");
            let _ = write_string(root, out);
            let _ =
                write!(out, ",\"inc\":\"{incarnation}\",\"version\":{version},\"position\":{}", position.0);
        }
        _ => out.push_str(",\"ephemeral\":true"),
    }
}

/// An entry as a client reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was done.
    pub ope: Ope,
    /// Where, re-based to the channel.
    pub path: Path,
    /// Who did it.
    pub tega_id: String,
    /// The value there now, or, for a delete, what was removed. `None`: too large to be sent.
    pub instance: Option<Value>,
    /// For a rollback: the version that it led back to.
    pub back_to: Option<i64>,
    /// The root's incarnation and version, and the commit's position; `None` for an ephemeral node.
    pub origin: Option<Origin>,
}

/// Where an entry stands in the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The root.
    pub root: Key,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its version by that commit.
    pub version: Version,
    /// The commit's place among all.
    pub position: Position,
}

/// Reads a list of entries, as [`write_list`] writes it; `None` where it isn't one.
pub fn read_list(entries: &Value) -> Option<Vec<Entry>> {
    entries.as_list()?.items().iter().map(read).collect()
}

/// Reads one entry.
pub fn read(entry: &Value) -> Option<Entry> {
    let text = |name| entry.get(name).and_then(Value::as_str);
    let number = |name| entry.get(name).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
    let ope = match text("ope")? {
        "PUT" => Ope::Put,
        "DELETE" => Ope::Delete,
        "ROLLBACK" => Ope::Rollback,
        _ => return None,
    };
    let origin = || {
        Some(Origin {
            root: text("root")?.into(),
            incarnation: text("inc")?.parse().ok()?,
            version: Version(number("version")?),
            position: Position(number("position")?),
        })
    };
    Some(Entry {
        ope,
        path: Path::parse(text("path")?).ok()?,
        tega_id: text("tega_id").unwrap_or("anonymous").into(),
        instance: entry.get("instance").cloned(),
        back_to: entry.get("backto").and_then(Value::as_int),
        origin: origin(),
    })
}
