//! What each call needs of who asks, and what a refusal may tell.
//!
//! The question comes before anything is looked up: whoever may not read a path learns the same whether it's there or
//! not. What may be read in part is cut where it's read (`read`); here it's only let through.

use super::error::Refusal;
use super::route::Route;
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::store::{Channel, Op, Transaction};
use crate::token::Access;

/// How much of a subtree may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of it.
    Whole,
    /// Something below its top, perhaps: what there is is to be cut to [`Access::readable`].
    Part,
}

fn name(access: &Access) -> &str {
    access.grant().map_or("", |grant| grant.name.as_str())
}

fn forbidden(access: &Access, what: &str, path: &Path) -> Refusal {
    let (name, what) = (name(access), if what.is_empty() { String::new() } else { format!(" {what}") });
    if path.is_empty() {
        return Refusal::new("forbidden", format!("token {name:?} may not{what} anything"));
    }
    Refusal::new("forbidden", format!("token {name:?} may not{what} {path}")).at(path)
}

/// How much of a subtree may be read; refused where nothing may, whether it's there or not.
pub fn read(access: &Access, path: &Path) -> Result<Reach, Refusal> {
    if access.may_read(path) || access.readable().is_none() {
        Ok(Reach::Whole)
    } else if access.may_read_some(path) {
        Ok(Reach::Part)
    } else {
        Err(forbidden(access, "read", path))
    }
}

/// Whether everything at this path and below may be written.
pub fn write(access: &Access, path: &Path) -> Result<(), Refusal> {
    if access.may_write(path) { Ok(()) } else { Err(forbidden(access, "write", path)) }
}

/// Whether the RPC at this path may be called.
pub fn call(access: &Access, path: &Path) -> Result<(), Refusal> {
    if access.may_call(path) { Ok(()) } else { Err(forbidden(access, "call", path)) }
}

/// Whether messages may be published on this channel.
pub fn publish(access: &Access, channel: &Path) -> Result<(), Refusal> {
    if access.may_message(channel) { Ok(()) } else { Err(forbidden(access, "publish on", channel)) }
}

/// Whether this channel may be listened to. It serves changes and messages alike, so either is enough; each kind is
/// given only to who may have it. A regex is let through where there's anything that may be heard at all.
pub fn listen(access: &Access, channel: &Channel) -> Result<(), Refusal> {
    let (path, may) = match channel {
        Channel::Path(path) => (path, access.may_read_some(path) || access.may_message(path)),
        Channel::Regex { .. } => {
            let hears = |grant: &crate::token::Grant| !grant.read.is_empty() || !grant.channels.is_empty();
            (&Path::TOP, access.is_admin() || access.grant().is_none_or(|grant| hears(grant)))
        }
    };
    if may { Ok(()) } else { Err(forbidden(access, "listen to", path)) }
}

/// Whether what concerns the whole server may be done.
pub fn admin(access: &Access, what: &str) -> Result<(), Refusal> {
    if access.is_admin() {
        return Ok(());
    }
    Err(Refusal::new("forbidden", format!("token {:?} may not {what}; that needs --admin", name(access))))
}

/// Whether these may be done, all of them.
pub fn ops(access: &Access, ops: &[Op]) -> Result<(), Refusal> {
    ops.iter().try_for_each(|op| match op {
        Op::Put { path, .. } | Op::Delete { path, .. } => write(access, path),
        // Whatever stands anywhere in it may change.
        Op::Rollback { root, .. } => write(access, &root_path(root)),
    })
}

/// Whether a transaction is one that this reader could have made: who may not do all of it may not see what would come of
/// it, drop it or commit it.
pub fn transaction(access: &Access, transaction: &Transaction) -> Result<(), Refusal> {
    act_as(access, transaction.by.as_ref())?;
    ops(access, &transaction.ops)
}

