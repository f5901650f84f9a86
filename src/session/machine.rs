//! A session's rules: one text frame in, frames out, and what was asked of store and hub on the way.

use std::sync::{Arc, PoisonError};

use super::ask::{Asking, Large, Open};
use super::legacy::Legacy;
use super::live::Live;
use crate::api::allow;
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::{Dialect, End, Frame, Hub, Joining, Outbox, Scope};
use crate::message::{self, FromClient, body, entry, original};
use crate::read::Heavy;
use crate::store::{Event, Store, Watch};
use crate::token::{Access, Alarm};

/// A session of one connection. It begins with a SESSION frame and ends when it's dropped.
pub(super) struct Machine {
    hub: Hub,
    store: Store,
    peer: String,
    /// What it may do.
    access: Access,
    /// That of an access which came only with SESSION.
    alarm: Option<Alarm>,
    outbox: Arc<Outbox>,
    /// The seqs of the requests that wait for an answer from elsewhere.
    open: Open,
    live: Option<Live>,
}

/// What a frame came to, beside frames to send.
pub(super) enum Step {
    /// Read on.
    Go,
    /// A read that is too large for the session's own thread: [`Large::run`] it elsewhere, and send what it returns.
    Large(Box<Large>),
    /// End the session with this code and reason.
    End(End),
}

/// Ends the session when what it may do does.
pub(super) fn end_when_revoked(access: &Access, outbox: &Arc<Outbox>) -> Option<Alarm> {
    let told = Arc::downgrade(outbox);
    access.on_revoked(move || {
        if let Some(outbox) = told.upgrade() {
            outbox.end(End { code: 4001, reason: "the token is gone or was changed; connect again".into() });
        }
    })
}

fn refuse(code: u16, reason: impl ToString) -> Step {
    Step::End(End { code, reason: reason.to_string() })
}

impl Machine {
    pub(super) fn new(hub: Hub, store: Store, peer: String, access: Access, outbox: Arc<Outbox>) -> Machine {
        Machine { hub, store, peer, access, alarm: None, outbox, open: Arc::default(), live: None }
    }

    /// Whether SESSION came.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Whose session it is, for the log.
    pub(super) fn who(&self) -> &str {
        self.live.as_ref().map_or(&self.peer, |live| live.tega_id.as_str())
    }

    /// Where large reads run.
    pub(super) fn heavy(&self) -> &Heavy {
        self.hub.heavy()
    }

