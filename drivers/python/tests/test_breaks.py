"""What becomes of requests whose link breaks."""

import asyncio
import logging
import random
import socket
import time
from typing import Any

import pytest
import tega
from harness import PATIENCE, Proxy, Server, until
from tega import path


async def test_no_server() -> None:
    begun = time.monotonic()
    with pytest.raises(tega.NoLink, match=r"http://127\.0\.0\.1:1 can't be reached: .*nothing happened"):
        await tega.aio.connect("http://127.0.0.1:1")
    with pytest.raises(tega.NoLink, match="unix:/nowhere/s can't be reached: No such file"):
        tega.connect("unix:/nowhere/s")
    assert time.monotonic() - begun < 5
    # One that takes the connection and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(tega.NoLink, match="no answer in 0.2 s"):
            await tega.aio.connect(f"127.0.0.1:{silent.getsockname()[1]}", connect_timeout=0.2)


async def test_reconnect(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url, id="steady") as db:
            for n in range(5):
                await db.put("reconnect.n", n)
                proxy.cut()
                assert await db.get("reconnect.n") == n
            assert proxy.count > 1
            await db.put("reconnect.e", 1, ephemeral=True)
            assert (await db.get("reconnect.e", internal=True))["_owner"] == "steady" == db.id


async def test_no_link(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url) as db:
            await proxy.shut()
            with pytest.raises(tega.NoLink, match="nothing happened"):
                await db.put("nolink.a", 1, timeout=0.3)
            with pytest.raises(tega.NoLink):
                await db.watch("nolink", timeout=0.1).begun()
            await proxy.open()
            await db.put("nolink.b", 2)
            assert await direct.get("nolink") == {"b": 2}


async def test_read_over_a_break(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url) as db:
            await db.put("read.a", 1)
            proxy.to_client.clear()
            reads = [asyncio.ensure_future(db.get("read.a")) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert not any(read.done() for read in reads)
            proxy.cut()
            proxy.to_client.set()
            assert await asyncio.gather(*reads) == [1, 1, 1]


async def test_write_over_a_break(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url) as db:
            for known in (False, True):
                # On the second round a receipt came by this link, and the ID says so.
                at = f"over-{known}"
                before = await (db if known else direct).put(f"{at}.n", 0)
                proxy.to_client.clear()
                write = asyncio.ensure_future(db.put(f"{at}.n", 1))
                await until(lambda: direct.get(f"{at}.n"), 1)
                # Somebody else goes on meanwhile: what is sent again mustn't undo it.
                await direct.put(f"{at}.n", 2)
                proxy.cut()
                proxy.to_client.set()
                receipt = await write
                assert receipt.version == (before.version or 0) + 1
                assert await direct.get(f"{at}.n") == 2
                assert (await direct.history(at))[-1].version == (before.version or 0) + 2


async def test_pipelined_writes_keep_their_order_over_breaks(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url) as db:

            async def cut() -> None:
                for _ in range(8):
                    await asyncio.sleep(0.02)
                    proxy.cut()

            cutting = asyncio.ensure_future(cut())
            receipts = await asyncio.gather(*(db.put("order.n", n) for n in range(400)))
            await cutting
            versions = [receipt.version for receipt in receipts]
            assert versions == list(range(400)), "each happened once, in order"
            assert await direct.get("order.n") == 399


async def _lose(db: tega.aio.Database, direct: tega.aio.Database, proxy: Proxy, at: str) -> tega.OutcomeUnknown:
    """A put whose answer is lost, and whose link doesn't come back in time."""
    proxy.to_client.clear()
    write = asyncio.ensure_future(db.put(at, 1, timeout=1))
    await until(lambda: direct.get(at), 1)
    await proxy.shut()
    with pytest.raises(tega.OutcomeUnknown, match="retry with the same request ID") as told:
        await write
    proxy.to_client.set()
    await proxy.open()
    return told.value


async def test_outcome_unknown(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url) as db:
            await direct.put("unknown.n", 0)
            error = await _lose(db, direct, proxy, "unknown.n")
            assert error.request_id and len(error.request_id) <= 64


async def test_safe_retry(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url) as db:
            before = await direct.put("retry.n", 0)
            error = await _lose(db, direct, proxy, "retry.n")
            again = await db.put("retry.n", 1, request_id=error.request_id)
            assert again.version == (before.version or 0) + 1
            with pytest.raises(tega.BadRequest, match="used before"):
                await db.put("retry.n", 2, request_id=error.request_id)
            assert len(await direct.history("retry")) == 2


async def test_an_attempt_that_didnt_happen_says_nothing_of_those_before(shared: Server) -> None:
    """The answer to what is sent again is Forbidden: whether the first one happened is unknown."""
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url) as db:
            await direct.put("attempt.n", 0)
            proxy.to_client.clear()
            write = asyncio.ensure_future(db.put("attempt.n", 1))
            await until(lambda: direct.get("attempt.n"), 1)
            await until(lambda: asyncio.sleep(0, len(db._link._wire)), 1)
            (request,) = db._link._wire.values()
            request.word = "_reserved.n"
            proxy.cut()
            proxy.to_client.set()
            # That is final, being about the content.
            with pytest.raises(tega.BadRequest):
                await write
            proxy.to_client.clear()
            write = asyncio.ensure_future(db.put("attempt.n", 2))
            await until(lambda: direct.get("attempt.n"), 2)
            (request,) = db._link._wire.values()
            # Nobody is there to be called: nothing happened, this time.
            await direct.put("attempt.f", "%nobody.f")
            request.kind, request.word, request.body = "RPC", "attempt.f", "{}"
            proxy.cut()
            proxy.to_client.set()
            with pytest.raises(tega.OutcomeUnknown, match="the link broke, and now: nobody") as told:
                await write
            assert isinstance(told.value.__cause__, tega.NoOwner) and told.value.request_id


