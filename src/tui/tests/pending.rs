//! What is changed here: staged, looked at, committed as one, or met by what others did.

use super::{Input, Stage};
use crate::path::Path;
use crate::store::Transaction;
use crate::value::Value;

const LAN: (&str, &str) = (
    "lan",
    r#"{"hosts":{"192.168.1.9":{"name":"printer"},"nas":{"mac":"00:11:22:33:44:55","ip":"192.168.1.2"}},"ip":"192.168.1.1","mtu":1500,"on":true,"pin":"0123"}"#,
);
const WAN: (&str, &str) = ("wan", r#"{"proto":"dhcp"}"#);

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 50), (40, 10)];

/// The roots are unfolded: lan, hosts, ip, mtu, on, pin, wan, proto.
fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(size, &[LAN, WAN]);
    stage.keys("l");
    stage
}

impl Stage {
    fn at(&mut self, path: &str) {
        self.keys(&format!("o{path}<enter>"));
        assert_eq!(self.app.tree.cursor.to_string(), path);
    }

    /// What the server has at a path.
    fn there(&self, path: &str) -> String {
        let path: Path = path.parse().unwrap();
        self.store().view().get(&path).map_or("nothing".into(), |value| value.to_string())
    }

    fn version(&self, root: &str) -> u64 {
        self.store().view().root(root).map_or(0, |root| root.version.0)
    }

    fn edited(&mut self, text: &str) {
        self.take(Input::Edited(Ok(text.into())));
        self.pass(100);
    }
}

#[test]
fn a_value_is_changed_in_place_staged_and_committed() {
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.keys("e");
    stage.has("lan.ip = 192.168.1.1");
    stage.has("string; Ctrl-T: number");
    stage.keys("<ctrl-u>10.0.0.2<enter>");
    stage.has("ip = 192.168.1.1 -> 10.0.0.2");
    stage.has("6 Changes(1)");
    assert_eq!(stage.there("lan.ip"), "\"192.168.1.1\"", "nothing is sent before it's committed");
    stage.keys("c");
    stage.has("Commit 1 change of lan? y/n");
    stage.keys("y");
    stage.has("committed as version 1 of lan");
    assert_eq!(stage.there("lan.ip"), "\"10.0.0.2\"");
    // No notification told of it: the tree has read it again.
    stage.has("ip = 10.0.0.2");
    stage.lacks("->");
}

#[test]
fn a_type_is_kept_or_turned_on_purpose() {
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.keys("e<ctrl-u>15<enter>");
    stage.has("-> \"15\"");
    stage.at("lan.mtu");
    stage.keys("e<ctrl-u>x<enter>");
    stage.has("no number; Ctrl-T: bool");
    stage.keys("<ctrl-u>1492");
    stage.has("number; Ctrl-T: bool");
    stage.keys("<enter>");
    stage.at("lan.on");
    stage.keys("e");
    stage.has("lan.on = false");
    stage.keys("<enter>");
    stage.at("lan.pin");
    stage.keys("e<ctrl-u>42<ctrl-t>");
    stage.has("number, was string");
    stage.keys("<enter>cy");
    stage.has("committed as version 1 of lan");
    let there: Vec<String> = ["lan.ip", "lan.mtu", "lan.on", "lan.pin"].map(|path| stage.there(path)).into();
    assert_eq!(there, ["\"15\"", "1492", "false", "42"]);
}

#[test]
fn every_type_can_be_turned_to_and_what_was_typed_comes_back() {
    let mut stage = stage((80, 24));
    stage.at("lan.pin");
    stage.keys("e<ctrl-t><ctrl-t>");
    stage.has("lan.pin = true");
    stage.keys("<ctrl-t>");
    stage.has("lan.pin = null");
    stage.keys("<ctrl-t>");
    stage.has("lan.pin = \"0123\"");
    stage.keys("<ctrl-t>");
    stage.has("string; Ctrl-T: number");
    stage.keys("<esc>");
    assert!(stage.app.pending.is_empty());
}

#[test]
fn additions_deletions_copies_and_new_names_are_one_transaction() {
    let mut stage = stage((80, 24));
    stage.at("lan.mtu");
    stage.keys("adns<enter>[\"1.1.1.1\"]<enter>");
    stage.has("lan.dns will be [\"1.1.1.1\"]");
    stage.has("lan {5} + dns");
    stage.at("lan.on");
    stage.keys("d");
    stage.has("on = true -> deleted");
    stage.at("lan.hosts.nas");
    stage.keys("D");
    stage.has("copy lan.hosts.nas to: nas-copy");
    stage.keys("<enter>");
    stage.at("lan.pin");
    stage.keys("r<ctrl-u>code<enter>");
    stage.keys("cy");
    stage.has("committed as version 1 of lan");
    assert_eq!(stage.version("lan"), 1);
    let there =
        ["lan.dns", "lan.on", "lan.hosts.nas-copy.mac", "lan.pin", "lan.code"].map(|path| stage.there(path));
    assert_eq!(there, ["[\"1.1.1.1\"]", "nothing", "\"00:11:22:33:44:55\"", "nothing", "\"0123\""]);
}

