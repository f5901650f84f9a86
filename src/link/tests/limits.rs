//! Each limit, at it and beyond it; no store and no wire.

use super::*;
use crate::message::link::{self as frames, Hello, MAX_BODY, MAX_PIECE, Welcome};

struct Side {
    machine: Replication,
    books: Fake,
    now: u64,
}

impl Side {
    fn take(&mut self, input: Input<'_>) -> Vec<String> {
        let mut out = Vec::new();
        self.machine.take(input, self.now, &self.books, &mut out);
        told(&mut out)
    }

    fn frame(&mut self, text: &str) -> Vec<String> {
        self.take(Input::Frame(Frame::read(text).unwrap()))
    }
}

/// A local that follows `a`, just linked.
fn follower() -> Side {
    let (books, mut out) = (Fake::default().with("a", 1), Vec::new());
    let machine = Replication::dial(id("r1"), Incarnation(1), &keys(&["a"]), &[], 0, &books, &mut out);
    let mut side = Side { machine, books, now: 0 };
    assert_eq!(told(&mut out), ["LINK r1 0000000000000001"]);
    let welcome = Welcome { protocol: 1, ..Welcome::default() };
    assert_eq!(side.frame(&frames::linked(&id("g"), &welcome)), ["homes a: g", "linked"]);
    side
}

/// A global that a local of it has called, which follows `a`.
fn source(start: Start, position: u64) -> Side {
    let machine = Replication::accept(id("g"), None, 0);
    let mut side = Side { machine, books: Fake::default().with("a", 1), now: 0 };
    let hello = Hello { protocol: 1, follow: vec![("a".into(), None)], serve: vec![] };
    let asked = side.frame(&frames::link(&id("r1"), Incarnation(1), &hello));
    assert_eq!(asked, ["admit r1 follow [a] serve []"]);
    assert!(!side.machine.reads() && !side.machine.is_linked());
    assert_eq!(side.take(Input::Admitted(Ok(vec![]))), ["LINKED g", "linked", "open [a] from [-]"]);
    let begun = side.take(Input::Opened(start, Position(position)));
    assert_eq!(begun.len(), 1);
    side
}

fn commit(position: u64, record: &str) -> String {
    frames::commit(Position(position), Position(position - 1), record)
}

fn sent(position: u64, bytes: usize) -> Input<'static> {
    let (position, after) = (Position(position), Position(position - 1));
    Input::Commit(Sent { position, after, record: "x".repeat(bytes) })
}

#[test]
fn no_more_is_sent_than_the_window_until_it_is_acknowledged() {
    let mut side = source(Start::Resume, 0);
    assert_eq!(side.machine.wants(), Some(Want::Commit));
    assert_eq!(side.take(sent(1, WINDOW - 1)), ["COMMIT 1 0"]);
    assert_eq!(side.machine.wants(), Some(Want::Commit), "a byte is left, so one more commit goes");
    assert_eq!(side.take(sent(2, 7)), ["COMMIT 2 1"]);
    assert_eq!(side.machine.wants(), None);
    assert!(side.frame("ACK 0").is_empty());
    assert_eq!(side.machine.wants(), None);
    assert!(side.frame("ACK 1").is_empty());
    assert_eq!(side.machine.wants(), Some(Want::Commit));
    assert_eq!(side.machine.acknowledged(), (Position(1), Position(2)));
}

#[test]
fn a_commit_that_is_longer_than_a_frame_goes_in_parts_and_is_put_together() {
    let mut side = source(Start::Resume, 0);
    let (mut out, long) = (Vec::new(), 2 * MAX_PIECE + 5);
    side.machine.take(sent(1, long), 0, &side.books, &mut out);
    let mut other = follower();
    assert!(other.frame("BEGIN 0\n{\"roots\":[\"a\"]}").is_empty());
    let mut followed = Vec::new();
    for effect in &out {
        let Effect::Send(text) = effect else { panic!() };
        assert!(text.len() < MAX_PIECE + 100);
        other.machine.take(Input::Frame(Frame::read(text).unwrap()), 0, &other.books, &mut followed);
    }
    assert_eq!(out.len(), 3);
    let [Effect::Follow { records, .. }] = &followed[..] else { panic!() };
    assert_eq!(records[0].len(), long);
}

