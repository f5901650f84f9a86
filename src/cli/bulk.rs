//! `tx` and `import`: many changes at once.

use std::io::BufRead;
use std::path::Path as FilePath;

use super::data;
use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::live;
use super::parse::Typed;
use super::remote::{self, Remote};
use super::show::{Out, note};
use super::tools;
use crate::api::error::exit_code;
use crate::api::route::{Route, Write};
use crate::message::Kind;
use crate::message::ops::MAX_OPS;
use crate::openwrt::secret;
use crate::path::{Key, Path};
use crate::value::{Limits, MAX_TEXT, Value};
use crate::words;

/// How often a commit is sent again while its outcome is unknown.
const REPEATS: usize = 3;

/// The most that one commit takes: operations, and bytes of their JSON. Less than a message may have, for what wraps
/// them in it.
const MOST: (usize, usize) = (MAX_OPS, MAX_TEXT);

/// Commits operations as one. They are sent again under the same request ID while the outcome is unknown.
pub(super) fn commit(typed: &Typed, ops: Vec<Value>) -> Result<(), Fault> {
    let said = |error: crate::value::ValueError| Fault::error(error.to_string());
    let remote = Remote::new(typed)?;
    let (key, target) = (remote.key()?, remote.target().clone());
    let id = live::session_id(remote.by.clone())?;
    let ops = Value::list(ops).map_err(said)?;
    let body = Value::object(vec![("ops".into(), ops), ("request_id".into(), Value::from(key.as_str()))]);
    let body = body.map_err(said)?.to_string();
    let mut unknown = None;
    for _ in 0..=REPEATS {
        if unknown.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        let outcome = live::open(&target, id.clone()).and_then(|mut session| {
            let answer =
                session.request(Kind::Commit, "-", &body).map_err(|failure| live::lost(&target, &failure))?;
            session.close();
            answer.map_err(|refusal| {
                let fault = remote::refused(&target, &refusal);
                // A commit that is still being judged or can't be made now says nothing of the first attempt.
                let unsettled = refusal.status >= 500 || refusal.status == 429;
                let exit = if unknown.is_some() && unsettled { Exit::Unknown } else { fault.exit };
                debug_assert!(exit != Exit::Ok && exit_code(refusal.code) != 0);
                Fault { exit, ..fault }
            })
        });
        match outcome {
            Ok(_) => return Ok(()),
            Err(fault) if fault.exit == Exit::Unknown => unknown = Some(fault),
            Err(fault) if fault.exit == Exit::Unreachable && unknown.is_some() => {}
            Err(fault) => return Err(fault),
        }
    }
    let fault = unknown.unwrap_or_else(|| Fault::new(Exit::Unknown, "no answer"));
    Err(Fault { message: fault.message + &remote.repeats(&key), ..fault })
}

/// `tega tx`
pub(super) fn tx(typed: &Typed) -> Result<(), Fault> {
    let mut ops = Vec::new();
    let mut size = 0;
    for (at, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| Fault::error(format!("standard input: {error}")))?;
        let op =
            operation(&line).map_err(|why| Fault::error(format!("line {}: {why}; nothing done", at + 1)))?;
        size += op.as_ref().map_or(0, size_of);
        ops.extend(op);
        if ops.len() > MOST.0 || size > MOST.1 {
            return Err(Fault::error(format!(
                "line {}: a transaction has at most {} operations and {} bytes; nothing done",
                at + 1,
                MOST.0,
                MOST.1
            )));
        }
    }
    if ops.is_empty() {
        return Ok(());
    }
    commit(typed, ops)
}

/// What an operation takes in a commit, its comma included.
fn size_of(op: &Value) -> usize {
    op.to_string().len() + 1
}

/// Commits an import: as one where that is possible, else as few, one after the other.
fn commit_import(typed: &Typed, ops: Vec<Value>) -> Result<(), Fault> {
    let groups = groups(ops, MOST);
    let count = groups.len();
    if count > 1 {
        note(&format!("more than one transaction takes: {count} of them, one after the other"));
    }
    for (at, group) in groups.into_iter().enumerate() {
        commit(typed, group).map_err(|fault| match at {
            0 => fault,
            _ => Fault {
                message: format!("{}; {at} of {count} transactions are done", fault.message),
                ..fault
            },
        })?;
    }
    Ok(())
}

