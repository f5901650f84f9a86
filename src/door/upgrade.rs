//! The handshake of a WebSocket, from the server's side (RFC 6455, 4.2).

use async_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Purpose;
use super::head::{Body, Head, Texts};
use crate::api::error::Refusal;
use crate::api::route::{LINK, Method, PUBSUB};
use crate::http::Reply;

/// What a request wants that is for a WebSocket's path and wants to change to its protocol.
pub(super) fn wanted(head: &Head, texts: &Texts<'_>) -> Option<Purpose> {
    match texts.path.strip_suffix('/').unwrap_or(texts.path) {
        PUBSUB if head.websocket => Some(Purpose::Session),
        LINK if head.websocket => Some(Purpose::Link),
        _ => None,
    }
}

/// The answer that opens the WebSocket, or the refusal.
pub(super) fn accept(head: &Head, texts: &Texts<'_>) -> Result<String, Reply> {
    let bad = |message: &str| Err(Reply::refusal(&Refusal::bad(format!("WebSocket handshake: {message}"))));
    if head.method != Some(Method::Get) {
        let refusal = Refusal::new("method_not_allowed", "WebSocket handshake: the method must be GET");
        return Err(Reply::refusal(&refusal).with("Allow", "GET"));
    }
    if head.http10 {
        return bad("it needs HTTP/1.1");
    }
    if head.body != Body::None {
        return bad("it has no body");
    }
    if texts.ws_version != Some("13") {
        let message = "WebSocket handshake: Sec-WebSocket-Version must be 13";
        let refusal = Refusal::new("upgrade_required", message);
        return Err(Reply::refusal(&refusal).with("Sec-WebSocket-Version", "13"));
    }
    let Some(key) = texts.ws_key.filter(|key| is_key(key)) else {
        return bad("Sec-WebSocket-Key must be 16 bytes in base64");
    };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    ))
}

/// 16 bytes in base64: 22 characters of the alphabet and two of padding.
fn is_key(key: &str) -> bool {
    key.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<String, u16> {
        let head = Head::parse(text.as_bytes()).unwrap();
        let texts = head.texts(text.as_bytes());
        assert!(wanted(&head, &texts).is_some(), "{text}");
        accept(&head, &texts).map_err(|reply| reply.status)
    }

    #[test]
    fn the_handshake_of_the_rfc_is_answered_as_the_rfc_does() {
        let good = "GET /_pubsub HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let opened = answer(good).unwrap();
        assert!(opened.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{opened}");
        assert!(answer(&good.replace("/_pubsub", "/_pubsub/?x=1")).is_ok());
        assert!(answer(&good.replace("/_pubsub", "/_link")).is_ok());
        for (from, to, status) in [
            ("GET", "PUT", 405),
            ("HTTP/1.1", "HTTP/1.0", 400),
            ("Host: h", "Host: h\r\nContent-Length: 1", 400),
            ("Version: 13", "Version: 8", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", 426),
            ("dGhl", "", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ===", 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ] {
            assert_eq!(answer(&good.replace(from, to)), Err(status), "{to}");
        }
    }
}
