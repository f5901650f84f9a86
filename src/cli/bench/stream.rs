//! A socket of the generator, and its clients run together on one thread.

use std::future::Future;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::time::{Duration, Instant};

use smol::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::Job;
use super::stats::Samples;
use crate::client::Target;

/// How long after the end an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) enum Stream {
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
}

impl Stream {
    pub(super) async fn connect(target: &Target) -> Result<Stream, String> {
        let said = |error: std::io::Error| format!("can't connect: {error}");
        match target {
            Target::Unix(path) => Async::<UnixStream>::connect(path).await.map(Stream::Unix).map_err(said),
            Target::Tcp { host, port } => {
                let addresses = smol::net::resolve((host.as_str(), *port)).await.map_err(said)?;
                let address = addresses.first().copied().ok_or("the name has no address")?;
                let stream = Async::<TcpStream>::connect(address).await.map_err(said)?;
                stream.get_ref().set_nodelay(true).map_err(said)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = match self {
            Stream::Tcp(stream) => stream.write_all(bytes).await,
            Stream::Unix(stream) => stream.write_all(bytes).await,
        };
        sent.map_err(|error| error.to_string())
    }

    /// What is there, or the next that comes.
    pub(super) async fn receive<'a>(&mut self, buf: &'a mut [u8]) -> Result<&'a [u8], String> {
        let got = match self {
            Stream::Tcp(stream) => stream.read(buf).await,
            Stream::Unix(stream) => stream.read(buf).await,
        };
        match got.map_err(|error| error.to_string())? {
            0 => Err("the server closed the connection".into()),
            got => Ok(buf.get(..got).unwrap_or_default()),
        }
    }
}

/// What a client's future comes to.
pub(super) type Client = Pin<Box<dyn Future<Output = Result<Samples, String>>>>;

/// Runs the clients of a job, and joins what they measured.
pub(super) fn run(job: &Job, client: impl Fn(Job, usize) -> Client) -> Result<Samples, String> {
    let clients = (0..job.clients).map(|number| client(job.clone(), number));
    together(clients, job.end)
}

/// Runs futures on this thread to their end.
pub(super) fn together(clients: impl Iterator<Item = Client>, end: Instant) -> Result<Samples, String> {
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = clients.map(|client| executor.spawn(client)).collect();
    let all = async {
        let mut samples = Samples::default();
        for task in tasks {
            samples.join(task.await?);
        }
        Ok(samples)
    };
    let late = async {
        smol::Timer::at(end + PATIENCE).await;
        Err("no answer in time".to_string())
    };
    smol::block_on(executor.run(smol::future::or(all, late)))
}
