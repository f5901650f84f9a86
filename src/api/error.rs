//! The one table of refusals: what went wrong → code, HTTP status, exit code, and the JSON body with both its ends.

use std::fmt;

use super::rpc::RpcError;
use crate::path::{Path, PathError};
use crate::store;
use crate::value::{ParseError, Value, write_string};

/// A request that was refused, as the client is told.
///
/// ```
/// use tega::api::error::Refusal;
/// let refusal = Refusal::not_found(&"a.b".parse()?);
/// assert_eq!(refusal.status, 404);
/// assert_eq!(refusal.to_json(), r#"{"error":{"code":"not_found","message":"nothing at a.b","path":"a.b"}}"#);
/// # Ok::<(), tega::path::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of the codes of [`CODES`].
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong and what to do, for people.
    pub message: String,
    /// The node that it's about.
    pub path: Option<Path>,
    /// The version that was asked for.
    pub expected: Option<i64>,
    /// The version that is there; -1: nothing is.
    pub actual: Option<i64>,
}

/// Every code, with its usual HTTP status and the exit code of a command that met it.
///
/// `outcome_unknown` comes with 409, 503 or 504 as well: the code says what to do, the status who can't tell.
pub const CODES: [(&str, u16, u8); 19] = [
    ("bad_request", 400, 1),
    ("unauthorized", 401, 1),
    ("forbidden", 403, 1),
    ("no_home", 403, 1),
    ("not_found", 404, 3),
    ("method_not_allowed", 405, 1),
    ("conflict", 409, 4),
    ("outcome_unknown", 504, 6),
    ("too_large", 413, 1),
    ("upgrade_required", 426, 1),
    ("too_many", 429, 5),
    ("internal", 500, 1),
    ("rpc_failed", 502, 1),
    ("no_link", 503, 5),
    ("no_owner", 503, 5),
    ("read_only", 503, 5),
    ("closing", 503, 5),
    ("timeout", 504, 6),
    ("no_space", 507, 5),
];

/// The exit code of a command that was refused with this code; 1 for a code of a newer server.
pub fn exit_code(code: &str) -> u8 {
    CODES.iter().find(|row| row.0 == code).map_or(1, |row| row.2)
}

impl Refusal {
    /// A refusal with the usual status of its code, which must be one of [`CODES`].
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        let status = CODES.iter().find(|row| row.0 == code).map_or(500, |row| row.1);
        debug_assert!(CODES.iter().any(|row| row.0 == code), "{code} is no code");
        Refusal { code, status, message: message.into(), path: None, expected: None, actual: None }
    }

    /// 400: the request can't be understood or can't be.
    pub fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new("bad_request", message)
    }

    /// 404: nothing at this path.
    pub fn not_found(path: &Path) -> Refusal {
        Refusal::new("not_found", format!("nothing at {}", Shown(path))).at(path)
    }

    /// The refusal with the node that it's about.
    pub fn at(mut self, path: &Path) -> Refusal {
        self.path = Some(path.clone());
        self
    }

    fn with_status(mut self, status: u16) -> Refusal {
        self.status = status;
        self
    }

    /// `{"error":{"code":…,"message":…[,"path":…][,"expected":…][,"actual":…]}}`
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64 + self.message.len());
        self.write(&mut out);
        out
    }

    /// Appends what [`Refusal::to_json`] returns.
    pub fn write(&self, out: &mut String) {
        out.push_str("{\"error\":");
        self.write_inner(out);
        out.push('}');
    }

    /// Appends the object that `error` is in [`Refusal::to_json`].
    pub fn write_inner(&self, out: &mut String) {
        use fmt::Write;
        // Writing to a String can't fail.
        let _ = (|| {
            write!(out, "{{\"code\":\"{}\",\"message\":", self.code)?;
            write_string(&self.message, out)?;
            if let Some(path) = &self.path {
                out.push_str(",\"path\":");
                write_string(&path.to_string(), out)?;
            }
            if let Some(expected) = self.expected {
                write!(out, ",\"expected\":{expected}")?;
            }
            if let Some(actual) = self.actual {
                write!(out, ",\"actual\":{actual}")?;
            }
            out.write_str("}")
        })();
    }

    /// Reads an answer's body: the client's side of [`Refusal::to_json`]. `None`: not a refusal. A code that this
    /// version doesn't know is read as `internal`, with the code in the message.
    pub fn from_json(body: &Value) -> Option<Refusal> {
        let error = body.get("error")?;
        let text = |key| error.get(key).and_then(Value::as_str);
        let told = text("code")?;
        let message = text("message").unwrap_or_default();
        let known = CODES.iter().find(|row| row.0 == told);
        let mut refusal = match known {
            Some(row) => Refusal::new(row.0, message),
            None => Refusal::new("internal", format!("{told}: {message}")),
        };
        refusal.path = text("path").and_then(|p| Path::parse(p).ok());
        refusal.expected = error.get("expected").and_then(Value::as_int);
        refusal.actual = error.get("actual").and_then(Value::as_int);
        Some(refusal)
    }
}

