//! One line of the log, both ways: a [`Group`] of records on its way to the disk, and a line read back.

use super::{MAX_RECORD, RecordError};

/// The checksum in lower-case hex.
const CRC_LEN: usize = 8;

/// Room for what is only known at the append: the checksum, `@` and the offset of a group's first line.
const ROOM: usize = CRC_LEN + 1 + 20;

/// The longest line without its newline.
pub(super) const MAX_LINE: usize = ROOM + 1 + MAX_RECORD;

/// Records that go to the log together, with one write.
///
/// They are encoded into one buffer, which a [`Group::clear`] keeps: nothing is allocated for a record once
/// the buffer has grown. The first line's offset and checksum are filled in by the append.
#[derive(Debug, Default)]
pub struct Group {
    /// Empty, or `ROOM` bytes and then every record framed, the first one without its head.
    buf: Vec<u8>,
    /// Where the first record's line ends, its newline included.
    first_end: usize,
    records: u64,
}

/// A place in a [`Group`] to go back to; see [`Group::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    records: u64,
}

impl Group {
    /// A group without records.
    pub fn new() -> Group {
        Group::default()
    }

    /// Adds one record: `write` appends its payload to the buffer it is given, and leaves alone what is there.
    ///
    /// The payload is 1 to [`MAX_RECORD`] bytes of UTF-8 without a newline. If it isn't, the group is as it was.
    pub fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), RecordError> {
        let undo = self.mark();
        let head = if self.records == 0 { ROOM } else { CRC_LEN };
        self.buf.resize(undo.len + head, b'0');
        let space = self.buf.len();
        self.buf.push(b' ');
        write(&mut self.buf);
        if let Err(error) = check(self.buf.get(space + 1..)) {
            self.rewind(undo);
            return Err(error);
        }
        if self.records > 0 {
            let crc = crc32fast::hash(&self.buf[space..]);
            write_crc(crc, &mut self.buf[undo.len..space]);
        }
        self.buf.push(b'\n');
        if self.records == 0 {
            self.first_end = self.buf.len();
        }
        self.records += 1;
        Ok(())
    }

    /// The bytes that the records take, a few less than they will in the log.
    pub fn len(&self) -> usize {
        self.buf.len().saturating_sub(ROOM)
    }

    /// The number of records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Drops the records and keeps the buffer, up to a size that a router can spare.
    pub fn clear(&mut self) {
        const SPARED: usize = 1 << 20;
        self.buf.clear();
        self.buf.shrink_to(SPARED);
        self.records = 0;
    }

    /// The present end, to which [`Group::rewind`] goes back.
    pub fn mark(&self) -> Mark {
        Mark { len: self.buf.len(), records: self.records }
    }

    /// Drops every record added since `mark` was taken. A mark from before a `clear` does nothing.
    pub fn rewind(&mut self, mark: Mark) {
        if mark.records <= self.records && mark.len <= self.buf.len() {
            self.buf.truncate(mark.len);
            self.records = mark.records;
        }
    }

    /// The bytes for the log, once it is known what is durable. Empty for a group without records.
    pub(super) fn framed(&mut self, durable: u64) -> &[u8] {
        if self.is_empty() {
            return &[];
        }
        let from = write_head(&mut self.buf[..self.first_end], durable);
        &self.buf[from..]
    }
}

/// A line that begins a group and holds no record: it proves that all before `durable` is on the disk.
pub(super) fn seal(durable: u64) -> Vec<u8> {
    let mut line = vec![b'0'; ROOM];
    line.extend_from_slice(b" \n");
    let from = write_head(&mut line, durable);
    line.split_off(from)
}

/// Fills in `CCCCCCCC@OFFSET`, flush with the end of the room, and gives where it begins.
fn write_head(line: &mut [u8], durable: u64) -> usize {
    let mut at = ROOM;
    let mut rest = durable;
    loop {
        at -= 1;
        line[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    at -= 1;
    line[at] = b'@';
    let crc = crc32fast::hash(&line[at..line.len() - 1]);
    write_crc(crc, &mut line[at - CRC_LEN..at]);
    at - CRC_LEN
}

fn write_crc(crc: u32, out: &mut [u8]) {
    for (i, digit) in out.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(crc >> (4 * i)) as usize & 15];
    }
}

fn check(payload: Option<&[u8]>) -> Result<(), RecordError> {
    let payload = payload.unwrap_or_default();
    if payload.is_empty() {
        Err(RecordError::Empty)
    } else if payload.len() > MAX_RECORD {
        Err(RecordError::TooLong { len: payload.len() })
    } else if payload.contains(&b'\n') {
        Err(RecordError::Newline)
    } else if std::str::from_utf8(payload).is_err() {
        Err(RecordError::NotUtf8)
    } else {
        Ok(())
    }
}

/// A line with a good checksum.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    /// On the first line of a group: the offset that was durable when it was written.
    pub(super) durable: Option<u64>,
    /// The record; empty in a seal.
    pub(super) payload: &'a str,
}

/// Reads the line, without its newline, that begins at offset `at` of the log; or says what is wrong with it.
pub(super) fn parse(line: &[u8], at: u64) -> Result<Line<'_>, &'static str> {
    const SHAPE: &str = "the line isn't a record";
    let (crc, body) = line.split_at_checked(CRC_LEN).ok_or(SHAPE)?;
    let crc = read_crc(crc).ok_or(SHAPE)?;
    if crc32fast::hash(body) != crc {
        return Err("the checksum doesn't match");
    }
    let body = std::str::from_utf8(body).map_err(|_| "the record isn't UTF-8")?;
    let (head, payload) = body.split_once(' ').ok_or(SHAPE)?;
    let durable = match head.strip_prefix('@') {
        Some(digits) => Some(read_offset(digits, at).ok_or("the line claims an impossible durable offset")?),
        None if head.is_empty() && !payload.is_empty() => None,
        None => return Err(SHAPE),
    };
    Ok(Line { durable, payload })
}

/// Whether a bad line is two good ones whose newline was lost, the second of which begins a group: the offset
/// that this claims. Without it the loss of one byte would take the last proof along.
///
/// Payload can't feign it: where the first line ends, its checksum must match.
pub(super) fn swallowed(line: &[u8], at: u64) -> Option<u64> {
    let (crc, body) = line.split_at_checked(CRC_LEN)?;
    let crc = read_crc(crc)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut hashed = 0;
    let signs = body.iter().enumerate().filter(|(_, b)| **b == b'@').map(|(sign, _)| sign);
    for end in signs.filter_map(|sign| sign.checked_sub(CRC_LEN + 1)) {
        hasher.update(body.get(hashed..end)?);
        hashed = end;
        if hasher.clone().finalize() == crc {
            let second = line.get(CRC_LEN + end + 1..)?;
            return parse(second, at + (line.len() - second.len()) as u64).ok()?.durable;
        }
    }
    None
}

fn read_crc(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |crc, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(crc << 4 | u32::from(nibble))
    })
}

/// Nothing can be durable that comes after the line which says so.
fn read_offset(digits: &str, at: u64) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&offset| plain && offset <= at)
}
