//! Sections that name others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Packages, Placed, Report, Severity};

pub(super) fn check(packages: &Packages<'_>, report: &mut Report) {
    network(packages, report);
    wireless(packages, report);
    firewall(packages, report);
    if packages.has("network") {
        let interfaces = interfaces(packages);
        for served in packages.of("dhcp", "dhcp").filter(|served| !served.is("ignore")) {
            for name in served.words("interface").filter(|name| !interfaces.contains(name)) {
                served.warning("interface", no_interface(name), report);
            }
        }
    }
}

/// The interfaces by their names.
fn interfaces<'a>(packages: &'a Packages<'_>) -> BTreeSet<&'a str> {
    packages.of("network", "interface").map(|interface| interface.key).collect()
}

fn no_interface(name: &str) -> String {
    format!("there's no interface {name}")
}

fn network(packages: &Packages<'_>, report: &mut Report) {
    if !packages.has("network") {
        return;
    }
    let interfaces = interfaces(packages);
    if interfaces.is_empty() {
        let text = "no interface: nobody could reach the router";
        report.add(Severity::Error, &["network"], text.to_string());
    }
    // An interface of the type `bridge`, as before 21.02, makes a device of its name.
    let old_bridges = packages.of("network", "interface").filter(|i| i.word("type") == Some("bridge"));
    let mut devices: BTreeSet<String> = old_bridges.map(|i| format!("br-{}", i.key)).collect();
    devices.extend(packages.of("network", "device").filter_map(|d| d.word("name")).map(str::to_string));
    let mut bridge_of: BTreeMap<&str, &str> = BTreeMap::new();
    for device in packages.of("network", "device").filter(|d| d.word("type") == Some("bridge")) {
        for port in device.words("ports") {
            if let Some(other) = bridge_of.insert(port, device.key).filter(|other| *other != device.key) {
                device.warning("ports", format!("{port} is a port of {other} too"), report);
            }
        }
    }
    for interface in packages.of("network", "interface") {
        for device in interface.words("device").chain(interface.words("ifname")) {
            if let Some(name) = device.strip_prefix('@').filter(|name| !interfaces.contains(name)) {
                interface.warning("device", no_interface(name), report);
            } else if device.starts_with("br-") {
                // `br-lan.10` is a VLAN of `br-lan`.
                let bridge = device.split('.').next().unwrap_or(device);
                if !devices.contains(bridge) && !devices.contains(device) {
                    interface.warning("device", format!("there's no device {bridge}"), report);
                }
            }
        }
    }
    for vlan in packages.of("network", "bridge-vlan") {
        for device in vlan.words("device").filter(|device| !devices.contains(*device)) {
            vlan.warning("device", format!("there's no device {device}"), report);
        }
    }
    for kind in ["route", "route6"] {
        for route in packages.of("network", kind) {
            for name in route.words("interface").filter(|name| !interfaces.contains(name)) {
                route.warning("interface", no_interface(name), report);
            }
        }
    }
}

fn wireless(packages: &Packages<'_>, report: &mut Report) {
    let radios: BTreeSet<&str> = packages.of("wireless", "wifi-device").map(|radio| radio.key).collect();
    let interfaces = packages.has("network").then(|| interfaces(packages));
    for wifi in packages.of("wireless", "wifi-iface").filter(|wifi| !wifi.is("disabled")) {
        for radio in wifi.words("device").filter(|radio| !radios.contains(radio)) {
            wifi.error("device", format!("there's no wifi-device {radio}"), report);
        }
        if let Some(interfaces) = &interfaces {
            for name in wifi.words("network").filter(|name| !interfaces.contains(name)) {
                wifi.error("network", no_interface(name), report);
            }
        }
        key(wifi, report);
    }
}

/// With a key of another length hostapd isn't started at all.
fn key(wifi: Placed<'_>, report: &mut Report) {
    let encryption = wifi.word("encryption").unwrap_or("none");
    let psk = encryption.starts_with("psk");
    match wifi.text("key").map(str::len) {
        Some(length) if psk && !(8..=64).contains(&length) => {
            let text = format!("a key of {length} bytes; {encryption} needs 8 to 63, or 64 hex digits");
            wifi.error("key", text, report);
        }
        None if psk
            && wifi.section.option("wpa_psk_file").is_none()
            && wifi.section.option("ppsk").is_none() =>
        {
            wifi.warning("key", format!("{encryption} without a key"), report);
        }
        _ => {}
    }
}

fn firewall(packages: &Packages<'_>, report: &mut Report) {
    let mut zones: BTreeMap<&str, &str> = BTreeMap::new();
    let interfaces = packages.has("network").then(|| interfaces(packages));
    for zone in packages.of("firewall", "zone").filter(|zone| !zone.is_not("enabled")) {
        let Some(name) = zone.word("name") else {
            zone.warning("name", "a zone without a name is passed over".to_string(), report);
            continue;
        };
        if let Some(other) = zones.insert(name, zone.key) {
            zone.warning("name", format!("{other} is a zone {name} too"), report);
        }
        if let Some(interfaces) = &interfaces {
            for name in zone.words("network").filter(|name| !interfaces.contains(name)) {
                zone.warning("network", no_interface(name), report);
            }
        }
    }
    for kind in ["forwarding", "rule", "redirect", "nat"] {
        for section in packages.of("firewall", kind).filter(|section| !section.is_not("enabled")) {
            for option in ["src", "dest"] {
                // In these a zone can only be named, or all of them.
                let zone = section.word(option).filter(|zone| *zone != "*" && !zones.contains_key(zone));
                // A redirect's `dest` may be left to the address.
                if let Some(zone) = zone {
                    section.error(option, format!("there's no zone {zone}"), report);
                }
            }
        }
    }
}
