//! A router's `/etc/config` follows the tree, each version on trial: confirmed by proof, undone by itself otherwise.
//!
//! The router is the real program on a directory with `etc/config`; `bin/ubus` is a script that does what procd's services
//! would: it brings the files "into use", and a configuration with the word `cutoff` in use cuts the uplink, which is a proxy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tega::value::Value;

use crate::proxy::Proxy;
use crate::server::{Scratch, Server, eventually, ok, takes_faults, tega};
use crate::wire::{Http, http_unix};

pub(crate) const NETWORK: &str = "# by hand\n\nconfig interface 'lan'\n\toption proto 'static'\n\toption ipaddr '192.168.1.1' # the LAN\n\nconfig interface wan\n\toption proto dhcp\n";
pub(crate) const DHCP: &str =
    "\nconfig dnsmasq\n\toption domain 'lan'\n\nconfig dhcp 'lan'\n\toption start '100'\n";
const WIRELESS: &str = "\nconfig wifi-iface 'home'\n\toption ssid 'home'\n\toption key 'very secret'\n";

const UBUS: &str = r#"#!/bin/sh
# What procd and the services would do.
root=$(dirname "$(dirname "$0")")
case "$3" in
    event)
        echo "$4" >> "$root/events"
        mkdir -p "$root/used"
        for file in "$root"/etc/config/*; do cp "$file" "$root/used/"; done
        if grep -q crashing "$root"/used/*; then
            echo '{"dnsmasq":{"instances":{"main":{"running":false}}}}' > "$root/services"
        else
            echo '{"dnsmasq":{"instances":{"main":{"running":true,"pid":7}},"triggers":[["config.change",["if",["eq","package","dhcp"],["run_script"]],1000]]}}' > "$root/services"
        fi
        ;;
    list) cat "$root/services" 2>/dev/null || echo '{}' ;;
esac
"#;

/// Makes the files of a router below a directory.
pub(crate) fn furnish(root: &Path) {
    let config = root.join("etc/config");
    fs::create_dir_all(&config).unwrap();
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(config.join("network"), NETWORK).unwrap();
    fs::write(config.join("dhcp"), DHCP).unwrap();
    fs::write(config.join("wireless"), WIRELESS).unwrap();
    fs::write(config.join("network-opkg"), "no package").unwrap();
    let ubus = root.join("bin/ubus");
    fs::write(&ubus, UBUS).unwrap();
    fs::set_permissions(&ubus, fs::Permissions::from_mode(0o755)).unwrap();
    let services = r#"{"dnsmasq":{"instances":{"main":{"running":true,"pid":7}}}}"#;
    fs::write(root.join("services"), services).unwrap();
}

/// A global server, a router behind a proxy, and what its configuration does to that.
struct Net {
    router: Server,
    root: Scratch,
    proxy: Arc<Proxy>,
    global: Server,
    ended: Arc<AtomicBool>,
    uplink: Option<JoinHandle<()>>,
}

impl Net {
    fn start(more: &[&str]) -> Net {
        let root = Scratch::new();
        furnish(root.path());
        let global = Server::with(&["--id", "global"]);
        let proxy = Arc::new(Proxy::start(Some(global.address())));
        let url = format!("ws://{}", proxy.address());
        let dir = root.path().display().to_string();
        let mut args = vec!["--id", "r1", "--global", &url, "--config", "config-r1"];
        args.extend(["--operational", "operational-r1", "--uci", "--uci-root", &dir]);
        if !more.contains(&"--uci-settle") {
            args.extend(["--uci-settle", "0"]);
        }
        args.extend(more);
        let router = Server::with(&args);
        let ended = Arc::new(AtomicBool::new(false));
        let uplink = std::thread::spawn({
            let (proxy, ended, used) = (proxy.clone(), ended.clone(), root.path().join("used/network"));
            move || {
                let mut cut = false;
                while !ended.load(Ordering::SeqCst) {
                    let cuts = fs::read_to_string(&used).is_ok_and(|text| text.contains("cutoff"));
                    if cuts != cut {
                        cut = cuts;
                        proxy.down(cut);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        let net = Net { router, root, proxy, global, ended, uplink: Some(uplink) };
        eventually("the link is up at both ends", || {
            let status = http_unix(&net.router, "GET /_status", &[], "").json();
            let is_up = |link: &Value| link.get("up").and_then(Value::as_bool) == Some(true);
            is_up(&net.fleet()) && status.get("global").is_some_and(is_up)
        });
        net
    }

    /// The same, with its files taken into the tree.
    fn adopted(more: &[&str]) -> Net {
        let net = Net::start(more);
        ok(&net.router, &["uci", "adopt"], "");
        net.state("confirmed", 0);
        net
    }

    fn config(&self, name: &str) -> PathBuf {
        self.root.path().join("etc/config").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.config(name)).unwrap()
    }

    /// What the global knows of the router's link.
    fn fleet(&self) -> Value {
        let status = http_unix(&self.global, "GET /_status", &[], "").json();
        let links = status.get("links").and_then(Value::as_list).map(|list| list.items().to_vec());
        links.unwrap_or_default().into_iter().next().unwrap_or(Value::Null)
    }

    /// What the router told the global of its files.
    fn told(&self) -> Value {
        let answer = http_unix(&self.global, "GET /operational-r1/uci", &[], "");
        if answer.status == 200 { answer.json() } else { Value::Null }
    }

    /// Waits until the global knows this state of this version; all that it knows then.
    #[track_caller]
    fn state(&self, state: &str, version: i64) -> Value {
        let is = |told: &Value| {
            told.get("state").and_then(Value::as_str) == Some(state)
                && told.get("version").and_then(Value::as_int) == Some(version)
        };
        eventually(&format!("{state} {version}, told at the global"), || {
            let told = self.told();
            if !is(&told) && std::env::var_os("TEGA_SHOW").is_some() {
                eprintln!("{told}");
            }
            is(&told)
        });
        self.told()
    }

    /// A change at the global.
    #[track_caller]
    fn put(&self, path: &str, value: &str) {
        put(&self.global, path, value);
    }

    fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root.path().join("events")).unwrap_or_default();
        text.lines().map(String::from).collect()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(uplink) = self.uplink.take() {
            let _ = uplink.join();
        }
    }
}

#[track_caller]
fn put(server: &Server, path: &str, value: &str) {
    let answer = http_unix(server, &format!("PUT /{path}"), &[], value);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

fn text(value: &Value, path: &[&str]) -> String {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .map_or(String::new(), |value| value.as_str().map_or_else(|| value.to_string(), String::from))
}

#[test]
fn a_router_is_taken_in_as_it_is_and_a_good_change_is_confirmed_and_touches_nothing_else() {
    let net = Net::start(&["--uci-probe", "test -e /"]);
    assert_eq!(text(&http_unix(&net.router, "GET /_uci", &[], "").json(), &["state"]), "unmanaged");
    let adopted = ok(&net.router, &["uci", "adopt", "network", "dhcp"], "");
    assert_eq!(adopted, "dhcp\nnetwork\n");
    net.state("confirmed", 0);
    assert_eq!((net.read("network"), net.read("dhcp")), (NETWORK.into(), DHCP.into()));
    assert_eq!(net.events(), Vec::<String>::new(), "nothing changed, so nothing reloads");

    net.put("config-r1/uci/network/lan/ipaddr", r#""192.168.7.1""#);
    let told = net.state("confirmed", 1);
    assert_eq!(net.read("network"), NETWORK.replace("192.168.1.1", "192.168.7.1"));
    assert_eq!((net.read("dhcp"), net.read("wireless")), (DHCP.into(), WIRELESS.into()));
    assert_eq!(text(&told, &["confirmed"]), "1");
    let events = net.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains(r#""package":"network""#), "{events:?}");
    let fleet = net.fleet();
    assert_eq!(text(&fleet, &["uci", "state"]), "confirmed");
    for what in ["desired", "confirmed", "observed"] {
        assert_eq!(text(&fleet, &["uci", what]), "1", "{what}: {fleet}");
    }
    let (code, table, said) = tega(&net.global, &["fleet"], "");
    assert_eq!(code, 0, "{said}");
    assert!(table.contains("confirmed 1"), "{table}");

    // A file that nobody manages stays, and one that goes is named.
    net.put("config-r1/uci/dhcp", r#"{".delete":true}"#);
    net.state("confirmed", 2);
    assert!(!net.config("dhcp").exists());
    assert_eq!(net.read("wireless"), WIRELESS);
    // Files may be brought in at the global too.
    let file = net.config("wireless").display().to_string();
    ok(&net.global, &["uci", "import", "config-r1", &file], "");
    net.state("confirmed", 3);
    assert_eq!((net.read("wireless"), net.events().len()), (WIRELESS.into(), 2));
    // A router taken in already isn't taken in again.
    let (code, _, said) = tega(&net.router, &["uci", "adopt", "network"], "");
    assert!(code == 4 && said.contains("`tega uci import config-r1 "), "{code} {said}");
    let (code, _, said) = tega(&net.router, &["uci", "adopt"], "");
    assert!(code == 1 && said.contains("no package that isn't in the tree already"), "{code} {said}");
}

#[test]
fn a_change_that_cuts_the_uplink_is_undone_in_time_and_the_global_learns_why() {
    let net = Net::adopted(&["--uci-confirm", "3", "--uci-settle", "1"]);
    net.put("config-r1/uci/network/lan/proto", r#""cutoff""#);
    let told = net.state("reverted", 1);
    assert_eq!(net.read("network"), NETWORK);
    assert_eq!(net.events().len(), 2, "{:?}", net.events());
    assert!(text(&told, &["reason"]).contains("didn't answer over a new connection in 3 s"), "{told}");
    assert_eq!((text(&told, &["confirmed"]), text(&told, &["observed"])), ("0".into(), "0".into()));
    let fleet = net.fleet();
    assert_eq!(
        (text(&fleet, &["uci", "desired"]), text(&fleet, &["uci", "confirmed"])),
        ("1".into(), "0".into())
    );

    // It isn't tried again because something else changes, nor after a restart; a person may, and a newer one is.
    net.put("config-r1/note", "1");
    net.state("reverted", 2);
    assert_eq!(net.events().len(), 2);
    ok(&net.router, &["uci", "retry"], "");
    eventually("it's tried again", || net.events().len() >= 3);
    net.state("reverted", 2);
    net.put("config-r1/uci/network/lan/proto", r#""static""#);
    net.state("confirmed", 3);
    assert_eq!(net.read("network"), NETWORK);
}

#[test]
fn what_was_reverted_is_remembered_across_a_restart() {
    let mut net = Net::adopted(&["--uci-settle", "1"]);
    // The time limit is the router's own, in the tree.
    net.put("config-r1/tega/confirm_seconds", "2");
    net.state("confirmed", 1);
    net.put("config-r1/uci/network/lan/proto", r#""cutoff""#);
    net.state("reverted", 2);
    let events = net.events().len();
    net.router.restart();
    eventually("it says so again", || {
        let status = http_unix(&net.router, "GET /_uci", &[], "").json();
        text(&status, &["state"]) == "reverted" && text(&status, &["reason"]).contains("in 2 s")
    });
    assert_eq!(net.events().len(), events);
}

#[test]
fn a_version_that_leaves_no_server_is_undone_all_the_same() {
    let mut net = Net::adopted(&["--uci-confirm", "5", "--uci-settle", "1"]);
    let own = "config server 'main'\n\toption uci '1'\n";
    fs::write(net.config("tega"), own).unwrap();
    ok(&net.router, &["uci", "adopt", "tega"], "");
    net.state("confirmed", 1);
    net.put("config-r1/uci/tega/main/uci", r#""0""#);
    eventually("it's in use", || net.events().len() == 1);
    // What procd does when the init script starts no server any more.
    net.router.kill();
    assert!(net.read("tega").contains("'0'"), "{}", net.read("tega"));
    eventually("the old file is back", || net.read("tega") == own);
    eventually("and procd is told", || net.events().len() == 2);
    net.router.restart();
    let told = net.state("reverted", 2);
    assert!(text(&told, &["reason"]).contains("no server was left"), "{told}");

    // One that lives ends its guard when its trial is over.
    net.put("config-r1/uci/tega/main/log_level", r#""warn""#);
    net.put("config-r1/uci/tega/main/uci", r#""1""#);
    net.state("confirmed", 4);
    let guards = || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|it| fs::read_to_string(it.path().join("cmdline")).ok());
        let dir = net.root.path().display().to_string();
        lines.filter(|line| line.contains("recover") && line.contains(&dir)).count()
    };
    eventually("no guard is left", || guards() == 0);
}

#[test]
fn a_restart_in_mid_trial_goes_on_with_it_and_a_reboot_undoes_it() {
    let mut net = Net::adopted(&["--uci-settle", "4", "--uci-confirm", "60"]);
    let boot = |net: &mut Net, id| net.router.set_env(&[("TEGA_UCI_BOOT", id)]);
    boot(&mut net, "one");
    net.router.restart();
    net.put("config-r1/uci/network/lan/ipaddr", r#""10.0.0.1""#);
    net.state("trial", 1);
    net.router.restart();
    net.state("confirmed", 1);
    let new = NETWORK.replace("192.168.1.1", "10.0.0.1");
    assert_eq!(net.read("network"), new);

    net.put("config-r1/uci/network/lan/ipaddr", r#""10.0.0.2""#);
    net.state("trial", 2);
    if takes_faults() {
        boot(&mut net, "two");
        net.router.restart();
        let told = net.state("reverted", 2);
        assert!(text(&told, &["reason"]).contains("restarted before"), "{told}");
        assert_eq!(net.read("network"), new);
    }
}

#[test]
fn a_journal_that_cannot_be_read_stops_the_bridge_and_not_the_server() {
    let mut net = Net::adopted(&[]);
    net.router.kill();
    fs::write(net.router.data().join("uci/journal"), "00000000 {}\n").unwrap();
    fs::write(net.router.data().join("uci/state"), "damaged").unwrap();
    net.router.restart();
    eventually("it says why", || text(&net.told(), &["reason"]).contains("by hand"));
    net.put("config-r1/uci/network/lan/ipaddr", r#""10.0.0.1""#);
    let (code, _, said) = tega(&net.router, &["uci", "status"], "");
    assert_eq!((code, said.contains("checksum")), (1, true), "{said}");
    assert_eq!(net.read("network"), NETWORK);
    // Without it, what is remembered is begun anew.
    fs::remove_file(net.router.data().join("uci/journal")).unwrap();
    net.router.restart();
    net.state("confirmed", 1);
    assert!(net.router.data().join("uci/state.damaged").exists());
}

#[test]
fn a_service_that_crashes_after_the_reload_and_a_probe_that_fails_undo_a_change() {
    let net = Net::adopted(&["--uci-settle", "20"]);
    net.put("config-r1/uci/dhcp/lan/start", r#""crashing""#);
    let told = net.state("reverted", 1);
    assert!(text(&told, &["reason"]).contains("dnsmasq.main doesn't run"), "{told}");
    assert_eq!(net.read("dhcp"), DHCP);

    let probe = Scratch::new();
    let command = format!("test -e {}/there", probe.path().display());
    let net = Net::adopted(&["--uci-confirm", "2", "--uci-probe", &command]);
    net.put("config-r1/uci/dhcp/lan/start", r#""110""#);
    let told = net.state("reverted", 1);
    assert!(text(&told, &["reason"]).contains("a probe failed"), "{told}");
    probe.file("there", "");
    ok(&net.router, &["uci", "retry"], "");
    net.state("confirmed", 1);
    assert_eq!(net.read("dhcp"), DHCP.replace("100", "110"));
}

#[test]
fn what_must_not_be_applied_is_refused_before_anything_is_touched() {
    let net = Net::adopted(&[]);
    net.put("config-r1/uci/network/lan/mtu", "1.5");
    let told = net.state("failed", 1);
    assert!(text(&told, &["reason"]).contains("network.lan.mtu"), "{told}");
    assert_eq!(net.read("network"), NETWORK);
    // An empty or deleted root is no order to remove anything.
    assert_eq!(http_unix(&net.global, "DELETE /config-r1/uci", &[], "").status, 200);
    net.state("unmanaged", 2);
    assert_eq!(http_unix(&net.global, "DELETE /config-r1", &[], "").status, 200);
    net.state("unmanaged", 3);
    assert_eq!((net.read("network"), net.read("dhcp")), (NETWORK.into(), DHCP.into()));
}

#[test]
fn of_two_quick_versions_the_newer_one_counts_in_the_end() {
    let net = Net::adopted(&[]);
    net.put("config-r1/uci/network/lan/ipaddr", r#""10.0.0.1""#);
    net.put("config-r1/uci/network/lan/ipaddr", r#""10.0.0.2""#);
    net.state("confirmed", 2);
    assert_eq!(net.read("network"), NETWORK.replace("192.168.1.1", "10.0.0.2"));
    assert!((1..=2).contains(&net.events().len()), "{:?}", net.events());
}

#[test]
fn a_router_that_was_away_for_fifty_versions_applies_only_the_last() {
    let net = Net::adopted(&[]);
    net.proxy.down(true);
    eventually("the link is down", || net.fleet().get("up").and_then(Value::as_bool) == Some(false));
    for n in 1..=50 {
        net.put("config-r1/uci/network/lan/ipaddr", &format!("\"10.0.0.{n}\""));
    }
    net.proxy.down(false);
    net.state("confirmed", 50);
    assert_eq!(net.read("network"), NETWORK.replace("192.168.1.1", "10.0.0.50"));
    assert_eq!(net.events().len(), 1, "{:?}", net.events());
}

#[test]
fn after_thousands_of_changes_elsewhere_in_its_root_the_next_one_is_still_seen() {
    let root = Scratch::new();
    furnish(root.path());
    let dir = root.path().display().to_string();
    let args = ["--id", "r1", "--uci", "--uci-root", &dir, "--uci-settle", "0", "--durability", "none"];
    let router = Server::with(&args);
    ok(&router, &["uci", "adopt"], "");
    let mut http = Http::unix(&router);
    // More than a watch holds, twice.
    for n in 0..2_500 {
        let answer = http.call("PUT /config-r1/note", &[], n.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
    }
    put(&router, "config-r1/uci/network/lan/ipaddr", r#""10.9.8.7""#);
    eventually("it's on trial", || {
        let status = http_unix(&router, "GET /_uci", &[], "").json();
        text(&status, &["reason"]).contains("tega uci confirm")
    });
}

#[test]
fn an_edit_by_hand_is_drift_that_is_told_without_secrets_and_a_new_version_keeps_the_edited_file() {
    let net = Net::adopted(&[]);
    fs::write(
        net.config("wireless"),
        WIRELESS.replace("very secret", "other").replace("'home'\n\toption key", "'cafe'\n\toption key"),
    )
    .unwrap();
    eventually("the drift is told", || {
        net.told().get("drift").is_some_and(|drift| drift.get("wireless").is_some())
    });
    let told = net.told().to_string();
    assert!(told.contains("cafe") && !told.contains("secret") && !told.contains("other"), "{told}");
    // Layout alone is none.
    fs::write(net.config("network"), NETWORK.replace("# by hand\n", "")).unwrap();
    net.put("config-r1/uci/wireless/home/ssid", r#""office""#);
    let told = net.state("confirmed", 1);
    assert_eq!(text(&told, &["drift"]), "{}");
    assert_eq!(net.read("wireless"), WIRELESS.replace("ssid 'home'", "ssid 'office'"));
    assert!(text(&told, &["kept", "wireless"]).contains("edited"), "{told}");
    let kept = fs::read_to_string(net.router.data().join("uci/kept/wireless")).unwrap();
    assert!(kept.contains("cafe"), "{kept}");
}

#[test]
fn an_edit_during_a_trial_is_not_lost_when_the_trial_is_undone() {
    let net = Net::adopted(&["--uci-confirm", "4", "--uci-settle", "1"]);
    net.put("config-r1/uci/network/lan/proto", r#""cutoff""#);
    eventually("it's in use", || net.events().len() == 1);
    // Another package is nobody's business; the one on trial goes back, and the edit is kept.
    fs::write(net.config("dhcp"), DHCP.replace("100", "33")).unwrap();
    let edited = net.read("network") + "\nconfig interface 'guest'\n";
    fs::write(net.config("network"), &edited).unwrap();
    let told = net.state("reverted", 1);
    assert_eq!(net.read("network"), NETWORK);
    assert_eq!(net.read("dhcp"), DHCP.replace("100", "33"));
    assert!(text(&told, &["kept", "network"]).contains("on trial"), "{told}");
    assert_eq!(fs::read_to_string(net.router.data().join("uci/kept/network")).unwrap(), edited);
    // What counts is the version that was confirmed, not the newest one.
    eventually("the other edit is drift, and told line by line", || {
        net.told()
            .get("drift")
            .and_then(|it| it.get("dhcp"))
            .is_some_and(|it| it.to_string().contains("'100' → '33'"))
    });
}

#[test]
fn an_edit_is_proposed_to_the_tree_where_that_is_the_policy() {
    let net = Net::adopted(&["--uci-drift", "adopt"]);
    fs::write(net.config("dhcp"), DHCP.replace("100", "33")).unwrap();
    net.state("confirmed", 1);
    let start = http_unix(&net.global, "GET /config-r1/uci/dhcp/lan/start", &[], "");
    assert_eq!(start.text(), r#""33""#);
    eventually("no drift is left", || text(&net.told(), &["drift"]) == "{}");
    assert_eq!(net.events(), Vec::<String>::new());
}

#[test]
fn an_edit_is_undone_on_trial_where_the_tree_is_enforced() {
    let net = Net::adopted(&["--uci-drift", "enforce"]);
    fs::write(net.config("dhcp"), DHCP.replace("100", "33")).unwrap();
    eventually("it is as the tree says", || net.read("dhcp") == DHCP);
    eventually("it's confirmed", || {
        let told = net.told();
        text(&told, &["state"]) == "confirmed" && text(&told, &["kept", "dhcp"]).contains("edited")
    });
}

#[test]
fn a_store_that_has_replicas_is_not_cleared_by_a_slip() {
    let net = Net::adopted(&[]);
    let (code, _, said) = tega(&net.global, &["clear", "--yes"], "");
    assert_eq!((code, said.contains("--yes-all-replicas")), (2, true), "{said}");
    assert!(net.told() != Value::Null);
    ok(&net.global, &["clear", "--yes-all-replicas"], "");
    // And even then no file goes.
    eventually("the router hears of it", || {
        text(&http_unix(&net.router, "GET /_uci", &[], "").json(), &["state"]) == "unmanaged"
            || http_unix(&net.router, "GET /config-r1", &[], "").status == 404
    });
    assert_eq!((net.read("network"), net.read("dhcp")), (NETWORK.into(), DHCP.into()));
}

#[test]
fn without_a_global_a_person_confirms_over_a_connection_that_is_newer_than_the_trial() {
    let root = Scratch::new();
    furnish(root.path());
    let dir = root.path().display().to_string();
    let router = Server::with(&["--id", "r1", "--uci", "--uci-root", &dir, "--uci-settle", "0"]);
    let status = || http_unix(&router, "GET /_uci", &[], "").json();
    let is = |state: &str| eventually(state, || text(&status(), &["state"]) == state);
    ok(&router, &["uci", "adopt"], "");
    is("confirmed");
    let mut old = Http::unix(&router);
    assert_eq!(old.call("GET /_uci", &[], b"").unwrap().status, 200);
    put(&router, "config-r1/uci/network/lan/ipaddr", r#""10.9.8.7""#);
    eventually("it waits", || text(&status(), &["reason"]).contains("tega uci confirm"));
    let answer = old.call("POST /_uci_do?do=confirm", &[], b"").unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("over a new one"), "{}", answer.text());
    ok(&router, &["uci", "confirm"], "");
    is("confirmed");
    let network = fs::read_to_string(root.path().join("etc/config/network")).unwrap();
    assert_eq!(network, NETWORK.replace("192.168.1.1", "10.9.8.7"));
    // And undoes the next.
    put(&router, "config-r1/uci/network/lan/ipaddr", r#""10.9.8.8""#);
    eventually("it waits", || text(&status(), &["reason"]).contains("tega uci confirm"));
    ok(&router, &["uci", "revert"], "");
    is("reverted");
    assert_eq!(fs::read_to_string(root.path().join("etc/config/network")).unwrap(), network);
    // What differs is told without secrets.
    let wireless = WIRELESS.replace("very secret", "better");
    fs::write(root.path().join("etc/config/wireless"), wireless).unwrap();
    let (_, shown, _) = tega(&router, &["uci", "diff"], "");
    assert!(shown.contains("wireless.home.key") && shown.contains("10.9.8.8"), "{shown}");
    assert!(!shown.contains("better") && !shown.contains("very secret"), "{shown}");
    let (_, shown, _) = tega(&router, &["uci", "diff", "--secrets"], "");
    assert!(shown.contains("better"), "{shown}");
}
