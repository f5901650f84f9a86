//! Looking around in a tree of any size: a page of a node's children, and a search.
//!
//! What is shown is cut as a GET would cut it. A page also says how a PUT at its node would be refused now: by asking
//! those who judge a real one, so that the two can't differ, and without making one.

use std::collections::HashMap;
use std::fmt::Write;

use super::homes::home_of;
use super::{Context, Reply, links};
use crate::api::allow;
use crate::api::error::Refusal;
use crate::api::route::{Method, Page, Route, Search};
use crate::commit::TegaId;
use crate::hub::{GlobalInfo, LinkInfo, LinkedRoot};
use crate::path::{Key, Path};
use crate::read::{Finding, Listing};
use crate::token::Access;
use crate::value::write_string;

/// `GET /_list`: a page of a node's children, and whether the node could be written.
///
/// A page has at most a thousand rows and goes through a few megabytes of values, which is less than what a GET may
/// write at once, so it's made here; but the rows of roots ask their links.
pub(super) fn list(
    context: &Context,
    access: &Access,
    path: Path,
    page: Page,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    let listing = match Listing::new(&context.store, access, path, page) {
        Ok(listing) => listing,
        Err(refusal) => return done(Reply::refusal(&refusal)),
    };
    let of_roots = listing.path().is_empty();
    let its = (context.clone(), access.clone());
    let write = move || {
        let (context, access) = its;
        let mut out = String::with_capacity(1_024);
        let mut stands = Stands::new(&context, access.is_admin());
        let rights = |out: &mut String| write_rights(&context, &access, listing.path(), out);
        listing.write(&mut out, rights, |root, out| stands.write(root, out));
        done(Reply::json(out).with("Cache-Control", "no-store"));
    };
    if of_roots { links::run(context, write) } else { write() }
}

/// `GET /_find`: a piece of a search. It may look at thousands of nodes, so it's never made where others wait.
pub(super) fn find(
    context: &Context,
    access: &Access,
    path: Path,
    search: Search,
    done: impl FnOnce(Reply) + Send + 'static,
) {
    match Finding::new(&context.store, access, path, search) {
        Err(refusal) => done(Reply::refusal(&refusal)),
        Ok(finding) => context.heavy.run(move || {
            let mut out = String::new();
            finding.write(&mut out);
            done(Reply::json(out).with("Cache-Control", "no-store"));
        }),
    }
}

/// Appends `,"writable":true`, or `,"writable":false,"refusal":{"code":…,"message":…,…}`.
fn write_rights(context: &Context, access: &Access, path: &Path, out: &mut String) {
    match may_put(context, access, path) {
        Ok(()) => out.push_str(",\"writable\":true"),
        Err(refusal) => {
            out.push_str(",\"writable\":false,\"refusal\":");
            refusal.write_inner(out);
        }
    }
}

/// What a PUT at this path would be refused with now, in the order in which it would be asked.
fn may_put(context: &Context, access: &Access, path: &Path) -> Result<(), Refusal> {
    Route::parse(Method::Put, &path.to_url(), "")?;
    allow::write(access, path)?;
    context.hub.may_put(path).map_err(|refusal| allow::told(access, refusal))
}

/// How each root here stands towards its home.
struct Stands<'a> {
    context: &'a Context,
    global: Option<GlobalInfo>,
    /// The links that were asked so far: many roots may have one home.
    links: HashMap<TegaId, Option<Asked>>,
    /// What is wrong with a link may name other roots that it carries.
    is_admin: bool,
}

/// A link, and what it carries.
struct Asked {
    link: LinkInfo,
    roots: HashMap<Key, LinkedRoot>,
}

impl<'a> Stands<'a> {
    fn new(context: &'a Context, is_admin: bool) -> Stands<'a> {
        Stands { context, global: context.hub.global(), links: HashMap::new(), is_admin }
    }

    /// Appends `,"home":TEGA_ID|null,"here":…,"stale_ms":N|null` and, where there's one, `,"problem":…`.
    fn write(&mut self, root: &Key, out: &mut String) {
        let global = self.global.as_ref().and_then(|global| global.tega_id.clone());
        let (home, here) = home_of(self.context, global.as_ref(), root).unwrap_or((None, false));
        let (stale_ms, problem) = self.stands(root, home.as_ref().filter(|_| !here), here);
        // Writing to a String can't fail.
        let _ = match home {
            Some(home) => write!(out, ",\"home\":\"{home}\",\"here\":{here}"),
            None => write!(out, ",\"home\":null,\"here\":{here}"),
        };
        let _ = match stale_ms {
            Some(ms) => write!(out, ",\"stale_ms\":{ms}"),
            None => write!(out, ",\"stale_ms\":null"),
        };
        if let Some(problem) = problem {
            out.push_str(",\"problem\":");
            let _ = write_string(&problem, out);
        }
    }

    /// For how long a replica may have been behind, and what is wrong with the link that keeps it in step.
    fn stands(&mut self, root: &Key, home: Option<&TegaId>, here: bool) -> (Option<u64>, Option<String>) {
        // A local has one link only, and what that refuses may be of a root of its own.
        let global = self.global.clone();
        let peer = global.as_ref().and_then(|global| global.tega_id.as_ref()).or(home);
        let hub = &self.context.hub;
        let ask = |peer: &TegaId| {
            let mut link = hub.link_info(peer)?;
            let roots = std::mem::take(&mut link.roots).into_iter().map(|root| (root.name.clone(), root));
            Some(Asked { roots: roots.collect(), link })
        };
        let asked =
            peer.and_then(|peer| self.links.entry(peer.clone()).or_insert_with(|| ask(peer)).as_ref());
        let link = asked.map(|asked| &asked.link);
        let carried = asked.and_then(|asked| asked.roots.get(root));
        let refused = carried.and_then(|carried| carried.refused.clone());
        if here {
            return (None, refused);
        }
        // What was known when the link ended is older by now.
        let since = link.filter(|link| !link.up).map_or(0, |link| link.since_s.saturating_mul(1_000));
        let stale_ms = carried.and_then(|carried| carried.stale_ms).map(|ms| ms.saturating_add(since));
        let of_link = || match (link, &global) {
            (Some(link), _) => link.problem.clone(),
            (None, Some(global)) => global.problem.clone(),
            (None, None) => Some("not linked since this server started".to_string()),
        };
        let of_link = || {
            let told = of_link()?;
            Some(if self.is_admin {
                told
            } else {
                "its link isn't in order; /_status tells an administrator why".into()
            })
        };
        (stale_ms, refused.or_else(of_link))
    }
}
