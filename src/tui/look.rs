//! What things look like: sixteen colours at most, none with `NO_COLOR`, ASCII where the locale has nothing else.
//!
//! Nothing is told by colour alone: types have quotes and brackets, markers are characters, differences have signs. Cyan
//! and yellow stand for what is new and what is old, since many can't tell red from green.

use ratatui::style::{Color, Modifier, Style};

use crate::openwrt::secret::is_secret;
use crate::path::Key;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Plain,
    Dim,
    Key,
    Text,
    Number,
    Bool,
    Null,
    List,
    Count,
    Marker,
    Title,
    Cursor,
    Glow,
    Match,
    Added,
    Removed,
    Warning,
    Banner,
    Hint,
}

/// Characters that ASCII doesn't have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glyphs {
    pub folded: &'static str,
    pub unfolded: &'static str,
    pub leaf: &'static str,
    pub loading: &'static str,
    pub more: char,
    pub separator: &'static str,
    pub bars: [char; 8],
    pub vertical: &'static str,
    pub horizontal: &'static str,
    pub dot: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    folded: "▸",
    unfolded: "▾",
    leaf: " ",
    loading: "…",
    more: '…',
    separator: " › ",
    bars: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    vertical: "│",
    horizontal: "─",
    dot: "·",
};

const ASCII: Glyphs = Glyphs {
    folded: ">",
    unfolded: "v",
    leaf: " ",
    loading: "~",
    more: '~',
    separator: " > ",
    bars: ['_', '.', '.', '-', '-', '=', '=', '#'],
    vertical: "|",
    horizontal: "-",
    dot: "-",
};

/// What this terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    colour: bool,
    /// Characters for lines and arrows.
    pub glyphs: Glyphs,
    /// Whether text of the tree may be shown as it is; else everything beyond ASCII becomes `?`.
    pub unicode: bool,
    /// Keys and passwords of routers are shown, since that was asked for.
    pub secrets: bool,
}

impl Look {
    /// With or without colours, and characters beyond ASCII.
    pub fn new(colour: bool, unicode: bool) -> Look {
        Look { colour, unicode, secrets: false, glyphs: if unicode { UNICODE } else { ASCII } }
    }

    /// As the environment says: `NO_COLOR` (any value but the empty one), `TERM=dumb`, and the locale of `LC_ALL`, `LC_CTYPE`, `LANG`.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Look {
        let set = |name| var(name).filter(|value| !value.is_empty());
        let colour = set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_uppercase();
        Look::new(colour, locale.contains("UTF-8") || locale.contains("UTF8"))
    }

    /// Whether this leaf is shown as [`HIDDEN`](crate::openwrt::secret::HIDDEN).
    pub(super) fn hides(&self, keys: &[Key]) -> bool {
        !self.secrets && is_secret(keys)
    }

    /// The style of a role.
    pub fn style(&self, role: Role) -> Style {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let marked = plain.add_modifier(Modifier::REVERSED);
        if !self.colour {
            return match role {
                Role::Dim | Role::Hint | Role::Null => plain.add_modifier(Modifier::DIM),
                Role::Title | Role::Warning | Role::Key | Role::Marker => bold,
                Role::Cursor | Role::Banner => marked,
                Role::Glow | Role::Match => bold.add_modifier(Modifier::UNDERLINED),
                _ => plain,
            };
        }
        match role {
            Role::Plain | Role::Key => plain,
            Role::Dim | Role::Hint | Role::Null | Role::Count => plain.fg(Color::DarkGray),
            Role::Text => plain.fg(Color::Green),
            Role::Number => plain.fg(Color::Cyan),
            Role::Bool => plain.fg(Color::Magenta),
            Role::List => plain.fg(Color::LightBlue),
            Role::Marker => plain.fg(Color::Yellow),
            Role::Title => bold,
            // One bar: reversed, each colour of the line would be a patch of its own.
            Role::Cursor => marked.fg(Color::Reset).bg(Color::Reset),
            Role::Glow => bold.fg(Color::Black).bg(Color::Yellow),
            Role::Match => bold.add_modifier(Modifier::UNDERLINED),
            Role::Added => plain.fg(Color::Cyan),
            Role::Removed => plain.fg(Color::Yellow),
            Role::Warning => bold.fg(Color::Red),
            Role::Banner => bold.fg(Color::Black).bg(Color::Yellow),
        }
    }

    /// Text of the tree as this terminal can show it: no control characters, which could steer the terminal.
    pub fn clean(&self, text: &str) -> String {
        let shown = |c: char| match c {
            c if c.is_control() || is_format(c) => '\u{fffd}',
            c => c,
        };
        let ascii = |c: char| if c.is_ascii() { c } else { '?' };
        text.chars().map(shown).map(|c| if self.unicode { c } else { ascii(c) }).collect()
    }
}

/// Characters without a glyph that change how others are shown: bidirectional overrides could make a value look like another.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// The first columns of a text, with a mark where it was cut.
pub(super) fn cut(text: &str, columns: usize, more: char) -> String {
    let width = |c: char| ratatui::text::Span::raw(c.to_string()).width();
    let whole: usize = ratatui::text::Span::raw(text).width();
    if whole <= columns {
        return text.to_string();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = width(c);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push(c);
    }
    if columns > 0 {
        out.push(more);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_can_be_shown() {
        let look = |vars: &[(&str, &str)]| {
            Look::from_env(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
        };
        assert_eq!(look(&[("LANG", "de_DE.UTF-8")]), Look::new(true, true));
        assert_eq!(look(&[("LANG", "de_DE.utf8"), ("NO_COLOR", "1")]), Look::new(false, true));
        assert_eq!(
            look(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8"), ("NO_COLOR", "")]),
            Look::new(true, false)
        );
        assert_eq!(look(&[("TERM", "dumb")]), Look::new(false, false));
    }

    #[test]
    fn text_of_the_tree_cant_steer_the_terminal() {
        let look = Look::new(true, true);
        assert_eq!(look.clean("a\x1b[31mb\n\u{202e}c é"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c é");
        assert_eq!(look.clean("a\u{61c}b\u{ad}c\u{2028}d\u{e0041}"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(Look::new(true, false).clean("é\x07x"), "??x");
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        for (text, columns, shown) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("日本", 4, "日本"), ("abc", 0, "")]
        {
            assert_eq!(cut(text, columns, '…'), shown, "{text} {columns}");
        }
    }
}
