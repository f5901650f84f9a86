//! The promise of sessions: whoever listens is told everything once and in order, calls find their owner, and what
//! belongs to a session ends with it.

use std::net::Shutdown;
use std::thread::JoinHandle;

use tega::client::live::{Event, Session};
use tega::client::{Call, Target};
use tega::commit::TegaId;
use tega::message::{Kind, Scope};
use tega::value::Value;

use crate::server::Server;
use crate::wire::{Frame, Ws, http, json, tcp, unix};

/// A session over the local socket, whose buffers don't grow.
fn local_session(server: &Server, tega_id: &str) -> Ws {
    let mut ws = Ws::over(unix(server)).unwrap();
    ws.send(&format!("SESSION {tega_id} local 2"));
    assert!(ws.next().starts_with("SESSIONACK "));
    ws
}

#[track_caller]
fn text(value: &Value, name: &str) -> String {
    value.get(name).unwrap_or_else(|| panic!("no {name} in {value}")).to_string()
}

/// The entries of the next frame, which must be a NOTIFY.
#[track_caller]
fn notified(ws: &mut Ws) -> Vec<Value> {
    let frame = ws.next();
    let body = frame.strip_prefix("NOTIFY\n").unwrap_or_else(|| panic!("no NOTIFY: {frame:.300}"));
    json(body).as_list().unwrap().items().to_vec()
}

/// `OPE path instance`, as an entry says it.
fn shown(entry: &Value) -> String {
    let plain = |name| text(entry, name).trim_matches('"').to_string();
    format!("{} {} {}", plain("ope"), plain("path"), text(entry, "instance"))
}

#[track_caller]
fn fine(answer: &Value) {
    assert!(answer.get("error").is_none(), "{answer}");
}

#[track_caller]
fn put(ws: &mut Ws, seq: u32, path: &str, value: &str) -> Value {
    let answer = ws.ask(seq, "PUT", path, &format!("{{\"value\":{value}}}"));
    fine(&answer);
    answer
}

/// Sees to it that all that was sent before has been taken.
fn settle(ws: &mut Ws) {
    fine(&ws.ask(u32::MAX, "GET", "-", ""));
}

/// Registers `fn.f`, served by this session.
fn owner(server: &Server, tega_id: &str, dialect: &str) -> Ws {
    let mut owner = Ws::session(server, tega_id, dialect);
    let leaf = format!("{{\"value\":\"%{tega_id}.f\",\"ephemeral\":true}}");
    fine(&owner.ask(1, "PUT", "fn.f", &leaf));
    owner
}

/// Seq and body of the next call.
#[track_caller]
fn called(owner: &mut Ws) -> (String, Value) {
    let frame = owner.next();
    let (line, body) = frame.split_once('\n').unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words[0], words[2], words[4]), ("REQUEST", "RPC", "fn.f"), "{frame}");
    (words[1].to_string(), json(body))
}

#[test]
fn calls_may_be_answered_in_any_order() {
    let server = Server::start();
    let mut owner = owner(&server, "owner", "local 2");
    let mut callers = [Ws::session(&server, "c1", "local 2"), Ws::session(&server, "c2", "local")];
    let mut calls = Vec::new();
    for n in 0..6 {
        callers[n % 2].send(&format!("REQUEST {n} RPC None fn.f\n{{\"args\":[{n}],\"kwargs\":{{}}}}"));
        calls.push(called(&mut owner));
    }
    for (seq, body) in calls.iter().rev() {
        let n = body.get("args").unwrap().as_list().unwrap().items()[0].to_string();
        owner.send(&format!("RESPONSE {seq} RPC owner\n{{\"result\":\"r{n}\"}}"));
    }
    for n in (0..6).rev() {
        let wanted = if n % 2 == 0 { format!("{{\"result\":\"r{n}\"}}") } else { format!("\"r{n}\"") };
        let frame = callers[n % 2].next();
        assert!(frame.starts_with(&format!("RESPONSE {n} RPC ")) && frame.ends_with(&wanted), "{frame}");
    }
    // An answer that nobody waits for, or that another session gives, is passed over.
    callers[0].send("REQUEST 9 RPC None fn.f\n{}");
    let (seq, _) = called(&mut owner);
    callers[1].send(&format!("RESPONSE {seq} RPC c2\n\"forged\""));
    callers[1].send("REQUEST 7 GET None fn.f\n{}");
    assert!(callers[1].next().starts_with("RESPONSE 7 "));
    owner.send("RESPONSE 4000000 RPC owner\n\"nothing\"");
    owner.send(&format!("RESPONSE {seq} RPC owner\nnull"));
    assert!(callers[0].next().ends_with("{\"result\":null}"));
}

