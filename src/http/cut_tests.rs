//! That no answer shows what its reader may not see, and each all that they may: random trees, random tokens.

use std::collections::BTreeSet;

use super::events::Flow;
use super::scope_tests::{Server, path};
use super::*;
use crate::api::route::Read;
use crate::path::{Key, Path};
use crate::store::{Op, Transaction};
use crate::token::Grant;

/// Numbers that look random, the same ones for the same seed (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit.max(1) as u64) as usize
    }

    /// A path of `least` to four keys out of few.
    pub(super) fn path(&mut self, least: usize) -> Path {
        let len = least + self.below(5 - least);
        let key = |random: &mut Random, first: bool| match random.below(4) {
            0 if !first => "_k".into(),
            1 if !first => "x.y".into(),
            n => format!("k{}", n % 3),
        };
        let keys: Vec<String> = (0..len).map(|at| key(self, at == 0)).collect();
        Path::new(keys).unwrap()
    }

    /// A value of which each leaf is a text that says where it stands.
    pub(super) fn value(&mut self, at: &Path, number: usize) -> Value {
        if at.len() >= 2 && (at.len() >= 5 || self.below(3) == 0) {
            return Value::from(format!("<leaf {at} {number}>"));
        }
        let keys: BTreeSet<&str> =
            (0..self.below(4)).map(|_| ["k0", "k1", "_k", "x.y"][self.below(4)]).collect();
        let members = keys.into_iter().map(|key| {
            let below = at.join(key).unwrap();
            (key.into(), self.value(&below, number))
        });
        Value::object(members.collect()).unwrap()
    }

    pub(super) fn access(&mut self) -> Access {
        let read = (0..1 + self.below(3)).map(|_| self.path(1)).collect();
        Access::of(Grant { read, ..Grant::default() }.into())
    }
}

/// What is left of a value at a path: written anew, to compare with.
fn left(at: &Path, value: &Value, access: &Access, internal: bool) -> Option<Value> {
    if access.may_read(at) {
        return Some(value.clone());
    }
    let members = value.as_object()?.members();
    let mut found = false;
    let mut kept = Vec::new();
    for (key, value) in members {
        let attribute = internal && key.starts_with('_') && !key.starts_with("__");
        if attribute {
            kept.push((key.clone(), value.clone()));
            continue;
        }
        let name = if internal { key.strip_prefix('_').unwrap_or(key) } else { key };
        if let Some(value) = left(&at.join(name).unwrap(), value, access, internal) {
            found = true;
            kept.push((key.clone(), value));
        }
    }
    found.then(|| Value::object(kept).unwrap())
}

/// That each leaf's text in an answer may be read.
fn check_texts(answer: &str, access: &Access, what: &str) {
    for part in answer.split("<leaf ").skip(1) {
        // A path with quotes in it is escaped in JSON.
        let text = part
            .split('>')
            .next()
            .unwrap()
            .rsplit_once(' ')
            .unwrap()
            .0
            .replace("\\\\\\\"", "\"")
            .replace("\\\"", "\"");
        assert!(access.may_read(&path(&text)), "{what}: {text} with {:?}: {answer}", access.readable());
    }
}

#[test]
fn a_reader_of_parts_sees_what_an_admin_sees_without_the_rest() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut cut, mut gone, mut whole) = (0, 0, 0);
    for round in 0..30 {
        let server = Server::new();
        for number in 0..20 {
            let at = random.path(1);
            let transaction = match random.below(5) {
                0 => Transaction::new(None).delete(at),
                _ => Transaction::new(None).put(at.clone(), random.value(&at, number)),
            };
            // One that doesn't fit changes nothing.
            let _ = server.0.store.commit(transaction);
        }
        let admin = |target: &str| server.ask_as(&Access::all(), Method::Get, target, "");
        for _ in 0..10 {
            let access = random.access();
            let as_reader = |target: &str| server.ask_as(&access, Method::Get, target, "");
            for _ in 0..6 {
                let at = random.path(0);
                let internal = random.below(2) == 0;
                let version = ["", "&version=-1"][if at.is_empty() { 0 } else { random.below(2) }];
                let target =
                    format!("{}?internal={}{version}", at.to_url(), if internal { "True" } else { "" });
                let (all, seen) = (admin(&target), as_reader(&target));
                check_texts(&seen.body, &access, &target);
                if !access.may_read_some(&at) {
                    assert_eq!(seen.status, 403, "{target}");
                    continue;
                }
                let value = (all.status == 200).then(|| Value::parse(&all.body).unwrap());
                let wanted = value.as_ref().and_then(|value| left(&at, value, &access, internal));
                match wanted {
                    None if at.is_empty() => assert_eq!((seen.status, seen.body.as_str()), (200, "{}")),
                    None => {
                        gone += 1;
                        assert_eq!(seen.status, 404, "{target}: {}", seen.body);
                    }
                    Some(wanted) => {
                        assert_eq!(seen.status, 200, "{target}: {}", seen.body);
                        assert_eq!(Value::parse(&seen.body).unwrap(), wanted, "{round} {target}");
                        *(if Some(&wanted) == value.as_ref() { &mut whole } else { &mut cut }) += 1;
                    }
                }
            }
            for pattern in [".*", r"k1\..*", r"(k.)\.(.*)\.x"] {
                let target = Route::Select { pattern: pattern.into(), read: Read::default() }.target().1;
                let (all, seen) = (admin(&target), as_reader(&target));
                check_texts(&seen.body, &access, &target);
                let all = Value::parse(&all.body).unwrap();
                let mut wanted = Vec::new();
                for (at, found) in all.as_object().unwrap().members() {
                    let instance = found.get("instance").unwrap();
                    if let Some(instance) = left(&path(at), instance, &access, false) {
                        let members = vec![
                            ("groups".into(), found.get("groups").unwrap().clone()),
                            ("instance".into(), instance),
                        ];
                        wanted.push((at.clone(), Value::object(members).unwrap()));
                    }
                }
                assert_eq!(Value::parse(&seen.body).unwrap(), Value::object(wanted).unwrap(), "{target}");
            }
            for call in ["_roots", "_old", "_status", "_edges", "_edges?old_roots=True"] {
                let reply = as_reader(&format!("/{call}"));
                assert_eq!(reply.status, 200, "{call}");
                check_texts(&reply.body, &access, call);
            }
            for root in ["k0", "k1", "k2"] {
                for call in ["_history?", "_diff?from=-2&", "_edges?old_roots=True&"] {
                    let target = format!("/{call}root_oid={root}");
                    let reply = as_reader(&target);
                    assert_eq!(reply.status == 403, !access.may_read_some(&path(root)), "{target}");
                    check_texts(&reply.body, &access, &target);
                    check_paths(&reply, &access, &target);
                }
            }
        }
    }
    assert!(cut > 100 && gone > 50 && whole > 100, "{cut} {gone} {whole}");
}

