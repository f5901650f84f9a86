//! Random writes at every home, random faults of the wire, restarts, crashes, compactions and clears: a replica is
//! always at a state that its home had, never goes back in it and never skips a version; when all is well it's equal.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::world::{Fault, World, server};
use super::*;
use crate::log::fake::Choices;
use crate::store::{Options, Transaction};

/// A small generator, so that a seed says all.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Each root with its home and its replicas.
const ROOTS: [(&str, &str, &[&str]); 5] = [
    ("config-r1", "g", &["r1"]),
    ("config-r2", "g", &["r2"]),
    ("shared", "g", &["r1", "r2"]),
    ("state-r1", "r1", &["g"]),
    ("state-r2", "r2", &["g"]),
];

/// What was seen of a root at its home and at its replicas.
#[derive(Default)]
struct Seen {
    /// Every state that the home had: incarnation, version, digest.
    home: HashSet<(u64, u64, u64)>,
    /// The last one at each replica.
    replicas: HashMap<&'static str, (u64, u64)>,
}

struct Fleet {
    world: World,
    random: Random,
    seen: BTreeMap<&'static str, Seen>,
    /// Commits and snapshots that came, so that the test knows that it tested something.
    followed: usize,
    installed: usize,
}

impl Fleet {
    fn new(seed: u64) -> Fleet {
        let mut world = World::default();
        world.servers.insert("g".into(), server("g", 1, None, Options::default()));
        for (name, number) in [("r1", 2), ("r2", 3)] {
            let mut local = server(name, number, Some("g"), Options::default());
            local.declare(keys(&[&format!("config-{name}"), "shared"]), keys(&[&format!("state-{name}")]));
            let disk = local.disk.clone();
            local.restart(disk);
            world.servers.insert(name.into(), local);
        }
        Fleet { world, random: Random(seed), seen: BTreeMap::new(), followed: 0, installed: 0 }
    }

    fn write(&mut self) {
        let (root, home, _) = ROOTS[self.random.below(5) as usize];
        let key = self.random.below(4);
        let value = Value::from(self.random.below(1_000));
        let mut tx = Transaction::new(Some(id("test")));
        tx = match self.random.below(12) {
            0 => tx.delete(path(root)),
            1 | 2 => tx.delete(path(&format!("{root}.k{key}"))),
            3 => tx.rollback(root.into(), -1),
            4 if home == "g" => tx.put(path("shared.both"), value.clone()).put(path("config-r1.both"), value),
            _ => tx.put(path(&format!("{root}.k{key}")), value),
        };
        // Some have nothing to delete or to go back to.
        let _ = self.world.servers[home].store.commit(tx);
        self.note();
    }

    fn fault(&mut self) {
        let server = ["g", "r1", "r2"][self.random.below(3) as usize];
        let mut choices = Choices::random(self.random.below(1 << 30));
        match self.random.below(40) {
            0 => self.world.cut(server),
            1 => self.world.restart(server, None),
            2 => self.world.restart(server, Some(&mut choices)),
            3 => self.world.servers[server].store.compact_and_wait().unwrap(),
            4 if self.random.below(4) == 0 => {
                self.world.servers[server].store.clear_and_wait(None).unwrap();
            }
            5..12 => {
                let fault = [Fault::Drop, Fault::Double, Fault::Swap][self.random.below(3) as usize];
                let (side, nth) = (self.random.below(2) as usize, 1 + self.random.below(5) as usize);
                if let Some(link) = self.world.links.get_mut(server) {
                    link.ends[side].wire.faults.push((nth, fault));
                }
            }
            12..16 => {
                let side = self.random.below(2) as usize;
                if let Some(link) = self.world.links.get_mut(server) {
                    link.ends[side].holds_outcomes ^= true;
                }
            }
            16..20 => self.world.tick(1 + self.random.below(40_000)),
            _ => {}
        }
    }

    /// What a local does when its link is gone.
    fn link(&mut self) {
        self.world.links.retain(|_, link| link.closed.is_none());
        for name in ["r1", "r2"] {
            if !self.world.links.contains_key(name) {
                self.world.dial(name, name, "g");
            }
        }
    }

    fn settle(&mut self) {
        self.world.settle();
        for line in self.world.trace.drain(..) {
            self.followed += usize::from(line.contains("COMMIT"));
            self.installed += usize::from(line.contains("SNAPPED"));
        }
        self.check();
    }

    /// Remembers what the homes have.
    fn note(&mut self) {
        for (root, home, _) in ROOTS {
            if let Some(it) = self.world.servers[home].store.standing(root) {
                let state = (it.incarnation.0, it.version.0, it.digest);
                self.seen.entry(root).or_default().home.insert(state);
            }
        }
    }

    fn check(&mut self) {
        self.note();
        for (root, _, replicas) in ROOTS {
            let seen = self.seen.entry(root).or_default();
            for replica in replicas {
                let store = &self.world.servers[*replica].store;
                let Some(it) = store.standing(root) else { continue };
                let (incarnation, version) = (it.incarnation.0, it.version.0);
                assert!(
                    seen.home.contains(&(incarnation, version, it.digest)),
                    "{root} at {replica} is at a version {version} that its home never had"
                );
                let before = seen.replicas.insert(replica, (incarnation, version));
                if let Some((same, before)) = before.filter(|(same, _)| *same == incarnation) {
                    assert!(
                        version >= before,
                        "{root} of {same} at {replica} went from {before} to {version}"
                    );
                }
                let versions: Vec<u64> =
                    store.history(root).unwrap().iter().map(|past| past.version.0).collect();
                let gapless = versions.windows(2).all(|pair| pair[1] == pair[0] + 1);
                assert!(gapless, "{root} at {replica}: {versions:?}");
            }
        }
    }

    fn heal(&mut self) {
        self.world.links.clear();
        self.world.to_come.clear();
        for _ in 0..3 {
            self.link();
            self.settle();
            self.world.tick(DISK_RETRY + BEGIN_TIME);
        }
        for (root, home, replicas) in ROOTS {
            let of = |name: &str| {
                let store = &self.world.servers[name].store;
                (store.standing(root), store.get(&path(root)))
            };
            for replica in replicas {
                assert_eq!(of(replica), of(home), "{root} at {replica}");
            }
        }
    }
}

#[test]
fn replicas_end_equal_and_never_go_back_whatever_happens() {
    let (mut followed, mut installed) = (0, 0);
    // More of them by hand: TEGA_SEEDS=1000.
    let seeds = std::env::var("TEGA_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    for seed in 0..seeds {
        let mut fleet = Fleet::new(seed);
        for _ in 0..150 {
            fleet.write();
            fleet.fault();
            if fleet.random.below(3) > 0 {
                fleet.link();
                fleet.settle();
            }
        }
        fleet.heal();
        followed += fleet.followed;
        installed += fleet.installed;
    }
    assert!(followed > 500 && installed > 20, "{followed} commits, {installed} snapshots");
}
