//! The fleet: links of a status that is made up, since a real one tells of times.

use super::Stage;
use crate::tui::app::Screen;
use crate::tui::ask::Purpose;

const ROOTS: [(&str, &str); 3] = [
    ("config-r1", r#"{"wifi":{"ssid":"home"}}"#),
    (
        "op-r1",
        r#"{"load":0.5,"text":"50%","rpc":{"reboot":"%r1.reboot(delay=5)","scan":"%r1.scan(radio, passive=true)"}}"#,
    ),
    ("op-r2", r#"{"rpc":{"ping":"%app.ping(host)"},"quota":"80% used"}"#),
];

const LINKS: &str = r#"{"global":null,"links":[
    {"tega_id":"r3","up":false,"address":"10.0.0.4:40112","since_s":93784,"problem":"no answer to three pings","silent_ms":0,
     "sessions":[],"roots":{}},
    {"tega_id":"r1","up":true,"address":"10.0.0.2:40110","since_s":3725,"problem":null,"silent_ms":4,"sessions":["dhcp","hostapd"],
     "roots":{"op-r1":{"home":"r1","inc":"00","here":31,"there":31,"lag":0,"stale_ms":40,"refused":null},
              "config-r1":{"home":"server","inc":"00","here":7,"there":5,"lag":2,"stale_ms":null,"refused":null}}},
    {"tega_id":"r4","up":true,"address":"10.0.0.5:40113","since_s":9,"problem":null,"silent_ms":1,"sessions":[],
     "roots":{"mine":{"home":"r4","inc":null,"here":null,"there":3,"lag":null,"stale_ms":null,
                      "refused":"this server is its home"}}},
    {"tega_id":"r2","up":true,"address":"10.0.0.3:40111","since_s":7300,"problem":null,"silent_ms":12,"sessions":[],
     "roots":{"op-r2":{"home":"r2","inc":"00","here":12,"there":12,"lag":0,"stale_ms":61000,"refused":null}}}]}"#;

fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(size, &ROOTS);
    stage.keys("2");
    stage.answer(Purpose::Status, LINKS);
    stage
}

#[test]
fn every_link_is_a_line_and_the_one_of_the_cursor_is_told_in_full() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        stage(size).shows(&format!("fleet_{}x{}", size.0, size.1));
    }
}

