//! What a demo does, step by step. Each step is done by ordinary clients of the servers, and is over when what it
//! promises can be read back: a step that didn't happen within its time fails, and the demo with it. Nothing here waits
//! for time to pass, only for things to happen.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::agent::ALARM;
use super::ear::counters;
use super::fleet::{MODELS, Model, POWER, Places};
use super::look::{self, Actor, At};
use super::told::Teller;
use crate::cli::fault::Fault;
use crate::client::live::Event;
use crate::message::Kind;
use crate::value::Value;
use crate::words;

/// Who acts in a demo.
pub(super) const CAST: [&str; 3] = ["alice", "bob", "demo"];

type Outcome = Result<(), String>;

/// One step, by its name.
type Step = (&'static str, fn(&mut Stage) -> Outcome);

/// Until there's something to play with.
const SETUP: [Step; 2] = [("link", link), ("configure", configure)];

/// What is shown then.
const TOUR: [Step; 8] = [
    ("counters", count),
    ("change", change_address),
    ("call", call),
    ("reboot", reboot),
    ("clients", clients),
    ("conflict", conflict),
    ("rollback", roll_back),
    ("cut", cut),
];

const ADDRESS: &str = "config-attic.uci.network.lan.ipaddr";
const HOSTNAME: &str = "config-cellar.uci.system.@system[0].hostname";
const SSID: &str = "config-office.uci.wireless.guest5.ssid";

/// The routers by their place in [`MODELS`].
const ATTIC: usize = 0;
const CELLAR: usize = 1;
const OFFICE: usize = 2;

/// What the steps have in their hands.
pub(super) struct Stage {
    places: Places,
    teller: Teller,
    alice: Actor,
    bob: Actor,
}

/// Links and configures the routers.
pub(super) fn setup(places: &Places, teller: &Teller) -> Result<(), Fault> {
    play(&SETUP, places, teller)
}

/// Does everything that a demo shows.
pub(super) fn tour(places: &Places, teller: &Teller) -> Result<(), Fault> {
    play(&TOUR, places, teller)?;
    teller.tell("demo", format!("all {} steps happened", TOUR.len()));
    Ok(())
}

fn play(steps: &[Step], places: &Places, teller: &Teller) -> Result<(), Fault> {
    let actor = |name| Actor::open(&places.global, name).map_err(Fault::error);
    let (alice, bob) = (actor("alice")?, actor("bob")?);
    let mut stage = Stage { places: places.clone(), teller: teller.clone(), alice, bob };
    for (name, step) in steps {
        step(&mut stage).map_err(|why| Fault::error(format!("step {name} didn't happen: {why}")))?;
    }
    Ok(())
}

impl Stage {
    fn router(&self, at: usize) -> (&'static Model, At) {
        let model = MODELS.get(at).unwrap_or(&MODELS[0]);
        (model, At(self.places.router(at)))
    }

    fn global(&self) -> At {
        At(self.places.global.clone())
    }

    /// Has Alice put a node of a router's configuration, and waits until the router has it; its version, and how long it
    /// took from the put to when the router was told.
    fn put_and_apply(&mut self, at: usize, path: &str, value: &Value) -> Result<(i64, Duration), String> {
        let (model, router) = self.router(at);
        let mut there = Actor::open(&router.0, "demo")?;
        there.subscribe(&model.config())?;
        let begun = Instant::now();
        let version = self.alice.put(path, value, None)?.map_err(|refusal| refusal.message)?;
        self.told(&mut there, model, version)?;
        let took = begun.elapsed();
        self.runs_with(at, version)?;
        Ok((version, took))
    }

    /// Waits until a session at a router was told of this version of the configuration.
    fn told(&self, there: &mut Actor, model: &Model, version: i64) -> Outcome {
        let what = format!("{} is told of version {version}", model.id);
        there.hear(&what, |event| match event {
            Event::Notify(list) => look::newest(list, &model.config()) >= Some(version),
            _ => false,
        })
    }

    /// Waits until both ends have this version of a configuration, equal to the last byte, and the global shows that the
    /// router runs with it.
    fn runs_with(&self, at: usize, version: i64) -> Outcome {
        let (model, router) = self.router(at);
        let (global, config) = (self.global(), model.config());
        let report = format!("{}.applied.version", model.operational());
        look::until(&format!("{} runs with version {version} of {config}", model.id), || {
            let both = (global.node(&config)?, router.node(&config)?);
            let equal = matches!(&both, (Some(here), Some(there)) if here == there);
            let reported = global.get(&report)?.and_then(|value| value.as_int());
            Ok((equal && reported == Some(version)).then_some(()))
        })
    }
}

/// Every router links to the global.
fn link(stage: &mut Stage) -> Outcome {
    let mut waiting: Vec<&Model> = MODELS.iter().collect();
    look::until("every router is linked", || {
        let links = stage.global().links()?;
        waiting.retain(|model| {
            let up = links.iter().any(|(id, up)| id == model.id && *up);
            if up {
                stage.teller.tell(model.id, "is linked to the global");
            }
            !up
        });
        Ok(waiting.is_empty().then_some(()))
    })
}

/// Every router gets its configuration.
fn configure(stage: &mut Stage) -> Outcome {
    for (at, model) in MODELS.iter().enumerate() {
        let document = Value::parse(model.document).map_err(|error| error.to_string())?;
        let root = model.config();
        let (version, took) = stage.put_and_apply(at, &root, &document)?;
        stage.teller.tell(
            model.id,
            format!("applied {root} version {version}, {} after the put at the global", ms(took)),
        );
    }
    Ok(())
}

/// The global shows a router's counters as they go up.
fn count(stage: &mut Stage) -> Outcome {
    let (model, _) = stage.router(ATTIC);
    let root = model.operational();
    let global = stage.global();
    let numbers = || -> Result<Option<(i64, i64, i64)>, String> {
        let node = global.node(&root)?;
        let Some((value, version)) = node else { return Ok(None) };
        let number = |keys: &[&str]| keys.iter().try_fold(&value, |value, key| value.get(key))?.as_int();
        let (uptime, received) = (number(&["uptime"]), number(&["interfaces", "wan", "rx_bytes"]));
        Ok(uptime.zip(received).map(|(uptime, received)| (uptime, received, version)))
    };
    let before = look::until("the counters are at the global", numbers)?;
    look::until("the counters go up", || {
        let now = numbers()?;
        Ok(now.filter(|now| now.0 > before.0 && now.1 > before.1 && now.2 >= before.2 + 2).map(drop))
    })?;
    let answer = stage.alice.ask(Kind::Get, &root, "{}")?.map_err(|refusal| refusal.message)?;
    stage.teller.tell(model.id, counters(&answer));
    Ok(())
}

/// A change at the global is applied on the router.
fn change_address(stage: &mut Stage) -> Outcome {
    let wanted = "192.168.77.1";
    let (version, took) = stage.put_and_apply(ATTIC, ADDRESS, &wanted.into())?;
    stage.teller.tell("alice", format!("put {ADDRESS} {wanted} at the global"));
    stage.teller.tell("attic", format!("applied version {version}, {} after the put", ms(took)));
    shows(&stage.router(ATTIC).1, ADDRESS, wanted)?;
    shows(&stage.global(), "operational-attic.applied.lan", wanted)
}

/// A node has this text.
fn shows(at: &At, path: &str, wanted: &str) -> Outcome {
    look::until(&format!("{path} is {wanted}"), || {
        Ok(at.get(path)?.filter(|value| value.as_str() == Some(wanted)).map(drop))
    })
}

/// Functions of routers are called from the global.
fn call(stage: &mut Stage) -> Outcome {
    let begun = Instant::now();
    let path = "operational-cellar.rpc.ping";
    let arguments = r#"{"args":["192.0.2.1"],"kwargs":{"count":2}}"#;
    let result = stage.alice.call(path, arguments)?;
    let took = begun.elapsed();
    if result.get("received").and_then(Value::as_int) != Some(2) {
        return Err(format!("{path} answered {result}"));
    }
    stage.teller.tell("alice", format!("called {path}(192.0.2.1, count=2) in {}", ms(took)));
    stage.teller.tell("cellar", format!("answered {result}"));
    // What a function did is to be seen at the other end.
    stage.alice.call("operational-cellar.rpc.leds", r#"{"args":[false],"kwargs":{}}"#)?;
    look::until("the LEDs of cellar are off", || {
        let leds = stage.global().get("operational-cellar.leds")?;
        Ok((leds == Some(Value::Bool(false))).then_some(()))
    })?;
    stage.alice.call("operational-cellar.rpc.leds", r#"{"args":[],"kwargs":{"on":true}}"#).map(drop)
}

/// A router is told to reboot, and says that it did.
fn reboot(stage: &mut Stage) -> Outcome {
    let mut here = Actor::open(&stage.places.global, "demo")?;
    here.subscribe(ALARM)?;
    stage.alice.call("operational-office.rpc.reboot", r#"{"args":[],"kwargs":{"delay":0}}"#)?;
    stage.teller.tell("alice", "called operational-office.rpc.reboot(delay=0)");
    here.hear("office says that it rebooted", |event| match event {
        Event::Message(channel, from, body) => {
            let said = body.get("message").and_then(Value::as_str);
            channel == ALARM && from == "office-agent" && said == Some("rebooted")
        }
        _ => false,
    })?;
    let uptime = look::until("the uptime of office began anew", || {
        let uptime = stage.global().get("operational-office.uptime")?.and_then(|value| value.as_int());
        Ok(uptime.filter(|uptime| *uptime < 10_000))
    })?;
    stage.teller.tell("office", format!("is up for {uptime} s"));
    Ok(())
}

/// Ephemeral nodes of routers come to the global and go. Their names are told by who listens there anyway.
fn clients(stage: &mut Stage) -> Outcome {
    let global = stage.global();
    let all = || -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for model in &MODELS {
            let clients = global.get(&format!("{}.wifi.clients", model.operational()))?;
            let clients = clients.as_ref().and_then(Value::as_object).map_or(&[][..], |all| all.members());
            all.extend(clients.iter().map(|(address, _)| format!("{} {address}", model.id)));
        }
        Ok(all)
    };
    // Whoever was seen once, and isn't there any more, went; whoever is there now and wasn't at first came.
    let first = all()?;
    let mut seen: BTreeSet<String> = first.iter().cloned().collect();
    let (mut came, mut went) = (false, false);
    look::until("a Wi-Fi client comes, and one goes", || {
        let now = all()?;
        came |= now.iter().any(|one| !first.contains(one));
        went |= seen.iter().any(|one| !now.contains(one));
        seen.extend(now);
        Ok((came && went).then_some(()))
    })
}

/// Of two who change the same, the second is refused.
fn conflict(stage: &mut Stage) -> Outcome {
    let (_, version) = stage.global().node(HOSTNAME)?.ok_or("there's no hostname")?;
    let put = |actor: &mut Actor, name: &str| actor.put(HOSTNAME, &name.into(), Some(version));
    put(&mut stage.alice, "cellar-1")?.map_err(|refusal| refusal.message)?;
    stage.teller.tell("alice", format!("put {HOSTNAME} cellar-1, seen at version {version}"));
    match put(&mut stage.bob, "cellar-2")? {
        Err(refusal) if refusal.code == "conflict" => {
            stage.teller.tell("bob", format!("put cellar-2 and was refused: {}", refusal.message));
        }
        Err(refusal) => return Err(refusal.message),
        Ok(_) => return Err("both were taken".into()),
    }
    shows(&stage.global(), HOSTNAME, "cellar-1")?;
    shows(&stage.router(CELLAR).1, HOSTNAME, "cellar-1")
}

/// What was changed is taken back, and applied too.
fn roll_back(stage: &mut Stage) -> Outcome {
    let (model, router) = stage.router(ATTIC);
    let document = Value::parse(model.document).map_err(|error| error.to_string())?;
    let version = stage.alice.write(Kind::Rollback, &model.config(), r#"{"backto":-1}"#)?;
    let version = version.map_err(|refusal| refusal.message)?;
    stage.teller.tell("alice", format!("rolled {} back by one version", model.config()));
    stage.runs_with(ATTIC, version)?;
    let (value, _) = router.node(&model.config())?.ok_or("there's no configuration")?;
    if value != document {
        return Err("it isn't as it was before".into());
    }
    let address = router.get(ADDRESS)?.as_ref().map_or(String::new(), words::short);
    stage.teller.tell("attic", format!("applied version {version}: {address} again"));
    Ok(())
}

/// A router goes, and catches up when it's back.
fn cut(stage: &mut Stage) -> Outcome {
    let (model, _) = stage.router(OFFICE);
    let switch = format!("{POWER}.{}", model.id);
    stage.alice.put(&switch, &"off".into(), None)?.map_err(|refusal| refusal.message)?;
    stage.teller.tell("alice", format!("put {switch} off"));
    let linked = |stage: &Stage, wanted: bool| {
        look::until(&format!("the link of {} is {}", model.id, if wanted { "up" } else { "down" }), || {
            let links = stage.global().links()?;
            Ok(links.iter().any(|(id, up)| id == model.id && *up == wanted).then_some(()))
        })
    };
    linked(stage, false)?;
    // What only the router may commit isn't queued, but refused.
    let note = format!("{}.note", model.operational());
    match stage.alice.put(&note, &"hello".into(), None)? {
        Err(refusal) if refusal.code == "no_link" => {
            stage.teller.tell("global", format!("refused a put of {note}: {}", refusal.message));
        }
        Err(refusal) => return Err(refusal.message),
        Ok(_) => return Err(format!("{note} was taken without a link")),
    }
    let name = "office guests, week 2";
    let version = stage.alice.put(SSID, &name.into(), None)?.map_err(|refusal| refusal.message)?;
    stage.teller.tell("alice", format!("put {SSID} {name:?} meanwhile, version {version}"));
    stage.alice.put(&switch, &"on".into(), None)?.map_err(|refusal| refusal.message)?;
    linked(stage, true)?;
    stage.runs_with(OFFICE, version)?;
    shows(&stage.router(OFFICE).1, SSID, name)?;
    stage.teller.tell(model.id, format!("is linked again and caught up: applied version {version}"));
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
