use super::*;

fn parse(text: &str) -> Result<Route, Refusal> {
    let (method, target) = text.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Route::parse(Method::parse(method), path, query)
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn id(text: &str) -> Option<TegaId> {
    Some(TegaId::new(text).unwrap())
}

/// Each call as a person would write it, and what it means; every variant is here.
fn table() -> Vec<(&'static str, Route)> {
    let read = Read::default;
    let write = || Write { by: id("r1"), ..Write::default() };
    let txid = || "7f-1".to_string();
    vec![
        ("GET /", Route::Get { path: Path::TOP, read: read() }),
        ("GET /a/b", Route::Get { path: path("a.b"), read: read() }),
        (
            "GET /a/%5Bx%5D/192.168.1.1?version=-1&internal=True&fresh=True",
            Route::Get {
                path: Path::new(["a", "[x]", "192.168.1.1"]).unwrap(),
                read: Read { version: Some(-1), internal: true, fresh: true, ..read() },
            },
        ),
        ("GET /a?txid=7f-1", Route::Get { path: path("a"), read: Read { txid: Some(txid()), ..read() } }),
        (
            "GET /a?replaced=00000000000000ab-7",
            Route::Get { path: path("a"), read: Read { replaced: Some((Incarnation(0xab), 7)), ..read() } },
        ),
        ("GET /_metrics", Route::Metrics),
        ("GET /_homes", Route::Homes),
        (
            "POST /_home?root_oid=a&home=r1",
            Route::Home { root: "a".into(), home: TegaId::new("r1").unwrap(), force: false },
        ),
        (
            "POST /_home?root_oid=a&home=r1&force=True",
            Route::Home { root: "a".into(), home: TegaId::new("r1").unwrap(), force: true },
        ),
        ("GET /r-1%5C..%2A?regex_flag=True", Route::Select { pattern: "r-1\\..*".into(), read: read() }),
        (
            "PUT /a/b?tega_id=r1&ephemeral=True",
            Route::Put { path: path("a.b"), write: write(), ephemeral: true },
        ),
        (
            "PUT /a?tega_id=r1&version=3&txid=7f-1&durable=True",
            Route::Put {
                path: path("a"),
                write: Write { version: Some(3), txid: Some(txid()), durable: true, ..write() },
                ephemeral: false,
            },
        ),
        (
            "DELETE /a/b?tega_id=r1&version=-1",
            Route::Delete { path: path("a.b"), write: Write { version: Some(-1), ..write() } },
        ),
        ("POST /_begin?tega_id=r1", Route::Begin { by: id("r1") }),
        ("POST /_cand?txid=7f-1&internal=True", Route::Candidate { txid: txid(), internal: true }),
        ("POST /_cancel?txid=7f-1", Route::Cancel { txid: txid() }),
        ("POST /_commit?txid=7f-1&durable=True", Route::Commit { txid: txid(), durable: true }),
        (
            "POST /_rollback?tega_id=r1&root_oid=a&backto=-1",
            Route::Rollback { by: id("r1"), root: "a".into(), back_to: -1, durable: false },
        ),
        ("POST /_clear?tega_id=r1", Route::Clear { by: id("r1") }),
        ("POST /_ss", Route::Snapshot { history: None }),
        ("POST /_ss?history=0", Route::Snapshot { history: Some(0) }),
        ("POST /_sync", Route::Sync),
        ("POST /_rpc?tega_id=r1&path=a.x", Route::Rpc { by: id("r1"), path: path("a.x") }),
        ("GET /_roots", Route::Roots),
        ("GET /_old", Route::Old),
        ("GET /_ids", Route::Ids),
        ("GET /_channels", Route::Channels),
        ("GET /_subscribers", Route::Subscribers),
        ("GET /_global", Route::Global),
        ("GET /_forwarders", Route::Forwarders),
        ("GET /_plugins", Route::Plugins),
        ("GET /_edges", Route::Edges { root: None, old: false }),
        ("GET /_edges?root_oid=a&old_roots=True", Route::Edges { root: Some("a".into()), old: true }),
        ("GET /_reload", Route::Reload),
        ("GET /_status", Route::Status),
        ("GET /_sessions", Route::Sessions),
        ("GET /_uci?diff=True&secrets=True", Route::Uci { diff: true, secrets: true }),
        (
            "POST /_uci_do?do=adopt&packages=network%2Cdhcp",
            Route::UciDo { by: None, verb: UciVerb::Adopt, packages: vec!["network".into(), "dhcp".into()] },
        ),
        ("GET /_history?root_oid=a", Route::History { root: "a".into() }),
        ("GET /_diff?root_oid=a&from=-2&to=5", Route::Diff { root: "a".into(), from: -2, to: Some(5) }),
        ("GET /_diff?root_oid=a&from=0", Route::Diff { root: "a".into(), from: 0, to: None }),
        ("GET /_list", Route::List { path: Path::TOP, page: Page::default() }),
        (
            "GET /_list?path=a.b&after=None&prefix=%5Bx&limit=1000",
            Route::List {
                path: path("a.b"),
                page: Page { after: "None".into(), prefix: "[x".into(), limit: 1_000 },
            },
        ),
        ("GET /_find?path=a", Route::Find { path: path("a"), search: Search::default() }),
        (
            "GET /_find?text=None&regex_flag=True&in=keys&after=a.b&limit=1",
            Route::Find {
                path: Path::TOP,
                search: Search {
                    text: "None".into(),
                    regex: true,
                    within: Within::Keys,
                    after: Some(path("a.b")),
                    limit: 1,
                },
            },
        ),
        ("GET /_pubsub", Route::PubSub),
        ("GET /_link", Route::Link),
    ]
}

#[test]
fn every_route_is_read_from_its_url_and_written_as_it() {
    for (text, route) in table() {
        assert_eq!(parse(text).unwrap(), route, "{text}");
        let (method, target) = route.target();
        assert_eq!(format!("{} {target}", method.as_str()), text);
    }
}

#[test]
fn every_call_has_a_row_in_the_table_above() {
    for (name, _) in CALLS {
        assert!(table().iter().any(|row| row.0.contains(&format!("/{name}"))), "{name}");
    }
}

#[test]
fn the_ways_drivers_write_urls_mean_the_same() {
    let plain = parse("GET /a/b").unwrap();
    for same in
        ["GET /a/b/", "GET /a/b?", "GET /a/b/?tega_id=x", "HEAD /a/b", "GET /%61/b?version=None&txid="]
    {
        assert_eq!(parse(same).unwrap(), plain, "{same}");
    }
    assert_eq!(parse("POST /_ss/?tega_id=x").unwrap(), Route::Snapshot { history: None });
    assert!(parse("POST /_ss?history=-1").unwrap_err().message.contains("history=-1"));
    assert_eq!(parse("GET /_roots/").unwrap(), Route::Roots);
}

#[test]
fn a_regex_is_read_as_the_drivers_write_it() {
    for (url, pattern) in [
        (r"/(r)-(/*)\/(/*)/", r"(r)-(.*)\.(.*)"),
        (r"/a%5C.b", r"a\.b"),
        (r"/a\/b", r"a\.b"),
        ("//a//", ".a."),
        ("/a%2Fb/", "a/b"),
        ("/", ""),
        ("/%5Ba-z%5D+", "[a-z]+"),
    ] {
        let route = parse(&format!("GET {url}?regex_flag=True&tega_id=x")).unwrap();
        assert_eq!(route, Route::Select { pattern: pattern.into(), read: Read::default() }, "{url}");
        let (_, target) = route.target();
        assert_eq!(parse(&format!("GET {target}")).unwrap(), route, "{target}");
    }
}

#[test]
fn what_cant_be_understood_is_refused_with_a_reason() {
    for (text, status, word) in [
        ("PUT /", 400, "root"),
        ("DELETE /", 400, "root"),
        ("PUT /%5Fx/a", 400, "_x"),
        ("GET /%5Fx", 400, "_x"),
        ("GET /a//b", 400, "empty"),
        ("GET /a/_version", 400, "internal"),
        ("GET /a/%ff", 400, "UTF-8"),
        ("GET /a?version=x", 400, "version"),
        ("GET /a?internal=maybe", 400, "internal"),
        ("GET /a?tega_id=a%20b", 400, "tega ID"),
        ("POST /_begin?tega_id=%C3%A9", 400, "tega ID"),
        ("POST /_commit", 400, "txid"),
        ("POST /_rollback?root_oid=a", 400, "backto"),
        ("POST /_rollback?backto=-1", 400, "root_oid"),
        ("POST /_rollback?backto=-1&root_oid=_a", 400, "_a"),
        ("POST /_rpc", 400, "path"),
        ("POST /_rpc?path=a..b", 400, "empty"),
        ("GET /_history", 400, "root_oid"),
        ("GET /_diff?root_oid=a", 400, "from"),
        ("GET /_list?path=a..b", 400, "empty"),
        ("GET /_list?path=_a", 400, "_a"),
        ("GET /_list?limit=0", 400, "1000"),
        ("GET /_list?limit=1001", 400, "1000"),
        ("GET /_find?limit=-1", 400, "1000"),
        ("GET /_find?in=key", 400, "values"),
        ("GET /_find?path=a.b&after=a.c", 400, "a.b"),
        ("GET /_nope", 404, "_status"),
        ("PUT /_nope", 404, "_begin"),
        ("GET /_roots/a", 404, "_roots"),
        ("POST /a", 405, "PUT"),
        ("PATCH /a", 405, "PUT"),
        ("GET /_begin", 405, "POST"),
        ("POST /_roots", 405, "GET"),
        ("PUT /_status", 405, "GET"),
    ] {
        let refusal = parse(text).expect_err(text);
        assert_eq!(refusal.status, status, "{text}: {refusal}");
        assert!(refusal.message.contains(word), "{text}: {refusal}");
    }
}

#[test]
fn allow_names_the_methods_of_a_path() {
    assert_eq!(allowed("/a"), Some("GET, HEAD, PUT, DELETE, OPTIONS"));
    assert_eq!(allowed("/_roots"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(allowed("/_commit/"), Some("POST, OPTIONS"));
    assert_eq!(allowed("/_nope"), None);
    assert!(get_has_effect("/_reload") && get_has_effect("/_reload/") && !get_has_effect("/_roots"));
}
