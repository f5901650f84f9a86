//! Calls of functions, with a session that serves them, and with answers that are made up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Stage, id};
use crate::api::error::Refusal;
use crate::hub::{Dialect, Joining, Outbox, Scope};
use crate::token::Access;
use crate::tui::app::Input;
use crate::tui::ask::{Failed, Purpose, Reply};
use crate::value::Value;

const FN: (&str, &str) = (
    "fn",
    r#"{"hello":"%r1.hello(who, greeting=hi, times=2)","plain":"%r1.plain","broken":"%r1.broken(a, b)","odd":"%odd","x":1}"#,
);

/// A session that answers each call with what it was called with, and the function `broken` with an error.
struct Owner {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    fn of(stage: &Stage) -> Owner {
        let hub = stage.server.as_ref().unwrap().hub().clone();
        let outbox = Arc::new(Outbox::new(100));
        let who = Joining {
            tega_id: id("r1"),
            scope: Scope::Local,
            dialect: Dialect::Second,
            from: "test".into(),
            access: Access::all(),
        };
        let session = hub.join(who, outbox.clone()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut frames = Vec::new();
                outbox.take(Some(&mut frames), Waker::noop());
                for frame in frames {
                    let (line, body) = frame.as_str().split_once('\n').unwrap();
                    let words: Vec<&str> = line.split(' ').collect();
                    let answer = if line.contains("fn.broken") {
                        r#"{"error":{"code":"rpc_failed","message":"no such radio"}}"#
                    } else {
                        body
                    };
                    hub.answer(session, words[1].parse().unwrap(), Value::parse(answer).unwrap());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Owner { stop, thread: Some(thread) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().unwrap().join());
    }
}

fn stage(size: (u16, u16)) -> Stage {
    Stage::new(size, &[FN])
}

#[test]
fn the_form_has_a_field_for_each_argument_with_its_default() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        let mut stage = stage(size);
        stage.keys("ofn.hello<enter>");
        stage.keys("x");
        stage.shows(&format!("form_{}x{}", size.0, size.1));
    }
}

#[test]
fn a_call_takes_what_was_typed_and_shows_what_came_of_it() {
    for size in [(80, 24), (200, 50), (40, 10)] {
        let mut stage = stage(size);
        let _owner = Owner::of(&stage);
        stage.keys("ofn.hello<enter>x");
        stage.keys("you<tab><ctrl-u>\"good day\"<down><backspace>3<tab>[1, 2] loud=true<enter>");
        stage.shows(&format!("form_answered_{}x{}", size.0, size.1));
        stage.keys("<tab>jjjy");
        let sent = r#"{"args":["you",[1,2]],"kwargs":{"greeting":"good day","loud":true,"times":3}}"#;
        let copied = format!("{:?}", super::Effect::Copy(Value::parse(sent).unwrap().to_pretty()));
        assert_eq!(stage.effects.last(), Some(&copied));
        stage.keys("<esc>");
        stage.lacks("call fn.hello");
    }
}

#[test]
fn it_is_called_again_with_enter_and_a_paste_goes_into_the_field() {
    let mut stage = stage((80, 24));
    let _owner = Owner::of(&stage);
    stage.keys("ofn.plain<enter>x");
    stage.has("▸ arguments");
    stage.take(Input::Paste("one\n".into()));
    stage.keys("<enter>");
    stage.has("\"one\"");
    stage.keys(" 2<enter>");
    stage.has("Enter calls again");
    stage.has("2");
}

#[test]
fn what_is_typed_wrong_is_told_at_its_field_and_nothing_is_called() {
    let mut stage = stage((80, 24));
    stage.keys("ofn.hello<enter>x");
    stage.keys("{a<enter>");
    stage.has("! who: bad JSON: line 1");
    stage.keys("<ctrl-u><up>5<enter>");
    stage.has("! 5 has no place while this one is empty");
    stage.keys("<down>");
    stage.keys("<esc>ofn.broken<enter>x<tab>2<enter>");
    stage.has("did not happen");
    stage.has("r1, which serves fn.broken, isn't connected; nothing happened");
}

