//! Golden scripts of links, to be read in `scripts/*.txt`.
//!
//! A script is blocks between empty lines: commands, a line `---`, and what came of them. `TEGA_UPDATE=1 cargo test`
//! writes what comes of them now. After each command everything runs until nothing moves. `r1 >` is a frame of the
//! local that the link is named after, `r1 <` one of the global; `⏎` is a line end. Incarnations, instances and digests
//! are numbered as they come up.
//!
//! | command | does |
//! | --- | --- |
//! | `server NAME [id=ID] [of=GLOBAL] [config=A,B] [operational=A,B] [memory=A] [old]` | starts one; `old`: it speaks version 1 of the grammar |
//! | `declare NAME [config=…] [operational=…]` | restarts it with these |
//! | `link NAME`, `link NAME LOCAL GLOBAL`, `cut SERVER` | a link of that name; ends all links of a server |
//! | `on SERVER [request=ID] put PATH JSON \| del PATH \| rollback ROOT N [; …]` | commits |
//! | `lose\|double\|swap LINK up\|down N` | what happens to the N-th frame from now in that direction; also before the link is there |
//! | `hold\|release LINK up\|down\|local\|global` | frames in that direction, or the outcomes of that store, come later |
//! | `restart\|crash\|compact\|clear\|backup\|restore SERVER` | |
//! | `full SERVER`, `room SERVER` | its disk |
//! | `home GLOBAL ROOT ID\|here` | moves a home |
//! | `tick MS` | |
//! | `show SERVER ROOT`, `same ROOT SERVER SERVER`, `homes SERVER`, `status LINK` | |

use std::collections::BTreeMap;

use super::world::{Fault, World, server};
use super::*;
use crate::log::fake::{Choices, Disk};
use crate::store::{Durability, Op, Options, Transaction};

#[derive(Default)]
struct Script {
    world: World,
    backups: BTreeMap<String, Disk>,
    /// Hex numbers as they came up.
    names: Vec<String>,
}

fn list(text: &str) -> Vec<Key> {
    text.split(',').filter(|name| !name.is_empty()).map(Key::from).collect()
}

