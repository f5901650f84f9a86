//! Who is let in: tokens on requests, and what happens to those who show wrong ones.
//!
//! Where tokens are asked for, every request over TCP must show one, on loopback too: there, anybody on the machine
//! could connect. The local socket is the administrator's and needs none; but a token that is shown counts there as
//! well, so that a proxy in front of it can pass on what its own clients may do.
//!
//! A wrong token is answered late, and later each time, by address. That isn't what keeps guesses out (nobody guesses
//! 256 bits); it keeps a broken client from filling logs and taking the processor. An answer that waits holds a
//! connection that counts towards its address's limit and makes place when the door is full. Whoever shows a right
//! token is never slowed, wherever they come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::origin::Via;
use crate::api::error::Refusal;
use crate::http::{Peer, Reply};
use crate::token::{Access, Denied, Tokens};

/// Addresses with wrong tokens that are remembered.
const MAX_OFFENDERS: usize = 1024;

/// How long a wrong token is remembered.
const MEMORY: Duration = Duration::from_secs(600);

/// How often the delay doubles.
const DOUBLINGS: u32 = 4;

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown<'a> {
    /// `Authorization`
    pub(super) authorization: Option<&'a str>,
    /// What is behind the `?` of the target.
    pub(super) query: &'a str,
}

/// A request that isn't let in.
#[derive(Debug)]
pub(super) struct TurnedAway {
    pub(super) reply: Reply,
    /// How long the answer is to wait.
    pub(super) delay: Duration,
}

/// The numbers of a gate, for `/_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateCounts {
    /// Tokens that are known; `None`: none are asked for.
    pub tokens: Option<usize>,
    /// Requests without a token where one is needed, since the start; wraps at 2³².
    pub missing: u32,
    /// Requests with a wrong one.
    pub wrong: u32,
}

/// Wrong tokens of one address.
#[derive(Clone, Copy, Debug)]
struct Offender {
    count: u32,
    last: Instant,
}

/// Tells who may do what, by the token that they show.
#[derive(Debug)]
pub(super) struct Gate {
    tokens: Tokens,
    /// The delay of the answer to an address's first wrong token.
    delay: Duration,
    missing: AtomicU32,
    wrong: AtomicU32,
    offenders: Mutex<HashMap<IpAddr, Offender>>,
}

impl Gate {
    pub(super) fn new(tokens: Tokens, delay: Duration) -> Gate {
        let (missing, wrong) = (AtomicU32::new(0), AtomicU32::new(0));
        Gate { tokens, delay, missing, wrong, offenders: Mutex::default() }
    }

    pub(super) fn counts(&self) -> GateCounts {
        let number = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        GateCounts { tokens: self.tokens.count(), missing: number(&self.missing), wrong: number(&self.wrong) }
    }

    /// What the sender of a request may do.
    pub(super) fn admit(&self, via: Via, peer: Peer, shown: Shown<'_>) -> Result<Access, TurnedAway> {
        if has_token(shown.query) {
            let message = "a token doesn't belong into a URL, which is logged and kept in many places; send it as \
                           \"Authorization: Bearer TOKEN\", and replace this one";
            return Err(TurnedAway { reply: Reply::refusal(&Refusal::bad(message)), delay: Duration::ZERO });
        }
        if via == Via::Socket && (shown.authorization.is_none() || !self.tokens.required()) {
            return Ok(Access::all());
        }
        let token = shown.authorization.map(|value| bearer(value).unwrap_or_default());
        self.tokens.identify(token).map_err(|denied| self.deny(denied, peer))
    }

    /// What somebody may do who opens a session without a token: an original server can't send one. Nothing, until it
    /// says that it's one which is expected from its address.
    pub(super) fn knock(&self, peer: Peer) -> Option<Access> {
        match peer {
            Peer::Address(address) => self.tokens.knock(address.ip().to_canonical()),
            Peer::Local => None,
        }
    }