#[test]
fn a_record_is_put_together_up_to_the_limit() {
    let mut side = follower();
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    let part = frames::part(&"x".repeat(MAX_PIECE));
    for _ in 0..MAX_BODY / MAX_PIECE {
        assert!(side.frame(&part).is_empty());
    }
    let closed = side.frame(&part);
    assert_eq!(closed, [format!("close 4000: a record of more than {MAX_BODY} bytes")]);
    assert!(side.frame(&part).is_empty() && !side.machine.reads(), "nothing comes of it any more");
}

#[test]
fn reading_stops_when_much_waits_for_the_store() {
    let mut side = follower();
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    let record = "x".repeat(MAX_BATCH / 4);
    assert_eq!(side.frame(&commit(1, &record)), ["follow 1 of g"]);
    for position in 2..6 {
        assert!(side.machine.reads(), "{position}");
        assert!(side.frame(&commit(position, &record)).is_empty());
    }
    assert!(!side.machine.reads());
    assert_eq!(side.take(Input::Applied(Ok(()))), ["follow 4 of g", "ACK 1"]);
    assert!(side.machine.reads());
    assert_eq!(side.take(Input::Applied(Ok(()))), ["ACK 5"]);
}

#[test]
fn a_follower_asks_for_a_new_feed_at_most_once_a_second() {
    let mut side = follower();
    side.now = 5_000;
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    assert_eq!(side.frame(&commit(2, "{}")), ["RESYNC"]);
    assert!(side.frame(&commit(3, "{}")).is_empty(), "what is left of the old feed");
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    side.now += RESYNC_EVERY;
    assert_eq!(side.frame(&commit(2, "{}")), ["RESYNC"]);
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    side.now += RESYNC_EVERY - 1;
    let closed = side.frame(&commit(2, "{}"));
    assert_eq!(closed, ["close 4000: out of step again: commit 2 follows 1, not 0"]);
}

#[test]
fn a_new_feed_waits_until_the_store_has_done_what_it_does() {
    let mut side = follower();
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    assert_eq!(side.frame(&commit(1, "{}")), ["follow 1 of g"]);
    assert!(side.frame(&commit(3, "{}")).is_empty());
    assert_eq!(side.take(Input::Applied(Ok(()))), ["RESYNC"], "and no ACK of the old feed");
}

#[test]
fn a_record_that_does_not_follow_asks_for_a_new_feed() {
    let mut side = follower();
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    side.frame(&commit(1, "{}"));
    let diverged = Error::Diverged { root: "a".into(), reason: "not the next version".into() };
    assert_eq!(side.take(Input::Applied(Err(diverged))), ["RESYNC"]);
    assert!(side.machine.problem().unwrap().contains("not the next version"));
}

#[test]
fn a_follower_whose_disk_refuses_tries_again_after_a_while() {
    let full = || Error::NoSpace { reason: "full".into() };
    let mut side = follower();
    side.frame("BEGIN 0\n{\"roots\":[\"a\"]}");
    side.frame(&commit(1, "{}"));
    assert!(side.take(Input::Applied(Err(full()))).is_empty());
    assert!(side.machine.problem().unwrap().contains("full"));
    assert_eq!(side.machine.wakes_at(), Some(DISK_RETRY));
    assert!(side.frame(&commit(2, "{}")).is_empty() && side.frame("AT 2 2").is_empty());
    side.now = DISK_RETRY - 1;
    assert!(side.take(Input::Tick).is_empty());
    side.now = DISK_RETRY;
    assert_eq!(side.take(Input::Tick), ["RESYNC"]);
    side.frame("BEGIN 2\n{\"roots\":[\"a\"]}");
    assert!(side.machine.problem().is_some(), "it isn't over before everything is here");
    side.frame("AT 2 2");
    assert_eq!((side.machine.problem(), side.machine.followed(side.now).stale_ms), (None, 0));
}

#[test]
fn a_home_that_does_not_begin_is_asked_again() {
    let mut side = follower();
    assert_eq!(side.machine.wakes_at(), Some(BEGIN_TIME));
    side.now = BEGIN_TIME;
    assert_eq!(side.take(Input::Tick), ["RESYNC"]);
    assert_eq!(side.machine.wakes_at(), Some(2 * BEGIN_TIME));
    assert!(side.frame("BEGIN 0\n{\"roots\":[\"a\"]}").is_empty());
    assert_eq!(side.machine.wakes_at(), None);
}

