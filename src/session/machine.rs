//! A session's rules: one text frame in, frames out, and what was asked of store and hub on the way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use smol::lock::Semaphore;

use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::{Dialect, End, Frame, Hub, Joining, Outbox, Scope};
use crate::message::body::{self, Ask, Get, Subscribe, Writes};
use crate::message::{self, ChannelName, FromClient, Kind, entry};
use crate::path::Path;
use crate::store::{Channel, Event, SessionId, Since, Store, Subscribed, Transaction, Watch, notices_of};
use crate::value::Value;

use super::INLINE_NODES;
use super::read;

/// A session of one connection. It begins with a SESSION frame and ends when it's dropped.
pub(super) struct Machine {
    hub: Hub,
    store: Store,
    peer: String,
    outbox: Arc<Outbox>,
    /// The seqs of the requests that wait for an answer from elsewhere.
    open: Arc<Mutex<HashSet<u32>>>,
    live: Option<Live>,
}

/// What there is once SESSION came.
struct Live {
    tega_id: TegaId,
    dialect: Dialect,
    session: SessionId,
    /// Made by the first subscription: a session without one costs nothing in the store.
    watch: Option<Watch>,
    /// All subscriptions as one text: sessions with the same one can share a frame.
    channels: Arc<str>,
}

/// What a frame came to, beside frames to send.
pub(super) enum Step {
    /// Read on.
    Go,
    /// A read that is too large for the session's own thread: [`Large::run`] it elsewhere, and send what it returns.
    Large(Large),
    /// End the session with this code and reason.
    End(End),
}

/// A read to be run on a thread that may take its time.
pub(super) struct Large {
    store: Store,
    get: Get,
    seq: u32,
    tega_id: TegaId,
}

impl Large {
    /// Reads, and returns the RESPONSE.
    pub(super) fn run(self) -> String {
        let mut frame = String::new();
        message::response_head(&mut frame, self.seq, Kind::Get.as_str(), self.tega_id.as_str());
        if let Err(refusal) = read::large(&self.store, &self.get, &mut frame) {
            refusal.write(&mut frame);
        }
        frame
    }
}

fn refuse(code: u16, reason: impl ToString) -> Step {
    Step::End(End { code, reason: reason.to_string() })
}

impl Machine {
    pub(super) fn new(hub: Hub, store: Store, peer: String, outbox: Arc<Outbox>) -> Machine {
        Machine { hub, store, peer, outbox, open: Arc::default(), live: None }
    }

    /// Whether SESSION came.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Whose session it is, for the log.
    pub(super) fn who(&self) -> &str {
        self.live.as_ref().map_or(&self.peer, |live| live.tega_id.as_str())
    }