    fn deny(&self, denied: Denied, peer: Peer) -> TurnedAway {
        let (message, delay) = match denied {
            Denied::Missing => {
                self.missing.fetch_add(1, Ordering::Relaxed);
                log::debug!("{peer}: a request without a token");
                let message = "a token is needed: send it as \"Authorization: Bearer TOKEN\" (the command line: \
                               --token-file or $TEGA_TOKEN); nothing happened";
                (message, Duration::ZERO)
            }
            Denied::Wrong => {
                self.wrong.fetch_add(1, Ordering::Relaxed);
                let message = "this token isn't known here, or not any more; nothing happened";
                (message, self.offended(peer, Instant::now()))
            }
        };
        let reply = Reply::refusal(&Refusal::new("unauthorized", message)).with("WWW-Authenticate", "Bearer");
        TurnedAway { reply, delay }
    }

    /// Notes a wrong token, and says how long the answer is to wait.
    fn offended(&self, peer: Peer, now: Instant) -> Duration {
        let address = match peer {
            Peer::Address(address) => neighbourhood(address.ip()),
            Peer::Local => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut offenders = self.offenders.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = |offender: &Offender| now.saturating_duration_since(offender.last) >= MEMORY;
        if offenders.len() >= MAX_OFFENDERS && !offenders.contains_key(&address) {
            offenders.retain(|_, offender| !forgotten(offender));
            let oldest = offenders.iter().min_by_key(|(_, offender)| offender.last).map(|(at, _)| *at);
            if let Some(oldest) = oldest.filter(|_| offenders.len() >= MAX_OFFENDERS) {
                offenders.remove(&oldest);
            }
        }
        let offender = offenders.entry(address).or_insert(Offender { count: 0, last: now });
        if forgotten(offender) {
            offender.count = 0;
        }
        *offender = Offender { count: offender.count.saturating_add(1), last: now };
        let count = offender.count;
        drop(offenders);
        // Said at the 1st, 2nd, 4th, 8th…: a client that tries on for ever doesn't fill the log.
        if count.is_power_of_two() {
            log::warn!("{peer}: a wrong token; {count} from there in a row");
        }
        self.delay * (1 << (count - 1).min(DOUBLINGS))
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whether the query of a target has a parameter for a token.
fn has_token(query: &str) -> bool {
    let names = || query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names().any(|name| name.eq_ignore_ascii_case("token") || name.eq_ignore_ascii_case("access_token"))
}

/// What one customer has: an IPv4 address, or 64 bits of IPv6.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Address(address.parse().unwrap())
    }

    fn gate() -> Gate {
        Gate::new(Tokens::none(), Duration::from_millis(100))
    }

    #[test]
    fn wrong_tokens_are_answered_later_each_time_and_forgotten_in_the_end() {
        let (gate, now) = (gate(), Instant::now());
        let delay = |from: &str, at: Instant| gate.offended(peer(from), at).as_millis();
        let delays: Vec<_> = (0..7).map(|_| delay("10.0.0.1:1", now)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 1600, 1600]);
        assert_eq!(delay("10.0.0.2:1", now), 100, "another address is another one");
        assert_eq!(delay("[::ffff:10.0.0.1]:9", now), 1600);
        assert_eq!((delay("[fd00::1]:1", now), delay("[fd00::2]:1", now)), (100, 200));
        assert_eq!(delay("10.0.0.1:1", now + MEMORY), 100);
    }

    #[test]
    fn the_memory_of_addresses_is_bounded_and_the_oldest_goes() {
        let (gate, now) = (gate(), Instant::now());
        for n in 0..3 * MAX_OFFENDERS as u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            let peer = Peer::Address((address, 1).into());
            gate.offended(peer, now + Duration::from_millis(n.into()));
        }
        let offenders = gate.offenders.lock().unwrap();
        assert_eq!(offenders.len(), MAX_OFFENDERS);
        let last = 0x0a00_0000 + 3 * MAX_OFFENDERS as u32 - 1;
        assert!(offenders.contains_key(&IpAddr::V4(last.into())));
    }

    #[test]
    fn only_bearer_is_understood() {
        for (value, token) in [
            ("Bearer x", Some("x")),
            ("bearer  x ", Some("x")),
            ("Basic x", None),
            ("Bearer", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(bearer(value), token, "{value}");
        }
    }

    #[test]
    fn a_token_in_a_url_is_seen() {
        for (query, seen) in [
            ("token=x", true),
            ("a=b&access_token=x", true),
            ("Token", true),
            ("", false),
            ("a=token", false),
            ("tokens=1", false),
        ] {
            assert_eq!(has_token(query), seen, "{query}");
        }
    }
}
