//! Which options nobody is shown unless he asks.
//!
//! A key or password is part of the configuration like all else, and so it's in the tree, in its history and in the log.
//! But a diff on a screen, a line in a log file or an export that is sent to somebody needn't show it. [`Secrets`] says
//! by an option's name whether it is one, [`hide`] puts [`HIDDEN`] in its place, and [`first_hidden`] keeps that from being
//! taken for a value.
//!
//! A name is all that there is to go by, and a list of names is never whole: who knows of more adds them. It's no
//! protection against somebody who may read the tree.

use super::UCI;
use crate::path::{Key, Path};
use crate::value::Value;
use crate::words::each_leaf;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "***";

/// Names of secret options in OpenWrt's packages; a leading `*` stands for anything.
pub const SECRETS: &[&str] = &[
    "key",
    "key1",
    "key2",
    "key3",
    "key4",
    "*_key",
    "*apikey",
    "password",
    "passwd",
    "pass",
    "*_password",
    "*_passwd",
    "*_pass",
    "*passphrase",
    "psk",
    "*_psk",
    "secret",
    "*_secret",
    "pin",
    "pincode",
    "*_pin",
    "puk",
    "token",
    "*_token",
    "*_pwd",
    "r0kh",
    "r1kh",
    "sae_password",
    "preshared_key",
    "private_key",
    "community",
];

/// Names that look as if they were secret.
const PUBLIC: &[&str] = &["public_key", "*_public_key", "host_key", "ca_key"];

/// The options that are secret.
#[derive(Clone, Debug)]
pub struct Secrets {
    names: Vec<String>,
}

impl Default for Secrets {
    /// Those of [`SECRETS`].
    fn default() -> Secrets {
        Secrets { names: SECRETS.iter().map(ToString::to_string).collect() }
    }
}

impl Secrets {
    /// None at all: for somebody who asked to see them.
    pub fn none() -> Secrets {
        Secrets { names: Vec::new() }
    }

    /// These too: names of options, where a leading or trailing `*` stands for anything.
    pub fn with<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Secrets {
        self.names.extend(names.into_iter().map(|name| name.into().to_ascii_lowercase()));
        self
    }

    /// Whether the option of this name is one. Capitals don't matter.
    pub fn hides(&self, option: &str) -> bool {
        is_named(option, self.names.iter().map(String::as_str))
    }
}

/// Whether the leaf with these keys is a secret by [`SECRETS`]: an option of that name in `ROOT.uci.PACKAGE.SECTION`.
pub fn is_secret(keys: &[Key]) -> bool {
    match keys {
        [_, uci, _, _, option, ..] => uci == UCI && is_named(option, SECRETS.iter().copied()),
        _ => false,
    }
}

/// The value at a path with [`HIDDEN`] for every secret in it by [`is_secret`], and how many those were.
///
/// ```
/// use tega::{openwrt::secret::hide, path::Path, value::Value};
/// let wifi = Value::parse(r#"{"w":{"ssid":"a","key":"b","sae_password":["c","d"]}}"#)?;
/// let (shown, hidden) = hide(&Path::parse("config-r1.uci.wireless").unwrap(), &wifi);
/// assert_eq!(shown.to_string(), r#"{"w":{"key":"***","sae_password":["***","***"],"ssid":"a"}}"#);
/// assert_eq!(hidden, 2);
/// # Ok::<(), tega::value::ParseError>(())
/// ```
pub fn hide(path: &Path, value: &Value) -> (Value, usize) {
    let mut hidden = 0;
    (hide_below(&mut path.keys().to_vec(), value, &mut hidden), hidden)
}

/// Recurses once a level of a value, which has few.
fn hide_below(keys: &mut Vec<Key>, value: &Value, hidden: &mut usize) -> Value {
    let Some(object) = value.as_object() else {
        if !is_secret(keys) {
            return value.clone();
        }
        *hidden += 1;
        return in_place_of(value);
    };
    let member = |(key, value): &(Key, Value)| {
        keys.push(key.clone());
        let shown = hide_below(keys, value, hidden);
        keys.pop();
        (key.clone(), shown)
    };
    // The same keys, and no deeper than before.
    Value::object(object.members().iter().map(member).collect()).unwrap_or(Value::Null)
}

