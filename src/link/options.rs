//! What a local server is told about its link: where the global is, and which roots the link carries.

use std::fmt;
use std::time::Duration;

use crate::client::{BadTarget, Target};
use crate::commit::TegaId;
use crate::path::Key;
use crate::store::{Private, Role};

/// How long the ephemeral nodes of a link that died stay, where nobody says otherwise.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(10);

/// The IDs that many routers have from the factory; with one of them a global couldn't tell its locals apart.
const NOT_UNIQUE: [&str; 2] = ["localhost", "OpenWrt"];

/// A text that nobody is to see. It has no `Display`, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the header that carries it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The link of a local server to its global one.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the global listens.
    pub global: Target,
    /// Roots that are homed at the global and replicated here.
    pub config: Vec<Key>,
    /// Roots that are homed here and replicated at the global.
    pub operational: Vec<Key>,
    /// Roots that stay here.
    pub private: Private,
    /// What the global is shown to let this server in.
    pub token: Option<Secret>,
    /// The token may go over a network that isn't encrypted.
    pub insecure_link: bool,
}

impl Options {
    /// What the store is to know of it.
    pub fn role(&self) -> Role {
        Role::Follows {
            config: self.config.clone(),
            operational: self.operational.clone(),
            private: self.private.clone(),
        }
    }

    /// Refuses what can't be, in one line that says what to do.
    pub fn check(&self, own: &TegaId) -> Result<(), String> {
        if NOT_UNIQUE.iter().any(|id| id.eq_ignore_ascii_case(own.as_str())) {
            return Err(format!(
                "--id {own}: many routers are called so, and the global couldn't tell them apart; give each its own --id"
            ));
        }
        let private: &[Key] = match &self.private {
            Private::Roots(roots) => roots,
            Private::Any => &[],
        };
        let lists =
            [("--config", &*self.config), ("--operational", &*self.operational), ("--private", private)];
        for (at, (name, roots)) in lists.iter().enumerate() {
            for (other, others) in lists.iter().skip(at + 1) {
                if let Some(root) = roots.iter().find(|root| others.contains(root)) {
                    return Err(format!(
                        "{root} is named by {name} and by {other}; a root has one home: say which"
                    ));
                }
            }
        }
        if self.token.is_some() && !self.insecure_link && !is_loopback(&self.global) {
            return Err(format!(
                "--global {}: the token would go over the network unencrypted; link through WireGuard or a TLS proxy \
                 that listens on 127.0.0.1, or accept it with --insecure-link",
                self.global
            ));
        }
        Ok(())
    }
}

fn is_loopback(target: &Target) -> bool {
    match target {
        Target::Unix(_) => true,
        Target::Tcp { host, .. } => {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    }
}

/// Reads the address of a global server: `ws://HOST[:PORT]`, or `http://…`, which means the same.
pub fn global(text: &str) -> Result<Target, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("ws", text));
    let scheme = scheme.to_ascii_lowercase();
    if matches!(scheme.as_str(), "wss" | "https") {
        return Err(format!(
            "{text}: links have no TLS yet; use ws:// through WireGuard or a TLS proxy on this machine"
        ));
    }
    let wanted = || format!("{text}: ws://HOST:PORT wanted");
    if !matches!(scheme.as_str(), "ws" | "http") || text.starts_with("unix:") {
        return Err(wanted());
    }
    format!("http://{rest}").parse().map_err(|error: BadTarget| format!("{error}; ws://HOST:PORT wanted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        let mut words = line.split(' ').map(str::to_string);
        let mut next = || words.next().unwrap_or_default();
        let list =
            |word: String| word.split(',').filter(|w| !w.is_empty()).map(Key::from).collect::<Vec<_>>();
        Options {
            global: global(&next()).unwrap(),
            config: list(next()),
            operational: list(next()),
            private: Private::Roots(list(next())),
            token: Some(Secret::new("s3cret")).filter(|_| next() == "token"),
            insecure_link: next() == "insecure",
        }
    }

    #[test]
    fn an_address_is_ws_or_http_and_never_tls() {
        for (text, shown) in [
            ("ws://g:1", "http://g:1"),
            ("http://g", "http://g:8739"),
            ("WS://[::1]:2/", "http://[::1]:2"),
            ("g:3", "http://g:3"),
        ] {
            assert_eq!(global(text).unwrap().to_string(), shown);
        }
        for (text, why) in
            [("wss://g", "TLS"), ("https://g", "TLS"), ("unix:/s", "wanted"), ("ftp://g", "wanted")]
        {
            assert!(global(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_remedy() {
        let r1 = TegaId::new("r1").unwrap();
        assert_eq!(options("ws://g a b c").check(&r1), Ok(()));
        assert_eq!(options("ws://g   ").check(&r1), Ok(()));
        for (line, why) in [
            ("ws://g a,b b ", "--config and by --operational"),
            ("ws://g a  a", "--config and by --private"),
            ("ws://g  a a", "--operational and by --private"),
            ("ws://g a b  token", "WireGuard"),
        ] {
            let said = options(line).check(&r1).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
        for fine in ["ws://g a b  token insecure", "ws://127.0.0.1 a b  token", "ws://[::1] a b  token"] {
            assert_eq!(options(fine).check(&r1), Ok(()), "{fine}");
        }
        for id in ["localhost", "OpenWrt"] {
            let said = options("ws://g a b ").check(&TegaId::new(id).unwrap()).unwrap_err();
            assert!(said.contains("--id"), "{said}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", options("ws://127.0.0.1 a b  token"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
