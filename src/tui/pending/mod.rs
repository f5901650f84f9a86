//! Changes that were made here and aren't committed.
//!
//! Nothing that is typed reaches the server by itself: it's put on a list, each change with what it was made on (the value, and
//! the node's version), and the list is committed as one transaction in which every change expects that version. So
//! nobody's work is overwritten unseen. Where somebody was faster, base, theirs and mine stand side by side, and nothing
//! is committed until each of those is decided.
//!
//! - [`Pending`] is the list. It knows no server and no screen.
//! - `begin` asks whether a node may be changed before anything is typed; `enter` takes what is typed, in a line
//!   ([`typing`]) or in the editor.
//! - `commit` commits, and asks what is there now where something changed meanwhile.
//! - [`part`] and [`diff`] reach into values; `draw` is the screen.
//!
//! **Invariant**, which `Pending::check` looks at in tests: no change lies below another. What is changed below a
//! subtree that was changed becomes a part of that change; a subtree that is changed takes the changes below it in.
//! So the order of the list means nothing to what comes out, and a change's base is what the server had.

mod begin;
mod commit;
mod diff;
mod draw;
mod enter;
mod part;
mod typing;

use std::sync::Arc;

use super::list::List;
use crate::openwrt::secret::{HIDDEN, is_secret};
use crate::path::Path;
use crate::store::{Expect, Op};
use crate::tui::ask::Why;
use crate::value::Value;
use crate::words;

use begin::Doing;
use diff::Diff;
pub(super) use typing::Typing;

/// Changes that may wait.
const MAX_CHANGES: usize = 1_000;

/// The bytes of all that they put: a message to the server has at most so many.
const MAX_BYTES: usize = 1 << 20;

/// The longest value that is edited or shown, in bytes.
const MAX_VALUE: usize = 256 << 10;

/// States of the list that can be gone back to, and the bytes of all of them.
const MAX_STEPS: usize = 100;
const MAX_STEP_BYTES: usize = 4 << 20;

/// What was at a place.
#[derive(Clone, Debug, PartialEq)]
enum Was {
    Nothing,
    Value(Value),
    /// More than is read only to be shown.
    Large,
}

impl Was {
    fn of(value: Option<Value>) -> Was {
        value.map_or(Was::Nothing, Was::Value)
    }

    fn value(&self) -> Option<&Value> {
        match self {
            Was::Value(value) => Some(value),
            Was::Nothing | Was::Large => None,
        }
    }

    /// Whether this is what was to be made of it.
    fn is(&self, mine: Option<&Value>) -> bool {
        match self {
            Was::Nothing => mine.is_none(),
            Was::Value(value) => mine == Some(value),
            Was::Large => false,
        }
    }
}

/// What others made of the node meanwhile.
#[derive(Clone, Debug, PartialEq)]
struct Theirs {
    was: Was,
    /// -1: it's gone.
    version: i64,
}

/// One change.
#[derive(Clone, Debug)]
struct Change {
    path: Path,
    /// What it was made on.
    base: Was,
    /// The version of that; -1: there was nothing.
    version: i64,
    /// What is to be there; `None`: nothing.
    mine: Option<Value>,
    /// What is there now, where that isn't what it was made on: a conflict, to be decided.
    theirs: Option<Theirs>,
    /// It's to be asked what is there now.
    look: bool,
    /// From the base to mine.
    diff: Diff,
    bytes: usize,
}

impl Change {
    fn new(path: Path, base: Was, version: i64, mine: Option<Value>) -> Change {
        let bytes = mine.as_ref().map_or(0, |value| value.to_string().len()) + path.to_string().len() + 64;
        let diff = Diff::of(&path, &base, mine.as_ref());
        Change { path, base, version, mine, theirs: None, look: false, diff, bytes }
    }

    /// The same change with another outcome.
    fn with(&self, mine: Option<Value>) -> Change {
        let new = Change::new(self.path.clone(), self.base.clone(), self.version, mine);
        Change { theirs: self.theirs.clone(), look: self.look, ..new }
    }

    /// Mine, made on what is there now.
    fn over_theirs(&self) -> Option<Change> {
        let Theirs { was, version } = self.theirs.clone()?;
        Some(Change::new(self.path.clone(), was, version, self.mine.clone()))
    }

    fn is_nothing(&self) -> bool {
        self.theirs.is_none() && self.base.is(self.mine.as_ref())
    }

    /// `+`, `-`, `~`, as it adds, deletes or changes; `!` in a conflict.
    fn sign(&self) -> char {
        match (&self.theirs, &self.base, &self.mine) {
            (Some(_), ..) => '!',
            (_, Was::Nothing, _) => '+',
            (_, _, None) => '-',
            _ => '~',
        }
    }