#[test]
fn routers_with_a_bridge_tell_how_their_configuration_stands() {
    let of = |id: &str, uci: &str| {
        format!(
            r#"{{"tega_id":"{id}","up":true,"address":"10.0.0.2:40110","since_s":3725,"problem":null,"silent_ms":4,"sessions":[],
            "roots":{{"config-{id}":{{"home":"server","inc":"00","here":7,"there":7,"lag":0,"stale_ms":null,"refused":null}}}}{uci}}}"#
        )
    };
    let links = [
        of(
            "r1",
            r#","uci":{"state":"confirmed","desired":7,"version":7,"confirmed":7,"reason":"","drift":[]}"#,
        ),
        of("r2", ""),
        of(
            "r3",
            r#","uci":{"state":"reverted","desired":7,"version":7,"confirmed":5,"drift":["dhcp"],
            "reason":"the global server didn't answer over a new connection in 90 s"}"#,
        ),
    ];
    for size in [(80, 24), (200, 50)] {
        let mut stage = stage(size);
        stage.answer(Purpose::Status, &format!(r#"{{"global":null,"links":[{}]}}"#, links.join(",")));
        stage.keys("s");
        assert_eq!(stage.app.fleet.chosen(), "r3", "trouble comes first");
        stage.shows(&format!("fleet_uci_{}x{}", size.0, size.1));
    }
}

#[test]
fn trouble_comes_first_when_it_is_asked_for() {
    let mut stage = stage((80, 24));
    stage.keys("s");
    stage.shows("fleet_trouble_80x24");
    stage.keys("sj");
    assert_eq!(stage.app.fleet.chosen(), "r2", "by ID again");
}

#[test]
fn the_cursor_stays_on_its_router_while_others_come() {
    let mut stage = stage((80, 24));
    stage.keys("j");
    assert_eq!(stage.app.fleet.chosen(), "r2");
    let more = LINKS.replace("[\n", r#"[{"tega_id":"r10","up":true,"roots":{}},"#);
    stage.answer(Purpose::Status, &more);
    assert_eq!(stage.app.fleet.chosen(), "r2");
    stage.has("4 of 5 up");
}

#[test]
fn a_router_is_found_by_its_id_or_address_as_it_is_typed() {
    let mut stage = stage((80, 24));
    stage.keys("j/10.0.0");
    assert_eq!(stage.app.fleet.chosen(), "r2", "it's one itself");
    stage.keys(".5");
    assert_eq!(stage.app.fleet.chosen(), "r4");
    stage.keys("<esc>");
    assert_eq!(stage.app.fleet.chosen(), "r2");
    stage.keys("/R");
    stage.has("no router has that");
    stage.keys("<backspace>r<enter>n");
    assert_eq!(stage.app.fleet.chosen(), "r3");
    stage.keys("nn");
    assert_eq!(stage.app.fleet.chosen(), "r1", "around");
    stage.keys("NN");
    assert_eq!(stage.app.fleet.chosen(), "r3");
}

#[test]
fn a_router_opens_at_one_of_its_roots() {
    let mut stage = stage((80, 24));
    stage.keys("<enter>");
    stage.shows("fleet_roots_80x24");
    stage.keys("<enter>");
    assert_eq!((stage.app.screen, stage.app.tree.cursor.to_string()), (Screen::Tree, "config-r1".into()));
    stage.keys("2<enter>j<enter>");
    assert_eq!(stage.app.tree.cursor.to_string(), "op-r1");
    stage.keys("2j<enter>");
    assert_eq!(stage.app.tree.cursor.to_string(), "op-r2", "it has no other one here");
    stage.keys("2j<enter>");
    stage.has("! r3 has no root that is here");
    stage.keys("x");
    stage.has("none of its functions is known");
}

#[test]
fn the_functions_of_a_router_are_found_and_one_is_chosen() {
    let mut stage = stage((80, 24));
    stage.keys("x");
    stage.shows("fleet_functions_80x24");
    stage.keys("j<enter>");
    stage.has("call op-r1.rpc.scan");
    stage.has("▸ radio");
    stage.keys("<esc>jx");
    stage.has("call op-r2.rpc.ping");
    stage.keys("<esc>");
    let none = LINKS.replace("\"op-r2\"", "\"config-r1\"");
    stage.answer(Purpose::Status, &none);
    stage.keys("x");
    stage.has("! r2 has no functions");
}

#[test]
fn a_server_without_links_says_so_and_a_local_shows_its_global() {
    let mut stage = stage((80, 24));
    stage.answer(Purpose::Status, r#"{"global":null,"links":[]}"#);
    stage.has("no server is linked with this one");
    stage.answer(Purpose::Status, r#"{"tega_id":"server","store":{}}"#);
    stage.has("tells an admin only");
    let global = r#"{"links":[],"global":{"address":"ws://g:8739","tega_id":null,"up":false,"since_s":65,"problem":"refused"}}"#;
    stage.answer(Purpose::Status, global);
    stage.shows("fleet_global_80x24");
}

#[test]
fn what_was_known_stays_when_the_server_goes_and_a_line_says_so() {
    let mut stage = stage((80, 24));
    stage.stop_server();
    stage.app.status.poll.answered(stage.now, 1, true);
    stage.pass(2_000);
    stage.has("! as it was; now there's no answer");
    stage.has("r4");
}

#[test]
fn a_frame_of_ten_thousand_links_is_made_of_those_that_are_shown() {
    let mut stage = stage((80, 24));
    let link = |n| {
        format!(
            r#"{{"tega_id":"r{n:05}","up":{},"address":"10.0.0.1:1","since_s":1,"problem":null,"silent_ms":0,"sessions":[],
            "roots":{{"config-r{n}":{{"home":"g","here":1,"there":1,"lag":0,"stale_ms":null,"refused":null}}}}}}"#,
            n % 10 > 0
        )
    };
    let links: Vec<String> = (0..10_000).map(link).collect();
    stage.answer(Purpose::Status, &format!(r#"{{"global":null,"links":[{}]}}"#, links.join(",")));
    stage.has("9,000 of 10,000 up");
    stage.keys("G");
    stage.has("r09999");
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        stage.screen();
    }
    // A hundred times what it takes: this is about what it must not depend on.
    assert!(begun.elapsed().as_millis() < 2_000, "{:?}", begun.elapsed());
}
