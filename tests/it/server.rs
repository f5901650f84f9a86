//! The harness: the real binary on a directory and ports of its own, and its command line. A [`Server`] is killed and
//! its directory removed when it's dropped; if a test fails, what the server said is shown. Nothing waits longer than
//! [`PATIENCE`]. Raw clients are in `wire`.
//!
//! `TEGA_BIN` names another binary than the one just built, `TEGA_RUNNER` a program that runs it (`qemu-arm-static`).

#![allow(dead_code, reason = "a tool box: not every promise needs every tool")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wire::{Ws, http, http_unix};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs the program at `path`, such as a symbolic link to it, with `TEGA_RUNNER` where there is one.
pub(crate) fn program(path: &Path) -> Command {
    match std::env::var_os("TEGA_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(path);
            command
        }
        None => Command::new(path),
    }
}

/// Where the program is.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("TEGA_BIN").map_or_else(|| env!("CARGO_BIN_EXE_tega").into(), PathBuf::from)
}

/// Whether that program was built so that an environment variable makes it fail at a step, or believe in another boot: one
/// that `TEGA_BIN` names is taken for a release.
pub(crate) fn takes_faults() -> bool {
    cfg!(debug_assertions) && std::env::var_os("TEGA_BIN").is_none()
}

/// The program, without what the environment of this machine would tell it.
pub(crate) fn tega_command() -> Command {
    let mut command = program(&binary());
    command.env_remove("TEGA_URL").env_remove("TEGA_TOKEN").env_remove("XDG_RUNTIME_DIR");
    command
}

/// A directory that goes with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty directory.
    pub(crate) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tega-it-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        // A process with this number that was killed may have left its own.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it with this content.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child process whose output is collected; killed when it's dropped.
pub(crate) struct Running {
    child: Child,
    /// In a mutex, so that threads can share a server.
    lines: Mutex<Receiver<String>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts it; standard input is closed at its end unless the command says otherwise.
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let out = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let said = Arc::new(Mutex::new(Vec::new()));
        let (mut stderr, into) = (child.stderr.take().unwrap(), said.clone());
        let err = std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(got @ 1..) = stderr.read(&mut buf) {
                into.lock().unwrap().extend_from_slice(&buf[..got]);
            }
        });
        Running { child, lines: Mutex::new(lines), stderr: said, readers: vec![out, err] }
    }

    /// The next line of its standard output; `None`: it ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.get_mut().unwrap().recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}; it said:\n{}", self.said()),
        }
    }

    /// What it has written to standard error so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // A process that has ended is none of our business any more.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end. Its output stays readable.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        // Both pipes close when it ends; then `wait` doesn't block.
        let deadline = Instant::now() + PATIENCE;
        let ended = self.readers.drain(..).all(|reader| join_until(reader, deadline));
        if !ended {
            self.kill();
            panic!("it didn't end in {PATIENCE:?}; it said:\n{}", self.said());
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- what process {} said:\n{}---", self.pid(), self.said());
        }
    }
}

fn join_until(thread: JoinHandle<()>, deadline: Instant) -> bool {
    let (sender, ended) = channel();
    std::thread::spawn(move || {
        let _ = thread.join();
        let _ = sender.send(());
    });
    ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
}

/// A server of the real binary.
pub(crate) struct Server {
    running: Running,
    args: Vec<String>,
    /// Of its environment.
    env: Vec<(String, String)>,
    addresses: Vec<SocketAddr>,
    // After `running`: the process ends before its directory goes.
    dir: Scratch,
}

impl Server {
    /// With one TCP address of loopback and a local socket, in a new directory.
    pub(crate) fn start() -> Server {
        Server::with(&[])
    }

    /// With more options. `--listen` and `--socket` replace those of the harness.
    pub(crate) fn with(args: &[&str]) -> Server {
        let dir = Scratch::new();
        Server::within(dir, args)
    }

    /// In this directory; the data is below it, in `data`.
    pub(crate) fn within(dir: Scratch, args: &[&str]) -> Server {
        Server::within_env(dir, args, &[])
    }

