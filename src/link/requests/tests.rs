//! What callers are told, whatever becomes of their requests.

use std::sync::{Arc, Mutex};

use super::*;
use crate::commit::Incarnation;
use crate::tree::Version;

struct Table {
    requests: Requests,
    now: Instant,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Table {
    fn new() -> Table {
        let requests = Requests::new(TegaId::new("g").unwrap());
        Table { requests, now: Instant::now(), heard: Arc::default() }
    }

    fn hear<T: 'static>(&self, shown: impl Fn(T) -> String + Send + 'static) -> Done<T> {
        let heard = self.heard.clone();
        Box::new(move |outcome| {
            heard.lock().unwrap().push(match outcome {
                Ok(done) => shown(done),
                Err(refusal) => format!("{} {}", refusal.status, refusal.code),
            });
        })
    }

    fn begin(&mut self, what: &str) -> u32 {
        let waits = match what {
            "write" => Waits::Write(self.hear(|receipt: Receipt| format!("applied {}", receipt.applied))),
            "fresh" => Waits::Fresh(self.hear(|()| "fresh".into())),
            _ => Waits::Call(Duration::from_secs(5), self.hear(|value: Value| value.to_string())),
        };
        self.requests.begin(waits, self.now).unwrap_or_else(|_| panic!("refused"))
    }

