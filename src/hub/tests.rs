use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

use super::*;

/// As long as calls may take by the limits.
const LONG: Duration = Duration::from_secs(3_600);

/// Counts how often a task would have been woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn id(text: &str) -> TegaId {
    TegaId::new(text).unwrap()
}

fn taken(outbox: &Outbox) -> Vec<String> {
    let mut frames = Vec::new();
    outbox.take(Some(&mut frames), Waker::noop());
    frames.iter().map(|frame| frame.as_str().to_owned()).collect()
}

fn sub(text: &str, regex: bool, scope: Scope) -> Sub {
    let channel =
        if regex { Channel::regex(text).unwrap() } else { Channel::Path(Path::parse(text).unwrap()) };
    Sub::new(&channel, scope)
}

struct World {
    state: State,
    answers: Arc<Mutex<Vec<Result<Value, RpcError>>>>,
}

impl World {
    fn new(limits: Limits) -> World {
        World { state: State::new(limits), answers: Arc::default() }
    }

    fn join(&mut self, session: u64, tega_id: &str) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::new(10_000));
        let who = Joining {
            tega_id: id(tega_id),
            scope: Scope::Local,
            dialect: Dialect::Original,
            from: "test".into(),
            access: Access::all(),
        };
        self.state.join(SessionId(session), Entry::new(who, outbox.clone()));
        self.state.check();
        outbox
    }

    fn subscribe(&mut self, session: u64, channel: &str, regex: bool) {
        let sub = sub(channel, regex, Scope::Local);
        self.state.subscribe(SessionId(session), sub).unwrap();
        self.state.check();
    }

    /// How many sessions a message reaches.
    fn reach(&self, channel: &str, except: u64) -> usize {
        self.state.listeners(&Path::parse(channel).unwrap(), Some(SessionId(except)), None).len()
    }

    fn call(&mut self, owner: &str) -> Result<u32, RpcError> {
        let answers = self.answers.clone();
        let done: Done = Box::new(move |answer| answers.lock().unwrap().push(answer));
        let path = Path::parse("r.f").unwrap();
        let begun = self.state.begin_call(&id(owner), &path, LONG, done);
        self.state.check();
        begun.map(|(seq, _)| seq).map_err(|(error, _)| error)
    }

    fn answers(&self) -> Vec<Result<Value, RpcError>> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}

#[test]
fn a_message_reaches_exactly_that_channel_and_the_regexes_that_match_it_but_not_the_sender() {
    let mut world = World::new(Limits::default());
    for session in 1..=4 {
        world.join(session, "x");
    }
    world.subscribe(1, "a.b", false);
    world.subscribe(2, "a", false);
    world.subscribe(3, "a\\..*", true);
    world.subscribe(3, "a.b", false);
    world.subscribe(4, "r", true);
    assert_eq!(world.reach("a.b", 99), 2, "the channel itself, and session 3 once though it matches twice");
    assert_eq!(world.reach("a.b", 1), 1, "not the sender");
    assert_eq!(world.reach("a", 99), 1);
    assert_eq!(world.reach("a.c", 99), 1, "the regex");
    assert_eq!(world.reach("r", 99), 1);
    assert_eq!(world.reach("r.x", 99), 1, "before a dot");
    assert_eq!(world.reach("r-1.x", 99), 0, "not in the middle of a key");
    assert!(world.state.unsubscribe(SessionId(3), "a\\..*", true).0);
    assert!(!world.state.unsubscribe(SessionId(3), "a\\..*", true).0);
    assert!(!world.state.unsubscribe(SessionId(3), "a.b", true).0, "as a regex it was never subscribed");
    world.state.check();
    assert_eq!(world.reach("a.c", 99), 0);
    assert_eq!(world.reach("a.b", 99), 2);
    world.state.leave(SessionId(1));
    world.state.unsubscribe_all(SessionId(3));
    world.state.check();
    assert_eq!(world.reach("a.b", 99), 0);
}

