//! Programs that behave, and those that don't.

use super::*;
use crate::daemon::testing::Scratch;

fn limits(ms: u64) -> Limits {
    Limits {
        time: Duration::from_millis(ms),
        output: 1 << 20,
        errors: 64 << 10,
        flood: Flood::Kill,
        guest: Some(Guest { memory: 512 << 20 }),
    }
}

fn shell(script: &str, input: &[u8], limits: Limits) -> Ended {
    run(Command::new("sh").args(["-c", script]), input.to_vec(), limits, None).unwrap()
}

/// Whether no process of this group is left that isn't a zombie.
fn is_gone(pid: u32) -> bool {
    let lives = |stat: String| {
        let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let state = fields.next().unwrap().to_string();
        fields.nth(1).unwrap() == pid.to_string() && state != "Z" && state != "X"
    };
    let entries = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
    !entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(lives)
}

#[test]
fn a_program_gets_its_input_and_what_it_prints_and_says_is_kept() {
    let ended = shell("cat; echo b >&2; exit 3", b"some text", limits(10_000));
    assert_eq!(ended.printed, b"some text");
    assert_eq!(ended.words(), "b");
    assert_eq!(ended.status.unwrap().code(), Some(3));
    // Much in both directions at once, more than pipes hold.
    let text: Vec<u8> = b"0123456789abcdef".repeat(60_000);
    assert_eq!(shell("cat", &text, limits(20_000)).printed, text);
}

