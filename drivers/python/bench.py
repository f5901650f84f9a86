#!/usr/bin/env python3
"""Measures one client of this driver: how many requests a second it makes, one after the other and pipelined.

    TEGA_BIN=…/tega python bench.py            a server of its own, in a temporary directory
    python bench.py --url http://127.0.0.1:8739

Each row runs for --seconds. `depth` is how many requests are under way at once: 1 means one after the other. The
blocking face has a thread for each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Tuple

sys.path.insert(0, str(Path(__file__).parent / "src"))

import tega  # noqa: E402

#: So many nodes are written and read, each with a short text that changes, as `tega bench` does.
KEYS = 100


def _path(n: int) -> str:
    return f"bench.c0.k{n % KEYS}"


def _value(n: int) -> str:
    return f"value-{n:08}"


async def _pipelined(ask: Callable[[int], Awaitable[Any]], depth: int, seconds: float) -> Tuple[int, List[float]]:
    times: List[float] = []
    end = time.perf_counter() + seconds

    async def one_after_the_other() -> None:
        while (begun := time.perf_counter()) < end:
            await ask(len(times))
            times.append(time.perf_counter() - begun)

    await asyncio.gather(*(one_after_the_other() for _ in range(depth)))
    return len(times), times


def _threaded(ask: Callable[[int], Any], depth: int, seconds: float) -> Tuple[int, List[float]]:
    times: List[float] = []
    end = time.perf_counter() + seconds

    def one_after_the_other() -> None:
        while (begun := time.perf_counter()) < end:
            ask(len(times))
            times.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=one_after_the_other) for _ in range(depth)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times), times


def _tell(face: str, kind: str, depth: int, took: float, done: Tuple[int, List[float]], as_json: bool) -> None:
    count, times = done
    times.sort()
    p50, p99 = times[count // 2] * 1e3, times[min(count - 1, count * 99 // 100)] * 1e3
    if as_json:
        figure = {"by": face, "what": kind, "depth": depth, "count": count, "per_second": count / took}
        print(json.dumps({**figure, "p50_us": p50 * 1e3, "p99_us": p99 * 1e3}), flush=True)
    else:
        print(
            f"{face:<9} {kind:<5} {depth:>5} {count / took:>10,.0f}/s {p50:>9.3f} ms {p99:>9.3f} ms", flush=True
        )


async def _aio(url: str, kinds: List[str], depths: List[int], seconds: float, as_json: bool) -> None:
    async with tega.aio.connect(url) as db, tega.aio.connect(url) as owner:

        @owner.rpc("bench.echo")
        async def echo(value: Any) -> Any:
            return value

        await owner.ready()
        asks: Dict[str, Callable[[int], Awaitable[Any]]] = {
            "put": lambda n: db.put(_path(n), _value(n)),
            "get": lambda n: db.get(_path(n)),
            "call": lambda n: db.call("bench.echo", n),
        }
        await asyncio.gather(*(asks["put"](n) for n in range(KEYS)))
        for kind in kinds:
            for depth in depths:
                begun = time.perf_counter()
                done = await _pipelined(asks[kind], depth, seconds)
                _tell("asyncio", kind, depth, time.perf_counter() - begun, done, as_json)


def _blocking(url: str, kinds: List[str], depths: List[int], seconds: float, as_json: bool) -> None:
    with tega.connect(url) as db, tega.connect(url) as owner:
        owner.serve("bench.echo", lambda value: value)
        asks: Dict[str, Callable[[int], Any]] = {
            "put": lambda n: db.put(_path(n), _value(n)),
            "get": lambda n: db.get(_path(n)),
            "call": lambda n: db.call("bench.echo", n),
        }
        for kind in kinds:
            for depth in depths:
                begun = time.perf_counter()
                done = _threaded(asks[kind], depth, seconds)
                _tell("blocking", kind, depth, time.perf_counter() - begun, done, as_json)


def main() -> None:
    summary, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=more, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--url", help="the server; else one is started, of the binary that $TEGA_BIN names")
    parser.add_argument("--only", default="put,get,call", help="of put, get, call")
    parser.add_argument("--face", default="asyncio,blocking", help="of asyncio, blocking")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each figure, as of `tega bench`")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--depth", default="1,16,256", help="requests under way at once (1,16,256)")
    parser.add_argument("--threads", default="1,16", help="the same for the blocking face (1,16)")
    given = parser.parse_args()
    depths, threads = ([int(n) for n in text.split(",")] for text in (given.depth, given.threads))
    kinds = given.only.split(",")
    if not set(kinds) <= {"put", "get", "call"} or not set(given.face.split(",")) <= {"asyncio", "blocking"}:
        parser.error("--only: of put, get, call; --face: of asyncio, blocking")
    url, process, data = given.url, None, None
    if url is None:
        if not os.environ.get("TEGA_BIN"):
            parser.error("--url or $TEGA_BIN is wanted")
        data = tempfile.mkdtemp(prefix="tega-bench-")
        command = [os.environ["TEGA_BIN"], "serve", "--data", data, "--listen", "127.0.0.1:0", "--id", "global"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        match = re.search(r"http://\S+", process.stdout.readline())
        url = match.group() if match else None
    try:
        if url is None:
            sys.exit("the server didn't say where it listens")
        if not given.json:
            print(f"{'face':<9} {'what':<5} {'depth':>5} {'requests':>12} {'median':>12} {'99 %':>12}")
        if "asyncio" in given.face:
            asyncio.run(_aio(url, kinds, depths, given.seconds, given.json))
        if "blocking" in given.face:
            _blocking(url, kinds, threads, given.seconds, given.json)
    finally:
        if process is not None:
            process.kill()
            process.wait()
        if data is not None:
            shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
