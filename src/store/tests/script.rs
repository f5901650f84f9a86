//! Golden scripts: commands and what comes of them, to be read in `scripts/*.txt`.
//!
//! A script is blocks between empty lines: commands, a line `---`, and what they print. `TEGA_UPDATE=1 cargo test`
//! writes what they print now. Commands:
//!
//! | command | does |
//! | --- | --- |
//! | `[by=ID] [session=NAME] [request=ID] [durable] OP [; OP …]` | commits; `OP` is `put [if=N] PATH JSON`, `del [if=N] PATH`, `lease PATH JSON` (an ephemeral put), `rollback ROOT N` |
//! | `preview OP [; OP …]` | what that would lead to |
//! | `session NAME ID`, `end NAME` | a session that may own ephemeral nodes |
//! | `watch NAME [except=ID] [regex] [since=POSITION] CHANNEL` | what it is told is printed after each command |
//! | `get PATH`, `nodes ROOT` | the present; every node with its version (`~`: ephemeral) |
//! | `at ROOT N`, `history ROOT`, `diff ROOT N M`, `roots`, `position`, `leases` | |
//! | `compact`, `clear`, `restart`, `crash` | a restart ends all sessions, watches and links |
//! | `home: COMMAND` | at another server, the home `g` |
//! | `link ROOT…`, `pull` | begins a feed there from what is here; takes in what it has |
//! | `lose` | takes the next commit of the feed and loses it |
//! | `follow RECORD` | takes in one record of `g` |
//! | `compare ROOT` | whether both have the same, node versions and digests included |
//! | `homes`, `home ROOT`, `set ROOT [ID [handover]]`, `replaced ROOT`, `origin ROOT` | |
//!
//! `# option follows C,… O,… P,…` makes it a local server with these config, operational and private roots.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;
use crate::log::fake::Choices;

struct World {
    disk: Disk,
    options: Options,
    store: Store,
    sessions: BTreeMap<String, SessionId>,
    watches: BTreeMap<String, Watch>,
    home: Option<Box<World>>,
    feed: Option<(Feed, Start, Vec<Key>)>,
}

fn options(script: &str) -> Options {
    let mut options = Options { history: 4, ..Options::default() };
    for line in script.lines().filter_map(|line| line.strip_prefix("# option ")) {
        match line.split_once(' ').unwrap() {
            ("tombstones", n) => options.tombstones = n.parse().unwrap(),
            ("requests", n) => options.requests = n.parse().unwrap(),
            ("follows", roots) => options.role = follows(roots),
            ("durability", d) => options.durability = d.parse().unwrap(),
            (root, d) => options.durability_of.push((root.into(), d.parse().unwrap())),
        }
    }
    options
}

fn follows(roots: &str) -> Role {
    let mut lists =
        roots.split(' ').map(|list| list.split(',').filter(|r| *r != "-").map(Key::from).collect());
    let mut next = || -> Vec<Key> { lists.next().unwrap_or_default() };
    let (config, operational, private) = (next(), next(), next());
    let private = if private == ["*"] { Private::Any } else { Private::Roots(private) };
    Role::Follows { config, operational, private }
}

impl World {
    fn new(options: Options) -> World {
        let disk = Disk::new();
        let store = Store::open_on(disk.medium(), options.clone()).unwrap();
        let (sessions, watches) = (BTreeMap::new(), BTreeMap::new());
        World { disk, options, store, sessions, watches, home: None, feed: None }
    }

    fn home(&mut self) -> &mut World {
        self.home.get_or_insert_with(|| Box::new(World::new(Options { history: 4, ..Options::default() })))
    }

    fn link(&mut self, roots: &[&str]) -> String {
        let roots: Vec<Key> = roots.iter().map(|root| (*root).into()).collect();
        let known: Vec<_> = roots.iter().map(|root| (root.clone(), self.store.standing(root))).collect();
        let (feed, start) = self.home().store.feed(roots.clone(), &known, || ());
        let printed = format!("{start:?} from #{}\n", feed.position());
        self.feed = Some((feed, start, roots));
        printed
    }

