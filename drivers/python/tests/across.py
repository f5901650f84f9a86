"""The Python half of drivers/test-across.sh, which also starts the fleet and the Go half.

A global server has a local one behind it, which also runs a plugin in shell: it's called from the global one. At the local one both halves serve functions; each calls the other's at the
global one. First both do so at the same time, and then one after the other from many clients at once: a server lets
1,024 calls wait for another one.

    python across.py GO_HALF
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict

import tega
from harness import PATIENCE, Server, until

CLIENTS, CALLS = 50, 20
PYTHON, GO = "operational-r1.rpc.python", "operational-r1.rpc.go"

VALUES = json.loads(
    r"""[null, true, false, 0, -9223372036854775808, 18446744073709551615, 0.1, -1.5e300, "", "ä€𝄞\n\t\u0000\"\\", [], {},
    [[1, [2]], {"a": {"b": [null]}}], {"error": {"code": "not_found", "message": "m"}}, {"result": 1},
    {"_value": 1, "a.b \n%": 2}]"""
)


def functions() -> Dict[str, Callable[..., Any]]:
    together, here = asyncio.Event(), 0

    async def echo(*args: Any, **kwargs: Any) -> Any:
        return {"args": args, "kwargs": kwargs}

    async def wait_for_all(who: str) -> str:
        """Returns only once all calls run at the same time."""
        nonlocal here
        here += 1
        if here == CLIENTS * CALLS:
            together.set()
        await together.wait()
        return f"{who} by Python"

    def fail() -> None:
        raise ValueError("no such interface: wän9")

    async def never() -> None:
        await asyncio.Event().wait()

    return {"echo": echo, "together": wait_for_all, "fail": fail, "never": never}


async def fails(call: Any, kind: type, text: str) -> None:
    try:
        got = await call
    except tega.Error as error:
        assert isinstance(error, kind) and text in str(error), repr(error)
    else:
        raise AssertionError(f"it returned {got!r}")


async def call(url: str) -> None:
    async with tega.aio.connect(url) as db:
        await until(lambda: db.get(f"{GO}.together", None), "%go-owner.together")
        for _ in range(2):
            back = await db.call(f"{GO}.echo", *VALUES, näme=VALUES, path="kept")
            # As text: True is no 1.
            assert json.dumps(back, sort_keys=True) == json.dumps(
                {"args": VALUES, "kwargs": {"näme": VALUES, "path": "kept"}}, sort_keys=True
            ), back
        await fails(db.call(f"{GO}.fail"), tega.RpcFailed, "no such interface: wän9")
        await fails(db.call(f"{GO}.never", timeout=0.1), tega.Timeout, "")


async def together(url: str) -> None:
    clients = await asyncio.gather(*(tega.aio.connect(url) for _ in range(CLIENTS)))
    whos = [[f"call {n} of client {at}" for n in range(CALLS)] for at in range(CLIENTS)]
    got = await asyncio.gather(
        *(db.call(f"{GO}.together", who) for db, own in zip(clients, whos) for who in own)
    )
    assert got == [f"{who} by Go" for own in whos for who in own], "not everyone got its own answer"
    await asyncio.gather(*(db.close() for db in clients))


async def absent(url: str) -> None:
    async with tega.aio.connect(url) as db:

        async def gone() -> bool:
            try:
                await db.call(f"{GO}.echo")
            except (tega.NotFound, tega.NoOwner):
                return True
            return False

        await until(gone)


async def plugin(url: str) -> None:
    """A shell script on the router, called where its link leads to."""
    async with tega.aio.connect(url) as db:
        await until(lambda: db.get("operational-r1.rpc.sysinfo.memory", None), "%sysinfo.memory")
        memory = await db.call("operational-r1.rpc.sysinfo.memory")
        assert memory["total"] > 1 << 20, memory
        # No more than may run and wait for their turn at a time.
        boards = await asyncio.gather(*(db.call("operational-r1.rpc.sysinfo.board") for _ in range(20)))
        assert all(board == boards[0] for board in boards) and "kernel" in boards[0], boards[0]


async def both(home: Server, replica: Server, go_half: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(go_half, replica.url, home.url, str(CLIENTS), str(CALLS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None

    async def says(wanted: str) -> None:
        line = await asyncio.wait_for(stdout.readline(), 3 * PATIENCE)
        assert line == wanted.encode() + b"\n", f"the Go half said {line!r}, not {wanted!r}"

    async def does(word: str) -> None:
        stdin.write(word.encode() + b"\n")
        await says(word)

    try:
        async with tega.aio.connect(replica.url, id="py-owner", serve_at_once=CLIENTS * CALLS + 1) as owner:
            for name, function in functions().items():
                await owner.serve(f"{PYTHON}.{name}", function)
            await says("serving")
            await asyncio.gather(does("call"), call(home.url), plugin(home.url))
            await does("together")
            await together(home.url)
        await does("absent")
        stdin.close()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        await absent(home.url)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> None:
    # A function fails, as it's meant to.
    logging.getLogger("tega").setLevel(logging.CRITICAL)
    plugins = tempfile.mkdtemp(prefix="tega-plugins-")
    home = Server()
    try:
        shutil.copy(Path(__file__).parents[3] / "examples/plugins/sysinfo", plugins)
        # What others may write is refused, and who cloned this may let them.
        (Path(plugins) / "sysinfo").chmod(0o755)
        link = ("--global", f"ws://{home.listen}", "--operational", "operational-r1")
        replica = Server(*link, "--plugins", plugins, id="r1")
        try:
            asyncio.run(asyncio.wait_for(both(home, replica, sys.argv[1]), 6 * PATIENCE))
        finally:
            replica.close()
    finally:
        home.close()
        shutil.rmtree(plugins)
    print("across: a plugin in shell behind a link, called from Python at the global server")
    print(
        f"across: {CLIENTS * CALLS} calls at once from {CLIENTS} clients in Go to a function in Python, and as many back, "
        "through the global server to the local one: each got its own answer"
    )


if __name__ == "__main__":
    main()