async def test_restart_mid_transaction(server: Server) -> None:
    async with tega.aio.connect(server.url) as db:
        await db.put("mid", {"a": 1, "b": 1})
        async with db.transaction() as tx:
            a = await tx.get("mid.a")
            server.kill().start()
            tx.put("mid.a", a + 1)
            tx.put("mid.b", 2)
        assert await db.get("mid") == {"a": 2, "b": 2}
        assert [version.version for version in await db.history("mid")] == [0, 1]


async def test_restart_mid_commit(server: Server) -> None:
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as direct:
        async with tega.aio.connect(proxy.url) as db:
            await direct.put("mid", {"a": 1, "b": 1})
            proxy.to_client.clear()
            tx = db.transaction()
            tx.put("mid.a", 2)
            tx.put("mid.b", 2)
            commit = asyncio.ensure_future(tx.commit())
            await until(lambda: direct.get("mid"), {"a": 2, "b": 2})
            server.kill().start()
            proxy.cut()
            proxy.to_client.set()
            assert (await commit).versions == {"mid": 1}
            assert await tx.commit() == await commit, "it's committed already"
            assert [version.version for version in await db.history("mid")] == [0, 1]


async def test_a_transaction_whose_outcome_is_unknown_is_committed_once(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        async with tega.aio.connect(proxy.url, timeout=0.5) as db:
            await direct.put("sure.n", 0)

            async def add() -> None:
                async for tx in db.retrying():
                    async with tx:
                        tx.put("sure.n", await tx.get("sure.n") + 1)
                        proxy.to_client.clear()

            adding = asyncio.ensure_future(add())
            await until(lambda: direct.get("sure.n"), 1)
            await asyncio.sleep(0.7)
            proxy.cut()
            proxy.to_client.set()
            await adding
            assert await direct.get("sure.n") == 1
            assert len(await direct.history("sure")) == 2


async def test_silent_link(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url, keepalive=0.3) as db:
            await db.put("silent.n", 1)
            assert proxy.count == 1
            proxy.to_client.clear()
            proxy.to_server.clear()
            read = asyncio.ensure_future(db.get("silent.n"))
            await until(lambda: asyncio.sleep(0, proxy.count > 1))
            proxy.to_client.set()
            proxy.to_server.set()
            assert await read == 1


async def test_cancelled(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url) as db:
            await db.put("cancel.n", 1)

            @db.rpc("cancel.f")
            async def f() -> None:
                await asyncio.sleep(PATIENCE)

            await db.ready()
            watch = await db.watch("cancel").begun()
            waits = [asyncio.ensure_future(wait) for wait in (db.call("cancel.f"), watch.next())]
            await asyncio.sleep(0.05)
            proxy.to_client.clear()
            waits.append(asyncio.ensure_future(db.get("cancel.n")))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            for wait in waits:
                wait.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError)
                for end in await asyncio.gather(*waits, return_exceptions=True)
            )
            assert time.monotonic() - begun < 1
            assert db._link._waiting == 0
            proxy.to_client.set()
            assert await db.get("cancel.n") == 1
            assert proxy.count == 1


