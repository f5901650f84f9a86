//! What is heard at the global while the demo runs: alarms, Wi-Fi clients that come and go, what others than the demo
//! itself change, and now and then how a router counts.

use std::time::{Duration, Instant};

use super::agent::ALARM;
use super::fleet::{MODELS, Places};
use super::script::CAST;
use super::told::Teller;
use crate::cli::fault::Fault;
use crate::cli::live::{change, lost};
use crate::cli::remote::refused;
use crate::client::live::{Event, Lost, Session};
use crate::commit::TegaId;
use crate::message::{Kind, Scope, body, channel_word, entry};
use crate::path::Key;
use crate::store::Ope;
use crate::value::Value;
use crate::words;

/// How often a router's counters are told.
const COUNTERS: Duration = Duration::from_secs(4);

/// The Wi-Fi clients of all routers, as they come and go.
const CLIENTS: &str = r"operational-[a-z]+\.wifi\.clients\..*";

/// All configurations, and the switches.
const CONFIGS: &str = r"(config-|demo).*";

/// Tells what it hears, for as long as the session lasts.
pub(super) fn listen(places: &Places, teller: &Teller) -> Result<(), Fault> {
    let global = &places.global;
    let id = TegaId::new("ear").map_err(|error| Fault::error(error.to_string()))?;
    let mut session = Session::open(global, id, Scope::Local).map_err(|failure| lost(global, &failure))?;
    for (channel, regex) in [(ALARM, false), (CLIENTS, true), (CONFIGS, true)] {
        let word = channel_word(channel, regex);
        let answer = session.request(Kind::Subscribe, &word, &body::subscribe(regex, None, false));
        let answer = answer.map_err(|failure| lost(global, &failure))?;
        answer.map_err(|refusal| refused(global, &refusal))?;
    }
    let mut due = Instant::now() + COUNTERS / 2;
    let mut models = MODELS.iter().cycle();
    loop {
        match session.next(Some(due)) {
            Ok(Some(Event::Notify(list))) => {
                let entries = entry::read_list(&list).unwrap_or_default();
                for (entry, json) in entries.iter().zip(list.as_list().map_or(&[][..], |list| list.items())) {
                    tell(entry, json, teller);
                }
            }
            Ok(Some(Event::Message(channel, from, body))) => {
                let said = body.get("message").map_or(String::new(), words::short);
                // A router's program speaks for the router.
                let who = from.strip_suffix("-agent").unwrap_or(&from);
                teller.tell(who, format!("says on {channel}: {said}"));
            }
            Ok(Some(Event::Refused(refusal))) => return Err(refused(global, &refusal)),
            Ok(Some(Event::Called(_)) | None) => {}
            Err(Lost(why)) => return Err(Fault::error(format!("{global}: {why}"))),
        }
        if Instant::now() >= due {
            due = Instant::now() + COUNTERS;
            let Some(model) = models.next() else { continue };
            let root = model.operational();
            let answer = session.request(Kind::Get, &root, "{}").map_err(|failure| lost(global, &failure))?;
            if let Ok(answer) = answer {
                teller.tell(model.id, counters(&answer));
            }
        }
    }
}

/// How a router is doing, by its operational tree in the answer to a GET.
pub(super) fn counters(answer: &Value) -> String {
    let at = |keys: &[&str]| keys.iter().try_fold(answer.get("value")?, |value, key| value.get(key));
    let shown = |keys: &[&str]| at(keys).map_or("-".to_string(), words::short);
    let load = at(&["load"]).and_then(Value::as_list).and_then(|load| load.items().first()).map(words::short);
    let bytes = at(&["interfaces", "wan", "rx_bytes"]).and_then(Value::as_int);
    let clients = at(&["wifi", "clients"]).and_then(Value::as_object).map_or(0, |all| all.members().len());
    format!(
        "counts: up {} s, load {}, wan {} MB in, Wi-Fi clients {clients}; version {}",
        shown(&["uptime"]),
        load.unwrap_or_else(|| "-".into()),
        bytes.map_or("-".to_string(), |bytes| format!("{:.2}", bytes as f64 / 1e6)),
        answer.get("version").map_or("-".to_string(), words::short),
    )
}

fn tell(entry: &entry::Entry, json: &Value, teller: &Teller) {
    const LONGEST: usize = 90;
    let root = entry.path.root().map_or("", Key::as_str);
    match (root.strip_prefix("operational-"), entry.path.keys()) {
        (Some(router), [_, _, _, _, ..]) => {
            let name = entry
                .instance
                .as_ref()
                .and_then(|client| client.get("name"))
                .map_or("", |name| name.as_str().unwrap_or(""));
            let what = if entry.ope == Ope::Put { "came" } else { "went" };
            teller.tell(router, format!("Wi-Fi client {name} {what}"));
        }
        (Some(_), _) => {}
        // What the demo does itself it tells itself.
        (None, _) if CAST.contains(&entry.tega_id.as_str()) => {}
        (None, _) => {
            let line = change(json);
            let cut = line.chars().count() > LONGEST;
            let line: String = line.chars().take(LONGEST).collect();
            teller.tell(&entry.tega_id, format!("{line}{}", if cut { "…" } else { "" }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_in_one_line_whatever_there_is() {
        let answer = r#"{"value":{"uptime":61,"load":[0.42,0.1,0.1],"interfaces":{"wan":{"rx_bytes":7654321}},
            "wifi":{"clients":{"7a":{"name":"tv"}}}},"version":12}"#;
        assert_eq!(
            counters(&Value::parse(answer).unwrap()),
            "counts: up 61 s, load 0.42, wan 7.65 MB in, Wi-Fi clients 1; version 12"
        );
        let odd = counters(&Value::parse(r#"{"value":{"load":5,"wifi":1}}"#).unwrap());
        assert_eq!(odd, "counts: up - s, load -, wan - MB in, Wi-Fi clients 0; version -");
    }
}
