//! What `NAME list` says of a plugin: its methods, and what else it wants.

use std::time::Duration;

use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::value::Value;

/// How long one run may take where the plugin doesn't say.
const TIME: Duration = Duration::from_secs(30);

/// The most seconds that it may say.
const MAX_SECONDS: i64 = 120;

/// The most methods of a plugin.
pub const MAX_METHODS: usize = 256;

/// How deep the samples of a method's arguments may be.
const MAX_DEPTH: usize = 16;

/// The most paths that it may subscribe.
pub const MAX_SUBSCRIBE: usize = 64;

/// What a notification looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One object, with the node of each path.
    Json,
    /// `PATH=JSON` lines.
    Flat,
}

/// What a plugin is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest {
    /// Each with samples of its arguments.
    pub(super) methods: Vec<(Key, Value)>,
    /// Below which the leaves of its methods stand.
    pub(super) path: Path,
    /// What it's notified of.
    pub(super) subscribe: Vec<Path>,
    pub(super) format: Format,
    pub(super) time: Duration,
}

/// Whether a name can be that of a plugin.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

impl Manifest {
    /// Reads what a plugin printed. The error says what is wrong with it.
    pub(super) fn parse(name: &str, id: &TegaId, printed: &[u8]) -> Result<Manifest, String> {
        let value = Value::parse_bytes(printed).map_err(|error| format!("it printed no JSON: {error}"))?;
        let object = value.as_object().ok_or("it printed no object")?;
        let mut path = None;
        let mut manifest = Manifest {
            methods: Vec::new(),
            path: Path::TOP,
            subscribe: Vec::new(),
            format: Format::Json,
            time: TIME,
        };
        for (key, value) in object.members() {
            match key.as_str() {
                ".path" => path = Some(node(value, id).map_err(|why| format!(".path: {why}"))?),
                ".subscribe" => manifest.subscribe = subscribed(value, id)?,
                ".format" => {
                    manifest.format = match value.as_str() {
                        Some("json") => Format::Json,
                        Some("flat") => Format::Flat,
                        _ => return Err(".format: \"json\" or \"flat\" wanted".into()),
                    };
                }
                ".timeout" => {
                    let seconds = value.as_int().filter(|s| (1..=MAX_SECONDS).contains(s));
                    let seconds = seconds.and_then(|s| u64::try_from(s).ok());
                    manifest.time = Duration::from_secs(
                        seconds.ok_or(format!(".timeout: 1 to {MAX_SECONDS} seconds wanted"))?,
                    );
                }
                other if other.starts_with('.') => {
                    return Err(format!(
                        "{other} is unknown; there are .path, .subscribe, .format and .timeout"
                    ));
                }
                // A method's name is a key, a word of a leaf, and an argument.
                method if !method.split('.').all(is_name) || method.len() > 64 => {
                    return Err(format!(
                        "the method {method:?}: letters, digits, \"-\", \"_\" and \".\" wanted"
                    ));
                }
                method if value.as_object().is_none() => {
                    return Err(format!(
                        "the method {method}: an object with samples of its arguments wanted"
                    ));
                }
                method if value.depth() > MAX_DEPTH => {
                    return Err(format!("the method {method}: samples of at most {MAX_DEPTH} levels wanted"));
                }
                _ => manifest.methods.push((key.clone(), value.clone())),
            }
        }
        if manifest.methods.is_empty() && manifest.subscribe.is_empty() {
            return Err("it has neither methods nor .subscribe".into());
        }
        if manifest.methods.len() > MAX_METHODS {
            return Err(format!("it has more than {MAX_METHODS} methods"));
        }
        manifest.path = match path {
            Some(path) => path,
            None => Path::new([&*format!("operational-{id}"), "rpc", name]).map_err(|e| e.to_string())?,
        };
        for (method, _) in &manifest.methods {
            manifest.leaf(method)?;
        }
        Ok(manifest)
    }

    /// Where the leaf of a method stands.
    pub(super) fn leaf(&self, method: &Key) -> Result<Path, String> {
        self.path.join(method.clone()).map_err(|error| error.to_string())
    }
}

/// A path that a plugin names.
fn node(value: &Value, id: &TegaId) -> Result<Path, String> {
    let text = value.as_str().ok_or("a path wanted, as text")?.replace("{id}", id.as_str());
    let path = Path::parse(&text).map_err(|error| error.to_string())?;
    path.check_root().map_err(|error| error.to_string())?;
    Ok(path)
}

