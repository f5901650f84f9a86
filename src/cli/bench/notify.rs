//! How long after a put its subscribers have heard of it: one writer, many sessions, one put at a time.

use std::time::Instant;

use super::stats::Samples;
use super::stream::{Client, together};
use super::ws::{Peer, answered};
use crate::client::Server;

/// From the write of each put to the read of its notification, by each subscriber.
pub(super) fn run(target: &Server, subscribers: usize, end: Instant) -> Result<Samples, String> {
    let target = target.clone();
    let all: Client = Box::pin(rounds(target, subscribers, end));
    together(std::iter::once(all), end)
}

async fn rounds(target: Server, subscribers: usize, end: Instant) -> Result<Samples, String> {
    let mut writer = Peer::open(&target, "bench-writer").await?;
    // The node is there before anybody listens.
    put(&mut writer, 0).await?;
    let mut peers = Vec::new();
    for number in 0..subscribers {
        let id = format!("bench-sub-{number}");
        let mut peer = Peer::open(&target, &id).await?;
        peer.say(&format!("REQUEST 1 SUBSCRIBE {id} bench.notify\n{{}}"));
        peer.flush().await?;
        while peer.next(answered).await??.is_none() {}
        peers.push(peer);
    }
    let mut samples = Samples::default();
    for n in 1.. {
        let begin = Instant::now();
        if begin >= end {
            break;
        }
        writer.say(&format!("REQUEST {n} PUT bench-writer bench.notify.k\n{{\"value\":{n}}}"));
        writer.flush().await?;
        for peer in &mut peers {
            while !peer.next(|text| text.starts_with("NOTIFY")).await? {}
            samples.add(begin.elapsed());
        }
        while writer.next(answered).await??.is_none() {}
    }
    Ok(samples)
}

async fn put(writer: &mut Peer, seq: usize) -> Result<(), String> {
    writer.say(&format!("REQUEST {seq} PUT bench-writer bench.notify.k\n{{\"value\":0}}"));
    writer.flush().await?;
    while writer.next(answered).await??.is_none() {}
    Ok(())
}
