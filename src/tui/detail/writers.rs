//! Who wrote which version of a root, and when, as far as its history is kept.

use crate::path::Key;
use crate::value::Value;

/// Versions that are held: the newest ones.
const MAX_HELD: usize = 10_000;

/// Milliseconds between two questions for the history of one root: it may be a long answer.
const EVERY: u64 = 2_000;

/// The kept versions of one root.
#[derive(Debug, Default)]
pub(super) struct Writers {
    root: Key,
    /// By version.
    held: Vec<(u64, Writer)>,
    /// Everything up to this one is known, and what isn't held isn't kept.
    newest: Option<u64>,
    /// Why nothing is known.
    failed: Option<String>,
    asked: bool,
    asked_at: u64,
}

/// Who and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// Somebody, at this time in milliseconds.
    Known(String, i64),
    /// The version is kept without its commit.
    Unknown,
    /// It's older than what is kept.
    Before,
    /// It's asked for.
    Awaited,
    /// It couldn't be asked for.
    Failed(String),
}

impl Writers {
    /// Anything may have changed.
    pub(super) fn forget(&mut self) {
        // An answer that is on its way may be of before.
        (self.newest, self.failed) = (None, None);
    }

    /// Whether the history of a root is to be asked for, to know who wrote this version of it. It's to be asked for then.
    pub(super) fn wants(&mut self, root: &Key, version: u64, now: u64) -> bool {
        let is_same = self.root == *root;
        let is_known = self.failed.is_some() || self.newest.is_some_and(|newest| version <= newest);
        let is_early = now < self.asked_at + EVERY;
        if self.asked || (is_same && (is_known || is_early)) {
            return false;
        }
        (self.asked, self.asked_at) = (true, now);
        true
    }

    pub(super) fn answer(&mut self, root: &Key, outcome: Result<Value, String>, now: u64) {
        *self = Writers { root: root.clone(), asked_at: now, ..Writers::default() };
        match outcome {
            Err(why) => self.failed = Some(why),
            Ok(history) => {
                let all = history.as_list().map_or(&[][..], |list| list.items());
                // States that were replaced have versions of another line.
                let kept = all.iter().filter(|entry| entry.get("replaced").is_none()).filter_map(read);
                self.held = kept.collect();
                let older = self.held.len().saturating_sub(MAX_HELD);
                self.held.drain(..older);
                self.newest = Some(self.held.last().map_or(u64::MAX, |(version, _)| *version));
            }
        }
    }

    /// Who wrote this version of a root.
    pub(super) fn of(&self, root: &Key, version: u64) -> Writer {
        if self.root != *root {
            return Writer::Awaited;
        }
        if let Some(why) = &self.failed {
            return Writer::Failed(why.clone());
        }
        match self.held.binary_search_by_key(&version, |(version, _)| *version) {
            Ok(at) => self.held.get(at).map_or(Writer::Before, |(_, writer)| writer.clone()),
            Err(_) if self.newest.is_some_and(|newest| version <= newest) => Writer::Before,
            Err(_) => Writer::Awaited,
        }
    }
}

fn read(entry: &Value) -> Option<(u64, Writer)> {
    let version = entry.get("version").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok())?;
    let who = entry.get("tega_id").and_then(Value::as_str);
    let writer = match (who, entry.get("time").and_then(Value::as_int)) {
        (Some(who), Some(ms)) => Writer::Known(who.into(), ms),
        _ => Writer::Unknown,
    };
    Some((version, writer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_asked_for_once_and_again_when_a_newer_version_turns_up() {
        let mut writers = Writers::default();
        let lan = Key::from("lan");
        assert!(writers.wants(&lan, 4, 0));
        assert!(!writers.wants(&lan, 4, 9_000), "one question at a time");
        let history = r#"[{"version":9,"replaced":"00-9"},{"version":3,"tega_id":null,"time":null},
            {"version":4,"tega_id":"bob","time":5}]"#;
        writers.answer(&lan, Ok(Value::parse(history).unwrap()), 100);
        let of = |writers: &Writers, version| writers.of(&lan, version);
        assert_eq!(of(&writers, 4), Writer::Known("bob".into(), 5));
        assert_eq!(of(&writers, 3), Writer::Unknown);
        assert_eq!(of(&writers, 2), Writer::Before);
        assert_eq!(of(&writers, 5), Writer::Awaited);
        assert_eq!(writers.of(&"wan".into(), 4), Writer::Awaited);
        assert!(!writers.wants(&lan, 2, 9_000));
        assert!(!writers.wants(&lan, 5, 200), "not at once again");
        assert!(writers.wants(&lan, 5, 2_200));
        writers.answer(&lan, Err("no".into()), 2_300);
        assert_eq!(of(&writers, 4), Writer::Failed("no".into()));
        assert!(!writers.wants(&lan, 5, 9_000), "a refusal stays one");
        writers.forget();
        assert!(writers.wants(&lan, 5, 9_000));
    }
}
