//! What is typed for a change, and the type that it will have: kept, unless the user turns it.

use super::super::ask::Why;
use crate::value::Value;
use crate::words;

/// The type of what is being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tui) enum Type {
    /// Whatever it looks like, as on the command line: for what is new.
    Any,
    /// A string, whatever it looks like.
    Text,
    /// An integer or a float.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
    /// JSON.
    Json,
}

/// What is being typed about a change.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tui) enum Typing {
    /// Where something is to be put.
    Place(Why),
    /// A value.
    Value {
        /// The type that it will have.
        kind: Type,
        /// The one that it had.
        had: Type,
        /// What was typed before the type was turned to one of few words.
        kept: String,
    },
}

impl Type {
    /// Of a value that is there.
    pub(super) fn of(value: &Value) -> Type {
        match value {
            Value::Text(_) => Type::Text,
            Value::Bool(_) => Type::Bool,
            Value::Null => Type::Null,
            Value::List(_) | Value::Object(_) => Type::Json,
            _ => Type::Number,
        }
    }

    /// The one that Ctrl-T goes to. What is new has one more.
    pub(super) fn next(self, is_new: bool) -> Type {
        match self {
            Type::Any => Type::Text,
            Type::Text => Type::Number,
            Type::Number => Type::Bool,
            Type::Bool => Type::Null,
            Type::Null => Type::Json,
            Type::Json if is_new => Type::Any,
            Type::Json => Type::Text,
        }
    }

    /// What it's called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Any => "as it looks",
            Type::Text => "string",
            Type::Number => "number",
            Type::Bool => "bool",
            Type::Null => "null",
            Type::Json => "JSON",
        }
    }

    /// The value that a text stands for, or why it stands for none.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let word = text.trim();
        match self {
            Type::Any => words::value(text).map_err(|error| error.replace("; --string", "; Ctrl-T")),
            Type::Text => Ok(Value::from(text)),
            Type::Number => match Value::parse(word) {
                Ok(value) if Type::of(&value) == Type::Number => Ok(value),
                // It's one, but none that can be kept.
                Err(error)
                    if word.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) && word.len() > 1 =>
                {
                    Err(error.to_string())
                }
                _ => Err("no number".into()),
            },
            Type::Bool => match word {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err("true or false".into()),
            },
            Type::Null if word == "null" => Ok(Value::Null),
            Type::Null => Err("null only".into()),
            Type::Json => words::json(word),
        }
    }

    /// What stands in the line after a turn to this type, where this was typed.
    pub(super) fn offer(self, kept: &str) -> String {
        match self {
            Type::Bool if kept.trim() == "false" => "false".into(),
            Type::Bool => "true".into(),
            Type::Null => "null".into(),
            Type::Json if words::json(kept.trim()).is_err() => Value::from(kept).to_string(),
            Type::Any | Type::Text | Type::Number | Type::Json => kept.into(),
        }
    }

    /// What is said beside a text: what it will be, or why not; and where the next type is.
    pub(super) fn note(self, had: Type, text: &str) -> String {
        let next = self.next(had == Type::Any).name();
        match self.read(text) {
            Err(why) => format!("{why}; Ctrl-T: {next}"),
            Ok(value) if self == Type::Any => format!("{}; Ctrl-T: {next}", Type::of(&value).name()),
            Ok(_) if self != had && had != Type::Any => format!("{}, was {}", self.name(), had.name()),
            Ok(_) => format!("{}; Ctrl-T: {next}", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_kept_whatever_the_text_looks_like() {
        for (kind, text, outcome) in [
            (Type::Text, "15", Ok("\"15\"")),
            (Type::Text, " x ", Ok("\" x \"")),
            (Type::Text, "", Ok("\"\"")),
            (Type::Text, "null", Ok("\"null\"")),
            (Type::Number, "15", Ok("15")),
            (Type::Number, " -1.5 ", Ok("-1.5")),
            (Type::Number, "1e3", Ok("1000.0")),
            (Type::Number, "15x", Err("no number")),
            (Type::Number, "true", Err("no number")),
            (Type::Number, "", Err("no number")),
            (Type::Number, "-", Err("no number")),
            (Type::Number, "18446744073709551616", Err("an integer outside")),
            (Type::Bool, "false", Ok("false")),
            (Type::Bool, "no", Err("true or false")),
            (Type::Null, "null", Ok("null")),
            (Type::Null, "", Err("null only")),
            (Type::Json, "[1, \"a\"]", Ok("[1,\"a\"]")),
            (Type::Json, "15", Ok("15")),
            (Type::Json, "[1", Err("bad JSON: line 1, column 3")),
            (Type::Any, "15", Ok("15")),
            (Type::Any, "192.168.1.1", Ok("\"192.168.1.1\"")),
            (Type::Any, "{\"a\":{}}", Ok("{\"a\":{}}")),
            (Type::Any, "\"15\"", Ok("\"15\"")),
            (Type::Any, "99999999999999999999", Err("; Ctrl-T makes it text")),
        ] {
            match (kind.read(text), outcome) {
                (Ok(value), Ok(json)) => assert_eq!(value.to_string(), json, "{kind:?} {text}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{kind:?} {text}: {why}"),
                (got, _) => panic!("{kind:?} {text}: {got:?}"),
            }
        }
    }

    #[test]
    fn ctrl_t_goes_round() {
        let round = |from: Type, is_new| {
            let mut names = Vec::new();
            let mut kind = from;
            for _ in 0..6 {
                kind = kind.next(is_new);
                names.push(kind.name());
            }
            names.join(" ")
        };
        assert_eq!(round(Type::Text, false), "number bool null JSON string number");
        assert_eq!(round(Type::Any, true), "string number bool null JSON as it looks");
    }

    #[test]
    fn what_a_turned_type_offers_fits_it_where_something_can() {
        for (kind, kept, offered) in [
            (Type::Bool, "false", "false"),
            (Type::Bool, "1500", "true"),
            (Type::Null, "1500", "null"),
            (Type::Json, "a b", "\"a b\""),
            (Type::Json, "[1]", "[1]"),
            (Type::Number, "a b", "a b"),
            (Type::Text, "1500", "1500"),
        ] {
            assert_eq!(kind.offer(kept), offered);
        }
    }

    #[test]
    fn the_note_says_what_it_will_be_or_why_not() {
        for (kind, had, text, note) in [
            (Type::Text, Type::Text, "15", "string; Ctrl-T: number"),
            (Type::Number, Type::Text, "15", "number, was string"),
            (Type::Number, Type::Number, "x", "no number; Ctrl-T: bool"),
            (Type::Any, Type::Any, "15", "number; Ctrl-T: string"),
            (Type::Text, Type::Any, "15", "string; Ctrl-T: number"),
        ] {
            assert_eq!(kind.note(had, text), note);
        }
    }
}
