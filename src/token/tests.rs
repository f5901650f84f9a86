//! Files, and what servers make of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tega-token-{}-{count}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }

    fn tokens(&self) -> PathBuf {
        self.0.join("tokens")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn grant(name: &str, read: &[&str]) -> Grant {
    let read = read.iter().map(|path| grant_path(path).unwrap()).collect();
    Grant { name: name.into(), read, ..Grant::default() }
}

fn add(path: &FilePath, name: &str, read: &[&str]) -> String {
    file::add(path, grant(name, read), "then").unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn names(path: &FilePath) -> Vec<String> {
    file::read(path).unwrap().into_iter().map(|line| line.grant.name).collect()
}

#[test]
fn the_file_keeps_no_secret_and_is_its_owners_alone() {
    let dir = Scratch::new();
    let file = dir.tokens();
    let secret = add(&file, "r1", &["a"]);
    let text = fs::read_to_string(&file).unwrap();
    let (_, digits) = secret.rsplit_once('_').unwrap();
    assert!(secret.starts_with("tega_r1_") && !text.contains(digits), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1, "nothing else is left behind");
    let tokens = Tokens::open(file, true).unwrap();
    let access = tokens.identify(Some(&secret)).unwrap();
    assert!(access.may_read(&path("a.b")) && !access.may_read(&path("b")) && !access.is_admin());
    assert_eq!(access.grant().unwrap().name, "r1");
    let said = format!("{tokens:?} {access:?}");
    assert!(!said.contains(digits) && !said.contains("hash"), "{said}");
}

#[test]
fn only_the_right_secret_under_the_right_name_is_let_in() {
    let dir = Scratch::new();
    let (one, two) = (add(&dir.tokens(), "one", &["*"]), add(&dir.tokens(), "two", &["*"]));
    let tokens = Tokens::open(dir.tokens(), true).unwrap();
    assert!(tokens.identify(Some(&one)).is_ok() && tokens.identify(Some(&two)).is_ok());
    assert_eq!(tokens.identify(None).unwrap_err(), Denied::Missing);
    let digits = one.rsplit_once('_').unwrap().1;
    let (longer, shorter) = (format!("{one}0"), one[..one.len() - 1].to_string());
    for wrong in [
        "",
        "tega_one_",
        digits,
        &format!("tega_two_{digits}"),
        &format!("tega_three_{digits}"),
        &format!("tega_legacy:one_{digits}"),
        &one.to_uppercase(),
        &longer,
        &shorter,
    ] {
        assert_eq!(tokens.identify(Some(wrong)).unwrap_err(), Denied::Wrong, "{wrong}");
    }
}

#[test]
fn what_the_administrator_wrote_stays() {
    let dir = Scratch::new();
    let file = dir.tokens();
    add(&file, "one", &["a"]);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("# mine\n\n  {text}# no end of line")).unwrap();
    add(&file, "two", &["a"]);
    assert_eq!(names(&file), ["one", "two"]);
    file::remove(&file, "one").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\n\n# no end of line\n{\"") && text.ends_with("}\n"), "{text}");
    assert_eq!(names(&file), ["two"]);
    file::remove(&file, "two").unwrap();
    let tokens = Tokens::open(file, true).unwrap();
    assert!(tokens.required() && tokens.count() == Some(0), "an empty file lets nobody in");
}

#[test]
fn a_name_is_given_once() {
    let dir = Scratch::new();
    let file = dir.tokens();
    add(&file, "one", &["a"]);
    for (name, why) in [("one", "remove one"), ("a b", "letters"), ("", "letters"), ("a:b", "letters")] {
        let error = file::add(&file, grant(name, &["a"]), "").unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let range = || vec!["10.0.0.0/8".parse().unwrap()];
    file::add_legacy(&file, &id("one"), range(), grant("", &["a"]), "").unwrap();
    assert!(file::add_legacy(&file, &id("one"), range(), grant("", &["a"]), "").is_err());
    assert_eq!(names(&file), ["one", "legacy:one"]);
    assert!(matches!(file::remove(&file, "two"), Err(TokenError::Unknown(_, _))));
}

#[test]
fn many_at_once_lose_nothing() {
    let dir = Scratch::new();
    let file = dir.tokens();
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let file = file.clone();
            std::thread::spawn(move || add(&file, &format!("t{n}"), &["a"]))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(file::read(&file).unwrap().len(), 8);
}

#[test]
fn a_link_stays_a_link() {
    let dir = Scratch::new();
    let real = dir.0.join("real");
    add(&real, "one", &["a"]);
    symlink(&real, dir.tokens()).unwrap();
    add(&dir.tokens(), "two", &["a"]);
    assert_eq!(names(&real), ["one", "two"]);
    assert!(fs::symlink_metadata(dir.tokens()).unwrap().is_symlink());
}

#[test]
fn a_file_that_isnt_safe_or_cant_be_understood_is_refused_with_the_place() {
    let dir = Scratch::new();
    let file = dir.tokens();
    assert!(matches!(Tokens::open(file.clone(), true), Err(TokenError::Missing(_))));
    assert!(!Tokens::open(file.clone(), false).unwrap().required());
    let secret = add(&file, "one", &["a"]);
    let refused = |text: &[u8], mode: u32, why: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let error = Tokens::open(file.clone(), false).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(file.to_str().unwrap()), "{error}");
        assert!(add_refused(&file), "what can't be read isn't changed");
        assert!(!error.contains(&secret), "{error}");
    };
    fn add_refused(file: &FilePath) -> bool {
        file::add(file, Grant { name: "x".into(), ..Grant::default() }, "").is_err()
    }
    let text = fs::read(&file).unwrap();
    refused(&text, 0o640, "chmod 600");
    refused(&text, 0o604, "chmod 600");
    refused(&text, 0o620, "mode 0620");
    refused(&[&b"# x\n\n"[..], &text, &text].concat(), 0o600, ":4: a second one");
    refused(b"\n{}\n", 0o600, ":2: ");
    refused(format!("{{\"name\":\"{secret}\"}}").as_bytes(), 0o600, ":1: name");
    refused(format!("{secret}\n").as_bytes(), 0o600, ":1: ");
    refused(b"\xff", 0o600, "UTF-8");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(Tokens::open(file.clone(), false).unwrap_err().to_string().contains("isn't a file"));
    fs::remove_dir(&file).unwrap();
}

