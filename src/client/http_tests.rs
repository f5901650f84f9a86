//! The client against answers as bytes, and against servers that go away.

use std::net::TcpListener;

use super::*;

struct Canned(io::Cursor<Vec<u8>>);

impl Read for Canned {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // One byte at a time: every cut of an answer is met.
        let one = buf.len().min(1);
        self.0.read(&mut buf[..one])
    }
}

fn answer(text: &str) -> io::Result<(Answer, bool)> {
    answer_to(text, &Request { method: "GET", ..Request::default() })
}

fn answer_to(text: &str, request: &Request) -> io::Result<(Answer, bool)> {
    read_answer(&mut Canned(io::Cursor::new(text.as_bytes().to_vec())), request)
}

#[test]
fn an_answer_that_is_longer_than_wanted_is_a_refusal_that_isnt_asked_for_again() {
    let request = Request { method: "GET", ..Request::default() }.at_most(3);
    for (text, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", 413),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", 413),
        ("HTTP/1.1 200 OK\r\n\r\nabcd", 413),
    ] {
        let (got, kept) = answer_to(text, &request).unwrap();
        assert_eq!((got.status, kept), (status, status == 200), "{text}");
        assert_eq!(got.refusal().map(|refusal| refusal.code), (status == 413).then_some("too_large"));
    }
}

#[test]
fn an_answer_ends_where_its_head_says() {
    for (text, body, keep) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcREST", "abc", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX: y\r\n\r\n",
            "abc",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", "abc", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a", true),
    ] {
        let (got, kept) = answer(text).unwrap();
        assert_eq!((got.body.as_slice(), kept), (body.as_bytes(), keep), "{text}");
    }
}

#[test]
fn what_is_not_an_answer_is_refused() {
    for text in [
        "",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
    ] {
        assert!(answer(text).is_err(), "{text}");
    }
}

fn clear() -> Request {
    Request::of(&Route::Clear { by: None })
}

fn put() -> Request {
    let write = crate::api::route::Write::default();
    Request::of(&Route::Put { path: "a.b".parse().unwrap(), write, ephemeral: false })
}

#[test]
fn a_header_cannot_forge_another() {
    let request = put().body("1");
    let text =
        String::from_utf8(request.once("k\r\nEvil: 1").encode(&"h:1".parse::<Target>().unwrap().into()))
            .unwrap();
    assert_eq!(
        text,
        "PUT /a/b HTTP/1.1\r\nHost: h:1\r\nIdempotency-Key: kEvil: 1\r\nContent-Length: 1\r\n\r\n1"
    );
}

/// A server that treats its connections one by one as `script` says: `None` closes without an answer.
fn server(script: Vec<Option<&'static str>>) -> (Target, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    let thread = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for answer in script {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buf = Vec::new();
            while !buf.windows(4).any(|w| w == b"\r\n\r\n") {
                fill(&mut stream, &mut buf).unwrap();
            }
            seen.push(String::from_utf8(buf).unwrap());
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
        seen
    });
    (target, thread)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const READ_ONLY: &str =
    "HTTP/1.1 503 x\r\nConnection: close\r\n\r\n{\"error\":{\"code\":\"read_only\",\"message\":\"m\"}}";

#[test]
fn a_server_that_is_not_there_did_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut client = Client::new(Target::Tcp { host: "127.0.0.1".into(), port });
    assert!(matches!(client.call(&clear()), Err(Failure::NotReached(_))));
}

#[test]
fn a_write_without_an_answer_has_an_unknown_outcome() {
    let (target, thread) = server(vec![None]);
    let mut client = Client::new(target);
    assert!(matches!(client.call(&clear()), Err(Failure::Unknown(_))));
    assert_eq!(thread.join().unwrap().len(), 1);
}

#[test]
fn a_write_with_a_key_is_sent_again_with_the_same_key() {
    let (target, thread) = server(vec![None, Some(OK)]);
    let mut client = Client::new(target);
    let answer = client.call(&put().once("k1")).unwrap();
    assert_eq!(answer.status, 200);
    let seen = thread.join().unwrap();
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].contains("Idempotency-Key: k1\r\n"));
}

#[test]
fn the_refusal_of_a_repetition_leaves_the_outcome_unknown() {
    let (target, thread) = server(vec![None, Some(READ_ONLY), Some(READ_ONLY), Some(READ_ONLY)]);
    let mut client = Client::new(target);
    let outcome = client.call(&put().once("k1"));
    assert!(matches!(outcome, Err(Failure::Unknown(_))), "{outcome:?}");
    thread.join().unwrap();
    let (target, thread) = server(vec![Some(READ_ONLY)]);
    let answer = Client::new(target).call(&put().once("k1")).unwrap();
    assert_eq!(answer.refusal().unwrap().code, "read_only");
    thread.join().unwrap();
}

#[test]
fn request_ids_differ() {
    let (a, b) = (request_id().unwrap(), request_id().unwrap());
    assert!(a.len() == 32 && a != b && a.bytes().all(|byte| byte.is_ascii_hexdigit()));
}
