//! `watch`, `sub`, `pub`, `put --ephemeral`: what needs a session.

use std::time::{Duration, Instant};

use super::data;
use super::fault::{Exit, Fault};
use super::flags::Flag;
use super::parse::Typed;
use super::remote::{self, Remote};
use super::show::{Form, Out, note};
use crate::api::route::{Read, Route};
use crate::client::Server;
use crate::client::http::{Failure, request_id};
use crate::client::live::{Event, Lost, Session};
use crate::commit::{Incarnation, TegaId};
use crate::message::{self, Kind, Scope, body, entry};
use crate::path::{Key, Path};
use crate::store::{Ope, Since};
use crate::tree::Version;
use crate::value::Value;
use crate::words;

/// The longest pause between two attempts to connect again.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The body of a GET that is refused at sight, and so costs nothing: its answer says that what was sent before is through.
pub(super) const NO_QUESTION: &str = "{\"version\":\"-\"}";

/// The tega ID of a session: the one given, or one that nobody else has.
pub(super) fn session_id(given: Option<TegaId>) -> Result<TegaId, Fault> {
    if let Some(id) = given {
        return Ok(id);
    }
    let random = request_id().map_err(|error| Fault::error(format!("no random numbers: {error}")))?;
    let short: String = random.chars().take(8).collect();
    TegaId::new(&format!("cli-{short}")).map_err(|error| Fault::error(error.to_string()))
}

/// Opens a session with the server that a command line means.
pub(super) fn open(target: &Server, id: TegaId) -> Result<Session, Fault> {
    Session::open(target, id, Scope::Local).map_err(|failure| lost(target, &failure))
}

/// What a failed exchange means.
pub(super) fn lost(target: &Server, failure: &Failure) -> Fault {
    match failure {
        Failure::NotReached(why) => Fault::new(Exit::Unreachable, format!("{target}: {why}")),
        Failure::Unknown(why) => {
            Fault::new(Exit::Unknown, format!("{target}: {why}; it may or may not have happened"))
        }
    }
}

/// When `--timeout` ends.
pub(super) fn deadline(typed: &Typed) -> Result<Option<Instant>, Fault> {
    let seconds: Option<f64> = typed.number(Flag::Timeout)?;
    match seconds.map(Duration::try_from_secs_f64) {
        None => Ok(None),
        Some(Ok(patience)) => Ok(Instant::now().checked_add(patience)),
        Some(Err(_)) => Err(Fault::usage("--timeout: seconds wanted, such as 2.5")),
    }
}

/// A subscription that outlives its connections.
pub(super) struct Following {
    target: Server,
    id: TegaId,
    word: String,
    regex: bool,
    /// Where this reader stands in each root.
    since: Option<Vec<(Key, Incarnation, Version)>>,
    session: Option<Session>,
    pause: Duration,
}

/// What a [`Following`] yields.
pub(super) enum Step {
    /// Changes, one JSON entry each.
    Changes(Vec<Value>),
    /// The history has a gap: the present state.
    Gap(Option<Value>),
    Message(Value),
    /// The connection is there again, and nothing that has versions was missed.
    Back,
    /// The time is over.
    Late,
}

impl Following {
    pub(super) fn new(typed: &Typed) -> Result<Following, Fault> {
        let regex = typed.has(Flag::Regex);
        let word = match regex {
            true => message::channel_word(typed.arg(0), true).into_owned(),
            false => data::node(typed.arg(0))?.to_wire(),
        };
        let (target, id) = (remote::server(typed)?, session_id(remote::tega_id(typed)?)?);
        Ok(Following {
            target,
            id,
            word,
            regex,
            since: None,
            session: None,
            pause: Duration::from_millis(100),
        })
    }

