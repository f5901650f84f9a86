use std::collections::BTreeMap;

use super::super::testing::Random;
use super::*;

fn key(n: usize) -> Key {
    format!("k{n:05}").into()
}

/// All entries of a map, and its invariants tested.
fn entries(map: &Map<usize>) -> Vec<(Key, usize)> {
    map.check().unwrap();
    map.iter().map(|(k, v)| (k.clone(), *v)).collect()
}

fn filled(keys: impl Iterator<Item = usize>) -> Map<usize> {
    keys.fold(Map::new(), |map, n| map.insert(key(n), n).0)
}

fn leaves<V>(chunk: &Chunk<V>) -> usize {
    match chunk {
        Chunk::Leaf(_) => 1,
        Chunk::Branch(branch) => branch.limbs.iter().map(|limb| leaves(&limb.chunk)).sum(),
    }
}

#[test]
fn random_edits_do_what_they_do_to_a_btreemap() {
    for (seed, span, edits) in [(1, 12, 500), (2, 80, 3_000), (3, 2_000, 20_000)] {
        let mut random = Random::new(seed);
        let mut model = BTreeMap::new();
        let mut map = Map::new();
        for n in 0..edits {
            // Phases of growth and of shrinking.
            let key = key(random.below(span));
            if random.below(10) < if n / 1000 % 2 == 0 { 7 } else { 3 } {
                let (new, before) = map.insert(key.clone(), n);
                assert_eq!(before, model.insert(key, n));
                map = new;
            } else {
                match (map.remove(&key), model.remove(&key)) {
                    (Some((new, before)), Some(expected)) => {
                        assert_eq!(before, expected);
                        map = new;
                    }
                    (None, None) => {}
                    (got, expected) => panic!("{key}: {:?} and {expected:?}", got.map(|g| g.1)),
                }
            }
            let probe = self::key(random.below(span));
            assert_eq!(map.get(&probe), model.get(&probe));
            if n % 97 == 0 || span < 100 {
                let expected: Vec<_> = model.iter().map(|(k, v)| (k.clone(), *v)).collect();
                assert_eq!(entries(&map), expected);
                let from: Vec<_> = map.iter_from(&probe).map(|(k, _)| k).collect();
                assert_eq!(from, model.range(probe..).map(|(k, _)| k).collect::<Vec<_>>());
                assert_eq!(map.last().map(|(k, _)| k), model.keys().next_back());
                assert_eq!(map.first().map(|(k, _)| k), model.keys().next());
            }
        }
    }
}

#[test]
fn a_map_emptied_in_any_order_stays_in_shape() {
    let count = FANOUT * FANOUT * 3;
    let orders: [Box<dyn Fn(usize) -> usize>; 3] =
        [Box::new(|n| n), Box::new(move |n| count - 1 - n), Box::new(move |n| n * 577 % count)];
    for order in &orders {
        let mut map = filled(0..count);
        for n in 0..count {
            map = map.remove(&key(order(n))).unwrap().0;
            map.check().unwrap();
        }
        assert!(map.is_empty() && map.same(&Map::new()));
    }
}

#[test]
fn an_edit_leaves_the_old_map_as_it_was() {
    let old = filled(0..1000);
    let before = entries(&old);
    let (new, _) = old.insert(key(500), 0);
    let new = new.remove(&key(0)).unwrap().0;
    assert_eq!(entries(&old), before);
    assert_eq!((new.len(), old.len()), (999, 1000));
}

#[test]
fn keys_in_order_leave_full_chunks_and_others_half_full_ones() {
    let count = 10_000;
    let least = count / FANOUT + 1;
    assert!(leaves(&filled(0..count).0) <= least);
    let entries = (0..count).map(|n| (key(n), n)).collect();
    assert!(leaves(&Map::from_sorted(entries).0) <= least);
    for map in [filled((0..count).rev()), filled((0..count).map(|n| n * 7919 % count))] {
        map.check().unwrap();
        assert_eq!(map.len(), count);
        assert!(leaves(&map.0) <= 2 * least, "{}", leaves(&map.0));
    }
}

#[test]
fn a_map_is_made_of_entries_whatever_their_order() {
    for count in [0, 1, FANOUT, FANOUT + 1, FANOUT * FANOUT, FANOUT * FANOUT + 1, 5000] {
        let sorted: Vec<_> = (0..count).map(|n| (key(n), n)).collect();
        assert_eq!(entries(&Map::from_sorted(sorted.clone())), sorted);
        let mut mixed: Vec<_> = sorted.iter().rev().map(|(k, _)| (k.clone(), 0)).collect();
        mixed.extend(sorted.clone());
        assert_eq!(entries(&Map::from_sorted(mixed)), sorted);
    }
}

#[test]
fn pairs_are_the_entries_that_differ_and_little_else() {
    let mut random = Random::new(5);
    let old = filled(0..3000);
    for edits in [1, 2, 10, 200] {
        for _ in 0..20 {
            let mut new = old.clone();
            let start = random.below(3000);
            for n in 0..edits {
                // Half of the edits side by side, to empty and fill whole chunks.
                let at = if n % 2 == 0 { start + n / 2 } else { random.below(3500) };
                new = match random.below(3) {
                    0 => new.insert(key(at), usize::MAX).0,
                    _ => new.remove(&key(at)).map_or(new, |(new, _)| new),
                };
            }
            new.check().unwrap();
            let mut pairs = old.pairs(&new);
            let differ: Vec<Key> = pairs
                .by_ref()
                .filter_map(|pair| match pair {
                    Pair::Both(_, a, b) if a == b => None,
                    Pair::Both(key, ..) | Pair::Left(key, _) | Pair::Right(key, _) => Some(key.clone()),
                })
                .collect();
            let all: std::collections::BTreeSet<&Key> =
                old.iter().chain(new.iter()).map(|(key, _)| key).collect();
            let expected: Vec<&Key> = all.into_iter().filter(|k| old.get(k) != new.get(k)).collect();
            assert_eq!(differ.iter().collect::<Vec<_>>(), expected);
            assert!(pairs.visited() < 40 + edits * 8 * FANOUT, "{} for {edits}", pairs.visited());
            assert_eq!(old == new, differ.is_empty());
        }
    }
    assert_eq!(old.pairs(&old.clone()).count(), 0);
}
