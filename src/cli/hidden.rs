//! Records of the commit log without the keys and passwords of routers.

use crate::openwrt::secret;
use crate::path::{Key, Path};
use crate::value::{Limits, Value};

/// Hides secrets in record after record: the nodes of a state belong to the root that was named before them.
#[derive(Debug, Default)]
pub(super) struct Hider {
    /// Down to the last node.
    keys: Vec<Key>,
}

impl Hider {
    /// A record as it may be shown; as it is where nothing is secret in it.
    pub(super) fn show(&mut self, record: &str) -> String {
        let shown = Value::parse_with(record, Limits::wrapped()).ok().and_then(|value| self.record(&value));
        shown.map_or_else(|| record.to_string(), |value| value.to_string())
    }

    /// `None`: it has nothing to hide.
    fn record(&mut self, record: &Value) -> Option<Value> {
        if let Some(nodes) = record.as_list() {
            return each(nodes.items(), |node| self.node(node));
        }
        if let Some(root) = record.get("base").or_else(|| record.get("replaced")) {
            self.keys = vec![Key::from(root.as_str()?)];
            return None;
        }
        match (record.get("ops"), record.get("record")) {
            (Some(ops), _) => with(record, "ops", each(ops.as_list()?.items(), operation)?),
            // A home's commit, as it stands there.
            (None, Some(inner)) => with(record, "record", self.record(inner)?),
            (None, None) => None,
        }
    }

    /// A node of a state: `[depth,key,version,value]`.
    fn node(&mut self, node: &Value) -> Option<Value> {
        let [depth, key, rest @ ..] = node.as_list()?.items() else { return None };
        self.keys.truncate(usize::try_from(depth.as_int()?).ok()?);
        self.keys.push(Key::from(key.as_str()?));
        let [version, value] = rest else { return None };
        let (shown, hidden) = secret::hide(&Path::from_checked(self.keys.clone()), value);
        if hidden == 0 {
            return None;
        }
        Value::list(vec![depth.clone(), key.clone(), version.clone(), shown]).ok()
    }
}

/// An operation of a commit: `{"put":PATH,"value":…}`.
fn operation(op: &Value) -> Option<Value> {
    let path = Path::parse(op.get("put")?.as_str()?).ok()?;
    let (shown, hidden) = secret::hide(&path, op.get("value")?);
    if hidden == 0 { None } else { with(op, "value", shown) }
}

/// A list with what is to be shown in place of some items; `None`: of none.
fn each(items: &[Value], mut show: impl FnMut(&Value) -> Option<Value>) -> Option<Value> {
    let mut hides = false;
    let shown = items.iter().map(|item| {
        let shown = show(item);
        hides |= shown.is_some();
        shown.unwrap_or_else(|| item.clone())
    });
    let shown: Vec<Value> = shown.collect();
    Value::list(shown).ok().filter(|_| hides)
}

/// An object with another value for one of its members.
fn with(object: &Value, name: &str, value: Value) -> Option<Value> {
    let members = object.as_object()?.members().iter();
    let members =
        members.map(|(key, old)| (key.clone(), if key == name { value.clone() } else { old.clone() }));
    Value::object(members.collect()).ok()
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
            (r#"{"base":"r","version":0}"#, r#"{"base":"r","version":0}"#),
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
            ("no JSON", "no JSON"),
        ] {
            let told = hider.show(record);
            let equal = Value::parse(shown).map_or(told == shown, |wanted| Value::parse(&told) == Ok(wanted));
            assert!(equal, "{told}, not {shown}");
        }
    }
}
