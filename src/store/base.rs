//! Both ends of how a whole state of a root is written: a line that says which version it is, then lines of nodes
//! (see [`write_states`](crate::tree::write_states)). Logs hold such states, and snapshots on a link.
//!
//! ```json
//! {"base":"lan","incarnation":"00c0ffee00c0ffee","version":7,"digest":"af63dc4c8601ec8c","position":17,"time":0,"by":"r1"}
//! [[1,"mtu",3,1500]]
//! ```
//!
//! `"origin"` is the position at the home, where that is another server; `"deleted":true` stands for no nodes.

use std::fmt::Write;

use super::state::Past;
use crate::commit::{Position, TegaId};
use crate::path::{Key, Path};
use crate::tree::{Container, Node, StateReader, Version};
use crate::value::{Value, write_string};

/// About how long the lines of a state are.
pub(super) const LINE: usize = 32 << 10;

/// The line before the nodes. `kind` is the name of its first member.
pub(super) fn header(kind: &str, name: &Key, past: &Past) -> String {
    let Past { version, incarnation, position, time_ms, digest, .. } = past;
    let mut line = format!("{{\"{kind}\":");
    // Writing to a String can't fail.
    let _ = write_string(name, &mut line);
    let _ =
        write!(line, ",\"incarnation\":\"{incarnation}\",\"version\":{version},\"digest\":\"{digest:016x}\"");
    let _ = write!(line, ",\"position\":{position},\"time\":{time_ms}");
    if let Some(origin) = past.origin {
        let _ = write!(line, ",\"origin\":{origin}");
    }
    if let Some(by) = past.by.as_ref().map(TegaId::as_str) {
        let _ = write!(line, ",\"by\":\"{by}\"");
    }
    line.push_str(if past.tree.is_none() { ",\"deleted\":true}" } else { "}" });
    line
}

/// A state that is being read.
pub(super) struct Reading {
    root: Key,
    past: Past,
    reader: Option<StateReader>,
}

impl Reading {
    /// Begins with the line before the nodes; `root` is its first member.
    pub(super) fn begin(root: &Value, header: &Value) -> Result<Reading, String> {
        let root = root.as_str().unwrap_or("");
        let by = header.get("by").and_then(Value::as_str).map(TegaId::new).transpose();
        let hex = |name| header.get(name).and_then(Value::as_str);
        let version = Version(number(header, "version")?);
        let incarnation = hex("incarnation").and_then(|text| text.parse().ok());
        // Bases that older versions wrote have none.
        let digest = hex("digest").map_or(Ok(0), |text| u64::from_str_radix(text, 16));
        let origin = header.get("origin").map(|_| number(header, "origin")).transpose()?;
        let deleted = header.get("deleted").is_some();
        Path::new([root]).and_then(|path| path.check_root().cloned()).map_err(|e| e.to_string())?;
        Ok(Reading {
            root: root.into(),
            past: Past {
                version,
                incarnation: incarnation.ok_or("bad incarnation")?,
                position: Position(number(header, "position")?),
                origin: origin.map(Position),
                digest: digest.map_err(|_| "bad digest")?,
                time_ms: number(header, "time")?,
                by: by.map_err(|e| e.to_string())?,
                tree: None,
                event: None,
            },
            reader: (!deleted).then(|| StateReader::new(version)),
        })
    }

    /// Which root's.
    pub(super) fn root(&self) -> &Key {
        &self.root
    }

    /// Takes a line of nodes.
    pub(super) fn nodes(&mut self, line: &Value) -> Result<(), String> {
        self.reader.as_mut().ok_or("nodes of a root that was deleted")?.feed(line)
    }

    /// After the last line.
    pub(super) fn finish(self) -> Result<(Key, Past), String> {
        let Reading { root, mut past, reader } = self;
        past.tree = reader.map(StateReader::finish).transpose()?;
        Ok((root, past))
    }
}

/// A number of a record.
pub(super) fn number(record: &Value, name: &str) -> Result<u64, String> {
    let number = record.get(name).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
    number.ok_or_else(|| format!("\"{name}\" must be a number from 0 to 2^63-1"))
}

/// The lines of a state, made as they are asked for. It owns what it walks, so that it can wait for a slow link.
pub(super) struct Lines {
    header: Option<String>,
    /// The containers on the way to where it stands, each with the key of the last child that was written.
    open: Vec<(Container, Option<Key>)>,
}

impl Lines {
    pub(super) fn new(name: &Key, past: &Past) -> Lines {
        let open = past.tree.iter().map(|tree| (tree.top.clone(), None)).collect();
        Lines { header: Some(header("base", name, past)), open }
    }

    /// Writes children of the innermost container until the line is long enough, there are no more, or one is a
    /// container, which is returned. `true`: there are no more.
    fn children(&mut self, line: &mut String) -> (Option<Container>, bool) {
        let depth = self.open.len();
        let Some((container, last)) = self.open.last_mut() else { return (None, true) };
        let from = last.clone();
        let children = match &from {
            Some(key) => container.iter_from(key),
            None => container.iter(),
        };
        for (key, child) in children.filter(|(key, _)| from.as_ref() != Some(*key)) {
            let Some(version) = child.stamp.as_version() else { continue };
            // Writing to a String can't fail.
            let _ = write!(line, "{}[{depth},", if line.is_empty() { '[' } else { ',' });
            let _ = write_string(key, line);
            let _ = write!(line, ",{version}");
            if let Node::Leaf(value) = &child.node {
                line.push(',');
                let _ = value.write(line);
            }
            line.push(']');
            let below = if let Node::Container(below) = &child.node { Some(below.clone()) } else { None };
            if below.is_some() || line.len() >= LINE {
                *last = Some(key.clone());
                return (below, false);
            }
        }
        (None, true)
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(header) = self.header.take() {
            return Some(header);
        }
        let mut line = String::new();
        while !self.open.is_empty() && line.len() < LINE {
            match self.children(&mut line) {
                (Some(below), _) => self.open.push((below, None)),
                (None, true) => drop(self.open.pop()),
                (None, false) => {}
            }
        }
        if line.is_empty() {
            return None;
        }
        line.push(']');
        Some(line)
    }
}
