//! Each step of a change is once the last one, and once the one that fails.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::super::disk::Fault;
use super::*;
use crate::commit::Incarnation;
use crate::daemon::testing::Scratch;
use crate::tree::Version;

type Tree = BTreeMap<String, String>;

/// A router with three packages: one is changed, one goes, one is new, and one is a link.
struct Router(Scratch);

const BEFORE: [(&str, &str); 4] =
    [("network", "old net"), ("dhcp", "old dhcp"), ("linked", "old linked"), ("other", "other")];
const AFTER: [(&str, &str); 4] =
    [("network", "new net"), ("firewall", "new fw"), ("linked", "new linked"), ("other", "other")];

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

fn mark() -> Mark {
    Mark { incarnation: Incarnation(1), version: Version(7) }
}

impl Router {
    fn new() -> Router {
        let router = Router(Scratch::new());
        let dir = router.dir();
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir(router.0.path().join("real")).unwrap();
        std::os::unix::fs::symlink("../../real/it", dir.join("linked")).unwrap();
        for (name, text) in BEFORE {
            fs::write(dir.join(name), text).unwrap();
        }
        fs::set_permissions(dir.join("network"), fs::Permissions::from_mode(0o640)).unwrap();
        router
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("etc/config")
    }

    fn open(&self, fault: Fault, boot: &str) -> io::Result<Journal> {
        let config = ConfigDir::below(self.0.path());
        Journal::open(&self.0.path().join("data/uci"), config, Disk::with(fault), boot.into())
    }

    fn plan(&self) -> Plan {
        let config = ConfigDir::below(self.0.path());
        let change = |name: &str, new: Option<&str>| Change {
            name: name.into(),
            old: config.read(name).unwrap(),
            new: new.map(|new| new.as_bytes().to_vec()),
            drifted: name == "network",
        };
        let changes = vec![
            change("network", Some("new net")),
            change("dhcp", None),
            change("firewall", Some("new fw")),
            change("linked", Some("new linked")),
        ];
        Plan { mark: mark(), sum: Sum::of(b"7"), changes }
    }

    fn files(&self) -> Tree {
        let config = ConfigDir::below(self.0.path());
        let names = config.packages().unwrap();
        let text = |name: &String| String::from_utf8(config.read(name).unwrap().unwrap().bytes).unwrap();
        names.iter().map(|name| (name.clone(), text(name))).collect()
    }

    /// Files that aren't a package's.
    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for dir in [self.dir(), self.0.path().join("real"), self.0.path().join("data/uci/saved")] {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name.starts_with('.') || entry.path().parent().unwrap().ends_with("saved") {
                    found.push(name);
                }
            }
        }
        found
    }

    fn check_kind(&self) {
        assert!(fs::symlink_metadata(self.dir().join("linked")).unwrap().is_symlink());
        let bits = fs::metadata(self.dir().join("network")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(bits, 0o640);
    }
}

/// What becomes of a change that began.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Confirmed,
    Reverted,
}

fn run(journal: &mut Journal, plan: &Plan, end: End) -> io::Result<()> {
    journal.begin(plan, 9, 1_000)?;
    journal.reloading()?;
    if end == End::Confirmed {
        return journal.confirm(std::iter::empty());
    }
    journal.restore("no proof")?;
    journal.close("no proof")
}

#[test]
fn a_change_is_confirmed_or_undone_and_leaves_nothing_behind() {
    for (end, files) in [(End::Confirmed, AFTER), (End::Reverted, BEFORE)] {
        let router = Router::new();
        let mut journal = router.open(Fault::None, "b").unwrap();
        run(&mut journal, &router.plan(), end).unwrap();
        assert_eq!(router.files(), tree(&files));
        assert_eq!(router.leftovers(), Vec::<String>::new());
        router.check_kind();
        let memory = journal.memory().clone();
        drop(journal);
        let again = router.open(Fault::None, "c").unwrap();
        assert_eq!((again.record(), again.memory()), (None, &memory));
        assert_eq!(memory.confirmed.is_some(), end == End::Confirmed);
        assert_eq!(memory.reverted.map(|it| it.reason), (end == End::Reverted).then(|| "no proof".into()));
    }
}

