//! The server's own calls that only tell: versions, sessions, history.

use std::borrow::Cow;

use super::{Context, Reply, browse, homes, links, metrics, status};
use crate::api::error::Refusal;
use crate::api::route::Route;
use crate::commit::TegaId;
use crate::hub::{Scope, SessionInfo};
use crate::path::{Key, Path};
use crate::store::{Change, Error, Past, Root, View, changes_within};
use crate::token::Access;
use crate::tree::{self, Stamp, Tree};
use crate::value::Value;

/// The most changes that one version of `/_history` lists.
const MAX_CHANGES: usize = 100;

/// The most nodes that `/_edges` goes through.
const MAX_EDGES: usize = 1_000_000;

/// An object that can't fail: its members have names of ours and are shallow.
pub(super) fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (Key::new_static(name), value)).collect();
    Value::object(members).unwrap_or(Value::Null)
}

/// An object of names that are each there once.
pub(super) fn by_name(members: impl IntoIterator<Item = (Key, Value)>) -> Value {
    Value::object(members.into_iter().collect()).unwrap_or(Value::Null)
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::list(items.into_iter().collect::<Vec<_>>()).unwrap_or(Value::Null)
}

pub(super) fn count(number: usize) -> Value {
    Value::from(number as u64)
}

pub(super) fn id(id: &TegaId) -> Value {
    Value::from(id.as_str())
}

pub(super) fn or_null<T>(option: Option<T>, value: impl FnOnce(T) -> Value) -> Value {
    option.map_or(Value::Null, value)
}

fn scope(scope: Scope) -> Value {
    Value::from(match scope {
        Scope::Local => "local",
        Scope::Global => "global",
    })
}

/// Answers a call that changes nothing, with what may be seen of it.
pub(super) fn handle(
    context: &Context,
    access: &Access,
    route: Route,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let hub = &context.hub;
    let value = match route {
        Route::Roots => {
            let view = context.store.view();
            let seen = roots(&view, access).map(|(name, root)| (name.clone(), Value::from(root.version.0)));
            by_name(seen)
        }
        Route::Old => return done(answer(old(context, access))),
        Route::Ids => list(hub.ids().iter().filter(|id| may_know(access, id)).map(id)),
        Route::Channels => by_name(
            hub.channels(access).into_iter().map(|(channel, ids)| (channel.into(), list(ids.iter().map(id)))),
        ),
        Route::Subscribers => by_name(
            hub.subscribers(access)
                .into_iter()
                .map(|(id, channels)| (id.as_str().into(), list(channels.into_iter().map(Value::from)))),
        ),
        Route::Global => list(
            hub.global_channels(access)
                .into_iter()
                .map(|(channel, s)| list([Value::from(channel), scope(s)])),
        ),
        Route::Forwarders => list(hub.forwarders().iter().map(id)),
        Route::Plugins => context.plugins.as_ref().map_or(Value::empty_object(), |plugins| (plugins.told)()),
        Route::Edges { root, old } => return edges(context, access, root, old, done),
        Route::Sessions => return with_links(context, sessions, done),
        Route::Status if !access.is_admin() => status::least(context, access),
        Route::Status => return with_links(context, status::status, done),
        Route::Metrics => return with_links(context, metrics::metrics, done),
        Route::Homes => homes::all(context, access),
        Route::History { root } => {
            return done(answer(history(context, access, &root)));
        }
        Route::Diff { root, from, to } => {
            let (context, access) = (context.clone(), access.clone());
            return context.heavy.clone().run(move || done(diff(&context, &access, &root, from, to)));
        }
        Route::List { path, page } => return browse::list(context, access, path, page, done),
        Route::Find { path, search } => return browse::find(context, access, path, search, done),
        // All others were taken before.
        _ => Value::Null,
    };
    done(told(&value));
}

/// Answers with something that may tell of thousands of links.
fn with_links(
    context: &Context,
    tell: impl FnOnce(&Context) -> Reply + Send + 'static,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let its = context.clone();
    links::run(context, move || done(tell(&its)));
}

/// The sessions here, the links, and the sessions behind them that own something here.
fn sessions(context: &Context) -> Reply {
    let mut out = String::from("[");
    let next = |out: &mut String| out.push_str(if out.len() > 1 { "," } else { "" });
    for info in context.hub.sessions() {
        next(&mut out);
        // Writing to a String can't fail.
        let _ = session(&info).write(&mut out);
    }
    for link in context.hub.link_infos() {
        next(&mut out);
        links::write(&link, &context.store.view(), &mut out);
        for id in &link.sessions {
            next(&mut out);
            out.push_str(&format!("{{\"tega_id\":\"{id}\",\"via\":\"{}\"}}", link.tega_id));
        }
    }
    out.push(']');
    Reply::json(out).with("Cache-Control", "no-store")
}

