//! `tega status --flash`: what the server has written since it started, and what that costs the flash.
//!
//! What is measured and what is guessed are kept apart. Bytes, blocks and syncs are the server's own counts. A day's
//! share is told from an hour on, since the first minutes of a server are like no other. What becomes of it on the flash
//! depends on the file system, which tells nobody; so there are three estimates, each said to be one:
//!
//! | estimate | of each sync, the flash takes |
//! | --- | --- |
//! | bytes | the bytes alone: a file system that appends, as JFFS2 does |
//! | blocks | the blocks of 4 KiB that they lie in, and one for the file's inode: UBIFS, ext4, F2FS |
//! | erase blocks | a whole erase block of 64 KiB: a card or stick that rewrites in place |
//!
//! How long the flash lasts supposes that wear is spread evenly over it, and 3,000 or 10,000 erasures of each block: the
//! low end of what makers state for MLC NAND and for NOR.

use std::fmt::Write as _;

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::show::table;
use crate::path::Key;
use crate::value::Value;

/// A day's share is told from so many seconds on.
const LONG_ENOUGH: u64 = 3_600;

const DAY: f64 = 86_400.0;

const BLOCK: u64 = 4 << 10;

const ERASE_BLOCK: u64 = 64 << 10;

/// Erasures that a block of flash is supposed to stand.
const CYCLES: [(u64, &str); 2] = [(3_000, "NAND"), (10_000, "NOR")];

/// The causes, as `/_status` names them.
const CAUSES: [&str; 3] = ["commits", "compactions", "reserves"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    bytes: u64,
    blocks: u64,
    syncs: u64,
}

impl Amount {
    fn and(self, other: Amount) -> Amount {
        Amount {
            bytes: self.bytes.saturating_add(other.bytes),
            blocks: self.blocks.saturating_add(other.blocks),
            syncs: self.syncs.saturating_add(other.syncs),
        }
    }
}

/// What a server tells of its writing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flash {
    seconds: u64,
    causes: [Amount; 3],
    directory_syncs: u64,
    /// The bytes of the flash, where that is known.
    size: Option<u64>,
}

/// What becomes of the writing on the flash, by one of the estimates.
struct Estimate {
    name: &'static str,
    bytes: u64,
}

impl Flash {
    /// Reads an answer of `/_status`; `None`: this server writes to no disk, or doesn't tell.
    pub(super) fn of(status: &Value, size: Option<u64>) -> Option<Flash> {
        let number =
            |value: &Value, name: &str| value.get(name)?.as_int().and_then(|n| u64::try_from(n).ok());
        let written = status.get("store")?.get("log")?.get("written")?;
        let amount = |name: &str| {
            let amount = written.get(name)?;
            let of = |what: &str| number(amount, what);
            Some(Amount { bytes: of("bytes")?, blocks: of("blocks")?, syncs: of("syncs")? })
        };
        let [commits, compactions, reserves] = CAUSES.map(amount);
        Some(Flash {
            seconds: number(status, "uptime_s")?,
            causes: [commits?, compactions?, reserves?],
            directory_syncs: number(written, "directory_syncs")?,
            size: size.or_else(|| number(status.get("disk")?, "bytes")).filter(|size| *size > 0),
        })
    }

    fn total(&self) -> Amount {
        self.causes.iter().fold(Amount::default(), |sum, amount| sum.and(*amount))
    }

    fn estimates(&self) -> [Estimate; 3] {
        let total = self.total();
        // A sync of the directory has a block of its own to write.
        let syncs = total.syncs.saturating_add(self.directory_syncs);
        let blocks = total.blocks.saturating_add(syncs).saturating_mul(BLOCK);
        let erased = syncs.saturating_mul(ERASE_BLOCK).max(blocks);
        [
            Estimate { name: "bytes", bytes: total.bytes },
            Estimate { name: "blocks", bytes: blocks },
            Estimate { name: "erase blocks", bytes: erased },
        ]
    }

    /// So much in the time since the start as a day's share; `None`: that time is too short to tell.
    fn a_day(&self, amount: u64) -> Option<f64> {
        (self.seconds >= LONG_ENOUGH).then(|| amount as f64 * DAY / self.seconds as f64)
    }

