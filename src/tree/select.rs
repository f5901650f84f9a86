//! Nodes by regular expression, and channels: which paths a subscription to an expression sees.
//!
//! Both read the same kind of text in two ways. A *selection* is a list of expressions, one a level, separated by
//! `\.`; each is matched from the start of a key, and a prefix is enough. A *channel* is one expression for the whole
//! path, its keys joined by dots; it has to end where a key ends.

use std::fmt;

use regex_lite::Regex;

use super::pattern::{PatternError, compile, split};
use super::{Kind, NodeRef, Tree};
use crate::path::Key;

/// A selection.
#[derive(Clone, Debug)]
pub struct Pattern {
    levels: Vec<Regex>,
}

/// How much a selection may find and look at; more is an error, not a part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectLimits {
    /// The most matches.
    pub matches: usize,
    /// The most keys that are matched against an expression.
    pub visits: usize,
}

/// One node that a selection found.
#[derive(Clone, Debug)]
pub struct Match<'a> {
    /// Its path, the root's name first.
    pub keys: Vec<Key>,
    /// For each level whose expression has groups, what each of these caught; `None` for one that took no part.
    pub groups: Vec<Vec<Option<String>>>,
    /// The node.
    pub node: NodeRef<'a>,
}

impl Pattern {
    /// Reads a list of expressions, joined by `\.`. A `\.` within `[...]` doesn't separate.
    ///
    /// ```
    /// use tega::tree::Pattern;
    /// assert!(Pattern::parse(r"config-(.*)\.interfaces").is_ok());
    /// let error = Pattern::parse(r"(?=a)").unwrap_err();
    /// assert_eq!(error.to_string(), "the pattern holds a look-ahead, (?=...), which isn't supported");
    /// ```
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let levels = split(text)?;
        Ok(Pattern { levels: levels.into_iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Reads one expression for whole paths.
    pub fn subscribe(text: &str) -> Result<ChannelPattern, PatternError> {
        split(text)?;
        // Alone first, so that an error is about what the user wrote, and no `)` can end the group below.
        compile(text)?;
        Ok(ChannelPattern { regex: compile(&format!(r"^(?:{text})(?:\.|$)"))? })
    }

    /// The nodes that match, in the order of `roots` and then of paths.
    pub fn select<'a>(
        &self,
        roots: impl IntoIterator<Item = (&'a Key, &'a Tree)>,
        limits: SelectLimits,
    ) -> Result<Vec<Match<'a>>, SelectError> {
        let Some((first, rest)) = self.levels.split_first() else { return Ok(Vec::new()) };
        let mut search =
            Search { limits, visits: 0, keys: Vec::new(), groups: Vec::new(), found: Vec::new() };
        for (name, tree) in roots {
            search.node(first, rest, name, tree.root())?;
        }
        Ok(search.found)
    }
}

struct Search<'a> {
    limits: SelectLimits,
    visits: usize,
    keys: Vec<Key>,
    groups: Vec<Vec<Option<String>>>,
    found: Vec<Match<'a>>,
}

impl<'a> Search<'a> {
    /// Recurses once a level of the pattern.
    fn node(
        &mut self,
        level: &Regex,
        rest: &[Regex],
        key: &Key,
        node: NodeRef<'a>,
    ) -> Result<(), SelectError> {
        self.visits += 1;
        if self.visits > self.limits.visits {
            return Err(SelectError::TooManyNodes(self.limits.visits));
        }
        let Some(groups) = match_start(level, key) else { return Ok(()) };
        let has_groups = !groups.is_empty();
        self.keys.push(key.clone());
        if has_groups {
            self.groups.push(groups);
        }
        let done = match (rest.split_first(), node.kind) {
            (None, _) => self.found(node),
            (Some((next, rest)), Kind::Container(container)) => {
                container.iter().try_for_each(|(key, child)| self.node(next, rest, key, child.into()))
            }
            (Some(_), Kind::Leaf(_)) => Ok(()),
        };
        self.keys.pop();
        if has_groups {
            self.groups.pop();
        }
        done
    }

    fn found(&mut self, node: NodeRef<'a>) -> Result<(), SelectError> {
        if self.found.len() == self.limits.matches {
            return Err(SelectError::TooManyMatches(self.limits.matches));
        }
        self.found.push(Match { keys: self.keys.clone(), groups: self.groups.clone(), node });
        Ok(())
    }
}