/// A path in a message: the top has no text of its own.
struct Shown<'a>(&'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the top") } else { self.0.fmt(f) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Refusal {
        Refusal::bad(error.to_string())
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        Refusal::bad(error.to_string())
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Refusal {
        use store::Error::*;
        match error {
            Bad { path, message } => Refusal { path, ..Refusal::bad(message) },
            NotFound { path } => Refusal::not_found(&path),
            NoVersion { root, version } => Refusal {
                expected: Some(version),
                ..Refusal::new(
                    "not_found",
                    format!("version {version} of {root} isn't kept; its history lists those that are"),
                )
            },
            NoTransaction { txid } => {
                Refusal::new("not_found", format!("no transaction {txid:?}; it never was, or it expired"))
            }
            Conflict { path, expected, actual } => conflict(&path, expected, actual),
            Ephemeral { path, message } => Refusal::new("conflict", message).at(&path),
            NoSession { tega_id } => Refusal::bad(match tega_id {
                Some(id) => format!("an ephemeral put needs a live WebSocket session of {id}"),
                None => "an ephemeral put needs a tega ID with a live WebSocket session".into(),
            }),
            RequestReused { id } => {
                Refusal::bad(format!("request ID {id:?} was used before, with other content; draw a new one"))
            }
            RequestTooOld { id } => Refusal::new(
                "outcome_unknown",
                format!(
                    "request ID {id:?} is too old, or of another server, to be judged; nothing was applied now: read, then decide"
                ),
            )
            .with_status(409),
            TooLarge { path, message } => Refusal { path, ..Refusal::new("too_large", message) },
            Busy => Refusal::new("too_many", "too many commits wait; nothing happened, try again"),
            ReadOnly { reason } => Refusal::new("read_only", format!("nothing can be written: {reason}")),
            OutcomeUnknown { reason } => Refusal::new(
                "outcome_unknown",
                format!("it may or may not have happened: {reason}; retry with the same request ID"),
            )
            .with_status(503),
            NoSpace { reason } => Refusal::new(
                "no_space",
                format!(
                    "the disk is full ({reason}); nothing happened; free some, writes go on by themselves"
                ),
            ),
            NotHome { root, home } => {
                let home = home.map_or("the global server".into(), |home| home.to_string());
                let message =
                    format!("the home of {root} is {home}, and no link leads there; nothing happened");
                Refusal::new("no_link", message).at(&Path::from_checked(vec![root]))
            }
            NoHome { root, known } => {
                let known: Vec<&str> = known.iter().map(|root| root.as_str()).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(" ") };
                let message = format!(
                    "no server is home of {root}; this one has {known}; declare it with --config, --operational or \
                     --private, or mind the spelling"
                );
                Refusal::new("no_home", message).at(&Path::from_checked(vec![root]))
            }
            Diverged { root, reason } => Refusal::new("internal", format!("{root}: {reason}")),
            Closed => Refusal::new("closing", "the server is stopping; nothing happened"),
        }
    }
}

