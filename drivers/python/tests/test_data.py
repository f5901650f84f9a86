"""Reading and writing, over one good link."""

import asyncio
import json
import time
import urllib.request

import pytest
import tega
from harness import PATIENCE, Server, collect, told
from tega import path


async def test_paths(shared: Server) -> None:
    keys = ["a.b", "c d", 'e"f', "100%", "%41", "g\nh", "@x[0]", "ünï", "i/j", "[", "_lan"]
    async with tega.aio.connect(shared.url) as db:
        for n, key in enumerate(keys):
            at = path.paths[key]
            await db.put(at, n)
            for form in (at, str(at), ("paths", key)):
                assert await db.get(form) == n, key
        await db.put(tuple(["paths", "deep", *keys]), True)
        assert await db.get(path / "paths" / "deep") == {
            keys[0]: {
                keys[1]: {
                    keys[2]: {
                        keys[3]: {keys[4]: {keys[5]: {keys[6]: {keys[7]: {keys[8]: {keys[9]: {keys[10]: True}}}}}}}
                    }
                }
            }
        }
        read = await db.get("paths")
        assert {key: value for key, value in read.items() if key != "deep"} == {
            key: n for n, key in enumerate(keys)
        }


async def test_values(shared: Server) -> None:
    values = [None, True, False, 0, 2**64 - 1, -(2**63), 0.1, -1e300, "", 'ä\x00\u2028\U0001f600"\\\n', [], {}]
    values += [{"a": {"b": [1, [None, {"c": "d"}]]}}, list(range(100)), "x" * 1_000_000]
    async with tega.aio.connect(shared.url) as db:
        for value in values:
            await db.put("values.v", value)
            assert await db.get("values.v") == value
            assert type(await db.get("values.v")) is type(value)
        for bad in (2**64, -(2**63) - 1, {"_value": 1}, {"": 1}):
            with pytest.raises(tega.BadRequest):
                await db.put("values.v", bad)


