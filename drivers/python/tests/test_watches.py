"""Changes and messages: each once, in order, over breaks, and what becomes of a reader that doesn't read."""

import asyncio
import gc
import json
import logging
from typing import Any, Dict, List

import pytest
import tega
from harness import PATIENCE, Proxy, Server, collect, told, until
from tega import path, rest


async def test_watch(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url, id="alice") as alice:
        await alice.put("w", {"a": {"b": 1}, "z": 0})
        async with db.watch("w.a") as changes:
            await alice.put("w.a.b", 2)
            await alice.put("w.a", {"c": {"d": 3}})
            await alice.put("w.z", "not watched")
            await alice.put("w", {"a": {"e": 4}})
            async with alice.transaction() as tx:
                tx.put("w.a.f", 5)
                tx.delete("w.a.e")
                tx.put("elsewhere.x", 1)
            await alice.rollback("w", -1)
            await alice.delete("w")
            got = await collect(changes, 7)
            assert told(got) == [
                ("put", "w.a.b", 2),
                ("put", "w.a", {"c": {"d": 3}}),
                ("put", "w.a", {"e": 4}),
                ("put", "w.a.f", 5),
                ("delete", "w.a.e", 4),
                ("rollback", "w.a", {"e": 4}),
                ("delete", "w.a", {"e": 4}),
            ]
            assert [change.version for change in got] == [1, 2, 4, 5, 5, 6, 7]
            assert {change.by for change in got} == {"alice"} and got[5].back_to == 4
            with pytest.raises(tega.Timeout):
                await changes.next(0.05)
            await alice.put("w.a", 1, ephemeral=True)
            ephemeral = await changes.next(PATIENCE)
            assert (ephemeral.ephemeral, ephemeral.version, ephemeral.value) == (True, None, 1)


