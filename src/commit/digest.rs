//! A root's digest: a hash chained over the records of its commits, by which two servers see that they have the same
//! history.
//!
//! It is FNV-1a over the text of each record, projected to the root alone and without the request. It finds accidents,
//! such as a home that was set back to a backup. It is no protection from somebody who forges records.

use std::fmt::{self, Write};

use super::{Commit, Edit, Record};

/// A digest that is being made: what is written to it is chained to what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u64);

impl Default for Digest {
    /// Before a root's first commit.
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// With these bytes after it.
    pub fn chain(self, bytes: &[u8]) -> Digest {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        Digest(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)))
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        *self = self.chain(text.as_bytes());
        Ok(())
    }
}

impl Commit {
    /// The digest that this commit gives to a root which it touches.
    pub fn digest(&self, root: &str, before: Digest) -> Digest {
        let mut digest = before;
        // A hash can't refuse what is written to it.
        let _ = self.write_root(root, &mut digest);
        digest
    }

    fn write_root(&self, root: &str, out: &mut Digest) -> fmt::Result {
        let alone = self.roots.iter().position(|touched| touched.root == root);
        let touched = alone.map_or(&[][..], |at| std::slice::from_ref(&self.roots[at]));
        let mut record = Record::begin(out, self.position, self.time_ms, self.by.as_ref(), touched)?;
        for edit in &self.edits {
            match edit {
                Edit::Put(path, value) if is_in(path, root) => value.write(record.put(path)?)?,
                Edit::Delete(path) if is_in(path, root) => record.delete(path)?,
                _ => {}
            }
        }
        record.end(None)
    }
}

fn is_in(path: &crate::path::Path, root: &str) -> bool {
    path.root().is_some_and(|name| name == root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_fnv_1a() {
        assert_eq!(Digest::default().chain(b""), Digest(0xcbf2_9ce4_8422_2325));
        assert_eq!(Digest::default().chain(b"a"), Digest(0xaf63_dc4c_8601_ec8c));
        assert_eq!(Digest::default().chain(b"foobar"), Digest(0x8594_4171_f739_67e8));
    }

    #[test]
    fn what_a_commit_does_to_other_roots_and_its_request_dont_count() {
        let of = |text: &str| Commit::decode(text).unwrap().digest("a", Digest::default());
        let alone = r#"{"position":3,"time":1,"roots":{"a":1},"ops":[{"put":"a.x","value":1}]}"#;
        let both = concat!(
            r#"{"position":3,"time":1,"roots":{"a":1,"b":0},"new":{"b":"0000000000000007"},"#,
            r#""ops":[{"put":"b","value":{}},{"put":"a.x","value":1}],"request":["r",1]}"#
        );
        assert_eq!(of(alone), Digest::default().chain(alone.as_bytes()));
        assert_eq!(of(both), of(alone));
        assert_ne!(of(&both.replace("\"value\":1", "\"value\":2")), of(alone));
    }
}
