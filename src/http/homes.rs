//! Which server is home of which root, and how a root moves to another.

use super::info::{by_name, id, object, or_null};
use super::{Context, Reply};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::store::{Away, Home};
use crate::token::Access;
use crate::value::Value;

/// `{ROOT:{"home":TEGA_ID,"here":true|false[,"handover":true]}}`
///
/// Of the roots of which somebody may see or write something.
pub(super) fn all(context: &Context, access: &Access) -> Value {
    let global = context.hub.global().and_then(|global| global.tega_id);
    let records = context.store.homes();
    let shown = |root: Key| {
        // Every root that exists has a home, so that this passes over nothing.
        let (home, here) = home_of(context, global.as_ref(), &root)?;
        let mut members = vec![("home", or_null(home.as_ref(), id)), ("here", Value::from(here))];
        if records.iter().any(|(name, away)| *name == root && away.handover) {
            members.push(("handover", Value::from(true)));
        }
        Some((root, object(members)))
    };
    let known = |root: &Key| {
        let path = Path::from_checked(vec![root.clone()]);
        access.may_read_some(&path)
            || access.grant().is_some_and(|grant| grant.write.iter().any(|w| path.contains(w)))
    };
    by_name(context.hub.all_roots().into_iter().filter(known).filter_map(shown))
}

/// The home of a root, where it's known, and whether that is this server. `global` is a local's global server. `None`: no
/// server is.
pub(super) fn home_of(
    context: &Context,
    global: Option<&TegaId>,
    root: &Key,
) -> Option<(Option<TegaId>, bool)> {
    Some(match context.store.home(root).ok()? {
        Home::Here => (Some(context.hub.own_id().clone()), true),
        Home::Away(home) => (home.or_else(|| global.cloned()), false),
    })
}

/// Makes `home` the home of a root, with the state that this server has once it has all that the old home
/// acknowledged. What the old home commits before it hears of it is set aside there.
pub(super) fn put(
    context: &Context,
    root: Key,
    home: TegaId,
    force: bool,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let before = match check(context, &root, &home, force) {
        Ok(Some(before)) => before,
        Ok(None) => return done(Reply::empty(200)),
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    let link = before.as_ref().and_then(|home| context.hub.link(home));
    let after = context.clone();
    let name = root.clone();
    let proceed = move |outcome: Result<(), Refusal>| match outcome {
        Err(mut refusal) if !force => {
            if refusal.code == "no_link" {
                refusal.message.push_str(
                    ". --force (force=True) moves the root with the state that is here; what its home has \
                     committed since is set aside",
                );
            }
            done(Reply::refusal(&refusal));
        }
        _ => record(&after, name, home, before, done),
    };
    if let Some(legacy) = link.filter(|link| link.is_legacy()) {
        let id = legacy.tega_id();
        let message = format!(
            "{root} comes from {id}, an original local server (legacy), which can't tell whether it has sent everything"
        );
        return proceed(Err(Refusal::new("no_link", message).at(&Path::from_checked(vec![root]))));
    }
    context.hub.fresh(vec![root], proceed);
}

/// The home now; `None`: it's the wanted one already.
fn check(
    context: &Context,
    root: &Key,
    home: &TegaId,
    force: bool,
) -> Result<Option<Option<TegaId>>, Refusal> {
    let path = Path::from_checked(vec![root.clone()]);
    if let Some(global) = context.hub.global() {
        let message = format!("homes are the global server's to give; run it there, at {}", global.address);
        return Err(Refusal::new("forbidden", message));
    }
    let records = context.store.homes();
    let recorded = records.iter().find(|(name, _)| name == root).map(|(_, away)| away.home.clone());
    if recorded.is_none() && context.store.view().root(root).is_none() {
        return Err(Refusal::not_found(&path));
    }
    if recorded.as_ref().unwrap_or(context.hub.own_id()) == home {
        return Ok(None);
    }
    let known = home == context.hub.own_id() || context.hub.link_infos().iter().any(|l| l.tega_id == *home);
    if !known && !force {
        let message = format!(
            "{home} was never linked to this server; mind the spelling, or --force (force=True) where it's to come yet"
        );
        return Err(Refusal::bad(message).at(&path));
    }
    Ok(Some(recorded))
}

fn record(
    context: &Context,
    root: Key,
    home: TegaId,
    before: Option<TegaId>,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let hub = context.hub.clone();
    let away = (home != *hub.own_id()).then(|| Away { home: home.clone(), handover: true });
    context.store.set_homes(vec![(root.clone(), away)], move |outcome| match outcome {
        Ok(()) => {
            // Both begin anew, and are told then.
            for end in before.iter().chain([&home]) {
                if let Some(remote) = hub.link(end) {
                    remote.end(&format!("the home of {root} is {home} now"));
                }
            }
            done(Reply::empty(200));
        }
        Err(error) => done(Reply::refusal(&error.into())),
    });
}
