//! # What certainly breaks
//!
//! A configuration is judged before any file is touched. [`check`] takes all packages, the value of `config-ID.uci`, and
//! gives [`Finding`]s, each with a path and a sentence. An *error* is what no router can do: a value that UCI can't
//! hold, two interfaces of one address, a forwarding to a zone that there isn't. A *warning* is what is probably not
//! meant, but runs: a firewall zone may name `wan6` on a router that has none.
//!
//! In doubt nothing is said. A router that works must not be refused, so a check stands here only where it's known
//! what OpenWrt's programs do with such a value; names of devices, hosts and services are left alone, since they are
//! made at run time. What refers to a package that isn't in the value isn't judged: it's not managed, or the caller
//! didn't put it there.
//!
//! A working router may have an error all the same, in a part that nobody uses. [`news`] says which errors a change
//! brings.
//!
//! **How it fails.** Never: what can't be read is a finding. There are [`MAX_FINDINGS`] at most.
//!
//! **What it isn't.** It isn't a schema of OpenWrt's options. A finding shows no value of a secret option.

mod addresses;
mod references;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::openwrt::package::{self, Wanted};
use crate::openwrt::uci::{Package, Section, is_package_name};
use crate::openwrt::{UCI, one_line, secret};
use crate::path::{Key, Path, write_keys};
use crate::value::Value;

/// The most findings that are told.
pub const MAX_FINDINGS: usize = 500;

/// How much a finding says at most, in characters.
const SHOWN: usize = 300;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It can't work: not to be applied.
    Error,
    /// It's probably not meant.
    Warning,
}

/// Something wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: the package, the section's key, the option; the later ones where they apply.
    pub path: Vec<Key>,
    /// What is wrong, in one line.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if !self.path.is_empty() {
            write_keys(&self.path, f)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.text)
    }
}

/// What is wrong with these packages: an object with a member for each, as `config-ID.uci` is.
///
/// ```
/// use tega::{openwrt::check, value::Value};
/// let uci = Value::parse(
///     r#"{"firewall": {"@zone[0]": {".type": "zone", "name": "lan"},
///                      "@forwarding[0]": {".type": "forwarding", "src": "lan", "dest": "wan"}}}"#,
/// )?;
/// let findings = check::check(&uci);
/// assert_eq!(findings[0].to_string(), "error: firewall.@forwarding[0].dest: there's no zone wan");
/// # Ok::<(), tega::value::ParseError>(())
/// ```
pub fn check(uci: &Value) -> Vec<Finding> {
    let mut report = Report::default();
    let Some(object) = uci.as_object() else {
        report.add(Severity::Error, &[], format!("{}, where an object of packages is wanted", uci.kind()));
        return report.findings;
    };
    // Where packages stand: below the root of a router.
    let place = Path::from_checked(vec![Key::from("config"), Key::from(UCI)]);
    if let Some(path) = secret::first_hidden(&place, uci) {
        let path: Vec<&str> = path.keys().iter().skip(place.len()).map(Key::as_str).collect();
        let text = format!("{} stands where a secret was hidden; put the secret itself", secret::HIDDEN);
        report.add(Severity::Error, &path, text);
    }
    let mut packages = Vec::new();
    for (name, value) in object.members() {
        match package::lenient(value) {
            Ok(Wanted::Package(package)) => packages.push((name.as_str(), package)),
            Ok(Wanted::Removed) => {}
            Err(error) => {
                let path = std::iter::once(name).chain(&error.path).map(Key::as_str);
                report.add(Severity::Error, &path.collect::<Vec<_>>(), error.reason.to_string());
            }
        }
    }
    among(packages, report)
}

/// What is wrong with these packages: of files that were read, say, which may hold what a value can't.
pub fn packages<'a>(packages: impl IntoIterator<Item = (&'a str, Package)>) -> Vec<Finding> {
    among(packages, Report::default())
}

