//! Pages and searches: their shapes, that they show what a GET does and no more, and where they end. What a page says
//! of writing is in `rights_tests`.

use super::cut_tests::Random;
use super::scope_tests::{Server, path, reader};
use super::*;
use crate::api::route::{Page, Search, Within};
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::store::Transaction;

pub(super) fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn ask(server: &Server, access: &Access, route: &Route) -> Value {
    let (method, target) = route.target();
    let reply = server.ask_as(access, method, &target, "");
    assert_eq!(reply.status, 200, "{target}: {}", reply.body);
    assert!(reply.body.len() < crate::read::MAX_PAGE + 100_000, "{target}: {}", reply.body.len());
    Value::parse(&reply.body).unwrap()
}

pub(super) fn list(server: &Server, access: &Access, at: &Path, page: Page) -> Value {
    ask(server, access, &Route::List { path: at.clone(), page })
}

fn find(server: &Server, access: &Access, at: &Path, search: Search) -> Value {
    ask(server, access, &Route::Find { path: at.clone(), search })
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{name}: {value}"))
}

pub(super) fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_int).unwrap_or_else(|| panic!("{name}: {value}"))
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_list).map(|list| list.items()).unwrap()
}

fn keys(value: &Value) -> Vec<String> {
    items(value, "rows").iter().map(|row| text(row, "key").to_string()).collect()
}

/// All rows, and how many pages they came in.
fn pages(server: &Server, access: &Access, at: &Path, page: Page) -> (Vec<Value>, usize) {
    let (mut rows, mut after, mut count) = (Vec::new(), page.after.clone(), 0);
    loop {
        let answer = list(server, access, at, Page { after, ..page.clone() });
        count += 1;
        rows.extend_from_slice(items(&answer, "rows"));
        if answer.get("more") == Some(&Value::Bool(false)) {
            return (rows, count);
        }
        after = text(rows.last().unwrap(), "key").to_string();
    }
}

/// All that a search finds.
fn finds(server: &Server, access: &Access, at: &Path, search: Search) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let answer = find(server, access, at, Search { after, ..search.clone() });
        found.extend_from_slice(items(&answer, "found"));
        match answer.get("next").and_then(Value::as_str) {
            Some(next) => after = Some(path(next)),
            None => return found,
        }
    }
}

fn paths(found: &[Value]) -> Vec<String> {
    found.iter().map(|row| text(row, "path").to_string()).collect()
}

pub(super) fn inc(server: &Server, root: &str) -> String {
    server.0.store.view().root(root).unwrap().incarnation.to_string()
}