#[test]
fn names_that_are_taken_or_wrong_are_refused_before_anything_else() {
    let mut stage = stage((80, 24));
    for (at, keys, said) in [
        ("lan", "amtu<enter>", "something is there already"),
        ("lan", "aip.x<enter>", "lan.ip is a value, and nothing can be below it"),
        ("lan", "a<enter>", "a name; / before it: from the top"),
        ("lan", "ax..y<enter>", "an empty key"),
        ("lan.pin", "r<enter>", "another name"),
        ("lan.pin", "r<ctrl-u>mtu<enter>", "something is there already"),
        ("lan.hosts.nas", "r<ctrl-u>nas.x<enter>", "not below itself"),
        ("lan.pin", "r<ctrl-u>/wan/pin<enter>", "not into another root"),
        ("lan", "r", "a root keeps its name"),
        ("lan.pin", "D<ctrl-u>/pin<enter>", "a root must be a container, such as {}"),
    ] {
        stage.at(at);
        stage.keys(keys);
        stage.has(said);
        stage.keys("<esc><esc>");
    }
    assert!(stage.app.pending.is_empty());
    stage.keys("a/new.root<ctrl-u>/guest<enter>");
    stage.has("guest = {}");
    stage.keys("<ctrl-u>1<enter>");
    stage.has("a root must be a container, such as {}");
    stage.keys("<ctrl-u>{\"on\":1}<enter>cy");
    assert_eq!(stage.there("guest"), "{\"on\":1}");
}

#[test]
fn a_subtree_is_changed_in_the_editor_which_comes_again_with_a_bad_text() {
    let mut stage = stage((80, 24));
    stage.at("lan.hosts.nas");
    stage.keys("e");
    assert_eq!(
        stage.editor.take().unwrap(),
        "{\n  \"ip\": \"192.168.1.2\",\n  \"mac\": \"00:11:22:33:44:55\"\n}\n"
    );
    stage.edited("{\n  \"ip\": \"192.168.1.2\"\n  \"mac\": 1\n}\n");
    stage.has("Edit again? y/n: line 3, column 3: not JSON");
    assert!(stage.app.pending.is_empty());
    stage.keys("nE");
    assert_eq!(stage.editor.take().unwrap(), "{\n  \"ip\": \"192.168.1.2\"\n  \"mac\": 1\n}\n");
    stage.edited("{");
    stage.keys("y");
    assert_eq!(stage.editor.take().unwrap(), "{");
    stage.edited("{\"ip\":\"192.168.1.7\",\"mac\":\"00:11:22:33:44:55\"}");
    stage.has("nas {2} -> {2}");
    stage.keys("6");
    stage.has("- ip = 192.168.1.2");
    stage.has("+ ip = 192.168.1.7");
    stage.lacks("mac");
    // What comes back as it went out is no change.
    stage.keys("u1");
    stage.at("lan.hosts.nas");
    stage.keys("E");
    let text = stage.editor.take().unwrap();
    stage.edited(&text);
    assert!(stage.app.pending.is_empty());
    stage.take(Input::Edited(Err("vi ended with 1: nothing is changed".into())));
    stage.keys("E");
    stage.take(Input::Edited(Err("vi ended with 1: nothing is changed".into())));
    stage.has("vi ended with 1");
}

#[test]
fn a_list_and_text_of_several_lines_or_of_many_bytes_go_to_the_editor_in_full() {
    let long = "x".repeat(5_000);
    let root = format!(
        "{{\"lines\":\"a\\nb\",\"list\":[1,2],\"long\":\"{long}\",\"some\":\"{}\"}}",
        "y".repeat(300)
    );
    let mut stage = Stage::new((80, 24), &[("r", &root)]);
    stage.keys("l");
    for (path, text) in [
        ("r.lines", "\"a\\nb\"\n".to_string()),
        ("r.list", "[\n  1,\n  2\n]\n".to_string()),
        ("r.long", format!("\"{long}\"\n")),
    ] {
        stage.at(path);
        stage.keys("e");
        assert_eq!(stage.editor.take().unwrap(), text);
        stage.edited(&text);
    }
    // A long one that a line takes is there in full.
    stage.at("r.some");
    stage.keys("ez<enter>cy");
    assert_eq!(stage.there("r.some"), format!("\"{}z\"", "y".repeat(300)));
}

