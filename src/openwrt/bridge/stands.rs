//! How a trial stands, for everybody to see.

use super::said::{Report, State};
use super::trial::{Stage, Trial};

impl Trial {
    /// Whether a trial is under way, so that files aren't what they seem.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle(_) | Stage::Planning)
    }

    /// Whether services are to be watched now.
    pub fn watches(&self) -> bool {
        matches!(self.stage, Stage::Proving { .. })
    }

    /// Since when somebody may confirm, by the boot clock. `None`: there's nothing to confirm; `Some(None)`: a person can't.
    pub fn awaits_confirm(&self) -> Option<Option<u64>> {
        match &self.stage {
            Stage::Proving { proving, .. } => Some((!self.settings.by_global).then_some(proving.settled_at)),
            _ => None,
        }
    }

    /// Whether there's a trial that can be undone.
    pub fn is_revertible(&self) -> bool {
        matches!(self.stage, Stage::Reloading { .. } | Stage::Proving { .. })
    }

    /// How it stands.
    pub fn state(&self) -> State {
        match &self.stage {
            Stage::Idle(state) => *state,
            Stage::Planning => State::Behind,
            Stage::Installing => State::Applying,
            // Until the old files are back, the new ones may be in use.
            _ => State::Trial,
        }
    }

    /// When it wants to be told the time.
    pub fn wakes_at(&self) -> Option<u64> {
        match &self.stage {
            Stage::Idle(_) => self.not_now.as_ref().map(|(_, at)| *at),
            Stage::Planning | Stage::Installing | Stage::Undoing { .. } => None,
            Stage::Reloading { deadline } => Some(*deadline),
            Stage::Proving { deadline, proving } => {
                let mut at = *deadline;
                if self.settings.by_global && !proving.proved && proving.asked.is_none() {
                    at = at.min(proving.prove_at);
                }
                if self.settings.probes && !proving.probed && !proving.probing {
                    at = at.min(proving.probe_at);
                }
                Some(at)
            }
            Stage::Sealing { retry_at }
            | Stage::Restoring { retry_at, .. }
            | Stage::Closing { retry_at, .. } => *retry_at,
        }
    }

    /// How it stands.
    pub fn told(&self) -> Report {
        let confirmed = self.confirmed.as_ref().map(|(mark, _)| *mark);
        let wanted = self.wanted.as_ref().map(|wanted| wanted.mark);
        let current = self.current.as_ref().map(|(mark, _)| *mark);
        let (version, observed, reason, deadline) = match &self.stage {
            Stage::Idle(State::Reverted) => {
                let reason = self.reverted.as_ref().map_or(String::new(), |it| it.reason.clone());
                (wanted, confirmed, reason, None)
            }
            Stage::Idle(State::Failed) => {
                let reason = self.failed.as_ref().map_or(String::new(), |(_, why)| why.clone());
                (wanted, confirmed, reason, None)
            }
            Stage::Idle(State::Behind) => {
                let reason = self.not_now.as_ref().map_or(String::new(), |(why, _)| why.clone());
                (wanted, confirmed, reason, None)
            }
            Stage::Idle(State::Unmanaged) => {
                (wanted, None, "the tree has nothing for /etc/config".into(), None)
            }
            Stage::Idle(_) => (wanted, confirmed, String::new(), None),
            Stage::Planning => {
                // What is asked for again and again isn't told anew each time.
                let reason = self.not_now.as_ref().map_or(String::new(), |(why, _)| why.clone());
                (current, confirmed, reason, None)
            }
            Stage::Installing => (current, confirmed, String::new(), None),
            Stage::Reloading { deadline } => (current, current, "services reload".into(), Some(*deadline)),
            Stage::Proving { deadline, proving } => {
                let what = match (proving.proved, self.settings.by_global) {
                    (true, _) => "proved; its probes run",
                    (false, true) => "waits for the global server's answer over a new connection",
                    (false, false) => "waits for `tega uci confirm` over a new connection",
                };
                (current, current, what.into(), Some(*deadline))
            }
            Stage::Sealing { .. } => (current, current, "is being confirmed".into(), None),
            Stage::Restoring { reason, .. }
            | Stage::Undoing { reason, .. }
            | Stage::Closing { reason, .. } => {
                (current, confirmed, format!("is being reverted: {reason}"), None)
            }
        };
        Report { state: self.state(), version, confirmed, observed, reason, deadline }
    }
}
