//! The format of a line, and what can't be a record.

use super::*;
use crate::log::frame::{parse, seal};
use crate::log::scan::first_line;

#[test]
fn a_log_is_the_text_that_the_documentation_shows() {
    let disk = written(&[&["a", "b"], &["c"]]);
    open(&disk).unwrap().0.seal().unwrap();
    let shown = [
        "45ac8f68@0 {\"tega\":\"log\",\"format\":1}",
        "37145c14@37 ",
        "d27e373b@50 a",
        "77e13629 b",
        "90b25c77@75 c",
        "a5c29e7b@89 ",
    ];
    assert_eq!(String::from_utf8(log_of(&disk)).unwrap(), shown.join("\n") + "\n");
    for line in shown {
        assert!(include_str!("../mod.rs").contains(format!("//! {line}").trim_end()));
    }
}

#[test]
fn the_first_line_is_as_documented() {
    assert_eq!(first_line(), line(&format!("@0 {FORMAT}")));
}

#[test]
fn a_payload_that_would_break_the_format_is_refused_and_leaves_the_group_as_it_was() {
    let mut group = group(&["good"]);
    let bytes = group.framed(7).to_vec();
    let mut refuse = |payload: &[u8]| group.record(|buf| buf.extend_from_slice(payload)).unwrap_err();
    assert_eq!(refuse(b""), RecordError::Empty);
    assert_eq!(refuse(b"a\nb"), RecordError::Newline);
    assert_eq!(refuse(b"a\xff"), RecordError::NotUtf8);
    assert_eq!(refuse(&vec![b'x'; MAX_RECORD + 1]), RecordError::TooLong { len: MAX_RECORD + 1 });
    assert_eq!((group.records(), group.framed(7)), (1, &bytes[..]));
}

#[test]
fn a_writer_that_takes_away_from_the_buffer_is_refused() {
    let mut group = Group::new();
    assert_eq!(group.record(|buf| buf.clear()), Err(RecordError::Empty));
    assert!(group.is_empty());
    group.record(|buf| buf.extend_from_slice(b"x")).unwrap();
    assert_eq!(group.framed(0), line("@0 x"));
}

#[test]
fn a_group_goes_back_to_a_mark_and_is_used_again() {
    let mut used = group(&["a"]);
    let mark = used.mark();
    used.record(|buf| buf.extend_from_slice(b"b")).unwrap();
    used.rewind(mark);
    assert_eq!(used.framed(3), group(&["a"]).framed(3));
    used.clear();
    used.rewind(mark);
    assert!(used.is_empty());
    used.record(|buf| buf.extend_from_slice(b"c")).unwrap();
    assert_eq!(used.framed(3), line("@3 c"));
}

#[test]
fn offsets_beyond_32_bits_are_written_and_read() {
    for offset in [0, 9, 10, u64::from(u32::MAX) + 1, u64::MAX] {
        let seal = seal(offset);
        let read = parse(seal.strip_suffix(b"\n").unwrap(), u64::MAX).unwrap();
        assert_eq!((read.durable, read.payload), (Some(offset), ""));
    }
}

#[test]
fn a_line_that_claims_the_impossible_is_bad_for_all_its_checksum() {
    for body in ["@8 x", "@18446744073709551616 x", "@ x", "@+1 x", "@-1 x", "@1", "x", "", " ", "7 x"] {
        let line = line(body);
        assert!(parse(line.strip_suffix(b"\n").unwrap(), 7).is_err(), "{body:?}");
    }
    assert!(parse(b"deadbeef x", 7).is_err());
    assert!(parse(b"", 7).is_err());
    let shouted = String::from_utf8(line("@7 x")).unwrap().to_uppercase().replace('X', "x");
    assert!(parse(shouted.trim_end().as_bytes(), 7).is_err(), "{shouted:?}");
}
