//! A changed file: what differs, and nothing else.

use super::tests::files;
use super::*;

/// The text with every change that `to`'s content asks for.
#[track_caller]
fn becomes(from: &str, to: &str, text: &str) {
    let old = File::parse(from.as_bytes()).unwrap();
    let wanted = File::parse(to.as_bytes()).unwrap();
    let new = edit::changed(&old, wanted.package()).expect("it can be changed in place");
    assert_eq!(String::from_utf8(new).unwrap(), text);
}

const WIFI: &str = "\
# radios

config wifi-device radio0 # the only one
	option channel 36	# DFS-free
	option htmode \"HE80\"
	# by law
	option country 'DE'
	list basic 6
	list basic 12 # slow
	list basic 24

# guests
config wifi-iface
	option ssid 'guest'
";

#[test]
fn what_is_the_same_is_not_touched() {
    let file = File::parse(WIFI.as_bytes()).unwrap();
    assert_eq!(file.changed_to(file.package()), WIFI.as_bytes());
}

#[test]
fn a_value_is_replaced_within_its_line_and_quoted_as_before() {
    for (from, to, now) in [
        ("channel 36", "channel 149", "channel 149"),
        ("channel 36", "channel 'a b'", "channel 'a b'"),
        ("\"HE80\"", "HE40", "\"HE40\""),
        ("\"HE80\"", "'a\"b'", "'a\"b'"),
        ("'DE'", "FR", "'FR'"),
        ("'DE'", "\"it's\"", "'it'\\''s'"),
        ("'guest'", "'two\nlines'", "'two\nlines'"),
        ("config wifi-device", "config radio", "config radio"),
    ] {
        becomes(WIFI, &WIFI.replace(from, to), &WIFI.replace(from, now));
    }
}

#[test]
fn options_come_and_go_as_lines() {
    let with = |from: &str, to: &str| WIFI.replace(from, to);
    becomes(WIFI, &with("\toption htmode \"HE80\"\n", ""), &with("\toption htmode \"HE80\"\n", ""));
    let added = "list basic 24\n\toption disabled '1'\n\tlist m 'a'\n\tlist m 'b'\n";
    becomes(WIFI, &with("list basic 24\n", added), &with("list basic 24\n", added));
    becomes(
        WIFI,
        &with("option country 'DE'", "list country DE"),
        &with("option country 'DE'", "list country 'DE'"),
    );
    becomes(
        "config a\n  option x 1\r\n",
        "config a\no x 1\no y 2",
        "config a\n  option x 1\r\n  option y '2'\r\n",
    );
    becomes("config a\n\toption x 1", "config a\no x 1\no y 2", "config a\n\toption x 1\n\toption y '2'");
    becomes("config a", "config a\no y 2", "config a\n\toption y '2'");
    becomes("c a\nlist x\n", "c a\nlist x 1", "c a\nlist x '1'\n");
    becomes("c a\no x 1\no x 2\no y 1\n", "c a\no x 3\no y 1", "c a\no x 1\no x 3\no y 1\n");
    becomes("c a\no x 1\no x 2\no y 1\n", "c a\no y 1", "c a\no y 1\n");
    becomes("c a\no x 1\nl x 2\no y 1\n", "c a\no x 3\no y 1", "c a\noption x '3'\no y 1\n");
}

#[test]
fn a_list_keeps_the_lines_of_the_values_that_stay() {
    let list = "\tlist basic 6\n\tlist basic 12 # slow\n\tlist basic 24\n";
    for lines in [
        "\tlist basic 12 # slow\n\tlist basic 24\n",
        "\tlist basic 6\n\tlist basic 24\n",
        "\tlist basic '1'\n\tlist basic 6\n\tlist basic 12 # slow\n\tlist basic 24\n",
        "\tlist basic 6\n\tlist basic 12 # slow\n\tlist basic '18'\n\tlist basic 24\n",
        "\tlist basic 6\n\tlist basic 12 # slow\n\tlist basic 24\n\tlist basic '48'\n",
        "\tlist basic 6\n\tlist basic 11 # slow\n\tlist basic 24\n",
    ] {
        let to = WIFI.replace(list, lines);
        becomes(WIFI, &to, &to);
    }
}

