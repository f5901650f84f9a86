//! `serve`: from what was typed to what a server is started with.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::parse::Typed;
use super::remote::default_socket;
use super::show::{Out, note};
use crate::client::{DEFAULT_PORT, Server};
use crate::commit::{MAX_TEGA_ID, TegaId};
use crate::daemon::{self, Ended, Listen, Options, logger};
use crate::link;
use crate::path::Key;
use crate::plugin;
use crate::store::{self, Durability, Private, Role};
use crate::token::Tokens;

/// The exit code after which a supervisor should start the server again: the disk failed (`EX_TEMPFAIL`).
pub(super) const RESTART: u8 = 75;

/// `tega serve`; the code that the process ends with.
pub(super) fn serve(typed: &Typed, out: &mut Out) -> Result<u8, Fault> {
    let options = options(typed, openwrt())?;
    logger::install(level(typed.last(Flag::LogLevel).unwrap_or("info"))?);
    let mut announced = Ok(());
    let ended = daemon::run(options, |server| announced = announce(server, out));
    // A server whose standard output nobody reads serves all the same.
    drop(announced);
    match ended {
        Ok(Ended::Stopped) => Ok(Exit::Ok.code()),
        Ok(Ended::DiskFailed) => {
            note("the disk failed; ending so that a supervisor starts the server again");
            Ok(RESTART)
        }
        Err(error) => {
            Err(if error.usage { Fault::usage(error.message) } else { Fault::error(error.message) })
        }
    }
}

fn announce(server: &daemon::Server, out: &mut Out) -> Result<(), Fault> {
    for address in server.addresses() {
        out.line(&format!("listening on http://{address}"))?;
    }
    if let Some(socket) = server.socket() {
        out.line(&format!("listening on unix:{}", socket.display()))?;
    }
    out.flush()
}

/// Whether this is a router, where flash is `/etc` and the network isn't trusted.
pub(super) fn openwrt() -> bool {
    Path::new("/etc/openwrt_release").exists()
}

/// The data directory where none is named.
pub(super) fn default_data(openwrt: bool) -> PathBuf {
    PathBuf::from(if openwrt { "/etc/tega/data" } else { "./var" })
}

/// The data directory that the options mean.
pub(super) fn data_dir(typed: &Typed) -> PathBuf {
    typed.last(Flag::Data).map_or_else(|| default_data(openwrt()), PathBuf::from)
}

/// The token file that the options mean.
pub(super) fn tokens_file(typed: &Typed) -> PathBuf {
    typed.last(Flag::Tokens).map_or_else(|| data_dir(typed).join("tokens"), PathBuf::from)
}

/// The tokens that are asked for. A file that was named must be there: a slip mustn't open the door.
fn tokens(typed: &Typed) -> Result<Tokens, Fault> {
    let opened = Tokens::open(tokens_file(typed), typed.has(Flag::Tokens));
    opened.map_err(|error| Fault::error(error.to_string()))
}

fn options(typed: &Typed, openwrt: bool) -> Result<Options, Fault> {
    let data = typed.last(Flag::Data).map_or_else(|| default_data(openwrt), PathBuf::from);
    let socket = match typed.last(Flag::Socket) {
        Some("none") => None,
        Some(path) => Some(PathBuf::from(path)),
        None if typed.has(Flag::Data) => Some(data.join("tega.sock")),
        None => default_socket(),
    };
    let history = typed.number(Flag::History)?.unwrap_or(10);
    let (durability, durability_of) = durabilities(typed)?;
    let id = own_id(typed)?;
    let global = global(typed, &id)?;
    let role = global.as_ref().map_or_else(Role::default, link::Options::role);
    Ok(Options {
        data: Some(data),
        id,
        listen: listens(typed, openwrt)?,
        socket,
        store: store::Options { history, durability, durability_of, role, ..store::Options::default() }
            .within(crate::system::memory()),
        global,
        presence_grace: match typed.number(Flag::PresenceGrace)? {
            None => link::PRESENCE_GRACE,
            Some(seconds @ 0..=3_600) => Duration::from_secs(seconds),
            Some(_) => return Err(Fault::usage("--presence-grace: 0 to 3600 seconds wanted")),
        },
        insecure: typed.has(Flag::Insecure),
        tokens: tokens(typed)?,
        uci: super::bridge::options(typed)?,
        plugins: plugins(typed)?,
        supervised: typed.has(Flag::Supervised),
        threads: match typed.number(Flag::Threads)?.unwrap_or(1) {
            threads @ 1..=64 => threads,
            _ => return Err(Fault::usage("--threads: 1 to 64 wanted")),
        },
    })
}

