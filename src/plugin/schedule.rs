//! When a plugin is run: queues, limits, merged notifications and tries after a failure. A machine without processes,
//! disk or clock: what happened comes in, what is to be done goes out.
//!
//! - A **call** waits in the queue of its plugin until there's room, at most until its caller's time is over.
//! - A **hook** is run once at a time. What changes while it runs makes one more run; one that failed is run again after 1 s,
//!   doubling to 60 s, and after a change at once, but never within a second of the failure. After three runs on end it
//!   rests for a second before each more, until nothing has changed for a second: it may be itself that changes what it
//!   subscribed.
//! - A **list** is run when a file is new or was changed. Until it has ended, a plugin that was loaded before stays as it was.
//!   One that failed is run again after 10 s, doubling to 10 min: the reason may have been a passing one.
//!
//! **Whose turn it is.** At most [`Limits::all`] run at a time, [`Limits::one`] of them of one plugin. The plugins take
//! turns, and within one its list comes first, then its hook, then its calls in their order: so nobody starves.
//!
//! **Time** is in milliseconds of the boot clock; only what comes in tells it, and [`Schedule::wakes_at`] says when it
//! wants to be told.
//!
//! Invariants, which `Schedule::check` tests: `running` of the plugins adds up to `runs`; no queue is longer than its limit;
//! a plugin that isn't loaded has no waiting calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::standing::{Hook, List, MAX_RELIST, MAX_RETRY, Plugin, RELIST, RETRY};

/// What a plugin is called.
pub(super) type Name = Arc<str>;

/// How long a list may run, in milliseconds: somebody may wait for the reload.
pub(super) const LIST_TIME: u64 = 10_000;

/// How much runs and waits at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Runs of all plugins.
    pub(super) all: usize,
    /// Runs of one plugin.
    pub(super) one: usize,
    /// Waiting calls of one plugin.
    pub(super) waiting: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { all: 16, one: 4, waiting: 64 }
    }
}

/// Why a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Start,
    Change,
    Retry,
}

impl Reason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Reason::Start => "start",
            Reason::Change => "change",
            Reason::Retry => "retry",
        }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    List,
    /// The call of this number.
    Call(u32),
    Notify(Reason),
}

/// What the schedule knows of a plugin that listed itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long a run may take, in milliseconds.
    pub(super) time: u64,
    /// It's notified of changes.
    pub(super) hook: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// A plugin's file is new, or another than before.
    Found(Name),
    /// Its file isn't there any more.
    Gone(Name),
    /// Somebody calls it.
    Call { name: Name, call: u32, deadline: u64 },
    /// Something changed that it subscribed.
    Changed(Name),
    /// A list has ended.
    Listed(u32, Result<Terms, String>),
    /// Any other run has ended; an error: it failed.
    Ended { run: u32, outcome: Result<(), String>, took: u64 },
    /// Time has passed.
    Tick,
    /// Nothing is to be run any more.
    Stop,
}

/// Why a call isn't run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Too many wait.
    Busy,
    /// The plugin isn't there, or not any more.
    Gone,
    /// Its caller's time is over.
    Late,
    /// The server stops.
    Stopping,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Run it, for so many milliseconds at most.
    Start { run: u32, name: Name, what: What, time: u64 },
    /// Tell the caller.
    Refuse(u32, Why),
}

/// The machine.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    limits: Limits,
    pub(super) plugins: BTreeMap<Name, Plugin>,
    runs: BTreeMap<u32, (Name, What)>,
    last_run: u32,
    /// Who was started last.
    turn: Option<Name>,
    stopped: bool,
}

impl Schedule {
    #[cfg(test)]
    pub(super) fn new(limits: Limits) -> Schedule {
        Schedule { limits, ..Schedule::default() }
    }

