//! # A program that is run within limits
//!
//! None that the server runs may hang, flood, fork without end or outlive what it was run for. Each is the head of a
//! process group of its own, which is killed as a whole when the time is over, when it writes too much, when whoever
//! waits for it wants no more, and also when it has ended by itself with children left behind.
//!
//! [`Running`] is such a program between start and end. It never waits: [`Running::fds`] says what to poll for, and
//! [`Running::advance`] does what can be done now, so that one thread looks after many. [`run`] is the same for who has
//! a thread and nothing else to do. All three pipes are non-blocking; no thread stands behind any of them.
//!
//! **The end** is seen by a descriptor of the process (Linux 5.3) and, where there's none, by a look every
//! 20 ms. The group is killed while its head, though dead, still has its number: so nobody else can have it. What was in
//! the pipes by then counts; nobody waits for children that hold them open.
//!
//! **Limits of the process** ([`Guest`]) are set from outside, right after the start, since nothing can be done between fork
//! and exec without `unsafe`. That leaves a window: until the server has set them the program runs without, and a
//! child that it forks by then has none for good. On MIPS, where that way isn't to be had, a shell sets them and becomes the
//! program. Memory and processor time are limited for each process, not for the group; the latter, which is for what a server
//! that was itself killed leaves behind, is what all processors give in the time that it may run.
//!
//! **What it isn't.** No jail: a program may do what the user may that the server runs as, and one that
//! leaves its process group (`setsid`) is not killed. A process that the kernel can't kill (it waits for a dead disk)
//! stays, and so does its [`Running`].

mod pipes;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group,
    pidfd_open, prlimit, setpriority_process, waitid,
};

use pipes::{Input, Output};

/// How much is kept of the end of standard error.
pub const LAST_WORDS: usize = 2 << 10;

/// How often one is looked at that can't be polled for.
const LOOK: Duration = Duration::from_millis(20);

/// How often the pipes of a dead program are read: as much as a pipe may be made to hold.
const TURNS: usize = 5;

/// Set to have a program killed that [`run`] waits for.
pub type Cancel = Arc<AtomicBool>;

/// What a program may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// The most that is read of its standard output, in bytes.
    pub output: usize,
    /// The most that is read of its standard error, in bytes; the last [`LAST_WORDS`] are kept.
    pub errors: usize,
    /// What becomes of one that writes more.
    pub flood: Flood,
    /// How it's kept from harming the server; `None`: it's of the system.
    pub guest: Option<Guest>,
}

/// What becomes of a program that writes more than is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// It's killed.
    Kill,
    /// It may go on, and what is too much is thrown away.
    Discard,
}

/// Of a program that the server must not suffer from: it dumps no core, the kernel ends it first when there's no memory
/// left, and it gets the processor after the server.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// The address space of each of its processes, in bytes.
    pub memory: u64,
}

/// How much nicer a guest is than the server.
const NICE: i32 = 5;

/// Why a program was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Killed {
    /// It ran longer than this.
    Late(Duration),
    /// It wrote more than so many bytes to standard output.
    Output(usize),
    /// It wrote more than so many bytes to standard error.
    Errors(usize),
    /// Nobody wanted it any more.
    Unwanted,
}

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Killed::Late(time) if time.subsec_millis() == 0 => {
                write!(f, "killed: still runs after {} s", time.as_secs())
            }
            Killed::Late(time) => write!(f, "killed: still runs after {:.1} s", time.as_secs_f64()),
            Killed::Output(most) => write!(f, "killed: printed more than {most} bytes"),
            Killed::Errors(most) => write!(f, "killed: wrote more than {most} bytes to standard error"),
            Killed::Unwanted => f.write_str("killed: isn't wanted any more"),
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; or why it was killed.
    pub status: Result<ExitStatus, Killed>,
    /// What it printed.
    pub printed: Vec<u8>,
    /// The end of what it wrote to standard error.
    pub said: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
}

