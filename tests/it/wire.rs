//! The harness's clients: raw HTTP and WebSocket over TCP and the local socket. Every read and write ends after
//! [`PATIENCE`].

#![allow(dead_code, reason = "a tool box: not every promise needs every tool")]

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use tega::client::frames;
use tega::value::{Limits, Value};

use crate::server::{PATIENCE, Server};

/// A JSON text of any length as a value.
#[track_caller]
pub(crate) fn json(text: &str) -> Value {
    Value::parse_with(text, Limits::wrapped()).unwrap_or_else(|error| panic!("{error}: {text:.500}"))
}

// --- HTTP

/// An HTTP answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// 100 to 599.
    pub status: u16,
    /// Name (as it came) and value.
    pub headers: Vec<(String, String)>,
    /// Without the framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        json(self.text())
    }

    /// The code of a refusal.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let code = json.get("error").and_then(|error| error.get("code")).and_then(Value::as_str);
        code.unwrap_or_else(|| panic!("no refusal: {}", self.text())).to_string()
    }
}

/// Any byte stream with the deadline of the harness.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection to the TCP port; reads and writes end after [`PATIENCE`].
pub(crate) fn tcp(server: &Server) -> TcpStream {
    try_tcp(server.address()).unwrap()
}

/// A connection to a server that may be gone.
pub(crate) fn try_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection to the local socket; reads and writes end after [`PATIENCE`].
pub(crate) fn unix(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A kept-alive HTTP connection.
pub(crate) struct Http {
    stream: BufReader<Box<dyn Stream>>,
}

impl Http {
    /// Over TCP.
    pub(crate) fn tcp(server: &Server) -> Http {
        Http::over(tcp(server))
    }

    /// Over TCP to a server that may be gone.
    pub(crate) fn try_tcp(address: SocketAddr) -> io::Result<Http> {
        Ok(Http::over(try_tcp(address)?))
    }

    /// Over the local socket.
    pub(crate) fn unix(server: &Server) -> Http {
        Http::over(unix(server))
    }

    /// Over a connection that is there.
    pub(crate) fn over(stream: impl Stream + 'static) -> Http {
        Http { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends `"METHOD TARGET"` and reads the answer. An error: the connection broke, or took too long.
    pub(crate) fn call(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut bytes = format!("{line} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() || line.starts_with('P') {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.send(&bytes)?;
        self.answer()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads one line, without its end. Empty: an empty line; an error: the end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }

    /// Reads a head: status and headers.
    pub(crate) fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let bad = || io::Error::other(format!("a strange head: {first:.200}"));
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.ok_or_else(bad)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            headers.push((name.to_string(), value.trim().to_string()));
        }
    }

    /// Reads an answer; interim ones (100) are passed over.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let (status, headers) = self.head()?;
            let mut answer = Answer { status, headers, body: Vec::new() };
            if (100..200).contains(&status) {
                continue;
            }
            if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
                while let chunk @ [_, ..] = self.chunk()?.as_slice() {
                    answer.body.extend_from_slice(chunk);
                }
            } else if let Some(length) = answer.header("content-length") {
                let length = length.parse().map_err(io::Error::other)?;
                answer.body.resize(length, 0);
                self.stream.read_exact(&mut answer.body)?;
            } else if status != 204 && status != 304 {
                self.stream.read_to_end(&mut answer.body)?;
            }
            return Ok(answer);
        }
    }

    /// Reads one chunk of a chunked body, such as an event; empty: the last one.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = self.line()?;
        let length = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
            .map_err(|_| io::Error::other(format!("a strange chunk size: {size:.50}")))?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok(chunk)
    }

    /// Reads to the end of the connection: what came, if anything.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}

