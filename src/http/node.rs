//! The calls that name a node by its path: GET, PUT, DELETE, and GET with a regex.

use std::fmt::Write as _;

use super::condition::{etag, expect, refused, unchanged};
use super::{Context, Headers, Reply, Request, call};
use crate::api::allow;
use crate::api::error::Refusal;
use crate::api::query;
use crate::api::route::{Read, Write};
use crate::commit::TegaId;
use crate::hub::is_rpc_leaf;
use crate::path::{Key, Path};
use crate::read::{Found, INLINE_NODES, Selection, Source};
use crate::store::{self, Error, Op, Receipt, Store, Transaction};
use crate::token::Access;
use crate::tree::Kind;
use crate::value::Value;

/// `GET`: the value of a node, or all roots.
pub(super) fn get(
    context: &Context,
    request: &Request<'_>,
    path: Path,
    read: Read,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    if !read.fresh {
        return present(context, &request.access, &request.headers, path, read, done);
    }
    let roots = path.root().map_or_else(|| all_roots(context, &request.access), |root| vec![root.clone()]);
    let (after, access) = (context.clone(), request.access.clone());
    let tags = request.headers.if_none_match.map(str::to_string);
    context.hub.fresh(roots, move |outcome| match outcome {
        Ok(()) => {
            let headers = Headers { if_none_match: tags.as_deref(), ..Headers::default() };
            present(&after, &access, &headers, path, read, done);
        }
        Err(refusal) => done(Reply::refusal(&refusal)),
    });
}

/// Every root of which somebody may see something.
fn all_roots(context: &Context, access: &Access) -> Vec<Key> {
    let mut roots = context.hub.all_roots();
    roots.retain(|root| access.may_read_some(&Path::from_checked(vec![root.clone()])));
    roots
}

