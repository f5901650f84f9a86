//! What a session listens to, and what it says without being asked.

use std::sync::Arc;

use super::legacy::Legacy;
use crate::api::allow;
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::{Dialect, Hub, Outbox, Scope};
use crate::message::{ChannelName, FromClient, body};
use crate::path::Path;
use crate::store::{Channel, SessionId, Since, Store, Subscribed, Watch};
use crate::token::Access;

/// What there is once SESSION came.
pub(super) struct Live {
    pub(super) tega_id: TegaId,
    pub(super) dialect: Dialect,
    pub(super) session: SessionId,
    /// Made by the first subscription: a session without one costs nothing in the store.
    pub(super) watch: Option<Watch>,
    /// The peer's address, for people.
    pub(super) peer: String,
    /// Set once an original local server turned out to be there.
    pub(super) legacy: Option<Legacy>,
    /// All subscriptions as one text: sessions with the same one can share a frame.
    pub(super) channels: Arc<str>,
}

impl Live {
    /// SUBSCRIBE, UNSUBSCRIBE and PUBLISH: the frames that aren't answered.
    pub(super) fn listen(
        &mut self,
        hub: &Hub,
        store: &Store,
        access: &Access,
        outbox: &Arc<Outbox>,
        frame: FromClient<'_>,
    ) -> Result<(), Refusal> {
        match frame {
            FromClient::Subscribe { channel, scope } => {
                self.subscribe(hub, store, access, outbox, channel, scope, None).map(|_| ())
            }
            FromClient::Unsubscribe { channel: None } => {
                hub.unsubscribe_all(self.session);
                if let Some(watch) = &self.watch {
                    watch.unsubscribe_all();
                }
                self.channels = "".into();
                Ok(())
            }
            FromClient::Unsubscribe { channel: Some(name) } => {
                let text = text_of(name)?;
                hub.unsubscribe(self.session, &text, name.regex);
                if let Some(watch) = &self.watch {
                    watch.unsubscribe(&text, name.regex);
                }
                self.note(&text, name.regex, false);
                Ok(())
            }
            FromClient::Publish { channel, body } => {
                let path = ChannelName { word: channel, regex: false }.path();
                let path = path.map_err(|e| Refusal::bad(e.to_string()))?;
                allow::publish(access, &path)?;
                let body = body::json(body)?;
                hub.publish(&self.tega_id, Some(self.session), &path.to_string(), &body);
                Ok(())
            }
            FromClient::Notify { entries } => match &mut self.legacy {
                Some(legacy) => legacy.notify(store, entries),
                None => Err(Refusal::bad("NOTIFY is for an original local server, after SYNC or REFER")),
            },
            FromClient::Message { channel, tega_id, body } => {
                if self.legacy.is_none() {
                    return Err(Refusal::bad("MESSAGE is for an original local server, after SYNC or REFER"));
                }
                let path = ChannelName { word: channel, regex: false }.path();
                let path = path.map_err(|e| Refusal::bad(e.to_string()))?;
                allow::publish(access, &path)?;
                let from = TegaId::new(tega_id).unwrap_or_else(|_| self.tega_id.clone());
                hub.publish(&from, Some(self.session), &path.to_string(), &body::json(body)?);
                Ok(())
            }
            // `take` has dealt with the others.
            FromClient::Session { .. } | FromClient::Request { .. } | FromClient::Response { .. } => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "four are the session's, three the frame's")]
    pub(super) fn subscribe(
        &mut self,
        hub: &Hub,
        store: &Store,
        access: &Access,
        outbox: &Arc<Outbox>,
        name: ChannelName<'_>,
        scope: Scope,
        since: Option<Since>,
    ) -> Result<Subscribed, Refusal> {
        let text = text_of(name)?;
        let channel = channel_of(&text, name.regex)?;
        allow::listen(access, &channel)?;
        hub.subscribe(self.session, &channel, scope)?;
        let except = self.tega_id.clone();
        let watch = self.watch.get_or_insert_with(|| {
            // Not the outbox itself: it holds the waker of the task that holds the watch.
            let outbox = Arc::downgrade(outbox);
            store.watch_within(Some(except), access.readable(), move || {
                if let Some(outbox) = outbox.upgrade() {
                    outbox.poke();
                }
            })
        });
        match watch.subscribe(channel, since) {
            Ok(subscribed) => {
                self.note(&text, name.regex, true);
                Ok(subscribed)
            }
            Err(error) => {
                hub.unsubscribe(self.session, &text, name.regex);
                Err(error.into())
            }
        }
    }

    /// Keeps `channels` in step: sorted lines of a flag and a channel. No channel has a line end: it would be quoted.
    fn note(&mut self, text: &str, regex: bool, listens: bool) {
        let line = format!("{}{text}", if regex { '~' } else { '=' });
        let mut lines: Vec<&str> = self.channels.lines().filter(|known| **known != line).collect();
        if listens {
            lines.push(&line);
            lines.sort_unstable();
        }
        self.channels = lines.join("\n").into();
    }
}

/// A channel's text as store and hub know it: a path in its dotted form, or a regex as it was written.
pub(super) fn text_of(name: ChannelName<'_>) -> Result<String, Refusal> {
    if name.regex {
        let text = name.regex();
        return if text.contains(['\n', '\r']) {
            Err(Refusal::bad("a regex is one line; write \\n for a line end"))
        } else {
            Ok(text.into_owned())
        };
    }
    name.path().map(|path| path.to_string()).map_err(|e| Refusal::bad(e.to_string()))
}

pub(super) fn channel_of(text: &str, regex: bool) -> Result<Channel, Refusal> {
    Ok(if regex { Channel::regex(text)? } else { Channel::Path(Path::parse(text)?) })
}
