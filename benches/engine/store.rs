//! The store without a disk to wait for: commits, replay, and what it holds in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tega::path::Path;
use tega::store::{Durability, Options, Store, Transaction};
use tega::value::Value;

use crate::Group;
use crate::table::{Figure, resident};

/// Commits measured for each figure.
const COMMITS: usize = 300_000;

/// How many answers one submitter leaves open.
const AHEAD: usize = 4_000;

pub(crate) const COMMIT: Group = Group {
    name: "store-commit/s",
    columns: &[
        "memory, 1 ahead",
        "memory, pipelined",
        "memory, 16 threads",
        "file, pipelined",
        "file, 16 threads",
    ],
    rows: &[100, 10_000, 1_000_000],
    measure: commits,
};

pub(crate) const REPLAY: Group = Group {
    name: "store-replay",
    columns: &["open, commits/s", "compact ms", "open, leaves/s", "B/leaf"],
    rows: &[10_000, 100_000, 1_000_000],
    measure: replay,
};

fn path(n: usize) -> Path {
    Path::new(["bench".to_owned(), format!("c{}", n / 1000), format!("leaf{}", n % 1000)]).unwrap()
}

fn put(paths: &[Path], n: usize) -> Transaction {
    Transaction::new(None).put(paths[n * 7919 % paths.len()].clone(), Value::from(n as u64))
}

fn fill(store: &Store, leaves: usize) {
    for first in (0..leaves).step_by(10_000) {
        let puts = (first..leaves.min(first + 10_000)).map(|n| (path(n), Value::from(n as u64)));
        store.commit(puts.fold(Transaction::new(None), |tx, (path, value)| tx.put(path, value))).unwrap();
    }
}

/// Commits a second of one submitter that lets `AHEAD` answers be open.
fn pipelined(store: &Store, paths: &[Path], count: usize) -> Figure {
    let answered = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    for n in 0..count {
        let counter = answered.clone();
        store.submit(put(paths, n), move |outcome| {
            outcome.unwrap();
            counter.fetch_add(1, Ordering::Release);
        });
        while n - answered.load(Ordering::Acquire).min(n) >= AHEAD {
            std::thread::yield_now();
        }
    }
    while answered.load(Ordering::Acquire) < count {
        std::thread::yield_now();
    }
    Some(count as f64 / start.elapsed().as_secs_f64())
}

fn threads(store: &Store, paths: &[Path]) -> Figure {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                for n in 0..COMMITS / 64 {
                    store.commit(put(paths, n * 16 + thread)).unwrap();
                }
            });
        }
    });
    Some((COMMITS / 64 * 16) as f64 / start.elapsed().as_secs_f64())
}

/// A directory of our own, gone when this is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        Dir(std::env::temp_dir().join(format!("tega-bench-{}", std::process::id())))
    }

    fn open(&self) -> Store {
        Store::open(&self.0, Options { durability: Durability::None, ..Options::default() }).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn commits(leaves: usize) -> Vec<Figure> {
    let paths: Vec<Path> = (0..leaves.min(100_000)).map(path).collect();
    let store = Store::in_memory(Options::default());
    fill(&store, leaves);
    let start = Instant::now();
    (0..COMMITS / 30).for_each(|n| drop(store.commit(put(&paths, n)).unwrap()));
    let one = Some((COMMITS / 30) as f64 / start.elapsed().as_secs_f64());
    let mut figures = vec![one, pipelined(&store, &paths, COMMITS), threads(&store, &paths)];
    store.close();
    let dir = Dir::new();
    let store = dir.open();
    fill(&store, leaves);
    figures.extend([pipelined(&store, &paths, COMMITS), threads(&store, &paths)]);
    store.close();
    figures
}

fn replay(leaves: usize) -> Vec<Figure> {
    let dir = Dir::new();
    let paths: Vec<Path> = (0..leaves.min(100_000)).map(path).collect();
    let options = || Options { durability: Durability::None, compact_from: u64::MAX, ..Options::default() };
    let store = Store::open(&dir.0, options()).unwrap();
    pipelined(&store, &paths, COMMITS);
    store.close();
    let start = Instant::now();
    let store = Store::open(&dir.0, options()).unwrap();
    let opened = COMMITS as f64 / start.elapsed().as_secs_f64();
    fill(&store, leaves);
    let start = Instant::now();
    store.compact_and_wait().unwrap();
    let compacted = start.elapsed().as_secs_f64() * 1e3;
    store.close();
    drop(store);
    // In memory that nothing else has used before: a process of its own would say less than this one's growth.
    let (before, start) = (resident(), Instant::now());
    let store = Store::open(&dir.0, options()).unwrap();
    let loaded = leaves as f64 / start.elapsed().as_secs_f64();
    let held = (resident() - before).max(0.0) / leaves as f64;
    store.close();
    vec![Some(opened), Some(compacted), Some(loaded), (leaves >= 100_000).then_some(held)]
}