#[test]
fn the_lists_show_each_id_and_channel_as_it_was_subscribed() {
    let mut world = World::new(Limits::default());
    for (session, name) in [(1, "b"), (2, "a"), (3, "b")] {
        world.join(session, name);
    }
    world.subscribe(1, "a.b", false);
    world.subscribe(3, "a.b", false);
    world.subscribe(3, "c.*", true);
    world.state.subscribe(SessionId(2), sub("g", false, Scope::Global)).unwrap();
    assert_eq!(world.state.ids(), [id("a"), id("b")]);
    let channels = [("a.b", vec![id("b")]), ("c.*", vec![id("b")]), ("g", vec![id("a")])];
    assert_eq!(world.state.channels(&Access::all()), channels.map(|(text, ids)| (text.to_string(), ids)));
    let subscribers = [(id("a"), vec!["g".to_string()]), (id("b"), vec!["a.b".into(), "c.*".into()])];
    assert_eq!(world.state.subscribers(&Access::all()), subscribers);
    assert_eq!(world.state.global_channels(&Access::all()), [("g".to_string(), Scope::Global)]);
    assert_eq!(world.state.status(), HubStatus { sessions: 3, channels: 4, rpcs_waiting: 0 });
    world.state.tick(Duration::from_secs(5));
    let shown: Vec<_> =
        world.state.sessions().iter().map(|s| (s.session.0, s.channels, s.connected_s)).collect();
    assert_eq!(shown, [(1, 1, 5), (2, 1, 5), (3, 2, 5)]);
}

#[test]
fn a_call_goes_to_the_newest_session_of_its_owner() {
    let mut world = World::new(Limits::default());
    assert_eq!(world.state.newest(&id("r1")), None);
    world.join(7, "r1");
    world.join(3, "r1");
    assert_eq!(world.state.newest(&id("r1")), Some(SessionId(7)));
    let seq = world.call("r1").unwrap();
    assert!(world.state.end_call(SessionId(3), seq).is_none(), "only who was asked may answer");
    world.state.end_call(SessionId(7), seq).unwrap().answered(Value::from(1i64));
    assert!(world.state.end_call(SessionId(7), seq).is_none(), "once");
    assert_eq!(world.answers(), [Ok(Value::from(1i64))]);
    world.state.leave(SessionId(7));
    assert_eq!(world.state.newest(&id("r1")), Some(SessionId(3)));
    assert!(matches!(world.call("r2"), Err(RpcError::NoOwner { owner, .. }) if owner == "r2"));
}

#[test]
fn a_call_ends_after_its_time_or_at_once_when_its_owner_leaves() {
    let mut world = World::new(Limits::default());
    world.join(1, "a");
    world.join(2, "b");
    world.call("a").unwrap();
    assert!(world.state.tick(Duration::from_secs(29)).is_empty());
    world.call("a").unwrap();
    let overdue = world.state.tick(Duration::from_secs(1));
    assert_eq!(overdue.len(), 1, "the second was made later");
    overdue.into_iter().for_each(Call::overdue);
    world.state.check();
    assert!(matches!(&world.answers()[..], [Err(RpcError::Timeout { owner, .. })] if owner == "a"));
    world.call("b").unwrap();
    let (orphans, _) = world.state.leave(SessionId(1));
    orphans.into_iter().for_each(Call::gone);
    world.state.check();
    assert!(matches!(&world.answers()[..], [Err(RpcError::Gone { owner, .. })] if owner == "a"));
    assert_eq!(world.state.status().rpcs_waiting, 1, "that of b still waits");
    // A caller may have less time.
    let path = Path::parse("r.f").unwrap();
    assert!(world.state.begin_call(&id("b"), &path, Duration::from_secs(2), Box::new(|_| ())).is_ok());
    assert_eq!(world.state.tick(Duration::from_secs(2)).len(), 1);
}

use open::Call;

#[test]
fn calls_are_bounded_overall_and_for_each_owner() {
    let mut world = World::new(Limits { calls: 3, calls_of_one: 2, ..Limits::default() });
    world.join(1, "a");
    world.join(2, "b");
    let first = world.call("a").unwrap();
    world.call("a").unwrap();
    assert_eq!(world.call("a"), Err(RpcError::TooMany));
    world.call("b").unwrap();
    assert_eq!(world.call("b"), Err(RpcError::TooMany));
    world.state.end_call(SessionId(1), first).unwrap().answered(Value::Null);
    assert!(world.call("b").is_ok());
}

#[test]
fn a_seq_is_never_that_of_an_open_call_and_wraps_where_the_original_does() {
    let mut world = World::new(Limits::default());
    world.join(1, "a");
    let open = world.call("a").unwrap();
    let mut last = open;
    for _ in 0..70_000 {
        let seq = world.call_and_forget();
        assert!(seq != open && (1..=65_535).contains(&seq));
        last = seq;
    }
    assert!(last < 65_535);
}

impl World {
    fn call_and_forget(&mut self) -> u32 {
        let begun = self.state.begin_call(&id("a"), &Path::TOP, LONG, Box::new(|_| ()));
        let seq = begun.map(|(seq, _)| seq).map_err(|(error, _)| error).unwrap();
        self.state.end_call(SessionId(1), seq).unwrap();
        seq
    }
}

