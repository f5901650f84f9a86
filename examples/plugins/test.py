"""What the example plugins answer, write and refuse, run as a server runs them. See test.sh."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
checks = 0


def same(got, wanted, what=""):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f"{what}\n   got: {got!r}\nwanted: {wanted!r}")


class Shell:
    """One shell with the tools that it has on its machine, in a directory that goes with it."""

    def __init__(self, name):
        self.name = name
        self.dir = Path(tempfile.mkdtemp(prefix="tega-plugins-"))
        self.tools = self.dir / "tools"
        self.tools.mkdir()
        if name == "ash":
            busybox = self.dir / "busybox"
            busybox.mkdir()
            subprocess.run(["busybox", "--install", "-s", busybox], check=True)
            self.argv, self.path = [str(busybox / "ash")], str(busybox)
        else:
            self.argv, self.path = [shutil.which("dash") or sys.exit("dash isn't there")], "/usr/sbin:/usr/bin:/sbin:/bin"

    def tool(self, name, script):
        """A stand-in for a program. (Debian's busybox ash asks for its own applets first, wherever PATH says.)"""
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def run(self, plugin, *args, given=b"", status=0, **env):
        env = {"PATH": f"{self.tools}:{self.path}", "HOME": "/", "TEGA_PLUGIN": plugin, "TEGA_ID": "r1", **env}
        done = subprocess.run(
            [*self.argv, HERE / plugin, *args], input=given, capture_output=True, env=env, cwd="/", timeout=60
        )
        said = done.stderr.decode(errors="replace")
        same(done.returncode, status, f"{self.name}: {plugin} {args}: {said}")
        return done.stdout, said


def write(root, files):
    for name, content in files.items():
        at = root / name
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content if isinstance(content, bytes) else content.encode())


