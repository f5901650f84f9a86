//! The plugins of `examples/plugins`, on a router behind a link that only it opens: called from the global server, and told
//! of what is put there.

use std::fs;

use tega::value::Value;

use crate::plugins::{Plugins, member};
use crate::server::{Server, eventually, ok, tega};

fn example(name: &str) -> String {
    fs::read_to_string(format!("{}/examples/plugins/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_examples_serve_the_fleet_and_follow_the_tree() {
    let plugins = Plugins::new();
    plugins.put("sysinfo", &example("sysinfo"));
    // A hook's environment is clean, so that the places are set in the script itself.
    let settings =
        "export DNSMASQ_HOSTS_FILE='DIR/hosts' DNSMASQ_HOSTS_RELOAD='echo again >> DIR/reloads'\nset -u\n";
    let hook = example("dnsmasq-hosts");
    assert!(hook.contains("\nset -u\n"));
    plugins.put("dnsmasq-hosts", &hook.replacen("set -u\n", settings, 1));
    let global = Server::with(&["--id", "global"]);
    ok(&global, &["put", "config-r1.hosts.nas", "192.168.1.5"], "");
    let url = format!("ws://{}", global.address());
    let link = ["--global", &url, "--config", "config-r1", "--operational", "operational-r1"];
    let router = plugins.serve(&["sysinfo", "dnsmasq-hosts"], &link);

    let mut told = String::new();
    eventually("the global calls it", || {
        let (code, out, _) = tega(&global, &["rpc", "operational-r1.rpc.sysinfo.memory", "--json"], "");
        told = out;
        code == 0
    });
    let total = Value::parse(&told).unwrap().get("total").and_then(Value::as_int);
    assert!(total.is_some_and(|bytes| bytes > 1 << 20), "{told}");
    for method in ["board", "load", "interfaces"] {
        let told = ok(&global, &["rpc", &format!("operational-r1.rpc.sysinfo.{method}"), "--json"], "");
        assert!(Value::parse(&told).is_ok_and(|told| told.as_object().is_some()), "{told}");
    }

    eventually("what was there before it", || plugins.traced("hosts").contains("192.168.1.5 nas"));
    ok(
        &global,
        &["tx"],
        "put config-r1.hosts[\"web.lan\"] [\"10.0.0.1\",\"fd00::1\"]\ndel config-r1.hosts.nas\n",
    );
    eventually("and each change", || {
        let hosts = plugins.traced("hosts");
        !hosts.contains("nas") && hosts.contains("10.0.0.1 web.lan") && hosts.contains("fd00::1 web.lan")
    });
    let reloads = plugins.traced("reloads");
    ok(&global, &["put", "config-r1.other", "1"], "");
    let runs = || member(&router, "dnsmasq-hosts", "notifies").and_then(|runs| runs.as_int()).unwrap();
    let before = runs();
    ok(&global, &["put", "config-r1.hosts.bad", "no address"], "");
    eventually("a hook that is told of what it leaves out", || runs() > before);
    // Equal content reloads nothing.
    assert_eq!(plugins.traced("reloads"), reloads);
}
