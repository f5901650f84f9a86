//! A node's changes as server-sent events, so that `curl -N -H 'Accept: text/event-stream'` can watch.
//!
//! First comes `event: state` with what is there now, then one `event: change` for each change, in order, as the
//! WebSocket's NOTIFY says it plus `root`, `inc`, `version` and `position`. The `id` is the position, given with the
//! last change of a commit, so that a client that resumes with `Last-Event-ID` never misses the rest of a commit. Where
//! the history no longer reaches that far there is `event: gone` and the state again. A client that reads too slowly
//! gets `event: lagging`, and the stream ends.
//!
//! This is a source of text without a socket: the door asks it for more when it's woken and has room.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use super::encode::{Form, Source, write_node, write_roots};
use super::{Context, INLINE_NODES, Reply, Request};
use crate::api::error::Refusal;
use crate::api::route::{Method, Route};
use crate::commit::Position;
use crate::path::Path;
use crate::store::{Channel, Event, Notice, Ope, Since, View, Watch};
use crate::tree::{Node, NodeRef, Pattern, SelectLimits, Stamp, Version};
use crate::value::write_string;

/// A change whose value is longer than this is told without it.
const MAX_INSTANCE: usize = 1 << 20;

/// What the first state of a regex shows and looks at, at most.
const STATE: SelectLimits = SelectLimits { matches: 10_000, visits: 1_000_000 };

/// What to do after asking a source for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing more for now; the source wakes when there is.
    Idle,
    /// Something was appended, and there may be more.
    More,
    /// The next part is long work: call [`Source::heavy`] where nobody waits.
    Heavy,
    /// The stream is over.
    End,
}

/// Where the text of an event stream comes from.
pub trait EventSource: Send {
    /// Appends what comes next, about one commit's worth.
    fn next(&mut self, out: &mut String) -> Flow;

    /// Appends what [`Flow::Heavy`] put off.
    fn heavy(&mut self, out: &mut String);
}

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
    ahead: VecDeque<Ahead>,
    missed: VecDeque<Arc<Event>>,
    over: bool,
}

/// What is watched: the channel, and what its first state shows.
enum What {
    Path(Path),
    Regex { text: String, pattern: Option<Box<Pattern>> },
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
    let (what, read) = match Route::parse(request.method, request.path, request.query)? {
        Route::Get { path, read } => (What::Path(path), read),
        Route::Select { pattern: text, read } => {
            // Read level by level it may not be a pattern for GET; then the stream begins without values.
            let pattern = Pattern::parse(&text).ok().map(Box::new);
            (What::Regex { text, pattern }, read)
        }
        _ => return Err(Refusal::bad("text/event-stream is for the path of a node or a regex")),
    };
    if read.version.is_some() || read.txid.is_some() || read.internal {
        return Err(Refusal::bad("an event stream takes no version=, txid= or internal="));
    }
    let channel = match &what {
        What::Path(path) => Channel::Path(path.clone()),
        What::Regex { text, .. } => Channel::regex(text)?,
    };
    let since: Option<Position> =
        match request.headers.last_event_id.map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => Some(Position(id.parse().map_err(|_| {
                Refusal::bad(format!("Last-Event-ID: {id}: the id of an earlier event wanted, a number"))
            })?)),
            None => None,
        };
    let watch = context.store.watch(None, wake);
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
    Ok(Events { watch, what, ahead, missed, over: false })
}

// Writing to a String can't fail, so results of `write!` are dropped below.

