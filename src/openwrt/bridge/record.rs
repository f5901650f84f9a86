//! What the bridge remembers on disk, as text: the trial under way, and what became of earlier ones.
//!
//! A line of JSON behind its checksum. A file is written whole beside its place and renamed into it, so that a bad
//! checksum is the flash's doing, not a power cut's, and is an error that says so.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::files::{Sum, is_package};
use crate::commit::Incarnation;
use crate::path::Key;
use crate::tree::Version;
use crate::value::Value;

/// The longest such file, in bytes.
const MAX_RECORD: u64 = 1 << 20;

/// A version of the config root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of which life of the root.
    pub incarnation: Incarnation,
    /// Which of its versions.
    pub version: Version,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.version)
    }
}

impl Mark {
    fn parse(text: &str) -> Option<Mark> {
        let (incarnation, version) = text.split_once('-')?;
        Some(Mark { incarnation: incarnation.parse().ok()?, version: Version(version.parse().ok()?) })
    }
}

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The files are being put in place: after a crash they go back, and nothing has happened.
    Installing,
    /// They are in place, on trial.
    Trial,
    /// They are being put back.
    Reverting,
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Phase::Installing => "installing",
            Phase::Trial => "trial",
            Phase::Reverting => "reverting",
        }
    }
}

/// What a trial does to one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// The package.
    pub name: String,
    /// What was there; `None`: nothing.
    pub old: Option<Sum>,
    /// What is put there; `None`: the file goes.
    pub new: Option<Sum>,
    /// The old file's permissions.
    pub bits: u32,
    /// The old file's owner and group.
    pub owner: Option<(u32, u32)>,
    /// Somebody had edited the old one: it's kept when the new one is confirmed.
    pub drifted: bool,
}

/// A trial under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which trial: random.
    pub trial: u64,
    /// The boot in which it began.
    pub boot: String,
    /// The version on trial.
    pub mark: Mark,
    /// What that version says of the files.
    pub sum: Sum,
    /// How far it is.
    pub phase: Phase,
    /// When its time is over, in milliseconds of the boot clock.
    pub deadline: u64,
    /// How often services were told to reload.
    pub reloads: u64,
    /// Why it's being reverted.
    pub reason: String,
    /// The files.
    pub files: Vec<FileRecord>,
}

/// A version that was reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reverted {
    /// Which.
    pub mark: Mark,
    /// What it said of the files.
    pub sum: Sum,
    /// Why.
    pub reason: String,
}

/// A version that is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Which.
    pub mark: Mark,
    /// What it says of the files.
    pub sum: Sum,
    /// The trial that confirmed it.
    pub trial: u64,
}

/// What became of earlier trials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The version whose files are those that count.
    pub confirmed: Option<Confirmed>,
    /// The last one that was reverted, unless another was confirmed since.
    pub reverted: Option<Reverted>,
    /// The managed files as they were confirmed.
    pub base: BTreeMap<String, Sum>,
    /// The files that were set aside, by package: why.
    pub kept: BTreeMap<String, String>,
}

/// Writes a value as such a file.
pub fn encode(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())).into_bytes()
}

/// Reads such a file; `None`: there's none.
pub fn load(path: &Path) -> io::Result<Option<Value>> {
    let bad = |why: &str| {
        let message = format!(
            "{} {why}; look at the files in its directory, put /etc/config right by hand, and remove it",
            path.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let text = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(data) if data.len() > MAX_RECORD => return Err(bad("is too long")),
        Ok(_) => String::from_utf8(fs::read(path)?).map_err(|_| bad("isn't text"))?,
    };
    let line = text.strip_suffix('\n').and_then(|line| line.split_once(' '));
    let (crc, json) = line.ok_or_else(|| bad("is no record"))?;
    if u32::from_str_radix(crc, 16).ok() != Some(crc32fast::hash(json.as_bytes())) {
        return Err(bad("is damaged: its checksum is wrong"));
    }
    Value::parse(json).map(Some).map_err(|error| bad(&format!("can't be read: {error}")))
}

fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (Key::from(name), value)).collect();
    // Names that are written here are different, and nothing is nested deeply.
    Value::object(members).unwrap_or(Value::Null)
}

