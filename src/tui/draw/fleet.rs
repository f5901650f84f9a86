//! The fleet: a line for each link, with as many columns as there's room for, and the router of the cursor in full.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::{paint, put};
use crate::tui::app::App;
use crate::tui::look::{Role, cut};
use crate::tui::table::{GAP, fit, thousands, width};
use crate::value::Value;
use crate::words::links::{self, HEADING, ROOT_HEADING, span};

/// From this height on the router of the cursor is shown in full below the others.
const TALL: u16 = 17;

/// Lines that it takes.
const BELOW: u16 = 8;

/// Columns of [`HEADING`].
const STATE: usize = 1;
const SINCE: usize = 2;
const ADDRESS: usize = 3;
const STALE: usize = 5;
const ROOTS: usize = 6;
const PROBLEM: usize = 7;

/// What stands right of them, where any router that is shown has a bridge to its `/etc/config`.
const UCI: usize = HEADING.len();

/// All of them.
const COLUMNS: usize = HEADING.len() + 1;

type Cells = [String; COLUMNS];

/// The least width of each column; so that what counts on doesn't move the others.
const LEAST: [usize; COLUMNS] = [6, 6, 6, 7, 3, 6, 5, 7, 3];

/// The widest column of IDs.
const MAX_ID: usize = 24;

/// What can be done without where there's no room, the first one first.
const SPARE: [usize; 4] = [ADDRESS, STALE, ROOTS, SINCE];

/// Lines that the router of the cursor takes.
pub(in crate::tui) fn lines_of_router(body: u16) -> u16 {
    if body >= TALL { BELOW } else { 0 }
}

