//! Every call that HTTP knows: from a method and a target to a [`Route`], and back.

mod browse;
mod uci;

use super::error::Refusal;
use super::query::{Query, Target, encode};
use crate::commit::{Incarnation, TegaId};
use crate::path::{Key, Path, percent_decode};

pub use browse::{MAX_ROWS, Page, Search, Within};
pub use uci::UciVerb;

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// As `GET`, answered without the body.
    Head,
    /// Writes a node.
    Put,
    /// Removes a node.
    Delete,
    /// Calls that change something.
    Post,
    /// Asks which methods there are.
    Options,
    /// Any other; always refused.
    Other,
}

impl Method {
    /// The method of this name; names are case-sensitive.
    pub fn parse(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        }
    }

    /// The name, as it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Post => "POST",
            Method::Options => "OPTIONS",
            Method::Other => "OTHER",
        }
    }
}

/// How a read wants its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// A kept version; negative: relative to the present one. `None`: the present.
    pub version: Option<i64>,
    /// The `internal` form, with versions and owners.
    pub internal: bool,
    /// As this transaction would leave it.
    pub txid: Option<String>,
    /// Only once everything is here that the home had acknowledged when it was asked.
    pub fresh: bool,
    /// A state that the home's snapshot replaced: its incarnation and version, as `/_history` lists it.
    pub replaced: Option<(Incarnation, u64)>,
}

/// How a write is meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Write {
    /// Who acts.
    pub by: Option<TegaId>,
    /// Only if this is the node's version; -1: only if it isn't there.
    pub version: Option<i64>,
    /// Only queue it in this transaction.
    pub txid: Option<String>,
    /// Answer when it's on disk, whatever the root's durability says.
    pub durable: bool,
}

/// One call, with all that its target says. The body and the headers are the handler's.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the parameters of the call that each line names")]
pub enum Route {
    /// `GET /a/b`: a node's value; of the top, all roots.
    Get { path: Path, read: Read },
    /// `GET /REGEX?regex_flag=True`: every node that the regexes match.
    Select { pattern: String, read: Read },
    /// `PUT /a/b`
    Put { path: Path, write: Write, ephemeral: bool },
    /// `DELETE /a/b`
    Delete { path: Path, write: Write },
    /// `POST /_begin`
    Begin { by: Option<TegaId> },
    /// `POST /_cand`: what the commit would leave.
    Candidate { txid: String, internal: bool },
    /// `POST /_cancel`
    Cancel { txid: String },
    /// `POST /_commit`
    Commit { txid: String, durable: bool },
    /// `POST /_rollback`
    Rollback { by: Option<TegaId>, root: Key, back_to: i64, durable: bool },
    /// `POST /_clear`
    Clear { by: Option<TegaId> },
    /// `POST /_ss`: a snapshot, which here compacts the log; with `history` all but so many versions of each root beside the
    /// present one are forgotten.
    Snapshot { history: Option<u32> },
    /// `POST /_sync`
    Sync,
    /// `POST /_rpc`
    Rpc { by: Option<TegaId>, path: Path },
    /// `GET /_roots`
    Roots,
    /// `GET /_old`
    Old,
    /// `GET /_ids`
    Ids,
    /// `GET /_channels`
    Channels,
    /// `GET /_subscribers`
    Subscribers,
    /// `GET /_global`
    Global,
    /// `GET /_forwarders`
    Forwarders,
    /// `GET /_plugins`
    Plugins,
    /// `GET /_edges`; no root: all of them.
    Edges { root: Option<Key>, old: bool },
    /// `GET /_reload`
    Reload,
    /// `GET /_status`
    Status,
    /// `GET /_metrics`: numbers in the text format of Prometheus.
    Metrics,
    /// `GET /_homes`: each root's home.
    Homes,
    /// `POST /_home`: moves a root to another home.
    Home { root: Key, home: TegaId, force: bool },
    /// `GET /_sessions`
    Sessions,
    /// `GET /_history`
    History { root: Key },
    /// `GET /_diff`; no `to`: the present version.
    Diff { root: Key, from: i64, to: Option<i64> },
    /// `GET /_list`: a page of a node's children; of the top, of the roots.
    List { path: Path, page: Page },
    /// `GET /_find`: nodes by key or value, a bounded part of a subtree at a time.
    Find { path: Path, search: Search },
    /// `GET /_uci`: how `/etc/config` stands towards the tree; `diff`: with what differs, `secrets`: keys and passwords too.
    Uci { diff: bool, secrets: bool },
    /// `POST /_uci_do`
    UciDo { by: Option<TegaId>, verb: UciVerb, packages: Vec<String> },
    /// `GET /_pubsub`: a WebSocket.
    PubSub,
    /// `GET /_link`: a WebSocket, of another server.
    Link,
}