fn by_name<'a>(members: impl Iterator<Item = (&'a String, Value)>) -> Value {
    let members = members.map(|(name, value)| (Key::from(name.as_str()), value)).collect();
    Value::object(members).unwrap_or(Value::Null)
}

fn sum_value(sum: Option<&Sum>) -> Value {
    sum.map_or(Value::Null, |sum| Value::from(sum.0.as_str()))
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(String::from)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    u64::try_from(value.get(name)?.as_int()?).ok()
}

fn mark(value: &Value) -> Option<Mark> {
    Mark::parse(value.get("mark")?.as_str()?)
}

fn sum(value: &Value, name: &str) -> Option<Sum> {
    text(value, name).map(Sum)
}

impl FileRecord {
    fn to_value(&self) -> Value {
        let (uid, gid) = self.owner.unzip();
        let id = |id: Option<u32>| id.map_or(Value::Null, |id| Value::from(i64::from(id)));
        object(vec![
            ("name", Value::from(self.name.as_str())),
            ("old", sum_value(self.old.as_ref())),
            ("new", sum_value(self.new.as_ref())),
            ("bits", Value::from(i64::from(self.bits))),
            ("uid", id(uid)),
            ("gid", id(gid)),
            ("drifted", Value::from(self.drifted)),
        ])
    }

    fn read(value: &Value) -> Option<FileRecord> {
        let id = |name| number(value, name).and_then(|id| u32::try_from(id).ok());
        let name = text(value, "name").filter(|name| is_package(name))?;
        Some(FileRecord {
            name,
            old: sum(value, "old"),
            new: sum(value, "new"),
            bits: u32::try_from(number(value, "bits")?).ok()?,
            owner: id("uid").zip(id("gid")),
            drifted: value.get("drifted")?.as_bool()?,
        })
    }
}

impl Record {
    /// As it stands in the journal.
    pub fn to_value(&self) -> Value {
        let files: Vec<Value> = self.files.iter().map(FileRecord::to_value).collect();
        object(vec![
            ("trial", Value::from(format!("{:016x}", self.trial).as_str())),
            ("boot", Value::from(self.boot.as_str())),
            ("mark", Value::from(self.mark.to_string())),
            ("sum", sum_value(Some(&self.sum))),
            ("phase", Value::from(self.phase.word())),
            ("deadline", Value::from(self.deadline)),
            ("reloads", Value::from(self.reloads)),
            ("reason", Value::from(self.reason.as_str())),
            ("files", Value::list(files).unwrap_or(Value::Null)),
        ])
    }

    /// Reads what [`Record::to_value`] wrote.
    pub fn read(value: &Value) -> Option<Record> {
        let phases = [Phase::Installing, Phase::Trial, Phase::Reverting];
        let phase = text(value, "phase")?;
        let files = value.get("files")?.as_list()?.items().iter().map(FileRecord::read);
        Some(Record {
            trial: u64::from_str_radix(&text(value, "trial")?, 16).ok()?,
            boot: text(value, "boot")?,
            mark: mark(value)?,
            sum: sum(value, "sum")?,
            phase: phases.into_iter().find(|known| known.word() == phase)?,
            deadline: number(value, "deadline")?,
            reloads: number(value, "reloads")?,
            reason: text(value, "reason")?,
            files: files.collect::<Option<Vec<FileRecord>>>()?,
        })
    }
}