const RULES: &str = "\
package firewall

# ping is fine
config rule
	option name ping
	option target ACCEPT

# an example:
# config rule

config rule
	option name ssh	# by key only
	option target ACCEPT


config zone wan
	option input REJECT

config rule
	option name dns
	option target DROP
";

fn rules(blocks: &[&str]) -> String {
    let block = |name: &&str| match *name {
        "wan" => "config zone wan\no input REJECT\n".to_string(),
        "dns" => "config rule\no name dns\no target DROP\n".to_string(),
        name => format!("config rule\no name {name}\no target ACCEPT\n"),
    };
    blocks.iter().map(block).collect()
}

#[test]
fn a_section_goes_with_its_comment_and_leaves_the_others() {
    let text =
        RULES.replace("# ping is fine\nconfig rule\n\toption name ping\n\toption target ACCEPT\n\n", "");
    becomes(RULES, &rules(&["ssh", "wan", "dns"]), &text);
    let text = RULES.replace("config zone wan\n\toption input REJECT\n\n", "");
    becomes(RULES, &rules(&["ping", "ssh", "dns"]), &text);
    let text = RULES.replace("config rule\n\toption name dns\n\toption target DROP\n", "");
    becomes(RULES, &rules(&["ping", "ssh", "wan"]), &text);
    becomes(RULES, "", "package firewall\n\n# an example:\n# config rule\n\n");
}

#[test]
fn an_anonymous_section_is_known_by_its_content_when_others_go() {
    let to = rules(&["ssh", "wan", "dns"]).replace("ssh\no target ACCEPT", "ssh\no target DROP");
    let text = RULES
        .replace("# ping is fine\nconfig rule\n\toption name ping\n\toption target ACCEPT\n\n", "")
        .replace("only\n\toption target ACCEPT", "only\n\toption target DROP");
    becomes(RULES, &to, &text);
}

#[test]
fn sections_move_with_their_comments() {
    let ssh = "config rule\n\toption name ssh\t# by key only\n\toption target ACCEPT\n";
    let ping = "# ping is fine\nconfig rule\n\toption name ping\n\toption target ACCEPT\n";
    let moved = RULES.replace(&format!("{ssh}\n\n"), "").replace(ping, &format!("{ssh}\n{ping}"));
    becomes(RULES, &rules(&["ssh", "ping", "wan", "dns"]), &moved);
    let dns = "config rule\n\toption name dns\n\toption target DROP\n";
    let first = RULES.replace(&format!("\n{dns}"), "\n").replace("# ping", &format!("{dns}\n# ping"));
    becomes(RULES, &rules(&["dns", "ping", "ssh", "wan"]), &first);
}

#[test]
fn new_sections_stand_where_they_belong() {
    let new = "config rule\n\toption name 'ntp'\n\toption target 'ACCEPT'\n";
    let last = format!("{RULES}\n{new}");
    becomes(RULES, &rules(&["ping", "ssh", "wan", "dns", "ntp"]), &last);
    let between = RULES.replace("config zone", &format!("{new}\nconfig zone"));
    becomes(RULES, &rules(&["ping", "ssh", "ntp", "wan", "dns"]), &between);
    becomes("config a", "config a\nconfig b n", "config a\n\nconfig b 'n'\n");
    becomes("config a", "config b n\nconfig a", "config b 'n'\n\nconfig a");
    becomes("# only this\n", "config b n", "# only this\n\nconfig b 'n'\n");
}

