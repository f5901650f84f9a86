"""The text frames of tega's WebSocket, in its second dialect: both directions, and nothing that acts on them.

A frame is a command line and, for most, a line end and one line of JSON. Words are divided by one space; an absent
one is ``-`` or ``None``. In paths and channels spaces, line ends and ``%`` are percent-encoded.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Optional, Union

from .errors import BadRequest

#: The longest message that a server takes, in bytes.
MAX_MESSAGE = (1 << 20) + (112 << 10)
#: The longest answer that a server gives, with room for what is around it.
MAX_ANSWER = (64 << 20) + (1 << 20)


class Ack(NamedTuple):
    """The session has begun."""

    tega_id: str


class Notify(NamedTuple):
    """Changes: the entries of one commit."""

    entries: Any


class Heard(NamedTuple):
    """A message that somebody published."""

    channel: str
    tega_id: str
    body: Any


class Asked(NamedTuple):
    """A call that this client is to answer."""

    seq: int
    kind: str
    caller: Optional[str]
    word: Optional[str]
    body: Any


class Answer(NamedTuple):
    """The answer to a request."""

    seq: int
    body: Any


class Refused(NamedTuple):
    """A frame without a number was refused."""

    body: Any


Frame = Union[Ack, Notify, Heard, Asked, Answer, Refused]


class BadFrame(Exception):
    """The server sent what isn't of this grammar."""


def dumps(value: Any) -> str:
    """JSON on one line. What is no JSON is refused by name."""
    try:
        text = _encoder(value)
        # A lone half of a surrogate pair is no text.
        text.encode() if not text.isascii() else None
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError) as error:
        raise BadRequest(f"a value that is no JSON: {error}") from None
    return text


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def session(tega_id: str) -> str:
    return f"SESSION {tega_id} local 2"


def request(seq: int, kind: str, word: str, body: str) -> str:
    return f"REQUEST {seq} {kind} - {word}\n{body}"


def response(seq: int, kind: str, tega_id: str, body: str) -> str:
    return f"RESPONSE {seq} {kind} {tega_id}\n{body}"


def publish(word: str, message: str) -> str:
    return f'PUBLISH {word}\n{{"message":{message}}}'


def subscribe(word: str, regex: bool) -> str:
    """With the scope `global`: to hear messages from other servers too."""
    return f"SUBSCRIBE {word} global {regex}"


def unsubscribe(word: str, regex: bool) -> str:
    return f"UNSUBSCRIBE {word} {regex}"


def regex_word(regex: str) -> str:
    """A regex as a word: it may hold other ``%XX``, so only what must be encoded is."""
    if "\n" in regex or "\r" in regex:
        raise BadRequest("a regex is one line; write \\n for a line end")
    return regex.replace("%", "%25").replace(" ", "%20")


def read(text: str) -> Frame:
    """Reads a frame that a server sent."""
    line, _, body = text.partition("\n")
    command, _, rest = line.partition(" ")
    if command == "SESSIONACK" and rest:
        return Ack(rest)
    try:
        if command == "RESPONSE":
            return Answer(int(rest.partition(" ")[0]), json.loads(body))
        if command == "NOTIFY":
            return Notify(json.loads(body))
        if command == "MESSAGE":
            channel, _, tega_id = rest.rpartition(" ")
            return Heard(channel, tega_id, json.loads(body))
        if command == "REQUEST":
            words = rest.split(" ", 3)
            caller, word = (_present(words, at) for at in (2, 3))
            return Asked(int(words[0]), words[1], caller, word, json.loads(body or "{}"))
        if command == "ERROR":
            return Refused(json.loads(body))
    except (ValueError, IndexError, RecursionError) as error:
        raise BadFrame(f"the server sent a {command} that can't be read: {error}") from None
    raise BadFrame(f"the server sent {command[:40]!r}, which isn't of this grammar")


def _present(words: list[str], at: int) -> Optional[str]:
    word = words[at] if at < len(words) else ""
    return None if word in ("", "-", "None") else word
