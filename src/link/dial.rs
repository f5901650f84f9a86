//! The link of a local to its global: opened again whenever it ends, each time by a new look at the name and a new
//! connection.
//!
//! Between two attempts it waits at random ([`BackOff`]).

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use smol::channel::Receiver;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Timer};

use super::back_off::BackOff;
use super::options::Options;
use super::register::random;
use super::socket::{self, Ended};
use super::work::{Context, Work};
use super::{CONNECT_STEP, Closing, Code};
use crate::api::route::LINK;
use crate::client::Target;
use crate::client::frames::{handshake_answer, handshake_with};

/// A link that held so long was no failure.
const HELD: Duration = Duration::from_secs(10);

/// The longest answer to the WebSocket's handshake, in bytes.
const MAX_ANSWER: usize = 16 << 10;

/// Holds the link, for ever. Whatever comes by `again` opens it anew at once.
pub(super) async fn keep(context: &Context, options: &Options, again: &Receiver<()>) {
    let mut back_off = BackOff::default();
    loop {
        let begun = Instant::now();
        let attempt = async { Some(attempt(context, options).await) };
        let asked_for = async { again.recv().await.ok().and(None) };
        let Some(ended) = smol::future::or(attempt, asked_for).await else {
            back_off = BackOff::default();
            continue;
        };
        let wait = back_off.wait(ended.linked && begun.elapsed() >= HELD, ended.retry_after);
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
    let number = context.hub.begin_attempt();
    let stream = match connect(&options.global.target).await {
        Ok(stream) => stream,
        Err(reason) => return failed(reason),
    };
    let address =
        stream.get_ref().peer_addr().map_or_else(|_| options.global.to_string(), |at| at.to_string());
    let (stream, leftover) = match within(CONNECT_STEP, upgrade(stream, options)).await {
        Ok(upgraded) => upgraded,
        Err(reason) => return failed(reason),
    };
    let config = Some(socket::config());
    let ws = WebSocketStream::from_partially_read(stream, leftover, Role::Client, config).await;
    let work = match Work::dial(context, &options.config, &options.operational, address, number) {
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
    let addresses: Vec<SocketAddr> = within(CONNECT_STEP, lookup).await?;
    let mut why = format!("{host}: no address");
    for address in addresses {
        let connected =
            async { Async::<TcpStream>::connect(address).await.map_err(|error| error.to_string()) };
        match within(CONNECT_STEP, connected).await {
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
    let global = &options.global;
    let request = handshake_with(&global.target.host(), LINK, nonce, &global.authorization());
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
