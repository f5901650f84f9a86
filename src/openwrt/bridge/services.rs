//! What the bridge says to procd, and what it hears from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::{Cancel, run};
use crate::value::Value;

/// How long a question to procd may take.
const ASK_TIME: Duration = Duration::from_secs(5);

/// How often an instance may get another process in one trial: once is the reload.
const MAX_RESTARTS: u32 = 2;

/// For how many looks in a row an instance may be down.
const MAX_DOWN: u32 = 1;

/// Where the programs are.
#[derive(Clone, Debug)]
pub(super) struct Services {
    root: PathBuf,
    /// What is run instead of all that is known here.
    reload: Option<String>,
}

/// The instances of all services: whether each runs, and as which process.
pub(super) type Instances = BTreeMap<String, Option<i64>>;

impl Services {
    /// Those of the system below `root`; `reload` is a command that makes services reload.
    pub(super) fn new(root: &Path, reload: Option<String>) -> Services {
        Services { root: root.to_path_buf(), reload }
    }

    fn ubus(&self) -> Option<PathBuf> {
        ["bin/ubus", "usr/bin/ubus"].iter().map(|path| self.root.join(path)).find(|path| path.exists())
    }

    /// Tells the services that these packages changed. It waits for who is told, not for what they do.
    ///
    /// procd's event is told by package and reaches those who asked for it. `reload_config` compares checksums with those
    /// of its last run, and after the first only knows what to compare with; so it comes second.
    pub(super) fn reload(&self, packages: &[String], time: Duration, cancel: &Cancel) -> Result<(), String> {
        let names = packages.join(" ");
        if let Some(command) = &self.reload {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]).env("TEGA_UCI_PACKAGES", &names);
            return run(&mut shell, time, cancel).map(drop);
        }
        if let Some(ubus) = self.ubus() {
            for package in packages {
                let event = format!("{{\"type\":\"config.change\",\"data\":{{\"package\":\"{package}\"}}}}");
                let mut command = Command::new(&ubus);
                run(command.args(["call", "service", "event", &event]), time, cancel)?;
            }
            return Ok(());
        }
        let script = self.root.join("sbin/reload_config");
        if script.exists() {
            return run(Command::new(&script).env("TEGA_UCI_PACKAGES", &names), time, cancel).map(drop);
        }
        Err(format!("there's neither ubus nor {}; name a command with --uci-reload", script.display()))
    }

    /// What procd tells of all services; `None`: it can't be asked.
    pub(super) fn list(&self, verbose: bool) -> Option<Value> {
        let ubus = self.ubus()?;
        let arguments = if verbose { "{\"verbose\":true}" } else { "{}" };
        let mut command = Command::new(ubus);
        let printed = run(command.args(["call", "service", "list", arguments]), ASK_TIME, &Cancel::default());
        match printed.map(|printed| Value::parse(&printed)) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                log::warn!("ubus call service list: {error}");
                None
            }
            Err(error) => {
                log::warn!("{error}");
                None
            }
        }
    }
}

/// The instances in procd's list.
pub(super) fn instances(list: &Value) -> Instances {
    let mut found = Instances::new();
    for (service, it) in list.as_object().map_or(&[][..], |services| services.members()) {
        let instances = it.get("instances").and_then(Value::as_object);
        for (name, instance) in instances.map_or(&[][..], |instances| instances.members()) {
            let running = instance.get("running").and_then(Value::as_bool) == Some(true);
            let pid = instance.get("pid").and_then(Value::as_int).unwrap_or(0);
            found.insert(format!("{service}.{name}"), running.then_some(pid));
        }
    }
    found
}

/// The services that procd reloads when these packages change.
pub(super) fn reloaded_by(list: &Value, packages: &[String]) -> Vec<String> {
    let members = list.as_object().map_or(&[][..], |services| services.members());
    let mentions = |(_, it): &&(crate::path::Key, Value)| {
        it.get("triggers").is_some_and(|triggers| packages.iter().any(|package| tests(triggers, package)))
    };
    members.iter().filter(mentions).map(|(service, _)| service.to_string()).collect()
}

