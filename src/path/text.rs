//! Both ends of a path's text: dotted, slashed, in a URL and in a WebSocket command line.

use std::borrow::Cow;
use std::fmt;

use super::{Key, Path, PathError, PathErrorKind};

/// Characters that a plain key can't hold.
fn is_plain(c: char) -> bool {
    !matches!(c, '.' | '[' | ']' | '"' | '=' | '/' | ' ') && !c.is_control()
}

/// The length of an `@name[n]` at the start of `text`.
fn anonymous_len(text: &str) -> Option<usize> {
    let open = text.strip_prefix('@')?.find(|c| !is_plain(c))? + 1;
    let digits = text[open..].strip_prefix('[')?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    (open > 1 && count > 0 && digits[count..].starts_with(']')).then_some(open + count + 2)
}

fn is_plain_key(key: &str) -> bool {
    !key.is_empty() && (key.chars().all(is_plain) || anonymous_len(key) == Some(key.len()))
}

pub(super) fn write(keys: &[Key], out: &mut impl fmt::Write) -> fmt::Result {
    for (i, key) in keys.iter().enumerate() {
        if is_plain_key(key) {
            if i > 0 {
                out.write_char('.')?;
            }
            out.write_str(key)?;
        } else {
            out.write_char('[')?;
            write_json_string(key, out)?;
            out.write_char(']')?;
        }
    }
    Ok(())
}

/// A JSON string: the two-character escapes where there is one, `\u00XX` for other control characters.
pub(crate) fn write_json_string(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_char('"')?;
    write_escaped(text, out)?;
    out.write_char('"')
}

/// The inside of a JSON string.
pub(crate) fn write_escaped(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f);
    let mut rest = text;
    while let Some(at) = rest.as_bytes().iter().position(special) {
        let byte = rest.as_bytes()[at];
        out.write_str(&rest[..at])?;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            0x08 => out.write_str("\\b")?,
            0x0c => out.write_str("\\f")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

pub(super) fn parse(text: &str) -> Result<Path, PathError> {
    if let Some(rest) = text.strip_prefix('/') {
        return slashed(text, rest, |segment| Ok(Cow::Borrowed(segment)));
    }
    let fail = |at, kind| PathError::new(text, at, kind);
    let mut path = Path::TOP;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("[\"") {
            let end = bracket_end(rest).ok_or_else(|| fail(at, PathErrorKind::BadBracket))?;
            let key: String = miniserde::json::from_str(&rest[1..end - 1])
                .map_err(|_| fail(at, PathErrorKind::BadBracket))?;
            path.push(key.into())?;
            at += end;
        } else {
            let dotted = if at > 0 {
                rest.strip_prefix('.')
                    .ok_or_else(|| fail(at, PathErrorKind::NotPlain(rest.chars().next().unwrap_or('.'))))?
            } else {
                rest
            };
            at += rest.len() - dotted.len();
            let len = anonymous_len(dotted)
                .unwrap_or_else(|| dotted.find(|c| !is_plain(c)).unwrap_or(dotted.len()));
            if len == 0 {
                return Err(fail(
                    at,
                    match dotted.chars().next() {
                        Some(c) if c != '.' => PathErrorKind::NotPlain(c),
                        _ => PathErrorKind::EmptyKey,
                    },
                ));
            }
            path.push(dotted[..len].into())?;
            at += len;
        }
    }
    if text.is_empty() { Err(fail(0, PathErrorKind::EmptyKey)) } else { Ok(path) }
}

/// The length of the `["…"]` at the start of `text`, found without decoding it.
fn bracket_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut i = 2;
    while *bytes.get(i)? != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (*bytes.get(i + 1)? == b']').then_some(i + 2)
}

fn slashed<'a>(
    text: &str,
    rest: &'a str,
    decode: impl Fn(&'a str) -> Result<Cow<'a, str>, PathErrorKind>,
) -> Result<Path, PathError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut path = Path::TOP;
    if rest.is_empty() {
        return Ok(path);
    }
    let mut at = 1;
    for segment in rest.split('/') {
        if segment.is_empty() {
            return Err(PathError::new(text, at, PathErrorKind::EmptyKey));
        }
        let key = decode(segment).map_err(|kind| PathError::new(text, at, kind))?;
        path.push(Key::new(key))?;
        at += segment.len() + 1;
    }
    Ok(path)
}

pub(super) fn from_url(url_path: &str) -> Result<Path, PathError> {
    slashed(url_path, url_path.strip_prefix('/').unwrap_or(url_path), |segment| {
        percent_decode(segment).ok_or(PathErrorKind::NotUtf8)
    })
}

