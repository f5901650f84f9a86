//! Keys and passwords of routers are shown when that is asked for.

use super::Stage;

const ROUTER: (&str, &str) = (
    "config-r1",
    r#"{"uci":{"wireless":{"w":{".type":"wifi-iface","key":"correct horse","ssid":"home"}}},"key":"of a door"}"#,
);

#[test]
fn a_key_is_hidden_in_the_tree_and_beside_it_until_it_is_asked_for() {
    let mut stage = Stage::new((80, 24), &[ROUTER]);
    stage.keys("z9");
    stage.has("key = ***");
    stage.has("ssid = home");
    stage.has("key = of a door");
    stage.lacks("horse");
    stage.keys("<enter>");
    stage.lacks("horse");
    stage.keys("oconfig-r1.uci.wireless.w.key<enter>");
    stage.pass(1_000);
    stage.has("*** (S shows keys and passwords)");
    stage.keys("S");
    stage.pass(1_000);
    stage.has("key = correct horse");
    stage.lacks("***");
    stage.keys("S");
    stage.pass(1_000);
    stage.lacks("horse");
}

#[test]
fn a_key_that_was_found_or_comes_anew_is_hidden_too() {
    let mut stage = Stage::new((80, 24), &[ROUTER]);
    stage.keys("/horse<enter>&");
    stage.lacks("correct");
    stage.put("config-r1.uci.wireless.w.key", r#""battery staple""#);
    stage.keys("4");
    stage.has("***");
    stage.lacks("battery");
}

#[test]
fn a_key_that_is_changed_is_hidden_among_what_is_to_be_committed() {
    let mut stage = Stage::new((80, 24), &[ROUTER]);
    stage.keys("oconfig-r1.uci.wireless.w.key<enter>e");
    stage.has("correct horse");
    stage.keys("<ctrl-u>battery staple<enter>");
    stage.has("-> ***");
    stage.lacks("battery");
    stage.keys("6");
    stage.has("***");
    stage.lacks("battery");
    stage.lacks("horse");
}

#[test]
fn a_difference_between_versions_hides_it() {
    let mut stage = Stage::new((80, 24), &[ROUTER]);
    stage.put("config-r1.uci.wireless.w.key", r#""battery staple""#);
    stage.keys("H<enter>");
    stage.pass(1_000);
    stage.has("+ config-r1.uci.wireless.w.key = ***");
    stage.lacks("battery");
}
