//! Help, made from the table.

use std::fmt::Write;

use super::flags::{Flag, FlagRow, VerbRow, flag_row};
use super::verbs::VERBS;

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
         Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, 5 unreachable, 6 outcome unknown.\n",
    );
    out
}

/// `tega help VERB`.
pub fn of_verb(row: &VerbRow) -> String {
    let mut out = format!("usage: tega {} {}", row.name, row.args).trim_end().to_string();
    let _ = write!(out, "{}\n\n{}\n", if row.flags.is_empty() { "" } else { " [OPTION…]" }, row.help);
    let words: Vec<(String, &str)> =
        shown(row).map(|flag| (format!("{}{}", option(flag), value(flag)), flag.help)).collect();
    if !words.is_empty() {
        out.push('\n');
        columns(&words, &mut out);
    }
    if !row.more.is_empty() {
        let _ = write!(out, "\n{}\n", row.more);
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

/// Two columns, the second aligned.
fn columns(rows: &[(String, &str)], out: &mut String) {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    for (left, right) in rows {
        let pad = width.saturating_sub(left.chars().count());
        let _ = writeln!(out, "  {left}{}  {right}", " ".repeat(pad));
    }
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
    fn the_markdown_escapes_bars() {
        assert!(markdown().contains("| `put PATH VALUE\\|-` | set a node |"));
    }
}
