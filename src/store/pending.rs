//! Interactive transactions: begun, filled and committed by separate calls. They hold operations only, so an abandoned
//! one costs memory and nothing else, and it expires.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Error;
use super::transaction::{MAX_OPS, Op, Transaction};
use crate::commit::{Incarnation, TegaId};

/// How many may be open at once.
pub const MAX_TRANSACTIONS: usize = 1_000;

/// How long one lasts without use.
pub const TRANSACTION_LIFE: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Open {
    transaction: Transaction,
    weight: usize,
    used: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    open: HashMap<String, Open>,
    weight: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Drops what wasn't used for [`TRANSACTION_LIFE`].
    fn expire(&mut self, now: Instant) {
        self.open.retain(|_, open| now.saturating_duration_since(open.used) < TRANSACTION_LIFE);
        self.weight = self.open.values().map(|open| open.weight).sum();
    }

    pub(super) fn begin(&mut self, by: Option<TegaId>, now: Instant) -> Result<String, Error> {
        self.expire(now);
        if self.open.len() >= MAX_TRANSACTIONS {
            let message = format!("{MAX_TRANSACTIONS} transactions are open; commit or cancel some");
            return Err(Error::TooLarge { path: None, message });
        }
        let txid = uuid();
        let open = Open { transaction: Transaction::new(by), weight: 0, used: now };
        self.open.insert(txid.clone(), open);
        Ok(txid)
    }

    pub(super) fn queue(&mut self, txid: &str, op: Op, limit: usize, now: Instant) -> Result<(), Error> {
        self.expire(now);
        let unknown = || Error::NoTransaction { txid: shorten(txid) };
        let open = self.open.get_mut(txid).ok_or_else(unknown)?;
        open.used = now;
        if open.transaction.ops.len() == MAX_OPS {
            let message = format!("the transaction has {MAX_OPS} operations, which is the most; commit it");
            return Err(Error::TooLarge { path: None, message });
        }
        let single = Transaction { ops: vec![op], ..Transaction::default() };
        let weight = single.weight();
        if self.weight + weight > limit {
            let message =
                format!("open transactions hold {limit} bytes, which is the most; commit or cancel some");
            return Err(Error::TooLarge { path: None, message });
        }
        self.weight += weight;
        open.weight += weight;
        open.transaction.ops.extend(single.ops);
        Ok(())
    }

    pub(super) fn get(&mut self, txid: &str, now: Instant) -> Result<Transaction, Error> {
        self.expire(now);
        let open = self.open.get_mut(txid).ok_or_else(|| Error::NoTransaction { txid: shorten(txid) })?;
        open.used = now;
        Ok(open.transaction.clone())
    }

    pub(super) fn take(&mut self, txid: &str, now: Instant) -> Result<Transaction, Error> {
        self.expire(now);
        let open = self.open.remove(txid).ok_or_else(|| Error::NoTransaction { txid: shorten(txid) })?;
        self.weight -= open.weight;
        Ok(open.transaction)
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let (high, low) = (Incarnation::draw().0, Incarnation::draw().0);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;

    fn delete(path: &str) -> Op {
        Op::Delete { path: Path::parse(path).unwrap(), expect: None }
    }

    #[test]
    fn a_transaction_expires_when_it_was_not_used_for_ten_minutes() {
        let mut pending = Pending::default();
        let start = Instant::now();
        let txid = pending.begin(None, start).unwrap();
        let used = start + TRANSACTION_LIFE - Duration::from_secs(1);
        pending.queue(&txid, delete("a.b"), 1000, used).unwrap();
        assert_eq!(pending.get(&txid, start + TRANSACTION_LIFE).unwrap().ops.len(), 1);
        let late = start + TRANSACTION_LIFE * 2;
        assert_eq!(pending.take(&txid, late).unwrap_err(), Error::NoTransaction { txid });
        assert_eq!((pending.len(), pending.weight), (0, 0));
    }

    #[test]
    fn open_transactions_are_bounded_in_number_and_weight() {
        let mut pending = Pending::default();
        let now = Instant::now();
        let first = pending.begin(None, now).unwrap();
        for _ in 1..MAX_TRANSACTIONS {
            pending.begin(None, now).unwrap();
        }
        assert!(matches!(pending.begin(None, now), Err(Error::TooLarge { .. })));
        assert!(matches!(pending.queue(&first, delete("a.b"), 10, now), Err(Error::TooLarge { .. })));
        pending.take(&first, now).unwrap();
        assert!(pending.begin(None, now).is_ok());
        assert!(matches!(pending.take(&first, now), Err(Error::NoTransaction { .. })));
    }

    #[test]
    fn a_transaction_id_is_a_random_uuid() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        let parts: Vec<usize> = a.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(a.as_bytes()[14] == b'4' && b"89ab".contains(&a.as_bytes()[19]), "{a}");
    }
}
