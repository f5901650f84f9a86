//! `GET /_status`: everything that the layers say of themselves, nested.
//!
//! That is for an admin. Anybody else who may come in sees which server it is, whether it can be written to, and the versions
//! of the roots that they may see something of.

use std::time::Duration;

use super::info::{by_name, count, id, object, or_null, roots};
use super::{Context, Reply, links};
use crate::hub::HubStatus;
use crate::store::{Amount, Health, Room, Status, Written};
use crate::system::resident_kib;
use crate::token::Access;
use crate::value::Value;

/// Everything that the layers say of themselves, nested.
pub(super) fn status(context: &Context) -> Reply {
    let layers = object([
        ("tega_id", id(context.hub.own_id())),
        ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("pid", Value::from(i64::from(std::process::id()))),
        ("uptime_s", seconds(context.started.elapsed())),
        ("rss_kb", or_null(resident_kib(None), Value::from)),
        ("store", store_status(&context.store.status())),
        ("disk", or_null(context.store.room(), disk)),
        ("hub", hub_status(&context.hub.status())),
        ("door", or_null(context.door.as_ref(), |probe| probe())),
        ("global", or_null(context.hub.global().as_ref(), links::global)),
    ]);
    let mut out = layers.to_string();
    // Into the object, as its last member.
    out.pop();
    out.push_str(",\"links\":");
    links::write_list(&context.hub.link_infos(), &context.store.view(), &mut out);
    out.push('}');
    Reply::json(out).with("Cache-Control", "no-store")
}

/// What everybody may see.
pub(super) fn least(context: &Context, access: &Access) -> Value {
    let view = context.store.view();
    let roots = roots(&view, access).map(|(name, root)| {
        let shown = [
            ("version", Value::from(root.version.0)),
            ("incarnation", Value::from(root.incarnation.to_string())),
        ];
        (name.clone(), object(shown))
    });
    let state = health(&context.store.status().health).0;
    object([
        ("tega_id", id(context.hub.own_id())),
        ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("store", object([("state", Value::from(state)), ("roots", by_name(roots))])),
    ])
}

fn health(health: &Health) -> (&'static str, Option<&String>) {
    match health {
        Health::Ok => ("ok", None),
        Health::NoSpace(reason) => ("no_space", Some(reason)),
        Health::ReadOnly(reason) => ("read_only", Some(reason)),
    }
}

fn seconds(duration: Duration) -> Value {
    Value::from(duration.as_secs())
}

fn store_status(status: &Status) -> Value {
    let (state, reason) = health(&status.health);
    let roots = status.roots.iter().map(|(name, version, incarnation)| {
        let shown =
            [("version", Value::from(version.0)), ("incarnation", Value::from(incarnation.to_string()))];
        (name.clone(), object(shown))
    });
    let log = status.log.as_ref().map(|log| {
        object([
            ("bytes", Value::from(log.bytes)),
            ("durable", Value::from(log.durable)),
            ("compactions", Value::from(i64::from(log.compactions))),
            ("written", written(&log.written)),
        ])
    });
    object([
        ("state", Value::from(state)),
        ("reason", or_null(reason, |r| Value::from(r.as_str()))),
        ("position", Value::from(status.position.0)),
        ("queue", count(status.queue)),
        ("transactions", count(status.transactions)),
        ("watches", count(status.watches)),
        ("ephemeral", count(status.ephemeral)),
        ("log", log.unwrap_or(Value::Null)),
        ("durability", Value::from(status.durability.to_string())),
        (
            "durability_of",
            by_name(status.durability_of.iter().map(|(r, mode)| (r.clone(), Value::from(mode.to_string())))),
        ),
        ("roots", by_name(roots)),
    ])
}

/// What was written to the disk since the start, by cause.
fn written(written: &Written) -> Value {
    let amount = |amount: Amount| {
        object([
            ("bytes", Value::from(amount.bytes)),
            ("blocks", Value::from(amount.blocks)),
            ("syncs", Value::from(amount.syncs)),
        ])
    };
    object([
        ("commits", amount(written.commits)),
        ("compactions", amount(written.compactions)),
        ("reserves", amount(written.reserves)),
        ("directory_syncs", Value::from(written.directory_syncs)),
    ])
}

fn disk(room: Room) -> Value {
    object([("bytes", Value::from(room.total)), ("free", Value::from(room.free))])
}

fn hub_status(status: &HubStatus) -> Value {
    object([
        ("sessions", count(status.sessions)),
        ("channels", count(status.channels)),
        ("rpcs_waiting", count(status.rpcs_waiting)),
    ])
}
