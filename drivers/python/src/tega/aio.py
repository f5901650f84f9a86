"""The asyncio face: ``async with tega.aio.connect() as db``.

The names are those of the blocking face (`tega.blocking`), which is a shell around this one. All methods of one
`Database` share one link; calls that run at the same time are pipelined. Everything belongs to the event loop that
connected.
"""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Dict,
    Generator,
    List,
    Optional,
    Set,
    Tuple,
    TypeVar,
    Union,
)
from typing import cast, overload

from . import frames, rest
from .address import Server, tega_id
from .drafts import _ABSENT
from .errors import BadRequest, NotFound, OutcomeUnknown
from .feeds import Changes, Channel, Messages
from .link import Link
from .paths import Path, PathLike, wire
from .requests import Policy
from .serving import Serving, leaf
from .transactions import Transaction
from .types import Change, Difference, Match, Message, Node, Receipt, Version
from .watching import Watch

__all__ = ["Connecting", "Database", "Transaction", "Watch", "connect"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: A path that nothing can be at: asked for where only the order of answers matters.
_NOTHING = "_"


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
) -> Connecting:
    """Connects to a tega: ``db = await connect()`` or ``async with connect() as db``.

    `url`: ``http://HOST[:PORT]``, ``ws://HOST[:PORT]`` or ``unix:PATH``; else ``$TEGA_URL``, the local socket of
    root or of the user, ``http://127.0.0.1:8739``.

    `id`: the tega ID to act under; else one is drawn. Who shares an ID isn't told of the other's changes, and
    calls go to the newest of them.

    `token`, `token_file`: what the server is shown; else ``$TEGA_TOKEN``. In the clear it goes nowhere beyond
    loopback and the local socket, unless `insecure_link`.

    `timeout`: the seconds that a request may take, where it doesn't say otherwise. `connect_timeout`: that an
    attempt to make a link may take. `keepalive`: after so many seconds a link is asked whether it lives, and has
    as many to answer.

    `max_waiting`: requests that may wait. `serve_at_once`, `serve_waiting`: calls of this client's functions that
    may run, and wait.
    """
    server = Server.of(url, token, token_file, insecure_link)
    who = tega_id(id)
    for name, number in (("timeout", timeout), ("connect_timeout", connect_timeout), ("keepalive", keepalive)):
        if not number > 0:
            raise BadRequest(f"{name}: more than 0 seconds are wanted")

    async def make() -> Database:
        link = Link(server, who, connect_timeout, keepalive, max_waiting)
        db = Database(link, timeout, Serving(link, serve_at_once, serve_waiting))
        await link.open()
        return db

    return Connecting(make)


class Connecting:
    """A `Database` that is to be awaited or entered."""

    def __init__(self, make: Callable[[], Awaitable[Database]]) -> None:
        self._make = make
        self._db: Optional[Database] = None

    def __await__(self) -> Generator[Any, None, Database]:
        return self._make().__await__()

    async def __aenter__(self) -> Database:
        self._db = await self._make()
        return self._db

    async def __aexit__(self, *exc: object) -> None:
        if self._db is not None:
            await self._db.close()


