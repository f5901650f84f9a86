//! How the plugins are: `GET /_plugins`.

use super::desk::{Inner, Loaded};
use super::manifest::Format;
use super::standing::{Counts, Plugin};
use crate::path::Key;
use crate::value::Value;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// The most files and directories that are told of that aren't used.
const MAX_REFUSED: usize = 100;

fn object(members: Vec<(&'static str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (Key::new_static(name), value)).collect();
    Value::object(members).unwrap_or(Value::Null)
}

/// An object by name: plugins, and what isn't used with the reason.
pub(super) fn told(inner: &Inner, now: u64) -> Value {
    let mut members: Vec<(Key, Value)> = Vec::new();
    for (name, plugin) in &inner.schedule.plugins {
        let told = match inner.loaded.get(name) {
            Some(loaded) if loaded.seat.is_published.load(Ordering::SeqCst) => of(plugin, loaded, now),
            Some(_) => listing(),
            None => match &plugin.refused {
                Some(why) => refused(why),
                // One that is gone stays until its last run has ended.
                None if plugin.is_listing() => listing(),
                None => object(vec![("state", Value::from("ending"))]),
            },
        };
        members.push((Key::from(&**name), told));
    }
    for (name, why) in inner.refused.iter().take(MAX_REFUSED) {
        // A name is a key; the path of a directory may be too long for one.
        let name: String = name.chars().take(120).collect();
        if !members.iter().any(|(known, _)| **known == *name) {
            members.push((Key::from(name), refused(why)));
        }
    }
    Value::object(members).unwrap_or(Value::Null)
}

/// It hasn't said yet what it is.
fn listing() -> Value {
    object(vec![("state", Value::from("listing"))])
}

fn refused(why: &str) -> Value {
    object(vec![("state", Value::from("refused")), ("refused", Value::from(why))])
}

fn of(plugin: &Plugin, loaded: &Loaded, now: u64) -> Value {
    let manifest = &loaded.manifest;
    let subscribe: Vec<Value> = manifest.subscribe.iter().map(|path| Value::from(path.to_string())).collect();
    let number = |n: usize| Value::from(n as u64);
    let Counts { calls, notifies, failures, refused, last, longest, error, .. } = &plugin.counts;
    let error = error.as_ref().map_or(Value::Null, |(message, at)| {
        let ago = now.saturating_sub(*at) / 1_000;
        object(vec![("message", Value::from(message.as_str())), ("ago_s", Value::from(ago))])
    });
    let problem = loaded.seat.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
    object(vec![
        ("state", Value::from("loaded")),
        ("file", Value::from(loaded.file.display().to_string())),
        ("path", Value::from(manifest.path.to_string())),
        ("methods", Value::object(manifest.methods.clone()).unwrap_or(Value::Null)),
        ("subscribe", Value::list(subscribe).unwrap_or(Value::Null)),
        ("format", Value::from(if manifest.format == Format::Flat { "flat" } else { "json" })),
        ("timeout_s", Value::from(manifest.time.as_secs())),
        ("running", number(plugin.running())),
        ("waiting", number(plugin.waiting())),
        ("calls", Value::from(*calls)),
        ("notifies", Value::from(*notifies)),
        ("failures", Value::from(*failures)),
        ("busy", Value::from(*refused)),
        ("last_ms", Value::from(*last)),
        ("mean_ms", Value::from(plugin.counts.mean())),
        ("max_ms", Value::from(*longest)),
        ("error", error),
        ("problem", problem.map_or(Value::Null, Value::from)),
    ])
}
