"""What a watch and a subscription of the asyncio face are to their reader."""

from __future__ import annotations

import asyncio
import weakref
from typing import Generic, Optional, TypeVar, cast

from .errors import Closed, Error, Timeout
from .feeds import Feed
from .link import Link
from .types import Change, Message

E = TypeVar("E", Change, Message)


class Watch(Generic[E]):
    """What comes, as an asynchronous iterator. It ends when it's closed, when the client is, and when nobody has
    it any more. Made by `Database.watch` and `Database.subscribe`."""

    def __init__(self, link: Link, feed: Feed, timeout: float) -> None:
        self._link, self._feed = link, feed
        self._woken = asyncio.Event()
        feed.wake = self._woken.set
        self._begun = link.listen(feed, timeout)
        drop = weakref.finalize(self, _drop, asyncio.get_running_loop(), link, feed)
        # A process that ends has no need of it. (The stubs know it as read-only.)
        setattr(drop, "atexit", False)

    async def begun(self) -> Watch[E]:
        """Waits until the server has it."""
        if not self._begun.done() or self._begun.exception() is not None:
            try:
                await asyncio.shield(self._begun)
            except Error:
                self.close()
                raise
        return self

    async def next(self, timeout: Optional[float] = None) -> E:
        """The next one; `Timeout` where none comes in time, `Closed` at the end."""
        await self.begun()
        coming = self._next()
        try:
            return await (coming if timeout is None else asyncio.wait_for(coming, timeout))
        except (asyncio.TimeoutError, TimeoutError):
            raise Timeout(f"{self._feed.channel}: nothing came in {timeout:g} s") from None

    async def _next(self) -> E:
        while True:
            self._woken.clear()
            item = self.take()
            if item is not None:
                return item
            await self._woken.wait()

    def take(self) -> Optional[E]:
        """The next one if it's there already, else None; raises as `next` does."""
        item = self._feed.take()
        if isinstance(item, Error):
            raise item
        if item is not None:
            return cast(E, item)
        if self._feed.ended is not None:
            raise type(self._feed.ended)(self._feed.ended.message)
        if self._feed.closed:
            raise Closed(f"the watch of {self._feed.channel} was closed")
        return None

    @property
    def queued(self) -> int:
        """So many are there to be taken."""
        return self._feed.queued

    def close(self) -> None:
        """Ends it."""
        self._link.unlisten(self._feed)

    def __aiter__(self) -> Watch[E]:
        return self

    async def __anext__(self) -> E:
        try:
            return await self.next()
        except Closed:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Watch[E]:
        return await self.begun()

    async def __aexit__(self, *exc: object) -> None:
        self.close()


def _drop(loop: asyncio.AbstractEventLoop, link: Link, feed: Feed) -> None:
    # From whatever thread collects garbage.
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(link.unlisten, feed)
        except RuntimeError:
            pass