/// The link that the options mean; `None`: this is a global server, or one that stands alone.
fn global(typed: &Typed, id: &TegaId) -> Result<Option<link::Options>, Fault> {
    let Some(url) = typed.last(Flag::Global) else {
        for (flag, name) in [
            (Flag::Config, "--config"),
            (Flag::Operational, "--operational"),
            (Flag::Private, "--private"),
            (Flag::InsecureLink, "--insecure-link"),
        ] {
            if typed.has(flag) {
                return Err(Fault::usage(format!(
                    "{name} is about the link to a global server; name that with --global"
                )));
            }
        }
        return Ok(None);
    };
    let target = link::global(url).map_err(|why| Fault::usage(format!("--global {why}")))?;
    let private = match roots(typed, Flag::Private, "--private")? {
        Roots::Any => Private::Any,
        Roots::These(roots) => Private::Roots(roots),
    };
    let these = |flag, name: &str| match roots(typed, flag, name)? {
        Roots::These(roots) => Ok(roots),
        Roots::Any => Err(Fault::usage(format!("{name} *: names of roots wanted"))),
    };
    let options = link::Options {
        global: Server { target, token: super::remote::token(typed)? },
        config: these(Flag::Config, "--config")?,
        operational: these(Flag::Operational, "--operational")?,
        private,
        insecure_link: typed.has(Flag::InsecureLink),
    };
    options.check(id).map_err(Fault::usage)?;
    Ok(Some(options))
}

enum Roots {
    These(Vec<Key>),
    Any,
}

fn roots(typed: &Typed, flag: Flag, name: &str) -> Result<Roots, Fault> {
    let mut roots: Vec<Key> = Vec::new();
    for word in typed.all(flag) {
        if word == "*" {
            return Ok(Roots::Any);
        }
        let path =
            super::data::node(word).map_err(|fault| Fault::usage(format!("{name} {word}: {fault}")))?;
        match path.keys() {
            [root] if !roots.contains(root) => roots.push(root.clone()),
            [_] => {}
            _ => return Err(Fault::usage(format!("{name} {word}: {path} is no root"))),
        }
    }
    Ok(Roots::These(roots))
}

fn listens(typed: &Typed, openwrt: bool) -> Result<Vec<Listen>, Fault> {
    let words: Vec<&str> = typed.all(Flag::Listen).collect();
    if words.contains(&"none") {
        return if words.len() == 1 {
            Ok(Vec::new())
        } else {
            Err(Fault::usage("--listen none goes with no other --listen"))
        };
    }
    let read = |word: &&str| match word.parse() {
        Ok(address) => Ok(Listen { address, optional: false }),
        Err(_) => Err(Fault::usage(format!(
            "--listen {word}: ADDR:PORT wanted, such as 127.0.0.1:8739 or [::1]:8739, or none"
        ))),
    };
    match (words.is_empty(), openwrt) {
        (false, _) => words.iter().map(read).collect(),
        (true, true) => Ok(Vec::new()),
        (true, false) => Ok(loopback(DEFAULT_PORT)),
    }
}

/// Both loopback addresses.
pub(super) fn loopback(port: u16) -> Vec<Listen> {
    vec![
        Listen { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), optional: false },
        Listen { address: SocketAddr::from((Ipv6Addr::LOCALHOST, port)), optional: true },
    ]
}

type OfRoots = Vec<(Key, Durability)>;

fn durabilities(typed: &Typed) -> Result<(Durability, OfRoots), Fault> {
    let mut all = Durability::Always;
    let mut of = OfRoots::new();
    for word in typed.all(Flag::Durability) {
        match word.rsplit_once('=') {
            None => all = durability(word)?,
            Some((root, mode)) => {
                let path = super::data::node(root)
                    .map_err(|fault| Fault::usage(format!("--durability {word}: {fault}")))?;
                match path.keys() {
                    [root] => of.push((root.clone(), durability(mode)?)),
                    _ => return Err(Fault::usage(format!("--durability {word}: {path} is no root"))),
                }
            }
        }
    }
    Ok((all, of))
}

/// A durability as it is written on the command line.
pub(super) fn durability(word: &str) -> Result<Durability, Fault> {
    let ms =
        |text: &str| text.parse().ok().filter(|ms| (1..=3_600_000).contains(ms)).map(Duration::from_millis);
    match (word, word.strip_prefix("interval:").and_then(ms)) {
        ("always", _) => Ok(Durability::Always),
        ("none", _) => Ok(Durability::None),
        ("memory", _) => Ok(Durability::Memory),
        (_, Some(interval)) => Ok(Durability::Interval(interval)),
        _ => Err(Fault::usage(format!(
            "--durability {word}: always, interval:MS (1 to 3600000), none or memory wanted"
        ))),
    }
}

fn level(word: &str) -> Result<log::LevelFilter, Fault> {
    word.parse().map_err(|_| {
        Fault::usage(format!("--log-level {word}: error, warn, info, debug, trace or off wanted"))
    })
}

fn own_id(typed: &Typed) -> Result<TegaId, Fault> {
    if let Some(id) = super::remote::tega_id(typed)? {
        return Ok(id);
    }
    let name = crate::system::host_name();
    TegaId::new(&id_of_host(&name)).map_err(|error| Fault::error(format!("{error}; give one with --id")))
}

