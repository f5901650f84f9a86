//! What is left of a log after a crash or a bad disk: a torn tail is cut, damage is refused and repaired, and nobody
//! writes into a directory that another has.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tega::log::{Directory, Group, Log};

use crate::server::{Scratch, Server, run, serve_args, tega, tega_command};
use crate::wire::http_unix;

const QUIET: &[&str] = &["--listen", "none"];

/// A server's directory with the log of commits `r.n` = 1, 2, 3, and where the line of each begins and ends.
fn small_log(clean: bool) -> (Server, Vec<u8>, Vec<(usize, usize)>) {
    let mut server = Server::with(QUIET);
    for n in 1..=3 {
        assert_eq!(http_unix(&server, "PUT /r/n", &[], n.to_string()).status, 200);
    }
    if clean {
        assert!(server.stop().success());
    } else {
        server.kill();
    }
    let bytes = fs::read(server.data().join("log")).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.contains("r.n") {
            lines.push((at, at + line.len()));
        }
        at += line.len();
    }
    assert_eq!(lines.len(), 3, "{text}");
    (server, bytes, lines)
}

fn present(server: &Server) -> String {
    let answer = http_unix(server, "GET /r/n", &[], "");
    if answer.status == 404 { "nothing".into() } else { answer.text().into() }
}

/// `tega serve` with what must fail: exit code and what it said.
fn refused(dir: &Path, args: &[&str]) -> (i32, String) {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_string()).collect();
    let (code, out, err) = run(tega_command().args(serve_args(dir, &args)), "");
    assert_eq!(out, "", "{err}");
    (code, err)
}

#[test]
fn a_log_cut_at_any_byte_opens_with_every_record_before_the_cut() {
    let (mut server, bytes, lines) = small_log(false);
    let log = server.data().join("log");
    for cut in 0..=bytes.len() {
        server.kill();
        fs::write(&log, &bytes[..cut]).unwrap();
        server.try_restart().unwrap_or_else(|said| panic!("cut at {cut} of {}: {said}", bytes.len()));
        let whole = lines.iter().filter(|(_, end)| *end <= cut).count();
        let wanted = if whole == 0 { "nothing".into() } else { whole.to_string() };
        assert_eq!(present(&server), wanted, "cut at {cut} of {}", bytes.len());
    }
}

#[test]
fn a_cut_log_takes_commits_again_and_keeps_them() {
    let (mut server, bytes, lines) = small_log(false);
    fs::write(server.data().join("log"), &bytes[..lines[2].1 - 5]).unwrap();
    server.restart();
    assert_eq!(present(&server), "2");
    assert_eq!(http_unix(&server, "PUT /r/n", &[], "4").status, 200);
    server.kill();
    server.restart();
    assert_eq!(present(&server), "4");
}

#[test]
fn damage_below_what_was_durable_is_refused_by_place_and_repaired_on_demand() {
    let (mut server, mut bytes, lines) = small_log(true);
    let log = server.data().join("log");
    let (from, to) = lines[1];
    bytes[(from + to) / 2] ^= 1;
    fs::write(&log, &bytes).unwrap();

    let (code, said) = refused(server.dir(), QUIET);
    assert_eq!(code, 1, "{said}");
    for part in [log.to_str().unwrap(), &format!("byte {from}"), "tega log --repair"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(fs::read(&log).unwrap(), bytes, "a refusal changes nothing");

    let data = server.data();
    let (code, out, err) = tega(&server, &["log", "--repair", "--data", data.to_str().unwrap()], "");
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let mut others = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    assert!(others.any(|path| path != log && fs::read(&path).is_ok_and(|kept| kept == bytes)), "{err}");
    server.restart();
    assert_eq!(present(&server), "1");
    assert_eq!(http_unix(&server, "PUT /r/n", &[], "5").status, 200);
    server.kill();
    server.restart();
    assert_eq!(present(&server), "5");
}

#[test]
fn a_record_that_does_not_follow_from_those_before_it_is_damage_whatever_its_checksum_says() {
    let (mut server, ..) = small_log(true);
    let data = server.data();
    let mut log = Log::open(Box::new(Directory::open(&data).unwrap()), &mut |_, _| Ok(())).unwrap().0;
    let mut group = Group::new();
    for record in ["{\"what\":1}", "{\"position\":9}"] {
        group.record(|out| out.extend_from_slice(record.as_bytes())).unwrap();
    }
    log.append(&mut group).unwrap();
    log.seal().unwrap();
    drop(log);
    let (code, said) = refused(server.dir(), QUIET);
    assert!(code == 1 && said.contains("no known kind") && said.contains("tega log --repair"), "{said}");
    let (code, _, err) = tega(&server, &["log", "--repair", "--data", data.to_str().unwrap()], "");
    assert!(code == 0 && err.contains("no known kind"), "{err}");
    server.restart();
    assert_eq!(present(&server), "3");
}

#[test]
fn a_log_that_is_whole_or_in_use_is_not_repaired() {
    let (mut server, bytes, _) = small_log(true);
    let data = server.data();
    let repair = ["log", "--repair", "--data", data.to_str().unwrap()];
    let (code, _, err) = tega(&server, &repair, "");
    assert!(code == 1 && err.lines().count() == 1, "{code} {err}");
    assert_eq!(fs::read(data.join("log")).unwrap(), bytes);
    server.restart();
    let (code, _, err) = tega(&server, &repair, "");
    assert!(code == 1 && err.contains(data.to_str().unwrap()) && err.lines().count() == 1, "{code} {err}");
    assert_eq!(present(&server), "3");
}

#[test]
fn two_servers_cannot_open_one_directory() {
    let server = Server::with(QUIET);
    assert_eq!(http_unix(&server, "PUT /r/n", &[], "1").status, 200);
    let other = server.dir().join("other").display().to_string();
    let (code, said) = refused(server.dir(), &["--listen", "none", "--socket", &other]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(server.data().to_str().unwrap()) && said.lines().count() == 1, "{said}");
    // Nor at the same socket, which stays with the first.
    let (code, said) = refused(server.dir(), QUIET);
    assert!(code == 1 && said.contains("--socket"), "{code} {said}");
    assert_eq!(present(&server), "1");
}

#[test]
fn a_directory_that_cannot_be_used_is_one_clear_line() {
    let dir = Scratch::new();
    let file = dir.file("file", "");
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    let mut places = vec![file.join("data"), file.clone(), "/proc/tega".into()];
    if !rustix::process::geteuid().is_root() {
        places.push(locked.join("data"));
        places.push(locked);
    }
    for place in places {
        let args = ["serve", "--listen", "none", "--socket", "s", "--data", place.to_str().unwrap()];
        let mut command = tega_command();
        let (code, out, err) = run(command.current_dir(dir.path()).args(args).stderr(Stdio::piped()), "");
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(place.to_str().unwrap()) && err.lines().count() == 1, "{err}");
    }
    assert!(!dir.path().join("s").exists(), "a failed start leaves nothing behind");
}
