//! The program on a router: it tells its server what the router does, applies the configuration when it changes, and
//! serves the functions that the router offers. It is an ordinary client with one session.

use std::time::{Duration, Instant};

use super::fleet::Model;
use super::sim::{Sim, object, put};
use crate::cli::fault::Fault;
use crate::cli::live::lost;
use crate::cli::remote::refused;
use crate::client::live::{Event, Lost, Session};
use crate::client::{Call, Server};
use crate::commit::TegaId;
use crate::message::{self, Kind, Scope, body};
use crate::path::{Key, Path};
use crate::store::Op;
use crate::value::Value;

/// How often the router's numbers are committed.
const TICK: Duration = Duration::from_millis(300);

/// The functions, below `rpc` of the operational tree, as they are declared.
const FUNCTIONS: [(&str, &str); 3] =
    [("ping", "ping(host, count=3)"), ("reboot", "reboot(delay=0)"), ("leds", "leds(on)")];

/// The channel of the alarms.
pub(super) const ALARM: &str = "alarm";

/// Runs until the session ends, which the end of the router's server sees to. `anew`: the router was just switched on,
/// and hasn't been up for a while.
pub(super) fn run(model: &Model, server: &Server, anew: bool) -> Result<(), Fault> {
    let mut sim = Sim::new(model.id, model.operational());
    if anew {
        sim.switched_on();
    }
    let mut agent = Agent::begin(model, server, sim)?;
    let (mut last, mut due) = (Instant::now(), Instant::now() + TICK);
    loop {
        match agent.session.next(Some(due)) {
            Ok(Some(Event::Called(call))) => agent.called(&call)?,
            Ok(Some(Event::Notify(_))) => agent.apply()?,
            Ok(Some(Event::Refused(refusal))) => return Err(refused(server, &refusal)),
            Ok(Some(Event::Message(..)) | None) => {}
            Err(Lost(why)) => return Err(Fault::error(format!("{server}: {why}"))),
        }
        let now = Instant::now();
        if now >= due {
            agent.tick(now - last)?;
            // A machine that is too slow skips ticks instead of running behind them.
            (last, due) = (now, Instant::now() + TICK);
        }
    }
}

struct Agent<'a> {
    session: Session,
    server: &'a Server,
    sim: Sim,
    config: Path,
    /// The version of the configuration that the router runs with.
    applied: Option<i64>,
}

