"""A client's ephemeral nodes: they are set again on each link, until somebody else's value or a refusal ends that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Dict, List, Set

from .errors import Error, NothingHappened, TooMany
from .paths import Path, wire
from .requests import Request

if TYPE_CHECKING:
    from .link import Link

log = logging.getLogger("tega")

#: As many as a session may have.
MAX_EPHEMERAL = 1_000
#: How often one is tried again that can't be set now, in seconds.
AGAIN = 1.0


class Owned:
    """The ephemeral nodes of one client."""

    def __init__(self, link: Link) -> None:
        self._link = link
        #: Their values, as JSON.
        self.nodes: Dict[Path, str] = {}

    def room_for(self, paths: Set[Path]) -> None:
        """Refuses more than may be set again."""
        if len(paths | set(self.nodes)) > max(MAX_EPHEMERAL, len(self.nodes)):
            raise TooMany(f"a client has at most {MAX_EPHEMERAL} ephemeral nodes; nothing happened")

    def keep(self, path: Path, value: str) -> None:
        """Sets a node again on each link."""
        self.nodes[path] = value

    def forget(self, path: Path) -> None:
        """What is at this path and below isn't ours any more."""
        for known in [known for known in self.nodes if known in path]:
            del self.nodes[known]

    def again(self) -> List[Request]:
        """What a new link is asked for."""
        return [self._set_again(path, value) for path, value in self.nodes.items()]

    def _set_again(self, path: Path, value: str) -> Request:
        link, number = self._link, self._link.number

        def answered(answer: Any) -> None:
            if not isinstance(answer, Error) or self.nodes.get(path) != value:
                return
            if isinstance(answer, NothingHappened):
                link.later(AGAIN, again)
                return
            log.warning(
                "%s: the ephemeral node %s can't be set again: %s", link.server.address, path, answer.message
            )
            del self.nodes[path]

        def again() -> None:
            if link.number == number and self.nodes.get(path) == value:
                link.push_internal(self._set_again(path, value))

        return link.internal("PUT", wire(path), f'{{"value":{value},"ephemeral":true}}', answered)
