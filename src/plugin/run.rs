//! One run of a plugin: the command, what it gets on standard input, and what came of it.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path as FilePath;
use std::process::Command;
use std::time::Duration;

use super::manifest::{Format, Manifest};
use super::schedule::Reason;
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::read::{Found, Source};
use crate::store::Store;
use crate::system::program::{Ended, Flood, Guest, Killed, Limits};
use crate::token::Access;
use crate::value::{Value, write_string};
use crate::words;

/// The most that is read of what a run prints, in bytes; as long a value may be.
pub const MAX_OUTPUT: usize = 1 << 20;

/// The most that is read of what it says on standard error.
pub const MAX_ERRORS: usize = 64 << 10;

/// The most that a notification may be.
pub const MAX_NOTICE: usize = 4 << 20;

/// Where a plugin's programs are looked for.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a file that is there and executable can't be run: the system says of a script only that something isn't there.
pub(super) fn no_start(file: &FilePath, error: &io::Error) -> String {
    // As much as Linux reads of the line that names the interpreter.
    let mut first = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(255).read_to_end(&mut first));
    let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let is_exec_error = error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error());
    match (read, line.strip_prefix("#!")) {
        (Ok(_), Some(_)) if error.kind() == io::ErrorKind::NotFound && line.ends_with('\r') => {
            "its lines end with CR LF, so that its interpreter isn't found".into()
        }
        (Ok(_), Some(interpreter)) if error.kind() == io::ErrorKind::NotFound => {
            format!("its interpreter isn't there: {}", interpreter.trim())
        }
        (Ok(_), None) if error.kind() == io::ErrorKind::NotFound => {
            "its dynamic loader isn't there: it's a program for another system".into()
        }
        (Ok(_), None) if is_exec_error => {
            "it's no program for this machine, and no script, whose first line would be like #!/bin/sh".into()
        }
        _ => error.to_string(),
    }
}

/// What a plugin is told of the server.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) id: TegaId,
    /// The local socket.
    pub(super) socket: Option<std::path::PathBuf>,
    /// The address space of each of a plugin's processes, in bytes.
    pub(super) memory: u64,
}

impl Surroundings {
    /// What runs a plugin with this word: no shell, and nothing of the server's environment.
    pub(super) fn command(&self, name: &str, file: &FilePath, word: &str) -> Command {
        let mut command = Command::new(file);
        command.arg(word).current_dir("/").env_clear();
        command.env("PATH", PATH).env("HOME", "/").env("TEGA_ID", self.id.as_str()).env("TEGA_PLUGIN", name);
        if let Some(socket) = &self.socket {
            command.env("TEGA_SOCKET", socket);
        }
        command
    }

    /// The limits of a run of so many milliseconds.
    pub(super) fn limits(&self, ms: u64) -> Limits {
        Limits {
            time: Duration::from_millis(ms),
            output: MAX_OUTPUT,
            errors: MAX_ERRORS,
            flood: Flood::Kill,
            guest: Some(Guest { memory: self.memory }),
        }
    }
}