/// What the groups caught where the expression matches at the start of the key.
fn match_start(regex: &Regex, key: &str) -> Option<Vec<Option<String>>> {
    // The leftmost match is the one at the start, if there's one there at all.
    if regex.captures_len() == 1 {
        return regex.find(key).filter(|found| found.start() == 0).map(|_| Vec::new());
    }
    let captures = regex.captures(key).filter(|c| c.get(0).is_some_and(|whole| whole.start() == 0))?;
    Some(captures.iter().skip(1).map(|group| group.map(|g| g.as_str().to_owned())).collect())
}

/// A channel given as an expression over whole paths.
#[derive(Clone, Debug)]
pub struct ChannelPattern {
    regex: Regex,
}

impl ChannelPattern {
    /// Whether the expression matches from the start of this text, keys joined by `.`, to its end or to a `.`.
    ///
    /// ```
    /// use tega::tree::Pattern;
    /// let channel = Pattern::subscribe("r")?;
    /// assert!(channel.matches("r") && channel.matches("r.x") && !channel.matches("r-1.x"));
    /// # Ok::<(), tega::tree::PatternError>(())
    /// ```
    pub fn matches(&self, path_text: &str) -> bool {
        self.regex.is_match(path_text)
    }
}

/// Why a selection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectError {
    /// More matches than this limit.
    TooManyMatches(usize),
    /// More nodes to look at than this limit.
    TooManyNodes(usize),
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelectError::TooManyMatches(limit) => {
                write!(f, "the pattern matches more than {limit} nodes; make it narrower")
            }
            SelectError::TooManyNodes(limit) => {
                write!(f, "the pattern would have to be tried on more than {limit} nodes; make it narrower")
            }
        }
    }
}