    fn said(&mut self, tells: impl IntoIterator<Item = Tell>) -> Vec<String> {
        tells.into_iter().for_each(|tell| tell());
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    fn end(&mut self) -> Vec<String> {
        let tells = self.requests.end();
        self.said(tells)
    }

    fn later(&mut self, seconds: u64) -> Vec<String> {
        let tells = self.requests.overdue(self.now + Duration::from_secs(seconds));
        self.said(tells)
    }
}

fn committed(version: u64) -> Said {
    let receipt = Receipt { position: Position(7), versions: Vec::new(), durable: true, applied: true };
    Said::Committed(receipt, vec![("a".into(), Some((Incarnation(1), Version(version))))])
}

/// A replica that has this of every root.
fn has(inc: u64, at: u64) -> impl Fn(&Stands, Option<Position>) -> Shown {
    let shows = move |wanted: &Option<(Incarnation, Version)>| {
        wanted.is_some_and(|(wanted, version)| wanted == Incarnation(inc) && version.0 <= at)
    };
    move |needs, _| if needs.iter().all(|(_, wanted)| shows(wanted)) { Shown::Yes } else { Shown::NotYet }
}

#[test]
fn a_write_is_told_once_this_replica_shows_it() {
    let mut table = Table::new();
    let seq = table.begin("write");
    assert!(table.requests.send(seq));
    assert!(table.requests.answer(seq, committed(3)).is_none());
    for (inc, version, wanted) in [(1, 2, 0), (2, 9, 0), (1, 3, 1)] {
        let tells = table.requests.applied(has(inc, version));
        assert_eq!(tells.len(), wanted, "{inc} {version}");
        if wanted > 0 {
            assert_eq!(table.said(tells), ["applied true"]);
        }
    }
    assert_eq!(table.requests.len(), 0);
    assert!(table.later(99).is_empty());
}

#[test]
fn a_committed_write_that_is_not_applied_in_time_or_before_the_link_ends_says_so() {
    let mut table = Table::new();
    for _ in 0..2 {
        let seq = table.begin("write");
        table.requests.send(seq);
        table.requests.answer(seq, committed(3));
    }
    assert_eq!(table.later(31), ["applied false", "applied false"]);
    let seq = table.begin("write");
    table.requests.answer(seq, committed(3));
    assert_eq!(table.end(), ["applied false"]);
}

#[test]
fn what_was_not_sent_did_not_happen_and_what_was_sent_is_unknown() {
    for (what, sent, at_end, when_late) in [
        ("write", false, "503 no_link", "503 no_link"),
        ("write", true, "504 outcome_unknown", "504 outcome_unknown"),
        ("fresh", false, "503 no_link", "503 no_link"),
        ("fresh", true, "503 no_link", "504 timeout"),
        ("call", false, "503 no_link", "503 no_link"),
        ("call", true, "504 outcome_unknown", "504 timeout"),
    ] {
        for late in [false, true] {
            let mut table = Table::new();
            let seq = table.begin(what);
            if sent {
                table.requests.send(seq);
            }
            assert!(table.later(4).is_empty(), "{what}");
            let (said, wanted) = if late { (table.later(31), when_late) } else { (table.end(), at_end) };
            assert_eq!(said, [wanted], "{what} {sent} {late}");
            assert!(!table.requests.send(seq), "what was told isn't sent any more");
        }
    }
}

#[test]
fn a_fresh_read_waits_for_what_the_home_has() {
    let mut table = Table::new();
    let seq = table.begin("fresh");
    let stands = vec![("a".into(), Some((Incarnation(1), Version(3))))];
    table.requests.answer(seq, Said::Stands(stands, Some(Position(9))));
    assert!(
        table
            .requests
            .applied(|_, position| {
                assert_eq!(position, Some(Position(9)));
                Shown::Never
            })
            .is_empty()
    );
    let tells = table.requests.applied(has(1, 4));
    assert_eq!(table.said(tells), ["fresh"]);
}

#[test]
fn a_write_that_can_never_be_shown_here_is_told_at_once() {
    let mut table = Table::new();
    let (one, two) = (table.begin("write"), table.begin("write"));
    table.requests.answer(one, committed(3));
    table.requests.answer(two, committed(4));
    let asked = table.begin("write");
    table.requests.send(asked);
    let tells = table.requests.applied(|needs, position| {
        assert_eq!(position, Some(Position(7)));
        if needs[0].1 == Some((Incarnation(1), Version(3))) { Shown::Never } else { Shown::NotYet }
    });
    assert_eq!(table.said(tells), ["applied false"]);
    assert_eq!(table.requests.len(), 2);
}

#[test]
fn a_fresh_read_of_what_its_home_does_not_have_waits_until_it_is_gone_here() {
    let mut table = Table::new();
    let seq = table.begin("fresh");
    let body = crate::message::link::body::versions(&"a".into(), None, Position(9));
    let body = Value::parse(&body).unwrap();
    assert!(table.requests.done(seq, Ok(body)).is_none());
    assert!(table.requests.applied(has(1, 4)).is_empty());
    let is_gone = |needs: &Stands, _| if needs[0].1.is_none() { Shown::Yes } else { Shown::NotYet };
    let tells = table.requests.applied(is_gone);
    assert_eq!(table.said(tells), ["fresh"]);
}

#[test]
fn a_call_is_answered_or_refused_as_the_other_end_says() {
    let mut table = Table::new();
    let (one, two, three) = (table.begin("call"), table.begin("call"), table.begin("call"));
    let tells = [
        table.requests.answer(two, Said::Result(Value::from(2))),
        table.requests.answer(one, Said::Refused(Refusal::new("no_owner", "nobody"))),
        table.requests.answer(three, committed(1)),
        table.requests.answer(99, Said::Result(Value::Null)),
    ];
    assert_eq!(table.said(tells.into_iter().flatten()), ["2", "503 no_owner", "504 outcome_unknown"]);
}

#[test]
fn requests_are_bounded_and_none_is_taken_after_the_end() {
    let mut table = Table::new();
    for _ in 0..MAX_OPEN {
        table.begin("write");
    }
    let waits = Waits::Fresh(table.hear(|()| String::new()));
    let tell = table.requests.begin(waits, table.now).err();
    assert_eq!(table.said(tell), ["429 too_many"]);
    assert_eq!(table.end().len(), MAX_OPEN);
    let waits = Waits::Fresh(table.hear(|()| String::new()));
    let tell = table.requests.begin(waits, table.now).err();
    assert_eq!(table.said(tell), ["503 no_link"]);
}
