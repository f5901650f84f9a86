//! The bodies of a link's frames, read and written.

use std::fmt::Write;

use super::PROTOCOL;
use crate::api::error::Refusal;
use crate::commit::{Incarnation, Position, TegaId};
use crate::message::body::{self, Ask, Writes, json};
use crate::message::frame::bad;
use crate::message::{BadFrame, Kind, ops};
use crate::path::{Key, Path};
use crate::store::{Standing, Transaction};
use crate::tree::Version;
use crate::value::{Object, Value, write_string};

/// What a server has of some roots; `None`: nothing, not even a tombstone.
pub type Standings = Vec<(Key, Option<Standing>)>;

/// How far a server has some roots; `None`: it doesn't have this one.
pub type Stands = Vec<(Key, Option<(Incarnation, Version)>)>;

/// The most roots that one link follows or serves.
pub const MAX_ROOTS: usize = 1_000;

/// How a local begins: `{"protocol":2,"follow":STANDINGS,"serve":STANDINGS}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// The newest version of the grammar that it speaks.
    pub protocol: u32,
    /// The roots whose home is the global, as far as it has them.
    pub follow: Standings,
    /// The roots that it claims to be home of.
    pub serve: Standings,
}

/// A root that the global doesn't carry for this local.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub root: Key,
    /// Why, and what to do.
    pub reason: String,
    /// Its home, where the global knows that it is elsewhere.
    pub home: Option<TegaId>,
}

/// The global's answer: `{"protocol":2,"known":STANDINGS,"refused":{ROOT:[REASON,HOME|null]},"handover":[ROOT…]}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Welcome {
    /// The version of the grammar that the link uses.
    pub protocol: u32,
    /// What the global has of the roots that the local serves.
    pub known: Standings,
    /// The roots that it refused, served or followed.
    pub refused: Vec<Refused>,
    /// Roots that became the local's but whose newest state is the global's: it sends them once.
    pub handover: Vec<Key>,
}

/// An ephemeral node: `[path,value,owner,age_s]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Leased {
    /// Where.
    pub path: Path,
    /// Its subtree.
    pub value: Value,
    /// Whose session owns it.
    pub owner: TegaId,
    /// Seconds since it was put.
    pub age_s: u64,
}

/// Ephemeral nodes: `{"full":true?,"more":true?,"put":[…],"gone":[path,…]}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    /// The beginning of the whole set: what isn't in it is gone.
    pub full: bool,
    /// The whole set goes on in the next frame.
    pub more: bool,
    /// What came or changed.
    pub put: Vec<Leased>,
    /// What went.
    pub gone: Vec<Path>,
}

// Writing to a String can't fail, so the results of `write!` are dropped here.

/// 16 hex digits.
pub(super) fn hex16(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).ok() } else { None }
}

/// Appends items between brackets.
fn write_all<T>(
    brackets: [char; 2],
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut item: impl FnMut(T, &mut String),
) {
    out.push(brackets[0]);
    for (at, it) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item(it, out);
    }
    out.push(brackets[1]);
}

fn quote(text: &str, out: &mut String) {
    let _ = write_string(text, out);
}

/// Appends STANDINGS.
pub fn write_standings(standings: &Standings, out: &mut String) {
    write_all(['{', '}'], standings, out, |(root, standing), out| {
        quote(root, out);
        let _ = match standing {
            Some(it) => write!(out, ":[\"{}\",{},\"{:016x}\"]", it.incarnation, it.version, it.digest),
            None => out.write_str(":null"),
        };
    });
}

/// Appends a list of roots.
pub fn write_keys(roots: &[Key], out: &mut String) {
    write_all(['[', ']'], roots, out, |root, out| quote(root, out));
}

fn read_object(text: &str) -> Result<Object, BadFrame> {
    match json(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => bad(format!("the body must be an object, not {}", other.kind())),
        Err(error) => bad(format!("the body: {error}")),
    }
}

fn root(name: &Key) -> Result<Key, BadFrame> {
    let path = Path::new([name.clone()]).and_then(|path| path.check_root().cloned());
    path.or_else(|error| bad(error.to_string()))
}

fn standing(value: &Value) -> Option<Option<Standing>> {
    match value {
        Value::Null => Some(None),
        Value::List(list) => match list.items() {
            [Value::Text(incarnation), Value::Int(version), Value::Text(digest)] => Some(Some(Standing {
                incarnation: Incarnation(hex16(incarnation)?),
                version: Version(u64::try_from(*version).ok()?),
                digest: hex16(digest)?,
            })),
            _ => None,
        },
        _ => None,
    }
}

