//! The grammar of a link: what a local server and its global one say to each other, both ends of each frame.
//!
//! Text frames as everywhere: a command line, then for most a line end and a body. After the first two frames both
//! sides are equal: each is the **source** of the roots that it is home of and the **follower** of the other's.
//!
//! | frame | who | says |
//! | --- | --- | --- |
//! | `LINK tega_id instance⏎HELLO` | the local, first | who it is, which run of it, what it has of the roots that it follows and serves |
//! | `LINKED tega_id⏎WELCOME` | the global's answer | what it has of the served roots, which it refused, which it hands over |
//! | `BEGIN position⏎{"roots":[…]}` | source | commits follow, the first after this position |
//! | `SNAPSHOT position⏎{"roots":[…]}`, `LINES⏎line⏎…`, `SNAPPED position crc` | source | all of these roots as they are at this position; the CRC-32 of all LINES' bodies |
//! | `COMMIT position after⏎RECORD` | source | a commit, and the position of the one before it |
//! | `PART⏎text` | source | the beginning of the body of the next LINES or COMMIT, which is too long for one frame |
//! | `AT position after` | source | all that there is up to here was sent; `after` as in a COMMIT |
//! | `ACK position` | follower | all up to here is applied |
//! | `RESYNC⏎{"known":STANDINGS}` | follower | begin anew, from what I have |
//! | `WRITE seq tega_id⏎BODY`, `FRESH seq root`, `CALL seq tega_id path⏎BODY` | both | a request |
//! | `PROVE seq root nonce` | both | a request that proves the way there and back: its answer has the nonce, and the root's version at its home |
//! | `DONE seq⏎BODY` | both | its answer, or `{"error":…}` |
//! | `PUBLISH channel tega_id⏎{"message":…}` | both | a message |
//! | `LISTEN channel [True]`, `UNLISTEN channel [True]` | local | which channels its sessions listen to; `True`: a regex |
//! | `NOTIFY channel True\|False⏎[entries]` | global | a change in roots that the link doesn't carry, for such a channel |
//! | `PRESENCE⏎BODY` | both | ephemeral nodes: all of them, then what came and went |
//! | `SESSIONS⏎[tega_id,…]` | local | who has a session there now, each once, [`MAX_SESSIONS`](body::MAX_SESSIONS) at most |
//!
//! STANDINGS is `{ROOT:["INCARNATION",VERSION,"DIGEST"]|null}`. A frame is [`MAX_MESSAGE`](super::MAX_MESSAGE) bytes
//! at most. The bodies are in [`body`].
//!
//! **Errors.** A frame that can't be read is a [`BadFrame`] that says what was wanted; a link ends with it, since the
//! other end is another version or no tega at all. A request whose line can be read but whose body can't is answered.

pub mod body;

use std::fmt::Write;

use super::BadFrame;
use super::frame::{self, ChannelName, bad, channel_word, seq, shown, split};
use crate::commit::{Incarnation, Position, TegaId};
use crate::path::{Key, Path};
use crate::store::Channel;

pub use body::{Hello, Leased, Presence, Refused, Welcome};

/// The version of this grammar, in HELLO and WELCOME. Both ends keep to the older one of theirs.
pub const PROTOCOL: u32 = 3;

/// From this version on a snapshot's LINES may hold outcomes of requests.
pub const WITH_OUTCOMES: u32 = 2;

/// From this version on [`Frame::Prove`] is understood.
pub const WITH_PROOF: u32 = 3;

/// The longest body of a LINES or COMMIT in one frame, in bytes; what is longer goes ahead in [`Frame::Part`]s.
pub const MAX_PIECE: usize = 256 << 10;

/// The longest body of a LINES or COMMIT with all its PARTs, in bytes: the log's longest record.
pub const MAX_BODY: usize = 16 << 20;