#[test]
fn a_call_whose_owner_goes_says_that_it_may_have_happened() {
    let server = Server::start();
    let stream = tcp(&server);
    let line = stream.try_clone().unwrap();
    let mut owner = Ws::over(stream).unwrap();
    owner.send("SESSION owner local 2");
    owner.next();
    fine(&owner.ask(1, "PUT", "fn.f", r#"{"value":"%owner.f","ephemeral":true}"#));
    assert_eq!(http(&server, "PUT /kept/f", &[], "\"%owner.f\"").status, 200);
    let mut caller = Ws::session(&server, "caller", "local 2");
    fine(&caller.ask(0, "SUBSCRIBE", "fn", "{}"));
    caller.send("REQUEST 1 RPC None fn.f\n{}");
    called(&mut owner);
    line.shutdown(Shutdown::Both).unwrap();
    // The answer and the end of the leaf come in any order.
    let mut frames = [caller.next(), caller.next()];
    frames.sort();
    assert!(frames[0].contains("DELETE") && frames[1].contains("outcome_unknown"), "{frames:?}");
    // Its ephemeral leaf went with it; one that stays names somebody who isn't there.
    assert_eq!(http(&server, "POST /_rpc?path=fn.f", &[], "{}").status, 404);
    let gone = http(&server, "POST /_rpc?path=kept.f", &[], "{}");
    assert_eq!((gone.status, gone.code().as_str()), (503, "no_owner"));
    assert_eq!(text(caller.ask(2, "RPC", "kept.f", "{}").get("error").unwrap(), "code"), "\"no_owner\"");
}

#[test]
fn a_call_goes_to_the_newest_session_of_its_owner() {
    let server = Server::start();
    let mut old = owner(&server, "owner", "local 2");
    let mut new = owner(&server, "owner", "local 2");
    let mut caller = Ws::session(&server, "caller", "local 2");
    caller.send("REQUEST 1 RPC None fn.f\n{\"args\":[]}");
    let (seq, _) = called(&mut new);
    new.send(&format!("RESPONSE {seq} RPC owner\n1"));
    assert!(caller.next().ends_with("{\"result\":1}"));
    settle(&mut old);
}

#[test]
fn messages_reach_those_who_listen_and_not_their_sender() {
    let server = Server::start();
    let mut sender = Ws::session(&server, "sender", "local 2");
    let mut path = Ws::session(&server, "path", "local");
    let mut regex = Ws::session(&server, "regex", "local 2");
    let mut other = Ws::session(&server, "other", "local 2");
    sender.send("SUBSCRIBE news.lan");
    path.send("SUBSCRIBE news.lan local False");
    regex.send(r"SUBSCRIBE news\.(lan|wan) local True");
    other.send("SUBSCRIBE olds");
    for ws in [&mut sender, &mut path, &mut regex, &mut other] {
        settle(ws);
    }
    sender.send("PUBLISH news.lan\n{\"message\":{\"x\":[1]}}");
    sender.send("PUBLISH news.wan\n{\"message\":2}");
    sender.send("PUBLISH elsewhere\n{\"message\":3}");
    settle(&mut sender);
    let lan = "MESSAGE news.lan sender\n{\"message\":{\"x\":[1]}}";
    assert_eq!(path.next(), lan);
    assert_eq!(
        (regex.next().as_str(), regex.next().as_str()),
        (lan, "MESSAGE news.wan sender\n{\"message\":2}")
    );
    // Who listens no longer is told nothing more.
    path.send("UNSUBSCRIBE news.lan False");
    regex.send("UNSUBSCRIBE");
    settle(&mut path);
    settle(&mut regex);
    sender.send("PUBLISH news.lan\n{\"message\":4}");
    settle(&mut sender);
    for ws in [&mut path, &mut regex, &mut other] {
        ws.send("REQUEST 8 GET None -\n{}");
        let next = ws.next();
        assert!(next.starts_with("RESPONSE 8 "), "{next}");
    }
    assert_eq!(
        http(&server, "GET /_channels", &[], "").text(),
        r#"{"news.lan":["sender"],"olds":["other"]}"#
    );
}

#[test]
fn ephemeral_nodes_end_with_their_session_however_it_ends() {
    let server = Server::start();
    let mut watcher = Ws::session(&server, "watcher", "local");
    watcher.send("SUBSCRIBE here");
    settle(&mut watcher);
    for end in ["close", "cut", "told"] {
        let stream = tcp(&server);
        let line = stream.try_clone().unwrap();
        let mut ws = Ws::over(stream).unwrap();
        ws.send("SESSION guest local 2");
        ws.next();
        fine(&ws.ask(1, "PUT", "here.guest", r#"{"value":{"x":1},"ephemeral":true}"#));
        assert_eq!(shown(&notified(&mut watcher)[0]), "PUT here.guest {\"x\":1}", "{end}");
        let own = http(&server, "PUT /here/rest?ephemeral=True&tega_id=guest", &[], "2");
        assert_eq!(own.status, 200, "{}", own.text());
        assert_eq!(shown(&notified(&mut watcher)[0]), "PUT here.rest 2", "{end}");
        let internal = http(&server, "GET /here/rest?internal=True", &[], "");
        assert!(internal.text().contains("\"guest\""), "{}", internal.text());
        match end {
            "close" => ws.send_raw(&[0x88, 0x80, 0, 0, 0, 0]).unwrap(),
            "cut" => line.shutdown(Shutdown::Both).unwrap(),
            _ => ws.send_raw(&[0x82, 0x80, 0, 0, 0, 0]).unwrap(),
        }
        let mut ended: Vec<String> = notified(&mut watcher).iter().map(shown).collect();
        while ended.len() < 2 {
            ended.extend(notified(&mut watcher).iter().map(shown));
        }
        ended.sort();
        assert_eq!(ended, ["DELETE here.guest {\"x\":1}", "DELETE here.rest 2"], "{end}");
        assert_eq!(http(&server, "GET /here/guest", &[], "").status, 404);
    }
    // They were never versions, so nothing of them is left.
    assert!(!http(&server, "GET /_roots", &[], "").text().contains("here\":1"));
}

#[test]
fn a_change_above_a_channel_is_told_as_the_channels_own() {
    let server = Server::start();
    let mut watcher = Ws::session(&server, "watcher", "local");
    let mut writer = Ws::session(&server, "writer", "local 2");
    watcher.send("SUBSCRIBE a.b.c");
    settle(&mut watcher);
    for (kind, path, body, wanted) in [
        ("PUT", "a", r#"{"value":{"b":{"c":{"d":1}},"x":2}}"#, "PUT a.b.c {\"d\":1}"),
        ("PUT", "a.b.c.d", r#"{"value":3}"#, "PUT a.b.c.d 3"),
        ("PUT", "a.b", r#"{"value":{"c":4}}"#, "PUT a.b.c 4"),
        ("PUT", "a.b", r#"{"value":{"e":5}}"#, "DELETE a.b.c 4"),
        ("PUT", "a.b.c", r#"{"value":6}"#, "PUT a.b.c 6"),
        ("DELETE", "a.b", "{}", "DELETE a.b.c 6"),
        ("PUT", "a.b.c", r#"{"value":[7]}"#, "PUT a.b.c [7]"),
        ("DELETE", "a", "{}", "DELETE a.b.c [7]"),
    ] {
        // What is beside the channel isn't told.
        fine(&writer.ask(1, "PUT", "a.beside", r#"{"value":0}"#));
        fine(&writer.ask(2, kind, path, body));
        let entries = notified(&mut watcher);
        assert_eq!(entries.iter().map(shown).collect::<Vec<_>>(), [wanted], "{kind} {path} {body}");
        assert_eq!(text(&entries[0], "tega_id"), "\"writer\"");
    }
    // One commit is one notification, with its operations in order.
    let ops =
        r#"{"ops":[{"put":"a.b.c","value":{"x":1}},{"put":"z","value":{}},{"put":"a.b.c.y","value":2}]}"#;
    fine(&writer.ask(3, "COMMIT", "-", ops));
    let entries: Vec<String> = notified(&mut watcher).iter().map(shown).collect();
    assert_eq!(entries, ["PUT a.b.c {\"x\":1}", "PUT a.b.c.y 2"]);
    // Who makes a change isn't told of it.
    fine(&watcher.ask(4, "PUT", "a.b.c", r#"{"value":8}"#));
    fine(&writer.ask(5, "PUT", "a.b.c", r#"{"value":9}"#));
    assert_eq!(shown(&notified(&mut watcher)[0]), "PUT a.b.c 9");
}

/// Where a subscriber stands: the incarnation of `a` and the versions that it has seen.
#[derive(Default)]
struct Seen {
    incarnation: String,
    versions: Vec<i64>,
    values: Vec<String>,
}

impl Seen {
    fn note(&mut self, entries: &[Value]) {
        for entry in entries {
            self.incarnation = text(entry, "inc");
            self.versions.push(entry.get("version").unwrap().as_int().unwrap());
            self.values.push(text(entry, "instance"));
        }
    }

    /// Subscribes again from here; what was missed is noted.
    #[track_caller]
    fn resume(&mut self, ws: &mut Ws, seq: u32) {
        let since =
            format!("{{\"since\":{{\"a\":[{},{}]}}}}", self.incarnation, self.versions.last().unwrap());
        let answer = ws.ask(seq, "SUBSCRIBE", "a.n", &since);
        let missed = answer.get("missed").unwrap_or_else(|| panic!("nothing missed: {answer:.300}"));
        self.note(missed.as_list().unwrap().items());
    }

    /// Each version once and in order, each with its own value.
    #[track_caller]
    fn check(&self, first: i64, last: i64) {
        assert_eq!(self.versions, (first..=last).collect::<Vec<_>>());
        let values: Vec<String> = (first..=last).map(|n| n.to_string()).collect();
        let shown = self.values.iter().map(|v| v.trim_matches(['"', 'x']).to_string());
        assert_eq!(shown.collect::<Vec<_>>(), values);
    }
}

#[test]
fn a_subscription_resumes_over_a_crash_without_losing_or_doubling() {
    let mut server = Server::with(&["--history", "1000"]);
    let mut seen = Seen::default();
    let mut writer = Ws::session(&server, "writer", "local 2");
    put(&mut writer, 0, "a.n", "0");
    let mut watcher = Ws::session(&server, "watcher", "local 2");
    fine(&watcher.ask(1, "SUBSCRIBE", "a.n", "{}"));
    let mut next = 1;
    for round in 0..3 {
        for _ in 0..20 {
            put(&mut writer, 1, "a.n", &next.to_string());
            next += 1;
        }
        // It has read some of them when the server dies.
        for _ in 0..7 {
            seen.note(&notified(&mut watcher));
        }
        server.kill();
        server.restart();
        writer = Ws::session(&server, "writer", "local 2");
        for _ in 0..5 {
            put(&mut writer, 1, "a.n", &next.to_string());
            next += 1;
        }
        watcher = Ws::session(&server, "watcher", "local 2");
        seen.resume(&mut watcher, 2);
        put(&mut writer, 2, "a.n", &next.to_string());
        next += 1;
        seen.note(&notified(&mut watcher));
        seen.check(1, next - 1);
        assert_eq!(seen.versions.len(), 26 * (round + 1));
    }
    // A subscriber of a store that isn't this one is told so, with what is there now.
    let strange = r#"{"since":{"a":["0123456789abcdef",3]}}"#;
    let answer = watcher.ask(9, "SUBSCRIBE", "a.n", strange);
    assert_eq!((text(&answer, "gone").as_str(), text(&answer, "value")), ("true", (next - 1).to_string()));
}

#[test]
fn a_subscriber_that_doesnt_read_is_closed_as_lagging_and_resumes() {
    let server = Server::with(&["--history", "200"]);
    let mut writer = Ws::session(&server, "writer", "local 2");
    put(&mut writer, 0, "a.n", "0");
    let mut lagging = local_session(&server, "lagging");
    fine(&lagging.ask(1, "SUBSCRIBE", "a.n", "{}"));
    let mut quick = Ws::session(&server, "quick", "local 2");
    fine(&quick.ask(1, "SUBSCRIBE", "a.n", "{}"));
    // Four megabytes: more than the socket and the session hold.
    let pad = "x".repeat(40 << 10);
    let mut seen = [Seen::default(), Seen::default()];
    for n in 1..=100 {
        put(&mut writer, n, "a.n", &format!("\"{n}{pad}\""));
        seen[1].note(&notified(&mut quick));
    }
    loop {
        match lagging.try_next().unwrap() {
            Frame::Closed(4008, _) => break,
            Frame::Closed(code, reason) => panic!("closed with {code} {reason}"),
            Frame::Text(frame) => {
                seen[0].note(json(frame.strip_prefix("NOTIFY\n").unwrap()).as_list().unwrap().items());
            }
        }
    }
    assert!(seen[0].versions.len() < 100 && !seen[0].versions.is_empty());
    let mut again = local_session(&server, "lagging");
    seen[0].resume(&mut again, 1);
    seen.iter().for_each(|seen| seen.check(1, 100));
}

#[test]
fn ten_thousand_requests_may_be_on_their_way() {
    let server = Server::start();
    let stream = tcp(&server);
    let mut out = Ws::over(stream.try_clone().unwrap()).unwrap();
    out.send("SESSION many local 2");
    assert!(out.next().starts_with("SESSIONACK "));
    // One end writes and the other reads: nobody waits for an answer.
    let mut answers = out;
    let mut line = stream;
    let writing = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for n in 0..10_000 {
            let request = match n % 2 {
                0 => format!("REQUEST {n} PUT None n.x\n{{\"value\":{n}}}"),
                _ => format!("REQUEST {n} GET None n\n{{}}"),
            };
            tega::client::frames::text(&request, [1, 2, 3, 4], &mut bytes);
        }
        std::io::Write::write_all(&mut line, &bytes).unwrap();
    });
    let mut open: Vec<bool> = vec![true; 10_000];
    let mut version = None;
    for _ in 0..10_000 {
        let frame = answers.next();
        let (line, body) = frame.split_once('\n').unwrap();
        let seq: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(std::mem::take(&mut open[seq]), "{seq} was answered twice");
        // Only a GET that overtook the first PUT finds nothing.
        assert!(!body.contains("\"error\"") || (seq % 2 == 1 && body.contains("not_found")), "{frame}");
        if seq.is_multiple_of(2) {
            let now = json(body).get("versions").unwrap().get("n").unwrap().as_int();
            assert!(now > version, "{now:?} after {version:?}");
            version = now;
        }
    }
    writing.join().unwrap();
    assert_eq!(version, Some(4_999));
    assert_eq!(http(&server, "GET /n/x", &[], "").text(), "9998");
}

#[test]
fn a_session_that_doesnt_take_its_answers_isnt_read_from_and_costs_little() {
    let server = Server::start();
    let value = format!("\"{}\"", "x".repeat(64 << 10));
    assert_eq!(http(&server, "PUT /a/big", &[], &value).status, 200);
    let rss = || http(&server, "GET /_status", &[], "").json().get("rss_kb").and_then(Value::as_int).unwrap();
    let before = rss();
    let mut greedy = local_session(&server, "greedy");
    let mut bytes = Vec::new();
    for n in 0..1_000 {
        tega::client::frames::text(&format!("REQUEST {n} GET None a.big\n{{}}"), [1, 2, 3, 4], &mut bytes);
    }
    // All of this fits into the socket, so the server could take it, and would need 64 MiB for the answers.
    greedy.send_raw(&bytes).unwrap();
    let mut other = Ws::session(&server, "other", "local 2");
    for n in 0..200 {
        assert_eq!(text(&other.ask(n, "GET", "a.big", ""), "value").len(), value.len());
    }
    let after = rss();
    assert!(after - before < 16 << 10, "{before} kB, then {after} kB");
    for n in 0..1_000 {
        let frame = greedy.next();
        assert!(frame.starts_with(&format!("RESPONSE {n} GET ")), "{frame:.100}");
        assert!(frame.len() > value.len());
    }
}

/// The library's own session as the owner of `fn.f`: it answers so many calls with what this makes of each.
fn serving(server: &Server, calls: usize, work: fn(&Call) -> Result<Value, String>) -> JoinHandle<()> {
    let target: Target = server.url().parse().unwrap();
    let owner = TegaId::new("owner").unwrap();
    let mut session = Session::open_serving(&target.into(), owner, Scope::Local).unwrap();
    let leaf = r#"{"value":"%owner.f(a, b=2)","ephemeral":true}"#;
    session.request(Kind::Put, "fn.f", leaf).unwrap().unwrap();
    std::thread::spawn(move || {
        for _ in 0..calls {
            let Some(Event::Called(call)) = session.next(None).unwrap() else { panic!("no call") };
            let outcome = work(&call);
            session.answer(call.seq, outcome.as_ref().map_err(String::as_str)).unwrap();
        }
    })
}

#[test]
fn a_program_serves_a_function_through_the_library() {
    let server = Server::start();
    let owner = serving(&server, 4, |call| match (call.argument(0, "a"), call.argument(1, "b")) {
        (Some(a), Some(b)) => {
            Ok(json(&format!("[{a},{b},\"{}\",\"{}\"]", call.caller.clone().unwrap(), call.path)))
        }
        (Some(a), None) => Ok(a.clone()),
        (None, _) => Err("f(a, b=2): a is missing".into()),
    });
    let mut caller = Ws::session(&server, "alice", "local 2");
    let mut call = |seq, body: &str| caller.ask(seq, "RPC", "fn.f", body).to_string();
    assert_eq!(call(1, r#"{"args":[1],"kwargs":{"b":3}}"#), r#"{"result":[1,3,"alice","fn.f"]}"#);
    // What looks like a refusal, or like a wrapped result, comes as it is.
    let odd = r#"{"error":{"code":"x","message":"y"}}"#;
    assert_eq!(call(2, &format!("{{\"args\":[{odd}]}}")), format!("{{\"result\":{odd}}}"));
    assert_eq!(call(3, r#"{"args":[{"result":1}]}"#), r#"{"result":{"result":1}}"#);
    let failed = call(4, "{}");
    assert!(failed.contains("rpc_failed") && failed.contains("a is missing"), "{failed}");
    owner.join().unwrap();
}

#[test]
fn a_session_that_serves_nothing_declines_at_once() {
    let server = Server::start();
    let target: Target = server.url().parse().unwrap();
    let owner = TegaId::new("owner").unwrap();
    let mut session = Session::open(&target.into(), owner, Scope::Local).unwrap();
    session.request(Kind::Put, "fn.f", r#"{"value":"%owner.f"}"#).unwrap().unwrap();
    let waiting = std::thread::spawn(move || session.next(None).map(drop));
    let mut caller = Ws::session(&server, "alice", "local 2");
    let answer = caller.ask(1, "RPC", "fn.f", "{}").to_string();
    assert!(answer.contains("rpc_failed") && answer.contains("serves no functions"), "{answer}");
    drop(server);
    assert!(waiting.join().unwrap().is_err());
}
