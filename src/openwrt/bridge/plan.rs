//! From what the tree says to the files that it wants: pure but for reading the files that are there.

use std::io;

use super::files::{ConfigDir, MAX_FILE, MAX_PACKAGES, Sum, is_package};
use super::guard::OWN;
use super::journal::{Change, Plan};
use super::record::{Mark, Memory};
use crate::openwrt::UCI;
use crate::openwrt::check;
use crate::openwrt::package::{self, Rendered};
use crate::openwrt::secret::Secrets;
use crate::openwrt::uci::File;
use crate::path::Key;
use crate::store::{Store, View};
use crate::tree::Tree;
use crate::value::Value;

/// The most lines of differences that are told of one package.
pub(super) const MAX_LINES: usize = 100;

/// The most findings of a check that are told.
const MAX_FINDINGS: usize = 10;

/// What the config root says at one version.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Which version.
    pub(super) mark: Mark,
    /// The packages; `None`: it says nothing of them.
    pub(super) packages: Option<Vec<(Key, Value)>>,
    /// What tells whether two versions say the same.
    pub(super) sum: Option<Sum>,
    /// The seconds that a trial may last, where the root says so.
    pub(super) confirm_seconds: Option<u64>,
}

/// The packages of a state of the config root.
fn packages_of(tree: &Tree) -> Option<Vec<(Key, Value)>> {
    let value = tree.get(&[Key::from(UCI)])?.to_value();
    value.as_object().map(|object| object.members().to_vec()).filter(|packages| !packages.is_empty())
}

/// The packages of a version of the config root, if it's kept.
pub(super) fn said_by(store: &Store, root: &str, mark: Mark) -> Option<Vec<(Key, Value)>> {
    let past = store.at(root, i64::try_from(mark.version.0).ok()?).ok()?;
    packages_of(past.tree.as_ref().filter(|_| past.incarnation == mark.incarnation)?)
}

/// What the config root says now; `None`: it doesn't exist. Ephemeral nodes say nothing: they may be gone in a moment.
pub(super) fn said(view: &View, root: &str) -> Option<Said> {
    let state = view.root(root)?;
    let mark = Mark { incarnation: state.incarnation, version: state.version };
    let node = |keys: &[Key]| state.tree.get(keys).map(|node| node.to_value());
    let packages = packages_of(&state.tree);
    let value = packages.as_ref().and_then(|_| node(&[Key::from(UCI)]));
    let sum = value.map(|value| Sum::of(value.to_string().as_bytes()));
    let seconds = node(&[Key::from("tega"), Key::from("confirm_seconds")]);
    let confirm_seconds = seconds.and_then(|it| it.as_int()).and_then(|it| u64::try_from(it).ok());
    Some(Said { mark, packages, sum, confirm_seconds })
}

/// What a version would do to the files.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// The files that it changes.
    pub(super) plan: Plan,
    /// The managed files as they are when it's applied.
    pub(super) base: Vec<(String, Sum)>,
    /// What changes in each package.
    pub(super) lines: Vec<(String, Vec<String>)>,
}

/// Works out what a version does to the files, or why it must not be applied.
pub(super) fn prepare(
    config: &ConfigDir,
    said: &Said,
    memory: &Memory,
    secrets: &Secrets,
) -> Result<Prepared, String> {
    let (Some(packages), Some(sum)) = (&said.packages, &said.sum) else {
        return Err("the tree has nothing for /etc/config".into());
    };
    if packages.len() > MAX_PACKAGES {
        return Err(format!("more than {MAX_PACKAGES} packages"));
    }
    let mut prepared = Prepared {
        plan: Plan { mark: said.mark, sum: sum.clone(), changes: Vec::new() },
        base: Vec::new(),
        lines: Vec::new(),
    };
    for (name, value) in packages {
        one(config, name, value, memory, secrets, &mut prepared)?;
    }
    if !prepared.plan.changes.is_empty() {
        judge(config, packages)?;
    }
    Ok(prepared)
}

/// Refuses what certainly breaks and didn't before. Packages that aren't managed are looked at too, since others refer to
/// them.
fn judge(config: &ConfigDir, packages: &[(Key, Value)]) -> Result<(), String> {
    let names = config.packages().map_err(|error| error.to_string())?;
    let mut before: Vec<(Key, Value)> = Vec::new();
    for name in names {
        let read = config.read(&name).ok().flatten().and_then(|content| File::parse(&content.bytes).ok());
        // What can't be read isn't there for the router either.
        if let Some(value) = read.and_then(|file| package::read(&file).ok()) {
            before.push((Key::from(name), value));
        }
    }
    let managed = |name: &Key| packages.iter().any(|(managed, _)| managed == name);
    let mut after: Vec<(Key, Value)> = before.iter().filter(|(name, _)| !managed(name)).cloned().collect();
    after.extend(packages.iter().cloned());
    let findings = |packages: Vec<(Key, Value)>| match Value::object(packages) {
        Ok(all) => Ok(check::check(&all)),
        Err(error) => Err(error.to_string()),
    };
    let (before, after) = (findings(before)?, findings(after)?);
    let news = check::news(&before, &after);
    if news.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = news.iter().take(MAX_FINDINGS).map(ToString::to_string).collect();
    let more = news.len().saturating_sub(MAX_FINDINGS);
    let more = if more > 0 { format!("; {more} more") } else { String::new() };
    Err(format!("{}{more}", told.join("; ")))
}

