//! Sessions and channels.

use super::Stage;
use crate::tui::ask::Purpose;

const SESSIONS: &str = r#"[
    {"tega_id":"dhcp","session":7,"scope":"local","dialect":2,"from":"unix","connected_s":93784,"channels":2,"waiting":0,"rpcs":0},
    {"tega_id":"alice","session":12,"scope":"global","dialect":1,"from":"192.168.1.20:51234","connected_s":65,"channels":1,"waiting":12,"rpcs":3},
    {"tega_id":"r1","link":true,"up":true,"address":"10.0.0.2:40110","since_s":3725,"problem":null,"silent_ms":4,
     "sessions":["hostapd","snmp"],"roots":{}},
    {"tega_id":"hostapd","via":"r1"},{"tega_id":"snmp","via":"r1"},
    {"tega_id":"r2","link":true,"up":false,"address":"","since_s":9,"problem":"gone","silent_ms":0,"sessions":[],"roots":{}}]"#;

const CHANNELS: &str = r#"{"alarm":["alice","dhcp"],"lan\\.hosts\\..*":["dhcp"]}"#;

const PLUGINS: &str = r#"{
    "dns":{"state":"loaded","path":"x","methods":{},"subscribe":["config-r1.dns"],"calls":0,"notifies":7,"failures":2,
           "last_ms":12,"mean_ms":9,"max_ms":40,"error":{"message":"dns notify: exit status: 1: no room","ago_s":65},"problem":null},
    "open":{"state":"refused","refused":"others than its owner may write /etc/tega/plugins/open (mode 777)"},
    "sysinfo":{"state":"loaded","path":"operational-r1.rpc.sysinfo","methods":{"board":{},"load":{}},"subscribe":[],
           "calls":1234,"notifies":0,"failures":0,"last_ms":3,"mean_ms":4,"max_ms":1250,"error":null,"problem":null}}"#;

fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(size, &[("lan", "{\"ip\":\"192.168.1.1\"}")]);
    stage.keys("3");
    stage.answer(Purpose::Sessions, SESSIONS);
    stage.answer(Purpose::Channels, CHANNELS);
    stage
}

#[test]
fn all_that_are_connected_and_all_that_they_hear_stand_in_one_table() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        stage(size).shows(&format!("sessions_{}x{}", size.0, size.1));
    }
}

#[test]
fn plugins_stand_there_with_their_calls_failures_and_times() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        let mut stage = stage(size);
        stage.answer(Purpose::Plugins, PLUGINS);
        stage.shows(&format!("plugins_{}x{}", size.0, size.1));
    }
}

#[test]
fn a_small_screen_shows_the_rest_further_down() {
    let mut stage = stage((40, 10));
    stage.lacks("alarm");
    stage.keys("G");
    stage.has("alarm");
    stage.has("lan\\.hosts");
    stage.keys("g");
    stage.has("Sessions here");
}

#[test]
fn a_real_server_without_anybody_says_so() {
    let mut stage = Stage::new((80, 24), &[("lan", "{}")]);
    stage.keys("3");
    stage.has("0 sessions, 0 channels");
    stage.has("Sessions here: none");
    stage.keys("<esc>");
    stage.has("lan {0}");
}
