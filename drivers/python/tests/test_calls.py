"""Functions that are served and called."""

import asyncio
import logging
import time
from typing import Any, List

import pytest
import tega
from harness import Proxy, Server, until
from tega import path


async def test_pipelined(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url) as owner:
        go = asyncio.Event()

        @owner.rpc("pipe.wait")
        async def wait(value: str) -> str:
            await go.wait()
            return value

        await owner.ready()
        await db.put("pipe.n", 7)
        call = asyncio.ensure_future(db.call("pipe.wait", "slow"))
        assert await db.get("pipe.n") == 7
        assert not call.done()
        go.set()
        assert await call == "slow"


async def test_own_answers(shared: Server) -> None:
    clients = await asyncio.gather(*(tega.aio.connect(shared.url) for _ in range(50)))
    async with tega.aio.connect(shared.url) as owner:

        @owner.rpc("own.echo")
        async def echo(value: Any) -> Any:
            await asyncio.sleep(0)
            return value

        await owner.ready()
        calls = [db.call("own.echo", [at, n]) for at, db in enumerate(clients) for n in range(20)]
        assert await asyncio.gather(*calls) == [[at, n] for at in range(50) for n in range(20)]
    await asyncio.gather(*(db.close() for db in clients))


async def test_rpc(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url, id="owner") as owner:

        @owner.rpc(path.rpc["odd name (x)"])
        def plain(a: int, b: int = 2, *rest: Any, c: int = 3, **more: Any) -> Any:
            return [a, b, list(rest), c, more, tega.caller.get()]

        async def back(value: Any = None, timeout: int = 0) -> Any:
            return value if not timeout else timeout

        await owner.ready()
        await owner.serve("rpc.back", back)
        assert await db.get("rpc.back") == "%owner.back"
        at = path.rpc["odd name (x)"]
        assert await db.call(at, 1) == [1, 2, [], 3, {}, db.id]
        assert await db.call(at, 1, 5, 6, c=7, path="kept") == [1, 5, [6], 7, {"path": "kept"}, db.id]
        refusal = {"error": {"code": "not_found", "message": "m"}}
        for value in (None, False, 0, "", [], {}, "ä\n", refusal, {"result": 1}, {"result": 1, "x": 2}, [[1]]):
            assert await db.call("rpc.back", value) == value
        assert await db.function("rpc.back", timeout=5)(timeout=9) == 9
        assert await owner.call("rpc.back", "myself") == "myself"


async def test_rpc_again(server: Server) -> None:
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as db:
        async with tega.aio.connect(proxy.url) as owner:

            @owner.rpc("again.f")
            async def f() -> str:
                return "here"

            await owner.ready()
            for happens in (proxy.cut, lambda: server.kill().start()):
                assert await db.call("again.f") == "here"
                happens()
                # The first write of the new link is done behind the leaf.
                await owner.put("again.behind", True)

                async def call() -> Any:
                    try:
                        return await db.call("again.f")
                    except (tega.NotFound, tega.NoOwner, tega.OutcomeUnknown):
                        return None

                await until(call, "here")