impl<'a> Agent<'a> {
    /// Says what there is, and listens to the configuration.
    fn begin(model: &Model, server: &'a Server, sim: Sim) -> Result<Agent<'a>, Fault> {
        let id = TegaId::new(&model.agent()).map_err(|error| Fault::error(error.to_string()))?;
        let session =
            Session::open_serving(server, id, Scope::Local).map_err(|failure| lost(server, &failure))?;
        let config = Path::from_checked(vec![model.config()]);
        let mut agent = Agent { session, server, sim, config, applied: None };
        let mut ops = agent.sim.whole();
        for (name, declared) in FUNCTIONS {
            let path = agent.sim.at(&["rpc", name]);
            let value = Value::from(format!("%{}.{declared}", model.agent()));
            ops.push(Op::Put { path, value, expect: None, ephemeral: true });
        }
        agent.commit(&ops)?;
        let word = agent.config.to_wire();
        agent.ask(Kind::Subscribe, &word, &body::subscribe(false, None, false))?;
        // What came before the subscription isn't told.
        agent.apply()?;
        Ok(agent)
    }

    fn ask(&mut self, kind: Kind, word: &str, body: &str) -> Result<Value, Fault> {
        let answer = self.session.request(kind, word, body).map_err(|failure| lost(self.server, &failure))?;
        answer.map_err(|refusal| refused(self.server, &refusal))
    }

    /// As one transaction; or, where somebody who plays with the tree has put something in the way, what still goes.
    fn commit(&mut self, ops: &[Op]) -> Result<(), Fault> {
        if self.commit_one(ops)? {
            return Ok(());
        }
        ops.iter().try_for_each(|op| self.commit_one(std::slice::from_ref(op)).map(drop))
    }

    /// Whether it was taken.
    fn commit_one(&mut self, ops: &[Op]) -> Result<bool, Fault> {
        let answer = self.session.request(Kind::Commit, "-", &body::commit(ops, None));
        answer.map(|answer| answer.is_ok()).map_err(|failure| lost(self.server, &failure))
    }

    fn tick(&mut self, passed: Duration) -> Result<(), Fault> {
        let tick = self.sim.tick(passed);
        self.commit(&tick.ops)?;
        tick.alarms.iter().try_for_each(|alarm| self.publish(alarm))
    }

    fn publish(&mut self, alarm: &str) -> Result<(), Fault> {
        let mut frame = String::new();
        let channel = Path::from_checked(vec![Key::from(ALARM)]);
        message::publish(&mut frame, &channel, &object([("message", alarm.into())]).to_string());
        let sent = self.session.send(&frame);
        sent.map_err(|error| Fault::error(format!("{}: {error}", self.server)))
    }

    /// Takes the configuration over, and shows with which version the router runs and what it made of it.
    fn apply(&mut self) -> Result<(), Fault> {
        let word = self.config.to_wire();
        let answer =
            self.session.request(Kind::Get, &word, "{}").map_err(|failure| lost(self.server, &failure))?;
        let config = match answer {
            Ok(config) => config,
            // It didn't come yet.
            Err(refusal) if refusal.code == "not_found" => return Ok(()),
            Err(refusal) => return Err(refused(self.server, &refusal)),
        };
        let version = config.get("version").and_then(Value::as_int);
        if version == self.applied {
            return Ok(());
        }
        let uci = config.get("value").and_then(|value| value.get("uci"));
        let shown = |keys: [&str; 3]| {
            let found = uci.and_then(|uci| keys.iter().try_fold(uci, |value, key| value.get(key)));
            found.cloned().unwrap_or(Value::Null)
        };
        let ops = [
            put(self.sim.at(&["applied", "version"]), version.map_or(Value::Null, Value::from)),
            put(self.sim.at(&["applied", "hostname"]), shown(["system", "@system[0]", "hostname"])),
            put(self.sim.at(&["applied", "lan"]), shown(["network", "lan", "ipaddr"])),
        ];
        self.commit(&ops)?;
        self.applied = version;
        Ok(())
    }

    fn called(&mut self, call: &Call) -> Result<(), Fault> {
        let outcome = self.function(call);
        let outcome = match outcome {
            Ok((value, op)) => {
                // What the caller is told is to be seen already.
                op.map_or(Ok(()), |op| self.commit(&[op]))?;
                Ok(value)
            }
            Err(why) => Err(why),
        };
        let answered = self.session.answer(call.seq, outcome.as_ref().map_err(String::as_str));
        answered.map_err(|Lost(why)| Fault::error(format!("{}: {why}", self.server)))
    }

    /// What a function returns, and what it changes.
    fn function(&mut self, call: &Call) -> Result<(Value, Option<Op>), String> {
        let name = call.path.name().map_or("", Key::as_str);
        let declared =
            FUNCTIONS.iter().find(|(function, _)| *function == name).map(|(_, declared)| *declared);
        let wrong = |what: &str| format!("{}: {what}", declared.unwrap_or(name));
        let number = |place, name: &str, default: i64, most: i64| {
            let given = call.argument(place, name).map_or(Some(default), Value::as_int);
            given
                .filter(|number| (0..=most).contains(number))
                .ok_or_else(|| wrong(&format!("{name} is a number from 0 to {most}")))
        };
        match name {
            "ping" => {
                let host = call.argument(0, "host").and_then(Value::as_str).filter(|host| !host.is_empty());
                let host = host.ok_or_else(|| wrong("host is a name or an address"))?;
                let count = number(1, "count", 3, 10)?;
                let times: Vec<Value> = (0..count).map(|_| self.sim.round_trip()).collect();
                let times = Value::list(times).map_err(|error| error.to_string())?;
                let pong = [
                    ("host", host.into()),
                    ("received", count.into()),
                    ("sent", count.into()),
                    ("ms", times),
                ];
                Ok((object(pong), None))
            }
            "reboot" => {
                let delay = number(0, "delay", 0, 60)?;
                self.sim.reboot(Duration::from_secs(delay.unsigned_abs()));
                Ok((object([("reboots_in_s", delay.into())]), None))
            }
            "leds" => {
                let on = call.argument(0, "on").and_then(Value::as_bool);
                let on = on.ok_or_else(|| wrong("on is true or false"))?;
                Ok((object([("leds", on.into())]), Some(self.sim.leds(on))))
            }
            _ => Err(wrong("no such function here")),
        }
    }
}