fn done<T>(start: impl FnOnce(Box<dyn FnOnce(Result<T, Error>) + Send>)) -> Result<T, Error>
where
    T: Send + 'static,
{
    let (sender, receiver) = std::sync::mpsc::channel();
    start(Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver.recv().unwrap()
}

impl Script {
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let mut printed = self.command(&words);
        self.world.settle();
        for line in self.world.trace.drain(..) {
            printed += &line;
            printed.push('\n');
        }
        self.world.links.retain(|_, link| link.closed.is_none());
        self.named(&printed)
    }

    fn command(&mut self, words: &[&str]) -> String {
        let world = &mut self.world;
        match words {
            ["server", name, words @ ..] => {
                let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)).unwrap_or("");
                let memory = list(option("memory=")).into_iter().map(|root| (root, Durability::Memory));
                let options = Options { durability_of: memory.collect(), ..Options::default() };
                let global = Some(option("of=")).filter(|of| !of.is_empty());
                let tega_id = Some(option("id=")).filter(|id| !id.is_empty()).unwrap_or(name);
                let number = world.servers.len() + 1;
                if words.contains(&"old") {
                    world.old.insert(name.to_string());
                }
                world.servers.insert(name.to_string(), server(tega_id, number, global, options));
                self.declare(name, words)
            }
            ["declare", name, words @ ..] => self.declare(name, words),
            ["link", name] => {
                let global = world.servers[*name].global.clone().unwrap();
                world.dial(name, name, &global);
                String::new()
            }
            ["link", name, local, global] => {
                world.dial(name, local, global);
                String::new()
            }
            ["cut", name] => {
                world.cut(name);
                String::new()
            }
            ["on", name, words @ ..] => {
                let mut tx = Transaction::new(None);
                let mut words: &[&str] = words;
                if let [word, rest @ ..] = words
                    && let Some(id) = word.strip_prefix("request=")
                {
                    (tx.request_id, words) = (Some(id.into()), rest);
                }
                tx.ops = words.split(|word| *word == ";").map(op).collect();
                match world.servers[*name].store.commit(tx) {
                    Ok(receipt) => {
                        let versions = receipt.versions.iter().map(|(root, v)| format!("{root}@{v}"));
                        format!("#{} {}\n", receipt.position, versions.collect::<Vec<_>>().join(" "))
                    }
                    Err(error) => format!("refused: {error}\n"),
                }
            }
            [what @ ("lose" | "double" | "swap"), link, way, n] => {
                let fault = match *what {
                    "lose" => Fault::Drop,
                    "double" => Fault::Double,
                    _ => Fault::Swap,
                };
                let (side, nth) = (usize::from(*way == "down"), n.parse().unwrap());
                match world.links.get_mut(*link) {
                    Some(link) => link.ends[side].wire.faults.push((nth, fault)),
                    None => world.to_come.push((link.to_string(), side, nth, fault)),
                }
                String::new()
            }
            [what @ ("hold" | "release"), link, side] => {
                let (hold, link) = (*what == "hold", world.links.get_mut(*link).unwrap());
                match *side {
                    "up" => link.ends[0].wire.held = hold,
                    "down" => link.ends[1].wire.held = hold,
                    "local" => link.ends[0].holds_outcomes = hold,
                    _ => link.ends[1].holds_outcomes = hold,
                }
                String::new()
            }
            ["tick", ms] => {
                world.tick(ms.parse().unwrap());
                String::new()
            }
            _ => self.on_server(words),
        }
    }

    fn declare(&mut self, name: &str, words: &[&str]) -> String {
        let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)).unwrap_or("");
        let (config, operational) = (list(option("config=")), list(option("operational=")));
        self.world.servers.get_mut(name).unwrap().declare(config, operational);
        self.world.restart(name, None);
        String::new()
    }

    fn on_server(&mut self, words: &[&str]) -> String {
        let world = &mut self.world;
        let server = words.get(1).and_then(|name| world.servers.get(*name));
        match (words, server) {
            (["restart", name], _) => world.restart(name, None),
            (["crash", name], _) => world.restart(name, Some(&mut Choices::random(1))),
            (["compact", _], Some(server)) => server.store.compact_and_wait().unwrap(),
            (["clear", _], Some(server)) => drop(server.store.clear_and_wait(None).unwrap()),
            (["backup", name], Some(server)) => {
                self.backups.insert(name.to_string(), server.disk.crash(&mut Choices::random(1)));
            }
            (["restore", name], _) => {
                world.cut(name);
                let backup = self.backups[*name].crash(&mut Choices::random(1));
                world.servers.get_mut(*name).unwrap().restart(backup);
            }
            (["full", _], Some(server)) => server.disk.limit(Some(server.disk.used())),
            (["room", _], Some(server)) => {
                server.disk.limit(None);
                // The store finds out by itself, but by the clock.
                server.store.compact_and_wait().unwrap();
            }
            (["home", _, root, to], Some(server)) => {
                let away = (*to != "here").then(|| Away { home: id(to), handover: true });
                done(|done| server.store.set_homes(vec![((*root).into(), away)], done)).unwrap();
                // Both the old home and the new one connect again.
                world.links.clear();
            }
            (["show", _, root], Some(server)) => return show(&server.store, root),
            (["homes", _], Some(server)) => {
                let home = |(root, away): &(Key, Away)| {
                    format!("{root}: {}{}", away.home, if away.handover { " by handover" } else { "" })
                };
                let homes: Vec<String> = server.store.homes().iter().map(home).collect();
                return if homes.is_empty() { "all here".into() } else { homes.join(", ") } + "\n";
            }
            (["same", root, a, b], _) => {
                let of = |name: &str| {
                    let store = &world.servers[name].store;
                    (store.standing(root), store.get(&path(root)))
                };
                return if of(a) == of(b) { "same\n" } else { "different\n" }.into();
            }
            (["status", name], _) => return self.status(name),
            (words, _) => panic!("no such command: {words:?}"),
        }
        String::new()
    }

    fn status(&self, name: &str) -> String {
        let Some(link) = self.world.links.get(name) else { return "no link\n".into() };
        let mut printed = String::new();
        for end in &link.ends {
            let machine = &end.machine;
            let join = |roots: &[Key]| roots.join(" ");
            let (acked, sent) = machine.acknowledged();
            let followed = machine.followed(self.world.now);
            printed +=
                &format!("{}: sends [{}], {acked} of {sent} acknowledged", end.server, join(machine.sends()));
            for root in machine.sends() {
                let there = machine.version_there(root).map_or("-".into(), |version| version.to_string());
                printed += &format!(", {root}@{there} there");
            }
            let Followed { applied, heard, stale_ms } = followed;
            printed += &format!("; follows [{}], {applied} of {heard} applied, ", join(machine.follows()));
            printed += &format!("stale for {stale_ms} ms");
            for refused in machine.refused() {
                printed += &format!("; refused {}: {}", refused.root, refused.reason);
            }
            if let Some(problem) = machine.problem() {
                printed += &format!("; problem: {problem}");
            }
            printed.push('\n');
        }
        printed
    }

    /// With what differs from run to run replaced.
    fn named(&mut self, text: &str) -> String {
        let regex = |text: &str| regex_lite::Regex::new(text).unwrap();
        let text = regex("\"time\":[0-9]+").replace_all(text, "\"time\":T");
        let text = regex("(SNAPPED [0-9]+) [0-9a-f]{8}").replace_all(&text, "$1 CRC");
        let number = |found: &regex_lite::Captures<'_>| {
            let hex = found[0].to_string();
            let at = self.names.iter().position(|name| *name == hex).unwrap_or_else(|| {
                self.names.push(hex);
                self.names.len() - 1
            });
            format!("#{}", at + 1)
        };
        regex(r"\b[0-9a-f]{16}\b").replace_all(&text, number).into_owned()
    }
}

