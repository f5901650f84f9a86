//! The link of a local to its global: opened again whenever it ends, each time by a new look at the name and a new
//! connection.
//!
//! Between two attempts it waits at random, up to a bound that doubles with each failure (full jitter): routers that
//! lost their global together don't come back together.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use smol::channel::Receiver;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Timer};

use super::options::Options;
use super::register::random;
use super::socket::{self, Ended};
use super::work::{Context, Work};
use super::{Closing, Code};
use crate::client::Target;
use crate::client::frames::{handshake, handshake_answer};

/// Where links are served.
const URL_PATH: &str = "/_link";

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(500);

/// The bound of every wait.
const CAP: Duration = Duration::from_secs(30);

/// The longest that the global may ask to wait, in seconds.
const MAX_ASKED_S: u64 = 600;

/// How long looking up the name, one connection and the WebSocket's handshake may take, each.
const STEP: Duration = Duration::from_secs(10);

/// A link that held so long was no failure.
const HELD: Duration = Duration::from_secs(10);

/// The longest answer to the WebSocket's handshake, in bytes.
const MAX_ANSWER: usize = 16 << 10;

/// How long to wait after so many failures in a row: a random part of a bound that doubles up to [`CAP`].
fn delay(failures: u32, random: u64) -> Duration {
    let bound = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(CAP);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random % nanos.max(1))
}

/// How long to wait where the global asked for so many seconds: not less, and not all at the same moment.
fn asked(seconds: u64, random: u64) -> Duration {
    Duration::from_secs(seconds.min(MAX_ASKED_S)) + Duration::from_millis(random % 1_000)
}

/// Holds the link, for ever. Whatever comes by `again` opens it anew at once.
pub(super) async fn keep(context: &Context, options: &Options, again: &Receiver<()>) {
    let mut failures: u32 = 0;
    loop {
        let begun = Instant::now();
        let attempt = async { Some(attempt(context, options).await) };
        let asked_for = async { again.recv().await.ok().and(None) };
        let Some(ended) = smol::future::or(attempt, asked_for).await else {
            failures = 0;
            continue;
        };
        failures = if ended.linked && begun.elapsed() >= HELD { 0 } else { failures + 1 };
        let wait = match ended.retry_after {
            Some(seconds) => asked(seconds, random()),
            None => delay(failures.saturating_sub(1), random()),
        };
        let problem = format!("{}; trying again in {:.1} s", ended.reason, wait.as_secs_f32());
        log::info!("no link to {}: {problem}", options.global);
        context.hub.set_link_state(&problem);
        let asked_for = async {
            // The sender lives as long as this loop.
            let _ = again.recv().await;
        };
        let waited = async {
            Timer::after(wait).await;
        };
        smol::future::or(asked_for, waited).await;
    }
}

/// How an attempt ended.
struct Attempt {
    linked: bool,
    reason: String,
    retry_after: Option<u64>,
}

async fn attempt(context: &Context, options: &Options) -> Attempt {
    let failed = |reason| Attempt { linked: false, reason, retry_after: None };
    let stream = match connect(&options.global).await {
        Ok(stream) => stream,
        Err(reason) => return failed(reason),
    };
    let address =
        stream.get_ref().peer_addr().map_or_else(|_| options.global.to_string(), |at| at.to_string());
    let (stream, leftover) = match within(STEP, upgrade(stream, options)).await {
        Ok(upgraded) => upgraded,
        Err(reason) => return failed(reason),
    };
    let config = Some(socket::config());
    let ws = WebSocketStream::from_partially_read(stream, leftover, Role::Client, config).await;
    let work = match Work::dial(context, &options.config, &options.operational, address) {
        Ok(work) => work,
        Err(end) => return failed(end.reason),
    };
    let begun = Instant::now();
    let (linked, Ended { code, reason }) = socket::run(ws, work).await;
    log::debug!("the link to {} held for {:?}: {code:?} {reason}", options.global, begun.elapsed());
    let busy = code == Some(Code::Busy.number());
    let retry_after = Closing::retry_after(&reason).filter(|_| busy);
    Attempt { linked, reason, retry_after }
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    smol::future::or(work, async {
        Timer::after(time).await;
        Err(format!("no answer in {} s", time.as_secs()))
    })
    .await
}

/// Connects to the first address of the name that answers.
async fn connect(target: &Target) -> Result<Async<TcpStream>, String> {
    let Target::Tcp { host, port } = target else { return Err(format!("{target}: ws://HOST:PORT wanted")) };
    let name = (host.clone(), *port);
    let lookup = async {
        let found = smol::unblock(move || name.to_socket_addrs().map(Vec::from_iter)).await;
        found.map_err(|error| format!("{host}: {error}"))
    };
    let addresses: Vec<SocketAddr> = within(STEP, lookup).await?;
    let mut why = format!("{host}: no address");
    for address in addresses {
        let connected =
            async { Async::<TcpStream>::connect(address).await.map_err(|error| error.to_string()) };
        match within(STEP, connected).await {
            Ok(stream) => {
                // Frames are written whole; waiting for more to send would only delay them.
                let _ = stream.get_ref().set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

/// The WebSocket's handshake; with what came behind it.
async fn upgrade(
    mut stream: Async<TcpStream>,
    options: &Options,
) -> Result<(Async<TcpStream>, Vec<u8>), String> {
    let broke = |error: io::Error| format!("the connection broke: {error}");
    let mut nonce = [0; 16];
    for half in nonce.chunks_mut(8) {
        half.copy_from_slice(&random().to_be_bytes());
    }
    let mut request = handshake(&options.global.host(), URL_PATH, nonce);
    if let Some(token) = &options.token {
        // Before the empty line that ends the head.
        request.truncate(request.len().saturating_sub(2));
        request.push_str(&format!("Authorization: Bearer {}\r\n\r\n", token.reveal()));
    }
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = stream.read(&mut chunk).await.map_err(broke)?;
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if let Some(used) = handshake_answer(&answer, nonce)? {
            return Ok((stream, answer.split_off(used)));
        }
        if read == 0 || answer.len() > MAX_ANSWER {
            return Err("the other end is no tega that takes links".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_random_below_a_bound_that_doubles_up_to_half_a_minute() {
        for (failures, bound_ms) in
            [(0, 500), (1, 1_000), (2, 2_000), (5, 16_000), (6, 30_000), (u32::MAX, 30_000)]
        {
            let bound = Duration::from_millis(bound_ms);
            assert_eq!(delay(failures, 0), Duration::ZERO);
            assert_eq!(delay(failures, bound.as_nanos() as u64 - 1), bound - Duration::from_nanos(1));
            assert!(delay(failures, u64::MAX) < bound);
        }
        // It's spread over all of it.
        let step = u64::MAX / 1_000;
        let waits: Vec<Duration> = (0..1_000).map(|at| delay(6, at * step)).collect();
        for tenth in 0..10 {
            let from = CAP / 10 * tenth;
            let count = waits.iter().filter(|wait| (from..from + CAP / 10).contains(wait)).count();
            assert!((50..=150).contains(&count), "{tenth}: {count}");
        }
    }

    #[test]
    fn what_the_global_asks_for_is_honoured_within_reason() {
        assert_eq!(asked(5, 0), Duration::from_secs(5));
        assert_eq!(asked(5, 1_999), Duration::from_millis(5_999));
        assert_eq!(asked(u64::MAX, 0), Duration::from_secs(MAX_ASKED_S));
    }
}