    /// Takes what happened at this time, and appends what is to be done.
    pub(super) fn take(&mut self, input: Input, now: u64, effects: &mut Vec<Effect>) {
        match input {
            Input::Found(name) => {
                let plugin = self.plugins.entry(name).or_insert_with(Plugin::new);
                plugin.relist = RELIST;
                plugin.list = match plugin.list {
                    List::Running(run, _) => List::Running(run, true),
                    _ => List::Wanted,
                };
            }
            Input::Gone(name) => {
                if let Some(plugin) = self.plugins.get_mut(&name) {
                    plugin.unload(effects);
                    // A list that runs is passed over when it ends.
                    (plugin.refused, plugin.list) = (None, List::No);
                    self.forget(&name);
                }
            }
            Input::Call { name, call, deadline } => self.call(&name, call, deadline, effects),
            Input::Changed(name) => {
                if let Some(plugin) = self.plugins.get_mut(&name).filter(|p| p.terms.is_some_and(|t| t.hook))
                {
                    plugin.want(Reason::Change, now);
                }
            }
            Input::Listed(run, outcome) => self.listed(run, outcome, now, effects),
            Input::Ended { run, outcome, took } => self.ended(run, outcome, took, now),
            Input::Tick => {}
            Input::Stop => {
                self.stopped = true;
                for plugin in self.plugins.values_mut() {
                    plugin.hook = Hook::Idle;
                    if matches!(plugin.list, List::Failed(_)) {
                        plugin.list = List::No;
                    }
                    let calls = plugin.waiting.drain(..);
                    effects.extend(calls.map(|(call, _)| Effect::Refuse(call, Why::Stopping)));
                }
            }
        }
        self.look(now, effects);
    }

    fn call(&mut self, name: &Name, call: u32, deadline: u64, effects: &mut Vec<Effect>) {
        let plugin = self.plugins.get_mut(name).filter(|plugin| plugin.is_loaded());
        let why = match plugin {
            _ if self.stopped => Why::Stopping,
            None => Why::Gone,
            Some(plugin) if plugin.waiting.len() >= self.limits.waiting => {
                plugin.counts.refused += 1;
                Why::Busy
            }
            Some(plugin) => return plugin.waiting.push_back((call, deadline)),
        };
        effects.push(Effect::Refuse(call, why));
    }

    fn listed(&mut self, run: u32, outcome: Result<Terms, String>, now: u64, effects: &mut Vec<Effect>) {
        let Some((name, _)) = self.runs.remove(&run) else { return };
        let Some(plugin) = self.plugins.get_mut(&name) else { return };
        plugin.running = plugin.running.saturating_sub(1);
        match plugin.list {
            List::Running(of, false) if of == run => plugin.list = List::No,
            // What it said is of a file that isn't there any more.
            List::Running(of, true) if of == run => {
                plugin.list = List::Wanted;
                return;
            }
            _ => return self.forget(&name),
        }
        match outcome {
            Ok(terms) => {
                (plugin.refused, plugin.retry, plugin.relist) = (None, RETRY, RELIST);
                plugin.terms = Some(terms);
                if terms.hook {
                    // Another program: what its forerunner failed at is nothing to wait for.
                    if matches!(plugin.hook, Hook::Failed { .. }) {
                        plugin.hook = Hook::Idle;
                    }
                    plugin.want(Reason::Start, now);
                } else if !matches!(plugin.hook, Hook::Running(..)) {
                    plugin.hook = Hook::Idle;
                }
            }
            Err(why) => {
                plugin.unload(effects);
                plugin.refused = Some(why);
                plugin.list = List::Failed(now.saturating_add(plugin.relist));
                plugin.relist = plugin.relist.saturating_mul(2).min(MAX_RELIST);
            }
        }
    }

    fn ended(&mut self, run: u32, outcome: Result<(), String>, took: u64, now: u64) {
        let Some((name, what)) = self.runs.remove(&run) else { return };
        let Some(plugin) = self.plugins.get_mut(&name) else { return };
        plugin.running = plugin.running.saturating_sub(1);
        let counts = &mut plugin.counts;
        match what {
            What::Notify(_) => counts.notifies += 1,
            _ => counts.calls += 1,
        }
        counts.last = took;
        counts.longest = counts.longest.max(took);
        counts.sum = counts.sum.saturating_add(took);
        let failed = outcome.is_err();
        if let Err(why) = outcome {
            counts.failures += 1;
            counts.error = Some((why, now));
        }
        if let Hook::Running(of, again) = plugin.hook
            && of == run
        {
            plugin.row = if failed { (0, now) } else { (plugin.row.0.saturating_add(1), now) };
            plugin.hook = match again {
                _ if !plugin.terms.is_some_and(|terms| terms.hook) || self.stopped => Hook::Idle,
                // The program is another one now.
                Some(Reason::Start) => plugin.due(Reason::Start, now),
                again if failed => {
                    let wait = if again.is_some() { RETRY } else { plugin.retry };
                    Hook::Failed { at: now, again: now.saturating_add(wait) }
                }
                Some(reason) => plugin.due(reason, now),
                None => Hook::Idle,
            };
            plugin.retry = if failed { plugin.retry.saturating_mul(2).min(MAX_RETRY) } else { RETRY };
        }
        self.forget(&name);
    }

