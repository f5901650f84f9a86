use super::*;
use scan::ParseErrorKind;

fn round(text: &str) -> String {
    Value::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
}

fn fault(text: &str) -> (usize, usize, ParseErrorKind) {
    let error = Value::parse(text).expect_err(text);
    (error.line, error.column, error.kind)
}

#[test]
fn values_have_one_encoding() {
    for (text, canonical) in [
        ("null", "null"),
        (" true ", "true"),
        ("-0", "0"),
        ("18446744073709551615", "18446744073709551615"),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.0", "1.0"),
        ("-0.0", "0.0"),
        ("1E2", "100.0"),
        ("1e300", "1e300"),
        ("0.1", "0.1"),
        ("5e-324", "5e-324"),
        (r#""aAé\/\n\u0001""#, "\"aA\u{e9}/\\n\\u0001\""),
        (r#""😀""#, "\"😀\""),
        ("[ ]", "[]"),
        ("{ }", "{}"),
        (r#"{"b":1,"a":{"d":[],"c":[1,[2]]}}"#, r#"{"a":{"c":[1,[2]],"d":[]},"b":1}"#),
    ] {
        assert_eq!(round(text), canonical);
        assert_eq!(round(canonical), canonical);
    }
}

#[test]
fn a_bad_text_is_refused_with_line_column_and_reason() {
    use ParseErrorKind::*;
    assert_eq!(fault("{\"a\": 1,\n \"a\": 2}"), (2, 2, DuplicateKey("a".into())));
    assert_eq!(fault(r#"{"a":1,"\u0061":2}"#), (1, 8, DuplicateKey("a".into())));
    assert_eq!(fault("[1, 18446744073709551616]"), (1, 5, BigInteger));
    assert_eq!(fault("-9223372036854775809"), (1, 1, BigInteger));
    assert_eq!(fault("1e999"), (1, 1, BigFloat));
    for (text, column) in [
        ("", 1),
        ("[1,]", 4),
        ("[1 2]", 4),
        ("{\"a\" 1}", 6),
        ("{a:1}", 2),
        ("{\"a\":1,}", 8),
        ("01", 2),
        ("1.", 3),
        ("-", 2),
        ("tru", 1),
        ("\"ab", 4),
        ("\"a\nb\"", 3),
        (r#""\x""#, 3),
        (r#""\ud800""#, 4),
        (r#""\ud800A""#, 4),
        ("1 2", 3),
        ("nul", 1),
        ("[}", 2),
        ("{]", 2),
        ("é1", 1),
        ("\u{feff}1", 1),
        ("1\0", 2),
        ("'a'", 1),
        ("NaN", 1),
        (r#""\u12"#, 4),
    ] {
        let (line, col, kind) = fault(text);
        assert_eq!((line, col), (1, column), "{text:?}");
        assert!(matches!(kind, Syntax(_)), "{text:?}: {kind:?}");
    }
    let error = Value::parse_bytes(b"[\"a\xff\"]").unwrap_err();
    assert_eq!((error.column, error.kind), (4, NotUtf8));
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert_eq!(Value::parse(&nested(MAX_DEPTH)).unwrap().depth(), MAX_DEPTH);
    assert_eq!(fault(&nested(MAX_DEPTH + 1)), (1, MAX_DEPTH + 1, ParseErrorKind::TooDeep(MAX_DEPTH)));
    assert!(matches!(fault(&nested(10_000)).2, ParseErrorKind::TooDeep(_)));
    assert!(matches!(fault(&"{\"a\":".repeat(10_000)).2, ParseErrorKind::TooDeep(_)));
    let text = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
    assert!(Value::parse(&text(MAX_TEXT)).is_ok());
    assert_eq!(fault(&text(MAX_TEXT + 1)).2, ParseErrorKind::TooLong(MAX_TEXT));
    let mut deep = Value::Null;
    for _ in 0..MAX_NESTING {
        deep = Value::list(vec![deep]).unwrap();
    }
    assert_eq!(Value::list(vec![deep]), Err(ValueError::TooDeep));
}

#[test]
fn every_short_text_that_the_scan_passes_miniserde_reads_too() {
    // All texts of up to five characters over an alphabet that covers the grammar.
    let alphabet = ["{", "}", "[", "]", ",", ":", "\"", "\\", "0", "1", "-", ".", "e", "a", " ", "null"];
    let mut texts = vec![String::new()];
    let mut passed = 0;
    for _ in 0..5 {
        texts = texts.iter().flat_map(|t| alphabet.iter().map(move |c| format!("{t}{c}"))).collect();
        for text in &texts {
            if let Ok(members) = scan::scan(text, Limits::default()) {
                passed += 1;
                let value = de::read(text, members).unwrap_or_else(|| panic!("{text:?}"));
                // The short way for scalars and the visitor agree, and the text written reads back.
                assert_eq!(de::visit(text), Some(value.clone()), "{text:?}");
                assert_eq!(Value::parse(&value.to_string()), Ok(value), "{text:?}");
            }
        }
        if texts.len() > 70_000 {
            break;
        }
    }
    assert!(passed > 500, "{passed}");
}

#[test]
fn a_pretty_text_reads_back_as_the_same_value() {
    let value = Value::parse(r#"{"a":[1,{"b":[]},{}],"c":"d"}"#).unwrap();
    assert_eq!(Value::parse(&value.to_pretty()).unwrap(), value);
    assert_eq!(
        value.to_pretty(),
        "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    },\n    {}\n  ],\n  \"c\": \"d\"\n}"
    );
}

#[test]
fn a_value_is_small() {
    assert!(size_of::<Value>() <= 24, "{}", size_of::<Value>());
}
