//! Command lines: what each side may send, read from a frame without a copy and written to the end of a `String`.

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::commit::TegaId;
use crate::path::Path;

/// A frame that can't be read: what was wrong and what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFrame(String);

impl BadFrame {
    /// With this text.
    pub fn new(message: impl Into<String>) -> BadFrame {
        BadFrame(message.into())
    }
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadFrame {}

pub(super) fn bad<T>(message: impl Into<String>) -> Result<T, BadFrame> {
    Err(BadFrame(message.into()))
}

/// How far a session or a channel reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This server only.
    Local,
    /// The global server too.
    Global,
}

impl Scope {
    /// `local` or `global`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Local => "local",
            Scope::Global => "global",
        }
    }

    fn read(word: &str) -> Option<Scope> {
        match word {
            "local" => Some(Scope::Local),
            "global" => Some(Scope::Global),
            _ => None,
        }
    }
}

/// What a session understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The original's: SESSIONACK, NOTIFY, MESSAGE, REQUEST and RESPONSE, closed where it can't be served.
    Original,
    /// Ours: entries with root, incarnation, version and position; refusals come as frames.
    Second,
}

impl Dialect {
    /// 1 or 2.
    pub fn number(self) -> u8 {
        match self {
            Dialect::Original => 1,
            Dialect::Second => 2,
        }
    }
}

/// The type of a REQUEST and its RESPONSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the words of the grammar; the chapter has them")]
pub enum Kind {
    Rpc,
    Sync,
    Refer,
    Get,
    Put,
    Delete,
    Commit,
    Rollback,
    Clear,
    Subscribe,
}

impl Kind {
    /// Every type.
    pub const ALL: [Kind; 10] = [
        Kind::Rpc,
        Kind::Sync,
        Kind::Refer,
        Kind::Get,
        Kind::Put,
        Kind::Delete,
        Kind::Commit,
        Kind::Rollback,
        Kind::Clear,
        Kind::Subscribe,
    ];

    /// As it stands in the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Rpc => "RPC",
            Kind::Sync => "SYNC",
            Kind::Refer => "REFER",
            Kind::Get => "GET",
            Kind::Put => "PUT",
            Kind::Delete => "DELETE",
            Kind::Commit => "COMMIT",
            Kind::Rollback => "ROLLBACK",
            Kind::Clear => "CLEAR",
            Kind::Subscribe => "SUBSCRIBE",
        }
    }

    /// Reads the word.
    pub fn read(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A channel as it stands in a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelName<'a> {
    /// Still percent-encoded.
    pub word: &'a str,
    /// Whether it's a regex over whole paths.
    pub regex: bool,
}

impl<'a> ChannelName<'a> {
    /// The path, where this is no regex: percent-decoded, and with the original's `\.` read as `.`.
    pub fn path(self) -> Result<Path, BadFrame> {
        let word = if self.word.contains("\\.") {
            Cow::Owned(self.word.replace("\\.", "."))
        } else {
            Cow::Borrowed(self.word)
        };
        Path::from_wire(&word).map_err(|e| BadFrame(format!("channel: {e}")))
    }