def sysinfo(shell):
    methods, _ = shell.run("sysinfo", "list")
    same(json.loads(methods), {"board": {}, "load": {}, "memory": {}, "interfaces": {}})

    def call(method, root):
        out, said = shell.run("sysinfo", "call", method, given=b"{}", SYSINFO_ROOT=str(root))
        same(said, "", f"{shell.name}: {method}")
        # Strictly: neither bytes that are no UTF-8 nor a key that comes twice.
        return json.loads(out.decode(), object_pairs_hook=once)

    # This machine as it is.
    for method in json.loads(methods):
        json.loads(shell.run("sysinfo", "call", method)[0])
    here = call("memory", "")
    same(here["total"] > here["free"] > 0, True)
    same(call("load", "")["cpus"], os.cpu_count())

    router = shell.dir / "router"
    write(
        router,
        {
            "tmp/sysinfo/model": "Acme R2 \"wide\"\n",
            "tmp/sysinfo/board_name": "acme,r2\n",
            "proc/device-tree/model": "not asked\0",
            "proc/sys/kernel/hostname": "attic\n",
            "proc/sys/kernel/osrelease": "6.6.73\n",
            "etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.0'\nDISTRIB_TARGET=\"ath79/generic\"\n"
            "DISTRIB_DESCRIPTION='OpenWrt $(touch /x) `id` it\\'s'\n",
            "proc/loadavg": "0.20 0.18 1.12 1/80 11206\n",
            "proc/uptime": "3600.25 7000.00\n",
            "proc/cpuinfo": "processor\t: 0\nmodel\t: x\nprocessor\t: 1\n",
            "proc/meminfo": "MemTotal: 61004 kB\nMemFree: 20000 kB\nCached: 8 kB\nOdd: 1 kB\nSwapTotal: x kB\nBuffers: 4194304 kB\n",
            "sys/class/net/bonding_masters": "",
            "sys/class/net/lan \"0\"/operstate": "up\n",
            "sys/class/net/lan \"0\"/address": "02:00:00:00:00:01\n",
            "sys/class/net/lan \"0\"/mtu": "1500\n",
            "sys/class/net/lan \"0\"/speed": "-1\n",
            "sys/class/net/lan \"0\"/statistics/rx_bytes": "18446744073709551615\n",
            "sys/class/net/lan \"0\"/statistics/tx_bytes": "007\n",
            "sys/class/net/wan/operstate": "down\n",
        },
    )
    board = call("board", router)
    release = board.pop("release")
    same(board, {"hostname": "attic", "kernel": "6.6.73", "model": 'Acme R2 "wide"', "board_name": "acme,r2"})
    same((release["distribution"], release["version"], release["target"]), ("OpenWrt", "24.10.0", "ath79/generic"))
    same(release["description"], "OpenWrt $(touch /x) `id` it\\'s", "it's read, not run")
    load = {"load1": 0.2, "load5": 0.18, "load15": 1.12, "running": 1, "processes": 80, "uptime": 3600, "cpus": 2}
    same(call("load", router), load)
    memory = {"total": 61004 << 10, "free": 20000 << 10, "cached": 8 << 10, "buffered": 1 << 32}
    same(call("memory", router), memory)
    lan = {"state": "up", "mac": "02:00:00:00:00:01", "mtu": 1500, "rx_bytes": 2**64 - 1, "addresses": []}
    same(call("interfaces", router), {'lan "0"': lan, "wan": {"state": "down", "addresses": []}})
    # One that this machine has too, with addresses.
    write(router, {"sys/class/net/lo/mtu": "65536\n"})
    same("127.0.0.1/8" in call("interfaces", router)["lo"]["addresses"], True, shell.name)
    if shell.name != "ash":
        shell.tool(
            "ip",
            "printf '2: lan    inet 192.168.1.1/24 brd 192.168.1.255 scope global lan\\n'\n"
            "printf '2: lan    inet6 fd00::1/64 scope global\\n2: lan    inet6 \"],\"x\":[\" scope global\\n2: lan\\n'",
        )
        same(call("interfaces", router)["wan"]["addresses"], ["192.168.1.1/24", "fd00::1/64"])

    # A machine that has none of it.
    empty = shell.dir / "empty"
    empty.mkdir()
    for method in ("board", "load", "interfaces"):
        same(call(method, empty), {}, method)
    _, said = shell.run("sysinfo", "call", "memory", status=1, SYSINFO_ROOT=str(empty))
    same("proc/meminfo can't be read" in said, True, said)

    # Other places where a model's name is.
    write(empty, {"proc/device-tree/model": "Pi 4\0", "etc/board.json": '{\n "model": {\n  "id": "pi,4",\n "name": "x"}, "id":"y"}'})
    same(call("board", empty), {"model": "Pi 4", "board_name": "pi,4"})

    # Whatever a file holds is text, and a host name is whatever somebody set.
    every = bytes(range(1, 128)).replace(b"\n", b"")
    hostile = [
        (b'a"b\\c\td\re\x07\x1b[31m\x7f', 'a"b\\c\td\re\x07\x1b[31m\x7f'),
        (b'","admin":true,"x":"', '","admin":true,"x":"'),
        (b"\\", "\\"),
        (b"\\n\\u0041 %s %d $HOME `id` $(id) * ~", "\\n\\u0041 %s %d $HOME `id` $(id) * ~"),
        ("ä€𝄞é".encode(), "ä€𝄞é"),
        (every, every.decode()),
        (b"a\xffb\xc3", "a\ufffdb\ufffd"),
        (b"\xc0\xafx\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", "\ufffd\ufffdx" + "\ufffd" * 9),
        (b"-n", "-n"),
        (b"first\nsecond", "first"),
        (b"zero\0byte", "zerobyte"),
        (b"=x=1", "=x=1"),
        (b"l" * 100_000, "l" * 4096),
    ]
    for content, wanted in hostile:
        write(empty, {"proc/sys/kernel/hostname": content, "proc/loadavg": content, "proc/uptime": content})
        same(call("board", empty)["hostname"], wanted, shell.name)
        same(call("load", empty), {}, f"{shell.name}: no numbers")

    _, said = shell.run("sysinfo", "call", "reboot", status=1)
    same("no method 'reboot': board, load, memory, interfaces" in said, True, said)
    for args in ((), ("call",), ("notify",)):
        shell.run("sysinfo", *args, status=1 if args == ("call",) else 2)


def once(pairs):
    same(len({key for key, _ in pairs}), len(pairs), f"a key comes twice in {pairs}")
    return dict(pairs)


HEAD, END = "# Written by the plugin dnsmasq-hosts of tega: what is changed here is lost.\n", "# end\n"


