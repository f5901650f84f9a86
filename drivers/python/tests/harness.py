"""The real server, a proxy to cut links with, and waiting for what must come."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Awaitable, Callable, List, Optional, Tuple

#: How long anything may take before a test fails.
PATIENCE = 20.0

BINARY = os.environ.get("TEGA_BIN", "")


class Server:
    """A tega of its own data directory and port, which goes with the test."""

    def __init__(self, *args: str, id: str = "global") -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="tega-py-"))
        self.args = list(args)
        self.id = id
        self.listen = "127.0.0.1:0"
        self.process: Optional[subprocess.Popen[str]] = None
        self.start()

    def start(self) -> Server:
        command = [BINARY, "serve", "--data", str(self.dir), "--id", self.id, "--listen", self.listen]
        with (self.dir / "stderr").open("a") as stderr:
            self.process = subprocess.Popen(
                [*command, "--log-level", "error", *self.args],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={k: v for k, v in os.environ.items() if not k.startswith("TEGA_")},
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://(127\.0\.0\.1:\d+)", line)
        if found is None:
            raise AssertionError(f"the server said {line!r}; {(self.dir / 'stderr').read_text()}")
        # The same one again after a restart.
        self.listen = found.group(1)
        return self

    @property
    def url(self) -> str:
        return f"http://{self.listen}"

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def socket(self) -> str:
        return f"unix:{self.dir}/tega.sock"

    def kill(self) -> Server:
        """SIGKILL, and waits for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None
        return self

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def token(self, name: str, *rights: str) -> str:
        command = [BINARY, "token", "new", name, "--data", str(self.dir), *rights]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def remove_token(self, name: str) -> None:
        subprocess.run([BINARY, "token", "remove", name, "--data", str(self.dir)], check=True, capture_output=True)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class Proxy:
    """A TCP proxy in front of a server. It cuts links, holds either direction, or stops listening."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        #: Links that were made.
        self.count = 0
        #: What the server says isn't passed on while this isn't set.
        self.to_client = asyncio.Event()
        self.to_server = asyncio.Event()
        self.to_client.set()
        self.to_server.set()
        self.small = False
        self._server: Optional[asyncio.AbstractServer] = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: List[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Proxy:
        await self.open()
        return self

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *exc: object) -> None:
        await self.shut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def shut(self) -> None:
        """Cuts all links and takes none until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        # Both ends notice before this returns: what is sent after it isn't sent into a link that seems to be there.
        await asyncio.sleep(0.05)

    def cut(self) -> None:
        """Cuts all links."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            # A small limit, so that a held direction is soon felt at the other end.
            limit = 4096 if self.small else 65536
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=limit)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, up_writer]
        try:
            await asyncio.gather(
                self._pass(reader, up_writer, self.to_server), self._pass(up_reader, writer, self.to_client)
            )
        finally:
            writer.transport.abort()
            up_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may: asyncio.Event) -> None:
        try:
            while True:
                await may.wait()
                data = await reader.read(4096)
                await may.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()


async def until(what: Callable[[], Awaitable[Any]], wanted: Any = True, patience: float = PATIENCE) -> Any:
    """Asks again and again until the answer is as wanted."""
    end = time.monotonic() + patience
    while True:
        got = await what()
        if got == wanted:
            return got
        assert time.monotonic() < end, f"{got!r}, not {wanted!r}"
        await asyncio.sleep(0.01)


async def collect(watch: Any, count: int) -> List[Any]:
    """The next so many of a watch."""
    return [await watch.next(PATIENCE) for _ in range(count)]


def told(changes: List[Any]) -> List[Tuple[str, str, Any]]:
    """The gist of changes."""
    return [(change.kind, str(change.path), change.value) for change in changes]
