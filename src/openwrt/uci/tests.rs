//! The tool's answers, to the byte; and that a change changes what it has to.

use std::path::PathBuf;

use super::*;
use crate::value::Value;

/// `TEGA_SHARED`, else `../shared`; `None`, with a line that says so, where neither is there.
pub(in crate::openwrt) fn shared(what: &str) -> Option<PathBuf> {
    let set = std::env::var_os("TEGA_SHARED").map(PathBuf::from);
    let dir = set.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = dir.join("data").join(what);
    if !path.exists() {
        eprintln!("passed over: {} isn't there", path.display());
        return None;
    }
    Some(path)
}

/// The files below `data/uci`, without what the tool says of them.
pub(in crate::openwrt) fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for dir in shared("uci").into_iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()) {
        for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.to_str().unwrap();
            if ![".export", ".show", ".invalid"].iter().any(|end| name.ends_with(end)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn beside(path: &std::path::Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(end);
    name.into()
}

fn put_together(file: &File) -> Vec<u8> {
    let piece = |piece: Piece<'_>| match piece {
        Piece::Between(text) | Piece::Statement(text) => text.to_vec(),
    };
    file.pieces().flat_map(piece).collect()
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn real_files_are_judged_written_exported_and_shown_as_the_tool_does() {
    let (mut good, mut bad) = (0, 0);
    for path in files() {
        let name = path.display();
        let source = std::fs::read(&path).unwrap();
        let file = match File::parse(&source) {
            Ok(file) => file,
            Err(error) => {
                assert!(beside(&path, ".invalid").exists(), "{name} is refused: {error}");
                bad += 1;
                continue;
            }
        };
        assert!(!beside(&path, ".invalid").exists(), "{name} is taken");
        assert_eq!(file.bytes(), source, "{name}");
        assert_eq!(put_together(&file), source, "{name}");
        // Where the answers were recorded, the package had this name.
        let package = path.file_name().unwrap().to_str().unwrap();
        let package = package.chars().take(40);
        let package: String = package.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let said = |end: &str| shown(&std::fs::read(beside(&path, end)).unwrap());
        assert_eq!(shown(&file.export(&package)), said(".export"), "{name}");
        assert_eq!(shown(&file.show(&package)), said(".show"), "{name}");
        good += 1;
    }
    if good > 0 {
        assert_eq!((good, bad), (247, 3));
    }
}

#[test]
fn the_recorded_cases_come_out_as_the_tool_has_them() {
    let Some(path) = shared("uci_vectors.json") else { return };
    let cases = Value::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = cases.get("cases").and_then(Value::as_list).unwrap().items();
    assert_eq!(cases.len(), 54);
    for case in cases {
        let text = |key: &str| case.get(key).and_then(Value::as_str).unwrap();
        let bytes = |key: &str| text(key).chars().map(|c| c as u8).collect::<Vec<u8>>();
        let input = bytes("input");
        match File::parse(&input) {
            Ok(file) => {
                assert_eq!(case.get("rc").and_then(Value::as_int), Some(0), "{case}");
                assert_eq!(put_together(&file), input, "{case}");
                assert_eq!(shown(&file.export("t")), shown(&bytes("export")), "{case}");
                assert_eq!(shown(&file.package().show_generated("t")), shown(&bytes("show_X")), "{case}");
            }
            Err(error) => {
                let Error { line, byte, reason, .. } = error;
                let said = format!("uci: Parse error ({reason}) at line {line}, byte {byte}");
                assert_eq!(said, text("error"), "{case}");
            }
        }
    }
}

#[test]
fn a_statement_ends_where_the_tool_ends_it() {
    let says = |source: &str| match File::parse(source.as_bytes()) {
        Ok(file) => shown(&file.export("t")).replacen("package t\n", "", 1),
        Err(error) => error.to_string(),
    };
    for (source, said) in [
        // Unquoted, the NUL behind the word takes the `;` away, and with it the rest of the line.
        ("config a n;option x 1\n", "\nconfig a 'n'\n\n"),
        ("config a 'n';option x 1\n", "\nconfig a 'n'\n\toption x '1'\n\n"),
        ("config a n ; option x 1 ; list y 2\n", "\nconfig a 'n'\n\toption x '1'\n\tlist y '2'\n\n"),
        ("config a n ;\n", "line 1, byte 12: invalid command"),
        ("config a \\\n n\n", "line 2, byte 13: too many arguments; the statement begins in line 1"),
        ("config a \\\nn\n", "\nconfig a 'n'\n\n"),
        ("config a n\noption x a\\\r\nb\n", "\nconfig a 'n'\n\toption x 'ab'\n\n"),
        ("config\ta\tn\n", "\nconfig a 'n'\n\n"),
        ("config a n # it's\n", "\nconfig a 'n'\n\n"),
        ("config a '#'\n", "line 1, byte 13: invalid character in name field"),
        ("config #\n", "line 1, byte 7: insufficient arguments"),
        ("config \n", "line 1, byte 8: insufficient arguments"),
        ("config;\n", "line 1, byte 0: invalid command"),
        ("config", "line 1, byte 0: config without name"),
        ("\u{feff}config a\n", "line 1, byte 0: invalid command"),
        ("package a.b\n", "line 1, byte 12: invalid character in name field"),
        ("package a-b\nconfig a", "\nconfig a\n\n"),
        // A section of the name that the tool made up for one before is that one.
        ("config rule\nconfig rule cfg0192bd\noption x 1\n", "\nconfig rule\n\toption x '1'\n\n"),
        ("config a n\noption x 1\noption x ''\noption x\n", "\nconfig a 'n'\n\toption x '1'\n\n"),
        ("config a n\nlist x\nlist x ''\n", "\nconfig a 'n'\n\tlist x ''\n\tlist x ''\n\n"),
        (
            "config a n\no x 1\no y 2\no x 3\nl x 4\n",
            "\nconfig a 'n'\n\tlist x '3'\n\tlist x '4'\n\toption y '2'\n\n",
        ),
        (
            "config a n\noption x 'a\nb\n",
            "line 3, byte 14: EOF with unterminated '; the statement begins in line 2",
        ),
    ] {
        assert_eq!(says(source), said, "{source:?}");
    }
}

#[test]
fn a_nul_joins_lines_as_it_does_in_the_tool() {
    let export = |source: &[u8]| File::parse(source).map(|file| shown(&file.export("t")));
    let joined = "package t\n\nconfig a 'nm'\n\n".to_string();
    assert_eq!(export(b"config a n\0 gone\nm\n"), Ok(joined));
    assert_eq!(export(b"\0config\nconfig a\n"), Ok("package t\n\nconfig a\n\n".to_string()));
    let file = b"config a n\0 gone\nm # b\n\toption x 1\n";
    let file = File::parse(file).unwrap();
    assert_eq!(put_together(&file), file.bytes());
    // The tool doubles its buffer for each of them.
    let many = b"p\0\n".repeat(64);
    assert_eq!(File::parse(&many).unwrap_err().reason, Reason::Memory);
}

#[test]
fn what_is_too_much_is_refused() {
    let refused = |source: &str| File::parse(source.as_bytes()).map(|_| ()).map_err(|error| error.reason);
    let sections = |n: usize| "config a\n".repeat(n);
    assert_eq!(refused(&sections(MAX_SECTIONS)), Ok(()));
    assert_eq!(refused(&sections(MAX_SECTIONS + 1)), Err(Reason::Sections));
    let lists = |n: usize| format!("config a\n{}", "l x 1\n".repeat(n));
    assert_eq!(refused(&lists(MAX_STATEMENTS - 1)), Ok(()));
    assert_eq!(refused(&lists(MAX_STATEMENTS)), Err(Reason::Statements));
    let comment = |n: usize| format!("#{}", "x".repeat(n - 1));
    assert_eq!(refused(&comment(MAX_FILE)), Ok(()));
    assert_eq!(refused(&comment(MAX_FILE + 1)), Err(Reason::FileSize));
    // Many names in one section are found by their names, not one after the other.
    let names = |n: usize| format!("config a\n{}", (0..n).map(|n| format!("o n{n} 1\n")).collect::<String>());
    assert_eq!(refused(&names(80_000)), Ok(()));
}

#[test]
fn what_no_file_can_say_is_found_before_it_is_written() {
    let section = |kind: &str, name: Option<&str>, option: &str, content: Content| {
        let options = vec![Opt { name: option.to_string(), content }];
        Section { name: name.map(str::to_string), kind: kind.to_string(), options }
    };
    let one = |value: &[u8]| Content::One(value.to_vec());
    let check = |sections: Vec<Section>| Package { sections }.check();
    assert_eq!(check(vec![section("a'b", Some("n"), "x", one(b"1"))]), Ok(()));
    assert_eq!(check(vec![section("a b", None, "x", one(b"1"))]), Err(Unfit::Type(0)));
    assert_eq!(check(vec![section("a", Some("n-1"), "x", one(b"1"))]), Err(Unfit::Name(0)));
    let twice = vec![section("a", Some("n"), "x", one(b"1")); 2];
    assert_eq!(check(twice), Err(Unfit::Twice(1)));
    let made_up =
        vec![section("rule", None, "x", one(b"1")), section("rule", Some("cfg0192bd"), "x", one(b"1"))];
    assert_eq!(check(made_up), Err(Unfit::Twice(1)));
    assert_eq!(check(vec![section("a", None, "x.y", one(b"1"))]), Err(Unfit::Option(0, "x.y".into())));
    for bad in [one(b""), one(b"a\0"), Content::Many(vec![]), Content::Many(vec![b"\0".to_vec()])] {
        assert_eq!(check(vec![section("a", None, "x", bad)]), Err(Unfit::Value(0, "x".into())));
    }
    let many = Content::Many(vec![Vec::new(); MAX_STATEMENTS]);
    assert_eq!(check(vec![section("a", None, "x", many)]), Err(Unfit::Statements));
    assert_eq!(check(vec![section("a", None, "x", one(&vec![b'\''; MAX_FILE / 4]))]), Err(Unfit::Size));
    assert_eq!(check(vec![section("a", None, "x", one(b"1")); MAX_SECTIONS + 1]), Err(Unfit::Sections));
}
