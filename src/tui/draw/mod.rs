//! The screen as a function of the state: where everything stands, and what frames it.

mod fleet;
mod rows;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Clear, Widget};

pub(super) use fleet::lines_of_router;
pub(super) use rows::{leaf_spans, role};

use super::app::{App, SMALLEST, Screen, Session};
use super::keys;
use super::look::{Role, cut};
use crate::words;

/// From this width on the detail stands beside the tree, below it the detail is beneath.
pub(super) const WIDE: u16 = 100;

/// Where everything stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Areas {
    /// Screens and server.
    pub header: Rect,
    /// Where one is, and how much changes.
    pub crumbs: Rect,
    /// That the server is away; no lines where it isn't.
    pub banner: Rect,
    /// Everything between.
    pub body: Rect,
    /// The tree's part of it, when the tree is shown.
    pub tree: Rect,
    /// The detail's part of it.
    pub detail: Rect,
    /// Keys, a message, or a prompt.
    pub footer: Rect,
}

/// Where everything stands now.
pub(super) fn areas(app: &App) -> Areas {
    let (width, height) = app.size;
    let line = |y: u16, lines: u16| Rect::new(0, y, width, lines);
    let banner = u16::from(matches!(app.session, Session::Cut(..)));
    let body = line(2 + banner, height.saturating_sub(3 + banner));
    let (mut tree, mut detail) = (body, Rect::default());
    if app.screen == Screen::Tree && app.detail.is_open() {
        if width >= WIDE {
            let left = width * 11 / 20;
            tree.width = left;
            detail = Rect::new(left, body.y, width - left, body.height);
        } else {
            let below = (body.height * 9 / 20).max(4).min(body.height);
            tree.height = body.height - below;
            detail = Rect::new(0, body.y + tree.height, width, below);
        }
    }
    let footer = line(height.saturating_sub(1), 1);
    Areas { header: line(0, 1), crumbs: line(1, 1), banner: line(2, banner), body, tree, detail, footer }
}

/// The most lines of a message at the foot.
const MAX_MESSAGE: usize = 4;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let (width, height) = app.size;
    if width < SMALLEST.0 || height < SMALLEST.1 {
        let text = format!("{}x{} is needed, {width}x{height} is here", SMALLEST.0, SMALLEST.1);
        return put(frame, frame.area(), 0, vec![Span::raw(text)]);
    }
    let areas = areas(app);
    header(frame, app, areas.header);
    crumbs(frame, app, areas.crumbs);
    banner(frame, app, areas.banner);
    match app.screen {
        Screen::Tree if app.find.is_shown() => rows::found(frame, app, areas.tree),
        Screen::Tree => rows::tree(frame, app, areas.tree),
        Screen::Fleet => app.fleet_draw(frame, areas.body),
        Screen::Sessions => app.sessions_draw(frame, areas.body),
        Screen::Journal => app.journal_draw(frame, areas.body),
        Screen::Status => app.status_draw(frame, areas.body),
        Screen::Pending => app.pending_draw(frame, areas.body),
        Screen::History => app.history_draw(frame, areas.body),
        Screen::Output => app.output_draw(frame, areas.body),
    }
    if areas.detail.height > 0 {
        app.detail_draw(frame, areas.detail);
    }
    footer(frame, app, areas.footer);
    if app.prompt.is_some() {
        prompt(frame, app, areas.footer);
    }
    if app.form.is_some() {
        app.form_draw(frame, areas.body);
    }
    if let Some(top) = app.help {
        help(frame, app, areas.body, top);
    }
}

/// Writes spans on a line of an area, cut at its right end.
pub(super) fn put(frame: &mut Frame<'_>, area: Rect, line: u16, spans: Vec<Span<'_>>) {
    if line < area.height {
        Text::from(spans).render(Rect::new(area.x, area.y + line, area.width, 1), frame.buffer_mut());
    }
}

/// Writes spans at the right end of a line.
pub(super) fn put_right(frame: &mut Frame<'_>, area: Rect, line: u16, spans: Vec<Span<'_>>) {
    let width: usize = spans.iter().map(Span::width).sum();
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    if line < area.height {
        let place = Rect::new(area.right() - width, area.y + line, width, 1);
        Text::from(spans).render(place, frame.buffer_mut());
    }
}

/// Gives a whole line a style.
pub(super) fn paint(frame: &mut Frame<'_>, area: Rect, line: u16, style: Style) {
    if line < area.height {
        frame.buffer_mut().set_style(Rect::new(area.x, area.y + line, area.width, 1), style);
    }
}

/// A box over an area: as large as this, in the middle, empty, with a title. What is inside of it.
pub(super) fn boxed(
    frame: &mut Frame<'_>,
    app: &App,
    area: Rect,
    (width, height): (u16, u16),
    title: &str,
) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let place =
        Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    Clear.render(place, frame.buffer_mut());
    let glyphs = app.look.glyphs;
    let dim = app.look.style(Role::Dim);
    let rule = glyphs.horizontal.repeat(width.into());
    for line in [0, height.saturating_sub(1)] {
        put(frame, place, line, vec![Span::styled(rule.clone(), dim)]);
    }
    put(
        frame,
        place,
        0,
        vec![
            Span::styled(glyphs.horizontal, dim),
            Span::styled(
                format!(" {} ", cut(title, usize::from(width).saturating_sub(6), glyphs.more)),
                app.look.style(Role::Title),
            ),
        ],
    );
    Rect::new(place.x + 1, place.y + 1, width.saturating_sub(2), height.saturating_sub(2))
}

