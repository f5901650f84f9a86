//! How one plugin stands in the schedule: what waits, what runs, and when it's its hook's or its list's turn again.

use std::collections::VecDeque;

use super::schedule::{Effect, Reason, Terms, Why};

/// Least and longest time until a hook that failed is run again, in milliseconds.
pub(super) const RETRY: u64 = 1_000;
pub(super) const MAX_RETRY: u64 = 60_000;

/// How many runs of a hook may follow each other without a rest.
pub(super) const ROW: u32 = 3;

/// How long it rests then, in milliseconds; as long without a change ends a row.
pub(super) const REST: u64 = 1_000;

/// Least and longest time until a list that failed is run again, in milliseconds.
pub(super) const RELIST: u64 = 10_000;
pub(super) const MAX_RELIST: u64 = 600_000;

/// How often and how long.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) notifies: u64,
    /// Of both.
    pub(super) failures: u64,
    /// Calls that were refused as busy.
    pub(super) refused: u64,
    /// Milliseconds of both.
    pub(super) last: u64,
    pub(super) longest: u64,
    pub(super) sum: u64,
    /// What went wrong last, and when.
    pub(super) error: Option<(String, u64)>,
}

impl Counts {
    /// Milliseconds that a run took in the mean.
    pub(super) fn mean(&self) -> u64 {
        self.sum / self.calls.saturating_add(self.notifies).max(1)
    }
}

/// A plugin as the schedule sees it.
#[derive(Debug)]
pub(super) struct Plugin {
    /// `None`: it isn't loaded.
    pub(super) terms: Option<Terms>,
    /// Why it isn't.
    pub(super) refused: Option<String>,
    pub(super) list: List,
    pub(super) waiting: VecDeque<(u32, u64)>,
    pub(super) running: usize,
    pub(super) hook: Hook,
    /// How long to wait after the next failure.
    pub(super) retry: u64,
    /// The same for its list.
    pub(super) relist: u64,
    /// Runs of the hook that followed each other and didn't fail, and when the last of them ended.
    pub(super) row: (u32, u64),
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    No,
    Wanted,
    /// As this run; the flag: the file is another one already.
    Running(u32, bool),
    /// It's run again then.
    Failed(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// It has what is there.
    Idle,
    Due(Reason),
    /// As this run; and what came meanwhile.
    Running(u32, Option<Reason>),
    Failed {
        again: u64,
        at: u64,
    },
    /// It was run too often on end, and is due then.
    Resting(Reason, u64),
}

impl Plugin {
    pub(super) fn new() -> Plugin {
        Plugin {
            terms: None,
            refused: None,
            list: List::No,
            waiting: VecDeque::new(),
            running: 0,
            hook: Hook::Idle,
            retry: RETRY,
            relist: RELIST,
            row: (0, 0),
            counts: Counts::default(),
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.terms.is_some()
    }

    pub(super) fn is_listing(&self) -> bool {
        matches!(self.list, List::Wanted | List::Running(..))
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// It's no plugin any more; its callers are told.
    pub(super) fn unload(&mut self, effects: &mut Vec<Effect>) {
        self.terms = None;
        if !matches!(self.hook, Hook::Running(..)) {
            self.hook = Hook::Idle;
        }
        effects.extend(self.waiting.drain(..).map(|(call, _)| Effect::Refuse(call, Why::Gone)));
    }

    pub(super) fn want(&mut self, reason: Reason, now: u64) {
        self.hook = match self.hook {
            Hook::Idle => self.due(reason, now),
            Hook::Resting(..) if reason == Reason::Start => Hook::Due(reason),
            resting @ Hook::Resting(..) => resting,
            Hook::Due(before) => Hook::Due(if reason == Reason::Start { reason } else { before }),
            Hook::Running(run, before) => {
                let kept = before.filter(|_| reason != Reason::Start);
                Hook::Running(run, kept.or(Some(reason)))
            }
            Hook::Failed { at, again } => {
                Hook::Failed { at, again: again.min(now.max(at.saturating_add(RETRY))) }
            }
        };
    }

    /// Due now, or after a rest.
    pub(super) fn due(&mut self, reason: Reason, now: u64) -> Hook {
        let (row, rested) = (self.row.0, self.row.1.saturating_add(REST));
        if reason == Reason::Start || rested <= now {
            self.row.0 = 0;
        } else if row >= ROW {
            return Hook::Resting(reason, rested);
        }
        Hook::Due(reason)
    }
}
