//! What the screen does beside showing trees: help, commands, the mouse, the clipboard, a server that is away.

use std::path::PathBuf;

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::{Input, Stage};
use crate::tui::ask::{Purpose, Reply};
use crate::tui::look::Look;
use crate::tui::output::Verb;
use crate::value::Value;

const LAN: (&str, &str) =
    ("lan", r#"{"hosts":{"nas":{"mac":"00:11:22:33:44:55"}},"ip":"192.168.1.1","mtu":1500}"#);
const WAN: (&str, &str) = ("wan", r#"{"proto":"dhcp"}"#);

const SIZES: [(&str, (u16, u16)); 3] = [("80x24", (80, 24)), ("200x50", (200, 50)), ("40x10", (40, 10))];

fn stage(size: (u16, u16)) -> Stage {
    Stage::new(size, &[LAN, WAN])
}

fn mouse(stage: &mut Stage, kind: MouseEventKind, column: u16, row: u16) {
    stage.take(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
}

#[test]
fn the_help_lists_the_keys_of_the_screen() {
    for (name, size) in SIZES {
        let mut stage = stage(size);
        stage.keys("?");
        stage.shows(&format!("help_{name}"));
        stage.keys("jjj<pagedown>");
        stage.keys("x");
        stage.lacks("Keys (");
    }
}

#[test]
fn a_long_message_is_shown_whole_until_the_next_key_and_then_on_one_line() {
    let mut stage = stage((40, 10));
    stage
        .app
        .complain("this can't be done for a reason that takes more than a line, and the end says what to do");
    stage.has("! this can't be done for a reason that");
    stage.has("what to do");
    stage.keys("j");
    stage.has("! this can't be done for a reason that …");
    stage.lacks("what to do");
}

#[test]
fn what_is_wrong_with_an_answer_is_shown_whole_above_it() {
    let mut stage = stage((40, 10));
    stage.keys("atest key<enter>");
    stage.has("path \"test key\": ' ' at byte 4 can't");
    stage.has("write the key as");
    stage.has("add to lan: test key");
}

#[test]
fn a_server_that_is_away_is_said_with_the_time_and_everything_stays_readable() {
    for (name, size) in SIZES {
        let mut stage = stage(size);
        stage.keys("l");
        stage.stop_server();
        stage.pass(5_000);
        stage.shows(&format!("cut_{name}"));
        stage.keys("jh");
        stage.has("lan");
    }
}

#[test]
fn a_command_runs_with_the_tega_id_of_the_screen_and_its_output_is_shown() {
    for (name, size) in SIZES {
        let mut stage = stage(size);
        let verb =
            |name, options: &[&'static str]| Verb { name, args: "", help: "", options: options.to_vec() };
        stage.app.verbs = vec![verb("history", &["json", "id"]), verb("put", &["id"]), verb("help", &[])];
        stage.keys(":hi<tab>lan<enter>");
        assert_eq!(stage.effects, [r#"Run ["history", "--id=alice", "lan"]"#]);
        let told = r#"{"exit":0,"out":"0  put lan\n1  put lan.ip\n","err":""}"#;
        let reply = |told: &str| {
            Input::Reply(Reply { purpose: Purpose::Command, outcome: Ok(Value::parse(told).unwrap()) })
        };
        stage.take(reply(told));
        stage.shows(&format!("output_{name}"));
        stage.keys("<esc>:put lan.ip 'a b'<enter>");
        assert_eq!(stage.effects[1], r#"Run ["put", "--id=alice", "lan.ip", "a b"]"#);
        stage.take(reply(r#"{"exit":0,"out":"","err":""}"#));
        stage.has("done");
        // What was typed before comes back.
        stage.keys(":<up><up>");
        stage.has(":history lan");
        stage.keys("<esc>:help<enter>");
        assert_eq!(stage.effects[2], r#"Run ["help"]"#);
        stage.take(reply(r#"{"exit":1,"out":"","err":"tega: no\n"}"#));
        stage.has("! tega: no");
        stage.keys(":frob<enter>");
        stage.has("! no verb frob here");
        stage.keys(":put 'x<enter>");
        stage.has("a quote or a bracket");
    }
}

#[test]
fn clicks_choose_lines_and_screens_and_the_wheel_moves() {
    let mut stage = stage((80, 24));
    let click = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut stage, click, 5, 3);
    assert_eq!(stage.app.tree.cursor.to_string(), "wan");
    mouse(&mut stage, click, 5, 3);
    stage.pass(300);
    stage.has("proto = dhcp");
    mouse(&mut stage, MouseEventKind::ScrollUp, 5, 5);
    assert_eq!(stage.app.tree.cursor.to_string(), "lan");
    mouse(&mut stage, click, 10, 0);
    stage.has("0 of 0 up");
    // A click on nothing changes nothing.
    mouse(&mut stage, click, 79, 23);
}

#[test]
fn paths_and_values_are_copied_to_the_terminals_clipboard() {
    let mut stage = stage((80, 24));
    stage.keys("olan.ip<enter>Yy");
    assert_eq!(stage.effects, [r#"Copy("lan.ip")"#, r#"Copy("192.168.1.1")"#]);
    stage.has("is copied: 192.168.1.1");
}

#[test]
fn a_path_that_is_followed_stays_in_view() {
    let mut stage = stage((80, 24));
    stage.keys("olan.mtu<enter>F");
    stage.has("[following lan.mtu]");
    stage.delete("lan.mtu");
    stage.put("lan.mtu", "1492");
    stage.pass(300);
    assert_eq!(stage.app.tree.cursor.to_string(), "lan.mtu");
    stage.has("mtu = 1492");
    stage.keys("F");
    stage.lacks("[following");
}

#[test]
fn a_change_glows_for_a_moment_and_is_counted() {
    let mut stage = stage((80, 24));
    stage.keys("l");
    stage.put("lan.mtu", "1492");
    assert!(stage.app.wakes_at().is_some());
    stage.pass(1_000);
    stage.has("1/s");
    stage.pass(60_000);
    assert_eq!(stage.app.wakes_at(), None, "a screen that rests sends nothing");
}

#[test]
fn without_colours_or_beyond_ascii_the_screen_says_the_same() {
    let mut stage = stage((80, 24));
    stage.keys("l");
    stage.put("lan.naïve", "\"tür\"");
    stage.app.look = Look::new(false, false);
    let screen = stage.screen();
    assert!(screen.is_ascii(), "{screen}");
    stage.shows("ascii_80x24");
}

#[test]
fn what_the_tree_holds_cant_steer_the_terminal() {
    let mut stage = Stage::new((80, 24), &[("r", r#"{"a\u001b[31m":"b\u001b]0;x\u0007\u202ec"}"#)]);
    stage.keys("l<enter>j");
    stage.pass(500);
    let screen = stage.screen();
    assert!(!screen.contains(['\x1b', '\x07', '\u{202e}']), "{screen:?}");
}

#[test]
fn the_readme_has_the_table_of_keys() {
    const BEGIN: &str = "<!-- keys -->\n";
    const END: &str = "<!-- end of keys -->";
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let now = crate::tui::readme_section();
    if std::env::var_os("TEGA_UPDATE").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{now}{END}{after}")).unwrap();
    } else {
        assert_eq!(table, now, "TEGA_UPDATE=1 writes it anew");
    }
}
