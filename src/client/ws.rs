//! A WebSocket client that speaks the second dialect, over TCP or a Unix socket.
//!
//! Requests may be pipelined: [`Client::send`] returns a seq without waiting, [`Client::next`] gives whatever comes,
//! answers and notifications alike, in the order in which the server sent it. [`Client::request`] waits for its own answer and
//! keeps the rest for later calls of `next`.
//!
//! A failure says whether the request can have happened: [`Error::Unreachable`] can't, [`Error::Lost`] may.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{self, Bytes, Message};
use futures_util::{SinkExt, StreamExt};
use smol::Timer;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;
use smol::net::unix::UnixStream;

use super::Target;
use crate::api::error::{Refusal, exit_code};
use crate::commit::{Incarnation, Position, TegaId};
use crate::message::entry::{self, Entry};
use crate::message::{self, Dialect, FromServer, Kind, Scope, body};
use crate::path::{Key, Path};
use crate::store::{Receipt, Since};
use crate::tree::Version;
use crate::value::{Limits, Value};

/// How long connecting, with the handshake and SESSIONACK, may take.
const CONNECT: Duration = Duration::from_secs(10);

/// After so much silence the server is pinged; after three unanswered pings the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(30);

const MISSED_PINGS: u32 = 3;

/// The longest message that is taken.
const MAX_ANSWER: usize = 64 << 20;

/// What can go wrong with a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// No connection: nothing happened.
    Unreachable(String),
    /// The connection ended: what was asked and not answered may have happened.
    Lost(String),
    /// The server ended the session: the WebSocket's close code and its reason.
    Closed {
        /// 4000 can't be served, 4008 lagging, 1001 going away, …
        code: u16,
        /// For people.
        reason: String,
    },
    /// The server refused the request.
    Refused(Box<Refusal>),
}

impl Error {
    /// The exit code of a command that ended so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Unreachable(_) => 5,
            Error::Lost(_) => 6,
            Error::Closed { code: 4000, .. } => 1,
            Error::Closed { code: 1013, .. } => 5,
            Error::Closed { .. } => 6,
            Error::Refused(refusal) => exit_code(refusal.code),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(why) | Error::Lost(why) => f.write_str(why),
            Error::Closed { code, reason } if reason.is_empty() => {
                write!(f, "the server ended the session ({code})")
            }
            Error::Closed { code, reason } => write!(f, "the server ended the session ({code}): {reason}"),
            Error::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(Box::new(refusal))
    }
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The answer to a request.
    Answer {
        /// As [`Client::send`] returned it.
        seq: u32,
        /// The body, or the refusal that it is.
        body: Result<Value, Refusal>,
    },
    /// A commit changed something that was subscribed to.
    Notify(Vec<Entry>),
    /// Somebody published to a channel that was subscribed to.
    Message {
        /// The channel, percent-encoded where it needs to be.
        channel: String,
        /// Who published it.
        tega_id: String,
        /// `{"message":…}`
        body: Value,
    },
    /// Somebody calls an RPC of this session; [`Client::answer`] it by its seq.
    Call {
        /// The caller's number for it.
        seq: u32,
        /// Who calls.
        caller: Option<String>,
        /// The RPC's leaf.
        path: Path,
        /// `{"args":[…],"kwargs":{…}}`
        arguments: Value,
    },
    /// A frame without a seq was refused: a SUBSCRIBE, UNSUBSCRIBE or PUBLISH.
    Refused(Refusal),
}

/// The answer to [`Client::subscribe`].
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed {
    /// The server's position when it subscribed: everything after it comes as [`Incoming::Notify`].
    pub position: Position,
    /// Where each root stood then; what a later `since` is made of.
    pub roots: Vec<(Key, Incarnation, Version)>,
    /// What happened since the point that was asked for, oldest first.
    pub missed: Vec<Entry>,
    /// That point is no longer in the history; start again from the present state.
    pub gone: bool,
    /// The present state: where it was asked for, or where `gone`. `None` also where it's too large for this answer.
    pub value: Option<Value>,
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// A session of a tega seen from outside.
pub struct Client {
    ws: WebSocketStream<Box<dyn Both>>,
    /// For messages.
    target: Target,
    tega_id: TegaId,
    server: String,
    last_seq: u32,
    /// What came while something else was waited for.
    kept: VecDeque<Incoming>,
}

async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    smol::future::or(async { Some(what.await) }, async {
        Timer::after(limit).await;
        None
    })
    .await
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(MAX_ANSWER))
        .max_frame_size(Some(MAX_ANSWER))
}

impl Client {
    /// Connects and begins a session.
    pub async fn connect(target: &Target, tega_id: &TegaId) -> Result<Client, Error> {
        Client::connect_with(target, tega_id, Scope::Local).await
    }

    /// Connects and begins a session of this scope.
    pub async fn connect_with(target: &Target, tega_id: &TegaId, scope: Scope) -> Result<Client, Error> {
        let connected = within(CONNECT, Client::begin(target, tega_id, scope)).await;
        connected.unwrap_or_else(|| {
            Err(Error::Unreachable(format!("{target}: no answer within {} s", CONNECT.as_secs())))
        })
    }