#[test]
fn a_crash_at_any_step_ends_in_the_old_files_or_the_new_and_after_a_reboot_never_in_unconfirmed_ones() {
    for end in [End::Confirmed, End::Reverted] {
        for boot in ["same", "another"] {
            let mut last = 0;
            for at in 1.. {
                let router = Router::new();
                let plan = router.plan();
                let mut journal = match router.open(Fault::Cut(at), "same") {
                    Ok(journal) => journal,
                    // Before anything was there.
                    Err(_) => continue,
                };
                let done = run(&mut journal, &plan, end).is_ok();
                // What was said to be done is what counts, whatever was swept.
                drop(journal);
                let mut again = router.open(Fault::None, boot).unwrap();
                let recovered = again.recover().unwrap();
                let case = format!("{end:?} {boot} step {at}: {recovered:?}");
                let files = router.files();
                if again.record().is_some() {
                    assert_eq!((boot, &files), ("same", &tree(&AFTER)), "{case}");
                    again.restore("late").unwrap();
                    again.close("late").unwrap();
                    assert_eq!(router.files(), tree(&BEFORE), "{case}");
                } else if files == tree(&AFTER) {
                    assert_eq!(end, End::Confirmed, "{case}");
                    let confirmed = again.memory().confirmed.clone().unwrap();
                    assert_eq!(confirmed.mark, mark(), "{case}");
                } else {
                    assert_eq!(files, tree(&BEFORE), "{case}");
                    assert_eq!(again.memory().confirmed, None, "{case}");
                }
                router.check_kind();
                assert_eq!(router.leftovers(), Vec::<String>::new(), "{case}");
                if done {
                    break;
                }
                last = at;
            }
            assert!(last > 25, "{last} steps");
        }
    }
}

