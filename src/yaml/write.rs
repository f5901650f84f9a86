//! The writer: block style, and quotes only where a plain scalar would be read as something else.

use super::Value;
use super::scalar::{is_null, resolve};
use crate::value::write_float;

pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(object) if !object.members().is_empty() => members(value, 0, &mut out),
        Value::List(list) if !list.items().is_empty() => members(value, 0, &mut out),
        _ => scalar(value, 0, &mut out),
    }
    out
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(object) => !object.members().is_empty(),
        Value::List(list) => !list.items().is_empty(),
        _ => false,
    }
}

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// Writes the entries of a map or list. The place of the first one is indented already.
fn members(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Object(object) => {
            for (i, (key, value)) in object.members().iter().enumerate() {
                if i > 0 {
                    indent(level, out);
                }
                match key_is_plain(key) {
                    true => out.push_str(key),
                    false => double_quoted(key, out),
                }
                out.push(':');
                if is_nested(value) {
                    out.push('\n');
                    indent(level + 1, out);
                    members(value, level + 1, out);
                } else {
                    out.push(' ');
                    scalar(value, level + 1, out);
                }
            }
        }
        Value::List(list) => {
            for (i, item) in list.items().iter().enumerate() {
                if i > 0 {
                    indent(level, out);
                }
                out.push_str("- ");
                match is_nested(item) {
                    true => members(item, level + 1, out),
                    false => scalar(item, level + 1, out),
                }
            }
        }
        _ => {}
    }
}

/// Writes what fits after `key: ` or `- `, with its line end.
fn scalar(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Text(text) if is_literal(text) => return literal(text, level.max(1), out),
        Value::Text(text) if is_plain(text) => out.push_str(text),
        Value::Text(text) => double_quoted(text, out),
        Value::Float(float) => float_11(float.get(), out),
        // Null, booleans, integers, `[]` and `{}` are written as in JSON. Writing to a String can't fail.
        _ => drop(value.write(out)),
    }
    out.push('\n');
}

/// Writes a float so that YAML 1.1, which wants a point and the exponent's sign, takes it for one too.
fn float_11(float: f64, out: &mut String) {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write_float(float, &mut text);
    let Some((mantissa, exponent)) = text.split_once('e') else { return out.push_str(&text) };
    out.push_str(mantissa);
    out.push_str(if mantissa.contains('.') { "e" } else { ".0e" });
    out.push_str(if exponent.starts_with('-') { "" } else { "+" });
    out.push_str(exponent);
}

fn is_printable(c: char) -> bool {
    !matches!(c, '\0'..' ' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a text can be written as a literal without an indentation indicator, and is better to read so.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with(['\n', ' '])
        && text.chars().all(|c| c == '\n' || is_printable(c))
}

fn literal(text: &str, level: usize, out: &mut String) {
    let (body, chomp) = match text.strip_suffix('\n') {
        None => (text, "|-\n"),
        Some(body) if body.ends_with('\n') => (body, "|+\n"),
        Some(body) => (body, "|\n"),
    };
    out.push_str(chomp);
    for line in body.split('\n') {
        if !line.is_empty() {
            indent(level, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn double_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            // What isn't printable lies in the first 16 bits.
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
}

fn key_is_plain(key: &str) -> bool {
    key != "<<" && !is_null(key) && is_plain(key)
}

/// Whether a reader takes the text, written as it is, for this text.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let starts_well = match (chars.next(), chars.next()) {
        (Some('-' | '?' | ':'), second) => second.is_some_and(|c| c != ' '),
        (Some(first), _) => !",[]{}#&*!|>'\"%@` ".contains(first),
        (None, _) => false,
    };
    starts_well
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(is_printable)
        && matches!(resolve(text), Ok(Value::Text(_)))
        && !is_other_in_11(text)
}

/// Whether a reader of YAML 1.1 takes the text for a boolean, a number (`010`, `1_000`, `0b1`, `12:30:45`) or a date.
fn is_other_in_11(text: &str) -> bool {
    const WORDS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "=", "<<"];
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
    let number = unsigned.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.')
        && unsigned.iter().filter(|b| **b == b'.').count() <= 1
        && unsigned.iter().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b':' | b'.'));
    let based = unsigned.starts_with(b"0x") || unsigned.starts_with(b"0b");
    let date =
        matches!(unsigned, [a, b, c, d, b'-', e, ..] if [a, b, c, d, e].iter().all(|b| b.is_ascii_digit()));
    WORDS.contains(&text.to_ascii_lowercase().as_str()) || number || based || date
}