#[test]
fn a_follower_that_owes_an_acknowledgement_for_too_long_is_given_up() {
    for (start, input, frame) in [
        (Start::Resume, sent(1, 1), "COMMIT 1 0"),
        (Start::Snapshot, Input::Line(None), "SNAPPED 0 00000000"),
    ] {
        let mut side = source(start, 0);
        side.now = 1_000;
        assert_eq!(side.take(input), [frame]);
        assert_eq!(side.machine.wakes_at(), Some(1_000 + ACK_TIME));
        side.now += ACK_TIME - 1;
        assert!(side.take(Input::Tick).is_empty());
        side.now += 1;
        assert_eq!(side.take(Input::Tick), ["close 4008: nothing acknowledged for 120 s; connect again"]);
    }
    let mut side = source(Start::Resume, 0);
    side.take(sent(1, 1));
    side.frame("ACK 1");
    assert_eq!(side.machine.wakes_at(), None, "an idle link has nothing to wait for");
}

#[test]
fn what_waits_for_the_disk_is_flushed_at_most_once_a_second() {
    let mut side = source(Start::Resume, 3);
    assert_eq!(side.take(Input::Idle(Position(5), true)), ["AT 5 3", "flush"]);
    assert!(side.take(Input::Idle(Position(5), true)).is_empty());
    assert!(side.take(Input::Flushed(Ok(()))).is_empty());
    assert!(side.take(Input::Idle(Position(5), true)).is_empty());
    assert_eq!(side.machine.wakes_at(), Some(FLUSH_EVERY));
    side.now = FLUSH_EVERY;
    assert_eq!(side.take(Input::Tick), ["flush"]);
    side.take(Input::Flushed(Err(Error::Closed)));
    side.take(Input::Idle(Position(5), true));
    assert_eq!(side.machine.wakes_at(), Some(FLUSH_EVERY + DISK_RETRY));
}

#[test]
fn a_handshake_takes_so_long_and_no_longer() {
    let too_long = ["close 4000: the handshake took too long"];
    let mut called = Side { machine: Replication::accept(id("g"), None, 7), books: Fake::default(), now: 7 };
    assert_eq!(called.machine.wakes_at(), Some(7 + LINK_TIME));
    called.now += LINK_TIME;
    assert_eq!(called.take(Input::Tick), too_long);
    let mut out = Vec::new();
    let machine = Replication::dial(id("r1"), Incarnation(1), &[], &[], 0, &Fake::default(), &mut out);
    let mut dialled = Side { machine, books: Fake::default(), now: LINKED_TIME - 1 };
    assert!(dialled.take(Input::Tick).is_empty());
    dialled.now += 1;
    assert_eq!(dialled.take(Input::Tick), too_long);
}

#[test]
fn what_makes_no_sense_closes_the_link() {
    let roots = "{\"roots\":[\"b\"]}";
    for (text, why) in [
        (format!("BEGIN 0\n{roots}"), "a feed of other roots"),
        (format!("SNAPSHOT 0\n{roots}"), "a feed of other roots"),
        ("BEGIN 0\n{\"roots\":[]}".to_string(), "a feed of other roots"),
        ("ACK 1".into(), "nothing beyond 0 was sent"),
        ("RESYNC\n{\"known\":{\"b\":null}}".into(), "RESYNC of other roots"),
        (frames::linked(&id("g"), &Welcome { protocol: 1, ..Welcome::default() }), "a second handshake"),
    ] {
        let closed = follower().frame(&text);
        assert!(
            closed.len() == 1 && closed[0].starts_with("close 4000") && closed[0].contains(why),
            "{closed:?}"
        );
    }
    let mut early = Side { machine: Replication::accept(id("g"), None, 0), books: Fake::default(), now: 0 };
    assert!(early.frame("ACK 0")[0].starts_with("close 4000: LINK must be the first frame"));
    let hello = Hello { protocol: 1, ..Hello::default() };
    let mut same = Side { machine: Replication::accept(id("g"), None, 0), books: Fake::default(), now: 0 };
    let closed = same.frame(&frames::link(&id("g"), Incarnation(1), &hello));
    assert!(closed[0].starts_with("close 4009: g is the tega ID of this server"));
    let mut gap = source(Start::Resume, 0);
    assert!(gap.take(sent(2, 1))[0].starts_with("close 4008: the feed went on after 1 instead of 0"));
    assert!(source(Start::Resume, 0).take(Input::Lagging)[0].starts_with("close 4008"));
}

