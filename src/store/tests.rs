use super::*;
use crate::log::fake::Disk;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn put(store: &Store, at: &str, json: &str) -> Result<Receipt, Error> {
    store.commit(Transaction::new(None).put(path(at), Value::parse(json).unwrap()))
}

fn text(store: &Store, at: &str) -> String {
    store.get(&path(at)).map_or("-".into(), |v| v.to_string())
}

#[test]
fn what_was_committed_is_there_after_a_restart_a_compaction_and_a_rollback() {
    let disk = Disk::default();
    let open = || Store::open_on(disk.medium(), Options::default()).unwrap();
    let store = open();
    assert_eq!(put(&store, "a", r#"{"b":1,"c":{"d":[1,2]}}"#).unwrap().versions, [("a".into(), Version(0))]);
    assert_eq!(put(&store, "a.b", "2").unwrap().versions, [("a".into(), Version(1))]);
    store.commit(Transaction::new(None).delete(path("a.c.d"))).unwrap();
    assert_eq!(text(&store, "a"), r#"{"b":2}"#);
    store.close();
    let store = open();
    assert_eq!(text(&store, "a"), r#"{"b":2}"#);
    assert_eq!(
        store.at("a", -2).unwrap().tree.unwrap().root().to_value().to_string(),
        r#"{"b":1,"c":{"d":[1,2]}}"#
    );
    store.compact_and_wait().unwrap();
    store.close();
    let store = open();
    store.commit(Transaction::new(None).rollback("a".into(), 0)).unwrap();
    assert_eq!(text(&store, "a"), r#"{"b":1,"c":{"d":[1,2]}}"#);
    assert_eq!(store.view().root("a").unwrap().version, Version(3));
    store.commit(Transaction::new(None).delete(path("a"))).unwrap();
    assert_eq!(text(&store, "a"), "-");
    store.close();
    let store = open();
    store.commit(Transaction::new(None).rollback("a".into(), -1)).unwrap();
    assert_eq!(text(&store, "a"), r#"{"b":1,"c":{"d":[1,2]}}"#);
    assert_eq!(store.view().root("a").unwrap().version, Version(5));
    store.clear_and_wait(None).unwrap();
    store.close();
    assert_eq!(open().get(&Path::TOP), Some(Value::empty_object()));
}

#[test]
fn ephemeral_nodes_are_seen_and_end_with_their_session() {
    let store = Store::in_memory(Options::default());
    let watch = store.watch(None, || ());
    watch.subscribe(Channel::Path(path("a")), None).unwrap();
    let session = store.begin_session(TegaId::new("r1").unwrap());
    let mut tx = Transaction::new(TegaId::new("r1").ok()).put_ephemeral(path("a.x.y"), Value::from(1));
    tx.session = Some(session);
    assert_eq!(store.commit(tx).unwrap().versions, []);
    assert_eq!(text(&store, "a"), r#"{"x":{"y":1}}"#);
    put(&store, "a.z", "2").unwrap();
    assert_eq!(text(&store, "a"), r#"{"x":{"y":1},"z":2}"#);
    assert!(matches!(put(&store, "a.x.y.z", "2"), Err(Error::Ephemeral { .. })));
    assert_eq!(store.ephemeral(&Path::TOP).len(), 1);
    store.end_session(session);
    put(&store, "a.z", "3").unwrap();
    assert_eq!(text(&store, "a"), r#"{"z":3}"#);
    let mut told = Vec::new();
    while let Some(event) = watch.try_next().unwrap() {
        told.extend(
            watch.notices(&event).iter().map(|n| format!("{} {} {}", n.ope.name(), n.path, n.value())),
        );
    }
    assert_eq!(told, ["PUT a.x.y 1", "PUT a.z 2", "DELETE a.x.y 1", "PUT a.z 3"]);
}
