//! The lines of the tree, and of the list of matches.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::{paint, put, put_right};
use crate::openwrt::secret::HIDDEN;
use crate::path::{Key, Path};
use crate::tui::app::App;
use crate::tui::look::{Look, Role, cut};
use crate::tui::model::{Kind, RootInfo, Row, Shown};
use crate::tui::tree::GLOW;

/// A replica that may be behind by more than this is shown as stale, in milliseconds.
const STALE: u64 = 5_000;

/// The tree, from the line on that is the first one shown.
pub(super) fn tree(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let model = &app.tree.model;
    if model.height() == 0 {
        let text = if model.is_loaded() { "nothing is here yet; a adds a root, ? helps" } else { "reading" };
        return put(frame, area, 0, vec![Span::styled(text, app.look.style(Role::Dim))]);
    }
    let mut line = 0;
    model.visit(app.tree.first_line(), area.height.into(), |keys, row| {
        let is_cursor = app.tree.cursor.keys() == keys;
        draw_row(frame, app, area, line, (keys, row), is_cursor);
        line += 1;
    });
    if line < area.height && !app.hint.is_empty() {
        // What to try first stands below as long as there is room.
        let lines: Vec<&str> = app.hint.lines().collect();
        let room = usize::from(area.height - line).saturating_sub(1);
        for text in lines.iter().take(room) {
            line += 1;
            put(frame, area, line, vec![Span::styled(format!("  {text}"), app.look.style(Role::Hint))]);
        }
    }
}

fn draw_row(
    frame: &mut Frame<'_>,
    app: &App,
    area: Rect,
    line: u16,
    (keys, row): (&[Key], &Row),
    is_cursor: bool,
) {
    let (look, glyphs) = (&app.look, app.look.glyphs);
    let depth = keys.len().saturating_sub(1);
    // Deep down the indent would leave no room for anything else.
    let indent = (depth * 2).min(usize::from(area.width) / 3);
    let arrow = match (row.shown.kind, row.open()) {
        (Kind::Container, Some(open)) if open.is_loading() => glyphs.loading,
        (Kind::Container, Some(_)) => glyphs.unfolded,
        (Kind::Container, None) => glyphs.folded,
        _ => glyphs.leaf,
    };
    let path = Path::from_checked(keys.to_vec());
    let staged = app.pending.staged(&path);
    let sign = if staged.is_some() { "*" } else { " " };
    let mut spans = vec![
        Span::styled(sign, look.style(Role::Marker)),
        Span::raw(" ".repeat(indent)),
        Span::styled(arrow, look.style(Role::Dim)),
        Span::raw(" "),
    ];
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(area.width).saturating_sub(used);
    let glows = row.changed > 0 && app.now < u64::from(row.changed) + GLOW;
    let key_role = if depth == 0 { Role::Title } else { Role::Key };
    let is_folded = row.shown.kind == Kind::Container;
    let key_role = if glows && is_folded { Role::Glow } else { key_role };
    spans.extend(marked(app, &cut(&look.clean(&row.key), room, glyphs.more), key_role));
    let is_hidden = look.hides(keys);
    match staged {
        Some(staged) => {
            spans.push(Span::styled(if is_folded { " " } else { " = " }, look.style(Role::Dim)));
            spans.extend(leaf_spans(look, keys, &row.shown));
            spans.push(Span::styled(format!(" {}", look.clean(&staged)), look.style(Role::Added)));
        }
        None if is_folded => {
            spans.push(Span::styled(format!(" {{{}}}", row.shown.count), look.style(Role::Count)));
        }
        None => {
            spans.push(Span::styled(" = ", look.style(Role::Dim)));
            if is_hidden {
                spans.extend(leaf_spans(look, keys, &row.shown));
            } else if glows {
                spans.push(Span::styled(look.clean(row.shown.text()), look.style(Role::Glow)));
            } else if app.find.marks(row.shown.text()).is_some() {
                spans.extend(marked(app, &look.clean(row.shown.text()), role(row.shown.kind)));
            } else {
                spans.extend(leaf_spans(look, keys, &row.shown));
            }
        }
    }
    spans.extend(markers(app, row));
    put(frame, area, line, spans);
    if app.tree.versions {
        let version = row.version.map_or("-".to_string(), |version| format!("v{version}"));
        put_right(frame, area, line, vec![Span::styled(format!(" {version}"), look.style(Role::Dim))]);
    }
    if is_cursor {
        paint(frame, area, line, look.style(Role::Cursor));
    }
}

