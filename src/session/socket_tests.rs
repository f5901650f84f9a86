//! Conversations over a socket.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use async_tungstenite::tungstenite::{Bytes, Message};
use futures_util::StreamExt;
use smol::net::{TcpListener, TcpStream};

use super::tests::{World, id, path, value};
use super::*;
use crate::client::Target;
use crate::client::ws::{Client, Error, Incoming};
use crate::hub::End;
use crate::message::{Kind, body};
use crate::store::Since;
use crate::value::Value;

/// A server on a port of its own, for as long as `test` runs.
fn with_server<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(Arc<World>, Target) -> F) {
    let world = Arc::new(World::new());
    smol::block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let target = Target::Tcp { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let executor = Rc::new(smol::LocalExecutor::new());
        let (accepting, spawner) = (world.clone(), Rc::downgrade(&executor));
        let accept = async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                // As the door does: a small frame mustn't wait for the peer's acknowledgement of the one before.
                stream.set_nodelay(true).unwrap();
                let world = accepting.clone();
                let session = async move {
                    // The door has a handshake of its own.
                    let accepted = async_tungstenite::accept_async_with_config(stream, Some(config())).await;
                    if let Ok(ws) = accepted {
                        serve(ws, &world.hub, &world.store, peer.to_string(), limits).await;
                    }
                };
                if let Some(executor) = spawner.upgrade() {
                    executor.spawn(session).detach();
                }
            }
        };
        executor.spawn(accept).detach();
        executor.run(test(world.clone(), target)).await;
    });
}

async fn raw(target: &Target) -> WebSocketStream<TcpStream> {
    let Target::Tcp { host, port } = target else { panic!() };
    let stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    async_tungstenite::client_async(format!("ws://{}/_pubsub", target.host()), stream).await.unwrap().0
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
    with_server(Limits { open: 8, ..Limits::default() }, |_world, target| async move {
        let mut client = Client::connect(&target, &id("me")).await.unwrap();
        assert_eq!(client.server(), "global");
        let mut open = std::collections::BTreeSet::new();
        for n in 0..100i64 {
            let put = body::put(&Value::from(n), None, false);
            open.insert(client.send(Kind::Put, Some(&format!("a.k{n}")), &put).await.unwrap());
            open.insert(client.send(Kind::Get, Some("a"), "{}").await.unwrap_or_default());
        }
        while !open.is_empty() {
            match client.next().await.unwrap() {
                Incoming::Answer { seq, .. } => assert!(open.remove(&seq)),
                other => panic!("{other:?}"),
            }
        }
        let (all, version) = client.get(Some(&path("a"))).await.unwrap();
        assert_eq!((all.as_object().unwrap().members().len(), version), (100, Some(99)));
        let missing = client.get(Some(&path("b"))).await.unwrap_err();
        assert_eq!(missing.exit_code(), 3);
        client.close().await;
    });
}