impl App {
    pub(in crate::tui) fn fleet_draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let status = &self.status;
        let said = self.fleet_said();
        put(frame, area, 0, vec![self.said_of(status.failed.as_deref(), status.answer.is_some(), said)]);
        let (all, height) = (self.fleet.order.len(), self.fleet_height());
        if all == 0 {
            return self.fleet_none(frame, area);
        }
        let top = self.fleet.list.top(all, height);
        let shown: Vec<(bool, Cells)> = (top..all)
            .take(height)
            .filter_map(|at| self.fleet_link(at))
            .map(|link| self.cells(link))
            .collect();
        let columns = columns(&shown, self.fleet.longest, area.width.into());
        let mut heading = Cells::default();
        for (cell, name) in heading.iter_mut().zip(HEADING.into_iter().chain(["UCI"])) {
            *cell = name.into();
        }
        put(frame, area, 1, self.fleet_line(&heading, &columns, Role::Dim));
        for (line, (at, (is_up, cells))) in (2..area.height).zip((top..).zip(&shown)) {
            let role = if *is_up { Role::Plain } else { Role::Warning };
            put(frame, area, line, self.fleet_line(cells, &columns, role));
            if at == self.fleet.list.cursor() {
                paint(frame, area, line, self.look.style(Role::Cursor));
            }
        }
        let lines = lines_of_router(area.height);
        if lines > 0 {
            let place = Rect { y: area.bottom().saturating_sub(lines), height: lines, ..area };
            self.fleet_router(frame, place);
        }
    }

    fn fleet_none(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(answer) = &self.status.answer else { return };
        let text = if answer.get("links").is_none() {
            "this server tells an admin only who it's linked with"
        } else {
            "no server is linked with this one; tega serve --global makes links"
        };
        put(frame, area, 2, vec![Span::styled(text, self.look.style(Role::Dim))]);
    }

    /// How many are up, and how this server stands towards its own global server.
    fn fleet_said(&self) -> String {
        let fleet = &self.fleet;
        let order = if fleet.by_trouble { "trouble first" } else { "by ID" };
        let mut said = format!("{} of {} up, {order}", thousands(fleet.up), thousands(fleet.order.len()));
        let global = self.status.answer.as_ref().and_then(|answer| answer.get("global"));
        if let Some(global) = global.filter(|global| global.as_object().is_some()) {
            let text = |name| global.get(name).and_then(Value::as_str).unwrap_or_default();
            let since = global
                .get("since_s")
                .and_then(Value::as_int)
                .map_or(String::new(), |s| format!(" for {}", span(s)));
            said.push_str(&format!("; global {} {}{since}", text("address"), links::state(global)));
        }
        let pause = self.status.poll.pause() / 1_000;
        if pause > 2 {
            said.push_str(&format!("; asked every {pause} s"));
        }
        said
    }

    /// The cells of a link, and whether it's up.
    fn cells(&self, link: &Value) -> (bool, Cells) {
        let is_up = links::is_up(link);
        let mut cells = Cells::default();
        let told = links::cells(link).into_iter().chain(links::uci(link));
        for (cell, text) in cells.iter_mut().zip(told) {
            *cell = self.look.clean(&text);
        }
        if let Some(state) = cells.get_mut(STATE) {
            state.insert_str(0, if is_up { "+ " } else { "! " });
        }
        (is_up, cells)
    }

    fn fleet_line(&self, cells: &Cells, columns: &[(usize, usize)], state: Role) -> Vec<Span<'static>> {
        let role = |column| match column {
            _ if state == Role::Dim => Role::Dim,
            STATE => state,
            PROBLEM => Role::Warning,
            _ => Role::Plain,
        };
        let cell = |(column, wide): &(usize, usize)| {
            let text = cells.get(*column).map_or("", String::as_str);
            let text = fit(text, *wide, self.look.glyphs.more) + &" ".repeat(GAP);
            Span::styled(text, self.look.style(role(*column)))
        };
        columns.iter().map(cell).collect()
    }

    /// The router of the cursor in full.
    fn fleet_router(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(link) = self.fleet_chosen() else { return };
        let (look, room) = (&self.look, usize::from(area.width));
        let rule = look.glyphs.horizontal;
        let title = format!("{rule} {} ", look.clean(links::id(link)));
        let rest = rule.repeat(room.saturating_sub(width(&title)));
        let title = Span::styled(title, look.style(Role::Title));
        put(frame, area, 0, vec![title, Span::styled(rest, look.style(Role::Dim))]);
        let (_, cells) = self.cells(link);
        let [_, state, since, address, ..] = &cells;
        let mut head = format!("{state} for {since}  {address}");
        if let Some(ms) = link.get("silent_ms").and_then(Value::as_int).filter(|_| links::is_up(link)) {
            head.push_str(&format!("  silent for {ms}ms"));
        }
        let sessions = link.get("sessions").and_then(Value::as_list).map_or(&[][..], |list| list.items());
        let ids: Vec<&str> = sessions.iter().filter_map(Value::as_str).collect();
        if !ids.is_empty() {
            head.push_str(&format!("  sessions: {}", look.clean(&ids.join(" "))));
        }
        put(frame, area, 1, vec![Span::raw(cut(&head, room, look.glyphs.more))]);
        let problem = link.get("problem").and_then(Value::as_str);
        if let Some(problem) = problem {
            let text = format!("! {}", look.clean(problem));
            put(
                frame,
                area,
                2,
                vec![Span::styled(cut(&text, room, look.glyphs.more), look.style(Role::Warning))],
            );
        }
        let mut used = 2 + u16::from(problem.is_some());
        if let Some(uci) = links::uci(link) {
            let text = cut(&format!("/etc/config: {}", look.clean(&uci)), room, look.glyphs.more);
            let role = if links::has_uci_trouble(link) { Role::Warning } else { Role::Plain };
            put(frame, area, used, vec![Span::styled(text, look.style(role))]);
            used += 1;
        }
        let place = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
        self.fleet_roots(frame, place, link);
    }

    /// The roots of a router, as many as there's room for.
    fn fleet_roots(&self, frame: &mut Frame<'_>, area: Rect, link: &Value) {
        let roots = links::members(link);
        let mut room = usize::from(area.height).saturating_sub(1);
        if roots.len() > room {
            room = room.saturating_sub(1);
        }
        if roots.is_empty() {
            return put(frame, area, 0, vec![Span::styled("it has no roots", self.look.style(Role::Dim))]);
        }
        let shown = roots.iter().take(room).map(|(name, root)| links::root_cells(name, root));
        let rows: Vec<[String; 7]> = std::iter::once(ROOT_HEADING.map(String::from)).chain(shown).collect();
        let mut widths = [0; 7];
        for row in &rows {
            for (wide, cell) in widths.iter_mut().zip(row) {
                *wide = (*wide).max(width(&self.look.clean(cell))).min(40);
            }
        }
        let more = self.look.glyphs.more;
        for (line, row) in (0..area.height).zip(&rows) {
            let cell = |(cell, wide): (&String, &usize)| fit(&self.look.clean(cell), *wide, more) + "  ";
            let text: String = row.iter().zip(&widths).map(cell).collect();
            let role = if line == 0 { Role::Dim } else { Role::Plain };
            put(frame, area, line, vec![Span::styled(text, self.look.style(role))]);
        }
        if roots.len() > room {
            let text = format!("and {} more", thousands(roots.len() - room));
            put(
                frame,
                area,
                area.height.saturating_sub(1),
                vec![Span::styled(text, self.look.style(Role::Hint))],
            );
        }
    }
}