/// The path of the WebSocket.
pub const PUBSUB: &str = "/_pubsub";

/// The path of the WebSocket that links of local servers come by.
pub const LINK: &str = "/_link";

const NODE_METHODS: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
const READ_METHODS: &str = "GET, HEAD, OPTIONS";
const POST_METHODS: &str = "POST, OPTIONS";

/// The server's own calls and whether they are posted.
const CALLS: [(&str, bool); 32] = [
    ("_begin", true),
    ("_cand", true),
    ("_cancel", true),
    ("_commit", true),
    ("_rollback", true),
    ("_clear", true),
    ("_ss", true),
    ("_sync", true),
    ("_rpc", true),
    ("_home", true),
    ("_uci_do", true),
    ("_uci", false),
    ("_roots", false),
    ("_old", false),
    ("_ids", false),
    ("_channels", false),
    ("_subscribers", false),
    ("_global", false),
    ("_forwarders", false),
    ("_plugins", false),
    ("_edges", false),
    ("_reload", false),
    ("_status", false),
    ("_metrics", false),
    ("_homes", false),
    ("_sessions", false),
    ("_history", false),
    ("_diff", false),
    ("_list", false),
    ("_find", false),
    ("_pubsub", false),
    ("_link", false),
];

/// The name of the call in a URL's path, where it is one of the server's own.
fn call_name(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    rest.starts_with('_').then(|| rest.strip_suffix('/').unwrap_or(rest))
}

/// The methods that a URL's path takes, for `Allow`; `None`: a call that doesn't exist.
pub fn allowed(path: &str) -> Option<&'static str> {
    let Some(name) = call_name(path) else { return Some(NODE_METHODS) };
    let posted = CALLS.iter().find(|call| call.0 == name)?.1;
    Some(if posted { POST_METHODS } else { READ_METHODS })
}

/// Whether a `GET` of this path changes something, so that a browser mustn't be led to it.
pub fn get_has_effect(path: &str) -> bool {
    call_name(path) == Some("_reload")
}

/// `INCARNATION-VERSION`, as in an ETag.
fn replaced(text: &str) -> Result<(Incarnation, u64), Refusal> {
    let read = || {
        let (incarnation, version) = text.split_once('-')?;
        let digits = incarnation.len() == 16 && version.bytes().all(|b| b.is_ascii_digit());
        if digits { Some((incarnation.parse().ok()?, version.parse().ok()?)) } else { None }
    };
    read().ok_or_else(|| {
        Refusal::bad(format!("replaced={text:?}: INCARNATION-VERSION wanted, as /_history lists it"))
    })
}

/// A name that roots may have.
fn root_key(text: &str) -> Result<Key, Refusal> {
    let path = Path::new([text])?;
    Ok(path.check_root()?.clone())
}

/// The path of a URL as a regex: every `/` stands for `.`, one at each end stands for nothing.
fn pattern_from_url(path: &str) -> Result<String, Refusal> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner).replace('/', ".");
    let decoded = percent_decode(&inner)
        .ok_or_else(|| Refusal::bad(format!("regex {inner:?} isn't UTF-8 after percent-decoding")))?;
    Ok(decoded.into_owned())
}

