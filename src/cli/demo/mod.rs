//! # A fleet to play with
//!
//! `tega demo` needs nothing and leaves nothing: a global server and three routers run in this process, on loopback and
//! in one temporary directory, with all that a real fleet has. Each router has an OpenWrt configuration that it takes from
//! the global (`config-ID`), a tree of counters that it shows there (`operational-ID`), Wi-Fi clients as ephemeral nodes,
//! alarms on a channel, and functions to call. What makes them go is [`sim`]; what brings it to the database is
//! [`agent`], a program on each router.
//!
//! Everything is real but the routers: [`fleet`] starts servers as `tega serve` does, and whatever happens goes through
//! them by way of [`crate::client`]. So it can be looked at from another terminal, and tampered with: the agents go on.
//!
//! With `--headless` it's a test too. [`script`] does what there is to see, step by step, and reads back that it
//! happened; a step that didn't is named, and the exit code is 1. `--seconds` is the least time that it takes: the steps
//! are all done whatever it says, and take as long as the machine needs.
//!
//! **How it holds together.** Every part runs on a thread of its own and tells what it does ([`told`]); the main thread
//! prints that, and is the only one that ends the demo: when all is through, at a signal, or because a part failed.
//! Then the servers are stopped, which ends the sessions of all parts, and the directory goes ([`dir`]).
//!
//! **How it fails.** A panic in any part ends it like an error. A SIGKILL leaves the directory to the next demo, which
//! removes it; one in the instant in which the directory has no lock yet leaves it for good.
//!
//! What it isn't: a way to run a server. Nothing that is done in it is kept.

mod agent;
mod dir;
mod ear;
mod fleet;
mod look;
mod script;
mod signals;
mod sim;
mod told;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::show::{Out, note};
use super::tui;
use crate::client::Server;
use dir::Dir;
use fleet::{Fleet, Places};
use told::{Part, Said, Teller};

/// How long a headless demo lasts at least, where nobody says otherwise.
const SECONDS: f64 = 10.0;

/// How long the screen may take to leave the terminal as it was.
const SCREEN_TIME: Duration = Duration::from_secs(2);

struct Plan {
    headless: bool,
    lasts: Duration,
}

impl Plan {
    fn of(typed: &Typed) -> Result<Plan, Fault> {
        let headless = typed.has(Flag::Headless);
        let seconds: Option<f64> = typed.number(Flag::Seconds)?;
        if seconds.is_some() && !headless {
            return Err(Fault::usage("--seconds is for --headless; without it, Ctrl-C ends the demo"));
        }
        let lasts = Duration::try_from_secs_f64(seconds.unwrap_or(SECONDS)).ok();
        let lasts = lasts.filter(|lasts| *lasts <= Duration::from_secs(86_400));
        Ok(Plan {
            headless,
            lasts: lasts.ok_or_else(|| Fault::usage("--seconds: a number from 0 to 86400 wanted"))?,
        })
    }
}

/// `tega demo`
pub(super) fn demo(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let plan = Plan::of(typed)?;
    let (teller, said) = Teller::new();
    // Before there is anything to be cleaned up.
    signals::watch(&teller)?;
    let dir = Dir::new(&std::env::temp_dir())?;
    let played = Fleet::start(dir.path(), &teller).and_then(|fleet| {
        // The servers end here, before their directory goes.
        direct(&plan, fleet.places(), &teller, &said, out)
    });
    let name = dir.path().display().to_string();
    let removed = dir.remove();
    played?;
    removed?;
    out.line(&teller.now("demo", format!("is over; nothing is left of {name}")).to_string())
}

