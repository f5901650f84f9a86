//! Whose commits a root takes: each root has exactly one home, and every other server that has it is a replica.

use std::fmt::{self, Write};

use super::committer::{Committer, answer, refusal};
use super::compact::{Text, write_store};
use super::state::State;
use super::transaction::Op;
use super::{Done, Error, LOST_POSITIONS, Submission};
use crate::commit::{MAX_COUNTER, Position, TegaId};
use crate::log::{Group, Log};
use crate::path::{Key, Path};
use crate::value::{Value, write_string};

/// Where a root's commits are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// Here.
    Here,
    /// At another server. `None`: at the global one, whose tega ID isn't known yet.
    Away(Option<TegaId>),
}

/// Which roots this server is home of, beside what the log records.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// A global server or one that stands alone: home of every root that isn't recorded as another's.
    #[default]
    Leads,
    /// A local server. Writes to roots that it doesn't name are refused with [`Error::NoHome`].
    Follows {
        /// Their home is the global server.
        config: Vec<Key>,
        /// Their home is here.
        operational: Vec<Key>,
        /// Their home is here, and no link carries them.
        private: Private,
    },
}

/// The roots of a local server that stay with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Private {
    /// These.
    Roots(Vec<Key>),
    /// Every root that isn't named otherwise.
    Any,
}

impl Default for Private {
    fn default() -> Private {
        Private::Roots(Vec::new())
    }
}

/// Homes to be recorded; `None`: here.
pub(super) type Homes = Vec<(Key, Option<Away>)>;

/// A root whose home is another server, as the log records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// Its home.
    pub home: TegaId,
    /// The home was moved there and hasn't fetched the present state yet: this server still has the newest one.
    pub handover: bool,
}

impl Role {
    /// The home of a root that no record names; [`Error::NoHome`]: nowhere.
    fn home(&self, root: &str) -> Result<Home, Error> {
        let Role::Follows { config, operational, private } = self else { return Ok(Home::Here) };
        let own: &[Key] = if let Private::Roots(roots) = private { roots } else { &[] };
        let named = |roots: &[Key]| roots.iter().any(|name| name == root);
        if named(config) {
            Ok(Home::Away(None))
        } else if named(operational) || named(own) || *private == Private::Any {
            Ok(Home::Here)
        } else {
            let known = [config, operational, own].concat();
            Err(Error::NoHome { root: root.into(), known })
        }
    }
}

/// Where the commits to a root are made, or would be. A record wins over the role.
pub(super) fn home(state: &State, role: &Role, root: &str) -> Result<Home, Error> {
    match state.homes.get(root) {
        Some(away) => Ok(Home::Away(Some(away.home.clone()))),
        None => role.home(root),
    }
}

/// Refuses a transaction that doesn't belong here. What is ephemeral only needs a root that has a home somewhere.
/// `any_ephemeral` tells whether something ephemeral stands at or below a path. `stands_for` is the server in whose
/// place the transaction is made: its roots may be written.
pub(super) fn check_homes(
    state: &State,
    role: &Role,
    ops: &[Op],
    stands_for: Option<&TegaId>,
    any_ephemeral: impl Fn(&Path) -> bool,
) -> Result<(), Error> {
    if state.homes.is_empty() && matches!(role, Role::Leads) {
        return Ok(());
    }
    let mut first: Option<(&Key, Home)> = None;
    for op in ops {
        let (root, ephemeral) = match op {
            Op::Put { path, ephemeral, .. } => (path.check_root()?, *ephemeral),
            Op::Delete { path, .. } => {
                let persistent = || {
                    let (root, keys) = path.keys().split_first()?;
                    let root = state.live.get(root).filter(|root| !root.ephemeral_only)?;
                    root.tree.get(keys)
                };
                (path.check_root()?, any_ephemeral(path) && persistent().is_none())
            }
            Op::Rollback { root, .. } => (root, false),
        };
        let at = home(state, role, root)?;
        match &first {
            _ if ephemeral => {}
            None => first = Some((root, at)),
            Some((_, home)) if same(home, &at) => {}
            Some((other, home)) => return Err(two_homes(other, home, root, &at)),
        }
    }
    match first {
        Some((_, Home::Away(Some(home)))) if Some(&home) == stands_for => Ok(()),
        Some((root, Home::Away(home))) => Err(Error::NotHome { root: root.clone(), home }),
        _ => Ok(()),
    }
}

/// What isn't known yet by its ID may be the other.
fn same(a: &Home, b: &Home) -> bool {
    match (a, b) {
        (Home::Away(Some(a)), Home::Away(Some(b))) => a == b,
        (Home::Away(_), Home::Away(_)) | (Home::Here, Home::Here) => true,
        _ => false,
    }
}

fn two_homes(a: &Key, at_a: &Home, b: &Key, at_b: &Home) -> Error {
    let message = format!(
        "one transaction can't change roots of two homes: that of {a} is {at_a}, that of {b} is {at_b}; make two of it"
    );
    Error::Bad { path: None, message }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Home::Here => f.write_str("this server"),
            Home::Away(Some(home)) => home.fmt(f),
            Home::Away(None) => f.write_str("the global server"),
        }
    }
}

/// How many roots of other homes are recorded at the most: each local may claim some, and a record is for ever.
pub(super) const MAX_HOMES: usize = 100_000;

/// How many submissions of homes share a sync: when a fleet comes up, every local claims its roots.
const TOGETHER: usize = 1_000;

