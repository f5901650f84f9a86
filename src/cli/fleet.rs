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
use crate::path::Path;
use crate::value::Value;
use crate::words::links::{self, HEADING};

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
    let lines = lines(&status);
    let rows: Vec<Vec<String>> =
        heading(&lines).into_iter().chain(lines.into_iter().map(|line| line.cells)).collect();
    out.table(&rows)
}

/// What stands above these lines.
fn heading(lines: &[Line]) -> [Vec<String>; 1] {
    let mut heading = HEADING.map(String::from).to_vec();
    if lines.iter().any(|line| line.cells.len() > HEADING.len()) {
        heading.push("UCI".into());
    }
    [heading]
}

/// What the server tells of its links.
fn links(status: &Value) -> Value {
    status.get("links").filter(|links| links.as_list().is_some()).cloned().unwrap_or(Value::Null)
}

/// A line for each link, and one for a global server that a local never reached.
fn lines(status: &Value) -> Vec<Line> {
    let any_uci = links::list(status).iter().any(|link| links::uci(link).is_some());
    let line = |link| {
        let mut cells = links::cells(link).to_vec();
        if any_uci {
            cells.push(links::uci(link).unwrap_or_default());
        }
        Line { up: links::is_up(link), cells }
    };
    links::list(status).iter().map(line).collect()
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
    let shown: Vec<Vec<String>> =
        heading(&lines).into_iter().chain(lines.into_iter().map(|line| line.cells)).collect();
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
        rows.push(vec![
            root.to_string(),
            home.get("home").map_or("-".into(), crate::words::short),
            note.into(),
        ]);
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
}
