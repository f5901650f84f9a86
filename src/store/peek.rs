//! What somebody who looks at a node wants to know beside it: whose it is, and whether it could be written now.

use super::committer::refusal;
use super::feed::is_memory;
use super::homes::check_homes;
use super::shared::locked;
use super::transaction::Op;
use super::{Error, Store};
use crate::commit::TegaId;
use crate::path::Path;
use crate::value::Value;

impl Store {
    /// Whose ephemeral node stands at or above a path; `None`: nobody's.
    pub fn owner(&self, path: &Path) -> Option<TegaId> {
        self.shared().overlay().owner(path).cloned()
    }

    /// How a put at a path would be refused now, unless for its value or for what it expects. Nothing changes.
    pub fn may_put(&self, path: &Path) -> Result<(), Error> {
        let shared = self.shared();
        let root = path.check_root()?;
        shared.takes(&shared.queue(), 0)?;
        let op = Op::Put { path: path.clone(), value: Value::Null, expect: None, ephemeral: false };
        let role = &shared.options.role;
        check_homes(&shared.published(), role, std::slice::from_ref(&op), None, |_| false)?;
        shared.overlay().check_above(path)?;
        if is_memory(shared, root) {
            return Ok(());
        }
        let health = locked(&shared.report).0.clone();
        refusal(&health).map_or(Ok(()), Err)
    }
}
