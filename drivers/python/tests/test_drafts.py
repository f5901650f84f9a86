"""What a transaction would leave and what it expects, without a server."""

from typing import Any

import pytest
from tega.drafts import Draft
from tega.errors import BadRequest, NotFound
from tega.paths import Path


def leaf(value: Any, version: int, **more: Any) -> Any:
    return {"_ephemeral": False, "_value": value, "_version": version, **more}


TREE = {
    "_ephemeral": False,
    "_version": 9,
    "b": leaf(1, 3),
    "__lan": leaf(2, 4),
    "e": leaf(3, 0, _ephemeral=True),
    "d": {"_version": 5, "_ephemeral": False, "x": leaf([1], 5)},
}


def draft() -> Draft:
    made = Draft()
    made.saw(Path("a"), {"value": TREE})
    made.saw(Path("n"), NotFound("nothing at n"))
    return made


def ops(draft: Draft) -> Any:
    import json

    return json.loads(draft.body(False))["ops"]


def test_a_write_expects_the_version_that_was_read() -> None:
    tx = draft()
    for path in ("a", "a.b", "a._lan", "a.d", "a.d.x", "a.new", "a.d.new.x", "n", "n.x", "a.e", "z"):
        tx.put(path, 0)
    assert [(op["put"], op.get("version")) for op in ops(tx)] == [
        ("a", 9),
        ("a.b", 3),
        ("a._lan", 4),
        ("a.d", 5),
        ("a.d.x", 5),
        ("a.new", -1),
        ("a.d.new.x", -1),
        ("n", -1),
        ("n.x", -1),
        ("a.e", None),
        ("z", None),
    ]


def test_a_version_that_is_said_goes_before_and_a_check_can_be_left_out() -> None:
    tx = draft()
    tx.put("a.b", 0, version=77)
    tx.delete("a.d", check=False)
    tx.rollback("a", -1)
    assert ops(tx) == [
        {"put": "a.b", "value": 0, "version": 77},
        {"delete": "a.d"},
        {"rollback": "a", "backto": -1},
    ]


def test_a_read_sees_the_writes_before_it() -> None:
    tx = draft()
    assert tx.value(Path("a"), None) == {"b": 1, "_lan": 2, "e": 3, "d": {"x": [1]}}
    tx.put("a.b", {"c": 1})
    tx.put("a.d.y.z", 5)
    tx.delete("a.e")
    tx.delete("a.q.r")
    assert tx.value(Path("a"), None) == {"b": {"c": 1}, "_lan": 2, "d": {"x": [1], "y": {"z": 5}}}
    tx.put("n.x", 1)
    assert tx.value(Path("n"), None) == {"x": 1}
    tx.delete("n")
    with pytest.raises(NotFound):
        from tega.drafts import _ABSENT

        tx.value(Path("n"), _ABSENT)
    assert tx.value(Path("n"), 7) == 7
    tx.put("a", {"new": [1]})
    tx.saw(Path("a.new"), {"value": leaf(0, 1)})
    value = tx.value(Path("a.new"), None)
    assert value == [1]
    value.append(2)
    assert tx.value(Path("a.new"), None) == [1], "a copy"


def test_what_a_rollback_leaves_isnt_guessed() -> None:
    tx = draft()
    tx.rollback("a", -1)
    with pytest.raises(BadRequest, match="rollback"):
        tx.value(Path("a"), None)
    assert tx.value(Path("n"), 1) == 1


def test_a_value_is_taken_as_it_is_when_it_is_put() -> None:
    tx, value = Draft(), [1]
    tx.put("a", value)
    value.append(2)
    assert ops(tx) == [{"put": "a", "value": [1]}]


def test_a_transaction_has_a_limit() -> None:
    tx = Draft()
    for n in range(10_000):
        tx.delete(f"a.n{n}")
    with pytest.raises(BadRequest, match="10000"):
        tx.delete("a.more")
    with pytest.raises(BadRequest, match="no JSON"):
        draft().put("a", object())
