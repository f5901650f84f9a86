//! A NOTIFY that came over a link, as one session is told it.

use std::sync::Arc;

use super::{Dialect, Frame, Hub, Outbox};
use crate::commit::TegaId;
use crate::value::{Value, write_string};

/// What only our dialect has in an entry.
const OURS: [&str; 5] = ["root", "inc", "version", "position", "ephemeral"];

impl Hub {
    /// Tells sessions here what changed at the global server: those that listen to exactly this channel with the scope
    /// `global`. `entries` are those of a NOTIFY in our dialect. Returns how many sessions were told; nobody is told of
    /// what was done under the own tega ID.
    pub fn notify(&self, channel: &str, regex: bool, entries: &Value) -> usize {
        let listeners = self.state().global_listeners(channel, regex);
        let told = |(tega_id, dialect, outbox): &(TegaId, Dialect, Arc<Outbox>)| {
            let frame = frame(entries, tega_id.as_str(), *dialect);
            frame.is_some_and(|frame| outbox.push(Frame::Own(frame)))
        };
        listeners.iter().filter(|listener| told(listener)).count()
    }
}

/// The frame for a session; `None`: there's nothing in it for this one.
fn frame(entries: &Value, tega_id: &str, dialect: Dialect) -> Option<String> {
    let own = |entry: &&Value| entry.get("tega_id").and_then(Value::as_str) == Some(tega_id);
    let entries = entries.as_list()?.items().iter().filter(|entry| !own(entry));
    let mut frame = String::from("NOTIFY\n[");
    let mut before = "";
    for entry in entries.filter_map(Value::as_object) {
        frame.push_str(before);
        before = ",";
        let members = entry
            .members()
            .iter()
            .filter(|(key, _)| dialect == Dialect::Second || !OURS.contains(&key.as_str()));
        let mut begin = '{';
        for (key, value) in members {
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