class Database:
    """A tega, seen through one link. Made by `connect`."""

    def __init__(self, link: Link, timeout: float, serving: Serving) -> None:
        self._link = link
        self._timeout = timeout
        self._serving = serving
        self._registering: Set[asyncio.Future[None]] = set()
        self._unserved: Optional[BaseException] = None

    @property
    def id(self) -> str:
        """The tega ID that this client acts under."""
        return self._link.tega_id

    @property
    def url(self) -> str:
        """The server's address."""
        return str(self._link.server.address)

    async def close(self) -> None:
        """Ends the session; what was ephemeral goes."""
        self._serving.close()
        await self._link.close()

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- reading

    async def get(
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
        try:
            return (await self._get(Path(path), version, fresh, internal, timeout)).get("value")
        except NotFound:
            if default is _ABSENT:
                raise
            return default

    async def node(self, path: PathLike, *, fresh: bool = False, timeout: Optional[float] = None) -> Node:
        """The value at a path with its version."""
        answer = await self._get(Path(path), None, fresh, False, timeout)
        return Node(answer.get("value"), answer.get("version"), bool(answer.get("ephemeral")))

    async def select(
        self,
        pattern: str,
        *,
        version: Optional[int] = None,
        fresh: bool = False,
        internal: bool = False,
        timeout: Optional[float] = None,
    ) -> Dict[Path, Match]:
        """All nodes whose path matches: a regex for each level, divided by ``\\.``."""
        body = _body(version=version, fresh=fresh, internal=internal, regex=True)
        found = (await self._ask("GET", frames.regex_word(pattern), body, Policy.READ, timeout))["value"]
        return {Path(path): Match(match["instance"], match.get("groups", [])) for path, match in found.items()}

    async def _get(
        self, path: Path, version: Optional[int], fresh: bool, internal: bool, timeout: Optional[float]
    ) -> Dict[str, Any]:
        body = _body(version=version, fresh=fresh, internal=internal)
        answer = await self._ask("GET", wire(path), body, Policy.READ, timeout)
        return cast("Dict[str, Any]", answer)

    # --- writing

    async def put(
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
        path, text = Path(path), frames.dumps(value)
        if ephemeral:
            self._link.owned.room_for({path})
        # The value is in the body as it was written above.
        rest_of_body = _body(version=version, ephemeral=ephemeral, durable=durable)[1:]
        body = f'{{"value":{text}{"," if len(rest_of_body) > 1 else ""}{rest_of_body}'
        receipt = await self._write("PUT", path, body, list(path)[:1], request_id, timeout)
        self._effect(path, text if ephemeral else None)
        return receipt

    async def delete(
        self,
        path: PathLike,
        *,
        version: Optional[int] = None,
        durable: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Receipt:
        """Deletes the node at a path and all below it; see `put`."""
        path = Path(path)
        body = _body(version=version, durable=durable)
        receipt = await self._write("DELETE", path, body, list(path)[:1], request_id, timeout)
        self._effect(path, None)
        return receipt

    async def rollback(
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
        body = _body(backto=back_to, version=version, durable=durable)
        return await self._write("ROLLBACK", Path([root]), body, [root], request_id, timeout)

    async def _write(
        self,
        kind: str,
        path: Path,
        body: str,
        roots: List[str],
        request_id: Optional[str],
        timeout: Optional[float],
    ) -> Receipt:
        comma = "," if len(body) > 2 else ""
        for last in (request_id is not None, True):
            drawn = request_id or self._link.request_id(roots, secrets.token_hex(16))
            whole = f'{body[:-1]}{comma}"request_id":{frames.dumps(drawn)}}}'
            try:
                return await self._receipt(kind, wire(path), whole, drawn, timeout)
            except OutcomeUnknown as error:
                if last or not error.untouched:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _receipt(
        self, kind: str, word: str, body: str, request_id: str, timeout: Optional[float]
    ) -> Receipt:
        answer = await self._ask(kind, word, body, Policy.WRITE, timeout, request_id=request_id)
        receipt = Receipt(
            answer.get("versions", {}), answer["position"], answer["durable"], answer.get("applied", True)
        )
        self._link.wrote(receipt.versions, receipt.position)
        return receipt

    def _effect(self, path: Path, ephemeral: Optional[str]) -> None:
        self._link.owned.forget(path)
        if ephemeral is not None:
            self._link.owned.keep(path, ephemeral)

    # --- transactions

    @overload
    def transaction(self, function: None = None, *, durable: bool = False) -> Transaction: ...
    @overload
    def transaction(self, function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]: ...

    def transaction(self, function: Any = None, *, durable: bool = False) -> Any:
        """Several changes at once, or none::

            async with db.transaction() as tx:
                n = await tx.get("counter.n", 0)
                tx.put("counter.n", n + 1)      # Conflict if another was faster

        As a decorator of a function whose first argument is the transaction: it's run again in a conflict, as by
        `retrying`.
        """
        if function is None:
            return Transaction(self, durable, None)

        @functools.wraps(function)
        async def again(*args: Any, **kwargs: Any) -> Any:
            result: Any = None
            async for tx in self.retrying():
                async with tx:
                    result = await function(tx, *args, **kwargs)
            return result

        return again

    async def retrying(self, attempts: int = 30, *, durable: bool = False) -> AsyncIterator[Transaction]:
        """Transactions until one is committed: ``async for tx in db.retrying(): async with tx: …``.

        In a conflict the body is run again, with a new transaction; the last of `attempts` raises it. Where the
        outcome isn't known, the same commit is sent again with its request ID, so that it happens once.
        """
        for attempt in range(attempts):
            tx = Transaction(self, durable, attempts - 1 - attempt)
            yield tx
            if not tx.conflicted:
                return
            await asyncio.sleep(random.uniform(0, min(1.0, 0.005 * 2**attempt)))

    # --- history

    async def history(self, root: str, *, timeout: Optional[float] = None) -> List[Version]:
        """The kept versions of a root, oldest first."""
        return [Version.read(one) for one in await self._rest("history", timeout, root_oid=root)]

    async def diff(
        self, root: str, version: int, to: Optional[int] = None, *, timeout: Optional[float] = None
    ) -> List[Difference]:
        """What is different between two versions of a root, the second the present one unless said; -N: N commits
        ago."""
        told = await self._rest("diff", timeout, root_oid=root, to=to, **{"from": version})
        return [Difference.read(one) for one in told]

    async def _rest(self, call: str, timeout: Optional[float], **query: Optional[object]) -> Any:
        get = functools.partial(rest.get, self._link.server, call, self._time(timeout), **query)
        return await asyncio.get_running_loop().run_in_executor(None, get)

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
        """The changes at a path and below it, made under other tega IDs: ``async for change in db.watch("lan")``.

        It goes on over breaks of the link, and tells each change once. Where the server's history doesn't reach
        back, a change of the kind ``state`` tells what is there now. `state`: the first one tells it, and one
        after each break. What comes and goes by itself, ephemeral, isn't in the history: what of it changed during
        a break is told by a ``state`` alone.

        `regex`: `path` is a regex over whole paths. `queue`: so many changes wait for their reader; beyond it they
        are asked for again once it comes.

        What this client sends afterwards happens after the watch began. ``async with`` waits for that, and ends
        the watch.
        """
        changes = Changes(Channel(path, regex), queue, state)
        return Watch(self._link, changes, self._time(timeout))

    def subscribe(
        self, channel: PathLike, *, regex: bool = False, queue: int = 1_000, timeout: Optional[float] = None
    ) -> Watch[Message]:
        """The messages on a channel that others publish: ``async for message in db.subscribe("alarm")``.

        Messages aren't kept by anybody: what is published during a break isn't heard, and what finds no place in
        the `queue` is lost: `Lagging` says how many were, and the next ones come.
        """
        return Watch(self._link, Messages(Channel(channel, regex), queue), self._time(timeout))

    async def publish(self, channel: PathLike, value: Any, *, timeout: Optional[float] = None) -> None:
        """Sends a message to all who listen to this channel, but not to this client."""
        frame = frames.publish(wire(Path(channel)), frames.dumps(value))
        # It isn't answered, and refused only now and then; the answer behind it tells that it was taken.
        await self._ask("GET", _NOTHING, "{}", Policy.ONCE, timeout, before=frame)

    # --- calls

    async def call(self, path: PathLike, /, *args: Any, timeout: Optional[float] = None, **kwargs: Any) -> Any:
        """Calls the function at a path: ``await db.call("op.rpc.ping", "192.0.2.1", count=2)``.

        For a function with an argument ``timeout`` of its own take `function`.
        """
        return await self._call(Path(path), args, kwargs, timeout)

    def function(self, path: PathLike, *, timeout: Optional[float] = None) -> Callable[..., Awaitable[Any]]:
        """The function at a path, to be called with whatever arguments it has."""
        at = Path(path)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(at, args, kwargs, timeout)

        return call

    async def _call(
        self, path: Path, args: Tuple[Any, ...], kwargs: Dict[str, Any], timeout: Optional[float]
    ) -> Any:
        body = frames.dumps({"args": args, "kwargs": kwargs})
        return (await self._ask("RPC", wire(path), body, Policy.ONCE, timeout)).get("result")

    async def serve(
        self,
        path: PathLike,
        function: Callable[..., Any],
        *,
        ephemeral: bool = True,
        timeout: Optional[float] = None,
    ) -> None:
        """Serves a function at a path, to be called from anywhere in the fleet.

        It may be a coroutine function, or a plain one, which runs in a thread. What it returns is the caller's
        result, what it raises the caller's `RpcFailed`. `ephemeral`: the leaf goes with this client; else it
        stays, and callers are told that nobody is there.
        """
        path = Path(path)
        self._serving.add(path, function)
        try:
            await self.put(path, leaf(self.id, path), ephemeral=ephemeral, timeout=timeout)
        except BaseException:
            self._serving.remove(path)
            raise

    def rpc(self, path: PathLike, *, ephemeral: bool = True) -> Callable[[F], F]:
        """Serves the function that it decorates::

        @db.rpc("operational-r1.rpc.hello")
        async def hello(name): ...

        await db.serve_forever()
        """

        def register(function: F) -> F:
            task = asyncio.ensure_future(self.serve(path, function, ephemeral=ephemeral))
            self._registering.add(task)
            task.add_done_callback(self._registered)
            return function

        return register

    def _registered(self, task: asyncio.Future[None]) -> None:
        self._registering.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._unserved is None:
            self._unserved = error

    async def ready(self) -> None:
        """Waits until all functions that were decorated are there to be called. Raises what kept one from it."""
        if self._registering:
            await asyncio.wait(list(self._registering))
        if self._unserved is not None:
            error, self._unserved = self._unserved, None
            raise error

    async def serve_forever(self) -> None:
        """Waits until this client is closed. Raises `Unauthorized` where the server doesn't let it in any more."""
        await self.ready()
        await self._link.finished()

    def _time(self, timeout: Optional[float]) -> float:
        return self._timeout if timeout is None else timeout

    async def _ask(
        self,
        kind: str,
        word: str,
        body: str,
        policy: Policy,
        timeout: Optional[float],
        *,
        request_id: Optional[str] = None,
        before: Optional[str] = None,
    ) -> Any:
        return await self._link.ask(
            kind, word, body, policy, self._time(timeout), request_id=request_id, before=before
        )


def _body(**members: Union[bool, int, None]) -> str:
    """A JSON object of what isn't absent or false."""
    return frames.dumps(
        {name: value for name, value in members.items() if value is not None and value is not False}
    )