/// Which columns there's room for, and how wide each is.
fn columns(rows: &[(bool, Cells)], longest: usize, room: usize) -> Vec<(usize, usize)> {
    let mut natural = LEAST;
    for (_, cells) in rows {
        for (wide, cell) in natural.iter_mut().zip(cells) {
            *wide = (*wide).max(width(cell));
        }
    }
    let [id, _, _, address, ..] = &mut natural;
    // Those that aren't shown just now count too, so that nothing moves when they come.
    *id = longest.min(MAX_ID).min(room / 3).max(6);
    *address = (*address).min(22);
    let [.., uci] = &mut natural;
    *uci = (*uci).min(if room < 120 { 14 } else { 48 });
    let any_uci = rows.iter().any(|(_, cells)| cells.last().is_some_and(|uci| !uci.is_empty()));
    let mut kept: Vec<usize> = (0..COLUMNS).filter(|column| *column != UCI || any_uci).collect();
    let wide = |column: usize| natural.get(column).copied().unwrap_or(0);
    let is_problem = rows.iter().any(|(_, cells)| cells.get(PROBLEM).is_some_and(|it| !it.is_empty()));
    let wanted = |column| match column {
        PROBLEM if is_problem => wide(PROBLEM).min(24),
        ROOTS => wide(ROOTS).min(24),
        column => wide(column),
    };
    for spare in SPARE {
        let sum: usize = kept.iter().map(|column| wanted(*column) + GAP).sum();
        if sum <= room + GAP {
            break;
        }
        kept.retain(|column| *column != spare);
    }
    let is_flexible = |column: usize| matches!(column, ROOTS | PROBLEM);
    let fixed: usize =
        kept.iter().filter(|column| !is_flexible(**column)).map(|column| wide(*column) + GAP).sum();
    let left = room.saturating_sub(fixed);
    let problem = wide(PROBLEM).min(left.saturating_sub(wanted(ROOTS) + GAP).max(wanted(PROBLEM)));
    let of = |column: usize| match column {
        ROOTS => wide(ROOTS).min(left.saturating_sub(problem + GAP)),
        PROBLEM if !kept.contains(&ROOTS) => left,
        PROBLEM => problem,
        column => wide(column),
    };
    kept.iter().map(|column| (*column, of(*column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(problem: &str) -> (bool, Cells) {
        let cells =
            ["r1", "+ up", "1h2m", "10.0.0.2:4711", "0", "40ms", "config-r1=7/5 op-r1=3/3", problem, ""];
        (true, cells.map(String::from))
    }

    #[test]
    fn where_there_is_no_room_the_least_important_columns_go_first() {
        let names = |rows: &[(bool, Cells)], room| {
            let columns = columns(rows, 4, room);
            let sum: usize = columns.iter().map(|(_, wide)| wide + GAP).sum();
            assert!(sum <= room + GAP, "{columns:?} in {room}");
            columns
                .iter()
                .map(|(column, _)| *HEADING.get(*column).unwrap_or(&"UCI"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (fine, bad) = ([row("")], [row("gone; config-r1: is mine")]);
        assert_eq!(names(&fine, 200), HEADING.join(" "));
        assert_eq!(names(&bad, 200), HEADING.join(" "));
        let mut uci = fine.clone();
        uci[0].1[UCI] = "reverted 9 (confirmed 8): no proof".into();
        assert_eq!(names(&uci, 200), HEADING.join(" ") + " UCI");
        assert_eq!(names(&uci, 60), "ID STATE SINCE LAG PROBLEM UCI");
        assert_eq!(names(&fine, 80), "ID STATE SINCE LAG STALE ROOTS PROBLEM");
        assert_eq!(names(&bad, 80), "ID STATE SINCE LAG ROOTS PROBLEM");
        assert_eq!(names(&fine, 40), "ID STATE SINCE LAG PROBLEM");
        assert_eq!(names(&bad, 40), "ID STATE LAG PROBLEM");
    }
}