#[test]
fn a_crash_while_a_start_puts_things_right_is_put_right_by_the_next() {
    for at in 1..40 {
        let router = Router::new();
        let plan = router.plan();
        router.open(Fault::None, "one").unwrap().begin(&plan, 9, 1_000).unwrap();
        assert_eq!(router.files(), tree(&AFTER));
        if let Ok(mut journal) = router.open(Fault::Cut(at), "two") {
            let _ = journal.recover();
        }
        let mut journal = router.open(Fault::None, "two").unwrap();
        journal.recover().unwrap();
        assert_eq!(router.files(), tree(&BEFORE), "step {at}");
        assert!(journal.memory().reverted.is_some() && journal.record().is_none());
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_changes_nothing_and_takes_nothing_back_half() {
    for end in [End::Confirmed, End::Reverted] {
        let mut refused = 0;
        for at in 1.. {
            let router = Router::new();
            let plan = router.plan();
            let mut journal = router.open(Fault::Full(at), "b").unwrap();
            let outcome = run(&mut journal, &plan, end);
            let case = format!("{end:?} write {at}: {outcome:?}");
            match &outcome {
                Ok(()) if end == End::Confirmed => assert_eq!(router.files(), tree(&AFTER), "{case}"),
                Ok(()) => {
                    assert_eq!(router.files(), tree(&BEFORE), "{case}");
                    assert!(journal.memory().reverted.is_some(), "{case}");
                }
                // Only telling that services reload: the trial's driver goes back then.
                Err(error) if journal.record().is_some() => {
                    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{case}");
                    journal.restore("full").unwrap();
                    journal.close("full").unwrap();
                    assert_eq!(router.files(), tree(&BEFORE), "{case}");
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{case}");
                    assert_eq!(router.files(), tree(&BEFORE), "{case}");
                    assert_eq!(router.leftovers(), Vec::<String>::new(), "{case}");
                    refused += 1;
                }
            }
            drop(journal);
            // A start finds it so, with the memory that it was reverted.
            let mut again = router.open(Fault::None, "c").unwrap();
            let before = router.files();
            assert_eq!(again.recover().unwrap(), None, "{case}");
            assert_eq!(router.files(), before);
            if outcome.is_ok() && end == End::Reverted {
                assert!(again.memory().reverted.is_some(), "{case}");
            }
            if at > 40 {
                break;
            }
        }
        assert!(refused > 8, "{refused}");
    }
}

#[test]
fn any_step_that_fails_leaves_the_old_files_or_the_trial() {
    for at in 1..60 {
        let router = Router::new();
        let plan = router.plan();
        let Ok(mut journal) = router.open(Fault::Fail(at), "b") else { continue };
        if journal.begin(&plan, 9, 1_000).is_err() && journal.record().is_none() {
            assert_eq!(router.files(), tree(&BEFORE), "step {at}");
        } else {
            // Going back is tried again where it failed.
            let back = |journal: &mut Journal| journal.restore("x").and_then(|_| journal.close("x"));
            back(&mut journal).or_else(|_| back(&mut journal)).unwrap();
        }
        assert_eq!(router.files(), tree(&BEFORE), "step {at}");
        drop(journal);
        let mut again = router.open(Fault::None, "b").unwrap();
        assert_eq!(again.recover().unwrap(), None, "step {at}");
        assert_eq!(router.files(), tree(&BEFORE), "step {at}");
    }
}

#[test]
fn a_file_that_was_edited_since_the_plan_stops_it_and_one_edited_on_trial_is_set_aside() {
    let router = Router::new();
    let mut journal = router.open(Fault::None, "b").unwrap();
    let plan = router.plan();
    fs::write(router.dir().join("dhcp"), "by hand").unwrap();
    let error = journal.begin(&plan, 9, 1_000).unwrap_err();
    assert!(error.to_string().contains("dhcp was edited just now"), "{error}");
    assert_eq!(router.files()["network"], "old net");
    journal.begin(&router.plan(), 9, 1_000).unwrap();
    fs::write(router.dir().join("firewall"), "by hand too").unwrap();
    assert_eq!(journal.restore("no proof").unwrap(), ["firewall"]);
    journal.close("no proof").unwrap();
    assert_eq!(router.files().get("firewall"), None);
    assert_eq!(router.files()["dhcp"], "by hand");
    let kept = router.0.path().join("data/uci/kept/firewall");
    assert_eq!(fs::read_to_string(kept).unwrap(), "by hand too");
    assert!(journal.memory().kept["firewall"].contains("on trial"));
}

#[test]
fn an_edit_that_a_confirmed_version_replaced_is_kept() {
    let router = Router::new();
    let mut journal = router.open(Fault::None, "b").unwrap();
    run(&mut journal, &router.plan(), End::Confirmed).unwrap();
    let kept = router.0.path().join("data/uci/kept/network");
    assert_eq!(fs::read_to_string(kept).unwrap(), "old net");
    assert!(!router.0.path().join("data/uci/kept/dhcp").exists(), "nobody had edited it");
}

#[test]
fn one_process_has_the_journal_at_a_time() {
    let router = Router::new();
    let held = router.open(Fault::None, "b").unwrap();
    let error = router.open(Fault::None, "b").unwrap_err();
    assert!(error.to_string().contains("another tega"), "{error}");
    drop(held);
    router.open(Fault::None, "b").unwrap();
}

#[test]
fn a_trial_is_resumed_in_its_own_boot_only_and_not_where_a_file_was_put_back() {
    let router = Router::new();
    router.open(Fault::None, "one").unwrap().begin(&router.plan(), 9, 1_000).unwrap();
    let mut journal = router.open(Fault::None, "one").unwrap();
    assert_eq!(journal.recover().unwrap(), None);
    assert_eq!(journal.record().unwrap().deadline, 1_000);
    fs::write(router.dir().join("network"), "old net").unwrap();
    assert!(journal.recover().unwrap().is_some());
    assert_eq!(router.files(), tree(&BEFORE));
}
