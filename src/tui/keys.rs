//! The one table of keys: what the user can do, where, and what is said of it. The footer, the help and the README's section
//! are made of it.

use std::fmt::Write;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Screen;

/// Everything that a key can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Quit,
    Help,
    Command,
    Close,
    Redraw,
    Suspend,
    Show(Screen),
    NextScreen,
    PreviousScreen,
    Up,
    Down,
    PageUp,
    PageDown,
    ScrollUp,
    ScrollDown,
    First,
    Last,
    Unfold,
    Fold,
    Toggle,
    UnfoldTo(u8),
    FoldAll,
    NextSibling,
    PreviousSibling,
    Parent,
    Root,
    Detail,
    Versions,
    Secrets,
    Follow,
    Find,
    FindNext,
    FindPrevious,
    Filter,
    GoTo,
    History,
    Edit,
    EditText,
    Add,
    Delete,
    Duplicate,
    Rename,
    Undo,
    Commit,
    CopyValue,
    CopyPath,
    Pick,
    Call,
    Rollback,
    Mark,
    Pause,
    Refresh,
    Sort,
    Theirs,
    Mine,
    Discard,
}

/// Where a key means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On every screen.
    Everywhere,
    /// On one.
    On(Screen),
}

/// A row of the table.
pub(super) struct KeyRow {
    place: Place,
    keys: &'static [&'static str],
    action: Action,
    /// For the footer; empty: it isn't there.
    short: &'static str,
    /// For the help and the README.
    pub help: &'static str,
}

const fn row(
    place: Place,
    keys: &'static [&'static str],
    action: Action,
    short: &'static str,
    help: &'static str,
) -> KeyRow {
    KeyRow { place, keys, action, short, help }
}

use Place::{Everywhere, On};