/// The tabs: where each begins, its text, and its screen.
fn tabs(app: &App) -> Vec<(u16, String, Screen)> {
    let all =
        [Screen::Tree, Screen::Fleet, Screen::Sessions, Screen::Journal, Screen::Status, Screen::Pending];
    let is_narrow = app.size.0 < 70;
    let mut column = 0;
    let mut out = Vec::new();
    for (at, screen) in all.into_iter().enumerate() {
        let count = app.pending.len();
        let more = if screen == Screen::Pending && count > 0 { format!("({count})") } else { String::new() };
        let title = if is_narrow && screen != app.screen { "" } else { screen.title() };
        let space = if title.is_empty() { "" } else { " " };
        let text = format!(" {}{space}{title}{more} ", at + 1);
        let width = u16::try_from(text.chars().count()).unwrap_or(0);
        out.push((column, text, screen));
        column += width;
    }
    out
}

/// The screen of the tab at a place.
pub(super) fn tab_at(app: &App, column: u16, row: u16) -> Option<Screen> {
    if row != 0 {
        return None;
    }
    tabs(app).into_iter().rev().find(|(from, ..)| *from <= column).map(|(.., screen)| screen)
}

fn header(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let tabs = tabs(app);
    let used: usize = tabs.iter().map(|(_, text, _)| text.chars().count()).sum();
    let style = |screen| {
        let role = if screen == app.screen { Role::Cursor } else { Role::Plain };
        app.look.style(role)
    };
    put(
        frame,
        area,
        0,
        tabs.iter().map(|(_, text, screen)| Span::styled(text.as_str(), style(*screen))).collect(),
    );
    let room = usize::from(area.width).saturating_sub(used + 1);
    let who = if app.by.as_str() == "tui" { String::new() } else { format!("{} at ", app.by.as_str()) };
    let server = cut(&format!("{who}{}", app.server), room, app.look.glyphs.more);
    put_right(frame, area, 0, vec![Span::styled(server, app.look.style(Role::Dim))]);
}

/// Where one is, from the root on; on other screens than the tree, which one.
fn crumbs(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let glyphs = app.look.glyphs;
    let dim = app.look.style(Role::Dim);
    let rate = match app.rate.last() {
        0 => String::new(),
        count => format!(" {count}/s"),
    };
    let bars = if area.width >= 60 { app.rate.bars(glyphs.bars) } else { String::new() };
    let right = format!("{}{rate}", bars.trim_start());
    let room = usize::from(area.width).saturating_sub(right.chars().count() + 2);
    let mut left = match app.screen {
        Screen::Tree => {
            let keys: Vec<String> = app.tree.cursor.keys().iter().map(|key| app.look.clean(key)).collect();
            keys.join(glyphs.separator)
        }
        Screen::History => format!("History of {}", app.look.clean(app.history.root())),
        screen => screen.title().to_string(),
    };
    if app.screen == Screen::Tree
        && let Some(follow) = &app.tree.follow
    {
        left = format!("[following {}] {left}", app.look.clean(&follow.to_string()));
    }
    let left = tail(&left, room, glyphs.more);
    put(frame, area, 0, vec![Span::styled(left, app.look.style(Role::Title))]);
    put_right(frame, area, 0, vec![Span::styled(right, dim)]);
}

/// The last columns of a text, with a mark where it was cut.
pub(super) fn tail(text: &str, columns: usize, more: char) -> String {
    let count = text.chars().count();
    if count <= columns {
        return text.to_string();
    }
    let skip = count + 1 - columns.max(1);
    std::iter::once(more).chain(text.chars().skip(skip)).collect()
}

fn banner(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Session::Cut(since, why) = &app.session else { return };
    let seconds = (app.wall - since).max(0) / 1_000;
    let text = format!(" cut off since {} ({seconds} s): {why}; trying again", clock(*since));
    paint(frame, area, 0, app.look.style(Role::Banner));
    put(frame, area, 0, vec![Span::styled(app.look.clean(&text), app.look.style(Role::Banner))]);
}

