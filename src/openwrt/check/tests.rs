//! Broken configurations are found, and those of real routers are left alone.

use super::*;
use crate::openwrt::uci::File;
use crate::openwrt::uci::tests::shared;

/// The findings for these files, one line each.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let member = |(name, text): &(&str, &str)| {
        let file = File::parse(text.as_bytes()).unwrap();
        (Key::new(name), package::read(&file).unwrap())
    };
    let value = Value::object(files.iter().map(member).collect()).unwrap();
    check(&value).iter().map(Finding::to_string).collect()
}

const NETWORK: &str = "\
config interface loopback
	option device lo
	option proto static
	option ipaddr 127.0.0.1
	option netmask 255.0.0.0
config device
	option name br-lan
	option type bridge
	list ports lan1
config interface lan
	option device br-lan
	option proto static
	list ipaddr 192.168.1.1/24
	option ip6assign 60
config interface wan
	option device eth0
	option proto dhcp
";

#[test]
fn real_routers_have_no_error() {
    let Some(dir) = shared("routers") else { return };
    let mut warnings = 0;
    for path in std::fs::read_dir(dir).unwrap() {
        let path = path.unwrap().path();
        let router = Value::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for finding in check(&router) {
            assert_eq!(finding.severity, Severity::Warning, "{}: {finding}", path.display());
            warnings += 1;
        }
    }
    eprintln!("{warnings} warnings");
}

#[test]
fn a_sound_configuration_has_nothing_to_be_said() {
    let wireless = "config wifi-device radio0\nconfig wifi-iface w\n\toption device radio0\n\toption network lan\n\
        \toption encryption psk2\n\toption key 12345678\n";
    let firewall = "config zone\n\toption name lan\n\tlist network lan\nconfig zone\n\toption name wan\n\toption network wan\n\
        config forwarding\n\toption src lan\n\toption dest wan\n\
        config rule\n\toption src *\n\toption dest_port '22 80-90 !443'\n\toption src_ip '!10.0.0.0/8 fe80::/10 name @set'\n";
    let dhcp = "config dhcp lan\n\toption interface lan\nconfig host\n\toption mac 00:11:22:33:44:55\n\toption ip 192.168.1.2\n";
    assert_eq!(
        found(&[("network", NETWORK), ("wireless", wireless), ("firewall", firewall), ("dhcp", dhcp)]),
        [""; 0]
    );
    // What isn't managed isn't judged.
    assert_eq!(found(&[("wireless", wireless), ("dhcp", dhcp)]), [""; 0]);
}