    fn op(&self) -> Op {
        let (path, expect) = (self.path.clone(), Some(Expect::version(self.version)));
        match self.mine.clone() {
            Some(value) => Op::Put { path, value, expect, ephemeral: false },
            None => Op::Delete { path, expect },
        }
    }
}

/// What was staged.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: Vec<Arc<Change>>,
    /// How the list was before each step, the newest last.
    steps: Vec<Vec<Arc<Change>>>,
    list: List,
    /// What is being changed and isn't staged yet.
    doing: Option<Doing>,
    /// A text of the editor that isn't right and was left, and whose it is.
    left: Option<(Path, String)>,
    /// A commit is under way: the list stays as it is.
    committing: bool,
    /// Questions for what is there now that are under way, and when the next ones may be asked.
    looks: usize,
    look_at: u64,
}

impl Pending {
    /// Whether nothing was staged.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Changes that were staged.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// What will become of a node, in a few words; `None`: nothing was staged for it.
    pub(super) fn staged(&self, path: &Path) -> Option<String> {
        if let Some(change) = self.changes.iter().find(|change| change.path == *path) {
            let mine = match &change.mine {
                None => "deleted".into(),
                Some(value) => short(path, value),
            };
            let more = if change.theirs.is_some() { " (changed meanwhile)" } else { "" };
            return Some(format!("-> {mine}{more}"));
        }
        // What is to come has no line of its own yet.
        let is_new = |change: &&Arc<Change>| {
            change.base == Was::Nothing && change.path.len() == path.len() + 1 && path.contains(&change.path)
        };
        let mut new = self.changes.iter().filter(is_new).filter_map(|change| change.path.name());
        let first = new.next()?;
        let more = new.count();
        Some(if more > 0 { format!("+ {first} and {more} more") } else { format!("+ {first}") })
    }

    /// The change that was begun isn't waited for any more.
    pub(super) fn forget_doing(&mut self) {
        self.doing = None;
    }

    /// A staged change below what is to be changed that was made on something else than what is there now: the whole would
    /// carry the newer version, and nobody would see what others did. It's looked at.
    fn changed_below(&mut self, doing: &Doing) -> Option<Path> {
        let base = if doing.why == Why::Add { return None } else { doing.base.value() };
        let depth = doing.path.len();
        for change in self.changes.iter_mut().filter(|c| c.path.len() > depth && doing.path.contains(&c.path))
        {
            let keys = change.path.keys().get(depth..).unwrap_or_default();
            if Was::of(base.and_then(|base| part::at(base, keys)).cloned()) != change.base {
                let change = Arc::make_mut(change);
                change.look = true;
                return Some(change.path.clone());
            }
        }
        None
    }

    fn position(&self, path: &Path) -> Option<usize> {
        self.changes.iter().position(|change| change.path == *path)
    }

    /// The change that says what a node will be: its own, or one of a subtree that it's in.
    fn covering(&self, path: &Path) -> Option<&Arc<Change>> {
        self.changes.iter().find(|change| change.path.contains(path))
    }

    /// What a node will be, where it's now this at the server.
    fn effective(&self, path: &Path, now: Option<Value>) -> Result<Option<Value>, String> {
        if let Some(change) = self.covering(path) {
            let keys = path.keys().get(change.path.len()..).unwrap_or_default();
            return Ok(change.mine.as_ref().and_then(|mine| part::at(mine, keys)).cloned());
        }
        let below = self.changes.iter().filter(|change| path.contains(&change.path));
        below.into_iter().try_fold(now, |value, change| {
            let keys = change.path.keys().get(path.len()..).unwrap_or_default();
            part::with(value.as_ref(), keys, change.mine.clone())
        })
    }

    /// A change that stands in the way of another one of this node, and why.
    fn in_the_way(&self, path: &Path) -> Result<(), String> {
        let related = |change: &&Arc<Change>| change.path.contains(path) || path.contains(&change.path);
        if let Some(change) = self.changes.iter().filter(related).find(|change| change.theirs.is_some()) {
            return Err(format!("{} is in conflict: decide that first (6)", change.path));
        }
        match self.covering(path) {
            Some(change) if change.mine.is_none() => {
                Err(format!("{} will be deleted: take that back first", change.path))
            }
            _ => Ok(()),
        }
    }

    /// Puts changes on the list, as one step. What leads back to what was there takes a change from the list. False: all is
    /// as it was.
    fn stage(&mut self, new: Vec<Change>) -> Result<bool, String> {
        if self.committing {
            return Err("a commit is under way".into());
        }
        let mut changes = self.changes.clone();
        for change in new {
            merge(&mut changes, change)?;
        }
        let bytes: usize = changes.iter().map(|change| change.bytes).sum();
        if changes.len() > MAX_CHANGES || bytes > MAX_BYTES {
            return Err(format!(
                "{MAX_CHANGES} changes and {} KiB can wait: commit some first",
                MAX_BYTES >> 10
            ));
        }
        let same = |(a, b): (&Arc<Change>, &Arc<Change>)| {
            a.path == b.path && a.version == b.version && a.mine == b.mine
        };
        if changes.len() == self.changes.len() && changes.iter().zip(&self.changes).all(same) {
            return Ok(false);
        }
        self.step(changes);
        Ok(true)
    }