impl std::error::Error for SelectError {}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, key, tree};
    use super::*;
    use crate::tree::{MAX_PATTERN, MAX_PATTERN_LEVELS};

    const LIMITS: SelectLimits = SelectLimits { matches: 100, visits: 100 };

    fn select(pattern: &str, limits: SelectLimits) -> Result<Vec<String>, SelectError> {
        let roots = [
            (key("a"), tree(r#"{"r-1":5,"x.y":{"k":[]}}"#)),
            (key("r-a"), tree(r#"{"a":{"b":1},"b":2}"#)),
            (key("r-b"), tree(r#"{"a":{"b":3,"c":{}}}"#)),
        ];
        let found = Pattern::parse(pattern).unwrap().select(roots.iter().map(|(k, t)| (k, t)), limits)?;
        let line = |m: &Match| {
            let group = |g: &Option<String>| g.clone().unwrap_or("-".into());
            let level = |l: &Vec<Option<String>>| l.iter().map(group).collect::<Vec<_>>().join(",");
            let groups: Vec<String> = m.groups.iter().map(level).collect();
            format!("{} [{}] {}", m.keys.join("/"), groups.join("|"), m.node.to_value())
        };
        Ok(found.iter().map(line).collect())
    }

    #[test]
    fn a_selection_matches_level_by_level_from_the_start_of_each_key() {
        for (pattern, expected) in [
            (
                r"(r)-(.*)\.(.*)",
                &["r-a/a [r,a|a] {\"b\":1}", "r-a/b [r,a|b] 2", "r-b/a [r,b|a] {\"b\":3,\"c\":{}}"][..],
            ),
            (r"r-a\.b", &["r-a/b [] 2"]),
            (r"r\.a\.b", &["r-a/a/b [] 1", "r-b/a/b [] 3"]),
            (r"-a\.b", &[]),
            (r"(x)?r-(a)\.b", &["r-a/b [-,a] 2"]),
            (r"a\.x[\.]y\.k", &["a/x.y/k [] []"]),
            (r"a\.x[\.]y\.k\.z", &[]),
            (r"a\.[^\]]", &["a/r-1 [] 5", "a/x.y [] {\"k\":[]}"]),
            (r"r-a$\.$", &[]),
            (r"r-b\.\.(?:)", &["r-b/a/b [] 3", "r-b/a/c [] {}"]),
        ] {
            assert_eq!(select(pattern, LIMITS).unwrap(), expected, "{pattern}");
        }
    }

    #[test]
    fn a_selection_stops_at_its_limits() {
        let limits = |matches, visits| SelectLimits { matches, visits };
        assert!(select(r".*\.a", limits(2, 8)).is_ok());
        assert_eq!(select(r".*\.a", limits(1, 8)), Err(SelectError::TooManyMatches(1)));
        assert_eq!(select(r".*\.a", limits(2, 7)), Err(SelectError::TooManyNodes(7)));
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_with_the_reason() {
        use PatternError::*;
        let fault = |text: &str| Pattern::parse(text).unwrap_err();
        for (text, construct) in [
            ("a(?=b)", "a look-ahead, (?=...)"),
            ("a(?!b)", "a look-ahead, (?!...)"),
            ("(?<=a)b", "a look-behind, (?<=...)"),
            ("(?<!a)b", "a look-behind, (?<!...)"),
            (r"(a)\1", "a back-reference, \\1"),
            ("(?P<n>a)(?P=n)", "a back-reference, (?P=...)"),
            ("(?>a)", "an atomic group, (?>...)"),
            ("(?#a)", "a comment, (?#...)"),
            ("(a)?(?(1)b|c)", "a condition, (?(...)...)"),
            (r"a\Z", "\\Z (write $)"),
            (r"\pL", "a Unicode class, \\p"),
        ] {
            assert_eq!(fault(text), Unsupported(construct));
            assert_eq!(Pattern::subscribe(text).unwrap_err(), Unsupported(construct));
        }
        for text in ["(a", "a)", "[a", "*", r"(a\.b)", r"a\", "(a{1000}){1000}", "a**)"] {
            assert!(matches!(fault(text), Syntax { .. }), "{text}: {:?}", fault(text));
        }
        assert!(matches!(Pattern::subscribe("a)|(b").unwrap_err(), Syntax { .. }));
        assert!(Pattern::parse(&"é".repeat(MAX_PATTERN / 2)).is_ok());
        assert_eq!(fault(&"a".repeat(MAX_PATTERN + 1)), TooLong);
        assert!(Pattern::parse(&["a"; MAX_PATTERN_LEVELS].join(r"\.")).is_ok());
        assert_eq!(fault(&["a"; MAX_PATTERN_LEVELS + 1].join(r"\.")), TooManyLevels);
        for fine in [
            "(?i)a",
            "(?:a)",
            "(?P<n>a)",
            r"[(?=]",
            "[[:alpha:](?=]",
            "[](?!]",
            r"\(?=",
            r"\\.b",
            r"\w{100}",
            "a.{1,64}",
        ] {
            assert!(Pattern::parse(fine).is_ok(), "{fine}: {:?}", fault(fine));
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_is_refused() {
        let mut random = Random::new(2);
        let parts =
            ["\\", ".", "[", "]", "^", "[:", ":]", "(", "?", ")", "a", "é", "*", "{", "9", "}", "|", "-"];
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let text: String = (0..random.below(9)).map(|_| parts[random.below(parts.len())]).collect();
            match Pattern::parse(&text) {
                Ok(pattern) => {
                    good += 1;
                    let roots = [(key("aé"), tree(r#"{"9-":{"a":1}}"#))];
                    let found = pattern.select(roots.iter().map(|(k, t)| (k, t)), LIMITS).unwrap();
                    assert!(found.iter().all(|m| m.keys.len() == pattern.levels.len()), "{text}");
                }
                Err(_) => bad += 1,
            }
        }
        assert!(good > 1000 && bad > 1000, "{good} {bad}");
    }

    #[test]
    fn a_channel_matches_a_whole_path_to_the_end_of_a_key() {
        for (channel, seen, unseen) in [
            ("r", &["r", "r.x"][..], &["r-1.x", "ar", "a.r"][..]),
            ("r.*", &["r", "r.x", "r-1.x"], &["a.r"]),
            (r"(r)-(.*)\.(.*)", &["r-1.x", "r-1.x.y"], &["r-1", "r.x"]),
            ("a|b", &["a.x", "b"], &["ab", "c.b"]),
            ("r|r-1", &["r", "r-1.x"], &["r-2"]),
            ("r$", &["r"], &["r.x"]),
        ] {
            let pattern = Pattern::subscribe(channel).unwrap();
            for path in seen {
                assert!(pattern.matches(path), "{channel} {path}");
            }
            for path in unseen {
                assert!(!pattern.matches(path), "{channel} {path}");
            }
        }
    }
}