/// What a method gets on standard input: the arguments as one object.
pub(super) fn input(arguments: &Value) -> Result<Vec<u8>, Refusal> {
    let members = arguments.as_object().map(|object| object.members());
    let known = |(name, _): &(Key, Value)| **name == *"args" || **name == *"kwargs";
    if !members.is_some_and(|members| members.iter().all(known)) {
        return Err(Refusal::bad(r#"arguments: {"args":[…],"kwargs":{…}} wanted, and no other members"#));
    }
    let member = |name: &str| arguments.get(name).filter(|value| **value != Value::Null);
    let wanted = |name: &str, what: &str| Refusal::bad(format!("{name}: {what} wanted"));
    let args = match member("args") {
        Some(args) => args.as_list().ok_or_else(|| wanted("args", "a list"))?.items(),
        None => &[],
    };
    let kwargs = member("kwargs");
    let named = match kwargs {
        Some(kwargs) => {
            !kwargs.as_object().ok_or_else(|| wanted("kwargs", "an object"))?.members().is_empty()
        }
        None => false,
    };
    let object = match args {
        [] => kwargs.cloned().unwrap_or_else(Value::empty_object),
        [one @ Value::Object(_)] if !named => one.clone(),
        _ => {
            return Err(Refusal::bad(
                "a plugin's method takes arguments by name (NAME=VALUE; kwargs), or one object alone",
            ));
        }
    };
    Ok(object.to_string().into_bytes())
}

/// The state of what a plugin subscribed, as it's notified of it.
pub(super) fn notice(manifest: &Manifest, reason: Reason, store: &Store) -> Result<Vec<u8>, String> {
    let view = store.view();
    let mut out = match manifest.format {
        Format::Json => format!("{{\"reason\":\"{}\",\"nodes\":[", reason.word()),
        Format::Flat => String::new(),
    };
    for (at, path) in manifest.subscribe.iter().enumerate() {
        let Ok(source) = Source::present(view.clone(), &Access::all(), path) else { continue };
        let found = Found::new(store, source, path.clone(), false).ok();
        let node = found.as_ref().and_then(|found| Some((found, found.node()?)));
        // The text first: it's known to have an end before a copy of the node is made.
        let mut text = String::new();
        if let Some((found, _)) = &node {
            found.write(&mut text).map_err(|refusal| format!("{path}: {}", refusal.message))?;
        }
        if out.len().saturating_add(text.len()) > MAX_NOTICE {
            return Err(too_long());
        }
        match manifest.format {
            Format::Json => {
                if at > 0 {
                    out.push(',');
                }
                out.push_str("{\"path\":");
                // Writing to a String can't fail.
                let _ = write_string(&path.to_string(), &mut out);
                if let Some((_, node)) = node {
                    out.push_str(&format!(",\"version\":{},\"value\":{text}", node.stamp.number()));
                }
                out.push('}');
            }
            Format::Flat => {
                let Some((_, node)) = node else { continue };
                flat(path, &node.to_value(), &mut out);
            }
        }
    }
    if manifest.format == Format::Json {
        out.push_str("]}\n");
    }
    if out.len() > MAX_NOTICE { Err(too_long()) } else { Ok(out.into_bytes()) }
}

/// As [`words::flat`], but no further than a notification may be long: each line repeats the whole path.
fn flat(path: &Path, value: &Value, out: &mut String) {
    words::each_leaf(path, value, &mut |keys, leaf| {
        if out.len() <= MAX_NOTICE {
            let _ = crate::path::write_keys(keys, out);
            out.push('=');
            let _ = leaf.write(out);
            out.push('\n');
        }
    });
}

fn too_long() -> String {
    format!("what it subscribed is longer than {MAX_NOTICE} bytes; subscribe to less")
}

/// What a run came to that was to print nothing in particular: `what` says which.
pub(super) fn finished(what: &str, ended: &Ended) -> Result<(), Refusal> {
    let words = match ended.words() {
        words if words.is_empty() => words,
        words => format!(": {words}"),
    };
    match &ended.status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Refusal::new("rpc_failed", format!("{what}: {status}{words}"))),
        // Nobody knows how far it got.
        Err(killed @ Killed::Late(_)) => Err(Refusal::new("timeout", format!("{what}: {killed}{words}"))),
        Err(Killed::Unwanted) => {
            Err(Refusal::new("outcome_unknown", format!("{what}: killed, since the server stops")))
        }
        Err(killed) => Err(Refusal::new("rpc_failed", format!("{what}: {killed}{words}"))),
    }
}

/// The result of a call.
pub(super) fn result(what: &str, ended: &Ended) -> Result<Value, Refusal> {
    finished(what, ended)?;
    let printed = ended.printed.trim_ascii();
    if printed.is_empty() {
        return Ok(Value::Null);
    }
    let value = Value::parse_bytes(printed);
    value.map_err(|error| Refusal::new("rpc_failed", format!("{what}: it printed no JSON: {error}")))
}

