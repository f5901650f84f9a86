"""tega: a tree of configuration that many can change and nobody can break.

::

    import tega

    with tega.connect("http://127.0.0.1:8739") as db:
        db.put("lan.ip", "192.168.1.1")
        print(db.get("lan.ip"))

`connect` gives the blocking face, ``tega.aio.connect`` the one for asyncio; they have the same names. `Path` and
`path` say where, the classes of `tega.errors` what went wrong. How it's built, from below:

==============  ========================================================================
`paths`         the address of a node
`errors`        the one table of errors
`frames`        the text frames of the WebSocket
`address`       where a server is, its token, and who we are
`types`         what calls return
`feeds`         what a watch knows: which frames are for it, where it left off
`requests`      a request, from the call to its answer
`dial`          making one link
`link`          one client's link: requests, breaks, what is set again
`serving`       functions that are served
`drafts`        what a transaction will commit
`rest`          the calls that only HTTP has
`aio`           the asyncio face, with `transactions` and `watching`
`blocking`      the blocking face, a shell around it in a thread of its own (`threads`)
==============  ========================================================================
"""

from . import aio
from .blocking import Database, Transaction, Watch, connect
from .errors import (
    BadRequest,
    Closed,
    Closing,
    Conflict,
    Error,
    Forbidden,
    Internal,
    Lagging,
    NoHome,
    NoLink,
    NoOwner,
    NoSpace,
    NotFound,
    NothingHappened,
    OutcomeUnknown,
    ReadOnly,
    RpcFailed,
    Timeout,
    TooLarge,
    TooMany,
    Unauthorized,
)
from .paths import BadPath, Path, PathLike
from .serving import caller
from .types import Change, Difference, Match, Message, Node, Receipt, Value, Version

__version__ = "0.1.0"

#: The top of the tree: ``path.lan.hosts["192.168.1.9"]``.
path = Path()

__all__ = [
    "BadPath",
    "BadRequest",
    "Change",
    "Closed",
    "Closing",
    "Conflict",
    "Database",
    "Difference",
    "Error",
    "Forbidden",
    "Internal",
    "Lagging",
    "Match",
    "Message",
    "NoHome",
    "NoLink",
    "NoOwner",
    "NoSpace",
    "Node",
    "NotFound",
    "NothingHappened",
    "OutcomeUnknown",
    "Path",
    "PathLike",
    "ReadOnly",
    "Receipt",
    "RpcFailed",
    "Timeout",
    "TooLarge",
    "TooMany",
    "Transaction",
    "Unauthorized",
    "Value",
    "Version",
    "Watch",
    "aio",
    "caller",
    "connect",
    "path",
]
