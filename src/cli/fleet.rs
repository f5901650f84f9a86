//! `fleet` and `home`: the servers that are linked, and whose roots are whose.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::data;
use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::link;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out, note, table};
use crate::api::route::Route;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::value::Value;
use crate::words;

const HEADING: [&str; 8] = ["ID", "STATE", "SINCE", "ADDRESS", "LAG", "STALE", "ROOTS", "PROBLEM"];

/// The least time between two looks at a fleet; a server that takes long to answer is asked less often.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause while the server doesn't answer.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A link as a line of the table.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    up: bool,
    cells: Vec<String>,
}

impl Line {
    /// What makes a line worth printing again: all but the times, which always pass.
    fn news(&self) -> impl Iterator<Item = &String> {
        self.cells
            .iter()
            .enumerate()
            .filter(|(at, _)| !matches!(HEADING.get(*at), Some(&("SINCE" | "STALE"))))
            .map(|c| c.1)
    }
}

/// `tega fleet`
pub(super) fn fleet(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let mut remote = Remote::new(typed)?;
    if typed.has(Flag::Watch) {
        if !typed.args.is_empty() {
            return Err(Fault::usage("fleet --watch shows all links; fleet TEGA_ID shows one, once"));
        }
        return watch(typed, &mut remote, out);
    }
    let status = remote.ask_json(&Route::Status)?;
    if let Some(id) = typed.args.first() {
        return link::show(typed, &remote, &links(&status), id, out);
    }
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &links(&status));
    }
    let rows: Vec<Vec<String>> = heading().chain(lines(&status).into_iter().map(|line| line.cells)).collect();
    out.table(&rows)
}

fn heading() -> impl Iterator<Item = Vec<String>> {
    std::iter::once(HEADING.map(String::from).to_vec())
}

/// What the server tells of its links.
fn links(status: &Value) -> Value {
    status.get("links").filter(|links| links.as_list().is_some()).cloned().unwrap_or(Value::Null)
}

/// A line for each link, and one for a global server that a local never reached.
fn lines(status: &Value) -> Vec<Line> {
    let links = links(status);
    let mut lines: Vec<Line> =
        links.as_list().map_or(&[][..], |list| list.items()).iter().map(line).collect();
    if let Some(global) =
        status.get("global").filter(|global| global.as_object().is_some() && lines.is_empty())
    {
        lines.push(line(global));
    }
    lines
}

/// Whether a link is up, as a word.
pub(super) fn state(link: &Value) -> &'static str {
    if link.get("up").and_then(Value::as_bool) == Some(true) { "up" } else { "down" }
}

fn line(link: &Value) -> Line {
    let text = |name| link.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    let since = link.get("since_s").and_then(Value::as_int);
    let roots = link.get("roots").and_then(Value::as_object).map_or(&[][..], |roots| roots.members());
    let number = |root: &Value, name: &str| root.get(name).and_then(Value::as_int);
    let lag: i64 = roots.iter().filter_map(|(_, root)| number(root, "lag")).sum();
    let stale = roots.iter().filter_map(|(_, root)| number(root, "stale_ms")).max();
    let mut problems: Vec<String> =
        link.get("problem").and_then(Value::as_str).map(String::from).into_iter().collect();
    for (name, root) in roots {
        problems.extend(root.get("refused").and_then(Value::as_str).map(|why| format!("{name}: {why}")));
    }
    let id = text("tega_id");
    let cells = vec![
        if id.is_empty() { "-".into() } else { id },
        state(link).into(),
        since.map_or("-".into(), span),
        text("address"),
        lag.to_string(),
        stale.map_or("-".into(), |ms| if ms < 1000 { format!("{ms}ms") } else { span(ms / 1000) }),
        roots.iter().map(|(name, root)| versions(name, root)).collect::<Vec<_>>().join(" "),
        problems.join("; "),
    ];
    Line { up: state(link) == "up", cells }
}

/// `ROOT=HERE/THERE`, with `-` for what isn't there or isn't known.
fn versions(name: &Key, root: &Value) -> String {
    let version = |end| root.get(end).and_then(Value::as_int).map_or("-".into(), |n| n.to_string());
    let name = Path::from_checked(vec![name.clone()]);
    format!("{name}={}/{}", version("here"), version("there"))
}

