use super::*;

#[track_caller]
fn reads(yaml: &str, json: &str) {
    let value = read(yaml).unwrap_or_else(|e| panic!("{yaml:?}: {e}"));
    assert_eq!(value.to_string(), Value::parse(json).unwrap().to_string(), "{yaml:?}");
    assert_eq!(read(&yaml.replace('\n', "\r\n")).as_ref(), Ok(&value), "with CRLF: {yaml:?}");
    assert_eq!(read(&write(&value)).as_ref(), Ok(&value), "written: {}", write(&value));
}

#[track_caller]
fn refuses(yaml: &str, line: usize, column: usize, word: &str) {
    match read(yaml) {
        Ok(value) => panic!("{yaml:?} was read as {value}"),
        Err(e) => {
            let shown: String = yaml.chars().take(200).collect();
            assert!(e.message.contains(word), "{shown:?}: {e}");
            assert_eq!((e.line, e.column), (line, column), "{shown:?}: {e}");
        }
    }
}

#[test]
fn block_maps_and_lists_nest_by_indentation() {
    reads("a: 1\nb:\n  c: 2\n  d:\n    e: 3\nf: 4\n", r#"{"a":1,"b":{"c":2,"d":{"e":3}},"f":4}"#);
    reads("a:\n- 1\n- 2\nb: 3\n", r#"{"a":[1,2],"b":3}"#);
    reads("a:\n  - 1\n  -\n  - 2\n", r#"{"a":[1,null,2]}"#);
    reads(
        "- a: 1\n  b: 2\n-   c: 3\n    d: 4\n- - 1\n  - - 2\n-\n  e: 5\n",
        r#"[{"a":1,"b":2},{"c":3,"d":4},[1,[2]],{"e":5}]"#,
    );
    reads("a:\nb:\n\n  # so\nc: # x\n  d:\n", r#"{"a":null,"b":null,"c":{"d":null}}"#);
    reads("- a:\n  - 1\n  b:\n  - 2\n", r#"[{"a":[1],"b":[2]}]"#);
    reads(
        "\"a b\" : 1\n'c''d': 2\n1: x\ntrue: y\n\"null\": z\nhttp://x: {}\n",
        r#"{"a b":1,"c'd":2,"1":"x","true":"y","null":"z","http://x":{}}"#,
    );
}

#[test]
fn flow_maps_and_lists_read_as_json_does_and_more() {
    reads(r#"{"a":1,"b":[true,null,"x"],"c":{}}"#, r#"{"a":1,"b":[true,null,"x"],"c":{}}"#);
    reads("a: {b: 1, c, d: , 'e':2,}\n", r#"{"a":{"b":1,"c":null,"d":null,"e":2}}"#);
    reads("[a, b c, [d], e: 1, 'f': {g: [h]}, ]", r#"["a","b c",["d"],{"e":1},{"f":{"g":["h"]}}]"#);
    reads(
        "a: [\n  1, # one\n  two\n   three\n]\nb: {\n\t\"c\": 1\n}\n",
        r#"{"a":[1,"two three"],"b":{"c":1}}"#,
    );
    reads("{a:1, http://x: -1, b: c:d}", r#"{"a:1":null,"http://x":-1,"b":"c:d"}"#);
    reads("{\n\t\"a\": [\n\t\t1\n\t]\n}\n", r#"{"a":[1]}"#);
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    reads(
        "[~, null, Null, NULL, true, True, FALSE, yes, on, n]",
        r#"[null,null,null,null,true,true,false,"yes","on","n"]"#,
    );
    reads(
        "[0, -0, +12, 010, 0o17, 0xFf, 18446744073709551615, -9223372036854775808]",
        "[0,0,12,10,15,255,18446744073709551615,-9223372036854775808]",
    );
    reads("[1.5, .5, 1., -2e3, 1E-2, +.5e+1]", "[1.5,0.5,1.0,-2000.0,0.01,5.0]");
    reads(
        "[1.2.3, 12:30, 0x, 0o8, 1e, e5, ., +, -x, 1_000, 0b1, '1', \"true\", -0x1, inf, nan, 1 2]",
        r#"["1.2.3","12:30","0x","0o8","1e","e5",".","+","-x","1_000","0b1","1","true","-0x1","inf","nan","1 2"]"#,
    );
    reads(
        "a: b#c d # e\nf: g:h\ni: a, b [c] {d}\nj: -1x\nk: ?x :y\n",
        r#"{"a":"b#c d","f":"g:h","i":"a, b [c] {d}","j":"-1x","k":"?x :y"}"#,
    );
    reads("é: ü😀\n", r#"{"é":"ü😀"}"#);
}

#[test]
fn texts_fold_over_lines() {
    reads("a\n b\n\n c\n\n\nd", r#""a b\nc\n\nd""#);
    reads("a: b\n  c\n  - d\ne: 1\n", r#"{"a":"b c - d","e":1}"#);
    reads("'a  \n  b\n\n  c'", r#""a b\nc""#);
    reads("\"a\\t \n  b\\\n  \\ c\\\n\n  d\"", r#""a\t b c\nd""#);
    reads("'it''s \"x\" \\n'", r#""it's \"x\" \\n""#);
    reads("- 'a\n  b'\n- \"c\n\n  d\"\n", r#"["a b","c\nd"]"#);
}

#[test]
fn every_escape_of_double_quotes_is_read() {
    reads(
        r#""\0\a\b\t\n\v\f\r\e\ \"\/\\\N\_\L\P\x41\u00e9\U0001F600\ud83d\ude00""#,
        r#""\u0000\u0007\b\t\n\u000b\f\r\u001b \"/\\\u0085\u00a0\u2028\u2029Aé😀😀""#,
    );
}

#[test]
fn literal_and_folded_texts_keep_and_chomp_as_told() {
    reads("a: |\n  x\n   y\n\n  z\n\nb: 1\n", r#"{"a":"x\n y\n\nz\n","b":1}"#);
    reads("a: |-\n  x\n\nb: |+\n  y\n\nc: >\n  z\n", r#"{"a":"x","b":"y\n\n","c":"z\n"}"#);
    reads("- |2-\n   x\n  y\n- |+1 # so\n  z\n", r#"[" x\ny"," z\n"]"#);
    reads(">\n a\n b\n\n c\n   d\n e\n\n\n f\n", r#""a b\nc\n  d\ne\n\nf\n""#);
    reads("|\n\n  # not a comment\n  --- x\n", r##""\n# not a comment\n--- x\n""##);
    reads("a: |\nb: |+\n\n\nc: >-\n", r#"{"a":"","b":"\n\n","c":""}"#);
    reads("a:\n- |\n x\n- y\n", r#"{"a":["x\n","y"]}"#);
    reads("a: |\n  x\n # a comment\n# and one\nb: 1\n", r#"{"a":"x\n","b":1}"#);
    reads("|\n  x", r#""x""#);
    reads("|+\n  x\n  ", r#""x\n""#);
}

#[test]
fn one_document_may_be_marked() {
    reads("---\na: 1\n...\n", r#"{"a":1}"#);
    reads("%YAML 1.2 # so\n--- # so\n- 1\n---\n", "[1]");
    reads("\u{feff}# hello\n--- text\n", r#""text""#);
    reads("--- |\n  x\n...\n# end\n", r#""x\n""#);
    reads("---\n", "null");
    reads("--- {a: 1}", r#"{"a":1}"#);
    reads("---x: 1", r#"{"---x":1}"#);
}

#[test]
fn what_has_no_meaning_here_is_refused_by_name_and_place() {
    refuses("", 1, 1, "no value");
    refuses("# only\n\n", 3, 1, "no value");
    refuses("a: 1\n---\nb: 2\n", 3, 1, "second document");
    refuses("a\n...\nb", 3, 1, "second document");
    refuses("a: 1\nb: &x 2\n", 2, 4, "anchor");
    refuses("[*x]", 1, 2, "alias");
    refuses("a: !!str 2\n", 1, 4, "tag");
    refuses("<<: {a: 1}\n", 1, 1, "merge key");
    refuses("? a\n: b\n", 1, 1, "complex key");
    refuses("a: {? b: c}\n", 1, 5, "complex key");
    refuses("[a]: 1\n", 1, 1, "complex key");
    refuses("{[a]: 1}\n", 1, 2, "complex key");
    refuses("%YAML 1.1\n---\na", 1, 1, "directive %YAML");
    refuses("%TAG ! x:\n---\na", 1, 1, "directive %TAG");
    refuses("%YAML 1.2\na", 2, 1, "---");
    refuses("null: 1\n", 1, 1, "null key");
    refuses("~: 1\n", 1, 1, "null key");
    refuses(": 1\n", 1, 1, "null key");
    refuses("[: 1]", 1, 2, "null key");
    refuses("a: 1\nb: 2\n'a': 3\n", 3, 1, "\"a\" occurs twice");
    refuses("{a: 1, \"a\": 2}", 1, 8, "\"a\" occurs twice");
    refuses("a: .inf", 1, 4, "finite");
    refuses("- -.INF", 1, 3, "finite");
    refuses("[.nan]", 1, 2, "finite");
    refuses("a: 18446744073709551616", 1, 4, "2^64");
    refuses("a: -9223372036854775809", 1, 4, "2^63");
    refuses("a: 0x10000000000000000", 1, 4, "2^64");
    refuses("a: 1e999", 1, 4, "range");
    refuses("a: \u{1}", 1, 4, "control character");
    refuses("a: @x", 1, 4, "reserved");
    refuses("a: %x", 1, 4, "%");
}

#[test]
fn what_is_not_yaml_is_refused_where_it_goes_wrong() {
    refuses("a:\n\tb: 1\n", 2, 1, "tab");
    refuses("a: 1\n  b: 2\n", 2, 3, "indentation");
    refuses("a:\n  b: 1\n c: 2\n", 3, 2, "indented further");
    refuses("a:\n  - 1\n - 2\n", 3, 2, "indented further");
    refuses("- 1\na: 2\n", 2, 1, "belongs to nothing");
    refuses("a: 1\n- 2\n", 2, 1, "key expected");
    refuses("a: 1\nb\n", 2, 1, "\":\" expected");
    refuses("a: b: c\n", 1, 4, "map can't begin here");
    refuses("--- a: b\n", 1, 5, "map can't begin here");
    refuses("a: - b\n", 1, 4, "list can't begin here");
    refuses("-\t- a\n", 1, 3, "list can't begin here");
    refuses("a: 'b' c\n", 1, 8, "goes on");
    refuses("a: [b] c\n", 1, 8, "goes on");
    refuses("a: 'b\nc'\n", 2, 1, "indented further");
    refuses("a: 'b\n", 1, 4, "doesn't end");
    refuses("a: \"b\n---\n", 1, 4, "doesn't end");
    refuses("a: [b\n---\n", 1, 4, "isn't closed");
    refuses("{a: 1", 1, 1, "isn't closed");
    refuses("[a b, {]", 1, 8, "expected");
    refuses("[a, , b]", 1, 5, "value expected");
    refuses("[a}", 1, 3, "expected");
    refuses("['a' b]", 1, 6, "expected");
    refuses("[a\n: b]", 1, 2, "one line");
    refuses("'a\n b': 1\n", 1, 1, "one line");
    refuses("a: \"\\q\"", 1, 5, "escape");
    refuses("a: \"\\ud800\"", 1, 5, "character");
    refuses("a: \"\\x4\"", 1, 5, "hex digits");
    refuses("a: |x\n  y\n", 1, 5, "after \"|\"");
    refuses("a: |\n    \n  b\n", 2, 1, "more spaces");
    refuses("a: |\n   b\n  c\n", 3, 3, "indented further");
    refuses("a: #b\n  'c'\n d\n", 3, 2, "indented further");
    refuses("é: 'b' c", 1, 8, "goes on");
}

#[test]
fn depth_and_length_are_bounded() {
    let flow = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert_eq!(read(&flow(MAX_DEPTH)).unwrap().depth(), MAX_DEPTH);
    refuses(&flow(MAX_DEPTH + 1), 1, MAX_DEPTH + 1, "deeper");
    refuses(&"[".repeat(100_000), 1, MAX_DEPTH + 1, "deeper");
    refuses(&"{a: ".repeat(100_000), 1, 4 * MAX_DEPTH + 1, "deeper");
    refuses(&"- ".repeat(100_000), 1, 2 * MAX_DEPTH + 1, "deeper");
    let block: String = (0..5_000).map(|n| " ".repeat(n % 200) + "a:\n").collect();
    refuses(&block, MAX_DEPTH + 1, MAX_DEPTH + 1, "deeper");
    assert!(read(&"x".repeat(MAX_TEXT)).is_ok());
    refuses(&"x".repeat(MAX_TEXT + 1), 1, 1, "longer");
}

#[test]
fn the_longest_texts_of_one_repeated_part_are_read_or_refused_at_once() {
    // A reader that looks back, or ahead, once for each line would take many minutes here.
    let mut read_well = 0;
    for part in [
        "\\ \n",
        "a\n",
        "\n",
        "\\\n",
        "- |\n",
        "- a:\n",
        "- \n",
        "#\n",
        "? ",
        "[],",
        "''",
        "- 'a\n  b'\n",
        ">\n",
        "  \n",
    ] {
        for start in ["\"", "'", "", "|\n ", "[", "a: b\n", "a: |2\n"] {
            let text: String = start.to_owned() + &part.repeat((MAX_TEXT - 16) / part.len());
            match read(&text) {
                Ok(_) => read_well += 1,
                Err(error) => assert!(error.line <= text.lines().count() + 1, "{start:?} {part:?}: {error}"),
            }
        }
    }
    assert!(read_well > 10, "{read_well}");
}

#[test]
fn quotes_stand_only_where_they_are_needed() {
    let value = Value::parse(
        r##"{"a":["on","010","12:30:45","2024-01-01","192.168.1.1","00:1a:2b:3c:4d:5e","a b","-x","- x","#c","a #b","a: b","a:",
            "","null"," x","1e3","1.0","é","\t","<<","0x_f"],"b c":"x\ny\n","d: e":1e300,"null":null,"f":[[],{},[1,[2]],{"g":1}]}"##,
    );
    assert_eq!(
        write(&value.unwrap()),
        r##"a:
  - "on"
  - "010"
  - "12:30:45"
  - "2024-01-01"
  - 192.168.1.1
  - 00:1a:2b:3c:4d:5e
  - a b
  - -x
  - "- x"
  - "#c"
  - "a #b"
  - "a: b"
  - "a:"
  - ""
  - "null"
  - " x"
  - "1e3"
  - "1.0"
  - é
  - "\t"
  - "<<"
  - "0x_f"
b c: |
  x
  y
"d: e": 1.0e+300
f:
  - []
  - {}
  - - 1
    - - 2
  - g: 1
"null": null
"##
    );
}

/// A small generator of numbers, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 58] = [
            "true", "~", "null", "1e3", "0x1", "", " ", "  ", "\n", "\n\n", ": ", ":", "-", "- ", "#", " #",
            "\t", "\r", "\0", "\u{1b}", "\u{7f}", "\u{85}", "\u{2028}", "\u{feff}", "\u{ffff}", "é", "😀",
            "'", "\"", "\\", "\\n", "---", "...", "|", ">", "&a", "*a", "!t", "%", "@", "`", "?", "? ", "[",
            "]", "{", "}", ",", "=", "<<", "a", "b c", ".5", "1", "\n ", " \n", "+", "_",
        ];
        (0..self.roll(5)).map(|_| PARTS[self.roll(PARTS.len())]).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.roll(if depth == 0 { 6 } else { 10 }) {
            0 => Value::Null,
            1 => Value::Bool(self.roll(2) == 0),
            2 => Value::from(self.0 as i64 >> self.roll(60)),
            3 => Value::from(self.0 | 1 << 63),
            4 => crate::value::Finite::new(f64::from_bits(self.0)).map_or(Value::Null, Value::Float),
            5 => Value::from(self.text()),
            6 | 7 => {
                Value::list((0..self.roll(4)).map(|_| self.value(depth - 1)).collect::<Vec<_>>()).unwrap()
            }
            _ => {
                let members: std::collections::BTreeMap<_, _> =
                    (0..self.roll(4)).map(|_| (self.text().into(), self.value(depth - 1))).collect();
                Value::object(members.into_iter().collect()).unwrap()
            }
        }
    }
}

#[test]
fn what_is_written_reads_back_equal() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut nested = 0;
    for _ in 0..30_000 {
        let value = dice.value(5);
        nested += usize::from(value.depth() > 2);
        let yaml = write(&value);
        match read(&yaml) {
            Ok(back) => assert_eq!(back, value, "{yaml}"),
            Err(error) => panic!("{error}\n{yaml}"),
        }
    }
    assert!(nested > 1_000, "{nested}");
}

#[test]
fn no_text_makes_the_reader_panic_and_json_reads_as_json() {
    let mut dice = Dice(42);
    for _ in 0..30_000 {
        let text: String =
            (0..dice.roll(8)).map(|_| dice.text() + ["\n", " ", "\n  ", ""][dice.roll(4)]).collect();
        if let Ok(value) = read(&text) {
            assert_eq!(read(&write(&value)), Ok(value), "{text:?}");
        }
        let value = dice.value(4);
        let (short, long) = (value.to_string(), value.to_pretty());
        // JSON may hold what YAML doesn't print, unescaped.
        assert_eq!(read(&short).as_ref(), Ok(&value), "{short:?}");
        assert_eq!(read(&long).as_ref(), Ok(&value), "{long:?}");
    }
}

#[test]
fn real_configurations_read_back_equal() {
    let Some(shared) = std::env::var_os("TEGA_SHARED") else {
        println!("passed over: TEGA_SHARED isn't set");
        return;
    };
    let folder = std::path::Path::new(&shared).join("data/routers");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let value = Value::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let yaml = write(&value);
            assert_eq!(read(&yaml).as_ref(), Ok(&value), "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 0);
}