impl EventSource for Events {
    fn next(&mut self, out: &mut String) -> Flow {
        if self.over {
            return Flow::End;
        }
        match self.ahead.pop_front() {
            Some(Ahead::Gone) => {
                out.push_str("event: gone\ndata: {}\n\n");
                return Flow::More;
            }
            Some(Ahead::State(view)) => {
                let start = out.len();
                if self.state(&view, out, INLINE_NODES) {
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

    fn heavy(&mut self, out: &mut String) {
        if let Some(Ahead::State(view)) = self.ahead.pop_front() {
            self.state(&view, out, usize::MAX);
        }
    }
}

impl Events {
    /// Appends what is there now. False: it has more nodes than `budget`.
    fn state(&self, view: &View, out: &mut String, mut budget: usize) -> bool {
        let position = view.position().0;
        let _ = write!(out, "event: state\nid: {position}\ndata: {{\"position\":{position}");
        let whole = match &self.what {
            What::Path(path) => {
                out.push_str(",\"path\":");
                let _ = write_string(&path.to_string(), out);
                if path.is_empty() {
                    out.push_str(",\"instance\":");
                    let roots = view.roots().map(|(name, root)| (name, &root.present));
                    write_roots(&Form::Plain, roots, out, &mut budget)
                } else if let Some(node) = view.node(path) {
                    out.push_str(",\"instance\":");
                    write_node(&Form::Plain, path, node, out, &mut budget)
                } else {
                    true
                }
            }
            // A regex may visit every node, whatever it finds.
            What::Regex { .. } if budget <= INLINE_NODES => false,
            What::Regex { text, pattern } => {
                out.push_str(",\"regex\":");
                let _ = write_string(text, out);
                if let Some(pattern) = pattern {
                    matches(view, pattern, out);
                }
                true
            }
        };
        out.push_str("}\n\n");
        whole
    }

    /// Appends what this watcher sees of an event.
    fn tell(&self, event: &Event, out: &mut String) {
        let notices = self.watch.notices(event);
        for (i, notice) in notices.iter().enumerate() {
            out.push_str("event: change\n");
            if let Some(position) = event.position.filter(|_| i + 1 == notices.len()) {
                let _ = writeln!(out, "id: {}", position.0);
            }
            out.push_str("data: ");
            write_change(notice, event, out);
            out.push_str("\n\n");
        }
    }
}

/// `,"instances":{"PATH":VALUE, …}`, cut at [`STATE`] with `"truncated":true`.
fn matches(view: &View, pattern: &Pattern, out: &mut String) {
    let source = Source::Present(view.clone());
    let Ok(found) = pattern.select(source.trees(), STATE) else {
        out.push_str(",\"truncated\":true");
        return;
    };
    out.push_str(",\"instances\":{");
    for (i, found) in found.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let path = Path::from_checked(found.keys.clone());
        let _ = write_string(&path.to_string(), out);
        out.push(':');
        let mut unbounded = usize::MAX;
        write_node(&Form::Plain, &path, found.node, out, &mut unbounded);
    }
    out.push('}');
}

fn write_value(node: &Node, out: &mut String, mut budget: usize) -> bool {
    // The plain form doesn't show stamps.
    let node: NodeRef<'_> = node.with_stamp(Stamp::version(Version(0)));
    write_node(&Form::Plain, &Path::TOP, node, out, &mut budget)
}

fn write_change(notice: &Notice, event: &Event, out: &mut String) {
    let ope = match notice.ope {
        Ope::Put => "PUT",
        Ope::Delete => "DELETE",
        Ope::Rollback => "ROLLBACK",
    };
    let _ = write!(out, "{{\"ope\":\"{ope}\",\"path\":");
    let _ = write_string(&notice.path.to_string(), out);
    let by = event.by.as_ref().map_or("anonymous", |id| id.as_str());
    let _ = write!(out, ",\"tega_id\":\"{by}\"");
    if let Some(node) = &notice.instance {
        let start = out.len();
        out.push_str(",\"instance\":");
        let value = out.len();
        // A node is at least two bytes of text, so one of more nodes than this is too long as well.
        if !write_value(node, out, MAX_INSTANCE / 2) || out.len() - value > MAX_INSTANCE {
            out.truncate(start);
            out.push_str(",\"truncated\":true");
        }
    }
    if let Some(version) = notice.back_to {
        let _ = write!(out, ",\"backto\":{version}");
    }
    let root = notice.path.root().and_then(|name| event.roots.iter().find(|root| root.0 == *name));
    if let Some((name, incarnation, version)) = root {
        out.push_str(",\"root\":");
        let _ = write_string(name, out);
        let _ = write!(out, ",\"inc\":\"{incarnation}\",\"version\":{version}");
    }
    if let Some(position) = event.position {
        let _ = write!(out, ",\"position\":{}", position.0);
    }
    let _ = write!(out, ",\"by\":\"{by}\"}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Headers, Peer};

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
            let request = Request { method, path: "/a", query: "", headers, body: b"", peer: Peer::Local };
            assert_eq!(wanted(&request), stream, "{method:?} {accept:?}");
        }
    }
}
