"""The calls that only HTTP has, on the same address: one request, one answer, one connection."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, Optional
from urllib.parse import urlencode

from . import errors, frames
from .address import Server
from .errors import Internal, NoLink, Timeout


class _Local(http.client.HTTPConnection):
    """HTTP over a local socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(server: Server, call: str, timeout: float, **query: Optional[object]) -> Any:
    """``GET /_CALL?…``; blocks."""
    address = server.address
    target = f"/_{call}?{urlencode({name: value for name, value in query.items() if value is not None})}"
    if address.socket is not None:
        connection: http.client.HTTPConnection = _Local(address.socket, timeout)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    try:
        connection.request("GET", target, headers={**server.headers(), "Host": address.authority})
        answer = connection.getresponse()
        text = answer.read(frames.MAX_ANSWER)
    except (socket.timeout, TimeoutError):
        raise Timeout(f"{address}: no answer in time") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or repr(error)
        raise NoLink(f"{address}: {why}; nothing happened") from None
    finally:
        connection.close()
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise Internal(f"{address}: status {answer.status}, and an answer that is no JSON") from None
    error_told = errors.from_json(body)
    if error_told is not None:
        raise error_told
    return body