fn one(
    config: &ConfigDir,
    name: &Key,
    value: &Value,
    memory: &Memory,
    secrets: &Secrets,
    prepared: &mut Prepared,
) -> Result<(), String> {
    if !is_package(name) {
        return Err(format!("{name:?} is no name of a package"));
    }
    let name = name.to_string();
    let old = config.read(&name).map_err(|error| format!("{name}: {error}"))?;
    // A file that the router's own tool refuses is as good as none, but for going back to it.
    let file = old.as_ref().and_then(|old| File::parse(&old.bytes).ok());
    if name == OWN {
        keeps_data(file.as_ref(), value)?;
    }
    let rendered = package::render(file.as_ref(), value).map_err(|error| error.below(&name).to_string())?;
    let new = match rendered {
        // A file that can't be read, and that is to go: nothing comes of it, and it's there.
        Rendered::Same if file.is_none() && old.is_some() => None,
        Rendered::Same => {
            if let Some(old) = &old {
                prepared.base.push((name, Sum::of(&old.bytes)));
            }
            return Ok(());
        }
        Rendered::Write(bytes) => Some(bytes),
        Rendered::Remove => None,
    };
    if let Some(new) = &new {
        if new.len() as u64 > MAX_FILE {
            return Err(format!("{name} would be larger than {MAX_FILE} bytes"));
        }
        File::parse(new).map_err(|error| format!("{name} can't be written so that uci reads it: {error}"))?;
        prepared.base.push((name.clone(), Sum::of(new)));
    }
    // For people alone: what can't be shown can be replaced all the same.
    let lines = lines(&name, file.as_ref(), Some(value), secrets).unwrap_or_else(|why| {
        vec![format!("{name}: another file; the one that is there can't be shown: {why}")]
    });
    prepared.lines.push((name.clone(), lines));
    let was = old.as_ref().map(|old| Sum::of(&old.bytes));
    // A file that the tree never had is somebody's work as well.
    let drifted = old.is_some() && memory.base.get(&name) != was.as_ref();
    prepared.plan.changes.push(Change { name, old, new, drifted });
    Ok(())
}

/// Whether every server keeps its data where it is. The journal of the trial is there: with another directory the server
/// would know of none, and nobody could tell what became of it.
fn keeps_data(old: Option<&File>, new: &Value) -> Result<(), String> {
    const DATA: &str = "data";
    let old = old.and_then(|file| package::read(file).ok()).unwrap_or(Value::Null);
    for (section, new) in new.as_object().map_or(&[][..], |new| new.members()) {
        let Some(old) = old.get(section) else { continue };
        if new.as_object().is_some() && old.get(DATA) != new.get(DATA) {
            return Err(format!(
                "{OWN}.{section}.{DATA} can't be changed on trial, since what would undo it is kept there; \
                 change it on the router"
            ));
        }
    }
    Ok(())
}

/// What differs between a file and a value, a line for each difference.
fn lines(
    name: &str,
    old: Option<&File>,
    new: Option<&Value>,
    secrets: &Secrets,
) -> Result<Vec<String>, String> {
    let old = old.map(package::read).transpose().map_err(|error| format!("{name}: {error}"))?;
    difference(name, old.as_ref(), new, secrets)
}

/// What differs between two values of a package, a line for each difference.
pub(super) fn difference(
    name: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    secrets: &Secrets,
) -> Result<Vec<String>, String> {
    let changes = package::changes(old, new).map_err(|error| format!("{name}: {error}"))?;
    let mut lines: Vec<String> =
        changes.iter().take(MAX_LINES).map(|change| change.line(name, secrets)).collect();
    if changes.len() > MAX_LINES {
        lines.push(format!("… {} more", changes.len() - MAX_LINES));
    }
    Ok(lines)
}

