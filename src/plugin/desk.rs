//! Where calls come in and plugins are known: what the plugins' thread and everybody else share.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::manifest::Manifest;
use super::run::input;
use super::schedule::{Effect, Input, Name, Schedule, Why};
use crate::api::error::Refusal;
use crate::commit::TegaId;
use crate::hub::{Asked, Hub, Resident};
use crate::path::{Key, Path};
use crate::store::{Ephemeral, Expect, Op, Receipt, SessionId, Store, Transaction};
use crate::system::boot_ms;
use crate::value::Value;

/// The most bytes of arguments that wait, of all calls.
pub const MAX_WAITING: usize = 4 << 20;

/// What is called when a reload is done.
pub(super) type Reloaded = Box<dyn FnOnce() + Send>;

pub(super) struct Desk {
    pub(super) hub: Hub,
    pub(super) store: Store,
    inner: Mutex<Inner>,
    pub(super) bell: Bell,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) schedule: Schedule,
    /// What the schedule wants and the thread hasn't done yet.
    pub(super) effects: Vec<Effect>,
    calls: BTreeMap<u32, Pending>,
    last_call: u32,
    /// Bytes of arguments in `calls`.
    waiting: usize,
    pub(super) loaded: BTreeMap<Name, Arc<Loaded>>,
    /// Files and directories that aren't used, and why.
    pub(super) refused: Vec<(Arc<str>, String)>,
    /// Leaves that are being put or taken back.
    pub(super) writes: usize,
    /// Who waits for the next reload.
    pub(super) reloads: Vec<Reloaded>,
    pub(super) reload: bool,
    pub(super) stop: bool,
}

/// A plugin that listed itself.
pub(super) struct Loaded {
    pub(super) file: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) seat: Arc<Seat>,
}

/// A call that waits for its turn.
pub(super) struct Pending {
    pub(super) seq: u32,
    pub(super) seat: Arc<Seat>,
    pub(super) method: Key,
    pub(super) path: Path,
    pub(super) caller: Option<TegaId>,
    pub(super) input: Vec<u8>,
}

/// A plugin's session in the hub, which owns its leaves. It ends with the last run that answers by it.
pub(super) struct Seat {
    hub: Hub,
    pub(super) session: SessionId,
    pub(super) tega_id: TegaId,
    /// Its leaves were put, or it's known why not.
    pub(super) is_published: AtomicBool,
    /// Why its leaves aren't there.
    pub(super) problem: Mutex<Option<String>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.leave(self.session);
    }
}

/// Who takes the calls of one plugin.
struct Clerk {
    name: Name,
    /// The desk holds the seat, and the hub the clerk: no circle.
    desk: Weak<Desk>,
}

impl Resident for Clerk {
    fn call(&self, session: SessionId, call: Asked<'_>) -> Result<(), Refusal> {
        match self.desk.upgrade() {
            Some(desk) => desk.call(&self.name, session, call),
            None => Err(stopping()),
        }
    }
}

pub(super) fn stopping() -> Refusal {
    Refusal::new("closing", "the server stops; nothing happened")
}

/// Why a call of this plugin isn't run, for its caller.
pub(super) fn refusal(name: &str, why: Why) -> Refusal {
    match why {
        Why::Busy => {
            Refusal::new("too_many", format!("the plugin {name} is busy; nothing happened, try again"))
        }
        Why::Gone => {
            Refusal::new("no_owner", format!("the plugin {name} isn't there any more; nothing happened"))
        }
        Why::Late => Refusal::new(
            "too_many",
            format!("the plugin {name} was busy for all the time that the call had; nothing happened"),
        ),
        Why::Stopping => stopping(),
    }
}

