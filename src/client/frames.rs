//! WebSocket frames as a client writes and reads them (RFC 6455), without a socket: text messages, pings and the
//! close. Small and fast enough that a load generator isn't slower than the server it measures.

use std::fmt::Write as _;

use async_tungstenite::tungstenite::handshake::derive_accept_key;

/// The longest message that is taken from a server.
const MAX_MESSAGE: usize = 64 << 20;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Appends a text message. A client masks what it sends, so that a proxy can't take it for HTTP; there is no secret in
/// it, and any mask does where the payload is JSON of one's own.
pub fn text(payload: &str, mask: [u8; 4], out: &mut Vec<u8>) {
    frame(TEXT, payload.as_bytes(), mask, out);
}

/// Appends the answer to a ping.
pub fn pong(payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    frame(PONG, payload, mask, out);
}

/// Appends a ping.
pub fn ping(mask: [u8; 4], out: &mut Vec<u8>) {
    frame(PING, &[], mask, out);
}

/// Appends a close: 1000, done.
pub fn close(mask: [u8; 4], out: &mut Vec<u8>) {
    frame(CLOSE, &1000u16.to_be_bytes(), mask, out);
}

fn frame(opcode: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    const FIN: u8 = 0x80;
    const MASKED: u8 = 0x80;
    out.push(FIN | opcode);
    match payload.len() {
        len @ 0..=125 => out.push(MASKED | len as u8),
        len @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// What came from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message in one frame, the usual case.
    Text(&'a str),
    /// A text message that came in several frames.
    Pieces(String),
    /// To be answered by [`pong`] with the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong,
    /// The server ends the connection: code and reason.
    Close(u16, &'a str),
}

/// Bytes in, messages out.
#[derive(Default)]
pub struct Decoder {
    buf: Vec<u8>,
    at: usize,
    pieces: Option<Vec<u8>>,
}

impl Decoder {
    /// Takes bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was decoded goes when it's at least half, so that a byte is moved once on average.
        if self.at > 0 && self.at * 2 >= self.buf.len() {
            self.buf.drain(..self.at);
            self.at = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next message, where it is here whole. An error means that what came isn't the protocol.
    pub fn message(&mut self) -> Result<Option<Incoming<'_>>, String> {
        loop {
            let Some((opcode, fin, from, to)) = header(self.buf.get(self.at..).unwrap_or_default())? else {
                return Ok(None);
            };
            let start = self.at;
            self.at += to;
            let range = start + from..start + to;
            match (opcode, fin, &mut self.pieces) {
                (TEXT, false, None) => self.pieces = Some(self.buf.get(range).unwrap_or_default().to_vec()),
                (CONTINUATION, fin, Some(pieces)) => {
                    let more = self.buf.get(range).unwrap_or_default();
                    if pieces.len() + more.len() > MAX_MESSAGE {
                        return Err("a message that is too long".into());
                    }
                    pieces.extend_from_slice(more);
                    if fin {
                        let whole = self.pieces.take().unwrap_or_default();
                        return String::from_utf8(whole)
                            .map(|text| Some(Incoming::Pieces(text)))
                            .map_err(|_| not_utf8());
                    }
                }
                (PONG, true, _) => return Ok(Some(Incoming::Pong)),
                (TEXT, true, None) => return self.utf8(range).map(|text| Some(Incoming::Text(text))),
                (PING, true, _) => return Ok(Some(Incoming::Ping(self.buf.get(range).unwrap_or_default()))),
                (CLOSE, true, _) => {
                    let payload = self.buf.get(range).unwrap_or_default();
                    let (code, reason) = match payload {
                        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
                        _ => (1005, &[][..]),
                    };
                    return Ok(Some(Incoming::Close(code, std::str::from_utf8(reason).unwrap_or(""))));
                }
                (BINARY, ..) => return Err("a binary message".into()),
                _ => return Err(format!("a frame that doesn't fit (opcode {opcode})")),
            }
        }
    }

    fn utf8(&self, range: std::ops::Range<usize>) -> Result<&str, String> {
        std::str::from_utf8(self.buf.get(range).unwrap_or_default()).map_err(|_| not_utf8())
    }
}

fn not_utf8() -> String {
    "a text message that isn't UTF-8".into()
}

type Header = (u8, bool, usize, usize);

/// Opcode, whether it's the last piece, and where the payload begins and ends. `None`: not here whole.
fn header(bytes: &[u8]) -> Result<Option<Header>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err("a frame with reserved bits or a mask".into());
    }
    let (from, len) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let len = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (10, usize::try_from(len).unwrap_or(usize::MAX))
        }
        (126 | 127, _) => return Ok(None),
        (len, _) => (2, usize::from(len)),
    };
    if len > MAX_MESSAGE {
        return Err("a frame that is too long".into());
    }
    Ok((bytes.len() >= from + len).then_some((first & 0x0f, first & 0x80 != 0, from, from + len)))
}