#[test]
fn what_is_no_function_has_no_form() {
    let mut stage = stage((80, 24));
    stage.keys("ofn.x<enter>x");
    stage.has("! fn.x is no function");
    stage.keys("ofn.odd<enter>x");
    stage.has("isn't of the form %OWNER.FUNC");
}

#[test]
fn a_text_that_is_too_long_for_a_line_is_read_first() {
    let long: Vec<String> = (0..60).map(|n| format!("argument{n}={n}")).collect();
    let json = format!(r#"{{"long":"%r1.long({})"}}"#, long.join(", "));
    let mut stage = Stage::new((80, 24), &[("fn", &json)]);
    stage.keys("ofn.long<enter>x");
    stage.has("▸ argument0");
    stage.keys("<up><up>");
    stage.has("argument59");
}

/// The answer to the call that is under way.
fn answer(stage: &mut Stage, outcome: Result<Value, Failed>) {
    let purpose = Purpose::Call("fn.plain".parse().unwrap(), stage.now);
    stage.take(Input::Reply(Reply { purpose, outcome }));
}

/// Enter, without anybody to answer.
fn call(stage: &mut Stage) {
    let effects = stage.app.take(
        Input::Key(super::named("enter")),
        stage.now,
        super::WALL + i64::try_from(stage.now).unwrap(),
    );
    assert!(
        matches!(effects.as_slice(), [super::Effect::Ask(ask)] if matches!(ask.purpose, Purpose::Call(..)))
    );
}

#[test]
fn what_may_have_happened_is_told_apart_from_what_did_not() {
    let mut stage = stage((80, 24));
    stage.keys("ofn.plain<enter>x");
    let refused = |code, message: &str| Failed::Refused(Refusal::new(code, message));
    for (failed, said) in [
        (refused("timeout", "r1 didn't answer in time"), "! it's unknown whether it happened"),
        (refused("outcome_unknown", "r1 went away"), "! it's unknown whether it happened"),
        (Failed::Unknown("the connection broke".into()), "! it's unknown whether it happened"),
        (refused("rpc_failed", "no such radio"), "! it failed"),
        (refused("no_link", "no link to g"), "! it did not happen"),
        (Failed::NotReached("connection refused".into()), "! it did not happen"),
    ] {
        call(&mut stage);
        let why = match &failed {
            Failed::Refused(refusal) => refusal.message.clone(),
            Failed::NotReached(why) | Failed::Unknown(why) => why.clone(),
        };
        answer(&mut stage, Err(failed));
        stage.has(said);
        stage.has(&why);
    }
    stage.shows("form_failed_80x24");
}

#[test]
fn a_call_that_takes_long_says_how_long_and_can_be_left() {
    let mut stage = stage((80, 24));
    stage.keys("ofn.plain<enter>x");
    call(&mut stage);
    let begun = stage.now;
    stage.pass(3_000);
    stage.has("calling… 3 s");
    stage.shows("form_calling_80x24");
    stage.keys("<enter>");
    stage.has("calling… 3 s");
    stage.keys("<esc>");
    stage.has("the call of fn.plain goes on");
    let purpose = Purpose::Call("fn.plain".parse().unwrap(), begun);
    stage.keys("x");
    let outcome = Ok(Value::parse(r#"{"result":[1]}"#).unwrap());
    stage.take(Input::Reply(Reply { purpose, outcome }));
    stage.lacks("answered after");
    stage.has("▸ arguments");
    stage.keys("<esc>");
    stage.has("fn.plain answered: [1]");
}

#[test]
fn a_long_result_is_scrolled() {
    let mut stage = stage((80, 24));
    stage.keys("ofn.plain<enter>x");
    call(&mut stage);
    let list: Vec<String> = (0..100).map(|n| format!("{{\"n\":{n}}}")).collect();
    answer(&mut stage, Ok(Value::parse(&format!(r#"{{"result":[{}]}}"#, list.join(","))).unwrap()));
    stage.has("\"n\": 0");
    stage.has("more lines");
    (0..40).for_each(|_| stage.keys("<pagedown>"));
    stage.has("\"n\": 99");
    stage.lacks("more lines");
}
