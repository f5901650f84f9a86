"""What can go wrong: one class for each code of a refusal, and the few that are the driver's own.

An error says what is wrong in ``str(error)``, and where in its attributes. Two bases tell what to do:

- `NothingHappened`: the request had no effect; it may be made again.
- `OutcomeUnknown`: it may have happened. A write carries its ``request_id``: the same write with this ID happens
  once."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Optional, Type

from .paths import BadPath, Path


class Error(Exception):
    """What a server refused, or what a driver couldn't do."""

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        path: Optional[Path] = None,
        expected: Optional[int] = None,
        actual: Optional[int] = None,
        request_id: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        #: The node that it's about.
        self.path = path
        #: The version that was asked for.
        self.expected = expected
        #: The version that is there; -1: nothing is.
        self.actual = actual
        #: Of a write: the ID to repeat it with.
        self.request_id = request_id


class BadRequest(Error):
    """The request can't be understood or can't be."""

    code = "bad_request"


class Unauthorized(Error):
    """A token is needed, or this one isn't known."""

    code = "unauthorized"


class Forbidden(Error):
    """This token may not do that."""

    code = "forbidden"


class NoHome(Forbidden):
    """No server is home of this root: mind the spelling."""

    code = "no_home"


class NotFound(Error):
    """Nothing is there."""

    code = "not_found"


class Conflict(Error):
    """The node isn't at the version that was expected; read again, and decide."""

    code = "conflict"


class TooLarge(Error):
    """More than the server takes."""

    code = "too_large"


class RpcFailed(Error):
    """The function that was called raised an error: this is its text."""

    code = "rpc_failed"


class OutcomeUnknown(Error):
    """It may have happened. The same write with the same ``request_id`` happens once."""

    code = "outcome_unknown"

    #: The server did nothing now, and nothing was sent before: a new request ID is all that it takes. So it is with the
    #: first write after a root was moved to another home, where the position in the ID means nothing.
    untouched: bool = False


class Timeout(Error):
    """No answer in time. A call may have happened."""

    code = "timeout"


class Internal(Error):
    """A fault of the server, or a code of a newer one."""


class NothingHappened(Error):
    """The request had no effect; it may be made again."""


class NoLink(NothingHappened):
    """The server, or the home of the root, can't be reached."""

    code = "no_link"


class NoOwner(NothingHappened):
    """Whoever serves this function isn't connected."""

    code = "no_owner"


class TooMany(NothingHappened):
    """Too much waits already."""

    code = "too_many"


class ReadOnly(NothingHappened):
    """The server's disk failed; it can only be read from."""

    code = "read_only"


class NoSpace(NothingHappened):
    """The server's disk is full."""

    code = "no_space"


class Closing(NothingHappened):
    """The server is stopping."""

    code = "closing"


class Closed(NothingHappened):
    """This client was closed."""

    code = "closed"


class Lagging(Error):
    """Messages were lost, because nobody took them from the queue. The next ones come."""

    code = "lagging"

    def __init__(self, message: str, lost: int) -> None:
        super().__init__(message)
        #: How many were lost.
        self.lost = lost


_CLASSES: Dict[str, Type[Error]] = {
    kind.code: kind
    for kind in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NoHome,
        NotFound,
        Conflict,
        TooLarge,
        RpcFailed,
        OutcomeUnknown,
        Timeout,
        NoLink,
        NoOwner,
        TooMany,
        ReadOnly,
        NoSpace,
        Closing,
    )
}
_CLASSES.update(internal=Internal, method_not_allowed=BadRequest, upgrade_required=BadRequest)


def from_json(body: Any) -> Optional[Error]:
    """The error that an answer is; None: it's none."""
    error = body.get("error") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    code, message = error["code"], error.get("message")
    message = message if isinstance(message, str) else ""
    if code not in _CLASSES:
        message = f"{code}: {message}"
    return _CLASSES.get(code, Internal)(
        message,
        path=_path(error.get("path")),
        expected=_number(error.get("expected")),
        actual=_number(error.get("actual")),
    )


def anew(error: Error) -> Error:
    """The same error for somebody else: a traceback belongs to one."""
    return type(error)(error.message)


def _path(text: Any) -> Optional[Path]:
    try:
        return Path(text) if isinstance(text, str) else None
    except BadPath:
        return None


def _number(value: Any) -> Optional[int]:
    return value if isinstance(value, int) else None
