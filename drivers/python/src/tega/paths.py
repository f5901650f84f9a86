"""The address of a node: the keys from the root down.

A path is written in three ways, which mean the same::

    'lan.hosts["192.168.1.9"].name'             # text, as tega prints it; '/lan/hosts/192.168.1.9/name' too
    ("lan", "hosts", "192.168.1.9", "name")     # its keys
    path.lan.hosts["192.168.1.9"].name          # from tega import path
"""

from __future__ import annotations

import json
import re
from typing import Iterable, Iterator, Optional, Tuple, Union

#: The longest key, in bytes of UTF-8.
MAX_KEY = 512
#: The most keys.
MAX_DEPTH = 64
#: The names of the internal form of a node, which are no keys.
INTERNAL_KEYS = ("_value", "_version", "_oid", "_parent", "_ephemeral")

_PLAIN = re.compile(r'[^.\[\]"=/ \x00-\x1f\x7f-\x9f]+')
#: What most paths are: nothing in it needs a look at each character.
_SIMPLE = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]*(?:\.[A-Za-z0-9-][A-Za-z0-9_-]*)*")
_ANONYMOUS = re.compile(r'@[^.\[\]"=/ \x00-\x1f\x7f-\x9f]+\[[0-9]+\]')
_QUOTED = re.compile(r'\["(?:[^"\\]|\\.)*"\]', re.DOTALL)
_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_HEX = re.compile(r"%([0-9A-Fa-f]{2})")


class BadPath(ValueError):
    """A text or a list of keys that is no path."""


class Path:
    """A path, which can't be changed.

    ``Path("a.b")`` reads text, ``Path(["a", "b"])`` takes keys, ``path.a.b["c.d"]`` makes longer ones. Iterating
    gives the keys; ``other in path`` tells whether another path is this one or lies below it. It has no other
    names, so that every name can be a key.
    """

    __slots__ = ("__keys", "__text")

    def __init__(self, path: PathLike = ()) -> None:
        if isinstance(path, Path):
            self.__keys: Tuple[str, ...] = path.__keys
            self.__text: Optional[str] = path.__text
            return
        self.__text = None
        if isinstance(path, str) and len(path) <= MAX_KEY and _SIMPLE.fullmatch(path):
            keys = tuple(path.split("."))
            if len(keys) <= MAX_DEPTH:
                self.__keys, self.__text = keys, path
                return
        keys = tuple(_parse(path) if isinstance(path, str) else path)
        if len(keys) > MAX_DEPTH:
            raise BadPath(f"the path at {keys[MAX_DEPTH]!r} has more than {MAX_DEPTH} keys")
        for key in keys:
            _check(key)
        self.__keys = keys

    def __getattr__(self, name: str) -> Path:
        # Python asks objects for these; a key of this form is written in brackets.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, key: str) -> Path:
        if not isinstance(key, str):
            raise TypeError(
                f"a key is a string, not {type(key).__name__}; for the keys of a path take tuple(path)"
            )
        return Path((*self.__keys, key))

    __truediv__ = __getitem__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__keys)

    def __len__(self) -> int:
        return len(self.__keys)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, other: object) -> bool:
        return isinstance(other, Path) and other.__keys[: len(self.__keys)] == self.__keys

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and self.__keys == other.__keys

    def __hash__(self) -> int:
        return hash(self.__keys)

    def __lt__(self, other: Path) -> bool:
        return self.__keys < other.__keys

    def __str__(self) -> str:
        if self.__text is None:
            text = "".join(f".{key}" if _is_plain(key) else f"[{_quote(key)}]" for key in self.__keys)
            self.__text = (text[1:] if text.startswith(".") else text) or "/"
        return self.__text

    def __repr__(self) -> str:
        return f"Path({str(self)!r})"

    def __reduce__(self) -> Tuple[type, Tuple[Tuple[str, ...]]]:
        return Path, (self.__keys,)


#: What a path may be given as.
PathLike = Union[Path, str, Iterable[str]]


def from_wire(word: str) -> Path:
    """Reads a path as it stands in a command line of the WebSocket."""
    return Path(_ENCODED.sub(_decoded, word) if "%" in word else word)


def wire(path: Path) -> str:
    """The path as a word of a command line."""
    text = str(path)
    if not any(c in text for c in "% \n\r"):
        return text
    return text.replace("%", "%25").replace(" ", "%20").replace("\n", "%0A").replace("\r", "%0D")


def bare(path: Path) -> str:
    """The keys joined by dots, without quotes: what a regex is matched with."""
    return ".".join(path)


def _check(key: object) -> None:
    if not isinstance(key, str):
        raise BadPath(f"a key is a string, not {type(key).__name__}: {key!r}")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise BadPath(f"the key {key!r} isn't Unicode text") from None
    if not key:
        raise BadPath("an empty key; a key has at least one character")
    if length > MAX_KEY:
        raise BadPath(f"the key {key[:80]!r}… is longer than {MAX_KEY} bytes")
    if key in INTERNAL_KEYS:
        raise BadPath(f"the key {key!r} is a name of the internal form ({' '.join(INTERNAL_KEYS)}); use another")


def _is_plain(key: str) -> bool:
    return bool(_PLAIN.fullmatch(key) or _ANONYMOUS.fullmatch(key))


def _quote(key: str) -> str:
    # As the server writes it: DEL is escaped too.
    return json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def _parse(text: str) -> Iterable[str]:
    """Reads the dotted form, or the one with slashes where the text begins with one."""
    if not text.startswith("/"):
        return _dotted(text)
    inner = text[1:].removesuffix("/")
    return inner.split("/") if inner else ()


def _dotted(text: str) -> Iterator[str]:
    if not text:
        raise BadPath('path "": an empty key; a key has at least one character')
    at = 0
    while at < len(text):
        if text.startswith('["', at):
            quoted = _QUOTED.match(text, at)
            try:
                yield json.loads(quoted.group()[1:-1]) if quoted else _fail(text, at, 'the ["…"] doesn\'t end')
            except ValueError as error:
                if isinstance(error, BadPath):
                    raise
                _fail(text, at, 'the ["…"] holds a bad escape')
            at = quoted.end() if quoted else at
            continue
        if at:
            if text[at] != ".":
                _fail(text, at, f'{text[at]!r} can\'t stand in a plain key; write the key as ["…"]')
            at += 1
        plain = _ANONYMOUS.match(text, at) or _PLAIN.match(text, at)
        if plain is None:
            what = text[at : at + 1]
            _fail(
                text,
                at,
                f'{what!r} can\'t stand in a plain key; write the key as ["…"]'
                if what and what != "."
                else "an empty key; a key has at least one character",
            )
        else:
            yield plain.group()
            at = plain.end()


def _fail(text: str, at: int, why: str) -> str:
    shown = text if len(text) <= 80 else text[:80] + "…"
    raise BadPath(f"path {shown!r}, character {at}: {why}")


def _decoded(match: re.Match[str]) -> str:
    raw = bytes(int(digits, 16) for digits in _HEX.findall(match.group()))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadPath(f"{match.group()!r} isn't UTF-8 after percent-decoding") from None