    /// Years that the flash stands so many bytes a day.
    fn years(&self, a_day: f64, cycles: u64) -> Option<f64> {
        Some(self.size? as f64 * cycles as f64 / a_day / 365.25).filter(|years| years.is_finite())
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let total = self.total();
        let mut out = format!("written in {} since the server started, as counted:\n", time(self.seconds));
        let row = |name: &str, amount: Amount| {
            let Amount { bytes, blocks, syncs } = amount;
            vec![format!("  {name}"), self::bytes(bytes as f64), blocks.to_string(), syncs.to_string()]
        };
        let mut rows = vec![["  CAUSE", "WRITTEN", "BLOCKS OF 4 KiB", "SYNCS"].map(String::from).to_vec()];
        rows.extend(CAUSES.iter().zip(self.causes).map(|(name, amount)| row(name, amount)));
        let directory = Amount { syncs: self.directory_syncs, ..Amount::default() };
        rows.push(row("directory", directory));
        rows.push(row("all", total.and(directory)));
        out.push_str(&table(&rows));
        // Writing to a String can't fail, so the results of writes are dropped.
        let Some(day) = self.a_day(total.bytes) else {
            let _ = writeln!(out, "less than an hour: too short to tell what a day is");
            return out;
        };
        let syncs = self.a_day(total.syncs.saturating_add(self.directory_syncs)).unwrap_or_default();
        let _ = writeln!(out, "that is {} and {syncs:.0} syncs a day", bytes(day));
        match self.size {
            Some(size) => {
                let _ = writeln!(
                    out,
                    "estimated cost of that, if a flash of {} wears evenly and each block stands so many erasures:",
                    bytes(size as f64)
                );
            }
            None => out.push_str("estimated cost of that (--flash-size tells of which flash):\n"),
        }
        let mut heading = vec!["  IF EACH SYNC WRITES".to_string(), "A DAY".into(), "OF WRITTEN".into()];
        heading.extend(CYCLES.map(|(cycles, kind)| format!("{cycles} ({kind})")));
        let mut rows = vec![heading];
        for Estimate { name, bytes: cost } in self.estimates() {
            let Some(day) = self.a_day(cost) else { continue };
            let times = match total.bytes {
                0 => "-".to_string(),
                written => format!("{:.1} x", cost as f64 / written as f64),
            };
            let mut row = vec![format!("  {name}"), bytes(day), times];
            row.extend(CYCLES.map(|(cycles, _)| self.years(day, cycles).map_or("-".into(), years)));
            rows.push(row);
        }
        out.push_str(&table(&rows));
        out
    }

    /// For programs; what isn't known is null.
    pub(super) fn value(&self) -> Value {
        let object = |members: Vec<(&'static str, Value)>| {
            let members = members.into_iter().map(|(name, value)| (Key::new_static(name), value));
            // The names are each once.
            Value::object(members.collect()).unwrap_or(Value::Null)
        };
        // The cast saturates.
        let whole = |number: Option<f64>| number.map_or(Value::Null, |n| Value::from(n.round() as u64));
        let causes = CAUSES.into_iter().zip(self.causes).map(|(name, amount)| {
            let members = [("bytes", amount.bytes), ("blocks", amount.blocks), ("syncs", amount.syncs)];
            (name, object(members.map(|(name, n)| (name, Value::from(n))).to_vec()))
        });
        let mut members = vec![
            ("seconds", Value::from(self.seconds)),
            ("flash_bytes", self.size.map_or(Value::Null, Value::from)),
            ("directory_syncs", Value::from(self.directory_syncs)),
            ("bytes_a_day", whole(self.a_day(self.total().bytes))),
        ];
        members.extend(causes);
        let names = ["as_bytes_a_day", "as_blocks_a_day", "as_erase_blocks_a_day"];
        let estimates = names.into_iter().zip(self.estimates());
        let estimates = estimates.map(|(name, estimate)| (name, whole(self.a_day(estimate.bytes))));
        members.push(("estimated", object(estimates.collect())));
        object(members)
    }
}

/// `--flash-size`: bytes, or so many K, M or G of 1024.
pub(super) fn size(typed: &Typed) -> Result<Option<u64>, Fault> {
    let Some(text) = typed.last(Flag::FlashSize) else { return Ok(None) };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default().trim_end_matches(['B', 'i', 'b']) {
        "" => Some(1),
        "k" | "K" => Some(1 << 10),
        "m" | "M" => Some(1 << 20),
        "g" | "G" => Some(1 << 30),
        _ => None,
    };
    let size = digits.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    match size.filter(|size| *size > 0) {
        Some(size) => Ok(Some(size)),
        None => Err(Fault::usage(format!("--flash-size {text}: a size such as 512K, 16M or 8G wanted"))),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        b if b < 1024.0 => format!("{b:.0} B"),
        b if b < 1024.0 * 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b if b < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", b / 1024.0 / 1024.0),
        b => format!("{:.1} GiB", b / 1024.0 / 1024.0 / 1024.0),
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min", s / 60),
        s if s < 48 * 3_600 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        s => format!("{} days", s / 86_400),
    }
}

