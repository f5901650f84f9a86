//! Plugins as people read them: the same line in a terminal's table and on the screen.

use super::links::span;
use crate::value::{Object, Value};

/// What stands above the cells.
pub const HEADING: [&str; 12] =
    ["NAME", "STATE", "CALLS", "NOTIFIED", "FAILED", "RUNS", "WAIT", "LAST", "MEAN", "MAX", "WHERE", "WHAT"];

/// Cells of numbers: what they are called in `/_plugins`, and their unit.
const NUMBERS: [(&str, &str); 8] = [
    ("calls", ""),
    ("notifies", ""),
    ("failures", ""),
    ("running", ""),
    ("waiting", ""),
    ("last_ms", "ms"),
    ("mean_ms", "ms"),
    ("max_ms", "ms"),
];

/// The cells of a plugin: at the end what is wrong with it, or its methods, or what it hears.
pub fn cells(name: &str, plugin: &Value) -> [String; 12] {
    let text = |member: &str| plugin.get(member).and_then(Value::as_str);
    let dash = || "-".to_string();
    let mut cells: [String; 12] = std::array::from_fn(|_| dash());
    for (cell, (member, unit)) in cells.iter_mut().skip(2).zip(NUMBERS) {
        if let Some(number) = plugin.get(member).and_then(Value::as_int) {
            *cell = format!("{number}{unit}");
        }
    }
    let methods = plugin.get("methods").and_then(Value::as_object).map_or(&[][..], Object::members);
    let place = text("path").filter(|_| !methods.is_empty());
    let what = match (text("refused").or(text("problem")), error(plugin)) {
        (Some(why), _) => why.to_string(),
        (None, Some(error)) => error,
        (None, None) if methods.is_empty() => {
            let paths = plugin.get("subscribe").and_then(Value::as_list).map_or(&[][..], |list| list.items());
            paths.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        (None, None) => methods.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(" "),
    };
    let [name_cell, state, .., where_cell, what_cell] = &mut cells;
    *name_cell = name.into();
    *state = text("state").map_or_else(dash, String::from);
    *where_cell = place.map_or_else(dash, String::from);
    // A message may have several lines, and this is one.
    *what_cell = what.split_whitespace().collect::<Vec<_>>().join(" ");
    cells
}

/// What went wrong last, and when.
fn error(plugin: &Value) -> Option<String> {
    let error = plugin.get("error")?;
    let message = error.get("message")?.as_str()?;
    let ago = error.get("ago_s").and_then(Value::as_int).unwrap_or(0);
    Some(format!("{} ago: {message}", span(ago)))
}
