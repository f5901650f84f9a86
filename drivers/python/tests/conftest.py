from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any, Iterator

import pytest
from harness import BINARY, PATIENCE, Server


def pytest_report_header() -> str:
    return f"tega: {BINARY}" if BINARY else "tega: TEGA_BIN isn't set, so nothing is tested against a real server"


def pytest_pyfunc_call(pyfuncitem: Any) -> Any:
    """A coroutine function is run to its end, on a loop of its own, in bounded time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    args = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(asyncio.wait_for(functools.partial(pyfuncitem.obj, **args)(), 3 * PATIENCE))
    return True


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own."""
    server = _start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def _shared() -> Iterator[Server]:
    server = _start("--history", "50")
    yield server
    server.close()


@pytest.fixture
def shared(_shared: Server, request: pytest.FixtureRequest) -> Server:
    """A server that tests share, each with a root of its own name: `request.node.name`."""
    return _shared


def _start(*args: str) -> Server:
    if not BINARY:
        pytest.skip("TEGA_BIN isn't set")
    return Server(*args)