#[test]
fn a_text_that_cannot_be_changed_in_part_is_written_anew() {
    for (from, to, text) in [
        ("", "config a n", "\nconfig a 'n'\n\n"),
        (
            "config a 'n'; option x 1\n",
            "config a n\no x 1\no y 2",
            "\nconfig a 'n'\n\toption x '1'\n\toption y '2'\n\n",
        ),
        ("config a\0\n n\n", "config b", "\nconfig b\n\n"),
        ("config a n\no x 1\nconfig a m\nconfig a n\no y 1\n", "config a m", "\nconfig a 'm'\n\n"),
        // Unquoted, the `;` took the rest of the line away.
        (
            "config a n\noption x 1;option y 2\n",
            "config a n\no x 'b c'",
            "\nconfig a 'n'\n\toption x 'b c'\n\n",
        ),
    ] {
        let old = File::parse(from.as_bytes()).unwrap();
        let wanted = File::parse(to.as_bytes()).unwrap();
        let new = old.changed_to(wanted.package());
        assert_eq!(String::from_utf8(new).unwrap(), text, "{from:?}");
    }
    // But a value within can be changed alone, and what the tool passes over can stay.
    becomes("config a n;b\n", "config a n\no y 2", "config a n;b\n\toption y '2'\n");
    becomes("config a 'n'; option x 1 # c\n", "config a n\no x 2", "config a 'n'; option x 2 # c\n");
}

#[test]
fn a_type_that_needs_quotes_gets_them_in_a_file() {
    let wanted = File::parse(b"config 'a;b#\"' n\n").unwrap();
    let new = File::empty().changed_to(wanted.package());
    assert_eq!(new, b"\nconfig 'a;b#\"' 'n'\n\n");
    assert_eq!(File::parse(&new).unwrap().package(), wanted.package());
}

/// Every single option of the real files changed, removed and doubled: one line differs, and it can be read again.
#[test]
fn one_changed_option_of_a_real_file_changes_one_statement() {
    for path in files() {
        let Ok(old) = File::parse(&std::fs::read(&path).unwrap()) else { continue };
        for section in 0..old.package().sections.len() {
            for option in 0..old.package().sections[section].options.len() {
                let mut wanted = old.package().clone();
                let content = &mut wanted.sections[section].options[option].content;
                match content {
                    Content::One(value) => value.push(b'x'),
                    Content::Many(values) => values[0].push(b'x'),
                }
                let new = File::parse(&old.changed_to(&wanted)).unwrap();
                assert!(order::same_package(new.package(), &wanted), "{}", path.display());
                let changed = old.pieces().zip(new.pieces()).filter(|(a, b)| a != b).count();
                let pieces = (old.pieces().count(), new.pieces().count());
                assert!(pieces.0 == pieces.1 && changed == 1, "{}: {changed} pieces changed", path.display());
            }
        }
    }
}

/// Sections of the real files removed one by one: what stays keeps its pieces, comments included.
#[test]
fn a_removed_section_of_a_real_file_leaves_the_pieces_of_the_others() {
    for path in files() {
        let Ok(old) = File::parse(&std::fs::read(&path).unwrap()) else { continue };
        for section in 0..old.package().sections.len().min(40) {
            let mut wanted = old.package().clone();
            wanted.sections.remove(section);
            let Some(new) = edit::changed(&old, &wanted) else {
                panic!("{}: section {section} takes the layout along", path.display());
            };
            let new = File::parse(&new).unwrap();
            assert!(order::same_package(new.package(), &wanted), "{}", path.display());
            let kept: Vec<_> = new.pieces().filter(|p| matches!(p, Piece::Statement(_))).collect();
            let mut all = old.pieces();
            assert!(kept.iter().all(|piece| all.any(|old| old == *piece)), "{}", path.display());
        }
    }
}

#[test]
fn a_large_file_is_changed_as_fast_as_a_small_one_is() {
    // Each of these would take minutes if names were looked for one after the other.
    let options = |end: &str| (0..60_000).map(|n| format!("o n{n} 1\n")).collect::<String>() + end;
    let (old, new) = (format!("c a\n{}", options("o x 1\n")), format!("c a\n{}", options("o x 2\n")));
    becomes(&old, &new, &new);
    let rules = |end: &str| (0..9_000).map(|n| format!("c rule\no x {n}{end}\n")).collect::<String>();
    becomes(&rules(""), &rules("a"), &rules("a"));
    let lines = |end: &str| format!("c a\no x '{}{end}'\n", "\n".repeat(MAX_FILE - 100));
    becomes(&lines("1"), &lines("2"), &lines("2"));
}
