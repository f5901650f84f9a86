//! Which pages of a browser may talk to this server: the rules for `Host`, `Origin` and `Sec-Fetch-Site`.
//!
//! On loopback anybody's page can reach the port, and by a name that it controls (DNS rebinding) it can even look like
//! the same site. So there `Host` must be a name of loopback itself, and everywhere `Origin` must be this server.

use crate::api::error::Refusal;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The local socket: no browser gets there.
    Socket,
    /// A loopback address.
    Loopback,
    /// Any other address.
    Network,
}

/// What a browser tells of the page that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `Host`; `None` in HTTP/1.0 only, which no browser speaks.
    pub host: Option<&'a str>,
    /// `Origin`
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`
    pub fetch_site: Option<&'a str>,
    /// It's a GET that changes something.
    pub effect: bool,
}

/// Refuses a request that a foreign page may have made.
pub fn check(via: Via, asked: Asked<'_>) -> Result<(), Refusal> {
    let host = asked.host.unwrap_or_default();
    if via == Via::Loopback && asked.host.is_some() && !is_loopback_name(name(host)) {
        let message = format!("Host {host:?}: on loopback it's localhost, 127.0.0.1 or [::1]");
        return Err(Refusal::new("forbidden", message));
    }
    if let Some(origin) = asked.origin.filter(|origin| !same_origin(origin, host)) {
        let message = format!("Origin {origin:?} isn't this server, {host:?}");
        return Err(Refusal::new("forbidden", message));
    }
    match asked.fetch_site {
        Some(site) if asked.effect && site != "same-origin" && site != "none" => {
            Err(Refusal::new("forbidden", "a page of another site must not call this"))
        }
        _ => Ok(()),
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    let end = match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(at) => at + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    match host.split_at_checked(end) {
        Some((name, port)) if port.is_empty() || is_port(port) => name,
        _ => host,
    }
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

/// Whether an origin is this host exactly; or, as drivers write it and browsers never do, with a `/` at the end and
/// the host's name with any port.
fn same_origin(origin: &str, host: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return false;
    };
    match rest.strip_suffix('/') {
        Some(driver) => !driver.is_empty() && name(driver).eq_ignore_ascii_case(name(host)),
        None => !rest.is_empty() && rest.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(via: Via, host: &str, origin: Option<&str>, fetch_site: Option<&str>, effect: bool) -> bool {
        check(via, Asked { host: Some(host), origin, fetch_site, effect }).is_ok()
    }

    #[test]
    fn a_host_on_loopback_is_loopback() {
        for (host, good) in [
            ("localhost", true),
            ("LOCALHOST:8739", true),
            ("127.0.0.1:8739", true),
            ("[::1]", true),
            ("[::1]:80", true),
            ("::1", false),
            ("127.0.0.2", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("localhost:8739.evil.example", false),
            ("[::1].evil.example", false),
            ("", false),
        ] {
            assert_eq!(allowed(Via::Loopback, host, None, None, false), good, "{host:?}");
            assert!(allowed(Via::Network, host, None, None, false));
            assert!(allowed(Via::Socket, host, None, None, false));
        }
        assert!(check(Via::Loopback, Asked::default()).is_ok());
    }

    #[test]
    fn an_origin_is_this_server() {
        for (host, origin, good) in [
            ("localhost:8739", "http://localhost:8739", true),
            ("localhost:8739", "HTTP://localhost:8739", false),
            ("localhost:8739", "http://LOCALHOST:8739", true),
            ("localhost:8739", "https://localhost:8739", true),
            ("localhost:8739", "http://localhost", false),
            ("localhost:8739", "http://localhost:80", false),
            ("localhost:8739", "http://127.0.0.1:8739", false),
            ("localhost:8739", "http://evil.example", false),
            ("localhost:8739", "null", false),
            ("localhost:8739", "", false),
            ("localhost:8739", "file://", false),
            ("localhost:8739", "http://", false),
            ("localhost:8739", "http:///", false),
            // As the Go driver writes it.
            ("localhost:8739", "http://localhost/", true),
            ("localhost:8739", "http://localhost:1/", true),
            ("[::1]:8739", "http://[::1]/", true),
            ("localhost:8739", "http://evil.example/", false),
            ("localhost:8739", "http://localhost.evil.example/", false),
            ("localhost:8739", "http://localhost:1@evil.example/", false),
            ("localhost:8739", "http://localhost//", false),
        ] {
            assert_eq!(allowed(Via::Loopback, host, Some(origin), None, false), good, "{host} {origin}");
        }
        assert!(!allowed(Via::Socket, "x", Some("http://evil.example"), None, false));
        assert!(allowed(Via::Network, "r1.lan:8739", Some("http://r1.lan:8739"), None, false));
    }

    #[test]
    fn a_get_with_an_effect_is_not_for_other_sites() {
        for (site, effect, good) in [
            (None, true, true),
            (Some("same-origin"), true, true),
            (Some("none"), true, true),
            (Some("same-site"), true, false),
            (Some("cross-site"), true, false),
            (Some("cross-site"), false, true),
            (Some(""), true, false),
        ] {
            assert_eq!(allowed(Via::Loopback, "localhost", None, site, effect), good, "{site:?} {effect}");
        }
    }
}