#[test]
fn subscribers_get_notices_and_calls_over_a_socket() {
    with_server(Limits::default(), |world, target| async move {
        let mut one = Client::connect(&target, &id("one")).await.unwrap();
        let mut two = Client::connect(&target, &id("two")).await.unwrap();
        let at = one.subscribe("a", false, None, false).await.unwrap();
        two.subscribe("a", false, Some(&Since::Position(at.position)), false).await.unwrap();
        world.put("a.b", "1");
        for client in [&mut one, &mut two] {
            match client.next().await.unwrap() {
                Incoming::Notify(entries) => {
                    assert_eq!(entries[0].path, path("a.b"));
                    assert_eq!(entries[0].instance, Some(Value::from(1i64)));
                }
                other => panic!("{other:?}"),
            }
        }
        let leaf = body::put(&Value::from("%one.f"), None, true);
        one.write(Kind::Put, Some(&path("r.f")), &leaf).await.unwrap();
        let arguments = value(r#"{"args":[1],"kwargs":{}}"#);
        let answering = async {
            match one.next().await.unwrap() {
                Incoming::Call { seq, caller, arguments, .. } => {
                    assert_eq!(caller.as_deref(), Some("two"));
                    one.answer(seq, Ok(arguments.get("args").unwrap())).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        };
        let (result, ()) = smol::future::zip(two.call(&path("r.f"), &arguments), answering).await;
        assert_eq!(result.unwrap(), value("[1]"));
        two.publish(&path("a"), &Value::from("hi")).await.unwrap();
        match one.next().await.unwrap() {
            Incoming::Message { channel, tega_id, body } => {
                assert_eq!(
                    (channel.as_str(), tega_id.as_str(), body),
                    ("a", "two", value(r#"{"message":"hi"}"#))
                );
            }
            other => panic!("{other:?}"),
        }
        world.hub.end_all(&End { code: 1001, reason: "stopping".into() });
        assert_eq!(one.next().await, Err(Error::Closed { code: 1001, reason: "stopping".into() }));
    });
}

#[test]
fn a_long_answer_comes_in_fragments_that_a_client_puts_together() {
    with_server(Limits::default(), |world, target| async move {
        let text = format!("\"{}\"", "x".repeat(900_000));
        world.put("a.b", &text);
        let mut client = Client::connect(&target, &id("me")).await.unwrap();
        assert_eq!(client.get(Some(&path("a.b"))).await.unwrap().0, value(&text));
    });
}

#[test]
fn what_is_no_text_of_this_grammar_closes_the_socket_with_a_code() {
    with_server(Limits::default(), |_world, target| async move {
        for (message, code) in [
            (Message::text("SUBSCRIBE a local False"), 4000),
            (Message::text("HELLO"), 4000),
            (Message::binary(vec![1, 2, 3]), 4000),
            (Message::text("x".repeat(crate::message::MAX_MESSAGE + 1)), 1009),
        ] {
            let mut ws = raw(&target).await;
            // The server may close before it has taken all of it.
            let _ = ws.send(message).await;
            assert_eq!(close_code(&mut ws).await, code);
        }
    });
}

#[test]
fn a_peer_that_says_nothing_first_is_sent_away() {
    let limits = Limits { first_frame: Duration::from_millis(1), ..Limits::default() };
    with_server(limits, |_world, target| async move {
        assert_eq!(close_code(&mut raw(&target).await).await, 4000);
    });
}

#[test]
fn a_silent_peer_is_pinged_and_then_forgotten() {
    let limits = Limits { ping: Duration::from_millis(5), ..Limits::default() };
    with_server(limits, |world, target| async move {
        // Raw bytes, so that nothing answers the pings: a handshake, then one masked frame.
        let Target::Tcp { host, port } = &target else { panic!() };
        let stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
        let (ws, _) =
            async_tungstenite::client_async(format!("ws://{}/_pubsub", target.host()), stream).await.unwrap();
        let mut ws = WebSocketStream::from_raw_socket(ws.into_inner(), Role::Client, None).await;
        ws.send(Message::text("SESSION quiet local")).await.unwrap();
        let mut stream = ws.into_inner();
        let mut all = Vec::new();
        // To its end: the server closes the connection without a word.
        let _ = smol::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await;
        let ping = [0x89, 0];
        assert_eq!(all.windows(2).filter(|bytes| *bytes == ping).count(), 3, "{all:?}");
        assert!(world.hub.ids().is_empty());
        // One that answers stays, for much longer than the quiet one.
        let mut lively = raw(&target).await;
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
        let ws = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
        send(&serve(ws, &world.hub, &world.store, "test".into(), Limits::default()));
    });
}

#[test]
fn a_subscriber_that_takes_nothing_is_closed_as_lagging_and_slows_nobody() {
    with_server(Limits::default(), |world, target| async move {
        let mut slow = raw(&target).await;
        slow.send(Message::text("SESSION slow local")).await.unwrap();
        slow.send(Message::text("SUBSCRIBE a local False")).await.unwrap();
        let mut quick = Client::connect(&target, &id("quick")).await.unwrap();
        while world.hub.channels().is_empty() {
            quick.get(None).await.unwrap();
        }
        let large = body::put(&Value::from("x".repeat(60_000)), None, false);
        let mut puts = 0;
        while world.hub.ids().contains(&id("slow")) {
            quick.write(Kind::Put, Some(&path("a.b")), &large).await.unwrap();
            puts += 1;
            assert!(puts < 10_000, "it's still there");
        }
        assert_eq!(close_code(&mut slow).await, 4008);
    });
}
