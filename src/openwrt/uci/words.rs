//! The words of a file, cut as the router's tool cuts them.
//!
//! The tool fills a buffer with one line, and with the next behind it where a quote or a backslash asks for more. It
//! ends a word by writing a NUL over whatever follows it, which may be the `;` that would have ended the statement; and
//! it takes a NUL of the file for the end of what was read, so that the next line is read right behind. Those steps are
//! done here as they are there. Beside the buffer stands where each of its bytes comes from, so that a word has a
//! place in the text.

use super::Span;
use super::error::{Error, Reason};

/// How large the tool's buffer is at first.
const FIRST: usize = 32;

/// How large it may become. It doubles for each line that ends in a NUL, so some forty of them would take all memory.
const LARGEST: usize = 1 << 30;

/// A word, unquoted, and where it stands with its quotes.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: Box<[u8]>,
    pub(super) span: Span,
}

/// The text being read.
pub(super) struct Reader<'a> {
    source: &'a [u8],
    /// How much of it is read.
    read: usize,
    /// Whether a read met the end.
    ended: bool,
    /// The tool's buffer. What it would have beyond this is never looked at.
    buffer: Vec<u8>,
    /// How large the tool's buffer is.
    size: usize,
    /// Up to where the last read filled it.
    filled: usize,
    /// From which byte of the buffer on its bytes are those of the text from where on; ascending.
    origins: Vec<(usize, usize)>,
    /// Where in the buffer reading goes on.
    at: usize,
    /// Lines that were begun.
    line: usize,
    /// Whether the last of them has its end.
    whole: bool,
    /// The line where the present statement's first line is.
    begun: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a [u8]) -> Reader<'a> {
        Reader {
            source,
            read: 0,
            ended: false,
            buffer: Vec::new(),
            size: FIRST,
            filled: 0,
            origins: Vec::new(),
            at: 0,
            line: 0,
            whole: true,
            begun: 1,
        }
    }

    /// Reads the next line into an empty buffer; `None` after the last. Returns where it begins.
    pub(super) fn next_line(&mut self) -> Result<Option<usize>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.at = 0;
        let start = self.read;
        self.begun = self.line + 1;
        self.fill(0)?;
        Ok(Some(start))
    }

    /// Up to where the text is read.
    pub(super) fn position(&self) -> usize {
        self.read
    }

    /// An error at this place.
    pub(super) fn error(&self, reason: Reason) -> Error {
        Error { line: self.line.max(self.begun), byte: self.at, reason, begun: self.begun }
    }

    /// The tool's `uci_getln`: a line into the buffer from `offset` on, and more as long as a NUL cuts it short.
    fn fill(&mut self, offset: usize) -> Result<(), Error> {
        if offset >= self.size - 1 {
            self.size *= 2;
        }
        self.buffer.truncate(offset);
        while self.origins.last().is_some_and(|(at, _)| *at >= offset) {
            self.origins.pop();
        }
        let mut to = offset;
        loop {
            let rest = &self.source[self.read..];
            let most = rest.len().min(self.size - to - 1);
            let taken = &rest[..most];
            let taken = match taken.iter().position(|b| *b == b'\n') {
                Some(end) => &taken[..=end],
                None => {
                    // The tool's read meets the end only where it asked for more than there is.
                    self.ended |= rest.len() < self.size - to - 1;
                    taken
                }
            };
            let text = taken.split(|b| *b == 0).next().unwrap_or_default();
            if self.origins.is_empty() || self.origin(to) != self.read {
                self.origins.push((to, self.read));
            }
            self.read += taken.len();
            self.count(taken);
            if text.is_empty() {
                return Ok(());
            }
            self.buffer.extend_from_slice(text);
            to += text.len();
            self.filled = to;
            if text.ends_with(b"\n") {
                return Ok(());
            }
            if self.size >= LARGEST {
                return Err(self.error(Reason::Memory));
            }
            self.size *= 2;
        }
    }

    /// Lines are counted where they begin, so that one without an end counts too.
    fn count(&mut self, taken: &[u8]) {
        if !taken.is_empty() {
            self.line += usize::from(self.whole);
            self.whole = taken.ends_with(b"\n");
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.buffer.get(at).copied().unwrap_or(0)
    }

    /// The byte here; 0 at the end of what was read.
    fn here(&self) -> u8 {
        self.byte(self.at)
    }

    fn write(&mut self, at: usize, byte: u8) {
        // Beyond the buffer's end there's nothing but the NUL that is written.
        if let Some(place) = self.buffer.get_mut(at) {
            *place = byte;
        }
    }

    /// Where in the text a byte of the buffer stands.
    fn origin(&self, at: usize) -> usize {
        let run = self.origins.partition_point(|(from, _)| *from <= at);
        let (from, source) =
            run.checked_sub(1).and_then(|run| self.origins.get(run)).copied().unwrap_or((0, 0));
        source + (at - from)
    }

    fn span(&self, from: usize, to: usize) -> Span {
        // A file is far shorter than 4 GiB: `MAX_FILE`.
        Span { start: from as u32, end: to as u32 }
    }

    pub(super) fn skip_space(&mut self) {
        while is_space(self.here()) {
            self.at += 1;
        }
    }

    /// The next keyword, without a move; `None` where nothing is left of the line. The tool's `strtok`: only blanks and
    /// tabs end a keyword, so that `config` at a line's end isn't one.
    pub(super) fn keyword(&mut self) -> Option<(&[u8], Span)> {
        let blank = |b: u8| b == b' ' || b == b'\t';
        let mut from = self.at;
        while blank(self.byte(from)) {
            from += 1;
        }
        let mut to = from;
        while self.byte(to) != 0 && !blank(self.byte(to)) {
            to += 1;
        }
        if from == to {
            return None;
        }
        let span = self.span(self.origin(from), self.origin(to - 1) + 1);
        self.write(to, 0);
        Some((self.buffer.get(from..to)?, span))
    }

    /// Moves behind the keyword; `false` where the file ends there.
    pub(super) fn skip_keyword(&mut self) -> bool {
        let mut to = self.at;
        while self.byte(to) != 0 {
            to += 1;
        }
        if to + 1 > self.filled {
            return false;
        }
        self.at = to + 1;
        true
    }

    /// The next word; `None` where there's none. One that is there may be empty: `''`.
    pub(super) fn word(&mut self) -> Result<Option<Word>, Error> {
        self.skip_space();
        let from = self.at;
        if self.here() == b';' {
            self.write(from, 0);
            self.at += 1;
            return Ok(None);
        }
        let start = self.origin(from);
        let mut target = from;
        let next = self.string(&mut target)?;
        let end = self.origin(self.at);
        if self.here() != 0 && next {
            self.at += 1;
        }
        self.write(target, 0);
        let text = self.buffer.get(from..target).unwrap_or_default().into();
        Ok((end > start).then(|| Word { text, span: self.span(start, end) }))
    }

    /// The tool's `parse_str`: unquotes towards `target`. Returns whether the byte that ended it may be passed over.
    fn string(&mut self, target: &mut usize) -> Result<bool, Error> {
        loop {
            match self.here() {
                quote @ (b'\'' | b'"') => self.quote(quote, target)?,
                b'#' => {
                    self.cut();
                    return Ok(true);
                }
                0 => return Ok(true),
                b';' => return Ok(false),
                b'\\' if !self.backslash()? => {}
                _ => self.take(target),
            }
            if self.here() == 0 || is_space(self.here()) {
                return Ok(true);
            }
        }
    }

    /// A comment: to the tool, the line ends here.
    fn cut(&mut self) {
        self.write(self.at, 0);
    }

    fn quote(&mut self, quote: u8, target: &mut usize) -> Result<(), Error> {
        self.at += 1;
        loop {
            match self.here() {
                byte if byte == quote => {
                    self.at += 1;
                    return Ok(());
                }
                0 => {
                    self.fill(self.at)?;
                    if self.here() == 0 {
                        return Err(self.error(Reason::Unterminated(quote.into())));
                    }
                }
                b'\\' if quote == b'"' && !self.backslash()? => {}
                _ => self.take(target),
            }
        }
    }

    /// Passes a backslash over. At the end of a line it takes the line's end with it, and the next line follows.
    fn backslash(&mut self) -> Result<bool, Error> {
        self.at += 1;
        let ends = match self.here() {
            0 | b'\n' => true,
            b'\r' => self.byte(self.at + 1) == b'\n' && self.byte(self.at + 2) == 0,
            _ => false,
        };
        if ends {
            self.fill(self.at)?;
        }
        Ok(!ends)
    }

    fn take(&mut self, target: &mut usize) {
        self.write(*target, self.here());
        *target += 1;
        self.at += 1;
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
