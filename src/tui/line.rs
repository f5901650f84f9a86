//! A line of text that is being typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The longest line, in characters: a value that is longer is edited in an editor.
pub(super) const MAX_LINE: usize = 4096;

/// A line and where its cursor stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    text: Vec<char>,
    at: usize,
}

impl Line {
    /// A line with this text, the cursor at its end.
    pub(super) fn new(text: &str) -> Line {
        let text: Vec<char> = text.chars().filter(|c| !c.is_control()).take(MAX_LINE).collect();
        Line { at: text.len(), text }
    }

    /// What was typed.
    pub(super) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// What stands before the cursor.
    pub(super) fn before(&self) -> String {
        self.text.iter().take(self.at).collect()
    }

    /// Whether nothing was typed.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds a text where the cursor is; control characters, line ends among them, are left out.
    pub(super) fn insert(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            if self.text.len() < MAX_LINE {
                self.text.insert(self.at, c);
                self.at += 1;
            }
        }
    }

    /// Adds a text behind the cursor, which stays.
    pub(super) fn insert_behind(&mut self, text: &str) {
        let at = self.at;
        self.insert(text);
        self.at = at;
    }

    /// Takes a key that edits. False: it's not one.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if ctrl => self.at = 0,
            KeyCode::Char('e') if ctrl => self.at = self.text.len(),
            KeyCode::Char('u') if ctrl => {
                self.text.drain(..self.at);
                self.at = 0;
            }
            KeyCode::Char('k') if ctrl => self.text.truncate(self.at),
            KeyCode::Char('w') if ctrl => self.delete_word(),
            KeyCode::Char('b') if ctrl => self.at = self.at.saturating_sub(1),
            KeyCode::Char('f') if ctrl => self.at = (self.at + 1).min(self.text.len()),
            KeyCode::Char('d') if ctrl => self.delete(),
            KeyCode::Char(c) if !ctrl && !key.modifiers.contains(KeyModifiers::ALT) => {
                self.insert(c.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Backspace => {
                if self.at > 0 {
                    self.at -= 1;
                    self.text.remove(self.at);
                }
            }
            KeyCode::Delete => self.delete(),
            KeyCode::Left => self.at = self.at.saturating_sub(1),
            KeyCode::Right => self.at = (self.at + 1).min(self.text.len()),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            _ => return false,
        }
        true
    }

    fn delete(&mut self) {
        if self.at < self.text.len() {
            self.text.remove(self.at);
        }
    }

    /// Deletes back to the last place where a word, a key of a path or a space began.
    fn delete_word(&mut self) {
        let is_end = |c: char| c.is_whitespace() || c == '.' || c == '/';
        let mut from = self.at;
        while from > 0 && self.text.get(from - 1).copied().is_some_and(is_end) {
            from -= 1;
        }
        while from > 0 && !self.text.get(from - 1).copied().is_some_and(is_end) {
            from -= 1;
        }
        self.text.drain(from..self.at);
        self.at = from;
    }

    /// The part that fits into so many columns, and what of it stands before the cursor.
    pub(super) fn window(&self, columns: usize) -> (String, String) {
        // One column is kept for the cursor behind the last character.
        let room = columns.saturating_sub(1).max(1);
        let from = self.at.saturating_sub(room);
        let shown: String = self.text.iter().skip(from).take(room + 1).collect();
        let before: String = self.text.iter().skip(from).take(self.at - from).collect();
        (shown, before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[(KeyCode, bool)]) -> Line {
        let mut line = Line::new("lan.ip 10");
        for (code, ctrl) in keys {
            let modifiers = if *ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            assert!(line.key(KeyEvent::new(*code, modifiers)));
        }
        line
    }

    #[test]
    fn keys_edit_as_in_a_shell() {
        use KeyCode::*;
        for (keys, text, before) in [
            (&[(Char('x'), false)][..], "lan.ip 10x", "lan.ip 10x"),
            (&[(Backspace, false)], "lan.ip 1", "lan.ip 1"),
            (&[(Char('w'), true)], "lan.ip ", "lan.ip "),
            (&[(Char('w'), true), (Char('w'), true)], "lan.", "lan."),
            (&[(Char('a'), true), (Delete, false)], "an.ip 10", ""),
            (&[(Char('u'), true)], "", ""),
            (&[(Home, false), (Char('k'), true)], "", ""),
            (&[(Left, false), (Left, false), (Char('é'), false)], "lan.ip é10", "lan.ip é"),
        ] {
            let line = typed(keys);
            assert_eq!((line.text().as_str(), line.before().as_str()), (text, before), "{keys:?}");
        }
        assert!(!Line::default().key(KeyEvent::new(Up, KeyModifiers::NONE)));
    }

    #[test]
    fn a_paste_becomes_one_line_of_bounded_length() {
        let mut line = Line::default();
        line.insert("a\nb\x1b");
        assert_eq!(line.text(), "ab");
        line.insert(&"x".repeat(2 * MAX_LINE));
        assert_eq!(line.text().len(), MAX_LINE);
    }

    #[test]
    fn the_cursor_stays_in_the_window() {
        let mut line = Line::new("0123456789");
        assert_eq!(line.window(5), ("6789".into(), "6789".into()));
        line.key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE));
        assert_eq!(line.window(5), ("01234".into(), String::new()));
    }
}
