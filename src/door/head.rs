//! The head of a request: from bytes to what it says, or why it's refused. No I/O.
//!
//! Two readers of the same bytes must never disagree about where a request ends, so everything that leaves a choice is
//! refused: bare line feeds, folded headers, spaces before a colon, two lengths, a length beside chunks.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::api::error::Refusal;
use crate::api::route::Method;
use crate::http::Headers;

/// The longest head, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most headers.
pub const MAX_HEADERS: usize = 64;

/// A place in the bytes of the head.
type Place = Range<u32>;

/// What a head says. Texts are places in the bytes that it was read from.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Its length in bytes, with the empty line.
    pub len: usize,
    /// The method.
    pub method: Option<Method>,
    /// HTTP/1.0, not 1.1.
    pub http10: bool,
    /// How long the body is.
    pub body: Body,
    /// The connection ends after this request.
    pub close: bool,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// `Connection: upgrade` and `Upgrade: websocket`.
    pub websocket: bool,
    path: Place,
    query: Place,
    host: Option<Place>,
    origin: Option<Place>,
    fetch_site: Option<Place>,
    if_match: Option<Place>,
    if_none_match: Option<Place>,
    idempotency_key: Option<Place>,
    accept: Option<Place>,
    authorization: Option<Place>,
    last_event_id: Option<Place>,
    ws_key: Option<Place>,
    ws_version: Option<Place>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// The texts of a head.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// Begins with `/`, or is `*`.
    pub path: &'a str,
    /// Behind the `?`.
    pub query: &'a str,
    /// `Host`, or the one of an absolute target; `None` in HTTP/1.0 only.
    pub host: Option<&'a str>,
    /// `Origin`
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`
    pub fetch_site: Option<&'a str>,
    /// `Authorization`
    pub authorization: Option<&'a str>,
    /// What handlers look at.
    pub headers: Headers<'a>,
    /// `Sec-WebSocket-Key`
    pub ws_key: Option<&'a str>,
    /// `Sec-WebSocket-Version`
    pub ws_version: Option<&'a str>,
}

impl<'a> Texts<'a> {
    /// The path; an absolute target without one means `/`.
    pub fn path_or_root(&self) -> &'a str {
        if self.path.is_empty() { "/" } else { self.path }
    }
}

fn refuse(status: u16, message: impl Into<String>) -> Refusal {
    Refusal { status, ..Refusal::bad(message) }
}

fn too_long() -> Refusal {
    let message = format!("the head of the request is longer than {MAX_HEAD} bytes");
    Refusal { status: 431, ..Refusal::new("too_large", message) }
}

/// Looks for the end of the head, going on where it stopped before, so that bytes that drip in are looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finder {
    seen: usize,
}

impl Finder {
    /// The head's length with its empty line; `None`: more bytes are needed.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        for at in self.seen..bytes.len().min(MAX_HEAD) {
            if bytes.get(at) != Some(&b'\n') {
                continue;
            }
            if at == 0 || bytes.get(at - 1) != Some(&b'\r') {
                return Err(refuse(400, "a line of the head ends without a carriage return"));
            }
            if at >= 3 && bytes.get(at - 3..at) == Some(b"\r\n\r") {
                return Ok(Some(at + 1));
            }
        }
        self.seen = bytes.len();
        if bytes.len() >= MAX_HEAD { Err(too_long()) } else { Ok(None) }
    }
}

impl Head {
    /// Reads a whole head, as [`Finder`] found it.
    pub fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_request_with_uninit_headers(&mut request, bytes, &mut headers) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Ok(_) => return Err(refuse(400, "the head of the request doesn't end where its empty line is")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(refuse(431, format!("the request has more than {MAX_HEADERS} headers")));
            }
            Err(httparse::Error::Version) => {
                return Err(refuse(505, "the request isn't HTTP/1.0 or HTTP/1.1"));
            }
            Err(error) => return Err(refuse(400, format!("the head of the request: {error}"))),
        }
        let mut head = Head {
            len: bytes.len(),
            method: request.method.map(Method::parse),
            http10: request.version == Some(0),
            ..Head::default()
        };
        let mut reader = Reader::new(&mut head, bytes);
        for header in request.headers.iter() {
            reader.header(header.name, header.value)?;
        }
        reader.finish()?;
        head.target(bytes, request.path.unwrap_or_default())?;
        Ok(head)
    }

    /// The texts, from the bytes that it was read from.
    pub fn texts<'a>(&self, bytes: &'a [u8]) -> Texts<'a> {
        let text = |place: &Place| {
            let range = place.start as usize..place.end as usize;
            // Every place was UTF-8 when the head was read.
            bytes.get(range).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
        };
        let option = |place: &Option<Place>| place.as_ref().map(text);
        Texts {
            path: text(&self.path),
            query: text(&self.query),
            host: option(&self.host),
            origin: option(&self.origin),
            fetch_site: option(&self.fetch_site),
            authorization: option(&self.authorization),
            headers: Headers {
                if_match: option(&self.if_match),
                if_none_match: option(&self.if_none_match),
                idempotency_key: option(&self.idempotency_key),
                accept: option(&self.accept),
                last_event_id: option(&self.last_event_id),
            },
            ws_key: option(&self.ws_key),
            ws_version: option(&self.ws_version),
        }
    }

    /// Splits the target. In its absolute form the host in it counts, not the header (RFC 9112, 3.2.2).
    fn target(&mut self, bytes: &[u8], target: &str) -> Result<(), Refusal> {
        let bad = || refuse(400, "the target of the request must begin with \"/\" or be http://HOST/…");
        let mut path = target;
        if target == "*" {
            if self.method != Some(Method::Options) {
                return Err(refuse(400, "the target \"*\" is for OPTIONS only"));
            }
        } else if !target.starts_with('/') {
            let scheme = target.get(..7).filter(|s| s.eq_ignore_ascii_case("http://")).ok_or_else(bad)?;
            let rest = target.get(scheme.len()..).unwrap_or_default();
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (host, after) = rest.split_at(end);
            if host.is_empty() || host.contains('@') {
                return Err(bad());
            }
            self.host = Some(place(bytes, host.as_bytes()));
            path = after;
        }
        if path.contains('#') {
            return Err(refuse(400, "the target of the request has a \"#\"; write %23"));
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.path = place(bytes, path.as_bytes());
        self.query = place(bytes, query.as_bytes());
        Ok(())
    }
}

/// Where `part`, which is a part of `bytes`, stands in them.
fn place(bytes: &[u8], part: &[u8]) -> Place {
    let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    let start = if part.is_empty() || start > bytes.len() { 0 } else { start };
    // A head is shorter than 2³² bytes.
    start as u32..(start + part.len()) as u32
}

/// Reads headers one by one and checks them together at the end.
struct Reader<'a> {
    head: &'a mut Head,
    bytes: &'a [u8],
    length: Option<u64>,
    coding: Option<&'a [u8]>,
    connection_upgrade: bool,
    connection_close: bool,
    connection_keep: bool,
    upgrade: bool,
}

impl<'a> Reader<'a> {
    fn new(head: &'a mut Head, bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            head,
            bytes,
            length: None,
            coding: None,
            connection_upgrade: false,
            connection_close: false,
            connection_keep: false,
            upgrade: false,
        }
    }

    fn header(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // The length sorts out at once most of what nobody looks at.
        match name.len() {
            4 if is("Host") => {
                if self.head.host.is_some() {
                    return Err(refuse(400, "the request has two Host headers"));
                }
                self.head.host = Some(self.text(name, value)?);
            }
            14 if is("Content-Length") => {
                let length = length(value)?;
                if self.length.is_some_and(|before| before != length) {
                    return Err(refuse(400, "the request has two different Content-Lengths"));
                }
                self.length = Some(length);
            }
            17 if is("Transfer-Encoding") => {
                if self.coding.is_some() {
                    return Err(refuse(400, "the request has two Transfer-Encodings"));
                }
                self.coding = Some(value);
            }
            10 if is("Connection") => self.connection(value),
            7 if is("Upgrade") => self.upgrade |= has_word(value, "websocket"),
            6 if is("Expect") => self.expect(value)?,
            6 if is("Origin") => {
                if self.head.origin.is_some() {
                    return Err(refuse(400, "the request has two Origin headers"));
                }
                self.head.origin = Some(self.text(name, value)?);
            }
            6 if is("Accept") => self.head.accept = Some(self.text(name, value)?),
            8 if is("If-Match") => self.once(name, value, |head| &mut head.if_match)?,
            13 if is("Authorization") => self.once(name, value, |head| &mut head.authorization)?,
            13 if is("If-None-Match") => self.once(name, value, |head| &mut head.if_none_match)?,
            13 if is("Last-Event-ID") => self.once(name, value, |head| &mut head.last_event_id)?,
            14 if is("Sec-Fetch-Site") => self.once(name, value, |head| &mut head.fetch_site)?,
            15 if is("Idempotency-Key") => self.once(name, value, |head| &mut head.idempotency_key)?,
            17 if is("Sec-WebSocket-Key") => self.once(name, value, |head| &mut head.ws_key)?,
            21 if is("Sec-WebSocket-Version") => self.once(name, value, |head| &mut head.ws_version)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes a header that means nothing safe when it's there twice.
    fn once(
        &mut self,
        name: &str,
        value: &[u8],
        slot: impl Fn(&mut Head) -> &mut Option<Place>,
    ) -> Result<(), Refusal> {
        let place = self.text(name, value)?;
        match slot(self.head).replace(place) {
            Some(_) => Err(refuse(400, format!("the request has two {name} headers"))),
            None => Ok(()),
        }
    }

    fn text(&self, name: &str, value: &[u8]) -> Result<Place, Refusal> {
        match std::str::from_utf8(value) {
            Ok(_) => Ok(place(self.bytes, value)),
            Err(_) => Err(refuse(400, format!("the header {name} isn't UTF-8"))),
        }
    }

    fn connection(&mut self, value: &[u8]) {
        self.connection_upgrade |= has_word(value, "upgrade");
        self.connection_close |= has_word(value, "close");
        self.connection_keep |= has_word(value, "keep-alive");
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if value.trim_ascii().eq_ignore_ascii_case(b"100-continue") {
            self.head.expects_continue = true;
            Ok(())
        } else {
            Err(refuse(417, "the request has an Expect other than 100-continue"))
        }
    }

    /// What only all headers together say.
    fn finish(self) -> Result<(), Refusal> {
        let head = self.head;
        head.body = match (self.coding, self.length) {
            (Some(_), Some(_)) => {
                return Err(refuse(400, "the request has Content-Length and Transfer-Encoding"));
            }
            (Some(_), None) if head.http10 => {
                return Err(refuse(400, "HTTP/1.0 has no Transfer-Encoding"));
            }
            (Some(coding), None) if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => Body::Chunked,
            (Some(_), None) => return Err(refuse(501, "no Transfer-Encoding but chunked is understood")),
            (None, Some(0) | None) => Body::None,
            (None, Some(length)) => Body::Length(length),
        };
        if head.host.is_none() && !head.http10 {
            return Err(refuse(400, "the request has no Host header"));
        }
        head.close = self.connection_close || (head.http10 && !self.connection_keep);
        // HTTP/1.0 knows no 100, and a body that is empty needs none.
        head.expects_continue &= !head.http10 && head.body != Body::None;
        head.websocket = self.connection_upgrade && self.upgrade;
        Ok(())
    }
}

fn length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = value.trim_ascii();
    let text = std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    text.filter(|t| (1..=18).contains(&t.len()))
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| refuse(400, "the Content-Length isn't a number of bytes"))
}

/// Whether a comma-separated list holds a word, in any case.
fn has_word(list: &[u8], word: &str) -> bool {
    list.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests;
