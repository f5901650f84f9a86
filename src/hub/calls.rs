//! Calls: where the owner of a function is, here or behind which link.

use std::sync::Arc;
use std::time::Duration;

use super::{Hub, Remote, RpcError, owner_of};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::path::Path;
use crate::store::Home;
use crate::tree::Kind;
use crate::value::Value;

/// Whose call it is.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The link that it came over.
    pub origin: Option<&'a TegaId>,
    /// Who calls; `None`: this server.
    pub tega_id: Option<&'a TegaId>,
    /// How long the caller waits; the hub's own limit is kept anyway.
    pub time: Option<Duration>,
}

/// Where a call goes.
enum Callee {
    /// To the newest session of this owner, here.
    Here(TegaId),
    There(Arc<dyn Remote>),
}

/// Calls.
impl Hub {
    /// Calls the RPC leaf at `path`; `arguments` is `{"args":[…],"kwargs":{…}}`. `done` is called once, from any thread:
    /// with the result, or with the reason why there's none, at the latest when the time limit is over.
    pub fn call(
        &self,
        caller: Option<&TegaId>,
        path: &Path,
        arguments: &Value,
        done: impl FnOnce(Result<Value, RpcError>) + Send + 'static,
    ) {
        self.call_by(Caller { origin: None, tega_id: caller, time: None }, path, arguments, done);
    }

    /// As [`Hub::call`], for a call that came over a link and never goes back there.
    pub fn call_by(
        &self,
        from: Caller<'_>,
        path: &Path,
        arguments: &Value,
        done: impl FnOnce(Result<Value, RpcError>) + Send + 'static,
    ) {
        let limit = self.shared.call_time;
        let time = from.time.map_or(limit, |time| time.min(limit));
        match self.callee(from.origin, path) {
            Ok(Callee::Here(owner)) => {
                self.call_owner(&owner, from.tega_id, path, arguments, time, Box::new(done));
            }
            Ok(Callee::There(remote)) => {
                let caller = from.tega_id.unwrap_or(self.own_id());
                let done = move |outcome: Result<Value, Refusal>| {
                    done(outcome.map_err(|refusal| RpcError::Remote(Box::new(refusal))));
                };
                remote.call(caller, path, arguments, time, Box::new(done));
            }
            Err(error) => done(Err(error)),
        }
    }

    fn callee(&self, origin: Option<&TegaId>, path: &Path) -> Result<Callee, RpcError> {
        let not_rpc = || RpcError::NotRpc { path: path.clone() };
        let Some(root) = path.root() else { return Err(not_rpc()) };
        let leaf = {
            let view = self.shared.store.view();
            match view.node(path).map(|node| (node.kind, node.stamp)) {
                Some((Kind::Leaf(Value::Text(text)), stamp)) => Some((owner_of(text), stamp.is_ephemeral())),
                Some(_) => Some((None, false)),
                None => None,
            }
        };
        // Not asked within the `match` below, which would hold the lock to its end.
        let is_local = self.links().is_local();
        let home = self.shared.store.home(root);
        let away = match &home {
            Ok(Home::Away(home)) => Some(home.clone()),
            _ => None,
        };
        let is_ours = matches!(home, Ok(Home::Here)) && self.shared.store.view().root(root).is_some();
        let (owner, ephemeral) = match leaf {
            Some((Some(owner), ephemeral)) => (Some(owner), ephemeral),
            Some((None, _)) => return Err(not_rpc()),
            // What isn't seen here may be beyond, but not in a root that this server is the home of.
            None if is_local && origin.is_none() && !is_ours => (None, false),
            None => return Err(not_rpc()),
        };
        let behind =
            if ephemeral { self.link_owning(path, away.as_ref().and_then(Option::as_ref)) } else { None };
        if let (Some(owner), None) = (&owner, &behind)
            && self.newest(owner).is_some()
        {
            return Ok(Callee::Here(owner.clone()));
        }
        let behind = behind.or_else(|| {
            let owner = owner.as_ref().filter(|_| !is_local)?;
            self.link_serving(owner, path, origin)
        });
        let no_owner = || match &owner {
            Some(owner) => RpcError::NoOwner { path: path.clone(), owner: owner.to_string() },
            None => not_rpc(),
        };
        let remote = match (behind, is_local) {
            (Some(remote), _) => remote,
            (None, true) if origin.is_some() => return Err(no_owner()),
            (None, true) => {
                self.link_to(root, None).map_err(|refusal| RpcError::Remote(Box::new(refusal)))?
            }
            (None, false) => match away {
                Some(home) => self
                    .link_to(root, home.as_ref())
                    .map_err(|refusal| RpcError::Remote(Box::new(refusal)))?,
                None => return Err(no_owner()),
            },
        };
        if Some(remote.tega_id()) == origin { Err(no_owner()) } else { Ok(Callee::There(remote)) }
    }

    /// A link behind which the owner of a leaf is connected that belongs to no session.
    fn link_serving(&self, owner: &TegaId, path: &Path, origin: Option<&TegaId>) -> Option<Arc<dyn Remote>> {
        let root = path.root()?;
        let mut found = self.links().reaching(owner, root, None)?;
        // One after the other, since no link is asked anything while the registry is locked. One is the rule.
        while Some(found.tega_id()) == origin || !found.serves(owner, path) {
            found = self.links().reaching(owner, root, Some(found.tega_id()))?;
        }
        Some(found)
    }

    /// The link behind which the session lives that put the ephemeral node at or above a path. The one to the root's
    /// home is asked first.
    fn link_owning(&self, path: &Path, home: Option<&TegaId>) -> Option<Arc<dyn Remote>> {
        let lease = (1..=path.len()).rev().find_map(|len| {
            let above = path.prefix(len);
            self.shared.store.ephemeral(&above).into_iter().find(|lease| lease.path == above)
        })?;
        let first = home.and_then(|home| self.link(home)).filter(|remote| remote.owns(lease.session));
        first.or_else(|| {
            let live = self.links().live();
            live.into_iter().find(|remote| remote.owns(lease.session))
        })
    }
}
