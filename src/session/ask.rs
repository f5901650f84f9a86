//! What a REQUEST asks, and how it's answered.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::legacy;
use super::live::{Live, channel_of, text_of};
use super::machine::Step;
use crate::api::allow;
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::{Caller, Dialect, Frame, Hub, Outbox, Scope};
use crate::message::body::{self, Ask, Get, Subscribe, Writes};
use crate::message::{self, ChannelName, Kind, entry};
use crate::path::{Key, Path};
use crate::read::{Found, INLINE_NODES, Selection, Source};
use crate::store::{Event, Store, Transaction};
use crate::token::Access;
use crate::value::Value;

/// The seqs of the requests that wait for an answer from elsewhere.
pub(super) type Open = Arc<Mutex<HashSet<u32>>>;

/// A read to be run on a thread that may take its time.
pub(super) struct Large {
    read: Read,
    seq: u32,
    tega_id: TegaId,
}

enum Read {
    Node(Found),
    Matches(Selection),
}

impl Large {
    /// Writes the RESPONSE.
    pub(super) fn run(self) -> String {
        let mut frame = String::new();
        message::response_head(&mut frame, self.seq, Kind::Get.as_str(), self.tega_id.as_str());
        let start = frame.len();
        frame.push_str("{\"value\":");
        let written = match &self.read {
            Read::Node(found) => found.write(&mut frame),
            Read::Matches(selection) => selection.write(&mut frame),
        };
        match (written, &self.read) {
            (Ok(()), Read::Node(found)) => stamp(found, &mut frame),
            (Ok(()), Read::Matches(_)) => frame.push('}'),
            (Err(refusal), _) => {
                frame.truncate(start);
                refusal.write(&mut frame);
            }
        }
        frame
    }
}

/// Finds what a GET asks for, and writes nothing yet.
fn read(store: &Store, access: &Access, get: &Get) -> Result<Read, Refusal> {
    if get.regex {
        let word = get.path.as_deref().ok_or_else(|| Refusal::bad("a regex needs a path"))?;
        let source = Source::of(store, access, &Path::TOP, get.version, None)?;
        let text = ChannelName { word, regex: true }.regex();
        return Ok(Read::Matches(Selection::new(store, source, &text, get.internal)?));
    }
    let path = get.path.as_deref().map_or(Ok(Path::TOP), Path::from_wire)?;
    let source = Source::of(store, access, &path, get.version, None)?;
    Ok(Read::Node(Found::new(store, source, path, get.internal)?))
}

/// Ends the body of a GET: with the node's version, where it has one.
fn stamp(found: &Found, frame: &mut String) {
    match found.node().map(|node| node.stamp.as_version()) {
        Some(Some(version)) => frame.push_str(&format!(",\"version\":{version}}}")),
        Some(None) => frame.push_str(",\"ephemeral\":true}"),
        None => frame.push('}'),
    }
}

/// One REQUEST and what is needed to answer it.
pub(super) struct Asking<'a> {
    pub(super) seq: u32,
    pub(super) kind: &'a str,
    pub(super) hub: &'a Hub,
    pub(super) store: &'a Store,
    pub(super) access: &'a Access,
    pub(super) open: &'a Open,
    pub(super) outbox: &'a Arc<Outbox>,
}

