//! Addresses, ports and numbers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Packages, Placed, Report};

pub(super) fn check(packages: &Packages<'_>, report: &mut Report) {
    network(packages, report);
    hosts(packages, report);
    firewall(packages, report);
    for server in packages.of("dropbear", "dropbear").filter(|server| !server.is_not("enable")) {
        for port in server.words("Port").filter(|port| !is_port(port)) {
            server.error("Port", format!("{port} is no port"), report);
        }
    }
}

fn network(packages: &Packages<'_>, report: &mut Report) {
    let mut owners: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    let mut owners6: BTreeMap<Ipv6Addr, &str> = BTreeMap::new();
    for interface in packages.of("network", "interface") {
        let fixed = interface.word("proto") == Some("static") && !interface.is("disabled");
        for (option, valid) in [
            ("ipaddr", is_v4_or_net as fn(&str) -> bool),
            ("netmask", is_mask),
            ("gateway", is_v4),
            ("broadcast", is_v4),
            ("ip6addr", is_v6_or_net),
            ("ip6gw", is_v6),
            ("ip6prefix", is_v6_or_net),
        ] {
            // Other protocols have a meaning of their own for some of them: a host name, say.
            for word in interface.words(option).filter(|word| fixed && !valid(word)) {
                interface.error(option, format!("{word} is no address"), report);
            }
        }
        if !fixed {
            continue;
        }
        for word in interface.words("ipaddr") {
            let length = length_of(word, interface);
            let Some(address) = address_of(word) else { continue };
            // A /32 is shared on purpose, by links that have no addresses of their own.
            if length == Some(32) || address.is_loopback() {
                continue;
            }
            if let Some(other) = owners.insert(address, interface.key).filter(|other| *other != interface.key)
            {
                interface.error("ipaddr", format!("{address} is the address of {other} too"), report);
            }
        }
        for word in interface.words("ip6addr") {
            let (text, length) = word.split_once('/').unwrap_or((word, "128"));
            let Ok(address) = text.parse::<Ipv6Addr>() else { continue };
            let link_local = address.segments()[0] & 0xffc0 == 0xfe80;
            if length == "128" || address.is_loopback() || link_local {
                continue;
            }
            if let Some(other) =
                owners6.insert(address, interface.key).filter(|other| *other != interface.key)
            {
                interface.error("ip6addr", format!("{address} is the address of {other} too"), report);
            }
        }
    }
    for route in packages.of("network", "route").filter(|route| !route.is("disabled")) {
        for (option, valid) in
            [("target", is_v4_or_net as fn(&str) -> bool), ("gateway", is_v4), ("netmask", is_mask)]
        {
            for word in route.words(option).filter(|word| looks_like_address(word) && !valid(word)) {
                route.error(option, format!("{word} is no address"), report);
            }
        }
    }
    for vlan in packages.of("network", "bridge-vlan") {
        for word in vlan.words("vlan").filter(|word| number(word).is_none_or(|id| !(1..=4094).contains(&id)))
        {
            vlan.error("vlan", format!("{word} is no VLAN: 1 to 4094"), report);
        }
    }
    for kind in ["interface", "device"] {
        for section in packages.of("network", kind) {
            for word in section.words("mtu").filter(|word| number(word).is_none_or(|mtu| mtu < 68)) {
                section.warning("mtu", format!("{word} is no MTU"), report);
            }
        }
    }
}

/// The leases that are given to somebody. With two for one address dnsmasq doesn't start.
fn hosts(packages: &Packages<'_>, report: &mut Report) {
    let mut addresses: BTreeMap<(&str, Ipv4Addr), &str> = BTreeMap::new();
    let mut cards: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for host in packages.of("dhcp", "host") {
        let instance = host.word("instance").unwrap_or_default();
        let known = host.section.option("mac").is_some() || host.section.option("duid").is_some();
        for word in host.words("ip").filter(|word| *word != "ignore") {
            match word.parse::<Ipv4Addr>() {
                Err(_) if looks_like_address(word) => {
                    host.error("ip", format!("{word} is no address"), report);
                }
                Err(_) => {}
                // Without a card it's no lease, only a name.
                Ok(_) if !known => {}
                Ok(address) => {
                    if let Some(other) = addresses.insert((instance, address), host.key) {
                        host.error("ip", format!("{address} is the address of {other} too"), report);
                    }
                }
            }
        }
        for word in host.words("mac") {
            if !is_mac(word) {
                host.warning("mac", format!("{word} is no MAC address"), report);
            } else if let Some(other) = cards.insert((instance, word.to_ascii_lowercase()), host.key) {
                host.warning("mac", format!("{word} is of {other} too"), report);
            }
        }
    }
}

