//! A node in full.

use super::{Stage, id};
use crate::store::Transaction;
use crate::tui::app::{Effect, Input};
use crate::tui::ask::Purpose;
use crate::value::Value;

const MOTD: &str = r#""Welcome to the router.\n\nAsk Alice before you change anything here:\n\tshe has the keys, and a long memory for whoever rebooted it in the middle of the night.\n""#;

fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(
        size,
        &[
            (
                "lan",
                r#"{"ip":"192.168.1.1","hosts":{"nas":{"mac":"00:11"},"192.168.1.9":{"on":true}},"none":{}}"#,
            ),
            ("lan.servers", r#"["1.1.1.1",{"name":"quad","port":53}]"#),
        ],
    );
    stage.put("lan.motd", MOTD);
    stage
}

fn questions(effects: Vec<Effect>) -> Vec<Purpose> {
    let purpose = |effect| if let Effect::Ask(ask) = effect { Some(ask.purpose) } else { None };
    effects.into_iter().filter_map(purpose).collect()
}

#[test]
fn a_leaf_is_shown_in_full_with_its_version_and_who_wrote_it_when() {
    let mut stage = stage((80, 24));
    stage.keys("olan.motd<enter><enter>");
    stage.shows("detail_80x24");
    stage.keys("<enter>");
    stage.lacks("Ask Alice before you change anything here:");
}

#[test]
fn the_detail_stands_beside_the_tree_where_there_is_room() {
    let mut stage = stage((200, 50));
    stage.keys("olan.motd<enter><enter>");
    stage.shows("detail_200x50");
    stage.keys("olan.servers<enter>");
    stage.shows("detail_list_200x50");
}

#[test]
fn the_smallest_screen_has_room_for_a_detail_which_is_scrolled() {
    let mut stage = stage((40, 10));
    stage.keys("olan.motd<enter><enter>");
    stage.shows("detail_40x10");
    stage.keys("<ctrl-e><ctrl-e>]]");
    stage.has("Ask Alice before");
    stage.lacks("text  version 2  bob");
    stage.keys("<ctrl-y>[[[");
    stage.has("text  version 2  bob");
}

#[test]
fn of_a_container_the_first_leaves_are_shown() {
    let mut stage = stage((80, 24));
    stage.keys("<enter>");
    stage.shows("detail_container_80x24");
    let many: Vec<String> = (0..300).map(|n| format!("\"k{n:03}\":{n}")).collect();
    stage.put("many", &format!("{{\"below\":{{{}}}}}", many.join(",")));
    stage.keys("omany<enter><ctrl-e>");
    stage.has("below.k002 = 2");
    (0..20).for_each(|_| stage.keys("]]]]]]]]]]]"));
    stage.has("below.k199 = 199");
    stage.has("and more");
    stage.keys("olan.none<enter>");
    stage.has("nothing is below it");
}

#[test]
fn it_follows_the_cursor_and_asks_only_once_that_stands_still() {
    let mut stage = stage((80, 24));
    stage.keys("l<enter>");
    let down = || Input::Key(super::named("down"));
    for _ in 0..3 {
        stage.now += 50;
        let asked = questions(stage.app.take(down(), stage.now, 0));
        assert!(!asked.iter().any(|purpose| matches!(purpose, Purpose::Detail(_))), "{asked:?}");
    }
    stage.pass(200);
    stage.has("text  version 2  bob");
}

#[test]
fn a_change_from_elsewhere_is_shown_with_who_made_it() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter><enter>");
    stage.has("text  version 0  setup");
    stage.put("lan.ip", r#""10.0.0.1""#);
    stage.pass(3_000);
    stage.has("10.0.0.1\n");
    stage.has("text  version 3  bob");
    stage.put("lan.ip", "[1]");
    stage.pass(3_000);
    stage.has("list  version 4  bob");
    stage.put("lan", r#"{"ip":{"a":7}}"#);
    stage.pass(3_000);
    stage.has("container of 1  version 5");
    stage.has("a = 7");
}

#[test]
fn many_changes_are_asked_for_twice_a_second_at_most() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter><enter>");
    let mut asked = 0;
    for _ in 0..100 {
        stage.now += 100;
        stage.app.detail_changed(&"lan.ip".parse().unwrap());
        let purposes = questions(stage.app.take(Input::Tick, stage.now, 0));
        if let Some(purpose) = purposes.into_iter().find(|purpose| matches!(purpose, Purpose::Detail(_))) {
            asked += 1;
            let outcome = Ok(Value::parse(r#"{"kind":"leaf","row":{"key":"ip","value":1}}"#).unwrap());
            stage.app.take(Input::Reply(crate::tui::ask::Reply { purpose, outcome }), stage.now, 0);
        }
    }
    assert!((18..=21).contains(&asked), "{asked}");
}

#[test]
fn a_version_older_than_the_kept_history_says_so() {
    let mut stage = stage((80, 24));
    (0..12).for_each(|n| stage.put("lan.count", &n.to_string()));
    stage.keys("olan.ip<enter><enter>");
    stage.has("text  version 0  from before the kept history");
}

#[test]
fn an_ephemeral_node_says_whose_it_is() {
    let mut stage = stage((80, 24));
    let session = stage.store().begin_session(id("sensor"));
    let put =
        Transaction::new(Some(id("sensor"))).put_ephemeral("lan.heat".parse().unwrap(), Value::from(41));
    stage.store().commit(Transaction { session: Some(session), ..put }).unwrap();
    stage.keys("l<enter>olan.heat<enter>");
    stage.pass(400);
    stage.has("number  ephemeral, ends with sensor");
}

#[test]
fn what_was_read_stays_readable_when_the_server_is_gone() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter><enter>");
    stage.stop_server();
    stage.pass(1_000);
    stage.has("text  version 0  setup");
    stage.keys("olan.motd<enter>");
    stage.has("nothing happened");
}

#[test]
fn a_value_is_copied_in_full() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter>y");
    stage.keys("olan.servers<enter>y");
    stage.keys("olan.hosts<enter>y");
    let copied: Vec<&String> = stage.effects.iter().filter(|effect| effect.starts_with("Copy")).collect();
    assert_eq!(
        copied,
        [
            r#"Copy("192.168.1.1")"#,
            r#"Copy("[\"1.1.1.1\",{\"name\":\"quad\",\"port\":53}]")"#,
            r#"Copy("{\"192.168.1.9\":{\"on\":true},\"nas\":{\"mac\":\"00:11\"}}")"#
        ]
    );
    stage.has("lan.hosts is copied");
}

#[test]
fn what_is_too_large_for_a_terminal_isnt_fetched_to_be_copied() {
    let mut stage = stage((80, 24));
    let many: Vec<String> = (0..1_500).map(|n| format!("\"k{n:04}\":{n}")).collect();
    stage.put("many", &format!("{{{}}}", many.join(",")));
    stage.put("long.text", &format!("\"{}\"", "x".repeat(70_000)));
    // The roots are read again from time to time.
    stage.pass(6_000);
    for path in ["many", "long.text"] {
        stage.keys(&format!("o{path}<enter>y"));
        stage.has(&format!("{path} is too large to be copied"));
    }
    assert!(!stage.effects.iter().any(|effect| effect.starts_with("Copy")));
}
