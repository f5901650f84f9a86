//! The promise to the original's drivers: what they send, byte by byte, is answered as they expect.
//!
//! The transcripts are what the Python driver (`httplib2`) and the Go driver (`net/http`, `x/net/websocket`) put on the
//! wire. With `TEGA_ORIGINAL=DIR`, a checkout of the original, its own Python driver runs too; that needs a `python3`
//! (`TEGA_PYTHON` names another) with `httplib2` and `tornado`.

use std::process::Command;

use crate::server::{Server, run};
use crate::wire::{Answer, Frame, Http, Ws, json, tcp};

/// The Python driver: one kept connection, and an ID that is a UUID unless it's given one.
struct Python {
    connection: Http,
    port: u16,
}

const PYTHON_ID: &str = "3f2b8c1e-6d54-4a8b-9a55-0c6f9d2e7b10";

impl Python {
    fn new(server: &Server) -> Python {
        Python { connection: Http::tcp(server), port: server.address().port() }
    }

    /// A request as `httplib2` writes it; `None`: no body at all.
    fn request(&mut self, method: &str, target: &str, body: Option<&str>) -> Answer {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: localhost:{}\r\n", self.port);
        if body.is_some() || method == "POST" || method == "PUT" {
            bytes += &format!("Content-Length: {}\r\n", body.map_or(0, str::len));
        }
        bytes += "content-type: application/json\r\naccept: application/json\r\nconnection: Keep-Alive\r\n\
                  user-agent: Python-httplib2/0.9.2 (gzip)\r\naccept-encoding: gzip, deflate\r\n\r\n";
        bytes += body.unwrap_or_default();
        self.connection.send(bytes.as_bytes()).unwrap();
        self.connection.answer().unwrap()
    }

    #[track_caller]
    fn expect(&mut self, method: &str, target: &str, body: Option<&str>, answer: &str) {
        let got = self.request(method, target, body);
        assert_eq!((got.status, got.text()), (200, answer), "{method} {target}");
    }
}

