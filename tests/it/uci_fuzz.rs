//! UCI files of random bytes and trees of random values, with the properties that `fuzz/` gives to its fuzzer.
//!
//! A few thousand inputs with every run. For a campaign, `TEGA_FUZZ_INPUTS` says how many, and `TEGA_FUZZ_SEED` from which
//! number on:
//!
//! ```sh
//! TEGA_FUZZ_INPUTS=5000000 cargo test --release --test it uci_fuzz
//! ```

#[path = "../../fuzz/properties.rs"]
mod properties;

use std::path::Path;

use tega::openwrt::package::{self, Rendered};
use tega::openwrt::uci::File;
use tega::path::Key;
use tega::value::Value;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        Dice(number("TEGA_FUZZ_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Prints the input that was tried when a test fails.
struct Tried<'a>(&'a [u8]);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input: b\"{}\"", self.0.escape_ascii());
        }
    }
}

const PARTS: &[&[u8]] = &[
    b"config",
    b"option",
    b"list",
    b"package",
    b"c",
    b"o",
    b"l",
    b"p",
    b" ",
    b"  ",
    b"\t",
    b"\n",
    b"\r\n",
    b"\\\n",
    b"\\\r\n",
    b"\\",
    b"'",
    b"\"",
    b"#",
    b";",
    b"\0",
    b"a",
    b"n",
    b"x",
    b"cfg0192bd",
    b"cfg01b606",
    b"rule",
    b"''",
    b"\"\"",
    b"\x0b",
    b"\x01",
    b"\xff",
    b"\xc3\xa9",
    b"-",
    b".",
    b"\n\t",
    b"\n\toption x ",
    b"\n\tlist y ",
    b"\nconfig a ",
    b"\nconfig rule\n",
    b" n ",
    b"'a b'",
    b"'it'\\''s'",
    b"\\ ",
    b" # c\n",
    b"\n# above\n",
    b"\n\n",
    b"0123456789abcdefghijklmnopqrstuvwxyz",
    b"\noption name ",
    b"192.168.1.1",
    b"\noption proto static\n",
];

/// What the mutations begin with: our own, and the real files where they are.
fn seeds() -> Vec<Vec<u8>> {
    let own: [&[u8]; 4] = [
        b"",
        b"config a n\n\toption x 1\n\tlist y 'a b' # c\n\nconfig rule\n\toption name one\n\n# two\nconfig rule\n\toption name two\n",
        b"package p\nconfig a 'n'; option x \"1\\\n2\"\nc a n\no x\nl x ''\n",
        b"# top\r\n\r\nconfig interface wan\r\n\toption proto static\r\n\toption ipaddr 10.0.0.1/24\r\n",
    ];
    let mut seeds: Vec<Vec<u8>> = own.iter().map(|seed| seed.to_vec()).collect();
    let Some(shared) = std::env::var_os("TEGA_SHARED") else {
        eprintln!("TEGA_SHARED is unset: real UCI files are no seeds");
        return seeds;
    };
    for dir in std::fs::read_dir(Path::new(&shared).join("data/uci")).unwrap() {
        for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            if bytes.len() < 2000 {
                seeds.push(bytes);
            }
        }
    }
    seeds
}

fn text(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.below(3) {
        0 => dice.of(seeds).clone(),
        1 => (0..dice.below(30)).flat_map(|_| *dice.of(PARTS)).copied().collect(),
        // Lines that mostly mean something.
        _ => (0..dice.below(12)).flat_map(|_| line(dice)).collect(),
    };
    for _ in 0..dice.below(4) {
        change(&mut bytes, dice);
    }
    bytes
}

/// A text that is a file, if a few throws give one.
fn file(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = text(seeds, dice);
    for _ in 0..8 {
        if File::parse(&bytes).is_ok() {
            break;
        }
        bytes = text(seeds, dice);
    }
    bytes
}

fn line(dice: &mut Dice) -> Vec<u8> {
    let names: [&str; 5] = ["a", "b", "x", "name", "key"];
    let values: [&str; 8] = ["1", "'1'", "\"2\"", "''", "'a b'", "it\\'s", "'two\nlines'", ""];
    let (name, value) = (*dice.of(&names), *dice.of(&values));
    let text = match dice.below(6) {
        0 => "config rule\n".to_string(),
        1 => format!("\n# c\nconfig {name}\n"),
        2 => format!("config t {name}\n"),
        3 => format!("\tlist {name} {value} # c\n"),
        4 => format!("# c\n\n\toption {name} {value}\n"),
        _ => format!("\toption {name} {value}\n"),
    };
    text.into_bytes()
}

fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(5) {
        0 if at < bytes.len() => bytes[at] = dice.next() as u8,
        1 => _ = bytes.splice(at..at, dice.of(PARTS).iter().copied()),
        2 => _ = bytes.drain(at..(at + dice.below(8)).min(bytes.len())),
        3 => {
            let copied = bytes[at..(at + dice.below(60)).min(bytes.len())].to_vec();
            let to = dice.below(bytes.len() + 1);
            bytes.splice(to..to, copied);
        }
        _ => bytes.truncate(at.max(bytes.len() / 2)),
    }
}

#[test]
fn whatever_the_bytes_of_a_file_what_is_read_is_kept() {
    let (seeds, mut dice) = (seeds(), Dice::new());
    let mut taken = 0;
    let inputs = number("TEGA_FUZZ_INPUTS", 5_000);
    for _ in 0..inputs {
        let bytes = text(&seeds, &mut dice);
        let _tried = Tried(&bytes);
        properties::of_a_file(&bytes);
        taken += u64::from(File::parse(&bytes).is_ok());
    }
    eprintln!("{taken} of {inputs} inputs were files");
    assert!(taken > inputs / 10, "too few of the inputs are files");
}

#[test]
fn whatever_a_file_is_changed_to_it_says_that_and_no_more() {
    let (seeds, mut dice) = (seeds(), Dice::new());
    for _ in 0..number("TEGA_FUZZ_INPUTS", 5_000) {
        let old = file(&seeds, &mut dice);
        // Half of them differ in little.
        let mut new = if dice.below(2) == 0 { old.clone() } else { file(&seeds, &mut dice) };
        for _ in 0..dice.below(3) {
            change(&mut new, &mut dice);
        }
        let both = [&old[..], &new].join(&0x1e);
        let _tried = Tried(&both);
        properties::of_two_files(&old, &new);
    }
}

/// A package as somebody might put it: with gaps in its order, numbers, and now and then something that can't be.
fn package(dice: &mut Dice) -> Value {
    let mut sections = Vec::new();
    for n in 0..1 + dice.below(6) {
        let kind = *dice.of(&["rule", "zone", "a.b'c"]);
        let key = match dice.below(3) {
            0 => format!("@{kind}[{n}]"),
            1 => format!("cfg{:06x}", dice.below(1 << 24)),
            _ => format!("n{n}"),
        };
        let mut members = vec![(Key::new(".type"), Value::from(kind))];
        if dice.below(3) > 0 {
            members.push((Key::new(".index"), Value::from(dice.below(5) as i64)));
        }
        if key.starts_with('@') || (key.starts_with("cfg") && dice.below(2) == 0) {
            members.push((Key::new(".anonymous"), Value::from(true)));
        }
        for name in ["name", "key", "list", "x1"] {
            if dice.below(2) == 0 {
                members.push((Key::new(name), option(dice)));
            }
        }
        sections.push((Key::from(key), Value::object(members).unwrap()));
    }
    // A made-up name may come twice.
    Value::object(sections).unwrap_or_else(|_| Value::empty_object())
}

fn option(dice: &mut Dice) -> Value {
    match dice.below(40) {
        0 => Value::Null,
        1 => Value::list(Vec::new()).unwrap(),
        2 => Value::from("a\u{1}"),
        3..20 => scalar(dice),
        _ => Value::list((0..1 + dice.below(4)).map(|_| scalar(dice)).collect::<Vec<_>>()).unwrap(),
    }
}

fn scalar(dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => Value::from(dice.next()),
        1 => Value::from(-(dice.below(100) as i64)),
        2 => Value::from(dice.below(2) == 0),
        3 => Value::from(""),
        4 => Value::from("it's \\ \"x\" # ; é\r\n\t"),
        _ => Value::from(*dice.of(&["a", "b", "1500", " ", "'"])),
    }
}

#[test]
fn whatever_the_tree_has_becomes_a_file_that_reads_as_it() {
    let mut dice = Dice::new();
    let mut old = File::empty();
    let mut kept = 0;
    let inputs = number("TEGA_FUZZ_INPUTS", 5_000);
    for _ in 0..inputs {
        let value = package(&mut dice);
        let json = value.to_string();
        let _tried = Tried(json.as_bytes());
        let Ok(Rendered::Write(bytes)) = package::render(None, &value) else { continue };
        let file = File::parse(&bytes).unwrap();
        assert_eq!(package::read(&file), package::normal(&value));
        let normal = package::normal(&value).unwrap();
        assert_eq!(package::normal(&normal).as_ref(), Ok(&normal));
        // The same out of the one before, which has little or nothing to do with it.
        properties::becomes(&old, &value);
        old = file;
        kept += 1;
    }
    assert!(kept > inputs / 4, "only {kept} of the trees could become a file");
}
