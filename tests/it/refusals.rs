//! The promise of refusals: input that can't be is told why, as JSON with a code, and changes nothing.

use tega::message::MAX_MESSAGE;
use tega::value::MAX_TEXT;

use crate::server::Server;
use crate::wire::{Frame, Http, Ws, http, json, unix};

/// Everything that a refused request must leave alone: all trees with their versions, and the roots'.
fn state(server: &Server) -> String {
    let all = http(server, "GET /?internal=True", &[], "");
    let roots = http(server, "GET /_roots", &[], "");
    assert_eq!((all.status, roots.status), (200, 200));
    format!("{}\n{}", all.text(), roots.text())
}

/// A server with something in it to be damaged.
fn furnished() -> Server {
    let server = Server::start();
    for (line, body) in [
        ("PUT /a/leaf", "1"),
        ("PUT /a/list", "[1,[2]]"),
        ("PUT /a/in/deep", r#"{"x":{}}"#),
        ("PUT /b", r#"{"k":null}"#),
    ] {
        assert_eq!(http(&server, line, &[], body).status, 200, "{line}");
    }
    server
}

fn nested(depth: usize) -> Vec<u8> {
    [vec![b'['; depth], vec![b']'; depth]].concat()
}

/// Request line, body, and the status and code that it must get.
fn bad_requests() -> Vec<(String, Vec<u8>, u16, &'static str)> {
    let mut all: Vec<(String, Vec<u8>, u16, &'static str)> = Vec::new();
    let mut add = |line: &str, body: &[u8], status, code| all.push((line.into(), body.into(), status, code));
    // Bodies that aren't a value.
    let bodies: [&[u8]; 22] = [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{\"a\":1,}",
        b"{a:1}",
        b"'x'",
        b"nul",
        b"1 2",
        b"01",
        b"1e999",
        b"-1e999",
        b"NaN",
        b"\"\x01\"",
        b"\"\\ud800\"",
        b"\"\xff\"",
        b"\xff\xfe1",
        b"{\"a\":1,\"a\":2}",
        b"{\"x\":{\"b\":1,\"\\u0062\":2}}",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"[123456789012345678901234567890]",
    ];
    for body in bodies {
        add("PUT /a/new", body, 400, "bad_request");
    }
    add("PUT /a/new", &nested(10_000), 400, "bad_request");
    add("PUT /a/new", &b"{\"a\":".repeat(10_000), 400, "bad_request");
    // Keys that can't be, in the body and in the path.
    for key in ["", "_value", "_version", "_oid", "_parent", "_ephemeral"] {
        add("PUT /a/new", format!("{{\"x\":{{\"{key}\":1}}}}").as_bytes(), 400, "bad_request");
    }
    for path in ["/a//b", "//a", "/a/_value", "/a/_oid/x", "/a/%ff", "/a/b%e9"] {
        for method in ["GET", "PUT", "DELETE"] {
            add(&format!("{method} {path}"), if method == "PUT" { b"1" } else { b"" }, 400, "bad_request");
        }
    }
    add(&format!("PUT /a/{}", "k".repeat(513)), b"1", 400, "bad_request");
    add("PUT /a/new", format!("{{\"{}\":1}}", "k".repeat(513)).as_bytes(), 413, "too_large");
    add(&format!("PUT /{}", "d/".repeat(65)), b"1", 400, "bad_request");
    add("PUT /a/leaf/below", b"1", 400, "bad_request");
    add("PUT /a/list/0", b"1", 400, "bad_request");
    for scalar in ["1", "\"x\"", "null", "[]", "[{}]", "true"] {
        add("PUT /a", scalar.as_bytes(), 400, "bad_request");
        add("PUT /new", scalar.as_bytes(), 400, "bad_request");
    }
    add("PUT /", b"{}", 400, "bad_request");
    add("DELETE /", b"", 400, "bad_request");
    // What isn't there.
    add("GET /a/none", b"", 404, "not_found");
    add("GET /none", b"", 404, "not_found");
    add("DELETE /a/none", b"", 404, "not_found");
    add("DELETE /none", b"", 404, "not_found");
    add("GET /a?version=99", b"", 404, "not_found");
    add("GET /a?version=-99", b"", 404, "not_found");
    // Versions.
    for version in ["x", "1.5", "99999999999999999999"] {
        add(&format!("PUT /a/leaf?version={version}"), b"2", 400, "bad_request");
        add(&format!("GET /a/leaf?version={version}"), b"", 400, "bad_request");
        add(&format!("DELETE /a/leaf?version={version}"), b"", 400, "bad_request");
    }
    add("PUT /a/leaf?version=-2", b"2", 400, "bad_request");
    add("PUT /a/leaf?version=7", b"2", 409, "conflict");
    add("PUT /a/leaf?version=-1", b"2", 409, "conflict");
    add("PUT /a/none?version=0", b"2", 409, "conflict");
    add("DELETE /a/leaf?version=7", b"", 409, "conflict");
    // The query.
    add("PUT /a/leaf?version=0&version=0", b"2", 400, "bad_request");
    add("PUT /a/leaf?ephemeral=yes", b"2", 400, "bad_request");
    add("PUT /a/new?ephemeral=True", b"2", 400, "bad_request");
    add("PUT /a/new?ephemeral=True&tega_id=nobody", b"2", 400, "bad_request");
    for id in ["a%20b", "a.b", "%C3%A9", "a/b", "-%0A"] {
        add(&format!("PUT /a/leaf?tega_id={id}"), b"2", 400, "bad_request");
    }
    add(&format!("PUT /a/leaf?tega_id={}", "x".repeat(65)), b"2", 400, "bad_request");
    // Transactions.
    add("PUT /a/leaf?txid=none", b"2", 404, "not_found");
    add("GET /a/leaf?txid=none", b"", 404, "not_found");
    add("DELETE /a/leaf?txid=none", b"", 404, "not_found");
    for call in ["_commit", "_cancel", "_cand"] {
        add(&format!("POST /{call}?txid=none"), b"", 404, "not_found");
        add(&format!("POST /{call}"), b"", 400, "bad_request");
        add(&format!("POST /{call}?txid={}", "x".repeat(65)), b"", 400, "bad_request");
    }
    // Regexes: broken ones, constructs that the engine lacks, and too much of them.
    for regex in ["(", "a%5C", "%5B", "(%3F=a)", "(%3F!a)", "(%3F%3C=a)", "(a)%5C1", "%5Cp{Greek}", "*"] {
        add(&format!("GET /{regex}?regex_flag=True"), b"", 400, "bad_request");
    }
    add(&format!("GET /{}?regex_flag=True", "a".repeat(257)), b"", 400, "bad_request");
    add(&format!("GET /{}?regex_flag=True", vec!["a"; 33].join("%5C.")), b"", 400, "bad_request");
    // Calls.
    for method in ["GET", "PUT", "POST", "DELETE"] {
        add(&format!("{method} /_nothing"), if method == "PUT" { b"{}" } else { b"" }, 404, "not_found");
    }
    for line in
        ["PUT /_roots", "DELETE /_status", "GET /_commit", "GET /_clear", "GET /_rollback", "PUT /_ss"]
    {
        add(line, b"", 405, "method_not_allowed");
    }
    for line in ["POST /a/leaf", "PATCH /a/leaf", "BREW /a/leaf", "get /a/leaf", "TRACE /"] {
        add(line, b"", 405, "method_not_allowed");
    }
    add("POST /_rollback?root_oid=a", b"", 400, "bad_request");
    add("POST /_rollback?backto=0", b"", 400, "bad_request");
    add("POST /_rollback?root_oid=a&backto=x", b"", 400, "bad_request");
    add("POST /_rollback?root_oid=a&backto=99", b"", 404, "not_found");
    add("POST /_rollback?root_oid=none&backto=0", b"", 404, "not_found");
    add("POST /_rpc", b"", 400, "bad_request");
    add("POST /_rpc?path=a.leaf", b"", 404, "not_found");
    add("POST /_rpc?path=a.leaf", b"[]", 400, "bad_request");
    add("POST /_rpc?path=a.leaf", br#"{"argv":[]}"#, 400, "bad_request");
    add("POST /_sync", b"", 404, "not_found");
    add("GET /_history", b"", 400, "bad_request");
    add("GET /_history?root_oid=none", b"", 404, "not_found");
    add("GET /_diff?root_oid=a", b"", 400, "bad_request");
    add("GET /_diff?root_oid=a&from=0&to=99", b"", 404, "not_found");
    add("GET /_pubsub", b"", 426, "upgrade_required");
    all
}

#[test]
fn a_bad_request_is_told_why_and_changes_nothing() {
    let server = furnished();
    let before = state(&server);
    let mut wrong = Vec::new();
    // One connection for all: a refusal of what a request says doesn't end it.
    for mut connection in [Http::tcp(&server), Http::unix(&server)] {
        for (line, body, status, code) in bad_requests() {
            let shown = format!("{line:.120} {:.60}", String::from_utf8_lossy(&body));
            let answer = connection.call(&line, &[], &body).unwrap_or_else(|e| panic!("{shown}: {e}"));
            if (answer.status, answer.code().as_str()) != (status, code) {
                wrong.push(format!("{shown}: {} {}, not {status} {code}", answer.status, answer.text()));
            }
            let error = answer.json().get("error").unwrap().clone();
            let message = error.get("message").and_then(|m| m.as_str().map(str::to_owned)).unwrap();
            assert!(message.len() > 8 && message.len() < 2_000, "{shown}: {message}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(state(&server), before);
}

#[test]
fn a_refusal_names_the_path_and_the_versions() {
    let server = furnished();
    let answer = http(&server, "PUT /a/leaf?version=7", &[], "2");
    let error = answer.json().get("error").unwrap().clone();
    let text = |name: &str| error.get(name).map(ToString::to_string);
    assert_eq!(text("path").as_deref(), Some("\"a.leaf\""));
    assert_eq!(text("expected").as_deref(), Some("7"));
    assert_eq!(text("actual").as_deref(), Some("0"));
    // Where in the text it is.
    let answer = http(&server, "PUT /a/leaf", &[], "{\"a\": 1,\n \"b\": nul}");
    assert!(answer.text().contains("line 2") && answer.text().contains("column"), "{}", answer.text());
}

#[test]
fn a_body_may_have_a_mebibyte_and_not_a_byte_more() {
    let server = furnished();
    let value = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(http(&server, "PUT /a/big", &[], value(MAX_TEXT)).status, 200);
    let before = state(&server);
    let answer = http(&server, "PUT /a/big", &[], value(MAX_TEXT + 1));
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    // The same in chunks, where no length is told before.
    let mut chunked = Http::tcp(&server);
    let head = "PUT /a/big HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let half = format!("{:x}\r\n{}\r\n", 512 << 10, "1".repeat(512 << 10));
    chunked.send(format!("{head}{half}{half}1\r\n1\r\n0\r\n\r\n").as_bytes()).unwrap();
    let answer = chunked.answer().unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    // A length that nobody could send is refused before anything of it comes.
    let mut never = Http::tcp(&server);
    never
        .send(b"PUT /a/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999999999\r\n\r\n")
        .unwrap();
    assert_eq!(never.answer().unwrap().status, 413);
    assert_eq!(state(&server), before);
}

/// The code of the refusal in a frame's second line.
fn code(frame: &str) -> String {
    let (_, body) = frame.split_once('\n').unwrap_or_else(|| panic!("no second line: {frame}"));
    let body = json(body);
    let code = body.get("error").and_then(|error| error.get("code"));
    code.and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_else(|| panic!("no refusal: {frame}"))
}

/// Requests of a session, by type, path and body, and the code that each must get.
const BAD_ASKS: [(&str, &str, &str, &str); 33] = [
    ("FETCH", "a", "{}", "bad_request"),
    ("get", "a", "{}", "bad_request"),
    ("GET", "a.none", "{}", "not_found"),
    ("GET", "a..b", "{}", "bad_request"),
    ("GET", "a", "{", "bad_request"),
    ("GET", "a", "[]", "bad_request"),
    ("GET", "a", r#"{"versoin":1}"#, "bad_request"),
    ("GET", "a", r#"{"version":"1"}"#, "bad_request"),
    ("GET", "a", r#"{"version":99}"#, "not_found"),
    ("GET", "(", r#"{"regex":true}"#, "bad_request"),
    ("GET", "(?=a)", r#"{"regex":true}"#, "bad_request"),
    ("PUT", "a.leaf", "", "bad_request"),
    ("PUT", "a.leaf", "{}", "bad_request"),
    ("PUT", "-", r#"{"value":{}}"#, "bad_request"),
    ("PUT", "a", r#"{"value":1}"#, "bad_request"),
    ("PUT", "_x", r#"{"value":{}}"#, "bad_request"),
    ("PUT", "a._value", r#"{"value":1}"#, "bad_request"),
    ("PUT", "a.leaf.x", r#"{"value":1}"#, "bad_request"),
    ("PUT", "a.leaf", r#"{"value":18446744073709551616}"#, "bad_request"),
    ("PUT", "a.leaf", r#"{"value":{"":1}}"#, "bad_request"),
    ("PUT", "a.leaf", r#"{"value":1,"value":2}"#, "bad_request"),
    ("PUT", "a.leaf", r#"{"value":1,"version":9}"#, "conflict"),
    ("PUT", "a.leaf", r#"{"value":1,"version":-2}"#, "bad_request"),
    ("PUT", "a.leaf", r#"{"value":1,"ephemeral":1}"#, "bad_request"),
    ("PUT", "a.leaf", r#"{"value":1,"request_id":7}"#, "bad_request"),
    ("DELETE", "a.none", "{}", "not_found"),
    ("DELETE", "a.leaf", r#"{"version":9}"#, "conflict"),
    ("COMMIT", "-", "{}", "bad_request"),
    ("COMMIT", "-", r#"{"ops":[{"put":"a.leaf","value":2},{"delete":"a.none"}]}"#, "not_found"),
    ("COMMIT", "-", r#"{"ops":[{"put":"a.leaf","value":2},{"putt":"a.x","value":2}]}"#, "bad_request"),
    ("ROLLBACK", "a", "{}", "bad_request"),
    ("ROLLBACK", "a", r#"{"backto":99}"#, "not_found"),
    ("RPC", "a.leaf", "{}", "not_found"),
];

#[test]
fn a_bad_request_of_a_session_is_answered_under_its_seq_and_the_session_goes_on() {
    let server = furnished();
    let before = state(&server);
    for dialect in ["local", "local 2"] {
        let mut ws = Ws::session(&server, "s", dialect);
        for (seq, (kind, path, body, wanted)) in BAD_ASKS.into_iter().enumerate() {
            ws.send(&format!("REQUEST {seq} {kind} None {path}\n{body}"));
            let answer = ws.next();
            assert!(answer.starts_with(&format!("RESPONSE {seq} {kind} ")), "{kind} {path} {body}: {answer}");
            assert_eq!(code(&answer), wanted, "{kind} {path} {body}: {answer}");
        }
        assert_eq!(ws.ask(99, "GET", "a.leaf", "").get("value").unwrap().to_string(), "1");
    }
    assert_eq!(state(&server), before);
}

/// Frames that can't be read, so that there's no seq to answer under.
const BAD_FRAMES: [&str; 17] = [
    "",
    "\n",
    "HELLO",
    "session x local",
    "REQUEST",
    "REQUEST x GET - a\n{}",
    "REQUEST -1 GET - a\n{}",
    "REQUEST 4294967296 GET - a\n{}",
    "RESPONSE 1 RPC s",
    "RESPONSE 1 RPC s\n{",
    "SUBSCRIBE",
    "SUBSCRIBE ( local True",
    "SUBSCRIBE a..b local False",
    "PUBLISH a",
    "PUBLISH\n{}",
    "PUBLISH a\n{",
    "PUBLISH a..b\n{}",
];

#[test]
fn a_frame_that_cant_be_read_is_an_error_frame_in_our_dialect_and_the_end_in_the_originals() {
    let server = furnished();
    let before = state(&server);
    let mut second = Ws::session(&server, "s2", "local 2");
    for frame in BAD_FRAMES {
        second.send(frame);
        let answer = second.next();
        assert!(answer.starts_with("ERROR\n"), "{frame:?}: {answer}");
        assert_eq!(code(&answer), "bad_request", "{frame:?}");
        let mut first = Ws::session(&server, "s1", "local");
        first.send(frame);
        let Frame::Closed(4000, reason) = first.try_next().unwrap() else { panic!("{frame:?}: not closed") };
        assert!(!reason.is_empty(), "{frame:?}");
    }
    assert_eq!(second.ask(1, "GET", "a.leaf", "").get("value").unwrap().to_string(), "1");
    assert_eq!(state(&server), before);
}

/// A frame with a head of one's own; masked with zeros, which change nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

#[track_caller]
fn closed(ws: &mut Ws) -> u16 {
    loop {
        match ws.try_next() {
            Ok(Frame::Closed(code, _)) => return code,
            Ok(Frame::Text(_)) => {}
            Err(error) => panic!("ended without a word: {error}"),
        }
    }
}

#[test]
fn a_frame_against_the_websockets_own_rules_ends_the_session_with_the_reason() {
    let server = furnished();
    let before = state(&server);
    let put = b"REQUEST 1 PUT - a.leaf\n{\"value\":2}";
    let mut unmasked = vec![0x81, put.len() as u8];
    unmasked.extend_from_slice(put);
    let mut announced = vec![0x81, 0x80 | 127];
    announced.extend_from_slice(&(MAX_MESSAGE as u64 + 1).to_be_bytes());
    announced.extend_from_slice(&[0; 4]);
    let mut endless = vec![0x81, 0x80 | 127];
    endless.extend_from_slice(&(u64::MAX >> 1).to_be_bytes());
    endless.extend_from_slice(&[0; 4]);
    // Fragments which together are too long.
    let piece = vec![b'x'; 512 << 10];
    let pieces = [frame(0x01, &piece), frame(0x00, &piece), frame(0x00, &piece)].concat();
    for (bytes, wanted, what) in [
        (frame(0x82, put), 4000, "a binary frame"),
        (frame(0xc1, put), 1002, "a reserved bit"),
        (frame(0xa1, put), 1002, "a reserved bit"),
        (frame(0x91, put), 1002, "a reserved bit"),
        (frame(0x83, put), 1002, "an unknown opcode"),
        (frame(0x8b, b""), 1002, "an unknown control opcode"),
        (frame(0x80, put), 1002, "a continuation of nothing"),
        (frame(0x09, b"x"), 1002, "a control frame in fragments"),
        (frame(0x89, &[0; 126]), 1002, "a ping that is too long"),
        (frame(0x81, b"REQUEST 1 PUT - a.leaf\n\"\xff\""), 1007, "text that isn't UTF-8"),
        (unmasked, 1002, "a frame without a mask"),
        (announced, 1009, "a frame that is too long"),
        (endless, 1009, "a frame of half the world"),
        (pieces, 1009, "a message that is too long"),
    ] {
        for mut ws in [Ws::session(&server, "s", "local 2"), over_the_socket(&server)] {
            // The server may have hung up before it took all.
            let _ = ws.send_raw(&bytes);
            assert_eq!(closed(&mut ws), wanted, "{what}");
        }
    }
    assert_eq!(state(&server), before);
    assert_eq!(http(&server, "GET /_sessions", &[], "").text(), "[]");
}

fn over_the_socket(server: &Server) -> Ws {
    let mut ws = Ws::over(unix(server)).unwrap();
    ws.send("SESSION u local 2");
    assert!(ws.next().starts_with("SESSIONACK "));
    ws
}

#[test]
fn a_session_begins_with_one_session_frame() {
    let server = furnished();
    let before = state(&server);
    for first in [
        "REQUEST 1 PUT - a.leaf\n{\"value\":2}",
        "SUBSCRIBE a",
        "SESSION",
        "SESSION a.b local",
        "SESSION s everywhere",
        "SESSION s local 3",
        "SESSION s local 2 x",
    ] {
        let mut ws = Ws::connect(&server);
        ws.send(first);
        assert_eq!(closed(&mut ws), 4000, "{first}");
    }
    let mut twice = Ws::session(&server, "s", "local 2");
    twice.send("SESSION s local 2");
    assert_eq!(closed(&mut twice), 4000);
    let mut other = Ws::session(&server, "s", "local 2");
    other.send("REQUEST 1 PUT somebody-else a.leaf\n{\"value\":2}");
    assert_eq!(code(&other.next()), "bad_request");
    assert_eq!(state(&server), before);
}

#[test]
fn a_seq_that_still_waits_is_refused_and_the_first_is_answered() {
    let server = furnished();
    let mut owner = Ws::session(&server, "owner", "local 2");
    assert!(owner.ask(1, "PUT", "fn.f", r#"{"value":"%owner.f","ephemeral":true}"#).get("error").is_none());
    let mut caller = Ws::session(&server, "caller", "local 2");
    caller.send("REQUEST 5 RPC caller fn.f\n{\"args\":[1]}");
    let call = owner.next();
    let seq = call.split(' ').nth(1).unwrap().to_string();
    caller.send("REQUEST 5 GET caller a.leaf\n{}");
    assert_eq!(code(&caller.next()), "bad_request");
    owner.send(&format!("RESPONSE {seq} RPC owner\n\"done\""));
    let answer = caller.next();
    assert!(answer.starts_with("RESPONSE 5 RPC ") && answer.ends_with("{\"result\":\"done\"}"), "{answer}");
    // Answered, it may be used again.
    assert_eq!(caller.ask(5, "GET", "a.leaf", "").get("value").unwrap().to_string(), "1");
}

#[test]
fn both_listeners_do_the_same() {
    let server = Server::start();
    for (n, (mut writes, mut reads)) in
        [(Http::tcp(&server), Http::unix(&server)), (Http::unix(&server), Http::tcp(&server))]
            .into_iter()
            .enumerate()
    {
        let path = format!("/both/n{n}");
        assert_eq!(writes.call(&format!("PUT {path}"), &[], b"{\"x\":1}").unwrap().status, 200);
        let read = reads.call(&format!("GET {path}/"), &[], b"").unwrap();
        assert_eq!((read.status, read.text()), (200, "{\"x\":1}"));
        assert_eq!(
            read.header("etag"),
            writes.call(&format!("GET {path}"), &[], b"").unwrap().header("etag")
        );
        assert_eq!(writes.call(&format!("DELETE {path}/x"), &[], b"").unwrap().status, 200);
        assert_eq!(reads.call(&format!("GET {path}/x"), &[], b"").unwrap().status, 404);
    }
}
