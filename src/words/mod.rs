//! # Values as people type them
//!
//! How values, `PATH=JSON` lines and operations are written where a person writes them: on a command line, in a browser's
//! prompt. A word that looks like JSON must be JSON, and everything else becomes what it looks like ([`value`]);
//! [`short`] is the way back. Times, the entries of a history and links ([`links`]) are told here too, since the command line
//! and the browser tell of them alike. Nothing here knows a terminal or a server.

pub mod links;
mod past;
pub mod plugins;

pub use past::{time, what};

use crate::path::{Key, Path};
use crate::value::{Value, write_string};

/// The value that a word of the command line stands for: JSON where it begins with `{`, `[` or `"`, else a number,
/// `true`, `false` or `null`, else text.
pub fn value(word: &str) -> Result<Value, String> {
    if word.starts_with(['{', '[', '"']) {
        return json(word);
    }
    let scalar = matches!(word, "true" | "false" | "null")
        || word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match scalar.then(|| Value::parse(word)) {
        Some(Ok(value)) => Ok(value),
        // An integer that JSON allows and tega doesn't must not turn into text behind the user's back.
        Some(Err(error)) if integer(word) => Err(format!("{error}; --string makes it text")),
        _ => Ok(Value::from(word)),
    }
}

fn integer(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A JSON text as a value.
pub fn json(text: &str) -> Result<Value, String> {
    Value::parse(text).map_err(|error| format!("bad JSON: {error}"))
}

/// A text in lines of at most so many characters, broken between words; a longer word has a line of its own.
pub fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_string()),
        }
    }
    lines
}

/// Splits a `PATH=JSON` line. `None`: no `=` outside of a `["…"]`.
pub fn split_flat(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if quoted => quoted = false,
            '"' if before == '[' => quoted = true,
            '=' if !quoted => return Some((line.get(..at)?, line.get(at + 1..)?)),
            _ => {}
        }
        before = c;
    }
    None
}

/// The `PATH=JSON` lines of a value: one for each leaf and each empty container.
pub fn flat(path: &Path, value: &Value, out: &mut String) {
    each_leaf(path, value, &mut |keys, leaf| {
        // Writing to a String can't fail.
        let _ = crate::path::write_keys(keys, out);
        out.push('=');
        let _ = leaf.write(out);
        out.push('\n');
    });
}

/// Tells each leaf and each empty container of a value that stands at a path, in order.
pub fn each_leaf(path: &Path, value: &Value, tell: &mut impl FnMut(&[Key], &Value)) {
    let mut keys = path.keys().to_vec();
    each_below(&mut keys, value, tell);
}

/// The depth of a value is bounded by `MAX_DEPTH`, and so is this recursion.
fn each_below(keys: &mut Vec<Key>, value: &Value, tell: &mut impl FnMut(&[Key], &Value)) {
    match value.as_object() {
        Some(object) if !object.members().is_empty() || keys.is_empty() => {
            for (key, below) in object.members() {
                keys.push(key.clone());
                each_below(keys, below, tell);
                keys.pop();
            }
        }
        _ => tell(keys, value),
    }
}

/// One line of `tega tx` as an operation of a COMMIT; `None` for a line that says nothing.
pub fn operation(line: &str) -> Result<Option<Value>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.starts_with('{') {
        let op = json(line)?;
        let whole = op.get("put").is_some() && op.get("value").is_some() || op.get("delete").is_some();
        return if whole {
            Ok(Some(op))
        } else {
            Err("an operation is {\"put\":PATH,\"value\":…} or {\"delete\":PATH}".into())
        };
    }
    let (version, line) = condition(line)?;
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    match word {
        "put" => {
            let (path, value_text) = split_path(rest);
            if value_text.is_empty() {
                return Err("put PATH VALUE wanted".into());
            }
            put(path, value(value_text)?, version).map(Some)
        }
        "del" | "delete" => {
            let (path, extra) = split_path(rest);
            if path.is_empty() || !extra.is_empty() {
                return Err("del PATH wanted".into());
            }
            op([("delete", checked(path)?)], version).map(Some)
        }
        _ => match split_flat(line) {
            Some((path, text)) => put(path.trim_end(), json(text)?, version).map(Some),
            None => Err(format!("{word:?}: put, del, if-version, PATH=JSON or a JSON operation wanted")),
        },
    }
}

fn condition(line: &str) -> Result<(Option<i64>, &str), String> {
    let Some(rest) = line.strip_prefix("if-version").filter(|rest| rest.starts_with(char::is_whitespace))
    else {
        return Ok((None, line));
    };
    let (number, rest) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let version = number.parse().map_err(|_| format!("if-version {number}: a number wanted"))?;
    Ok((Some(version), rest.trim_start()))
}