/// Operations in their order, in groups of at most so many and so many bytes. One that is larger is a group by itself,
/// for the server to refuse.
fn groups(ops: Vec<Value>, most: (usize, usize)) -> Vec<Vec<Value>> {
    let mut groups = Vec::new();
    let (mut group, mut size) = (Vec::new(), 0);
    for op in ops {
        let more = size_of(&op);
        if !group.is_empty() && (group.len() == most.0 || size + more > most.1) {
            groups.push(std::mem::take(&mut group));
            size = 0;
        }
        size += more;
        group.push(op);
    }
    groups.push(group);
    groups
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
    Flat,
}

/// A file's format and the root that its name stands for.
fn kind_of(file: &str, typed: &Typed) -> (Format, Option<String>) {
    let path = FilePath::new(file);
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let by_name = match extension.as_deref() {
        Some("json") => Some(Format::Json),
        Some("yaml" | "yml") => Some(Format::Yaml),
        Some("flat") => Some(Format::Flat),
        _ => None,
    };
    let asked = [(Flag::Json, Format::Json), (Flag::Yaml, Format::Yaml), (Flag::Flat, Format::Flat)];
    let asked = asked.into_iter().find(|(flag, _)| typed.has(*flag)).map(|(_, format)| format);
    let name = if by_name.is_some() { path.file_stem() } else { path.file_name() };
    let name = name.and_then(|name| name.to_str()).filter(|_| file != "-").map(String::from);
    (asked.or(by_name).unwrap_or(Format::Json), name)
}

/// `tega import`
pub(super) fn import(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    if typed.has(Flag::FromTega) {
        return tools::import_original(typed, out);
    }
    if typed.has(Flag::AsRestarted) || typed.has(Flag::Data) {
        return Err(Fault::usage("--as-restarted and --data go with --from-tega"));
    }
    let (place, files) = match typed.args.as_slice() {
        [] => return Err(Fault::usage("usage: tega import [PATH] FILE…")),
        // A directory is no file: `/` is the top, and a root may be called `etc`.
        [path, file] if path != "-" && (!FilePath::new(path).exists() || FilePath::new(path).is_dir()) => {
            (Some(data::path(path)?), std::slice::from_ref(file))
        }
        files => (None, files),
    };
    let mut remote = Remote::new(typed)?;
    for file in files {
        one(typed, &mut remote, place.as_ref(), file)
            .map_err(|fault| Fault { message: format!("{file}: {}", fault.message), ..fault })?;
        if files.len() > 1 && out.terminal {
            note(&format!("{file}: imported"));
        }
    }
    Ok(())
}

/// Imports a file in one transaction, or where it has all roots or lines for more than one, in several.
fn one(typed: &Typed, remote: &mut Remote, place: Option<&Path>, file: &str) -> Result<(), Fault> {
    let (format, name) = kind_of(file, typed);
    let text = if file == "-" {
        data::stdin()?
    } else {
        let opened = std::fs::File::open(file).map_err(|error| Fault::error(error.to_string()))?;
        data::text_of(opened, "it")?
    };
    let value = match format {
        // An export of the top may be longer than any one value.
        Format::Json => Value::parse_with(&text, Limits::wrapped())
            .map_err(|error| Fault::error(format!("bad JSON: {error}")))?,
        Format::Yaml => data::yaml(&text, "it")?,
        Format::Flat if place.is_some() => {
            return Err(Fault::usage("PATH=JSON lines hold their paths; give none"));
        }
        Format::Flat => return commit_import(typed, flat_ops(&text)?),
    };
    let path = match (place, name) {
        (Some(place), _) => place.clone(),
        (None, Some(name)) => {
            let path = Path::new([Key::from(name)]).map_err(|error| Fault::error(error.to_string()))?;
            path.check_root().map_err(|error| Fault::error(error.to_string()))?;
            path
        }
        (None, None) => return Err(Fault::usage("a path is needed: tega import PATH -")),
    };
    whole(&path, &value)?;
    one_root(&path, &value)?;
    if path.is_empty() {
        return all_roots(remote, &value);
    }
    let write = Write { by: remote.by.clone(), ..Write::default() };
    remote.change(&Route::Put { path, write, ephemeral: false }, Some(&value)).map(drop)
}

/// That a file with all roots isn't put below one of them as if it were its tree: nobody would know its keys for such there.
fn one_root(path: &Path, value: &Value) -> Result<(), Fault> {
    if path.is_empty() || secret::hide(&Path::TOP, value).1 == 0 {
        return Ok(());
    }
    Err(Fault::error(
        "it looks like an export of all roots, with the keys of routers in it: `tega import / FILE` puts those back",
    ))
}

/// That nothing is put in place of what an export left out.
pub(super) fn whole(path: &Path, value: &Value) -> Result<(), Fault> {
    match secret::first_hidden(path, value) {
        None => Ok(()),
        Some(at) => Err(Fault::error(format!(
            "{at} is {}, which stands for a secret that wasn't exported (tega export --secrets exports all)",
            secret::HIDDEN
        ))),
    }
}

