//! What the bridge to `/etc/config` may be asked to do.

use crate::api::error::Refusal;

/// What the bridge to `/etc/config` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UciVerb {
    /// Tell how it stands.
    Status,
    /// Tell what differs too.
    Diff,
    /// Take the router's files into the tree.
    Adopt,
    /// Confirm the trial.
    Confirm,
    /// Undo the trial.
    Revert,
    /// Try again what was reverted or refused.
    Retry,
}

impl UciVerb {
    const DOES: [(&str, UciVerb); 4] = [
        ("adopt", UciVerb::Adopt),
        ("confirm", UciVerb::Confirm),
        ("revert", UciVerb::Revert),
        ("retry", UciVerb::Retry),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::DOES.iter().find(|(_, verb)| *verb == self).map_or("", |(name, _)| name)
    }

    pub(super) fn parse(name: &str) -> Result<UciVerb, Refusal> {
        let known = Self::DOES.iter().find(|(known, _)| *known == name).map(|(_, verb)| *verb);
        known.ok_or_else(|| Refusal::bad(format!("do={name:?}: adopt, confirm, revert or retry wanted")))
    }
}
