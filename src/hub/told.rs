//! A NOTIFY that came over a link, as one session is told it.

use std::sync::Arc;

use super::{Dialect, Frame, Hub, Joining, Outbox};
use crate::path::Path;
use crate::token::Access;
use crate::tree::{Node, Stamp, Version, within};
use crate::value::{Value, write_string};

/// What only our dialect has in an entry.
const OURS: [&str; 5] = ["root", "inc", "version", "position", "ephemeral"];

impl Hub {
    /// Tells sessions here what changed at the global server: those that listen to exactly this channel with the scope
    /// `global`. `entries` are those of a NOTIFY in our dialect. Returns how many sessions were told; nobody is told of
    /// what was done under the own tega ID, nor of more than they may read.
    pub fn notify(&self, channel: &str, regex: bool, entries: &Value) -> usize {
        let listeners = self.state().global_listeners(channel, regex);
        let told = |(who, outbox): &(Joining, Arc<Outbox>)| {
            let frame = frame(entries, who);
            frame.is_some_and(|frame| outbox.push(Frame::Own(frame)))
        };
        listeners.iter().filter(|listener| told(listener)).count()
    }
}

/// The frame for a session; `None`: there's nothing in it for this one.
fn frame(entries: &Value, who: &Joining) -> Option<String> {
    let own = |entry: &&Value| entry.get("tega_id").and_then(Value::as_str) == Some(who.tega_id.as_str());
    let entries = entries.as_list()?.items().iter().filter(|entry| !own(entry));
    let mut frame = String::from("NOTIFY\n[");
    let mut before = "";
    for entry in entries {
        let Some(seen) = seen(entry, &who.access) else { continue };
        let Some(members) = entry.as_object() else { continue };
        frame.push_str(before);
        before = ",";
        let mut begin = '{';
        for (key, value) in members.members() {
            if who.dialect == Dialect::Original && OURS.contains(&key.as_str()) {
                continue;
            }
            let value = match (&seen, key.as_str()) {
                (Seen::Whole, _) => value,
                (Seen::Cut(instance), "instance") => instance,
                (Seen::Gone, "instance") => &Value::Null,
                (Seen::Gone, "ope") => &Value::from("DELETE"),
                (Seen::Cut(_) | Seen::Gone, _) => value,
            };
            frame.push(begin);
            begin = ',';
            // Writing to a String can't fail.
            let _ = write_string(key, &mut frame);
            frame.push(':');
            let _ = value.write(&mut frame);
        }
        frame.push_str(if begin == '{' { "{}" } else { "}" });
    }
    frame.push(']');
    (!before.is_empty()).then_some(frame)
}

/// What of an entry may be seen.
enum Seen {
    Whole,
    /// This is left of the instance.
    Cut(Value),
    /// Nothing is left of what was put: as far as may be seen, that deleted it.
    Gone,
}

fn seen(entry: &Value, access: &Access) -> Option<Seen> {
    let Some(readable) = access.readable() else { return Some(Seen::Whole) };
    let text = |name| entry.get(name).and_then(Value::as_str);
    let path = Path::parse(text("path")?).ok()?;
    if access.may_read(&path) {
        return Some(Seen::Whole);
    }
    if !access.may_read_some(&path) {
        return None;
    }
    let stamp = Stamp::version(Version(0));
    let node = entry.get("instance").and_then(|value| Node::build(value, stamp, path.len() - 1).ok());
    let left = node.and_then(|node| within(node.with_stamp(stamp), path.keys(), readable));
    match left {
        Some(left) => Some(Seen::Cut(left.to_value())),
        None if text("ope") == Some("DELETE") => None,
        // One that was too large to be sent is told as gone as well: it's read again in either case.
        None => Some(Seen::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::TegaId;
    use crate::hub::Scope;
    use crate::token::Grant;

    fn told(read: &[&str], entries: &str) -> Option<String> {
        let read = read.iter().map(|path| Path::parse(path).unwrap()).collect();
        let access = Access::of(Grant { read, ..Grant::default() }.into());
        let tega_id = TegaId::new("me").unwrap();
        let (scope, dialect, from) = (Scope::Global, Dialect::Original, String::new());
        let who = Joining { tega_id, scope, dialect, from, access };
        frame(&Value::parse(entries).unwrap(), &who)
    }

    #[test]
    fn an_entry_is_cut_to_what_its_reader_may_see() {
        let put = r#"[{"ope":"PUT","path":"a","tega_id":"x","instance":{"b":{"c":1},"d":2},"version":3}]"#;
        let entry = |ope: &str, instance: &str| {
            Some(format!(
                "NOTIFY\n[{{\"instance\":{instance},\"ope\":\"{ope}\",\"path\":\"a\",\"tega_id\":\"x\"}}]"
            ))
        };
        assert_eq!(told(&["a"], put), entry("PUT", r#"{"b":{"c":1},"d":2}"#));
        assert_eq!(told(&["a.b"], put), entry("PUT", r#"{"b":{"c":1}}"#));
        assert_eq!(told(&["a.e"], put), entry("DELETE", "null"));
        assert_eq!(told(&["b"], put), None);
        assert_eq!(told(&["a.e"], &put.replace("PUT", "DELETE")), None);
    }
}
