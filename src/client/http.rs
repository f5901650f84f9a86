//! A small blocking HTTP/1.1 client: one kept-alive connection to one server.
//!
//! Its errors answer the one question that matters after a failed write: **did it happen?** A server that refused
//! the connection was never told; one that took the request and fell silent may have done it. A write therefore
//! carries an `Idempotency-Key`, and is sent again with the same key while the outcome is unknown, a few times.
//!
//! It knows `Content-Length`, chunked bodies and bodies that end with the connection. It isn't a general client: no
//! redirects, no TLS, no proxies, no compression.

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Server, Target};
use crate::api::error::Refusal;
use crate::api::route::{Method, Route};
use crate::value::{Limits, Value};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the 30 s that a server may take for an RPC.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
const MAX_HEAD: usize = 64 << 10;
/// The largest answer that is read: a whole export of a large store.
const MAX_BODY: usize = 256 << 20;
/// Waits before a write is sent again.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// What is asked: method, path and query, headers, body.
#[derive(Clone, Debug, Default)]
pub struct Request {
    method: &'static str,
    target: String,
    headers: String,
    body: Vec<u8>,
    safe: bool,
    /// The longest body of an answer that is wanted, in bytes.
    most: Option<usize>,
}

impl Request {
    /// The request that a route is written as. `HEAD` and `GET` count as safe to repeat, all else as a write.
    pub fn of(route: &Route) -> Request {
        let (method, target) = route.target();
        let safe = matches!(method, Method::Get | Method::Head);
        Request { method: method.as_str(), target, safe, ..Request::default() }
    }

    /// With one more header. Neither part may come from outside unchecked; control characters are dropped.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        let clean = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).collect() };
        let _ = write!(self.headers, "{}: {}\r\n", clean(name), clean(value));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Wants an answer of so many bytes at most; a longer one isn't read, and is told as the refusal `too_large`.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Request {
        self.most = Some(bytes);
        self
    }

    /// A write that may be sent again: it carries this ID, and the server does it once.
    #[must_use]
    pub fn once(self, request_id: &str) -> Request {
        let mut request = self.header("Idempotency-Key", request_id);
        request.safe = true;
        request
    }

    fn encode(&self, server: &Server) -> Vec<u8> {
        let (host, authorization) = (server.target.host(), server.authorization());
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n{authorization}{}",
            self.method, self.target, self.headers
        );
        if !self.body.is_empty() || matches!(self.method, "PUT" | "POST") {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, String> {
        let text = std::str::from_utf8(&self.body).map_err(|_| "the answer isn't UTF-8".to_string())?;
        Value::parse_with(text, Limits::wrapped()).map_err(|error| format!("the answer isn't JSON: {error}"))
    }

    /// The refusal, where it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.status < 400 {
            return None;
        }
        let told = self.json().ok().and_then(|body| Refusal::from_json(&body));
        let shown = || {
            let text = String::from_utf8_lossy(&self.body);
            let line: String = text.lines().next().unwrap_or("").chars().take(200).collect();
            Refusal::new("internal", format!("status {} {line}", self.status).trim_end())
        };
        Some(told.unwrap_or_else(shown))
    }

    /// Whether the server itself can't say if a write happened.
    fn outcome_unknown(&self) -> bool {
        self.status >= 500 && self.refusal().is_some_and(|refusal| refusal.code == "outcome_unknown")
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The server never had the request: nothing happened.
    NotReached(String),
    /// The request was sent, whole or in part, and no answer came: it may have happened.
    Unknown(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotReached(why) | Failure::Unknown(why) => f.write_str(why),
        }
    }
}

/// 32 random hex digits: the ID of a request. An error of the system's random source is passed on, since an ID
/// that isn't unique could hide a write.
pub fn request_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn connect(target: &Target, patience: Duration) -> io::Result<Stream> {
        match target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Ok(Stream::Unix(stream))
            }
            Target::Tcp { host, port } => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            stream.set_read_timeout(Some(patience))?;
                            stream.set_write_timeout(Some(patience))?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// How long a read may be silent.
    pub(super) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(patience)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buf),
            Stream::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One server, and a connection to it where one is open.
pub struct Client {
    server: Server,
    patience: Duration,
    open: Option<Stream>,
}

impl Client {
    /// A client that connects with its first request.
    pub fn new(server: impl Into<Server>) -> Client {
        Client { server: server.into(), patience: ANSWER_TIMEOUT, open: None }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends a request and reads its answer. What is safe to repeat is sent again while the outcome is unknown, at
    /// most three times; once it is, only an answer that settles it is believed.
    pub fn call(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut outcome = self.attempt(request);
        let mut unknown = false;
        for pause in PAUSES {
            let unsettled = match &outcome {
                Ok(answer) if unknown => answer.status >= 500 || answer.status == 429,
                Ok(answer) => answer.outcome_unknown(),
                Err(Failure::Unknown(_)) => true,
                Err(Failure::NotReached(_)) => unknown,
            };
            if !unsettled || !request.safe {
                return outcome;
            }
            unknown = true;
            std::thread::sleep(pause);
            outcome = self.attempt(request);
        }
        match outcome {
            // The refusal of a repetition doesn't say that the first attempt failed too.
            Ok(answer) if answer.status >= 500 || answer.status == 429 => {
                let why = answer.refusal().map_or(String::new(), |refusal| refusal.message);
                Err(Failure::Unknown(why))
            }
            Err(Failure::NotReached(why)) => Err(Failure::Unknown(why)),
            settled => settled,
        }
    }

    fn attempt(&mut self, request: &Request) -> Result<Answer, Failure> {
        let bytes = request.encode(&self.server);
        if let Some(mut stream) = self.open.take() {
            // The server may have closed it while it was idle. What may be repeated goes out again on a new one.
            match exchange(&mut stream, &bytes, request) {
                Ok((answer, keep)) => {
                    self.open = keep.then_some(stream);
                    return Ok(answer);
                }
                Err(error) if !request.safe => return Err(Failure::Unknown(said(&error))),
                Err(_) => {}
            }
        }
        let mut stream =
            Stream::connect(&self.server.target, self.patience).map_err(|e| Failure::NotReached(said(&e)))?;
        let (answer, keep) =
            exchange(&mut stream, &bytes, request).map_err(|e| Failure::Unknown(said(&e)))?;
        self.open = keep.then_some(stream);
        Ok(answer)
    }
}

/// What an I/O error means to a person.
pub(super) fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::UnexpectedEof => "the connection was closed before the answer was whole".into(),
        io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
        _ => error.to_string(),
    }
}