/// A host name as a tega ID.
fn id_of_host(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let id: String = name.trim().chars().take(MAX_TEGA_ID).map(fits).collect();
    if id.is_empty() { "localhost".into() } else { id }
}

/// The plugins that the options mean. A directory that isn't there keeps no server from starting: it's told in the log and
/// in `/_plugins`, and may be there at the next reload.
fn plugins(typed: &Typed) -> Result<Option<plugin::Options>, Fault> {
    let dirs: Vec<PathBuf> = typed.all(Flag::Plugins).map(PathBuf::from).collect();
    let memory_mib = typed.number(Flag::PluginMemory)?;
    if dirs.is_empty() {
        return match memory_mib {
            Some(_) => Err(Fault::usage("--plugin-memory goes with --plugins")),
            None => Ok(None),
        };
    }
    let memory_mib = memory_mib.unwrap_or(plugin::MEMORY_MIB);
    let (least, most) = plugin::MEMORY_RANGE.into_inner();
    if !plugin::MEMORY_RANGE.contains(&memory_mib) {
        return Err(Fault::usage(format!("--plugin-memory: {least} to {most} MiB wanted")));
    }
    Ok(Some(plugin::Options { dirs, memory_mib }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Typed {
        super::super::parse::parse(format!("serve {line}").split_whitespace().map(Into::into)).unwrap()
    }

    fn shown(listens: &[Listen]) -> Vec<String> {
        listens.iter().map(|listen| listen.address.to_string()).collect()
    }

    #[test]
    fn a_router_listens_on_the_local_socket_alone_and_a_pc_on_loopback() {
        assert_eq!(shown(&listens(&typed(""), false).unwrap()), ["127.0.0.1:8739", "[::1]:8739"]);
        assert!(listens(&typed(""), true).unwrap().is_empty());
        assert!(listens(&typed("--listen none"), false).unwrap().is_empty());
        let some = typed("--listen 127.0.0.1:0 --listen [::1]:1");
        assert_eq!(shown(&listens(&some, true).unwrap()), ["127.0.0.1:0", "[::1]:1"]);
        for bad in ["--listen 8739", "--listen localhost:1", "--listen none --listen 127.0.0.1:0"] {
            assert_eq!(listens(&typed(bad), false).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn durability_is_set_for_all_and_for_single_roots() {
        let (all, of) = durabilities(&typed("--durability interval:50 --durability log=memory")).unwrap();
        assert_eq!(all, Durability::Interval(Duration::from_millis(50)));
        assert_eq!(of, [("log".into(), Durability::Memory)]);
        for bad in ["sometimes", "interval:", "interval:0", "interval:x", "a.b=none", "=none", "_x=none"] {
            assert!(durabilities(&typed(&format!("--durability {bad}"))).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_is_meant_by_global_and_carries_what_is_declared() {
        let id = TegaId::new("r1").unwrap();
        let of = |line: &str| global(&typed(line), &id).map_err(|fault| fault.message);
        assert!(of("").unwrap().is_none());
        let link = of("--global ws://g:1 --config a b --operational c --private d").unwrap().unwrap();
        assert_eq!(link.global.to_string(), "http://g:1");
        assert_eq!((link.config.len(), link.operational.len()), (2, 1));
        assert_eq!(link.private, Private::Roots(vec!["d".into()]));
        assert_eq!(of("--global ws://g --private *").unwrap().unwrap().private, Private::Any);
        for (line, why) in [
            ("--config a", "--global"),
            ("--global wss://g", "TLS"),
            ("--global ws://g --config a.b", "no root"),
            ("--global ws://g --config *", "names of roots"),
            ("--global ws://g --config _a", "_a"),
            ("--global ws://g --config a --operational a", "one home"),
        ] {
            let said = of(line).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
        assert!(global(&typed("--global ws://g"), &TegaId::new("OpenWrt").unwrap()).is_err());
    }

    #[test]
    fn plugins_have_directories_and_a_limit_of_memory() {
        let of = |line: &str| plugins(&typed(line)).map_err(|fault| fault.message);
        assert!(of("").unwrap().is_none());
        let some = of("--plugins a --plugins b").unwrap().unwrap();
        assert_eq!((some.dirs.len(), some.memory_mib), (2, plugin::MEMORY_MIB));
        assert_eq!(of("--plugins a --plugin-memory 64").unwrap().unwrap().memory_mib, 64);
        assert!(of("--plugin-memory 64").unwrap_err().contains("--plugins"));
        assert!(of("--plugins a --plugin-memory 3").unwrap_err().contains("MiB"));
    }

    #[test]
    fn a_host_name_becomes_a_tega_id() {
        for (name, id) in [("r1\n", "r1"), ("my.host", "my-host"), ("", "localhost"), ("é", "-")] {
            assert_eq!(id_of_host(name), id);
        }
    }
}
