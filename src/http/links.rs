//! Links as `/_status` and `/_sessions` show them.
//!
//! Written as text at once: a global server has thousands.

use std::fmt::Write;

use super::Context;
use super::info::{id, object, or_null};
use crate::hub::{GlobalInfo, LinkInfo, LinkedRoot};
use crate::path::{Key, Path};
use crate::store::View;
use crate::value::{Value, write_string};

/// More links than this are encoded on a thread that may take its time.
const INLINE_LINKS: usize = 64;

/// Runs `job` where so many links may be encoded.
pub(super) fn run(context: &Context, job: impl FnOnce() + Send + 'static) {
    if context.hub.links_up() <= INLINE_LINKS { job() } else { context.heavy.run(job) }
}

// Writing to a String can't fail, so the results of writes are dropped below.

/// Appends one link: `{"tega_id":…,"link":true,"up":…,"address":…,"since_s":N,"problem":…,"silent_ms":N,
/// "sessions":[…],"roots":{ROOT:…}}`, and `uci` where the router told of that.
pub(super) fn write(link: &LinkInfo, view: &View, out: &mut String) {
    let _ = write!(out, "{{\"tega_id\":\"{}\",\"link\":true,\"up\":{},\"address\":", link.tega_id, link.up);
    let _ = write_string(&link.address, out);
    let _ = write!(out, ",\"since_s\":{},\"problem\":", link.since_s);
    text_or_null(link.problem.as_deref(), out);
    let _ = write!(out, ",\"silent_ms\":{},\"sessions\":[", link.silent_ms);
    for (at, session) in link.sessions.iter().enumerate() {
        let _ = write!(out, "{}\"{session}\"", if at > 0 { "," } else { "" });
    }
    out.push_str("],\"roots\":{");
    for (at, root) in link.roots.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        write_root(root, out);
    }
    out.push('}');
    write_uci(link, view, out);
    out.push('}');
}

/// `,"uci":{"state":…,"desired":N,"confirmed":N,"observed":N,"reason":…,"drift":[…]}` of a router with a bridge to its
/// `/etc/config`: what its config root says here, and what it told in its operational root.
fn write_uci(link: &LinkInfo, view: &View, out: &mut String) {
    let at = vec![Key::from(format!("operational-{}", link.tega_id)), Key::from("uci")];
    let Some(told) = view.get(&Path::from_checked(at)).filter(|told| told.get("state").is_some()) else {
        return;
    };
    let field = |name: &str| told.get(name).cloned().unwrap_or(Value::Null);
    let desired = view.root(&format!("config-{}", link.tega_id)).map(|root| root.version.0);
    let _ = write!(out, ",\"uci\":{{\"state\":{},\"desired\":", field("state"));
    match desired {
        Some(desired) => drop(write!(out, "{desired}")),
        None => out.push_str("null"),
    }
    for name in ["version", "confirmed", "observed", "reason"] {
        let _ = write!(out, ",\"{name}\":{}", field(name));
    }
    out.push_str(",\"drift\":[");
    let drift = field("drift");
    for (at, (name, _)) in drift.as_object().map_or(&[][..], |it| it.members()).iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        let _ = write_string(name, out);
    }
    out.push_str("]}");
}

/// `NAME:{"home":…,"inc":…,"here":N,"there":N,"lag":N,"stale_ms":N,"refused":…}`; what isn't known is null.
fn write_root(root: &LinkedRoot, out: &mut String) {
    let _ = write_string(&root.name, out);
    let _ = write!(out, ":{{\"home\":\"{}\"", root.home);
    let (incarnation, here) = root.here.unzip();
    match incarnation {
        Some(incarnation) => drop(write!(out, ",\"inc\":\"{incarnation}\"")),
        None => out.push_str(",\"inc\":null"),
    }
    let mut number = |name: &str, value: Option<u64>| match value {
        Some(value) => drop(write!(out, ",\"{name}\":{value}")),
        None => drop(write!(out, ",\"{name}\":null")),
    };
    number("here", here.map(|version| version.0));
    number("there", root.there.map(|version| version.0));
    number("lag", root.lag());
    number("stale_ms", root.stale_ms);
    out.push_str(",\"refused\":");
    text_or_null(root.refused.as_deref(), out);
    out.push('}');
}

fn text_or_null(text: Option<&str>, out: &mut String) {
    match text {
        Some(text) => drop(write_string(text, out)),
        None => out.push_str("null"),
    }
}

/// Appends a list of links.
pub(super) fn write_list(links: &[LinkInfo], view: &View, out: &mut String) {
    out.push('[');
    for (at, link) in links.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        write(link, view, out);
    }
    out.push(']');
}

/// How a local stands towards its global server.
pub(super) fn global(info: &GlobalInfo) -> Value {
    object([
        ("address", Value::from(info.address.as_str())),
        ("tega_id", or_null(info.tega_id.as_ref(), id)),
        ("up", Value::from(info.up)),
        ("since", Value::from(info.since.at_ms)),
        ("since_s", Value::from(info.since.ago_s)),
        ("problem", or_null(info.problem.as_deref(), Value::from)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{Incarnation, TegaId};
    use crate::store::{Options, Store, Transaction};
    use crate::tree::Version;

    #[test]
    fn a_link_is_shown_with_what_each_end_has_of_each_root() {
        let root = |name: &str| LinkedRoot {
            name: name.into(),
            home: TegaId::new("g").unwrap(),
            here: Some((Incarnation(0xab), Version(7))),
            there: Some(Version(5)),
            stale_ms: None,
            refused: None,
        };
        let link = LinkInfo {
            tega_id: TegaId::new("r1").unwrap(),
            address: "10.0.0.2:4711".into(),
            up: true,
            since_s: 12,
            problem: None,
            silent_ms: 40,
            sessions: vec![TegaId::new("hostapd").unwrap(), TegaId::new("dhcp").unwrap()],
            roots: vec![
                root("a"),
                LinkedRoot { here: None, there: None, refused: Some("is \"mine\"".into()), ..root("b") },
            ],
        };
        let mut out = String::new();
        let store = Store::in_memory(Options::default());
        let put = |path: &str, json: &str| {
            let put = Transaction::new(None).put(path.parse().unwrap(), Value::parse(json).unwrap());
            store.commit(put).unwrap();
        };
        put("config-r1.uci", "{}");
        put(
            "operational-r1.uci",
            r#"{"state":"reverted","version":4,"confirmed":3,"observed":3,"reason":"no","drift":{"dhcp":{}}}"#,
        );
        write_list(
            &[link.clone(), LinkInfo { up: false, roots: Vec::new(), ..link }],
            &store.view(),
            &mut out,
        );
        let value = Value::parse(&out).unwrap();
        let first = &value.as_list().unwrap().items()[0];
        let text = |path: &[&str]| path.iter().fold(first, |v, key| v.get(key).unwrap()).to_string();
        assert_eq!(text(&["sessions"]), r#"["hostapd","dhcp"]"#);
        assert_eq!(
            text(&["roots", "a"]),
            r#"{"here":7,"home":"g","inc":"00000000000000ab","lag":2,"refused":null,"stale_ms":null,"there":5}"#
        );
        assert_eq!(text(&["roots", "b", "refused"]), r#""is \"mine\"""#);
        assert_eq!(text(&["roots", "b", "lag"]), "null");
        let uci = r#"{"confirmed":3,"desired":0,"drift":["dhcp"],"observed":3,"reason":"no","state":"reverted","version":4}"#;
        assert_eq!(text(&["uci"]), uci);
    }
}