    /// Subscribes on a new connection; `None`: what was missed is nothing.
    pub(super) fn connect(&mut self) -> Result<Option<Step>, Fault> {
        let mut session = open(&self.target, self.id.clone())?;
        let since = self.since.clone().map(Since::Versions);
        let body = body::subscribe(self.regex, since.as_ref(), false);
        let answer = session.request(Kind::Subscribe, &self.word, &body);
        let answer = answer.map_err(|failure| {
            // Nothing happens by subscribing.
            Fault { exit: Exit::Unreachable, ..lost(&self.target, &failure) }
        })?;
        let answer = answer.map_err(|refusal| remote::refused(&self.target, &refusal))?;
        self.session = Some(session);
        self.pause = Duration::from_millis(100);
        if let Some(roots) = answer.get("roots").and_then(body::read_roots) {
            self.since = Some(roots);
        }
        if answer.get("gone").and_then(Value::as_bool) == Some(true) {
            return Ok(Some(Step::Gap(answer.get("value").cloned())));
        }
        let missed =
            answer.get("missed").and_then(Value::as_list).map_or(Vec::new(), |list| list.items().to_vec());
        Ok((!missed.is_empty()).then_some(Step::Changes(missed)))
    }

    /// The next thing that happens; connects, and connects again, as needed.
    pub(super) fn step(&mut self, deadline: Option<Instant>) -> Result<Step, Fault> {
        loop {
            let Some(session) = &mut self.session else {
                match self.reconnect(deadline)? {
                    Some(step) => return Ok(step),
                    None if self.session.is_some() => return Ok(Step::Back),
                    None => continue,
                }
            };
            match session.next(deadline) {
                Ok(None) => return Ok(Step::Late),
                Ok(Some(Event::Notify(list))) => {
                    let entries = list.as_list().map_or(Vec::new(), |list| list.items().to_vec());
                    entries.iter().filter_map(entry::read).for_each(|entry| self.passed(&entry));
                    return Ok(Step::Changes(entries));
                }
                Ok(Some(Event::Message(_, _, body))) => return Ok(Step::Message(body)),
                // This session serves nothing, and so isn't called.
                Ok(Some(Event::Called(_))) => {}
                Ok(Some(Event::Refused(refusal))) => return Err(remote::refused(&self.target, &refusal)),
                Err(Lost(why)) => {
                    note(&format!("{}: {why}; connecting again", self.target));
                    self.session = None;
                }
            }
        }
    }

    fn reconnect(&mut self, deadline: Option<Instant>) -> Result<Option<Step>, Fault> {
        match self.connect() {
            Err(fault) if fault.exit == Exit::Unreachable => {}
            connected => return connected,
        }
        let random =
            request_id().ok().and_then(|hex| u32::from_str_radix(hex.get(..4)?, 16).ok()).unwrap_or(0);
        // Full jitter: what lost one server together doesn't come back together.
        let pause = self.pause.mul_f64(f64::from(random) / 65_536.0) + Duration::from_millis(20);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(left) if left <= pause => {
                std::thread::sleep(left);
                return Ok(Some(Step::Late));
            }
            _ => std::thread::sleep(pause),
        }
        Ok(None)
    }

    fn passed(&mut self, entry: &entry::Entry) {
        let (Some(origin), Some(since)) = (&entry.origin, &mut self.since) else { return };
        let stand = (origin.root.clone(), origin.incarnation, origin.version);
        match since.iter_mut().find(|(root, ..)| *root == origin.root) {
            Some(known) => *known = stand,
            None => since.push(stand),
        }
    }
}

/// Counts down to `--count`.
pub(super) struct Left(Option<u64>);

impl Left {
    pub(super) fn of(typed: &Typed) -> Result<Left, Fault> {
        match typed.number(Flag::Count)? {
            Some(0) => Err(Fault::usage("--count: at least 1 wanted")),
            count => Ok(Left(count)),
        }
    }

    /// Counts one; whether that was the last.
    pub(super) fn one(&mut self) -> bool {
        if let Some(left) = &mut self.0 {
            *left -= 1;
        }
        self.0 == Some(0)
    }

