//! A program of this server's own that serves calls without a socket: a plugin.
//!
//! It has a session as everybody else, which owns its ephemeral nodes and counts its calls; but nothing is sent to it.
//! A call is handed over as it is. While a resident is there, all calls to its tega ID are its own: a client
//! that opens a session under the same one is not asked.

use std::sync::Arc;
use std::time::Duration;

use super::state::Entry;
use super::{Dialect, Hub, Joining, Outbox, RpcError, Scope};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::Path;
use crate::store::SessionId;
use crate::token::Access;
use crate::value::Value;

/// Serves calls within this process.
pub trait Resident: Send + Sync {
    /// Takes a call to the session that it's of, at once: it's answered by [`Hub::settle`] with that session and the
    /// call's number, or refused here.
    fn call(&self, session: SessionId, call: Asked<'_>) -> Result<(), Refusal>;
}

/// A call that a resident is asked to answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its number, for [`Hub::settle`].
    pub seq: u32,
    /// Who calls, where that is known.
    pub caller: Option<&'a TegaId>,
    /// What is called.
    pub path: &'a Path,
    /// `{"args":[…],"kwargs":{…}}`
    pub arguments: &'a Value,
    /// How long the caller waits.
    pub time: Duration,
}

impl Hub {
    /// A resident comes; it goes by [`Hub::leave`].
    pub fn join_resident(&self, tega_id: TegaId, resident: Arc<dyn Resident>) -> Result<SessionId, Refusal> {
        let who = Joining {
            tega_id,
            scope: Scope::Local,
            dialect: Dialect::Second,
            from: "plugin".into(),
            access: Access::all(),
        };
        // It listens to no channel, so that nothing is ever put into this.
        let outbox = Arc::new(Outbox::new(0));
        self.enter(Entry::new(who, outbox).resident(resident))
    }

    /// The answer of a resident to a call. One that is over by now is passed over.
    pub fn settle(&self, session: SessionId, seq: u32, outcome: Result<Value, Refusal>) {
        let call = self.state().end_call(session, seq);
        if let Some(call) = call {
            call.settled(outcome.map_err(|refusal| RpcError::Remote(Box::new(refusal))));
        }
    }
}