#[test]
fn a_program_that_is_not_there_is_an_error_and_one_without_input_reads_nothing() {
    let error = run(&mut Command::new("/nowhere"), Vec::new(), limits(1_000), None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(shell("cat; echo x", b"", limits(10_000)).printed, b"x\n");
}

#[test]
fn a_program_that_does_not_read_its_input_is_not_waited_for() {
    let ended = shell("echo done", &[b'x'; 1 << 20], limits(10_000));
    assert_eq!((ended.printed.as_slice(), ended.status.unwrap().success()), (&b"done\n"[..], true));
}

#[test]
fn a_program_that_hangs_is_killed_with_its_children() {
    let scratch = Scratch::new();
    let file = scratch.path().join("alive");
    let script = format!("(sleep 1; echo x > {}) & sleep 60", file.display());
    let ended = shell(&script, b"", limits(200));
    assert_eq!(ended.status.unwrap_err(), Killed::Late(Duration::from_millis(200)));
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(!file.exists());
}

#[test]
fn children_that_are_left_behind_are_killed_and_not_waited_for() {
    let ended = shell("for i in 1 2 3; do sleep 50 & done; echo $$", b"", limits(40_000));
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    let pid: u32 = String::from_utf8(ended.printed).unwrap().trim().parse().unwrap();
    let begun = Instant::now();
    while !is_gone(pid) {
        assert!(begun.elapsed() < Duration::from_secs(10), "children of {pid} are left");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_that_floods_is_killed_or_cut_as_asked() {
    let flood = "while :; do echo 0123456789012345678901234567890123456789; done";
    let ended = shell(flood, b"", Limits { output: 10_000, ..limits(20_000) });
    assert_eq!(ended.status.unwrap_err(), Killed::Output(10_000));
    assert_eq!(ended.printed.len(), 10_000);
    let ended = shell(&format!("({flood}) >&2"), b"", limits(20_000));
    assert_eq!(ended.status.unwrap_err(), Killed::Errors(64 << 10));
    assert_eq!(ended.said.len(), LAST_WORDS);
    let most = Limits { output: 100_000, flood: Flood::Discard, ..limits(20_000) };
    let ended = shell("head -c 3000000 /dev/zero", b"", most);
    assert_eq!((ended.printed.len(), ended.status.unwrap().success()), (100_000, true));
    // To the byte what may be printed is no flood.
    let ended = shell("printf 0123456789", b"", Limits { output: 10, ..limits(10_000) });
    assert_eq!((ended.printed.len(), ended.status.unwrap().success()), (10, true));
}

#[test]
fn a_program_that_is_not_wanted_any_more_is_killed() {
    let cancel = Cancel::default();
    cancel.store(true, Ordering::SeqCst);
    let ended = run(Command::new("sh").args(["-c", "sleep 60"]), Vec::new(), limits(60_000), Some(&cancel));
    assert_eq!(ended.unwrap().status.unwrap_err(), Killed::Unwanted);
    let pid = {
        let mut command = Command::new("sleep");
        Running::start(command.arg("60"), Vec::new(), limits(60_000)).unwrap().pid()
    };
    assert!(is_gone(pid));
}

#[test]
fn a_guest_has_its_limits() {
    // The shell has them when it looks, since it takes longer to begin than the server to set them; to be sure, it waits.
    let script = "sleep 1; ulimit -v; ulimit -c; cat /proc/self/oom_score_adj; ulimit -t";
    let ended = shell(script, b"", limits(20_000));
    let printed = String::from_utf8(ended.printed).unwrap();
    let seconds = processor_seconds(Duration::from_secs(20)).to_string();
    assert_eq!(printed.split_whitespace().collect::<Vec<_>>(), ["524288", "0", "1000", &seconds]);
}

#[test]
fn one_that_nobody_looks_after_any_more_ends_when_it_had_the_processors_for_its_time() {
    let mut command = Command::new("sh");
    let running =
        Running::start(command.args(["-c", "while :; do :; done"]), Vec::new(), limits(10)).unwrap();
    let pid = running.group.unwrap();
    // As if the server had been killed.
    std::mem::forget(running);
    let status = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn one_that_somebody_else_reaped_is_an_error_and_its_number_is_not_used_any_more() {
    let mut command = Command::new("sh");
    let mut running = Running::start(command.args(["-c", ":"]), Vec::new(), limits(10_000)).unwrap();
    waitid(WaitId::Pid(running.group.unwrap()), WaitIdOptions::EXITED).unwrap();
    let error = running.advance().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::CHILD.raw_os_error()));
    assert_eq!(running.group, None);
}

#[test]
fn one_that_cannot_be_polled_for_is_looked_at() {
    let mut command = Command::new("sh");
    let mut running = Running::start(command.args(["-c", "echo a"]), Vec::new(), limits(10_000)).unwrap();
    running.watch = None;
    let ended = loop {
        if let Some(ended) = running.advance().unwrap() {
            break ended;
        }
        assert!(running.patience() <= LOOK);
        let mut fds = Vec::new();
        running.fds(&mut fds);
        wait(&mut fds, LOOK).unwrap();
    };
    assert_eq!(ended.printed, b"a\n");
}

#[test]
fn one_that_leaves_its_group_is_killed_all_the_same() {
    let leaves =
        "command -v perl > /dev/null || exit 77; exec perl -e 'setpgrp(0, getpgrp(getppid())); sleep 60'";
    let ended = shell(leaves, b"", limits(500));
    if ended.status.as_ref().is_ok_and(|status| status.code() == Some(77)) {
        return eprintln!("no perl is here, by which a program leaves its group: passed over");
    }
    assert_eq!(ended.status.unwrap_err(), Killed::Late(Duration::from_millis(500)));
    assert!(ended.took < Duration::from_secs(20));
}

#[test]
fn a_shell_sets_the_limits_where_nobody_else_can() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -v; ulimit -c; ulimit -t; echo $A \"$B\" $1; pwd", "x", "a b"]);
    command.env_clear().env("A", "1").current_dir("/");
    let time = Duration::from_secs(9);
    let mut shell = by_shell(&command, Guest { memory: 64 << 20 }, time).unwrap();
    let ended = run(&mut shell, Vec::new(), Limits { guest: None, ..limits(10_000) }, None).unwrap();
    let printed = format!("65536\n0\n{}\n1  a b\n/\n", processor_seconds(time));
    assert_eq!(String::from_utf8(ended.printed).unwrap(), printed, "{:?}", ended.status);
    let error = by_shell(&Command::new("/nowhere"), Guest { memory: 64 << 20 }, time).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
