//! The one encoding of a value: objects by key, no space, one spelling for each number.

use std::fmt::{self, Write};

use super::{Value, ValueError};

impl Value {
    /// Appends the value's JSON text to `out`.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Value::Null => out.write_str("null"),
            Value::Bool(bool) => out.write_str(if *bool { "true" } else { "false" }),
            Value::Int(int) => out.write_str(itoa::Buffer::new().format(*int)),
            Value::UInt(int) => write_int(int.get(), out),
            Value::Float(float) => write_float(float.get(), out),
            Value::Text(text) => write_string(text, out),
            Value::List(list) => {
                out.write_char('[')?;
                for (i, item) in list.items().iter().enumerate() {
                    if i > 0 {
                        out.write_char(',')?;
                    }
                    item.write(out)?;
                }
                out.write_char(']')
            }
            Value::Object(object) => {
                out.write_char('{')?;
                for (i, (key, value)) in object.members().iter().enumerate() {
                    if i > 0 {
                        out.write_char(',')?;
                    }
                    write_string(key, out)?;
                    out.write_char(':')?;
                    value.write(out)?;
                }
                out.write_char('}')
            }
        }
    }

    /// The JSON text on several lines, two spaces a level, for people.
    pub fn to_pretty(&self) -> String {
        let mut out = String::new();
        pretty(self, 0, &mut out);
        out
    }
}

fn pretty(value: &Value, level: usize, out: &mut String) {
    let line = |out: &mut String, level: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    };
    match value {
        Value::List(list) if !list.items().is_empty() => {
            out.push('[');
            for (i, item) in list.items().iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(out, level + 1);
                pretty(item, level + 1, out);
            }
            line(out, level);
            out.push(']');
        }
        Value::Object(object) if !object.members().is_empty() => {
            out.push('{');
            for (i, (key, member)) in object.members().iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(out, level + 1);
                // Writing to a String can't fail.
                let _ = write!(out, "{}: ", Value::Text(key.clone()));
                pretty(member, level + 1, out);
            }
            line(out, level);
            out.push('}');
        }
        // Writing to a String can't fail.
        _ => drop(value.write(out)),
    }
}

/// Appends a JSON string.
pub fn write_string(text: &str, out: &mut impl Write) -> fmt::Result {
    crate::path::write_json_string(text, out)
}

/// Appends a number; several times as fast as by the formatting machinery, and every record and answer has some.
pub fn write_int(int: u64, out: &mut impl Write) -> fmt::Result {
    out.write_str(itoa::Buffer::new().format(int))
}

/// The beginning of a text, of at most so many bytes: no character is cut in two.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A writer that only counts the bytes.
#[derive(Debug, Default)]
struct Count(usize);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

impl Value {
    /// How many bytes its canonical text has. That may be several times the text that it was read from: `1e15` is
    /// `1000000000000000.0`.
    pub fn text_len(&self) -> usize {
        let mut count = Count::default();
        // Counting can't fail.
        let _ = self.write(&mut count);
        count.0
    }
}

/// A writer that escapes what goes through it for the inside of a JSON string.
#[derive(Debug)]
pub struct Escaped<'a, W>(pub &'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        crate::path::write_escaped(text, self.0)
    }
}

/// Appends the shortest text that reads back as this float, always with a `.` or an `e`.
pub fn write_float(float: f64, out: &mut impl Write) -> fmt::Result {
    write!(out, "{float:?}")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl TryFrom<Vec<Value>> for Value {
    type Error = ValueError;

    fn try_from(items: Vec<Value>) -> Result<Value, ValueError> {
        Value::list(items)
    }
}
