//! Links as `/_status` tells of them, in the words of a table: a line for each server that is linked, and one for each root
//! that a link carries. A command prints all of them, a screen asks for those that it shows.

use std::slice;

use super::short;
use crate::path::{Key, Path};
use crate::value::{Object, Value};

/// What stands above the cells of a link.
pub const HEADING: [&str; 8] = ["ID", "STATE", "SINCE", "ADDRESS", "LAG", "STALE", "ROOTS", "PROBLEM"];

/// What stands above the cells of a root of a link.
pub const ROOT_HEADING: [&str; 7] = ["ROOT", "HOME", "HERE", "THERE", "LAG", "STALE", "REFUSED"];

/// The links of a status, and for a local that never reached its global server, that one.
pub fn list(status: &Value) -> &[Value] {
    let links = status.get("links").and_then(Value::as_list).map_or(&[][..], |list| list.items());
    match status.get("global").filter(|global| global.as_object().is_some() && links.is_empty()) {
        Some(global) => slice::from_ref(global),
        None => links,
    }
}

/// Whose link it is; `-`: nobody said yet.
pub fn id(link: &Value) -> &str {
    text(link, "tega_id").filter(|id| !id.is_empty()).unwrap_or("-")
}

/// Whether a link is up.
pub fn is_up(link: &Value) -> bool {
    link.get("up").and_then(Value::as_bool) == Some(true)
}

/// The same as a word.
pub fn state(link: &Value) -> &'static str {
    if is_up(link) { "up" } else { "down" }
}

/// The roots of a link, by name.
pub fn members(link: &Value) -> &[(Key, Value)] {
    link.get("roots").and_then(Value::as_object).map_or(&[][..], Object::members)
}

/// By how many versions all its roots together are behind.
pub fn lag(link: &Value) -> i64 {
    members(link).iter().filter_map(|(_, root)| number(root, "lag")).sum()
}

/// Milliseconds that its most stale root may be behind.
pub fn stale(link: &Value) -> Option<i64> {
    members(link).iter().filter_map(|(_, root)| number(root, "stale_ms")).max()
}

/// What is wrong with the link, and with each of its roots; empty: nothing.
pub fn problem(link: &Value) -> String {
    let mut problems: Vec<String> = text(link, "problem").map(String::from).into_iter().collect();
    for (name, root) in members(link) {
        problems.extend(text(root, "refused").map(|why| format!("{name}: {why}")));
    }
    problems.join("; ")
}

/// Whether anything is.
pub fn has_problem(link: &Value) -> bool {
    text(link, "problem").is_some() || members(link).iter().any(|(_, root)| text(root, "refused").is_some())
}

/// The cells of a link, under [`HEADING`].
pub fn cells(link: &Value) -> [String; 8] {
    let roots = members(link).iter().map(|(name, root)| versions(name, root));
    [
        id(link).into(),
        state(link).into(),
        number(link, "since_s").map_or("-".into(), span),
        text(link, "address").unwrap_or_default().into(),
        lag(link).to_string(),
        stale(link).map_or("-".into(), |ms| if ms < 1000 { format!("{ms}ms") } else { span(ms / 1000) }),
        roots.collect::<Vec<_>>().join(" "),
        problem(link),
    ]
}

/// How a router's `/etc/config` stands, where its bridge told: the state and its version, what is confirmed where that is
/// another, what was edited there, and why.
pub fn uci(link: &Value) -> Option<String> {
    let uci = link.get("uci").filter(|uci| uci.as_object().is_some())?;
    let version = |name| number(uci, name);
    let mut told = text(uci, "state")?.to_string();
    let desired = version("desired").or(version("version"));
    if let Some(desired) = desired {
        told += &format!(" {desired}");
    }
    if let Some(confirmed) = version("confirmed").filter(|it| Some(*it) != desired) {
        told += &format!(" (confirmed {confirmed})");
    }
    let drift = uci.get("drift").and_then(Value::as_list).map_or(&[][..], |list| list.items());
    let drift: Vec<&str> = drift.iter().filter_map(Value::as_str).collect();
    if !drift.is_empty() {
        told += &format!(", edited there: {}", drift.join(" "));
    }
    if let Some(reason) = text(uci, "reason").filter(|reason| !reason.is_empty()) {
        told += &format!(": {reason}");
    }
    Some(told)
}

/// Whether a router's bridge has something that a person should look at: what was undone or couldn't be applied, and edits.
pub fn has_uci_trouble(link: &Value) -> bool {
    let Some(uci) = link.get("uci") else { return false };
    let drift = uci.get("drift").and_then(Value::as_list).is_some_and(|list| !list.items().is_empty());
    drift || matches!(text(uci, "state"), Some("reverted" | "failed"))
}

