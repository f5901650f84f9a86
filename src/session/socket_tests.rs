//! Conversations over a socket.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use async_tungstenite::tungstenite::{Bytes, Message};
use futures_util::StreamExt;
use smol::net::{TcpListener, TcpStream};

use super::tests::{World, id};
use super::*;
use crate::hub::End;
use crate::message::MAX_MESSAGE;
use crate::token::Access;

/// A server on a port of its own, for as long as `test` runs.
fn with_server<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(Arc<World>, SocketAddr) -> F) {
    let world = Arc::new(World::new());
    smol::block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let executor = Rc::new(smol::LocalExecutor::new());
        let (accepting, spawner) = (world.clone(), Rc::downgrade(&executor));
        let accept = async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                // As the door does: a small frame mustn't wait for the peer's acknowledgement of the one before.
                stream.set_nodelay(true).unwrap();
                let (world, limits) = (accepting.clone(), limits.clone());
                let session = async move {
                    // The handshake is the door's.
                    let ws = WebSocketStream::from_raw_socket(
                        Counted::new(stream, &[], limits.memory.clone()),
                        Role::Server,
                        Some(config()),
                    )
                    .await;
                    serve(ws, &world.hub, &world.store, peer.to_string(), Access::all(), limits).await;
                };
                if let Some(executor) = spawner.upgrade() {
                    executor.spawn(session).detach();
                }
            }
        };
        executor.spawn(accept).detach();
        executor.run(test(world.clone(), address)).await;
    });
}