/// The request that asks for a WebSocket; `nonce` is random.
pub fn handshake(host: &str, url_path: &str, nonce: [u8; 16]) -> String {
    handshake_with(host, url_path, nonce, "")
}

/// As [`handshake`], with more header lines, such as [`Server::authorization`](super::Server::authorization).
pub fn handshake_with(host: &str, url_path: &str, nonce: [u8; 16], headers: &str) -> String {
    let key = base64(nonce);
    format!(
        "GET {url_path} HTTP/1.1\r\nHost: {host}\r\n{headers}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
}

/// Reads the answer to [`handshake`]: how many bytes of `bytes` it took, or `None` where it isn't here whole.
pub fn handshake_answer(bytes: &[u8], nonce: [u8; 16]) -> Result<Option<usize>, String> {
    const MAX_HEAD: usize = 16 << 10;
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => {
            return Err("a head that is too long".into());
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer isn't HTTP: {error}")),
    };
    let status = response.code.unwrap_or(0);
    if status == 401 {
        return Err("a token is needed, or this one isn't known (status 401)".into());
    }
    if status != 101 {
        return Err(format!("no WebSocket there: status {status} {}", response.reason.unwrap_or(""))
            .trim_end()
            .into());
    }
    let wanted = derive_accept_key(base64(nonce).as_bytes());
    let given =
        response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-accept"));
    match given {
        Some(header) if header.value == wanted.as_bytes() => Ok(Some(used)),
        _ => Err("no WebSocket there: the key was not answered".into()),
    }
}

fn base64(bytes: [u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            match DIGITS.get((word >> (18 - 6 * digit) & 63) as usize) {
                Some(c) if digit <= chunk.len() => text.push(char::from(*c)),
                _ => drop(text.write_char('=')),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server writes it.
    fn served(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(len as u8),
            len @ 126..=0xffff => {
                bytes.push(126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn messages_come_out_whole_wherever_the_bytes_are_cut() {
        let long = "x".repeat(300);
        let huge = "y".repeat(70_000);
        let mut bytes = Vec::new();
        bytes.extend(served(0x81, b"one"));
        bytes.extend(served(0x89, b"p"));
        bytes.extend(served(0x01, b"tw"));
        bytes.extend(served(0x8a, b""));
        bytes.extend(served(0x80, b"o"));
        bytes.extend(served(0x81, long.as_bytes()));
        bytes.extend(served(0x81, huge.as_bytes()));
        bytes.extend(served(0x88, &[15, 168, b'l', b'a', b'g']));
        for size in [1, 2, 7, 1000, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Some(incoming) = decoder.message().unwrap() {
                    seen.push(format!("{incoming:?}"));
                }
            }
            assert_eq!(seen.len(), 7, "{size}");
            assert_eq!(seen[..4], ["Text(\"one\")", "Ping([112])", "Pong", "Pieces(\"two\")"]);
            assert_eq!(seen[4], format!("Text({long:?})"));
            assert_eq!(seen[6], "Close(4008, \"lag\")");
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        for bytes in [
            vec![0x82, 0],
            vec![0x81, 0x80, 0, 0, 0, 0],
            vec![0xc1, 0],
            vec![0x80, 0],
            vec![0x83, 0],
            vec![0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
            served(0x81, &[0xff]),
            [served(0x01, b"a"), served(0x81, b"b")].concat(),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            assert!(decoder.message().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_sent_is_masked() {
        let mut out = Vec::new();
        text("ab", [1, 2, 3, 4], &mut out);
        assert_eq!(out, [0x81, 0x82, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2]);
        out.clear();
        text(&"x".repeat(126), [0; 4], &mut out);
        assert_eq!(out[..4], [0x81, 0xfe, 0, 126]);
    }

    #[test]
    fn the_handshake_is_that_of_the_rfc() {
        let nonce = *b"the sample nonce";
        assert!(
            handshake("h", "/_pubsub", nonce).contains("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
        );
        let good = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nrest";
        assert_eq!(handshake_answer(good.as_bytes(), nonce), Ok(Some(good.len() - 4)));
        assert_eq!(handshake_answer(&good.as_bytes()[..30], nonce), Ok(None));
        assert!(handshake_answer(good.as_bytes(), [0; 16]).is_err());
        assert!(handshake_answer(b"HTTP/1.1 403 Forbidden\r\n\r\n", nonce).unwrap_err().contains("403"));
    }
}