    /// The regex: only `%20`, `%0A` and `%25` are decoded, for a regex may hold other `%XX` as they are.
    pub fn regex(self) -> Cow<'a, str> {
        if !self.word.contains('%') {
            return Cow::Borrowed(self.word);
        }
        let mut out = String::with_capacity(self.word.len());
        let mut rest = self.word;
        while let Some(at) = rest.find('%') {
            let (before, tail) = rest.split_at(at);
            out.push_str(before);
            let decoded = [("%20", ' '), ("%0A", '\n'), ("%0a", '\n'), ("%25", '%')]
                .into_iter()
                .find_map(|(code, c)| Some((c, tail.strip_prefix(code)?)));
            let (c, after) = decoded.unwrap_or(('%', tail.strip_prefix('%').unwrap_or("")));
            out.push(c);
            rest = after;
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the words of the grammar; the chapter has them")]
pub enum FromClient<'a> {
    Session {
        tega_id: TegaId,
        scope: Scope,
        dialect: Dialect,
    },
    Subscribe {
        channel: ChannelName<'a>,
        scope: Scope,
    },
    Unsubscribe {
        channel: Option<ChannelName<'a>>,
    },
    Publish {
        channel: &'a str,
        body: &'a str,
    },
    Request {
        seq: u32,
        kind: &'a str,
        tega_id: Option<&'a str>,
        path: Option<&'a str>,
        body: Option<&'a str>,
    },
    Response {
        seq: u32,
        body: &'a str,
    },
    /// From an original local server only: what changed there.
    Notify {
        entries: &'a str,
    },
    /// From an original local server only: what somebody there published.
    Message {
        channel: &'a str,
        tega_id: &'a str,
        body: &'a str,
    },
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the words of the grammar; the chapter has them")]
pub enum FromServer<'a> {
    SessionAck {
        tega_id: &'a str,
    },
    Notify {
        entries: &'a str,
    },
    Message {
        channel: &'a str,
        tega_id: &'a str,
        body: &'a str,
    },
    Request {
        seq: u32,
        kind: &'a str,
        tega_id: Option<&'a str>,
        path: Option<&'a str>,
        body: Option<&'a str>,
    },
    Response {
        seq: u32,
        kind: &'a str,
        body: &'a str,
    },
    Error {
        body: &'a str,
    },
}

/// A frame's command, the rest of its command line, and its body.
pub(super) fn split(frame: &str) -> (&str, &str, Option<&str>) {
    let (line, body) = match frame.split_once('\n') {
        Some((line, body)) => (line, Some(body)),
        None => (frame, None),
    };
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    (command, rest, body.filter(|b| !b.is_empty()))
}

/// `None` and `-` are how an absent field is written.
pub(super) fn present(word: &str) -> Option<&str> {
    (!matches!(word, "" | "None" | "-")).then_some(word)
}

/// At most so much of a client's text goes into a message about it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

pub(super) fn seq(word: &str) -> Result<u32, BadFrame> {
    // `parse` would take a leading `+`.
    match word.parse() {
        Ok(seq) if !word.starts_with('+') => Ok(seq),
        _ => bad(format!("seq {:?}: a number from 0 to {} wanted", shown(word), u32::MAX)),
    }
}

pub(super) fn flag(word: &str) -> Option<bool> {
    match word {
        "True" | "true" => Some(true),
        "False" | "false" => Some(false),
        _ => None,
    }
}

/// Takes the last word off where `read` knows it, but never the only one.
pub(super) fn last<T>(words: &mut &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let (before, word) = words.rsplit_once(' ')?;
    let value = read(word)?;
    *words = before;
    Some(value)
}

pub(super) fn body<'a>(command: &str, body: Option<&'a str>) -> Result<&'a str, BadFrame> {
    body.ok_or_else(|| BadFrame(format!("{command} needs a second line with JSON")))
}

