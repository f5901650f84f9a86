//! What must work on trial beside the way to the global server.

use std::net::{TcpStream, ToSocketAddrs};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use super::command::{Cancel, run};

/// How long one probe may take.
const TIME: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// One thing that must work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A host answers a ping.
    Ping(String),
    /// A host takes a connection: `HOST:PORT`.
    Tcp(String),
    /// A command of the shell ends with 0.
    Command(String),
}

impl FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Probe, String> {
        match text.split_once(':') {
            // It goes to a program as an argument, and isn't to be taken for an option.
            Some(("ping", host)) if !host.is_empty() && !host.starts_with('-') => {
                Ok(Probe::Ping(host.into()))
            }
            Some(("ping", _)) => Err(format!("{text}: ping:HOST wanted")),
            Some(("tcp", place)) => match place.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Probe::Tcp(place.into()))
                }
                _ => Err(format!("{text}: tcp:HOST:PORT wanted")),
            },
            _ if text.trim().is_empty() => Err("a command, ping:HOST or tcp:HOST:PORT wanted".into()),
            _ => Ok(Probe::Command(text.into())),
        }
    }
}

impl Probe {
    /// Tries it, once.
    pub fn run(&self, cancel: &Cancel) -> Result<(), String> {
        match self {
            Probe::Ping(host) => {
                let mut command = Command::new("ping");
                let ran = run(command.args(["-c", "1", "-W", "3", host]), TIME, cancel);
                ran.map(drop).map_err(|why| format!("ping:{host}: {why}"))
            }
            Probe::Tcp(place) => {
                let addresses = place.to_socket_addrs().map_err(|error| format!("tcp:{place}: {error}"))?;
                let mut why = "no address".to_string();
                for address in addresses.take(4) {
                    match TcpStream::connect_timeout(&address, CONNECT) {
                        Ok(_) => return Ok(()),
                        Err(error) => why = format!("{address}: {error}"),
                    }
                }
                Err(format!("tcp:{place}: {why}"))
            }
            Probe::Command(script) => {
                let ran = run(Command::new("sh").args(["-c", script]), TIME, cancel);
                // What it's called with and what it says may hold a password; this is told to the whole fleet.
                ran.map(drop).map_err(|why| {
                    log::debug!("the probe {script}: {why}");
                    let program = script.split_whitespace().next().unwrap_or_default();
                    format!("the probe {program} … failed; --log-level debug says how")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_a_ping_a_connection_or_a_command() {
        assert_eq!("ping:10.0.0.1".parse(), Ok(Probe::Ping("10.0.0.1".into())));
        assert_eq!("tcp:[::1]:80".parse(), Ok(Probe::Tcp("[::1]:80".into())));
        assert_eq!("test -e /x".parse(), Ok(Probe::Command("test -e /x".into())));
        for bad in ["ping:", "ping:-f", "tcp:a", "tcp::1", "tcp:a:x", " "] {
            assert!(bad.parse::<Probe>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_probe_tells_what_failed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let probe: Probe = format!("tcp:{place}").parse().unwrap();
        assert_eq!(probe.run(&Cancel::default()), Ok(()));
        drop(listener);
        assert!(probe.run(&Cancel::default()).unwrap_err().contains(&place));
        let probe: Probe = "echo user:secret; exit 1".parse().unwrap();
        let why = probe.run(&Cancel::default()).unwrap_err();
        assert!(why.contains("echo") && !why.contains("secret"), "{why}");
    }
}
