//! The promise of the door: requests end where they say, forge nothing, and come from where they may.

use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;

use crate::server::{Scratch, Server, run, serve_args, tega_command};
use crate::wire::{Answer, Http, Ws, http, http_unix, tcp, unix};

/// Sends bytes as they are on a connection of their own, and reads answers until the server hangs up or there are
/// `most`. None of the requests is a HEAD.
fn raw(server: &Server, bytes: impl AsRef<[u8]>, most: usize) -> Vec<Answer> {
    let mut connection = Http::tcp(server);
    connection.send(bytes.as_ref()).unwrap();
    let mut answers = Vec::new();
    while answers.len() < most
        && let Ok(answer) = connection.answer()
    {
        answers.push(answer);
    }
    answers
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

const FINE: &str = "DELETE /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_request_behind_one_with_unclear_framing_is_never_taken() {
    let server = Server::start();
    assert_eq!(http(&server, "PUT /a/leaf", &[], "1").status, 200);
    let put = "PUT /a/x HTTP/1.1\r\nHost: localhost\r\n";
    for (head, status) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n\r\n1", 400),
        ("Content-Length: +1\r\n\r\n1", 400),
        ("Content-Length: 1, 1\r\n\r\n1", 400),
        ("Content-Length: 0x1\r\n\r\n1", 400),
        ("Content-Length : 1\r\n\r\n1", 400),
        ("Content-Length:\r\n 1\r\n\r\n1", 400),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("Transfer-Encoding: identity\r\n\r\n", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n-1\r\n1\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n1\n1\n0\n\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\n11\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", 400),
        ("Content-Length: 1\n\n1", 400),
        ("Bad Header: 1\r\n\r\n", 400),
        ("\0: 1\r\n\r\n", 400),
    ] {
        let answers = raw(&server, format!("{put}{head}{FINE}"), 9);
        assert_eq!(statuses(&answers), [status], "{head:?}: {answers:?}");
        let answer = &answers[0];
        assert_eq!(answer.header("connection"), Some("close"), "{head:?}");
        assert_eq!(answer.code(), "bad_request", "{head:?}");
    }
    assert_eq!(http(&server, "GET /a", &[], "").text(), "{\"leaf\":1}");
}

