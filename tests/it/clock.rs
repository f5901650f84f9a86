//! A router boots in 1970 and jumps by decades when it hears of the time: nothing but what people are shown may look at
//! the clock of the day. Time that something takes is `Instant`'s, which doesn't jump. Who else reads the clock is listed
//! here with the reason why a jump does no harm.

use std::fs;
use std::path::Path;

/// Files that read the clock of the day.
const READERS: &[(&str, &str)] = &[
    ("commit/mod.rs", "mixed into a number drawn where the system has no randomness"),
    ("http/reply.rs", "the header Date"),
    ("system/mod.rs", "for those below"),
    ("tui/net.rs", "the time of day beside what is shown"),
];

/// Files that ask `system::now_ms`.
const ASKERS: &[(&str, &str)] = &[
    ("cli/token.rs", "when a token was made, for people"),
    ("daemon/logger.rs", "the time before a line of the log"),
    ("hub/routes.rs", "since when a link is up or down, for people; how long ago that is comes from ticks"),
    ("openwrt/bridge/publish.rs", "when a version was tried or confirmed, for people"),
    ("store/batch.rs", "when a commit was made, kept for people"),
    ("store/install.rs", "the same of a snapshot"),
    ("store/mod.rs", "the same of a commit that is only tried"),
    ("store/upkeep.rs", "the same of a clear"),
    ("system/mod.rs", "where it is"),
    ("tui/net.rs", "where the screen's own is"),
    ("tui/run.rs", "the time of day beside what is shown"),
];

/// The files below `folder` with one of the words outside of comments and tests, as their paths below `src`.
fn with(words: &[&str], folder: &Path, found: &mut Vec<String>) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            with(words, &path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            if code.into_iter().any(|line| words.iter().any(|word| line.contains(word))) {
                found.push(name);
            }
        }
    }
}

#[test]
fn nothing_but_what_people_are_shown_looks_at_the_clock_of_the_day() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (words, listed) in [(&["SystemTime", "UNIX_EPOCH"][..], READERS), (&["now_ms()"][..], ASKERS)] {
        let mut found = Vec::new();
        with(words, &source, &mut found);
        found.sort();
        let listed: Vec<&str> = listed.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, listed, "who uses {words:?} is listed with the reason why a jump does no harm");
    }
}
