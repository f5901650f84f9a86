//! The calls that name a node by its path: GET, PUT, DELETE, and GET with a regex.

use std::fmt::Write as _;

use super::condition::{etag, expect, refused, unchanged};
use super::encode::{Form, Source, source, write_node, write_roots};
use super::{Context, Headers, INLINE_NODES, Reply, Request, call};
use crate::api::error::Refusal;
use crate::api::query;
use crate::api::route::{Read, Write};
use crate::commit::{Incarnation, TegaId};
use crate::path::{Key, Path};
use crate::store::{self, Error, Op, Receipt, Store, Transaction};
use crate::tree::{Match, Pattern, SelectLimits};
use crate::value::{Value, write_string};

/// What a regex may find and look at.
pub(super) const SELECT: SelectLimits = SelectLimits { matches: 100_000, visits: 5_000_000 };

/// The longest request ID, in characters.
const MAX_REQUEST_ID: usize = 64;

/// A read's answer before its encoding.
struct Found {
    source: Source,
    form: Form,
    path: Path,
}

impl Found {
    /// The body, if it has at most so many nodes.
    fn encode(&self, mut budget: usize) -> Option<String> {
        let mut out = String::with_capacity(64);
        let whole = if self.path.is_empty() {
            write_roots(&self.form, self.source.trees(), &mut out, &mut budget)
        } else {
            let node = self.source.node(&self.path)?;
            write_node(&self.form, &self.path, node, &mut out, &mut budget)
        };
        whole.then_some(out)
    }
}

