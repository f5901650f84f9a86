//! Links of original local servers, which `session` makes: what they are asked to send, and calls that go to them.
//!
//! Such a server passes on the changes and messages of a channel only once it was sent a SUBSCRIBE, and it doesn't know
//! an UNSUBSCRIBE: so it's told of each channel once, and never that nobody listens any more.

use std::time::Duration;

use super::{Asked, Channel, Hub, RemoteDone, Scope};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::store::SessionId;
use crate::value::Value;

impl Hub {
    /// As [`Hub::call`], by the path alone: for a session that stands for a server, which knows whose it is.
    pub fn call_session(
        &self,
        session: SessionId,
        caller: &TegaId,
        path: &Path,
        arguments: &Value,
        time: Duration,
        done: RemoteDone<Value>,
    ) {
        let done = Box::new(move |outcome: Result<Value, _>| done(outcome.map_err(Refusal::from)));
        let begun = self.state().begin_call_at(session, path, time, done);
        match begun {
            Ok((seq, mouth)) => {
                let caller = Some(caller);
                self.hand(mouth, Asked { seq, caller, path, arguments, time });
            }
            Err((error, done)) => done(Err(error)),
        }
    }

    /// The channels that others than this session listen to with the scope `global`, or over links.
    pub fn channels_beyond(&self, session: SessionId) -> Vec<Channel> {
        let mut channels = self.links().listening();
        let listening = self.state().globals_of_others(session);
        channels.extend(listening.into_iter().filter_map(|(by, channel)| self.beyond(by, channel)));
        channels
    }

    /// The channel, if it's worth telling original servers. What a session that may be one itself says of a config root is
    /// what it follows, not what it wants of the others; else each would be told of all.
    fn beyond(&self, may_be_server: bool, channel: Channel) -> Option<Channel> {
        let Channel::Path(path) = &channel else { return None };
        let is_followed = |root: &Key| {
            let exists = self.shared.store.view().root(root).is_some();
            exists || self.links().legacy().iter().any(|remote| remote.follows(root))
        };
        let follows = may_be_server && path.len() == 1 && path.root().is_some_and(is_followed);
        (!follows).then_some(channel)
    }

    /// Tells the original servers that somebody listens to a channel: a session, or for `None` a link.
    pub(super) fn tell_legacy(&self, by: Option<SessionId>, channel: &Channel) {
        let legacy = self.links().legacy();
        if legacy.is_empty() {
            return;
        }
        let may_be_server = by.is_some_and(|session| self.state().may_be_server(session));
        let Some(channel) = self.beyond(may_be_server, channel.clone()) else { return };
        for remote in legacy.iter().filter(|remote| by.is_none_or(|session| !remote.owns(session))) {
            remote.listen(&channel, true);
        }
    }

    pub(super) fn subscribed(&self, session: SessionId, channel: &Channel, scope: Scope) {
        if scope == Scope::Global {
            self.tell_legacy(Some(session), channel);
        }
    }
}