fn standings(object: &Object, name: &str) -> Result<Standings, BadFrame> {
    let Some(Value::Object(roots)) = object.get(name) else {
        return bad(format!("{name:?}: {{ROOT:[\"INCARNATION\",VERSION,\"DIGEST\"]|null}} wanted"));
    };
    if roots.members().len() > MAX_ROOTS {
        return bad(format!("{name:?}: more than {MAX_ROOTS} roots"));
    }
    let one = |(name, value): &(Key, Value)| match standing(value) {
        Some(standing) => Ok((root(name)?, standing)),
        None => bad(format!("{name}: [\"INCARNATION\",VERSION,\"DIGEST\"] or null wanted")),
    };
    roots.members().iter().map(one).collect()
}

fn keys(object: &Object, name: &str) -> Result<Vec<Key>, BadFrame> {
    let wanted = || BadFrame::new(format!("{name:?}: a list of at most {MAX_ROOTS} roots wanted"));
    let list = object.get(name).and_then(Value::as_list).ok_or_else(wanted)?.items();
    if list.len() > MAX_ROOTS {
        return Err(wanted());
    }
    let one = |item: &Value| match item {
        Value::Text(name) => root(name),
        _ => Err(wanted()),
    };
    list.iter().map(one).collect()
}

fn protocol(object: &Object) -> Result<u32, BadFrame> {
    match object.get("protocol").and_then(Value::as_int).map(u32::try_from) {
        Some(Ok(protocol)) if protocol >= 1 => Ok(protocol),
        _ => bad("\"protocol\": the version of the link's grammar wanted, from 1"),
    }
}

pub(super) fn write_hello(hello: &Hello, out: &mut String) {
    let _ = write!(out, "{{\"protocol\":{},\"follow\":", hello.protocol);
    write_standings(&hello.follow, out);
    out.push_str(",\"serve\":");
    write_standings(&hello.serve, out);
    out.push('}');
}

pub(super) fn read_hello(text: &str) -> Result<Hello, BadFrame> {
    let object = read_object(text)?;
    let (follow, serve) = (standings(&object, "follow")?, standings(&object, "serve")?);
    if let Some((both, _)) = follow.iter().find(|(name, _)| serve.iter().any(|(other, _)| other == name)) {
        return bad(format!("{both} is both followed and served"));
    }
    Ok(Hello { protocol: protocol(&object)?, follow, serve })
}

pub(super) fn write_welcome(welcome: &Welcome, out: &mut String) {
    let _ = write!(out, "{{\"protocol\":{},\"known\":", welcome.protocol);
    write_standings(&welcome.known, out);
    out.push_str(",\"refused\":");
    write_all(['{', '}'], &welcome.refused, out, |it, out| {
        quote(&it.root, out);
        out.push_str(":[");
        quote(&it.reason, out);
        let _ = match &it.home {
            Some(home) => write!(out, ",\"{home}\"]"),
            None => out.write_str(",null]"),
        };
    });
    out.push_str(",\"handover\":");
    write_keys(&welcome.handover, out);
    out.push('}');
}

pub(super) fn read_welcome(text: &str) -> Result<Welcome, BadFrame> {
    let object = read_object(text)?;
    let Some(Value::Object(refused)) = object.get("refused") else {
        return bad("\"refused\": {ROOT:[REASON,HOME|null]} wanted");
    };
    let one = |(name, value): &(Key, Value)| {
        let home = match value.as_list().map(|list| list.items()) {
            Some([Value::Text(reason), Value::Null]) => Some((reason, None)),
            Some([Value::Text(reason), Value::Text(home)]) => {
                TegaId::new(home).ok().map(|home| (reason, Some(home)))
            }
            _ => None,
        };
        match home {
            Some((reason, home)) => Ok(Refused { root: root(name)?, reason: reason.to_string(), home }),
            None => bad(format!("{name}: [REASON,HOME|null] wanted")),
        }
    };
    Ok(Welcome {
        protocol: protocol(&object)?,
        known: standings(&object, "known")?,
        refused: refused.members().iter().map(one).collect::<Result<_, _>>()?,
        handover: keys(&object, "handover")?,
    })
}

pub(super) fn read_known(text: &str) -> Result<Standings, BadFrame> {
    standings(&read_object(text)?, "known")
}

