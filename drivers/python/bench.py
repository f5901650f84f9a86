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
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Awaitable, Callable, List, Tuple

sys.path.insert(0, str(Path(__file__).parent / "src"))

import tega  # noqa: E402

KINDS = ("get", "put", "call")


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


def _tell(face: str, kind: str, depth: int, took: float, done: Tuple[int, List[float]]) -> None:
    count, times = done
    times.sort()
    p50, p99 = times[count // 2] * 1e3, times[min(count - 1, count * 99 // 100)] * 1e3
    print(f"{face:<9} {kind:<5} {depth:>5} {count / took:>10,.0f}/s {p50:>9.3f} ms {p99:>9.3f} ms", flush=True)


async def _aio(url: str, depths: List[int], seconds: float) -> None:
    async with tega.aio.connect(url) as db, tega.aio.connect(url) as owner:

        @owner.rpc("bench.echo")
        async def echo(value: Any) -> Any:
            return value

        await owner.ready()
        await db.put("bench.n", 0)
        asks = {
            "get": lambda n: db.get("bench.n"),
            "put": lambda n: db.put("bench.n", n),
            "call": lambda n: db.call("bench.echo", n),
        }
        for kind in KINDS:
            for depth in depths:
                begun = time.perf_counter()
                done = await _pipelined(asks[kind], depth, seconds)
                _tell("asyncio", kind, depth, time.perf_counter() - begun, done)


def _blocking(url: str, depths: List[int], seconds: float) -> None:
    with tega.connect(url) as db, tega.connect(url) as owner:
        owner.serve("bench.echo", lambda value: value)
        asks = {
            "get": lambda n: db.get("bench.n"),
            "put": lambda n: db.put("bench.n", n),
            "call": lambda n: db.call("bench.echo", n),
        }
        for kind in KINDS:
            for depth in depths:
                begun = time.perf_counter()
                done = _threaded(asks[kind], depth, seconds)
                _tell("blocking", kind, depth, time.perf_counter() - begun, done)


def main() -> None:
    summary, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=more, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--url", help="the server; else one is started, of the binary that $TEGA_BIN names")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--depth", default="1,16,256", help="requests under way at once (1,16,256)")
    parser.add_argument("--threads", default="1,16", help="the same for the blocking face (1,16)")
    given = parser.parse_args()
    depths, threads = ([int(n) for n in text.split(",")] for text in (given.depth, given.threads))
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
        print(f"{'face':<9} {'what':<5} {'depth':>5} {'requests':>12} {'median':>12} {'99 %':>12}")
        asyncio.run(_aio(url, depths, given.seconds))
        _blocking(url, threads, given.seconds)
    finally:
        if process is not None:
            process.kill()
            process.wait()
        if data is not None:
            shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