fn told(value: &Value) -> Reply {
    Reply::json(value.to_string()).with("Cache-Control", "no-store")
}

fn answer(outcome: Result<Value, Error>) -> Reply {
    match outcome {
        Ok(value) => told(&value),
        Err(error) => Reply::refusal(&error.into()),
    }
}

/// Who may act under a tega ID may know that it's there.
fn may_know(access: &Access, id: &TegaId) -> bool {
    access.is_admin() || access.may_act_as(id)
}

/// The roots of which there's anything that may be seen.
pub(super) fn roots<'a>(view: &'a View, access: &'a Access) -> impl Iterator<Item = (&'a Key, &'a Root)> {
    view.roots()
        .filter(|(name, root)| access.readable().is_none_or(|keep| root.present.within(name, keep).is_some()))
}

/// The states of a root that snapshots of its home replaced, then the kept versions; each state is cut to what may be
/// seen, and counts as deleted where nothing is left of it.
fn history(context: &Context, access: &Access, root: &Key) -> Result<Value, Error> {
    let mut replaced = context.store.replaced(root);
    let mut kept = match context.store.history(root) {
        Err(Error::NotFound { .. }) if !replaced.is_empty() => Vec::new(),
        kept => kept?,
    };
    if let Some(keep) = access.readable() {
        for past in replaced.iter_mut().chain(&mut kept) {
            past.tree = past.tree.take().and_then(|tree| tree.within(root, keep));
        }
        // Of a root whose name alone is known from the token, nothing is told where nothing of it may be seen.
        let seen = |past: &Past| past.tree.is_some() || !changes(access, root, past).is_empty();
        if !replaced.iter().chain(&kept).any(seen) {
            return Err(Error::NotFound { path: Path::from_checked(vec![root.clone()]) });
        }
    }
    let replaced = replaced.iter().map(|state| {
        let mut members = past(access, root, state);
        members.push(("replaced", Value::from(format!("{}-{}", state.incarnation, state.version))));
        object(members)
    });
    let kept = kept.iter().map(|state| object(past(access, root, state)));
    Ok(list(replaced.chain(kept)))
}

/// What a commit did to a root, as far as it may be seen.
fn changes<'a>(access: &Access, root: &Key, past: &'a Past) -> Vec<Cow<'a, Change>> {
    let Some(event) = past.event.as_deref() else { return Vec::new() };
    let of_root = |change: &Change| change.path.root() == Some(root);
    match changes_within(&event.changes, access.readable()) {
        Cow::Borrowed(all) => all.iter().filter(|c| of_root(c)).map(Cow::Borrowed).collect(),
        Cow::Owned(some) => some.into_iter().filter(of_root).map(Cow::Owned).collect(),
    }
}

/// `[{"a":[0,1,2]}, …]`: the kept versions of each root but the present one.
fn old(context: &Context, access: &Access) -> Result<Value, Error> {
    let view = context.store.view();
    let mut old = Vec::new();
    for (name, root) in roots(&view, access) {
        // A root of nothing but ephemeral nodes has no version to keep.
        let kept = match context.store.history(name) {
            Err(Error::NotFound { .. }) => Vec::new(),
            kept => kept?,
        };
        let versions = kept.iter().map(|past| past.version).filter(|version| *version < root.version);
        old.push(by_name([(name.clone(), list(versions.map(|version| Value::from(version.0))))]));
    }
    Ok(list(old))
}

fn session(info: &SessionInfo) -> Value {
    object([
        ("tega_id", id(&info.tega_id)),
        ("session", Value::from(info.session.0)),
        ("scope", scope(info.scope)),
        ("dialect", Value::from(i64::from(info.dialect))),
        ("from", Value::from(info.from.as_str())),
        ("connected_s", Value::from(info.connected_s)),
        ("channels", count(info.channels)),
        ("waiting", count(info.waiting)),
        ("rpcs", count(info.rpcs)),
    ])
}