    fn pull(&mut self) -> String {
        let Some((feed, start, roots)) = &mut self.feed else { panic!("no link") };
        let mut printed = String::new();
        if *start == Start::Snapshot {
            let mut incoming = Incoming::new(id("g"), roots.clone());
            feed.snapshot(true).for_each(|line| incoming.line(&line).unwrap());
            printed +=
                &match incoming.finish().map(|snapshot| wait(|done| self.store.install(snapshot, done))) {
                    Ok(installed) => show(installed, |()| format!("installed #{}", feed.position())),
                    Err(why) => format!("bad snapshot: {why}\n"),
                };
            *start = Start::Resume;
        }
        loop {
            match feed.try_next() {
                Ok(None) => return printed,
                Ok(Some(Sent { position, after, record })) => {
                    let followed = wait(|done| self.store.follow(&id("g"), roots, vec![record], done));
                    printed += &show(followed, |()| format!("followed #{position} after #{after}"));
                }
                Err(Lagging) => return printed + "lagging\n",
            }
        }
    }

    fn compare(&mut self, root: &str) -> String {
        let of = |store: &Store| {
            let tree = store.view().root(root).filter(|r| !r.ephemeral_only).map(|r| stamps(&r.tree));
            (store.standing(root), tree)
        };
        let (here, there) = (of(&self.store), of(&self.home().store));
        if here == there {
            return "same\n".into();
        }
        let line = |(standing, tree): (Option<Standing>, Option<String>)| {
            let version = standing.map_or("none".into(), |standing| format!("@{}", standing.version));
            format!("{version} {}", tree.unwrap_or_else(|| "-".into()))
        };
        format!("here {}\nthere {}\n", line(here), line(there))
    }

    fn run(&mut self, line: &str) -> String {
        let mut printed = self.command(line);
        if printed == "\n" {
            printed = "none\n".into();
        }
        check(&self.store);
        // The end of a session is queued; this waits for it.
        let _ = self.store.commit(Transaction::new(None));
        printed + &self.told()
    }