async fn raw(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

/// A client that has begun a session.
struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn new(address: SocketAddr, id: &str) -> Peer {
        let mut peer = Peer(raw(address).await);
        assert_eq!(peer.ask(&format!("SESSION {id} local")).await, "SESSIONACK global");
        peer
    }

    async fn say(&mut self, frame: &str) {
        self.0.send(Message::text(frame)).await.unwrap();
    }

    async fn hear(&mut self) -> String {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn ask(&mut self, frame: &str) -> String {
        self.say(frame).await;
        self.hear().await
    }
}

/// The code that the server closes with, whatever comes before.
async fn close_code(ws: &mut WebSocketStream<TcpStream>) -> u16 {
    loop {
        match ws.next().await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn pipelined_requests_are_all_answered_over_a_socket() {
    with_server(Limits { open: 8, ..Limits::default() }, |_world, address| async move {
        let mut peer = Peer::new(address, "me").await;
        for n in 0..100 {
            peer.say(&format!("REQUEST {} PUT me a.k{n}\n{{\"value\":{n}}}", 2 * n)).await;
            peer.say(&format!("REQUEST {} GET me a\n{{}}", 2 * n + 1)).await;
        }
        let mut open: BTreeSet<String> = (0..200).map(|seq| seq.to_string()).collect();
        while !open.is_empty() {
            let answer = peer.hear().await;
            assert!(open.remove(answer.split(' ').nth(1).unwrap()), "{answer}");
        }
        let all = peer.ask("REQUEST 1 GET me a\n{}").await;
        assert_eq!(all.matches("\"k").count(), 100);
        assert!(all.ends_with(",\"version\":99}"), "{all}");
    });
}

#[test]
fn subscribers_get_notices_and_calls_over_a_socket() {
    with_server(Limits::default(), |world, address| async move {
        let mut one = Peer::new(address, "one").await;
        let mut two = Peer::new(address, "two").await;
        for peer in [&mut one, &mut two] {
            peer.say("SUBSCRIBE a local False").await;
            // Frames are taken in order, so that with this answer the subscription stands.
            peer.ask("REQUEST 1 GET None None\n{}").await;
        }
        world.put("a.b", "1");
        for peer in [&mut one, &mut two] {
            let notify = peer.hear().await;
            assert!(notify.starts_with("NOTIFY\n[{\"ope\":\"PUT\",\"path\":\"a.b\""), "{notify}");
        }
        one.ask("REQUEST 2 PUT one r.f\n{\"value\":\"%one.f\",\"ephemeral\":true}").await;
        two.say("REQUEST 3 RPC two r.f\n{\"args\":[1],\"kwargs\":{}}").await;
        let call = one.hear().await;
        let words: Vec<&str> = call.split([' ', '\n']).collect();
        assert_eq!((words[0], words[2], words[3]), ("REQUEST", "RPC", "two"), "{call}");
        one.say(&format!("RESPONSE {} RPC two\n[1]", words[1])).await;
        assert_eq!(two.hear().await, "RESPONSE 3 RPC global\n[1]");
        two.say("PUBLISH a\n{\"message\":\"hi\"}").await;
        assert_eq!(one.hear().await, "MESSAGE a two\n{\"message\":\"hi\"}");
        world.hub.end_all(&End { code: 1001, reason: "stopping".into() });
        assert_eq!(close_code(&mut one.0).await, 1001);
    });
}

#[test]
fn a_long_answer_comes_in_fragments_that_a_client_puts_together() {
    with_server(Limits::default(), |world, address| async move {
        let text = format!("\"{}\"", "x".repeat(900_000));
        world.put("a.b", &text);
        let mut ws = raw(address).await;
        ws.send(Message::text("SESSION me local 2")).await.unwrap();
        let mut peer = Peer(ws);
        peer.hear().await;
        let answer = peer.ask("REQUEST 1 GET me a.b\n{}").await;
        assert!(answer.contains(&text), "{} bytes", answer.len());
    });
}

/// Limits with so many bytes for what waits.
fn short_of_memory(bytes: usize) -> Limits {
    Limits { memory: Budget::new(bytes), closing: Duration::from_millis(50), ..Limits::default() }
}

#[test]
fn answers_that_nobody_takes_have_no_more_memory_than_there_is() {
    let limits = short_of_memory(500_000);
    let budget = limits.memory.clone();
    with_server(limits, |world, address| async move {
        world.put("a.b", &format!("\"{}\"", "x".repeat(900_000)));
        let mut deaf = Peer::new(address, "deaf").await;
        // So that the system holds less for it.
        rustix::net::sockopt::set_socket_recv_buffer_size(deaf.0.get_ref(), 4096).unwrap();
        for n in 0..8 {
            deaf.say(&format!("REQUEST {n} GET deaf a.b\n{{}}")).await;
        }
        let mut other = Peer::new(address, "other").await;
        // It is told, if it listens after all, or cut off.
        while world.hub.status().sessions > 1 {
            other.ask("REQUEST 1 GET other c.d\n{}").await;
        }
        // What the one had is there for the other.
        while !budget.take(500_000) {
            other.ask("REQUEST 2 GET other c.d\n{}").await;
        }
    });
}

#[test]
fn a_message_that_is_announced_has_no_more_memory_than_there_is() {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let limits = short_of_memory(100_000);
    let budget = limits.memory.clone();
    with_server(limits, |_world, address| async move {
        let mut other = Peer::new(address, "other").await;
        // The head of a text frame, masked with zeros, of which nothing more comes.
        let head = [&[0x81, 0xff][..], &90_000_u64.to_be_bytes(), &[0; 4]].concat();
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(&head).await.unwrap();
        while budget.take(50_000) {
            budget.give(50_000);
            other.ask("REQUEST 1 GET other c.d\n{}").await;
        }
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(&head).await.unwrap();
        let mut close = [0; 4];
        second.read_exact(&mut close).await.unwrap();
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1013));
        drop((first, second));
        while !budget.take(100_000) {
            other.ask("REQUEST 2 GET other c.d\n{}").await;
        }
    });
}

#[test]
fn what_is_no_text_of_this_grammar_closes_the_socket_with_a_code() {
    with_server(Limits::default(), |_world, address| async move {
        for (message, code) in [
            (Message::text("SUBSCRIBE a local False"), 4000),
            (Message::text("HELLO"), 4000),
            (Message::binary(vec![1, 2, 3]), 4000),
            (Message::text("x".repeat(MAX_MESSAGE + 1)), 1009),
        ] {
            let mut ws = raw(address).await;
            // The server may close before it has taken all of it.
            let _ = ws.send(message).await;
            assert_eq!(close_code(&mut ws).await, code);
        }
    });
}

#[test]
fn a_peer_that_says_nothing_first_is_sent_away() {
    let limits = Limits { first_frame: Duration::from_millis(1), ..Limits::default() };
    with_server(limits, |_world, address| async move {
        assert_eq!(close_code(&mut raw(address).await).await, 4000);
    });
}

#[test]
fn a_silent_peer_is_pinged_and_then_forgotten() {
    let limits = Limits { ping: Duration::from_millis(5), ..Limits::default() };
    with_server(limits, |world, address| async move {
        // Raw bytes after the first frame, so that nothing answers the pings.
        let mut ws = raw(address).await;
        ws.send(Message::text("SESSION quiet local")).await.unwrap();
        let mut stream = ws.into_inner();
        let mut all = Vec::new();
        // To its end: the server closes the connection without a word.
        let _ = smol::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await;
        let ping = [0x89, 0];
        assert_eq!(all.windows(2).filter(|bytes| *bytes == ping).count(), 3, "{all:?}");
        assert!(world.hub.ids().is_empty());
        // One that answers stays, for much longer than the quiet one.
        let mut lively = raw(address).await;
        lively.send(Message::text("SESSION lively local")).await.unwrap();
        let mut pings = 0;
        while pings < 10 {
            if let Some(Ok(Message::Ping(_))) = lively.next().await {
                pings += 1;
                lively.send(Message::Pong(Bytes::new())).await.unwrap();
            }
        }
        assert_eq!(world.hub.ids(), [id("lively")]);
    });
}

#[test]
fn a_session_can_be_served_on_any_thread() {
    fn send<T: Send>(_: &T) {}
    let world = World::new();
    smol::block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let ws = WebSocketStream::from_raw_socket(
            Counted::new(stream, &[], Budget::new(usize::MAX)),
            Role::Server,
            Some(config()),
        )
        .await;
        send(&serve(ws, &world.hub, &world.store, "test".into(), Access::all(), Limits::default()));
    });
}

#[test]
fn a_subscriber_that_takes_nothing_is_closed_as_lagging_and_slows_nobody() {
    with_server(Limits::default(), |world, address| async move {
        let mut slow = raw(address).await;
        slow.send(Message::text("SESSION slow local")).await.unwrap();
        slow.send(Message::text("SUBSCRIBE a local False")).await.unwrap();
        let mut quick = Peer::new(address, "quick").await;
        while world.hub.channels(&Access::all()).is_empty() {
            quick.ask("REQUEST 1 GET None None\n{}").await;
        }
        let large = format!("REQUEST 1 PUT None a.b\n{{\"value\":\"{}\"}}", "x".repeat(60_000));
        let mut puts = 0;
        while world.hub.ids().contains(&id("slow")) {
            quick.ask(&large).await;
            puts += 1;
            assert!(puts < 10_000, "it's still there");
        }
        assert_eq!(close_code(&mut slow).await, 4008);
    });
}