async def test_watch_own_changes(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as other:
        async with tega.aio.connect(proxy.url) as db, db.watch("own") as changes:
            await db.put("own.a", 1)
            await other.put("own.a", 2)
            await db.put("own.a", 3)
            proxy.cut()
            await db.put("own.a", 4)
            await other.put("own.a", 5)
            assert [change.value for change in await collect(changes, 2)] == [2, 5]


async def test_watch_resume(server: Server) -> None:
    server.kill()
    server.args = ["--history", "300"]
    server.start()
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as writer:
        async with tega.aio.connect(proxy.url) as db:
            watches = [await db.watch(*what).begun() for what in (("resume.a",), ("resume",), ("/",))]
            watches.append(await db.watch(r"resume\.(a|q)", regex=True).begun())

            async def cut() -> None:
                while True:
                    await asyncio.sleep(0.02)
                    proxy.cut()

            cutting = asyncio.ensure_future(cut())
            for n in range(200):
                await writer.put("resume.a", n)
                # What doesn't concern the first one counts as well.
                if n % 10 == 0:
                    await writer.put("resume.other", n)
                    await asyncio.sleep(0.01)
            cutting.cancel()
            links = proxy.count
            for watch in watches:
                got = [change async for change in _until(watch, 199)]
                assert {change.kind for change in got} == {"put"}
                assert [change.value for change in got if change.path == path.resume.a] == list(range(200))
            assert links > 3, "nothing was cut"


async def _until(watch: Any, value: Any) -> Any:
    while True:
        change = await watch.next(PATIENCE)
        yield change
        if change.value == value:
            return


async def test_watch_gone(server: Server) -> None:
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as writer:
        async with tega.aio.connect(proxy.url) as db, db.watch("gone.a") as one, db.watch("gone") as all_:
            async with db.watch("g..e.a", regex=True) as matching:
                await writer.put("gone.a", 0)
                for watch in (one, all_, matching):
                    assert told(await collect(watch, 1)) == [("put", "gone.a", 0)]
                await proxy.shut()
                # The server keeps 10.
                for n in range(1, 20):
                    await writer.put("gone.a", n)
                await proxy.open()
                assert told(await collect(one, 1)) == [("state", "gone.a", 19)]
                assert told(await collect(all_, 1)) == [("state", "gone", {"a": 19})]
                assert told(await collect(matching, 1)) == [("state", "/", {path.gone.a: 19})]
                await writer.put("gone.a", 20)
                for watch in (one, all_, matching):
                    assert told(await collect(watch, 1)) == [("put", "gone.a", 20)]
                await proxy.shut()
                await writer.delete("gone")
                for n in range(20):
                    await writer.put("other.n", n)
                await proxy.open()
                assert told(await collect(one, 1)) == [("delete", "gone.a", 20)]


async def test_a_state_too_large_for_the_answer_is_read(server: Server) -> None:
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as writer:
        async with tega.aio.connect(proxy.url) as db:
            large: Dict[str, Any] = {f"k{n}": n for n in range(5_000)}
            await writer.put("big.a", large)
            async with db.watch("big", state=True) as changes:
                assert told(await collect(changes, 1)) == [("state", "big", {"a": large})]
                await proxy.shut()
                for n in range(20):
                    await writer.put("big.n", n)
                writing = asyncio.ensure_future(_write(writer, "big.n", range(20, 500)))
                await proxy.open()
                await writing
                state = await changes.next(PATIENCE)
                assert state.kind == "state" and state.value["a"] == large
                values = [state.value["n"], *[change.value async for change in _until(changes, 499)]]
                assert values == list(range(values[0], 500)), "nothing lost and nothing told twice"


async def _write(db: tega.aio.Database, at: str, values: Any) -> None:
    for value in values:
        await db.put(at, value)


async def test_watch_restart(server: Server) -> None:
    async with tega.aio.connect(server.url) as db, tega.aio.connect(server.url) as writer:
        async with db.watch("again") as changes:
            for n in range(15):
                await writer.put("again.n", n)
                if n % 5 == 3:
                    server.kill().start()
            assert [change.value for change in await collect(changes, 15)] == list(range(15))
            with pytest.raises(tega.Timeout):
                await changes.next(0.05)


async def test_watch_from_the_state(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as writer:
        async with tega.aio.connect(proxy.url) as db:
            await writer.put("st.a", 1)
            async with db.watch("st", state=True) as changes, db.watch("st.none", state=True) as none:
                assert told(await collect(changes, 1)) == [("state", "st", {"a": 1})]
                assert told(await collect(none, 1)) == [("state", "st.none", None)]
                await writer.put("st.a", 2)
                assert told(await collect(changes, 1)) == [("put", "st.a", 2)]
                await proxy.shut()
                await writer.put("st.a", 3)
                # In no history.
                await writer.put("st.e", 4, ephemeral=True)
                await proxy.open()
                assert told(await collect(changes, 2)) == [("put", "st.a", 3), ("state", "st", {"a": 3, "e": 4})]


async def test_the_state_of_the_top_and_of_a_regex_has_none_of_the_changes_that_follow(server: Server) -> None:
    async with tega.aio.connect(server.url) as db, tega.aio.connect(server.url) as writer:
        # Large, so that much is changed while it's read.
        await asyncio.gather(*(writer.put(f"bulk{n}.a", {f"k{m}": m for m in range(3_000)}) for n in range(20)))
        await asyncio.gather(writer.put("one.n", 0), writer.put("two.n", 0))
        over = False

        async def write(root: str) -> int:
            n = 0
            while not over:
                n += 1
                await writer.put(f"{root}.n", n)
            return n

        writing = [asyncio.ensure_future(write(root)) for root in ("one", "two")]
        seen: List[Any] = []
        for _ in range(5):
            for what, regex in (("/", False), (r"(one|two)\.n", True)):
                async with db.watch(what, regex=regex, state=True, queue=100_000) as changes:
                    state = (await changes.next(PATIENCE)).value
                    at = [state[path[root].n] if regex else state[root]["n"] for root in ("one", "two")]
                    await asyncio.sleep(0.02)
                    seen.append((at, [await changes.next(PATIENCE) for _ in range(max(50, changes.queued))]))
        over = True
        assert min(await asyncio.gather(*writing)) > 50
        for at, changes in seen:
            for begins, root in zip(at, ("one", "two")):
                values = [change.value for change in changes if change.path == path[root].n]
                assert values == list(range(begins + 1, begins + 1 + len(values))), (begins, values[:3])


async def test_a_state_whose_versions_dont_fit_into_an_answer_is_read_without_them(server: Server) -> None:
    async with tega.aio.connect(server.url) as db, tega.aio.connect(server.url) as writer:
        long = "k" * 200
        for n in range(30):
            await writer.put(path[f"bulk{n}"].a, {f"{long}{m}": m for m in range(5_000)})
        with pytest.raises(tega.TooLarge):
            await db.get("/", internal=True)
        at = path.bulk7.a[f"{long}4999"]
        async with db.watch("bulk7.a.k*4999", regex=True, state=True) as changes:
            assert (await changes.next(PATIENCE)).value == {at: 4999}
            await writer.put(at, 1)
            assert told(await collect(changes, 1)) == [("put", str(at), 1)]


async def test_a_deletion_isnt_told_again_where_the_root_is_ephemeral_now(server: Server) -> None:
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as writer:
        async with tega.aio.connect(proxy.url) as db, db.watch("went") as changes:
            await writer.put("went.a", 1)
            await writer.delete("went")
            await writer.put("went.e", 2, ephemeral=True)
            assert len(await collect(changes, 3)) == 3
            for n in range(3):
                links = proxy.count
                proxy.cut()
                await until(lambda: asyncio.sleep(0, proxy.count > links))
                await db.get("went.e")
            await writer.put("went.a", 3)
            assert told(await collect(changes, 1)) == [("put", "went.a", 3)]


async def test_watch_overlapping(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url) as writer:
        await writer.put("lap", {"x": 0})
        async with db.watch("lap") as lap, db.watch("lap.b") as below, db.watch("/") as top:
            async with db.watch(r"lap\.b\.c", regex=True) as regex, db.watch("lap.b") as twin:
                await writer.put("lap.b", {"c": 1, "d": 2})
                async with writer.transaction() as tx:
                    tx.put("lap.b.d", 9)
                    tx.put("lap.b.c", 3)
                    tx.put("lap.b.c", 1)
                await writer.rollback("lap", -1)
                await writer.delete("lap.b")
                await writer.put("lap.end", 0)
                a = [("put", "lap.b", {"c": 1, "d": 2}), ("put", "lap.b.d", 9)]
                a += [("put", "lap.b.c", 3), ("put", "lap.b.c", 1)]
                b = [("delete", "lap.b", {"c": 1, "d": 2}), ("put", "lap.end", 0)]
                whole = [*a, ("rollback", "lap", {"b": {"c": 1, "d": 2}, "x": 0}), *b]
                assert told(await collect(lap, 7)) == whole
                assert told(await collect(top, 7)) == whole
                for watch in (below, twin):
                    assert told(await collect(watch, 6)) == [
                        *a,
                        ("rollback", "lap.b", {"c": 1, "d": 2}),
                        b[0],
                    ]
                # Below a root a regex is told what the rollback changed, which is nothing here.
                assert told(await collect(regex, 4)) == [
                    ("put", "lap.b.c", 1),
                    ("put", "lap.b.c", 3),
                    ("put", "lap.b.c", 1),
                    ("delete", "lap.b.c", 1),
                ]
            # What another listens to as well goes on after one ended.
            await writer.put("lap.b", 5)
            assert told(await collect(below, 1)) == [("put", "lap.b", 5)]


async def test_watch_slow_consumer(server: Server) -> None:
    async with tega.aio.connect(server.url) as db, tega.aio.connect(server.url) as writer:
        async with db.watch("slow", queue=50) as changes, db.watch("slow", queue=10_000) as quick:
            await asyncio.gather(*(writer.put("slow.n", n) for n in range(5_000)))
            assert (await _last(quick, 4_999))[0] == list(range(5_000)), "the other one is none the worse"
            assert changes.queued <= 50
            values, kinds = await _last(changes, 4_999)
            assert values[:50] == list(range(50))
            assert kinds[50:] == ["state"] and values[-1] == 4_999
            # And where the history has it, what is missed.
            await asyncio.gather(*(writer.put("slow.n", n) for n in range(5_000, 5_055)))
            await until(lambda: asyncio.sleep(0, changes.queued), 50)
            values, kinds = await _last(changes, 5_054)
            assert values == list(range(5_000, 5_055)) and set(kinds) == {"put"}


async def _last(watch: Any, value: int) -> Any:
    values: List[Any] = []
    kinds: List[str] = []
    while not values or values[-1] != value:
        change = await watch.next(PATIENCE)
        kinds.append(change.kind)
        values.append(change.value["n"] if change.kind == "state" else change.value)
    return values, kinds


async def test_lagging(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tega")
    proxy = Proxy(server.port)
    proxy.small = True
    async with proxy, tega.aio.connect(server.url) as writer:
        async with tega.aio.connect(proxy.url, id="slow", keepalive=60) as db, db.watch("lag") as changes:
            await writer.put("lag.n", -1)
            assert (await changes.next(PATIENCE)).value == -1
            proxy.to_client.clear()
            for n in range(200):
                await writer.put("lag.n", {"n": n, "pad": "x" * 60_000})

            async def there() -> bool:
                loop = asyncio.get_running_loop()
                sessions = await loop.run_in_executor(None, rest.get, writer._link.server, "sessions", 5)
                return any(session["tega_id"] == "slow" for session in sessions)

            await until(there, False)
            proxy.to_client.set()
            last = 0
            while last != 199:
                change = await changes.next(PATIENCE)
                value = change.value["n"] if change.kind == "state" else change.value
                assert value["n"] >= last
                last = value["n"]
            assert "4008 lagging" in caplog.text, caplog.text
            await writer.put("lag.n", "after")
            assert (await changes.next(PATIENCE)).value == "after"


async def test_publish(shared: Server) -> None:
    async with tega.aio.connect(shared.url, id="teller") as teller, tega.aio.connect(shared.url) as other:
        async with (
            other.subscribe("news.a") as one,
            other.subscribe("news.*", regex=True) as all_,
            other.watch("news.a"),
        ):
            async with teller.subscribe("news.a") as own:
                for value in ({"a": [1]}, None, {"message": 1}):
                    await teller.publish("news.a", value)
                await teller.publish(path.news["b c"], "b")
                await other.publish("news.a", "back")
                assert [message.value for message in await collect(one, 3)] == [{"a": [1]}, None, {"message": 1}]
                heard = await collect(all_, 4)
                assert heard[3] == tega.Message(path.news["b c"], "b", "teller")
                assert (await own.next(PATIENCE)).value == "back"
                for watch in (one, all_, own):
                    with pytest.raises(tega.Timeout):
                        await watch.next(0.02)


async def test_publish_over_a_break(shared: Server) -> None:
    async with Proxy(shared.port) as proxy, tega.aio.connect(shared.url) as teller:
        async with tega.aio.connect(proxy.url) as db, db.subscribe("alarm") as alarms:
            await teller.publish("alarm", 1)
            assert (await alarms.next(PATIENCE)).value == 1
            await proxy.shut()
            await teller.publish("alarm", "nobody hears it")
            await proxy.open()
            # The subscription goes before it on the new link.
            await db.get("alarm", None)
            await teller.publish("alarm", 2)
            assert (await alarms.next(PATIENCE)).value == 2
            # A message that was sent and whose link broke isn't sent again.
            proxy.to_client.clear()
            telling = asyncio.ensure_future(db.publish("alarm2", 3))
            await asyncio.sleep(0.1)
            proxy.cut()
            proxy.to_client.set()
            with pytest.raises(tega.OutcomeUnknown) as error:
                await telling
            assert error.value.request_id is None


async def test_messages_slow_consumer(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as teller, tega.aio.connect(shared.url) as db:
        async with db.subscribe("flood", queue=10) as flood, db.subscribe("flood.end") as end:
            await asyncio.gather(*(teller.publish("flood", n) for n in range(35)))
            await teller.publish("flood.end", 0)
            await end.next(PATIENCE)
            assert [message.value for message in await collect(flood, 10)] == list(range(10))
            with pytest.raises(tega.Lagging, match="25 messages on flood were lost") as error:
                await flood.next(PATIENCE)
            assert error.value.lost == 25
            await teller.publish("flood", "next")
            assert (await flood.next(PATIENCE)).value == "next"


async def test_ephemeral(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as other:
        await other.put("eph.stays", 1)
        before = await other.node("eph")
        async with other.watch("eph") as changes:
            async with tega.aio.connect(shared.url) as db:
                receipt = await db.put("eph.e", {"x": 1}, ephemeral=True)
                assert receipt.versions == {} and receipt.version is None
                assert (await other.node("eph.e")).ephemeral
                assert (await other.node("eph")).version == before.version
                async with db.transaction() as tx:
                    tx.put("eph.t", 2, ephemeral=True)
            assert told(await collect(changes, 2)) == [("put", "eph.e", {"x": 1}), ("put", "eph.t", 2)]
            assert {change.kind for change in await collect(changes, 2)} == {"delete"}
            assert await other.get("eph") == {"stays": 1}


async def test_ephemeral_again(server: Server) -> None:
    async with Proxy(server.port) as proxy, tega.aio.connect(server.url) as other:
        async with tega.aio.connect(proxy.url) as db:
            for n in range(20):
                await db.put(f"eph.n{n}", n, ephemeral=True)
            await db.delete("eph.n0")
            async with db.transaction() as tx:
                tx.put("eph.t", "t", ephemeral=True)
                tx.delete("eph.n1")
            await db.put("eph.n2", "stays")
            wanted = {**{f"n{n}": n for n in range(3, 20)}, "t": "t", "n2": "stays"}
            for happens in (proxy.cut, lambda: server.kill().start()):
                happens()
                await db.get("eph")  # On the new link.
                await until(lambda: other.get("eph", None), wanted)
            await db.delete("eph")
            assert db._link.owned.nodes == {}


async def test_a_client_has_so_many_ephemeral_nodes(server: Server) -> None:
    async with tega.aio.connect(server.url) as db:
        await asyncio.gather(*(db.put(f"many.n{n}", n, ephemeral=True) for n in range(1_000)))
        with pytest.raises(tega.TooMany, match="1000 ephemeral"):
            await db.put("many.more", 1, ephemeral=True)
        with pytest.raises(tega.TooMany, match="1000 ephemeral"):
            async with db.transaction() as tx:
                tx.put("many.more", 1, ephemeral=True)
        await db.put("many.n7", "again", ephemeral=True)
        server.kill().start()
        # A read doesn't wait for the writes before it, but a write is done behind them.
        await db.put("behind.n", 1)
        assert len(await db.get("many")) == 1_000


async def test_a_watch_that_nobody_has_ends(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url) as other:

        async def first() -> Any:
            async for change in db.watch("drop"):
                return change.value

        reading = asyncio.ensure_future(first())
        await asyncio.sleep(0.05)
        await other.put("drop.n", 1)
        assert await reading == 1
        gc.collect()
        await until(lambda: asyncio.sleep(0, len(db._link._feeds)), 0)
        channels = rest.get(db._link.server, "channels", 5)
        assert "drop" not in channels, json.dumps(channels)
