//! Random commits, restarts, compactions and crashes, against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use super::*;
use crate::log::fake::Choices;

/// Leaves and empty containers, and every node's version, by path after the root's name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    nodes: BTreeMap<Vec<String>, (u64, Option<i64>)>,
    version: u64,
}

impl Model {
    fn put(&mut self, keys: &[String], value: Option<i64>, version: u64) -> bool {
        let through_leaf = (1..keys.len()).any(|n| matches!(self.nodes.get(&keys[..n]), Some((_, Some(_)))));
        if through_leaf {
            return false;
        }
        self.nodes.retain(|at, _| !at.starts_with(keys));
        self.stamp(keys, version);
        self.nodes.insert(keys.to_vec(), (version, value));
        true
    }

    fn stamp(&mut self, keys: &[String], version: u64) {
        for n in 1..keys.len() {
            self.nodes.insert(keys[..n].to_vec(), (version, None));
        }
        self.version = version;
    }

    fn delete(&mut self, keys: &[String], version: u64) -> bool {
        if !self.nodes.contains_key(keys) {
            return false;
        }
        self.nodes.retain(|at, _| !at.starts_with(keys));
        let mut alive = keys.len() - 1;
        while alive > 0 && !self.nodes.keys().any(|at| at.len() > alive && at.starts_with(&keys[..alive])) {
            self.nodes.remove(&keys[..alive]);
            alive -= 1;
        }
        self.stamp(&keys[..=alive], version);
        true
    }

    fn show(&self) -> String {
        let mut lines = vec![format!(":{}", self.version)];
        for (at, (version, value)) in &self.nodes {
            let parent = self.nodes.keys().any(|other| other.len() > at.len() && other.starts_with(at));
            let value = match value {
                Some(value) => format!("={value}"),
                None if parent => String::new(),
                None => "={}".into(),
            };
            lines.push(format!("{}:{version}{value}", at.join(".")));
        }
        lines.join(" ")
    }
}

struct Random(Choices);

impl Random {
    fn keys(&mut self) -> Vec<String> {
        (0..1 + self.0.next(3)).map(|_| format!("k{}", self.0.next(3))).collect()
    }
}

fn run(seed: u64) {
    let mut random = Random(Choices::random(seed));
    let mut disk = Disk::new();
    let options = Options { history: 3, compact_from: 3_000, ..Options::default() };
    let mut store = Store::open_on(disk.medium(), options.clone()).unwrap();
    let mut models: [Option<Model>; 2] = [None, None];
    // The versions that deleted roots had.
    let mut next = [0_u64; 2];
    for _ in 0..150 {
        let mut after = models.clone();
        let mut tx = Transaction::new(None);
        let mut touched = [false; 2];
        let mut fits = true;
        for _ in 0..1 + random.0.next(3) {
            let which = random.0.next(2);
            let keys = random.keys();
            let at = path(&format!("r{which}.{}", keys.join(".")));
            let model = &mut after[which];
            match random.0.next(12) {
                0 => {
                    fits &= model.take().is_some();
                    tx = tx.delete(path(&format!("r{which}")));
                }
                1..=4 => {
                    fits &= model.as_mut().is_some_and(|m| m.delete(&keys, next[which]));
                    tx = tx.delete(at);
                }
                n => {
                    let value = (n < 11).then(|| random.0.next(9) as i64);
                    fits &= model.get_or_insert_default().put(&keys, value, next[which]);
                    tx = tx.put(at, value.map_or(Value::empty_object(), Value::from));
                }
            }
            touched[which] = true;
            if !fits {
                break;
            }
        }
        let committed = store.commit(tx);
        assert_eq!(committed.is_ok(), fits, "{committed:?}");
        if fits {
            models = after;
            (0..2).for_each(|which| next[which] += u64::from(touched[which]));
        }
        for (which, model) in models.iter().enumerate() {
            let view = store.view();
            let root = view.root(&format!("r{which}"));
            assert_eq!(root.map(|r| stamps(&r.tree)), model.as_ref().map(Model::show), "seed {seed}");
        }
        check(&store);
        let before = everything(&store);
        match random.0.next(30) {
            0 => store.compact_and_wait().unwrap(),
            1 => {
                store.close();
                store = Store::open_on(disk.medium(), options.clone()).unwrap();
            }
            2 => {
                disk = disk.crash(&mut Choices::random(seed));
                store.close();
                store = Store::open_on(disk.medium(), options.clone()).unwrap();
            }
            3 => {
                // To a random kept version: its values are those, and replay gives the same stamps.
                let pasts = store.history("r0").unwrap_or_default();
                if !pasts.is_empty() {
                    let past = &pasts[random.0.next(pasts.len())];
                    let tx = Transaction::new(None).rollback("r0".into(), past.version.0 as i64);
                    assert_eq!(store.commit(tx).unwrap().versions, [("r0".into(), Version(next[0]))]);
                    next[0] += 1;
                    let now = store.view().root("r0").map(|root| root.tree.clone());
                    assert_eq!(now, past.tree);
                    models[0] = now.map(|tree| read(&tree));
                }
                continue;
            }
            _ => {}
        }
        assert_eq!(everything(&store), before, "seed {seed}");
    }
}

/// The model of a tree.
fn read(tree: &Tree) -> Model {
    let mut model = Model { version: tree.stamp.number(), ..Model::default() };
    let mut walk = crate::tree::Walk::new(tree.root());
    while let Some((keys, node)) = walk.step() {
        let keys = keys.iter().map(|key| key.to_string()).collect();
        model.nodes.insert(keys, (node.stamp.number(), node.leaf().and_then(Value::as_int)));
    }
    model
}

#[test]
fn random_commits_leave_what_a_naive_model_says_through_restarts_compactions_and_crashes() {
    (0..40).for_each(run);
}

#[test]
fn the_present_is_always_the_tree_with_the_ephemeral_nodes_on_top() {
    for seed in 100..140 {
        let mut random = Random(Choices::random(seed));
        let store = Store::in_memory(Options::default());
        let mut sessions: Vec<SessionId> = (0..3).map(|_| store.begin_session(id("r"))).collect();
        let mut leases = 0;
        for _ in 0..150 {
            let mut tx = Transaction::new(None);
            let which = random.0.next(3);
            tx.session = Some(sessions[which]);
            for _ in 0..1 + random.0.next(2) {
                let at = path(&format!("r{}.{}", random.0.next(2), random.keys().join(".")));
                tx = match random.0.next(8) {
                    0 => tx.delete(at.prefix(1)),
                    1 | 2 => tx.delete(at),
                    3 | 4 => tx.put(at, Value::from(1)),
                    _ => tx.put_ephemeral(at, json(r#"{"k0":1}"#)),
                };
            }
            match random.0.next(12) {
                0 => {
                    store.end_session(sessions[which]);
                    sessions[which] = store.begin_session(id("r"));
                }
                1 => drop(store.commit(Transaction::new(None).rollback("r0".into(), -1))),
                2 => drop(store.preview(&tx)),
                _ => drop(store.commit(tx)),
            }
            let _ = store.commit(Transaction::new(None));
            check(&store);
            leases += store.ephemeral(&Path::TOP).len();
        }
        assert!(leases > 20, "{leases}");
    }
}
