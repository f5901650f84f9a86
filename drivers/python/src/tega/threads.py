"""A thread with an event loop, for those who have none."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any, Callable, Coroutine, TypeVar

from .errors import Closed, Error

R = TypeVar("R")


class LoopThread:
    """A thread that runs an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tega", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Runs it there, and waits for it here."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call in the driver's own thread would wait for itself")
        try:
            future: Future[R] = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise Closed("this client was closed; nothing happened") from None
        try:
            return future.result()
        except Error as error:
            # Where in the driver it was is of no use to who called it.
            raise error.with_traceback(None)
        except BaseException:
            # Ctrl-C while it waited, perhaps: it's given up.
            future.cancel()
            raise

    def call(self, function: Callable[[], R]) -> R:
        async def work() -> R:
            return function()

        return self.run(work())

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
