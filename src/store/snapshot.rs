//! A snapshot of some roots: what a home sends to a replica that can't go on from what it has, and what a replica
//! writes to its log before it installs it.
//!
//! On a link it is a line that says where it was taken and which of the roots don't exist, then the others' states (see
//! `base`) with their positions at the home, then outcomes of requests to them (see `requests`), which a follower of
//! version 1 of the link's grammar doesn't know and isn't sent:
//!
//! ```json
//! {"snapshot":true,"position":17,"absent":["wan"]}
//! ```

use std::fmt::Write;

use super::base::{Lines, Reading, number};
use super::replica::Standing;
use super::requests::{self, CARRIED, Outcomes};
use super::state::Past;
use super::transaction::MAX_REQUEST_ID;
use crate::commit::{MAX_COUNTER, Position, TegaId};
use crate::path::Key;
use crate::value::{Limits, Value, write_string};

/// Some roots at one moment; `None`: there is none of that name, not even a deleted one.
#[derive(Clone)]
pub(super) struct Taken {
    pub(super) position: Position,
    pub(super) roots: Vec<(Key, Option<Past>)>,
}

impl Taken {
    /// It as lines, with these outcomes of requests, which are asked for last.
    pub(super) fn lines<F>(self, outcomes: F) -> impl Iterator<Item = String> + Send + use<F>
    where
        F: FnOnce() -> Outcomes + Send + 'static,
    {
        let absent = self.roots.iter().filter(|(_, past)| past.is_none()).map(|(name, _)| name);
        let mut first = format!("{{\"snapshot\":true,\"position\":{},\"absent\":[", self.position);
        write_names(absent, &mut first);
        first.push_str("]}");
        let states = self.roots.into_iter().filter_map(|(name, past)| {
            let past = past?;
            // Whoever gets it has positions of its own.
            Some(Lines::new(
                &name,
                &Past { position: past.origin.unwrap_or(past.position), origin: None, ..past },
            ))
        });
        let outcomes = std::iter::once_with(|| requests::lines(requests::carried(&outcomes()).into_iter()));
        std::iter::once(first).chain(states.flatten()).chain(outcomes.flatten())
    }
}

/// Writes names as they stand in a JSON list.
pub(super) fn write_names<'a>(names: impl Iterator<Item = &'a Key>, out: &mut String) {
    for (i, name) in names.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        // Writing to a String can't fail.
        let _ = write_string(name, out);
    }
}

/// Outcomes of requests that are taken of one snapshot: both tables of a home.
const MAX_OUTCOMES: usize = 20_000;

/// A snapshot on its way in.
pub struct Incoming {
    home: TegaId,
    /// With what has come of each; a root that doesn't exist comes as `None`.
    roots: Vec<(Key, Option<Option<Past>>)>,
    position: Option<Position>,
    reading: Option<Reading>,
    outcomes: Outcomes,
    /// Bytes of their lines.
    carried: usize,
}

impl Incoming {
    /// A snapshot of these roots, as their home has them.
    pub fn new(home: TegaId, roots: Vec<Key>) -> Incoming {
        let roots = roots.into_iter().map(|name| (name, None)).collect();
        Incoming { home, roots, position: None, reading: None, outcomes: Vec::new(), carried: 0 }
    }

    /// Takes a line; the error says what is wrong with it.
    pub fn line(&mut self, text: &str) -> Result<(), String> {
        let line = Value::parse_with(text, Limits::wrapped()).map_err(|e| e.to_string())?;
        if line.as_list().is_some() {
            return self.reading.as_mut().ok_or("nodes without a base")?.nodes(&line);
        }
        self.end_reading()?;
        if let (Some(root), true) = (line.get("base"), self.position.is_some()) {
            self.reading = Some(Reading::begin(root, &line)?);
            return Ok(());
        }
        if let (Some(requests), true) = (line.get("requests"), self.position.is_some()) {
            self.carried += text.len();
            return self.outcomes(requests);
        }
        if line.get("snapshot").is_none() || self.position.is_some() {
            return Err("a line of no known kind".into());
        }
        let position = number(&line, "position")?;
        if position > MAX_COUNTER {
            return Err("a position beyond all that are given out".into());
        }
        self.position = Some(Position(position));
        let absent = line.get("absent").and_then(Value::as_list).ok_or("\"absent\" must be a list")?;
        absent.items().iter().try_for_each(|name| self.take(name.as_str().unwrap_or(""), None))
    }

