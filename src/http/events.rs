//! A node's changes as server-sent events, so that `curl -N -H 'Accept: text/event-stream'` can watch.
//!
//! First comes `event: state` with what is there now, then one `event: change` for each change, in order, as the
//! WebSocket's NOTIFY says it plus `root`, `inc`, `version` and `position`. The `id` is the position, given with the
//! last change of a commit, so that a client that resumes with `Last-Event-ID` never misses the rest of a commit; and
//! only of one that is durable, since a position that a power cut takes back is none to resume from. Where the history no longer reaches that far there is `event: gone` and the state again. A client that reads too slowly
//! gets `event: lagging`, and the stream ends; one whose token is gone or was changed `event: revoked`. The state and
//! the changes are cut to what may be read.
//!
//! This is a source of text without a socket: the door asks it for more when it's woken and has room.

use std::collections::VecDeque;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;

use super::{Context, Reply, Request};
use crate::api::allow;
use crate::api::error::Refusal;
use crate::api::route::{Method, Route};
use crate::commit::Position;
use crate::message::{Dialect, entry};
use crate::path::Path;
use crate::read::{Found, Heavy, INLINE_NODES, Selection, Source};
use crate::store::{Channel, Event, Since, Store, View, Watch};
use crate::token::{Access, Alarm};
use crate::value::write_string;

/// What to do after asking a source for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing more for now; the source wakes when there is.
    Idle,
    /// Something was appended, and there may be more.
    More,
    /// The next part is long work: go on with [`EventSource::heavy`].
    Heavy,
    /// The stream is over.
    End,
}

/// Where the text of an event stream comes from.
pub trait EventSource: Send {
    /// Appends what comes next, about one commit's worth.
    fn next(&mut self, out: &mut String) -> Flow;

    /// Appends what [`Flow::Heavy`] put off, on another thread, and gives both back.
    fn heavy(self: Box<Self>, out: String) -> Heavily;
}

/// A source and its text, once the long work is done; `None` where that failed.
pub type Heavily = Pin<Box<dyn Future<Output = Option<(Box<dyn EventSource>, String)>> + Send>>;

/// Whether a request asks for an event stream.
pub fn wanted(request: &Request<'_>) -> bool {
    let accepts = |accept: &str| {
        accept.split(',').any(|kind| {
            kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("text/event-stream"))
        })
    };
    request.method == Method::Get && request.headers.accept.is_some_and(accepts)
}

/// What is to be told before the next event.
enum Ahead {
    Gone,
    State(Box<View>),
}

/// The stream of one watcher.
pub struct Events {
    watch: Watch,
    what: What,
    /// Who watches: the watch tells them no more than they may see, and the first state shows no more.
    access: Access,
    /// Wakes the stream when the token is gone.
    _alarm: Option<Alarm>,
    ahead: VecDeque<Ahead>,
    missed: VecDeque<Arc<Event>>,
    over: bool,
    store: Store,
    heavy: Heavy,
}

/// What is watched: the channel, and what its first state shows.
enum What {
    Path(Path),
    Regex(String),
}

/// Begins to watch. `wake` is called, from any thread, when there's something new.
pub fn open(
    context: &Context,
    request: &Request<'_>,
    wake: impl Fn() + Send + Sync + 'static,
) -> Result<Events, Reply> {
    subscribe(context, request, wake).map_err(|refusal| Reply::refusal(&refusal))
}

fn subscribe(
    context: &Context,
    request: &Request<'_>,
    wake: impl Fn() + Send + Sync + 'static,
) -> Result<Events, Refusal> {
    let mut route = Route::parse(request.method, request.path, request.query)?;
    allow::route(&request.access, &mut route)?;
    let (what, read) = match route {
        Route::Get { path, read } => (What::Path(path), read),
        Route::Select { pattern, read } => (What::Regex(pattern), read),
        _ => return Err(Refusal::bad("text/event-stream is for the path of a node or a regex")),
    };
    if read.version.is_some() || read.txid.is_some() || read.replaced.is_some() || read.internal {
        return Err(Refusal::bad("an event stream takes no version=, txid=, replaced= or internal="));
    }
    let channel = match &what {
        What::Path(path) => Channel::Path(path.clone()),
        What::Regex(text) => Channel::regex(text)?,
    };
    let since: Option<Position> =
        match request.headers.last_event_id.map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => Some(Position(id.parse().map_err(|_| {
                Refusal::bad(format!("Last-Event-ID: {id}: the id of an earlier event wanted, a number"))
            })?)),
            None => None,
        };
    let wake = Arc::new(wake);
    let alarm = request.access.on_revoked({
        let wake = wake.clone();
        move || wake()
    });
    let watch = context.store.watch_within(None, request.access.readable(), move || wake());
    let subscribed = watch.subscribe(channel, since.map(Since::Position))?;
    // A position from the future is one of another store, of which this one is no continuation.
    let known = since.is_some_and(|position| position <= subscribed.view.position());
    let missed = subscribed.missed.filter(|_| known);
    let mut ahead = VecDeque::new();
    if missed.is_none() {
        ahead.extend(since.map(|_| Ahead::Gone));
        ahead.push_back(Ahead::State(Box::new(subscribed.view)));
    }
    let missed = missed.unwrap_or_default().into();
    let (store, heavy, access) = (context.store.clone(), context.heavy.clone(), request.access.clone());
    Ok(Events { watch, what, access, _alarm: alarm, ahead, missed, over: false, store, heavy })
}

