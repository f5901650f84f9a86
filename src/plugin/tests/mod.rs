//! Golden scripts of the schedule, to be read in `scripts/*.txt`.
//!
//! A script is blocks between empty lines: commands, a line `---`, and what came of them. `TEGA_UPDATE=1 cargo test` writes
//! what comes of them now. `→` is what is to be done, `wakes` when the machine wants to be told the time, which is in
//! milliseconds; runs are numbered as they are started.
//!
//! | command | tells |
//! | --- | --- |
//! | `limits ALL ONE WAITING` | other limits; first of all |
//! | `at MS` | the time, from now on; the machine is told where it wanted to be |
//! | `found NAME`, `gone NAME` | what is in the directories |
//! | `listed RUN [hook] [time=MS]`, `listed RUN failed WHY` | |
//! | `call NAME CALL [by=MS]` | somebody calls, and waits so long; 30,000 ms |
//! | `changed NAME` | something that it subscribed |
//! | `ended RUN [took=MS]`, `ended RUN failed WHY` | |
//! | `stop` | |
//! | `show` | how the plugins stand |

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::schedule::{Effect, Input, Limits, Reason, Schedule, Terms, What, Why};

mod live;
mod random;

struct Script {
    schedule: Schedule,
    now: u64,
}

fn member<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name))
}

fn number(words: &[&str], name: &str, or: u64) -> u64 {
    member(words, name).map_or(or, |number| number.parse().unwrap())
}

impl Script {
    fn input(&self, words: &[&str]) -> Input {
        match words {
            ["found", name] => Input::Found((*name).into()),
            ["gone", name] => Input::Gone((*name).into()),
            ["changed", name] => Input::Changed((*name).into()),
            ["listed", run, "failed", why @ ..] => Input::Listed(run.parse().unwrap(), Err(why.join(" "))),
            ["listed", run, more @ ..] => {
                let terms = Terms { time: number(more, "time=", 30_000), hook: more.contains(&"hook") };
                Input::Listed(run.parse().unwrap(), Ok(terms))
            }
            ["call", name, call, more @ ..] => Input::Call {
                name: (*name).into(),
                call: call.parse().unwrap(),
                deadline: self.now + number(more, "by=", 30_000),
            },
            ["ended", run, "failed", why @ ..] => {
                Input::Ended { run: run.parse().unwrap(), outcome: Err(why.join(" ")), took: 10 }
            }
            ["ended", run, more @ ..] => {
                Input::Ended { run: run.parse().unwrap(), outcome: Ok(()), took: number(more, "took=", 10) }
            }
            ["stop"] => Input::Stop,
            other => panic!("no command {other:?}"),
        }
    }

    fn command(&mut self, line: &str, out: &mut String) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["limits", all, one, waiting] => {
                let [all, one, waiting] = [all, one, waiting].map(|n| n.parse().unwrap());
                self.schedule = Schedule::new(Limits { all, one, waiting });
            }
            ["show"] => self.show(out),
            ["at", ms] => {
                let until: u64 = ms.parse().unwrap();
                while let Some(at) = self.schedule.wakes_at().filter(|at| *at <= until) {
                    self.now = self.now.max(at);
                    self.take(Input::Tick, out);
                }
                self.now = until;
            }
            words => {
                let input = self.input(words);
                self.take(input, out);
            }
        }
    }

    fn take(&mut self, input: Input, out: &mut String) {
        let mut effects = Vec::new();
        self.schedule.take(input, self.now, &mut effects);
        self.schedule.check();
        for effect in effects {
            let at = format!("{} ", self.now);
            let line = match effect {
                Effect::Refuse(call, why) => format!("refuse call {call}: {}", word(why)),
                Effect::Start { run, name, what, time } => {
                    let what = match what {
                        What::List => "list".into(),
                        What::Call(call) => format!("call {call}"),
                        What::Notify(reason) => format!("notify, {}", reason.word()),
                    };
                    format!("run {run}: {name} {what}, for {time}")
                }
            };
            writeln!(out, "→ {at}{line}").unwrap();
        }
    }

    fn show(&self, out: &mut String) {
        for (name, plugin) in &self.schedule.plugins {
            let state = match &plugin.refused {
                Some(why) => format!("refused ({why})"),
                None if plugin.is_loaded() => "loaded".into(),
                None => "not loaded".into(),
            };
            let c = &plugin.counts;
            let (running, waiting) = (plugin.running(), plugin.waiting());
            write!(out, "{name}: {state}, {running} running, {waiting} waiting, {} calls, ", c.calls)
                .unwrap();
            write!(out, "{} notifies, {} failed, {} busy, ", c.notifies, c.failures, c.refused).unwrap();
            writeln!(out, "{}/{}/{} ms", c.last, c.mean(), c.longest).unwrap();
            if let Some((why, at)) = &c.error {
                writeln!(out, "  {why}, at {at}").unwrap();
            }
        }
        if let Some(at) = self.schedule.wakes_at() {
            writeln!(out, "wakes {at}").unwrap();
        }
    }
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Busy => "busy",
        Why::Gone => "gone",
        Why::Late => "late",
        Why::Stopping => "stopping",
    }
}

fn played(text: &str) -> String {
    let mut script = Script { schedule: Schedule::default(), now: 0 };
    let mut blocks = Vec::new();
    for block in text.trim().split("\n\n") {
        let commands = block.split("\n---").next().unwrap();
        let mut out = String::new();
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            script.command(line, &mut out);
        }
        blocks.push(format!("{commands}\n---\n{out}"));
    }
    blocks.join("\n")
}

#[test]
fn scripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plugin/tests/scripts");
    let update = std::env::var_os("TEGA_UPDATE").is_some();
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let played = played(&text);
        if update {
            fs::write(&path, played).unwrap();
        } else {
            assert_eq!(played, text, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 8, "{count} scripts");
    assert_eq!(Reason::Retry.word(), "retry");
}
