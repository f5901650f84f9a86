//! The promise of the screen, on a real terminal: tmux runs it, types, and is asked what it shows, while the server changes
//! under it. Where there's no tmux, it says so and passes over it; CI has one.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::server::{Scratch, Server, binary, eventually, ok, program};

/// How long the screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal of 80 × 24 with a program in it.
struct Pane {
    /// A tmux of its own.
    name: String,
    // It holds what the programs leave.
    home: Scratch,
}

fn tmux_is_here() -> bool {
    let here = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !here {
        eprintln!("passed over: there's no tmux on this machine");
    }
    here
}

impl Pane {
    fn open(command: &str) -> Pane {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("tega-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let pane = Pane { name, home: Scratch::new() };
        let shell = format!("{command}; echo ended with $?; exec sleep 1000");
        let out = pane.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &shell]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        pane
    }

    /// `tega tui` on a server.
    fn tui(server: &Server, environment: &str) -> Pane {
        let (tega, url) = (tega(), server.unix_url());
        Pane::open(&format!("env LANG=C.UTF-8 {environment} {tega} tui --id alice --url {url}"))
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command
            .args(["-L", &self.name])
            .args(args)
            .env("HOME", self.home.path())
            .env("TERM", "xterm-256color");
        // A tmux in a tmux is another one.
        command.env_remove("TMUX").output().unwrap()
    }

