//! The status.

use super::Stage;
use crate::tui::ask::Purpose;

const STATUS: &str = r#"{"tega_id":"router","version":"0.1.0","pid":412,"uptime_s":93784,"rss_kb":12544,
    "store":{"state":"ok","reason":null,"position":1234567,"queue":0,"transactions":0,"watches":3,"ephemeral":2,
             "log":{"bytes":1572864,"durable":1572864,"compactions":4},"durability":"always","durability_of":{"op":"memory"},
             "roots":{"lan":{"version":12,"incarnation":"00000000000000ab"},"op":{"version":90125,"incarnation":"00000000000000cd"}}},
    "hub":{"sessions":3,"channels":2,"rpcs_waiting":0},
    "door":{"connections":5,"connections_max":256,"per_address_max":32,"streams":1,"streams_max":64,"memory_max":16777216,
            "accepted":1042,"refused":0,"evicted":0,"tokens":null,"tokens_missing":0,"tokens_wrong":0},
    "global":{"address":"ws://global:8739","tega_id":"global","up":false,"since":1764590390000,"since_s":10,"problem":"connection refused"},
    "links":[{"tega_id":"global","up":false,"roots":{}}]}"#;

fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(size, &[("lan", "{}")]);
    stage.keys("5");
    stage.answer(Purpose::Status, STATUS);
    stage
}

#[test]
fn everything_that_the_server_says_of_itself_is_a_line() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        stage(size).shows(&format!("status_{}x{}", size.0, size.1));
    }
}

#[test]
fn it_is_scrolled_to_its_end() {
    let mut stage = stage((80, 24));
    stage.lacks("connection refused");
    stage.keys("G");
    stage.has("! "); // What is down has a sign.
    stage.has("connection refused");
}

#[test]
fn a_server_that_takes_no_writes_says_so_above_all() {
    let mut stage = stage((80, 24));
    let bad =
        STATUS.replace(r#""state":"ok","reason":null"#, r#""state":"no_space","reason":"the disk is full""#);
    stage.answer(Purpose::Status, &bad);
    stage.has("! no_space: it takes no writes: the disk is full");
}

#[test]
fn a_real_server_is_shown_and_asked_again_after_a_while() {
    let mut stage = Stage::new((80, 24), &[("lan", "{}")]);
    stage.keys("5");
    stage.has("the server is well and takes writes");
    stage.has("position         1");
    stage.put("lan.x", "1");
    stage.pass(2_500);
    stage.has("position         2");
}
