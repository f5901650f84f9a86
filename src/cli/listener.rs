//! The session of `tega cli`: a thread that prints what comes while the commands go on.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::live;
use super::show::note;
use crate::client::Server;
use crate::client::live::{Event, Lost, Session};
use crate::commit::TegaId;
use crate::message::{self, Kind, Scope};
use crate::path::Path;
use crate::value::Value;

/// How soon a command of the user's is sent while nothing comes from the server.
const TURN: Duration = Duration::from_millis(50);

/// A session on a thread of its own. It ends with the process, or with the server.
pub(super) struct Listener {
    frames: Sender<String>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Opens a session and listens to it.
    pub(super) fn start(target: &Server, id: TegaId) -> Result<Listener, Fault> {
        let session = live::open(target, id)?;
        let (frames, queue) = channel();
        let target = target.clone();
        let thread = std::thread::Builder::new().name("session".into());
        let thread = thread.spawn(move || listen(session, &queue, &target));
        let thread = thread.map_err(|error| Fault::error(format!("can't start a thread: {error}")))?;
        Ok(Listener { frames, thread })
    }

    /// Whether the session is over.
    pub(super) fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Subscribes to a channel: a path in its dotted form, or a regex.
    pub(super) fn subscribe(&self, channel: &str, regex: bool) -> Result<(), Fault> {
        let mut frame = String::new();
        message::subscribe(&mut frame, channel, Scope::Local, regex);
        self.send(frame)
    }

    /// Ends a subscription; an empty channel means all.
    pub(super) fn unsubscribe(&self, channel: &str, regex: bool) -> Result<(), Fault> {
        let mut frame = String::new();
        message::unsubscribe(&mut frame, (!channel.is_empty()).then_some((channel, regex)));
        self.send(frame)
    }

    /// Sends a message to a channel.
    pub(super) fn publish(&self, channel: &Path, said: &Value) -> Result<(), Fault> {
        let body = Value::object(vec![("message".into(), said.clone())]);
        let body = body.map_err(|error| Fault::error(error.to_string()))?;
        let mut frame = String::new();
        message::publish(&mut frame, channel, &body.to_string());
        self.send(frame)
    }

    /// Ends the session once the server has dealt with all that was sent, and what came by then is printed.
    pub(super) fn finish(self) {
        drop(self.frames);
        if self.thread.join().is_err() {
            note("the session's thread ended by a panic");
        }
    }

    fn send(&self, frame: String) -> Result<(), Fault> {
        self.frames.send(frame).map_err(|_| Fault::error("the session ended; subscribe again"))
    }
}

fn listen(mut session: Session, queue: &Receiver<String>, target: &Server) {
    loop {
        let over = loop {
            match queue.try_recv() {
                Ok(frame) => {
                    if let Err(error) = session.send(&frame) {
                        return note(&format!("{target}: {error}"));
                    }
                }
                Err(error) => break error == TryRecvError::Disconnected,
            }
        };
        if over {
            return finish(session, target);
        }
        match session.next(Some(Instant::now() + TURN)) {
            Ok(None) => {}
            Ok(Some(event)) => print(&event),
            Err(Lost(why)) => {
                return note(&format!("{target}: {why}; subscriptions and ephemeral nodes are gone"));
            }
        }
    }
}

/// Frames are taken in order: the answer to one more question says that all before it are through.
fn finish(mut session: Session, target: &Server) {
    if let Err(failure) = session.request(Kind::Get, "-", live::NO_QUESTION) {
        return note(&live::lost(target, &failure).message);
    }
    while let Ok(Some(event)) = session.next(Some(Instant::now())) {
        print(&event);
    }
    session.close();
}

/// What came, as YAML. That nobody reads it ends the commands, not this.
fn print(event: &Event) {
    let text = match event {
        Event::Notify(list) => format!("NOTIFY\n{}", crate::yaml::write(list)),
        Event::Message(channel, from, body) => {
            format!("MESSAGE {channel} {from}\n{}", crate::yaml::write(body.get("message").unwrap_or(body)))
        }
        // This session serves nothing, and so isn't called.
        Event::Called(_) => return,
        Event::Refused(refusal) => return note(&refusal.message),
    };
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let _ = std::io::stdout().lock().write_all(format!("{text}{newline}").as_bytes());
}