    async fn begin(target: &Target, tega_id: &TegaId, scope: Scope) -> Result<Client, Error> {
        let unreachable = |why: &dyn fmt::Display| Error::Unreachable(format!("{target}: {why}"));
        let stream: Box<dyn Both> = match target {
            Target::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| unreachable(&e))?;
                // Small frames shouldn't wait for each other; without it they are only slower.
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Target::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|e| unreachable(&e))?),
        };
        let url = format!("ws://{}/_pubsub", target.host());
        let shaken = async_tungstenite::client_async_with_config(url, stream, Some(config())).await;
        let (ws, _) = shaken.map_err(|error| match error {
            tungstenite::Error::Http(answer) => {
                let said = answer.body().as_deref().and_then(|body| Value::parse_bytes(body).ok());
                match said.as_ref().and_then(Refusal::from_json) {
                    Some(refusal) => refusal.into(),
                    None => unreachable(&format!("the server answered {} to the handshake", answer.status())),
                }
            }
            error => unreachable(&error),
        })?;
        let (target, tega_id) = (target.clone(), tega_id.clone());
        let mut client =
            Client { ws, target, tega_id, server: String::new(), last_seq: 0, kept: VecDeque::new() };
        let mut hello = String::new();
        message::session(&mut hello, &client.tega_id, scope, Dialect::Second);
        client.feed(hello).await?;
        client.flush().await?;
        let frame = client.frame().await?;
        match FromServer::read(&frame) {
            Ok(FromServer::SessionAck { tega_id }) => client.server = tega_id.to_owned(),
            _ => return Err(client.nonsense(&frame)),
        }
        Ok(client)
    }

    /// The server's tega ID.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The session's tega ID.
    pub fn tega_id(&self) -> &TegaId {
        &self.tega_id
    }

    fn lost(&self, why: impl fmt::Display) -> Error {
        Error::Lost(format!("{}: the connection was lost: {why}", self.target))
    }

    fn nonsense(&self, frame: &str) -> Error {
        let shown: String = frame.chars().take(60).collect();
        self.lost(format!("the server sent {shown:?}, which isn't understood"))
    }

    async fn feed(&mut self, frame: String) -> Result<(), Error> {
        self.ws.feed(Message::text(frame)).await.map_err(|e| self.lost(e))
    }

    /// Sends what was queued.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.ws.flush().await.map_err(|e| self.lost(e))
    }

    /// Queues a request and returns its seq. It goes out with the next [`flush`](Client::flush), `next` or `request`, or when
    /// the buffer is full. `path` is a word of a command line ([`Path::to_wire`], or a regex), `None` the top.
    pub async fn send(&mut self, kind: Kind, path: Option<&str>, body: &str) -> Result<u32, Error> {
        self.last_seq = self.last_seq.wrapping_add(1);
        let seq = self.last_seq;
        let mut frame = String::with_capacity(64 + body.len());
        message::request_word(&mut frame, seq, kind, Some(&self.tega_id), path, body);
        self.feed(frame).await?;
        Ok(seq)
    }

    /// Sends a request and waits for its answer. What else comes meanwhile is kept for [`next`](Client::next).
    pub async fn request(&mut self, kind: Kind, path: Option<&str>, body: &str) -> Result<Value, Error> {
        let asked = self.send(kind, path, body).await?;
        self.flush().await?;
        loop {
            match self.receive().await? {
                Incoming::Answer { seq, body } if seq == asked => return Ok(body?),
                other => self.kept.push_back(other),
            }
        }
    }

    /// What the server sends next. Waits as long as the connection lives; a silent server is pinged, and lost after the third
    /// unanswered ping. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        if let Some(kept) = self.kept.pop_front() {
            return Ok(kept);
        }
        self.flush().await?;
        self.receive().await
    }

    async fn receive(&mut self) -> Result<Incoming, Error> {
        let frame = self.frame().await?;
        self.read(&frame).ok_or_else(|| self.nonsense(&frame))
    }

    /// The next text frame.
    async fn frame(&mut self) -> Result<tungstenite::Utf8Bytes, Error> {
        let mut silent = 0;
        loop {
            match within(SILENCE, self.ws.next()).await {
                Some(Some(Ok(Message::Text(text)))) => return Ok(text),
                Some(Some(Ok(Message::Close(Some(frame))))) => {
                    return Err(Error::Closed { code: frame.code.into(), reason: frame.reason.to_string() });
                }
                Some(Some(Ok(Message::Close(None)) | Err(tungstenite::Error::ConnectionClosed)) | None) => {
                    return Err(self.lost("the server closed it"));
                }
                Some(Some(Ok(_))) => silent = 0,
                Some(Some(Err(error))) => return Err(self.lost(error)),
                None if silent == MISSED_PINGS => return Err(self.lost("the server is silent")),
                None => {
                    silent += 1;
                    self.ws.send(Message::Ping(Bytes::new())).await.map_err(|e| self.lost(e))?;
                }
            }
        }
    }

    fn read(&self, frame: &str) -> Option<Incoming> {
        let json = |text| Value::parse_with(text, Limits::wrapped()).ok();
        let refusal = |body: &Value| match body.as_object()?.members() {
            [(key, _)] if key == "error" => Refusal::from_json(body),
            _ => None,
        };
        Some(match FromServer::read(frame).ok()? {
            FromServer::Response { seq, body, .. } => {
                let body = json(body)?;
                Incoming::Answer { seq, body: refusal(&body).map_or(Ok(body), Err) }
            }
            FromServer::Notify { entries } => Incoming::Notify(entry::read_list(&json(entries)?)?),
            FromServer::Message { channel, tega_id, body } => {
                Incoming::Message { channel: channel.into(), tega_id: tega_id.into(), body: json(body)? }
            }
            FromServer::Request { seq, tega_id, path, body, .. } => Incoming::Call {
                seq,
                caller: tega_id.map(str::to_owned),
                path: Path::from_wire(path?).ok()?,
                arguments: json(body.unwrap_or("{}"))?,
            },
            FromServer::Error { body } => Incoming::Refused(Refusal::from_json(&json(body)?)?),
            FromServer::SessionAck { .. } => return None,
        })
    }

    /// The value at a path, with its version where it has one. `None`: the top.
    pub async fn get(&mut self, path: Option<&Path>) -> Result<(Value, Option<i64>), Error> {
        let word = path.map(Path::to_wire);
        let answer = self.request(Kind::Get, word.as_deref(), "{}").await?;
        let value = answer.get("value").cloned().ok_or_else(|| self.nonsense("an answer without a value"))?;
        Ok((value, answer.get("version").and_then(Value::as_int)))
    }

    /// Sends a write, which is answered with a receipt.
    pub async fn write(&mut self, kind: Kind, path: Option<&Path>, body: &str) -> Result<Receipt, Error> {
        let word = path.map(Path::to_wire);
        let answer = self.request(kind, word.as_deref(), body).await?;
        body::read_receipt(&answer).ok_or_else(|| self.nonsense("an answer without a receipt"))
    }

    /// Listens to a channel from now on, or from where `since` says. `channel` is a path in its dotted form, or a regex.
    pub async fn subscribe(
        &mut self,
        channel: &str,
        regex: bool,
        since: Option<&Since>,
        state: bool,
    ) -> Result<Subscribed, Error> {
        let word = message::channel_word(channel, regex);
        let answer =
            self.request(Kind::Subscribe, Some(&word), &body::subscribe(regex, since, state)).await?;
        read_subscribed(&answer).ok_or_else(|| self.nonsense("an answer without a position"))
    }

    /// Listens to a channel no longer; `None`: to none. Not answered.
    pub async fn unsubscribe(&mut self, channel: Option<(&str, bool)>) -> Result<(), Error> {
        let mut frame = String::new();
        message::unsubscribe(&mut frame, channel);
        self.feed(frame).await?;
        self.flush().await
    }

    /// Publishes a message. Not answered.
    pub async fn publish(&mut self, channel: &Path, text: &Value) -> Result<(), Error> {
        let mut frame = String::new();
        message::publish(&mut frame, channel, &format!("{{\"message\":{text}}}"));
        self.feed(frame).await?;
        self.flush().await
    }

    /// Calls the RPC at a path and waits for its result. `arguments` is `{"args":[…],"kwargs":{…}}`.
    pub async fn call(&mut self, path: &Path, arguments: &Value) -> Result<Value, Error> {
        let answer = self.request(Kind::Rpc, Some(&path.to_wire()), &arguments.to_string()).await?;
        answer.get("result").cloned().ok_or_else(|| self.nonsense("an answer without a result"))
    }

    /// Answers an [`Incoming::Call`].
    pub async fn answer(&mut self, seq: u32, result: Result<&Value, &Refusal>) -> Result<(), Error> {
        let mut frame = String::new();
        message::response_head(&mut frame, seq, Kind::Rpc.as_str(), self.tega_id.as_str());
        match result {
            Ok(value) => frame.push_str(&format!("{{\"result\":{value}}}")),
            Err(refusal) => refusal.write(&mut frame),
        }
        self.feed(frame).await?;
        self.flush().await
    }

    /// Ends the session in good order.
    pub async fn close(mut self) {
        // Whatever goes wrong now, the session ends.
        let _ = within(SILENCE, self.ws.close(None)).await;
    }
}

fn read_subscribed(answer: &Value) -> Option<Subscribed> {
    Some(Subscribed {
        position: Position(u64::try_from(answer.get("position")?.as_int()?).ok()?),
        roots: body::read_roots(answer.get("roots")?)?,
        missed: answer.get("missed").map_or(Some(Vec::new()), entry::read_list)?,
        gone: answer.get("gone").and_then(Value::as_bool).unwrap_or(false),
        value: answer.get("value").cloned(),
    })
}
