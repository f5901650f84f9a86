//! When something happened and what, in a few words. Times are information only: routers boot in 1970.

use crate::value::Value;

/// Milliseconds since 1970 as `2026-11-22T17:30:00Z`.
pub fn time(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The civil date of a day counted from 1970-01-01, by counting 400-year cycles from a first of March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let cycle = days.div_euclid(146_097);
    let day_of_cycle = days.rem_euclid(146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

/// What a commit did, in a few words: an entry of `/_history`.
pub fn what(entry: &Value) -> String {
    const SHOWN: usize = 3;
    let mut words: Vec<String> = Vec::new();
    if let Some(name) = entry.get("replaced").and_then(Value::as_str) {
        words.push(format!("set aside; get it with --replaced {name}"));
    }
    match entry.get("rollback_to") {
        None | Some(Value::Null) => {}
        Some(to) => words.push(format!("rollback to {to}")),
    }
    let changes = entry.get("changes").and_then(Value::as_list).map_or(&[][..], |list| list.items());
    for change in changes.iter().take(SHOWN) {
        let text = |name| change.get(name).and_then(Value::as_str).unwrap_or("?");
        words.push(format!("{} {}", text("ope").to_lowercase(), text("path")));
    }
    let more = entry.get("more").and_then(Value::as_int).unwrap_or(0);
    let hidden = changes.len().saturating_sub(SHOWN) as i64 + more;
    if hidden > 0 {
        words.push(format!("and {hidden} more"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    #[test]
    fn a_commit_is_told_in_a_few_words() {
        for (json, text) in [
            (
                r#"{"changes":[{"ope":"PUT","path":"a.b"},{"ope":"DELETE","path":"a.c"}]}"#,
                "put a.b, delete a.c",
            ),
            (
                r#"{"rollback_to":3,"changes":[{"ope":"PUT","path":"a.b"}],"more":7}"#,
                "rollback to 3, put a.b, and 7 more",
            ),
            (r#"{"rollback_to":null}"#, ""),
        ] {
            assert_eq!(what(&words::json(json).unwrap()), text);
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_795_368_600_999), "2026-11-22T17:30:00Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59Z");
    }
}
