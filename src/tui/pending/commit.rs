//! The list becomes a transaction; and what is there now, where others were faster.

use std::sync::Arc;

use super::super::app::{App, Screen, Session};
use super::super::ask::{Failed, Job, Purpose, Why};
use super::super::draw;
use super::super::feed;
use super::super::keys::Action;
use super::super::list::List;
use super::super::prompt::{For, Question};
use super::begin::{Doing, Seen, has_code, look, whole};
use super::{Change, Theirs, Was, counted};
use crate::message::body;
use crate::path::Path;
use crate::value::Value;

/// Questions for what is there now that are under way at once.
const MAX_LOOKS: usize = 8;

/// Milliseconds between two rounds of them, and after one that failed.
const LOOK_EVERY: u64 = 300;
const LOOK_AFTER_FAILURE: u64 = 2_000;

impl App {
    /// Shows what was staged, and asks whether it's to be committed.
    pub(in crate::tui) fn pending_look(&mut self) {
        if self.pending.is_empty() {
            return self.say("nothing was changed here");
        }
        if self.pending.committing {
            return self.say("a commit is under way");
        }
        self.show(Screen::Pending);
        if self.is_undecided() {
            return;
        }
        let mut roots: Vec<&str> = self
            .pending
            .changes
            .iter()
            .filter_map(|change| change.path.root())
            .map(|key| key.as_str())
            .collect();
        roots.sort_unstable();
        roots.dedup();
        let many = roots.len().saturating_sub(3);
        roots.truncate(3);
        let more = if many > 0 { format!(" and {many} more") } else { String::new() };
        let label = format!("Commit {} of {}{more}? y/n ", counted(self.pending.len()), roots.join(", "));
        self.prompt(For::Question(Question::Commit), label, "");
    }

    /// Nothing is committed while a conflict isn't decided; the cursor goes there.
    fn is_undecided(&mut self) -> bool {
        let count = self.pending.conflicts();
        let first = self.pending.changes.iter().position(|change| change.theirs.is_some());
        let Some(first) = first else { return false };
        self.pending.list = List::at(first);
        let verb = if count == 1 { "is" } else { "are" };
        self.complain(format!(
            "{} {verb} in conflict: t keeps theirs, m mine, e edits theirs",
            counted(count)
        ));
        true
    }

    /// Commits: the user said yes.
    pub(in crate::tui) fn pending_commit(&mut self) {
        // Something may have changed while the question stood there.
        if self.pending.is_empty() || self.pending.committing || self.is_undecided() {
            return;
        }
        let ops = self.pending.changes.iter().map(|change| change.op()).collect();
        self.pending.committing = true;
        self.say("committing");
        self.ask(Purpose::Commit, Job::Commit(ops));
    }

    fn committed(&mut self, outcome: Result<Value, Failed>) {
        self.pending.committing = false;
        match outcome {
            Ok(receipt) => {
                for change in std::mem::take(&mut self.pending.changes) {
                    self.tree.model.touched(&change.path);
                }
                self.pending.clear();
                self.detail_stale();
                if self.screen == Screen::Pending {
                    self.show(Screen::Tree);
                }
                self.say(told(&receipt));
            }
            Err(Failed::Unknown(why)) => {
                self.pending_stale();
                self.complain(format!(
                    "it may or may not have been committed ({why}): all stays staged and is compared with what is there"
                ));
            }
            Err(failed) => {
                self.complain(format!("nothing was committed: {failed}"));
                if has_code(&failed, "conflict") {
                    self.show(Screen::Pending);
                    self.pending_stale();
                }
            }
        }
    }

    /// Throws all away: the user said yes.
    pub(in crate::tui) fn pending_discard(&mut self) {
        if self.pending.committing {
            return self.complain("a commit is under way");
        }
        let count = self.pending.len();
        self.pending.clear();
        self.say(format!("{} thrown away", counted(count)));
    }

    /// Takes the newest change back.
    pub(in crate::tui) fn pending_undo(&mut self) {
        if self.pending.committing {
            self.complain("a commit is under way");
        } else if self.pending.undo() {
            self.say(format!("taken back; {} left", counted(self.pending.len())));
        } else {
            self.say("nothing to take back");
        }
    }

