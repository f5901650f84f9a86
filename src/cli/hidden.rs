//! Records of the commit log without the keys and passwords of routers.

use crate::openwrt::secret::{self, HIDDEN};
use crate::path::{Key, Path};
use crate::value::{Limits, Value};

/// Hides secrets in record after record: the nodes of a state belong to the root that was named before them.
#[derive(Debug, Default)]
pub(super) struct Hider {
    /// Down to the last node.
    keys: Vec<Key>,
}

impl Hider {
    /// A record as it may be shown.
    pub(super) fn show(&mut self, record: &str) -> String {
        let value = Value::parse_with(record, Limits::wrapped()).ok();
        let shown = value.and_then(|value| Some(self.record(&value)).filter(|shown| *shown != value));
        // The file's own words, in their order, where nothing is to be hidden in them.
        shown.map_or_else(|| record.to_string(), |shown| shown.to_string())
    }

    fn record(&mut self, record: &Value) -> Value {
        let Some(object) = record.as_object() else {
            return each(record, |node| self.node(node));
        };
        let root = record.get("base").or_else(|| record.get("replaced")).and_then(Value::as_str);
        if let Some(root) = root {
            self.keys = vec![Key::from(root)];
        }
        if record.get("ops").is_some_and(|ops| each(ops, operation) == *ops) {
            return record.clone();
        }
        let members = object.members().iter().map(|(key, value)| (key.clone(), self.member(key, value)));
        Value::object(members.collect()).unwrap_or(Value::Null)
    }

    fn member(&mut self, name: &str, value: &Value) -> Value {
        match name {
            "ops" => each(value, operation),
            // A home's commit, as it stands there.
            "record" => self.record(value),
            // Whoever has all but a PIN of what these are made from can try them all.
            "digest" => Value::from(HIDDEN),
            "request" => request(value),
            "requests" => each(value, request),
            _ => value.clone(),
        }
    }

    /// A node of a state: `[depth,key,version,value]`.
    fn node(&mut self, node: &Value) -> Value {
        let items = node.as_list().map_or(&[][..], |list| list.items());
        let [depth, key, version, rest @ ..] = items else { return node.clone() };
        let depth = depth.as_int().and_then(|depth| usize::try_from(depth).ok());
        if let (Some(depth), Some(key)) = (depth, key.as_str()) {
            self.keys.truncate(depth);
            self.keys.push(Key::from(key));
        }
        let [value] = rest else { return node.clone() };
        let shown = secret::hide(&Path::from_checked(self.keys.clone()), value).0;
        let shown = vec![items[0].clone(), key.clone(), version.clone(), shown];
        Value::list(shown).unwrap_or(Value::Null)
    }
}

/// An operation of a commit: `{"put":PATH,"value":…}`.
fn operation(op: &Value) -> Value {
    let path = op.get("put").and_then(Value::as_str).and_then(|path| Path::parse(path).ok());
    let (Some(path), Some(object)) = (path, op.as_object()) else { return op.clone() };
    let shown = |(key, value): &(Key, Value)| {
        (key.clone(), if key == "value" { secret::hide(&path, value).0 } else { value.clone() })
    };
    Value::object(object.members().iter().map(shown).collect()).unwrap_or(Value::Null)
}

/// A request: `[ID,CRC,…]`, where the second is the checksum of what it wrote.
fn request(request: &Value) -> Value {
    let mut at = 0;
    each(request, |item| {
        at += 1;
        if at == 2 { Value::from(HIDDEN) } else { item.clone() }
    })
}

/// A list with what is to be shown in place of its items; what isn't one, as it is.
fn each(list: &Value, show: impl FnMut(&Value) -> Value) -> Value {
    let Some(items) = list.as_list() else { return list.clone() };
    Value::list(items.items().iter().map(show).collect::<Vec<Value>>()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hidden_in_commits_of_any_server_and_in_the_nodes_of_a_state() {
        let mut hider = Hider::default();
        for (record, shown) in [
            (
                r#"{"position":1,"ops":[{"put":"r.uci.w.a","value":{"key":"x","ssid":"y"}},{"delete":"r.uci.w.b"}]}"#,
                r#"{"position":1,"ops":[{"put":"r.uci.w.a","value":{"key":"***","ssid":"y"}},{"delete":"r.uci.w.b"}]}"#,
            ),
            (
                r#"{"follow":"g","as":2,"record":{"ops":[{"put":"r.uci.w.a.key","value":"x"}]}}"#,
                r#"{"follow":"g","as":2,"record":{"ops":[{"put":"r.uci.w.a.key","value":"***"}]}}"#,
            ),
            (r#"{"base":"r","version":0,"digest":"5f"}"#, r#"{"base":"r","version":0,"digest":"***"}"#),
            (
                r#"[[1,"uci",0],[2,"w",0],[3,"a",0],[4,"key",0,"x"]]"#,
                r#"[[1,"uci",0],[2,"w",0],[3,"a",0],[4,"key",0,"***"]]"#,
            ),
            // They go on in the next record, and are another root's after its name.
            (
                r#"[[3,"b",0],[4,"key",1,["x","y"]],[4,"ssid",1,"z"]]"#,
                r#"[[3,"b",0],[4,"key",1,["***","***"]],[4,"ssid",1,"z"]]"#,
            ),
            (r#"{"replaced":"s","version":0}"#, r#"{"replaced":"s","version":0}"#),
            (r#"[[1,"key",0,"x"]]"#, r#"[[1,"key",0,"x"]]"#),
            // A short key could be found by what is made from it.
            (
                r#"{"position":3,"ops":[{"put":"r.uci.w.a.pin","value":"0007"}],"request":["x",17]}"#,
                r#"{"position":3,"ops":[{"put":"r.uci.w.a.pin","value":"***"}],"request":["x","***"]}"#,
            ),
            (
                r#"{"position":3,"ops":[{"delete":"a.b"}],"request":["x",17]}"#,
                r#"{"position":3,"ops":[{"delete":"a.b"}],"request":["x",17]}"#,
            ),
            (r#"{"requests":[["x",17,3,{"r":1}]]}"#, r#"{"requests":[["x","***",3,{"r":1}]]}"#),
            ("no JSON", "no JSON"),
        ] {
            let told = hider.show(record);
            let equal = Value::parse(shown).map_or(told == shown, |wanted| Value::parse(&told) == Ok(wanted));
            assert!(equal, "{told}, not {shown}");
        }
    }
}