/// Whether a value is what stands in the place of a secret, and so none itself.
pub fn is_hidden(value: &Value) -> bool {
    match value.as_list() {
        Some(list) => list.items().iter().any(|item| item.as_str() == Some(HIDDEN)),
        None => value.as_str() == Some(HIDDEN),
    }
}

/// The first option in a value at a path that stands where a secret was hidden: written back it would replace the secret.
pub fn first_hidden(path: &Path, value: &Value) -> Option<Path> {
    let mut found = None;
    each_leaf(path, value, &mut |keys, leaf| {
        if found.is_none() && is_hidden(leaf) && is_secret(keys) {
            found = Some(Path::from_checked(keys.to_vec()));
        }
    });
    found
}

/// A value that tells no more than whether it's one or many.
fn in_place_of(value: &Value) -> Value {
    let Some(list) = value.as_list() else { return Value::from(HIDDEN) };
    let items: Vec<Value> = list.items().iter().map(|_| Value::from(HIDDEN)).collect();
    Value::list(items).unwrap_or_else(|_| Value::from(HIDDEN))
}

/// Whether one of these patterns means an option; one that only looks secret must be named whole.
fn is_named<'a>(option: &str, mut patterns: impl Iterator<Item = &'a str>) -> bool {
    let name = option.to_ascii_lowercase();
    let is_public = PUBLIC.iter().any(|pattern| fits(pattern, &name));
    patterns.any(|pattern| fits(pattern, &name) && (!is_public || pattern == name))
}

fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_passwords_are_hidden_and_what_only_looks_so_is_not() {
        let secrets = Secrets::default();
        for name in
            ["key", "Key2", "password", "private_key", "preshared_key", "auth_secret", "pin", "token", "psk"]
        {
            assert!(secrets.hides(name), "{name}");
        }
        for name in ["public_key", "ssid", "encryption", "keyalg", "monkey", "pinned", "proto"] {
            assert!(!secrets.hides(name), "{name}");
        }
        assert!(!Secrets::none().hides("key"));
        let more = Secrets::default().with(["SSID", "*name", "public_key"]);
        assert!(more.hides("ssid") && more.hides("username") && more.hides("public_key"));
    }

    #[test]
    fn only_options_of_a_router_are_hidden_wherever_one_looks_from() {
        let of = |path: &str, json: &str| {
            let path = Path::parse(path).unwrap();
            let (shown, hidden) = hide(&path, &Value::parse(json).unwrap());
            format!("{shown} {hidden}")
        };
        assert_eq!(of("r.uci.wireless.w.key", r#""x""#), r#""***" 1"#);
        assert_eq!(of("r.uci.wireless.w.ssid", r#""x""#), r#""x" 0"#);
        assert_eq!(
            of("r.uci.p", r#"{"key":{".type":"t","psk":true}}"#),
            r#"{"key":{".type":"t","psk":"***"}} 1"#
        );
        let roots = r#"{"r":{"key":"a","uci":{"p":{"s":{"key":["b"]}}}}}"#;
        assert_eq!(of("/", roots), r#"{"r":{"key":"a","uci":{"p":{"s":{"key":["***"]}}}}} 1"#);
        assert_eq!(of("r.other.p.s.key", r#""x""#), r#""x" 0"#);
    }

    #[test]
    fn what_was_hidden_is_known_again() {
        let first = |json: &str| {
            first_hidden(&Path::parse("r.uci").unwrap(), &Value::parse(json).unwrap())
                .map(|path| path.to_string())
        };
        let json = r#"{"w":{"a":{"ssid":"***","key":"secret"},"b":{"key":"***"}}}"#;
        assert_eq!(first(json).as_deref(), Some("r.uci.w.b.key"));
        assert_eq!(
            first(r#"{"w":{"b":{"sae_password":["x","***"]}}}"#).as_deref(),
            Some("r.uci.w.b.sae_password")
        );
        assert_eq!(first(r#"{"w":{"b":{"key":"****"}}}"#), None);
    }
}
