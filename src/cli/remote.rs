//! The server that a verb talks to: which one it is, and what its answers mean for the exit code.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};

use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::parse::Typed;
use super::show::note;
use crate::api::error::{Refusal, exit_code};
use crate::api::route::Route;
use crate::client::http::{Answer, Client, Failure, Request, request_id};
use crate::client::{Bearer, DEFAULT_PORT, Server, Target};
use crate::commit::TegaId;
use crate::value::Value;

/// Where a server listens when nobody says otherwise.
const DEFAULT: &str = "http://127.0.0.1:8739";

/// The local socket of this user where neither `--data` nor `--socket` says otherwise.
pub(super) fn default_socket() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/run/tega.sock"));
    }
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| FilePath::new(dir).is_absolute())?;
    Some(PathBuf::from(dir).join("tega.sock"))
}

/// The server that the options, the environment or what is there point to, in this order.
fn target(typed: &Typed) -> Result<Target, Fault> {
    let from = |text: &str, whose: &str| {
        text.parse().map_err(|error: crate::client::BadTarget| Fault::usage(format!("{whose}: {error}")))
    };
    if let Some(url) = typed.last(Flag::Url) {
        return from(url, "--url");
    }
    match std::env::var("TEGA_URL") {
        Ok(url) if !url.is_empty() => return from(&url, "TEGA_URL"),
        Err(std::env::VarError::NotUnicode(_)) => return Err(Fault::usage("TEGA_URL isn't UTF-8")),
        _ => {}
    }
    // As a plugin of a server is told where that is.
    if let Some(socket) = std::env::var_os("TEGA_SOCKET").filter(|socket| !socket.is_empty()) {
        return Ok(Target::Unix(socket.into()));
    }
    match default_socket().filter(|socket| socket.exists()) {
        Some(socket) => Ok(Target::Unix(socket)),
        None => from(DEFAULT, "the default address"),
    }
}

/// The server that a command line means, with the token that it's shown.
pub(super) fn server(typed: &Typed) -> Result<Server, Fault> {
    let target = target(typed)?;
    let token = token(typed)?;
    if token.is_some() && !target.stays_here() && !typed.has(Flag::InsecureLink) {
        return Err(Fault::usage(format!(
            "{target}: the token would go over the network unencrypted; reach the server through WireGuard, a TLS proxy \
             or `ssh -L {DEFAULT_PORT}:127.0.0.1:{DEFAULT_PORT}`, or accept that with --insecure-link"
        )));
    }
    Ok(Server { target, token })
}

/// The token of `--token-file`, else of `TEGA_TOKEN`. It has no option of its own: everybody sees the command lines of a
/// machine.
pub(super) fn token(typed: &Typed) -> Result<Option<Bearer>, Fault> {
    const LONGEST: u64 = 4096;
    let (text, whose) = match (typed.last(Flag::TokenFile), std::env::var("TEGA_TOKEN")) {
        (Some(file), _) => {
            let fail = |error: std::io::Error| Fault::usage(format!("--token-file {file}: {error}"));
            let open = std::fs::File::open(file).map_err(fail)?;
            if open.metadata().map_err(fail)?.mode() & 0o044 != 0 {
                note(&format!("--token-file {file} can be read by others; chmod 600 {file}"));
            }
            let mut text = String::new();
            open.take(LONGEST).read_to_string(&mut text).map_err(fail)?;
            (text, format!("--token-file {file}"))
        }
        (None, Ok(text)) if !text.is_empty() => (text, "TEGA_TOKEN".into()),
        (None, Err(std::env::VarError::NotUnicode(_))) => return Err(Fault::usage("TEGA_TOKEN isn't UTF-8")),
        (None, _) => return Ok(None),
    };
    Bearer::new(&text).map(Some).map_err(|why| Fault::usage(format!("{whose}: {why}")))
}

/// The tega ID to act under, where one was given.
pub(super) fn tega_id(typed: &Typed) -> Result<Option<TegaId>, Fault> {
    let id = typed.last(Flag::Id).map(TegaId::new).transpose();
    id.map_err(|error| Fault::usage(format!("--id: {error}")))
}

/// A refusal by the server at `target`.
pub(super) fn refused(target: &Server, refusal: &Refusal) -> Fault {
    Fault::new(Exit::from_code(exit_code(refusal.code)), format!("{target}: {}", refusal.message))
}

/// Whether somebody said which server is meant.
fn is_named(typed: &Typed) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    typed.has(Flag::Url) || is_set("TEGA_URL") || is_set("TEGA_SOCKET")
}

/// A server to talk to over HTTP.
pub(super) struct Remote {
    /// Who acts; `None`: anonymous.
    pub(super) by: Option<TegaId>,
    /// Somebody said which server is meant.
    is_named: bool,
    client: Client,
    key: Option<String>,
    /// The verb has an option for it.
    takes_key: bool,
}

