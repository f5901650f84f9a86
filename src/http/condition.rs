//! `ETag`, `If-Match` and `If-None-Match`: versions in the form that HTTP has for them.

use crate::api::error::Refusal;
use crate::commit::Incarnation;
use crate::http::{Headers, Reply};
use crate::store::Expect;
use crate::tree::Version;

/// The text of an ETag.
pub(super) fn etag(incarnation: Incarnation, version: Version) -> String {
    format!("\"{incarnation}-{version}\"")
}

/// Reads one ETag, weak or not.
fn parse(tag: &str) -> Option<(Incarnation, i64)> {
    let inner = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let (incarnation, version) = inner.split_once('-')?;
    if incarnation.len() != 16 || !version.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((incarnation.parse().ok()?, version.parse().ok()?))
}

/// What a write expects, from its headers and its query; and whether the headers said so, for the status of a refusal.
pub(super) fn expect(headers: &Headers<'_>, version: Option<i64>) -> Result<(Option<Expect>, bool), Refusal> {
    let by_header = match (headers.if_match, headers.if_none_match) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err(Refusal::bad("If-Match and If-None-Match exclude each other")),
        (None, Some("*")) => Some(Expect { version: -1, incarnation: None }),
        (None, Some(_)) => {
            return Err(Refusal::bad("a write takes If-None-Match: * only: it must not exist"));
        }
        (Some(tag), None) => Some(if_match(tag)?),
    };
    match (by_header, version) {
        (Some(_), Some(_)) => {
            Err(Refusal::bad("version= and If-Match or If-None-Match exclude each other; use one"))
        }
        (Some(expect), None) => Ok((Some(expect), true)),
        (None, Some(version)) if version < -1 => {
            Err(Refusal::bad(format!("version={version}: a version from 0, or -1 for \"must not exist\"")))
        }
        (None, version) => Ok((version.map(|version| Expect { version, incarnation: None }), false)),
    }
}

fn if_match(tag: &str) -> Result<Expect, Refusal> {
    let (incarnation, version) = parse(tag).filter(|_| !tag.starts_with("W/")).ok_or_else(|| {
        Refusal::bad(format!(
            "If-Match: {tag}: one ETag as GET gives it wanted, such as \"0123456789abcdef-7\""
        ))
    })?;
    Ok(Expect { version, incarnation: Some(incarnation) })
}

/// Whether a GET may be answered 304: one of the client's ETags is the present one.
pub(super) fn unchanged(headers: &Headers<'_>, etag: &str) -> bool {
    let weak = |tag: &str| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()).to_string();
    headers.if_none_match.is_some_and(|list| list.trim() == "*" || list.split(',').any(|t| weak(t) == etag))
}

/// A refused write: a conflict that a header asked for is 412.
pub(super) fn refused(refusal: Refusal, by_header: bool) -> Reply {
    let status = if by_header && refusal.code == "conflict" { 412 } else { refusal.status };
    Reply::refusal(&Refusal { status, ..refusal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_reads_back_as_what_it_was_made_of() {
        let tag = etag(Incarnation(0xab), Version(7));
        assert_eq!(tag, "\"00000000000000ab-7\"");
        assert_eq!(parse(&tag), Some((Incarnation(0xab), 7)));
        for bad in ["", "7", "\"7\"", "\"ab-7\"", "\"00000000000000ab-+7\"", "\"00000000000000ab--1\"", "*"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn headers_and_query_say_what_a_write_expects() {
        let headers = |if_match, if_none_match| Headers { if_match, if_none_match, ..Headers::default() };
        let version = |version| Some(Expect { version, incarnation: None });
        let tag = "\"00000000000000ab-7\"";
        let tagged = Some(Expect { version: 7, incarnation: Some(Incarnation(0xab)) });
        for (given, query, meant) in [
            (headers(None, None), None, Some((None, false))),
            (headers(None, None), Some(0), Some((version(0), false))),
            (headers(None, None), Some(-1), Some((version(-1), false))),
            (headers(None, None), Some(-2), None),
            (headers(Some(tag), None), None, Some((tagged, true))),
            (headers(None, Some("*")), None, Some((version(-1), true))),
            (headers(None, Some(tag)), None, None),
            (headers(Some("*"), None), None, None),
            (headers(Some("W/\"00000000000000ab-7\""), None), None, None),
            (headers(Some(tag), Some("*")), None, None),
            (headers(Some(tag), None), Some(7), None),
        ] {
            assert_eq!(expect(&given, query).ok(), meant, "{given:?} {query:?}");
        }
    }

    #[test]
    fn a_get_is_304_when_one_of_the_tags_is_the_present_one() {
        let tag = "\"00000000000000ab-7\"";
        for (list, same) in [
            (tag, true),
            ("*", true),
            ("\"x\", W/\"00000000000000ab-7\"", true),
            ("\"00000000000000ab-8\"", false),
            ("", false),
        ] {
            let headers = Headers { if_none_match: Some(list), ..Headers::default() };
            assert_eq!(unchanged(&headers, tag), same, "{list}");
        }
        assert!(!unchanged(&Headers::default(), tag));
    }
}
