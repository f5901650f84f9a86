//! One node in a page of many: what it is, without what is below it, and of a long value the beginning.

use std::fmt::{self, Write};

use crate::path::{Key, Path};
use crate::store::Store;
use crate::tree::{Kind, NodeRef};
use crate::value::{Value, beginning, write_string};

/// A leaf whose JSON is longer, in bytes, is shown by its beginning.
const MAX_WHOLE: usize = 256;

/// How many characters such a beginning has.
const MAX_START: usize = 200;

// Writing to a String can't fail, so the results of writes are dropped below.

/// Appends `,"version":N`, or, for an ephemeral node, `,"owner":TEGA_ID`: null for one that only those below hold up.
pub(super) fn write_stamp(store: &Store, keys: &[Key], node: NodeRef<'_>, out: &mut String) {
    if let Some(version) = node.stamp.as_version() {
        let _ = write!(out, ",\"version\":{version}");
        return;
    }
    // A tega ID needs no escapes.
    let _ = match store.owner(&Path::from_checked(keys.to_vec())) {
        Some(owner) => write!(out, ",\"owner\":\"{owner}\""),
        None => out.write_str(",\"owner\":null"),
    };
}

/// Appends the stamp, and then, of a container, `,"count":N`; of a short leaf `,"value":…`; of a long one
/// `,"kind":"string"|"list","bytes":N,"start":"…"`. Returns how many bytes of a value were gone through.
pub(super) fn write_row(store: &Store, keys: &[Key], node: NodeRef<'_>, out: &mut String) -> usize {
    write_stamp(store, keys, node, out);
    let leaf = match node.kind {
        Kind::Leaf(leaf) => leaf,
        Kind::Container(container) => {
            let _ = write!(out, ",\"count\":{}", container.len());
            return 0;
        }
    };
    let mut json = Beginning::default();
    // The length of a string is known, and it may be a long one.
    let long = leaf.as_str().filter(|text| text.len() > MAX_WHOLE);
    if long.is_none() {
        let _ = leaf.write(&mut json);
    }
    match (leaf, long) {
        (_, None) if json.bytes <= MAX_WHOLE => {
            out.push_str(",\"value\":");
            out.push_str(&json.text);
        }
        (Value::Text(text), _) => write_start("string", text.len(), text, out),
        _ => write_start("list", json.bytes, &json.text, out),
    }
    json.bytes
}

fn write_start(kind: &str, bytes: usize, text: &str, out: &mut String) {
    let end = text.char_indices().nth(MAX_START).map_or(text.len(), |(at, _)| at);
    let _ = write!(out, ",\"kind\":\"{kind}\",\"bytes\":{bytes},\"start\":");
    let _ = write_string(&text[..end], out);
}

/// The beginning of what is written to it, which is as much as a row may need, and how long all of it is.
#[derive(Default)]
struct Beginning {
    text: String,
    bytes: usize,
}

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const KEPT: usize = MAX_START * 4;
        // Once something was left out, all that follows is.
        if self.text.len() == self.bytes {
            let room = KEPT.saturating_sub(self.text.len());
            self.text.push_str(beginning(text, room));
        }
        self.bytes += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use crate::tree::{Stamp, Version};

    fn row(json: &str) -> String {
        let store = Store::in_memory(Options::default());
        let leaf = Value::parse(json).unwrap();
        let node = NodeRef { stamp: Stamp::version(Version(3)), kind: Kind::Leaf(&leaf) };
        let mut out = String::new();
        write_row(&store, &["a".into()], node, &mut out);
        store.close();
        out
    }

    #[test]
    fn a_short_leaf_is_shown_whole_up_to_the_limit() {
        assert_eq!(row("1.5"), r#","version":3,"value":1.5"#);
        let at_the_limit = format!("\"{}\"", "x".repeat(MAX_WHOLE - 2));
        assert_eq!(row(&at_the_limit), format!(r#","version":3,"value":{at_the_limit}"#));
        let above = format!("\"{}\"", "x".repeat(MAX_WHOLE - 1));
        assert!(row(&above).starts_with(r#","version":3,"kind":"string","bytes":255,"start":"xxx"#));
    }

    #[test]
    fn of_a_long_leaf_there_is_the_beginning_and_its_length() {
        let text = format!("é\"{}", "ü".repeat(1000));
        let start: String = text.chars().take(MAX_START).collect();
        let shown = |start: &str| Value::from(start).to_string();
        assert_eq!(
            row(&Value::from(text.as_str()).to_string()),
            format!(r#","version":3,"kind":"string","bytes":2003,"start":{}"#, shown(&start))
        );
        let list = format!("[\"{}\",[1,2]]", "€".repeat(900));
        let start: String = list.chars().take(MAX_START).collect();
        assert_eq!(
            row(&list),
            format!(r#","version":3,"kind":"list","bytes":{},"start":{}"#, list.len(), shown(&start))
        );
    }
}