    fn speaks_second(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.dialect == Dialect::Second)
    }

    /// Whether long frames may be sent in fragments: the original's Go driver can't put them together.
    pub(super) fn takes_fragments(&self) -> bool {
        self.speaks_second()
    }

    /// How many requests wait for an answer from elsewhere.
    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing more is to be read for now. The outbox is poked when that is over.
    pub(super) fn is_behind(&self) -> bool {
        self.legacy().is_some_and(|legacy| legacy.link.is_behind())
    }

    fn legacy(&self) -> Option<&Legacy> {
        self.live.as_ref()?.legacy.as_ref()
    }

    /// Makes frames that others wrote for any session right for this one.
    pub(super) fn adapt(&self, frames: &mut [Frame]) {
        if self.legacy().is_none() {
            return;
        }
        for frame in frames {
            if let Some(text) = original::message(frame.as_str()) {
                *frame = Frame::Shared(text.into());
            }
        }
    }

    /// Takes one text frame; what it's answered at once is pushed to `out`.
    pub(super) fn take(&mut self, frame: &str, out: &mut Vec<Frame>) -> Step {
        let frame = match FromClient::read(frame) {
            Ok(frame) => frame,
            Err(error) => return self.bad_frame(&Refusal::bad(error.to_string()), out),
        };
        if let Some(legacy) = self.legacy() {
            legacy.link.hear();
        }
        match (&mut self.live, frame) {
            (None, FromClient::Session { tega_id, scope, dialect }) => {
                self.begin(tega_id, scope, dialect, out)
            }
            (None, _) => refuse(4000, "SESSION must be the first frame"),
            (Some(_), FromClient::Session { .. }) => refuse(4000, "a second SESSION; connect again"),
            (Some(live), FromClient::Request { seq, kind, tega_id, path, body }) => {
                let asking = Asking {
                    seq,
                    kind,
                    hub: &self.hub,
                    store: &self.store,
                    access: &self.access,
                    open: &self.open,
                    outbox: &self.outbox,
                };
                match asking.ask(live, tega_id, path, body, out) {
                    Ok(step) => step,
                    Err(refusal) => {
                        out.push(asking.refusal(&refusal));
                        Step::Go
                    }
                }
            }
            (Some(live), FromClient::Response { seq, body }) => match body::json(body) {
                Ok(body) => {
                    self.hub.answer(live.session, seq, body);
                    Step::Go
                }
                Err(refusal) => self.bad_frame(&refusal, out),
            },
            (Some(live), other) => {
                match live.listen(&self.hub, &self.store, &self.access, &self.outbox, other) {
                    Ok(()) => Step::Go,
                    Err(refusal) => self.bad_frame(&refusal, out),
                }
            }
        }
    }

    /// A frame without a seq to answer under.
    fn bad_frame(&self, refusal: &Refusal, out: &mut Vec<Frame>) -> Step {
        if !self.speaks_second() {
            return refuse(4000, refusal);
        }
        out.push(Frame::Own(format!("ERROR\n{}", refusal.to_json())));
        Step::Go
    }

    fn begin(&mut self, tega_id: TegaId, scope: Scope, dialect: Dialect, out: &mut Vec<Frame>) -> Step {
        if self.access.is_pending() {
            let claimed = self.access.claim(&tega_id).filter(|_| dialect == Dialect::Original);
            let Some(access) = claimed else {
                return refuse(
                    4001,
                    "a token is needed; no original server of this tega ID is expected from here",
                );
            };
            self.alarm = end_when_revoked(&access, &self.outbox);
            self.access = access;
        }
        if let Err(refusal) = allow::act_as(&self.access, Some(&tega_id)) {
            return refuse(4001, refusal);
        }
        let (from, access) = (self.peer.clone(), self.access.clone());
        let who = Joining { tega_id: tega_id.clone(), scope, dialect, from, access };
        let session = match self.hub.join(who, self.outbox.clone()) {
            Ok(session) => session,
            Err(refusal) => return refuse(1013, refusal),
        };
        let peer = self.peer.clone();
        let channels = "".into();
        self.live = Some(Live { tega_id, dialect, session, watch: None, peer, legacy: None, channels });
        let mut ack = String::new();
        message::session_ack(&mut ack, self.hub.own_id());
        out.push(Frame::Own(ack));
        Step::Go
    }

    /// Fetches the next event that this session's channels see anything of, as a frame. The second: no more for now.
    pub(super) fn next_notify(&mut self) -> Result<Option<Frame>, End> {
        let Some(Live { watch: Some(watch), channels, dialect, legacy, .. }) = &mut self.live else {
            return Ok(None);
        };
        if let Some(legacy) = legacy {
            return legacy.next(&self.store, watch);
        }
        while let Some(event) = watch.try_next().map_err(|_| End::lagging())? {
            let known = self.hub.fanout().get(&event, channels, *dialect, &self.access);
            let frame = match known {
                Some(frame) => frame,
                None => {
                    let frame = notify(watch, &event, *dialect).map(Arc::from);
                    let access = self.access.clone();
                    self.hub.fanout().put(event, channels.clone(), *dialect, access, frame.clone());
                    frame
                }
            };
            if let Some(frame) = frame {
                return Ok(Some(Frame::Shared(frame)));
            }
        }
        Ok(None)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

impl Machine {
    /// The session is over: its channels, its ephemeral nodes and the calls that it owes an answer go now, even if the
    /// socket stays open a little for the peer to hear the reason.
    pub(super) fn end(&mut self) {
        if let Some(live) = self.live.take() {
            if let Some(legacy) = &live.legacy {
                legacy.link.over();
                self.hub.link_down(&*legacy.link, "its session ended");
            }
            // The watch first, so that nobody queues for a session that is going.
            drop(live.watch);
            self.hub.leave(live.session);
        }
    }
}

fn notify(watch: &Watch, event: &Event, dialect: Dialect) -> Option<String> {
    let notices = watch.notices(event);
    if notices.is_empty() {
        return None;
    }
    let mut frame = String::from("NOTIFY\n");
    entry::write_list(event, &notices, dialect, &mut frame);
    Some(frame)
}