    /// What bounds the reads that run elsewhere, over all sessions.
    pub(super) fn large_reads(&self) -> Arc<Semaphore> {
        self.hub.large_reads()
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

    /// Takes one text frame; what it's answered at once is pushed to `out`.
    pub(super) fn take(&mut self, frame: &str, out: &mut Vec<Frame>) -> Step {
        let frame = match FromClient::read(frame) {
            Ok(frame) => frame,
            Err(error) => return self.bad_frame(&Refusal::bad(error.to_string()), out),
        };
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
            (Some(live), other) => match live.listen(&self.hub, &self.store, &self.outbox, other) {
                Ok(()) => Step::Go,
                Err(refusal) => self.bad_frame(&refusal, out),
            },
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
        let who = Joining { tega_id: tega_id.clone(), scope, dialect, from: self.peer.clone() };
        let session = match self.hub.join(who, self.outbox.clone()) {
            Ok(session) => session,
            Err(refusal) => return refuse(1013, refusal),
        };
        self.live = Some(Live { tega_id, dialect, session, watch: None, channels: "".into() });
        let mut ack = String::new();
        message::session_ack(&mut ack, self.hub.own_id());
        out.push(Frame::Own(ack));
        Step::Go
    }

    /// Fetches the next event that this session's channels see anything of, as a frame. The second: no more for now.
    pub(super) fn next_notify(&mut self) -> Result<Option<Frame>, End> {
        let Some(Live { watch: Some(watch), channels, dialect, .. }) = &self.live else { return Ok(None) };
        while let Some(event) = watch.try_next().map_err(|_| End::lagging())? {
            let known = self.hub.fanout().get(&event, channels, *dialect);
            let frame = match known {
                Some(frame) => frame,
                None => {
                    let frame = notify(watch, &event, *dialect).map(Arc::from);
                    self.hub.fanout().put(event, channels.clone(), *dialect, frame.clone());
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

impl Live {
    /// SUBSCRIBE, UNSUBSCRIBE and PUBLISH: the frames that aren't answered.
    fn listen(
        &mut self,
        hub: &Hub,
        store: &Store,
        outbox: &Arc<Outbox>,
        frame: FromClient<'_>,
    ) -> Result<(), Refusal> {
        match frame {
            FromClient::Subscribe { channel, scope } => {
                self.subscribe(hub, store, outbox, channel, scope, None).map(|_| ())
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
                let body = body::json(body)?;
                hub.publish(&self.tega_id, Some(self.session), &path.to_string(), &body);
                Ok(())
            }
            // `take` has dealt with the others.
            FromClient::Session { .. } | FromClient::Request { .. } | FromClient::Response { .. } => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        hub: &Hub,
        store: &Store,
        outbox: &Arc<Outbox>,
        name: ChannelName<'_>,
        scope: Scope,
        since: Option<Since>,
    ) -> Result<Subscribed, Refusal> {
        let text = text_of(name)?;
        let channel = channel_of(&text, name.regex)?;
        hub.subscribe(self.session, &text, name.regex, scope)?;
        let except = self.tega_id.clone();
        let watch = self.watch.get_or_insert_with(|| {
            // Not the outbox itself: it holds the waker of the task that holds the watch.
            let outbox = Arc::downgrade(outbox);
            store.watch(Some(except), move || {
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
fn text_of(name: ChannelName<'_>) -> Result<String, Refusal> {
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

fn channel_of(text: &str, regex: bool) -> Result<Channel, Refusal> {
    Ok(if regex { Channel::regex(text)? } else { Channel::Path(Path::parse(text)?) })
}

/// One REQUEST and what is needed to answer it.
struct Asking<'a> {
    seq: u32,
    kind: &'a str,
    hub: &'a Hub,
    store: &'a Store,
    open: &'a Arc<Mutex<HashSet<u32>>>,
    outbox: &'a Arc<Outbox>,
}

impl Asking<'_> {
    fn head(&self) -> String {
        let mut frame = String::with_capacity(96);
        message::response_head(&mut frame, self.seq, self.kind, self.hub.own_id().as_str());
        frame
    }

    fn refusal(&self, refusal: &Refusal) -> Frame {
        let mut frame = self.head();
        refusal.write(&mut frame);
        Frame::Own(frame)
    }

    fn ask(
        &self,
        live: &mut Live,
        tega_id: Option<&str>,
        path: Option<&str>,
        body: Option<&str>,
        out: &mut Vec<Frame>,
    ) -> Result<Step, Refusal> {
        let kind = Kind::read(self.kind).ok_or_else(|| {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            let shown: String = self.kind.chars().take(40).collect();
            Refusal::bad(format!("request type {shown:?}: one of {} wanted", known.join(", ")))
        })?;
        if tega_id.is_some_and(|id| id != live.tega_id.as_str()) {
            return Err(Refusal::bad(format!("this session acts as {}; say so, or None", live.tega_id)));
        }
        if self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.seq) {
            return Err(Refusal::bad(format!("seq {} is that of a request that still waits", self.seq)));
        }
        match kind {
            Kind::Rpc => self.call(live, path, body)?,
            Kind::Sync | Kind::Refer => {
                return Err(Refusal::bad("this server takes no links of other servers"));
            }
            _ => match body::read(kind, path, body)? {
                Ask::Get(get) => return self.get(get, out),
                Ask::Write(writes) => self.write(live, writes),
                Ask::Clear => {
                    let answer = self.later(|receipt, frame| body::write_receipt(&receipt, frame));
                    self.store.clear(Some(live.tega_id.clone()), move |result| {
                        answer(result.map_err(Refusal::from))
                    });
                }
                Ask::Subscribe(ask) => {
                    let frame = self.subscribe(live, ask)?;
                    out.push(frame);
                }
            },
        }
        Ok(Step::Go)
    }

    fn get(&self, get: Get, out: &mut Vec<Frame>) -> Result<Step, Refusal> {
        let mut frame = self.head();
        match read::small(self.store, &get, &mut frame)? {
            read::Outcome::Done => {
                out.push(Frame::Own(frame));
                Ok(Step::Go)
            }
            read::Outcome::Large => Ok(Step::Large(Large {
                store: self.store.clone(),
                get,
                seq: self.seq,
                tega_id: self.hub.own_id().clone(),
            })),
        }
    }

    /// Opens the request, and returns what closes it: from any thread, with the answer.
    fn later<T: 'static, W>(&self, write: W) -> impl FnOnce(Result<T, Refusal>) + Send + 'static + use<T, W>
    where
        W: FnOnce(T, &mut String) + Send + 'static,
    {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(self.seq);
        let (seq, open, outbox, mut frame) = (self.seq, self.open.clone(), self.outbox.clone(), self.head());
        move |result| {
            match result {
                Ok(done) => write(done, &mut frame),
                Err(refusal) => refusal.write(&mut frame),
            }
            open.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq);
            outbox.answer(frame);
        }
    }

    fn write(&self, live: &Live, writes: Writes) {
        let answer = self.later(|receipt, frame| body::write_receipt(&receipt, frame));
        let transaction = Transaction {
            by: Some(live.tega_id.clone()),
            session: Some(live.session),
            ops: writes.ops,
            request_id: writes.request_id,
            durable: writes.durable,
        };
        self.store.submit(transaction, move |result| answer(result.map_err(Refusal::from)));
    }

    /// The original's dialect has the result alone; ours `{"result":…}`, which can't be taken for an error.
    fn call(&self, live: &Live, path: Option<&str>, body: Option<&str>) -> Result<(), Refusal> {
        let path = Path::from_wire(path.ok_or_else(|| Refusal::bad("RPC needs a path"))?)?;
        let arguments = body::json(body.unwrap_or("{}"))?;
        let wrap = live.dialect == Dialect::Second;
        let answer = self.later(move |result: Value, frame| {
            // Writing to a String can't fail.
            let _ = if wrap {
                frame.push_str("{\"result\":");
                result.write(frame).map(|()| frame.push('}'))
            } else {
                result.write(frame)
            };
        });
        self.hub.call(Some(&live.tega_id), &path, &arguments, move |result| {
            answer(result.map_err(Refusal::from))
        });
        Ok(())
    }

    /// `{"position":N,"roots":{ROOT:[INCARNATION,VERSION]}[,"missed":[ENTRY,…] | ,"gone":true][,"value":…]}`
    ///
    /// `missed` says what happened since the versions that the subscriber named. Where the history no longer has that,
    /// `gone` comes instead, with the present `value` (null: nothing there); it's read again with GET where it's large or the
    /// channel is a regex.
    fn subscribe(&self, live: &mut Live, mut ask: Subscribe) -> Result<Frame, Refusal> {
        let since = ask.since.take();
        let resumes = since.is_some();
        let subscribed =
            live.subscribe(self.hub, self.store, self.outbox, ask.name(), Scope::Local, since)?;
        let mut frame = self.head();
        let view = &subscribed.view;
        frame.push_str(&format!("{{\"position\":{},\"roots\":", view.position().0));
        body::write_roots(
            view.roots().map(|(name, root)| (name, root.incarnation, root.version)),
            &mut frame,
        );
        match &subscribed.missed {
            Some(missed) if resumes => self.missed(live, &ask, missed, &mut frame)?,
            None if resumes => frame.push_str(",\"gone\":true"),
            _ => {}
        }
        if !ask.regex && (ask.state || (resumes && subscribed.missed.is_none())) {
            let (start, mut budget) = (frame.len(), INLINE_NODES);
            frame.push_str(",\"value\":");
            let path = ask.name().path().map_err(|e| Refusal::bad(e.to_string()))?;
            let whole = match view.node(&path) {
                Some(node) => crate::tree::write_json(node, &mut frame, &mut budget).is_ok(),
                None => {
                    frame.push_str("null");
                    true
                }
            };
            if !whole {
                frame.truncate(start);
                frame.push_str(",\"truncated\":true");
            }
        }
        frame.push('}');
        Ok(Frame::Own(frame))
    }

    fn missed(
        &self,
        live: &Live,
        ask: &Subscribe,
        missed: &[Arc<Event>],
        frame: &mut String,
    ) -> Result<(), Refusal> {
        // The session's watch sees by all of its channels; what was missed is of this one.
        let channel = channel_of(&text_of(ask.name())?, ask.regex)?;
        let view = self.store.view();
        frame.push_str(",\"missed\":[");
        let mut first = true;
        for event in missed.iter().filter(|event| event.by.as_ref() != Some(&live.tega_id)) {
            for notice in notices_of(&channel, event, &view) {
                if !std::mem::take(&mut first) {
                    frame.push(',');
                }
                entry::write(event, &notice, Dialect::Second, frame);
            }
        }
        frame.push(']');
        Ok(())
    }
}