#[test]
fn original_servers_come_in_by_id_and_address() {
    let dir = Scratch::new();
    let ranges = vec!["10.8.0.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
    file::add_legacy(&dir.tokens(), &id("r1"), ranges, grant("", &["config-r1"]), "").unwrap();
    let tokens = Tokens::open(dir.tokens(), true).unwrap();
    for (who, from, admitted) in [
        ("r1", "10.8.0.9", true),
        ("r1", "fd12::1", true),
        ("r1", "10.8.1.9", false),
        ("r2", "10.8.0.9", false),
    ] {
        let access = tokens.legacy(&id(who), from.parse().unwrap());
        assert_eq!(access.is_some(), admitted, "{who} {from}");
        let bound = |access: Access| access.may_act_as(&id("r1")) && !access.may_act_as(&id("r2"));
        assert!(access.is_none_or(bound));
    }
    assert!(Tokens::none().legacy(&id("r1"), "10.8.0.9".parse().unwrap()).is_none());
}

/// How often those who hold this access were told that it's over.
fn count(access: &Access) -> (Option<Alarm>, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let tell = told.clone();
    let alarm = access.on_revoked(move || {
        tell.fetch_add(1, Ordering::SeqCst);
    });
    (alarm, told)
}

#[test]
fn a_reload_ends_what_changed_and_nothing_else() {
    let dir = Scratch::new();
    let file = dir.tokens();
    let secrets = ["same", "gone", "wider"].map(|name| add(&file, name, &["a"]));
    let tokens = Tokens::open(file.clone(), true).unwrap();
    let accesses = secrets.each_ref().map(|secret| tokens.identify(Some(secret)).unwrap());
    let told = accesses.each_ref().map(count);
    assert_eq!(tokens.reload().unwrap(), Reloaded { tokens: Some(3), revoked: 0 });
    file::remove(&file, "gone").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let text: String = text
        .lines()
        .map(|l| if l.contains("wider") { l.replace("[\"a\"]", "[\"*\"]") } else { l.into() } + "\n")
        .collect();
    fs::write(&file, format!("# a comment changes nothing\n{text}")).unwrap();
    assert_eq!(tokens.reload().unwrap(), Reloaded { tokens: Some(2), revoked: 2 });
    assert_eq!(told.each_ref().map(|(_, told)| told.load(Ordering::SeqCst)), [0, 1, 1]);
    assert_eq!(accesses.each_ref().map(Access::is_revoked), [false, true, true]);
    assert_eq!(tokens.identify(Some(&secrets[1])).unwrap_err(), Denied::Wrong);
    assert!(
        tokens.identify(Some(&secrets[2])).unwrap().may_read(&path("b")),
        "the wider grant counts at once"
    );
    assert_eq!(count(&accesses[1]).1.load(Ordering::SeqCst), 1, "whoever comes late is told at once");
}

#[test]
fn a_bad_or_missing_file_keeps_the_tokens() {
    let dir = Scratch::new();
    let file = dir.tokens();
    let secret = add(&file, "one", &["a"]);
    let tokens = Tokens::open(file.clone(), true).unwrap();
    let access = tokens.identify(Some(&secret)).unwrap();
    let good = fs::read(&file).unwrap();
    fs::write(&file, b"x\n").unwrap();
    assert!(tokens.reload().unwrap_err().to_string().contains(":1: "));
    fs::remove_file(&file).unwrap();
    assert!(matches!(tokens.reload(), Err(TokenError::Missing(_))));
    assert!(tokens.identify(Some(&secret)).is_ok() && !access.is_revoked());
    assert_eq!(tokens.identify(None).unwrap_err(), Denied::Missing);
    fs::write(&file, good).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(tokens.reload().unwrap().revoked, 0);
}

#[test]
fn those_who_came_when_no_tokens_were_asked_for_go_when_they_are() {
    let dir = Scratch::new();
    let tokens = Tokens::open(dir.tokens(), false).unwrap();
    let access = tokens.identify(Some("whatever a client has")).unwrap();
    let (_alarm, told) = count(&access);
    assert!(access.is_admin() && access.grant().is_none());
    assert_eq!(tokens.reload().unwrap().tokens, None);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    add(&dir.tokens(), "one", &["a"]);
    assert_eq!(tokens.reload().unwrap(), Reloaded { tokens: Some(1), revoked: 0 });
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert!(tokens.identify(None).is_err());
    assert_eq!(Tokens::none().reload().unwrap().tokens, None);
}
