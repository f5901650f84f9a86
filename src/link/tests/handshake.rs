//! Claims: every case of the record of homes.

use super::*;
use crate::link::handshake::{agree, judge};
use crate::message::link::{Hello, Welcome};

fn hello(follow: &[(&str, u64)], serve: &[(&str, u64)]) -> Hello {
    let standings = |roots: &[(&str, u64)]| {
        roots
            .iter()
            .map(|(root, version)| (Key::from(*root), stands(*version).filter(|_| *version > 0)))
            .collect()
    };
    Hello { protocol: 1, follow: standings(follow), serve: standings(serve) }
}

/// What the global g makes of one root of r1: what is recorded, and what becomes of it.
fn judged(books: &Fake, hello: Hello) -> (Vec<(Key, Option<Away>)>, String) {
    let judged = judge(&id("g"), &id("r1"), hello, Vec::new(), books);
    let sends = judged.sends.iter().map(|_| "sent");
    let follows = judged.follows.iter().map(|_| "followed");
    let handover = judged.welcome.handover.iter().map(|_| "handed over");
    let mut what: Vec<String> = sends.chain(follows).chain(handover).map(String::from).collect();
    what.extend(judged.welcome.refused.iter().map(|it| it.reason.clone()));
    assert_eq!(judged.welcome.known.len(), judged.follows.len());
    (judged.homes, what.join(", "))
}

#[test]
fn a_claim_is_judged_by_the_record_and_by_what_is_there() {
    let away = |home: &str, handover| vec![(Key::from("a"), Some(Away { home: id(home), handover }))];
    let here = |version| Fake::default().with("a", version);
    let deleted = Fake { deleted: keys(&["a"]), ..here(3) };
    for (books, hello, homes, what) in [
        // Served.
        (Fake::default(), hello(&[], &[("a", 1)]), away("r1", false), "followed"),
        (deleted, hello(&[], &[("a", 1)]), away("r1", false), "followed"),
        (here(1), hello(&[], &[("a", 1)]), vec![], "the home of a is g; `tega home` at the global moves it"),
        (here(1).away("a", "r1", false), hello(&[], &[("a", 2)]), vec![], "followed"),
        (Fake::default().away("a", "r1", false), hello(&[], &[("a", 0)]), vec![], "followed"),
        (
            here(1).away("a", "r2", false),
            hello(&[], &[("a", 2)]),
            vec![],
            "the home of a is r2; `tega home` at the global moves it",
        ),
        // Handed over: not before both have the same.
        (here(5).away("a", "r1", true), hello(&[], &[("a", 0)]), vec![], "sent, handed over"),
        (here(5).away("a", "r1", true), hello(&[], &[("a", 4)]), vec![], "sent, handed over"),
        (here(5).away("a", "r1", true), hello(&[], &[("a", 5)]), away("r1", false), "followed"),
        (Fake::default().away("a", "r1", true), hello(&[], &[("a", 0)]), away("r1", false), "followed"),
        // Followed.
        (here(1), hello(&[("a", 0)], &[]), vec![], "sent"),
        (Fake::default(), hello(&[("a", 7)], &[]), vec![], "sent"),
        (
            here(1).away("a", "r2", false),
            hello(&[("a", 1)], &[]),
            vec![],
            "the home of a is r2; `tega home` at the global moves it",
        ),
        (
            here(1).away("a", "r1", false),
            hello(&[("a", 1)], &[]),
            vec![],
            "a was moved to r1; it must serve it, with --operational a",
        ),
    ] {
        let (recorded, told) = judged(&books, hello.clone());
        assert_eq!((recorded, told.as_str()), (homes, what), "{hello:?}");
    }
}

#[test]
fn what_the_token_denies_is_neither_judged_nor_recorded() {
    let denied = |root: &str| Refused { root: root.into(), reason: "not with this token".into(), home: None };
    let hello = hello(&[("a", 1), ("b", 0)], &[("c", 1), ("d", 1)]);
    let judged = judge(&id("g"), &id("r1"), hello, vec![denied("a"), denied("c")], &Fake::default());
    assert_eq!(judged.welcome.refused, [denied("a"), denied("c")]);
    assert_eq!(judged.sends, [("b".into(), None)]);
    assert_eq!(judged.follows, keys(&["d"]));
    assert_eq!(judged.homes.len(), 1);
}

#[test]
fn a_local_records_what_it_learns_and_nothing_that_it_knows() {
    let refused = |root: &str, home: Option<&str>| Refused {
        root: root.into(),
        reason: "no".into(),
        home: home.map(id),
    };
    let welcome = Welcome {
        protocol: 1,
        known: vec![("mine".into(), stands(3)), ("again".into(), None)],
        refused: vec![refused("other", Some("r2")), refused("denied", None), refused("moved", Some("r1"))],
        handover: keys(&["coming"]),
    };
    let books = Fake::default().away("again", "r2", false).away("old", "g", false);
    let (follow, serve) =
        (keys(&["new", "old", "moved"]), keys(&["mine", "again", "other", "denied", "coming"]));
    let agreed = agree(&id("r1"), &id("g"), (&follow, &serve), welcome.clone(), &books).unwrap();
    let away = |root: &str, home: &str| (Key::from(root), Some(Away { home: id(home), handover: false }));
    assert_eq!(
        agreed.homes,
        [away("new", "g"), (Key::from("again"), None), away("coming", "g"), away("other", "r2")]
    );
    assert_eq!(agreed.follows, keys(&["new", "old", "coming"]));
    assert_eq!(agreed.sends, [("mine".into(), stands(3)), ("again".into(), None)]);
    assert_eq!(agreed.refused.len(), 3);

    let silent = Welcome { known: Vec::new(), ..welcome.clone() };
    let why = |global: &str, welcome| {
        agree(&id("r1"), &id(global), (&follow, &serve), welcome, &books).map(|_| ()).unwrap_err().reason
    };
    assert!(why("g", silent).contains("didn't say what becomes of mine"));
    assert!(why("r1", welcome.clone()).contains("linked to itself"));
    assert!(why("g", Welcome { protocol: 4, ..welcome }).contains("version 4"));
}