/// Whether somebody may act under this tega ID. Nobody's ID is free to all.
pub fn act_as(access: &Access, tega_id: Option<&TegaId>) -> Result<(), Refusal> {
    match tega_id.filter(|id| !access.may_act_as(id)) {
        None => Ok(()),
        Some(id) => {
            let message = format!("token {:?} may not act as {id}", name(access));
            Err(Refusal::new("forbidden", message))
        }
    }
}

/// Whom a request without a tega ID is from: the only one that its token may act under, where it has one.
fn named(access: &Access, by: &mut Option<TegaId>) -> Result<(), Refusal> {
    act_as(access, by.as_ref())?;
    if by.is_none() && !access.is_admin() {
        *by = access.grant().and_then(|grant| grant.tega_id.clone());
    }
    Ok(())
}

fn root_path(root: &Key) -> Path {
    Path::from_checked(vec![root.clone()])
}

/// Whether anything at all may be written.
fn writer(access: &Access) -> Result<(), Refusal> {
    let writes = access.is_admin() || access.grant().is_none_or(|grant| !grant.write.is_empty());
    if writes { Ok(()) } else { Err(forbidden(access, "write", &Path::TOP)) }
}

/// Whether this call may be made, and who is shown to make it. What hangs on more than the target (whether a PUT is a
/// call, what a transaction holds) is asked again where it's known.
pub fn route(access: &Access, route: &mut Route) -> Result<(), Refusal> {
    match route {
        Route::Get { path, .. } | Route::List { path, .. } | Route::Find { path, .. } => {
            read(access, path).map(drop)
        }
        Route::Select { .. } | Route::Roots | Route::Old => read(access, &Path::TOP).map(drop),
        Route::History { root } | Route::Diff { root, .. } => read(access, &root_path(root)).map(drop),
        Route::Edges { root, .. } => read(access, &root.as_ref().map_or(Path::TOP, root_path)).map(drop),
        Route::Put { path, write: how, .. } => {
            named(access, &mut how.by)?;
            if access.may_call(path) { Ok(()) } else { write(access, path) }
        }
        Route::Delete { path, write: how } => {
            named(access, &mut how.by)?;
            write(access, path)
        }
        Route::Begin { by } => {
            named(access, by)?;
            writer(access)
        }
        Route::Candidate { .. } | Route::Cancel { .. } | Route::Commit { .. } => writer(access),
        Route::Rollback { by, root, .. } => {
            named(access, by)?;
            write(access, &root_path(root))
        }
        Route::Rpc { by, path } => {
            named(access, by)?;
            call(access, path)
        }
        Route::Clear { by } => {
            named(access, by)?;
            admin(access, "clear the store")
        }
        Route::Home { .. } => admin(access, "move a root to another home"),
        Route::Uci { .. } => admin(access, "see the router's own files"),
        Route::UciDo { by, .. } => {
            named(access, by)?;
            admin(access, "act on the router's own files")
        }
        Route::Metrics => admin(access, "see the metrics"),
        Route::Snapshot { .. } => admin(access, "compact the log"),
        Route::Sync => admin(access, "sync with the global"),
        Route::Reload => admin(access, "reload"),
        Route::Sessions | Route::Forwarders => admin(access, "see who is connected from where"),
        Route::Plugins => admin(access, "see the plugins"),
        // Cut to what may be read, heard or acted as; the least of it is the same for everybody.
        Route::Ids | Route::Channels | Route::Subscribers | Route::Global | Route::Status | Route::Homes => {
            Ok(())
        }
        // Each of its frames is asked about.
        Route::PubSub | Route::Link => Ok(()),
    }
}

