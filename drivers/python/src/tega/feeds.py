"""What a watch and a subscription know, without a socket: which frames concern them, and where they left off.

A watch is told of each change once, over any number of links. It remembers the version that it knows of each root;
on a new link it names them, and is answered with what it missed, or, where the server's history doesn't reach
back, with the present state. Within one link the commits' positions tell what it has seen.

A session listens to all of its channels at once, and is told each change once for all of them. So a frame may hold
entries that are for other channels, and it's sorted out here which are for whom.

Both have a queue with a limit. A watch that isn't read takes nothing more in when it's full; once it's read empty,
it asks for what it missed, as after a break. Messages aren't kept by anybody: those that find no place are lost,
and the reader is told how many.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Tuple, Union

from . import frames
from .errors import BadRequest, Error, Lagging
from .paths import BadPath, Path, PathLike, bare, from_wire, wire
from .types import Change, Message

#: The longest list of roots that is named, in bytes: the path and the command line need some room too.
MAX_SINCE = frames.MAX_MESSAGE - (64 << 10)

_ABSENT = object()

#: Python wants flags at the start of the whole expression.
_FLAGS = re.compile(r"\(\?[a-zA-Z]+\)")


class Channel:
    """What is listened to: a path and everything below it, or a regex over whole paths."""

    def __init__(self, channel: PathLike, regex: bool) -> None:
        self.regex = regex
        #: Of a regex: the top.
        self.path = Path() if regex else Path(channel)
        if not regex and len(self.path):
            self._pattern: Optional[re.Pattern[str]] = None
            #: As the server knows it, and whether it's a regex there.
            self.key = wire(self.path), False
            return
        # A server has no channel of the top; this is the same.
        pattern = channel if regex else "(?s).*"
        if not isinstance(pattern, str):
            raise BadRequest(f"a regex is a string, not {type(pattern).__name__}")
        self.key = frames.regex_word(pattern), True
        try:
            # As the server compiles it: whole keys from the start, of ASCII classes.
            flags = _FLAGS.match(pattern)
            at = flags.end() if flags else 0
            self._pattern = re.compile(rf"{pattern[:at]}^(?:{pattern[at:]})(?:\.|\Z)", re.ASCII)
        except (re.error, ValueError, RecursionError) as error:
            raise BadRequest(f"{channel!r} isn't a regular expression: {error}") from None

    def sees(self, path: Path) -> bool:
        """Whether changes at this path are told to who listens here."""
        return bool(self._pattern.search(bare(path))) if self._pattern else path in self.path

    def hears(self, path: Path) -> bool:
        """Whether messages on this channel are."""
        return bool(self._pattern.search(bare(path))) if self._pattern else path == self.path

    def matching(self, value: Any, at: Path = Path()) -> Iterator[Tuple[Path, Any]]:
        """The topmost nodes that a regex matches in what is below a path."""
        for key, child in value.items() if isinstance(value, dict) else ():
            below = at[key]
            if self.sees(below):
                yield below, child
            else:
                yield from self.matching(child, below)

    def __str__(self) -> str:
        return self.key[0] if self.regex else str(self.path)


class Feed:
    """A queue for one reader, which is woken through `wake`."""

    def __init__(self, channel: Channel, limit: int) -> None:
        if limit < 1:
            raise BadRequest("queue: at least 1 is wanted")
        self.channel = channel
        self.limit = limit
        #: Why there will be nothing more.
        self.ended: Optional[Error] = None
        #: It ended because its reader or the client was closed.
        self.closed = False
        self.wake: Callable[[], None] = lambda: None
        #: Has a result once the server listens for us; set by the link.
        self.begun: asyncio.Future[Any]

    @property
    def queued(self) -> int:
        """So many are there to be taken."""
        raise NotImplementedError

    def take(self) -> Union[Change, Message, Error, None]:
        """The next one, or what became of it. None: not yet."""
        raise NotImplementedError

    def end(self, error: Optional[Error]) -> None:
        """Nothing more comes: after what is queued the reader gets this error, or the end."""
        if not self.closed and self.ended is None:
            self.ended, self.closed = error, error is None
            self.wake()


class Messages(Feed):
    """The messages of a channel."""

    def __init__(self, channel: Channel, limit: int) -> None:
        super().__init__(channel, limit)
        self._queue: Deque[Message] = deque()
        self._lost = 0

    def heard(self, message: Message) -> None:
        # What was lost is told before anything newer, so the queue must be read empty first.
        if self._lost or len(self._queue) >= self.limit:
            self._lost += 1
        else:
            self._queue.append(message)
        self.wake()

    @property
    def queued(self) -> int:
        return len(self._queue)

    def take(self) -> Union[Message, Error, None]:
        if self._queue:
            return self._queue.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            return Lagging(
                f"{lost} messages on {self.channel} were lost, because nobody took them from the queue", lost
            )
        return None


class Changes(Feed):
    """The changes of what is watched."""

    def __init__(self, channel: Channel, limit: int, state: bool) -> None:
        super().__init__(channel, limit)
        #: The reader wants the present state first, and again after each break.
        self._wants_state = state
        #: The state comes next, whatever the reader wants: what happened meanwhile can't be told.
        self._owes_state = False
        self._queue: Deque[Change] = deque()
        #: The incarnation and version known of each root; None: it never began.
        self._since: Optional[Dict[str, Tuple[str, int]]] = None
        #: The last position that was seen.
        self._position = -1
        #: Frames are for it: the answer that begins it came, on this link.
        self._live = False
        #: The queue was full: nothing is taken in until it's read empty.
        self._behind = False
        #: A state that the answer had no place for is being read; what comes meanwhile waits here.
        self._held: Optional[List[Any]] = None
        #: How many states were to be read. An answer to an earlier GET is older than what was told since.
        self.reads = 0
        #: The incarnation and version of each root in the last state that was read: up to there all is told.
        self._has: Dict[str, Tuple[str, int]] = {}
        #: To be called when it's read empty and has to ask for what it missed.
        self.ask_again: Callable[[], None] = lambda: None

    # --- the link's side

    def body(self) -> str:
        """The body of the SUBSCRIBE that begins it or goes on with it."""
        body: Dict[str, Any] = {"regex": self.channel.key[1], "state": self._wants_state or self._owes_state}
        if self._since is not None:
            # Of a root that isn't there no version is known; the position tells what was before.
            body["since"] = self._since or self._position
        text = frames.dumps(body)
        if len(text.encode()) > MAX_SINCE:
            # So many roots that they can't be named: it starts from the state.
            self._since, self._owes_state = None, True
            text = frames.dumps({"regex": self.channel.key[1], "state": True})
        return text

    def began(self, answer: Any) -> bool:
        """Takes the answer to SUBSCRIBE. True: the state is wanted and isn't in it; read it, and call `read`."""
        known, gone = self._since or {}, bool(answer.get("gone"))
        before = self._position
        self._live, self._behind, self._held = True, False, None
        self._owes_state = self._owes_state or self._wants_state or gone
        self._since = {} if gone else known
        missed = answer.get("missed", ())
        told = {entry["position"] for entry in missed if self._is_in_state(entry)}
        for entry in missed:
            if entry.get("position") in told:
                continue
            # One that was made and deleted before this watch began is new to it, and old all the same.
            if known and entry.get("root") not in known and entry.get("position", before + 1) <= before:
                continue
            self._tell(_change(entry))
            self._note(entry)
        for root, (incarnation, version) in answer.get("roots", {}).items():
            # A root that was deleted and has ephemeral nodes now is said to be at 0 again.
            if self._since.get(root, ("", -1)) < (incarnation, version) or self._since[root][0] != incarnation:
                self._note({"root": root, "inc": incarnation, "version": version})
        self._position = answer.get("position", -1)
        if not self._owes_state:
            return False
        if "value" not in answer:
            self._held = []
            self.reads += 1
            return True
        self._tell_state(answer["value"])
        return False

    def read(self, number: int, value: Any, versions: Dict[str, int]) -> None:
        """The state that was read after the answer, as the `number` of `reads`. It may be newer than that, and has the
        roots' changes up to these versions."""
        held = self._held
        if held is None or number != self.reads:
            # Too much came meanwhile: it's owed still, and asked for with what was missed.
            return
        self._held = None
        self._tell_state(dict(self.channel.matching(value)) if self.channel.regex else value)
        since = self._since or {}
        self._has = {root: (since[root][0], version) for root, version in versions.items() if root in since}
        for entries in held:
            self.notified(entries)

    def notified(self, entries: List[Any]) -> None:
        """Takes the entries of a NOTIFY: those of one commit, or of a change of ephemeral nodes."""
        if not self._live or self._behind or self.closed or not entries:
            return
        if self._held is not None:
            if len(self._held) >= self.limit:
                self._fall_behind()
            else:
                self._held.append(entries)
            return
        position = entries[0].get("position")
        if position is not None and position <= self._position:
            return
        changes = [] if any(map(self._is_in_state, entries)) else self._of(entries)
        if changes and len(self._queue) >= self.limit:
            return self._fall_behind()
        for change in changes:
            self._tell(change)
        if position is not None:
            self._position = position
            for entry in entries:
                self._note(entry)

    def broke(self) -> None:
        """The link is gone. A state that was on its way is owed on the next one."""
        self._live, self._held = False, None

    # --- the reader's side

    @property
    def queued(self) -> int:
        return len(self._queue)

    def take(self) -> Union[Change, Error, None]:
        change = self._queue.popleft() if self._queue else None
        if not self._queue and self._behind and self._live:
            self._live = False
            self.ask_again()
        return change

    # --- what is for whom

    @property
    def _root(self) -> Optional[str]:
        """The only root that matters; None: all do."""
        return next(iter(self.channel.path), None)

    def _is_in_state(self, entry: Any) -> bool:
        """Whether the state that was read last has this change of a commit: a commit is there whole or not at all."""
        incarnation, version = self._has.get(entry.get("root"), (None, -1))
        return "position" in entry and entry.get("inc") == incarnation and entry["version"] <= version

    def _note(self, entry: Any) -> None:
        """The version of a root up to which everything was told."""
        root = entry.get("root")
        if root is not None and self._since is not None and self._root in (None, root):
            self._since[root] = (entry["inc"], entry["version"])

    def _fall_behind(self) -> None:
        self._behind, self._held = True, None
        self.wake()

    def _tell(self, change: Change) -> None:
        self._queue.append(change)
        self.wake()

    def _tell_state(self, value: Any) -> None:
        self._owes_state = False
        self._tell(Change("state", self.channel.path, value))

    def _of(self, entries: List[Any]) -> List[Change]:
        """Those of the entries that tell this watch something."""
        changes = [change for change in map(_change, entries) if self.channel.sees(change.path)]
        # A rollback is told as one; what other channels are told below it is part of it.
        rollbacks = [change.path for change in changes if change.kind == "rollback"]
        if rollbacks:
            changes = [c for c in changes if not any(c.path in path and c.path != path for path in rollbacks)]
        if len(changes) == 1:
            return changes
        changes = list(_news(changes))
        # What is told to a regex may come behind what is told to channels below it.
        return list(_news(changes[::-1]))[::-1] if self.channel.regex else changes