#[test]
fn what_uci_cannot_hold_is_an_error() {
    let value =
        Value::parse(r#"{"a.b":{".package":true},"net":{"lan":{"x":1}},"n":1,"gone":{".delete":true}}"#);
    let lines: Vec<String> = check(&value.unwrap()).iter().map(Finding::to_string).collect();
    assert_eq!(
        lines,
        [
            "error: [\"a.b\"]: a package's name is letters, digits, _ and -",
            "error: n: an integer, where an object is wanted",
            "error: net.lan: a section needs its .type",
        ]
    );
    assert_eq!(check(&Value::from(1)).len(), 1);
}

#[test]
fn what_stands_where_a_secret_was_hidden_is_no_password() {
    let value = r#"{"wireless":{"w":{".type":"wifi-iface","ssid":"***","key":"***"}}}"#;
    let lines: Vec<String> = check(&Value::parse(value).unwrap()).iter().map(Finding::to_string).collect();
    assert_eq!(lines, ["error: wireless.w.key: *** stands where a secret was hidden; put the secret itself"]);
}

#[test]
fn references_to_what_is_not_there_are_found() {
    let wireless = "config wifi-device radio0\nconfig wifi-iface w\n\toption device radio1\n\toption network 'lan guest'\n\
        config wifi-iface off\n\toption device radio9\n\toption disabled 1\n";
    assert_eq!(
        found(&[("network", NETWORK), ("wireless", wireless)]),
        [
            "error: wireless.w.device: there's no wifi-device radio1",
            "error: wireless.w.network: there's no interface guest",
        ]
    );
    let firewall = "config zone z\n\toption name lan\n\tlist network lan\n\tlist network wan6\n\
        config zone\n\toption name lan\n\
        config forwarding\n\toption src lan\n\toption dest wan\n\
        config rule\n\toption src dmz\n\toption target ACCEPT\n\
        config rule\n\toption src off\n\toption enabled 0\n";
    assert_eq!(
        found(&[("network", NETWORK), ("firewall", firewall)]),
        [
            "error: firewall.@forwarding[0].dest: there's no zone wan",
            "error: firewall.@rule[0].src: there's no zone dmz",
            "warning: firewall.z.network: there's no interface wan6",
            "warning: firewall.@zone[1].name: z is a zone lan too",
        ]
    );
    let network = format!(
        "{NETWORK}config interface g\n\toption device br-guest.3\nconfig interface v6\n\toption device @wan\n\
         config interface v\n\toption device @gone\nconfig bridge-vlan\n\toption device br-x\n\toption vlan 7\n\
         config device b\n\toption type bridge\n\toption name br-b\n\toption ports lan1\n\
         config route\n\toption interface gone\n"
    );
    assert_eq!(
        found(&[("network", &network), ("dhcp", "config dhcp d\n\toption interface gone\n")]),
        [
            "warning: dhcp.d.interface: there's no interface gone",
            "warning: network.b.ports: lan1 is a port of @device[0] too",
            "warning: network.g.device: there's no device br-guest",
            "warning: network.v.device: there's no interface gone",
            "warning: network.@bridge-vlan[0].device: there's no device br-x",
            "warning: network.@route[0].interface: there's no interface gone",
        ]
    );
    assert_eq!(found(&[("network", "")]), ["error: network: no interface: nobody could reach the router"]);
}

#[test]
fn two_owners_of_one_address_are_found() {
    let network = format!(
        "{NETWORK}config interface guest\n\toption proto static\n\toption ipaddr 192.168.1.1\n\toption netmask 255.255.255.0\n\
         config interface off\n\toption proto static\n\toption ipaddr 192.168.1.1\n\toption disabled 1\n\
         config interface p2p\n\toption proto static\n\toption ipaddr 192.168.1.1/32\n\
         config interface a\n\toption proto static\n\toption ip6addr 2001:db8::1/64\n\
         config interface b\n\toption proto static\n\toption ip6addr 2001:db8:0::1/64\n"
    );
    assert_eq!(
        found(&[("network", &network)]),
        [
            "error: network.guest.ipaddr: 192.168.1.1 is the address of lan too",
            "error: network.b.ip6addr: 2001:db8::1 is the address of a too",
        ]
    );
    let host = |name: &str, mac: &str, ip: &str| {
        format!("config host {name}\n\toption mac '{mac}'\n\toption ip {ip}\n")
    };
    let dhcp = host("a", "00:11:22:33:44:55", "192.168.1.9")
        + &host("b", "00:11:22:33:44:5A 00:11:22:33:44:5b", "192.168.1.9")
        + &host("c", "00:11:22:33:44:5a", "192.168.1.10")
        + &host("d", "nonsense", "ignore")
        + &host("e", "00:11:*:*:44:55", "192.168.1.300")
        + "config host f\n\toption name f\n\toption ip 192.168.1.9\n";
    assert_eq!(
        found(&[("dhcp", &dhcp)]),
        [
            "error: dhcp.b.ip: 192.168.1.9 is the address of a too",
            "error: dhcp.e.ip: 192.168.1.300 is no address",
            "warning: dhcp.c.mac: 00:11:22:33:44:5a is of b too",
            "warning: dhcp.d.mac: nonsense is no MAC address",
        ]
    );
}

#[test]
fn addresses_ports_and_keys_that_cannot_be_are_found() {
    let network = "config interface a\n\toption proto static\n\toption ipaddr 192.168.1\n\toption netmask 255.255.255.256\n\
        \toption gateway router\n\toption ip6addr 2001::1::2/64\n\
        config interface b\n\toption proto pppoe\n\toption ipaddr any\n\toption mtu x\n\
        config bridge-vlan\n\toption vlan 4095\nconfig route\n\toption target 10.0.0.0/33\n\toption gateway 10.0.0.1\n";
    assert_eq!(
        found(&[("network", network)]),
        [
            "error: network.a.ipaddr: 192.168.1 is no address",
            "error: network.a.netmask: 255.255.255.256 is no address",
            "error: network.a.gateway: router is no address",
            "error: network.a.ip6addr: 2001::1::2/64 is no address",
            "error: network.@route[0].target: 10.0.0.0/33 is no address",
            "error: network.@bridge-vlan[0].vlan: 4095 is no VLAN: 1 to 4094",
            "warning: network.b.mtu: x is no MTU",
        ]
    );
    let firewall =
        "config rule\n\toption dest_port '70000 90-80 ssh 1-2-3'\n\toption src_ip '10.0.0.256 host 1:2:3'\n";
    assert_eq!(
        found(&[("firewall", firewall)]),
        [
            "error: firewall.@rule[0].dest_port: 70000 is no port or range of ports",
            "error: firewall.@rule[0].dest_port: 90-80 is no port or range of ports",
            "error: firewall.@rule[0].dest_port: 1-2-3 is no port or range of ports",
            "error: firewall.@rule[0].src_ip: 10.0.0.256 is no address",
            "error: firewall.@rule[0].src_ip: 1:2:3 is no address",
        ]
    );
    assert_eq!(
        found(&[("dropbear", "config dropbear\n\toption Port 0\n")]),
        ["error: dropbear.@dropbear[0].Port: 0 is no port"]
    );
    let wifi =
        |key: &str| format!("config wifi-device r\nconfig wifi-iface w\n\toption encryption psk2\n{key}");
    let lines = found(&[("wireless", &wifi("\toption key sesam\n"))]);
    assert_eq!(lines, ["error: wireless.w.key: a key of 5 bytes; psk2 needs 8 to 63, or 64 hex digits"]);
    assert_eq!(found(&[("wireless", &wifi(""))]), ["warning: wireless.w.key: psk2 without a key"]);
}

#[test]
fn only_the_errors_that_a_change_brings_are_news() {
    let findings = |text: &str| {
        let file = File::parse(text.as_bytes()).unwrap();
        let package = package::read(&file).unwrap();
        check(&Value::object(vec![(Key::new("firewall"), package)]).unwrap())
    };
    let rule = |zone: &str| format!("config rule\n\toption src {zone}\n");
    let before = findings(&(rule("*") + &rule("gone")));
    // The same one, though it's the first rule now.
    assert!(news(&before, &findings(&rule("gone"))).is_empty());
    let after = findings(&(rule("gone") + &rule("gone") + &rule("other")));
    let texts: Vec<&str> = news(&before, &after).iter().map(|finding| finding.text.as_str()).collect();
    assert_eq!(texts, ["there's no zone gone", "there's no zone other"]);
}

#[test]
fn there_is_an_end_to_findings() {
    let rules = "config rule\n\toption src gone\n".repeat(MAX_FINDINGS + 10);
    assert_eq!(found(&[("firewall", &rules)]).len(), MAX_FINDINGS);
    // A finding is one line, however long and odd the word that it tells of.
    let lines = found(&[("firewall", &format!("config rule\n\toption src 'a\u{1b}{}'\n", "b".repeat(5000)))]);
    assert!(lines[0].len() < 400 && lines[0].contains("zone a\\u{1b}bb"), "{lines:?}");
    // But a control character that a file has is no error.
    assert_eq!(found(&[("x", "config a n\n\toption x 'a\u{1}'\n")]), [""; 0]);
}