impl Remote {
    /// The server that a command line means.
    pub(super) fn new(typed: &Typed) -> Result<Remote, Fault> {
        let key = typed.last(Flag::RequestId).map(String::from);
        let client = Client::new(server(typed)?);
        let takes_key = typed.row.flags.contains(&Flag::RequestId);
        Ok(Remote { by: tega_id(typed)?, is_named: is_named(typed), client, key, takes_key })
    }

    /// Where it is.
    pub(super) fn target(&self) -> &Server {
        self.client.server()
    }

    /// Asks for something that changes nothing.
    pub(super) fn ask(&mut self, route: &Route) -> Result<Answer, Fault> {
        let answer = self.client.call(&Request::of(route));
        // Whatever became of a question, nothing happened.
        self.settled(answer.map_err(|failure| self.lost(Exit::Unreachable, &failure.to_string())))
    }

    /// As [`Remote::ask`], for an answer in JSON.
    pub(super) fn ask_json(&mut self, route: &Route) -> Result<Value, Fault> {
        let answer = self.ask(route)?;
        self.json(&answer)
    }

    /// Asks for a change, which is repeated under one request ID while its outcome is unknown.
    pub(super) fn change(&mut self, route: &Route, body: Option<&Value>) -> Result<Answer, Fault> {
        let key = self.key()?;
        let answer = self.send(Request::of(route).once(&key), body);
        answer.map_err(|mut fault| {
            if fault.exit == Exit::Unknown {
                fault.message.push_str(&self.repeats(&key));
            }
            fault
        })
    }

    /// What to do where the outcome is unknown, if the verb can do it.
    pub(super) fn repeats(&self, key: &str) -> String {
        match self.takes_key {
            true => format!("; --request-id {key} repeats it without doing it twice"),
            false => String::new(),
        }
    }

    /// Asks for something that can't be told from its repetition, such as a call of a function: it is sent once.
    pub(super) fn send_once(&mut self, route: &Route, body: Option<&Value>) -> Result<Answer, Fault> {
        self.send(Request::of(route), body)
    }

    /// An answer's body.
    pub(super) fn json(&self, answer: &Answer) -> Result<Value, Fault> {
        answer.json().map_err(|why| Fault::error(format!("{}: {why}", self.target())))
    }

    /// The request ID of the next change: the one given, or a new one for each.
    pub(super) fn key(&self) -> Result<String, Fault> {
        match &self.key {
            Some(key) => Ok(key.clone()),
            None => request_id().map_err(|error| Fault::error(format!("no random numbers: {error}"))),
        }
    }

    fn send(&mut self, mut request: Request, body: Option<&Value>) -> Result<Answer, Fault> {
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = self.client.call(&request).map_err(|failure| match failure {
            Failure::NotReached(why) => self.lost(Exit::Unreachable, &why),
            Failure::Unknown(why) => {
                self.lost(Exit::Unknown, &format!("{why}; it may or may not have happened"))
            }
        });
        self.settled(answer)
    }

    fn lost(&self, exit: Exit, why: &str) -> Fault {
        let hint = match exit {
            Exit::Unreachable if !self.is_named => {
                " (where a server is unless --url or TEGA_URL name another; `tega serve` starts one)"
            }
            _ => "",
        };
        Fault::new(exit, format!("{}: {why}{hint}", self.target()))
    }

    fn settled(&self, answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
        let answer = answer?;
        match answer.refusal() {
            None => Ok(answer),
            Some(refusal) => Err(refused(self.target(), &refusal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_offered_only_by_verbs_that_can_repeat() {
        let remote = |line: &str| {
            let typed = super::super::parse::parse(line.split_whitespace().map(Into::into)).unwrap();
            Remote::new(&typed).unwrap()
        };
        assert!(remote("put a 1 --url http://127.0.0.1:1").repeats("k").contains("--request-id k"));
        assert_eq!(remote("import a f --url http://127.0.0.1:1").repeats("k"), "");
    }

    #[test]
    fn where_nobody_named_a_server_the_way_to_one_is_told() {
        let typed = |line: &str| super::super::parse::parse(line.split_whitespace().map(Into::into)).unwrap();
        let mut remote = Remote::new(&typed("get a --url http://127.0.0.1:1")).unwrap();
        let said = |remote: &Remote| remote.lost(Exit::Unreachable, "away").message;
        assert_eq!(said(&remote), "http://127.0.0.1:1: away");
        remote.is_named = false;
        assert!(said(&remote).contains("--url or TEGA_URL") && said(&remote).contains("`tega serve`"));
    }
}
