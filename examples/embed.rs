//! The database inside another program: no server, no socket. `cargo run --example embed`

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use tega::path::Path;
use tega::store::{Channel, Options, Store, Transaction};
use tega::value::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("tega-embed-{}", std::process::id()));
    let store = Store::open(&dir, Options::default())?;

    // Watch everything below `lan`.
    let watch = store.watch(None, || ());
    watch.subscribe(Channel::Path(Path::parse("lan")?), None)?;

    // Two puts that take effect together, durable when `commit` returns.
    let hosts = Value::parse(r#"{"192.168.1.9":{"name":"printer"}}"#)?;
    let (ip, lan) = (Path::parse("lan.ip")?, Path::parse("lan")?);
    let both =
        Transaction::new(None).put(ip.clone(), Value::from("192.168.1.1")).put(lan.join("hosts")?, hosts);
    assert!(store.commit(both)?.durable);
    // Only if nobody changed it since version 0; then one version back, which is a new version.
    store.commit(Transaction::new(None).put_if(ip.clone(), Value::from("10.0.0.1"), 0))?;
    store.commit(Transaction::new(None).rollback("lan".into(), -1))?;
    assert_eq!(store.get(&ip), Some(Value::from("192.168.1.1")));
    assert_eq!(store.history("lan")?.len(), 3);

    let mut out = std::io::stdout();
    while let Some(event) = watch.wait(Duration::ZERO).map_err(|_| "too slow")? {
        for notice in watch.notices(&event) {
            writeln!(out, "{} {} {}", notice.ope.name(), notice.path, notice.value())?;
        }
    }
    store.close();
    Ok(std::fs::remove_dir_all(&dir)?)
}
