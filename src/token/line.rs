//! A line of the token file: what it says, and both ends of its encoding.

use super::Grant;
use super::cidr::Cidr;
use super::secret::{Salted, from_hex, to_hex};
use crate::commit::TegaId;
use crate::path::{Key, Path};
use crate::value::{Object, Value};

/// The most entries of one list.
const MAX_LIST: usize = 1_000;

/// How "everything" is written where paths are wanted. A root that is really called so is written `["*"]`.
const EVERYTHING: &str = "*";

/// The fields that a line may have.
const FIELDS: [&str; 12] =
    ["name", "legacy", "salt", "hash", "from", "read", "write", "call", "channels", "admin", "as", "created"];

/// A token as the file has it.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it allows, with the name: the token's, or `legacy:TEGA_ID`.
    pub grant: Grant,
    pub(super) proof: Proof,
    /// When it was made, for people.
    pub created: String,
}

/// What shows that somebody may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// They know the secret.
    Secret(Salted),
    /// They come from one of these addresses: an original server, which knows no tokens.
    From(Vec<Cidr>),
}

impl Line {
    /// The ranges of addresses that are proof enough; empty for a token with a secret.
    pub fn from(&self) -> &[Cidr] {
        match &self.proof {
            Proof::Secret(_) => &[],
            Proof::From(from) => from,
        }
    }

    /// Whether both let the same bearers do the same.
    pub(super) fn means_the_same(&self, other: &Line) -> bool {
        self.proof == other.proof && self.grant == other.grant
    }

    /// The line, without its end.
    pub(super) fn encode(&self) -> String {
        let grant = &self.grant;
        let mut members: Vec<(Key, Value)> = Vec::new();
        let mut put = |name: &'static str, value: Value| members.push((Key::new_static(name), value));
        match (&self.proof, &grant.tega_id) {
            (Proof::From(from), Some(id)) => {
                put("legacy", Value::from(id.as_str()));
                put("from", texts(from.iter().map(Cidr::to_string)));
            }
            (Proof::From(_), None) => {}
            (Proof::Secret(salted), id) => {
                put("name", Value::from(grant.name.as_str()));
                put("salt", Value::from(to_hex(&salted.salt)));
                put("hash", Value::from(to_hex(&salted.hash)));
                if let Some(id) = id {
                    put("as", Value::from(id.as_str()));
                }
            }
        }
        for (name, paths) in [
            ("read", &grant.read),
            ("write", &grant.write),
            ("call", &grant.call),
            ("channels", &grant.channels),
        ] {
            if !paths.is_empty() {
                put(name, texts(paths.iter().map(shown)));
            }
        }
        if grant.admin {
            put("admin", Value::from(true));
        }
        put("created", Value::from(self.created.as_str()));
        // Members with names of ours, each once, and shallow: this is always an object.
        Value::object(members).unwrap_or(Value::Null).to_string()
    }

    /// Reads a line; an error says what is wrong with it.
    pub(super) fn decode(text: &str) -> Result<Line, String> {
        let value = Value::parse(text).map_err(|error| error.to_string())?;
        let fields = Fields(value.as_object().ok_or("a JSON object is wanted")?);
        if let Some((name, _)) = fields.0.members().iter().find(|(name, _)| !FIELDS.contains(&name.as_str()))
        {
            return Err(format!("unknown field {:?}; known are {}", name.as_str(), FIELDS.join(" ")));
        }
        let legacy = fields.id("legacy")?;
        let (name, tega_id, proof) = match (legacy, fields.id("name")?) {
            (Some(id), None) => {
                fields.none_of(&["salt", "hash", "as"], "legacy")?;
                let from: Result<Vec<Cidr>, String> =
                    fields.texts("from")?.into_iter().map(str::parse).collect();
                let from = from.map_err(|why| format!("from: {why}"))?;
                if from.is_empty() {
                    return Err("legacy needs the field \"from\" with ranges of addresses".into());
                }
                (legacy_name(&id), Some(id), Proof::From(from))
            }
            (None, Some(name)) => {
                fields.none_of(&["from"], "name")?;
                let salted = Salted { salt: fields.hex("salt")?, hash: fields.hex("hash")? };
                (name.as_str().to_string(), fields.id("as")?, Proof::Secret(salted))
            }
            _ => return Err("one of the fields \"name\" and \"legacy\" is wanted".into()),
        };
        let grant = Grant {
            name,
            read: fields.paths("read")?,
            write: fields.paths("write")?,
            call: fields.paths("call")?,
            channels: fields.paths("channels")?,
            admin: fields.flag("admin")?,
            tega_id,
        };
        Ok(Line { grant, proof, created: fields.text("created")?.unwrap_or_default().to_string() })
    }
}

/// What an original server's line is called; no token can have this name.
pub(super) fn legacy_name(id: &TegaId) -> String {
    format!("legacy:{id}")
}

/// Reads a path of a grant: `*` is everything.
pub fn grant_path(text: &str) -> Result<Path, String> {
    if text == EVERYTHING {
        return Ok(Path::TOP);
    }
    let path = Path::parse(text).map_err(|error| error.to_string())?;
    if path.is_empty() {
        return Err(format!("{text:?} is no path; {EVERYTHING} is everything"));
    }
    Ok(path)
}

