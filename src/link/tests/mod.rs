//! Servers with real stores on fake disks, joined by a wire that loses, doubles and turns around what it's told to.
//! `scripts/` tells in plain text how a link behaves.

mod handshake;
mod limits;
mod random;
mod script;
mod world;

use super::*;
use crate::path::Path;
use crate::tree::Version;
use crate::value::Value;

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn json(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

fn stands(version: u64) -> Option<Standing> {
    Some(Standing { incarnation: Incarnation(1), version: Version(version), digest: version })
}

/// Books that say what a test wants.
#[derive(Default)]
struct Fake {
    standings: Vec<(Key, Standing)>,
    deleted: Vec<Key>,
    homes: Vec<(Key, Away)>,
}

impl Fake {
    fn with(mut self, root: &str, version: u64) -> Fake {
        self.standings.extend(stands(version).map(|standing| (root.into(), standing)));
        self
    }

    fn away(mut self, root: &str, home: &str, handover: bool) -> Fake {
        self.homes.push((root.into(), Away { home: id(home), handover }));
        self
    }
}

impl Books for Fake {
    fn standing(&self, root: &str) -> Option<Standing> {
        self.standings.iter().find(|(name, _)| name == root).map(|(_, standing)| *standing)
    }

    fn exists(&self, root: &str) -> bool {
        self.standing(root).is_some() && !self.deleted.iter().any(|name| name == root)
    }

    fn home(&self, root: &str) -> Option<Home> {
        Some(self.away(root).map_or(Home::Here, |away| Home::Away(Some(away.home))))
    }

    fn away(&self, root: &str) -> Option<Away> {
        self.homes.iter().find(|(name, _)| name == root).map(|(_, away)| away.clone())
    }
}

/// Effects, one a line; of a frame its first line.
fn told(out: &mut Vec<Effect>) -> Vec<String> {
    out.drain(..).map(|effect| effect_line(&effect)).collect()
}

fn effect_line(effect: &Effect) -> String {
    let names = |roots: &[Key]| roots.iter().map(Key::as_str).collect::<Vec<_>>().join(" ");
    match effect {
        Effect::Send(text) => text.lines().next().unwrap_or_default().to_string(),
        Effect::Admit { tega_id, follow, serve, .. } => {
            format!("admit {tega_id} follow [{}] serve [{}]", names(follow), names(serve))
        }
        Effect::SetHomes(homes) => {
            let home = |(root, away): &(Key, Option<Away>)| match away {
                None => format!("{root}: here"),
                Some(Away { home, handover }) => {
                    format!("{root}: {home}{}", if *handover { " by handover" } else { "" })
                }
            };
            format!("homes {}", homes.iter().map(home).collect::<Vec<_>>().join(", "))
        }
        Effect::Linked => "linked".into(),
        Effect::Open { roots, known } => {
            let known = known.iter().map(|(_, it)| it.map_or("-".into(), |it| it.version.to_string()));
            format!("open [{}] from [{}]", names(roots), known.collect::<Vec<_>>().join(" "))
        }
        Effect::Flush => "flush".into(),
        Effect::Follow { home, records } => format!("follow {} of {home}", records.len()),
        Effect::Install(_) => "install".into(),
        Effect::Close(closing) => format!("close {}: {}", closing.code.number(), closing.reason),
    }
}
