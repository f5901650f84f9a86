//! The life of a token's grant: whoever holds it can be told that it's over.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Grant;

type Tell = dyn Fn() + Send + Sync;

/// A grant while it holds.
pub(super) struct Pass {
    /// `None`: everything.
    pub(super) grant: Option<Arc<Grant>>,
    revoked: AtomicBool,
    /// Those to be told. The ones that are gone are swept out when the list would grow.
    alarms: Mutex<Vec<Weak<Tell>>>,
}

/// Somebody who is to be told; dropped, they aren't any more.
pub struct Alarm(Arc<Tell>);

impl Pass {
    pub(super) fn new(grant: Option<Arc<Grant>>) -> Arc<Pass> {
        Arc::new(Pass { grant, revoked: AtomicBool::new(false), alarms: Mutex::default() })
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    fn alarms(&self) -> MutexGuard<'_, Vec<Weak<Tell>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        let alarms = std::mem::take(&mut *self.alarms());
        for tell in alarms.iter().filter_map(Weak::upgrade) {
            tell();
        }
    }

    pub(super) fn alarm(&self, tell: impl Fn() + Send + Sync + 'static) -> Alarm {
        let alarm: Arc<Tell> = Arc::new(tell);
        let mut alarms = self.alarms();
        if alarms.len() == alarms.capacity() {
            alarms.retain(|tell| tell.strong_count() > 0);
            // Room for as many again, so that sweeping costs little however many come and go.
            let room = alarms.len().max(4);
            alarms.reserve_exact(room);
        }
        alarms.push(Arc::downgrade(&alarm));
        drop(alarms);
        // Looked at after it was put into the list: one of the two sees the other.
        if self.is_revoked() {
            alarm();
        }
        Alarm(alarm)
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").field(&Arc::as_ptr(&self.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn whoever_still_listens_is_told_once() {
        let pass = Pass::new(None);
        let told = Arc::new(AtomicUsize::new(0));
        let tell = |weight: usize| {
            let told = told.clone();
            pass.alarm(move || {
                told.fetch_add(weight, Ordering::SeqCst);
            })
        };
        let kept = tell(1);
        drop(tell(10));
        pass.revoke();
        pass.revoke();
        assert_eq!(told.load(Ordering::SeqCst), 1);
        let _late = tell(100);
        assert_eq!(told.load(Ordering::SeqCst), 101);
        drop(kept);
    }

    #[test]
    fn those_who_left_take_no_memory() {
        let pass = Pass::new(None);
        let _kept: Vec<Alarm> = (0..10).map(|_| pass.alarm(|| ())).collect();
        (0..10_000).for_each(|_| drop(pass.alarm(|| ())));
        assert!(pass.alarms().capacity() <= 64);
    }
}
