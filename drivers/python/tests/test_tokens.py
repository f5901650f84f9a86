"""Who may do what."""

import asyncio

import pytest
import tega
from harness import PATIENCE, Proxy, Server, until
from tega import path


async def asked_for(server: Server) -> None:
    """From now on the server asks for tokens."""
    server.reload()

    async def refused() -> bool:
        try:
            await (await tega.aio.connect(server.url)).close()
        except tega.Unauthorized:
            return True
        return False

    await until(refused)


async def test_unauthorized(server: Server) -> None:
    token = server.token("ui", "--read", "a")
    await asked_for(server)
    async with Proxy(server.port) as proxy:
        with pytest.raises(tega.Unauthorized, match="a token is needed"):
            await tega.aio.connect(proxy.url)
        with pytest.raises(tega.Unauthorized, match="isn't known here") as told:
            await tega.aio.connect(proxy.url, token="tega_wrong_0123")
        assert "0123" not in str(told.value)
        with pytest.raises(tega.Unauthorized):
            tega.connect(server.url)
        await asyncio.sleep(0.2)
        assert proxy.count == 2, "it isn't tried again"
        async with tega.aio.connect(proxy.url, token=token) as db:
            with pytest.raises(tega.Forbidden):
                await db.get("b")
            with pytest.raises(tega.Forbidden):
                await db.history("b")


async def test_an_id_that_the_token_may_not_have_is_unauthorized(server: Server) -> None:
    token = server.token("r1", "--read", "a", "--as", "r1")
    await asked_for(server)
    with pytest.raises(tega.Unauthorized, match="may not act as r2"):
        await tega.aio.connect(server.url, token=token, id="r2")
    async with tega.aio.connect(server.url, token=token, id="r1") as db:
        assert await db.get("a", None) is None


async def test_forbidden(server: Server) -> None:
    token = server.token("ui", "--read", "a", "--channels", "say")
    await asked_for(server)
    async with Proxy(server.port) as proxy:
        async with tega.aio.connect(proxy.url, token=token) as db:
            refusals = [
                (db.put("b.x", 1), path.b.x),
                (db.delete("a"), path.a),
                (db.watch("b").begun(), path.b),
                (db.subscribe("c").begun(), path.c),
                (db.call("a.f"), path.a.f),
                (db.publish("c", 1), path.c),
            ]
            for refused, at in refusals:
                with pytest.raises(tega.Forbidden, match="ui") as told:
                    await refused
                assert told.value.path == at
            # Each refusal of what isn't answered is its own.
            said = await asyncio.gather(
                *(db.publish("say" if n % 3 else "c", n) for n in range(30)), return_exceptions=True
            )
            assert [isinstance(one, tega.Forbidden) for one in said] == [n % 3 == 0 for n in range(30)]
            assert proxy.count == 1 and not db._link._feeds


async def test_token_removed(server: Server) -> None:
    token = server.token("ui", "--admin")
    server.token("other", "--admin")
    await asked_for(server)
    async with tega.aio.connect(server.url, token=token) as db:
        await db.put("a.n", 1)
        watch = await db.watch("a").begun()
        server.remove_token("ui")
        server.reload()
        with pytest.raises(tega.Unauthorized):
            await watch.next(PATIENCE)
        with pytest.raises(tega.Unauthorized):
            async for _ in watch:
                pass
        for late in (db.get("a.n"), db.put("a.n", 2), db.serve_forever()):
            with pytest.raises(tega.Unauthorized):
                await late


async def test_a_token_file_is_read_again(server: Server) -> None:
    file = server.dir / "mine"
    file.write_text(server.token("one", "--admin"))
    server.token("other", "--admin")
    await asked_for(server)
    async with tega.aio.connect(server.url, token_file=str(file)) as db, db.watch("a") as changes:
        file.write_text(server.token("two", "--admin"))
        server.remove_token("one")
        server.reload()
        async with tega.aio.connect(server.socket) as admin:

            async def told() -> bool:
                await admin.put("a.n", 1)
                try:
                    return (await changes.next(0.1)).value == 1
                except tega.Timeout:
                    return False

            await until(told)
        assert await db.get("a.n") == 1