/// Hours, minutes and seconds of a time of the wall clock, in UTC.
pub(super) fn clock(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn footer(frame: &mut Frame<'_>, app: &App, area: Rect) {
    if let Some(message) = &app.message {
        let role = if message.bad { Role::Warning } else { Role::Plain };
        let sign = if message.bad { "! " } else { "" };
        let text = format!("{sign}{}", app.look.clean(&message.text));
        // What to do often stands at the end: a long one takes lines of what is above, until the next key.
        let is_alone = app.form.is_none() && app.prompt.is_none() && app.help.is_none();
        let most = if message.seen || !is_alone { 1 } else { MAX_MESSAGE };
        upwards(frame, app, area, &text, (role, most));
        return;
    }
    let mut spans = Vec::new();
    let said = app.find.said();
    let mut used = 0;
    if app.screen == Screen::Tree && !said.is_empty() {
        used = said.chars().count() + 2;
        spans.push(Span::styled(app.look.clean(&said), app.look.style(Role::Title)));
        spans.push(Span::raw("  "));
    }
    for (key, what) in keys::footer(app.screen) {
        used += key.chars().count() + what.chars().count() + 3;
        if used > usize::from(area.width) {
            break;
        }
        spans.push(Span::styled(key, app.look.style(Role::Title)));
        spans.push(Span::styled(format!(" {what}  "), app.look.style(Role::Hint)));
    }
    put(frame, area, 0, spans);
}

/// Draws a text in at most so many lines, of which the last is the area's.
fn upwards(frame: &mut Frame<'_>, app: &App, area: Rect, text: &str, (role, most): (Role, usize)) {
    let width = usize::from(area.width);
    let mut lines = words::broken(text, width);
    if lines.len() > most {
        let rest = lines.split_off(most.saturating_sub(1)).join(" ");
        lines.push(cut(&rest, width, app.look.glyphs.more));
    }
    let height = u16::try_from(lines.len()).unwrap_or(1).min(area.y + 1);
    let place = Rect::new(area.x, area.y + 1 - height, area.width, height);
    Clear.render(place, frame.buffer_mut());
    for (at, line) in (0..height).zip(lines) {
        put(frame, place, at, vec![Span::styled(line, app.look.style(role))]);
    }
}

fn prompt(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(prompt) = &app.prompt else { return };
    let note = if prompt.note.is_empty() && matches!(prompt.what, super::prompt::For::Find(_)) {
        app.find.said()
    } else {
        prompt.note.clone()
    };
    Clear.render(area, frame.buffer_mut());
    let label = app.look.clean(&prompt.label);
    let used = Span::raw(label.as_str()).width();
    let note = app.look.clean(&note);
    let mut shown_note = cut(&note, usize::from(area.width) / 2, app.look.glyphs.more);
    if shown_note != note && prompt.offered.is_empty() {
        shown_note.clear();
        let above = Rect::new(area.x, area.y.saturating_sub(1), area.width, 1);
        upwards(frame, app, above, &note, (Role::Hint, MAX_MESSAGE));
    }
    let room = usize::from(area.width).saturating_sub(used + Span::raw(shown_note.as_str()).width() + 2);
    let (text, before) = prompt.line.window(room.max(1));
    let (text, at) = (app.look.clean(&text), Span::raw(app.look.clean(&before)).width());
    put(frame, area, 0, vec![Span::styled(label, app.look.style(Role::Title)), Span::raw(text)]);
    put_right(frame, area, 0, vec![Span::styled(shown_note, app.look.style(Role::Hint))]);
    let column = u16::try_from(used + at).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position((column, area.y));
    offered(frame, app, area);
}

/// What a path may go on with, above the prompt.
fn offered(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(prompt) = app.prompt.as_ref().filter(|prompt| !prompt.offered.is_empty()) else { return };
    let lines = u16::try_from(prompt.offered.len()).unwrap_or(u16::MAX).min(8).min(area.y);
    let place = Rect::new(0, area.y - lines, area.width, lines);
    Clear.render(place, frame.buffer_mut());
    for (line, name) in (0..lines).zip(&prompt.offered) {
        let rest = prompt.offered.len().saturating_sub(lines.into());
        let more = if line + 1 == lines && rest > 0 { format!("   and {rest} more") } else { String::new() };
        put(
            frame,
            place,
            line,
            vec![
                Span::styled(format!("  {}", app.look.clean(name)), app.look.style(Role::Plain)),
                Span::styled(more, app.look.style(Role::Hint)),
            ],
        );
    }
}

fn help(frame: &mut Frame<'_>, app: &App, area: Rect, top: usize) {
    let lines = keys::help(app.screen);
    let inside = boxed(frame, app, area, (area.width, area.height), "Keys (any other key closes this)");
    let column = lines.iter().map(|(keys, _)| keys.chars().count()).max().unwrap_or(0) + 2;
    for (line, (keys, what)) in (0..inside.height).zip(lines.iter().skip(top)) {
        let spans = if keys.is_empty() {
            vec![Span::styled(what.as_str(), app.look.style(Role::Title))]
        } else {
            vec![
                Span::styled(format!("  {keys:<column$}"), app.look.style(Role::Marker)),
                Span::raw(what.as_str()),
            ]
        };
        put(frame, inside, line, spans);
    }
    let rest = lines.len().saturating_sub(top + usize::from(inside.height));
    if rest > 0 {
        let text = format!(" {rest} more lines below ");
        put_right(
            frame,
            inside,
            inside.height.saturating_sub(1),
            vec![Span::styled(text, app.look.style(Role::Hint))],
        );
    }
}
