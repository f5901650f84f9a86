//! Reading a log from its beginning in bounded memory, and the judgement of what is wrong with it.

use std::io;
use std::ops::ControlFlow;

use super::frame::{self, Line, MAX_LINE};
use super::{FORMAT, FORMAT_FAMILY, Offset};

/// Reads what there is at an offset, 0 bytes at the end: a file, or one of a [`Medium`](super::Medium).
pub(super) type ReadAt<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>;

/// Takes a record; a break ends the reading, with a reason if the record isn't acceptable.
pub(super) type Each<'a> = &'a mut dyn FnMut(Offset, &str) -> ControlFlow<Option<String>>;

const CHUNK: usize = 64 << 10;

/// Splits a file into lines. It holds one line and a chunk, whatever the file is full of.
pub(super) struct Scanner<'a> {
    read: ReadAt<'a>,
    size: u64,
    /// The offset of `buf[from]`.
    at: u64,
    buf: Vec<u8>,
    from: usize,
    till: usize,
}

/// One line, its newline not included.
pub(super) struct Found<'a> {
    pub(super) at: u64,
    pub(super) end: u64,
    raw: &'a [u8],
    broken: Option<&'static str>,
}

impl Found<'_> {
    pub(super) fn parse(&self) -> Result<Line<'_>, &'static str> {
        match self.broken {
            Some(reason) => Err(reason),
            None => frame::parse(self.raw, self.at),
        }
    }

    /// The offset that a group claims which this bad line has swallowed; 0 if there is none.
    fn swallowed(&self) -> u64 {
        frame::swallowed(self.raw, self.at).unwrap_or(0)
    }
}

impl<'a> Scanner<'a> {
    /// The lines from offset `at` on, and before `size`.
    pub(super) fn new(read: ReadAt<'a>, at: u64, size: u64) -> Scanner<'a> {
        Scanner { read, size, at, buf: Vec::new(), from: 0, till: 0 }
    }

    /// The next line, `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        let at = self.at;
        let mut searched = 0;
        let mut broken = None;
        let len = loop {
            let unread = &self.buf[self.from..self.till];
            if let Some(i) = unread[searched..].iter().position(|&b| b == b'\n') {
                break searched + i + 1;
            }
            searched = unread.len();
            if searched > MAX_LINE {
                broken = Some("the line is longer than any record");
                self.skip(searched);
                searched = 0;
            }
            if !self.fill()? {
                if self.at + searched as u64 == at {
                    return Ok(None);
                }
                broken = Some("the line has no end");
                break searched;
            }
        };
        let line = self.from..self.from + len;
        self.skip(len);
        let raw = self.buf.get(line).unwrap_or_default();
        Ok(Some(Found { at, end: self.at, raw: raw.strip_suffix(b"\n").unwrap_or(raw), broken }))
    }

    fn skip(&mut self, len: usize) {
        self.from += len;
        self.at += len as u64;
    }

    /// Reads on behind what is unread; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buf.copy_within(self.from..self.till, 0);
        self.till -= self.from;
        self.from = 0;
        if self.buf.len() < self.till + CHUNK {
            self.buf.resize((2 * self.till).clamp(CHUNK, MAX_LINE + 1) + CHUNK, 0);
        }
        let next = self.at + self.till as u64;
        let left = usize::try_from(self.size.saturating_sub(next)).unwrap_or(usize::MAX);
        let spare = &mut self.buf[self.till..];
        let wanted = spare.len().min(left);
        let got = if wanted == 0 { 0 } else { (self.read)(next, &mut spare[..wanted])? };
        self.till += got.min(wanted);
        Ok(got > 0)
    }
}

/// What a log turned out to be.
#[derive(Debug)]
pub(super) struct Survey {
    /// The end of the last line before the first bad one.
    pub(super) good: u64,
    /// The records up to there.
    pub(super) records: u64,
    /// Whether the last line up to there is a seal.
    pub(super) sealed: bool,
    pub(super) verdict: Verdict,
}

/// What was found behind the last good line.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Whole,
    /// The reader wanted no more.
    Stopped,
    /// There isn't even a whole first line: a log in which nothing was ever written.
    Unborn,
    /// It isn't a log that this version can read.
    Foreign(&'static str),
    /// What follows was never known to be durable.
    Torn,
    /// A record that was durable is bad, or one with a good checksum was refused by the reader.
    Damaged {
        reason: String,
        /// The records with a good checksum behind it.
        lost: u64,
    },
}