fn conflict(path: &Path, expected: i64, actual: Option<i64>) -> Refusal {
    let is = match actual {
        Some(version) => format!("{path} is at version {version}"),
        None => format!("nothing is at {path}"),
    };
    let message = match expected {
        -1 => format!("{is}, and it must not exist"),
        _ => format!("{is}, not {expected}; read it again and decide"),
    };
    Refusal {
        expected: Some(expected),
        actual: Some(actual.unwrap_or(-1)),
        ..Refusal::new("conflict", message).at(path)
    }
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Refusal {
        use RpcError::*;
        match error {
            NotRpc { path } => Refusal::new(
                "not_found",
                format!(
                    "nobody serves a function at {}: that would be a leaf of the form \"%OWNER.FUNC\"",
                    Shown(&path)
                ),
            )
            .at(&path),
            NoOwner { path, owner } => Refusal::new(
                "no_owner",
                format!("{owner}, which serves {}, isn't connected; nothing happened", Shown(&path)),
            )
            .at(&path),
            Timeout { path, owner } => {
                Refusal::new("timeout", format!("{owner} didn't answer the call of {} in time", Shown(&path)))
                    .at(&path)
            }
            Gone { path, owner } => Refusal::new(
                "outcome_unknown",
                format!("{owner} went away during the call of {}; it may have happened", Shown(&path)),
            )
            .at(&path),
            TooMany => {
                Refusal::new("too_many", "too many calls wait for an answer; nothing happened, try again")
            }
            Failed { path, message } => Refusal::new("rpc_failed", message).at(&path),
            Remote(refusal) => *refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        Path::parse("a.b").unwrap()
    }

    #[test]
    fn every_error_of_the_store_has_its_code_status_and_exit_code() {
        use store::Error::*;
        let text = || "x".to_string();
        for (error, code, status, exit) in [
            (Bad { path: None, message: text() }, "bad_request", 400, 1),
            (NotFound { path: path() }, "not_found", 404, 3),
            (NoVersion { root: "a".into(), version: -3 }, "not_found", 404, 3),
            (NoTransaction { txid: text() }, "not_found", 404, 3),
            (Conflict { path: path(), expected: 1, actual: None }, "conflict", 409, 4),
            (Ephemeral { path: path(), message: text() }, "conflict", 409, 4),
            (NoSession { tega_id: None }, "bad_request", 400, 1),
            (RequestReused { id: text() }, "bad_request", 400, 1),
            (RequestTooOld { id: text() }, "outcome_unknown", 409, 6),
            (TooLarge { path: None, message: text() }, "too_large", 413, 1),
            (Busy, "too_many", 429, 5),
            (ReadOnly { reason: text() }, "read_only", 503, 5),
            (OutcomeUnknown { reason: text() }, "outcome_unknown", 503, 6),
            (NoSpace { reason: text() }, "no_space", 507, 5),
            (NotHome { root: "a".into(), home: None }, "no_link", 503, 5),
            (NoHome { root: "a".into(), known: Vec::new() }, "no_home", 403, 1),
            (Diverged { root: "a".into(), reason: text() }, "internal", 500, 1),
            (Closed, "closing", 503, 5),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.code, refusal.status, exit_code(refusal.code)), (code, status, exit));
        }
    }

    #[test]
    fn every_failure_of_a_call_has_its_code_and_status() {
        use RpcError::*;
        let (path, owner) = (path(), "r1".to_string());
        for (error, code, status) in [
            (NotRpc { path: path.clone() }, "not_found", 404),
            (NoOwner { path: path.clone(), owner: owner.clone() }, "no_owner", 503),
            (Timeout { path: path.clone(), owner: owner.clone() }, "timeout", 504),
            (Gone { path: path.clone(), owner }, "outcome_unknown", 504),
            (TooMany, "too_many", 429),
            (Failed { path, message: "no".into() }, "rpc_failed", 502),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.code, refusal.status), (code, status));
        }
    }

    #[test]
    fn a_refusal_reads_back_from_its_json() {
        let refusal = Refusal::from(store::Error::Conflict { path: path(), expected: -1, actual: Some(3) });
        let json = Value::parse(&refusal.to_json()).unwrap();
        assert_eq!(Refusal::from_json(&json), Some(refusal));
        let newer = Value::parse(r#"{"error":{"code":"eaten","message":"by a \"grue\""}}"#).unwrap();
        let read = Refusal::from_json(&newer).unwrap();
        assert_eq!((read.code, read.message.as_str()), ("internal", "eaten: by a \"grue\""));
        assert_eq!(Refusal::from_json(&Value::parse(r#"{"value":1}"#).unwrap()), None);
    }
}
