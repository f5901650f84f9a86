use super::*;

fn parse(text: &str) -> Result<Head, Refusal> {
    match Finder::default().find(text.as_bytes())? {
        Some(len) => Head::parse(&text.as_bytes()[..len]),
        None => panic!("no end: {text:?}"),
    }
}

fn status(text: &str) -> u16 {
    parse(text).map_or_else(|refusal| refusal.status, |_| 200)
}

#[test]
fn a_head_says_what_the_request_is() {
    let text = "PUT http://h:1/a/b?x=1 HTTP/1.1\r\nhOST: other\r\nContent-Length:  5 \r\nIf-Match: \"1\"\r\n\
                Connection: foo , Close\r\nExpect: 100-Continue\r\nAccept: */*\r\n\r\nbody";
    let head = parse(text).unwrap();
    assert_eq!(head.len, text.len() - 4);
    let texts = head.texts(text.as_bytes());
    assert_eq!((texts.path, texts.query, texts.host), ("/a/b", "x=1", Some("h:1")));
    assert_eq!((texts.headers.if_match, texts.headers.accept), (Some("\"1\""), Some("*/*")));
    assert_eq!((head.body, head.method), (Body::Length(5), Some(Method::Put)));
    assert!(head.close && head.expects_continue && !head.http10 && !head.websocket);
}

#[test]
fn staying_open_depends_on_the_version_and_the_header() {
    for (version, connection, close) in [
        ("1.1", "", false),
        ("1.1", "Connection: close\r\n", true),
        ("1.1", "Connection: keep-alive\r\n", false),
        ("1.0", "", true),
        ("1.0", "Connection: Keep-Alive\r\n", false),
        ("1.0", "Connection: keep-alive, close\r\n", true),
    ] {
        let text = format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n");
        assert_eq!(parse(&text).unwrap().close, close, "{text:?}");
    }
}

#[test]
fn requests_that_two_readers_could_understand_differently_are_refused() {
    for (lines, wanted) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 200),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 9999999999999999999\r\n", 400),
        ("Content-Length : 5\r\n", 400),
        (" Content-Length: 5\r\n", 400),
        ("A: b\r\n folded\r\n", 400),
        ("A: b\r\n\tfolded\r\n", 400),
        ("A: b\nContent-Length: 5\r\n", 400),
        ("A: b\rContent-Length: 5\r\n", 400),
        ("A: b\0\r\n", 400),
        ("A\r\n", 400),
        (": b\r\n", 400),
        ("A b: c\r\n", 400),
        ("Transfer-Encoding: Chunked\r\n", 200),
        ("Transfer-Encoding: chunked, chunked\r\n", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: \x0bchunked\r\n", 400),
        ("Transfer-Encoding:\r\n", 501),
        ("Host: other\r\n", 400),
        ("Origin: a\r\nOrigin: a\r\n", 400),
        ("If-Match: \"1\"\r\nIf-Match: \"2\"\r\n", 400),
        ("Idempotency-Key: a\r\nIdempotency-Key: b\r\n", 400),
        ("Expect: 200-ok\r\n", 417),
        ("Accept: a\r\nAccept: b\r\n", 200),
    ] {
        assert_eq!(status(&format!("PUT /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n")), wanted, "{lines:?}");
    }
}

#[test]
fn request_lines_have_one_form() {
    for (line, wanted) in [
        ("GET / HTTP/1.1", 200),
        ("GET /a?b HTTP/1.1", 200),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 505),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET /", 400),
        ("GET a HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 200),
        ("GET http://h HTTP/1.1", 200),
        ("GET HTTP://h?a HTTP/1.1", 200),
        ("GET https://h/ HTTP/1.1", 400),
        ("GET http:///a HTTP/1.1", 400),
        ("GET http://u@h/a HTTP/1.1", 400),
        ("CONNECT h:1 HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("BREW /a HTTP/1.1", 200),
        ("G\u{e9}T / HTTP/1.1", 400),
    ] {
        assert_eq!(status(&format!("{line}\r\nHost: h\r\n\r\n")), wanted, "{line:?}");
    }
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn a_head_is_bounded_in_length_and_number() {
    let headers = |n: usize| {
        let lines: String = (0..n).map(|i| format!("A{i}: b\r\n")).collect();
        format!("GET / HTTP/1.0\r\n{lines}\r\n")
    };
    assert_eq!((status(&headers(64)), status(&headers(65))), (200, 431));
    let of = |len: usize| format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", "x".repeat(len - 23));
    assert_eq!((of(MAX_HEAD).len(), status(&of(MAX_HEAD)), status(&of(MAX_HEAD + 1))), (MAX_HEAD, 200, 431));
}

#[test]
fn the_end_is_found_wherever_the_bytes_are_cut() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET";
    for cut in 0..text.len() {
        let mut finder = Finder::default();
        let first = finder.find(&text[..cut]).unwrap();
        assert_eq!(first, (cut >= 27).then_some(27), "{cut}");
        if first.is_none() {
            assert_eq!(finder.find(text).unwrap(), Some(27));
        }
    }
}

#[test]
fn a_websocket_needs_both_headers() {
    for (lines, websocket) in [
        ("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", true),
        ("Connection: Upgrade\r\n", false),
        ("Upgrade: websocket\r\n", false),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", false),
    ] {
        let head = parse(&format!("GET /_pubsub HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).unwrap();
        assert_eq!(head.websocket, websocket, "{lines:?}");
    }
}
