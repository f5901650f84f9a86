//! Both ends of a commit's record in the log: one line of JSON.
//!
//! ```json
//! {"position":17,"time":1732290000123,"by":"r1","roots":{"lan":5},"ops":[{"put":"lan.ip","value":"10.0.0.1"}]}
//! ```
//!
//! Beside these stand, where they apply: `"new":{ROOT:INCARNATION}` for roots that the commit created,
//! `"rollback_to":{ROOT:VERSION}`, and `"request":[ID,CRC]`.

use std::fmt::{self, Write};

use super::{Commit, Edit, Position, Request, TegaId, Touched};
use crate::path::Path;
use crate::value::{Escaped, Limits, Value, write_int, write_string};

impl Commit {
    /// Appends the record's text to `out`. The only error is `out`'s own.
    pub fn encode(&self, out: &mut impl Write) -> fmt::Result {
        let mut record = Record::begin(out, self.position, self.time_ms, self.by.as_ref(), &self.roots)?;
        for edit in &self.edits {
            match edit {
                Edit::Put(path, value) => value.write(record.put(path)?)?,
                Edit::Delete(path) => record.delete(path)?,
            }
        }
        record.end(self.request.as_ref())
    }

    /// Reads a record back; the error says what is wrong with it.
    pub fn decode(text: &str) -> Result<Commit, String> {
        let record = Value::parse_with(text, Limits::wrapped()).map_err(|e| e.to_string())?;
        Commit::from_value(&record)
    }

    /// Reads a record that was parsed already.
    pub fn from_value(record: &Value) -> Result<Commit, String> {
        let by = match record.get("by") {
            Some(by) => Some(TegaId::new(by.as_str().unwrap_or("")).map_err(|e| e.to_string())?),
            None => None,
        };
        Ok(Commit {
            position: Position(number(record, "position")?),
            time_ms: number(record, "time")?,
            by,
            roots: read_roots(record)?,
            edits: read_edits(record)?,
            request: read_request(record)?,
        })
    }
}

/// A record that is being written, for those who have its parts without a [`Commit`].
pub struct Record<'a, W> {
    out: &'a mut W,
    /// What closes the last operation.
    open: &'static str,
}

impl<'a, W: Write> Record<'a, W> {
    /// Writes everything that stands before the operations.
    pub fn begin(
        out: &'a mut W,
        position: Position,
        time_ms: u64,
        by: Option<&TegaId>,
        roots: &[Touched],
    ) -> Result<Record<'a, W>, fmt::Error> {
        out.write_str("{\"position\":")?;
        write_int(position.0, out)?;
        out.write_str(",\"time\":")?;
        write_int(time_ms, out)?;
        if let Some(by) = by {
            // A tega ID holds no character that JSON escapes.
            out.write_str(",\"by\":\"")?;
            out.write_str(by.as_str())?;
            out.write_str("\"")?;
        }
        write_map("roots", roots, out, |touched, out| Some(write_int(touched.version, out)))?;
        if roots.iter().any(|r| r.incarnation.is_some()) {
            write_map("new", roots, out, |r, out| r.incarnation.map(|i| write!(out, "\"{i}\"")))?;
        }
        if roots.iter().any(|r| r.rollback_to.is_some()) {
            write_map("rollback_to", roots, out, |r, out| r.rollback_to.map(|to| write_int(to, out)))?;
        }
        out.write_str(",\"ops\":[")?;
        Ok(Record { out, open: "" })
    }

    /// Begins a put; its value is to be written to what this returns.
    pub fn put(&mut self, path: &Path) -> Result<&mut W, fmt::Error> {
        self.operation("{\"put\":\"", path)?;
        self.out.write_str("\",\"value\":")?;
        self.open = "},";
        Ok(self.out)
    }

    /// Writes a delete.
    pub fn delete(&mut self, path: &Path) -> fmt::Result {
        self.operation("{\"delete\":\"", path)?;
        self.open = "\"},";
        Ok(())
    }

    fn operation(&mut self, begin: &str, path: &Path) -> fmt::Result {
        self.out.write_str(self.open)?;
        self.out.write_str(begin)?;
        write!(Escaped(self.out), "{path}")
    }

    /// Writes everything that stands after the operations.
    pub fn end(self, request: Option<&Request>) -> fmt::Result {
        self.out.write_str(self.open.trim_end_matches(','))?;
        self.out.write_char(']')?;
        if let Some(request) = request {
            self.out.write_str(",\"request\":[")?;
            write_string(&request.id, self.out)?;
            write!(self.out, ",{}]", request.crc)?;
        }
        self.out.write_char('}')
    }
}

/// Writes a member for each root that `write` has something to say of.
fn write_map<W: Write>(
    name: &str,
    roots: &[Touched],
    out: &mut W,
    write: impl Fn(&Touched, &mut String) -> Option<fmt::Result>,
) -> fmt::Result {
    out.write_str(",\"")?;
    out.write_str(name)?;
    out.write_str("\":{")?;
    let mut separator = "";
    let mut value = String::new();
    for touched in roots {
        value.clear();
        if let Some(written) = write(touched, &mut value) {
            written?;
            out.write_str(separator)?;
            write_string(&touched.root, out)?;
            out.write_char(':')?;
            out.write_str(&value)?;
            separator = ",";
        }
    }
    out.write_char('}')
}

