"""The blocking face: ``with tega.connect() as db``.

A `Database` has a thread with an event loop and the asyncio face in it (`tega.aio`); each method waits for that of
the same name there. Any number of threads may use one `Database` at once: their calls are pipelined on its link.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Callable, Deque, Dict, Generic, Iterator, List, Optional, Type, overload

from . import aio
from .aio import F, T
from .drafts import _ABSENT
from .errors import Closed
from .paths import Path, PathLike
from .threads import LoopThread
from .types import Change, Difference, Match, Message, Node, Receipt, Version
from .watching import E

#: So many of what a watch has at once are taken from the loop's thread together.
_BATCH = 256


def connect(
    url: Optional[str] = None,
    *,
    id: Optional[str] = None,
    token: Optional[str] = None,
    token_file: Optional[str] = None,
    insecure_link: bool = False,
    timeout: float = 30.0,
    connect_timeout: float = 10.0,
    keepalive: float = 20.0,
    max_waiting: int = 10_000,
    serve_at_once: int = 16,
    serve_waiting: int = 1_024,
) -> Database:
    """Connects to a tega: ``with tega.connect() as db``. The arguments are those of `tega.aio.connect`."""
    connecting = aio.connect(
        url,
        id=id,
        token=token,
        token_file=token_file,
        insecure_link=insecure_link,
        timeout=timeout,
        connect_timeout=connect_timeout,
        keepalive=keepalive,
        max_waiting=max_waiting,
        serve_at_once=serve_at_once,
        serve_waiting=serve_waiting,
    )
    return Database(connecting)


class Database:
    """A tega, seen through one link. Made by `tega.connect`."""

    def __init__(self, connecting: aio.Connecting) -> None:
        self._loop = LoopThread()
        self._closing = threading.Lock()

        async def make() -> aio.Database:
            return await connecting

        try:
            self._db = self._loop.run(make())
        except BaseException:
            self._loop.stop()
            raise

    @property
    def id(self) -> str:
        """The tega ID that this client acts under."""
        return self._db.id

    @property
    def url(self) -> str:
        """The server's address."""
        return self._db.url

    def close(self) -> None:
        """Ends the session; what was ephemeral goes."""
        with self._closing:
            try:
                self._loop.run(self._db.close())
            except Closed:
                return
            self._loop.stop()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- reading

    def get(
        self,
        path: PathLike,
        default: Any = _ABSENT,
        *,
        version: Optional[int] = None,
        fresh: bool = False,
        internal: bool = False,
        timeout: Optional[float] = None,
    ) -> Any:
        """The value at a path. Nothing there: `default`, or `NotFound` where none is given.

        `version`: of a kept version, -N: N commits ago. `fresh`: only once all is here that the root's home had
        acknowledged. `internal`: with versions and owners.
        """
        return self._loop.run(
            self._db.get(path, default, version=version, fresh=fresh, internal=internal, timeout=timeout)
        )

    def node(self, path: PathLike, *, fresh: bool = False, timeout: Optional[float] = None) -> Node:
        """The value at a path with its version."""
        return self._loop.run(self._db.node(path, fresh=fresh, timeout=timeout))

    def select(
        self,
        pattern: str,
        *,
        version: Optional[int] = None,
        fresh: bool = False,
        internal: bool = False,
        timeout: Optional[float] = None,
    ) -> Dict[Path, Match]:
        """All nodes whose path matches: a regex for each level, divided by ``\\.``."""
        return self._loop.run(
            self._db.select(pattern, version=version, fresh=fresh, internal=internal, timeout=timeout)
        )

    # --- writing

    def put(
        self,
        path: PathLike,
        value: Any,
        *,
        version: Optional[int] = None,
        ephemeral: bool = False,
        durable: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Receipt:
        """Puts a value at a path.

        `version`: only if this is the node's version, -1: only if it isn't there; else `Conflict`. `ephemeral`: it
        lives as long as this client, and is set again when a link broke. `durable`: answered once it's on the
        disk, whatever the root's durability says. `request_id`: that of an `OutcomeUnknown`, to repeat this put
        safely.
        """
        return self._loop.run(
            self._db.put(
                path,
                value,
                version=version,
                ephemeral=ephemeral,
                durable=durable,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def delete(
        self,
        path: PathLike,
        *,
        version: Optional[int] = None,
        durable: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Receipt:
        """Deletes the node at a path and all below it; see `put`."""
        return self._loop.run(
            self._db.delete(path, version=version, durable=durable, request_id=request_id, timeout=timeout)
        )

    def rollback(
        self,
        root: str,
        back_to: int,
        *,
        version: Optional[int] = None,
        durable: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Receipt:
        """Brings back the state that a root had at a version, or -N: N commits ago. It's a commit like any
        other."""
        return self._loop.run(
            self._db.rollback(
                root, back_to, version=version, durable=durable, request_id=request_id, timeout=timeout
            )
        )

    # --- transactions

    @overload
    def transaction(self, function: None = None, *, durable: bool = False) -> Transaction: ...
    @overload
    def transaction(self, function: Callable[..., T]) -> Callable[..., T]: ...

    def transaction(self, function: Any = None, *, durable: bool = False) -> Any:
        """Several changes at once, or none::

            with db.transaction() as tx:
                n = tx.get("counter.n", 0)
                tx.put("counter.n", n + 1)      # Conflict if another was faster

        As a decorator of a function whose first argument is the transaction: it's run again in a conflict, as by
        `retrying`.
        """
        if function is None:
            return Transaction(self, aio.Transaction(self._db, durable, None))

        @functools.wraps(function)
        def again(*args: Any, **kwargs: Any) -> Any:
            result: Any = None
            for tx in self.retrying():
                with tx:
                    result = function(tx, *args, **kwargs)
            return result

        return again

    def retrying(self, attempts: int = 30, *, durable: bool = False) -> Iterator[Transaction]:
        """Transactions until one is committed: ``for tx in db.retrying(): with tx: …``.

        In a conflict the body is run again, with a new transaction; the last of `attempts` raises it. Where the
        outcome isn't known, the same commit is sent again with its request ID, so that it happens once.
        """
        for attempt in range(attempts):
            tx = Transaction(self, aio.Transaction(self._db, durable, attempts - 1 - attempt))
            yield tx
            if not tx.conflicted:
                return
            time.sleep(random.uniform(0, min(1.0, 0.005 * 2**attempt)))

    # --- history

    def history(self, root: str, *, timeout: Optional[float] = None) -> List[Version]:
        """The kept versions of a root, oldest first."""
        return self._loop.run(self._db.history(root, timeout=timeout))

    def diff(
        self, root: str, version: int, to: Optional[int] = None, *, timeout: Optional[float] = None
    ) -> List[Difference]:
        """What is different between two versions of a root, the second the present one unless said; -N: N commits
        ago."""
        return self._loop.run(self._db.diff(root, version, to, timeout=timeout))

    # --- being told

    def watch(
        self,
        path: PathLike,
        *,
        state: bool = False,
        regex: bool = False,
        queue: int = 1_000,
        timeout: Optional[float] = None,
    ) -> Watch[Change]:
        """The changes at a path and below it, made under other tega IDs: ``for change in db.watch("lan")``.

        It goes on over breaks of the link, and tells each change once. Where the server's history doesn't reach
        back, a change of the kind ``state`` tells what is there now. `state`: the first one tells it, and one
        after each break. What comes and goes by itself, ephemeral, isn't in the history: what of it changed during
        a break is told by a ``state`` alone.

        `regex`: `path` is a regex over whole paths. `queue`: so many changes wait for their reader; beyond it they
        are asked for again once it comes.

        It has begun when this returns. ``with`` ends it.
        """
        begin = functools.partial(self._db.watch, path, state=state, regex=regex, queue=queue, timeout=timeout)
        return Watch(self._loop, self._loop.run(_begun(begin)))

    def subscribe(
        self, channel: PathLike, *, regex: bool = False, queue: int = 1_000, timeout: Optional[float] = None
    ) -> Watch[Message]:
        """The messages on a channel that others publish: ``for message in db.subscribe("alarm")``.

        Messages aren't kept by anybody: what is published during a break isn't heard, and what finds no place in
        the `queue` is lost: `Lagging` says how many were, and the next ones come.
        """
        begin = functools.partial(self._db.subscribe, channel, regex=regex, queue=queue, timeout=timeout)
        return Watch(self._loop, self._loop.run(_begun(begin)))

    def publish(self, channel: PathLike, value: Any, *, timeout: Optional[float] = None) -> None:
        """Sends a message to all who listen to this channel, but not to this client."""
        self._loop.run(self._db.publish(channel, value, timeout=timeout))

    # --- calls

    def call(self, path: PathLike, /, *args: Any, timeout: Optional[float] = None, **kwargs: Any) -> Any:
        """Calls the function at a path: ``db.call("op.rpc.ping", "192.0.2.1", count=2)``.

        For a function with an argument ``timeout`` of its own take `function`.
        """
        return self._loop.run(self._db.call(path, *args, timeout=timeout, **kwargs))

    def function(self, path: PathLike, *, timeout: Optional[float] = None) -> Callable[..., Any]:
        """The function at a path, to be called with whatever arguments it has."""
        function = self._db.function(path, timeout=timeout)

        def call(*args: Any, **kwargs: Any) -> Any:
            async def work() -> Any:
                return await function(*args, **kwargs)

            return self._loop.run(work())

        return call

    def serve(
        self,
        path: PathLike,
        function: Callable[..., Any],
        *,
        ephemeral: bool = True,
        timeout: Optional[float] = None,
    ) -> None:
        """Serves a function at a path, to be called from anywhere in the fleet. It runs in a thread.

        What it returns is the caller's result, what it raises the caller's `RpcFailed`. `ephemeral`: the leaf goes
        with this client; else it stays, and callers are told that nobody is there.
        """
        self._loop.run(self._db.serve(path, function, ephemeral=ephemeral, timeout=timeout))

    def rpc(self, path: PathLike, *, ephemeral: bool = True) -> Callable[[F], F]:
        """Serves the function that it decorates::

        @db.rpc("operational-r1.rpc.hello")
        def hello(name): ...

        db.serve_forever()
        """

        def register(function: F) -> F:
            self.serve(path, function, ephemeral=ephemeral)
            return function

        return register

    def ready(self) -> None:
        """For the same names as in `tega.aio`: here a decorated function is there to be called at once."""
        self._loop.run(self._db.ready())

    def serve_forever(self) -> None:
        """Waits until this client is closed. Raises `Unauthorized` where the server doesn't let it in any more."""
        try:
            self._loop.run(self._db.serve_forever())
        except Closed:
            pass


class Transaction:
    """Changes that happen together or not at all, at the end of its ``with``. Made by `Database.transaction`."""

    def __init__(self, db: Database, tx: aio.Transaction) -> None:
        self._loop, self._tx = db._loop, tx

    @property
    def receipt(self) -> Optional[Receipt]:
        """What the commit came to."""
        return self._tx.receipt

    @property
    def request_id(self) -> Optional[str]:
        """Kept over all attempts to commit it."""
        return self._tx.request_id

    @property
    def conflicted(self) -> bool:
        """It met a conflict, and `Database.retrying` goes on."""
        return self._tx.conflicted

    def get(self, path: PathLike, default: Any = _ABSENT, *, fresh: bool = False) -> Any:
        """The value at a path as the commit would leave it. A write to it then expects the version that was
        read."""
        return self._loop.run(self._tx.get(path, default, fresh=fresh))

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
        self._tx.put(path, value, version=version, ephemeral=ephemeral, check=check)

    def delete(self, path: PathLike, *, version: Optional[int] = None, check: bool = True) -> None:
        """Deletes a node and all below; see `put`."""
        self._tx.delete(path, version=version, check=check)

    def rollback(self, root: str, back_to: int, *, version: Optional[int] = None) -> None:
        """Brings back the state that a root had at a version, or -N: N commits ago."""
        self._tx.rollback(root, back_to, version=version)

    def commit(self, *, timeout: Optional[float] = None) -> Receipt:
        """Commits it now. After an `OutcomeUnknown` it may be called again: it happens once."""
        return self._loop.run(self._tx.commit(timeout=timeout))

    def __len__(self) -> int:
        return len(self._tx)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is None:
            self._loop.run(self._tx.__aexit__(None, None, None))


class Watch(Generic[E]):
    """What comes, as an iterator. It ends when it's closed, when the client is, and when nobody has it any more.
    Made by
    `Database.watch` and `Database.subscribe`."""

    def __init__(self, loop: LoopThread, watch: aio.Watch[E]) -> None:
        self._loop = loop
        self._watch: aio.Watch[E] = watch
        self._taken: Deque[E] = deque()

    def next(self, timeout: Optional[float] = None) -> E:
        """The next one; `Timeout` where none comes in time, `Closed` at the end."""
        if not self._taken:
            self._taken.extend(self._loop.run(self._some(timeout)))
        return self._taken.popleft()

    async def _some(self, timeout: Optional[float]) -> List[E]:
        some = [await self._watch.next(timeout)]
        while len(some) < _BATCH and self._watch.queued:
            item = self._watch.take()
            if item is None:
                break
            some.append(item)
        return some

    def close(self) -> None:
        """Ends it."""
        try:
            self._loop.call(self._watch.close)
        except Closed:
            pass

    def __iter__(self) -> Watch[E]:
        return self

    def __next__(self) -> E:
        try:
            return self.next()
        except Closed:
            raise StopIteration from None

    def __enter__(self) -> Watch[E]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


async def _begun(begin: Callable[[], aio.Watch[E]]) -> aio.Watch[E]:
    return await begin().begun()
