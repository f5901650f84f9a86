//! Links over sockets: how they are refused, and two servers that share roots.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use async_tungstenite::tungstenite::{Bytes, Message};
use futures_util::StreamExt;
use smol::future::{or, yield_now};
use smol::net::unix::UnixStream;

use super::register::Register;
use super::socket::{self, Ended};
use super::work::{Context, Work};
use super::*;
use crate::client::Server;
use crate::hub::Hub;
use crate::message::body::json;
use crate::message::link;
use crate::path::Path;
use crate::store::{self, Private, Role as StoreRole, Transaction};
use crate::token::{Access, Grant};
use crate::value::Value;

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

struct Side {
    store: Store,
    hub: Hub,
    own: TegaId,
}

impl Side {
    fn new(own: &str, role: StoreRole) -> Side {
        let store = Store::in_memory(store::Options { role, ..store::Options::default() });
        let hub = Hub::new(id(own), store.clone());
        Side { store, hub, own: id(own) }
    }

    fn links(&self) -> Links {
        Links::new(self.own.clone(), self.hub.clone(), self.store.clone(), None, Duration::ZERO)
    }

    fn put(&self, at: &str, value: impl Into<Value>) {
        self.store.commit(Transaction::new(None).put(path(at), value.into())).unwrap();
    }

    /// Waits until it shows this.
    async fn shows(&self, at: &str, value: &Value) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.store.get(&path(at)).as_ref() != Some(value) {
            assert!(Instant::now() < deadline, "{at} at {}", self.own);
            yield_now().await;
        }
    }
}

fn local(own: &str) -> Side {
    let (config, operational) = (vec!["c".into()], vec!["o".into()]);
    let side = Side::new(own, StoreRole::Follows { config, operational, private: Private::default() });
    side.hub.follow_global("test");
    side
}

/// Runs `test` with the other end of a socket on which a global server waits for a link.
fn with_global<F: Future<Output = ()>>(
    access: Access,
    test: impl FnOnce(WebSocketStream<UnixStream>, Hub, Store) -> F,
) {
    let global = Side::new("g", StoreRole::Leads);
    let links = global.links();
    smol::block_on(async {
        let (here, there) = UnixStream::pair().unwrap();
        let serving = async {
            links.serve(there, Vec::new(), "test".into(), access).await;
            std::future::pending().await
        };
        let testing = async {
            let ws = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
            test(ws, global.hub.clone(), global.store.clone()).await;
        };
        or(serving, testing).await;
    });
}

