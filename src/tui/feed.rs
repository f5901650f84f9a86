//! Between the session and the screen: what changed since the last frame, the newest change of each path only.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::model::Shown;
use crate::message::entry::Entry;
use crate::openwrt::secret::{HIDDEN, is_secret};
use crate::path::Path;
use crate::store::Ope;
use crate::value::Value;
use crate::words;

/// Paths that wait for a frame. Where more change, what is open is read again instead.
pub(super) const MAX_CHANGES: usize = 4_096;

/// Lines for the journal that wait for a frame; older ones are left out, and counted.
pub(super) const MAX_NOTES: usize = 500;

/// The longest text of a line of the journal, in bytes.
const MAX_NOTE: usize = 200;

/// A change as the tree wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Put, or gone, or a whole root rolled back.
    pub ope: Ope,
    /// Where.
    pub path: Path,
    /// What is there now; `None`: nothing, or too much to be sent.
    pub shown: Option<Shown>,
    /// The root's version and the position of the commit; `None`: ephemeral.
    pub origin: Option<(u64, u64)>,
    /// Whose ephemeral node it is.
    pub owner: Option<Box<str>>,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Milliseconds of the wall clock.
    pub time_ms: i64,
    /// `put`, `del`, `rollback` or `message`.
    pub what: &'static str,
    /// A path or a channel.
    pub place: String,
    /// Who.
    pub who: String,
    /// The value, cut.
    pub text: String,
}

/// How the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It's up, and everything from here on is told.
    Up,
    /// It's not, for this reason.
    Cut(String),
}

/// What came since the last frame.
#[derive(Debug, Default)]
pub struct Batch {
    /// The newest change of each path, in order.
    pub changes: Vec<Change>,
    /// Something was left out: what is open must be read again.
    pub missed: bool,
    /// Lines for the journal.
    pub notes: VecDeque<Note>,
    /// Lines that were left out.
    pub dropped: usize,
    /// How many changes there were.
    pub count: usize,
    /// Whether the session came up or broke.
    pub link: Option<Link>,
}

impl Batch {
    /// Whether there's nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.notes.is_empty() && self.link.is_none() && !self.missed
    }
}

#[derive(Default)]
struct Inner {
    /// The newest change of each path and its number.
    changes: HashMap<Path, (u64, Change)>,
    number: u64,
    batch: Batch,
}

/// Both ends of it: a handle, cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Feed(Arc<Mutex<Inner>>);

impl Feed {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes came.
    pub(super) fn changed(&self, entries: Vec<Entry>, time_ms: i64) {
        let mut inner = self.inner();
        for entry in entries {
            inner.batch.count += 1;
            inner.note(note_of(&entry, time_ms));
            inner.change(change_of(entry));
        }
    }

    /// Changes came that can't be read, or were left out by the server.
    pub(super) fn missed(&self) {
        self.inner().batch.missed = true;
    }

    /// A message came.
    pub(super) fn message(&self, channel: &str, who: &str, body: &Value, time_ms: i64) {
        let said = body.get("message").unwrap_or(body);
        let (place, who, text) = (channel.to_string(), who.to_string(), cut(words::short(said)));
        self.inner().note(Note { time_ms, what: "message", place, who, text });
    }

    /// The session came up or broke.
    pub(super) fn link(&self, link: Link) {
        self.inner().batch.link = Some(link);
    }

    /// Takes what there is.
    pub(super) fn take(&self) -> Batch {
        let mut inner = self.inner();
        let mut numbered: Vec<(u64, Change)> = std::mem::take(&mut inner.changes).into_values().collect();
        let mut batch = std::mem::take(&mut inner.batch);
        drop(inner);
        numbered.sort_unstable_by_key(|(number, _)| *number);
        batch.changes = numbered.into_iter().map(|(_, change)| change).collect();
        batch
    }
}

impl Inner {
    fn change(&mut self, change: Change) {
        self.number += 1;
        if self.changes.len() >= MAX_CHANGES && !self.changes.contains_key(&change.path) {
            self.batch.missed = true;
            return;
        }
        // The same path again, later: what came in between below or above it is overridden by it, or stays as it is.
        self.changes.insert(change.path.clone(), (self.number, change));
    }

    fn note(&mut self, note: Note) {
        if self.batch.notes.len() >= MAX_NOTES {
            self.batch.notes.pop_front();
            self.batch.dropped += 1;
        }
        self.batch.notes.push_back(note);
    }
}

fn change_of(entry: Entry) -> Change {
    let Entry { ope, path, tega_id, instance, origin, .. } = entry;
    let shown = match ope {
        Ope::Put => instance.as_ref().map(Shown::of),
        Ope::Delete | Ope::Rollback => None,
    };
    let owner = origin.is_none().then(|| tega_id.into_boxed_str());
    Change { ope, path, shown, origin: origin.map(|origin| (origin.version.0, origin.position.0)), owner }
}

fn note_of(entry: &Entry, time_ms: i64) -> Note {
    let what = match entry.ope {
        Ope::Put => "put",
        Ope::Delete => "del",
        Ope::Rollback => "rollback",
    };
    let text = match (entry.ope, &entry.instance) {
        (Ope::Rollback, _) => format!("to {}", entry.back_to.unwrap_or(0)),
        (Ope::Delete, _) => String::new(),
        (Ope::Put, Some(Value::Object(object))) => format!("{{{}}}", object.members().len()),
        (Ope::Put, Some(_)) if is_secret(entry.path.keys()) => HIDDEN.into(),
        (Ope::Put, Some(value)) => cut(words::short(value)),
        (Ope::Put, None) => "too long to be told".into(),
    };
    Note { time_ms, what, place: entry.path.to_string(), who: entry.tega_id.clone(), text }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_NOTE {
        let at = (0..=MAX_NOTE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &str, value: i64) -> Entry {
        Entry {
            ope: Ope::Put,
            path: path.parse().unwrap(),
            tega_id: "x".into(),
            instance: Some(value.into()),
            back_to: None,
            origin: None,
        }
    }

    #[test]
    fn the_newest_change_of_each_path_counts_in_the_order_of_the_newest() {
        let feed = Feed::default();
        feed.changed(vec![put("a.b", 1), put("a.c", 2), put("a.b", 3)], 0);
        let batch = feed.take();
        let paths: Vec<_> =
            batch.changes.iter().map(|c| (c.path.to_string(), c.shown.as_ref().unwrap().text())).collect();
        assert_eq!(paths, [("a.c".into(), "2"), ("a.b".into(), "3")]);
        assert_eq!((batch.count, batch.notes.len()), (3, 3));
        assert!(feed.take().is_empty());
    }

    #[test]
    fn what_waits_for_a_frame_is_bounded_and_says_what_it_left_out() {
        let feed = Feed::default();
        for n in 0..2 * MAX_CHANGES {
            feed.changed(vec![put(&format!("a.k{n}"), 1)], 0);
        }
        let batch = feed.take();
        assert_eq!((batch.changes.len(), batch.missed, batch.count), (MAX_CHANGES, true, 2 * MAX_CHANGES));
        assert_eq!((batch.notes.len(), batch.dropped), (MAX_NOTES, 2 * MAX_CHANGES - MAX_NOTES));
        feed.message("c", "x", &Value::from("é".repeat(1000)), 0);
        assert!(feed.take().notes[0].text.len() <= MAX_NOTE + 3);
    }
}
