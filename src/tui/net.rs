//! The threads that talk to the server: one for the session, and one for each lane of questions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::ask::{Ask, Failed, Job, Lane, Purpose, Reply};
use super::feed::{Feed, Link};
use super::run_command;
use crate::client::Server;
use crate::client::http::{Client, Failure, Request, request_id};
use crate::client::live::{Event, Lost, Session};
use crate::commit::TegaId;
use crate::message::entry;
use crate::message::{Kind, Scope, body, channel_word};
use crate::store::Op;
use crate::value::Value;

/// Questions that wait in one lane.
const MAX_QUESTIONS: usize = 256;

/// The longest pause between two attempts to connect again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How often a transaction is sent again while its outcome is unknown.
const REPEATS: usize = 3;

/// Who asks.
#[derive(Clone)]
pub(super) struct Who {
    /// The server.
    pub server: Server,
    /// The tega ID that changes are made under.
    pub by: TegaId,
    /// Another, for the session: under one and the same nobody is told of what they did themselves.
    pub watcher: TegaId,
}

/// The threads, seen from the screen's.
pub(super) struct Net {
    lanes: HashMap<u8, SyncSender<Ask>>,
    replies: Receiver<Reply>,
    search: Arc<AtomicU32>,
    open: usize,
}

impl Net {
    /// Starts them. The session's thread tells `feed`.
    pub(super) fn start(who: &Who, feed: Feed) -> std::io::Result<Net> {
        let (sender, replies) = channel();
        let search = Arc::new(AtomicU32::new(0));
        let mut lanes = HashMap::new();
        for lane in Lane::ALL {
            let (asks, questions) = sync_channel(MAX_QUESTIONS);
            let worker = Worker { who: who.clone(), client: None, search: search.clone() };
            let replies = sender.clone();
            spawn(&format!("tui-{lane:?}"), move || worker.work(&questions, &replies))?;
            lanes.insert(lane as u8, asks);
        }
        let who = who.clone();
        spawn("tui-live", move || live(&who, &feed))?;
        Ok(Net { lanes, replies, search, open: 0 })
    }

    /// Asks. Where too much waits already, the answer is that nothing happened.
    pub(super) fn ask(&mut self, ask: Ask) -> Option<Reply> {
        if let Purpose::Search(number) = ask.purpose {
            self.search.store(number, Ordering::Relaxed);
        }
        let purpose = ask.purpose.clone();
        let why = match self.lanes.get(&(purpose.lane() as u8)) {
            None => "the thread that asks the server is gone",
            Some(lane) => match lane.try_send(ask) {
                Ok(()) => {
                    self.open += 1;
                    return None;
                }
                Err(TrySendError::Full(_)) => "too many questions wait for the server",
                Err(TrySendError::Disconnected(_)) => "the thread that asks the server is gone",
            },
        };
        Some(Reply { purpose, outcome: Err(Failed::NotReached(why.into())) })
    }

