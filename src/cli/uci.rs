//! `tega uci`: OpenWrt's configuration files, without a server.

use std::fs;
use std::io::{self, Read};
use std::path::Path as FilePath;

use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::parse::Typed;
use super::show::{Form, Out, note};
use crate::openwrt::check::{self, Finding, Severity};
use crate::openwrt::package;
use crate::openwrt::uci::{File, MAX_FILE, is_package_name};
use crate::path::{Key, Path};
use crate::value::Value;

/// `tega uci ACTION …`
pub(super) fn uci(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let json = typed.has(Flag::Json);
    match (typed.arg(0), typed.args.get(1..).unwrap_or_default()) {
        ("check", files @ [_, ..]) => check_files(files, json, out),
        ("export" | "show", [_, ..]) if json => {
            Err(Fault::usage(format!("`tega uci {}` doesn't take --json", typed.arg(0))))
        }
        ("export", files @ [_, ..]) => print(files, File::export, out),
        ("show", files @ [_, ..]) => print(files, File::show, out),
        ("check" | "export" | "show", []) => {
            Err(Fault::usage(format!("usage: tega {} {}", typed.row.name, typed.row.args)))
        }
        // The others have to do with a server.
        _ => super::bridge::bridge(typed, out),
    }
}

/// Prints each file that can be read; the others are told, and make the verb fail.
fn print(files: &[String], text: impl Fn(&File, &str) -> Vec<u8>, out: &mut Out) -> Result<(), Fault> {
    let mut refused = false;
    for path in files {
        match read(path) {
            Ok(file) => {
                let (name, taken) = package_name(path);
                if !taken {
                    note(&format!(
                        "{path}: no name of a package (letters, digits, _ and -); taken for {name}"
                    ));
                }
                out.bytes(&text(&file, &name))?;
            }
            Err(said) => {
                note(&said);
                refused = true;
            }
        }
    }
    ended(refused)
}

fn check_files(files: &[String], json: bool, out: &mut Out) -> Result<(), Fault> {
    let mut refused = false;
    let mut packages = Vec::new();
    for path in files {
        match read(path) {
            Ok(file) => {
                if let Err(error) = package::read(&file) {
                    note(&format!("{path}: can't be in the tree: {error}"));
                }
                packages.push((package_name(path).0, file.package().clone()));
            }
            Err(said) => {
                note(&said);
                refused = true;
            }
        }
    }
    let findings = check::packages(packages.iter().map(|(name, package)| (name.as_str(), package.clone())));
    if json {
        let list = findings.iter().map(told).collect::<Option<Vec<Value>>>().unwrap_or_default();
        let list = Value::list(list).map_err(|error| Fault::error(error.to_string()))?;
        out.value(Form::Json, &Path::TOP, &list)?;
    } else {
        findings.iter().try_for_each(|finding| out.line(&finding.to_string()))?;
    }
    ended(refused || findings.iter().any(|finding| finding.severity == Severity::Error))
}

/// What failed was told file by file.
fn ended(failed: bool) -> Result<(), Fault> {
    if failed { Err(Fault::new(Exit::Error, "")) } else { Ok(()) }
}

fn told(finding: &Finding) -> Option<Value> {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let path = Path::from_checked(finding.path.clone()).to_string();
    let members = [("severity", severity), ("path", &path), ("text", &finding.text)];
    let members = members.map(|(name, text)| (Key::new_static(name), Value::from(text)));
    Value::object(members.to_vec()).ok()
}

/// The package that a file would be in `/etc/config`, and whether that's the file's name as it is.
fn package_name(path: &str) -> (String, bool) {
    let name = FilePath::new(path).file_name().unwrap_or_default().to_string_lossy();
    if is_package_name(&name) {
        return (name.into_owned(), true);
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    (name.chars().map(plain).collect(), false)
}

/// A file, read no further than a file may be long.
pub(super) fn read(path: &str) -> Result<File, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("{path}: {error}"))?;
    File::parse(&bytes).map_err(|error| format!("{path}: {error}"))
}
