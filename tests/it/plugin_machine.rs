//! Plugins on a machine that isn't at its best: a program that can't be listed now, a parent that left signals ignored,
//! few descriptors.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tega::value::Value;

use crate::plugins::{Plugins, state};
use crate::server::{Running, Scratch, Server, binary, eventually, serve_args};
use crate::wire::{Http, Ws, try_tcp};

/// A server with these plugins, as a shell starts it with these words before its name; its address and directory.
fn behind(words: &str, plugins: &Plugins) -> (Running, SocketAddr, Scratch) {
    let dir = Scratch::new();
    let args = ["--id", "r1", "--plugins", &plugins.dir().display().to_string()].map(String::from);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{words} \"$@\"")).arg("sh");
    command.args(std::env::var_os("TEGA_RUNNER")).arg(binary()).args(serve_args(dir.path(), &args));
    let mut running = Running::start(command.stdin(Stdio::null()));
    let line = running.line().unwrap_or_else(|| panic!("{}", running.said()));
    let address = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
    running.line().unwrap();
    (running, address, dir)
}

/// How a plugin is.
fn state_at(address: SocketAddr, name: &str) -> Option<String> {
    let told = Http::try_tcp(address).unwrap().call("GET /_plugins", &[], b"").unwrap().json();
    told.get(name)?.get("state").and_then(Value::as_str).map(String::from)
}

#[test]
fn a_list_that_fails_for_a_passing_reason_is_tried_again_without_being_asked() {
    let plugins = Plugins::new();
    plugins.put(
        "late",
        r#"case $1 in list) [ -e DIR/began ] || { : > DIR/began; exit 1; }; echo '{"f":{}}' ;; *) echo 1 ;; esac"#,
    );
    let server = Server::with(&["--id", "r1", "--plugins", &plugins.dir().display().to_string()]);
    eventually("it's refused", || state(&server, "late").as_deref() == Some("refused"));
    eventually("it's loaded", || state(&server, "late").as_deref() == Some("loaded"));
}

#[test]
fn programs_are_run_although_who_started_the_server_ignored_their_ends() {
    // Not with `trap`: some shells want to hear of their children all the same, and hand that on.
    let ignoring = "exec env --ignore-signal=CHLD";
    let status =
        Command::new("sh").args(["-c", &format!("{ignoring} cat /proc/self/status")]).output().unwrap();
    let ignored = String::from_utf8(status.stdout).unwrap();
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    if ignored & 1 << (Signal::CHILD.as_raw() - 1) == 0 {
        return eprintln!("not tested: env has no --ignore-signal here");
    }
    let plugins = Plugins::new();
    plugins.put("p", r#"case $1 in list) echo '{"f":{}}' ;; *) echo 7 ;; esac"#);
    let (_running, address, _dir) = behind(ignoring, &plugins);
    eventually("it's listed", || state_at(address, "p").is_some_and(|state| state != "listing"));
    assert_eq!(state_at(address, "p").as_deref(), Some("loaded"));
    let answer = Http::try_tcp(address).unwrap().call("POST /_rpc?path=operational-r1.rpc.p.f", &[], b"");
    assert_eq!(answer.unwrap().text(), r#"{"result":7}"#);
}

#[test]
fn plugins_have_descriptors_left_when_as_many_clients_have_come_as_may() {
    let plugins = Plugins::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        plugins.put(
            name,
            r#"case $1 in list) echo '{"f":{}}' ;;
               *) echo $$ >> DIR/pids; while [ ! -e DIR/go ]; do sleep 1; done; echo 7 ;; esac"#,
        );
    }
    let (_running, address, _dir) = behind("ulimit -n 192; exec", &plugins);
    for name in names {
        eventually("it's loaded", || state_at(address, name).as_deref() == Some("loaded"));
    }
    let mut ws = Ws::try_session(address, "me", "local 2").unwrap();
    // Whoever comes when there's no place is given that of the one that idled for longest.
    let _idle: Vec<TcpStream> = (0..250).map(|_| try_tcp(address).unwrap()).collect();
    assert_eq!(state_at(address, "a").as_deref(), Some("loaded"));
    for seq in 1..=16 {
        ws.send(&format!("REQUEST {seq} RPC - operational-r1.rpc.{}.f\n{{}}", names[seq % 4]));
    }
    eventually("all run", || plugins.traced("pids").lines().count() == 16);
    std::fs::write(plugins.trace("go"), "").unwrap();
    for _ in 0..16 {
        let answer = ws.next();
        assert!(answer.ends_with("{\"result\":7}"), "{answer}");
    }
}
