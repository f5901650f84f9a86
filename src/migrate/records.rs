//! The lines of a log, grouped into steps: a snapshot of a root, a commit, a rollback.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path as FilePath;

use super::{ImportedBase, MAX_LOG, MigrateError, python};
use crate::path::{Key, MAX_DEPTH, Path, check_key};
use crate::value::{Object, Value};

/// The steps of a log, and what was passed over in reading it.
pub(super) struct Log {
    pub(super) steps: Vec<Step>,
    pub(super) warnings: Vec<String>,
}

/// What the log says happened, in its order.
pub(super) enum Step {
    Base(usize, ImportedBase),
    Commit {
        time_ms: Option<u64>,
        ops: Vec<Op>,
        /// How many of the operations, the first ones, come from a commit that was cut short: the original adds
        /// them when it restarts.
        stale: usize,
    },
    Rollback(Rollback),
}

/// One PUT or, without a value, DELETE.
pub(super) struct Op {
    pub(super) line: usize,
    pub(super) tega_id: Option<String>,
    pub(super) path: Path,
    pub(super) value: Option<Value>,
}

pub(super) struct Rollback {
    pub(super) line: usize,
    pub(super) backto: i64,
    pub(super) tega_id: Option<String>,
    pub(super) root: Key,
}

/// Reads a log file, line by line.
pub(super) fn read(path: &FilePath) -> Result<Log, MigrateError> {
    let failed = |error| MigrateError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > MAX_LOG {
        return Err(MigrateError::TooLong(path.to_owned()));
    }
    // What is appended while we read counts too.
    let mut input = BufReader::new(file.take(MAX_LOG));
    let mut grouping = Grouping::new(path);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            return Ok(grouping.finish());
        }
        grouping.line += 1;
        let whole = bytes.ends_with(b"\n");
        let text = std::str::from_utf8(&bytes).map_err(|_| "the line isn't UTF-8".to_owned());
        let result = match (text, whole) {
            (Ok(text), true) => grouping.take(text.trim_end_matches(['\n', '\r'])),
            (Ok(text), false) if text.starts_with('@') => {
                grouping.warn("the last line is cut; its time is unknown");
                grouping.end(None);
                Ok(())
            }
            (_, false) => {
                grouping.warn("the last line is cut and passed over");
                Ok(())
            }
            (Err(message), true) => Err(message),
        };
        let line = grouping.line;
        result.map_err(|message| MigrateError::Line { file: path.to_owned(), line, message })?;
    }
}

/// The steps so far, and the commit that is open.
struct Grouping<'a> {
    file: &'a FilePath,
    line: usize,
    log: Log,
    /// The line where the open commit began.
    began: Option<usize>,
    bases: Vec<(usize, ImportedBase)>,
    ops: Vec<Op>,
    stale: Vec<Op>,
}

impl<'a> Grouping<'a> {
    fn new(file: &'a FilePath) -> Grouping<'a> {
        let log = Log { steps: Vec::new(), warnings: Vec::new() };
        Grouping { file, line: 0, log, began: None, bases: Vec::new(), ops: Vec::new(), stale: Vec::new() }
    }

    fn warn(&mut self, message: &str) {
        self.warn_at(self.line, message);
    }

    fn warn_at(&mut self, line: usize, message: &str) {
        self.log.warnings.push(format!("{}:{line}: {message}", self.file.display()));
    }

    /// Takes a whole line.
    fn take(&mut self, text: &str) -> Result<(), String> {
        match text.bytes().next() {
            None | Some(b'*') => {}
            Some(b'?') => self.begin(),
            Some(b'@') => {
                let time_ms = milliseconds(&text[1..]);
                if time_ms.is_none() {
                    self.warn("the commit's time can't be read and is left out");
                }
                self.end(time_ms);
            }
            Some(b'{') => self.record(text)?,
            Some(b'-' | b'0'..=b'9') => {
                let rollback = rollback(text, self.line)?;
                if self.began.is_some() {
                    self.warn("a rollback within a commit; it is applied before the commit");
                }
                self.log.steps.push(Step::Rollback(rollback));
            }
            Some(_) => return Err("not a line of a tega log (? @ * { or a rollback)".into()),
        }
        Ok(())
    }

    fn begin(&mut self) {
        if let Some(line) = self.began.replace(self.line) {
            if !self.ops.is_empty() {
                self.warn_at(line, "an unfinished commit");
                self.stale.append(&mut self.ops);
            }
            if !self.bases.is_empty() {
                self.warn_at(line, "an unfinished snapshot; roots that only older files hold are missing");
                self.push_bases();
            }
        }
    }

    fn push_bases(&mut self) {
        self.log.steps.extend(self.bases.drain(..).map(|(line, base)| Step::Base(line, base)));
    }

    fn end(&mut self, time_ms: Option<u64>) {
        self.began = None;
        self.push_bases();
        let stale = self.stale.len();
        let mut ops = std::mem::take(&mut self.stale);
        ops.append(&mut self.ops);
        if !ops.is_empty() {
            self.log.steps.push(Step::Commit { time_ms, ops, stale });
        }
    }

    fn finish(mut self) -> Log {
        if !self.ops.is_empty() || !self.bases.is_empty() {
            let line = self.began.unwrap_or(self.line);
            self.warn_at(line, "the last commit is unfinished and dropped");
        }
        self.log
    }

    fn record(&mut self, text: &str) -> Result<(), String> {
        let record = python::read(text).map_err(|e| format!("column {}: {}", e.column, e.message))?;
        let field = |name| record.get(name).ok_or_else(|| format!("the record lacks {name:?}"));
        let tega_id = optional_text(field("tega_id")?, "tega_id")?;
        let path = optional_text(field("path")?, "path")?.filter(|path| !path.is_empty());
        let line = self.line;
        self.began.get_or_insert(line);
        match field("ope")?.as_str() {
            Some("PUT") => {
                let (path, value) = put_of(path, field("instance")?)?;
                self.ops.push(Op { line, tega_id, path, value: Some(value) });
            }
            Some("DELETE") => {
                let path = path_of(&path.ok_or("a DELETE without a path")?)?;
                self.ops.push(Op { line, tega_id, path, value: None });
            }
            Some("SS") => {
                let instance = field("instance")?;
                let object = instance.as_object().ok_or("a snapshot that isn't a dict")?;
                let name =
                    object.get("_oid").and_then(Value::as_str).ok_or("a snapshot without an \"_oid\"")?;
                self.bases.push((line, base_of(name, instance)?));
            }
            _ => return Err("the \"ope\" is none of PUT, DELETE and SS".into()),
        }
        Ok(())
    }
}

fn optional_text(value: &Value, name: &str) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(text.to_string())),
        other => Err(format!("{name:?} is {}; a string or None expected", other.kind())),
    }
}

