//! The tree's screen.

use super::Stage;
use crate::store::Transaction;
use crate::value::Value;

const LAN: (&str, &str) = (
    "lan",
    r#"{"hosts":{"192.168.1.9":{"name":"printer"},"nas":{"mac":"00:11:22:33:44:55"}},"ip":"192.168.1.1","mtu":1500,"on":true,"dns":["1.1.1.1"],"pin":"0123","none":null}"#,
);
const WAN: (&str, &str) = ("wan", r#"{"proto":"dhcp"}"#);

fn stage(size: (u16, u16)) -> Stage {
    Stage::new(size, &[LAN, WAN])
}

#[test]
fn the_tree_is_unfolded_line_by_line() {
    let mut stage = stage((80, 24));
    stage.keys("lljl");
    stage.shows("tree_80x24");
}

#[test]
fn the_tree_has_room_on_a_large_screen() {
    let mut stage = stage((200, 50));
    stage.keys("z9v");
    stage.shows("tree_200x50");
}

#[test]
fn the_smallest_screen_still_works_and_a_smaller_one_says_so() {
    let mut stage = stage((40, 10));
    stage.keys("ljjj");
    stage.shows("tree_40x10");
    stage.take(super::Input::Resize(39, 10));
    stage.has("40x10 is needed, 39x10 is here");
}

#[test]
fn the_cursor_keeps_its_node_and_its_place_while_others_come_and_go() {
    let mut stage = stage((80, 24));
    stage.keys("ljjj");
    assert_eq!(stage.app.tree.cursor.to_string(), "lan.ip");
    let line = stage.app.tree.on_screen;
    stage.put("lan.aaa", "1");
    stage.put("alpha.x", "1");
    assert_eq!(stage.app.tree.cursor.to_string(), "lan.ip");
    assert!(stage.app.tree.on_screen <= line + 2);
    stage.has("aaa = 1");
    stage.delete("lan.ip");
    assert_eq!(stage.app.tree.cursor.to_string(), "lan.mtu", "the next one takes its place");
    stage.delete("lan.aaa");
    stage.lacks("aaa");
}

#[test]
fn what_is_typed_before_the_prompt_is_open_is_meant_for_it() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter>");
    stage.hold = true;
    stage.keys("e<ctrl-u>10.0.0.2<enter>");
    stage.has("ip = 192.168.1.1");
    stage.hold = false;
    stage.release();
    stage.pass(100);
    stage.has("ip = 192.168.1.1 -> 10.0.0.2");
    // What waits too long isn't remembered by anybody.
    stage.hold = true;
    stage.keys("e11");
    stage.pass(4_000);
    stage.hold = false;
    stage.release();
    stage.lacks("10.0.0.211");
}

#[test]
fn what_is_typed_for_a_prompt_that_doesnt_open_does_nothing_at_all() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter>e<ctrl-u>10.0.0.2<enter>");
    // Somebody deletes the next node, and the session hasn't told of it yet.
    stage.keys("olan.mtu<enter>");
    stage.store().commit(Transaction::new(None).delete("lan.mtu".parse().unwrap())).unwrap();
    stage.hold = true;
    stage.keys("ecy");
    stage.hold = false;
    stage.release();
    stage.pass(100);
    assert_eq!(stage.store().get(&"lan.ip".parse().unwrap()), Some(Value::from("192.168.1.1")));
    stage.has("6 Changes(1)");
    stage.lacks("y/n");
}

#[test]
fn a_prompt_that_is_asked_for_twice_keeps_what_is_typed_into_it() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter>");
    stage.hold = true;
    stage.keys("e<esc>e");
    stage.hold = false;
    stage.release();
    stage.keys("<ctrl-u>10.0.0.2<enter>");
    stage.has("ip = 192.168.1.1 -> 10.0.0.2");
}

#[test]
fn names_for_a_path_that_was_left_arent_offered_for_another() {
    let mut stage = stage((80, 24));
    stage.hold = true;
    stage.keys("olan.<tab><esc><esc>owan.<tab>");
    stage.hold = false;
    stage.release();
    stage.has("go to wan.proto");
    stage.lacks("lan.hosts");
}
