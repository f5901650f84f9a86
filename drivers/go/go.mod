module tega.local/tega

go 1.19

// WebSocket frames and the handshake: small, without dependencies of its own, and in Debian
// (golang-github-gorilla-websocket-dev), so that the tests need no module proxy.
require github.com/gorilla/websocket v1.5.0
