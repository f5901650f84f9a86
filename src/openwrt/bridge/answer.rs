//! What is told of the bridge, and what it's asked for.

use super::drift::Drift;
use super::engine::Engine;
use super::plan;
use super::record::{Mark, Memory};
use super::said::Report;
use super::{Ask, Done};
use crate::api::error::Refusal;
use crate::openwrt::UCI;
use crate::openwrt::secret::Secrets;
use crate::path::{Key, Path};
use crate::store::{Expect, Op, Transaction};
use crate::system::boot_ms;
use crate::value::Value;

fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (Key::from(name), value)).collect();
    // Names that are written here are different, and nothing is nested deeply.
    Value::object(members).unwrap_or(Value::Null)
}

fn texts(lines: &[String]) -> Value {
    let items: Vec<Value> = lines.iter().map(|line| Value::from(line.as_str())).collect();
    Value::list(items).unwrap_or(Value::Null)
}

fn named(members: Vec<(Key, Value)>) -> Value {
    Value::object(members).unwrap_or(Value::Null)
}

/// How it stands: `{"state":…,"version":N,"confirmed":N,"observed":N,"reason":…,"changes":{…},"drift":{…},…}`.
pub(super) fn report(
    report: &Report,
    changes: &[(String, Vec<String>)],
    reloads: Option<&[String]>,
    drift: &Drift,
    memory: &Memory,
) -> Value {
    let number = |mark: Option<Mark>| mark.map_or(Value::Null, |mark| Value::from(mark.version.0));
    let incarnation = report.version.map_or(Value::Null, |mark| Value::from(mark.incarnation.to_string()));
    let mut members = vec![
        ("state", Value::from(report.state.word())),
        ("version", number(report.version)),
        ("confirmed", number(report.confirmed)),
        ("observed", number(report.observed)),
        ("incarnation", incarnation),
        ("reason", Value::from(report.reason.as_str())),
    ];
    if !changes.is_empty() {
        let lines = changes.iter().map(|(name, lines)| (Key::from(name.as_str()), texts(lines)));
        members.push(("changes", named(lines.collect())));
    }
    if let Some(reloads) = reloads {
        members.push(("reloads", texts(reloads)));
    }
    let drifted = drift.found().iter().map(|(name, found)| {
        let told = object(vec![
            ("since", Value::from(found.since)),
            ("lines", texts(&found.lines)),
            ("note", Value::from(found.note.as_str())),
        ]);
        (Key::from(name.as_str()), told)
    });
    members.push(("drift", named(drifted.collect())));
    let kept = memory.kept.iter().map(|(name, why)| (Key::from(name.as_str()), Value::from(why.as_str())));
    members.push(("kept", named(kept.collect())));
    object(members)
}

/// What applying the tree now would change.
pub(super) fn diff(engine: &Engine, secrets: bool) -> Result<Value, Refusal> {
    let Some(said) = plan::said(&engine.store.view(), &engine.root).filter(|said| said.packages.is_some())
    else {
        return Err(Refusal::not_found(&Path::from_checked(vec![engine.root.clone(), Key::from(UCI)])));
    };
    let none = Secrets::none();
    let secrets = if secrets { &none } else { &engine.options.secrets };
    let prepared = plan::prepare(engine.journal.config(), &said, engine.journal.memory(), secrets);
    let lines = prepared.map_err(Refusal::bad)?.lines;
    Ok(named(lines.iter().map(|(name, lines)| (Key::from(name.as_str()), texts(lines))).collect()))
}