impl Ended {
    /// The end of what it wrote to standard error, for people.
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&self.said).trim().to_string()
    }
}

/// A program that runs. Dropping it kills it and its group, and waits until it's dead.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Its process group; `None`: it was reaped.
    group: Option<Pid>,
    /// Readable when it has ended.
    watch: Option<OwnedFd>,
    input: Input,
    output: Output,
    errors: Output,
    limits: Limits,
    begun: Instant,
    killed: Option<Killed>,
}

impl Running {
    /// Starts a program with this on its standard input. The command's own settings of pipes and group are replaced.
    pub fn start(command: &mut Command, input: Vec<u8>, limits: Limits) -> io::Result<Running> {
        let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let mut sheltered =
            limits.guest.filter(|_| BY_SHELL).map(|it| by_shell(command, it, limits.time)).transpose()?;
        let command = sheltered.as_mut().unwrap_or(command);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), Some(guest)) = (group, &limits.guest) {
            restrain(pid, guest, limits.time);
        }
        let mut running = Running {
            watch: group.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()),
            input: Input::new(child.stdin.take().map(OwnedFd::from), input),
            output: Output::new(child.stdout.take().map(OwnedFd::from), limits.output, limits.output),
            errors: Output::new(child.stderr.take().map(OwnedFd::from), limits.errors, LAST_WORDS),
            child,
            group,
            limits,
            begun,
            killed: None,
        };
        let discard = running.limits.flood == Flood::Discard;
        let ready = running.input.prepare().and_then(|()| running.output.prepare(discard));
        // A pipe that would block could hold up everything: dropping this kills the program.
        ready.and_then(|()| running.errors.prepare(discard))?;
        Ok(running)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Adds what to poll for.
    pub fn fds<'a>(&'a self, into: &mut Vec<PollFd<'a>>) {
        if let Some(watch) = &self.watch {
            into.push(PollFd::new(watch, PollFlags::IN));
        }
        if let Some(fd) = self.input.fd() {
            into.push(PollFd::new(fd, PollFlags::OUT));
        }
        for fd in [self.output.fd(), self.errors.fd()].into_iter().flatten() {
            into.push(PollFd::new(fd, PollFlags::IN));
        }
    }

    /// How long to poll at most.
    pub fn patience(&self) -> Duration {
        let left = match self.killed {
            None => self.limits.time.saturating_sub(self.begun.elapsed()),
            Some(_) => Duration::from_secs(1),
        };
        if self.watch.is_some() { left } else { left.min(LOOK) }
    }

    /// Has it killed; [`Running::advance`] tells when it's dead.
    pub fn kill(&mut self) {
        self.kill_for(Killed::Unwanted);
    }

    fn kill_for(&mut self, why: Killed) {
        self.killed.get_or_insert(why);
        self.kill_group();
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // Nobody may be left in it, its head neither, which may have gone to another one: it isn't reaped yet, so
            // that its number is its own.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = kill_process(group, Signal::KILL);
        }
    }

    /// Does what can be done without waiting; `Some`: it has ended, and nothing is to be done any more.
    pub fn advance(&mut self) -> io::Result<Option<Ended>> {
        self.input.write();
        self.read();
        if self.killed.is_none() && self.begun.elapsed() >= self.limits.time {
            self.kill_for(Killed::Late(self.limits.time));
        }
        let Some(pid) = self.group else { return Ok(None) };
        let dead = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(pid), dead) {
            Ok(None) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(Some(_)) => {}
            Err(error) => {
                // It's known to be nobody's child any more: somebody else reaped it, and the number of its group may be
                // anybody's by now.
                if error == rustix::io::Errno::CHILD {
                    self.group = None;
                }
                return Err(error.into());
            }
        }
        // Dead and not reaped: the number of the group is still its own.
        self.kill_group();
        // A pipe may hold more than is read in one turn.
        (0..TURNS).for_each(|_| self.read());
        let status = self.child.wait()?;
        self.group = None;
        Ok(Some(Ended {
            status: self.killed.take().map_or(Ok(status), Err),
            printed: self.output.take(),
            said: self.errors.take(),
            took: self.begun.elapsed(),
        }))
    }

    fn read(&mut self) {
        let (output, errors) = (self.output.read(), self.errors.read());
        if self.killed.is_none() && self.limits.flood == Flood::Kill {
            if output {
                self.kill_for(Killed::Output(self.limits.output));
            } else if errors {
                self.kill_for(Killed::Errors(self.limits.errors));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.group.is_some() {
            self.kill_group();
            // It's dead, and so this doesn't take long.
            let _ = self.child.wait();
        }
    }
}

/// Sets what keeps a program from harming the server. What the system refuses is left out, and told once: the other limits
/// hold.
fn restrain(pid: Pid, guest: &Guest, time: Duration) {
    if !BY_SHELL {
        limit(pid, guest, time);
    }
    let adjust = format!("/proc/{}/oom_score_adj", pid.as_raw_pid());
    if let Err(error) = std::fs::write(&adjust, "1000") {
        log::debug!("{adjust}: {error}");
    }
    // Where the server runs nicely itself, this isn't worse.
    let _ = setpriority_process(Some(pid), NICE);
}

/// On MIPS rustix looks for prlimit by musl's dlsym, which a static program there calls without the register that it goes by,
/// and dies. So a shell sets the limits of itself, and becomes the program.
const BY_SHELL: bool = cfg!(any(target_arch = "mips", target_arch = "mips64"));

/// The same program, by a shell that sets the limits. Of the environment it gets what the command itself says.
fn by_shell(command: &Command, guest: Guest, time: Duration) -> io::Result<Command> {
    // As a start without a shell would tell it.
    std::fs::metadata(command.get_program())?;
    let mut shell = Command::new("/bin/sh");
    let (memory, seconds) = (guest.memory / 1024, processor_seconds(time));
    let script = format!("ulimit -c 0; ulimit -t {seconds}; ulimit -v {memory} && exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    Ok(shell)
}

/// The most that a process can have of the processors in this time, rounded up.
fn processor_seconds(time: Duration) -> u64 {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    (time.as_secs() + 1).saturating_mul(processors)
}

/// Memory, processor time and core files, from outside.
fn limit(pid: Pid, guest: &Guest, time: Duration) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    let limits =
        [(Resource::As, guest.memory), (Resource::Core, 0), (Resource::Cpu, processor_seconds(time))];
    for (resource, most) in limits {
        if let Err(error) = prlimit(Some(pid), resource, limit(most)) {
            let level = if TOLD.swap(true, Ordering::SeqCst) { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "process {} goes without its limit of {resource:?}: {error}", pid.as_raw_pid());
        }
    }
}

/// Polls, at most this long. That it was interrupted is no error.
pub fn wait(fds: &mut [PollFd<'_>], time: Duration) -> io::Result<()> {
    // Rounded up: to be woken just before a deadline, and then again, would be in vain.
    let time = time + Duration::from_micros(999);
    let time =
        Timespec { tv_sec: time.as_secs().min(3_600) as _, tv_nsec: (time.subsec_millis() * 1_000_000) as _ };
    match poll(fds, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs a program to its end.
pub fn run(
    command: &mut Command,
    input: Vec<u8>,
    limits: Limits,
    cancel: Option<&Cancel>,
) -> io::Result<Ended> {
    let mut running = Running::start(command, input, limits)?;
    loop {
        if cancel.is_some_and(|cancel| cancel.load(Ordering::SeqCst)) {
            running.kill();
        }
        if let Some(ended) = running.advance()? {
            return Ok(ended);
        }
        let mut fds = Vec::with_capacity(4);
        running.fds(&mut fds);
        let time = running.patience();
        wait(&mut fds, if cancel.is_some() { time.min(LOOK) } else { time })?;
    }
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    rustix::io::ioctl_fionbio(fd, true)?;
    Ok(())
}