    /// Types: words are texts or names of keys of tmux.
    fn keys(&self, keys: &[&str]) {
        let out = self.tmux(&[&["send-keys"], keys].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// The program's process, which the shell of the pane waits for.
    fn pid(&self) -> String {
        let pids = self.tmux(&["list-panes", "-F", "#{pane_pid}"]).stdout;
        let shell = String::from_utf8(pids).unwrap().trim().to_string();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().unwrap().to_string()
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits until the screen shows something.
    #[track_caller]
    fn until(&self, what: &str, shown: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if shown(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what} on\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.until(&format!("{text:?}"), |screen| screen.contains(text))
    }

    #[track_caller]
    fn lacks(&self, text: &str) -> String {
        self.until(&format!("end of {text:?}"), |screen| !screen.contains(text))
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The program as a shell starts it.
fn tega() -> String {
    let program = program(&binary());
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

/// A server with something on it; `None`: there's no tmux to show it in.
fn server() -> Option<Server> {
    let server = tmux_is_here().then(Server::start)?;
    let json = r#"{"ip":"192.168.1.1","mtu":1500,"hosts":{"nas":{"mac":"00:11:22:33:44:55"}}}"#;
    ok(&server, &["put", "lan", json], "");
    ok(&server, &["put", "wan.proto", "dhcp"], "");
    Some(server)
}

#[test]
fn the_screen_is_opened_searched_edited_rolled_back_and_left() {
    let Some(server) = server() else { return };
    let pane = Pane::tui(&server, "");
    // Open, unfold, and see what others change.
    pane.shows("▸ wan {1}");
    pane.keys(&["l"]);
    pane.shows("ip = 192.168.1.1");
    ok(&server, &["put", "lan.mtu", "1492"], "");
    pane.shows("mtu = 1492");
    ok(&server, &["put", "lan.dns", "[\"1.1.1.1\"]"], "");
    pane.shows("dns = [\"1.1.1.1\"]");
    // Find.
    pane.keys(&["/", "00:11"]);
    pane.shows("1 of 1 found");
    pane.shows("lan › hosts › nas › mac");
    pane.keys(&["Enter", "Escape"]);
    // Edit, and meet somebody else's change.
    pane.keys(&["o", "lan.ip", "Enter"]);
    pane.shows("lan › ip");
    pane.keys(&["e"]);
    pane.shows("string; Ctrl-T: number");
    pane.keys(&["C-u", "10.0.0.2", "Enter"]);
    pane.shows("6 Changes(1)");
    ok(&server, &["put", "lan.ip", "10.0.0.9", "--id", "bob"], "");
    pane.shows("10.0.0.9");
    pane.keys(&["c"]);
    pane.until("a conflict", |screen| {
        screen.contains("10.0.0.9") && screen.contains("theirs") && screen.contains("mine")
    });
    pane.keys(&["m"]);
    pane.keys(&["c"]);
    pane.shows("y/n");
    pane.keys(&["y"]);
    pane.shows("committed as version");
    assert_eq!(ok(&server, &["get", "lan.ip"], "").trim(), "10.0.0.2");
    // History, and back.
    pane.keys(&["1", "H"]);
    // The list's lines are a time and who.
    pane.until("both changes", |screen| screen.contains(" bob ") && screen.matches("alice ").count() > 1);
    pane.keys(&["j"]);
    pane.shows("10.0.0.9");
    pane.keys(&["b"]);
    pane.shows("y/n");
    pane.keys(&["y"]);
    pane.shows("as version");
    assert_eq!(ok(&server, &["get", "lan.ip"], "").trim(), "10.0.0.9");
    // The end.
    pane.keys(&["q"]);
    pane.shows("ended with 0");
}

#[test]
fn a_server_that_goes_away_is_said_and_met_again_when_it_is_back() {
    let Some(mut server) = server() else { return };
    let pane = Pane::tui(&server, "");
    pane.shows("▸ wan {1}");
    pane.keys(&["l"]);
    pane.shows("mtu = 1500");
    server.kill();
    let cut = pane.shows("cut off since");
    assert!(cut.contains("mtu = 1500"), "what was there stays readable:\n{cut}");
    pane.keys(&["j"]);
    server.restart();
    pane.lacks("cut off since");
    ok(&server, &["put", "lan.mtu", "1492"], "");
    pane.shows("mtu = 1492");
    pane.keys(&["q"]);
    pane.shows("ended with 0");
}

#[test]
fn a_command_is_run_and_a_size_changed_while_the_screen_is_open() {
    let Some(server) = server() else { return };
    let pane = Pane::tui(&server, "");
    pane.shows("▸ wan {1}");
    pane.keys(&[":", "put wa", "Tab"]);
    pane.shows(":put wan.");
    pane.keys(&["pro", "Tab"]);
    pane.shows(":put wan.proto");
    // The end of the line isn't there to be seen.
    pane.keys(&[" pppoe", "Enter"]);
    pane.shows("done");
    assert_eq!(ok(&server, &["get", "wan.proto"], "").trim(), "pppoe");
    pane.keys(&[":", "history wan", "Enter"]);
    pane.shows("put wan.proto");
    pane.keys(&["Escape"]);
    pane.shows("lan {");
    pane.keys(&["?"]);
    pane.shows("Keys (any other key closes this)");
    pane.keys(&["Escape"]);
    pane.tmux(&["resize-window", "-x", "66", "-y", "15"]);
    pane.until("a narrower header", |screen| {
        screen.lines().next().is_some_and(|line| line.starts_with(" 1 Tree  2  3"))
    });
    pane.tmux(&["resize-window", "-x", "30", "-y", "8"]);
    pane.shows("40x10 is needed");
    pane.keys(&["q"]);
    pane.shows("ended with 0");
}

#[test]
fn without_colours_and_beyond_ascii_nothing_is_lost() {
    let Some(server) = server() else { return };
    let pane = Pane::tui(&server, "NO_COLOR=1 LC_ALL=C");
    pane.shows("> wan {1}");
    pane.keys(&["l"]);
    let screen = pane.shows("ip = 192.168.1.1");
    assert!(screen.is_ascii(), "{screen}");
    let escapes = String::from_utf8(pane.tmux(&["capture-pane", "-p", "-e"]).stdout).unwrap();
    // 39 and 49 are the terminal's own colours.
    let rest = escapes.replace("\x1b[39m", "").replace("\x1b[49m", "");
    for colour in ["\x1b[3", "\x1b[4", "\x1b[9", "\x1b[10"] {
        let coloured = rest
            .match_indices(colour)
            .any(|(at, _)| rest[at + colour.len()..].starts_with(|c: char| c.is_ascii_digit()));
        assert!(!coloured, "{rest:?}");
    }
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let Some(server) = server() else { return };
    let pane = Pane::tui(&server, "");
    pane.shows("▸ wan {1}");
    let pid = pane.pid();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    let screen = pane.shows("ended with 0");
    assert!(!screen.contains("wan {1}"), "the screen of before is back:\n{screen}");
    // What is typed is shown again: the terminal isn't raw.
    pane.keys(&["typed"]);
    pane.shows("typed");
}

#[test]
fn a_terminal_that_goes_away_ends_the_program() {
    let Some(server) = server() else { return };
    for signal in ["", "trap '' HUP; "] {
        let pane =
            Pane::open(&format!("{signal}env LANG=C.UTF-8 {} tui --url {}", tega(), server.unix_url()));
        pane.shows("▸ wan {1}");
        let pid = pane.pid();
        drop(pane);
        eventually("the end of the program", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn where_there_is_no_terminal_or_no_server_it_is_said() {
    let server = Server::start();
    let url = server.unix_url();
    let out = program(&binary()).args(["tui", "--url", &url]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("a terminal is wanted"));
    let nobody = format!("unix:{}", server.dir().join("nobody").display());
    let out = program(&binary()).args(["tui", "--url", &nobody]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(out.status.code(), Some(5));
}
