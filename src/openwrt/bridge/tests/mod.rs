//! Golden scripts of the trial, to be read in `scripts/*.txt`.
//!
//! A script is blocks between empty lines: commands, a line `---`, and what came of them. `TEGA_UPDATE=1 cargo test`
//! writes what comes of them now. `→` is what is to be done, `=` how it stands, `wakes` when the machine wants to be told
//! the time. Times are milliseconds of the boot clock; nonces are 1, 2, 3…
//!
//! | command | tells |
//! | --- | --- |
//! | `at MS` | the time, from now on; the machine is told where it wanted to be |
//! | `wanted N SUM`, `wanted N -` | what the tree says: version and content |
//! | `planned change [limit=S] [settle=S] [person] [probes]`, `planned same`, `planned refused WHY`, `planned notnow WHY` | |
//! | `installed`, `reloaded`, `probed`, `restored`, `written`, each with `failed WHY`; `installed touched WHY`, `again WHY` | what came of an effect |
//! | `proved NONCE N`, `proved failed WHY` | the home's answer |
//! | `crashed WHY`, `confirm OPENED`, `revert WHO`, `retry`, `enforce` | |
//! | `remember confirmed N SUM`, `remember reverted N SUM WHY` | what a start finds |
//! | `resume N SUM PHASE deadline=MS reloads=N [limit=S] …` | a trial that a start finds |

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::files::Sum;
use super::record::{Mark, Phase, Record, Reverted};
use super::said::{Effect, Input, Planned, Report, Settings, Wanted};
use super::trial::{Nonces, Trial};
use crate::commit::Incarnation;
use crate::tree::Version;

#[derive(Debug)]
struct Counted(u64);

impl Nonces for Counted {
    fn draw(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

struct Script {
    trial: Trial,
    now: u64,
}

fn mark(word: &str) -> Mark {
    Mark { incarnation: Incarnation(1), version: Version(word.parse().unwrap()) }
}

fn outcome(words: &[&str]) -> Result<(), String> {
    match words {
        [] => Ok(()),
        ["failed", why @ ..] => Err(why.join(" ")),
        other => panic!("{other:?}"),
    }
}

fn settings(words: &[&str]) -> Settings {
    let number = |name: &str, or: u64| {
        words
            .iter()
            .find_map(|word| word.strip_prefix(name))
            .map_or(or, |n| n.parse::<u64>().unwrap() * 1_000)
    };
    Settings {
        limit: number("limit=", 90_000),
        settle: number("settle=", 0),
        by_global: !words.contains(&"person"),
        probes: words.contains(&"probes"),
    }
}

fn input(words: &[&str]) -> Input {
    match words {
        ["wanted", n, "-"] => Input::Wanted(Wanted { mark: mark(n), sum: None }),
        ["wanted", n, sum] => Input::Wanted(Wanted { mark: mark(n), sum: Some(Sum(sum.to_string())) }),
        ["planned", "change", more @ ..] => Input::Planned(Planned::Change(settings(more))),
        ["planned", "same"] => Input::Planned(Planned::Same),
        ["planned", "refused", why @ ..] => Input::Planned(Planned::Refused(why.join(" "))),
        ["planned", "notnow", why @ ..] => Input::Planned(Planned::NotNow(why.join(" "))),
        ["again", why @ ..] => Input::Again(why.join(" ")),
        ["installed", "touched", why @ ..] => Input::Installed(Err((why.join(" "), true))),
        ["installed", more @ ..] => Input::Installed(outcome(more).map_err(|why| (why, false))),
        ["reloaded", more @ ..] => Input::Reloaded(outcome(more)),
        ["probed", more @ ..] => Input::Probed(outcome(more)),
        ["restored", more @ ..] => Input::Restored(outcome(more)),
        ["written", more @ ..] => Input::Written(outcome(more)),
        ["proved", "failed", why @ ..] => Input::Proved(Err(why.join(" "))),
        ["proved", nonce, n] => Input::Proved(Ok((nonce.parse().unwrap(), mark(n)))),
        ["crashed", why @ ..] => Input::Crashed(why.join(" ")),
        ["confirm", opened] => Input::Confirm { opened: opened.parse().unwrap() },
        ["revert", who @ ..] => Input::Revert(who.join(" ")),
        ["retry"] => Input::Retry,
        ["enforce"] => Input::Enforce,
        ["remember", "confirmed", n, sum] => Input::Confirmed(mark(n), Sum(sum.to_string())),
        ["remember", "reverted", n, sum, why @ ..] => {
            Input::Reverted(Reverted { mark: mark(n), sum: Sum(sum.to_string()), reason: why.join(" ") })
        }
        ["resume", n, sum, phase, more @ ..] => {
            let number = |name: &str| more.iter().find_map(|word| word.strip_prefix(name)).unwrap();
            let phase = match *phase {
                "installing" => Phase::Installing,
                "trial" => Phase::Trial,
                "reverting" => Phase::Reverting,
                other => panic!("{other}"),
            };
            let record = Record {
                trial: 1,
                boot: "b".into(),
                mark: mark(n),
                sum: Sum(sum.to_string()),
                phase,
                deadline: number("deadline=").parse().unwrap(),
                reloads: number("reloads=").parse().unwrap(),
                reason: "no proof".into(),
                files: Vec::new(),
            };
            Input::Resumed(settings(more), record)
        }
        other => panic!("no command {other:?}"),
    }
}

fn number(mark: Option<Mark>) -> String {
    mark.map_or("-".into(), |mark| mark.version.to_string())
}

fn told(report: &Report) -> String {
    let Report { state, version, confirmed, observed, reason, deadline } = report;
    let (version, confirmed, observed) = (number(*version), number(*confirmed), number(*observed));
    let mut line = format!("= {} {version}, confirmed {confirmed}, observed {observed}", state.word());
    if let Some(deadline) = deadline {
        let _ = write!(line, ", until {deadline}");
    }
    if !reason.is_empty() {
        let _ = write!(line, ": {reason}");
    }
    line
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Report(report) => told(report),
        Effect::Plan(mark) => format!("→ plan {}", mark.version),
        Effect::Install(until) => format!("→ install, on trial until {until}"),
        Effect::Reload => "→ reload".into(),
        Effect::Undo => "→ reload what was restored".into(),
        Effect::Prove(nonce) => format!("→ connect anew and prove {nonce}"),
        Effect::Probe => "→ probe".into(),
        Effect::Seal => "→ seal".into(),
        Effect::Restore(reason) => format!("→ restore: {reason}"),
        Effect::Close(reason) => format!("→ remember as reverted: {reason}"),
        Effect::Note(mark, sum) => format!("→ note {} {} as confirmed", mark.version, sum.0),
        Effect::Forget => "→ forget what was reverted".into(),
    }
}

impl Script {
    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let mut out = String::new();
        if let ["at", ms] = words.as_slice() {
            let until: u64 = ms.parse().unwrap();
            while let Some(at) = self.trial.wakes_at().filter(|at| *at <= until) {
                // Never back, and never on the spot for ever.
                self.now = self.now.max(at);
                let before = self.trial.wakes_at();
                out += &self.take(Input::Tick);
                if self.trial.wakes_at() == before {
                    break;
                }
            }
            self.now = until;
            return out;
        }
        out += &self.take(input(&words));
        out
    }