/// A refusal as its reader may see it: the version of a node is told only to who may read of it, and which roots there
/// are only to an admin.
pub fn told(access: &Access, refusal: Refusal) -> Refusal {
    let hidden = |path: &Path| !access.may_read_some(path);
    match &refusal.path {
        Some(path) if refusal.code == "no_home" && !access.is_admin() => {
            let message = format!("no server is home of {path}; mind the spelling, or have it declared");
            Refusal { message, ..refusal }
        }
        Some(path) if refusal.actual.is_some() && hidden(path) => {
            let message = format!("{path} isn't as expected");
            Refusal { message, actual: None, ..refusal }
        }
        _ => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Error;
    use crate::token::Grant;

    fn path(text: &str) -> Path {
        if text.is_empty() { Path::TOP } else { Path::parse(text).unwrap() }
    }

    fn access(read: &[&str], write: &[&str]) -> Access {
        let paths = |texts: &[&str]| texts.iter().map(|text| path(text)).collect();
        Access::of(
            Grant { name: "t".into(), read: paths(read), write: paths(write), ..Grant::default() }.into(),
        )
    }

    #[test]
    fn a_refusal_names_the_path_and_the_token() {
        let refused = read(&access(&["a"], &[]), &path("b.c")).unwrap_err();
        assert_eq!(
            refused.to_json(),
            r#"{"error":{"code":"forbidden","message":"token \"t\" may not read b.c","path":"b.c"}}"#
        );
        let refused = read(&access(&[], &[]), &Path::TOP).unwrap_err();
        assert_eq!(
            refused.to_json(),
            r#"{"error":{"code":"forbidden","message":"token \"t\" may not read anything"}}"#
        );
    }

    #[test]
    fn a_subtree_is_read_whole_in_part_or_not_at_all() {
        let access = access(&["a.b"], &[]);
        for (at, reach) in [
            ("", Some(Reach::Part)),
            ("a", Some(Reach::Part)),
            ("a.b", Some(Reach::Whole)),
            ("a.b.c", Some(Reach::Whole)),
            ("a.bc", None),
            ("c", None),
        ] {
            assert_eq!(read(&access, &path(at)).ok(), reach, "{at}");
        }
        assert_eq!(read(&Access::all(), &Path::TOP), Ok(Reach::Whole));
    }

    #[test]
    fn a_conflict_tells_the_version_only_to_who_may_read_the_node() {
        let conflict = || Refusal {
            actual: Some(7),
            expected: Some(3),
            ..Refusal::new("conflict", "a.b is at version 7, not 3").at(&path("a.b"))
        };
        assert_eq!(told(&access(&["a"], &["a"]), conflict()), conflict());
        let hidden = told(&access(&["c"], &["a"]), conflict());
        assert_eq!((hidden.code, hidden.actual, hidden.expected), ("conflict", None, Some(3)));
        assert!(!hidden.to_json().contains('7'));
    }

    #[test]
    fn the_roots_that_there_are_are_told_to_an_admin_only() {
        let error = || Error::NoHome { root: "typo".into(), known: vec!["hidden".into()] };
        assert!(told(&Access::all(), error().into()).message.contains("hidden"));
        let refusal = told(&access(&[], &["typo"]), error().into());
        assert_eq!((refusal.code, refusal.message.contains("hidden")), ("no_home", false));
    }

    #[test]
    fn a_call_without_a_tega_id_is_from_the_only_one_that_its_token_may_act_under() {
        let id = |text: &str| TegaId::new(text).unwrap();
        let grant = Grant { write: vec![path("a")], tega_id: Some(id("r1")), ..Grant::default() };
        let access = Access::of(grant.into());
        for (by, shown) in
            [(None, Some(Some(id("r1")))), (Some(id("r1")), Some(Some(id("r1")))), (Some(id("r2")), None)]
        {
            let mut begin = Route::Begin { by };
            let shown = shown.map(|by| Route::Begin { by });
            assert_eq!(route(&access, &mut begin).ok().map(|()| begin), shown);
        }
        let mut begin = Route::Begin { by: None };
        route(&Access::all(), &mut begin).unwrap();
        assert_eq!(begin, Route::Begin { by: None });
    }
}
