//! What goes to standard output: data and nothing else.

use std::io::{self, IsTerminal, Write};

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use crate::path::Path;
use crate::value::Value;
use crate::words;

/// How a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A scalar raw, a container as JSON: on several lines for a terminal, on one for a pipe.
    Plain,
    /// JSON on one line.
    Json,
    /// YAML.
    Yaml,
    /// One `PATH=JSON` line for each leaf.
    Flat,
}

impl Form {
    /// The form that the options ask for.
    pub(super) fn of(typed: &Typed) -> Result<Form, Fault> {
        let asked: Vec<Form> = [(Flag::Json, Form::Json), (Flag::Yaml, Form::Yaml), (Flag::Flat, Form::Flat)]
            .into_iter()
            .filter(|(flag, _)| typed.has(*flag))
            .map(|(_, form)| form)
            .collect();
        match asked.as_slice() {
            [] => Ok(Form::Plain),
            [one] => Ok(*one),
            _ => Err(Fault::usage("only one of --json, --yaml and --flat can be meant")),
        }
    }

    /// The value's text in this form, with its newline.
    pub(super) fn text(self, path: &Path, value: &Value, terminal: bool) -> String {
        let mut text = match self {
            Form::Plain => match value {
                Value::Text(text) => text.to_string(),
                Value::Object(_) | Value::List(_) if terminal => value.to_pretty(),
                _ => value.to_string(),
            },
            Form::Json => value.to_string(),
            Form::Yaml => crate::yaml::write(value),
            Form::Flat => {
                let mut lines = String::new();
                words::flat(path, value, &mut lines);
                return lines;
            }
        };
        if self != Form::Yaml || !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

/// Standard output, buffered until a line is due.
pub(super) struct Out {
    inner: io::BufWriter<io::Stdout>,
    /// Whether a person reads it.
    pub(super) terminal: bool,
}

impl Out {
    /// The process's standard output.
    pub(super) fn new() -> Out {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Out { inner: io::BufWriter::new(stdout), terminal }
    }

    /// Writes text as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.inner.write_all(bytes).map_err(|error| Fault::output(&error))
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Fault> {
        self.text(line)?;
        self.text("\n")
    }

    /// Hands over what was written: at the end, and after each line of what goes on and on.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        self.inner.flush().map_err(|error| Fault::output(&error))
    }

    /// Writes a value.
    pub(super) fn value(&mut self, form: Form, path: &Path, value: &Value) -> Result<(), Fault> {
        let text = form.text(path, value, self.terminal);
        self.text(&text)
    }

    /// Writes rows as aligned columns, the first row being the heading, which only a terminal gets.
    pub(super) fn table(&mut self, rows: &[Vec<String>]) -> Result<(), Fault> {
        let skip = usize::from(!self.terminal);
        self.text(&table(rows.get(skip..).unwrap_or_default()))
    }
}

/// Rows as aligned columns.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A line for people on standard error. That it can't be written is nothing that could be told anywhere.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "tega: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_printed_raw_and_a_container_as_json() {
        let path = Path::parse("a.b").unwrap();
        for (json, terminal, text) in [
            ("\"x y\"", false, "x y\n"),
            ("1.0", false, "1.0\n"),
            ("null", true, "null\n"),
            ("{\"b\":1,\"a\":[]}", false, "{\"a\":[],\"b\":1}\n"),
            ("{\"b\":1}", true, "{\n  \"b\": 1\n}\n"),
        ] {
            let value = words::json(json).unwrap();
            assert_eq!(Form::Plain.text(&path, &value, terminal), text);
        }
        let value = words::json("{\"c\":\"d\"}").unwrap();
        assert_eq!(Form::Flat.text(&path, &value, true), "a.b.c=\"d\"\n");
        assert_eq!(Form::Json.text(&path, &value, true), "{\"c\":\"d\"}\n");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [vec!["a".into(), "b".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(&rows), "a     b\nlong\n");
    }
}