/// One request on a connection of its own: `http(&server, "PUT /a/b?version=3", &[], "1")`.
#[track_caller]
pub(crate) fn http(server: &Server, line: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    Http::tcp(server).call(line, headers, body.as_ref()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// As [`http`], over the local socket.
#[track_caller]
pub(crate) fn http_unix(
    server: &Server,
    line: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    Http::unix(server).call(line, headers, body.as_ref()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

// --- WebSocket

/// What came over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A text message.
    Text(String),
    /// The end: code and reason.
    Closed(u16, String),
}

/// A WebSocket; pings are answered by the way.
pub(crate) struct Ws {
    stream: Box<dyn Stream>,
    decoder: frames::Decoder,
    out: Vec<u8>,
}

impl Ws {
    /// Over TCP, without a session yet.
    pub(crate) fn connect(server: &Server) -> Ws {
        Ws::over(tcp(server)).unwrap()
    }

    /// Over TCP with a session: `Ws::session(&server, "r1", "local 2")`.
    #[track_caller]
    pub(crate) fn session(server: &Server, tega_id: &str, scope: &str) -> Ws {
        Ws::try_session(server.address(), tega_id, scope).unwrap()
    }

    /// A session with a server that may be gone.
    pub(crate) fn try_session(address: SocketAddr, tega_id: &str, scope: &str) -> io::Result<Ws> {
        let mut ws = Ws::over(try_tcp(address)?)?;
        ws.try_send(&format!("SESSION {tega_id} {scope}"))?;
        match ws.try_next()? {
            Frame::Text(text) if text.starts_with("SESSIONACK ") => Ok(ws),
            other => Err(io::Error::other(format!("no SESSIONACK: {other:?}"))),
        }
    }

    /// Over any connection, such as [`unix`].
    pub(crate) fn over(stream: impl Stream + 'static) -> io::Result<Ws> {
        Ws::over_with(stream, "")
    }

    /// As [`Ws::over`], with more header lines in its handshake.
    pub(crate) fn over_with(mut stream: impl Stream + 'static, headers: &str) -> io::Result<Ws> {
        let nonce = [7; 16];
        stream.write_all(frames::handshake_with("localhost", "/_pubsub", nonce, headers).as_bytes())?;
        let (mut got, mut buf) = (Vec::new(), [0; 4096]);
        let used = loop {
            let read = stream.read(&mut buf)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            got.extend_from_slice(&buf[..read]);
            if let Some(used) = frames::handshake_answer(&got, nonce).map_err(io::Error::other)? {
                break used;
            }
        };
        let mut decoder = frames::Decoder::default();
        decoder.push(&got[used..]);
        Ok(Ws { stream: Box::new(stream), decoder, out: Vec::new() })
    }

    /// Sends a text message.
    pub(crate) fn send(&mut self, text: &str) {
        self.try_send(text).unwrap();
    }

    /// As [`Ws::send`], where the server may be gone.
    pub(crate) fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.out.clear();
        frames::text(text, [1, 2, 3, 4], &mut self.out);
        self.stream.write_all(&self.out)
    }

    /// Sends bytes as they are: a frame of one's own.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next message. Fails the test after [`PATIENCE`] and at the end.
    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        match self.try_next() {
            Ok(Frame::Text(text)) => text,
            other => panic!("no message: {other:?}"),
        }
    }

    /// The next message or the end. An error: the connection broke, or took too long.
    pub(crate) fn try_next(&mut self) -> io::Result<Frame> {
        let mut buf = [0; 16 << 10];
        loop {
            let ping = match self.decoder.message().map_err(io::Error::other)? {
                Some(frames::Incoming::Text(text)) => return Ok(Frame::Text(text.to_string())),
                Some(frames::Incoming::Pieces(text)) => return Ok(Frame::Text(text)),
                Some(frames::Incoming::Close(code, why)) => return Ok(Frame::Closed(code, why.to_string())),
                Some(frames::Incoming::Ping(payload)) => Some(payload.to_vec()),
                Some(frames::Incoming::Pong) => continue,
                None => None,
            };
            if let Some(payload) = ping {
                self.out.clear();
                frames::pong(&payload, [1, 2, 3, 4], &mut self.out);
                self.stream.write_all(&self.out)?;
                continue;
            }
            let read = self.stream.read(&mut buf)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.push(&buf[..read]);
        }
    }

    /// Sends a request and waits for its answer: `ws.ask(1, "PUT", "lan.ip", "{\"value\":1}")`. What else comes in
    /// between is passed over.
    #[track_caller]
    pub(crate) fn ask(&mut self, seq: u32, kind: &str, path: &str, body: &str) -> Value {
        self.try_ask(seq, kind, path, body).unwrap()
    }

    /// As [`Ws::ask`], where the server may be gone.
    pub(crate) fn try_ask(&mut self, seq: u32, kind: &str, path: &str, body: &str) -> io::Result<Value> {
        let mut text = String::new();
        write!(text, "REQUEST {seq} {kind} - {path}\n{body}").map_err(io::Error::other)?;
        self.try_send(&text)?;
        let wanted = format!("RESPONSE {seq} {kind} ");
        loop {
            match self.try_next()? {
                Frame::Text(text) if text.starts_with(&wanted) => {
                    let body = text.split_once('\n').map_or("null", |(_, body)| body);
                    return Ok(json(body));
                }
                Frame::Text(_) => {}
                Frame::Closed(code, why) => return Err(io::Error::other(format!("closed: {code} {why}"))),
            }
        }
    }
}
