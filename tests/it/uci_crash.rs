//! A router's configuration is the old one or the new one, wherever the power fails or the disk is full.
//!
//! The server ends itself at the n-th step of the bridge (`TEGA_UCI_FAULT`, which only builds with debug assertions know),
//! for every n that there is. A router without a global is the quicker one, and its journal is the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use tega::value::Value;

use crate::server::{Scratch, Server, eventually, ok, run, takes_faults, tega_command};
use crate::uci_bridge::{DHCP, NETWORK, furnish};
use crate::wire::{Http, http_unix};

/// A router that was taken in, to be copied.
struct Template(Scratch);

/// A copy of it.
struct Router {
    server: Option<Server>,
    root: Scratch,
}

fn new() -> (String, String) {
    (NETWORK.replace("192.168.1.1", "10.0.0.1"), DHCP.replace("100", "7"))
}

fn old() -> (String, String) {
    (NETWORK.into(), DHCP.into())
}

fn files(root: &Path) -> (String, String) {
    let read = |name| fs::read_to_string(root.join("etc/config").join(name)).unwrap();
    (read("network"), read("dhcp"))
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

fn state(server: &Server) -> Option<(String, String)> {
    let mut http = Http::try_tcp(server.address()).ok()?;
    let status = http.call("GET /_uci", &[], b"").ok()?.json();
    let text = |name| status.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    Some((text("state"), text("reason")))
}

impl Template {
    fn new() -> Template {
        let template = Template(Scratch::new());
        let (data, root) = (template.0.path().join("server"), template.0.path().join("root"));
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(&root).unwrap();
        furnish(&root);
        let dir = root.display().to_string();
        let mut server = Server::with(&["--id", "r1", "--uci", "--uci-root", &dir]);
        ok(&server, &["uci", "adopt", "network", "dhcp"], "");
        eventually("it's confirmed", || state(&server).is_some_and(|(state, _)| state == "confirmed"));
        assert!(server.stop().success());
        copy(server.dir(), &data);
        template
    }

    /// A router in its first boot, with this fault.
    fn router(&self, fault: &str) -> Router {
        let (dir, root) = (Scratch::new(), Scratch::new());
        copy(&self.0.path().join("server"), dir.path());
        copy(&self.0.path().join("root"), root.path());
        let at = root.path().display().to_string();
        let args = ["--id", "r1", "--uci", "--uci-root", &at, "--uci-settle", "0", "--uci-confirm", "60"];
        let env = [("TEGA_UCI_FAULT", fault), ("TEGA_UCI_BOOT", "one")];
        let server = Server::within_env(dir, &args, &env);
        Router { server: Some(server), root }
    }
}

/// Drives a router to the end, or to where it ends itself. True: it lived.
fn drive(router: &mut Router, end: &str) -> bool {
    let server = router.server.as_ref().unwrap();
    let call = |line: &str, body: &str| {
        Http::try_tcp(server.address()).and_then(|mut http| http.call(line, &[], body.as_bytes())).is_ok()
    };
    if !tx(server) {
        return false;
    }
    let mut ended = None;
    eventually("it waits for its confirmation, or is gone", || {
        ended = match state(server) {
            None => Some(false),
            Some((state, reason)) if state == "failed" || reason.contains("tega uci confirm") => Some(true),
            Some((state, _)) if state == "reverted" => Some(true),
            _ => None,
        };
        ended.is_some()
    });
    if ended == Some(false) {
        return false;
    }
    let mut lives = false;
    // Again where it came too early: one over a connection that isn't surely newer than the reload doesn't count.
    eventually("it's over", || {
        let _ = call(&format!("POST /_uci_do?do={end}"), "");
        match state(server) {
            None => true,
            Some((state, _)) => {
                lives = matches!(state.as_str(), "confirmed" | "reverted" | "failed");
                lives
            }
        }
    });
    lives
}

/// Both changes as one version. False: nobody is there any more.
fn tx(server: &Server) -> bool {
    let (code, _, said) = run(
        tega_command().args(["tx", "--url", &server.unix_url()]),
        "put config-r1.uci.network.lan.ipaddr 10.0.0.1\nput config-r1.uci.dhcp.lan.start \"7\"\n",
    );
    assert!(matches!(code, 0 | 5 | 6), "{code} {said}");
    code == 0
}

#[test]
fn killed_at_any_step_a_router_has_the_old_files_or_the_new_and_after_a_reboot_never_unconfirmed_ones() {
    if !takes_faults() {
        return eprintln!("this program was built without debug assertions, and knows no faults");
    }
    let template = Template::new();
    for end in ["confirm", "revert"] {
        for at in 1.. {
            let mut router = template.router(&format!("die:{at}"));
            let case = format!("{end}, killed at step {at}");
            if drive(&mut router, end) {
                assert!(at > 25, "{at} steps");
                break;
            }
            let mut server = router.server.take().unwrap();
            server.kill();
            // As a reboot finds it: what runs before the network does.
            let (data, root) = (Scratch::new(), Scratch::new());
            copy(server.dir(), data.path());
            copy(router.root.path(), root.path());
            let (dir, at) = (data.path().join("data"), root.path());
            // What was confirmed before the power went is known by the trial that the memory and the journal name.
            let before = |name| fs::read_to_string(dir.join("uci").join(name)).unwrap_or_default();
            let (journal, memory) = (before("journal"), before("state"));
            let trial =
                journal.split("\"trial\":\"").nth(1).and_then(|rest| rest.get(..16)).unwrap_or_default();
            assert_eq!(journal.is_empty(), trial.is_empty(), "{case}: {journal}");
            let was_confirmed = journal.is_empty() || memory.contains(trial);
            let mut recover = tega_command();
            recover.args(["uci", "recover", "--data"]).arg(&dir).arg("--uci-root").arg(at);
            let (code, _, said) = run(recover.env("TEGA_UCI_BOOT", "two"), "");
            assert_eq!(code, 0, "{case}: {said}");
            assert!(!dir.join("uci/journal").exists(), "{case}: {said}");
            let is_new = was_confirmed && files(at) == new();
            assert!(files(at) == old() || is_new, "{case}: {said} {memory} {journal}: {:?}", files(at));
            if end == "revert" {
                assert_eq!(files(at), old(), "{case}: {said}");
            }
            // In the same boot the next start goes on, or puts back; then it's driven to an end again.
            server.set_env(&[("TEGA_UCI_BOOT", "one")]);
            server.restart();
            eventually(&format!("{case}: a state"), || {
                state(&server).is_some_and(|(state, reason)| {
                    matches!(state.as_str(), "confirmed" | "reverted" | "failed")
                        || reason.contains("tega uci confirm")
                })
            });
            let (now, reason) = state(&server).unwrap();
            let found = files(router.root.path());
            match now.as_str() {
                "trial" => {
                    assert_eq!(found, new(), "{case}: {reason}");
                    assert_eq!(http_unix(&server, "POST /_uci_do?do=revert", &[], "").status, 200);
                    eventually("it's reverted", || state(&server).is_some_and(|it| it.0 == "reverted"));
                    assert_eq!(files(router.root.path()), old(), "{case}");
                }
                // The version never came, or is confirmed.
                "confirmed" => {
                    assert!(found == old() || (end == "confirm" && found == new()), "{case}: {found:?}")
                }
                _ => assert_eq!(found, old(), "{case}: {now} {reason}"),
            }
            let config = router.root.path().join("etc/config");
            let strays: Vec<_> = fs::read_dir(config)
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                .filter(|name| name.starts_with('.'))
                .collect();
            assert!(strays.is_empty(), "{case}: {strays:?}");
        }
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_leaves_the_old_files_or_the_new() {
    if !takes_faults() {
        return eprintln!("this program was built without debug assertions, and knows no faults");
    }
    let template = Template::new();
    let mut refused = 0;
    for at in 1..40 {
        let mut router = template.router(&format!("full:{at}"));
        assert!(drive(&mut router, "confirm"), "write {at}");
        let server = router.server.as_ref().unwrap();
        let (now, reason) = state(server).unwrap();
        let found = files(router.root.path());
        match now.as_str() {
            "confirmed" if found == new() => {}
            "failed" | "reverted" => {
                refused += 1;
                assert_eq!(found, old(), "write {at}: {now} {reason}");
                assert!(reason.contains("No space left"), "write {at}: {reason}");
            }
            _ => panic!("write {at}: {now} {reason} {found:?}"),
        }
        if now == "confirmed" && at > 20 {
            break;
        }
    }
    assert!(refused >= 8, "{refused}");
}
