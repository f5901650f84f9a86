//! The server's own calls that act: transactions, rollback, snapshots, RPC.

use super::node::{committed, request_id, session};
use super::{Context, Reply, Request, UciAsk, homes, info};
use crate::api::allow;
use crate::api::error::Refusal;
use crate::api::route::{Route, UciVerb};
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::read::write_candidate;
use crate::store::{Error, Op, Receipt, Transaction};
use crate::value::Value;

/// Answers a call that names no node.
pub(super) fn handle(
    context: &Context,
    request: &Request<'_>,
    route: Route,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let access = request.access.clone();
    let plain = move |outcome: Result<Receipt, Error>| match outcome {
        Ok(receipt) => committed(&receipt),
        Err(error) => Reply::refusal(&allow::told(&access, error.into())),
    };
    match route {
        Route::Begin { by } => done(match context.store.begin(by) {
            Ok(txid) => Reply::json(format!("{{\"txid\":{}}}", Value::from(txid))),
            Err(error) => Reply::refusal(&error.into()),
        }),
        Route::Candidate { txid, internal } => candidate(context, request, &txid, internal, done),
        Route::Cancel { txid } => done(match cancel(context, request, &txid) {
            Ok(()) => Reply::empty(200),
            Err(refusal) => Reply::refusal(&refusal),
        }),
        Route::Commit { txid, durable } => commit(context, request, &txid, durable, done),
        Route::Rollback { by, root, back_to, durable } => {
            let mut transaction = Transaction::new(by);
            transaction.durable = durable;
            transaction.ops.push(Op::Rollback { root, back_to, expect: None });
            transaction.request_id = request_id(&request.headers);
            let access = request.access.clone();
            context.hub.submit(transaction, move |outcome| {
                done(outcome.map_or_else(
                    |refusal| Reply::refusal(&allow::told(&access, refusal)),
                    |receipt| committed(&receipt),
                ));
            });
        }
        Route::Clear { by } => context.store.clear(by, move |outcome| done(plain(outcome))),
        Route::Snapshot { history } => {
            let history = history.map(|history| usize::try_from(history).unwrap_or(usize::MAX));
            context.store.compact(history, move |outcome| {
                done(match outcome {
                    Ok(()) => Reply::empty(200),
                    Err(error) => Reply::refusal(&error.into()),
                });
            });
        }
        Route::Sync if context.hub.sync() => done(Reply::empty(200)),
        Route::Sync => {
            let message = "this server has no global to sync with; it was started without --global";
            done(Reply::refusal(&Refusal::new("not_found", message)));
        }
        Route::Home { root, home, force } => homes::put(context, root, home, force, done),
        Route::Rpc { by, path } => match arguments(request.body) {
            Ok(arguments) => rpc(context, by, &path, &arguments, done),
            Err(refusal) => done(Reply::refusal(&refusal.at(&path))),
        },
        Route::Uci { diff, secrets } => {
            let verb = if diff { UciVerb::Diff } else { UciVerb::Status };
            uci(context, request, UciAsk { verb, packages: Vec::new(), secrets, by: None, opened: 0 }, done);
        }
        Route::UciDo { by, verb, packages } => {
            let opened = request.opened;
            uci(context, request, UciAsk { verb, packages, secrets: false, by, opened }, done);
        }
        Route::Reload => match &context.plugins {
            Some(plugins) => (plugins.reload)(Box::new(move || done(Reply::empty(200)))),
            None => done(Reply::empty(200)),
        },
        Route::PubSub | Route::Link => {
            let message = "this is a WebSocket; send Upgrade: websocket with Sec-WebSocket-Version: 13";
            let refusal = Refusal::new("upgrade_required", message);
            done(Reply::refusal(&refusal).with("Sec-WebSocket-Version", "13"));
        }
        route => info::handle(context, &request.access, route, done),
    }
}

/// Asks the bridge to `/etc/config`.
fn uci(context: &Context, request: &Request<'_>, ask: UciAsk, done: impl FnOnce(Reply) + Send + 'static) {
    let Some(bridge) = &context.uci else {
        let message = "this server has no /etc/config; it was started without --uci";
        return done(Reply::refusal(&Refusal::new("not_found", message)));
    };
    let access = request.access.clone();
    let answer = move |outcome: Result<Value, Refusal>| {
        done(match outcome {
            Ok(value) => Reply::json(value.to_string()).with("Cache-Control", "no-store"),
            Err(refusal) => Reply::refusal(&allow::told(&access, refusal)),
        });
    };
    bridge(ask, Box::new(answer));
}

