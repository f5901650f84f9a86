"""A request, from the call to its answer, and what becomes of it when its link breaks."""

from __future__ import annotations

import asyncio
import enum
from typing import Any, Callable, Optional

from .errors import BadRequest, Conflict, NotFound, OutcomeUnknown, TooLarge

#: A refusal of this kind means that no attempt of the same write happened.
FINAL = (Conflict, NotFound, BadRequest, TooLarge)


class Policy(enum.Enum):
    """What becomes of a request whose link breaks."""

    READ = "asked again"
    WRITE = "sent again with its request ID"
    ONCE = "never sent again"
    INTERNAL = "made anew by the next link"


class Request:
    """A request, from the call to its answer."""

    __slots__ = (
        "kind",
        "word",
        "body",
        "policy",
        "request_id",
        "future",
        "before",
        "first",
        "sent",
        "order",
        "timer",
    )

    def __init__(self, kind: str, word: str, body: str, policy: Policy, future: asyncio.Future[Any]) -> None:
        self.kind = kind
        self.word = word
        self.body = body
        self.policy = policy
        self.future = future
        self.request_id: Optional[str] = None
        #: A frame that is sent before it and isn't answered but by a refusal.
        self.before: Optional[str] = None
        #: Gets the answer before anything else is read from the link.
        self.first: Optional[Callable[[Any], None]] = None
        #: How often it was sent.
        self.sent = 0
        self.order = 0
        self.timer: Optional[asyncio.TimerHandle] = None

    def reject(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            if self.policy is Policy.INTERNAL:
                # Nobody looks at it.
                self.future.exception()

    def unknown(self, why: str) -> OutcomeUnknown:
        """It may have happened."""
        more = ": retry with the same request ID" if self.policy is Policy.WRITE else ""
        return OutcomeUnknown(f"{why}; it may or may not have happened{more}", request_id=self.request_id)