#[test]
fn only_the_one_key_form_of_a_result_is_unwrapped_and_only_our_form_of_an_error_is_one() {
    let mut world = World::new(Limits::default());
    world.join(1, "a");
    for (body, result) in [
        (r#"{"result":3}"#, "3"),
        (r#"{"result":{"result":3}}"#, r#"{"result":3}"#),
        (r#"{"result":3,"x":1}"#, r#"{"result":3,"x":1}"#),
        ("[1]", "[1]"),
        ("null", "null"),
        (r#"{"error":"a driver's own"}"#, r#"{"error":"a driver's own"}"#),
    ] {
        let seq = world.call("a").unwrap();
        world.state.end_call(SessionId(1), seq).unwrap().answered(Value::parse(body).unwrap());
        assert_eq!(world.answers(), [Ok(Value::parse(result).unwrap())], "{body}");
    }
    let seq = world.call("a").unwrap();
    let error = Value::parse(r#"{"error":{"code":"rpc_failed","message":"no"}}"#).unwrap();
    world.state.end_call(SessionId(1), seq).unwrap().answered(error);
    assert!(matches!(&world.answers()[..], [Err(RpcError::Failed { message, .. })] if message == "no"));
}

#[test]
fn an_rpc_leaf_names_its_owner() {
    for (leaf, owner) in [
        ("%r1.f", Some("r1")),
        ("%r1.f(a, b)", Some("r1")),
        ("%r1.f.g", Some("r1")),
        ("%r1", None),
        ("%.f", None),
        ("%r1.", None),
        ("%r1.(a)", None),
        ("%r 1.f", None),
        ("%5 of 3. x", None),
        ("%r1.f g", None),
        ("r1.f", None),
        ("", None),
    ] {
        assert_eq!(owner_of(leaf), owner.map(id), "{leaf}");
        assert_eq!(is_rpc_leaf(&Value::from(leaf)), owner.is_some());
    }
}

#[test]
fn channels_are_bounded() {
    let mut world = World::new(Limits { channels: 2, ..Limits::default() });
    world.join(1, "a");
    world.subscribe(1, "a", false);
    world.subscribe(1, "b", false);
    world.subscribe(1, "b", false);
    let third = sub("c", false, Scope::Local);
    assert_eq!(world.state.subscribe(SessionId(1), third).unwrap_err().code, "too_many");
}

#[test]
fn an_outbox_that_isnt_emptied_ends_the_session_and_one_frame_always_fits() {
    let outbox = Outbox::new(200);
    assert!(outbox.push(Frame::Own("x".repeat(1_000))), "the first, however long");
    assert!(!outbox.push(Frame::Own("y".into())));
    let mut frames = Vec::new();
    let taken = outbox.take(Some(&mut frames), Waker::noop());
    assert_eq!(taken.end, Some(End::lagging()));
    assert_eq!(frames.len(), 1);
    assert!(!outbox.push(Frame::Own("z".into())), "ended is ended");
    let answers = Outbox::new(10);
    for _ in 0..100 {
        answers.answer("as many as were asked for".into());
    }
    assert_eq!(self::taken(&answers).len(), 100);
    assert_eq!(answers.take(None, Waker::noop()).end, None);
}

#[test]
fn a_task_is_woken_by_the_first_thing_that_comes_and_not_by_the_others() {
    let outbox = Outbox::new(1_000);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let count = || woken.0.load(Ordering::SeqCst);
    outbox.take(None, &waker);
    outbox.push(Frame::Own("a".into()));
    outbox.answer("b".into());
    outbox.poke();
    assert_eq!(count(), 1);
    let mut frames = Vec::new();
    let taken = outbox.take(Some(&mut frames), &waker);
    assert!(taken.poked && taken.end.is_none());
    assert_eq!(frames, [Frame::Own("a".into()), Frame::Own("b".into())], "in order");
    outbox.poke();
    assert_eq!(count(), 2);
    let taken = outbox.take(None, &waker);
    assert!(taken.poked);
    outbox.end(End { code: 1001, reason: "stop".into() });
    outbox.end(End::lagging());
    assert_eq!(count(), 3);
    let end = outbox.take(None, &waker).end.unwrap();
    assert_eq!(end.code, 1001, "the first reason counts");
}

#[test]
fn without_room_frames_stay_and_count() {
    let outbox = Outbox::new(100);
    assert!(outbox.push(Frame::Own("x".repeat(40))));
    assert_eq!(outbox.take(None, Waker::noop()).end, None);
    assert!(!outbox.push(Frame::Own("x".repeat(40))));
    assert_eq!(taken(&outbox).len(), 1);
}
