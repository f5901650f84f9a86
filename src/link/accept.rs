//! All links of a server: those that others open to it, and on a local the one that it opens itself.

use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use smol::channel::{Receiver, Sender, bounded};
use smol::io::{AsyncRead, AsyncWrite};

use super::mailbox::End;
use super::register::Register;
use super::work::{Context, Work};
use super::{Options, dial, socket};
use crate::commit::TegaId;
use crate::hub::Hub;
use crate::store::Store;
use crate::token::Access;

/// How long somebody who is sent away may take to close.
const GOODBYE: Duration = Duration::from_secs(5);

/// The links of one server: a handle, cheap to clone.
#[derive(Clone)]
pub struct Links {
    context: Context,
    /// Where the global is, on a local.
    global: Option<String>,
    again: (Sender<()>, Receiver<()>),
}

impl Links {
    /// Those of the server with this tega ID. `options`: it's a local one. `grace`: how long ephemeral nodes from the
    /// other end of a link stay when it died.
    pub fn new(own: TegaId, hub: Hub, store: Store, options: Option<&Options>, grace: Duration) -> Links {
        let register = Register::new(store.clone(), grace);
        let global = options.map(|options| options.global.to_string());
        if let Some(global) = &global {
            hub.follow_global(global.clone());
        }
        Links { context: Context { own, hub, store, register }, global, again: bounded(1) }
    }

    /// Serves a link that another server opened, to its end. The handshake of the WebSocket is done; `leftover` is what
    /// came behind it. `from` is the address that people are shown.
    pub async fn serve<S>(&self, stream: S, leftover: Vec<u8>, from: String, access: Access)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Some(socket::config());
        let ws = WebSocketStream::from_partially_read(stream, leftover, Role::Server, config).await;
        let under_way = match self.context.register.begin() {
            Ok(under_way) => under_way,
            Err(busy) => return send_away(ws, busy.into()).await,
        };
        let revoked = access.clone();
        let work = Work::accept(&self.context, self.global.as_deref(), from, access, under_way);
        let mailbox = work.mailbox.clone();
        let alarm = revoked.on_revoked(move || {
            mailbox.end(End { code: 4001, reason: "the token is gone or was changed".into() });
        });
        socket::run(ws, work).await;
        drop(alarm);
    }

    /// On a local: holds the link to the global, for ever. It's to be dropped at the stop, after [`Links::end_all`].
    pub async fn dial(&self, options: Options) {
        dial::keep(&self.context, &options, &self.again.1).await;
    }

    /// Opens the link to the global anew, now. False: this is no local.
    pub fn sync(&self) -> bool {
        if self.global.is_none() {
            return false;
        }
        // One that waits to be taken is as good as two.
        let _ = self.again.0.try_send(());
        true
    }

    /// Ends what outlived its link long enough. To be called about once a second.
    pub fn tick(&self) {
        self.context.register.tick();
    }

    /// Ends all links, as the server stops.
    pub fn end_all(&self) {
        self.context.register.end_all();
    }
}

async fn send_away<S>(mut ws: WebSocketStream<S>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code: end.code.into(), reason: end.reason.into() };
    let goodbye = async {
        // That the other end is gone already is fine.
        let _ = futures_util::SinkExt::send(&mut ws, Message::Close(Some(frame))).await;
        while let Some(Ok(_)) = futures_util::StreamExt::next(&mut ws).await {}
    };
    smol::future::or(goodbye, async {
        smol::Timer::after(GOODBYE).await;
    })
    .await;
}