// Writing to a String can't fail, so results of `write!` are dropped below.

impl EventSource for Events {
    fn next(&mut self, out: &mut String) -> Flow {
        if self.over {
            return Flow::End;
        }
        if self.access.is_revoked() {
            self.over = true;
            out.push_str("event: revoked\ndata: {}\n\n");
            return Flow::More;
        }
        match self.ahead.pop_front() {
            Some(Ahead::Gone) => {
                out.push_str("event: gone\ndata: {}\n\n");
                return Flow::More;
            }
            Some(Ahead::State(view)) => {
                let start = out.len();
                if self.state(&view, out, true) {
                    return Flow::More;
                }
                out.truncate(start);
                self.ahead.push_front(Ahead::State(view));
                return Flow::Heavy;
            }
            None => {}
        }
        if let Some(event) = self.missed.pop_front() {
            self.tell(&event, out);
            return Flow::More;
        }
        match self.watch.try_next() {
            Ok(Some(event)) => {
                self.tell(&event, out);
                Flow::More
            }
            Ok(None) => Flow::Idle,
            Err(_) => {
                self.over = true;
                out.push_str("event: lagging\ndata: {}\n\n");
                Flow::More
            }
        }
    }

    fn heavy(mut self: Box<Self>, mut out: String) -> Heavily {
        let pool = self.heavy.clone();
        Box::pin(pool.call(move || {
            if let Some(Ahead::State(view)) = self.ahead.pop_front() {
                self.state(&view, &mut out, false);
            }
            (self as Box<dyn EventSource>, out)
        }))
    }
}

impl Events {
    /// Appends what is there now. False: it's too much for `inline`, and what was appended is to be thrown away.
    fn state(&self, view: &View, out: &mut String, inline: bool) -> bool {
        let position = view.position().0;
        let _ = write!(out, "event: state\nid: {position}\ndata: {{\"position\":{position}");
        let source = |path: &Path| Source::present(view.clone(), &self.access, path);
        match &self.what {
            What::Path(path) => {
                out.push_str(",\"path\":");
                let _ = write_string(&path.to_string(), out);
                let found = source(path).and_then(|s| Found::new(&self.store, s, path.clone(), false));
                if let Ok(found) = found {
                    let start = out.len();
                    out.push_str(",\"instance\":");
                    if inline && !found.write_small(INLINE_NODES, out) {
                        return false;
                    }
                    if !inline && found.write(out).is_err() {
                        truncated(out, start);
                    }
                }
            }
            // A regex may visit every node, whatever it finds.
            What::Regex(_) if inline => return false,
            What::Regex(text) => {
                out.push_str(",\"regex\":");
                let _ = write_string(text, out);
                // As a channel it's one expression; read level by level it may be none, and then there are no values.
                let selection = source(&Path::TOP).and_then(|s| Selection::new(&self.store, s, text, false));
                if let Ok(selection) = selection {
                    let start = out.len();
                    out.push_str(",\"instances\":");
                    if selection.write_instances(out).is_err() {
                        truncated(out, start);
                    }
                }
            }
        }
        out.push_str("}\n\n");
        true
    }

    /// Appends what this watcher sees of an event.
    fn tell(&self, event: &Event, out: &mut String) {
        let notices = self.watch.notices(event);
        for (i, notice) in notices.iter().enumerate() {
            out.push_str("event: change\n");
            if let Some(position) = event.position.filter(|_| event.durable && i + 1 == notices.len()) {
                let _ = writeln!(out, "id: {}", position.0);
            }
            out.push_str("data: ");
            entry::write(event, notice, Dialect::Second, out);
            out.push_str("\n\n");
        }
    }
}

/// Says, in place of what began at `start`, that it's too much to be told.
fn truncated(out: &mut String, start: usize) {
    out.truncate(start);
    out.push_str(",\"truncated\":true");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Headers, Peer};
    use crate::token::Access;

    #[test]
    fn only_a_get_that_accepts_events_gets_a_stream() {
        for (method, accept, stream) in [
            (Method::Get, Some("text/event-stream"), true),
            (Method::Get, Some("text/html, Text/Event-Stream;q=0.5"), true),
            (Method::Get, Some("*/*"), false),
            (Method::Get, Some("text/event-streams"), false),
            (Method::Get, None, false),
            (Method::Put, Some("text/event-stream"), false),
            (Method::Head, Some("text/event-stream"), false),
        ] {
            let headers = Headers { accept, ..Headers::default() };
            let request = Request {
                method,
                path: "/a",
                query: "",
                headers,
                body: b"",
                peer: Peer::Local,
                access: Access::all(),
                opened: 0,
            };
            assert_eq!(wanted(&request), stream, "{method:?} {accept:?}");
        }
    }
}