/// A path of a grant as it's written.
pub fn shown(path: &Path) -> String {
    match path.keys() {
        [] => EVERYTHING.into(),
        [root] if root == EVERYTHING => format!("[\"{EVERYTHING}\"]"),
        _ => path.to_string(),
    }
}

fn texts(items: impl Iterator<Item = String>) -> Value {
    Value::list(items.map(Value::from).collect::<Vec<_>>()).unwrap_or(Value::Null)
}

/// The fields of a line, each with its type. Errors never repeat a value: it may be a secret in the wrong place.
struct Fields<'a>(&'a Object);

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let field = self.0.get(name);
        field.map(|value| value.as_str().ok_or_else(|| format!("{name}: a text is wanted"))).transpose()
    }

    fn id(&self, name: &str) -> Result<Option<TegaId>, String> {
        let wrong = |_| format!("{name}: letters, digits, \"-\" and \"_\" are wanted");
        self.text(name)?.map(TegaId::new).transpose().map_err(wrong)
    }

    fn hex<const N: usize>(&self, name: &str) -> Result<[u8; N], String> {
        let wanted = || format!("{name}: {} hex digits are wanted", 2 * N);
        self.text(name)?.and_then(from_hex).ok_or_else(wanted)
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        let wanted = || format!("{name}: true or false is wanted");
        self.0.get(name).map_or(Ok(false), |value| value.as_bool().ok_or_else(wanted))
    }

    fn texts(&self, name: &str) -> Result<Vec<&'a str>, String> {
        let Some(value) = self.0.get(name) else { return Ok(Vec::new()) };
        let wanted = || format!("{name}: a list of texts is wanted");
        let items = value.as_list().ok_or_else(wanted)?.items();
        if items.len() > MAX_LIST {
            return Err(format!("{name}: more than {MAX_LIST} entries"));
        }
        items.iter().map(|item| item.as_str().ok_or_else(wanted)).collect()
    }

    fn paths(&self, name: &str) -> Result<Vec<Path>, String> {
        let paths: Result<Vec<Path>, String> = self.texts(name)?.into_iter().map(grant_path).collect();
        paths.map_err(|why| format!("{name}: {why}"))
    }

    fn none_of(&self, names: &[&str], beside: &str) -> Result<(), String> {
        match names.iter().find(|name| self.0.get(name).is_some()) {
            Some(name) => Err(format!("{name} doesn't go with {beside}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str) -> String {
        format!(
            "{{\"name\":\"a\",\"salt\":\"{}\",\"hash\":\"{}\"{fields}}}",
            "01".repeat(16),
            "23".repeat(32)
        )
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for text in [
            line(""),
            line(r#","admin":true,"as":"r1","created":"then""#),
            line(r#","read":["*"],"write":["a.b","a[\"x,y\"]"],"call":["[\"*\"]"],"channels":["c"]"#),
            r#"{"legacy":"r1","from":["10.8.0.0/24","fd00::/8"],"read":["config-r1"]}"#.into(),
        ] {
            let line = Line::decode(&text).unwrap();
            let again = Line::decode(&line.encode()).unwrap();
            assert!(line.means_the_same(&again) && line.created == again.created, "{text}");
            assert_eq!(line.encode(), again.encode());
        }
        let line = Line::decode(&line(r#","read":["*"],"call":["[\"*\"]"]"#)).unwrap();
        assert!(line.grant.read[0].is_empty() && line.grant.call[0].len() == 1);
        let legacy = Line::decode(r#"{"legacy":"r1","from":["::1"]}"#).unwrap();
        assert_eq!((legacy.grant.name.as_str(), legacy.from().len()), ("legacy:r1", 1));
    }

    #[test]
    fn a_line_that_says_anything_else_is_refused_with_the_reason() {
        let cut = line("").replace("2323\"", "23\"");
        for (text, why) in [
            ("x".to_string(), "line 1"),
            ("[]".into(), "object"),
            ("{}".into(), "\"name\" and \"legacy\""),
            (line(r#","scope":"x""#), "unknown field \"scope\""),
            (line(r#","legacy":"b""#), "\"name\" and \"legacy\""),
            (line(r#","name":"b""#), "name"),
            (line(r#","from":["::1"]"#), "from doesn't go"),
            (cut, "hash: 64 hex"),
            (line("").replace("0101\"", "01xx\""), "salt: 32 hex"),
            (r#"{"name":"a"}"#.into(), "salt: 32 hex"),
            (r#"{"name":"a b","salt":"","hash":""}"#.into(), "name: letters"),
            (line(r#","read":"a""#), "read: a list"),
            (line(r#","write":[1]"#), "write: a list"),
            (line(r#","call":["a..b"]"#), "call: "),
            (line(r#","channels":[""]"#), "channels: "),
            (line(r#","admin":1"#), "admin: true or false"),
            (line(r#","as":"a.b""#), "as: letters"),
            (r#"{"legacy":"r1"}"#.into(), "from"),
            (r#"{"legacy":"r1","from":["10.0.0.1/8"]}"#.into(), "from: 10.0.0.1/8"),
            (r#"{"legacy":"r1","from":["::1"],"hash":""}"#.into(), "hash doesn't go"),
        ] {
            let error = Line::decode(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