#[test]
fn a_subtree_that_is_too_large_is_refused_and_can_still_be_deleted() {
    let text = "x".repeat(100_000);
    let root = format!("{{\"big\":{{\"a\":\"{text}\",\"b\":\"{text}\",\"c\":\"{text}\"}},\"k\":1}}");
    let mut stage = Stage::new((80, 24), &[("r", &root)]);
    stage.keys("l");
    stage.at("r.big");
    stage.keys("E");
    stage.has("r.big has more than 256 KiB");
    stage.keys("d6");
    stage.has("- what is there, too much to be shown");
    stage.keys("cy");
    assert_eq!(stage.there("r"), "{\"k\":1}");
}

#[test]
fn changes_are_taken_back_one_by_one_dropped_or_thrown_away() {
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.keys("e<ctrl-u>10.0.0.2<enter>e<ctrl-u>10.0.0.3<enter>");
    stage.at("lan.mtu");
    stage.keys("d");
    stage.keys("u");
    stage.has("mtu = 1500");
    stage.keys("u");
    stage.has("-> 10.0.0.2");
    stage.keys("dd6jd");
    stage.has("lan.mtu is left as it is");
    stage.keys("X");
    stage.has("Throw 1 change away? y/n");
    stage.keys("ny");
    assert_eq!(stage.app.pending.len(), 1);
    stage.keys("Xy");
    assert!(stage.app.pending.is_empty());
    stage.has("nothing was changed here");
}

