//! A WebSocket session for programs that block: the command line's, and those that serve functions.
//!
//! A function is a leaf `%TEGA_ID.NAME` or `%TEGA_ID.NAME(ARGUMENTS)`, put by whoever likes; its calls come to the newest
//! session of that tega ID as [`Event::Called`], if it was opened by [`Session::open_serving`], and are answered by
//! [`Session::answer`] in any order. Any other session declines them, so that a caller learns at once that nobody serves
//! it instead of after 30 s.
//!
//! It speaks the second dialect. A peer that is silent is asked (a ping), and given up when it stays silent: a session
//! to a router that lost its power ends instead of waiting for ever.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::frames::{self, Decoder, Incoming};
use super::http::{Failure, Stream, fill, said};
use super::{Call, Server};
use crate::api::error::Refusal;
use crate::api::route::PUBSUB;
use crate::commit::TegaId;
use crate::message::{self, Dialect, FromServer, Kind, Scope};
use crate::path::Path;
use crate::value::{Limits, Value};

/// How long the server may take for its handshake and its answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Silence after which the server is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(20);
const MISSED_PINGS: u32 = 3;
/// Frames that may wait while an answer is awaited.
const MAX_ASIDE: usize = 100_000;

/// What the server sends of its own accord.
#[derive(Debug)]
pub enum Event {
    /// Changes: the JSON list of a NOTIFY.
    Notify(Value),
    /// A message of a channel: the channel, who sent it, and the body.
    Message(String, String, Value),
    /// Somebody calls a function that this session serves. Only one that was opened to serve gets it.
    Called(Call),
    /// A refusal that belongs to no request.
    Refused(Refusal),
}

/// Why a session ended.
#[derive(Debug)]
pub struct Lost(pub String);

/// A session.
pub struct Session {
    stream: Stream,
    decoder: Decoder,
    tega_id: TegaId,
    /// Calls are handed on; else they are declined.
    serves: bool,
    seq: u32,
    aside: VecDeque<Event>,
    answers: Vec<(u32, Value)>,
    unanswered: u32,
}

impl Session {
    /// Connects and says who speaks.
    pub fn open(server: &Server, tega_id: TegaId, scope: Scope) -> Result<Session, Failure> {
        Session::connect(server, tega_id, scope, false)
    }

    /// As [`Session::open`], for one that serves functions: each call is an [`Event::Called`] and must be answered, since
    /// its caller waits.
    pub fn open_serving(server: &Server, tega_id: TegaId, scope: Scope) -> Result<Session, Failure> {
        Session::connect(server, tega_id, scope, true)
    }