    /// The time is over: a failure only where a number was waited for.
    pub(super) fn late(&self) -> Result<(), Fault> {
        match self.0 {
            None => Ok(()),
            Some(left) => Err(Fault::error(format!("time is over, and {left} more were waited for"))),
        }
    }
}

/// `tega watch`
pub(super) fn watch(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    if let Some(command) = typed.last(Flag::Exec) {
        return super::exec::watch(typed, command);
    }
    if typed.has(Flag::Flat) {
        return Err(Fault::usage("--flat is the form of what --exec's command reads"));
    }
    let (json, mut left, deadline) = (typed.has(Flag::Json), Left::of(typed)?, deadline(typed)?);
    let mut following = Following::new(typed)?;
    if let Some(version) = typed.number::<u64>(Flag::Since)? {
        following.since = Some(vec![stand(typed, version)?]);
    }
    // The first connection must work: an address that never answered is a mistake rather than a fault.
    let mut step = following.connect()?;
    loop {
        let now = match step.take() {
            Some(step) => step,
            None => following.step(deadline)?,
        };
        match now {
            Step::Late => return left.late(),
            Step::Message(..) | Step::Back => {}
            Step::Gap(value) => {
                note("the history no longer has what was missed; this is the present state");
                if let (Some(value), false) = (value, following.regex) {
                    let path = data::node(typed.arg(0))?;
                    let line =
                        if json { value.to_string() } else { format!("put {path} {}", words::short(&value)) };
                    out.line(&line)?;
                }
            }
            Step::Changes(entries) => {
                for entry in entries {
                    out.line(&if json { entry.to_string() } else { change(&entry) })?;
                    if left.one() {
                        return Ok(());
                    }
                }
            }
        }
        out.flush()?;
    }
}

/// One change as a line of text.
pub(super) fn change(entry: &Value) -> String {
    let Some(read) = entry::read(entry) else { return entry.to_string() };
    let value = read.instance.as_ref().map_or("…".to_string(), words::short);
    match read.ope {
        Ope::Put => format!("put {} {value}", read.path),
        Ope::Delete => format!("del {}", read.path),
        Ope::Rollback => format!("rollback {} {}", read.path, read.back_to.unwrap_or(0)),
    }
}

/// A version of the watched root, with the root's incarnation, which an ETag tells.
fn stand(typed: &Typed, version: u64) -> Result<(Key, Incarnation, Version), Fault> {
    if typed.has(Flag::Regex) {
        return Err(Fault::usage("--since is about the version of one root; with --regex there may be many"));
    }
    let root = data::node(typed.arg(0))?.prefix(1);
    let mut remote = Remote::new(typed)?;
    let answer = remote.ask(&Route::Get { path: root.clone(), read: Read::default() })?;
    let tag = answer.header("etag").and_then(|tag| tag.trim_matches('"').split('-').next()?.parse().ok());
    match (root.root(), tag) {
        (Some(root), Some(incarnation)) => Ok((root.clone(), incarnation, Version(version))),
        _ => Err(Fault::error(format!("{}: the answer has no ETag to go by", remote.target()))),
    }
}

/// `tega sub`
pub(super) fn sub(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let (json, mut left, deadline) = (typed.has(Flag::Json), Left::of(typed)?, deadline(typed)?);
    let mut following = Following::new(typed)?;
    following.connect()?;
    loop {
        match following.step(deadline)? {
            Step::Late => return left.late(),
            Step::Message(body) => {
                let said = body.get("message").unwrap_or(&body);
                let form = if json { Form::Json } else { Form::Plain };
                out.text(&form.text(&Path::TOP, said, false))?;
                out.flush()?;
                if left.one() {
                    return Ok(());
                }
            }
            Step::Changes(_) | Step::Gap(_) | Step::Back => {}
        }
    }
}