async def test_conflict(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        first = await db.put("conflict.a", 1)
        second = await db.put("conflict.a", 2, version=first.version)
        for refused in (
            db.put("conflict.a", 3, version=first.version),
            db.delete("conflict.a", version=first.version),
        ):
            with pytest.raises(tega.Conflict) as told:
                await refused
            assert (told.value.path, told.value.expected, told.value.actual) == (
                path.conflict.a,
                first.version,
                second.version,
            )
        with pytest.raises(tega.Conflict) as told:
            await db.put("conflict.a", 3, version=-1)
        assert (told.value.expected, told.value.actual) == (-1, second.version)
        with pytest.raises(tega.Conflict):
            async with db.transaction() as tx:
                tx.put("conflict.b", 1)
                tx.put("conflict.a", 3, version=first.version)
        assert await db.get("conflict") == {"a": 2}
        node = await db.node("conflict.a")
        assert node == tega.Node(2, second.version)
        assert (await db.delete("conflict.a", version=node.version)).versions["conflict"] == second.versions[
            "conflict"
        ] + 1


async def test_not_found(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        for asked in (db.get("nothing.here"), db.delete("nothing.here"), db.node("nothing.here")):
            with pytest.raises(tega.NotFound) as told:
                await asked
            assert told.value.path == path.nothing.here
        assert await db.get("nothing.here", None) is None
        assert await db.get("nothing.here", default=5) == 5


async def test_transaction(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        async with db.transaction() as tx:
            tx.put("whole.a", 1)
            tx.put("whole.b.c", 2)
            tx.put("whole2.x", 3)
        assert tx.receipt is not None and set(tx.receipt.versions) == {"whole", "whole2"}
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                tx.put("whole.a", 9)
                tx.delete("whole.b")
                raise ZeroDivisionError
        assert tx.receipt is None
        assert await db.get("whole") == {"a": 1, "b": {"c": 2}}
        async with db.transaction() as tx:
            pass
        assert tx.receipt == tega.Receipt({}, 0, True), "nothing was sent"
        async with db.transaction(durable=True) as tx:
            tx.delete("whole.b")
            tx.put("whole2.y", 1)
        assert tx.receipt is not None and tx.receipt.durable


async def test_transaction_reads_its_writes(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        await db.put("reads", {"a": {"b": 1, "c": 2}, "d": 3})
        async with db.transaction() as tx:
            tx.put("reads.a.b", 10)
            assert await tx.get("reads.a.b") == 10
            assert await tx.get("reads.a") == {"b": 10, "c": 2}
            tx.put("reads.d", {"e": {"f": 1}})
            tx.delete("reads.a.c")
            assert await tx.get("reads.d.e.f") == 1
            assert await tx.get("reads.a.c", None) is None
            seen = await tx.get("reads")
        assert await db.get("reads") == seen == {"a": {"b": 10}, "d": {"e": {"f": 1}}}


async def test_transaction_checks(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db, tega.aio.connect(shared.url) as other:
        await db.put("checks", {"n": 1, "below": {"x": 1}})
        for read, write in (("checks.n", "checks.n"), ("checks", "checks.below.x"), ("checks.new", "checks.new")):
            with pytest.raises(tega.Conflict):
                async with db.transaction() as tx:
                    await tx.get(read, None)
                    await other.put(write, "theirs")
                    tx.put("checks.mine", 1)
                    tx.put(write, "mine")
            assert await db.get(write) == "theirs"
            assert await db.get("checks.mine", None) is None
        # What wasn't touched in between, and what was and isn't checked.
        async with db.transaction() as tx:
            await tx.get("checks")
            await other.put("checks.n", 5)
            tx.put("checks.below.x", "mine")
            tx.put("checks.n", 6, check=False)
        assert await db.get("checks.below.x") == "mine"


async def test_retry_helper(shared: Server) -> None:
    writers = [await tega.aio.connect(shared.url) for _ in range(8)]
    await writers[0].put("counter.n", 0)

    async def count(db: tega.aio.Database) -> None:
        for _ in range(5):
            async for tx in db.retrying():
                async with tx:
                    tx.put("counter.n", await tx.get("counter.n") + 1)

        @db.transaction
        async def add(tx: tega.aio.Transaction, by: int) -> int:
            n: int = await tx.get("counter.n") + by
            tx.put("counter.n", n)
            return n

        for _ in range(5):
            assert await add(1) > 0

    await asyncio.gather(*map(count, writers))
    assert await writers[0].get("counter.n") == 80
    tries = 0
    with pytest.raises(tega.Conflict):
        async for tx in writers[0].retrying(3):
            async with tx:
                tries += 1
                tx.put("counter.n", 0, version=-1)
    assert tries == 3
    for db in writers:
        await db.close()


async def test_history(shared: Server) -> None:
    async with tega.aio.connect(shared.url, id="historian") as db:
        await db.put("hist.a", 1)
        await db.put("hist.a", 2)
        await db.put("hist.b", {"c": 3})
        versions = await db.history("hist")
        assert [version.version for version in versions] == [0, 1, 2]
        assert {version.by for version in versions} == {"historian"}
        assert versions[2].changes == [{"ope": "PUT", "path": "hist.b"}]
        assert versions[0].time is not None and versions[0].time > 1.7e9
        assert await db.diff("hist", 0) == [
            tega.Difference(path.hist.a, 1, 2, False, False),
            tega.Difference(path.hist.b, None, {"c": 3}, True, False),
        ]
        assert await db.diff("hist", 2, 1) == [tega.Difference(path.hist.b, {"c": 3}, None, False, True)]
        assert await db.get("hist", version=0) == {"a": 1}
        assert await db.get("hist.a", version=-1) == 2
        receipt = await db.rollback("hist", 0)
        assert receipt.version == 3
        assert await db.get("hist") == {"a": 1}
        assert (await db.history("hist"))[-1].rollback_to == 0
        with pytest.raises(tega.NotFound):
            await db.rollback("hist", 99)
        with pytest.raises(tega.NotFound):
            await db.history("nothing-at-all")
        with pytest.raises(tega.Conflict):
            await db.rollback("hist", 0, version=1)


async def test_select(shared: Server) -> None:
    async with tega.aio.connect(shared.url) as db:
        await db.put("sel", {"lan": {"ip": 1}, "wan": {"ip": 2}, "off": 3})
        found = await db.select(r"(sel)\.(.an)\.ip")
        assert {at: match.value for at, match in found.items()} == {path.sel.lan.ip: 1, path.sel.wan.ip: 2}
        assert found[path.sel.lan.ip].groups == [["sel"], ["lan"]]
        internal = await db.get("sel.off", internal=True)
        assert internal["_value"] == 3 and internal["_version"] == (await db.node("sel.off")).version
        await db.put("sel.e", 1, ephemeral=True)
        internal = await db.get("sel.e", internal=True)
        assert internal["_ephemeral"] is True and internal["_owner"] == db.id
        with pytest.raises(tega.BadRequest):
            await db.select("(")


async def test_local_socket(shared: Server) -> None:
    async with tega.aio.connect(shared.socket) as db, tega.aio.connect(shared.url) as other:
        assert db.url == shared.socket
        async with db.watch("sock") as changes:
            await other.put("sock.a", 1)
            assert told(await collect(changes, 1)) == [("put", "sock.a", 1)]
        await db.put("sock.a", 2)
        assert await other.get("sock.a") == 2
        assert len(await db.history("sock")) == 2


async def test_environment(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEGA_URL", shared.url)
    monkeypatch.setenv("TEGA_TOKEN", "unneeded")
    async with tega.aio.connect(id="me") as db:
        assert (db.url, db.id) == (shared.url, "me")
        assert db._link.server.headers() == {"Authorization": "Bearer unneeded"}
        await db.put("env.a", 1)


@pytest.fixture
def fleet(server: Server):  # type: ignore[no-untyped-def]
    local = Server(
        *("--global", f"ws://{server.listen}", "--config", "config-r1", "--operational", "operational-r1"), id="r1"
    )
    yield server, local
    local.close()


async def test_fresh(fleet) -> None:  # type: ignore[no-untyped-def]
    home, replica = fleet
    async with tega.aio.connect(home.url) as at_home, tega.aio.connect(replica.url) as here:
        for n in range(20):
            await at_home.put("config-r1.n", n)
            assert await _linked(lambda: here.get("config-r1.n", fresh=True)) == n


def _is_home(server: Server, root: str, home: str) -> bool:
    with urllib.request.urlopen(f"{server.url}/_homes") as answer:
        said = json.load(answer).get(root, {})
    return said.get("home") == home and not said.get("handover")


async def test_the_first_write_after_a_root_was_moved_is_made(server: Server) -> None:
    async with tega.aio.connect(server.url) as there:
        await there.put("shared.n", 0)
    local = Server(*("--global", f"ws://{server.listen}", "--operational", "operational-r1", "shared"), id="r1")
    move = f"{server.url}/_home?root_oid=shared&home=r1"
    try:
        async with tega.aio.connect(local.url) as here:
            for n in range(5):
                await _linked(lambda: here.put("shared.n", n))
            with urllib.request.urlopen(urllib.request.Request(move, method="POST")) as answer:
                assert answer.status == 200
            deadline = time.monotonic() + PATIENCE
            while not _is_home(local, "shared", "r1"):
                assert time.monotonic() < deadline, "the root is moved"
                await asyncio.sleep(0.02)
            # The position that it knows is of the old home.
            await here.put("shared.n", 5)
            async with here.transaction() as tx:
                tx.put("shared.n", await tx.get("shared.n") + 1)
            assert await here.get("shared.n") == 6
    finally:
        local.close()


async def test_forwarded(fleet) -> None:  # type: ignore[no-untyped-def]
    home, replica = fleet
    async with tega.aio.connect(home.url) as at_home, tega.aio.connect(replica.url) as here:
        receipt = await _linked(lambda: here.put("config-r1.ip", "10.0.0.1"))
        assert receipt.applied and await at_home.get("config-r1.ip") == "10.0.0.1"
        assert await here.get("config-r1.ip") == "10.0.0.1"

        # A function on the router, called from the global.
        @here.rpc("operational-r1.rpc.add")
        def add(a: int, b: int) -> int:
            return a + b

        await here.ready()
        assert await _linked(lambda: at_home.call("operational-r1.rpc.add", 1, b=2)) == 3
        # And messages.
        async with here.subscribe("alarm") as alarms:
            await asyncio.sleep(0.3)
            await at_home.publish("alarm", "fire")
            assert (await alarms.next(PATIENCE)).value == "fire"
        home.kill()

        async def refused() -> bool:
            try:
                await here.put("config-r1.ip", "10.0.0.2")
            except tega.NoLink as error:
                assert error.path == path["config-r1"]
                return True
            except tega.OutcomeUnknown:
                pass
            return False

        while not await refused():
            await asyncio.sleep(0.05)


async def _linked(ask):  # type: ignore[no-untyped-def]
    """Asks again until the link of the two servers is up."""
    for _ in range(400):
        try:
            return await ask()
        except (tega.NoLink, tega.NoOwner, tega.NoHome, tega.NotFound):
            await asyncio.sleep(0.05)
    return await ask()