#[test]
fn a_request_in_the_body_of_another_is_only_a_body() {
    let server = Server::start();
    assert_eq!(http(&server, "PUT /a/leaf", &[], "1").status, 200);
    let forged = format!("\"{}\"", FINE.replace("\r\n", "    "));
    let real = format!("{FINE:?}");
    let request = |body: &str| {
        format!("PUT /a/text HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    // Body of one, head of the next, in one write; and a body that isn't JSON but looks like a request.
    let get = "GET /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bytes =
        [request(&forged), get.into(), request(&real), get.into(), request(FINE), get.into()].concat();
    let answers = raw(&server, bytes, 6);
    assert_eq!(statuses(&answers), [200, 200, 200, 200, 400, 200]);
    assert_eq!(http(&server, "GET /a/leaf", &[], "").text(), "1");
}

#[test]
fn a_client_cant_claim_to_be_somebody_by_headers() {
    let server = Server::start();
    let claims = [
        ("Tega-Peer", "local"),
        ("Tega-Id", "root"),
        ("Tega-Secret", "x"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Forwarded", "for=10.0.0.1;host=evil"),
    ];
    assert_eq!(http(&server, "PUT /a/leaf", &claims, "1").status, 200);
    assert_eq!(http(&server, "GET /a/leaf", &claims, "").text(), "1");
    let history = http(&server, "GET /_history?root_oid=a", &claims, "");
    assert!(!history.text().contains("root\""), "{}", history.text());
    assert!(!history.text().contains("10.0.0.1"), "{}", history.text());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut bytes = String::new();
    for n in 0..200 {
        bytes += &format!("PUT /a/n HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{}", 100 + n);
        bytes += "GET /a/n HTTP/1.1\r\nHost: localhost\r\n\r\n";
    }
    let answers = raw(&server, bytes, 400);
    assert_eq!(answers.len(), 400);
    for (n, pair) in answers.chunks(2).enumerate() {
        assert_eq!((pair[0].status, pair[1].text()), (200, (100 + n).to_string().as_str()));
    }
}

#[test]
fn a_header_of_64_mebibytes_is_refused_without_being_kept() {
    let server = Server::start();
    let before =
        http(&server, "GET /_status", &[], "").json().get("rss_kb").and_then(|v| v.as_int()).unwrap();
    let mut writer: TcpStream = tcp(&server);
    let mut reader = Http::over(writer.try_clone().unwrap());
    let writing = std::thread::spawn(move || {
        let block = [b'x'; 64 << 10];
        let _ = writer.write_all(b"GET /a HTTP/1.1\r\nHost: localhost\r\nX: ");
        // The server may hang up at any point: it needs no more of this.
        (0..1024).take_while(|_| writer.write_all(&block).is_ok()).count()
    });
    assert_eq!(reader.answer().unwrap().status, 431);
    assert!(reader.rest().is_empty());
    drop(reader);
    writing.join().unwrap();
    let after = http(&server, "GET /_status", &[], "").json().get("rss_kb").and_then(|v| v.as_int()).unwrap();
    assert!(after - before < 16 << 10, "{before} kB, then {after} kB");
    // As many small ones are no better.
    let many: String = (0..65).map(|n| format!("X-{n}: 1\r\n")).collect();
    let answers = raw(&server, format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{many}\r\n{FINE}"), 9);
    assert_eq!(statuses(&answers), [431]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(17 << 10));
    assert_eq!(statuses(&raw(&server, long, 9)), [431]);
}

#[test]
fn a_websocket_may_begin_on_a_connection_that_was_used_before() {
    let server = Server::start();
    let stream = tcp(&server);
    let mut before = Http::over(stream.try_clone().unwrap());
    assert_eq!(before.call("PUT /a/leaf", &[], b"1").unwrap().status, 200);
    assert_eq!(before.call("GET /a/none", &[], b"").unwrap().status, 404);
    let mut ws = Ws::over(stream).unwrap();
    ws.send("SESSION late local 2");
    assert!(ws.next().starts_with("SESSIONACK "));
    assert_eq!(ws.ask(1, "GET", "a.leaf", "").get("value").unwrap().to_string(), "1");
    // An upgrade to what isn't a WebSocket is only a request.
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "h2c")];
    assert_eq!(http(&server, "GET /a/leaf", &upgrade, "").text(), "1");
    let websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    assert_eq!(http(&server, "GET /a/leaf", &websocket, "").text(), "1");
    assert_eq!(http(&server, "GET /_pubsub", &websocket, "").status, 400);
}

#[test]
fn only_pages_of_this_server_are_served() {
    let server = Server::start();
    let port = server.address().port();
    let own = format!("localhost:{port}");
    let (origin, slash, other_port) =
        (format!("http://{own}"), "http://localhost/", format!("http://localhost:{}", port ^ 1));
    let status = |line: &str, headers: &[(&str, &str)]| {
        let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: 1\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        raw(&server, format!("{request}\r\n1"), 1)[0].status
    };
    for (headers, good) in [
        (vec![("Host", own.as_str())], true),
        (vec![("Host", "127.0.0.1")], true),
        (vec![("Host", "[::1]:1")], true),
        (vec![("Host", "evil.example")], false),
        (vec![("Host", "localhost.evil.example")], false),
        (vec![("Host", "127.0.0.1.nip.io:8739")], false),
        (vec![("Host", "")], false),
        (vec![("Host", &own), ("Origin", &origin)], true),
        (vec![("Host", &own), ("Origin", slash)], true),
        (vec![("Host", &own), ("Origin", &other_port)], false),
        (vec![("Host", &own), ("Origin", "null")], false),
        (vec![("Host", &own), ("Origin", "")], false),
        (vec![("Host", &own), ("Origin", "http://evil.example")], false),
        (vec![("Host", &own), ("Origin", "http://evil.example/")], false),
        (vec![("Host", &own), ("Origin", "http://localhost")], false),
        (vec![("Host", &own), ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")], true),
    ] {
        let wanted = if good { 200 } else { 403 };
        assert_eq!(status("PUT /a/leaf", &headers), wanted, "{headers:?}");
    }
    // A GET that has an effect isn't for a link on somebody's page.
    for (site, wanted) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        assert_eq!(status("GET /_reload", &[("Host", &own), ("Sec-Fetch-Site", site)]), wanted, "{site}");
        assert_eq!(status("GET /_roots", &[("Host", &own), ("Sec-Fetch-Site", site)]), 200, "{site}");
    }
    for (headers, answers) in [
        (vec![("Origin", "http://evil.example")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Origin", "http://localhost/")], 101),
        (vec![], 101),
    ] {
        let mut request = String::from(
            "GET /_pubsub HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        );
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        let mut connection = Http::tcp(&server);
        connection.send(format!("{request}\r\n").as_bytes()).unwrap();
        assert_eq!(connection.head().unwrap().0, answers, "{headers:?}");
    }
    // No browser gets to the local socket, so any name will do there.
    let mut local = Http::over(unix(&server));
    local.send(b"GET /a/leaf HTTP/1.1\r\nHost: anything\r\n\r\n").unwrap();
    assert_eq!(local.answer().unwrap().status, 200);
}

#[test]
fn a_body_may_come_in_chunks_and_be_asked_for() {
    let server = Server::start();
    let head = "PUT /a/leaf HTTP/1.1\r\nHost: localhost\r\n";
    let chunked = format!(
        "{head}Transfer-Encoding: Chunked\r\n\r\n2;name=\"va;lue\"\r\n[1\r\n0003\r\n,2]\r\n0\r\nTrailer: x\r\n\r\n"
    );
    let get = "GET /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answers = raw(&server, format!("{chunked}{get}"), 2);
    assert_eq!((answers[0].status, answers[1].text()), (200, "[1,2]"));
    // The body is sent once the server says that it wants it, and not at all where it doesn't.
    let mut asking = Http::tcp(&server);
    asking.send(format!("{head}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(asking.head().unwrap().0, 100);
    asking.send(b"7").unwrap();
    assert_eq!(asking.answer().unwrap().status, 200);
    asking.send(format!("{head}Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(asking.head().unwrap().0, 413);
    assert_eq!(
        statuses(&raw(&server, format!("{head}Expect: a-miracle\r\nContent-Length: 1\r\n\r\n"), 9)),
        [417]
    );
    assert_eq!(http(&server, "GET /a/leaf", &[], "").text(), "7");
}

#[test]
fn old_clients_and_heads_are_served() {
    let server = Server::start();
    assert_eq!(http(&server, "PUT /a/leaf", &[], "1").status, 200);
    // HTTP/1.0: no Host needed, and the end of the connection is the end of the answer unless it asks to stay.
    let mut old = Http::tcp(&server);
    old.send(b"GET /a/leaf HTTP/1.0\r\n\r\n").unwrap();
    let answer = old.answer().unwrap();
    assert_eq!((answer.status, answer.text(), answer.header("connection")), (200, "1", Some("close")));
    assert!(old.rest().is_empty());
    let mut stays = Http::tcp(&server);
    for _ in 0..2 {
        stays.send(b"GET /a/leaf HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let answer = stays.answer().unwrap();
        assert_eq!((answer.text(), answer.header("connection")), ("1", Some("keep-alive")));
    }
    // HEAD: the head of the GET, and nothing behind it that the next answer could be taken for.
    let mut head = Http::tcp(&server);
    head.send(
        b"HEAD /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\nGET /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .unwrap();
    let (status, headers) = head.head().unwrap();
    assert_eq!(status, 200);
    let get = head.answer().unwrap();
    assert_eq!(get.text(), "1");
    let without_date = |headers: &[(String, String)]| {
        let kept = headers.iter().filter(|(name, _)| name != "Date");
        kept.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
    };
    assert_eq!(without_date(&headers), without_date(&get.headers));
    let options = http(&server, "OPTIONS /a/leaf", &[], "");
    assert!(options.header("allow").is_some_and(|allow| allow.contains("PUT")), "{options:?}");
    for (first, status) in [
        ("GET /a/leaf HTTP/2.0\r\n\r\n", 505),
        ("GET /a/leaf HTTP/1.1\r\n\r\n", 400),
        ("GET a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET  /a/leaf HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    ] {
        assert_eq!(statuses(&raw(&server, first, 9)), [status], "{first:?}");
    }
}

#[test]
fn etags_make_writes_conditional_and_reads_cheap() {
    let server = Server::start();
    let put = |headers: &[(&str, &str)], body: &str| http(&server, "PUT /a/leaf", headers, body);
    let first = put(&[("If-None-Match", "*")], "1");
    assert_eq!(first.status, 200);
    let tag = first.header("etag").unwrap().to_string();
    assert_eq!(put(&[("If-None-Match", "*")], "2").status, 412);
    let read = http(&server, "GET /a/leaf", &[], "");
    assert_eq!(read.header("etag"), Some(tag.as_str()));
    let same = http(&server, "GET /a/leaf", &[("If-None-Match", &tag)], "");
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, Some(tag.as_str())));
    let second = put(&[("If-Match", &tag)], "2");
    assert_eq!(second.status, 200);
    let stale = put(&[("If-Match", &tag)], "3");
    assert_eq!((stale.status, stale.code().as_str()), (412, "conflict"));
    assert_eq!(http(&server, "DELETE /a/leaf", &[("If-Match", &tag)], "").status, 412);
    assert_eq!(http(&server, "GET /a/leaf", &[("If-None-Match", &tag)], "").text(), "2");
    // A root that was cleared away and made again has other tags, whatever its version.
    assert_eq!(http(&server, "POST /_clear", &[], "").status, 200);
    assert_eq!(put(&[], "1").status, 200);
    assert_eq!(put(&[("If-Match", &tag)], "3").status, 412);
    assert_eq!(put(&[("If-Match", "nonsense")], "3").status, 400);
    assert_eq!(http(&server, "GET /a/leaf", &[], "").text(), "1");
}

#[test]
fn the_same_request_id_has_the_same_outcome_also_after_a_crash() {
    let mut server = Server::start();
    let key = [("Idempotency-Key", "the-first")];
    let first = http(&server, "PUT /a/leaf", &key, "1");
    assert_eq!((first.status, first.header("tega-version")), (200, Some("a=0")));
    assert_eq!(http(&server, "PUT /a/leaf", &[], "2").status, 200);
    for _ in 0..2 {
        for again in [http(&server, "PUT /a/leaf", &key, "1"), http_unix(&server, "PUT /a/leaf", &key, "1")] {
            assert_eq!((again.status, again.header("tega-version")), (200, Some("a=0")));
            assert_eq!(again.header("tega-position"), first.header("tega-position"));
        }
        let other = http(&server, "PUT /a/leaf", &key, "3");
        assert_eq!((other.status, other.code().as_str()), (400, "bad_request"));
        assert_eq!(http(&server, "GET /a/leaf", &[], "").text(), "2");
        assert_eq!(http(&server, "GET /_roots", &[], "").text(), "{\"a\":1}");
        server.kill();
        server.restart();
    }
    for bad in ["", "\"\"", &"x".repeat(65)] {
        assert_eq!(http(&server, "PUT /a/leaf", &[("Idempotency-Key", bad)], "4").status, 400, "{bad:?}");
    }
}

#[test]
fn beyond_loopback_it_listens_only_where_that_is_said() {
    let dir = Scratch::new();
    let args = serve_args(dir.path(), &["--listen".into(), "0.0.0.0:0".into()]);
    let (code, out, err) = run(tega_command().args(&args).stdout(Stdio::piped()), "");
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("--insecure"), "{err}");
}