#[test]
fn a_page_says_what_the_node_is_and_what_each_child_is() {
    let server = Server::new();
    server.put("a.b", r#"{"x":{"y":1,"z":2},"s":"text","n":null,"o":{}}"#);
    server.put("a.b.s", r#""new""#);
    let listed = |at: &str| {
        let target = Route::List { path: path(at), page: Page { limit: 3, ..Page::default() } }.target().1;
        server.ask_as(&Access::all(), Method::Get, &target, "").body
    };
    let inc = inc(&server, "a");
    assert_eq!(
        listed("a.b"),
        format!(
            concat!(
                r#"{{"path":"a.b","kind":"container","version":1,"count":4,"root":"a","inc":"{}","root_version":1,"#,
                r#""position":2,"writable":true,"rows":[{{"key":"n","version":0,"value":null}},"#,
                r#"{{"key":"o","version":0,"count":0}},{{"key":"s","version":1,"value":"new"}}],"more":true}}"#
            ),
            inc
        )
    );
    assert_eq!(
        listed("a.b.x.y"),
        format!(
            concat!(
                r#"{{"path":"a.b.x.y","kind":"leaf","version":0,"root":"a","inc":"{}","root_version":1,"#,
                r#""position":2,"writable":true,"row":{{"key":"y","version":0,"value":1}},"rows":[],"more":false}}"#
            ),
            inc
        )
    );
    assert_eq!(
        listed(""),
        format!(
            concat!(
                r#"{{"path":"","kind":"container","version":null,"count":1,"root":null,"inc":null,"#,
                r#""root_version":null,"position":2,"writable":false,"refusal":{{"code":"bad_request","#,
                r#""message":"the path is empty; name a root, such as config-r1"}},"rows":[{{"key":"a","#,
                r#""version":1,"count":1,"inc":"{}","home":"own","here":true,"stale_ms":null}}],"more":false}}"#
            ),
            inc
        )
    );
    for (target, status) in [
        ("/_list?path=a.c", 404),
        ("/_list?path=z", 404),
        ("/_find?path=a.c", 404),
        ("/_find?text=(%3F=a)&regex_flag=1", 400),
    ] {
        assert_eq!(server.ask_as(&Access::all(), Method::Get, target, "").status, status, "{target}");
    }
}

#[test]
fn a_search_shows_each_node_that_it_finds_where_it_stands() {
    let server = Server::new();
    server.put("a.b", r#"{"eth0":{"mtu":1500},"note":"about ETH0"}"#);
    server.put(r#"c["x.y"]"#, "7");
    let found = |query: &str| {
        let reply = server.ask_as(&Access::all(), Method::Get, &format!("/_find?{query}"), "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    };
    assert_eq!(
        found("path=a&text=eth"),
        concat!(
            r#"{"path":"a","root_versions":{"a":0},"found":[{"path":"a.b.eth0","version":0,"count":1},"#,
            r#"{"path":"a.b.note","version":0,"value":"about ETH0"}],"looked":4,"next":null}"#
        )
    );
    assert_eq!(
        found("text=x.y&limit=1"),
        r#"{"path":"","root_versions":{"a":0,"c":0},"found":[{"path":"c[\"x.y\"]","version":0,"value":7}],"looked":7,"next":null}"#
    );
    let hits = |query: &str| {
        let answer = Value::parse(&found(query)).unwrap();
        paths(items(&answer, "found")).join(" ")
    };
    for (query, wanted) in [
        ("text=eth&in=keys", "a.b.eth0"),
        ("text=eth&in=values", "a.b.note"),
        ("text=ETH", "a.b.note"),
        ("text=%5E15..%24&regex_flag=True", "a.b.eth0.mtu"),
        ("text=%5E(mtu|c)%24&regex_flag=True", "a.b.eth0.mtu c"),
        ("", r#"a.b.eth0.mtu a.b.note c["x.y"]"#),
        ("path=a.b.note", "a.b.note"),
        // What is searched isn't found itself, unless there's nothing below it.
        ("path=a.b.eth0&text=eth0", ""),
    ] {
        assert_eq!(hits(query), wanted, "{query}");
    }
}

/// A path with its value, for each leaf and each empty container.
fn flat(at: &Path, value: &Value, out: &mut Vec<(String, Value)>) {
    match value.as_object().map(|object| object.members()).filter(|members| !members.is_empty()) {
        Some(members) => {
            members.iter().for_each(|(key, value)| flat(&at.join(key.clone()).unwrap(), value, out))
        }
        None if at.is_empty() => {}
        None => out.push((at.to_string(), value.clone())),
    }
}

/// Each node below, with its value, in order.
fn nodes(at: &Path, value: &Value, out: &mut Vec<(Path, Value)>) {
    for (key, value) in value.as_object().map_or(&[][..], |object| object.members()) {
        let at = at.join(key.clone()).unwrap();
        out.push((at.clone(), value.clone()));
        nodes(&at, value, out);
    }
}

/// That the pages of this node together are the children that a GET shows.
fn check_children(server: &Server, access: &Access, at: &Path, value: &Value, limit: usize) {
    let (rows, _) = pages(server, access, at, Page { limit, ..Page::default() });
    let shown = rows.iter().map(|row| (text(row, "key").into(), row));
    let wanted = value.as_object().unwrap().members();
    assert!(shown.map(|(key, _): (Key, _)| key).eq(wanted.iter().map(|(key, _)| key.clone())), "{at}");
    for (row, (_, value)) in rows.iter().zip(wanted) {
        match value.as_object() {
            Some(object) => assert_eq!(number(row, "count"), object.members().len() as i64),
            None => assert_eq!(row.get("value"), Some(value)),
        }
    }
}

#[test]
fn pages_and_searches_show_what_a_get_shows_to_the_same_reader() {
    let mut random = Random(0x51ce_b00c);
    let (mut children, mut leaves, mut hits) = (0, 0, 0);
    for _ in 0..60 {
        let server = Server::new();
        for number in 0..25 {
            let at = random.path(1);
            let transaction = match random.below(5) {
                0 => Transaction::new(None).delete(at),
                _ => Transaction::new(None).put(at.clone(), random.value(&at, number)),
            };
            // One that doesn't fit changes nothing.
            let _ = server.0.store.commit(transaction);
        }
        for _ in 0..8 {
            let access = if random.below(5) == 0 { Access::all() } else { random.access() };
            let at = random.path(0);
            let get = Route::Get { path: at.clone(), read: crate::api::route::Read::default() };
            let seen = server.ask_as(&access, Method::Get, &get.target().1, "");
            let limit = 1 + random.below(4);
            let search = Search { limit, ..Search::default() };
            if seen.status != 200 {
                let routes = [
                    Route::List { path: at.clone(), page: Page::default() },
                    Route::Find { path: at.clone(), search },
                ];
                for route in routes {
                    let reply = server.ask_as(&access, Method::Get, &route.target().1, "");
                    assert_eq!((reply.status, reply.body), (seen.status, seen.body.clone()), "{route:?}");
                }
                continue;
            }
            let seen = Value::parse(&seen.body).unwrap();
            let mut lines = Vec::new();
            flat(&at, &seen, &mut lines);
            let found = finds(&server, &access, &at, search.clone());
            let empty = Value::empty_object();
            let line =
                |row: &Value| (text(row, "path").to_string(), row.get("value").unwrap_or(&empty).clone());
            assert_eq!(found.iter().map(line).collect::<Vec<_>>(), lines, "{at}");
            leaves += lines.len();
            if seen.as_object().is_none() {
                continue;
            }
            check_children(&server, &access, &at, &seen, limit);
            let mut all = Vec::new();
            nodes(&at, &seen, &mut all);
            children += all.len();
            for (at, value) in all.iter().filter(|(_, value)| value.as_object().is_some()) {
                check_children(&server, &access, at, value, limit);
            }
            let needle = ["K0", "k1", "<leaf k", "x.", "7>"][random.below(5)];
            let any_case = !needle.chars().any(char::is_uppercase);
            let is_in =
                |text: &str| text.contains(needle) || any_case && text.to_lowercase().contains(needle);
            for within in [Within::Keys, Within::Values, Within::All] {
                let wanted: Vec<String> = all
                    .iter()
                    .filter(|(at, value)| {
                        within != Within::Values && is_in(at.name().unwrap())
                            || within != Within::Keys && value.as_str().is_some_and(is_in)
                    })
                    .map(|(at, _)| at.to_string())
                    .collect();
                let search = Search { text: needle.into(), within, ..search.clone() };
                assert_eq!(paths(&finds(&server, &access, &at, search)), wanted, "{needle} below {at}");
                hits += wanted.len();
            }
        }
    }
    assert!(children > 500 && leaves > 200 && hits > 200, "{children} {leaves} {hits}");
}

#[test]
fn a_page_begins_behind_a_key_and_holds_those_that_begin_alike() {
    let server = Server::new();
    server.put("a", r#"{"b":1,"ba":2,"bab":3,"bb":4,"c":5,"None":6}"#);
    let all = Access::all();
    for (after, prefix, limit, wanted, more) in [
        ("", "", 1000, "None b ba bab bb c", false),
        ("", "ba", 1000, "ba bab", false),
        ("", "ba", 1, "ba", true),
        ("ba", "ba", 1, "bab", false),
        ("a", "b", 2, "b ba", true),
        ("bb", "ba", 9, "", false),
        ("baa", "", 2, "bab bb", true),
        ("None", "", 1, "b", true),
        ("", "None", 9, "None", false),
        ("c", "", 9, "", false),
        ("", "x", 9, "", false),
    ] {
        let page = Page { after: after.into(), prefix: prefix.into(), limit };
        let answer = list(&server, &all, &path("a"), page);
        assert_eq!(keys(&answer).join(" "), wanted, "{after} {prefix}");
        assert_eq!(answer.get("more"), Some(&Value::Bool(more)), "{after} {prefix}");
    }
    server.put("b", "{}");
    server.put("ba", "{}");
    for access in [all, reader(&["a", "b", "ba"])] {
        let page = |after: &str, prefix: &str| Page {
            after: after.into(),
            prefix: prefix.into(),
            ..Page::default()
        };
        assert_eq!(keys(&list(&server, &access, &Path::TOP, page("", "b"))), ["b", "ba"]);
        assert_eq!(keys(&list(&server, &access, &Path::TOP, page("a", ""))), ["b", "ba"]);
        assert_eq!(keys(&list(&server, &access, &Path::TOP, page("b", "b"))), ["ba"]);
    }
}

#[test]
fn what_was_deleted_between_two_pages_is_passed_over() {
    let server = Server::new();
    server.put("a", r#"{"b":{"x":1,"y":{"z":2}},"c":3,"d":4}"#);
    server.put("e.f", "5");
    let all = Access::all();
    let page = |after: &str| Page { after: after.into(), limit: 1, ..Page::default() };
    let one = |after: &str| Search { after: Some(path(after)), limit: 1, ..Search::default() };
    let next = |answer: &Value| answer.get("next").and_then(Value::as_str).map(str::to_string);
    let first = find(&server, &all, &Path::TOP, Search { after: None, ..one("a") });
    assert_eq!(next(&first).as_deref(), Some("a.b.x"));
    server.0.store.commit(Transaction::new(None).delete(path("a.b"))).unwrap();
    assert_eq!(keys(&list(&server, &all, &path("a"), page("b"))), ["c"]);
    let second = find(&server, &all, &Path::TOP, one("a.b.x"));
    assert_eq!((paths(items(&second, "found")), next(&second).as_deref()), (vec!["a.c".into()], Some("a.c")));
    // What it went through is a leaf by now, or the whole root is gone.
    assert_eq!(paths(items(&find(&server, &all, &path("a"), one("a.c.w.w")), "found")), ["a.d"]);
    server.0.store.commit(Transaction::new(None).delete(path("a"))).unwrap();
    let third = find(&server, &all, &Path::TOP, one("a.c"));
    assert_eq!((paths(items(&third, "found")), next(&third)), (vec!["e.f".into()], None));
    assert_eq!(keys(&list(&server, &all, &Path::TOP, page("a"))), ["e"]);
}

#[test]
fn a_page_ends_at_its_limit_of_rows_or_of_bytes() {
    let server = Server::new();
    let all = Access::all();
    let members: Vec<String> = (0..2_500).map(|n| format!("\"k{n:04}\":{n}")).collect();
    server.put("a.many", &format!("{{{}}}", members.join(",")));
    let (rows, count) = pages(&server, &all, &path("a.many"), Page { limit: 1_000, ..Page::default() });
    assert_eq!((rows.len(), count), (2_500, 3));
    let (rows, count) = pages(&server, &all, &path("a.many"), Page::default());
    assert_eq!((rows.len(), count), (2_500, 13));
    // Rows of long keys.
    let members: Vec<String> = (0..900).map(|n| format!("\"{n:0500}\":{n}")).collect();
    server.put("a.long", &format!("{{{}}}", members.join(",")));
    let (rows, count) = pages(&server, &all, &path("a.long"), Page { limit: 1_000, ..Page::default() });
    assert_eq!((rows.len(), count), (900, 2));
    let search = Search { limit: 1_000, ..Search::default() };
    assert_eq!(finds(&server, &all, &path("a.long"), search.clone()).len(), 900);
    assert!(find(&server, &all, &path("a.long"), search).get("next").and_then(Value::as_str).is_some());
    // Lists have to be gone through for their length.
    let list_of = format!("[{}]", vec!["1234567"; 100_000].join(","));
    for n in 0..12 {
        server.put(&format!("a.lists.l{n:02}"), &list_of);
    }
    let (rows, count) = pages(&server, &all, &path("a.lists"), Page::default());
    assert_eq!((rows.len(), count), (12, 2));
    assert_eq!((text(&rows[0], "kind"), number(&rows[0], "bytes")), ("list", 800_001));
}

#[test]
fn a_search_looks_at_so_many_nodes_and_goes_on() {
    let server = Server::new();
    let all = Access::all();
    let members: Vec<String> = (0..15_000).map(|n| format!("\"k{n:05}\":{n}")).collect();
    let text_of = format!("{{{}}}", members.join(","));
    server.put("a.x", &text_of);
    server.put("b.x", &text_of);
    let rare = Search { text: "k14999".into(), ..Search::default() };
    let first = find(&server, &all, &Path::TOP, rare.clone());
    assert_eq!((number(&first, "looked"), text(&first, "next")), (20_000, "b.x.k04995"));
    assert_eq!(paths(items(&first, "found")), ["a.x.k14999"]);
    assert_eq!(first.get("root_versions").unwrap().to_string(), r#"{"a":0,"b":0}"#);
    let second = find(&server, &all, &Path::TOP, Search { after: Some(path("b.x.k04995")), ..rare.clone() });
    assert_eq!((number(&second, "looked"), second.get("next")), (10_004, Some(&Value::Null)));
    assert_eq!(paths(items(&second, "found")), ["b.x.k14999"]);
    // The end is the end, also where a limit is met there.
    let exact = |from: &str| {
        find(&server, &all, &path("b.x"), Search { after: Some(path(from)), limit: 3, ..Search::default() })
    };
    assert_eq!(exact("b.x.k14996").get("next"), Some(&Value::Null));
    assert_eq!(text(&exact("b.x.k14995"), "next"), "b.x.k14998");
    assert_eq!(number(&exact("b.x.k14999"), "looked"), 0);
    // A search goes through a few megabytes of values.
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    (0..6).for_each(|n| server.put(&format!("c.v{n}"), &long));
    let slow = find(&server, &all, &path("c"), Search { text: "y".into(), ..Search::default() });
    assert_eq!((text(&slow, "next"), number(&slow, "looked")), ("c.v4", 5));
}

#[test]
fn an_ephemeral_node_has_an_owner_and_no_version() {
    let server = Server::new();
    server.put("a", "{}");
    let session = server.0.store.begin_session(id("r1"));
    let mut transaction = Transaction::new(Some(id("r1")));
    transaction.session = Some(session);
    for at in ["a.up.e", "z.e"] {
        transaction = transaction.put_ephemeral(path(at), Value::parse(r#"{"x":1}"#).unwrap());
    }
    server.0.store.commit(transaction).unwrap();
    let all = Access::all();
    let rows = |at: &str| {
        let answer = list(&server, &all, &path(at), Page::default());
        answer.get("rows").unwrap().to_string()
    };
    // What only holds it up belongs to nobody.
    assert_eq!(rows("a"), r#"[{"count":1,"key":"up","owner":null}]"#);
    assert_eq!(rows("a.up"), r#"[{"count":1,"key":"e","owner":"r1"}]"#);
    assert_eq!(rows("a.up.e"), r#"[{"key":"x","owner":"r1","value":1}]"#);
    let head = list(&server, &all, &path("a.up.e"), Page::default());
    assert_eq!((text(&head, "owner"), head.get("version")), ("r1", None));
    let found = finds(&server, &all, &Path::TOP, Search { text: "1".into(), ..Search::default() });
    assert_eq!(found.iter().map(|row| text(row, "owner")).collect::<Vec<_>>(), ["r1", "r1"]);
}