/// Takes the files of this router into the tree, each proved to stay as it is.
pub(super) fn adopt(engine: &Engine, ask: &Ask, done: Done) {
    let packages = match files(engine, ask) {
        Ok(packages) => packages,
        Err(refusal) => return done(Err(refusal)),
    };
    let names: Vec<Value> = packages.iter().map(|(name, _)| Value::from(name.as_str())).collect();
    let by = ask.by.clone().unwrap_or_else(|| engine.id.clone());
    let mut transaction = Transaction::new(Some(by));
    transaction.durable = true;
    // What somebody manages already isn't adopted over.
    let op = |(name, value): (Key, Value)| Op::Put {
        path: Path::from_checked(vec![engine.root.clone(), Key::from(UCI), name]),
        value,
        expect: Some(Expect::version(-1)),
        ephemeral: false,
    };
    transaction.ops = packages.into_iter().map(op).collect();
    let root = engine.root.clone();
    engine.hub.submit(transaction, move |outcome| {
        done(outcome.map(|receipt| {
            let version =
                receipt.versions.iter().find(|(name, _)| *name == root).map(|(_, version)| version.0);
            object(vec![
                ("packages", Value::list(names).unwrap_or(Value::Null)),
                ("version", version.map_or(Value::Null, Value::from)),
                ("root", Value::from(root.as_str())),
            ])
        }));
    });
}

fn files(engine: &Engine, ask: &Ask) -> Result<Vec<(Key, Value)>, Refusal> {
    let config = engine.journal.config();
    if !engine.trial.is_idle() {
        return Err(Refusal::bad("a trial is under way; wait for its end"));
    }
    let there =
        config.packages().map_err(|error| Refusal::bad(format!("{}: {error}", config.path().display())))?;
    if let Some(name) = ask.packages.iter().find(|name| !there.contains(name)) {
        return Err(Refusal::bad(format!("{} has no package {name}", config.path().display())));
    }
    let in_tree =
        plan::said(&engine.store.view(), &engine.root).and_then(|said| said.packages).unwrap_or_default();
    let is_in_tree = |name: &str| in_tree.iter().any(|(known, _)| known.as_str() == name);
    if let Some(name) = ask.packages.iter().find(|name| is_in_tree(name)) {
        let message = format!(
            "{root}.{UCI}.{name} is in the tree already, and /etc/config follows it; `tega uci import {root} {file}` puts \
             the file in its place, `tega uci diff` shows what differs",
            root = engine.root,
            file = config.path().join(name).display()
        );
        let at = Path::from_checked(vec![engine.root.clone(), Key::from(UCI), Key::from(name.as_str())]);
        return Err(Refusal::new("conflict", message).at(&at));
    }
    let is_wanted = |name: &&String| match ask.packages.is_empty() {
        true => !is_in_tree(name),
        false => ask.packages.contains(name),
    };
    let mut packages = Vec::new();
    for name in there.iter().filter(is_wanted) {
        let value = plan::value_of(config, name).map_err(|why| {
            let hint = if ask.packages.is_empty() { "; name the packages to adopt the others" } else { "" };
            Refusal::bad(format!("{why}{hint}; nothing was adopted"))
        })?;
        packages.extend(value.map(|value| (Key::from(name.as_str()), value)));
    }
    if packages.is_empty() {
        let what = if there.is_empty() {
            "has no packages"
        } else {
            "has no package that isn't in the tree already"
        };
        return Err(Refusal::bad(format!("{} {what}", config.path().display())));
    }
    Ok(packages)
}

impl super::trial::Trial {
    /// Whether somebody may confirm now, over a connection that was opened then.
    pub(super) fn may_confirm(&self, opened: u64) -> Result<(), String> {
        match self.awaits_confirm() {
            None => Err("nothing waits to be confirmed".into()),
            Some(None) => {
                Err("this router is confirmed by its global server's answer, and by nobody else".into())
            }
            Some(Some(from)) if opened <= from => {
                let more = from.saturating_sub(boot_ms()).div_ceil(1_000);
                let when = if more > 0 { format!(" in {more} s") } else { String::new() };
                Err(format!(
                    "this connection is from before the services had settled; confirm over a new one{when}"
                ))
            }
            Some(Some(_)) => Ok(()),
        }
    }

    /// Whether there's a trial that somebody may undo.
    pub(super) fn may_revert(&self) -> Result<(), String> {
        if self.is_revertible() {
            return Ok(());
        }
        Err("no trial is under way; `tega rollback` makes an old version the present one".into())
    }
}
