//! The last notifications as they were encoded, for the other sessions that are told the same.

use std::sync::Arc;

use super::Dialect;
use crate::store::Event;
use crate::token::Access;

/// Notifications as they were last encoded. Many sessions that listen to the same channels and may read the same share
/// one frame.
#[derive(Default)]
pub(crate) struct Fanout {
    kept: Vec<Kept>,
    next: usize,
}

struct Kept {
    /// Held, so that its address can't be that of another event.
    event: Arc<Event>,
    channels: Arc<str>,
    dialect: Dialect,
    /// Of it only what may be read matters: whoever may read the same can share the frame.
    access: Access,
    /// `None`: these channels see nothing of the event.
    frame: Option<Arc<str>>,
}

impl Fanout {
    /// As many different subscriptions as a commit is likely to meet at once.
    const KEPT: usize = 8;

    /// The frame for these channels, where it was made before.
    pub(crate) fn get(
        &self,
        event: &Arc<Event>,
        channels: &str,
        dialect: Dialect,
        access: &Access,
    ) -> Option<Option<Arc<str>>> {
        let same = |k: &&Kept| {
            Arc::ptr_eq(&k.event, event)
                && k.dialect == dialect
                && *k.channels == *channels
                && k.access.readable() == access.readable()
        };
        self.kept.iter().find(same).map(|kept| kept.frame.clone())
    }

    /// Keeps a frame in place of the oldest.
    pub(crate) fn put(
        &mut self,
        event: Arc<Event>,
        channels: Arc<str>,
        dialect: Dialect,
        access: Access,
        frame: Option<Arc<str>>,
    ) {
        let kept = Kept { event, channels, dialect, access, frame };
        match self.kept.get_mut(self.next) {
            Some(place) => *place = kept,
            None => self.kept.push(kept),
        }
        self.next = (self.next + 1) % Fanout::KEPT;
    }

    pub(crate) fn clear(&mut self) {
        *self = Fanout::default();
    }
}
