//! How a hook hears of changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::desk::Desk;
use super::manifest::Manifest;
use crate::store::{Channel, Error, Watch};

/// Hears of changes of what a hook subscribed.
pub(super) struct Ear {
    watch: Watch,
    poked: Arc<AtomicBool>,
}

/// What an ear heard.
pub(super) enum Heard {
    Nothing,
    Changes,
    /// So many changes that the ear is deaf from now on.
    Lost,
}

impl Ear {
    pub(super) fn new(desk: &Arc<Desk>, manifest: &Manifest) -> Result<Ear, Error> {
        let poked = Arc::new(AtomicBool::new(false));
        let (flag, weak) = (poked.clone(), Arc::downgrade(desk));
        // Nobody's changes are left out: anybody may act under any tega ID, and so under its name.
        let watch = desk.store.watch(None, move || {
            if !flag.swap(true, Ordering::SeqCst)
                && let Some(desk) = weak.upgrade()
            {
                desk.bell.ring();
            }
        });
        for path in &manifest.subscribe {
            watch.subscribe(Channel::Path(path.clone()), None)?;
        }
        Ok(Ear { watch, poked })
    }

    /// What came since it listened last. What changed is looked up when the hook is run, so that nothing is lost by a queue
    /// that was too short; but another ear is needed then.
    pub(super) fn listen(&self) -> Heard {
        if !self.poked.swap(false, Ordering::SeqCst) {
            return Heard::Nothing;
        }
        loop {
            match self.watch.try_next() {
                Ok(Some(_)) => {}
                Ok(None) => return Heard::Changes,
                Err(_) => return Heard::Lost,
            }
        }
    }
}
