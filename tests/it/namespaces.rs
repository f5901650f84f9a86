//! Real hosts: a global server and two locals, each behind a router of its own that masquerades (NAT), in network
//! namespaces. Both locals have the same private address; nobody can connect to them from outside.
//!
//! It needs root, `ip` and `iptables`; where they aren't there, one line says so and the test passes over it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::server::{PATIENCE, Running, Scratch, eventually, program, serve_args};
use crate::wire::{Http, Ws};

/// Namespaces that go with the test.
struct Net {
    prefix: String,
    spaces: Vec<String>,
}

impl Net {
    /// The namespace of a host.
    fn space(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Makes a host.
    fn host(&mut self, host: &str) -> Result<(), String> {
        let space = self.space(host);
        command(&format!("ip netns add {space}"))?;
        self.spaces.push(space);
        self.on(host, "ip link set lo up")
    }

    /// Runs a command on a host.
    fn on(&self, host: &str, line: &str) -> Result<(), String> {
        command(&format!("ip netns exec {} {line}", self.space(host)))
    }

    /// A cable between two hosts, with their addresses on it.
    fn cable(
        &self,
        (a, on_a, at_a): (&str, &str, &str),
        (b, on_b, at_b): (&str, &str, &str),
    ) -> Result<(), String> {
        let (one, two) = (self.space(a), self.space(b));
        command(&format!("ip link add {on_a} netns {one} type veth peer name {on_b} netns {two}"))?;
        for (host, name, address) in [(a, on_a, at_a), (b, on_b, at_b)] {
            self.on(host, &format!("ip addr add {address} dev {name}"))?;
            self.on(host, &format!("ip link set {name} up"))?;
        }
        Ok(())
    }

    /// The global server's host, and two routers with a host behind each.
    fn build(&mut self) -> Result<(), String> {
        self.host("g")?;
        for number in 1..=2 {
            let (nat, local) = (format!("n{number}"), format!("r{number}"));
            self.host(&nat)?;
            self.host(&local)?;
            let outside = format!("w{number}");
            let there = format!("10.98.{number}.1/24");
            self.cable(("g", &outside, &there), (&nat, "wan", &format!("10.98.{number}.2/24")))?;
            // Every home network has the same addresses.
            self.cable((&nat, "lan", "192.168.1.1/24"), (&local, "eth", "192.168.1.2/24"))?;
            self.on(&local, "ip route add default via 192.168.1.1")?;
            self.on(&nat, "sysctl -qw net.ipv4.ip_forward=1")?;
            self.on(&nat, "iptables -t nat -A POSTROUTING -o wan -j MASQUERADE")?;
            // Nothing comes in that wasn't asked for from inside.
            self.on(&nat, "iptables -P FORWARD DROP")?;
            self.on(&nat, "iptables -A FORWARD -i lan -j ACCEPT")?;
            self.on(&nat, "iptables -A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT")?;
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in &self.spaces {
            let _ = command(&format!("ip netns del {space}"));
        }
    }
}

fn command(line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let out = Command::new(words.next().unwrap_or_default()).args(words).stdin(Stdio::null()).output();
    let out = out.map_err(|error| format!("{line}: {error}"))?;
    if out.status.success() {
        Ok(())
    } else {
        Err(format!("{line}: {}", String::from_utf8_lossy(&out.stderr)))
    }
}

/// A server on a host. Its local socket is a file, which the test reaches whatever the network.
struct Hosted {
    _running: Running,
    dir: Scratch,
}

impl Hosted {
    fn start(net: &Net, host: &str, args: &[&str]) -> Hosted {
        let dir = Scratch::new();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_string()).collect();
        let tega = program(&crate::server::binary());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &net.space(host)]).arg(tega.get_program()).args(tega.get_args());
        command.args(serve_args(dir.path(), &args)).env_remove("TEGA_URL").env_remove("TEGA_TOKEN");
        let mut running = Running::start(command.stdin(Stdio::null()));
        while !running
            .line()
            .unwrap_or_else(|| panic!("{host} didn't start: {}", running.said()))
            .contains("unix:")
        {}
        Hosted { _running: running, dir }
    }

    fn stream(&self) -> UnixStream {
        let path: PathBuf = self.dir.path().join("s");
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn call(&self, line: &str, body: &str) -> (u16, String) {
        let answer = Http::over(self.stream()).call(line, &[], body.as_bytes()).unwrap();
        (answer.status, answer.text().to_string())
    }
}

#[test]
fn locals_behind_nat_are_configured_and_call_each_other() {
    let mut net = Net { prefix: format!("tega{}", std::process::id()), spaces: Vec::new() };
    if let Err(why) = net.build() {
        eprintln!("no network namespaces here, real hosts passed over: {}", why.trim());
        return;
    }
    let global = Hosted::start(&net, "g", &["--id", "global", "--listen", "0.0.0.0:8739", "--insecure"]);
    let local = |number: u32| {
        let (id, url) = (format!("r{number}"), format!("ws://10.98.{number}.1:8739"));
        let (config, own) = (format!("config-{id}"), format!("op-{id}"));
        let args =
            ["--id", &id, "--listen", "none", "--global", &url, "--config", &config, "--operational", &own];
        Hosted::start(&net, &id, &args)
    };
    let (one, two) = (local(1), local(2));
    // Nobody gets in from outside: not even the first router knows the way.
    assert!(net.on("g", "ping -c 1 -W 1 192.168.1.2").is_err());

    assert_eq!(global.call("PUT /config-r1/lan", "{\"ip\":\"192.168.1.1\"}").0, 200);
    eventually("the configuration crosses the NAT", || {
        one.call("GET /config-r1/lan/ip", "") == (200, "\"192.168.1.1\"".to_string())
    });

    // A program on the second local serves an RPC; it listens until the connection ends.
    let mut ws = Ws::over(two.stream()).unwrap();
    ws.send("SESSION app local");
    assert_eq!(ws.next(), "SESSIONACK r2");
    ws.send("SUBSCRIBE app local False");
    let put = two.call("PUT /op-r2/rpc/double?tega_id=app&ephemeral=True", "\"%app.double\"");
    assert_eq!(put.0, 200, "{}", put.1);
    eventually("the RPC is known at the global", || global.call("GET /op-r2/rpc/double", "").0 == 200);
    let server = std::thread::spawn(move || {
        let request = ws.next();
        let (line, body) = request.split_once('\n').unwrap();
        assert!(body.contains("[21]"), "{request}");
        let seq = line.split(' ').nth(1).unwrap();
        ws.send(&format!("RESPONSE {seq} RPC app\n42"));
        ws
    });
    let told = one.call("POST /_rpc?tega_id=me&path=op-r2.rpc.double", "{\"args\":[21],\"kwargs\":{}}");
    assert_eq!(told, (200, "{\"result\":42}".to_string()));
    drop(server.join().unwrap());
    eventually("the RPC goes with its session, everywhere", || {
        global.call("GET /op-r2/rpc/double", "").0 == 404
    });
}