/// Reads a log from offset `from` (0, or where the first line ends if that is the damaged one) up to `size`.
pub(super) fn survey(read: ReadAt<'_>, from: u64, size: u64, each: Each<'_>) -> io::Result<Survey> {
    let mut scanner = Scanner::new(read, from, size);
    let mut survey = Survey { good: from, records: 0, sealed: false, verdict: Verdict::Whole };
    if from == 0 {
        survey.verdict = judge_first(&mut scanner, &mut survey.good, size)?;
        if !matches!(survey.verdict, Verdict::Whole) {
            return Ok(survey);
        }
    }
    while let Some(found) = scanner.next()? {
        let refused = match found.parse() {
            Err(reason) => {
                let claimed = found.swallowed();
                survey.verdict = judge(&mut scanner, survey.good, reason, claimed)?;
                return Ok(survey);
            }
            Ok(line) if line.payload.is_empty() => {
                survey.sealed = true;
                None
            }
            Ok(line) => {
                survey.sealed = false;
                match each(Offset(found.at), line.payload) {
                    ControlFlow::Continue(()) => {
                        survey.records += 1;
                        None
                    }
                    ControlFlow::Break(reason) => Some(reason),
                }
            }
        };
        match refused {
            None => survey.good = found.end,
            Some(None) => {
                survey.verdict = Verdict::Stopped;
                return Ok(survey);
            }
            Some(Some(reason)) => {
                survey.verdict = Verdict::Damaged { reason, lost: rest(&mut scanner)?.records };
                return Ok(survey);
            }
        }
    }
    Ok(survey)
}

/// The first line says that this is a log, and of which format.
fn judge_first(scanner: &mut Scanner<'_>, good: &mut u64, size: u64) -> io::Result<Verdict> {
    let Some(found) = scanner.next()? else { return Ok(Verdict::Unborn) };
    let (reason, claimed) = match found.parse() {
        Ok(line) if line.payload == FORMAT => {
            *good = found.end;
            return Ok(Verdict::Whole);
        }
        Ok(line) if line.payload.starts_with(FORMAT_FAMILY) => {
            return Ok(Verdict::Foreign("was written by a later tega, in a format that this one can't read"));
        }
        Ok(_) => return Ok(Verdict::Foreign("isn't a log of tega")),
        Err(_) if found.end == size && first_line().starts_with(found.raw) => return Ok(Verdict::Unborn),
        Err(reason) => (reason, found.swallowed()),
    };
    // A stranger's file has no line with a good checksum that proves anything.
    Ok(match judge(scanner, 0, reason, claimed)? {
        Verdict::Torn => Verdict::Foreign("isn't a log of tega"),
        verdict => verdict,
    })
}

/// Whether a bad line at `at`, which the scanner has just passed, was durable: a later group proves it by the
/// offset that it begins with, `claimed` being that of a group in the bad line itself. If none does, everything
/// from the bad line on is what a crash left behind.
fn judge(scanner: &mut Scanner<'_>, at: u64, reason: &str, claimed: u64) -> io::Result<Verdict> {
    let rest = rest(scanner)?;
    let durable = rest.durable.max(claimed);
    if durable <= at {
        return Ok(Verdict::Torn);
    }
    let reason = format!("{reason}, though all before byte {durable} was on the disk");
    Ok(Verdict::Damaged { reason, lost: rest.records })
}

struct Rest {
    /// The highest offset that a group's first line says is durable.
    durable: u64,
    records: u64,
}

fn rest(scanner: &mut Scanner<'_>) -> io::Result<Rest> {
    let mut rest = Rest { durable: 0, records: 0 };
    while let Some(found) = scanner.next()? {
        if let Ok(line) = found.parse() {
            rest.durable = rest.durable.max(line.durable.unwrap_or(0));
            rest.records += u64::from(!line.payload.is_empty());
        }
    }
    Ok(rest)
}

/// The first line of every log, its newline included.
pub(super) fn first_line() -> Vec<u8> {
    let mut line = frame::seal(0);
    let mut group = frame::Group::new();
    // FORMAT is a good payload, which `the_first_line_is_as_documented` makes sure of.
    if group.record(|buf| buf.extend_from_slice(FORMAT.as_bytes())).is_ok() {
        line = group.framed(0).to_vec();
    }
    line
}
