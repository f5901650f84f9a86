//! What a search looks for in keys and values: a text, or a regular expression anywhere in one.

use std::borrow::Cow;

use regex_lite::Regex;

use super::pattern::{PatternError, compile, split};
use crate::value::beginning;

/// How much of a text an expression is tried on, in bytes: at worst it takes some 30 µs for each.
const MAX_TRIED: usize = 16 << 10;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Needle(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// As it stands.
    Exact(String),
    /// In lower case: any case of it is meant.
    AnyCase(String),
    Regex(Regex),
}

impl Needle {
    /// A text, as people search for one: in any case, unless it has an upper-case letter.
    ///
    /// ```
    /// use tega::tree::Needle;
    /// assert!(Needle::text("eth").is_in("ETH0") && !Needle::text("Eth").is_in("ETH0"));
    /// ```
    pub fn text(text: &str) -> Needle {
        Needle(match text.chars().any(char::is_uppercase) {
            true => Kind::Exact(text.to_string()),
            false => Kind::AnyCase(lower(text).into_owned()),
        })
    }

    /// A regular expression, within the limits of a [`Pattern`](super::Pattern).
    pub fn regex(text: &str) -> Result<Needle, PatternError> {
        split(text)?;
        Ok(Needle(Kind::Regex(compile(text)?)))
    }

    /// Whether it's anywhere in this text. Of a long one an expression sees the first 16 KiB only.
    pub fn is_in(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(needle) => text.contains(needle),
            Kind::AnyCase(needle) => text.contains(needle) || lower(text).contains(needle),
            Kind::Regex(regex) => regex.is_match(beginning(text, MAX_TRIED)),
        }
    }
}

/// Letter by letter, so that what a letter becomes doesn't hang on its place in a word, as that of Σ would.
fn lower(text: &str) -> Cow<'_, str> {
    match text.is_ascii() {
        true if !text.bytes().any(|byte| byte.is_ascii_uppercase()) => Cow::Borrowed(text),
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_upper_case_is_meant_in_any_case() {
        for (needle, text, found) in [
            ("lan", "my-LAN", true),
            ("lan", "wlan0", true),
            ("Lan", "wlan0", false),
            ("Lan", "myLan", true),
            ("", "", true),
            ("größe", "GRÖßE", true),
            ("σ", "ΟΔΟΣ", true),
            ("Größe", "GRÖßE", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(Needle::text(needle).is_in(text), found, "{needle} in {text}");
        }
    }

    #[test]
    fn an_expression_is_searched_anywhere_and_refused_like_others() {
        let needle = Needle::regex(r"^10\.0\.[0-9]+$").unwrap();
        assert!(needle.is_in("10.0.7") && !needle.is_in("x10.0.7"));
        assert!(Needle::regex("b.d").unwrap().is_in("abcde"));
        let error = Needle::regex("(?=a)").unwrap_err().to_string();
        assert!(error.contains("look-ahead"), "{error}");
        assert_eq!(Needle::regex(&"a".repeat(257)).unwrap_err(), PatternError::TooLong);
        assert!(matches!(Needle::regex("(").unwrap_err(), PatternError::Syntax { .. }));
    }

    #[test]
    fn of_a_long_value_an_expression_sees_the_beginning() {
        let text = format!("{}needle", "é".repeat(MAX_TRIED / 2));
        assert!(!Needle::regex("needle").unwrap().is_in(&text));
        assert!(Needle::text("needle").is_in(&text));
    }
}
