//! Which files of the plugin directories are plugins.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::is_name;

/// The most plugins.
pub const MAX_PLUGINS: usize = 64;

/// The most entries of a directory that are looked at.
const MAX_ENTRIES: usize = 1_024;

/// What tells that a file is another one than before: device, inode, size, mode, owner, and both times of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp([u64; 5], [i64; 4]);

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        let numbers = [meta.dev(), meta.ino(), meta.size(), meta.mode().into(), meta.uid().into()];
        Stamp(numbers, [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()])
    }
}

/// A file that is a plugin.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: Arc<str>,
    pub(super) file: PathBuf,
    pub(super) stamp: Stamp,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) found: Vec<Found>,
    /// Plugins by their names that aren't used, and why.
    pub(super) refused: Vec<(Arc<str>, String)>,
    /// The same of directories, by their paths.
    pub(super) closed: Vec<(Arc<str>, String)>,
    /// Files that are no plugins, and why not.
    pub(super) passed: Vec<(PathBuf, &'static str)>,
}

/// Looks through the directories, in their order.
pub(super) fn scan(dirs: &[PathBuf]) -> Scan {
    let mut scan = Scan::default();
    for dir in dirs {
        if let Err(why) = scan.directory(dir) {
            scan.closed.push((dir.display().to_string().into(), why));
        }
    }
    scan
}

impl Scan {
    fn directory(&mut self, dir: &Path) -> Result<(), String> {
        let error = |error: std::io::Error| error.to_string();
        let entries = fs::read_dir(dir).map_err(error)?;
        check(dir, &fs::metadata(dir).map_err(error)?)?;
        let mut files: Vec<PathBuf> =
            entries.take(MAX_ENTRIES).filter_map(Result::ok).map(|e| e.path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // A link that leads nowhere, or a file that is gone by now.
            let Ok(meta) = fs::metadata(&file) else { continue };
            if !meta.is_file() {
                continue;
            }
            if let Some(why) = no_plugin(name, &meta) {
                self.passed.push((file, why));
                continue;
            }
            let name: Arc<str> = name.into();
            match self.judge(&name, &file, &meta) {
                Ok(()) => self.found.push(Found { name, stamp: Stamp::of(&meta), file }),
                Err(why) => self.refused.push((name, why)),
            }
        }
        Ok(())
    }

    fn judge(&self, name: &str, file: &Path, meta: &Metadata) -> Result<(), String> {
        if let Some(other) = self.found.iter().find(|found| *found.name == *name) {
            return Err(format!("{}: {} has its name already", file.display(), other.file.display()));
        }
        if self.found.len() >= MAX_PLUGINS {
            return Err(format!("there are {MAX_PLUGINS} plugins already, which is the most"));
        }
        check(file, meta)?;
        // Of a link, who may put another file there counts too.
        let real = fs::canonicalize(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let Some(dir) = real.parent() else { return Ok(()) };
        check(dir, &fs::metadata(dir).map_err(|error| format!("{}: {error}", dir.display()))?)
    }
}

/// Why a file isn't meant to be a plugin.
fn no_plugin(name: &str, meta: &Metadata) -> Option<&'static str> {
    if !is_name(name) {
        return Some("a plugin's name has letters, digits, - and _ only");
    }
    (meta.mode() & 0o100 == 0).then_some("it isn't executable (chmod 755)")
}

/// Refuses what others than root and the server's own user may write: whoever may, could run what they like as this server.
fn check(path: &Path, meta: &Metadata) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    if !is_trusted(meta.uid(), own) {
        return Err(format!("{} belongs to user {}, who isn't this server's", path.display(), meta.uid()));
    }
    if meta.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(format!(
        "others than its owner may write {} (mode {:o}); chmod go-w makes it safe",
        path.display(),
        meta.mode() & 0o7777
    ))
}