pub(super) fn read_root_list(text: &str) -> Result<Vec<Key>, BadFrame> {
    keys(&read_object(text)?, "roots")
}

/// The body of a WRITE: `{"ops":[…],"request_id":…,"durable":…}`.
pub fn write(transaction: &Transaction) -> String {
    let mut out = body::commit(&transaction.ops, transaction.request_id.as_deref());
    if transaction.durable && out.pop().is_some() {
        out.push_str(",\"durable\":true}");
    }
    out
}

/// Reads what [`write`](fn@write) wrote.
pub fn read_write(text: &str) -> Result<Writes, Refusal> {
    match body::read(Kind::Commit, None, Some(text))? {
        Ask::Write(writes) => Ok(writes),
        _ => Err(Refusal::bad("a WRITE needs \"ops\"")),
    }
}

/// The body of a CALL: `{"args":…,"kwargs":…,"ms":N}`, out of `{"args":…,"kwargs":…}`.
pub fn call(arguments: &Value, ms: u64) -> String {
    let part = |name| arguments.get(name).cloned().unwrap_or(Value::Null);
    format!("{{\"args\":{},\"kwargs\":{},\"ms\":{ms}}}", part("args"), part("kwargs"))
}

/// Reads what [`call`] wrote: the arguments, and how long the caller waits, in milliseconds.
pub fn read_call(text: &str) -> Result<(Value, u64), Refusal> {
    let body = json(text)?;
    let ms = body.get("ms").and_then(Value::as_int).and_then(|ms| u64::try_from(ms).ok());
    let ms = ms.ok_or_else(|| Refusal::bad("\"ms\": milliseconds wanted"))?;
    let part = |name: &str| (Key::from(name), body.get(name).cloned().unwrap_or(Value::Null));
    let arguments = Value::object(vec![part("args"), part("kwargs")]);
    Ok((arguments.map_err(|error| Refusal::bad(error.to_string()))?, ms))
}

/// The body of a DONE that refuses: `{"error":{…},"status":N}`. A code may come with more than one status.
pub fn refused(refusal: &Refusal) -> String {
    let mut out = refusal.to_json();
    // Into the object, as its last member.
    out.pop();
    let _ = write!(out, ",\"status\":{}}}", refusal.status);
    out
}

/// Reads the body of a DONE: what was answered, or why it was refused.
pub fn read_done(text: &str) -> Result<Value, Refusal> {
    let body = json(text)?;
    let status = body.get("status").and_then(Value::as_int).and_then(|status| u16::try_from(status).ok());
    match Refusal::from_json(&body) {
        // Of the other codes each has its status by itself.
        Some(refusal) if refusal.code == "outcome_unknown" => Err(match status {
            Some(status @ (409 | 503 | 504)) => Refusal { status, ..refusal },
            _ => refusal,
        }),
        Some(refusal) => Err(refusal),
        None => Ok(body),
    }
}

/// The body of the answer to a CALL: `{"result":…}`, so that a result can't be taken for an error.
pub fn result(value: &Value) -> String {
    format!("{{\"result\":{value}}}")
}

/// The body of the answer to a FRESH: `{"versions":{ROOT:["INCARNATION",VERSION]|null},"position":N}`; null where the
/// root isn't. Who has everything up to the position has the root as far as that, whatever became of it since.
pub fn versions(root: &Key, stands: Option<(Incarnation, Version)>, position: Position) -> String {
    let mut out = String::from("{\"versions\":{");
    quote(root, &mut out);
    let _ = match stands {
        Some((incarnation, version)) => write!(out, ":[\"{incarnation}\",{version}]}}"),
        None => out.write_str(":null}"),
    };
    let _ = write!(out, ",\"position\":{position}}}");
    out
}

/// What a home echoes as its proof, to be the result of a PROVE.
pub fn proof(nonce: u64, stands: (Incarnation, Version)) -> Value {
    let members = vec![
        (Key::from("nonce"), Value::from(format!("{nonce:016x}").as_str())),
        (Key::from("inc"), Value::from(stands.0.to_string())),
        (Key::from("version"), Value::from(stands.1.0)),
    ];
    // Three different names.
    Value::object(members).unwrap_or(Value::Null)
}

/// Reads what [`proof`] wrote.
pub fn read_proof(value: &Value) -> Option<(u64, Incarnation, Version)> {
    let text = |name| value.get(name).and_then(Value::as_str).and_then(hex16);
    let version = value.get("version")?.as_int()?;
    Some((text("nonce")?, Incarnation(text("inc")?), Version(u64::try_from(version).ok()?)))
}

