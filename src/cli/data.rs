//! `get`, `put`, `del`, `export`, `rpc`: single nodes.

use std::io::Read as _;

use super::fault::Fault;
use super::flags::Flag;
use super::live;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out, note};
use crate::api::route::{Read, Route, Write};
use crate::commit::Incarnation;
use crate::openwrt::secret;
use crate::path::Path;
use crate::value::Value;
use crate::words;

/// The most that is read from standard input or a file: far more than a server takes in one transaction.
const MAX_INPUT: u64 = 64 << 20;

/// A path of the command line; empty text is the top.
pub(super) fn path(text: &str) -> Result<Path, Fault> {
    if matches!(text, "" | "/" | ".") {
        return Ok(Path::TOP);
    }
    Path::parse(text).map_err(|error| Fault::error(error.to_string()))
}

/// A path that can be written to.
pub(super) fn node(text: &str) -> Result<Path, Fault> {
    let path = path(text)?;
    path.check_root().map_err(|error| Fault::error(error.to_string()))?;
    Ok(path)
}

/// All of standard input, as text.
pub(super) fn stdin() -> Result<String, Fault> {
    text_of(std::io::stdin().lock(), "standard input")
}

/// All that a reader has, as text.
pub(super) fn text_of(reader: impl std::io::Read, name: &str) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let got = reader.take(MAX_INPUT + 1).read_to_end(&mut bytes);
    let got = got.map_err(|error| Fault::error(format!("{name}: {error}")))?;
    if got as u64 > MAX_INPUT {
        return Err(Fault::error(format!("{name}: more than {MAX_INPUT} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        Fault::error(format!("{name} isn't UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}

/// `tega get`
pub(super) fn get(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let form = Form::of(typed)?;
    let mut remote = Remote::new(typed)?;
    let read = Read {
        version: typed.number(Flag::Version)?,
        internal: typed.has(Flag::Internal),
        fresh: typed.has(Flag::Fresh),
        replaced: typed.last(Flag::Replaced).map(replaced).transpose()?,
        ..Read::default()
    };
    if typed.has(Flag::Regex) {
        let found = remote.ask_json(&Route::Select { pattern: typed.arg(0).into(), read })?;
        return out.value(if form == Form::Flat { Form::Json } else { form }, &Path::TOP, &found);
    }
    let path = path(typed.arg(0))?;
    let value = remote.ask_json(&Route::Get { path: path.clone(), read })?;
    out.value(form, &path, &value)
}

fn replaced(text: &str) -> Result<(Incarnation, u64), Fault> {
    let read = || {
        let (incarnation, version) = text.split_once('-')?;
        Some((incarnation.parse().ok()?, version.parse().ok()?))
    };
    read().ok_or_else(|| {
        Fault::usage(format!("--replaced {text}: INCARNATION-VERSION wanted, as history lists it"))
    })
}

/// `tega export`: as `get`, but never raw.
pub(super) fn export(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let form = Form::of(typed)?;
    let path = path(typed.arg(0))?;
    let read = Read { version: typed.number(Flag::Version)?, ..Read::default() };
    let value = Remote::new(typed)?.ask_json(&Route::Get { path: path.clone(), read })?;
    let value = unless_asked_for(typed, &path, value);
    match form {
        Form::Plain => out.line(&value.to_pretty()),
        form => out.value(form, &path, &value),
    }
}

/// The value without the keys and passwords of routers, unless they are asked for; that some are missing is said.
fn unless_asked_for(typed: &Typed, path: &Path, value: Value) -> Value {
    if typed.has(Flag::Secrets) {
        return value;
    }
    let (shown, hidden) = secret::hide(path, &value);
    if hidden > 0 {
        let them = if hidden == 1 {
            "1 key or password is".into()
        } else {
            format!("{hidden} keys and passwords are")
        };
        note(&format!("{them} hidden, so this is no backup; --secrets exports them too"));
    }
    shown
}

/// The value that `put` and `pub` mean by their last argument.
pub(super) fn value_arg(typed: &Typed, word: &str) -> Result<Value, Fault> {
    if word != "-" {
        return if typed.has(Flag::String) {
            Ok(Value::from(word))
        } else if typed.has(Flag::Yaml) {
            yaml(word, "the value")
        } else {
            words::value(word).map_err(|why| Fault::error(format!("{word:.40}: {why}")))
        };
    }
    let text = stdin()?;
    if typed.has(Flag::String) {
        Ok(Value::from(text.strip_suffix('\n').unwrap_or(&text)))
    } else if typed.has(Flag::Yaml) {
        yaml(&text, "standard input")
    } else {
        words::json(&text)
            .map_err(|why| Fault::error(format!("standard input: {why} (--string takes text as it is)")))
    }
}

/// A YAML text as a value.
pub(super) fn yaml(text: &str, name: &str) -> Result<Value, Fault> {
    crate::yaml::read(text).map_err(|error| Fault::error(format!("{name}: bad YAML: {error}")))
}

fn write(typed: &Typed, remote: &Remote) -> Result<Write, Fault> {
    Ok(Write { by: remote.by.clone(), version: typed.number(Flag::IfVersion)?, ..Write::default() })
}

/// `tega put`
pub(super) fn put(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let path = node(typed.arg(0))?;
    let value = value_arg(typed, typed.arg(1))?;
    if !typed.has(Flag::String) {
        super::bulk::whole(&path, &value)?;
    }
    if typed.has(Flag::Ephemeral) {
        return live::put_ephemeral(typed, &path, &value, out);
    }
    let mut remote = Remote::new(typed)?;
    let write = write(typed, &remote)?;
    remote.change(&Route::Put { path, write, ephemeral: false }, Some(&value)).map(drop)
}

/// `tega del`
pub(super) fn del(typed: &Typed) -> Result<(), Fault> {
    let path = node(typed.arg(0))?;
    let mut remote = Remote::new(typed)?;
    let write = write(typed, &remote)?;
    remote.change(&Route::Delete { path, write }, None).map(drop)
}

/// `tega rpc`
pub(super) fn rpc(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let form = Form::of(typed)?;
    let path = node(typed.arg(0))?;
    let body = words::arguments(typed.args.get(1..).unwrap_or_default()).map_err(Fault::error)?;
    let mut remote = Remote::new(typed)?;
    let result = call(&mut remote, path, &body)?;
    out.value(form, &Path::TOP, &result)
}

/// Calls a function; `body` is `{"args":[…],"kwargs":{…}}`.
pub(super) fn call(remote: &mut Remote, path: Path, body: &Value) -> Result<Value, Fault> {
    let route = Route::Rpc { by: remote.by.clone(), path };
    let answer = remote.send_once(&route, Some(body))?;
    let body = remote.json(&answer)?;
    Ok(body.get("result").cloned().unwrap_or(Value::Null))
}
