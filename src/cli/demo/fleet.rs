//! The servers: one global and its routers, each as `tega serve` would run it, but in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::agent;
use super::sim::object;
use super::told::{Part, Teller};
use crate::cli::fault::Fault;
use crate::cli::live::lost;
use crate::cli::remote::refused;
use crate::client::live::{Lost, Session};
use crate::client::{Server, Target};
use crate::commit::TegaId;
use crate::daemon::listen::MAX_SOCKET_PATH;
use crate::daemon::{self, Listen, Options};
use crate::link;
use crate::message::{Kind, Scope, body};
use crate::path::Key;
use crate::store::{self, Private, Role};
use crate::token::Tokens;
use crate::value::Value;

/// What makes a router this one.
#[derive(Debug)]
pub(super) struct Model {
    /// Its tega ID.
    pub(super) id: &'static str,
    /// Its configuration: `uci.PACKAGE.SECTION`, each section as ubus shows it.
    pub(super) document: &'static str,
}

/// The routers of every demo.
pub(super) const MODELS: [Model; 3] = [
    Model { id: "attic", document: include_str!("attic.json") },
    Model { id: "cellar", document: include_str!("cellar.json") },
    Model { id: "office", document: include_str!("office.json") },
];

/// The switches of the routers, at the global: `off` stops one.
pub(super) const POWER: &str = "demo.power";

impl Model {
    /// Its configuration's root.
    pub(super) fn config(&self) -> Key {
        format!("config-{}", self.id).into()
    }

    /// Its operational tree's root.
    pub(super) fn operational(&self) -> Key {
        format!("operational-{}", self.id).into()
    }

    /// The tega ID of its program.
    pub(super) fn agent(&self) -> String {
        format!("{}-agent", self.id)
    }
}

/// Where the servers are.
#[derive(Clone)]
pub(super) struct Places {
    /// The global.
    pub(super) global: Server,
    /// The routers in the order of [`MODELS`]: where each listened last.
    routers: Arc<Mutex<Vec<Server>>>,
}

impl Places {
    /// Where a router listens.
    pub(super) fn router(&self, at: usize) -> Server {
        let routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        // Every router is there before the places are shown to anybody.
        routers.get(at).unwrap_or(&self.global).clone()
    }

    fn moved(&self, at: usize, server: Server) {
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        match routers.get_mut(at) {
            Some(place) => *place = server,
            None => routers.push(server),
        }
    }
}

/// What every start of a router needs.
#[derive(Clone)]
struct Site {
    dir: PathBuf,
    global: SocketAddr,
    places: Places,
    teller: Teller,
}

/// The servers. Dropping it stops them all.
pub(super) struct Fleet {
    global: Option<daemon::Server>,
    routers: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
    places: Places,
}

impl Fleet {
    /// Starts a global, and the routers that link to it, on directories of their own below this one.
    pub(super) fn start(dir: &FilePath, teller: &Teller) -> Result<Fleet, Fault> {
        let server = start(options("global", dir.join("global"), socket(dir), None)?)?;
        let global = server.addresses().first().copied();
        let global = global.ok_or_else(|| Fault::error("the global server has no address"))?;
        let at = server.socket().map_or(address(global), |path| Target::Unix(path.into()).into());
        teller.tell("global", format!("serves http://{global} and {at}"));
        let places = Places { global: at, routers: Arc::default() };
        let ending = Arc::new(AtomicBool::new(false));
        // From here on all is stopped whatever happens.
        let mut fleet =
            Fleet { global: Some(server), routers: None, ending: ending.clone(), places: places.clone() };
        let site = Site { dir: dir.into(), global, places, teller: teller.clone() };
        let routers = MODELS.iter().enumerate().map(|(at, model)| Router::start(at, model, &site, false));
        let routers: Vec<Option<Router>> =
            routers.map(|router| router.map(Some)).collect::<Result<_, _>>()?;
        let session = switches(&site.places.global)?;
        let thread = teller.run(Part::Power, move || match switch(session, routers, &site) {
            // The session ends with the global.
            Err(_) if ending.load(Ordering::SeqCst) => Ok(()),
            ended => ended,
        })?;
        fleet.routers = Some(thread);
        Ok(fleet)
    }

    /// Where the servers are.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // The thread that holds the routers listens to the global, and ends with it.
        self.global = None;
        if let Some(routers) = self.routers.take() {
            // A panic there was told already.
            let _ = routers.join();
        }
    }
}

fn start(options: Options) -> Result<daemon::Server, Fault> {
    daemon::Server::start(options).map_err(|error| Fault::error(error.message))
}

/// The local socket, where its path isn't longer than a system takes: `TMPDIR` may be anything.
fn socket(dir: &FilePath) -> Option<PathBuf> {
    let path = dir.join("s");
    (path.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH).then_some(path)
}

fn address(address: SocketAddr) -> Server {
    Target::Tcp { host: address.ip().to_string(), port: address.port() }.into()
}

fn options(
    id: &str,
    data: PathBuf,
    socket: Option<PathBuf>,
    global: Option<link::Options>,
) -> Result<Options, Fault> {
    Ok(Options {
        data: Some(data),
        id: tega_id(id)?,
        listen: vec![Listen { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), optional: false }],
        socket,
        store: store::Options {
            role: global.as_ref().map_or_else(Role::default, link::Options::role),
            ..store::Options::default()
        },
        global,
        presence_grace: link::PRESENCE_GRACE,
        insecure: false,
        tokens: Tokens::none(),
        uci: None,
        plugins: None,
        supervised: false,
        threads: 1,
    })
}

fn tega_id(id: &str) -> Result<TegaId, Fault> {
    TegaId::new(id).map_err(|error| Fault::error(error.to_string()))
}

