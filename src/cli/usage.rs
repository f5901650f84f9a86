//! Help, made from the table.

use std::fmt::Write;

use super::flags::{Flag, FlagRow, VerbRow, flag_row};
use super::verbs::VERBS;
use crate::words::broken;

/// `tega help`.
pub fn overview() -> String {
    let mut out = String::from(
        "tega: a tree-structured, versioned database for the configuration of routers\n\n\
         usage: tega VERB [ARGUMENT…] [OPTION…]\n\n",
    );
    let words: Vec<(String, &str)> =
        VERBS.iter().map(|row| (format!("{} {}", row.name, row.args), row.help)).collect();
    columns(&words, &mut out);
    out.push_str(
        "\n`tega help VERB` lists its options. A path is a.b.c, a[\"x.y\"] or /a/x.y.\n\
         Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, 5 unreachable,\n\
         6 outcome unknown.\n",
    );
    out
}

/// `tega help VERB`.
pub fn of_verb(row: &VerbRow) -> String {
    let usage = format!("usage: tega {} {}", row.name, row.args).trim_end().to_string();
    let usage = usage + if row.flags.is_empty() { "" } else { " [OPTION…]" };
    let mut out = broken(&usage, WIDTH - 4).join("\n    ");
    let _ = write!(out, "\n\n{}\n", broken(row.help, WIDTH).join("\n"));
    let words: Vec<(String, &str)> =
        shown(row).map(|flag| (format!("{}{}", option(flag), value(flag)), flag.help)).collect();
    if !words.is_empty() {
        out.push('\n');
        columns(&words, &mut out);
    }
    if !row.more.is_empty() {
        out.push('\n');
        paragraphs(row.more).iter().for_each(|line| paragraph(line, &mut out));
    }
    out
}

/// The README's tables: verbs, then each verb's options.
pub fn markdown() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut out = String::from("| verb | what it does |\n| --- | --- |\n");
    for row in VERBS {
        let usage = format!("{} {}", row.name, row.args);
        let _ = writeln!(out, "| `{}` | {} |", cell(usage.trim_end()), cell(row.help));
    }
    out.push_str("\n| option | of | meaning |\n| --- | --- | --- |\n");
    for flag in super::flags::FLAGS.iter().filter(|flag| !flag.help.is_empty()) {
        let of: Vec<&str> = VERBS.iter().filter(|v| v.flags.contains(&flag.flag)).map(|v| v.name).collect();
        let of = if flag.flag == Flag::Help { "all".to_string() } else { of.join(" ") };
        let _ = writeln!(
            out,
            "| `{}` | {of} | {} |",
            cell(&format!("{}{}", option(flag), value(flag))),
            cell(flag.help)
        );
    }
    out
}

fn shown(row: &VerbRow) -> impl Iterator<Item = &'static FlagRow> {
    row.flags.iter().filter_map(|flag| flag_row(*flag)).filter(|flag| !flag.help.is_empty())
}

fn option(flag: &FlagRow) -> String {
    match flag.short {
        Some(short) => format!("-{short}, --{}", flag.name),
        None => format!("--{}", flag.name),
    }
}

fn value(flag: &FlagRow) -> String {
    flag.value.map_or(String::new(), |value| format!(" {value}"))
}

/// How wide the help is: a terminal of 80 columns shows it whole.
const WIDTH: usize = 79;

/// How wide the first column may be; what is wider has a line of its own.
const MAX_LEFT: usize = 26;

/// Two columns, the second aligned and broken between words.
fn columns(rows: &[(String, &str)], out: &mut String) {
    let wide = |left: &str| left.chars().count();
    let width = rows.iter().map(|(left, _)| wide(left)).filter(|width| *width <= MAX_LEFT).max().unwrap_or(0);
    let margin = format!("\n{}", " ".repeat(width + 4));
    for (left, right) in rows {
        for (at, line) in broken(left, WIDTH - 4).iter().enumerate() {
            let _ =
                write!(out, "{}  {}{line}", if at > 0 { "\n" } else { "" }, if at > 0 { "  " } else { "" });
        }
        if wide(left) <= width {
            let _ = write!(out, "{}  ", " ".repeat(width - wide(left)));
        } else {
            out.push_str(&margin);
        }
        let _ = writeln!(out, "{}", broken(right, WIDTH - width - 4).join(&margin));
    }
}

/// The paragraphs of a text whose lines are broken as they stand in the source. An entry of a list begins with two spaces,
/// and goes on with more; a colon ends a paragraph, and so does an empty line.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    for line in text.lines() {
        let is_entry = |line: &str| line.starts_with("  ") && !line.starts_with("   ");
        let goes_on = paragraphs.last_mut().filter(|last| match line.starts_with("   ") {
            true => !last.is_empty(),
            false => {
                !line.is_empty()
                    && !is_entry(line)
                    && !last.is_empty()
                    && !is_entry(last)
                    && !last.ends_with(':')
            }
        });
        match goes_on {
            Some(last) => *last = format!("{last} {}", line.trim_start()),
            None => paragraphs.push(line.to_string()),
        }
    }
    paragraphs
}

/// A line of prose in as many as it takes; where it begins with a word and a gap, they go on behind that.
fn paragraph(line: &str, out: &mut String) {
    let indented = line.strip_prefix("  ").and_then(|entry| {
        let gap = entry.find("  ").unwrap_or(0);
        Some(2 + gap + entry[gap..].find(|c| c != ' ')?)
    });
    let (head, text) = line.split_at(indented.unwrap_or(0));
    let margin = format!("\n{}", " ".repeat(head.chars().count()));
    let _ = writeln!(out, "{head}{}", broken(text, WIDTH.saturating_sub(head.chars().count())).join(&margin));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verbs::verb_named;

    #[test]
    fn the_overview_names_every_verb() {
        let text = overview();
        for row in VERBS {
            assert!(text.contains(&format!("\n  {} ", row.name)), "{}", row.name);
        }
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn the_help_of_a_verb_lists_what_it_takes_and_hides_what_is_not_built() {
        let text = of_verb(verb_named("serve").unwrap());
        assert!(text.starts_with("usage: tega serve [OPTION…]\n"), "{text}");
        assert!(text.contains("--durability [ROOT=]MODE") && text.contains("--plugins DIR"), "{text}");
        let text = of_verb(verb_named("watch").unwrap());
        assert!(text.contains("-n, --count COUNT"), "{text}");
    }

    #[test]
    fn all_help_fits_a_terminal_of_80_columns() {
        for row in VERBS {
            let text = of_verb(row);
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{}: {line}", row.name);
            }
        }
    }

    #[test]
    fn the_markdown_escapes_bars() {
        assert!(markdown().contains("| `put PATH VALUE\\|-` | set a node |"));
    }
}
