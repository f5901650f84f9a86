//! # One tega seen from outside
//!
//! What the command line and the browser use to reach a server, and nothing of the server itself. A [`Target`] says
//! where it is, a [`Server`] what it's shown to let us in; [`http`] asks it one thing at a time, [`live`] holds a session
//! with it over a WebSocket, and may serve functions there, each [`Call`] of which it answers. Both block.

mod call;
pub mod frames;
pub mod http;
pub mod live;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

pub use call::Call;

/// The port of a tega when an address names none.
pub const DEFAULT_PORT: u16 = 8739;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `http://HOST[:PORT]`
    Tcp {
        /// A name or an address; an IPv6 address without its brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// `unix:PATH`
    Unix(PathBuf),
}

impl Target {
    /// What goes into a `Host` header.
    pub fn host(&self) -> String {
        match self {
            Target::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { .. } => write!(f, "http://{}", self.host()),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Target {
    /// Whether what is sent there stays on this machine.
    pub fn stays_here(&self) -> bool {
        match self {
            Target::Unix(_) => true,
            Target::Tcp { host, .. } => match host.parse::<IpAddr>() {
                Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(v6.is_loopback(), |v4| v4.is_loopback()),
                Ok(IpAddr::V4(v4)) => v4.is_loopback(),
                // The one name that means loopback by definition (RFC 6761).
                Err(_) => host.eq_ignore_ascii_case("localhost"),
            },
        }
    }
}

/// A token that is shown to a server. It's never printed: it has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

impl Bearer {
    /// Takes a token as it stands in a file or the environment, without the space around it. An error says what is wrong
    /// and doesn't repeat it.
    pub fn new(text: &str) -> Result<Bearer, &'static str> {
        const LONGEST: usize = 1024;
        let text = text.trim();
        if text.is_empty() {
            return Err("it's empty");
        }
        // It becomes a header, and mustn't end it.
        if text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("that's no token: one line of letters, digits and signs is wanted");
        }
        Ok(Bearer(text.into()))
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

/// A server, and what it's shown to let us in. It's printed as its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// What it's shown.
    pub token: Option<Bearer>,
}

impl Server {
    /// The header that shows the token, with its line end; empty where there's none.
    pub fn authorization(&self) -> String {
        self.token.as_ref().map_or(String::new(), |token| format!("Authorization: Bearer {}\r\n", token.0))
    }

    /// What the environment of another `tega` says so that it talks to this server, and shows it the same token. The
    /// environment of a process is for its user's eyes only, unlike its command line.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let token = self.token.as_ref().map(|token| ("TEGA_TOKEN", token.0.clone()));
        std::iter::once(("TEGA_URL", self.target.to_string())).chain(token).collect()
    }
}

impl From<Target> for Server {
    fn from(target: Target) -> Server {
        Server { target, token: None }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

/// A text that names no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTarget(String);

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTarget {}

impl FromStr for Target {
    type Err = BadTarget;

    /// Reads `http://HOST[:PORT][/]`, `unix:PATH`, or `HOST[:PORT]` alone.
    fn from_str(text: &str) -> Result<Target, BadTarget> {
        // What stands before an "@" may be a secret.
        let shown = text.rsplit_once('@').map_or(text, |(_, shown)| shown);
        let bad = |why: &str| BadTarget(format!("address {shown:?}: {why}"));
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(bad("a path is wanted after \"unix:\""))
            } else {
                Ok(Target::Unix(path.into()))
            };
        }
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(bad("tega has no TLS yet; use http:// through a tunnel or a TLS proxy"));
            }
            Some(_) => return Err(bad("http://HOST[:PORT] or unix:PATH is wanted")),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, tail) = rest.split_once(']').ok_or_else(|| bad("a \"]\" is missing"))?;
                match tail.strip_prefix(':') {
                    None if !tail.is_empty() => return Err(bad("only \":PORT\" may follow the \"]\"")),
                    port => (host, port),
                }
            }
            None => match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(bad("an IPv6 address is written in brackets, as [::1]:8739"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@', ' ', '\r', '\n']) {
            return Err(bad("http://HOST[:PORT] or unix:PATH is wanted"));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(bad("the port is a number from 1 to 65535")),
            },
        };
        Ok(Target::Tcp { host: host.into(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_back_from_what_it_prints() {
        for (text, shown) in [
            ("http://127.0.0.1:8739", "http://127.0.0.1:8739"),
            ("HTTP://router/", "http://router:8739"),
            ("router:80", "http://router:80"),
            ("http://[::1]", "http://[::1]:8739"),
            ("[fe80::1]:1", "http://[fe80::1]:1"),
            ("unix:/var/run/tega.sock", "unix:/var/run/tega.sock"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(shown.parse(), Ok(target));
        }
    }

    #[test]
    fn loopback_and_the_local_socket_stay_here() {
        for (text, stays) in [
            ("unix:/s", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("LocalHost:1", true),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("[fd00::1]", false),
            ("router", false),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().stays_here(), stays, "{text}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let server = |token| Server { target: "h".parse().unwrap(), token };
        let token = Bearer::new(" tega_a_0123\n").unwrap();
        let shown = server(Some(token));
        assert_eq!(shown.authorization(), "Authorization: Bearer tega_a_0123\r\n");
        assert_eq!(server(None).authorization(), "");
        assert!(!format!("{shown:?} {shown}").contains("0123"));
        let long = "x".repeat(1025);
        for bad in ["", " ", "a b", "a\nb", "a\u{7f}", "é", &long] {
            assert!(Bearer::new(bad).is_err(), "{bad:?}");
        }
        let error = "http://me:s3cret@host".parse::<Target>().unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_text_that_names_no_server_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "wanted"),
            ("unix:", "a path"),
            ("https://a", "TLS"),
            ("ftp://a", "wanted"),
            ("::1", "brackets"),
            ("a:0", "1 to 65535"),
            ("a:70000", "1 to 65535"),
            ("http://a/b", "wanted"),
            ("[::1", "missing"),
            ("[::1]x", "follow"),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
