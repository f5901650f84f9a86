//! Requests of the other end: each is checked against its token, done here, and answered once.

use std::sync::Arc;
use std::time::Duration;

use super::mailbox::Mailbox;
use super::remote::too_long;
use super::work::Context;
use crate::api::error::Refusal;
use crate::commit::{Incarnation, TegaId};
use crate::hub::Caller;
use crate::message::body::{write_receipt, write_roots};
use crate::message::{MAX_MESSAGE, link};
use crate::path::{Key, Path};
use crate::store::{Error, Home, Op, Receipt, Store, Transaction};
use crate::token::Access;
use crate::tree::Version;

/// What a request of the other end needs.
pub(super) struct Serving<'a> {
    pub(super) context: &'a Context,
    pub(super) mailbox: &'a Arc<Mailbox>,
    pub(super) peer: &'a TegaId,
    pub(super) access: &'a Access,
}

impl Serving<'_> {
    /// Opens a request, and returns what answers it, from any thread. `None`: it was refused.
    fn open(&self, seq: u32) -> Option<impl FnOnce(Result<String, Refusal>) + Send + 'static> {
        let (mailbox, peer) = (self.mailbox.clone(), self.peer.clone());
        let answer = move |outcome: Result<String, Refusal>| {
            let body = outcome.unwrap_or_else(|refusal| link::body::refused(&refusal));
            let mut frame = link::done(seq, &body);
            if frame.len() > MAX_MESSAGE {
                frame = link::done(
                    seq,
                    &link::body::refused(&too_long("the answer is longer; it was done", &peer)),
                );
            }
            mailbox.answer(frame);
        };
        if self.mailbox.serve() {
            return Some(answer);
        }
        let message = "too many requests of this link are under way; nothing happened, try again";
        answer(Err(Refusal::new("too_many", message)));
        None
    }

    fn forbidden(&self, what: &str, path: &Path) -> Refusal {
        let root = path.prefix(1);
        let message = format!(
            "the link's token doesn't let {} {what} {path}; at the global server it needs --{what} {root}",
            self.peer
        );
        Refusal::new("forbidden", message).at(path)
    }

    /// Commits here what a client of the other end wants.
    pub(super) fn write(&self, seq: u32, by: Option<TegaId>, body: &str) {
        let Some(answer) = self.open(seq) else { return };
        let transaction = match self.transaction(by, body) {
            Ok(transaction) => transaction,
            Err(refusal) => return answer(Err(refusal)),
        };
        let store = self.context.store.clone();
        let weak = store.clone();
        store.submit(transaction, move |outcome| match outcome {
            Ok(receipt) => {
                if !receipt.durable {
                    // It goes over the link once it is, and the caller waits for it there.
                    weak.flush(|_| {});
                }
                answer(Ok(receipt_body(&weak, &receipt)));
            }
            Err(error) => answer(Err(error.into())),
        });
    }

    fn transaction(&self, by: Option<TegaId>, body: &str) -> Result<Transaction, Refusal> {
        let writes = link::body::read_write(body)?;
        for op in &writes.ops {
            let path = match op {
                Op::Put { ephemeral: true, path, .. } => {
                    let message =
                        "an ephemeral node is put where its session is, and crosses a link by itself";
                    return Err(Refusal::bad(message).at(path));
                }
                Op::Put { path, .. } | Op::Delete { path, .. } => path.clone(),
                Op::Rollback { root, .. } => Path::from_checked(vec![root.clone()]),
            };
            if !self.access.may_write(&path) {
                return Err(self.forbidden("write", &path));
            }
        }
        let (request_id, durable) = (writes.request_id, writes.durable);
        Ok(Transaction { by, session: None, ops: writes.ops, request_id, durable })
    }

    /// Says how far this server has a root, once that is durable and so on its way.
    pub(super) fn fresh(&self, seq: u32, root: Key) {
        let Some(answer) = self.open(seq) else { return };
        let path = Path::from_checked(vec![root.clone()]);
        if !self.access.may_read(&path) {
            return answer(Err(self.forbidden("read", &path)));
        }
        let store = &self.context.store;
        if let Ok(Home::Away(home)) = store.home(&root) {
            // A replica can't say what the home has acknowledged.
            return answer(Err(Error::NotHome { root, home }.into()));
        }
        let view = store.view();
        let stands = view.standing(&root).map(|s| (s.incarnation, s.version));
        let live = view.root(&root).filter(|root| !root.ephemeral_only);
        let position = live.map_or(view.position(), |root| root.position);
        let body = link::body::versions(&root, stands, position);
        if store.is_on_disk(&root) {
            return answer(Ok(body));
        }
        store.flush(move |outcome| answer(outcome.map(|()| body).map_err(Refusal::from)));
    }

    /// Proves that this server was reached: the nonce goes back, with the version that this home has of a root.
    pub(super) fn prove(&self, seq: u32, root: &Key, nonce: u64) {
        let Some(answer) = self.open(seq) else { return };
        let path = Path::from_checked(vec![root.clone()]);
        if !self.access.may_read(&path) {
            return answer(Err(self.forbidden("read", &path)));
        }
        let store = &self.context.store;
        if let Ok(Home::Away(home)) = store.home(root) {
            return answer(Err(Error::NotHome { root: root.clone(), home }.into()));
        }
        answer(match store.standing(root) {
            Some(it) => {
                let proof = link::body::proof(nonce, (it.incarnation, it.version));
                Ok(link::body::result(&proof))
            }
            None => Err(Refusal::not_found(&path)),
        });
    }

    /// Calls a function here, or beyond another link; never back over this one.
    pub(super) fn call(&self, seq: u32, by: Option<&TegaId>, path: &Path, body: &str) {
        let Some(answer) = self.open(seq) else { return };
        if !self.access.may_call(path) {
            return answer(Err(self.forbidden("call", path)));
        }
        match link::body::read_call(body) {
            Err(refusal) => answer(Err(refusal)),
            Ok((arguments, ms)) => {
                let time = Some(Duration::from_millis(ms));
                let from = Caller { origin: Some(self.peer), tega_id: by, time };
                self.context.hub.call_by(from, path, &arguments, move |outcome| {
                    answer(match outcome {
                        Ok(value) => Ok(link::body::result(&value)),
                        Err(error) => Err(error.into()),
                    });
                });
            }
        }
    }
}

/// The receipt, and how far the home has its roots: `{"versions":…,"position":N,"durable":…,"roots":{…}}`.
fn receipt_body(store: &Store, receipt: &Receipt) -> String {
    let mut body = String::new();
    write_receipt(receipt, &mut body);
    body.pop();
    body.push_str(",\"roots\":");
    let stands: Vec<(&Key, Incarnation, Version)> = receipt
        .versions
        .iter()
        .filter_map(|(root, version)| Some((root, store.standing(root)?.incarnation, *version)))
        .collect();
    write_roots(stands.into_iter(), &mut body);
    body.push('}');
    body
}
