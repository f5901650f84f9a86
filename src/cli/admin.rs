//! `roots`, `sessions`, `status`, `snapshot`, `clear`: the server itself.

use std::io::{IsTerminal, Write as _};

use super::fault::Fault;
use super::flags::Flag;
use super::flash::{self, Flash};
use super::link;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out};
use crate::api::route::Route;
use crate::path::Path;
use crate::value::Value;
use crate::words;

/// `tega roots`
pub(super) fn roots(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let roots = Remote::new(typed)?.ask_json(&Route::Roots)?;
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &roots);
    }
    let mut rows = vec![["ROOT", "VERSION"].map(String::from).to_vec()];
    for (root, version) in roots.as_object().map_or(&[][..], |roots| roots.members()) {
        rows.push(vec![Path::from_checked(vec![root.clone()]).to_string(), words::short(version)]);
    }
    out.table(&rows)
}

/// `tega sessions`: a column for each thing that the server tells of a session in a word. All of it is in --json.
pub(super) fn sessions(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let sessions = Remote::new(typed)?.ask_json(&Route::Sessions)?;
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &sessions);
    }
    let sessions = sessions.as_list().map_or(&[][..], |list| list.items());
    let mut names: Vec<&str> = vec!["tega_id"];
    for (name, _) in sessions.iter().filter_map(Value::as_object).flat_map(|object| object.members()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let is_word = |told: Option<&Value>| told.and_then(Value::as_object).is_none();
    names.retain(|name| sessions.iter().all(|session| is_word(session.get(name))));
    let mut rows = vec![names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>()];
    for session in sessions {
        rows.push(names.iter().map(|name| cell(session.get(name))).collect());
    }
    out.table(&rows)
}

/// What isn't there is a dash.
fn cell(told: Option<&Value>) -> String {
    told.filter(|told| !matches!(told, Value::Null)).map_or("-".into(), words::short)
}

/// `tega status`
pub(super) fn status(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let size = flash::size(typed)?;
    if size.is_some() && !typed.has(Flag::Flash) {
        return Err(Fault::usage("--flash-size is about what --flash tells"));
    }
    let mut remote = Remote::new(typed)?;
    let status = remote.ask_json(&Route::Status)?;
    if typed.has(Flag::Flash) {
        let flash = Flash::of(&status, size).ok_or_else(|| {
            Fault::error(format!(
                "{}: this server has no disk to write to, or may not tell you",
                remote.target()
            ))
        })?;
        return match typed.has(Flag::Json) {
            true => out.value(Form::Json, &Path::TOP, &flash.value()),
            false => out.text(&flash.text()),
        };
    }
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &status);
    }
    out.value(Form::Yaml, &Path::TOP, &link::summed_up(status))
}

/// `tega snapshot`
pub(super) fn snapshot(typed: &Typed) -> Result<(), Fault> {
    let history = typed.number(Flag::History)?;
    Remote::new(typed)?.send_once(&Route::Snapshot { history }, None).map(drop)
}

/// `tega clear`
pub(super) fn clear(typed: &Typed) -> Result<(), Fault> {
    let mut remote = Remote::new(typed)?;
    if !typed.has(Flag::YesAllReplicas) {
        let replicas = replicas(&remote.ask_json(&Route::Status)?);
        if let Some(first) = replicas.first() {
            return Err(Fault::usage(format!(
                "{} servers have replicas of roots of this one ({first}{}), and would lose them too; \
                 --yes-all-replicas goes ahead",
                replicas.len(),
                if replicas.len() > 1 { ", …" } else { "" }
            )));
        }
    }
    if !typed.has(Flag::Yes) && !typed.has(Flag::YesAllReplicas) {
        confirm(&format!("empty the database at {}, history included?", remote.target()))?;
    }
    let by = remote.by.clone();
    remote.send_once(&Route::Clear { by }, None).map(drop)
}

/// The servers that have a root whose home is the one of this status: linked, or remembered.
fn replicas(status: &Value) -> Vec<String> {
    let own = status.get("tega_id").and_then(Value::as_str).unwrap_or_default();
    let links = status.get("links").and_then(Value::as_list).map_or(&[][..], |list| list.items());
    let has_replica = |link: &&Value| {
        let roots = link.get("roots").and_then(Value::as_object).map_or(&[][..], |roots| roots.members());
        let is_own = |root: &Value| {
            root.get("home").and_then(Value::as_str) == Some(own)
                && root.get("here").is_some_and(|here| *here != Value::Null)
        };
        roots.iter().any(|(_, root)| is_own(root))
    };
    let id = |link: &Value| link.get("tega_id").and_then(Value::as_str).unwrap_or_default().to_string();
    links.iter().filter(has_replica).map(id).collect()
}

fn confirm(question: &str) -> Result<(), Fault> {
    if !std::io::stdin().is_terminal() {
        return Err(Fault::usage("clear asks first, and nobody is there to answer; --yes goes ahead"));
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| Fault::error(format!("standard input: {error}")))?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Fault::error("nothing done")),
    }
}