fn years(years: f64) -> String {
    match years {
        y if y > 1_000.0 => "over 1000 years".into(),
        y if y < 0.1 => format!("{:.0} days", y * 365.25),
        y => format!("{y:.1} years"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(seconds: u64, disk: &str) -> Value {
        let written = r#"{"commits":{"bytes":43200,"blocks":440,"syncs":432},
            "compactions":{"bytes":10240,"blocks":3,"syncs":2},"reserves":{"bytes":0,"blocks":0,"syncs":0},
            "directory_syncs":4}"#;
        let text =
            format!(r#"{{"uptime_s":{seconds},"disk":{disk},"store":{{"log":{{"written":{written}}}}}}}"#);
        Value::parse(&text).unwrap()
    }

    #[test]
    fn what_was_counted_comes_before_what_is_estimated() {
        let flash = Flash::of(&status(43_200, r#"{"bytes":16777216,"free":1}"#), None).unwrap();
        assert_eq!(
            flash.text(),
            "written in 12 h 0 min since the server started, as counted:\n\
             \x20 CAUSE        WRITTEN   BLOCKS OF 4 KiB  SYNCS\n\
             \x20 commits      42.2 KiB  440              432\n\
             \x20 compactions  10.0 KiB  3                2\n\
             \x20 reserves     0 B       0                0\n\
             \x20 directory    0 B       0                4\n\
             \x20 all          52.2 KiB  443              438\n\
             that is 104.4 KiB and 876 syncs a day\n\
             estimated cost of that, if a flash of 16.0 MiB wears evenly and each block stands so many erasures:\n\
             \x20 IF EACH SYNC WRITES  A DAY      OF WRITTEN  3000 (NAND)      10000 (NOR)\n\
             \x20 bytes                104.4 KiB  1.0 x       over 1000 years  over 1000 years\n\
             \x20 blocks               6.9 MiB    67.5 x      19.1 years       63.6 years\n\
             \x20 erase blocks         54.8 MiB   537.1 x     2.4 years        8.0 years\n"
        );
    }

    #[test]
    fn the_first_minutes_tell_nothing_of_a_day() {
        let flash = Flash::of(&status(3_599, "null"), None).unwrap();
        assert!(
            flash.text().ends_with("less than an hour: too short to tell what a day is\n"),
            "{}",
            flash.text()
        );
        let value = flash.value();
        assert_eq!(value.get("bytes_a_day"), Some(&Value::Null));
        assert_eq!(value.get("commits").unwrap().get("syncs"), Some(&Value::from(432)));
    }

    #[test]
    fn without_a_size_nothing_is_said_of_years() {
        let flash = Flash::of(&status(86_400, "null"), None).unwrap();
        assert!(flash.text().contains("--flash-size") && !flash.text().contains("years"), "{}", flash.text());
        assert_eq!(
            flash.value().get("estimated").unwrap().get("as_bytes_a_day").unwrap().to_string(),
            "53440"
        );
        let flash = Flash::of(&status(86_400, "null"), Some(1 << 20)).unwrap();
        assert!(flash.text().contains("1.0 MiB wears evenly"), "{}", flash.text());
    }

    #[test]
    fn a_store_in_memory_writes_nothing() {
        assert_eq!(Flash::of(&Value::parse(r#"{"uptime_s":1,"store":{"log":null}}"#).unwrap(), None), None);
    }

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes() {
        let size = |text: &str| {
            let line = format!("status --flash --flash-size {text}");
            size(&super::super::parse::parse(line.split_whitespace().map(Into::into)).unwrap())
        };
        for (text, wanted) in
            [("16M", 16 << 20), ("16MiB", 16 << 20), ("512k", 512 << 10), ("8G", 8 << 30), ("1000", 1000)]
        {
            assert_eq!(size(text).unwrap(), Some(wanted), "{text}");
        }
        for text in ["0", "M", "1.5M", "16X", "99999999999G", "-1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