    /// Nothing is left of a plugin that is gone once its last run has ended.
    fn forget(&mut self, name: &Name) {
        let left = |plugin: &Plugin| {
            plugin.is_loaded() || plugin.refused.is_some() || plugin.running > 0 || plugin.list != List::No
        };
        if self.plugins.get(name).is_some_and(|plugin| !left(plugin)) {
            self.plugins.remove(name);
        }
    }

    /// Drops what is too late, and starts what there's room for.
    fn look(&mut self, now: u64, effects: &mut Vec<Effect>) {
        for plugin in self.plugins.values_mut() {
            let late = |(call, deadline): &(u32, u64)| (*deadline <= now).then_some(*call);
            effects
                .extend(plugin.waiting.iter().filter_map(late).map(|call| Effect::Refuse(call, Why::Late)));
            plugin.waiting.retain(|(_, deadline)| *deadline > now);
            match plugin.hook {
                Hook::Failed { again, .. } if again <= now => plugin.hook = Hook::Due(Reason::Retry),
                Hook::Resting(reason, until) if until <= now => plugin.hook = Hook::Due(reason),
                _ => {}
            }
            if matches!(plugin.list, List::Failed(again) if again <= now) {
                plugin.list = List::Wanted;
            }
        }
        while self.runs.len() < self.limits.all && !self.stopped {
            let Some(name) = self.next() else { break };
            self.start(name, now, effects);
        }
    }

    /// Who is next to be run, beginning after who was last.
    fn next(&self) -> Option<Name> {
        let ready = |(_, plugin): &(&Name, &Plugin)| {
            let due = plugin.list == List::Wanted
                || matches!(plugin.hook, Hook::Due(_))
                || !plugin.waiting.is_empty();
            due && plugin.running < self.limits.one
        };
        let after = |(name, _): &(&Name, &Plugin)| self.turn.as_ref().is_none_or(|turn| *name > turn);
        let mut all = self.plugins.iter().filter(ready);
        let first = self.plugins.iter().filter(ready).find(after);
        first.or_else(|| all.next()).map(|(name, _)| name.clone())
    }

    fn start(&mut self, name: Name, now: u64, effects: &mut Vec<Effect>) {
        let Some(plugin) = self.plugins.get_mut(&name) else { return };
        // Of those that run one after the other none has the number of one that still does.
        self.last_run = self.last_run.wrapping_add(1);
        let run = self.last_run;
        let limit = plugin.terms.map_or(LIST_TIME, |terms| terms.time);
        let (what, time) = if plugin.list == List::Wanted {
            plugin.list = List::Running(run, false);
            (What::List, LIST_TIME)
        } else if let Hook::Due(reason) = plugin.hook {
            plugin.hook = Hook::Running(run, None);
            (What::Notify(reason), limit)
        } else if let Some((call, deadline)) = plugin.waiting.pop_front() {
            (What::Call(call), limit.min(deadline.saturating_sub(now)))
        } else {
            return;
        };
        plugin.running += 1;
        self.turn = Some(name.clone());
        self.runs.insert(run, (name.clone(), what));
        effects.push(Effect::Start { run, name, what, time });
    }

    /// Whether a list that runs is of the file that is there now.
    pub(super) fn is_current(&self, run: u32) -> bool {
        let plugin = self.runs.get(&run).and_then(|(name, _)| self.plugins.get(name));
        plugin.is_some_and(|plugin| plugin.list == List::Running(run, false))
    }

    /// Whether a plugin's list is run, or going to be.
    pub(super) fn is_listing(&self) -> bool {
        self.plugins.values().any(Plugin::is_listing)
    }

    /// When it wants to be told the time.
    pub(super) fn wakes_at(&self) -> Option<u64> {
        let of = |plugin: &Plugin| {
            let calls = plugin.waiting.iter().map(|(_, deadline)| *deadline).min();
            let hook = match plugin.hook {
                Hook::Failed { again, .. } => Some(again),
                Hook::Resting(_, until) => Some(until),
                Hook::Idle | Hook::Due(_) | Hook::Running(..) => None,
            };
            let list = if let List::Failed(again) = plugin.list { Some(again) } else { None };
            [calls, hook, list].into_iter().flatten().min()
        };
        self.plugins.values().filter_map(of).min()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.plugins.values().map(Plugin::running).sum::<usize>(), self.runs.len());
        assert!(self.runs.len() <= self.limits.all);
        for plugin in self.plugins.values() {
            assert!(plugin.waiting.len() <= self.limits.waiting && plugin.running <= self.limits.one);
            assert!(plugin.is_loaded() || plugin.waiting.is_empty());
        }
    }
}
