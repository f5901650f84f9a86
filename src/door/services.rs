//! What is behind the door of a tega: REST, event streams and sessions.

use super::{Services, Serving, Upgraded, Wake};
use crate::http::events::{self, EventSource};
use crate::http::{self, Answer, Context, Reply, Request};

/// The services of a tega. The door doesn't know what a session is; it's given the function that serves one.
pub struct Tega {
    context: Context,
    websocket: Box<dyn Fn(Upgraded) -> Serving + Send + Sync>,
}

impl Tega {
    /// REST over this context, and WebSockets served by this function.
    pub fn new(context: Context, websocket: impl Fn(Upgraded) -> Serving + Send + Sync + 'static) -> Tega {
        Tega { context, websocket: Box::new(websocket) }
    }
}

impl Services for Tega {
    fn request(&self, request: &Request<'_>, answer: Answer) {
        http::handle(&self.context, request, move |reply| answer.send(reply));
    }

    fn events(&self, request: &Request<'_>, wake: Wake) -> Result<Box<dyn EventSource>, Reply> {
        Ok(Box::new(events::open(&self.context, request, move || wake())?))
    }

    fn websocket(&self, upgraded: Upgraded) -> Serving {
        (self.websocket)(upgraded)
    }
}