async def test_rpc_absent(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        async with tega.aio.connect(shared.url) as owner:
            await owner.serve("absent.stays", lambda: 1, ephemeral=False)
            await owner.serve("absent.goes", lambda: 1)
            assert await db.call("absent.stays") == await db.call("absent.goes") == 1
        with pytest.raises(tega.NoOwner, match="nothing happened") as told:
            await db.call("absent.stays")
        assert told.value.path == path.absent.stays and isinstance(told.value, tega.NothingHappened)
        await db.put("absent.word", "no function")
        for at in ("absent.goes", "absent.never", "absent.word", "absent"):
            with pytest.raises(tega.NotFound):
                await db.call(at)


async def test_rpc_error(shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tega")
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url) as owner:

        @owner.rpc("error.f")
        def f(how: str) -> Any:
            if how == "raise":
                raise ValueError("no such interface: wan9")
            if how == "told":
                raise tega.RpcFailed("the cable is out")
            return {"set": {1, 2}, "nan": float("nan"), "large": "x" * 2_000_000}[how] if how != "fine" else how

        await owner.ready()
        for how, text in [
            ("raise", "ValueError: no such interface: wan9"),
            ("told", "the cable is out"),
            ("set", "BadRequest: a value that is no JSON: Object of type set is not JSON serializable"),
            ("nan", "no JSON"),
            ("large", "TooLarge: a result has at most"),
        ]:
            with pytest.raises(tega.RpcFailed) as error:
                await db.call("error.f", how)
            assert text in str(error.value) and error.value.path == path.error.f
            assert "test_calls.py" not in str(error.value)
        assert "test_calls.py" in caplog.text, "our own log tells where it was"
        with pytest.raises(tega.RpcFailed, match="TypeError.*how"):
            await db.call("error.f")
        assert await db.call("error.f", "fine") == "fine"


async def test_rpc_timeout(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url) as owner:
        go, ran = asyncio.Event(), 0

        @owner.rpc("late.f")
        async def f(value: int) -> int:
            nonlocal ran
            ran += 1
            if value == 1:
                await go.wait()
            return value

        await owner.ready()
        begun = time.monotonic()
        with pytest.raises(tega.Timeout):
            await db.call("late.f", 1, timeout=0.1)
        assert time.monotonic() - begun < 2
        assert len(db._link._wire) == 1, "the server has it still"
        go.set()
        assert await db.call("late.f", 2) == 2
        await until(lambda: asyncio.sleep(0, len(db._link._wire)), 0)
        assert ran == 2


async def test_rpc_owner_lost(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as db:
        async with tega.aio.connect(proxy.url) as owner:
            ran: List[int] = []
            go = asyncio.Event()

            @owner.rpc("lost.f")
            async def f(n: int) -> int:
                ran.append(n)
                await go.wait()
                return n

            await owner.ready()
            call = asyncio.ensure_future(db.call("lost.f", 1))
            await until(lambda: asyncio.sleep(0, len(ran)), 1)
            proxy.cut()
            with pytest.raises(tega.OutcomeUnknown):
                await call
            await owner.get("lost", None)
            # Its answer has no link to go back on; the next call gets its own.
            go.set()

            async def again() -> Any:
                try:
                    return await db.call("lost.f", 2)
                except (tega.NotFound, tega.NoOwner):
                    return None

            await until(again, 2)
            assert ran == [1, 2]


async def test_a_late_answer_isnt_taken_for_that_of_a_call_on_the_next_link(server: Server) -> None:
    """A server that starts again numbers its calls from 1 again."""
    async with tega.aio.connect(server.url) as db, tega.aio.connect(server.url) as owner:
        ran: List[int] = []
        go = [asyncio.Event(), asyncio.Event()]

        @owner.rpc("number.f")
        async def f(n: int) -> int:
            ran.append(n)
            await go[n].wait()
            return n

        await owner.ready()
        first = asyncio.ensure_future(db.call("number.f", 0))
        await until(lambda: asyncio.sleep(0, ran), [0])
        server.kill().start()
        with pytest.raises(tega.OutcomeUnknown):
            await first
        await until(lambda: db.get("number.f", None), f"%{owner.id}.f")
        second = asyncio.ensure_future(db.call("number.f", 1))
        await until(lambda: asyncio.sleep(0, ran), [0, 1])
        go[0].set()
        await asyncio.sleep(0.1)
        assert not second.done()
        go[1].set()
        assert await second == 1


async def test_rpc_caller_lost(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as owner:
        async with tega.aio.connect(proxy.url) as db:
            ran: List[int] = []
            go = asyncio.Event()

            @owner.rpc("caller.f")
            async def f() -> None:
                ran.append(1)
                await go.wait()

            await owner.ready()
            call = asyncio.ensure_future(db.call("caller.f"))
            await until(lambda: asyncio.sleep(0, len(ran)), 1)
            proxy.cut()
            with pytest.raises(tega.OutcomeUnknown, match="may or may not") as told:
                await call
            assert told.value.request_id is None
            go.set()
            await db.get("caller", None)
            assert ran == [1]


async def test_rpc_bounded(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        async with tega.aio.connect(shared.url, serve_at_once=3, serve_waiting=4) as owner:
            running = most = 0
            go = asyncio.Event()

            @owner.rpc("bound.f")
            async def f(n: int) -> int:
                nonlocal running, most
                running += 1
                most = max(most, running)
                await go.wait()
                running -= 1
                return n

            await owner.ready()
            calls = [asyncio.ensure_future(db.call("bound.f", n)) for n in range(20)]
            await until(lambda: asyncio.sleep(0, sum(call.done() for call in calls)), 13)
            assert not any(call.done() for call in calls[:7])
            for call in calls[7:]:
                with pytest.raises(tega.RpcFailed, match="busy: 3 calls run and 4 wait.*wasn't called"):
                    await call
            go.set()
            assert await asyncio.gather(*calls[:7]) == list(range(7))
            assert most == 3


async def test_calls_of_a_function_in_threads_run_beside_each_other(shared: Server) -> None:
    async with tega.aio.connect(shared.url, serve_at_once=8) as db:
        await db.serve("threads.f", lambda: time.sleep(0.2))
        begun = time.monotonic()
        await asyncio.gather(*(db.call("threads.f") for _ in range(8)))
        assert time.monotonic() - begun < 1.2


async def test_a_function_that_cant_be_registered_is_told_of(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        db.rpc("_reserved.f")(lambda: 1)
        with pytest.raises(tega.BadRequest):
            await db.ready()
        await db.ready()
        serving = asyncio.ensure_future(db.serve_forever())
        await asyncio.sleep(0.05)
        assert not serving.done()
        await db.close()
        await serving