/// A path, which may hold spaces inside of `["…"]`, and what follows it.
fn split_path(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if quoted => quoted = false,
            '"' if before == '[' => quoted = true,
            c if c.is_whitespace() && !quoted => {
                return (text.get(..at).unwrap_or(""), text.get(at..).unwrap_or("").trim());
            }
            _ => {}
        }
        before = c;
    }
    (text, "")
}

fn checked(path: &str) -> Result<Value, String> {
    let path = Path::parse(path).map_err(|error| error.to_string())?;
    path.check_root().map_err(|error| error.to_string())?;
    Ok(Value::from(path.to_string()))
}

fn put(path: &str, value: Value, version: Option<i64>) -> Result<Value, String> {
    op([("put", checked(path)?), ("value", value)], version)
}

fn op<const N: usize>(members: [(&str, Value); N], version: Option<i64>) -> Result<Value, String> {
    let mut all: Vec<(Key, Value)> = members.into_iter().map(|(key, value)| (key.into(), value)).collect();
    all.extend(version.map(|version| ("version".into(), Value::from(version))));
    Value::object(all).map_err(|error| error.to_string())
}

/// Splits a line into words where there's no shell to do it. Spaces end a word, but not in `'…'` and `"…"`, which may also
/// be a part of one, nor between the brackets of JSON and of `["a key"]`, which are kept as they stand.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quote, mut depth, mut escaped) = (None, 0_usize, false);
    for c in line.chars() {
        match (quote, c) {
            _ if escaped => {
                escaped = false;
                word.get_or_insert_default().push(c);
            }
            // What is between brackets is JSON: quotes and escapes are a part of it.
            (Some('"'), '\\') if depth > 0 => {
                escaped = true;
                word.get_or_insert_default().push(c);
            }
            (Some('"') | None, '\\') if depth == 0 => escaped = true,
            (Some(open), c) if c == open => {
                quote = None;
                if depth > 0 {
                    word.get_or_insert_default().push(c);
                }
            }
            (None, '"') => {
                quote = Some(c);
                let word = word.get_or_insert_default();
                if depth > 0 {
                    word.push(c);
                }
            }
            (None, '\'') if depth == 0 => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() && depth == 0 => words.extend(word.take()),
            (None, '[' | '{') => {
                depth += 1;
                word.get_or_insert_default().push(c);
            }
            (None, ']' | '}') => {
                depth = depth.saturating_sub(1);
                word.get_or_insert_default().push(c);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() || depth > 0 || escaped {
        return Err("a quote or a bracket isn't closed".into());
    }
    words.extend(word);
    Ok(words)
}

/// The arguments of `tega rpc` as the body of a call: `NAME=VALUE` goes by name, all else by place.
pub fn arguments(words: &[String]) -> Result<Value, String> {
    let mut args = Vec::new();
    let mut kwargs: Vec<(Key, Value)> = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, text)) if identifier(name) => kwargs.push((name.into(), value(text)?)),
            _ => args.push(value(word)?),
        }
    }
    call_body(args, kwargs)
}

/// `{"args":[…],"kwargs":{…}}`
pub fn call_body(args: Vec<Value>, kwargs: Vec<(Key, Value)>) -> Result<Value, String> {
    let said = |error: crate::value::ValueError| error.to_string();
    let args = Value::list(args).map_err(said)?;
    let kwargs = Value::object(kwargs).map_err(said)?;
    Value::object(vec![("args".into(), args), ("kwargs".into(), kwargs)]).map_err(said)
}