/// `GET`: the value of a node, or all roots.
pub(super) fn get(
    context: &Context,
    request: &Request<'_>,
    path: Path,
    read: Read,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let (found, head) = match find(context, &request.headers, path, &read) {
        Ok(found) => found,
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    if head.status == 304 {
        return done(head);
    }
    match found.encode(INLINE_NODES) {
        Some(body) => done(Reply { body, ..head }),
        None => context.heavy.run(move || {
            let body = found.encode(usize::MAX).unwrap_or_default();
            done(Reply { body, ..head });
        }),
    }
}

/// Looks the node up, and says what the answer's head is.
fn find(
    context: &Context,
    headers: &Headers<'_>,
    path: Path,
    read: &Read,
) -> Result<(Found, Reply), Refusal> {
    let source = source(context, read, path.root())?;
    let mut head = Reply::empty(200);
    let mut ephemeral = Vec::new();
    if let Some(root) = path.root() {
        let node = source.node(&path).ok_or_else(|| Refusal::not_found(&path))?;
        let present = read.txid.is_none() && read.version.is_none();
        // Below a leaf of the versioned state there's nothing ephemeral.
        if present && (node.stamp.is_ephemeral() || matches!(node.kind, crate::tree::Kind::Container(_))) {
            ephemeral = context.store.ephemeral(&path);
        }
        if let Some(version) = node.stamp.as_version().filter(|_| read.txid.is_none()) {
            head.headers.push(("Tega-Version", version.to_string().into()));
            if let Some(incarnation) = incarnation(context, &source, root, read) {
                let tag = etag(incarnation, version);
                // Another form is another representation, for which there's no second tag.
                if ephemeral.is_empty() && !read.internal && unchanged(headers, &tag) {
                    head.status = 304;
                }
                head.headers.push(("ETag", tag.into()));
            }
        }
    } else if read.internal {
        ephemeral = context.store.ephemeral(&path);
    }
    let cache = if ephemeral.is_empty() && !read.internal { "no-cache" } else { "no-store" };
    head.headers.push(("Cache-Control", cache.into()));
    let form = if read.internal { Form::Internal(ephemeral) } else { Form::Plain };
    Ok((Found { source, form, path }, head))
}

fn incarnation(context: &Context, source: &Source, root: &Key, read: &Read) -> Option<Incarnation> {
    match source {
        Source::Present(view) => Some(view.root(root)?.incarnation),
        Source::Trees(_) => Some(context.store.at(root, read.version?).ok()?.incarnation),
    }
}

/// `GET` with `regex_flag`: every node that the regexes match, with their groups.
pub(super) fn select(
    context: &Context,
    pattern: &str,
    read: Read,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let prepare = || -> Result<(Pattern, Source), Refusal> {
        let pattern = Pattern::parse(pattern).map_err(|e| Refusal::bad(e.to_string()))?;
        if read.version.is_some() {
            return Err(Refusal::bad("version= and regex_flag exclude each other: each root has its own"));
        }
        Ok((pattern, source(context, &read, None)?))
    };
    let (pattern, source) = match prepare() {
        Ok(ready) => ready,
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    let ephemeral = if read.internal { context.store.ephemeral(&Path::TOP) } else { Vec::new() };
    let form = if read.internal { Form::Internal(ephemeral) } else { Form::Plain };
    // A regex may visit every node, so it's never run where others wait.
    context.heavy.run(move || {
        done(match pattern.select(source.trees(), SELECT) {
            Ok(matches) => {
                let mut out = String::from("{");
                for (i, found) in matches.into_iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    write_match(&form, found, &mut out);
                }
                out.push('}');
                Reply::json(out).with("Cache-Control", "no-store")
            }
            Err(error) => Reply::refusal(&Refusal::new("too_large", error.to_string())),
        });
    });
}

/// `"PATH":{"groups":[["r",null],…],"instance":…}`. Writing to a String can't fail, so those results are dropped.
fn write_match(form: &Form, found: Match<'_>, out: &mut String) {
    let path = Path::from_checked(found.keys);
    let _ = write_string(&path.to_string(), out);
    out.push_str(":{\"groups\":[");
    for (i, level) in found.groups.iter().enumerate() {
        out.push_str(if i > 0 { ",[" } else { "[" });
        for (j, group) in level.iter().enumerate() {
            out.push_str(if j > 0 { "," } else { "" });
            match group {
                Some(text) => drop(write_string(text, out)),
                None => out.push_str("null"),
            }
        }
        out.push(']');
    }
    out.push_str("],\"instance\":");
    let mut unbounded = usize::MAX;
    write_node(form, &path, found.node, out, &mut unbounded);
    out.push('}');
}

/// `PUT`: a node's value, or the call of an RPC in the form that the Go driver has for it.
pub(super) fn put(
    context: &Context,
    request: &Request<'_>,
    path: Path,
    write: Write,
    ephemeral: bool,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let value = match Value::parse_bytes(request.body) {
        Ok(value) => value,
        Err(error) => return done(Reply::refusal(&Refusal::bad(format!("the body: {error}")).at(&path))),
    };
    if is_call(context, &path, &value) {
        return call::rpc(context, write.by, &path, &value, done);
    }
    let prepared = expect(&request.headers, write.version).and_then(|(expect, by_header)| {
        let mut transaction = transaction(request, &write)?;
        if ephemeral && write.txid.is_none() {
            transaction.session = Some(session(context, &write.by)?);
        }
        transaction.ops.push(Op::Put { path: path.clone(), value, expect, ephemeral });
        Ok((transaction, by_header))
    });
    match prepared {
        Ok((transaction, by_header)) => {
            let tagged = (!ephemeral).then_some(path);
            commit(context, transaction, write.txid, tagged, by_header, done)
        }
        Err(refusal) => done(Reply::refusal(&refusal)),
    }
}

/// Whether this PUT is a call: exactly `args` and `kwargs`, onto a leaf of the form `%OWNER.FUNC`.
fn is_call(context: &Context, path: &Path, value: &Value) -> bool {
    let keys = value.as_object().map(|o| o.members().iter().map(|m| m.0.as_str()));
    if !keys.is_some_and(|keys| keys.eq(["args", "kwargs"])) {
        return false;
    }
    let view = context.store.view();
    view.node(path).is_some_and(|node| match node.kind {
        crate::tree::Kind::Leaf(leaf) => leaf.as_str().is_some_and(|t| t.starts_with('%') && t.contains('.')),
        crate::tree::Kind::Container(_) => false,
    })
}

/// `DELETE`: a node and all below it.
pub(super) fn delete(
    context: &Context,
    request: &Request<'_>,
    path: Path,
    write: Write,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let prepared = expect(&request.headers, write.version).and_then(|(expect, by_header)| {
        let mut transaction = transaction(request, &write)?;
        transaction.ops.push(Op::Delete { path, expect });
        Ok((transaction, by_header))
    });
    match prepared {
        Ok((transaction, by_header)) => commit(context, transaction, write.txid, None, by_header, done),
        Err(refusal) => done(Reply::refusal(&refusal)),
    }
}

/// A transaction without operations yet.
fn transaction(request: &Request<'_>, write: &Write) -> Result<Transaction, Refusal> {
    let mut transaction = Transaction::new(write.by.clone());
    transaction.durable = write.durable;
    transaction.request_id = request_id(&request.headers)?;
    Ok(transaction)
}

/// The `Idempotency-Key`, without the quotes that some write around it.
pub(super) fn request_id(headers: &Headers<'_>) -> Result<Option<String>, Refusal> {
    let Some(key) = headers.idempotency_key else { return Ok(None) };
    let bare = key.strip_prefix('"').and_then(|k| k.strip_suffix('"')).unwrap_or(key);
    if (1..=MAX_REQUEST_ID).contains(&bare.chars().count()) {
        Ok(Some(bare.to_string()))
    } else {
        Err(Refusal::bad(format!("Idempotency-Key: 1 to {MAX_REQUEST_ID} characters wanted")))
    }
}

/// The session that owns the ephemeral nodes of a tega ID.
pub(super) fn session(context: &Context, by: &Option<TegaId>) -> Result<store::SessionId, Refusal> {
    let session = by.as_ref().and_then(|id| context.hub.newest(id));
    session.ok_or_else(|| Error::NoSession { tega_id: by.clone() }.into())
}

/// Commits, or queues where the write belongs to a transaction.
fn commit(
    context: &Context,
    transaction: Transaction,
    txid: Option<String>,
    tagged: Option<Path>,
    by_header: bool,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    if let Some(txid) = txid {
        let queued = transaction.ops.into_iter().try_for_each(|op| context.store.queue(&txid, op));
        return done(match queued {
            Ok(()) => Reply::empty(200),
            Err(error) => refused(error.into(), by_header),
        });
    }
    let store = context.store.clone();
    context.store.submit(transaction, move |outcome| {
        done(match outcome {
            Ok(receipt) => match tagged.and_then(|path| put_tag(&store, &receipt, &path)) {
                Some(tag) => committed(&receipt).with("ETag", tag),
                None => committed(&receipt),
            },
            Err(error) => refused(error.into(), by_header),
        });
    });
}

/// The ETag that a put node has by its commit.
fn put_tag(store: &Store, receipt: &Receipt, path: &Path) -> Option<String> {
    let name = path.root()?;
    let (_, version) = receipt.versions.iter().find(|(root, _)| root == name)?;
    let view = store.view();
    let root = view.root(name)?;
    // Only where the root still is the one that was written: a later commit may have replaced it.
    (root.version >= *version).then(|| etag(root.incarnation, *version))
}

/// The answer to a commit: an empty body, and in headers what came of it.
pub(super) fn committed(receipt: &Receipt) -> Reply {
    let mut versions = String::new();
    for (root, version) in &receipt.versions {
        versions.push_str(if versions.is_empty() { "" } else { ", " });
        query::encode(root, &mut versions);
        // Writing to a String can't fail.
        let _ = write!(versions, "={version}");
    }
    let mut reply = Reply::empty(200);
    if !versions.is_empty() {
        reply = reply.with("Tega-Version", versions).with("Tega-Position", receipt.position.0.to_string());
    }
    if receipt.durable { reply } else { reply.with("Tega-Durable", "0") }
}