    pub(in crate::tui) fn pending_act(&mut self, action: Action) {
        let height = usize::from(draw::areas(self).body.height);
        if self.pending.list.act(action, self.pending.len(), height) {
            return;
        }
        match action {
            Action::Close => self.show(Screen::Tree),
            Action::Commit => self.pending_look(),
            Action::Discard if !self.pending.is_empty() => {
                let label = format!("Throw {} away? y/n ", counted(self.pending.len()));
                self.prompt(For::Question(Question::Discard), label, "");
            }
            Action::Undo | Action::Theirs | Action::Mine | Action::Edit => self.decide(action),
            _ => {}
        }
    }

    /// What the user does with the change under the cursor.
    fn decide(&mut self, action: Action) {
        let at = self.pending.list.cursor();
        let Some(change) = self.pending.changes.get(at).cloned() else {
            return self.say("nothing was changed here");
        };
        if self.pending.committing {
            return self.complain("a commit is under way");
        }
        match (action, &change.theirs) {
            (Action::Undo, _) | (Action::Theirs, Some(_)) => {
                self.pending.drop_at(at);
                let last = self.pending.len().saturating_sub(1);
                self.pending.list = List::at(at.min(last));
                self.say(format!("{} is left as it is", change.path));
            }
            (Action::Mine, Some(_)) => self.keep_mine(&change),
            (Action::Edit, _) => self.edit_staged(&change),
            _ => self.say(format!("{} isn't in conflict", change.path)),
        }
    }

    fn keep_mine(&mut self, change: &Change) {
        let Some(mine) = change.over_theirs() else { return };
        match self.pending.stage(vec![mine]) {
            Ok(_) => self.say(format!("yours will be written over theirs at {}", change.path)),
            Err(why) => self.complain(why),
        }
    }

    /// Changes it again; in a conflict beginning with theirs.
    fn edit_staged(&mut self, change: &Change) {
        let mut doing = Doing::new(Why::Edit, change.path.clone());
        let theirs = change.theirs.as_ref();
        (doing.base, doing.version) = match theirs {
            Some(theirs) => (theirs.was.clone(), theirs.version),
            None => (change.base.clone(), change.version),
        };
        if theirs.is_some_and(|theirs| theirs.was == Was::Large) {
            return self.complain(format!("{} is too much to be edited: t or m", change.path));
        }
        let begin = theirs.and_then(|theirs| theirs.was.value()).or(change.mine.as_ref());
        doing.value = begin.cloned();
        if doing.value.is_none() {
            return self.say(format!("{} will be deleted; d takes that back", change.path));
        }
        self.edit(doing);
    }

    pub(in crate::tui) fn pending_reply(&mut self, purpose: Purpose, outcome: Result<Value, Failed>) {
        match purpose {
            Purpose::MayEdit(path, Why::Target) => self.target_looked(&path, outcome),
            Purpose::MayEdit(path, _) => self.looked(&path, outcome),
            Purpose::Value(path) => self.read_whole(&path, outcome),
            Purpose::Commit => self.committed(outcome),
            Purpose::Now(path) => self.now(&path, outcome),
            Purpose::NowValue(path, version) => self.now_value(&path, version, outcome),
            _ => {}
        }
    }

    /// Something changed at a path: what is there is compared with what it was.
    pub(in crate::tui) fn pending_changed(&mut self, change: &feed::Change) {
        // What is ephemeral has no part in the versions that a commit expects.
        if change.origin.is_none() {
            return;
        }
        for staged in &mut self.pending.changes {
            if !staged.look && (staged.path.contains(&change.path) || change.path.contains(&staged.path)) {
                Arc::make_mut(staged).look = true;
            }
        }
    }

    /// Anything may have changed.
    pub(in crate::tui) fn pending_stale(&mut self) {
        self.pending.changes.iter_mut().for_each(|change| Arc::make_mut(change).look = true);
        self.pending.look_at = 0;
    }