impl Committer {
    /// Writes down where roots have their homes; what was submitted next of the same kind with it.
    pub(super) fn set_homes(&mut self, homes: Homes, done: Done<()>) {
        let mut asked = vec![(homes, done)];
        while asked.len() < TOGETHER {
            match self.waiting.pop_front() {
                Some(Submission::Homes(homes, done)) => asked.push((homes, done)),
                Some(other) => {
                    self.waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        let mut state = self.state.clone();
        let (mut group, mut granted) = (Group::new(), Vec::new());
        let mut taken_over: Option<Position> = None;
        for (homes, done) in asked {
            if let Err(error) = self.may_be_recorded(&state, &homes) {
                answer(done, Err(error));
                continue;
            }
            let new =
                |(root, away): &(Key, Option<Away>)| state.homes.get(root).map(|now| &**now) != away.as_ref();
            let homes: Homes = homes.into_iter().filter(new).collect();
            for line in homes_lines(&homes) {
                // Far below the longest record that a log takes, and JSON.
                let _ = group.record(|out| out.extend_from_slice(line.as_bytes()));
            }
            for (root, away) in homes {
                if away.is_none() {
                    taken_over = taken_over.max(state.origin(&root));
                }
                state.set_home(&root, away);
            }
            granted.push(done);
        }
        let changed = !group.is_empty();
        if let Some(there) = taken_over {
            // IDs of requests may name positions that the old home gave out: none of them is to be taken for one of here.
            state.position.0 = state.position.0.max(there.0.min(MAX_COUNTER)) + LOST_POSITIONS;
            let write = |out: &mut Vec<u8>| {
                let (position, floor) = (state.position, state.floor);
                // Memory can't refuse what is written to it.
                let _ = write_store(self.store, position, position, floor, &mut Text(out));
            };
            // A line of numbers can't be refused as a record.
            let _ = group.record(write);
        }
        let written = self.write_homes(&mut group);
        if written.is_ok() && changed {
            self.state = state;
            if taken_over.is_some() {
                self.shared.requests().forgotten = self.state.position;
            }
            if self.log.is_some() {
                self.synced_all();
            }
            self.show(&[]);
            self.wake_held();
            self.report();
        }
        granted.into_iter().for_each(|done| answer(done, written.clone()));
    }

    fn write_homes(&mut self, group: &mut Group) -> Result<(), Error> {
        if self.log.is_none() || group.is_empty() {
            return Ok(());
        }
        if let Some(error) = refusal(&self.health) {
            return Err(error);
        }
        let written = self.append(group).and_then(|()| self.log.as_mut().map_or(Ok(()), Log::sync));
        written.map_err(|error| self.fail(&error))
    }

    /// Whoever claims a root looked at the records a moment ago. One that was made here since is given away with a
    /// handover only, and one that another server was given since stays with that: two must never commit to it.
    fn may_be_recorded(&self, state: &State, homes: &Homes) -> Result<(), Error> {
        if !matches!(self.shared.options.role, Role::Leads) {
            return Ok(());
        }
        let mut new = 0;
        for (root, away) in homes {
            let path = || Some(Path::from_checked(vec![root.clone()]));
            let Some(claim) = away.as_ref().filter(|away| !away.handover) else { continue };
            match state.homes.get(root) {
                Some(now) if now.home == claim.home => {}
                Some(now) => {
                    let message = format!("the home of {root} is {}; only `tega home` moves it", now.home);
                    return Err(Error::Bad { path: path(), message });
                }
                None if state.live.get(root).is_some_and(|root| !root.ephemeral_only) => {
                    let message = format!("{root} was made here; only `tega home` moves it");
                    return Err(Error::Bad { path: path(), message });
                }
                None => new += 1,
            }
        }
        if new > 0 && state.homes.len() + new > MAX_HOMES {
            let message = format!("{MAX_HOMES} roots have other homes already, which is the most");
            return Err(Error::TooLarge { path: None, message });
        }
        Ok(())
    }
}

/// How many roots one record of homes names at the most.
const HOMES_IN_A_RECORD: usize = 1_000;

/// The records that say where roots have their homes, in pieces.
pub(super) fn homes_lines(homes: &[(Key, Option<Away>)]) -> Vec<String> {
    let line = |homes: &[(Key, Option<Away>)]| {
        let mut line = "{\"homes\":{".to_string();
        for (i, (root, away)) in homes.iter().enumerate() {
            // Writing to a String can't fail.
            let _ = line.write_str(if i > 0 { "," } else { "" });
            let _ = write_string(root, &mut line);
            let _ = match away {
                Some(Away { home, handover }) => write!(line, ":[\"{home}\",{handover}]"),
                None => line.write_str(":null"),
            };
        }
        line + "}}"
    };
    homes.chunks(HOMES_IN_A_RECORD).map(line).collect()
}

/// Reads what [`homes_lines`] wrote.
pub(super) fn read_homes(homes: &Value) -> Result<Vec<(Key, Option<Away>)>, String> {
    let homes = homes.as_object().ok_or("\"homes\" must be an object")?;
    let home = |(root, away): &(Key, Value)| -> Result<(Key, Option<Away>), String> {
        let away = match away.as_list().map(|list| list.items()) {
            Some([Value::Text(home), Value::Bool(handover)]) => {
                let home = TegaId::new(home).map_err(|e| e.to_string())?;
                Some(Away { home, handover: *handover })
            }
            None if *away == Value::Null => None,
            _ => return Err(format!("home of {root:?}: [TEGA_ID, HANDOVER] or null wanted")),
        };
        Ok((root.clone(), away))
    };
    homes.members().iter().map(home).collect()
}