/// Root may do what it likes anyway.
fn is_trusted(owner: u32, own: u32) -> bool {
    owner == 0 || owner == own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::testing::Scratch;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn put(dir: &Path, name: &str, mode: u32) {
        let file = dir.join(name);
        fs::write(&file, "#!/bin/sh\n").unwrap();
        chmod(&file, mode);
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn names(scan: &Scan) -> Vec<&str> {
        scan.found.iter().map(|found| &*found.name).collect()
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        assert!(is_trusted(0, 1000) && is_trusted(1000, 1000) && is_trusted(0, 0));
        assert!(!is_trusted(1000, 0) && !is_trusted(1001, 1000));
        if rustix::process::geteuid().is_root() {
            let scratch = Scratch::new();
            let dir = scratch.path().join("plugins");
            fs::create_dir(&dir).unwrap();
            chmod(&dir, 0o755);
            put(&dir, "mine", 0o755);
            put(&dir, "theirs", 0o755);
            std::os::unix::fs::chown(dir.join("theirs"), Some(65_534), None).unwrap();
            let found = scan(std::slice::from_ref(&dir));
            assert_eq!(names(&found), ["mine"]);
            assert!(found.refused[0].1.contains("belongs to user 65534"), "{:?}", found.refused);
            std::os::unix::fs::chown(&dir, Some(65_534), None).unwrap();
            assert_eq!(names(&scan(&[dir])), [""; 0]);
        }
    }

    #[test]
    fn plugins_are_executable_files_of_plain_names_and_links_to_them() {
        let scratch = Scratch::new();
        let dir = scratch.path().join("plugins");
        let other = scratch.path().join("other");
        for dir in [&dir, &other] {
            fs::create_dir(dir).unwrap();
            chmod(dir, 0o755);
        }
        put(&other, "real", 0o700);
        for (name, mode) in
            [("b", 0o755), ("A_1-x", 0o500), ("old.py", 0o755), ("x.apk-new", 0o755), ("plain", 0o644)]
        {
            put(&dir, name, mode);
        }
        symlink(other.join("real"), dir.join("link")).unwrap();
        symlink(other.join("nothing"), dir.join("dangling")).unwrap();
        fs::create_dir(dir.join("folder")).unwrap();
        let found = scan(&[dir.clone(), other.clone()]);
        assert_eq!(names(&found), ["A_1-x", "b", "link", "real"]);
        let passed: Vec<String> = found
            .passed
            .iter()
            .map(|(file, why)| format!("{}: {why}", file.file_name().unwrap().to_str().unwrap()))
            .collect();
        let (name, mode) =
            ("a plugin's name has letters, digits, - and _ only", "it isn't executable (chmod 755)");
        assert_eq!(
            passed,
            [format!("old.py: {name}"), format!("plain: {mode}"), format!("x.apk-new: {name}")]
        );
        assert!(found.refused.is_empty() && found.closed.is_empty(), "{:?}", found.refused);
        // The same name once more.
        put(&other, "b", 0o755);
        let twice = scan(&[dir, other]);
        assert_eq!(twice.refused.len(), 1);
        assert!(&*twice.refused[0].0 == "b" && twice.refused[0].1.contains("already"));
    }

    #[test]
    fn what_others_may_write_is_refused_with_the_reason() {
        let scratch = Scratch::new();
        let dir = scratch.path().join("plugins");
        fs::create_dir(&dir).unwrap();
        chmod(&dir, 0o755);
        put(&dir, "g", 0o775);
        put(&dir, "o", 0o757);
        put(&dir, "ok", 0o755);
        let open = scratch.path().join("open");
        fs::create_dir(&open).unwrap();
        put(&open, "x", 0o755);
        chmod(&open, 0o1777);
        symlink(open.join("x"), dir.join("led")).unwrap();
        let found = scan(&[dir.clone(), open.clone(), scratch.path().join("none")]);
        assert_eq!(names(&found), ["ok"]);
        let refused = found.refused.iter().chain(&found.closed);
        let refused: Vec<String> = refused.map(|(name, why)| format!("{name}: {why}")).collect();
        assert_eq!(refused.len(), 5, "{refused:?}");
        for (line, of) in refused.iter().zip(["g: ", "led: ", "o: ", &*format!("{}: ", open.display())]) {
            assert!(line.starts_with(of) && line.contains("may write"), "{line}");
        }
        assert!(refused[4].contains("No such file"));
    }

    #[test]
    fn a_file_that_was_touched_is_another_one() {
        let scratch = Scratch::new();
        let dir = scratch.path().to_path_buf();
        chmod(&dir, 0o755);
        put(&dir, "a", 0o755);
        let dirs = [dir.clone()];
        let before = scan(&dirs).found.remove(0).stamp;
        assert_eq!(scan(&dirs).found.remove(0).stamp, before);
        std::thread::sleep(std::time::Duration::from_millis(20));
        put(&dir, "a", 0o755);
        assert_ne!(scan(&dirs).found.remove(0).stamp, before);
    }

    #[test]
    fn plugins_are_bounded() {
        let scratch = Scratch::new();
        chmod(scratch.path(), 0o755);
        (0..=MAX_PLUGINS).for_each(|n| put(scratch.path(), &format!("p{n:03}"), 0o755));
        let found = scan(&[scratch.path().to_path_buf()]);
        assert_eq!((found.found.len(), found.refused.len()), (MAX_PLUGINS, 1));
    }
}