/// What kind of node it is, where a line doesn't show that by itself.
fn markers(app: &App, row: &Row) -> Vec<Span<'static>> {
    let look = &app.look;
    let mut spans = Vec::new();
    if let Some(owner) = row.owner() {
        spans.push(Span::styled(format!("  ~{}", look.clean(owner)), look.style(Role::Marker)));
    }
    if row.shown.kind == Kind::Function {
        spans.push(Span::styled("  () x calls it", look.style(Role::Hint)));
    }
    if let Some(root) = row.root() {
        spans.extend(root_markers(look, root));
    }
    spans
}

fn root_markers(look: &Look, root: &RootInfo) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    if !root.here {
        let home = if root.home.is_empty() { "nobody" } else { &root.home };
        spans.push(Span::styled(format!("  replica of {}", look.clean(home)), look.style(Role::Marker)));
    }
    if let Some(ms) = root.stale_ms.filter(|ms| *ms >= STALE) {
        spans.push(Span::styled(format!("  stale for {} s", ms / 1_000), look.style(Role::Warning)));
    }
    if let Some(problem) = &root.problem {
        spans.push(Span::styled(format!("  ! {}", look.clean(problem)), look.style(Role::Warning)));
    }
    spans
}

/// How a value of this kind looks.
pub(crate) fn role(kind: Kind) -> Role {
    match kind {
        Kind::Container => Role::Count,
        Kind::Null => Role::Null,
        Kind::Bool => Role::Bool,
        Kind::Number => Role::Number,
        Kind::Text | Kind::Function => Role::Text,
        Kind::List => Role::List,
    }
}

/// A leaf's value, unless it's a secret.
pub(crate) fn leaf_spans(look: &Look, keys: &[Key], shown: &Shown) -> Vec<Span<'static>> {
    if look.hides(keys) && shown.kind != Kind::Container {
        return vec![Span::styled(HIDDEN, look.style(Role::Dim))];
    }
    if shown.kind == Kind::Container {
        return vec![Span::styled(format!("{{{}}}", shown.count), look.style(Role::Count))];
    }
    let mut spans = vec![Span::styled(look.clean(shown.text()), look.style(role(shown.kind)))];
    if shown.is_cut() {
        let more = format!("{} {} bytes", look.glyphs.more, shown.count);
        spans.push(Span::styled(more, look.style(Role::Dim)));
    }
    spans
}

/// A text with what was looked for marked in it.
fn marked(app: &App, text: &str, role: Role) -> Vec<Span<'static>> {
    let style = app.look.style(role);
    match app
        .find
        .marks(text)
        .and_then(|(from, to)| Some((text.get(..from)?, text.get(from..to)?, text.get(to..)?)))
    {
        Some((before, found, after)) => vec![
            Span::styled(before.to_string(), style),
            Span::styled(found.to_string(), style.patch(app.look.style(Role::Match))),
            Span::styled(after.to_string(), style),
        ],
        None => vec![Span::styled(text.to_string(), style)],
    }
}

/// The list of matches in place of the tree.
pub(super) fn found(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(list) = app.find.list else { return };
    let all = app.find.found();
    let height = usize::from(area.height);
    let top = list.top(all.len(), height);
    for (line, (at, found)) in (0..area.height).zip(all.iter().enumerate().skip(top)) {
        let mut spans = vec![Span::raw(" ")];
        spans.extend(marked(app, &app.look.clean(&found.path.to_string()), Role::Key));
        match found.shown.kind {
            Kind::Container => spans.push(Span::raw(" ")),
            _ => spans.push(Span::styled(" = ", app.look.style(Role::Dim))),
        }
        let is_shown = found.shown.kind != Kind::Container && !app.look.hides(found.path.keys());
        if is_shown && app.find.marks(found.shown.text()).is_some() {
            spans.extend(marked(app, &app.look.clean(found.shown.text()), role(found.shown.kind)));
        } else {
            spans.extend(leaf_spans(&app.look, found.path.keys(), &found.shown));
        }
        put(frame, area, line, spans);
        if at == list.cursor() {
            paint(frame, area, line, app.look.style(Role::Cursor));
        }
    }
}