/// All keys. Of two rows for one key, the one of the screen counts.
pub(super) const KEYS: &[KeyRow] = &[
    row(Everywhere, &["?", "f1"], Action::Help, "help", "this help"),
    row(
        Everywhere,
        &[":"],
        Action::Command,
        "command",
        "a command: the verbs of the command line, with Tab and history",
    ),
    row(Everywhere, &["1"], Action::Show(Screen::Tree), "", "the tree"),
    row(Everywhere, &["2"], Action::Show(Screen::Fleet), "", "the fleet"),
    row(Everywhere, &["3"], Action::Show(Screen::Sessions), "", "sessions and channels"),
    row(Everywhere, &["4"], Action::Show(Screen::Journal), "", "notifications and messages as they come"),
    row(Everywhere, &["5"], Action::Show(Screen::Status), "", "how the server is"),
    row(Everywhere, &["6"], Action::Show(Screen::Pending), "", "what was changed here and isn't committed"),
    row(Everywhere, &["tab"], Action::NextScreen, "", "the next screen"),
    row(Everywhere, &["backtab"], Action::PreviousScreen, "", "the screen before"),
    row(Everywhere, &["up", "k"], Action::Up, "", "up"),
    row(Everywhere, &["down", "j"], Action::Down, "", "down"),
    row(Everywhere, &["pageup", "ctrl-u", "ctrl-b"], Action::PageUp, "", "a page up"),
    row(Everywhere, &["pagedown", "ctrl-d", "ctrl-f"], Action::PageDown, "", "a page down"),
    row(Everywhere, &["home", "g"], Action::First, "", "the first line"),
    row(Everywhere, &["end", "G"], Action::Last, "", "the last line"),
    row(Everywhere, &["esc"], Action::Close, "", "close what is open; leave a search"),
    row(Everywhere, &["ctrl-l"], Action::Redraw, "", "draw the screen anew"),
    row(Everywhere, &["ctrl-z"], Action::Suspend, "", "back to the shell for a while; fg comes back"),
    row(Everywhere, &["q", "ctrl-c"], Action::Quit, "quit", "end; asks where changes aren't committed"),
    row(On(Screen::Tree), &["right", "l"], Action::Unfold, "", "unfold, or go to the first child"),
    row(On(Screen::Tree), &["left", "h"], Action::Fold, "", "fold, or go to the parent"),
    row(On(Screen::Tree), &["space"], Action::Toggle, "", "fold or unfold"),
    row(On(Screen::Tree), &["z1"], Action::UnfoldTo(1), "", "z1 to z9: unfold so many levels below"),
    row(On(Screen::Tree), &["z2"], Action::UnfoldTo(2), "", ""),
    row(On(Screen::Tree), &["z3"], Action::UnfoldTo(3), "", ""),
    row(On(Screen::Tree), &["z4"], Action::UnfoldTo(4), "", ""),
    row(On(Screen::Tree), &["z5"], Action::UnfoldTo(5), "", ""),
    row(On(Screen::Tree), &["z6"], Action::UnfoldTo(6), "", ""),
    row(On(Screen::Tree), &["z7"], Action::UnfoldTo(7), "", ""),
    row(On(Screen::Tree), &["z8"], Action::UnfoldTo(8), "", ""),
    row(On(Screen::Tree), &["z9"], Action::UnfoldTo(9), "", ""),
    row(On(Screen::Tree), &["z0", "zz"], Action::FoldAll, "", "fold everything"),
    row(On(Screen::Tree), &["J"], Action::NextSibling, "", "the next sibling"),
    row(On(Screen::Tree), &["K"], Action::PreviousSibling, "", "the sibling before"),
    row(On(Screen::Tree), &["p"], Action::Parent, "", "the parent"),
    row(On(Screen::Tree), &["^"], Action::Root, "", "the root"),
    row(
        On(Screen::Tree),
        &["enter"],
        Action::Detail,
        "detail",
        "the node in full, beside the tree; again: close it",
    ),
    row(On(Screen::Tree), &["]", "ctrl-e"], Action::ScrollDown, "", "scroll the node in full down"),
    row(On(Screen::Tree), &["[", "ctrl-y"], Action::ScrollUp, "", "scroll the node in full up"),
    row(
        On(Screen::Tree),
        &["H"],
        Action::History,
        "history",
        "the versions of the root, and back to one of them",
    ),
    row(On(Screen::Tree), &["v"], Action::Versions, "", "show versions, or don't"),
    row(On(Screen::Tree), &["S"], Action::Secrets, "", "show keys and passwords of routers, or *** again"),
    row(
        On(Screen::Tree),
        &["F"],
        Action::Follow,
        "",
        "keep this path in view, whatever changes; again: stop",
    ),
    row(
        On(Screen::Tree),
        &["/"],
        Action::Find,
        "find",
        "find in keys and values as you type; ctrl-r: as a regex",
    ),
    row(On(Screen::Tree), &["n"], Action::FindNext, "", "the next match"),
    row(On(Screen::Tree), &["N"], Action::FindPrevious, "", "the match before"),
    row(On(Screen::Tree), &["&"], Action::Filter, "", "only the matches, or everything again"),
    row(On(Screen::Tree), &["o", "'"], Action::GoTo, "go", "go to a path, with Tab"),
    row(
        On(Screen::Tree),
        &["e"],
        Action::Edit,
        "edit",
        "change a value here; its type is kept unless you say otherwise",
    ),
    row(On(Screen::Tree), &["E"], Action::EditText, "", "change a value or a subtree in $EDITOR"),
    row(On(Screen::Tree), &["a"], Action::Add, "add", "add a node"),
    row(On(Screen::Tree), &["d", "delete"], Action::Delete, "", "delete the node"),
    row(On(Screen::Tree), &["D"], Action::Duplicate, "", "put a copy of the node under another name"),
    row(On(Screen::Tree), &["r"], Action::Rename, "", "give the node another name"),
    row(
        On(Screen::Tree),
        &["u"],
        Action::Undo,
        "",
        "take the newest change here back, before it's committed",
    ),
    row(
        On(Screen::Tree),
        &["c"],
        Action::Commit,
        "commit",
        "commit what was changed, as one transaction, after a look at it",
    ),
    row(
        On(Screen::Tree),
        &["x"],
        Action::Call,
        "",
        "call the function at this node, with a form for its arguments",
    ),
    row(On(Screen::Tree), &["y"], Action::CopyValue, "", "copy the value"),
    row(On(Screen::Tree), &["Y"], Action::CopyPath, "", "copy the path"),
    row(
        On(Screen::History),
        &["enter", "right"],
        Action::Pick,
        "diff",
        "only what this version changed; again, or Esc: the list too",
    ),
    row(On(Screen::History), &["]", "ctrl-e"], Action::ScrollDown, "", "scroll what it changed down"),
    row(On(Screen::History), &["[", "ctrl-y"], Action::ScrollUp, "", "scroll what it changed up"),
    row(
        On(Screen::History),
        &["m"],
        Action::Mark,
        "mark",
        "compare the others with this version; again: with the one before each",
    ),
    row(
        On(Screen::History),
        &["b"],
        Action::Rollback,
        "roll back",
        "make this version the present one, after a look at what that changes",
    ),
    row(On(Screen::Pending), &["u", "d", "delete"], Action::Undo, "drop", "take this change back"),
    row(On(Screen::Pending), &["e", "enter"], Action::Edit, "edit", "change it again"),
    row(On(Screen::Pending), &["t"], Action::Theirs, "theirs", "in a conflict: keep what the others wrote"),
    row(On(Screen::Pending), &["m"], Action::Mine, "mine", "in a conflict: write mine over it"),
    row(On(Screen::Pending), &["c"], Action::Commit, "commit", "commit them all as one transaction"),
    row(On(Screen::Fleet), &["enter"], Action::Pick, "open", "a tree of this router"),
    row(On(Screen::Pending), &["X"], Action::Discard, "", "throw them all away"),
    row(On(Screen::Fleet), &["x"], Action::Call, "call", "call a function of this router"),
    row(
        On(Screen::Fleet),
        &["s"],
        Action::Sort,
        "sort",
        "what is down, refused or behind first; again: by ID",
    ),
    row(On(Screen::Fleet), &["/"], Action::Find, "find", "find a router by its ID or address, as you type"),
    row(On(Screen::Fleet), &["n"], Action::FindNext, "", "the next one"),
    row(On(Screen::Fleet), &["N"], Action::FindPrevious, "", "the one before"),
    row(On(Screen::Fleet), &["R"], Action::Refresh, "", "ask again now"),
    row(On(Screen::Sessions), &["R"], Action::Refresh, "refresh", "ask again now"),
    row(On(Screen::Status), &["R"], Action::Refresh, "refresh", "ask again now"),
    row(On(Screen::Output), &["y"], Action::CopyValue, "copy", "copy all lines"),
    row(On(Screen::Journal), &["space"], Action::Pause, "pause", "hold the lines, or let them go on"),
    row(On(Screen::Journal), &["/"], Action::Find, "filter", "only lines with this text; empty: all"),
    row(On(Screen::Journal), &["enter"], Action::Pick, "open", "go to the path of this line"),
];