/// That each path that a history, a comparison or a drawing names is one of which something may be read.
fn check_paths(reply: &Reply, access: &Access, what: &str) {
    fn texts(value: &Value, out: &mut Vec<String>) {
        if let Some(list) = value.as_list() {
            list.items().iter().for_each(|item| texts(item, out));
        } else if let Some(at) = value.get("path").and_then(Value::as_str) {
            out.push(at.into());
        } else if let Some(changes) = value.get("changes") {
            texts(changes, out);
        } else if let Some((at, _)) = value.as_str().and_then(|text| text.rsplit_once('(')) {
            out.push(at.into());
        }
    }
    let mut paths = Vec::new();
    texts(&Value::parse(&reply.body).unwrap(), &mut paths);
    for at in paths {
        assert!(access.may_read_some(&path(&at)), "{what}: {at} with {:?}", access.readable());
    }
}

/// Sets a value in a mirror, or takes it away with the parents that are left empty.
fn set(mirror: &mut Option<Value>, keys: &[Key], value: Option<Value>) {
    let Some((key, below)) = keys.split_first() else {
        *mirror = value;
        return;
    };
    let mut members: Vec<(Key, Value)> =
        mirror.as_ref().and_then(Value::as_object).map_or(Vec::new(), |object| object.members().to_vec());
    let mut child = members.iter().position(|(k, _)| k == key).map(|at| members.remove(at).1);
    set(&mut child, below, value);
    members.extend(child.map(|child| (key.clone(), child)));
    *mirror = (!members.is_empty()).then(|| Value::object(members).unwrap());
}

#[test]
fn a_mirror_kept_by_the_changes_alone_is_what_its_reader_sees() {
    let mut random = Random(77);
    let mut told = 0;
    for round in 0..60 {
        let server = Server::new();
        server.put("k0", "{}");
        let accesses: Vec<Access> = (0..8).map(|_| random.access()).collect();
        let mut watchers: Vec<_> = accesses
            .iter()
            .filter_map(|access| Some((access, server.watch(access, "/k0").ok()?, None::<Value>)))
            .collect();
        for number in 0..25 {
            let mut at = vec!["k0".to_string()];
            at.extend(random.path(0).keys().iter().map(|key| key.to_string()));
            let at = Path::new(at).unwrap();
            let transaction = match random.below(8) {
                0 | 1 => Transaction::new(None).delete(at),
                2 => {
                    let mut transaction = Transaction::new(None);
                    let back_to = -(random.below(4) as i64);
                    transaction.ops.push(Op::Rollback { root: "k0".into(), back_to, expect: None });
                    transaction
                }
                _ => Transaction::new(None).put(at.clone(), random.value(&at, number)),
            };
            let _ = server.0.store.commit(transaction);
            for (access, stream, mirror) in &mut watchers {
                let mut out = String::new();
                while stream.next(&mut out) == Flow::More {}
                check_texts(&out, access, "a stream");
                for event in out.split("\n\n").filter(|event| !event.is_empty()) {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    let data = Value::parse(data).unwrap();
                    let at = path(data.get("path").unwrap().as_str().unwrap());
                    let instance = data.get("instance").cloned();
                    let ope = data.get("ope").and_then(Value::as_str);
                    told += usize::from(ope.is_some());
                    let value = if ope == Some("DELETE") { None } else { instance };
                    set(mirror, &at.keys()[1..], value);
                }
                let all = server.ask_as(&Access::all(), Method::Get, "/k0", "");
                let all = (all.status == 200).then(|| Value::parse(&all.body).unwrap());
                let wanted = all.and_then(|all| left(&path("k0"), &all, access, false));
                // Whether the root itself is empty or gone isn't what this is about.
                let empty = |value: &Value| *value == Value::empty_object();
                let (mirror, wanted) = (mirror.clone().filter(|v| !empty(v)), wanted.filter(|v| !empty(v)));
                assert_eq!(
                    mirror,
                    wanted,
                    "round {round}, commit {number}, with {:?}: {out}",
                    access.readable()
                );
            }
        }
    }
    assert!(told > 1000, "{told}");
}
