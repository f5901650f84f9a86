"""One client's link to its server: all requests share it, and it's made again when it breaks.

A request waits in a queue until it's on the wire, and there until it's answered; its caller waits for its future,
at most for its own time. When the link breaks, what was on the wire goes back to the head of the queue: reads, and
writes, which carry a request ID and so happen once. Calls don't: nobody knows whether they happened.

A new link begins with what the old one stood for: subscriptions first, then ephemeral nodes, then what waits.

Everything here runs on one event loop, and nothing in it waits but the two tasks of a live link: one takes frames,
one sends them. Bounds: `ON_WIRE` requests on the wire, `limit` that wait in all, `MAX_EPHEMERAL` nodes to be set
again; answers to calls that are served are as many as the server lets wait for one session.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, List, Optional, Union

from websockets.exceptions import ConnectionClosed

from . import errors, feeds, frames
from .address import Server
from .dial import closed as why_closed
from .dial import Connection, dial
from .errors import Closed, Error, NoLink, NotFound, OutcomeUnknown, Timeout, TooLarge, TooMany
from .errors import Unauthorized
from .feeds import Changes, Feed, Messages
from .owned import Owned
from .paths import wire
from .requests import FINAL, Policy, Request

log = logging.getLogger("tega")

#: Requests that are on the wire at once: fewer than the 1,024 at which the server stops reading.
ON_WIRE = 1_000
#: The shortest and the longest time between two attempts to make a link, in seconds; drawn at random up to them.
BACK_OFF, LONGEST_BACK_OFF = 0.05, 5.0
#: How a server says that it can't judge a request ID, and that it did nothing.
UNJUDGED = "nothing was applied now"


class Link:
    """See the chapter above."""

    def __init__(self, server: Server, tega_id: str, connect_timeout: float, keepalive: float, limit: int) -> None:
        self.server = server
        self.tega_id = tega_id
        self.limit = limit
        #: Answers a call; set by whoever serves. The number tells the link that it came by.
        self.asked: Callable[[frames.Asked, int], None] = lambda asked, link: None
        #: Which link this is, from 1. A call's answer goes back on its own link or nowhere.
        self.number = 0
        #: Ephemeral nodes of this client, set again on each link.
        self.owned = Owned(self)
        self._connect_timeout, self._keepalive = connect_timeout, keepalive
        self._loop = asyncio.get_running_loop()
        self._queue: OrderedDict[int, Union[Request, str]] = OrderedDict()
        self._control: Deque[str] = deque()
        self._wire: Dict[int, Request] = {}
        #: Those on the wire that have a frame before them, oldest first, with the refusal of that frame.
        self._unanswered: Deque[List[Any]] = deque()
        self._feeds: List[Feed] = []
        self._waiting = 0
        self._order = 0
        self._seq = 0
        self._ready = asyncio.Event()
        self._live = False
        self._answered = False
        #: Attempts that brought nothing.
        self._tries = 0
        #: The newest position of each root, of this link's receipts.
        self._positions: Dict[str, int] = {}
        self._over: Optional[Error] = None
        self._last: Error = NoLink(f"{server.address}: no link yet")
        self._task: Optional[asyncio.Task[None]] = None

    async def open(self) -> None:
        """Makes the first link, or says why not."""
        ws = await self._dial()
        self._task = self._loop.create_task(self._run(ws))

    async def close(self) -> None:
        """Ends everything. Again: waits for the same end."""
        self._end(Closed(f"{self.server.address}: this client was closed; nothing happened"))
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def finished(self) -> None:
        """Waits for the end of the client, and says why it ended unless it was closed."""
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._over is not None and not isinstance(self._over, Closed):
            raise errors.anew(self._over)

    # --- requests

    def ask(
        self,
        kind: str,
        word: str,
        body: str,
        policy: Policy,
        timeout: float,
        *,
        request_id: Optional[str] = None,
        before: Optional[str] = None,
    ) -> asyncio.Future[Any]:
        """Puts a request into the queue, behind all others. The future has the answer's body."""
        if self._over is not None:
            raise errors.anew(self._over)
        if self._waiting >= self.limit:
            raise TooMany(f"{self.limit} requests wait already, which is the most; nothing happened, try again")
        for text in (f"{word}\n{body}", before or ""):
            if len(text) > frames.MAX_MESSAGE // 4 and len(text.encode()) + 100 > frames.MAX_MESSAGE:
                raise TooLarge(f"a message has at most {frames.MAX_MESSAGE} bytes; nothing happened")
        request = Request(kind, word, body, policy, self._loop.create_future())
        request.request_id, request.before = request_id, before
        request.timer = self._loop.call_later(timeout, self._expire, request)
        request.future.add_done_callback(lambda _: self._done(request))
        self._waiting += 1
        self._push(request)
        return request.future

    def request_id(self, roots: List[str], drawn: str) -> str:
        """An ID for a write to these roots. With the position of an earlier one the server can tell one that it
        has forgotten from one that it never saw."""
        known = [self._positions[root] for root in roots if root in self._positions]
        return f"@{max(known)}:{drawn}" if known else drawn

    def wrote(self, versions: Dict[str, int], position: int) -> None:
        """Remembers the position of a receipt."""
        if len(self._positions) > 10_000:
            self._positions.clear()
        for root in versions:
            self._positions[root] = max(position, self._positions.get(root, 0))

    def answer(self, text: str, link: int) -> None:
        """Sends the answer to a call that came by this link, unless that is gone."""
        if link == self.number and self._live:
            self._control.append(text)
            self._ready.set()

    def _push(self, item: Union[Request, str], head: bool = False) -> None:
        self._order += 1
        if isinstance(item, Request):
            item.order = self._order
        self._queue[self._order] = item
        if head:
            self._queue.move_to_end(self._order, last=False)
        self._ready.set()

    def _expire(self, request: Request) -> None:
        where = self.server.address
        if request.sent == 0 and self._live:
            request.reject(TooMany(f"{where}: too many requests are before this one; nothing happened, try again"))
        elif request.sent == 0:
            request.reject(self._no_link())
        elif request.policy is Policy.WRITE:
            request.reject(request.unknown(f"{where}: no answer in time"))
        else:
            request.reject(Timeout(f"{where}: no answer in time"))

    def _no_link(self) -> Error:
        return NoLink(f"{self._last.message.partition(';')[0]}; nothing happened")

    def _done(self, request: Request) -> None:
        """The caller has its answer, or doesn't wait any more. On the wire a request keeps its place until it's
        answered: the server has it."""
        self._waiting -= 1
        self._queue.pop(request.order, None)
        if request.timer is not None:
            request.timer.cancel()

    # --- the life of a link

    async def _dial(self) -> Connection:
        return await dial(self.server, self.tega_id, self._connect_timeout, self._keepalive)

    async def _run(self, ws: Connection) -> None:
        try:
            # Before Python 3.12 `wait_for` may swallow a cancellation, so the end is looked for as well.
            while self._over is None:
                why = await self._serve(ws)
                ws = await self._again(why)
            ws.transport.abort()
        except asyncio.CancelledError:
            self._end(Closed(f"{self.server.address}: this client was closed; nothing happened"))
        except Error as error:
            self._end(error)
        except Exception as error:
            log.exception("%s: a fault of the driver", self.server.address)
            self._end(errors.Internal(f"a fault of the driver: {error!r}"))

    async def _serve(self, ws: Connection) -> Error:
        """Uses a link to its end, and says why it ended."""
        self.number += 1
        self._live, self._answered = True, False
        self._restore()
        sender = self._loop.create_task(self._send(ws))
        why: Error = NoLink(f"{self.server.address}: the link broke")
        try:
            while True:
                text = await ws.recv()
                self._take(frames.read(text if isinstance(text, str) else text.decode(errors="replace")))
        except ConnectionClosed as error:
            why = why_closed(self.server, error)
        except frames.BadFrame as error:
            why = NoLink(f"{self.server.address}: {error}")
            log.warning(why.message)
        except Exception as error:
            # What is only half understood is no reason to go down, nor to go on with.
            why = NoLink(f"{self.server.address} sent what can't be handled: {error!r}")
            log.exception(why.message)
        finally:
            self._live = False
            sender.cancel()
            self._broke(why)
            # No waiting for a peer that may be gone; a closing client says goodbye.
            if self._over is not None:
                await asyncio.shield(ws.close())
            else:
                ws.transport.abort()
        return why

    async def _again(self, why: Error) -> Connection:
        """Makes a new link, however long it takes."""
        self._last, refused = why, isinstance(why, Unauthorized)
        # One that is made and breaks at once, again and again, is no reason for haste.
        self._tries = 0 if self._answered else min(self._tries + 1, 16)
        log.info("%s; making a new link", why.message)
        while True:
            await asyncio.sleep(random.uniform(0, min(LONGEST_BACK_OFF, BACK_OFF * 2**self._tries)))
            self._tries = min(self._tries + 1, 16)
            try:
                return await self._dial()
            except Unauthorized as error:
                if refused:
                    raise
                self._last, refused = error, True
            except Error as error:
                self._last, refused = error, False

    async def _send(self, ws: Connection) -> None:
        try:
            while True:
                text = self._next()
                if text is not None:
                    if self._queue or self._control:
                        ws.together.hold()
                    await ws.send(text)
                else:
                    ws.together.flush()
                    self._ready.clear()
                    await self._ready.wait()
        except ConnectionClosed:
            # Whoever reads learns it too.
            pass
        finally:
            ws.together.flush()

    def _next(self) -> Optional[str]:
        """The next frame to be sent."""
        if self._control:
            return self._control.popleft()
        if not self._queue or len(self._wire) >= ON_WIRE:
            return None
        _, item = self._queue.popitem(last=False)
        if isinstance(item, str):
            return item
        while True:
            self._seq = self._seq % 0xFFFF_FFFF + 1
            if self._seq not in self._wire:
                break
        item.sent += 1
        self._wire[self._seq] = item
        text = frames.request(self._seq, item.kind, item.word, item.body)
        if item.before is None:
            return text
        self._unanswered.append([item, None])
        self._control.appendleft(text)
        return item.before

    def _broke(self, why: Error) -> None:
        """Sorts out what was under way."""
        self._positions.clear()
        self._control.clear()
        self._unanswered.clear()
        lost, self._wire = self._wire, {}
        # Texts in the queue were for this link alone.
        for order in [
            order for order, item in self._queue.items() if isinstance(item, str) or item.policy is Policy.INTERNAL
        ]:
            del self._queue[order]
        again: List[Request] = []
        for request in lost.values():
            if request.future.done() or request.policy is Policy.INTERNAL:
                continue
            if request.policy is Policy.ONCE:
                request.reject(request.unknown(why.message))
            else:
                again.append(request)
        for request in sorted(again, key=lambda request: request.order, reverse=True):
            self._queue[request.order] = request
            self._queue.move_to_end(request.order, last=False)
        for feed in self._feeds:
            if isinstance(feed, Changes):
                feed.broke()

    def _end(self, error: Error) -> None:
        """The client is over, for good."""
        if self._over is not None:
            return
        self._over = error
        self._live = False
        waiting = [*self._wire.values(), *(item for item in self._queue.values() if isinstance(item, Request))]
        self._queue.clear()
        for request in waiting:
            if request.sent and request.policy in (Policy.WRITE, Policy.ONCE):
                request.reject(request.unknown(error.message.partition(";")[0]))
            else:
                request.reject(errors.anew(error))
        for feed in self._feeds:
            if not feed.begun.done():
                feed.begun.set_exception(errors.anew(error))
            feed.end(None if isinstance(error, Closed) else errors.anew(error))
        self._feeds.clear()

    # --- what comes

    def _take(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Answer):
            self._take_answer(frame)
        elif isinstance(frame, frames.Notify):
            if not isinstance(frame.entries, list):
                raise frames.BadFrame("the server sent a NOTIFY without a list")
            for feed in self._feeds:
                if isinstance(feed, Changes):
                    feed.notified(frame.entries)
        elif isinstance(frame, frames.Heard):
            message = feeds.message(frame)
            for feed in self._feeds:
                if isinstance(feed, Messages) and feed.channel.hears(message.channel):
                    feed.heard(message)
        elif isinstance(frame, frames.Asked):
            self.asked(frame, self.number)
        elif isinstance(frame, frames.Refused):
            error = errors.from_json(frame.body) or errors.Internal("a refusal that can't be read")
            for entry in self._unanswered:
                if entry[1] is None:
                    entry[1] = error
                    return
            log.warning("%s refused a frame: %s", self.server.address, error.message)

    def _take_answer(self, answer: frames.Answer) -> None:
        request = self._wire.pop(answer.seq, None)
        if request is None:
            return
        self._answered = True
        self._ready.set()
        body: Any = answer.body
        error = errors.from_json(body)
        if request.before is not None:
            # Frames are answered in their order, so the first one is its own.
            _, error = self._unanswered.popleft()
        elif error is None and not isinstance(body, dict):
            raise frames.BadFrame(f"the server sent an answer to {request.kind} that is no object")
        if request.first is not None:
            request.first(error if error is not None else body)
        if request.future.done():
            return
        if error is None:
            request.future.set_result(body)
            return
        if request.policy is Policy.WRITE and not isinstance(error, FINAL):
            if request.sent > 1 and not isinstance(error, OutcomeUnknown):
                why = error
                error = request.unknown(f"{self.server.address}: the link broke, and now: {why.message}")
                error.__cause__ = why
            error.request_id = request.request_id
        if isinstance(error, OutcomeUnknown):
            error.untouched = request.sent == 1 and UNJUDGED in error.message
            # The server can't judge IDs by these any more.
            self._positions.clear()
        request.reject(error)

    # --- what a link stands for

    def listen(self, feed: Feed, timeout: float) -> asyncio.Future[Any]:
        """Adds a subscription, on this link and on all that follow."""
        if self._over is not None:
            raise errors.anew(self._over)
        self._feeds.append(feed)
        if isinstance(feed, Changes):
            feed.ask_again = lambda: self._begin(feed)
        begun: asyncio.Future[Any] = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._give_up, begun)
        begun.add_done_callback(lambda _: timer.cancel())
        # Perhaps nobody waits for it.
        begun.add_done_callback(lambda begun: begun.cancelled() or begun.exception())
        feed.begun = begun
        if self._live:
            self._begin(feed)
        return begun

    def _give_up(self, begun: asyncio.Future[Any]) -> None:
        if not begun.done():
            late = Timeout(f"{self.server.address}: no answer in time") if self._live else self._no_link()
            begun.set_exception(late)

    def unlisten(self, feed: Feed) -> None:
        """Takes a subscription back; nothing more comes."""
        feed.end(None)
        if not feed.begun.done():
            feed.begun.set_exception(Closed(f"the watch of {feed.channel} was closed"))
        if feed not in self._feeds:
            return
        self._feeds.remove(feed)
        if self._live and all(other.channel.key != feed.channel.key for other in self._feeds):
            self._push(frames.unsubscribe(*feed.channel.key))

    def _restore(self) -> None:
        items = [self._subscribing(feed) for feed in self._feeds] + self.owned.again()
        for request in reversed(items):
            self._push(request, head=True)

    def _begin(self, feed: Feed) -> None:
        if self._live:
            self._push(self._subscribing(feed))

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Does it after this time."""
        self._loop.call_later(seconds, do)

    def push_internal(self, request: Request) -> None:
        """Sends a request of this link's own, unless the link is gone."""
        if self._live:
            self._push(request)

    def internal(self, kind: str, word: str, body: str, first: Callable[[Any], None]) -> Request:
        """A request of this link's own, which the next link doesn't send again."""
        request = Request(kind, word, body, Policy.INTERNAL, self._loop.create_future())
        request.first = first
        return request

    def _subscribing(self, feed: Feed) -> Request:
        word, regex = feed.channel.key
        body = feed.body() if isinstance(feed, Changes) else frames.dumps({"regex": regex})
        return self.internal("SUBSCRIBE", word, body, lambda answer: self._begun(feed, answer))

    def _begun(self, feed: Feed, answer: Any) -> None:
        if feed not in self._feeds:
            return
        if isinstance(answer, Error):
            self._feeds.remove(feed)
            if not feed.begun.done():
                feed.begun.set_exception(answer)
                feed.end(None)
            else:
                feed.end(answer)
            return
        # A SUBSCRIBE that is answered is of this server's messages only; this one reaches further.
        if any(isinstance(other, Messages) and other.channel.key == feed.channel.key for other in self._feeds):
            self._control.append(frames.subscribe(*feed.channel.key))
            self._ready.set()
        if isinstance(feed, Changes) and feed.began(answer):
            self._push(self._reading(feed, feed.channel.key[1]))
        if not feed.begun.done():
            feed.begun.set_result(None)

    def _reading(self, feed: Changes, internal: bool) -> Request:
        """Reads the state of a watch. The regexes of a GET are of other rules, so that of a regex is picked out of
        the whole, whose internal form has the roots' versions."""
        number, body = feed.reads, '{"internal":true}' if internal else "{}"
        return self.internal(
            "GET", wire(feed.channel.path), body, lambda answer: self._read(feed, number, internal, answer)
        )

    def _read(self, feed: Changes, number: int, internal: bool, answer: Any) -> None:
        if feed not in self._feeds:
            return
        if internal and isinstance(answer, TooLarge):
            # Without the versions it's a good deal shorter. Some of what comes meanwhile may be in it, and is told.
            self._push(self._reading(feed, False))
        elif isinstance(answer, NotFound):
            feed.read(number, None, {})
        elif isinstance(answer, Error):
            feed.end(answer)
            self.unlisten(feed)
        elif internal:
            roots = answer["value"]
            versions = {root: node["_version"] for root, node in roots.items() if not node["_ephemeral"]}
            feed.read(number, feeds.plain(roots), versions)
        else:
            root, version = next(iter(feed.channel.path), None), answer.get("version")
            feed.read(number, answer.get("value"), {} if root is None or version is None else {root: version})
