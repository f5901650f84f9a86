//! Servers and the wires between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc;

use super::*;
use crate::log::fake::{Choices, Disk};
use crate::message::link::PROTOCOL;
use crate::store::{Feed, Options, Private, Role};

pub(super) struct Server {
    pub(super) id: TegaId,
    pub(super) disk: Disk,
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) instance: Incarnation,
    pub(super) global: Option<String>,
    config: Vec<Key>,
    operational: Vec<Key>,
}

impl Server {
    pub(super) fn restart(&mut self, disk: Disk) {
        self.store.close();
        self.disk = disk;
        self.store = Store::open_on(self.disk.medium(), self.options.clone()).unwrap();
        self.instance.0 += 1;
    }

    /// As it was started, with other roots. To be restarted.
    pub(super) fn declare(&mut self, config: Vec<Key>, operational: Vec<Key>) {
        (self.config, self.operational) = (config, operational);
        if self.global.is_some() {
            let (config, operational) = (self.config.clone(), self.operational.clone());
            self.options.role = Role::Follows { config, operational, private: Private::default() };
        }
    }
}

/// `number`: another one than every other server's.
pub(super) fn server(tega_id: &str, number: usize, global: Option<&str>, mut options: Options) -> Server {
    options.history = 4;
    let disk = Disk::new();
    let mut server = Server {
        id: id(tega_id),
        store: Store::in_memory(Options::default()),
        instance: Incarnation((number as u64) << 32),
        global: global.map(str::to_owned),
        config: Vec::new(),
        operational: Vec::new(),
        disk: disk.clone(),
        options,
    };
    server.declare(Vec::new(), Vec::new());
    server.restart(disk);
    server
}

/// What happens to frames on their way in one direction. Each applies to the n-th frame from now, from 1.
#[derive(Default)]
pub(super) struct Wire {
    /// Each with whether it gives way to the one behind it.
    under_way: VecDeque<(String, bool)>,
    pub(super) faults: Vec<(usize, Fault)>,
    sent: u64,
    /// Nothing comes out.
    pub(super) held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    Drop,
    Double,
    /// Changes place with the frame after it.
    Swap,
}

impl Wire {
    fn send(&mut self, frame: String) {
        self.sent += 1;
        for fault in &mut self.faults {
            fault.0 = fault.0.saturating_sub(1);
        }
        let fault = self.faults.iter().position(|(n, _)| *n == 0).map(|at| self.faults.swap_remove(at).1);
        match fault {
            None => self.under_way.push_back((frame, false)),
            Some(Fault::Drop) => {}
            Some(Fault::Double) => self.under_way.extend([(frame.clone(), false), (frame, false)]),
            Some(Fault::Swap) => self.under_way.push_back((frame, true)),
        }
    }

    fn receive(&mut self) -> Option<String> {
        if self.held {
            return None;
        }
        let (first, gives_way) = self.under_way.pop_front()?;
        if gives_way && let Some((second, _)) = self.under_way.pop_front() {
            self.under_way.push_front((first, false));
            return Some(second);
        }
        Some(first)
    }
}

pub(super) struct End {
    pub(super) server: String,
    pub(super) machine: Replication,
    feed: Option<Feed>,
    lines: Option<Box<dyn Iterator<Item = String> + Send>>,
    /// To the other end.
    pub(super) wire: Wire,
    /// Outcomes of the store that are held back.
    outcomes: VecDeque<Result<(), Error>>,
    pub(super) holds_outcomes: bool,
}

/// A link: the local's end, then the global's.
pub(super) struct Link {
    pub(super) ends: [End; 2],
    pub(super) closed: Option<Closing>,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) servers: BTreeMap<String, Server>,
    /// By name; mostly that of the local.
    pub(super) links: BTreeMap<String, Link>,
    /// Faults of links that aren't there yet: name, side, frame.
    pub(super) to_come: Vec<(String, usize, usize, Fault)>,
    /// Locals that speak version 1 of the grammar.
    pub(super) old: BTreeSet<String>,
    pub(super) now: u64,
    pub(super) trace: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        for server in self.servers.values() {
            server.store.close();
        }
    }
}