/// `ROOT=HERE/THERE`, with `-` for what isn't there or isn't known.
fn versions(name: &Key, root: &Value) -> String {
    let version = |end| number(root, end).map_or("-".into(), |n| n.to_string());
    let name = Path::from_checked(vec![name.clone()]);
    format!("{name}={}/{}", version("here"), version("there"))
}

/// The cells of a root of a link, under [`ROOT_HEADING`].
pub fn root_cells(name: &Key, root: &Value) -> [String; 7] {
    let field = |name| root.get(name).filter(|value| **value != Value::Null).map_or("-".into(), short);
    [
        Path::from_checked(vec![name.clone()]).to_string(),
        field("home"),
        field("here"),
        field("there"),
        field("lag"),
        number(root, "stale_ms").map_or("-".into(), |ms| format!("{ms}ms")),
        text(root, "refused").unwrap_or_default().into(),
    ]
}

/// Seconds in the two largest units that they fill.
pub fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d{hours}h")
    } else if hours > 0 {
        format!("{hours}h{minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m{}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn number(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_int)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"global":null,"links":[
        {"tega_id":"r1","up":true,"address":"10.0.0.2:47","since_s":3725,"problem":null,"silent_ms":4,"sessions":[],
         "roots":{"config-r1":{"home":"g","here":7,"there":5,"lag":2,"stale_ms":null,"refused":null},
                  "op":{"home":"r1","here":3,"there":3,"lag":0,"stale_ms":40,"refused":null}}},
        {"tega_id":"r2","up":false,"address":"","since_s":9,"problem":"gone",
         "roots":{"x y":{"home":"r2","here":null,"there":null,"lag":null,"stale_ms":90000,"refused":"is mine"}}}]}"#;

    #[test]
    fn each_link_is_a_line_with_what_both_ends_have() {
        let status = Value::parse(TWO).unwrap();
        let shown: Vec<[String; 8]> = list(&status).iter().map(cells).collect();
        assert_eq!(
            shown,
            [
                ["r1", "up", "1h2m", "10.0.0.2:47", "2", "40ms", "config-r1=7/5 op=3/3", ""],
                ["r2", "down", "9s", "", "0", "1m30s", "[\"x y\"]=-/-", "gone; x y: is mine"],
            ]
        );
        let problems: Vec<bool> = list(&status).iter().map(has_problem).collect();
        assert_eq!(problems, [false, true]);
    }

    #[test]
    fn a_local_that_never_reached_its_global_shows_where_it_tries() {
        let json = r#"{"links":[],"global":{"address":"ws://g:1","tega_id":null,"up":false,"since_s":5,"problem":"refused"}}"#;
        let status = Value::parse(json).unwrap();
        let shown: Vec<[String; 8]> = list(&status).iter().map(cells).collect();
        assert_eq!(shown, [["-", "down", "5s", "ws://g:1", "0", "-", "", "refused"]]);
        for none in [r#"{"global":null,"links":[]}"#, "{}"] {
            assert!(list(&Value::parse(none).unwrap()).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_root_is_told_from_both_ends() {
        let root = r#"{"home":"r2","here":null,"there":4,"lag":null,"stale_ms":90,"refused":"is mine"}"#;
        let cells = root_cells(&"x y".into(), &Value::parse(root).unwrap());
        assert_eq!(cells, ["[\"x y\"]", "r2", "-", "4", "-", "90ms", "is mine"]);
    }

    #[test]
    fn a_router_with_a_bridge_tells_what_is_desired_and_what_is_confirmed() {
        let of = |json: &str| uci(&Value::parse(json).unwrap());
        let uci = r#"{"uci":{"state":"reverted","desired":9,"version":8,"confirmed":7,"reason":"no proof","drift":["dhcp"]}}"#;
        assert_eq!(of(uci).unwrap(), "reverted 9 (confirmed 7), edited there: dhcp: no proof");
        let uci =
            r#"{"uci":{"state":"confirmed","desired":7,"version":7,"confirmed":7,"reason":"","drift":[]}}"#;
        assert_eq!(of(uci).unwrap(), "confirmed 7");
        assert_eq!(of(r#"{"up":true}"#), None);
        let trouble = |uci: &str| has_uci_trouble(&Value::parse(&format!(r#"{{"uci":{uci}}}"#)).unwrap());
        assert!(
            trouble(r#"{"state":"reverted","drift":[]}"#)
                && trouble(r#"{"state":"confirmed","drift":["x"]}"#)
        );
        assert!(!trouble(r#"{"state":"confirmed","drift":[]}"#) && !trouble("null"));
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (7_260, "2h1m"), (180_000, "2d2h")] {
            assert_eq!(span(seconds), text);
        }
    }
}