    /// As [`Server::within`], with this in its environment.
    pub(crate) fn within_env(dir: Scratch, args: &[&str], env: &[(&str, &str)]) -> Server {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_string()).collect();
        let env: Vec<(String, String)> =
            env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let (running, addresses) =
            spawn(&dir, &args, &env).unwrap_or_else(|said| panic!("no server: {said}"));
        Server { running, args, env, addresses, dir }
    }

    /// From its next start on this is in its environment, and nothing else of the test's.
    pub(crate) fn set_env(&mut self, env: &[(&str, &str)]) {
        self.env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    }

    /// The address of its (first) TCP listener.
    pub(crate) fn address(&self) -> SocketAddr {
        *self.addresses.first().unwrap()
    }

    /// All TCP addresses.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// `http://ADDR:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The local socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// `unix:PATH`, the same after a restart.
    pub(crate) fn unix_url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The directory of the test: the data is in `data` below it.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.running.said()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again on the same directory and socket, killed before if it still runs. The port is a new one.
    pub(crate) fn restart(&mut self) {
        self.try_restart().unwrap_or_else(|said| panic!("it didn't start again: {said}"));
    }

    /// As [`Server::restart`]; what it said where it didn't come up.
    pub(crate) fn try_restart(&mut self) -> Result<(), String> {
        self.kill();
        (self.running, self.addresses) = spawn(&self.dir, &self.args, &self.env)?;
        Ok(())
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.running.signal(Signal::TERM);
        self.running.wait()
    }
}

/// The options of a server in `dir`, those of the harness before those of the test.
pub(crate) fn serve_args(dir: &Path, args: &[String]) -> Vec<String> {
    let mut all = vec!["serve".into(), "--data".into(), dir.join("data").display().to_string()];
    for (option, value) in
        [("--listen", "127.0.0.1:0".into()), ("--socket", dir.join("s").display().to_string())]
    {
        if !args.iter().any(|arg| arg == option) {
            all.extend([option.to_string(), value]);
        }
    }
    all.extend_from_slice(args);
    all
}

fn spawn(
    dir: &Scratch,
    args: &[String],
    env: &[(String, String)],
) -> Result<(Running, Vec<SocketAddr>), String> {
    let args = serve_args(dir.path(), args);
    let given = |option| args.windows(2).filter(move |pair| pair[0] == option && pair[1] != "none").count();
    let wanted = given("--listen") + given("--socket");
    let mut running =
        Running::start(tega_command().args(&args).envs(env.iter().cloned()).stdin(Stdio::null()));
    let mut addresses = Vec::new();
    for _ in 0..wanted {
        let Some(line) = running.line() else {
            let status = running.wait();
            return Err(format!("{status}: {}", running.said()));
        };
        let at = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("a strange line: {line}"));
        addresses.extend(at.strip_prefix("http://").map(|at| at.parse::<SocketAddr>().unwrap()));
    }
    Ok((running, addresses))
}

// --- the command line

/// Runs `tega ARGS` against the server over its local socket: exit code (-1: a signal), standard output and error.
pub(crate) fn tega(server: &Server, args: &[&str], stdin: &str) -> (i32, String, String) {
    run(tega_command().env("TEGA_URL", server.unix_url()).current_dir(server.dir()).args(args), stdin)
}

/// Runs a command with this standard input: exit code (-1: a signal), standard output and error.
pub(crate) fn run(command: &mut Command, stdin: &str) -> (i32, String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let text = stdin.to_string();
    // A program that doesn't read all of its input is free to end.
    let writer = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    let pid = Pid::from_child(&child);
    let (sender, ended) = channel::<()>();
    let guard = std::thread::spawn(move || {
        let late = ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = kill_process(pid, Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(sender);
    writer.join().unwrap();
    let (out, err) = (text_of(output.stdout), text_of(output.stderr));
    assert!(!guard.join().unwrap(), "{command:?} took longer than {PATIENCE:?}; it said:\n{out}{err}");
    (output.status.code().unwrap_or(-1), out, err)
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Runs `tega ARGS`, which must succeed without a word on standard error, and gives its standard output.
#[track_caller]
pub(crate) fn ok(server: &Server, args: &[impl AsRef<OsStr>], stdin: &str) -> String {
    let args: Vec<&str> = args.iter().map(|arg| arg.as_ref().to_str().unwrap()).collect();
    let (code, out, err) = tega(server, &args, stdin);
    assert_eq!((code, err.as_str()), (0, ""), "tega {args:?} printed {out:.1000}");
    out
}

/// Asks again and again until the answer is yes; each question is one to a server, which sets the pace.
#[track_caller]
pub(crate) fn eventually(what: &str, mut question: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !question() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        // The servers that are waited for need the processors.
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_starts_answers_restarts_and_stops() {
    let mut server = Server::start();
    assert_eq!(http(&server, "PUT /a/b", &[], "1").status, 200);
    assert_eq!(ok(&server, &["get", "a.b"], ""), "1\n");
    server.kill();
    server.restart();
    assert_eq!(http_unix(&server, "GET /a/b", &[], "").text(), "1");
    let mut ws = Ws::session(&server, "r1", "local 2");
    assert_eq!(ws.ask(1, "GET", "a.b", "").get("value").map(ToString::to_string).as_deref(), Some("1"));
    assert!(server.stop().success(), "{}", server.said());
}