/// An operation of a line, which puts nothing in place of what an export left out.
fn operation(line: &str) -> Result<Option<Value>, String> {
    let Some(op) = words::operation(line)? else { return Ok(None) };
    if let (Some(put), Some(value)) = (op.get("put").and_then(Value::as_str), op.get("value")) {
        let path = Path::parse(put).map_err(|error| error.to_string())?;
        whole(&path, value).map_err(|fault| fault.message)?;
    }
    Ok(Some(op))
}

fn flat_ops(text: &str) -> Result<Vec<Value>, Fault> {
    let mut ops = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let op = operation(line).map_err(|why| Fault::error(format!("line {}: {why}", at + 1)))?;
        ops.extend(op);
    }
    if ops.is_empty() { Err(Fault::error("no PATH=JSON line in it")) } else { Ok(ops) }
}

/// Puts each member of an export of the top in place of the root of that name.
fn all_roots(remote: &mut Remote, value: &Value) -> Result<(), Fault> {
    let roots = value.as_object().ok_or_else(|| {
        Fault::error(format!("at the top an object of roots is wanted, and this is {}", value.kind()))
    })?;
    let roots = roots.members();
    let is_long = |tree: &Value| tree.to_string().len() > MAX_TEXT;
    if let Some((root, _)) = roots.iter().find(|(_, tree)| is_long(tree)) {
        return Err(Fault::error(format!(
            "{root} is longer than one transaction takes, {MAX_TEXT} bytes; nothing was imported (an export with --flat goes \
             into several)"
        )));
    }
    for (at, (root, tree)) in roots.iter().enumerate() {
        let write = Write { by: remote.by.clone(), ..Write::default() };
        let path = Path::from_checked(vec![root.clone()]);
        let done = remote.change(&Route::Put { path, write, ephemeral: false }, Some(tree));
        done.map_err(|fault| Fault {
            message: format!("{root}: {}; {at} of {} roots are imported", fault.message, roots.len()),
            ..fault
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_format_and_root() {
        let typed = |line: &str| super::super::parse::parse(line.split(' ').map(Into::into)).unwrap();
        let plain = typed("import x");
        for (file, format, name) in [
            ("a/b__c.d.json", Format::Json, Some("b__c.d")),
            ("r1.YML", Format::Yaml, Some("r1")),
            ("dump.flat", Format::Flat, Some("dump")),
            ("r1.conf", Format::Json, Some("r1.conf")),
            ("-", Format::Json, None),
        ] {
            assert_eq!(kind_of(file, &plain), (format, name.map(String::from)), "{file}");
        }
        assert_eq!(kind_of("-", &typed("import --flat -")).0, Format::Flat);
    }

    #[test]
    fn an_export_of_all_roots_is_not_taken_for_one_of_them() {
        let root = Path::parse("all").unwrap();
        let all = Value::parse(r#"{"r1":{"uci":{"wireless":{"w":{"key":"x"}}}},"lan":{"ip":1}}"#).unwrap();
        assert!(one_root(&root, &all).unwrap_err().message.contains("tega import / FILE"));
        assert!(one_root(&Path::TOP, &all).is_ok());
        // A router's own tree has them elsewhere.
        assert!(one_root(&root, all.get("r1").unwrap()).is_ok());
    }

    #[test]
    fn operations_are_grouped_in_order_by_number_and_size() {
        let ops: Vec<Value> = (0..5).map(Value::from).collect();
        let numbers = |most| -> Vec<usize> { groups(ops.clone(), most).iter().map(Vec::len).collect() };
        assert_eq!(numbers((5, 100)), [5]);
        assert_eq!(numbers((2, 100)), [2, 2, 1]);
        assert_eq!(numbers((5, 6)), [3, 2]);
        assert_eq!(numbers((5, 1)), [1; 5]);
        assert_eq!(groups(ops.clone(), (2, 100)).concat(), ops);
    }

    #[test]
    fn flat_lines_become_operations() {
        let ops = flat_ops("a.b=1\n\n# note\na.c={}\n").unwrap();
        assert_eq!(ops.len(), 2);
        assert!(flat_ops("").is_err());
        let why = flat_ops("a.b=1\na.uci.w.r.key=\"***\"\n").unwrap_err().message;
        assert!(why.starts_with("line 2: a.uci.w.r.key is ***"), "{why}");
        assert!(flat_ops("a.b=1\na.c=x\n").unwrap_err().message.starts_with("line 2: "));
    }
}
