//! Cells in columns, and numbers as people read them.

use ratatui::text::Span;

use super::look::cut;

/// Columns between two cells.
pub(super) const GAP: usize = 2;

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text in exactly so many columns.
pub(super) fn fit(text: &str, columns: usize, more: char) -> String {
    let mut out = cut(text, columns, more);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// A number with its thousands apart.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many of something: `1 link`, `2 links`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{} {one}{}", thousands(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_width_of_its_column() {
        for (text, columns, cell) in
            [("ab", 4, "ab  "), ("abcde", 4, "abc…"), ("日本語", 4, "日… "), ("", 0, "")]
        {
            assert_eq!(fit(text, columns, '…'), cell);
        }
    }

    #[test]
    fn a_long_number_can_be_read() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!((count(1, "link").as_str(), count(2, "link").as_str()), ("1 link", "2 links"));
    }
}
