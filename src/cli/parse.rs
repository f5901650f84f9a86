//! What the user typed: a verb, options and arguments, checked against the table and nothing more.

use std::ffi::OsString;
use std::str::FromStr;

use super::fault::Fault;
use super::flags::{FLAGS, Flag, FlagRow, Verb, VerbRow, flag_row};
use super::verbs::{VERBS, verb_named};

/// A command line that fits the table.
#[derive(Debug)]
pub struct Typed {
    /// The row of its verb.
    pub row: &'static VerbRow,
    /// Its options in the order typed, with their values.
    pub flags: Vec<(Flag, String)>,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Typed {
    /// Whether an option was given.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.iter().any(|(f, _)| *f == flag)
    }

    /// An option's value; the last counts.
    pub fn last(&self, flag: Flag) -> Option<&str> {
        self.flags.iter().rev().find(|(f, _)| *f == flag).map(|(_, value)| value.as_str())
    }

    /// All values of a repeatable option.
    pub fn all(&self, flag: Flag) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(f, _)| *f == flag).map(|(_, value)| value.as_str())
    }

    /// An option's value as a number.
    pub fn number<N: FromStr>(&self, flag: Flag) -> Result<Option<N>, Fault> {
        let Some(text) = self.last(flag) else { return Ok(None) };
        let name = flag_row(flag).map_or("", |row| row.name);
        text.parse().map(Some).map_err(|_| Fault::usage(format!("--{name} {text}: a number wanted")))
    }

    /// An option's value as a list of numbers, `1,16,64`.
    pub fn numbers(&self, flag: Flag, default: &[usize]) -> Result<Vec<usize>, Fault> {
        let Some(text) = self.last(flag) else { return Ok(default.to_vec()) };
        let name = flag_row(flag).map_or("", |row| row.name);
        let numbers: Result<Vec<usize>, _> = text.split(',').map(|word| word.trim().parse()).collect();
        match numbers {
            Ok(numbers) if !numbers.contains(&0) => Ok(numbers),
            _ => Err(Fault::usage(format!("--{name} {text}: numbers from 1 wanted, as in 1,16,64"))),
        }
    }

    /// An argument; empty where the table makes it optional and it wasn't given.
    pub fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }
}

/// Reads a command line, without the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Typed, Fault> {
    let mut parser = lexopt::Parser::from_args(args);
    let row = match parser.next().map_err(said)? {
        None => return Err(Fault::usage("no verb; `tega help` lists them")),
        Some(lexopt::Arg::Value(word)) => {
            let word = text(word)?;
            verb_named(&word).ok_or_else(|| unknown_verb(&word))?
        }
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => return Ok(plain(Verb::Help)),
        Some(lexopt::Arg::Long("version") | lexopt::Arg::Short('V')) => return Ok(plain(Verb::Version)),
        Some(arg) => {
            let arg = arg.unexpected().to_string();
            return Err(Fault::usage(format!("{arg}: a verb comes first; `tega help` lists them")));
        }
    };
    let typed = rest(row, &mut parser)?;
    if typed.has(Flag::Help) {
        return Ok(Typed { args: vec![row.name.into()], ..plain(Verb::Help) });
    }
    let (least, most) = row.count;
    if typed.args.len() < least {
        return Err(Fault::usage(format!("usage: tega {} {}", row.name, row.args)));
    }
    if let Some(extra) = typed.args.get(most) {
        return Err(Fault::usage(format!(
            "{}: {extra:?} is one argument too many; usage: tega {0} {}",
            row.name, row.args
        )));
    }
    Ok(typed)
}

fn plain(verb: Verb) -> Typed {
    let row = VERBS.iter().find(|row| row.verb == verb).unwrap_or(&VERBS[0]);
    Typed { row, flags: Vec::new(), args: Vec::new() }
}

fn rest(row: &'static VerbRow, parser: &mut lexopt::Parser) -> Result<Typed, Fault> {
    let mut typed = Typed { row, flags: Vec::new(), args: Vec::new() };
    loop {
        // -1 is a version, not an option: no option begins with a digit.
        if let Some(mut raw) = parser.try_raw_args() {
            let negative = raw.peek().and_then(|word| word.to_str()).is_some_and(|word| {
                word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            });
            if let Some(word) = negative.then(|| raw.next()).flatten() {
                typed.args.push(text(word)?);
                continue;
            }
        }
        let Some(arg) = parser.next().map_err(said)? else { return Ok(typed) };
        let flag = match arg {
            lexopt::Arg::Value(word) => {
                typed.args.push(text(word)?);
                continue;
            }
            lexopt::Arg::Long(name) => {
                FLAGS.iter().find(|flag| flag.name == name).ok_or_else(|| unknown_flag(row, name))?
            }
            lexopt::Arg::Short(c) => FLAGS.iter().find(|flag| flag.short == Some(c)).ok_or_else(|| {
                Fault::usage(format!("unknown option -{c}; `tega help {}` lists them", row.name))
            })?,
        };
        take(row, flag, parser, &mut typed)?;
    }
}

fn take(
    row: &'static VerbRow,
    flag: &'static FlagRow,
    parser: &mut lexopt::Parser,
    typed: &mut Typed,
) -> Result<(), Fault> {
    if flag.flag != Flag::Help && !row.flags.contains(&flag.flag) {
        return Err(Fault::usage(format!(
            "`tega {}` doesn't take --{}; `tega help {0}` lists its options",
            row.name, flag.name
        )));
    }
    match flag.value {
        None => typed.flags.push((flag.flag, String::new())),
        Some(name) if name.ends_with('…') => {
            for word in parser.values().map_err(said)? {
                typed.flags.push((flag.flag, text(word)?));
            }
        }
        Some(_) => typed.flags.push((flag.flag, text(parser.value().map_err(said)?)?)),
    }
    Ok(())
}

