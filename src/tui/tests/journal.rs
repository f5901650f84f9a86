//! The log of notifications and messages.

use std::collections::VecDeque;

use super::{Stage, WALL};
use crate::tui::app::{Input, Screen};
use crate::tui::feed::{Batch, Note};

fn note(n: usize) -> Note {
    let (what, place, text) = match n % 4 {
        0 => ("put", format!("lan.hosts.h{n}"), format!("192.168.1.{n}")),
        1 => ("del", format!("lan.hosts.h{}", n - 1), String::new()),
        2 => ("message", "alarm".into(), format!("it burns, the {n}th time")),
        _ => ("rollback", "lan".into(), "to -1".into()),
    };
    let who = if n.is_multiple_of(3) { "bob" } else { "hostapd" };
    Note { time_ms: WALL + 1_000 * n as i64, what, place, who: who.into(), text }
}

fn tell(stage: &mut Stage, numbers: std::ops::Range<usize>, dropped: usize) {
    let notes: VecDeque<Note> = numbers.map(note).collect();
    stage.take(Input::Changes(Batch { count: notes.len(), notes, dropped, ..Batch::default() }));
}

fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(size, &[("lan", r#"{"ip":"192.168.1.1","hosts":{"h4":1}}"#)]);
    stage.keys("4");
    stage
}

#[test]
fn the_newest_line_is_the_last_one_and_it_follows() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        let mut stage = stage(size);
        tell(&mut stage, 0..10, 0);
        tell(&mut stage, 10..30, 1_234);
        stage.shows(&format!("journal_{}x{}", size.0, size.1));
    }
}

#[test]
fn a_line_that_is_looked_at_stays_while_others_come() {
    let mut stage = stage((80, 24));
    tell(&mut stage, 0..100, 0);
    stage.keys("kkkk");
    stage.has("not following");
    let before = stage.screen();
    tell(&mut stage, 100..1_900, 0);
    let line = |screen: &str| screen.lines().nth(10).unwrap().to_string();
    assert_eq!(line(&stage.screen()), line(&before));
    tell(&mut stage, 1_900..2_080, 0);
    assert_eq!(line(&stage.screen()), line(&before), "the first ones went, and it's still there");
    stage.has("2,000 lines");
    stage.keys("G");
    stage.lacks("not following");
    tell(&mut stage, 2_080..2_081, 0);
    stage.has("h2080");
}

#[test]
fn a_pause_holds_the_lines_and_counts_what_comes() {
    let mut stage = stage((80, 24));
    tell(&mut stage, 0..5, 0);
    stage.keys("<space>");
    tell(&mut stage, 5..10, 0);
    stage.has("5 lines; paused, 5 new");
    stage.lacks("h8");
    tell(&mut stage, 10..20, 3_000);
    stage.has("paused, 3,015 new");
    stage.keys("<space>");
    stage.has("… 3,000 not shown");
    stage.has("20 lines; 3,000 not shown");
    stage.keys("<space>");
    tell(&mut stage, 20..2_100, 0);
    stage.has("paused, 2,080 new");
    stage.keys("<space>");
    stage.has("h2096");
    stage.has("3,080 not shown");
}

#[test]
fn a_filter_leaves_the_lines_that_have_its_text() {
    let mut stage = stage((80, 24));
    tell(&mut stage, 0..40, 0);
    stage.keys("/BURNS");
    stage.has("filter: BURNS, 0 of 40");
    stage.has("no line has that");
    stage.keys("<ctrl-u>burns");
    stage.has("filter: burns, 10 of 40");
    stage.keys("<enter>");
    tell(&mut stage, 40..44, 7);
    stage.has("filter: burns, 11 of 44; 7 not shown");
    stage.has("the 42th time");
    stage.lacks("rollback");
    stage.shows("journal_filter_80x24");
    stage.keys("/<ctrl-u>bob<esc>");
    stage.has("filter: burns");
    stage.keys("<esc>");
    stage.has("44 lines");
    assert_eq!(stage.app.screen, Screen::Journal);
    tell(&mut stage, 0..2_100, 0);
    stage.keys("/bob<enter>g");
    tell(&mut stage, 2_100..2_400, 0);
    stage.has("of 2,000");
    stage.has("bob");
}

#[test]
fn a_line_leads_to_its_path() {
    let mut stage = stage((80, 24));
    tell(&mut stage, 0..5, 0);
    stage.keys("<enter>");
    assert_eq!((stage.app.screen, stage.app.tree.cursor.to_string()), (Screen::Tree, "lan.hosts.h4".into()));
    stage.keys("4kk<enter>");
    stage.has("a message of the channel alarm has no place in the tree");
    stage.keys("j<enter>");
    assert_eq!(stage.app.tree.cursor.to_string(), "lan");
}

#[test]
fn ten_thousand_lines_a_second_cost_what_is_shown_of_them() {
    let mut stage = stage((80, 24));
    let begun = std::time::Instant::now();
    for second in 0..2 {
        for tenth in 0..10 {
            let from = second * 10_000 + tenth * 1_000;
            tell(&mut stage, from..from + 500, 500);
            stage.screen();
        }
    }
    stage.has("10,000 not shown");
    assert!(begun.elapsed().as_millis() < 2_000, "{:?}", begun.elapsed());
}
