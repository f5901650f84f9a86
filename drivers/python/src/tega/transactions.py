"""Transactions of the asyncio face."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Type

from .drafts import _ABSENT, Draft
from .errors import Conflict, Error, NotFound, OutcomeUnknown
from .paths import Path, PathLike
from .types import Receipt

if TYPE_CHECKING:
    from .aio import Database


class Transaction(Draft):
    """Changes that happen together or not at all, at the end of its ``async with``. Made by
    `Database.transaction`."""

    def __init__(self, db: Database, durable: bool, attempts_left: Optional[int]) -> None:
        super().__init__()
        self._db = db
        self._durable = durable
        self._attempts_left = attempts_left
        #: What the commit came to.
        self.receipt: Optional[Receipt] = None
        #: It met a conflict, and `Database.retrying` goes on.
        self.conflicted = False

    async def get(self, path: PathLike, default: Any = _ABSENT, *, fresh: bool = False) -> Any:
        """The value at a path as the commit would leave it. A write to it then expects the version that was
        read."""
        path = Path(path)
        if not self.knows(path):
            try:
                self.saw(path, await self._db._get(path, None, fresh, True, None))
            except NotFound as error:
                self.saw(path, error)
        return self.value(path, default)

    async def commit(self, *, timeout: Optional[float] = None) -> Receipt:
        """Commits it now. After an `OutcomeUnknown` it may be called again: it happens once."""
        if self.receipt is not None:
            return self.receipt
        if not len(self):
            self.receipt = Receipt({}, 0, True)
            return self.receipt
        link = self._db._link
        effects = self.effects()
        link.owned.room_for({path for path, value in effects if value is not None})
        first = self.request_id is None
        if first:
            self.request_id = link.request_id(self.roots, self.drawn)
        try:
            self.receipt = await self._send(timeout)
        except OutcomeUnknown as error:
            if not first or not error.untouched:
                raise
            self.request_id = link.request_id(self.roots, self.drawn)
            self.receipt = await self._send(timeout)
        for path, value in effects:
            self._db._effect(path, value)
        return self.receipt

    async def _send(self, timeout: Optional[float]) -> Receipt:
        assert self.request_id is not None
        return await self._db._receipt("COMMIT", "-", self.body(self._durable), self.request_id, timeout)

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is not None:
            return
        if self._attempts_left is None:
            await self.commit()
            return
        try:
            await self._commit_for_sure()
        except Conflict:
            if self._attempts_left == 0:
                raise
            self.conflicted = True

    async def _commit_for_sure(self) -> None:
        unknown: Optional[OutcomeUnknown] = None
        for attempt in range(3):
            try:
                await self.commit()
                return
            except OutcomeUnknown as error:
                unknown = error
            except Conflict:
                raise
            except Error as error:
                # It says that this attempt didn't happen.
                if unknown is None:
                    raise
                unknown.__cause__ = error
            await asyncio.sleep(random.uniform(0, 0.2 * 2**attempt))
        assert unknown is not None
        raise unknown