    fn take(&mut self, input: Input) -> String {
        let mut effects = Vec::new();
        self.trial.take(input, self.now, &mut effects);
        let mut out: String = effects.iter().map(|effect| format!("{}\n", line(effect))).collect();
        // Telling the time changes nothing.
        let mut again = Vec::new();
        self.trial.take(Input::Tick, self.now, &mut again);
        assert!(again.is_empty(), "{again:?}");
        if let Some(at) = self.trial.wakes_at() {
            let _ = writeln!(out, "wakes at {at}");
        }
        out
    }
}

fn run(text: &str) -> String {
    let mut script = Script { trial: Trial::new(Box::new(Counted(0))), now: 0 };
    let mut out: Vec<String> = Vec::new();
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let commands: Vec<&str> = block.lines().take_while(|line| *line != "---").collect();
        let mut printed = String::new();
        for command in commands.iter().filter(|line| !line.starts_with('#')) {
            printed += &script.run(command);
        }
        if commands.iter().all(|line| line.starts_with('#')) {
            out.push(commands.join("\n"));
        } else {
            out.push(format!("{}\n---\n{}", commands.join("\n"), printed.trim_end()));
        }
    }
    out.join("\n\n") + "\n"
}

#[test]
fn every_script_comes_to_what_it_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openwrt/bridge/tests/scripts");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let now = run(&text);
        if std::env::var_os("TEGA_UPDATE").is_some() {
            fs::write(&path, now).unwrap();
        } else {
            assert_eq!(now, text, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 9, "{count} scripts");
}

/// Whatever happens in whatever order, the machine ends in a state that it can be asked about, never seals what wasn't
/// proved, and never restores what it began to seal.
#[test]
fn nothing_that_happens_makes_it_seal_what_was_not_proved() {
    for seed in 0..2_000u32 {
        let mut random = seed.wrapping_mul(2_654_435_761).max(1);
        let mut draw = |n: u32| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random % n
        };
        let mut trial = Trial::new(Box::new(Counted(0)));
        let (mut now, mut proved, mut nonce, mut sealing) = (0, false, 0, false);
        for _ in 0..200 {
            let n = draw(4).to_string();
            let input = match draw(17) {
                0 | 1 => input(&["wanted", &n, &n]),
                2 => input(&["wanted", &n, "-"]),
                3 | 4 => input(&["planned", "change", "limit=5"]),
                5 => [input(&["planned", "same"]), input(&["planned", "refused", "no"])][draw(2) as usize]
                    .clone(),
                6 => input(&["installed"]),
                7 => input(&["installed", ["failed", "touched"][draw(2) as usize], "x"]),
                8 => input(&["reloaded"]),
                9 => input(&["reloaded", "failed", "x"]),
                10 => {
                    let right = draw(2) == 0;
                    let said = if right { nonce } else { nonce + 1 };
                    proved |= right && said > 0;
                    input(&["proved", &said.to_string(), "3"])
                }
                11 => input(&["confirm", "99999999"]),
                12 => [input(&["crashed", "x"]), input(&["revert", "x"])][draw(2) as usize].clone(),
                13 => [input(&["retry"]), input(&["enforce"])][draw(2) as usize].clone(),
                14 => [input(&["restored"]), input(&["restored", "failed", "x"])][draw(2) as usize].clone(),
                15 => [input(&["written"]), input(&["written", "failed", "x"])][draw(2) as usize].clone(),
                _ => {
                    now += u64::from(draw(3_000));
                    Input::Tick
                }
            };
            let mut effects = Vec::new();
            trial.take(input, now, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Install(_) => (proved, sealing, nonce) = (false, false, 0),
                    Effect::Prove(new) => (nonce, proved) = (new, false),
                    Effect::Seal => {
                        assert!(proved || sealing, "seed {seed}");
                        sealing = true;
                    }
                    Effect::Restore(_) => assert!(!sealing, "seed {seed}"),
                    _ => {}
                }
            }
        }
    }
}
