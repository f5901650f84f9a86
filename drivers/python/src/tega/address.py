"""Where a server is, what it's shown to let us in, and who we are."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import Dict, Optional

from .errors import BadRequest

#: Where a server listens when nobody says otherwise.
DEFAULT = "http://127.0.0.1:8739"
DEFAULT_PORT = 8739

_ID = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(r"[!-~]{1,1024}")
_HOST = re.compile(r"[^\s/?#@\[\]]+")


@dataclass(frozen=True)
class Address:
    """``http://HOST[:PORT]``, ``ws://HOST[:PORT]``, or ``unix:PATH``."""

    host: str
    port: int
    #: Of a local socket; then host and port mean nothing.
    socket: Optional[str] = None

    @classmethod
    def parse(cls, text: str) -> Address:
        # What stands before an "@" may be a secret.
        shown = text.rpartition("@")[2]
        wanted = f"address {shown!r}: http://HOST[:PORT], ws://HOST[:PORT] or unix:PATH is wanted"
        if text.startswith("unix:"):
            if not text[5:]:
                raise BadRequest(wanted)
            return cls("localhost", 0, text[5:])
        scheme, found, rest = text.partition("://")
        if not found:
            scheme, rest = "http", text
        if scheme.lower() in ("https", "wss"):
            raise BadRequest(
                f"address {shown!r}: tega has no TLS yet; use http:// through a tunnel or a TLS proxy"
            )
        if scheme.lower() not in ("http", "ws"):
            raise BadRequest(wanted)
        rest = rest[:-1] if rest.endswith("/") else rest
        match = re.fullmatch(r"\[(?P<six>[^\]]*)\](?P<port6>:.*)?|(?P<host>[^:\[]*)(?P<port>:.*)?", rest)
        if match is None or "@" in rest:
            raise BadRequest(wanted)
        host, port = (
            match["six"] or match["host"] or "",
            (match["port6"] or match["port"] or f":{DEFAULT_PORT}")[1:],
        )
        if ":" in port:
            raise BadRequest(f"address {shown!r}: an IPv6 address is written in brackets, as [::1]:{DEFAULT_PORT}")
        if not _HOST.fullmatch(host):
            raise BadRequest(wanted)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadRequest(f"address {shown!r}: the port is a number from 1 to 65535")
        return cls(host, int(port))

    @property
    def authority(self) -> str:
        """What goes into a ``Host`` header."""
        if self.socket is not None:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def stays_here(self) -> bool:
        """Whether what is sent there stays on this machine."""
        if self.socket is not None or self.host.lower() == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket is not None else f"http://{self.authority}"


@dataclass(frozen=True)
class Server:
    """An address, and where its token comes from."""

    address: Address
    token: Optional[str] = field(default=None, repr=False)
    token_file: Optional[str] = None

    @classmethod
    def of(
        cls, url: Optional[str], token: Optional[str], token_file: Optional[str], insecure_link: bool
    ) -> Server:
        """The server that the arguments, the environment, or what is there point to, in this order."""
        if token is not None and token_file is not None:
            raise BadRequest("token and token_file: one of them is enough")
        if token is None and token_file is None:
            token = os.environ.get("TEGA_TOKEN") or None
        server = cls(Address.parse(url or os.environ.get("TEGA_URL") or _local()), token, token_file)
        # At once rather than at the first attempt.
        if server.bearer() is not None and not server.address.stays_here and not insecure_link:
            raise BadRequest(
                f"{server.address}: the token would go over the network unencrypted; reach the server through "
                "WireGuard, a TLS proxy or ssh -L, or accept that with insecure_link=True"
            )
        return server

    def bearer(self) -> Optional[str]:
        """The token as it is now: a file is read again each time."""
        token, whose = self.token, "the token"
        if self.token_file is not None:
            whose = f"token file {self.token_file}"
            try:
                with open(self.token_file, encoding="utf-8", errors="replace") as file:
                    token = file.read(4096)
            except OSError as error:
                raise BadRequest(f"{whose}: {error.strerror}") from None
        if token is None:
            return None
        token = token.strip()
        # It becomes a header, and mustn't end it. It is never repeated in a message.
        if not _TOKEN.fullmatch(token):
            raise BadRequest(f"{whose}: that's no token: one line of letters, digits and signs is wanted")
        return token

    def headers(self) -> Dict[str, str]:
        token = self.bearer()
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def _local() -> str:
    """The local socket of root or of the user, where there is one; else loopback."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    socket = "/var/run/tega.sock" if root else os.path.join(runtime, "tega.sock")
    return f"unix:{socket}" if os.path.isabs(socket) and os.path.exists(socket) else DEFAULT


def tega_id(wanted: Optional[str]) -> str:
    """The ID to act under; one that nobody else has where none is wanted."""
    if wanted is None:
        return f"py-{secrets.token_hex(8)}"
    if not _ID.fullmatch(wanted):
        raise BadRequest(f"tega ID {wanted!r}: letters, digits, '-' and '_' are wanted")
    return wanted
