//! `GET /_metrics`: numbers for Prometheus, in its text format 0.0.4.
//!
//! What there is one of for each link is given for [`MAX_LINKS`] of them at most, since each line costs the reader for
//! ever; the sums are of all.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use super::{Context, Reply};
use crate::hub::LinkInfo;
use crate::store::{Amount, Health, Written};
use crate::system::resident_kib;
use crate::value::Value;

/// The most links that have lines of their own.
const MAX_LINKS: usize = 1_000;

/// The most roots that have lines of their own.
const MAX_ROOTS: usize = 1_000;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Of a metric: its name without `tega_`, its type, and one line for people.
type Family = (&'static str, &'static str, &'static str);

/// What the door tells of itself, by the names that it has in `/_status`.
const DOOR: [(&str, Family); 8] = [
    ("connections", ("door_connections", "gauge", "Open connections.")),
    ("connections_max", ("door_connections_limit", "gauge", "The most connections.")),
    ("streams", ("door_streams", "gauge", "Open WebSockets and event streams.")),
    ("streams_max", ("door_streams_limit", "gauge", "The most WebSockets and event streams.")),
    ("accepted", ("door_accepted_total", "counter", "Connections that were accepted.")),
    ("refused", ("door_refused_total", "counter", "Connections that were refused for a limit.")),
    ("evicted", ("door_evicted_total", "counter", "Idle connections that made place for new ones.")),
    ("memory_max", ("door_memory_limit_bytes", "gauge", "The most bytes of bodies and answers that wait.")),
];

/// Everything.
pub(super) fn metrics(context: &Context) -> Reply {
    let mut page = Page(String::with_capacity(4096));
    process(context, &mut page);
    store(context, &mut page);
    hub(context, &mut page);
    door(context, &mut page);
    plugins(context, &mut page);
    requests(context, &mut page);
    links(&context.hub.link_infos(), &mut page);
    Reply::json(page.0).typed(CONTENT_TYPE).with("Cache-Control", "no-store")
}

/// The text.
struct Page(String);

// Writing to a String can't fail, so the results of writes are dropped below.

impl Page {
    fn family(&mut self, (name, kind, help): Family) {
        let _ = writeln!(self.0, "# HELP tega_{name} {help}\n# TYPE tega_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "tega_{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric of one number.
    fn one(&mut self, family: Family, value: impl Display) {
        self.family(family);
        self.sample(family.0, &[], value);
    }
}

fn process(context: &Context, page: &mut Page) {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("tega_id", context.hub.own_id().as_str())];
    page.family(("build_info", "gauge", "Always 1; the labels say which server this is."));
    page.sample("build_info", &labels, 1);
    page.one(
        ("uptime_seconds", "gauge", "Time since the server started."),
        context.started.elapsed().as_secs(),
    );
    if let Some(kib) = resident_kib(None) {
        page.one(
            ("resident_memory_bytes", "gauge", "Memory of the process in RAM."),
            kib.saturating_mul(1024),
        );
    }
}

fn store(context: &Context, page: &mut Page) {
    let status = context.store.status();
    page.one(("store_position", "counter", "Commits so far: the position of the newest."), status.position.0);
    page.one(("store_roots", "gauge", "Roots."), status.roots.len());
    page.one(("store_queue", "gauge", "Submissions that wait for the committer."), status.queue);
    page.one(("store_transactions", "gauge", "Open interactive transactions."), status.transactions);
    page.one(("store_watches", "gauge", "Watches."), status.watches);
    page.one(("store_ephemeral_nodes", "gauge", "Ephemeral nodes."), status.ephemeral);
    let writable = u8::from(status.health == Health::Ok);
    page.one(
        ("store_writable", "gauge", "1 while writes are taken, 0 when the disk is full or failed."),
        writable,
    );
    if let Some(log) = &status.log {
        page.one(("log_bytes", "gauge", "Length of the commit log."), log.bytes);
        page.one(
            ("log_durable_bytes", "gauge", "Up to where the log is known to be on the disk."),
            log.durable,
        );
        let help = "Compactions of the log since the start.";
        page.one(("log_compactions_total", "counter", help), log.compactions);
        written(&log.written, page);
    }
    if let Some(room) = context.store.room() {
        page.one(("disk_bytes", "gauge", "Size of the file system with the data."), room.total);
        page.one(("disk_free_bytes", "gauge", "What of it can still be written."), room.free);
    }
    page.family(("root_version", "gauge", "The version of a root."));
    for (root, version, _) in status.roots.iter().take(MAX_ROOTS) {
        page.sample("root_version", &[("root", root)], version.0);
    }
}

/// One of an amount's numbers.
type Of = fn(&Amount) -> u64;

/// What was written to the disk, by cause.
fn written(written: &Written, page: &mut Page) {
    let causes =
        [("commits", written.commits), ("compactions", written.compactions), ("reserves", written.reserves)];
    let families: [(Family, Of); 3] = [
        (("disk_written_bytes_total", "counter", "Bytes written to the data directory."), |amount| {
            amount.bytes
        }),
        (
            (
                "disk_written_blocks_total",
                "counter",
                "Blocks of 4 KiB that these lie in, once for each sync.",
            ),
            |amount| amount.blocks,
        ),
        (("disk_syncs_total", "counter", "Syncs of files that had something to write."), |amount| {
            amount.syncs
        }),
    ];
    for (family, of) in families {
        page.family(family);
        for (cause, amount) in &causes {
            page.sample(family.0, &[("cause", cause)], of(amount));
        }
    }
}

fn hub(context: &Context, page: &mut Page) {
    let status = context.hub.status();
    page.one(("sessions", "gauge", "Live WebSocket sessions."), status.sessions);
    page.one(("session_channels", "gauge", "Channels that sessions listen to."), status.channels);
    page.one(("rpcs_waiting", "gauge", "Calls that wait for an answer."), status.rpcs_waiting);
}

fn door(context: &Context, page: &mut Page) {
    let Some(probe) = &context.door else { return };
    let door = probe();
    for (name, family) in DOOR {
        if let Some(number) = door.get(name).and_then(Value::as_int) {
            page.one(family, number);
        }
    }
}

/// What each plugin tells of itself, by the names that it has in `/_plugins`; at most as many as there can be.
const PLUGIN: [(&str, Family); 6] = [
    ("running", ("plugin_running", "gauge", "Runs of a plugin.")),
    ("waiting", ("plugin_waiting", "gauge", "Calls that wait for a plugin.")),
    ("calls", ("plugin_calls_total", "counter", "Calls of a plugin that were run.")),
    ("notifies", ("plugin_notifies_total", "counter", "Notifications of a plugin that were run.")),
    ("failures", ("plugin_failures_total", "counter", "Runs of a plugin that failed.")),
    ("busy", ("plugin_busy_total", "counter", "Calls that a plugin was too busy for.")),
];

fn plugins(context: &Context, page: &mut Page) {
    let Some(plugins) = &context.plugins else { return };
    let told = (plugins.told)();
    let loaded = told.as_object().map_or(&[][..], |object| object.members());
    for (name, family) in PLUGIN {
        page.family(family);
        for (plugin, it) in loaded {
            if let Some(number) = it.get(name).and_then(Value::as_int) {
                page.sample(family.0, &[("plugin", plugin)], number);
            }
        }
    }
}

fn requests(context: &Context, page: &mut Page) {
    page.family(("http_requests_total", "counter", "Answered requests, by the first digit of their status."));
    for (digit, count) in context.answered.iter().enumerate().skip(1) {
        let class = format!("{digit}xx");
        page.sample("http_requests_total", &[("status", &class)], count.load(Ordering::Relaxed));
    }
}

fn links(links: &[LinkInfo], page: &mut Page) {
    let up = links.iter().filter(|link| link.up).count();
    page.one(("links_up", "gauge", "Links that are up."), up);
    page.one(
        (
            "links_down",
            "gauge",
            "Servers that were linked, or are the home of a root, and aren't linked now.",
        ),
        links.len() - up,
    );
    let lag = |link: &LinkInfo| link.roots.iter().filter_map(|root| root.lag()).sum::<u64>();
    let stale = |link: &LinkInfo| link.roots.iter().filter_map(|root| root.stale_ms).max();
    page.one(
        ("links_lag_versions", "gauge", "Versions that replicas lack, of all links."),
        links.iter().map(lag).sum::<u64>(),
    );
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let stalest = links.iter().filter_map(stale).max().unwrap_or(0);
    page.one(
        ("links_stale_seconds_max", "gauge", "How long the stalest replica here may lack something."),
        seconds(stalest),
    );
    let shown = links.get(..MAX_LINKS).unwrap_or(links);
    page.family(("link_up", "gauge", "1 while the link is up."));
    for link in shown {
        page.sample("link_up", &[("peer", link.tega_id.as_str())], u8::from(link.up));
    }
    page.family(("link_lag_versions", "gauge", "Versions that replicas at either end lack."));
    for link in shown {
        page.sample("link_lag_versions", &[("peer", link.tega_id.as_str())], lag(link));
    }
    page.family((
        "link_stale_seconds",
        "gauge",
        "How long the stalest replica here of the link's roots may lack something.",
    ));
    for link in shown {
        if let Some(ms) = stale(link) {
            page.sample("link_stale_seconds", &[("peer", link.tega_id.as_str())], seconds(ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{Incarnation, TegaId};
    use crate::hub::{Hub, LinkedRoot};
    use crate::store::{Options, Store};
    use crate::tree::Version;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Reads a page strictly: every sample stands below the HELP and TYPE of its family, once, with a number.
    fn read(page: &str) -> BTreeMap<String, f64> {
        assert!(page.ends_with('\n'));
        let (mut samples, mut families) = (BTreeMap::new(), Vec::new());
        let mut lines = page.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
            assert!(!help.is_empty() && !families.contains(&name), "{name}");
            families.push(name);
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let kind = kind.strip_prefix(name).unwrap().trim();
            assert!(["counter", "gauge"].contains(&kind), "{kind}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(name.ends_with("_total") <= (kind == "counter"), "{name}");
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (series, value) = sample.rsplit_once(' ').unwrap();
                assert_eq!(series.split('{').next(), Some(name));
                if let Some(labels) = series.strip_prefix(name).filter(|l| !l.is_empty()) {
                    let labels = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).unwrap();
                    read_labels(labels);
                }
                let value: f64 = value.parse().unwrap();
                assert!(samples.insert(series.to_string(), value).is_none(), "{series} twice");
            }
        }
        samples
    }

    /// `name="text",…` with nothing unescaped in a text.
    fn read_labels(mut labels: &str) {
        loop {
            let (name, rest) = labels.split_once("=\"").unwrap();
            assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            let mut escaped = false;
            let end = rest.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.unwrap();
            assert!(!rest[..end].contains('\n'));
            match rest[end + 1..].strip_prefix(',') {
                Some(more) => labels = more,
                None => return assert_eq!(&rest[end + 1..], ""),
            }
        }
    }

    #[test]
    fn the_page_is_in_the_format_of_prometheus() {
        let store = Store::in_memory(Options::default());
        let odd = crate::path::Path::new(["a\"b\\c\nd", "x"]).unwrap();
        store.commit(crate::store::Transaction::new(None).put(odd, Value::from(1))).unwrap();
        let hub = Hub::new(TegaId::new("own").unwrap(), store.clone());
        let mut context = Context::new(store, hub);
        context.door = Some(Arc::new(|| Value::parse(r#"{"accepted":7,"connections":2,"x":"y"}"#).unwrap()));
        let told = r#"{"x":{"state":"refused"},"y":{"calls":5,"running":1}}"#;
        context.plugins = Some(crate::http::Plugins {
            told: Arc::new(move || Value::parse(told).unwrap()),
            reload: Arc::new(|done| done()),
        });
        context.answered[4].store(3, Ordering::Relaxed);
        let reply = metrics(&context);
        assert_eq!(reply.header("Content-Type"), Some(CONTENT_TYPE));
        let samples = read(&reply.body);
        for (series, value) in [
            ("tega_store_position", 1.0),
            ("tega_store_writable", 1.0),
            ("tega_door_accepted_total", 7.0),
            ("tega_http_requests_total{status=\"4xx\"}", 3.0),
            ("tega_root_version{root=\"a\\\"b\\\\c\\nd\"}", 0.0),
            ("tega_links_up", 0.0),
            ("tega_plugin_calls_total{plugin=\"y\"}", 5.0),
        ] {
            assert_eq!(samples.get(series), Some(&value), "{series} in\n{}", reply.body);
        }
        context.store.close();
    }

    #[test]
    fn thousands_of_links_have_lines_for_some_and_sums_for_all() {
        let link = |n: usize| LinkInfo {
            tega_id: TegaId::new(&format!("r{n}")).unwrap(),
            address: "x".into(),
            up: n.is_multiple_of(2),
            since_s: 0,
            problem: None,
            silent_ms: 0,
            sessions: Vec::new(),
            roots: vec![LinkedRoot {
                name: "a".into(),
                home: TegaId::new("own").unwrap(),
                here: Some((Incarnation(1), Version(3))),
                there: Some(Version(5)),
                stale_ms: Some(1500),
                refused: None,
            }],
        };
        let all: Vec<LinkInfo> = (0..3_000).map(link).collect();
        let mut page = Page(String::new());
        links(&all, &mut page);
        let samples = read(&page.0);
        assert_eq!(samples["tega_links_up"], 1_500.0);
        assert_eq!(samples["tega_links_lag_versions"], 6_000.0);
        assert_eq!(samples["tega_links_stale_seconds_max"], 1.5);
        assert_eq!(samples.keys().filter(|series| series.starts_with("tega_link_up{")).count(), MAX_LINKS);
    }
}
