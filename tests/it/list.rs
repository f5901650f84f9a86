//! A tree of any size can be looked around in: a page of children at a time, and searched a piece at a time.

use std::time::Instant;

use tega::value::Value;

use crate::proxy::Proxy;
use crate::server::{Scratch, Server, eventually, run, tega_command};
use crate::wire::{Answer, Http, http, http_unix};

#[track_caller]
fn get(server: &Server, target: &str) -> Value {
    let answer = http_unix(server, &format!("GET {target}"), &[], "");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

#[track_caller]
fn put(server: &Server, path: &str, body: &str) {
    let answer = http_unix(server, &format!("PUT {path}"), &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

/// A member of each item of a list.
fn each<'a>(value: &'a Value, list: &str, name: &str) -> Vec<&'a str> {
    let items = value.get(list).and_then(Value::as_list).unwrap().items();
    items.iter().map(|item| item.get(name).and_then(Value::as_str).unwrap()).collect()
}

fn code(value: &Value) -> Option<&str> {
    value.get("refusal")?.get("code")?.as_str()
}

#[test]
fn a_tree_is_paged_through_and_searched_by_http() {
    let server = Server::start();
    put(&server, "/lan", r#"{"hosts":{"192.168.1.1":{"mac":"aa"},"b":{"mac":"bb"},"c":{}},"mtu":1500}"#);
    put(&server, "/log", &format!("{{\"text\":\"{}\"}}", "é".repeat(5_000)));
    let page = get(&server, "/_list?path=lan.hosts&limit=2");
    assert_eq!(each(&page, "rows", "key"), ["192.168.1.1", "b"]);
    assert_eq!(page.get("more"), Some(&Value::Bool(true)));
    assert_eq!(each(&get(&server, "/_list?path=lan.hosts&limit=2&after=b"), "rows", "key"), ["c"]);
    assert_eq!(each(&get(&server, "/_list?path=/lan/hosts&prefix=192"), "rows", "key"), ["192.168.1.1"]);
    assert_eq!(each(&get(&server, "/_list"), "rows", "key"), ["lan", "log"]);
    let long = get(&server, "/_list?path=log.text");
    let start = long.get("row").and_then(|row| row.get("start")).and_then(Value::as_str);
    assert_eq!(start, Some("é".repeat(200).as_str()));
    let found = get(&server, "/_find?text=MAC&regex_flag=False");
    assert_eq!(each(&found, "found", "path"), [""; 0]);
    let found = get(&server, "/_find?text=mac&in=keys&limit=1");
    assert_eq!(each(&found, "found", "path"), [r#"lan.hosts["192.168.1.1"].mac"#]);
    let next = found.get("next").and_then(Value::as_str).unwrap();
    assert_eq!(next, r#"lan.hosts["192.168.1.1"].mac"#);
    let rest = get(&server, "/_find?text=mac&in=keys&limit=1&after=lan.hosts%5B%22192.168.1.1%22%5D.mac");
    assert_eq!(each(&rest, "found", "path"), ["lan.hosts.b.mac"]);
    let refused = http_unix(&server, "GET /_find?text=(%3F%3Ca&regex_flag=True", &[], "");
    assert_eq!((refused.status, refused.code().as_str()), (400, "bad_request"));
    assert_eq!(http_unix(&server, "POST /_list", &[], "").status, 405);
}

#[test]
fn a_token_pages_and_searches_what_it_may_read_only() {
    let dir = Scratch::new();
    let data = dir.path().join("data");
    let args = format!("token new t --read a.b.c --write a.b.d --data {}", data.display());
    let (done, secret, said) = run(tega_command().args(args.split(' ')), "");
    assert_eq!(done, 0, "{said}");
    let server = Server::within(dir, &[]);
    put(&server, "/a", r#"{"b":{"c":1,"d":2},"e":3}"#);
    put(&server, "/z", r#"{"c":1}"#);
    let bearer = format!("Bearer {}", secret.trim());
    let as_t = |line: &str| -> Answer { http(&server, line, &[("Authorization", &bearer)], "") };
    assert_eq!(each(&as_t("GET /_list").json(), "rows", "key"), ["a"]);
    assert_eq!(each(&as_t("GET /_list?path=a").json(), "rows", "key"), ["b"]);
    assert_eq!(each(&as_t("GET /_find?text=").json(), "found", "path"), ["a.b.c"]);
    assert_eq!(code(&as_t("GET /_list?path=a.b.c").json()), Some("forbidden"));
    assert_eq!((as_t("GET /_list?path=z").status, as_t("GET /_find?path=a.e").status), (403, 403));
    assert_eq!(http(&server, "GET /_list", &[], "").status, 401);
}

#[test]
fn a_replica_says_whose_a_root_is_how_old_and_whether_it_can_be_written() {
    let global = Server::with(&["--id", "global"]);
    put(&global, "/conf/a", "1");
    let proxy = Proxy::start(Some(global.address()));
    let through = format!("ws://{}", proxy.address());
    let local =
        Server::with(&["--id", "r1", "--global", &through, "--config", "conf", "--operational", "op"]);
    put(&local, "/op/b", "2");
    eventually("conf is there", || http_unix(&local, "GET /conf/a", &[], "").status == 200);
    let row = |server: &Server, root: &str| {
        let rows = get(server, "/_list");
        let rows = rows.get("rows").and_then(Value::as_list).unwrap().items().to_vec();
        rows.into_iter().find(|row| row.get("key").and_then(Value::as_str) == Some(root)).unwrap()
    };
    let conf = row(&local, "conf");
    assert_eq!(conf.get("home").and_then(Value::as_str), Some("global"));
    assert!(conf.get("stale_ms").and_then(Value::as_int).is_some_and(|ms| ms < 30_000), "{conf}");
    assert_eq!((conf.get("here"), conf.get("problem")), (Some(&Value::Bool(false)), None));
    assert_eq!(row(&local, "op").get("stale_ms"), Some(&Value::Null));
    eventually("op is there", || http_unix(&global, "GET /op/b", &[], "").status == 200);
    assert_eq!(row(&global, "op").get("home").and_then(Value::as_str), Some("r1"));
    let of =
        |server: &Server, path: &str| code(&get(server, &format!("/_list?path={path}"))).map(str::to_string);
    assert_eq!((of(&local, "conf.a"), of(&local, "op"), of(&global, "op.b")), (None, None, None));

    proxy.down(true);
    eventually("conf can't be written", || of(&local, "conf.a").as_deref() == Some("no_link"));
    assert!(row(&local, "conf").get("problem").and_then(Value::as_str).is_some());
    eventually("op can't be written there", || of(&global, "op.b").as_deref() == Some("no_link"));
    assert_eq!(of(&local, "op"), None);
    let told = http_unix(&local, "PUT /conf/a", &[], "2");
    assert_eq!((told.status, told.code().as_str()), (503, "no_link"));
}

/// A million leaves, and what a page, a piece of a search and the continuation of one cost.
#[test]
#[ignore = "measures"]
fn a_million_leaves() {
    let server = Server::with(&["--durability", "none"]);
    let below: Vec<String> = (0..100)
        .map(|y| {
            let leaves: Vec<String> = (0..100).map(|z| format!("\"k{z:02}\":{}", y * 100 + z)).collect();
            format!("\"k{y:02}\":{{{}}}", leaves.join(","))
        })
        .collect();
    let below = format!("{{{}}}", below.join(","));
    for x in 0..100 {
        put(&server, &format!("/big/k{x:02}"), &below);
    }
    let mut http = Http::unix(&server);
    let all = "GET /_find?text=no-such-text&limit=1";
    for target in [
        "GET /_list?path=big",
        "GET /_list?path=big.k50.k50",
        "GET /_list?path=big.k50.k50.k50",
        "GET /_list",
        all,
        "GET /_find?text=no-such-text&after=big.k97.k99.k99",
        "GET /_find?text=no-such-text&after=big.k99.k99.k98",
        "GET /_find?text=zz%5B0-9%5D&regex_flag=True",
        "GET /_find?path=big.k70&limit=40",
        "GET /_find?path=big.k70&limit=1000",
    ] {
        let mut took: Vec<u128> = (0..50)
            .map(|_| {
                let begun = Instant::now();
                let answer = http.call(target, &[], b"").unwrap();
                assert_eq!(answer.status, 200);
                begun.elapsed().as_micros()
            })
            .collect();
        took.sort_unstable();
        println!("{target}: median {} µs, least {} µs, most {} µs", took[25], took[0], took[49]);
    }
    let begun = Instant::now();
    let (mut after, mut calls) = (String::new(), 0);
    loop {
        calls += 1;
        let answer = http.call(&format!("{all}{after}"), &[], b"").unwrap().json();
        match answer.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    println!("all of it: {calls} calls, {} µs", begun.elapsed().as_micros());
}