    fn connect(server: &Server, tega_id: TegaId, scope: Scope, serves: bool) -> Result<Session, Failure> {
        let not_reached = |error: io::Error| Failure::NotReached(said(&error));
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| Failure::NotReached(error.to_string()))?;
        let mut stream = Stream::connect(&server.target, ANSWER_TIMEOUT).map_err(not_reached)?;
        let request = frames::handshake_with(&server.target.host(), PUBSUB, nonce, &server.authorization());
        stream.write_all(request.as_bytes()).map_err(not_reached)?;
        let mut head = Vec::new();
        let used = loop {
            match frames::handshake_answer(&head, nonce).map_err(Failure::NotReached)? {
                Some(used) => break used,
                None => fill(&mut stream, &mut head).map_err(not_reached)?,
            }
        };
        let mut decoder = Decoder::default();
        decoder.push(head.get(used..).unwrap_or_default());
        let (aside, answers) = (VecDeque::new(), Vec::new());
        let mut session = Session { stream, decoder, tega_id, serves, seq: 0, aside, answers, unanswered: 0 };
        let mut hello = String::new();
        message::session(&mut hello, &session.tega_id, scope, Dialect::Second);
        session.send(&hello).map_err(not_reached)?;
        session.acknowledged().map_err(|Lost(why)| Failure::NotReached(why))?;
        Ok(session)
    }

    fn acknowledged(&mut self) -> Result<(), Lost> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match self.frame(Some(deadline))? {
                Some(text) => match FromServer::read(&text) {
                    Ok(FromServer::SessionAck { .. }) => return Ok(()),
                    Ok(FromServer::Error { body }) => return Err(Lost(refusal_of(body).message)),
                    _ => {}
                },
                None => return Err(Lost("no answer in time".into())),
            }
        }
    }

    /// Who speaks.
    pub fn tega_id(&self) -> &TegaId {
        &self.tega_id
    }

    /// Sends a frame.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(text.len() + 16);
        frames::text(text, mask(), &mut bytes);
        self.stream.write_all(&bytes)
    }

    /// Asks for something and waits for the answer; what comes in between waits for [`Session::next`]. `word` is the
    /// path or channel as it stands in a command line: `Path::to_wire`, [`message::channel_word`], or `-`.
    pub fn request(&mut self, kind: Kind, word: &str, body: &str) -> Result<Result<Value, Refusal>, Failure> {
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq;
        let mut frame = String::new();
        message::request_word(&mut frame, seq, kind, Some(&self.tega_id), Some(word), body);
        self.send(&frame).map_err(|error| Failure::Unknown(said(&error)))?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            if let Some(at) = self.answers.iter().position(|(of, _)| *of == seq) {
                let (_, answer) = self.answers.swap_remove(at);
                return Ok(match Refusal::from_json(&answer) {
                    Some(refusal) => Err(refusal),
                    None => Ok(answer),
                });
            }
            let event = self.event(Some(deadline)).map_err(|Lost(why)| Failure::Unknown(why))?;
            if let Some(event) = event {
                if self.aside.len() >= MAX_ASIDE {
                    return Err(Failure::Unknown("too much came before the answer".into()));
                }
                self.aside.push_back(event);
            } else if Instant::now() >= deadline {
                return Err(Failure::Unknown("no answer in time".into()));
            }
        }
    }

    /// Answers a call: with what the function returns, whatever value that is, or with the reason why it failed.
    pub fn answer(&mut self, seq: u32, outcome: Result<&Value, &str>) -> Result<(), Lost> {
        let mut frame = String::new();
        message::response_head(&mut frame, seq, Kind::Rpc.as_str(), self.tega_id.as_str());
        match outcome {
            // In this form a result that looks like a refusal isn't taken for one.
            Ok(value) => {
                let _ = write!(frame, "{{\"result\":{value}}}");
            }
            Err(why) => Refusal::new("rpc_failed", why).write(&mut frame),
        }
        self.send(&frame).map_err(|error| Lost(said(&error)))
    }

    /// What comes next. `None`: nothing until the deadline.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, Lost> {
        if let Some(event) = self.aside.pop_front() {
            return Ok(Some(event));
        }
        loop {
            match self.event(deadline)? {
                None if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
                event => return Ok(event),
            }
        }
    }

    /// Ends the session in good order.
    pub fn close(mut self) {
        let mut bytes = Vec::new();
        frames::close(mask(), &mut bytes);
        // The server ends the session with the connection too.
        let _ = self.stream.write_all(&bytes);
    }

    /// One frame of the server's. `None`: it was an answer, or nothing came until the deadline.
    fn event(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, Lost> {
        let Some(text) = self.frame(deadline)? else { return Ok(None) };
        let not_read = |why: String| Lost(format!("a frame that can't be read: {why}"));
        let frame = FromServer::read(&text).map_err(|error| not_read(error.to_string()))?;
        let json = |text: &str| json(text).map_err(not_read);
        Ok(match frame {
            FromServer::Notify { entries } => Some(Event::Notify(json(entries)?)),
            FromServer::Message { channel, tega_id, body } => {
                Some(Event::Message(channel.into(), tega_id.into(), json(body)?))
            }
            FromServer::Error { body } => Some(Event::Refused(refusal_of(body))),
            FromServer::Response { seq, body, .. } => {
                let body = json(body)?;
                self.answers.push((seq, body));
                None
            }
            FromServer::Request { seq, kind, tega_id, path: Some(word), body }
                if self.serves && kind == Kind::Rpc.as_str() =>
            {
                let path = Path::from_wire(word).map_err(|error| not_read(error.to_string()))?;
                let body = json(body.unwrap_or("{}"))?;
                Some(Event::Called(Call { seq, caller: tega_id.map(Into::into), path, body }))
            }
            FromServer::Request { seq, kind, tega_id, .. } => {
                self.decline(seq, kind, tega_id).map_err(|error| Lost(said(&error)))?;
                None
            }
            FromServer::SessionAck { .. } => None,
        })
    }

    /// Nobody serves this here.
    fn decline(&mut self, seq: u32, kind: &str, caller: Option<&str>) -> io::Result<()> {
        let mut frame = String::new();
        message::response_head(&mut frame, seq, kind, caller.unwrap_or("None"));
        frame.push_str(&Refusal::new("rpc_failed", "this client serves no functions").to_json());
        self.send(&frame)
    }

    /// The next text message; pings are answered on the way. `None`: nothing until the deadline.
    fn frame(&mut self, deadline: Option<Instant>) -> Result<Option<String>, Lost> {
        loop {
            let mut answer = Vec::new();
            match self.decoder.message().map_err(|why| Lost(format!("the server sent {why}")))? {
                Some(Incoming::Text(text)) => return Ok(Some(text.to_string())),
                Some(Incoming::Pieces(text)) => return Ok(Some(text)),
                Some(Incoming::Ping(payload)) => frames::pong(payload, mask(), &mut answer),
                Some(Incoming::Pong) => continue,
                Some(Incoming::Close(code, reason)) => {
                    return Err(Lost(
                        format!("the server closed the session: {code} {reason}").trim_end().into(),
                    ));
                }
                None => {
                    if !self.fill(deadline)? {
                        return Ok(None);
                    }
                }
            }
            self.stream.write_all(&answer).map_err(|error| Lost(said(&error)))?;
        }
    }

    /// Reads what is there, or waits. `false`: the deadline passed.
    fn fill(&mut self, deadline: Option<Instant>) -> Result<bool, Lost> {
        loop {
            let wait = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Ok(false),
                Some(left) => left.min(PING_AFTER),
                None => PING_AFTER,
            };
            self.stream.set_patience(wait).map_err(|error| Lost(said(&error)))?;
            let mut bytes = Vec::new();
            match fill(&mut self.stream, &mut bytes) {
                Ok(()) => {
                    self.unanswered = 0;
                    self.decoder.push(&bytes);
                    return Ok(true);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if wait == PING_AFTER {
                        self.ask()?;
                    }
                }
                Err(error) => return Err(Lost(said(&error))),
            }
        }
    }

    fn ask(&mut self) -> Result<(), Lost> {
        self.unanswered += 1;
        if self.unanswered > MISSED_PINGS {
            return Err(Lost("the server is silent".into()));
        }
        let mut bytes = Vec::new();
        frames::ping(mask(), &mut bytes);
        self.stream.write_all(&bytes).map_err(|error| Lost(said(&error)))
    }
}

/// The mask of a frame. It is no secret; without random numbers a fixed one does.
fn mask() -> [u8; 4] {
    let mut mask = [7; 4];
    let _ = getrandom::fill(&mut mask);
    mask
}

fn json(text: &str) -> Result<Value, String> {
    Value::parse_with(text, Limits::wrapped()).map_err(|error| error.to_string())
}

fn refusal_of(body: &str) -> Refusal {
    let told = json(body).ok().and_then(|body| Refusal::from_json(&body));
    told.unwrap_or_else(|| Refusal::new("internal", "a refusal that can't be read"))
}
