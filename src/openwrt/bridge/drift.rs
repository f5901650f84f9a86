//! Edits of managed files by somebody else: LuCI, `uci`, an editor.
//!
//! Files are looked at every two seconds; one whose inode, size and time are what they were isn't read again. What
//! differs from the tree in layout or comments alone is no drift.

use std::cell::LazyCell;
use std::collections::BTreeMap;

use super::files::{ConfigDir, Look, Sum};
use super::plan;
use crate::commit::TegaId;
use crate::openwrt::UCI;
use crate::openwrt::secret::Secrets;
use crate::path::{Key, Path};
use crate::store::{Expect, Op, Transaction, View};
use crate::system::now_ms;
use crate::value::Value;

/// How long after the tree was enforced it's enforced again, in milliseconds.
const ENFORCE_EVERY: u64 = 30_000;

/// What differs in one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drifted {
    /// Since when, in milliseconds since 1970 by this machine's clock.
    pub(super) since: u64,
    /// What differs from the tree.
    pub(super) lines: Vec<String>,
    /// What became of it.
    pub(super) note: String,
    /// The file that this is about; `None`: it's gone.
    sum: Option<Sum>,
}

/// What differs from what was confirmed.
#[derive(Debug, Default)]
pub(super) struct Drift {
    looks: BTreeMap<String, Option<Look>>,
    found: BTreeMap<String, Drifted>,
    /// What was proposed to the tree.
    proposed: BTreeMap<String, Option<Sum>>,
    enforced_at: Option<u64>,
}

impl Drift {
    /// What differs, by package.
    pub(super) fn found(&self) -> &BTreeMap<String, Drifted> {
        &self.found
    }

    /// The files were replaced: all of it is to be looked at anew.
    pub(super) fn forget(&mut self) {
        self.looks.clear();
        self.found.clear();
        self.proposed.clear();
    }

    /// Looks at the files that were confirmed so. `packages`: what the confirmed version says, where that is known; asked
    /// for only when a file is another one than before. True: something else differs now.
    pub(super) fn look(
        &mut self,
        config: &ConfigDir,
        base: &BTreeMap<String, Sum>,
        packages: impl FnOnce() -> Option<Vec<(Key, Value)>>,
        secrets: &Secrets,
    ) -> bool {
        let packages = LazyCell::new(packages);
        let mut changed = false;
        for (name, confirmed) in base {
            let look = config.look(name);
            if self.looks.get(name) == Some(&look) {
                continue;
            }
            let Ok(content) = config.read(name) else { continue };
            let sum = content.map(|content| Sum::of(&content.bytes));
            let found = if sum.as_ref() == Some(confirmed) {
                None
            } else {
                self.differs(config, name, sum, packages.as_deref(), secrets)
            };
            let before = self.found.get(name);
            changed |=
                before.map(|it| (&it.lines, &it.note)) != found.as_ref().map(|it| (&it.lines, &it.note));
            match found {
                Some(found) => {
                    if before.is_none() {
                        match found.lines.as_slice() {
                            [] => log::warn!("{name} isn't what was confirmed: {}", found.note),
                            [one] => log::warn!("{name} was edited here: {one}"),
                            lines => log::warn!("{name} was edited here: {} differences", lines.len()),
                        }
                    }
                    self.found.insert(name.clone(), found);
                }
                None => drop(self.found.remove(name)),
            }
            // What can't be told now may be told later.
            if packages.is_some() {
                self.looks.insert(name.clone(), look);
            }
        }
        let gone = self.found.len();
        self.found.retain(|name, _| base.contains_key(name));
        changed || gone != self.found.len()
    }

    fn differs(
        &self,
        config: &ConfigDir,
        name: &str,
        sum: Option<Sum>,
        packages: Option<&[(Key, Value)]>,
        secrets: &Secrets,
    ) -> Option<Drifted> {
        let since = self.found.get(name).map_or_else(now_ms, |known| known.since);
        let drifted = |lines, note: String| Some(Drifted { since, lines, note, sum: sum.clone() });
        let tree = packages.and_then(|packages| packages.iter().find(|(key, _)| key.as_str() == name));
        let Some((_, tree)) = tree else {
            return drifted(
                Vec::new(),
                "it isn't what was confirmed, and that version is no longer kept".into(),
            );
        };
        match plan::value_of(config, name) {
            Err(why) => drifted(Vec::new(), why),
            Ok(file) => match plan::difference(name, Some(tree), file.as_ref(), secrets) {
                Err(why) => drifted(Vec::new(), why),
                Ok(lines) if lines.is_empty() && file.is_some() => None,
                Ok(_) if file.is_none() => drifted(Vec::new(), "the file is gone".into()),
                Ok(lines) => drifted(lines, String::new()),
            },
        }
    }

    /// What is to be proposed to the tree, each edit once: only if nobody changed the package there.
    pub(super) fn proposals(
        &mut self,
        config: &ConfigDir,
        view: &View,
        root: &Key,
        by: &TegaId,
    ) -> Vec<(String, Transaction)> {
        let mut proposals = Vec::new();
        for (name, found) in &mut self.found {
            if self.proposed.get(name) == Some(&found.sum) {
                continue;
            }
            self.proposed.insert(name.clone(), found.sum.clone());
            let path = Path::new([root.as_str(), UCI, name.as_str()]);
            let value = plan::value_of(config, name);
            let (Ok(path), Ok(Some(value))) = (path, value) else {
                found.note = "it can't be taken into the tree".into();
                continue;
            };
            let stamp = view.node(&path).and_then(|node| node.stamp.as_version());
            let Some(version) = stamp.and_then(|version| i64::try_from(version.0).ok()) else { continue };
            let expect = Some(Expect::version(version));
            let mut transaction = Transaction::new(Some(by.clone()));
            transaction.ops.push(Op::Put { path, value, expect, ephemeral: false });
            proposals.push((name.clone(), transaction));
        }
        proposals
    }

    /// The tree took an edit in, or didn't.
    pub(super) fn adopted(&mut self, package: &str, outcome: Result<(), String>) {
        if let (Some(found), Err(why)) = (self.found.get_mut(package), outcome) {
            found.note = format!("the tree didn't take it: {why}");
        }
    }

    /// Whether the tree is to be enforced now.
    pub(super) fn enforces(&mut self, now: u64) -> bool {
        let due = self.enforced_at.is_none_or(|at| now.saturating_sub(at) >= ENFORCE_EVERY);
        let enforces = due && !self.found.is_empty();
        if enforces {
            self.enforced_at = Some(now);
        }
        enforces
    }
}
