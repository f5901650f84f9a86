//! The frames that the other end sends: replication goes to the machine, everything else to hub, store and who waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::listening::Listening;
use super::mailbox::End;
use super::remote::{locked, tell};
use super::serving::Serving;
use super::work::{Go, Work};
use super::{Closing, Code, Input};
use crate::commit::TegaId;
use crate::message::ChannelName;
use crate::message::body::json;
use crate::message::link::{self, Frame};
use crate::store::Channel;
use crate::value::Value;

/// The other end is another version, or no tega at all.
fn refused(error: impl std::fmt::Display) -> End {
    Closing::new(Code::Refused, error.to_string()).into()
}

fn channel_of(name: ChannelName<'_>) -> Result<Channel, End> {
    if name.regex {
        return Channel::regex(&name.regex()).map_err(refused);
    }
    name.path().map(Channel::Path).map_err(refused)
}

fn body_of(text: &str) -> Result<Value, End> {
    json(text).map_err(refused)
}

impl Work {
    /// A frame came.
    pub(super) fn frame(&mut self, text: &str) -> Go {
        locked(&self.state).heard = self.clock.ms();
        let frame = Frame::read(text).map_err(refused)?;
        if frame.is_replication() {
            let begins = matches!(frame, Frame::Begin { .. });
            self.input(Input::Frame(frame))?;
            if begins && let Some(link) = &self.link {
                // What was answered before it may be here already.
                link.applied();
            }
            return Ok(());
        }
        let Some(link) = self.link.clone() else {
            return Err(refused("LINK comes first"));
        };
        let hub = &self.context.hub;
        let serving = Serving {
            context: &self.context,
            mailbox: &self.mailbox,
            peer: &link.peer,
            access: &self.access,
        };
        match frame {
            Frame::Write { seq, tega_id, body } => serving.write(seq, tega_id, body),
            Frame::Fresh { seq, root } => serving.fresh(seq, root),
            Frame::Prove { seq, root, nonce } => serving.prove(seq, &root, nonce),
            Frame::Call { seq, tega_id, path, body } => serving.call(seq, tega_id.as_ref(), &path, body),
            Frame::Done { seq, body } => {
                let told = locked(&link.requests).done(seq, link::body::read_done(body));
                tell(told);
                // What it waits for may be here already.
                link.applied();
            }
            Frame::Publish { channel, tega_id, body } => {
                let (path, body) = (channel.path().map_err(refused)?, body_of(body)?);
                if self.access.may_message(&path) {
                    hub.publish_by(&link.peer, &tega_id, &path.to_string(), &body);
                }
            }
            Frame::Listen { channel, on } => self.listen(&link.peer, channel_of(channel)?, on),
            Frame::Notify { channel, entries } => {
                let (text, regex) = (channel_of(channel)?.text(), channel.regex);
                hub.notify(&text, regex, &body_of(entries)?);
            }
            Frame::Presence { body } => {
                let mut said = link::body::read_presence(body).map_err(refused)?;
                said.put.retain(|leased| self.access.may_write(&leased.path));
                locked(&link.received).take(&self.context.store, &self.roots, said);
            }
            Frame::Sessions { body } => {
                let ids = link::body::read_sessions(body).map_err(refused)?;
                let ids: Arc<BTreeSet<TegaId>> = Arc::new(ids.into_iter().collect());
                *locked(&link.sessions) = ids.clone();
                hub.link_sessions(&*link, ids);
            }
            // Replication has taken the others.
            _ => {}
        }
        Ok(())
    }

    fn listen(&mut self, peer: &TegaId, channel: Channel, on: bool) {
        if let Err(refusal) = self.context.hub.listen(peer, &channel, on) {
            log::warn!("{peer}: {refusal}");
            return;
        }
        let (store, mailbox) = (&self.context.store, &self.mailbox);
        let listening = self.listening.get_or_insert_with(|| Box::new(Listening::new(store, mailbox)));
        if let Err(error) = listening.listen(channel, on) {
            log::warn!("{peer}: {error}");
        }
        if listening.is_empty() {
            self.listening = None;
        }
    }

    /// Something that the other end listens to may have changed.
    pub(super) fn notify(&mut self) -> Go {
        let Some(listening) = &mut self.listening else { return Ok(()) };
        let lagging = || End { code: Code::Lagging.number(), reason: "lagging".into() };
        listening.notify(&self.context.store, &self.roots, &self.access, &self.mailbox).map_err(|_| lagging())
    }
}