#[test]
fn the_python_drivers_calls_are_answered_as_it_expects() {
    let server = Server::start();
    let mut python = Python::new(&server);
    let id = PYTHON_ID;
    // put, get, delete: dots are slashes, with one at the end.
    python.expect("PUT", &format!("/r/a/?tega_id={id}"), Some(r#"{"x": 1, "y": {"z": "ä"}}"#), "");
    python.expect("PUT", &format!("/r/a/y/?tega_id={id}&version=0"), Some(r#"{"z": true}"#), "");
    python.expect("GET", &format!("/r/a/?tega_id={id}"), None, r#"{"x":1,"y":{"z":true}}"#);
    python.expect("GET", &format!("/r/a/y/z/?tega_id={id}"), None, "true");
    python.expect("GET", &format!("/r/?tega_id={id}&version=-1"), None, r#"{"a":{"x":1,"y":{"z":"ä"}}}"#);
    let internal = python.request("GET", &format!("/r/a/x/?tega_id={id}&internal=True"), None);
    let leaf = r#"{"_ephemeral":false,"_oid":"x","_parent":"a","_value":1,"_version":0}"#;
    assert_eq!(internal.json().to_string(), json(leaf).to_string());
    python.expect("DELETE", &format!("/r/a/x/?tega_id={id}"), None, "");
    // What it turns into a CRUDException.
    assert_eq!(python.request("GET", &format!("/r/a/x/?tega_id={id}"), None).status, 404);
    assert_eq!(python.request("PUT", &format!("/r/a/y/?tega_id={id}&version=7"), Some("{}")).status, 409);
    // A transaction.
    let begun = python.request("POST", &format!("/_begin?tega_id={id}"), None).json();
    let txid = begun.get("txid").unwrap().as_str().unwrap().to_string();
    python.expect("PUT", &format!("/r/b/?txid={txid}&tega_id={id}"), Some("[1, 2]"), "");
    python.expect("GET", &format!("/r/b/?txid={txid}&tega_id={id}"), None, "[1,2]");
    assert_eq!(python.request("GET", &format!("/r/b/?tega_id={id}"), None).status, 404);
    python.expect("POST", &format!("/_cand?txid={txid}"), None, r#"{"r":{"a":{"y":{"z":true}},"b":[1,2]}}"#);
    python.expect("POST", &format!("/_commit?txid={txid}"), None, "");
    assert_eq!(python.request("POST", &format!("/_commit?txid={txid}"), None).status, 404);
    python.expect("GET", &format!("/r/b/?tega_id={id}"), None, "[1,2]");
    // The commands.
    python.expect("GET", "/_roots", None, r#"{"r":3}"#);
    python.expect("GET", "/_old", None, r#"[{"r":[0,1,2]}]"#);
    for (name, empty) in [
        ("channels", "{}"),
        ("subscribers", "{}"),
        ("ids", "[]"),
        ("global", "[]"),
        ("forwarders", "[]"),
        ("plugins", "{}"),
    ] {
        python.expect("GET", &format!("/_{name}"), None, empty);
    }
    python.expect("POST", "/_rollback?root_oid=r&backto=-1", None, "");
    assert_eq!(python.request("GET", &format!("/r/b/?tega_id={id}"), None).status, 404);
    python.expect("POST", &format!("/_ss?tega_id={id}"), None, "");
    assert_eq!(python.request("POST", "/_sync", None).status, 404);
    python.expect("POST", "/_clear", None, "");
    python.expect("GET", "/_roots", None, "{}");
}

#[test]
fn a_regex_is_found_as_the_drivers_write_it() {
    let server = Server::start();
    let mut python = Python::new(&server);
    for (path, value) in [("r-a/a", "1"), ("r-b/a", "2"), ("s/a", "3")] {
        python.expect("PUT", &format!("/{path}/?tega_id=x"), Some(value), "");
    }
    // (r)-(.*)\.(.*) with every dot as a slash: of two regexes, each with its groups.
    let found = python.request("GET", "/(r)-(/*)\\/(/*)/?tega_id=x&regex_flag=True", None);
    let wanted = r#"{"r-a.a":{"groups":[["r","a"],["a"]],"instance":1},"r-b.a":{"groups":[["r","b"],["a"]],"instance":2}}"#;
    assert_eq!((found.status, found.json().to_string()), (200, json(wanted).to_string()));
    python.expect("GET", "/r-z%5C.a/?tega_id=x&regex_flag=True", None, "{}");
    // False, in any spelling, is a path.
    for flag in ["False", "false", "0"] {
        python.expect("GET", &format!("/s/a/?tega_id=x&regex_flag={flag}"), None, "3");
    }
}

/// The Go driver: a WebSocket, and a client of its own for each REST call.
struct Go {
    server: u16,
    ws: Ws,
    address: std::net::SocketAddr,
}

impl Go {
    /// As `NewOperation`: the handshake of `x/net/websocket`, SESSION, and SUBSCRIBE to its own ID at once.
    fn new(server: &Server, tega_id: &str) -> Go {
        let (port, mut stream) = (server.address().port(), tcp(server));
        // The harness's handshake knows no Origin, so this one goes by hand and the harness takes over behind it.
        let handshake = format!(
            "GET /_pubsub HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==\r\nOrigin: http://localhost/\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        );
        std::io::Write::write_all(&mut stream, handshake.as_bytes()).unwrap();
        let mut ws = Ws::over(Opened(stream)).unwrap();
        ws.send(&format!("SESSION {tega_id} local"));
        ws.send(&format!("SUBSCRIBE {tega_id} local False"));
        assert!(ws.next().starts_with("SESSIONACK "));
        Go { server: port, ws, address: server.address() }
    }

    fn rest(&self, method: &str, target: &str, body: &str) -> Answer {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: localhost:{}\r\n", self.server);
        bytes += "User-Agent: Go-http-client/1.1\r\n";
        if !body.is_empty() {
            bytes += &format!("Content-Length: {}\r\n", body.len());
        }
        bytes += "Accept-Encoding: gzip\r\n\r\n";
        let mut connection = Http::try_tcp(self.address).unwrap();
        connection.send((bytes + body).as_bytes()).unwrap();
        connection.answer().unwrap()
    }

    /// The next frame as the driver takes it apart: it panics where there's no second line.
    #[track_caller]
    fn frame(&mut self) -> (String, String) {
        let frame = self.ws.next();
        let lines: Vec<&str> = frame.split('\n').collect();
        assert_eq!(lines.len(), 2, "the driver reads two lines: {frame}");
        json(lines[1]);
        (lines[0].to_string(), lines[1].to_string())
    }
}

/// A connection on which a handshake was sent already: the one of the harness is swallowed.
struct Opened(std::net::TcpStream);

impl std::io::Read for Opened {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl std::io::Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.starts_with(b"GET ") { Ok(bytes.len()) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_go_drivers_crud_and_pubsub_are_answered_as_it_expects() {
    let server = Server::start();
    let mut go = Go::new(&server, "anonymous");
    let mut other = Go::new(&server, "other");
    let put = go.rest("PUT", "/r/a/?tega_id=anonymous", r#"{"b":1}"#);
    assert_eq!((put.status, put.body.len()), (200, 0));
    assert_eq!(go.rest("PUT", "/r/a/?tega_id=anonymous&version=0", r#"{"b":2}"#).status, 200);
    assert_eq!(go.rest("GET", "/r/a/?tega_id=anonymous", "").text(), r#"{"b":2}"#);
    assert_eq!(go.rest("DELETE", "/r/a/?tega_id=anonymous", "").status, 200);
    // NOTIFY: the other's changes, not its own.
    go.ws.send("SUBSCRIBE r local False");
    go.ws.send(r"SUBSCRIBE x\.(a|b) local True");
    go.ws.send("REQUEST 1 GET None -\n{}");
    assert!(go.frame().0.starts_with("RESPONSE 1 "));
    assert_eq!(go.rest("PUT", "/r/own/?tega_id=anonymous", "1").status, 200);
    assert_eq!(go.rest("PUT", "/r/a/?tega_id=other", r#"{"b":3}"#).status, 200);
    let notify = r#"[{"ope":"PUT","path":"r.a","tega_id":"other","instance":{"b":3}}]"#;
    assert_eq!(go.frame(), ("NOTIFY".into(), notify.into()));
    assert_eq!(go.rest("DELETE", "/r/a/?tega_id=other", "").status, 200);
    let notify = r#"[{"ope":"DELETE","path":"r.a","tega_id":"other","instance":{"b":3}}]"#;
    assert_eq!(go.frame(), ("NOTIFY".into(), notify.into()));
    assert_eq!(go.rest("PUT", "/x/b/?tega_id=other", "null").status, 200);
    let notify = r#"[{"ope":"PUT","path":"x.b","tega_id":"other","instance":null}]"#;
    assert_eq!(go.frame(), ("NOTIFY".into(), notify.into()));
    // MESSAGE, twice wrapped as the driver does it.
    other.ws.send("PUBLISH r\n{\"message\":{\"message\":\"hi\"}}");
    assert_eq!(go.frame(), ("MESSAGE r other".into(), r#"{"message":{"message":"hi"}}"#.into()));
    // UNSUBSCRIBE isn't echoed: that would kill the driver.
    for frame in ["UNSUBSCRIBE r False", r"UNSUBSCRIBE x\.(a|b) True", "REQUEST 2 GET None r.own\n{}"] {
        go.ws.send(frame);
    }
    assert_eq!(go.frame().1, r#"{"value":1,"version":3}"#);
    // What it does beside the contract is refused and leaves the session alive.
    assert_eq!(go.rest("PATCH", "/r/own/?tega_id=anonymous", "").status, 405);
    go.ws.send("REQUEST 3 GET None r.own\n{}");
    assert!(go.frame().0.starts_with("RESPONSE 3 "));
}

#[test]
fn the_go_drivers_rpcs_are_registered_and_called_as_it_does() {
    let server = Server::start();
    let mut serving = Go::new(&server, "server1");
    let mut calling = Go::new(&server, "anonymous");
    // RegisterRpc: an ephemeral leaf; Values.Encode sorts the query.
    let leaf = r#""%server1.Hello""#;
    assert_eq!(serving.rest("PUT", "/fn/hello/?ephemeral=True&tega_id=server1", leaf).status, 200);
    assert_eq!(calling.rest("GET", "/fn/hello/?tega_id=anonymous", "").text(), leaf);
    // Rpc(): a PUT of args and kwargs onto the leaf; the answer of the owner is `{"result": …}`, unwrapped once.
    for (target, method, body) in [
        ("/fn/hello/?tega_id=anonymous", "PUT", r#"{"args":["you",1],"kwargs":{"x":null}}"#),
        ("/_rpc?tega_id=anonymous&path=fn.hello", "POST", r#"{"args": ["you",1], "kwargs": {"x":null}}"#),
    ] {
        let mut caller = Http::try_tcp(server.address()).unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        caller.send(request.as_bytes()).unwrap();
        let (line, arguments) = serving.frame();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(
            (words.len(), words[0], &words[2..]),
            (5, "REQUEST", &["RPC", "anonymous", "fn.hello"][..])
        );
        assert_eq!(json(&arguments).to_string(), json(body).to_string());
        serving.ws.send(&format!(
            "RESPONSE {} RPC {}\n{{\"result\":{{\"said\":[\"hello\"]}}}}",
            words[1], words[3]
        ));
        let answer = caller.answer().unwrap();
        assert_eq!((answer.status, answer.text()), (200, r#"{"result":{"said":["hello"]}}"#));
    }
    // It never became versions, and goes with the driver.
    assert!(!calling.rest("GET", "/_roots", "").text().contains("fn\":1"));
    serving.ws.send_raw(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    assert!(matches!(serving.ws.try_next(), Ok(Frame::Closed(..)) | Err(_)));
    calling.ws.send("REQUEST 1 RPC None fn.hello\n{}");
    // The session's end and this call may meet; either way nobody serves it.
    let (_, body) = calling.frame();
    assert!(body.contains("not_found") || body.contains("no_owner"), "{body}");
}

/// What the original's own Python driver is made to do.
const SCRIPT: &str = r#"
import collections, collections.abc, sys
collections.MutableMapping = collections.abc.MutableMapping
sys.path.insert(0, sys.argv[1])
import tornado, tornado.gen, tornado.websocket
from tega.driver.driver import Driver, CRUDException
from tega.tree import Cont
d = Driver(host='localhost', port=int(sys.argv[2]), tega_id='python')
r = Cont('r')
r.a.b = 1
d.put(r.a)
assert d.get('r.a', python_dict=True) == {'b': 1}
assert d.get('r.a.b') == 1
r.a.b = 2
d.put(r.a, version=0)
try:
    d.put(r.a, version=0)
    raise SystemExit('a collision was taken')
except CRUDException as error:
    assert '409' in str(error)
d.begin()
r.c = 'x'
d.put(r.c)
d.commit()
assert d.get('r.c') == 'x'
assert d.roots()[2] == {'r': 2}
assert d.rollback('r', -1)[0] == 200
try:
    d.get('r.c')
    raise SystemExit('nothing was rolled back')
except CRUDException as error:
    assert '404' in str(error)
d.delete('r.a')
assert d.ss()[0] == 200
assert d.clear()[0] == 200
assert d.roots()[2] == {}
print('fine')
"#;

#[test]
fn the_originals_own_python_driver_works_where_it_is_at_hand() {
    let Some(original) = std::env::var_os("TEGA_ORIGINAL") else {
        eprintln!("passed over: TEGA_ORIGINAL=DIR names no checkout of the original");
        return;
    };
    let python = std::env::var_os("TEGA_PYTHON").unwrap_or_else(|| "python3".into());
    let server = Server::start();
    let mut command = Command::new(python);
    command.arg("-c").arg(SCRIPT).arg(original).arg(server.address().port().to_string());
    let (code, out, err) = run(&mut command, "");
    assert_eq!((code, out.trim()), (0, "fine"), "{err}");
}