pub(super) fn from_wire(word: &str) -> Result<Path, PathError> {
    let decoded = percent_decode(word).ok_or_else(|| PathError::new(word, 0, PathErrorKind::NotUtf8))?;
    parse(&decoded)
}

/// Decodes `%XX`; a `%` that no two hex digits follow stands for itself. `None`: not UTF-8.
pub fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let hex = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
        match (byte, hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            _ => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

pub(super) fn to_wire(path: &Path) -> String {
    let text = path.to_string();
    if !text.bytes().any(|b| matches!(b, b'%' | b' ' | b'\n' | b'\r')) {
        return text;
    }
    text.replace('%', "%25").replace(' ', "%20").replace('\n', "%0A").replace('\r', "%0D")
}

pub(super) fn to_url(path: &Path) -> String {
    let mut url = String::new();
    for key in path.keys() {
        url.push('/');
        for byte in key.bytes() {
            // RFC 3986, pchar: unreserved, sub-delims, ":" and "@" stand for themselves.
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                url.push(byte as char);
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    if url.is_empty() { "/".into() } else { url }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        Path::parse(text).unwrap().keys().iter().map(|k| k.to_string()).collect()
    }

    #[test]
    fn a_path_reads_back_from_every_form_it_is_written_in() {
        let odd = [
            "a",
            "@rule[12]",
            "192.168.1.1",
            "with space",
            "ünï",
            "q\"uote",
            "a/b",
            "x=y",
            "%41",
            "\n",
            "[",
            "_lan",
            "@x[]",
        ];
        for first in odd {
            for second in odd {
                let path = Path::new(["r", first, second]).unwrap();
                assert_eq!(Path::parse(&path.to_string()).unwrap(), path, "{path}");
                assert_eq!(Path::from_wire(&path.to_wire()).unwrap(), path, "{path}");
                assert!(!path.to_wire().contains([' ', '\n']));
                assert_eq!(Path::from_url(&path.to_url()).unwrap(), path, "{}", path.to_url());
            }
        }
    }

    #[test]
    fn the_plain_and_the_bracketed_forms_are_as_documented() {
        assert_eq!(keys("a.b.c"), ["a", "b", "c"]);
        assert_eq!(keys(r#"a.hosts["192.168.1.1"].mac"#), ["a", "hosts", "192.168.1.1", "mac"]);
        assert_eq!(keys(r#"["a b"]["c"].d"#), ["a b", "c", "d"]);
        assert_eq!(keys("dhcp.@dnsmasq[0].domain"), ["dhcp", "@dnsmasq[0]", "domain"]);
        assert_eq!(keys("/a/b.c/d/"), ["a", "b.c", "d"]);
        assert_eq!(Path::parse("/").unwrap(), Path::TOP);
        assert_eq!(Path::new(["a", "@x[0]", "c.d"]).unwrap().to_string(), r#"a.@x[0]["c.d"]"#);
    }

    #[test]
    fn a_bad_path_is_refused_with_the_place_and_the_reason() {
        let error = |text: &str| {
            let e = Path::parse(text).unwrap_err();
            (e.at, e.kind)
        };
        assert_eq!(error(""), (0, PathErrorKind::EmptyKey));
        assert_eq!(error("a..b"), (2, PathErrorKind::EmptyKey));
        assert_eq!(error("a."), (2, PathErrorKind::EmptyKey));
        assert_eq!(error("/a//b"), (3, PathErrorKind::EmptyKey));
        assert_eq!(error("a b"), (1, PathErrorKind::NotPlain(' ')));
        assert_eq!(error("a=1"), (1, PathErrorKind::NotPlain('=')));
        assert_eq!(error("a[b"), (1, PathErrorKind::NotPlain('[')));
        assert_eq!(error(r#"a["b"#), (1, PathErrorKind::BadBracket));
        assert_eq!(error(r#"a["b\q"]"#), (1, PathErrorKind::BadBracket));
        assert_eq!(error("a._value").1, PathErrorKind::InternalKey);
        assert_eq!(error(&"k".repeat(super::super::MAX_KEY_LEN + 1)).1, PathErrorKind::LongKey);
        assert_eq!(error(&vec!["k"; super::super::MAX_DEPTH + 1].join(".")).1, PathErrorKind::TooDeep);
        assert_eq!(Path::from_url("/a/%ff").unwrap_err().kind, PathErrorKind::NotUtf8);
        assert!(Path::parse("_status").unwrap().check_root().is_err());
        assert!(Path::parse("a._lan").unwrap().check_root().is_ok());
    }
}
