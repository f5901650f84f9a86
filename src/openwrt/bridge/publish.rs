//! How it stands, in the tree: `operational-ID.uci`, where the global server and everybody else sees it.

use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::Hub;
use crate::openwrt::UCI;
use crate::path::{Key, Path};
use crate::store::{Home, Store, Transaction};
use crate::system::{boot_ms, now_ms};
use crate::value::Value;

use std::sync::{Arc, Mutex, PoisonError};

/// How long after a refusal it's tried again, in milliseconds.
const RETRY: u64 = 10_000;

/// Puts what is told into the tree, each time that it's something new.
pub(super) struct Publisher {
    store: Store,
    hub: Hub,
    by: TegaId,
    path: Path,
    /// What was told last, without the time.
    last: Option<Value>,
    retry_at: Option<u64>,
    /// The last one was refused.
    refused: Arc<Mutex<bool>>,
    said: bool,
}

impl Publisher {
    pub(super) fn new(id: &TegaId, store: Store, hub: Hub) -> Publisher {
        let path = Path::from_checked(vec![Key::from(format!("operational-{id}")), Key::from(UCI)]);
        let (last, retry_at, refused) = (None, None, Arc::default());
        Publisher { store, hub, by: id.clone(), path, last, retry_at, refused, said: false }
    }

    /// Nothing can be done, and this is why.
    pub(super) fn blocked(&mut self, reason: &str) {
        let members =
            vec![(Key::from("state"), Value::from("failed")), (Key::from("reason"), Value::from(reason))];
        self.publish(Value::object(members).unwrap_or(Value::Null));
    }

    /// Tells this, unless it's what was told last.
    pub(super) fn publish(&mut self, told: Value) {
        if self.last.as_ref() == Some(&told) {
            return;
        }
        self.last = Some(told);
        self.send();
    }

    fn send(&mut self) {
        let Some(told) = &self.last else { return };
        // Only a root of this server's is its to write: without one the state is told to who asks here.
        match self.path.root().map(|root| self.store.home(root)) {
            Some(Ok(Home::Here)) => {}
            _ => {
                if !std::mem::replace(&mut self.said, true) {
                    let root = self.path.root().map_or("", |root| root.as_str());
                    log::info!(
                        "{root} isn't declared with --operational: the state of /etc/config is told here only"
                    );
                }
                return;
            }
        }
        let mut members = told.as_object().map(|object| object.members().to_vec()).unwrap_or_default();
        members.push((Key::from("at"), Value::from(now_ms())));
        let value = Value::object(members).unwrap_or(Value::Null);
        let transaction = Transaction::new(Some(self.by.clone())).put(self.path.clone(), value);
        let refused = self.refused.clone();
        self.hub.submit(transaction, move |outcome: Result<_, Refusal>| {
            if let Err(refusal) = outcome {
                log::warn!("the state of /etc/config isn't told: {}", refusal.message);
                *refused.lock().unwrap_or_else(PoisonError::into_inner) = true;
            }
        });
        self.retry_at = Some(boot_ms().saturating_add(RETRY));
    }

    /// When it wants to be told the time.
    pub(super) fn wakes_at(&self) -> Option<u64> {
        self.retry_at
    }

    /// Tells again what was refused.
    pub(super) fn tick(&mut self, now: u64) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            let refused = std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner));
            if refused {
                self.send();
            }
        }
    }
}
