//! `tega token`: the file of the tokens that let others in. It works on the file alone, with or without a server.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::parse::Typed;
use super::serve::{data_dir, tokens_file};
use super::show::{Form, Out, note};
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::system::now_ms;
use crate::token::{Cidr, Grant, Line, TokenError, file, grant_path, shown};
use crate::value::Value;
use crate::words::{self, short};

/// The options that say what a token allows.
const GRANTS: [(Flag, &str); 6] = [
    (Flag::Read, "--read"),
    (Flag::Write, "--write"),
    (Flag::Call, "--call"),
    (Flag::Channels, "--channels"),
    (Flag::Admin, "--admin"),
    (Flag::As, "--as"),
];

/// `tega token ACTION …`
pub(super) fn token(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let path = tokens_file(typed);
    match (typed.arg(0), typed.args.len()) {
        ("list", 1) => {
            none_of(typed, &[&GRANTS[..], &[(Flag::From, "--from")]].concat(), "list")?;
            list(typed, out, &file::read(&path).map_err(fault)?)
        }
        ("new", 2) => {
            none_of(typed, &[(Flag::From, "--from")], "new")?;
            let grant = Grant { name: typed.arg(1).into(), ..grant(typed)? };
            prepare(typed)?;
            let secret = file::add(&path, grant, &now()).map_err(fault)?;
            hint();
            out.line(&secret)
        }
        ("legacy", 2) => {
            none_of(typed, &[(Flag::As, "--as")], "legacy")?;
            let id = TegaId::new(typed.arg(1)).map_err(|error| Fault::usage(error.to_string()))?;
            let grant = grant(typed)?;
            let from = ranges(typed)?;
            prepare(typed)?;
            file::add_legacy(&path, &id, from, grant, &now()).map_err(fault)?;
            hint();
            Ok(())
        }
        ("remove", 2) => {
            none_of(typed, &[&GRANTS[..], &[(Flag::From, "--from")]].concat(), "remove")?;
            file::remove(&path, typed.arg(1)).map_err(fault)?;
            hint();
            Ok(())
        }
        _ => Err(Fault::usage(format!("usage: tega {} {}", typed.row.name, typed.row.args))),
    }
}

/// What a failed use of the file means. It says nothing of a secret.
pub(super) fn fault(error: TokenError) -> Fault {
    let exit = match &error {
        TokenError::Missing(_) | TokenError::Unknown(..) => Exit::NotFound,
        TokenError::Name(_) => Exit::Conflict,
        _ => Exit::Error,
    };
    Fault::new(exit, error.to_string())
}

fn now() -> String {
    words::time(i64::try_from(now_ms()).unwrap_or(i64::MAX))
}

fn hint() {
    note("a running server reads it at SIGHUP: kill -HUP PID, or service tega reload");
}

/// The data directory of a server that hasn't run yet; a file named with `--tokens` must have its directory.
fn prepare(typed: &Typed) -> Result<(), Fault> {
    if typed.has(Flag::Tokens) {
        return Ok(());
    }
    let dir: PathBuf = data_dir(typed);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|error| Fault::error(format!("can't create {}: {error}", dir.display())))
}

fn none_of(typed: &Typed, flags: &[(Flag, &str)], action: &str) -> Result<(), Fault> {
    match flags.iter().find(|(flag, _)| typed.has(*flag)) {
        Some((_, name)) => Err(Fault::usage(format!("`tega token {action}` doesn't take {name}"))),
        None => Ok(()),
    }
}

/// What the options allow; nothing at all is refused.
fn grant(typed: &Typed) -> Result<Grant, Fault> {
    let paths = |flag: Flag, name: &str| -> Result<Vec<Path>, Fault> {
        let words = typed.all(flag).flat_map(words);
        let read = |word: &str| grant_path(word).map_err(|why| Fault::usage(format!("{name} {word}: {why}")));
        words.map(read).collect()
    };
    let id = typed.last(Flag::As).map(TegaId::new).transpose();
    let grant = Grant {
        name: String::new(),
        read: paths(Flag::Read, "--read")?,
        write: paths(Flag::Write, "--write")?,
        call: paths(Flag::Call, "--call")?,
        channels: paths(Flag::Channels, "--channels")?,
        admin: typed.has(Flag::Admin),
        tega_id: id.map_err(|error| Fault::usage(format!("--as: {error}")))?,
    };
    let something = grant.admin
        || [&grant.read, &grant.write, &grant.call, &grant.channels].iter().any(|p| !p.is_empty());
    if something {
        return Ok(grant);
    }
    Err(Fault::usage(
        "this would allow nothing; say what with --read, --write, --call, --channels or --admin",
    ))
}

