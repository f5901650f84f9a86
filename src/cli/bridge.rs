//! `serve --uci` and the verbs of `tega uci` that have to do with a server.

use std::path::{Path as FilePath, PathBuf};

use super::fault::Fault;
use super::flags::Flag;
use super::parse::{self, Typed};
use super::remote::Remote;
use super::serve::data_dir;
use super::show::{Form, Out, note};
use crate::api::route::{Route, UciVerb};
use crate::openwrt::bridge::{self, CONFIRM_RANGE, CONFIRM_SECONDS, Options, Policy, SETTLE_SECONDS};
use crate::openwrt::package;
use crate::openwrt::secret::Secrets;
use crate::path::{Key, Path};
use crate::value::Value;

/// The options that go with `--uci`.
const WITH_UCI: [(Flag, &str); 7] = [
    (Flag::UciRoot, "--uci-root"),
    (Flag::UciConfirm, "--uci-confirm"),
    (Flag::UciSettle, "--uci-settle"),
    (Flag::UciProbe, "--uci-probe"),
    (Flag::UciDrift, "--uci-drift"),
    (Flag::UciReload, "--uci-reload"),
    (Flag::UciSecret, "--uci-secret"),
];

/// The bridge that the options of `serve` mean.
pub(super) fn options(typed: &Typed) -> Result<Option<Options>, Fault> {
    if !typed.has(Flag::Uci) {
        return match WITH_UCI.iter().find(|(flag, _)| typed.has(*flag)) {
            Some((_, name)) => Err(Fault::usage(format!("{name} goes with --uci"))),
            None => Ok(None),
        };
    }
    let confirm_seconds = typed.number(Flag::UciConfirm)?.unwrap_or(CONFIRM_SECONDS);
    if !CONFIRM_RANGE.contains(&confirm_seconds) {
        let (least, most) = CONFIRM_RANGE.into_inner();
        return Err(Fault::usage(format!("--uci-confirm: {least} to {most} seconds wanted")));
    }
    let settle_seconds = match typed.number(Flag::UciSettle)?.unwrap_or(SETTLE_SECONDS) {
        seconds @ 0..=60 => seconds,
        _ => return Err(Fault::usage("--uci-settle: 0 to 60 seconds wanted")),
    };
    let probes = typed.all(Flag::UciProbe).map(str::parse).collect::<Result<_, String>>();
    let drift = match typed.last(Flag::UciDrift) {
        None | Some("report") => Policy::Report,
        Some("adopt") => Policy::Adopt,
        Some("enforce") => Policy::Enforce,
        Some(other) => {
            return Err(Fault::usage(format!("--uci-drift {other}: report, adopt or enforce wanted")));
        }
    };
    Ok(Some(Options {
        root: root(typed),
        dir: directory(typed),
        confirm_seconds,
        settle_seconds,
        probes: probes.map_err(|why| Fault::usage(format!("--uci-probe {why}")))?,
        drift,
        secrets: Secrets::default().with(typed.all(Flag::UciSecret)),
        reload: typed.last(Flag::UciReload).map(String::from),
    }))
}

fn root(typed: &Typed) -> PathBuf {
    PathBuf::from(typed.last(Flag::UciRoot).unwrap_or("/"))
}

/// Where the bridge keeps its journal.
fn directory(typed: &Typed) -> PathBuf {
    data_dir(typed).join("uci")
}

/// `tega uci …`
pub(super) fn bridge(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let words: Vec<&str> = typed.args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["status"] => status(typed, out),
        ["diff"] => diff(typed, out),
        ["adopt", packages @ ..] => {
            let packages = packages.iter().map(ToString::to_string).collect();
            adopted(&act(typed, UciVerb::Adopt, packages)?, out)
        }
        ["confirm"] => act(typed, UciVerb::Confirm, Vec::new()).map(drop),
        ["revert"] => act(typed, UciVerb::Revert, Vec::new()).map(drop),
        ["retry"] => act(typed, UciVerb::Retry, Vec::new()).map(drop),
        ["import", root, files @ ..] if !files.is_empty() => import(typed, root, files),
        ["recover"] => {
            let (root, dir) = (root(typed), directory(typed));
            let done = match typed.number(Flag::After)? {
                None => bridge::recover(&root, &dir),
                Some(seconds) if seconds <= CONFIRM_RANGE.into_inner().1 => {
                    bridge::recover_after(&root, &dir, typed.last(Flag::UciReload).map(String::from), seconds)
                }
                Some(_) => return Err(Fault::usage("--after: at most 3600 seconds wanted")),
            };
            note(&done.map_err(Fault::error)?);
            Ok(())
        }
        [action, ..] if !actions(typed).any(|known| known == *action) => {
            let near = parse::nearest(action, actions(typed));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            Err(Fault::usage(format!("uci: no action {action:?}{hint}; usage: tega uci {}", typed.row.args)))
        }
        _ => Err(Fault::usage(format!(
            "uci: too many arguments, or too few; usage: tega uci {}",
            typed.row.args
        ))),
    }
}