    fn outcomes(&mut self, requests: &Value) -> Result<(), String> {
        // The brackets around them are no reason.
        if self.carried > 2 * CARRIED {
            return Err("more outcomes of requests than a snapshot carries".into());
        }
        let outcomes = requests::read(requests)?;
        if self.outcomes.len() + outcomes.len() > MAX_OUTCOMES {
            return Err("more outcomes of requests than anybody remembers".into());
        }
        let is_bad = |id: &str, count: usize| id.is_empty() || id.len() > MAX_REQUEST_ID || count == 0;
        if outcomes.iter().any(|(id, outcome)| is_bad(id, outcome.versions.len())) {
            return Err("the outcome of a request that can't have been made".into());
        }
        let mut names = outcomes.iter().flat_map(|(_, outcome)| &outcome.versions);
        if let Some((name, _)) = names.find(|(name, _)| !self.roots.iter().any(|(root, _)| root == name)) {
            return Err(format!("the outcome of a request to {name}, which wasn't asked for"));
        }
        self.outcomes.extend(outcomes);
        Ok(())
    }

    fn end_reading(&mut self) -> Result<(), String> {
        let Some(reading) = self.reading.take() else { return Ok(()) };
        let (name, past) = reading.finish()?;
        if past.position.0.max(past.version.0) > MAX_COUNTER {
            return Err(format!("{name}: a position or version beyond all that are given out"));
        }
        self.take(&name, Some(past))
    }

    fn take(&mut self, name: &str, past: Option<Past>) -> Result<(), String> {
        match self.roots.iter_mut().find(|(root, _)| root == name) {
            Some((_, taken @ None)) => {
                *taken = Some(past);
                Ok(())
            }
            Some(_) => Err(format!("{name} came twice")),
            None => Err(format!("{name} wasn't asked for")),
        }
    }

    /// Everything has come.
    pub fn finish(mut self) -> Result<Snapshot, String> {
        self.end_reading()?;
        let position = self.position.ok_or("nothing came")?;
        let whole = |(name, taken): (Key, Option<Option<Past>>)| match taken {
            Some(past) => Ok((name, past)),
            None => Err(format!("{name} didn't come")),
        };
        let roots = self.roots.into_iter().map(whole).collect::<Result<_, String>>()?;
        Ok(Snapshot { home: self.home, taken: Taken { position, roots }, outcomes: self.outcomes })
    }
}

/// A whole snapshot, to be installed.
pub struct Snapshot {
    pub(super) home: TegaId,
    pub(super) taken: Taken,
    /// Of requests to its roots.
    pub(super) outcomes: Outcomes,
}

impl Snapshot {
    /// How far who installs it will have a root; `None`: it won't have it.
    pub fn standing(&self, root: &str) -> Option<Standing> {
        let (_, past) = self.taken.roots.iter().find(|(name, _)| name == root)?;
        past.as_ref().map(|past| Standing {
            incarnation: past.incarnation,
            version: past.version,
            digest: past.digest,
        })
    }

    /// What the log says of it before the states.
    pub(super) fn begin_line(&self, position: Position, skip: impl Fn(&str) -> bool) -> String {
        let mut line = format!("{{\"install\":\"{}\",\"as\":{position},\"roots\":[", self.home);
        write_names(self.taken.roots.iter().map(|(name, _)| name).filter(|name| !skip(name)), &mut line);
        let _ = write!(line, "]}}");
        line
    }
}

/// What the log says after the states: without it the snapshot wasn't installed.
pub(super) const INSTALLED: &str = "{\"installed\":true}";
