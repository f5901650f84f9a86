//! Looking and acting from outside: what a server shows, and what somebody does there.

use std::time::{Duration, Instant};

use crate::api::error::Refusal;
use crate::api::route::{Read, Route};
use crate::client::Server;
use crate::client::http::{Client, Request};
use crate::client::live::{Event, Lost, Session};
use crate::commit::TegaId;
use crate::message::{Kind, Scope, body, entry};
use crate::path::Path;
use crate::value::Value;

/// How long anything may take to happen, on a machine however slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it's looked whether something happened that nobody tells.
const LOOK: Duration = Duration::from_millis(10);

/// Looks again and again, until there's something to see.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>, String>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if Instant::now() >= deadline {
            return Err(format!("not in {} s: {what}", PATIENCE.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

/// What one server shows, over HTTP.
pub(super) struct At(pub(super) Server);

impl At {
    /// A node and its version; `None`: it isn't there.
    pub(super) fn node(&self, path: &str) -> Result<Option<(Value, i64)>, String> {
        let path = Path::parse(path).map_err(|error| error.to_string())?;
        let read = Read { internal: false, ..Read::default() };
        let Some((value, tag)) = self.ask(&Route::Get { path, read })? else { return Ok(None) };
        let version = tag.as_deref().and_then(|tag| tag.trim_matches('"').rsplit_once('-')?.1.parse().ok());
        Ok(Some((value, version.unwrap_or(-1))))
    }

    /// A node's value; `None`: it isn't there.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>, String> {
        Ok(self.node(path)?.map(|(value, _)| value))
    }

    /// The links: who is at the other end, and whether it's up.
    pub(super) fn links(&self) -> Result<Vec<(String, bool)>, String> {
        let status = self.ask(&Route::Status)?.map(|(status, _)| status);
        let links = status.as_ref().and_then(|status| status.get("links")).and_then(Value::as_list);
        let link = |link: &Value| {
            Some((link.get("tega_id")?.as_str()?.to_string(), link.get("up").and_then(Value::as_bool)?))
        };
        Ok(links.map_or(&[][..], |links| links.items()).iter().filter_map(link).collect())
    }

    /// An answer and its ETag; `None`: 404.
    fn ask(&self, route: &Route) -> Result<Option<(Value, Option<String>)>, String> {
        let answer = Client::new(self.0.clone()).call(&Request::of(route));
        let answer = answer.map_err(|failure| format!("{}: {failure}", self.0))?;
        match answer.refusal() {
            Some(refusal) if refusal.code == "not_found" => Ok(None),
            Some(refusal) => Err(format!("{}: {}", self.0, refusal.message)),
            None => Ok(Some((answer.json()?, answer.header("etag").map(Into::into)))),
        }
    }
}

/// Somebody at a server, with a session there.
pub(super) struct Actor {
    session: Session,
    server: Server,
}

impl Actor {
    /// Opens the session.
    pub(super) fn open(server: &Server, name: &str) -> Result<Actor, String> {
        let id = TegaId::new(name).map_err(|error| error.to_string())?;
        let session = Session::open(server, id, Scope::Local);
        let session = session.map_err(|failure| format!("{server}: {failure}"))?;
        Ok(Actor { session, server: server.clone() })
    }

    /// Asks for something; the inner error is a refusal.
    pub(super) fn ask(
        &mut self,
        kind: Kind,
        path: &str,
        body: &str,
    ) -> Result<Result<Value, Refusal>, String> {
        let word = Path::parse(path).map_err(|error| error.to_string())?.to_wire();
        self.session.request(kind, &word, body).map_err(|failure| format!("{}: {failure}", self.server))
    }

    /// Writes to one root, whose new version it is.
    pub(super) fn write(
        &mut self,
        kind: Kind,
        path: &str,
        body: &str,
    ) -> Result<Result<i64, Refusal>, String> {
        let answer = match self.ask(kind, path, body)? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let receipt = body::read_receipt(&answer).ok_or_else(|| format!("a strange answer: {answer}"))?;
        let version = receipt.versions.first().and_then(|(_, version)| i64::try_from(version.0).ok());
        version.map(Ok).ok_or_else(|| format!("an answer without a version: {answer}"))
    }

    /// Puts a node, only if it's at this version where one is given.
    pub(super) fn put(
        &mut self,
        path: &str,
        value: &Value,
        version: Option<i64>,
    ) -> Result<Result<i64, Refusal>, String> {
        self.write(Kind::Put, path, &body::put(value, version, false))
    }

    /// Calls a function; `arguments` is `{"args":[…],"kwargs":{…}}`.
    pub(super) fn call(&mut self, path: &str, arguments: &str) -> Result<Value, String> {
        let answer = self.ask(Kind::Rpc, path, arguments)?.map_err(|refusal| refusal.message)?;
        Ok(answer.get("result").cloned().unwrap_or(Value::Null))
    }

    /// Hears of a channel from now on.
    pub(super) fn subscribe(&mut self, channel: &str) -> Result<(), String> {
        let answer = self.ask(Kind::Subscribe, channel, &body::subscribe(false, None, false))?;
        answer.map(drop).map_err(|refusal| refusal.message)
    }

    /// Waits until it heard what is waited for.
    pub(super) fn hear(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.session.next(Some(deadline)) {
                Ok(Some(event)) if wanted(&event) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err(format!("not in {} s: {what}", PATIENCE.as_secs())),
                Err(Lost(why)) => return Err(format!("{}: {why}", self.server)),
            }
        }
    }
}

/// The newest version of a root that a NOTIFY tells of.
pub(super) fn newest(list: &Value, root: &str) -> Option<i64> {
    let entries = entry::read_list(list)?;
    let origins = entries.into_iter().filter_map(|entry| entry.origin).filter(|origin| origin.root == root);
    origins.filter_map(|origin| i64::try_from(origin.version.0).ok()).max()
}