/// A key by the name that the table has for it.
pub(super) fn name(key: KeyEvent) -> Option<String> {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    let base = match key.code {
        KeyCode::Char(' ') => "space".to_string(),
        KeyCode::Char(c) if ctrl => c.to_ascii_lowercase().to_string(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::F(n) => format!("f{n}"),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::PageUp => "pageup".into(),
        KeyCode::PageDown => "pagedown".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "backtab".into(),
        KeyCode::Delete => "delete".into(),
        KeyCode::Backspace => "backspace".into(),
        _ => return None,
    };
    Some(if ctrl { format!("ctrl-{base}") } else { base })
}

/// What a key asks for on a screen. `first`: the key of two that came before it.
pub(super) fn action(screen: Screen, first: Option<char>, key: KeyEvent) -> Option<Action> {
    let name = name(key)?;
    let name = first.map_or(name.clone(), |first| format!("{first}{name}"));
    let row = |place: Place| KEYS.iter().find(|row| row.place == place && row.keys.contains(&name.as_str()));
    row(On(screen)).or_else(|| row(Everywhere)).map(|row| row.action)
}

/// Whether a key is the first of two.
pub(super) fn begins(screen: Screen, key: KeyEvent) -> Option<char> {
    let KeyCode::Char(c) = key.code else { return None };
    (screen == Screen::Tree && c == 'z' && key.modifiers.is_empty()).then_some(c)
}

/// How keys are shown.
fn shown(keys: &[&str]) -> String {
    let names: Vec<String> = keys
        .iter()
        .map(|key| match *key {
            "pageup" => "PgUp".into(),
            "pagedown" => "PgDn".into(),
            "backtab" => "Shift-Tab".into(),
            key if key.chars().count() > 2 && !key.starts_with("ctrl-") => {
                let (first, rest) = key.split_at(1);
                first.to_ascii_uppercase() + rest
            }
            key => {
                key.strip_prefix("ctrl-").map_or(key.to_string(), |c| format!("Ctrl-{}", c.to_uppercase()))
            }
        })
        .collect();
    names.join(" ")
}

/// `key what` for the footer, those of the screen first.
pub(super) fn footer(screen: Screen) -> Vec<(String, &'static str)> {
    let of = |place: Place| KEYS.iter().filter(move |row| row.place == place && !row.short.is_empty());
    of(On(screen))
        .chain(of(Everywhere))
        .map(|row| (row.keys.first().map_or(String::new(), |key| shown(&[key])), row.short))
        .collect()
}

/// The lines of the help: keys, and what they do; a title has no keys.
pub(super) fn help(screen: Screen) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (place, title) in [(On(screen), screen.title()), (Everywhere, "Everywhere")] {
        lines.push((String::new(), title.to_string()));
        let rows = KEYS.iter().filter(|row| row.place == place && !row.help.is_empty());
        lines.extend(rows.map(|row| (shown(row.keys), row.help.to_string())));
    }
    lines
}