/// The actions, as the table of verbs has them.
fn actions(typed: &Typed) -> impl Iterator<Item = &'static str> {
    typed.row.args.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty())
}

fn act(typed: &Typed, verb: UciVerb, packages: Vec<String>) -> Result<Value, Fault> {
    let mut remote = Remote::new(typed)?;
    let by = remote.by.clone();
    let answer = remote.send_once(&Route::UciDo { by, verb, packages }, None)?;
    remote.json(&answer)
}

fn status(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let status = Remote::new(typed)?.ask_json(&Route::Uci { diff: false, secrets: false })?;
    let form = if typed.has(Flag::Json) { Form::Json } else { Form::Yaml };
    out.value(form, &Path::TOP, &status)
}

fn diff(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let route = Route::Uci { diff: true, secrets: typed.has(Flag::Secrets) };
    let differences = Remote::new(typed)?.ask_json(&route)?;
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &differences);
    }
    for (_, lines) in differences.as_object().map_or(&[][..], |packages| packages.members()) {
        for line in lines.as_list().map_or(&[][..], |lines| lines.items()) {
            out.line(line.as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

fn adopted(answer: &Value, out: &mut Out) -> Result<(), Fault> {
    let packages = answer.get("packages").and_then(Value::as_list).map_or(&[][..], |list| list.items());
    for name in packages.iter().filter_map(Value::as_str) {
        out.line(name)?;
    }
    if out.terminal {
        let root = answer.get("root").and_then(Value::as_str).unwrap_or_default();
        let version = answer.get("version").and_then(Value::as_int).unwrap_or_default();
        note(&format!("they are version {version} of {root}; applying it changes nothing"));
    }
    Ok(())
}

/// Puts files into the tree, all of them or none.
fn import(typed: &Typed, root: &str, files: &[&str]) -> Result<(), Fault> {
    let root = super::past::root(root)?;
    let mut ops = Vec::new();
    for file in files {
        let name = FilePath::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let fail = |why: &dyn std::fmt::Display| Fault::error(format!("{file}: {why}"));
        if !bridge::files::is_package(name) {
            return Err(fail(&format!(
                "a package is called as its file, and {name:?} is no name of one (letters, digits, _ and -)"
            )));
        }
        let parsed = super::uci::read(file).map_err(Fault::error)?;
        let value = package::read(&parsed).map_err(|error| fail(&error))?;
        let path = Path::from_checked(vec![root.clone(), Key::from("uci"), Key::from(name)]);
        let put =
            vec![(Key::from("put"), Value::from(path.to_string().as_str())), (Key::from("value"), value)];
        ops.push(Value::object(put).map_err(|error| fail(&error))?);
    }
    super::bulk::commit(typed, ops)
}

#[cfg(test)]
mod tests {
    use super::super::fault::Exit;
    use super::*;

    fn typed(line: &str) -> Typed {
        super::super::parse::parse(format!("serve {line}").split_whitespace().map(Into::into)).unwrap()
    }

    #[test]
    fn an_action_that_is_none_is_told_with_the_one_that_may_be_meant() {
        let said = |line: &str| {
            let typed = super::super::parse::parse(line.split_whitespace().map(Into::into)).unwrap();
            bridge(&typed, &mut Out::new()).unwrap_err().message
        };
        assert!(said("uci chck f").starts_with("uci: no action \"chck\"; did you mean check?; usage: "));
        assert!(said("uci frobnicate").starts_with("uci: no action \"frobnicate\"; usage: "));
        assert!(said("uci confirm f").starts_with("uci: too many arguments, or too few; usage: "));
    }

    #[test]
    fn a_bridge_is_meant_by_uci_and_its_limits_are_told() {
        assert!(options(&typed("")).unwrap().is_none());
        let some = options(&typed("--uci --data d --uci-root r --uci-confirm 9 --uci-probe ping:h")).unwrap();
        let some = some.unwrap();
        assert_eq!((some.root, some.dir), (PathBuf::from("r"), PathBuf::from("d/uci")));
        assert_eq!((some.confirm_seconds, some.probes.len(), some.drift), (9, 1, Policy::Report));
        for (line, why) in [
            ("--uci-root r", "--uci"),
            ("--uci --uci-confirm 0", "1 to 3600"),
            ("--uci --uci-confirm 3601", "1 to 3600"),
            ("--uci --uci-settle 61", "0 to 60"),
            ("--uci --uci-drift x", "report, adopt or enforce"),
            ("--uci --uci-probe tcp:x", "tcp:HOST:PORT"),
        ] {
            let fault = options(&typed(line)).unwrap_err();
            assert_eq!(fault.exit, Exit::Usage, "{line}");
            assert!(fault.message.contains(why), "{line}: {}", fault.message);
        }
    }
}