def dnsmasq_hosts(shell):
    listed, _ = shell.run("dnsmasq-hosts", "list")
    same(json.loads(listed), {".subscribe": "config-{id}.hosts", ".format": "flat", ".timeout": 20})

    dir = shell.dir / "hosts"
    file, log = dir / "tega", shell.dir / "reloads"
    shell.tool("reload-dns", f"echo told >>{log}")
    env = {"DNSMASQ_HOSTS_FILE": str(file), "DNSMASQ_HOSTS_RELOAD": "reload-dns"}

    def notify(lines, status=0, **more):
        _, said = shell.run("dnsmasq-hosts", "notify", given=lines.encode(), status=status, **{**env, **more})
        same([at.name for at in dir.iterdir() if at.name not in ("tega", ".tega.owed")], [], "nothing is left")
        return said

    def reloads():
        return log.read_text().count("told") if log.exists() else 0

    def body():
        text = file.read_text()
        same(text.startswith(HEAD) and text.endswith(END), True, text)
        return text[len(HEAD) : -len(END)]

    # As `tega get --flat` prints it.
    lines = 'config-r1.hosts.nas="192.168.1.5"\nconfig-r1.hosts["nas.lan"]=["192.168.1.5","fd00::5"]\nconfig-r1.hosts.none=[]\n'
    same(notify(lines), "")
    same(body(), "192.168.1.5 nas\n192.168.1.5 nas.lan\nfd00::5 nas.lan\n")
    same((file.stat().st_mode & 0o777, reloads()), (0o644, 1), "dnsmasq isn't root and reads it")

    # The same once more: nothing is written, nobody is told.
    before = file.stat()
    notify(lines)
    same((file.stat().st_ino, file.stat().st_mtime_ns, reloads()), (before.st_ino, before.st_mtime_ns, 1))

    # Whoever reads meanwhile has the old file or the new one: it's another file, under the same name.
    with file.open() as reader:
        notify('config-r1.hosts.nas="192.168.1.6"\n')
        same(reader.read(), f"{HEAD}192.168.1.5 nas\n192.168.1.5 nas.lan\nfd00::5 nas.lan\n{END}")
    same((body(), reloads()), ("192.168.1.6 nas\n", 2))

    # A reload that failed is owed, though the file is as it should be by then.
    shell.tool("reload-dns", f"echo no answer >&2; [ -e {log}.well ] && echo told >>{log}")
    changed = 'config-r1.hosts.nas="192.168.1.7"\n'
    said = notify(changed, status=1)
    same("no answer" in said and "couldn't be told" in said, True, said)
    notify(changed, status=1)
    same(reloads(), 2)
    (shell.dir / "reloads.well").touch()
    notify(changed)
    notify(changed)
    same((body(), reloads()), ("192.168.1.7 nas\n", 3))
    shell.tool("reload-dns", f"echo told >>{log}")

    # Good ones are written, whatever the others are.
    good4 = ["0.0.0.0", "255.255.255.255", "10.0.0.1"]
    good6 = ["::", "::1", "fd00::5", "1:2:3:4:5:6:7:8", "1::8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::ffff:1.2.3.4"]
    good6 += ["1:2:3:4:5:6:1.2.3.4", "FE80::ABCD"]
    bad = ["", " ", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 evil", "1.2.3.4\\n6.6.6.6 bank", "a.b.c.d"]
    bad += [":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "::1:"]
    bad += ["1:2:3:4:5:6:7:8::", "12345::", "g::", "fe80::1%eth0", "1.2.3.4::", "::1.2.3.4:5", "::1.2.3.999", "1:2:3:4:5:6:7:1.2.3.4"]
    bad += ["-1.2.3.4", "1.2.3.-4", "fd00::/64", "é"]
    listed = ",".join(f'"{one}"' for one in good4 + good6 + bad)
    said = notify(f"config-r1.hosts.x=[{listed}]\n")
    same(body(), "".join(f"{one} x\n" for one in good4 + good6))
    same(len(said.splitlines()), len(bad), said)
    for one in bad:
        said = notify(f'config-r1.hosts.y="{one}"\nconfig-r1.hosts.z="10.0.0.9"\n')
        same(body(), "10.0.0.9 z\n", one)
        same(said.startswith(f'left out: y="{one}": that is no'), True, said)

    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    good = [".nas", ".NAS-2", "._srv", '["a.b.lan"]', ".x1", ".1", f'["{longest}"]']
    bad = ['["-a"]', '["a-"]', '["a..b"]', '[".a"]', '["a."]', '["a b"]', '["a\\nb"]', '["a\\"b"]', '["a=b"]', ".ä", '[""]', ".a:b"]
    bad += [f'["{longest}c"]', f".{'a' * 64}", ".@x[0]", '["#"]', '["a\\tevil"]', ".deep.x", '.deep["x"]', '["a"]["b"]', ""]
    for key in bad:
        said = notify(f'config-r1.hosts{key}="10.0.0.1"\nconfig-r1.hosts.z="10.0.0.9"\n')
        same((body(), said.count("left out: ")), ("10.0.0.9 z\n", 1), key + said)
    same(notify("".join(f'config-r1.hosts{key}="10.0.0.1"\n' for key in good)), "")
    same(len(body().splitlines()), len(good))
    for value in ("1", "null", "true", "{}", '[["10.0.0.1"]]', '{"a":"10.0.0.1"}', '"10.0.0.1', "10.0.0.1", '["10.0.0.1" "10.0.0.2"]'):
        said = notify(f'config-r1.hosts.y={value}\nconfig-r1.hosts.z="10.0.0.9"\n')
        same((body(), said.count("left out: ")), ("10.0.0.9 z\n", 1), value + said)
    for line in ("", "=", "x", 'config-r2.hosts.a="10.0.0.1"', 'config-r1.hostsa="10.0.0.1"', 'config-r1.host="10.0.0.1"', "é" * 500):
        said = notify(f'{line}\nconfig-r1.hosts.z="10.0.0.9"\n')
        same((body(), said.count("left out: ")), ("10.0.0.9 z\n", 1), line + said)
        same(len(said) < 600, True, "what is refused is told in short")

    # So many at most.
    many = "".join(f'config-r1.hosts.h{n}="10.0.0.1"\n' for n in range(12))
    same("left out: 2 addresses behind the first 10" in notify(many, DNSMASQ_HOSTS_MOST="10"), True)
    same(len(body().splitlines()), 10)

    # Nothing there any more, said in both ways.
    for nothing in ("", "config-r1.hosts={}\n"):
        same((notify(nothing), body()), ("", ""))

    # A directory that can't be; a server that doesn't say who it is.
    (shell.dir / "file").touch()
    said = notify(lines, status=1, DNSMASQ_HOSTS_FILE=str(shell.dir / "file" / "sub" / "tega"))
    same("can't be made" in said, True, said)
    same("TEGA_ID" in notify(lines, status=1, TEGA_ID=""), True)
    same(body(), "", "it's as it was")

    # Without a command of ours: a running dnsmasq gets SIGHUP, and one that doesn't run is no failure.
    if subprocess.run(["pidof", "dnsmasq"], stdout=subprocess.DEVNULL).returncode == 0:
        print("a dnsmasq runs on this machine, and is left in peace: SIGHUP isn't tested")
    else:
        del env["DNSMASQ_HOSTS_RELOAD"]
        notify('config-r1.hosts.a="10.0.0.1"\n')
        shutil.copy(shutil.which("sleep"), shell.dir / "dnsmasq")
        daemon = subprocess.Popen([shell.dir / "dnsmasq", "60"])
        try:
            notify('config-r1.hosts.a="10.0.0.1"\n')
            same(daemon.poll(), None, "nothing changed, nobody is told")
            notify('config-r1.hosts.a="10.0.0.2"\n')
            same(daemon.wait(10), -signal.SIGHUP)
        finally:
            daemon.kill()
    same(sorted(at.name for at in dir.iterdir()), ["tega"])
    for args in ((), ("call", "x")):
        shell.run("dnsmasq-hosts", *args, status=2)


for name in ("dash", "ash"):
    shell = Shell(name)
    try:
        sysinfo(shell)
        dnsmasq_hosts(shell)
    finally:
        shutil.rmtree(shell.dir)
print(f"the example plugins: {checks} checks under dash and busybox ash passed")