/// Prints what is told, and has the parts begin one after the other, until the end.
fn direct(
    plan: &Plan,
    places: &Places,
    teller: &Teller,
    said: &Receiver<Said>,
    out: &mut Out,
) -> Result<(), Fault> {
    let begin = |part: Part, work: fn(&Places, &Teller) -> Result<(), Fault>| {
        let (places, to) = (places.clone(), teller.clone());
        teller.run(part, move || work(&places, &to)).map(drop)
    };
    begin(Part::Ear, ear::listen)?;
    begin(Part::Setup, script::setup)?;
    let mut screen = false;
    let mut until: Option<Instant> = None;
    loop {
        let next = match until {
            Some(until) => said.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => said.recv().map_err(RecvTimeoutError::from),
        };
        match next {
            Err(_) => return Ok(()),
            Ok(Said::Happened(_)) if screen => {}
            Ok(Said::Happened(happened)) => {
                out.line(&happened.to_string())?;
                out.flush()?;
            }
            Ok(Said::Signal) if screen => until = Some(Instant::now() + SCREEN_TIME),
            Ok(Said::Signal) if plan.headless && until.is_none() => {
                return Err(Fault::error("a signal ended the demo before its last step"));
            }
            Ok(Said::Signal) => return Ok(()),
            Ok(Said::Ended(Part::Setup, Ok(()))) if plan.headless => begin(Part::Tour, script::tour)?,
            Ok(Said::Ended(Part::Setup, Ok(()))) => {
                screen = true;
                begin(Part::Screen, |places, _| tui::open(&places.global, KEYS))?;
            }
            Ok(Said::Ended(Part::Screen, Ok(()))) => return Ok(()),
            Ok(Said::Ended(Part::Screen, Err(why))) => {
                screen = false;
                note(&format!("{why}; this is what happens, until Ctrl-C\n{}", hint(&places.global)));
                begin(Part::Tour, script::tour)?;
            }
            Ok(Said::Ended(Part::Tour, Ok(()))) if plan.headless => until = Some(teller.begun() + plan.lasts),
            Ok(Said::Ended(_, outcome)) => outcome?,
        }
    }
}

/// What to try on the screen.
const KEYS: &str = "\
A global server, and three routers that follow it: attic, cellar, office.
Things to try:
  o config-attic.uci.network.lan.ipaddr
                               go there; e changes it, c commits; attic tells
  o operational-attic          what the router tells, live: l unfolds
  2                            the fleet; x calls a function of a router
  / 192.168                    finds it everywhere; n: the next, &: only those
  H                            who changed what; b: back to a version
  : put demo.power.office off  switches a router off; on: on again
  ?                            all keys; q ends it, and nothing is left";

/// What to try.
fn hint(global: &Server) -> String {
    format!(
        "Things to try, here or from another terminal (export TEGA_URL={global}):
  change an address, and see it applied: tega put config-attic.uci.network.lan.ipaddr 10.1.1.1
  see a router live:                     tega watch operational-attic
  call a function of one:                tega rpc operational-cellar.rpc.ping 192.0.2.1 count=2
  take the last change back:             tega rollback config-attic -1
  stop a router, and start it again:     tega put demo.power.office off; tega put demo.power.office on
  see how they all are:                  tega fleet --watch"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fault::Exit;

    fn plan(line: &str) -> Result<Plan, Fault> {
        Plan::of(&super::super::parse::parse(line.split(' ').map(Into::into)).unwrap())
    }

    #[test]
    fn seconds_are_for_a_demo_that_ends_by_itself() {
        assert_eq!(plan("demo --headless").unwrap().lasts, Duration::from_secs(10));
        assert_eq!(plan("demo --headless --seconds 0").unwrap().lasts, Duration::ZERO);
        assert!(!plan("demo").unwrap().headless);
        for bad in ["demo --seconds 5", "demo --headless --seconds -1", "demo --headless --seconds inf"] {
            assert_eq!(plan(bad).map(|plan| plan.lasts).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn the_hint_is_short_and_names_what_is_there() {
        let global: Server = "unix:/tmp/s".parse::<crate::client::Target>().unwrap().into();
        let hint = hint(&global);
        assert!((5..=8).contains(&hint.lines().count()), "{hint}");
        for model in &fleet::MODELS {
            assert!(hint.contains(model.id), "{}", model.id);
        }
        assert!(hint.contains("TEGA_URL=unix:/tmp/s") && hint.contains(fleet::POWER));
    }
}