/// One change of each kind.
fn mixed(size: (u16, u16)) -> Stage {
    let mut stage = stage(size);
    stage.at("lan.ip");
    stage.keys("e<ctrl-u>10.0.0.2<enter>");
    stage.at("lan.mtu");
    stage.keys("d");
    stage.at("lan.hosts.nas");
    stage.keys("adns.first<enter>1.1.1.1<enter>");
    stage.at("lan.hosts[\"192.168.1.9\"]");
    stage.keys("E");
    stage.edited(r#"{"name":"printer 2","color":true,"trays":[1,2]}"#);
    stage
}

#[test]
fn the_screen_of_changes_shows_each_with_its_difference() {
    for size in SIZES {
        let mut stage = mixed(size);
        stage.keys("6");
        stage.shows(&format!("pending_{}x{}", size.0, size.1));
        stage.keys("jjj");
        stage.has("+ trays = [1,2]");
    }
}

#[test]
fn a_conflict_shows_base_theirs_and_mine() {
    for size in SIZES {
        let mut stage = mixed(size);
        stage.put("lan.ip", "\"10.9.9.9\"");
        stage.has("changed by others");
        stage.has("(chang");
        stage.keys("c");
        stage.has("1 change is in conflict");
        stage.keys("<esc>1");
        stage.keys("6");
        stage.pass(20_000);
        stage.shows(&format!("conflict_{}x{}", size.0, size.1));
    }
}

#[test]
fn a_conflict_is_decided_for_theirs_for_mine_or_typed_again() {
    let mut stage = stage((80, 24));
    for (path, text) in [("lan.ip", "10.0.0.2"), ("lan.mtu", "9000"), ("lan.pin", "9")] {
        stage.at(path);
        stage.keys(&format!("e<ctrl-u>{text}<enter>"));
    }
    stage.put("lan.ip", "\"10.9.9.9\"");
    stage.put("lan.mtu", "1400");
    stage.put("lan.pin", "\"8\"");
    stage.keys("c");
    stage.has("3 changes are in conflict");
    stage.keys("t");
    stage.keys("m");
    stage.has("lan.mtu");
    stage.keys("jc");
    stage.has("1 change is in conflict");
    stage.keys("e");
    stage.has("lan.pin = 8");
    stage.keys("7<enter>cy");
    stage.has("committed as version 4 of lan");
    let there = ["lan.ip", "lan.mtu", "lan.pin"].map(|path| stage.there(path));
    assert_eq!(there, ["\"10.9.9.9\"", "9000", "\"87\""]);
}

#[test]
fn a_commit_that_meets_a_change_that_wasnt_told_is_refused_and_shows_it() {
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.keys("e<ctrl-u>10.0.0.2<enter>");
    stage.at("lan.hosts.nas");
    stage.keys("d");
    stage.quietly("lan.ip", "\"10.9.9.9\"");
    stage.keys("cy");
    stage.has("nothing was committed: lan.ip is at version 1, not 0");
    stage.has("theirs  10.9.9.9");
    assert_eq!(stage.there("lan.hosts.nas.ip"), "\"192.168.1.2\"", "all or nothing");
    stage.keys("mcy");
    stage.has("committed as version 2 of lan");
    assert_eq!(stage.there("lan.ip"), "\"10.0.0.2\"");
    assert_eq!(stage.there("lan.hosts.nas"), "nothing");
}

#[test]
fn a_subtree_in_conflict_shows_what_each_side_made_of_it() {
    let mut stage = stage((80, 24));
    stage.at("lan.hosts.nas");
    stage.keys("E");
    stage.edited(r#"{"mac":"00:11:22:33:44:55","ip":"192.168.1.3"}"#);
    stage.put("lan.hosts.nas.mac", "\"66\"");
    stage.keys("6");
    stage.has("theirs, compared with the base:");
    stage.has("+ mac = \"66\"");
    stage.has("mine, compared with the base:");
    stage.has("+ ip = 192.168.1.3");
    stage.keys("e");
    assert_eq!(stage.editor.take().unwrap(), "{\n  \"ip\": \"192.168.1.2\",\n  \"mac\": \"66\"\n}\n");
    stage.edited(r#"{"mac":"66","ip":"192.168.1.3"}"#);
    stage.keys("cy");
    assert_eq!(stage.there("lan.hosts.nas"), r#"{"ip":"192.168.1.3","mac":"66"}"#);
}

#[test]
fn what_others_made_the_same_of_is_no_conflict_and_deletions_are_one() {
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.keys("e<ctrl-u>10.0.0.2<enter>");
    stage.at("lan.mtu");
    stage.keys("e<ctrl-u>9000<enter>");
    stage.put("lan.ip", "\"10.0.0.2\"");
    stage.has("lan.ip is at the server as you want it");
    stage.delete("lan.mtu");
    stage.keys("6");
    stage.has("theirs  nothing");
    stage.keys("e<enter>cy");
    assert_eq!(stage.there("lan.mtu"), "9000");
}

#[test]
fn why_nothing_can_be_changed_is_said_before_anything_is_typed() {
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.ephemeral("lan.up", "1");
    stage.at("lan.up");
    stage.keys("e");
    stage.has("lan.up is ephemeral: it's r1's and ends with that session");
    assert!(stage.app.prompt.is_none());
    stage.at("lan.ip");
    stage.stop_server();
    stage.keys("e");
    stage.has("! nothing listens there; nothing happened");
    assert!(stage.app.prompt.is_none());
}

#[test]
fn a_commit_whose_outcome_is_unknown_stays_staged_until_it_can_be_told() {
    use crate::tui::ask::{Failed, Purpose, Reply};
    let mut stage = stage((80, 24));
    stage.at("lan.ip");
    stage.keys("e<ctrl-u>10.0.0.2<enter>");
    stage.at("lan.mtu");
    stage.keys("d");
    let unknown = || {
        Input::Reply(Reply { purpose: Purpose::Commit, outcome: Err(Failed::Unknown("no answer".into())) })
    };
    stage.take(unknown());
    stage.has("it may or may not have been committed (no answer)");
    assert_eq!(stage.app.pending.len(), 2, "what is there now says that it didn't happen");
    // This time it did.
    stage.quietly("lan.ip", "\"10.0.0.2\"");
    stage.take(unknown());
    stage.pass(1_000);
    stage.has("lan.ip is at the server as you want it");
    assert_eq!(stage.app.pending.len(), 1);
}

#[test]
fn ending_with_changes_asks_first() {
    let mut stage = stage((80, 24));
    stage.at("lan.mtu");
    stage.keys("dq");
    stage.has("1 changes aren't committed. End without them? y/n");
    stage.keys("n");
    assert!(!stage.effects.contains(&"Quit".to_string()));
    stage.keys("qy");
    assert!(stage.effects.contains(&"Quit".to_string()));
}

impl Stage {
    /// Somebody else puts a value, and nobody tells.
    fn quietly(&mut self, path: &str, json: &str) {
        let put = super::Transaction::new(Some(super::id("bob")));
        self.store().commit(put.put(path.parse().unwrap(), Value::parse(json).unwrap())).unwrap();
    }

    /// A router says something that ends with its session.
    fn ephemeral(&mut self, path: &str, json: &str) {
        let session = self.store().begin_session(super::id("r1"));
        let mut put = super::Transaction::new(Some(super::id("r1")))
            .put_ephemeral(path.parse().unwrap(), Value::parse(json).unwrap());
        put.session = Some(session);
        self.store().commit(put).unwrap();
        self.app.tree.model.read_again();
        self.pass(1_000);
    }
}

#[test]
fn a_subtree_doesnt_take_in_a_change_that_was_made_on_something_else() {
    let mut stage = stage((80, 24));
    stage.at("lan.hosts.nas.ip");
    stage.keys("e<ctrl-u>192.168.1.7<enter>");
    // The session hasn't told of this yet.
    let theirs = Transaction::new(None).put("lan.hosts.nas.ip".parse().unwrap(), Value::from("192.168.1.9"));
    stage.store().commit(theirs).unwrap();
    stage.at("lan.hosts.nas");
    stage.keys("E");
    stage.has("was changed by others meanwhile");
    assert_eq!(stage.editor, None);
    stage.pass(1_000);
    stage.keys("6");
    stage.has("192.168.1.9");
}