/// What a run said on standard error, as lines for the log.
pub(super) fn log(name: &str, ended: &Ended) {
    for line in ended.words().lines().filter(|line| !line.trim().is_empty()) {
        let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        log::info!("plugin {name}: {clean}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Transaction};

    #[test]
    fn what_cannot_be_started_says_more_than_the_system_does() {
        let scratch = crate::daemon::testing::Scratch::new();
        let not_found = io::Error::from(io::ErrorKind::NotFound);
        let no_exec = io::Error::from_raw_os_error(rustix::io::Errno::NOEXEC.raw_os_error());
        let file = scratch.path().join("x");
        for (text, error, said) in [
            ("#!/bin/sh\r\necho\r\n", &not_found, "CR LF"),
            ("#! /no/such/sh -e\n", &not_found, "its interpreter isn't there: /no/such/sh -e"),
            ("\x7fELF", &not_found, "loader"),
            ("echo\n", &no_exec, "#!/bin/sh"),
            ("", &no_exec, "#!/bin/sh"),
            ("#!/bin/sh\n", &io::Error::from(io::ErrorKind::PermissionDenied), "permission denied"),
        ] {
            fs::write(&file, text).unwrap();
            assert!(no_start(&file, error).contains(said), "{text:?}: {}", no_start(&file, error));
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(no_start(&file, &not_found), not_found.to_string());
    }

    fn json(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    #[test]
    fn arguments_are_named_or_one_object() {
        for (arguments, input_) in [
            ("{}", "{}"),
            (r#"{"args":null,"kwargs":null}"#, "{}"),
            (r#"{"args":[],"kwargs":{}}"#, "{}"),
            (r#"{"args":[],"kwargs":{"b":1,"a":"x"}}"#, r#"{"a":"x","b":1}"#),
            (r#"{"args":[{"a":[1]}],"kwargs":{}}"#, r#"{"a":[1]}"#),
            (r#"{"args":[{"a":[1]}]}"#, r#"{"a":[1]}"#),
        ] {
            assert_eq!(input(&json(arguments)).unwrap(), input_.as_bytes(), "{arguments}");
        }
        for bad in [
            r#"{"args":[1]}"#,
            r#"{"args":[{},{}]}"#,
            r#"{"args":[{}],"kwargs":{"a":1}}"#,
            r#"{"args":[],"kwargs":[1]}"#,
            r#"{"args":[{}],"kwargs":5}"#,
            r#"{"args":{"n":3}}"#,
            r#"{"args":5}"#,
            r#"{"n":3}"#,
            r#"{"kwargs":{},"n":3}"#,
            "[1]",
            "null",
        ] {
            assert_eq!(input(&json(bad)).unwrap_err().code, "bad_request", "{bad}");
        }
    }

    fn manifest(text: &str) -> Manifest {
        Manifest::parse("p", &TegaId::new("r1").unwrap(), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_notification_has_the_state_of_each_path_in_their_order() {
        let store = Store::in_memory(Options::default());
        let put = |path: &str, value: &str| {
            store.commit(Transaction::new(None).put(Path::parse(path).unwrap(), json(value))).unwrap();
        };
        put("a", r#"{"x":{"y":[1,2],"z":"t"},"w":{}}"#);
        put("a.v", "7");
        let said =
            |text: &str| String::from_utf8(notice(&manifest(text), Reason::Change, &store).unwrap()).unwrap();
        assert_eq!(
            said(r#"{".subscribe":["nothing.here","a.x","a.v"]}"#),
            "{\"reason\":\"change\",\"nodes\":[{\"path\":\"nothing.here\"},\
             {\"path\":\"a.x\",\"version\":0,\"value\":{\"y\":[1,2],\"z\":\"t\"}},\
             {\"path\":\"a.v\",\"version\":1,\"value\":7}]}\n"
        );
        assert_eq!(
            said(r#"{".subscribe":["a","nothing"],".format":"flat"}"#),
            "a.v=7\na.w={}\na.x.y=[1,2]\na.x.z=\"t\"\n"
        );
        store.close();
    }

    #[test]
    fn a_notification_is_bounded() {
        let store = Store::in_memory(Options::default());
        let text = Value::from("x".repeat(1_000_000));
        for n in 0..5 {
            let path = Path::parse(&format!("a.n{n}")).unwrap();
            store.commit(Transaction::new(None).put(path, text.clone())).unwrap();
        }
        for more in ["", ",\".format\":\"flat\""] {
            let of = |path: &str| manifest(&format!("{{\".subscribe\":\"{path}\"{more}}}"));
            let error = notice(&of("a"), Reason::Start, &store).unwrap_err();
            assert!(error.contains("longer"), "{error}");
            assert!(notice(&of("a.n1"), Reason::Start, &store).is_ok());
        }
        // Short leaves under a long path: few bytes as JSON.
        let deep = format!("b.{}", "k".repeat(500));
        let many: Vec<String> = (0..20_000).map(|n| format!("\"{n}\":1")).collect();
        let value = json(&format!("{{{}}}", many.join(",")));
        store.commit(Transaction::new(None).put(Path::parse(&deep).unwrap(), value)).unwrap();
        let flat = manifest(r#"{".subscribe":"b",".format":"flat"}"#);
        assert!(notice(&flat, Reason::Start, &store).unwrap_err().contains("longer"));
        store.close();
    }
}
