//! The versions of a root, and the way back.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::Stage;
use crate::path::Key;
use crate::tui::app::{Effect, Input};
use crate::tui::ask::{Ask, Job, Purpose, Reply};
use crate::value::Value;

/// Five versions of `lan`, of which the last one is of alice's doing.
fn stage(size: (u16, u16)) -> Stage {
    let mut stage =
        Stage::new(size, &[("lan", r#"{"ip":"192.168.1.1","mtu":1500,"hosts":{"nas":{"mac":"00:11"}}}"#)]);
    stage.put("lan.ip", r#""192.168.1.2""#);
    stage.put("lan.hosts.tv", r#"{"mac":"00:22","name":"living room"}"#);
    stage.delete("lan.hosts.nas");
    stage.put("lan.mtu", r#""1500""#);
    stage
}

fn value(stage: &Stage, path: &str) -> Option<String> {
    let path: crate::path::Path = path.parse().unwrap();
    let view = stage.store().view();
    let root = view.root(path.root().unwrap())?;
    Some(root.present.get(&path.keys()[1..])?.to_value().to_string())
}

/// What a key asks the server for.
fn asked(stage: &mut Stage, key: char) -> Vec<Ask> {
    let effects =
        stage.app.take(Input::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)), stage.now, 0);
    effects
        .into_iter()
        .filter_map(|effect| if let Effect::Ask(ask) = effect { Some(ask) } else { None })
        .collect()
}

#[test]
fn versions_are_listed_with_what_each_one_changed() {
    let mut stage = stage((80, 24));
    stage.keys("H");
    stage.shows("history_80x24");
    stage.keys("jj");
    stage.has("what version 2 changed: 2 values");
    stage.has("+ lan.hosts.tv.name = living room");
    stage.keys("G");
    stage.has("the oldest version that is kept");
    stage.keys("<esc>");
    stage.has("lan {3}");
}

#[test]
fn the_changes_stand_beside_the_list_where_there_is_room() {
    let mut stage = stage((200, 50));
    stage.keys("Hj");
    stage.shows("history_200x50");
}

#[test]
fn the_smallest_screen_shows_a_part_of_each_and_all_of_one() {
    let mut stage = stage((40, 10));
    stage.keys("H");
    stage.shows("history_40x10");
    stage.keys("jj<enter>");
    stage.shows("history_whole_40x10");
    stage.keys("<esc>");
    stage.has("bob");
}

#[test]
fn versions_are_compared_with_one_that_is_marked() {
    let mut stage = stage((80, 24));
    stage.keys("HGmgj");
    stage.has("[marked]");
    stage.has("from version 0, marked, to 3: 4 values");
    stage.has("- lan.hosts.nas.mac = 00:11");
    stage.keys("Gm");
    stage.keys("g");
    stage.has("what version 4 changed: 1 value");
    stage.has("- lan.mtu = 1500");
    stage.has("+ lan.mtu = \"1500\"");
}

#[test]
fn differences_are_asked_for_once_the_cursor_stands_still() {
    let mut stage = stage((80, 24));
    stage.keys("H");
    for _ in 0..3 {
        stage.now += 50;
        assert_eq!(asked(&mut stage, 'j').len(), 0);
    }
    stage.pass(200);
    stage.has("what version 1 changed");
}

#[test]
fn a_rollback_is_looked_at_before_it_is_made() {
    let mut stage = stage((80, 24));
    stage.keys("Hjjjb");
    stage.shows("history_preview_80x24");
    stage.keys("n");
    stage.has("nothing done");
    stage.has("what version 1 changed");
    assert_eq!(value(&stage, "lan.mtu").as_deref(), Some("\"1500\""));
    stage.keys("by");
    stage.has("lan is at version 5, which is as version 1 was");
    stage.has("rollback to 1");
    assert_eq!(value(&stage, "lan.mtu").as_deref(), Some("1500"));
    assert_eq!(value(&stage, "lan.hosts").as_deref(), Some(r#"{"nas":{"mac":"00:11"}}"#));
}

#[test]
fn a_preview_has_a_small_screen_for_itself_and_is_scrolled_before_the_answer() {
    let mut stage = stage((40, 10));
    stage.keys("HGb");
    stage.shows("history_preview_40x10");
    stage.keys("jjjjj]");
    stage.has("+ lan.mtu = 1500");
    stage.keys("y");
    stage.has("lan is at version 5");
}

#[test]
fn a_commit_between_the_preview_and_the_answer_is_noticed() {
    let mut stage = stage((80, 24));
    stage.keys("Hjjjb");
    stage.put("lan.ip", r#""10.0.0.1""#);
    stage.pass(1_000);
    stage.has("out of date: version 5 came");
    stage.keys("y");
    stage.has("somebody changed lan since the preview; nothing was done");
    assert_eq!(value(&stage, "lan.ip").as_deref(), Some("\"10.0.0.1\""));
    stage.keys("by");
    stage.has("lan is at version 6, which is as version 1 was");
}

#[test]
fn the_present_version_and_one_that_is_as_it_is_need_no_rollback() {
    let mut stage = stage((80, 24));
    stage.keys("Hb");
    stage.has("version 4 is the present one");
    stage.keys("jjby");
    stage.has("lan is at version 5, which is as version 2 was");
    stage.pass(600);
    stage.keys("b");
    stage.has("version 2 is as version 5, the present one");
}

#[test]
fn what_stands_against_a_rollback_is_said_before_the_question() {
    let mut stage = stage((80, 24));
    stage.keys("Hj");
    let ask = asked(&mut stage, 'b').remove(0);
    assert_eq!(ask.purpose, Purpose::MayRollBack("lan".into(), 3));
    let page = r#"{"root_version":4,"writable":false,"refusal":{"code":"no_link","message":"the home of lan isn't linked"}}"#;
    let reply = Reply { purpose: ask.purpose, outcome: Ok(Value::parse(page).unwrap()) };
    stage.take(Input::Reply(reply));
    stage.has("! the home of lan isn't linked");
    assert!(stage.app.prompt.is_none());
}

#[test]
fn the_cursor_stays_on_its_version_while_others_come() {
    let mut stage = stage((80, 24));
    stage.keys("Hj");
    stage.has("what version 3 changed");
    (0..3).for_each(|n| stage.put("lan.count", &n.to_string()));
    stage.pass(1_000);
    stage.has("[present] put lan.count");
    stage.has("what version 3 changed");
    stage.put("wan.x", "1");
    assert!(
        stage
            .app
            .take(Input::Tick, stage.now + 10_000, 0)
            .iter()
            .all(|effect| { !matches!(effect, Effect::Ask(Ask { purpose: Purpose::History(_), .. })) })
    );
}

#[test]
fn a_state_that_was_replaced_is_shown_with_the_way_to_it() {
    let mut stage = stage((80, 24));
    stage.keys("H");
    let history = r#"[{"version":9,"incarnation":"00000000000000ab","deleted":false,"time":1795368600999,"tega_id":"bob",
        "replaced":"00000000000000ab-9","changes":[]},
        {"version":4,"incarnation":"00000000000000cd","deleted":true,"time":null,"tega_id":null,"changes":[]}]"#;
    let purpose = Purpose::History(Key::from("lan"));
    let outcome = Ok(Value::parse(history).unwrap());
    // Only this, without what the server would answer to the questions that come of it.
    stage.app.take(Input::Reply(Reply { purpose, outcome }), stage.now, 0);
    stage.has("[present, deleted]");
    asked(&mut stage, 'j');
    stage.has("9  2026-11-22 17:30:00  bob  set aside; get it with --replaced 00000");
    stage.has("version 9, set aside");
    assert_eq!(asked(&mut stage, 'b').len(), 0);
    stage.has("tega get --replaced 00000000000000ab-9 lan");
}

#[test]
fn a_deleted_root_is_brought_back() {
    let mut stage = stage((80, 24));
    stage.keys("H");
    stage.delete("lan");
    stage.pass(1_000);
    stage.has("[present, deleted]");
    assert_eq!(value(&stage, "lan.ip"), None);
    stage.keys("by");
    stage.has("lan is at version 6, which is as version 4 was");
    assert_eq!(value(&stage, "lan.ip").as_deref(), Some("\"192.168.1.2\""));
}

#[test]
fn a_rollback_carries_the_version_that_was_looked_at() {
    let mut stage = stage((80, 24));
    stage.keys("Hjb");
    let ask = asked(&mut stage, 'y').remove(0);
    let Job::Commit(ops) = ask.job else { panic!("{ask:?}") };
    let mut text = String::new();
    crate::message::ops::write_list(&ops, &mut text);
    assert_eq!(text, r#"[{"rollback":"lan","backto":3,"version":4}]"#);
}