    fn command(&mut self, line: &str) -> String {
        if let Some(line) = line.strip_prefix("home: ") {
            return self.home().run(line);
        }
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["link", roots @ ..] => return self.link(roots),
            ["pull"] => return self.pull(),
            ["lose"] => {
                let lost = self.feed.as_mut().unwrap().0.try_next().unwrap().unwrap();
                return format!("lost #{}\n", lost.position);
            }
            ["compare", root] => return self.compare(root),
            _ => {}
        }
        let store = &self.store;
        match words.as_slice() {
            ["follow", record] => {
                let touched = crate::commit::Commit::decode(record).map_or_else(|_| Vec::new(), |c| c.roots);
                let roots: Vec<Key> = touched.into_iter().map(|touched| touched.root).collect();
                show(wait(|done| store.follow(&id("g"), &roots, vec![record.to_string()], done)), |()| {
                    "followed".into()
                })
            }
            ["homes"] => {
                let line = |(root, away): &(Key, Away)| {
                    format!("{root}: {}{}", away.home, if away.handover { " handover" } else { "" })
                };
                store.homes().iter().map(line).collect::<Vec<_>>().join(", ") + "\n"
            }
            ["home", root] => show(store.home(root), |home| home.to_string()),
            ["set", root, to @ ..] => {
                let away = to.first().map(|home| Away { home: id(home), handover: to.len() > 1 });
                show(wait(|done| store.set_homes(vec![((*root).into(), away)], done)), |()| "set".into())
            }
            ["replaced", root] => {
                let line = |p: &Past| format!("@{} {}", p.version, stamps(p.tree.as_ref().unwrap()));
                store.replaced(root).iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
            }
            ["origin", root] => store.view().origin(root).map_or("-".into(), |p| format!("#{p}")) + "\n",
            ["session", name, tega_id] => {
                self.sessions.insert(name.to_string(), store.begin_session(id(tega_id)));
                String::new()
            }
            ["end", name] => {
                store.end_session(self.sessions[*name]);
                String::new()
            }
            ["watch", name, rest @ ..] => self.watch(name, rest),
            ["get", at] => text(store, at) + "\n",
            ["nodes", root] => store.view().root(root).map_or("-".into(), |r| stamps(&r.present)) + "\n",
            ["at", root, n] => show(store.at(root, n.parse().unwrap()), |past| {
                past.tree.map_or("deleted".into(), |tree| tree.root().to_value().to_string())
            }),
            ["history", root] => show(store.history(root), |pasts| {
                let line = |p: &Past| {
                    let by = p.by.as_ref().map_or("-", TegaId::as_str);
                    let tree = p.tree.as_ref().map_or("deleted".into(), |t| t.root().to_value().to_string());
                    format!("{root}@{} #{} {by} {tree}", p.version, p.position)
                };
                pasts.iter().map(line).collect::<Vec<_>>().join("\n")
            }),
            ["diff", root, from, to] => {
                show(store.diff(root, from.parse().unwrap(), to.parse().unwrap()), |d| {
                    let node = |n: &Option<crate::tree::Node>| {
                        n.as_ref().map_or("-".into(), |n| n.to_value().to_string())
                    };
                    let line = |d: &Difference| {
                        format!("{}: {} -> {}", d.keys.join("."), node(&d.before), node(&d.after))
                    };
                    d.iter().map(line).collect::<Vec<_>>().join("\n")
                })
            }
            ["roots"] => {
                let view = store.view();
                let line = |(name, root): (&Key, &Root)| format!("{name}@{}", root.version);
                view.roots().map(line).collect::<Vec<_>>().join(" ") + "\n"
            }
            ["position"] => format!("#{}\n", store.view().position()),
            ["leases"] => {
                let line = |e: &Ephemeral| format!("{} {}", e.path, e.tega_id);
                store.ephemeral(&Path::TOP).iter().map(line).collect::<Vec<_>>().join(", ") + "\n"
            }
            ["compact"] => show(store.compact_and_wait(), |()| "compacted".into()),
            ["clear"] => show(store.clear_and_wait(None), receipt),
            ["restart" | "crash"] => {
                self.restart(words == ["crash"]);
                String::new()
            }
            ["preview", rest @ ..] => show(store.preview(&self.transaction(rest)), |roots| {
                let tree = |t: &Option<Tree>| {
                    t.as_ref().map_or("deleted".into(), |t| t.root().to_value().to_string())
                };
                roots.iter().map(|(name, t)| format!("{name}: {}", tree(t))).collect::<Vec<_>>().join("\n")
            }),
            words => show(store.commit(self.transaction(words)), receipt),
        }
    }

    fn restart(&mut self, crash: bool) {
        let before = (everything(&self.store), self.store.homes());
        self.watches.clear();
        self.feed = None;
        self.sessions.clear();
        if crash {
            self.disk = self.disk.crash(&mut Choices::random(1));
        }
        self.store.close();
        self.store = Store::open_on(self.disk.medium(), self.options.clone()).unwrap();
        if self.options.all_durable() {
            assert_eq!((everything(&self.store), self.store.homes()), before);
        }
    }

    fn watch(&mut self, name: &str, words: &[&str]) -> String {
        let (mut except, mut since, mut regex) = (None, None, false);
        for word in words {
            match word.split_once('=') {
                Some(("except", tega_id)) => except = Some(id(tega_id)),
                Some(("since", n)) => since = Some(Since::Position(Position(n.parse().unwrap()))),
                _ => regex |= *word == "regex",
            }
        }
        let channel = words[words.len() - 1];
        let channel = if regex { Channel::regex(channel).unwrap() } else { Channel::Path(path(channel)) };
        let watch = self.watches.entry(name.into()).or_insert_with(|| self.store.watch(except, || ()));
        let subscribed = watch.subscribe(channel.clone(), since).unwrap();
        match subscribed.missed {
            None => format!("  {name}: gone\n"),
            Some(missed) => missed
                .iter()
                .map(|event| notices_line(name, event, &notices_of(&channel, event, &subscribed.view)))
                .collect(),
        }
    }

    fn told(&self) -> String {
        let mut lines = String::new();
        for (name, watch) in &self.watches {
            while let Some(event) = watch.try_next().unwrap() {
                lines += &notices_line(name, &event, &watch.notices(&event));
            }
        }
        lines
    }

    fn transaction(&self, words: &[&str]) -> Transaction {
        let mut tx = Transaction::new(None);
        let mut words = words.iter();
        while let Some(word) = words.as_slice().first() {
            match word.split_once('=') {
                Some(("by", tega_id)) => tx.by = Some(id(tega_id)),
                Some(("session", name)) => tx.session = Some(self.sessions[name]),
                Some(("request", id)) => tx.request_id = Some(id.into()),
                _ if *word == "durable" => tx.durable = true,
                _ => break,
            }
            words.next();
        }
        let ops = words.as_slice().split(|word| *word == ";");
        tx.ops = ops.filter(|op| !op.is_empty()).map(op).collect();
        tx
    }
}