fn ranges(typed: &Typed) -> Result<Vec<Cidr>, Fault> {
    let words = typed.all(Flag::From).flat_map(words);
    let ranges: Result<Vec<Cidr>, String> = words.map(str::parse).collect();
    let ranges = ranges.map_err(|why| Fault::usage(format!("--from {why}")))?;
    if ranges.is_empty() {
        return Err(Fault::usage(
            "legacy needs --from CIDR: whoever has such an address may use this tega ID",
        ));
    }
    Ok(ranges)
}

/// The words between commas; a comma within quotes is part of a key.
fn words(list: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    let comma = |c: char| {
        let ends = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    };
    list.split(comma).map(str::trim).filter(|word| !word.is_empty()).collect()
}

fn list(typed: &Typed, out: &mut Out, lines: &[Line]) -> Result<(), Fault> {
    let all: Vec<Vec<(&'static str, Value)>> = lines.iter().map(told).collect();
    if typed.has(Flag::Json) {
        let object = |members: Vec<(&'static str, Value)>| {
            Value::object(members.into_iter().map(|(name, value)| (Key::new_static(name), value)).collect())
        };
        let list: Result<Vec<Value>, _> = all.into_iter().map(object).collect();
        let list = list.and_then(Value::list).map_err(|error| Fault::error(error.to_string()))?;
        return out.value(Form::Json, &Path::TOP, &list);
    }
    let names = ["name", "as", "admin", "read", "write", "call", "channels", "from", "created"];
    let mut rows = vec![names.map(str::to_uppercase).to_vec()];
    for members in &all {
        let cell =
            |name: &str| members.iter().find(|(n, _)| *n == name).map_or(String::new(), |(_, v)| cell(v));
        rows.push(names.map(cell).to_vec());
    }
    out.table(&rows)
}

/// What a list or a truth looks like in a table; a dash where there's nothing, so that columns can be counted.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::List(list) => {
            let items: Vec<String> = list.items().iter().map(short).collect();
            items.join(",")
        }
        Value::Bool(truth) => if *truth { "yes" } else { "" }.into(),
        Value::Null => String::new(),
        other => short(other),
    };
    if text.is_empty() { "-".into() } else { text }
}

/// All that a line says but its hash.
fn told(line: &Line) -> Vec<(&'static str, Value)> {
    let grant = &line.grant;
    let list = |texts: Vec<String>| {
        Value::list(texts.into_iter().map(Value::from).collect::<Vec<_>>()).unwrap_or(Value::Null)
    };
    let paths = |paths: &[Path]| list(paths.iter().map(shown).collect());
    vec![
        ("name", Value::from(grant.name.as_str())),
        ("as", grant.tega_id.as_ref().map_or(Value::Null, |id| Value::from(id.as_str()))),
        ("admin", Value::from(grant.admin)),
        ("read", paths(&grant.read)),
        ("write", paths(&grant.write)),
        ("call", paths(&grant.call)),
        ("channels", paths(&grant.channels)),
        ("from", list(line.from().iter().map(Cidr::to_string).collect())),
        ("created", Value::from(line.created.as_str())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Typed {
        super::super::parse::parse(format!("token {line}").split_whitespace().map(Into::into)).unwrap()
    }

    #[test]
    fn lists_are_cut_at_commas_that_are_no_part_of_a_key() {
        for (list, all) in [
            ("a,b.c", &["a", "b.c"][..]),
            (" a , ,b,", &["a", "b"]),
            ("a[\"x,y\"],b", &["a[\"x,y\"]", "b"]),
            ("a[\"x\\\",y\"],b", &["a[\"x\\\",y\"]", "b"]),
            ("*", &["*"]),
            ("", &[]),
        ] {
            assert_eq!(words(list), all, "{list}");
        }
    }

    #[test]
    fn options_become_a_grant() {
        let grant = grant(&typed("new a --read *,b --read c.d --channels x --as r1")).unwrap();
        assert_eq!(grant.read.iter().map(shown).collect::<Vec<_>>(), ["*", "b", "c.d"]);
        assert!(grant.write.is_empty() && grant.channels.len() == 1 && !grant.admin);
        assert_eq!(grant.tega_id.unwrap().as_str(), "r1");
    }

    #[test]
    fn what_cant_be_meant_is_refused() {
        let refused = |line: &str| {
            let fault = grant(&typed(line)).unwrap_err();
            assert_eq!(fault.exit, Exit::Usage, "{fault}");
            fault.message
        };
        assert!(refused("new a").contains("allow nothing"));
        assert!(refused("new a --as r1").contains("allow nothing"));
        assert!(refused("new a --read a..b").contains("--read a..b"));
        assert!(refused("new a --admin --as x.y").contains("--as"));
        assert!(ranges(&typed("legacy a")).unwrap_err().message.contains("--from"));
        assert!(ranges(&typed("legacy a --from 10.0.0.1/8")).unwrap_err().message.contains("10.0.0.0/8"));
    }
}
