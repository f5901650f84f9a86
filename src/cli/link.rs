//! `fleet TEGA_ID`: one linked server in detail, and the line that stands for many.

use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out, table};
use crate::commit::TegaId;
use crate::path::Path;
use crate::value::Value;
use crate::words::links::{self, ROOT_HEADING, span, state};

/// More links than this are one line of `tega status`.
const FEW: usize = 16;

/// Prints the link to one server.
pub(super) fn show(
    typed: &Typed,
    remote: &Remote,
    links: &Value,
    id: &str,
    out: &mut Out,
) -> Result<(), Fault> {
    TegaId::new(id).map_err(|error| Fault::usage(error.to_string()))?;
    let named = |link: &&Value| link.get("tega_id").and_then(Value::as_str) == Some(id);
    let Some(link) = items(links).iter().find(named) else {
        return Err(Fault::new(Exit::NotFound, format!("{}: no link with {id}", remote.target())));
    };
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, link);
    }
    out.text(&table(&head(link)))?;
    let roots = roots(link);
    if roots.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let heading = ROOT_HEADING.map(String::from).to_vec();
    out.table(&std::iter::once(heading).chain(roots).collect::<Vec<_>>())
}

fn items(links: &Value) -> &[Value] {
    links.as_list().map_or(&[][..], |list| list.items())
}

/// What there is to say of the link itself: a name and a value a line.
fn head(link: &Value) -> Vec<Vec<String>> {
    let text = |name| link.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let number = |name| link.get(name).and_then(Value::as_int);
    let sessions: Vec<&str> =
        link.get("sessions").map_or(&[][..], items).iter().filter_map(Value::as_str).collect();
    let lines = [
        ("id", text("tega_id").map(String::from)),
        ("state", Some(state(link).into())),
        ("since", number("since_s").map(span)),
        ("address", text("address").map(String::from)),
        ("silent", number("silent_ms").filter(|_| state(link) == "up").map(|ms| format!("{ms}ms"))),
        ("problem", text("problem").map(String::from)),
        ("uci", links::uci(link)),
        ("sessions", Some(sessions.join(" ")).filter(|ids| !ids.is_empty())),
    ];
    lines.into_iter().map(|(name, value)| vec![name.into(), value.unwrap_or_else(|| "-".into())]).collect()
}

/// A line for each root: both ends' versions, and why it's refused.
fn roots(link: &Value) -> Vec<Vec<String>> {
    links::members(link).iter().map(|(name, root)| links::root_cells(name, root).to_vec()).collect()
}

/// A status whose links are too many to be read says how many there are.
pub(super) fn summed_up(status: Value) -> Value {
    let links = status.get("links").map_or(&[][..], items);
    if links.len() <= FEW {
        return status;
    }
    let (all, up) = (links.len(), links.iter().filter(|link| state(link) == "up").count());
    let line =
        Value::from(format!("{up} of {all} up; tega fleet shows them, tega fleet TEGA_ID one").as_str());
    let Some(object) = status.as_object() else { return status };
    let members = object.members().iter().map(|(name, value)| {
        (name.clone(), if name.as_str() == "links" { line.clone() } else { value.clone() })
    });
    // Names that were different are.
    Value::object(members.collect()).unwrap_or(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = r#"{"tega_id":"r1","up":true,"address":"10.0.0.2:47","since_s":3725,"problem":null,"silent_ms":4,
        "sessions":["dhcp","hostapd"],"roots":{
        "config-r1":{"home":"g","here":7,"there":5,"lag":2,"stale_ms":null,"refused":null},
        "x y":{"home":"r2","here":null,"there":null,"lag":null,"stale_ms":90,"refused":"is mine"}}}"#;

    fn words(rows: Vec<Vec<String>>) -> Vec<String> {
        rows.into_iter().map(|row| row.join(" ").trim_end().to_string()).collect()
    }

    #[test]
    fn a_link_shows_who_is_there_and_both_ends_of_each_root() {
        let link = Value::parse(LINK).unwrap();
        assert_eq!(
            words(head(&link)),
            [
                "id r1",
                "state up",
                "since 1h2m",
                "address 10.0.0.2:47",
                "silent 4ms",
                "problem -",
                "uci -",
                "sessions dhcp hostapd"
            ]
        );
        assert_eq!(words(roots(&link)), ["config-r1 g 7 5 2 -", "[\"x y\"] r2 - - - 90ms is mine"]);
        let strange = Value::parse("{}").unwrap();
        assert_eq!((head(&strange).len(), roots(&strange).len()), (8, 0), "an older server");
    }

    #[test]
    fn a_status_with_many_links_tells_how_many_and_where_they_are_shown() {
        let status = |count: usize| {
            let links = vec![LINK; count - 1].join(",");
            Value::parse(&format!("{{\"links\":[{links},{{\"up\":false}}],\"pid\":1}}")).unwrap()
        };
        assert_eq!(summed_up(status(FEW)), status(FEW));
        let many = summed_up(status(FEW + 1));
        let line = many.get("links").and_then(Value::as_str).unwrap();
        assert!(line.starts_with("16 of 17 up; tega fleet"), "{line}");
        assert_eq!(many.get("pid"), Some(&Value::from(1)));
        let none = Value::parse("{\"links\":null}").unwrap();
        assert_eq!(summed_up(none.clone()), none);
    }
}