fn op(words: &[&str]) -> Op {
    let expect = |word: &str| word.strip_prefix("if=").map(|n| Expect::version(n.parse().unwrap()));
    let (words, expect) = match words {
        [verb, word, rest @ ..] if expect(word).is_some() => ([&[*verb], rest].concat(), expect(word)),
        words => (words.to_vec(), None),
    };
    match words.as_slice() {
        [verb @ ("put" | "lease"), at, value] => {
            Op::Put { path: path(at), value: json(value), expect, ephemeral: *verb == "lease" }
        }
        ["del", at] => Op::Delete { path: path(at), expect },
        ["rollback", root, n] => Op::Rollback { root: (*root).into(), back_to: n.parse().unwrap(), expect },
        other => panic!("no such command: {other:?}"),
    }
}

fn show<T>(result: Result<T, Error>, text: impl FnOnce(T) -> String) -> String {
    let text = result.map_or_else(|error| format!("refused: {error}"), text);
    if text.is_empty() { "nothing\n".into() } else { text + "\n" }
}

fn receipt(receipt: Receipt) -> String {
    let versions: Vec<String> = receipt.versions.iter().map(|(root, v)| format!("{root}@{v}")).collect();
    let durable = if receipt.durable { "" } else { " not durable" };
    format!("#{} {}{durable}", receipt.position, versions.join(" "))
}

fn notices_line(name: &str, event: &Event, notices: &[Notice]) -> String {
    let position = event.position.map_or("-".into(), |p| p.to_string());
    let mut line = format!("  {name}: #{position} {}", event.by_name());
    for notice in notices {
        let _ = write!(line, " | {} {} {}", notice.ope.name(), notice.path, notice.value());
        if let Some(version) = notice.back_to {
            let _ = write!(line, " back to {version}");
        }
    }
    line + "\n"
}

/// Runs a script and gives it back with what it printed.
fn run(script: &str) -> String {
    let mut world = World::new(options(script));
    let mut blocks = Vec::new();
    for block in script.split("\n\n") {
        let commands = block.split("\n---").next().unwrap_or("").trim_end();
        let mut printed = String::new();
        for line in commands.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            printed += &world.run(line);
        }
        let silent = printed.is_empty();
        blocks.push(if silent {
            commands.into()
        } else {
            format!("{commands}\n---\n{}", printed.trim_end())
        });
    }
    world.store.close();
    world.home().store.close();
    blocks.join("\n\n") + "\n"
}

fn golden(name: &str, script: &str) {
    let now = run(script);
    if std::env::var_os("TEGA_UPDATE").is_some() {
        let file = format!("{}/src/store/tests/scripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
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
    a_replica_follows_its_home
    a_snapshot_replaces_what_stood_there
    a_snapshot_voids_what_it_does_not_have
    deletes_cascade
    ephemeral_nodes_end_with_their_session
    expectations_are_judged_before_the_transaction
    memory_roots_are_not_in_the_log
    notices_tell_what_concerns_a_channel
    requests_take_effect_once
    requests_travel_with_a_snapshot
    resuming_tells_what_was_missed_or_that_it_is_gone
    rollbacks_are_new_versions
    roots_are_written_at_their_homes
    roots_go_on_counting
    transactions_are_all_or_nothing
    versions_are_those_of_the_last_change
}