/// A router that runs: its server, and its program beside it. Dropping it stops both.
struct Router {
    server: Option<daemon::Server>,
    agent: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
}

impl Router {
    fn start(at: usize, model: &'static Model, site: &Site, anew: bool) -> Result<Router, Fault> {
        let link = link::Options {
            global: address(site.global),
            config: vec![model.config()],
            operational: vec![model.operational()],
            private: Private::default(),
            insecure_link: false,
        };
        let server = start(options(model.id, site.dir.join(model.id), None, Some(link))?)?;
        let place = server.addresses().first().copied();
        let place = address(place.ok_or_else(|| Fault::error(format!("{} has no address", model.id)))?);
        site.places.moved(at, place.clone());
        let ending = Arc::new(AtomicBool::new(false));
        let mut router = Router { server: Some(server), agent: None, ending: ending.clone() };
        let agent = site.teller.run(Part::Agent, move || match agent::run(model, &place, anew) {
            Err(_) if ending.load(Ordering::SeqCst) => Ok(()),
            ended => ended,
        })?;
        router.agent = Some(agent);
        Ok(router)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Its program's session ends with it.
        self.server = None;
        if let Some(agent) = self.agent.take() {
            let _ = agent.join();
        }
    }
}

/// A session that has switched all on, and hears of every change of a switch.
fn switches(global: &Server) -> Result<Session, Fault> {
    let mut session =
        Session::open(global, tega_id("demo")?, Scope::Local).map_err(|failure| lost(global, &failure))?;
    let on = object(MODELS.map(|model| (model.id, Value::from("on"))));
    for (kind, body) in
        [(Kind::Put, body::put(&on, None, false)), (Kind::Subscribe, body::subscribe(false, None, false))]
    {
        let answer = session.request(kind, POWER, &body).map_err(|failure| lost(global, &failure))?;
        answer.map_err(|refusal| refused(global, &refusal))?;
    }
    Ok(session)
}

/// Stops and starts routers as their switches say, until the session ends. Then it stops them all.
fn switch(mut session: Session, mut routers: Vec<Option<Router>>, site: &Site) -> Result<(), Fault> {
    let global = &site.places.global;
    let ended = loop {
        match session.next(None) {
            Ok(_) => {}
            Err(Lost(why)) => break Err(Fault::error(format!("{global}: {why}"))),
        }
        match session.request(Kind::Get, POWER, "{}") {
            Ok(answer) => obey(answer.ok().as_ref(), &mut routers, site)?,
            Err(failure) => break Err(lost(global, &failure)),
        }
    };
    // Each takes a moment to say goodbye.
    std::thread::scope(|scope| {
        for router in routers {
            scope.spawn(move || drop(router));
        }
    });
    ended
}

/// Where there are no switches, or they say something else, all is on.
fn obey(answer: Option<&Value>, routers: &mut [Option<Router>], site: &Site) -> Result<(), Fault> {
    let power = answer.and_then(|answer| answer.get("value"));
    for (at, (model, router)) in MODELS.iter().zip(routers).enumerate() {
        let off = power.and_then(|power| power.get(model.id)).and_then(Value::as_str) == Some("off");
        if off && router.is_some() {
            site.teller.tell(model.id, "is switched off");
            *router = None;
        } else if !off && router.is_none() {
            *router = Some(Router::start(at, model, site, true)?);
            site.teller.tell(model.id, "is switched on");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(value: &Value) -> usize {
        value.as_object().map_or(1, |object| object.members().iter().map(|(_, value)| leaves(value)).sum())
    }

    #[test]
    fn each_router_has_a_whole_configuration_of_its_own() {
        let mut addresses = std::collections::BTreeSet::new();
        for model in &MODELS {
            let document = Value::parse(model.document).unwrap();
            let uci = document.get("uci").unwrap();
            assert!(leaves(&document) >= 150, "{}: {}", model.id, leaves(&document));
            for package in ["system", "network", "wireless", "dhcp", "firewall", "dropbear"] {
                assert!(uci.get(package).is_some(), "{}: {package}", model.id);
            }
            let at = |keys: [&str; 3]| keys.iter().try_fold(uci, |value, key| value.get(key)).cloned();
            assert_eq!(at(["system", "@system[0]", "hostname"]), Some(Value::from(model.id)));
            let address = at(["network", "lan", "ipaddr"]).unwrap();
            assert!(addresses.insert(address.as_str().unwrap().to_string()), "{address} twice");
        }
    }

    #[test]
    fn every_section_is_as_ubus_shows_it() {
        for model in &MODELS {
            let document = Value::parse(model.document).unwrap();
            for (package, sections) in document.get("uci").unwrap().as_object().unwrap().members() {
                let sections = sections.as_object().unwrap().members();
                let mut places: Vec<i64> = Vec::new();
                for (name, section) in sections {
                    let at = format!("{} {package}.{name}", model.id);
                    let kind = section.get(".type").and_then(Value::as_str).unwrap();
                    let anonymous = section.get(".anonymous").and_then(Value::as_bool) == Some(true);
                    assert_eq!(anonymous, name.starts_with(&format!("@{kind}[")), "{at}");
                    places.push(section.get(".index").and_then(Value::as_int).unwrap());
                    for (option, value) in section.as_object().unwrap().members() {
                        let texts = |value: &Value| {
                            value.as_list().map(|l| l.items().iter().all(|v| v.as_str().is_some()))
                        };
                        let fits = value.as_str().is_some() || texts(value) == Some(true);
                        assert!(option.starts_with('.') || fits, "{at}.{option}");
                    }
                }
                places.sort_unstable();
                assert!(places.iter().enumerate().all(|(at, place)| *place == at as i64), "{package}");
            }
        }
    }
}