/// A package's file as a value; `None`: there's none.
pub(super) fn value_of(config: &ConfigDir, name: &str) -> Result<Option<Value>, String> {
    let Some(content) = config.read(name).map_err(|error: io::Error| format!("{name}: {error}"))? else {
        return Ok(None);
    };
    let file = File::parse(&content.bytes).map_err(|error| format!("{name}: {error}"))?;
    let value = package::read(&file).map_err(|error| format!("{name}: {error}"))?;
    // The proof that taking it in changes nothing.
    match package::render(Some(&file), &value) {
        Ok(Rendered::Same) => Ok(Some(value)),
        Ok(_) => Err(format!("{name}: written again it would be another file")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::daemon::testing::Scratch;
    use crate::store::{Options, Store, Transaction};

    const FIREWALL: &str = "config zone\n\toption name 'lan'\n\nconfig forwarding\n\toption src 'lan'\n";

    fn router() -> (Scratch, ConfigDir, Store) {
        let scratch = Scratch::new();
        let config = ConfigDir::below(scratch.path());
        fs::create_dir_all(config.path()).unwrap();
        fs::write(config.path().join("system"), "config system\n\toption hostname 'a'\n").unwrap();
        (scratch, config, Store::in_memory(Options::default()))
    }

    fn put(store: &Store, path: &str, json: &str) {
        let put = Transaction::new(None).put(path.parse().unwrap(), Value::parse(json).unwrap());
        store.commit(put).unwrap();
    }

    fn plan(config: &ConfigDir, store: &Store) -> Result<Prepared, String> {
        let said = said(&store.view(), "config-r1").unwrap();
        prepare(config, &said, &Memory::default(), &Secrets::default())
    }

    #[test]
    fn only_packages_of_the_tree_change_and_only_by_what_stays() {
        let (_scratch, config, store) = router();
        put(&store, "config-r1.tega.confirm_seconds", "7");
        let none = said(&store.view(), "config-r1").unwrap();
        assert_eq!((none.packages, none.sum, none.confirm_seconds), (None, None, Some(7)));
        put(&store, "config-r1.uci.system", r#"{"@system[0]":{".type":"system","hostname":"b"}}"#);
        let before = said(&store.view(), "config-r1").unwrap();
        let session = store.begin_session(crate::commit::TegaId::new("x").unwrap());
        let path = "config-r1.uci.network".parse().unwrap();
        let lease = Transaction::new(None).put_ephemeral(path, Value::from(1));
        store.commit(Transaction { session: Some(session), ..lease }).unwrap();
        assert_eq!(said(&store.view(), "config-r1").unwrap().sum, before.sum);
        let planned = plan(&config, &store).unwrap();
        let [change] = planned.plan.changes.as_slice() else { panic!("{planned:?}") };
        assert_eq!((change.name.as_str(), change.drifted), ("system", true), "it never was the tree's");
        assert_eq!(planned.lines[0].1, ["system.@system[0].hostname: 'a' → 'b'"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_or_shown_can_be_replaced_and_removed() {
        let (_scratch, config, store) = router();
        for content in [&b"nonsense"[..], b"config system\n\toption hostname '\xff'\n"] {
            fs::write(config.path().join("system"), content).unwrap();
            put(&store, "config-r1.uci.system", r#"{"@system[0]":{".type":"system","hostname":"b"}}"#);
            let planned = plan(&config, &store).unwrap();
            let [change] = planned.plan.changes.as_slice() else { panic!("{planned:?}") };
            assert!(change.new.is_some() && change.drifted, "{planned:?}");
            assert!(
                !content.starts_with(b"config") || planned.lines[0].1[0].contains("UTF-8"),
                "{planned:?}"
            );
            put(&store, "config-r1.uci.system", r#"{".delete":true}"#);
            let planned = plan(&config, &store).unwrap();
            let [change] = planned.plan.changes.as_slice() else { panic!("{planned:?}") };
            assert!(change.new.is_none() && change.drifted, "{planned:?}");
        }
    }

    #[test]
    fn what_certainly_breaks_is_refused_and_what_was_broken_before_is_not() {
        let (_scratch, config, store) = router();
        let zones = r#"{"@zone[0]":{".type":"zone","name":"lan"},"@forwarding[0]":{".type":"forwarding","src":"lan","dest":"wan"}}"#;
        put(&store, "config-r1.uci.firewall", zones);
        let why = plan(&config, &store).unwrap_err();
        assert!(why.contains("firewall.@forwarding[0].dest: there's no zone wan"), "{why}");
        fs::write(config.path().join("firewall"), format!("{FIREWALL}\toption dest 'wan'\n")).unwrap();
        put(&store, "config-r1.uci.firewall[\"@zone[0]\"].input", "\"ACCEPT\"");
        assert_eq!(plan(&config, &store).unwrap().plan.changes.len(), 1);
        fs::write(config.path().join("tega"), "config server 'main'\n\toption data '/etc/tega/data'\n")
            .unwrap();
        put(&store, "config-r1.uci.tega", r#"{"main":{".type":"server","data":"/mnt","uci":"1"}}"#);
        let why = plan(&config, &store).unwrap_err();
        assert!(why.starts_with("tega.main.data can't be changed on trial"), "{why}");
        put(&store, "config-r1.uci.tega.main.data", "\"/etc/tega/data\"");
        assert_eq!(plan(&config, &store).unwrap().plan.changes.len(), 2);
        for (name, why) in [("a.b", "no name"), ("x-opkg", "no name")] {
            put(&store, &format!("config-r1.uci[\"{name}\"]"), r#"{".package":true}"#);
            assert!(plan(&config, &store).unwrap_err().contains(why));
        }
    }

    #[test]
    fn a_file_is_taken_in_only_if_it_would_come_out_the_same() {
        let (_scratch, config, _) = router();
        fs::write(config.path().join("firewall"), FIREWALL).unwrap();
        assert!(value_of(&config, "firewall").unwrap().is_some());
        assert_eq!(value_of(&config, "none").unwrap(), None);
        fs::write(config.path().join("firewall"), "nonsense").unwrap();
        assert!(value_of(&config, "firewall").unwrap_err().contains("firewall"));
    }
}