    /// The list becomes another, and can be taken back.
    fn step(&mut self, changes: Vec<Arc<Change>>) {
        self.steps.push(std::mem::replace(&mut self.changes, changes));
        let weight = |step: &Vec<Arc<Change>>| step.iter().map(|change| change.bytes).sum::<usize>();
        let mut bytes: usize = self.steps.iter().map(weight).sum();
        while self.steps.len() > MAX_STEPS || (bytes > MAX_STEP_BYTES && self.steps.len() > 1) {
            bytes -= weight(&self.steps.remove(0));
        }
    }

    /// Takes a change from the list.
    fn drop_at(&mut self, at: usize) -> Option<Arc<Change>> {
        let dropped = self.changes.get(at)?.clone();
        let mut changes = self.changes.clone();
        changes.remove(at);
        self.step(changes);
        Some(dropped)
    }

    /// Goes back to the list before the newest step. False: there's none.
    fn undo(&mut self) -> bool {
        let Some(mut changes) = self.steps.pop() else { return false };
        // What others did since then isn't known of that state.
        changes.iter_mut().for_each(|change| Arc::make_mut(change).look = true);
        self.changes = changes;
        self.look_at = 0;
        true
    }

    fn clear(&mut self) {
        self.changes.clear();
        self.steps.clear();
        self.list = List::default();
    }

    fn conflicts(&self) -> usize {
        self.changes.iter().filter(|change| change.theirs.is_some()).count()
    }

    /// `2 changes: 1 added, 1 deleted`, or, where there's little room, `2 changes: +1 -1`.
    fn summary(&self, is_narrow: bool) -> String {
        let of = |sign: char| self.changes.iter().filter(|change| change.sign() == sign).count();
        let parts: Vec<String> = [('!', "in conflict"), ('+', "added"), ('~', "changed"), ('-', "deleted")]
            .into_iter()
            .filter(|(sign, _)| of(*sign) > 0)
            .map(
                |(sign, what)| {
                    if is_narrow { format!("{sign}{}", of(sign)) } else { format!("{} {what}", of(sign)) }
                },
            )
            .collect();
        format!("{}: {}", counted(self.changes.len()), parts.join(if is_narrow { " " } else { ", " }))
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        for (at, change) in self.changes.iter().enumerate() {
            for other in &self.changes[at + 1..] {
                assert!(!change.path.contains(&other.path) && !other.path.contains(&change.path));
            }
            assert!(!change.is_nothing());
        }
    }
}

/// One more change joins those that are there.
fn merge(changes: &mut Vec<Arc<Change>>, new: Change) -> Result<(), String> {
    let covering = changes.iter().position(|change| change.path.contains(&new.path));
    let Some(at) = covering else {
        changes.retain(|change| !new.path.contains(&change.path));
        if !new.is_nothing() {
            changes.push(Arc::new(new));
        }
        return Ok(());
    };
    let Some(old) = changes.get_mut(at) else { return Ok(()) };
    let merged = if old.path == new.path {
        // What it was first made on stays its base, unless this decides a conflict.
        let decides = old.theirs.as_ref().is_some_and(|theirs| theirs.version == new.version);
        if decides { new } else { old.with(new.mine) }
    } else {
        let gone = || format!("{} will be deleted: take that back first", old.path);
        let keys = new.path.keys().get(old.path.len()..).unwrap_or_default();
        let value = old.mine.as_ref().ok_or_else(gone)?;
        old.with(part::with(Some(value), keys, new.mine)?)
    };
    if merged.is_nothing() {
        changes.remove(at);
    } else {
        *old = Arc::new(merged);
    }
    Ok(())
}

fn counted(count: usize) -> String {
    if count == 1 { "1 change".into() } else { format!("{count} changes") }
}

/// As much of a value as a line has room for; of a key or password, nothing. Who typed it saw it then.
fn short(path: &Path, value: &Value) -> String {
    const MOST: usize = 200;
    match value {
        _ if is_secret(path.keys()) => HIDDEN.into(),
        Value::Object(object) => format!("{{{}}}", object.members().len()),
        Value::Text(text) if text.len() > MOST => words::short(&Value::from(part::start(text, MOST))) + "…",
        value => {
            let text = words::short(value);
            let start = part::start(&text, MOST);
            if start.len() < text.len() { format!("{start}…") } else { text }
        }
    }
}

#[cfg(test)]
mod tests;