impl Asking<'_> {
    fn head(&self) -> String {
        let mut frame = String::with_capacity(96);
        message::response_head(&mut frame, self.seq, self.kind, self.hub.own_id().as_str());
        frame
    }

    pub(super) fn refusal(&self, refusal: &Refusal) -> Frame {
        let mut frame = self.head();
        refusal.write(&mut frame);
        Frame::Own(frame)
    }

    pub(super) fn ask(
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
        // An original local server names whoever calls, or the server that it calls.
        let acts = |id: &str| id == live.tega_id.as_str() || live.legacy.is_some();
        if tega_id.is_some_and(|id| !acts(id)) {
            return Err(Refusal::bad(format!("this session acts as {}; say so, or None", live.tega_id)));
        }
        if self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.seq) {
            return Err(Refusal::bad(format!("seq {} is that of a request that still waits", self.seq)));
        }
        match kind {
            Kind::Rpc => self.call(live, tega_id, path, body)?,
            Kind::Sync => legacy::sync(self, live, body, out)?,
            Kind::Refer => legacy::refer(self, live, body, out)?,
            _ => match body::read(kind, path, body)? {
                Ask::Get(get) => return self.get(get, out),
                Ask::Write(writes) => {
                    allow::ops(self.access, &writes.ops)?;
                    self.write(live, writes);
                }
                Ask::Clear => {
                    allow::admin(self.access, "clear the store")?;
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

    /// `{"value":…[,"version":N | ,"ephemeral":true]}`; for a regex the value is `{PATH:{"groups":…,"instance":…}}`.
    fn get(&self, get: Get, out: &mut Vec<Frame>) -> Result<Step, Refusal> {
        if get.fresh {
            return self.get_fresh(get);
        }
        let read = read(self.store, self.access, &get)?;
        if let Read::Node(found) = &read {
            let mut frame = self.head();
            frame.push_str("{\"value\":");
            if found.write_small(INLINE_NODES, &mut frame) {
                stamp(found, &mut frame);
                out.push(Frame::Own(frame));
                return Ok(Step::Go);
            }
        }
        Ok(Step::Large(Box::new(Large { read, seq: self.seq, tega_id: self.hub.own_id().clone() })))
    }

    /// As [`Asking::get`], once everything is here that the home had acknowledged.
    fn get_fresh(&self, get: Get) -> Result<Step, Refusal> {
        let path = match (&get.path, get.regex) {
            (Some(word), false) => Path::from_wire(word)?,
            _ => Path::TOP,
        };
        // Before anything is asked of other servers.
        allow::read(self.access, &path)?;
        let seen = |root: &Key| self.access.may_read_some(&Path::from_checked(vec![root.clone()]));
        let roots = match path.root() {
            Some(root) => vec![root.clone()],
            None => self.hub.all_roots().into_iter().filter(seen).collect(),
        };
        let (seq, tega_id) = (self.seq, self.hub.own_id().clone());
        let (store, access) = (self.store.clone(), self.access.clone());
        let heavy = self.hub.heavy().clone();
        let answer = self.later_whole();
        self.hub.fresh(roots, move |outcome| {
            let read = outcome.and_then(|()| read(&store, &access, &get));
            match read {
                // It may be of any size, and this is no place to find out.
                Ok(read) => heavy.run(move || answer(Ok(Large { read, seq, tega_id }.run()))),
                Err(refusal) => answer(Err(refusal)),
            }
        });
        Ok(Step::Go)
    }

    /// Opens the request, and returns what closes it: from any thread, with the answer.
    fn later<T: 'static, W>(&self, write: W) -> impl FnOnce(Result<T, Refusal>) + Send + 'static + use<T, W>
    where
        W: FnOnce(T, &mut String) + Send + 'static,
    {
        let (answer, mut frame) = (self.later_whole(), self.head());
        move |result: Result<T, Refusal>| {
            answer(result.map(|done| {
                write(done, &mut frame);
                frame
            }));
        }
    }

    /// As [`Asking::later`], for an answer that comes as a whole frame.
    pub(super) fn later_whole(&self) -> impl FnOnce(Result<String, Refusal>) + Send + 'static + use<> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(self.seq);
        let (seq, open, outbox, mut head) = (self.seq, self.open.clone(), self.outbox.clone(), self.head());
        move |result| {
            let frame = result.unwrap_or_else(|refusal| {
                refusal.write(&mut head);
                head
            });
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
        let access = self.access.clone();
        self.hub.submit(transaction, move |result| {
            answer(result.map_err(|refusal| allow::told(&access, refusal)));
        });
    }

    /// The original's dialect has the result alone; ours `{"result":…}`, which can't be taken for an error.
    fn call(
        &self,
        live: &Live,
        tega_id: Option<&str>,
        path: Option<&str>,
        body: Option<&str>,
    ) -> Result<(), Refusal> {
        let path = Path::from_wire(path.ok_or_else(|| Refusal::bad("RPC needs a path"))?)?;
        allow::call(self.access, &path)?;
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
        // What came from a server never goes back there.
        let origin = live.legacy.as_ref().map(|_| &live.tega_id);
        let caller = origin.and(tega_id).and_then(|id| TegaId::new(id).ok());
        let caller = caller.as_ref().filter(|id| *id != self.hub.own_id()).unwrap_or(&live.tega_id);
        let from = Caller { origin, tega_id: Some(caller), time: None };
        self.hub.call_by(from, &path, &arguments, move |result| answer(result.map_err(Refusal::from)));
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
        let (hub, store, access) = (self.hub, self.store, self.access);
        let subscribed = live.subscribe(hub, store, access, self.outbox, ask.name(), Scope::Local, since)?;
        let mut frame = self.head();
        let view = &subscribed.view;
        frame.push_str(&format!("{{\"position\":{},\"roots\":", view.position().0));
        // One that the subscriber would see something of, were it there, is told even while it isn't: to resume, it must
        // be known.
        let roots = view.roots().filter(|(name, _)| {
            self.access.readable().is_none_or(|keep| keep.iter().any(|path| path.root() == Some(*name)))
        });
        // One that was deleted and has ephemeral nodes now goes by its tombstone, or its deletion would be told again.
        let roots = roots.map(|(name, root)| match view.standing(name) {
            Some(standing) => (name, standing.incarnation, standing.version),
            None => (name, root.incarnation, root.version),
        });
        body::write_roots(roots, &mut frame);
        match &subscribed.missed {
            Some(missed) if resumes => self.missed(live, &ask, missed, &mut frame)?,
            None if resumes => frame.push_str(",\"gone\":true"),
            _ => {}
        }
        if !ask.regex && (ask.state || (resumes && subscribed.missed.is_none())) {
            let start = frame.len();
            frame.push_str(",\"value\":");
            let path = ask.name().path().map_err(|e| Refusal::bad(e.to_string()))?;
            // Where messages only may be heard, there's no state to be read.
            let found = Source::present(view.clone(), self.access, &path)
                .and_then(|source| Found::new(self.store, source, path, false));
            match found {
                Err(_) => frame.push_str("null"),
                Ok(found) if found.write_small(INLINE_NODES, &mut frame) => {}
                Ok(_) => {
                    frame.truncate(start);
                    frame.push_str(",\"truncated\":true");
                }
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
        let Some(watch) = &live.watch else { return Ok(()) };
        frame.push_str(",\"missed\":[");
        let mut first = true;
        for event in missed.iter().filter(|event| event.by.as_ref() != Some(&live.tega_id)) {
            for notice in watch.notices_of(&channel, event, &view) {
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
