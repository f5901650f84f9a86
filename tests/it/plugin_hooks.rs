//! Hooks lose no update, and a reload drops no call.

use std::fs;

use rustix::process::Signal;

use crate::plugins::{Plugins, SYS, call, member, number, state, told};
use crate::server::{eventually, ok, tega};
use crate::wire::{Http, http};

const HOOK: &str = r#"
case "$1" in
list) echo '{".subscribe":["cfg.dns","cfg.none"]}' ;;
notify)
    read -r said
    echo "$TEGA_REASON $said" >> DIR/heard
    [ ! -e DIR/broken ] || { echo broken >&2; exit 1; }
    sleep 1 ;;
esac
"#;

#[test]
fn a_hook_loses_no_update_and_is_tried_again_until_it_succeeds() {
    let plugins = Plugins::new();
    plugins.put("hook", HOOK);
    let mut server = plugins.serve(&["hook"], &[]);
    let heard = || plugins.traced("heard");
    let last = |value: &str| {
        heard().lines().last().is_some_and(|line| line.contains(&format!("\"value\":{value}}}")))
    };
    eventually("it's told at the start", || !heard().is_empty());
    assert_eq!(
        heard(),
        "start {\"reason\":\"start\",\"nodes\":[{\"path\":\"cfg.dns\"},{\"path\":\"cfg.none\"}]}\n"
    );
    // Changes while it runs.
    let mut rest = Http::unix(&server);
    for n in 0..20 {
        rest.call("PUT /cfg/dns/port", &[], n.to_string().as_bytes()).unwrap();
    }
    // What it didn't subscribe is no news.
    rest.call("PUT /cfg/other", &[], b"1").unwrap();
    eventually("it has seen the last", || last(r#"{"port":19}"#));
    let count = heard().lines().count();
    assert!(count < 20, "{count} runs for 20 changes");
    eventually("it's done", || number(&server, "hook", "running") == 0);
    // Also under its own name, since anybody may use that.
    rest.call("PUT /cfg/dns/port", &[], b"20").unwrap();
    ok(&server, &["put", "cfg.dns.own", "1", "--id", "hook"], "");
    eventually("it has seen it", || last(r#"{"own":1,"port":20}"#));
    let line = heard().lines().last().unwrap().to_string();
    assert!(line.starts_with("change {\"reason\":\"change\"") && line.contains("\"version\":22"), "{line}");

    // It fails, and nothing changes any more.
    fs::write(plugins.trace("broken"), "").unwrap();
    rest.call("PUT /cfg/dns/port", &[], b"21").unwrap();
    eventually("it fails", || number(&server, "hook", "failures") >= 2);
    let error = member(&server, "hook", "error").unwrap();
    assert!(error.to_string().contains("exit status: 1: broken"), "{error}");
    fs::remove_file(plugins.trace("broken")).unwrap();
    fs::remove_file(plugins.trace("heard")).unwrap();
    eventually("it's tried again", || last(r#"{"own":1,"port":21}"#));
    assert!(heard().starts_with("retry "), "{}", heard());

    // Killed in mid-run, with a change that it hasn't seen.
    rest.call("PUT /cfg/dns/port", &[], b"22").unwrap();
    server.kill();
    fs::write(plugins.trace("heard"), "").unwrap();
    server.restart();
    eventually("it begins with what is there", || {
        heard().lines().any(|line| line.starts_with("start ") && line.contains("\"port\":22"))
    });
}

#[test]
fn a_flat_hook_gets_lines() {
    let plugins = Plugins::new();
    plugins.put(
        "flat",
        r#"case $1 in list) echo '{".subscribe":"cfg",".format":"flat"}' ;; notify) cat > DIR/now; mv DIR/now DIR/lines ;; esac"#,
    );
    let server = plugins.serve(&["flat"], &[]);
    ok(&server, &["put", "cfg", r#"{"hosts":{"192.168.1.9":"printer"},"none":{},"list":[1,2]}"#], "");
    let wanted = "cfg.hosts[\"192.168.1.9\"]=\"printer\"\ncfg.list=[1,2]\ncfg.none={}\n";
    eventually("it has the lines", || plugins.traced("lines") == wanted);
    assert_eq!(ok(&server, &["get", "cfg", "--flat"], ""), wanted);
}

const SLOW: &str = r#"
case "$1" in
list) echo '{"slow":{},"METHOD":{}}' ;;
call)
    [ "$2" != slow ] || { echo $$ > DIR/began; while [ ! -e DIR/go ]; do sleep 1; done; }
    echo '"METHOD"' ;;
esac
"#;

#[test]
fn a_reload_takes_in_what_changed_and_drops_no_call() {
    let plugins = Plugins::new();
    plugins.put("slow", &SLOW.replace("METHOD", "one"));
    let server = plugins.serve(&["slow"], &[]);
    let path = |method| format!("operational-r1.rpc.slow.{method}");
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| call(&server, &path("slow"), ""));
        eventually("it has begun", || !plugins.traced("began").is_empty());
        plugins.put("slow", &SLOW.replace("METHOD", "two"));
        plugins.put("new", SYS);
        // Before anybody looks, what was listed holds.
        assert_eq!(http(&server, "GET /operational-r1/rpc/slow/two", &[], "").status, 404);
        assert_eq!(http(&server, "GET /_reload", &[], "").status, 200);
        assert_eq!(state(&server, "new").as_deref(), Some("loaded"));
        assert_eq!(call(&server, &path("two"), "").text(), r#"{"result":"two"}"#);
        eventually("what it has no more goes", || call(&server, &path("one"), "").status == 404);
        assert!(!under_way.is_finished());
        // Gone altogether, it still ends what it began.
        fs::remove_file(plugins.dir().join("slow")).unwrap();
        ok(&server, &["plugins", "--reload"], "");
        eventually("its leaves go", || call(&server, &path("slow"), "").status == 404);
        assert_eq!(state(&server, "slow").as_deref(), Some("ending"));
        assert!(!under_way.is_finished());
        fs::write(plugins.trace("go"), "").unwrap();
        assert_eq!(under_way.join().unwrap().text(), r#"{"result":"one"}"#, "the program that it began with");
    });
    eventually("nothing is left of it", || state(&server, "slow").is_none());
    let (_, sessions, _) = tega(&server, &["sessions"], "");
    assert!(sessions.contains("new") && !sessions.contains("slow"), "{sessions}");
}

#[test]
fn a_hangup_looks_for_plugins_and_leaves_that_others_removed_come_back() {
    let plugins = Plugins::new();
    let mut server = plugins.serve(&[], &[]);
    assert_eq!(told(&server).to_string(), "{}");
    plugins.put("sys", SYS);
    server.process().signal(Signal::HUP);
    plugins.wait(&server, &["sys"]);
    eventually("its leaves are there", || call(&server, "operational-r1.rpc.sys.status", "").status == 200);
    ok(&server, &["put", "operational-r1.rpc", "{}"], "");
    eventually("they are put again", || call(&server, "operational-r1.rpc.sys.status", "").status == 200);
}
