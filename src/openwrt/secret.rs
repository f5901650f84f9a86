//! Which options nobody is shown unless he asks.
//!
//! A key or password is part of the configuration like all else, and so it's in the tree, in its history and in the log.
//! But a diff on a screen, a line in a log file or an export that is sent to somebody needn't show it. [`Secrets`] says
//! by an option's name whether it is one, and [`Secrets::hide`] puts [`HIDDEN`] in its place.
//!
//! A name is all that there is to go by, and a list of names is never whole: who knows of more adds them. It's no
//! protection against somebody who may read the tree.

use crate::path::{Key, Path};
use crate::value::Value;

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
        let name = option.to_ascii_lowercase();
        let public = PUBLIC.iter().any(|pattern| fits(pattern, &name));
        let named = |pattern: &String| fits(pattern, &name) && (!public || *pattern == name);
        self.names.iter().any(named)
    }

    /// The value with [`HIDDEN`] for every secret in it, however deep: of an option, a section, a package or all of them.
    ///
    /// ```
    /// use tega::{openwrt::secret::Secrets, value::Value};
    /// let wifi = Value::parse(r#"{"w":{"ssid":"a","key":"b","sae_password":["c","d"]}}"#)?;
    /// let shown = Secrets::default().hide(&wifi);
    /// assert_eq!(shown.to_string(), r#"{"w":{"key":"***","sae_password":["***","***"],"ssid":"a"}}"#);
    /// # Ok::<(), tega::value::ParseError>(())
    /// ```
    pub fn hide(&self, value: &Value) -> Value {
        let Some(object) = value.as_object() else { return value.clone() };
        let member = |(key, value): &(Key, Value)| {
            let secret = self.hides(key) && value.as_object().is_none();
            (key.clone(), if secret { hidden(value) } else { self.hide(value) })
        };
        // The same keys, and no deeper than before.
        Value::object(object.members().iter().map(member).collect()).unwrap_or(Value::Null)
    }

    /// The same for the value at a path, which may be an option's.
    pub fn hide_at(&self, path: &Path, value: &Value) -> Value {
        let secret = value.as_object().is_none() && path.name().is_some_and(|name| self.hides(name));
        if secret { hidden(value) } else { self.hide(value) }
    }
}

/// A value that tells no more than whether it's one or many.
fn hidden(value: &Value) -> Value {
    let Some(list) = value.as_list() else { return Value::from(HIDDEN) };
    let items: Vec<Value> = list.items().iter().map(|_| Value::from(HIDDEN)).collect();
    Value::list(items).unwrap_or_else(|_| Value::from(HIDDEN))
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
    fn an_option_alone_is_hidden_by_its_path() {
        let at = |path: &str| Secrets::default().hide_at(&Path::parse(path).unwrap(), &Value::from("x"));
        assert_eq!(at("config-r.uci.wireless.w.key"), Value::from(HIDDEN));
        assert_eq!(at("config-r.uci.wireless.w.ssid"), Value::from("x"));
    }

    #[test]
    fn what_is_below_a_section_of_a_secret_name_is_looked_at() {
        let value = Value::parse(r#"{"key":{".type":"x","a":"1","psk":true}}"#).unwrap();
        assert_eq!(
            Secrets::default().hide(&value).to_string(),
            r#"{"key":{".type":"x","a":"1","psk":"***"}}"#
        );
    }
}
