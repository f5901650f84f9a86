"""Making one link: the handshake, SESSION, and what it means when it fails."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Dict, List, Optional, cast

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from . import errors, frames
from .address import Server
from .errors import Error, Forbidden, NoLink, TooMany, Unauthorized

#: The server's close codes that mean something to us.
UNAUTHORIZED, LAGGING, TRY_LATER = 4001, 4008, 1013


#: So much is read at once.
READ = 64 << 10


class Transport:
    """A transport that sends what is written between `hold` and `flush` in one piece. A system call for each frame is
    more than all else that a pipelined request costs."""

    #: What is held has not many more bytes than this.
    MOST = 16 << 10

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: Optional[List[bytes]] = None
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def hold(self) -> None:
        if self._held is None:
            self._held = []

    def flush(self) -> None:
        held, self._held, self._size = self._held, None, 0
        if held:
            self._transport.write(b"".join(held))

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._transport.write(data)
            return
        self._held.append(data)
        self._size += len(data)
        if self._size > self.MOST:
            self.flush()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Connection(ClientConnection):
    """A WebSocket whose frames can be sent together."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio reads into a new 256 KiB each time, which malloc may fetch from the system and give back for a few
        # bytes. Other event loops have no such attribute.
        if hasattr(transport, "max_size"):
            transport.max_size = READ
        self.together = Transport(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self.together))


async def dial(server: Server, tega_id: str, timeout: float, keepalive: float) -> Connection:
    """A link on which the session has begun. Raises NoLink, Unauthorized, Forbidden or TooMany: nothing
    happened."""
    address = server.address
    try:
        return await asyncio.wait_for(_dial(server, tega_id, keepalive), timeout)
    except (asyncio.TimeoutError, TimeoutError):
        raise NoLink(f"{address}: no answer in {timeout:g} s; nothing happened") from None
    except InvalidStatus as error:
        raise _refused(server, error) from None
    except ConnectionClosed as error:
        raise closed(server, error) from None
    except OSError as error:
        # asyncio's own words have no reason in them, and those of one with several addresses no number.
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or error
        raise NoLink(f"{address} can't be reached: {why}; nothing happened") from None
    except (InvalidHandshake, WebSocketException, EOFError, frames.BadFrame) as error:
        raise NoLink(f"{address} doesn't answer as a tega does: {error}; nothing happened") from None


async def _dial(server: Server, tega_id: str, keepalive: float) -> Connection:
    address = server.address
    how: Dict[str, Any] = dict(
        additional_headers=server.headers(),
        user_agent_header=None,
        create_connection=Connection,
        # The server compresses nothing.
        compression=None,
        # The whole of it has one.
        open_timeout=None,
        ping_interval=keepalive,
        ping_timeout=keepalive,
        close_timeout=1,
        max_size=frames.MAX_ANSWER,
        # What is read is taken at once; and what is written waits for the socket.
        max_queue=64,
    )
    uri = f"ws://{address.authority}/_pubsub"
    if address.socket is not None:
        ws = await unix_connect(address.socket, uri, **how)
    else:
        ws = await connect(uri, proxy=None, **how)
    try:
        await ws.send(frames.session(tega_id))
        text = await ws.recv()
        if not isinstance(text, str) or not isinstance(frames.read(text), frames.Ack):
            raise frames.BadFrame("a SESSIONACK was wanted")
    except BaseException:
        ws.transport.abort()
        raise
    return cast(Connection, ws)


def closed(server: Server, error: ConnectionClosed) -> Error:
    """Why a server closed a link, or that it broke."""
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (None, "")
    if code == UNAUTHORIZED:
        return Unauthorized(f"{server.address}: {reason}")
    if code == TRY_LATER:
        return TooMany(f"{server.address}: {reason}")
    if code is None:
        return NoLink(f"{server.address}: the link broke")
    return NoLink(f"{server.address} closed the link: {code} {reason}".rstrip())


def _refused(server: Server, refused: InvalidStatus) -> Error:
    told: Optional[Error] = None
    try:
        told = errors.from_json(json.loads(refused.response.body or b""))
    except ValueError:
        pass
    status = refused.response.status_code
    kind = {401: Unauthorized, 403: Forbidden}.get(status, NoLink)
    if isinstance(told, TooMany):
        kind = TooMany
    return kind(f"{server.address}: {told.message if told else f'HTTP status {status}'}")
