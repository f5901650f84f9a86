//! What a file is in the tree, and what a value is in a file.

use super::*;
use crate::openwrt::secret::Secrets;
use crate::openwrt::uci::tests::{files, shared};

fn file(text: &str) -> File {
    File::parse(text.as_bytes()).unwrap()
}

fn json(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn written(old: Option<&File>, value: &str) -> String {
    match render(old, &json(value)).unwrap() {
        Rendered::Write(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn a_file_reads_as_ubus_would_answer() {
    let text = "config a 'n'\n\toption x 1\n\tlist y ''\nconfig rule\nconfig a\n\tlist z 1\n\tlist z 2\nconfig rule\n";
    let value = read(&file(text)).unwrap();
    let expected = r#"{
        "n": {".type": "a", ".index": 0, "x": "1", "y": [""]},
        "@rule[0]": {".type": "rule", ".index": 1, ".anonymous": true},
        "@a[1]": {".type": "a", ".index": 2, ".anonymous": true, "z": ["1", "2"]},
        "@rule[1]": {".type": "rule", ".index": 3, ".anonymous": true}
    }"#;
    assert_eq!(value, json(expected));
    assert_eq!(read(&file("# nothing\n")).unwrap(), json(r#"{".package":true}"#));
}

#[test]
fn a_value_becomes_a_file_where_there_is_none() {
    let value = r#"{"b": {".type": "x", "n": 36, "t": true, "f": false, "big": 18446744073709551615, "neg": -5,
        "list": ["a", 1, true], "none": "", "q": "it's", "lines": "1\n2"}, "a": {".type": "x"}}"#;
    let text = "\nconfig x 'a'\n\nconfig x 'b'\n\toption big '18446744073709551615'\n\toption f '0'\n\
        \toption lines '1\n2'\n\tlist list 'a'\n\tlist list '1'\n\tlist list '1'\n\toption n '36'\n\
        \toption neg '-5'\n\toption q 'it'\\''s'\n\toption t '1'\n\n";
    assert_eq!(written(None, value), text);
    assert_eq!(written(None, r#"{".package":true}"#), "\n");
}

#[test]
fn packages_are_emptied_and_removed_only_when_told_so() {
    let old = file("# mine\nconfig a n\n");
    let render = |old: Option<&File>, value: &str| render(old, &json(value)).unwrap();
    assert_eq!(render(Some(&old), r#"{".delete":true}"#), Rendered::Remove);
    assert_eq!(render(None, r#"{".delete":true}"#), Rendered::Same);
    assert_eq!(render(Some(&old), r#"{".package":true}"#), Rendered::Write(b"".to_vec()));
    assert_eq!(render(Some(&file("# x\n")), r#"{".package":true}"#), Rendered::Same);
    let both = r#"{".package":true,"n":{".type":"a"}}"#;
    assert_eq!(render(Some(&old), both), Rendered::Same);
}

#[test]
fn sections_stand_by_index_then_by_key() {
    let value = r#"{"z": {".type": "t", ".index": 1}, "b": {".type": "t", ".index": 7}, "a": {".type": "t"},
        "@r[10]": {".type": "r"}, "@r[9]": {".type": "r", "x": "1"}, "y": {".type": "t", ".index": 1}}"#;
    let text = written(None, value);
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("config")).collect();
    // In the order of bytes, `@` comes first.
    assert_eq!(
        heads,
        ["config t 'y'", "config t 'z'", "config t 'b'", "config r", "config r", "config t 'a'"]
    );
    assert!(text.contains("config r\n\toption x '1'\n\nconfig r\n\n"));
}

#[test]
fn what_ubus_answers_is_taken() {
    let ubus = r#"{"cfg01411c": {".anonymous": true, ".type": "dnsmasq", ".name": "cfg01411c", ".index": 0, "a": "1"},
        "lan": {".anonymous": false, ".type": "dhcp", ".name": "lan", ".index": 1}}"#;
    assert_eq!(written(None, ubus), "\nconfig dnsmasq\n\toption a '1'\n\nconfig dhcp 'lan'\n\n");
    let ours = r#"{"@dnsmasq[0]":{".anonymous":true,".index":0,".type":"dnsmasq","a":"1"},"lan":{".index":1,".type":"dhcp"}}"#;
    assert_eq!(normal(&json(ubus)).unwrap().to_string(), ours);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_path() {
    for (value, said) in [
        ("1", "an integer, where an object is wanted"),
        (
            "{}",
            "an empty object says nothing: {\".package\":true} is an empty package, {\".delete\":true} removes its file",
        ),
        (r#"{".package":false}"#, "[\".package\"]: can only be true; delete it instead"),
        (r#"{".delete":1}"#, "[\".delete\"]: can only be true; delete it instead"),
        (
            r#"{".delete":true,"a":{".type":"b"}}"#,
            ".delete stands beside sections; put {\".delete\":true} as the whole package",
        ),
        (r#"{".x":true}"#, "[\".x\"]: unknown;"),
        (r#"{"a":1}"#, "a: an integer, where an object is wanted"),
        (r#"{"a":{}}"#, "a: a section needs its .type"),
        (r#"{"a":{".type":"b c"}}"#, "a[\".type\"]: a type is text"),
        (r#"{"a":{".type":1}}"#, "a[\".type\"]: a type is text"),
        (r#"{"a-b":{".type":"b"}}"#, "a-b: a section's name is letters"),
        (r#"{"@b":{".type":"b"}}"#, "@b: a section's name is letters"),
        (r#"{"@b[x]":{".type":"b"}}"#, "[\"@b[x]\"]: a section's name is letters"),
        (r#"{"@b[0]":{".type":"c"}}"#, "@b[0]: .type is another than the key says"),
        (r#"{"@b[0]":{".type":"b",".anonymous":false}}"#, "@b[0]: .anonymous contradicts"),
        (r#"{"lan":{".type":"b",".anonymous":true}}"#, "lan: .anonymous contradicts"),
        (r#"{"lan":{".type":"b",".anonymous":1}}"#, "lan[\".anonymous\"]: .anonymous contradicts"),
        (r#"{"lan":{".type":"b",".name":"wan"}}"#, "lan[\".name\"]: .name is another than the key"),
        (r#"{"lan":{".type":"b",".index":-1}}"#, "lan[\".index\"]: an index is an integer from 0"),
        (r#"{"lan":{".type":"b",".index":"1"}}"#, "lan[\".index\"]: an index is an integer from 0"),
        (r#"{"lan":{".type":"b",".x":"1"}}"#, "lan[\".x\"]: unknown;"),
        (r#"{"lan":{".type":"b","x-y":"1"}}"#, "lan.x-y: an option's name is letters"),
        (r#"{"lan":{".type":"b","x":null}}"#, "lan.x: UCI can't hold null"),
        (r#"{"lan":{".type":"b","x":1.5}}"#, "lan.x: UCI can't hold a float"),
        (r#"{"lan":{".type":"b","x":{}}}"#, "lan.x: UCI can't hold an object"),
        (r#"{"lan":{".type":"b","x":[]}}"#, "lan.x: UCI can't hold an empty list; delete the option instead"),
        (r#"{"lan":{".type":"b","x":[["a"]]}}"#, "lan.x: UCI can't hold a list"),
        (r#"{"lan":{".type":"b","x":["a",null]}}"#, "lan.x: UCI can't hold null"),
        (
            "{\"lan\":{\".type\":\"b\",\"x\":\"a\\u0001\"}}",
            "lan.x: the control character '\\u{1}' can't be set",
        ),
        ("{\"lan\":{\".type\":\"b\",\"x\":\"\\u0000\"}}", "lan.x: the control character '\\0' can't be set"),
        (
            r#"{"@rule[0]":{".type":"rule",".index":0},"cfg0192bd":{".type":"rule",".index":1}}"#,
            "cfg0192bd: to the router this is the same section as one before",
        ),
    ] {
        let error = wanted(&json(value)).unwrap_err().to_string();
        assert!(error.starts_with(said), "{value}: {error}");
        assert_eq!(render(Some(&file("")), &json(value)).unwrap_err().to_string(), error);
    }
    let error = wanted(&json(r#"{"lan":{".type":"b","x":null}}"#)).unwrap_err().below("network");
    assert!(error.to_string().starts_with("network.lan.x: "));
}

#[test]
fn what_the_tree_cannot_hold_is_refused_with_its_line() {
    let error = |text: &[u8]| read(&File::parse(text).unwrap()).unwrap_err().to_string();
    let latin = b"config a n\n\toption x 1\n\n# c\n\toption y 'caf\xe9'\n";
    assert_eq!(error(latin), "line 5: n.y: the value isn't UTF-8 (byte 3), which the tree can't hold");
    assert!(
        error(b"config a\n\nconfig a _value\n").starts_with("line 3: _value: the tree can't have this: key")
    );
    assert!(
        error(b"config a\noption _oid 1\n").starts_with("line 2: @a[0]._oid: the tree can't have this: key")
    );
    let long = format!("config {}\n", "x".repeat(600));
    assert!(error(long.as_bytes()).contains("longer than 512 bytes"));
}

#[test]
fn a_control_character_may_stay_and_not_come() {
    let old = file("config a n\n\toption x 'a\u{1}b'\n\toption y 1 # c\n");
    let mut value = read(&old).unwrap().to_string();
    assert_eq!(render(Some(&old), &json(&value)), Ok(Rendered::Same));
    value = value.replace("\"1\"", "\"2\"");
    assert_eq!(written(Some(&old), &value), "config a n\n\toption x 'a\u{1}b'\n\toption y 2 # c\n");
    assert!(render(None, &json(&value)).is_err());
    assert!(render(Some(&old), &json(&value.replace("\\u0001", "\\u0002"))).is_err());
}

#[test]
fn real_files_become_values_and_come_back_as_they_were() {
    let mut seen = 0;
    for path in files() {
        let Ok(old) = File::parse(&std::fs::read(&path).unwrap()) else { continue };
        let name = path.display();
        let value = read(&old).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(render(Some(&old), &value), Ok(Rendered::Same), "{name}");
        assert_eq!(normal(&value).as_ref(), Ok(&value), "{name}");
        let control = |o: &crate::openwrt::uci::Opt| {
            o.content.values().iter().flatten().any(|b| *b < 32 && !b"\t\n\r".contains(b))
        };
        if old.package().sections.iter().flat_map(|s| &s.options).any(control) {
            continue;
        }
        let Ok(Rendered::Write(bytes)) = render(None, &value) else { panic!("{name}") };
        assert_eq!(read(&File::parse(&bytes).unwrap()), Ok(value), "{name}");
        seen += 1;
    }
    assert!(seen == 0 || seen > 240, "{seen}");
}

#[test]
fn real_routers_become_files_and_come_back_as_they_were() {
    let Some(dir) = shared("routers") else { return };
    let mut packages = 0;
    for path in std::fs::read_dir(dir).unwrap() {
        let path = path.unwrap().path();
        let router = json(&std::fs::read_to_string(&path).unwrap());
        for (package, value) in router.as_object().unwrap().members() {
            let Ok(Rendered::Write(bytes)) = render(None, value) else { panic!("{package}") };
            let file = File::parse(&bytes).unwrap();
            assert_eq!(read(&file).as_ref(), Ok(value), "{package} of {}", path.display());
            assert_eq!(render(Some(&file), value), Ok(Rendered::Same));
            packages += 1;
        }
    }
    assert!(packages > 101, "{packages}");
}

#[test]
fn changes_are_told_by_section_and_secrets_are_not() {
    let tell = |before: Option<&str>, after: Option<&str>| -> Vec<String> {
        let value = |text: Option<&str>| text.map(|text| read(&file(text)).unwrap());
        let changes = changes(value(before).as_ref(), value(after).as_ref()).unwrap();
        changes.iter().map(|change| change.line("p", &Secrets::default())).collect()
    };
    let old = "config r\n\toption name a\n\toption x 1\nconfig r\n\toption name b\nconfig s n\n\toption key k\n\tlist l 1\n";
    assert!(tell(Some(old), Some(old)).is_empty());
    // The second rule is the first now, and that's no change of it.
    let new = "config r\n\toption name b\n\toption y 'l1\n\tl2'\nconfig t n\n\toption key z\n\tlist l 1\n\tlist l 2\nconfig u\n\tlist psk a\n";
    let lines = [
        "+ p.@r[0].y='l1\\n\\tl2'",
        "p.n: type s → t",
        "p.n.key: *** → ***",
        "p.n.l: '1' → '1' '2'",
        "+ p.@u[0]=u",
        "+ p.@u[0].psk=***",
        "- p.@r[0]=r",
    ];
    assert_eq!(tell(Some(old), Some(new)), lines);
    assert_eq!(tell(None, Some("config a n\n\toption x 1\n")), ["+ p.n=a", "+ p.n.x='1'"]);
    assert_eq!(tell(Some("config a n\n\toption x 1\n"), None), ["- p.n=a"]);
    assert_eq!(tell(Some("c a x\nc a y\nc a z\n"), Some("c a z\nc a x\nc a y\n")), ["p.z: moved"]);
    assert_eq!(tell(Some("c a x\no o 1\n"), Some("c a x\n")), ["- p.x.o='1'"]);
}

#[test]
fn a_change_is_one_line_of_a_bearable_length() {
    let value = |text: &str| read(&file(&format!("config a n\n\toption x '{text}'\n"))).unwrap();
    let changes = changes(Some(&value("a\u{1b}[31m")), Some(&value(&"b".repeat(5000)))).unwrap();
    let line = changes[0].line("p", &Secrets::default());
    assert!(line.starts_with("p.n.x: 'a\\u{1b}[31m' → 'bbb") && line.ends_with("b…"), "{line}");
    assert!(line.len() < 400);
}