fn firewall(packages: &Packages<'_>, report: &mut Report) {
    for kind in ["rule", "redirect", "nat"] {
        for section in packages.of("firewall", kind).filter(|section| !section.is_not("enabled")) {
            for option in ["src_port", "dest_port", "src_dport", "snat_port"] {
                for word in section.words(option).filter(|word| !is_port_range(word)) {
                    section.error(option, format!("{word} is no port or range of ports"), report);
                }
            }
            for option in ["src_ip", "dest_ip", "src_dip", "snat_ip"] {
                for word in section.words(option) {
                    let address = word.strip_prefix('!').unwrap_or(word);
                    if looks_like_address(address) && !is_v4_or_net(address) && !is_v6_or_net(address) {
                        section.error(option, format!("{word} is no address"), report);
                    }
                }
            }
        }
    }
}

fn number(word: &str) -> Option<u32> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

fn is_port(word: &str) -> bool {
    number(word).is_some_and(|port| (1..=65535).contains(&port))
}

/// A port, a range, or what isn't a number and may be a service's name.
fn is_port_range(word: &str) -> bool {
    let word = word.strip_prefix('!').unwrap_or(word);
    if word.is_empty() || word.bytes().any(|b| !b.is_ascii_digit() && b != b'-' && b != b':') {
        return true;
    }
    let port = |word: &str| number(word).filter(|port| *port <= 65535);
    match word.split_once(['-', ':']) {
        None => port(word).is_some(),
        Some((from, to)) => match (port(from), port(to)) {
            (Some(from), Some(to)) => from <= to,
            _ => false,
        },
    }
}

/// Whether a word can be nothing but an address: only then is a bad one certainly wrong.
fn looks_like_address(word: &str) -> bool {
    let dotted = word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'/');
    let hex =
        word.matches(':').count() > 1 && word.bytes().all(|b| b.is_ascii_hexdigit() || b":./".contains(&b));
    dotted || hex
}

fn is_v4(word: &str) -> bool {
    word.parse::<Ipv4Addr>().is_ok()
}

fn is_v6(word: &str) -> bool {
    word.parse::<Ipv6Addr>().is_ok()
}

fn is_v4_or_net(word: &str) -> bool {
    match word.split_once('/') {
        None => is_v4(word),
        Some((address, mask)) => is_v4(address) && is_mask(mask),
    }
}

/// A netmask, or its length.
fn is_mask(word: &str) -> bool {
    number(word).map_or_else(|| is_v4(word), |length| length <= 32)
}

fn is_v6_or_net(word: &str) -> bool {
    match word.split_once('/') {
        None => is_v6(word),
        // Firewalls take a mask of bits in the place of a length.
        Some((address, mask)) => {
            is_v6(address) && number(mask).map_or_else(|| is_v6(mask) || mask.starts_with('-'), |n| n <= 128)
        }
    }
}

fn address_of(word: &str) -> Option<Ipv4Addr> {
    match word.split('/').next()?.parse().ok()? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// The length of an address's netmask, where it's told.
fn length_of(word: &str, interface: Placed<'_>) -> Option<u32> {
    let mask = word.split_once('/').map(|(_, mask)| mask).or_else(|| interface.word("netmask"))?;
    match number(mask) {
        Some(length) => Some(length),
        None => mask.parse::<Ipv4Addr>().ok().map(|mask| u32::from(mask).count_ones()),
    }
}

/// A MAC address; dnsmasq takes `*` for a part of it.
fn is_mac(word: &str) -> bool {
    let parts: Vec<&str> = word.split([':', '-']).collect();
    let part = |part: &&str| {
        *part == "*" || (part.len() <= 2 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    parts.len() == 6 && parts.iter().all(part)
}