/// Seconds in the two largest units that they fill.
pub(super) fn span(seconds: i64) -> String {
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

/// Looks again and again: a terminal is drawn anew, others get the lines that changed.
fn watch(typed: &Typed, remote: &mut Remote, out: &mut Out) -> Result<(), Fault> {
    let deadline = super::live::deadline(typed)?;
    let mut known: BTreeMap<String, Line> = BTreeMap::new();
    let mut lost = false;
    let mut pause = PAUSE;
    let mut first = true;
    loop {
        let asked = Instant::now();
        match remote.ask_json(&Route::Status) {
            Ok(status) => {
                if lost {
                    note(&format!("{}: it answers again", remote.target()));
                }
                lost = false;
                // Encoding thousands of links costs the server: it isn't to be busy with this for more than a twentieth.
                pause = PAUSE.max(asked.elapsed() * 20);
                if typed.has(Flag::Json) {
                    out.line(&links(&status).to_string())?;
                } else if out.terminal {
                    out.text(&screen(lines(&status), rows()))?;
                } else {
                    out.text(&changed(&mut known, lines(&status)))?;
                }
                out.flush()?;
            }
            // The first answer must come: an address that never answered is a mistake rather than a fault.
            Err(fault) if fault.exit == Exit::Unreachable && !first => {
                if !lost {
                    note(&format!("{}; trying again", fault.message));
                }
                lost = true;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            Err(fault) => return Err(fault),
        }
        first = false;
        let left =
            deadline.map_or(pause, |deadline| deadline.saturating_duration_since(Instant::now()).min(pause));
        if deadline.is_some_and(|deadline| deadline <= Instant::now() + left) {
            std::thread::sleep(left);
            return Ok(());
        }
        std::thread::sleep(left);
    }
}

/// Lines that fit on the terminal: as the shell says, or as terminals always were.
fn rows() -> usize {
    std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(24)
}

/// The whole table from the top left corner; where it doesn't fit, what is down comes first.
fn screen(mut lines: Vec<Line>, rows: usize) -> String {
    // The heading, the line below, and the cursor's.
    let room = rows.saturating_sub(3).max(1);
    let (all, up) = (lines.len(), lines.iter().filter(|line| line.up).count());
    if all > room {
        lines.sort_by_key(|line| line.up);
        lines.truncate(room);
    }
    let shown: Vec<Vec<String>> = heading().chain(lines.into_iter().map(|line| line.cells)).collect();
    let mut out = String::from("\x1b[H");
    for line in table(&shown).lines() {
        out.push_str(line);
        // What stood there before is cut off.
        out.push_str("\x1b[K\n");
    }
    let hidden = all.saturating_sub(room);
    let more = if hidden > 0 { format!(", {hidden} more not shown") } else { String::new() };
    out.push_str(&format!("{up} of {all} up{more}\x1b[K\n\x1b[J"));
    out
}

/// The lines that are new or have changed, and those that are gone.
fn changed(known: &mut BTreeMap<String, Line>, lines: Vec<Line>) -> String {
    let id = |line: &Line| line.cells.first().cloned().unwrap_or_default();
    let now: BTreeMap<String, Line> = lines.into_iter().map(|line| (id(&line), line)).collect();
    let is_news =
        |(id, line): &(&String, &Line)| known.get(*id).is_none_or(|old| !old.news().eq(line.news()));
    let mut rows: Vec<Vec<String>> = now.iter().filter(is_news).map(|(_, line)| line.cells.clone()).collect();
    let gone = known.keys().filter(|id| !now.contains_key(*id));
    rows.extend(gone.map(|id| vec![id.clone(), "gone".into()]));
    *known = now;
    table(&rows)
}

/// `tega home`: all homes, that of one root, or a root's move to another.
pub(super) fn home(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let mut remote = Remote::new(typed)?;
    let root = match typed.args.first() {
        Some(text) => Some(super::past::root(text)?),
        None => None,
    };
    if let (Some(root), Some(home)) = (&root, typed.args.get(1)) {
        let home = TegaId::new(home).map_err(|error| Fault::usage(error.to_string()))?;
        let route = Route::Home { root: root.clone(), home, force: typed.has(Flag::Force) };
        return remote.send_once(&route, None).map(drop);
    }
    let homes = remote.ask_json(&Route::Homes)?;
    if typed.has(Flag::Force) {
        return Err(Fault::usage("--force is for moving a root: tega home ROOT TEGA_ID"));
    }
    if let Some(root) = root {
        let Some(home) = homes.get(&root) else {
            return Err(Fault::new(Exit::NotFound, format!("{}: no root {root}", remote.target())));
        };
        let form = if typed.has(Flag::Json) { Form::Json } else { Form::Plain };
        let shown = if form == Form::Json { home } else { home.get("home").unwrap_or(&Value::Null) };
        return out.value(form, &Path::TOP, shown);
    }
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &homes);
    }
    let mut rows = vec![["ROOT", "HOME", "NOTE"].map(String::from).to_vec()];
    for (root, home) in homes.as_object().map_or(&[][..], |homes| homes.members()) {
        let flag = |name| home.get(name).and_then(Value::as_bool) == Some(true);
        let note = match (flag("here"), flag("handover")) {
            (_, true) => "moving: it hasn't fetched the root yet",
            (true, _) => "this server",
            _ => "",
        };
        let root = data::path(root).unwrap_or_else(|_| Path::from_checked(vec![root.clone()]));
        rows.push(vec![root.to_string(), home.get("home").map_or("-".into(), words::short), note.into()]);
    }
    out.table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> Value {
        Value::parse(json).unwrap()
    }

    const TWO: &str = r#"{"global":null,"links":[
        {"tega_id":"r1","up":true,"address":"10.0.0.2:47","since_s":3725,"problem":null,"silent_ms":4,"sessions":[],
         "roots":{"config-r1":{"home":"g","here":7,"there":5,"lag":2,"stale_ms":null,"refused":null},
                  "op":{"home":"r1","here":3,"there":3,"lag":0,"stale_ms":40,"refused":null}}},
        {"tega_id":"r2","up":false,"address":"","since_s":9,"problem":"gone",
         "roots":{"x y":{"home":"r2","here":null,"there":null,"lag":null,"stale_ms":90000,"refused":"is mine"}}}]}"#;

    #[test]
    fn each_link_is_a_line_with_what_both_ends_have() {
        let text = table(&lines(&status(TWO)).into_iter().map(|line| line.cells).collect::<Vec<_>>());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: Vec<String> = text.lines().map(words).collect();
        assert_eq!(
            shown,
            [
                "r1 up 1h2m 10.0.0.2:47 2 40ms config-r1=7/5 op=3/3",
                "r2 down 9s 0 1m30s [\"x y\"]=-/- gone; x y: is mine",
            ]
        );
    }

    #[test]
    fn a_local_that_never_reached_its_global_shows_where_it_tries() {
        let json = r#"{"links":[],"global":{"address":"ws://g:1","tega_id":null,"up":false,"since_s":5,"problem":"refused"}}"#;
        let shown = lines(&status(json));
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].cells, ["-", "down", "5s", "ws://g:1", "0", "-", "", "refused"]);
        assert!(lines(&status(r#"{"global":null,"links":[]}"#)).is_empty());
        assert!(lines(&status("{}")).is_empty(), "an older server");
    }

    #[test]
    fn a_watch_prints_what_changed_and_passes_over_the_time() {
        let mut known = BTreeMap::new();
        assert_eq!(changed(&mut known, lines(&status(TWO))).lines().count(), 2);
        let later = TWO.replace("3725", "3726").replace("90000", "91000");
        assert_eq!(changed(&mut known, lines(&status(&later))), "");
        let down = later.replace("\"up\":true", "\"up\":false");
        assert!(changed(&mut known, lines(&status(&down))).starts_with("r1  down  1h2m"));
        let gone = changed(&mut known, Vec::new());
        assert_eq!(gone, "r1  gone\nr2  gone\n");
    }

    #[test]
    fn a_screen_shows_the_heading_and_first_of_all_what_is_down() {
        let whole = screen(lines(&status(TWO)), 24);
        assert!(
            whole.starts_with("\x1b[HID  STATE") && whole.ends_with("1 of 2 up\x1b[K\n\x1b[J"),
            "{whole:?}"
        );
        let small = screen(lines(&status(TWO)), 4);
        assert!(small.contains("r2") && !small.contains("r1"), "{small:?}");
        assert!(small.contains("1 of 2 up, 1 more not shown"));
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (7_260, "2h1m"), (180_000, "2d2h")] {
            assert_eq!(span(seconds), text);
        }
    }
}