/// `tega pub`
pub(super) fn publish(typed: &Typed) -> Result<(), Fault> {
    let channel = data::node(typed.arg(0))?;
    let said = data::value_arg(typed, typed.arg(1))?;
    let target = remote::server(typed)?;
    let mut session = open(&target, session_id(remote::tega_id(typed)?)?)?;
    send_message(&mut session, &target, &channel, &said)?;
    session.close();
    Ok(())
}

/// Publishes, and waits until the server has dealt with it.
pub(super) fn send_message(
    session: &mut Session,
    target: &Server,
    channel: &Path,
    said: &Value,
) -> Result<(), Fault> {
    let body = Value::object(vec![("message".into(), said.clone())]);
    let body = body.map_err(|error| Fault::error(error.to_string()))?;
    let mut frame = String::new();
    message::publish(&mut frame, channel, &body.to_string());
    let sent = session.send(&frame).map_err(|error| Failure::Unknown(error.to_string()));
    // A PUBLISH isn't answered. Frames are taken in order, so the answer to a question that can't cost anything says
    // that the message is through.
    let answered = sent.and_then(|()| session.request(Kind::Get, "-", NO_QUESTION));
    // The question itself is refused: that is its answer.
    let _refused = answered.map_err(|failure| lost(target, &failure))?;
    match session.next(Some(Instant::now())) {
        Ok(Some(Event::Refused(refusal))) => Err(remote::refused(target, &refusal)),
        _ => Ok(()),
    }
}

/// `tega put --ephemeral`: holds the session that the node lives by, until the process is ended.
pub(super) fn put_ephemeral(typed: &Typed, path: &Path, value: &Value, out: &mut Out) -> Result<(), Fault> {
    let target = remote::server(typed)?;
    let id = session_id(remote::tega_id(typed)?)?;
    let mut version = typed.number(Flag::IfVersion)?;
    let mut pause = Duration::from_millis(100);
    let mut told = false;
    loop {
        let outcome = open(&target, id.clone()).and_then(|mut session| {
            let answer = session.request(Kind::Put, &path.to_wire(), &body::put(value, version, true));
            answer
                .map_err(|failure| lost(&target, &failure))?
                .map_err(|refusal| remote::refused(&target, &refusal))?;
            Ok(session)
        });
        match outcome {
            Ok(mut session) => {
                if !told {
                    note(&format!("{path} is there until this command ends (Ctrl-C)"));
                    out.flush()?;
                }
                (told, version, pause) = (true, None, Duration::from_millis(100));
                let Lost(why) = loop {
                    if let Err(lost) = session.next(None) {
                        break lost;
                    }
                };
                note(&format!("{target}: {why}; connecting again"));
            }
            Err(fault) if told && matches!(fault.exit, Exit::Unreachable | Exit::Unknown) => {}
            Err(fault) => return Err(fault),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line_that_tx_understands() {
        for (entry, line) in [
            (r#"{"ope":"PUT","path":"a.b","instance":"x y"}"#, "put a.b x y"),
            (r#"{"ope":"PUT","path":"a[\"x y\"]","instance":{"k":"1"}}"#, r#"put a["x y"] {"k":"1"}"#),
            (r#"{"ope":"DELETE","path":"a.b","instance":1}"#, "del a.b"),
            (r#"{"ope":"ROLLBACK","path":"a","instance":{},"backto":3}"#, "rollback a 3"),
        ] {
            let line_of = change(&words::json(entry).unwrap());
            assert_eq!(line_of, line);
            if !line.starts_with("rollback") {
                assert!(words::operation(&line_of).unwrap().is_some());
            }
        }
    }

    #[test]
    fn counting_ends_with_the_last() {
        let mut two = Left(Some(2));
        assert!(!two.one());
        assert!(two.late().is_err());
        assert!(two.one());
        let mut endless = Left(None);
        assert!(!endless.one() && endless.late().is_ok());
    }
}