async def test_too_large(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url) as db:
            for size in (1_300_000, 5_000_000):
                with pytest.raises(tega.TooLarge):
                    await db.put("large.n", "x" * size)
                with pytest.raises(tega.TooLarge):
                    async with db.transaction() as tx:
                        tx.put("large.n", "ä" * size)
            with pytest.raises(tega.TooLarge):
                await db.publish("large", "x" * 5_000_000)
            await db.put("large.n", "x" * 1_000_000)
            assert proxy.count == 1


async def test_too_many(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url, max_waiting=50) as db:
            await proxy.shut()
            writes = [asyncio.ensure_future(db.put("many.n", n)) for n in range(60)]
            await asyncio.sleep(0.05)
            refused = [write for write in writes if write.done()]
            assert writes[50:] == refused
            for write in refused:
                with pytest.raises(tega.TooMany, match="50 requests wait"):
                    await write
            await proxy.open()
            await asyncio.gather(*writes[:50])
            assert await db.get("many.n") == 49


async def test_more_requests_than_the_server_lets_wait_are_answered(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        most = 0

        async def look() -> None:
            nonlocal most
            while True:
                most = max(most, len(db._link._wire))
                await asyncio.sleep(0)

        looking = asyncio.ensure_future(look())
        receipts = await asyncio.gather(*(db.put("load.n", n) for n in range(3_000)))
        looking.cancel()
        assert 0 < most <= 1_000, "at 1,024 the server stops reading, pings as well"
        assert [receipt.version for receipt in receipts] == list(range(3_000))


async def test_closed(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as direct:
        db = await tega.aio.connect(proxy.url)
        watch = await db.watch("closed").begun()
        waiting = asyncio.ensure_future(_all(watch))
        await direct.put("closed.n", 0)
        proxy.to_client.clear()
        write = asyncio.ensure_future(db.put("closed.n", 1))
        read = asyncio.ensure_future(db.get("closed.n"))
        await until(lambda: direct.get("closed.n"), 1)
        await db.close()
        with pytest.raises(tega.OutcomeUnknown):
            await write
        with pytest.raises(tega.Closed):
            await read
        assert isinstance(await waiting, list)
        await db.close()
        for late in (db.get("closed.n"), db.put("closed.n", 2), db.call("closed.n"), db.publish("closed", 1)):
            with pytest.raises(tega.Closed):
                await late
        with pytest.raises(tega.Closed):
            db.watch("closed")
        proxy.to_client.set()


async def _all(watch: "tega.aio.Watch[tega.Change]") -> list:
    return [change async for change in watch]


async def test_a_client_can_be_closed_at_any_moment(shared: Server) -> None:
    async with Proxy(shared.port) as proxy:

        async def come_and_go() -> None:
            db = await tega.aio.connect(proxy.url)
            proxy.cut()
            await asyncio.sleep(random.uniform(0, 0.1))
            await asyncio.wait_for(db.close(), PATIENCE)
            with pytest.raises(tega.Closed):
                await db.get("x")

        for _ in range(20):
            ends = await asyncio.gather(*(come_and_go() for _ in range(5)), return_exceptions=True)
            # Others cut it while it connects, perhaps.
            assert all(end is None or isinstance(end, tega.NoLink) for end in ends), ends


async def test_a_client_is_closed_though_its_cancellation_was_swallowed(shared: Server) -> None:
    """As `wait_for` does it before Python 3.12 where both come at once."""
    async with Proxy(shared.port) as proxy:
        db = await tega.aio.connect(proxy.url)
        real, dialling = db._link._dial, asyncio.Event()

        async def dial() -> Any:
            dialling.set()
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                pass
            return await real()

        db._link._dial = dial  # type: ignore[method-assign]
        proxy.cut()
        await dialling.wait()
        await asyncio.wait_for(db.close(), PATIENCE / 2)


async def test_breaks_leave_nothing_behind(shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with Proxy(shared.port) as proxy:
        async with tega.aio.connect(proxy.url) as db:
            for n in range(20):
                watch = db.watch("left")
                await db.put("left.n", n)
                proxy.cut()
                watch.close()
            assert await db.get("left.n") == 19
            link = db._link
            assert (link._waiting, len(link._wire), len(link._queue), len(link._feeds)) == (0, 0, 0, 0)
    assert not caplog.records, caplog.text
    assert path.left in path