/// The position of what [`versions`] wrote; older versions say none.
pub fn read_position(body: &Value) -> Option<Position> {
    body.get("position")?.as_int().and_then(|position| u64::try_from(position).ok()).map(Position)
}

/// Reads what [`versions`] wrote.
pub fn read_versions(body: &Value) -> Option<Stands> {
    let one = |(root, stands): &(Key, Value)| match stands {
        Value::Null => Some((root.clone(), None)),
        Value::List(list) => match list.items() {
            [Value::Text(incarnation), Value::Int(version)] => {
                let version = Version(u64::try_from(*version).ok()?);
                Some((root.clone(), Some((Incarnation(hex16(incarnation)?), version))))
            }
            _ => None,
        },
        _ => None,
    };
    body.get("versions")?.as_object()?.members().iter().map(one).collect()
}

pub(super) fn write_presence(presence: &Presence, out: &mut String) {
    out.push('{');
    out.push_str(if presence.full { "\"full\":true," } else { "" });
    out.push_str(if presence.more { "\"more\":true," } else { "" });
    out.push_str("\"put\":");
    write_all(['[', ']'], &presence.put, out, |it, out| {
        out.push('[');
        quote(&it.path.to_string(), out);
        let _ = write!(out, ",{},\"{}\",{}]", it.value, it.owner, it.age_s);
    });
    out.push_str(",\"gone\":");
    write_all(['[', ']'], &presence.gone, out, |path, out| quote(&path.to_string(), out));
    out.push('}');
}

/// Reads the body of a PRESENCE.
pub fn read_presence(text: &str) -> Result<Presence, BadFrame> {
    let object = read_object(text)?;
    let path = |text: &str| {
        let path = Path::parse(text).and_then(|path| path.check_root().map(|_| ()).map(|()| path));
        path.or_else(|error| bad(error.to_string()))
    };
    let leased = |item: &Value| match item.as_list().map(|list| list.items()) {
        Some([Value::Text(at), value, Value::Text(owner), Value::Int(age_s)]) => Ok(Leased {
            path: path(at)?,
            value: value.clone(),
            owner: TegaId::new(owner).or_else(|error| bad(error.to_string()))?,
            age_s: u64::try_from(*age_s).unwrap_or(0),
        }),
        _ => bad("\"put\": [path,value,owner,age_s] wanted"),
    };
    let gone = |item: &Value| match item.as_str() {
        Some(at) => path(at),
        None => bad("\"gone\": paths wanted"),
    };
    let list = |name: &str| match object.get(name) {
        Some(Value::List(list)) => Ok(list.items().to_vec()),
        None => Ok(Vec::new()),
        Some(_) => bad(format!("{name:?}: a list wanted")),
    };
    let flag = |name| ops::flag(&object, name).or_else(|error| bad(error.to_string()));
    Ok(Presence {
        full: flag("full")?,
        more: flag("more")?,
        put: list("put")?.iter().map(leased).collect::<Result<_, _>>()?,
        gone: list("gone")?.iter().map(gone).collect::<Result<_, _>>()?,
    })
}

/// The most tega IDs of one SESSIONS; those beyond it can't be found over the link.
pub const MAX_SESSIONS: usize = 1_000;

pub(super) fn write_sessions(ids: &[TegaId], out: &mut String) {
    let ids = ids.get(..MAX_SESSIONS).unwrap_or(ids);
    write_all(['[', ']'], ids, out, |id, out| {
        let _ = write!(out, "\"{id}\"");
    });
}

/// Reads the body of a SESSIONS.
pub fn read_sessions(text: &str) -> Result<Vec<TegaId>, BadFrame> {
    let wanted = || format!("SESSIONS: a list of at most {MAX_SESSIONS} tega IDs wanted");
    let body = json(text).or_else(|refusal| bad(refusal.message))?;
    let Some(list) = body.as_list().filter(|list| list.items().len() <= MAX_SESSIONS) else {
        return bad(wanted());
    };
    let id = |item: &Value| match item.as_str().map(TegaId::new) {
        Some(Ok(id)) => Ok(id),
        _ => bad(wanted()),
    };
    list.items().iter().map(id).collect()
}

/// The newest version of the grammar that both speak.
pub fn agreed(theirs: u32) -> u32 {
    theirs.min(PROTOCOL)
}
