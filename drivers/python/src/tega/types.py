"""What the calls of this package return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .paths import Path

#: A value of the tree: what JSON has.
Value = Union[None, bool, int, float, str, List[Any], Tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class Receipt:
    """What a write came to."""

    #: The version that each root has by it. Empty where only ephemeral nodes changed.
    versions: Dict[str, int]
    #: The commit's place among all.
    position: int
    #: It's on the disk.
    durable: bool
    #: The server that was asked shows it already.
    applied: bool = True

    @property
    def version(self) -> Optional[int]:
        """The version, where one root was written; else None."""
        return next(iter(self.versions.values())) if len(self.versions) == 1 else None


@dataclass(frozen=True)
class Node:
    """A value with its version."""

    value: Any
    #: None for an ephemeral node, and for the top.
    version: Optional[int]
    ephemeral: bool = False


@dataclass(frozen=True)
class Match:
    """A node that a regex found."""

    value: Any
    #: For each level of the pattern that has groups: their texts.
    groups: List[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """What a watch is told."""

    #: ``put`` and ``rollback``: `value` is there now. ``delete``: `value` was there. ``state``: `value` is the whole
    #: state of what is watched, since it was asked for or since what happened meanwhile isn't known any more.
    kind: str
    #: Where. Of a change above what is watched: what is watched.
    path: Path
    #: None where it's too large to be sent, and `truncated` is set. Of a ``state`` of a regex: `{Path: value}`.
    value: Any = None
    #: The tega ID of who did it.
    by: Optional[str] = None
    #: The root's version by it; None for an ephemeral node and a ``state``.
    version: Optional[int] = None
    ephemeral: bool = False
    #: Of a ``rollback``: the version whose state came back.
    back_to: Optional[int] = None
    truncated: bool = False


@dataclass(frozen=True)
class Message:
    """What somebody published."""

    channel: Path
    value: Any
    #: The tega ID of who published it.
    by: str


@dataclass(frozen=True)
class Version:
    """A kept version of a root."""

    version: int
    #: Who made it.
    by: str
    #: When, in seconds since 1970 by that server's clock; None where it isn't known any more.
    time: Optional[float]
    #: ``{"ope": "PUT" | "DELETE", "path": …}``, the first 100.
    changes: List[Dict[str, Any]]
    #: The version that it went back to.
    rollback_to: Optional[int] = None
    #: The root didn't exist.
    deleted: bool = False
    #: All that the server said of it.
    raw: Dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, told: Dict[str, Any]) -> Version:
        time = told["time"]
        return cls(
            told["version"],
            told["tega_id"],
            None if time is None else time / 1000,
            told["changes"],
            told.get("rollback_to"),
            bool(told.get("deleted")),
            told,
        )


@dataclass(frozen=True)
class Difference:
    """What is different at one path between two versions."""

    path: Path
    #: None: nothing was there; see `added`.
    before: Any
    after: Any
    added: bool
    removed: bool

    @classmethod
    def read(cls, told: Dict[str, Any]) -> Difference:
        path = Path(told["path"])
        return cls(path, told.get("before"), told.get("after"), "before" not in told, "after" not in told)