impl Desk {
    pub(super) fn new(store: Store, hub: Hub) -> std::io::Result<Desk> {
        Ok(Desk { hub, store, inner: Mutex::default(), bell: Bell::new()? })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock panics, nor does it call anybody's code.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a plugin.
    pub(super) fn seat(self: &Arc<Desk>, name: &Name) -> Result<Arc<Seat>, String> {
        let tega_id = TegaId::new(name).map_err(|error| error.to_string())?;
        let clerk = Clerk { name: name.clone(), desk: Arc::downgrade(self) };
        let session = self.hub.join_resident(tega_id.clone(), Arc::new(clerk));
        let session = session.map_err(|refusal| refusal.message)?;
        Ok(Arc::new(Seat {
            hub: self.hub.clone(),
            session,
            tega_id,
            is_published: AtomicBool::new(false),
            problem: Mutex::default(),
        }))
    }

    pub(super) fn call(&self, name: &Name, session: SessionId, call: Asked<'_>) -> Result<(), Refusal> {
        let input = input(call.arguments).map_err(|refusal| refusal.at(call.path))?;
        let mut inner = self.lock();
        let inner = &mut *inner;
        // The number is of the session that the call was sent to: a plugin that was gone and is here again has another,
        // under which nobody would get the answer.
        let loaded = inner.loaded.get(name).filter(|loaded| loaded.seat.session == session);
        let loaded = loaded.ok_or_else(|| refusal(name, Why::Gone).at(call.path))?;
        // Only its own leaves: another leaf with this owner must not open what this path is guarded by.
        let method = call.path.name().filter(|_| call.path.parent().as_ref() == Some(&loaded.manifest.path));
        let method = method.filter(|name| loaded.manifest.methods.iter().any(|(method, _)| method == *name));
        let method = method.cloned().ok_or_else(|| {
            let message = format!("the plugin {name} serves nothing at {}", call.path);
            Refusal::new("not_found", message).at(call.path)
        })?;
        if inner.waiting > 0 && inner.waiting.saturating_add(input.len()) > MAX_WAITING {
            return Err(refusal(name, Why::Busy).at(call.path));
        }
        inner.last_call = inner.last_call.wrapping_add(1);
        let number = inner.last_call;
        inner.waiting += input.len();
        let pending = Pending {
            seq: call.seq,
            seat: loaded.seat.clone(),
            method,
            path: call.path.clone(),
            caller: call.caller.cloned(),
            input,
        };
        inner.calls.insert(number, pending);
        let now = boot_ms();
        let deadline = now.saturating_add(u64::try_from(call.time.as_millis()).unwrap_or(u64::MAX));
        let asked = Input::Call { name: name.clone(), call: number, deadline };
        inner.schedule.take(asked, now, &mut inner.effects);
        let is_refused = |effect: &Effect| matches!(effect, Effect::Refuse(of, _) if *of == number);
        if let Some(at) = inner.effects.iter().position(is_refused)
            && let Effect::Refuse(_, why) = inner.effects.remove(at)
        {
            // The seat is held by `loaded` too, so that nobody leaves under the lock.
            inner.take(number);
            return Err(refusal(name, why).at(call.path));
        }
        self.bell.ring();
        Ok(())
    }

    /// Puts the leaves of a plugin that aren't there. Whatever else stands in their places stays there.
    pub(super) fn publish(self: &Arc<Desk>, loaded: &Loaded) {
        let view = self.store.view();
        let name = loaded.seat.tega_id.as_str();
        let mut transaction = Transaction::new(Some(loaded.seat.tega_id.clone()));
        transaction.session = Some(loaded.seat.session);
        let mut taken = None;
        for (method, _) in &loaded.manifest.methods {
            // It was looked at when the plugin was listed.
            let Ok(leaf) = loaded.manifest.leaf(method) else { continue };
            let text = Value::from(format!("%{name}.{method}"));
            match view.node(&leaf) {
                None => transaction = transaction.put_ephemeral(leaf, text),
                Some(node) if node.leaf() == Some(&text) => {}
                Some(_) => taken = taken.or(Some(format!("something else stands at {leaf}"))),
            }
        }
        if transaction.ops.is_empty() {
            *loaded.seat.problem.lock().unwrap_or_else(PoisonError::into_inner) = taken;
            return loaded.seat.is_published.store(true, Ordering::SeqCst);
        }
        let seat = Arc::downgrade(&loaded.seat);
        self.write(transaction, move |outcome| {
            let Some(seat) = seat.upgrade() else { return };
            let problem = outcome.err().map(|refusal| refusal.message).or(taken);
            let mut known = seat.problem.lock().unwrap_or_else(PoisonError::into_inner);
            if problem.is_some() && *known != problem {
                let why = problem.as_deref().unwrap_or_default();
                log::warn!("plugin {}: its methods can't be called: {why}", seat.tega_id);
            }
            *known = problem;
            seat.is_published.store(true, Ordering::SeqCst);
        });
    }

    /// Writes leaves. A reload is done when all that it wrote is done.
    fn write(
        self: &Arc<Desk>,
        transaction: Transaction,
        done: impl FnOnce(Result<Receipt, Refusal>) + Send + 'static,
    ) {
        self.lock().writes += 1;
        let desk = Arc::downgrade(self);
        self.hub.submit(transaction, move |outcome| {
            done(outcome);
            if let Some(desk) = desk.upgrade() {
                let mut inner = desk.lock();
                inner.writes = inner.writes.saturating_sub(1);
                drop(inner);
                desk.bell.ring();
            }
        });
    }

    /// Takes back the leaves of a plugin that `next` doesn't have, if they are its own still.
    pub(super) fn withdraw(self: &Arc<Desk>, loaded: &Loaded, next: Option<&Manifest>) {
        let leaves = |manifest: &Manifest| -> Vec<Path> {
            manifest.methods.iter().filter_map(|(method, _)| manifest.leaf(method).ok()).collect()
        };
        let kept = next.map(leaves).unwrap_or_default();
        for leaf in leaves(&loaded.manifest).into_iter().filter(|leaf| !kept.contains(leaf)) {
            let Some(transaction) = self.withdrawal(&loaded.seat, leaf) else { continue };
            self.write(transaction, |outcome| {
                if let Err(refusal) = outcome {
                    log::debug!("a leaf of a plugin isn't taken back: {}", refusal.message);
                }
            });
        }
    }

    /// What takes back a leaf, if it's this seat's; each by itself, so that one that isn't any more keeps no other.
    ///
    /// Somebody may put a value there before it's committed. So it expects the leaf as it was seen, and the committer
    /// judges that: whatever is put anew has another change counter. A persistent value may have a version of the same
    /// number, by chance, in that very moment; an operation that names a session instead isn't worth having for it.
    pub(super) fn withdrawal(&self, seat: &Seat, leaf: Path) -> Option<Transaction> {
        // First what's there, then whose: a leaf that comes in between is another one than is expected.
        let stamp = self.store.view().node(&leaf)?.stamp;
        let version = i64::try_from(stamp.number()).ok().filter(|_| stamp.is_ephemeral())?;
        let is_own = |e: &Ephemeral| e.path == leaf && e.session == seat.session;
        if !self.store.ephemeral(&leaf).iter().any(is_own) {
            return None;
        }
        let mut transaction = Transaction::new(Some(seat.tega_id.clone()));
        transaction.ops.push(Op::Delete { path: leaf, expect: Some(Expect::version(version)) });
        Some(transaction)
    }
}

impl Inner {
    /// Takes out a call.
    pub(super) fn take(&mut self, call: u32) -> Option<Pending> {
        let pending = self.calls.remove(&call)?;
        self.waiting = self.waiting.saturating_sub(pending.input.len());
        Some(pending)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.schedule.check();
        assert_eq!(self.waiting, self.calls.values().map(|pending| pending.input.len()).sum::<usize>());
    }
}

/// Wakes the plugins' thread while it polls.
pub(super) struct Bell {
    rope: UnixStream,
    ear: UnixStream,
    rung: AtomicBool,
}

impl Bell {
    fn new() -> std::io::Result<Bell> {
        let (rope, ear) = UnixStream::pair()?;
        rope.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Bell { rope, ear, rung: AtomicBool::new(false) })
    }

    /// What to poll for.
    pub(super) fn ear(&self) -> &UnixStream {
        &self.ear
    }

    /// Wakes it; once is enough until it has heard.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // It can't be full: at most one byte is on its way, or it was read already.
            let _ = (&self.rope).write(b"x");
        }
    }

    /// It was heard; whoever rings from now on is heard again.
    pub(super) fn hear(&self) {
        self.rung.store(false, Ordering::SeqCst);
        let mut bytes = [0; 16];
        while matches!((&self.ear).read(&mut bytes), Ok(1..)) {}
    }
}