def _news(changes: List[Change]) -> Iterator[Change]:
    """Without what the nearest one before it that concerns the same has said already, from further above."""
    # By the keys of a path: the last one told there, and there or below.
    at: Dict[Tuple[str, ...], int] = {}
    below: Dict[Tuple[str, ...], int] = {}
    for number, change in enumerate(changes):
        keys = tuple(change.path)
        ways = [keys[:length] for length in range(len(keys) + 1)]
        near = max(below.get(keys, -1), *(at.get(way, -1) for way in ways))
        if near >= 0 and _says(changes[near], change):
            continue
        at[keys] = number
        below.update((way, number) for way in ways)
        yield change


def _says(above: Change, change: Change) -> bool:
    if change.path not in above.path or change.path == above.path or above.truncated or change.truncated:
        return False
    if (above.kind == "delete") != (change.kind == "delete"):
        return False
    value = above.value
    for key in list(change.path)[len(above.path) :]:
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    return value is not _ABSENT and frames.dumps(value) == frames.dumps(change.value)


def _change(entry: Any) -> Change:
    try:
        return Change(
            {"PUT": "put", "DELETE": "delete", "ROLLBACK": "rollback"}[entry["ope"]],
            Path(entry["path"]),
            entry.get("instance"),
            entry.get("tega_id"),
            entry.get("version"),
            bool(entry.get("ephemeral", False)),
            entry.get("backto"),
            bool(entry.get("truncated", False)),
        )
    except (KeyError, TypeError, BadPath) as error:
        raise frames.BadFrame(f"the server told of a change that can't be read: {error!r}") from None


def plain(internal: Any) -> Any:
    """A value of the internal form, in which each node has members of its own, and a key that begins with ``_`` has one
    more."""
    if not isinstance(internal, dict):
        return internal
    if "_value" in internal:
        return internal["_value"]
    return {
        key[1:] if key.startswith("__") else key: plain(child)
        for key, child in internal.items()
        if not key.startswith("_") or key.startswith("__")
    }


def message(heard: frames.Heard) -> Message:
    """A message as its reader gets it: what was published, without what it's wrapped in."""
    body = heard.body
    value = body["message"] if isinstance(body, dict) and set(body) == {"message"} else body
    try:
        return Message(from_wire(heard.channel), value, heard.tega_id)
    except BadPath as error:
        raise frames.BadFrame(f"the server told of a message that can't be read: {error}") from None