fn said(error: lexopt::Error) -> Fault {
    Fault::usage(error.to_string())
}

fn text(word: OsString) -> Result<String, Fault> {
    word.into_string().map_err(|word| Fault::usage(format!("{word:?} isn't UTF-8")))
}

fn unknown_verb(word: &str) -> Fault {
    let near = nearest(word, VERBS.iter().map(|row| row.name));
    Fault::usage(match near {
        Some(near) => format!("unknown verb {word:?}; did you mean `tega {near}`?"),
        None => format!("unknown verb {word:?}; `tega help` lists them"),
    })
}

fn unknown_flag(row: &VerbRow, name: &str) -> Fault {
    let near = nearest(name, row.flags.iter().filter_map(|flag| flag_row(*flag)).map(|row| row.name));
    Fault::usage(match near {
        Some(near) => format!("unknown option --{name}; did you mean --{near}?"),
        None => format!("unknown option --{name}; `tega help {}` lists them", row.name),
    })
}

/// The name that differs from `word` in the fewest letters, unless it differs too much.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 32;
    let word: Vec<char> = word.chars().take(LONGEST).collect();
    let allowed = 1 + word.len() / 3;
    names
        .map(|name| (distance(&word, name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, name)| name)
}

/// Letters to insert, drop or change to make one word of the other.
fn distance(word: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (i, b) in name.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (cell, a) in row.iter_mut().skip(1).zip(word) {
            let changed = diagonal + usize::from(*a != b);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Typed, String> {
        parse(line.split(' ').filter(|w| !w.is_empty()).map(OsString::from)).map_err(|f| {
            assert_eq!(f.exit.code(), 2, "{f}");
            f.message
        })
    }

    #[test]
    fn options_and_arguments_mix() {
        let t = typed("put --if-version -1 a.b -5 --id=me --string").unwrap();
        assert_eq!(t.row.verb, Verb::Put);
        assert_eq!(t.args, ["a.b", "-5"]);
        assert_eq!(t.number::<i64>(Flag::IfVersion).unwrap(), Some(-1));
        assert_eq!(t.last(Flag::Id), Some("me"));
        assert!(t.has(Flag::String) && !t.has(Flag::Ephemeral));
    }

    #[test]
    fn a_negative_version_is_an_argument() {
        assert_eq!(typed("rollback r -2").unwrap().args, ["r", "-2"]);
        assert_eq!(typed("put a -").unwrap().args, ["a", "-"]);
        assert_eq!(typed("put a -- --x").unwrap().args, ["a", "--x"]);
    }

    #[test]
    fn repeated_options_are_kept_in_order() {
        let t = typed("serve --listen none --listen 127.0.0.1:0").unwrap();
        assert_eq!(t.all(Flag::Listen).collect::<Vec<_>>(), ["none", "127.0.0.1:0"]);
        assert_eq!(t.last(Flag::Listen), Some("127.0.0.1:0"));
    }

    #[test]
    fn help_is_understood_wherever_it_stands() {
        assert_eq!(typed("--help").unwrap().row.verb, Verb::Help);
        let t = typed("get --help").unwrap();
        assert_eq!((t.row.verb, t.arg(0)), (Verb::Help, "get"));
        assert_eq!(typed("put -h").unwrap().arg(0), "put");
        assert_eq!(typed("--version").unwrap().row.verb, Verb::Version);
    }

    #[test]
    fn what_does_not_fit_is_refused_in_one_line() {
        for (line, said) in [
            ("", "no verb; `tega help` lists them"),
            ("gte a", "unknown verb \"gte\"; did you mean `tega get`?"),
            ("histroy a", "unknown verb \"histroy\"; did you mean `tega history`?"),
            ("frobnicate", "unknown verb \"frobnicate\"; `tega help` lists them"),
            ("get --jsno", "unknown option --jsno; did you mean --json?"),
            ("get --frobnicate", "unknown option --frobnicate; `tega help get` lists them"),
            ("get -x", "unknown option -x; `tega help get` lists them"),
            ("get --repair", "`tega get` doesn't take --repair; `tega help get` lists its options"),
            ("put a", "usage: tega put PATH VALUE|-"),
            ("get a b", "get: \"b\" is one argument too many; usage: tega get [PATH]"),
            ("--json get", "invalid option '--json': a verb comes first; `tega help` lists them"),
        ] {
            assert_eq!(typed(line).unwrap_err(), said, "{line}");
        }
        assert!(typed("get --json=1").unwrap_err().contains("--json"));
        assert!(typed("get --url").unwrap_err().contains("--url"));
        assert!(
            typed("get --version x a")
                .unwrap()
                .number::<i64>(Flag::Version)
                .unwrap_err()
                .message
                .contains("--version x")
        );
    }

    #[test]
    fn an_option_of_roots_takes_several_words() {
        let typed = typed("serve --config a b --insecure --config c --operational=d").unwrap();
        assert_eq!(typed.all(Flag::Config).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(typed.all(Flag::Operational).collect::<Vec<_>>(), ["d"]);
        assert!(typed.has(Flag::Insecure));
    }

    #[test]
    fn lists_of_numbers_are_checked() {
        let list = |line: &str| typed(line).unwrap().numbers(Flag::Clients, &[1, 2]);
        assert_eq!(list("bench").unwrap(), [1, 2]);
        assert_eq!(list("bench --clients 3,4").unwrap(), [3, 4]);
        assert!(list("bench --clients 3,0").is_err());
        assert!(list("bench --clients x").is_err());
    }
}
