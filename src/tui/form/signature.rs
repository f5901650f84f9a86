//! What a function's text says of its arguments, and how a line of words is taken apart.

use crate::words::identifier;

/// `%OWNER.FUNC(a, b=3)`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// Who serves it.
    pub(super) owner: String,
    /// Its name and its arguments, as they stand there.
    pub(super) function: String,
    pub(super) parameters: Vec<Parameter>,
}

/// An argument that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// As it stands there, without the default: it may tell of a type too.
    pub(super) label: String,
    /// By which it may be given; `None`: only by its place.
    pub(super) name: Option<String>,
    /// What it is where nothing is given, as it would be typed.
    pub(super) default: Option<String>,
}

impl Signature {
    /// Reads the text of a function. `None`: it isn't one.
    pub(super) fn parse(text: &str) -> Option<Signature> {
        let (owner, function) = text.strip_prefix('%')?.split_once('.')?;
        let (name, rest) = function.split_once('(').unwrap_or((function, ""));
        if owner.is_empty() || name.is_empty() {
            return None;
        }
        let inside = rest.trim_end().strip_suffix(')').unwrap_or(rest);
        let parameters = parts(inside, |c| c == ',').into_iter().filter_map(|part| Parameter::parse(&part));
        Some(Signature { owner: owner.into(), function: function.into(), parameters: parameters.collect() })
    }
}

impl Parameter {
    /// `None`: it stands for any number of arguments, or for none.
    fn parse(text: &str) -> Option<Parameter> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('*') || text == "..." || text == "/" {
            return None;
        }
        let mut halves = parts(text, |c| c == '=').into_iter();
        let label = halves.next().unwrap_or_default().trim().to_string();
        let default = text.get(label.len()..).and_then(|rest| rest.trim_start().strip_prefix('='));
        let name = label.split([':', ' ', '?']).next().filter(|name| identifier(name)).map(String::from);
        Some(Parameter { label, name, default: default.map(|text| literal(text.trim())) })
    }
}

/// A default as it would be typed here: functions are often written in languages that aren't JSON.
fn literal(text: &str) -> String {
    match text {
        "None" | "nil" | "undefined" => "null".into(),
        "True" => "true".into(),
        "False" => "false".into(),
        "''" => "\"\"".into(),
        _ => match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            Some(inner) => crate::words::short(&crate::value::Value::from(inner)),
            None => text.into(),
        },
    }
}

/// Words of a line: what stands in quotes or brackets is one.
pub(super) fn words(line: &str) -> Vec<String> {
    parts(line, char::is_whitespace).into_iter().filter(|word| !word.is_empty()).collect()
}

/// The parts of a text between separators outside of quotes and brackets.
fn parts(text: &str, separates: impl Fn(char) -> bool) -> Vec<String> {
    let mut out = vec![String::new()];
    let (mut depth, mut quoted, mut escaped, mut before) = (0_u32, false, false, ' ');
    for c in text.chars() {
        let opens_word = before.is_whitespace() || "=,:([{".contains(before);
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if quoted => quoted = false,
            '"' if opens_word => quoted = true,
            '[' | '{' | '(' if !quoted && (depth > 0 || opens_word) => depth += 1,
            ']' | '}' | ')' if !quoted => depth = depth.saturating_sub(1),
            c if depth == 0 && !quoted && separates(c) => {
                out.push(String::new());
                before = c;
                continue;
            }
            _ => {}
        }
        before = c;
        if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_function_names_its_arguments() {
        for (text, named) in [
            ("%r1.f", ""),
            ("%r1.f()", ""),
            ("%r1.f(a, b=3)", "a - b=3"),
            ("%r1.f( host , timeout = 5.5 )", "host - timeout=5.5"),
            ("%r1.f(x=[1, 2], y={\"a\": \"b,c\"})", "x=[1, 2] y={\"a\": \"b,c\"}"),
            ("%r1.f(s='', t='a b', u=None, v=True)", "s=\"\" t=a b u=null v=true"),
            ("%r1.f(n: int, m: str = \"x, y\")", "n - m=\"x, y\""),
            ("%r1.f(a, *rest, k=1, **more)", "a - k=1"),
            ("%r1.f(a, ...)", "a -"),
            ("%r1.f(a", "a -"),
        ] {
            let signature = Signature::parse(text).unwrap();
            let shown = signature.parameters.iter().map(|parameter| {
                let name = parameter.name.clone().unwrap_or_default();
                parameter.default.as_ref().map_or(format!("{name} -"), |text| format!("{name}={text}"))
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), named, "{text}");
            assert_eq!(signature.owner, "r1");
        }
        for text in ["", "x", "%r1", "%.f", "%r1.", "%r1.(a)"] {
            assert_eq!(Signature::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_is_words_and_what_is_in_quotes_or_brackets_is_one() {
        for (line, shown) in [
            ("", ""),
            ("  1  x=2 ", "1|x=2"),
            (r#""a b" c="d e" {"k": [1, 2]}"#, r#""a b"|c="d e"|{"k": [1, 2]}"#),
            (r#"it's 5" x"y z"#, r#"it's|5"|x"y|z"#),
            (r#""a \" b" c"#, r#""a \" b"|c"#),
        ] {
            assert_eq!(words(line).join("|"), shown, "{line}");
        }
    }
}
