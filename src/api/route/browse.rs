//! What the two calls for looking around in large trees ask for: a page of children, and a search.

use crate::api::error::Refusal;
use crate::api::query::{Query, Target};
use crate::path::Path;

/// The most rows that one answer may be asked for.
pub const MAX_ROWS: usize = 1_000;

/// A page of a node's children, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only children behind this key, which needn't exist; empty: from the first one.
    pub after: String,
    /// Only children whose key begins with this.
    pub prefix: String,
    /// At most so many.
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Page {
        Page { after: String::new(), prefix: String::new(), limit: 200 }
    }
}

/// What a search compares with its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Within {
    /// The last key of each node.
    Keys,
    /// The value of each leaf.
    Values,
    /// Both.
    #[default]
    All,
}

/// A search in a subtree, in the order of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// What is looked for; empty: every leaf.
    pub text: String,
    /// The text is a regular expression.
    pub regex: bool,
    /// What is compared.
    pub within: Within,
    /// Only nodes behind this one, which needn't exist.
    pub after: Option<Path>,
    /// At most so many are answered.
    pub limit: usize,
}

impl Default for Search {
    fn default() -> Search {
        Search { text: String::new(), regex: false, within: Within::All, after: None, limit: 100 }
    }
}

impl Page {
    pub(super) fn parse(query: &Query<'_>) -> Result<Page, Refusal> {
        Ok(Page {
            after: query.verbatim("after").to_string(),
            prefix: query.verbatim("prefix").to_string(),
            limit: limit(query, Page::default().limit)?,
        })
    }

    pub(super) fn target(&self, target: Target) -> Target {
        target
            .with("after", present(&self.after))
            .with("prefix", present(&self.prefix))
            .number("limit", unusual(self.limit, Page::default().limit))
    }
}

impl Within {
    fn parse(text: &str) -> Result<Within, Refusal> {
        match text {
            "" | "all" => Ok(Within::All),
            "keys" => Ok(Within::Keys),
            "values" => Ok(Within::Values),
            _ => Err(Refusal::bad(format!("in={text:?} in the query: keys, values or all wanted"))),
        }
    }

    fn text(self) -> Option<&'static str> {
        match self {
            Within::Keys => Some("keys"),
            Within::Values => Some("values"),
            Within::All => None,
        }
    }
}

impl Search {
    /// Reads a search below `path`.
    pub(super) fn parse(query: &Query<'_>, path: &Path) -> Result<Search, Refusal> {
        let after = match query.verbatim("after") {
            "" => None,
            text => Some(Path::parse(text)?),
        };
        if let Some(after) = after.as_ref().filter(|after| !path.contains(after)) {
            return Err(Refusal::bad(format!("after={after} isn't below {path}, which is searched")));
        }
        Ok(Search {
            text: query.verbatim("text").to_string(),
            regex: query.flag("regex_flag")?,
            within: Within::parse(query.verbatim("in"))?,
            after,
            limit: limit(query, Search::default().limit)?,
        })
    }

    pub(super) fn target(&self, target: Target) -> Target {
        target
            .with("text", present(&self.text))
            .flag("regex_flag", self.regex)
            .with("in", self.within.text())
            .with("after", self.after.as_ref().map(Path::to_string))
            .number("limit", unusual(self.limit, Search::default().limit))
    }
}

/// The parameter `path`; absent or empty: the top.
pub(super) fn path(query: &Query<'_>) -> Result<Path, Refusal> {
    let path = match query.verbatim("path") {
        "" | "/" => return Ok(Path::TOP),
        text => Path::parse(text)?,
    };
    path.check_root()?;
    Ok(path)
}

/// A call on this path.
pub(super) fn target(call: &str, path: &Path) -> Target {
    Target::new(call).with("path", (!path.is_empty()).then(|| path.to_string()))
}

fn limit(query: &Query<'_>, usual: usize) -> Result<usize, Refusal> {
    let Some(number) = query.number("limit")? else { return Ok(usual) };
    let limit = usize::try_from(number).ok().filter(|limit| (1..=MAX_ROWS).contains(limit));
    limit.ok_or_else(|| Refusal::bad(format!("limit={number} in the query: 1 to {MAX_ROWS} wanted")))
}

fn present(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn unusual(limit: usize, usual: usize) -> Option<i64> {
    i64::try_from(limit).ok().filter(|_| limit != usual)
}
