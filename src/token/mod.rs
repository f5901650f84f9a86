//! # Who may do what
//!
//! An [`Access`] says what somebody may read, write, call and listen to. The door finds it once for each request or
//! session; everything behind the door asks it and never looks at a secret.
//!
//! A token is a text of the form `tega_NAME_` and 64 hex digits, 256 random bits. Who has it may do what the line of
//! this name in the token file says ([`file`](mod@file)). [`Tokens`] are all of them in a running server, which reads the file
//! again at SIGHUP: who holds an access of a token that is gone or changed is told by [`Access::on_revoked`], and lets
//! go. An access of a line that stayed the same stays the same one, so those sessions go on.
//!
//! **How it fails.** On the safe side. A file that can't be read, that others could read or change, or that has a line
//! or a field that isn't understood is refused as a whole, with the line; a running server then keeps what it has. So
//! it does when the file is gone: only a server that never asked for tokens goes on without. An empty file lets nobody
//! in but those on the local socket.
//!
//! Secrets are never kept, logged, or repeated in an error: the file has a salted hash of each, and no type here
//! shows one.
//!
//! It isn't a user database: no passwords, groups or expiry. It doesn't know connections, addresses beyond those of
//! original servers, or how many wrong tokens somebody tried: that's the door's.

mod cidr;
pub mod file;
mod line;
mod pass;
mod secret;
#[cfg(test)]
mod tests;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use crate::commit::TegaId;
use crate::path::Path;
pub use cidr::Cidr;
pub use file::TokenError;
pub use line::{Line, grant_path, shown};
pub use pass::Alarm;
use pass::Pass;
pub use tokens::{Denied, Reloaded, Tokens};

/// What somebody may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    /// `None`: everything, for good.
    pass: Option<Arc<Pass>>,
    /// It allows nothing, but may be changed for that of an original server which comes from this address.
    pending: Option<Arc<(Tokens, IpAddr)>>,
}

/// What a token allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The token's name.
    pub name: String,
    /// Subtrees that may be read; the top (an empty path) is everything.
    pub read: Vec<Path>,
    /// Subtrees that may be written.
    pub write: Vec<Path>,
    /// Subtrees whose RPCs may be called.
    pub call: Vec<Path>,
    /// Subtrees of channels that may be published to and listened to.
    pub channels: Vec<Path>,
    /// Everything: the paths above don't matter.
    pub admin: bool,
    /// The only tega ID that its bearer may act under; `None`: any.
    pub tega_id: Option<TegaId>,
}

impl Access {
    /// Everything: the local socket, and a server without tokens.
    pub fn all() -> Access {
        Access { pass: None, pending: None }
    }

    /// What a token allows.
    pub fn of(grant: Arc<Grant>) -> Access {
        Access { pass: Some(Pass::new(Some(grant))), pending: None }
    }

    /// Everything, until tokens are asked for.
    pub(crate) fn open() -> Access {
        Access { pass: Some(Pass::new(None)), pending: None }
    }

    /// Nothing, for somebody without a token who may say that they are an original server.
    fn pending(tokens: Tokens, from: IpAddr) -> Access {
        let nothing = Grant { name: "(none)".into(), ..Grant::default() };
        Access { pending: Some(Arc::new((tokens, from))), ..Access::of(Arc::new(nothing)) }
    }

    /// Whether it's to be changed for another by [`Access::claim`], and allows nothing until then.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// What an original server of this tega ID may do, for an access that [`Access::is_pending`]; `None`: it isn't known.
    pub fn claim(&self, id: &TegaId) -> Option<Access> {
        let (tokens, from) = self.pending.as_deref()?;
        tokens.legacy(id, *from)
    }

    /// Ends it: those who still hold it are told.
    pub(crate) fn revoke(&self) {
        if let Some(pass) = &self.pass {
            pass.revoke();
        }
    }

    /// Whether its token is gone or says something else now.
    pub fn is_revoked(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.is_revoked())
    }

    /// Has this called once when its token is gone or changed: at once where it is already. It must be quick and not
    /// block. Nobody is told any more once the [`Alarm`] is dropped. `None`: that never happens.
    pub fn on_revoked(&self, tell: impl Fn() + Send + Sync + 'static) -> Option<Alarm> {
        self.pass.as_ref().map(|pass| pass.alarm(tell))
    }

    /// The token, where it isn't everything.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.pass.as_ref()?.grant.as_ref()
    }

    /// Whether everything is allowed.
    pub fn is_admin(&self) -> bool {
        self.grant().is_none_or(|grant| grant.admin)
    }

    /// Whether the whole subtree at the path may be read.
    pub fn may_read(&self, path: &Path) -> bool {
        self.covers(path, |grant| &grant.read)
    }

    /// Whether something at the path, above it or below it may be read.
    pub fn may_read_some(&self, path: &Path) -> bool {
        self.may_read(path)
            || self.grant().is_some_and(|grant| grant.read.iter().any(|may| path.contains(may)))
    }

    /// The subtrees that may be read; `None`: everything.
    pub fn readable(&self) -> Option<&[Path]> {
        let grant = self.grant().filter(|grant| !grant.admin)?;
        if grant.read.iter().any(Path::is_empty) { None } else { Some(&grant.read) }
    }

    /// Whether the whole subtree at the path may be written.
    pub fn may_write(&self, path: &Path) -> bool {
        self.covers(path, |grant| &grant.write)
    }

    /// Whether the RPC at the path may be called.
    pub fn may_call(&self, path: &Path) -> bool {
        self.covers(path, |grant| &grant.call)
    }

    /// Whether messages on this channel may be published and listened to.
    pub fn may_message(&self, channel: &Path) -> bool {
        self.covers(channel, |grant| &grant.channels)
    }

    /// Whether its bearer may act under this tega ID.
    pub fn may_act_as(&self, tega_id: &TegaId) -> bool {
        self.grant().and_then(|grant| grant.tega_id.as_ref()).is_none_or(|own| own == tega_id)
    }

    fn covers(&self, path: &Path, paths: impl Fn(&Grant) -> &Vec<Path>) -> bool {
        match self.grant() {
            None => true,
            Some(grant) => grant.admin || paths(grant).iter().any(|may| may.contains(path)),
        }
    }
}
