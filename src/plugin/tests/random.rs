//! Thousands of random runs of the schedule against what it promises.

use std::collections::BTreeSet;

use crate::plugin::schedule::{Effect, Input, Limits, Name, Schedule, Terms, What};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the test keeps beside the machine.
#[derive(Default)]
struct World {
    schedule: Schedule,
    now: u64,
    runs: Vec<(u32, Name, What)>,
    /// Calls that have neither begun nor been refused.
    open: BTreeSet<u32>,
    begun: BTreeSet<u32>,
    /// Hooks that haven't seen the last change.
    stale: BTreeSet<Name>,
}

impl World {
    fn take(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.schedule.take(input, self.now, &mut effects);
        self.schedule.check();
        for effect in effects {
            match effect {
                Effect::Refuse(call, _) => assert!(self.open.remove(&call), "call {call} is told twice"),
                Effect::Start { run, name, what, time } => {
                    assert!(time > 0);
                    if let What::Call(call) = what {
                        assert!(
                            self.open.remove(&call) && self.begun.insert(call),
                            "call {call} begins twice"
                        );
                    }
                    let twice = |(_, other, w): &(u32, Name, What)| {
                        *other == name && matches!((w, what), (What::Notify(_), What::Notify(_)))
                    };
                    assert!(!self.runs.iter().any(twice), "{name} is notified twice at once");
                    if matches!(what, What::Notify(_)) {
                        // It's given the state of now. If it fails, it's stale again.
                        self.stale.remove(&name);
                    }
                    self.runs.push((run, name, what));
                }
            }
        }
    }

    fn hears(&self, name: &Name) -> bool {
        self.schedule.plugins.get(name).is_some_and(|plugin| plugin.is_loaded()) && &**name != "b"
    }

    fn end(&mut self, at: usize, fails: bool) {
        let (run, name, what) = self.runs.remove(at);
        let outcome = if fails { Err("no".to_string()) } else { Ok(()) };
        match what {
            What::List => {
                self.take(Input::Listed(run, outcome.map(|()| Terms { time: 1_000, hook: &*name != "b" })));
            }
            _ => {
                if fails && matches!(what, What::Notify(_)) && self.hears(&name) {
                    self.stale.insert(name);
                }
                self.take(Input::Ended { run, outcome, took: 5 });
            }
        }
    }
}

#[test]
fn every_call_is_run_or_refused_once_and_every_hook_sees_the_last_change() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let limits = Limits { all: 3, one: 2, waiting: 2 };
        let mut world = World { schedule: Schedule::new(limits), ..World::default() };
        let names: Vec<Name> = ["a", "b", "c"].map(Name::from).into();
        let mut call = 0;
        for _ in 0..120 {
            let name = names[dice.roll(3) as usize].clone();
            match dice.roll(12) {
                0 => world.take(Input::Found(name)),
                1 if dice.roll(4) == 0 => {
                    world.stale.remove(&name);
                    world.take(Input::Gone(name));
                }
                2..=4 => {
                    call += 1;
                    world.open.insert(call);
                    let deadline = world.now + 1 + dice.roll(3_000);
                    world.take(Input::Call { name, call, deadline });
                }
                5..=6 => {
                    if world.hears(&name) {
                        world.stale.insert(name.clone());
                    }
                    world.take(Input::Changed(name));
                }
                7 => {
                    world.now += dice.roll(2_000);
                    world.take(Input::Tick);
                }
                _ if !world.runs.is_empty() => {
                    let at = dice.roll(world.runs.len() as u64) as usize;
                    let fails = dice.roll(3) == 0;
                    world.end(at, fails);
                }
                _ => {}
            }
        }
        // From here on everything succeeds, and time passes: all comes to an end.
        for _ in 0..1_000 {
            match (world.runs.is_empty(), world.schedule.wakes_at()) {
                (false, _) => world.end(0, false),
                (true, Some(at)) => {
                    world.now = world.now.max(at);
                    world.take(Input::Tick);
                }
                (true, None) => break,
            }
        }
        assert!(
            world.runs.is_empty() && world.open.is_empty() && !world.schedule.is_listing(),
            "seed {seed}"
        );
        let unseen: Vec<&Name> = world.stale.iter().filter(|name| world.hears(name)).collect();
        assert!(unseen.is_empty(), "seed {seed}: {unseen:?} didn't see the last change");
        // A change now is heard at once by every hook that is there, since none was run too often of late.
        world.now += 1_000;
        for name in &names {
            let hears = world.hears(name);
            world.take(Input::Changed(name.clone()));
            assert_eq!(!world.runs.is_empty(), hears, "seed {seed}: {name}");
            if hears {
                world.end(0, false);
            }
        }
        world.call_after_stop();
    }
}

impl World {
    fn call_after_stop(&mut self) {
        self.take(Input::Stop);
        self.open.insert(u32::MAX);
        self.take(Input::Call { name: "a".into(), call: u32::MAX, deadline: u64::MAX });
        assert!(self.open.is_empty() && self.runs.is_empty());
    }
}