impl<'a> FromClient<'a> {
    /// Reads a frame that a client sent.
    pub fn read(frame: &'a str) -> Result<FromClient<'a>, BadFrame> {
        let (command, mut rest, json) = split(frame);
        match command {
            "REQUEST" => {
                let (seq, kind, tega_id, path) = request_line(rest)?;
                Ok(FromClient::Request { seq, kind, tega_id, path, body: json })
            }
            "RESPONSE" => {
                let (seq, _) = response_line(rest)?;
                Ok(FromClient::Response { seq, body: body(command, json)? })
            }
            "SESSION" => read_session(rest),
            "SUBSCRIBE" => {
                let regex = last(&mut rest, flag).unwrap_or(false);
                let scope = last(&mut rest, Scope::read).unwrap_or(Scope::Local);
                match rest.trim() {
                    "" => bad("SUBSCRIBE channel [local|global] [True|False]: the channel is missing"),
                    word => Ok(FromClient::Subscribe { channel: ChannelName { word, regex }, scope }),
                }
            }
            "UNSUBSCRIBE" => {
                let regex = last(&mut rest, flag).unwrap_or(false);
                let word = rest.trim();
                let channel = (!word.is_empty()).then_some(ChannelName { word, regex });
                Ok(FromClient::Unsubscribe { channel })
            }
            "PUBLISH" => match rest.trim() {
                "" => bad("PUBLISH channel: the channel is missing"),
                channel => Ok(FromClient::Publish { channel, body: body(command, json)? }),
            },
            "NOTIFY" => Ok(FromClient::Notify { entries: body(command, json)? }),
            "MESSAGE" => match rest.rsplit_once(' ') {
                Some((channel, tega_id)) => {
                    Ok(FromClient::Message { channel, tega_id, body: body(command, json)? })
                }
                None => bad("MESSAGE channel tega_id: a word is missing"),
            },
            other => bad(format!(
                "command {:?}: SESSION, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, REQUEST or RESPONSE wanted",
                shown(other)
            )),
        }
    }
}

fn read_session<'a>(rest: &str) -> Result<FromClient<'a>, BadFrame> {
    let mut words = rest.split(' ').filter(|w| !w.is_empty());
    let id = words.next().unwrap_or_default();
    let tega_id = TegaId::new(id).map_err(|e| BadFrame(e.to_string()))?;
    let scope = match words.next() {
        None => Scope::Local,
        Some(word) => Scope::read(word)
            .ok_or_else(|| BadFrame(format!("scope {:?}: local or global wanted", shown(word))))?,
    };
    let dialect = match words.next() {
        None | Some("1") => Dialect::Original,
        Some("2") => Dialect::Second,
        Some(word) => return bad(format!("dialect {:?}: this server speaks 1 and 2", shown(word))),
    };
    if words.next().is_some() {
        return bad("SESSION tega_id scope [dialect]: too many words");
    }
    Ok(FromClient::Session { tega_id, scope, dialect })
}

type RequestLine<'a> = (u32, &'a str, Option<&'a str>, Option<&'a str>);

fn request_line(rest: &str) -> Result<RequestLine<'_>, BadFrame> {
    let mut words = rest.splitn(4, ' ');
    let seq = seq(words.next().unwrap_or_default())?;
    let Some(kind) = words.next() else { return bad("REQUEST seq type tega_id path: the type is missing") };
    let tega_id = words.next().and_then(present);
    Ok((seq, kind, tega_id, words.next().map(str::trim).and_then(present)))
}

fn response_line(rest: &str) -> Result<(u32, &str), BadFrame> {
    let mut words = rest.splitn(3, ' ');
    let seq = seq(words.next().unwrap_or_default())?;
    Ok((seq, words.next().unwrap_or_default()))
}