/// One request and its answer; and whether the connection can carry another.
fn exchange(stream: &mut (impl Read + Write), bytes: &[u8], request: &Request) -> io::Result<(Answer, bool)> {
    // A server may refuse a long body before it has read it all, and close: then the answer is still there to read.
    let sent = stream.write_all(bytes);
    let read = read_answer(stream, request);
    match (sent, read) {
        (Ok(()), read) => read,
        (Err(_), Ok((answer, _))) => Ok((answer, false)),
        (Err(error), Err(_)) => Err(error),
    }
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    keep: bool,
    chunked: bool,
    length: Option<usize>,
}

fn read_answer(stream: &mut impl Read, request: &Request) -> io::Result<(Answer, bool)> {
    let mut buf = Vec::new();
    let (head, rest) = loop {
        if let Some((head, used)) = parse_head(&buf)? {
            if (100..200).contains(&head.status) {
                buf.drain(..used);
                continue;
            }
            break (head, buf.split_off(used));
        }
        if buf.len() > MAX_HEAD {
            return Err(garbled("a head that is too long"));
        }
        fill(stream, &mut buf)?;
    };
    let mut input = Body { stream, buf: rest, at: 0, most: request.most.unwrap_or(MAX_BODY) };
    let read = body_of(&mut input, &head, request.method);
    let (body, ended) = match (read, request.most) {
        // As if the server had refused: asking again would bring the same.
        (Err(error), Some(most)) if error.kind() == io::ErrorKind::FileTooLarge => {
            let refusal = Refusal::new("too_large", format!("the answer has more than {most} bytes"));
            let (status, body) = (refusal.status, refusal.to_json().into_bytes());
            return Ok((Answer { status, headers: Vec::new(), body }, false));
        }
        (read, _) => read?,
    };
    Ok((Answer { status: head.status, headers: head.headers, body }, head.keep && ended))
}

/// The body, and whether it ended before the connection does.
fn body_of<S: Read>(input: &mut Body<'_, S>, head: &Head, method: &str) -> io::Result<(Vec<u8>, bool)> {
    Ok(if method == "HEAD" || matches!(head.status, 204 | 304) {
        (Vec::new(), true)
    } else if head.chunked {
        (input.chunked()?, true)
    } else if let Some(length) = head.length {
        (input.exactly(length)?, true)
    } else {
        (input.rest()?, false)
    })
}

fn parse_head(buf: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(buf) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(garbled(&error.to_string())),
    };
    let mut head = Head {
        status: response.code.unwrap_or(0),
        headers: Vec::new(),
        keep: response.version == Some(1),
        chunked: false,
        length: None,
    };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.trim().parse().map_err(|_| garbled("a bad Content-Length"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.trim().eq_ignore_ascii_case("chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.keep &= !value.to_ascii_lowercase().contains("close");
        }
        head.headers.push((header.name.to_string(), value));
    }
    Ok(Some((head, used)))
}

fn garbled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer isn't HTTP: {what}"))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "the answer is too long")
}

/// Appends what a stream has, at least a byte; its end is an error.
pub(super) fn fill(stream: &mut impl Read, buf: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    let got = loop {
        match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            got => break got?,
        }
    };
    if got == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buf.extend_from_slice(chunk.get(..got).unwrap_or_default());
    Ok(())
}

/// What follows the head: bytes that came with it, then the stream.
struct Body<'a, S> {
    stream: &'a mut S,
    buf: Vec<u8>,
    at: usize,
    /// The longest that is read.
    most: usize,
}

impl<S: Read> Body<'_, S> {
    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > self.most {
            return Err(too_long());
        }
        while self.buf.len() - self.at < length {
            if self.at > 0 {
                self.buf.drain(..self.at);
                self.at = 0;
            }
            fill(self.stream, &mut self.buf)?;
        }
        let end = self.at + length;
        let bytes = self.buf.get(self.at..end).unwrap_or_default().to_vec();
        self.at = end;
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        const LONGEST: usize = 4096;
        let mut line = Vec::new();
        loop {
            match self.exactly(1)?.first() {
                Some(b'\n') => break,
                Some(byte) => line.push(*byte),
                None => return Err(garbled("an empty read")),
            }
            if line.len() > LONGEST {
                return Err(garbled("a chunk header that is too long"));
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| garbled("a bad chunk header"))
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| garbled("a bad chunk size"))?;
            if size > self.most - body.len() {
                return Err(too_long());
            }
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend_from_slice(&self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err(garbled("a chunk that doesn't end where it says"));
            }
        }
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match fill(self.stream, &mut self.buf) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                filled => filled?,
            }
            if self.buf.len() > self.most {
                return Err(too_long());
            }
        }
        Ok(self.buf.split_off(self.at.min(self.buf.len())))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
