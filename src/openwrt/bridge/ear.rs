//! How the engine hears of new versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use super::engine::Message;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::store::{Channel, Error, Store, Watch};

/// Hears when the config root changes. What changed is looked up.
pub(super) struct Ear {
    root: Key,
    pub(super) sender: Sender<Message>,
    /// A message is on its way: what comes meanwhile is seen with it.
    poked: Arc<AtomicBool>,
    watch: Watch,
}

impl Ear {
    pub(super) fn new(id: &TegaId, store: &Store, sender: Sender<Message>) -> Result<Ear, Error> {
        let (root, poked) = (Key::from(format!("config-{id}")), Arc::default());
        let watch = watch(store, &root, &sender, &poked)?;
        Ok(Ear { root, sender, poked, watch })
    }

    /// What was heard so far is going to be looked at.
    pub(super) fn listen(&mut self, store: &Store) {
        self.poked.store(false, Ordering::SeqCst);
        loop {
            match self.watch.try_next() {
                Ok(Some(_)) => {}
                Ok(None) => return,
                // More came than it holds: the next one begins with the present state.
                Err(_) => match watch(store, &self.root, &self.sender, &self.poked) {
                    Ok(next) => self.watch = next,
                    Err(error) => return log::error!("{} isn't watched any more: {error}", self.root),
                },
            }
        }
    }
}

fn watch(
    store: &Store,
    root: &Key,
    sender: &Sender<Message>,
    poked: &Arc<AtomicBool>,
) -> Result<Watch, Error> {
    let (sender, poked) = (sender.clone(), poked.clone());
    let watch = store.watch(None, move || {
        if !poked.swap(true, Ordering::SeqCst) {
            let _ = sender.send(Message::Poke);
        }
    });
    watch.subscribe(Channel::Path(Path::from_checked(vec![root.clone()])), None)?;
    Ok(watch)
}