fn subscribed(value: &Value, id: &TegaId) -> Result<Vec<Path>, String> {
    let mut paths = Vec::new();
    let one = std::slice::from_ref(value);
    for value in value.as_list().map_or(one, |list| list.items()) {
        let path = node(value, id).map_err(|why| format!(".subscribe: {why}"))?;
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    match paths.len() {
        0 => Err(".subscribe: a path wanted, or several".into()),
        1..=MAX_SUBSCRIBE => Ok(paths),
        _ => Err(format!(".subscribe: {MAX_SUBSCRIBE} paths are the most")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(printed: &str) -> Result<Manifest, String> {
        Manifest::parse("p", &TegaId::new("r1").unwrap(), printed.as_bytes())
    }

    #[test]
    fn a_plugin_of_rpcd_is_one_as_it_is() {
        let manifest =
            parse("{ \"status\": {}, \"set\": { \"name\": \"str\", \"on\": true, \"n\": 32 } }\n").unwrap();
        assert_eq!(manifest.path.to_string(), "operational-r1.rpc.p");
        let methods: Vec<String> = manifest.methods.iter().map(|(m, s)| format!("{m} {s}")).collect();
        assert_eq!(methods, [r#"set {"n":32,"name":"str","on":true}"#, "status {}"]);
        assert_eq!(
            (manifest.time.as_secs(), manifest.format, manifest.subscribe.len()),
            (30, Format::Json, 0)
        );
        assert_eq!(manifest.leaf(&"set".into()).unwrap().to_string(), "operational-r1.rpc.p.set");
    }

    #[test]
    fn a_plugin_says_where_it_is_and_what_it_hears() {
        let manifest = parse(
            r#"{".path":"fn.{id}",".subscribe":["config-{id}.dns","a","a"],".format":"flat",".timeout":120,"f":{}}"#,
        );
        let manifest = manifest.unwrap();
        assert_eq!(manifest.path.to_string(), "fn.r1");
        let subscribe: Vec<String> = manifest.subscribe.iter().map(Path::to_string).collect();
        assert_eq!(subscribe, ["config-r1.dns", "a"]);
        assert_eq!((manifest.time.as_secs(), manifest.format), (120, Format::Flat));
        assert_eq!(parse(r#"{".subscribe":"x"}"#).unwrap().subscribe.len(), 1);
    }

    #[test]
    fn what_is_no_plugin_is_refused_with_what_is_wrong() {
        let many: Vec<String> = (0..=MAX_METHODS).map(|n| format!("\"m{n}\":{{}}")).collect();
        let paths: Vec<String> = (0..=MAX_SUBSCRIBE).map(|n| format!("\"p{n}\"")).collect();
        for (printed, why) in [
            ("", "no JSON"),
            ("hello", "no JSON"),
            ("[]", "no object"),
            ("{}", "neither"),
            (r#"{"a":1}"#, "samples"),
            (r#"{"a b":{}}"#, "a b"),
            (&format!("{{\"a\":{}{}}}", "{\"x\":".repeat(20), "1".to_string() + &"}".repeat(20)), "16"),
            (r#"{"a..b":{}}"#, "a..b"),
            (r#"{".path":7,"a":{}}"#, ".path"),
            (r#"{".path":"","a":{}}"#, ".path"),
            (r#"{".path":"_x.y","a":{}}"#, ".path"),
            (r#"{".subscribe":[],"a":{}}"#, ".subscribe"),
            (r#"{".subscribe":"a..b","a":{}}"#, ".subscribe"),
            (r#"{".format":"xml","a":{}}"#, ".format"),
            (r#"{".timeout":0,"a":{}}"#, ".timeout"),
            (r#"{".timeout":121,"a":{}}"#, ".timeout"),
            (r#"{".subscibe":"a","a":{}}"#, ".subscibe"),
            (&format!("{{{}}}", many.join(",")), "256"),
            (&format!("{{\".subscribe\":[{}]}}", paths.join(",")), "64"),
        ] {
            let error = parse(printed).unwrap_err();
            assert!(error.contains(why), "{printed}: {error}");
        }
        assert!(parse(&format!("{{{}}}", many[1..].join(","))).is_ok());
    }
}