fn among<'a>(packages: impl IntoIterator<Item = (&'a str, Package)>, mut report: Report) -> Vec<Finding> {
    let mut loaded = BTreeMap::new();
    for (name, package) in packages {
        if is_package_name(name) {
            loaded.insert(name, Loaded::new(package));
        } else {
            let text = "a package's name is letters, digits, _ and -";
            report.add(Severity::Error, &[name], text.to_string());
        }
    }
    let packages = Packages(loaded);
    references::check(&packages, &mut report);
    addresses::check(&packages, &mut report);
    report.findings.sort_by(|a, b| (a.severity, a.path.first()).cmp(&(b.severity, b.path.first())));
    report.findings
}

/// The errors among `after` that `before` hasn't. A section's key doesn't count, as anonymous ones are counted anew when
/// one goes.
pub fn news<'a>(before: &[Finding], after: &'a [Finding]) -> Vec<&'a Finding> {
    let kind = |finding: &Finding| {
        (finding.path.first().cloned(), finding.path.get(2).cloned(), finding.text.clone())
    };
    let mut known: HashMap<_, usize> = HashMap::new();
    for finding in before.iter().filter(|finding| finding.severity == Severity::Error) {
        *known.entry(kind(finding)).or_default() += 1;
    }
    let new = |finding: &&Finding| match known.get_mut(&kind(finding)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    after.iter().filter(|finding| finding.severity == Severity::Error).filter(new).collect()
}

/// The findings so far.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, severity: Severity, path: &[&str], text: String) {
        if self.findings.len() < MAX_FINDINGS {
            let path = path.iter().map(Key::new).collect();
            // It may repeat what an option says.
            let mut line = String::new();
            let _ = one_line(&text, SHOWN, &mut line);
            self.findings.push(Finding { severity, path, text: line });
        }
    }
}

/// A package, and the keys of its sections.
struct Loaded {
    package: Package,
    keys: Vec<String>,
}

impl Loaded {
    fn new(package: Package) -> Loaded {
        let keys = package.keys();
        Loaded { package, keys }
    }
}

/// The packages that can be read.
struct Packages<'a>(BTreeMap<&'a str, Loaded>);

/// A section, and where it is.
#[derive(Clone, Copy)]
struct Placed<'a> {
    package: &'a str,
    key: &'a str,
    section: &'a Section,
}

impl Packages<'_> {
    fn has(&self, package: &str) -> bool {
        self.0.contains_key(package)
    }

    /// The sections of one type.
    fn of(&self, package: &'static str, kind: &str) -> impl Iterator<Item = Placed<'_>> {
        let loaded = self.0.get(package).into_iter();
        let all = loaded.flat_map(|loaded| loaded.package.sections.iter().zip(&loaded.keys));
        all.filter(move |(section, _)| section.kind == kind).map(move |(section, key)| Placed {
            package,
            key,
            section,
        })
    }
}

impl<'a> Placed<'a> {
    /// The option's words: OpenWrt's scripts cut a list and a text with spaces alike.
    fn words(self, option: &str) -> impl Iterator<Item = &'a str> {
        let values = self.section.option(option).map_or(&[][..], |content| content.values());
        values.iter().flat_map(|value| std::str::from_utf8(value).unwrap_or_default().split_whitespace())
    }

    /// The option, where it's one word.
    fn word(self, option: &str) -> Option<&'a str> {
        let mut words = self.words(option);
        words.next().filter(|_| words.next().is_none())
    }

    /// The option as it is.
    fn text(self, option: &str) -> Option<&'a str> {
        let values = self.section.option(option)?.values();
        values.first().filter(|_| values.len() == 1).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether the option is one of the words that mean yes.
    fn is(self, option: &str) -> bool {
        matches!(self.word(option), Some("1" | "yes" | "on" | "true" | "enabled"))
    }

    /// Whether the option is one of the words that mean no.
    fn is_not(self, option: &str) -> bool {
        matches!(self.word(option), Some("0" | "no" | "off" | "false" | "disabled"))
    }

    fn error(self, option: &str, text: String, report: &mut Report) {
        report.add(Severity::Error, &[self.package, self.key, option], text);
    }

    fn warning(self, option: &str, text: String, report: &mut Report) {
        report.add(Severity::Warning, &[self.package, self.key, option], text);
    }
}