/// Reads what is here.
fn present(
    context: &Context,
    access: &Access,
    headers: &Headers<'_>,
    path: Path,
    read: Read,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let (found, head) = match find(context, access, headers, path, &read) {
        Ok(found) => found,
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    if head.status == 304 {
        return done(head);
    }
    let mut body = String::with_capacity(64);
    if found.write_small(INLINE_NODES, &mut body) {
        return done(Reply { body, ..head });
    }
    context.heavy.run(move || {
        done(match found.write(&mut body) {
            Ok(()) => Reply { body, ..head },
            Err(refusal) => Reply::refusal(&refusal.at(found.path())),
        });
    });
}

/// Looks the node up, and says what the answer's head is.
fn find(
    context: &Context,
    access: &Access,
    headers: &Headers<'_>,
    path: Path,
    read: &Read,
) -> Result<(Found, Reply), Refusal> {
    let source = source(context, access, &path, read)?;
    let found = Found::new(&context.store, source, path, read.internal)?;
    // Another form, or a part, is another representation, for which there's no second tag; and what is ephemeral has no
    // version.
    let whole = !read.internal && read.replaced.is_none() && !found.source().is_cut();
    let tagged = whole && found.source().ephemeral(&context.store, found.path()).is_empty();
    let mut head = Reply::empty(200);
    if let (Some(root), Some(node)) = (found.path().root(), found.node())
        && let Some(version) = node.stamp.as_version().filter(|_| read.txid.is_none())
    {
        head.headers.push(("Tega-Version", version.to_string().into()));
        if let Some(incarnation) = found.source().incarnation(root) {
            let tag = etag(incarnation, version);
            if tagged && unchanged(headers, &tag) {
                head.status = 304;
            }
            head.headers.push(("ETag", tag.into()));
        }
    }
    head.headers.push(("Cache-Control", if tagged { "no-cache" } else { "no-store" }.into()));
    Ok((found, head))
}

/// What a read sees, as far as it may.
fn source(context: &Context, access: &Access, path: &Path, read: &Read) -> Result<Source, Refusal> {
    match read.replaced {
        Some(which) => Source::replaced(&context.store, access, path, which),
        None => Source::of(&context.store, access, path, read.version, read.txid.as_deref()),
    }
}

/// `GET` with `regex_flag`: every node that the regexes match, with their groups.
pub(super) fn select(
    context: &Context,
    access: &Access,
    pattern: String,
    read: Read,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    if read.replaced.is_some() {
        return done(Reply::refusal(&Refusal::bad("replaced= is for the path of a node, not for a regex")));
    }
    if !read.fresh {
        return matches(context, access, &pattern, &read, done);
    }
    let (after, access) = (context.clone(), access.clone());
    context.hub.fresh(all_roots(context, &access), move |outcome| match outcome {
        Ok(()) => matches(&after, &access, &pattern, &read, done),
        Err(refusal) => done(Reply::refusal(&refusal)),
    });
}

fn matches(
    context: &Context,
    access: &Access,
    pattern: &str,
    read: &Read,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let selection = source(context, access, &Path::TOP, read)
        .and_then(|source| Selection::new(&context.store, source, pattern, read.internal));
    let selection = match selection {
        Ok(selection) => selection,
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    // A regex may visit every node, so it's never run where others wait.
    context.heavy.run(move || {
        let mut out = String::new();
        done(match selection.write(&mut out) {
            Ok(()) => Reply::json(out).with("Cache-Control", "no-store"),
            Err(refusal) => Reply::refusal(&refusal),
        });
    });
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
        return match allow::call(&request.access, &path) {
            Ok(()) => call::rpc(context, write.by, &path, &value, done),
            Err(refusal) => done(Reply::refusal(&refusal)),
        };
    }
    let prepared = allow::write(&request.access, &path)
        .and_then(|()| expect(&request.headers, write.version))
        .and_then(|(expect, by_header)| {
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
            commit(context, request, transaction, write.txid, tagged, by_header, done)
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
    let leaf = view.node(path).and_then(|node| match node.kind {
        Kind::Leaf(leaf) => Some(leaf),
        Kind::Container(_) => None,
    });
    leaf.is_some_and(is_rpc_leaf)
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
        Ok((transaction, by_header)) => {
            commit(context, request, transaction, write.txid, None, by_header, done)
        }
        Err(refusal) => done(Reply::refusal(&refusal)),
    }
}

/// A transaction without operations yet.
fn transaction(request: &Request<'_>, write: &Write) -> Result<Transaction, Refusal> {
    let mut transaction = Transaction::new(write.by.clone());
    transaction.durable = write.durable;
    transaction.request_id = request_id(&request.headers);
    Ok(transaction)
}

/// The `Idempotency-Key`, without the quotes that some write around it. The store says what may be one.
pub(super) fn request_id(headers: &Headers<'_>) -> Option<String> {
    let key = headers.idempotency_key?;
    Some(key.strip_prefix('"').and_then(|k| k.strip_suffix('"')).unwrap_or(key).to_string())
}

/// The session that owns the ephemeral nodes of a tega ID.
pub(super) fn session(context: &Context, by: &Option<TegaId>) -> Result<store::SessionId, Refusal> {
    let session = by.as_ref().and_then(|id| context.hub.newest(id));
    session.ok_or_else(|| Error::NoSession { tega_id: by.clone() }.into())
}

/// Commits, or queues where the write belongs to a transaction.
fn commit(
    context: &Context,
    request: &Request<'_>,
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
    let (store, access) = (context.store.clone(), request.access.clone());
    context.hub.submit(transaction, move |outcome| {
        done(match outcome {
            Ok(receipt) => match tagged.and_then(|path| put_tag(&store, &receipt, &path)) {
                Some(tag) => committed(&receipt).with("ETag", tag),
                None => committed(&receipt),
            },
            Err(refusal) => refused(allow::told(&access, refusal), by_header),
        });
    });
}

/// The ETag that a put node has by its commit.
fn put_tag(store: &Store, receipt: &Receipt, path: &Path) -> Option<String> {
    let name = path.root()?;
    let (_, version) = receipt.versions.iter().find(|(root, _)| root == name)?;
    if !receipt.applied {
        // What stands here under that number, if anything, needn't be what the home committed.
        return None;
    }
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
    if !receipt.applied {
        reply = reply.with("Tega-Applied", "0");
    }
    if receipt.durable { reply } else { reply.with("Tega-Durable", "0") }
}