/// Whether `["eq","package",NAME]` stands somewhere in it. Values are no deeper than the parser lets them be.
fn tests(triggers: &Value, package: &str) -> bool {
    let Some(list) = triggers.as_list() else { return false };
    match list.items() {
        [Value::Text(eq), Value::Text(what), Value::Text(name)]
            if eq == "eq" && what == "package" && name == package =>
        {
            true
        }
        items => items.iter().any(|item| tests(item, package)),
    }
}

/// Looks at services during a trial, for one that fails again and again.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Those that ran before.
    before: Instances,
    last: Instances,
    restarts: BTreeMap<String, u32>,
    down: BTreeMap<String, u32>,
}

impl Watch {
    /// One that knows what ran before the trial.
    pub(super) fn new(before: Instances) -> Watch {
        Watch { last: before.clone(), before, ..Watch::default() }
    }

    /// A look; `Some`: which service fails, and how.
    pub(super) fn look(&mut self, now: Instances) -> Option<String> {
        for (name, pid) in &now {
            let ran = self.before.get(name).is_none_or(Option::is_some);
            match pid {
                // A service that is stopped on purpose has no instance at all; one that failed has one that isn't running.
                None if ran => {
                    let down = self.down.entry(name.clone()).or_default();
                    *down += 1;
                    if *down > MAX_DOWN {
                        return Some(format!("{name} doesn't run since the reload"));
                    }
                }
                None => {}
                Some(pid) => {
                    self.down.remove(name);
                    if self.last.get(name).is_some_and(|last| last.is_some_and(|last| last != *pid)) {
                        let restarts = self.restarts.entry(name.clone()).or_default();
                        *restarts += 1;
                        if *restarts > MAX_RESTARTS {
                            return Some(format!("{name} was restarted {restarts} times since the reload"));
                        }
                    }
                    self.last.insert(name.clone(), Some(*pid));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests_of {
    use super::*;

    fn now(list: &[(&str, Option<i64>)]) -> Instances {
        list.iter().map(|(name, pid)| (name.to_string(), *pid)).collect()
    }

    #[test]
    fn a_service_that_stays_down_or_is_restarted_on_and_on_is_told() {
        let before = now(&[("a.1", Some(1)), ("b.1", Some(2)), ("c.1", None)]);
        let mut watch = Watch::new(before.clone());
        assert_eq!(watch.look(now(&[("a.1", Some(5)), ("b.1", Some(2)), ("c.1", None)])), None);
        assert_eq!(watch.look(now(&[("a.1", None)])), None, "it's being restarted");
        assert_eq!(watch.look(now(&[("a.1", Some(6))])), None);
        assert_eq!(watch.look(now(&[("a.1", None)])), None);
        assert!(watch.look(now(&[("a.1", None)])).unwrap().contains("a.1 doesn't run"));
        let mut watch = Watch::new(before.clone());
        let looks: Vec<bool> = (10..14).map(|pid| watch.look(now(&[("b.1", Some(pid))])).is_some()).collect();
        assert_eq!(looks, [false, false, true, true]);
        // One that was down before, and one that was stopped, are nobody's fault.
        let mut watch = Watch::new(before);
        assert_eq!((0..5).find_map(|_| watch.look(now(&[("c.1", None)]))), None);
    }

    #[test]
    fn procd_tells_who_reloads_for_a_package() {
        let list = Value::parse(
            r#"{"network":{"triggers":[["config.change",["if",["eq","package","network"],["run_script","x","reload"]],1000]]},
                "dnsmasq":{"instances":{"cfg01411c":{"running":true,"pid":7},"b":{"running":false}},
                  "triggers":[["config.change",["if",["eq","package","dhcp"],["run_script","y"]],1000]]},"cron":{}}"#,
        )
        .unwrap();
        assert_eq!(reloaded_by(&list, &["network".into(), "wireless".into()]), ["network"]);
        assert_eq!(reloaded_by(&list, &["cron".into()]), Vec::<String>::new());
        let found = instances(&list);
        assert_eq!(found, now(&[("dnsmasq.b", None), ("dnsmasq.cfg01411c", Some(7))]));
    }
}