#[test]
fn claims_are_recorded_before_they_are_answered() {
    let machine = Replication::accept(id("g"), None, 0);
    let mut side = Side { machine, books: Fake::default(), now: 0 };
    let hello = Hello { protocol: 9, follow: vec![], serve: vec![("o".into(), stands(2))] };
    side.frame(&frames::link(&id("r1"), Incarnation(1), &hello));
    assert_eq!(side.take(Input::Admitted(Ok(vec![]))), ["homes o: r1"]);
    assert!(!side.machine.reads());
    assert_eq!(side.take(Input::Recorded(Ok(()))), ["LINKED g", "linked"]);
    assert_eq!(side.machine.follows(), keys(&["o"]));

    let machine = Replication::accept(id("g"), None, 0);
    let mut side = Side { machine, books: Fake::default(), now: 0 };
    side.frame(&frames::link(&id("r1"), Incarnation(1), &hello));
    side.take(Input::Admitted(Ok(vec![])));
    let closed = side.take(Input::Recorded(Err(Error::NoSpace { reason: "full".into() })));
    assert!(closed[0].starts_with("close 1013") && closed[0].ends_with("retry after 10 s"), "{closed:?}");
}

#[test]
fn a_wait_that_a_close_asks_for_reads_back() {
    assert_eq!(Closing::retry_after(&Closing::busy("too many at once", 17).reason), Some(17));
    assert_eq!(Closing::retry_after("retry after 5 minutes"), None);
    assert_eq!(Closing::retry_after("closed"), None);
}

/// 10,000 of them stand at a global.
#[test]
fn an_idle_machine_is_small() {
    assert!(size_of::<Replication>() <= 640, "{}", size_of::<Replication>());
}

#[test]
fn versions_are_compared_only_once_the_replica_is_in_step() {
    let mut side = follower();
    assert!(!side.machine.is_in_step(), "what is here may be of another history");
    side.frame("SNAPSHOT 5\n{\"roots\":[\"a\"]}");
    let line = r#"{"snapshot":true,"position":5,"absent":["a"]}"#;
    side.frame(&frames::lines(line));
    let crc = crc32fast::hash(line.as_bytes());
    assert_eq!(side.frame(&frames::snapped(Position(5), crc)), ["install"]);
    assert!(!side.machine.is_in_step(), "it isn't installed yet");
    assert_eq!(side.take(Input::Applied(Ok(()))), ["ACK 5"]);
    assert!(side.machine.is_in_step());
    assert_eq!(side.frame(&commit(9, "{}")), ["RESYNC"]);
    assert!(!side.machine.is_in_step());
    side.frame("BEGIN 7\n{\"roots\":[\"a\"]}");
    assert!(side.machine.is_in_step());
}

#[test]
fn a_snapshot_that_does_not_go_on_is_asked_for_again() {
    let mut side = follower();
    side.frame("SNAPSHOT 5\n{\"roots\":[\"a\"]}");
    side.now = LINES_TIME - 1;
    assert!(side.take(Input::Tick).is_empty());
    side.frame(&frames::lines(r#"{"snapshot":true,"position":5,"absent":[]}"#));
    side.now = 2 * LINES_TIME - 2;
    assert!(side.take(Input::Tick).is_empty());
    side.now += 1;
    assert_eq!(side.machine.wakes_at(), Some(side.now));
    assert_eq!(side.take(Input::Tick), ["RESYNC"]);
}

#[test]
fn who_wants_to_begin_again_and_again_is_refused() {
    let mut side = source(Start::Resume, 0);
    let resync = "RESYNC\n{\"known\":{\"a\":null}}";
    let most = super::super::source::MAX_RESYNCS;
    for _ in 0..most {
        assert_eq!(side.frame(resync), ["open [a] from [-]"]);
    }
    side.now = RESYNC_EVERY * u64::from(most);
    assert_eq!(side.frame(resync), ["open [a] from [-]"], "as many as there may be in that time");
    for _ in 1..most {
        side.frame(resync);
    }
    assert_eq!(side.frame(resync), ["close 4000: RESYNC again and again"]);
}
