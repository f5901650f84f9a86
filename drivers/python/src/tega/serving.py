"""Serving functions: each call runs as a task, so many at once, so many more wait, and those beyond are
refused."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Optional, Set

from . import frames
from .errors import BadRequest, RpcFailed, TooLarge
from .link import Link
from .paths import BadPath, Path, from_wire

log = logging.getLogger("tega")

#: In a function that is served: the tega ID of who calls; None: somebody without one.
caller: contextvars.ContextVar[Optional[str]] = contextvars.ContextVar("tega.caller", default=None)


class Serving:
    """The functions of one client, and the calls of them that run."""

    def __init__(self, link: Link, at_once: int, waiting: int) -> None:
        if at_once < 1 or waiting < 0:
            raise BadRequest("serve_at_once: at least 1 is wanted; serve_waiting: at least 0")
        self._link = link
        self._at_once, self._waiting = at_once, waiting
        self._functions: Dict[Path, Callable[..., Any]] = {}
        self._tasks: Set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(at_once)
        self._pool: Optional[ThreadPoolExecutor] = None
        link.asked = self._asked

    def add(self, path: Path, function: Callable[..., Any]) -> None:
        self._functions[path] = function

    def remove(self, path: Path) -> None:
        self._functions.pop(path, None)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, asked: frames.Asked, link: int) -> None:
        try:
            path = from_wire(asked.word or "")
        except BadPath:
            path = Path()
        function = self._functions.get(path)
        if asked.kind != "RPC" or function is None:
            return self._answer(asked, link, _failed(f"{self._link.tega_id} serves no function at {path}"))
        if len(self._tasks) >= self._at_once + self._waiting:
            busy = f"busy: {self._at_once} calls run and {self._waiting} wait, which is the most; it wasn't called"
            return self._answer(asked, link, _failed(busy))
        task = asyncio.get_running_loop().create_task(self._run(asked, link, function))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, asked: frames.Asked, link: int, function: Callable[..., Any]) -> None:
        async with self._room:
            try:
                body = frames.dumps({"result": await self._call(asked, function)})
                if len(body.encode()) + 100 > frames.MAX_MESSAGE:
                    raise TooLarge(f"a result has at most {frames.MAX_MESSAGE} bytes")
            except RpcFailed as error:
                body = _failed(error.message)
            except Exception as error:
                # The caller is told what, and not where: that is for our own log.
                log.warning("a call of %s failed", asked.word, exc_info=True)
                body = _failed(f"{type(error).__name__}: {error}")
        self._answer(asked, link, body)

    async def _call(self, asked: frames.Asked, function: Callable[..., Any]) -> Any:
        body = asked.body if isinstance(asked.body, dict) else {}
        args, kwargs = body.get("args") or [], body.get("kwargs") or {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise RpcFailed('a call is {"args":[…],"kwargs":{…}}')
        caller.set(asked.caller)
        if inspect.iscoroutinefunction(function):
            return await function(*args, **kwargs)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="tega-rpc")
        run = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def _answer(self, asked: frames.Asked, link: int, body: str) -> None:
        self._link.answer(frames.response(asked.seq, asked.kind, self._link.tega_id, body), link)


def _failed(message: str) -> str:
    # Some of it is enough, and it mustn't be longer than a message may be.
    return frames.dumps({"error": {"code": "rpc_failed", "message": message[:4096]}})


def leaf(tega_id: str, path: Path) -> str:
    """What stands in the tree for a function."""
    name = list(path)[-1] if len(path) else ""
    return f"%{tega_id}.{re.sub(r'[^A-Za-z0-9_.-]', '_', name) or '_'}"