/// Whether a word can name an argument.
pub fn identifier(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// A value for the end of a line: text in quotes only where it could be taken for something else.
pub fn short(value_: &Value) -> String {
    match value_.as_str() {
        Some(text) if !text.chars().any(char::is_control) && value(text).as_ref() == Ok(value_) => {
            text.to_string()
        }
        Some(text) => {
            let mut out = String::new();
            let _ = write_string(text, &mut out);
            out
        }
        None => value_.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(broken("a bc  d", 4), ["a bc", "d"]);
        assert_eq!(broken("longer than that", 4), ["longer", "than", "that"]);
        assert_eq!(broken("", 4), [""]);
    }

    #[test]
    fn a_word_is_json_a_scalar_or_text() {
        for (word, json) in [
            ("1", "1"),
            ("-5", "-5"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("true", "true"),
            ("null", "null"),
            ("True", "\"True\""),
            ("192.168.1.1", "\"192.168.1.1\""),
            ("007", "\"007\""),
            ("-", "\"-\""),
            ("1 2", "\"1 2\""),
            ("", "\"\""),
            ("\"1\"", "\"1\""),
            ("[1,2]", "[1,2]"),
            ("{\"a\":{}}", "{\"a\":{}}"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(value(word).map(|v| v.to_string()).as_deref(), Ok(json), "{word}");
        }
    }

    #[test]
    fn what_looks_like_json_must_be_json() {
        for word in ["{a:1}", "[1", "\"x", "{\"a\":1,\"a\":2}"] {
            assert!(value(word).unwrap_err().starts_with("bad JSON: line 1"), "{word}");
        }
        assert!(value("18446744073709551616").unwrap_err().contains("--string"));
    }

    #[test]
    fn flat_lines_can_be_fed_back() {
        let tree = json(r#"{"a":{"x.y":1,"b=c":{"[\"":"="},"empty":{},"list":[{"k":1}]},"n":null}"#).unwrap();
        let mut out = String::new();
        flat(&Path::parse("r").unwrap(), &tree, &mut out);
        assert_eq!(
            out,
            "r.a[\"b=c\"][\"[\\\"\"]=\"=\"\nr.a.empty={}\nr.a.list=[{\"k\":1}]\nr.a[\"x.y\"]=1\nr.n=null\n"
        );
        for line in out.lines() {
            let (path, text) = split_flat(line).unwrap();
            let mut again = String::new();
            flat(&Path::parse(path).unwrap(), &json(text).unwrap(), &mut again);
            assert_eq!(again.trim_end(), line);
        }
    }

    #[test]
    fn operations_are_read_line_by_line() {
        for (line, op) in [
            ("put a.b 1", r#"{"put":"a.b","value":1}"#),
            ("  put /a/b.c   two words ", r#"{"put":"a[\"b.c\"]","value":"two words"}"#),
            (r#"put a["x y"].c {"k": 1}"#, r#"{"put":"a[\"x y\"].c","value":{"k":1}}"#),
            ("del a.b", r#"{"delete":"a.b"}"#),
            ("if-version 3 put a.b true", r#"{"put":"a.b","value":true,"version":3}"#),
            ("if-version -1 del a", r#"{"delete":"a","version":-1}"#),
            (r#"a["x=y"]="=""#, r#"{"put":"a[\"x=y\"]","value":"="}"#),
            (r#"{"put":"a.b","value":[1]}"#, r#"{"put":"a.b","value":[1]}"#),
        ] {
            assert_eq!(operation(line).unwrap().unwrap().to_string(), op, "{line}");
        }
        for line in ["", "   ", "# put a 1"] {
            assert_eq!(operation(line), Ok(None));
        }
        for line in [
            "put",
            "put a",
            "del",
            "del a b",
            "frob a 1",
            "if-version x put a 1",
            "if-version 1",
            "a.b=x",
            "{}",
            "put a..b 1",
            "put _x 1",
        ] {
            assert!(operation(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_is_split_as_a_shell_would_but_json_and_paths_need_no_quotes() {
        for (line, words) in [
            ("get lan.ip", &["get", "lan.ip"][..]),
            ("  put a  'x y' ", &["put", "a", "x y"]),
            ("put a \"x \\\" y\" ''", &["put", "a", "x \" y", ""]),
            (
                r#"put a.b {"k": [1, "x ] \" y"]} --id x"#,
                &["put", "a.b", r#"{"k": [1, "x ] \" y"]}"#, "--id", "x"],
            ),
            (r#"get lan.hosts["192.168.1.9"].name"#, &["get", r#"lan.hosts["192.168.1.9"].name"#]),
            (r"put a x\ y", &["put", "a", "x y"]),
            ("", &[]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in ["put a 'x", "put a [1", "put a \"", "x\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    #[test]
    fn arguments_go_by_place_or_by_name() {
        let words: Vec<String> =
            ["1", "x=2", "name=Alice", "a=b=c", "1=2", "{\"a\":1}"].map(String::from).into();
        assert_eq!(
            arguments(&words).unwrap().to_string(),
            r#"{"args":[1,"1=2",{"a":1}],"kwargs":{"a":"b=c","name":"Alice","x":2}}"#
        );
        assert!(arguments(&["x=1".into(), "x=2".into()]).is_err());
    }

    #[test]
    fn a_short_value_reads_back_as_the_same_value() {
        for text in ["\"a b\"", "\"1\"", "\"true\"", "\"{\"", "\"a\\nb\"", "1", "null", "[1]", "\"\""] {
            let value_ = json(text).unwrap();
            assert_eq!(value(&short(&value_)), Ok(value_), "{text}");
        }
    }
}
