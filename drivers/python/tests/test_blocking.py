"""The blocking face, from threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List

import pytest
import tega
from harness import PATIENCE, Server, told
from tega import path


def test_the_blocking_face_does_what_the_other_does(shared: Server) -> None:
    with tega.connect(shared.url, id="blocker") as db, tega.connect(shared.url) as other:
        assert (db.id, db.url) == ("blocker", shared.url)
        changes, alarms = db.watch("block", state=True), db.subscribe("block.alarm")
        assert changes.next(PATIENCE).kind == "state"
        assert other.put("block.a", 1).version == 0
        other.put("block.b", 2, ephemeral=True, durable=True)
        with other.transaction() as tx:
            assert tx.get("block.a") == 1
            tx.put("block.a", 3)
            tx.delete("block.b", check=False)
            assert len(tx) == 2
        assert tx.receipt is not None and tx.request_id and not tx.conflicted
        other.rollback("block", 0)
        assert told([changes.next(PATIENCE) for _ in range(5)]) == [
            ("put", "block.a", 1),
            ("put", "block.b", 2),
            ("put", "block.a", 3),
            ("delete", "block.b", 2),
            ("rollback", "block", {"a": 1}),
        ]
        with pytest.raises(tega.Timeout):
            changes.next(0.05)
        other.publish("block.alarm", "fire")
        assert next(alarms).value == "fire"
        assert db.node("block.a").value == db.get("block", fresh=True)["a"] == 1
        assert list(db.select(r"block\.a")) == [path.block.a]
        assert [one.version for one in db.history("block")] == [0, 1, 2]
        assert db.diff("block", 0, 1)[0].after == 3
        with pytest.raises(tega.Conflict):
            db.put("block.a", 1, version=-1)
        db.delete("block.a")
        assert db.get("block.a", None) is None

        @db.rpc("block.rpc.add")
        def add(a: int, b: int) -> int:
            # From its thread it may use the database.
            db.put("block.last", [a, b])
            return a + b

        db.ready()
        assert other.call("block.rpc.add", 1, b=2) == 3
        assert other.function("block.rpc.add", timeout=5)(3, 4) == 7
        assert other.get("block.last") == [3, 4]
        changes.close()
        assert list(changes) == []


def test_threads_share_one_client(shared: Server) -> None:
    with tega.connect(shared.url) as db, ThreadPoolExecutor(8) as threads:
        db.put("thr.n", 0)

        @db.transaction
        def add(tx: tega.Transaction, by: int) -> int:
            n: int = tx.get("thr.n") + by
            tx.put("thr.n", n)
            return n

        def add_more() -> None:
            for tx in db.retrying():
                with tx:
                    tx.put("thr.n", tx.get("thr.n") + 1)

        jobs = [threads.submit(add, 1) for _ in range(24)] + [threads.submit(add_more) for _ in range(24)]
        for job in jobs:
            job.result(PATIENCE)
        assert db.get("thr.n") == 48


def test_a_watch_in_a_thread_ends_with_its_client(shared: Server) -> None:
    db = tega.connect(shared.url)
    got: List[Any] = []
    begun = threading.Event()

    def watch() -> None:
        with db.watch("endwatch") as changes:
            begun.set()
            got.extend(change.value for change in changes)

    def serve() -> None:
        db.serve_forever()
        got.append("served")

    threads = [threading.Thread(target=work) for work in (watch, serve)]
    for thread in threads:
        thread.start()
    assert begun.wait(PATIENCE)
    with tega.connect(shared.url) as other:
        other.put("endwatch.n", 1)
        end = time.monotonic() + PATIENCE
        while not got and time.monotonic() < end:
            time.sleep(0.01)
    db.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert got == [1, "served"]
    db.close()
    for late in (lambda: db.get("x"), lambda: db.put("x", 1), lambda: db.watch("x"), db.ready):
        with pytest.raises(tega.Closed):
            late()


def test_an_error_ends_the_transaction_and_not_the_client(shared: Server) -> None:
    with tega.connect(shared.url) as db:
        with pytest.raises(ZeroDivisionError):
            with db.transaction() as tx:
                tx.put("oops.n", 1 / 0)
        assert db.get("oops", None) is None
        with pytest.raises(tega.BadPath):
            db.put("oops..n", 1)
        with pytest.raises(tega.BadRequest):
            db.put("oops.n", object())
        with pytest.raises(tega.Timeout):
            db.serve("oops.f", lambda: time.sleep(0.3))
            db.call("oops.f", timeout=0.05)
        for bad in ({"timeout": 0}, {"serve_at_once": 0}, {"id": "a b"}):
            with pytest.raises(tega.BadRequest):
                tega.connect(shared.url, **bad)  # type: ignore[arg-type]


def test_a_client_leaves_no_thread_behind(shared: Server) -> None:
    before = threading.active_count()
    for _ in range(5):
        with tega.connect(shared.url) as db:
            db.get("x", None)
    with pytest.raises(tega.NoLink):
        tega.connect("127.0.0.1:1")
    assert threading.active_count() == before