/// The README's table of keys.
pub fn readme_section() -> String {
    let mut out = String::from("| where | key | does |\n| --- | --- | --- |\n");
    let mut last = "";
    for row in KEYS.iter().filter(|row| !row.help.is_empty()) {
        let place = match row.place {
            Everywhere => "everywhere",
            On(screen) => screen.title(),
        };
        let keys: Vec<String> = row.keys.iter().map(|key| format!("`{}`", shown(&[key]))).collect();
        let said = if place == last { "" } else { place };
        // Writing to a String can't fail.
        let _ = writeln!(out, "| {said} | {} | {} |", keys.join(" "), row.help);
        last = place;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for (at, row) in KEYS.iter().enumerate() {
            for other in &KEYS[at + 1..] {
                let both = row.keys.iter().find(|key| row.place == other.place && other.keys.contains(key));
                assert_eq!(both, None, "{:?} and {:?}", row.action, other.action);
            }
        }
    }

    #[test]
    fn keys_are_found_by_screen_first_and_then_everywhere() {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let of = |screen, code| action(screen, None, key(code));
        assert_eq!(of(Screen::Tree, KeyCode::Char('e')), Some(Action::Edit));
        assert_eq!(of(Screen::Fleet, KeyCode::Char('e')), None);
        assert_eq!(of(Screen::Tree, KeyCode::Enter), Some(Action::Detail));
        assert_eq!(of(Screen::Fleet, KeyCode::Enter), Some(Action::Pick));
        assert_eq!(action(Screen::Tree, Some('z'), key(KeyCode::Char('3'))), Some(Action::UnfoldTo(3)));
        let ctrl = KeyEvent::new(KeyCode::Char('d'), KeyModifiers::CONTROL);
        assert_eq!(action(Screen::Tree, None, ctrl), Some(Action::PageDown));
        assert_eq!(begins(Screen::Tree, key(KeyCode::Char('z'))), Some('z'));
    }
}