/// The original splits a path at each dot, and knows no quotes.
fn path_of(text: &str) -> Result<Path, String> {
    let path = Path::new(text.split('.')).map_err(|e| format!("path {text:?}: {e}"))?;
    path.check_root().map_err(|e| e.to_string())?;
    Ok(path)
}

fn put_of(path: Option<String>, instance: &Value) -> Result<(Path, Value), String> {
    let (path, value) = match path {
        Some(path) => (path_of(&path)?, instance),
        // Without a path, the instance names its root itself.
        None => match instance.as_object().map(Object::members) {
            Some([(root, value)]) => (path_of(root)?, value),
            _ => return Err("a PUT without a path must hold a dict with one root".into()),
        },
    };
    if path.len() == 1 && value.as_object().is_none() {
        return Err(format!("PUT of {} at the root {path}; a root is a dict", value.kind()));
    }
    if path.len() + value.depth() > MAX_DEPTH {
        return Err(format!("PUT {path}: nested deeper than {MAX_DEPTH} levels"));
    }
    check_keys(value).map_err(|e| format!("PUT {path}: {e}"))?;
    Ok((path, value.clone()))
}

/// Checks the keys that become nodes; those in lists are data.
fn check_keys(value: &Value) -> Result<(), String> {
    for (key, value) in value.as_object().map(Object::members).unwrap_or_default() {
        check_key(key).map_err(|_| match key.is_empty() {
            true => "an empty key, which names no node".to_owned(),
            false => format!("the key {:?} can't name a node; it is reserved or too long", key.as_str()),
        })?;
        check_keys(value)?;
    }
    Ok(())
}

/// A snapshot's root, from the `internal` form.
fn base_of(name: &str, instance: &Value) -> Result<ImportedBase, String> {
    let path = Path::new([name]).map_err(|e| e.to_string())?;
    let root = path.check_root().map_err(|e| e.to_string())?.clone();
    let mut versions = Vec::new();
    let value = internal_node(&path, instance, u64::MAX, &mut versions)?;
    if value.as_object().is_none() {
        return Err(format!("the snapshot of {root} is {}; a root is a dict", value.kind()));
    }
    let version = versions.first().map_or(0, |(_, version)| *version);
    Ok(ImportedBase { root, version, value, versions })
}

/// Reads one node and what is below it, and notes the versions, none above `at_most`, its parent's.
fn internal_node(
    path: &Path,
    node: &Value,
    at_most: u64,
    versions: &mut Vec<(Path, u64)>,
) -> Result<Value, String> {
    let object = node.as_object().ok_or_else(|| format!("the snapshot's node {path} isn't a dict"))?;
    let version = match object.get("_version") {
        None => 0,
        Some(version) => version
            .as_int()
            .and_then(|v| u64::try_from(v).ok())
            .ok_or_else(|| format!("the snapshot's version of {path} is no version"))?,
    };
    let version = version.min(at_most);
    versions.push((path.clone(), version));
    if let Some(value) = object.get("_value") {
        if value.as_object().is_some() {
            return Err(format!("the snapshot's leaf {path} holds a dict"));
        }
        return Ok(value.clone());
    }
    let mut members = Vec::new();
    // Names with an underscore are the node's own attributes.
    for (key, child) in object.members().iter().filter(|(key, _)| !key.starts_with('_')) {
        let below = path.join(key.clone()).map_err(|e| format!("the snapshot's node {path}: {e}"))?;
        members.push((key.clone(), internal_node(&below, child, version, versions)?));
    }
    Value::object(members).map_err(|e| format!("the snapshot's node {path}: {e}"))
}

fn rollback(text: &str, line: usize) -> Result<Rollback, String> {
    let mut words = text.splitn(3, ' ');
    let (Some(backto), Some(tega_id), Some(root)) = (words.next(), words.next(), words.next()) else {
        return Err("a rollback is written BACKTO TEGA_ID ROOT".into());
    };
    let backto = backto.parse().map_err(|_| format!("a rollback to {backto:?}; a number expected"))?;
    let root = path_of(root).ok().filter(|path| path.len() == 1).and_then(|path| path.root().cloned());
    let root = root.ok_or("a rollback of something that isn't a root")?;
    let tega_id = (tega_id != "None").then(|| tega_id.to_owned());
    Ok(Rollback { line, backto, tega_id, root })
}

fn milliseconds(seconds: &str) -> Option<u64> {
    const YEAR_10000: f64 = 253_402_300_800.0;
    let seconds: f64 = seconds.trim().parse().ok()?;
    (0.0..YEAR_10000).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}
