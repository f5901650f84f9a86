"""What a transaction will commit, and what it would leave: without a server.

What was read is remembered with its versions. A write to it, or to anything below it, then expects the version
that was read, so that a change by somebody else in between is a conflict. A node that was only read isn't checked.
"""

from __future__ import annotations

import copy
import secrets
from typing import Any, Dict, List, Optional, Tuple, Union

from . import frames
from .errors import BadRequest, NotFound
from .paths import Path, PathLike

#: The most operations of a transaction.
MAX_OPS = 10_000

_ABSENT: Any = object()


class Draft:
    """The operations of a transaction, in order."""

    def __init__(self) -> None:
        self._ops: List[Dict[str, Any]] = []
        self._paths: List[Path] = []
        #: What was read, in the internal form.
        self._read: Dict[Path, Any] = {}
        #: Kept over all attempts to commit it.
        self.request_id: Optional[str] = None
        self.drawn = secrets.token_hex(16)

    def put(
        self,
        path: PathLike,
        value: Any,
        *,
        version: Optional[int] = None,
        ephemeral: bool = False,
        check: bool = True,
    ) -> None:
        """Puts a value. `version`: only if this is the node's version, -1: only if it isn't there. Without it,
        what was read in this transaction is checked, unless `check` is False."""
        path = Path(path)
        op: Dict[str, Any] = {"put": str(path), "value": value}
        if ephemeral:
            op["ephemeral"] = True
        self._add(path, op, version, check)

    def delete(self, path: PathLike, *, version: Optional[int] = None, check: bool = True) -> None:
        """Deletes a node and all below; see `put`."""
        path = Path(path)
        self._add(path, {"delete": str(path)}, version, check)

    def rollback(self, root: str, back_to: int, *, version: Optional[int] = None) -> None:
        """Brings back the state that a root had at a version, or -N: N commits ago."""
        path = Path([root])
        self._add(path, {"rollback": str(path), "backto": back_to}, version, False)

    def _add(self, path: Path, op: Dict[str, Any], version: Optional[int], check: bool) -> None:
        if len(self._ops) >= MAX_OPS:
            raise BadRequest(f"a transaction has at most {MAX_OPS} operations")
        if version is None and check:
            version = self._expected(path)
        if version is not None:
            op["version"] = version
        # Now rather than at the commit, where nobody sees which one it was; and it's as it is now.
        frames.dumps(op)
        self._ops.append(copy.deepcopy(op))
        self._paths.append(path)

    def __len__(self) -> int:
        return len(self._ops)

    @property
    def roots(self) -> List[str]:
        return sorted({next(iter(path)) for path in self._paths if len(path)})

    def body(self, durable: bool) -> str:
        body: Dict[str, Any] = {"ops": self._ops, "request_id": self.request_id}
        if durable:
            body["durable"] = True
        return frames.dumps(body)

    def effects(self) -> List[Tuple[Path, Optional[str]]]:
        """Each path with the JSON text of what becomes of it, where that is ephemeral and ours."""
        return [
            (path, frames.dumps(op["value"]) if op.get("ephemeral") else None)
            for path, op in zip(self._paths, self._ops)
        ]

    # --- reading

    def saw(self, path: Path, answer: Union[Dict[str, Any], NotFound]) -> None:
        """Takes what a GET in the internal form was answered."""
        if path not in self._read:
            self._read[path] = _ABSENT if isinstance(answer, NotFound) else answer["value"]

    def knows(self, path: Path) -> bool:
        return path in self._read

    def value(self, path: Path, default: Any) -> Any:
        """What the commit would leave at a path that was read."""
        read = self._read[path]
        value = read if read is _ABSENT else _plain(read)
        for at, op in zip(self._paths, self._ops):
            if "rollback" in op:
                if path in at or at in path:
                    raise BadRequest(f"what the rollback of {at} leaves isn't known before the commit")
                continue
            value = _applied(value, path, at, op.get("value", _ABSENT))
        if value is not _ABSENT:
            return value
        if default is _ABSENT:
            raise NotFound(f"nothing at {path}", path=path)
        return default

    def _expected(self, path: Path) -> Optional[int]:
        """The version of a node as it was read; None: it wasn't, or it has none."""
        above = [read for read in self._read if path in read]
        if not above:
            return None
        nearest = max(above, key=len)
        node = self._read[nearest]
        for key in list(path)[len(nearest) :]:
            written = f"_{key}" if key.startswith("_") else key
            node = node.get(written, _ABSENT) if isinstance(node, dict) else _ABSENT
        if node is _ABSENT:
            return -1
        return None if node.get("_ephemeral") else node.get("_version")


def _plain(node: Any) -> Any:
    """The value of a node in the internal form. A key that begins with `_` has one more there."""
    if not isinstance(node, dict):
        return node
    if "_value" in node:
        return node["_value"]
    return {
        key[1:] if key.startswith("__") else key: _plain(child)
        for key, child in node.items()
        if not key.startswith("_") or key.startswith("__")
    }


def _applied(value: Any, path: Path, at: Path, put: Any) -> Any:
    """`value`, which stands at `path`, after a put or, where there's nothing to put, a delete at another path."""
    if path in at:
        for key in list(path)[len(at) :]:
            put = put.get(key, _ABSENT) if isinstance(put, dict) else _ABSENT
        return put if put is _ABSENT else copy.deepcopy(put)
    if at not in path or (put is _ABSENT and value is _ABSENT):
        return value
    value = value if isinstance(value, dict) else {}
    *above, last = list(at)[len(path) :]
    node = value
    for key in above:
        if not isinstance(node.get(key), dict):
            if put is _ABSENT:
                return value
            node[key] = {}
        node = node[key]
    if put is _ABSENT:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(put)
    return value
