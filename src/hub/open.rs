//! Calls that wait for their answer.

use std::sync::Arc;
use std::time::Duration;

use super::{Outbox, Resident, RpcError, unwrapped};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::Path;
use crate::store::SessionId;
use crate::value::Value;

pub(super) type Done = Box<dyn FnOnce(Result<Value, RpcError>) + Send>;

/// Where a call goes.
pub(super) enum Mouth {
    Outbox(Arc<Outbox>),
    Resident(SessionId, Arc<dyn Resident>),
}

/// A call that waits for its answer.
pub(super) struct Call {
    pub(super) owner: SessionId,
    pub(super) owner_id: TegaId,
    pub(super) path: Path,
    pub(super) deadline: Duration,
    pub(super) done: Done,
}

impl Call {
    pub(super) fn gone(self) {
        (self.done)(Err(RpcError::Gone { path: self.path, owner: self.owner_id.to_string() }));
    }

    pub(super) fn overdue(self) {
        (self.done)(Err(RpcError::Timeout { path: self.path, owner: self.owner_id.to_string() }));
    }

    /// As the resident says, in whatever form.
    pub(super) fn settled(self, outcome: Result<Value, RpcError>) {
        (self.done)(outcome);
    }

    /// Only an error of our own form is one: what a driver returns may well have a member `error`.
    pub(super) fn answered(self, body: Value) {
        let refusal = match body.as_object() {
            Some(object) if object.members().len() == 1 => Refusal::from_json(&body),
            _ => None,
        };
        (self.done)(match refusal {
            Some(refusal) => Err(RpcError::Failed { path: self.path, message: refusal.message }),
            None => Ok(unwrapped(body)),
        });
    }
}