    pub(in crate::tui) fn pending_tick(&mut self) {
        let is_quiet = self.pending.committing || self.session != Session::Up;
        if is_quiet || self.now < self.pending.look_at {
            return;
        }
        let mut paths = Vec::new();
        for change in self.pending.changes.iter_mut().filter(|change| change.look) {
            if self.pending.looks + paths.len() >= MAX_LOOKS {
                break;
            }
            Arc::make_mut(change).look = false;
            paths.push(change.path.clone());
        }
        if !paths.is_empty() {
            self.pending.look_at = self.now + LOOK_EVERY;
            self.pending.looks += paths.len();
        }
        for path in paths {
            self.ask(Purpose::Now(path.clone()), look(path));
        }
    }

    /// What is there now, without what is below it.
    fn now(&mut self, path: &Path, outcome: Result<Value, Failed>) {
        self.pending.looks = self.pending.looks.saturating_sub(1);
        if self.pending.looks == 0 && outcome.is_ok() {
            // The others needn't wait.
            self.pending.look_at = 0;
        }
        let Some(at) = self.pending.position(path) else { return };
        let Some(change) = self.pending.changes.get_mut(at).map(Arc::make_mut) else { return };
        let (was, version, root_version) = match outcome {
            Ok(page) => match Seen::read(&page) {
                Some(seen) => (seen.value.map_or(Was::Large, Was::Value), seen.version, seen.root_version),
                // What is ephemeral there the commit will be refused for, with a reason.
                None => return,
            },
            Err(failed) if has_code(&failed, "not_found") => (Was::Nothing, -1, None),
            Err(_) => {
                change.look = true;
                self.pending.look_at = self.now + LOOK_AFTER_FAILURE;
                return;
            }
        };
        if version == change.version {
            change.theirs = None;
            return;
        }
        let is_unread = was == Was::Large;
        let is_new = change.theirs.is_none();
        change.theirs = Some(Theirs { was, version });
        if is_unread {
            let purpose = Purpose::NowValue(path.clone(), version);
            return self.ask(purpose, whole(path.clone(), root_version));
        }
        self.met(at, is_new);
    }

    /// The value that was there at this version.
    fn now_value(&mut self, path: &Path, version: i64, outcome: Result<Value, Failed>) {
        let Some(at) = self.pending.position(path) else { return };
        let Some(change) = self.pending.changes.get_mut(at).map(Arc::make_mut) else { return };
        // Another version has been seen since: its value is on its way.
        let Some(theirs) = change.theirs.as_mut().filter(|theirs| theirs.version == version) else { return };
        match outcome {
            Ok(value) => theirs.was = Was::Value(value),
            Err(failed) if has_code(&failed, "too_large") => {}
            Err(_) => {
                change.look = true;
                self.pending.look_at = self.now + LOOK_AFTER_FAILURE;
            }
        }
        self.met(at, true);
    }

    /// Others changed a node that is staged: a conflict, unless they made the same of it.
    fn met(&mut self, at: usize, is_new: bool) {
        let Some(change) = self.pending.changes.get(at).cloned() else { return };
        let Some(theirs) = &change.theirs else { return };
        if theirs.was.is(change.mine.as_ref()) {
            self.pending.changes.remove(at);
            let cursor = self.pending.list.cursor();
            if at < cursor {
                // It stays on its change.
                self.pending.list.moved_to(cursor - 1);
            }
            self.pending.list.keep(self.pending.len());
            self.say(format!("{} is at the server as you want it", change.path));
        } else if is_new && self.screen != Screen::Pending {
            self.complain(format!("{} was changed by others meanwhile: 6 shows both", change.path));
        }
    }
}

/// `committed as version 5 of lan, 3 of wan`
fn told(receipt: &Value) -> String {
    let Some(receipt) = body::read_receipt(receipt) else { return "committed".into() };
    let versions: Vec<String> =
        receipt.versions.iter().map(|(root, version)| format!("{version} of {root}")).collect();
    let kept = if receipt.applied { "" } else { "; this server doesn't show it yet" };
    format!("committed as version {}{kept}", versions.join(", "))
}
