//! Finding: as it's typed, one after the other, as a list, and by path.

use super::Stage;

const LAN: (&str, &str) = (
    "lan",
    r#"{"hosts":{"192.168.1.9":{"name":"printer"},"nas":{"mac":"00:11:22:33:44:55","name":"NAS"}},"ip":"192.168.1.1","name":"home"}"#,
);
const WAN: (&str, &str) = ("wan", r#"{"proto":"dhcp","hosts":{"gw":{"name":"gate"}}}"#);

fn stage(size: (u16, u16)) -> Stage {
    Stage::new(size, &[LAN, WAN])
}

fn cursor(stage: &Stage) -> String {
    stage.app.tree.cursor.to_string()
}

#[test]
fn the_cursor_goes_to_the_first_match_while_it_is_typed_and_back_when_it_is_left() {
    let mut stage = stage((80, 24));
    stage.keys("j");
    assert_eq!(cursor(&stage), "wan");
    stage.keys("/name");
    assert_eq!(cursor(&stage), "wan.hosts.gw.name", "the first one from where the cursor was");
    stage.has("4 of 4 found");
    stage.keys("<esc>");
    assert_eq!(cursor(&stage), "wan");
    stage.lacks("found");
}

#[test]
fn matches_follow_each_other_round_and_round() {
    let mut stage = stage((80, 24));
    stage.keys("/name<enter>");
    assert_eq!(cursor(&stage), "lan.hosts[\"192.168.1.9\"].name");
    let mut seen = Vec::new();
    for _ in 0..4 {
        stage.keys("n");
        seen.push(cursor(&stage));
    }
    assert_eq!(
        seen,
        ["lan.hosts.nas.name", "lan.name", "wan.hosts.gw.name", "lan.hosts[\"192.168.1.9\"].name"]
    );
    stage.keys("N");
    assert_eq!(cursor(&stage), "wan.hosts.gw.name");
    stage.shows("find_80x24");
    stage.keys("<esc>n");
    stage.has("nothing is looked for");
}

#[test]
fn case_counts_only_where_there_is_an_upper_case_letter_and_a_regex_is_one_on_purpose() {
    for (keys, found) in [
        ("/nas", "2 found"),
        ("/NAS", "1 found"),
        ("/192.168", "2 found"),
        ("/<ctrl-r>^00(:[0-9]+)+$", "1 found"),
        ("/<ctrl-r>192x168", "0 found"),
        ("/<ctrl-r>(", "("),
    ] {
        let mut stage = stage((80, 24));
        stage.keys(keys);
        let screen = stage.screen();
        let count = found.split(' ').next().unwrap();
        let is_said = screen.contains(found) || screen.contains(&format!("of {count} found"));
        assert!(is_said, "{keys}: {found}\n{screen}");
    }
}

#[test]
fn only_matches_are_shown_as_a_list_that_leads_back_to_the_tree() {
    for (name, size) in [("found_80x24", (80, 24)), ("found_200x50", (200, 50)), ("found_40x10", (40, 10))] {
        let mut stage = stage(size);
        stage.keys("/name<enter>&j");
        stage.shows(name);
        stage.keys("j<enter>");
        assert_eq!(cursor(&stage), "lan.name");
        stage.has("▾ lan");
    }
}

#[test]
fn a_path_is_gone_to_with_completion() {
    let mut stage = stage((80, 24));
    stage.keys("ol<tab>");
    stage.has("go to lan.");
    stage.keys("h<tab>");
    stage.has("go to lan.hosts.");
    stage.keys("<tab>");
    stage.has("lan.hosts[\"192.168.1.9\"].");
    stage.has("lan.hosts.nas.");
    stage.keys("n<tab>m<tab><enter>");
    assert_eq!(cursor(&stage), "lan.hosts.nas.mac");
    stage.keys("owan.nowhere<enter>");
    stage.has("! nothing at wan.nowhere");
    stage.keys("oa..b<enter>");
    stage.has("is no path");
    stage.keys("olan.hosts.x<tab>");
    stage.has("nothing begins like that");
}