fn number(record: &Value, name: &str) -> Result<u64, String> {
    let number = record.get(name).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
    number.ok_or_else(|| format!("\"{name}\" must be a number from 0 to 2^63-1"))
}

fn read_roots(record: &Value) -> Result<Vec<Touched>, String> {
    let roots = record.get("roots").and_then(Value::as_object).ok_or("\"roots\" must be an object")?;
    let mut touched = Vec::with_capacity(roots.members().len());
    for (root, version) in roots.members() {
        let bad = |what: &str| format!("root {root:?}: bad {what}");
        let version = version.as_int().and_then(|v| u64::try_from(v).ok()).ok_or_else(|| bad("version"))?;
        let incarnation = match record.get("new").and_then(|new| new.get(root)) {
            Some(text) => Some(text.as_str().unwrap_or("").parse().map_err(|_| bad("incarnation"))?),
            None => None,
        };
        let rollback_to = match record.get("rollback_to").and_then(|r| r.get(root)) {
            Some(to) => {
                Some(to.as_int().and_then(|v| u64::try_from(v).ok()).ok_or_else(|| bad("rollback_to"))?)
            }
            None => None,
        };
        touched.push(Touched { root: root.clone(), version, incarnation, rollback_to });
    }
    Ok(touched)
}

fn read_edits(record: &Value) -> Result<Vec<Edit>, String> {
    let ops = record.get("ops").and_then(Value::as_list).ok_or("\"ops\" must be a list")?;
    let path = |text: &Value| Path::parse(text.as_str().unwrap_or("")).map_err(|e| e.to_string());
    ops.items()
        .iter()
        .map(|op| match (op.get("put"), op.get("value"), op.get("delete")) {
            (Some(at), Some(value), None) => Ok(Edit::Put(path(at)?, value.clone())),
            (None, None, Some(at)) => Ok(Edit::Delete(path(at)?)),
            _ => Err(format!("an operation is neither a put nor a delete: {op}")),
        })
        .collect()
}

fn read_request(record: &Value) -> Result<Option<Request>, String> {
    let Some(request) = record.get("request") else { return Ok(None) };
    match request.as_list().map(|r| r.items()) {
        Some([Value::Text(id), Value::Int(crc)]) => {
            let crc = u32::try_from(*crc).map_err(|_| "\"request\": bad checksum")?;
            Ok(Some(Request { id: id.clone(), crc }))
        }
        _ => Err("\"request\" must be [ID, CRC]".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Incarnation;

    #[test]
    fn a_record_reads_back_as_the_commit_it_was_written_from() {
        let path = |text| Path::parse(text).unwrap();
        let commit = Commit {
            position: Position(17),
            time_ms: 1_732_290_000_123,
            by: Some(TegaId::new("r-1").unwrap()),
            roots: vec![
                Touched {
                    root: "a b".into(),
                    version: 0,
                    incarnation: Some(Incarnation(7)),
                    rollback_to: None,
                },
                Touched { root: "lan".into(), version: 5, incarnation: None, rollback_to: Some(3) },
            ],
            edits: vec![
                Edit::Put(
                    path(r#"lan.hosts["192.168.1.1"]"#),
                    Value::parse(r#"{"x":[1,{"y":null}]}"#).unwrap(),
                ),
                Edit::Delete(path(r#"["a b"].c"#)),
            ],
            request: Some(Request { id: "4f\"".into(), crc: u32::MAX }),
        };
        let mut text = String::new();
        commit.encode(&mut text).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"position":17,"time":1732290000123,"by":"r-1","roots":{"a b":0,"lan":5},"#,
                r#""new":{"a b":"0000000000000007"},"rollback_to":{"lan":3},"ops":["#,
                r#"{"put":"lan.hosts[\"192.168.1.1\"]","value":{"x":[1,{"y":null}]}},"#,
                r#"{"delete":"[\"a b\"].c"}],"request":["4f\"",4294967295]}"#
            )
        );
        assert_eq!(Commit::decode(&text), Ok(commit));
    }

    #[test]
    fn a_bad_record_is_refused_with_a_reason() {
        for (text, reason) in [
            ("{}", "\"position\" must be"),
            (r#"{"position":-1}"#, "\"position\" must be"),
            (r#"{"position":1,"time":1,"by":"a b"}"#, "tega ID"),
            (r#"{"position":1,"time":1,"roots":{"a":"x"},"ops":[]}"#, "bad version"),
            (r#"{"position":1,"time":1,"roots":{"a":1},"new":{"a":1},"ops":[]}"#, "bad incarnation"),
            (r#"{"position":1,"time":1,"roots":{"a":1}}"#, "\"ops\" must be"),
            (r#"{"position":1,"time":1,"roots":{},"ops":[{"put":"a"}]}"#, "neither"),
            (r#"{"position":1,"time":1,"roots":{},"ops":[{"delete":"a..b"}]}"#, "empty key"),
            (r#"{"position":1,"time":1,"roots":{},"ops":[],"request":["a"]}"#, "\"request\""),
        ] {
            let error = Commit::decode(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