    /// An answer that came.
    pub(super) fn reply(&mut self) -> Option<Reply> {
        match self.replies.try_recv() {
            Ok(reply) => {
                self.open = self.open.saturating_sub(1);
                Some(reply)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Whether answers are waited for.
    pub(super) fn waits(&self) -> bool {
        self.open > 0
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    // It ends with the process: what it waits for is a socket.
    std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(work).map(drop)
}

pub(super) struct Worker {
    who: Who,
    client: Option<Client>,
    search: Arc<AtomicU32>,
}

impl Worker {
    /// One for whom nobody waits but the caller.
    #[cfg(test)]
    pub(super) fn alone(who: Who) -> Worker {
        Worker { who, client: None, search: Arc::default() }
    }

    fn work(mut self, questions: &Receiver<Ask>, replies: &Sender<Reply>) {
        while let Ok(Ask { purpose, job }) = questions.recv() {
            // Whoever types on wants the newest search only.
            let stale = matches!(purpose, Purpose::Search(n) if n != self.search.load(Ordering::Relaxed));
            let outcome =
                if stale { Err(Failed::NotReached("not wanted any more".into())) } else { self.answer(job) };
            if replies.send(Reply { purpose, outcome }).is_err() {
                return;
            }
        }
    }

    pub(super) fn answer(&mut self, job: Job) -> Result<Value, Failed> {
        match job {
            Job::Read(route) => self.call(Request::of(&route), None, Failed::NotReached),
            Job::Short(route, most) => self.call(Request::of(&route).at_most(most), None, Failed::NotReached),
            // It was answered, so that it happened or didn't: which, an answer that can't be read doesn't say.
            Job::Once(route, body) => self.call(Request::of(&route), body, Failed::Unknown),
            Job::Write(route, body) => {
                let id = request_id().map_err(|error| Failed::NotReached(error.to_string()))?;
                self.call(Request::of(&route).once(&id), body, Failed::Unknown)
            }
            Job::Commit(ops) => commit(&self.who, &ops),
            Job::Run(words) => run_command::run(&self.who, &words),
        }
    }

    /// `unread`: what an answer means that can't be read.
    fn call(
        &mut self,
        mut request: Request,
        body: Option<Value>,
        unread: fn(String) -> Failed,
    ) -> Result<Value, Failed> {
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let client = self.client.get_or_insert_with(|| Client::new(self.who.server.clone()));
        let answer = client.call(&request).map_err(failed)?;
        match answer.refusal() {
            Some(refusal) => Err(Failed::Refused(refusal)),
            None if answer.body.is_empty() => Ok(Value::Null),
            None => answer.json().map_err(unread),
        }
    }
}

fn failed(failure: Failure) -> Failed {
    match failure {
        Failure::NotReached(why) => Failed::NotReached(why),
        Failure::Unknown(why) => Failed::Unknown(why),
    }
}

/// Commits operations as one, on a session of its own; again under the same request ID while the outcome is unknown.
fn commit(who: &Who, ops: &[Op]) -> Result<Value, Failed> {
    let id = request_id().map_err(|error| Failed::NotReached(error.to_string()))?;
    let body = body::commit(ops, Some(&id));
    let mut unknown = None;
    for attempt in 0..=REPEATS {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        let outcome = Session::open(&who.server, who.by.clone(), Scope::Local).and_then(|mut session| {
            let answer = session.request(Kind::Commit, "-", &body)?;
            session.close();
            Ok(answer)
        });
        match outcome {
            Ok(Ok(receipt)) => return Ok(receipt),
            Ok(Err(refusal)) => {
                let unsettled = refusal.status >= 500 || refusal.status == 429;
                if refusal.code == "outcome_unknown" || (unknown.is_some() && unsettled) {
                    unknown = Some(refusal.message);
                } else {
                    return Err(Failed::Refused(refusal));
                }
            }
            Err(Failure::Unknown(why)) => unknown = Some(why),
            Err(Failure::NotReached(why)) if unknown.is_none() => return Err(Failed::NotReached(why)),
            Err(Failure::NotReached(_)) => {}
        }
    }
    Err(Failed::Unknown(unknown.unwrap_or_else(|| "no answer".into())))
}

/// Holds a session that is told of everything, for ever.
fn live(who: &Who, feed: &Feed) {
    let mut pause = Duration::from_millis(250);
    // Where a token is bound to one tega ID, the session must be under that.
    let mut ids = [who.watcher.clone(), who.by.clone()].into_iter().cycle();
    let mut id = who.watcher.clone();
    loop {
        let begun = Instant::now();
        let why = match subscribed(&who.server, &id) {
            Ok(session) => {
                feed.link(Link::Up);
                follow(session, feed)
            }
            Err(why) => {
                id = ids.next().unwrap_or(id);
                why
            }
        };
        feed.link(Link::Cut(why));
        pause =
            if begun.elapsed() > MAX_PAUSE { Duration::from_millis(250) } else { (pause * 2).min(MAX_PAUSE) };
        std::thread::sleep(pause);
    }
}

fn subscribed(server: &Server, id: &TegaId) -> Result<Session, String> {
    let mut session =
        Session::open(server, id.clone(), Scope::Local).map_err(|failure| failure.to_string())?;
    let everything = channel_word(".*", true);
    let answer = session.request(Kind::Subscribe, &everything, &body::subscribe(true, None, false));
    answer.map_err(|failure| failure.to_string())?.map_err(|refusal| refusal.message)?;
    Ok(session)
}

fn follow(mut session: Session, feed: &Feed) -> String {
    loop {
        match session.next(None) {
            Ok(Some(Event::Notify(list))) => match entry::read_list(&list) {
                Some(entries) => feed.changed(entries, now_ms()),
                None => feed.missed(),
            },
            Ok(Some(Event::Message(channel, who, body))) => feed.message(&channel, &who, &body, now_ms()),
            Ok(Some(Event::Refused(refusal))) => return refusal.message,
            // It serves no functions.
            Ok(None | Some(Event::Called(_))) => {}
            Err(Lost(why)) => return why,
        }
    }
}

/// Milliseconds of the wall clock, for people.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