fn op(words: &[&str]) -> Op {
    match words {
        ["put", at, value] => Op::Put { path: path(at), value: json(value), expect: None, ephemeral: false },
        ["del", at] => Op::Delete { path: path(at), expect: None },
        ["rollback", root, n] => {
            let mut tx = Transaction::new(None).rollback((*root).into(), n.parse().unwrap());
            tx.ops.remove(0)
        }
        other => panic!("no such operation: {other:?}"),
    }
}

/// What a root is and was.
fn show(store: &Store, root: &str) -> String {
    let history = store.history(root).unwrap_or_default();
    let mut printed = if history.is_empty() { format!("{root} isn't known\n") } else { String::new() };
    for past in history {
        let tree = past.tree.as_ref().map_or("deleted".into(), |tree| tree.root().to_value().to_string());
        printed += &format!("{root}@{} of {} {tree}\n", past.version, past.incarnation);
    }
    for past in store.replaced(root) {
        let tree = past.tree.as_ref().map_or("deleted".into(), |tree| tree.root().to_value().to_string());
        printed += &format!("replaced: {root}@{} of {} {tree}\n", past.version, past.incarnation);
    }
    printed
}

/// Runs a script and gives it back with what it printed.
fn run(text: &str) -> String {
    let mut script = Script::default();
    let mut blocks = Vec::new();
    for block in text.split("\n\n") {
        let commands = block.split("\n---").next().unwrap_or("").trim_end();
        let mut printed = String::new();
        for line in commands.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            printed += &script.run(line);
        }
        blocks.push(match printed.trim_end() {
            "" => commands.into(),
            printed => format!("{commands}\n---\n{printed}"),
        });
    }
    blocks.join("\n\n") + "\n"
}

fn golden(name: &str, script: &str) {
    let now = run(script);
    if std::env::var_os("TEGA_UPDATE").is_some() {
        let file = format!("{}/src/link/tests/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(file, now).unwrap();
    } else {
        assert_eq!(now, script, "{name}.txt; TEGA_UPDATE=1 takes what it is now");
    }
}

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            golden(stringify!($name), include_str!(concat!("scripts/", stringify!($name), ".txt")));
        }
    )*};
}

scripts! {
    a_chain_of_links_is_refused
    a_claim_to_a_root_that_is_homed_elsewhere_is_refused
    a_commit_to_several_roots_comes_whole
    a_deleted_root_that_comes_again_goes_on
    a_first_sync_brings_what_is_there
    a_full_disk_stops_a_follower_until_there_is_room
    a_home_that_compacted_too_far_sends_a_snapshot
    a_link_resumes_where_it_was_cut
    a_moved_root_brings_the_outcomes_of_its_requests
    a_lost_acknowledgement_does_no_harm
    a_newly_declared_root_joins
    a_root_in_memory_begins_anew_with_its_home
    an_old_backup_of_the_home_wins
    commits_that_are_doubled_or_turned_around_change_nothing
    lost_frames_are_noticed
    one_tega_id_has_one_link
    the_home_of_a_root_can_be_moved
    what_comes_while_the_store_is_busy_is_applied_together
}