impl Memory {
    /// As it stands in the state file.
    pub fn to_value(&self) -> Value {
        let confirmed = self.confirmed.as_ref().map_or(Value::Null, |confirmed| {
            object(vec![
                ("mark", Value::from(confirmed.mark.to_string())),
                ("sum", sum_value(Some(&confirmed.sum))),
                ("trial", Value::from(format!("{:016x}", confirmed.trial).as_str())),
            ])
        });
        let reverted = self.reverted.as_ref().map_or(Value::Null, |reverted| {
            object(vec![
                ("mark", Value::from(reverted.mark.to_string())),
                ("sum", sum_value(Some(&reverted.sum))),
                ("reason", Value::from(reverted.reason.as_str())),
            ])
        });
        object(vec![
            ("confirmed", confirmed),
            ("reverted", reverted),
            ("base", by_name(self.base.iter().map(|(name, sum)| (name, sum_value(Some(sum)))))),
            ("kept", by_name(self.kept.iter().map(|(name, why)| (name, Value::from(why.as_str()))))),
        ])
    }

    /// Reads what [`Memory::to_value`] wrote.
    pub fn read(value: &Value) -> Option<Memory> {
        let part = |name| value.get(name).filter(|part| **part != Value::Null);
        let texts = |name| -> Option<BTreeMap<String, String>> {
            let members = value.get(name)?.as_object()?.members();
            members.iter().map(|(name, text)| Some((name.to_string(), text.as_str()?.to_string()))).collect()
        };
        let confirmed = match part("confirmed") {
            None => None,
            Some(it) => Some(Confirmed {
                mark: mark(it)?,
                sum: sum(it, "sum")?,
                trial: u64::from_str_radix(&text(it, "trial")?, 16).ok()?,
            }),
        };
        let reverted = match part("reverted") {
            None => None,
            Some(it) => Some(Reverted { mark: mark(it)?, sum: sum(it, "sum")?, reason: text(it, "reason")? }),
        };
        let base = texts("base")?.into_iter().map(|(name, sum)| (name, Sum(sum))).collect();
        Some(Memory { confirmed, reverted, base, kept: texts("kept")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::testing::Scratch;

    fn mark() -> Mark {
        Mark { incarnation: Incarnation(0xab), version: Version(7) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = |old: Option<&str>, new: Option<&str>| FileRecord {
            name: "network".into(),
            old: old.map(|it| Sum::of(it.as_bytes())),
            new: new.map(|it| Sum::of(it.as_bytes())),
            bits: 0o644,
            owner: old.map(|_| (0, 7)),
            drifted: old.is_some(),
        };
        let record = Record {
            trial: u64::MAX,
            boot: "b".into(),
            mark: mark(),
            sum: Sum::of(b"x"),
            phase: Phase::Reverting,
            deadline: 12,
            reloads: 1,
            reason: "no \"way\"".into(),
            files: vec![file(Some("a"), None), file(None, Some("b"))],
        };
        assert_eq!(Record::read(&record.to_value()), Some(record));
        let memory = Memory {
            confirmed: Some(Confirmed { mark: mark(), sum: Sum::of(b"1"), trial: 3 }),
            reverted: Some(Reverted { mark: mark(), sum: Sum::of(b"2"), reason: "no".into() }),
            base: BTreeMap::from([("network".into(), Sum::of(b"3"))]),
            kept: BTreeMap::from([("dhcp".into(), "edited".into())]),
        };
        assert_eq!(Memory::read(&memory.to_value()), Some(memory));
        assert_eq!(Memory::read(&Memory::default().to_value()), Some(Memory::default()));
        assert_eq!(Record::read(&Value::Null), None);
    }

    #[test]
    fn a_damaged_file_is_told_with_what_to_do() {
        let scratch = Scratch::new();
        let path = scratch.path().join("state");
        assert_eq!(load(&path).unwrap(), None);
        let good = encode(&Memory::default().to_value());
        fs::write(&path, &good).unwrap();
        assert!(load(&path).unwrap().is_some());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let said = load(&path).map(|_| ()).err().map(|error| error.to_string());
            assert!(said.is_some_and(|said| said.contains("by hand")), "{at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(load(&path).is_err(), "{at}");
        }
    }
}
