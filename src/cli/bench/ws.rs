//! Clients over WebSocket: a session each, with as many requests on the way as the depth says.

use std::time::Instant;

use super::stats::Samples;
use super::stream::{Client, Stream, run as run_all};
use super::{Job, What, key, value};
use crate::api::route::PUBSUB;
use crate::client::Server;
use crate::client::frames::{self, Decoder, Incoming};

/// Every frame's mask: nothing here is to be kept from a proxy.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(super) fn run(job: &Job) -> Result<Samples, String> {
    run_all(job, |job, number| -> Client { Box::pin(client(job, number)) })
}

/// A session of the generator.
pub(super) struct Peer {
    stream: Stream,
    decoder: Decoder,
    out: Vec<u8>,
    buf: Vec<u8>,
}

impl Peer {
    /// Connects and says who it is.
    pub(super) async fn open(target: &Server, id: &str) -> Result<Peer, String> {
        let mut peer = Peer::connect(target, PUBSUB, 16 << 10).await?;
        peer.say(&format!("SESSION {id} local 2"));
        peer.flush().await?;
        while !peer.next(|text| text.starts_with("SESSIONACK")).await? {}
        Ok(peer)
    }

    /// Connects, and reads so many bytes at once.
    pub(super) async fn connect(target: &Server, url_path: &str, read: usize) -> Result<Peer, String> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let mut stream = Stream::connect(&target.target).await?;
        let opening = frames::handshake_with(&target.target.host(), url_path, nonce, &target.authorization());
        stream.send(opening.as_bytes()).await?;
        let (mut head, mut buf) = (Vec::new(), vec![0; read]);
        let used = loop {
            if let Some(used) = frames::handshake_answer(&head, nonce)? {
                break used;
            }
            let more = stream.receive(&mut buf).await?;
            head.extend_from_slice(more);
        };
        let mut decoder = Decoder::default();
        decoder.push(head.get(used..).unwrap_or_default());
        Ok(Peer { stream, decoder, out: Vec::new(), buf })
    }

    /// A frame, to be sent with the next flush.
    pub(super) fn say(&mut self, text: &str) {
        frames::text(text, MASK, &mut self.out);
    }

    /// Sends what was said.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        let sent = self.stream.send(&self.out).await;
        self.out.clear();
        sent
    }

    /// Waits for a text message and looks at it.
    pub(super) async fn next<T>(&mut self, look: impl FnOnce(&str) -> T) -> Result<T, String> {
        loop {
            if let Some(seen) = self.ready()? {
                return Ok(look(&seen));
            }
            self.fill().await?;
        }
    }

    /// A text message that is here already.
    pub(super) fn ready(&mut self) -> Result<Option<String>, String> {
        loop {
            match self.decoder.message()? {
                None => return Ok(None),
                Some(Incoming::Text(text)) => return Ok(Some(text.to_string())),
                Some(Incoming::Pieces(text)) => return Ok(Some(text)),
                Some(Incoming::Ping(payload)) => frames::pong(payload, MASK, &mut self.out),
                Some(Incoming::Pong) => {}
                Some(Incoming::Close(code, reason)) => return Err(format!("closed: {code} {reason}")),
            }
        }
    }

    /// Waits for more bytes.
    pub(super) async fn fill(&mut self) -> Result<(), String> {
        if !self.out.is_empty() {
            self.flush().await?;
        }
        let more = self.stream.receive(&mut self.buf).await?;
        self.decoder.push(more);
        Ok(())
    }
}

async fn client(job: Job, number: usize) -> Result<Samples, String> {
    let id = format!("bench-{number}");
    let mut peer = Peer::open(&job.target, &id).await?;
    let mut samples = Samples::default();
    // The seq of a request is its number; answers overtake each other within the depth.
    let mut begun = vec![Instant::now(); job.depth];
    let (mut n, mut open) = (0_usize, 0_usize);
    let say = |peer: &mut Peer, begun: &mut [Instant], n: usize, slot: usize| {
        if let Some(time) = begun.get_mut(slot) {
            *time = Instant::now();
        }
        peer.say(&request(&job, &id, number, n, slot));
    };
    for slot in 0..job.depth {
        say(&mut peer, &mut begun, n, slot);
        (n, open) = (n + 1, open + 1);
    }
    while open > 0 {
        // All answers that are here make one write of the next requests.
        peer.fill().await?;
        let now = Instant::now();
        while let Some(text) = peer.ready()? {
            let Some(slot) = answered(&text)? else { continue };
            let time = begun.get(slot).ok_or_else(|| format!("an answer nobody asked for: {text:.80}"))?;
            samples.add(now.saturating_duration_since(*time));
            open -= 1;
            if now < job.end {
                say(&mut peer, &mut begun, n, slot);
                (n, open) = (n + 1, open + 1);
            }
        }
    }
    Ok(samples)
}

fn request(job: &Job, id: &str, number: usize, n: usize, seq: usize) -> String {
    let path = key(number, n);
    match job.what {
        What::Put => format!("REQUEST {seq} PUT {id} {path}\n{{\"value\":{}}}", value(n)),
        What::Get => format!("REQUEST {seq} GET {id} {path}\n{{}}"),
    }
}

/// The seq that a message answers; `None`: it answers none. A refusal ends the measurement.
pub(super) fn answered(text: &str) -> Result<Option<usize>, String> {
    let Some(rest) = text.strip_prefix("RESPONSE ") else { return Ok(None) };
    let (line, body) = rest.split_once('\n').unwrap_or((rest, ""));
    if body.starts_with("{\"error\"") {
        return Err(format!("refused: {body:.200}"));
    }
    Ok(line.split(' ').next().and_then(|seq| seq.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_request_and_a_refusal_ends_all() {
        assert_eq!(answered("RESPONSE 7 PUT t\n{\"versions\":{\"a\":1}}"), Ok(Some(7)));
        assert_eq!(answered("NOTIFY\n[]"), Ok(None));
        assert!(answered("RESPONSE 7 PUT t\n{\"error\":{\"code\":\"conflict\"}}").is_err());
    }
}
