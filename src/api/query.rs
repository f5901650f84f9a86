//! The query of a URL: reading typed parameters out of it, and writing them.

use std::borrow::Cow;
use std::fmt::Write;

use super::error::Refusal;
use crate::commit::TegaId;
use crate::path::percent_decode;

/// The most parameters that a query may have.
const MAX_PARAMETERS: usize = 32;

/// The longest transaction ID, in bytes.
const MAX_TXID: usize = 64;

/// The parameters of a query, decoded. Names that no call knows are let through unread, as the original did;
/// a name that comes twice is refused, since two readers could take different ones.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads what stands behind the `?` of a URL.
    pub fn parse(text: &'a str) -> Result<Query<'a>, Refusal> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.iter().any(|p| p.0 == name) {
                return Err(Refusal::bad(format!("the query has {name:?} twice")));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(Refusal::bad(format!("the query has more than {MAX_PARAMETERS} parameters")));
            }
            parameters.push((name, value));
        }
        Ok(Query(parameters))
    }

    /// The text of a parameter. Absent, empty and the `None` that Python writes are all `None`.
    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|p| p.0 == name)?.1.as_ref();
        (!value.is_empty() && value != "None").then_some(value)
    }

    /// A parameter in which every text is data, `None` too; absent: empty.
    pub fn verbatim(&self, name: &str) -> &str {
        self.0.iter().find(|p| p.0 == name).map_or("", |p| p.1.as_ref())
    }

    /// A parameter that must be there.
    pub fn needed(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::bad(format!("the query needs {name}=")))
    }

    /// `True`/`False` in any case, or `1`/`0`; absent: false.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => {
                Err(Refusal::bad(format!("{name}={text:?} in the query: True, False, 1 or 0 wanted")))
            }
        }
    }

    /// A 64-bit integer.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            Refusal::bad(format!("{name}={text:?} in the query: an integer of at most 64 bits wanted"))
        })?;
        Ok(Some(number))
    }

    /// Who asks; `None` where the query doesn't say.
    pub fn tega_id(&self) -> Result<Option<TegaId>, Refusal> {
        let Some(text) = self.text("tega_id") else { return Ok(None) };
        TegaId::new(text).map(Some).map_err(|e| Refusal::bad(e.to_string()))
    }

    /// The transaction that the request belongs to.
    pub fn txid(&self) -> Result<Option<String>, Refusal> {
        match self.text("txid") {
            Some(text) if text.len() > MAX_TXID => {
                Err(Refusal::bad(format!("the txid is longer than {MAX_TXID} bytes")))
            }
            text => Ok(text.map(str::to_string)),
        }
    }
}

/// A query's `+` is a space, as HTML forms and Python's `urlencode` write it.
fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let not_utf8 = || Refusal::bad(format!("{text:?} in the query isn't UTF-8 after percent-decoding"));
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Ok(Cow::Owned(percent_decode(&spaced).ok_or_else(not_utf8)?.into_owned()));
    }
    percent_decode(text).ok_or_else(not_utf8)
}

/// Writes a target: a path, then parameters.
#[derive(Debug)]
pub struct Target {
    text: String,
    begun: bool,
}

impl Target {
    /// A target without parameters yet; `path` is encoded already.
    pub fn new(path: impl Into<String>) -> Target {
        Target { text: path.into(), begun: false }
    }

    /// Adds a parameter where there is a value.
    pub fn with(mut self, name: &str, value: Option<impl AsRef<str>>) -> Target {
        if let Some(value) = value {
            self.text.push(if self.begun { '&' } else { '?' });
            self.begun = true;
            self.text.push_str(name);
            self.text.push('=');
            encode(value.as_ref(), &mut self.text);
        }
        self
    }

    /// Adds a number where there is one.
    pub fn number(self, name: &str, value: Option<i64>) -> Target {
        self.with(name, value.map(|n| n.to_string()))
    }

    /// Adds `NAME=True` where it's so.
    pub fn flag(self, name: &str, set: bool) -> Target {
        self.with(name, set.then_some("True"))
    }

    /// Adds who asks.
    pub fn by(self, by: &Option<TegaId>) -> Target {
        self.with("tega_id", by.as_ref().map(TegaId::as_str))
    }

    /// The whole target.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Appends `text` with everything but RFC 3986's unreserved characters percent-encoded.
pub fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_the_drivers_and_people_write_them() {
        for (text, flag) in [
            ("", Some(false)),
            ("f", Some(false)),
            ("f=", Some(false)),
            ("f=None", Some(false)),
            ("f=True", Some(true)),
            ("f=true", Some(true)),
            ("f=TRUE", Some(true)),
            ("f=1", Some(true)),
            ("f=False", Some(false)),
            ("f=0", Some(false)),
            ("f=yes", None),
            ("f=2", None),
        ] {
            assert_eq!(Query::parse(text).unwrap().flag("f").ok(), flag, "{text}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_checked() {
        let query = Query::parse("tega_id=r-1&version=-1&path=a%2Eb+c&x=%26&").unwrap();
        assert_eq!(query.tega_id().unwrap().unwrap().as_str(), "r-1");
        assert_eq!(query.number("version").unwrap(), Some(-1));
        assert_eq!(query.text("path"), Some("a.b c"));
        assert_eq!(query.text("x"), Some("&"));
        assert!(query.needed("y").unwrap_err().message.contains("y="));
        for bad in ["a=1&a=2", "a&a", "a=%ff"] {
            assert!(Query::parse(bad).is_err(), "{bad}");
        }
        assert!(Query::parse("tega_id=a%20b").unwrap().tega_id().is_err());
        assert!(Query::parse("version=1.5").unwrap().number("version").is_err());
        assert!(Query::parse("version=99999999999999999999").unwrap().number("version").is_err());
        assert!(Query::parse(&format!("txid={}", "x".repeat(65))).unwrap().txid().is_err());
        let many: String = (0..40).map(|n| format!("p{n}=1&")).collect();
        assert!(Query::parse(&many).is_err());
    }
}