async fn closed(ws: &mut WebSocketStream<UnixStream>) -> (u16, String) {
    loop {
        match ws.next().await {
            Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_no_link_is_closed_with_the_reason() {
    for (message, why) in [
        (Message::text("SESSION r1 local"), "isn't of a link's grammar"),
        (Message::text("FRESH 1 c"), "LINK"),
        (Message::text("PRESENCE\n{}"), "LINK"),
        (Message::Binary(Bytes::from_static(b"x")), "binary"),
    ] {
        with_global(Access::all(), |mut ws, _, _| async move {
            ws.send(message).await.unwrap();
            let (code, reason) = closed(&mut ws).await;
            assert!(code == 4000 && reason.contains(why), "{code} {reason}");
        });
    }
}

#[test]
fn a_token_bounds_who_links_and_its_end_is_the_links() {
    let hello = "LINK r1 0000000000000001\n{\"protocol\":1,\"follow\":{\"c\":null},\"serve\":{\"o\":null}}";
    // The first message that comes must be of the channel that it may hear.
    let said = |text: &str| {
        assert!(!text.starts_with("PUBLISH news"), "{text}");
        text.starts_with("PUBLISH told x\n")
    };
    let grant = |own: &str| {
        let (read, channels) = (vec![path("c")], vec![path("told")]);
        Access::of(Arc::new(Grant { read, channels, tega_id: Some(id(own)), ..Grant::default() }))
    };
    with_global(grant("r2"), |mut ws, _, _| async move {
        ws.send(Message::text(hello)).await.unwrap();
        assert_eq!(closed(&mut ws).await.0, 4001);
    });
    let access = grant("r1");
    let gone = access.clone();
    with_global(access, |mut ws, hub, store| async move {
        ws.send(Message::text(hello)).await.unwrap();
        let Some(Ok(Message::Text(linked))) = ws.next().await else { panic!("no LINKED") };
        assert!(linked.starts_with("LINKED g\n") && linked.contains("\"o\":[\"the token"), "{linked}");
        // Neither may it write.
        ws.send(Message::text("WRITE 7 x\n{\"ops\":[{\"put\":\"c.a\",\"value\":1}]}")).await.unwrap();
        let refused = loop {
            match ws.next().await {
                Some(Ok(Message::Text(text))) if text.starts_with("DONE 7\n") => break text,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(refused.contains("forbidden"), "{refused}");
        // Nor put nodes there, nor hear what it mustn't.
        let presence =
            "PRESENCE\n{\"full\":true,\"put\":[[\"c.e\",1,\"x\",0],[\"c.f\",1,\"x\",0]],\"gone\":[]}";
        for frame in ["LISTEN news", "LISTEN told", presence, "FRESH 8 c"] {
            ws.send(Message::text(frame)).await.unwrap();
        }
        while !matches!(ws.next().await, Some(Ok(Message::Text(text))) if text.starts_with("DONE 8\n")) {}
        assert!(store.ephemeral(&Path::TOP).is_empty());
        for channel in ["news", "told"] {
            hub.publish(&id("x"), None, channel, &json("{\"message\":1}").unwrap());
        }
        while !matches!(ws.next().await, Some(Ok(Message::Text(text))) if said(&text)) {}
        gone.revoke();
        assert_eq!(closed(&mut ws).await.0, 4001);
    });
}

/// Links two servers for as long as `test` runs; how the local's end ended.
fn joined<F: Future<Output = ()>>(global: &Side, local: &Side, test: F) -> Option<Ended> {
    let links = global.links();
    let (own, hub, store) = (local.own.clone(), local.hub.clone(), local.store.clone());
    let register = Register::new(store.clone(), Duration::ZERO);
    let context = Context { own, hub, store, register };
    smol::block_on(async {
        let (here, there) = UnixStream::pair().unwrap();
        let ws = WebSocketStream::from_raw_socket(here, Role::Client, Some(socket::config())).await;
        let work = Work::dial(&context, &["c".into()], &["o".into()], "test".into(), 1).unwrap();
        let serving = async {
            links.serve(there, Vec::new(), "test".into(), Access::all()).await;
            std::future::pending().await
        };
        let dialling = async { Some(socket::run(ws, work).await.1) };
        let testing = async {
            test.await;
            None
        };
        or(or(serving, dialling), testing).await
    })
}

#[test]
fn roots_cross_in_both_directions_whatever_their_size() {
    let (global, local) = (Side::new("g", StoreRole::Leads), local("r1"));
    let long = Value::from("x".repeat(700 << 10));
    global.put("c.long", long.clone());
    let ended = joined(&global, &local, async {
        local.shows("c.long", &long).await;
        local.put("o.long", long.clone());
        global.shows("o.long", &long).await;
        for n in 0..100 {
            global.put("c.n", n);
            local.put("o.n", n);
        }
        local.shows("c.n", &Value::from(99)).await;
        global.shows("o.n", &Value::from(99)).await;
    });
    assert_eq!(ended, None);
    for root in ["c", "o"] {
        assert_eq!(global.store.standing(root), local.store.standing(root));
    }
}

#[test]
fn a_write_at_a_replica_is_answered_when_it_shows_it() {
    let (global, local) = (Side::new("g", StoreRole::Leads), local("r1"));
    global.put("c.n", 0);
    local.put("o.n", 0);
    joined(&global, &local, async {
        local.shows("c.n", &Value::from(0)).await;
        global.shows("o.n", &Value::from(0)).await;
        for (side, root) in [(&local, "c"), (&global, "o")] {
            let at = path(&format!("{root}.n"));
            let (sender, answer) = smol::channel::bounded(1);
            let write = Transaction::new(Some(id("x"))).put(at.clone(), Value::from(1));
            let (hub, store) = (side.hub.clone(), side.store.clone());
            hub.submit(write, move |outcome| {
                let shown = store.get(&at);
                sender.try_send((outcome, shown)).unwrap();
            });
            let (outcome, shown) = answer.recv().await.unwrap();
            let receipt = outcome.unwrap();
            assert!(receipt.applied && receipt.versions[0].1.0 == 1, "{receipt:?}");
            assert_eq!(shown, Some(Value::from(1)));
        }
    });
    // The link is gone with the test.
    let (sender, answer) = std::sync::mpsc::channel();
    let write = Transaction::new(None).put(path("c.n"), Value::from(2));
    local.hub.submit(write, move |outcome| sender.send(outcome).unwrap());
    assert_eq!(answer.recv().unwrap().unwrap_err().code, "no_link");
}

/// Runs `test` with the socket of a global that says only what the test does, to which a local has linked.
fn with_local<F: Future<Output = ()>>(
    linked: &str,
    test: impl FnOnce(WebSocketStream<UnixStream>, Hub, Store) -> F,
) {
    let local = local("r1");
    let (hub, store) = (local.hub.clone(), local.store.clone());
    let register = Register::new(store.clone(), Duration::ZERO);
    let context = Context { own: local.own.clone(), hub: hub.clone(), store: store.clone(), register };
    smol::block_on(async {
        let (here, there) = UnixStream::pair().unwrap();
        let ws = WebSocketStream::from_raw_socket(here, Role::Client, Some(socket::config())).await;
        let work = Work::dial(&context, &["c".into()], &["o".into()], "test".into(), 1).unwrap();
        let dialling = async { panic!("the link ended: {:?}", socket::run(ws, work).await.1) };
        let testing = async {
            let mut ws = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
            ws.send(Message::text(linked)).await.unwrap();
            test(ws, hub, store).await;
        };
        or(dialling, testing).await;
    });
}

/// The next frame with this command.
async fn heard(ws: &mut WebSocketStream<UnixStream>, command: &str) -> String {
    loop {
        match ws.next().await {
            Some(Ok(Message::Text(text))) if text.split([' ', '\n']).next() == Some(command) => {
                return text.to_string();
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Writes c.n at the local; the global answers that it's version 1 of this incarnation, at position 2.
async fn written(
    ws: &mut WebSocketStream<UnixStream>,
    hub: &Hub,
) -> smol::channel::Receiver<Result<crate::store::Receipt, crate::api::error::Refusal>> {
    while hub.uplink().is_none() {
        yield_now().await;
    }
    let (sender, answer) = smol::channel::bounded(1);
    let write = Transaction::new(Some(id("x"))).put(path("c.n"), Value::from(1));
    hub.submit(write, move |outcome| sender.try_send(outcome).unwrap());
    let asked = heard(ws, "WRITE").await;
    let seq = asked.split(' ').nth(1).unwrap();
    let roots = "{\"c\":[\"0000000000000001\",1]}";
    let done =
        format!("DONE {seq}\n{{\"versions\":{{\"c\":1}},\"position\":2,\"durable\":true,\"roots\":{roots}}}");
    ws.send(Message::text(done)).await.unwrap();
    answer
}

#[test]
fn a_write_whose_root_was_made_anew_since_is_answered_when_the_new_one_is_here() {
    let linked = "LINKED g\n{\"protocol\":2,\"known\":{\"o\":null},\"refused\":{},\"handover\":[]}";
    with_local(linked, |mut ws, hub, _| async move {
        let new = |position: u64, inc: u64| {
            format!(
                "COMMIT {position} {}\n{{\"position\":{position},\"time\":1,\"roots\":{{\"c\":0}},\"new\":{{\"c\":\"{inc:016x}\"}},\"ops\":[{{\"put\":\"c.n\",\"value\":0}}]}}",
                position - 1
            )
        };
        for frame in ["BEGIN 0\n{\"roots\":[\"c\"]}", &new(1, 1)] {
            ws.send(Message::text(frame)).await.unwrap();
        }
        heard(&mut ws, "ACK").await;
        let answer = written(&mut ws, &hub).await;
        // Which this replica can't follow, and so it asks for a snapshot.
        ws.send(Message::text(new(2, 2))).await.unwrap();
        heard(&mut ws, "RESYNC").await;
        assert!(answer.is_empty(), "nothing tells yet that it's here");
        let lines = [
            "{\"snapshot\":true,\"position\":4,\"absent\":[]}",
            "{\"base\":\"c\",\"incarnation\":\"0000000000000002\",\"version\":0,\"digest\":\"0000000000000001\",\"position\":4,\"time\":1}",
            "[[1,\"n\",0,5]]",
        ];
        ws.send(Message::text("SNAPSHOT 4\n{\"roots\":[\"c\"]}")).await.unwrap();
        let mut crc = crc32fast::Hasher::new();
        for line in lines {
            crc.update(line.as_bytes());
            ws.send(Message::text(link::lines(line))).await.unwrap();
        }
        ws.send(Message::text(link::snapped(Position(4), crc.finalize()))).await.unwrap();
        let receipt = answer.recv().await.unwrap().unwrap();
        assert!(receipt.applied, "{receipt:?}");
    });
}

#[test]
fn a_write_to_a_root_that_the_link_does_not_carry_is_answered_at_once() {
    let linked =
        "LINKED g\n{\"protocol\":2,\"known\":{\"o\":null},\"refused\":{\"c\":[\"no\",null]},\"handover\":[]}";
    with_local(linked, |mut ws, hub, _| async move {
        let begun = Instant::now();
        let answer = written(&mut ws, &hub).await;
        let receipt = answer.recv().await.unwrap().unwrap();
        assert!(!receipt.applied && begun.elapsed() < Duration::from_secs(20), "{receipt:?}");
    });
}

#[test]
fn a_replica_that_was_cleared_links_again_and_has_everything() {
    let (global, local) = (Side::new("g", StoreRole::Leads), local("r1"));
    global.put("c.n", 1);
    for again in [false, true] {
        let ended = joined(&global, &local, async {
            local.shows("c.n", &Value::from(1)).await;
            if !again {
                local.store.clear_and_wait(None).unwrap();
                std::future::pending().await
            }
        });
        assert_eq!(ended.map(|ended| ended.code), (!again).then_some(Some(4010)));
    }
}

#[test]
fn only_the_home_says_what_is_fresh() {
    let hello = "LINK r1 0000000000000001\n{\"protocol\":1,\"follow\":{\"c\":null},\"serve\":{\"o\":null}}";
    with_global(Access::all(), |mut ws, _, _| async move {
        ws.send(Message::text(hello)).await.unwrap();
        for (frame, wanted) in [
            ("FRESH 1 c", "DONE 1\n{\"versions\":{\"c\":null},\"position\":0}"),
            ("FRESH 2 o", "DONE 2\n{\"error\":{"),
        ] {
            ws.send(Message::text(frame)).await.unwrap();
            while !matches!(ws.next().await.unwrap().unwrap(), Message::Text(text) if text.starts_with(wanted))
            {
            }
        }
    });
}

#[test]
fn the_home_of_a_root_sends_the_nonce_back_with_its_version() {
    let (global, local) = (Side::new("g", StoreRole::Leads), local("r1"));
    global.put("c.n", 1);
    global.put("c.n", 2);
    let ended = joined(&global, &local, async {
        local.shows("c.n", &Value::from(2)).await;
        let link = local.hub.uplink().unwrap();
        assert_eq!(link.attempt(), 1, "it came of this side's attempt");
        let ask = |root: &str| {
            let (sender, answer) = smol::channel::bounded(1);
            let done = move |outcome| drop(sender.try_send(outcome));
            link.prove(&root.into(), 0xfeed, Duration::from_secs(10), Box::new(done));
            answer
        };
        let proof = ask("c").recv().await.unwrap().unwrap();
        let (nonce, incarnation, version) = link::body::read_proof(&proof).unwrap();
        let there = global.store.standing("c").unwrap();
        assert_eq!((nonce, incarnation, version), (0xfeed, there.incarnation, there.version));
        assert_eq!(ask("nothing").recv().await.unwrap().unwrap_err().code, "not_found");
    });
    assert_eq!(ended, None);
}

#[test]
fn a_feed_that_must_wait_for_the_disk_holds_up_nobody() {
    let durability = store::Durability::None;
    let options = store::Options { durability, history: 1, ..store::Options::default() };
    let disk = crate::log::fake::Disk::new();
    let mut global = Side::new("g", StoreRole::Leads);
    global.store = Store::open_on(disk.medium(), options).unwrap();
    global.hub = Hub::new(id("g"), global.store.clone());
    for n in 0..5 {
        global.put("c.n", n);
    }
    let none = [("c".into(), None)];
    assert!(global.store.feed_now(&["c".into()], &none, || ()).is_none(), "its history doesn't reach back");
    let local = local("r1");
    let ended = joined(&global, &local, async {
        local.shows("c.n", &Value::from(4)).await;
    });
    assert_eq!(ended, None);
}

#[test]
fn an_address_is_shown_without_its_token() {
    let target = global("ws://127.0.0.1:1").unwrap();
    let token = Some(crate::client::Bearer::new("s3cret").unwrap());
    let server = Server { target, token };
    assert!(!format!("{server:?} {server}").contains("s3cret"));
}