/// One version: who made it, when, and what changed that may be seen. A version that a snapshot kept without its commit
/// has nulls.
fn past(access: &Access, root: &Key, past: &Past) -> Vec<(&'static str, Value)> {
    let event = past.event.as_deref();
    let mut members = vec![
        ("version", Value::from(past.version.0)),
        ("incarnation", Value::from(past.incarnation.to_string())),
        ("deleted", Value::from(past.tree.is_none())),
        ("time", or_null(event, |e| Value::from(e.time_ms))),
        ("tega_id", or_null(event, |e| e.by.as_ref().map_or(Value::from("anonymous"), id))),
        ("position", or_null(event.and_then(|e| e.position), |p| Value::from(p.0))),
    ];
    let rollback = event.and_then(|e| e.rollback_to.as_ref()).filter(|r| r.0 == *root);
    if let Some((_, version)) = rollback {
        members.push(("rollback_to", Value::from(version.0)));
    }
    let changes = changes(access, root, past);
    let shown = changes.iter().take(MAX_CHANGES).map(|change| {
        let ope = if change.after.is_some() { "PUT" } else { "DELETE" };
        object([("ope", Value::from(ope)), ("path", Value::from(change.path.to_string()))])
    });
    members.push(("changes", list(shown)));
    let more = changes.len().saturating_sub(MAX_CHANGES);
    if more > 0 {
        members.push(("more", count(more)));
    }
    members
}

/// `[{"path","before","after"}, …]`; a side that isn't there is absent.
fn diff(context: &Context, access: &Access, root: &Key, from: i64, to: Option<i64>) -> Reply {
    let present = || {
        let kept = context.store.history(root)?;
        let last = kept.last().map(|past| past.version.0);
        last.and_then(|v| i64::try_from(v).ok()).ok_or(Error::NoVersion { root: root.clone(), version: 0 })
    };
    let tree = |version| -> Result<Tree, Error> {
        let past = context.store.at(root, version)?;
        let tree = match (past.tree, access.readable()) {
            (Some(tree), Some(keep)) => tree.within(root, keep),
            (tree, _) => tree,
        };
        Ok(tree.unwrap_or_else(|| Tree::new(Stamp::version(past.version))))
    };
    let trees = to.map_or_else(present, Ok).and_then(|to| Ok((tree(from)?, tree(to)?)));
    let differences = match trees {
        Ok((from, to)) => tree::diff(&from, &to),
        Err(error) => return Reply::refusal(&error.into()),
    };
    let items = differences.iter().map(|difference| {
        let mut keys = vec![root.clone()];
        keys.extend(difference.keys.iter().cloned());
        let mut members = vec![("path", Value::from(Path::from_checked(keys).to_string()))];
        members.extend(difference.before.as_ref().map(|node| ("before", node.to_value())));
        members.extend(difference.after.as_ref().map(|node| ("after", node.to_value())));
        // Written one by one: a value as deep as a tree may be can't be wrapped twice more.
        let mut out = String::from("{");
        for (i, (name, value)) in members.iter().enumerate() {
            out.push_str(if i > 0 { ",\"" } else { "\"" });
            out.push_str(name);
            out.push_str("\":");
            // Writing to a String can't fail.
            let _ = value.write(&mut out);
        }
        out.push('}');
        out
    });
    let items: Vec<String> = items.collect();
    Reply::json(format!("[{}]", items.join(","))).with("Cache-Control", "no-store")
}

/// Pairs of nodes, of the present and, where asked for, of the old versions before it.
fn edges(
    context: &Context,
    access: &Access,
    root: Option<Key>,
    old: bool,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let view = context.store.view();
    let mut trees = Vec::new();
    for (name, present) in view.roots().filter(|(name, _)| root.as_ref().is_none_or(|r| r == *name)) {
        if old {
            let kept = context.store.history(name).unwrap_or_default();
            let before = kept.into_iter().filter(|past| past.version < present.version);
            trees.extend(before.filter_map(|past| Some((name.clone(), past.tree?))));
        }
        trees.push((name.clone(), present.present.clone()));
    }
    if let Some(keep) = access.readable() {
        let left = |(name, tree): (Key, Tree)| Some((name.clone(), tree.within(&name, keep)?));
        trees = trees.into_iter().filter_map(left).collect();
    }
    if let Some(root) = root.filter(|_| trees.is_empty()) {
        return done(Reply::refusal(&Refusal::not_found(&Path::from_checked(vec![root]))));
    }
    context.heavy.run(move || {
        let (mut pairs, mut budget) = (Vec::new(), MAX_EDGES);
        for (name, tree) in &trees {
            if tree::edges(name, tree, &mut pairs, &mut budget).is_err() {
                let message =
                    format!("more than {MAX_EDGES} nodes; name one root, or leave the old ones out");
                return done(Reply::refusal(&Refusal::new("too_large", message)));
            }
        }
        let pairs = pairs.into_iter().map(|[from, to]| list([Value::from(from), Value::from(to)]));
        done(told(&list(pairs)));
    });
}