impl Route {
    /// Reads a request's method and target, split at the first `?`. `HEAD` is read as `GET`.
    ///
    /// ```
    /// use tega::api::route::{Method, Read, Route};
    /// let route = Route::parse(Method::Get, "/a/b.c/", "tega_id=r1&version=-1")?;
    /// let read = Read { version: Some(-1), ..Read::default() };
    /// assert_eq!(route, Route::Get { path: r#"a["b.c"]"#.parse()?, read });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(method: Method, path: &str, query: &str) -> Result<Route, Refusal> {
        let query = Query::parse(query)?;
        // Checked wherever it stands: a bad one is a mistake of the caller's even where nobody reads it.
        let by = query.tega_id()?;
        if let Some(name) = call_name(path) {
            return call(method, name, &query, by);
        }
        match method {
            Method::Get | Method::Head => {
                let read = Read {
                    version: query.number("version")?,
                    internal: query.flag("internal")?,
                    txid: query.txid()?,
                    fresh: query.flag("fresh")?,
                    replaced: query.text("replaced").map(replaced).transpose()?,
                };
                if read.replaced.is_some() && (read.version.is_some() || read.txid.is_some()) {
                    return Err(Refusal::bad("replaced= excludes version= and txid="));
                }
                if query.flag("regex_flag")? {
                    return Ok(Route::Select { pattern: pattern_from_url(path)?, read });
                }
                let path = Path::from_url(path)?;
                if !path.is_empty() {
                    path.check_root()?;
                }
                Ok(Route::Get { path, read })
            }
            Method::Put | Method::Delete => {
                let path = Path::from_url(path)?;
                path.check_root()?;
                let write = Write {
                    by,
                    version: query.number("version")?,
                    txid: query.txid()?,
                    durable: query.flag("durable")?,
                };
                Ok(match method {
                    Method::Put => Route::Put { path, write, ephemeral: query.flag("ephemeral")? },
                    _ => Route::Delete { path, write },
                })
            }
            _ => Err(wrong_method(path, NODE_METHODS)),
        }
    }

    /// The method and target that [`Route::parse`] reads back.
    pub fn target(&self) -> (Method, String) {
        let get = |name: &str| (Method::Get, Target::new(name));
        let post = |name: &str| (Method::Post, Target::new(name));
        let (method, target) = match self {
            Route::Get { path, read } => (Method::Get, read.target(path.to_url())),
            Route::Select { pattern, read } => {
                let mut url = String::from("/");
                encode(pattern, &mut url);
                (Method::Get, read.target(url).flag("regex_flag", true))
            }
            Route::Put { path, write, ephemeral } => {
                (Method::Put, write.target(path).flag("ephemeral", *ephemeral))
            }
            Route::Delete { path, write } => (Method::Delete, write.target(path)),
            Route::Begin { by } => (Method::Post, Target::new("/_begin").by(by)),
            Route::Candidate { txid, internal } => {
                (Method::Post, Target::new("/_cand").with("txid", Some(txid)).flag("internal", *internal))
            }
            Route::Cancel { txid } => (Method::Post, Target::new("/_cancel").with("txid", Some(txid))),
            Route::Commit { txid, durable } => {
                (Method::Post, Target::new("/_commit").with("txid", Some(txid)).flag("durable", *durable))
            }
            Route::Rollback { by, root, back_to, durable } => (
                Method::Post,
                Target::new("/_rollback")
                    .by(by)
                    .with("root_oid", Some(root))
                    .number("backto", Some(*back_to))
                    .flag("durable", *durable),
            ),
            Route::Clear { by } => (Method::Post, Target::new("/_clear").by(by)),
            Route::Snapshot { history } => {
                (Method::Post, Target::new("/_ss").number("history", history.map(i64::from)))
            }
            Route::Sync => post("/_sync"),
            Route::Rpc { by, path } => {
                (Method::Post, Target::new("/_rpc").by(by).with("path", Some(path.to_string())))
            }
            Route::Roots => get("/_roots"),
            Route::Old => get("/_old"),
            Route::Ids => get("/_ids"),
            Route::Channels => get("/_channels"),
            Route::Subscribers => get("/_subscribers"),
            Route::Global => get("/_global"),
            Route::Forwarders => get("/_forwarders"),
            Route::Plugins => get("/_plugins"),
            Route::Edges { root, old } => {
                (Method::Get, Target::new("/_edges").with("root_oid", root.as_ref()).flag("old_roots", *old))
            }
            Route::Reload => get("/_reload"),
            Route::Status => get("/_status"),
            Route::Metrics => get("/_metrics"),
            Route::Homes => get("/_homes"),
            Route::Home { root, home, force } => (
                Method::Post,
                Target::new("/_home")
                    .with("root_oid", Some(root))
                    .with("home", Some(home.as_str()))
                    .flag("force", *force),
            ),
            Route::Sessions => get("/_sessions"),
            Route::Uci { diff, secrets } => {
                (Method::Get, Target::new("/_uci").flag("diff", *diff).flag("secrets", *secrets))
            }
            Route::UciDo { by, verb, packages } => {
                let packages = Some(packages.join(",")).filter(|names| !names.is_empty());
                let target = Target::new("/_uci_do").with("do", Some(verb.name())).by(by);
                (Method::Post, target.with("packages", packages.as_ref()))
            }
            Route::History { root } => (Method::Get, Target::new("/_history").with("root_oid", Some(root))),
            Route::Diff { root, from, to } => (
                Method::Get,
                Target::new("/_diff")
                    .with("root_oid", Some(root))
                    .number("from", Some(*from))
                    .number("to", *to),
            ),
            Route::List { path, page } => (Method::Get, page.target(browse::target("/_list", path))),
            Route::Find { path, search } => (Method::Get, search.target(browse::target("/_find", path))),
            Route::PubSub => get(PUBSUB),
            Route::Link => get(LINK),
        };
        (method, target.finish())
    }
}

