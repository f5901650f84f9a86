//! A body in chunks: from bytes as they come to the body. No I/O.

use crate::api::error::Refusal;

/// The longest line that gives a chunk's size, with its extensions.
const MAX_LINE: usize = 256;

/// All lines that aren't data: sizes of many small chunks, extensions and trailers.
const MAX_OVERHEAD: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the line that gives the size.
    Size,
    /// In the data: so many bytes are left.
    Data(usize),
    /// In the line end behind the data.
    DataEnd,
    /// In a line behind the last chunk: an empty one ends the body.
    Trailer,
    Done,
}

/// Takes chunks apart.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    line: Vec<u8>,
    overhead: usize,
    limit: usize,
}

fn bad(message: &str) -> Refusal {
    Refusal::bad(format!("the chunks of the body: {message}"))
}

impl Chunks {
    /// A body of at most `limit` bytes.
    pub fn new(limit: usize) -> Chunks {
        Chunks { state: State::Size, line: Vec::new(), overhead: 0, limit }
    }

    /// Whether the body is whole.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what it can of `bytes`, appends the data to `body`, and returns how many bytes it took: all of them
    /// unless the body ended.
    pub fn feed(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Done => break,
                State::Data(left) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let data = rest.get(..left.min(rest.len())).unwrap_or_default();
                    body.extend_from_slice(data);
                    at += data.len();
                    self.state = match left - data.len() {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    };
                }
                State::Size | State::DataEnd | State::Trailer => {
                    at += 1;
                    self.overhead += 1;
                    if self.overhead > MAX_OVERHEAD + self.limit / 8 {
                        return Err(bad("too many, or too much beside the data"));
                    }
                    if let Some(line) = self.line(byte)? {
                        self.state = self.after(&line, body.len())?;
                    }
                }
            }
        }
        Ok(at)
    }

    /// Takes one byte of a line; returns the line when that was its end.
    fn line(&mut self, byte: u8) -> Result<Option<Vec<u8>>, Refusal> {
        let ended = self.line.last() == Some(&b'\r');
        match byte {
            b'\n' if ended => {
                self.line.pop();
                return Ok(Some(std::mem::take(&mut self.line)));
            }
            _ if ended || byte == b'\n' => return Err(bad("a line ends without CR LF")),
            _ => self.line.push(byte),
        }
        if self.line.len() > MAX_LINE { Err(bad("a line is too long")) } else { Ok(None) }
    }

    fn after(&self, line: &[u8], so_far: usize) -> Result<State, Refusal> {
        match self.state {
            State::DataEnd if line.is_empty() => Ok(State::Size),
            State::DataEnd => Err(bad("data goes on after its size")),
            State::Trailer if line.is_empty() => Ok(State::Done),
            State::Trailer => Ok(State::Trailer),
            _ => match size(line)? {
                0 => Ok(State::Trailer),
                size if size > self.limit - so_far.min(self.limit) => Err(too_large(self.limit)),
                size => Ok(State::Data(size)),
            },
        }
    }
}

/// 413: a body over the limit.
pub fn too_large(limit: usize) -> Refusal {
    Refusal::new("too_large", format!("the body is longer than {limit} bytes"))
}

/// The size at the start of a line, before any extension.
fn size(line: &[u8]) -> Result<usize, Refusal> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    let digits = line.get(..end).unwrap_or_default().trim_ascii_end();
    let text = std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
    text.filter(|t| (1..=16).contains(&t.len()))
        .and_then(|t| u64::from_str_radix(t, 16).ok())
        // What doesn't fit is over any limit.
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
        .ok_or_else(|| bad("a size isn't a hexadecimal number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, step: usize, limit: usize) -> Result<(String, usize), u16> {
        let (mut chunks, mut body, mut taken) = (Chunks::new(limit), Vec::new(), 0);
        for part in text.as_bytes().chunks(step) {
            let n = chunks.feed(part, &mut body).map_err(|r| r.status)?;
            taken += n;
            if chunks.done() {
                return Ok((String::from_utf8(body).unwrap(), taken));
            }
            assert_eq!(n, part.len());
        }
        Err(0)
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let text = "4\r\nWiki\r\n6;x=\"y\"\r\npedia \r\nE \r\nin \r\n\r\nchunks.\r\n0\r\nA: b\r\n\r\nGET /";
        for step in [1, 2, 3, 5, 1000] {
            let (body, taken) = read(text, step, 100).unwrap();
            assert_eq!((body.as_str(), &text[taken..]), ("Wikipedia in \r\n\r\nchunks.", "GET /"), "{step}");
        }
        assert_eq!(read("0\r\n\r\n", 1, 0), Ok((String::new(), 5)));
    }

    #[test]
    fn what_isnt_chunks_is_refused() {
        for (text, status) in [
            ("4\nWiki\r\n0\r\n\r\n", 400),
            ("\r\n", 400),
            ("-1\r\n", 400),
            ("+1\r\n", 400),
            ("0x1\r\n", 400),
            ("g\r\n", 400),
            (" 1\r\na\r\n", 400),
            ("1\r\nab\r\n", 400),
            ("1\r\na\n0\r\n\r\n", 400),
            ("1\ra\r\n", 400),
            ("10000000000000000\r\n", 400),
            ("ffffffffffffffff\r\n", 413),
            ("b\r\n", 413),
            ("6\r\n123456\r\n5\r\n", 413),
            ("4\r\nWiki\r\n", 0),
        ] {
            assert_eq!(read(text, 1, 10), Err(status), "{text:?}");
        }
        assert_eq!(read(&format!("1;{}\r\n", "x".repeat(300)), 1, 10), Err(400));
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(20_000));
        assert_eq!(read(&trailers, 1000, 10), Err(400));
    }
}