impl<'a> FromServer<'a> {
    /// Reads a frame that a server sent.
    pub fn read(frame: &'a str) -> Result<FromServer<'a>, BadFrame> {
        let (command, rest, json) = split(frame);
        match command {
            "RESPONSE" => {
                let (seq, kind) = response_line(rest)?;
                Ok(FromServer::Response { seq, kind, body: body(command, json)? })
            }
            "NOTIFY" => Ok(FromServer::Notify { entries: body(command, json)? }),
            "MESSAGE" => match rest.rsplit_once(' ') {
                Some((channel, tega_id)) => {
                    Ok(FromServer::Message { channel, tega_id, body: body(command, json)? })
                }
                None => bad("MESSAGE channel tega_id: a word is missing"),
            },
            "REQUEST" => {
                let (seq, kind, tega_id, path) = request_line(rest)?;
                Ok(FromServer::Request { seq, kind, tega_id, path, body: json })
            }
            "SESSIONACK" if !rest.is_empty() => Ok(FromServer::SessionAck { tega_id: rest }),
            "ERROR" => Ok(FromServer::Error { body: body(command, json)? }),
            other => bad(format!("the server sent {:?}, which isn't of this grammar", shown(other))),
        }
    }
}

// Writing to a String can't fail, so the results of `write!` are dropped here.

/// Appends `SESSION tega_id scope [2]`.
pub fn session(out: &mut String, tega_id: &TegaId, scope: Scope, dialect: Dialect) {
    let _ = write!(out, "SESSION {tega_id} {}", scope.as_str());
    if dialect == Dialect::Second {
        out.push_str(" 2");
    }
}

/// Appends `SESSIONACK tega_id`.
pub fn session_ack(out: &mut String, tega_id: &TegaId) {
    let _ = write!(out, "SESSIONACK {tega_id}");
}

/// A channel, a path in its dotted form or a regex, as a word of a command line.
pub fn channel_word(channel: &str, regex: bool) -> Cow<'_, str> {
    if !channel.bytes().any(|b| matches!(b, b'%' | b' ' | b'\n' | b'\r')) {
        return Cow::Borrowed(channel);
    }
    let word = channel.replace('%', "%25").replace(' ', "%20").replace('\n', "%0A");
    // A regex has no code for a carriage return, and no key that it could match needs one spelled so.
    Cow::Owned(if regex { word } else { word.replace('\r', "%0D") })
}

/// Appends `SUBSCRIBE channel scope flag`; the channel as plain text, a path or a regex.
pub fn subscribe(out: &mut String, channel: &str, scope: Scope, regex: bool) {
    let flag = if regex { "True" } else { "False" };
    let _ = write!(out, "SUBSCRIBE {} {} {flag}", channel_word(channel, regex), scope.as_str());
}

/// Appends `UNSUBSCRIBE channel flag`, or for `None` the UNSUBSCRIBE of everything.
pub fn unsubscribe(out: &mut String, channel: Option<(&str, bool)>) {
    out.push_str("UNSUBSCRIBE");
    if let Some((channel, regex)) = channel {
        let _ = write!(out, " {} {}", channel_word(channel, regex), if regex { "True" } else { "False" });
    }
}

/// Appends `PUBLISH channel⏎body`; the body is JSON, `{"message":…}`.
pub fn publish(out: &mut String, channel: &Path, body: &str) {
    let _ = write!(out, "PUBLISH {}\n{body}", channel.to_wire());
}

/// Appends `MESSAGE channel tega_id⏎body`.
pub fn message(out: &mut String, channel: &Path, tega_id: &TegaId, body: &str) {
    let _ = write!(out, "MESSAGE {} {tega_id}\n{body}", channel.to_wire());
}

/// Appends `REQUEST seq type tega_id path⏎body`.
pub fn request(
    out: &mut String,
    seq: u32,
    kind: Kind,
    tega_id: Option<&TegaId>,
    path: Option<&Path>,
    body: &str,
) {
    let word = path.filter(|path| !path.is_empty()).map(Path::to_wire);
    request_word(out, seq, kind, tega_id, word.as_deref(), body);
}

/// As [`request`], with a path or regex that is a word already.
pub fn request_word(
    out: &mut String,
    seq: u32,
    kind: Kind,
    tega_id: Option<&TegaId>,
    word: Option<&str>,
    body: &str,
) {
    let id = tega_id.map_or("None", TegaId::as_str);
    let _ = write!(out, "REQUEST {seq} {} {id} {}\n{body}", kind.as_str(), word.unwrap_or("-"));
}

/// Appends `RESPONSE seq type tega_id⏎`; the body is the caller's to append.
pub fn response_head(out: &mut String, seq: u32, kind: &str, tega_id: &str) {
    let _ = writeln!(out, "RESPONSE {seq} {kind} {tega_id}");
}