impl Read {
    fn target(&self, url: String) -> Target {
        Target::new(url)
            .number("version", self.version)
            .flag("internal", self.internal)
            .with("txid", self.txid.as_ref())
            .flag("fresh", self.fresh)
            .with("replaced", self.replaced.map(|(incarnation, version)| format!("{incarnation}-{version}")))
    }
}

impl Write {
    fn target(&self, path: &Path) -> Target {
        Target::new(path.to_url())
            .by(&self.by)
            .number("version", self.version)
            .with("txid", self.txid.as_ref())
            .flag("durable", self.durable)
    }
}

fn wrong_method(path: &str, allowed: &str) -> Refusal {
    Refusal::new("method_not_allowed", format!("{path} takes {allowed}, no other method"))
}

/// A number of versions to be kept.
fn versions(number: i64) -> Result<u32, Refusal> {
    u32::try_from(number)
        .map_err(|_| Refusal::bad(format!("history={number}: a number of versions from 0 wanted")))
}

fn call(method: Method, name: &str, query: &Query<'_>, by: Option<TegaId>) -> Result<Route, Refusal> {
    let Some((_, posted)) = CALLS.iter().find(|call| call.0 == name) else {
        let names: Vec<&str> = CALLS.iter().map(|call| call.0).collect();
        let message = format!("no call {name:?}; the calls are {}", names.join(" "));
        return Err(Refusal::new("not_found", message));
    };
    match (posted, method) {
        (true, Method::Post) | (false, Method::Get | Method::Head) => {}
        (true, _) => return Err(wrong_method(name, POST_METHODS)),
        (false, _) => return Err(wrong_method(name, READ_METHODS)),
    }
    let txid = || -> Result<String, Refusal> {
        query.txid()?.ok_or_else(|| Refusal::bad("the query needs txid=; POST /_begin gives one"))
    };
    let root = || root_key(query.needed("root_oid")?);
    let needed = |name: &str| -> Result<i64, Refusal> {
        query.number(name)?.ok_or_else(|| Refusal::bad(format!("the query needs {name}=")))
    };
    Ok(match name {
        "_begin" => Route::Begin { by },
        "_cand" => Route::Candidate { txid: txid()?, internal: query.flag("internal")? },
        "_cancel" => Route::Cancel { txid: txid()? },
        "_commit" => Route::Commit { txid: txid()?, durable: query.flag("durable")? },
        "_rollback" => {
            Route::Rollback { by, root: root()?, back_to: needed("backto")?, durable: query.flag("durable")? }
        }
        "_clear" => Route::Clear { by },
        "_ss" => Route::Snapshot { history: query.number("history")?.map(versions).transpose()? },
        "_sync" => Route::Sync,
        "_rpc" => {
            let path = Path::parse(query.needed("path")?)?;
            path.check_root()?;
            Route::Rpc { by, path }
        }
        "_roots" => Route::Roots,
        "_old" => Route::Old,
        "_ids" => Route::Ids,
        "_channels" => Route::Channels,
        "_subscribers" => Route::Subscribers,
        "_global" => Route::Global,
        "_forwarders" => Route::Forwarders,
        "_plugins" => Route::Plugins,
        "_edges" => Route::Edges {
            root: query.text("root_oid").map(root_key).transpose()?,
            old: query.flag("old_roots")?,
        },
        "_reload" => Route::Reload,
        "_status" => Route::Status,
        "_metrics" => Route::Metrics,
        "_homes" => Route::Homes,
        "_home" => {
            let home = TegaId::new(query.needed("home")?).map_err(|e| Refusal::bad(e.to_string()))?;
            Route::Home { root: root()?, home, force: query.flag("force")? }
        }
        "_sessions" => Route::Sessions,
        "_history" => Route::History { root: root()? },
        "_diff" => Route::Diff { root: root()?, from: needed("from")?, to: query.number("to")? },
        "_list" => Route::List { path: browse::path(query)?, page: Page::parse(query)? },
        "_find" => {
            let path = browse::path(query)?;
            Route::Find { search: Search::parse(query, &path)?, path }
        }
        "_uci" => Route::Uci { diff: query.flag("diff")?, secrets: query.flag("secrets")? },
        "_uci_do" => Route::UciDo {
            by,
            verb: UciVerb::parse(query.needed("do")?)?,
            packages: query
                .text("packages")
                .map_or(Vec::new(), |names| names.split(',').map(String::from).collect()),
        },
        "_link" => Route::Link,
        _ => Route::PubSub,
    })
}

#[cfg(test)]
mod tests;