/// A frame, borrowed from its text.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the words of the grammar; the chapter has them")]
pub enum Frame<'a> {
    Link { tega_id: TegaId, instance: Incarnation, hello: Hello },
    Linked { tega_id: TegaId, welcome: Welcome },
    Begin { position: Position, roots: Vec<Key> },
    Snapshot { position: Position, roots: Vec<Key> },
    Lines { lines: &'a str },
    Snapped { position: Position, crc: u32 },
    Commit { position: Position, after: Position, record: &'a str },
    Part { text: &'a str },
    At { position: Position, after: Position },
    Ack { position: Position },
    Resync { known: body::Standings },
    Write { seq: u32, tega_id: Option<TegaId>, body: &'a str },
    Fresh { seq: u32, root: Key },
    Prove { seq: u32, root: Key, nonce: u64 },
    Call { seq: u32, tega_id: Option<TegaId>, path: Path, body: &'a str },
    Done { seq: u32, body: &'a str },
    Publish { channel: ChannelName<'a>, tega_id: TegaId, body: &'a str },
    Listen { channel: ChannelName<'a>, on: bool },
    Notify { channel: ChannelName<'a>, entries: &'a str },
    Presence { body: &'a str },
    Sessions { body: &'a str },
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// ```
    /// use tega::{commit::Position, message::link::{self, Frame}};
    /// let text = link::commit(Position(7), Position(5), "{}");
    /// assert_eq!(text, "COMMIT 7 5\n{}");
    /// let wanted = Frame::Commit { position: Position(7), after: Position(5), record: "{}" };
    /// assert_eq!(Frame::read(&text)?, wanted);
    /// # Ok::<(), tega::message::BadFrame>(())
    /// ```
    pub fn read(text: &'a str) -> Result<Frame<'a>, BadFrame> {
        let (command, rest, json) = split(text);
        let body = || frame::body(command, json);
        let mut words = Words { command, rest: Some(rest).filter(|rest| !rest.is_empty()) };
        let frame = match command {
            "LINK" => Frame::Link {
                tega_id: words.tega_id()?,
                instance: words.instance()?,
                hello: body::read_hello(body()?)?,
            },
            "LINKED" => Frame::Linked { tega_id: words.tega_id()?, welcome: body::read_welcome(body()?)? },
            "BEGIN" => Frame::Begin { position: words.position()?, roots: body::read_root_list(body()?)? },
            "SNAPSHOT" => {
                Frame::Snapshot { position: words.position()?, roots: body::read_root_list(body()?)? }
            }
            "LINES" => Frame::Lines { lines: body()? },
            "SNAPPED" => Frame::Snapped { position: words.position()?, crc: words.crc()? },
            "COMMIT" => {
                Frame::Commit { position: words.position()?, after: words.position()?, record: body()? }
            }
            "PART" => Frame::Part { text: body()? },
            "AT" => Frame::At { position: words.position()?, after: words.position()? },
            "ACK" => Frame::Ack { position: words.position()? },
            "RESYNC" => Frame::Resync { known: body::read_known(body()?)? },
            "WRITE" => Frame::Write { seq: words.seq()?, tega_id: words.caller()?, body: body()? },
            "FRESH" => Frame::Fresh { seq: words.seq()?, root: words.root()? },
            "PROVE" => Frame::Prove { seq: words.seq()?, root: words.root()?, nonce: words.nonce()? },
            "CALL" => Frame::Call {
                seq: words.seq()?,
                tega_id: words.caller()?,
                path: words.path()?,
                body: body()?,
            },
            "DONE" => Frame::Done { seq: words.seq()?, body: body()? },
            "PUBLISH" => Frame::Publish {
                channel: ChannelName { word: words.word("a channel")?, regex: false },
                tega_id: words.tega_id()?,
                body: body()?,
            },
            "LISTEN" | "UNLISTEN" => Frame::Listen { channel: words.channel()?, on: command == "LISTEN" },
            "NOTIFY" => Frame::Notify { channel: words.channel()?, entries: body()? },
            "PRESENCE" => Frame::Presence { body: body()? },
            "SESSIONS" => Frame::Sessions { body: body()? },
            other => return bad(format!("command {:?} isn't of a link's grammar", shown(other))),
        };
        match words.rest {
            None => Ok(frame),
            Some(more) => bad(format!("{command}: {:?} is too much", shown(more))),
        }
    }

    /// Whether it belongs to the handshake or to replication: [`Replication`](crate::link::Replication) takes it.
    pub fn is_replication(&self) -> bool {
        use Frame::*;
        match self {
            Link { .. } | Linked { .. } | Begin { .. } | Snapshot { .. } | Lines { .. } | Snapped { .. } => {
                true
            }
            Commit { .. } | Part { .. } | At { .. } | Ack { .. } | Resync { .. } => true,
            Write { .. } | Fresh { .. } | Prove { .. } | Call { .. } | Done { .. } => false,
            Publish { .. } | Listen { .. } | Notify { .. } | Presence { .. } | Sessions { .. } => false,
        }
    }
}

/// The words of a command line that aren't read yet.
struct Words<'a> {
    command: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Words<'a> {
    fn word(&mut self, wanted: &str) -> Result<&'a str, BadFrame> {
        let Some(rest) = self.rest else { return bad(format!("{}: {wanted} is missing", self.command)) };
        let (word, after) = match rest.split_once(' ') {
            Some((word, after)) => (word, Some(after)),
            None => (rest, None),
        };
        self.rest = after;
        if word.is_empty() { bad(format!("{}: {wanted} is missing", self.command)) } else { Ok(word) }
    }

    fn wrong<T>(&self, word: &str, wanted: impl std::fmt::Display) -> Result<T, BadFrame> {
        bad(format!("{}: {:?}: {wanted}", self.command, shown(word)))
    }

    fn position(&mut self) -> Result<Position, BadFrame> {
        let word = self.word("a position")?;
        match word.parse() {
            Ok(position) if word.bytes().all(|b| b.is_ascii_digit()) => Ok(Position(position)),
            _ => self.wrong(word, "a position wanted"),
        }
    }

    fn crc(&mut self) -> Result<u32, BadFrame> {
        let word = self.word("a checksum")?;
        let digits = word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
        match u32::from_str_radix(word, 16) {
            Ok(crc) if digits => Ok(crc),
            _ => self.wrong(word, "a checksum of 8 hex digits wanted"),
        }
    }

    fn seq(&mut self) -> Result<u32, BadFrame> {
        let word = self.word("a seq")?;
        seq(word)
    }

    fn tega_id(&mut self) -> Result<TegaId, BadFrame> {
        let word = self.word("a tega ID")?;
        TegaId::new(word).or_else(|error| bad(format!("{}: {error}", self.command)))
    }

    fn caller(&mut self) -> Result<Option<TegaId>, BadFrame> {
        match self.rest.map(|rest| rest.split(' ').next().unwrap_or(rest)) {
            Some("-") => self.word("").map(|_| None),
            _ => self.tega_id().map(Some),
        }
    }

    fn instance(&mut self) -> Result<Incarnation, BadFrame> {
        let word = self.word("an instance")?;
        body::hex16(word)
            .map_or_else(|| self.wrong(word, "an instance of 16 hex digits wanted"), |n| Ok(Incarnation(n)))
    }

    fn nonce(&mut self) -> Result<u64, BadFrame> {
        let word = self.word("a nonce")?;
        body::hex16(word).map_or_else(|| self.wrong(word, "a nonce of 16 hex digits wanted"), Ok)
    }

    fn path(&mut self) -> Result<Path, BadFrame> {
        let word = self.word("a path")?;
        Path::from_wire(word).or_else(|error| self.wrong(word, error))
    }

    fn root(&mut self) -> Result<Key, BadFrame> {
        let word = self.word("a root")?;
        let path = Path::from_wire(word).or_else(|error| self.wrong(word, error))?;
        match (path.check_root(), path.keys()) {
            (Ok(_), [root]) => Ok(root.clone()),
            _ => self.wrong(word, "the name of a root wanted"),
        }
    }

    fn channel(&mut self) -> Result<ChannelName<'a>, BadFrame> {
        let word = self.word("a channel")?;
        let regex = match self.rest.take() {
            None | Some("False") => false,
            Some("True") => true,
            Some(other) => return self.wrong(other, "True or False wanted"),
        };
        Ok(ChannelName { word, regex })
    }
}

/// `LINK tega_id instance⏎HELLO`
pub fn link(tega_id: &TegaId, instance: Incarnation, hello: &Hello) -> String {
    let mut out = format!("LINK {tega_id} {instance}\n");
    body::write_hello(hello, &mut out);
    out
}

/// `LINKED tega_id⏎WELCOME`
pub fn linked(tega_id: &TegaId, welcome: &Welcome) -> String {
    let mut out = format!("LINKED {tega_id}\n");
    body::write_welcome(welcome, &mut out);
    out
}

fn with_roots(command: &str, position: Position, roots: &[Key]) -> String {
    let mut out = format!("{command} {position}\n{{\"roots\":");
    body::write_keys(roots, &mut out);
    out.push('}');
    out
}

/// `BEGIN position⏎{"roots":[…]}`
pub fn begin(position: Position, roots: &[Key]) -> String {
    with_roots("BEGIN", position, roots)
}

/// `SNAPSHOT position⏎{"roots":[…]}`
pub fn snapshot(position: Position, roots: &[Key]) -> String {
    with_roots("SNAPSHOT", position, roots)
}

/// `LINES⏎line⏎line…`; the lines without a line end at the end, at most [`MAX_PIECE`] bytes.
pub fn lines(lines: &str) -> String {
    format!("LINES\n{lines}")
}

/// `SNAPPED position crc`
pub fn snapped(position: Position, crc: u32) -> String {
    format!("SNAPPED {position} {crc:08x}")
}

/// `COMMIT position after⏎RECORD`; the record of at most [`MAX_PIECE`] bytes.
pub fn commit(position: Position, after: Position, record: &str) -> String {
    format!("COMMIT {position} {after}\n{record}")
}

/// `PART⏎text`
pub fn part(text: &str) -> String {
    format!("PART\n{text}")
}

/// What of a long body goes ahead in PARTs, piece by piece, and what is left for the frame itself: never nothing.
pub fn pieces(body: &str) -> (Vec<&str>, &str) {
    let (mut parts, mut rest) = (Vec::new(), body);
    while rest.len() > MAX_PIECE {
        let end = (0..=MAX_PIECE).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(0);
        let (piece, after) = rest.split_at(end);
        parts.push(piece);
        rest = after;
    }
    (parts, rest)
}

/// `AT position after`
pub fn at(position: Position, after: Position) -> String {
    format!("AT {position} {after}")
}

/// `ACK position`
pub fn ack(position: Position) -> String {
    format!("ACK {position}")
}

/// `RESYNC⏎{"known":STANDINGS}`
pub fn resync(known: &body::Standings) -> String {
    let mut out = String::from("RESYNC\n{\"known\":");
    body::write_standings(known, &mut out);
    out.push('}');
    out
}

fn caller(by: Option<&TegaId>) -> &str {
    by.map_or("-", TegaId::as_str)
}

/// `WRITE seq tega_id⏎BODY`; the body by [`body::write`].
pub fn write(seq: u32, by: Option<&TegaId>, body: &str) -> String {
    format!("WRITE {seq} {}\n{body}", caller(by))
}

/// `FRESH seq root`
pub fn fresh(seq: u32, root: &Key) -> String {
    format!("FRESH {seq} {}", Path::from_checked(vec![root.clone()]).to_wire())
}

/// `PROVE seq root nonce`
pub fn prove(seq: u32, root: &Key, nonce: u64) -> String {
    format!("PROVE {seq} {} {nonce:016x}", Path::from_checked(vec![root.clone()]).to_wire())
}

/// `CALL seq tega_id path⏎BODY`; the body by [`body::call`].
pub fn call(seq: u32, by: Option<&TegaId>, path: &Path, body: &str) -> String {
    format!("CALL {seq} {} {}\n{body}", caller(by), path.to_wire())
}

/// `DONE seq⏎BODY`
pub fn done(seq: u32, body: &str) -> String {
    format!("DONE {seq}\n{body}")
}

/// `PUBLISH channel tega_id⏎{"message":…}`; the channel as plain text.
pub fn publish(channel: &str, from: &TegaId, body: &str) -> String {
    format!("PUBLISH {} {from}\n{body}", channel_word(channel, false))
}

/// `LISTEN channel [True]`, or `UNLISTEN`.
pub fn listen(channel: &Channel, on: bool) -> String {
    let regex = matches!(channel, Channel::Regex { .. });
    let (text, command) = (channel.text(), if on { "LISTEN" } else { "UNLISTEN" });
    format!("{command} {}{}", channel_word(&text, regex), if regex { " True" } else { "" })
}

/// `NOTIFY channel True|False⏎[entries]`
pub fn notify(channel: &Channel, entries: &str) -> String {
    let regex = matches!(channel, Channel::Regex { .. });
    let mut out = String::new();
    // Writing to a String can't fail.
    let flag = if regex { "True" } else { "False" };
    let _ = write!(out, "NOTIFY {} {flag}\n{entries}", channel_word(&channel.text(), regex));
    out
}

/// `SESSIONS⏎[tega_id,…]`
pub fn sessions(ids: &[TegaId]) -> String {
    let mut out = String::from("SESSIONS\n");
    body::write_sessions(ids, &mut out);
    out
}

/// `PRESENCE⏎BODY`
pub fn presence(presence: &Presence) -> String {
    let mut out = String::from("PRESENCE\n");
    body::write_presence(presence, &mut out);
    out
}

#[cfg(test)]
mod tests;