impl World {
    /// Opens a link under this name from a server to another, instead of one that has the name.
    pub(super) fn dial(&mut self, name: &str, local: &str, global: &str) {
        self.links.remove(name);
        let (from, to) = (&self.servers[local], &self.servers[global]);
        let mut out = Vec::new();
        let (config, operational) = (&from.config, &from.operational);
        let dialled = Replication::dial(
            from.id.clone(),
            from.instance,
            config,
            operational,
            self.now,
            &from.store,
            &mut out,
        );
        let called = Replication::accept(to.id.clone(), to.global.as_deref(), self.now);
        let end = |server: &str, machine| End {
            server: server.into(),
            machine,
            feed: None,
            lines: None,
            wire: Wire::default(),
            outcomes: VecDeque::new(),
            holds_outcomes: false,
        };
        let mut link = Link { ends: [end(local, dialled), end(global, called)], closed: None };
        for (_, side, nth, fault) in self.to_come.extract_if(.., |(to, ..)| to == name) {
            link.ends[side].wire.faults.push((nth, fault));
        }
        self.links.insert(name.into(), link);
        self.perform(name, 0, out);
    }

    /// Runs everything until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let names: Vec<String> = self.links.keys().cloned().collect();
            let mut moved = false;
            for name in names {
                moved |= self.step(&name, 0) | self.step(&name, 1);
            }
            if !moved {
                return;
            }
        }
        panic!("it doesn't come to rest: {:?}", &self.trace[self.trace.len() - 20..]);
    }

    fn take(&mut self, name: &str, side: usize, input: Input<'_>) {
        let Some(link) = self.links.get_mut(name) else { return };
        let mut out = Vec::new();
        let end = &mut link.ends[side];
        end.machine.take(input, self.now, &self.servers[&end.server].store, &mut out);
        self.perform(name, side, out);
    }

    fn step(&mut self, name: &str, side: usize) -> bool {
        let open = |link: &&mut Link| link.closed.is_none();
        let Some(link) = self.links.get_mut(name).filter(open) else { return false };
        let [a, b] = &mut link.ends;
        let (end, other) = if side == 0 { (a, b) } else { (b, a) };
        if let Some(outcome) = end.outcomes.pop_front_if(|_| !end.holds_outcomes) {
            self.take(name, side, Input::Applied(outcome));
            return true;
        }
        if end.machine.reads()
            && let Some(text) = other.wire.receive()
        {
            let frame = Frame::read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(frame.is_replication());
            self.take(name, side, Input::Frame(frame));
            return true;
        }
        let input = match (end.machine.wants(), &mut end.feed, &mut end.lines) {
            (Some(Want::Line), _, Some(lines)) => Input::Line(lines.next()),
            (Some(Want::Commit), Some(feed), _) => match feed.try_next() {
                Ok(Some(sent)) => Input::Commit(sent),
                Ok(None) => {
                    let (position, waits) = (feed.position(), feed.waits_for_disk());
                    let before = end.wire.sent;
                    self.take(name, side, Input::Idle(position, waits));
                    // An AT may have come of it.
                    return self.links.get(name).is_some_and(|link| link.ends[side].wire.sent > before);
                }
                Err(_) => Input::Lagging,
            },
            _ => return false,
        };
        self.take(name, side, input);
        true
    }

    fn perform(&mut self, name: &str, side: usize, effects: Vec<Effect>) {
        for effect in effects {
            let line = effect_line(&effect);
            let Some(link) = self.links.get_mut(name) else { return };
            let end = &mut link.ends[side];
            let effect = match effect {
                Effect::Send(text) if self.old.contains(&end.server) => {
                    Effect::Send(text.replacen(&format!("{{\"protocol\":{PROTOCOL}"), "{\"protocol\":1", 1))
                }
                other => other,
            };
            let arrow = if side == 0 { ">" } else { "<" };
            match &effect {
                Effect::Send(text) => {
                    self.trace.push(format!("  {name} {arrow} {}", text.replace('\n', " ⏎ ")))
                }
                Effect::Open { .. } | Effect::Follow { .. } | Effect::Install(_) | Effect::Linked => {}
                _ => self
                    .trace
                    .push(format!("  {name} {} {line}", if side == 0 { "(local)" } else { "(global)" })),
            }
            match effect {
                Effect::Send(text) => end.wire.send(text),
                Effect::Close(closing) => link.closed = Some(closing),
                Effect::Linked => {}
                other => self.ask(name, side, other),
            }
        }
    }

    /// What the store or the register of links is asked.
    fn ask(&mut self, name: &str, side: usize, effect: Effect) {
        let Some(link) = self.links.get_mut(name) else { return };
        let end = &mut link.ends[side];
        let server = &self.servers[&end.server];
        let (done, outcome) = mpsc::channel();
        let done = move |result| done.send(result).unwrap();
        match effect {
            Effect::Admit { tega_id, instance, .. } => {
                let admitted = self.admit(name, &tega_id, instance);
                self.take(name, side, Input::Admitted(admitted));
            }
            Effect::SetHomes(homes) => {
                server.store.set_homes(homes, done);
                self.take(name, side, Input::Recorded(outcome.recv().unwrap()));
            }
            Effect::Open { roots, known } => {
                let (feed, start) = server.store.feed(roots, &known, || ());
                let position = feed.position();
                end.lines = Some(feed.snapshot(end.machine.sends_outcomes()));
                end.feed = Some(feed);
                self.take(name, side, Input::Opened(start, position));
            }
            Effect::Flush => {
                server.store.flush(done);
                self.take(name, side, Input::Flushed(outcome.recv().unwrap()));
            }
            Effect::Follow { home, records } => {
                server.store.follow(&home, end.machine.follows(), records, done);
                end.outcomes.push_back(outcome.recv().unwrap());
            }
            Effect::Install(snapshot) => {
                server.store.install(snapshot, done);
                end.outcomes.push_back(outcome.recv().unwrap());
            }
            Effect::Send(_) | Effect::Close(_) | Effect::Linked => {}
        }
    }

    /// The global's register of live links.
    fn admit(
        &mut self,
        name: &str,
        tega_id: &TegaId,
        instance: Incarnation,
    ) -> Result<Vec<Refused>, Closing> {
        let to = self.links[name].ends[1].server.clone();
        let same = |(other, link): &(&String, &mut Link)| {
            *other != name
                && link.closed.is_none()
                && link.ends[1].server == to
                && link.ends[1].machine.peer() == Some(tega_id)
        };
        let Some((_, old)) = self.links.iter_mut().find(same) else { return Ok(Vec::new()) };
        if self.servers[&old.ends[0].server].instance != instance {
            return Err(Closing::new(Code::InUse, format!("{tega_id} is linked already")));
        }
        old.closed = Some(Closing::new(Code::InUse, "replaced by a newer link"));
        Ok(Vec::new())
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, ms: u64) {
        self.now += ms;
        let names: Vec<String> = self.links.keys().cloned().collect();
        for name in names {
            for side in [0, 1] {
                let due = |link: &Link| {
                    link.closed.is_none()
                        && link.ends[side].machine.wakes_at().is_some_and(|at| at <= self.now)
                };
                if self.links.get(&name).is_some_and(due) {
                    self.take(&name, side, Input::Tick);
                }
            }
        }
    }

    /// Ends the links of a server without a word.
    pub(super) fn cut(&mut self, server: &str) {
        self.links.retain(|_, link| link.ends.iter().all(|end| end.server != server));
    }

    /// Restarts a server; `crash`: what wasn't synced may be gone.
    pub(super) fn restart(&mut self, name: &str, crash: Option<&mut Choices>) {
        self.cut(name);
        let server = self.servers.get_mut(name).unwrap();
        let disk = crash.map(|choices| server.disk.crash(choices)).unwrap_or_else(|| server.disk.clone());
        server.restart(disk);
    }
}
