//! An answer, and its bytes. tiny_http's response encodes it; what that leaves out or adds is put right here.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use crate::api::error::Refusal;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside those that every answer has. Names and values are ASCII.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// JSON unless a header says otherwise, or nothing.
    pub body: String,
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Leave the body away: the request was a `HEAD`.
    pub head_only: bool,
    /// The request was HTTP/1.0, where staying open must be said.
    pub http10: bool,
    /// The connection ends with this answer.
    pub close: bool,
}

impl Reply {
    /// An answer without a body.
    pub fn empty(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: String::new() }
    }

    /// 200 with a JSON text.
    pub fn json(body: String) -> Reply {
        Reply { status: 200, headers: Vec::new(), body }
    }

    /// A refusal, as JSON.
    pub fn refusal(refusal: &Refusal) -> Reply {
        Reply { status: refusal.status, headers: Vec::new(), body: refusal.to_json() }
    }

    /// The answer with another type than JSON.
    pub fn typed(self, content_type: &'static str) -> Reply {
        self.with("Content-Type", content_type)
    }

    /// The answer with one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// The value of a header, for tests and for those who wrap answers.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0.eq_ignore_ascii_case(name)).map(|h| h.1.as_ref())
    }

    /// Appends the answer's bytes to `out`.
    pub fn encode(&self, framing: Framing, out: &mut Vec<u8>) {
        let mut headers = Vec::with_capacity(6 + self.headers.len());
        let mut add = |name: &str, value: &str| {
            // Only text that isn't ASCII is refused, and a header that can't be sent is better left out.
            headers.extend(Header::from_bytes(name.as_bytes(), value.as_bytes()));
        };
        add("Server", "tega");
        with_date(|date| add("Date", date));
        if !self.body.is_empty() {
            if self.header("Content-Type").is_none() {
                add("Content-Type", "application/json");
            }
            add("X-Content-Type-Options", "nosniff");
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        let connection = match framing {
            Framing { close: true, .. } => "Connection: close\r\n",
            Framing { http10: true, .. } => "Connection: keep-alive\r\n",
            _ => "",
        };
        let upgrade = if self.status == 426 { "Upgrade: websocket\r\n" } else { "" };
        out.reserve(256 + self.body.len());
        let start = out.len();
        let mut writer = AfterStatusLine { out, insert: Some([connection, upgrade]) };
        let body = Some(self.body.len());
        let response = Response::new(StatusCode(self.status), headers, self.body.as_bytes(), body, None)
            .with_chunked_threshold(usize::MAX);
        // Writing to memory can't fail; and were it to, the client would see an answer cut short, not a wrong one.
        let _ = print(response, &mut writer, framing.head_only);
        if matches!(self.status, 204 | 304) {
            cut_length(out, start);
        }
    }
}

/// Always HTTP/1.1, whatever the request was: that says what the server can do.
fn print(response: Response<impl Read>, writer: &mut impl Write, head_only: bool) -> io::Result<()> {
    response.raw_print(writer, HTTPVersion(1, 1), &[], head_only, None)
}

/// Puts lines behind the status line: tiny_http keeps `Connection` and `Upgrade` to itself.
struct AfterStatusLine<'a> {
    out: &'a mut Vec<u8>,
    insert: Option<[&'static str; 2]>,
}

impl Write for AfterStatusLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = if self.insert.is_some() { bytes.iter().position(|b| *b == b'\n') } else { None };
        match end.and_then(|at| bytes.split_at_checked(at + 1)) {
            Some((line, rest)) => {
                self.out.extend_from_slice(line);
                for text in self.insert.take().unwrap_or_default() {
                    self.out.extend_from_slice(text.as_bytes());
                }
                self.out.extend_from_slice(rest);
            }
            None => self.out.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer that can't have a body must not tell its length (RFC 9110, 8.6); tiny_http does.
fn cut_length(out: &mut Vec<u8>, start: usize) {
    const LINE: &[u8] = b"\r\nContent-Length: ";
    let head = out.get(start..).unwrap_or_default();
    let Some(at) = head.windows(LINE.len()).position(|w| w == LINE).map(|at| start + at) else { return };
    let value = out.get(at + LINE.len()..).unwrap_or_default();
    let Some(digits) = value.iter().position(|b| *b == b'\r') else { return };
    out.drain(at..at + LINE.len() + digits);
}

/// The text of `Date`, made once a second.
fn with_date(use_it: impl FnOnce(&str)) {
    static DATE: Mutex<(u64, String)> = Mutex::new((0, String::new()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let mut date = DATE.lock().unwrap_or_else(PoisonError::into_inner);
    if date.0 != now || date.1.is_empty() {
        *date = (now, http_date(now));
    }
    use_it(&date.1);
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, from seconds since 1970.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    // The civil calendar, counted in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let name = |names: &[&'static str], at: u64| names.get(at as usize).copied().unwrap_or("???");
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Framing = Framing { head_only: false, http10: false, close: false };

    fn text(reply: &Reply, framing: Framing) -> String {
        let mut out = b"before".to_vec();
        reply.encode(framing, &mut out);
        let text = String::from_utf8(out).unwrap();
        let text = text.strip_prefix("before").unwrap();
        let date = text.find("Date: ").unwrap();
        text.replace(&text[date..date + 37], "Date: now\r\n").replace("\r\n", "|")
    }

    #[test]
    fn answers_have_the_bytes_that_clients_want() {
        let reply = Reply::json("{}".into()).with("ETag", "\"1-2\"");
        assert_eq!(
            text(&reply, OPEN),
            "HTTP/1.1 200 OK|Server: tega|Date: now|Content-Type: application/json|\
             X-Content-Type-Options: nosniff|ETag: \"1-2\"|Content-Length: 2||{}"
        );
        assert_eq!(
            text(&reply, Framing { head_only: true, http10: true, close: false }),
            "HTTP/1.1 200 OK|Connection: keep-alive|Server: tega|Date: now|Content-Type: application/json|\
             X-Content-Type-Options: nosniff|ETag: \"1-2\"|Content-Length: 2||"
        );
        assert_eq!(
            text(&Reply::empty(200), Framing { close: true, ..OPEN }),
            "HTTP/1.1 200 OK|Connection: close|Server: tega|Date: now|Content-Length: 0||"
        );
        assert_eq!(
            text(&Reply::empty(304).with("ETag", "\"1-2\""), OPEN),
            "HTTP/1.1 304 Not Modified|Server: tega|Date: now|ETag: \"1-2\"||"
        );
        let upgrade = Refusal::new("upgrade_required", "x");
        assert!(text(&Reply::refusal(&upgrade), OPEN).contains("|Upgrade: websocket|"));
    }

    #[test]
    fn a_big_answer_has_a_length_and_no_chunks() {
        let reply = Reply::json("x".repeat(200_000));
        let out = text(&reply, OPEN);
        assert!(out.contains("|Content-Length: 200000||x"), "{}", &out[..200]);
        assert!(out.ends_with("xxx") && !out.contains("chunked"));
    }

    #[test]
    fn dates_are_written_as_http_wants() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(seconds), text);
        }
    }
}