/// Commits what was queued. A collision is 406, as in the original; the JSON says `conflict` all the same.
fn commit(
    context: &Context,
    request: &Request<'_>,
    txid: &str,
    durable: bool,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let prepare = || -> Result<Transaction, Refusal> {
        let request_id = request_id(&request.headers);
        let queued = context.store.queued(txid)?;
        allow::transaction(&request.access, &queued)?;
        let session = if queued.ops.iter().any(|op| matches!(op, Op::Put { ephemeral: true, .. })) {
            Some(session(context, &queued.by)?)
        } else {
            None
        };
        // Taken out last, so that a refusal above leaves it to be mended and committed.
        let taken = context.store.take(txid)?;
        // Another request may have added to it just now.
        allow::transaction(&request.access, &taken)?;
        Ok(Transaction { session, request_id, durable: durable || taken.durable, ..taken })
    };
    let access = request.access.clone();
    match prepare() {
        Ok(transaction) => context.hub.submit(transaction, move |outcome| {
            done(match outcome {
                Ok(receipt) => committed(&receipt),
                Err(refusal) => {
                    let refusal = allow::told(&access, refusal);
                    let status = if refusal.code == "conflict" { 406 } else { refusal.status };
                    Reply::refusal(&Refusal { status, ..refusal })
                }
            });
        }),
        Err(refusal) => done(Reply::refusal(&refusal)),
    }
}

/// Drops what was queued.
fn cancel(context: &Context, request: &Request<'_>, txid: &str) -> Result<(), Refusal> {
    allow::transaction(&request.access, &context.store.queued(txid)?)?;
    context.store.take(txid)?;
    Ok(())
}

/// `{root: tree}` as the commit would leave it; null for a root that it deletes.
fn candidate(
    context: &Context,
    request: &Request<'_>,
    txid: &str,
    internal: bool,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let preview = || -> Result<_, Refusal> {
        let transaction = context.store.queued(txid)?;
        allow::transaction(&request.access, &transaction)?;
        context.store.preview(&transaction).map_err(|error| allow::told(&request.access, error.into()))
    };
    let roots = match preview() {
        Ok(roots) => roots,
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    let (store, access) = (context.store.clone(), request.access.clone());
    context.heavy.run(move || {
        let mut out = String::new();
        done(match write_candidate(&store, &access, roots, internal, &mut out) {
            Ok(()) => Reply::json(out),
            Err(refusal) => Reply::refusal(&refusal),
        });
    });
}

/// The body of `/_rpc`: nothing, or an object with `args` and `kwargs`, either of which may be absent.
fn arguments(body: &[u8]) -> Result<Value, Refusal> {
    let wanted = || Refusal::bad(r#"the body: {"args":[…],"kwargs":{…}} or nothing wanted"#);
    let given = if body.trim_ascii().is_empty() { Value::empty_object() } else { Value::parse_bytes(body)? };
    let object = given.as_object().ok_or_else(wanted)?;
    if object.members().iter().any(|(key, _)| key != "args" && key != "kwargs") {
        return Err(wanted());
    }
    let part = |name: &'static str| (Key::new_static(name), object.get(name).cloned().unwrap_or(Value::Null));
    Value::object(vec![part("args"), part("kwargs")]).map_err(|e| Refusal::bad(e.to_string()))
}

/// Calls an RPC and answers `{"result": …}`.
pub(super) fn rpc(
    context: &Context,
    by: Option<TegaId>,
    path: &Path,
    arguments: &Value,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    context.hub.call(by.as_ref(), path, arguments, move |outcome| {
        done(match outcome {
            Ok(result) => Reply::json(format!("{{\"result\":{result}}}")),
            Err(error) => Reply::refusal(&error.into()),
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_a_call_may_be_left_out() {
        for (body, meant) in [
            ("", r#"{"args":null,"kwargs":null}"#),
            (" \n", r#"{"args":null,"kwargs":null}"#),
            ("{}", r#"{"args":null,"kwargs":null}"#),
            (r#"{"args":[1]}"#, r#"{"args":[1],"kwargs":null}"#),
            (r#"{"kwargs":{"a":1},"args":[]}"#, r#"{"args":[],"kwargs":{"a":1}}"#),
        ] {
            assert_eq!(arguments(body.as_bytes()).unwrap().to_string(), meant);
        }
        for bad in ["[]", "1", "{", r#"{"arg":[]}"#] {
            assert_eq!(arguments(bad.as_bytes()).unwrap_err().status, 400, "{bad}");
        }
    }
}
